//! Core metadata: the strict subset of RFC 822 headers that every reader parses alike (P5, P24).

use crate::domain::package::excerpt;

/// Why a metadata file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRefusal {
    /// Not UTF-8.
    #[error("expected metadata in UTF-8, received other bytes at offset {offset}")]
    NotUtf8 {
        /// Where the first bad byte is, counted from 0.
        offset: usize,
    },
    /// NUL, a lone carriage return or another control character among the headers, or NUL below.
    #[error("expected metadata without control characters, received `{received}`")]
    Control {
        /// The line, escaped and cut.
        received: String,
    },
    /// A header line that is no `Name: value`.
    #[error("expected a header like `Name: value`, received `{received}`")]
    Header {
        /// The line, escaped and cut.
        received: String,
    },
    /// A continuation line where readers disagree about its meaning.
    #[error("expected `{field}` on one line, received a folded value")]
    Folded {
        /// The field.
        field: String,
    },
    /// A single-use field twice, or the description in header and body.
    #[error("expected `{field}` once, received it twice")]
    Twice {
        /// The field.
        field: String,
    },
    /// A required field is absent or empty.
    #[error("expected a `{field}` field, received none")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A metadata version nobody defined (P12).
    #[error("expected a metadata version from 1.0 to 2.5, received `{received}`")]
    Version {
        /// What came, escaped and cut.
        received: String,
    },
    /// The body starts with a line that looks like a field: some readers would take it for one.
    #[error(
        "expected the description to start with text, received the field-like line `{received}`"
    )]
    HeaderInBody {
        /// The line, escaped and cut.
        received: String,
    },
    /// A summary longer than PyPI stores (P11).
    #[error("expected a summary of at most 512 characters, received {length}")]
    Summary {
        /// The length in characters.
        length: usize,
    },
    /// A dependency fetched from an address, which PyPI refuses (P25).
    #[error(
        "expected dependencies by name and version, received the direct reference `{received}`"
    )]
    DirectReference {
        /// The requirement, escaped and cut.
        received: String,
    },
    /// A field longer than 4,096 bytes that has no reason to be.
    #[error("expected at most 4096 bytes in `{field}`, received {length}")]
    TooLong {
        /// The field.
        field: String,
        /// The length in bytes.
        length: usize,
    },
}

/// Fields that may be used once, in the specification's spelling.
const SINGLE: [&str; 16] = [
    "Metadata-Version",
    "Name",
    "Version",
    "Summary",
    "Description",
    "Description-Content-Type",
    "Keywords",
    "Home-page",
    "Download-URL",
    "Author",
    "Author-email",
    "Maintainer",
    "Maintainer-email",
    "License",
    "License-Expression",
    "Requires-Python",
];
/// The other fields of the specification.
const MULTIPLE: [&str; 17] = [
    "Dynamic",
    "Platform",
    "Supported-Platform",
    "Classifier",
    "Requires-Dist",
    "Requires-External",
    "Project-URL",
    "Provides-Extra",
    "Provides-Dist",
    "Obsoletes-Dist",
    "License-File",
    "Requires",
    "Provides",
    "Obsoletes",
    "Import-Name",
    "Import-Namespace",
    "Extension",
];
/// Fields whose value may run over several lines: free text that installers never act on.
const FOLDABLE: [&str; 6] =
    ["Description", "License", "Keywords", "Author", "Maintainer", "Classifier"];
/// Fields that decide what is installed; a body starting with one is refused.
const DECIDING: [&str; 6] =
    ["Metadata-Version", "Name", "Version", "Requires-Dist", "Requires-Python", "Provides-Extra"];
const VERSIONS: [&str; 8] = ["1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5"];
/// Bytes of one value outside the free-text fields.
const VALUE_MAX: usize = 4096;
/// Characters of a summary, as PyPI limits it.
const SUMMARY_MAX: usize = 512;

/// The header fields and body of METADATA or PKG-INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Fields in file order, names as the specification writes them, `Description` excepted.
    pub fields: Vec<(String, String)>,
    /// The body or the `Description` field.
    pub description: Option<String>,
    name: String,
    version: String,
}

