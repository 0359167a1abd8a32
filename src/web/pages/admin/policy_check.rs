//! What a policy would mean, in words: who can release, who can be away, and earlier releases.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::PersonId;
use crate::domain::simulation::{Simulation, Spare};
use crate::pipeline::setup::preview::{Preview, Replay, Saving};
use crate::web::display::{count, list};
use crate::web::views::policy::{Ability, PolicyCheck};
use crate::web::views::shell::{Badge, Tone};

/// Names of people.
pub(super) type Names = BTreeMap<PersonId, String>;

/// Of a form that nobody filled in yet.
pub(super) fn nothing_yet() -> PolicyCheck {
    PolicyCheck {
        sentence: String::new(),
        problem: String::new(),
        saving: String::new(),
        abilities: Vec::new(),
        replay: String::new(),
    }
}

/// Of a form that is no policy.
pub(super) fn refused(problem: String) -> PolicyCheck {
    PolicyCheck { problem, ..nothing_yet() }
}

/// Of a policy as it would be.
pub(super) fn view(preview: &Preview, away: &BTreeSet<PersonId>) -> PolicyCheck {
    let policy = match &preview.policy {
        Ok(policy) => policy,
        Err(why) => return refused(format!("Cannot be saved: {why}.")),
    };
    let names = &preview.names;
    let title = format!("With {} away", people(away, names));
    let abilities = [
        (preview.today.as_ref(), "Today".to_owned()),
        (preview.findings.as_ref(), "When something was found".to_owned()),
        (preview.away.as_ref(), title),
    ];
    let abilities = abilities
        .into_iter()
        .filter_map(|(simulation, title)| Some(ability(title, simulation?, names)));
    PolicyCheck {
        sentence: policy.sentence(),
        problem: String::new(),
        saving: match preview.saving {
            Saving::AtOnce => "Saving puts it in force at once: nothing is founded yet.",
            Saving::Quorum => "Saving proposes it. The present quorum has to sign.",
            Saving::QuorumAndDelay => {
                "This loosens the present rule. Saving proposes it; the present quorum has to \
                 sign, and it waits while anybody can object."
            }
        }
        .to_owned(),
        abilities: abilities.collect(),
        replay: replay(&preview.replay),
    }
}

fn ability(title: String, simulation: &Simulation, names: &Names) -> Ability {
    let sets: Vec<String> = simulation.sets.iter().map(|set| people(set, names)).collect();
    let more = simulation.count.saturating_sub(sets.len() as u64);
    let more = match (more, simulation.uncounted) {
        (0, false) => String::new(),
        (more, false) => format!("and {more} more"),
        (more, true) => format!("and more than {more} more"),
    };
    Ability { title, badge: badge(simulation), means: means(simulation, names), sets, more }
}

/// "2 spare", "No spare", "One person", "Nobody can release".
pub(super) fn badge(simulation: &Simulation) -> Badge {
    match &simulation.spare {
        Spare::Nobody { missing } => Badge::new(
            Tone::Bad,
            "octagon-x",
            format!("{} missing", count(u64::from(*missing), "signer")),
        ),
        Spare::People { .. } if simulation.required == 1 => {
            Badge::new(Tone::Warn, "triangle-alert", "One person")
        }
        Spare::People { count: 0, .. } => Badge::new(Tone::Bad, "circle-alert", "No spare"),
        Spare::People { count, .. } => {
            Badge::new(Tone::Ok, "circle-check", format!("{count} spare"))
        }
    }
}

/// What the badge means for the next release.
pub(super) fn means(simulation: &Simulation, names: &Names) -> String {
    match &simulation.spare {
        Spare::Nobody { missing } => {
            let more =
                if *missing == 1 { "1 more person" } else { &format!("{missing} more people") };
            format!("Nothing ships: it takes {more} with passkeys as the policy asks for.")
        }
        Spare::People { count: 0, among } => match among.len() {
            1 => format!("When {} is away, nothing ships.", people(among, names)),
            _ => format!("When one of {} is away, nothing ships.", people(among, names)),
        },
        Spare::People { count, among } => {
            let most = if *count == 1 { "One person" } else { &format!("{count} people") };
            let one_more = count + 1;
            format!(
                "{most} can be away, whoever it is. With {one_more} of {} away, nothing ships.",
                people(among, names)
            )
        }
    }
}

fn people(people: &BTreeSet<PersonId>, names: &Names) -> String {
    let mut found: Vec<String> = people.iter().filter_map(|id| names.get(id)).cloned().collect();
    found.sort_unstable();
    list(&found, "and")
}

fn replay(replay: &Replay) -> String {
    if replay.releases == 0 {
        return "Nothing was released yet that could be counted again.".to_owned();
    }
    let mut parts = vec![format!("{} would have passed", replay.passed)];
    for (missing, releases) in &replay.short {
        let more = if *missing == 1 { "one more".to_owned() } else { format!("{missing} more") };
        parts.push(format!("{releases} would have needed {more}"));
    }
    let releases = count(replay.releases as u64, "release");
    format!("Of the last {releases}, {}.", list(&parts, "and"))
}
