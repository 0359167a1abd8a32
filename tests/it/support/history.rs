//! Logs of installations that never were: sound ones, with real signatures, told as a story.
//!
//! A verb appends what the gateway would append, and keeps books of its own, so that nothing a test
//! expects comes from the replay under test. A log that is not sound is a sound one that was
//! altered afterwards, in [`History::entries`] or by [`History::forge`].

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::artifact::ArtifactKind;
use countersign::domain::assertion::{CoseKey, CredentialId, Intent, Nonce, Purpose};
use countersign::domain::authorise::{
    Authorised, NotAuthorised, Standing, Trust, authorise, standing,
};
use countersign::domain::decision::{Decision, Discount};
use countersign::domain::digest::Sha256;
use countersign::domain::event::{
    Actor, Event, LogEntry, PackageRecord, SealedBecause, UpstreamRecord,
};
use countersign::domain::ids::{Id, InstanceId, PersonId, PolicyId, ReleaseId};
use countersign::domain::manifest::{Destination, FORMAT, Manifest, ManifestFile, SealedManifest};
use countersign::domain::package::Ecosystem;
use countersign::domain::policy::{Policy, PolicyDraft};
use countersign::domain::quorum::Verdict;
use countersign::domain::review::report::{Inspection, Override};
use countersign::domain::roster::{self, CiIdentity, Role, Roster, RosterKey, RosterPerson};
use countersign::domain::statement::{Circumstances, Statement, Terms};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::support::authenticator::Authenticator;

/// Where these installations are.
pub(crate) const ORIGIN: &str = "https://gate.example";

/// An account at the CI system.
pub(crate) fn ci(actor_id: &str) -> CiIdentity {
    CiIdentity { issuer: "https://ci.example".to_owned(), actor_id: actor_id.to_owned() }
}

/// The account that starts nightly runs; [`History::found`] declares it a bot.
pub(crate) fn bot() -> CiIdentity {
    ci("9000")
}

/// Whose approvals authorise a release, or why it is not authorised.
pub(crate) type Decided = Result<BTreeSet<PersonId>, NotAuthorised>;

/// These people's approvals do.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside the refusals")]
pub(crate) fn by<const N: usize>(people: [PersonId; N]) -> Decided {
    Ok(BTreeSet::from(people))
}

/// So many approvals are missing.
pub(crate) fn pending(missing: u32) -> Decided {
    Err(NotAuthorised::Pending { missing })
}

/// A log and what its teller knows about it.
#[derive(Clone)]
pub(crate) struct History {
    /// The log. Sound until a test alters it.
    pub(crate) entries: Vec<LogEntry>,
    /// When the next entry is made; each takes a second.
    pub(crate) now: Timestamp,
    /// In force.
    pub(crate) roster: Roster,
    /// In force, each.
    pub(crate) policies: BTreeMap<PolicyId, Policy>,
    /// The one package.
    pub(crate) package: PackageRecord,
    /// Where it goes.
    pub(crate) upstream: UpstreamRecord,
    /// The release sealed last.
    pub(crate) seal: Option<Seal>,
    /// Names the installation.
    pub(crate) instance: InstanceId,
    /// What is pinned of its founding.
    pub(crate) founding: Option<Sha256>,
    /// What is found in the next release.
    pub(crate) findings: Vec<String>,
    authenticators: Vec<Authenticator>,
    ids: u128,
}

/// What a seal fixed.
#[derive(Clone)]
pub(crate) struct Seal {
    /// What was sealed.
    pub(crate) manifest: SealedManifest,
    /// Nothing is sent from then on.
    pub(crate) expires_at: Timestamp,
    /// What was found in it, once it was inspected.
    pub(crate) inspection: Option<Inspection>,
}

