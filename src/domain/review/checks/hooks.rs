//! HK: code that runs without being called.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::domain::artifact::Facts;
use crate::domain::review::delta::{Arrival, Comparison};
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::modules::{AT_INSTALL, file_at, in_site_packages, loaded_by, words};
use crate::domain::review::path;
use crate::domain::review::survey::{Format, Sort, Survey, SurveyedFile};

pub(super) const CHECKS: &[Check] =
    &[NPM_HOOK, HOOK_TARGET, GYP, BIN, ENTRY, STARTUP, BUILD, ENTRY_POINT, OUTSIDE, AGENT];

const NPM_HOOK: Check = Check {
    id: "HK-01",
    title: "A script that npm runs at installation",
    why: "It runs on every machine that installs or upgrades the package, before anybody calls it.",
};
const HOOK_TARGET: Check = Check {
    id: "HK-02",
    title: "A file that an installation script runs",
    why: "It runs at installation, whether or not the script itself reads as before.",
};
const GYP: Check = Check {
    id: "HK-03",
    title: "A binding.gyp, which npm builds at installation",
    why: "Installing compiles code, and commands in the file run while it is read.",
};
const BIN: Check = Check {
    id: "HK-04",
    title: "A command the package installs",
    why: "It is on the path of everybody who installs the package and may shadow another one.",
};
const ENTRY: Check = Check {
    id: "HK-05",
    title: "What is loaded when the package is imported",
    why: "Everybody who imports the package now runs another file.",
};
const STARTUP: Check = Check {
    id: "HK-06",
    title: "A file that Python runs at every start",
    why: "It runs in every Python program on the machine, whether or not it uses the package.",
};
const BUILD: Check = Check {
    id: "HK-07",
    title: "What builds the source distribution",
    why: "Whoever installs from source runs it.",
};
const ENTRY_POINT: Check = Check {
    id: "HK-08",
    title: "An entry point",
    why: "A command on the path, or a plug-in that other tools load by themselves.",
};
const OUTSIDE: Check = Check {
    id: "HK-09",
    title: "A file the wheel puts outside its packages",
    why: "It lands among the programs or data of the whole environment.",
};
const AGENT: Check = Check {
    id: "HK-11",
    title: "Settings of an editor, an agent or CI",
    why: "Tools that find them may run commands in them without asking.",
};

/// Scripts that run when it is installed from git or packed.
const AT_PREPARE: [&str; 4] = ["prepare", "preprepare", "postprepare", "prepublish"];

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    match &comparison.candidate.facts {
        Facts::Npm(facts) => {
            let before = comparison.baseline.and_then(npm);
            scripts(comparison, &facts.package_json, before, found);
            gyp(comparison, found);
            loaded(comparison, found);
        }
        Facts::Pypi(_) => {
            startup(comparison, found);
            if comparison.candidate.at("*.dist-info/WHEEL").is_some() {
                new_packages(comparison, found);
            }
            build(comparison, found);
            entry_points(comparison, found);
            outside(comparison, found);
        }
    }
    agents(comparison, found);
}

/// Folders and modules that a wheel adds to what can be imported, by whatever way.
fn importable(survey: &Survey) -> BTreeSet<&str> {
    let tops =
        survey.files.iter().filter_map(|file| in_site_packages(&file.place)).filter_map(|place| {
            let (top, rest) = place.split_once('/').unwrap_or((place, ""));
            let module = top.strip_suffix(".py").filter(|_| rest.is_empty());
            module.or_else(|| rest.contains(".py").then_some(top))
        });
    tops.collect()
}

fn new_packages(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let before = importable(baseline);
    for top in importable(comparison.candidate).difference(&before) {
        let evidence = format!("import {top}");
        found.push(Finding::new(&ENTRY, Severity::Look, Since::New, &evidence));
    }
}

fn npm(survey: &Survey) -> Option<&Map<String, Value>> {
    match &survey.facts {
        Facts::Npm(facts) => Some(&facts.package_json),
        Facts::Pypi(_) => None,
    }
}

fn script<'a>(json: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    json.get("scripts")?.get(name)?.as_str()
}

fn scripts(
    comparison: &Comparison<'_>,
    after: &Map<String, Value>,
    before: Option<&Map<String, Value>>,
    found: &mut Vec<Finding>,
) {
    for name in AT_INSTALL.into_iter().chain(AT_PREPARE) {
        let Some(command) = script(after, name) else { continue };
        let since = match before.map(|json| script(json, name)) {
            None => Since::FirstRelease,
            Some(None) => Since::New,
            Some(Some(old)) if old == command => Since::Unchanged,
            Some(Some(_)) => Since::Changed,
        };
        let severity = match since {
            Since::Unchanged => Severity::Note,
            _ if AT_INSTALL.contains(&name) => Severity::Block,
            _ => Severity::Look,
        };
        let evidence = format!("{name}: {command}");
        found.push(Finding::new(&NPM_HOOK, severity, since, &evidence));
        if AT_INSTALL.contains(&name) {
            targets(comparison, command, since, found);
        }
    }
}

