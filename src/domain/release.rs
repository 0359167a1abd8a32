//! A release's life, and the invariants of the whole service.
//!
//! - I1 A sealed release's manifest and bytes never change.
//! - I2 An approval names one manifest digest, one report on it, one policy and one roster revision,
//!   and counts for nothing else.
//! - I3 One person counts once, whatever number of keys; excluded people never count.
//! - I4 Nothing is sent upstream without an `Authorised` value, and only `domain::authorise` makes
//!   one, from the log alone.
//! - I5 What is sent is read from blobs and re-hashed while it is sent.
//! - I6 An unclear upstream answer is never retried before asking the registry what it has.
//! - I7 The log is only appended to; each state change and its log entry commit together or not at
//!   all.
//! - I8 No request handler can open a sealed publish credential.
//! - I9 A CI token, a challenge, an invitation and a session are each used by one purpose, once
//!   where one-shot.
//! - I10 Loosening who may release needs the quorum it loosens.
//! - I11 For one (upstream, package, version) at most one forward is in flight, across replicas.
//! - I12 A registry release equals an authorised one in name, version, file set and digests, or an
//!   alarm is open.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::ids::PersonId;

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Files may still arrive.
    Open,
    /// Sealed; people are deciding.
    Awaiting,
    /// Enough people approved; a forward job exists.
    Approved,
    /// Bytes are being sent.
    Forwarding,
    /// Sent; the registry does not show it yet.
    Confirming,
    /// The registry holds exactly the approved files.
    Published,
    /// The registry holds some of them and refused the rest.
    Partial,
    /// The registry holds none of them, and trying again needs a person.
    Failed,
    /// Somebody objected.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// A newer candidate of the same version took its place.
    Superseded,
}

/// A pause that a person put on a release (Q10). Bytes stay back while it lasts; signatures may
/// still be given, and the next one ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub note: Option<String>,
    /// Position of its entry in the log, which tells it from every other hold.
    pub sequence: u64,
}

/// A change that a release's state does not allow.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("a release that is {} cannot become {}", from.as_str(), to.as_str())]
pub struct IllegalTransition {
    /// Where it stands.
    pub from: State,
    /// Where it was meant to go.
    pub to: State,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Awaiting,
        Self::Approved,
        Self::Forwarding,
        Self::Confirming,
        Self::Published,
        Self::Partial,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::Superseded,
    ];

    /// Whether a release in this state waits for people, or for its turn: it is sealed, and no bytes
    /// have left.
    pub const fn waits(self) -> bool {
        matches!(self, Self::Awaiting | Self::Approved)
    }

    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Awaiting => "awaiting",
            Self::Approved => "approved",
            Self::Forwarding => "forwarding",
            Self::Confirming => "confirming",
            Self::Published => "published",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// True when nothing will ever happen to the release again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Published | Self::Rejected | Self::Expired | Self::Superseded)
    }

    /// True while the forwarder works on the release: enough people approved it, and how it ends is
    /// not known.
    pub const fn is_on_its_way(self) -> bool {
        matches!(self, Self::Approved | Self::Forwarding | Self::Confirming)
    }

    /// True while the release occupies its version: no second candidate may be opened beside it
    /// except one that supersedes it.
    pub const fn holds_version(self) -> bool {
        !matches!(self, Self::Rejected | Self::Expired | Self::Superseded | Self::Failed)
    }

    /// Checks one step of the life of a release (product.md, "Life of a release").
    pub fn step(self, to: Self) -> Result<Self, IllegalTransition> {
        let allowed: &[Self] = match self {
            Self::Open => &[Self::Awaiting, Self::Expired],
            Self::Awaiting => &[Self::Approved, Self::Rejected, Self::Expired, Self::Superseded],
            // An approval that stops counting (a key revoked, a policy tightened) sends an
            // approved release back; one that ran out before it could be sent expires. The registry
            // may hold the files already, or other ones under their names, before anything is sent.
            Self::Approved => &[
                Self::Forwarding,
                Self::Awaiting,
                Self::Rejected,
                Self::Expired,
                Self::Published,
                Self::Partial,
                Self::Failed,
            ],
            Self::Forwarding => &[Self::Confirming, Self::Published, Self::Partial, Self::Failed],
            Self::Confirming => &[Self::Published, Self::Partial, Self::Failed, Self::Forwarding],
            // A person may ask for another try; what is there already is not sent again.
            Self::Partial | Self::Failed => &[Self::Forwarding],
            Self::Published | Self::Rejected | Self::Expired | Self::Superseded => &[],
        };
        if allowed.contains(&to) { Ok(to) } else { Err(IllegalTransition { from: self, to }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_lead_nowhere_and_words_round_trip() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
            let leads_somewhere = State::ALL.into_iter().any(|to| state.step(to).is_ok());
            assert_eq!(leads_somewhere, !state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn nothing_is_forwarded_that_was_not_approved() {
        let before_forwarding: Vec<_> =
            State::ALL.into_iter().filter(|s| s.step(State::Forwarding).is_ok()).collect();
        assert_eq!(
            before_forwarding,
            [State::Approved, State::Confirming, State::Partial, State::Failed]
        );
    }
}
