//! Proposals, the founding and the brake.

use super::{Words, layout, notice, when};
use crate::web::views::form::{Choice, Field};
use crate::web::views::governance::{
    Brake, ChangeCard, Delta, FoundingDocument, FoundingForm, FoundingPage, FoundingPerson,
    FoundingPolicy, FoundingThing, FreezePage, FrozenRow, ObjectPage, Pips, ProposalAction,
    ProposalPage, ProposalRow, ProposalsPage, SaySoPage, SignaturesView, TakesCard,
};
use crate::web::views::release::{Slot, StatementView};
use crate::web::views::shell::{
    Badge, Face, Fact, HistoryItem, Layout, Link, Notice, Section, Tone,
};

const DIGEST: &str = "4be190c7 5c1b6f9f 7b2a4ddc 9e3f0a68 d2c47be9 105f3a7d 8e64b1c9 0f27e2a4";
const PAGE: &str = "/proposals/0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11";

/// The frame of an installation that is founded.
fn governed(title: &str, section: Section) -> Layout {
    Layout { governed: true, proposals: 1, ..layout(title, section) }
}

fn statement(rows: &[(&str, &str)]) -> StatementView {
    let rows = rows.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
    StatementView { rows: rows.collect(), words: super::CHECK_WORDS.map(str::to_owned) }
}

fn loosening_statement(verb: &str, decision: &str) -> StatementView {
    statement(&[
        (verb, "Change the policy “Two people”"),
        ("It takes", "a quorum, then 48 h"),
        ("Proposal", &format!("sha256 {DIGEST}")),
        ("At", "https://releases.aurora.example"),
        ("format", "countersign/proposal-statement/v1"),
        ("decision", decision),
        ("person", "0193a7c2-5b6e-7e85-9d4d-2eaed0826941"),
        ("proposal, changes, 1, change", "set_policy"),
        ("proposal, changes, 1, policy, revision", "4"),
        ("proposal, changes, 1, policy, required", "1"),
        ("proposal, leaves unreleasable", "none"),
        ("roster, revision", "9"),
        ("reason", "none"),
    ])
}

fn signed(name: &str, how: &str) -> Slot {
    Slot::Signed(Face::of(name), how.to_owned())
}

fn governing(signed: u32, slots: Vec<Slot>) -> SignaturesView {
    SignaturesView {
        policy: Some(Link::new("/policies/1", "Two people")),
        name: "Governing policy".to_owned(),
        signed,
        required: 2,
        slots,
    }
}

fn history() -> Vec<HistoryItem> {
    let item = |icon, who: &str, what: &str, note: Option<&str>, at| HistoryItem {
        icon,
        who: who.to_owned(),
        what: what.to_owned(),
        note: note.map(str::to_owned),
        when: when(at),
    };
    vec![
        item(
            "badge-check",
            "Mara Lindqvist",
            "signed",
            Some("until Jun is back"),
            "2026-11-22T15:40:00Z",
        ),
        item("plus", "Theo Okafor", "proposed it", None, "2026-11-22T15:30:00Z"),
    ]
}

/// Loosens; waits for the reader.
pub(super) fn proposal(words: Words) -> ProposalPage {
    let loosens = ChangeCard {
        icon: "scale",
        title: "Change the policy “Two people”".to_owned(),
        rows: vec![
            Delta::change(
                "The rule",
                "A release needs 2 of 3 people, not counting the person who started the CI run, within 7 days.",
                "A release needs 1 of 3 people, not counting the person who started the CI run, within 7 days.",
            ),
            Delta::change(
                "Who may approve",
                "Ines Duarte, Mara Lindqvist and Theo Okafor",
                "Ines Duarte, Mara Lindqvist and Theo Okafor",
            ),
            Delta::change("Revision", "3", "4"),
        ],
        because: "It lets through what the rule before would not.".to_owned(),
        badge: Badge::new(Tone::Warn, "shield-alert", "Loosens"),
    };
    ProposalPage {
        layout: governed("Change the policy “Two people”", Section::Proposals),
        title: "Change the policy “Two people”".to_owned(),
        status: Badge::new(Tone::Note, "hourglass", "Needs 1 more signature"),
        by: Face::of("Theo Okafor"),
        at: when("2026-11-22T15:30:00Z"),
        expires: Some(when("2026-12-06T15:30:00Z")),
        outcome: None,
        reason: Some(words.show("Jun is away until Monday and we have to ship 4.2.0")),
        changes: vec![loosens],
        unreleasable: Vec::new(),
        takes: TakesCard {
            title: "A quorum, then 48 h".to_owned(),
            text:
                "The quorum of the governing policy, as it is now. Then it waits 48 h: everybody \
                   who signs in is told, and one objection by anybody who signs ends it."
                    .to_owned(),
        },
        quorums: vec![governing(
            1,
            vec![signed("Mara Lindqvist", "22 min ago"), Slot::Yours("or Theo Okafor".to_owned())],
        )],
        statement: loosening_statement("Sign for", "approve"),
        action: ProposalAction::Sign(format!("{PAGE}/sign")),
        object: Some(format!("{PAGE}/object")),
        withdraw: None,
        history: history(),
    }
}

