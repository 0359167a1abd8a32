//! Randomness from the operating system, in the three shapes the product needs.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::Id;

/// The operating system could not give random bytes; nothing may go on without them.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct EntropyError(#[from] getrandom::Error);

/// `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut out = [0; N];
    getrandom::fill(&mut out)?;
    Ok(out)
}

/// A new identifier that sorts by `now` (RFC 9562 UUIDv7).
pub fn id<K>(now: Timestamp) -> Result<Id<K>, EntropyError> {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let random = bytes::<10>()?;
    Ok(Id::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
}

/// A secret of 256 bits as 43 URL-safe characters.
pub fn token() -> Result<secrecy::SecretString, EntropyError> {
    use base64::Engine as _;
    let random = zeroize::Zeroizing::new(bytes::<32>()?);
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(*random).into())
}

/// A new random UUID for places that must not reveal a time.
pub fn opaque_uuid() -> Result<Uuid, EntropyError> {
    Ok(uuid::Builder::from_random_bytes(bytes::<16>()?).into_uuid())
}
