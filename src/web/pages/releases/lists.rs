//! The inbox and the list of releases.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::{inspection, view};
use crate::app::App;
use crate::domain::quorum::Verdict;
use crate::domain::release::State as ReleaseState;
use crate::pipeline::approval::CannotDecide;
use crate::pipeline::governance::view as view_of_governance;
use crate::pipeline::leaving;
use crate::pipeline::review::{self, PAGE, ReleaseFilter, ReleaseRow};
use crate::pipeline::setup::overview::{self, PolicyOverview, UpstreamOverview};
use crate::web::display::{When, count, list, size, span, visible};
use crate::web::error::WebError;
use crate::web::extract::{Now, SignedIn};
use crate::web::pages::admin::policies;
use crate::web::pages::governance;
use crate::web::pages::{Answer, layout, show};
use crate::web::views::form::Choice;
use crate::web::views::home::{
    DecidedRow, GatewayRow, InboxPage, MovingRow, NextStep, ReleaseName, ReleasesPage, SpareRow,
    WaitingRow,
};
use crate::web::views::release::Status;
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
    let policies = overview::policies(&app.store, now).await?;
    let no_package = policies.iter().all(|policy| policy.packages.is_empty());
    let founding = view_of_governance::founding(&app.store, viewer.person, now).await?;
    let changes = view_of_governance::waiting(&app.store, viewer.person, now).await?;
    let second_key = layout.person.as_ref().filter(|person| person.keys < 2).map(|_| Notice {
        tone: Tone::Warn,
        icon: "key-round",
        title: "Add a second passkey".to_owned(),
        text: "With one key, losing it locks you out.".to_owned(),
        link: Some(Link { href: "/me/keys".to_owned(), text: "Add a key".to_owned() }),
    });
    let mut notices = leavers(&app).await?;
    notices.extend(governance::loosenings(&changes, now));
    notices.extend(governance::founding_notice(&founding));
    notices.extend(second_key);
    let mut waiting: Vec<&ReleaseRow> = rows.iter().filter(|row| row.waits_for_viewer).collect();
    waiting.sort_by_key(|row| row.record.seal.as_ref().map(|seal| seal.expires_at));
    let (over, moving): (Vec<&ReleaseRow>, Vec<&ReleaseRow>) =
        rows.iter().filter(|row| !row.waits_for_viewer).partition(|row| ended(row));
    let steps = next_steps(upstreams.is_empty(), policies.is_empty(), no_package);
    show(
        StatusCode::OK,
        &InboxPage {
            layout,
            notices,
            proposals: governance::waiting_rows(&changes, now),
            together: together(&waiting),
            waiting: waiting.into_iter().map(|row| waiting_row(row, now)).collect(),
            moving: moving.into_iter().map(|row| moving_row(&app, row, now)).collect(),
            last_release: over.first().map(|row| {
                let when = When::new(row.record.changed_at, now).relative;
                let (name, version) = (&row.record.package_name, &row.record.version);
                format!("Last release: {} {}, {when}.", visible(name), visible(version))
            }),
            decided: over
                .into_iter()
                .take(DECIDED_SHOWN)
                .map(|row| decided_row(row, now))
                .collect(),
            spare: spare(&policies),
            gateway: upstreams.iter().map(gateway_row).collect(),
            next_steps: steps,
        },
    )
}

/// Whoever left and may still publish at a registry.
async fn leavers(app: &App) -> Result<Vec<Notice>, WebError> {
    let unfinished = leaving::unfinished(&app.store).await?;
    Ok(unfinished
        .into_iter()
        .map(|leaver| Notice {
            tone: Tone::Bad,
            icon: "list-checks",
            title: format!("{} may still publish at a registry", leaver.name),
            text: format!("{} to be confirmed gone.", count(leaver.unconfirmed, "right")),
            link: Some(Link::new(format!("/people/{}/leaving", leaver.person), "Checklist")),
        })
        .collect())
}

