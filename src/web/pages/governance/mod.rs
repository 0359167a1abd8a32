//! How an installation changes: the founding, proposals, and the brake.
//!
//! `proposal`, `founding` and `brake` fill their pages, `words` says what a change is, `statement`
//! what is signed.

mod brake;
mod founding;
mod proposal;
mod statement;
mod words;

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::domain::ids::ProposalId;
use crate::domain::quorum::Verdict;
use crate::pipeline::governance::view::{self, ProposalView};
use crate::pipeline::governance::{self, decide};
use crate::pipeline::{Kind, Refusal, detached};
use crate::web::ceremonies::{Finish, begun_json, location_json};
use crate::web::display::{When, list};
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm, ProtectedJson};
use crate::web::pages::visit::{Fields, Visit, id, see};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::security::may_sign;
use crate::web::views::governance::{ObjectPage, ProposalRow, ProposalsPage};
use crate::web::views::shell::{Link, Notice, Section, Tone};

pub(super) use founding::{notice as founding_notice, release_waits};

/// Proposals that ended, in the list.
const ENDED_SHOWN: usize = 20;

/// These routes.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/proposals", proposals)
        .get("/proposals/{id}", details)
        .get("/proposals/{id}/object", object_page)
        .post("/proposals/{id}/sign/begin", begin_sign)
        .post("/proposals/{id}/sign/finish", finish)
        .post("/proposals/{id}/object/begin", begin_object)
        .post("/proposals/{id}/object/finish", finish)
        .post("/proposals/{id}/withdraw", withdraw)
        .merge(founding::routes())
        .merge(brake::routes())
}

/// What stays on every page while something is frozen, but on the page about it.
pub(super) fn frozen(frozen: &[Option<String>], section: Section) -> Option<Notice> {
    if frozen.is_empty() || section == Section::Freeze {
        return None;
    }
    let names: Vec<String> = frozen.iter().flatten().cloned().collect();
    let title = if names.len() < frozen.len() {
        "Releases are frozen".to_owned()
    } else {
        format!("Releases of {} are frozen", list(&names, "and"))
    };
    Some(Notice {
        tone: Tone::Warn,
        icon: "pause",
        title,
        text: "Nothing of this is sent until enough people agree to go on.".to_owned(),
        link: Some(Link::new("/freeze", "See why")),
    })
}

/// Loosenings that have their signatures and wait: everybody is told (A7).
pub(super) fn loosenings(views: &[ProposalView], now: jiff::Timestamp) -> Vec<Notice> {
    let told = |view: &ProposalView| {
        let until = When::new(view.loosens_at()?, now);
        let id = view.open.proposal.id;
        Some(Notice {
            tone: Tone::Warn,
            icon: "timer",
            title: format!("Loosened {}: {}", until.relative, words::title(view)),
            text: "It has its signatures. One objection before then ends it.".to_owned(),
            link: Some(Link::new(format!("/proposals/{id}"), "Look at it")),
        })
    };
    views.iter().filter_map(told).collect()
}

/// The proposals that wait for the viewer, as the inbox lists them.
pub(super) fn waiting_rows(views: &[ProposalView], now: jiff::Timestamp) -> Vec<ProposalRow> {
    let waiting = views.iter().filter(|view| view.waits_for_viewer());
    waiting.map(|view| proposal::row(view, now)).collect()
}

async fn proposals(visit: Visit) -> Answer {
    let (store, now) = (&visit.app.store, visit.now);
    let views = view::proposals(store, visit.viewer.person, now).await?;
    let (waiting, ended): (Vec<_>, Vec<_>) = views.iter().partition(|view| view.end.is_none());
    let founding = view::founding(store, visit.viewer.person, now).await?;
    let mut notices: Vec<Notice> = founding_notice(&founding).into_iter().collect();
    notices.extend(loosenings(&views, now));
    let mut waiting: Vec<_> = waiting.into_iter().map(|view| proposal::row(view, now)).collect();
    waiting.sort_by_key(|row| !row.yours);
    let ended = ended.into_iter().take(ENDED_SHOWN);
    let page = ProposalsPage {
        layout: visit.layout(Section::Proposals, "Proposals").await?,
        notices,
        waiting,
        ended: ended.map(|view| proposal::row(view, now)).collect(),
    };
    show(StatusCode::OK, &page)
}

async fn view_of(visit: &Visit, id: ProposalId) -> Result<ProposalView, WebError> {
    Ok(view::proposal(&visit.app.store, id, visit.viewer.person, visit.now).await?)
}

async fn details(visit: Visit, Path(proposal): Path<String>) -> Answer {
    let view = view_of(&visit, id(&proposal)?).await?;
    let layout = visit.layout(Section::Proposals, &words::title(&view)).await?;
    let page = proposal::page(layout, &visit.viewer, &view, visit.now);
    let shown = show(StatusCode::OK, &page)?;
    Ok(if page.signable() { may_sign(shown) } else { shown })
}

async fn object_page(visit: Visit, Path(proposal): Path<String>) -> Answer {
    let id: ProposalId = id(&proposal)?;
    let view = view_of(&visit, id).await?;
    if !view.may_object {
        return Err(Refusal::new(Kind::Gone, "you cannot object to this change now").into());
    }
    let title = words::title(&view);
    let mut statement = view.statement.clone();
    statement.decision = Verdict::Reject;
    let page = ObjectPage {
        layout: visit.layout(Section::Proposals, "Object to a change").await?,
        ceremony: format!("/proposals/{id}/object"),
        statement: statement::of_proposal(&view, &title, &statement),
        proposal: Link::new(format!("/proposals/{id}"), title),
    };
    show(StatusCode::OK, &page).map(may_sign)
}

/// Fields of the forms that sign.
#[derive(Debug, Deserialize)]
struct Words {
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

async fn begin_sign(
    visit: Visit,
    Path(proposal): Path<String>,
    ProtectedJson(words): ProtectedJson<Words>,
) -> Answer {
    begin(visit, id(&proposal)?, (Verdict::Approve, words.note)).await
}

async fn begin_object(
    visit: Visit,
    Path(proposal): Path<String>,
    ProtectedJson(words): ProtectedJson<Words>,
) -> Answer {
    begin(visit, id(&proposal)?, (Verdict::Reject, words.reason)).await
}

async fn begin(visit: Visit, id: ProposalId, said: (Verdict, Option<String>)) -> Answer {
    let (app, now) = (visit.app, visit.now);
    let signer = visit.viewer.signer();
    let begun =
        detached(
            async move { decide::begin(&app.store, &app.passkeys, &signer, id, said, now).await },
        );
    Ok(begun_json(begun.await?))
}

async fn finish(
    visit: Visit,
    Path(proposal): Path<String>,
    ProtectedJson(answer): ProtectedJson<Finish>,
) -> Answer {
    let id: ProposalId = id(&proposal)?;
    let (app, now) = (visit.app, visit.now);
    let signer = visit.viewer.signer();
    detached(async move {
        let answer = (answer.ceremony, answer.credential);
        decide::finish(&app.store, &app.passkeys, &signer, answer, id, now).await
    })
    .await?;
    Ok(location_json(&format!("/proposals/{id}")))
}

async fn withdraw(
    visit: Visit,
    Path(proposal): Path<String>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    let id: ProposalId = id(&proposal)?;
    governance::withdraw(&visit.app.store, visit.viewer.person, id, visit.now).await?;
    Ok(see(&format!("/proposals/{id}")))
}
