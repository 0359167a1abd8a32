//! The inbox and the list of releases.

use super::{Words, governance, layout, name, notice, when};
use crate::domain::policy::Missing;
use crate::web::views::form::Choice;
use crate::web::views::home::{
    DecidedRow, GatewayRow, InboxPage, MovingRow, NextStep, Progress, ReleasesPage, SpareRow,
    WaitingRow,
};
use crate::web::views::release::Status;
use crate::web::views::shell::{Badge, Link, Section, Tone};

fn waiting(words: Words) -> Vec<WaitingRow> {
    let row =
        |release: (&str, &str, &str), attention, files: &str, left: &str, pips: (u32, u32)| {
            WaitingRow {
                release: name(words, release.0, release.1, release.2),
                attention,
                files: files.to_owned(),
                left: left.to_owned(),
                signed: pips.0,
                required: pips.1,
                needs: "1 more approval, from security".to_owned(),
            }
        };
    vec![
        row(
            ("PyPI", "aurora-client", "4.2.0"),
            Badge::new(Tone::Warn, "triangle-alert", "2 things to look at"),
            "3 files, 412 KB",
            "2 days 23 h left",
            (1, 2),
        ),
        row(
            ("npm", "@aurora/react", "2.0.0-rc.1"),
            Badge::new(Tone::Ok, "circle-check", "Nothing unusual found"),
            "1 file, 88 KB",
            "6 days left",
            (0, 1),
        ),
    ]
}

pub(super) fn inbox_of(words: Words) -> InboxPage {
    InboxPage {
        layout: layout("Inbox", Section::Inbox),
        notices: vec![notice(
            Tone::Warn,
            "landmark",
            "PyPI has not answered for 12 min",
            "Approvals are kept and go out as soon as it does.",
            Some(Link::new("/health-page", "System health")),
        )],
        proposals: Vec::new(),
        waiting: waiting(words),
        together: vec![Link::new(
            "/releases/0193a7c2/together",
            format!(
                "{} and {} came from one CI run: approve them together",
                words.show("@aurora/core"),
                words.show("@aurora/react")
            ),
        )],
        moving: moving(words),
        decided: decided(words),
        spare: spare(words),
        gateway: vec![
            GatewayRow {
                badge: Badge::new(Tone::Warn, "landmark", "PyPI"),
                value: "No answer for 12 min".to_owned(),
            },
            GatewayRow {
                badge: Badge::new(Tone::Ok, "landmark", "npm"),
                value: "Reachable".to_owned(),
            },
            GatewayRow {
                badge: Badge::new(Tone::Ok, "hard-drive", "Room for held files"),
                value: "41 GB".to_owned(),
            },
        ],
        next_steps: Vec::new(),
        last_release: None,
    }
}

/// With a change that waits, and everything frozen.
pub(super) fn inbox_governed() -> InboxPage {
    let mut page = inbox_of(Words::Plain);
    page.layout.governed = true;
    page.layout.proposals = 1;
    page.layout.frozen = Some(governance::banner());
    page.notices = governance::proposals().notices;
    page.proposals = vec![governance::yours()];
    page
}

fn moving(words: Words) -> Vec<MovingRow> {
    vec![
        MovingRow {
            release: name(words, "PyPI", "aurora-core", "7.11.0"),
            why: "You approved 2 min ago".to_owned(),
            status: Status::Publishing,
            signed: 2,
            required: 2,
            progress: Some(Progress { text: "Uploading 2 of 5".to_owned(), percent: 48 }),
        },
        MovingRow {
            release: name(words, "npm", "@aurora/cli", "3.4.2"),
            why: "You started the run, so you cannot approve".to_owned(),
            status: Status::Needs(Missing { people: 1, ..Missing::default() }),
            signed: 1,
            required: 2,
            progress: None,
        },
    ]
}

