//! The inbox and the list of releases.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::view;
use crate::app::App;
use crate::domain::quorum::Verdict;
use crate::domain::release::State as ReleaseState;
use crate::pipeline::review::{self, PAGE, ReleaseFilter, ReleaseRow};
use crate::pipeline::setup::overview;
use crate::web::display::{When, count, list, span};
use crate::web::extract::{Now, SignedIn};
use crate::web::pages::{Answer, layout, show};
use crate::web::views::form::Choice;
use crate::web::views::home::{
    DecidedRow, GatewayRow, InboxPage, MovingRow, NextStep, ReleaseName, ReleasesPage, WaitingRow,
};
use crate::web::views::shell::{Badge, Link, Notice, Section, Tone};

/// Decided releases shown on the inbox.
const DECIDED_SHOWN: usize = 8;

/// `/`
pub(super) async fn inbox(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    headers: HeaderMap,
) -> Answer {
    let layout = layout(&app, &viewer, &headers, (Section::Inbox, "Inbox"), now).await?;
    let filter = ReleaseFilter { limit: PAGE, ..ReleaseFilter::default() };
    let rows = review::releases(&app.store, &filter, viewer.person, now).await?;
    let upstreams = overview::upstreams(&app.store).await?;
    let packages = overview::packages(&app.store).await?;
    let notices = layout
        .person
        .as_ref()
        .filter(|person| person.keys < 2)
        .map(|_| Notice {
            tone: Tone::Warn,
            icon: "key-round",
            title: "Add a second passkey".to_owned(),
            text: "With one key, losing it locks you out.".to_owned(),
            link: Some(Link { href: "/me/keys".to_owned(), text: "Add a key".to_owned() }),
        })
        .into_iter()
        .collect();
    let waiting: Vec<&ReleaseRow> = rows.iter().filter(|row| row.waits_for_viewer).collect();
    let (over, moving): (Vec<&ReleaseRow>, Vec<&ReleaseRow>) =
        rows.iter().filter(|row| !row.waits_for_viewer).partition(|row| ended(row));
    let steps = next_steps(&app, upstreams.is_empty(), packages.is_empty()).await?;
    show(
        StatusCode::OK,
        &InboxPage {
            layout,
            notices,
            waiting: waiting.into_iter().map(|row| waiting_row(row, now)).collect(),
            moving: moving.into_iter().map(|row| moving_row(&app, row)).collect(),
            last_release: over.first().map(|row| {
                let when = When::new(row.record.changed_at, now).relative;
                let (name, version) = (&row.record.package_name, &row.record.version);
                format!("Last release: {name} {version}, {when}.")
            }),
            decided: over
                .into_iter()
                .take(DECIDED_SHOWN)
                .map(|row| decided_row(row, now))
                .collect(),
            spare: Vec::new(),
            gateway: vec![GatewayRow {
                badge: Badge::new(Tone::Ok, "circle-check", "Running"),
                value: format!(
                    "{} on {}",
                    count(packages.len() as u64, "package"),
                    count(upstreams.len() as u64, "upstream")
                ),
            }],
            next_steps: steps,
        },
    )
}

async fn next_steps(
    app: &App,
    no_upstream: bool,
    no_package: bool,
) -> crate::pipeline::Result<Vec<NextStep>> {
    let no_policy = overview::policies(&app.store, app.clock.now()).await?.is_empty();
    if !no_upstream && !no_package && !no_policy {
        return Ok(Vec::new());
    }
    let step = |done: bool, title: &str, text: &str, href: &str| NextStep {
        done,
        title: title.to_owned(),
        text: text.to_owned(),
        href: href.to_owned(),
    };
    Ok(vec![
        step(!no_upstream, "Add a registry", "Where approved releases go.", "/registries/new"),
        step(!no_policy, "Write a policy", "How many people must approve.", "/policies/new"),
        step(!no_package, "Add a package", "What goes through here.", "/packages/new"),
    ])
}

