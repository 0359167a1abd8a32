//! The files inside a release, and one of them beside the baseline's (A2). Whoever may see the
//! release's page may see these, and tick what they have read.

mod list;
mod one;
mod ticks;

use std::sync::Arc;

use axum::extract::Query;
use axum::http::StatusCode;
use serde::Deserialize;
use url::form_urlencoded;

use super::view;
use crate::domain::ids::ReleaseId;
use crate::domain::review::diff::{At, Wanted};
use crate::domain::review::files::FileEntry;
use crate::domain::review::survey::place;
use crate::pipeline::files::Base;
use crate::pipeline::review::{self, ReleaseView};
use crate::pipeline::viewed::{self, Viewed};
use crate::web::display::visible;
use crate::web::extract::Path;
use crate::web::pages::visit::{Visit, see};
use crate::web::pages::{Answer, show};
use crate::web::views::files::{FilePage, FilesPage};
use crate::web::views::shell::Section;

pub(super) use list::numbers;
pub(super) use ticks::tick;

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
    match path.rsplit_once('/') {
        Some((folder, name)) => (format!("{}/", visible(folder)), visible(name)),
        None => (String::new(), visible(path)),
    }
}

/// All files of a release.
pub(super) async fn list(visit: Visit, Path(id): Path<ReleaseId>) -> Answer {
    let app = &visit.app;
    let release = review::release(&app.store, id, visit.viewer.person, visit.now).await?;
    let ticked = viewed::ticked(app.shelf(), &release, visit.viewer.person).await?;
    let (mut artifacts, mut lists) = (Vec::new(), Vec::new());
    for (number, artifact) in release.artifacts.iter().enumerate() {
        let base = Base::of(release.report.as_ref(), &artifact.filename);
        let files = app.files.list(app.shelf(), (artifact, &base), visit.now).await?;
        lists.extend(files.iter().map(Arc::clone));
        let listed = list::Listed { release: &release, artifact, base: &base, number };
        artifacts.push(listed.files(files, &ticked));
    }
    let all = lists.len() == release.artifacts.len();
    let name = view::name(&release.record, &release.upstream);
    let title = format!("Files of {} {}", name.package, name.version);
    let layout = visit.layout(Section::Releases, &title).await?;
    let page = FilesPage {
        layout,
        release: name,
        artifacts,
        viewed: if all { in_words(Viewed::of(&lists, &ticked)) } else { String::new() },
        ticks: ticks::action(&visit, &release),
    };
    show(StatusCode::OK, &page)
}

/// "12 of 40 viewed".
pub(super) fn in_words(Viewed { viewed, of }: Viewed) -> String {
    if of == 0 { "Nothing to view".to_owned() } else { format!("{viewed} of {of} viewed") }
}

/// What a link to a row of the list ends with.
fn anchor(artifact: usize, difference: &str) -> String {
    format!("f{artifact}-{}", difference.get(..16).unwrap_or_default())
}

/// How somebody gets to read a file, and its path in the baseline when that is another one.
fn way(file: &FileEntry, alone: bool) -> (Way, Option<&str>) {
    if alone || !file.is_to_read() {
        (Way::Whole, None)
    } else {
        (Way::Difference, file.from.as_deref())
    }
}

/// What changed in a file.
pub(super) async fn diff(
    visit: Visit,
    Path(subject): Path<(ReleaseId, String)>,
    Query(asked): Query<Asked>,
) -> Answer {
    file(visit, subject, (Way::Difference, asked)).await
}

/// All of a file, or of what it was before.
pub(super) async fn whole(
    visit: Visit,
    Path(subject): Path<(ReleaseId, String)>,
    Query(asked): Query<Asked>,
) -> Answer {
    let way = if asked.before { Way::Before } else { Way::Whole };
    file(visit, subject, (way, asked)).await
}

async fn file(
    visit: Visit,
    (id, filename): (ReleaseId, String),
    (way, asked): (Way, Asked),
) -> Answer {
    let app = &visit.app;
    let release = review::release(&app.store, id, visit.viewer.person, visit.now).await?;
    let artifact = release.artifact(&filename)?;
    if asked.path.is_empty() {
        return Ok(see(&format!("/releases/{id}/files")));
    }
    let base = Base::of(release.report.as_ref(), &filename);
    let (blobs, wanted) = (&app.intake.blobs, asked.wanted());
    let read = match way {
        Way::Difference => app.files.diff(blobs, artifact, &base, wanted).await?,
        Way::Whole => {
            let alone = Base::Nothing(String::new());
            app.files.diff(blobs, artifact, &alone, wanted).await?
        }
        Way::Before => app.files.before(blobs, &base, wanted).await?,
    };
    let reading = ticks::reading(&visit, &release, (artifact, &base), &asked).await?;
    let subject =
        one::Subject { release: &release, artifact: &filename, base: &base, asked: &asked };
    let (_, name) = parted(&asked.path);
    let layout = visit.layout(Section::Releases, &name).await?;
    let page = one::page(layout, &subject, way, read)?;
    show(StatusCode::OK, &FilePage { reading, ..page })
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
