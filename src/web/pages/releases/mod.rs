//! Where people decide: the inbox, the list, a release, its files, approve, reject and hold.
//!
//! `view` turns what the pipeline knows about a release into the words of the page.

mod earlier;
mod evidence;
mod files;
mod inspection;
mod lists;
mod origin;
mod previews;
mod together;
mod view;

pub(super) use lists::decided_row;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::stream;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Deserialize;

use crate::app::App;
use crate::domain::event::SealedBecause;
use crate::domain::ids::ReleaseId;
use crate::domain::package::excerpt;
use crate::domain::quorum::Verdict;
use crate::domain::release::State as ReleaseState;
use crate::domain::review::report::Override;
use crate::domain::statement::Terms;
use crate::pipeline::approval;
use crate::pipeline::{
    Error, Kind, Refusal, detached, hold, inspection as inspect, refuse, review, staging, viewed,
};
use crate::web::ceremonies::{Finish, begun_json, location_json};
use crate::web::error::WebError;
use crate::web::extract::{Now, Path, ProtectedForm, ProtectedJson, SignedIn};
use crate::web::pages::visit::{BySigner, Visit};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::security::{attachment, held_file, may_sign};
use crate::web::views;
use crate::web::views::form::{Choice, Field};
use crate::web::views::release::{ContentsPage, EntryRow, RejectPage, ReleasePage, RunFragment};
use crate::web::views::shell::Section;

/// Longest life of one live stream; the browser reconnects by itself.
const LIVE_FOR: Duration = Duration::from_mins(30);

/// These routes.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/", lists::inbox)
        .get("/releases", lists::releases)
        .get("/releases/{id}", release)
        .get("/releases/{id}/live", live)
        .post("/releases/{id}/seal", seal)
        .post("/releases/{id}/inspect", inspect_again)
        .post("/releases/{id}/hold", hold_release)
        .post("/releases/{id}/resume", resume)
        .get("/releases/{id}/reject", reject_page)
        .post("/releases/{id}/previews", previews::make)
        .post("/releases/{id}/previews/{preview}/end", previews::end)
        .post("/releases/{id}/approve/begin", begin_approve)
        .post("/releases/{id}/approve/finish", finish_approve)
        .post("/releases/{id}/reject/begin", begin_reject)
        .post("/releases/{id}/reject/finish", finish_reject)
        .get("/releases/{id}/together", together::page)
        .post("/releases/{id}/together/begin", together::begin)
        .post("/releases/{id}/together/finish", together::finish)
        .get("/releases/{id}/evidence", evidence::page)
        .get("/releases/{id}/evidence.json", evidence::file)
        .get("/releases/{id}/evidence.intoto.jsonl", evidence::in_toto)
        .get("/releases/{id}/evidence.ssdf.json", evidence::ssdf)
        .get("/releases/{id}/files", files::list)
        .post("/releases/{id}/viewed", files::tick)
        .get("/releases/{id}/files/{filename}/diff", files::diff)
        .get("/releases/{id}/files/{filename}/file", files::whole)
        .get("/releases/{id}/manifest.json", manifest)
        .get("/releases/{id}/artifacts/{filename}", download)
        .get("/releases/{id}/artifacts/{filename}/contents", contents)
}

async fn release(visit: Visit, Path(id): Path<ReleaseId>) -> Answer {
    let Visit { app, viewer, now, .. } = &visit;
    let release = review::release(&app.store, id, viewer.person, *now).await?;
    let title = format!("{} {}", release.record.package_name, release.record.version);
    // What waits for the reader was opened from the inbox, and belongs there.
    let section =
        if matches!(release.mine, Some(Ok(_))) { Section::Inbox } else { Section::Releases };
    let layout = visit.layout(section, &title).await?;
    let preview = previews::part(&visit, &release).await?;
    let lists = app.files.all_ready(app.shelf(), &release).await?;
    let ticked = viewed::ticked(app.shelf(), &release, viewer.person).await?;
    let changed = inspection::changed(&release, lists.as_deref(), &ticked);
    let page = ReleasePage { changed, preview, ..view::page(app, layout, viewer, &release, *now) };
    let shown = show(StatusCode::OK, &page)?;
    Ok(if page.signable() { may_sign(shown) } else { shown })
}

