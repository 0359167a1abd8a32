//! Governance against a model of it: random histories of joining, leaving, proposing, signing,
//! objecting, other rules, freezing and waiting, told to the replay under test and to a model that
//! is so simple that it can be checked by reading (D5, A7, A17, Q20, I3, I10).
//!
//! The model keeps sets and lists and counts anew each time it is asked. It shares no code with
//! `domain::governed`.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::assertion::Purpose;
use countersign::domain::event::Event;
use countersign::domain::governed::{Governed, PROBATION, ProposalState};
use countersign::domain::ids::{PersonId, ProposalId};
use countersign::domain::policy::Policy;
use countersign::domain::proposal::{Change, LIFETIME, Scope};
use countersign::domain::quorum::Verdict;
use countersign::domain::roster::{Role, RosterKey};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::support::governing::DELAY;
use crate::support::history::History;

/// Histories tried; each has up to [`STEPS`] steps with real signatures.
const HISTORIES: u32 = 48;
const STEPS: usize = 40;

/// One step. Numbers pick among what there is, round and round.
#[derive(Debug, Clone)]
enum Step {
    Join { by: u8 },
    Leave { by: u8, who: u8 },
    GiveKey { by: u8, who: u8 },
    Rules { by: u8, required: u32, everybody: bool },
    Freeze { by: u8 },
    Unfreeze { by: u8 },
    Sign { who: u8, which: u8 },
    Object { who: u8, which: u8 },
    Enact { which: u8 },
    Wait { hours: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<u8>();
    prop_oneof![
        1 => n().prop_map(|by| Step::Join { by }),
        1 => (n(), n()).prop_map(|(by, who)| Step::Leave { by, who }),
        1 => (n(), n()).prop_map(|(by, who)| Step::GiveKey { by, who }),
        1 => (n(), 1..5_u32, any::<bool>())
            .prop_map(|(by, required, everybody)| Step::Rules { by, required, everybody }),
        1 => n().prop_map(|by| Step::Freeze { by }),
        1 => n().prop_map(|by| Step::Unfreeze { by }),
        8 => (n(), n()).prop_map(|(who, which)| Step::Sign { who, which }),
        1 => (n(), n()).prop_map(|(who, which)| Step::Object { who, which }),
        5 => n().prop_map(|which| Step::Enact { which }),
        2 => (1..40_u8).prop_map(|hours| Step::Wait { hours }),
    ]
}

/// What the model knows of a person.
#[derive(Debug, Clone, Copy)]
struct Person {
    owner: bool,
    keys: u32,
    /// When the first of them approves.
    approves_from: Timestamp,
}

/// What somebody wants, in the model's words.
#[derive(Debug, Clone)]
enum Wish {
    Join(PersonId),
    Leave(PersonId),
    Key(PersonId),
    Rules { revision: u32, required: u32, members: BTreeSet<PersonId> },
    Freeze,
    Unfreeze,
}

#[derive(Debug, Clone)]
struct Waiting {
    by: PersonId,
    wish: Wish,
    expires_at: Timestamp,
    said: Vec<(PersonId, Verdict, Timestamp)>,
}

/// What the model says of a proposal.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    Rejected,
    Expired,
    Stale,
    Pending,
    Waiting(Timestamp),
    Ready,
}

#[derive(Debug, Clone)]
struct Model {
    people: BTreeMap<PersonId, Person>,
    revision: u32,
    required: u32,
    members: BTreeSet<PersonId>,
    frozen: bool,
    waiting: BTreeMap<ProposalId, Waiting>,
}

impl Model {
    fn objects(&self, who: PersonId) -> bool {
        self.people.get(&who).is_some_and(|person| person.keys > 0)
    }

    fn approves(&self, who: PersonId, now: Timestamp) -> bool {
        self.people.get(&who).is_some_and(|person| person.keys > 0 && person.approves_from <= now)
    }

    fn able(&self) -> usize {
        self.members.iter().filter(|member| self.objects(**member)).count()
    }

    /// The model afterwards, if the wish can be granted.
    fn granted(&self, by: PersonId, wish: &Wish, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        match wish {
            Wish::Join(who) => {
                let approves_from = Timestamp::MAX;
                next.people.insert(*who, Person { owner: false, keys: 0, approves_from });
            }
            Wish::Leave(who) => {
                next.people.remove(who)?;
                if !next.people.values().any(|person| person.owner && person.keys > 0) {
                    return None;
                }
            }
            Wish::Key(who) => {
                let person = next.people.get_mut(who)?;
                person.keys += 1;
                person.approves_from = person.approves_from.min(now + PROBATION);
            }
            Wish::Rules { revision, required, members } => {
                let known = members.iter().all(|member| self.people.contains_key(member));
                if *revision != self.revision + 1 || !known {
                    return None;
                }
                (next.revision, next.required, next.members) =
                    (*revision, *required, members.clone());
            }
            Wish::Freeze if self.frozen => return None,
            Wish::Unfreeze if !self.frozen => return None,
            Wish::Freeze => next.frozen = true,
            Wish::Unfreeze => next.frozen = false,
        }
        let possible = next.able() >= next.required as usize;
        (possible || Self::alone(by, wish)).then_some(next)
    }

