//! The authoritative check of a WebAuthn assertion: did this key sign exactly this intent?
//!
//! It needs no WebAuthn library and no server, so an auditor can run it over a log. The steps are
//! those of WebAuthn Level 3 section 7.2, stricter where a rule of ours (W1 to W11) says so. The
//! signature algorithm is ES256 only: it is the one every authenticator has.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::domain::digest::Sha256;

/// Longest credential id in bytes (WebAuthn Level 3 section 7.1 step 25).
pub const MAX_CREDENTIAL_ID_BYTES: usize = 1023;
/// Longest client data in bytes; browsers write about 250, this leaves room for new members.
pub const MAX_CLIENT_DATA_BYTES: usize = 4096;
/// Longest authenticator data in bytes; 37 without extensions, and we ask for none.
pub const MAX_AUTHENTICATOR_DATA_BYTES: usize = 4096;
/// Longest signature in bytes; a DER-encoded ES256 signature has at most 72.
pub const MAX_SIGNATURE_BYTES: usize = 128;

/// What a signature is for. One made for a purpose is never accepted for another (rule W4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Start a session.
    SignIn,
    /// Show again, inside a session, that the person is there.
    StepUp,
    /// Agree to a release.
    Approve,
    /// Agree to several releases of one CI run (W17).
    ApproveBatch,
    /// Object to a release.
    Reject,
    /// Add another passkey to one's own account.
    AddKey,
    /// Sign a change of roster, policy, publisher or credential.
    Governance,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 7] = [
        Self::SignIn,
        Self::StepUp,
        Self::Approve,
        Self::ApproveBatch,
        Self::Reject,
        Self::AddKey,
        Self::Governance,
    ];

    /// The text that begins the hashed challenge. It never changes and holds no zero byte.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::SignIn => "countersign/sign-in/v1",
            Self::StepUp => "countersign/step-up/v1",
            Self::Approve => "countersign/approve/v1",
            Self::ApproveBatch => "countersign/approve-batch/v1",
            Self::Reject => "countersign/reject/v1",
            Self::AddKey => "countersign/add-key/v1",
            Self::Governance => "countersign/governance/v1",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignIn => "sign-in",
            Self::StepUp => "step-up",
            Self::Approve => "approve",
            Self::ApproveBatch => "approve-batch",
            Self::Reject => "reject",
            Self::AddKey => "add-key",
            Self::Governance => "governance",
        })
    }
}

/// Thirty-two random bytes that make one ceremony's challenge unpredictable; public afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// Wraps bytes drawn from `crate::entropy` for this ceremony alone.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the bytes kept in the database; any length but 32 is `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for Nonce {
    type Error = AssertionRefusal;

    fn try_from(text: String) -> Result<Self, AssertionRefusal> {
        Self::from_slice(&decode("nonce", &text, 32)?)
            .ok_or(AssertionRefusal::Length { part: "nonce", limit: 32 })
    }
}
impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        URL_SAFE_NO_PAD.encode(nonce.0)
    }
}

/// What a person is asked to sign: the act and the SHA-256 of the statement shown to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The act.
    pub purpose: Purpose,
    /// SHA-256 of the statement's bytes, as they are stored and published.
    pub statement: Sha256,
}

/// The challenge that commits to an intent: SHA-256(tag, 0x00, nonce, SHA-256(statement)).
///
/// Ruling Q13, rule W5. The tag ends at the zero byte and the rest has a fixed length, so no two
/// different inputs give the same bytes to hash.
pub fn challenge(intent: &Intent, nonce: &Nonce) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    hasher.update(intent.purpose.tag());
    hasher.update([0]);
    hasher.update(nonce.as_bytes());
    hasher.update(intent.statement.as_bytes());
    hasher.finalize().into()
}

/// The bytes by which an authenticator names one of its keys, 1 to 1023 of them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialId(Vec<u8>);

