//! Proposals, the founding and the brake.

use askama::Template;

use super::form::{Choice, Field, FormError};
use super::release::{Slot, StatementView};
use super::shell::{Badge, Face, Fact, HistoryItem, Layout, Link, Notice};
use crate::web::display::{When, count};

/// `/proposals`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/proposals.html")]
pub struct ProposalsPage {
    /// The frame.
    pub layout: Layout,
    /// The founding that is missing, or a loosening that waits.
    pub notices: Vec<Notice>,
    /// Those that wait, newest first.
    pub waiting: Vec<ProposalRow>,
    /// Those that ended lately, newest first.
    pub ended: Vec<ProposalRow>,
}

impl ProposalsPage {
    /// "Two changes wait".
    pub fn heading(&self) -> String {
        let words = match self.waiting.len() {
            0 => return "No change is waiting".to_owned(),
            1 => return "One change is waiting".to_owned(),
            number => format!("{} changes are waiting", crate::web::display::in_words(number)),
        };
        let mut letters = words.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters).collect()
    }
}

/// A proposal in a list.
#[derive(Clone, Debug)]
pub struct ProposalRow {
    /// `/proposals/{id}`.
    pub href: String,
    /// Icon of its first change.
    pub icon: &'static str,
    /// "Change the policy “Two people”".
    pub title: String,
    /// "Mara Lindqvist, 2 hours ago" without the time.
    pub by: String,
    /// When it was proposed, or ended.
    pub when: When,
    /// Its state.
    pub status: Badge,
    /// Signatures that count, of those needed; nothing where none are needed any more.
    pub pips: Option<Pips>,
    /// The reader is asked to sign.
    pub yours: bool,
}

/// Signatures that count, of those needed.
#[derive(Clone, Copy, Debug)]
pub struct Pips {
    /// So far.
    pub signed: u32,
    /// In all.
    pub required: u32,
}

/// `/proposals/{id}`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/proposal.html")]
pub struct ProposalPage {
    /// The frame.
    pub layout: Layout,
    /// What it is about, in words.
    pub title: String,
    /// Its state.
    pub status: Badge,
    /// Who proposed it.
    pub by: Face,
    /// When.
    pub at: When,
    /// Until when it can be signed, while it waits.
    pub expires: Option<When>,
    /// How it stands or ended, where a badge says too little.
    pub outcome: Option<Notice>,
    /// The proposer's words.
    pub reason: Option<String>,
    /// Each change.
    pub changes: Vec<ChangeCard>,
    /// Packages that nobody could release any more.
    pub unreleasable: Vec<String>,
    /// What it takes.
    pub takes: TakesCard,
    /// Whose signatures, by policy.
    pub quorums: Vec<SignaturesView>,
    /// Exactly what is signed.
    pub statement: StatementView,
    /// What the reader can do.
    pub action: ProposalAction,
    /// `/proposals/{id}/object`, when the reader may.
    pub object: Option<String>,
    /// Where the form posts that takes it back.
    pub withdraw: Option<String>,
    /// Newest first.
    pub history: Vec<HistoryItem>,
}

impl ProposalPage {
    /// Whether there is something to sign.
    pub const fn signable(&self) -> bool {
        matches!(self.action, ProposalAction::Sign(_))
    }

    /// Where the signatures of the first quorum are, for the bar on phones.
    pub fn pips(&self) -> Pips {
        let pips =
            |quorum: &SignaturesView| Pips { signed: quorum.signed, required: quorum.required };
        self.quorums.first().map_or(Pips { signed: 0, required: 0 }, pips)
    }
}

/// One change in words.
#[derive(Clone, Debug)]
pub struct ChangeCard {
    /// Name of an icon.
    pub icon: &'static str,
    /// "Mara Lindqvist becomes an owner".
    pub title: String,
    /// What is different, field by field.
    pub rows: Vec<Delta>,
    /// Why it takes what it takes.
    pub because: String,
    /// "Loosens", "Tightens".
    pub badge: Badge,
}

