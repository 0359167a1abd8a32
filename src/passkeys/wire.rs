//! What browsers send: the `toJSON()` forms of WebAuthn Level 3 section 5.1, parsed and bounded.
//!
//! Client extension outputs are not read at all (rule W11), which is also why these types and not
//! webauthn-rs's own stand at the door.

use coset::cbor::Value as Cbor;
use serde::Deserialize;
use webauthn_rs_proto::{
    AuthenticatorAssertionResponseRaw, AuthenticatorAttestationResponseRaw, AuthenticatorTransport,
    PublicKeyCredential, RegisterPublicKeyCredential,
};

use crate::domain::assertion::{
    Assertion, AssertionRefusal, AuthenticatorData, CoseKey, CredentialId, Flag,
    MAX_AUTHENTICATOR_DATA_BYTES, MAX_CLIENT_DATA_BYTES, MAX_SIGNATURE_BYTES, decode,
};
use crate::domain::ids::PersonId;
use crate::passkeys::PasskeyRefusal;

/// Longest attestation object in bytes; certificate chains of TPMs need about 6 KiB.
const MAX_ATTESTATION_OBJECT_BYTES: usize = 16 * 1024;
/// More transports than exist.
const MAX_TRANSPORTS: usize = 8;
/// WebAuthn Level 3 section 5.4.3 allows 64; ours are the 16 bytes of a person's identifier.
const MAX_USER_HANDLE_BYTES: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialText<R> {
    id: String,
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: R,
}

impl<R: serde::de::DeserializeOwned> CredentialText<R> {
    fn parse(json: &serde_json::Value) -> Result<(CredentialId, R), PasskeyRefusal> {
        let text = Self::deserialize(json).map_err(|why| {
            PasskeyRefusal::Malformed(why.to_string().chars().take(200).collect())
        })?;
        if text.kind != "public-key" || text.id != text.raw_id {
            let why = "type is not public-key, or id and rawId differ";
            return Err(PasskeyRefusal::Malformed(why.to_owned()));
        }
        Ok((CredentialId::parse(&text.raw_id)?, text.response))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user_handle: Option<String>,
}

/// A sign-in or signature as the browser sent it: parsed, bounded, not yet believed.
#[derive(Debug, Clone)]
pub struct PresentedAssertion {
    pub(super) assertion: Assertion,
    pub(super) user_handle: Option<Vec<u8>>,
}

impl PresentedAssertion {
    /// Parses the `toJSON()` of what `navigator.credentials.get` returned.
    pub fn parse(credential: &serde_json::Value) -> Result<Self, PasskeyRefusal> {
        let (id, response) = CredentialText::<AssertionResponse>::parse(credential)?;
        let data = decode(
            "authenticator data",
            &response.authenticator_data,
            MAX_AUTHENTICATOR_DATA_BYTES,
        )?;
        let assertion = Assertion::new(
            id,
            decode("client data", &response.client_data_json, MAX_CLIENT_DATA_BYTES)?,
            data,
            decode("signature", &response.signature, MAX_SIGNATURE_BYTES)?,
        )?;
        let user_handle = response
            .user_handle
            .map(|text| decode("user handle", &text, MAX_USER_HANDLE_BYTES))
            .transpose()?;
        Ok(Self { assertion, user_handle })
    }

    /// The key that is said to have signed: what to look the passkey up by.
    pub fn credential_id(&self) -> &CredentialId {
        self.assertion.credential_id()
    }

    /// The person the authenticator keeps this key for, `None` when it did not say or the handle
    /// is not one of ours.
    pub fn person(&self) -> Option<PersonId> {
        PersonId::from_slice(self.user_handle.as_deref()?)
    }