impl CredentialId {
    /// Takes the bytes as the authenticator gave them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, AssertionRefusal> {
        if bytes.is_empty() || bytes.len() > MAX_CREDENTIAL_ID_BYTES {
            let limit = MAX_CREDENTIAL_ID_BYTES;
            return Err(AssertionRefusal::Length { part: "credential id", limit });
        }
        Ok(Self(bytes))
    }

    /// Parses the unpadded base64url that browsers send as `rawId`.
    pub fn parse(text: &str) -> Result<Self, AssertionRefusal> {
        Self::from_bytes(decode("credential id", text, MAX_CREDENTIAL_ID_BYTES)?)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}
impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl TryFrom<String> for CredentialId {
    type Error = AssertionRefusal;

    fn try_from(text: String) -> Result<Self, AssertionRefusal> {
        Self::parse(&text)
    }
}
impl From<CredentialId> for String {
    fn from(id: CredentialId) -> Self {
        id.to_string()
    }
}

/// Where signatures are valid: one RP id and one exact origin (rule W1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelyingParty {
    id: String,
    origin: String,
}

/// An origin that browsers give no passkeys, or that is not written as they write it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected an origin such as https://gate.example, or http on localhost, with no path or \
     default port and a name instead of an address, received `{0}`"
)]
pub struct OriginRefusal(String);

impl RelyingParty {
    /// Parses an origin in its ASCII serialisation (RFC 6454 section 6.2); its host is the RP id.
    pub fn parse(origin: &str) -> Result<Self, OriginRefusal> {
        let refused = || OriginRefusal(origin.chars().take(200).collect());
        let url = url::Url::parse(origin).map_err(|_| refused())?;
        let Some(url::Host::Domain(host)) = url.host() else { return Err(refused()) };
        let local = host == "localhost" || host.ends_with(".localhost");
        let trusted = url.scheme() == "https" || (url.scheme() == "http" && local);
        if !trusted || url.origin().ascii_serialization() != origin {
            return Err(refused());
        }
        Ok(Self { id: host.to_owned(), origin: origin.to_owned() })
    }

    /// The RP id: the origin's host.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The origin, exactly as browsers write it into client data.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl TryFrom<String> for RelyingParty {
    type Error = OriginRefusal;

    fn try_from(origin: String) -> Result<Self, OriginRefusal> {
        Self::parse(&origin)
    }
}
impl From<RelyingParty> for String {
    fn from(relying_party: RelyingParty) -> Self {
        relying_party.origin
    }
}

/// An ES256 public key, in the only form an authenticator may send it.
///
/// WebAuthn Level 3 section 6.5.1.1 asks for CTAP2 canonical CBOR with no optional parameter, and
/// that leaves exactly one encoding of a P-256 key: 77 bytes. Anything else is refused, so two
/// different byte strings can never be the same key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoseKey([u8; CoseKey::BYTES]);

impl CoseKey {
    /// The length of the encoded key in bytes.
    pub const BYTES: usize = 77;
    /// `{1: 2, 3: -7, -1: 1, -2: <32 bytes`: kty EC2, alg ES256, crv P-256, and x begins.
    const BEFORE_X: [u8; 10] = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
    /// `-3: <32 bytes`: y begins.
    const BEFORE_Y: [u8; 3] = [0x22, 0x58, 0x20];

    /// Parses a COSE_Key (RFC 9053 section 7.1.1).
    pub fn parse(cbor: &[u8]) -> Result<Self, AssertionRefusal> {
        let key: [u8; Self::BYTES] = cbor.try_into().map_err(|_| AssertionRefusal::Key)?;
        if key[..10] != Self::BEFORE_X || key[42..45] != Self::BEFORE_Y {
            return Err(AssertionRefusal::Key);
        }
        Ok(Self(key))
    }

    /// The COSE_Key bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The point's two coordinates, 32 big-endian bytes each.
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        (&self.0[10..42], &self.0[45..])
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), AssertionRefusal> {
        let (x, y) = self.coordinates();
        let point = [&[0x04], x, y].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(message, signature)
            .map_err(|_| AssertionRefusal::Signature)
    }
}

impl fmt::Debug for CoseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoseKey({})", URL_SAFE_NO_PAD.encode(self.0))
    }
}
impl TryFrom<String> for CoseKey {
    type Error = AssertionRefusal;

    fn try_from(text: String) -> Result<Self, AssertionRefusal> {
        Self::parse(&decode("public key", &text, Self::BYTES)?)
    }
}
impl From<CoseKey> for String {
    fn from(key: CoseKey) -> Self {
        URL_SAFE_NO_PAD.encode(key.0)
    }
}