impl Metadata {
    /// Parses and checks a whole core metadata file.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataRefusal> {
        let (mut fields, body) = headers(bytes)?;
        for (at, (field, value)) in fields.iter().enumerate() {
            let free = FOLDABLE.contains(&field.as_str());
            if SINGLE.contains(&field.as_str()) && fields[..at].iter().any(|(f, _)| f == field) {
                return Err(MetadataRefusal::Twice { field: field.clone() });
            }
            if !free && value.contains('\n') {
                return Err(MetadataRefusal::Folded { field: field.clone() });
            }
            if !free && value.len() > VALUE_MAX {
                let (field, length) = (field.clone(), value.len());
                return Err(MetadataRefusal::TooLong { field, length });
            }
        }
        if let Some(line) = body.lines().next().filter(|line| looks_like_field(line)) {
            return Err(MetadataRefusal::HeaderInBody { received: excerpt(line) });
        }
        let required = |field| value_of(&fields, field).ok_or(MetadataRefusal::Missing { field });
        let metadata_version = required("Metadata-Version")?;
        if !VERSIONS.contains(&metadata_version) {
            return Err(MetadataRefusal::Version { received: excerpt(metadata_version) });
        }
        let (name, version) = (required("Name")?.to_owned(), required("Version")?.to_owned());
        let length = value_of(&fields, "Summary").map_or(0, |summary| summary.chars().count());
        if length > SUMMARY_MAX {
            return Err(MetadataRefusal::Summary { length });
        }
        let direct = fields.iter().find(|(f, v)| f == "Requires-Dist" && is_direct_reference(v));
        if let Some((_, requirement)) = direct {
            return Err(MetadataRefusal::DirectReference { received: excerpt(requirement) });
        }
        let in_header = fields.iter().position(|(field, _)| field == "Description");
        let description = match (in_header, body.is_empty()) {
            (Some(_), false) => {
                return Err(MetadataRefusal::Twice { field: "Description".to_owned() });
            }
            (Some(at), true) => Some(dedent(&fields.remove(at).1)),
            (None, false) => Some(body),
            (None, true) => None,
        };
        Ok(Self { fields, description, name, version })
    }

    /// `Name` as written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `Version` as written.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Splits a file into header fields and body; also reads WHEEL, which has headers only.
pub(super) fn headers(bytes: &[u8]) -> Result<(Vec<(String, String)>, String), MetadataRefusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| MetadataRefusal::NotUtf8 { offset: error.valid_up_to() })?;
    let text = text.replace("\r\n", "\n");
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        if line.is_empty() {
            break;
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(MetadataRefusal::Control { received: excerpt(line) });
        }
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = fields.last_mut() else {
                return Err(MetadataRefusal::Header { received: excerpt(line) });
            };
            value.push('\n');
            value.push_str(line);
        } else {
            fields.push(header(line)?);
        }
    }
    if rest.contains('\0') {
        return Err(MetadataRefusal::Control { received: "\\u{0}".to_owned() });
    }
    Ok((fields, rest.to_owned()))
}

fn header(line: &str) -> Result<(String, String), MetadataRefusal> {
    let refused = || MetadataRefusal::Header { received: excerpt(line) };
    let (name, value) = line.split_once(':').ok_or_else(refused)?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(refused());
    }
    let known = SINGLE.iter().chain(&MULTIPLE).find(|known| known.eq_ignore_ascii_case(name));
    Ok((known.map_or(name, |known| known).to_owned(), value.trim().to_owned()))
}

fn value_of<'f>(fields: &'f [(String, String)], field: &str) -> Option<&'f str> {
    let value = fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str());
    value.filter(|value| !value.is_empty())
}

fn looks_like_field(line: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(name, _)| DECIDING.iter().any(|field| field.eq_ignore_ascii_case(name)))
}

/// PEP 508's `name [extras] @ url`.
fn is_direct_reference(requirement: &str) -> bool {
    let before_marker = requirement.split(';').next().unwrap_or(requirement);
    before_marker.contains('@')
}

