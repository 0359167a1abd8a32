//! npm's protocol: PUT of the publish document with the tarball as base64, GET of the packument.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use super::body::{Encoding, Parcel};
use super::deliver::{Delivered, Request};
use super::net::{Got, authorization, authorize_read};
use super::{Client, Conditions, ReadFault, Reading, SendFault, Sending};
use crate::domain::artifact::ArtifactKind;
use crate::domain::digest::Sha1;
use crate::domain::document::NpmDocument;
use crate::domain::listing::{ListedFile, Listing};
use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::upstream::{Observation, ObservedFile, Outcome, Upstream, integrity_sha512};

/// Largest `dist-tags` object read, in bytes: thousands of tags.
const TAGS_MAX: usize = 1024 * 1024;
/// Most versions or dist-tags of a package read: ten times what the largest packages have.
const MEMBERS_MAX: usize = 100_000;
/// What installers ask for, and the whole packument from registries that only have that.
const ACCEPT_SHORT: &str = "application/vnd.npm.install-v1+json, application/json;q=0.8";

/// Sends the document with the tarball in it.
pub(super) async fn send(
    client: &Client,
    package: &PackageName,
    document: &NpmDocument,
    sending: Sending<'_>,
) -> Result<Outcome, SendFault> {
    let address = address(sending.upstream, package);
    let url = address.ok_or_else(|| SendFault::Request("the address is not valid".into()))?;
    let secret = sending.credential.expose_secret();
    let bearer = authorization("Bearer", secret).ok_or(SendFault::Credential)?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, bearer);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("npm-command"), HeaderValue::from_static("publish"));
    headers.insert(HeaderName::from_static("npm-auth-type"), HeaderValue::from_static("web"));
    let parcel = Parcel {
        head: Bytes::copy_from_slice(document.prefix()),
        tail: Bytes::copy_from_slice(document.suffix()),
        encoding: Encoding::Base64,
        source: sending.source,
        size: sending.size,
        sha256: sending.sha256,
        progress: sending.progress,
        until: sending.until,
    };
    let request = Request { method: http::Method::PUT, url, headers };
    match client.deliver(sending.upstream, request, parcel, sending.credential).await? {
        Delivered::Answer(answer) => Ok(answer.of_npm()),
        Delivered::Outcome(outcome) => Ok(outcome),
    }
}

fn address(upstream: &Upstream, package: &PackageName) -> Option<Url> {
    Url::parse(&format!("{}{}", upstream.url(), package.npm_escaped())).ok()
}

/// Reads the packument as the publishing client asked for it.
pub(super) async fn get(
    client: &Client,
    reading: Reading<'_>,
    conditions: Conditions<'_>,
) -> Result<Got, ReadFault> {
    let url = address(reading.upstream, reading.package).ok_or(ReadFault::Protocol)?;
    let mut headers = HeaderMap::new();
    let full = HeaderValue::from_static("application/json");
    headers.insert(ACCEPT, conditions.accept.cloned().unwrap_or(full));
    if let Some(tag) = conditions.if_none_match {
        headers.insert(IF_NONE_MATCH, tag.clone());
    }
    authorize_read(&mut headers, reading.credential, login)?;
    client.get(reading.upstream, url, headers).await
}

/// The header of a read credential, which is a token.
pub(super) fn login(secret: &str) -> Option<HeaderValue> {
    authorization("Bearer", secret)
}

/// Reads what the registry holds of one version.
pub(super) async fn read_back(
    client: &Client,
    reading: Reading<'_>,
    version: &Version,
) -> Result<Observation, ReadFault> {
    let got = get(client, reading, Conditions::default()).await?;
    match got.status {
        404 => Ok(Observation::default()),
        200 => observe(got.json_object()?, version),
        other => Err(ReadFault::Malformed(format!("status {other} for a packument"))),
    }
}

/// The members of a packument that are read; all others pass unread.
#[derive(Deserialize)]
struct Packument<'a> {
    #[serde(borrow)]
    versions: Option<&'a RawValue>,
    #[serde(borrow, rename = "dist-tags")]
    dist_tags: Option<&'a RawValue>,
}