/// Has its signatures; the reader proposed it and can take it back.
pub(super) fn waiting() -> ProposalPage {
    let mut page = proposal(Words::Plain);
    page.status = Badge::new(Tone::Warn, "timer", "Takes effect in 47 h");
    page.outcome = Some(loosens_soon());
    page.expires = None;
    page.by = Face::of("Ines Duarte");
    page.history[1].who = "Ines Duarte".to_owned();
    page.quorums = vec![governing(
        2,
        vec![signed("Mara Lindqvist", "22 min ago"), signed("Ines Duarte", "just now")],
    )];
    page.action =
        ProposalAction::Decided("You signed. You can still object while it waits.".to_owned());
    page.withdraw = Some(format!("{PAGE}/withdraw"));
    page
}

fn loosens_soon() -> Notice {
    notice(
        Tone::Warn,
        "timer",
        "It takes effect in 47 h unless somebody objects",
        "It has the signatures it takes. Everybody is told, and an objection before 24 Nov 2026 \
         15:40:00 UTC ends it.",
        None,
    )
}

/// Somebody leaves, and packages are left behind; about another policy too.
pub(super) fn leaving(words: Words) -> ProposalPage {
    let mut page = proposal(words);
    page.title = "Theo Okafor leaves, and 2 more changes".to_owned();
    page.layout.title.clone_from(&page.title);
    page.reason = None;
    page.by = Face::of("Mara Lindqvist");
    page.unreleasable = vec![words.show("@aurora/react"), words.show("aurora-core")];
    let gone = |label: &str, from: &str| Delta {
        label: label.to_owned(),
        from: Some(from.to_owned()),
        to: None,
        code: false,
    };
    let takes = || Badge::new(Tone::Plain, "scale", "Takes a quorum");
    page.changes = vec![
        ChangeCard {
            icon: "users",
            title: "Theo Okafor leaves".to_owned(),
            rows: vec![gone("Role", "Maintainer"), gone("Signs under", "Two people and Core")],
            because: "Fewer people could sign, so those who do agree to it.".to_owned(),
            badge: takes(),
        },
        ChangeCard {
            icon: "workflow",
            title: "New publisher “Release workflow”".to_owned(),
            rows: vec![
                Delta::new("May submit", words.show("aurora-core")),
                Delta::new("Tokens of", "ci"),
                Delta::new("repository", words.show("aurora/core")).code(),
                Delta::new("workflow", ".github/workflows/release.yml").code(),
            ],
            because: "Another CI workload could submit.".to_owned(),
            badge: Badge::new(Tone::Warn, "shield-alert", "Loosens"),
        },
        ChangeCard {
            icon: "key-round",
            title: "A passkey of Jun Watanabe comes to count".to_owned(),
            rows: vec![
                Delta::new("Called", words.show("YubiKey 5C")),
                Delta::new("Fingerprint", "4be190c7 5c1b6f9f 7b2a4ddc 9e3f0a68").code(),
                Delta::new("Words to compare", "ginger thimble falcon yogurt").code(),
            ],
            because: "Whoever holds this key could sign, so others vouch for it.".to_owned(),
            badge: Badge::new(Tone::Warn, "shield-alert", "Loosens"),
        },
    ];
    page.quorums[0].slots[1] = Slot::Open("Ines Duarte or Priya Raman".to_owned());
    page.quorums.push(SignaturesView {
        policy: Some(Link::new("/policies/2", "Core")),
        name: "Core".to_owned(),
        signed: 0,
        required: 1,
        slots: vec![Slot::Open("Priya Raman".to_owned())],
    });
    page.action = ProposalAction::Cannot("It is about you; the others decide.".to_owned());
    page.object = None;
    page
}

