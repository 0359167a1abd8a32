//! Files, commits and tags of small releases beside small repositories.

use std::collections::BTreeMap;

use super::*;
use crate::domain::artifact::{ArtifactKind, Facts, NpmFacts, PypiFacts};
use crate::domain::digest::Sha256;
use crate::domain::package::{Ecosystem, Version};

fn npm(package_json: &str) -> Facts {
    Facts::Npm(NpmFacts {
        name: "lib".to_owned(),
        version: "1.1.0".to_owned(),
        package_json: serde_json::from_str(package_json).unwrap(),
        readme: None,
        readme_filename: None,
        has_binding_gyp: false,
        has_shrinkwrap: false,
        file_count: 0,
        unpacked_bytes: 0,
    })
}

fn pypi(kind: ArtifactKind) -> Facts {
    Facts::Pypi(PypiFacts {
        kind,
        name: "lib".to_owned(),
        version: "1.1.0".to_owned(),
        pyversion: "py3".to_owned(),
        fields: Vec::new(),
        description: None,
        file_count: 0,
        unpacked_bytes: 0,
    })
}

fn files(list: &[(&str, &str)]) -> Vec<ArtifactFile> {
    let file = |(path, content): &(&str, &str)| ArtifactFile {
        path: (*path).to_owned(),
        place: (*path).to_owned(),
        blob: Sha1::of_git_blob(content.as_bytes()),
        sha256: Sha256::of(content.as_bytes()),
        executable: false,
        only_version: is_only_version(path, content),
    };
    list.iter().map(file).collect()
}

fn tree(list: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, content) in list {
        tree.add((*path).to_owned(), Sha1::of_git_blob(content.as_bytes()));
    }
    tree
}

/// Compares with every content of Git at hand; counts as exact, elsewhere, rewritten, generated,
/// differs, missing, and the findings.
fn compare(
    facts: &Facts,
    packed: &[(&str, &str)],
    git: &[(&str, &str)],
    earlier: &BTreeMap<String, Sha1>,
) -> ([usize; 6], Vec<String>) {
    let (packed, list) = (files(packed), tree(git));
    let candidate = Candidate { file_name: "lib.tgz", facts, files: &packed };
    let mut matching = Matching::new(candidate, &list, None, earlier);
    let contents: BTreeMap<Sha1, Vec<u8>> = git
        .iter()
        .map(|(_, text)| (Sha1::of_git_blob(text.as_bytes()), text.as_bytes().to_vec()))
        .filter(|(blob, _)| matching.wanted().contains(blob))
        .collect();
    matching.settle(&contents);
    let n = matching.counts();
    let counts = [n.exact, n.elsewhere, n.rewritten, n.generated, n.differs, n.missing];
    (counts, matching.findings().iter().map(ToString::to_string).collect())
}

/// As in chalk 5.0.0 and source-map 0.7.4: every file of the package is in Git, and nothing is
/// said.
#[test]
fn a_package_that_is_its_repository_is_exact_and_quiet() {
    let list =
        [("package.json", "{\"name\":\"lib\"}"), ("source/index.js", "x"), ("license", "MIT")];
    let git = [&list[..], &[("test/a.js", "t"), (".github/workflows/ci.yml", "on: push")]].concat();
    let found = compare(&npm("{\"name\":\"lib\"}"), &list, &git, &BTreeMap::new());
    assert_eq!(found, ([3, 0, 0, 0, 0, 0], Vec::new()));
}

