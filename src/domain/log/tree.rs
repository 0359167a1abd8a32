//! The Merkle tree of RFC 6962, section 2: hashes, proofs and their verification.
//!
//! Whoever makes a proof says where hashes of perfect subtrees are read from; whoever verifies one
//! needs nothing but the proof. Positions are of 64 bits, so no tree is too large.

use sha2::Digest as _;

use crate::domain::digest::Sha256;

/// Longest proof in hashes; a tree of 2^63 leaves needs no more.
pub const PROOF_MAX: usize = 64;
/// Bytes of one hash.
pub const HASH_BYTES: usize = 32;

/// The hash of a leaf: SHA-256(0x00, leaf).
pub fn leaf_hash(leaf: &[u8]) -> Sha256 {
    let digest = sha2::Sha256::new().chain_update([0]).chain_update(leaf);
    Sha256::from_bytes(digest.finalize().into())
}

/// The hash above two subtrees: SHA-256(0x01, left, right).
pub fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    let digest = sha2::Sha256::new().chain_update([1]);
    let digest = digest.chain_update(left.as_bytes()).chain_update(right.as_bytes());
    Sha256::from_bytes(digest.finalize().into())
}

/// A perfect subtree: the `2^height` leaves that begin at `index * 2^height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Levels above the leaves.
    pub height: u8,
    /// Counted from zero among the subtrees of this height.
    pub index: u64,
}

/// Consecutive leaves that have one hash in some tree: its root, or an item of a proof in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// All leaves of a tree.
    pub const fn tree(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    /// The perfect subtrees it is made of, largest first.
    pub fn nodes(self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut start = self.start;
        while start < self.end {
            // `ilog2` of a 64-bit number is below 64.
            let height = u8::try_from((self.end - start).ilog2()).unwrap_or(0);
            nodes.push(Node { height, index: start >> height });
            start += 1 << height;
        }
        nodes
    }

    /// Its hash, from the hashes of its perfect subtrees; `None` when one of them is not there.
    pub fn hash(self, read: impl Fn(Node) -> Option<Sha256>) -> Option<Sha256> {
        let hashes: Option<Vec<Sha256>> = self.nodes().into_iter().map(read).collect();
        Some(join(&hashes?))
    }

    /// Where RFC 6962 splits it: the largest power of two below its length.
    const fn middle(self) -> u64 {
        self.start + (1 << (self.end - self.start - 1).ilog2())
    }
}

/// Joins the hashes of adjacent perfect subtrees, largest first; of none, the empty tree's root.
fn join(hashes: &[Sha256]) -> Sha256 {
    let mut smaller_first = hashes.iter().rev();
    let Some(last) = smaller_first.next() else { return Sha256::of(b"") };
    smaller_first.fold(*last, |right, left| node_hash(left, &right))
}

