//! Registry credentials, sealed to a public key (D6) and bound to what they are for (Q18).
//!
//! HPKE base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. Whoever
//! holds the [`SealingKey`] can seal; only the publisher's [`OpeningKey`] opens (I8, K1, K2), and
//! the [`ReadingKey`] what is for reading only (Q17).

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, rand_core};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::{Zeroize as _, Zeroizing};

use crate::domain::digest::Sha256;
use crate::domain::ids::UpstreamId;
use crate::domain::package::Ecosystem;
use crate::domain::upstream::CredentialPurpose;
use crate::entropy::{self, EntropyError};
use crate::keyfile::{self, KeyFileError};

type Kem = X25519HkdfSha256;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;

/// HPKE's application label; a new format gets a new one.
const LABEL: &[u8] = b"countersign credential v1";
/// What the reading key is derived under.
const READING_LABEL: &[u8] = b"countersign reading key v1";
/// First byte of a sealed credential.
const FORMAT: u8 = 1;
/// Bytes of an encapsulated key (RFC 9180, 7.1).
const ENCAPSULATED: usize = 32;
/// Bytes of a public key.
const PUBLIC_KEY: usize = 32;
/// Longest secret, in bytes: OIDC tokens used as passwords stay below 8 KiB.
const SECRET_MAX: usize = 16 * 1024;
/// What the key file starts with.
const KEY_FILE_TAG: &str = "countersign-opening-key-v1";

/// Why the vault could not seal, open or read a key.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The sealed bytes were changed, belong to another key, or were sealed for something else.
    #[error("the sealed credential does not open for this use")]
    DoesNotOpen,
    /// The sealed bytes are not of a format this version knows.
    #[error("expected a sealed credential of format {FORMAT}")]
    Format,
    /// The secret is empty or larger than any registry's.
    #[error("expected a secret of 1 to {SECRET_MAX} bytes, received {0}")]
    Length(usize),
    /// The text is not a sealing key.
    #[error("expected a sealing key of 86 base64url characters")]
    SealingKey,
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// No randomness, no key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Everything a credential is bound to; sealing and opening must name the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// What it may be used for.
    pub purpose: CredentialPurpose,
    /// The digest of this installation's genesis entry, from configuration (Q18).
    pub genesis: Sha256,
    /// The upstream's row.
    pub upstream: UpstreamId,
    /// `scheme://host[:port]` it may be sent to.
    pub origin: &'a str,
    /// The protocol it is for.
    pub ecosystem: Ecosystem,
    /// The packages it is meant for, as configured; `*` for all of the upstream.
    pub scope: &'a str,
}

impl Context<'_> {
    /// The associated data: six items in the order of the fields, each preceded by its length as
    /// eight bytes, big-endian. No two contexts share an encoding.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let items: [&[u8]; 6] = [
            self.purpose.as_str().as_bytes(),
            self.genesis.as_bytes(),
            self.upstream.as_bytes(),
            self.origin.as_bytes(),
            self.ecosystem.as_str().as_bytes(),
            self.scope.as_bytes(),
        ];
        for item in items {
            out.extend_from_slice(&(item.len() as u64).to_be_bytes());
            out.extend_from_slice(item);
        }
        out
    }
}

/// A sealed credential as the database keeps it: a format byte, the encapsulated key, ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Wraps bytes read from the database.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// The public halves, one for each purpose: seals, never opens. Written as base64url in
/// configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    publish: PublicKey,
    read: PublicKey,
}

impl SealingKey {
    /// Reads the text written by `Display`.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| VaultError::SealingKey)?;
        let (publish, read) = bytes.split_at_checked(PUBLIC_KEY).ok_or(VaultError::SealingKey)?;
        let key = |bytes| PublicKey::from_bytes(bytes).map_err(|_| VaultError::SealingKey);
        Ok(Self { publish: key(publish)?, read: key(read)? })
    }

    const fn half(&self, purpose: CredentialPurpose) -> &PublicKey {
        match purpose {
            CredentialPurpose::Publish => &self.publish,
            CredentialPurpose::Read => &self.read,
        }
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.publish.to_bytes(), self.read.to_bytes()].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({self})")
    }
}