/// As in flask 2.3.0: the sdist is the repository with what setuptools makes, the wheel has the
/// files of `src/` and its own folder.
#[test]
fn an_sdist_and_a_wheel_are_found_with_what_setuptools_makes() {
    let git = [
        ("pyproject.toml", "[project]"),
        ("src/lib/__init__.py", "import a"),
        ("src/lib/a.py", "a = 1"),
        ("LICENSE", "BSD"),
        ("setup.cfg", "[x]\n"),
    ];
    let sdist = [
        ("pyproject.toml", "[project]"),
        ("src/lib/__init__.py", "import a"),
        ("src/lib/a.py", "a = 1"),
        ("LICENSE", "BSD"),
        ("PKG-INFO", "Name: lib"),
        ("setup.cfg", "[x]\n\n[egg_info]\n"),
        ("src/lib.egg-info/PKG-INFO", "Name: lib"),
        ("src/lib.egg-info/SOURCES.txt", "x"),
    ];
    let none = BTreeMap::new();
    let found = compare(&pypi(ArtifactKind::Sdist), &sdist, &git, &none);
    assert_eq!(found, ([4, 0, 0, 4, 0, 0], Vec::new()));
    let wheel = [
        ("lib/__init__.py", "import a"),
        ("lib/a.py", "a = 1"),
        ("lib-1.1.0.dist-info/METADATA", "m"),
        ("lib-1.1.0.dist-info/RECORD", "r"),
        ("lib-1.1.0.dist-info/LICENSE", "BSD"),
    ];
    let found = compare(&pypi(ArtifactKind::Wheel), &wheel, &git, &none);
    assert_eq!(found, ([0, 3, 0, 2, 0, 0], Vec::new()));
}

#[test]
fn a_file_that_is_only_in_the_artifact_is_said_by_what_it_can_do() {
    let git = [("lib/a.py", "a = 1")];
    let wheel = [
        ("lib/a.py", "a = 1"),
        ("lib/evil.py", "steal()"),
        ("lib/table.csv", "1"),
        ("lib_init.pth", "import os"),
        ("lib-1.1.0.dist-info/evil.py", "x"),
    ];
    let (counts, said) = compare(&pypi(ArtifactKind::Wheel), &wheel, &git, &BTreeMap::new());
    assert_eq!(counts, [1, 0, 0, 0, 0, 4]);
    assert_eq!(
        said,
        [
            "block SRC-04: A file that is not in Git `it runs by itself` in lib_init.pth",
            "look SRC-04: A file that is not in Git in lib/table.csv",
            "block SRC-04: A file that is not in Git in lib/evil.py",
            "block SRC-04: A file that is not in Git in lib-1.1.0.dist-info/evil.py",
        ]
    );
}

/// As in the xz release: harmless where it is in Git, and run from where it was put.
#[test]
fn a_file_that_runs_by_itself_from_a_new_place_is_looked_at() {
    let git = [("lib/a.py", "a = 1"), ("tests/sample.txt", "import os")];
    let wheel = [("lib/a.py", "a = 1"), ("lib.pth", "import os")];
    let (counts, said) = compare(&pypi(ArtifactKind::Wheel), &wheel, &git, &BTreeMap::new());
    assert_eq!(counts, [1, 1, 0, 0, 0, 0]);
    assert!(said[0].starts_with("look SRC-04") && said[0].contains("tests/sample.txt"), "{said:?}");
}

#[test]
fn code_in_the_place_of_other_code_differs_although_git_has_it_somewhere() {
    let git = [
        ("lib/a.py", "a = 1"),
        ("tests/evil.py", "steal()"),
        ("README.md", "long"),
        ("docs/r.md", "short"),
    ];
    let sdist = [("lib/a.py", "steal()"), ("tests/evil.py", "steal()"), ("README.md", "short")];
    let (counts, said) = compare(&pypi(ArtifactKind::Sdist), &sdist, &git, &BTreeMap::new());
    assert_eq!(counts, [1, 1, 0, 0, 1, 0]);
    let expected = "block SRC-05: A file that differs from the one in Git `what Git has as tests/evil.py` in lib/a.py";
    assert_eq!(said, [expected]);
}

