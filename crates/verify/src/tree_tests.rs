use proptest::prelude::*;

use super::*;

/// MTH of RFC 9162, section 2.1.1, word for word.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(half(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// PATH of RFC 9162, section 2.1.3.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = half(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) =
        if index < k { (path(index, left), root(right)) } else { (path(index - k, right), root(left)) };
    proof.push(sibling);
    proof
}

/// SUBPROOF of RFC 9162, section 2.1.4.1.
fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let k = half(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if old <= k {
        (subproof(old, left, whole), root(right))
    } else {
        (subproof(old - k, right, false), root(left))
    };
    proof.push(sibling);
    proof
}

/// The largest power of two below `size`.
fn half(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count as u64).map(|n| leaf_hash(&Sha256::digest(n.to_le_bytes()).into())).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

/// Every single flipped bit of these hashes, one at a time.
fn flipped(hashes: &[Hash]) -> impl Iterator<Item = Vec<Hash>> + '_ {
    (0..hashes.len() * 256).map(|bit| {
        let mut changed = hashes.to_vec();
        changed[bit / 256][bit / 8 % 32] ^= 1 << (bit % 8);
        changed
    })
}

#[test]
fn the_empty_tree() {
    assert_eq!(EMPTY_ROOT, <Hash>::from(Sha256::digest([])));
    assert_eq!(verify_consistency(0, 0, &[], &EMPTY_ROOT, &EMPTY_ROOT), Ok(()));
    assert!(verify_consistency(0, 0, &[], &EMPTY_ROOT, &[1; 32]).is_err());
    assert!(verify_consistency(0, 0, &[], &[1; 32], &[1; 32]).is_err());
    assert_eq!(verify_inclusion(&[0; 32], 0, 0, &[], &EMPTY_ROOT), Err(ProofFails::NoSuchLeaf { index: 0, size: 0 }));
}

/// The eight entries and the roots that implementations of Certificate Transparency (RFC 6962) share.
#[test]
fn the_roots_of_certificate_transparency() {
    let entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Hash> =
        entries.iter().map(|entry| Sha256::digest([vec![0], unhex(entry)].concat()).into()).collect();
    let roots: Vec<Hash> = roots.iter().map(|root| unhex(root).try_into().unwrap()).collect();
    for size in 1..=8 {
        assert_eq!(root(&leaves[..size]), roots[size - 1]);
        for index in 0..size {
            let proof = path(index, &leaves[..size]);
            assert_eq!(verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &roots[size - 1]), Ok(()));
        }
        for old in 1..=size {
            let proof = subproof(old, &leaves[..size], true);
            assert_eq!(verify_consistency(old as u64, size as u64, &proof, &roots[old - 1], &roots[size - 1]), Ok(()));
        }
    }
}

#[test]
fn every_leaf_of_every_small_tree() {
    let all = leaves(300);
    for size in 1..=300 {
        let whole = root(&all[..size]);
        for index in 0..size {
            let proof = path(index, &all[..size]);
            assert_eq!(verify_inclusion(&all[index], index as u64, size as u64, &proof, &whole), Ok(()));
            // The same hashes prove no other place and no tree of another size with this root.
            let neighbour = (index + 1) % size;
            if neighbour != index {
                assert!(verify_inclusion(&all[index], neighbour as u64, size as u64, &proof, &whole).is_err());
            }
        }
    }
}

#[test]
fn every_two_sizes_of_a_small_tree() {
    let all = leaves(130);
    let roots: Vec<Hash> = (0..=130).map(|size| root(&all[..size])).collect();
    for new in 0..=130 {
        for old in 0..=new {
            let proof = if old == 0 { Vec::new() } else { subproof(old, &all[..new], true) };
            let (m, n) = (old as u64, new as u64);
            assert_eq!(verify_consistency(m, n, &proof, &roots[old], &roots[new]), Ok(()), "{old} {new}");
            if old < new {
                assert_eq!(
                    verify_consistency(n, m, &proof, &roots[new], &roots[old]),
                    Err(ProofFails::Shrinks { old: n, new: m })
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_bit_of_an_inclusion_proof_may_change(size in 1usize..300, pick: prop::sample::Index) {
        let all = leaves(size);
        let (index, whole) = (pick.index(size), root(&all));
        let (proof, leaf) = (path(index, &all), all[index]);
        let check = |leaf: &Hash, proof: &[Hash], root: &Hash| {
            verify_inclusion(leaf, index as u64, size as u64, proof, root).is_ok()
        };
        prop_assert!(check(&leaf, &proof, &whole));
        for changed in flipped(&proof) {
            prop_assert!(!check(&leaf, &changed, &whole));
        }
        for changed in flipped(&[leaf, whole]) {
            prop_assert_eq!(check(&changed[0], &proof, &changed[1]), false);
        }
        let longer = [&proof[..], &[whole]].concat();
        prop_assert!(!check(&leaf, &longer, &whole));
        prop_assert!(proof.is_empty() || !check(&leaf, &proof[1..], &whole));
    }

    #[test]
    fn no_bit_of_a_consistency_proof_may_change(new in 2usize..300, pick: prop::sample::Index) {
        let all = leaves(new);
        let old = 1 + pick.index(new - 1);
        let (before, after, proof) = (root(&all[..old]), root(&all), subproof(old, &all, true));
        let check = |proof: &[Hash], before: &Hash, after: &Hash| {
            verify_consistency(old as u64, new as u64, proof, before, after).is_ok()
        };
        prop_assert!(check(&proof, &before, &after));
        for changed in flipped(&proof) {
            prop_assert!(!check(&changed, &before, &after));
        }
        for changed in flipped(&[before, after]) {
            prop_assert!(!check(&proof, &changed[0], &changed[1]));
        }
        prop_assert!(!check(&proof[1..], &before, &after));
        prop_assert!(!check(&[&proof[..], &[after]].concat(), &before, &after));
    }

    #[test]
    fn hostile_sizes_never_panic(
        index: u64, size: u64, other: u64, proof in prop::collection::vec(any::<Hash>(), 0..70),
    ) {
        prop_assert!(verify_inclusion(&[7; 32], index, size, &proof, &[9; 32]).is_err());
        prop_assert!(verify_consistency(size, other, &proof, &[7; 32], &[9; 32]).is_err());
    }

    #[test]
    fn lengths_hold_at_the_end_of_the_range(index in 0..u64::MAX, shift in 0u32..64) {
        let size = u64::MAX >> shift;
        let index = index % size;
        let length = super::inclusion_length(index, size);
        prop_assert!(length <= PROOF_HASHES_MAX);
        let proof = vec![[1; 32]; length];
        prop_assert_eq!(
            verify_inclusion(&[7; 32], index, size, &proof, &[9; 32]),
            Err(ProofFails::Root { size })
        );
    }
}
