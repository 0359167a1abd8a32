//! `/policies`: how many people sign, which, and for how long they may.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use jiff::SignedDuration;

use crate::app::App;
use crate::domain::ids::PolicyId;
use crate::domain::package::excerpt;
use crate::domain::policy::{EXPIRY_DEFAULT, Policy, PolicyDraft};
use crate::pipeline::governance::Entered;
use crate::pipeline::people::{self, PersonOverview};
use crate::pipeline::setup::overview::{self, PolicyMember, PolicyOverview};
use crate::pipeline::setup::{self, PolicySaved};
use crate::pipeline::{Error, Kind, refuse};
use crate::web::display::{When, count, span};
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::visit::{ByOwner, Fields, Visit, correctable, id, listed, see_change};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::form::Choice;
use crate::web::views::policy as views;
use crate::web::views::shell::{Badge, Face, Fact, Link, Notice, Section, Tone};

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/policies", list)
        .get("/policies/new", new_form)
        .post("/policies/new", add)
        .get("/policies/{id}", details)
        .post("/policies/{id}", revise)
        .get("/policies/{id}/edit", edit_form)
        .post("/policies/{id}/edit", revise)
}

async fn list(visit: Visit) -> Answer {
    let policies = overview::policies(&visit.app.store, visit.now).await?;
    let page = views::PoliciesPage {
        layout: visit.layout(Section::Policies, "Policies").await?,
        rows: policies.iter().map(row).collect(),
        may_add: visit.is_owner(),
    };
    show(StatusCode::OK, &page)
}

fn row(known: &PolicyOverview) -> views::PolicyRow {
    views::PolicyRow {
        href: format!("/policies/{}", known.policy.id()),
        name: known.policy.name().to_owned(),
        sentence: known.policy.sentence(),
        badge: spare(known),
        packages: count(known.packages.len() as u64, "package"),
    }
}

/// How many members can be away before no release can go out.
pub(in crate::web::pages) fn spare(known: &PolicyOverview) -> Badge {
    let (able, required) = able_and_required(known);
    match able.checked_sub(required) {
        None => Badge::new(Tone::Bad, "octagon-x", format!("{able} of {required} can sign")),
        Some(_) if required == 1 => Badge::new(Tone::Warn, "triangle-alert", "One person"),
        Some(0) => Badge::new(Tone::Bad, "circle-alert", "No spare"),
        Some(more) => Badge::new(Tone::Ok, "circle-check", format!("{more} spare")),
    }
}

/// What [`spare`] means for the next release; empty when there is nothing to worry about.
pub(in crate::web::pages) fn spare_means(known: &PolicyOverview) -> String {
    let (able, required) = able_and_required(known);
    match able.checked_sub(required) {
        None => format!("Needs {required}, and only {able} can sign. Nothing ships."),
        Some(_) if required == 1 => "One signature is enough to publish it.".to_owned(),
        Some(0) => format!(
            "Needs {required}, and only {able} people can sign. If one of them is away, nothing ships."
        ),
        Some(_) => String::new(),
    }
}

/// Whether enough people can sign at all.
pub(super) fn can_be_met(known: &PolicyOverview) -> bool {
    let (able, required) = able_and_required(known);
    able >= required
}

fn able_and_required(known: &PolicyOverview) -> (usize, usize) {
    let able = known.members.iter().filter(|member| member.able).count();
    (able, usize::try_from(known.policy.required()).unwrap_or(usize::MAX))
}

async fn details(visit: Visit, Path(policy): Path<String>) -> Answer {
    let id = id(&policy)?;
    let known = overview::policy(&visit.app.store, id, visit.now).await?;
    let policy = &known.overview.policy;
    let saved = known.history.first().map(|(at, _)| When::new(*at, visit.now).exact);
    let packages = known
        .overview
        .packages
        .iter()
        .map(|package| Link::new(format!("/packages/{}", package.id), package.name.as_str()));
    let page = views::PolicyPage {
        layout: visit.layout(Section::Policies, policy.name()).await?,
        name: policy.name().to_owned(),
        revision: format!("revision {}", policy.revision()),
        revise: visit.is_owner().then(|| format!("/policies/{id}/edit")),
        sentence: policy.sentence(),
        notices: notices(&known.overview),
        people: known.overview.members.iter().map(person).collect(),
        facts: facts(policy, saved),
        packages: packages.collect(),
    };
    show(StatusCode::OK, &page)
}

fn facts(policy: &Policy, saved: Option<String>) -> Vec<Fact> {
    let counts = if policy.triggering_actor_counts() { "counts" } else { "does not count" };
    vec![
        Fact::words("Approvals needed", policy.required().to_string()),
        Fact::words("Runs out after", span(policy.expiry())),
        Fact::words("Whoever started the run", counts),
        Fact::words("Saved", saved.unwrap_or_default()),
    ]
}

fn person(member: &PolicyMember) -> views::PolicyPerson {
    let keys = if member.able {
        Badge::new(Tone::Ok, "circle-check", "Can sign")
    } else if member.invited {
        Badge::new(Tone::Warn, "circle-dashed", "No passkey yet, so cannot sign")
    } else {
        Badge::new(Tone::Bad, "circle-alert", "Cannot sign")
    };
    views::PolicyPerson { face: Face::of(&member.name), keys }
}

