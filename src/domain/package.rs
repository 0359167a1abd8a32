//! Packages and versions, parsed once into the form their ecosystem compares by.
//!
//! npm names are compared as written; PyPI names after PEP 503 normalisation. Versions keep the
//! text they came with, because file names and registries do.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr as _;

use serde::{Deserialize, Serialize};

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// The npm registry protocol.
    Npm,
    /// The PyPI legacy upload protocol.
    Pypi,
}

impl Ecosystem {
    /// The word in URLs, configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pypi => "pypi",
        }
    }

    /// The name people use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pypi => "PyPI",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "npm" => Some(Self::Npm),
            "pypi" => Some(Self::Pypi),
            _ => None,
        }
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why text is not a package name or a version.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// The caller sent a name the ecosystem does not allow.
    #[error("expected {expected}, received `{received}`")]
    Name {
        /// What would have been accepted.
        expected: &'static str,
        /// What came, cut to a printable length.
        received: String,
    },
    /// The caller sent a version the ecosystem does not allow.
    #[error("expected {expected}, received `{received}`")]
    Version {
        /// What would have been accepted.
        expected: &'static str,
        /// What came, cut to a printable length.
        received: String,
    },
}

/// Longest text of an untrusted value repeated in a message, in characters.
pub const RECEIVED_MAX: usize = 120;

/// Cuts untrusted text for use in a message.
pub fn excerpt(text: &str) -> String {
    text.chars().take(RECEIVED_MAX).flat_map(char::escape_debug).collect()
}

/// A package's name within its ecosystem.
#[derive(Debug, Clone)]
pub struct PackageName {
    ecosystem: Ecosystem,
    display: String,
    normalized: String,
}

impl PackageName {
    /// Parses a name by the ecosystem's rules (N8, P1).
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, NameError> {
        match ecosystem {
            Ecosystem::Npm => Self::parse_npm(text),
            Ecosystem::Pypi => Self::parse_pypi(text),
        }
    }

    /// npm's rules for new packages: lower case, URL-safe, at most 214 characters, one scope.
    fn parse_npm(text: &str) -> Result<Self, NameError> {
        let refused = |expected| NameError::Name { expected, received: excerpt(text) };
        if text.len() > 214 {
            return Err(refused("an npm package name of at most 214 characters"));
        }
        let (scope, bare) = match text.strip_prefix('@') {
            Some(rest) => {
                let (scope, bare) = rest
                    .split_once('/')
                    .ok_or_else(|| refused("an npm name like `@scope/name`"))?;
                (Some(scope), bare)
            }
            None => (None, text),
        };
        let part_ok = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '_', '-'])
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~'))
        };
        if !part_ok(bare) || !scope.is_none_or(part_ok) {
            return Err(refused(
                "a lower-case npm package name of letters, digits, `-`, `_`, `.` and `~`",
            ));
        }
        if matches!(bare, "node_modules" | "favicon.ico") {
            return Err(refused("an npm package name that npm does not reserve"));
        }
        Ok(Self {
            ecosystem: Ecosystem::Npm,
            display: text.to_owned(),
            normalized: text.to_owned(),
        })
    }

    /// PEP 508's name grammar, compared after PEP 503 normalisation.
    fn parse_pypi(text: &str) -> Result<Self, NameError> {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let ok = bytes.len() <= 200
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !ok {
            return Err(NameError::Name {
                expected: "a Python project name of ASCII letters, digits, `.`, `_` and `-` \
                           that starts and ends with a letter or digit",
                received: excerpt(text),
            });
        }
        Ok(Self {
            ecosystem: Ecosystem::Pypi,
            display: text.to_owned(),
            normalized: normalize_pypi(text),
        })
    }

    /// Whose rules this name follows.
    pub const fn ecosystem(&self) -> Ecosystem {
        self.ecosystem
    }

    /// The name as its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.display
    }

    /// The name the ecosystem compares by.
    pub fn normalized(&self) -> &str {
        &self.normalized
    }

    /// The npm scope without `@`, if any.
    pub fn npm_scope(&self) -> Option<&str> {
        self.normalized.strip_prefix('@')?.split_once('/').map(|(scope, _)| scope)
    }

    /// The npm name without its scope; the whole name elsewhere.
    pub fn npm_bare(&self) -> &str {
        self.normalized.rsplit_once('/').map_or(&*self.normalized, |(_, bare)| bare)
    }

    /// One path segment of an npm URL: the scope's slash written as `%2f`.
    pub fn npm_escaped(&self) -> String {
        self.normalized.replacen('/', "%2f", 1)
    }

    /// The start of a wheel or sdist file name (PEP 427, PEP 625): `_` for `-`.
    pub fn pypi_file_stem(&self) -> String {
        self.normalized.replace('-', "_")
    }
}