/// The private half. Held by the publisher role alone.
pub struct OpeningKey {
    publish: PrivateKey,
    read: ReadingKey,
}

impl OpeningKey {
    fn new(publish: PrivateKey) -> Self {
        let read = ReadingKey::derive(&publish);
        Self { publish, read }
    }

    /// The public halves that belong to it.
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey { publish: Kem::sk_to_pk(&self.publish), read: Kem::sk_to_pk(&self.read.0) }
    }

    /// The part that the web role may have, too.
    pub const fn reading_key(&self) -> &ReadingKey {
        &self.read
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(secret)")
    }
}

/// Opens read credentials and nothing else (Q17). It comes from the opening key one way only, so
/// that there is one file to keep and the web role can be given this and not that.
#[derive(Clone)]
pub struct ReadingKey(PrivateKey);

impl ReadingKey {
    fn derive(publish: &PrivateKey) -> Self {
        let mut bytes = publish.to_bytes();
        let seed = Zeroizing::new([READING_LABEL, bytes.as_slice()].concat());
        bytes.as_mut_slice().zeroize();
        Self(Kem::derive_keypair(&seed).0)
    }

    /// Opens a credential that was sealed for reading.
    pub fn open(&self, context: &Context<'_>, sealed: &Sealed) -> Result<SecretString, VaultError> {
        match context.purpose {
            CredentialPurpose::Publish => Err(VaultError::DoesNotOpen),
            CredentialPurpose::Read => open_with(&self.0, context, sealed),
        }
    }
}

impl fmt::Debug for ReadingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadingKey(secret)")
    }
}

/// Makes a new key and keeps it in a file that only its owner may read.
pub fn create(path: &Path) -> Result<OpeningKey, VaultError> {
    let seed = Zeroizing::new(entropy::bytes::<32>()?);
    let (private, _) = Kem::derive_keypair(&*seed);
    let mut bytes = private.to_bytes();
    let key = keyfile::Key::new(bytes.into());
    bytes.as_mut_slice().zeroize();
    keyfile::create(path, KEY_FILE_TAG, &key)?;
    Ok(OpeningKey::new(private))
}

/// Reads the key file.
pub fn load(path: &Path) -> Result<OpeningKey, VaultError> {
    let key = keyfile::load(path, KEY_FILE_TAG)?;
    PrivateKey::from_bytes(&*key).map(OpeningKey::new).map_err(|_| VaultError::SealingKey)
}

/// The key file's name in the data directory.
const KEY_FILE: &str = "vault-key";

/// Reads the installation's key, making it at the first start.
pub fn load_or_create(data_dir: &Path) -> Result<OpeningKey, VaultError> {
    let path = data_dir.join(KEY_FILE);
    match create(&path) {
        Err(VaultError::KeyFile(KeyFileError::Exists(_))) => load(&path),
        created => created,
    }
}

/// Seals a secret for one use.
pub fn seal(
    key: &SealingKey,
    context: &Context<'_>,
    secret: &SecretString,
) -> Result<Sealed, VaultError> {
    let plain = secret.expose_secret().as_bytes();
    if plain.is_empty() || plain.len() > SECRET_MAX {
        return Err(VaultError::Length(plain.len()));
    }
    let mut drawn = Drawn::new()?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            key.half(context.purpose),
            LABEL,
            plain,
            &context.encode(),
            &mut drawn,
        )
        .map_err(|_| VaultError::SealingKey)?;
    drawn.check()?;
    let mut out = vec![FORMAT];
    out.extend_from_slice(&encapsulated.to_bytes());
    out.extend_from_slice(&ciphertext);
    Ok(Sealed(out))
}

/// Opens a secret for the use it was sealed for.
pub fn open(
    key: &OpeningKey,
    context: &Context<'_>,
    sealed: &Sealed,
) -> Result<SecretString, VaultError> {
    match context.purpose {
        CredentialPurpose::Publish => open_with(&key.publish, context, sealed),
        CredentialPurpose::Read => key.read.open(context, sealed),
    }
}

