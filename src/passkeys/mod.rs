//! Passkey ceremonies: enrolment, sign-in, and signatures whose challenge commits to a statement.
//!
//! Two verifiers must agree on every assertion: `domain::assertion` decides, webauthn-rs gives the
//! second opinion. Every assertion runs as webauthn-rs's discoverable ceremony, because that one
//! takes the key at the end instead of a snapshot at the beginning (a key suspended or used in
//! between is judged as it is now) and lets no key become backup-eligible. The caller keeps each
//! state in a database row and deletes that row when a finish is tried, whatever comes of it (W3).

mod wire;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    AttestationCa, AttestationCaList, AttestationMetadata, COSEKeyType, Credential,
    DiscoverableAuthentication, Passkey, PasskeyRegistration, Url, Uuid, Webauthn, WebauthnBuilder,
    WebauthnError,
};
use webauthn_rs_core::attestation::verify_attestation_ca_chain;
use webauthn_rs_proto::{
    AllowCredentials, AttestationConveyancePreference, PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions, ResidentKeyRequirement,
};

use crate::domain::assertion::{
    Assertion, AssertionRefusal, AuthenticatorData, ClientData, CoseKey, CredentialId, Flag,
    Intent, Nonce, Purpose, RelyingParty, Verified, challenge, verify,
};
use crate::domain::digest::Sha256;
use crate::domain::ids::PersonId;
use crate::domain::roster::Authenticator;

pub use wire::PresentedAssertion;

/// How long an enrolment may take (rule W3); the caller's row expires with it.
pub const ENROL_LIFETIME: Duration = Duration::from_mins(5);
/// How long a sign-in or a signature may take (rule W3); the caller's row expires with it.
pub const ASSERT_LIFETIME: Duration = Duration::from_mins(2);

/// COSE's number for ES256 (RFC 9053 section 2.1).
const ES256: i64 = -7;
/// The model number of Chromium's virtual authenticator, which verifies nobody.
const TEST_AAGUID: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_0102_0304_0506_0708);

/// The ceremonies of one relying party.
#[derive(Debug, Clone)]
pub struct Passkeys {
    relying_party: RelyingParty,
    library: Webauthn,
    makers: Option<AttestationCaList>,
    test_authenticators: bool,
}

/// Why a ceremony could not be started; nothing a person did.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyFault {
    /// webauthn-rs refused its own set-up or inputs.
    #[error("webauthn-rs could not start: {0}")]
    Library(#[from] WebauthnError),
    /// webauthn-rs's state or options are not laid out as expected, so the challenge was not bound.
    #[error("webauthn-rs has another layout than expected: {0}")]
    Layout(&'static str),
    /// A state or options could not be written as JSON.
    #[error("a passkey ceremony could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A root of a maker is not a certificate.
    #[error("a root of a maker of authenticators is not a certificate")]
    Root,
    /// A person without a passkey was asked to sign, or with a passkey of somebody else.
    #[error("a signature needs passkeys of exactly one person")]
    Keys,
}

/// Why a passkey was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyRefusal {
    /// The credential is not the JSON that browsers' `toJSON()` gives.
    #[error("expected a credential as the browser's toJSON() writes it: {0}")]
    Malformed(String),
    /// Our verifier refused it.
    #[error(transparent)]
    Unsound(#[from] AssertionRefusal),
    /// The ceremony was begun for another act or another statement (W4, W5, V06, V07).
    #[error("this request was begun for another act or another content, begin again")]
    OtherIntent,
    /// The key is not one that was asked for (W7, V05).
    #[error("expected a passkey of this account, received `{0}`")]
    ForeignKey(CredentialId),
    /// The authenticator keeps the key for somebody else, or a sign-in does not say for whom (W7).
    #[error("the passkey was made for another account")]
    UserHandle,
    /// The counter did not grow: suspend the key and raise an alarm (W9, V14).
    #[error(
        "the passkey may have been copied: expected a counter above {previous}, received \
         `{received}`"
    )]
    Counter {
        /// The counter of the last accepted assertion.
        previous: u32,
        /// The counter in this one.
        received: u32,
    },
    /// The backup flags are not those on file: raise an alarm (W10, V15).
    #[error("the passkey changed whether it is or can be copied to other devices")]
    BackupChanged,
    /// The passkey is enrolled already.
    #[error("this passkey is enrolled already")]
    AlreadyEnrolled,
    /// A browser's built-in test authenticator, which verifies nobody.
    #[error("test authenticators are not accepted here")]
    TestAuthenticator,
    /// webauthn-rs refused what our verifier accepted.
    #[error("the passkey was refused by the second check: {0}")]
    SecondOpinion(String),
}

