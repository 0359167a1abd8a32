//! People: adding, inviting and removing them, settling CI identities, and the roster revision
//! that each change puts into the log.
//!
//! The functions that take a [`Tx`] are for callers with a larger unit of work; each of them
//! leaves the roster revised in that same transaction (I7).

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::UnicodeNormalization as _;

use crate::domain::digest::Sha256;
use crate::domain::event::{Actor, Event};
use crate::domain::ids::{InvitationId, PasskeyId, PersonId, ProposalId};
use crate::domain::package::excerpt;
use crate::domain::proposal::Change;
use crate::domain::roster::{CiIdentity, Role, Roster, fingerprint};
use crate::entropy;
use crate::passkeys::StoredPasskey;
use crate::pipeline::governance::{Details, Entered, Proposer, Wanted, enter, governed_alone};
use crate::pipeline::signin::lost_keys;
use crate::pipeline::{Fault, Kind, Result, refuse, transaction};
use crate::store::people::NewInvitation;
use crate::store::signin::PasskeyRecord;
use crate::store::{Store, Tx};

pub use crate::store::people::{InvitationRecord, LinkedIdentity, PersonRecord};

/// Life of an invitation (W12: at most a day).
pub const INVITATION_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// Longest name of a person in characters; it must fit on one line of a page.
pub const NAME_MAX: usize = 80;
/// Longest issuer URL or actor id of a CI identity in bytes.
pub const CI_IDENTITY_MAX: usize = 500;

/// An invitation just made. Its secret is nowhere else.
#[derive(Debug)]
pub struct Invited {
    /// Its id.
    pub id: InvitationId,
    /// Whom it is for.
    pub person: PersonId,
    /// The secret, 256 bits in 43 URL-safe characters.
    pub token: SecretString,
    /// It cannot be used from then on.
    pub expires_at: Timestamp,
}

/// Whose a CI identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityOwner {
    /// A person's.
    Person(PersonId),
    /// Nobody's: a scheduler or a release bot.
    Bot,
}

/// A passkey for pages.
#[derive(Debug, Clone)]
pub struct KeyOverview {
    /// Names it.
    pub id: PasskeyId,
    /// What its owner calls it.
    pub name: String,
    /// A word for what it seems to be.
    pub kind: &'static str,
    /// It may be copied to other devices.
    pub synced: bool,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// Its signatures count from here on.
    pub counts_from: Timestamp,
    /// What people compare before they vouch for it.
    pub fingerprint: Sha256,
    /// The last accepted assertion.
    pub last_used_at: Option<Timestamp>,
    /// When an alarm suspended it.
    pub suspended_at: Option<Timestamp>,
    /// Who else was signed in where it was enrolled (Q21).
    pub beside: Option<PersonId>,
}

/// A person for pages.
#[derive(Debug, Clone)]
pub struct PersonOverview {
    /// Who.
    pub person: PersonRecord,
    /// Their passkeys, suspended ones included, in order of enrolment.
    pub keys: Vec<KeyOverview>,
    /// CI identities that are theirs.
    pub ci_identities: Vec<LinkedIdentity>,
    /// When one of their passkeys was last used.
    pub last_seen: Option<Timestamp>,
}

/// Everybody for pages.
#[derive(Debug, Clone)]
pub struct PeopleOverview {
    /// Everybody who has not left, by name.
    pub people: Vec<PersonOverview>,
    /// Invitations that can be used, soonest expiry first.
    pub invitations: Vec<InvitationRecord>,
    /// CI identities that are nobody's.
    pub bots: Vec<LinkedIdentity>,
}

/// Puts the roster that the rows give now into force: stores it as the next revision and appends
/// it to the log. Every change of people, keys or CI identities ends with this.
pub async fn revise_roster(tx: &mut Tx, now: Timestamp, by: Actor) -> Result<Roster> {
    tx.lock_log().await?;
    let roster = tx.compose_roster().await?;
    tx.insert_roster(&roster, now).await?;
    tx.append(now, Event::RosterRevised { roster: roster.clone(), by }).await?;
    Ok(roster)
}

/// Adds a person, who still has to be invited. Owners and the host may.
pub async fn add_person(
    tx: &mut Tx,
    now: Timestamp,
    by: impl Into<Proposer>,
    name: &str,
    role: Role,
) -> Result<Entered<PersonId>> {
    let by = by.into();
    require_owner(tx, &by.actor).await?;
    let name = parse_name(name)?;
    if tx.person_named(&name).await?.is_some() {
        return refuse(
            Kind::Conflict,
            format!("expected a name that nobody has yet, received `{}`", excerpt(&name)),
        );
    }
    let person = entropy::id(now)?;
    let change = Change::AddPerson { person, role };
    let wanted = vec![Wanted { change, details: Details::Person { name } }];
    let proposal = enter(tx, by, wanted, now).await?;
    Ok(Entered { value: person, proposal })
}

