//! Damage that shows only when a row is read.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_reader_meets_is_told_and_the_next_start_rebuilds() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let rows = folder.path().join("rows");
    let models = folded(&rows, &log);
    models.flush().unwrap();
    assert!(models.find_organization(CLINIC).unwrap().is_some());
    let files = models.db.live_files().unwrap();
    let of_organizations =
        files.iter().filter(|file| organizations::TABLES.contains(&file.column_family_name.as_str()));
    let paths: Vec<_> = of_organizations.map(|file| rows.join(file.name.trim_start_matches('/'))).collect();
    assert!(!paths.is_empty(), "the rows are in files");
    drop(models);
    for path in &paths {
        // Rows stand at a file's beginning; what it is opened by, at its end.
        let mut bytes = fs::read(path).unwrap();
        bytes[..16].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(path, bytes).unwrap();
    }

    let models = ReadModels::open(&rows).unwrap();
    assert_eq!(models.damage(), None, "nobody has read them yet");
    assert!(models.find_organization(CLINIC).is_err());
    assert!(models.damage().unwrap().contains("a restart rebuilds them"), "{:?}", models.damage());
    drop(models);

    let models = folded(&rows, &log);
    assert_eq!(models.damage(), None);
    assert!(models.find_organization(CLINIC).unwrap().is_some());
    drop(models);
    assert!(fs::read_dir(folder.path()).unwrap().count() == 1, "the mark is gone");
}
