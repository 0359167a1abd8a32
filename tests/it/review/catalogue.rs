//! Every check: a line of its own in the documentation, and a small case that makes it speak.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use countersign::domain::artifact::Filename;
use countersign::domain::package::{Ecosystem, Version};
use countersign::domain::review::checks::{self, Position};
use countersign::domain::review::compared::Extent;
use countersign::domain::review::delta::Comparison;
use countersign::domain::review::finding::{Check, Finding, Severity, Since};
use countersign::domain::review::survey::Survey;
use countersign::domain::review::{binding, closure, provenance};
use serde_json::{Value, json};

use super::{
    INDEX, after, benign, findings, manifest, npm, npm_survey, sdist_survey, wheel_survey,
};
use crate::readers::build::with;

const PAGE: &str = include_str!("../../../docs/checks.md");
/// Said by whoever inspects, not by these checks; their tests are in `inspected` and `inspection`.
const ELSEWHERE: [&str; 3] = ["IN-01", "IN-02", "IN-03"];
/// Their cases stand beside them: they look at a repository or an attestation, not at a survey.
const OF_ITS_ORIGIN: [&[Check]; 3] = [binding::CHECKS, closure::CHECKS, provenance::CHECKS];

/// A check, how grave it is here, and what it says.
type Case = (&'static str, Severity, Vec<Finding>);

fn all() -> impl Iterator<Item = &'static Check> {
    checks::ALL.iter().copied().flatten()
}

/// A wheel after a plain one.
fn wheel_after(files: &[(&str, &[u8])]) -> Vec<Finding> {
    findings(Some(&wheel_survey(&[])), &wheel_survey(files))
}

fn index(text: &str) -> Vec<Finding> {
    after(json!({}), &[("index.js", text.as_bytes())])
}

fn hooks() -> Vec<Case> {
    use Severity::{Block, Look};
    let pth: &[u8] = b"import os\n";
    let script = json!({ "scripts": { "install": "node setup.js" } });
    let hooked =
        |body| npm_survey(&npm(&manifest("1.0.0", script.clone()), &[INDEX, ("setup.js", body)]));
    let gyp: &[u8] = b"{ 'targets': [] }";
    let console: &[u8] = b"[console_scripts]\ngreet = hello_wire:x\n";
    let points = "hello_wire-1.0.0.dist-info/entry_points.txt";
    let setup = sdist_survey(&[("setup.py", b"from setuptools import setup\n")]);
    let tasks: &[u8] = br#"{ "tasks": [{ "command": "node x.js" }] }"#;
    vec![
        ("HK-01", Block, after(script.clone(), &[("setup.js", b"1")])),
        ("HK-02", Block, findings(Some(&hooked(b"build()")), &hooked(b"more()"))),
        ("HK-03", Block, after(json!({}), &[("binding.gyp", gyp)])),
        ("HK-04", Look, after(json!({ "bin": { "greet": "index.js" } }), &[])),
        ("HK-04", Block, after(json!({ "bin": { "git": "index.js" } }), &[])),
        ("HK-05", Look, after(json!({ "main": "other.js" }), &[("other.js", b"1")])),
        ("HK-06", Block, wheel_after(&[("zz.pth", pth)])),
        ("HK-07", Look, findings(Some(&sdist_survey(&[])), &setup)),
        ("HK-08", Look, wheel_after(&[(points, console)])),
        ("HK-09", Look, wheel_after(&[("hello_wire-1.0.0.data/scripts/greet", b"#!python\n")])),
        ("HK-10", Look, index("require('child_process').execSync('x')\n")),
        ("HK-11", Look, after(json!({}), &[("AGENTS.md", b"be nice")])),
        ("HK-11", Block, after(json!({}), &[(".vscode/tasks.json", tasks)])),
        ("IN-04", Look, index("const = }\n")),
    ]
}