/// PEP 503: runs of `-`, `_` and `.` become one `-`, letters become lower case.
fn normalize_pypi(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_run = false;
    for c in text.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !in_run {
                out.push('-');
            }
            in_run = true;
        } else {
            out.push(c.to_ascii_lowercase());
            in_run = false;
        }
    }
    out
}

impl PartialEq for PackageName {
    fn eq(&self, other: &Self) -> bool {
        self.ecosystem == other.ecosystem && self.normalized == other.normalized
    }
}
impl Eq for PackageName {}
impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

/// A version within its ecosystem: the text as it came, and a form to compare by.
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    order: Order,
}

#[derive(Debug, Clone)]
enum Order {
    Npm(Box<nodejs_semver::Version>),
    Pypi(Box<pep440_rs::Version>),
}

impl Version {
    /// Parses a version by the ecosystem's rules (N1, P1).
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, NameError> {
        let refused = |expected| NameError::Version { expected, received: excerpt(text) };
        if text.len() > 128 {
            return Err(refused("a version of at most 128 characters"));
        }
        match ecosystem {
            Ecosystem::Npm => {
                let expected = "a canonical semantic version like `1.2.3` or `1.2.3-rc.1`";
                let parsed = nodejs_semver::Version::parse(text).map_err(|_| refused(expected))?;
                // npm's own normalisation drops build metadata, so two versions that differ only
                // there would be one on the registry.
                if parsed.to_string() != text || !parsed.build().is_empty() {
                    return Err(refused(expected));
                }
                Ok(Self { text: text.to_owned(), order: Order::Npm(Box::new(parsed)) })
            }
            Ecosystem::Pypi => {
                if !text.is_ascii() || text.trim() != text {
                    return Err(refused("a PEP 440 version like `1.2.3` or `1.2.3rc1`"));
                }
                let parsed = pep440_rs::Version::from_str(text)
                    .map_err(|_| refused("a PEP 440 version like `1.2.3` or `1.2.3rc1`"))?;
                if parsed.is_local() {
                    return Err(refused("a public PEP 440 version without a `+local` part"));
                }
                if parsed.to_string() != text {
                    return Err(refused("the canonical form of a PEP 440 version"));
                }
                Ok(Self { text: text.to_owned(), order: Order::Pypi(Box::new(parsed)) })
            }
        }
    }

    /// Parses a version that a registry lists. Older Python versions are spelled in ways that are
    /// not accepted any more and mean the same.
    pub fn parse_listed(ecosystem: Ecosystem, text: &str) -> Result<Self, NameError> {
        match (ecosystem, pep440_rs::Version::from_str(text)) {
            (Ecosystem::Pypi, Ok(parsed)) => Self::parse(ecosystem, &parsed.to_string()),
            _ => Self::parse(ecosystem, text),
        }
    }

    /// Whose rules it follows.
    pub const fn ecosystem(&self) -> Ecosystem {
        match &self.order {
            Order::Npm(_) => Ecosystem::Npm,
            Order::Pypi(_) => Ecosystem::Pypi,
        }
    }

