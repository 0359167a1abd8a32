//! `/packages/{id}/publishers/new`: which CI workload may submit a package.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::Query;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::domain::claims::Scalar;
use crate::domain::ids::{PackageId, ProposalId};
use crate::domain::issuer::{Issuer, Preset};
use crate::domain::package::{Ecosystem, excerpt};
use crate::domain::publisher::github::{GITHUB_EVENTS, GitHubConfig};
use crate::domain::publisher::gitlab::{GITLAB_SOURCES, GitLabConfig};
use crate::domain::publisher::rule::Runner;
use crate::domain::publisher::{PublisherConfig, Rule};
use crate::pipeline::setup::overview::{self, PackageDetails, RefusedTokenOverview};
use crate::pipeline::setup::{self, PublisherDraft};
use crate::pipeline::{Error, Kind, Refusal, refuse};
use crate::web::display::{When, visible};
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::visit::{ByOwner, Fields, Visit, correctable, id, listed, see_change};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::form::Choice;
use crate::web::views::package::{
    ClaimForm, GithubForm, GitlabForm, Mismatch, NewPublisherPage, PublisherKind, Recipe,
    RefusedToken,
};
use crate::web::views::shell::{Fact, Link, Section};

/// Rows for claims of an issuer that is neither GitHub nor GitLab.
const CLAIM_ROWS: u32 = 6;
/// Names of fields that a refusal may name.
const FIELDS: [&str; 16] = [
    "publisher_name",
    "repository",
    "repository_id",
    "repository_owner_id",
    "workflow",
    "environment",
    "ref",
    "events",
    "runner",
    "project_id",
    "namespace_id",
    "ref_path",
    "ref_type",
    "pipeline_source",
    "ci_config_ref_uri",
    "claim_1",
];

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/packages/{id}/publishers/new", new_form)
        .post("/packages/{id}/publishers/new", add)
        .post("/packages/{id}/publishers/{publisher}/remove", remove)
}

