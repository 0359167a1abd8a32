//! What owners configure: issuers, upstreams, policies, packages and publishers.
//!
//! Each change is one transaction with its event (I7), made by an owner or by whoever runs commands
//! on the host; that is checked here and nowhere else. Reads for the pages are in [`overview`], the
//! reviewed set-up file in [`file`] and [`apply`].

pub mod apply;
pub mod file;
pub mod overview;
pub mod preview;

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, Fault, Kind, Refusal, Result, refuse, transaction};
use crate::domain::digest::Sha256;
use crate::domain::event::{Actor, UpstreamRecord};
use crate::domain::ids::{IssuerId, PackageId, PolicyId, ProposalId, PublisherId, UpstreamId};
use crate::domain::issuer::{Issuer, IssuerConfig};
use crate::domain::manifest::Access;
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::domain::policy::{Approvers, Policy, PolicyDraft};
use crate::domain::proposal::Change;
use crate::domain::publisher::{Publisher, Rule};
use crate::domain::roster::Role;
use crate::domain::upstream::{CredentialPurpose, Upstream, UpstreamFields};
use crate::entropy;
use crate::pipeline::governance::carry_out::{is_new, issuer_record, publisher_record};
use crate::pipeline::governance::{Details, Entered, Proposer, Wanted, enter};
use crate::store::setup::{StoredPackage, StoredUpstream};
use crate::store::{Store, Tx};
use crate::vault::{self, Context, SealingKey};

/// Longest credential in bytes: OIDC tokens used as passwords stay below 8 KiB.
pub const CREDENTIAL_MAX_BYTES: usize = 16 * 1024;
/// Longest user name of an upstream in bytes.
pub const USERNAME_MAX_BYTES: usize = 128;
/// The user name that registries expect beside an API token.
pub const USERNAME_DEFAULT: &str = "__token__";
/// Most packages of one publisher; a page of them must stay readable.
pub const PUBLISHER_PACKAGES_MAX: usize = 500;
/// What the sealed credential of an upstream is for: every package that goes there.
const CREDENTIAL_SCOPE: &str = "*";

/// An upstream as somebody typed it.
#[derive(Debug, Clone)]
pub struct UpstreamDraft {
    /// For people; unique.
    pub name: String,
    /// Whose protocol it speaks.
    pub kind: Ecosystem,
    /// npm: the registry base. PyPI: the upload address.
    pub url: String,
    /// PyPI only: where files are read back.
    pub simple_url: Option<String>,
    /// Where published files are, when that is another host.
    pub files_url: Option<String>,
    /// Private and loopback addresses are meant (Q15).
    pub allow_private: bool,
    /// The user name beside the publish credential; [`USERNAME_DEFAULT`] without. PyPI only.
    pub username: Option<String>,
}

/// A registry credential as somebody typed it: one line, not empty, at most
/// [`CREDENTIAL_MAX_BYTES`]. Never returned or printed again (K3).
#[derive(Debug, Clone)]
pub struct Credential(SecretString);

impl Credential {
    /// Parses the content of a form field or file; one final line end is not part of it.
    pub fn parse(text: &SecretString) -> Result<Self> {
        let exposed = text.expose_secret();
        let line = exposed.strip_suffix('\n').unwrap_or(exposed);
        let line = line.strip_suffix('\r').unwrap_or(line);
        // Nothing of the text is repeated.
        if line.is_empty() || line.len() > CREDENTIAL_MAX_BYTES {
            let received = line.len();
            let message = format!(
                "expected a credential of 1 to {CREDENTIAL_MAX_BYTES} bytes, received `{received}`"
            );
            return refuse(Kind::BadInput, message);
        }
        if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "expected a credential on a single line of printable ASCII characters \
                           without spaces, received something else";
            return refuse(Kind::BadInput, message);
        }
        Ok(Self(line.into()))
    }
}

