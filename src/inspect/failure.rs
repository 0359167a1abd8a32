//! The two ways reading an artifact ends early: the bytes are refused, or the disk failed.

use std::io;

use crate::domain::json::JsonRefusal;
use crate::inspect::gzip::GzipRefusal;
use crate::inspect::names::NameRefusal;
use crate::inspect::npm::NpmRefusal;
use crate::inspect::pypi::PypiRefusal;
use crate::inspect::tar::TarRefusal;
use crate::inspect::zip::ZipRefusal;

/// Why an artifact is not accepted; the sender can act on every one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The gzip framing is outside the accepted subset.
    #[error(transparent)]
    Gzip(#[from] GzipRefusal),
    /// The tar structure is outside the accepted subset.
    #[error(transparent)]
    Tar(#[from] TarRefusal),
    /// The ZIP structure is outside the accepted subset.
    #[error(transparent)]
    Zip(#[from] ZipRefusal),
    /// An entry's path is unsafe, ambiguous or collides with another.
    #[error(transparent)]
    Name(#[from] NameRefusal),
    /// A bound of [`crate::inspect::Limits`] was passed.
    #[error(transparent)]
    Limit(#[from] LimitRefusal),
    /// A JSON file inside the artifact is not strict JSON.
    #[error("`{file}`: {refusal}")]
    Json {
        /// The file's name, a constant of ours.
        file: &'static str,
        /// What is wrong with it.
        refusal: JsonRefusal,
    },
    /// The tarball is not a publishable npm package.
    #[error(transparent)]
    Npm(#[from] NpmRefusal),
    /// The file is not a publishable Python distribution.
    #[error(transparent)]
    Pypi(#[from] PypiRefusal),
}

/// Which bound an artifact passed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    /// More entries than [`crate::inspect::Limits::entries`].
    #[error("expected at most {limit} archive entries, received more")]
    Entries {
        /// The bound.
        limit: u32,
    },
    /// More bytes after decompression than [`crate::inspect::Limits::unpacked_bytes`].
    #[error("expected at most {limit} bytes after decompression, received more")]
    Unpacked {
        /// The bound, in bytes.
        limit: u64,
    },
    /// Compressed better than [`crate::inspect::Limits::ratio`] allows, as bombs are.
    #[error(
        "expected at most {limit} unpacked bytes per compressed byte, received {unpacked} bytes from {packed}"
    )]
    Ratio {
        /// The bound, unpacked bytes per compressed byte.
        limit: u64,
        /// Bytes after decompression when reading stopped.
        unpacked: u64,
        /// Compressed bytes read by then.
        packed: u64,
    },
    /// One entry or embedded file is larger than its bound.
    #[error("expected at most {limit} bytes in `{entry}`, received {size}")]
    EntryBytes {
        /// The bound, in bytes.
        limit: u64,
        /// The size the archive states, in bytes.
        size: u64,
        /// The entry's path, escaped and cut.
        entry: String,
    },
}

/// A refusal of the bytes, or a fault while getting at them.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The bytes were read and are not acceptable.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bytes could not be read; nothing is known about them.
    #[error("reading the artifact failed")]
    Fault(#[source] io::Error),
}

impl Failure {
    /// The refusal, if this is one.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Fault(_) => None,
        }
    }
}

impl From<io::Error> for Failure {
    /// Recovers a refusal that travelled through `std::io::Read`.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Refusal>() {
            Ok(refusal) => Self::Refused(refusal),
            Err(error) => Self::Fault(error),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::new(io::ErrorKind::InvalidData, refusal),
            Failure::Fault(error) => error,
        }
    }
}

impl From<GzipRefusal> for Failure {
    fn from(refusal: GzipRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
impl From<TarRefusal> for Failure {
    fn from(refusal: TarRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
impl From<ZipRefusal> for Failure {
    fn from(refusal: ZipRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
impl From<NameRefusal> for Failure {
    fn from(refusal: NameRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
impl From<LimitRefusal> for Failure {
    fn from(refusal: LimitRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
impl From<NpmRefusal> for Failure {
    fn from(refusal: NpmRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
impl From<PypiRefusal> for Failure {
    fn from(refusal: PypiRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
