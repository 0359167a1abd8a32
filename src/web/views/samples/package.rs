//! Packages and their publishers.

use super::home::decided;
use super::{Words, layout, notice, when};
use crate::web::views::form::{Choice, Field, FormError};
use crate::web::views::package::{
    ClaimForm, Condition, GithubForm, GitlabForm, Mismatch, NewPackagePage, NewPublisherPage,
    PackagePage, PackageRow, PackagesPage, PublisherCard, PublisherKind, Recipe, RefusedToken,
};
use crate::web::views::shell::{Badge, Fact, Link, Section, Tone};

pub(super) fn packages(words: Words) -> PackagesPage {
    let row = |ecosystem: &str, name: &str, publishers, spare, last: &str| PackageRow {
        href: "/packages/0193a7c2".to_owned(),
        ecosystem: ecosystem.to_owned(),
        name: words.show(name),
        registry: ecosystem.to_owned(),
        policy: "Production".to_owned(),
        publishers,
        spare,
        last: last.to_owned(),
    };
    PackagesPage {
        layout: layout("Packages", Section::Packages),
        rows: vec![
            row(
                "PyPI",
                "aurora-client",
                Badge::new(Tone::Ok, "circle-check", "1 publisher"),
                Badge::new(Tone::Ok, "circle-check", "2 spare"),
                "4.1.3, 11 Oct",
            ),
            row(
                "npm",
                "@aurora/react",
                Badge::new(Tone::Ok, "circle-check", "1 publisher"),
                Badge::new(Tone::Warn, "triangle-alert", "One person"),
                "1.9.8, 20 Nov",
            ),
            row(
                "npm",
                "@aurora/cli",
                Badge::new(Tone::Warn, "triangle-alert", "No CI yet"),
                Badge::new(Tone::Bad, "circle-alert", "No spare"),
                "None yet",
            ),
        ],
        hidden: 3,
        may_add: true,
    }
}

pub(super) fn package(words: Words) -> PackagePage {
    let condition = |tone, title: &str, detail: &str, link| Condition {
        tone,
        title: title.to_owned(),
        detail: detail.to_owned(),
        link,
    };
    PackagePage {
        layout: layout(&words.show("aurora-client"), Section::Packages),
        ecosystem: "PyPI".to_owned(),
        name: words.show("aurora-client"),
        registry: "PyPI".to_owned(),
        notices: vec![notice(
            Tone::Warn,
            "triangle-alert",
            "One person is enough for this package",
            "A single stolen session or a single mistake can publish it.",
            Some(Link::new("/policies", "Policies")),
        )],
        conditions: vec![
            condition(
                Tone::Ok,
                "A CI workflow may submit",
                "Release workflow, last used 14 min ago.",
                None,
            ),
            condition(Tone::Ok, "The policy can be met", "Just me: 1 of 1.", None),
            condition(
                Tone::Ok,
                "Countersign holds a credential for PyPI",
                "Since 3 Mar 2026. Nobody can read it.",
                None,
            ),
            condition(
                Tone::Warn,
                "Nobody can release without it",
                "Not watched by this version. Remove other tokens and owners at the registry yourself.",
                None,
            ),
        ],
        publishers: vec![PublisherCard {
            name: "Release workflow".to_owned(),
            issuer: "GitHub Actions".to_owned(),
            claims: vec![
                Fact::code("repository", words.show("octo/hello-wire")),
                Fact::code("repository id", "4242"),
                Fact::code("owner id", "77"),
                Fact::code("workflow", ".github/workflows/release.yml"),
                Fact::code("environment", "release"),
                Fact::code("ref", "refs/tags/v*"),
            ],
            last_used: Some(when("2026-11-22T15:48:00Z")),
            remove: Some("/packages/1/publishers/1/remove".to_owned()),
        }],
        releases: decided(words),
        facts: vec![
            Fact::words("Registry", "PyPI"),
            Fact::words("Policy", "Just me, revision 1"),
            Fact::words("Added", "3 Mar 2026 by Mara Lindqvist"),
        ],
        freeze: Some("/freeze?package=1".to_owned()),
        add_publisher: Some("/packages/0193a7c2/publishers/new".to_owned()),
    }
}

