//! An infrastructure engine that provisions environments as directories on this machine.