fn over(status: Badge, outcome: Notice) -> ProposalPage {
    let mut page = proposal(Words::Plain);
    page.status = status;
    page.outcome = Some(outcome);
    page.expires = None;
    page.action = ProposalAction::Closed("It is over. Nobody can sign it any more.".to_owned());
    page.object = None;
    page.quorums[0].slots.truncate(1);
    page
}

pub(super) fn rejected(words: Words) -> ProposalPage {
    let text = format!(
        "“{}” To make the change after all, propose it again.",
        words.show("not for a holiday")
    );
    let notice = notice(Tone::Bad, "ban", "Jun Watanabe objected", &text, None);
    let mut page = over(Badge::new(Tone::Bad, "ban", "Rejected"), notice);
    page.reason = Some(words.show("Jun is away"));
    page
}

pub(super) fn stale() -> ProposalPage {
    let text =
        "Expected revision 5 of the policy, received `4`. Propose it again as things are now.";
    let notice = notice(Tone::Plain, "replace", "It no longer fits", text, None);
    over(Badge::new(Tone::Plain, "replace", "No longer fits"), notice)
}

pub(super) fn enacted() -> ProposalPage {
    let title = "In force since 24 Nov 2026 15:40:00 UTC";
    let notice = notice(Tone::Ok, "circle-check", title, "", None);
    over(Badge::new(Tone::Ok, "circle-check", "In force"), notice)
}

pub(super) fn object() -> ObjectPage {
    ObjectPage {
        layout: governed("Object to a change", Section::Proposals),
        proposal: Link::new(PAGE, "Change the policy “Two people”"),
        ceremony: format!("{PAGE}/object"),
        statement: loosening_statement("Object to", "reject"),
    }
}

fn row(icon: &'static str, title: &str, by: &str, at: &str, status: Badge) -> ProposalRow {
    ProposalRow {
        href: PAGE.to_owned(),
        icon,
        title: title.to_owned(),
        by: by.to_owned(),
        when: when(at),
        status,
        pips: None,
        yours: false,
    }
}

/// What waits for the reader, as the inbox lists it too.
pub(super) fn yours() -> ProposalRow {
    let badge = Badge::new(Tone::Note, "hourglass", "Needs 1 more signature");
    ProposalRow {
        pips: Some(Pips { signed: 1, required: 2 }),
        yours: true,
        ..row(
            "scale",
            "Change the policy “Two people”",
            "Theo Okafor",
            "2026-11-22T15:30:00Z",
            badge,
        )
    }
}

pub(super) fn proposals() -> ProposalsPage {
    let waiting = Badge::new(Tone::Warn, "timer", "Takes effect in 47 h");
    let notice = notice(
        Tone::Warn,
        "timer",
        "Loosened in 47 h: Priya Raman joins as a maintainer",
        "It has its signatures. One objection before then ends it.",
        Some(Link::new(PAGE, "Look at it")),
    );
    ProposalsPage {
        layout: governed("Proposals", Section::Proposals),
        notices: vec![notice],
        waiting: vec![
            yours(),
            row(
                "user-plus",
                "Priya Raman joins as a maintainer",
                "Mara Lindqvist",
                "2026-11-22T15:00:00Z",
                waiting,
            ),
        ],
        ended: vec![
            row(
                "pause",
                "Freeze everything",
                "Ines Duarte",
                "2026-11-20T02:10:00Z",
                Badge::new(Tone::Ok, "circle-check", "In force"),
            ),
            row(
                "workflow",
                "Remove the publisher “Old pipeline”",
                "Mara Lindqvist",
                "2026-11-18T10:00:00Z",
                Badge::new(Tone::Ok, "circle-check", "In force"),
            ),
            row(
                "landmark",
                "New registry “Mirror”",
                "Theo Okafor",
                "2026-11-17T10:00:00Z",
                Badge::new(Tone::Bad, "ban", "Rejected"),
            ),
        ],
    }
}

pub(super) fn proposals_empty() -> ProposalsPage {
    ProposalsPage {
        layout: layout("Proposals", Section::Proposals),
        notices: vec![not_founded()],
        waiting: Vec::new(),
        ended: Vec::new(),
    }
}

