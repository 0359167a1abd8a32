//! A release in the words of its page. The decision panel is made from the statement that is
//! signed, so that nothing can be signed that was not shown.

use jiff::Timestamp;

use super::{earlier, inspection, origin};
use crate::app::App;
use crate::domain::artifact::{ArtifactKind, Facts};
use crate::domain::authorise::Standing;
use crate::domain::event::{Event, LogEntry, SealedBecause};
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::package::Ecosystem;
use crate::domain::policy::{Missing, Policy};
use crate::domain::quorum::Verdict;
use crate::domain::release::State;
use crate::domain::review::finding::Severity;
use crate::domain::review::report::Override;
use crate::domain::roster::ActorIs;
use crate::domain::statement::{Statement, Terms};
use crate::domain::words::check_words;
use crate::pipeline::approval::CannotDecide;
use crate::pipeline::review::{
    ArtifactRecord, DecisionRecord, ReleaseRecord, ReleaseView, Stopped, StoredUpstream, counted,
    from_one_place,
};
use crate::web::display::{When, clock, count, grouped, list, size, visible};
use crate::web::extract::SignedIn;
use crate::web::pages::governance;
use crate::web::views::home::{Progress, ReleaseName};
use crate::web::views::release::{
    Action, Attention, Difference, FileRow, Hold as HoldForm, Quorum, ReleasePage, Run, Settling,
    Signing, Slot, StatementView, Status, Step, StepState, UnderEmbargo,
};
use crate::web::views::shell::{Face, Fact, HistoryItem, Layout, Link, Notice, Tone};

/// The whole page.
pub(super) fn page(
    app: &App,
    layout: Layout,
    viewer: &SignedIn,
    release: &ReleaseView,
    now: Timestamp,
) -> ReleasePage {
    let record = &release.record;
    let unknown_actor = release.standing.as_ref().is_some_and(|s| s.started_by == ActorIs::Unknown);
    let registry = release.upstream.upstream.name();
    let chain = origin::chain(release);
    ReleasePage {
        release: name(record, &release.upstream),
        package_href: format!("/packages/{}", record.package),
        status: status(
            record,
            release.standing.as_ref().and_then(Standing::missing),
            (unknown_actor, release.stopped()),
            waits_until(release, now),
            registry,
        ),
        submitter: visible(&release.publisher),
        submitted: When::new(record.created_at, now),
        expires: expires(record, now),
        outcome: outcome(release),
        run: run(app, release),
        attention: attention(release),
        inspection: inspection::card(release),
        changed: None,
        metadata: metadata(&release.artifacts),
        differences: differences(release),
        chain_badge: origin::verdict(&chain),
        chain,
        files: release.artifacts.iter().map(|artifact| file(record.id, artifact)).collect(),
        manifest: record.seal.as_ref().map(|_| format!("/releases/{}/manifest.json", record.id)),
        earlier: earlier::releases(release, now),
        history: history(release, now),
        quorum: quorum(release, viewer, now),
        statement: shown_statement(release, viewer),
        action: action(release, viewer, now),
        hold: hold(release),
        evidence: release.attempts.first().map(|_| format!("/releases/{}/evidence", record.id)),
        preview: None,
        layout,
    }
}

/// What there is to look at: in the release, and in how it was approved.
fn attention(release: &ReleaseView) -> Vec<Attention> {
    let mut all = origin::attention(&release.besides_the_report());
    all.extend(from_one_place(&release.decisions).into_iter().map(|(first, second)| {
        Attention {
            tone: Tone::Warn,
            title: "Two signatures within 60 s from one place:".to_owned(),
            subject: format!(
                "{} and {}",
                visible(&first.person_name),
                visible(&second.person_name)
            ),
            detail:
                "One network address and one model of key. Two people at one desk look like that, \
                 and so does one person with two keys. It changes nothing; ask them."
                    .to_owned(),
            link: None,
        }
    }));
    all
}

/// How lists and headings name a release.
pub(super) fn name(record: &ReleaseRecord, upstream: &StoredUpstream) -> ReleaseName {
    ReleaseName {
        href: format!("/releases/{}", record.id),
        ecosystem: record.ecosystem.label().to_owned(),
        package: visible(&record.package_name),
        version: visible(&record.version),
        registry: upstream.upstream.name().to_owned(),
    }
}

