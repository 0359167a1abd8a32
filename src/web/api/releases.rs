//! Releases for scripts in a session: a page of them, and everything about one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

use super::Reader;
use crate::app::App;
use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry, SealedBecause};
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::domain::policy::Missing;
use crate::domain::quorum::Verdict;
use crate::domain::release::State as Stands;
use crate::domain::review::report::{Report, ReportedFinding};
use crate::domain::words::check_words;
use crate::pipeline::review::{
    self, ArtifactRecord, AttemptRecord, DecisionRecord, PAGE, ReleaseFilter, ReleaseRow,
    ReleaseView, Stopped,
};
use crate::pipeline::setup::overview;
use crate::pipeline::{Fault, Kind, Refusal};
use crate::web::error::WebError;
use crate::web::extract::Now;
use crate::web::upload::review_url;

/// Where a release stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseState {
    /// Files may still arrive.
    Open,
    /// Sealed; people are deciding.
    Awaiting,
    /// Enough people approved.
    Approved,
    /// Bytes are being sent.
    Forwarding,
    /// Sent; the registry does not show it yet.
    Confirming,
    /// The registry holds exactly the approved files.
    Published,
    /// The registry holds some of them and refused the rest.
    Partial,
    /// The registry holds none of them.
    Failed,
    /// Somebody objected.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// A newer candidate took its place.
    Superseded,
}

impl From<Stands> for ReleaseState {
    fn from(state: Stands) -> Self {
        match state {
            Stands::Open => Self::Open,
            Stands::Awaiting => Self::Awaiting,
            Stands::Approved => Self::Approved,
            Stands::Forwarding => Self::Forwarding,
            Stands::Confirming => Self::Confirming,
            Stands::Published => Self::Published,
            Stands::Partial => Self::Partial,
            Stands::Failed => Self::Failed,
            Stands::Rejected => Self::Rejected,
            Stands::Expired => Self::Expired,
            Stands::Superseded => Self::Superseded,
        }
    }
}

/// A release in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseItem {
    /// Names it.
    pub id: String,
    /// `npm` or `pypi`.
    pub ecosystem: String,
    /// The package as registered.
    pub package: String,
    /// The version as the files say it.
    pub version: String,
    /// Where it stands.
    pub state: ReleaseState,
    /// When the first file came (RFC 3339).
    pub created_at: String,
    /// Who started the CI run, as the CI system calls them.
    pub started_by: String,
    /// SHA-256 of the manifest in hex, once sealed.
    pub manifest_sha256: Option<String>,
    /// The count, until bytes leave.
    pub approvals: Option<Approvals>,
    /// The gateway has not looked inside yet; nobody can approve it before.
    pub being_checked: bool,
    /// Findings inside that stop the approval until overridden, until bytes leave.
    pub blocks: Option<u64>,
    /// Findings inside to be looked at one by one, until bytes leave.
    pub looks: Option<u64>,
    /// Somebody pauses it.
    pub on_hold: bool,
    /// Number of files.
    pub files: u64,
    /// Differences that people should look at.
    pub differences: u64,
    /// Whether you could approve it now.
    pub waits_for_you: bool,
    /// Where people review it.
    pub review_url: String,
}

/// A page of releases.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseList {
    /// Newest first.
    pub releases: Vec<ReleaseItem>,
    /// `cursor` of the next page; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Approvals that count, of those needed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Approvals {
    /// People whose approvals count.
    pub counted: u32,
    /// How many are needed.
    pub required: u32,
    /// What is missing, while more are needed.
    pub missing: Option<MissingItem>,
}

/// Approvals that are missing.
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingItem {
    /// How many people at least.
    pub people: u32,
    /// How many of them with a hardware key.
    pub with_hardware: u32,
    /// How many of them from which groups.
    pub groups: Vec<FromGroupsItem>,
    /// The same in words: `1 more approval, from security`.
    pub words: String,
}

/// So many people who are in one of these groups.
#[derive(Debug, Serialize, ToSchema)]
pub struct FromGroupsItem {
    /// What the policy calls the groups.
    pub groups: Vec<String>,
    /// How many people.
    pub people: u32,
}