#[test]
fn what_packing_changes_is_undone_and_everything_else_differs() {
    let git_json = r#"{"name":"lib","version":"0.0.0","dependencies":{"a":"workspace:^","b":"1"}}"#;
    let json =
        r#"{"name":"lib","version":"1.1.0","gitHead":"abc","dependencies":{"a":"^2.0.0","b":"1"}}"#;
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n",
        Sha256::of(b"large")
    );
    let git =
        [("package.json", git_json), ("a.js", "a\nb\n"), ("b.js", "b\r\n"), ("big.wasm", &pointer)];
    let packed =
        [("package.json", json), ("a.js", "a\r\nb\r\n"), ("b.js", "b\n"), ("big.wasm", "large")];
    let none = BTreeMap::new();
    assert_eq!(compare(&npm(json), &packed, &git, &none), ([0, 0, 4, 0, 0, 0], Vec::new()));
    for (hostile, member) in [
        (json.replace("\"b\":\"1\"", "\"b\":\"1\",\"c\":\"1\""), "dependencies"),
        (json.replace("^2.0.0", "npm:evil@1"), "dependencies"),
        (json.replace("{\"name\"", "{\"scripts\":{\"install\":\"x\"},\"name\""), "scripts"),
    ] {
        let packed = [("package.json", hostile.as_str()), ("a.js", "a\nb\n")];
        let (_, said) = compare(&npm(&hostile), &packed, &git, &none);
        assert_eq!(
            said,
            [format!(
                "block SRC-05: A file that differs from the one in Git `{member}` in package.json"
            )]
        );
    }
    let (_, said) = compare(&npm("{}"), &[("a.js", "a\nc\n"), ("big.wasm", "other")], &git, &none);
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn what_an_approved_release_had_is_expected_unless_it_runs_by_itself_and_changed() {
    let facts = npm(r#"{"scripts":{"postinstall":"node dist/setup"}}"#);
    let git = [("src/a.ts", "a")];
    let first = [("dist/a.js", "1"), ("dist/setup.js", "1")];
    let (packed, list, none) = (files(&first), tree(&git), BTreeMap::new());
    let candidate = Candidate { file_name: "x", facts: &facts, files: &packed };
    let matching = Matching::new(candidate, &list, None, &none);
    assert_eq!(matching.findings().len(), 2);
    let earlier = matching.outside();
    let again = compare(&facts, &first, &git, &earlier);
    assert_eq!(again, ([0, 0, 0, 2, 0, 0], Vec::new()));
    let (counts, said) =
        compare(&facts, &[("dist/a.js", "2"), ("dist/setup.js", "2")], &git, &earlier);
    assert_eq!(counts, [0, 0, 0, 1, 0, 1]);
    assert!(said.len() == 1 && said[0].contains("dist/setup.js"), "{said:?}");
    let (_, said) = compare(&facts, &[("dist/a.js", "1"), ("dist/new.js", "1")], &git, &earlier);
    assert!(said.len() == 1 && said[0].contains("dist/new.js"), "{said:?}");
}

#[test]
fn a_package_in_a_subfolder_is_found_there_and_not_at_the_root() {
    let git = [
        ("package.json", "{\"private\":true}"),
        ("README.md", "root"),
        ("packages/lib/package.json", "{\"name\":\"lib\"}"),
        ("packages/lib/index.js", "x"),
        ("packages/lib/util.js", "y"),
    ];
    let packed = [
        ("package.json", "{\"name\":\"lib\"}"),
        ("index.js", "x"),
        ("util.js", "changed"),
        ("README.md", "root"),
    ];
    let (counts, said) = compare(&npm("{\"name\":\"lib\"}"), &packed, &git, &BTreeMap::new());
    assert_eq!(counts[4..], [1, 0]);
    assert!(said[0].contains("in Git as packages/lib/util.js"), "{said:?}");
}

#[test]
fn many_files_are_said_by_folder() {
    let many: Vec<(String, String)> =
        (0..300).map(|n| (format!("dist/{n}.js"), n.to_string())).collect();
    let packed: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let (_, said) = compare(&npm("{}"), &packed, &[("a", "b")], &BTreeMap::new());
    assert_eq!(
        said,
        ["block SRC-04: A file that is not in Git `300 files, such as dist/0.js` in dist/"]
    );
}

#[test]
fn a_file_that_holds_a_version_and_nothing_else_is_expected() {
    let scm = "# file generated by vcs-versioning\nfrom __future__ import annotations\n\n__all__ = [\n    \
                   \"__version__\",\n]\n\nversion: str\n__version__ = version = '1.1.0'\n__version_tuple__ = \
                   version_tuple = (1, 1, 0)\n\n__commit_id__ = commit_id = None\n";
    let git = [("lib/a.py", "a")];
    let with = |text| {
        compare(
            &pypi(ArtifactKind::Wheel),
            &[("lib/a.py", "a"), ("lib/_version.py", text)],
            &git,
            &BTreeMap::new(),
        )
        .0
    };
    assert_eq!(with(scm), [1, 0, 0, 1, 0, 0]);
    assert_eq!(with("__version__ = \"1.1.0\"\n"), [1, 0, 0, 1, 0, 0]);
    for hostile in [
        "__version__ = __import__('os').system('x')\n",
        "import os\n__version__ = '1'\n",
        "__version__ = '1'; import os\n",
        "__version__ = '1' + exec('x')\n",
        "__version__ = f'{x()}'\n",
        "x = '1'\n",
    ] {
        assert_eq!(with(hostile), [1, 0, 0, 0, 0, 1], "{hostile}");
    }
}

#[test]
fn a_commit_is_right_only_on_a_branch_that_releases_come_from() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let standing = |known, branches: &[&str], allowed: &[&str], tags: &[&str]| {
        let (branches, allowed, tags) = (names(branches), names(allowed), names(tags));
        branch_finding(&Standing { commit: "abc", known, branches, allowed, tags })
            .map(|finding| finding.evidence)
    };
    assert_eq!(standing(true, &["main", "x"], &["main"], &["v1"]), None);
    let said = standing(true, &["x"], &[], &["v1"]).unwrap();
    assert_eq!(said, "abc is on x alone");
    assert!(standing(true, &[], &[], &["v1"]).unwrap().contains("below the tag v1"));
    assert!(standing(false, &[], &[], &[]).unwrap().contains("no branch or tag"));
}

