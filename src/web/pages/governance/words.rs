//! Changes in the words of people: what a proposal is about, field by field, and why it takes what it
//! takes.

use std::collections::BTreeSet;

use crate::domain::assertion::CoseKey;
use crate::domain::digest::Sha256;
use crate::domain::event::{PackageRecord, PublisherRecord, UpstreamRecord};
use crate::domain::governed::PROBATION;
use crate::domain::ids::{IssuerId, PackageId, PersonId};
use crate::domain::policy::Policy;
use crate::domain::proposal::{Change, Scope, Takes};
use crate::domain::roster::{CiIdentity, Role};
use crate::domain::upstream::CredentialPurpose;
use crate::domain::words::check_words;
use crate::pipeline::governance::Details;
use crate::pipeline::governance::view::{Names, ProposalView};
use crate::web::display::{count, grouped, list, span, visible};
use crate::web::pages::admin::people::title as role_title;
use crate::web::pages::admin::publishers::rule_facts;
use crate::web::pages::admin::registries::issuer_facts;
use crate::web::views::governance::{ChangeCard, Delta};
use crate::web::views::shell::{Badge, Tone};

/// What a proposal is about, in one line.
pub(super) fn title(view: &ProposalView) -> String {
    let changes = &view.open.proposal.changes;
    let first = changes.first().map_or_else(String::new, |change| change_title(view, change));
    match changes.len() {
        0 | 1 => first,
        more => format!("{first}, and {}", count(more as u64 - 1, "more change")),
    }
}

fn change_title(view: &ProposalView, change: &Change) -> String {
    let person = |id: &PersonId| visible(&view.names.person(*id));
    match change {
        Change::AddPerson { person: id, role } => {
            format!("{} joins as {}", person(id), a_role(*role))
        }
        Change::ChangeRole { person: id, role } => {
            format!("{} becomes {}", person(id), a_role(*role))
        }
        Change::RemovePerson { person: id } => format!("{} leaves", person(id)),
        Change::AddKey { person: id, .. } => format!("A passkey of {} comes to count", person(id)),
        Change::RevokeKey { person: id, .. } => {
            format!("A passkey of {} stops counting", person(id))
        }
        Change::LinkIdentity { person: Some(id), .. } => {
            format!("A CI account belongs to {}", person(id))
        }
        Change::LinkIdentity { person: None, .. } => "A CI account is a bot's".to_owned(),
        Change::UnlinkIdentity { .. } => "A CI account is nobody's any more".to_owned(),
        _ => place_title(view, change),
    }
}

/// The title of a change that is not about people.
fn place_title(view: &ProposalView, change: &Change) -> String {
    let (names, before) = (&view.names, &view.before);
    let verb = |known: bool| if known { "Change the" } else { "New" };
    match change {
        Change::SetPolicy { policy } => {
            let known = before.policy(policy.id()).is_ok();
            format!("{} policy “{}”", verb(known), visible(policy.name()))
        }
        Change::SetUpstream { upstream } => {
            let known = before.upstream(upstream.id).is_some();
            format!("{} registry “{}”", verb(known), visible(&names.upstream(upstream.id)))
        }
        Change::SetCredential { upstream, purpose, .. } => {
            let what = match purpose {
                CredentialPurpose::Publish => "Another credential to publish to",
                CredentialPurpose::Read => "Another credential to read from",
            };
            format!("{what} “{}”", visible(&names.upstream(*upstream)))
        }
        Change::SetPackage { package } => {
            let known = before.package(package.id).is_ok();
            format!("{} package {}", verb(known), visible(&package.name))
        }
        Change::SetIssuer { issuer } => {
            let known = before.issuer(issuer.id).is_some();
            format!("{} issuer “{}”", verb(known), issuer_name(names, issuer.id))
        }
        Change::SetPublisher { publisher } => {
            let known = before.publisher(publisher.id).is_some();
            format!("{} publisher “{}”", verb(known), visible(&names.publisher(publisher.id)))
        }
        Change::RemovePublisher { publisher } => {
            format!("Remove the publisher “{}”", visible(&names.publisher(*publisher)))
        }
        Change::Freeze { scope } => format!("Freeze {}", scope_name(view, *scope)),
        Change::Unfreeze { scope } => format!("End the freeze of {}", scope_name(view, *scope)),
        _ => String::new(),
    }
}