/// A pause that somebody put on a release.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldItem {
    /// Who.
    pub person_id: String,
    /// What they are called.
    pub person: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Why, in their words.
    pub note: Option<String>,
}

/// What was found inside.
#[derive(Debug, Serialize, ToSchema)]
pub struct InspectionItem {
    /// SHA-256 of the report in hex, which every approval names.
    pub report_sha256: String,
    /// The gravest first.
    pub findings: Vec<FindingItem>,
    /// Notes that are not listed.
    pub unlisted: u32,
    /// What nobody looked at and why, as sentences.
    pub not_checked: Vec<String>,
    /// The exact report, JSON as text.
    pub report: String,
}

/// One finding.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingItem {
    /// Tells it from the others; an approval names it.
    pub name: String,
    /// `block`, `look` or `note`.
    pub severity: String,
    /// What was found.
    pub title: String,
    /// The thing itself.
    pub evidence: String,
    /// In which file inside.
    pub file: Option<String>,
    /// In which line of it.
    pub line: Option<u32>,
}

/// What sealing fixed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SealItem {
    /// SHA-256 of the manifest in hex.
    pub manifest_sha256: String,
    /// Eight words for that digest.
    pub check_words: Vec<String>,
    /// When (RFC 3339).
    pub sealed_at: String,
    /// Nothing is sent after this time (RFC 3339).
    pub expires_at: String,
    /// The policy in force then.
    pub policy_id: String,
    /// Its revision.
    pub policy_revision: u32,
    /// `single_file`, `ci_asked`, `quiet` or `review_began`.
    pub because: Option<String>,
}

/// One file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileItem {
    /// The name at the registry.
    pub filename: String,
    /// `npm_tarball`, `wheel` or `sdist`.
    pub kind: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Its content address in hex.
    pub sha256: String,
    /// In hex; npm only.
    pub sha512: Option<String>,
    /// SHA-256 of the rebuilt publish document in hex.
    pub document_sha256: String,
    /// When it arrived (RFC 3339).
    pub staged_at: String,
    /// When the registry was seen to hold it (RFC 3339).
    pub forwarded_at: Option<String>,
    /// What the client claimed and the file does not say.
    pub differences: Vec<DifferenceItem>,
}

/// One difference between a claim and a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct DifferenceItem {
    /// Which field.
    pub field: String,
    /// What the client claimed.
    pub claimed: String,
    /// What the file says.
    pub embedded: String,
}

/// One verified claim.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClaimItem {
    /// What it is.
    pub label: String,
    /// Its value.
    pub value: String,
}

/// One decision.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionItem {
    /// Names it.
    pub id: String,
    /// Who.
    pub person_id: String,
    /// What they are called.
    pub person: String,
    /// `approve` or `reject`.
    pub verdict: String,
    /// An approval that counts now.
    pub counts: bool,
    /// When (RFC 3339).
    pub at: String,
    /// The name of the passkey.
    pub passkey: String,
    /// Note or reason.
    pub reason: Option<String>,
    /// Ids of people who approved at most 60 s before, from the same network address and with a key
    /// of the same model. A signal that changes nothing.
    pub from_one_place_with: Vec<String>,
    /// The exact statement that was signed, JSON as text.
    pub statement: String,
}

/// One entry of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryItem {
    /// Position in the log.
    pub sequence: u64,
    /// When (RFC 3339).
    pub at: String,
    /// What happened, in one word of the log.
    pub kind: String,
    /// Who, when it was a person.
    pub person: Option<String>,
    /// The file it is about.
    pub file: Option<String>,
    /// What came of a try at sending.
    pub outcome: Option<String>,
    /// The registry's own words, our reason, or a person's note.
    pub message: Option<String>,
}

/// One try at sending one file.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptItem {
    /// Names it.
    pub id: String,
    /// The file.
    pub filename: Option<String>,
    /// Since when (RFC 3339).
    pub started_at: String,
    /// Until when (RFC 3339).
    pub ended_at: Option<String>,
    /// What came of it, in one word.
    pub outcome: Option<String>,
    /// The registry's own words.
    pub message: Option<String>,
}

