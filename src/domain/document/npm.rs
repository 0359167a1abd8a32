//! npm's publish document: `package.json` in the shape publishing clients give it (wire 3.3).
//!
//! Every field of `package.json` is kept except names that start with `_`, which belong to the
//! registry, and `dist`, which is ours. JSON is written with sorted keys so that the same facts
//! always give the same bytes.

use serde_json::{Map, Value, json};
use url::Url;

use super::DocumentError;
use crate::domain::artifact::{Digests, NpmFacts};
use crate::domain::manifest::Access;

/// What an npm document is built from.
#[derive(Debug, Clone, Copy)]
pub struct NpmOrder<'a> {
    /// What the tarball says.
    pub facts: &'a NpmFacts,
    /// The tarball's digests; SHA-512 and SHA-1 are needed.
    pub digests: &'a Digests,
    /// The tarball's size in bytes.
    pub size: u64,
    /// The upstream's base address, ending in `/`.
    pub registry: &'a Url,
    /// The commit the verified CI claims name, if any.
    pub git_head: Option<&'a str>,
    /// The one dist-tag that will point to this version.
    pub tag: &'a str,
    /// Who may install; none leaves the registry's rule.
    pub access: Option<Access>,
}

/// The body of npm's PUT, open where the tarball's standard base64 goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmDocument {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

impl NpmDocument {
    /// The bytes before the base64 text; they end in `"data":"`.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The bytes after the base64 text; they start with `"`.
    pub fn suffix(&self) -> &[u8] {
        &self.suffix
    }
}

/// Builds the whole PUT document around the tarball.
pub fn npm_document(order: &NpmOrder<'_>) -> Result<NpmDocument, DocumentError> {
    let facts = order.facts;
    let manifest = npm_manifest(facts, order.digests, order.registry, order.git_head)?;
    let mut prefix = b"{".to_vec();
    member(&mut prefix, "_id", &json!(facts.name));
    member(&mut prefix, "name", &json!(facts.name));
    if let Some(description) = facts.package_json.get("description") {
        member(&mut prefix, "description", description);
    }
    member(&mut prefix, "dist-tags", &json!({ order.tag: facts.version }));
    member(&mut prefix, "versions", &json!({ facts.version.as_str(): manifest }));
    member(&mut prefix, "access", &json!(order.access.map(Access::as_str)));
    let attachment = format!("{}-{}.tgz", facts.name, facts.version);
    prefix.extend_from_slice(b"\"_attachments\":{");
    write_text(&mut prefix, &attachment);
    prefix.extend_from_slice(b":{\"content_type\":\"application/octet-stream\",\"data\":\"");
    let suffix = format!("\",\"length\":{}}}}}}}", order.size).into_bytes();
    Ok(NpmDocument { prefix, suffix })
}

fn member(out: &mut Vec<u8>, key: &str, value: &Value) {
    write_text(out, key);
    out.push(b':');
    write_canonical(out, value);
    out.push(b',');
}

/// JSON without spaces, object keys in byte order at every level.
fn write_canonical(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(out, item);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(out, key);
                out.push(b':');
                write_canonical(out, item);
            }
            out.push(b'}');
        }
    }
}

/// `Value`'s own writer for one string, which cannot fail.
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(Value::String(text.to_owned()).to_string().as_bytes());
}

