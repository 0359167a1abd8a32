//! npm's protocol: PUT of the publish document with the tarball as base64, GET of the packument.

use std::collections::BTreeMap;
use std::fmt;

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
use crate::domain::digest::Sha1;
use crate::domain::document::NpmDocument;
use crate::domain::package::{PackageName, Version};
use crate::domain::upstream::{Observation, ObservedFile, Outcome, Upstream, integrity_sha512};

/// Largest `dist-tags` object read, in bytes: thousands of tags.
const TAGS_MAX: usize = 1024 * 1024;

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
    authorize_read(&mut headers, reading.credential, |secret| authorization("Bearer", secret))?;
    client.get(reading.upstream, url, headers).await
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
}

/// Repeated members that matter are refused (U29); unknown members are not looked at.
fn observe(body: &[u8], version: &Version) -> Result<Observation, ReadFault> {
    let malformed = |error: serde_json::Error| ReadFault::Malformed(error.to_string());
    let packument: Packument<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let mut observation = Observation::default();
    if let Some(raw) = packument.dist_tags {
        if raw.get().len() > TAGS_MAX {
            return Err(ReadFault::Malformed(format!("expected dist-tags of {TAGS_MAX} bytes")));
        }
        observation.dist_tags = serde_json::from_str::<Tags>(raw.get()).map_err(malformed)?.0;
    }
    let Some(versions) = packument.versions else {
        return Ok(observation);
    };
    let mut reader = serde_json::Deserializer::from_str(versions.get());
    let Some(raw) = Only(version.as_str()).deserialize(&mut reader).map_err(malformed)? else {
        return Ok(observation);
    };
    let manifest: Manifest<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
    let tarball = manifest.dist.tarball.unwrap_or_default();
    let filename = tarball.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
    let deprecated = manifest.deprecated.map(RawValue::get);
    observation.files.push(ObservedFile {
        filename: filename.unwrap_or_default().to_owned(),
        sha256: None,
        sha512: manifest.dist.integrity.as_deref().and_then(integrity_sha512),
        sha1: manifest.dist.shasum.as_deref().and_then(|text| Sha1::parse_hex(text).ok()),
        withdrawn: !matches!(deprecated, None | Some("null" | "false" | "\"\"")),
    });
    Ok(observation)
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

/// Dist-tags, none of which may repeat.
struct Tags(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of dist-tags")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if out.insert(key, value).is_some() {
                        return Err(A::Error::custom("a repeated dist-tag"));
                    }
                }
                Ok(Tags(out))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Sha512;
    use crate::domain::package::Ecosystem;

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
