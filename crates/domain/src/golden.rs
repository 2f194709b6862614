//! Golden files: what each event looks like in the journal, so that a change of its shape is seen.
//!
//! `golden/<category>/<Kind>.v<schema>.json` is the payload of one sample. `WITAN_BLESS=1 cargo test -p witan-domain`
//! writes them anew. When an event's shape changes, its old file stays and its upcaster must lead from it to the new.

use std::{fs, path::PathBuf};

use crate::aggregate::{Aggregate, EventPayload};

/// Checks one sample of every kind of event of the aggregate against its golden file.
#[track_caller]
pub fn check<A: Aggregate>(samples: &[A::Event]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(A::CATEGORY);
    let kinds: Vec<_> = samples.iter().map(EventPayload::kind).collect();
    for kind in A::Event::KINDS {
        assert_eq!(kinds.iter().filter(|sample| *sample == kind).count(), 1, "one sample of {kind} is wanted");
    }
    for sample in samples {
        let kind = sample.kind();
        let newest = A::schema(kind);
        let file = folder.join(format!("{kind}.v{newest}.json"));
        let mut encoded = sample.encode();
        encoded.push(b'\n');
        if std::env::var_os("WITAN_BLESS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &encoded).unwrap();
        }
        let golden =
            fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; WITAN_BLESS=1 writes it", file.display()));
        assert_eq!(String::from_utf8_lossy(&golden), String::from_utf8_lossy(&encoded), "{}", file.display());
        assert_eq!(&A::decode(kind, newest, &golden).unwrap(), sample, "{kind} encoded and decoded");
        for schema in 1..newest {
            let file = folder.join(format!("{kind}.v{schema}.json"));
            let old = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            A::decode(kind, schema, &old).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}