    /// True for two npm versions with the same major and minor number.
    pub fn same_line(&self, other: &Self) -> bool {
        match (&self.order, &other.order) {
            (Order::Npm(a), Order::Npm(b)) => (a.major(), a.minor()) == (b.major(), b.minor()),
            _ => false,
        }
    }

    /// The version as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True for semver prereleases and PEP 440 pre- and dev-releases.
    pub fn is_prerelease(&self) -> bool {
        match &self.order {
            Order::Npm(version) => version.is_prerelease(),
            Order::Pypi(version) => version.any_prerelease(),
        }
    }

    /// Orders two versions of one ecosystem; versions of two ecosystems do not compare.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (&self.order, &other.order) {
            (Order::Npm(a), Order::Npm(b)) => Some(a.cmp(b)),
            (Order::Pypi(a), Order::Pypi(b)) => Some(a.cmp(b)),
            (Order::Npm(_), Order::Pypi(_)) | (Order::Pypi(_), Order::Npm(_)) => None,
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Version {}
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row N10. Rule N8.
    #[test]
    fn npm_names_outside_the_rules_are_refused() {
        let long = "a".repeat(215);
        for text in [
            "",
            "Upper",
            ".dot",
            "_under",
            "-dash",
            "node_modules",
            "favicon.ico",
            "a b",
            " a",
            "a ",
            "caf\u{e9}",
            "p\u{430}ckage",
            "\u{1f600}",
            "@/a",
            "@a/",
            "@a",
            "@a/b/c",
            "a/b",
            "@A/b",
            "@a/.b",
            "a%2fb",
            "../a",
            "a\0",
            &long,
        ] {
            let parsed = PackageName::parse(Ecosystem::Npm, text);
            assert!(matches!(parsed, Err(NameError::Name { .. })), "{text:?}");
        }
        for text in ["a", "hello-wire", "@octo/hello.wire", "1", "@a/node_modules2", &long[1..]] {
            assert_eq!(PackageName::parse(Ecosystem::Npm, text).unwrap().as_str(), text);
        }
    }

    /// Row N11. Rule N1.
    #[test]
    fn npm_versions_that_npm_would_rewrite_are_refused() {
        let long = format!("1.0.0-{}", "a".repeat(300));
        for text in [
            "v1.0.0",
            "=1.0.0",
            " 1.0.0",
            "1.0.0 ",
            "1.0",
            "1",
            "01.0.0",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0+build",
            "1.0.0-a+b",
            "1.0.0-a..b",
            "99999999999999999999.0.0",
            "x",
            "",
            &long,
        ] {
            let parsed = Version::parse(Ecosystem::Npm, text);
            assert!(matches!(parsed, Err(NameError::Version { .. })), "{text:?}");
        }
        for text in ["1.0.0", "0.0.0", "1.2.3-rc.1", "1.0.0-a-b", "1.0.0-0.x"] {
            assert_eq!(Version::parse(Ecosystem::Npm, text).unwrap().as_str(), text);
        }
    }

    /// Rows P07, P09. Rule P1.
    #[test]
    fn python_names_and_versions_have_one_canonical_form() {
        let name = PackageName::parse(Ecosystem::Pypi, "Foo.Bar__baz").unwrap();
        assert_eq!((name.normalized(), &*name.pypi_file_stem()), ("foo-bar-baz", "foo_bar_baz"));
        for text in ["1.0+local", "1.0-1", "1.0a", "v1.0", "1.0.RC1", "\u{661}.0", "1.0 ", "01.0"] {
            assert!(Version::parse(Ecosystem::Pypi, text).is_err(), "{text}");
        }
        for text in ["1!1.0", "1.0.dev0", "1.0rc1.post2", "2026.11"] {
            assert_eq!(Version::parse(Ecosystem::Pypi, text).unwrap().as_str(), text);
        }
    }
}
