//! The review page after the decision.

use super::release::needs_approvals;
use super::{Words, layout, name, notice, when};
use crate::domain::attestation::Practice;
use crate::web::views::evidence::{EvidenceFile, EvidencePage};
use crate::web::views::release::{Action, Hold, ReleasePage, Run, Slot, Status, Step, StepState};
use crate::web::views::shell::{Face, Fact, HistoryItem, Link, Section, Tone};

fn step(state: StepState, title: &str, subject: String, detail: &str, time: &str) -> Step {
    Step {
        state,
        title: title.to_owned(),
        subject,
        detail: detail.to_owned(),
        percent: None,
        time: time.to_owned(),
    }
}

fn met(mut page: ReleasePage) -> ReleasePage {
    page.quorum.signed = 2;
    page.quorum.met = "met 16:02 UTC".to_owned();
    page.quorum.needs.clear();
    page.quorum.slots = vec![
        Slot::Signed(Face::of("Mara Lindqvist"), "6 min ago with a YubiKey 5C".to_owned()),
        Slot::Signed(Face::of("Ines Duarte"), "You, just now with a phone".to_owned()),
    ];
    page.expires = None;
    page.hold = None;
    page
}

pub(super) fn cooling(words: Words) -> ReleasePage {
    let mut page = met(needs_approvals(words));
    page.status = Status::Cooling("in 26 min".to_owned());
    page.action =
        Action::Signed("just now".to_owned(), Some("/releases/0193a7c2/reject".to_owned()));
    page.hold = Some(Hold { action: "/releases/0193a7c2/hold".to_owned(), held: false });
    page.run = Some(Run {
        heading: "Waiting before PyPI".to_owned(),
        steps: vec![
            step(StepState::Done, "Quorum met", String::new(), "2 of 2.", "16:02:11"),
            step(
                StepState::Now,
                "Waiting time of the policy",
                String::new(),
                "Anybody of the quorum can still stop it.",
                "until 16:32",
            ),
            step(StepState::Later, "Send the files", String::new(), "", ""),
        ],
        live: Some("/releases/0193a7c2/live".to_owned()),
        aside: "You can close this page.".to_owned(),
    });
    page
}

/// Approved before the founding (Q21).
pub(super) fn unfounded(words: Words) -> ReleasePage {
    let mut page = met(needs_approvals(words));
    page.status = Status::Unfounded;
    page.action = Action::Closed(String::new());
    page.outcome = Some(notice(
        Tone::Warn,
        "stamp",
        "Set-up is not finished",
        "It takes two or more approvals, and nothing of that kind is sent before as many founders \
         signed the rules. Approvals are kept, and it goes out by itself then.",
        Some(Link::new("/founding", "Founding")),
    ));
    page
}

pub(super) fn publishing(words: Words) -> ReleasePage {
    let mut page = met(needs_approvals(words));
    page.status = Status::Publishing;
    page.action = Action::Closed(String::new());
    let mut sending = step(
        StepState::Now,
        "Uploading 2 of 3:",
        words.show("aurora_client-4.2.0.tar.gz"),
        "",
        "now",
    );
    sending.percent = Some(62);
    page.run = Some(Run {
        heading: "On its way to PyPI".to_owned(),
        steps: vec![
            step(
                StepState::Done,
                "Quorum met, policy revision 14 checked again",
                String::new(),
                "2 of 2.",
                "16:02:11",
            ),
            step(
                StepState::Done,
                "Held files re-hashed",
                String::new(),
                "3 of 3 equal what was signed.",
                "16:02:11",
            ),
            sending,
            step(
                StepState::Later,
                "Read it back from PyPI and compare digests",
                String::new(),
                "",
                "",
            ),
        ],
        live: Some("/releases/0193a7c2/live".to_owned()),
        aside: "You can close this page. It goes on without you.".to_owned(),
    });
    page
}

pub(super) fn published(words: Words) -> ReleasePage {
    let mut page = publishing(words);
    page.status = Status::Published("16:02 UTC".to_owned());
    page.evidence = Some("/releases/0193a7c2/evidence".to_owned());
    page.outcome = Some(notice(
        Tone::Ok,
        "circle-check",
        "Published",
        "PyPI has these 3 files, byte for byte what was signed. Read back 16:02:40 UTC.",
        None,
    ));
    if let Some(run) = &mut page.run {
        run.heading = "How it went to PyPI".to_owned();
        run.aside = String::new();
        run.live = None;
        for step in &mut run.steps {
            step.state = StepState::Done;
            step.percent = None;
        }
    }
    page
}

pub(super) fn partly(words: Words) -> ReleasePage {
    let mut page = publishing(words);
    page.status = Status::Partly(2, 3, "PyPI".to_owned());
    page.outcome = Some(notice(
        Tone::Bad,
        "triangle-alert",
        "2 of 3 files are on PyPI",
        "The third was refused. A file name on PyPI can never be used again, so the two that are there stay. Countersign tries the missing one again with the same bytes.",
        None,
    ));
    if let Some(run) = &mut page.run {
        run.live = None;
        run.steps[2].state = StepState::Failed;
        run.steps[2].percent = None;
        run.steps[2].detail =
            "PyPI answered 400: Binary wheel has an unsupported platform tag.".to_owned();
        run.steps[2].time = "16:02:19".to_owned();
    }
    page
}

