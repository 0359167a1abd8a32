//! Tiles (C2SP tlog-tiles): the tree and its leaves as files that never change.
//!
//! A tile is up to 256 hashes of one level; levels are eight apart, so a hash of level `n + 1` is
//! the root of a full tile of level `n`. A bundle of entries has the leaves below a tile of level 0.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::digest::Sha256;
use crate::domain::log::tree::{Node, node_hash};

/// Levels of the tree in one tile.
pub const HEIGHT: u8 = 8;
/// Hashes of a full tile.
pub const WIDTH: u64 = 1 << HEIGHT;
/// Longest path of a tile in bytes; `63/x999/…/999.p/255` with seven groups is shorter.
const PATH_MAX_BYTES: usize = 64;
/// Highest level that paths may name.
const LEVEL_MAX: u8 = 63;

/// What a tile's file has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// Hashes of a level of tiles.
    Hashes {
        /// Counted from the leaves.
        level: u8,
    },
    /// Leaves, each after its length.
    Entries,
}

/// Names a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// What it has in it.
    pub content: Content,
    /// Counted from zero on its level.
    pub index: u64,
    /// How many hashes or leaves, 1 to [`WIDTH`].
    pub width: u64,
}

impl Tile {
    /// Reads a path below `tile/`, such as `0/x001/234` or `entries/000.p/17`; only the one
    /// spelling of each tile is taken.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > PATH_MAX_BYTES {
            return None;
        }
        let (content, rest) = path.split_once('/')?;
        let content = match content {
            "entries" => Content::Entries,
            level => Content::Hashes { level: level.parse().ok().filter(|n| *n <= LEVEL_MAX)? },
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().ok().filter(|n| *n < WIDTH)?),
            None => (rest, WIDTH),
        };
        let index = groups.split('/').try_fold(0_u64, |index, group| {
            let digits = group.strip_prefix('x').unwrap_or(group);
            index.checked_mul(1000)?.checked_add(digits.parse().ok()?)
        })?;
        let tile = Self { content, index, width };
        (width > 0 && tile.to_string() == path).then_some(tile)
    }

    /// The tile of `level` at `index` as wide as a tree of `size` leaves makes it; `None` when the
    /// tree does not reach it.
    pub fn of_level(level: u8, index: u64, size: u64) -> Option<Self> {
        let start = index.checked_mul(WIDTH)?;
        let width = hashes_on(level, size).checked_sub(start)?.min(WIDTH);
        (width > 0).then_some(Self { content: Content::Hashes { level }, index, width })
    }

    /// The tile that has what is needed for a node of a tree of `size` leaves.
    pub fn holding(node: Node, size: u64) -> Option<Self> {
        Self::of_level(node.height / HEIGHT, tile_index(node), size)
    }

    /// Position of its first hash on its level, or of its first leaf.
    pub const fn start(&self) -> u64 {
        self.index.saturating_mul(WIDTH)
    }

    /// Position after its last hash or leaf.
    pub const fn end(&self) -> u64 {
        self.start().saturating_add(self.width)
    }

    /// Whether a tree of `size` leaves has everything that the tile holds.
    pub fn is_in(&self, size: u64) -> bool {
        let level = match self.content {
            Content::Hashes { level } => level,
            Content::Entries => 0,
        };
        self.end() <= hashes_on(level, size)
    }
}

/// How many hashes a level of tiles has in a tree of `size` leaves.
fn hashes_on(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * u32::from(HEIGHT)).unwrap_or(0)
}

/// Index of the tile a node's hashes are in.
const fn tile_index(node: Node) -> u64 {
    (node.index << (node.height % HEIGHT)) >> HEIGHT
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Hashes { level } => write!(f, "{level}/")?,
            Content::Entries => f.write_str("entries/")?,
        }
        let digits = self.index.to_string();
        let digits = format!("{:0>1$}", digits, digits.len().next_multiple_of(3));
        for start in (0..digits.len()).step_by(3) {
            let group = &digits[start..start + 3];
            let last = start + 3 == digits.len();
            if last { f.write_str(group)? } else { write!(f, "x{group}/")? }
        }
        if self.width < WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The bytes of a bundle: each leaf after its length in two bytes, big-endian. `None` when a leaf
/// is too long for that.
pub fn bundle(leaves: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        bytes.extend_from_slice(&u16::try_from(leaf.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(leaf);
    }
    Some(bytes)
}

/// Reads a bundle; `None` when its bytes are not whole leaves, or more than a tile's.
pub fn unbundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut leaves = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (leaf, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        leaves.push(leaf);
        bytes = rest;
    }
    (bytes.is_empty() && leaves.len() as u64 <= WIDTH).then_some(leaves)
}

/// Tiles at hand, from which the hash of any perfect subtree in them is computed.
#[derive(Debug, Clone, Default)]
pub struct Tiles {
    tiles: BTreeMap<(u8, u64), Vec<Sha256>>,
}

impl Tiles {
    /// Adds the hashes of a tile; they are believed.
    pub fn insert(&mut self, level: u8, index: u64, hashes: Vec<Sha256>) {
        self.tiles.insert((level, index), hashes);
    }

    /// Whether a tile is here.
    pub fn has(&self, level: u8, index: u64) -> bool {
        self.tiles.contains_key(&(level, index))
    }

    /// The hash of a perfect subtree; `None` when its tile is not here or not wide enough.
    pub fn node(&self, node: Node) -> Option<Sha256> {
        let tile = self.tiles.get(&(node.height / HEIGHT, tile_index(node)))?;
        let inside = node.height % HEIGHT;
        let start = usize::try_from((node.index << inside) % WIDTH).ok()?;
        let hashes = tile.get(start..start + (1 << inside))?;
        Some(perfect(hashes))
    }
}

