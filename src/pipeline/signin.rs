//! From claim code to signed-in session: claiming, enrolling, signing in and out.
//!
//! Every WebAuthn exchange is a row between begin and finish. A finish first takes the row out and
//! commits that (W3); what follows happens in a second transaction, so an answer that is refused
//! cannot be given again.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain;
use crate::domain::assertion::{Intent, Nonce, Purpose};
use crate::domain::digest::Sha256;
use crate::domain::event::{Actor, Event};
use crate::domain::governed::Governed;
use crate::domain::ids::{CeremonyId, InvitationId, PasskeyId, PersonId, ProposalId};
use crate::domain::package::excerpt;
use crate::domain::proposal::Change;
use crate::domain::roster::{NEVER, Role, RosterKey};
use crate::entropy;
use crate::passkeys::{
    ASSERT_LIFETIME, AssertState, ENROL_LIFETIME, EnrolState, NewPasskey, PasskeyFault,
    PasskeyRefusal, Passkeys, PresentedAssertion,
};
use crate::pipeline::governance::{self, Wanted, enter, governed_alone};
use crate::pipeline::people::{
    Invited, add_person, invite, open_invitation, revise_roster, token_hash, verifier_form,
};
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, refuse, transaction};
use crate::store::instance::NewInstance;
use crate::store::signin::{Ceremony, CeremonyPurpose, NewPasskeyRow, NewSession, PasskeyRecord};
use crate::store::{Store, Tx};

pub use crate::store::signin::SessionRecord as Session;

/// Wrong claim codes until a new code is written. One try in 2^50 hits.
pub const CLAIM_TRIES_MAX: u32 = 10;
/// A session ends when nothing was asked for so long (S1).
pub const SESSION_IDLE: SignedDuration = SignedDuration::from_mins(30);
/// A session ends so long after its beginning, whatever happens (S1).
pub const SESSION_LIFETIME: SignedDuration = SignedDuration::from_hours(12);
/// Sessions of one person; an eleventh ends the oldest.
pub const SESSIONS_MAX: u32 = 10;
/// Passkeys of one person. More than a few devices in one hand is a mistake.
pub const KEYS_MAX: usize = 20;
/// Longest name of a passkey in characters.
pub const KEY_NAME_MAX: usize = 60;
/// Longest page to return to after signing in, in bytes.
pub const NEXT_MAX: usize = 512;
/// Sign-ins that may be open at once, by passkey and by single sign-on. They belong to nobody yet, so
/// without a bound anybody could fill the database.
pub const SIGN_INS_OPEN_MAX: u64 = 10_000;
/// A session's last use is written at most this often, so that reading pages seldom writes.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A code that lets whoever reads the server's log or data folder name the first person.
#[derive(Debug, Clone)]
pub struct ClaimCode(SecretString);

impl ClaimCode {
    /// Letters and digits that nobody mistakes for one another, on screen or by phone.
    const LETTERS: &[u8; 22] = b"ACDEFHJKMNPQRTVWXY3479";
    /// Twelve letters are 53 bits.
    const LENGTH: usize = 12;

    fn draw() -> Result<Self> {
        // 242 is the largest multiple of 22 in a byte; what is above would favor some letters.
        let mut letters = String::new();
        while letters.len() < Self::LENGTH {
            let fair = entropy::bytes::<32>()?.into_iter().filter(|byte| *byte < 242);
            let drawn = fair.map(|byte| char::from(Self::LETTERS[usize::from(byte % 22)]));
            letters.extend(drawn.take(Self::LENGTH - letters.len()));
        }
        Ok(Self(letters.into()))
    }

    /// The code in three groups of four letters.
    pub fn expose(&self) -> String {
        let letters = self.0.expose_secret();
        [&letters[..4], &letters[4..8], &letters[8..]].join("-")
    }

    fn hash(&self) -> Sha256 {
        Sha256::of(self.0.expose_secret().as_bytes())
    }

