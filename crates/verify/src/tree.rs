//! The Merkle tree of RFC 9162: its hashes (section 2.1.1), and the verification of inclusion (2.1.3.2) and consistency
//! proofs (2.1.4.2). How proofs are made is the ledger's part.

use sha2::{Digest, Sha256};

/// A SHA-256 value: of a leaf, of a node, or of a whole tree.
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// No proof in a tree of at most 2^64 leaves is longer.
pub const PROOF_HASHES_MAX: usize = 65;

/// Why a proof does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFails {
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf { index: u64, size: u64 },
    #[error("a tree of {new} leaves can't come after one of {old}")]
    Shrinks { old: u64, new: u64 },
    #[error("{found} hashes, where a proof for these sizes has {expected}")]
    Length { expected: usize, found: usize },
    #[error("its hashes lead to another root than the one of the tree of {size} leaves")]
    Root { size: u64 },
}

/// The hash of a leaf, whose entry is an event's digest (SHA-256 of its canonical envelope).
pub fn leaf_hash(digest: &Hash) -> Hash {
    let mut input = [0; 33];
    input[1..].copy_from_slice(digest);
    Sha256::digest(input).into()
}

/// The hash of a node over its two children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    Sha256::digest(input).into()
}

/// Checks that `leaf` is leaf `index` of the tree with this size and root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofFails> {
    if index >= size {
        return Err(ProofFails::NoSuchLeaf { index, size });
    }
    let expected = inclusion_length(index, size);
    if proof.len() != expected {
        return Err(ProofFails::Length { expected, found: proof.len() });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A right edge without a sibling is lifted until it has one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if hash == *root { Ok(()) } else { Err(ProofFails::Root { size }) }
}

/// Checks that the tree of `new_size` leaves begins with the one of `old_size` leaves. Every tree begins with the empty one.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofFails> {
    if old_size > new_size {
        return Err(ProofFails::Shrinks { old: old_size, new: new_size });
    }
    let expected = consistency_length(old_size, new_size);
    if proof.len() != expected {
        return Err(ProofFails::Length { expected, found: proof.len() });
    }
    if old_size == 0 && *old_root != EMPTY_ROOT {
        return Err(ProofFails::Root { size: 0 });
    }
    if new_size == 0 && *new_root != EMPTY_ROOT || old_size == new_size && old_root != new_root {
        return Err(ProofFails::Root { size: new_size });
    }
    if old_size == 0 || old_size == new_size {
        return Ok(());
    }
    // The old tree of a power of two is itself the first node, and not repeated in the proof.
    let mut hashes = proof.iter();
    let first = if old_size.is_power_of_two() { old_root } else { hashes.next().unwrap_or(old_root) };
    let shift = (old_size - 1).trailing_ones();
    let (mut node, mut last) = (shifted(old_size - 1, shift), shifted(new_size - 1, shift));
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in hashes {
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if old_hash != *old_root {
        return Err(ProofFails::Root { size: old_size });
    }
    if new_hash != *new_root {
        return Err(ProofFails::Root { size: new_size });
    }
    Ok(())
}

/// How many hashes the inclusion proof of this leaf has: one for each level until its path meets that of the last leaf,
/// and above that one for each left sibling.
fn inclusion_length(index: u64, size: u64) -> usize {
    let meets = u64::BITS - (index ^ (size - 1)).leading_zeros();
    (meets + shifted(index, meets).count_ones()) as usize
}

fn consistency_length(old_size: u64, new_size: u64) -> usize {
    if old_size == 0 || old_size == new_size {
        return 0;
    }
    // It is the inclusion proof of the largest complete subtree at the old tree's right edge, and that subtree itself
    // unless it is the whole old tree.
    let shift = old_size.trailing_zeros();
    let path = inclusion_length((old_size - 1) >> shift, ((new_size - 1) >> shift) + 1);
    path + usize::from(!old_size.is_power_of_two())
}

/// `value >> by`, also where all bits go.
fn shifted(value: u64, by: u32) -> u64 {
    value.checked_shr(by).unwrap_or(0)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
