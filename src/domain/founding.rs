//! The founding: the first roster and rules, signed by the people in them (Q19, Q21).
//!
//! Until the founding an owner sets things up freely, and nothing is sent anywhere. The founding
//! document lists all of it; once as many founders as the governing policy requires have signed it
//! with their own keys, everything further takes a proposal. Its digest is pinned outside the
//! database (Q18).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::event::{IssuerRecord, PackageRecord, PublisherRecord, UpstreamRecord};
use crate::domain::ids::{InstanceId, PersonId, PolicyId, UpstreamId};
use crate::domain::policy::Policy;
use crate::domain::recovery::RecoveryKey;
use crate::domain::roster::Roster;

/// The only value of [`Founding::format`].
pub const FORMAT: &str = "countersign/founding/v1";
/// The only value of [`FoundingStatement::format`].
pub const STATEMENT_FORMAT: &str = "countersign/founding-statement/v1";
/// Shortest delay of a loosening: a night's sleep and a working day (A7).
pub const DELAY_MIN: SignedDuration = SignedDuration::from_hours(24);
/// Longest delay of a loosening; people must be able to react to a staff change within it.
pub const DELAY_MAX: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Everything that is in force when an installation is founded. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// [`FORMAT`].
    pub format: String,
    /// Names the installation.
    pub instance: InstanceId,
    /// Origin as browsers see it.
    pub origin: String,
    /// The people.
    pub roster: Roster,
    /// Every policy, by id.
    pub policies: Vec<Policy>,
    /// The policy whose quorum every proposal takes.
    pub governing: PolicyId,
    /// Seconds between the quorum of a loosening and its effect.
    pub delay_secs: i64,
    /// Where releases go, by id.
    pub upstreams: Vec<UpstreamRecord>,
    /// What is released, by id.
    pub packages: Vec<PackageRecord>,
    /// Whose tokens are read, by id.
    pub issuers: Vec<IssuerRecord>,
    /// Which CI workloads may stage what, by id.
    pub publishers: Vec<PublisherRecord>,
    /// Digest of each upstream's sealed publish credential.
    pub credentials: BTreeMap<UpstreamId, Sha256>,
    /// The offline key that can start a recovery.
    pub recovery: RecoveryKey,
}

impl Founding {
    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// What is signed and pinned.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }

    /// The delay of a loosening.
    pub const fn delay(&self) -> SignedDuration {
        SignedDuration::from_secs(self.delay_secs)
    }
}

/// What one founder signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundingStatement {
    /// [`STATEMENT_FORMAT`].
    pub format: String,
    /// Who signs.
    pub person: PersonId,
    /// The whole document, so that what is signed is what is shown.
    pub founding: Founding,
}

impl FoundingStatement {
    /// What `person` would sign.
    pub fn new(person: PersonId, founding: Founding) -> Self {
        Self { format: STATEMENT_FORMAT.to_owned(), person, founding }
    }

    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }
}