    /// The hash of a code as typed: in any case, with or without its dashes.
    fn hash_typed(text: &str) -> Sha256 {
        let letters: String = text
            .chars()
            .take(4 * Self::LENGTH)
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect();
        Sha256::of(letters.as_bytes())
    }
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The first person is named and invited.
    Accepted(Invited),
    /// It was another code, or the installation is claimed; callers say the same for both, so that
    /// unclaimed installations cannot be searched for.
    Refused {
        /// The code that replaces the old one after too many tries; to be announced on the host.
        renewed: Option<ClaimCode>,
    },
}

/// A ceremony that a browser can answer now.
#[derive(Debug)]
pub struct Begun {
    /// Comes back with the answer.
    pub ceremony: CeremonyId,
    /// The `publicKey` options for the browser.
    pub options: serde_json::Value,
}

/// A browser's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which ceremony it answers.
    pub ceremony: CeremonyId,
    /// The `toJSON()` of the credential.
    pub credential: serde_json::Value,
    /// What browser and system call themselves; for people, and proves nothing.
    pub browser: String,
    /// Who is signed in there.
    pub signed_in: Option<PersonId>,
}

/// How a session is opened.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    /// The passkey's name, or the issuer that vouched.
    pub(super) with: String,
    /// What browser and system call themselves.
    pub(super) browser: String,
    /// It will read and change nothing.
    pub(super) reads_only: bool,
}

impl Opening {
    /// As the session before it was opened, in the same browser.
    fn like(session: Session) -> Self {
        let Session { opened_with: with, browser, reads_only, .. } = session;
        Self { with, browser, reads_only }
    }
}

/// A session that just began. Its secret is nowhere else.
#[derive(Debug)]
pub struct Started {
    /// The cookie's value.
    pub token: SecretString,
    /// Who is signed in.
    pub person: PersonId,
    /// The page asked for before signing in: a path on this site, checked.
    pub next: Option<String>,
    /// The proposal that the change became.
    pub proposal: Option<ProposalId>,
}

/// A ceremony's state in the database, with the one text that the page sent at the beginning.
#[derive(Serialize, Deserialize)]
struct Kept<S> {
    text: Option<String>,
    state: S,
}

impl<S: Serialize + serde::de::DeserializeOwned> Kept<S> {
    fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Fault::new("writing a ceremony", error).into())
    }

    fn read(ceremony: &Ceremony) -> Result<Self> {
        serde_json::from_str(&ceremony.state)
            .map_err(|error| Fault::new("reading a ceremony", error).into())
    }
}

/// What a sign-in signs. It says nothing but where and which.
#[derive(Serialize)]
struct SignInStatement<'a> {
    format: &'static str,
    origin: &'a str,
    ceremony: CeremonyId,
}

fn sign_in_statement(passkeys: &Passkeys, ceremony: CeremonyId) -> Vec<u8> {
    let origin = passkeys.relying_party().origin();
    let statement = SignInStatement { format: "countersign/sign-in/v1", origin, ceremony };
    domain::canonical(&statement)
}

/// Founds the installation at its first start. While nobody has claimed it, every start puts a new
/// claim code in place and returns it, for the caller to announce on the host.
pub async fn found_instance(
    store: &Store,
    origin: String,
    now: Timestamp,
) -> Result<Option<ClaimCode>> {
    let code = ClaimCode::draw()?;
    let new = NewInstance { id: entropy::id(now)?, origin, claim_hash: code.hash() };
    transaction(store, move |tx| {
        Box::pin(async move {
            if tx.found(&new, now).await? {
                return Ok(Some(code));
            }
            let instance = tx
                .instance()
                .await?
                .ok_or_else(|| Fault::new("founding the installation", "its row is gone"))?;
            if instance.origin != new.origin {
                // Passkeys are bound to the origin and signatures name it.
                return refuse(
                    Kind::BadInput,
                    format!(
                        "expected the origin {}, for which this installation was founded, received `{}`",
                        instance.origin, new.origin
                    ),
                );
            }
            Ok(tx.replace_claim_code(&new.claim_hash).await?.then_some(code))
        })
    })
    .await
}

