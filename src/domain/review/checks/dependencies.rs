//! DP: what an installation brings along.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::domain::artifact::Facts;
use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::modules::{is_aside, may_bring, npm_package, python_module};
use crate::domain::review::path;
use crate::domain::review::survey::{Import, NPM_DEPENDENCIES, Survey, SurveyedFile};

pub(super) const CHECKS: &[Check] = &[ADDED, UNUSUAL, PHANTOM, UNDECLARED, BUNDLED];

const ADDED: Check = Check {
    id: "DP-01",
    title: "A dependency that was not there before",
    why: "Everybody who upgrades installs it and whatever it brings along.",
};
const UNUSUAL: Check = Check {
    id: "DP-02",
    title: "A dependency that comes from elsewhere than the registry",
    why: "What it installs can change without any release.",
};
const PHANTOM: Check = Check {
    id: "DP-03",
    title: "A new dependency that no file uses",
    why: "What nobody calls is there for what it does at installation.",
};
const UNDECLARED: Check = Check {
    id: "DP-04",
    title: "A module that comes from no dependency",
    why: "Whoever takes that name decides what the package loads.",
};
const BUNDLED: Check = Check {
    id: "DP-07",
    title: "Dependencies inside the package itself",
    why: "They are installed as they are, and no resolver or advisory sees them.",
};

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let before = comparison.baseline.map(dependencies);
    let mut for_extras = Vec::new();
    for (name, range) in dependencies(comparison.candidate) {
        let known = before.as_ref().map(|before| before.get(&name));
        let since = match known {
            None => Since::FirstRelease,
            Some(None) => Since::New,
            Some(Some(old)) if *old == range => Since::Unchanged,
            Some(Some(_)) => Since::Changed,
        };
        let evidence = format!("{name} {range}");
        // What only an extra brings along is installed by those who ask for it.
        let only_extra = range.split(" | ").all(|range| range.contains("extra =="));
        if since == Since::New && only_extra {
            for_extras.push(name.clone());
        } else if since == Since::New {
            found.push(Finding::new(&ADDED, Severity::Look, since, evidence.trim()));
            phantom(comparison.candidate, &name, found);
        }
        if is_unusual(&comparison.candidate.facts, &range) {
            let severity = if since == Since::Unchanged { Severity::Look } else { Severity::Block };
            found.push(Finding::new(&UNUSUAL, severity, since, evidence.trim()));
        }
    }
    if !for_extras.is_empty() {
        let evidence = format!("for extras only: {}", for_extras.join(", "));
        found.push(Finding::new(&ADDED, Severity::Note, Since::New, &evidence));
    }
    undeclared(comparison, found);
    bundled(comparison, found);
}

/// Says that a new dependency is used by no file, where files can be read at all.
fn phantom(candidate: &Survey, name: &str, found: &mut Vec<Finding>) {
    if !candidate.files.iter().any(SurveyedFile::is_parsed) {
        return;
    }
    let severity = match &candidate.facts {
        Facts::Npm(facts) => {
            let of_others = !NPM_DEPENDENCIES[..2].iter().any(|table| {
                let table = facts.package_json.get(*table).and_then(Value::as_object);
                table.is_some_and(|table| table.contains_key(name))
            });
            let types = name.starts_with("@types/");
            if of_others || types || is_used(candidate, &facts.package_json, name) {
                return;
            }
            // These are named by what is left of their name, and loaded by others.
            let loaded_by_others =
                ["plugin", "preset", "config", "loader"].iter().any(|part| name.contains(part));
            if loaded_by_others { Severity::Look } else { Severity::Block }
        }
        Facts::Pypi(_) => {
            let declared: Vec<String> = dependencies(candidate).into_keys().collect();
            let modules = python_imports(candidate);
            let mut others = modules.keys();
            let explains = |module: &&str| {
                may_bring(name, module) || !declared.iter().any(|known| may_bring(known, module))
            };
            if others.any(explains) {
                return;
            }
            Severity::Look
        }
    };
    found.push(Finding::new(&PHANTOM, severity, Since::New, name));
}

/// Whether a file, or a script of the manifest, names an npm package.
fn is_used(candidate: &Survey, package_json: &Map<String, Value>, name: &str) -> bool {
    let scripts = package_json.get("scripts").and_then(Value::as_object);
    let mut commands = scripts.into_iter().flatten().filter_map(|(_, command)| command.as_str());
    let bare = path::name(name);
    let separator = |c: char| c.is_whitespace() || "'\"`();&|=".contains(c);
    candidate.named.contains(name)
        || commands.any(|command| command.split(separator).any(|word| word == bare || word == name))
}

