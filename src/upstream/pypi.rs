//! PyPI's protocol: the multipart upload form, and what the simple index lists of a project.

use std::str::FromStr as _;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::ExposeSecret as _;
use url::Url;

use super::body::{Encoding, Parcel};
use super::deliver::{Delivered, Request};
use super::net::{Got, authorize_read, basic};
use super::simple::Page;
use super::{Client, Conditions, ReadFault, Reading, SendFault, Sending};
use crate::domain::artifact::ArtifactKind;
use crate::domain::document::PypiForm;
use crate::domain::listing::{ListedFile, Listing};
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::upstream::{Observation, Outcome};
use crate::entropy;

/// JSON first, HTML for indexes that only have that.
const ACCEPT_SIMPLE: &str = "application/vnd.pypi.simple.v1+json, \
     application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// The user name PyPI gives to tokens.
const TOKEN_USER: &str = "__token__";

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
    let url = address(reading).ok_or(ReadFault::Protocol)?;
    let mut headers = HeaderMap::new();
    let both = HeaderValue::from_static(ACCEPT_SIMPLE);
    headers.insert(ACCEPT, conditions.accept.cloned().unwrap_or(both));
    if let Some(tag) = conditions.if_none_match {
        headers.insert(IF_NONE_MATCH, tag.clone());
    }
    authorize_read(&mut headers, reading.credential, login)?;
    client.get(reading.upstream, url, headers).await
}

/// The header of a read credential, which is `user:password` or a token.
pub(super) fn login(secret: &str) -> Option<HeaderValue> {
    let (user, password) = secret.split_once(':').unwrap_or((TOKEN_USER, secret));
    basic(user, password)
}

fn address(reading: Reading<'_>) -> Option<Url> {
    let page = format!("{}{}/", reading.upstream.read_url(), reading.package.normalized());
    Url::parse(&page).ok()
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
    let page = Page::read(&got)?;
    let mut files: Vec<_> = page.files.into_iter().map(|link| link.file).collect();
    files.retain(|file| is_of(&file.filename, reading.package, version));
    let project_status = page.project_status;
    Ok(Observation { files, project_status, ..Observation::default() })
}

/// Reads which versions there are. Files that are neither wheels nor source archives are left out,
/// and so are versions that are of no public release.
pub(super) async fn listing(client: &Client, reading: Reading<'_>) -> Result<Listing, ReadFault> {
    let got = get(client, reading, Conditions::default()).await?;
    match got.status {
        404 => return Ok(Listing::default()),
        200 => {}
        other => return Err(ReadFault::Malformed(format!("status {other} for a simple page"))),
    }
    let base = address(reading).ok_or(ReadFault::Protocol)?;
    let page = Page::read(&got)?;
    let files = page.files.into_iter().filter_map(|link| {
        let (kind, found) = of_package(&link.file.filename, reading.package)?;
        let version = Version::parse_listed(Ecosystem::Pypi, found).ok()?;
        let url = base.join(&link.href).ok();
        let provenance = link.provenance;
        Some(ListedFile { version, kind, file: link.file, url, provenance })
    });
    let files = files.collect();
    Ok(Listing { files, project_status: page.project_status, ..Listing::default() })
}

/// Which sort of file of this project it is, and the version in its name as it is written there.
fn of_package<'a>(filename: &'a str, package: &PackageName) -> Option<(ArtifactKind, &'a str)> {
    let (kind, (name, version)) = if let Some(stem) = filename.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        (ArtifactKind::Wheel, parts.next().zip(parts.next())?)
    } else {
        let stem = filename.strip_suffix(".tar.gz").or_else(|| filename.strip_suffix(".zip"))?;
        (ArtifactKind::Sdist, stem.rsplit_once('-')?)
    };
    let same_name = PackageName::parse(Ecosystem::Pypi, name).is_ok_and(|name| name == *package);
    same_name.then_some((kind, version))
}

/// True for wheels and source archives of this project and version.
fn is_of(filename: &str, package: &PackageName, version: &Version) -> bool {
    let Some((_, found)) = of_package(filename, package) else {
        return false;
    };
    // Compared as PEP 440 does, because older files spell the same version differently.
    let parsed = |text: &str| pep440_rs::Version::from_str(text).ok();
    found == version.as_str()
        || parsed(found).zip(parsed(version.as_str())).is_some_and(|(a, b)| a == b)
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
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"; x=\"b\r\n"), "a%22; x=%22b%0D%0A");
    }
}
