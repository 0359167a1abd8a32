//! The review page: what to look at, where it came from, and the panel one signs in.

use askama::Template;

use super::form::{Choice, Field};
use super::home::ReleaseName;
use super::inspection::{Changed, Inspection};
use super::preview::Previews;
use super::shell::{Badge, Face, Fact, HistoryItem, Layout, Link, Notice, Tone};
use crate::domain::policy::Missing;
use crate::web::display::{When, count, in_words, list};

/// The state of a release in the words of people. Names what is missing, never just "pending".
#[derive(Clone, Debug)]
pub enum Status {
    /// Files still arrive.
    Receiving,
    /// Sealed, not ready for signatures yet.
    Checking,
    /// These approvals are missing.
    Needs(Missing),
    /// Nobody knows yet who started the run.
    NeedsActor,
    /// A person paused it.
    Held,
    /// Approved, and nothing of its kind is sent before the founding.
    Unfounded,
    /// Approved, and its package or everything is frozen.
    Frozen,
    /// The quorum is met; the waiting time runs: "in 26 min".
    Cooling(String),
    /// Files are being sent.
    Publishing,
    /// Sent; the registry is read back.
    Confirming,
    /// The registry has it: "16:02 UTC", empty when the time does not matter.
    Published(String),
    /// Some files are there: have, of, registry.
    Partly(u32, u32, String),
    /// The registry refused.
    Failed,
    /// The registry did not say what happened.
    Unknown,
    /// By whom.
    Rejected(String),
    /// Nobody signed in time.
    Expired,
    /// By which other candidate: "4.2.0 (2nd upload)".
    Superseded(String),
    /// Refused before anybody could sign.
    Refused,
    /// Held files no longer match their digests.
    Altered,
}

impl Status {
    /// Shape, words and colour: the status vocabulary of the design, in one place.
    pub fn badge(&self) -> Badge {
        let (tone, icon, text) = match self {
            Self::Receiving => (Tone::Note, "loader", "Receiving files".to_owned()),
            Self::Checking => (Tone::Note, "loader", "Checking".to_owned()),
            Self::Needs(missing) => (Tone::Note, "hourglass", format!("Needs {missing}")),
            Self::NeedsActor => {
                (Tone::Warn, "circle-question-mark", "Who started this?".to_owned())
            }
            Self::Held => (Tone::Warn, "pause", "On hold".to_owned()),
            Self::Unfounded => (Tone::Warn, "stamp", "Waits for the founding".to_owned()),
            Self::Frozen => (Tone::Warn, "pause", "Frozen".to_owned()),
            Self::Cooling(when) => (Tone::Note, "timer", format!("Publishes {when}")),
            Self::Publishing => (Tone::Note, "loader", "Publishing".to_owned()),
            Self::Confirming => (Tone::Note, "loader", "Reading it back".to_owned()),
            Self::Published(at) if at.is_empty() => {
                (Tone::Ok, "circle-check", "Published".to_owned())
            }
            Self::Published(at) => (Tone::Ok, "circle-check", format!("Published {at}")),
            // Lists do not count files.
            Self::Partly(_, 0, registry) => {
                (Tone::Bad, "triangle-alert", format!("Only part is on {registry}"))
            }
            Self::Partly(have, of, registry) => {
                (Tone::Bad, "triangle-alert", format!("{have} of {of} files are on {registry}"))
            }
            Self::Failed => (Tone::Bad, "octagon-x", "Failed".to_owned()),
            Self::Unknown => (Tone::Warn, "circle-question-mark", "Outcome unknown".to_owned()),
            Self::Rejected(by) if by.is_empty() => (Tone::Bad, "ban", "Rejected".to_owned()),
            Self::Rejected(by) => (Tone::Bad, "ban", format!("Rejected by {by}")),
            Self::Expired => (Tone::Plain, "timer-off", "Expired".to_owned()),
            Self::Superseded(by) if by.is_empty() => {
                (Tone::Plain, "replace", "Replaced".to_owned())
            }
            Self::Superseded(by) => (Tone::Plain, "replace", format!("Replaced by {by}")),
            Self::Refused => (Tone::Bad, "ban", "Refused".to_owned()),
            Self::Altered => (Tone::Bad, "shield-alert", "Held files were altered".to_owned()),
        };
        Badge { tone, icon, text }
    }
}

