//! The review page while people decide, and the page of a rejection.

use super::{Words, layout, name, when};
use crate::domain::policy::Missing;
use crate::domain::review::finding::Severity;
use crate::web::views::form::{Choice, Field};
use crate::web::views::inspection::{
    About, ArtifactChange, Changed, FindingCard, FindingRow, Inspection, Tile,
};
use crate::web::views::preview::{Command, OpenPreview, PreviewPage, Previews};
use crate::web::views::release::{
    Action, Attention, ChainLink, ContentsPage, Difference, EarlierDecision, EarlierRelease,
    EntryRow, FileRow, Hold, Quorum, RejectPage, ReleasePage, Settling, Signing, Slot,
    StatementView, Status, UnderEmbargo,
};
use crate::web::views::shell::{Badge, Face, Fact, HistoryItem, Link, Section, Tone};
use crate::web::views::together::{TogetherPage, TogetherRow};

pub(super) fn needs_approvals(words: Words) -> ReleasePage {
    ReleasePage {
        layout: layout(
            &format!("Sign off {} {}", words.show("aurora-client"), "4.2.0"),
            Section::Inbox,
        ),
        release: name(words, "PyPI", "aurora-client", "4.2.0"),
        package_href: "/packages/0193a7c2".to_owned(),
        status: Status::Needs(Missing { people: 1, ..Missing::default() }),
        submitter: "GitHub Actions".to_owned(),
        submitted: when("2026-11-22T15:48:00Z"),
        expires: Some(when("2026-11-25T15:48:00Z")),
        outcome: None,
        run: None,
        attention: attention(words),
        inspection: Some(inspection(words)),
        changed: Some(changed(words)),
        metadata: metadata(words),
        differences: vec![Difference {
            field: "summary".to_owned(),
            file: words.show("aurora_client-4.2.0.tar.gz"),
            claimed: words.show("Client for the Aurora API"),
            embedded: words.show("Client for the Aurora API, async"),
        }],
        chain: chain(words),
        chain_badge: Badge::new(Tone::Note, "circle-check", "Sent by your trusted publisher"),
        files: files(words),
        manifest: Some("/releases/0193a7c2/manifest.json".to_owned()),
        earlier: earlier(words),
        history: history(words),
        quorum: quorum(),
        statement: Some(statement()),
        action: Action::Sign(Signing {
            approve: "/releases/0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11/approve".to_owned(),
            reject: "/releases/0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11/reject".to_owned(),
            note_because: String::new(),
            asks_authors: false,
            embargo: UnderEmbargo::Not,
            not_before_max: "2026-11-29T16:00".to_owned(),
            under_hold: None,
        }),
        hold: Some(Hold { action: "/releases/0193a7c2/hold".to_owned(), held: false }),
        evidence: None,
        preview: Some(Previews {
            make: "/releases/0193a7c2/previews".to_owned(),
            open: vec![OpenPreview {
                made_by: "Mara Lindqvist".to_owned(),
                expires: when("2026-11-22T16:41:00Z"),
                end: "/releases/0193a7c2/previews/0193a7c3/end".to_owned(),
            }],
        }),
    }
}

/// What somebody sees who made a preview.
pub(super) fn preview(words: Words) -> PreviewPage {
    let address = "https://releases.aurora.example/preview/m0ckUpOfASecretOf256Bits/";
    let what = format!("{}=={}", words.show("aurora-client"), words.show("4.2.0"));
    PreviewPage {
        layout: layout("Preview", Section::Releases),
        release: name(words, "PyPI", "aurora-client", "4.2.0"),
        commands: vec![
            Command {
                label: "With pip".to_owned(),
                text: format!("pip install {what} --extra-index-url {address}simple/"),
            },
            Command {
                label: "With uv".to_owned(),
                text: format!("uv pip install {what} --index {address}simple/"),
            },
        ],
        expires: when("2026-11-22T17:02:00Z"),
    }
}

fn attention(words: Words) -> Vec<Attention> {
    vec![
        Attention {
            tone: Tone::Warn,
            title: "CI and the file disagree about".to_owned(),
            subject: words.show("summary"),
            detail: "The file's own text is what will be published.".to_owned(),
            link: Some(Link::new("#differences", "Compare")),
        },
        Attention {
            tone: Tone::Warn,
            title: "The run was not started from a protected ref:".to_owned(),
            subject: words.show("refs/tags/v4.2.0"),
            detail: "Anybody who may push such a branch or tag could have started it.".to_owned(),
            link: Some(Link::new("#origin", "Where it came from")),
        },
        Attention {
            tone: Tone::Ok,
            title: "Name, version, dependencies and entry points are those in the files".to_owned(),
            subject: String::new(),
            detail: "What CI claimed about them is the same, file by file.".to_owned(),
            link: None,
        },
    ]
}