/// Invites a person to enrol a passkey; earlier invitations of theirs end. Owners and the host may.
///
/// Somebody who has joined lost their passkeys: the new one takes their place, which others decide
/// once the installation is founded (W14), since whoever makes the invitation can use it. Their
/// sessions end at once.
pub async fn invite(tx: &mut Tx, now: Timestamp, by: &Actor, person: PersonId) -> Result<Invited> {
    require_owner(tx, by).await?;
    let invited = standing_person(tx, person).await?;
    if *by == Actor::Person(person) {
        return refuse(Kind::Conflict, "you are signed in, add a passkey to your own");
    }
    if invited.joined_at.is_some() {
        tx.end_sessions_of(person).await?;
    }
    tx.revoke_invitations_of(person, now).await?;
    let token = entropy::token()?;
    let expires_at = now + INVITATION_LIFETIME;
    let invitation = NewInvitation {
        id: entropy::id(now)?,
        token_hash: token_hash(&token),
        person,
        invited_by: match by {
            Actor::Person(owner) => Some(*owner),
            Actor::Publisher(_) | Actor::Gateway | Actor::Host => None,
        },
        expires_at,
    };
    tx.insert_invitation(&invitation, now).await?;
    Ok(Invited { id: invitation.id, person, token, expires_at })
}

/// Takes an invitation back. Owners and the host may.
pub async fn revoke_invitation(
    tx: &mut Tx,
    now: Timestamp,
    by: &Actor,
    invitation: InvitationId,
) -> Result<()> {
    require_owner(tx, by).await?;
    if !tx.revoke_invitation(invitation, now).await? {
        return refuse(
            Kind::NotFound,
            format!("expected an unused invitation, received `{invitation}`"),
        );
    }
    Ok(())
}

/// Settles whose a CI identity is (Q16). Owners and the host may; people who may sign may link an
/// identity to themselves, which only takes from what they can approve.
pub async fn link_ci_identity(
    tx: &mut Tx,
    now: Timestamp,
    by: impl Into<Proposer>,
    identity: CiIdentity,
    actor_name: &str,
    owner: IdentityOwner,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    let person = match owner {
        IdentityOwner::Bot => None,
        IdentityOwner::Person(person) => Some(standing_person(tx, person).await?),
    };
    let own = person.as_ref().is_some_and(|person| {
        by.actor == Actor::Person(person.id) && person.role.may_sign() && person.joined_at.is_some()
    });
    if !own {
        require_owner(tx, &by.actor).await?;
    }
    let bounded = |text: &str| {
        (1..=CI_IDENTITY_MAX).contains(&text.len()) && !text.contains(char::is_control)
    };
    if !bounded(&identity.issuer) || !bounded(&identity.actor_id) {
        return refuse(
            Kind::BadInput,
            format!(
                "expected an issuer and an actor id of 1 to {CI_IDENTITY_MAX} bytes, received `{}`",
                excerpt(&identity.actor_id)
            ),
        );
    }
    if tx.ci_identities().await?.iter().any(|known| known.identity == identity) {
        return refuse(
            Kind::Conflict,
            format!(
                "expected a CI identity that is not settled yet, received `{}`",
                excerpt(&identity.actor_id)
            ),
        );
    }
    let change = Change::LinkIdentity { identity, person: person.map(|person| person.id) };
    let details = Details::Identity { actor_name: excerpt(actor_name) };
    enter(tx, by, vec![Wanted { change, details }], now).await
}

/// Forgets whose a CI identity is, so that nothing it started can be approved until it is settled
/// again. Owners and the host may.
pub async fn unlink_ci_identity(
    tx: &mut Tx,
    now: Timestamp,
    by: impl Into<Proposer>,
    identity: &CiIdentity,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    require_owner(tx, &by.actor).await?;
    if !tx.ci_identities().await?.iter().any(|known| known.identity == *identity) {
        return refuse(
            Kind::NotFound,
            format!("expected a settled CI identity, received `{}`", excerpt(&identity.actor_id)),
        );
    }
    let change = Change::UnlinkIdentity { identity: identity.clone() };
    enter(tx, by, vec![Wanted::plain(change)], now).await
}