/// Builds `versions[v]`: `package.json` normalised the way publishing clients do it.
pub fn npm_manifest(
    facts: &NpmFacts,
    digests: &Digests,
    registry: &Url,
    git_head: Option<&str>,
) -> Result<Map<String, Value>, DocumentError> {
    let sha512 = digests.sha512.ok_or(DocumentError::DigestMissing("sha512"))?;
    let sha1 = digests.sha1.ok_or(DocumentError::DigestMissing("sha1"))?;
    let mut manifest: Map<String, Value> = facts
        .package_json
        .iter()
        .filter(|(key, _)| !key.starts_with('_') && *key != "dist")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    normalize_bin(&mut manifest, &facts.name);
    normalize_bundle(&mut manifest);
    normalize_people(&mut manifest);
    rewrite(
        &mut manifest,
        "repository",
        |text| json!({ "type": "git", "url": repository_url(text) }),
    );
    rewrite(&mut manifest, "bugs", |text| {
        let key = if text.contains('@') && !text.contains('/') { "email" } else { "url" };
        json!({ key: text })
    });
    rewrite(&mut manifest, "keywords", |text| {
        text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()).collect()
    });
    describe_scripts(&mut manifest, facts);
    describe_readme(&mut manifest, facts);
    if let Some(commit) = git_head {
        manifest.insert("gitHead".into(), commit.into());
    }
    let (name, version) = (&facts.name, &facts.version);
    manifest.insert("name".into(), name.as_str().into());
    manifest.insert("version".into(), version.as_str().into());
    manifest.insert("_id".into(), format!("{name}@{version}").into());
    manifest.insert("_hasShrinkwrap".into(), facts.has_shrinkwrap.into());
    let dist = json!({
        "integrity": format!("sha512-{}", sha512.to_base64()),
        "shasum": sha1.to_string(),
        "tarball": format!("{registry}{name}/-/{name}-{version}.tgz"),
    });
    manifest.insert("dist".into(), dist);
    Ok(manifest)
}

/// Replaces a field that is one string by its structured form; anything else stays.
fn rewrite(manifest: &mut Map<String, Value>, key: &str, shape: impl Fn(&str) -> Value) {
    if let Some(value) = manifest.get_mut(key)
        && let Value::String(text) = value
    {
        *value = shape(text);
    }
}

/// `bin` becomes a map of command to path; paths are relative to the package and cannot leave it.
fn normalize_bin(manifest: &mut Map<String, Value>, name: &str) {
    let bare = name.rsplit('/').next().unwrap_or(name);
    rewrite(manifest, "bin", |path| json!({ bare: path }));
    if let Some(Value::Array(paths)) = manifest.get("bin") {
        let named = paths.iter().filter_map(|path| {
            let path = path.as_str()?;
            Some((path.rsplit('/').next()?.to_owned(), Value::from(path)))
        });
        let commands: Map<String, Value> = named.collect();
        manifest.insert("bin".into(), commands.into());
    }
    if let Some(Value::Object(commands)) = manifest.get_mut("bin") {
        for path in commands.values_mut() {
            if let Value::String(text) = path {
                *text = inside_package(text);
            }
        }
    }
}

/// `./cli.js` and `/cli.js` become `cli.js`; `..` stops at the package's root.
fn inside_package(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    kept.join("/")
}

/// `bundledDependencies` is the same field as `bundleDependencies`; `true` means all, `false` none.
fn normalize_bundle(manifest: &mut Map<String, Value>) {
    if let Some(old) = manifest.remove("bundledDependencies") {
        manifest.entry("bundleDependencies").or_insert(old);
    }
    let names = match manifest.get("bundleDependencies") {
        Some(Value::Bool(true)) => manifest
            .get("dependencies")
            .and_then(Value::as_object)
            .map(|dependencies| dependencies.keys().cloned().collect())
            .unwrap_or_default(),
        Some(Value::Bool(false)) => Vec::new(),
        Some(Value::Object(named)) => named.keys().cloned().collect(),
        _ => return,
    };
    manifest.insert("bundleDependencies".into(), json!(names));
}

fn normalize_people(manifest: &mut Map<String, Value>) {
    rewrite(manifest, "author", person);
    for key in ["contributors", "maintainers"] {
        rewrite(manifest, key, |text| json!([text]));
        if let Some(Value::Array(people)) = manifest.get_mut(key) {
            for entry in people {
                if let Value::String(text) = entry {
                    *entry = person(text);
                }
            }
        }
    }
}

/// `Name <mail> (site)` as an object; text that has no such shape stays text.
fn person(text: &str) -> Value {
    let between = |open, close| {
        let (_, rest) = text.split_once(open)?;
        let (inner, _) = rest.split_once(close)?;
        (!inner.is_empty()).then_some(inner)
    };
    let name = text.split(['<', '(']).next().unwrap_or_default().trim();
    let mut out = Map::new();
    let parts = [
        ("name", Some(name).filter(|name| !name.is_empty())),
        ("email", between('<', '>')),
        ("url", between('(', ')')),
    ];
    for (key, part) in parts {
        if let Some(part) = part {
            out.insert(key.into(), part.into());
        }
    }
    if out.is_empty() { text.into() } else { out.into() }
}