/// Modules of others that files name for the first time and that no dependency brings.
fn undeclared(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let (known, named) = match &comparison.candidate.facts {
        Facts::Npm(facts) => {
            let known = declared_npm(&facts.package_json, &facts.name);
            (known, npm_imports(comparison.candidate))
        }
        Facts::Pypi(_) => (BTreeSet::new(), python_imports(comparison.candidate)),
    };
    let before = match &baseline.facts {
        Facts::Npm(_) => npm_imports(baseline),
        Facts::Pypi(_) => python_imports(baseline),
    };
    let declared = dependencies(comparison.candidate);
    let is_python = matches!(comparison.candidate.facts, Facts::Pypi(_));
    for (module, (file, import)) in named {
        let brought = known.contains(module)
            || (is_python && declared.keys().any(|project| may_bring(project, module)));
        if brought || before.contains_key(module) {
            continue;
        }
        let severity = if import.optional { Severity::Note } else { Severity::Look };
        let said = Finding::new(&UNDECLARED, severity, Since::New, module);
        found.push(said.at(&file.path, Some(import.line)));
    }
}

/// Every package that a `package.json` names, and its own.
fn declared_npm<'a>(package_json: &'a Map<String, Value>, own: &'a str) -> BTreeSet<&'a str> {
    let tables = NPM_DEPENDENCIES.into_iter().chain(["devDependencies"]);
    let entries = tables.filter_map(|table| package_json.get(table)?.as_object());
    let mut names: BTreeSet<&str> = entries.flat_map(Map::keys).map(String::as_str).collect();
    names.insert(own);
    names
}

type Imports<'a> = BTreeMap<&'a str, (&'a SurveyedFile, &'a Import)>;

fn imports(survey: &Survey, of: fn(&str) -> Option<&str>) -> Imports<'_> {
    let mut all = BTreeMap::new();
    for file in survey.files.iter().filter(|file| !is_aside(&file.place)) {
        for import in file.code.iter().flat_map(|code| &code.imports) {
            if let Some(name) = of(&import.module) {
                all.entry(name).or_insert((file, import));
            }
        }
    }
    all
}

fn npm_imports(survey: &Survey) -> Imports<'_> {
    imports(survey, npm_package)
}

/// Without modules that the distribution itself has, wherever they are.
fn python_imports(survey: &Survey) -> Imports<'_> {
    let own: BTreeSet<&str> = survey
        .files
        .iter()
        .flat_map(|file| file.place.split('/'))
        .map(|part| part.split('.').next().unwrap_or(part))
        .collect();
    let mut all = imports(survey, python_module);
    all.retain(|module, _| !own.contains(module));
    all
}

/// Name and range of everything that is installed with the package.
fn dependencies(survey: &Survey) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    match &survey.facts {
        Facts::Npm(facts) => {
            for table in NPM_DEPENDENCIES {
                let Some(entries) = facts.package_json.get(table).and_then(|t| t.as_object())
                else {
                    continue;
                };
                for (name, range) in entries {
                    all.insert(name.clone(), range.as_str().unwrap_or_default().to_owned());
                }
            }
        }
        Facts::Pypi(facts) => {
            for requirement in facts.values("Requires-Dist") {
                let end = requirement
                    .find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
                    .unwrap_or(requirement.len());
                let (name, rest) = requirement.split_at(end);
                let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
                // One project may be required several times, under different markers.
                let known: &mut String = all.entry(name).or_default();
                if !known.is_empty() {
                    known.push_str(" | ");
                }
                known.push_str(rest.trim());
            }
        }
    }
    all
}

/// Not a version or a range of them.
fn is_unusual(facts: &Facts, range: &str) -> bool {
    match facts {
        Facts::Npm(_) => {
            let prefix = [
                "git",
                "http:",
                "https:",
                "file:",
                "link:",
                "workspace:",
                "npm:",
                "github:",
                "portal:",
            ];
            prefix.iter().any(|prefix| range.starts_with(prefix))
                // `owner/repository` is short for a git address.
                || (range.contains('/') && !range.contains(' '))
        }
        Facts::Pypi(_) => range.starts_with('@') || range.contains("] @") || range.contains("]@"),
    }
}

fn bundled(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Facts::Npm(_) = comparison.candidate.facts else { return };
    for name in ["npm-shrinkwrap.json", "node_modules/"] {
        let inside =
            |survey: &Survey| survey.files.iter().filter(|f| f.place.starts_with(name)).count();
        let now = inside(comparison.candidate);
        if now == 0 {
            continue;
        }
        let changed = || comparison.arrivals().any(|arrival| arrival.file.place.starts_with(name));
        let (since, severity) = match comparison.baseline.map(inside) {
            None => (Since::FirstRelease, Severity::Look),
            Some(0) => (Since::New, Severity::Look),
            Some(_) if changed() => (Since::Changed, Severity::Look),
            Some(_) => (Since::Unchanged, Severity::Note),
        };
        let evidence = format!("{name}, {now} file(s)");
        found.push(Finding::new(&BUNDLED, severity, since, &evidence));
    }
}
