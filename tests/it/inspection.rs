//! What the gateway finds in a sealed release is part of what people approve (A14): "Blocks stop
//! approval until overridden by a second person in words; looks are ticked one by one; both go into
//! the signed statement."

use std::collections::BTreeSet;

use countersign::domain::authorise::NotAuthorised;
use countersign::domain::decision::Discount;
use countersign::domain::digest::Sha256;
use countersign::domain::ids::{Id, PersonId};
use countersign::domain::quorum::Verdict::Approve;
use countersign::domain::review::checks::inspection::failed;
use countersign::domain::review::finding::{Check, Finding, Severity, Since};
use countersign::domain::review::report::{
    ASKED_MAX, Accepted, Found, Gathered, NOTES_MAX, Override, Report, ReportedFinding, Unanswered,
};
use countersign::domain::statement::Statement;
use uuid::Uuid;

use crate::support::history::{History, bot, by, pending};

/// A release of which one approval is needed, inspected.
fn found(blocks: &[&str], looks: &[&str]) -> (History, [PersonId; 3]) {
    let (mut log, people) = History::begin(1);
    log.seal_only(bot());
    log.inspect(blocks, looks);
    (log, people)
}

/// Somebody approves a statement that was altered; why that does not count.
#[track_caller]
fn discount(log: &History, person: PersonId, alter: impl FnOnce(&mut Statement)) -> Discount {
    let mut log = log.clone();
    let mut signing = log.signing(person, Approve);
    alter(&mut signing.statement);
    log.decide(&signing);
    assert!(matches!(log.verdict(), Err(NotAuthorised::Pending { .. })), "{:?}", log.verdict());
    let mut discounted = log.discounted();
    assert_eq!(discounted.len(), 1);
    discounted.remove(0).1
}

#[test]
fn nobody_approves_before_somebody_looked_inside() {
    let (mut log, [ines, ..]) = History::begin(1);
    log.seal_only(bot());
    assert_eq!(log.verdict(), Err(NotAuthorised::BeingChecked));
    log.approve(ines);
    assert_eq!(log.verdict(), Err(NotAuthorised::BeingChecked));
    assert_eq!(log.discounted(), [(ines, Discount::AnotherReport)]);
    // The signature was made over nothing, and stays worth nothing when there is a report.
    log.inspect(&[], &[]);
    assert_eq!(log.verdict(), pending(1));
    log.approve(ines);
    assert_eq!(log.verdict(), by([ines]));
}

#[test]
fn a_report_about_a_release_that_is_not_sealed_is_noticed() {
    let (mut log, _) = History::sealed();
    log.forge(|entries| {
        let sealed = entries.iter().position(|e| e.event.kind() == "release_sealed").unwrap();
        entries.swap(sealed, sealed + 1);
    });
    let unsound = NotAuthorised::Unsound("a report came before its release was sealed");
    assert_eq!(log.verdict(), Err(unsound));
}

#[test]
fn an_approval_ticks_every_look_one_by_one() {
    let (mut log, [ines, ..]) = found(&[], &["CP-01:a.js", "CP-01:b.js"]);
    let unanswered = |name: &str| Discount::Unanswered(Unanswered::Look(name.to_owned()));
    let why = discount(&log, ines, |statement| statement.looked_at.clear());
    assert_eq!(why, unanswered("CP-01:a.js"));
    let why = discount(&log, ines, |statement| statement.looked_at.truncate(1));
    assert_eq!(why, unanswered("CP-01:b.js"));
    let why = discount(&log, ines, |statement| {
        statement.looked_at = vec!["CP-01:a.js".to_owned(); 2];
    });
    assert_eq!(why, unanswered("CP-01:b.js"));
    for surplus in ["CP-01:c.js", "CP-01:a.js"] {
        let why = discount(&log, ines, |statement| statement.looked_at.push(surplus.to_owned()));
        assert_eq!(why, Discount::Unanswered(Unanswered::Unknown(surplus.to_owned())));
    }
    log.approve(ines);
    assert_eq!(log.verdict(), by([ines]));
}

#[test]
fn an_approval_overrides_every_block_in_words() {
    let (log, [ines, ..]) = found(&["HK-01:postinstall", "HK-06:evil.pth"], &["CP-01:a.js"]);
    let unanswered = |name: &str| Discount::Unanswered(Unanswered::Block(name.to_owned()));
    let why = discount(&log, ines, |statement| statement.overrides.truncate(1));
    assert_eq!(why, unanswered("HK-06:evil.pth"));
    for silence in ["", "  \n"] {
        let why =
            discount(&log, ines, |statement| silence.clone_into(&mut statement.overrides[0].words));
        assert_eq!(why, unanswered("HK-01:postinstall"));
    }
    let ticked = discount(&log, ines, |statement| {
        statement.looked_at.push(statement.overrides.remove(0).finding);
    });
    assert_eq!(ticked, unanswered("HK-01:postinstall"), "a tick is no override");
    let why = discount(&log, ines, |statement| {
        let (finding, words) = ("CP-01:a.js".to_owned(), "fine".to_owned());
        statement.overrides.push(Override { finding, words });
    });
    assert_eq!(why, Discount::Unanswered(Unanswered::Unknown("CP-01:a.js".to_owned())));
}

