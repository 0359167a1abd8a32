//! HK-10, IN-04: what parsed code does while it is loaded, and code that no parser understood.

use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::modules::{is_aside, on_import_path};
use crate::domain::review::survey::{Mark, Parsed, Sort, SurveyedFile};

pub(super) const CHECKS: &[Check] = &[ON_LOAD, NOT_PARSED];

const ON_LOAD: Check = Check {
    id: "HK-10",
    title: "Code that reaches out while it is loaded",
    why: "It runs as soon as somebody imports the package, before they call anything.",
};
const NOT_PARSED: Check = Check {
    id: "IN-04",
    title: "Code that no parser understood",
    why: "It was only searched for words, so less is known about what it does.",
};

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let loaded = on_import_path(comparison.candidate);
    for (before, file, since) in comparison.arrivals() {
        if loaded.contains(file.place.as_str()) {
            on_load(comparison, file, since, found);
        }
        not_parsed(before, file, since, found);
    }
}

/// What a file does when it is loaded that no file of the baseline did.
fn on_load(
    comparison: &Comparison<'_>,
    file: &SurveyedFile,
    since: Since,
    found: &mut Vec<Finding>,
) {
    let Some(code) = &file.code else { return };
    let known = |mark: &Mark| {
        let files = comparison.baseline.into_iter().flat_map(|survey| &survey.files);
        let mut marks = files.filter_map(|file| file.code.as_ref()).flat_map(|code| &code.on_load);
        marks.any(|old| old.sort == mark.sort && old.excerpt == mark.excerpt)
    };
    let fresh: Vec<&Mark> = code.on_load.iter().filter(|mark| !known(mark)).collect();
    let decodes = fresh.iter().any(|mark| mark.sort == Sort::Decodes);
    for sort in [Sort::Programs, Sort::DynamicCode, Sort::Network] {
        let Some(mark) = fresh.iter().find(|mark| mark.sort == sort) else { continue };
        let hides = decodes && sort != Sort::Network;
        let severity = match (comparison.baseline.is_some(), hides) {
            (true, true) => Severity::Block,
            (true, false) | (false, true) => Severity::Look,
            // A first release does everything for the first time.
            (false, false) => Severity::Note,
        };
        let said = Finding::new(&ON_LOAD, severity, since, &mark.excerpt);
        found.push(said.at(&file.path, Some(mark.line)));
    }
}

fn not_parsed(
    before: Option<&SurveyedFile>,
    file: &SurveyedFile,
    since: Since,
    found: &mut Vec<Finding>,
) {
    let parsed = |file: &SurveyedFile| file.code.as_ref().map(|code| code.parsed);
    let why = match parsed(file) {
        Some(Parsed::Broken) => "it is not in the language that its name says",
        Some(Parsed::TooLarge) => "it is larger than what is parsed",
        Some(Parsed::Whole) | None => return,
    };
    let as_before = before.is_some_and(|before| parsed(before) == parsed(file));
    let quiet = as_before || is_aside(&file.place);
    let severity = if quiet { Severity::Note } else { Severity::Look };
    found.push(Finding::new(&NOT_PARSED, severity, since, why).at(&file.path, None));
}