const fn ended(row: &ReleaseRow) -> bool {
    row.record.state.is_final()
        || matches!(row.record.state, ReleaseState::Partial | ReleaseState::Failed)
}

fn row_name(row: &ReleaseRow) -> ReleaseName {
    ReleaseName {
        href: format!("/releases/{}", row.record.id),
        ecosystem: row.record.ecosystem.label().to_owned(),
        package: row.record.package_name.clone(),
        version: row.record.version.clone(),
        registry: row.record.ecosystem.label().to_owned(),
    }
}

fn waiting_row(row: &ReleaseRow, now: jiff::Timestamp) -> WaitingRow {
    let (signed, required) = row.count.unwrap_or_default();
    let attention = match row.differences {
        0 => Badge::new(Tone::Ok, "circle-check", "Nothing unusual found"),
        1 => Badge::new(Tone::Warn, "triangle-alert", "1 thing to look at"),
        many => Badge::new(Tone::Warn, "triangle-alert", format!("{many} things to look at")),
    };
    let left = row.record.seal.as_ref().map(|seal| seal.expires_at.duration_since(now));
    WaitingRow {
        release: row_name(row),
        attention,
        files: count(row.files as u64, "file"),
        left: left.map_or_else(String::new, |left| format!("{} left", span(left))),
        signed,
        required,
    }
}

fn moving_row(app: &App, row: &ReleaseRow) -> MovingRow {
    let (signed, required) = row.count.unwrap_or_default();
    MovingRow {
        release: row_name(row),
        why: String::new(),
        status: view::status(&row.record, row.count, (false, row.on_hold), "the registry"),
        signed,
        required,
        progress: view::progress(app, row.record.id),
    }
}

pub(in crate::web::pages) fn decided_row(row: &ReleaseRow, now: jiff::Timestamp) -> DecidedRow {
    let approved: Vec<String> = row
        .decided_by
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Approve)
        .map(|(name, _)| name.clone())
        .collect();
    let signers = if approved.is_empty() { "Nobody".to_owned() } else { list(&approved, "and") };
    DecidedRow {
        release: row_name(row),
        status: view::status(&row.record, row.count, (false, row.on_hold), "the registry"),
        signers,
        note: row.record.message.clone(),
        when: When::new(row.record.changed_at, now),
    }
}

/// The filter of `/releases`, as a plain GET form.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    before: String,
}

/// `/releases`
pub(super) async fn releases(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Query(search): Query<Search>,
    headers: HeaderMap,
) -> Answer {
    let layout = layout(&app, &viewer, &headers, (Section::Releases, "Releases"), now).await?;
    let state = ReleaseState::parse(&search.state);
    let error = (!search.state.is_empty() && state.is_none())
        .then(|| format!("Expected one of the states in the list, received “{}”.", search.state));
    let filter = ReleaseFilter {
        states: state.into_iter().collect(),
        search: Some(search.q.trim().to_owned()).filter(|text| !text.is_empty()),
        before: search.before.parse().ok(),
        limit: PAGE,
        package: None,
    };
    let rows = review::releases(&app.store, &filter, viewer.person, now).await?;
    let older =
        rows.last().filter(|_| rows.len() == usize::try_from(PAGE).unwrap_or(0)).map(|row| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("q", &search.q).append_pair("state", &search.state);
            query.append_pair("before", &row.record.id.to_string());
            Link {
                href: format!("/releases?{}", query.finish()),
                text: "Older releases".to_owned(),
            }
        });
    let choice = |state: ReleaseState| Choice {
        value: state.as_str().to_owned(),
        text: state.as_str().to_owned(),
        hint: String::new(),
        chosen: state.as_str() == search.state,
    };
    show(
        StatusCode::OK,
        &ReleasesPage {
            layout,
            states: ReleaseState::ALL.into_iter().map(choice).collect(),
            total: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            rows: rows.iter().map(|row| decided_row(row, now)).collect(),
            older,
            error,
            query: search.q,
        },
    )
}
