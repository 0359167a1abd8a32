//! Applies a set-up file to an installation nobody has claimed: all of it, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use jiff::Timestamp;
use secrecy::SecretString;

use super::file::{CiEntry, SetupFile};
use super::{
    Credential, NewCredential, PackageDraft, PublisherDraft, UpstreamDraft, insert_credential,
    insert_issuer, insert_package, insert_policy, insert_publisher, insert_upstream,
};
use crate::domain::event::Actor;
use crate::domain::ids::{IssuerId, PackageId, PersonId, PolicyId, UpstreamId};
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::domain::publisher::PublisherConfig;
use crate::domain::roster::{CiIdentity, Role};
use crate::domain::upstream::CredentialPurpose;
use crate::pipeline::people::{self, IdentityOwner};
use crate::pipeline::{Error, Kind, Refusal, Result, refuse, signin, transaction};
use crate::store::{Store, Tx};
use crate::vault::SealingKey;

/// A set-up file with the credentials of its upstreams, in the upstreams' order.
#[derive(Debug)]
pub struct ReadySetup {
    /// What was written.
    pub file: SetupFile,
    /// One for each upstream.
    pub credentials: Vec<UpstreamCredentials>,
}

/// The credentials of one upstream.
#[derive(Debug, Clone, Default)]
pub struct UpstreamCredentials {
    /// For sending.
    pub publish: Option<Credential>,
    /// For reading.
    pub read: Option<Credential>,
}

/// A person who was invited.
#[derive(Debug)]
pub struct Invite {
    /// Who.
    pub name: String,
    /// The secret of the invitation; the address is the origin, `/invite/` and this.
    pub token: SecretString,
}

/// Which installation a set-up file is for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Where its database is.
    pub database_url: &'a str,
    /// The folder that a relative path in the URL starts from.
    pub base: &'a Path,
    /// Origin as browsers see it.
    pub origin: &'a str,
}

/// Opens an installation's database, applies a file as [`apply`] does, and closes it.
pub async fn apply_to(
    target: Target<'_>,
    key: &SealingKey,
    setup: ReadySetup,
    now: Timestamp,
) -> Result<Vec<Invite>> {
    let store = Store::open(target.database_url, target.base).await?;
    let invites = apply(&store, key, target.origin, setup, now).await;
    store.close().await;
    invites
}

/// Applies a file as the host, in one transaction that also claims the installation. Refused when
/// somebody claimed it before; a refusal names the key in the file and leaves nothing behind but,
/// at most, an installation that was founded and waits to be claimed.
pub async fn apply(
    store: &Store,
    key: &SealingKey,
    origin: &str,
    setup: ReadySetup,
    now: Timestamp,
) -> Result<Vec<Invite>> {
    // Not at every call: founding again would replace the claim code of a running server, although
    // the file may be refused.
    let founded = store.snapshot().await?.instance().await?;
    match founded {
        None => drop(signin::found_instance(store, origin.to_owned(), now).await?),
        Some(instance) if instance.origin == origin => {}
        Some(instance) => {
            let founded = instance.origin;
            let message = format!(
                "expected the origin {founded}, for which this installation was founded, received \
                 `{origin}`"
            );
            return refuse(Kind::BadInput, message);
        }
    }
    let key = key.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            if !tx.mark_claimed(now).await? {
                let message = "expected an installation that nobody has claimed, since a set-up \
                               file founds one and changes none, received one in use";
                return refuse(Kind::Conflict, message);
            }
            let mut names = Names::default();
            apply_people(tx, &mut names, &setup.file, now).await?;
            apply_upstreams(tx, &key, &mut names, setup.credentials, &setup.file, now).await?;
            apply_rules(tx, &mut names, &setup.file, now).await?;
            invite_all(tx, &names, &setup.file, now).await
        })
    })
    .await
}

/// What the names in the file became.
#[derive(Default)]
struct Names {
    issuers: BTreeMap<String, (IssuerId, String)>,
    people: BTreeMap<String, PersonId>,
    upstreams: BTreeMap<String, UpstreamId>,
    policies: BTreeMap<String, PolicyId>,
    packages: BTreeMap<(Ecosystem, String), PackageId>,
}

/// Puts the key in the file in front of a refusal's sentence.
fn at<T>(key: impl Display, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Refused(Refusal { kind, message }) => {
            Refusal::new(kind, format!("`{key}`: {message}")).into()
        }
        fault @ Error::Fault(_) => fault,
    })
}

fn refer<'a, T>(key: impl Display, known: &'a BTreeMap<String, T>, name: &str) -> Result<&'a T> {
    known.get(name).ok_or_else(|| {
        let received = excerpt(name);
        let message = format!("`{key}`: expected a name from this file, received `{received}`");
        Refusal::new(Kind::BadInput, message).into()
    })
}

async fn apply_people(
    tx: &mut Tx,
    names: &mut Names,
    file: &SetupFile,
    now: Timestamp,
) -> Result<()> {
    if !file.person.iter().any(|person| person.role == Role::Owner) {
        let message = "`person`: expected at least one with the role `owner`, received `none`";
        return refuse(Kind::BadInput, message);
    }
    for (i, entry) in file.issuer.iter().enumerate() {
        let id = insert_issuer(tx, &Actor::Host.into(), entry.clone(), now).await;
        let id = at(format_args!("issuer[{i}]"), id)?.value;
        names.issuers.insert(entry.name.clone(), (id, entry.url.clone()));
    }
    for (i, entry) in file.person.iter().enumerate() {
        let id = people::add_person(tx, now, &Actor::Host, &entry.name, entry.role).await;
        let id = at(format_args!("person[{i}].name"), id)?.value;
        names.people.insert(entry.name.clone(), id);
        for (j, identity) in entry.ci_identities.iter().enumerate() {
            let key = format!("person[{i}].ci_identities[{j}]");
            link(tx, names, &key, identity, IdentityOwner::Person(id), now).await?;
        }
    }
    for (i, identity) in file.bot.iter().enumerate() {
        link(tx, names, &format!("bot[{i}]"), identity, IdentityOwner::Bot, now).await?;
    }
    Ok(())
}