    /// Whether one's own signature is enough.
    fn alone(by: PersonId, wish: &Wish) -> bool {
        match wish {
            Wish::Freeze => true,
            Wish::Leave(who) => *who == by,
            _ => false,
        }
    }

    /// Whether it waits a delay after its quorum.
    fn loosens(&self, wish: &Wish) -> bool {
        match wish {
            Wish::Join(_) | Wish::Key(_) | Wish::Unfreeze => true,
            Wish::Leave(_) | Wish::Freeze => false,
            Wish::Rules { required, members, .. } => {
                *required < self.required || !members.is_subset(&self.members)
            }
        }
    }

    fn says(&self, id: ProposalId, now: Timestamp) -> Says {
        let Waiting { by, wish, expires_at, said } = &self.waiting[&id];
        let about = match wish {
            Wish::Join(who) | Wish::Leave(who) | Wish::Key(who) => Some(*who),
            _ => None,
        };
        let objects = |who: PersonId| self.objects(who) && about != Some(who);
        let counts = |who: PersonId| self.approves(who, now) && about != Some(who);
        if said.iter().any(|(who, what, _)| *what == Verdict::Reject && objects(*who)) {
            return Says::Rejected;
        }
        if now >= *expires_at {
            return Says::Expired;
        }
        if self.granted(*by, wish, now).is_none() {
            return Says::Stale;
        }
        let approvals = said.iter().filter(|(_, what, _)| *what == Verdict::Approve);
        if Self::alone(*by, wish) {
            let signed = approvals.clone().any(|(who, ..)| who == by && self.approves(*who, now));
            return if signed { Says::Ready } else { Says::Pending };
        }
        let mut who_signed = BTreeSet::new();
        for (who, _, at) in approvals {
            if counts(*who) && self.members.contains(who) {
                who_signed.insert(*who);
            }
            if who_signed.len() >= self.required as usize {
                let until = *at + DELAY;
                let waits = self.loosens(wish) && now < until;
                return if waits { Says::Waiting(until) } else { Says::Ready };
            }
        }
        Says::Pending
    }
}

/// A history, what the replay made of it and what the model did.
struct Machine {
    log: History,
    governed: Governed,
    model: Model,
    /// Everybody who ever was there.
    everybody: Vec<PersonId>,
    /// The key that somebody signs with; of whoever left, too.
    keys: BTreeMap<PersonId, RosterKey>,
    /// Keys that wait for a proposal.
    new_keys: BTreeMap<ProposalId, RosterKey>,
}

impl Machine {
    fn start() -> Self {
        let (log, people) = History::founded();
        let approves_from = log.now;
        let person =
            |id: &PersonId| (*id, Person { owner: *id == people[0], keys: 1, approves_from });
        let roster = log.roster.clone();
        let model = Model {
            people: people.iter().map(person).collect(),
            revision: log.policy().revision(),
            required: 2,
            members: BTreeSet::from(people),
            frozen: false,
            waiting: BTreeMap::new(),
        };
        let keys = roster.people.into_iter().map(|mut person| (person.id, person.keys.remove(0)));
        let (governed, keys) = (log.governed().unwrap(), keys.collect());
        let (everybody, new_keys) = (people.to_vec(), BTreeMap::new());
        Self { log, governed, model, everybody, keys, new_keys }
    }

    /// Tells the log; whether the replay takes the entry.
    fn tell(&mut self, event: Event) -> bool {
        self.log.tell(event);
        let mut next = self.governed.clone();
        let taken = next.apply(self.log.entries.last().unwrap()).is_ok();
        if taken {
            self.governed = next;
        } else {
            self.log.entries.pop();
        }
        taken
    }

    fn somebody(&self, number: u8) -> PersonId {
        self.everybody[usize::from(number) % self.everybody.len()]
    }

    fn some_proposal(&self, number: u8) -> Option<ProposalId> {
        let waiting: Vec<_> = self.model.waiting.keys().copied().collect();
        (!waiting.is_empty()).then(|| waiting[usize::from(number) % waiting.len()])
    }

    fn wish(&mut self, by: u8, wish: Wish, change: Change) -> ProposalId {
        let by = self.somebody(by);
        let proposal = self.log.proposal(by, vec![change]);
        let (id, expires_at) = (proposal.id, self.log.now + LIFETIME);
        assert!(self.tell(Event::Proposed { proposal }));
        self.model.waiting.insert(id, Waiting { by, wish, expires_at, said: Vec::new() });
        id
    }