/// The root above `2^n` hashes.
fn perfect(hashes: &[Sha256]) -> Sha256 {
    if let [hash] = hashes {
        return *hash;
    }
    let (left, right) = hashes.split_at(hashes.len() / 2);
    node_hash(&perfect(left), &perfect(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::tree::{Frontier, Span, leaf_hash};

    fn hashes(level: u8, index: u64, width: u64) -> Tile {
        Tile { content: Content::Hashes { level }, index, width }
    }

    #[test]
    fn every_tile_has_one_path_and_other_spellings_are_refused() {
        let rows = [
            ("0/000", hashes(0, 0, 256)),
            ("0/999.p/1", hashes(0, 999, 1)),
            ("1/x001/000", hashes(1, 1000, 256)),
            ("63/x001/x234/067.p/255", hashes(63, 1_234_067, 255)),
            ("entries/x123/456", Tile { content: Content::Entries, index: 123_456, width: 256 }),
        ];
        for (path, tile) in rows {
            assert_eq!(tile.to_string(), path);
            assert_eq!(Tile::parse(path), Some(tile));
        }
        let most = hashes(0, u64::MAX, 256);
        assert_eq!(Tile::parse(&most.to_string()), Some(most));
        for path in [
            "",
            "0",
            "0/",
            "/000",
            "0/0",
            "0/0000",
            "0/x000/001",
            "0/001/000",
            "0/x001",
            "0/001/",
            "00/000",
            "+1/000",
            "64/000",
            "0/-01",
            "0/+01",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p/1/",
            "0/000.p/1.p/1",
            "entry/000",
            "0/x001/x000",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0//000",
            "0/00a",
            "0/000?",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
        assert_eq!(Tile::parse(&format!("0/{}000", "x001/".repeat(20))), None);
    }

    /// The example of the specification: a tree of 70,000 leaves.
    #[test]
    fn a_tree_has_the_tiles_that_the_specification_counts() {
        let size = 70_000;
        assert_eq!(Tile::of_level(0, 272, size), Some(hashes(0, 272, 256)));
        assert_eq!(Tile::of_level(0, 273, size), Some(hashes(0, 273, 112)));
        assert_eq!(Tile::of_level(0, 274, size), None);
        assert_eq!(Tile::of_level(1, 0, size), Some(hashes(1, 0, 256)));
        assert_eq!(Tile::of_level(1, 1, size), Some(hashes(1, 1, 17)));
        assert_eq!(Tile::of_level(2, 0, size), Some(hashes(2, 0, 1)));
        assert_eq!(Tile::of_level(2, 1, size), None);
        assert_eq!(Tile::of_level(3, 0, size), None);
        assert_eq!(Tile::of_level(63, 0, u64::MAX), None);
        assert_eq!(Tile::of_level(1, 0, 256), Some(hashes(1, 0, 1)));
        assert!(hashes(0, 273, 112).is_in(size) && hashes(0, 273, 1).is_in(size));
        assert!(!hashes(0, 273, 113).is_in(size) && !hashes(0, 273, 256).is_in(size));
        assert!(!hashes(0, u64::MAX, 256).is_in(u64::MAX - 1));
        let entries = |width| Tile { content: Content::Entries, index: 273, width };
        assert!(entries(112).is_in(size) && !entries(113).is_in(size));
    }

    #[test]
    fn any_subtree_is_computed_from_the_tiles_alone() {
        let size = 66_000_u64;
        let mut frontier = Frontier::default();
        let mut all = BTreeMap::new();
        for number in 0..size {
            all.extend(frontier.append(leaf_hash(&number.to_be_bytes())));
        }
        let mut tiles = Tiles::default();
        for level in 0..3 {
            let mut index = 0;
            while let Some(tile) = Tile::of_level(level, index, size) {
                let node = |index| Node { height: level * HEIGHT, index };
                let hashes = (tile.start()..tile.end()).map(|index| all[&node(index)]).collect();
                tiles.insert(level, index, hashes);
                index += 1;
            }
        }
        assert_eq!(Span::tree(size).hash(|node| tiles.node(node)), Some(frontier.head().root));
        for (node, hash) in &all {
            let tile = Tile::holding(*node, size).unwrap();
            let Content::Hashes { level } = tile.content else { panic!("{tile}") };
            assert!(tiles.has(level, tile.index));
            assert_eq!(tiles.node(*node), Some(*hash), "{node:?}");
        }
        // What the tree does not have yet is not made up.
        assert_eq!(tiles.node(Node { height: 0, index: size }), None);
        assert_eq!(tiles.node(Node { height: 16, index: 1 }), None);
    }

    #[test]
    fn bundles_hold_whole_leaves_only() {
        let leaves = vec![b"one".to_vec(), Vec::new(), vec![7; 65_535]];
        let bytes = bundle(&leaves).unwrap();
        assert_eq!(unbundle(&bytes).unwrap(), leaves);
        assert_eq!(unbundle(&bytes[..bytes.len() - 1]), None);
        assert_eq!(unbundle(&bytes[..1]), None);
        assert_eq!(bundle(&[vec![7; 65_536]]), None);
        assert!(unbundle(&bundle(&vec![Vec::new(); 256]).unwrap()).is_some());
        assert_eq!(unbundle(&bundle(&vec![Vec::new(); 257]).unwrap()), None);
    }
}