/// `/releases/{id}`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/release.html")]
pub struct ReleasePage {
    /// The frame.
    pub layout: Layout,
    /// Which release; `href` is this page.
    pub release: ReleaseName,
    /// `/packages/{id}`.
    pub package_href: String,
    /// Its state.
    pub status: Status,
    /// "GitHub Actions".
    pub submitter: String,
    /// When the candidate arrived.
    pub submitted: When,
    /// When it runs out; none once that no longer matters.
    pub expires: Option<When>,
    /// How it ended, or why it cannot go on.
    pub outcome: Option<Notice>,
    /// Steps of publishing, once there are any.
    pub run: Option<Run>,
    /// What to look at, most important first.
    pub attention: Vec<Attention>,
    /// What the gateway found inside, once the release is sealed.
    pub inspection: Option<Inspection>,
    /// What changed, in numbers, once somebody looked.
    pub changed: Option<Changed>,
    /// What the files themselves say.
    pub metadata: Vec<Fact>,
    /// Where the upload said something else than the file.
    pub differences: Vec<Difference>,
    /// From the CI token to the held files.
    pub chain: Vec<ChainLink>,
    /// "Sent by your trusted publisher".
    pub chain_badge: Badge,
    /// The files of the manifest.
    pub files: Vec<FileRow>,
    /// `/releases/{id}/manifest.json`, once it is sealed.
    pub manifest: Option<String>,
    /// Releases of the package before this one, newest first.
    pub earlier: Vec<EarlierRelease>,
    /// Newest first.
    pub history: Vec<HistoryItem>,
    /// Who signed and who may.
    pub quorum: Quorum,
    /// Exactly what is signed; none while the release is not sealed.
    pub statement: Option<StatementView>,
    /// What this person can do now.
    pub action: Action,
    /// The form for a hold, or for taking one back, when this person may do that.
    pub hold: Option<Hold>,
    /// `/releases/{id}/evidence`, once something was sent.
    pub evidence: Option<String>,
    /// Ways to try it, for those who sign.
    pub preview: Option<Previews>,
}

impl ReleasePage {
    /// Things to look at, without the reassuring ones.
    fn findings(&self) -> usize {
        let found = self.inspection.as_ref().map_or(0, Inspection::asks);
        found + self.attention.iter().filter(|item| item.tone != Tone::Ok).count()
    }

    /// "Look at these two before you sign", or "2 things to look at" when there is nothing to sign.
    pub fn attention_heading(&self) -> String {
        match &self.inspection {
            None if self.findings() == 0 => return "Nobody has looked inside".to_owned(),
            Some(it) if it.is_first() => return "Countersign looks inside first".to_owned(),
            _ => {}
        }
        match (self.findings(), &self.action) {
            (0, _) => "Nothing unusual found".to_owned(),
            (1, Action::Sign(_)) => "Look at this before you sign".to_owned(),
            (number, Action::Sign(_)) => {
                format!("Look at these {} before you sign", in_words(number))
            }
            (number, _) => format!("{} to look at", count(number as u64, "thing")),
        }
    }

    /// "3 files to publish", or "3 files published".
    pub fn files_heading(&self) -> String {
        let files = count(self.files.len() as u64, "file");
        match self.status {
            Status::Published(_) => format!("{files} published"),
            _ => format!("{files} to publish"),
        }
    }

    /// "Mara Lindqvist and you": whose approvals met the quorum; empty before it is met.
    pub fn approved_by(&self) -> String {
        if self.quorum.met.is_empty() {
            return String::new();
        }
        let reader = self.layout.person.as_ref().map(|person| person.face.name.as_str());
        let names = self.quorum.slots.iter().filter_map(|slot| match slot {
            Slot::Signed(face, _) if Some(face.name.as_str()) == reader => Some("you".to_owned()),
            Slot::Signed(face, _) => Some(face.name.clone()),
            Slot::Yours(_) | Slot::Open(_) => None,
        });
        list(&names.collect::<Vec<_>>(), "and")
    }

    /// What the statement of a release that nobody can sign any more is.
    pub fn closed_heading(&self) -> &'static str {
        let first = self.statement.as_ref().and_then(|statement| statement.rows.first());
        match first {
            Some((verb, _)) if verb == "Reject" => "What you signed",
            _ if self.quorum.met.is_empty() => "What was to be signed",
            _ => "What was signed",
        }
    }

    /// Where this person may object, if they may.
    pub fn rejects_at(&self) -> Option<&str> {
        match &self.action {
            Action::Sign(signing) => Some(&signing.reject),
            Action::Settle(settling) => Some(&settling.reject),
            Action::Signed(_, reject) | Action::Cannot(_, _, reject) | Action::Checking(reject) => {
                reject.as_deref()
            }
            Action::Closed(_) => None,
        }
    }

    /// The bar that leads phones to the panel exists only when there is something to sign.
    pub fn signable(&self) -> bool {
        matches!(self.action, Action::Sign(_))
    }
}

/// One thing to look at, as a sentence.
#[derive(Clone, Debug)]
pub struct Attention {
    /// `Warn`, `Bad`, `Info`, or `Ok` for a negative assurance.
    pub tone: Tone,
    /// "New runtime dependency:"
    pub title: String,
    /// The identifier the sentence is about; may be empty.
    pub subject: String,
    /// What it means for those who upgrade.
    pub detail: String,
    /// To the place on this page.
    pub link: Option<Link>,
}

