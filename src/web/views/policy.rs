//! Policies: how many people, which, and for how long.

use askama::Template;

use super::form::{Choice, Field, FormError};
use super::shell::{Badge, Face, Fact, Layout, Link, Notice};

/// `/policies`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/policies.html")]
pub struct PoliciesPage {
    /// The frame.
    pub layout: Layout,
    /// All policies.
    pub rows: Vec<PolicyRow>,
    /// Whether this person may add one.
    pub may_add: bool,
}

/// One policy in the list.
#[derive(Clone, Debug)]
pub struct PolicyRow {
    /// `/policies/{id}`.
    pub href: String,
    /// Its name.
    pub name: String,
    /// The policy as one sentence.
    pub sentence: String,
    /// "2 spare", "No spare", "One person".
    pub badge: Badge,
    /// "4 packages".
    pub packages: String,
}

/// `/policies/{id}`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/policy.html")]
pub struct PolicyPage {
    /// The frame.
    pub layout: Layout,
    /// Its name.
    pub name: String,
    /// "revision 3".
    pub revision: String,
    /// `/policies/{id}/edit`; none for those who may not.
    pub revise: Option<String>,
    /// "A release needs 2 of these 3 people, not counting whoever started the run."
    pub sentence: String,
    /// Standing warnings: one person is enough; no spare signer.
    pub notices: Vec<Notice>,
    /// Who may approve.
    pub people: Vec<PolicyPerson>,
    /// Each field of the policy.
    pub facts: Vec<Fact>,
    /// Packages that use it.
    pub packages: Vec<Link>,
}

/// One person of a policy.
#[derive(Clone, Debug)]
pub struct PolicyPerson {
    /// Who.
    pub face: Face,
    /// "2 passkeys", "No passkey yet, so cannot sign".
    pub keys: Badge,
}

/// `/policies/new`, and `/policies/{id}/edit` for the next revision of one.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/policy_new.html")]
pub struct NewPolicyPage {
    /// The frame.
    pub layout: Layout,
    /// The policy that gets another revision.
    pub revises: Option<Link>,
    /// Where the form is checked and saved.
    pub action: String,
    /// Field `name`.
    pub name: Field,
    /// Field `required`: digits.
    pub required: Field,
    /// Field `people`: tick boxes by person id; the hint says their keys.
    pub people: Vec<Choice>,
    /// What is wrong with the choice of people.
    pub people_error: String,
    /// The groups there are, and one more to fill in.
    pub groups: Vec<GroupFields>,
    /// Field `hardware`: digits, none for none.
    pub hardware: Field,
    /// Field `models`: AAGUIDs, one a line.
    pub models: Field,
    /// Field `expires_hours`: digits.
    pub expires_hours: Field,
    /// Field `cooling_off`: minutes.
    pub cooling_off: Field,
    /// Field `triggering_actor_counts`: tick box.
    pub triggering_actor_counts: bool,
    /// Field `no_authors`: tick box.
    pub no_authors: bool,
    /// Field `note_on_findings`: tick box.
    pub note_on_findings: bool,
    /// Field `more_on_findings`: digits.
    pub more_on_findings: Field,
    /// Field `embargo`: digits, none for none.
    pub embargo: Field,
    /// Field `embargo_people`: tick boxes by person id.
    pub embargo_people: Vec<Choice>,
    /// Field `skips_cooling_off`: tick box.
    pub skips_cooling_off: bool,
    /// Field `skips_schedule`: tick box.
    pub skips_schedule: bool,
    /// Field `away`: tick boxes by person id, for the simulation only.
    pub away: Vec<Choice>,
    /// What it would mean.
    pub check: PolicyCheck,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
}

impl NewPolicyPage {
    /// Whether a part of the form that few need is in use, so that it is shown open.
    fn uses_embargo(&self) -> bool {
        !matches!(self.embargo.value.as_str(), "" | "0")
    }

    fn uses_hardware(&self) -> bool {
        !matches!(self.hardware.value.as_str(), "" | "0")
    }
}

/// The fields of one group.
#[derive(Clone, Debug)]
pub struct GroupFields {
    /// Name of the field with its name.
    pub name_id: String,
    /// What the sentence calls it; empty while the row is unused.
    pub name: Field,
    /// Name of the field with its number.
    pub required_id: String,
    /// How many of them: digits.
    pub required: Field,
    /// Name of the tick boxes.
    pub people_id: String,
    /// Who they are, by person id.
    pub people: Vec<Choice>,
}

/// What a form of a policy would mean, after one of its fields changed.
#[derive(Clone, Debug, Template)]
#[template(path = "fragments/policy_check.html")]
pub struct PolicyCheckFragment {
    /// What it would mean.
    pub check: PolicyCheck,
}

/// What a policy would mean.
#[derive(Clone, Debug)]
pub struct PolicyCheck {
    /// The policy as one sentence; empty while it is none.
    pub sentence: String,
    /// Why it is none.
    pub problem: String,
    /// What saving it takes.
    pub saving: String,
    /// Who can release, today and otherwise.
    pub abilities: Vec<Ability>,
    /// "Of the last 20 releases, 18 would have passed and 2 would have needed one more."
    pub replay: String,
}

/// Who can release, under one assumption.
#[derive(Clone, Debug)]
pub struct Ability {
    /// "Today", "With Mara away".
    pub title: String,
    /// "2 spare", "No spare".
    pub badge: Badge,
    /// "When one of Mara and Ines is away, nothing ships."
    pub means: String,
    /// "Mara and Ines"; the smallest sets of people who can.
    pub sets: Vec<String>,
    /// "and 14 more"; empty when all are named.
    pub more: String,
}
