//! Provenance of a release: what CI attached is verified and judged against the run that staged it.
//!
//! What is found out is evidence for people (SRC-11). Nothing of it is sent on (Q2).

use std::sync::Arc;

use crate::domain::claims::Claims;
use crate::domain::package::Ecosystem;
use crate::domain::review::finding::Finding;
use crate::domain::review::provenance::{
    Before, Chain, FileProvenance, Provenance, judge, missing,
};
use crate::pipeline::review::claims;
use crate::pipeline::{Fault, Result};
use crate::provenance::{Expected, Form, TrustRoot};
use crate::store::Store;
use crate::store::releases::{ArtifactRecord, ReleaseRecord};

/// How the store names a bundle that npm's client attached.
pub const NPM_BUNDLE: &str = "npm-provenance";
/// How the store names the list of attestations that came with a Python file.
pub const PEP740_LIST: &str = "pep740-attestations";

/// What looking at the provenance of a release came to.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// What to look at; the file of each is one of the release.
    pub findings: Vec<Finding>,
    /// What is known of each file, for the page and for evidence.
    pub provenance: Provenance,
    /// Sentences about what nobody looked at.
    pub not_checked: Vec<String>,
}

/// A release with everything CI attached to its files.
struct Attached {
    release: ReleaseRecord,
    claims: Claims,
    files: Vec<AttachedFile>,
}

struct AttachedFile {
    artifact: ArtifactRecord,
    /// Kind and bytes of each.
    attachments: Vec<(String, Vec<u8>)>,
}

/// Looks at everything CI attached to the files of a release. Repeating it gives the same.
pub async fn examine(
    store: &Store,
    release: &ReleaseRecord,
    root: Option<Arc<TrustRoot>>,
    before: Before,
) -> Result<Examined> {
    let attached = attached(store, release).await?;
    // Certificates and signatures take a processor, and nobody else is to wait for it meanwhile.
    let judged = tokio::task::spawn_blocking(move || judged(&attached, root.as_deref(), before));
    Ok(judged.await.map_err(|error| Fault::new("verifying provenance", error))?)
}

async fn attached(store: &Store, release: &ReleaseRecord) -> Result<Attached> {
    let mut tx = store.snapshot().await?;
    let mut files = Vec::new();
    for artifact in tx.artifacts(release.id).await? {
        let attachments = tx.attachments(artifact.id).await?;
        files.push(AttachedFile { artifact, attachments });
    }
    Ok(Attached { release: release.clone(), claims: claims(release)?, files })
}

fn judged(attached: &Attached, root: Option<&TrustRoot>, before: Before) -> Examined {
    let Attached { release, claims, files } = attached;
    let mut examined = Examined::default();
    examined.provenance.trust_root = root.map(TrustRoot::sha256);
    for AttachedFile { artifact, attachments } in files {
        let (chains, findings) = examine_file(release, artifact, attachments, (root, claims));
        examined.findings.extend(findings);
        let known = FileProvenance { name: artifact.filename.clone(), chains };
        examined.provenance.files.push(known);
    }
    let files = &examined.provenance.files;
    examined.findings.extend(missing(files, before, release.ecosystem));
    if files.iter().any(|file| !file.chains.is_empty()) {
        if root.is_none() {
            examined.not_checked.push(NO_ROOT.to_owned());
        }
    } else if before == Before::Unknown {
        examined.not_checked.push(NO_BASELINE.to_owned());
    }
    examined
}

const NO_ROOT: &str = "Provenance was not verified: no trust root is configured.";
const NO_BASELINE: &str =
    "Whether the version people run today has provenance is not known; this one has none.";

fn examine_file(
    release: &ReleaseRecord,
    artifact: &ArtifactRecord,
    attachments: &[(String, Vec<u8>)],
    (root, claims): (Option<&TrustRoot>, &Claims),
) -> (Vec<Chain>, Vec<Finding>) {
    let (mut chains, mut findings) = (Vec::new(), Vec::new());
    let subject = subject(release, artifact);
    let expected = Expected { subject: &subject, digests: &artifact.digests };
    for (kind, body) in attachments {
        let Some(form) = form(kind) else { continue };
        let Some(root) = root else {
            chains.push(Chain::not_checked("No trust root is configured"));
            continue;
        };
        for attestation in root.verify(form, body, expected) {
            let (chain, found) = judge(&artifact.filename, &attestation, claims);
            chains.push(chain);
            findings.extend(found);
        }
    }
    (chains, findings)
}

fn form(kind: &str) -> Option<Form> {
    match kind {
        NPM_BUNDLE => Some(Form::Bundle),
        PEP740_LIST => Some(Form::Pep740),
        _ => None,
    }
}

/// What a statement about a file calls it: npm writes a package URL, PyPI the file name.
fn subject(release: &ReleaseRecord, artifact: &ArtifactRecord) -> String {
    match release.ecosystem {
        Ecosystem::Npm => {
            let name = release.package_name.replacen('@', "%40", 1);
            format!("pkg:npm/{name}@{}", release.version)
        }
        Ecosystem::Pypi => artifact.filename.clone(),
    }
}