/// A package as somebody typed it.
#[derive(Debug, Clone)]
pub struct PackageDraft {
    /// Its name.
    pub name: PackageName,
    /// Where its releases go.
    pub upstream: UpstreamId,
    /// Which rule applies.
    pub policy: PolicyId,
    /// The access its first version gets; npm only.
    pub access: Option<Access>,
}

/// A publisher as somebody typed it.
#[derive(Debug, Clone)]
pub struct PublisherDraft {
    /// For people; unique among publishers that were not removed.
    pub name: String,
    /// Whose tokens it accepts.
    pub issuer: IssuerId,
    /// What it compares.
    pub rule: Rule,
    /// What it may stage.
    pub packages: BTreeSet<PackageId>,
}

/// A policy that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySaved {
    /// Names it.
    pub id: PolicyId,
    /// The revision now in force.
    pub revision: u32,
    /// Members who were counted as able to sign although they have no passkey yet, by name.
    pub not_joined: Vec<String>,
}

impl PolicySaved {
    /// What the person who saved it should know, if anything.
    pub fn notice(&self) -> Option<String> {
        if self.not_joined.is_empty() {
            return None;
        }
        let names = self.not_joined.join(", ");
        Some(format!("These people can sign once they have joined: {names}."))
    }
}

/// Adds an OIDC issuer of CI tokens.
pub async fn add_issuer(
    store: &Store,
    by: impl Into<Proposer>,
    config: IssuerConfig,
    now: Timestamp,
) -> Result<Entered<IssuerId>> {
    let by = by.into();
    transaction(store, move |tx| Box::pin(async move { insert_issuer(tx, &by, config, now).await }))
        .await
}

/// Adds a registry, with the credential that it is published to with if there is one.
pub async fn add_upstream(
    store: &Store,
    key: &SealingKey,
    by: impl Into<Proposer>,
    (draft, credential): (UpstreamDraft, Option<Credential>),
    now: Timestamp,
) -> Result<Entered<UpstreamId>> {
    let by = by.into();
    let key = key.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            require_owner(tx, &by.actor).await?;
            let (upstream, wanted) = upstream_of(draft, now)?;
            let mut wanted = vec![wanted];
            if let Some(credential) = credential {
                let purpose = CredentialPurpose::Publish;
                wanted.push(sealed(tx, &key, &upstream, (purpose, &credential)).await?);
            }
            let proposal = enter(tx, &by, wanted, now).await?;
            Ok(Entered { value: upstream.id(), proposal })
        })
    })
    .await
}

/// A credential with what it is for.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// For which registry.
    pub upstream: UpstreamId,
    /// Sending or reading; neither opens for the other (Q17).
    pub purpose: CredentialPurpose,
    /// The secret.
    pub credential: Credential,
}

/// Seals a credential in place of the one before. Nothing returns it again (K3).
pub async fn seal_credential(
    store: &Store,
    key: &SealingKey,
    by: impl Into<Proposer>,
    new: NewCredential,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    let key = key.clone();
    transaction(store, move |tx| {
        Box::pin(async move { insert_credential(tx, &key, &by, &new, now).await })
    })
    .await
}

/// Adds a policy that the people on the roster can satisfy.
pub async fn add_policy(
    store: &Store,
    by: impl Into<Proposer>,
    draft: PolicyDraft,
    now: Timestamp,
) -> Result<Entered<PolicySaved>> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move { insert_policy(tx, &by, None, draft, now).await })
    })
    .await
}

/// Puts another revision of a policy in force. Sealed releases keep the one they were sealed under,
/// and need the new one besides (Q7).
pub async fn revise_policy(
    store: &Store,
    by: impl Into<Proposer>,
    id: PolicyId,
    draft: PolicyDraft,
    now: Timestamp,
) -> Result<Entered<PolicySaved>> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move { insert_policy(tx, &by, Some(id), draft, now).await })
    })
    .await
}

/// Registers a package.
pub async fn add_package(
    store: &Store,
    by: impl Into<Proposer>,
    draft: PackageDraft,
    now: Timestamp,
) -> Result<Entered<PackageId>> {
    let by = by.into();
    transaction(store, move |tx| Box::pin(async move { insert_package(tx, &by, draft, now).await }))
        .await
}

