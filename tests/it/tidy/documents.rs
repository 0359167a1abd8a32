//! Documents and code that must say the same thing.

use std::collections::BTreeSet;

use super::rust;
use super::tree::{Complaint, File};

/// The clients and platforms that have a page of their own under `docs/ci/`.
const CLIENTS: &[&str] = &[
    "github-npm",
    "github-pypi",
    "gitlab",
    "npm",
    "npm-stage",
    "pnpm",
    "yarn",
    "twine",
    "uv",
    "poetry",
    "flit",
    "hatch",
    "generic",
];
/// What a row of `docs/rules.md` says instead of a test.
const NO_TEST: &str = "none yet";
/// What it says when the whole rule is for later.
const LATER: &str = "waits for ";

/// Every `Kind` of refusal is a heading of `docs/problems.md`, and nothing else is.
pub(super) fn problems(files: &[File]) -> Vec<Complaint> {
    let code = rust::code_only(find(files, "src/pipeline/mod.rs").text());
    let mut kinds: BTreeSet<String> =
        members(&code, "Kind").iter().map(|name| kebab(name)).collect();
    // A fault has a problem type as well, although the caller did nothing wrong.
    kinds.insert("fault".to_owned());
    let page = find(files, "docs/problems.md");
    let headings: BTreeSet<String> =
        page.lines().filter_map(|(_, line)| line.strip_prefix("## ")).map(str::to_owned).collect();
    let mut complaints = Vec::new();
    for kind in kinds.difference(&headings) {
        let what = format!("no heading `## {kind}`: say what happened and what to do");
        complaints.push(Complaint::new(&page.path, 1, what));
    }
    for heading in headings.difference(&kinds) {
        let what = format!("`{heading}` is no `Kind` of src/pipeline/mod.rs: remove the heading");
        complaints.push(Complaint::new(&page.path, 1, what));
    }
    complaints
}

/// Every client has a page with a snippet for our example host.
pub(super) fn clients(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for client in CLIENTS {
        let path = format!("docs/ci/{client}.md");
        let page = files.iter().find(|file| file.path == path);
        let has_snippet = page.is_some_and(|page| {
            page.text().contains("```") && page.text().contains("releases.example")
        });
        if !has_snippet {
            let what = "missing, or without a snippet that names `releases.example`";
            complaints.push(Complaint::new(&path, 1, what));
        }
    }
    complaints
}

/// Structs that operators write as TOML, and the page that explains their members.
const WRITTEN_BY_OPERATORS: &[(&str, &[&str], &str)] = &[
    (
        "src/config.rs",
        &["File", "DatabaseFile", "ListenFile", "WitnessFile", "LimitsFile"],
        "docs/operating.md",
    ),
    (
        "src/pipeline/setup/file.rs",
        &["SetupFile", "PersonEntry", "CiEntry", "UpstreamEntry", "PolicyEntry", "PackageEntry"],
        "docs/set-up.md",
    ),
    ("src/config.rs", &["SourceFile", "SourcePackageFile"], "docs/source.md"),
    ("src/domain/issuer.rs", &["IssuerConfig"], "docs/set-up.md"),
    ("src/domain/publisher/mod.rs", &["PublisherConfig"], "docs/set-up.md"),
    ("src/domain/publisher/github.rs", &["GitHubConfig", "ReusableConfig"], "docs/set-up.md"),
    ("src/domain/publisher/gitlab.rs", &["GitLabConfig"], "docs/set-up.md"),
];

/// Every key that operators may write is explained on its page.
pub(super) fn operators_keys(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (source, tables, page) in WRITTEN_BY_OPERATORS {
        let code = rust::code_only(find(files, source).text());
        for table in *tables {
            let keys = members(&code, table);
            complaints.extend(unexplained(&keys, find(files, page), source, table));
        }
    }
    complaints
}

fn unexplained(keys: &[String], page: &File, source: &str, table: &str) -> Vec<Complaint> {
    // `ref` is a word of Rust, so its fields are called `git_ref` and renamed.
    let keys = keys.iter().map(|key| key.trim_start_matches("git_"));
    keys.filter(|key| !page.text().contains(&format!("`{key}`")))
        .map(|key| {
            let what = format!("does not explain `{key}` of {table} in {source}");
            Complaint::new(&page.path, 1, what)
        })
        .collect()
}

/// Every rule of `docs/rules.md` names a test that exists, or says that there is none.
pub(super) fn rules(files: &[File]) -> Vec<Complaint> {
    let page = find(files, "docs/rules.md");
    let mut tests = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = rust::code_only(file.text());
        let all: Vec<(usize, &str)> = rust::words(&code).collect();
        let defined = all.windows(2).filter(|pair| pair[0].1 == "fn").map(|pair| pair[1].1);
        tests.extend(defined.map(str::to_owned));
    }
    let mut complaints = Vec::new();
    for (number, line) in page.lines().filter(|(_, line)| line.starts_with("| ")) {
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [rule, _, column] = columns[..] else { continue };
        if rule == "Rule" || rule.starts_with("--") || column.contains(NO_TEST) {
            continue;
        }
        let names: Vec<&str> = column.split('`').skip(1).step_by(2).collect();
        if names.is_empty() && !column.starts_with(LATER) {
            let what = format!("{rule} names no test: name one, or say `{NO_TEST}`");
            complaints.push(Complaint::new(&page.path, number, what));
        }
        for name in names.into_iter().filter(|name| !tests.contains(*name)) {
            let what = format!("{rule} names `{name}`, which no file defines");
            complaints.push(Complaint::new(&page.path, number, what));
        }
    }
    complaints
}