/// Removes the indentation writers put before the lines of a folded description.
fn dedent(value: &str) -> String {
    let lines = value.split('\n').map(|line| {
        let line = line.strip_prefix("        ").unwrap_or(line);
        line.strip_prefix("       |").unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &[u8]) -> MetadataRefusal {
        Metadata::parse(text).unwrap_err()
    }

    const HEAD: &str = "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n";

    #[test]
    fn fields_keep_their_order_and_the_body_is_the_description() {
        let text =
            format!("{HEAD}classifier: X\nLicense: MIT\n        more\n\nHello\r\n\nname: x\n");
        let metadata = Metadata::parse(text.as_bytes()).unwrap();
        assert_eq!((metadata.name(), metadata.version()), ("a", "1.0"));
        assert_eq!(metadata.fields[3], ("Classifier".to_owned(), "X".to_owned()));
        assert_eq!(metadata.fields[4].1, "MIT\n        more");
        assert_eq!(metadata.description.as_deref(), Some("Hello\n\nname: x\n"));
        let crlf = HEAD.replace('\n', "\r\n");
        assert_eq!(Metadata::parse(crlf.as_bytes()).unwrap().description, None);
    }

    /// Rows P11, P12, P24, P25.
    #[test]
    fn headers_that_readers_parse_differently_are_refused() {
        type Check = fn(&MetadataRefusal) -> bool;
        let cases: [(&str, Check); 17] = [
            ("Name: b\n", |r| matches!(r, MetadataRefusal::Twice { .. })),
            ("name: b\n", |r| matches!(r, MetadataRefusal::Twice { .. })),
            ("Summary: x\0y\n", |r| matches!(r, MetadataRefusal::Control { .. })),
            ("Summary: x\rName: b\n", |r| matches!(r, MetadataRefusal::Control { .. })),
            ("\nbody\0\n", |r| matches!(r, MetadataRefusal::Control { .. })),
            ("Summary: x\n y\n", |r| matches!(r, MetadataRefusal::Folded { .. })),
            ("Requires-Dist: x\n\t>1\n", |r| matches!(r, MetadataRefusal::Folded { .. })),
            ("no colon\n", |r| matches!(r, MetadataRefusal::Header { .. })),
            ("Na me: x\n", |r| matches!(r, MetadataRefusal::Header { .. })),
            ("Name : x\n", |r| matches!(r, MetadataRefusal::Header { .. })),
            (": x\n", |r| matches!(r, MetadataRefusal::Header { .. })),
            ("\nRequires-Dist: evil\n", |r| matches!(r, MetadataRefusal::HeaderInBody { .. })),
            ("Description: x\n\nbody\n", |r| matches!(r, MetadataRefusal::Twice { .. })),
            ("Requires-Dist: x @ file:///x\n", |r| {
                matches!(r, MetadataRefusal::DirectReference { .. })
            }),
            ("Requires-Dist: x[a]@git+ssh://h/x ; os_name == 'a'\n", |r| {
                matches!(r, MetadataRefusal::DirectReference { .. })
            }),
            ("Requires-Python: \u{7f}\n", |r| matches!(r, MetadataRefusal::Control { .. })),
            (" x\n", |r| matches!(r, MetadataRefusal::Folded { field } if field == "Version")),
        ];
        for (tail, expected) in cases {
            let refused = refusal(format!("{HEAD}{tail}").as_bytes());
            assert!(expected(&refused), "{tail:?}: {refused:?}");
        }
        assert!(matches!(refusal(b" x\nName: a"), MetadataRefusal::Header { .. }));
        assert!(matches!(refusal(b"Name: \xe9\n"), MetadataRefusal::NotUtf8 { offset: 6 }));
        assert!(matches!(refusal(b"Name: a\nVersion: 1\n"), MetadataRefusal::Missing { .. }));
        assert!(matches!(
            refusal(b"Metadata-Version: 9.9\nName: a\nVersion: 1\n"),
            MetadataRefusal::Version { .. }
        ));
        let long = format!("{HEAD}Summary: {}\n", "x".repeat(513));
        assert_eq!(refusal(long.as_bytes()), MetadataRefusal::Summary { length: 513 });
        let long = format!("Metadata-Version: 2.1\nName: {}\nVersion: 1\n", "x".repeat(5000));
        assert!(matches!(refusal(long.as_bytes()), MetadataRefusal::TooLong { length: 5000, .. }));
    }
}