/// What the browser sent back, unchecked but bounded; kept as it is in the log (rule W6).
///
/// As JSON, each part is unpadded base64url under its name in camel case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AssertionText", into = "AssertionText")]
pub struct Assertion {
    credential_id: CredentialId,
    client_data_json: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AssertionText {
    credential_id: String,
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
}

impl Assertion {
    /// Takes the four parts; a part longer than its limit is refused.
    pub fn new(
        credential_id: CredentialId,
        client_data_json: Vec<u8>,
        authenticator_data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<Self, AssertionRefusal> {
        for (part, length, limit) in [
            ("client data", client_data_json.len(), MAX_CLIENT_DATA_BYTES),
            ("authenticator data", authenticator_data.len(), MAX_AUTHENTICATOR_DATA_BYTES),
            ("signature", signature.len(), MAX_SIGNATURE_BYTES),
        ] {
            if length > limit {
                return Err(AssertionRefusal::Length { part, limit });
            }
        }
        Ok(Self { credential_id, client_data_json, authenticator_data, signature })
    }

    /// The key that is said to have signed. Not covered by the signature.
    pub fn credential_id(&self) -> &CredentialId {
        &self.credential_id
    }

    /// `clientDataJSON`, the browser's bytes.
    pub fn client_data_json(&self) -> &[u8] {
        &self.client_data_json
    }

    /// `authenticatorData`, the authenticator's bytes.
    pub fn authenticator_data(&self) -> &[u8] {
        &self.authenticator_data
    }

    /// The ASN.1 DER signature over both.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl TryFrom<AssertionText> for Assertion {
    type Error = AssertionRefusal;

    fn try_from(text: AssertionText) -> Result<Self, AssertionRefusal> {
        Self::new(
            CredentialId::parse(&text.credential_id)?,
            decode("client data", &text.client_data_json, MAX_CLIENT_DATA_BYTES)?,
            decode("authenticator data", &text.authenticator_data, MAX_AUTHENTICATOR_DATA_BYTES)?,
            decode("signature", &text.signature, MAX_SIGNATURE_BYTES)?,
        )
    }
}
impl From<Assertion> for AssertionText {
    fn from(assertion: Assertion) -> Self {
        Self {
            credential_id: assertion.credential_id.to_string(),
            client_data_json: URL_SAFE_NO_PAD.encode(assertion.client_data_json),
            authenticator_data: URL_SAFE_NO_PAD.encode(assertion.authenticator_data),
            signature: URL_SAFE_NO_PAD.encode(assertion.signature),
        }
    }
}

/// Decodes unpadded base64url of at most `limit` bytes; `part` names it in the refusal.
pub fn decode(part: &'static str, text: &str, limit: usize) -> Result<Vec<u8>, AssertionRefusal> {
    if text.len() > limit.div_ceil(3) * 4 {
        return Err(AssertionRefusal::Length { part, limit });
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| AssertionRefusal::Encoding { part })
}

/// What a valid assertion says about the authenticator; only [`verify`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The signature counter, 0 when the authenticator keeps none.
    pub counter: u32,
    /// BE: the key may be copied to other devices.
    pub backup_eligible: bool,
    /// BS: the key is copied to other devices now.
    pub backed_up: bool,
}

/// Why an assertion was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefusal {
    /// A part is empty or longer than its limit.
    #[error("expected a {part} of at most {limit} bytes")]
    Length {
        /// Which part.
        part: &'static str,
        /// Its limit in bytes.
        limit: usize,
    },
    /// A part is not unpadded base64url.
    #[error("expected the {part} as base64url without padding")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// The client data is not a JSON object with the members of WebAuthn section 5.8.1.
    #[error("expected client data with type, challenge and origin: {0}")]
    ClientData(String),
    /// A member of the client data appears twice, so two readers could see two values (V17).
    #[error("the client data has a member twice, `{0}`")]
    DuplicateMember(String),
    /// The client data is of another kind of ceremony (V13).
    #[error("expected the ceremony {expected}, received `{received}`")]
    Type {
        /// `webauthn.get` or `webauthn.create`.
        expected: &'static str,
        /// What came, cut to 200 characters.
        received: String,
    },
    /// The signature was made for another intent, another ceremony or another nonce (W4, W5).
    #[error("the signature was made for something else than this request")]
    Challenge,
    /// The browser was on another page than ours (W1, V10).
    #[error("expected the origin {expected}, received `{received}`")]
    Origin {
        /// Our origin.
        expected: String,
        /// What came, cut to 200 characters.
        received: String,
    },
    /// The page was inside a frame of another site (W1, V11).
    #[error("the page that asked for the passkey was framed by another site")]
    CrossOrigin,
    /// The authenticator data is too short, or its flags and length disagree.
    #[error("the authenticator data is not well formed")]
    AuthenticatorData,
    /// The key belongs to another RP id (V12).
    #[error("the passkey belongs to another site")]
    RelyingPartyId,
    /// Nobody touched the authenticator (V09).
    #[error("the passkey was used without a person being present")]
    NotPresent,
    /// The authenticator did not check who used it, by PIN or biometrics (W2, V08).
    #[error("the passkey did not verify the person by PIN or biometrics")]
    NotVerified,
    /// BS without BE, which WebAuthn section 6.1 forbids.
    #[error("the passkey says that it is backed up but cannot be")]
    BackupFlags,
    /// The public key is not an ES256 key in its canonical encoding.
    #[error("expected an ES256 public key in canonical COSE form")]
    Key,
    /// The signature is not this key's signature over these bytes (V16).
    #[error("the signature does not verify with this passkey")]
    Signature,
    /// The counter did not grow, so there may be a copy of the key (W9, V14).
    #[error("expected a signature counter above {previous}, received `{received}`")]
    Counter {
        /// The counter of the last accepted assertion.
        previous: u32,
        /// The counter in this one.
        received: u32,
    },
}

