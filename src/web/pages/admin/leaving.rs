//! `/people/{id}/leave` and `/people/{id}/leaving`: what ends when somebody leaves, and what
//! registries still have to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;

use crate::app::App;
use crate::domain::ids::{PersonId, RightId};
use crate::pipeline::leaving::{self, RightKind, RightRecord};
use crate::pipeline::people::{self, PersonOverview};
use crate::pipeline::{Kind, Refusal, governance, transaction};
use crate::web::display::{When, count, visible};
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::visit::{BySigner, Fields, Visit, id, see};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::people as views;
use crate::web::views::shell::{Badge, Face, Section, Tone};

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/people/{id}/leave", leave_form)
        .post("/people/{id}/leave", leave)
        .get("/people/{id}/leaving", checklist)
        .post("/people/{id}/leaving", confirm)
}

/// Owners may let anybody go, and everybody may go.
fn may_go(visit: &Visit, person: PersonId) -> Result<(), WebError> {
    visit.viewer.may_change()?;
    if visit.is_owner() || person == visit.viewer.person {
        return Ok(());
    }
    Err(Refusal::new(Kind::Forbidden, "only owners may let others leave").into())
}

async fn leave_form(visit: Visit, Path(person): Path<String>) -> Answer {
    let person = id(&person)?;
    may_go(&visit, person)?;
    let store = &visit.app.store;
    let leaver = people::person(store, person).await?;
    let page = views::LeavePage {
        layout: visit.layout(Section::People, &format!("{} leaves", leaver.person.name)).await?,
        face: Face::of(&leaver.person.name),
        you: person == visit.viewer.person,
        ends: ends(&leaver),
        remains: vec![
            "Their rows as owner or maintainer of each package, at each registry.".to_owned(),
            "Their own tokens there.".to_owned(),
            "Publishers they added and credentials they entered here, which they may know."
                .to_owned(),
        ],
        proposes: governance::is_founded(store).await?,
    };
    show(StatusCode::OK, &page)
}

fn ends(leaver: &PersonOverview) -> Vec<String> {
    let keys = count(leaver.keys.len() as u64, "passkey");
    let accounts = count(leaver.ci_identities.len() as u64, "CI account");
    vec![
        "Every session and every open invitation.".to_owned(),
        format!("{keys}: what it signed and is not sent yet stops counting."),
        format!("{accounts}: a run that it starts waits until somebody says whose it is."),
    ]
}

async fn leave(
    visit: Visit,
    Path(person): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let person = id(&person)?;
    may_go(&visit, person)?;
    let (now, by) = (visit.now, visit.proposer(&fields));
    let changed = transaction(&visit.app.store, move |tx| {
        Box::pin(async move { people::leave(tx, now, &by, person).await })
    })
    .await;
    let again = (format!("/people/{person}/leave"), fields);
    visit.changed(changed, (Section::People, &format!("/people/{person}/leaving")), again).await
}

async fn checklist(visit: Visit, Path(person): Path<String>) -> Answer {
    let list = leaving::checklist(&visit.app.store, id(&person)?).await?;
    let gone = list.rights.iter().filter(|right| right.confirmed_at.is_some()).count();
    let all = list.rights.len();
    let standing = if gone == all {
        Badge::new(Tone::Ok, "circle-check", "Nothing is left to check")
    } else {
        Badge::new(Tone::Bad, "list-checks", format!("{gone} of {all} confirmed gone"))
    };
    let mut groups: BTreeMap<String, Vec<views::RightRow>> = BTreeMap::new();
    for right in list.rights {
        groups.entry(right.place.clone()).or_default().push(right_row(right, visit.now));
    }
    let name = list.person.name;
    let page = views::LeavingPage {
        layout: visit.layout(Section::People, &format!("What {name} may still hold")).await?,
        left: When::new(list.person.left_at.unwrap_or(visit.now), visit.now),
        face: Face::of(&name),
        standing,
        groups: groups
            .into_iter()
            .map(|(place, rights)| {
                let title =
                    if place.is_empty() { "Here".to_owned() } else { format!("At {place}") };
                views::RightGroup { title, rights }
            })
            .collect(),
        may_confirm: visit.is_signer(),
    };
    show(StatusCode::OK, &page)
}

fn right_row(right: RightRecord, now: jiff::Timestamp) -> views::RightRow {
    let (what, name, how) = match right.kind {
        RightKind::OwnerRow => (
            "Owner or maintainer of".to_owned(),
            visible(&right.thing),
            "The registry lists who may publish the package. They are not on that list.",
        ),
        RightKind::Token => (
            "Tokens of their own that can publish".to_owned(),
            String::new(),
            "Only they and the registry's administrators see them. Without an owner row a token \
             publishes nothing of yours.",
        ),
        RightKind::Publisher => (
            "Publisher".to_owned(),
            visible(&right.thing),
            "They added it. Look at its repository, workflow and environment, or remove it; also \
             at the registry, if it trusts the same workflow.",
        ),
        RightKind::Credential => (
            format!("The credential to {}, which they entered", right.thing),
            String::new(),
            "They may have kept a copy. Make another one at the registry, enter it here, and \
             revoke the old one there.",
        ),
    };
    let confirmed =
        right.confirmed_at.map(|at| (right.confirmed_by.unwrap_or_default(), When::new(at, now)));
    views::RightRow { id: right.id.to_string(), what, name, how: how.to_owned(), confirmed }
}

async fn confirm(
    BySigner(visit): BySigner,
    Path(person): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let person: PersonId = id(&person)?;
    let rights: Vec<RightId> = fields.all("right").map(id).collect::<Result<_, _>>()?;
    let (store, by) = (&visit.app.store, visit.viewer.person);
    leaving::confirm(store, by, person, rights, visit.now).await?;
    Ok(see(&format!("/people/{person}/leaving")))
}