fn dependencies() -> Vec<Case> {
    use Severity::{Block, Look};
    let needs = |more: Value| json!({ "dependencies": with(json!({ "left": "^1" }), more) });
    vec![
        ("DP-01", Look, after(needs(json!({ "right": "^1" })), &[])),
        ("DP-02", Block, after(needs(json!({ "right": "github:some/right" })), &[])),
        ("DP-03", Block, after(needs(json!({ "right": "^1" })), &[])),
        ("DP-04", Look, index("module.exports = require('undeclared')\n")),
        ("DP-07", Look, after(json!({}), &[("node_modules/right/index.js", b"1")])),
    ]
}

fn content() -> Vec<Case> {
    use Severity::{Block, Look, Note};
    let elf: &[u8] = b"\x7fELF\x02\x01\x01\0";
    let with = |elf: &[u8], version| {
        npm_survey(&npm(&manifest(version, json!({})), &[INDEX, ("lib/a.node", elf)]))
    };
    let rebuilt = findings(Some(&with(elf, "1.0.0")), &with(b"\x7fELF\x02\x01\x01\x01", "1.0.1"));
    let large = format!("const a = 1\n{}", "// padding\n".repeat(30_000));
    let moved = json!({ "repository": "https://git.example/other/place" });
    let at = |url: &str| json!({ "repository": url });
    let before =
        npm_survey(&npm(&manifest("1.0.0", at("https://git.example/some/place")), &[INDEX]));
    let elsewhere = npm_survey(&npm(&manifest("1.0.1", moved), &[INDEX]));
    vec![
        ("CT-01", Look, after(json!({}), &[("a.node", elf)])),
        ("CT-02", Look, rebuilt),
        ("CT-03", Block, after(json!({}), &[("logo.png", elf)])),
        ("CT-03", Look, after(json!({}), &[("data.gz", b"\x1f\x8b\x08\0rest")])),
        ("CT-05", Look, index(&large)),
        ("CT-06", Look, index(&format!("x({})\n", "1,".repeat(5_000)))),
        ("CT-07", Block, index(&format!("a(){}b()\n", " ".repeat(300)))),
        ("CT-08", Block, index("eval(atob('YQ=='))\n")),
        ("CT-09", Look, after(json!({}), &[("data.bin", b"\0\x01\x02\xff")])),
        ("CT-10", Block, index("f() // \u{202E} g\n")),
        ("CT-11", Block, index("const a = '\u{E0101}\u{E0102}\u{E0103}'\n")),
        ("CT-12", Look, index("const p\u{430}ssword = 1\n")),
        ("CT-13", Look, findings(Some(&before), &elsewhere)),
        ("CT-13", Note, after(json!({ "license": "ISC" }), &[])),
        ("AR-08", Block, index("const t = 'npm_0123456789abcdefghijABCDEFGHIJ012345'\n")),
        ("AR-08", Look, after(json!({}), &[(".env", b"A=1\n")])),
    ]
}

fn capabilities() -> Vec<Case> {
    use Severity::{Block, Look};
    let later = |body: &str| index(&format!("module.exports = () => {{ {body} }}\n"));
    vec![
        ("CP-01", Look, later("return fetch('/x')")),
        ("CP-02", Look, later("return require('child_process').spawn('x')")),
        ("CP-03", Block, later("return read('.npmrc')")),
        ("CP-04", Look, later("return { ...process.env }")),
        ("CP-04", Block, later("return fetch('/x', { body: JSON.stringify(process.env) })")),
        ("CP-05", Look, later("return 'https://hook.example.invalid/x'")),
        ("CP-06", Block, later("return run('npm publish')")),
        ("CP-08", Look, later("return eval(x)")),
    ]
}