/// Checks that `key` signed `intent` under `nonce`, on our own page, with the person verified.
///
/// `previous_counter` is the key's last accepted counter, `None` where it is not known (an excerpt
/// of a log). The counter is compared after the signature, because only then is it the key's word.
pub fn verify(
    relying_party: &RelyingParty,
    key: &CoseKey,
    intent: &Intent,
    nonce: &Nonce,
    assertion: &Assertion,
    previous_counter: Option<u32>,
) -> Result<Verified, AssertionRefusal> {
    let client_data = ClientData::parse(&assertion.client_data_json)?;
    client_data.check("webauthn.get", &challenge(intent, nonce), relying_party)?;
    let authenticator = AuthenticatorData::parse(&assertion.authenticator_data)?;
    // Attested credential data belongs to registrations; what is left over must be extensions.
    if authenticator.has(Flag::AttestedKey)
        || authenticator.has(Flag::Extensions) == authenticator.rest.is_empty()
    {
        return Err(AssertionRefusal::AuthenticatorData);
    }
    authenticator.check(relying_party)?;

    let mut message = assertion.authenticator_data.clone();
    message.extend_from_slice(&sha2::Sha256::digest(&assertion.client_data_json));
    key.verify(&message, &assertion.signature)?;

    let received = authenticator.counter;
    match previous_counter {
        // Both zero means that the authenticator does not count.
        Some(previous) if (previous, received) != (0, 0) && received <= previous => {
            Err(AssertionRefusal::Counter { previous, received })
        }
        _ => Ok(Verified {
            counter: received,
            backup_eligible: authenticator.has(Flag::BackupEligible),
            backed_up: authenticator.has(Flag::BackedUp),
        }),
    }
}

/// The members of client data that are signed about (WebAuthn Level 3 section 5.8.1).
#[derive(Debug)]
pub struct ClientData {
    kind: String,
    challenge: String,
    origin: String,
    /// `crossOrigin` is true or `topOrigin` is there.
    framed: bool,
}

