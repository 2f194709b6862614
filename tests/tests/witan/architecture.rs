//! The rules of the house, held over `cargo metadata` and the sources: who may import whom, who alone knows what, which
//! dependencies and licences come in, and what never stands in a file.
//!
//! A rule that stands in the way is changed here, with its reason in `docs/decisions/`, and not worked around.

mod dependencies;
mod layers;
mod licences;
mod sources;
mod workspace;

use workspace::Workspace;

/// Fails with all complaints at once, so that one run shows everything that is wrong.
fn expect_none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}\n  {}\n", complaints.join("\n  "));
}
