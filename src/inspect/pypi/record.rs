//! RECORD: the wheel's own list of every file with its hash and size (P4, P18).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::domain::package::excerpt;

/// Why RECORD does not describe the archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefusal {
    /// Not UTF-8.
    #[error("expected RECORD in UTF-8, received other bytes")]
    NotUtf8,
    /// A line that is no `path,algorithm=hash,size`.
    #[error("expected RECORD lines like `path,sha256=hash,size`, received `{line}`")]
    Line {
        /// The line, escaped and cut.
        line: String,
    },
    /// A file is listed twice.
    #[error("expected each file once in RECORD, received `{path}` twice")]
    Twice {
        /// The path, escaped and cut.
        path: String,
    },
    /// An algorithm weaker than SHA-256, an unknown one, or a malformed hash.
    #[error("expected a sha256, sha384 or sha512 hash for `{path}`, received `{received}`")]
    Hash {
        /// The path, escaped and cut.
        path: String,
        /// What came, escaped and cut.
        received: String,
    },
    /// A file of the archive is not listed.
    #[error("expected `{path}` in RECORD, received no line for it")]
    Unlisted {
        /// The path, escaped and cut.
        path: String,
    },
    /// A listed file is not in the archive.
    #[error("expected RECORD to list files of the wheel only, received `{path}`")]
    Absent {
        /// The path, escaped and cut.
        path: String,
    },
    /// A file without hash and size that must have them, or RECORD itself with them.
    #[error("expected hash and size for every file but RECORD, received another line for `{path}`")]
    Unhashed {
        /// The path, escaped and cut.
        path: String,
    },
    /// The content has another hash.
    #[error("expected the content of `{path}` to have the hash in RECORD, received another")]
    HashMismatch {
        /// The path, escaped and cut.
        path: String,
    },
    /// The content has another size.
    #[error("expected {listed} bytes in `{path}` as RECORD says, received {size}")]
    SizeMismatch {
        /// What RECORD says, in bytes.
        listed: u64,
        /// What the archive holds, in bytes.
        size: u64,
        /// The path, escaped and cut.
        path: String,
    },
}

/// A hash function and the digest it must give.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hash {
    Sha256(Vec<u8>),
    Sha384(Vec<u8>),
    Sha512(Vec<u8>),
}

#[derive(Debug)]
struct Row {
    verified: Option<(Hash, u64)>,
    seen: bool,
}

/// The lines of one RECORD, ticked off while the archive is read.
#[derive(Debug)]
pub struct Record {
    rows: HashMap<String, Row>,
}

/// Hashes one file's content by the algorithm RECORD names for it.
#[derive(Debug)]
pub enum Check {
    /// The file has no hash to check: RECORD itself and its signatures.
    Exempt,
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-384.
    Sha384(Sha384),
    /// SHA-512.
    Sha512(Sha512),
}

impl Check {
    /// Adds the next piece of content.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Exempt => {}
            Self::Sha256(hash) => hash.update(piece),
            Self::Sha384(hash) => hash.update(piece),
            Self::Sha512(hash) => hash.update(piece),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Exempt => Vec::new(),
            Self::Sha256(hash) => hash.finalize().to_vec(),
            Self::Sha384(hash) => hash.finalize().to_vec(),
            Self::Sha512(hash) => hash.finalize().to_vec(),
        }
    }
}

impl Record {
    /// Parses RECORD. Lines may end in CRLF; quotes are accepted only where CSV needs them.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordRefusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| RecordRefusal::NotUtf8)?;
        let mut rows = HashMap::new();
        for line in text.split_terminator('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let bad = || RecordRefusal::Line { line: excerpt(line) };
            let (path, rest) = split_path(line).ok_or_else(bad)?;
            let (hash, size) = rest.split_once(',').ok_or_else(bad)?;
            let verified = match (hash, size) {
                ("", "") => None,
                ("", _) | (_, "") => {
                    return Err(RecordRefusal::Unhashed { path: excerpt(&path) });
                }
                _ => Some((parse_hash(&path, hash)?, parse_size(size).ok_or_else(bad)?)),
            };
            if rows.contains_key(&path) {
                return Err(RecordRefusal::Twice { path: excerpt(&path) });
            }
            rows.insert(path, Row { verified, seen: false });
        }
        Ok(Self { rows })
    }

    /// Starts checking one file of the archive; `exempt` for RECORD and its signatures.
    pub fn start(&mut self, path: &str, size: u64, exempt: bool) -> Result<Check, RecordRefusal> {
        let Some(row) = self.rows.get_mut(path) else {
            if exempt {
                return Ok(Check::Exempt);
            }
            return Err(RecordRefusal::Unlisted { path: excerpt(path) });
        };
        row.seen = true;
        match (&row.verified, exempt) {
            (None, true) => Ok(Check::Exempt),
            (None, false) | (Some(_), true) => Err(RecordRefusal::Unhashed { path: excerpt(path) }),
            (Some((_, listed)), false) if *listed != size => {
                let (listed, path) = (*listed, excerpt(path));
                Err(RecordRefusal::SizeMismatch { listed, size, path })
            }
            (Some((Hash::Sha256(_), _)), false) => Ok(Check::Sha256(Sha256::new())),
            (Some((Hash::Sha384(_), _)), false) => Ok(Check::Sha384(Sha384::new())),
            (Some((Hash::Sha512(_), _)), false) => Ok(Check::Sha512(Sha512::new())),
        }
    }

    /// Compares the hash of a file that was read to its end.
    pub fn end(&self, path: &str, check: Check) -> Result<(), RecordRefusal> {
        let listed = self.rows.get(path).and_then(|row| row.verified.as_ref());
        let computed = check.finish();
        match listed {
            Some((Hash::Sha256(hash) | Hash::Sha384(hash) | Hash::Sha512(hash), _))
                if *hash != computed =>
            {
                Err(RecordRefusal::HashMismatch { path: excerpt(path) })
            }
            _ => Ok(()),
        }
    }

    /// Ends the archive: every line must have met its file.
    pub fn finish(self) -> Result<(), RecordRefusal> {
        let mut absent: Vec<_> =
            self.rows.into_iter().filter(|(_, row)| !row.seen).map(|(path, _)| path).collect();
        absent.sort();
        match absent.first() {
            Some(path) => Err(RecordRefusal::Absent { path: excerpt(path) }),
            None => Ok(()),
        }
    }
}

/// Takes the first CSV field off a line; a quoted one must need its quotes.
fn split_path(line: &str) -> Option<(String, &str)> {
    let Some(quoted) = line.strip_prefix('"') else {
        let (path, rest) = line.split_once(',')?;
        return (!path.is_empty() && !path.contains('"')).then(|| (path.to_owned(), rest));
    };
    let mut path = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        path.push_str(before);
        if let Some(after) = after.strip_prefix('"') {
            path.push('"');
            rest = after;
        } else {
            let needed = path.contains([',', '"']);
            return after.strip_prefix(',').filter(|_| needed).map(|rest| (path, rest));
        }
    }
}

fn parse_hash(path: &str, text: &str) -> Result<Hash, RecordRefusal> {
    let refused = || RecordRefusal::Hash { path: excerpt(path), received: excerpt(text) };
    let (algorithm, encoded) = text.split_once('=').ok_or_else(refused)?;
    let digest = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| refused())?;
    match (algorithm, digest.len()) {
        ("sha256", 32) => Ok(Hash::Sha256(digest)),
        ("sha384", 48) => Ok(Hash::Sha384(digest)),
        ("sha512", 64) => Ok(Hash::Sha512(digest)),
        _ => Err(refused()),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
