//! The shapes of incidents of the last years (security.md 1), each with an inert payload, at the
//! severity that stops it. More of them are in the file above this one.

use std::io::Cursor;

use countersign::domain::artifact::Filename;
use countersign::domain::review::finding::{Finding, Severity};
use countersign::inspect::survey::{Source, survey};
use countersign::inspect::{Failure, Limits};
use serde_json::json;

use super::{INDEX, after, benign, findings, manifest, npm_survey, short, wheel_survey};
use crate::readers::build;

fn says(found: &[Finding], id: &str, severity: Severity) -> bool {
    short(found).iter().any(|(check, grave, _)| *check == id && *grave == severity)
}

/// 1.11 axios: one dependency more in a patch version, and nothing that uses it.
#[test]
fn a_phantom_dependency_blocks() {
    let dependencies = json!({ "dependencies": { "left": "^1", "plain-right": "^4.2.1" } });
    let found = after(dependencies, &[]);
    assert!(says(&found, "DP-01", Severity::Look) && says(&found, "DP-03", Severity::Block));
    // Somebody uses it: in code, in types, or as a command of a script.
    let used: [(&str, &[u8]); 2] = [
        ("lib/use.js", b"module.exports = require('plain-right/sub')\n"),
        ("lib/use.d.ts", b"export { T } from \"plain-right\"\n"),
    ];
    for file in used {
        let dependencies = json!({ "dependencies": { "left": "^1", "plain-right": "^4.2.1" } });
        assert!(!says(&after(dependencies, &[file]), "DP-03", Severity::Block), "{}", file.0);
    }
}

/// 1.15 TanStack: an optional dependency from a commit, and a large file beside the package's own.
#[test]
fn a_git_dependency_and_a_large_root_file_are_said() {
    let optional = json!({ "dependencies": { "left": "^1" },
        "optionalDependencies": { "setup": "github:some/router#79ac49ee" } });
    let payload = format!("const a = 1\n{}", "a(1);".repeat(100_000));
    let found = after(optional, &[("router_init.js", payload.as_bytes())]);
    assert!(says(&found, "DP-02", Severity::Block), "{:?}", short(&found));
    assert!(says(&found, "CT-05", Severity::Look) && says(&found, "CT-06", Severity::Look));
}

/// 1.9 LiteLLM 1.82.7, 1.10 Telnyx: a module that unpacks and runs something when it is imported.
#[test]
fn what_a_module_unpacks_and_runs_when_imported_blocks() {
    let before = wheel_survey(&[("hello_wire/proxy.py", b"x = 1\n")]);
    let body: &[u8] = b"import base64, subprocess, sys\n\
        code = base64.b64decode('cGFzcw==')\n\
        subprocess.Popen([sys.executable, '-c', code])\n";
    let found = findings(Some(&before), &wheel_survey(&[("hello_wire/proxy.py", body)]));
    assert!(says(&found, "HK-10", Severity::Block), "{:?}", short(&found));
    // The same in a function that nobody calls yet is a new ability and no more.
    let later: &[u8] =
        b"import subprocess, sys\n\ndef run():\n    subprocess.run([sys.executable])\n";
    let found = findings(Some(&before), &wheel_survey(&[("hello_wire/proxy.py", later)]));
    assert_eq!(short(&found), [("CP-02", Severity::Look, "hello_wire/proxy.py")]);
}

/// 1.9, 1.13: a startup file reaches site-packages by the data folder of a wheel too (P6).
#[test]
fn a_startup_file_below_the_environment_blocks() {
    let name = "hello_wire-1.0.0.data/data/lib/python3.12/site-packages/zz.pth";
    let found = findings(Some(&wheel_survey(&[])), &wheel_survey(&[(name, b"import os\n")]));
    assert!(says(&found, "HK-06", Severity::Block), "{:?}", short(&found));
    // So does a module of another project.
    let name = "hello_wire-1.0.0.data/purelib/requests/__init__.py";
    let found = findings(Some(&wheel_survey(&[])), &wheel_survey(&[(name, b"")]));
    assert!(found.iter().any(|f| f.check.id == "HK-05" && f.evidence == "import requests"));
}

/// 1.12 Bitwarden: a command that is called like one that people have (N7, P7).
#[test]
fn a_command_that_shadows_another_blocks() {
    let found = after(json!({ "bin": { "ssh": "index.js" } }), &[]);
    assert!(says(&found, "HK-04", Severity::Block), "{:?}", short(&found));
    let points: (&str, &[u8]) =
        ("hello_wire-1.0.0.dist-info/entry_points.txt", b"[console_scripts]\npip = hello_wire:x\n");
    let found = findings(Some(&wheel_survey(&[])), &wheel_survey(&[points]));
    assert!(says(&found, "HK-08", Severity::Block), "{:?}", short(&found));
}

/// An escaped key is the key it means; a key that is there twice is no manifest (AR-05).
#[test]
fn an_escaped_hook_is_a_hook_and_a_key_twice_is_refused() {
    let text =
        r#"{"name":"hello-wire","version":"1.0.1","scripts":{"\u0070ostinstall":"node index.js"}}"#;
    let tarball = |text: &str| {
        build::tgz(&[
            build::file("package/package.json", text.as_bytes()),
            build::file("package/index.js", INDEX.1),
        ])
    };
    let found = findings(Some(&benign()), &npm_survey(&tarball(text)));
    assert!(says(&found, "HK-01", Severity::Block), "{:?}", short(&found));
    let twice =
        r#"{"name":"hello-wire","version":"1.0.1","scripts":{},"scripts":{"postinstall":"x"}}"#;
    let refused = survey(Cursor::new(tarball(twice)), Source::Npm, &Limits::default());
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
}

/// What two readers would read differently never reaches a check (AR-02, AR-04).
#[test]
fn archives_with_two_meanings_are_refused_before_any_check() {
    let manifest = manifest("1.0.1", json!({})).to_string();
    let twice = build::tgz(&[
        build::file("package/package.json", manifest.as_bytes()),
        build::file("package/index.js", b"1"),
        build::file("package/index.js", b"2"),
    ]);
    let refused = survey(Cursor::new(twice), Source::Npm, &Limits::default());
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
    let mut files = build::wheel_files();
    let record = build::record(&files);
    files[0].1 = b"x = 2\n".to_vec();
    let name = Filename::parse("hello_wire-1.0.0-py3-none-any.whl").unwrap();
    let wheel = build::wheel(&files, &record);
    let refused = survey(Cursor::new(wheel), Source::Python(&name), &Limits::default());
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
}
