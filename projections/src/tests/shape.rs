//! Rows are the domain's own state, so a change there changes them: then the read model's version must rise, or the rows of
//! an earlier server would be misread.

use std::{fmt::Write as _, path::Path};

use sha2::{Digest, Sha256};

use super::*;

/// Every read model with its version and a hash of all rows of a whole tenant. After a change: raise the version of the
/// read model whose rows have another shape (no need where only the tests' story has changed), then `WITAN_BLESS=1`.
#[tokio::test]
async fn the_shape_of_rows_is_up_to_date() {
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &clinic().await);
    let rows = dump(&models.db);
    let mut printed = String::new();
    for model in models::all(&models.db) {
        let mut digest = Sha256::new();
        for (table, key, value) in rows.iter().filter(|(table, ..)| model.tables().contains(table)) {
            for part in [table.as_bytes(), key, value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        let hash: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(printed, "{} {} {hash}", model.name(), model.version()).unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/rows.txt");
    if std::env::var_os("WITAN_BLESS").is_some() {
        fs::write(&file, &printed).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        kept, printed,
        "rows have another shape: raise the version of each read model whose line differs, then WITAN_BLESS=1"
    );
}
