//! Upstreams: the registries we forward to, what they answered, and what they were seen to hold.
//!
//! Nothing is built in (D10): every address is configuration, parsed here once. An answer is sorted
//! into five outcomes by what has to happen next, because the same status means different things.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::artifact::Digests;
use crate::domain::digest::{Sha1, Sha256, Sha512};
use crate::domain::ids::UpstreamId;
use crate::domain::package::{Ecosystem, excerpt};

/// What a credential may be used for. The two kinds never open for each other (Q17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialPurpose {
    /// Sending artifacts.
    Publish,
    /// Reading what the registry holds.
    Read,
}

impl CredentialPurpose {
    /// The word in the encoding, the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
        }
    }
}

/// Longest name of an upstream, in characters: it has to fit on one line of a page.
const NAME_MAX: usize = 80;
/// Longest address, in bytes: what proxies and logs still carry whole.
const URL_MAX: usize = 2048;

/// Why the description of an upstream was refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum UpstreamRefusal {
    /// The person who configures it sent no name, or one that is too long or not printable.
    #[error("expected a name of 1 to {NAME_MAX} printable characters, received `{0}`")]
    Name(String),
    /// The text is not an absolute web address.
    #[error("expected an absolute web address of at most {URL_MAX} bytes, received `{0}`")]
    Address(String),
    /// Plain http is for registries on a private network that was allowed on purpose (Q15).
    #[error("expected an https address (http needs allow_private), received `{0}`")]
    Scheme(String),
    /// A user name, password, query or fragment would end up in logs and on pages.
    #[error("expected an address without user, password, query or fragment, received `{0}`")]
    Decorated(String),
    /// A PyPI upstream cannot be used without a page to read back what it holds (I6).
    #[error("expected the simple index address a PyPI upstream is read back from")]
    SimpleMissing,
    /// npm registries are read where they are written.
    #[error("expected no simple index address for an npm upstream, received `{0}`")]
    SimpleUnexpected(String),
}

/// A registry that receives approved artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    id: UpstreamId,
    name: String,
    kind: Ecosystem,
    url: Url,
    simple_url: Option<Url>,
    files_url: Option<Url>,
    allow_private: bool,
}

/// The unparsed fields of an [`Upstream`], as configuration and the database hold them.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamFields<'a> {
    /// The row's identifier.
    pub id: UpstreamId,
    /// What people call it.
    pub name: &'a str,
    /// Whose protocol it speaks.
    pub kind: Ecosystem,
    /// PyPI: the upload address, used as it is. npm: the registry base, a final `/` is added.
    pub url: &'a str,
    /// PyPI only and required there: the simple index (PEP 503), a final `/` is added.
    pub simple_url: Option<&'a str>,
    /// Where published files are, when that is another host; a final `/` is added.
    pub files_url: Option<&'a str>,
    /// Private and loopback addresses, and plain http, are meant (Q15).
    pub allow_private: bool,
}

impl Upstream {
    /// Parses the fields; see [`UpstreamRefusal`] for the rules.
    pub fn parse(fields: UpstreamFields<'_>) -> Result<Self, UpstreamRefusal> {
        let name = fields.name.trim();
        let length = name.chars().count();
        if length == 0 || length > NAME_MAX || name.chars().any(char::is_control) {
            return Err(UpstreamRefusal::Name(excerpt(fields.name)));
        }
        let mut url = parse_address(fields.url, fields.allow_private)?;
        let simple_url = match (fields.kind, fields.simple_url) {
            (Ecosystem::Npm, None) => {
                end_with_slash(&mut url);
                None
            }
            (Ecosystem::Npm, Some(text)) => {
                return Err(UpstreamRefusal::SimpleUnexpected(excerpt(text)));
            }
            (Ecosystem::Pypi, None) => return Err(UpstreamRefusal::SimpleMissing),
            (Ecosystem::Pypi, Some(text)) => {
                let mut simple = parse_address(text, fields.allow_private)?;
                end_with_slash(&mut simple);
                Some(simple)
            }
        };
        let mut files_url = None;
        if let Some(text) = fields.files_url {
            let mut files = parse_address(text, fields.allow_private)?;
            end_with_slash(&mut files);
            files_url = Some(files);
        }
        Ok(Self {
            id: fields.id,
            name: name.to_owned(),
            kind: fields.kind,
            url,
            simple_url,
            files_url,
            allow_private: fields.allow_private,
        })
    }

