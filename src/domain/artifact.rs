//! Artifacts: one file each, and the facts read from inside it.
//!
//! Facts come from the bytes alone, never from what CI claimed (D7). `inspect` makes them; the
//! publish document and the review page are built from them.

use serde::{Deserialize, Serialize};

use crate::domain::digest::{Blake2b256, Md5, Sha1, Sha256, Sha512};
use crate::domain::package::{Ecosystem, NameError, PackageName, Version, excerpt};

/// What sort of file an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// An npm package tarball, `.tgz`.
    NpmTarball,
    /// A Python wheel, `.whl` (PEP 427).
    Wheel,
    /// A Python source distribution, `.tar.gz` (PEP 625).
    Sdist,
}

impl ArtifactKind {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NpmTarball => "npm_tarball",
            Self::Wheel => "wheel",
            Self::Sdist => "sdist",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::NpmTarball, Self::Wheel, Self::Sdist].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whose artifact this is.
    pub const fn ecosystem(self) -> Ecosystem {
        match self {
            Self::NpmTarball => Ecosystem::Npm,
            Self::Wheel | Self::Sdist => Ecosystem::Pypi,
        }
    }
}

/// Digests of one file's bytes, all computed here while the file streamed in.
///
/// SHA-256 is the identity; the others exist because a registry wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The content address.
    pub sha256: Sha256,
    /// npm's `dist.integrity`; computed for npm tarballs.
    pub sha512: Option<Sha512>,
    /// npm's `dist.shasum`; computed for npm tarballs.
    pub sha1: Option<Sha1>,
    /// Computed for PyPI files when the form names it.
    pub md5: Option<Md5>,
    /// Computed for PyPI files when the form names it.
    pub blake2b256: Option<Blake2b256>,
}

/// What a strict reader found inside one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ecosystem", rename_all = "lowercase")]
pub enum Facts {
    /// From an npm tarball.
    Npm(NpmFacts),
    /// From a wheel or sdist.
    Pypi(PypiFacts),
}

impl Facts {
    /// The packages that an installation of this one brings along, as far as they are valid names.
    pub fn requires(&self) -> Vec<PackageName> {
        match self {
            Self::Npm(facts) => ["dependencies", "optionalDependencies", "peerDependencies"]
                .into_iter()
                .filter_map(|field| facts.package_json.get(field)?.as_object())
                .flat_map(serde_json::Map::keys)
                .filter_map(|name| PackageName::parse(Ecosystem::Npm, name).ok())
                .collect(),
            Self::Pypi(facts) => facts
                .values("Requires-Dist")
                .filter_map(|requirement| {
                    // The name ends before an extra, a version, a marker or an address (PEP 508).
                    let ends =
                        |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
                    let name = requirement.trim_start().split(ends).next()?;
                    PackageName::parse(Ecosystem::Pypi, name).ok()
                })
                .collect(),
        }
    }
}

/// What `package/package.json` and the file list of an npm tarball say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmFacts {
    /// `name`, already checked to be a valid npm name.
    pub name: String,
    /// `version`, already checked to be a canonical semantic version.
    pub version: String,
    /// The whole of `package.json`, at most 1 MiB, no duplicate keys, depth at most 32 (N3).
    pub package_json: serde_json::Map<String, serde_json::Value>,
    /// The root README's text, if any, cut to 64 KiB on a character boundary.
    pub readme: Option<String>,
    /// The root README's file name, if any.
    pub readme_filename: Option<String>,
    /// A root `binding.gyp` exists, which makes npm run `node-gyp rebuild` (N7).
    pub has_binding_gyp: bool,
    /// A root `npm-shrinkwrap.json` exists.
    pub has_shrinkwrap: bool,
    /// Number of files.
    pub file_count: u32,
    /// Sum of the files' sizes, in bytes.
    pub unpacked_bytes: u64,
}

