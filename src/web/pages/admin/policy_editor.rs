//! `/policies/new` and `/policies/{id}/edit`: a policy's fields, the sentence they make, and what it
//! would mean.
//!
//! One form does both: "Check" reads it again as a query and shows what it would mean, "Save" sends
//! it. With script a change of any field fetches the same answer as a fragment.

use std::collections::BTreeSet;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use jiff::SignedDuration;

use crate::domain::ids::{PersonId, PolicyId};
use crate::domain::package::excerpt;
use crate::domain::policy::{
    EMBARGO_MIN, Embargo, GROUPS_MAX, Group, Hardware, Policy, PolicyDraft,
};
use crate::domain::roster::Aaguid;
use crate::pipeline::governance::Entered;
use crate::pipeline::people::{self, PersonOverview};
use crate::pipeline::setup::preview::preview;
use crate::pipeline::setup::{self, PolicySaved, overview};
use crate::pipeline::{Error, Fault, Kind, refuse};
use crate::web::display::count;
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::admin::policy_check;
use crate::web::pages::visit::{ByOwner, Fields, Visit, correctable, id, listed, see_change};
use crate::web::pages::{Answer, show};
use crate::web::views;
use crate::web::views::form::{Choice, Field};
use crate::web::views::policy::{GroupFields, NewPolicyPage, PolicyCheck, PolicyCheckFragment};
use crate::web::views::shell::{Link, Section};

/// Fields that an error can lead to.
const FIELDS: [&str; 9] = [
    "name",
    "required",
    "people",
    "expires_hours",
    "cooling_off",
    "groups",
    "hardware",
    "models",
    "embargo",
];

/// A new policy's form, as it is or as it would be with what was filled in.
pub(super) async fn new_form(
    ByOwner(visit): ByOwner,
    headers: HeaderMap,
    Query(fields): Query<Fields>,
) -> Answer {
    checked(&visit, None, &headers, &fields).await
}

/// The form of a policy's next revision.
pub(super) async fn edit_form(
    ByOwner(visit): ByOwner,
    Path(policy): Path<String>,
    headers: HeaderMap,
    Query(fields): Query<Fields>,
) -> Answer {
    let known = overview::policy(&visit.app.store, id(&policy)?, visit.now).await?;
    checked(&visit, Some(&known.overview.policy), &headers, &fields).await
}

async fn checked(
    visit: &Visit,
    before: Option<&Policy>,
    headers: &HeaderMap,
    fields: &Fields,
) -> Answer {
    if headers.contains_key("x-fragment") {
        let check = check(visit, before, fields).await?;
        let fragment = views::fragment(&PolicyCheckFragment { check })
            .map_err(|error| Fault::new("rendering a fragment", error))?;
        return Ok(fragment);
    }
    form(visit, before, fields, None).await
}

/// Adds a policy.
pub(super) async fn add(
    ByOwner(visit): ByOwner,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    match save(&visit, None, &fields).await {
        Ok(saved) => Ok(see_change(saved.proposal, &format!("/policies/{}", saved.value.id))),
        Err(error) => form(&visit, None, &fields, Some(&correctable(error)?)).await,
    }
}

