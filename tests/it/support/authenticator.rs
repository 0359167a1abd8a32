//! A software authenticator and its browser, with a knob for every lie the server must notice.
//!
//! ES256, discoverable, deterministic: a seed is a key. It answers `publicKey` options as the pages
//! get them and writes credentials as browsers' `toJSON()` does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use countersign::domain::assertion::{Assertion, CredentialId, Intent, Nonce, challenge};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use serde_json::{Value, json};
use sha2::Digest as _;

/// User present.
pub(crate) const UP: u8 = 0x01;
/// User verified.
pub(crate) const UV: u8 = 0x04;
/// Backup eligible.
pub(crate) const BE: u8 = 0x08;
/// Backed up.
pub(crate) const BS: u8 = 0x10;
/// Attested key present.
pub(crate) const AT: u8 = 0x40;
/// Extensions present.
pub(crate) const ED: u8 = 0x80;

/// One key on one device, used from one page. Every public field is a knob.
#[derive(Clone)]
pub(crate) struct Authenticator {
    signing_key: SigningKey,
    /// The credential id.
    pub(crate) id: Vec<u8>,
    /// The last counter; each assertion adds `step`.
    pub(crate) counter: u32,
    /// What an assertion adds to the counter; 0 with counter 0 is a key that does not count.
    pub(crate) step: u32,
    /// The flags byte; AT is added to registrations.
    pub(crate) flags: u8,
    /// The RP id that is hashed into the authenticator data.
    pub(crate) rp_id: String,
    /// The origin of the page.
    pub(crate) origin: String,
    /// The model number.
    pub(crate) aaguid: [u8; 16],
    /// The `type` of the client data; `None` is the right one.
    pub(crate) kind: Option<&'static str>,
    /// `crossOrigin` in the client data.
    pub(crate) cross_origin: Value,
    /// `topOrigin` in the client data.
    pub(crate) top_origin: Option<String>,
    /// The challenge in the client data instead of the one in the options.
    pub(crate) challenge: Option<Vec<u8>>,
    /// Text put into the client data object before its closing brace.
    pub(crate) client_data_tail: String,
    /// Bytes after the authenticator data's fixed part (and after the attested key).
    pub(crate) extensions: Vec<u8>,
    /// The user handle given back; `enrol` takes it from the options.
    pub(crate) user_handle: Option<Vec<u8>>,
    /// What `getTransports()` gives.
    pub(crate) transports: Vec<&'static str>,
    /// The COSE key sent on registration instead of the right one.
    pub(crate) cose_key: Option<Vec<u8>>,
    /// `clientExtensionResults`.
    pub(crate) extension_results: Value,
    /// Who vouches for the model and each new key.
    pub(crate) maker: Option<Maker>,
}

/// A maker of authenticators: a root, and a certificate for one batch of them.
#[derive(Clone)]
pub(crate) struct Maker {
    /// The root, in DER.
    pub(crate) root: Vec<u8>,
    certificate: Vec<u8>,
    key: SigningKey,
}

impl Maker {
    /// One of authenticators of a model (Web Authentication section 8.2.1).
    pub(crate) fn of(model: [u8; 16]) -> Self {
        let p256 = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        root.distinguished_name.push(DnType::CommonName, "Maker Root");
        let (root_key, batch_key) = (p256(), p256());
        let root_der = root.self_signed(&root_key).expect("a root").der().to_vec();
        let mut batch = CertificateParams::default();
        batch.is_ca = IsCa::ExplicitNoCa;
        batch.use_authority_key_identifier_extension = true;
        for (part, text) in [
            (DnType::CountryName, "SE"),
            (DnType::OrganizationName, "Maker"),
            (DnType::OrganizationalUnitName, "Authenticator Attestation"),
            (DnType::CommonName, "Maker Batch 1"),
        ] {
            batch.distinguished_name.push(part, text);
        }
        let octets = [&[0x04, 0x10][..], &model].concat();
        let model = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4], octets);
        batch.custom_extensions.push(model);
        let issuer = Issuer::new(root, root_key);
        let certificate = batch.signed_by(&batch_key, &issuer).expect("a certificate");
        let key = SigningKey::from_pkcs8_der(batch_key.serialized_der()).expect("a P-256 key");
        Self { root: root_der, certificate: certificate.der().to_vec(), key }
    }

    /// A packed attestation up to the length of the authenticator data.
    fn attestation(&self, data: &[u8], client_data: &[u8]) -> Vec<u8> {
        let message = [data, &sha2::Sha256::digest(client_data)].concat();
        let signature: Signature = self.key.sign(&message);
        let signature = signature.to_der();
        let mut object = b"\xa3\x63fmt\x66packed\x67attStmt\xa3\x63alg\x26\x63sig".to_vec();
        object.extend_from_slice(&[0x58, u8::try_from(signature.as_bytes().len()).expect("short")]);
        object.extend_from_slice(signature.as_bytes());
        object.extend_from_slice(b"\x63x5c\x81\x59");
        let length = u16::try_from(self.certificate.len()).expect("short");
        object.extend_from_slice(&length.to_be_bytes());
        object.extend_from_slice(&self.certificate);
        object.extend_from_slice(b"\x68authData\x59");
        object
    }
}