/// What METADATA or PKG-INFO and the file name of a Python distribution say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PypiFacts {
    /// Wheel or sdist.
    pub kind: ArtifactKind,
    /// `Name`, as written in the metadata.
    pub name: String,
    /// `Version`, as written in the metadata.
    pub version: String,
    /// The form's `pyversion`: `source` for sdists, the wheel's Python tag otherwise.
    pub pyversion: String,
    /// Core metadata header fields in file order, names as the specification writes them.
    pub fields: Vec<(String, String)>,
    /// The message body, which is the `Description` since Metadata 2.1.
    pub description: Option<String>,
    /// Number of files.
    pub file_count: u32,
    /// Sum of the files' sizes, in bytes.
    pub unpacked_bytes: u64,
}

impl PypiFacts {
    /// All values of one core metadata field, in file order.
    pub fn values<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(field))
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a single-use field.
    pub fn value<'a>(&'a self, field: &'a str) -> Option<&'a str> {
        self.values(field).next()
    }
}

/// The parsed name of a wheel or source distribution, in exactly the form PyPI expects (P1).
///
/// Wheels follow PEP 427, source distributions PEP 625. Names and versions in their canonical
/// form only, platform tags from PyPI's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filename {
    text: String,
    kind: ArtifactKind,
    name: PackageName,
    version: Version,
    python_tag: Option<String>,
}

/// Why a file name is not one PyPI accepts (rows P07-P09, P14-P16).
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum FilenameError {
    /// Neither `.whl` nor `.tar.gz`.
    #[error("expected a file name ending in `.whl` or `.tar.gz`, received `{received}`")]
    Extension {
        /// What came, cut to a printable length.
        received: String,
    },
    /// Not made of the parts its kind has.
    #[error("expected {expected}, received `{received}`")]
    Parts {
        /// The form that would have been accepted.
        expected: &'static str,
        /// What came, cut to a printable length.
        received: String,
    },
    /// Name or version is outside the ecosystem's rules.
    #[error(transparent)]
    Identity(#[from] NameError),
    /// The name part is not the normalised one.
    #[error("expected the file name to start with `{expected}-`, received `{received}`")]
    Stem {
        /// The normalised name with `_` for `-`.
        expected: String,
        /// What came, cut to a printable length.
        received: String,
    },
    /// A tag with characters outside the grammar, or too many of them.
    #[error("expected a {kind} tag like `{example}`, received `{received}`")]
    Tag {
        /// `Python`, `ABI` or `build`.
        kind: &'static str,
        /// A tag that would have been accepted.
        example: &'static str,
        /// What came, cut to a printable length.
        received: String,
    },
    /// A platform PyPI does not take files for.
    #[error(
        "expected a platform tag that PyPI accepts, like `any` or `manylinux_2_28_x86_64`, received `{received}`"
    )]
    Platform {
        /// What came, cut to a printable length.
        received: String,
    },
}

/// Longest file name, in bytes: what common file systems store.
const FILENAME_MAX: usize = 255;
/// Most tags of one kind in one wheel name; real wheels have up to five.
const TAGS_MAX: usize = 16;

impl Filename {
    /// Parses the name of a wheel or source distribution.
    pub fn parse(text: &str) -> Result<Self, FilenameError> {
        let extension = || FilenameError::Extension { received: excerpt(text) };
        if text.len() > FILENAME_MAX {
            return Err(extension());
        }
        if let Some(stem) = text.strip_suffix(".whl") {
            Self::parse_wheel(text, stem)
        } else if let Some(stem) = text.strip_suffix(".tar.gz") {
            Self::parse_sdist(text, stem)
        } else {
            Err(extension())
        }
    }

