//! Places that people fill, each at most one.
//!
//! A policy of 3 people with 2 of core and 1 of security has three places. Whether given people fill
//! them is a matching, and for places there is a closed form of it: the most that people fill is the
//! least, over every choice of places, of what the other places ask for and how many of the people
//! fit into a chosen one (Kőnig, Hall). With [`super::GROUPS_MAX`] groups there are few choices, so
//! all of them are looked at.

use std::collections::BTreeSet;
use std::fmt;

use super::Group;
use crate::domain::ids::PersonId;

/// People who approved, or who could.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvers {
    /// All of them.
    pub people: BTreeSet<PersonId>,
    /// Those who do it with a key of the kind the policy asks for.
    pub with_hardware: BTreeSet<PersonId>,
}

impl Approvers {
    /// The same without some.
    pub fn without(&self, away: &BTreeSet<PersonId>) -> Self {
        Self {
            people: self.people.difference(away).copied().collect(),
            with_hardware: self.with_hardware.difference(away).copied().collect(),
        }
    }
}

/// What is missing before a policy is met: so many people at least, among them these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many people.
    pub people: u32,
    /// How many of them with a hardware key.
    pub hardware: u32,
    /// How many of them from which groups.
    pub groups: Vec<FromGroups>,
}

/// So many people who are in one of these groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromGroups {
    /// What the groups are called.
    pub groups: Vec<String>,
    /// How many people.
    pub people: u32,
}

impl Missing {
    /// So many people, whoever they are.
    pub fn people(people: u32) -> Self {
        Self { people, ..Self::default() }
    }

    /// Both of two policies have to be met (Q7).
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for lacking in other.groups {
            if !self.groups.iter().any(|known| known.groups == lacking.groups) {
                self.groups.push(lacking);
            }
        }
        Self {
            people: self.people.max(other.people),
            hardware: self.hardware.max(other.hardware),
            groups: self.groups,
        }
    }

    /// "1 more signature, from security", "2 more signatures, 1 from core and 1 with a hardware key":
    /// what people give is an approval of a release and a signature of a change.
    pub fn in_words(&self, what: &str) -> String {
        let plural = if self.people == 1 { "" } else { "s" };
        let mut words = format!("{} more {what}{plural}", self.people);
        let some = |number: u32, of: String| {
            if number == self.people { of } else { format!("{number} {of}") }
        };
        let mut parts: Vec<String> = self
            .groups
            .iter()
            .map(|lacking| some(lacking.people, format!("from {}", lacking.groups.join(" or "))))
            .collect();
        match self.hardware {
            0 => {}
            1 => parts.push(some(1, "with a hardware key".to_owned())),
            several => parts.push(some(several, "with hardware keys".to_owned())),
        }
        for (n, part) in parts.iter().enumerate() {
            words += if n == 0 { ", " } else { " and " };
            words += part;
        }
        words
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words("approval"))
    }
}

/// So many of these people.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// How many.
    pub required: u32,
    /// Of whom.
    pub people: &'a BTreeSet<PersonId>,
}

/// Everything that has to be filled, by different people.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    members: &'a BTreeSet<PersonId>,
    places: Vec<Place<'a>>,
}

/// A choice of places: one bit each.
type Choice = u32;

impl<'a> Places<'a> {
    /// `required` of `members`, among them what the groups ask for.
    pub(super) fn of(required: u32, members: &'a BTreeSet<PersonId>, groups: &'a [Group]) -> Self {
        let group = |group: &'a Group| Place { required: group.required, people: &group.people };
        let mut places: Vec<_> = groups.iter().map(group).collect();
        let asked = places.iter().fold(0_u32, |sum, place| sum.saturating_add(place.required));
        // Whoever is named may fill the places that no group asks for.
        places.push(Place { required: required.saturating_sub(asked), people: members });
        places.retain(|place| place.required > 0);
        Self { members, places }
    }

    /// What has to be filled.
    pub fn all(&self) -> &[Place<'a>] {
        &self.places
    }

