//! Handlers of the pages: extract, call one pipeline function, fill a view, render.
//!
//! `releases` is where people decide, `access` is how they get in, `admin` is what owners set
//! up, `governance` how it changes once the installation is founded. `visit` is what they have in
//! common.

pub mod access;
pub mod admin;
pub mod governance;
mod log_checks;
pub mod releases;
pub mod visit;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;

use crate::app::App;
use crate::domain::release::State as ReleaseState;
use crate::pipeline::governance::{recovery, view};
use crate::pipeline::review::{self, ReleaseFilter};
use crate::pipeline::{Error, Fault, Kind, Refusal};
use crate::web::display::{When, list};
use crate::web::error::WebError;
use crate::web::extract::{Now, SignedIn};
use crate::web::routes::Routes;
use crate::web::views;
use crate::web::views::shell::{self, Face, Layout, Link, Notice, Section, Theme, Tone};

/// A handler's answer.
pub type Answer = Result<Response, WebError>;

/// All pages.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .merge(releases::routes())
        .merge(access::routes())
        .merge(admin::routes())
        .merge(governance::routes())
}

/// Renders a page; a template that fails is a fault.
pub fn show(status: StatusCode, page: &impl Template) -> Answer {
    views::page(status, page)
        .map_err(|error| WebError(Error::from(Fault::new("rendering a page", error))))
}

/// The frame of a page for somebody who is signed in.
pub async fn layout(
    app: &App,
    viewer: &SignedIn,
    headers: &HeaderMap,
    (section, title): (Section, &str),
    now: Timestamp,
) -> Result<Layout, WebError> {
    let filter = ReleaseFilter {
        states: vec![ReleaseState::Awaiting],
        limit: review::PAGE,
        ..ReleaseFilter::default()
    };
    let waiting = review::releases(&app.store, &filter, viewer.person, now)
        .await?
        .iter()
        .filter(|row| row.waits_for_viewer)
        .count();
    let in_force = view::overview(&app.store, viewer.person, now).await?;
    let keys = crate::pipeline::people::my_keys(&app.store, viewer.person).await?.len();
    let person = shell::SignedIn {
        face: Face::of(&viewer.name),
        role: admin::people::title(viewer.role).to_owned(),
        keys: u32::try_from(keys).unwrap_or(u32::MAX),
    };
    Ok(Layout {
        section,
        person: Some(person),
        waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
        proposals: u32::try_from(in_force.waiting).unwrap_or(u32::MAX),
        governed: in_force.founded,
        frozen: governance::frozen(&in_force.frozen, section),
        csrf: viewer.csrf.clone(),
        alarms: alarms(app, viewer, now).await?,
        ..outside(app, headers, title)
    })
}

/// What stands on every page until it is over.
async fn alarms(app: &App, viewer: &SignedIn, now: Timestamp) -> Result<Vec<Notice>, WebError> {
    let mut notices = Vec::new();
    for alarm in recovery::alarms(&app.store).await? {
        let people = list(&alarm.people, "and");
        let until = When::new(alarm.until, now);
        notices.push(Notice {
            tone: Tone::Bad,
            icon: "siren",
            title: format!("Somebody used the recovery key for {people}"),
            text: format!(
                "A new passkey joins {} ({}) without any approval, unless one of you objects. If \
                 you do not know why, object now and ask who has the recovery secret.",
                until.relative, until.exact
            ),
            link: Some(Link::new(format!("/proposals/{}", alarm.proposal), "Look at it")),
        });
    }
    if viewer.session.reads_only {
        notices.push(Notice {
            tone: Tone::Note,
            icon: "lock",
            title: "You are signed in for reading".to_owned(),
            text: "To sign or change anything, sign out and sign in with a passkey that counts."
                .to_owned(),
            link: None,
        });
    }
    Ok(notices)
}

/// The frame of a page for anybody.
pub fn outside(app: &App, headers: &HeaderMap, title: &str) -> Layout {
    Layout {
        title: title.to_owned(),
        section: Section::None,
        instance: "Countersign".to_owned(),
        host: app.config.origin.host_str().unwrap_or_default().to_owned(),
        person: None,
        waiting: 0,
        proposals: 0,
        governed: false,
        frozen: None,
        csrf: String::new(),
        theme: theme(headers),
        saved: None,
        alarms: Vec::new(),
    }
}

/// The colour scheme a person chose, from its cookie; the system's own otherwise.
pub fn theme(headers: &HeaderMap) -> Theme {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let chosen = cookies
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("theme="));
    Theme::from_cookie(chosen.unwrap_or_default())
}

/// Any path that is not a route. On an unclaimed installation every page looks the same, so that
/// nobody can scan for one.
pub async fn not_found(State(app): State<Arc<App>>, Now(_): Now, headers: HeaderMap) -> Answer {
    if let Some(neutral) = access::neutral(&app, &headers).await? {
        return Ok(neutral);
    }
    Err(Refusal::new(Kind::NotFound, "there is nothing at this address").into())
}