impl Attention {
    /// The icon of its tone.
    pub const fn icon(&self) -> &'static str {
        match self.tone {
            Tone::Ok => "shield-check",
            other => super::access::tone_icon(other),
        }
    }
}

/// A field where the upload form and the file disagree.
#[derive(Clone, Debug)]
pub struct Difference {
    /// "description".
    pub field: String,
    /// File it is about.
    pub file: String,
    /// What CI claimed.
    pub claimed: String,
    /// What the file says.
    pub embedded: String,
}

/// A release of the package before this one.
#[derive(Clone, Debug)]
pub struct EarlierRelease {
    /// Which.
    pub release: ReleaseName,
    /// How it ended, or stands.
    pub status: Status,
    /// When that was.
    pub when: When,
    /// Who decided what, in order.
    pub decisions: Vec<EarlierDecision>,
}

/// What one person decided about it.
#[derive(Clone, Debug)]
pub struct EarlierDecision {
    /// "Mara Lindqvist approved".
    pub who: String,
    /// Note or reason; may be empty.
    pub reason: String,
    /// Findings that blocked, and why they were right all the same.
    pub overrides: Vec<(String, String)>,
}

/// One link from CI to the held files.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// Name of an icon.
    pub icon: &'static str,
    /// In words: "Workflow".
    pub title: String,
    /// The identifier it is about.
    pub subject: String,
    /// What was compared with what.
    pub detail: String,
    /// The verdict.
    pub verdict: Badge,
}

/// One file of the manifest.
#[derive(Clone, Debug)]
pub struct FileRow {
    /// File name.
    pub name: String,
    /// "Wheel for Python 3, any platform", "Source archive", "npm package".
    pub kind: String,
    /// 64 hexadecimal digits, shown in full.
    pub sha256: String,
    /// "131 KB".
    pub size: String,
    /// `/releases/{id}/artifacts/{name}`.
    pub download: String,
    /// `…/contents`.
    pub contents: String,
}

impl FileRow {
    /// The line for `sha256sum --check`.
    pub fn check_line(&self) -> String {
        format!("{}  {}", self.sha256, self.name)
    }

    /// In groups of eight, for comparing.
    pub fn grouped(&self) -> String {
        crate::web::display::grouped(&self.sha256)
    }
}

/// The publishing steps; the same card is sent as a fragment while it runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// "On its way to PyPI".
    pub heading: String,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// `/releases/{id}/live` while something can still change.
    pub live: Option<String>,
    /// "You can close this page."; may be empty.
    pub aside: String,
}

/// One step of publishing.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub state: StepState,
    /// "Uploading 2 of 3:".
    pub title: String,
    /// The identifier the step is about; may be empty.
    pub subject: String,
    /// One more sentence; may be empty.
    pub detail: String,
    /// 0 to 100 while it runs, if known.
    pub percent: Option<u8>,
    /// "16:02:11", "now", or empty.
    pub time: String,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Finished.
    Done,
    /// Runs.
    Now,
    /// Has not begun.
    Later,
    /// Went wrong.
    Failed,
}

impl StepState {
    /// Class of the list item.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Later => "later",
            Self::Failed => "failed",
        }
    }

    /// Icon in the dot.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Done => "check",
            Self::Now => "loader",
            Self::Later => "circle-dashed",
            Self::Failed => "octagon-x",
        }
    }

    /// For screen readers.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Now => "Now",
            Self::Later => "Later",
            Self::Failed => "Failed",
        }
    }
}

/// The content of the run card, sent by `/releases/{id}/live` as a `fragment` event.
#[derive(Clone, Debug, Template)]
#[template(path = "fragments/run.html")]
pub struct RunFragment {
    /// The steps as they are now.
    pub run: Run,
}

/// Who signed, who may, who is left out and why.
#[derive(Clone, Debug)]
pub struct Quorum {
    /// Approvals that count.
    pub signed: u32,
    /// Approvals needed.
    pub required: u32,
    /// "met 16:02 UTC"; may be empty.
    pub met: String,
    /// One per approval, then the empty ones.
    pub slots: Vec<Slot>,
    /// Who has to sign in particular, when not anybody will do: "Needs 1 more approval, from
    /// security."; otherwise empty.
    pub needs: String,
    /// Whole sentences: "Theo Okafor started the run, so his approval does not count."
    pub excluded: Vec<String>,
    /// Names of those who may still sign.
    pub eligible: Vec<String>,
    /// Policy name and its page.
    pub policy: Link,
}

impl Quorum {
    /// One person is enough; said on every release of such a package (ruling Q8).
    pub const fn one_person(&self) -> bool {
        self.required == 1
    }
}