impl ClientData {
    /// Parses `clientDataJSON`; a member that appears twice is refused, unknown ones are ignored.
    pub fn parse(json: &[u8]) -> Result<Self, AssertionRefusal> {
        if json.len() > MAX_CLIENT_DATA_BYTES {
            let limit = MAX_CLIENT_DATA_BYTES;
            return Err(AssertionRefusal::Length { part: "client data", limit });
        }
        let malformed = |why: &dyn fmt::Display| AssertionRefusal::ClientData(excerpt(why));
        let Members(members) = serde_json::from_slice(json).map_err(|why| malformed(&why))?;
        let mut names = BTreeSet::new();
        let (mut kind, mut challenge, mut origin, mut framed) = (None, None, None, false);
        for (name, value) in &members {
            if !names.insert(name.as_str()) {
                return Err(AssertionRefusal::DuplicateMember(excerpt(name)));
            }
            match (name.as_str(), value) {
                ("type", serde_json::Value::String(text)) => kind = Some(text.clone()),
                ("challenge", serde_json::Value::String(text)) => challenge = Some(text.clone()),
                ("origin", serde_json::Value::String(text)) => origin = Some(text.clone()),
                // Level 2 browsers leave `crossOrigin` out when it is false.
                ("crossOrigin", serde_json::Value::Bool(value)) => framed |= *value,
                ("topOrigin", _) => framed = true,
                ("type" | "challenge" | "origin" | "crossOrigin", _) => {
                    return Err(malformed(&format_args!("`{name}` has the wrong JSON type")));
                }
                _ => {}
            }
        }
        match (kind, challenge, origin) {
            (Some(kind), Some(challenge), Some(origin)) => {
                Ok(Self { kind, challenge, origin, framed })
            }
            _ => Err(malformed(&"a member is missing")),
        }
    }

    /// Checks kind, challenge, exact origin and that no other site framed the page.
    pub fn check(
        &self,
        kind: &'static str,
        challenge: &[u8],
        relying_party: &RelyingParty,
    ) -> Result<(), AssertionRefusal> {
        if self.kind != kind {
            let received = excerpt(&self.kind);
            return Err(AssertionRefusal::Type { expected: kind, received });
        }
        if self.challenge != URL_SAFE_NO_PAD.encode(challenge) {
            return Err(AssertionRefusal::Challenge);
        }
        if self.origin != relying_party.origin {
            return Err(AssertionRefusal::Origin {
                expected: relying_party.origin.clone(),
                received: excerpt(&self.origin),
            });
        }
        if self.framed { Err(AssertionRefusal::CrossOrigin) } else { Ok(()) }
    }
}

/// A JSON object as it is written: in order, with its repetitions.
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn excerpt(text: &(impl fmt::Display + ?Sized)) -> String {
    text.to_string().chars().take(200).collect()
}

/// A bit of the flags byte (WebAuthn Level 3 section 6.1).
#[derive(Debug, Clone, Copy)]
pub enum Flag {
    /// UP.
    UserPresent = 0,
    /// UV.
    UserVerified = 2,
    /// BE.
    BackupEligible = 3,
    /// BS.
    BackedUp = 4,
    /// AT.
    AttestedKey = 6,
    /// ED.
    Extensions = 7,
}

