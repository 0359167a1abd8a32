//! What a policy means for the people there are: who can release, who can be away, and what would
//! have become of earlier releases.
//!
//! The editor, the page of a package and the home page show the same numbers from here. Nothing is
//! decided by them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::PersonId;
use crate::domain::policy::{Approvers, Places, Policy};

/// Most sets of people that are named; beyond that they are counted only.
pub const SETS_SHOWN: usize = 20;
/// Most sets that are counted; there are policies with more of them than atoms.
pub const SETS_COUNTED: u64 = 100_000;
/// Most ways of taking so many of each kind of people that are tried.
const TRIED: u32 = 20_000;

/// What a policy means today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// How many people it takes.
    pub required: u32,
    /// The smallest sets of people who can release, at most [`SETS_SHOWN`].
    pub sets: Vec<BTreeSet<PersonId>>,
    /// How many such sets there are.
    pub count: u64,
    /// There are more than were counted.
    pub uncounted: bool,
    /// Who can be away.
    pub spare: Spare,
}

/// How many people can be away before nothing can be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spare {
    /// Nothing can be released as it is.
    Nobody {
        /// How many people more it takes at least.
        missing: u32,
    },
    /// So many can be away, whoever they are.
    People {
        /// How many.
        count: u32,
        /// One more of these, and nothing can be released.
        among: BTreeSet<PersonId>,
    },
}

/// Simulates a policy with people who could approve. With `findings`, for a release in which
/// something was found.
pub fn simulate(policy: &Policy, able: &Approvers, findings: bool) -> Simulation {
    let places = policy.places(findings);
    let mut sets = Sets { policy, able, findings, shown: Vec::new(), count: 0, tried: 0 };
    let missing = policy.lacks(able, findings);
    if missing == 0 {
        sets.collect(&places);
    }
    Simulation {
        required: places.required(),
        count: sets.count,
        uncounted: sets.is_full(),
        sets: sets.shown,
        spare: if missing == 0 { spare(policy, &places, able) } else { Spare::Nobody { missing } },
    }
}

/// Everybody who could be away at the same time as few others as possible: a choice of places that
/// asks for as many people as there are for it, or nearly. One more away than the least of these
/// leave a place empty (Hall).
fn spare(policy: &Policy, places: &Places<'_>, able: &Approvers) -> Spare {
    let hardware = policy.hardware().map_or(0, |hardware| hardware.required);
    let mut tightest: Option<(u32, BTreeSet<PersonId>)> = None;
    let mut consider = |asked: u32, people: BTreeSet<PersonId>| {
        let more = count(&people).saturating_sub(asked);
        match &mut tightest {
            Some((least, among)) if *least == more => among.extend(people),
            Some((least, _)) if *least < more => {}
            _ => tightest = Some((more, people)),
        }
    };
    for (asked, fit) in places.tight() {
        consider(asked, fit.intersection(&able.people).copied().collect());
        // So many of the hardware keys have to be in these places, because the others are too few.
        let elsewhere = places.required() - asked;
        if hardware > elsewhere {
            let people = fit.intersection(&able.with_hardware).copied().collect();
            consider(hardware - elsewhere, people);
        }
    }
    let (count, among) = tightest.unwrap_or_default();
    Spare::People { count, among }
}

/// The smallest sets of people who can release. All are as large as the policy asks for: whoever
/// can release together can spare everybody whom no place needs (a matroid's bases).
struct Sets<'a> {
    policy: &'a Policy,
    able: &'a Approvers,
    findings: bool,
    shown: Vec<BTreeSet<PersonId>>,
    count: u64,
    tried: u32,
}

/// People who fit into the same places with the same sort of key.
type Alike = Vec<PersonId>;

impl Sets<'_> {
    fn collect(&mut self, places: &Places<'_>) {
        let mut kinds: BTreeMap<(u32, bool), Alike> = BTreeMap::new();
        for person in &self.able.people {
            let kind = (places.fits(*person), self.able.with_hardware.contains(person));
            if kind.0 != 0 {
                kinds.entry(kind).or_default().push(*person);
            }
        }
        let kinds: Vec<Alike> = kinds.into_values().collect();
        self.choose(
            &kinds,
            &mut Vec::new(),
            usize::try_from(places.required()).unwrap_or(usize::MAX),
        );
    }

    /// Takes so many of each kind; which of them makes no difference to the policy.
    fn choose(&mut self, kinds: &[Alike], taken: &mut Vec<usize>, left: usize) {
        if self.is_full() {
            return;
        }
        let Some(kind) = kinds.get(taken.len()) else {
            if left == 0 {
                self.add(kinds, taken);
            }
            return;
        };
        for number in (0..=kind.len().min(left)).rev() {
            taken.push(number);
            self.choose(kinds, taken, left - number);
            taken.pop();
        }
    }

    fn is_full(&self) -> bool {
        self.count >= SETS_COUNTED || self.tried >= TRIED
    }

    fn add(&mut self, kinds: &[Alike], taken: &[usize]) {
        self.tried += 1;
        let first = kinds.iter().zip(taken).flat_map(|(kind, n)| kind.iter().take(*n));
        let people: BTreeSet<PersonId> = first.copied().collect();
        let with_hardware = people.intersection(&self.able.with_hardware).copied().collect();
        let approvers = Approvers { people, with_hardware };
        if self.policy.lacks(&approvers, self.findings) > 0 {
            return;
        }
        let ways = kinds.iter().zip(taken).fold(1_u64, |product, (kind, n)| {
            product.saturating_mul(choose(kind.len() as u64, *n as u64))
        });
        self.count = self.count.saturating_add(ways).min(SETS_COUNTED);
        self.show(kinds, taken, BTreeSet::new(), 0);
    }

    /// Names the sets that take so many of each kind.
    fn show(&mut self, kinds: &[Alike], taken: &[usize], so_far: BTreeSet<PersonId>, kind: usize) {
        if self.shown.len() >= SETS_SHOWN {
            return;
        }
        let (Some(people), Some(number)) = (kinds.get(kind), taken.get(kind)) else {
            self.shown.push(so_far);
            return;
        };
        for chosen in subsets(people, *number, SETS_SHOWN) {
            self.show(kinds, taken, so_far.iter().copied().chain(chosen).collect(), kind + 1);
        }
    }
}

/// The first subsets of a size, at most so many.
fn subsets(people: &[PersonId], size: usize, most: usize) -> Vec<Vec<PersonId>> {
    match (size, people.split_first()) {
        (0, _) => vec![Vec::new()],
        (_, None) => Vec::new(),
        (_, Some((first, rest))) => {
            let mut with: Vec<_> = subsets(rest, size - 1, most);
            for subset in &mut with {
                subset.insert(0, *first);
            }
            if with.len() < most && rest.len() >= size {
                with.extend(subsets(rest, size, most - with.len()));
            }
            with
        }
    }
}

/// How many subsets of a size there are.
fn choose(of: u64, size: u64) -> u64 {
    (0..size.min(of)).fold(1_u64, |product, n| product.saturating_mul(of - n) / (n + 1))
}

fn count(people: &BTreeSet<PersonId>) -> u32 {
    u32::try_from(people.len()).unwrap_or(u32::MAX)
}