#[test]
fn tags_have_to_lead_where_they_should_and_did() {
    let tags: BTreeMap<String, String> =
        [("v1.0.0", "aaa"), ("v1.1.0", "bbb")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    let said = |commit: &str, claimed: Option<&str>, expected: &[&str], seen: &[(&str, &str)]| {
        let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        let tag = |(name, commit): &(&str, &str)| Tag {
            name: (*name).to_owned(),
            commit: (*commit).to_owned(),
        };
        let seen: Vec<Tag> = seen.iter().map(tag).collect();
        let version = &Version::parse(Ecosystem::Npm, "1.1.0").unwrap();
        let (expected, tags, seen) = (&expected, &tags, &seen);
        let facts = TagFacts { commit, version, claimed, expected, tags, seen };
        let (findings, tag) = tag_findings(&facts);
        (
            findings.iter().map(|f| format!("{} {}", f.severity, f.evidence)).collect::<Vec<_>>(),
            tag.map(|tag| tag.name),
        )
    };
    let v11 = Some("v1.1.0".to_owned());
    assert_eq!(
        said("bbb", Some("v1.1.0"), &["v1.1.0"], &[("v1.0.0", "aaa")]),
        (vec![], v11.clone())
    );
    assert_eq!(said("bbb", None, &["v1.1.0"], &[]), (vec![], v11));
    assert_eq!(
        said("ccc", Some("v1.1.0"), &[], &[]).0,
        ["block v1.1.0 leads to bbb, and ccc was built"]
    );
    assert_eq!(
        said("ccc", None, &["v1.1.0"], &[]).0,
        ["block v1.1.0 leads to bbb, and ccc was built"]
    );
    assert!(said("bbb", Some("v9"), &[], &[]).0[0].starts_with("block the run was for the tag v9"));
    assert_eq!(
        said("bbb", Some("v1.1.0"), &[], &[("v1.0.0", "zzz")]).0,
        ["block v1.0.0 was moved from zzz to aaa"]
    );
    assert!(
        said("bbb", Some("v1.1.0"), &[], &[("v0.9.0", "zzz")]).0[0]
            .starts_with("block v0.9.0 is gone")
    );
    assert!(
        said("bbb", None, &["v2.0.0"], &[]).0[0]
            .starts_with("look the repository has no tag v2.0.0")
    );
    assert!(
        said("bbb", Some("v1.1.0"), &["lib@1.1.0"], &[]).0[0]
            .starts_with("look the run was for the tag")
    );
    // Another name than the version's is looked at where no names are configured, too.
    assert_eq!(
        said("aaa", Some("v1.0.0"), &[], &[]).0,
        ["look the run was for the tag v1.0.0, which does not name 1.1.0"]
    );
    assert_eq!(said("bbb", None, &[], &[]).0, Vec::<String>::new());
}