/// A link for each CI run of which several releases wait for the reader.
fn together(waiting: &[&ReleaseRow]) -> Vec<Link> {
    let mut runs: BTreeMap<&str, Vec<&ReleaseRow>> = BTreeMap::new();
    for row in waiting {
        runs.entry(&row.record.run_key).or_default().push(row);
    }
    runs.retain(|_, rows| rows.len() > 1);
    let link = |rows: &Vec<&ReleaseRow>| {
        let names: Vec<String> = rows.iter().map(|row| visible(&row.record.package_name)).collect();
        let text = format!("{} came from one CI run: approve them together", list(&names, "and"));
        Link::new(format!("/releases/{}/together", rows[0].record.id), text)
    };
    runs.values().map(link).collect()
}

/// The order in which a new installation is set up; empty when it can release something.
fn next_steps(no_upstream: bool, no_policy: bool, no_package: bool) -> Vec<NextStep> {
    if !no_upstream && !no_package && !no_policy {
        return Vec::new();
    }
    let step = |done: bool, title: &str, text: &str, href: &str| NextStep {
        done,
        title: title.to_owned(),
        text: text.to_owned(),
        href: href.to_owned(),
    };
    vec![
        step(
            !no_upstream,
            "Add a registry",
            "Where approved releases go. No address is built in.",
            "/registries/new",
        ),
        step(
            !no_policy,
            "Write a policy",
            "How many people have to sign, and which.",
            "/policies/new",
        ),
        step(
            !no_package,
            "Add a package",
            "From then on its releases need the signatures of its policy.",
            "/packages/new",
        ),
    ]
}

/// "Can we still ship?": each package that has nobody to spare, then how many have.
fn spare(policies: &[PolicyOverview]) -> Vec<SpareRow> {
    let mut rows = Vec::new();
    let mut fine = 0_u64;
    for policy in policies {
        let badge = policies::spare(policy);
        if badge.tone == Tone::Ok {
            fine += policy.packages.len() as u64;
            continue;
        }
        for package in &policy.packages {
            rows.push(SpareRow {
                package: visible(package.name.as_str()),
                is_name: true,
                badge: badge.clone(),
                why: policies::spare_means(policy),
                link: Some(Link::new(
                    format!("/policies/{}", policy.policy.id()),
                    "See the policy",
                )),
            });
        }
    }
    // What blocks a release comes first.
    rows.sort_by_key(|row| row.badge.tone != Tone::Bad);
    if fine > 0 {
        let other = if rows.is_empty() { "" } else { "other " };
        rows.push(SpareRow {
            package: count(fine, &format!("{other}package")),
            is_name: false,
            badge: Badge::new(Tone::Ok, "circle-check", "Somebody to spare"),
            why: String::new(),
            link: None,
        });
    }
    rows
}

/// What the gateway holds for a registry. Whether it answers is not known before something is sent.
fn gateway_row(upstream: &UpstreamOverview) -> GatewayRow {
    let name = visible(upstream.stored.upstream.name());
    if upstream.stored.can_publish {
        let badge = Badge::new(Tone::Ok, "landmark", name);
        GatewayRow { badge, value: "Credential sealed".to_owned() }
    } else {
        let badge = Badge::new(Tone::Warn, "landmark", name);
        GatewayRow { badge, value: "No credential yet".to_owned() }
    }
}

const fn ended(row: &ReleaseRow) -> bool {
    row.record.state.is_final()
        || matches!(row.record.state, ReleaseState::Partial | ReleaseState::Failed)
}

fn row_status(row: &ReleaseRow, now: jiff::Timestamp) -> Status {
    let waits = row.waits_until.map(|until| When::new(until, now));
    view::status(&row.record, row.missing.as_ref(), (false, row.stopped), waits, "the registry")
}

fn row_name(row: &ReleaseRow) -> ReleaseName {
    ReleaseName {
        href: format!("/releases/{}", row.record.id),
        ecosystem: row.record.ecosystem.label().to_owned(),
        package: visible(&row.record.package_name),
        version: visible(&row.record.version),
        registry: row.record.ecosystem.label().to_owned(),
    }
}