/// Authenticator data, split but not checked.
#[derive(Debug)]
pub struct AuthenticatorData<'a> {
    relying_party_hash: &'a [u8],
    flags: u8,
    /// The signature counter.
    pub counter: u32,
    /// What follows the 37 fixed bytes: an attested key, extensions, or nothing.
    pub rest: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Splits the 37 fixed bytes from the rest.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssertionRefusal> {
        let (relying_party_hash, tail) =
            bytes.split_at_checked(32).ok_or(AssertionRefusal::AuthenticatorData)?;
        let [flags, a, b, c, d, rest @ ..] = tail else {
            return Err(AssertionRefusal::AuthenticatorData);
        };
        let counter = u32::from_be_bytes([*a, *b, *c, *d]);
        Ok(Self { relying_party_hash, flags: *flags, counter, rest })
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags & (1 << flag as u8) != 0
    }

    /// Checks RP id, presence, verification and that BS comes with BE.
    pub fn check(&self, relying_party: &RelyingParty) -> Result<(), AssertionRefusal> {
        if self.relying_party_hash != sha2::Sha256::digest(&relying_party.id).as_slice() {
            return Err(AssertionRefusal::RelyingPartyId);
        }
        if !self.has(Flag::UserPresent) {
            return Err(AssertionRefusal::NotPresent);
        }
        if !self.has(Flag::UserVerified) {
            return Err(AssertionRefusal::NotVerified);
        }
        if self.has(Flag::BackedUp) && !self.has(Flag::BackupEligible) {
            return Err(AssertionRefusal::BackupFlags);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Vector {
        name: String,
        /// `accepted`, or the name of the refusal.
        expected: String,
        origin: RelyingParty,
        purpose: Purpose,
        nonce: Nonce,
        statement: String,
        public_key: CoseKey,
        previous_counter: Option<u32>,
        assertion: Assertion,
    }

    impl Vector {
        fn intent(&self) -> Intent {
            Intent { purpose: self.purpose, statement: Sha256::of(self.statement.as_bytes()) }
        }

        fn verify(&self, assertion: &Assertion) -> Result<Verified, AssertionRefusal> {
            let Self { origin, public_key, nonce, previous_counter, .. } = self;
            verify(origin, public_key, &self.intent(), nonce, assertion, *previous_counter)
        }
    }

    fn vectors() -> Vec<Vector> {
        let file = include_str!("../../tests/data/assertion/vectors.json");
        serde_json::from_str(file).unwrap()
    }

    #[test]
    fn every_published_vector_has_its_published_result() {
        let vectors = vectors();
        assert!(vectors.len() > 30, "only {} vectors", vectors.len());
        for vector in &vectors {
            let result = match vector.verify(&vector.assertion) {
                Ok(_) => "accepted".to_owned(),
                Err(refusal) => format!("{refusal:?}")
                    .split(|letter: char| !letter.is_alphanumeric())
                    .next()
                    .unwrap()
                    .to_owned(),
            };
            assert_eq!(result, vector.expected, "{}", vector.name);
        }
    }

    #[test]
    fn every_single_bit_of_the_three_signed_parts_counts() {
        let vector = vectors().remove(2);
        assert_eq!((vector.purpose, vector.expected.as_str()), (Purpose::Approve, "accepted"));
        let parts = |assertion: &Assertion| {
            [
                assertion.client_data_json.clone(),
                assertion.authenticator_data.clone(),
                assertion.signature.clone(),
            ]
        };
        let good = parts(&vector.assertion);
        let mut tried = 0;
        for (part, bytes) in good.iter().enumerate() {
            for bit in 0..bytes.len() * 8 {
                let mut altered = good.clone();
                altered[part][bit / 8] ^= 1 << (bit % 8);
                let [client_data, data, signature] = altered;
                let id = vector.assertion.credential_id.clone();
                let altered = Assertion::new(id, client_data, data, signature).unwrap();
                assert!(vector.verify(&altered).is_err(), "bit {bit} of part {part}");
                tried += 1;
            }
        }
        assert!(tried > 1500, "only {tried} bits");
    }

    /// Rule W5: every byte of the statement and of the nonce is committed to.
    #[test]
    fn every_byte_of_statement_and_nonce_counts() {
        let mut vector = vectors().remove(2);
        assert!(vector.verify(&vector.assertion).is_ok());
        let statement = vector.statement.clone();
        for place in 0..statement.len() {
            let mut bytes = statement.clone().into_bytes();
            bytes[place] ^= 1;
            vector.statement = String::from_utf8(bytes).unwrap();
            assert_eq!(vector.verify(&vector.assertion), Err(AssertionRefusal::Challenge));
        }
        vector.statement = statement;
        for place in 0..32 {
            vector.nonce.0[place] ^= 1;
            assert_eq!(vector.verify(&vector.assertion), Err(AssertionRefusal::Challenge));
            vector.nonce.0[place] ^= 1;
        }
    }

    #[test]
    fn cut_off_parts_are_refused() {
        let vector = vectors().remove(2);
        let Assertion { credential_id, client_data_json, authenticator_data, signature } =
            vector.assertion.clone();
        for length in 0..authenticator_data.len() {
            let cut = Assertion::new(
                credential_id.clone(),
                client_data_json.clone(),
                authenticator_data[..length].to_vec(),
                signature.clone(),
            );
            assert_eq!(vector.verify(&cut.unwrap()), Err(AssertionRefusal::AuthenticatorData));
        }
        for length in 0..signature.len() {
            let (id, cut) = (credential_id.clone(), signature[..length].to_vec());
            let (client_data, data) = (client_data_json.clone(), authenticator_data.clone());
            let cut = Assertion::new(id, client_data, data, cut);
            assert_eq!(vector.verify(&cut.unwrap()), Err(AssertionRefusal::Signature));
        }
    }

    /// Ruling Q13, computed by hand: the tag, a zero byte, the nonce, the statement's digest.
    #[test]
    fn the_challenge_is_the_hash_of_its_four_parts() {
        let intent = Intent { purpose: Purpose::Approve, statement: Sha256::of(b"s") };
        let mut bytes = b"countersign/approve/v1\0".to_vec();
        bytes.extend_from_slice(&[9; 32]);
        bytes.extend_from_slice(Sha256::of(b"s").as_bytes());
        assert_eq!(challenge(&intent, &Nonce([9; 32])), *Sha256::of(&bytes).as_bytes());
    }

    /// Rule W4.
    #[test]
    fn purposes_have_tags_of_their_own() {
        let tags: BTreeSet<&str> = Purpose::ALL.iter().map(|purpose| purpose.tag()).collect();
        assert_eq!(tags.len(), Purpose::ALL.len());
        for purpose in Purpose::ALL {
            assert_eq!(purpose.tag(), format!("countersign/{purpose}/v1"));
            assert_eq!(serde_json::to_value(purpose).unwrap(), purpose.to_string());
        }
    }

    /// Rule W1.
    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (origin, id) in [
            ("https://gate.example", "gate.example"),
            ("https://gate.example:8443", "gate.example"),
            ("http://localhost:8080", "localhost"),
            ("http://gate.localhost", "gate.localhost"),
        ] {
            let relying_party = RelyingParty::parse(origin).unwrap();
            assert_eq!((relying_party.id(), relying_party.origin()), (id, origin));
        }
        for origin in [
            "http://gate.example",
            "https://gate.example/",
            "https://gate.example:443",
            "https://GATE.example",
            "https://gate.example/path",
            "https://user@gate.example",
            "https://127.0.0.1:8443",
            "https://[::1]",
            "http://127.0.0.1:8080",
            "ftp://gate.example",
            "gate.example",
            "",
        ] {
            assert!(RelyingParty::parse(origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn client_data_must_be_one_object_with_its_three_texts() {
        for json in [
            "",
            "[]",
            "null",
            r#"{"type":"webauthn.get","challenge":"AA"}"#,
            r#"{"type":1,"challenge":"AA","origin":"https://gate.example"}"#,
            r#"{"type":"webauthn.get","challenge":"AA","origin":"https://gate.example"} x"#,
            r#"{"type":"webauthn.get","challenge":"AA","origin":"o","crossOrigin":"false"}"#,
        ] {
            let refused = ClientData::parse(json.as_bytes()).unwrap_err();
            assert!(matches!(refused, AssertionRefusal::ClientData(_)), "{json}: {refused:?}");
        }
        // Level 2 browsers leave `crossOrigin` out.
        let json = br#"{"type":"webauthn.get","challenge":"AA","origin":"https://gate.example"}"#;
        let relying_party = RelyingParty::parse("https://gate.example").unwrap();
        let client_data = ClientData::parse(json).unwrap();
        assert_eq!(client_data.check("webauthn.get", &[0], &relying_party), Ok(()));
    }

    #[test]
    fn only_the_canonical_es256_key_is_a_key() {
        let good = vectors().remove(0).public_key;
        assert_eq!(CoseKey::parse(good.as_bytes()), Ok(good.clone()));
        for place in (0..10).chain(42..45) {
            let mut altered = good.as_bytes().to_vec();
            altered[place] ^= 1;
            assert_eq!(CoseKey::parse(&altered), Err(AssertionRefusal::Key));
        }
        assert_eq!(CoseKey::parse(&good.as_bytes()[..76]), Err(AssertionRefusal::Key));
        assert_eq!(CoseKey::parse(&[good.as_bytes(), &[0]].concat()), Err(AssertionRefusal::Key));
    }
}