/// The files that a command names, and all they load, when they are new or not what they were.
fn targets(comparison: &Comparison<'_>, command: &str, since: Since, found: &mut Vec<Finding>) {
    let starts = words(command).filter_map(|word| file_at(comparison.candidate, word));
    let run = loaded_by(comparison.candidate, starts);
    for Arrival { before, file, since: change } in comparison.arrivals() {
        if !run.contains(file.place.as_str()) {
            continue;
        }
        // New hooks block by themselves.
        let hidden = since == Since::Unchanged || file.newly_reaches_out(before).is_some();
        let severity = if hidden { Severity::Block } else { Severity::Look };
        found.push(Finding::new(&HOOK_TARGET, severity, change, command).at(&file.path, None));
    }
}

fn gyp(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(file) = comparison.candidate.at("binding.gyp") else { return };
    let since = comparison.since(file);
    let command = file.of_sort(Sort::GypCommand).next();
    // The package may say that it is not to be built.
    let left_alone = npm(comparison.candidate)
        .is_some_and(|json| json.get("gypfile") == Some(&Value::Bool(false)));
    let severity = match (since, command) {
        _ if left_alone => Severity::Note,
        (Since::Unchanged, _) => Severity::Note,
        (Since::New, _) | (Since::Changed | Since::FirstRelease, Some(_)) => Severity::Block,
        (Since::Changed | Since::FirstRelease, None) => Severity::Look,
    };
    let evidence = command.map_or("", |mark| mark.excerpt.as_str());
    let line = command.map(|mark| mark.line);
    found.push(Finding::new(&GYP, severity, since, evidence).at(&file.path, line));
}

/// Commands and entry files of an npm package.
fn loaded(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    // A first release has everything for the first time, and says so once.
    if comparison.baseline.is_none() {
        return;
    }
    for member in comparison.members() {
        let check = match member.key.split('.').next().unwrap_or_default() {
            "bin" => &BIN,
            "main" | "module" | "browser" | "exports" | "imports" | "type" => &ENTRY,
            _ => continue,
        };
        let Some(value) = member.after else { continue };
        if member.before.as_deref().is_some_and(|before| same_files(before, &value)) {
            continue;
        }
        let since = if member.before.is_some() { Since::Changed } else { Since::New };
        let extension = |text: &str| std::path::Path::new(text).extension().map(|it| it == "js");
        let path = |text: &str| text.starts_with("./") || extension(text) == Some(true);
        let missing =
            path(&value) && !value.contains('*') && file_at(comparison.candidate, &value).is_none();
        let (severity, remark) = match member.key.strip_prefix("bin.") {
            Some(name) if shadows(comparison, name) => {
                (Severity::Block, ", like a command of the system")
            }
            _ if missing => (Severity::Look, ", which the package does not have"),
            _ => (Severity::Look, ""),
        };
        let evidence = format!("{}: {value}{remark}", member.key);
        found.push(Finding::new(check, severity, since, &evidence));
    }
}

/// Whether two values name the same files, whatever their order and spelling.
fn same_files(before: &str, after: &str) -> bool {
    let paths = |text: &str| -> BTreeSet<String> {
        let quoted = text.split('"').filter(|part| part.contains('/'));
        let paths = if text.starts_with(['{', '[']) { quoted.collect() } else { vec![text] };
        paths.into_iter().map(|path| path.trim_start_matches("./").to_owned()).collect()
    };
    paths(before) == paths(after)
}

/// Whether a command is called like one that people have already, in a package of another name.
fn shadows(comparison: &Comparison<'_>, command: &str) -> bool {
    const COMMANDS: [&str; 48] = [
        "apt", "awk", "bash", "bun", "cargo", "cat", "cd", "chmod", "cp", "curl", "deno", "docker",
        "echo", "env", "find", "gcc", "gh", "git", "go", "gpg", "grep", "java", "kubectl", "ls",
        "make", "mv", "node", "npm", "npx", "op", "openssl", "pip", "pip3", "pnpm", "python",
        "python3", "rm", "ruby", "scp", "sed", "sh", "ssh", "sudo", "tar", "uv", "wget", "yarn",
        "zsh",
    ];
    let own = match &comparison.candidate.facts {
        Facts::Npm(facts) => path::name(&facts.name),
        Facts::Pypi(facts) => &facts.name,
    };
    COMMANDS.contains(&command) && !own.eq_ignore_ascii_case(command)
}