fn scope_name(view: &ProposalView, scope: Scope) -> String {
    match scope {
        Scope::Everything => "everything".to_owned(),
        Scope::Package(id) => package_name(view, id),
    }
}

/// What a package is called, also one that the same proposal adds.
pub(super) fn package_name(view: &ProposalView, id: PackageId) -> String {
    let added = view.open.proposal.changes.iter().find_map(|change| match change {
        Change::SetPackage { package } if package.id == id => Some(package.name.as_str()),
        _ => None,
    });
    let known = view.before.package(id).ok().map(|package| package.name.as_str());
    known.or(added).map_or_else(|| id.to_string(), visible)
}

const fn a_role(role: Role) -> &'static str {
    match role {
        Role::Owner => "an owner",
        Role::Maintainer => "a maintainer",
        Role::Viewer => "a viewer",
    }
}

/// The icon of a change.
pub(super) const fn icon(change: &Change) -> &'static str {
    match change {
        Change::AddPerson { .. } => "user-plus",
        Change::ChangeRole { .. } | Change::RemovePerson { .. } => "users",
        Change::AddKey { .. } | Change::RevokeKey { .. } => "key-round",
        Change::LinkIdentity { .. } | Change::UnlinkIdentity { .. } => "bot",
        Change::SetPolicy { .. } => "scale",
        Change::SetUpstream { .. } => "landmark",
        Change::SetCredential { .. } => "lock",
        Change::SetPackage { .. } => "package",
        Change::SetIssuer { .. } => "badge-check",
        Change::SetPublisher { .. } | Change::RemovePublisher { .. } => "workflow",
        Change::Freeze { .. } => "pause",
        Change::Unfreeze { .. } => "timer",
    }
}

/// Every change of a proposal.
pub(super) fn cards(view: &ProposalView) -> Vec<ChangeCard> {
    let changes = view.open.proposal.changes.iter().zip(&view.details);
    changes.map(|(change, details)| card(view, change, details)).collect()
}

fn card(view: &ProposalView, change: &Change, details: &Details) -> ChangeCard {
    let takes = view.before.change_takes(view.open.proposal.by, change);
    ChangeCard {
        icon: icon(change),
        title: change_title(view, change),
        rows: rows(view, change, details),
        because: because(view, change, takes),
        badge: badge(view, change, takes),
    }
}

fn badge(view: &ProposalView, change: &Change, takes: Takes) -> Badge {
    let revises = |policy: &Policy| view.before.policy(policy.id()).is_ok();
    match (takes, change) {
        (Takes::QuorumAndDelay, _) => Badge::new(Tone::Warn, "shield-alert", "Loosens"),
        (Takes::OneSignature, Change::AddKey { .. } | Change::LinkIdentity { .. }) => {
            Badge::new(Tone::Plain, "key-round", "One's own")
        }
        (Takes::OneSignature, _) => Badge::new(Tone::Ok, "shield-check", "Tightens"),
        (Takes::Quorum, Change::SetPolicy { policy }) if revises(policy) => {
            Badge::new(Tone::Ok, "shield-check", "Tightens")
        }
        (Takes::Quorum, _) => Badge::new(Tone::Plain, "scale", "Takes a quorum"),
    }
}

