//! Paths inside archives: one safe, unambiguous form, and no two that any system would confuse.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use crate::domain::package::excerpt;
use crate::inspect::Limits;

/// Why an archive path is refused (security.md 2.10; rows A14-A18, A21-A27, Z19-Z21, Z23).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRefusal {
    /// Nothing before the end or the trailing slash.
    #[error("expected an entry name, received an empty one")]
    Empty,
    /// Longer than [`Limits::name_bytes`].
    #[error("expected an entry name of at most {limit} bytes, received {length}: `{name}`")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
        /// The length that came, in bytes.
        length: usize,
        /// The path, escaped and cut.
        name: String,
    },
    /// Not UTF-8, so that readers would guess an encoding.
    #[error("expected a UTF-8 entry name, received `{name}`")]
    NotUtf8 {
        /// The path with replacement characters, escaped and cut.
        name: String,
    },
    /// A control character, NUL among them.
    #[error("expected an entry name without control characters, received `{name}`")]
    Control {
        /// The path, escaped and cut.
        name: String,
    },
    /// A backslash, which Windows takes for a separator.
    #[error("expected an entry name with `/` as its separator, received `{name}`")]
    Backslash {
        /// The path, escaped and cut.
        name: String,
    },
    /// Starts at the root of a file system or drive.
    #[error("expected a relative entry name, received `{name}`")]
    Absolute {
        /// The path, escaped and cut.
        name: String,
    },
    /// An empty, `.` or `..` component.
    #[error("expected an entry name without empty, `.` and `..` parts, received `{name}`")]
    DotPart {
        /// The path, escaped and cut.
        name: String,
    },
    /// A component that Windows would rename or open as a device.
    #[error("expected parts that every system can store, received `{part}` in `{name}`")]
    Unportable {
        /// The component, escaped and cut.
        part: String,
        /// The path, escaped and cut.
        name: String,
    },
    /// More components than [`Limits::depth`].
    #[error("expected at most {limit} parts in an entry name, received `{name}`")]
    TooDeep {
        /// The bound.
        limit: usize,
        /// The path, escaped and cut.
        name: String,
    },
    /// All paths together pass [`Limits::names_total_bytes`].
    #[error("expected at most {limit} bytes of entry names in all, received more")]
    TooManyBytes {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Equal to an earlier path, or equal after NFC and case folding.
    #[error("expected distinct entry names, received `{name}` beside an equal or look-alike one")]
    Collision {
        /// The later path, escaped and cut.
        name: String,
    },
    /// A path that is a file once and a directory once.
    #[error("expected files and directories to be distinct, received `{name}` as both")]
    FileAndDirectory {
        /// The later path, escaped and cut.
        name: String,
    },
}