/// Everything about one release.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseDetails {
    /// Names it.
    pub id: String,
    /// `npm` or `pypi`.
    pub ecosystem: String,
    /// The package as registered.
    pub package: String,
    /// The version as the files say it.
    pub version: String,
    /// Where it stands.
    pub state: ReleaseState,
    /// Where people review it.
    pub review_url: String,
    /// The dist-tag; npm only.
    pub dist_tag: Option<String>,
    /// `public` or `restricted`; npm only.
    pub access: Option<String>,
    /// When the first file came (RFC 3339).
    pub created_at: String,
    /// The last change of state (RFC 3339).
    pub changed_at: String,
    /// When it reached its end (RFC 3339).
    pub finished_at: Option<String>,
    /// The registry it goes to.
    pub upstream: String,
    /// That registry's address.
    pub upstream_url: String,
    /// The publisher it came through.
    pub publisher: String,
    /// Who started the CI run, as the CI system calls them.
    pub started_by: String,
    /// The uploading client.
    pub client: String,
    /// What sealing fixed.
    pub seal: Option<SealItem>,
    /// What was found inside, once the gateway looked.
    pub inspection: Option<InspectionItem>,
    /// The count, once sealed.
    pub approvals: Option<Approvals>,
    /// The pause, while somebody holds it back.
    pub hold: Option<HoldItem>,
    /// In order of arrival.
    pub files: Vec<FileItem>,
    /// What the CI provider said about the run, verified.
    pub claims: Vec<ClaimItem>,
    /// SHA-256 of all verified claims in hex.
    pub claims_sha256: String,
    /// Decisions so far.
    pub decisions: Vec<DecisionItem>,
    /// Entries of the log about it.
    pub history: Vec<HistoryItem>,
    /// Tries at sending.
    pub attempts: Vec<AttemptItem>,
    /// You could approve it now.
    pub you_may_approve: bool,
    /// You could reject it now.
    pub you_may_reject: bool,
    /// You could put it on hold now, on its page.
    pub you_may_hold: bool,
    /// The newer candidate that took its place.
    pub superseded_by: Option<String>,
    /// The registry's own words, or our reason.
    pub message: Option<String>,
}

/// Which releases.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReleaseQuery {
    /// Only these states, separated by commas.
    pub state: Option<String>,
    /// Only this package: `npm:NAME` or `pypi:NAME`.
    pub package: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// 1 to 50; 50 when absent.
    pub limit: Option<u32>,
}

/// Reads a release's id; anything else is a release that does not exist.
pub fn parse_id(text: &str) -> Result<ReleaseId, Refusal> {
    text.parse().map_err(|_| Refusal::new(Kind::NotFound, "no such release"))
}

/// Reads `npm:NAME` or `pypi:NAME`.
pub fn parse_package(text: &str) -> Result<PackageName, Refusal> {
    let parsed = text
        .split_once(':')
        .and_then(|(kind, name)| PackageName::parse(Ecosystem::parse(kind)?, name).ok());
    parsed.ok_or_else(|| {
        let received = excerpt(text);
        let message = format!("expected `npm:NAME` or `pypi:NAME`, received `{received}`");
        Refusal::new(Kind::BadInput, message)
    })
}

/// Lists releases, newest first. `Link` with `rel="next"` leads to the next page.
#[utoipa::path(
    get, path = "/api/v1/releases", tag = "releases", params(ReleaseQuery),
    security(("session" = [])),
    responses(
        (status = 200, body = ReleaseList,
         headers(("Link" = String, description = "The next page"))),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Reader(viewer): Reader,
    Now(now): Now,
    query: Result<Query<ReleaseQuery>, QueryRejection>,
) -> Result<Response, WebError> {
    let Query(query) = query.map_err(|error| {
        let received = excerpt(&error.body_text());
        let message =
            format!("expected `state`, `package`, `cursor` or `limit`, received `{received}`");
        Refusal::new(Kind::BadInput, message)
    })?;
    let limit = query.limit.unwrap_or(PAGE);
    // One more than asked for tells whether there is another page.
    let Some(filter) = filter(&app, &query, limit).await? else {
        return Ok(Json(ReleaseList { releases: Vec::new(), next_cursor: None }).into_response());
    };
    let mut rows = review::releases(&app.store, &filter, viewer.person, now).await?;
    let asked = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > asked;
    rows.truncate(asked);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.record.id.to_string());
    let link = next_cursor.as_deref().map(|cursor| next_link(&query, cursor)).transpose()?;
    let releases = rows.into_iter().map(|row| item(&app, row)).collect();
    let mut response = Json(ReleaseList { releases, next_cursor }).into_response();
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

