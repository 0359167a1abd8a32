//! The manifest CI claims beside the tarball's `package.json` (N2, Q3).
//!
//! Clients rewrite the manifest before they send it (wire.md 3.3), so both sides are brought to
//! one form first. What npm derives from other fields or from the machine is not compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::domain::artifact::NpmFacts;
use crate::inspect::difference::{Comparison, Difference};

/// Fields whose difference refuses the upload.
const REFUSED: [&str; 14] = [
    "name",
    "version",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bin",
    "scripts",
    "engines",
    "os",
    "cpu",
    "libc",
];

/// Fields that clients add or drop on their own and that say nothing about the package.
const UNCOMPARED: [&str; 21] = [
    "_attributes",
    "_from",
    "_hasShrinkwrap",
    "_id",
    "_integrity",
    "_nodeVersion",
    "_npmUser",
    "_npmVersion",
    "_resolved",
    "bundledDependencies",
    "directories",
    "dist",
    "gitHead",
    "gypfile",
    "hasInstallScript",
    "man",
    "maintainers",
    "private",
    "readme",
    "readmeFilename",
    "time",
];

/// What npm runs when a package has a root `binding.gyp` and no install script of its own.
const GYP_INSTALL: &str = "node-gyp rebuild";
/// What npm starts when a package has a root `server.js` and no start script of its own.
const SERVER_START: &str = "node server.js";
/// Lifecycle scripts that run while a package is installed.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// Compares `versions[v]` of a publish document with what the tarball says.
pub fn compare_manifest(claimed: &Map<String, Value>, facts: &NpmFacts) -> Comparison {
    let left = normalize(claimed, facts);
    let right = normalize(&facts.package_json, facts);
    let mut comparison = Comparison::default();
    let fields: BTreeSet<&str> = left.keys().chain(right.keys()).map(|key| &**key).collect();
    for field in fields {
        let (claim, truth) = (left.get(field), right.get(field));
        if claim == truth || derived(field, claim, truth, &right) {
            continue;
        }
        let text = |value: Option<&Value>| value.map(ToString::to_string);
        let difference = Difference::new(field, text(claim).as_deref(), text(truth).as_deref());
        if REFUSED.contains(&field) && !expands_directory(field, claim, facts) {
            comparison.refused.push(difference);
        } else {
            comparison.shown.push(difference);
        }
    }
    compare_flags(claimed, facts, &right, &mut comparison);
    compare_readme(claimed, facts, &mut comparison);
    comparison
}

/// `hasInstallScript` and `_hasShrinkwrap` are the client's words about the tarball.
fn compare_flags(
    claimed: &Map<String, Value>,
    facts: &NpmFacts,
    embedded: &BTreeMap<String, Value>,
    comparison: &mut Comparison,
) {
    let scripts = embedded.get("scripts");
    let installs = INSTALL_SCRIPTS
        .iter()
        .any(|script| scripts.is_some_and(|scripts| scripts.get(script).is_some()));
    for (field, truth) in [("hasInstallScript", installs), ("_hasShrinkwrap", facts.has_shrinkwrap)]
    {
        if let Some(claim) = claimed.get(field).filter(|claim| **claim != Value::Bool(truth)) {
            let difference =
                Difference::new(field, Some(&claim.to_string()), Some(&truth.to_string()));
            comparison.refused.push(difference);
        }
    }
}

fn compare_readme(claimed: &Map<String, Value>, facts: &NpmFacts, comparison: &mut Comparison) {
    let claim = claimed.get("readme").and_then(Value::as_str).unwrap_or_default().trim();
    if claim.is_empty() || claim.starts_with("ERROR: No README data found") {
        return;
    }
    let truth = facts.readme.as_deref().unwrap_or_default().trim();
    // The tarball's text is cut for display, the claim is not.
    if truth.is_empty() || !claim.starts_with(truth) {
        comparison.shown.push(Difference::new("readme", Some(claim), facts.readme.as_deref()));
    }
}

