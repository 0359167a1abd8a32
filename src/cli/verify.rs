//! `countersign verify`: checks a release's evidence, with no server and no network.

use std::io::Write as _;
use std::path::PathBuf;

use crate::domain::digest::Sha256;
use crate::domain::evidence::{self, Approval, BUNDLE_MAX_BYTES, Proven};
use crate::domain::log::note::VerifierKey;

/// Says who approved which bytes. Needs the log's key from a place that you trust, not from the
/// bundle's sender. Exits with 1 when the bundle does not show it.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The evidence, as the release's page gives it
    bundle: PathBuf,
    /// The log's verifier key, `name+id+base64`, as `/log/key` shows it
    #[arg(long)]
    key: String,
    /// SHA-256 of a file that has to be one of the release's, as `sha256:…` or hex
    #[arg(long)]
    digest: Option<String>,
}

/// Checks and prints what was found.
pub fn run(arguments: &Verify) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let key = VerifierKey::parse(&arguments.key)?;
    let size = std::fs::metadata(&arguments.bundle)?.len();
    if size > BUNDLE_MAX_BYTES as u64 {
        return Err(evidence::Unproven::TooLarge.into());
    }
    let proven = evidence::verify(&std::fs::read(&arguments.bundle)?, &key)?;
    if let Some(digest) = &arguments.digest {
        expect_file(&proven, digest)?;
    }
    print(&proven, &key)?;
    Ok(())
}

fn expect_file(proven: &Proven, digest: &str) -> Result<(), String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let expected: Sha256 =
        hex.parse().map_err(|_| format!("expected a SHA-256 in hex, received `{digest}`"))?;
    let files = &proven.authorised.manifest().manifest().files;
    if files.iter().any(|file| file.sha256 == expected) {
        return Ok(());
    }
    Err(format!("the release was approved, but `{expected}` is none of its files"))
}

fn print(proven: &Proven, key: &VerifierKey) -> std::io::Result<()> {
    let manifest = proven.authorised.manifest().manifest();
    let mut out = std::io::stdout().lock();
    writeln!(out, "release {} {} ({})", manifest.package, manifest.version, manifest.release)?;
    writeln!(out, "to {}", proven.authorised.upstream().url)?;
    for file in &manifest.files {
        writeln!(out, "file sha256:{} {} {}", file.sha256, file.size_bytes, file.name)?;
    }
    for Approval { person, at, credential_id, note } in &proven.approvals {
        let name = proven.bundle.names.get(person).map_or("", String::as_str);
        writeln!(out, "approved {at} by {person} {name} with key {credential_id}")?;
        if let Some(note) = note {
            writeln!(out, "note {note:?}")?;
        }
    }
    writeln!(out, "sent {}", proven.sent_at)?;
    writeln!(out, "outcome {}", proven.outcome.as_str())?;
    writeln!(out, "log {} of {} entries", key.name(), proven.tree.size)?;
    writeln!(out, "these bytes were approved before they were sent")
}
