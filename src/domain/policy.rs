//! Policies: how many of whom must approve a release, with what keys, and how long it then waits.
//!
//! A policy asks for so many people of those it names. Groups ask for some of them in particular,
//! and [`places`] says how people fill them: one person fills one place, however many groups they
//! are in (I3). Everything else a policy asks narrows whose approval counts, or when a release that
//! was approved may go out.

mod places;
mod sentence;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, PolicyId};
use crate::domain::package::excerpt;
use crate::domain::roster::{Aaguid, Authenticator};

pub use self::places::{Approvers, FromGroups, Missing, Place, Places};

/// Shortest life of a sealed release. Below an hour nobody could read it and sign.
pub const EXPIRY_MIN: SignedDuration = SignedDuration::from_hours(1);
/// Longest life of a sealed release: PyPI takes no new files for releases older than 14 days (A8).
pub const EXPIRY_MAX: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Life of a sealed release unless the policy says otherwise (A8).
pub const EXPIRY_DEFAULT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most people one policy may name; a page and a statement must stay readable.
pub const MEMBERS_MAX: usize = 100;
/// Most groups. How places are filled is solved by looking at every set of groups.
pub const GROUPS_MAX: usize = 6;
/// Most authenticator models in an allow-list.
pub const MODELS_MAX: usize = 50;
/// Longest name of a policy or a group in characters.
pub const NAME_MAX: usize = 60;
/// Fewest people of an embargo rule (Q22).
pub const EMBARGO_MIN: u32 = 2;

/// So many of these people, each of whom fills no other place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What the sentence calls them.
    pub name: String,
    /// How many of them are needed.
    pub required: u32,
    /// Who they are; everybody in a group is one of the policy's people.
    pub people: BTreeSet<PersonId>,
}

/// So many of the approvals by keys that cannot leave the hardware they were made in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// How many.
    pub required: u32,
    /// Which models; every one whose maker this installation trusts when there is no list.
    pub models: Option<BTreeSet<Aaguid>>,
}

impl Hardware {
    /// Whether a key is of the kind asked for: its maker vouches for it, it is not copied to other
    /// devices, and its model is on the list.
    pub fn accepts(&self, key: &Authenticator) -> bool {
        let model = self.models.as_ref().is_none_or(|models| models.contains(&key.aaguid));
        key.attested && !key.synced && model
    }

    /// Whether every key that this accepts is one that `other` accepts.
    fn accepts_within(&self, other: &Self) -> bool {
        match (&self.models, &other.models) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(models), Some(others)) => models.is_subset(others),
        }
    }
}

/// Who may release under embargo instead: a fix that few may know of before it is out (Q22).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embargo {
    /// How many people; at least [`EMBARGO_MIN`].
    pub required: u32,
    /// Who may, by name.
    pub people: BTreeSet<PersonId>,
    /// It goes out at once, without the cooling-off.
    pub skips_cooling_off: bool,
    /// It goes out although an approver set a later time.
    pub skips_schedule: bool,
}

impl Embargo {
    fn places(&self) -> Places<'_> {
        Places::of(self.required, &self.people, &[])
    }

    fn is_within(&self, other: &Self) -> bool {
        self.required >= other.required
            && self.people.is_subset(&other.people)
            && (other.skips_cooling_off || !self.skips_cooling_off)
            && (other.skips_schedule || !self.skips_schedule)
    }
}

/// A policy as somebody typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDraft {
    /// For people.
    pub name: String,
    /// How many people must approve.
    pub required: u32,
    /// Who may.
    pub members: BTreeSet<PersonId>,
    /// Of whom so many in particular.
    pub groups: Vec<Group>,
    /// With what keys.
    pub hardware: Option<Hardware>,
    /// Life of a sealed release.
    pub expiry: SignedDuration,
    /// Between the last approval needed and sending (A10).
    pub cooling_off: SignedDuration,
    /// Whether the person who started the CI run counts (D4: by default not).
    pub triggering_actor_counts: bool,
    /// Whether people count who wrote some of what changed. No CI token names authors, so each
    /// approver has to declare that they are none (A5).
    pub authors_count: bool,
    /// An approval of a release in which something was found needs a note.
    pub note_on_findings: bool,
    /// So many people more when something was found.
    pub more_on_findings: u32,
    /// Who may release under embargo instead.
    pub embargo: Option<Embargo>,
}

