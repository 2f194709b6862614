//! Journals made by hand, as no committer writes them: all checksums, places and chain hashes are right, and what they say
//! is not.

use witan_event_store::{Envelope, contract::event, envelope::stamp};

use super::*;
use crate::{
    format::{
        CHAIN_BYTES, Chain, FRAME_HEADER_BYTES, Footer, FrameHeader, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES,
        SegmentHeader, array, chain_after, seal_record,
    },
    head::HeadFile,
    recover::write_format,
};

/// A stream and a version.
type Crafted<'a> = (&'a str, u64);

/// Makes a journal of these segments; every event is a commit of its own.
fn craft(folder: &Path, segments: &[&[Crafted<'_>]]) {
    let mut start = SegmentHeader { first: 1, chain: [0; 32] };
    for (number, events) in segments.iter().enumerate() {
        let mut bytes = start.encode().to_vec();
        let (mut position, mut chain) = (start.first, start.chain);
        for (stream, version) in *events {
            let frame = frame(position, &chain, stream, *version);
            chain = array(&frame, frame.len() - CHAIN_BYTES);
            bytes.extend(frame);
            position += 1;
        }
        let end = bytes.len() as u64;
        if number + 1 < segments.len() {
            let sparse = vec![(start.first, SEGMENT_HEADER_BYTES as u64)];
            let count = position - start.first;
            bytes.extend(Footer { first: start.first, count, newest_at: 1, chain, sparse }.encode());
        }
        fs::write(folder.join(segment_name(start.first)), bytes).unwrap();
        if number + 1 < segments.len() {
            start = SegmentHeader { first: position, chain };
        } else {
            let mut head = HeadFile::open(folder, 0).unwrap();
            head.write(&RealDisk, position - 1, start.first, end, chain).unwrap();
            head.write(&RealDisk, position - 1, start.first, end, chain).unwrap();
        }
    }
    write_format(folder).unwrap();
}

fn frame(position: u64, before: &Chain, stream: &str, version: u64) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEADER_BYTES];
    record.extend(Envelope::unstamped(stream, None, &event(position)));
    stamp(&mut record[RECORD_HEADER_BYTES..], version, Timestamp(1));
    seal_record(&mut record, position);
    let header = FrameHeader { records_bytes: record.len() as u32, first: position, count: 1 };
    let mut bytes = [&header.encode()[..], &record].concat();
    assert_eq!(bytes.len(), FRAME_HEADER_BYTES + record.len());
    let chain = chain_after(before, &bytes);
    bytes.extend(chain);
    bytes
}

#[test]
fn verify_names_the_stream_and_the_position_of_a_gap() {
    let whole: [&[Crafted<'_>]; 2] =
        [&[("room-1", 0), ("room-2", 0), ("room-1", 1)], &[("room-1", 2), ("room-3", 0), ("room-2", 1)]];
    // The segment, the event in it, what is put there; then what verify must say, and of which position.
    let spoiled = [
        (0, 0, ("room-1", 1), 1, "stream room-1 has version 1 where its version 0 must be"),
        (0, 2, ("room-1", 2), 3, "stream room-1 has version 2 where its version 1 must be"),
        (1, 0, ("room-1", 3), 4, "stream room-1 has version 3 where its version 2 must be"),
        (1, 0, ("room-1", 1), 4, "stream room-1 has version 1 where its version 2 must be"),
        (1, 1, ("room-3", 7), 5, "stream room-3 has version 7 where its version 0 must be"),
        (1, 2, ("room-2", 0), 6, "stream room-2 has version 0 where its version 1 must be"),
        (1, 2, ("room\u{1b}[", 1), 6, "stream room\\u{1b}[ has version 1 where its version 0 must be"),
    ];
    let made = folder();
    craft(made.path(), &whole);
    assert_eq!(verify(&made, |_| {}).unwrap().events, 6);
    assert_eq!(all(&open(&made)).len(), 6, "what the test crafts is a journal");
    for (segment, number, event, position, what) in spoiled {
        let mut events = whole.map(<[Crafted<'_>]>::to_vec);
        events[segment][number] = event;
        let made = folder();
        craft(made.path(), &[&events[0], &events[1]]);
        let Err(OpenError::Damaged(damage)) = verify(&made, |_| {}) else { panic!("{what}: not seen") };
        assert_eq!((damage.position, damage.what.as_str()), (position, what));
        assert_eq!(damage.file, made.path().join(segment_name(if segment == 0 { 1 } else { 4 })));
        // A backup is verified by the same code: it says so of its copy.
        let copy = folder();
        let Err(crate::BackupError::Copy(OpenError::Damaged(damage))) = backup(&made, copy.path().join("copy"), |_| {})
        else {
            panic!("{what}: backed up")
        };
        assert_eq!((damage.position, damage.what.as_str()), (position, what));
    }
}

/// Reading is by version: what lies before a gap is served, and nobody is handed another event in its place.
#[test]
fn a_gap_is_never_read_over() {
    for index in [IndexPlace::Memory, IndexPlace::Disk] {
        let made = folder();
        craft(made.path(), &[&[("room-1", 0), ("room-1", 2), ("room-1", 3)], &[("room-2", 0)]]);
        let journal = Journal::open(&made, Options { index, ..small() }).unwrap();
        let read = |from, max| journal.read_stream("room-1", from, Direction::Forward, max);
        assert_eq!(read(0, 1).unwrap().len(), 1);
        assert!(read(0, 2).is_err() && read(1, 1).is_err());
        let after: Vec<u64> = read(2, 9).unwrap().iter().map(|event| event.envelope.version()).collect();
        assert_eq!(after, [2, 3]);
    }
}
