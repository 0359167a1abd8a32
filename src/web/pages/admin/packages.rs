//! `/packages`: what is released through this installation, and what a release of it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;

use super::policies;
use super::publishers::rule_facts;
use crate::app::App;
use crate::domain::ids::{PackageId, PolicyId};
use crate::domain::manifest::Access;
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::domain::release::State;
use crate::pipeline::review::{self, ReleaseFilter, ReleaseRow};
use crate::pipeline::setup::overview::{
    self, PackageDetails, PackageOverview, PolicyOverview, PublisherOverview,
};
use crate::pipeline::setup::{self, PackageDraft};
use crate::pipeline::{Error, Kind, Refusal, refuse};
use crate::web::display::{When, count, visible};
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::releases::decided_row;
use crate::web::pages::visit::{ByOwner, Fields, Visit, correctable, id, see_change};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::form::Choice;
use crate::web::views::package as views;
use crate::web::views::shell::{Badge, Fact, Link, Notice, Section, Tone};

/// Releases on a package's page.
const RELEASES_SHOWN: u32 = 10;

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/packages", list)
        .get("/packages/new", new_form)
        .post("/packages/new", add)
        .get("/packages/{id}", details)
}

async fn list(visit: Visit) -> Answer {
    let policies = overview::policies(&visit.app.store, visit.now).await?;
    let policies: BTreeMap<PolicyId, PolicyOverview> =
        policies.into_iter().map(|known| (known.policy.id(), known)).collect();
    let mut rows = Vec::new();
    for known in overview::packages(&visit.app.store).await? {
        let last = published(&visit, known.package.id).await?.first().map(last_release);
        rows.push(row(&known, policies.get(&known.policy.id()), last));
    }
    let page = views::PackagesPage {
        layout: visit.layout(Section::Packages, "Packages").await?,
        rows,
        hidden: 0,
        may_add: visit.is_owner(),
    };
    show(StatusCode::OK, &page)
}

fn row(
    known: &PackageOverview,
    policy: Option<&PolicyOverview>,
    last: Option<String>,
) -> views::PackageRow {
    let publishers = match known.publishers {
        0 => Badge::new(Tone::Warn, "circle-dashed", "No CI yet"),
        several => Badge::new(Tone::Ok, "circle-check", count(several as u64, "publisher")),
    };
    views::PackageRow {
        href: format!("/packages/{}", known.package.id),
        ecosystem: known.package.name.ecosystem().label().to_owned(),
        name: known.package.name.as_str().to_owned(),
        registry: known.upstream_name.clone(),
        policy: known.policy.name().to_owned(),
        publishers,
        spare: policy.map_or_else(|| Badge::new(Tone::Plain, "users", ""), policies::spare),
        last: last.unwrap_or_else(|| "None yet".to_owned()),
    }
}

async fn releases(
    visit: &Visit,
    package: PackageId,
    limit: u32,
) -> Result<Vec<ReleaseRow>, WebError> {
    let filter = ReleaseFilter { package: Some(package), limit, ..ReleaseFilter::default() };
    let (store, viewer) = (&visit.app.store, visit.viewer.person);
    Ok(review::releases(store, &filter, viewer, visit.now).await?)
}

async fn published(visit: &Visit, package: PackageId) -> Result<Vec<ReleaseRow>, WebError> {
    let filter = ReleaseFilter {
        package: Some(package),
        states: vec![State::Published],
        limit: 1,
        ..ReleaseFilter::default()
    };
    let (store, viewer) = (&visit.app.store, visit.viewer.person);
    Ok(review::releases(store, &filter, viewer, visit.now).await?)
}

fn last_release(row: &ReleaseRow) -> String {
    let day = row.record.changed_at.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}, {}", visible(&row.record.version), day.strftime("%-d %b"))
}

async fn details(visit: Visit, Path(package): Path<String>) -> Answer {
    let id = id(&package)?;
    let known = overview::package(&visit.app.store, id).await?;
    let policy = overview::policy(&visit.app.store, known.policy.id(), visit.now).await?.overview;
    let releases = releases(&visit, id, RELEASES_SHOWN).await?;
    let name = known.package.name.as_str().to_owned();
    let layout = visit.layout(Section::Packages, &name).await?;
    let may_freeze = layout.governed && visit.viewer.role.may_sign();
    let page = views::PackagePage {
        layout,
        ecosystem: known.package.name.ecosystem().label().to_owned(),
        name,
        registry: known.upstream.upstream.name().to_owned(),
        notices: notices(&known, &policy),
        conditions: conditions(&known, &policy, visit.is_owner()),
        publishers: known.publishers.iter().map(|it| publisher(&visit, id, it)).collect(),
        releases: releases.iter().map(|row| decided_row(row, visit.now)).collect(),
        facts: facts(&known),
        add_publisher: visit.is_owner().then(|| format!("/packages/{id}/publishers/new")),
        freeze: may_freeze.then(|| format!("/freeze?package={id}")),
    };
    show(StatusCode::OK, &page)
}

fn notices(known: &PackageDetails, policy: &PolicyOverview) -> Vec<Notice> {
    let mut notices = policies::notices(policy);
    if known.publishers.is_empty() {
        notices.push(Notice {
            tone: Tone::Note,
            icon: "info",
            title: "No CI can submit it yet".to_owned(),
            text: "Name the workflow that may.".to_owned(),
            link: None,
        });
    }
    notices
}

