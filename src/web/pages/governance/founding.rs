//! `/founding`: what is set up is put before the founders, who sign it (Q19, Q21).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use jiff::SignedDuration;

use super::words::{account_text, fingerprint, people};
use super::{Words, statement};
use crate::app::App;
use crate::domain::digest::Sha256;
use crate::domain::founding::{Founding, FoundingStatement};
use crate::domain::governed::Founded;
use crate::domain::ids::{PackageId, PersonId, PolicyId, UpstreamId};
use crate::domain::policy::Policy;
use crate::domain::roster::RosterPerson;
use crate::pipeline::governance::founding;
use crate::pipeline::governance::view::{self, FoundingView};
use crate::pipeline::{Error, Fault, Kind, detached, refuse};
use crate::web::ceremonies::{Finish, begun_json, location_json};
use crate::web::display::{When, grouped, list, span, visible};
use crate::web::extract::{ProtectedForm, ProtectedJson};
use crate::web::pages::admin::people::{one_browser, title as role_title};
use crate::web::pages::admin::publishers::rule_facts;
use crate::web::pages::admin::registries::issuer_facts;
use crate::web::pages::visit::{ByOwner, Fields, Visit, correctable, listed};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::security::may_sign;
use crate::web::views::form::Choice;
use crate::web::views::governance::{
    FoundingDocument, FoundingForm, FoundingPage, FoundingPerson, FoundingPolicy, FoundingThing,
    SignaturesView,
};
use crate::web::views::release::Slot;
use crate::web::views::shell::{Badge, Face, Fact, Link, Notice, Section, Tone};

/// Suggested: nights and a weekend's Saturday.
const DELAY_SUGGESTED: &str = "48";

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/founding", page)
        .post("/founding", put)
        .post("/founding/sign/begin", begin)
        .post("/founding/sign/finish", finish)
}

async fn page(visit: Visit) -> Answer {
    answer(&visit, &Fields::default(), None, None).await
}

/// What is said on the pages of an installation that is not founded.
pub(in crate::web::pages) fn notice(view: &FoundingView) -> Option<Notice> {
    if view.founded.is_some() {
        return None;
    }
    let in_use = |policy: &&Arc<Policy>| {
        view.governed.packages().any(|package| package.policy == policy.id())
    };
    let required = view.governed.policies().filter(in_use).map(|policy| policy.required()).max();
    let text = match required {
        _ if view.waits_for_viewer => {
            "It is put before you. Read it, and sign it with your passkey."
        }
        Some(2..) => "Nothing that takes two approvals is sent before.",
        Some(_) => "One person's passkey is enough to publish, and to change every rule here.",
        None => return None,
    };
    Some(Notice {
        tone: if view.waits_for_viewer { Tone::Note } else { Tone::Warn },
        icon: "stamp",
        title: "This installation is not founded yet".to_owned(),
        text: text.to_owned(),
        link: Some(Link::new("/founding", "Found it")),
    })
}

/// What a release that takes two waits for before the founding (Q21).
pub(in crate::web::pages) fn release_waits() -> Notice {
    Notice {
        tone: Tone::Warn,
        icon: "stamp",
        title: "Set-up is not finished".to_owned(),
        text:
            "The founding is not signed, and until it is, nothing is sent that takes two or more \
               approvals. Approvals are kept, and it goes out by itself then."
                .to_owned(),
        link: Some(Link::new("/founding", "Founding")),
    }
}

