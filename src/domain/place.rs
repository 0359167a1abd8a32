//! Where a signature came from, kept so that two can be compared and nothing else can be told.
//!
//! Two approvals that come within a minute from one network address, with keys of one model, look
//! like one person with two keys (W19). An address is personal data. What is kept of it is a hash
//! under a key that is not in the database, and another one for every release, so that it neither
//! leads back to the address nor follows a person from one release to the next.

use std::fmt;
use std::net::IpAddr;

use sha2::Digest as _;

use crate::domain::digest::Sha256;
use crate::domain::ids::ReleaseId;

/// Hashed before a secret, so that the key is of no use for anything else that is made from it.
const KEY_TAG: &[u8] = b"countersign/place-key/v1\0";

/// The key of the hashes.
#[derive(Clone)]
pub struct PlaceKey(Sha256);

/// A network address, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(Sha256);

impl fmt::Debug for PlaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaceKey")
    }
}

impl PlaceKey {
    /// Makes the key from a secret of this installation.
    pub fn of(secret: &[u8; 32]) -> Self {
        Self(hash(&[KEY_TAG, secret]))
    }

    /// Hashes an address.
    pub fn place(&self, address: IpAddr) -> Place {
        Place(hash(&[self.0.as_bytes(), address.to_string().as_bytes()]))
    }
}

impl Place {
    /// What is kept with a decision about a release.
    pub fn about(self, release: ReleaseId) -> Sha256 {
        hash(&[self.0.as_bytes(), release.as_bytes()])
    }
}

/// The first part has a fixed length, so that no two inputs are the same bytes.
fn hash(parts: &[&[u8]]) -> Sha256 {
    let hash = parts.iter().fold(sha2::Sha256::new(), sha2::Digest::chain_update);
    Sha256::from_bytes(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule W19.
    #[test]
    fn a_place_tells_whether_two_are_the_same_and_nothing_across_releases_or_keys() {
        let (key, other) = (PlaceKey::of(&[1; 32]), PlaceKey::of(&[2; 32]));
        let release = |n| ReleaseId::from_uuid(uuid::Uuid::from_u128(n));
        let address = |text: &str| text.parse().unwrap();
        let here = key.place(address("192.0.2.7")).about(release(1));
        assert_eq!(here, key.place(address("192.0.2.7")).about(release(1)));
        assert_ne!(here, key.place(address("192.0.2.8")).about(release(1)));
        assert_ne!(here, key.place(address("192.0.2.7")).about(release(2)));
        assert_ne!(here, other.place(address("192.0.2.7")).about(release(1)));
        assert_eq!(format!("{key:?}"), "PlaceKey");
    }
}
