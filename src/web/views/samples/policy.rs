//! Policies.

use super::{layout, notice};
use crate::web::views::form::{Choice, Field, FormError};
use crate::web::views::policy::{
    Ability, GroupFields, NewPolicyPage, PoliciesPage, PolicyCheck, PolicyPage, PolicyPerson,
    PolicyRow,
};
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

/// Three people, some of them ticked.
fn people(ticked: &[&str]) -> Vec<Choice> {
    let people = [("1", "Mara Lindqvist"), ("2", "Ines Duarte"), ("3", "Jun Watanabe")];
    let choice = |(id, name)| {
        let choice = Choice::new(id, name, "");
        if ticked.contains(&name) { choice.chosen() } else { choice }
    };
    people.map(choice).into()
}

fn groups() -> Vec<GroupFields> {
    let group = |n: usize, name: &str, required: &str, ticked: &[&str]| GroupFields {
        name_id: format!("group_{n}_name"),
        name: Field::of(name),
        required_id: format!("group_{n}_required"),
        required: Field::of(required),
        people_id: format!("group_{n}_people"),
        people: people(ticked),
    };
    vec![group(0, "security", "1", &["Mara Lindqvist", "Jun Watanabe"]), group(1, "", "", &[])]
}

/// What the editor says about a policy that would leave nobody to spare.
pub(super) fn check() -> PolicyCheck {
    let ability = |title: &str, badge, means: &str, sets: &[&str], more: &str| Ability {
        title: title.to_owned(),
        badge,
        means: means.to_owned(),
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        more: more.to_owned(),
    };
    PolicyCheck {
        sentence: "A release needs 2 of 3 people, among them 1 of security, one with a hardware key, not counting the person who started the CI run, within 7 days, and then waits 30 minutes; when something was found, one more person and a note from each; under embargo 2 of 2 people, without the wait.".to_owned(),
        problem: String::new(),
        saving: "This loosens the present rule. Saving proposes it; the present quorum has to sign, and it waits while anybody can object.".to_owned(),
        abilities: vec![
            ability(
                "Today",
                Badge::new(Tone::Ok, "circle-check", "1 spare"),
                "One person can be away, whoever it is. With 2 of Ines Duarte, Jun Watanabe and Mara Lindqvist away, nothing ships.",
                &["Ines Duarte and Mara Lindqvist", "Jun Watanabe and Mara Lindqvist", "Ines Duarte and Jun Watanabe"],
                "",
            ),
            ability(
                "When something was found",
                Badge::new(Tone::Bad, "circle-alert", "No spare"),
                "When one of Ines Duarte, Jun Watanabe and Mara Lindqvist is away, nothing ships.",
                &["Ines Duarte, Jun Watanabe and Mara Lindqvist"],
                "",
            ),
        ],
        replay: "Of the last 20 releases, 18 would have passed and 2 would have needed one more.".to_owned(),
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
        action: "/policies/new".to_owned(),
        groups: groups(),
        hardware: Field::of("1"),
        models: Field::default(),
        expires_hours: Field::of("168"),
        cooling_off: Field::of("30"),
        triggering_actor_counts: false,
        no_authors: false,
        note_on_findings: true,
        more_on_findings: Field::of("1"),
        embargo: Field::of("2"),
        embargo_people: people(&["Mara Lindqvist", "Ines Duarte"]),
        skips_cooling_off: true,
        skips_schedule: false,
        away: people(&["Ines Duarte"]),
        check: check(),
        errors: vec![FormError { field: "people".to_owned(), text: people_error }],
    }
}
