//! People at their prompts: a world where two of three must approve, and the pipeline's own begin
//! and finish, without pages in front of them.

use std::collections::BTreeSet;

use countersign::domain::digest::Sha256;
use countersign::domain::event::Actor;
use countersign::domain::ids::{CeremonyId, Id, PersonId, PolicyId, ReleaseId};
use countersign::domain::policy::PolicyDraft;
use countersign::domain::quorum::Verdict;
use countersign::domain::release::State;
use countersign::domain::roster::{CiIdentity, Role};
use countersign::domain::statement::Terms;
use countersign::pipeline::approval::{self, Decided};
use countersign::pipeline::governance::founding::{self, RecoverySecret};
use countersign::pipeline::people::{self, IdentityOwner};
use countersign::pipeline::signature::Signer;
use countersign::pipeline::{Error, Kind, Result, setup};
use countersign::store::{Store, Tx};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::authenticator::Authenticator;
use crate::support::governing::DELAY;
use crate::support::setup::{count, invited};
use crate::support::world::{World, npm_document, run};

/// A world with a sealed release that a bot started.
pub(crate) struct Desk {
    pub(crate) world: World,
    pub(crate) release: ReleaseId,
    members: BTreeSet<PersonId>,
}

/// Somebody with a key, in a session.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) signer: Signer,
    pub(crate) key: Authenticator,
}

/// A prompt on somebody's screen; every field is a knob for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) ceremony: CeremonyId,
    pub(crate) options: Value,
    pub(crate) release: ReleaseId,
    pub(crate) verdict: Verdict,
}

/// What a decision leaves behind, and a refusal must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traces {
    state: State,
    decisions: i64,
    entries: i64,
    jobs: i64,
}

/// The kind of a refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    match result.expect_err("a refusal") {
        Error::Refused(refusal) => refusal.kind,
        Error::Fault(fault) => panic!("{fault:?}"),
    }
}

/// Runs one statement as somebody would who has the database and nothing else.
pub(crate) async fn tamper(store: &Store, sql: &str, bytes: &[&[u8]]) -> u64 {
    let mut tx = store.begin().await.unwrap();
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let changed = match &mut tx {
        Tx::Sqlite(tx) => {
            let statement = bytes.iter().fold(sqlx::query(sql), |q, b| q.bind(b.to_vec()));
            statement.execute(&mut **tx).await.unwrap().rows_affected()
        }
        Tx::Postgres(tx) => {
            let statement = bytes.iter().fold(sqlx::query(sql), |q, b| q.bind(b.to_vec()));
            statement.execute(&mut **tx).await.unwrap().rows_affected()
        }
    };
    tx.commit().await.unwrap();
    changed
}

/// No registry was asked to store anything.
pub(crate) fn nothing_sent(world: &World) {
    for seen in [world.npm.listener.seen(), world.pypi.listener.seen()] {
        assert!(seen.iter().all(|request| request.method == "GET"), "{seen:?}");
    }
    assert_eq!(world.npm.count() + world.pypi.count(), 0);
}

impl Desk {
    /// A desk with version 1.0.0 on it, and three people who may sign; the first is an owner.
    pub(crate) async fn open(store: Store) -> (Self, [Person; 3]) {
        let world = World::start(store).await;
        let ines = Person::new(world.person("Ines Duarte").await, &world.ines.authenticator);
        let mara = Person::new(world.person("Mara Lindqvist").await, &world.mara.authenticator);
        let (by, name) = (Actor::Person(ines.id()), "Jun Watanabe".to_owned());
        let role = Role::Maintainer;
        let added = people::add_and_invite(world.store(), world.now(), by, name, role).await;
        let invited = invited(added.unwrap());
        let mut browser = world.site.browser(3);
        browser.enrol(invited.token.expose_secret()).await.ok();
        let people = [ines, mara, Person::new(invited.person, &browser.authenticator)];
        let members = people.iter().map(Person::id).collect();
        let mut desk = Self { world, release: Id::from_uuid(uuid::Uuid::nil()), members };
        desk.require(2).await;
        desk.release = desk.stage("1.0.0").await;
        (desk, people)
    }

    /// [`Self::open`], and founded by the first two.
    pub(crate) async fn founded(store: Store) -> (Self, [Person; 3]) {
        let (desk, people, _) = Self::founded_with_sheet(store).await;
        (desk, people)
    }

    /// The same, with the recovery secret that was printed.
    pub(crate) async fn founded_with_sheet(store: Store) -> (Self, [Person; 3], RecoverySecret) {
        let (desk, mut people) = Self::open(store).await;
        let [ines, mara, _] = &mut people;
        let sheet = desk.found([ines, mara]).await;
        (desk, people, sheet)
    }

    /// Ines puts what is set up before the founders, who are as many as it takes.
    pub(crate) async fn found<const N: usize>(&self, founders: [&mut Person; N]) -> RecoverySecret {
        let ines = self.world.person("Ines Duarte").await;
        let sheet = self.put_founding(ines).await.unwrap();
        let mut digest = None;
        for founder in founders {
            assert_eq!(digest, None, "one founder too many");
            digest = self.sign_founding(founder).await.unwrap();
        }
        self.world.site.app.pin_founding(digest.expect("founded")).unwrap();
        sheet
    }

