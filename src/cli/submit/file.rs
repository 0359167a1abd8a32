//! A built file: its digests and what it says itself, read as strictly as the gateway does.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::SubmitError;
use crate::domain::artifact::{ArtifactKind, Digests, Facts, Filename};
use crate::domain::digest::{Sha1, Sha256, Sha512};
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::inspect::{Limits, npm, pypi};

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

/// A file that can be submitted.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) path: PathBuf,
    pub(super) filename: String,
    pub(super) package: PackageName,
    /// As the gateway writes it.
    pub(super) version: String,
    pub(super) size: u64,
    pub(super) digests: Digests,
    pub(super) facts: Facts,
}

impl Built {
    /// The bytes again, for sending.
    pub(super) fn open(&self) -> Result<File, SubmitError> {
        File::open(&self.path).map_err(|error| unusable(&self.path, &error))
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> SubmitError {
    SubmitError::Usage(format!("cannot use `{}`: {why}", path.display()))
}

/// Reads one file of the command line.
pub(super) fn read(path: &Path, ecosystem: Ecosystem) -> Result<Built, SubmitError> {
    let broken = |error: &dyn std::fmt::Display| unusable(path, error);
    let mut file = File::open(path).map_err(|error| broken(&error))?;
    let (size, digests) = digest(&mut file).map_err(|error| broken(&error))?;
    file.rewind().map_err(|error| broken(&error))?;
    let limits = Limits::default();
    let (filename, facts) = match ecosystem {
        Ecosystem::Npm => {
            let facts = npm::read(BufReader::new(file), &limits).map_err(|error| broken(&error))?;
            (None, Facts::Npm(facts))
        }
        Ecosystem::Pypi => {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let name = Filename::parse(name).map_err(|error| broken(&error))?;
            let facts = match name.kind() {
                ArtifactKind::Wheel => pypi::read_wheel(file, &name, &limits),
                ArtifactKind::Sdist | ArtifactKind::NpmTarball => {
                    pypi::read_sdist(BufReader::new(file), &name, &limits)
                }
            };
            (Some(name), Facts::Pypi(facts.map_err(|error| broken(&error))?))
        }
    };
    let (name, version) = match &facts {
        Facts::Npm(facts) => (&facts.name, &facts.version),
        Facts::Pypi(facts) => (&facts.name, &facts.version),
    };
    let package = PackageName::parse(ecosystem, name).map_err(|error| broken(&error))?;
    let version = Version::parse(ecosystem, version).map_err(|error| broken(&error))?;
    let filename = match filename {
        Some(name) => name.as_str().to_owned(),
        None => format!("{}-{version}.tgz", package.npm_bare()),
    };
    let version = version.as_str().to_owned();
    Ok(Built { path: path.to_owned(), filename, package, version, size, digests, facts })
}

/// Size and digests of what is left of a file.
pub(in crate::cli) fn digest(file: &mut File) -> std::io::Result<(u64, Digests)> {
    let (mut sha256, mut sha512, mut sha1) =
        (sha2::Sha256::new(), sha2::Sha512::new(), sha1::Sha1::new());
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        size += bytes.len() as u64;
        sha256.update(bytes);
        sha512.update(bytes);
        sha1.update(bytes);
    }
    let digests = Digests {
        sha256: Sha256::from_bytes(sha256.finalize().into()),
        sha512: Some(Sha512::from_bytes(sha512.finalize().into())),
        sha1: Some(Sha1::from_bytes(sha1.finalize().into())),
        md5: None,
        blake2b256: None,
    };
    Ok((size, digests))
}