/// Puts a package under another policy.
pub async fn set_package_policy(
    store: &Store,
    by: impl Into<Proposer>,
    package: PackageId,
    policy: PolicyId,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move {
            require_owner(tx, &by.actor).await?;
            let mut stored = known_package(tx, package).await?;
            known_policy(tx, policy).await?;
            if stored.policy == policy {
                return Ok(None);
            }
            stored.policy = policy;
            let package = stored.record();
            enter(tx, &by, vec![Wanted::plain(Change::SetPackage { package })], now).await
        })
    })
    .await
}

/// Trusts a CI workload to stage some packages.
pub async fn add_publisher(
    store: &Store,
    by: impl Into<Proposer>,
    draft: PublisherDraft,
    now: Timestamp,
) -> Result<Entered<PublisherId>> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move { insert_publisher(tx, &by, draft, now).await })
    })
    .await
}

/// Lets a publisher stage these packages and no others, open sessions included.
pub async fn set_publisher_packages(
    store: &Store,
    by: impl Into<Proposer>,
    id: PublisherId,
    packages: BTreeSet<PackageId>,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move {
            require_owner(tx, &by.actor).await?;
            let Some(stored) = tx.publisher(id).await? else {
                return refuse(Kind::NotFound, "expected a publisher that was not removed");
            };
            check_packages(tx, &packages).await?;
            let before = stored.publisher;
            let rule = before.rule().clone();
            let publisher = Publisher::parse(id, before.name(), before.issuer(), rule, packages)
                .map_err(bad_input)?;
            enter(tx, &by, vec![publisher_change(&publisher)], now).await
        })
    })
    .await
}

/// Stops trusting a CI workload. Its open sessions end with it.
pub async fn remove_publisher(
    store: &Store,
    by: impl Into<Proposer>,
    id: PublisherId,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    let by = by.into();
    transaction(store, move |tx| {
        Box::pin(async move {
            require_owner(tx, &by.actor).await?;
            if tx.publisher(id).await?.is_none() {
                return refuse(Kind::NotFound, "expected a publisher that was not removed");
            }
            enter(tx, &by, vec![Wanted::plain(Change::RemovePublisher { publisher: id })], now)
                .await
        })
    })
    .await
}

/// What a credential of this upstream is bound to when it is sealed, and has to be opened with.
pub fn credential_context<'a>(
    genesis: Sha256,
    upstream: &Upstream,
    origin: &'a str,
    purpose: CredentialPurpose,
) -> Context<'a> {
    Context {
        purpose,
        genesis,
        upstream: upstream.id(),
        origin,
        ecosystem: upstream.kind(),
        scope: CREDENTIAL_SCOPE,
    }
}

/// The origin that a credential of this upstream may be sent to.
pub fn credential_origin(upstream: &Upstream, purpose: CredentialPurpose) -> String {
    match purpose {
        CredentialPurpose::Publish => upstream.publish_origin(),
        CredentialPurpose::Read => upstream.read_origin(),
    }
}

fn bad_input(error: impl std::fmt::Display) -> Error {
    Refusal::new(Kind::BadInput, error.to_string()).into()
}

async fn require_owner(tx: &mut Tx, by: &Actor) -> Result<()> {
    let allowed = match by {
        Actor::Host => true,
        Actor::Publisher(_) | Actor::Gateway => false,
        Actor::Person(id) => tx.person(*id).await?.is_some_and(|person| {
            person.role == Role::Owner && person.joined_at.is_some() && person.left_at.is_none()
        }),
    };
    if allowed { Ok(()) } else { refuse(Kind::Forbidden, "only owners may do this") }
}