pub(super) fn package_new() -> NewPackagePage {
    NewPackagePage {
        layout: layout("Add package", Section::Packages),
        ecosystems: vec![Choice::new("npm", "npm", "").chosen(), Choice::new("pypi", "PyPI", "")],
        name: Field {
            value: "Aurora Client".to_owned(),
            error: Some(
                "Expected lower case letters, digits, dashes or dots, received `Aurora Client`."
                    .to_owned(),
            ),
        },
        registries: vec![Choice::new("1", "Local npm", "").chosen(), Choice::new("2", "PyPI", "")],
        policies: vec![Choice::new("1", "Two people", "").chosen()],
        access: vec![
            Choice::new("public", "Everybody", "").chosen(),
            Choice::new("restricted", "Members of the scope", ""),
        ],
        missing: Vec::new(),
    }
}

pub(super) fn github() -> PublisherKind {
    PublisherKind::Github(GithubForm {
        repository: Field::of("octo/hello-wire"),
        repository_id: Field {
            value: "octo".to_owned(),
            error: Some("Expected digits as repository_id, received `octo`.".to_owned()),
        },
        repository_owner_id: Field::of("77"),
        workflow: Field::of(".github/workflows/release.yml"),
        environment: Field::of("release"),
        reference: Field::of("refs/tags/v*"),
        events: vec![
            Choice::new("push", "A push", "").chosen(),
            Choice::new("release", "A release made on the site", "").chosen(),
            Choice::new("workflow_dispatch", "By hand", ""),
        ],
        runners: vec![
            Choice::new("github-hosted", "Machines of the CI itself", "").chosen(),
            Choice::new(
                "self-hosted",
                "Your own machines",
                "They keep files between runs, so one bad run can reach the next.",
            ),
            Choice::new("any", "Either", ""),
        ],
    })
}

pub(super) fn gitlab() -> PublisherKind {
    PublisherKind::Gitlab(GitlabForm {
        project_id: Field::of("515"),
        namespace_id: Field::of("31"),
        ref_path: Field::of("refs/tags/v*"),
        ref_types: vec![
            Choice::new("tag", "Tag", "").chosen(),
            Choice::new("branch", "Branch", ""),
        ],
        protected: true,
        environment: Field::of("release"),
        sources: vec![
            Choice::new("push", "A push", "").chosen(),
            Choice::new("web", "By hand", ""),
        ],
        config: Field::default(),
    })
}

pub(super) fn generic() -> PublisherKind {
    PublisherKind::Generic(vec![
        ClaimForm { number: 1, claim: Field::of("sub"), value: Field::of("pipeline:release") },
        ClaimForm { number: 2, claim: Field::default(), value: Field::default() },
    ])
}

pub(super) fn publisher(words: Words, kind: PublisherKind) -> NewPublisherPage {
    let errors = match kind {
        PublisherKind::Github(_) => vec![FormError {
            field: "repository_id".to_owned(),
            text: "Expected digits as repository_id, received `octo`.".to_owned(),
        }],
        _ => Vec::new(),
    };
    NewPublisherPage {
        layout: layout("Add publisher", Section::Packages),
        package: Link::new("/packages/0193a7c2", words.show("hello-wire")),
        issuers: vec![Choice::new("1", "ci (GitHub Actions)", "").chosen(), Choice::new("2", "GitLab of the platform team", "")],
        name: Field::of("Release workflow"),
        kind,
        recipe: Recipe {
            file: ".github/workflows/release.yml".to_owned(),
            text: "jobs:\n  publish:\n    runs-on: ubuntu-latest\n    environment: release\n    permissions:\n      contents: read\n      id-token: write\n    steps:\n      - uses: actions/checkout@<commit>\n      - run: npm publish --registry https://releases.aurora.example/npm/\n".to_owned(),
            note: "Pin every action to a commit. The job ends as soon as the files are held; publishing waits for people.".to_owned(),
        },
        refused: vec![RefusedToken {
            when: when("2026-11-22T15:41:00Z"),
            source: words.show("octo/hello-wire, run 1183"),
            mismatches: vec![
                Mismatch { claim: "environment".to_owned(), expected: "release".to_owned(), received: String::new() },
                Mismatch { claim: "ref".to_owned(), expected: "refs/tags/v*".to_owned(), received: words.show("refs/heads/main") },
            ],
        }],
        errors,
    }
}