    /// The row's identifier.
    pub const fn id(&self) -> UpstreamId {
        self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose protocol it speaks.
    pub const fn kind(&self) -> Ecosystem {
        self.kind
    }

    /// PyPI: the upload address. npm: the registry base, ending in `/`.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// PyPI: the simple index, ending in `/`. npm: none.
    pub const fn simple_url(&self) -> Option<&Url> {
        self.simple_url.as_ref()
    }

    /// Where published files are besides the registry's own addresses, ending in `/`.
    pub const fn files_url(&self) -> Option<&Url> {
        self.files_url.as_ref()
    }

    /// Whether a file at this address may be fetched (U3): it is where the registry is read or
    /// written, or below the address configured for its files.
    pub fn may_fetch(&self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none();
        let own = [self.read_url(), &self.url].iter().any(|own| own.origin() == url.origin());
        let files = self.files_url.as_ref().is_some_and(|files| {
            files.origin() == url.origin() && url.path().starts_with(files.path())
        });
        plain && (own || files)
    }

    /// The address below which the registry is read: npm's base or PyPI's simple index.
    pub fn read_url(&self) -> &Url {
        self.simple_url.as_ref().unwrap_or(&self.url)
    }

    /// Private and loopback addresses, and plain http, are meant (Q15).
    pub const fn allow_private(&self) -> bool {
        self.allow_private
    }

    /// `scheme://host[:port]` a publish credential is for.
    pub fn publish_origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// `scheme://host[:port]` a read credential is for.
    pub fn read_origin(&self) -> String {
        self.read_url().origin().ascii_serialization()
    }
}

fn parse_address(text: &str, allow_private: bool) -> Result<Url, UpstreamRefusal> {
    let refused = || UpstreamRefusal::Address(excerpt(text));
    if text.len() > URL_MAX {
        return Err(refused());
    }
    let url = Url::parse(text).map_err(|_| refused())?;
    if !url.has_host() || url.cannot_be_a_base() {
        return Err(refused());
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        _ => return Err(UpstreamRefusal::Scheme(excerpt(text))),
    }
    let decorated = !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some();
    if decorated {
        // The password is not repeated.
        return Err(UpstreamRefusal::Decorated(url.origin().ascii_serialization()));
    }
    Ok(url)
}

fn end_with_slash(url: &mut Url) {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
}

/// How one try at sending one artifact ended, by who has to act next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The registry said yes. Next: confirm by reading back; only that makes it published.
    Published {
        /// A warning the registry sent along, cut and cleaned of tokens.
        note: Option<String>,
    },
    /// The registry says this file or version exists. Next: read back and compare digests; the
    /// same bytes are success, other bytes are a conflict for a person (U12, U13, U22).
    AlreadyThere,
    /// The registry or our own checks said no, and asking again changes nothing. Next: a person.
    Refused {
        /// What sort of no.
        reason: RefusedFor,
        /// The status, when there was an answer.
        status: Option<u16>,
        /// The registry's words, cut and cleaned of tokens, or ours.
        message: String,
    },
    /// Certainly nothing was stored. Next: the worker sends again after a pause.
    Retry {
        /// How long the registry asked to wait; at most one hour.
        after: Option<Duration>,
        /// Why.
        message: String,
    },
    /// It may or may not have been stored. Next: read back until sure, never send before (I6).
    Unknown {
        /// Why.
        message: String,
    },
}

/// What sort of no a registry gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedFor {
    /// The credential is wrong, revoked, or may not publish this package (U11, U26).
    Credential,
    /// The registry wants a person's second factor (U16).
    SecondFactor,
    /// A rule of the registry forbids this artifact for good (U19, U23, U24, U25).
    Rules,
    /// The configured address does not take uploads.
    Endpoint,
    /// The registry pointed to another address, which was not followed (U05).
    Redirect,
    /// The registry's certificate does not prove who it is (U04).
    Tls,
    /// The registry's name leads to a private address that was not allowed (U02).
    PrivateAddress,
}

impl RefusedFor {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::SecondFactor => "second_factor",
            Self::Rules => "rules",
            Self::Endpoint => "endpoint",
            Self::Redirect => "redirect",
            Self::Tls => "tls",
            Self::PrivateAddress => "private_address",
        }
    }
}

/// What a registry was seen to hold of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Files of the version; empty when the registry does not know it.
    pub files: Vec<ObservedFile>,
    /// npm's dist-tags of the whole package.
    pub dist_tags: BTreeMap<String, String>,
    /// PyPI's project status marker (PEP 792), such as `quarantined`; none means active.
    pub project_status: Option<String>,
}

/// One file as a registry lists it. Every digest is the registry's claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedFile {
    /// The file name; for npm the last segment of the tarball's address.
    pub filename: String,
    /// SHA-256 (PyPI).
    pub sha256: Option<Sha256>,
    /// SHA-512 from `dist.integrity` (npm).
    pub sha512: Option<Sha512>,
    /// SHA-1 from `dist.shasum` (npm).
    pub sha1: Option<Sha1>,
    /// The registry marks the file as yanked (PEP 592) or the version as deprecated.
    pub withdrawn: bool,
}