/// Revokes every passkey of somebody who lost them or whose keys are in other hands: without one
/// they are suspended (W14). Their sessions end at once; the keys go as soon as a quorum signed.
pub async fn revoke_keys(
    tx: &mut Tx,
    now: Timestamp,
    by: impl Into<Proposer>,
    person: PersonId,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    require_owner(tx, &by.actor).await?;
    let standing = standing_person(tx, person).await?;
    let governed = governed_alone(tx).await?;
    let wanted = lost_keys(&governed, person)?;
    if wanted.is_empty() {
        let name = excerpt(&standing.name);
        return refuse(Kind::Conflict, format!("expected somebody with keys, received `{name}`"));
    }
    if governed.founded().is_none() {
        another_owner_stays(tx, &standing).await?;
    }
    tx.end_sessions_of(person).await?;
    enter(tx, by, wanted, now).await
}

/// Gives a person another role. Owners and the host may; the last owner stays one.
pub async fn change_role(
    tx: &mut Tx,
    now: Timestamp,
    by: impl Into<Proposer>,
    person: PersonId,
    role: Role,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    tx.lock_log().await?;
    require_owner(tx, &by.actor).await?;
    let before = standing_person(tx, person).await?;
    if role != Role::Owner {
        another_owner_stays(tx, &before).await?;
    }
    if before.role == role {
        return Ok(None);
    }
    enter(tx, by, vec![Wanted::plain(Change::ChangeRole { person, role })], now).await
}

/// Removes a person: their sessions, invitations, passkeys and CI identities end with it, so
/// their signatures stop counting (A4), and what they may still hold at registries is listed.
/// Owners, the host and the person may; the last owner stays. While a proposal about it waits, their
/// sessions and invitations have ended; whoever leaves by themselves keeps theirs to sign with.
pub async fn leave(
    tx: &mut Tx,
    now: Timestamp,
    by: impl Into<Proposer>,
    person: PersonId,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    tx.lock_log().await?;
    if by.actor != Actor::Person(person) {
        require_owner(tx, &by.actor).await?;
    }
    let before = standing_person(tx, person).await?;
    another_owner_stays(tx, &before).await?;
    if by.actor != Actor::Person(person) {
        tx.end_sessions_of(person).await?;
        tx.revoke_invitations_of(person, now).await?;
    }
    enter(tx, by, vec![Wanted::plain(Change::RemovePerson { person })], now).await
}

/// What adding somebody came to.
#[derive(Debug)]
pub enum Added {
    /// They are there, and this invites them.
    Invited(Invited),
    /// It is proposed; they are invited once it took effect.
    Proposed(ProposalId),
}

/// Adds a person and invites them, in a transaction of its own.
pub async fn add_and_invite(
    store: &Store,
    now: Timestamp,
    by: impl Into<Proposer>,
    name: String,
    role: Role,
) -> Result<Added> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move {
            match add_person(tx, now, &by, &name, role).await? {
                Entered { proposal: Some(proposal), .. } => Ok(Added::Proposed(proposal)),
                Entered { value: person, .. } => {
                    invite(tx, now, &by.actor, person).await.map(Added::Invited)
                }
            }
        })
    })
    .await
}

/// Everybody, with keys, CI identities and open invitations.
pub async fn people_overview(store: &Store, now: Timestamp) -> Result<PeopleOverview> {
    let mut tx = store.snapshot().await?;
    let keys = tx.kept_passkeys().await?;
    let (bots, linked): (Vec<_>, Vec<_>) =
        tx.ci_identities().await?.into_iter().partition(|identity| identity.person.is_none());
    let mut people = Vec::new();
    for person in tx.people().await? {
        people.push(overview(person, &keys, &linked)?);
    }
    Ok(PeopleOverview { people, invitations: tx.open_invitations(now).await?, bots })
}

/// One person who has not left.
pub async fn person(store: &Store, id: PersonId) -> Result<PersonOverview> {
    let mut tx = store.snapshot().await?;
    let person = standing_person(&mut tx, id).await?;
    let keys = tx.kept_passkeys_of(id).await?;
    let linked = tx.ci_identities().await?;
    overview(person, &keys, &linked)
}

/// A person's own passkeys.
pub async fn my_keys(store: &Store, person: PersonId) -> Result<Vec<KeyOverview>> {
    let mut tx = store.snapshot().await?;
    tx.kept_passkeys_of(person).await?.iter().map(key_overview).collect()
}

/// The invitation behind a secret, if it can be used. Reading consumes nothing (W12).
pub async fn invitation(store: &Store, token: &str, now: Timestamp) -> Result<InvitationRecord> {
    let mut tx = store.snapshot().await?;
    open_invitation(&mut tx, token, now).await
}