/// The state in the words of the status vocabulary.
pub(super) fn status(
    record: &ReleaseRecord,
    missing: Option<&Missing>,
    (unknown_actor, stopped): (bool, Option<Stopped>),
    waits: Option<When>,
    registry: &str,
) -> Status {
    match record.state {
        State::Open => Status::Receiving,
        State::Awaiting | State::Approved if stopped == Some(Stopped::Held) => Status::Held,
        State::Awaiting if stopped == Some(Stopped::BeingChecked) => Status::Checking,
        State::Awaiting if unknown_actor => Status::NeedsActor,
        State::Awaiting => Status::Needs(missing.cloned().unwrap_or_default()),
        State::Approved if stopped == Some(Stopped::Unfounded) => Status::Unfounded,
        State::Approved if stopped == Some(Stopped::Frozen) => Status::Frozen,
        State::Approved => match waits {
            Some(until) => Status::Cooling(until.relative),
            None => Status::Publishing,
        },
        State::Forwarding => Status::Publishing,
        State::Confirming => Status::Confirming,
        State::Published => {
            let at = record.finished_at.map(|at| format!("{} UTC", clock(at)));
            Status::Published(at.unwrap_or_default())
        }
        State::Partial => Status::Partly(0, 0, registry.to_owned()),
        State::Failed => Status::Failed,
        State::Rejected => Status::Rejected(String::new()),
        State::Expired => Status::Expired,
        State::Superseded => Status::Superseded(String::new()),
    }
}

/// How far the file that is being sent got.
pub(super) fn progress(app: &App, release: ReleaseId) -> Option<Progress> {
    let sent = app.progress.of(release)?;
    Some(Progress {
        text: format!("Uploading {}", sent.filename),
        percent: percent(sent.bytes, sent.of),
    })
}

fn percent(part: u64, whole: u64) -> u8 {
    u8::try_from(part.saturating_mul(100) / whole.max(1)).unwrap_or(100).min(100)
}

fn expires(record: &ReleaseRecord, now: Timestamp) -> Option<When> {
    let open = matches!(record.state, State::Awaiting | State::Approved);
    record.seal.as_ref().filter(|_| open).map(|seal| When::new(seal.expires_at, now))
}

/// The form that pauses the release, or that takes the viewer's own pause back.
fn hold(release: &ReleaseView) -> Option<HoldForm> {
    let id = release.record.id;
    if release.may_resume {
        return Some(HoldForm { action: format!("/releases/{id}/resume"), held: true });
    }
    let action = format!("/releases/{id}/hold");
    release.may_hold.then_some(HoldForm { action, held: false })
}

fn on_hold(release: &ReleaseView) -> Option<Notice> {
    let hold = release.hold()?;
    let who = release.names.get(&hold.by).map_or("Somebody", String::as_str);
    let note = hold.note.as_deref().map(|note| format!("“{}” ", visible(note)));
    let note = note.unwrap_or_default();
    Some(Notice {
        tone: Tone::Warn,
        icon: "pause",
        title: format!("{who} put this release on hold"),
        text: format!(
            "{note}Nothing is sent meanwhile. The next approval ends the hold, a rejection ends \
             the release, and {who} can take the hold back."
        ),
        link: None,
    })
}

