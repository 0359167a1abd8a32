//! Previews of a release: making one, what to type to try it, ending one.

use axum::http::StatusCode;
use url::Url;

use super::view;
use crate::domain::ids::{PreviewId, ReleaseId};
use crate::domain::package::{Ecosystem, PackageName};
use crate::pipeline::review::ReleaseView;
use crate::pipeline::{preview, review};
use crate::web::display::{When, visible};
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::visit::{BySigner, Fields, Visit, see};
use crate::web::pages::{Answer, show};
use crate::web::preview::base;
use crate::web::views::preview::{Command, OpenPreview, PreviewPage, Previews};
use crate::web::views::shell::Section;

/// The part of the release's page: none for those who sign nothing.
pub(super) async fn part(
    visit: &Visit,
    release: &ReleaseView,
) -> Result<Option<Previews>, WebError> {
    let (id, now) = (release.record.id, visit.now);
    if !visit.is_signer() || !preview::may_make(release.record.state) {
        return Ok(None);
    }
    let open = preview::open_previews(&visit.app.store, id, now).await?;
    let row = |it: preview::PreviewRecord| OpenPreview {
        made_by: visible(&it.made_by),
        expires: When::new(it.expires_at, now),
        end: format!("/releases/{id}/previews/{}/end", it.id),
    };
    let make = format!("/releases/{id}/previews");
    Ok(Some(Previews { make, open: open.into_iter().map(row).collect() }))
}

/// The address is in this answer and nowhere else.
pub(super) async fn make(
    BySigner(visit): BySigner,
    Path(id): Path<ReleaseId>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    let (app, by) = (&visit.app, visit.viewer.person);
    let made = preview::make(&app.store, id, by, visit.now).await?;
    let release = review::release(&app.store, id, by, visit.now).await?;
    let address = base(app, &made.token)?;
    let title = format!("Preview of {}", release.record.package_name);
    let page = PreviewPage {
        layout: visit.layout(Section::Releases, &title).await?,
        release: view::name(&release.record, &release.upstream),
        commands: commands(&release, &address),
        expires: When::new(made.expires_at, visit.now),
    };
    show(StatusCode::OK, &page)
}

pub(super) async fn end(
    BySigner(visit): BySigner,
    Path((id, preview)): Path<(ReleaseId, PreviewId)>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    preview::end(&visit.app.store, id, preview).await?;
    Ok(see(&format!("/releases/{id}")))
}

/// What to type. Other packages come from where they usually come from, in each of them.
fn commands(release: &ReleaseView, address: &Url) -> Vec<Command> {
    let (record, version) = (&release.record, visible(&release.record.version));
    let name = visible(&record.package_name);
    let command = |label: &str, text: String| Command { label: label.to_owned(), text };
    match record.ecosystem {
        Ecosystem::Npm => {
            let file = release.artifacts.first();
            let file = file.map(|file| format!("{address}files/{}", visible(&file.filename)));
            let scope = PackageName::parse(Ecosystem::Npm, &record.package_name).ok();
            let place = match scope.as_ref().and_then(PackageName::npm_scope) {
                Some(scope) => format!("--@{scope}:registry={address}"),
                None => format!("--registry={address}"),
            };
            let mut all = vec![command("By name", format!("npm install {name}@{version} {place}"))];
            // npm 12 takes a file from an address only when it is told to.
            let by_file = |file| format!("npm install --allow-remote=root {file}");
            all.extend(file.map(|file| command("By file", by_file(file))));
            all
        }
        Ecosystem::Pypi => {
            let (what, index) = (format!("{name}=={version}"), format!("{address}simple/"));
            vec![
                command("With pip", format!("pip install {what} --extra-index-url {index}")),
                command("With uv", format!("uv pip install {what} --index {index}")),
            ]
        }
    }
}