/// `.pth` and `.start` files, and the modules that Python imports by name at its start.
fn startup(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    for file in &comparison.candidate.files {
        // At the top of what is installed into site-packages.
        let place = in_site_packages(&file.place).filter(|place| !place.contains('/'));
        let Some(place) = place else { continue };
        let line = file.of_sort(Sort::StartupLine).next();
        let extension = |wanted: &str| {
            place.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(wanted))
        };
        let runs = extension("start")
            || (extension("pth") && line.is_some())
            || matches!(place, "sitecustomize.py" | "usercustomize.py");
        if !runs {
            continue;
        }
        let since = comparison.since(file);
        let severity = if since == Since::Unchanged { Severity::Look } else { Severity::Block };
        let evidence = line.map_or("", |mark| mark.excerpt.as_str());
        let line = line.map(|mark| mark.line);
        found.push(Finding::new(&STARTUP, severity, since, evidence).at(&file.path, line));
    }
}

fn build(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let (before, after) = (&baseline.python, &comparison.candidate.python);
    let mut say = |what: &str, before: String, after: String| {
        if before != after {
            let evidence = format!("{what}: {before} → {after}");
            found.push(Finding::new(&BUILD, Severity::Look, Since::Changed, &evidence));
        }
    };
    let backend = |backend: &Option<String>| backend.clone().unwrap_or_else(|| "none".to_owned());
    say("build-backend", backend(&before.build_backend), backend(&after.build_backend));
    say("build requires", before.build_requires.join(", "), after.build_requires.join(", "));
    say(
        "backend in the archive",
        before.backend_inside.to_string(),
        after.backend_inside.to_string(),
    );
    for name in ["setup.py", "setup.cfg", "MANIFEST.in"] {
        let Some(file) = comparison.candidate.at(name) else { continue };
        let since = comparison.since(file);
        if since == Since::Unchanged {
            continue;
        }
        let (severity, evidence, line) = match file.newly_reaches_out(comparison.before(file)) {
            Some(mark) => (Severity::Block, mark.excerpt.as_str(), Some(mark.line)),
            // Only this one is a program.
            None if name == "setup.py" => (Severity::Look, name, None),
            None => (Severity::Note, name, None),
        };
        found.push(Finding::new(&BUILD, severity, since, evidence).at(&file.path, line));
    }
}

fn entry_points(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (group, name) in &comparison.candidate.python.entry_points {
        if baseline.python.entry_points.contains(&(group.clone(), name.clone())) {
            continue;
        }
        if group.ends_with("_scripts") && shadows(comparison, name) {
            let evidence = format!("{group}: {name}, like a command of the system");
            found.push(Finding::new(&ENTRY_POINT, Severity::Block, Since::New, &evidence));
        } else {
            groups.entry(group).or_default().push(name);
        }
    }
    for (group, names) in groups {
        let evidence = format!("{group}: {}", names.join(", "));
        found.push(Finding::new(&ENTRY_POINT, Severity::Look, Since::New, &evidence));
    }
}

/// Programs and commands one by one, other files once for each place they go to.
fn outside(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let mut data: BTreeMap<&str, Vec<&SurveyedFile>> = BTreeMap::new();
    for Arrival { file, since, .. } in comparison.arrivals() {
        let Some((scheme, path)) =
            file.place.strip_prefix("*.data/").and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        let (severity, evidence) = match scheme {
            "scripts" if shadows(comparison, path) => {
                (Severity::Block, "like a command of the system")
            }
            "scripts" if file.format == Format::Text => (Severity::Look, ""),
            "scripts" | "data" | "headers" if file.format.is_executable() => {
                (Severity::Look, file.format.words())
            }
            "scripts" | "data" | "headers" => {
                data.entry(scheme).or_default().push(file);
                continue;
            }
            _ => continue,
        };
        found.push(Finding::new(&OUTSIDE, severity, since, evidence).at(&file.path, None));
    }
    for files in data.into_values() {
        let Some(first) = files.first() else { continue };
        let evidence = format!("{} file(s) of data", files.len());
        let said = Finding::new(&OUTSIDE, Severity::Look, comparison.since(first), &evidence);
        found.push(said.at(&first.path, None));
    }
}

/// Files that editors, coding agents and CI systems act upon.
fn agents(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    const FOLDERS: [&str; 5] = [".vscode", ".cursor", ".claude", ".idea", ".devcontainer"];
    const FILES: [&str; 5] =
        [".mcp.json", "AGENTS.md", "CLAUDE.md", ".cursorrules", ".gitlab-ci.yml"];
    for Arrival { file, since, .. } in comparison.arrivals() {
        let name = path::name(&file.place);
        let in_folder = file.place.split('/').any(|part| FOLDERS.contains(&part));
        let workflow = file.place.contains(".github/workflows/");
        if !(in_folder || workflow || FILES.contains(&name)) {
            continue;
        }
        let mark = file.of_sort(Sort::SettingsCommand).next();
        let severity = match (since, mark) {
            (Since::New, Some(_)) => Severity::Block,
            // Workflows do nothing where the package is installed.
            (Since::Changed, None) if workflow => Severity::Note,
            _ => Severity::Look,
        };
        let evidence = mark.map_or("", |mark| mark.excerpt.as_str());
        let line = mark.map(|mark| mark.line);
        found.push(Finding::new(&AGENT, severity, since, evidence).at(&file.path, line));
    }
}