    pub(super) fn for_library(&self) -> PublicKeyCredential {
        PublicKeyCredential {
            id: self.credential_id().to_string(),
            raw_id: self.credential_id().as_bytes().to_vec(),
            response: AuthenticatorAssertionResponseRaw {
                authenticator_data: self.assertion.authenticator_data().to_vec(),
                client_data_json: self.assertion.client_data_json().to_vec(),
                signature: self.assertion.signature().to_vec(),
                user_handle: self.user_handle.clone(),
            },
            extensions: webauthn_rs_proto::AuthenticationExtensionsClientOutputs::default(),
            type_: "public-key".to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

/// A registration as the browser sent it: parsed, bounded, not yet believed.
pub(super) struct PresentedRegistration {
    pub(super) credential_id: CredentialId,
    pub(super) client_data_json: Vec<u8>,
    pub(super) attestation_object: Vec<u8>,
    /// Lower-case names such as `usb` or `internal`; unknown ones are dropped.
    pub(super) transports: Vec<String>,
}

impl PresentedRegistration {
    pub(super) fn parse(credential: &serde_json::Value) -> Result<Self, PasskeyRefusal> {
        let (credential_id, response) = CredentialText::<RegistrationResponse>::parse(credential)?;
        let limit = MAX_ATTESTATION_OBJECT_BYTES;
        let mut transports: Vec<String> = response.transports;
        transports.truncate(MAX_TRANSPORTS);
        transports.retain(|name| name.parse::<AuthenticatorTransport>().is_ok());
        Ok(Self {
            credential_id,
            client_data_json: decode(
                "client data",
                &response.client_data_json,
                MAX_CLIENT_DATA_BYTES,
            )?,
            attestation_object: decode("attestation object", &response.attestation_object, limit)?,
            transports,
        })
    }

    pub(super) fn for_library(&self) -> RegisterPublicKeyCredential {
        RegisterPublicKeyCredential {
            id: self.credential_id.to_string(),
            raw_id: self.credential_id.as_bytes().to_vec(),
            response: AuthenticatorAttestationResponseRaw {
                attestation_object: self.attestation_object.clone(),
                client_data_json: self.client_data_json.clone(),
                transports: Some(transports(&self.transports)),
            },
            type_: "public-key".to_owned(),
            extensions: webauthn_rs_proto::RegistrationExtensionsClientOutputs::default(),
        }
    }
}

/// The transports as webauthn-rs writes them into `allowCredentials`.
pub(super) fn transports(names: &[String]) -> Vec<AuthenticatorTransport> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// The authenticator data inside an attestation object (WebAuthn Level 3 section 6.5.4).
pub(super) fn attested_data(attestation_object: &[u8]) -> Result<Vec<u8>, AssertionRefusal> {
    let mut rest = attestation_object;
    let object: Cbor =
        coset::cbor::from_reader(&mut rest).map_err(|_| AssertionRefusal::AuthenticatorData)?;
    let members = object.into_map().map_err(|_| AssertionRefusal::AuthenticatorData)?;
    let mut found = members.into_iter().filter(|(name, _)| name.as_text() == Some("authData"));
    match (found.next(), found.next(), rest) {
        (Some((_, Cbor::Bytes(data))), None, []) => Ok(data),
        _ => Err(AssertionRefusal::AuthenticatorData),
    }
}

/// The new key inside a registration's authenticator data (section 6.5.1).
pub(super) struct AttestedKey {
    pub(super) aaguid: [u8; 16],
    pub(super) credential_id: CredentialId,
    pub(super) key: CoseKey,
}

impl AttestedKey {
    pub(super) fn parse(data: &AuthenticatorData<'_>) -> Result<Self, AssertionRefusal> {
        let malformed = || AssertionRefusal::AuthenticatorData;
        if !data.has(Flag::AttestedKey) {
            return Err(malformed());
        }
        let (aaguid, rest) = data.rest.split_first_chunk::<16>().ok_or_else(malformed)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (id, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
        // A key of another kind is shorter or longer; `CoseKey` then refuses its first bytes.
        let (key, extensions) = rest.split_at(rest.len().min(CoseKey::BYTES));
        let key = CoseKey::parse(key)?;
        if data.has(Flag::Extensions) == extensions.is_empty() {
            return Err(malformed());
        }
        Ok(Self { aaguid: *aaguid, credential_id: CredentialId::from_bytes(id.to_vec())?, key })
    }
}
