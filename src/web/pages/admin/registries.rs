//! `/registries` and `/issuers/new`: where releases go, and whose CI tokens are accepted.

use std::sync::Arc;

use axum::http::StatusCode;
use secrecy::SecretString;

use crate::app::App;
use crate::domain::ids::{ProposalId, UpstreamId};
use crate::domain::issuer::{Issuer, IssuerConfig, Preset};
use crate::domain::package::{Ecosystem, excerpt};
use crate::domain::upstream::CredentialPurpose;
use crate::pipeline::setup::overview::{self, UpstreamOverview};
use crate::pipeline::setup::{self, Credential, NewCredential, UpstreamDraft};
use crate::pipeline::{Error, Kind, Refusal};
use crate::web::display::{When, count, visible};
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::visit::{ByOwner, Fields, Visit, correctable, id, listed, see_change};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::form::Choice;
use crate::web::views::registry as views;
use crate::web::views::shell::{Badge, Fact, Link, Section, Tone};

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/registries", list)
        .get("/registries/new", new_form)
        .post("/registries/new", add)
        .post("/registries/{id}/credential", replace_credential)
        .get("/issuers/new", new_issuer_form)
        .post("/issuers/new", add_issuer)
}

async fn list(visit: Visit) -> Answer {
    let upstreams = overview::upstreams(&visit.app.store).await?;
    let issuers = overview::issuers(&visit.app.store).await?;
    let page = views::RegistriesPage {
        layout: visit.layout(Section::Registries, "Registries").await?,
        upstreams: upstreams.iter().map(|known| card(&visit, known)).collect(),
        issuers: issuers.iter().map(issuer_row).collect(),
        may_add: visit.is_owner(),
    };
    show(StatusCode::OK, &page)
}

fn card(visit: &Visit, known: &UpstreamOverview) -> views::UpstreamCard {
    let (stored, upstream) = (&known.stored, &known.stored.upstream);
    let badge = if stored.can_publish {
        Badge::new(Tone::Ok, "circle-check", "Can publish")
    } else {
        Badge::new(Tone::Warn, "circle-dashed", "No credential yet")
    };
    let mut facts = vec![Fact::code("Address", upstream.url().as_str())];
    if let Some(simple) = upstream.simple_url() {
        facts.push(Fact::code("Simple index", simple.as_str()));
    }
    if let Some(files) = upstream.files_url() {
        facts.push(Fact::code("Files", files.as_str()));
    }
    let secret = match (upstream.kind(), stored.sealed_at) {
        (_, None) => "nothing".to_owned(),
        (Ecosystem::Npm, Some(at)) => format!("a token, sealed {}", sealed(visit, at)),
        (Ecosystem::Pypi, Some(at)) => {
            format!("{} and a password, sealed {}", stored.username, sealed(visit, at))
        }
    };
    facts.push(Fact::words("Signs in with", secret));
    facts.push(Fact::words("Used by", count(known.packages.len() as u64, "package")));
    views::UpstreamCard {
        name: upstream.name().to_owned(),
        kind: upstream.kind().label().to_owned(),
        badge,
        facts,
        private: upstream.allow_private(),
        credential: visit.is_owner().then(|| format!("/registries/{}/credential", upstream.id())),
    }
}

fn sealed(visit: &Visit, at: jiff::Timestamp) -> String {
    When::new(at, visit.now).relative
}

fn issuer_row(issuer: &Issuer) -> views::IssuerRow {
    views::IssuerRow {
        name: issuer.name().to_owned(),
        preset: preset_label(issuer.preset()).to_owned(),
        url: issuer.url().to_owned(),
        badge: Badge::new(Tone::Ok, "circle-check", "Accepted"),
        private: issuer.allow_private(),
    }
}

/// All there is to an issuer, for those who sign that its tokens are believed.
pub(in crate::web::pages) fn issuer_facts(config: &IssuerConfig) -> Vec<Fact> {
    let algorithms: Vec<_> = config.algorithms.iter().map(|one| one.as_str()).collect();
    let mut facts = vec![
        Fact::words("Claims", preset_label(config.preset)),
        Fact::code("Address", visible(&config.url)),
        Fact::code("Signed with", algorithms.join(", ")),
        Fact::words("Oldest token", count(u64::from(config.max_age_minutes), "minute")),
    ];
    facts.extend(config.jwks_host.as_deref().map(|host| Fact::code("Keys at", visible(host))));
    if config.allow_private {
        facts.push(Fact::words("Private networks", "allowed"));
    }
    facts
}

const fn preset_label(preset: Preset) -> &'static str {
    match preset {
        Preset::GitHub => "GitHub Actions",
        Preset::GitLab => "GitLab CI/CD",
        Preset::Generic => "Other",
    }
}

async fn new_form(ByOwner(visit): ByOwner) -> Answer {
    form(&visit, &Fields::default(), None).await
}