/// Why a change takes what it takes.
fn because(view: &ProposalView, change: &Change, takes: Takes) -> String {
    let own = takes == Takes::OneSignature;
    let loosens = takes == Takes::QuorumAndDelay;
    let text = match change {
        Change::AddPerson { .. } => "One more person could come to sign.",
        Change::ChangeRole { .. } if loosens => "They could do more than before.",
        Change::ChangeRole { .. } => "They could do less, which changes who can form a quorum.",
        Change::RemovePerson { .. } | Change::RevokeKey { .. } if own => {
            "About oneself alone: nobody has to agree."
        }
        Change::RemovePerson { .. } | Change::RevokeKey { .. } => {
            "Fewer people could sign, so those who do agree to it."
        }
        Change::AddKey { .. } if own => {
            return format!(
                "A further key of one's own. It approves after {}, in which a thief would be noticed.",
                span(PROBATION)
            );
        }
        Change::AddKey { .. } => {
            return format!(
                "Whoever holds this key could sign, so others vouch for it: call its owner and compare \
                 the words. It objects at once and approves after {}.",
                span(PROBATION)
            );
        }
        Change::LinkIdentity { .. } if own => "It only takes from what they can approve.",
        Change::LinkIdentity { .. } | Change::UnlinkIdentity { .. } => {
            "It decides who is left out of approving a run."
        }
        Change::SetPolicy { .. } if loosens => "It lets through what the rule before would not.",
        Change::SetPolicy { policy } if view.before.policy(policy.id()).is_ok() => {
            "Nothing passes that did not pass before."
        }
        Change::SetPolicy { .. } => "No package is under it yet.",
        Change::SetUpstream { .. } if loosens => "Releases would go to another address.",
        Change::SetUpstream { .. } => "Nothing goes there yet.",
        Change::SetCredential { .. } => {
            "What may be done at the registry depends on it. Nobody can read it here."
        }
        Change::SetPackage { .. } if loosens => "Its releases would follow another rule.",
        Change::SetPackage { .. } => "It was not released through here before.",
        Change::SetIssuer { .. } => "Tokens of another issuer would be believed.",
        Change::SetPublisher { .. } => "Another CI workload could submit.",
        Change::RemovePublisher { .. } => "It only takes away.",
        Change::Freeze { .. } => "It only stops.",
        Change::Unfreeze { .. } => "Sending would go on.",
    };
    text.to_owned()
}

fn rows(view: &ProposalView, change: &Change, details: &Details) -> Vec<Delta> {
    let roster = view.before.roster().ok();
    let role = |id: &PersonId| {
        let person = roster.and_then(|roster| roster.person(*id));
        person.map(|person| role_title(person.role))
    };
    match change {
        Change::AddPerson { role, .. } => vec![Delta::new("Role", role_title(*role))],
        Change::ChangeRole { person, role: to } => {
            vec![Delta::change("Role", role(person).unwrap_or("None"), role_title(*to))]
        }
        Change::RemovePerson { person } => leaving(view, *person),
        Change::AddKey { key, .. } => {
            let name = view.names.key(&key.credential_id).map(visible).unwrap_or_default();
            let beside = view.names.beside(&key.credential_id);
            let beside = beside.map(|other| {
                let who = visible(&view.names.person(other));
                Delta::new("Enrolled", format!("In a browser in which {who} was signed in"))
            });
            let rows = vec![
                Delta::new("Called", name),
                Delta::new("Fingerprint", fingerprint(&key.public_key)).code(),
                // Whoever enrolled it has the same on their own page (W12).
                Delta::new("Words to compare", check_words::<4>(&key.fingerprint()).join(" "))
                    .code(),
            ];
            rows.into_iter().chain(beside).collect()
        }
        Change::RevokeKey { credential_id, .. } => {
            let key = roster.and_then(|roster| roster.key(credential_id));
            let name = view.names.key(credential_id).map(visible);
            let print = key.map(|(_, key)| fingerprint(&key.public_key));
            vec![
                Delta { from: name, ..gone("Called") },
                Delta { from: print, ..gone("Fingerprint") }.code(),
            ]
        }
        Change::LinkIdentity { identity, .. } => vec![account(&view.names, identity)],
        Change::UnlinkIdentity { identity } => {
            let account = account(&view.names, identity);
            vec![Delta { from: account.to, to: None, ..account }]
        }
        Change::SetPolicy { policy } => policy_rows(view, policy),
        Change::SetUpstream { upstream } => upstream_rows(view, upstream, details),
        Change::SetCredential { sealed_sha256, upstream, purpose } => {
            let before = match purpose {
                CredentialPurpose::Publish => view.before.credential(*upstream),
                CredentialPurpose::Read => None,
            };
            let short = |digest: Sha256| format!("sha256 {}", grouped(&digest.to_string()));
            let (from, to) = (before.map(short), Some(short(*sealed_sha256)));
            vec![Delta { label: "Sealed bytes".to_owned(), from, to, code: true }]
        }
        Change::SetPackage { package } => package_rows(view, package),
        Change::SetIssuer { .. } => issuer_rows(details),
        Change::SetPublisher { publisher } => publisher_rows(view, publisher, details),
        Change::RemovePublisher { publisher } => {
            let known = view.before.publisher(*publisher);
            let packages = known.map(|known| packages(view, &known.packages));
            vec![Delta { from: packages, ..gone("May submit") }]
        }
        Change::Freeze { .. } | Change::Unfreeze { .. } => Vec::new(),
    }
}

