//! What is taken for a secret, and what is not.