    fn parse_wheel(text: &str, stem: &str) -> Result<Self, FilenameError> {
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, python, abi, platform) = match parts[..] {
            [name, version, python, abi, platform] => (name, version, None, python, abi, platform),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), python, abi, platform)
            }
            _ => {
                let expected = "a wheel name like `name-1.0-py3-none-any.whl`";
                return Err(FilenameError::Parts { expected, received: excerpt(text) });
            }
        };
        let (name, version) = canonical(name, version)?;
        let refused = |kind, example, received: &str| FilenameError::Tag {
            kind,
            example,
            received: excerpt(received),
        };
        if let Some(build) = build
            && !(build.starts_with(|c: char| c.is_ascii_digit()) && word(build))
        {
            return Err(refused("build", "1", build));
        }
        let python_ok = |tag: &str| word(tag) && tag.starts_with(|c: char| c.is_ascii_lowercase());
        if !tags(python, python_ok) {
            return Err(refused("Python", "py3", python));
        }
        if !tags(abi, word) {
            return Err(refused("ABI", "abi3", abi));
        }
        if !tags(platform, accepted_platform) {
            return Err(FilenameError::Platform { received: excerpt(platform) });
        }
        let (text, python_tag) = (text.to_owned(), Some(python.to_owned()));
        Ok(Self { text, kind: ArtifactKind::Wheel, name, version, python_tag })
    }

    fn parse_sdist(text: &str, stem: &str) -> Result<Self, FilenameError> {
        let Some((name, version)) = stem.split_once('-') else {
            let expected = "a source distribution name like `name-1.0.tar.gz`";
            return Err(FilenameError::Parts { expected, received: excerpt(text) });
        };
        let (name, version) = canonical(name, version)?;
        let kind = ArtifactKind::Sdist;
        Ok(Self { text: text.to_owned(), kind, name, version, python_tag: None })
    }

    /// The name as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Wheel or sdist.
    pub const fn kind(&self) -> ArtifactKind {
        self.kind
    }

    /// The project, in the file name's normalised spelling.
    pub const fn package(&self) -> &PackageName {
        &self.name
    }

    /// The version, in its canonical form.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The upload form's `pyversion`: `source`, or the wheel's Python tag.
    pub fn pyversion(&self) -> &str {
        self.python_tag.as_deref().unwrap_or("source")
    }
}

/// Name and version of a file name, which must be in the one spelling PyPI expects.
fn canonical(name: &str, version: &str) -> Result<(PackageName, Version), FilenameError> {
    let parsed = PackageName::parse(Ecosystem::Pypi, name)?;
    let expected = parsed.pypi_file_stem();
    if expected != name {
        return Err(FilenameError::Stem { expected, received: excerpt(name) });
    }
    Ok((parsed, Version::parse(Ecosystem::Pypi, version)?))
}

fn tags(joined: &str, accepted: impl Fn(&str) -> bool) -> bool {
    joined.split('.').count() <= TAGS_MAX && joined.split('.').all(accepted)
}