impl Packument<'_> {
    fn tags(&self) -> Result<BTreeMap<String, String>, ReadFault> {
        let Some(raw) = self.dist_tags else { return Ok(BTreeMap::new()) };
        if raw.get().len() > TAGS_MAX {
            return Err(ReadFault::Malformed(format!("expected dist-tags of {TAGS_MAX} bytes")));
        }
        let tags = serde_json::from_str::<Tags>(raw.get());
        tags.map(|tags| tags.0).map_err(|error| ReadFault::Malformed(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(default)]
    dist: Dist,
    #[serde(borrow)]
    deprecated: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Dist {
    integrity: Option<String>,
    shasum: Option<String>,
    tarball: Option<String>,
    attestations: Option<IgnoredAny>,
}

/// Repeated members that matter are refused (U29); unknown members are not looked at.
fn observe(body: &[u8], version: &Version) -> Result<Observation, ReadFault> {
    let malformed = |error: serde_json::Error| ReadFault::Malformed(error.to_string());
    let packument: Packument<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let mut observation = Observation { dist_tags: packument.tags()?, ..Observation::default() };
    let Some(versions) = packument.versions else {
        return Ok(observation);
    };
    let mut reader = serde_json::Deserializer::from_str(versions.get());
    let Some(raw) = Only(version.as_str()).deserialize(&mut reader).map_err(malformed)? else {
        return Ok(observation);
    };
    let manifest: Manifest<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
    observation.files.push(manifest.file());
    Ok(observation)
}

impl Manifest<'_> {
    fn file(&self) -> ObservedFile {
        let tarball = self.dist.tarball.as_deref().unwrap_or_default();
        let filename = tarball.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
        let deprecated = self.deprecated.map(RawValue::get);
        ObservedFile {
            filename: filename.unwrap_or_default().to_owned(),
            sha256: None,
            sha512: self.dist.integrity.as_deref().and_then(integrity_sha512),
            sha1: self.dist.shasum.as_deref().and_then(|text| Sha1::parse_hex(text).ok()),
            withdrawn: !matches!(deprecated, None | Some("null" | "false" | "\"\"")),
        }
    }
}

/// Reads which versions there are. What installers read is asked for: it is a part of the whole
/// packument, which can be too large.
pub(super) async fn listing(client: &Client, reading: Reading<'_>) -> Result<Listing, ReadFault> {
    let short = HeaderValue::from_static(ACCEPT_SHORT);
    let conditions = Conditions { accept: Some(&short), if_none_match: None };
    let got = get(client, reading, conditions).await?;
    match got.status {
        404 => Ok(Listing::default()),
        200 => list(got.json_object()?, reading.upstream.url()),
        other => Err(ReadFault::Malformed(format!("status {other} for a packument"))),
    }
}

/// Versions that npm would not take today are left out: nobody who may release one of those is
/// compared with them.
fn list(body: &[u8], base: &Url) -> Result<Listing, ReadFault> {
    let malformed = |error: serde_json::Error| ReadFault::Malformed(error.to_string());
    let packument: Packument<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let dist_tags = packument.tags()?;
    let Some(versions) = packument.versions else {
        return Ok(Listing { dist_tags, ..Listing::default() });
    };
    let mut files = Vec::new();
    for (text, raw) in serde_json::from_str::<Versions<'_>>(versions.get()).map_err(malformed)?.0 {
        let Ok(version) = Version::parse_listed(Ecosystem::Npm, &text) else { continue };
        let manifest: Manifest<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
        let url = manifest.dist.tarball.as_deref().and_then(|address| base.join(address).ok());
        let kind = ArtifactKind::NpmTarball;
        let provenance = Some(manifest.dist.attestations.is_some());
        files.push(ListedFile { version, kind, file: manifest.file(), url, provenance });
    }
    Ok(Listing { files, dist_tags, project_status: None })
}

/// Picks one member of an object, which may not repeat: two entries for one version would be two
/// truths. All others are skipped without being kept, so that a page of nothing but keys costs no
/// memory.
struct Only<'w>(&'w str);

impl<'de> DeserializeSeed<'de> for Only<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Only<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of versions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a repeated version"));
            }
        }
        Ok(found)
    }
}

/// An object of at most [`MEMBERS_MAX`] members, none of which may repeat.
struct Members<V>(BTreeMap<String, V>);