    /// How many people that takes.
    pub fn required(&self) -> u32 {
        self.asked(self.choices() - 1)
    }

    /// How many places these people fill at most.
    pub fn filled_by(&self, people: &BTreeSet<PersonId>) -> u32 {
        let fits: Vec<Choice> = people.iter().map(|person| self.fits(*person)).collect();
        (0..self.choices())
            .map(|chosen| {
                let fit = fits.iter().filter(|fits| *fits & chosen != 0).count();
                self.asked(self.others(chosen))
                    .saturating_add(u32::try_from(fit).unwrap_or(u32::MAX))
            })
            .min()
            .unwrap_or(0)
    }

    /// From which groups people are missing, given these: from one of several groups when none of
    /// them alone lacks anybody. What is missing from some groups is what stays empty when everybody
    /// else approves.
    pub(super) fn lacking(&self, people: &BTreeSet<PersonId>, groups: &[Group]) -> Vec<FromGroups> {
        let mut found: Vec<(Choice, u32)> = Vec::new();
        let mut choices: Vec<Choice> = (1..1 << groups.len()).collect();
        choices.sort_by_key(|chosen| chosen.count_ones());
        for chosen in choices {
            let in_one = |person: &PersonId| {
                let mut groups = groups.iter().enumerate().filter(|(n, _)| chosen & (1 << n) != 0);
                groups.any(|(_, group)| group.people.contains(person))
            };
            let others = self.members.iter().filter(|person| !in_one(person));
            let most = people.iter().chain(others).copied().collect();
            let lacks = self.required().saturating_sub(self.filled_by(&most));
            let said: u32 =
                found.iter().filter(|(part, _)| part & chosen == *part).map(|(_, n)| n).sum();
            if lacks > said {
                found.push((chosen, lacks));
            }
        }
        let names = |chosen: Choice| {
            let groups = groups.iter().enumerate().filter(|(n, _)| chosen & (1 << n) != 0);
            groups.map(|(_, group)| group.name.clone()).collect()
        };
        found
            .into_iter()
            .map(|(chosen, people)| FromGroups { groups: names(chosen), people })
            .collect()
    }

    /// How many places of `other` are filled at least by people who fill `filled` of these.
    ///
    /// The people who fill so many of these places and fewest of the others are those who fit into
    /// none of a choice of the others; as many of them as can fill places here, and the rest of
    /// `filled` are people who do fit there.
    pub fn fill_at_least(&self, filled: u32, other: &Places<'_>) -> u32 {
        (0..other.choices())
            .map(|chosen| {
                let outside = |person: &&PersonId| other.fits(**person) & chosen == 0;
                let outside = self.members.iter().filter(outside).copied().collect();
                let inside = filled.saturating_sub(self.filled_by(&outside));
                other.asked(other.others(chosen)).saturating_add(inside)
            })
            .min()
            .unwrap_or(0)
    }

    /// Every choice of places with its people: as few of them as it asks for leave nobody to spare.
    pub(in crate::domain) fn tight(&self) -> impl Iterator<Item = (u32, BTreeSet<PersonId>)> + '_ {
        (1..self.choices()).map(|chosen| {
            let fits = |person: &&PersonId| self.fits(**person) & chosen != 0;
            (self.asked(chosen), self.members.iter().filter(fits).copied().collect())
        })
    }

    fn choices(&self) -> Choice {
        1 << self.places.len()
    }

    fn others(&self, chosen: Choice) -> Choice {
        (self.choices() - 1) & !chosen
    }

    /// What the chosen places ask for together.
    fn asked(&self, chosen: Choice) -> u32 {
        let places = self.places.iter().enumerate().filter(|(n, _)| chosen & (1 << n) != 0);
        places.fold(0, |sum, (_, place)| sum.saturating_add(place.required))
    }

    /// The places that somebody fits into.
    pub(in crate::domain) fn fits(&self, person: PersonId) -> Choice {
        let places =
            self.places.iter().enumerate().filter(|(_, place)| place.people.contains(&person));
        places.fold(0, |fits, (n, _)| fits | (1 << n))
    }
}