/// Severity, name, title, evidence and what it means.
type Told<'a> = (Severity, &'a str, &'a str, &'a str, &'a str);

fn finding(
    words: Words,
    (severity, name, title, evidence, why): Told<'_>,
    place: &str,
) -> FindingRow {
    FindingRow {
        name: name.to_owned(),
        severity,
        title: title.to_owned(),
        evidence: words.show(evidence),
        place: if place.is_empty() { String::new() } else { words.show(place) },
        href: (!place.is_empty()).then(|| DIFFERENCE.to_owned()),
        why: why.to_owned(),
    }
}

const DIFFERENCE: &str =
    "/releases/0193a7c2/files/aurora_client-4.2.0-py3-none-any.whl/diff?path=a";

/// Two findings about one file.
fn startup(words: Words) -> FindingCard {
    let hook = (
        Severity::Block,
        "HK-06:aurora.pth",
        "A file that Python runs at every start",
        "import aurora.boot",
        "It runs in every Python program on the machine, whether or not it uses the package.",
    );
    let starts = (
        Severity::Look,
        "CP-02:aurora.pth",
        "It can start programs, and could not before",
        "aurora.boot",
        "It may run whatever is on the machine.",
    );
    FindingCard {
        about: Some(About {
            path: words.show("aurora.pth"),
            inside: format!("in {}", words.show("aurora_client-4.2.0-py3-none-any.whl")),
            href: DIFFERENCE.to_owned(),
        }),
        rows: vec![finding(words, hook, "line 1"), finding(words, starts, "")],
    }
}

fn inspection(words: Words) -> Inspection {
    let alone = |told, place| FindingCard { about: None, rows: vec![finding(words, told, place)] };
    let dependency = (
        Severity::Look,
        "DP-01:anyio_>=4.6",
        "A dependency that was not there before",
        "anyio >=4.6",
        "Everybody who upgrades installs it and whatever it brings along.",
    );
    let host = (
        Severity::Look,
        "CP-05:aurora/client.py",
        "A host that no earlier version names",
        "api.aurora.example",
        "Whatever is sent goes there.",
    );
    let entry = (
        Severity::Note,
        "HK-08:aurora",
        "An entry point",
        "aurora = aurora.cli:main",
        "A command on the path, or a plug-in that other tools load by themselves. It was so before.",
    );
    Inspection {
        reported: true,
        summary: Badge::new(Tone::Bad, "octagon-x", "1 block, 3 to look at"),
        live: None,
        asked: vec![
            startup(words),
            alone(dependency, ""),
            alone(host, "in aurora/client.py, line 12"),
        ],
        notes: vec![alone(entry, "")],
        asides: vec![
            "1 finding asks for nothing: Jun Watanabe and Mara Lindqvist accepted the same in \
             4.1.9, and the file is unchanged."
                .to_owned(),
        ],
        assurance: "Looked for 41 kinds of things in 43 files, 31 parsed as code. Nothing new of: \
                    programs, secrets in clear."
            .to_owned(),
        not_checked: vec![
            "The files were not compared with the source repository: none is configured."
                .to_owned(),
        ],
        again: None,
    }
}

fn changed(words: Words) -> Changed {
    let tile = |label, value: &str, aside: &str, stands_out| Tile {
        label,
        value: value.to_owned(),
        aside: aside.to_owned(),
        stands_out,
    };
    let change = |name: &str, tiles| ArtifactChange {
        name: words.show(name),
        against: format!("Compared with {}, the file {}.", words.show("4.1.9"), words.show(name)),
        tiles,
    };
    let tiles = vec![
        tile("Files", "2 changed", "1 added, 1 removed", false),
        tile("Lines of text", "6104", "+184 −61", false),
        tile("Run by themselves", "1 new", "", true),
        tile("Dependencies", "1 new", "", true),
        tile("Binaries", "None new", "", false),
        tile("Size, unpacked", "131 KB", "+3 %", false),
    ];
    Changed {
        artifacts: vec![
            change("aurora_client-4.2.0-py3-none-any.whl", tiles),
            change("aurora_client-4.2.0.tar.gz", Vec::new()),
        ],
        files: "/releases/0193a7c2/files".to_owned(),
        viewed: "2 of 6 viewed".to_owned(),
    }
}