/// Claims the installation: names its first person, an owner, and invites them.
pub async fn claim(store: &Store, code: &str, name: String, now: Timestamp) -> Result<Claim> {
    let hash = ClaimCode::hash_typed(code);
    let next = ClaimCode::draw()?;
    transaction(store, move |tx| {
        Box::pin(async move {
            if tx.use_claim_code(&hash, now).await? {
                // A refused name rolls the claim back, and the code can be used again.
                let person = add_person(tx, now, &Actor::Host, &name, Role::Owner).await?;
                let invited = invite(tx, now, &Actor::Host, person.value).await?;
                return Ok(Claim::Accepted(invited));
            }
            let tries = tx.count_claim_try().await?.unwrap_or(0);
            let renewed = tries >= CLAIM_TRIES_MAX && tx.replace_claim_code(&next.hash()).await?;
            Ok(Claim::Refused { renewed: renewed.then_some(next) })
        })
    })
    .await
}

/// Begins a passkey by invitation. `key_name` is what its owner will call it.
pub async fn begin_enrol(
    store: &Store,
    passkeys: &Passkeys,
    token: String,
    key_name: Option<String>,
    now: Timestamp,
) -> Result<Begun> {
    let passkeys = passkeys.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            let invitation = open_invitation(tx, &token, now).await?;
            let owner = KeyOwner {
                person: invitation.person,
                name: invitation.person_name,
                session: None,
                invitation: Some(invitation.id),
            };
            owner.begin(tx, &passkeys, key_name, now).await
        })
    })
    .await
}

/// Finishes a passkey by invitation: the invitation is used, and the person is signed in. Whoever
/// had joined before lost their keys, which the new one replaces (W14). Until others signed for the
/// new key, its session reads and changes nothing: it was opened by whoever held the invitation.
pub async fn finish_enrol(
    store: &Store,
    passkeys: &Passkeys,
    token: String,
    answer: Answer,
    now: Timestamp,
) -> Result<Started> {
    let ceremony = take(store, answer.ceremony, CeremonyPurpose::Enrol, now).await?;
    let (key, key_name) = finish_key(passkeys, &ceremony, &answer, now)?;
    transaction(store, move |tx| {
        Box::pin(async move {
            let invitation = open_invitation(tx, &token, now).await?;
            let person = invitation.person;
            if ceremony.invitation != Some(invitation.id) || ceremony.person != Some(person) {
                return over();
            }
            if tx.use_invitation(invitation.id, now).await? != Some(person) {
                return refuse(Kind::Gone, "this invitation was used a moment ago");
            }
            let replaces = !tx.mark_joined(person, now).await?;
            let beside = answer.signed_in.filter(|other| *other != person);
            let with = insert_key(tx, (person, beside), &key, key_name, now).await?;
            let entering = Entering { by: invitation.invited_by, person, beside, replaces };
            let proposal = enter_key(tx, entering, &key, now).await?;
            let opening = Opening { with, browser: answer.browser, reads_only: proposal.is_some() };
            let started = start_session(tx, person, opening, None, now).await?;
            Ok(Started { proposal, ..started })
        })
    })
    .await
}

/// Begins one more passkey for whoever is signed in.
pub async fn begin_add_key(
    store: &Store,
    passkeys: &Passkeys,
    session: &Session,
    key_name: Option<String>,
    now: Timestamp,
) -> Result<Begun> {
    let (passkeys, session) = (passkeys.clone(), session.clone());
    transaction(store, move |tx| {
        Box::pin(async move {
            let session = still_live(tx, &session, now).await?;
            let owner = KeyOwner {
                person: session.person,
                name: session.name,
                session: Some(session.hash),
                invitation: None,
            };
            owner.begin(tx, &passkeys, key_name, now).await
        })
    })
    .await
}