    /// Somebody puts what is set up before the founders.
    pub(crate) async fn put_founding(&self, by: PersonId) -> Result<RecoverySecret> {
        let policy = self.policy().await;
        founding::put(self.store(), by, policy, DELAY, self.world.now()).await
    }

    /// A founder signs; the digest when it was the last one needed.
    pub(crate) async fn sign_founding(&self, founder: &mut Person) -> Result<Option<Sha256>> {
        let (store, now) = (self.store(), self.world.now());
        let passkeys = &self.world.site.app.passkeys;
        let (ceremony, options) = founding::begin(store, passkeys, &founder.signer, now).await?;
        let answer = (ceremony, founder.key.assert(&options));
        founding::finish(store, passkeys, &founder.signer, answer, now).await
    }

    /// The one policy.
    pub(crate) async fn policy(&self) -> PolicyId {
        self.store().snapshot().await.unwrap().policies().await.unwrap().remove(0).id()
    }

    pub(crate) fn store(&self) -> &Store {
        self.world.store()
    }

    /// The policy: so many of the three.
    pub(crate) fn draft(&self, required: u32) -> PolicyDraft {
        PolicyDraft::of("Two people", required, self.members.clone())
    }

    /// Puts the policy in force.
    pub(crate) async fn require(&self, required: u32) {
        let (policy, draft, now) = (self.policy().await, self.draft(required), self.world.now());
        setup::revise_policy(self.store(), Actor::Host, policy, draft, now).await.unwrap();
    }

    /// A version, staged and sealed.
    pub(crate) async fn stage(&self, version: &str) -> ReleaseId {
        let document = npm_document(version, version.as_bytes());
        self.world.stage_npm(run(1), &document).await.unwrap().release
    }

    /// Settles anew whose the account is that starts the runs here.
    pub(crate) async fn settle_starter(&self, owner: Option<IdentityOwner>) {
        let mut tx = self.store().begin().await.unwrap();
        let record = tx.release(self.release).await.unwrap().unwrap();
        let (identity, now): (CiIdentity, _) = (record.actor, self.world.now());
        people::unlink_ci_identity(&mut tx, now, &Actor::Host, &identity).await.unwrap();
        if let Some(owner) = owner {
            people::link_ci_identity(&mut tx, now, &Actor::Host, identity, "octo", owner)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Somebody presses the button.
    pub(crate) async fn begin(
        &self,
        who: &Person,
        release: ReleaseId,
        verdict: Verdict,
    ) -> Result<Prompt> {
        let reason = (verdict == Verdict::Reject).then(|| "not this one".to_owned());
        self.begin_with(who, release, (verdict, reason.into())).await
    }

    /// The same with whatever else the form says.
    pub(crate) async fn begin_with(
        &self,
        who: &Person,
        release: ReleaseId,
        subject: (Verdict, Terms),
    ) -> Result<Prompt> {
        let (app, verdict) = (&self.world.site.app, subject.0);
        let (ceremony, options) = approval::begin(
            self.store(),
            &app.passkeys,
            &who.signer,
            release,
            subject,
            self.world.now(),
        )
        .await?;
        Ok(Prompt { ceremony, options, release, verdict })
    }

    /// Somebody's browser sends what an authenticator made of a prompt.
    pub(crate) async fn finish(
        &self,
        who: &Person,
        prompt: &Prompt,
        credential: Value,
    ) -> Result<Decided> {
        let app = &self.world.site.app;
        let answer = (prompt.ceremony, credential);
        let subject = (prompt.release, prompt.verdict);
        approval::finish(
            self.store(),
            &app.passkeys,
            &who.signer,
            answer,
            subject,
            self.world.now(),
        )
        .await
    }

    /// Somebody presses the button and touches the key.
    pub(crate) async fn decide(
        &self,
        who: &mut Person,
        release: ReleaseId,
        verdict: Verdict,
    ) -> Result<Decided> {
        let prompt = self.begin(who, release, verdict).await?;
        let credential = who.key.assert(&prompt.options);
        self.finish(who, &prompt, credential).await
    }

    /// Somebody approves the release.
    pub(crate) async fn approve(&self, who: &mut Person) -> State {
        self.decide(who, self.release, Verdict::Approve).await.unwrap().state
    }

    /// What is there now.
    pub(crate) async fn traces(&self, release: ReleaseId) -> Traces {
        Traces {
            state: self.world.record(release).await.state,
            decisions: count(self.store(), "decisions").await,
            entries: count(self.store(), "log_entries").await,
            jobs: count(self.store(), "jobs").await,
        }
    }

    /// An answer must be refused, leave nothing behind, and use its ceremony up.
    pub(crate) async fn refuses(&self, who: &Person, prompt: &Prompt, credential: Value) -> Kind {
        let before = self.traces(prompt.release).await;
        let kind = refused(self.finish(who, prompt, credential).await);
        assert_eq!(self.traces(prompt.release).await, before);
        assert_eq!(count(self.store(), "ceremonies").await, 0, "used up");
        kind
    }
}

impl Person {
    fn new(person: PersonId, key: &Authenticator) -> Self {
        let signer = Signer { person, session: Sha256::of(person.as_bytes()), place: None };
        Self { signer, key: key.clone() }
    }

    pub(crate) fn id(&self) -> PersonId {
        self.signer.person
    }
}