/// What a rule compares, for the package's page.
pub(in crate::web::pages) fn rule_facts(rule: &Rule) -> Vec<Fact> {
    let json = match rule {
        Rule::GitHub(rule) => serde_json::to_value(rule.config()),
        Rule::GitLab(rule) => serde_json::to_value(rule.config()),
        Rule::Generic(rule) => serde_json::to_value(rule.equalities()),
    };
    let Ok(serde_json::Value::Object(members)) = json else {
        return Vec::new();
    };
    let spoken = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Array(items) => {
            let words = items.iter().filter_map(serde_json::Value::as_str);
            words.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    members
        .into_iter()
        .map(|(name, value)| Fact::code(visible(&name), visible(&spoken(value))))
        .collect()
}

#[derive(Debug, Default, Deserialize)]
struct Chosen {
    #[serde(default)]
    issuer: String,
}

async fn new_form(
    ByOwner(visit): ByOwner,
    Path(package): Path<String>,
    Query(chosen): Query<Chosen>,
) -> Answer {
    form(&visit, id(&package)?, &chosen.issuer, &Fields::default(), None).await
}

async fn form(
    visit: &Visit,
    package: PackageId,
    wanted: &str,
    fields: &Fields,
    message: Option<&str>,
) -> Answer {
    let known = overview::package(&visit.app.store, package).await?;
    let issuers = overview::issuers(&visit.app.store).await?;
    let chosen =
        issuers.iter().find(|issuer| issuer.id().to_string() == wanted).or(issuers.first());
    let choices = issuers.iter().map(|issuer| {
        let choice = Choice::new(issuer.id().to_string(), issuer.name(), "");
        if chosen.is_some_and(|it| it.id() == issuer.id()) { choice.chosen() } else { choice }
    });
    let preset = chosen.map(Issuer::preset);
    let refused = known
        .refused
        .iter()
        .filter(|row| chosen.is_none_or(|issuer| row.refused.issuer == issuer.id()));
    let page = NewPublisherPage {
        layout: visit.layout(Section::Packages, "Add publisher").await?,
        package: Link::new(format!("/packages/{package}"), known.package.name.as_str()),
        issuers: choices.collect(),
        name: fields.field("publisher_name", ""),
        kind: match preset {
            None => PublisherKind::NoIssuer,
            Some(Preset::GitHub) => PublisherKind::Github(github_form(fields)),
            Some(Preset::GitLab) => PublisherKind::Gitlab(gitlab_form(fields)),
            Some(Preset::Generic) => PublisherKind::Generic(claim_rows(fields)),
        },
        recipe: recipe(visit, &known, preset),
        refused: refused.map(|row| refused_token(visit, row)).collect(),
        errors: listed(message, &FIELDS),
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

fn choose(fields: &Fields, name: &str, suggestion: bool, choice: Choice) -> Choice {
    if fields.chose(name, &choice.value, suggestion) { choice.chosen() } else { choice }
}

fn github_form(fields: &Fields) -> GithubForm {
    let event = |event: &'static str| {
        let text = match event {
            "push" => "A push",
            "release" => "A release",
            "workflow_dispatch" => "Somebody by hand",
            _ => "A schedule",
        };
        choose(fields, "events", event != "schedule", Choice::new(event, text, ""))
    };
    let runner = |runner: Runner, text, hint| {
        let suggestion = runner == Runner::GitHubHosted;
        choose(fields, "runner", suggestion, Choice::new(runner.as_str(), text, hint))
    };
    GithubForm {
        repository: fields.field("repository", ""),
        repository_id: fields.field("repository_id", ""),
        repository_owner_id: fields.field("repository_owner_id", ""),
        workflow: fields.field("workflow", ".github/workflows/release.yml"),
        environment: fields.field("environment", ""),
        reference: fields.field("ref", "refs/tags/v*"),
        events: GITHUB_EVENTS.map(event).into(),
        runners: vec![
            runner(Runner::GitHubHosted, "Machines of GitHub", ""),
            runner(Runner::SelfHosted, "Your own machines", "Shown on every release."),
            runner(Runner::Any, "Either", "Shown on a release when it was your own."),
        ],
    }
}

fn gitlab_form(fields: &Fields) -> GitlabForm {
    let source = |source: &'static str| {
        let text = match source {
            "push" => "A push",
            "web" => "Somebody by hand",
            "api" => "The API",
            _ => "A schedule",
        };
        let suggestion = matches!(source, "push" | "web");
        choose(fields, "pipeline_source", suggestion, Choice::new(source, text, ""))
    };
    GitlabForm {
        project_id: fields.field("project_id", ""),
        namespace_id: fields.field("namespace_id", ""),
        ref_path: fields.field("ref_path", "refs/tags/v*"),
        ref_types: vec![
            choose(fields, "ref_type", true, Choice::new("tag", "Tag", "")),
            choose(fields, "ref_type", false, Choice::new("branch", "Branch", "")),
        ],
        protected: fields.chose("ref_protected", "true", true),
        environment: fields.field("environment", ""),
        sources: GITLAB_SOURCES.map(source).into(),
        config: fields.field("ci_config_ref_uri", ""),
    }
}

fn claim_rows(fields: &Fields) -> Vec<ClaimForm> {
    let row = |number| ClaimForm {
        number,
        claim: fields.field(&format!("claim_{number}"), if number == 1 { "sub" } else { "" }),
        value: fields.field(&format!("value_{number}"), ""),
    };
    (1..=CLAIM_ROWS).map(row).collect()
}

fn refused_token(visit: &Visit, row: &RefusedTokenOverview) -> RefusedToken {
    RefusedToken {
        when: When::new(row.refused.at, visit.now),
        source: row.issuer_name.clone(),
        mismatches: vec![Mismatch {
            claim: visible(&row.refused.claim),
            expected: visible(&row.refused.expected),
            received: visible(&row.refused.received),
        }],
    }
}

/// The lines that differ from any other release job; `docs/ci` has whole files.
fn recipe(visit: &Visit, known: &PackageDetails, preset: Option<Preset>) -> Recipe {
    let origin = visit.app.config.origin_text();
    let audience = &visit.app.config.audience;
    let npm = known.package.name.ecosystem() == Ecosystem::Npm;
    let publish = if npm {
        format!("npm publish --registry {origin}/npm/")
    } else {
        format!("uv publish --trusted-publishing always --publish-url {origin}/pypi/legacy/")
    };
    let (file, text) = match preset {
        Some(Preset::GitHub) => (
            ".github/workflows/release.yml",
            format!(
                "jobs:\n  publish:\n    runs-on: ubuntu-latest\n    environment: release\n    \
                 permissions:\n      contents: read\n      id-token: write\n    steps:\n      \
                 - uses: actions/checkout@<commit>\n      - run: {publish}\n"
            ),
        ),
        Some(Preset::GitLab) => {
            let (name, wanted) = if npm {
                ("NPM_ID_TOKEN", format!("npm:{audience}"))
            } else {
                ("PYPI_ID_TOKEN", audience.clone())
            };
            (
                ".gitlab-ci.yml",
                format!(
                    "publish:\n  rules:\n    - if: $CI_COMMIT_TAG\n  id_tokens:\n    {name}:\n      \
                     aud: {wanted}\n  script:\n    - {publish}\n"
                ),
            )
        }
        Some(Preset::Generic) | None => return Recipe::default(),
    };
    let note = "Pin everything it uses. The job ends as soon as the files are held; publishing \
                waits for people.";
    Recipe { file: file.to_owned(), text, note: note.to_owned() }
}

async fn add(
    ByOwner(visit): ByOwner,
    Path(package): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let package = id(&package)?;
    match save(&visit, package, &fields).await {
        Ok(proposal) => Ok(see_change(proposal, &format!("/packages/{package}"))),
        Err(error) => {
            let message = correctable(error)?;
            form(&visit, package, fields.text("issuer"), &fields, Some(&message)).await
        }
    }
}

async fn save(
    visit: &Visit,
    package: PackageId,
    fields: &Fields,
) -> Result<Option<ProposalId>, Error> {
    let issuers = overview::issuers(&visit.app.store).await?;
    let wanted = fields.text("issuer");
    let Some(issuer) = issuers.iter().find(|issuer| issuer.id().to_string() == wanted) else {
        return refuse(Kind::BadInput, "expected an issuer that is configured here");
    };
    let mut config = PublisherConfig {
        name: fields.text("publisher_name").to_owned(),
        issuer: issuer.name().to_owned(),
        packages: Vec::new(),
        github: None,
        gitlab: None,
        claims: None,
    };
    match issuer.preset() {
        Preset::GitHub => config.github = Some(github_config(fields)?),
        Preset::GitLab => config.gitlab = Some(gitlab_config(fields)?),
        Preset::Generic => config.claims = Some(claims(fields)?),
    }
    let rule = config.rule().map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
    let packages = BTreeSet::from([package]);
    let draft = PublisherDraft { name: config.name, issuer: issuer.id(), rule, packages };
    let added =
        setup::add_publisher(&visit.app.store, visit.proposer(fields), draft, visit.now).await?;
    Ok(added.proposal)
}

fn github_config(fields: &Fields) -> Result<GitHubConfig, Error> {
    let runners = [Runner::GitHubHosted, Runner::SelfHosted, Runner::Any];
    let wanted = fields.text("runner");
    let Some(runner) = runners.into_iter().find(|runner| runner.as_str() == wanted) else {
        let received = excerpt(wanted);
        let expected = "expected github-hosted, self-hosted or any as runner";
        return refuse(Kind::BadInput, format!("{expected}, received `{received}`"));
    };
    Ok(GitHubConfig {
        repository: fields.text("repository").to_owned(),
        repository_id: fields.text("repository_id").to_owned(),
        repository_owner_id: fields.text("repository_owner_id").to_owned(),
        workflow: fields.text("workflow").to_owned(),
        environment: fields.optional("environment"),
        environment_node_id: None,
        git_ref: fields.text("ref").to_owned(),
        ref_protected: false,
        events: fields.all("events").map(str::to_owned).collect(),
        runner,
        reusable: None,
    })
}

/// What the form does not ask for is as it is without a word in a set-up file.
fn gitlab_config(fields: &Fields) -> Result<GitLabConfig, Error> {
    let config = serde_json::json!({
        "project_id": fields.text("project_id"),
        "namespace_id": fields.text("namespace_id"),
        "ref_path": fields.text("ref_path"),
        "ref_type": fields.optional("ref_type"),
        "ref_protected": fields.ticked("ref_protected"),
        "environment": fields.optional("environment"),
        "pipeline_source": fields.all("pipeline_source").collect::<Vec<_>>(),
        "ci_config_ref_uri": fields.optional("ci_config_ref_uri"),
    });
    serde_json::from_value(config)
        .map_err(|error| Refusal::new(Kind::BadInput, excerpt(&error.to_string())).into())
}

/// Whole numbers, `true` and `false` are meant as such; in quotation marks they are text (O24).
fn claims(fields: &Fields) -> Result<BTreeMap<String, Scalar>, Error> {
    let mut claims = BTreeMap::new();
    for number in 1..=CLAIM_ROWS {
        let claim = fields.text(&format!("claim_{number}"));
        let value = fields.text(&format!("value_{number}"));
        if claim.is_empty() && value.is_empty() {
            continue;
        }
        if claim.is_empty() || value.is_empty() {
            let message = format!("expected a claim with a value as claim_{number}");
            return refuse(Kind::BadInput, message);
        }
        let scalar = match serde_json::from_str::<Scalar>(value) {
            Ok(scalar) => scalar,
            Err(_) => Scalar::Text(value.to_owned()),
        };
        if claims.insert(claim.to_owned(), scalar).is_some() {
            let received = excerpt(claim);
            let message = format!("expected each claim once, received `{received}` again");
            return refuse(Kind::BadInput, message);
        }
    }
    Ok(claims)
}

async fn remove(
    ByOwner(visit): ByOwner,
    Path((package, publisher)): Path<(String, String)>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    let package: PackageId = id(&package)?;
    let (store, publisher) = (&visit.app.store, id(&publisher)?);
    let proposal = setup::remove_publisher(store, visit.actor(), publisher, visit.now).await?;
    Ok(see_change(proposal, &format!("/packages/{package}")))
}