fn open_with(
    key: &PrivateKey,
    context: &Context<'_>,
    sealed: &Sealed,
) -> Result<SecretString, VaultError> {
    let Some((&FORMAT, rest)) = sealed.0.split_first() else {
        return Err(VaultError::Format);
    };
    let (encapsulated, ciphertext) =
        rest.split_at_checked(ENCAPSULATED).ok_or(VaultError::Format)?;
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| VaultError::DoesNotOpen)?;
    let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        key,
        &encapsulated,
        LABEL,
        ciphertext,
        &context.encode(),
    )
    .map_err(|_| VaultError::DoesNotOpen)?;
    // On failure the plaintext comes back inside the error and is wiped before it is dropped.
    String::from_utf8(plain).map(SecretString::from).map_err(|error| {
        error.into_bytes().zeroize();
        VaultError::DoesNotOpen
    })
}

/// Random bytes drawn beforehand, in the shape HPKE asks for, so that a failing source is an error
/// and not a panic. HPKE draws 32 bytes for one ephemeral key.
struct Drawn {
    bytes: Zeroizing<[u8; 64]>,
    used: usize,
    overdrawn: bool,
}

impl Drawn {
    fn new() -> Result<Self, EntropyError> {
        Ok(Self { bytes: Zeroizing::new(entropy::bytes()?), used: 0, overdrawn: false })
    }

    /// Refuses what was sealed with bytes that were never drawn.
    fn check(&self) -> Result<(), VaultError> {
        if self.overdrawn || self.used == 0 { Err(VaultError::SealingKey) } else { Ok(()) }
    }
}

impl rand_core::TryRng for Drawn {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut word = [0; 4];
        self.try_fill_bytes(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut word = [0; 8];
        self.try_fill_bytes(&mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        match self.bytes.get(self.used..self.used + out.len()) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => self.overdrawn = true,
        }
        self.used += out.len();
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Drawn {}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const SECRET: &str = "npm_canary0123456789";

    fn context() -> Context<'static> {
        Context {
            purpose: CredentialPurpose::Publish,
            genesis: Sha256::of(b"genesis"),
            upstream: UpstreamId::from_uuid(Uuid::from_u128(7)),
            origin: "https://registry.example",
            ecosystem: Ecosystem::Npm,
            scope: "@octo/hello-wire",
        }
    }

    fn key() -> (tempfile::TempDir, OpeningKey) {
        let directory = tempfile::tempdir().unwrap();
        let key = create(&directory.path().join("vault.key")).unwrap();
        (directory, key)
    }

