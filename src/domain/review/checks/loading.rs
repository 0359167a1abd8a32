//! HK-10, IN-04: what parsed code does while it is loaded, and code that no parser understood.

use std::collections::BTreeSet;

use crate::domain::review::delta::{Arrival, Comparison};
use crate::domain::review::finding::{Check, Finding, Severity};
use crate::domain::review::modules::{is_aside, on_import_path};
use crate::domain::review::survey::{Mark, Parsed, Sort, Survey, SurveyedFile};

pub(super) const CHECKS: &[Check] = &[ON_LOAD, NOT_PARSED];

const ON_LOAD: Check = Check {
    id: "HK-10",
    title: "Code that acts as soon as it is imported",
    why: "It talks to others or starts something before anybody calls it.",
};
const NOT_PARSED: Check = Check {
    id: "IN-04",
    title: "Code that no parser understood",
    why: "It was only searched for words, so less is known about what it does.",
};

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let loaded = on_import_path(comparison.candidate);
    let known = comparison.baseline.map(on_load_marks);
    for arrival in comparison.arrivals() {
        if loaded.contains(arrival.file.place.as_str()) {
            on_load(known.as_ref(), arrival, found);
        }
        not_parsed(arrival, found);
    }
}

/// Calls that files make while they are loaded: of which sort, and how they are written.
type OnLoad<'a> = BTreeSet<(Sort, &'a str)>;

fn on_load_marks(survey: &Survey) -> OnLoad<'_> {
    let code = survey.files.iter().filter_map(|file| file.code.as_ref());
    let marks = code.flat_map(|code| &code.on_load);
    marks.map(|mark| (mark.sort, mark.excerpt.as_str())).collect()
}

/// What a file does when it is loaded that no file of the baseline did.
fn on_load(
    known: Option<&OnLoad<'_>>,
    Arrival { file, since, .. }: Arrival<'_>,
    found: &mut Vec<Finding>,
) {
    let Some(code) = &file.code else { return };
    let is_known = |mark: &Mark| {
        known.is_some_and(|known| known.contains(&(mark.sort, mark.excerpt.as_str())))
    };
    let fresh: Vec<&Mark> = code.on_load.iter().filter(|mark| !is_known(mark)).collect();
    // What it runs came from elsewhere: unpacked, or fetched.
    let brings = fresh.iter().any(|mark| matches!(mark.sort, Sort::Decodes | Sort::Network));
    for sort in [Sort::Programs, Sort::DynamicCode, Sort::Network] {
        let Some(mark) = fresh.iter().find(|mark| mark.sort == sort) else { continue };
        let hides = brings && sort != Sort::Network;
        let severity = match (known.is_some(), hides) {
            (true, true) => Severity::Block,
            (true, false) | (false, true) => Severity::Look,
            // A first release does everything for the first time.
            (false, false) => Severity::Note,
        };
        let said = Finding::new(&ON_LOAD, severity, since, &mark.excerpt);
        found.push(said.at(&file.path, Some(mark.line)));
    }
}

fn not_parsed(Arrival { before, file, since }: Arrival<'_>, found: &mut Vec<Finding>) {
    let parsed = |file: &SurveyedFile| file.code.as_ref().map(|code| code.parsed);
    let why = match parsed(file) {
        Some(Parsed::Broken) => "it is not in the language that its name says",
        Some(Parsed::TooLarge) => "it is larger than what is parsed",
        Some(Parsed::TooDeep) => "it is too deeply nested to read",
        Some(Parsed::Whole) | None => return,
    };
    let as_before = before.is_some_and(|before| parsed(before) == parsed(file));
    let quiet = as_before || is_aside(&file.place);
    let severity = if quiet { Severity::Note } else { Severity::Look };
    found.push(Finding::new(&NOT_PARSED, severity, since, why).at(&file.path, None));
}
