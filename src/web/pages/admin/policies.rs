//! `/policies`: how many people sign, which, and for how long they may.

use std::sync::Arc;

use axum::http::StatusCode;

use crate::app::App;
use crate::domain::policy::Policy;
use crate::domain::simulation::{Simulation, Spare};
use crate::pipeline::setup::overview::{self, PolicyMember, PolicyOverview};
use crate::web::display::{When, count, span};
use crate::web::extract::Path;
use crate::web::pages::admin::{policy_check, policy_editor};
use crate::web::pages::visit::{Visit, id};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::policy as views;
use crate::web::views::shell::{Badge, Face, Fact, Link, Notice, Section, Tone};

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/policies", list)
        .get("/policies/new", policy_editor::new_form)
        .post("/policies/new", policy_editor::add)
        .get("/policies/{id}", details)
        .post("/policies/{id}", policy_editor::revise)
        .get("/policies/{id}/edit", policy_editor::edit_form)
        .post("/policies/{id}/edit", policy_editor::revise)
}

async fn list(visit: Visit) -> Answer {
    let policies = overview::policies(&visit.app.store, visit.now).await?;
    let page = views::PoliciesPage {
        layout: visit.layout(Section::Policies, "Policies").await?,
        rows: policies.iter().map(row).collect(),
        may_add: visit.is_owner(),
    };
    show(StatusCode::OK, &page)
}

fn row(known: &PolicyOverview) -> views::PolicyRow {
    views::PolicyRow {
        href: format!("/policies/{}", known.policy.id()),
        name: known.policy.name().to_owned(),
        sentence: known.policy.sentence(),
        badge: spare(known),
        packages: count(known.packages.len() as u64, "package"),
    }
}

/// How many members can be away before no release can go out.
pub(in crate::web::pages) fn spare(known: &PolicyOverview) -> Badge {
    policy_check::badge(&known.today)
}

/// What [`spare`] means for the next release; empty when there is nothing to worry about.
pub(in crate::web::pages) fn spare_means(known: &PolicyOverview) -> String {
    if spare(known).tone == Tone::Ok {
        return String::new();
    }
    if can_be_met(known) && known.today.required == 1 {
        return "One signature is enough to publish it.".to_owned();
    }
    policy_check::means(&known.today, &names(known))
}

fn names(known: &PolicyOverview) -> policy_check::Names {
    known.members.iter().map(|member| (member.id, member.name.clone())).collect()
}

/// Whether enough people can sign at all.
pub(super) fn can_be_met(known: &PolicyOverview) -> bool {
    !matches!(known.today.spare, Spare::Nobody { .. })
}

async fn details(visit: Visit, Path(policy): Path<String>) -> Answer {
    let id = id(&policy)?;
    let known = overview::policy(&visit.app.store, id, visit.now).await?;
    let policy = &known.overview.policy;
    let saved = known.history.first().map(|(at, _)| When::new(*at, visit.now).exact);
    let packages = known
        .overview
        .packages
        .iter()
        .map(|package| Link::new(format!("/packages/{}", package.id), package.name.as_str()));
    let page = views::PolicyPage {
        layout: visit.layout(Section::Policies, policy.name()).await?,
        name: policy.name().to_owned(),
        revision: format!("revision {}", policy.revision()),
        revise: visit.is_owner().then(|| format!("/policies/{id}/edit")),
        sentence: policy.sentence(),
        notices: notices(&known.overview),
        people: known.overview.members.iter().map(person).collect(),
        facts: facts(policy, saved),
        packages: packages.collect(),
    };
    show(StatusCode::OK, &page)
}

fn facts(policy: &Policy, saved: Option<String>) -> Vec<Fact> {
    let counts = |counts| if counts { "counts" } else { "does not count" };
    let mut facts = vec![Fact::words("Approvals needed", policy.required().to_string())];
    for group in policy.groups() {
        facts.push(Fact::words(format!("Of {}", group.name), group.required.to_string()));
    }
    if let Some(hardware) = policy.hardware() {
        let models = hardware.models.as_ref().map_or_else(
            || "of any trusted maker".to_owned(),
            |models| format!("of {}", count(models.len() as u64, "model")),
        );
        facts.push(Fact::words("With a hardware key", format!("{} {models}", hardware.required)));
    }
    if policy.more_on_findings() > 0 {
        let more = format!("{} more", policy.more_on_findings());
        facts.push(Fact::words("When something was found", more));
    }
    if policy.note_on_findings() {
        facts.push(Fact::words("Note", "needed when something was found"));
    }
    facts.push(Fact::words("Runs out after", span(policy.expiry())));
    if !policy.cooling_off().is_zero() {
        facts.push(Fact::words("Waits after the last approval", span(policy.cooling_off())));
    }
    facts.push(Fact::words("Whoever started the run", counts(policy.triggering_actor_counts())));
    facts.push(Fact::words("Whoever wrote part of it", counts(policy.authors_count())));
    if let Some(embargo) = policy.embargo() {
        let rule =
            format!("{} of {}", embargo.required, count(embargo.people.len() as u64, "person"));
        facts.push(Fact::words("Under embargo", rule));
    }
    facts.push(Fact::words("Saved", saved.unwrap_or_default()));
    facts
}

fn person(member: &PolicyMember) -> views::PolicyPerson {
    let keys = if member.able {
        Badge::new(Tone::Ok, "circle-check", "Can sign")
    } else if member.invited {
        Badge::new(Tone::Warn, "circle-dashed", "No passkey yet, so cannot sign")
    } else {
        Badge::new(Tone::Bad, "circle-alert", "Cannot sign")
    };
    views::PolicyPerson { face: Face::of(&member.name), keys }
}

/// What stands out about a policy, here and on the pages of its packages.
pub(super) fn notices(known: &PolicyOverview) -> Vec<Notice> {
    let notice = |tone, title: &str, text: &str| Notice {
        tone,
        icon: "triangle-alert",
        title: title.to_owned(),
        text: text.to_owned(),
        link: None,
    };
    let means = |simulation| policy_check::means(simulation, &names(known));
    let no_more =
        |simulation: &Simulation| matches!(simulation.spare, Spare::People { count: 0, .. });
    if !can_be_met(known) {
        let title = "No release can go out under this policy now";
        vec![notice(Tone::Bad, title, &means(&known.today))]
    } else if matches!(known.findings.spare, Spare::Nobody { .. }) {
        let title = "No release in which something was found can go out now";
        vec![notice(Tone::Bad, title, &means(&known.findings))]
    } else if known.today.required == 1 {
        let text = "Whoever gets hold of one person's passkey can publish.";
        vec![notice(Tone::Warn, "One person is enough", text)]
    } else if no_more(&known.today) {
        vec![notice(Tone::Warn, "Nobody to spare", &means(&known.today))]
    } else {
        Vec::new()
    }
}