fn outcome(release: &ReleaseView) -> Option<Notice> {
    let record = &release.record;
    let notice = |tone, icon, title: String, text: String| {
        Some(Notice { tone, icon, title, text, link: None })
    };
    let words = record.message.as_deref().map(visible).unwrap_or_default();
    let registry = release.upstream.upstream.name();
    match record.state {
        State::Published => notice(
            Tone::Ok,
            "circle-check",
            format!("Published on {registry}"),
            "Countersign read it back: the registry holds exactly the approved bytes.".to_owned(),
        ),
        State::Failed => notice(
            Tone::Bad,
            "octagon-x",
            "Nothing was published".to_owned(),
            format!("{registry} or Countersign said: {words}"),
        ),
        State::Partial => {
            let have = release.artifacts.iter().filter(|a| a.forwarded_at.is_some()).count();
            notice(
                Tone::Bad,
                "triangle-alert",
                format!("{have} of {} files are on {registry}", release.artifacts.len()),
                format!("The rest was refused: {words}"),
            )
        }
        State::Rejected => {
            let by = release.decisions.iter().find(|d| d.decision.verdict == Verdict::Reject);
            let who = by.map_or("Somebody", |d| d.person_name.as_str());
            let why = by.and_then(|d| d.reason.as_deref()).map(visible).unwrap_or_default();
            notice(
                Tone::Bad,
                "ban",
                format!("{who} rejected this release"),
                format!("“{why}” To try again, upload it again from CI."),
            )
        }
        State::Superseded => Some(Notice {
            tone: Tone::Note,
            icon: "replace",
            title: "A newer candidate took its place".to_owned(),
            text: "A file of the same CI run came later. This one can no longer be signed."
                .to_owned(),
            link: record.superseded_by.map(|newer| Link {
                href: format!("/releases/{newer}"),
                text: "Open the newer one".to_owned(),
            }),
        }),
        State::Expired => notice(
            Tone::Plain,
            "timer-off",
            "Nobody decided in time".to_owned(),
            "Upload it again from CI to ask again.".to_owned(),
        ),
        State::Open | State::Awaiting | State::Approved | State::Forwarding | State::Confirming => {
            stopped(release)
        }
    }
}

/// "approved under embargo, for not before 28 Nov 2026 12:00:00 UTC".
fn approved(terms: &Terms) -> String {
    let embargo = if terms.embargo { " under embargo" } else { "" };
    let time = terms.not_before.map(|time| When::new(time, time).exact);
    let time = time.map(|time| format!(", for not before {time}")).unwrap_or_default();
    let author = if terms.no_author { ", as no author of it" } else { "" };
    format!("approved{embargo}{author}{time}")
}

/// Until when an approved release waits.
fn waits_until(release: &ReleaseView, now: Timestamp) -> Option<When> {
    let until = release.standing.as_ref()?.waits_until(now)?;
    Some(When::new(until, now))
}

/// What stops it besides missing approvals.
fn stopped(release: &ReleaseView) -> Option<Notice> {
    match release.stopped()? {
        Stopped::Held => on_hold(release),
        // The card about what is inside says it.
        Stopped::BeingChecked => None,
        Stopped::Unfounded => Some(governance::release_waits()),
        Stopped::Frozen => Some(Notice {
            tone: Tone::Warn,
            icon: "pause",
            title: "Frozen".to_owned(),
            text: "Approvals are kept. It goes out once people agreed to go on.".to_owned(),
            link: Some(Link::new("/freeze", "See why")),
        }),
    }
}

/// The steps of publishing, once there are any.
pub(super) fn run(app: &App, release: &ReleaseView) -> Option<Run> {
    let record = &release.record;
    let on_its_way = matches!(
        record.state,
        State::Approved | State::Forwarding | State::Confirming | State::Published | State::Partial
    ) || (record.state == State::Failed && !release.attempts.is_empty());
    if !on_its_way || release.stopped().is_some() {
        return None;
    }
    let registry = release.upstream.upstream.name();
    let step = |state, title: String, subject: &str| Step {
        state,
        title,
        subject: subject.to_owned(),
        detail: String::new(),
        percent: None,
        time: String::new(),
    };
    let mut steps = vec![quorum_met(release)];
    steps.extend(wait(release, app.clock.now()));
    let sending = app.progress.of(record.id);
    let total = release.artifacts.len();
    for (number, artifact) in release.artifacts.iter().enumerate() {
        let title = format!("Upload {} of {total}:", number + 1);
        let attempt = release.attempts.iter().rfind(|a| a.artifact == artifact.id);
        let now = sending.as_ref().filter(|sent| sent.filename == artifact.filename);
        let state = match (artifact.forwarded_at, attempt, record.state) {
            (Some(_), _, _) => StepState::Done,
            (None, _, State::Partial | State::Failed) => StepState::Failed,
            (None, Some(_), _) => StepState::Now,
            (None, None, _) => StepState::Later,
        };
        steps.push(Step {
            percent: now.map(|sent| percent(sent.bytes, sent.of)),
            detail: attempt.and_then(|a| a.message.as_deref()).map(visible).unwrap_or_default(),
            time: artifact.forwarded_at.map(clock).unwrap_or_default(),
            ..step(state, title, &artifact.filename)
        });
    }
    let read_back = match record.state {
        State::Published => StepState::Done,
        State::Confirming => StepState::Now,
        State::Partial | State::Failed => StepState::Failed,
        _ => StepState::Later,
    };
    steps.push(Step {
        detail: record.message.as_deref().map(visible).unwrap_or_default(),
        ..step(read_back, format!("Read it back from {registry} and compare digests"), "")
    });
    let moving = matches!(record.state, State::Approved | State::Forwarding | State::Confirming);
    Some(Run {
        heading: if moving {
            format!("On its way to {registry}")
        } else {
            format!("How it went to {registry}")
        },
        steps,
        live: moving.then(|| format!("/releases/{}/live", record.id)),
        aside: if moving {
            "You can close this page. It goes on without you.".to_owned()
        } else {
            String::new()
        },
    })
}