/// Server-sent events: the publishing steps whenever they change, then `done`.
async fn live(
    State(app): State<Arc<App>>,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
) -> Result<Response, WebError> {
    let changes = app.progress.subscribe();
    let started = tokio::time::Instant::now();
    let first = LiveState { app, viewer, id, changes, over: false, looking: None };
    let events = stream::unfold(first, move |mut state| async move {
        if state.over || started.elapsed() > LIVE_FOR {
            return None;
        }
        let event = state.next().await?;
        Some((Ok::<_, Infallible>(event), state))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct LiveState {
    app: Arc<App>,
    viewer: SignedIn,
    id: ReleaseId,
    changes: tokio::sync::broadcast::Receiver<ReleaseId>,
    over: bool,
    /// Whether it was being inspected when last asked; `None` before the first time.
    looking: Option<bool>,
}

impl LiveState {
    /// The next thing to tell the page. `None` ends the stream; the browser tries again.
    async fn next(&mut self) -> Option<Event> {
        use tokio::sync::broadcast::error::RecvError;
        while self.looking.is_some() {
            match self.changes.recv().await {
                Ok(id) if id == self.id => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return None,
            }
        }
        let now = self.app.clock.now();
        let release =
            review::release(&self.app.store, self.id, self.viewer.person, now).await.ok()?;
        let looked = self.looking.replace(release.looking) == Some(true) && !release.looking;
        let settled = looked
            || release.record.state.is_final()
            || matches!(release.record.state, ReleaseState::Partial | ReleaseState::Failed);
        match view::run(&self.app, &release) {
            Some(run) if !settled => {
                let html = views::html(&RunFragment { run }).ok()?;
                Some(Event::default().event("fragment").data(html))
            }
            _ => {
                self.over = settled;
                Some(Event::default().event(if settled { "done" } else { "waiting" }).data(""))
            }
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

/// The first reviewer may start before the quiet period is over.
async fn seal(
    BySigner(visit): BySigner,
    Path(id): Path<ReleaseId>,
    ProtectedForm(Nothing {}): ProtectedForm<Nothing>,
) -> Answer {
    let (app, now) = (visit.app, visit.now);
    detached(async move {
        staging::seal_now(&app.store, id, SealedBecause::ReviewBegan, now).await?;
        app.progress.announce(id);
        Ok(())
    })
    .await?;
    Ok(Redirect::to(&format!("/releases/{id}")).into_response())
}

/// Something could not be read; somebody who signs has it tried again.
async fn inspect_again(
    BySigner(visit): BySigner,
    Path(id): Path<ReleaseId>,
    ProtectedForm(Nothing {}): ProtectedForm<Nothing>,
) -> Answer {
    inspect::again(&visit.app.store, id, visit.viewer.person, visit.now).await?;
    visit.app.progress.announce(id);
    Ok(Redirect::to(&format!("/releases/{id}")).into_response())
}

#[derive(Deserialize)]
struct HoldFields {
    #[serde(default)]
    note: Option<String>,
}

/// Needs a session and no passkey (Q10).
async fn hold_release(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    ProtectedForm(fields): ProtectedForm<HoldFields>,
) -> Answer {
    hold::begin(&app.store, id, viewer.person, fields.note, now).await?;
    app.progress.announce(id);
    Ok(Redirect::to(&format!("/releases/{id}")).into_response())
}

async fn resume(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    ProtectedForm(Nothing {}): ProtectedForm<Nothing>,
) -> Answer {
    hold::resume(&app.store, id, viewer.person, now).await?;
    app.progress.announce(id);
    Ok(Redirect::to(&format!("/releases/{id}")).into_response())
}

async fn reject_page(visit: Visit, Path(id): Path<ReleaseId>) -> Answer {
    let person = visit.viewer.person;
    let release = review::release(&visit.app.store, id, person, visit.now).await?;
    let Some(standing) = release.standing.as_ref().filter(|_| release.may_reject) else {
        return Err(Refusal::new(Kind::Gone, "you cannot reject this release now").into());
    };
    let title = format!("Reject {} {}", release.record.package_name, release.record.version);
    let layout = visit.layout(Section::Releases, &title).await?;
    let statement = standing.statement(person, Verdict::Reject, None);
    let preset = |text: &str| Choice {
        value: text.to_owned(),
        text: text.to_owned(),
        hint: String::new(),
        chosen: false,
    };
    show(
        StatusCode::OK,
        &RejectPage {
            layout,
            release: view::name(&release.record, &release.upstream),
            ceremony: format!("/releases/{id}/reject"),
            presets: [
                "Wrong content",
                "Wrong version",
                "Not ready",
                "I did not expect this release",
            ]
            .map(preset)
            .into(),
            reason: Field::default(),
            statement: view::statement(&statement, standing),
        },
    )
    .map(may_sign)
}

#[derive(Deserialize)]
struct ApproveFields {
    #[serde(default)]
    note: Option<String>,
    /// A ticked box is there, another is not.
    #[serde(default)]
    no_author: Option<String>,
    #[serde(default)]
    embargo: Option<String>,
    /// As the browser's field gives it, read as UTC; empty when none was chosen.
    #[serde(default)]
    not_before: Option<String>,
    /// The hold that the page showed; a form sends text.
    #[serde(default)]
    hold: Option<String>,
    /// A ticked `look:NAME` for every finding to look at, and words in `override:NAME` for every
    /// one that blocks.
    #[serde(flatten)]
    answers: BTreeMap<String, String>,
}

impl ApproveFields {
    /// The names of the findings that were ticked.
    fn looked_at(&self) -> Vec<String> {
        self.answers.keys().filter_map(|key| key.strip_prefix("look:")).map(str::to_owned).collect()
    }

    fn overrides(&self) -> Vec<Override> {
        let one = |(key, words): (&String, &String)| {
            let finding = key.strip_prefix("override:")?.to_owned();
            Some(Override { finding, words: words.clone() })
        };
        self.answers.iter().filter_map(one).collect()
    }
}

#[derive(Deserialize)]
struct RejectFields {
    #[serde(default)]
    reason: Option<String>,
}

async fn begin_approve(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    ProtectedJson(fields): ProtectedJson<ApproveFields>,
) -> Answer {
    let shown = fields.hold.as_ref().and_then(|sequence| sequence.parse().ok());
    hold::check_shown(&app.store, id, shown, now).await?;
    let terms = Terms {
        looked_at: fields.looked_at(),
        overrides: fields.overrides(),
        reason: fields.note,
        no_author: fields.no_author.is_some(),
        not_before: time_chosen(fields.not_before.as_deref().unwrap_or_default())?,
        embargo: fields.embargo.is_some(),
    };
    begin(app, viewer, id, (Verdict::Approve, terms), now).await
}

async fn begin_reject(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    ProtectedJson(fields): ProtectedJson<RejectFields>,
) -> Answer {
    begin(app, viewer, id, (Verdict::Reject, fields.reason.into()), now).await
}

/// "2026-11-28T12:00", without a zone.
fn time_chosen(text: &str) -> Result<Option<Timestamp>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = text.parse::<DateTime>().ok().and_then(|time| Offset::UTC.to_timestamp(time).ok());
    if time.is_none() {
        let received = excerpt(text);
        return refuse(
            Kind::BadInput,
            format!("expected a date and a time, received `{received}`"),
        );
    }
    Ok(time)
}

async fn begin(
    app: Arc<App>,
    viewer: SignedIn,
    id: ReleaseId,
    decision: (Verdict, Terms),
    now: Timestamp,
) -> Answer {
    let begun = detached(async move {
        approval::begin(&app.store, &app.passkeys, &viewer.signer(), id, decision, now).await
    });
    Ok(begun_json(begun.await?))
}

async fn finish_approve(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    ProtectedJson(answer): ProtectedJson<Finish>,
) -> Answer {
    finish(app, viewer, (id, Verdict::Approve), answer, now).await
}

async fn finish_reject(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    ProtectedJson(answer): ProtectedJson<Finish>,
) -> Answer {
    finish(app, viewer, (id, Verdict::Reject), answer, now).await
}

async fn finish(
    app: Arc<App>,
    viewer: SignedIn,
    subject: (ReleaseId, Verdict),
    answer: Finish,
    now: Timestamp,
) -> Answer {
    let decided = detached(async move {
        let answer = (answer.ceremony, answer.credential);
        let signer = viewer.signer();
        let decided =
            approval::finish(&app.store, &app.passkeys, &signer, answer, subject, now).await?;
        app.progress.announce(decided.release);
        Ok(decided)
    })
    .await?;
    Ok(location_json(&format!("/releases/{}", decided.release)))
}

/// A held file, verified while it is read; the browser may store it and nothing else (S7).
async fn download(
    State(app): State<Arc<App>>,
    _viewer: SignedIn,
    Path((id, filename)): Path<(ReleaseId, String)>,
) -> Answer {
    let (artifact, reader) = review::download(&app.store, &app.intake.blobs, id, &filename).await?;
    Ok(held_file(&artifact, Body::from_stream(reader.into_stream()))?)
}

/// The exact bytes of the sealed manifest, for `countersign check` on another machine (W18).
async fn manifest(
    State(app): State<Arc<App>>,
    _viewer: SignedIn,
    Path(id): Path<ReleaseId>,
) -> Answer {
    let bytes = review::manifest(&app.store, id).await?;
    Ok(attachment(bytes, "manifest.json", "application/json")?)
}

async fn contents(visit: Visit, Path((id, filename)): Path<(ReleaseId, String)>) -> Answer {
    let (store, intake) = (&visit.app.store, &visit.app.intake);
    let release = review::release(store, id, visit.viewer.person, visit.now).await?;
    let artifact = release.artifact(&filename)?;
    let contents = review::contents(&intake.blobs, &intake.limits, artifact).await?;
    let layout = visit.layout(Section::Releases, &filename).await?;
    let files = contents.entries.len() as u64 + contents.left_off;
    let bytes: u64 = contents.entries.iter().map(|(_, size)| size).sum();
    let row = |(path, size): &(String, u64)| {
        let (folder, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(f, n)| (f, n));
        EntryRow {
            folder: if folder.is_empty() { String::new() } else { format!("{folder}/") },
            name: name.to_owned(),
            size: crate::web::display::size(*size),
            mark: String::new(),
        }
    };
    show(
        StatusCode::OK,
        &ContentsPage {
            layout,
            release: view::name(&release.record, &release.upstream),
            sha256: artifact.digests.sha256.to_string(),
            download: format!("/releases/{id}/artifacts/{filename}"),
            entries: contents.entries.iter().map(row).collect(),
            summary: format!(
                "{} in {}, unpacked",
                crate::web::display::size(bytes),
                crate::web::display::count(files, "file")
            ),
            left_off: contents.left_off,
            unreadable: None,
            filename,
        },
    )
}
