//! Provenance: sigstore attestations that CI sent along with a file, verified offline.
//!
//! Signatures, certificates and log entries are judged by the `sigstore-verify` crate against a
//! trust root that the operator gave; nothing is fetched. What a verified attestation means for a
//! release is decided in `domain::review::provenance`.

mod crypto;
mod read;

use std::fmt;

use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Artifact, ArtifactDigest, HashAlgorithm, TransparencyLogEntry};
use sigstore_verify::{Error, VerificationPolicy, VerificationResult, Verifier, bundle};

use crate::domain::artifact::Digests;
use crate::domain::digest::Sha256;
use crate::domain::review::provenance::{Attested, AttestedRun, Broken, Link};

pub use read::{ATTESTATIONS_MAX, BYTES_MAX, Form};

/// Longest text of a certificate, a log or the library that is passed on, in characters.
const TEXT_MAX: usize = 500;

/// Why a file is not a trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootError {
    /// Not the JSON of a sigstore trusted root, or with a key that cannot be used.
    #[error("not a sigstore trusted root: {0}")]
    Unreadable(String),
    /// With it, no attestation could ever be verified.
    #[error(
        "expected a trusted root with a certificate authority, a transparency log and a certificate log"
    )]
    Incomplete,
}

/// Whom we believe: certificate authorities, logs and timestamp authorities, pinned in a file.
pub struct TrustRoot {
    verifier: Verifier,
    sha256: Sha256,
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustRoot").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// What a statement has to be about.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The name of the subject: a package URL for npm, a file name for PyPI.
    pub subject: &'a str,
    /// The digests of the file.
    pub digests: &'a Digests,
}

impl TrustRoot {
    /// Reads `trusted_root.json` (media type `application/vnd.dev.sigstore.trustedroot+json`).
    pub fn from_json(text: &str) -> Result<Self, TrustRootError> {
        crypto::install();
        let unreadable = |error: &dyn fmt::Display| TrustRootError::Unreadable(error.to_string());
        let root = TrustedRoot::from_json(text).map_err(|error| unreadable(&error))?;
        if [root.certificate_authorities.len(), root.tlogs.len(), root.ctlogs.len()].contains(&0) {
            return Err(TrustRootError::Incomplete);
        }
        let verifier = Verifier::new(&root).map_err(|error| unreadable(&error))?;
        Ok(Self { verifier, sha256: Sha256::of(text.as_bytes()) })
    }

    /// Names the file in evidence.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Verifies everything of one attachment. There is at least one answer, and at most
    /// [`ATTESTATIONS_MAX`].
    pub fn verify(
        &self,
        form: Form,
        attachment: &[u8],
        expected: Expected<'_>,
    ) -> Vec<Result<Attested, Broken>> {
        match read::attestations(form, attachment) {
            Err(broken) => vec![Err(broken)],
            Ok(all) => all.into_iter().map(|one| self.verify_one(one?, expected)).collect(),
        }
    }

    fn verify_one(
        &self,
        attestation: read::Attestation,
        expected: Expected<'_>,
    ) -> Result<Attested, Broken> {
        let read::Attestation { bundle, statement } = attestation;
        let artifact = artifact(&statement, expected.digests)?;
        // Every identity, since whose it has to be is judged against the claims of the release.
        let verified = self
            .verifier
            .verify(artifact, &bundle, &VerificationPolicy::any_identity())
            .map_err(|error| broken(link(&error), &error.to_string()))?;
        let complete =
            verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified();
        if !complete {
            return Err(broken(Link::Certificate, "the verifier left out a check"));
        }
        about(&statement, expected)?;
        let entry = bundle.verification_material.tlog_entries.first();
        attested(&statement, &verified, entry)
    }
}

/// The file as the statement names it: by the strongest digest that it has.
fn artifact(statement: &read::Statement, digests: &Digests) -> Result<Artifact<'static>, Broken> {
    let digest = match (&statement.sha512, digests.sha512) {
        (Some(_), Some(sha512)) => {
            ArtifactDigest::new(HashAlgorithm::Sha2512, sha512.as_bytes().to_vec())
        }
        _ => ArtifactDigest::new(HashAlgorithm::Sha2256, digests.sha256.as_bytes().to_vec()),
    };
    digest.map(Artifact::from).map_err(|error| broken(Link::Subject, &error.to_string()))
}

/// The statement's only subject is this file: the same name, and no digest that is another one's.
fn about(statement: &read::Statement, expected: Expected<'_>) -> Result<(), Broken> {
    if statement.subject != expected.subject {
        let words = format!("expected `{}`, received `{}`", expected.subject, statement.subject);
        return Err(broken(Link::Subject, &words));
    }
    let Digests { sha256, sha512, .. } = expected.digests;
    let known = [
        (&statement.sha256, Some(sha256.to_string())),
        (&statement.sha512, sha512.map(|sha512| sha512.to_string())),
    ];
    for (said, ours) in known {
        if let (Some(said), Some(ours)) = (said, ours)
            && *said != ours
        {
            let words = format!("expected a file with digest {ours}, received one with {said}");
            return Err(broken(Link::Subject, &words));
        }
    }
    Ok(())
}

fn attested(
    statement: &read::Statement,
    verified: &VerificationResult,
    entry: Option<&TransparencyLogEntry>,
) -> Result<Attested, Broken> {
    let (Some(identity), Some(issuer), Some(certificate)) =
        (verified.identity(), verified.issuer(), verified.certificate())
    else {
        return Err(broken(Link::Certificate, "expected a certificate for an identity"));
    };
    let (Some(entry), Some(logged_at)) = (entry, verified.verified_timestamps().iter().min())
    else {
        return Err(broken(Link::Log, "expected an entry of a log and a time"));
    };
    let checkpoint = entry.inclusion_proof.as_ref().map(|proof| proof.checkpoint.envelope());
    // The first line of a checkpoint is the name of the log that signed it.
    let log = checkpoint.and_then(|note| note.lines().next()).unwrap_or_default();
    let claims = &certificate.ci_claims;
    let text = |claim: &Option<String>| claim.as_deref().map(cut);
    Ok(Attested {
        subject: cut(&statement.subject),
        predicate_type: cut(&statement.predicate_type),
        identity: cut(identity.as_str()),
        issuer: cut(issuer),
        run: AttestedRun {
            repository: text(&claims.source_repository_uri),
            repository_id: text(&claims.source_repository_identifier),
            commit: text(&claims.source_repository_digest),
            git_ref: text(&claims.source_repository_ref),
            workflow: text(&claims.build_config_uri),
            run: text(&claims.run_invocation_uri),
        },
        log: cut(log),
        log_index: entry.log_index.get(),
        logged_at: *logged_at,
    })
}

/// At which link a failed verification broke the chain.
const fn link(error: &Error) -> Link {
    match error {
        Error::ArtifactMismatch(_)
        | Error::UnsupportedArtifact(_)
        | Error::ArtifactRead(_)
        | Error::InvalidBundle(_)
        | Error::UnsupportedBundle(_)
        | Error::Types(_) => Link::Subject,
        Error::Bundle(bundle::Error::CertificateChainNotAllowed(_)) => Link::Certificate,
        Error::TransparencyLog(_) | Error::Timestamp(_) | Error::Bundle(_) => Link::Log,
        // Signatures, certificates, keys, and whatever a later version of the library tells apart.
        _ => Link::Certificate,
    }
}

fn broken(link: Link, words: &str) -> Broken {
    Broken { link, words: cut(words) }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