/// A decision before it is signed; every field is a knob.
#[derive(Clone)]
pub(crate) struct Signing {
    /// Whose decision it is said to be.
    pub(crate) person: PersonId,
    /// What it is said to be.
    pub(crate) verdict: Verdict,
    /// What is shown and signed.
    pub(crate) statement: Statement,
    /// What the signature is for.
    pub(crate) purpose: Purpose,
    /// Which key signs.
    pub(crate) key: CredentialId,
}

/// The telling.
impl History {
    /// An installation with a bot, a registry, a package, and a policy that `required` of nobody
    /// yet must approve: see [`Self::begin`] for one that can do something.
    fn found() -> Self {
        let mut ids = 0;
        let instance = next(&mut ids);
        let upstream = UpstreamRecord {
            id: next(&mut ids),
            kind: Ecosystem::Pypi,
            url: "https://index.example/legacy/".to_owned(),
            simple_url: None,
            files_url: None,
            allow_private: false,
        };
        let package = PackageRecord {
            id: next(&mut ids),
            ecosystem: Ecosystem::Pypi,
            name: "hello-wire".to_owned(),
            upstream: upstream.id,
            policy: next(&mut ids),
            access: None,
        };
        let mut log = Self {
            entries: Vec::new(),
            now: Timestamp::from_second(1_900_000_000).unwrap(),
            roster: Roster { revision: 0, people: Vec::new(), bots: Vec::new() },
            policies: BTreeMap::new(),
            package,
            upstream,
            seal: None,
            instance,
            founding: None,
            findings: Vec::new(),
            authenticators: Vec::new(),
            ids,
        };
        log.tell(Event::Genesis { instance, origin: ORIGIN.to_owned() });
        log.revise_roster(|roster| roster.bots.push(bot()));
        log
    }

    /// The usual beginning: three maintainers, a package of which `required` of them must approve
    /// each release, and no release yet.
    pub(crate) fn begin(required: u32) -> (Self, [PersonId; 3]) {
        let mut log = Self::found();
        let people = [(); 3].map(|()| log.join(Role::Maintainer));
        let members = BTreeSet::from(people);
        let draft = PolicyDraft::of("Release policy", required, members);
        log.set_policy(log.package.policy, draft);
        log.move_upstream(|_| {});
        log.move_package(|_| {});
        (log, people)
    }

    /// [`Self::begin`] with two required, and a release that a bot started.
    pub(crate) fn sealed() -> (Self, [PersonId; 3]) {
        let (mut log, people) = Self::begin(2);
        log.seal(bot());
        (log, people)
    }

    /// Appends an event.
    pub(crate) fn tell(&mut self, event: Event) {
        // Entries about other releases may have been left out.
        let sequence = self.entries.last().map_or(0, |last| last.sequence + 1);
        self.entries.push(LogEntry { sequence, at: self.now, event });
        self.wait(SignedDuration::from_secs(1));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: SignedDuration) {
        self.now += time;
    }

    /// A new identifier, above all before it.
    pub(crate) fn id<K>(&mut self) -> Id<K> {
        next(&mut self.ids)
    }

    /// Alters the log as somebody would who can write anything but signatures: the positions are
    /// right again afterwards.
    pub(crate) fn forge(&mut self, alter: impl FnOnce(&mut Vec<LogEntry>)) {
        alter(&mut self.entries);
        for (sequence, entry) in (0..).zip(&mut self.entries) {
            entry.sequence = sequence;
        }
    }

    /// The positions of all entries of a kind.
    pub(crate) fn positions(&self, kind: &str) -> Vec<usize> {
        let kinds = self.entries.iter().map(|entry| entry.event.kind());
        (0..).zip(kinds).filter(|(_, found)| *found == kind).map(|(position, _)| position).collect()
    }
}

/// People and their keys.
impl History {
    /// Puts the next revision of the roster in force.
    pub(crate) fn revise_roster(&mut self, change: impl FnOnce(&mut Roster)) {
        change(&mut self.roster);
        self.roster.revision += 1;
        self.tell(Event::RosterRevised { roster: self.roster.clone(), by: Actor::Host });
    }