    fn sealed(key: &OpeningKey) -> Sealed {
        seal(&key.sealing_key(), &context(), &SecretString::from(SECRET)).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_use() {
        let (_directory, key) = key();
        let sealed = sealed(&key);
        assert_eq!(open(&key, &context(), &sealed).unwrap().expose_secret(), SECRET);
        assert!(!sealed.as_bytes().windows(4).any(|window| window == b"npm_"));
        let again = seal(&key.sealing_key(), &context(), &SecretString::from(SECRET)).unwrap();
        assert_ne!(again, sealed, "every seal has its own ephemeral key");
    }

    /// Rules K1, Q17, Q18.
    #[test]
    fn every_field_of_the_context_is_bound() {
        let (_directory, key) = key();
        let sealed = sealed(&key);
        let right = context();
        let wrong = [
            Context { purpose: CredentialPurpose::Read, ..right },
            Context { genesis: Sha256::of(b"another log"), ..right },
            Context { upstream: UpstreamId::from_uuid(Uuid::from_u128(8)), ..right },
            Context { origin: "https://evil.example", ..right },
            Context { origin: "http://registry.example", ..right },
            Context { origin: "https://registry.example:8443", ..right },
            Context { ecosystem: Ecosystem::Pypi, ..right },
            Context { scope: "*", ..right },
        ];
        for context in wrong {
            assert!(
                matches!(open(&key, &context, &sealed), Err(VaultError::DoesNotOpen)),
                "{context:?}"
            );
        }
    }

    /// Rule K1: what moves from one field to the next makes another context.
    #[test]
    fn fields_of_the_context_do_not_run_into_each_other() {
        let (_directory, key) = key();
        let (left, right) = (
            Context { origin: "https://npm", scope: "", ..context() },
            Context { origin: "https://", scope: "npm", ..context() },
        );
        let secret = SecretString::from(SECRET);
        let sealed = seal(&key.sealing_key(), &left, &secret).unwrap();
        assert!(open(&key, &left, &sealed).is_ok());
        assert!(matches!(open(&key, &right, &sealed), Err(VaultError::DoesNotOpen)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (_directory, key) = key();
        let sealed = sealed(&key);
        for index in 0..sealed.0.len() {
            for bit in 0..8 {
                let mut bytes = sealed.0.clone();
                bytes[index] ^= 1 << bit;
                assert!(open(&key, &context(), &Sealed(bytes)).is_err(), "byte {index} bit {bit}");
            }
            let cut = Sealed(sealed.0[..index].to_vec());
            assert!(open(&key, &context(), &cut).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let (_directory, ours) = key();
        let (_other_directory, theirs) = key();
        assert!(open(&theirs, &context(), &sealed(&ours)).is_err());
    }

    /// Rules Q17, I8: what the web role has opens what is for reading, and nothing else.
    #[test]
    fn the_reading_key_opens_read_credentials_alone() {
        let (_directory, key) = key();
        let (reading, secret) = (key.reading_key(), SecretString::from(SECRET));
        let to_read = Context { purpose: CredentialPurpose::Read, ..context() };
        let read = seal(&key.sealing_key(), &to_read, &secret).unwrap();
        assert_eq!(reading.open(&to_read, &read).unwrap().expose_secret(), SECRET);
        assert_eq!(open(&key, &to_read, &read).unwrap().expose_secret(), SECRET);
        let publish = sealed(&key);
        for context in [to_read, context()] {
            assert!(matches!(reading.open(&context, &publish), Err(VaultError::DoesNotOpen)));
            // Not even with the check of the purpose out of the way.
            assert!(open_with(&reading.0, &context, &publish).is_err());
        }
    }

    #[test]
    fn empty_and_oversized_secrets_are_refused() {
        let (_directory, key) = key();
        for length in [0, SECRET_MAX + 1] {
            let secret = SecretString::from("x".repeat(length));
            let refused = seal(&key.sealing_key(), &context(), &secret);
            assert!(matches!(refused, Err(VaultError::Length(found)) if found == length));
        }
    }

    #[test]
    fn a_key_read_back_opens_what_it_sealed() {
        let (directory, key) = key();
        let path = directory.path().join("vault.key");
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.sealing_key(), key.sealing_key());
        assert_eq!(open(&loaded, &context(), &sealed(&key)).unwrap().expose_secret(), SECRET);
        let again = create(&path);
        assert!(matches!(again, Err(VaultError::KeyFile(KeyFileError::Exists(_)))));
    }

    /// Rule K4.
    #[test]
    fn nothing_secret_is_printed() {
        let (directory, key) = key();
        let file = std::fs::read_to_string(directory.path().join("vault.key")).unwrap();
        let private = file.trim().strip_prefix(KEY_FILE_TAG).unwrap().strip_prefix(':').unwrap();
        let sealed = sealed(&key);
        let opened = open(&key, &context(), &sealed).unwrap();
        let printed = format!("{key:?} {sealed:?} {opened:?}");
        assert!(!printed.contains(private) && !printed.contains(SECRET), "{printed}");
        let keys = format!("{key:?} {:?}", key.reading_key());
        assert_eq!(keys, "OpeningKey(secret) ReadingKey(secret)");
    }

    #[test]
    fn a_sealing_key_reads_back_from_its_text() {
        let (_directory, key) = key();
        let text = key.sealing_key().to_string();
        assert_eq!(SealingKey::parse(&text).unwrap(), key.sealing_key());
        assert!(matches!(SealingKey::parse("AAAA"), Err(VaultError::SealingKey)));
    }
}