    fn say(&mut self, who: u8, which: u8, verdict: Verdict) {
        let (who, Some(id)) = (self.somebody(who), self.some_proposal(which)) else { return };
        let Some(key) = self.keys.get(&who) else { return };
        let proposal = &self.governed.proposal(id).unwrap().proposal;
        let statement = self.governed.statement(proposal, who, verdict, None).unwrap().to_bytes();
        let (key, at) = (key.credential_id.clone(), self.log.now);
        let decision = self.log.sign_with(&key, (who, verdict), Purpose::Governance, statement);
        let taken = self.tell(Event::ProposalDecided { proposal: id, decision });
        let may = match verdict {
            Verdict::Approve => self.model.approves(who, at),
            Verdict::Reject => self.model.objects(who),
        };
        assert_eq!(taken, may, "who may say it is taken, nobody else");
        if taken {
            self.model.waiting.get_mut(&id).unwrap().said.push((who, verdict, at));
        }
    }

    fn enact(&mut self, which: u8) {
        let Some(id) = self.some_proposal(which) else { return };
        let ready = self.model.says(id, self.log.now) == Says::Ready;
        assert_eq!(self.tell(Event::ProposalEnacted { proposal: id }), ready);
        if ready {
            let Waiting { by, wish, .. } = self.model.waiting.remove(&id).unwrap();
            self.model = self.model.granted(by, &wish, self.log.now).unwrap();
            if let (Wish::Key(who), Some(key)) = (wish, self.new_keys.remove(&id)) {
                self.keys.entry(who).or_insert(key);
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Join { by } => {
                let person = self.log.id();
                self.everybody.push(person);
                let change = Change::AddPerson { person, role: Role::Maintainer };
                self.wish(by, Wish::Join(person), change);
            }
            Step::Leave { by, who } => {
                let person = self.somebody(who);
                self.wish(by, Wish::Leave(person), Change::RemovePerson { person });
            }
            // One's own further key takes no quorum, which has tests of its own.
            Step::GiveKey { by, who } if self.somebody(by) != self.somebody(who) => {
                let (person, key) = (self.somebody(who), self.log.new_key(self.log.now));
                let change = Change::AddKey { person, key: key.clone() };
                let id = self.wish(by, Wish::Key(person), change);
                self.new_keys.insert(id, key);
            }
            Step::GiveKey { .. } => {}
            Step::Rules { by, required, everybody } => self.rules(by, required, everybody),
            Step::Freeze { by } => {
                self.wish(by, Wish::Freeze, Change::Freeze { scope: Scope::Everything });
            }
            Step::Unfreeze { by } => {
                self.wish(by, Wish::Unfreeze, Change::Unfreeze { scope: Scope::Everything });
            }
            Step::Sign { who, which } => self.say(who, which, Verdict::Approve),
            Step::Object { who, which } => self.say(who, which, Verdict::Reject),
            Step::Enact { which } => self.enact(which),
            Step::Wait { hours } => self.log.wait(SignedDuration::from_hours(hours.into())),
        }
        self.compare();
    }

    fn rules(&mut self, by: u8, required: u32, everybody: bool) {
        let members: BTreeSet<_> = if everybody {
            self.model.people.keys().copied().collect()
        } else {
            self.model.members.clone()
        };
        let mut draft = self.log.draft();
        (draft.required, draft.members) = (required, members.clone());
        let revision = self.model.revision + 1;
        // What no policy can say is not proposed.
        let Ok(policy) = Policy::parse(self.log.package.policy, revision, draft) else { return };
        let wish = Wish::Rules { revision, required, members };
        self.wish(by, wish, Change::SetPolicy { policy });
    }

    fn compare(&self) {
        let (model, governed, now) = (&self.model, &self.governed, self.log.now);
        let people: Vec<_> = governed.roster().unwrap().people.iter().map(|p| p.id).collect();
        assert_eq!(people, model.people.keys().copied().collect::<Vec<_>>());
        let policy = governed.policy(self.log.package.policy).unwrap();
        assert_eq!((policy.revision(), policy.required()), (model.revision, model.required));
        assert_eq!(policy.members(), &model.members);
        assert_eq!(governed.is_frozen(self.log.package.id), model.frozen);
        for id in model.waiting.keys() {
            let standing = governed.assess(governed.proposal(*id).unwrap(), now).unwrap();
            let state = match standing.state {
                ProposalState::Rejected { .. } => Says::Rejected,
                ProposalState::Expired => Says::Expired,
                ProposalState::Stale(_) => Says::Stale,
                ProposalState::Pending { .. } => Says::Pending,
                ProposalState::Waiting { until } => Says::Waiting(until),
                ProposalState::Ready => Says::Ready,
            };
            assert_eq!(state, model.says(*id, now), "{:?}", model.waiting[id]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn governance_agrees_with_its_model(steps in prop::collection::vec(step(), 1..STEPS)) {
        let mut machine = Machine::start();
        for step in &steps {
            machine.take(step);
        }
    }
}