impl ObservedFile {
    /// The strongest digest there is.
    pub fn strongest(&self) -> Option<Expected> {
        let sha512 = self.sha512.map(Expected::Sha512);
        sha512.or(self.sha256.map(Expected::Sha256)).or(self.sha1.map(Expected::Sha1))
    }
}

/// What a registry says the digest of a file is, by the strongest one it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// npm's integrity.
    Sha512(Sha512),
    /// PyPI's hash.
    Sha256(Sha256),
    /// npm's shasum, of packages from before 2017. Somebody who made both files can give two the
    /// same one.
    Sha1(Sha1),
}

impl Expected {
    /// Whether bytes with these digests are the file. A digest that was not computed fits nothing.
    pub fn fits(&self, digests: &Digests) -> bool {
        match self {
            Self::Sha512(sha512) => digests.sha512 == Some(*sha512),
            Self::Sha256(sha256) => digests.sha256 == *sha256,
            Self::Sha1(sha1) => digests.sha1 == Some(*sha1),
        }
    }
}

/// One of our artifacts compared with what a registry holds under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The registry does not list it.
    Absent,
    /// Listed with the digest of our bytes.
    Same,
    /// Listed with the digest of other bytes: a conflict.
    Different,
    /// Listed without a digest that can be trusted.
    Undetermined,
}

impl Observation {
    /// Compares one of our PyPI files by file name.
    pub fn pypi_file(&self, filename: &str, digests: &Digests) -> Seen {
        let Some(file) = self.files.iter().find(|file| file.filename == filename) else {
            return Seen::Absent;
        };
        match file.sha256 {
            Some(sha256) if sha256 == digests.sha256 => Seen::Same,
            Some(_) => Seen::Different,
            None => Seen::Undetermined,
        }
    }

    /// Compares our npm tarball with the one of the observed version, whatever its file name.
    ///
    /// SHA-1 alone never makes two files equal, but a differing SHA-1 makes them differ.
    pub fn npm_tarball(&self, digests: &Digests) -> Seen {
        let Some(file) = self.files.first() else {
            return Seen::Absent;
        };
        let differs = |ours: Option<bool>| ours == Some(false);
        let sha1 = file.sha1.zip(digests.sha1).map(|(a, b)| a == b);
        let sha512 = file.sha512.zip(digests.sha512).map(|(a, b)| a == b);
        if differs(sha1) || differs(sha512) {
            Seen::Different
        } else if sha512 == Some(true) {
            Seen::Same
        } else {
            Seen::Undetermined
        }
    }
}

