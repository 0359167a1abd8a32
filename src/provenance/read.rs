//! What CI sent, read strictly: an npm provenance bundle, or a list of PEP 740 attestations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sigstore_verify::types::{Bundle, DsseEnvelope, SignatureContent};

use crate::domain::json::{JsonRefusal, parse_object, parse_strict};
use crate::domain::package::excerpt;
use crate::domain::review::provenance::{Broken, Link};

/// Longest attachment in bytes; what intake accepts (Q9).
pub const BYTES_MAX: usize = 1 << 20;
/// Most attestations of one file: twice what a registry takes.
pub const ATTESTATIONS_MAX: usize = 4;
/// Deepest nesting of JSON. SLSA predicates have eight levels.
const DEPTH_MAX: usize = 32;
/// Most RFC 3161 timestamps of one attestation. One is usual, each costs signature checks.
const TIMESTAMPS_MAX: usize = 4;
/// What a DSSE envelope with a statement says it carries.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// In which form CI sent attestations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A sigstore bundle, as `npm publish --provenance` attaches it.
    Bundle,
    /// A list of attestations (PEP 740), as twine and uv send it.
    Pep740,
}

/// The statement of an attestation, as far as it is looked at.
pub(super) struct Statement {
    pub(super) predicate_type: String,
    pub(super) subject: String,
    pub(super) sha256: Option<String>,
    pub(super) sha512: Option<String>,
}

/// One attestation, ready to be verified.
pub(super) struct Attestation {
    pub(super) bundle: Bundle,
    pub(super) statement: Statement,
}

/// The attestations of an attachment. `Err` when not even their number can be said.
pub(super) fn attestations(
    form: Form,
    bytes: &[u8],
) -> Result<Vec<Result<Attestation, Broken>>, Broken> {
    if bytes.len() > BYTES_MAX {
        let length = bytes.len();
        return Err(unreadable(format!("expected at most {BYTES_MAX} bytes, received {length}")));
    }
    if form == Form::Bundle {
        let bundle = parse_object(bytes, BYTES_MAX, DEPTH_MAX).map_err(|refusal| json(&refusal))?;
        return Ok(vec![attestation(Value::Object(bundle))]);
    }
    let Value::Array(list) = parse_strict(bytes, DEPTH_MAX).map_err(|refusal| json(&refusal))?
    else {
        return Err(unreadable("expected a list of attestations, received another value"));
    };
    if list.is_empty() || list.len() > ATTESTATIONS_MAX {
        let received = list.len();
        return Err(unreadable(format!(
            "expected 1 to {ATTESTATIONS_MAX} attestations, received {received}"
        )));
    }
    Ok(list.into_iter().map(|each| attestation(bundle_of(each)?)).collect())
}

fn attestation(bundle: Value) -> Result<Attestation, Broken> {
    let bundle: Bundle =
        serde_json::from_value(bundle).map_err(|error| unreadable(error.to_string()))?;
    let material = &bundle.verification_material;
    // One entry, so that what is said about the log is about the entry that was verified.
    let [entry] = material.tlog_entries.as_slice() else {
        let received = material.tlog_entries.len();
        return Err(in_log(format!("expected one entry of a log, received {received}")));
    };
    if entry.inclusion_proof.is_none() {
        return Err(in_log("expected a proof that the log has the entry, received none"));
    }
    let timestamps = material.timestamp_verification_data.rfc3161_timestamps.len();
    if timestamps > TIMESTAMPS_MAX {
        return Err(in_log(format!(
            "expected at most {TIMESTAMPS_MAX} timestamps, received {timestamps}"
        )));
    }
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(unreadable("expected a signed statement, received a signature over the file"));
    };
    let statement = statement(envelope)?;
    Ok(Attestation { bundle, statement })
}

fn statement(envelope: &DsseEnvelope) -> Result<Statement, Broken> {
    if envelope.payload_type != PAYLOAD_TYPE {
        let received = excerpt(&envelope.payload_type);
        return Err(unreadable(format!("expected `{PAYLOAD_TYPE}`, received `{received}`")));
    }
    let statement = parse_object(envelope.payload.as_bytes(), BYTES_MAX, DEPTH_MAX)
        .map_err(|refusal| json(&refusal))?;
    let subjects = statement.get("subject").and_then(Value::as_array);
    let Some([Value::Object(subject)]) = subjects.map(Vec::as_slice) else {
        return Err(unreadable("expected a statement about one subject"));
    };
    let (Some(name), Some(Value::Object(digests)), Some(predicate_type)) =
        (text(subject, "name"), subject.get("digest"), text(&statement, "predicateType"))
    else {
        return Err(unreadable("expected a subject with name and digest, and a predicate type"));
    };
    Ok(Statement {
        predicate_type,
        subject: name,
        sha256: text(digests, "sha256"),
        sha512: text(digests, "sha512"),
    })
}

/// A PEP 740 attestation as the sigstore bundle it was made from.
fn bundle_of(attestation: Value) -> Result<Value, Broken> {
    let Value::Object(mut attestation) = attestation else {
        return Err(unreadable("expected an attestation object, received another value"));
    };
    if attestation.get("version") != Some(&json!(1)) {
        return Err(unreadable("expected an attestation of version 1"));
    }
    let (Some(Value::Object(mut material)), Some(Value::Object(envelope))) =
        (attestation.remove("verification_material"), attestation.remove("envelope"))
    else {
        return Err(unreadable("expected `verification_material` and `envelope`"));
    };
    let (Some(entries), Some(certificate)) =
        (material.remove("transparency_entries"), text(&material, "certificate"))
    else {
        return Err(unreadable("expected `certificate` and `transparency_entries`"));
    };
    let (Some(statement), Some(signature)) =
        (text(&envelope, "statement"), text(&envelope, "signature"))
    else {
        return Err(unreadable("expected `statement` and `signature` of the envelope"));
    };
    if STANDARD.decode(&statement).is_err() {
        return Err(unreadable("expected `statement` as base64"));
    }
    Ok(json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": certificate },
            "tlogEntries": entries,
        },
        "dsseEnvelope": {
            "payloadType": PAYLOAD_TYPE,
            "payload": statement,
            "signatures": [{ "sig": signature }],
        },
    }))
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn json(refusal: &JsonRefusal) -> Broken {
    unreadable(refusal.to_string())
}

fn unreadable(words: impl Into<String>) -> Broken {
    super::broken(Link::Subject, &words.into())
}

fn in_log(words: impl Into<String>) -> Broken {
    super::broken(Link::Log, &words.into())
}