fn versions() -> Vec<Case> {
    use Severity::{Block, Look};
    let survey = benign();
    let comparison = Comparison { baseline: Some(&survey), candidate: &survey };
    let at = |version: &str| Position {
        version: Version::parse(Ecosystem::Npm, version).ok(),
        newest: Version::parse(Ecosystem::Npm, "1.14.0").ok(),
        dist_tag: Some("latest".to_owned()),
        ecosystem: Some(Ecosystem::Npm),
    };
    let far = npm_survey(&npm(&manifest("99.9.9", json!({})), &[INDEX]));
    let mut other = manifest("1.0.1", json!({}));
    other["name"] = json!("other-wire");
    let other = npm_survey(&npm(&other, &[INDEX]));
    vec![
        ("VR-01", Block, checks::findings(&comparison, &at("0.30.4"))),
        ("VR-02", Look, findings(Some(&survey), &far)),
        ("VR-03", Block, checks::findings(&comparison, &at("2.0.0-rc.1"))),
        ("ID-02", Block, findings(Some(&survey), &other)),
    ]
}

fn releases() -> Vec<Case> {
    use Severity::{Block, Look, Note};
    let kind = |name: &str| Filename::parse(name).unwrap().kind();
    let names =
        |all: &[&str]| all.iter().map(|name| (kind(name), (*name).to_owned())).collect::<Vec<_>>();
    let sdist = "hello_wire-1.0.0.tar.gz";
    let linux = "hello_wire-1.0.0-cp312-cp312-manylinux_2_28_x86_64.whl";
    let next = "hello_wire-1.1.0-cp313-cp313-manylinux_2_28_x86_64.whl";
    let odd = "hello_wire-1.1.0-cp312-cp312-win_arm64.whl";
    let before = names(&[sdist, linux]);
    let source: (&str, &[u8]) = ("src/hello_wire/__init__.py", b"x = 1\n");
    let other: (&str, &[u8]) = ("src/hello_wire/__init__.py", b"x = 2\n");
    let wheel = wheel_survey(&[]);
    let against = |files: &[(&str, &[u8])]| {
        let pair = checks::Pair { sdist: &sdist_survey(files), wheel: &wheel };
        checks::sdist_against_wheel(pair, None)
    };
    vec![
        ("SRC-09", Block, against(&[other])),
        ("SRC-10", Look, checks::files_of_release(&before, &names(&[odd]))),
        ("SRC-10", Note, checks::files_of_release(&before, &names(&[next]))),
        ("", Note, against(&[source])),
        ("", Note, checks::files_of_release(&before, &before)),
    ]
}

/// Every check that this code has is fired by a case above, at the gravity that is written there.
#[test]
fn every_check_has_a_case_that_fires_it() {
    let families = [hooks(), dependencies(), content(), capabilities(), versions(), releases()];
    let mut fired = BTreeSet::new();
    for (id, severity, found) in families.into_iter().flatten() {
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        if id.is_empty() {
            assert!(found.is_empty(), "{told:#?}");
            continue;
        }
        let speaks = found.iter().any(|f| f.check.id == id && f.severity == severity);
        assert!(speaks, "{id} {severity}: {told:#?}");
        fired.insert(id);
    }
    fired.extend(ELSEWHERE);
    fired.extend(OF_ITS_ORIGIN.iter().copied().flatten().map(|check| check.id));
    let silent: Vec<&str> = all().map(|check| check.id).filter(|id| !fired.contains(id)).collect();
    assert_eq!(silent, Vec::<&str>::new());
}

/// A check that is not in the list would be read last, and be cut first where much was found. The
/// source says what checks there are, whether or not their family is in the list.
#[test]
fn every_check_of_the_source_is_in_the_list() {
    let review = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain/review");
    let mut written = Vec::new();
    for file in source_files(&review) {
        let text = fs::read_to_string(&file).unwrap();
        let checks = text.lines().filter(|line| line.contains(": Check = Check {")).count();
        let ids = text.lines().filter_map(|line| line.trim().strip_prefix("id: \""));
        let ids: Vec<_> = ids.map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), checks, "{}", file.display());
        written.extend(ids);
    }
    written.sort();
    let mut listed: Vec<&str> = all().map(|check| check.id).collect();
    listed.sort_unstable();
    assert_eq!(written, listed);
    assert!(checks::urgency("SRC-11") < checks::urgency("VR-01"), "SRC-11 has its place");
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| source_files(folder))).collect()
}