impl PasskeyRefusal {
    /// Whether this is a sign of a copied or altered key, proven by a valid signature: the caller
    /// raises an alarm, and on [`PasskeyRefusal::Counter`] also suspends the key.
    pub fn alarms(&self) -> bool {
        matches!(self, Self::Counter { .. } | Self::BackupChanged)
    }
}

impl From<WebauthnError> for PasskeyRefusal {
    fn from(error: WebauthnError) -> Self {
        Self::SecondOpinion(error.to_string())
    }
}

/// An enrolment between begin and finish; for the database only, never for the browser.
#[derive(Debug, Serialize, Deserialize)]
pub struct EnrolState {
    person: PersonId,
    existing: Vec<CredentialId>,
    challenge: Nonce,
    ceremony: PasskeyRegistration,
}

impl EnrolState {
    /// The person who will own the key.
    pub fn person(&self) -> PersonId {
        self.person
    }
}

/// An assertion between begin and finish; for the database only, never for the browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssertState {
    intent: Intent,
    nonce: Nonce,
    /// Who must sign and with which keys; `None` for a sign-in, where the key says who it is.
    signer: Option<Signer>,
    ceremony: DiscoverableAuthentication,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Signer {
    person: PersonId,
    keys: Vec<CredentialId>,
}

impl AssertState {
    /// What the signature will be for.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The nonce inside the challenge; it belongs into the log beside the assertion.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }
}

/// A passkey as the database keeps it, whole: the caller's columns only repeat parts of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredPasskey {
    person: PersonId,
    credential_id: CredentialId,
    key: CoseKey,
    counter: u32,
    backup_eligible: bool,
    backed_up: bool,
    transports: Vec<String>,
    library: Passkey,
}

impl StoredPasskey {
    /// The owner.
    pub fn person(&self) -> PersonId {
        self.person
    }

    /// The WebAuthn credential id; unique over all people (rule W7).
    pub fn credential_id(&self) -> &CredentialId {
        &self.credential_id
    }

    /// The public key.
    pub fn key(&self) -> &CoseKey {
        &self.key
    }

    /// The last accepted counter; compare-and-set it in the transaction that accepts (rule W9).
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// BE: the key may be copied to other devices.
    pub fn backup_eligible(&self) -> bool {
        self.backup_eligible
    }

    /// BS: the key is copied to other devices.
    pub fn backed_up(&self) -> bool {
        self.backed_up
    }

    /// What the authenticator says it can be reached by: `usb`, `nfc`, `ble`, `internal`, `hybrid`.
    pub fn transports(&self) -> &[String] {
        &self.transports
    }

    /// A word for lists of keys, guessed from flags and transports; nothing is decided by it.
    pub fn kind(&self) -> &'static str {
        let reached_by = |name: &str| self.transports.iter().any(|transport| transport == name);
        if self.backup_eligible {
            "Synced passkey"
        } else if reached_by("internal") {
            "Passkey on one device"
        } else if reached_by("usb") || reached_by("nfc") || reached_by("ble") {
            "Security key"
        } else {
            "Passkey"
        }
    }
}

/// A passkey that was just enrolled.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// What later ceremonies need.
    pub stored: StoredPasskey,
    /// The authenticator's model number; all zero when it does not say.
    pub aaguid: Uuid,
    /// A maker that is trusted here vouches for model and key ([`Passkeys::vouched_for`]).
    pub attested: bool,
    /// The browser's bytes, kept so that others can see later which hardware made the key.
    pub attestation_object: Vec<u8>,
    /// The browser's bytes that the attestation signed.
    pub client_data_json: Vec<u8>,
}