fn earlier(words: Words) -> Vec<EarlierRelease> {
    let decision = |who: &str, reason: &str, overrides| EarlierDecision {
        who: who.to_owned(),
        reason: words.show(reason),
        overrides,
    };
    vec![
        EarlierRelease {
            release: name(words, "PyPI", "aurora-client", "4.1.9"),
            status: Status::Published(String::new()),
            when: when("2026-10-11T09:12:00Z"),
            decisions: vec![
                decision(
                    "Jun Watanabe approved",
                    "Read the retry change, ran it against staging.",
                    vec![(
                        words.show("HK-06:aurora.pth"),
                        words.show("Coverage needs it, and it does nothing unless it is measured."),
                    )],
                ),
                decision("Mara Lindqvist approved", "", Vec::new()),
            ],
        },
        EarlierRelease {
            release: name(words, "PyPI", "aurora-client", "4.1.8"),
            status: Status::Rejected(String::new()),
            when: when("2026-10-02T15:40:00Z"),
            decisions: vec![decision("Priya Raman rejected", "Wrong content", Vec::new())],
        },
        EarlierRelease {
            release: name(words, "PyPI", "aurora-client", "4.1.7"),
            status: Status::Expired,
            when: when("2026-09-21T08:00:00Z"),
            decisions: Vec::new(),
        },
    ]
}

fn metadata(words: Words) -> Vec<Fact> {
    vec![
        Fact::code("Name", words.show("aurora-client")),
        Fact::code("Version", words.show("4.2.0")),
        Fact::words("Summary", words.show("Client for the Aurora API, async")),
        Fact::code("Requires Python", words.show(">=3.10")),
        Fact::code("Depends on", words.show("anyio >=4.6, httpx >=0.28,<1")),
        Fact::code("Entry points", words.show("aurora = aurora.cli:main")),
        Fact::words("Licence", words.show("Apache-2.0")),
    ]
}

fn chain(words: Words) -> Vec<ChainLink> {
    let link =
        |icon, title: &str, subject: &str, detail: &str, verdict: (Tone, &'static str, &str)| {
            ChainLink {
                icon,
                title: title.to_owned(),
                subject: if subject.is_empty() { String::new() } else { words.show(subject) },
                detail: detail.to_owned(),
                verdict: Badge::new(verdict.0, verdict.1, verdict.2),
            }
        };
    vec![
        link(
            "file-badge",
            "Token of",
            "https://token.ci.example",
            "Signature, audience and lifetime verified.",
            (Tone::Ok, "circle-check", "Verified"),
        ),
        link(
            "workflow",
            "Workflow",
            "aurora/client/.github/workflows/release.yml@refs/tags/v4.2.0",
            "In aurora/client (id 4242, owner id 77), environment release, github-hosted runner, event push.",
            (Tone::Ok, "circle-check", "As configured"),
        ),
        link(
            "tag",
            "Ref",
            "refs/tags/v4.2.0",
            "It is not protected. Commit 7be41c9f2d6a8b035e1c94d7f0a2b6c83e5d1f47.",
            (Tone::Warn, "triangle-alert", "Look at it"),
        ),
        link(
            "user-plus",
            "Started by",
            "theo-okafor",
            "Account 1004, linked to Theo Okafor. Run 1184, attempt 1.",
            (Tone::Ok, "circle-check", "Known"),
        ),
        link(
            "file-badge",
            "Provenance of",
            "aurora_client-4.2.0-py3-none-any.whl",
            "The statement is about this file. Certified for the workflow. Entry 412887310 of the log.",
            (Tone::Ok, "circle-check", "Verified"),
        ),
        link(
            "file-badge",
            "Provenance of",
            "aurora_client-4.2.0.tar.gz",
            "CI attached none.",
            (Tone::Plain, "circle-dashed", "None"),
        ),
        link(
            "file-diff",
            "Compared with",
            "aurora/client",
            "41 the same, 1 written while packing, 1 not in Git. Branch main leads to the commit.",
            (Tone::Warn, "triangle-alert", "Look at it"),
        ),
        link(
            "package",
            "3 files held here since 15:48:02 UTC",
            "",
            "Uploaded with twine/7.0.0 CPython/3.13.1.",
            (Tone::Ok, "lock", "Sealed"),
        ),
    ]
}