/// One field, before and after.
#[derive(Clone, Debug)]
pub struct Delta {
    /// "Approvals needed".
    pub label: String,
    /// As it is; none for what is new.
    pub from: Option<String>,
    /// As it would be; none for what goes.
    pub to: Option<String>,
    /// Identifiers are shown in the monospaced face.
    pub code: bool,
}

impl Delta {
    /// A field that is new.
    pub fn new(label: &str, to: impl Into<String>) -> Self {
        Self { label: label.to_owned(), from: None, to: Some(to.into()), code: false }
    }

    /// A field that changes.
    pub fn change(label: &str, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { label: label.to_owned(), from: Some(from.into()), to: Some(to.into()), code: false }
    }

    /// The same as an identifier.
    pub fn code(self) -> Self {
        Self { code: true, ..self }
    }

    /// It is different.
    pub fn differs(&self) -> bool {
        self.from != self.to
    }
}

/// What a proposal takes, and why.
#[derive(Clone, Debug)]
pub struct TakesCard {
    /// "A quorum, then 24 hours".
    pub title: String,
    /// What that means.
    pub text: String,
}

/// Signatures under one policy.
#[derive(Clone, Debug)]
pub struct SignaturesView {
    /// "Governing policy: Two people"; its page.
    pub policy: Option<Link>,
    /// What it is called above its slots.
    pub name: String,
    /// Signatures that count.
    pub signed: u32,
    /// Signatures needed.
    pub required: u32,
    /// One per signature, then the empty ones.
    pub slots: Vec<Slot>,
}

/// What the reader of a proposal can do now.
#[derive(Clone, Debug)]
pub enum ProposalAction {
    /// Sign; base of the ceremony.
    Sign(String),
    /// Has decided: one sentence.
    Decided(String),
    /// May not, for this reason.
    Cannot(String),
    /// It is over, or nothing is needed any more: one sentence.
    Closed(String),
}

/// `/proposals/{id}/object`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/proposal_object.html")]
pub struct ObjectPage {
    /// The frame.
    pub layout: Layout,
    /// Its page and what it is about.
    pub proposal: Link,
    /// Base of the ceremony.
    pub ceremony: String,
    /// Exactly what is signed.
    pub statement: StatementView,
}

/// `/founding`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/founding.html")]
pub struct FoundingPage {
    /// The frame.
    pub layout: Layout,
    /// How far it is.
    pub status: Badge,
    /// The recovery secret, in the one answer that has it.
    pub secret: Option<String>,
    /// Two people's keys that one person may hold.
    pub notices: Vec<Notice>,
    /// What is missing before it can be put before the founders: each with where to mend it.
    pub missing: Vec<Link>,
    /// The form of an owner; none for others and once founded.
    pub form: Option<FoundingForm>,
    /// Errors of its fields, for the list above it.
    pub errors: Vec<FormError>,
    /// What is signed or was signed.
    pub document: Option<FoundingDocument>,
    /// The reader signs it here: base of the ceremony.
    pub sign: Option<String>,
    /// Why the reader does not sign; empty when they do.
    pub not_you: String,
}

impl FoundingPage {
    /// Whether somebody is founding it still.
    pub fn founded(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.founded.is_some())
    }
}

/// What an owner chooses.
#[derive(Clone, Debug)]
pub struct FoundingForm {
    /// Field `policy`: radio by policy id; the hint is its sentence.
    pub policies: Vec<Choice>,
    /// Field `delay_hours`: digits.
    pub delay: Field,
    /// A document waits already, and this draws another secret.
    pub again: bool,
}

/// The founding document as people read it.
#[derive(Clone, Debug)]
pub struct FoundingDocument {
    /// When it was founded, with who and where it is pinned; none while it waits.
    pub founded: Option<When>,
    /// Signatures.
    pub signatures: SignaturesView,
    /// Delay, governing policy, recovery key, digest.
    pub facts: Vec<Fact>,
    /// Everybody.
    pub people: Vec<FoundingPerson>,
    /// CI accounts that are nobody's.
    pub bots: Vec<String>,
    /// Policies: name, sentence, who, whether it governs.
    pub policies: Vec<FoundingPolicy>,
    /// Registries: name and facts.
    pub registries: Vec<FoundingThing>,
    /// Packages: name and facts.
    pub packages: Vec<FoundingThing>,
    /// Issuers of CI tokens: name and facts.
    pub issuers: Vec<FoundingThing>,
    /// Publishers: name and facts.
    pub publishers: Vec<FoundingThing>,
    /// Exactly what is signed.
    pub statement: StatementView,
}

