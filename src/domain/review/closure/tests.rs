//! Walks over small workflows, actions and Dockerfiles.

use super::lines::{HEAD, escape, unescape};
use super::*;
use crate::domain::digest::Sha256;
use crate::domain::review::finding::Severity;
use crate::domain::review::workflow;

const COMMIT: &str = "1111111111111111111111111111111111111111";
const HOME: (&str, &str) = ("octo/lib", COMMIT);
const PATH: &str = ".github/workflows/release.yml";

/// Walks over files by `repository path`; a reference is its own commit, padded.
fn walk(files: &[(&str, &str)], before: Option<&Closure>) -> Seen {
    let mut walk = Walk::start(HOME, HOME.0, PATH, COMMIT);
    while let Some(wanted) = walk.next_wanted() {
        let found = wanted.paths.iter().find_map(|path| {
            let name = format!("{}@{} {path}", wanted.repository, wanted.reference);
            let found = files.iter().find(|(known, _)| {
                *known == name || *known == format!("{} {path}", wanted.repository)
            });
            found.map(|(_, text)| (path.clone(), (*text).to_owned()))
        });
        let answer = match found {
            Some((path, text)) => Answer::Found(Found {
                commit: if workflow::is_commit(&wanted.reference) {
                    wanted.reference.clone()
                } else {
                    "2".repeat(40)
                },
                reachable: !text.contains("impostor"),
                blob: Sha256::of(text.as_bytes()).to_string()[..40].to_owned(),
                path,
                text,
            }),
            None => Answer::Unread("no mirror is configured".to_owned()),
        };
        walk.take(wanted, answer);
    }
    walk.finish(before)
}

fn shown(seen: &Seen) -> Vec<String> {
    seen.findings.iter().map(ToString::to_string).collect()
}

const WORKFLOW: (&str, &str) = (
    "octo/lib .github/workflows/release.yml",
    "\
on: push
jobs:
  publish:
    permissions: { id-token: write }
    steps:
      - uses: pre-commit/action@3333333333333333333333333333333333333333
      - uses: pypa/publish@4444444444444444444444444444444444444444
",
);

/// The two published examples of pins that pin little, and a nested action by a moving tag.
#[test]
fn pinned_actions_are_looked_into_to_their_end() {
    let files = [
        WORKFLOW,
        (
            "pre-commit/action action.yml",
            "runs:\n  using: composite\n  steps:\n    - run: pip install pre-commit\n    - uses: actions/cache@v4\n",
        ),
        ("pypa/publish action.yml", "runs: { using: docker, image: Dockerfile }\n"),
        ("pypa/publish Dockerfile", "FROM python:3.12-slim\n"),
        ("actions/cache action.yml", "runs: { using: node20, main: dist/index.js }\n"),
        ("actions/cache dist/index.js", "x"),
    ];
    let seen = walk(&files, None);
    assert_eq!(seen.unread, Vec::<String>::new());
    let all = shown(&seen).join("\n");
    for expected in [
        "block CI-01: An action that can become another one `actions/cache@v4",
        "in pre-commit/action/action.yml:5",
        "look CI-03: An image named without its digest `python:3.12-slim` in pypa/publish/Dockerfile:1",
        "look CI-04",
        "look CI-08",
    ] {
        assert!(all.contains(expected), "{expected}:\n{all}");
    }
    assert!(!all.contains("pypa/publish@4"), "{all}");
    let text = seen.closure.text();
    assert!(text.starts_with("countersign/closure/v1\n"), "{text}");
    assert_eq!(text.lines().count(), 10, "{text}");
    assert!(text.contains("bundle actions/cache dist/index.js v4 2222"), "{text}");
    assert_eq!(Closure::try_from(text.clone()).unwrap(), seen.closure);
    assert_eq!(seen.closure.sha256(), Sha256::of(text.as_bytes()));
}

