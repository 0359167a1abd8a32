//! What a reader ticked, as buttons and as an answer.

use std::sync::Arc;

use super::{Asked, address, anchor, in_words, way};
use crate::domain::digest::Sha256;
use crate::domain::ids::ReleaseId;
use crate::domain::review::files::FileEntry;
use crate::domain::review::survey::place;
use crate::pipeline::files::Base;
use crate::pipeline::review::{self, ArtifactRecord, ReleaseView};
use crate::pipeline::viewed::{self, Viewed};
use crate::pipeline::{Error, Fault, Kind, refuse};
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::Answer;
use crate::web::pages::visit::{Fields, Visit, see};
use crate::web::views;
use crate::web::views::files::{Reading, Tick, ViewedFragment};

/// Where ticks are sent; nowhere in a session for reading, which changes nothing (S10).
pub(super) fn action(visit: &Visit, release: &ReleaseView) -> Option<String> {
    let may = visit.viewer.may_change().is_ok();
    may.then(|| format!("/releases/{}/viewed", release.record.id))
}

/// Where the reader of a file stands, as long as all files are listed and it is one that changed.
pub(super) async fn reading(
    visit: &Visit,
    release: &ReleaseView,
    (artifact, base): (&ArtifactRecord, &Base),
    asked: &Asked,
) -> Result<Option<Reading>, Error> {
    let (app, person) = (&visit.app, visit.viewer.person);
    let Some(lists) = app.files.all_ready(app.shelf(), release).await? else { return Ok(None) };
    let number = release.artifacts.iter().position(|it| it.id == artifact.id);
    let Some(list) = number.and_then(|number| lists.get(number)) else { return Ok(None) };
    let files: Vec<&FileEntry> = list.iter().filter(|file| file.is_to_read()).collect();
    let wanted = place(&asked.path);
    let Some(at) = files.iter().position(|file| place(&file.path) == wanted) else {
        return Ok(None);
    };
    let ticked = viewed::ticked(app.shelf(), release, person).await?;
    let alone = matches!(base, Base::Nothing(_));
    let there = |at: usize| {
        let file = files.get(at)?;
        let (way, from) = way(file, alone);
        Some(address(release.record.id, &artifact.filename, way, &file.path, from))
    };
    let difference = files[at].difference();
    Ok(Some(Reading {
        ticks: action(visit, release),
        tick: Tick { difference: difference.to_string(), viewed: ticked.contains(&difference) },
        viewed: in_words(Viewed::of(&lists, &ticked)),
        previous: at.checked_sub(1).and_then(there),
        next: there(at + 1),
    }))
}

/// Ticks a file, or takes the tick back: for a script in words, else by way of the page it came from.
pub(in crate::web::pages::releases) async fn tick(
    visit: Visit,
    Path(id): Path<ReleaseId>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let (app, person) = (&visit.app, visit.viewer.person);
    let release = review::release(&app.store, id, person, visit.now).await?;
    let (difference, viewed) = asked(&fields)?;
    let now = visit.now;
    let ticked = (difference, viewed);
    let progress = viewed::tick(app.shelf(), &app.files, &release, person, ticked, now).await?;
    if visit.headers.contains_key("x-fragment") {
        let answer = views::fragment(&ViewedFragment { viewed: in_words(progress) });
        return Ok(answer.map_err(|error| Error::from(Fault::new("rendering a page", error)))?);
    }
    let lists = app.files.all_ready(app.shelf(), &release).await?.unwrap_or_default();
    Ok(see(&back(&release, &lists, difference, fields.text("back") == "file")))
}

fn asked(fields: &Fields) -> Result<(Sha256, bool), Error> {
    let one = |name: &str| fields.optional(name).and_then(|text| text.parse::<Sha256>().ok());
    match (one("viewed"), one("unviewed")) {
        (Some(difference), None) => Ok((difference, true)),
        (None, Some(difference)) => Ok((difference, false)),
        _ => refuse(Kind::BadInput, "expected one file to tick, or one to tick no more"),
    }
}

/// The page of the file, or its row in the list.
fn back(
    release: &ReleaseView,
    lists: &[Arc<Vec<FileEntry>>],
    difference: Sha256,
    to_file: bool,
) -> String {
    let id = release.record.id;
    let mut all = lists.iter().enumerate().flat_map(|(number, list)| {
        list.iter().filter(|file| file.is_to_read()).map(move |file| (number, file))
    });
    let found = all.find(|(_, file)| file.difference() == difference);
    match found.and_then(|(number, file)| Some((number, file, release.artifacts.get(number)?))) {
        Some((_, file, artifact)) if to_file => {
            let base = Base::of(release.report.as_ref(), &artifact.filename);
            let (way, from) = way(file, matches!(base, Base::Nothing(_)));
            address(id, &artifact.filename, way, &file.path, from)
        }
        Some((number, _, _)) => {
            format!("/releases/{id}/files#{}", anchor(number, &difference.to_string()))
        }
        None => format!("/releases/{id}/files"),
    }
}
