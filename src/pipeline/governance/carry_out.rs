//! Carrying changes out: the rows follow what the log says.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::assertion::CredentialId;
use crate::domain::digest::Sha256;
use crate::domain::event::{Actor, Event, IssuerRecord, PublisherRecord, UpstreamRecord};
use crate::domain::governed::Governed;
use crate::domain::ids::{IssuerId, PackageId, PersonId, ProposalId};
use crate::domain::issuer::{Issuer, IssuerConfig};
use crate::domain::package::{PackageName, excerpt};
use crate::domain::proposal::Change;
use crate::domain::publisher::{Publisher, Rule};
use crate::domain::roster::{CiIdentity, NEVER, Role, Roster};
use crate::domain::upstream::{CredentialPurpose, Upstream, UpstreamFields};
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, approval, leaving, refuse};
use crate::store::people::LinkedIdentity;
use crate::store::proposals::ProposalRow;
use crate::store::setup::StoredPackage;
use crate::store::{StoreError, Tx};

/// What a change needs that the log does not hold: names, and sealed bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Details {
    /// Nothing.
    None,
    /// Of a person.
    Person {
        /// What people call them.
        name: String,
    },
    /// Of an upstream.
    Upstream {
        /// What people call it.
        name: String,
        /// The user name beside the publish credential.
        username: String,
    },
    /// Of a credential.
    Credential {
        /// The sealed bytes.
        sealed: Vec<u8>,
    },
    /// Of a CI identity.
    Identity {
        /// What the CI system calls it.
        actor_name: String,
    },
    /// Of an issuer of CI tokens.
    Issuer {
        /// All there is to it.
        config: Box<IssuerConfig>,
    },
    /// Of a publisher.
    Publisher {
        /// What people call it.
        name: String,
        /// Whose tokens it accepts.
        issuer: IssuerId,
        /// What it compares.
        rule: Box<Rule>,
    },
}

/// Whether the roster is another one after a change.
pub(super) const fn is_about_people(change: &Change) -> bool {
    matches!(
        change,
        Change::AddPerson { .. }
            | Change::ChangeRole { .. }
            | Change::RemovePerson { .. }
            | Change::AddKey { .. }
            | Change::RevokeKey { .. }
            | Change::LinkIdentity { .. }
            | Change::UnlinkIdentity { .. }
    )
}

/// The entry that records a change before the founding; changes of the roster are recorded as the
/// next roster.
pub(super) fn set_up_event(change: Change, by: Actor) -> Option<Event> {
    Some(match change {
        Change::SetPolicy { policy } => Event::PolicyRevised { policy, by },
        Change::SetUpstream { upstream } => Event::UpstreamRevised { upstream, by },
        Change::SetCredential { upstream, purpose, sealed_sha256 } => {
            Event::CredentialSealed { upstream, purpose, sealed_sha256, by }
        }
        Change::SetPackage { package } => Event::PackageRevised { package, by },
        Change::SetIssuer { issuer } => Event::IssuerRevised { issuer, by },
        Change::SetPublisher { publisher } => Event::PublisherRevised { publisher, by },
        Change::RemovePublisher { publisher } => Event::PublisherRemoved { publisher, by },
        Change::AddPerson { .. }
        | Change::ChangeRole { .. }
        | Change::RemovePerson { .. }
        | Change::AddKey { .. }
        | Change::RevokeKey { .. }
        | Change::LinkIdentity { .. }
        | Change::UnlinkIdentity { .. }
        | Change::Freeze { .. }
        | Change::Unfreeze { .. } => return None,
    })
}