/// True for what npm computes from the repository when the package does not say it.
fn derived(
    field: &str,
    claim: Option<&Value>,
    truth: Option<&Value>,
    embedded: &BTreeMap<String, Value>,
) -> bool {
    let (Some(claim), None) = (claim, truth) else { return false };
    let Some(repository) = embedded.get("repository").and_then(|value| value["url"].as_str())
    else {
        return false;
    };
    match field {
        "bugs" => claim["url"].as_str() == Some(&format!("{repository}/issues")),
        "homepage" => claim.as_str() == Some(&format!("{repository}#readme")),
        _ => false,
    }
}

/// Brings a manifest to the one form both sides are compared in.
fn normalize(manifest: &Map<String, Value>, facts: &NpmFacts) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for (field, value) in manifest {
        if UNCOMPARED.contains(&&**field) || field.starts_with('_') {
            continue;
        }
        let value = match field.as_str() {
            "bin" => bin(value, &facts.name),
            "scripts" => texts(value, |_, script| without_bin_path(script)),
            "repository" => repository(value),
            "bugs" => bugs(value),
            "keywords" => keywords(value),
            "author" => person(value),
            "contributors" => people(value),
            "os" | "cpu" | "libc" => listed(value),
            "name" | "version" => text(value),
            _ => value.clone(),
        };
        out.insert(field.clone(), value);
    }
    out.insert("bundleDependencies".to_owned(), bundled(manifest));
    dependencies(&mut out);
    derived_scripts(&mut out, facts);
    out.retain(|_, value| !is_empty(value));
    out
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn text(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| text.trim().into())
}

/// An object of texts, other values dropped as npm drops them, each text rewritten.
fn texts(value: &Value, rewrite: impl Fn(&str, &str) -> String) -> Value {
    let Value::Object(map) = value else { return Value::Null };
    let entries = map.iter().filter_map(|(key, value)| {
        value.as_str().map(|text| (key.clone(), rewrite(key, text).into()))
    });
    Value::Object(entries.collect())
}

/// npm drops the path of a locally installed command from scripts.
fn without_bin_path(script: &str) -> String {
    let rest = script.strip_prefix("./").unwrap_or(script);
    rest.strip_prefix("node_modules/.bin/").unwrap_or(script).to_owned()
}

/// `"bin": "cli.js"` names a command after the package; paths lose `./` and extra slashes.
fn bin(value: &Value, name: &str) -> Value {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let path = |path: &str| {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split(['/', '\\']) {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        parts.join("/")
    };
    match value {
        Value::String(file) => {
            Value::Object(Map::from_iter([(bare.to_owned(), path(file).into())]))
        }
        Value::Array(files) => {
            let entries = files.iter().filter_map(Value::as_str).map(path).map(|file| {
                let command = file.rsplit('/').next().unwrap_or(&file).to_owned();
                (command, file.into())
            });
            Value::Object(entries.collect())
        }
        Value::Object(files) => {
            let entries = files.iter().filter_map(|(command, file)| {
                let command = command.rsplit(['/', '\\']).next().unwrap_or(command);
                file.as_str().map(|file| (command.to_owned(), path(file).into()))
            });
            Value::Object(entries.collect())
        }
        _ => Value::Null,
    }
}

/// True when npm's expansion of `directories.bin` explains a claimed `bin`: every command is a
/// file of that directory. Which files exist is settled by the file list, not here.
fn expands_directory(field: &str, claim: Option<&Value>, facts: &NpmFacts) -> bool {
    let directory = facts.package_json.get("directories").and_then(|all| all["bin"].as_str());
    let (Some(directory), Some(Value::Object(claim))) = (directory, claim) else { return false };
    let prefix = format!("{}/", directory.trim_start_matches("./").trim_matches('/'));
    field == "bin"
        && facts.package_json.get("bin").is_none_or(is_empty)
        && claim.values().all(|file| file.as_str().is_some_and(|file| file.starts_with(&prefix)))
}

fn bundled(manifest: &Map<String, Value>) -> Value {
    let value = ["bundleDependencies", "bundledDependencies"]
        .iter()
        .find_map(|field| manifest.get(*field))
        .unwrap_or(&Value::Null);
    let names: BTreeSet<&str> = match value {
        Value::Bool(true) => manifest
            .get("dependencies")
            .and_then(Value::as_object)
            .map(|map| map.keys().map(|key| &**key).collect())
            .unwrap_or_default(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::Object(names) => names.keys().map(|key| &**key).collect(),
        _ => BTreeSet::new(),
    };
    names.into_iter().collect()
}

/// Optional dependencies are repeated among the dependencies by some clients and not by others.
fn dependencies(out: &mut BTreeMap<String, Value>) {
    for kind in ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] {
        if let Some(value) = out.get_mut(kind) {
            *value = texts(value, |_, range| range.trim().to_owned());
        }
    }
    let optional: Vec<String> = out
        .get("optionalDependencies")
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default();
    if let Some(Value::Object(required)) = out.get_mut("dependencies") {
        required.retain(|name, _| !optional.contains(name));
    }
}

/// Adds the script that a root `binding.gyp` stands for and drops the one for `server.js`.
fn derived_scripts(out: &mut BTreeMap<String, Value>, facts: &NpmFacts) {
    let off = facts.package_json.get("gypfile") == Some(&Value::Bool(false));
    let scripts = out.entry("scripts".to_owned()).or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(scripts) = scripts else { return };
    let own = scripts.contains_key("install") || scripts.contains_key("preinstall");
    if facts.has_binding_gyp && !own && !off {
        scripts.insert("install".to_owned(), GYP_INSTALL.into());
    }
    scripts.retain(|name, script| name != "start" || script != SERVER_START);
}

fn listed(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::Array(vec![value.clone()]),
        other => other.clone(),
    }
}

