//! A tree of Git: every file at a commit, by path and by content.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::digest::Sha1;

/// A tree of Git: every file at a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    by_path: BTreeMap<String, Sha1>,
    by_blob: BTreeMap<Sha1, Vec<String>>,
    submodules: usize,
}

impl Tree {
    /// Adds a file.
    pub fn add(&mut self, path: String, blob: Sha1) {
        self.by_blob.entry(blob).or_default().push(path.clone());
        self.by_path.insert(path, blob);
    }

    /// Counts a folder whose content is another repository's.
    pub const fn add_submodule(&mut self) {
        self.submodules += 1;
    }

    /// How many folders are other repositories'.
    pub const fn submodules(&self) -> usize {
        self.submodules
    }

    /// The file at a path.
    pub fn at(&self, path: &str) -> Option<Sha1> {
        self.by_path.get(path).copied()
    }

    /// Every path with this content.
    pub(super) fn holding(&self, blob: Sha1) -> &[String] {
        self.by_blob.get(&blob).map_or(&[], Vec::as_slice)
    }

    /// Every path that is not the same in both trees.
    pub fn changes<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let differs = |path: &&String| self.by_path.get(*path) != other.by_path.get(*path);
        let all = self.by_path.keys().chain(other.by_path.keys());
        all.filter(differs).map(String::as_str).collect()
    }
}