pub(super) fn failed(words: Words) -> ReleasePage {
    let mut page = publishing(words);
    page.status = Status::Failed;
    page.outcome = Some(notice(
        Tone::Bad,
        "octagon-x",
        "PyPI refused it and has none of the files",
        "It answered 403: the credential may not upload this project. Nothing was published.",
        Some(Link::new("/registries", "Registries")),
    ));
    if let Some(run) = &mut page.run {
        run.heading = "How far it got".to_owned();
        run.aside = String::new();
        run.live = None;
        run.steps.truncate(3);
        run.steps[2].state = StepState::Failed;
        run.steps[2].percent = None;
        run.steps[2].time = "16:02:14".to_owned();
    }
    page
}

pub(super) fn rejected(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.status = Status::Rejected("Jun Watanabe".to_owned());
    page.outcome = Some(notice(
        Tone::Bad,
        "ban",
        "Jun Watanabe rejected it",
        &format!(
            "“{}” To publish this version after all, run the workflow again.",
            words.show("debug flag left on")
        ),
        None,
    ));
    page.action =
        Action::Closed("One rejection ends a candidate. It cannot be signed any more.".to_owned());
    page.expires = None;
    page.hold = None;
    page
}

pub(super) fn expired(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.status = Status::Expired;
    page.outcome = Some(notice(
        Tone::Plain,
        "timer-off",
        "It ran out with 1 of 2 approvals",
        "Run the workflow again to submit it once more.",
        None,
    ));
    page.action = Action::Closed("It cannot be signed any more.".to_owned());
    page.expires = None;
    page.hold = None;
    page
}

pub(super) fn superseded(words: Words) -> ReleasePage {
    let mut page = needs_approvals(words);
    page.status = Status::Superseded("4.2.0 (2nd upload)".to_owned());
    page.outcome = Some(notice(
        Tone::Plain,
        "replace",
        "A newer candidate took its place",
        "The same run added a file. Approvals of this one do not count for it.",
        Some(Link::new("/releases/0193a7c3", "Open the newer one")),
    ));
    page.action = Action::Closed("It cannot be signed any more.".to_owned());
    page.expires = None;
    page.hold = None;
    page
}

pub(super) fn evidence(words: Words) -> EvidencePage {
    const DIGEST: &str = "4be190c75c1b6f9f7b2a4ddc9e3f0a68d2c47be9105f3a7d8e64b1c90f27e2a4";
    let approval = |who: &str, id: &str, at: &str, note: Option<&str>| HistoryItem {
        icon: "badge-check",
        who: words.show(who),
        what: format!("({id}) approved with key Ydx3-2vXgU0pQmRk8aWc1nYfTz5LhJ0sVbXe7iGoDtA"),
        note: note.map(|note| words.show(note)),
        when: when(at),
    };
    EvidencePage {
        layout: layout("Evidence of aurora-client 4.2.0", Section::Releases),
        release: name(words, "PyPI", "aurora-client", "4.2.0"),
        facts: vec![
            Fact::code("Published to", "https://upload.registry.example/legacy/"),
            Fact::code("Sending began", "2026-11-22T16:02:11.123456Z"),
            Fact::words("Outcome", "published"),
            Fact::code("Manifest", format!("sha256:{DIGEST}")),
            Fact::code("Log", "releases.aurora.example/log"),
            Fact::words("Entries", "20852"),
        ],
        approvals: vec![
            approval(
                "Mara Lindqvist",
                "0193a7c2-5b6e-7f1a-baeb-945532d905bb",
                "2026-11-22T15:55:00Z",
                Some("read the diff"),
            ),
            approval(
                "Ines Duarte",
                "0193a7c2-5b6e-7e85-9d4d-2eaed0826941",
                "2026-11-22T16:02:00Z",
                None,
            ),
        ],
        files: vec![EvidenceFile {
            name: words.show("aurora_client-4.2.0.tar.gz"),
            size: "131 KB".to_owned(),
            sha256: DIGEST.to_owned(),
        }],
        practices: vec![
            Practice {
                task: "PO.4.2",
                about: "what shows that the criteria were met is collected and kept safe",
                shows: "2 signed approval(s) of exactly these bytes, in an append-only log of \
                        20852 entries."
                    .to_owned(),
                leaves_open: "Results of tests and scanners, unless a reviewer noted them.",
            },
            Practice {
                task: "PS.1.1",
                about: "code is protected by least privilege",
                shows: "The right to publish to https://upload.registry.example/legacy/ was used \
                        only after 2 of the people named approved."
                    .to_owned(),
                leaves_open: "Access to the source repository and the CI system.",
            },
        ],
        download: "/releases/0193a7c2/evidence.json".to_owned(),
        in_toto: "/releases/0193a7c2/evidence.intoto.jsonl".to_owned(),
        ssdf: "/releases/0193a7c2/evidence.ssdf.json".to_owned(),
        command: format!(
            "countersign verify evidence.json --key 'releases.aurora.example/log+838e3275+\
             ASG2AjUgt7t/hwD0L4a9JaTb5EsDpmC1O4il1gc0t5c6' --digest sha256:{DIGEST}"
        ),
    }
}