/// A place in the quorum.
#[derive(Clone, Debug)]
pub enum Slot {
    /// Signed: who, and how ("6 min ago with a YubiKey 5C").
    Signed(Face, String),
    /// Empty and this person's to fill: "or Jun Watanabe's, or Priya Raman's".
    Yours(String),
    /// Empty: who may fill it.
    Open(String),
}

/// The statement as it is signed, row by row, from the very bytes that are hashed.
#[derive(Clone, Debug, Default)]
pub struct StatementView {
    /// Every field, in the order of `docs/statement.md`.
    pub rows: Vec<(String, String)>,
    /// The check words of the manifest.
    pub words: [String; 8],
}

/// Rows of the statement shown at once; the others are one press away and in the page all the same.
const STATEMENT_ROWS: usize = 5;

impl StatementView {
    /// The rows everybody reads.
    pub fn first(&self) -> &[(String, String)] {
        &self.rows[..self.rows.len().min(STATEMENT_ROWS)]
    }

    /// The rows that make it unique.
    pub fn rest(&self) -> &[(String, String)] {
        &self.rows[self.rows.len().min(STATEMENT_ROWS)..]
    }
}

/// What the reader of a release can do now.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sign or reject.
    Sign(Signing),
    /// Has signed: how long ago. May still reject when a path is given.
    Signed(String, Option<String>),
    /// May not sign, for this reason; may still reject when a path is given.
    Cannot(String, Option<Link>, Option<String>),
    /// Q16: nobody is linked to the CI account that started the run.
    Settle(Settling),
    /// The gateway looks inside first. May reject already when a path is given.
    Checking(Option<String>),
    /// Nothing can be signed any more, or yet: one sentence.
    Closed(String),
}

/// What the approve form needs.
#[derive(Clone, Debug)]
pub struct Signing {
    /// Base of the ceremony: `/releases/{id}/approve`.
    pub approve: String,
    /// `/releases/{id}/reject`.
    pub reject: String,
    /// Why a note is required; empty when it is optional.
    pub note_because: String,
    /// The policy counts no authors, so whoever approves declares that they are none.
    pub asks_authors: bool,
    /// Whether it may go out under embargo.
    pub embargo: UnderEmbargo,
    /// The latest time that can be set for sending it, as the browser's field takes it.
    pub not_before_max: String,
    /// The entry of the hold that this page shows and the approval ends.
    pub under_hold: Option<u64>,
}

/// What an approval under the embargo rule is to the person who would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderEmbargo {
    /// There is no such rule, or it does not name them.
    Not,
    /// A choice.
    Choice,
    /// The only approval that they can give.
    Only,
}

/// What the "Who started this run?" card needs.
#[derive(Clone, Debug)]
pub struct Settling {
    /// Numeric id of the CI account, from the token.
    pub actor: String,
    /// Its name in the token: may be changed by its owner, so it proves nothing.
    pub login: String,
    /// Name of the issuer.
    pub issuer: String,
    /// Page where an owner links the account to a person or declares it a bot; none if this person
    /// may not.
    pub link: Option<String>,
    /// `/releases/{id}/reject`.
    pub reject: String,
}

/// A form that pauses a release, or takes the pause back.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Where the form posts.
    pub action: String,
    /// On hold now.
    pub held: bool,
}

/// `/releases/{id}/reject`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/reject.html")]
pub struct RejectPage {
    /// The frame.
    pub layout: Layout,
    /// Which release.
    pub release: ReleaseName,
    /// Base of the ceremony: `/releases/{id}/reject`.
    pub ceremony: String,
    /// Beginnings to choose from; the value is put into the reason.
    pub presets: Vec<Choice>,
    /// The person's own words.
    pub reason: Field,
    /// What is signed, with the decision "reject".
    pub statement: StatementView,
}

/// `/releases/{id}/artifacts/{filename}/contents`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/contents.html")]
pub struct ContentsPage {
    /// The frame.
    pub layout: Layout,
    /// Which release.
    pub release: ReleaseName,
    /// Name of the held file.
    pub filename: String,
    /// Its SHA-256 in full.
    pub sha256: String,
    /// Path of the download.
    pub download: String,
    /// What the archive holds, in its own order.
    pub entries: Vec<EntryRow>,
    /// "1.2 MB in 143 files, unpacked".
    pub summary: String,
    /// Entries that were left off the page.
    pub left_off: u64,
    /// The archive could not be read; the reason.
    pub unreadable: Option<String>,
}

/// One file inside an archive.
#[derive(Clone, Debug)]
pub struct EntryRow {
    /// Folder part with the final slash; may be empty.
    pub folder: String,
    /// File name.
    pub name: String,
    /// "4 KB".
    pub size: String,
    /// "Runs at install", "Executable"; empty for ordinary files.
    pub mark: String,
}
