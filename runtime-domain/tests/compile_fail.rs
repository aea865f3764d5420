//! What must not compile: evidence and scopes that come from anywhere but where they are granted.
//!
//! The expected texts are the compiler's. After a new compiler has reworded one, read it, and accept it with `TRYBUILD=overwrite`.

#[test]
fn evidence_and_scopes_cannot_be_built_copied_defaulted_or_deserialised_from_outside() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
