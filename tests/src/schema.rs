//! What `schema.graphql` says, as far as the tests need it to write documents.

use std::path::Path;
use std::sync::LazyLock;

/// The schema as it stands in the repository; a test elsewhere holds that the code prints the same.
pub static SCHEMA: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema.graphql");
    std::fs::read_to_string(path).expect("schema.graphql is in the repository")
});

/// The type of the mutation's argument `input`.
pub(crate) fn input_type(mutation: &str) -> &'static str {
    let field = format!("\n  {mutation}(");
    let found = SCHEMA.split_once("\ntype Mutation").and_then(|(_, mutations)| mutations.split_once(&field));
    let (_, arguments) = found.unwrap_or_else(|| panic!("the schema has no mutation {mutation}"));
    let (_, named) = arguments.split_once("input: ").unwrap_or_else(|| panic!("{mutation} takes no input"));
    named.split(['!', ' ', ')', '\n']).next().unwrap_or_default()
}