/// Carries a proposal out that has what it takes, and records that it took effect.
pub(super) async fn enact(
    tx: &mut Tx,
    before: &Governed,
    id: ProposalId,
    now: Timestamp,
) -> Result<()> {
    const CONTEXT: &str = "carrying out a proposal";
    let stored = tx.proposal(id).await?.ok_or_else(|| Fault::new(CONTEXT, "its row is missing"))?;
    let open = before.proposal(id).ok_or_else(|| Fault::new(CONTEXT, "it does not wait"))?;
    let details: Vec<Details> =
        serde_json::from_str(&stored.details).map_err(|error| Fault::new(CONTEXT, error))?;
    if stored.proposal != open.proposal || details.len() != open.proposal.changes.len() {
        return Err(not_what_was_signed());
    }
    let after = before.after(&open.proposal, now).map_err(|why| Fault::new(CONTEXT, why))?;
    let roster = after.roster().map_err(super::unsound)?;
    for (change, details) in open.proposal.changes.iter().zip(details) {
        carry_out(tx, change, details, now).await?;
        // The roster says from when a new key counts.
        if let Change::AddKey { key, .. } = change
            && let Some((_, key)) = roster.key(&key.credential_id)
        {
            tx.let_credential_count(&key.credential_id, key.counts_from).await?;
        }
    }
    if open.proposal.changes.iter().any(is_about_people) {
        follow_roster(tx, roster, now).await?;
    }
    tx.end_proposal(id, ProposalRow::Enacted, now).await?;
    super::append(tx, now, Event::ProposalEnacted { proposal: id }).await?;
    approval::reassess(tx, now).await
}

type OnRoster<'a> = (PersonId, Role, BTreeSet<&'a CredentialId>, BTreeSet<&'a CiIdentity>);

/// Stores the roster that the log gives, and checks that the rows give the same people and keys.
pub(super) async fn follow_roster(tx: &mut Tx, roster: &Roster, now: Timestamp) -> Result<()> {
    let composed = tx.compose_roster().await?;
    if composed.revision != roster.revision || people(&composed) != people(roster) {
        let context = "carrying out a change of the roster";
        return Err(Fault::new(context, "the rows are not those of the log").into());
    }
    tx.insert_roster(roster, now).await?;
    Ok(())
}

/// Who is on a roster, with their keys and CI identities in no particular order. A key whose
/// proposal waits has a row and is on no roster.
fn people(roster: &Roster) -> Vec<OnRoster<'_>> {
    let people = roster.people.iter().map(|person| {
        let in_force = person.keys.iter().filter(|key| key.counts_from < NEVER);
        let keys = in_force.map(|key| &key.credential_id).collect();
        (person.id, person.role, keys, person.ci_identities.iter().collect())
    });
    people.collect()
}

/// Writes the rows of one change.
pub(super) async fn carry_out(
    tx: &mut Tx,
    change: &Change,
    details: Details,
    now: Timestamp,
) -> Result<()> {
    match (change, details) {
        (Change::AddPerson { person, role }, Details::Person { name }) => {
            add_person(tx, *person, &name, *role, now).await
        }
        (Change::ChangeRole { person, role }, _) => {
            tx.set_role(*person, *role).await?;
            Ok(())
        }
        (Change::RemovePerson { person }, _) => remove_person(tx, *person, now).await,
        (Change::RevokeKey { person, credential_id }, _) => {
            revoke_key(tx, *person, credential_id, now).await
        }
        (Change::LinkIdentity { identity, person }, Details::Identity { actor_name }) => {
            let (identity, person) = (identity.clone(), *person);
            let linked = LinkedIdentity { identity, actor_name, person, linked_at: now };
            link_identity(tx, &linked).await
        }
        (Change::UnlinkIdentity { identity }, _) => {
            tx.unlink_ci_identity(identity).await?;
            Ok(())
        }
        (Change::SetPolicy { policy }, _) => put_policy(tx, policy, now).await,
        (Change::SetUpstream { upstream }, Details::Upstream { name, username }) => {
            put_upstream(tx, upstream, &name, &username, now).await
        }
        (
            Change::SetCredential { upstream, purpose, sealed_sha256 },
            Details::Credential { sealed },
        ) => {
            if Sha256::of(&sealed) != *sealed_sha256 {
                return Err(not_what_was_signed());
            }
            match purpose {
                CredentialPurpose::Publish => {
                    tx.set_publish_credential(*upstream, &sealed, now).await?;
                }
                CredentialPurpose::Read => tx.set_read_credential(*upstream, &sealed, now).await?,
            }
            Ok(())
        }
        (Change::SetPackage { package }, _) => put_package(tx, package, now).await,
        (Change::SetIssuer { issuer }, Details::Issuer { config }) => {
            put_issuer(tx, issuer, *config, now).await
        }
        (Change::SetPublisher { publisher }, Details::Publisher { name, issuer, rule }) => {
            put_publisher(tx, publisher, (&name, issuer, *rule), now).await
        }
        (Change::RemovePublisher { publisher }, _) => {
            tx.remove_publisher(*publisher, now).await?;
            Ok(())
        }
        // What is frozen is read from the log; what waited for its end need not wait longer.
        (Change::Unfreeze { .. }, _) => Ok(tx.hasten_jobs(now).await?),
        // A key's row was kept when it was enrolled.
        (Change::AddKey { .. } | Change::Freeze { .. }, _) => Ok(()),
        (
            Change::AddPerson { .. }
            | Change::LinkIdentity { .. }
            | Change::SetUpstream { .. }
            | Change::SetCredential { .. }
            | Change::SetIssuer { .. }
            | Change::SetPublisher { .. },
            _,
        ) => Err(Fault::new("carrying out a change", "what it needs was not kept").into()),
    }
}

