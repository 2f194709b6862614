//! What the table of the docs says of each operation: read as data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The operations of the API, each with its scope and the letters of the columns that have a dot.
pub struct Expected {
    rows: BTreeMap<String, Operation>,
}

struct Operation {
    /// What an API key that is limited needs for it; empty where it needs none.
    scope: String,
    columns: BTreeSet<char>,
}

impl Expected {
    pub fn read() -> Expected {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/roles.md");
        let page = std::fs::read_to_string(path).expect("docs/roles.md is in the repository");
        let mut rows = BTreeMap::new();
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
                    let columns = dots.map(|(letter, _)| *letter).collect();
                    let scope = cells[1].trim_matches('`').to_owned();
                    rows.insert(name.trim_matches('`').to_owned(), Operation { scope, columns });
                }
                _ => {}
            }
        }
        Expected { rows }
    }

    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// Whether someone who is in any of these columns may do it, by a key that is limited to one scope where there is one.
    pub fn allows(&self, operation: &str, columns: &str, limited_to: Option<&str>) -> bool {
        let row = self.rows.get(operation);
        let row = row.unwrap_or_else(|| panic!("docs/roles.md has no row for the operation {operation}"));
        let within = row.scope.is_empty() || limited_to.is_none_or(|scope| scope == row.scope);
        within && columns.chars().any(|column| row.columns.contains(&column))
    }
}
