//! What a closure and its changes ask of a reviewer.

use std::collections::BTreeSet;

use super::walk::Place;
use super::{
    CACHE, CHANGED, Closure, DOWNLOAD, Kind, Line, MUTABLE, MUTABLE_IMAGE, PIPELINE, WIDE_TOKEN,
};
use crate::domain::review::finding::{Finding, Severity, Since};
use crate::domain::review::workflow;

/// How a line stands against the last approved closure.
pub(super) fn since(line: &Line, before: Option<&Closure>) -> Since {
    let Some(before) = before else { return Since::FirstRelease };
    // Losing trust with the rest the same is no change that anybody has to look at.
    let stronger = Line { trusted: true, ..line.clone() };
    if before.lines.contains(line) || before.lines.contains(&stronger) {
        Since::Unchanged
    } else if before.lines.iter().any(|known| known.subject() == line.subject()) {
        Since::Changed
    } else {
        Since::New
    }
}

pub(super) fn look(line: &Line, place: &Place, before: Option<&Closure>) -> Option<Finding> {
    let since = since(line, before);
    let standing = since == Since::Unchanged;
    let quiet = if standing { Severity::Note } else { Severity::Look };
    let (check, severity) = match line.kind {
        Kind::Action | Kind::Workflow if !line.pinned => (
            &MUTABLE,
            match (standing, &line.commit) {
                // The same commit as when it was approved: nobody moved it.
                (true, Some(_)) => Severity::Note,
                (false, _) if line.trusted => Severity::Block,
                (true, None) | (false, _) => Severity::Look,
            },
        ),
        Kind::Image if !line.pinned => (&MUTABLE_IMAGE, quiet),
        Kind::Download | Kind::Tool => (&DOWNLOAD, quiet),
        Kind::Token => (&WIDE_TOKEN, quiet),
        Kind::Cache => (&CACHE, quiet),
        // Files of the released commit are compared one by one (CI-05).
        Kind::Action | Kind::Workflow if line.reference.is_empty() => return None,
        // What is pinned is worth a look when it is not what it was.
        _ if matches!(since, Since::New | Since::Changed) => (&CHANGED, Severity::Look),
        _ => return None,
    };
    let was = before
        .filter(|_| since == Since::Changed)
        .and_then(|before| before.lines.iter().find(|known| known.subject() == line.subject()));
    let evidence = match was {
        Some(was) if was.words() == line.words() => {
            format!("{}, with more trust or other content", line.words())
        }
        Some(was) => format!("{}, was {}", line.words(), was.words()),
        None => line.words(),
    };
    Some(place.of(Finding::new(check, severity, since, &evidence)))
}

/// What no longer takes part.
pub(super) fn removed(before: &Closure, after: &Closure) -> Vec<Finding> {
    let subjects: BTreeSet<_> = after.lines.iter().map(Line::subject).collect();
    let gone = before.lines.iter().filter(|line| !subjects.contains(&line.subject()));
    let evidence = |line: &Line| format!("{} takes part no longer", line.words());
    gone.map(|line| Finding::new(&CHANGED, Severity::Note, Since::Changed, &evidence(line)))
        .collect()
}

/// A file that makes releases and is not what it was at the last release's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineChange<'a> {
    /// Where.
    pub path: &'a str,
    /// Its text at the last release; `None` when it was not there or not readable.
    pub before: Option<&'a str>,
    /// Its text now; `None` when it is gone or not readable.
    pub after: Option<&'a str>,
    /// Whether it is the workflow the release was made by.
    pub publishes: bool,
}

/// CI-05: what a reviewer is asked about a change of what makes releases.
pub fn pipeline_change(change: &PipelineChange<'_>) -> Option<Finding> {
    let touched = workflow::touched(change.path)?;
    let gravest = match (change.before, change.after) {
        (Some(before), Some(after)) if change.publishes => workflow::gravest_changes(before, after),
        _ => Ok(Vec::new()),
    };
    let (severity, evidence) = match gravest {
        Ok(aspects) if aspects.is_empty() => match touched {
            workflow::Touched::LockFile => (Severity::Note, String::new()),
            workflow::Touched::Pipeline => (Severity::Look, String::new()),
        },
        Ok(aspects) => (Severity::Block, aspects.join(", ")),
        Err(error) => (Severity::Block, format!("it cannot be read: {error}")),
    };
    Some(Finding::new(&PIPELINE, severity, Since::Changed, &evidence).at(change.path, None))
}