impl PolicyDraft {
    /// So many of these people, with everything else as it is by default.
    pub fn of(name: &str, required: u32, members: BTreeSet<PersonId>) -> Self {
        Self {
            name: name.to_owned(),
            required,
            members,
            groups: Vec::new(),
            hardware: None,
            expiry: EXPIRY_DEFAULT,
            cooling_off: SignedDuration::ZERO,
            triggering_actor_counts: false,
            authors_count: true,
            note_on_findings: false,
            more_on_findings: 0,
            embargo: None,
        }
    }
}

/// Why a draft is not a policy.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PolicyRefusal {
    /// The caller left a name out or wrote an essay.
    #[error("expected a name of 1 to {NAME_MAX} characters, received `{0}`")]
    Name(String),
    /// A release nobody needs to approve is no gate.
    #[error("expected at least 1 required approval, received `0`")]
    NobodyRequired,
    /// Nobody could ever satisfy it (Q8).
    #[error(
        "expected at most {able} required approvals, as many as the people it names who could count, received `{required}`"
    )]
    Unsatisfiable {
        /// What was asked for.
        required: u32,
        /// The most that can be reached.
        able: usize,
    },
    /// More people than fit on a page.
    #[error("expected at most {MEMBERS_MAX} people, received `{0}`")]
    TooManyPeople(usize),
    /// Too short to sign in, or longer than registries allow.
    #[error("expected an expiry of 1 to 336 hours, received `{0}`")]
    Expiry(i64),
    /// More groups than can be solved.
    #[error("expected at most {GROUPS_MAX} groups, received `{0}`")]
    TooManyGroups(usize),
    /// Two groups of one name, a group of nobody, or of people whom the policy does not name.
    #[error(
        "expected groups of different names, each of at least one of the policy's people and asking for at least one of them, received `{0}`"
    )]
    Group(String),
    /// The groups ask for more people than the policy.
    #[error(
        "expected groups that ask for at most {required} people together, received `{received}`"
    )]
    GroupsAskForMore {
        /// What the policy asks for.
        required: u32,
        /// What its groups ask for.
        received: u32,
    },
    /// The groups share too few people.
    #[error(
        "the people in the groups fill only `{able}` of the {required} places: one person fills one place"
    )]
    GroupsOverlap {
        /// How many places there are.
        required: u32,
        /// How many can be filled.
        able: u32,
    },
    /// None, or more than there are approvals.
    #[error("expected 1 to {required} approvals with a hardware key, received `{received}`")]
    Hardware {
        /// How many approvals there are.
        required: u32,
        /// What was asked for.
        received: u32,
    },
    /// Too few people hold such a key (Q8).
    #[error(
        "expected at most {able} approvals with a hardware key, as many as the people it names who have one, received `{required}`"
    )]
    NobodyHolds {
        /// What was asked for.
        required: u32,
        /// The most that can be reached.
        able: u32,
    },
    /// An allow-list of nothing, or an endless one.
    #[error("expected 1 to {MODELS_MAX} models of hardware keys, received `{0}`")]
    Models(usize),
    /// It would run out before it may go out.
    #[error("expected a cooling-off shorter than the time to decide, received `{0}` minutes")]
    CoolingOff(i64),
    /// Fewer than two people, or more than it names (Q22).
    #[error(
        "expected an embargo rule of at least {EMBARGO_MIN} people and at most as many as it names, received `{required}` of `{people}`"
    )]
    Embargo {
        /// How many.
        required: u32,
        /// Of how many.
        people: usize,
    },
}

/// The encoding; field order is part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: PolicyId,
    revision: u32,
    name: String,
    required: u32,
    members: BTreeSet<PersonId>,
    groups: Vec<Group>,
    hardware: Option<Hardware>,
    expiry_secs: i64,
    cooling_off_secs: i64,
    triggering_actor_counts: bool,
    authors_count: bool,
    note_on_findings: bool,
    more_on_findings: u32,
    embargo: Option<Embargo>,
}

/// One revision of an approval rule. A value of this type can be satisfied, wherever it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Policy(Fields);

impl TryFrom<Fields> for Policy {
    type Error = PolicyRefusal;

    fn try_from(fields: Fields) -> Result<Self, PolicyRefusal> {
        let (id, revision) = (fields.id, fields.revision);
        let policy = Self::parse(id, revision, Self(fields.clone()).draft())?;
        // A name with white space around it would be read back as another document.
        if policy.0 == fields {
            Ok(policy)
        } else {
            Err(PolicyRefusal::Name(excerpt(&fields.name)))
        }
    }
}

