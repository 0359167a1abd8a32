//! A survey: what one pass over an artifact found, without keeping its files.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::domain::artifact::{Facts, NpmFacts, PypiFacts};
use crate::domain::digest::{Sha1, Sha256};

/// Longest excerpt kept as evidence, in characters.
pub const EXCERPT_MAX: usize = 160;
/// Most marks of one sort kept of one file; the next one only says that there are more.
pub const MARKS_MAX: usize = 32;
/// What the mark after the last one says instead of a text of the file.
pub const MORE_MARKS: &str = "and more";
/// Most modules kept that one file names.
pub const IMPORTS_MAX: usize = 512;

/// Tables of a `package.json` with what is installed beside the package.
pub const NPM_DEPENDENCIES: [&str; 3] =
    ["dependencies", "optionalDependencies", "peerDependencies"];

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// What the artifact says about itself.
    pub facts: Facts,
    /// Every file, sorted by [`SurveyedFile::place`].
    pub files: Vec<SurveyedFile>,
    /// What the parsed files of a Python distribution say.
    pub python: PythonParts,
    /// Dependencies of its `package.json` that some other file names in quotes.
    pub named: BTreeSet<String>,
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
    /// Whether the archive says that it is run as a program.
    pub executable: bool,
    /// Number of lines; 0 for what is not text.
    pub lines: u32,
    /// Length of the longest line in bytes; 0 for what is not text.
    pub longest_line: u64,
    /// It is a file that build tools write the version into, and holds nothing else.
    pub only_version: bool,
    /// What stands out, in order of lines, at most [`MARKS_MAX`] of a sort.
    pub marks: Vec<Mark>,
    /// What a parser read in it; `None` for what is no JavaScript, TypeScript or Python.
    pub code: Option<Code>,
}

impl SurveyedFile {
    /// Whether a parser read it as code.
    pub fn is_parsed(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.parsed == Parsed::Whole)
    }

    /// The marks of a sort.
    pub fn of_sort(&self, sort: Sort) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(move |mark| mark.sort == sort)
    }

    /// The first mark by which it reaches out where this earlier file did not at all.
    pub fn newly_reaches_out(&self, before: Option<&Self>) -> Option<&Mark> {
        const SORTS: [Sort; 6] = [
            Sort::Network,
            Sort::Programs,
            Sort::DynamicCode,
            Sort::CredentialPlace,
            Sort::Environment,
            Sort::Obfuscated,
        ];
        let did = |sort| before.is_some_and(|before| before.of_sort(sort).next().is_some());
        self.marks.iter().find(|mark| SORTS.contains(&mark.sort) && !did(mark.sort))
    }
}

/// What a parser read in a file of code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// How far the file was understood.
    pub parsed: Parsed,
    /// Modules it names, as written and each once, in order of lines; at most [`IMPORTS_MAX`].
    pub imports: Vec<Import>,
    /// Calls of interest that are made while the file is loaded, in order of lines.
    pub on_load: Vec<Mark>,
}

/// How far a file of code was understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parsed {
    /// A parser read it.
    #[default]
    Whole,
    /// It is not in the language that its name says; it was only searched for words.
    Broken,
    /// It is larger than what is parsed; it was only searched for words.
    TooLarge,
    /// It is nested deeper than what is parsed; it was only searched for words.
    TooDeep,
}

/// A module that a file names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// As written: `./lib/a.js`, `lodash/fp`, `os.path`.
    pub module: String,
    /// In which line, from 1.
    pub line: u32,
    /// The file goes on without it.
    pub optional: bool,
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
    /// Turns text back into what it was made from (HK-10).
    Decodes,
    /// A word of letters of two alphabets that look alike (CT-12).
    Confusable,
    /// A command in the settings of an editor or agent (HK-11).
    SettingsCommand,
    /// A key or token in clear (AR-08).
    Secret,
    /// A line of a `.pth` file that Python runs at every start (HK-06).
    StartupLine,
    /// A command that `binding.gyp` runs while it is read (HK-03).
    GypCommand,
}

impl Survey {
    /// A survey of nothing under the name of another: what a candidate is compared with when its
    /// baseline exists and could not be read, so that everything is new and nothing is quiet.
    pub fn nothing(beside: &Self) -> Self {
        let facts = match &beside.facts {
            Facts::Npm(facts) => Facts::Npm(NpmFacts {
                package_json: Map::new(),
                version: String::new(),
                has_binding_gyp: false,
                has_shrinkwrap: false,
                file_count: 0,
                unpacked_bytes: 0,
                ..facts.clone()
            }),
            Facts::Pypi(facts) => Facts::Pypi(PypiFacts {
                fields: Vec::new(),
                version: String::new(),
                file_count: 0,
                unpacked_bytes: 0,
                ..facts.clone()
            }),
        };
        Self { facts, files: Vec::new(), python: PythonParts::default(), named: BTreeSet::new() }
    }

    /// The file at a place.
    pub fn at(&self, place: &str) -> Option<&SurveyedFile> {
        let found = self.files.binary_search_by(|file| file.place.as_str().cmp(place));
        found.ok().and_then(|index| self.files.get(index))
    }

    /// Every mark of a sort, with its file.
    pub fn marks(&self, sort: Sort) -> impl Iterator<Item = (&SurveyedFile, &Mark)> {
        self.files.iter().flat_map(move |file| file.of_sort(sort).map(move |mark| (file, mark)))
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
