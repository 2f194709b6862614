//! How roots and proofs are put together from stored nodes (RFC 9162, sections 2.1.1, 2.1.3.1, 2.1.4.1), each with a number
//! of reads that is logarithmic in the tree's size.
//!
//! A node is the root of a complete subtree: `node(level, index)` covers the 2^level leaves from `index << level` on.

use witan_verify::{
    Hash,
    tree::{EMPTY_ROOT, node_hash},
};

/// How many nodes are stored for this many leaves.
pub fn stored_nodes(leaves: u64) -> u64 {
    2 * leaves - u64::from(leaves.count_ones())
}

/// Where a node is stored: right after its right child, so that the file only ever grows at its end (post-order).
pub fn node_place(level: u32, index: u64) -> u64 {
    let last_leaf = ((index + 1) << level) - 1;
    stored_nodes(last_leaf) + u64::from(level)
}

/// The nodes whose leaves together are those from 0 to `size`, largest first.
pub fn edge<E>(size: u64, node: impl Fn(u32, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    complete_subtrees(0, size).map(|(level, index)| node(level, index)).collect()
}

/// The root over complete subtrees, largest first.
pub fn fold(edge: &[Hash]) -> Hash {
    let right_to_left = edge.iter().rev().copied();
    right_to_left.reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
}

/// The proof that leaf `index` is in the tree of `size` leaves, from the leaf up. `index` is below `size`.
pub fn inclusion<E>(index: u64, size: u64, node: impl Fn(u32, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let middle = low + half(high - low);
        if index < middle {
            proof.push(range(middle, high, &node)?);
            high = middle;
        } else {
            proof.push(range(low, middle, &node)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new` leaves begins with the one of `old` leaves. `old` is at most `new`.
pub fn consistency<E>(old: u64, new: u64, node: impl Fn(u32, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    if old == 0 {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, new);
    let mut proof = Vec::new();
    while old != high {
        let middle = low + half(high - low);
        if old <= middle {
            proof.push(range(middle, high, &node)?);
            high = middle;
        } else {
            proof.push(range(low, middle, &node)?);
            low = middle;
        }
    }
    // Where nothing was cut off on the left, what is left is the whole old tree, whose root the verifier has.
    if low > 0 {
        proof.push(range(low, high, &node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hash over the leaves from `low` to `high`; `low` is a multiple of the largest power of two that fits.
fn range<E>(low: u64, high: u64, node: &impl Fn(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let subtrees: Result<Vec<Hash>, E> =
        complete_subtrees(low, high).map(|(level, index)| node(level, index)).collect();
    Ok(fold(&subtrees?))
}

/// Level and index of the complete subtrees that make up the leaves from `low` to `high`, largest first.
fn complete_subtrees(mut low: u64, high: u64) -> impl Iterator<Item = (u32, u64)> {
    std::iter::from_fn(move || {
        let level = (high - low).checked_ilog2()?;
        let index = low >> level;
        low += 1 << level;
        Some((level, index))
    })
}

/// The largest power of two below `size`, which is at least 2.
fn half(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_place_of_its_own_in_the_order_of_its_making() {
        let mut next = 0;
        for leaf in 0_u64..1000 {
            assert_eq!(stored_nodes(leaf), next);
            for level in 0..=leaf.trailing_ones() {
                assert_eq!(node_place(level, leaf >> level), next);
                next += 1;
            }
        }
    }

    #[test]
    fn a_proof_of_a_billion_leaves_reads_few_nodes() {
        let reads = std::cell::Cell::new(0);
        let node = |_, _| {
            reads.set(reads.get() + 1);
            Ok::<Hash, ()>([0; 32])
        };
        let size = 987_654_321;
        assert!(inclusion(size - 7, size, node).is_ok_and(|proof| proof.len() <= 30));
        assert!(consistency(123_456_789, size, node).is_ok_and(|proof| proof.len() <= 31));
        assert!(reads.get() <= 4 * 30, "{} reads", reads.get());
    }
}