#[test]
fn the_same_closure_twice_is_quiet_and_a_difference_is_not() {
    let action =
        |tag: &str| format!("runs:\n  using: composite\n  steps:\n    - uses: o/x@{tag}\n");
    let (v1, v2) = (action(&"5".repeat(40)), action(&"6".repeat(40)));
    let leaf = ("o/x action.yml", "runs: { using: composite }\n");
    let publish = ("pypa/publish action.yml", "runs: { using: composite }\n");
    let first = walk(&[WORKFLOW, ("pre-commit/action action.yml", &v1), publish, leaf], None);
    assert_eq!(shown(&first), Vec::<String>::new());
    let same = walk(
        &[WORKFLOW, ("pre-commit/action action.yml", &v1), publish, leaf],
        Some(&first.closure),
    );
    assert_eq!((shown(&same), same.closure.sha256()), (Vec::new(), first.closure.sha256()));
    let other = walk(
        &[WORKFLOW, ("pre-commit/action action.yml", &v2), publish, leaf],
        Some(&first.closure),
    );
    let all = shown(&other).join("\n");
    assert!(all.contains(&format!("o/x@{}, was o/x@{}", "6".repeat(40), "5".repeat(40))), "{all}");
    assert_ne!(other.closure.sha256(), first.closure.sha256());
    let fewer = (WORKFLOW.0, "on: push\njobs:\n  a:\n    steps: []\n");
    let gone = walk(&[fewer], Some(&first.closure));
    assert!(shown(&gone).join("\n").contains("takes part no longer"));
}

#[test]
fn a_standing_mutable_reference_is_quiet_only_when_what_it_means_is_known() {
    let text = "on: push\njobs:\n  a:\n    environment: x\n    steps:\n      - uses: o/x@v1\n";
    let start = (WORKFLOW.0, text);
    let blind = walk(&[start], None);
    assert!(shown(&blind)[0].starts_with("block CI-01"));
    assert_eq!(blind.unread, ["o/x@v1: no mirror is configured"]);
    let again = walk(&[start], Some(&blind.closure));
    assert!(shown(&again)[0].starts_with("look CI-01"));
    let files = [start, ("o/x action.yml", "runs: { using: composite }")];
    let known = walk(&files, None);
    let again = walk(&files, Some(&known.closure));
    assert!(shown(&again)[0].starts_with("note CI-01"), "{:?}", shown(&again));
}

#[test]
fn a_pin_to_a_commit_of_a_stranger_blocks() {
    let files =
        [WORKFLOW, ("pypa/publish action.yml", "name: impostor\nruns: { using: composite }\n")];
    let all = shown(&walk(&files, None)).join("\n");
    assert!(
        all.contains("block CI-01") && all.contains("in no branch or tag of pypa/publish"),
        "{all}"
    );
}

#[test]
fn circles_end_and_long_chains_are_said_to_be_cut() {
    let text = "on: push\njobs:\n  a:\n    uses: ./.github/workflows/release.yml\n";
    let seen = walk(&[(WORKFLOW.0, text)], None);
    assert_eq!(seen.closure.lines().len(), 1);
    let step = |n: usize| {
        format!("runs:\n  using: composite\n  steps:\n    - uses: o/x{n}@{}\n", "7".repeat(40))
    };
    let names: Vec<String> = (0..30).map(|n| format!("o/x{n} action.yml")).collect();
    let texts: Vec<String> = (1..31).map(step).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let first =
        format!("on: push\njobs:\n  a:\n    steps:\n      - uses: o/x0@{}\n", "7".repeat(40));
    files.push((WORKFLOW.0, &first));
    let seen = walk(&files, None);
    assert!(seen.unread.iter().any(|text| text.contains("deeper")), "{:?}", seen.unread);
}

#[test]
fn hostile_names_stay_one_word_of_one_line() {
    for text in ["a b", "a\nb", "%", "-", "", "é", "x%20y"] {
        let word = escape(text);
        assert!(!word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
        assert_eq!(unescape(&word).as_deref(), Some(text));
    }
    assert!(Closure::try_from("x\n".to_owned()).is_err());
    assert!(Closure::try_from(format!("{HEAD}\naction a\n")).is_err());
}

#[test]
fn a_change_of_who_can_publish_blocks_and_of_a_lock_file_is_noted() {
    let change = |path, before, after, publishes| {
        pipeline_change(&PipelineChange { path, before, after, publishes }).map(|f| f.severity)
    };
    let with = |on: &str| format!("on: {on}\njobs:\n  a: {{}}\n");
    let (push, any) = (with("push"), with("workflow_dispatch"));
    let comment = format!("# x\n{push}");
    assert_eq!(change(PATH, Some(&push), Some(&any), true), Some(Severity::Block));
    assert_eq!(change(PATH, Some(&push), Some(&any), false), Some(Severity::Look));
    assert_eq!(change(PATH, Some(&push), Some(&comment), true), Some(Severity::Look));
    assert_eq!(change(PATH, Some(&push), Some("["), true), Some(Severity::Block));
    assert_eq!(change("yarn.lock", Some("a"), Some("b"), false), Some(Severity::Note));
    assert_eq!(change("src/a.js", Some("a"), Some("b"), false), None);
}