fn not_founded() -> Notice {
    notice(
        Tone::Warn,
        "stamp",
        "This installation is not founded yet",
        "Nothing that takes two approvals is sent before.",
        Some(Link::new("/founding", "Found it")),
    )
}

fn thing(name: &str, code: bool, facts: Vec<Fact>) -> FoundingThing {
    FoundingThing { name: name.to_owned(), code, facts }
}

fn document(words: Words, slots: Vec<Slot>, count: u32) -> FoundingDocument {
    let person = |name: &str, role: &str, key: &str, print: &str, account: &str| FoundingPerson {
        face: Face::of(name),
        role: role.to_owned(),
        keys: vec![(words.show(key), print.to_owned())],
        accounts: vec![words.show(account)],
    };
    FoundingDocument {
        founded: None,
        signatures: SignaturesView { name: "Two people".to_owned(), ..governing(count, slots) },
        facts: vec![
            Fact::code("Installation", "https://releases.aurora.example"),
            Fact::words("Governed by", "Two people"),
            Fact::words("A loosening waits", "48 h"),
            Fact::code("Recovery key", "9f2c41d7 e05b8a13 77aa02c4 1b6f9f4e"),
            Fact::code("Digest", DIGEST),
        ],
        people: vec![
            person("Mara Lindqvist", "Owner", "YubiKey 5C", "4be190c7 5c1b6f9f 7b2a4ddc 9e3f0a68", "1002 at ci"),
            person("Ines Duarte", "Maintainer", "Phone", "9f2c41d7 e05b8a13 77aa02c4 1b6f9f4e", "1001 at ci"),
            FoundingPerson {
                face: Face::of("Theo Okafor"),
                role: "Maintainer".to_owned(),
                keys: Vec::new(),
                accounts: Vec::new(),
            },
        ],
        bots: vec!["9000 at ci".to_owned()],
        policies: vec![FoundingPolicy {
            name: "Two people".to_owned(),
            sentence: "A release needs 2 of 3 people, not counting the person who started the CI run, within 7 days.".to_owned(),
            people: "Ines Duarte, Mara Lindqvist and Theo Okafor".to_owned(),
            governs: true,
        }],
        registries: vec![thing(
            "PyPI",
            false,
            vec![
                Fact::words("Kind", "PyPI"),
                Fact::code("Address", words.show("https://upload.registry.example/legacy/")),
                Fact::code("Sealed credential", "sha256 4be190c7 5c1b6f9f 7b2a4ddc 9e3f0a68"),
            ],
        )],
        packages: vec![thing(
            &words.show("aurora-client"),
            true,
            vec![Fact::words("Goes to", "PyPI"), Fact::words("Policy", "Two people")],
        )],
        issuers: vec![thing("CI", false, vec![Fact::code("Address", "https://ci.example")])],
        publishers: vec![thing(
            "Release workflow",
            false,
            vec![
                Fact::words("May submit", words.show("aurora-client")),
                Fact::words("Tokens of", "ci"),
                Fact::code("repository", words.show("aurora/client")),
            ],
        )],
        statement: statement(&[
            ("Found", "https://releases.aurora.example"),
            ("Governed by", "Two people"),
            ("A loosening waits", "48 h"),
            ("Document", &format!("sha256 {DIGEST}")),
            ("format", "countersign/founding-statement/v1"),
            ("person", "0193a7c2-5b6e-7e85-9d4d-2eaed0826941"),
            ("founding, roster, revision", "4"),
            ("founding, delay secs", "172800"),
        ]),
    }
}

fn form(again: bool) -> FoundingForm {
    FoundingForm {
        policies: vec![
            Choice::new("1", "Two people", "A release needs 2 of 3 people, not counting the person who started the CI run, within 7 days.").chosen(),
            Choice::new("2", "Just me", "A release needs the one person named, within 7 days."),
        ],
        delay: Field::of("48"),
        again,
    }
}

/// An owner, before anything was put before anybody.
pub(super) fn founding_new() -> FoundingPage {
    FoundingPage {
        layout: layout("Founding", Section::Proposals),
        status: Badge::new(Tone::Warn, "circle-dashed", "Not begun"),
        secret: None,
        notices: Vec::new(),
        missing: Vec::new(),
        form: Some(form(false)),
        errors: Vec::new(),
        document: None,
        sign: None,
        not_you: String::new(),
    }
}