#[test]
fn a_block_takes_a_second_person_unless_the_policy_names_only_one() {
    let (mut log, [ines, mara, _]) = found(&["HK-01:postinstall"], &[]);
    log.approve(ines);
    assert_eq!(log.verdict(), pending(1));
    assert!(log.standing().needs_founding(), "Q21");
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));

    let alone = |log: &mut History, member: PersonId| {
        log.revise_policy(|policy| policy.members = BTreeSet::from([member]));
        log.seal_only(bot());
        log.inspect(&["HK-01:postinstall"], &[]);
    };
    let (mut log, [ines, ..]) = History::begin(1);
    alone(&mut log, ines);
    log.approve(ines);
    assert_eq!(log.verdict(), by([ines]));

    // A policy that was changed to one person since asks what it asked when it was sealed (A3).
    let (mut log, [ines, ..]) = found(&["HK-01:postinstall"], &[]);
    log.revise_policy(|policy| policy.members = BTreeSet::from([ines]));
    log.approve(ines);
    assert_eq!(log.verdict(), pending(1));

    // Taking everybody else's keys away makes nobody the only one who could.
    let (mut log, [ines, mara, jun]) = found(&["HK-01:postinstall"], &[]);
    log.leave(mara);
    log.leave(jun);
    log.approve(ines);
    assert_eq!(log.verdict(), pending(1));
}

#[test]
fn approvals_over_an_earlier_report_stop_counting_and_are_given_again() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));
    log.inspect(&[], &["CP-01:a.js"]);
    assert_eq!(log.verdict(), pending(2));
    let void = Discount::AnotherReport;
    assert_eq!(log.discounted(), [(ines, void.clone()), (mara, void)]);
    assert!(log.standing().decided.is_empty());
    log.approve(ines);
    assert_eq!(log.standing().decided, BTreeSet::from([ines]));
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));
    // Nobody signs over a report that came later.
    let mut signing = log.signing(ines, Approve);
    signing.statement.report_sha256 = Some(Sha256::of(b"another"));
    log.decide(&signing);
    assert_eq!(log.discounted().last().unwrap().1, Discount::Statement);
}

#[test]
fn an_objection_needs_no_report_and_outlives_the_next_one() {
    let (mut log, [ines, mara, _]) = History::begin(1);
    log.seal_only(bot());
    log.object(mara);
    assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(mara)));
    log.inspect(&[], &[]);
    log.approve(ines);
    assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(mara)));
}

#[test]
fn what_a_policy_asks_when_something_was_found_it_asks_for_blocks_and_looks_too() {
    let (mut log, [ines, mara, _]) = History::begin(1);
    log.revise_policy(|policy| policy.more_on_findings = 1);
    let mut clean = log.clone();
    clean.seal(bot());
    clean.approve(ines);
    assert_eq!(clean.verdict(), by([ines]));
    log.seal_only(bot());
    log.inspect(&[], &["CP-01:a.js"]);
    log.approve(ines);
    assert_eq!(log.verdict(), pending(1));
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));
}

const CHECK: Check = Check { id: "CT-01", title: "A binary", why: "Nobody can read it." };

fn in_file(file: &str, severity: Severity, since: Since, sha256: &[u8]) -> Found {
    let finding = Finding {
        check: &CHECK,
        severity,
        file: Some(file.to_owned()),
        line: None,
        evidence: String::new(),
        since,
    };
    Found { artifact: None, sha256: Some(Sha256::of(sha256)), finding }
}

fn report(found: Vec<Found>, accepted: Option<&Accepted>) -> Report {
    let (log, _) = History::sealed();
    let gathered = Gathered { found, ..Gathered::default() };
    Report::new(&log.sealed_release().manifest, gathered, accepted)
}

fn names(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.name.as_str()).collect()
}