impl NewPasskey {
    /// What the roster says about the authenticator.
    pub fn authenticator(&self) -> Authenticator {
        let synced = self.stored.backup_eligible();
        Authenticator { aaguid: self.aaguid, synced, attested: self.attested }
    }
}

/// Proof that both verifiers accepted; only [`Passkeys::finish_assert`] makes one.
#[derive(Debug, Clone)]
pub struct AcceptedAssertion {
    assertion: Assertion,
    intent: Intent,
    nonce: Nonce,
    verified: Verified,
    stored: StoredPasskey,
}

impl AcceptedAssertion {
    /// Who signed.
    pub fn person(&self) -> PersonId {
        self.stored.person
    }

    /// The signed parts, for the log (rule W6).
    pub fn assertion(&self) -> &Assertion {
        &self.assertion
    }

    /// What was signed.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The nonce inside the challenge, for the log.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The authenticator's counter and flags.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The passkey with its new counter, to be stored if the old counter is still on file.
    pub fn stored(&self) -> &StoredPasskey {
        &self.stored
    }
}

impl Passkeys {
    /// Ceremonies for `relying_party`; `name` is what some browsers show beside the host.
    pub fn new(relying_party: RelyingParty, name: &str) -> Result<Self, PasskeyFault> {
        let origin = Url::parse(relying_party.origin())
            .map_err(|_| PasskeyFault::Layout("a relying party's origin is not a URL"))?;
        // Sub-domains and other ports stay off, as they are by default (W1).
        let library = WebauthnBuilder::new(relying_party.id(), &origin)?.rp_name(name).build()?;
        Ok(Self { relying_party, library, makers: None, test_authenticators: false })
    }

    /// Trusts the makers of authenticators whose root certificates these are, in DER. Which models
    /// count is for each policy to say.
    pub fn trust_makers(self, roots: &[Vec<u8>]) -> Result<Self, PasskeyFault> {
        let mut makers = AttestationCaList::default();
        for root in roots {
            // The library makes one of any model only from its own JSON.
            let ca = URL_SAFE_NO_PAD.encode(root);
            let maker = serde_json::json!({ "ca": ca, "aaguids": {}, "blanket_allow": true });
            let maker: AttestationCa =
                serde_json::from_value(maker).map_err(|_| PasskeyFault::Root)?;
            makers.insert(maker).map_err(|_| PasskeyFault::Root)?;
        }
        Ok(Self { makers: (!makers.is_empty()).then_some(makers), ..self })
    }

    /// Whether a trusted maker vouches for the model and the key: the attestation, whose signature
    /// webauthn-rs checked at enrolment, names the model and chains to the maker's root.
    pub fn vouched_for(&self, key: &NewPasskey, now: Timestamp) -> bool {
        let Some(makers) = &self.makers else { return false };
        let attestation = Credential::from(key.stored.library.clone()).attestation;
        let names_model = match attestation.metadata {
            AttestationMetadata::Packed { aaguid } | AttestationMetadata::Tpm { aaguid, .. } => {
                aaguid == key.aaguid
            }
            _ => false,
        };
        let chain = || verify_attestation_ca_chain(&attestation.data, makers, now.into());
        names_model && matches!(chain(), Ok(Some(_)))
    }

    /// Accepts Chromium's virtual authenticator too. For demonstrations and tests only: whoever
    /// can run a browser can make such a key.
    pub fn allow_test_authenticators(self) -> Self {
        Self { test_authenticators: true, ..self }
    }

    /// Where signatures are valid.
    pub fn relying_party(&self) -> &RelyingParty {
        &self.relying_party
    }

