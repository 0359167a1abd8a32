//! A survey: what one pass over an artifact found, without keeping its files.

use serde::{Deserialize, Serialize};

use crate::domain::artifact::Facts;
use crate::domain::digest::{Sha1, Sha256};

/// Longest excerpt kept as evidence, in characters.
pub const EXCERPT_MAX: usize = 160;
/// Most marks kept of one file; a file with more is marked as such a file anyway.
pub const MARKS_MAX: usize = 64;

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// What the artifact says about itself.
    pub facts: Facts,
    /// Every file, sorted by [`SurveyedFile::place`].
    pub files: Vec<SurveyedFile>,
    /// What the parsed files of a Python distribution say.
    pub python: PythonParts,
}

/// What of a Python distribution has a structure of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonParts {
    /// Group and name of every entry point, sorted.
    pub entry_points: Vec<(String, String)>,
    /// `build-backend` of an sdist's `pyproject.toml`.
    pub build_backend: Option<String>,
    /// `requires` of the same table, sorted.
    pub build_requires: Vec<String>,
    /// `backend-path`: the backend is code in the sdist itself.
    pub backend_inside: bool,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyedFile {
    /// Where it is: below the top directory of a tarball, the whole path in a wheel.
    pub path: String,
    /// The same without the version that wheels put in directory names, to compare by.
    pub place: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Digest of the content.
    pub sha256: Sha256,
    /// The name git has for the same content, to find it in a tree.
    pub git_blob: Sha1,
    /// What the first bytes say it is, whatever its name.
    pub format: Format,
    /// Number of lines; 0 for what is not text.
    pub lines: u32,
    /// Length of the longest line in bytes; 0 for what is not text.
    pub longest_line: u64,
    /// What stands out, in order of lines, at most [`MARKS_MAX`].
    pub marks: Vec<Mark>,
}

/// What a file is by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// UTF-8 text.
    Text,
    /// A Linux program or library.
    Elf,
    /// A Windows program or library.
    Pe,
    /// A macOS program or library, of one or several architectures.
    MachO,
    /// WebAssembly.
    Wasm,
    /// Compiled Java.
    JavaClass,
    /// Compiled Android code.
    Dex,
    /// Compiled Python.
    PythonBytecode,
    /// An archive or compressed file.
    Archive,
    /// A picture, a font or a document.
    Media,
    /// Something else that is not text.
    Opaque,
}

impl Format {
    /// Whether a machine can run it as it is.
    pub const fn is_executable(self) -> bool {
        matches!(
            self,
            Self::Elf
                | Self::Pe
                | Self::MachO
                | Self::Wasm
                | Self::JavaClass
                | Self::Dex
                | Self::PythonBytecode
        )
    }

    /// In words, after "a" or "an".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Elf => "Linux binary",
            Self::Pe => "Windows binary",
            Self::MachO => "macOS binary",
            Self::Wasm => "WebAssembly module",
            Self::JavaClass => "Java class",
            Self::Dex => "Android binary",
            Self::PythonBytecode => "compiled Python file",
            Self::Archive => "archive",
            Self::Media => "picture, font or document",
            Self::Opaque => "file of unknown format",
        }
    }
}

/// Something in a file that stands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What.
    pub sort: Sort,
    /// In which line, from 1.
    pub line: u32,
    /// The text itself, cut to [`EXCERPT_MAX`]; for [`Sort::Host`] the host and nothing else.
    pub excerpt: String,
}

/// What a mark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Characters that change the order in which text is shown (CT-10).
    Bidi,
    /// Runs of characters that are not shown at all (CT-11).
    Invisible,
    /// Code far to the right of an otherwise empty line (CT-07).
    OffScreen,
    /// Decoded data is run, or names are made unreadable (CT-08).
    Obfuscated,
    /// Talks to the network (CP-01).
    Network,
    /// Starts other programs (CP-02).
    Programs,
    /// Names a place where credentials are kept (CP-03).
    CredentialPlace,
    /// Takes the whole environment (CP-04).
    Environment,
    /// A host that is named in it (CP-05).
    Host,
    /// Publishes packages or changes repositories (CP-06).
    Publishes,
    /// Runs text as code (CP-08).
    DynamicCode,
    /// A key or token in clear (AR-08).
    Secret,
    /// A line of a `.pth` file that Python runs at every start (HK-06).
    StartupLine,
    /// A command that `binding.gyp` runs while it is read (HK-03).
    GypCommand,
}

impl Survey {
    /// The file at a place.
    pub fn at(&self, place: &str) -> Option<&SurveyedFile> {
        let found = self.files.binary_search_by(|file| file.place.as_str().cmp(place));
        found.ok().and_then(|index| self.files.get(index))
    }

    /// Every mark of a sort, with its file.
    pub fn marks(&self, sort: Sort) -> impl Iterator<Item = (&SurveyedFile, &Mark)> {
        self.files.iter().flat_map(move |file| {
            file.marks.iter().filter(move |mark| mark.sort == sort).map(move |mark| (file, mark))
        })
    }

    /// Sum of the files' sizes, in bytes.
    pub fn unpacked_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

/// Where a file is whatever the version: wheels put name and version in two directory names.
pub fn place(path: &str) -> String {
    let versioned = path.split_once('/').and_then(|(top, rest)| {
        let kind = top.rsplit_once('.')?.1;
        matches!(kind, "dist-info" | "data").then(|| format!("*.{kind}/{rest}"))
    });
    versioned.unwrap_or_else(|| path.to_owned())
}
