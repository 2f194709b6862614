//! Bringing the stream index up to the log, or building it anew from the log.

use std::{fs::File, path::Path, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{
    IndexPlace,
    format::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    index::{Index, Stored},
    read::Layout,
    recover::{OpenError, Opened},
    scan::{Fault, Scan, ScanError, Step, read_up_to},
    segment::Segment,
    tail::runs,
};

/// The index of all closed segments. One that doesn't match the log, or is ahead of it, is deleted and rebuilt.
pub fn open(
    folder: &Path,
    place: IndexPlace,
    layout: &Layout,
    newest: u64,
    opened: &mut Opened,
) -> Result<Index, OpenError> {
    let (index, covered) = match place {
        IndexPlace::Memory => (Index::in_memory(), 0),
        IndexPlace::Disk => {
            let (index, why) = match Index::open(folder) {
                Ok((index, stored)) => {
                    let position = stored.position;
                    (Some((index, position)), disagreement(folder, layout, newest, &stored)?)
                }
                Err(error) => (None, Some(error.to_string())),
            };
            match (index, why) {
                (Some(index), None) => index,
                (index, why) => {
                    // Closed first, so that its files can go.
                    drop(index);
                    opened.index_rebuilt = why;
                    let recreated = Index::recreate(folder).unwrap_or_else(|error| {
                        // On a full disk, say: the journal is served all the same.
                        tracing::warn!(%error, "it is kept in memory until the next start");
                        Index::in_memory()
                    });
                    (recreated, 0)
                }
            }
        }
    };
    for (number, first) in layout.closed.iter().enumerate() {
        let last = layout.closed.get(number + 1).copied().unwrap_or(layout.active.first) - 1;
        if last > covered {
            replay(folder, *first, covered, &index)?;
            if let Err(error) = index.flush() {
                tracing::warn!(%error, "can't be written; it stays in memory");
            }
        }
    }
    Ok(index)
}

/// Why the stored index is not one of this log.
fn disagreement(folder: &Path, layout: &Layout, newest: u64, stored: &Stored) -> Result<Option<String>, OpenError> {
    if stored.position == 0 {
        return Ok((!layout.closed.is_empty()).then(|| "it was missing or empty".into()));
    }
    if stored.position > newest {
        return Ok(Some("it is ahead of the log".into()));
    }
    let segment = if stored.position >= layout.active.first {
        layout.active.clone()
    } else {
        let after = layout.closed.partition_point(|first| *first <= stored.position);
        let first = after.checked_sub(1).and_then(|index| layout.closed.get(index)).copied().unwrap_or(1);
        let path = folder.join(segment_name(first));
        Arc::new(Segment::open_closed(folder, first).map_err(OpenError::scan(&path))?.0)
    };
    let path = folder.join(segment_name(segment.first));
    let digest = segment.digest(stored.position).map_err(OpenError::scan(&path))?;
    Ok((digest != stored.digest).then(|| "it was made from another log".into()))
}

/// Puts a closed segment's events after `covered` into the index.
fn replay(folder: &Path, first: u64, covered: u64, index: &Index) -> Result<(), OpenError> {
    let path = folder.join(segment_name(first));
    let file = File::open(&path).map_err(OpenError::io(&path))?;
    let (last, digest) = replay_file(&file, covered, index).map_err(OpenError::scan(&path))?;
    index.roll(last, digest);
    Ok(())
}

fn replay_file(file: &File, covered: u64, index: &Index) -> Result<(u64, [u8; 32]), ScanError> {
    let mut header = Vec::new();
    read_up_to(file, &mut header, SEGMENT_HEADER_BYTES, 0)?;
    let fault = |what: &'static str| ScanError::Fault(Fault { offset: 0, position: 0, what: what.into() });
    let mut scan = Scan::open(file, u64::MAX, SegmentHeader::decode(&header).map_err(fault)?)?;
    let mut newest = Vec::new();
    while let Step::Frame(frame) = scan.step()? {
        let (runs, _) = runs(&frame).map_err(ScanError::Fault)?;
        index.note(runs.iter().filter(|(_, run)| run.position > covered).map(|(stream, run)| (&**stream, *run)));
        if let Some(record) = frame.records().last() {
            newest.clear();
            newest.extend_from_slice(record.envelope);
        }
    }
    Ok((scan.next - 1, Sha256::digest(&newest).into()))
}
