//! A sigstore of our own, offline: an authority that certifies CI runs, a log of certificates and a
//! log of signatures, with a knob for every way an attestation can be wrong.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use countersign::domain::digest;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _, SanType, SerialNumber, SigningKey as _,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::der::{content, split, tagged};
use crate::support::timestamps::TimestampAuthority;

/// When everything here was signed, unless a test says otherwise.
pub(crate) const SIGNED_AT: &str = "2026-01-15T12:00:00Z";
/// The arc of the extensions in which an authority writes down the run.
const RUN_ARC: [u64; 8] = [1, 3, 6, 1, 4, 1, 57264, 1];
/// The extension with what certificate logs answered.
const SCT_LIST: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// The CI run a certificate is for, under the numbers of the extensions.
#[derive(Clone)]
pub(crate) struct AttestedRun {
    pub(crate) identity: String,
    pub(crate) extensions: Vec<(u64, String)>,
}

impl AttestedRun {
    /// The run of a token of GitHub Actions, as the authority writes it down.
    pub(crate) fn of(issuer: &str, claims: &Value) -> Self {
        let claim = |name: &str| claims[name].as_str().unwrap().to_owned();
        let at = |path: &str| format!("https://forge.example/{path}");
        let run = format!(
            "{}/actions/runs/{}/attempts/{}",
            claim("repository"),
            claim("run_id"),
            claim("run_attempt")
        );
        Self {
            identity: at(&claim("job_workflow_ref")),
            extensions: vec![
                (8, issuer.to_owned()),
                (12, at(&claim("repository"))),
                (13, claim("sha")),
                (14, claim("ref")),
                (15, claim("repository_id")),
                (18, at(&claim("workflow_ref"))),
                (21, at(&run)),
            ],
        }
    }

    /// The same with another value of one extension.
    pub(crate) fn with(mut self, number: u64, value: &str) -> Self {
        self.extensions.retain(|(known, _)| *known != number);
        self.extensions.push((number, value.to_owned()));
        self
    }

    /// The same without one extension.
    pub(crate) fn without(mut self, number: u64) -> Self {
        self.extensions.retain(|(known, _)| *known != number);
        self
    }
}

/// A statement about one file.
pub(crate) fn statement(subject: &str, digest: &Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": subject, "digest": digest }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": { "buildDefinition": {}, "runDetails": {} },
    })
}

/// An authority and its logs.
pub(crate) struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    authority_der: Vec<u8>,
    certificate_log: KeyPair,
    log: KeyPair,
    timestamps: TimestampAuthority,
}

/// What an attestation is made with; every field is a knob.
pub(crate) struct Attesting<'a> {
    pub(crate) run: AttestedRun,
    pub(crate) statement: Vec<u8>,
    /// Who certifies the key.
    pub(crate) authority: &'a Sigstore,
    /// Whose certificate log has the certificate.
    pub(crate) certificate_log: &'a Sigstore,
    /// Whose log has the signature.
    pub(crate) log: &'a Sigstore,
    /// From when the certificate is valid, for ten minutes.
    pub(crate) certified_at: Timestamp,
    /// When the log took the signature.
    pub(crate) logged_at: Timestamp,
    /// Who says so instead of the log; then the entry is of the newer kind, which has no time.
    pub(crate) stamped_by: Option<&'a Sigstore>,
}

