//! What evidence says, in the forms that other tools read: an in-toto statement in a signed
//! envelope, and the practices of the Secure Software Development Framework it bears on.
//!
//! Both repeat what [`evidence::verify`](super::evidence::verify) found and prove nothing beside it;
//! the bundle is what convinces somebody who does not trust the log's key holder.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::assertion::CredentialId;
use crate::domain::digest::Sha256;
use crate::domain::evidence::Proven;
use crate::domain::ids::{InstanceId, PersonId, ReleaseId};
use crate::domain::log::note::Signer;
use crate::domain::manifest::Destination;
use crate::domain::statement::PolicyReference;

/// `_type` of an in-toto statement, version 1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Says that people approved these bytes; `docs/verify/README.md` lists the predicate's members.
pub const PREDICATE_TYPE: &str = "urn:countersign:predicate:approval:v1";
/// What the envelope says its payload is.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The framework and the version whose numbers are used.
const FRAMEWORK: &str = "NIST SP 800-218 version 1.1";

#[derive(Serialize)]
struct InToto {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Serialize)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(Serialize)]
struct Digest {
    sha256: Sha256,
}

#[derive(Serialize)]
struct Predicate {
    instance: InstanceId,
    release: ReleaseId,
    package: String,
    version: String,
    destination: Destination,
    manifest_sha256: Sha256,
    claims_sha256: Sha256,
    policy: PolicyReference,
    approvals: Vec<Approved>,
    sent_at: Timestamp,
    outcome: &'static str,
    log: Log,
}

#[derive(Serialize)]
struct Approved {
    person: PersonId,
    credential_id: CredentialId,
    at: Timestamp,
}

#[derive(Serialize)]
struct Log {
    origin: String,
    size: u64,
    root: String,
}

/// A DSSE envelope, version 1.0.2.
#[derive(Serialize)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: &'static str,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// The statement in an envelope that the log's key signs; one line of JSON.
pub fn in_toto(proven: &Proven, signer: &Signer) -> Vec<u8> {
    let key = signer.verifier_key();
    let payload = super::canonical(&statement(proven, key.name()));
    // The type comes first, so this is never a checkpoint or a bundle of the same key.
    let text = String::from_utf8_lossy(&payload);
    let to_sign = format!("DSSEv1 {} {PAYLOAD_TYPE} {} {text}", PAYLOAD_TYPE.len(), payload.len());
    let signature = signer.sign(&to_sign, 0);
    let envelope = Envelope {
        payload: STANDARD.encode(&payload),
        payload_type: PAYLOAD_TYPE,
        signatures: vec![EnvelopeSignature {
            keyid: format!("{}+{:08x}", key.name(), key.id()),
            sig: STANDARD.encode(signature.bytes()),
        }],
    };
    let mut line = super::canonical(&envelope);
    line.push(b'\n');
    line
}

fn statement(proven: &Proven, origin: &str) -> InToto {
    let sealed = proven.authorised.manifest();
    let manifest = sealed.manifest();
    let subject = |file: &crate::domain::manifest::ManifestFile| Subject {
        name: file.name.clone(),
        digest: Digest { sha256: file.sha256 },
    };
    let approved = |approval: &super::evidence::Approval| Approved {
        person: approval.person,
        credential_id: approval.credential_id.clone(),
        at: approval.at,
    };
    InToto {
        kind: STATEMENT_TYPE,
        subject: manifest.files.iter().map(subject).collect(),
        predicate_type: PREDICATE_TYPE,
        predicate: Predicate {
            instance: manifest.instance,
            release: manifest.release,
            package: manifest.package.clone(),
            version: manifest.version.clone(),
            destination: manifest.destination.clone(),
            manifest_sha256: sealed.digest(),
            claims_sha256: manifest.claims_sha256,
            policy: PolicyReference::to(proven.authorised.policy()),
            approvals: proven.approvals.iter().map(approved).collect(),
            sent_at: proven.sent_at,
            outcome: proven.outcome.as_str(),
            log: Log {
                origin: origin.to_owned(),
                size: proven.tree.size,
                root: proven.tree.root.to_string(),
            },
        },
    }
}

/// A task of the framework, and how far this release's evidence bears on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Practice {
    /// "PS.2.1".
    pub task: &'static str,
    /// The task in a few words of ours.
    pub about: &'static str,
    /// What the evidence of this release shows.
    pub shows: String,
    /// What an assessor has to find elsewhere.
    pub leaves_open: &'static str,
}

#[derive(Serialize)]
struct Mapping<'a> {
    framework: &'static str,
    release: ReleaseId,
    package: &'a str,
    version: &'a str,
    manifest_sha256: Sha256,
    practices: Vec<Practice>,
}

/// The mapping as a file.
pub fn ssdf(proven: &Proven) -> Vec<u8> {
    let sealed = proven.authorised.manifest();
    let manifest = sealed.manifest();
    super::canonical(&Mapping {
        framework: FRAMEWORK,
        release: manifest.release,
        package: &manifest.package,
        version: &manifest.version,
        manifest_sha256: sealed.digest(),
        practices: practices(proven),
    })
}

/// The tasks that evidence bears on.
pub fn practices(proven: &Proven) -> Vec<Practice> {
    let policy = proven.authorised.policy();
    let manifest = proven.authorised.manifest().manifest();
    let (people, files) = (proven.approvals.len(), manifest.files.len());
    let practice = |task, about, shows, leaves_open| Practice { task, about, shows, leaves_open };
    vec![
        practice(
            "PO.2.1",
            "people have roles in releasing",
            format!(
                "The roster in the log says who may sign, and revision {} of the policy names {} \
                 people for this package.",
                policy.revision(),
                policy.members().len()
            ),
            "Roles outside releasing.",
        ),
        practice(
            "PO.4.1",
            "criteria for a release are written down",
            policy.sentence(),
            "Criteria that are not about who approves.",
        ),
        practice(
            "PO.4.2",
            "what shows that the criteria were met is collected and kept safe",
            format!(
                "{people} signed approval(s) of exactly these bytes, in an append-only log of {} \
                 entries.",
                proven.tree.size
            ),
            "Results of tests and scanners, unless a reviewer noted them.",
        ),
        practice(
            "PS.1.1",
            "code is protected by least privilege",
            format!(
                "The right to publish to {} was used only after {people} of the people named \
                 approved.",
                manifest.destination.url
            ),
            "Access to the source repository and the CI system.",
        ),
        practice(
            "PS.2.1",
            "whoever gets the software can verify its integrity",
            format!(
                "SHA-256 of {files} file(s), signed by each approver and provable offline against \
                 the log's key."
            ),
            "That recipients are told where to find the evidence.",
        ),
        practice(
            "PS.3.1",
            "what belongs to a release is archived",
            "Manifest, decisions, rules and people as they were, and the claims of the CI run, are \
             in this evidence."
                .to_owned(),
            "How long the files themselves and backups of the log are kept.",
        ),
        practice(
            "PS.3.2",
            "where a release came from is recorded and shared",
            format!(
                "The verified claims of the CI run, digest {}, are part of what was signed.",
                manifest.claims_sha256
            ),
            "A list of components, and provenance of what it was built with.",
        ),
    ]
}
