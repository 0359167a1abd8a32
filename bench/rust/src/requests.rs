//! The requests that npm and twine make for an archive.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::archive::Archive;

/// One request in three parts; only the first and the last belong to this request alone.
pub struct Upload<'a> {
    pub method: &'static str,
    /// Below the registry's base for npm; the upload address itself for PyPI.
    pub path: String,
    pub content_type: String,
    pub parts: [std::borrow::Cow<'a, [u8]>; 3],
    /// Size of the archive, without what is around it.
    pub archive_bytes: usize,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

const CONTENT_TYPE: &str = "application/octet-stream";
const BOUNDARY: &str = "countersign-bench-8d1f2c3b4a596877";

/// The document that `npm publish` puts.
pub fn npm<'a>(archive: &'a Archive, registry: &str, name: &str, version: &str) -> Upload<'a> {
    let (end, digests) = archive.end(name, version);
    let archive_bytes = archive.beginning().len() + end.len();
    let file = format!("{name}-{version}.tgz");
    let mut manifest = package_json(name, version);
    manifest["_id"] = format!("{name}@{version}").into();
    manifest["_nodeVersion"] = "24.21.0".into();
    manifest["_npmVersion"] = "12.2.0".into();
    manifest["dist"] = json!({
        "integrity": format!("sha512-{}", digests.sha512),
        "shasum": digests.sha1,
        "tarball": format!("{registry}/{name}/-/{file}"),
    });
    let head = json!({
        "_id": name,
        "name": name,
        "description": "benchmark package",
        "dist-tags": { "latest": version },
        "versions": { version: manifest },
        "access": null,
    });
    let mut head = head.to_string();
    // The attachment comes last and is too large to be a value: open the object again.
    head.pop();
    head += &format!(
        ",\"_attachments\":{{\"{file}\":{{\"content_type\":\"{CONTENT_TYPE}\",\"data\":\""
    );
    let mut tail = base64_simd::STANDARD.encode_to_string(&end).into_bytes();
    tail.extend_from_slice(format!("\",\"length\":{archive_bytes}}}}}}}").as_bytes());
    Upload {
        method: "PUT",
        path: format!("/{name}"),
        content_type: "application/json".to_owned(),
        parts: [
            head.into_bytes().into(),
            archive.beginning_base64().as_bytes().into(),
            tail.into(),
        ],
        archive_bytes,
        sha256: digests.sha256,
    }
}

/// The form that twine posts.
pub fn pypi<'a>(archive: &'a Archive, path: &str, name: &str, version: &str) -> Upload<'a> {
    let (mut tail, digests) = archive.end(name, version);
    let archive_bytes = archive.beginning().len() + tail.len();
    let mut head = Vec::with_capacity(4_096);
    let fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("name", name),
        ("version", version),
        ("filetype", "bdist_wheel"),
        ("pyversion", "py3"),
        ("metadata_version", "2.1"),
        ("summary", "benchmark package"),
        ("author", "bench"),
        ("license", "MIT"),
        ("requires_python", ">=3.8"),
        ("sha256_digest", &digests.sha256),
        ("blake2_256_digest", &digests.blake2b),
    ];
    for (field, value) in fields {
        part(&mut head, &format!("name=\"{field}\"\r\n"));
        head.extend_from_slice(format!("{value}\r\n").as_bytes());
    }
    let file = format!("{}-{version}-py3-none-any.whl", name.replace('-', "_"));
    let disposition = format!("name=\"content\"; filename=\"{file}\"\r\n");
    part(&mut head, &format!("{disposition}Content-Type: {CONTENT_TYPE}\r\n"));
    tail.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    Upload {
        method: "POST",
        path: path.to_owned(),
        content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
        parts: [head.into(), archive.beginning().into(), tail.into()],
        archive_bytes,
        sha256: digests.sha256,
    }
}

/// The `package.json` inside every benchmark tarball.
pub fn package_json(name: &str, version: &str) -> Value {
    json!({
        "name": name,
        "version": version,
        "description": "benchmark package",
        "main": "lib/file-00000.js",
        "license": "MIT",
        "scripts": { "test": "node test.js" },
        "keywords": ["bench"],
    })
}

/// The METADATA inside every benchmark wheel.
pub fn core_metadata(name: &str, version: &str) -> String {
    format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: benchmark package\n\
         Author: bench\nLicense: MIT\nRequires-Python: >=3.8\n"
    )
}

fn part(head: &mut Vec<u8>, rest: &str) {
    write!(head, "--{BOUNDARY}\r\nContent-Disposition: form-data; {rest}\r\n").expect("memory");
}
