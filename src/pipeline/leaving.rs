//! What somebody who left may still be able to do at registries.
//!
//! The gateway ends what it holds of a leaver. Owner rows, tokens and publishers at registries are
//! out of its reach, so leaving opens a list of them, which stays red until somebody said of each
//! that it is gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::event::{Actor, Event, LogEntry};
use crate::domain::ids::{PersonId, PublisherId, RightId, UpstreamId};
use crate::domain::proposal::Change;
use crate::domain::upstream::CredentialPurpose;
use crate::entropy;
use crate::pipeline::{Kind, Result, refuse, transaction};
use crate::store::people::PersonRecord;
use crate::store::rights::NewRight;
use crate::store::{Store, Tx};

pub use crate::store::rights::{Leaver, RightKind, RightRecord};

/// Everything that one leaver may still hold.
#[derive(Debug, Clone)]
pub struct Checklist {
    /// Who left.
    pub person: PersonRecord,
    /// What they may hold, in a fixed order.
    pub rights: Vec<RightRecord>,
}

/// Lists what a person may still hold, in the transaction in which they leave. People who never
/// joined held nothing by us.
pub(super) async fn list_rights(tx: &mut Tx, person: PersonId, now: Timestamp) -> Result<()> {
    let Some(leaver) = tx.person(person).await?.filter(|leaver| leaver.joined_at.is_some()) else {
        return Ok(());
    };
    let upstreams: BTreeMap<UpstreamId, String> = tx
        .upstreams()
        .await?
        .into_iter()
        .map(|stored| (stored.upstream.id(), stored.upstream.name().to_owned()))
        .collect();
    let place = |id: &UpstreamId| upstreams.get(id).cloned().unwrap_or_default();
    let mut rights = Vec::new();
    if leaver.role.may_sign() {
        for package in tx.packages().await? {
            let thing = package.name.as_str().to_owned();
            rights.push((RightKind::OwnerRow, thing, place(&package.upstream)));
        }
        for name in upstreams.values() {
            rights.push((RightKind::Token, String::new(), name.clone()));
        }
    }
    let made = Made::by(person, &tx.log_of_governance().await?);
    for stored in tx.publishers().await? {
        if made.publishers.contains(&stored.publisher.id()) {
            rights.push((RightKind::Publisher, stored.publisher.name().to_owned(), String::new()));
        }
    }
    for (upstream, purpose) in &made.credentials {
        let thing = match purpose {
            CredentialPurpose::Publish => "publish",
            CredentialPurpose::Read => "read",
        };
        rights.push((RightKind::Credential, thing.to_owned(), place(upstream)));
    }
    for (kind, thing, place) in rights {
        let id: RightId = entropy::id(now)?;
        tx.insert_right(&NewRight { id, person, kind, thing, place }, now).await?;
    }
    Ok(())
}

/// What a person set up that is in force, by the log.
#[derive(Debug, Default)]
struct Made {
    /// Publishers that they added or changed.
    publishers: BTreeSet<PublisherId>,
    /// Credentials that they entered and nobody replaced: they may have kept a copy.
    credentials: BTreeSet<(UpstreamId, CredentialPurpose)>,
}

impl Made {
    fn by(person: PersonId, log: &[LogEntry]) -> Self {
        let mut made = Self::default();
        let mut proposals = BTreeMap::new();
        for entry in log {
            match &entry.event {
                Event::PublisherRevised { publisher, by } if *by == Actor::Person(person) => {
                    made.publishers.insert(publisher.id);
                }
                Event::CredentialSealed { upstream, purpose, by, .. } => {
                    made.entered((*upstream, *purpose), *by == Actor::Person(person));
                }
                Event::Proposed { proposal } => {
                    proposals.insert(proposal.id, proposal);
                }
                Event::ProposalEnacted { proposal } => {
                    let Some(proposal) = proposals.remove(proposal) else { continue };
                    for change in &proposal.changes {
                        made.changed(change, proposal.by == person);
                    }
                }
                _ => {}
            }
        }
        made
    }

    fn changed(&mut self, change: &Change, theirs: bool) {
        match change {
            Change::SetPublisher { publisher } if theirs => {
                self.publishers.insert(publisher.id);
            }
            Change::SetCredential { upstream, purpose, .. } => {
                self.entered((*upstream, *purpose), theirs);
            }
            _ => {}
        }
    }

    fn entered(&mut self, credential: (UpstreamId, CredentialPurpose), theirs: bool) {
        if theirs {
            self.credentials.insert(credential);
        } else {
            self.credentials.remove(&credential);
        }
    }
}

/// Everybody who left and may still hold something, who left first before the others.
pub async fn unfinished(store: &Store) -> Result<Vec<Leaver>> {
    let mut tx = store.snapshot().await?;
    Ok(tx.leavers_with_rights().await?)
}

/// What one leaver may still hold, and what somebody saw to be gone.
pub async fn checklist(store: &Store, person: PersonId) -> Result<Checklist> {
    let mut tx = store.snapshot().await?;
    match tx.person(person).await? {
        Some(record) if record.left_at.is_some() => {
            Ok(Checklist { person: record, rights: tx.rights_of(person).await? })
        }
        _ => refuse(Kind::NotFound, format!("expected somebody who left, received `{person}`")),
    }
}

/// Notes that somebody saw that rights of a leaver are gone. Whoever signs may say so; what was
/// confirmed before stays as it was.
pub async fn confirm(
    store: &Store,
    by: PersonId,
    person: PersonId,
    rights: Vec<RightId>,
    now: Timestamp,
) -> Result<()> {
    if rights.is_empty() {
        return refuse(Kind::BadInput, "expected at least one right that is gone, received none");
    }
    transaction(store, move |tx| {
        Box::pin(async move {
            let confirming = tx.person(by).await?.filter(|by| by.left_at.is_none());
            if !confirming.is_some_and(|by| by.role.may_sign()) {
                return refuse(Kind::Forbidden, "only owners and maintainers may confirm this");
            }
            let known: BTreeSet<_> =
                tx.rights_of(person).await?.into_iter().map(|right| right.id).collect();
            for right in rights {
                if !known.contains(&right) {
                    let message = format!("expected a right of this leaver, received `{right}`");
                    return refuse(Kind::NotFound, message);
                }
                tx.confirm_right(right, by, now).await?;
            }
            Ok(())
        })
    })
    .await
}