async fn insert_issuer(
    tx: &mut Tx,
    by: &Proposer,
    config: IssuerConfig,
    now: Timestamp,
) -> Result<Entered<IssuerId>> {
    require_owner(tx, &by.actor).await?;
    let issuer = Issuer::parse(entropy::id(now)?, config).map_err(bad_input)?;
    is_new(tx, &issuer).await?;
    let change = Change::SetIssuer { issuer: issuer_record(&issuer) };
    let details = Details::Issuer { config: Box::new(issuer.config().clone()) };
    let proposal = enter(tx, by, vec![Wanted { change, details }], now).await?;
    Ok(Entered { value: issuer.id(), proposal })
}

async fn insert_upstream(
    tx: &mut Tx,
    by: &Proposer,
    draft: UpstreamDraft,
    now: Timestamp,
) -> Result<UpstreamId> {
    require_owner(tx, &by.actor).await?;
    let (upstream, wanted) = upstream_of(draft, now)?;
    enter(tx, by, vec![wanted], now).await?;
    Ok(upstream.id())
}

/// A draft as an upstream, and the change that adds it.
fn upstream_of(draft: UpstreamDraft, now: Timestamp) -> Result<(Upstream, Wanted)> {
    let fields = UpstreamFields {
        id: entropy::id(now)?,
        name: &draft.name,
        kind: draft.kind,
        url: &draft.url,
        simple_url: draft.simple_url.as_deref(),
        files_url: draft.files_url.as_deref(),
        allow_private: draft.allow_private,
    };
    let upstream = Upstream::parse(fields).map_err(bad_input)?;
    let username = parse_username(draft.kind, draft.username)?;
    let record = UpstreamRecord {
        id: upstream.id(),
        kind: upstream.kind(),
        url: upstream.url().to_string(),
        simple_url: upstream.simple_url().map(ToString::to_string),
        files_url: upstream.files_url().map(ToString::to_string),
        allow_private: upstream.allow_private(),
    };
    let details = Details::Upstream { name: upstream.name().to_owned(), username };
    Ok((upstream, Wanted { change: Change::SetUpstream { upstream: record }, details }))
}

fn parse_username(kind: Ecosystem, username: Option<String>) -> Result<String> {
    match (kind, username) {
        (Ecosystem::Npm, None) => Ok(String::new()),
        (Ecosystem::Npm, Some(text)) => refuse(
            Kind::BadInput,
            format!("expected no username for an npm registry, received `{}`", excerpt(&text)),
        ),
        (Ecosystem::Pypi, None) => Ok(USERNAME_DEFAULT.to_owned()),
        // `:` ends the user name of HTTP's basic scheme (RFC 7617).
        (Ecosystem::Pypi, Some(text))
            if !text.is_empty()
                && text.len() <= USERNAME_MAX_BYTES
                && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') =>
        {
            Ok(text)
        }
        (Ecosystem::Pypi, Some(text)) => refuse(
            Kind::BadInput,
            format!(
                "expected a username of 1 to {USERNAME_MAX_BYTES} printable ASCII characters \
                 without `:`, received `{}`",
                excerpt(&text)
            ),
        ),
    }
}

async fn insert_credential(
    tx: &mut Tx,
    key: &SealingKey,
    by: &Proposer,
    new: &NewCredential,
    now: Timestamp,
) -> Result<Option<ProposalId>> {
    require_owner(tx, &by.actor).await?;
    let upstream = known_upstream(tx, new.upstream).await?.upstream;
    let wanted = sealed(tx, key, &upstream, (new.purpose, &new.credential)).await?;
    enter(tx, by, vec![wanted], now).await
}

/// The change that puts a sealed credential in place of the one before.
async fn sealed(
    tx: &mut Tx,
    key: &SealingKey,
    upstream: &Upstream,
    (purpose, credential): (CredentialPurpose, &Credential),
) -> Result<Wanted> {
    let genesis = tx
        .genesis_sha256()
        .await?
        .ok_or_else(|| Fault::new("sealing a credential", "the log is empty"))?;
    let origin = credential_origin(upstream, purpose);
    let context = credential_context(genesis, upstream, &origin, purpose);
    let sealed = vault::seal(key, &context, &credential.0)
        .map_err(|error| Fault::new("sealing a credential", error))?;
    let sealed = sealed.as_bytes().to_vec();
    let sealed_sha256 = Sha256::of(&sealed);
    let change = Change::SetCredential { upstream: upstream.id(), purpose, sealed_sha256 };
    Ok(Wanted { change, details: Details::Credential { sealed } })
}