#[test]
fn every_finding_has_a_name_of_its_own_in_printable_characters() {
    let look = |file: &str, content: &[u8]| in_file(file, Severity::Look, Since::New, content);
    let found =
        vec![look("a\u{202e}b c", b"1"), look("x#2", b"1"), look("x", b"1"), look("x", b"2")];
    let report = report(found, None);
    assert_eq!(names(&report), ["CT-01:a_b_c", "CT-01:x#2", "CT-01:x", "CT-01:x#3"]);
    assert_eq!(report.inspection().looks.len(), 4);
    let bytes = report.to_bytes();
    assert_eq!(Report::from_bytes(&bytes), Some(report));
    assert_eq!(Report::from_bytes(&[&bytes[..], b" "].concat()), None);
}

/// A release of thirty wheels asks once about the file that is in all of them.
#[test]
fn the_same_in_several_artifacts_is_one_finding() {
    let inside = |artifact: &str, path: &str| Found {
        artifact: Some(artifact.to_owned()),
        ..in_file(path, Severity::Look, Since::New, b"same")
    };
    let found = vec![
        inside("b.whl", "hello-1.0.dist-info/x"),
        inside("a.whl", "hello-1.0.dist-info/x"),
        inside("a.whl", "y"),
    ];
    let report = report(found, None);
    assert_eq!(names(&report), ["CT-01:*.dist-info/x", "CT-01:y"]);
    assert_eq!(report.findings[0].artifacts, ["a.whl", "b.whl"]);
}

#[test]
fn more_findings_than_anybody_ticks_are_one_block_that_counts_them() {
    let many = |severity, n: usize| {
        (0..n).map(|n| in_file(&format!("{n}"), severity, Since::New, b"")).collect::<Vec<_>>()
    };
    let fits = report(many(Severity::Look, ASKED_MAX), None);
    assert_eq!(fits.findings.len(), ASKED_MAX);
    assert!(fits.inspection().blocks.is_empty());
    let mut found = many(Severity::Look, ASKED_MAX + 5);
    found.extend(many(Severity::Note, NOTES_MAX + 7));
    found.push(failed("killed").into());
    let report = report(found, None);
    assert_eq!(report.inspection().blocks.len(), 2);
    assert_eq!(report.inspection().looks.len(), ASKED_MAX - 2);
    assert_eq!(
        (report.findings[0].check.as_str(), report.findings[0].evidence.as_str()),
        ("IN-03", "7 more")
    );
    assert_eq!(report.findings[1].check, "IN-01", "the gravest are listed");
    assert_eq!(report.unlisted, 7);
    assert!(report.is_incomplete() && !fits.is_incomplete());
}

/// Composition rule 4: "may lower only unchanged-file findings, and the UI says how many".
#[test]
fn what_people_accepted_in_the_last_release_asks_nothing_while_the_file_is_unchanged() {
    let accepted = |findings: Vec<ReportedFinding>| Accepted {
        release: Id::from_uuid(Uuid::from_u128(5)),
        version: "1.0.0".to_owned(),
        by: BTreeSet::from([Id::from_uuid(Uuid::from_u128(6))]),
        findings,
    };
    let block = |since, content: &[u8]| in_file("a.bin", Severity::Block, since, content);
    let first = report(vec![block(Since::New, b"1")], None);
    let before = accepted(first.findings);
    let same = report(vec![block(Since::Unchanged, b"1")], Some(&before));
    assert!(same.inspection().blocks.is_empty());
    assert_eq!(same.findings[0].lowered_from, Some(Severity::Block));
    let lowered = same.lowered.as_ref().unwrap();
    assert_eq!((lowered.count, lowered.version.as_str()), (1, "1.0.0"));
    assert_eq!(lowered.by, before.by);

    // Once more: it was accepted through a chain of releases.
    let next = accepted(same.findings);
    assert!(report(vec![block(Since::Unchanged, b"1")], Some(&next)).lowered.is_some());
    for other in [
        block(Since::Unchanged, b"2"),
        block(Since::New, b"1"),
        in_file("b.bin", Severity::Block, Since::Unchanged, b"1"),
    ] {
        let report = report(vec![other], Some(&before));
        assert_eq!((report.inspection().blocks.len(), report.lowered), (1, None));
    }
    // A multiset: what was accepted once is lowered once.
    let again = Found {
        finding: Finding { line: Some(9), ..block(Since::Unchanged, b"1").finding },
        ..block(Since::Unchanged, b"1")
    };
    let twice = report(vec![block(Since::Unchanged, b"1"), again], Some(&before));
    assert_eq!((twice.inspection().blocks.len(), twice.lowered.unwrap().count), (1, 1));
    // A note was never accepted by anybody.
    let noted = report(vec![in_file("a.bin", Severity::Note, Since::New, b"1")], None);
    let quiet = report(vec![block(Since::Unchanged, b"1")], Some(&accepted(noted.findings)));
    assert_eq!(quiet.inspection().blocks.len(), 1);
}