/// What an inclusion proof of leaf `index` in a tree of `size` leaves consists of, leaf's side
/// first (2.1.1). `None` when the tree has no such leaf.
pub fn inclusion_proof(index: u64, size: u64) -> Option<Vec<Span>> {
    if index >= size {
        return None;
    }
    let mut proof = Vec::new();
    let Span { mut start, mut end } = Span::tree(size);
    while end - start > 1 {
        let middle = Span { start, end }.middle();
        if index < middle {
            proof.push(Span { start: middle, end });
            end = middle;
        } else {
            proof.push(Span { start, end: middle });
            start = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// What a proof consists of that a tree of `new` leaves extends its first `old` ones (2.1.2).
/// `None` when it cannot, since it is smaller.
pub fn consistency_proof(old: u64, new: u64) -> Option<Vec<Span>> {
    if old > new {
        return None;
    }
    let mut proof = Vec::new();
    if old == 0 {
        return Some(proof);
    }
    let Span { mut start, mut end } = Span::tree(new);
    while end != old {
        let middle = Span { start, end }.middle();
        if old <= middle {
            proof.push(Span { start: middle, end });
            end = middle;
        } else {
            proof.push(Span { start, end: middle });
            start = middle;
        }
    }
    // The old tree as a whole is known to whoever checks the proof.
    if start != 0 {
        proof.push(Span { start, end });
    }
    proof.reverse();
    Some(proof)
}

/// A tree as its head says it: how many leaves, and the hash over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of leaves.
    pub size: u64,
    /// The root hash.
    pub root: Sha256,
}

/// Whether `proof` shows that the tree has `leaf` (a leaf's hash) at `index` (RFC 9162, 2.1.3.2).
pub fn includes(tree: &TreeHead, index: u64, leaf: Sha256, proof: &[Sha256]) -> bool {
    if index >= tree.size {
        return false;
    }
    let mut climb = Climb { at: index, last: tree.size - 1 };
    let mut hash = leaf;
    for item in proof {
        if climb.last == 0 {
            return false;
        }
        hash = if climb.step() { node_hash(item, &hash) } else { node_hash(&hash, item) };
    }
    climb.last == 0 && hash == tree.root
}

/// Whether `proof` shows that `new` has all leaves of `old` and only more (RFC 9162, 2.1.4.2).
pub fn extends(old: &TreeHead, new: &TreeHead, proof: &[Sha256]) -> bool {
    if old.size == 0 || old.size == new.size {
        let empty = old.size > 0 || old.root == join(&[]);
        let same = old.size < new.size || old.root == new.root;
        return proof.is_empty() && empty && same;
    }
    if old.size > new.size {
        return false;
    }
    let mut climb = Climb { at: old.size - 1, last: new.size - 1 };
    let skipped = climb.at.trailing_ones();
    climb = Climb { at: climb.at >> skipped, last: climb.last >> skipped };
    let (first, rest) = match proof.split_first() {
        // A perfect old tree is itself the first item.
        Some(_) if old.size.is_power_of_two() => (old.root, proof),
        Some((first, rest)) => (*first, rest),
        None => return false,
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for item in rest {
        if climb.last == 0 {
            return false;
        }
        if climb.step() {
            old_hash = node_hash(item, &old_hash);
            new_hash = node_hash(item, &new_hash);
        } else {
            new_hash = node_hash(&new_hash, item);
        }
    }
    climb.last == 0 && old_hash == old.root && new_hash == new.root
}

/// The way from a node to the root, beside the way from the last node of its level.
struct Climb {
    at: u64,
    last: u64,
}

impl Climb {
    /// Goes up by one item of the proof; true when that item is on the left.
    const fn step(&mut self) -> bool {
        let left = self.at & 1 == 1 || self.at == self.last;
        if left {
            // Right edge: levels on which this node has no sibling have no item.
            while self.at & 1 == 0 && self.at != 0 {
                self.at >>= 1;
                self.last >>= 1;
            }
        }
        self.at >>= 1;
        self.last >>= 1;
        left
    }
}

/// The right edge of a tree: all that appending and the root need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Hashes of the perfect subtrees of [`Span::tree`], largest first: one per bit of the size.
    edge: Vec<Sha256>,
}

impl Frontier {
    /// The frontier of the first `size` leaves, from the hashes of perfect subtrees.
    pub fn at(size: u64, read: impl Fn(Node) -> Option<Sha256>) -> Option<Self> {
        let edge: Option<Vec<Sha256>> = Span::tree(size).nodes().into_iter().map(read).collect();
        Some(Self { size, edge: edge? })
    }

    /// Reads what [`Self::edge_bytes`] wrote; `None` when it does not fit the size.
    pub fn from_edge_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let edge: Option<Vec<Sha256>> = bytes.chunks(HASH_BYTES).map(Sha256::from_slice).collect();
        let edge = edge?;
        (u64::from(size.count_ones()) == edge.len() as u64).then_some(Self { size, edge })
    }

    /// The hashes one after the other.
    pub fn edge_bytes(&self) -> Vec<u8> {
        self.edge.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: join(&self.edge) }
    }

    /// Appends the hash of a leaf and returns the perfect subtrees it completed, lowest first: the
    /// leaf itself and what lies above it.
    pub fn append(&mut self, leaf: Sha256) -> Vec<(Node, Sha256)> {
        let mut node = Node { height: 0, index: self.size };
        let mut hash = leaf;
        let mut completed = vec![(node, hash)];
        while node.index & 1 == 1
            && let Some(left) = self.edge.pop()
        {
            hash = node_hash(&left, &hash);
            node = Node { height: node.height + 1, index: node.index >> 1 };
            completed.push((node, hash));
        }
        self.edge.push(hash);
        self.size += 1;
        completed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u64) -> Vec<Sha256> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// MTH of RFC 6962, 2.1, word by word.
    fn naive_root(leaves: &[Sha256]) -> Sha256 {
        match leaves {
            [] => Sha256::of(b""),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&naive_root(left), &naive_root(right))
            }
        }
    }

    /// PATH of RFC 6962, 2.1.1, word by word.
    fn naive_inclusion(index: usize, leaves: &[Sha256]) -> Vec<Sha256> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut path, other) = if index < middle {
            (naive_inclusion(index, left), right)
        } else {
            (naive_inclusion(index - middle, right), left)
        };
        path.push(naive_root(other));
        path
    }

    /// SUBPROOF of RFC 6962, 2.1.2, word by word.
    fn naive_consistency(old: usize, leaves: &[Sha256], whole: bool) -> Vec<Sha256> {
        if old == leaves.len() {
            return if whole { Vec::new() } else { vec![naive_root(leaves)] };
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut proof, other) = if old <= middle {
            (naive_consistency(old, left, whole), right)
        } else {
            (naive_consistency(old - middle, right, false), left)
        };
        proof.push(naive_root(other));
        proof
    }

    fn reader(leaves: &[Sha256]) -> impl Fn(Node) -> Option<Sha256> {
        move |node| {
            let start = usize::try_from(node.index << node.height).ok()?;
            Some(naive_root(leaves.get(start..start + (1 << node.height))?))
        }
    }

    fn head(leaves: &[Sha256]) -> TreeHead {
        TreeHead { size: leaves.len() as u64, root: naive_root(leaves) }
    }

    fn flipped(hash: Sha256, bit: usize) -> Sha256 {
        let mut bytes = *hash.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        Sha256::from_bytes(bytes)
    }

    fn hashes(spans: Vec<Span>, leaves: &[Sha256]) -> Vec<Sha256> {
        spans.into_iter().map(|span| span.hash(reader(leaves)).unwrap()).collect()
    }

    #[test]
    fn every_small_tree_has_the_roots_and_proofs_of_the_definition() {
        let all = leaves(40);
        let mut frontier = Frontier::default();
        for size in 0..=all.len() {
            let tree = &all[..size];
            assert_eq!(frontier.head(), head(tree));
            assert_eq!(Frontier::at(size as u64, reader(tree)).as_ref(), Some(&frontier));
            let bytes = frontier.edge_bytes();
            assert_eq!(Frontier::from_edge_bytes(size as u64, &bytes).as_ref(), Some(&frontier));
            for index in 0..size {
                let proof = hashes(inclusion_proof(index as u64, size as u64).unwrap(), tree);
                assert_eq!(proof, naive_inclusion(index, tree));
                assert!(includes(&head(tree), index as u64, tree[index], &proof));
            }
            for old in 0..=size {
                let proof = hashes(consistency_proof(old as u64, size as u64).unwrap(), tree);
                if old > 0 {
                    assert_eq!(proof, naive_consistency(old, tree, true));
                }
                assert!(extends(&head(&tree[..old]), &head(tree), &proof), "{old} of {size}");
            }
            if let Some(leaf) = all.get(size) {
                for (node, hash) in frontier.append(*leaf) {
                    assert_eq!(Some(hash), reader(&all)(node), "{node:?}");
                }
            }
        }
    }

    #[test]
    fn proofs_that_cannot_exist_are_not_made_and_their_verification_fails() {
        let all = leaves(9);
        assert_eq!(inclusion_proof(9, 9), None);
        assert_eq!(inclusion_proof(0, 0), None);
        assert_eq!(consistency_proof(10, 9), None);
        assert!(!includes(&head(&all), 9, all[8], &[]));
        assert!(!includes(&head(&[]), 0, all[0], &[]));
        assert!(!extends(&head(&all), &head(&all[..8]), &[]));
        assert!(!extends(&head(&all[..4]), &head(&all), &[]));
        // An old tree of size zero with another root than the empty one's is no tree.
        assert!(!extends(&TreeHead { size: 0, root: all[0] }, &head(&all), &[]));
        assert_eq!(Frontier::from_edge_bytes(3, &[0; 32]), None);
        assert_eq!(Frontier::from_edge_bytes(1, &[0; 31]), None);
        assert_eq!(Frontier::from_edge_bytes(0, &[0; 32]), None);
    }

    proptest! {
        /// Rule K5: nothing but the right proof of the right thing verifies.
        #[test]
        fn a_changed_inclusion_proof_never_verifies(
            size in 1_u64..200, pick in any::<prop::sample::Index>(), change in 0_usize..6,
            item in any::<prop::sample::Index>(), bit in 0_usize..256,
        ) {
            let tree = leaves(size);
            let index = pick.index(tree.len());
            let mut proof = hashes(inclusion_proof(index as u64, size).unwrap(), &tree);
            let (mut head, mut at, mut leaf) = (head(&tree), index as u64, tree[index]);
            prop_assert!(includes(&head, at, leaf, &proof));
            let flip = |hash| flipped(hash, bit);
            match change {
                0 if !proof.is_empty() => {
                    let item = item.index(proof.len());
                    proof[item] = flip(proof[item]);
                }
                1 if !proof.is_empty() => drop(proof.remove(item.index(proof.len()))),
                2 => proof.insert(item.index(proof.len() + 1), flip(leaf)),
                3 => leaf = flip(leaf),
                4 if size > 1 => at = (at + 1) % size,
                _ => head.root = flip(head.root),
            }
            prop_assert!(!includes(&head, at, leaf, &proof));
        }

        /// Rule K6: only a tree that holds the whole old one extends it.
        #[test]
        fn a_changed_consistency_proof_never_verifies(
            new in 2_u64..200, pick in any::<prop::sample::Index>(), change in 0_usize..6,
            item in any::<prop::sample::Index>(), bit in 0_usize..256,
        ) {
            let tree = leaves(new);
            let old = pick.index(tree.len() - 1) + 1;
            let mut proof = hashes(consistency_proof(old as u64, new).unwrap(), &tree);
            let (mut before, mut after) = (head(&tree[..old]), head(&tree));
            prop_assert!(extends(&before, &after, &proof));
            let flip = |hash| flipped(hash, bit);
            match change {
                0 => {
                    let item = item.index(proof.len());
                    proof[item] = flip(proof[item]);
                }
                1 => drop(proof.remove(item.index(proof.len()))),
                2 => proof.insert(item.index(proof.len() + 1), flip(after.root)),
                3 => before.root = flip(before.root),
                4 => after.root = flip(after.root),
                _ => std::mem::swap(&mut before, &mut after),
            }
            prop_assert!(!extends(&before, &after, &proof));
        }
    }
}
