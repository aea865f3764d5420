mod fixture;
mod hostile;
mod packing;
mod reading;
mod whiteouts;