/// Links between our documents name files that exist.
pub(super) fn links(files: &[File]) -> Vec<Complaint> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.has_extension(&["md"])) {
        for (number, line) in file.lines() {
            for target in link_targets(line) {
                let bare = target.split('#').next().unwrap_or_default();
                let path = resolve(&file.path, bare);
                let is_folder = paths.iter().any(|known| known.starts_with(&format!("{path}/")));
                if !bare.is_empty() && !paths.contains(path.as_str()) && !is_folder {
                    let what = format!("links to `{target}`, which does not exist");
                    complaints.push(Complaint::new(&file.path, number, what));
                }
            }
        }
    }
    complaints
}

fn find<'a>(files: &'a [File], path: &str) -> &'a File {
    files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("`{path}` is missing"))
}

/// The first words of the members of the struct or enum `name`.
fn members(code: &str, name: &str) -> Vec<String> {
    let all: Vec<(usize, &str)> = rust::words(code).collect();
    let defined = all
        .windows(2)
        .find(|pair| matches!(pair[0].1, "enum" | "struct") && pair[1].1 == name)
        .unwrap_or_else(|| panic!("`{name}` is not defined"));
    let (open, end) = rust::block(code, defined[1].0).unwrap();
    let body = code[open + 1..end - 1].lines().map(str::trim);
    let members = body.filter(|line| !line.is_empty() && !line.starts_with('#'));
    members
        .filter_map(|line| rust::words(line).map(|(_, word)| word).find(|word| *word != "pub"))
        .map(str::to_owned)
        .collect()
}

/// `BadInput` becomes `bad-input`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

fn link_targets(line: &str) -> Vec<&str> {
    let after = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
    after
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// `../a.md` beside `docs/ci/b.md` is `docs/a.md`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

mod tests {
    use super::*;

    fn samples(list: &[(&str, &str)]) -> Vec<File> {
        list.iter().map(|(path, text)| File::sample(path, text)).collect()
    }

    #[test]
    fn a_kind_without_a_heading_and_a_heading_without_a_kind_are_found() {
        let code = "/// What.\npub enum Kind {\n    /// One.\n    BadInput,\n    Gone,\n}\n";
        let both = |page| {
            problems(&samples(&[("src/pipeline/mod.rs", code), ("docs/problems.md", page)])).len()
        };
        assert_eq!(both("## bad-input\n\n## gone\n## fault\n"), 0);
        assert_eq!(both("## bad-input\n## fault\n"), 1);
        assert_eq!(both("## bad-input\n## gone\n## fault\n## lost\n"), 1);
    }

    #[test]
    fn a_client_without_a_snippet_is_found() {
        let snippet = "```\nhttps://releases.example\n```";
        let mut files: Vec<File> = CLIENTS
            .iter()
            .map(|client| File::sample(&format!("docs/ci/{client}.md"), snippet))
            .collect();
        assert_eq!(clients(&files).len(), 0);
        files[0].bytes.clear();
        files.pop();
        assert_eq!(clients(&files).len(), 2);
    }

    #[test]
    fn an_unexplained_key_is_found() {
        let code = "pub struct File {\n    /// What.\n    pub git_ref: String,\n    #[serde(default)]\n    \
                    limits: u8,\n}\n";
        let keys = members(&rust::code_only(code), "File");
        assert_eq!(keys, ["git_ref", "limits"]);
        let page = |text| unexplained(&keys, &File::sample("a.md", text), "a.rs", "File").len();
        assert_eq!(page("`ref` `limits`"), 0);
        assert_eq!(page("`ref` limits"), 1);
    }

    #[test]
    fn a_rule_with_an_invented_test_is_found() {
        let code = "#[test]\nfn tokens_are_refused() {}";
        let table = |row| {
            let text = format!("| Rule | What | Test |\n|---|---|---|\n{row}\n");
            rules(&samples(&[("src/a.rs", code), ("docs/rules.md", &text)])).len()
        };
        assert_eq!(table("| O1 | x | `tokens_are_refused` |"), 0);
        assert_eq!(table("| O1 | x | none yet |"), 0);
        assert_eq!(table("| O1 | x | waits for governance |"), 0);
        assert_eq!(table("| O1 | x | `tokens_are_taken` |"), 1);
        assert_eq!(table("| O1 | x | |"), 1);
        assert_eq!(table("| O1 | x | surely |"), 1);
    }

    #[test]
    fn a_broken_link_is_found() {
        let page = |text| {
            links(&samples(&[("docs/ci/a.md", text), ("docs/b.md", ""), ("README.md", "")])).len()
        };
        assert_eq!(page("[b](../b.md#part) [r](../../README.md) [x](https://x.example/c.md)"), 0);
        assert_eq!(page("[c](../c.md)"), 1);
    }
}