async fn answer(
    visit: &Visit,
    fields: &Fields,
    message: Option<&str>,
    secret: Option<&str>,
) -> Answer {
    let view = view::founding(&visit.app.store, visit.viewer.person, visit.now).await?;
    let policies: Vec<_> = view.governed.policies().collect();
    let mut missing = Vec::new();
    if view.founded.is_none() && policies.is_empty() {
        missing.push(Link::new("/policies/new", "Write a policy: it says how many founders sign"));
    }
    let may_put = visit.is_owner() && view.founded.is_none() && !policies.is_empty();
    let may_put = may_put && secret.is_none();
    let page = FoundingPage {
        layout: visit.layout(Section::Proposals, "Founding").await?,
        status: status(&view),
        secret: secret.map(str::to_owned),
        notices: one_browser_each(&view),
        missing,
        form: may_put.then(|| form(&view, &policies, fields)),
        errors: listed(message, &["policy", "delay_hours"]),
        sign: view.waits_for_viewer.then(|| "/founding/sign".to_owned()),
        not_you: not_you(&view, visit.viewer.person),
        document: view.document.as_ref().map(|it| document(visit, &view, it)),
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let shown = show(status, &page)?;
    Ok(if page.sign.is_some() { may_sign(shown) } else { shown })
}

/// Keys of two people that were enrolled in one browser, before anybody signs who they are.
fn one_browser_each(view: &FoundingView) -> Vec<Notice> {
    let roster = view.governed.roster().ok();
    let people = roster.iter().flat_map(|roster| &roster.people);
    let keys = people.flat_map(|person| person.keys.iter().map(|key| (person.id, key)));
    keys.filter_map(|(person, key)| {
        let other = view.names.beside(&key.credential_id)?;
        Some(one_browser(&view.names.person(person), &view.names.person(other)))
    })
    .collect()
}

fn status(view: &FoundingView) -> Badge {
    let Some(document) = &view.document else {
        return Badge::new(Tone::Warn, "circle-dashed", "Not begun");
    };
    if view.founded.is_some() {
        return Badge::new(Tone::Ok, "circle-check", "Founded");
    }
    let required = view.governed.policy(document.governing).map_or(0, |policy| policy.required());
    let signed = u32::try_from(view.signed.len()).unwrap_or(u32::MAX);
    let missing = required.saturating_sub(signed);
    let text = format!("Needs {}", crate::web::display::count(missing.into(), "more founder"));
    Badge::new(Tone::Note, "hourglass", text)
}

fn not_you(view: &FoundingView, viewer: PersonId) -> String {
    let text = if view.founded.is_some() {
        "Every change from here on is a proposal."
    } else if view.signed.iter().any(|(person, _)| *person == viewer) {
        "You signed. The last founder's signature founds it."
    } else {
        "The governing policy does not name you, or you hold no passkey that counts."
    };
    text.to_owned()
}

fn form(view: &FoundingView, policies: &[&Arc<Policy>], fields: &Fields) -> FoundingForm {
    let strictest = policies.iter().max_by_key(|policy| policy.required()).map(|it| it.id());
    let choices = policies.iter().map(|policy| {
        let value = policy.id().to_string();
        let suggested = Some(policy.id()) == strictest;
        let chosen = fields.chose("policy", &value, suggested);
        let choice = Choice::new(value, visible(policy.name()), policy.sentence());
        if chosen { choice.chosen() } else { choice }
    });
    FoundingForm {
        policies: choices.collect(),
        delay: fields.field("delay_hours", DELAY_SUGGESTED),
        again: view.document.is_some(),
    }
}

/// Puts it before the founders. The secret is in this answer and nowhere else.
async fn put(ByOwner(visit): ByOwner, ProtectedForm(fields): ProtectedForm<Fields>) -> Answer {
    let put = async {
        let (policy, delay) = choice(&fields)?;
        let (store, by) = (&visit.app.store, visit.viewer.person);
        founding::put(store, by, policy, delay, visit.now).await
    };
    match put.await {
        Ok(secret) => answer(&visit, &fields, None, Some(secret.expose())).await,
        Err(error) => answer(&visit, &fields, Some(&correctable(error)?), None).await,
    }
}

fn choice(fields: &Fields) -> Result<(PolicyId, SignedDuration), Error> {
    let Ok(policy) = fields.text("policy").parse() else {
        return refuse(Kind::BadInput, "expected one of the policies as policy");
    };
    let Ok(hours) = fields.text("delay_hours").parse::<u32>() else {
        return refuse(Kind::BadInput, "expected a whole number of hours as delay hours");
    };
    Ok((policy, SignedDuration::from_hours(hours.into())))
}

async fn begin(visit: Visit, ProtectedJson(_): ProtectedJson<Words>) -> Answer {
    let (app, now) = (visit.app, visit.now);
    let signer = visit.viewer.signer();
    let begun =
        detached(async move { founding::begin(&app.store, &app.passkeys, &signer, now).await });
    Ok(begun_json(begun.await?))
}

async fn finish(visit: Visit, ProtectedJson(answer): ProtectedJson<Finish>) -> Answer {
    let (app, now) = (visit.app, visit.now);
    let signer = visit.viewer.signer();
    detached(async move {
        let answer = (answer.ceremony, answer.credential);
        let last = founding::finish(&app.store, &app.passkeys, &signer, answer, now).await?;
        // If we stop between the signature and the pin, nothing is sent, and the sweep pins it.
        if let Some(digest) = last {
            app.pin_founding(digest).map_err(|error| Fault::new("pinning the founding", error))?;
            founding::go_on(&app.store, now).await?;
        }
        Ok(())
    })
    .await?;
    Ok(location_json("/founding"))
}

fn document(visit: &Visit, view: &FoundingView, founding: &Founding) -> FoundingDocument {
    let policy = founding.policies.iter().find(|policy| policy.id() == founding.governing);
    let governing = policy.map_or_else(String::new, |policy| visible(policy.name()));
    let shown = FoundingStatement::new(visit.viewer.person, founding.clone());
    FoundingDocument {
        founded: view.founded.as_ref().map(|founded| When::new(founded.at, visit.now)),
        signatures: signatures(visit, view, policy),
        facts: facts(visit, view.founded.as_ref(), founding, &governing),
        people: founding.roster.people.iter().map(|it| person(view, it)).collect(),
        bots: founding.roster.bots.iter().map(|bot| account_text(&view.names, bot)).collect(),
        policies: founding.policies.iter().map(|it| a_policy(view, founding, it)).collect(),
        registries: registries(view, founding),
        packages: packages(view, founding),
        issuers: issuers(view, founding),
        publishers: publishers(view, founding),
        statement: statement::of_founding(&governing, &shown),
    }
}

fn signatures(visit: &Visit, view: &FoundingView, policy: Option<&Policy>) -> SignaturesView {
    let required = policy.map_or(0, Policy::required);
    let name = |id: &PersonId| visible(&view.names.person(*id));
    let mut slots: Vec<Slot> = view
        .signed
        .iter()
        .map(|(person, at)| {
            Slot::Signed(Face::of(&name(person)), When::new(*at, visit.now).relative)
        })
        .collect();
    let has_signed = |id: &PersonId| view.signed.iter().any(|(person, _)| person == id);
    let viewer = visit.viewer.person;
    let others = view.able.iter().filter(|id| !has_signed(id) && **id != viewer);
    let others = list(&others.map(name).collect::<Vec<_>>(), "or");
    let signed = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let open = if view.founded.is_some() { 0 } else { required.saturating_sub(signed) };
    for place in 0..open {
        slots.push(match (place, view.waits_for_viewer, others.is_empty()) {
            (0, true, true) => Slot::Yours(String::new()),
            (0, true, false) => Slot::Yours(format!("or {others}")),
            (_, _, _) => Slot::Open(others.clone()),
        });
    }
    SignaturesView {
        policy: policy.map(|it| Link::new(format!("/policies/{}", it.id()), visible(it.name()))),
        name: policy.map_or_else(String::new, |policy| visible(policy.name())),
        signed,
        required,
        slots,
    }
}

fn facts(
    visit: &Visit,
    founded: Option<&Founded>,
    founding: &Founding,
    governing: &str,
) -> Vec<Fact> {
    let recovery = Sha256::of(String::from(founding.recovery).as_bytes()).to_string();
    let mut facts = vec![
        Fact::code("Installation", &founding.origin),
        Fact::words("Governed by", governing),
        Fact::words("A loosening waits", span(founding.delay())),
        Fact::code("Recovery key", grouped(&recovery[..32])),
        Fact::code("Digest", grouped(&founding.digest().to_string())),
    ];
    if let Some(founded) = founded {
        facts.insert(0, Fact::words("Founded", When::new(founded.at, visit.now).exact));
        let pinned = visit.app.trust().founding == Some(founded.digest);
        let words = if pinned {
            "Yes: another founding in the database sends nothing"
        } else {
            "Not yet on this host: nothing is sent until it is"
        };
        facts.push(Fact::words("Pinned beside the database", words));
    }
    facts
}

fn person(view: &FoundingView, person: &RosterPerson) -> FoundingPerson {
    let key = |key: &crate::domain::roster::RosterKey| {
        let name = view.names.key(&key.credential_id).map_or("A passkey".to_owned(), visible);
        (name, fingerprint(&key.public_key))
    };
    let accounts = person.ci_identities.iter().map(|it| account_text(&view.names, it));
    FoundingPerson {
        face: Face::of(&visible(&view.names.person(person.id))),
        role: role_title(person.role).to_owned(),
        keys: person.keys.iter().map(key).collect(),
        accounts: accounts.collect(),
    }
}

fn a_policy(view: &FoundingView, founding: &Founding, policy: &Policy) -> FoundingPolicy {
    FoundingPolicy {
        name: visible(policy.name()),
        sentence: policy.sentence(),
        people: people(&view.names, policy.members()),
        governs: policy.id() == founding.governing,
    }
}

fn registries(view: &FoundingView, founding: &Founding) -> Vec<FoundingThing> {
    let thing = |upstream: &crate::domain::event::UpstreamRecord| {
        let mut facts = vec![
            Fact::words("Kind", upstream.kind.label()),
            Fact::code("Address", visible(&upstream.url)),
        ];
        if let Some(simple) = &upstream.simple_url {
            facts.push(Fact::code("Simple index", visible(simple)));
        }
        if let Some(files) = &upstream.files_url {
            facts.push(Fact::code("Files", visible(files)));
        }
        if upstream.allow_private {
            facts.push(Fact::words("Private networks", "allowed"));
        }
        facts.push(match founding.credentials.get(&upstream.id) {
            Some(sealed) => {
                let digest = sealed.to_string();
                Fact::code("Sealed credential", format!("sha256 {}", grouped(&digest[..32])))
            }
            None => Fact::words("Sealed credential", "none yet"),
        });
        FoundingThing { name: visible(&view.names.upstream(upstream.id)), code: false, facts }
    };
    founding.upstreams.iter().map(thing).collect()
}

fn packages(view: &FoundingView, founding: &Founding) -> Vec<FoundingThing> {
    let policies: BTreeMap<PolicyId, &Policy> =
        founding.policies.iter().map(|policy| (policy.id(), policy)).collect();
    let registry = |id: UpstreamId| visible(&view.names.upstream(id));
    let thing = |package: &crate::domain::event::PackageRecord| {
        let policy = policies.get(&package.policy).map(|policy| visible(policy.name()));
        let mut facts = vec![
            Fact::words("Goes to", registry(package.upstream)),
            Fact::words("Policy", policy.unwrap_or_default()),
        ];
        if let Some(access) = package.access {
            facts.push(Fact::words("Access of a first version", access.as_str()));
        }
        FoundingThing { name: visible(&package.name), code: true, facts }
    };
    founding.packages.iter().map(thing).collect()
}

fn issuers(view: &FoundingView, founding: &Founding) -> Vec<FoundingThing> {
    let thing = |record: &crate::domain::event::IssuerRecord| {
        let (name, facts) = if let Some(issuer) = view.issuers.get(&record.id) {
            (visible(issuer.name()), issuer_facts(issuer.config()))
        } else {
            // What is signed is the digest; words that do not hash to it are not shown.
            let digest = format!("sha256 {}", record.config_sha256);
            (record.id.to_string(), vec![Fact::code("Issuer", digest)])
        };
        FoundingThing { name, code: false, facts }
    };
    founding.issuers.iter().map(thing).collect()
}

fn publishers(view: &FoundingView, founding: &Founding) -> Vec<FoundingThing> {
    let package = |id: &PackageId| {
        let known = founding.packages.iter().find(|package| package.id == *id);
        known.map_or_else(|| id.to_string(), |package| visible(&package.name))
    };
    let thing = |publisher: &crate::domain::event::PublisherRecord| {
        let names: Vec<_> = publisher.packages.iter().map(package).collect();
        let mut facts = vec![Fact::words("May submit", list(&names, "and"))];
        match view.publishers.get(&publisher.id) {
            Some((issuer, rule)) => {
                if let Some(issuer) = view.names.issuer(*issuer) {
                    facts.push(Fact::words("Tokens of", visible(issuer.name())));
                }
                facts.extend(rule_facts(rule));
            }
            // What is signed is the digest; words that do not hash to it are not shown.
            None => facts.push(Fact::code("Rule", format!("sha256 {}", publisher.rule_sha256))),
        }
        FoundingThing { name: visible(&view.names.publisher(publisher.id)), code: false, facts }
    };
    founding.publishers.iter().map(thing).collect()
}