    /// Begins an enrolment. `name` and `display_name` are shown by the person's authenticator;
    /// `existing` are the person's keys, which the browser will not enrol again.
    ///
    /// Returns the `publicKey` member for `parseCreationOptionsFromJSON`. It asks for a
    /// discoverable key, because the sign-in page asks for no name; for user verification (W2);
    /// for ES256; and for direct attestation, so that the log can show which hardware signed.
    pub fn begin_enrol(
        &self,
        person: PersonId,
        name: &str,
        display_name: &str,
        existing: &[CredentialId],
    ) -> Result<(serde_json::Value, EnrolState), PasskeyFault> {
        let excluded = existing.iter().map(|id| id.as_bytes().to_vec()).collect();
        let (created, ceremony) = self.library.start_passkey_registration(
            person.uuid(),
            name,
            display_name,
            Some(excluded),
        )?;
        let mut options: PublicKeyCredentialCreationOptions = created.public_key;
        options.attestation = Some(AttestationConveyancePreference::Direct);
        options.timeout = Some(milliseconds(ENROL_LIFETIME));
        options.pub_key_cred_params.retain(|parameters| parameters.alg == ES256);
        let selection = options
            .authenticator_selection
            .as_mut()
            .ok_or(PasskeyFault::Layout("no authenticatorSelection"))?;
        selection.resident_key = Some(ResidentKeyRequirement::Required);
        selection.require_resident_key = true;
        // W11: of webauthn-rs's extensions only credProtect stays. It is not enforced, because
        // many authenticators fail on it; UV is checked on every assertion anyway.
        let extensions =
            options.extensions.as_mut().ok_or(PasskeyFault::Layout("no extensions"))?;
        (extensions.uvm, extensions.cred_props) = (None, None);
        let challenge = Nonce::from_slice(&options.challenge)
            .ok_or(PasskeyFault::Layout("the challenge is not 32 bytes"))?;
        let state = EnrolState { person, existing: existing.to_vec(), challenge, ceremony };
        Ok((serde_json::to_value(options)?, state))
    }

    /// Finishes an enrolment with the `toJSON()` of what `navigator.credentials.create` returned.
    ///
    /// The caller makes sure that the credential id is new over all people (W7).
    pub fn finish_enrol(
        &self,
        state: &EnrolState,
        credential: &serde_json::Value,
    ) -> Result<NewPasskey, PasskeyRefusal> {
        let presented = wire::PresentedRegistration::parse(credential)?;
        ClientData::parse(&presented.client_data_json)?.check(
            "webauthn.create",
            state.challenge.as_bytes(),
            &self.relying_party,
        )?;
        let data = wire::attested_data(&presented.attestation_object)?;
        let data = AuthenticatorData::parse(&data)?;
        data.check(&self.relying_party)?;
        let attested = wire::AttestedKey::parse(&data)?;
        if attested.credential_id != presented.credential_id {
            return Err(PasskeyRefusal::ForeignKey(presented.credential_id));
        }
        if state.existing.contains(&attested.credential_id) {
            return Err(PasskeyRefusal::AlreadyEnrolled);
        }
        let aaguid = Uuid::from_bytes(attested.aaguid);
        if aaguid == TEST_AAGUID && !self.test_authenticators {
            return Err(PasskeyRefusal::TestAuthenticator);
        }
        let library =
            self.library.finish_passkey_registration(&presented.for_library(), &state.ceremony)?;
        if !same_key(&library, &attested) {
            let why = "it read another key or credential id";
            return Err(PasskeyRefusal::SecondOpinion(why.to_owned()));
        }
        Ok(NewPasskey {
            stored: StoredPasskey {
                person: state.person,
                credential_id: attested.credential_id,
                key: attested.key,
                counter: data.counter,
                backup_eligible: data.has(Flag::BackupEligible),
                backed_up: data.has(Flag::BackedUp),
                transports: presented.transports,
                library,
            },
            aaguid,
            attested: false,
            attestation_object: presented.attestation_object,
            client_data_json: presented.client_data_json,
        })
    }

