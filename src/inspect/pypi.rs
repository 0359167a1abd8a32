//! Python distributions: wheels and source distributions, read strictly (P1-P8).

pub mod entry_points;
pub mod form;
pub mod metadata;
pub mod record;
pub mod sdist;
pub mod wheel;

use crate::domain::artifact::{Filename, PypiFacts};
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::inspect::limits::Limits;
use entry_points::EntryPointsRefusal;
use metadata::{Metadata, MetadataRefusal};
use record::RecordRefusal;

pub use form::compare_form;
pub use sdist::read_sdist;
pub use wheel::read_wheel;

/// Why a well-formed archive is no publishable Python distribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PypiRefusal {
    /// The file name is of the other kind of distribution.
    #[error("expected a file name of {expected}, received `{received}`")]
    Kind {
        /// `a wheel` or `a source distribution`.
        expected: &'static str,
        /// The file name.
        received: String,
    },
    /// A file every distribution of this kind has is missing (P29, P17).
    #[error("expected `{file}` in the distribution, received none")]
    Missing {
        /// The file's name.
        file: &'static str,
    },
    /// Not exactly one `*.dist-info` directory at the top (P17).
    #[error("expected exactly one `.dist-info` directory, received {count}")]
    DistInfo {
        /// How many there are.
        count: usize,
    },
    /// Name or version differs between two places of the file (P17, P29).
    #[error("expected {place} to name `{expected}`, received `{received}`")]
    Mismatch {
        /// Which place.
        place: &'static str,
        /// What the file name says.
        expected: String,
        /// What came, escaped and cut.
        received: String,
    },
    /// METADATA, PKG-INFO or WHEEL breaks the header grammar (P24).
    #[error(transparent)]
    Metadata(#[from] MetadataRefusal),
    /// RECORD does not describe the archive (P18).
    #[error(transparent)]
    Record(#[from] RecordRefusal),
    /// entry_points.txt is no strict INI file (P23).
    #[error(transparent)]
    EntryPoints(#[from] EntryPointsRefusal),
    /// WHEEL states a format version other than 1.x.
    #[error("expected `Wheel-Version: 1.x`, received `{received}`")]
    WheelVersion {
        /// What came, escaped and cut.
        received: String,
    },
    /// Compiled code without its source (P22).
    #[error("expected the source of `{entry}` in the wheel, received none")]
    OrphanBytecode {
        /// The `.pyc` file's path, escaped and cut.
        entry: String,
    },
    /// Compiled code that Python never compares with its source (P22).
    #[error(
        "expected bytecode that Python checks against its source, received unchecked `{entry}`"
    )]
    UncheckedBytecode {
        /// The `.pyc` file's path, escaped and cut.
        entry: String,
    },
    /// A `.data` directory of another project, or a place installers do not know (P6).
    #[error(
        "expected `.data` files under purelib, platlib, headers, scripts or data, received `{entry}`"
    )]
    DataPath {
        /// The path, escaped and cut.
        entry: String,
    },
    /// A `License-File` that is not in the archive (P27).
    #[error("expected the license file `{file}` in the distribution, received none")]
    LicenseFile {
        /// The field's value, escaped and cut.
        file: String,
    },
}

/// Checks a metadata file against the file name and fills in the facts but for the counts.
fn facts(
    filename: &Filename,
    metadata: Metadata,
    place: &'static str,
) -> Result<PypiFacts, PypiRefusal> {
    let (name, version) = (metadata.name().to_owned(), metadata.version().to_owned());
    same_name(filename, place, &name)?;
    same_version(filename, place, &version)?;
    Ok(PypiFacts {
        kind: filename.kind(),
        name,
        version,
        pyversion: filename.pyversion().to_owned(),
        fields: metadata.fields,
        description: metadata.description,
        file_count: 0,
        unpacked_bytes: 0,
    })
}

/// Names are compared after PEP 503 normalisation (P1).
fn same_name(filename: &Filename, place: &'static str, received: &str) -> Result<(), PypiRefusal> {
    let parsed = PackageName::parse(Ecosystem::Pypi, received);
    if parsed.is_ok_and(|name| name == *filename.package()) {
        return Ok(());
    }
    let (expected, received) = (filename.package().to_string(), excerpt(received));
    Err(PypiRefusal::Mismatch { place, expected, received })
}

/// Versions are compared as text: the file name holds the canonical one (P08).
fn same_version(
    filename: &Filename,
    place: &'static str,
    received: &str,
) -> Result<(), PypiRefusal> {
    if received == filename.version().as_str() {
        return Ok(());
    }
    let (expected, received) = (filename.version().to_string(), excerpt(received));
    Err(PypiRefusal::Mismatch { place, expected, received })
}

/// `License-File` values are promises since Metadata 2.4 (PEP 639).
fn license_files_present(
    facts: &PypiFacts,
    present: impl Fn(&str) -> bool,
) -> Result<(), PypiRefusal> {
    if !matches!(facts.value("Metadata-Version"), Some("2.4" | "2.5")) {
        return Ok(());
    }
    match facts.values("License-File").find(|file| !present(file)) {
        Some(file) => Err(PypiRefusal::LicenseFile { file: excerpt(file) }),
        None => Ok(()),
    }
}

/// Most bytes of one embedded text file.
pub(super) const fn text_limit(limits: &Limits) -> u64 {
    limits.metadata_bytes
}