impl FoundingDocument {
    /// "3 people".
    pub fn people_heading(&self) -> String {
        match self.people.len() {
            1 => "1 person".to_owned(),
            many => format!("{many} people"),
        }
    }

    /// "2 policies".
    pub fn policies_heading(&self) -> String {
        match self.policies.len() {
            1 => "1 policy".to_owned(),
            many => format!("{many} policies"),
        }
    }

    /// "2 registries".
    pub fn registries_heading(&self) -> String {
        match self.registries.len() {
            1 => "1 registry".to_owned(),
            many => format!("{many} registries"),
        }
    }

    /// "4 packages".
    pub fn packages_heading(&self) -> String {
        count(self.packages.len() as u64, "package")
    }

    /// "2 issuers".
    pub fn issuers_heading(&self) -> String {
        count(self.issuers.len() as u64, "issuer")
    }

    /// "1 publisher".
    pub fn publishers_heading(&self) -> String {
        count(self.publishers.len() as u64, "publisher")
    }
}

/// One person of the founding document.
#[derive(Clone, Debug)]
pub struct FoundingPerson {
    /// Who.
    pub face: Face,
    /// "Owner".
    pub role: String,
    /// Keys: what their owner calls them, and a short fingerprint.
    pub keys: Vec<(String, String)>,
    /// Linked CI accounts.
    pub accounts: Vec<String>,
}

/// One policy of the founding document.
#[derive(Clone, Debug)]
pub struct FoundingPolicy {
    /// Its name.
    pub name: String,
    /// As one sentence.
    pub sentence: String,
    /// The people it names.
    pub people: String,
    /// Every change takes its quorum.
    pub governs: bool,
}

/// A registry, package or publisher of the founding document.
#[derive(Clone, Debug)]
pub struct FoundingThing {
    /// Its name.
    pub name: String,
    /// Whether the name is an identifier.
    pub code: bool,
    /// What the document says about it.
    pub facts: Vec<Fact>,
}

/// `/freeze`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/freeze.html")]
pub struct FreezePage {
    /// The frame.
    pub layout: Layout,
    /// What is frozen.
    pub frozen: Vec<FrozenRow>,
    /// What can be frozen: everything, and the package one came for.
    pub brakes: Vec<Brake>,
    /// The other packages, behind one press.
    pub others: Vec<Brake>,
    /// Why nothing can be frozen by the reader; empty otherwise.
    pub cannot: String,
}

impl FreezePage {
    /// Whether the reader can freeze something.
    pub const fn has_brakes(&self) -> bool {
        !self.brakes.is_empty() || !self.others.is_empty()
    }
}

/// Something that is frozen.
#[derive(Clone, Debug)]
pub struct FrozenRow {
    /// "Everything", or a package.
    pub name: String,
    /// Whether the name is an identifier.
    pub is_name: bool,
    /// "Mara Lindqvist".
    pub by: String,
    /// When.
    pub at: When,
    /// Their words.
    pub reason: Option<String>,
    /// The proposal that would end it.
    pub ending: Option<String>,
    /// Field `scope` of the form that proposes the end, when the reader may.
    pub scope: Option<String>,
}

/// A button that freezes.
#[derive(Clone, Debug)]
pub struct Brake {
    /// Base of the ceremony.
    pub ceremony: String,
    /// "Everything", or a package.
    pub name: String,
    /// Whether it is everything.
    pub everything: bool,
    /// Field ids of several forms differ.
    pub id: String,
}

/// Asks whether it is meant that packages are left that nobody can release; sends the same form again.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/say_so.html")]
pub struct SaySoPage {
    /// The frame.
    pub layout: Layout,
    /// What would happen, as a sentence with the packages.
    pub sentence: String,
    /// Where the form is sent again.
    pub action: String,
    /// What was in it.
    pub fields: Vec<(String, String)>,
    /// Where one came from.
    pub back: String,
}
