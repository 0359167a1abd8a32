//! npm tarballs: one root `package.json`, read strictly, and what the file list says (N1, N3, N6).

pub mod compare;

use std::io::Read;

use serde_json::Value;

use crate::domain::artifact::NpmFacts;
use crate::domain::json;
use crate::domain::package::{Ecosystem, NameError, PackageName, Version};
use crate::inspect::failure::{Failure, Refusal};
use crate::inspect::limits::Limits;
use crate::inspect::{gzip, tar};

pub use compare::compare_manifest;

/// Why a well-formed tarball is no publishable npm package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NpmRefusal {
    /// No root `package.json` in exactly that spelling (N3).
    #[error("expected a `package.json` in the tarball's top directory, received none")]
    NoManifest,
    /// `name` or `version` is missing or no text.
    #[error("expected a text `{member}` in package.json, received another value or none")]
    Missing {
        /// The member.
        member: &'static str,
    },
    /// `name` or `version` is outside npm's rules (N1, N8, rows N10, N11).
    #[error(transparent)]
    Identity(#[from] NameError),
    /// The package says it must not be published (N6, row N18).
    #[error("expected a package without `private`, received `private: {received}`")]
    Private {
        /// The member's JSON text, cut.
        received: String,
    },
}

/// Reads a tarball's facts. What `publishConfig` asks for is left to the policy of the caller.
pub fn read(file: impl Read, limits: &Limits) -> Result<NpmFacts, Failure> {
    let mut archive = tar::Reader::new(gzip::Member::new(file, limits), limits);
    let mut manifest = None;
    let mut readme: Option<(String, Vec<u8>)> = None;
    let mut facts = Counts::default();
    while let Some(entry) = archive.next_entry()? {
        if entry.is_directory() {
            continue;
        }
        facts.files += 1;
        facts.bytes += entry.size();
        match entry.inside() {
            "package.json" => {
                let limit = limits.json_bytes as u64;
                manifest = Some(archive.content(limit)?);
            }
            "binding.gyp" => facts.binding_gyp = true,
            "npm-shrinkwrap.json" => facts.shrinkwrap = true,
            name if readme_rank(name)
                > readme.as_ref().map_or(0, |(known, _)| readme_rank(known)) =>
            {
                let name = name.to_owned();
                let mut text = Vec::new();
                (&mut archive).take(limits.readme_bytes as u64).read_to_end(&mut text)?;
                readme = Some((name, text));
            }
            _ => {}
        }
    }
    let manifest = manifest.ok_or(NpmRefusal::NoManifest)?;
    let package_json = json::parse_object(&manifest, limits.json_bytes, limits.json_depth)
        .map_err(|refusal| Refusal::Json { file: "package.json", refusal })?;
    let (name, version) = identity(&package_json)?;
    let (readme_filename, readme) = readme.unzip();
    Ok(NpmFacts {
        name,
        version,
        package_json,
        readme: readme.map(|bytes| whole_characters(&bytes)),
        readme_filename,
        has_binding_gyp: facts.binding_gyp,
        has_shrinkwrap: facts.shrinkwrap,
        file_count: facts.files,
        unpacked_bytes: facts.bytes,
    })
}

#[derive(Default)]
struct Counts {
    files: u32,
    bytes: u64,
    binding_gyp: bool,
    shrinkwrap: bool,
}

fn identity(package_json: &serde_json::Map<String, Value>) -> Result<(String, String), NpmRefusal> {
    let text = |member| {
        package_json.get(member).and_then(Value::as_str).ok_or(NpmRefusal::Missing { member })
    };
    let name = PackageName::parse(Ecosystem::Npm, text("name")?)?;
    let version = Version::parse(Ecosystem::Npm, text("version")?)?;
    match package_json.get("private") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(other) => {
            let received = crate::domain::package::excerpt(&other.to_string());
            return Err(NpmRefusal::Private { received });
        }
    }
    Ok((name.as_str().to_owned(), version.as_str().to_owned()))
}

/// npm's choice among root files named README: Markdown first, then no extension, then any other.
fn readme_rank(name: &str) -> u8 {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix("readme") {
        Some(".md" | ".markdown" | ".mdown" | ".mkd") => 3,
        Some("") => 2,
        Some(rest) if rest.starts_with('.') && !rest.contains('/') => 1,
        _ => 0,
    }
}

/// Text for display; a character cut by the limit is dropped, other bad bytes are replaced.
fn whole_characters(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