impl Policy {
    /// Parses a draft. Whatever it asks for, the people it names can give it (Q8).
    pub fn parse(id: PolicyId, revision: u32, draft: PolicyDraft) -> Result<Self, PolicyRefusal> {
        let name = parse_name(&draft.name)?;
        if draft.required == 0 {
            return Err(PolicyRefusal::NobodyRequired);
        }
        if draft.members.len() > MEMBERS_MAX {
            return Err(PolicyRefusal::TooManyPeople(draft.members.len()));
        }
        let most = draft.required.saturating_add(draft.more_on_findings);
        if usize::try_from(most).unwrap_or(usize::MAX) > draft.members.len() {
            return Err(PolicyRefusal::Unsatisfiable { required: most, able: draft.members.len() });
        }
        if draft.expiry < EXPIRY_MIN || draft.expiry > EXPIRY_MAX {
            return Err(PolicyRefusal::Expiry(draft.expiry.as_hours()));
        }
        if draft.cooling_off < SignedDuration::ZERO || draft.cooling_off >= draft.expiry {
            return Err(PolicyRefusal::CoolingOff(draft.cooling_off.as_mins()));
        }
        let groups = parse_groups(&draft)?;
        check_hardware(&draft)?;
        check_embargo(draft.embargo.as_ref())?;
        let policy = Self(Fields {
            id,
            revision,
            name,
            required: draft.required,
            members: draft.members,
            groups,
            hardware: draft.hardware,
            expiry_secs: draft.expiry.as_secs(),
            cooling_off_secs: draft.cooling_off.as_secs(),
            triggering_actor_counts: draft.triggering_actor_counts,
            authors_count: draft.authors_count,
            note_on_findings: draft.note_on_findings,
            more_on_findings: draft.more_on_findings,
            embargo: draft.embargo,
        });
        let able = policy.places(true).filled_by(policy.members());
        if able < most {
            return Err(PolicyRefusal::GroupsOverlap { required: most, able });
        }
        Ok(policy)
    }

    /// Reads canonical bytes back; `None` when they are not a policy.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The canonical bytes: what the log holds and what [`Self::digest`] hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }

    /// The policy as it would be typed again.
    pub fn draft(&self) -> PolicyDraft {
        let fields = &self.0;
        PolicyDraft {
            name: fields.name.clone(),
            required: fields.required,
            members: fields.members.clone(),
            groups: fields.groups.clone(),
            hardware: fields.hardware.clone(),
            expiry: self.expiry(),
            cooling_off: self.cooling_off(),
            triggering_actor_counts: fields.triggering_actor_counts,
            authors_count: fields.authors_count,
            note_on_findings: fields.note_on_findings,
            more_on_findings: fields.more_on_findings,
            embargo: fields.embargo.clone(),
        }
    }

    /// Names the policy across its revisions.
    pub const fn id(&self) -> PolicyId {
        self.0.id
    }

    /// Counts up by one with every change.
    pub const fn revision(&self) -> u32 {
        self.0.revision
    }

    /// For people.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How many people must approve when nothing was found; at least one.
    pub const fn required(&self) -> u32 {
        self.0.required
    }

    /// How many people must approve.
    pub const fn required_with(&self, findings: bool) -> u32 {
        if findings { self.0.required + self.0.more_on_findings } else { self.0.required }
    }

    /// Who may.
    pub const fn members(&self) -> &BTreeSet<PersonId> {
        &self.0.members
    }

    /// Everybody who is named: [`Self::members`], and those of the embargo rule.
    pub fn named(&self) -> BTreeSet<PersonId> {
        let embargo = self.0.embargo.iter().flat_map(|embargo| &embargo.people);
        self.0.members.iter().chain(embargo).copied().collect()
    }

    /// Of whom so many in particular.
    pub fn groups(&self) -> &[Group] {
        &self.0.groups
    }

    /// With what keys.
    pub const fn hardware(&self) -> Option<&Hardware> {
        self.0.hardware.as_ref()
    }

    /// Life of a sealed release.
    pub const fn expiry(&self) -> SignedDuration {
        SignedDuration::from_secs(self.0.expiry_secs)
    }

    /// Between the last approval needed and sending.
    pub const fn cooling_off(&self) -> SignedDuration {
        SignedDuration::from_secs(self.0.cooling_off_secs)
    }

    /// Whether the person who started the CI run counts.
    pub const fn triggering_actor_counts(&self) -> bool {
        self.0.triggering_actor_counts
    }

    /// Whether people count who wrote some of what changed.
    pub const fn authors_count(&self) -> bool {
        self.0.authors_count
    }

    /// Whether approvals need a note when something was found.
    pub const fn note_on_findings(&self) -> bool {
        self.0.note_on_findings
    }