/// What the database keeps of an invitation's or session's secret.
pub(super) fn token_hash(token: &SecretString) -> Sha256 {
    Sha256::of(token.expose_secret().as_bytes())
}

pub(super) async fn open_invitation(
    tx: &mut Tx,
    token: &str,
    now: Timestamp,
) -> Result<InvitationRecord> {
    match tx.invitation_by_token(&Sha256::of(token.as_bytes())).await? {
        Some(invitation) if invitation.is_open(now) => Ok(invitation),
        Some(_) => refuse(
            Kind::Gone,
            "this invitation was used, was taken back or has expired, ask for a new one",
        ),
        None => refuse(Kind::NotFound, "expected the whole address of an invitation"),
    }
}

pub(super) async fn require_owner(tx: &mut Tx, by: &Actor) -> Result<()> {
    let allowed = match by {
        Actor::Host => true,
        Actor::Publisher(_) | Actor::Gateway => false,
        Actor::Person(id) => tx.person(*id).await?.is_some_and(|person| {
            person.role == Role::Owner && person.joined_at.is_some() && person.left_at.is_none()
        }),
    };
    if allowed { Ok(()) } else { refuse(Kind::Forbidden, "only owners may do this") }
}

pub(super) async fn standing_person(tx: &mut Tx, id: PersonId) -> Result<PersonRecord> {
    match tx.person(id).await? {
        Some(person) if person.left_at.is_none() => Ok(person),
        _ => refuse(Kind::NotFound, format!("expected somebody on the roster, received `{id}`")),
    }
}

/// An installation without an owner who can sign in could never be changed again.
async fn another_owner_stays(tx: &mut Tx, leaving: &PersonRecord) -> Result<()> {
    if leaving.role != Role::Owner {
        return Ok(());
    }
    let others = tx.people().await?.into_iter().any(|person| {
        person.id != leaving.id && person.role == Role::Owner && person.joined_at.is_some()
    });
    if others {
        return Ok(());
    }
    refuse(
        Kind::Conflict,
        format!(
            "expected another owner with a passkey, received only `{}`",
            excerpt(&leaving.name)
        ),
    )
}

fn overview(
    person: PersonRecord,
    keys: &[PasskeyRecord],
    linked: &[LinkedIdentity],
) -> Result<PersonOverview> {
    let own = keys.iter().filter(|key| key.person == person.id);
    let keys = own.map(key_overview).collect::<Result<Vec<_>>>()?;
    let ci_identities =
        linked.iter().filter(|identity| identity.person == Some(person.id)).cloned().collect();
    let last_seen = keys.iter().filter_map(|key| key.last_used_at).max();
    Ok(PersonOverview { person, keys, ci_identities, last_seen })
}

fn key_overview(key: &PasskeyRecord) -> Result<KeyOverview> {
    Ok(KeyOverview {
        id: key.id,
        name: key.name.clone(),
        kind: verifier_form(key)?.kind(),
        synced: key.backup_eligible,
        created_at: key.created_at,
        counts_from: key.counts_from,
        fingerprint: fingerprint(&key.public_key),
        last_used_at: key.last_used_at,
        suspended_at: key.suspended_at,
        beside: key.beside,
    })
}

/// The verifier's own form of a stored passkey.
pub(super) fn verifier_form(key: &PasskeyRecord) -> Result<StoredPasskey> {
    serde_json::from_str(&key.stored)
        .map_err(|error| Fault::new("reading a stored passkey", error).into())
}

/// A name as it is shown: composed, trimmed, with single spaces and nothing invisible in it.
fn parse_name(text: &str) -> Result<String> {
    let composed: String = text.chars().take(NAME_MAX * 4).nfc().collect();
    let name = composed.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() || name.chars().count() > NAME_MAX || name.contains(invisible) {
        return refuse(
            Kind::BadInput,
            format!(
                "expected a name of 1 to {NAME_MAX} visible characters, received `{}`",
                excerpt(text)
            ),
        );
    }
    Ok(name)
}

/// Characters that let two names look alike or turn a line around.
fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_composed_and_spaced_alike() {
        assert_eq!(parse_name("  Ine\u{301}s   Duarte ").unwrap(), "In\u{e9}s Duarte");
    }

    #[test]
    fn empty_long_and_invisible_names_are_refused() {
        let long = "x".repeat(NAME_MAX + 1);
        for name in ["", "  ", &long, "Mara\u{202e}", "Ma\u{200b}ra", "Ma\u{0}ra"] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
        assert!(parse_name(&"x".repeat(NAME_MAX)).is_ok());
    }
}