/// Every check has a line of its own in the documentation.
#[test]
fn every_check_is_documented() {
    for check in all() {
        let row = format!("| {} | {} | {} |", check.id, check.title, check.why);
        assert!(PAGE.contains(&row), "docs/checks.md lacks:\n{row}");
    }
}

/// Each of the 85 ideas with what became of it: none is missing, and what the table says is checked
/// is what the code checks.
#[test]
fn every_idea_has_a_state_and_what_is_checked_exists() {
    let states: BTreeMap<&str, &str> = PAGE
        .lines()
        .skip_while(|line| *line != "## What became of every idea")
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(id, _)| id.contains('-') && !id.starts_with('-'))
        .filter_map(|(id, rest)| Some((id, rest.split(" | ").nth(1)?.trim_end_matches(" |"))))
        .collect();
    let families = [
        ("ID", 8),
        ("SRC", 11),
        ("CI", 9),
        ("AR", 8),
        ("HK", 11),
        ("DP", 8),
        ("CT", 13),
        ("CP", 11),
        ("VR", 6),
    ];
    let expected: Vec<String> = families
        .iter()
        .flat_map(|(family, count)| (1..=*count).map(move |n| format!("{family}-{n:02}")))
        .collect();
    assert_eq!(expected.len(), 85);
    for id in &expected {
        let state = states.get(id.as_str()).unwrap_or_else(|| panic!("{id} has no state"));
        let exists = all().any(|check| check.id == id);
        assert_eq!(state.starts_with("checked"), exists, "{id}: {state}");
    }
    assert_eq!(states.len(), expected.len(), "{states:#?}");
}

/// A baseline that exists and could not be read is no first release: nothing is quiet.
#[test]
fn without_a_readable_baseline_everything_is_new_and_loud() {
    let body = "module.exports = () => fetch('https://hook.example.invalid/x')\n";
    let candidate =
        npm_survey(&npm(&manifest("1.0.1", json!({})), &[("index.js", body.as_bytes())]));
    assert!(findings(None, &candidate).is_empty(), "a first release is told as a whole");
    let found = findings(Some(&Survey::nothing(&candidate)), &candidate);
    let told: BTreeSet<&str> = found.iter().map(|finding| finding.check.id).collect();
    assert!(told.is_superset(&BTreeSet::from(["CP-01", "CP-05"])), "{told:?}");
}

/// One line says what was looked for and not found, and leaves out what was.
#[test]
fn one_line_says_what_was_not_found() {
    let survey = benign();
    let line = |found: &[Finding]| checks::assurance(Extent::of(&survey), found.iter());
    let clean = line(&[]);
    assert!(clean.contains("in 2 files, 1 parsed as code. Nothing new of: code that"), "{clean}");
    let stands = |severity, since| {
        let found = after(json!({ "scripts": { "install": "x" } }), &[]).remove(0);
        line(&[Finding { severity, since, ..found }])
    };
    assert_eq!(stands(Severity::Note, Since::Unchanged), clean, "it stands as it did");
    assert_ne!(stands(Severity::Note, Since::New), clean, "a note is something, too");
    assert_ne!(stands(Severity::Look, Since::Unchanged), clean);
    let line = line(&after(json!({ "scripts": { "install": "x" } }), &[]));
    assert!(!line.contains("code that runs without being called"), "{line}");
    assert!(line.contains("secrets in clear"), "{line}");
}

/// The table of real packages names a test for every row, and each test is there.
#[test]
fn every_golden_row_names_a_test() {
    let sources = [include_str!("real.rs"), include_str!("large.rs")].concat();
    let (_, table) = PAGE.split_once("## Held against real packages").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| F")).collect();
    for (number, row) in (1..).zip(&rows) {
        assert!(row.starts_with(&format!("| F{number} |")), "{row}");
        let test = row.rsplit('`').nth(1).unwrap();
        assert!(sources.contains(&format!("fn {test}(")), "{test}");
        let large = sources.contains(&format!("async fn {test}("));
        assert_eq!(row.contains("(large)"), large, "{row}");
    }
    assert_eq!(rows.len(), 26);
}
