//! What parsers read in code: imports, calls while it is loaded, and text that only looks like code.

use std::io::Cursor;

use countersign::domain::review::survey::{Parsed, Sort, SurveyedFile};
use countersign::inspect::Limits;
use countersign::inspect::survey::{Source, survey_baseline};
use serde_json::json;

use super::{manifest, npm, npm_survey, wheel_survey};

/// What is not read again of a baseline is as it would be read.
#[test]
fn a_baseline_beside_its_candidate_is_surveyed_as_if_it_were_alone() {
    let package = |files: &[(&str, &[u8])]| npm(&manifest("1.0.0", json!({})), files);
    let runs: &[u8] = b"require('child_process').exec('a')\n";
    let same: (&str, &[u8]) = ("same.js", b"fetch('https://a.example/')\n");
    let candidate = package(&[same, ("changed.js", b"b()\n"), ("docs.md", runs)]);
    let baseline = package(&[same, ("changed.js", b"eval(a)\n"), ("docs.js", runs)]);
    let beside = survey_baseline(
        Cursor::new(&baseline),
        Source::Npm,
        &Limits::default(),
        &npm_survey(&candidate),
    );
    assert_eq!(beside.unwrap().files, npm_survey(&baseline).files);
}

/// The one file of a package.
fn javascript(name: &str, text: &str) -> SurveyedFile {
    let survey = npm_survey(&npm(&manifest("1.0.0", json!({})), &[(name, text.as_bytes())]));
    survey.at(name).unwrap().clone()
}

fn python(text: &str) -> SurveyedFile {
    let survey = wheel_survey(&[("hello_wire/more.py", text.as_bytes())]);
    survey.at("hello_wire/more.py").unwrap().clone()
}

fn imports(file: &SurveyedFile) -> Vec<&str> {
    file.code.as_ref().unwrap().imports.iter().map(|import| import.module.as_str()).collect()
}

fn on_load(file: &SurveyedFile) -> Vec<(Sort, u32)> {
    file.code.as_ref().unwrap().on_load.iter().map(|mark| (mark.sort, mark.line)).collect()
}

fn sorts(file: &SurveyedFile) -> Vec<Sort> {
    file.marks.iter().map(|mark| mark.sort).collect()
}

/// A line without an end counts, wherever the pieces end in which a file is read (CT-06).
#[test]
fn a_file_of_one_line_has_a_line_at_every_length() {
    for length in [1, (64 << 10) - 1, 64 << 10, 3 * (64 << 10)] {
        let file = javascript("index.js", &"a".repeat(length));
        assert_eq!((file.lines, file.longest_line), (1, length as u64));
    }
}

#[test]
fn modules_are_found_however_they_are_named() {
    let text = "import a from 'a'\nexport * from \"b\"\nconst c = require('c')\n\
        import('d')\nexport { x } from './e.js'\nimport type { T } from 'types-only'\n";
    assert_eq!(imports(&javascript("index.ts", text)), ["a", "b", "c", "d", "./e.js"]);
    let text = "import a.b as x\nfrom c import d\nfrom . import e\n__import__('f')\n\
        from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import types_only\n";
    assert_eq!(imports(&python(text)), ["a.b", "c", ".", "f", "typing"]);
    let optional = javascript("index.js", "try { require('a') } catch {}\nrequire('b')\n");
    let told: Vec<bool> = optional.code.unwrap().imports.iter().map(|i| i.optional).collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn what_runs_while_loading_is_told_from_what_runs_later() {
    let text = "const { execSync: run } = require('node:child_process')\n\
        run('a')\n\
        function later() { run('b') }\n\
        (() => { run('c') })()\n\
        ;(function () { eval(x) }).call(this)\n\
        class A { field = run('d'); static now = run('e') }\n";
    let file = javascript("index.js", text);
    let expected =
        [(Sort::Programs, 2), (Sort::Programs, 4), (Sort::DynamicCode, 5), (Sort::Programs, 6)];
    assert_eq!(on_load(&file), expected);
    let text = "from subprocess import run as go\n\
        go('a')\n\
        def later(x=go('b')):\n    go('c')\n\
        class A:\n    y = go('d')\n\
        f = lambda: go('e')\n\
        if __name__ == '__main__':\n    go('f')\n";
    let lines: Vec<u32> = on_load(&python(text)).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, [2, 3, 6]);
}

