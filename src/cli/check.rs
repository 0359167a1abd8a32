//! `countersign check`: on another machine, whether files are those that a release's page shows.
//!
//! A browser that was taken over can show one thing and have another signed, and no passkey shows
//! what it signs (W18). The command computes the manifest anew from the files and prints the words
//! that the page shows for it. It asks nobody: whoever runs it brought the manifest and the files.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use super::submit::file;
use crate::domain::digest::Sha256;
use crate::domain::manifest::{Manifest, ManifestFile, SealedManifest};
use crate::domain::words::check_words;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Largest manifest read, in bytes; one of a thousand files has about 300 KB.
const MANIFEST_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Prints the words that the release's page shows, for the files given. Exits with 1 when they are
/// not the files of the manifest; the words are then others too.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The manifest, as the release's page gives it
    manifest: PathBuf,
    /// Every file of the release: as CI built it, as you built it, or as the page gives it
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// A file of the command line.
struct Held {
    name: String,
    size: u64,
    digests: crate::domain::artifact::Digests,
}

impl Check {
    /// Compares, and prints what there is.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let sealed = self.read_manifest()?;
        let shown = sealed.manifest();
        let held = self.files.iter().map(|path| hold(path)).collect::<Result<Vec<_>, _>>()?;
        if held.len() != shown.files.len() {
            let (expected, received) = (shown.files.len(), held.len());
            return Err(format!("expected {expected} file(s), received `{received}`").into());
        }
        let files = shown.files.iter().map(|file| recompute(file, &held));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let digest = Manifest { files: files.clone(), ..shown.clone() }.seal().digest();
        print(out, shown, &files, digest)?;
        if digest == sealed.digest() {
            Ok(())
        } else {
            Err("these are not the files that the manifest names".into())
        }
    }

    fn read_manifest(&self) -> Result<SealedManifest, Failed> {
        let mut bytes = Vec::new();
        let path = self.manifest.display();
        let file = File::open(&self.manifest).map_err(|error| format!("`{path}`: {error}"))?;
        file.take(MANIFEST_MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(SealedManifest::from_bytes(bytes)?)
    }
}

fn hold(path: &Path) -> Result<Held, Failed> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let fault = |error| format!("`{}` cannot be read: {error}", path.display());
    let (size, digests) =
        File::open(path).and_then(|mut file| file::digest(&mut file)).map_err(fault)?;
    Ok(Held { name, size, digests })
}

/// A file of the manifest as what was given says it is. Tools call an npm tarball as they like, so
/// that a single file is taken for the one there is.
fn recompute(file: &ManifestFile, held: &[Held]) -> Result<ManifestFile, Failed> {
    let given = match held {
        [only] => only,
        several => several
            .iter()
            .find(|given| given.name == file.name)
            .ok_or_else(|| format!("expected a file called `{}`, received none", file.name))?,
    };
    Ok(ManifestFile {
        size_bytes: given.size,
        sha256: given.digests.sha256,
        sha512: file.sha512.and(given.digests.sha512),
        ..file.clone()
    })
}

fn print(
    out: &mut impl Write,
    shown: &Manifest,
    files: &[ManifestFile],
    digest: Sha256,
) -> std::io::Result<()> {
    writeln!(out, "release {} {} ({})", shown.package, shown.version, shown.release)?;
    writeln!(out, "to {}", shown.destination.url)?;
    if let Some(npm) = &shown.npm {
        writeln!(out, "dist-tag {}", npm.dist_tag)?;
    }
    for (file, expected) in files.iter().zip(&shown.files) {
        writeln!(out, "file sha256:{} {} {}", file.sha256, file.size_bytes, file.name)?;
        if file != expected {
            writeln!(out, "  differs: the manifest names sha256:{}", expected.sha256)?;
        }
    }
    for finding in &shown.findings {
        writeln!(out, "found {finding}")?;
    }
    writeln!(out, "manifest sha256:{digest}")?;
    writeln!(out, "words {}", check_words::<8>(&digest).join(" "))
}