async fn add_person(
    tx: &mut Tx,
    id: PersonId,
    name: &str,
    role: Role,
    now: Timestamp,
) -> Result<()> {
    if tx.insert_person(id, name, role, now).await? {
        return Ok(());
    }
    refuse(
        Kind::Conflict,
        format!("expected a name that nobody has yet, received `{}`", excerpt(name)),
    )
}

/// Everything of theirs here ends at once; what they did stays, and what they may hold elsewhere is
/// listed.
async fn remove_person(tx: &mut Tx, person: PersonId, now: Timestamp) -> Result<()> {
    leaving::list_rights(tx, person, now).await?;
    tx.mark_left(person, now).await?;
    tx.end_sessions_of(person).await?;
    tx.revoke_invitations_of(person, now).await?;
    tx.revoke_passkeys_of(person, now).await?;
    tx.unlink_ci_identities_of(person).await?;
    tx.unlink_sso_of(person).await?;
    Ok(())
}

async fn revoke_key(
    tx: &mut Tx,
    person: PersonId,
    credential_id: &CredentialId,
    now: Timestamp,
) -> Result<()> {
    tx.revoke_credential(credential_id, now).await?;
    tx.end_sessions_of(person).await?;
    Ok(())
}

async fn link_identity(tx: &mut Tx, linked: &LinkedIdentity) -> Result<()> {
    if tx.link_ci_identity(linked).await? {
        return Ok(());
    }
    refuse(
        Kind::Conflict,
        format!(
            "expected a CI identity that is not settled yet, received `{}`",
            excerpt(&linked.identity.actor_id)
        ),
    )
}

async fn put_policy(
    tx: &mut Tx,
    policy: &crate::domain::policy::Policy,
    now: Timestamp,
) -> Result<()> {
    tx.put_policy(policy, now).await.map_err(|error| {
        let received = excerpt(policy.name());
        let name = format!("expected a policy name that is not in use, received `{received}`");
        let raced = "expected the revision in force, but somebody changed the policy just now";
        taken(error, &[("policy_revisions", raced.to_owned()), ("name", name)])
    })
}

async fn put_upstream(
    tx: &mut Tx,
    record: &UpstreamRecord,
    name: &str,
    username: &str,
    now: Timestamp,
) -> Result<()> {
    let fields = UpstreamFields {
        id: record.id,
        name,
        kind: record.kind,
        url: &record.url,
        simple_url: record.simple_url.as_deref(),
        files_url: record.files_url.as_deref(),
        allow_private: record.allow_private,
    };
    let upstream =
        Upstream::parse(fields).map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
    tx.add_upstream(&upstream, username, now).await.map_err(|error| {
        let received = excerpt(name);
        let name = format!("expected a registry name that is not in use, received `{received}`");
        taken(error, &[("name", name)])
    })
}