    /// Begins a sign-in by any discoverable key: no name is asked, so none can be guessed at.
    ///
    /// `nonce` is fresh from `crate::entropy`; the purpose is [`Purpose::SignIn`].
    pub fn begin_sign_in(
        &self,
        statement: Sha256,
        nonce: Nonce,
    ) -> Result<(serde_json::Value, AssertState), PasskeyFault> {
        self.begin(None, Intent { purpose: Purpose::SignIn, statement }, nonce, Vec::new())
    }

    /// Begins a signature of `intent` by one of a known person's keys.
    ///
    /// Returns the `publicKey` member for `parseRequestOptionsFromJSON`. `nonce` is fresh from
    /// `crate::entropy` and used once.
    pub fn begin_assert(
        &self,
        person: PersonId,
        keys: &[StoredPasskey],
        intent: Intent,
        nonce: Nonce,
    ) -> Result<(serde_json::Value, AssertState), PasskeyFault> {
        // An empty list would ask for any discoverable key, of anybody.
        if keys.is_empty() || keys.iter().any(|key| key.person != person) {
            return Err(PasskeyFault::Keys);
        }
        let allowed = keys
            .iter()
            .map(|key| AllowCredentials {
                type_: "public-key".to_owned(),
                id: key.credential_id.as_bytes().to_vec(),
                transports: Some(wire::transports(&key.transports)),
            })
            .collect();
        let keys = keys.iter().map(|key| key.credential_id.clone()).collect();
        self.begin(Some(Signer { person, keys }), intent, nonce, allowed)
    }

    fn begin(
        &self,
        signer: Option<Signer>,
        intent: Intent,
        nonce: Nonce,
        allowed: Vec<AllowCredentials>,
    ) -> Result<(serde_json::Value, AssertState), PasskeyFault> {
        let (started, ceremony) = self.library.start_discoverable_authentication()?;
        let mut options: PublicKeyCredentialRequestOptions = started.public_key;
        let ceremony = bind(&mut options, &ceremony, challenge(&intent, &nonce))?;
        options.allow_credentials = allowed;
        options.extensions = None;
        options.timeout = Some(milliseconds(ASSERT_LIFETIME));
        let state = AssertState { intent, nonce, signer, ceremony };
        Ok((serde_json::to_value(options)?, state))
    }

    /// Finishes a sign-in or a signature. `intent` is what the finishing request is for, computed
    /// again by the caller; `stored` is the key of [`PresentedAssertion::credential_id`], read under
    /// the lock in which its counter will be set, and not suspended.
    pub fn finish_assert(
        &self,
        state: &AssertState,
        intent: &Intent,
        stored: &StoredPasskey,
        presented: &PresentedAssertion,
    ) -> Result<AcceptedAssertion, PasskeyRefusal> {
        if state.intent != *intent {
            return Err(PasskeyRefusal::OtherIntent);
        }
        owned_by_signer(state, stored, presented)?;
        let verified = verify(
            &self.relying_party,
            &stored.key,
            intent,
            &state.nonce,
            &presented.assertion,
            Some(stored.counter),
        )
        .map_err(|refusal| match refusal {
            AssertionRefusal::Counter { previous, received } => {
                PasskeyRefusal::Counter { previous, received }
            }
            other => PasskeyRefusal::Unsound(other),
        })?;
        if (verified.backup_eligible, verified.backed_up)
            != (stored.backup_eligible, stored.backed_up)
        {
            return Err(PasskeyRefusal::BackupChanged);
        }
        let second = self.library.finish_discoverable_authentication_v2(
            &presented.for_library(),
            state.ceremony.clone(),
            &stored.library,
        )?;
        let mut stored = StoredPasskey { counter: verified.counter, ..stored.clone() };
        let same = stored.library.update_credential(&second).is_some();
        if !same || !second.user_verified() || second.counter() != verified.counter {
            let why = "it read another key, counter or flag";
            return Err(PasskeyRefusal::SecondOpinion(why.to_owned()));
        }
        let assertion = presented.assertion.clone();
        Ok(AcceptedAssertion { assertion, intent: *intent, nonce: state.nonce, verified, stored })
    }
}