async fn filter(
    app: &App,
    query: &ReleaseQuery,
    limit: u32,
) -> Result<Option<ReleaseFilter>, WebError> {
    if !(1..=PAGE).contains(&limit) {
        let message = format!("expected a `limit` of 1 to {PAGE}, received `{limit}`");
        return Err(Refusal::new(Kind::BadInput, message).into());
    }
    let mut states = Vec::new();
    for word in query.state.iter().flat_map(|text| text.split(',')) {
        let state = Stands::parse(word).ok_or_else(|| {
            let received = excerpt(word);
            Refusal::new(Kind::BadInput, format!("expected a `state`, received `{received}`"))
        })?;
        states.push(state);
    }
    let before = match &query.cursor {
        Some(text) => Some(text.parse().map_err(|_| {
            let received = excerpt(text);
            let message = format!("expected the `cursor` of an answer, received `{received}`");
            Refusal::new(Kind::BadInput, message)
        })?),
        None => None,
    };
    let package = match &query.package {
        Some(text) => {
            let name = parse_package(text)?;
            let known = overview::packages(&app.store).await?;
            match known.into_iter().find(|row| row.package.name == name) {
                Some(row) => Some(row.package.id),
                None => return Ok(None),
            }
        }
        None => None,
    };
    let limit = limit + 1;
    Ok(Some(ReleaseFilter { states, package, before, limit, ..ReleaseFilter::default() }))
}

fn next_link(query: &ReleaseQuery, cursor: &str) -> Result<HeaderValue, WebError> {
    let mut next = form_urlencoded::Serializer::new(String::new());
    if let Some(state) = &query.state {
        next.append_pair("state", state);
    }
    if let Some(package) = &query.package {
        next.append_pair("package", package);
    }
    if let Some(limit) = query.limit {
        next.append_pair("limit", &limit.to_string());
    }
    next.append_pair("cursor", cursor);
    let link = format!("</api/v1/releases?{}>; rel=\"next\"", next.finish());
    HeaderValue::from_str(&link)
        .map_err(|error| Fault::new("writing the link to the next page", error).into())
}

fn item(app: &App, row: ReleaseRow) -> ReleaseItem {
    let record = row.record;
    ReleaseItem {
        id: record.id.to_string(),
        ecosystem: record.ecosystem.as_str().to_owned(),
        package: record.package_name,
        version: record.version,
        state: record.state.into(),
        created_at: record.created_at.to_string(),
        started_by: record.actor_name,
        manifest_sha256: record.seal.map(|seal| seal.manifest.digest().to_string()),
        approvals: row.count.map(|count| approvals(count, row.missing.as_ref())),
        being_checked: row.stopped == Some(Stopped::BeingChecked),
        blocks: row.asked.map(|(blocks, _)| blocks as u64),
        looks: row.asked.map(|(_, looks)| looks as u64),
        on_hold: row.stopped == Some(Stopped::Held),
        files: row.files as u64,
        differences: row.differences as u64,
        waits_for_you: row.waits_for_viewer,
        review_url: review_url(app, record.id),
    }
}

