//! What packing makes and changes: files that are expected without being in Git, and the few
//! differences that are undone before a file counts as another one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::code::is_code_name;
use super::matching::ArtifactFile;
use crate::domain::artifact::{ArtifactKind, Facts};
use crate::domain::digest::{Sha1, Sha256};
use crate::domain::review::path;

/// Whether packing makes this file for everybody. Never code.
pub(super) fn is_generated(facts: &Facts, path: &str) -> bool {
    let Facts::Pypi(facts) = facts else { return false };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match facts.kind {
        ArtifactKind::Wheel => {
            let first = path.split('/').next().unwrap_or_default();
            first.ends_with(".dist-info") && !is_code_name(name)
        }
        ArtifactKind::Sdist | ArtifactKind::NpmTarball => {
            (folder.is_empty() && matches!(name, "PKG-INFO" | "setup.cfg"))
                || (folder.ends_with(".egg-info") && !is_code_name(name))
        }
    }
}

/// Whether only line ends differ, or Git has a pointer to exactly this content.
pub(super) fn is_same_but_for_packing(file: &ArtifactFile, content: &[u8]) -> bool {
    let unix: Vec<u8> = unix_lines(content);
    let mut windows = Vec::with_capacity(unix.len());
    for byte in &unix {
        windows.extend_from_slice(if *byte == b'\n' {
            b"\r\n"
        } else {
            std::slice::from_ref(byte)
        });
    }
    let same = |bytes: &[u8]| Sha1::of_git_blob(bytes) == file.blob;
    same(&unix) || same(&windows) || lfs_digest(content) == Some(file.sha256)
}

fn unix_lines(content: &[u8]) -> Vec<u8> {
    let next = content.iter().skip(1).map(Some).chain([None]);
    let kept =
        content.iter().zip(next).filter(|(byte, next)| !(**byte == b'\r' && *next == Some(&b'\n')));
    kept.map(|(byte, _)| *byte).collect()
}

/// The digest in a pointer of Git LFS.
fn lfs_digest(content: &[u8]) -> Option<Sha256> {
    let text = std::str::from_utf8(content).ok().filter(|text| text.len() < 1024)?;
    let mut lines = text.lines();
    lines.next()?.strip_prefix("version https://git-lfs.github.com/spec/")?;
    let digest = lines.find_map(|line| line.strip_prefix("oid sha256:"))?;
    Sha256::parse_hex(digest).ok()
}

/// The members of `package.json` that are not as in Git, but for those a release tool writes.
pub(super) fn other_members(git: &[u8], packed: &Map<String, Value>) -> Option<Vec<String>> {
    let git: Map<String, Value> = serde_json::from_slice(git).ok()?;
    let mut names: BTreeSet<&String> = git.keys().chain(packed.keys()).collect();
    names.retain(|name| !matches!(name.as_str(), "version" | "gitHead"));
    let differs = |name: &&String| match (git.get(*name), packed.get(*name)) {
        (Some(Value::Object(before)), Some(Value::Object(after))) if is_dependencies(name) => {
            before.len() != after.len()
                || before.iter().any(|(key, value)| !is_same_requirement(value, after.get(key)))
        }
        (before, after) => before != after,
    };
    Some(names.into_iter().filter(differs).cloned().collect())
}

fn is_dependencies(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("dependencies")
}

/// Whether a requirement is the one in Git, or what a package manager writes for `workspace:`.
fn is_same_requirement(git: &Value, packed: Option<&Value>) -> bool {
    let Some(packed) = packed else { return false };
    let inside = git
        .as_str()
        .is_some_and(|text| text.starts_with("workspace:") || text.starts_with("catalog:"));
    // A range, and neither an alias nor an address.
    let range = packed.as_str().is_some_and(|text| !text.contains([':', '/', '@']));
    git == packed || (inside && range)
}

/// Whether a file is one that build tools write the version into, and its text holds nothing else,
/// as `setuptools-scm`, `hatch-vcs` and their like write it: comments, and plain values given to
/// names that are about versions. One that was too large to be held has no text here.
pub fn is_only_version(path: &str, text: &str) -> bool {
    let name = path::name(path);
    let named = name.ends_with("version.py")
        || matches!(name, "__version__.py" | "__about__.py" | "_versions.py");
    named && !text.is_empty() && text.len() <= 8 << 10 && text.lines().all(is_version_line)
}

fn is_version_line(line: &str) -> bool {
    /// Lines of the templates besides the values, type hints for the most part.
    const FIXED: [&str; 21] = [
        "from __future__ import annotations",
        "TYPE_CHECKING = False",
        "if TYPE_CHECKING:",
        "else:",
        "from typing import Tuple",
        "from typing import Union",
        "from typing import Tuple, Union",
        "VERSION_TUPLE = Tuple[Union[int, str], ...]",
        "VERSION_TUPLE = tuple[int | str, ...]",
        "VERSION_TUPLE = object",
        "COMMIT_ID = Union[str, None]",
        "COMMIT_ID = str | None",
        "COMMIT_ID = object",
        "version: str",
        "__version__: str",
        "__version_tuple__: VERSION_TUPLE",
        "version_tuple: VERSION_TUPLE",
        "commit_id: COMMIT_ID",
        "__commit_id__: COMMIT_ID",
        "__all__ = [",
        "]",
    ];
    const NAMES: [&str; 9] = [
        "version",
        "__version__",
        "version_tuple",
        "__version_tuple__",
        "commit_id",
        "__commit_id__",
        "VERSION",
        "__version_info__",
        "__all__",
    ];
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || FIXED.contains(&line) {
        return true;
    }
    if is_plain_value(line.trim_end_matches(',')) {
        // An item of a list over several lines.
        return line.ends_with(',');
    }
    let mut names = line.split(" = ").collect::<Vec<_>>();
    let Some(value) = names.pop() else { return false };
    !names.is_empty() && names.iter().all(|name| NAMES.contains(name)) && is_plain_value(value)
}

/// A string, a number, `None`, or a tuple or list of such.
fn is_plain_value(text: &str) -> bool {
    let inner = ['(', ')', '[', ']'];
    text.trim_matches(inner).split(',').map(str::trim).filter(|item| !item.is_empty()).all(|item| {
        let quoted = |quote: char| {
            item.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).is_some_and(|text| {
                text.bytes().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_' | b'!')
                })
            })
        };
        item == "None" || item.bytes().all(|b| b.is_ascii_digit()) || quoted('\'') || quoted('"')
    })
}