/// What an approved release waits for before anything is sent.
fn wait(release: &ReleaseView, now: Timestamp) -> Option<Step> {
    let until = waits_until(release, now).filter(|_| release.record.state == State::Approved)?;
    Some(Step {
        state: StepState::Now,
        title: format!("Wait until {}", until.exact),
        subject: String::new(),
        detail: "Until then it can still be rejected or put on hold.".to_owned(),
        percent: None,
        time: String::new(),
    })
}

fn quorum_met(release: &ReleaseView) -> Step {
    let standing = release.standing.as_ref();
    let detail = standing.map_or_else(String::new, |standing| {
        let (signed, required) = counted(standing);
        let policy = &standing.policy;
        format!(
            "{signed} of {required}, under {}, revision {}. Checked again before anything is sent.",
            policy.name(),
            policy.revision()
        )
    });
    let at = standing.and_then(|standing| met(release, standing));
    Step {
        state: StepState::Done,
        title: "Quorum met".to_owned(),
        subject: String::new(),
        detail,
        percent: None,
        time: at.map(clock).unwrap_or_default(),
    }
}

fn metadata(artifacts: &[ArtifactRecord]) -> Vec<Fact> {
    let fact =
        |label: &str, value: String, code: bool| Fact { label: label.to_owned(), value, code };
    match artifacts.first().map(|artifact| &artifact.facts) {
        Some(Facts::Npm(facts)) => {
            let json = &facts.package_json;
            let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str);
            let keys = |key: &str| {
                let map = json.get(key).and_then(serde_json::Value::as_object)?;
                let all: Vec<String> = map
                    .iter()
                    .map(|(name, range)| format!("{name} {}", range.as_str().unwrap_or("?")))
                    .collect();
                (!all.is_empty()).then(|| all.join(", "))
            };
            let mut facts_shown = Vec::new();
            for (label, value) in [
                ("Description", text("description").map(str::to_owned)),
                ("License", text("license").map(str::to_owned)),
                ("Dependencies", keys("dependencies")),
                ("Optional dependencies", keys("optionalDependencies")),
                ("Peer dependencies", keys("peerDependencies")),
                ("Scripts", keys("scripts")),
            ] {
                if let Some(value) = value {
                    facts_shown.push(fact(label, visible(&value), label.contains("ependencies")));
                }
            }
            facts_shown.push(fact("Files inside", facts.file_count.to_string(), false));
            facts_shown
        }
        Some(Facts::Pypi(facts)) => ["Summary", "License-Expression", "License", "Requires-Python"]
            .into_iter()
            .filter_map(|field| Some(fact(field, visible(facts.value(field)?), false)))
            .chain(facts.values("Requires-Dist").map(|v| fact("Requires", visible(v), true)))
            .collect(),
        None => Vec::new(),
    }
}

fn differences(release: &ReleaseView) -> Vec<Difference> {
    release
        .differences
        .iter()
        .flat_map(|(file, differences)| {
            differences.iter().map(move |difference| Difference {
                field: visible(&difference.field),
                file: visible(file),
                claimed: visible(&difference.claimed),
                embedded: visible(&difference.embedded),
            })
        })
        .collect()
}

