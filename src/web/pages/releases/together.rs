//! Approving several releases of one CI run with one touch (W17).

use axum::http::StatusCode;
use serde::Deserialize;

use super::{origin, view};
use crate::domain::ids::ReleaseId;
use crate::pipeline::batch;
use crate::pipeline::review::ReleaseView;
use crate::pipeline::{Kind, detached, refuse};
use crate::web::ceremonies::{Finish, begun_json, location_json};
use crate::web::display::{capitalised, grouped};
use crate::web::extract::{Path, ProtectedJson};
use crate::web::pages::visit::{BySigner, Visit};
use crate::web::pages::{Answer, show};
use crate::web::security::may_sign;
use crate::web::views::shell::Section;
use crate::web::views::together::{TogetherPage, TogetherRow};

/// What is waiting from the run of this release.
pub(super) async fn page(visit: Visit, Path(id): Path<ReleaseId>) -> Answer {
    let person = visit.viewer.person;
    let run = batch::of_run(&visit.app.store, id, person, visit.now).await?;
    let releases: Vec<TogetherRow> = run.together.iter().filter_map(row).collect();
    let ids: Vec<String> = run.together.iter().map(|view| view.record.id.to_string()).collect();
    let alone = run.alone.iter().map(|(release, why)| {
        (view::name(&release.record, &release.upstream), capitalised(&why.to_string()))
    });
    let page = TogetherPage {
        layout: visit.layout(Section::Inbox, "Approve together").await?,
        alone: alone.collect(),
        ceremony: format!("/releases/{id}/together"),
        ids: ids.join(","),
        releases,
    };
    let signable = page.releases.len() > 1;
    let shown = show(StatusCode::OK, &page)?;
    Ok(if signable { may_sign(shown) } else { shown })
}

fn row(release: &ReleaseView) -> Option<TogetherRow> {
    let statement = release.mine.as_ref()?.as_ref().ok()?;
    Some(TogetherRow {
        release: view::name(&release.record, &release.upstream),
        attention: origin::attention(&release.findings),
        files: release.artifacts.iter().map(|a| view::file(release.record.id, a)).collect(),
        manifest: grouped(&statement.manifest_sha256.to_string()),
        statement: view::statement(statement, release.standing.as_ref()?),
    })
}

#[derive(Deserialize)]
pub(super) struct Fields {
    /// Identifiers with commas, as the page listed them.
    releases: String,
    #[serde(default)]
    note: Option<String>,
}

pub(super) async fn begin(
    BySigner(Visit { app, viewer, now, .. }): BySigner,
    Path(_): Path<ReleaseId>,
    ProtectedJson(fields): ProtectedJson<Fields>,
) -> Answer {
    let parsed: Result<Vec<ReleaseId>, _> = fields.releases.split(',').map(str::parse).collect();
    let Ok(releases) = parsed else {
        return Ok(refuse(Kind::BadInput, "expected identifiers of releases with commas")?);
    };
    let begun = detached(async move {
        let (signer, subject) = (viewer.signer(), (&releases[..], fields.note));
        batch::begin(&app.store, &app.passkeys, &signer, subject, now).await
    });
    Ok(begun_json(begun.await?))
}

pub(super) async fn finish(
    BySigner(Visit { app, viewer, now, .. }): BySigner,
    Path(_): Path<ReleaseId>,
    ProtectedJson(answer): ProtectedJson<Finish>,
) -> Answer {
    detached(async move {
        let answer = (answer.ceremony, answer.credential);
        let decided =
            batch::finish(&app.store, &app.passkeys, &viewer.signer(), answer, now).await?;
        for release in decided {
            app.progress.announce(release.release);
        }
        Ok(())
    })
    .await?;
    Ok(location_json("/"))
}