/// Finishes one more passkey. Every session of the person ends and a new one begins (S1).
pub async fn finish_add_key(
    store: &Store,
    passkeys: &Passkeys,
    session: &Session,
    answer: Answer,
    now: Timestamp,
) -> Result<Started> {
    let ceremony = take(store, answer.ceremony, CeremonyPurpose::AddKey, now).await?;
    if ceremony.session != Some(session.hash) || ceremony.person != Some(session.person) {
        return over();
    }
    let (key, key_name) = finish_key(passkeys, &ceremony, &answer, now)?;
    let session = session.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            let session = still_live(tx, &session, now).await?;
            let person = session.person;
            insert_key(tx, (person, None), &key, key_name, now).await?;
            let entering = Entering { by: Some(person), person, beside: None, replaces: false };
            let proposal = enter_key(tx, entering, &key, now).await?;
            tx.end_sessions_of(person).await?;
            let started = start_session(tx, person, Opening::like(session), None, now).await?;
            Ok(Started { proposal, ..started })
        })
    })
    .await
}

/// Revokes one of the signed-in person's passkeys, at once (Q20). The last one that works stays.
/// Every session of the person ends and a new one begins (S1).
pub async fn remove_key(
    store: &Store,
    session: &Session,
    key: PasskeyId,
    now: Timestamp,
) -> Result<Started> {
    let session = session.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            tx.lock_log().await?;
            let session = still_live(tx, &session, now).await?;
            let person = session.person;
            let kept = tx.kept_passkeys_of(person).await?;
            let Some(leaving) = kept.iter().find(|kept| kept.id == key) else {
                return refuse(
                    Kind::NotFound,
                    format!("expected one of your keys, received `{key}`"),
                );
            };
            if leaving.counts_from == NEVER {
                return refuse(
                    Kind::Conflict,
                    "this key waits for a proposal, take that back instead",
                );
            }
            let mut others = tx.passkeys_of(person).await?;
            others.retain(|kept| kept.id != key && kept.counts_from < NEVER);
            if others.is_empty() {
                return refuse(
                    Kind::Conflict,
                    "your only key cannot be removed, add another first",
                );
            }
            let credential_id = leaving.credential_id.clone();
            let change = Change::RevokeKey { person, credential_id };
            let by = Actor::Person(person);
            let proposal = enter(tx, &by, vec![Wanted::plain(change)], now).await?;
            tx.end_sessions_of(person).await?;
            let started = start_session(tx, person, Opening::like(session), None, now).await?;
            Ok(Started { proposal, ..started })
        })
    })
    .await
}

/// Begins a sign-in. `next` is the page to go to afterwards; one that is not a path on this site
/// is forgotten.
pub async fn begin_sign_in(
    store: &Store,
    passkeys: &Passkeys,
    next: Option<String>,
    now: Timestamp,
) -> Result<Begun> {
    let id: CeremonyId = entropy::id(now)?;
    let statement = sign_in_statement(passkeys, id);
    let nonce = Nonce::from_bytes(entropy::bytes()?);
    let (options, state) =
        passkeys.begin_sign_in(Sha256::of(&statement), nonce).map_err(not_begun)?;
    let kept = Kept { text: next.filter(|next| is_own_path(next)), state };
    let ceremony = Ceremony {
        id,
        purpose: CeremonyPurpose::SignIn,
        person: None,
        session: None,
        invitation: None,
        release: None,
        proposal: None,
        nonce: Some(nonce),
        statement: Some(statement),
        state: kept.to_json()?,
        created_at: now,
        expires_at: after(now, ASSERT_LIFETIME),
    };
    transaction(store, move |tx| {
        Box::pin(async move {
            if tx.open_sign_ins(now).await? >= SIGN_INS_OPEN_MAX {
                return refuse(Kind::TooMany, "too many people are signing in, try again soon");
            }
            tx.insert_ceremony(&ceremony).await?;
            Ok(())
        })
    })
    .await?;
    Ok(Begun { ceremony: id, options })
}