fn files(words: Words) -> Vec<FileRow> {
    let file = |name: &str, kind: &str, sha256: &str, size: &str, number: u32| FileRow {
        name: words.show(name),
        kind: kind.to_owned(),
        sha256: sha256.to_owned(),
        size: size.to_owned(),
        download: format!("/releases/0193a7c2/artifacts/{number}"),
        contents: format!("/releases/0193a7c2/artifacts/{number}/contents"),
    };
    vec![
        file(
            "aurora_client-4.2.0-py3-none-any.whl",
            "Wheel for Python 3, any platform",
            "4be190c75c1b6f9f7b2a4ddc9e3f0a68d2c47be9105f3a7d8e64b1c90f27e2a4",
            "131 KB",
            1,
        ),
        file(
            "aurora_client-4.2.0-cp312-cp312-manylinux_2_28_x86_64.whl",
            "Wheel for CPython 3.12 on Linux",
            "a9137e0d33f4a0c9d5e81b27604f9ac3b8d21e7f56c04d9a83be7102fd945f60",
            "190 KB",
            2,
        ),
        file(
            "aurora_client-4.2.0.tar.gz",
            "Source archive",
            "d07f3a52e1b94c8d7f20a6b35d4e9c1078fa2be6493dc501b7e8f06a2c93118c",
            "91 KB",
            3,
        ),
    ]
}

fn history(words: Words) -> Vec<HistoryItem> {
    let item = |icon, who: &str, what: &str, note: Option<&str>, at: &str| HistoryItem {
        icon,
        who: who.to_owned(),
        what: what.to_owned(),
        note: note.map(|text| words.show(text)),
        when: when(at),
    };
    vec![
        item(
            "badge-check",
            "Mara Lindqvist",
            "approved with YubiKey 5C",
            Some("Read the retry change, ran it against staging."),
            "2026-11-22T15:56:00Z",
        ),
        item("lock", "", "Sealed: 3 files, no more can be added.", None, "2026-11-22T15:49:00Z"),
        item(
            "upload",
            "GitHub Actions",
            "uploaded 3 files, run 1184, started by account 1004.",
            None,
            "2026-11-22T15:48:00Z",
        ),
    ]
}

fn quorum() -> Quorum {
    Quorum {
        signed: 1,
        required: 2,
        met: String::new(),
        slots: vec![
            Slot::Signed(Face::of("Mara Lindqvist"), "6 min ago with a YubiKey 5C".to_owned()),
            Slot::Yours("or Jun Watanabe’s, or Priya Raman’s".to_owned()),
        ],
        needs: "Needs 1 more approval, from security.".to_owned(),
        excluded: vec!["Theo Okafor started the run, so his approval does not count.".to_owned()],
        eligible: ["Ines Duarte", "Jun Watanabe", "Priya Raman"].map(str::to_owned).into(),
        policy: Link::new("/policies/0193a7c2", "Production PyPI"),
    }
}

fn statement() -> StatementView {
    let rows = [
        ("Approve", "aurora-client 4.2.0"),
        ("Publish to", "PyPI"),
        ("Exactly", "3 files, 412 KB"),
        ("Manifest", "9f2c41d7 e05b8a13 6cc2907e 41fd2b88 7a90c3d1 5be2f046 08d7a9c4 f13e62b5"),
        ("Policy", "Production PyPI, revision 14"),
        ("Signer", "Ines Duarte"),
        ("Decision", "approve"),
        ("Instance", "releases.aurora.example"),
        ("Genesis", "51ac0e77 d3b8f129 604e9a5c 2f7d81b0 c8e43a96 1d05f7e2 9b6c30d4 7ea812f5"),
        ("Candidate", "0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11"),
        ("Roster", "revision 9"),
        ("Runs out", "2026-11-25T15:48:00Z"),
    ];
    StatementView {
        rows: rows.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
        words: super::CHECK_WORDS.map(str::to_owned),
    }
}

