//! What the table of the docs says of each operation: read as data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The operations of the API, and the letters of the columns that have a dot.
pub struct Expected {
    allowed: BTreeMap<String, BTreeSet<char>>,
}

impl Expected {
    pub fn read() -> Expected {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/roles.md");
        let page = std::fs::read_to_string(path).expect("docs/roles.md is in the repository");
        let mut allowed = BTreeMap::new();
        let mut letters: Vec<char> = Vec::new();
        // What is asked at the command line is no field of the schema.
        let api = page.split("\n## At the command line").next().unwrap_or_default();
        for line in api.lines() {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells.first() {
                Some(&"operation") => letters = cells[2..].iter().flat_map(|cell| cell.chars()).collect(),
                Some(name) if name.starts_with('`') && !letters.is_empty() => {
                    assert_eq!(cells.len(), letters.len() + 2, "docs/roles.md has another shape: {line}");
                    let dots = letters.iter().zip(&cells[2..]).filter(|(_, cell)| **cell == "●");
                    allowed.insert(name.trim_matches('`').to_owned(), dots.map(|(letter, _)| *letter).collect());
                }
                _ => {}
            }
        }
        Expected { allowed }
    }

    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.allowed.keys().map(String::as_str)
    }

    /// Whether someone who is in any of these columns may do it.
    pub fn allows(&self, operation: &str, columns: &str) -> bool {
        let letters = self.allowed.get(operation);
        let letters = letters.unwrap_or_else(|| panic!("docs/roles.md has no row for the operation {operation}"));
        columns.chars().any(|column| letters.contains(&column))
    }
}
