//! What the tests of gRPC stand on.