fn waiting_row(row: &ReleaseRow, now: jiff::Timestamp) -> WaitingRow {
    let (signed, required) = row.count.unwrap_or_default();
    let (blocks, looks) = row.asked.unwrap_or_default();
    let attention = inspection::badge(blocks, looks + row.findings);
    let left = row.record.seal.as_ref().map(|seal| seal.expires_at.duration_since(now));
    WaitingRow {
        release: row_name(row),
        attention,
        files: format!("{}, {}", count(row.files as u64, "file"), size(row.bytes)),
        left: left.map_or_else(String::new, |left| format!("{} left", span(left))),
        signed,
        required,
        needs: row.missing.as_ref().map_or_else(String::new, |it| visible(&it.to_string())),
    }
}

fn moving_row(app: &App, row: &ReleaseRow, now: jiff::Timestamp) -> MovingRow {
    let (signed, required) = row.count.unwrap_or_default();
    MovingRow {
        release: row_name(row),
        why: without_you(row, now),
        status: row_status(row, now),
        signed,
        required,
        progress: view::progress(app, row.record.id),
    }
}

/// Why a release moves without the reader.
fn without_you(row: &ReleaseRow, now: jiff::Timestamp) -> String {
    if let Some((verdict, at)) = row.own {
        let verb = if verdict == Verdict::Approve { "approved" } else { "rejected" };
        return format!("You {verb} {}", When::new(at, now).relative);
    }
    match row.cannot {
        Some(CannotDecide::StartedIt) => "You started the run, so you cannot approve".to_owned(),
        Some(CannotDecide::BeingChecked) => "Countersign looks inside first".to_owned(),
        Some(CannotDecide::ActorUnknown) => "Nobody said yet who started the run".to_owned(),
        Some(CannotDecide::NoKey) => "You have no passkey that counts yet".to_owned(),
        Some(_) if !row.others.is_empty() => format!("Waits for {}", list(&row.others, "or")),
        _ if row.record.state == ReleaseState::Open => "Files still arrive".to_owned(),
        _ => "Approved without you".to_owned(),
    }
}

pub(in crate::web::pages) fn decided_row(row: &ReleaseRow, now: jiff::Timestamp) -> DecidedRow {
    // A rejection is one person's; everything else is of those who approved.
    let decisive = match row.record.state {
        ReleaseState::Rejected => Verdict::Reject,
        _ => Verdict::Approve,
    };
    let names: Vec<String> = row
        .decided_by
        .iter()
        .filter(|(_, verdict)| *verdict == decisive)
        .map(|(name, _)| name.clone())
        .collect();
    let nobody = if ended(row) { "Nobody" } else { "Nobody yet" };
    let signers = if names.is_empty() { nobody.to_owned() } else { list(&names, "and") };
    let said = match row.record.state {
        ReleaseState::Rejected => row.reason.as_deref(),
        ReleaseState::Failed | ReleaseState::Partial => row.record.message.as_deref(),
        _ => None,
    };
    DecidedRow {
        release: row_name(row),
        status: row_status(row, now),
        signers,
        note: said.map(visible),
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
        ..ReleaseFilter::default()
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
        text: state_label(state).to_owned(),
        hint: String::new(),
        chosen: state.as_str() == search.state,
    };
    let any = Choice { chosen: state.is_none(), ..Choice::new("", "Any", "") };
    show(
        StatusCode::OK,
        &ReleasesPage {
            layout,
            states: [any].into_iter().chain(ReleaseState::ALL.into_iter().map(choice)).collect(),
            rows: rows.iter().map(|row| decided_row(row, now)).collect(),
            older,
            error,
            query: search.q,
        },
    )
}

/// A state in the words of the status vocabulary.
const fn state_label(state: ReleaseState) -> &'static str {
    match state {
        ReleaseState::Open => "Receiving files",
        ReleaseState::Awaiting => "Needs approvals",
        ReleaseState::Approved => "Approved",
        ReleaseState::Forwarding => "Publishing",
        ReleaseState::Confirming => "Being read back",
        ReleaseState::Published => "Published",
        ReleaseState::Partial => "Partly published",
        ReleaseState::Failed => "Failed",
        ReleaseState::Rejected => "Rejected",
        ReleaseState::Expired => "Expired",
        ReleaseState::Superseded => "Replaced",
    }
}