pub(super) fn file(release: ReleaseId, artifact: &ArtifactRecord) -> FileRow {
    let download = format!("/releases/{release}/artifacts/{}", artifact.filename);
    FileRow {
        name: visible(&artifact.filename),
        kind: match artifact.kind {
            ArtifactKind::NpmTarball => "npm package",
            ArtifactKind::Wheel => "Wheel",
            ArtifactKind::Sdist => "Source archive",
        }
        .to_owned(),
        sha256: artifact.digests.sha256.to_string(),
        size: size(artifact.size_bytes),
        contents: format!("{download}/contents"),
        download,
    }
}

fn quorum(release: &ReleaseView, viewer: &SignedIn, now: Timestamp) -> Quorum {
    let Some(standing) = &release.standing else {
        return Quorum {
            signed: 0,
            required: 0,
            met: String::new(),
            slots: Vec::new(),
            needs: String::new(),
            excluded: vec!["Files may still arrive; nobody can sign yet.".to_owned()],
            eligible: Vec::new(),
            policy: Link { href: "/policies".to_owned(), text: "Policies".to_owned() },
        };
    };
    let (signed, required) = counted(standing);
    let named = |id: &PersonId| release.names.get(id).cloned().unwrap_or_default();
    let waiting: Vec<String> =
        standing.may_count.difference(&standing.counted).map(named).collect();
    let mut slots: Vec<Slot> = release
        .decisions
        .iter()
        .filter(|d| standing.counted.contains(&d.decision.person))
        .map(|d| {
            let how =
                format!("{} with {}", When::new(d.at, now).relative, visible(&d.passkey_name));
            Slot::Signed(Face::of(&d.person_name), how)
        })
        .collect();
    if release.record.state == State::Awaiting {
        let can_sign = matches!(release.mine, Some(Ok(_)));
        let others: Vec<String> =
            waiting.iter().filter(|name| **name != viewer.name).cloned().collect();
        for empty in 0..required.saturating_sub(signed) {
            slots.push(if empty == 0 && can_sign {
                let or = if others.is_empty() {
                    String::new()
                } else {
                    format!("or {}", list(&others, "or"))
                };
                Slot::Yours(or)
            } else {
                Slot::Open(list(&others, "or"))
            });
        }
    }
    Quorum {
        signed,
        required,
        met: met(release, standing).map_or_else(String::new, |at| format!("met {} UTC", clock(at))),
        slots,
        needs: in_particular(release, standing),
        excluded: excluded(release, standing),
        eligible: waiting,
        policy: Link {
            href: format!("/policies/{}", standing.policy.id()),
            text: format!("{}, revision {}", standing.policy.name(), standing.policy.revision()),
        },
    }
}

/// When the last approval that was needed came.
fn met(release: &ReleaseView, standing: &Standing) -> Option<Timestamp> {
    let (signed, required) = counted(standing);
    let counts = |d: &&DecisionRecord| standing.counted.contains(&d.decision.person);
    let last = release.decisions.iter().filter(counts).map(|d| d.at).max();
    last.filter(|_| signed >= required)
}

/// What is missing, when it is not anybody's approval, or why it is more than the policy says.
fn in_particular(release: &ReleaseView, standing: &Standing) -> String {
    let (_, required) = counted(standing);
    let stops = release.report.as_ref().is_some_and(|it| it.of(Severity::Block).next().is_some());
    match standing.missing() {
        Some(missing) if missing.hardware > 0 || !missing.groups.is_empty() => {
            format!("Needs {}.", visible(&missing.to_string()))
        }
        _ if stops && required == 2 && standing.policy.required_with(true) == 1 => {
            "The policy asks for one. Something stops this release, so it takes two.".to_owned()
        }
        _ => String::new(),
    }
}

fn excluded(release: &ReleaseView, standing: &Standing) -> Vec<String> {
    let named = |id: &PersonId| release.names.get(id).cloned().unwrap_or_default();
    let mut sentences = Vec::new();
    if let ActorIs::Person(person) = standing.started_by
        && !standing.may_count.contains(&person)
        && standing.policy.members().contains(&person)
    {
        let who = named(&person);
        sentences.push(format!("{who} started the CI run, so that approval does not count."));
    }
    for discounted in &standing.discounted {
        let who = named(&discounted.person);
        sentences.push(format!("The decision by {who} does not count: {}.", discounted.why));
    }
    sentences
}