/// What stands out about a policy, here and on the pages of its packages.
pub(super) fn notices(known: &PolicyOverview) -> Vec<Notice> {
    let notice = |tone, title: &str, text: &str| Notice {
        tone,
        icon: "triangle-alert",
        title: title.to_owned(),
        text: text.to_owned(),
        link: None,
    };
    let (able, required) = able_and_required(known);
    if able < required {
        let text = "Fewer people than it asks for have a passkey that counts.";
        vec![notice(Tone::Bad, "No release can go out under this policy now", text)]
    } else if required == 1 {
        let text = "Whoever gets hold of one person's passkey can publish.";
        vec![notice(Tone::Warn, "One person is enough", text)]
    } else if able == required {
        let text = "When one of them is away, no release can go out.";
        vec![notice(Tone::Warn, "Nobody to spare", text)]
    } else {
        Vec::new()
    }
}

async fn new_form(ByOwner(visit): ByOwner) -> Answer {
    form(&visit, None, &Fields::default(), None).await
}

async fn edit_form(ByOwner(visit): ByOwner, Path(policy): Path<String>) -> Answer {
    let known = overview::policy(&visit.app.store, id(&policy)?, visit.now).await?;
    form(&visit, Some(&known.overview.policy), &Fields::default(), None).await
}

/// The form: as it was typed, or as the policy is, or with what most teams start from.
async fn form(
    visit: &Visit,
    before: Option<&Policy>,
    fields: &Fields,
    message: Option<&str>,
) -> Answer {
    let roster = people::people_overview(&visit.app.store, visit.now).await?.people;
    let hours = before.map_or(EXPIRY_DEFAULT, Policy::expiry).as_hours().to_string();
    let required = before.map_or(2, Policy::required).to_string();
    let counts = before.is_some_and(Policy::triggering_actor_counts);
    let about_people = message.filter(|text| text.contains("people") || text.contains("approvals"));
    let title = if before.is_some() { "Change policy" } else { "New policy" };
    let page = views::NewPolicyPage {
        layout: visit.layout(Section::Policies, title).await?,
        revises: before.map(|it| Link::new(format!("/policies/{}", it.id()), it.name())),
        name: fields.field("name", before.map_or("", Policy::name)),
        required: fields.field("required", &required),
        people: members(&roster, before, fields),
        people_error: about_people.unwrap_or_default().to_owned(),
        expires_hours: fields.field("expires_hours", &hours),
        triggering_actor_counts: fields.chose("triggering_actor_counts", "true", counts),
        errors: listed(message, &["name", "required", "people", "expires_hours"]),
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

fn members(roster: &[PersonOverview], before: Option<&Policy>, fields: &Fields) -> Vec<Choice> {
    let may_sign = roster.iter().filter(|known| known.person.role.may_sign());
    may_sign
        .map(|known| {
            let keys = match known.keys.len() {
                0 => "No passkey yet".to_owned(),
                several => count(several as u64, "passkey"),
            };
            let is_member = before.is_some_and(|it| it.members().contains(&known.person.id));
            let choice = Choice::new(known.person.id.to_string(), &known.person.name, keys);
            let chosen = fields.chose("people", &choice.value, is_member);
            if chosen { choice.chosen() } else { choice }
        })
        .collect()
}

fn draft(fields: &Fields) -> Result<PolicyDraft, Error> {
    let number = |name: &str| {
        fields.text(name).parse::<u32>().or_else(|_| {
            let received = excerpt(fields.text(name));
            let message = format!("expected a whole number as {name}, received `{received}`");
            refuse(Kind::BadInput, message)
        })
    };
    let mut members = BTreeSet::new();
    for text in fields.all("people") {
        match text.parse() {
            Ok(person) => members.insert(person),
            Err(_) => return refuse(Kind::BadInput, "expected people of the list as people"),
        };
    }
    Ok(PolicyDraft {
        name: fields.text("name").to_owned(),
        required: number("required")?,
        members,
        expiry: SignedDuration::from_hours(number("expires_hours")?.into()),
        triggering_actor_counts: fields.ticked("triggering_actor_counts"),
    })
}

async fn save(
    visit: &Visit,
    id: Option<PolicyId>,
    fields: &Fields,
) -> Result<Entered<PolicySaved>, Error> {
    let (store, by, draft) = (&visit.app.store, visit.proposer(fields), draft(fields)?);
    match id {
        None => setup::add_policy(store, by, draft, visit.now).await,
        Some(id) => setup::revise_policy(store, by, id, draft, visit.now).await,
    }
}

async fn add(ByOwner(visit): ByOwner, ProtectedForm(fields): ProtectedForm<Fields>) -> Answer {
    match save(&visit, None, &fields).await {
        Ok(saved) => Ok(see_change(saved.proposal, &format!("/policies/{}", saved.value.id))),
        Err(error) => form(&visit, None, &fields, Some(&correctable(error)?)).await,
    }
}

async fn revise(
    ByOwner(visit): ByOwner,
    Path(policy): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let id: PolicyId = id(&policy)?;
    match save(&visit, Some(id), &fields).await {
        Ok(saved) => Ok(see_change(saved.proposal, &format!("/policies/{id}"))),
        Err(error) => {
            let message = correctable(error)?;
            let known: Result<_, WebError> =
                overview::policy(&visit.app.store, id, visit.now).await.map_err(WebError);
            form(&visit, Some(&known?.overview.policy), &fields, Some(&message)).await
        }
    }
}