async fn form(visit: &Visit, fields: &Fields, message: Option<&str>) -> Answer {
    let kind = |kind: Ecosystem, hint: &str| {
        let choice = Choice::new(kind.as_str(), kind.label(), hint);
        let chosen = fields.chose("kind", kind.as_str(), kind == Ecosystem::Npm);
        if chosen { choice.chosen() } else { choice }
    };
    let names = ["name", "kind", "url", "simple_url", "files_url", "username", "credential"];
    let about_secret = message.filter(|text| text.contains("credential"));
    let page = views::NewRegistryPage {
        layout: visit.layout(Section::Registries, "Add a registry").await?,
        name: fields.field("name", ""),
        kinds: vec![
            kind(Ecosystem::Npm, "npm, pnpm and Yarn publish to it."),
            kind(Ecosystem::Pypi, "twine, uv, Poetry, Hatch and Flit upload to it."),
        ],
        url: fields.field("url", ""),
        simple_url: fields.field("simple_url", ""),
        files_url: fields.field("files_url", ""),
        username: fields.field("username", ""),
        credential_error: about_secret.unwrap_or_default().to_owned(),
        allow_private: fields.ticked("allow_private"),
        errors: listed(message, &names),
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

async fn add(ByOwner(visit): ByOwner, ProtectedForm(fields): ProtectedForm<Fields>) -> Answer {
    match save(&visit, &fields).await {
        Ok(proposal) => Ok(see_change(proposal, "/registries")),
        Err(error) => form(&visit, &fields, Some(&correctable(error)?)).await,
    }
}

/// Adds the registry with its credential.
async fn save(visit: &Visit, fields: &Fields) -> Result<Option<ProposalId>, Error> {
    let credential = match fields.optional("credential") {
        Some(text) => Some(Credential::parse(&SecretString::from(text))?),
        None => None,
    };
    let kind = Ecosystem::parse(fields.text("kind")).ok_or_else(|| {
        let received = excerpt(fields.text("kind"));
        Refusal::new(Kind::BadInput, format!("expected npm or pypi as kind, received `{received}`"))
    })?;
    let draft = UpstreamDraft {
        name: fields.text("name").to_owned(),
        kind,
        url: fields.text("url").to_owned(),
        simple_url: fields.optional("simple_url"),
        files_url: fields.optional("files_url"),
        allow_private: fields.ticked("allow_private"),
        username: fields.optional("username"),
    };
    let (app, new) = (&visit.app, (draft, credential));
    let added =
        setup::add_upstream(&app.store, &app.sealing, visit.proposer(fields), new, visit.now)
            .await?;
    Ok(added.proposal)
}

async fn seal(
    visit: &Visit,
    fields: &Fields,
    (upstream, credential): (UpstreamId, Credential),
) -> Result<Option<ProposalId>, Error> {
    let new = NewCredential { upstream, purpose: CredentialPurpose::Publish, credential };
    let app = &visit.app;
    setup::seal_credential(&app.store, &app.sealing, visit.proposer(fields), new, visit.now).await
}

async fn replace_credential(
    ByOwner(visit): ByOwner,
    Path(upstream): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let credential = Credential::parse(&SecretString::from(fields.text("credential")))?;
    let proposal = seal(&visit, &fields, (id(&upstream)?, credential)).await?;
    Ok(see_change(proposal, "/registries"))
}

async fn new_issuer_form(ByOwner(visit): ByOwner) -> Answer {
    issuer_form(&visit, &Fields::default(), None).await
}

async fn issuer_form(visit: &Visit, fields: &Fields, message: Option<&str>) -> Answer {
    let preset = |preset: Preset, hint: &str| {
        let choice = Choice::new(preset.as_str(), preset_label(preset), hint);
        let chosen = fields.chose("preset", preset.as_str(), preset == Preset::GitHub);
        if chosen { choice.chosen() } else { choice }
    };
    let audiences = visit.app.config.audiences().into_iter().map(|audience| {
        let asked_by = if audience.starts_with("npm:") { "npm clients" } else { "PyPI clients" };
        Fact::code(asked_by, audience)
    });
    let page = views::NewIssuerPage {
        layout: visit.layout(Section::Registries, "Add an issuer").await?,
        name: fields.field("name", ""),
        presets: vec![
            preset(Preset::GitHub, "github.com or an enterprise server."),
            preset(Preset::GitLab, "gitlab.com or an instance of your own."),
            preset(Preset::Generic, "Any OpenID Connect issuer."),
        ],
        url: fields.field("url", ""),
        allow_private: fields.ticked("allow_private"),
        audiences: audiences.collect(),
        errors: listed(message, &["name", "preset", "url"]),
        back: Link::new("/registries", "Registries"),
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

async fn add_issuer(
    ByOwner(visit): ByOwner,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let saved = async {
        let config = issuer_config(&fields)?;
        let by = visit.proposer(&fields);
        setup::add_issuer(&visit.app.store, by, config, visit.now).await
    };
    match saved.await {
        Ok(added) => Ok(see_change(added.proposal, "/registries")),
        Err(error) => issuer_form(&visit, &fields, Some(&correctable(error)?)).await,
    }
}

/// What the form does not ask for is as it is without a word in a set-up file.
fn issuer_config(fields: &Fields) -> Result<IssuerConfig, Error> {
    let config = serde_json::json!({
        "name": fields.text("name"),
        "preset": fields.text("preset"),
        "url": fields.text("url"),
        "allow_private": fields.ticked("allow_private"),
    });
    serde_json::from_value(config).map_err(|_| {
        let received = excerpt(fields.text("preset"));
        let expected = "expected github, gitlab or generic as preset";
        Refusal::new(Kind::BadInput, format!("{expected}, received `{received}`")).into()
    })
}
