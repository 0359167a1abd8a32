//! Which files are code, and which run without being called.

use std::collections::BTreeSet;

use serde_json::Value;

use super::matching::{ArtifactFile, Candidate};
use crate::domain::artifact::Facts;
use crate::domain::review::modules::{in_site_packages, words};
use crate::domain::review::path;

/// Extensions of what is run, or decides what is run.
const CODE: [&str; 38] = [
    "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "py", "pyx", "pyi", "pyw", "pth",
    "start", "sh", "bash", "ps1", "bat", "cmd", "exe", "dll", "so", "dylib", "node", "wasm", "pyd",
    "pyc", "gyp", "gypi", "c", "cc", "cpp", "h", "rs", "go", "rb", "pl", "php",
];
/// Files that decide what is installed, loaded or built.
const MANIFESTS: [&str; 6] =
    ["package.json", "npm-shrinkwrap.json", "pyproject.toml", "setup.cfg", ".npmrc", "Makefile"];

pub(super) fn is_code_name(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| CODE.contains(&extension.as_str()))
        || MANIFESTS.contains(&name)
}

pub(super) fn is_code(file: &ArtifactFile) -> bool {
    let program =
        !path::name(&file.path).contains('.') && file.path.split('/').any(|part| part == "bin");
    file.executable || program || is_code_name(path::name(&file.path))
}

/// The files that an npm package's installation scripts name.
pub(super) fn hook_targets(candidate: &Candidate<'_>) -> BTreeSet<String> {
    const HOOKS: [&str; 5] = ["preinstall", "install", "postinstall", "prepare", "prepublish"];
    let Facts::Npm(facts) = candidate.facts else { return BTreeSet::new() };
    let scripts = facts.package_json.get("scripts").and_then(Value::as_object);
    let commands = HOOKS.iter().filter_map(|hook| scripts?.get(*hook)?.as_str());
    let paths: BTreeSet<&str> = candidate.files.iter().map(|file| file.path.as_str()).collect();
    commands
        .flat_map(words)
        .map(|word| word.trim_start_matches("./").to_owned())
        .flat_map(|path| [path.clone(), format!("{path}.js"), format!("{path}/index.js")])
        .filter(|path| paths.contains(path.as_str()))
        .collect()
}

/// Whether a file runs without being called: at installation, or at every start of Python.
pub(super) fn runs_by_itself(place: &str, hooks: &BTreeSet<String>) -> bool {
    // Some file systems do not tell capital letters from others.
    let site = in_site_packages(place).unwrap_or(place).to_ascii_lowercase();
    let at_top = !site.contains('/');
    let starts = matches!(site.rsplit_once('.'), Some((_, "pth" | "start")))
        || matches!(
            site.as_str(),
            "sitecustomize.py" | "usercustomize.py" | "setup.py" | "binding.gyp"
        );
    (at_top && starts) || hooks.contains(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_runs_at_every_start_is_known_wherever_a_wheel_puts_it() {
        let runs = |place: &str| runs_by_itself(place, &BTreeSet::new());
        for place in [
            "x.pth",
            "sitecustomize.py",
            "*.data/purelib/x.pth",
            "*.data/platlib/X.PTH",
            "*.data/data/lib/python3.12/site-packages/x.pth",
            "*.data/data/Lib/Site-Packages/usercustomize.py",
            "*.data/data/lib/python3/dist-packages/x.start",
        ] {
            assert!(runs(place), "{place}");
        }
        for place in [
            "lib/x.pth",
            "*.data/scripts/x.pth",
            "*.data/data/share/x.pth",
            "*.data/data/lib/python3.12/site-packages/lib/x.pth",
        ] {
            assert!(!runs(place), "{place}");
        }
    }
}