fn word(tag: &str) -> bool {
    !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// PyPI's list of platform tags: exact names, and families with version numbers in them.
fn accepted_platform(tag: &str) -> bool {
    const EXACT: [&str; 18] = [
        "any",
        "win32",
        "win_amd64",
        "win_arm64",
        "manylinux1_x86_64",
        "manylinux1_i686",
        "manylinux2010_x86_64",
        "manylinux2010_i686",
        "manylinux2014_x86_64",
        "manylinux2014_i686",
        "manylinux2014_aarch64",
        "manylinux2014_armv7l",
        "manylinux2014_ppc64",
        "manylinux2014_ppc64le",
        "manylinux2014_s390x",
        "linux_armv6l",
        "linux_armv7l",
        "win_ia64",
    ];
    const LINUX: [&str; 9] = [
        "x86_64",
        "i686",
        "aarch64",
        "armv7l",
        "ppc64",
        "ppc64le",
        "s390x",
        "riscv64",
        "loongarch64",
    ];
    const MACOS: [&str; 11] = [
        "x86_64",
        "arm64",
        "universal2",
        "i386",
        "intel",
        "ppc",
        "ppc64",
        "fat",
        "fat3",
        "fat64",
        "universal",
    ];
    const IOS: [&str; 3] = ["arm64_iphoneos", "arm64_iphonesimulator", "x86_64_iphonesimulator"];
    const ANDROID: [&str; 4] = ["arm64_v8a", "armeabi_v7a", "x86", "x86_64"];
    let versioned = |family: &str, numbers: usize, rest: &[&str]| {
        let Some(mut tail) = tag.strip_prefix(family) else { return false };
        for _ in 0..numbers {
            match tail.split_once('_') {
                Some((number, after)) if is_number(number) => tail = after,
                _ => return false,
            }
        }
        rest.contains(&tail)
    };
    EXACT.contains(&tag)
        || versioned("manylinux_", 2, &LINUX)
        || versioned("musllinux_", 2, &LINUX)
        || versioned("macosx_", 2, &MACOS)
        || versioned("ios_", 2, &IOS)
        || versioned("android_", 1, &ANDROID)
        || versioned("pyodide_", 2, &["wasm32"])
}

fn is_number(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str) -> Filename {
        Filename::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn real_file_names_are_accepted() {
        for text in [
            "hello_wire-1.0.0-py3-none-any.whl",
            "foo_bar_baz-1.0-1-py2.py3-none-any.whl",
            "orjson-3.13.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "ruff-0.1-py3-none-macosx_11_0_arm64.whl",
            "a-1!1.0-cp313-cp313t-win_amd64.whl",
            "a-1.0.dev0-pp310-pypy310_pp73-musllinux_1_2_aarch64.whl",
            "a-1.0rc1.post2-cp313-abi3-ios_13_0_arm64_iphoneos.whl",
            "a-1.0-cp312-cp312-pyodide_2024_0_wasm32.whl",
        ] {
            assert_eq!(accepted(text).kind(), ArtifactKind::Wheel);
        }
        let sdist = accepted("foo_bar_baz-1.0.tar.gz");
        assert_eq!(sdist.kind(), ArtifactKind::Sdist);
        assert_eq!(sdist.package(), &PackageName::parse(Ecosystem::Pypi, "Foo.Bar-baz").unwrap());
        assert_eq!((sdist.version().as_str(), sdist.pyversion()), ("1.0", "source"));
        assert_eq!(accepted("a-1.0-py2.py3-none-any.whl").pyversion(), "py2.py3");
    }

    /// Rows P05, P07-P09, P14-P16.
    #[test]
    fn other_file_names_are_refused_for_their_own_reason() {
        let refused = |text: &str| Filename::parse(text).unwrap_err();
        for text in [
            "a-1.0.zip",
            "a-1.0.tar.bz2",
            "a-1.0.egg",
            "a-1.0.tgz",
            "a-1.0.tar.gz/x",
            "",
            "a-1.0.TAR.GZ",
        ] {
            assert!(matches!(refused(text), FilenameError::Extension { .. }), "{text}");
        }
        for text in ["a-1.0-py3-any.whl", "a-1.0-1-2-py3-none-any.whl", "a.tar.gz"] {
            assert!(matches!(refused(text), FilenameError::Parts { .. }), "{text}");
        }
        for text in ["Foo-1.0-py3-none-any.whl", "foo.bar-1.0.tar.gz", "foo__bar-1.0.tar.gz"] {
            assert!(matches!(refused(text), FilenameError::Stem { .. }), "{text}");
        }
        for text in [
            "../a-1.0.tar.gz",
            "C:\\a-1.0.tar.gz",
            "a-1.0+local.tar.gz",
            "a-1.0a.tar.gz",
            "a-1.0-1.tar.gz",
            "a-\u{661}.0.tar.gz",
            "a-v1.0.tar.gz",
            "a-1.0\0.tar.gz",
            "é-1.tar.gz",
        ] {
            assert!(matches!(refused(text), FilenameError::Identity { .. }), "{text}");
        }
        let platforms = vec!["any"; 300].join(".");
        assert!(matches!(
            refused(&format!("a-1.0-py3-none-{}.whl", &platforms[..200])),
            FilenameError::Platform { .. }
        ));
        for platform in ["linux_x86_64", "win_fake", "manylinux_2_x86_64", "macosx_11_0_vax", ""] {
            let text = format!("a-1.0-py3-none-{platform}.whl");
            assert!(matches!(refused(&text), FilenameError::Platform { .. }), "{text}");
        }
        for text in ["a-1.0-0\u{e4}bc-py3-none-any.whl", "a-1.0-x1-py3-none-any.whl"] {
            assert!(matches!(refused(text), FilenameError::Tag { kind: "build", .. }), "{text}");
        }
        assert!(matches!(refused("a-1.0-py3..x-none-any.whl"), FilenameError::Tag { .. }));
        assert!(matches!(refused("a-1.0-py3-no+ne-any.whl"), FilenameError::Tag { .. }));
    }
}