/// Spells out the forge shorthands of npm's `repository` field; other text stays.
fn repository_url(text: &str) -> String {
    let on = |host: &str, path: &str| {
        format!("git+https://{host}/{}.git", path.trim_end_matches(".git"))
    };
    if let Some((forge, path)) = text.split_once(':')
        && !path.starts_with("//")
    {
        match forge {
            "github" => return on("github.com", path),
            "gitlab" => return on("gitlab.com", path),
            "bitbucket" => return on("bitbucket.org", path),
            _ => {}
        }
    }
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    match text.split_once('/') {
        Some((owner, project)) if plain(owner) && plain(project) => on("github.com", text),
        _ => text.to_owned(),
    }
}

/// npm builds a package with a `binding.gyp` unless a script says otherwise (N7); the document has
/// to say so, because installers ask it and not the tarball whether scripts run.
fn describe_scripts(manifest: &mut Map<String, Value>, facts: &NpmFacts) {
    let has = |manifest: &Map<String, Value>, name: &str| {
        manifest
            .get("scripts")
            .and_then(|scripts| scripts.get(name))
            .and_then(Value::as_str)
            .is_some_and(|script| !script.is_empty())
    };
    let builds = facts.has_binding_gyp
        && !has(manifest, "install")
        && !has(manifest, "preinstall")
        && manifest.get("gypfile") != Some(&Value::Bool(false));
    if builds {
        let scripts = manifest.entry("scripts").or_insert_with(|| json!({}));
        if let Value::Object(scripts) = scripts {
            scripts.insert("install".into(), "node-gyp rebuild".into());
        }
        manifest.insert("gypfile".into(), true.into());
    }
    if ["preinstall", "install", "postinstall"].iter().any(|hook| has(manifest, hook)) {
        manifest.insert("hasInstallScript".into(), true.into());
    }
}