/// The statement as the viewer signs it, signed it, or would have signed it.
fn shown_statement(release: &ReleaseView, viewer: &SignedIn) -> Option<StatementView> {
    let standing = release.standing.as_ref()?;
    let signed = release
        .decisions
        .iter()
        .rfind(|d| d.decision.person == viewer.person)
        .filter(|_| standing.decided.contains(&viewer.person))
        .and_then(|d| Statement::from_bytes(d.decision.statement.as_bytes()));
    let own = signed.unwrap_or_else(|| standing.to_approve(viewer.person));
    Some(statement(&own, standing))
}

/// Every field of the statement as rows. The check words stand for the digest of the manifest.
pub(super) fn statement(statement: &Statement, standing: &Standing) -> StatementView {
    let verb = match statement.decision {
        Verdict::Approve => "Approve",
        Verdict::Reject => "Reject",
    };
    let bytes: u64 = statement.files.iter().map(|file| file.size_bytes).sum();
    let files = count(statement.files.len() as u64, "file");
    let registry = match statement.ecosystem {
        Ecosystem::Npm => "npm",
        Ecosystem::Pypi => "PyPI",
    };
    let manifest = statement.manifest_sha256.to_string();
    let policy = &statement.policy;
    let mut rows = vec![
        (verb.to_owned(), format!("{} {}", statement.package, statement.version)),
        ("Publish to".to_owned(), statement.destination.url.clone()),
        ("Exactly".to_owned(), format!("{files}, {}", size(bytes))),
        ("Manifest".to_owned(), format!("sha256 {}", grouped(&manifest))),
        (
            "Policy".to_owned(),
            format!(
                "{}, revision {}, {} required",
                standing.policy.name(),
                policy.revision,
                policy.required
            ),
        ),
    ];
    let optional = [
        ("Dist-tag", statement.dist_tag.clone()),
        ("Access", statement.access.map(|access| access.as_str().to_owned())),
        ("Reason", statement.reason.clone()),
    ];
    rows.extend(optional.into_iter().filter_map(|(l, v)| Some((l.to_owned(), visible(&v?)))));
    for file in &statement.files {
        let value = format!("{}, {} bytes, sha256 {}", file.name, file.size_bytes, file.sha256);
        rows.push(("File".to_owned(), visible(&value)));
    }
    rows.extend(statement.looked_at.iter().map(|name| ("Looked at".to_owned(), visible(name))));
    rows.extend(statement.overrides.iter().map(overridden));
    if let Some(report) = &statement.report_sha256 {
        rows.push(("Report".to_owned(), format!("sha256 {report}")));
    }
    rows.extend(
        [
            ("Ecosystem", registry.to_owned()),
            ("Release", statement.release.to_string()),
            ("You", statement.person.to_string()),
            ("Upstream", statement.destination.upstream.to_string()),
            ("Policy id", policy.id.to_string()),
            ("Policy digest", format!("sha256 {}", policy.sha256)),
            ("Roster", format!("revision {}", statement.roster.revision)),
            ("Roster digest", format!("sha256 {}", statement.roster.sha256)),
            ("Not after", statement.not_after.to_string()),
            ("Origin", statement.origin.clone()),
            ("Format", statement.format.clone()),
        ]
        .map(|(label, value)| (label.to_owned(), value)),
    );
    StatementView { rows, words: check_words(&statement.manifest_sha256).map(str::to_owned) }
}

/// A block and why it is right all the same; words that are not said yet stay open.
fn overridden(given: &Override) -> (String, String) {
    let (name, words) = (visible(&given.finding), visible(&given.words));
    let words = if words.is_empty() { "your words".to_owned() } else { format!("“{words}”") };
    ("Override".to_owned(), format!("{name}: {words}"))
}