/// Finishes a sign-in. The session in the browser before it, if any, ends.
pub async fn finish_sign_in(
    store: &Store,
    passkeys: &Passkeys,
    answer: Answer,
    previous: Option<Session>,
    now: Timestamp,
) -> Result<Started> {
    let ceremony = take(store, answer.ceremony, CeremonyPurpose::SignIn, now).await?;
    let Kept { text: next, state } = Kept::<AssertState>::read(&ceremony)?;
    let presented = PresentedAssertion::parse(&answer.credential)
        .map_err(|refusal| not_accepted(Kind::BadInput, &refusal))?;
    let statement = Sha256::of(&sign_in_statement(passkeys, ceremony.id));
    let intent = Intent { purpose: Purpose::SignIn, statement };
    let passkeys = passkeys.clone();
    // A refusal inside `Ok`: a suspension is kept although the caller is refused.
    let outcome: std::result::Result<Started, Refusal> = transaction(store, move |tx| {
        Box::pin(async move {
            let Some(key) = tx.usable_passkey_locked(presented.credential_id()).await? else {
                return refuse(
                    Kind::NotAuthenticated,
                    "no passkey of this installation was used, or one that is suspended or revoked",
                );
            };
            let stored = verifier_form(&key)?;
            let accepted = match passkeys.finish_assert(&state, &intent, &stored, &presented) {
                Ok(accepted) => accepted,
                Err(refusal) => {
                    suspend_on_alarm(tx, &key, &refusal, now).await?;
                    return Ok(Err(Refusal::new(Kind::NotAuthenticated, refusal.to_string())));
                }
            };
            let form = serde_json::to_string(accepted.stored())
                .map_err(|error| Fault::new("writing a passkey", error))?;
            let counter = accepted.verified().counter;
            if !tx.advance_counter(key.id, key.counter, counter, &form, now).await? {
                return refuse(Kind::Conflict, "this passkey was used a moment ago, begin again");
            }
            if let Some(previous) = previous {
                tx.end_session(&previous.hash).await?;
            }
            // A key whose proposal waits was made by whoever held an invitation.
            let reads_only = key.counts_from == NEVER;
            let opening = Opening { with: key.name, browser: answer.browser, reads_only };
            start_session(tx, key.person, opening, next, now).await.map(Ok)
        })
    })
    .await?;
    outcome.map_err(Error::from)
}

/// The live session behind a cookie's value.
pub async fn session(store: &Store, token: &str, now: Timestamp) -> Result<Option<Session>> {
    let hash = Sha256::of(token.as_bytes());
    let mut tx = store.snapshot().await?;
    let session = tx.live_session(&hash, now - SESSION_IDLE, now).await?;
    drop(tx);
    let Some(session) = session else { return Ok(None) };
    // Where nothing may be written, people can still look (K6).
    if session.seen_at + TOUCH_EVERY <= now && !store.is_read_only() {
        transaction(store, move |tx| {
            Box::pin(async move { Ok(tx.touch_session(&hash, now).await?) })
        })
        .await?;
    }
    Ok(Some(session))
}

/// Deletes sessions that are over.
pub async fn sweep(store: &Store, now: Timestamp) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            tx.sweep_sessions(now - SESSION_IDLE, now).await?;
            Ok(())
        })
    })
    .await
}

/// Ends a session.
pub async fn sign_out(store: &Store, session: &Session) -> Result<()> {
    let hash = session.hash;
    transaction(store, move |tx| Box::pin(async move { Ok(tx.end_session(&hash).await?) })).await
}

