//! Digests as types: a fixed number of bytes, shown and parsed as lower-case hex.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A digest of `N` bytes made by the algorithm that `A` names.
pub struct Digest<A, const N: usize>([u8; N], std::marker::PhantomData<fn() -> A>);

/// Marker types for [`Digest`].
pub mod algorithm {
    /// FIPS 180-4 SHA-256: the content address of everything.
    #[derive(Debug)]
    pub enum Sha256 {}
    /// FIPS 180-4 SHA-512: npm's `dist.integrity`.
    #[derive(Debug)]
    pub enum Sha512 {}
    /// SHA-1: npm's `dist.shasum`, never trusted.
    #[derive(Debug)]
    pub enum Sha1 {}
    /// MD5: an old PyPI form field, never trusted.
    #[derive(Debug)]
    pub enum Md5 {}
    /// `BLAKE2b` with a 32-byte digest: a PyPI form field.
    #[derive(Debug)]
    pub enum Blake2b256 {}
}

/// A SHA-256 digest.
pub type Sha256 = Digest<algorithm::Sha256, 32>;
/// A SHA-512 digest.
pub type Sha512 = Digest<algorithm::Sha512, 64>;
/// A SHA-1 digest.
pub type Sha1 = Digest<algorithm::Sha1, 20>;
/// An MD5 digest.
pub type Md5 = Digest<algorithm::Md5, 16>;
/// A BLAKE2b-256 digest.
pub type Blake2b256 = Digest<algorithm::Blake2b256, 32>;

/// Text that is not the hex form of a digest of the expected length.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected} hex digits, received `{received}`")]
pub struct DigestError {
    expected: usize,
    received: String,
}

impl<A, const N: usize> Digest<A, N> {
    /// Wraps bytes that a hash function of this kind produced.
    pub const fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes, std::marker::PhantomData)
    }

    /// Reads exactly `N` bytes; any other length is `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_bytes(bytes.try_into().ok()?))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// Standard, padded base64, as npm's `dist.integrity` writes it after the algorithm's name.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Parses hex of exactly `2 * N` digits, upper case allowed.
    pub fn parse_hex(text: &str) -> Result<Self, DigestError> {
        let refused =
            || DigestError { expected: 2 * N, received: text.chars().take(2 * N + 8).collect() };
        if text.len() != 2 * N {
            return Err(refused());
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(refused());
            };
            *byte = u8::try_from(high << 4 | low).map_err(|_| refused())?;
        }
        Ok(Self::from_bytes(bytes))
    }
}

impl Sha256 {
    /// Hashes bytes that are already in memory; artifacts stream through the intake instead.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_bytes(sha2::Sha256::digest(bytes).into())
    }
}

impl Sha1 {
    /// The name Git gives to a file of this content; names things and protects nothing.
    pub fn of_git_blob(content: &[u8]) -> Self {
        let hasher = sha1::Sha1::new().chain_update(format!("blob {}\0", content.len()));
        Self::from_bytes(hasher.chain_update(content).finalize().into())
    }
}

impl<A, const N: usize> Clone for Digest<A, N> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, const N: usize> Copy for Digest<A, N> {}
impl<A, const N: usize> PartialEq for Digest<A, N> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<A, const N: usize> Eq for Digest<A, N> {}
impl<A, const N: usize> PartialOrd for Digest<A, N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<A, const N: usize> Ord for Digest<A, N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<A, const N: usize> std::hash::Hash for Digest<A, N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<A, const N: usize> fmt::Display for Digest<A, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl<A, const N: usize> fmt::Debug for Digest<A, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<A, const N: usize> FromStr for Digest<A, N> {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_hex(text)
    }
}
impl<A, const N: usize> Serialize for Digest<A, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, A, const N: usize> Deserialize<'de> for Digest<A, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_hex(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_wrong_lengths_are_refused() {
        let digest = Sha256::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(Sha256::parse_hex(&digest.to_string().to_uppercase()), Ok(digest));
        assert!(Sha256::parse_hex("ba78").is_err());
        assert!(Sha256::parse_hex(&"g".repeat(64)).is_err());
        assert!(Sha256::parse_hex(&"é".repeat(32)).is_err());
    }
}