impl Authenticator {
    /// A verified, device-bound security key for a page at `origin`.
    pub(crate) fn new(seed: u8, origin: &str) -> Self {
        let host = origin.split("://").nth(1).expect("an origin has a scheme");
        Self {
            signing_key: SigningKey::from_slice(&[seed; 32]).expect("a seed from 1 to 254"),
            id: vec![seed; 16],
            counter: 0,
            step: 1,
            flags: UP | UV,
            rp_id: host.split(':').next().unwrap_or(host).to_owned(),
            origin: origin.to_owned(),
            aaguid: [0; 16],
            kind: None,
            cross_origin: Value::Bool(false),
            top_origin: None,
            challenge: None,
            client_data_tail: String::new(),
            extensions: Vec::new(),
            user_handle: None,
            transports: vec!["usb"],
            cose_key: None,
            extension_results: json!({}),
            maker: None,
        }
    }

    /// The public key as a COSE_Key.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let point = self.signing_key.verifying_key().to_sec1_point(false);
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend_from_slice(point.x().expect("an affine point"));
        key.extend_from_slice(&[0x22, 0x58, 0x20]);
        key.extend_from_slice(point.y().expect("an uncompressed point"));
        key
    }

    /// `navigator.credentials.create`: answers creation options and keeps the user handle.
    pub(crate) fn enrol(&mut self, options: &Value) -> Value {
        self.user_handle = options["user"]["id"].as_str().map(|id| B64.decode(id).expect("id"));
        let client_data = self.client_data("webauthn.create", options);
        let data = self.data(true);
        let mut object = match &self.maker {
            None => b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec(),
            Some(maker) => maker.attestation(&data, &client_data),
        };
        object.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
        object.extend_from_slice(&data);
        json!({
            "id": B64.encode(&self.id),
            "rawId": B64.encode(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": self.extension_results,
            "response": {
                "clientDataJSON": B64.encode(client_data),
                "attestationObject": B64.encode(object),
                "authenticatorData": B64.encode(data),
                "publicKeyAlgorithm": -7,
                "transports": self.transports,
            },
        })
    }

    /// `navigator.credentials.get`: answers request options.
    pub(crate) fn assert(&mut self, options: &Value) -> Value {
        self.counter += self.step;
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(false);
        let mut message = data.clone();
        message.extend_from_slice(&sha2::Sha256::digest(&client_data));
        let signature: Signature = self.signing_key.sign(&message);
        json!({
            "id": B64.encode(&self.id),
            "rawId": B64.encode(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": self.extension_results,
            "response": {
                "clientDataJSON": B64.encode(client_data),
                "authenticatorData": B64.encode(data),
                "signature": B64.encode(signature.to_der().as_bytes()),
                "userHandle": self.user_handle.as_ref().map(|handle| B64.encode(handle)),
            },
        })
    }

    /// An assertion over `intent`, as the log keeps it.
    pub(crate) fn sign(&mut self, intent: &Intent, nonce: &Nonce) -> Assertion {
        let credential = self.assert(&json!({ "challenge": B64.encode(challenge(intent, nonce)) }));
        let part = |name: &str| {
            let text = credential["response"][name].as_str().expect("a part of the response");
            B64.decode(text).expect("base64url")
        };
        let id = CredentialId::from_bytes(self.id.clone()).expect("a credential id");
        let (client_data, data) = (part("clientDataJSON"), part("authenticatorData"));
        Assertion::new(id, client_data, data, part("signature")).expect("parts within bounds")
    }

    /// The bytes a Level 3 browser writes, in its order.
    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = match &self.challenge {
            Some(challenge) => B64.encode(challenge),
            None => options["challenge"].as_str().expect("options have a challenge").to_owned(),
        };
        let mut json = format!(
            r#"{{"type":{},"challenge":{},"origin":{},"crossOrigin":{}"#,
            json!(self.kind.unwrap_or(kind)),
            json!(challenge),
            json!(self.origin),
            self.cross_origin,
        );
        if let Some(top_origin) = &self.top_origin {
            json.push_str(r#","topOrigin":"#);
            json.push_str(&json!(top_origin).to_string());
        }
        json.push_str(&self.client_data_tail);
        json.push('}');
        json.into_bytes()
    }

    fn data(&self, attested: bool) -> Vec<u8> {
        let mut data = sha2::Sha256::digest(self.rp_id.as_bytes()).to_vec();
        data.push(self.flags | if attested { AT } else { 0 });
        data.extend_from_slice(&self.counter.to_be_bytes());
        if attested {
            data.extend_from_slice(&self.aaguid);
            data.extend_from_slice(&u16::try_from(self.id.len()).expect("short").to_be_bytes());
            data.extend_from_slice(&self.id);
            data.extend_from_slice(&self.cose_key.clone().unwrap_or_else(|| self.public_key()));
        }
        data.extend_from_slice(&self.extensions);
        data
    }
}
