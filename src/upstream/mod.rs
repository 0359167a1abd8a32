//! The registries we forward to: send one artifact, read back what they hold, pass reads through.
//!
//! `net` owns connections and their limits, `body` streams and re-hashes the artifact, `deliver`
//! carries one publish request, `download` one published file, `answer` sorts what a registry said,
//! `npm` and `pypi` speak the two protocols (wire.md 4), `simple` reads the page of a project.

mod answer;
mod body;
mod deliver;
mod download;
mod net;
mod npm;
mod pypi;
mod simple;

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use crate::domain::digest::Sha256;
use crate::domain::document::PublishDocument;
use crate::domain::ids::UpstreamId;
use crate::domain::listing::Listing;
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::upstream::{Observation, Outcome, Upstream};
use crate::entropy::EntropyError;

pub use body::Source;
pub use download::Download;

/// Largest packument or simple page read, in bytes (U2): the largest known ones have half of it.
pub const READ_MAX: usize = 32 * 1024 * 1024;
/// Largest body read from an answer to a publish, in bytes (U2).
pub const ANSWER_MAX: usize = 64 * 1024;
/// Most connection pools kept; an installation has a handful of upstreams.
const POOLS_MAX: usize = 256;

/// How connections to all upstreams are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Certificates trusted besides the system's, each text PEM with one or more certificates.
    pub extra_roots: Vec<Vec<u8>>,
    /// Longest wait for name look-up, TCP and TLS (U03).
    pub connect: Duration,
    /// Longest pause between two bytes, in either direction.
    pub idle: Duration,
    /// Longest wait for the answer once the whole artifact is sent; registries unpack and scan.
    pub answer: Duration,
    /// Longest time one read may take in all.
    pub read_total: Duration,
    /// Longest time one published file may take in all.
    pub file_total: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extra_roots: Vec::new(),
            connect: Duration::from_secs(5),
            idle: Duration::from_mins(1),
            answer: Duration::from_mins(5),
            read_total: Duration::from_mins(2),
            file_total: Duration::from_mins(10),
        }
    }
}

/// The client cannot be built from its settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An entry of `extra_roots` holds no certificates.
    #[error("expected PEM certificates in `extra_roots`")]
    ExtraRoots,
    /// The TLS or HTTP library refused its configuration.
    #[error("the client for registries could not be built: {0}")]
    Build(String),
}

/// Why an artifact was not sent, or not to its end. The registry cannot have stored it: the
/// request never became complete.
#[derive(Debug, thiserror::Error)]
pub enum SendFault {
    /// The bytes read are not the approved ones (I5). Next: stop and raise an alarm.
    #[error("the artifact read does not have the digest `{0}`")]
    Tampered(Sha256),
    /// The time to send it was over before its last byte.
    #[error("the time to send the artifact was over")]
    Overdue,
    /// The artifact could not be read.
    #[error("the artifact could not be read")]
    Source(#[source] io::Error),
    /// The credential holds characters that a header cannot carry.
    #[error("the credential cannot be written into a header")]
    Credential,
    /// Document, package and upstream are not of one ecosystem.
    #[error("the document does not fit the upstream's protocol")]
    Protocol,
    /// The address cannot be used in a request.
    #[error("the request could not be built: {0}")]
    Request(String),
    /// No client for this upstream.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No randomness for a multipart boundary.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Why a registry could not be read. None of these says anything about what it holds.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// No connection, or it broke. Next: again later.
    #[error("the registry could not be reached: {0}")]
    Unreachable(String),
    /// A time limit passed. Next: again later.
    #[error("the registry did not answer in time")]
    TimedOut,
    /// 429 or 5xx. Next: again after the pause asked for, at most one hour.
    #[error("the registry answered {status}")]
    Unavailable {
        /// The status.
        status: u16,
        /// The pause asked for.
        after: Option<Duration>,
    },
    /// 401, 403 or another refusal. Next: a person looks at the read credential.
    #[error("the registry refused to be read with {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words, cut and cleaned of tokens.
        message: String,
    },
    /// It pointed elsewhere, which is never followed (U05).
    #[error("the registry redirected with {0}")]
    Redirect(u16),
    /// Its certificate does not prove who it is (U04).
    #[error("the registry's certificate was refused: {0}")]
    Tls(String),
    /// Its name leads to a private address that was not allowed (U02).
    #[error("the registry's name leads to a private address")]
    PrivateAddress,
    /// More than [`READ_MAX`] bytes (U28).
    #[error("expected at most {READ_MAX} bytes from the registry")]
    TooLarge,
    /// A file of more bytes than this installation accepts (Q9).
    #[error("expected a file of at most {0} bytes from the registry")]
    FileTooLarge(u64),
    /// The registry lists a file and does not have it.
    #[error("the registry lists the file and answers {0} for it")]
    FileMissing(u16),
    /// The registry lists a file without an address, or at one that is not configured (U3).
    #[error(
        "the registry lists the file at {0}, which is not among the addresses configured for it"
    )]
    Address(String),
    /// Not the format it should be (U28, U29).
    #[error("the registry's answer could not be read: {0}")]
    Malformed(String),
    /// The credential cannot be written into a header.
    #[error("the credential cannot be written into a header")]
    Credential,
    /// The package is not of the upstream's ecosystem, or its address cannot be built.
    #[error("the package does not fit the upstream")]
    Protocol,
    /// No client for this upstream.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// One artifact on its way to one registry.