#[test]
fn comments_documentation_and_other_peoples_names_are_no_code() {
    let quiet = "// eval(x), fetch(y) and child_process\n/* https://a.example/ ~/.npmrc */\n\
        class Store { fetch() { return this.fetch() } }\n\
        const root = Function('return this')()\n";
    assert_eq!(sorts(&javascript("index.js", quiet)), []);
    let quiet = "\"\"\"Uses subprocess; see https://a.example/ and ~/.netrc\"\"\"\n\
        def evaluate(x):\n    '''exec(x)'''\n    return model.eval()\n";
    assert_eq!(sorts(&python(quiet)), []);
    let own = "import { fetch } from './fetch.js'\nfetch('x')\n";
    assert_eq!(sorts(&javascript("index.js", own)), []);
}

#[test]
fn names_that_are_put_together_or_passed_on_are_followed() {
    let cases = [
        "const cp = require('child_' + 'process')\n",
        "process.mainModule.require('child_process')\n",
        "process.getBuiltinModule('node:child_process')\n",
        "const { spawn } = await import('child_process')\n",
        "import * as cp from 'child_process'\nmodule.exports = cp['exec']\n",
    ];
    for text in cases {
        let file = javascript("index.mjs", text);
        assert!(sorts(&file).contains(&Sort::Programs), "{text}: {file:?}");
    }
    assert!(sorts(&javascript("index.js", cases[0])).contains(&Sort::Obfuscated));
    let decoded = "new Function(Buffer.from(text, 'base64').toString())()\n";
    assert!(sorts(&javascript("index.js", decoded)).contains(&Sort::Obfuscated));
    let decoded = "import base64 as b\nexec(compile(b.b64decode(x), '', 'exec'))\n";
    assert!(sorts(&python(decoded)).contains(&Sort::Obfuscated));
}

#[test]
fn a_program_without_an_ending_is_known_by_its_first_line() {
    let file = javascript("bin/run", "#!/usr/bin/env node\nrequire('child_process').exec('x')\n");
    assert_eq!(on_load(&file), [(Sort::Programs, 2)]);
}

/// What no parser reads is searched for words as before, and says so.
#[test]
fn what_cannot_be_parsed_is_searched_and_said() {
    let broken = javascript("index.js", "const = }\nchild_process\n");
    assert_eq!(broken.code.as_ref().unwrap().parsed, Parsed::Broken);
    assert_eq!(sorts(&broken), [Sort::Programs]);
    let long = javascript("index.js", &format!("x = {}1\n", "1 + ".repeat(50_000)));
    assert_eq!(long.code.as_ref().unwrap().parsed, Parsed::Whole);
    let large = format!("// {}\n", "x".repeat(1_000)).repeat(13_000);
    let large = format!("{large}require('child_process')\n");
    let large = javascript("index.js", &large);
    assert_eq!(large.code.as_ref().unwrap().parsed, Parsed::TooLarge);
    assert_eq!(sorts(&large), [Sort::Programs]);
}

/// A flood of one sort hides no other, and is said.
#[test]
fn many_hosts_hide_nothing() {
    let hosts: Vec<String> = (0..500).map(|n| format!("'https://h{n}.example/'\n")).collect();
    let hosts = hosts.concat();
    let file = javascript("index.js", &format!("{hosts}require('child_process')\n"));
    assert!(sorts(&file).contains(&Sort::Programs));
    let hosts: Vec<_> = file.marks.iter().filter(|mark| mark.sort == Sort::Host).collect();
    assert_eq!(hosts.last().unwrap().excerpt, "and more");
}