/// Saves the first revision of a new policy, or the next one of `id`.
async fn insert_policy(
    tx: &mut Tx,
    by: &Proposer,
    id: Option<PolicyId>,
    draft: PolicyDraft,
    now: Timestamp,
) -> Result<Entered<PolicySaved>> {
    require_owner(tx, &by.actor).await?;
    let (id, revision) = match id {
        None => (entropy::id(now)?, 1),
        Some(id) => (id, known_policy(tx, id).await?.revision() + 1),
    };
    let policy = Policy::parse(id, revision, draft).map_err(bad_input)?;
    let not_joined = check_members(tx, &policy).await?;
    let proposal = enter(tx, by, vec![Wanted::plain(Change::SetPolicy { policy })], now).await?;
    Ok(Entered { value: PolicySaved { id, revision, not_joined }, proposal })
}

/// No policy is saved that nobody can satisfy (Q8). People who were invited count, and are named
/// in the answer; people who joined and have no key left do not.
async fn check_members(tx: &mut Tx, policy: &Policy) -> Result<Vec<String>> {
    let roster = tx.roster().await?.unwrap_or_default();
    let holders = roster.approvers(policy, Timestamp::MAX);
    let with_keys = roster.holding_keys(&policy.named());
    let (mut able, mut invited, mut not_joined) = (with_keys, BTreeSet::new(), Vec::new());
    for member in policy.named() {
        let person = match tx.person(member).await? {
            Some(person) if person.left_at.is_none() => person,
            _ => {
                return refuse(
                    Kind::BadInput,
                    format!("expected people on the roster, received `{member}`"),
                );
            }
        };
        if !person.role.may_sign() {
            let name = excerpt(&person.name);
            return refuse(
                Kind::BadInput,
                format!("expected people who may sign, received `{name}`"),
            );
        }
        if person.joined_at.is_none() {
            not_joined.push(person.name);
            invited.insert(member);
        }
    }
    // Ids made in one millisecond have no order of their own.
    not_joined.sort();
    able.extend(&invited);
    // Whoever joins yet may bring a hardware key.
    let with_hardware = holders.with_hardware.union(&invited).copied().collect();
    let approvers = Approvers { people: able.clone(), with_hardware };
    match policy.out_of_reach(&approvers, &able) {
        Some(why) => Err(bad_input(why)),
        None => Ok(not_joined),
    }
}

async fn insert_package(
    tx: &mut Tx,
    by: &Proposer,
    draft: PackageDraft,
    now: Timestamp,
) -> Result<Entered<PackageId>> {
    require_owner(tx, &by.actor).await?;
    let ecosystem = draft.name.ecosystem();
    let upstream = known_upstream(tx, draft.upstream).await?.upstream;
    if upstream.kind() != ecosystem {
        let (wanted, name) = (ecosystem.label(), excerpt(upstream.name()));
        let message = format!("expected a registry that speaks {wanted}, received `{name}`");
        return refuse(Kind::BadInput, message);
    }
    known_policy(tx, draft.policy).await?;
    check_access(&draft)?;
    if tx.package_named(&draft.name).await?.is_some() {
        return refuse(Kind::Conflict, registered(&draft.name));
    }
    let package = StoredPackage {
        id: entropy::id(now)?,
        name: draft.name,
        upstream: draft.upstream,
        policy: draft.policy,
        access: draft.access,
    };
    let change = Change::SetPackage { package: package.record() };
    let proposal = enter(tx, by, vec![Wanted::plain(change)], now).await?;
    Ok(Entered { value: package.id, proposal })
}

fn registered(name: &PackageName) -> String {
    format!("expected a package that is not registered yet, received `{name}`")
}