fn gone(label: &str) -> Delta {
    Delta { label: label.to_owned(), from: None, to: None, code: false }
}

/// The first half of the digest of a public key, enough to compare on two screens.
pub(super) fn fingerprint(key: &CoseKey) -> String {
    let digest = Sha256::of(key.as_bytes()).to_string();
    grouped(&digest[..32])
}

/// A CI account with its issuer's name.
pub(super) fn account_text(names: &Names, identity: &CiIdentity) -> String {
    format!("{} at {}", visible(&identity.actor_id), visible(names.issuer_at(&identity.issuer)))
}

fn account(names: &Names, identity: &CiIdentity) -> Delta {
    Delta::new("CI account", account_text(names, identity))
}

fn leaving(view: &ProposalView, person: PersonId) -> Vec<Delta> {
    let known = view.before.roster().ok().and_then(|roster| roster.person(person));
    let naming = view.before.policies().filter(|policy| policy.members().contains(&person));
    let policies: Vec<_> = naming.map(|policy| visible(policy.name())).collect();
    let mut rows = Vec::new();
    if let Some(known) = known {
        rows.push(Delta { from: Some(role_title(known.role).to_owned()), ..gone("Role") });
        let keys = count(known.keys.len() as u64, "passkey");
        rows.push(Delta { from: Some(keys), ..gone("Passkeys") });
    }
    if !policies.is_empty() {
        rows.push(Delta { from: Some(list(&policies, "and")), ..gone("Signs under") });
    }
    rows
}

/// Names of some people, sorted.
pub(super) fn people(names: &Names, ids: &BTreeSet<PersonId>) -> String {
    let mut people: Vec<_> = ids.iter().map(|id| visible(&names.person(*id))).collect();
    people.sort();
    list(&people, "and")
}

fn policy_rows(view: &ProposalView, policy: &Policy) -> Vec<Delta> {
    let members = |policy: &Policy| people(&view.names, policy.members());
    let Ok(before) = view.before.policy(policy.id()) else {
        return vec![
            Delta::new("The rule", policy.sentence()),
            Delta::new("Who may approve", members(policy)),
        ];
    };
    let mut rows = vec![
        Delta::change("The rule", before.sentence(), policy.sentence()),
        Delta::change("Who may approve", members(before), members(policy)),
    ];
    if before.name() != policy.name() {
        rows.push(Delta::change("Name", visible(before.name()), visible(policy.name())));
    }
    let revision = |policy: &Policy| policy.revision().to_string();
    rows.push(Delta::change("Revision", revision(before), revision(policy)));
    rows
}