/// What the form asks of whoever signs.
fn signing(
    release: &ReleaseView,
    person: PersonId,
    (approve, reject): (String, String),
    under_hold: Option<u64>,
) -> Signing {
    let mut signing = Signing {
        approve,
        reject,
        note_because: String::new(),
        asks_authors: false,
        embargo: UnderEmbargo::Not,
        not_before_max: String::new(),
        under_hold,
    };
    let Some(standing) = &release.standing else { return signing };
    let policies = [&standing.policy, &standing.sealed_policy];
    if standing.has_findings() && policies.iter().any(|policy| policy.note_on_findings()) {
        "Required, because something was found: say why it is fine."
            .clone_into(&mut signing.note_because);
    }
    signing.asks_authors = policies.iter().any(|policy| !policy.authors_count());
    let under_rule =
        |policy: &&Policy| policy.embargo().is_some_and(|rule| rule.people.contains(&person));
    if policies.iter().all(under_rule) {
        let member = policies.iter().all(|policy| policy.members().contains(&person));
        signing.embargo = if member { UnderEmbargo::Choice } else { UnderEmbargo::Only };
    }
    signing.not_before_max = standing.expires_at.strftime("%Y-%m-%dT%H:%M").to_string();
    signing
}

fn action(release: &ReleaseView, viewer: &SignedIn, now: Timestamp) -> Action {
    let id = release.record.id;
    let reject = format!("/releases/{id}/reject");
    let may_reject = release.may_reject.then(|| reject.clone());
    let Some(mine) = &release.mine else {
        return Action::Closed(
            "Files may still arrive. Signing begins when it is sealed.".to_owned(),
        );
    };
    let Err(why) = mine else {
        let approve = format!("/releases/{id}/approve");
        let under_hold = release.hold().map(|hold| hold.sequence);
        return Action::Sign(signing(release, viewer.person, (approve, reject), under_hold));
    };
    match why {
        CannotDecide::AlreadyDecided => {
            let own = release.decisions.iter().rfind(|d| d.decision.person == viewer.person);
            let when = own.map(|d| When::new(d.at, now).relative).unwrap_or_default();
            Action::Signed(when, None)
        }
        CannotDecide::ActorUnknown => Action::Settle(Settling {
            actor: visible(&release.record.actor.actor_id),
            login: visible(&release.record.actor_name),
            issuer: visible(&release.record.actor.issuer),
            link: (viewer.role == crate::domain::roster::Role::Owner).then(|| {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query
                    .append_pair("issuer", &release.record.actor.issuer)
                    .append_pair("actor", &release.record.actor.actor_id)
                    .append_pair("login", &release.record.actor_name)
                    .append_pair("release", &id.to_string());
                format!("/people/identities/new?{}", query.finish())
            }),
            reject,
        }),
        CannotDecide::BeingChecked => Action::Checking(may_reject),
        CannotDecide::State(_) | CannotDecide::Expired => Action::Closed(String::new()),
        CannotDecide::NoKey => Action::Cannot(
            "You have no passkey that counts yet.".to_owned(),
            Some(Link { href: "/me/keys".to_owned(), text: "Your keys".to_owned() }),
            None,
        ),
        CannotDecide::NotNamed => Action::Cannot(
            "The package's policy does not name you as somebody who signs.".to_owned(),
            None,
            None,
        ),
        CannotDecide::StartedIt => Action::Cannot(
            "You started the CI run, and this policy does not count that person.".to_owned(),
            None,
            may_reject,
        ),
    }
}

fn history(release: &ReleaseView, now: Timestamp) -> Vec<HistoryItem> {
    release.history.iter().rev().filter_map(|entry| happened(release, entry, now)).collect()
}