/// Everything that the review page shows.
#[utoipa::path(
    get, path = "/api/v1/releases/{id}", tag = "releases",
    params(("id" = String, Path, description = "The release")),
    security(("session" = [])),
    responses(
        (status = 200, body = ReleaseDetails),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn one(
    State(app): State<Arc<App>>,
    Reader(viewer): Reader,
    Now(now): Now,
    Path(id): Path<String>,
) -> Result<Json<ReleaseDetails>, WebError> {
    let view = review::release(&app.store, parse_id(&id)?, viewer.person, now).await?;
    Ok(Json(details(&app, view)))
}

fn details(app: &App, mut view: ReleaseView) -> ReleaseDetails {
    let decisions = view.decisions.iter().map(|decision| decision_item(&view, decision)).collect();
    let history = view.history.iter().map(|entry| history_item(entry, &view.names)).collect();
    let attempts = view.attempts.iter().map(|one| attempt_item(one, &view.artifacts)).collect();
    let seal = seal_item(&view);
    let approvals = view
        .standing
        .as_ref()
        .map(|standing| approvals(review::counted(standing), standing.missing()));
    let hold = hold_item(&view);
    let files = view
        .artifacts
        .drain(..)
        .map(|file| {
            let differences = view.differences.remove(&file.filename).unwrap_or_default();
            file_item(&file, differences)
        })
        .collect();
    let record = view.record;
    ReleaseDetails {
        id: record.id.to_string(),
        ecosystem: record.ecosystem.as_str().to_owned(),
        package: record.package_name,
        version: record.version,
        state: record.state.into(),
        review_url: review_url(app, record.id),
        dist_tag: record.dist_tag,
        access: record.access.map(|access| access.as_str().to_owned()),
        created_at: record.created_at.to_string(),
        changed_at: record.changed_at.to_string(),
        finished_at: text(record.finished_at),
        upstream: view.upstream.upstream.name().to_owned(),
        upstream_url: view.upstream.upstream.url().to_string(),
        publisher: view.publisher,
        started_by: record.actor_name,
        client: record.client,
        seal,
        inspection: view.report.as_ref().map(inspection_item),
        approvals,
        hold,
        files,
        claims: view
            .claims
            .summary()
            .into_iter()
            .map(|(label, value)| ClaimItem { label, value })
            .collect(),
        claims_sha256: record.claims_sha256.to_string(),
        decisions,
        history,
        attempts,
        you_may_approve: matches!(view.mine, Some(Ok(_))),
        you_may_reject: view.may_reject,
        you_may_hold: view.may_hold,
        superseded_by: record.superseded_by.map(|id| id.to_string()),
        message: record.message,
    }
}

fn approvals((counted, required): (u32, u32), missing: Option<&Missing>) -> Approvals {
    let missing = missing.map(|missing| MissingItem {
        people: missing.people,
        with_hardware: missing.hardware,
        groups: missing
            .groups
            .iter()
            .map(|from| FromGroupsItem { groups: from.groups.clone(), people: from.people })
            .collect(),
        words: missing.to_string(),
    });
    Approvals { counted, required, missing }
}

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn hold_item(view: &ReleaseView) -> Option<HoldItem> {
    let hold = view.hold()?;
    Some(HoldItem {
        person_id: hold.by.to_string(),
        person: view.names.get(&hold.by).cloned().unwrap_or_default(),
        since: hold.at.to_string(),
        note: hold.note.clone(),
    })
}

fn inspection_item(report: &Report) -> InspectionItem {
    let bytes = report.to_bytes();
    let finding = |finding: &ReportedFinding| FindingItem {
        name: finding.name.clone(),
        severity: finding.severity.to_string(),
        title: finding.title.clone(),
        evidence: finding.evidence.clone(),
        file: finding.file.clone(),
        line: finding.line,
    };
    InspectionItem {
        report_sha256: Sha256::of(&bytes).to_string(),
        findings: report.findings.iter().map(finding).collect(),
        unlisted: report.unlisted,
        not_checked: report.not_checked.clone(),
        report: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn seal_item(view: &ReleaseView) -> Option<SealItem> {
    let seal = view.record.seal.as_ref()?;
    let digest = seal.manifest.digest();
    let because = view.history.iter().find_map(|entry| match &entry.event {
        Event::ReleaseSealed { because, .. } => Some(match because {
            SealedBecause::SingleFile => "single_file",
            SealedBecause::CiAsked => "ci_asked",
            SealedBecause::Quiet => "quiet",
            SealedBecause::ReviewBegan => "review_began",
        }),
        _ => None,
    });
    Some(SealItem {
        manifest_sha256: digest.to_string(),
        check_words: check_words::<8>(&digest).map(str::to_owned).to_vec(),
        sealed_at: seal.sealed_at.to_string(),
        expires_at: seal.expires_at.to_string(),
        policy_id: seal.policy.to_string(),
        policy_revision: seal.policy_revision,
        because: because.map(str::to_owned),
    })
}

fn file_item(
    file: &ArtifactRecord,
    differences: Vec<crate::pipeline::staging::Difference>,
) -> FileItem {
    FileItem {
        filename: file.filename.clone(),
        kind: file.kind.as_str().to_owned(),
        size_bytes: file.size_bytes,
        sha256: file.digests.sha256.to_string(),
        sha512: file.digests.sha512.map(|digest| digest.to_string()),
        document_sha256: file.document_sha256.to_string(),
        staged_at: file.staged_at.to_string(),
        forwarded_at: text(file.forwarded_at),
        differences: differences
            .into_iter()
            .map(|found| DifferenceItem {
                field: found.field,
                claimed: found.claimed,
                embedded: found.embedded,
            })
            .collect(),
    }
}

fn decision_item(view: &ReleaseView, record: &DecisionRecord) -> DecisionItem {
    let decision = &record.decision;
    let counts = view.standing.as_ref().is_some_and(|standing| {
        decision.verdict == Verdict::Approve
            && standing.counted.contains(&decision.person)
            && standing.discounted.iter().all(|other| other.decision != decision.id)
    });
    DecisionItem {
        id: decision.id.to_string(),
        person_id: decision.person.to_string(),
        person: record.person_name.clone(),
        verdict: decision.verdict.as_str().to_owned(),
        counts,
        at: record.at.to_string(),
        passkey: record.passkey_name.clone(),
        reason: record.reason.clone(),
        from_one_place_with: review::from_one_place(&view.decisions)
            .into_iter()
            .filter(|(_, second)| second.decision.id == decision.id)
            .map(|(first, _)| first.decision.person.to_string())
            .collect(),
        statement: decision.statement.clone(),
    }
}

fn history_item(entry: &LogEntry, names: &BTreeMap<PersonId, String>) -> HistoryItem {
    let person = match &entry.event {
        Event::Decided { decision, .. } => names.get(&decision.person).cloned(),
        Event::ReleaseRejected { by, .. }
        | Event::ReleaseHeld { by, .. }
        | Event::ReleaseResumed { by, .. }
        | Event::ForwardRetried { by, .. } => names.get(by).cloned(),
        _ => None,
    };
    let file = match &entry.event {
        Event::ArtifactStaged { name, .. }
        | Event::ForwardStarted { name, .. }
        | Event::ForwardEnded { name, .. } => Some(name.clone()),
        _ => None,
    };
    let outcome = match &entry.event {
        Event::ForwardEnded { outcome, .. } => Some(outcome.clone()),
        _ => None,
    };
    let message = match &entry.event {
        Event::ForwardEnded { message, .. }
        | Event::ReleaseReturned { message, .. }
        | Event::ReleasePartlyPublished { message, .. }
        | Event::ReleaseFailed { message, .. } => Some(message.clone()),
        Event::ReleaseHeld { note, .. } => note.clone(),
        _ => None,
    };
    HistoryItem {
        sequence: entry.sequence,
        at: entry.at.to_string(),
        kind: entry.event.kind().to_owned(),
        person,
        file,
        outcome,
        message,
    }
}

fn attempt_item(attempt: &AttemptRecord, files: &[ArtifactRecord]) -> AttemptItem {
    let file = files.iter().find(|file| file.id == attempt.artifact);
    AttemptItem {
        id: attempt.id.to_string(),
        filename: file.map(|file| file.filename.clone()),
        started_at: attempt.started_at.to_string(),
        ended_at: text(attempt.ended_at),
        outcome: attempt.outcome.clone(),
        message: attempt.message.clone(),
    }
}
