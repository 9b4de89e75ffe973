//! Each mistake in a twin's struct is answered by the compiler with what to write.
#![cfg(feature = "derive")]

/// Compilers differ in the words around ours: `TRYBUILD=overwrite` records them anew.
#[test]
#[ignore = "needs rustc 1.95"]
fn each_mistake_is_answered_with_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