/// Puts the next revision of a policy in force, or proposes it.
pub(super) async fn revise(
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

/// What the form would mean as it is filled in now.
async fn check(
    visit: &Visit,
    before: Option<&Policy>,
    fields: &Fields,
) -> Result<PolicyCheck, WebError> {
    let draft = match (fields.is_blank(), before) {
        (true, Some(before)) => Ok(before.draft()),
        (true, None) => return Ok(policy_check::nothing_yet()),
        (false, _) => draft(fields),
    };
    match draft {
        Ok(draft) => {
            let away = ids(fields, "away").map_err(WebError)?;
            let id = before.map(Policy::id);
            let preview = preview(&visit.app.store, id, draft, &away, visit.now).await?;
            Ok(policy_check::view(&preview, &away))
        }
        Err(error) => Ok(policy_check::refused(correctable(error)?)),
    }
}

/// The form: as it was typed, or as the policy is, or with what most teams start from.
async fn form(
    visit: &Visit,
    before: Option<&Policy>,
    fields: &Fields,
    message: Option<&str>,
) -> Answer {
    let roster = people::people_overview(&visit.app.store, visit.now).await?.people;
    let start = before.map_or_else(|| PolicyDraft::of("", 2, BTreeSet::new()), Policy::draft);
    let about_people = message.filter(|text| text.contains("people") || text.contains("approvals"));
    let title = if before.is_some() { "Change policy" } else { "New policy" };
    let embargo = start.embargo.as_ref();
    let hardware = start.hardware.as_ref();
    let page = NewPolicyPage {
        layout: visit.layout(Section::Policies, title).await?,
        revises: before.map(|it| Link::new(format!("/policies/{}", it.id()), it.name())),
        action: before
            .map_or_else(|| "/policies/new".to_owned(), |it| format!("/policies/{}/edit", it.id())),
        name: fields.field("name", &start.name),
        required: number_field(fields, "required", start.required.into()),
        people: members(&roster, fields, "people", Some(&start.members)),
        people_error: about_people.unwrap_or_default().to_owned(),
        groups: groups(&roster, fields, &start.groups),
        hardware: number_field(fields, "hardware", hardware.map_or(0, |it| it.required.into())),
        models: models_field(fields, hardware),
        expires_hours: number_field(fields, "expires_hours", start.expiry.as_hours()),
        cooling_off: number_field(fields, "cooling_off", start.cooling_off.as_mins()),
        triggering_actor_counts: fields.chose(
            "triggering_actor_counts",
            "true",
            start.triggering_actor_counts,
        ),
        no_authors: fields.chose("no_authors", "true", !start.authors_count),
        note_on_findings: fields.chose("note_on_findings", "true", start.note_on_findings),
        more_on_findings: number_field(fields, "more_on_findings", start.more_on_findings.into()),
        embargo: number_field(fields, "embargo", embargo.map_or(0, |it| it.required.into())),
        embargo_people: members(&roster, fields, "embargo_people", embargo.map(|it| &it.people)),
        skips_cooling_off: fields.chose(
            "skips_cooling_off",
            "true",
            embargo.is_some_and(|it| it.skips_cooling_off),
        ),
        skips_schedule: fields.chose(
            "skips_schedule",
            "true",
            embargo.is_some_and(|it| it.skips_schedule),
        ),
        away: members(&roster, fields, "away", None),
        check: check(visit, before, fields).await?,
        errors: listed(message, &FIELDS),
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

fn number_field(fields: &Fields, name: &str, suggestion: i64) -> Field {
    fields.field(name, &suggestion.to_string())
}

fn models_field(fields: &Fields, hardware: Option<&Hardware>) -> Field {
    let models = hardware.and_then(|hardware| hardware.models.as_ref());
    let listed: Vec<String> = models.into_iter().flatten().map(ToString::to_string).collect();
    fields.field("models", &listed.join("\n"))
}

/// Everybody who may sign, as tick boxes.
fn members(
    roster: &[PersonOverview],
    fields: &Fields,
    name: &str,
    before: Option<&BTreeSet<PersonId>>,
) -> Vec<Choice> {
    let may_sign = roster.iter().filter(|known| known.person.role.may_sign());
    may_sign
        .map(|known| {
            let keys = match known.keys.len() {
                0 => "No passkey yet".to_owned(),
                several => count(several as u64, "passkey"),
            };
            let was = before.is_some_and(|people| people.contains(&known.person.id));
            // Who has no key is told from the others where it is chosen who may approve.
            let hint = if name == "people" { keys } else { String::new() };
            let choice = Choice::new(known.person.id.to_string(), &known.person.name, hint);
            let chosen = fields.chose(name, &choice.value, was);
            if chosen { choice.chosen() } else { choice }
        })
        .collect()
}

/// The groups there are, and one more to fill in.
fn groups(roster: &[PersonOverview], fields: &Fields, before: &[Group]) -> Vec<GroupFields> {
    let filled = if fields.is_blank() {
        before.len()
    } else {
        (0..GROUPS_MAX).filter(|n| !fields.text(&format!("group_{n}_name")).is_empty()).count()
    };
    (0..(filled + 1).min(GROUPS_MAX))
        .map(|n| {
            let known = before.get(n);
            let (name, required) = (format!("group_{n}_name"), format!("group_{n}_required"));
            let people = format!("group_{n}_people");
            let number = known.map(|group| group.required.to_string()).unwrap_or_default();
            GroupFields {
                name: fields.field(&name, known.map_or("", |group| &group.name)),
                required: fields.field(&required, &number),
                people: members(roster, fields, &people, known.map(|group| &group.people)),
                name_id: name,
                required_id: required,
                people_id: people,
            }
        })
        .collect()
}

fn draft(fields: &Fields) -> Result<PolicyDraft, Error> {
    let members = ids(fields, "people")?;
    let minutes = number(fields, "cooling_off")?;
    Ok(PolicyDraft {
        groups: draft_groups(fields)?,
        hardware: draft_hardware(fields)?,
        expiry: SignedDuration::from_hours(number(fields, "expires_hours")?.into()),
        cooling_off: SignedDuration::from_mins(minutes.into()),
        triggering_actor_counts: fields.ticked("triggering_actor_counts"),
        authors_count: !fields.ticked("no_authors"),
        note_on_findings: fields.ticked("note_on_findings"),
        more_on_findings: number(fields, "more_on_findings")?,
        embargo: draft_embargo(fields)?,
        ..PolicyDraft::of(fields.text("name"), number(fields, "required")?, members)
    })
}

/// A whole number; a field that was left empty or out is none of it.
fn number(fields: &Fields, name: &str) -> Result<u32, Error> {
    let text = fields.text(name);
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().or_else(|_| {
        let received = excerpt(text);
        let spoken = name.replace('_', " ");
        refuse(
            Kind::BadInput,
            format!("expected a whole number as {spoken}, received `{received}`"),
        )
    })
}

fn ids(fields: &Fields, name: &str) -> Result<BTreeSet<PersonId>, Error> {
    let people = fields.all(name).map(|text| match text.parse() {
        Ok(person) => Ok(person),
        Err(_) => refuse(Kind::BadInput, "expected people of the list as people"),
    });
    people.collect()
}

/// A row without a name is none.
fn draft_groups(fields: &Fields) -> Result<Vec<Group>, Error> {
    let mut groups = Vec::new();
    for n in 0..GROUPS_MAX {
        let name = fields.text(&format!("group_{n}_name"));
        if name.is_empty() {
            continue;
        }
        groups.push(Group {
            name: name.to_owned(),
            required: number(fields, &format!("group_{n}_required"))?,
            people: ids(fields, &format!("group_{n}_people"))?,
        });
    }
    Ok(groups)
}

fn draft_hardware(fields: &Fields) -> Result<Option<Hardware>, Error> {
    let required = number(fields, "hardware")?;
    if required == 0 {
        return Ok(None);
    }
    let mut models = BTreeSet::new();
    for text in fields.text("models").split_whitespace() {
        let Ok(model) = text.parse::<Aaguid>() else {
            let received = excerpt(text);
            let message = format!("expected AAGUIDs as models, received `{received}`");
            return refuse(Kind::BadInput, message);
        };
        models.insert(model);
    }
    Ok(Some(Hardware { required, models: (!models.is_empty()).then_some(models) }))
}

fn draft_embargo(fields: &Fields) -> Result<Option<Embargo>, Error> {
    let required = number(fields, "embargo")?;
    let people = ids(fields, "embargo_people")?;
    if required == 0 && people.is_empty() {
        return Ok(None);
    }
    if required == 0 {
        let message = format!("expected at least {EMBARGO_MIN} people as embargo, received none");
        return refuse(Kind::BadInput, message);
    }
    Ok(Some(Embargo {
        required,
        people,
        skips_cooling_off: fields.ticked("skips_cooling_off"),
        skips_schedule: fields.ticked("skips_schedule"),
    }))
}