async fn link(
    tx: &mut Tx,
    names: &Names,
    key: &str,
    entry: &CiEntry,
    owner: IdentityOwner,
    now: Timestamp,
) -> Result<()> {
    let (_, url) = refer(format_args!("{key}.issuer"), &names.issuers, &entry.issuer)?;
    let identity = CiIdentity { issuer: url.clone(), actor_id: entry.actor_id.clone() };
    let linked =
        people::link_ci_identity(tx, now, &Actor::Host, identity, &entry.actor_id, owner).await;
    at(format_args!("{key}.actor_id"), linked).map(drop)
}

async fn apply_upstreams(
    tx: &mut Tx,
    key: &SealingKey,
    names: &mut Names,
    credentials: Vec<UpstreamCredentials>,
    file: &SetupFile,
    now: Timestamp,
) -> Result<()> {
    let mut credentials = credentials.into_iter();
    for (i, entry) in file.upstream.iter().enumerate() {
        let draft = UpstreamDraft {
            name: entry.name.clone(),
            kind: entry.kind,
            url: entry.url.clone(),
            simple_url: entry.simple_url.clone(),
            files_url: entry.files_url.clone(),
            allow_private: entry.allow_private,
            username: entry.username.clone(),
        };
        let id = insert_upstream(tx, &Actor::Host.into(), draft, now).await;
        let id = at(format_args!("upstream[{i}]"), id)?;
        names.upstreams.insert(entry.name.clone(), id);
        let UpstreamCredentials { publish, read } = credentials.next().unwrap_or_default();
        for (purpose, credential) in
            [(CredentialPurpose::Publish, publish), (CredentialPurpose::Read, read)]
        {
            let Some(credential) = credential else {
                continue;
            };
            let new = NewCredential { upstream: id, purpose, credential };
            insert_credential(tx, key, &Actor::Host.into(), &new, now).await?;
        }
    }
    Ok(())
}

async fn apply_rules(
    tx: &mut Tx,
    names: &mut Names,
    file: &SetupFile,
    now: Timestamp,
) -> Result<()> {
    for (i, entry) in file.policy.iter().enumerate() {
        let draft = entry.draft(|place, name| {
            refer(format_args!("policy[{i}].{place}"), &names.people, name).copied()
        })?;
        let saved = insert_policy(tx, &Actor::Host.into(), None, draft, now).await;
        let saved = at(format_args!("policy[{i}]"), saved)?;
        names.policies.insert(entry.name.clone(), saved.value.id);
    }
    for (i, entry) in file.package.iter().enumerate() {
        let name = PackageName::parse(entry.ecosystem, &entry.name).map_err(super::bad_input);
        let name = at(format_args!("package[{i}].name"), name)?;
        let key = (entry.ecosystem, name.normalized().to_owned());
        let upstream = format!("package[{i}].upstream");
        let policy = format!("package[{i}].policy");
        let draft = PackageDraft {
            name,
            upstream: *refer(upstream, &names.upstreams, &entry.upstream)?,
            policy: *refer(policy, &names.policies, &entry.policy)?,
            access: entry.access,
        };
        let id = insert_package(tx, &Actor::Host.into(), draft, now).await;
        names.packages.insert(key, at(format_args!("package[{i}]"), id)?.value);
    }
    for (i, entry) in file.publisher.iter().enumerate() {
        let draft = publisher_draft(names, i, entry)?;
        let added = insert_publisher(tx, &Actor::Host.into(), draft, now).await;
        at(format_args!("publisher[{i}]"), added)?;
    }
    Ok(())
}

fn publisher_draft(names: &Names, i: usize, entry: &PublisherConfig) -> Result<PublisherDraft> {
    let issuer = format!("publisher[{i}].issuer");
    let (issuer, _) = refer(issuer, &names.issuers, &entry.issuer)?;
    let mut packages = BTreeSet::new();
    for text in &entry.packages {
        let known = text.split_once(':').and_then(|(ecosystem, name)| {
            let name = PackageName::parse(Ecosystem::parse(ecosystem)?, name).ok()?;
            names.packages.get(&(name.ecosystem(), name.normalized().to_owned()))
        });
        let Some(id) = known else {
            let received = excerpt(text);
            let message = format!(
                "`publisher[{i}].packages`: expected `npm:name` or `pypi:name` of a package in \
                 this file, received `{received}`"
            );
            return refuse(Kind::BadInput, message);
        };
        packages.insert(*id);
    }
    Ok(PublisherDraft {
        name: entry.name.clone(),
        issuer: *issuer,
        rule: at(format_args!("publisher[{i}]"), entry.rule().map_err(super::bad_input))?,
        packages,
    })
}

async fn invite_all(
    tx: &mut Tx,
    names: &Names,
    file: &SetupFile,
    now: Timestamp,
) -> Result<Vec<Invite>> {
    let mut out = Vec::new();
    for entry in &file.person {
        let Some(id) = names.people.get(&entry.name) else {
            continue;
        };
        let invited = people::invite(tx, now, &Actor::Host, *id).await?;
        out.push(Invite { name: entry.name.clone(), token: invited.token });
    }
    Ok(out)
}