    /// How many people more are needed when something was found.
    pub const fn more_on_findings(&self) -> u32 {
        self.0.more_on_findings
    }

    /// Who may release under embargo instead.
    pub const fn embargo(&self) -> Option<&Embargo> {
        self.0.embargo.as_ref()
    }

    /// Whether a key is of the kind this policy asks some approvals to be made with.
    pub fn is_hardware(&self, key: &Authenticator) -> bool {
        self.hardware().is_some_and(|hardware| hardware.accepts(key))
    }

    /// How many more people must approve at least, given these; none when the rule is met.
    pub fn lacks(&self, approvers: &Approvers, findings: bool) -> u32 {
        let places = self.places(findings);
        let people = places.required().saturating_sub(places.filled_by(&approvers.people));
        people.max(self.lacks_hardware(&places, approvers))
    }

    fn lacks_hardware(&self, places: &Places<'_>, approvers: &Approvers) -> u32 {
        self.hardware().map_or(0, |hardware| {
            hardware.required.saturating_sub(places.filled_by(&approvers.with_hardware))
        })
    }

    /// What is missing, given these.
    pub fn missing(&self, approvers: &Approvers, findings: bool) -> Missing {
        let places = self.places(findings);
        Missing {
            people: self.lacks(approvers, findings),
            hardware: self.lacks_hardware(&places, approvers),
            groups: places.lacking(&approvers.people, self.groups()),
        }
    }

    /// Why these people could not meet the policy, when something was found or under embargo, if
    /// so (Q8).
    pub fn out_of_reach(
        &self,
        able: &Approvers,
        named: &BTreeSet<PersonId>,
    ) -> Option<PolicyRefusal> {
        let (places, required) = (self.places(true), self.required_with(true));
        let people = able.people.intersection(self.members()).count();
        if usize::try_from(required).unwrap_or(usize::MAX) > people {
            return Some(PolicyRefusal::Unsatisfiable { required, able: people });
        }
        let filled = places.filled_by(&able.people);
        if filled < required {
            return Some(PolicyRefusal::GroupsOverlap { required, able: filled });
        }
        let holders = places.filled_by(&able.with_hardware);
        if let Some(hardware) = self.hardware().filter(|hardware| hardware.required > holders) {
            return Some(PolicyRefusal::NobodyHolds { required: hardware.required, able: holders });
        }
        let embargo = self.embargo().filter(|_| self.embargo_lacks(named) != Some(0))?;
        let people = embargo.people.intersection(named).count();
        Some(PolicyRefusal::Embargo { required: embargo.required, people })
    }

    /// How many more people of the embargo rule must approve, if there is one.
    pub fn embargo_lacks(&self, people: &BTreeSet<PersonId>) -> Option<u32> {
        let places = self.embargo()?.places();
        Some(places.required().saturating_sub(places.filled_by(people)))
    }

    /// The places that approvals fill.
    pub fn places(&self, findings: bool) -> Places<'_> {
        Places::of(self.required_with(findings), self.members(), self.groups())
    }

    /// True when nothing can be released under this policy that could not be under `other`:
    /// whatever approvals satisfy this one satisfy the other one, no later and no sooner. About who
    /// has to approve the answer is exact; it is no when anything else is merely different.
    pub fn is_within(&self, other: &Self) -> bool {
        let embargo = match (self.embargo(), other.embargo()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => ours.is_within(theirs),
        };
        let people = [false, true].into_iter().all(|findings| self.asks_within(other, findings));
        people
            && embargo
            && self.0.expiry_secs <= other.0.expiry_secs
            && self.0.cooling_off_secs >= other.0.cooling_off_secs
            && (other.triggering_actor_counts() || !self.triggering_actor_counts())
            && (other.authors_count() || !self.authors_count())
            && (self.note_on_findings() || !other.note_on_findings())
    }

    fn asks_within(&self, other: &Self, findings: bool) -> bool {
        let (ours, theirs) = (self.places(findings), other.places(findings));
        let hardware = match (self.hardware(), other.hardware()) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(mine), Some(required)) => {
                mine.accepts_within(required)
                    && ours.fill_at_least(mine.required, &theirs) >= required.required
            }
        };
        hardware && ours.fill_at_least(ours.required(), &theirs) >= theirs.required()
    }
}

fn parse_name(text: &str) -> Result<String, PolicyRefusal> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(PolicyRefusal::Name(excerpt(text)));
    }
    Ok(name.to_owned())
}