/// What dist-tags point at.
type Tags = Members<String>;
/// What is said of each version.
type Versions<'a> = Members<&'a RawValue>;

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Once<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {MEMBERS_MAX} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if out.len() == MEMBERS_MAX {
                        return Err(A::Error::invalid_length(MEMBERS_MAX + 1, &self));
                    }
                    if out.insert(key, value).is_some() {
                        return Err(A::Error::custom("a repeated version or dist-tag"));
                    }
                }
                Ok(Members(out))
            }
        }
        deserializer.deserialize_map(Once(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Sha512;

    fn version() -> Version {
        Version::parse(Ecosystem::Npm, "1.0.0").unwrap()
    }

    #[test]
    fn a_packument_tells_digests_tags_and_deprecation() {
        let sha512 = Sha512::from_bytes([7; 64]);
        let body = serde_json::json!({
            "name": "x", "dist-tags": {"latest": "1.0.0"}, "time": {"a": [1]},
            "versions": {
                "0.9.0": {"dist": 5},
                "1.0.0": {"deprecated": "old", "dist": {
                    "integrity": format!("sha512-{}", sha512.to_base64()), "shasum": "06".repeat(20),
                    "tarball": "https://registry.example/x/-/x-1.0.0.tgz?a=/b",
                }},
            },
        });
        let seen = observe(body.to_string().as_bytes(), &version()).unwrap();
        assert_eq!(seen.dist_tags["latest"], "1.0.0");
        let [file] = seen.files.as_slice() else { panic!("one file: {seen:?}") };
        assert_eq!(file.filename, "x-1.0.0.tgz");
        assert_eq!(file.sha512, Some(sha512));
        assert_eq!(file.sha1, Some(Sha1::from_bytes([6; 20])));
        assert!(file.withdrawn);
    }

    #[test]
    fn a_listing_has_every_version_that_can_be_released_with_its_address() {
        let body = serde_json::json!({
            "dist-tags": {"latest": "1.0.0"},
            "versions": {
                "1.0.0": {"dist": {"tarball": "/x/-/x-1.0.0.tgz", "shasum": "06".repeat(20)}},
                "1.1.0": {"dist": {"tarball": "https://files.example/x-1.1.0.tgz?a"}},
                "1.2.0": {},
                "1.2.0+build": {"dist": 5},
            },
        });
        let base = Url::parse("https://registry.example/npm/").unwrap();
        let listing = list(body.to_string().as_bytes(), &base).unwrap();
        let found: Vec<_> = listing
            .files
            .iter()
            .map(|it| (it.version.as_str(), it.url.as_ref().map_or("", Url::as_str)))
            .collect();
        assert_eq!(
            found,
            [
                ("1.0.0", "https://registry.example/x/-/x-1.0.0.tgz"),
                ("1.1.0", "https://files.example/x-1.1.0.tgz?a"),
                ("1.2.0", ""),
            ]
        );
        assert_eq!(listing.files[0].file.sha1, Some(Sha1::from_bytes([6; 20])));
        assert_eq!(listing.dist_tags["latest"], "1.0.0");
        for body in [
            r#"{"versions":{"1.0.0":{},"1.0.0":{}}}"#,
            r#"{"versions":{"1.0.0":{"dist":5}}}"#,
            r#"{"dist-tags":{"a":"1.0.0","a":"2.0.0"}}"#,
        ] {
            let refused = list(body.as_bytes(), &base);
            assert!(matches!(refused, Err(ReadFault::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn a_version_that_is_not_listed_has_no_files() {
        let seen = observe(br#"{"versions":{"2.0.0":{}}}"#, &version()).unwrap();
        assert_eq!(seen, Observation::default());
        assert_eq!(observe(b"{}", &version()).unwrap(), Observation::default());
    }

    /// Fault U29.
    #[test]
    fn repeated_keys_wrong_types_and_bad_text_are_refused() {
        let bodies: [&[u8]; 5] = [
            br#"{"versions":{"1.0.0":{},"1.0.0":{}}}"#,
            br#"{"versions":{},"versions":{}}"#,
            br#"{"dist-tags":{"latest":"1.0.0","latest":"2.0.0"}}"#,
            br#"{"dist-tags":{"latest":5}}"#,
            b"{\"dist-tags\":{\"latest\":\"\xff\"}}",
        ];
        for body in bodies {
            let refused = observe(body, &version());
            assert!(matches!(refused, Err(ReadFault::Malformed(_))));
        }
    }

    /// Fault U29: what is not read may nest; what is read may not.
    #[test]
    fn deep_nesting_is_skipped_or_refused_without_overflow() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let beside = format!(r#"{{"readme":{deep},"dist-tags":{{"latest":"1.0.0"}}}}"#);
        assert_eq!(observe(beside.as_bytes(), &version()).unwrap().dist_tags.len(), 1);
        let odd = format!(r#"{{"versions":{{"1.0.0":{{"deprecated":{deep}}}}}}}"#);
        assert!(observe(odd.as_bytes(), &version()).unwrap().files[0].withdrawn);
        let inside = format!(r#"{{"versions":{{"1.0.0":{{"dist":{{"integrity":{deep}}}}}}}}}"#);
        assert!(matches!(observe(inside.as_bytes(), &version()), Err(ReadFault::Malformed(_))));
    }
}