impl Sigstore {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Authority");
        let authority_key = key();
        let authority_der = params.self_signed(&authority_key).unwrap().der().to_vec();
        let authority = Issuer::new(params, authority_key);
        let timestamps = TimestampAuthority::new();
        Self { authority, authority_der, certificate_log: key(), log: key(), timestamps }
    }

    /// The trust root an operator would be given.
    pub(crate) fn trust_root(&self) -> Value {
        let log = |name: &str, key: &KeyPair| {
            json!({
                "baseUrl": format!("https://{name}.example"), "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": B64.encode(key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": "2025-01-01T00:00:00Z" },
                },
                "logId": { "keyId": B64.encode(key_id(key)) },
            })
        };
        let chain = self.timestamps.chain.iter();
        let chain: Vec<Value> = chain.map(|der| json!({ "rawBytes": B64.encode(der) })).collect();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log("log", &self.log)],
            "certificateAuthorities": [{
                "subject": { "organization": "Example", "commonName": "Authority" },
                "uri": "https://authority.example",
                "certChain": { "certificates": [{ "rawBytes": B64.encode(&self.authority_der) }] },
                "validFor": { "start": "2025-01-01T00:00:00Z" },
            }],
            "ctlogs": [log("certificates", &self.certificate_log)],
            "timestampAuthorities": [{
                "subject": { "organization": "Example", "commonName": "Timestamps" },
                "uri": "https://timestamps.example",
                "certChain": { "certificates": chain },
                "validFor": { "start": "2025-01-01T00:00:00Z" },
            }],
        })
    }

    /// What makes a valid attestation of a statement in a run.
    pub(crate) fn attesting(&self, run: &AttestedRun, statement: &Value) -> Attesting<'_> {
        let signed_at: Timestamp = SIGNED_AT.parse().unwrap();
        Attesting {
            run: run.clone(),
            statement: statement.to_string().into_bytes(),
            authority: self,
            certificate_log: self,
            log: self,
            certified_at: signed_at - SignedDuration::from_secs(5),
            logged_at: signed_at,
            stamped_by: None,
        }
    }

    /// A valid bundle.
    pub(crate) fn attest(&self, run: &AttestedRun, statement: &Value) -> Value {
        self.attesting(run, statement).bundle()
    }
}