/// The README travels in the document; a `readme` field in `package.json` wins, as with clients.
fn describe_readme(manifest: &mut Map<String, Value>, facts: &NpmFacts) {
    let pairs = [("readme", &facts.readme), ("readmeFilename", &facts.readme_filename)];
    for (key, value) in pairs {
        if let Some(text) = value {
            manifest.entry(key).or_insert_with(|| text.as_str().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::digest::{Sha1, Sha256, Sha512};
    use crate::domain::document::PublishDocument;

    fn digests() -> Digests {
        Digests {
            sha256: Sha256::of(b"tarball"),
            sha512: Some(Sha512::from_bytes([5; 64])),
            sha1: Some(Sha1::from_bytes([6; 20])),
            md5: None,
            blake2b256: None,
        }
    }

    fn facts(package_json: Value) -> NpmFacts {
        let Value::Object(package_json) = package_json else { panic!("an object") };
        NpmFacts {
            name: "@octo/hello-wire".into(),
            version: "1.0.0".into(),
            package_json,
            readme: Some("# Hello".into()),
            readme_filename: Some("README.md".into()),
            has_binding_gyp: false,
            has_shrinkwrap: false,
            file_count: 2,
            unpacked_bytes: 100,
        }
    }

    fn registry() -> Url {
        Url::parse("https://registry.example/npm/").unwrap()
    }

    fn manifest_of(facts: &NpmFacts) -> Map<String, Value> {
        npm_manifest(facts, &digests(), &registry(), Some("abc123")).unwrap()
    }

    fn order<'a>(facts: &'a NpmFacts, digests: &'a Digests, registry: &'a Url) -> NpmOrder<'a> {
        NpmOrder {
            facts,
            digests,
            size: 7,
            registry,
            git_head: None,
            tag: "latest",
            access: Some(Access::Public),
        }
    }

    #[test]
    fn strings_become_the_shapes_clients_send() {
        let facts = facts(json!({
            "name": "@octo/hello-wire", "version": "1.0.0",
            "bin": "./bin/../cli.js",
            "repository": "octo/hello-wire",
            "bugs": "https://forge.example/issues",
            "author": "Ines Duarte <ines@octo.example> (https://ines.example)",
            "contributors": ["Mara", {"name": "Jun"}],
            "keywords": "a, b",
            "bundledDependencies": true,
            "dependencies": {"left": "^1"},
        }));
        let manifest = manifest_of(&facts);
        assert_eq!(manifest["bin"], json!({"hello-wire": "cli.js"}));
        assert_eq!(
            manifest["repository"],
            json!({"type": "git", "url": "git+https://github.com/octo/hello-wire.git"})
        );
        assert_eq!(manifest["bugs"], json!({"url": "https://forge.example/issues"}));
        assert_eq!(
            manifest["author"],
            json!({"name": "Ines Duarte", "email": "ines@octo.example", "url": "https://ines.example"})
        );
        assert_eq!(manifest["contributors"], json!([{"name": "Mara"}, {"name": "Jun"}]));
        assert_eq!(manifest["keywords"], json!(["a", "b"]));
        assert_eq!(manifest["bundleDependencies"], json!(["left"]));
        assert_eq!(manifest["_id"], json!("@octo/hello-wire@1.0.0"));
        assert_eq!(manifest["gitHead"], json!("abc123"));
        assert_eq!(manifest["readme"], json!("# Hello"));
        assert_eq!(
            manifest["dist"],
            json!({
                "integrity": format!("sha512-{}", Sha512::from_bytes([5; 64]).to_base64()),
                "shasum": "06".repeat(20),
                "tarball": "https://registry.example/npm/@octo/hello-wire/-/@octo/hello-wire-1.0.0.tgz",
            })
        );
    }

    /// Rule N7.
    #[test]
    fn a_binding_gyp_without_an_install_script_is_announced_as_one() {
        let mut built = facts(json!({"name": "@octo/hello-wire", "version": "1.0.0"}));
        assert!(!manifest_of(&built).contains_key("hasInstallScript"));
        built.has_binding_gyp = true;
        let manifest = manifest_of(&built);
        assert_eq!(manifest["scripts"]["install"], json!("node-gyp rebuild"));
        assert_eq!(manifest["gypfile"], json!(true));
        assert_eq!(manifest["hasInstallScript"], json!(true));
        built.package_json.insert("scripts".into(), json!({"install": "make"}));
        let manifest = manifest_of(&built);
        assert_eq!(manifest["scripts"]["install"], json!("make"));
        assert!(!manifest.contains_key("gypfile"));
    }

    /// Rule N2: the registry's own fields cannot be smuggled in.
    #[test]
    fn underscore_fields_and_dist_of_package_json_do_not_pass() {
        let facts = facts(json!({
            "name": "@octo/hello-wire", "version": "1.0.0",
            "_npmUser": {"name": "mallory"}, "_id": "other@9.9.9",
            "dist": {"tarball": "https://evil.example/x.tgz"},
        }));
        let manifest = manifest_of(&facts);
        assert!(!manifest.contains_key("_npmUser"));
        assert_eq!(manifest["_id"], json!("@octo/hello-wire@1.0.0"));
        assert!(!manifest["dist"].to_string().contains("evil"));
    }

    #[test]
    fn prefix_base64_and_suffix_make_one_json_document() {
        let facts = facts(json!({
            "name": "@octo/hello-wire", "version": "1.0.0", "description": "says \"hi\"",
        }));
        let (digests, registry) = (digests(), registry());
        let document = npm_document(&order(&facts, &digests, &registry)).unwrap();
        let whole = [document.prefix(), b"dGFyYmFsbA==", document.suffix()].concat();
        let value: Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(value["_id"], json!("@octo/hello-wire"));
        assert_eq!(value["description"], json!("says \"hi\""));
        assert_eq!(value["dist-tags"], json!({"latest": "1.0.0"}));
        assert_eq!(value["access"], json!("public"));
        assert_eq!(
            value["_attachments"]["@octo/hello-wire-1.0.0.tgz"],
            json!({"content_type": "application/octet-stream", "data": "dGFyYmFsbA==", "length": 7})
        );
    }

    #[test]
    fn a_tarball_without_its_digests_gets_no_document() {
        let facts = facts(json!({"name": "@octo/hello-wire", "version": "1.0.0"}));
        let mut incomplete = digests();
        incomplete.sha512 = None;
        assert_eq!(
            npm_document(&order(&facts, &incomplete, &registry())),
            Err(DocumentError::DigestMissing("sha512"))
        );
    }

    #[test]
    fn the_digest_changes_with_every_part_of_the_document() {
        let facts = facts(json!({"name": "@octo/hello-wire", "version": "1.0.0"}));
        let (digests, registry) = (digests(), registry());
        let base = order(&facts, &digests, &registry);
        let digest = |order: &NpmOrder<'_>, artifact: &[u8]| {
            PublishDocument::Npm(npm_document(order).unwrap()).digest(&Sha256::of(artifact))
        };
        let expected = digest(&base, b"a");
        assert_eq!(digest(&base, b"a"), expected);
        assert_ne!(digest(&base, b"b"), expected);
        assert_ne!(digest(&NpmOrder { tag: "next", ..base }, b"a"), expected);
        assert_ne!(digest(&NpmOrder { access: None, ..base }, b"a"), expected);
        assert_ne!(digest(&NpmOrder { size: 8, ..base }, b"a"), expected);
        assert_ne!(digest(&NpmOrder { git_head: Some("c"), ..base }, b"a"), expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,8}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The fields whose shape may change; all others must arrive exactly.
    const RESHAPED: [&str; 9] = [
        "bin",
        "repository",
        "bugs",
        "keywords",
        "author",
        "contributors",
        "maintainers",
        "bundleDependencies",
        "bundledDependencies",
    ];

    proptest! {
        /// Rule D7: no field of `package.json` gets lost or changed on its way into the document.
        #[test]
        fn every_field_arrives(
            fields in prop::collection::btree_map("[a-zA-Z$@.][a-zA-Z0-9$-]{0,10}", any_json(), 0..8),
            reshaped in prop::collection::btree_map(prop::sample::select(&RESHAPED[..]), any_json(), 0..5),
        ) {
            let mut package: Map<String, Value> = fields.into_iter().collect();
            package.remove("dist");
            package.extend(reshaped.into_iter().map(|(key, value)| (key.to_owned(), value)));
            package.insert("name".into(), json!("@octo/hello-wire"));
            package.insert("version".into(), json!("1.0.0"));
            let facts = facts(Value::Object(package.clone()));
            let (digests, registry) = (digests(), registry());
            let document = npm_document(&order(&facts, &digests, &registry)).unwrap();
            let whole = [document.prefix(), document.suffix()].concat();
            let sent: Value = serde_json::from_slice(&whole).unwrap();
            let sent = &sent["versions"]["1.0.0"];
            for (key, value) in &package {
                if RESHAPED.contains(&key.as_str()) {
                    let key = if key == "bundledDependencies" { "bundleDependencies" } else { key };
                    prop_assert!(sent.get(key).is_some(), "{key} is gone");
                } else {
                    prop_assert_eq!(sent.get(key), Some(value), "{}", key);
                }
            }
        }

        #[test]
        fn a_person_keeps_every_word(
            name in "[A-Za-z]{1,8}( [A-Za-z]{1,8})?",
            email in prop::option::of("[a-z]{1,8}@[a-z]{1,8}\\.example"),
            url in prop::option::of("https://[a-z]{1,8}\\.example"),
        ) {
            let mut text = name.clone();
            if let Some(email) = &email {
                text = format!("{text} <{email}>");
            }
            if let Some(url) = &url {
                text = format!("{text} ({url})");
            }
            let parsed = person(&text);
            prop_assert_eq!(parsed["name"].as_str(), Some(name.as_str()));
            prop_assert_eq!(parsed["email"].as_str(), email.as_deref());
            prop_assert_eq!(parsed["url"].as_str(), url.as_deref());
        }
    }
}