fn happened(release: &ReleaseView, entry: &LogEntry, now: Timestamp) -> Option<HistoryItem> {
    let named = |id: &PersonId| release.names.get(id).cloned().unwrap_or_default();
    let (icon, who, what, note) = match &entry.event {
        Event::ReleaseOpened { .. } => {
            ("upload", visible(&release.publisher), "began to upload".to_owned(), None)
        }
        Event::ArtifactStaged { name, .. } => {
            ("upload", String::new(), format!("{} arrived", visible(name)), None)
        }
        Event::ReleaseSealed { because, .. } => {
            let why = match because {
                SealedBecause::SingleFile => "npm releases are one file",
                SealedBecause::CiAsked => "CI said that it is complete",
                SealedBecause::Quiet => "no further file came",
                SealedBecause::ReviewBegan => "a reviewer began",
            };
            ("lock", String::new(), format!("Sealed: {why}"), None)
        }
        Event::Decided { decision, .. } => {
            let terms = Statement::from_bytes(decision.statement.as_bytes());
            let terms = terms.map(|statement| statement.terms()).unwrap_or_default();
            let (icon, what) = match decision.verdict {
                Verdict::Approve => {
                    let beside = beside(release, decision.person);
                    ("badge-check", format!("{}{beside}", approved(&terms)))
                }
                Verdict::Reject => ("ban", "rejected".to_owned()),
            };
            (icon, named(&decision.person), what, terms.reason.as_deref().map(visible))
        }
        Event::ReleaseInspected { blocks, looks, .. } => {
            let found = inspection::found(blocks.len(), looks.len());
            ("search", String::new(), format!("Looked inside: {found}"), None)
        }
        Event::ReleaseApproved { .. } => {
            ("circle-check", String::new(), "Enough people approved".to_owned(), None)
        }
        Event::ReleaseRejected { .. } => {
            ("ban", String::new(), "Ended by the rejection".to_owned(), None)
        }
        Event::ReleaseHeld { by, note, .. } => {
            ("pause", named(by), "put it on hold".to_owned(), note.as_deref().map(visible))
        }
        Event::ReleaseResumed { by, .. } => ("timer", named(by), "ended the hold".to_owned(), None),
        Event::ReleaseExpired { .. } => ("timer-off", String::new(), "Expired".to_owned(), None),
        Event::ReleaseSuperseded { .. } => {
            ("replace", String::new(), "Replaced by a newer candidate".to_owned(), None)
        }
        _ => return forwarded(release, entry, now),
    };
    Some(HistoryItem { icon, who, what, note, when: When::new(entry.at, now) })
}

/// ", within 60 s and from one place with Mara Lindqvist".
fn beside(release: &ReleaseView, person: PersonId) -> String {
    let pairs = from_one_place(&release.decisions).into_iter();
    let firsts = pairs.filter(|(_, second)| second.decision.person == person);
    let names: Vec<_> = firsts.map(|(first, _)| visible(&first.person_name)).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(", within 60 s and from one place with {}", list(names, "and")),
    }
}

/// What happened from the first byte sent on.
fn forwarded(release: &ReleaseView, entry: &LogEntry, now: Timestamp) -> Option<HistoryItem> {
    let registry = release.upstream.upstream.name();
    let (icon, who, what, note) = match &entry.event {
        Event::ForwardStarted { name, .. } => {
            ("upload", String::new(), format!("Sending {} to {registry}", visible(name)), None)
        }
        Event::ForwardEnded { name, outcome, message, .. } => (
            "workflow",
            String::new(),
            format!("{}: {}", visible(name), outcome.replace('_', " ")),
            (!message.is_empty()).then(|| visible(message)),
        ),
        Event::ReleaseConfirming { .. } => (
            "hourglass",
            String::new(),
            format!("Everything was sent; {registry} does not show it yet"),
            None,
        ),
        Event::ReleaseReturned { message, .. } => (
            "triangle-alert",
            String::new(),
            "Approvals stopped counting before anything was sent".to_owned(),
            Some(visible(message)),
        ),
        Event::ForwardRetried { by, .. } => {
            let who = release.names.get(by).cloned().unwrap_or_default();
            ("workflow", who, "asked to try again".to_owned(), None)
        }
        Event::ReleasePublished { .. } => (
            "circle-check",
            String::new(),
            format!("Published: {registry} holds exactly the approved bytes"),
            None,
        ),
        Event::ReleasePartlyPublished { message, .. } => {
            ("triangle-alert", String::new(), "Partly published".to_owned(), Some(visible(message)))
        }
        Event::ReleaseFailed { message, .. } => {
            ("octagon-x", String::new(), "Not published".to_owned(), Some(visible(message)))
        }
        _ => return None,
    };
    Some(HistoryItem { icon, who, what, note, when: When::new(entry.at, now) })
}