fn upstream_rows(view: &ProposalView, after: &UpstreamRecord, details: &Details) -> Vec<Delta> {
    let before = view.before.upstream(after.id);
    let row = |label: &str, of: &dyn Fn(&UpstreamRecord) -> Option<String>| Delta {
        label: label.to_owned(),
        from: before.and_then(of),
        to: of(after),
        code: false,
    };
    let private = |it: &UpstreamRecord| {
        let words = if it.allow_private { "allowed" } else { "refused" };
        Some(words.to_owned())
    };
    let mut rows = vec![
        row("Kind", &|it| Some(it.kind.label().to_owned())),
        row("Address", &|it| Some(visible(&it.url))).code(),
        row("Simple index", &|it| it.simple_url.as_deref().map(visible)).code(),
        row("Files", &|it| it.files_url.as_deref().map(visible)).code(),
        row("Private networks", &private),
    ];
    rows.retain(|row| row.from.is_some() || row.to.is_some());
    if let Details::Upstream { username, .. } = details
        && !username.is_empty()
    {
        rows.push(Delta::new("User name", visible(username)).code());
    }
    rows
}

fn package_rows(view: &ProposalView, after: &PackageRecord) -> Vec<Delta> {
    let before = view.before.package(after.id).ok();
    let row = |label: &str, of: &dyn Fn(&PackageRecord) -> Option<String>| Delta {
        label: label.to_owned(),
        from: before.and_then(of),
        to: of(after),
        code: false,
    };
    let rule = |it: &PackageRecord| {
        let policy = view.before.policy(it.policy).ok()?;
        Some(format!("{}. {}", visible(policy.name()), policy.sentence()))
    };
    let mut rows = vec![
        row("Kind", &|it| Some(it.ecosystem.label().to_owned())),
        row("Registry", &|it| Some(visible(&view.names.upstream(it.upstream)))),
        row("Policy", &rule),
        row("Access of a first version", &|it| it.access.map(|a| a.as_str().to_owned())),
    ];
    rows.retain(|row| row.from.is_some() || row.to.is_some());
    rows
}

fn packages(view: &ProposalView, ids: &BTreeSet<PackageId>) -> String {
    let mut names: Vec<_> = ids.iter().map(|id| package_name(view, *id)).collect();
    names.sort();
    list(&names, "and")
}

fn issuer_name(names: &Names, id: IssuerId) -> String {
    names.issuer(id).map_or_else(|| id.to_string(), |issuer| visible(issuer.name()))
}

/// Only what stands beside it, which hashes to what is signed, says what an issuer is.
fn issuer_rows(details: &Details) -> Vec<Delta> {
    let Details::Issuer { config } = details else { return Vec::new() };
    issuer_facts(config)
        .into_iter()
        .map(|fact| Delta { code: fact.code, ..Delta::new(&fact.label, fact.value) })
        .collect()
}

fn publisher_rows(view: &ProposalView, after: &PublisherRecord, details: &Details) -> Vec<Delta> {
    let before = view.before.publisher(after.id);
    let mut rows = vec![Delta {
        label: "May submit".to_owned(),
        from: before.map(|record| packages(view, &record.packages)),
        to: Some(packages(view, &after.packages)),
        code: false,
    }];
    let Details::Publisher { issuer, rule, .. } = details else {
        return rows;
    };
    let issuer = issuer_name(&view.names, *issuer);
    // An issuer does not change: another one is another publisher.
    let known = before.is_some();
    rows.push(Delta { from: known.then(|| issuer.clone()), ..Delta::new("Tokens of", issuer) });
    let now = view.rules.get(&after.id).map(rule_facts).unwrap_or_default();
    for fact in rule_facts(rule) {
        let same = now.iter().find(|known| known.label == fact.label);
        rows.push(Delta {
            label: fact.label.clone(),
            from: same.map(|known| known.value.clone()),
            to: Some(fact.value),
            code: true,
        });
    }
    rows
}