/// The SHA-512 of a Subresource Integrity text, `sha512-<base64>` among other hashes.
pub fn integrity_sha512(text: &str) -> Option<Sha512> {
    text.split_ascii_whitespace().find_map(|item| {
        let encoded = item.strip_prefix("sha512-")?.split('?').next()?;
        Sha512::from_slice(&STANDARD.decode(encoded).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn fields(kind: Ecosystem, url: &str) -> UpstreamFields<'_> {
        let simple_url = (kind == Ecosystem::Pypi).then_some("https://registry.example/simple");
        UpstreamFields {
            id: UpstreamId::from_uuid(Uuid::nil()),
            name: "Main",
            kind,
            url,
            simple_url,
            files_url: None,
            allow_private: false,
        }
    }

    #[test]
    fn npm_bases_and_simple_indexes_end_in_a_slash_but_upload_addresses_stay() {
        let npm = Upstream::parse(fields(Ecosystem::Npm, "https://registry.example/npm")).unwrap();
        assert_eq!(npm.url().as_str(), "https://registry.example/npm/");
        assert_eq!(npm.read_url(), npm.url());
        let pypi =
            Upstream::parse(fields(Ecosystem::Pypi, "https://upload.example:8443/legacy")).unwrap();
        assert_eq!(pypi.url().path(), "/legacy");
        assert_eq!(pypi.simple_url().unwrap().path(), "/simple/");
        assert_eq!(pypi.publish_origin(), "https://upload.example:8443");
        assert_eq!(pypi.read_origin(), "https://registry.example");
    }

    /// Rule Q15.
    #[test]
    fn plain_http_needs_allow_private() {
        let mut plain = fields(Ecosystem::Npm, "http://registry.example/");
        assert!(matches!(Upstream::parse(plain), Err(UpstreamRefusal::Scheme(_))));
        plain.allow_private = true;
        assert!(Upstream::parse(plain).is_ok());
    }

    #[test]
    fn addresses_that_carry_secrets_or_are_no_web_addresses_are_refused() {
        for text in
            ["https://u:hunter2@registry.example/", "https://registry.example/?token=hunter2"]
        {
            let error = Upstream::parse(fields(Ecosystem::Npm, text)).unwrap_err();
            assert!(matches!(error, UpstreamRefusal::Decorated(_)));
            assert!(!error.to_string().contains("hunter2"));
        }
        for text in ["registry.example", "mailto:a@b.example", ""] {
            let error = Upstream::parse(fields(Ecosystem::Npm, text)).unwrap_err();
            assert!(matches!(error, UpstreamRefusal::Address(_)), "{text}: {error}");
        }
        assert!(matches!(
            Upstream::parse(fields(Ecosystem::Npm, "ftp://registry.example/")),
            Err(UpstreamRefusal::Scheme(_))
        ));
    }

    #[test]
    fn the_simple_index_belongs_to_pypi_alone() {
        let mut pypi = fields(Ecosystem::Pypi, "https://upload.example/");
        pypi.simple_url = None;
        assert_eq!(Upstream::parse(pypi), Err(UpstreamRefusal::SimpleMissing));
        let mut npm = fields(Ecosystem::Npm, "https://registry.example/");
        npm.simple_url = Some("https://registry.example/simple/");
        assert!(matches!(Upstream::parse(npm), Err(UpstreamRefusal::SimpleUnexpected(_))));
    }

    /// Rule U3.
    #[test]
    fn files_are_fetched_from_configured_addresses_only() {
        let mut pypi = fields(Ecosystem::Pypi, "https://upload.example/legacy/");
        pypi.files_url = Some("https://files.example/packages");
        let upstream = Upstream::parse(pypi).unwrap();
        let may = |text: &str| upstream.may_fetch(&Url::parse(text).unwrap());
        assert!(may("https://files.example/packages/aa/a.whl"));
        assert!(may("https://registry.example/files/a.whl"));
        assert!(may("https://upload.example/a.whl"));
        for wrong in [
            "https://files.example/other/a.whl",
            "https://files.example/packages/../other/a.whl",
            "https://files.example/packagesother/a.whl",
            "https://files.example:444/packages/a.whl",
            "http://files.example/packages/a.whl",
            "https://u:p@files.example/packages/a.whl",
            "https://elsewhere.example/packages/a.whl",
            "file:///packages/a.whl",
        ] {
            assert!(!may(wrong), "{wrong}");
        }
        pypi.files_url = Some("http://files.example/");
        assert!(matches!(Upstream::parse(pypi), Err(UpstreamRefusal::Scheme(_))));
    }

    fn digests() -> Digests {
        Digests {
            sha256: Sha256::of(b"x"),
            sha512: Some(Sha512::from_bytes([1; 64])),
            sha1: Some(Sha1::from_bytes([2; 20])),
            md5: None,
            blake2b256: None,
        }
    }

    #[test]
    fn sha1_alone_never_makes_an_npm_tarball_ours() {
        let seen = |sha512, sha1| {
            let file = ObservedFile { sha512, sha1, ..ObservedFile::default() };
            Observation { files: vec![file], ..Observation::default() }.npm_tarball(&digests())
        };
        let ours = digests();
        assert_eq!(seen(ours.sha512, ours.sha1), Seen::Same);
        assert_eq!(seen(ours.sha512, None), Seen::Same);
        assert_eq!(seen(None, ours.sha1), Seen::Undetermined);
        assert_eq!(seen(None, Some(Sha1::from_bytes([3; 20]))), Seen::Different);
        assert_eq!(seen(Some(Sha512::from_bytes([9; 64])), ours.sha1), Seen::Different);
        assert_eq!(Observation::default().npm_tarball(&ours), Seen::Absent);
    }

    /// Rule P11: neither a name nor a missing digest makes a file ours.
    #[test]
    fn sha256_alone_makes_a_file_of_the_index_ours() {
        let ours = digests();
        let seen = |sha256, name: &str| {
            let file = ObservedFile { filename: "a.whl".into(), sha256, ..ObservedFile::default() };
            Observation { files: vec![file], ..Observation::default() }.pypi_file(name, &ours)
        };
        assert_eq!(seen(Some(ours.sha256), "a.whl"), Seen::Same);
        assert_eq!(seen(Some(Sha256::from_bytes([9; 32])), "a.whl"), Seen::Different);
        assert_eq!(seen(None, "a.whl"), Seen::Undetermined);
        assert_eq!(seen(Some(ours.sha256), "b.whl"), Seen::Absent);
    }

    #[test]
    fn integrity_is_read_among_other_hashes() {
        let sha512 = Sha512::from_bytes([7; 64]);
        let text = format!("sha1-AAAA sha512-{}?opt", sha512.to_base64());
        assert_eq!(integrity_sha512(&text), Some(sha512));
        assert_eq!(integrity_sha512("sha512-AAAA"), None);
        assert_eq!(integrity_sha512("sha1-AAAA"), None);
    }
}
