//! `/freeze`: stops a package or everything with one touch, and says what is stopped (A17).

use std::sync::Arc;

use axum::extract::Query;
use axum::http::StatusCode;
use serde::Deserialize;

use super::Words;
use crate::app::App;
use crate::domain::event::PackageRecord;
use crate::domain::ids::PackageId;
use crate::domain::proposal::Scope;
use crate::pipeline::governance::freeze;
use crate::pipeline::governance::view::{self, BrakeView};
use crate::pipeline::{Kind, detached, refuse};
use crate::web::ceremonies::{Finish, begun_json, location_json};
use crate::web::display::{When, visible};
use crate::web::extract::{Path, ProtectedForm, ProtectedJson};
use crate::web::pages::visit::{ByOwner, BySigner, Fields, Visit, id, see_change};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::security::may_sign;
use crate::web::views::governance::{Brake, FreezePage, FrozenRow};
use crate::web::views::shell::Section;

const EVERYTHING: &str = "everything";

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/freeze", page)
        .post("/freeze/everything/begin", begin_everything)
        .post("/freeze/everything/finish", finish_everything)
        .post("/freeze/packages/{id}/begin", begin_package)
        .post("/freeze/packages/{id}/finish", finish_package)
        .post("/freeze/end", end)
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    /// The package whose page one came from; it stands first.
    #[serde(default)]
    package: String,
}

async fn page(visit: Visit, Query(wanted): Query<Wanted>) -> Answer {
    let brake = view::brake(&visit.app.store).await?;
    let cannot = if brake.governed.founded().is_none() {
        "An installation that is not founded sends nothing that takes two approvals. One release \
         is paused on its own page, with Hold."
    } else if !visit.viewer.role.may_sign() {
        "Your role reads and does not sign. Ask somebody who signs, if something has to stop."
    } else {
        ""
    };
    let (brakes, others) =
        if cannot.is_empty() { brakes(&brake, &wanted.package) } else { (Vec::new(), Vec::new()) };
    let page = FreezePage {
        layout: visit.layout(Section::Freeze, "Freeze releases").await?,
        frozen: frozen(&visit, &brake),
        brakes,
        others,
        cannot: cannot.to_owned(),
    };
    let shown = show(StatusCode::OK, &page)?;
    Ok(if page.has_brakes() { may_sign(shown) } else { shown })
}

fn frozen(visit: &Visit, brake: &BrakeView) -> Vec<FrozenRow> {
    let row = |(scope, (by, at, reason)): (&Scope, &(String, jiff::Timestamp, Option<String>))| {
        let ending = brake.ending.get(scope).map(|id| format!("/proposals/{id}"));
        let (name, value) = match scope {
            Scope::Everything => ("Everything".to_owned(), EVERYTHING.to_owned()),
            Scope::Package(id) => {
                let known = brake.governed.package(*id).map(|package| visible(&package.name));
                (known.unwrap_or_else(|_| id.to_string()), id.to_string())
            }
        };
        FrozenRow {
            name,
            is_name: *scope != Scope::Everything,
            by: visible(by),
            at: When::new(*at, visit.now),
            reason: reason.as_deref().map(visible),
            scope: (visit.is_owner() && ending.is_none()).then_some(value),
            ending,
        }
    };
    brake.frozen.iter().map(row).collect()
}

/// Everything and the package that somebody came for, then the others.
fn brakes(brake: &BrakeView, wanted: &str) -> (Vec<Brake>, Vec<Brake>) {
    let frozen = brake.governed.frozen();
    let mut brakes = Vec::new();
    if !frozen.contains(&Scope::Everything) {
        brakes.push(Brake {
            ceremony: format!("/freeze/{EVERYTHING}"),
            name: String::new(),
            everything: true,
            id: EVERYTHING.to_owned(),
        });
    }
    let mut packages: Vec<&PackageRecord> = brake
        .governed
        .packages()
        .filter(|package| !frozen.contains(&Scope::Package(package.id)))
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    brakes.extend(packages.into_iter().map(|package| Brake {
        ceremony: format!("/freeze/packages/{}", package.id),
        name: visible(&package.name),
        everything: false,
        id: package.id.to_string(),
    }));
    // Who came for a package means that one first.
    brakes.sort_by_key(|brake| (brake.id != wanted, !brake.everything));
    brakes.into_iter().partition(|brake| brake.everything || brake.id == wanted)
}

async fn begin_everything(
    BySigner(visit): BySigner,
    ProtectedJson(words): ProtectedJson<Words>,
) -> Answer {
    begin(visit, Scope::Everything, words).await
}

async fn finish_everything(
    BySigner(visit): BySigner,
    ProtectedJson(answer): ProtectedJson<Finish>,
) -> Answer {
    finish(visit, Scope::Everything, answer).await
}

async fn begin_package(
    BySigner(visit): BySigner,
    Path(package): Path<String>,
    ProtectedJson(words): ProtectedJson<Words>,
) -> Answer {
    let package: PackageId = id(&package)?;
    begin(visit, Scope::Package(package), words).await
}

async fn finish_package(
    BySigner(visit): BySigner,
    Path(package): Path<String>,
    ProtectedJson(answer): ProtectedJson<Finish>,
) -> Answer {
    let package: PackageId = id(&package)?;
    finish(visit, Scope::Package(package), answer).await
}

async fn begin(visit: Visit, scope: Scope, words: Words) -> Answer {
    let (app, now) = (visit.app, visit.now);
    let signer = visit.viewer.signer();
    let begun = detached(async move {
        let wanted = (scope, words.reason);
        freeze::begin(&app.store, &app.passkeys, &signer, wanted, now).await
    });
    Ok(begun_json(begun.await?))
}

async fn finish(visit: Visit, scope: Scope, answer: Finish) -> Answer {
    let (app, now) = (visit.app, visit.now);
    let signer = visit.viewer.signer();
    detached(async move {
        let answer = (answer.ceremony, answer.credential);
        freeze::finish(&app.store, &app.passkeys, &signer, answer, scope, now).await
    })
    .await?;
    Ok(location_json("/freeze"))
}

async fn end(ByOwner(visit): ByOwner, ProtectedForm(fields): ProtectedForm<Fields>) -> Answer {
    let scope = match fields.text("scope") {
        EVERYTHING => Scope::Everything,
        text => match text.parse::<PackageId>() {
            Ok(package) => Scope::Package(package),
            Err(_) => return Ok(refuse(Kind::BadInput, "expected something that is frozen")?),
        },
    };
    let wanted = (scope, fields.optional("reason"));
    let store = &visit.app.store;
    let proposal = freeze::propose_end(store, visit.viewer.person, wanted, visit.now).await?;
    Ok(see_change(Some(proposal), "/freeze"))
}