    /// Changes one person on the roster.
    pub(crate) fn change(&mut self, id: PersonId, change: impl FnOnce(&mut RosterPerson)) {
        self.revise_roster(|roster| {
            change(roster.people.iter_mut().find(|person| person.id == id).unwrap());
        });
    }

    /// Somebody joins, with one key.
    pub(crate) fn join(&mut self, role: Role) -> PersonId {
        let id = self.id();
        let key = self.new_key(self.now);
        let person = RosterPerson { id, role, keys: vec![key], ci_identities: Vec::new() };
        self.revise_roster(|roster| roster.people.push(person));
        id
    }

    /// Somebody leaves.
    pub(crate) fn leave(&mut self, id: PersonId) {
        self.revise_roster(|roster| roster.people.retain(|person| person.id != id));
    }

    /// A key that nobody has yet.
    pub(crate) fn new_key(&mut self, counts_from: Timestamp) -> RosterKey {
        let seed = u8::try_from(self.authenticators.len() + 1).unwrap();
        let authenticator = Authenticator::new(seed, ORIGIN);
        let key = RosterKey {
            credential_id: CredentialId::from_bytes(authenticator.id.clone()).unwrap(),
            public_key: CoseKey::parse(&authenticator.public_key()).unwrap(),
            authenticator: roster::Authenticator::default(),
            counts_from,
        };
        self.authenticators.push(authenticator);
        key
    }

    /// Somebody gets one more key.
    pub(crate) fn add_key(&mut self, id: PersonId, counts_from: Timestamp) -> CredentialId {
        let key = self.new_key(counts_from);
        let credential_id = key.credential_id.clone();
        self.change(id, |person| person.keys.push(key));
        credential_id
    }

    /// A CI identity becomes somebody's.
    pub(crate) fn link(&mut self, id: PersonId, identity: CiIdentity) {
        self.change(id, |person| person.ci_identities.push(identity));
    }

    /// Somebody's first key.
    pub(crate) fn key_of(&self, id: PersonId) -> CredentialId {
        self.roster.person(id).unwrap().keys[0].credential_id.clone()
    }
}

/// Rules and destinations.
impl History {
    /// Puts a policy in force, or its next revision.
    pub(crate) fn set_policy(&mut self, id: PolicyId, draft: PolicyDraft) {
        let revision = self.policies.get(&id).map_or(1, |policy| policy.revision() + 1);
        let policy = Policy::parse(id, revision, draft).unwrap();
        self.policies.insert(id, policy.clone());
        self.tell(Event::PolicyRevised { policy, by: Actor::Host });
    }

    /// Puts the next revision of the package's policy in force.
    pub(crate) fn revise_policy(&mut self, change: impl FnOnce(&mut PolicyDraft)) {
        let mut draft = self.draft();
        change(&mut draft);
        self.set_policy(self.package.policy, draft);
    }

    /// The package's policy, in force.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policies[&self.package.policy]
    }

    /// The package's policy as it would be typed again.
    pub(crate) fn draft(&self) -> PolicyDraft {
        self.policy().draft()
    }

    /// The package changes.
    pub(crate) fn move_package(&mut self, change: impl FnOnce(&mut PackageRecord)) {
        change(&mut self.package);
        self.tell(Event::PackageRevised { package: self.package.clone(), by: Actor::Host });
    }

    /// The upstream changes.
    pub(crate) fn move_upstream(&mut self, change: impl FnOnce(&mut UpstreamRecord)) {
        change(&mut self.upstream);
        self.tell(Event::UpstreamRevised { upstream: self.upstream.clone(), by: Actor::Host });
    }
}

/// Releases and decisions.
impl History {
    /// A release of one wheel arrives and is sealed, and nothing is found in it.
    pub(crate) fn seal(&mut self, started_by: CiIdentity) -> ReleaseId {
        let release = self.seal_only(started_by);
        self.inspect(&[], &[]);
        release
    }

