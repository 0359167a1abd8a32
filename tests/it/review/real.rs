//! The review checks over real packages: upgrades that must say something, upgrades that must stay
//! quiet, and pairs of files of one release. `scripts/tools.sh` fetches them and pins each by digest.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use countersign::domain::artifact::Filename;
use countersign::domain::review::checks;
use countersign::domain::review::delta::Comparison;
use countersign::domain::review::finding::Severity;
use countersign::domain::review::survey::Survey;
use countersign::inspect::Limits;
use countersign::inspect::survey::{Source, survey};

use super::{findings, npm_survey, short};

/// The real packages that `scripts/tools.sh` fetched.
fn fixture(file: &str) -> Survey {
    let tools = std::env::var_os("COUNTERSIGN_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"),
        PathBuf::from,
    );
    let path = tools.join("fixtures").join(file);
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/tools.sh fetches it", path.display()));
    if Path::new(file).extension().is_some_and(|extension| extension == "tgz") {
        return npm_survey(&bytes);
    }
    let name = Filename::parse(&spelled_anew(file)).unwrap();
    survey(Cursor::new(bytes), Source::Python(&name), &Limits::default()).unwrap()
}

/// The name that tools of today would have given, where older ones kept capitals and dashes.
fn spelled_anew(file: &str) -> String {
    let (project, rest) = match file.strip_suffix(".tar.gz") {
        Some(stem) => file.split_at(stem.rfind('-').unwrap()),
        None => file.split_at(file.find('-').unwrap()),
    };
    format!("{}{rest}", project.to_lowercase().replace('-', "_"))
}

/// What a pair of real versions must say: each as `check severity`, and what it is about.
struct Golden {
    before: &'static str,
    after: &'static str,
    files: usize,
    says: &'static [(&'static str, &'static str)],
    /// Checks that may say nothing at all.
    quiet: &'static [&'static str],
}

const COVERAGE: [&str; 2] = [
    "coverage-7.9.2-cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64.manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "coverage-7.13.0-cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64.manylinux_2_5_x86_64.whl",
];

const GOLDEN: [Golden; 14] = [
    Golden {
        before: "core-js-2.6.5.tgz",
        after: "core-js-2.6.6.tgz",
        files: 22,
        says: &[
            ("HK-01 block", "postinstall: node scripts/postinstall"),
            ("HK-02 look", "scripts/postinstall.js"),
        ],
        quiet: &["CT-"],
    },
    Golden {
        before: "core-js-2.6.5.tgz",
        after: "core-js-2.6.12.tgz",
        files: 27,
        says: &[("HK-01 block", "node -e"), ("HK-02 look", "postinstall.js")],
        quiet: &["CT-"],
    },
    Golden {
        before: "source-map-0.6.1.tgz",
        after: "source-map-0.7.4.tgz",
        files: 22,
        says: &[("CT-01 look", "lib/mappings.wasm")],
        quiet: &["HK-01", "HK-03"],
    },
    Golden {
        before: "fsevents-1.2.13.tgz",
        after: "fsevents-2.3.3.tgz",
        files: 17,
        says: &[("CT-01 look", "fsevents.node")],
        quiet: &["HK-01", "HK-03", "DP-"],
    },
    Golden {
        before: "express-4.21.1.tgz",
        after: "express-4.21.2.tgz",
        files: 2,
        says: &[],
        quiet: &[""],
    },
    Golden {
        before: "chalk-4.1.2.tgz",
        after: "chalk-5.0.0.tgz",
        files: 15,
        says: &[("HK-05 look", "exports: ./source/index.js"), ("HK-05 look", "type: module")],
        quiet: &["CT-", "DP-"],
    },
    Golden {
        before: "undici-6.21.0.tgz",
        after: "undici-7.0.0.tgz",
        files: 156,
        says: &[],
        quiet: &["CT-", "CP-01", "CP-02", "CP-03"],
    },
    Golden {
        before: "Flask-2.2.5-py3-none-any.whl",
        after: "Flask-2.3.0-py3-none-any.whl",
        files: 23,
        says: &[("DP-01 look", "blinker")],
        quiet: &["HK-", "CT-01"],
    },
    Golden {
        before: COVERAGE[0],
        after: COVERAGE[1],
        files: 56,
        says: &[("HK-06 block", "a1_coverage.pth")],
        quiet: &["CT-", "CP-"],
    },
    Golden {
        before: "setuptools-47.3.2-py3-none-any.whl",
        after: "setuptools-50.0.0-py3-none-any.whl",
        files: 120,
        says: &[
            ("HK-06 block", "distutils-precedence.pth"),
            ("HK-05 look", "import _distutils_hack"),
        ],
        quiet: &["CT-01"],
    },
    Golden {
        before: "pytest_cov-6.3.0-py3-none-any.whl",
        after: "pytest_cov-7.0.0-py3-none-any.whl",
        files: 11,
        says: &[],
        quiet: &["HK-06", "CT-"],
    },
    Golden {
        before: "attrs-21.2.0-py2.py3-none-any.whl",
        after: "attrs-21.3.0-py2.py3-none-any.whl",
        files: 32,
        says: &[("HK-05 look", "import attrs")],
        quiet: &["HK-06", "CT-"],
    },
    Golden {
        before: "tqdm-4.45.0-py2.py3-none-any.whl",
        after: "tqdm-4.46.0-py2.py3-none-any.whl",
        files: 8,
        says: &[("CP-01 look", "tqdm/contrib/telegram.py"), ("CP-05 look", "api.telegram.org")],
        quiet: &["CP-03", "CP-06"],
    },
    Golden {
        before: "pip-21.2.4-py3-none-any.whl",
        after: "pip-21.3-py3-none-any.whl",
        files: 147,
        says: &[
            ("CT-01 look", "pip/_vendor/distlib/t64-arm.exe"),
            ("CT-01 look", "pip/_vendor/distlib/w64-arm.exe"),
        ],
        quiet: &["AR-", "HK-06"],
    },
];

/// Real upgrades: what must be said is said, the rest is quiet, and nothing benign blocks but what
/// should stop a person once.
#[test]
fn real_upgrades_say_what_they_must_and_nothing_loud() {
    for golden in GOLDEN {
        let (before, after) = (fixture(golden.before), fixture(golden.after));
        let comparison = Comparison { baseline: Some(&before), candidate: &after };
        let found = findings(Some(&before), &after);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        let name = golden.after;
        assert_eq!(comparison.files().len(), golden.files, "{name}: {told:#?}");
        for (check, about) in golden.says {
            let (id, severity) = check.split_once(' ').unwrap();
            let start = format!("{severity} {id}:");
            let said = |line: &&String| line.starts_with(&start) && line.contains(about);
            assert!(told.iter().any(|line| said(&line)), "{name}: {check} {about}: {told:#?}");
        }
        for finding in &found {
            let loud = golden.quiet.iter().any(|id| finding.check.id.starts_with(id));
            assert!(!loud, "{name}: {finding}");
            let expected =
                |(check, _): &(&str, &str)| *check == format!("{} block", finding.check.id);
            let may_block = golden.says.iter().any(expected);
            assert!(finding.severity < Severity::Block || may_block, "{name}: {finding}");
        }
    }
}

/// A grammar that npm builds without a script, with the usual way to find its headers.
#[test]
fn an_ordinary_native_add_on_does_not_block() {
    let found = findings(None, &fixture("tree-sitter-python-0.19.0.tgz"));
    assert_eq!(short(&found), [("HK-03", Severity::Look, "binding.gyp")]);
}

