//! What somebody has read of a release, ticked file by file. It is for whoever reads, so that nothing
//! is read twice or forgotten; no approval depends on it and nobody else sees it.
//!
//! A tick is for a difference: the place of a file and what either side holds there. It stays when the
//! release is inspected again, and goes when there is something else to read.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::domain::ids::PersonId;
use crate::domain::review::files::FileEntry;
use crate::pipeline::baseline::Shelf;
use crate::pipeline::files::FileReader;
use crate::pipeline::review::ReleaseView;
use crate::pipeline::{Kind, Result, refuse, transaction};

/// How much of a release somebody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewed {
    /// Differences they ticked.
    pub viewed: usize,
    /// Differences there are.
    pub of: usize,
}

impl Viewed {
    /// How much of these lists is ticked. What is in several artifacts counts once.
    pub fn of(lists: &[Arc<Vec<FileEntry>>], ticked: &BTreeSet<Sha256>) -> Self {
        let files = lists.iter().flat_map(|list| list.iter());
        let all: BTreeSet<Sha256> =
            files.filter(|file| file.is_to_read()).map(FileEntry::difference).collect();
        Self { viewed: all.intersection(ticked).count(), of: all.len() }
    }
}

/// What `person` ticked in a release.
pub async fn ticked(
    shelf: Shelf<'_>,
    release: &ReleaseView,
    person: PersonId,
) -> Result<BTreeSet<Sha256>> {
    let of = (release.record.id, person);
    Ok(shelf.registries.store.snapshot().await?.viewed(of).await?)
}

/// Ticks a difference for `person`, or takes the tick back. Only what there is to
/// read in the release now can be ticked.
pub async fn tick(
    shelf: Shelf<'_>,
    files: &FileReader,
    release: &ReleaseView,
    person: PersonId,
    (difference, viewed): (Sha256, bool),
    now: Timestamp,
) -> Result<Viewed> {
    let Some(lists) = files.all_ready(shelf, release).await? else {
        return refuse(Kind::Conflict, "the files of this release are not listed yet");
    };
    let mut all = lists.iter().flat_map(|list| list.iter());
    if !all.any(|file| file.is_to_read() && file.difference() == difference) {
        return refuse(
            Kind::NotFound,
            "no such difference in this release, look at its list of files again",
        );
    }
    let of = (release.record.id, person);
    let ticked = transaction(shelf.registries.store, move |tx| {
        Box::pin(async move {
            if viewed {
                tx.add_viewed(of, &difference, now).await?;
            } else {
                tx.remove_viewed(of, &difference).await?;
            }
            Ok(tx.viewed(of).await?)
        })
    })
    .await?;
    Ok(Viewed::of(&lists, &ticked))
}
