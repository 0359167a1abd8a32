//! The inbox and the list of releases.

use askama::Template;

use super::form::Choice;
use super::governance::ProposalRow;
use super::release::Status;
use super::shell::{Badge, Layout, Link, Notice};
use crate::web::display::{When, capitalised, in_words, list};

/// `/`: what needs this person, then what moves without them, then what was decided.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/inbox.html")]
pub struct InboxPage {
    /// The frame.
    pub layout: Layout,
    /// Banners: a registry that does not answer, a second key that is missing.
    pub notices: Vec<Notice>,
    /// Changes that wait for the reader's signature.
    pub proposals: Vec<ProposalRow>,
    /// Soonest to expire first.
    pub waiting: Vec<WaitingRow>,
    /// Runs of which several releases wait: "Approve the 3 releases of one run".
    pub together: Vec<Link>,
    /// In motion without a signature of this person.
    pub moving: Vec<MovingRow>,
    /// Newest first.
    pub decided: Vec<DecidedRow>,
    /// "Can we still ship?": the packages with the fewest spare signers first.
    pub spare: Vec<SpareRow>,
    /// The gateway itself, at a glance.
    pub gateway: Vec<GatewayRow>,
    /// What to set up next, on an instance that cannot release anything yet.
    pub next_steps: Vec<NextStep>,
    /// "Last release: aurora-core 7.10.4, yesterday." Shown when nothing waits.
    pub last_release: Option<String>,
}

impl InboxPage {
    /// The heading is the state itself.
    pub fn heading(&self) -> String {
        let some = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("one {word}")),
            many => Some(format!("{} {word}s", in_words(many))),
        };
        let (releases, changes) = (self.waiting.len(), self.proposals.len());
        let parts = [some(releases, "release"), some(changes, "change")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            return "Nothing is waiting for you".to_owned();
        }
        let verb = if releases + changes == 1 { "is" } else { "are" };
        format!("{} {verb} waiting for you", capitalised(&list(&parts, "and")))
    }
}

/// A release as lists name it.
#[derive(Clone, Debug)]
pub struct ReleaseName {
    /// `/releases/{id}`.
    pub href: String,
    /// "npm" or "PyPI".
    pub ecosystem: String,
    /// Package name.
    pub package: String,
    /// Version.
    pub version: String,
    /// Name of the registry it goes to.
    pub registry: String,
}

/// A row of "Waiting for you".
#[derive(Clone, Debug)]
pub struct WaitingRow {
    /// Which release.
    pub release: ReleaseName,
    /// What there is to look at: "2 things to look at", or that nothing was found.
    pub attention: Badge,
    /// "3 files, 412 KB".
    pub files: String,
    /// "2 days 23 h left".
    pub left: String,
    /// Signatures so far.
    pub signed: u32,
    /// Signatures needed.
    pub required: u32,
    /// "1 more approval, from security".
    pub needs: String,
}

/// A row of "Moving without you".
#[derive(Clone, Debug)]
pub struct MovingRow {
    /// Which release.
    pub release: ReleaseName,
    /// "You approved 2 min ago", "You started the run, so you cannot approve".
    pub why: String,
    /// Its state.
    pub status: Status,
    /// Signatures so far.
    pub signed: u32,
    /// Signatures needed.
    pub required: u32,
    /// A transfer that runs now.
    pub progress: Option<Progress>,
}

/// A transfer that runs now.
#[derive(Clone, Debug)]
pub struct Progress {
    /// "Uploading 2 of 5".
    pub text: String,
    /// 0 to 100.
    pub percent: u8,
}

/// A row of "Decided lately".
#[derive(Clone, Debug)]
pub struct DecidedRow {
    /// Which release.
    pub release: ReleaseName,
    /// How it ended.
    pub status: Status,
    /// Names, or "Nobody in 7 days".
    pub signers: String,
    /// The reason of a rejection; shown in quotation marks.
    pub note: Option<String>,
    /// When.
    pub when: When,
}

/// A row of "Can we still ship?".
#[derive(Clone, Debug)]
pub struct SpareRow {
    /// The package, or "14 other packages".
    pub package: String,
    /// Whether `package` is a name rather than words.
    pub is_name: bool,
    /// "No spare", "1 spare".
    pub badge: Badge,
    /// Why; may be empty.
    pub why: String,
    /// Where to mend it.
    pub link: Option<Link>,
}

/// A row of the gateway card.
#[derive(Clone, Debug)]
pub struct GatewayRow {
    /// Icon and colour; its text is the label.
    pub badge: Badge,
    /// "Reachable".
    pub value: String,
}

/// A card on a new instance.
#[derive(Clone, Debug)]
pub struct NextStep {
    /// Already done.
    pub done: bool,
    /// "Add a registry".
    pub title: String,
    /// Why, one sentence.
    pub text: String,
    /// Where.
    pub href: String,
}

/// `/releases`: a plain form that filters, and a table.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/releases.html")]
pub struct ReleasesPage {
    /// The frame.
    pub layout: Layout,
    /// The search text as typed.
    pub query: String,
    /// States; the chosen one filters.
    pub states: Vec<Choice>,
    /// The matches.
    pub rows: Vec<DecidedRow>,
    /// The next page, if there is one.
    pub older: Option<Link>,
    /// What is wrong with the search text.
    pub error: Option<String>,
}

impl ReleasesPage {
    /// Whether the list is narrowed at all.
    pub fn filtered(&self) -> bool {
        !self.query.is_empty()
            || self.states.iter().any(|state| state.chosen && !state.value.is_empty())
    }
}
