//! What the schema says, as far as the tests need it to write documents.

use std::process::Command;
use std::sync::LazyLock;

use crate::server::binary;

/// The schema as the binary prints it.
pub static SCHEMA: LazyLock<String> = LazyLock::new(|| {
    let printed = Command::new(binary("witan")).arg("schema").output().expect("the binary can be started");
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).expect("the schema is text")
});

/// The type of the mutation's argument `input`.
pub(crate) fn input_type(mutation: &str) -> &'static str {
    let field = format!("\n\t{mutation}(");
    let found = SCHEMA.split_once("\ntype Mutation").and_then(|(_, mutations)| mutations.split_once(&field));
    let (_, arguments) = found.unwrap_or_else(|| panic!("the schema has no mutation {mutation}"));
    let (_, named) = arguments.split_once("input: ").unwrap_or_else(|| panic!("{mutation} takes no input"));
    named.split(['!', ' ', ')', '\n']).next().unwrap_or_default()
}
