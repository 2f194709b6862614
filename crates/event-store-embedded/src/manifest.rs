//! A check of RocksDB's manifest before RocksDB reads it: with a single bit flipped in a record's type, RocksDB 11 loops
//! for ever when it opens (found by the damage tests). What doesn't check out is rebuilt from the journal.
//!
//! The manifest is a log of 32 KiB blocks; a record has a masked CRC32C over its type and payload 4, length 2, type 1,
//! payload; what is left of a block, too short for a header, is zeros.

use std::{fs, io, path::Path};

use crate::format::{array, u32_at};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// Full, first, middle, last: those that a manifest has.
const TYPES: std::ops::RangeInclusive<u8> = 1..=4;

/// Whether the manifest that `CURRENT` names is sound; a folder without `CURRENT` holds no database yet.
pub fn is_sound(folder: &Path) -> io::Result<bool> {
    let current = match fs::read_to_string(folder.join("CURRENT")) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
        Err(error) => return Err(error),
    };
    let Some(name) = current.strip_suffix('\n').filter(|name| name.starts_with("MANIFEST-")) else { return Ok(false) };
    match fs::read(folder.join(name)) {
        Ok(manifest) => Ok(manifest.chunks(BLOCK_BYTES).all(block_is_sound)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn block_is_sound(mut block: &[u8]) -> bool {
    while block.len() >= HEADER_BYTES {
        let length = usize::from(u16::from_le_bytes(array(block, 4)));
        let Some(covered) = block.get(6..HEADER_BYTES + length) else { return false };
        if !TYPES.contains(&block[6]) || masked(crc32c::crc32c(covered)) != u32_at(block, 0) {
            return false;
        }
        block = &block[HEADER_BYTES + length..];
    }
    block.iter().all(|byte| *byte == 0)
}

/// RocksDB stores checksums masked, so that a checksum of checksums stays one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