async fn put_package(
    tx: &mut Tx,
    record: &crate::domain::event::PackageRecord,
    now: Timestamp,
) -> Result<()> {
    if tx.package(record.id).await?.is_some() {
        return Ok(tx.set_package(record).await?);
    }
    let name = PackageName::parse(record.ecosystem, &record.name)
        .map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
    let package = StoredPackage {
        id: record.id,
        name,
        upstream: record.upstream,
        policy: record.policy,
        access: record.access,
    };
    tx.add_package(&package, now).await.map_err(|error| {
        let name = &record.name;
        let known = format!("expected a package that is not registered yet, received `{name}`");
        taken(error, &[("packages", known)])
    })
}

async fn put_issuer(
    tx: &mut Tx,
    record: &IssuerRecord,
    config: IssuerConfig,
    now: Timestamp,
) -> Result<()> {
    let issuer = Issuer::parse(record.id, config)
        .map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
    if issuer_record(&issuer) != *record {
        return Err(not_what_was_signed());
    }
    is_new(tx, &issuer).await?;
    Ok(tx.add_issuer(&issuer, now).await?)
}

/// Whether no issuer has this name or address yet.
pub(in crate::pipeline) async fn is_new(tx: &mut Tx, issuer: &Issuer) -> Result<()> {
    for known in tx.issuers().await? {
        if known.url() == issuer.url() {
            let received = excerpt(issuer.url());
            let message =
                format!("expected an issuer url that is not configured, received `{received}`");
            return refuse(Kind::Conflict, message);
        }
        if known.name() == issuer.name() {
            let received = excerpt(issuer.name());
            let message =
                format!("expected an issuer name that is not in use, received `{received}`");
            return refuse(Kind::Conflict, message);
        }
    }
    Ok(())
}

/// An issuer as the log holds it.
pub(in crate::pipeline) fn issuer_record(issuer: &Issuer) -> IssuerRecord {
    let config = crate::domain::canonical(issuer.config());
    IssuerRecord { id: issuer.id(), config_sha256: Sha256::of(&config) }
}

async fn put_publisher(
    tx: &mut Tx,
    record: &PublisherRecord,
    (name, issuer, rule): (&str, IssuerId, Rule),
    now: Timestamp,
) -> Result<()> {
    let (id, packages) = (record.id, record.packages.clone());
    let publisher = Publisher::parse(id, name, issuer, rule, packages)
        .map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
    if publisher_record(&publisher) != *record {
        return Err(not_what_was_signed());
    }
    match tx.publisher(id).await? {
        None => tx.add_publisher(&publisher, now).await?,
        Some(before)
            if before.publisher.issuer() == issuer
                && before.publisher.rule() == publisher.rule() =>
        {
            tx.set_publisher_packages(id, publisher.packages()).await?;
        }
        Some(_) => {
            return refuse(Kind::Conflict, "expected another publisher for another rule");
        }
    }
    Ok(())
}

/// A publisher as the log holds it.
pub(in crate::pipeline) fn publisher_record(publisher: &Publisher) -> PublisherRecord {
    #[derive(Serialize)]
    struct Recorded<'a> {
        issuer: IssuerId,
        rule: &'a Rule,
        packages: &'a BTreeSet<PackageId>,
    }
    let recorded = Recorded {
        issuer: publisher.issuer(),
        rule: publisher.rule(),
        packages: publisher.packages(),
    };
    PublisherRecord {
        id: publisher.id(),
        packages: publisher.packages().clone(),
        rule_sha256: Sha256::of(&crate::domain::canonical(&recorded)),
    }
}

/// People signed what the log holds. A row that says something else is not carried out.
fn not_what_was_signed() -> Error {
    Fault::new("carrying out a proposal", "its row is not what people signed").into()
}

/// A uniqueness rule's no, as the refusal it means. The constraint is named by PostgreSQL and the
/// column by SQLite; both contain the column's name.
pub(in crate::pipeline) fn taken(error: StoreError, meaning: &[(&str, String)]) -> Error {
    if let StoreError::Conflict(name) = &error
        && let Some((_, message)) = meaning.iter().find(|(part, _)| name.contains(part))
    {
        return Refusal::new(Kind::Conflict, message.clone()).into();
    }
    error.into()
}