fn conditions(
    known: &PackageDetails,
    policy: &PolicyOverview,
    owner: bool,
) -> Vec<views::Condition> {
    let id = known.package.id;
    let condition = |met: bool, title: &str, detail: String, link: Option<Link>| views::Condition {
        tone: if met { Tone::Ok } else { Tone::Warn },
        title: title.to_owned(),
        detail,
        link: link.filter(|_| owner && !met),
    };
    let publishers = known.publishers.len();
    let registry = known.upstream.upstream.name();
    let credential = if known.upstream.can_publish { "is sealed" } else { "is missing" };
    vec![
        condition(
            publishers > 0,
            "A CI workflow may submit",
            count(publishers as u64, "publisher"),
            Some(Link::new(format!("/packages/{id}/publishers/new"), "Add publisher")),
        ),
        condition(
            known.upstream.can_publish,
            "The registry takes it from here",
            format!("The credential for {registry} {credential}."),
            Some(Link::new("/registries", "Add it")),
        ),
        condition(
            policies::can_be_met(policy),
            "Enough people can sign",
            format!("{} {}.", policy.policy.sentence(), policies::spare(policy).text),
            Some(Link::new(format!("/policies/{}", policy.policy.id()), "See the policy")),
        ),
        condition(
            false,
            "Nobody can release without it",
            format!(
                "This version does not watch {registry}. Remove other tokens and owners there \
                 yourself."
            ),
            None,
        ),
    ]
}

fn publisher(visit: &Visit, package: PackageId, known: &PublisherOverview) -> views::PublisherCard {
    let publisher = &known.stored.publisher;
    let remove = || format!("/packages/{package}/publishers/{}/remove", publisher.id());
    views::PublisherCard {
        name: publisher.name().to_owned(),
        issuer: known.issuer_name.clone(),
        claims: rule_facts(publisher.rule()),
        last_used: known.stored.last_used_at.map(|at| When::new(at, visit.now)),
        remove: visit.is_owner().then(remove),
    }
}

fn facts(known: &PackageDetails) -> Vec<Fact> {
    let mut facts = vec![
        Fact::words("Registry", known.upstream.upstream.name()),
        Fact::words("Policy", known.policy.name()),
    ];
    if let Some(access) = known.package.access {
        facts.push(Fact::words("Access of a first version", access.as_str()));
    }
    facts
}

async fn new_form(ByOwner(visit): ByOwner) -> Answer {
    form(&visit, &Fields::default(), None).await
}

async fn form(visit: &Visit, fields: &Fields, message: Option<String>) -> Answer {
    let upstreams = overview::upstreams(&visit.app.store).await?;
    let policies = overview::policies(&visit.app.store, visit.now).await?;
    let mut missing = Vec::new();
    if upstreams.is_empty() {
        missing.push(Link::new("/registries/new", "Add a registry"));
    }
    if policies.is_empty() {
        missing.push(Link::new("/policies/new", "Make a policy"));
    }
    let choose = |name: &str, suggestion: bool, choice: Choice| {
        if fields.chose(name, &choice.value, suggestion) { choice.chosen() } else { choice }
    };
    let registries = upstreams.iter().map(|known| &known.stored.upstream).map(|known| {
        let text = format!("{} ({})", known.name(), known.kind().label());
        choose("upstream", false, Choice::new(known.id().to_string(), text, ""))
    });
    let policies = policies.iter().map(|known| {
        let choice = Choice::new(known.policy.id().to_string(), known.policy.name(), "");
        choose("policy", false, choice)
    });
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut name = fields.field("name", "");
    name.error = message;
    let ecosystem = |it: Ecosystem| Choice::new(it.as_str(), it.label(), "");
    let page = views::NewPackagePage {
        layout: visit.layout(Section::Packages, "Add a package").await?,
        ecosystems: vec![
            choose("ecosystem", true, ecosystem(Ecosystem::Npm)),
            choose("ecosystem", false, ecosystem(Ecosystem::Pypi)),
        ],
        name,
        registries: registries.collect(),
        policies: policies.collect(),
        access: vec![
            choose("access", true, Choice::new("public", "Everybody", "")),
            choose("access", false, Choice::new("restricted", "Members of the scope", "")),
        ],
        missing,
    };
    show(status, &page)
}

fn draft(fields: &Fields) -> Result<PackageDraft, Error> {
    let bad = |message: String| Error::from(Refusal::new(Kind::BadInput, message));
    let ecosystem = Ecosystem::parse(fields.text("ecosystem")).ok_or_else(|| {
        let received = excerpt(fields.text("ecosystem"));
        bad(format!("expected npm or pypi as ecosystem, received `{received}`"))
    })?;
    let name = PackageName::parse(ecosystem, fields.text("name"))
        .map_err(|error| bad(error.to_string()))?;
    let Ok(upstream) = fields.text("upstream").parse() else {
        return refuse(Kind::BadInput, "expected a registry of the list as upstream");
    };
    let Ok(policy) = fields.text("policy").parse() else {
        return refuse(Kind::BadInput, "expected a policy of the list as policy");
    };
    // The radio buttons are there for PyPI too, and mean nothing then.
    let access = match ecosystem {
        Ecosystem::Npm => Access::parse(fields.text("access")),
        Ecosystem::Pypi => None,
    };
    Ok(PackageDraft { name, upstream, policy, access })
}

async fn add(ByOwner(visit): ByOwner, ProtectedForm(fields): ProtectedForm<Fields>) -> Answer {
    let saved = async {
        let draft = draft(&fields)?;
        setup::add_package(&visit.app.store, visit.proposer(&fields), draft, visit.now).await
    };
    match saved.await {
        Ok(added) => Ok(see_change(added.proposal, &format!("/packages/{}", added.value))),
        Err(error) => form(&visit, &fields, Some(correctable(error)?)).await,
    }
}