    /// The same, and nobody looks inside yet.
    pub(crate) fn seal_only(&mut self, started_by: CiIdentity) -> ReleaseId {
        let (release, publisher): (ReleaseId, _) = (self.id(), self.id());
        let version = format!("1.0.{}", self.ids);
        let wheel = Sha256::of(version.as_bytes());
        let name = format!("hello_wire-{version}-py3-none-any.whl");
        let file = ManifestFile {
            name: name.clone(),
            kind: ArtifactKind::Wheel,
            size_bytes: 9,
            sha256: wheel,
            sha512: None,
            document_sha256: Sha256::of(b"document"),
        };
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            instance: self.instance,
            release,
            ecosystem: Ecosystem::Pypi,
            package_id: self.package.id,
            package: self.package.name.clone(),
            version: version.clone(),
            destination: Destination { upstream: self.upstream.id, url: self.upstream.url.clone() },
            npm: None,
            files: vec![file],
            findings: self.findings.clone(),
            claims_sha256: Sha256::of(b"claims"),
        };
        let package = self.package.id;
        self.tell(Event::ReleaseOpened { release, package, version, publisher });
        self.tell(Event::ArtifactStaged { release, name, size_bytes: 9, sha256: wheel });
        self.tell_seal(manifest.seal(), started_by);
        release
    }

    fn tell_seal(&mut self, manifest: SealedManifest, started_by: CiIdentity) {
        let expires_at = self.now + self.policy().expiry();
        self.tell(Event::ReleaseSealed {
            release: manifest.manifest().release,
            package: self.package.id,
            manifest: String::from_utf8(manifest.bytes().to_vec()).unwrap(),
            started_by,
            policy: self.package.policy,
            policy_revision: self.policy().revision(),
            expires_at,
            because: SealedBecause::Quiet,
        });
        self.seal = Some(Seal { manifest, expires_at, inspection: None });
    }

    /// The gateway looks into the release sealed last; every report is another one.
    pub(crate) fn inspect(&mut self, blocks: &[&str], looks: &[&str]) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let report = format!("report {}", self.entries.len());
        let inspection = Inspection {
            report_sha256: Sha256::of(report.as_bytes()),
            blocks: names(blocks),
            looks: names(looks),
        };
        self.tell(Event::ReleaseInspected {
            release: self.release(),
            report_sha256: inspection.report_sha256,
            blocks: inspection.blocks.clone(),
            looks: inspection.looks.clone(),
        });
        self.seal.as_mut().expect("a release was sealed").inspection = Some(inspection);
    }

    /// The release sealed last.
    pub(crate) fn release(&self) -> ReleaseId {
        self.sealed_release().manifest.manifest().release
    }

    /// What was sealed last.
    pub(crate) fn sealed_release(&self) -> &Seal {
        self.seal.as_ref().expect("a release was sealed")
    }

    /// What somebody with a key would sign about that release now, with their first key: an
    /// approval answers everything that was found.
    pub(crate) fn signing(&self, person: PersonId, verdict: Verdict) -> Signing {
        let Seal { manifest, expires_at, inspection } = self.sealed_release();
        let at = Circumstances {
            origin: ORIGIN,
            manifest,
            report: inspection.as_ref().map(|inspection| inspection.report_sha256),
            policy: self.policy(),
            roster: &self.roster,
            not_after: *expires_at,
        };
        let (purpose, terms) = match verdict {
            Verdict::Approve => (Purpose::Approve, answers(inspection.as_ref())),
            Verdict::Reject => {
                (Purpose::Reject, Terms::from(Some("the changelog is missing".to_owned())))
            }
        };
        let statement = Statement::new(at, person, verdict, terms);
        Signing { person, verdict, statement, purpose, key: self.key_of(person) }
    }

    /// Signs.
    pub(crate) fn sign(&mut self, signing: &Signing) -> Decision {
        let (who, statement) = ((signing.person, signing.verdict), signing.statement.to_bytes());
        self.sign_with(&signing.key, who, signing.purpose, statement)
    }

    /// Somebody signs any bytes, with their first key.
    pub(crate) fn sign_bytes(
        &mut self,
        who: (PersonId, Verdict),
        purpose: Purpose,
        statement: Vec<u8>,
    ) -> Decision {
        self.sign_with(&self.key_of(who.0), who, purpose, statement)
    }

    /// A key signs any bytes.
    pub(crate) fn sign_with(
        &mut self,
        key: &CredentialId,
        (person, verdict): (PersonId, Verdict),
        purpose: Purpose,
        statement: Vec<u8>,
    ) -> Decision {
        let intent = Intent { purpose, statement: Sha256::of(&statement) };
        let id = self.id();
        let nonce = Nonce::from_bytes(*Sha256::of(id.to_string().as_bytes()).as_bytes());
        let holds = |held: &&mut Authenticator| held.id == key.as_bytes();
        let key = self.authenticators.iter_mut().find(holds).expect("a key made here");
        Decision {
            batch: None,
            id,
            person,
            verdict,
            statement: String::from_utf8(statement).unwrap(),
            nonce,
            assertion: key.sign(&intent, &nonce),
        }
    }

    /// Records a decision about the release sealed last.
    pub(crate) fn record(&mut self, decision: Decision) {
        self.tell(Event::Decided { release: self.release(), decision });
    }

    /// Signs and records.
    pub(crate) fn decide(&mut self, signing: &Signing) {
        let decision = self.sign(signing);
        self.record(decision);
    }

    /// Somebody approves.
    pub(crate) fn approve(&mut self, person: PersonId) {
        self.decide(&self.signing(person, Verdict::Approve));
    }

    /// Somebody objects; what the gateway makes of it is not told.
    pub(crate) fn object(&mut self, person: PersonId) {
        self.decide(&self.signing(person, Verdict::Reject));
    }
}

