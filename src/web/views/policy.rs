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
    /// Field `name`.
    pub name: Field,
    /// Field `required`: digits.
    pub required: Field,
    /// Field `people`: tick boxes by person id; the hint says their keys.
    pub people: Vec<Choice>,
    /// What is wrong with the choice of people.
    pub people_error: String,
    /// Field `expires_hours`: digits.
    pub expires_hours: Field,
    /// Field `triggering_actor_counts`: tick box.
    pub triggering_actor_counts: bool,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
}