fn parse_groups(draft: &PolicyDraft) -> Result<Vec<Group>, PolicyRefusal> {
    if draft.groups.len() > GROUPS_MAX {
        return Err(PolicyRefusal::TooManyGroups(draft.groups.len()));
    }
    let mut names = BTreeSet::new();
    let mut groups = Vec::new();
    for group in &draft.groups {
        let name = parse_name(&group.name)?;
        let fits = group.required > 0
            && !group.people.is_empty()
            && group.people.is_subset(&draft.members)
            && names.insert(name.clone());
        if !fits {
            return Err(PolicyRefusal::Group(excerpt(&group.name)));
        }
        groups.push(Group { name, ..group.clone() });
    }
    let received = groups.iter().fold(0_u32, |sum, group| sum.saturating_add(group.required));
    if received > draft.required {
        return Err(PolicyRefusal::GroupsAskForMore { required: draft.required, received });
    }
    Ok(groups)
}

fn check_hardware(draft: &PolicyDraft) -> Result<(), PolicyRefusal> {
    let Some(hardware) = &draft.hardware else { return Ok(()) };
    let (required, received) = (draft.required, hardware.required);
    if received == 0 || received > required {
        return Err(PolicyRefusal::Hardware { required, received });
    }
    match &hardware.models {
        Some(models) if models.is_empty() || models.len() > MODELS_MAX => {
            Err(PolicyRefusal::Models(models.len()))
        }
        _ => Ok(()),
    }
}

/// A policy of one person may have no embargo rule of one: it never takes fewer than two (Q22).
fn check_embargo(embargo: Option<&Embargo>) -> Result<(), PolicyRefusal> {
    let Some(embargo) = embargo else { return Ok(()) };
    let (required, people) = (embargo.required, embargo.people.len());
    let named = usize::try_from(required).unwrap_or(usize::MAX) <= people && people <= MEMBERS_MAX;
    if required < EMBARGO_MIN || !named {
        return Err(PolicyRefusal::Embargo { required, people });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn draft(required: u32, members: u128) -> PolicyDraft {
        let members = (1..=members).map(|n| PersonId::from_uuid(Uuid::from_u128(n))).collect();
        PolicyDraft::of("Two people", required, members)
    }

    fn parse(draft: PolicyDraft) -> Result<Policy, PolicyRefusal> {
        Policy::parse(PolicyId::from_uuid(Uuid::from_u128(9)), 1, draft)
    }

    #[test]
    fn a_policy_nobody_can_satisfy_does_not_parse() {
        assert_eq!(parse(draft(0, 2)), Err(PolicyRefusal::NobodyRequired));
        assert_eq!(parse(draft(3, 2)), Err(PolicyRefusal::Unsatisfiable { required: 3, able: 2 }));
        assert!(parse(draft(2, 2)).is_ok());
    }

    #[test]
    fn expiry_and_name_are_bounded() {
        let mut short = draft(1, 1);
        short.expiry = SignedDuration::from_mins(59);
        assert!(matches!(parse(short), Err(PolicyRefusal::Expiry(0))));
        let mut long = draft(1, 1);
        long.expiry = EXPIRY_MAX;
        assert!(parse(long.clone()).is_ok());
        long.expiry += SignedDuration::from_secs(1);
        assert!(matches!(parse(long), Err(PolicyRefusal::Expiry(336))));
        let mut unnamed = draft(1, 1);
        unnamed.name = "  ".to_owned();
        assert!(matches!(parse(unnamed), Err(PolicyRefusal::Name(_))));
    }

    #[test]
    fn the_sentence_is_one_a_person_would_say() {
        let sentence = |required, members, hours| {
            let expiry = SignedDuration::from_hours(hours);
            parse(PolicyDraft { expiry, ..draft(required, members) }).unwrap().sentence()
        };
        let actor = "not counting the person who started the CI run";
        let expected = format!("A release needs 2 of 3 people, {actor}, within 7 days.");
        assert_eq!(sentence(2, 3, 168), expected);
        let expected = format!("A release needs the one person named, {actor}, within 36 hours.");
        assert_eq!(sentence(1, 1, 36), expected);
    }

    #[test]
    fn canonical_bytes_round_trip_and_cannot_smuggle_a_bad_rule() {
        let policy = parse(draft(2, 3)).unwrap();
        assert_eq!(Policy::from_bytes(&policy.to_bytes()), Some(policy.clone()));
        let text = String::from_utf8(policy.to_bytes()).unwrap();
        let loosened = text.replace("\"required\":2", "\"required\":0");
        assert_eq!(Policy::from_bytes(loosened.as_bytes()), None);
    }
}
