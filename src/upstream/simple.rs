//! The page of a project in a simple index: JSON (PEP 691) or HTML (PEP 503).

use std::fmt;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ReadFault;
use super::net::Got;
use crate::domain::digest::Sha256;
use crate::domain::upstream::ObservedFile;

/// Most files of one project read: ten times what the largest projects have.
const FILES_MAX: usize = 100_000;
/// Most attributes of one tag read; an anchor has five.
const ATTRIBUTES_MAX: usize = 32;

/// What a page says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) files: Vec<Link>,
    /// The project status marker (PEP 792); none means active.
    pub(super) project_status: Option<String>,
}

/// A file and where it is, as the page writes it: absolute or relative to the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) file: ObservedFile,
    pub(super) href: String,
    /// Whether it has provenance (PEP 740); none when the page does not say.
    pub(super) provenance: Option<bool>,
}

impl Page {
    /// Reads the body of an answer by its media type.
    pub(super) fn read(got: &Got) -> Result<Self, ReadFault> {
        match got.media_type().as_str() {
            "application/vnd.pypi.simple.v1+json" | "application/json" => {
                from_json(got.json_object()?)
            }
            "application/vnd.pypi.simple.v1+html" | "text/html" => from_html(&got.body),
            other => Err(ReadFault::Malformed(format!("media type {}", other.escape_debug()))),
        }
    }
}

#[derive(Deserialize)]
struct SimplePage<'a> {
    #[serde(borrow)]
    files: SimpleFiles<'a>,
    #[serde(default, rename = "project-status")]
    project_status: SimpleStatus,
}

#[derive(Deserialize)]
struct SimpleFile<'a> {
    filename: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    hashes: SimpleHashes,
    #[serde(borrow)]
    yanked: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "said")]
    provenance: Option<bool>,
}

/// Whether a member that is there is something, which an absent one leaves open.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|value| Some(value.is_some()))
}

/// At most [`FILES_MAX`] files.
struct SimpleFiles<'a>(Vec<SimpleFile<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for SimpleFiles<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = SimpleFiles<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {FILES_MAX} files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(file) = items.next_element()? {
                    if out.len() == FILES_MAX {
                        return Err(A::Error::invalid_length(FILES_MAX + 1, &self));
                    }
                    out.push(file);
                }
                Ok(SimpleFiles(out))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

#[derive(Default, Deserialize)]
struct SimpleHashes {
    sha256: Option<String>,
}

#[derive(Default, Deserialize)]
struct SimpleStatus {
    status: Option<String>,
}

fn from_json(body: &[u8]) -> Result<Page, ReadFault> {
    let page: SimplePage =
        serde_json::from_slice(body).map_err(|error| ReadFault::Malformed(error.to_string()))?;
    let files = page.files.0.into_iter().map(|file| Link {
        href: file.url,
        provenance: file.provenance,
        file: ObservedFile {
            filename: file.filename,
            sha256: file.hashes.sha256.and_then(|text| Sha256::parse_hex(&text).ok()),
            withdrawn: !matches!(file.yanked.map(RawValue::get), None | Some("null" | "false")),
            ..ObservedFile::default()
        },
    });
    let project_status = page.project_status.status.filter(|status| status != "active");
    Ok(Page { files: files.collect(), project_status })
}

/// Reads the anchors of a simple page. Only what PEP 503 needs: no scripts, styles or nesting.
fn from_html(body: &[u8]) -> Result<Page, ReadFault> {
    let mut rest = std::str::from_utf8(body)
        .map_err(|_| ReadFault::Malformed("a simple page that is not UTF-8".into()))?;
    let mut page = Page::default();
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let (tag, after) = read_tag(rest);
        rest = after;
        if tag.name.eq_ignore_ascii_case("a") {
            let text = &rest[..rest.find('<').unwrap_or(rest.len())];
            page.files.extend(anchor(&tag, text));
            if page.files.len() > FILES_MAX {
                return Err(ReadFault::Malformed(format!("expected at most {FILES_MAX} files")));
            }
        } else if tag.name.eq_ignore_ascii_case("meta")
            && tag.value("name") == Some("pypi:project-status")
        {
            let status = tag.value("content").filter(|status| *status != "active");
            page.project_status = status.map(Into::into);
        }
    }
    Ok(page)
}