pub struct Sending<'a> {
    /// Where to.
    pub upstream: &'a Upstream,
    /// npm: a bearer token. PyPI: the password.
    pub credential: &'a SecretString,
    /// PyPI's user name; npm does not use it.
    pub username: &'a str,
    /// What is sent around the bytes.
    pub document: &'a PublishDocument,
    /// The bytes. They are hashed while they are sent.
    pub source: Source,
    /// How many bytes there are.
    pub size: u64,
    /// The digest they must have.
    pub sha256: Sha256,
    /// Told how many bytes of the artifact were handed to the connection.
    pub progress: Option<watch::Sender<u64>>,
    /// Not a byte leaves after this time, which the sender may put off (R3).
    pub until: Option<watch::Receiver<Instant>>,
}

/// What is read, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Where from.
    pub upstream: &'a Upstream,
    /// Which package.
    pub package: &'a PackageName,
    /// The read-only credential (Q17). npm: a bearer token. PyPI: a password for `__token__`, or
    /// `user:password`.
    pub credential: Option<&'a SecretString>,
}

/// A registry's own answer to a read, for handing on to a publishing client.
#[derive(Debug, Clone)]
pub struct Passthrough {
    /// The status: 2xx, 304 or 404.
    pub status: u16,
    /// `content-type`, `etag`, `cache-control`, `last-modified` and `vary`; nothing else passes.
    pub headers: HeaderMap,
    /// At most [`READ_MAX`] bytes.
    pub body: Bytes,
}

/// What a publishing client asked for in a read that is passed through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// Its `Accept`; none asks for the full document.
    pub accept: Option<&'a HeaderValue>,
    /// Its `If-None-Match`.
    pub if_none_match: Option<&'a HeaderValue>,
}

/// The client for all upstreams; each has its own connections, so that no credential crosses (U2).
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    roots: Vec<reqwest::Certificate>,
    pools: Mutex<HashMap<PoolKey, reqwest::Client>>,
}

/// An edited upstream gets new connections.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    upstream: UpstreamId,
    publish_origin: String,
    read_origin: String,
    files_url: Option<Url>,
    allow_private: bool,
}

impl Client {
    /// Builds the client; connections are made when they are needed.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        // Fails when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = Vec::new();
        for text in &settings.extra_roots {
            let found =
                reqwest::Certificate::from_pem_bundle(text).map_err(|_| ClientError::ExtraRoots)?;
            if found.is_empty() {
                return Err(ClientError::ExtraRoots);
            }
            roots.extend(found);
        }
        Ok(Self { settings, roots, pools: Mutex::default() })
    }

    /// Sends one artifact and sorts the answer.
    ///
    /// Dying at any point leaves an outcome nobody knows; the caller has recorded the attempt
    /// before and reads back after (I6). A fault means that no complete request was sent.
    pub async fn send(
        &self,
        package: &PackageName,
        sending: Sending<'_>,
    ) -> Result<Outcome, SendFault> {
        let kind = sending.upstream.kind();
        if package.ecosystem() != kind {
            return Err(SendFault::Protocol);
        }
        match (kind, sending.document) {
            (Ecosystem::Npm, PublishDocument::Npm(document)) => {
                npm::send(self, package, document, sending).await
            }
            (Ecosystem::Pypi, PublishDocument::Pypi(form)) => pypi::send(self, form, sending).await,
            (Ecosystem::Npm, PublishDocument::Pypi(_))
            | (Ecosystem::Pypi, PublishDocument::Npm(_)) => Err(SendFault::Protocol),
        }
    }

    /// Asks the registry what it holds of one version. An unknown package or version is an empty
    /// [`Observation`], not a fault.
    pub async fn read_back(
        &self,
        reading: Reading<'_>,
        version: &Version,
    ) -> Result<Observation, ReadFault> {
        if reading.package.ecosystem() != reading.upstream.kind() {
            return Err(ReadFault::Protocol);
        }
        match reading.upstream.kind() {
            Ecosystem::Npm => npm::read_back(self, reading, version).await,
            Ecosystem::Pypi => pypi::read_back(self, reading, version).await,
        }
    }

    /// Asks the registry which versions it has of a package. An unknown package has none.
    pub async fn listing(&self, reading: Reading<'_>) -> Result<Listing, ReadFault> {
        if reading.package.ecosystem() != reading.upstream.kind() {
            return Err(ReadFault::Protocol);
        }
        match reading.upstream.kind() {
            Ecosystem::Npm => npm::listing(self, reading).await,
            Ecosystem::Pypi => pypi::listing(self, reading).await,
        }
    }

    /// Reads npm's packument or PyPI's simple page for a publishing client.
    pub async fn packument(
        &self,
        reading: Reading<'_>,
        conditions: Conditions<'_>,
    ) -> Result<Passthrough, ReadFault> {
        if reading.package.ecosystem() != reading.upstream.kind() {
            return Err(ReadFault::Protocol);
        }
        let got = match reading.upstream.kind() {
            Ecosystem::Npm => npm::get(self, reading, conditions).await?,
            Ecosystem::Pypi => pypi::get(self, reading, conditions).await?,
        };
        Ok(got.into_passthrough())
    }
}