/// Checks one path and returns it without a directory's trailing slash.
pub fn parse<'a>(
    bytes: &'a [u8],
    is_directory: bool,
    limits: &Limits,
) -> Result<&'a str, NameRefusal> {
    let name = || excerpt(&String::from_utf8_lossy(bytes));
    if bytes.len() > limits.name_bytes {
        return Err(NameRefusal::TooLong {
            limit: limits.name_bytes,
            length: bytes.len(),
            name: name(),
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NameRefusal::NotUtf8 { name: name() })?;
    if text.chars().any(char::is_control) {
        return Err(NameRefusal::Control { name: name() });
    }
    if text.contains('\\') {
        return Err(NameRefusal::Backslash { name: name() });
    }
    let path = if is_directory { text.strip_suffix('/').unwrap_or(text) } else { text };
    if path.is_empty() {
        return Err(NameRefusal::Empty);
    }
    if path.starts_with('/') || path.split('/').any(has_drive) {
        return Err(NameRefusal::Absolute { name: name() });
    }
    let mut parts = 0;
    for part in path.split('/') {
        parts += 1;
        if matches!(part, "" | "." | "..") {
            return Err(NameRefusal::DotPart { name: name() });
        }
        if part.ends_with(['.', ' ']) || is_device(part) {
            return Err(NameRefusal::Unportable { part: excerpt(part), name: name() });
        }
    }
    if parts > limits.depth {
        return Err(NameRefusal::TooDeep { limit: limits.depth, name: name() });
    }
    Ok(path)
}

/// `C:` at the start of a component, with or without more behind it.
fn has_drive(part: &str) -> bool {
    matches!(part.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Names that Windows opens as devices, whatever extension follows.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" => true,
        _ => {
            let number = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
            number.is_some_and(|number| {
                let mut chars = number.chars();
                matches!(chars.next(), Some('1'..='9' | '¹' | '²' | '³')) && chars.next().is_none()
            })
        }
    }
}

/// The form two names are compared by: NFC, then full case folding by way of upper case.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// Every path of one archive as a tree of folded components.
#[derive(Debug, Default)]
pub struct NameTree {
    nodes: HashMap<(u32, Box<str>), (u32, Node)>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    /// Named only as part of a longer path.
    Implied,
    Directory,
    File,
}

impl NameTree {
    /// Adds a path accepted by [`parse`], or says what it collides with.
    pub fn insert(
        &mut self,
        path: &str,
        is_directory: bool,
        limits: &Limits,
    ) -> Result<(), NameRefusal> {
        self.bytes += path.len();
        if self.bytes > limits.names_total_bytes {
            return Err(NameRefusal::TooManyBytes { limit: limits.names_total_bytes });
        }
        let (parents, last) = match path.rsplit_once('/') {
            Some((parents, last)) => (Some(parents), last),
            None => (None, path),
        };
        let mut at = 0;
        for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
            let (id, node) = self.node(at, part, Node::Implied);
            if node == Node::File {
                return Err(NameRefusal::FileAndDirectory { name: excerpt(path) });
            }
            at = id;
        }
        let kind = if is_directory { Node::Directory } else { Node::File };
        let known = self.nodes.len();
        let (_, before) = self.node(at, last, kind);
        if self.nodes.len() > known {
            return Ok(());
        }
        match (before, kind) {
            (Node::Implied, Node::Directory) => {
                if let Some(entry) = self.nodes.get_mut(&(at, fold(last).into())) {
                    entry.1 = Node::Directory;
                }
                Ok(())
            }
            (Node::File, Node::File) | (Node::Directory, Node::Directory) => {
                Err(NameRefusal::Collision { name: excerpt(path) })
            }
            _ => Err(NameRefusal::FileAndDirectory { name: excerpt(path) }),
        }
    }

    /// The child `part` of node `at`, made as `kind` when it does not exist yet.
    fn node(&mut self, at: u32, part: &str, kind: Node) -> (u32, Node) {
        let next = u32::try_from(self.nodes.len() + 1).unwrap_or(u32::MAX);
        *self.nodes.entry((at, fold(part).into())).or_insert((next, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &[u8]) -> NameRefusal {
        parse(name, false, &Limits::default()).unwrap_err()
    }

    /// Rows A14-A18, A19-A22, Z19-Z21.
    #[test]
    fn names_that_systems_read_differently_are_refused() {
        assert_eq!(refusal(b""), NameRefusal::Empty);
        assert!(matches!(refusal(&[b'a'; 1025]), NameRefusal::TooLong { length: 1025, .. }));
        assert!(matches!(refusal(&b"d/".repeat(32)[..]), NameRefusal::DotPart { .. }));
        assert!(matches!(
            refusal(&[&b"d/".repeat(32)[..], b"f"].concat()),
            NameRefusal::TooDeep { .. }
        ));
        for name in [&b"/etc/passwd"[..], b"C:/x", b"p/c:x", b"//host/share"] {
            assert!(matches!(refusal(name), NameRefusal::Absolute { .. }), "{name:?}");
        }
        for name in [&b"../x"[..], b"p/../x", b"./p", b"p/./x", b"p//x", b"p/x/", b"p/.."] {
            assert!(matches!(refusal(name), NameRefusal::DotPart { .. }), "{name:?}");
        }
        for name in [&b"p\\x"[..], b"\\\\host\\share"] {
            assert!(matches!(refusal(name), NameRefusal::Backslash { .. }), "{name:?}");
        }
        for name in [&b"p/a\0b"[..], b"p/\n", b"p/\x7f", "p/\u{85}".as_bytes()] {
            assert!(matches!(refusal(name), NameRefusal::Control { .. }), "{name:?}");
        }
        assert!(matches!(refusal(b"p/\xff"), NameRefusal::NotUtf8 { .. }));
        for name in ["p/CON", "p/aux.js", "p/nul", "p/com1.txt", "LPT9", "p/x.", "p/x ", "com²"] {
            assert!(matches!(refusal(name.as_bytes()), NameRefusal::Unportable { .. }), "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["package/lib/a.js", "p/.npmrc", "p/console.js", "p/com10", "p/naïve 1.txt"] {
            assert_eq!(parse(name.as_bytes(), false, &Limits::default()), Ok(name));
        }
        assert_eq!(parse(b"p/d/", true, &Limits::default()), Ok("p/d"));
    }

    /// Rows A23-A27.
    #[test]
    fn names_equal_after_folding_collide() {
        let limits = Limits::default();
        for (first, second) in [
            ("p/a", "p/a"),
            ("p/Readme.md", "p/README.md"),
            ("p/caf\u{e9}", "p/cafe\u{301}"),
            ("p/stra\u{df}e", "p/STRASSE"),
            ("p/\u{212a}", "p/k"),
            ("LIB/x", "lib/X"),
        ] {
            let mut tree = NameTree::default();
            tree.insert(first, false, &limits).unwrap();
            let refused = tree.insert(second, false, &limits).unwrap_err();
            assert!(matches!(refused, NameRefusal::Collision { .. }), "{first} {second}");
        }
    }

    /// Row A27.
    #[test]
    fn a_file_is_not_also_a_directory() {
        let limits = Limits::default();
        for (first, second, directory) in
            [("p/a", "p/A/b", false), ("p/a/b", "p/a", false), ("p/a", "p/a", true)]
        {
            let mut tree = NameTree::default();
            tree.insert(first, false, &limits).unwrap();
            let refused = tree.insert(second, directory, &limits).unwrap_err();
            assert!(matches!(refused, NameRefusal::FileAndDirectory { .. }), "{first} {second}");
        }
        let mut tree = NameTree::default();
        tree.insert("p/a/b", false, &limits).unwrap();
        tree.insert("p/a", true, &limits).unwrap();
        assert!(tree.insert("p/a", true, &limits).is_err());
    }
}