/// A founder is asked.
pub(super) fn founding_sign(words: Words) -> FoundingPage {
    let slots =
        vec![signed("Mara Lindqvist", "5 min ago"), Slot::Yours("or Theo Okafor".to_owned())];
    FoundingPage {
        status: Badge::new(Tone::Note, "hourglass", "Needs 1 more founder"),
        form: Some(form(true)),
        document: Some(document(words, slots, 1)),
        sign: Some("/founding/sign".to_owned()),
        ..founding_new()
    }
}

/// Right after it was put before the founders.
pub(super) fn founding_secret() -> FoundingPage {
    let slots =
        vec![Slot::Yours("or Mara Lindqvist".to_owned()), Slot::Open("Mara Lindqvist".to_owned())];
    FoundingPage {
        status: Badge::new(Tone::Note, "hourglass", "Needs 2 more founders"),
        secret: Some("countersign-recovery-Yk3vXgU0pQmRk8aWc1nYfTz5LhJ0sVbXe7iGoDtA2cE".to_owned()),
        form: None,
        document: Some(document(Words::Plain, slots, 0)),
        sign: Some("/founding/sign".to_owned()),
        ..founding_new()
    }
}

pub(super) fn founded() -> FoundingPage {
    let slots = vec![signed("Mara Lindqvist", "3 days ago"), signed("Ines Duarte", "3 days ago")];
    let mut document = document(Words::Plain, slots, 2);
    document.founded = Some(when("2026-11-19T10:00:00Z"));
    document.facts.insert(0, Fact::words("Founded", "19 Nov 2026 10:00:00 UTC"));
    let pinned = "Yes: another founding in the database sends nothing";
    document.facts.push(Fact::words("Pinned beside the database", pinned));
    FoundingPage {
        layout: governed("Founding", Section::Proposals),
        status: Badge::new(Tone::Ok, "circle-check", "Founded"),
        form: None,
        document: Some(document),
        not_you: "Every change from here on is a proposal.".to_owned(),
        ..founding_new()
    }
}

fn brakes(words: Words, some: std::ops::Range<usize>) -> Vec<Brake> {
    let all = [
        Brake {
            ceremony: "/freeze/everything".to_owned(),
            name: String::new(),
            everything: true,
            id: "everything".to_owned(),
        },
        Brake {
            ceremony: "/freeze/packages/1".to_owned(),
            name: words.show("aurora-client"),
            everything: false,
            id: "p1".to_owned(),
        },
    ];
    all[some].to_vec()
}

pub(super) fn freeze() -> FreezePage {
    FreezePage {
        layout: governed("Freeze releases", Section::Freeze),
        frozen: Vec::new(),
        brakes: brakes(Words::Plain, 0..1),
        others: brakes(Words::Plain, 1..2),
        cannot: String::new(),
    }
}

pub(super) fn frozen(words: Words) -> FreezePage {
    let row = |name: String, is_name, ending: Option<&str>, scope: Option<&str>| FrozenRow {
        name,
        is_name,
        by: "Ines Duarte".to_owned(),
        at: when("2026-11-22T02:10:00Z"),
        reason: Some(words.show("a token of ours is on a paste site")),
        ending: ending.map(str::to_owned),
        scope: scope.map(str::to_owned),
    };
    FreezePage {
        frozen: vec![
            row("Everything".to_owned(), false, None, Some("everything")),
            row(words.show("aurora-core"), true, Some(PAGE), None),
        ],
        brakes: brakes(words, 1..2),
        others: Vec::new(),
        ..freeze()
    }
}

/// The banner on every page while something is frozen.
pub(super) fn banner() -> Notice {
    notice(
        Tone::Warn,
        "pause",
        "Releases are frozen",
        "Nothing of this is sent until enough people agree to go on.",
        Some(Link::new("/freeze", "See why")),
    )
}

pub(super) fn say_so() -> SaySoPage {
    SaySoPage {
        layout: governed("Some packages would be stuck", Section::People),
        sentence:
            "Nobody could release `aurora-core`, `@aurora/react` any more; say so if it is meant."
                .to_owned(),
        action: "/people/1/leave".to_owned(),
        fields: vec![("csrf".to_owned(), "c3JmLXRva2Vu".to_owned())],
        back: "/people".to_owned(),
    }
}
