//! Several releases of one CI run, approved with one touch (W17).
//!
//! Each release keeps a decision of its own with a statement of its own; the batch lists the digests
//! of those statements, and the passkey signs the batch. Whoever checks one release needs the batch
//! and that release's statement, and nothing of the others.

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::package::PackageName;
use crate::domain::statement::Statement;

/// The only value of [`Batch::format`].
pub const FORMAT: &str = "countersign/batch/v1";
/// Most releases in one batch (W17): what one person can read at one sitting.
pub const RELEASES_MAX: usize = 50;

/// One release of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Which release.
    pub release: ReleaseId,
    /// The package's name.
    pub package: String,
    /// The version.
    pub version: String,
    /// Digest of the sealed manifest.
    pub manifest_sha256: Sha256,
    /// Digest of the whole statement about this release.
    pub statement_sha256: Sha256,
}

/// What one person signs who approves several releases. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// [`FORMAT`].
    pub format: String,
    /// Origin of the installation, as browsers see it.
    pub origin: String,
    /// Who approves.
    pub person: PersonId,
    /// What, in the order in which they are sent.
    pub releases: Vec<Item>,
    /// Note, which every statement has too.
    pub reason: Option<String>,
}

impl Batch {
    /// The batch of one person's statements, in this order; `None` when there are none.
    pub fn of(statements: &[Statement]) -> Option<Self> {
        let first = statements.first()?;
        let item = |statement: &Statement| Item {
            release: statement.release,
            package: statement.package.clone(),
            version: statement.version.clone(),
            manifest_sha256: statement.manifest_sha256,
            statement_sha256: Sha256::of(&statement.to_bytes()),
        };
        Some(Self {
            format: FORMAT.to_owned(),
            origin: first.origin.clone(),
            person: first.person,
            releases: statements.iter().map(item).collect(),
            reason: first.reason.clone(),
        })
    }

    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// Reads a batch back; `None` when the bytes are not one of this format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let batch: Self = serde_json::from_slice(bytes).ok()?;
        let sound = batch.format == FORMAT
            && batch.releases.len() <= RELEASES_MAX
            && batch.to_bytes() == bytes;
        sound.then_some(batch)
    }

    /// Whether `person` approves exactly this statement with the batch.
    pub fn contains(&self, person: PersonId, statement: &[u8]) -> bool {
        let sha256 = Sha256::of(statement);
        self.person == person && self.releases.iter().any(|item| item.statement_sha256 == sha256)
    }
}

/// What the order of a batch is made from.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which release.
    pub release: ReleaseId,
    /// Of which package.
    pub name: PackageName,
    /// What it needs.
    pub needs: Vec<PackageName>,
}

/// Orders releases so that each comes after those it needs, otherwise by name. Releases that need
/// each other in a circle come in the order of their names.
pub fn dependency_order(nodes: &[Node]) -> Vec<ReleaseId> {
    let mut waiting: Vec<&Node> = nodes.iter().collect();
    waiting.sort_by_key(|node| (node.name.normalized(), node.release));
    let mut ordered = Vec::with_capacity(nodes.len());
    while !waiting.is_empty() {
        let needs =
            |node: &Node, other: &Node| other.name != node.name && node.needs.contains(&other.name);
        let ready = waiting.iter().position(|node| !waiting.iter().any(|other| needs(node, other)));
        ordered.push(waiting.remove(ready.unwrap_or(0)).release);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::package::Ecosystem;
    use uuid::Uuid;

    fn release(n: u128) -> ReleaseId {
        ReleaseId::from_uuid(Uuid::from_u128(n))
    }

    fn order(nodes: &[(u128, &str, &[&str])]) -> Vec<u128> {
        let named = |name: &str| PackageName::parse(Ecosystem::Npm, name).unwrap();
        let node = |(id, name, needs): &(u128, &str, &[&str])| Node {
            release: release(*id),
            name: named(name),
            needs: needs.iter().map(|need| named(need)).collect(),
        };
        let nodes: Vec<Node> = nodes.iter().map(node).collect();
        let number = |id: ReleaseId| u128::from_be_bytes(*id.as_bytes());
        dependency_order(&nodes).into_iter().map(number).collect()
    }

    /// W17.
    #[test]
    fn what_is_needed_comes_first_and_a_circle_ends() {
        assert_eq!(
            order(&[(1, "app", &["core", "left-pad"]), (2, "core", &["base"]), (3, "base", &[])]),
            [3, 2, 1]
        );
        assert_eq!(order(&[(1, "b", &[]), (2, "a", &[])]), [2, 1]);
        assert_eq!(order(&[(1, "b", &["a"]), (2, "a", &["b"]), (3, "c", &["b"])]), [2, 1, 3]);
        assert_eq!(order(&[(1, "self", &["self"])]), [1]);
        assert_eq!(
            order(&[(2, "twice", &[]), (1, "twice", &[]), (3, "app", &["twice"])]),
            [1, 2, 3]
        );
        assert!(order(&[]).is_empty());
    }

    /// W5, W17: bytes that are not exactly a batch are none.
    #[test]
    fn only_the_exact_encoding_is_a_batch() {
        let person = PersonId::from_uuid(Uuid::from_u128(7));
        let item = |n: u8| Item {
            release: release(n.into()),
            package: "core".to_owned(),
            version: "1.0.0".to_owned(),
            manifest_sha256: Sha256::of(&[n]),
            statement_sha256: Sha256::of(&[n, n]),
        };
        let origin = "https://releases.example".to_owned();
        let batch = |releases| Batch {
            format: FORMAT.to_owned(),
            origin: origin.clone(),
            person,
            releases,
            reason: None,
        };
        let two = batch(vec![item(1), item(2)]);
        let bytes = two.to_bytes();
        assert_eq!(Batch::from_bytes(&bytes), Some(two.clone()));
        assert!(two.contains(person, &[2, 2]));
        assert!(!two.contains(person, &[3, 3]));
        assert!(!two.contains(PersonId::from_uuid(Uuid::from_u128(8)), &[2, 2]));
        let spaced = [&bytes[..], b" "].concat();
        assert_eq!(Batch::from_bytes(&spaced), None);
        let other = String::from_utf8(bytes).unwrap().replace("batch/v1", "batch/v2");
        assert_eq!(Batch::from_bytes(other.as_bytes()), None);
        let many = batch((0..=u8::try_from(RELEASES_MAX).unwrap()).map(item).collect());
        assert_eq!(Batch::from_bytes(&many.to_bytes()), None);
    }
}
