//! Policies.

use super::{layout, notice};
use crate::web::views::form::{Choice, Field, FormError};
use crate::web::views::policy::{NewPolicyPage, PoliciesPage, PolicyPage, PolicyPerson, PolicyRow};
use crate::web::views::shell::{Badge, Face, Fact, Link, Section, Tone};

pub(super) fn policies() -> PoliciesPage {
    let row = |name: &str, sentence: &str, badge, packages: &str| PolicyRow {
        href: "/policies/0193a7c2".to_owned(),
        name: name.to_owned(),
        sentence: sentence.to_owned(),
        badge,
        packages: packages.to_owned(),
    };
    PoliciesPage {
        layout: layout("Policies", Section::Policies),
        rows: vec![
            row(
                "Two people",
                "A release needs 2 of 4 people, not counting the person who started the CI run, within 7 days.",
                Badge::new(Tone::Ok, "circle-check", "2 spare"),
                "14 packages",
            ),
            row(
                "Just me",
                "A release needs the one person named, the person who started the CI run included, within 7 days.",
                Badge::new(Tone::Warn, "triangle-alert", "One person"),
                "1 package",
            ),
        ],
        may_add: true,
    }
}

pub(super) fn policy() -> PolicyPage {
    PolicyPage {
        layout: layout("Two people", Section::Policies),
        name: "Two people".to_owned(),
        revision: "revision 3".to_owned(),
        revise: Some("/policies/1/edit".to_owned()),
        sentence: "A release needs 2 of 3 people, not counting the person who started the CI run, within 7 days.".to_owned(),
        notices: vec![notice(Tone::Warn, "users", "Nobody to spare when Theo starts a run", "Then only Mara and Ines are left, and both have to sign.", None)],
        people: [("Mara Lindqvist", Tone::Ok, "circle-check", "2 passkeys"), ("Ines Duarte", Tone::Ok, "circle-check", "2 passkeys"), ("Theo Okafor", Tone::Warn, "triangle-alert", "1 passkey")]
            .map(|(name, tone, icon, keys)| PolicyPerson { face: Face::of(name), keys: Badge::new(tone, icon, keys) })
            .into(),
        facts: vec![
            Fact::words("Approvals needed", "2"),
            Fact::words("Runs out after", "7 days"),
            Fact::words("Whoever started the run", "does not count"),
            Fact::words("Saved", "3 Mar 2026 by Mara Lindqvist"),
        ],
        packages: vec![Link::new("/packages/1", "aurora-client"), Link::new("/packages/2", "@aurora/react")],
    }
}

/// As the form is once the installation is founded.
pub(super) fn policy_propose() -> NewPolicyPage {
    let mut page = policy_new();
    page.layout.governed = true;
    page.people_error = String::new();
    page.errors = Vec::new();
    page
}

pub(super) fn policy_new() -> NewPolicyPage {
    let people_error =
        "Needs 3 people, but only 2 of the chosen have a passkey, so no release could ever go out."
            .to_owned();
    NewPolicyPage {
        layout: layout("New policy", Section::Policies),
        revises: None,
        name: Field::of("Three people"),
        required: Field::of("3"),
        people: vec![
            Choice::new("1", "Mara Lindqvist", "2 passkeys").chosen(),
            Choice::new("2", "Ines Duarte", "2 passkeys").chosen(),
            Choice::new("3", "Jun Watanabe", "Invited, no passkey yet").chosen(),
        ],
        people_error: people_error.clone(),
        expires_hours: Field::of("168"),
        triggering_actor_counts: false,
        errors: vec![FormError { field: "people".to_owned(), text: people_error }],
    }
}