/// Rule W7: the key is one that was asked for, and the authenticator keeps it for its owner.
fn owned_by_signer(
    state: &AssertState,
    stored: &StoredPasskey,
    presented: &PresentedAssertion,
) -> Result<(), PasskeyRefusal> {
    let id = presented.credential_id();
    let asked = match &state.signer {
        Some(signer) => signer.person == stored.person && signer.keys.contains(id),
        None => true,
    };
    if !asked || stored.credential_id != *id {
        return Err(PasskeyRefusal::ForeignKey(id.clone()));
    }
    match (&presented.user_handle, &state.signer) {
        (Some(handle), _) if handle == stored.person.as_bytes() => Ok(()),
        // Authenticators may leave the handle out when the key was named to them.
        (None, Some(_)) => Ok(()),
        _ => Err(PasskeyRefusal::UserHandle),
    }
}

fn same_key(library: &Passkey, attested: &wire::AttestedKey) -> bool {
    let (x, y) = attested.key.coordinates();
    library.cred_id().as_slice() == attested.credential_id.as_bytes()
        && matches!(
            &library.get_public_key().key,
            COSEKeyType::EC_EC2(point) if point.x.as_slice() == x && point.y.as_slice() == y
        )
}

/// Puts our challenge where webauthn-rs drew a random one, in the options and in its state.
///
/// webauthn-rs has no way to be given a challenge, but its state serialises. It is bound only if
/// the state holds the same challenge as the options do now and ours afterwards, so a change of
/// its layout stops ceremonies instead of leaving them unbound.
fn bind(
    options: &mut PublicKeyCredentialRequestOptions,
    state: &DiscoverableAuthentication,
    challenge: [u8; 32],
) -> Result<DiscoverableAuthentication, PasskeyFault> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    const SLOT: &str = "/ast/challenge";

    let drawn = URL_SAFE_NO_PAD.encode(&options.challenge[..]);
    let bound = URL_SAFE_NO_PAD.encode(challenge);
    let mut json = serde_json::to_value(state)?;
    let slot = json.pointer_mut(SLOT).ok_or(PasskeyFault::Layout("no challenge in the state"))?;
    if slot.as_str() != Some(&drawn) {
        return Err(PasskeyFault::Layout("state and options disagree on the challenge"));
    }
    *slot = bound.clone().into();
    let state = serde_json::from_value(json)?;
    if serde_json::to_value(&state)?.pointer(SLOT).and_then(|slot| slot.as_str()) != Some(&bound) {
        return Err(PasskeyFault::Layout("the state did not keep the challenge"));
    }
    options.challenge = challenge.to_vec();
    Ok(state)
}

fn milliseconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> (PublicKeyCredentialRequestOptions, DiscoverableAuthentication) {
        let relying_party = RelyingParty::parse("https://gate.example").unwrap();
        let passkeys = Passkeys::new(relying_party, "Countersign").unwrap();
        let (options, state) = passkeys.library.start_discoverable_authentication().unwrap();
        (options.public_key, state)
    }

    #[test]
    fn binding_replaces_the_challenge_on_both_sides() {
        let (mut options, state) = started();
        let bound = bind(&mut options, &state, [1; 32]).unwrap();
        assert_eq!(options.challenge, [1; 32]);
        let (mut before, mut after) =
            (serde_json::to_value(&state).unwrap(), serde_json::to_value(&bound).unwrap());
        assert_eq!(after["ast"]["challenge"], "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        // Nothing else changed, and no key may become backup-eligible later (W10).
        before["ast"]["challenge"].take();
        after["ast"]["challenge"].take();
        assert_eq!(before, after);
        assert_eq!(after["ast"]["allow_backup_eligible_upgrade"], false);
        assert_eq!(after["ast"]["policy"], "required");
    }

    #[test]
    fn binding_fails_closed_when_state_and_options_disagree() {
        let (mut options, _) = started();
        let (_, other) = started();
        let drawn = options.challenge.clone();
        let fault = bind(&mut options, &other, [1; 32]).unwrap_err();
        assert!(matches!(fault, PasskeyFault::Layout(_)), "{fault:?}");
        assert_eq!(options.challenge, drawn);
    }
}