pub(super) fn decided(words: Words) -> Vec<DecidedRow> {
    let row = |ecosystem: &str,
               package: &str,
               version: &str,
               status,
               signers: &str,
               note: Option<&str>,
               at: &str| DecidedRow {
        release: name(words, ecosystem, package, version),
        status,
        signers: signers.to_owned(),
        note: note.map(|text| words.show(text)),
        when: when(at),
    };
    vec![
        row(
            "PyPI",
            "aurora-core",
            "7.10.4",
            Status::Published(String::new()),
            "Mara Lindqvist, Priya Raman",
            None,
            "2026-11-21T15:00:00Z",
        ),
        row(
            "npm",
            "@aurora/react",
            "1.9.8",
            Status::Published(String::new()),
            "Ines Duarte",
            None,
            "2026-11-20T11:00:00Z",
        ),
        row(
            "PyPI",
            "aurora-client",
            "4.2.0rc2",
            Status::Rejected(String::new()),
            "Jun Watanabe",
            Some("debug flag left on"),
            "2026-11-19T10:00:00Z",
        ),
        row(
            "PyPI",
            "aurora-docs",
            "0.8.0",
            Status::Expired,
            "Nobody in 7 days",
            None,
            "2026-11-18T10:00:00Z",
        ),
    ]
}

fn spare(words: Words) -> Vec<SpareRow> {
    vec![
        SpareRow {
            package: words.show("aurora-core"),
            is_name: true,
            badge: Badge::new(Tone::Bad, "circle-alert", "No spare"),
            why: "Needs 2, and only 2 people can sign. If either is away, nothing ships."
                .to_owned(),
            link: Some(Link::new("/policies", "See the policy")),
        },
        SpareRow {
            package: words.show("@aurora/react"),
            is_name: true,
            badge: Badge::new(Tone::Warn, "triangle-alert", "One person"),
            why: "One signature is enough to publish it.".to_owned(),
            link: None,
        },
        SpareRow {
            package: "14 other packages".to_owned(),
            is_name: false,
            badge: Badge::new(Tone::Ok, "circle-check", "2+ spare"),
            why: String::new(),
            link: None,
        },
    ]
}

pub(super) fn inbox_new() -> InboxPage {
    let step = |done, title: &str, text: &str, href: &str| NextStep {
        done,
        title: title.to_owned(),
        text: text.to_owned(),
        href: href.to_owned(),
    };
    let mut layout = layout("Inbox", Section::Inbox);
    layout.waiting = 0;
    layout.saved = Some("Your passkey is ready.".to_owned());
    if let Some(person) = &mut layout.person {
        person.keys = 1;
    }
    InboxPage {
        layout,
        notices: vec![notice(
            Tone::Warn,
            "key-round",
            "Add a second key",
            "With only one, a lost phone or laptop locks you out.",
            Some(Link::new("/me/keys", "My keys")),
        )],
        proposals: Vec::new(),
        waiting: Vec::new(),
        together: Vec::new(),
        moving: Vec::new(),
        decided: Vec::new(),
        spare: Vec::new(),
        gateway: vec![GatewayRow {
            badge: Badge::new(Tone::Ok, "hard-drive", "Room for held files"),
            value: "41 GB".to_owned(),
        }],
        next_steps: vec![
            step(true, "Create your passkey", "You can sign now.", "/me/keys"),
            step(
                false,
                "Invite a second person",
                "Two signatures need at least two people, three to survive a holiday.",
                "/people/invite",
            ),
            step(
                false,
                "Add a registry",
                "Where approved releases go. No address is built in.",
                "/registries/new",
            ),
            step(false, "Add a package", "With a policy that says who signs.", "/packages/new"),
        ],
        last_release: Some("No release has gone out yet.".to_owned()),
    }
}

pub(super) fn releases(words: Words) -> ReleasesPage {
    let states = [
        ("", "Any"),
        ("waiting", "Needs approvals"),
        ("published", "Published"),
        ("rejected", "Rejected"),
        ("expired", "Expired"),
    ];
    let mut states: Vec<_> = states.map(|(value, text)| Choice::new(value, text, "")).into();
    states[0].chosen = true;
    let mut rows = decided(words);
    rows.insert(
        0,
        DecidedRow {
            release: name(words, "PyPI", "aurora-client", "4.2.0"),
            status: Status::Needs(Missing { people: 1, ..Missing::default() }),
            signers: "Mara Lindqvist".to_owned(),
            note: None,
            when: when("2026-11-22T15:48:00Z"),
        },
    );
    ReleasesPage {
        layout: layout("Releases", Section::Releases),
        query: "aurora".to_owned(),
        states,
        rows,
        older: Some(Link::new("/releases?before=0193a7c2", "Older releases")),
        error: None,
    }
}