/// The answers under test, about the release sealed last.
impl History {
    /// Whether a release may go out now.
    pub(crate) fn authorise(&self, release: ReleaseId) -> Result<Authorised, NotAuthorised> {
        match self.judge(release, self.now) {
            // Whether it is founded is a question of its own: everything else was fine.
            Err(NotAuthorised::Unfounded) => self.clone().founded_now().judge(release, self.now),
            judged => judged,
        }
    }

    /// What is decided from this log as it is, founded or not.
    pub(crate) fn judge(
        &self,
        release: ReleaseId,
        now: Timestamp,
    ) -> Result<Authorised, NotAuthorised> {
        let genesis = self.entries.first().map(LogEntry::to_bytes).unwrap_or_default();
        let trust = Trust { genesis: Sha256::of(&genesis), founding: self.founding };
        authorise(&self.entries, trust, release, now)
    }

    /// What is decided about it now.
    pub(crate) fn verdict(&self) -> Decided {
        self.authorise(self.release()).map(|authorised| authorised.quorum().counted().clone())
    }

    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing {
        standing(&self.entries, self.release(), self.now).expect("a sound log")
    }

    /// Whose decisions do not count, and why.
    pub(crate) fn discounted(&self) -> Vec<(PersonId, Discount)> {
        let discounted = self.standing().discounted;
        discounted.into_iter().map(|one| (one.person, one.why)).collect()
    }
}

/// Every look ticked, every block overridden.
fn answers(inspection: Option<&Inspection>) -> Terms {
    let Some(inspection) = inspection else { return Terms::default() };
    let words = |finding: &String| Override {
        finding: finding.clone(),
        words: "read it line by line".to_owned(),
    };
    Terms {
        looked_at: inspection.looks.iter().cloned().collect(),
        overrides: inspection.blocks.iter().map(words).collect(),
        ..Terms::default()
    }
}

fn next<K>(ids: &mut u128) -> Id<K> {
    *ids += 1;
    Id::from_uuid(Uuid::from_u128(*ids))
}
