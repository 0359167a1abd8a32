//! PyPI's protocol: the multipart upload form, and the simple index in JSON (PEP 691) or HTML
//! (PEP 503) for reading back.

use std::fmt;
use std::str::FromStr as _;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::ExposeSecret as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use super::body::{Encoding, Parcel};
use super::deliver::{Delivered, Request};
use super::net::{Got, authorize_read, basic};
use super::{Client, Conditions, ReadFault, Reading, SendFault, Sending};
use crate::domain::digest::Sha256;
use crate::domain::document::PypiForm;
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::upstream::{Observation, ObservedFile, Outcome};
use crate::entropy;

/// JSON first, HTML for indexes that only have that.
const ACCEPT_SIMPLE: &str = "application/vnd.pypi.simple.v1+json, \
     application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// The user name PyPI gives to tokens.
const TOKEN_USER: &str = "__token__";
/// Most files of one project read: ten times what the largest projects have.
const FILES_MAX: usize = 100_000;
/// Most attributes of one tag read; an anchor has five.
const ATTRIBUTES_MAX: usize = 32;

/// Sends one file with its form.
pub(super) async fn send(
    client: &Client,
    form: &PypiForm,
    sending: Sending<'_>,
) -> Result<Outcome, SendFault> {
    let secret = sending.credential.expose_secret();
    let login = basic(sending.username, secret).ok_or(SendFault::Credential)?;
    let boundary = entropy::opaque_uuid()?.simple().to_string();
    let media_type = format!("multipart/form-data; boundary={boundary}");
    let media_type = HeaderValue::from_str(&media_type)
        .map_err(|error| SendFault::Request(error.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, login);
    headers.insert(CONTENT_TYPE, media_type);
    let parcel = Parcel {
        head: head(form, &boundary).into(),
        tail: Bytes::from(format!("\r\n--{boundary}--\r\n")),
        encoding: Encoding::Plain,
        source: sending.source,
        size: sending.size,
        sha256: sending.sha256,
        progress: sending.progress,
        until: sending.until,
    };
    let url = sending.upstream.url().clone();
    let request = Request { method: Method::POST, url, headers };
    match client.deliver(sending.upstream, request, parcel, sending.credential).await? {
        Delivered::Answer(answer) => Ok(answer.of_pypi()),
        Delivered::Outcome(outcome) => Ok(outcome),
    }
}

/// Everything before the file's bytes (RFC 7578). The boundary is random, so no value holds it.
fn head(form: &PypiForm, boundary: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let mut part = |disposition: String, value: &str| {
        out.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n").as_bytes(),
        );
        out.extend_from_slice(value.as_bytes());
    };
    for (name, value) in form.fields() {
        part(format!("name=\"{}\"", quoted(name)), &format!("\r\n{value}\r\n"));
    }
    let file = format!("name=\"content\"; filename=\"{}\"", quoted(form.filename()));
    part(file, "Content-Type: application/octet-stream\r\n\r\n");
    out
}

/// The escapes browsers use inside a quoted name.
fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// Reads the project's simple page as the publishing client asked for it.
pub(super) async fn get(
    client: &Client,
    reading: Reading<'_>,
    conditions: Conditions<'_>,
) -> Result<Got, ReadFault> {
    let url = format!("{}{}/", reading.upstream.read_url(), reading.package.normalized());
    let url = Url::parse(&url).map_err(|_| ReadFault::Protocol)?;
    let mut headers = HeaderMap::new();
    let both = HeaderValue::from_static(ACCEPT_SIMPLE);
    headers.insert(ACCEPT, conditions.accept.cloned().unwrap_or(both));
    if let Some(tag) = conditions.if_none_match {
        headers.insert(IF_NONE_MATCH, tag.clone());
    }
    authorize_read(&mut headers, reading.credential, |secret| {
        let (user, password) = secret.split_once(':').unwrap_or((TOKEN_USER, secret));
        basic(user, password)
    })?;
    client.get(reading.upstream, url, headers).await
}

/// Reads which files of one version the index lists.
pub(super) async fn read_back(
    client: &Client,
    reading: Reading<'_>,
    version: &Version,
) -> Result<Observation, ReadFault> {
    let got = get(client, reading, Conditions::default()).await?;
    match got.status {
        404 => return Ok(Observation::default()),
        200 => {}
        other => return Err(ReadFault::Malformed(format!("status {other} for a simple page"))),
    }
    let mut observation = match got.media_type().as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => {
            from_json(got.json_object()?)?
        }
        "application/vnd.pypi.simple.v1+html" | "text/html" => from_html(&got.body)?,
        other => return Err(ReadFault::Malformed(format!("media type {}", quoted(other)))),
    };
    observation.files.retain(|file| is_of(&file.filename, reading.package, version));
    Ok(observation)
}