impl Attesting<'_> {
    /// The bundle, as npm's client attaches it.
    pub(crate) fn bundle(&self) -> Value {
        let key = key();
        let certificate = self.certificate(&key);
        let payload_type = "application/vnd.in-toto+json";
        let mut message = format!("DSSEv1 {} {payload_type} ", payload_type.len()).into_bytes();
        message.extend_from_slice(format!("{} ", self.statement.len()).as_bytes());
        message.extend_from_slice(&self.statement);
        let signature = key.sign(&message).unwrap();
        let (entry, stamps) = match self.stamped_by {
            None => (self.promised(&certificate, &signature), json!(null)),
            Some(by) => {
                let stamp = B64.encode(by.timestamps.stamp(&signature, self.logged_at));
                let stamps = json!({ "rfc3161Timestamps": [{ "signedTimestamp": stamp }] });
                (self.stamped(&certificate, &signature, &Sha256::digest(&message)), stamps)
            }
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": B64.encode(&certificate) },
                "tlogEntries": [entry],
                "timestampVerificationData": stamps,
            },
            "dsseEnvelope": {
                "payloadType": payload_type,
                "payload": B64.encode(&self.statement),
                "signatures": [{ "sig": B64.encode(&signature) }],
            },
        })
    }

    /// A certificate for `key`, in a certificate log (RFC 6962, section 3).
    fn certificate(&self, key: &KeyPair) -> Vec<u8> {
        let time = |at: Timestamp| {
            let seconds = u64::try_from(at.as_second()).unwrap();
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from_slice(&[7; 8]));
        params.not_before = time(self.certified_at);
        params.not_after = time(self.certified_at + SignedDuration::from_mins(10));
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.subject_alt_names =
            vec![SanType::URI(self.run.identity.as_str().try_into().unwrap())];
        for (number, value) in &self.run.extensions {
            let oid = [&RUN_ARC[..], &[*number]].concat();
            let text = tagged(0x0c, value.as_bytes());
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, text));
        }
        let issuer = &self.authority.authority;
        let without = params.signed_by(key, issuer).unwrap().der().to_vec();
        let answer = self.certificate_log_answer(&without, issuer.key());
        let list = tagged(0x04, &sized(&sized(&answer)));
        params.custom_extensions.push(CustomExtension::from_oid_content(&SCT_LIST, list));
        params.signed_by(key, issuer).unwrap().der().to_vec()
    }

    /// A signed certificate timestamp over a certificate that does not have it yet.
    fn certificate_log_answer(&self, certificate: &[u8], authority: &KeyPair) -> Vec<u8> {
        // The first of the three parts of a certificate.
        let (signed, _) = split(content(certificate));
        let log = &self.certificate_log.certificate_log;
        let at = u64::try_from(self.certified_at.as_millisecond()).unwrap().to_be_bytes();
        let length = u32::try_from(signed.len()).unwrap().to_be_bytes();
        let issuer = key_id(authority);
        let message = [&[0, 0][..], &at, &[0, 1], &issuer, &length[1..], signed, &[0, 0]].concat();
        let signature = sized(&log.sign(&message).unwrap());
        [&[0][..], &key_id(log), &at, &[0, 0], &[4, 3], &signature].concat()
    }

    /// An entry of the older kind, with the log's promise.
    fn promised(&self, certificate: &[u8], signature: &[u8]) -> Value {
        let body = json!({
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": hex(&Sha256::digest(b"")) },
                "payloadHash": {
                    "algorithm": "sha256", "value": hex(&Sha256::digest(&self.statement)),
                },
                "signatures": [{
                    "signature": B64.encode(signature), "verifier": B64.encode(pem(certificate)),
                }],
            },
        });
        let mut entry = self.entry("dsse", "0.0.1", &body);
        let log = &self.log.log;
        // Keys in the order of RFC 8785.
        let promised = format!(
            r#"{{"body":{},"integratedTime":{},"logID":"{}","logIndex":1}}"#,
            entry["canonicalizedBody"],
            self.logged_at.as_second(),
            hex(&key_id(log)),
        );
        let signed = log.sign(promised.as_bytes()).unwrap();
        entry["integratedTime"] = json!(self.logged_at.as_second().to_string());
        entry["inclusionPromise"] = json!({ "signedEntryTimestamp": B64.encode(signed) });
        entry
    }

    /// An entry of the newer kind.
    fn stamped(&self, certificate: &[u8], signature: &[u8], digest: &[u8]) -> Value {
        let body = json!({
            "apiVersion": "0.0.2", "kind": "hashedrekord",
            "spec": { "hashedRekordV002": {
                "data": { "algorithm": "SHA2_256", "digest": B64.encode(digest) },
                "signature": {
                    "content": B64.encode(signature),
                    "verifier": {
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        "x509Certificate": { "rawBytes": B64.encode(certificate) },
                    },
                },
            } },
        });
        self.entry("hashedrekord", "0.0.2", &body)
    }

    /// The second entry of a log of two, with its proof.
    fn entry(&self, kind: &str, version: &str, body: &Value) -> Value {
        let body = body.to_string().into_bytes();
        let log = &self.log.log;
        let first = Sha256::digest(b"\0the first entry");
        let leaf = Sha256::digest([&b"\0"[..], &body].concat());
        let root = B64.encode(Sha256::digest([&b"\x01"[..], &first, &leaf].concat()));
        let text = format!("log.example\n2\n{root}\n");
        let note = [&key_id(log)[..4], &log.sign(text.as_bytes()).unwrap()].concat();
        json!({
            "logIndex": "1",
            "logId": { "keyId": B64.encode(key_id(log)) },
            "kindVersion": { "kind": kind, "version": version },
            "inclusionProof": {
                "logIndex": "1", "treeSize": "2", "rootHash": root,
                "hashes": [B64.encode(first)],
                "checkpoint": {
                    "envelope": format!("{text}\n\u{2014} log.example {}\n", B64.encode(note)),
                },
            },
            "canonicalizedBody": B64.encode(&body),
        })
    }
}

/// The same attestation as twine and uv send it (PEP 740).
pub(crate) fn pep740(bundle: &Value) -> Value {
    let material = &bundle["verificationMaterial"];
    let envelope = &bundle["dsseEnvelope"];
    json!({
        "version": 1,
        "verification_material": {
            "certificate": material["certificate"]["rawBytes"],
            "transparency_entries": material["tlogEntries"],
        },
        "envelope": {
            "statement": envelope["payload"], "signature": envelope["signatures"][0]["sig"],
        },
    })
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// What logs and authorities are known by.
fn key_id(key: &KeyPair) -> Vec<u8> {
    Sha256::digest(key.subject_public_key_info()).to_vec()
}

fn pem(certificate: &[u8]) -> String {
    let text = B64.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A SHA-256 digest as logs write it.
fn hex(bytes: &[u8]) -> String {
    digest::Sha256::from_slice(bytes).unwrap().to_string()
}

/// Bytes behind their length in two bytes, as in TLS.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