pub(super) fn together(words: Words) -> TogetherPage {
    let row = |package: &str, attention: Vec<Attention>| TogetherRow {
        release: name(words, "npm", package, "2.0.0"),
        attention,
        files: files(words).into_iter().take(1).collect(),
        statement: statement(),
        manifest: "9f2c41d7 e05b8a13 6cc2907e 41fd2b88 7a90c3d1 5be2f046 08d7a9c4 f13e62b5"
            .to_owned(),
    };
    let mut warned = attention(words);
    warned.truncate(1);
    TogetherPage {
        layout: layout("Approve together", Section::Inbox),
        releases: vec![
            row("@aurora/core", Vec::new()),
            row("@aurora/react", warned),
            row("@aurora/cli", Vec::new()),
        ],
        alone: vec![(
            name(words, "npm", "@aurora/native", "2.0.0"),
            "It has something to look at that is approved alone".to_owned(),
        )],
        ceremony: "/releases/0193a7c2/together".to_owned(),
        ids: String::new(),
    }
}

/// Sealed, and nobody looked inside yet.
pub(super) fn checking(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.status = Status::Checking;
    page.action = Action::Checking(Some("/releases/0193a7c2/reject".to_owned()));
    let live = "/releases/0193a7c2/live".to_owned();
    page.inspection = Some(Inspection::being_checked(live));
    page
}

pub(super) fn one_person(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.quorum = Quorum {
        signed: 0,
        required: 1,
        slots: vec![Slot::Yours(String::new())],
        needs: String::new(),
        excluded: Vec::new(),
        ..quorum()
    };
    page.attention.clear();
    page.differences.clear();
    if let Action::Sign(signing) = &mut page.action {
        signing.note_because = "Required: the ref is not protected.".to_owned();
    }
    page
}

pub(super) fn signed(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.quorum.slots = vec![
        Slot::Signed(Face::of("Ines Duarte"), "You, 3 min ago with a phone".to_owned()),
        Slot::Open("Jun Watanabe or Priya Raman".to_owned()),
    ];
    page.action =
        Action::Signed("3 min ago".to_owned(), Some("/releases/0193a7c2/reject".to_owned()));
    page
}

pub(super) fn cannot_sign(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.quorum.slots[1] = Slot::Open("Jun Watanabe or Priya Raman".to_owned());
    page.action = Action::Cannot(
        "You started the run, and whoever started it does not count.".to_owned(),
        Some(Link::new("/policies/0193a7c2", "See the policy")),
        Some("/releases/0193a7c2/reject".to_owned()),
    );
    page
}

pub(super) fn actor_unknown(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.status = Status::NeedsActor;
    page.quorum.signed = 0;
    page.quorum.slots = vec![Slot::Open(String::new()), Slot::Open(String::new())];
    page.quorum.excluded.clear();
    page.action = Action::Settle(Settling {
        actor: "1009".to_owned(),
        login: words.show("r-nakamura"),
        issuer: "GitHub Actions".to_owned(),
        link: Some("/people/identities/new?actor=1009".to_owned()),
        reject: "/releases/0193a7c2/reject".to_owned(),
    });
    page
}

pub(super) fn reject(words: Words) -> RejectPage {
    let preset = |text: &str| Choice::new(format!("{text}: "), text, "");
    let mut statement = statement();
    statement.rows[0].0 = "Reject".to_owned();
    RejectPage {
        layout: layout("Reject", Section::Inbox),
        release: name(words, "PyPI", "aurora-client", "4.2.0"),
        ceremony: "/releases/0193a7c2/reject".to_owned(),
        presets: vec![
            preset("Wrong content"),
            preset("Wrong version"),
            preset("Not ready"),
            preset("I did not expect this release"),
        ],
        reason: Field::default(),
        statement,
    }
}

pub(super) fn contents(words: Words) -> ContentsPage {
    let entry = |folder: &str, name: &str, size: &str, mark: &str| EntryRow {
        folder: words.show(folder),
        name: words.show(name),
        size: size.to_owned(),
        mark: mark.to_owned(),
    };
    ContentsPage {
        layout: layout("Contents", Section::Releases),
        release: name(words, "npm", "@aurora/cli", "3.4.2"),
        filename: words.show("aurora-cli-3.4.2.tgz"),
        sha256: "4be190c75c1b6f9f7b2a4ddc9e3f0a68d2c47be9105f3a7d8e64b1c90f27e2a4".to_owned(),
        download: "/releases/0193a7c2/artifacts/1".to_owned(),
        entries: vec![
            entry("package/", "package.json", "2 KB", ""),
            entry("package/bin/", "aurora.js", "4 KB", "Executable"),
            entry("package/scripts/", "postinstall.js", "1 KB", "Runs at install"),
            entry("package/", "README.md", "9 KB", ""),
        ],
        summary: "16 KB in 4 files, unpacked".to_owned(),
        left_off: 0,
        unreadable: None,
    }
}