/// A repository as `{type, url}` with the URL in its plain https form.
fn repository(value: &Value) -> Value {
    let (kind, url, directory) = match value {
        Value::String(url) => ("git", url.as_str(), None),
        Value::Object(map) => (
            map.get("type").and_then(Value::as_str).unwrap_or("git"),
            map.get("url").and_then(Value::as_str).unwrap_or_default(),
            map.get("directory"),
        ),
        _ => return Value::Null,
    };
    let mut out = Map::new();
    out.insert("type".to_owned(), kind.into());
    out.insert("url".to_owned(), plain_url(url).into());
    if let Some(directory) = directory {
        out.insert("directory".to_owned(), directory.clone());
    }
    Value::Object(out)
}

fn plain_url(url: &str) -> String {
    let url = url.strip_prefix("git+").unwrap_or(url);
    let url = url.strip_suffix(".git").unwrap_or(url);
    let bare = url.strip_prefix("github:").unwrap_or(url);
    let shortcut = !bare.contains(':') && bare.split('/').count() == 2;
    if shortcut {
        return format!("https://github.com/{bare}");
    }
    for scheme in ["git://", "ssh://git@"] {
        if let Some(rest) = url.strip_prefix(scheme) {
            return format!("https://{rest}");
        }
    }
    match url.strip_prefix("git@").and_then(|rest| rest.split_once(':')) {
        Some((host, path)) => format!("https://{host}/{path}"),
        None => url.to_owned(),
    }
}

fn bugs(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains('@') && !text.contains("://") => {
            Value::Object(Map::from_iter([("email".to_owned(), value.clone())]))
        }
        Value::String(_) => Value::Object(Map::from_iter([("url".to_owned(), value.clone())])),
        other => other.clone(),
    }
}

fn keywords(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()).collect()
        }
        other => other.clone(),
    }
}

fn people(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(person).collect(),
        other => other.clone(),
    }
}

/// A person as the one-line text `Name <mail> (url)`.
fn person(value: &Value) -> Value {
    let Value::Object(map) = value else { return text(value) };
    let part = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    let mut line = part("name").to_owned();
    for (key, open, close) in [("email", '<', '>'), ("url", '(', ')')] {
        let value = part(key);
        if !value.is_empty() {
            let space = if line.is_empty() { "" } else { " " };
            line = format!("{line}{space}{open}{value}{close}");
        }
    }
    line.into()
}
