//! The file `head`: how far the log is known to be on disk. Two slots are written in turn, so that one of them is whole
//! whenever the power goes.
//!
//! | offset in a slot | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | magic and format |
//! | 8 | 8 | leaves (little-endian, as all here) |
//! | 16 | 8 | position of the last leaf's event |
//! | 24 | 32 | digest of that event |
//! | 56 | 32 | root |
//! | 88 | 32 | SHA-256 of the 88 bytes before |

use std::{fs::File, io, os::unix::fs::FileExt};

use sha2::{Digest, Sha256};
use witan_verify::Hash;

const MAGIC: &[u8; 8] = b"wt-log-1";
const SUMMED_BYTES: usize = 88;
const SLOT_BYTES: usize = 120;
/// Apart by a block, so that one torn write can't reach both.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];

/// The log's state after a whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    /// Position and digest of the last leaf's event; zeroes when there is none.
    pub position: u64,
    pub digest: Hash,
    pub root: Hash,
}

impl Head {
    fn to_slot(self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&self.size.to_le_bytes());
        slot[16..24].copy_from_slice(&self.position.to_le_bytes());
        slot[24..56].copy_from_slice(&self.digest);
        slot[56..SUMMED_BYTES].copy_from_slice(&self.root);
        let sum = Sha256::digest(&slot[..SUMMED_BYTES]);
        slot[SUMMED_BYTES..].copy_from_slice(&sum);
        slot
    }

    fn from_slot(slot: &[u8; SLOT_BYTES]) -> Option<Self> {
        let whole = &slot[..8] == MAGIC && slot[SUMMED_BYTES..] == Sha256::digest(&slot[..SUMMED_BYTES])[..];
        whole.then(|| Self {
            size: u64::from_le_bytes(array(slot, 8)),
            position: u64::from_le_bytes(array(slot, 16)),
            digest: array(slot, 24),
            root: array(slot, 56),
        })
    }
}

/// What the file says.
pub enum Found {
    /// Nothing was ever written whole.
    Nothing,
    Newest {
        head: Head,
        slot: usize,
    },
    /// Something was written, and no slot of it is whole.
    Damaged,
}

pub fn read(file: &File) -> io::Result<Found> {
    let mut newest = None;
    let mut blank = true;
    for (slot, offset) in SLOT_OFFSETS.into_iter().enumerate() {
        let mut bytes = [0; SLOT_BYTES];
        read_up_to(file, &mut bytes, offset)?;
        blank &= bytes.iter().all(|byte| *byte == 0);
        if let Some(head) = Head::from_slot(&bytes)
            && newest.is_none_or(|(other, _): (Head, usize)| other.size < head.size)
        {
            newest = Some((head, slot));
        }
    }
    Ok(match newest {
        Some((head, slot)) => Found::Newest { head, slot },
        None if blank => Found::Nothing,
        None => Found::Damaged,
    })
}

/// Writes one slot; durable after the file's next sync.
pub fn write(file: &File, slot: usize, head: Head) -> io::Result<()> {
    file.write_all_at(&head.to_slot(), SLOT_OFFSETS[slot % 2])
}

/// Fills as much of `bytes` as the file has.
fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => return Ok(()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn array<const N: usize>(slot: &[u8; SLOT_BYTES], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&slot[at..at + N]);
    array
}