fn check_access(draft: &PackageDraft) -> Result<()> {
    let Some(access) = draft.access else {
        return Ok(());
    };
    if draft.name.ecosystem() != Ecosystem::Npm {
        let received = access.as_str();
        let message = format!("expected access for npm packages only, received `{received}`");
        return refuse(Kind::BadInput, message);
    }
    if access == Access::Restricted && draft.name.npm_scope().is_none() {
        let message = "expected public access for a package without a scope, received `restricted`";
        return refuse(Kind::BadInput, message);
    }
    Ok(())
}

async fn insert_publisher(
    tx: &mut Tx,
    by: &Proposer,
    draft: PublisherDraft,
    now: Timestamp,
) -> Result<Entered<PublisherId>> {
    require_owner(tx, &by.actor).await?;
    let issuers = tx.issuers().await?;
    let Some(issuer) = issuers.iter().find(|issuer| issuer.id() == draft.issuer) else {
        let message = format!("expected a configured issuer, received `{}`", draft.issuer);
        return refuse(Kind::NotFound, message);
    };
    if issuer.preset() != draft.rule.preset() {
        let (wanted, received) = (issuer.preset().as_str(), draft.rule.preset().as_str());
        let message = format!(
            "expected a {wanted} rule, which is what this issuer's tokens carry, received \
             `{received}`"
        );
        return refuse(Kind::BadInput, message);
    }
    check_packages(tx, &draft.packages).await?;
    for known in tx.publishers_of(draft.issuer).await? {
        if *known.publisher.rule() == draft.rule {
            // Two equal rules would make it a matter of luck which packages a token may stage.
            let name = excerpt(known.publisher.name());
            let message = format!("expected a rule of its own, received that of `{name}`");
            return refuse(Kind::Conflict, message);
        }
    }
    if tx.publishers().await?.iter().any(|known| known.publisher.name() == draft.name) {
        let received = excerpt(&draft.name);
        let message =
            format!("expected a publisher name that is not in use, received `{received}`");
        return refuse(Kind::Conflict, message);
    }
    let id = entropy::id(now)?;
    let publisher = Publisher::parse(id, &draft.name, draft.issuer, draft.rule, draft.packages)
        .map_err(bad_input)?;
    let proposal = enter(tx, by, vec![publisher_change(&publisher)], now).await?;
    Ok(Entered { value: id, proposal })
}

/// The change that lets a publisher stage its packages.
fn publisher_change(publisher: &Publisher) -> Wanted {
    let details = Details::Publisher {
        name: publisher.name().to_owned(),
        issuer: publisher.issuer(),
        rule: Box::new(publisher.rule().clone()),
    };
    Wanted { change: Change::SetPublisher { publisher: publisher_record(publisher) }, details }
}

async fn check_packages(tx: &mut Tx, packages: &BTreeSet<PackageId>) -> Result<()> {
    if packages.is_empty() || packages.len() > PUBLISHER_PACKAGES_MAX {
        let received = packages.len();
        let message =
            format!("expected 1 to {PUBLISHER_PACKAGES_MAX} packages, received `{received}`");
        return refuse(Kind::BadInput, message);
    }
    for package in packages {
        known_package(tx, *package).await?;
    }
    Ok(())
}

async fn known_upstream(tx: &mut Tx, id: UpstreamId) -> Result<StoredUpstream> {
    match tx.upstream(id).await? {
        Some(upstream) => Ok(upstream),
        None => refuse(Kind::NotFound, format!("expected a configured registry, received `{id}`")),
    }
}

async fn known_policy(tx: &mut Tx, id: PolicyId) -> Result<Policy> {
    match tx.policy(id).await? {
        Some(policy) => Ok(policy),
        None => refuse(Kind::NotFound, format!("expected an existing policy, received `{id}`")),
    }
}

async fn known_package(tx: &mut Tx, id: PackageId) -> Result<StoredPackage> {
    match tx.package(id).await? {
        Some(package) => Ok(package),
        None => refuse(Kind::NotFound, format!("expected a registered package, received `{id}`")),
    }
}
