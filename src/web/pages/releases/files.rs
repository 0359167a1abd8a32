//! The files inside a release, and one of them beside the baseline's (A2). Whoever may see the
//! release's page may see these.

mod list;
mod one;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;
use url::form_urlencoded;

use super::view;
use crate::app::App;
use crate::domain::ids::ReleaseId;
use crate::domain::review::diff::{At, Wanted};
use crate::domain::review::survey::place;
use crate::pipeline::files::Base;
use crate::pipeline::review::{self, ReleaseView};
use crate::web::extract::{Now, Path, SignedIn};
use crate::web::pages::{Answer, layout, show};
use crate::web::views::files::FilesPage;
use crate::web::views::shell::Section;

/// What of a file is asked for, as the address says it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// Its path.
    #[serde(default)]
    path: String,
    /// Its path in the baseline, when it was elsewhere there.
    from: Option<String>,
    page: Option<u32>,
    /// The page with this line, instead.
    line: Option<u32>,
    /// The whole file of the baseline.
    #[serde(default)]
    before: bool,
    /// As text, whatever its first bytes are.
    #[serde(default)]
    text: bool,
}

impl Asked {
    fn wanted(&self) -> Wanted {
        Wanted {
            place: place(&self.path),
            from: self.from.as_deref().map(place),
            at: self.line.map_or_else(|| At::Page(self.page.unwrap_or(1)), At::Line),
            as_text: self.text,
        }
    }
}

/// Which way a file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Difference,
    Whole,
    Before,
}

/// Where a file of an artifact is read. Everything from a package is percent-encoded.
fn address(release: ReleaseId, artifact: &str, way: Way, path: &str, from: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("path", path);
    if let Some(from) = from {
        query.append_pair("from", from);
    }
    if way == Way::Before {
        query.append_pair("before", "true");
    }
    let page = if way == Way::Difference { "diff" } else { "file" };
    format!("/releases/{release}/files/{artifact}/{page}?{}", query.finish())
}

/// Where a line of a file is read that a finding is about.
pub(super) fn line_address(
    release: ReleaseId,
    artifact: &str,
    path: &str,
    line: Option<u32>,
) -> String {
    let address = address(release, artifact, Way::Difference, path, None);
    match line {
        Some(line) => format!("{address}&line={line}#L{line}"),
        None => address,
    }
}

/// Folder with its final slash, and name.
fn parted(path: &str) -> (String, String) {
    use crate::web::display::visible;
    match path.rsplit_once('/') {
        Some((folder, name)) => (format!("{}/", visible(folder)), visible(name)),
        None => (String::new(), visible(path)),
    }
}

/// All files of a release.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    headers: HeaderMap,
) -> Answer {
    let release = review::release(&app.store, id, viewer.person, now).await?;
    let mut artifacts = Vec::new();
    for artifact in &release.artifacts {
        let base = Base::of(release.report.as_ref(), &artifact.filename);
        let files = app.files.list(&app.intake.blobs, artifact, &base).await?;
        artifacts.push(list::artifact(&release, artifact, &base, files));
    }
    let name = view::name(&release.record, &release.upstream);
    let title = format!("Files of {} {}", name.package, name.version);
    let layout = layout(&app, &viewer, &headers, (Section::Releases, &title), now).await?;
    show(StatusCode::OK, &FilesPage { layout, release: name, artifacts })
}

/// What changed in a file.
pub(super) async fn diff(
    state: State<Arc<App>>,
    now: Now,
    viewer: SignedIn,
    Path(subject): Path<(ReleaseId, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Answer {
    file(state, now, viewer, subject, (Way::Difference, asked), headers).await
}

/// All of a file, or of what it was before.
pub(super) async fn whole(
    state: State<Arc<App>>,
    now: Now,
    viewer: SignedIn,
    Path(subject): Path<(ReleaseId, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Answer {
    let way = if asked.before { Way::Before } else { Way::Whole };
    file(state, now, viewer, subject, (way, asked), headers).await
}

async fn file(
    State(app): State<Arc<App>>,
    Now(now): Now,
    viewer: SignedIn,
    (id, filename): (ReleaseId, String),
    (way, asked): (Way, Asked),
    headers: HeaderMap,
) -> Answer {
    let release = review::release(&app.store, id, viewer.person, now).await?;
    let artifact = review::artifact(&app.store, id, &filename).await?;
    if asked.path.is_empty() {
        return Ok(Redirect::to(&format!("/releases/{id}/files")).into_response());
    }
    let base = Base::of(release.report.as_ref(), &filename);
    let (blobs, wanted) = (&app.intake.blobs, asked.wanted());
    let read = match way {
        Way::Difference => app.files.diff(blobs, &artifact, &base, wanted).await?,
        Way::Whole => {
            let alone = Base::Nothing(String::new());
            app.files.diff(blobs, &artifact, &alone, wanted).await?
        }
        Way::Before => app.files.before(blobs, &base, wanted).await?,
    };
    let subject =
        one::Subject { release: &release, artifact: &filename, base: &base, asked: &asked };
    let (_, name) = parted(&asked.path);
    let layout = layout(&app, &viewer, &headers, (Section::Releases, &name), now).await?;
    show(StatusCode::OK, &one::page(layout, &subject, way, read)?)
}

/// How many findings of the report are about a file.
fn findings(release: &ReleaseView, artifact: &str, path: &str) -> usize {
    let found = release.report.iter().flat_map(|report| &report.findings);
    found
        .filter(|finding| {
            finding.file.as_deref() == Some(path)
                && finding.artifacts.iter().any(|name| name == artifact)
        })
        .count()
}