/// One opening tag.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Tag<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// Reads from after `<` to after `>`; text that never ends is one tag.
fn read_tag(text: &str) -> (Tag<'_>, &str) {
    let name_end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (Tag { name, attributes }, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (Tag { name, attributes }, after);
        }
        // A key has at least one character, whatever it is.
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .map_or(rest.len(), |(end, _)| end);
        let (key, after) = rest.split_at(end);
        let (value, after) = match after.trim_start().strip_prefix('=') {
            Some(value) => read_value(value.trim_start()),
            None => ("", after),
        };
        if attributes.len() < ATTRIBUTES_MAX {
            attributes.push((key, value));
        }
        rest = after;
    }
}

fn read_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote).unwrap_or((inner, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    text.split_at(end)
}

/// The file an anchor stands for: its text, and the digest in its address's fragment.
fn anchor(tag: &Tag<'_>, text: &str) -> Option<Link> {
    let href = unescaped(tag.value("href")?);
    let filename = unescaped(text.trim());
    if filename.is_empty() {
        return None;
    }
    let fragment = href.split_once('#').map(|(_, fragment)| fragment).unwrap_or_default();
    let digest = fragment.split('&').find_map(|item| item.strip_prefix("sha256="));
    let file = ObservedFile {
        filename,
        sha256: digest.and_then(|text| Sha256::parse_hex(text).ok()),
        withdrawn: tag.value("data-yanked").is_some(),
        ..ObservedFile::default()
    };
    // An index need not write the attribute for any file.
    let provenance = tag.value("data-provenance").map(|_| true);
    Some(Link { file, href, provenance })
}

/// The character references that file names and addresses need.
fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x2B;", "+"), ("&#43;", "+")];
    let plain = pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    // Last, so that `&amp;lt;` stays `&lt;`.
    plain.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_html_pages_tell_the_same() {
        let digest = Sha256::of(b"wheel");
        let address = format!("../../a.whl?x=1&y=2#sha256={digest}");
        let json = serde_json::json!({
            "meta": {"api-version": "1.4"}, "name": "hello-wire",
            "project-status": {"status": "quarantined"},
            "files": [
                {"filename": "a.whl", "url": address, "hashes": {"sha256": digest}, "yanked": false,
                 "provenance": "https://index.example/integrity/a.whl"},
                {"filename": "b.whl", "url": "b.whl", "hashes": {}, "yanked": "broken"},
            ],
        });
        let html = format!(
            "<!DOCTYPE html><html><head><META content='quarantined' name=\"pypi:project-status\">\
             </head><body><!-- <a href='c.whl'>c.whl</a> -->\
             <a data-x=\"a>b\" data-provenance=\"p\" HREF=\"../../a.whl?x=1&amp;y=2#sha256={digest}\">a.whl</a><br/>\n\
             <a data-yanked='broken' href=b.whl>b.whl</a></body></html>"
        );
        let of_json = from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(of_json, from_html(html.as_bytes()).unwrap());
        assert_eq!(of_json.project_status.as_deref(), Some("quarantined"));
        let [first, second] = of_json.files.as_slice() else { panic!("two files: {of_json:?}") };
        assert_eq!(first.file.sha256, Some(digest));
        assert!(!first.file.withdrawn && second.file.withdrawn);
        assert_eq!((first.provenance, second.provenance), (Some(true), None));
        let none = from_json(br#"{"files":[{"filename":"a.whl","provenance":null}]}"#).unwrap();
        assert_eq!(none.files[0].provenance, Some(false), "said, and there is none");
    }

    /// Fault U28: a small page cannot grow large in memory.
    #[test]
    fn pages_of_too_many_files_are_refused() {
        let json =
            format!("{{\"files\":[{}]}}", vec![r#"{"filename":"a"}"#; FILES_MAX + 1].join(","));
        assert!(matches!(from_json(json.as_bytes()), Err(ReadFault::Malformed(_))));
        let html = "<a href=a>a</a>".repeat(FILES_MAX + 1);
        assert!(matches!(from_html(html.as_bytes()), Err(ReadFault::Malformed(_))));
        let (tag, rest) =
            read_tag("a x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x>t");
        assert_eq!((tag.attributes.len(), rest), (ATTRIBUTES_MAX, "t"));
    }

    proptest::proptest! {
        /// Fault U28.
        #[test]
        fn no_page_breaks_the_reader(page in "[<>a!\\-='\" /#&;\u{e9}]{0,80}", bytes: Vec<u8>) {
            proptest::prop_assert!(from_html(page.as_bytes()).is_ok());
            let readable = std::str::from_utf8(&bytes).is_ok();
            proptest::prop_assert_eq!(from_html(&bytes).is_ok(), readable);
            proptest::prop_assert!(from_json(&bytes).is_err());
        }
    }
}