/// Suspends a key whose counter went backwards: there may be a copy of it (W9). Its signatures stop
/// counting, and its owner's sessions end. The caller commits and still refuses. Other refusals
/// that are signs of a copied or altered key are logged.
pub async fn suspend_on_alarm(
    tx: &mut Tx,
    key: &PasskeyRecord,
    refusal: &PasskeyRefusal,
    now: Timestamp,
) -> Result<()> {
    if !refusal.alarms() {
        return Ok(());
    }
    tracing::error!(passkey = %key.id, person = %key.person, %refusal, "passkey alarm");
    if matches!(refusal, PasskeyRefusal::Counter { .. }) && tx.suspend_passkey(key.id, now).await? {
        tx.end_sessions_of(key.person).await?;
        suspended(tx, key, now).await?;
    }
    Ok(())
}

/// Whether a text is a path on this site: safe to redirect to.
pub fn is_own_path(text: &str) -> bool {
    text.len() <= NEXT_MAX
        && text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// For whom a passkey is being made, and by what right.
struct KeyOwner {
    person: PersonId,
    name: String,
    session: Option<Sha256>,
    invitation: Option<InvitationId>,
}

impl KeyOwner {
    async fn begin(
        self,
        tx: &mut Tx,
        passkeys: &Passkeys,
        key_name: Option<String>,
        now: Timestamp,
    ) -> Result<Begun> {
        let key_name = key_name.map(|name| parse_key_name(&name)).transpose()?.flatten();
        let kept = tx.kept_passkeys_of(self.person).await?;
        if kept.len() >= KEYS_MAX {
            return refuse(
                Kind::Conflict,
                format!("expected at most {KEYS_MAX} keys of one person, received one more"),
            );
        }
        let existing: Vec<_> = kept.into_iter().map(|key| key.credential_id).collect();
        let (options, state) = passkeys
            .begin_enrol(self.person, &self.name, &self.name, &existing)
            .map_err(not_begun)?;
        let purpose = match self.session {
            Some(_) => CeremonyPurpose::AddKey,
            None => CeremonyPurpose::Enrol,
        };
        let ceremony = Ceremony {
            id: entropy::id(now)?,
            purpose,
            person: Some(self.person),
            session: self.session,
            invitation: self.invitation,
            release: None,
            proposal: None,
            nonce: None,
            statement: None,
            state: Kept { text: key_name, state }.to_json()?,
            created_at: now,
            expires_at: after(now, ENROL_LIFETIME),
        };
        tx.insert_ceremony(&ceremony).await?;
        Ok(Begun { ceremony: ceremony.id, options })
    }
}

/// Takes a ceremony out and commits that, so that it is gone whatever happens next (W3).
async fn take(
    store: &Store,
    id: CeremonyId,
    purpose: CeremonyPurpose,
    now: Timestamp,
) -> Result<Ceremony> {
    let taken = transaction(store, move |tx| {
        Box::pin(async move { Ok(tx.take_ceremony(id, purpose, now).await?) })
    })
    .await?;
    taken.map_or_else(over, Ok)
}

fn over<T>() -> Result<T> {
    refuse(Kind::Gone, "this request was answered before or took too long, begin again")
}

fn finish_key(
    passkeys: &Passkeys,
    ceremony: &Ceremony,
    answer: &Answer,
    now: Timestamp,
) -> Result<(NewPasskey, Option<String>)> {
    let Kept { text: key_name, state } = Kept::<EnrolState>::read(ceremony)?;
    match passkeys.finish_enrol(&state, &answer.credential) {
        Ok(mut key) if Some(key.stored.person()) == ceremony.person => {
            key.attested = passkeys.vouched_for(&key, now);
            Ok((key, key_name))
        }
        Ok(_) => Err(Fault::new("finishing an enrolment", "the state is of another person").into()),
        Err(refusal @ PasskeyRefusal::AlreadyEnrolled) => {
            Err(not_accepted(Kind::Conflict, &refusal))
        }
        Err(refusal) => Err(not_accepted(Kind::BadInput, &refusal)),
    }
}

/// Stores a key with who else was signed in where it was enrolled: one person may hold both (Q21).
async fn insert_key(
    tx: &mut Tx,
    (person, beside): (PersonId, Option<PersonId>),
    key: &NewPasskey,
    key_name: Option<String>,
    now: Timestamp,
) -> Result<String> {
    let NewPasskey { stored, aaguid, attested, attestation_object, client_data_json } = key;
    let row = NewPasskeyRow {
        id: entropy::id(now)?,
        person,
        credential_id: stored.credential_id().clone(),
        public_key: stored.key().clone(),
        aaguid: *aaguid,
        attested: *attested,
        transports: stored.transports().to_vec(),
        attestation_object: attestation_object.clone(),
        client_data_json: client_data_json.clone(),
        counts_from: now,
        name: key_name.unwrap_or_else(|| stored.kind().to_owned()),
        stored: serde_json::to_string(stored)
            .map_err(|error| Fault::new("writing a passkey", error))?,
        counter: stored.counter(),
        backup_eligible: stored.backup_eligible(),
        backed_up: stored.backed_up(),
        beside,
    };
    if tx.insert_passkey(&row, now).await? {
        return Ok(row.name);
    }
    Err(not_accepted(Kind::Conflict, &PasskeyRefusal::AlreadyEnrolled))
}

/// A new key on its way to the roster.
struct Entering {
    /// Who invited its owner, or the owner; `None` when the host did.
    by: Option<PersonId>,
    /// Whose it is.
    person: PersonId,
    /// Who else was signed in where it was enrolled.
    beside: Option<PersonId>,
    /// It takes the place of every key they had.
    replaces: bool,
}

/// Puts a new key on the roster: at once before the founding, as a proposal after it. Whoever
/// invited its owner proposes it; when the host did, an owner does, another one than its owner
/// where there is one.
async fn enter_key(
    tx: &mut Tx,
    Entering { by, person, beside, replaces }: Entering,
    key: &NewPasskey,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    let before = governed_alone(tx).await?;
    let mut wanted = if replaces { lost_keys(&before, person)? } else { Vec::new() };
    let credential_id = key.stored.credential_id().clone();
    if let Some(beside) = beside {
        let credential_id = credential_id.clone();
        tx.append(now, Event::KeyEnrolledBeside { person, credential_id, beside }).await?;
    }
    let public_key = key.stored.key().clone();
    let authenticator = key.authenticator();
    let entered = RosterKey { credential_id, public_key, authenticator, counts_from: now };
    wanted.push(Wanted::plain(Change::AddKey { person, key: entered }));
    if before.founded().is_none() {
        return enter(tx, &Actor::Person(person), wanted, now).await;
    }
    // Until the proposal takes effect the key signs its owner in and decides nothing.
    tx.let_credential_count(key.stored.credential_id(), NEVER).await?;
    let roster = before.roster().map_err(governance::unsound)?;
    let owners = || roster.people.iter().filter(|known| known.role == Role::Owner);
    let stands = |by: &PersonId| *by == person || owners().any(|owner| owner.id == *by);
    let another = || owners().find(|owner| owner.id != person).map(|owner| owner.id);
    let by = by.filter(stands).or_else(another).unwrap_or(person);
    enter(tx, &Actor::Person(by), wanted, now).await
}

/// Every key of somebody who lost them, but those whose end is proposed already.
pub(super) fn lost_keys(governed: &Governed, person: PersonId) -> Result<Vec<Wanted>> {
    let roster = governed.roster().map_err(governance::unsound)?;
    let ending: Vec<_> =
        governed.proposals().flat_map(|open| open.proposal.changes.iter()).collect();
    let keys = roster.person(person).map(|person| person.keys.as_slice()).unwrap_or_default();
    let revoked = keys.iter().map(|key| {
        let credential_id = key.credential_id.clone();
        Change::RevokeKey { person, credential_id }
    });
    Ok(revoked.filter(|change| !ending.contains(&change)).map(Wanted::plain).collect())
}

/// Takes a suspended key off the roster.
async fn suspended(tx: &mut Tx, key: &PasskeyRecord, now: Timestamp) -> Result<()> {
    let before = governed_alone(tx).await?;
    if before.founded().is_none() {
        revise_roster(tx, now, Actor::Gateway).await?;
        return Ok(());
    }
    let credential_id = key.credential_id.clone();
    if before.roster().is_ok_and(|roster| roster.key(&credential_id).is_none()) {
        // It waits for its proposal, and counts for nothing yet.
        return Ok(());
    }
    let after = governance::append(tx, now, Event::KeySuspended { credential_id }).await?;
    let roster = after.roster().map_err(|error| Fault::new("reading the roster", error))?;
    tx.insert_roster(roster, now).await?;
    Ok(())
}

pub(super) async fn start_session(
    tx: &mut Tx,
    person: PersonId,
    opening: Opening,
    next: Option<String>,
    now: Timestamp,
) -> Result<Started> {
    let token = entropy::token()?;
    let session = NewSession {
        id: entropy::id(now)?,
        hash: token_hash(&token),
        person,
        opened_with: opening.with,
        browser: opening.browser,
        reads_only: opening.reads_only,
        csrf: entropy::token()?.expose_secret().to_owned(),
        expires_at: now + SESSION_LIFETIME,
    };
    tx.insert_session(&session, SESSIONS_MAX - 1, now).await?;
    Ok(Started { token, person, next, proposal: None })
}

/// The session as it is in this transaction; one that ended since the request began is refused.
pub(super) async fn still_live(tx: &mut Tx, session: &Session, now: Timestamp) -> Result<Session> {
    match tx.live_session(&session.hash, now - SESSION_IDLE, now).await? {
        Some(session) => Ok(session),
        None => refuse(Kind::NotAuthenticated, "your session has ended, sign in again"),
    }
}

fn parse_key_name(text: &str) -> Result<Option<String>> {
    let name = text.trim();
    if name.chars().count() > KEY_NAME_MAX || name.chars().any(char::is_control) {
        return refuse(
            Kind::BadInput,
            format!(
                "expected a key name of at most {KEY_NAME_MAX} characters, received `{}`",
                excerpt(text)
            ),
        );
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

fn not_begun(error: PasskeyFault) -> Error {
    Fault::new("beginning a passkey ceremony", error).into()
}

fn not_accepted(kind: Kind, refusal: &PasskeyRefusal) -> Error {
    Refusal::new(kind, refusal.to_string()).into()
}

fn after(now: Timestamp, lifetime: std::time::Duration) -> Timestamp {
    now + SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_code_reads_back_in_any_case_and_grouping() {
        let code = ClaimCode::draw().unwrap();
        let shown = code.expose();
        assert_eq!(shown.len(), 14);
        assert!(shown.bytes().all(|b| b == b'-' || ClaimCode::LETTERS.contains(&b)), "{shown}");
        for typed in [shown.clone(), shown.to_lowercase(), format!(" {} ", shown.replace('-', ""))]
        {
            assert_eq!(ClaimCode::hash_typed(&typed), code.hash(), "{typed}");
        }
        assert_ne!(ClaimCode::hash_typed(&shown[1..]), code.hash());
        assert_ne!(ClaimCode::draw().unwrap().hash(), code.hash());
        assert!(!format!("{code:?}").contains(&shown[..4]));
    }

    #[test]
    fn only_paths_of_this_site_are_returned_to() {
        for path in ["/", "/releases?state=open", "/releases/1#files"] {
            assert!(is_own_path(path), "{path}");
        }
        let long = format!("/{}", "x".repeat(NEXT_MAX));
        for path in [
            "",
            "releases",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\nb",
            &long,
        ] {
            assert!(!is_own_path(path), "{path}");
        }
    }
}