/// True for wheels and source archives of this project and version.
fn is_of(filename: &str, package: &PackageName, version: &Version) -> bool {
    let parts = if let Some(stem) = filename.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        parts.next().zip(parts.next())
    } else {
        let stem = filename.strip_suffix(".tar.gz").or_else(|| filename.strip_suffix(".zip"));
        stem.and_then(|stem| stem.rsplit_once('-'))
    };
    let Some((name, found)) = parts else {
        return false;
    };
    let same_name = PackageName::parse(Ecosystem::Pypi, name).is_ok_and(|name| name == *package);
    // Compared as PEP 440 does, because older files spell the same version differently.
    let parsed = |text: &str| pep440_rs::Version::from_str(text).ok();
    let same_version = found == version.as_str()
        || parsed(found).zip(parsed(version.as_str())).is_some_and(|(a, b)| a == b);
    same_name && same_version
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
    hashes: SimpleHashes,
    #[serde(borrow)]
    yanked: Option<&'a RawValue>,
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

fn from_json(body: &[u8]) -> Result<Observation, ReadFault> {
    let page: SimplePage =
        serde_json::from_slice(body).map_err(|error| ReadFault::Malformed(error.to_string()))?;
    let files = page.files.0.into_iter().map(|file| ObservedFile {
        filename: file.filename,
        sha256: file.hashes.sha256.and_then(|text| Sha256::parse_hex(&text).ok()),
        withdrawn: !matches!(file.yanked.map(RawValue::get), None | Some("null" | "false")),
        ..ObservedFile::default()
    });
    let project_status = page.project_status.status.filter(|status| status != "active");
    Ok(Observation { files: files.collect(), project_status, ..Observation::default() })
}

/// Reads the anchors of a simple page. Only what PEP 503 needs: no scripts, styles or nesting.
fn from_html(body: &[u8]) -> Result<Observation, ReadFault> {
    let page = std::str::from_utf8(body)
        .map_err(|_| ReadFault::Malformed("a simple page that is not UTF-8".into()))?;
    let mut observation = Observation::default();
    let mut rest = page;
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
            observation.files.extend(anchor(&tag, text));
            if observation.files.len() > FILES_MAX {
                return Err(ReadFault::Malformed(format!("expected at most {FILES_MAX} files")));
            }
        } else if tag.name.eq_ignore_ascii_case("meta")
            && tag.value("name") == Some("pypi:project-status")
        {
            let status = tag.value("content").filter(|status| *status != "active");
            observation.project_status = status.map(Into::into);
        }
    }
    Ok(observation)
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
fn anchor(tag: &Tag<'_>, text: &str) -> Option<ObservedFile> {
    let href = unescaped(tag.value("href")?);
    let filename = unescaped(text.trim());
    if filename.is_empty() {
        return None;
    }
    let fragment = href.split_once('#').map(|(_, fragment)| fragment).unwrap_or_default();
    let digest = fragment.split('&').find_map(|item| item.strip_prefix("sha256="));
    Some(ObservedFile {
        filename,
        sha256: digest.and_then(|text| Sha256::parse_hex(text).ok()),
        withdrawn: tag.value("data-yanked").is_some(),
        ..ObservedFile::default()
    })
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

    fn package() -> PackageName {
        PackageName::parse(Ecosystem::Pypi, "hello-wire").unwrap()
    }

    fn version() -> Version {
        Version::parse(Ecosystem::Pypi, "1.0.0").unwrap()
    }

    #[test]
    fn files_belong_to_a_version_by_their_name() {
        for name in [
            "hello_wire-1.0.0-py3-none-any.whl",
            "hello_wire-1.0.0-1-cp312-cp312-linux_x86_64.whl",
            "Hello.Wire-1.0-py3-none-any.whl",
            "hello_wire-1.0.0.tar.gz",
            "hello-wire-1.0.0.zip",
        ] {
            assert!(is_of(name, &package(), &version()), "{name}");
        }
        for name in [
            "hello_wire-1.0.1-py3-none-any.whl",
            "hello_wire-1.0.0rc1.tar.gz",
            "hello_wire_extra-1.0.0.tar.gz",
            "hello_wire-1.0.0.exe",
            "hello_wire",
            "",
        ] {
            assert!(!is_of(name, &package(), &version()), "{name}");
        }
    }

    #[test]
    fn json_and_html_pages_tell_the_same() {
        let digest = Sha256::of(b"wheel");
        let json = serde_json::json!({
            "meta": {"api-version": "1.4"}, "name": "hello-wire",
            "project-status": {"status": "quarantined"},
            "files": [
                {"filename": "a.whl", "url": "x", "hashes": {"sha256": digest}, "yanked": false},
                {"filename": "b.whl", "url": "x", "hashes": {}, "yanked": "broken"},
            ],
        });
        let html = format!(
            "<!DOCTYPE html><html><head><META content='quarantined' name=\"pypi:project-status\">\
             </head><body><!-- <a href='c.whl'>c.whl</a> -->\
             <a data-x=\"a>b\" HREF=\"../../a.whl?x=1&amp;y=2#sha256={digest}\">a.whl</a><br/>\n\
             <a data-yanked='broken' href=b.whl>b.whl</a></body></html>"
        );
        let of_json = from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(of_json, from_html(html.as_bytes()).unwrap());
        assert_eq!(of_json.project_status.as_deref(), Some("quarantined"));
        assert_eq!(of_json.files[0].sha256, Some(digest));
        assert!(!of_json.files[0].withdrawn && of_json.files[1].withdrawn);
        assert_eq!(of_json.files.len(), 2);
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

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"; x=\"b\r\n"), "a%22; x=%22b%0D%0A");
    }
}
