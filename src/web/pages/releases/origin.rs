//! Where a release came from and what about it is worth a look, in the words of the page.

use crate::domain::claims::{Claims, GitHubClaims, GitLabClaims, Provider};
use crate::domain::roster::ActorIs;
use crate::pipeline::findings::Finding;
use crate::pipeline::review::ReleaseView;
use crate::web::display::{clock, count, list, visible};
use crate::web::views::release::{Attention, ChainLink};
use crate::web::views::shell::{Badge, Link, Tone};

/// What there is to look at, as sentences.
pub(super) fn attention(findings: &[Finding]) -> Vec<Attention> {
    findings.iter().map(sentence).collect()
}

fn sentence(finding: &Finding) -> Attention {
    let origin = || Some(Link::new("#origin", "Where it came from"));
    let (title, subject, detail, link) = match finding {
        Finding::Differs { file, field } => (
            "CI and the file disagree about",
            visible(field),
            format!("In {}. What is published is what the file says.", visible(file)),
            Some(Link::new("#differences", "Compare")),
        ),
        Finding::RunsAtInstall { hooks } => (
            "It runs code when it is installed:",
            list(hooks, "and"),
            "Everyone who installs or upgrades runs it.".to_owned(),
            Some(Link::new("#metadata", "See the scripts")),
        ),
        Finding::UnprotectedRef(name) => (
            "The run was not started from a protected ref:",
            visible(name),
            "Anybody who may push such a branch or tag could have started it.".to_owned(),
            origin(),
        ),
        Finding::NoEnvironment => (
            "The job ran in no deployment environment",
            String::new(),
            "Nobody had to release the job before it could submit this.".to_owned(),
            origin(),
        ),
        Finding::OwnRunner(kind) => (
            "It was built on a machine that is not the CI provider's:",
            visible(kind),
            "Such machines keep files between runs, so one bad run can reach the next.".to_owned(),
            origin(),
        ),
        Finding::StartedAgain(attempt) => (
            "The run was started again: attempt",
            visible(attempt),
            "Its files may differ from those of the first attempt.".to_owned(),
            origin(),
        ),
    };
    Attention { tone: Tone::Warn, title: title.to_owned(), subject, detail, link }
}

/// From the token to the held files.
pub(super) fn chain(release: &ReleaseView) -> Vec<ChainLink> {
    let claims = &release.claims;
    let mut links = vec![ChainLink {
        icon: "file-badge",
        title: "Token of".to_owned(),
        subject: visible(claims.issuer_url()),
        detail: "Signature, audience and lifetime verified.".to_owned(),
        verdict: Badge::new(Tone::Ok, "circle-check", "Verified"),
    }];
    match claims.provider() {
        Provider::GitHub(github) => links.extend([github_workflow(github), github_ref(github)]),
        Provider::GitLab(gitlab) => links.extend([gitlab_pipeline(gitlab), gitlab_ref(gitlab)]),
        Provider::Generic(_) => links.push(generic(claims)),
    }
    links.push(started_by(release));
    links.push(held(release));
    links
}

/// Staged at all means that every claim the publisher names was as it says.
fn as_configured() -> Badge {
    Badge::new(Tone::Ok, "circle-check", "As configured")
}

fn github_workflow(claims: &GitHubClaims) -> ChainLink {
    let job = if claims.job_workflow_ref == claims.workflow_ref {
        String::new()
    } else {
        format!(" The job is in {}.", visible(&claims.job_workflow_ref))
    };
    let detail = format!(
        "In {} (id {}, owner id {}), {}, {}, event {}.{job}",
        visible(&claims.repository),
        visible(&claims.repository_id),
        visible(&claims.repository_owner_id),
        environment(claims.environment.as_deref()),
        runner(claims.runner_environment.as_deref()),
        visible(&claims.event_name),
    );
    ChainLink {
        icon: "workflow",
        title: "Workflow".to_owned(),
        subject: visible(&claims.workflow_ref),
        detail,
        verdict: as_configured(),
    }
}

fn github_ref(claims: &GitHubClaims) -> ChainLink {
    at_ref(&claims.git_ref, &claims.sha, claims.ref_protected.as_deref())
}

fn gitlab_pipeline(claims: &GitLabClaims) -> ChainLink {
    let definition = claims.ci_config_ref_uri.as_deref().unwrap_or(&claims.project_path);
    ChainLink {
        icon: "workflow",
        title: "Pipeline".to_owned(),
        subject: visible(definition),
        detail: format!(
            "In {} (id {}, namespace id {}), {}, {}, source {}.",
            visible(&claims.project_path),
            visible(&claims.project_id),
            visible(&claims.namespace_id),
            environment(claims.environment.as_deref()),
            runner(claims.runner_environment.as_deref()),
            visible(&claims.pipeline_source),
        ),
        verdict: as_configured(),
    }
}

fn gitlab_ref(claims: &GitLabClaims) -> ChainLink {
    at_ref(&claims.ref_path, &claims.sha, claims.ref_protected.as_deref())
}

fn at_ref(name: &str, commit: &str, protected: Option<&str>) -> ChainLink {
    let is_protected = protected == Some("true");
    let protection = if is_protected { "is protected" } else { "is not protected" };
    ChainLink {
        icon: "tag",
        title: "Ref".to_owned(),
        subject: visible(name),
        detail: format!("It {protection}. Commit {}.", visible(commit)),
        verdict: if is_protected {
            as_configured()
        } else {
            Badge::new(Tone::Warn, "triangle-alert", "Look at it")
        },
    }
}

fn environment(name: Option<&str>) -> String {
    name.map_or_else(
        || "no environment".to_owned(),
        |name| format!("environment {}", visible(name)),
    )
}

fn runner(kind: Option<&str>) -> String {
    format!("{} runner", visible(kind.unwrap_or("unknown")))
}

fn generic(claims: &Claims) -> ChainLink {
    let rows = claims.summary();
    let rows: Vec<String> =
        rows.iter().map(|(name, value)| format!("{} {}", visible(name), visible(value))).collect();
    ChainLink {
        icon: "workflow",
        title: "Its claims".to_owned(),
        subject: String::new(),
        detail: format!("{}.", rows.join(", ")),
        verdict: as_configured(),
    }
}

fn started_by(release: &ReleaseView) -> ChainLink {
    let record = &release.record;
    let account = visible(&record.actor.actor_id);
    let (whose, verdict) = match release.standing.as_ref().map(|standing| standing.started_by) {
        Some(ActorIs::Person(person)) => {
            let name = release.names.get(&person).map_or("a person here", String::as_str);
            (format!(", linked to {name}"), Badge::new(Tone::Ok, "circle-check", "Known"))
        }
        Some(ActorIs::Bot) => (", declared a bot".to_owned(), Badge::new(Tone::Ok, "bot", "Known")),
        Some(ActorIs::Unknown) => (
            ", linked to nobody here".to_owned(),
            Badge::new(Tone::Warn, "circle-question-mark", "Who is it?"),
        ),
        None => (String::new(), Badge::new(Tone::Plain, "info", "From the token")),
    };
    ChainLink {
        icon: "user-plus",
        title: "Started by".to_owned(),
        subject: visible(&record.actor_name),
        detail: format!("Account {account}{whose}. {}", run(&release.claims)),
        verdict,
    }
}

fn run(claims: &Claims) -> String {
    match claims.provider() {
        Provider::GitHub(claims) => {
            format!("Run {}, attempt {}.", visible(&claims.run_id), visible(&claims.run_attempt))
        }
        Provider::GitLab(claims) => format!("Pipeline {}.", visible(&claims.pipeline_id)),
        Provider::Generic(_) => String::new(),
    }
}

fn held(release: &ReleaseView) -> ChainLink {
    let record = &release.record;
    ChainLink {
        icon: "package",
        title: format!(
            "{} held here since {} UTC",
            count(release.artifacts.len() as u64, "file"),
            clock(record.created_at)
        ),
        subject: String::new(),
        detail: format!("Uploaded with {}.", visible(&record.client)),
        verdict: if record.seal.is_some() {
            Badge::new(Tone::Ok, "lock", "Sealed")
        } else {
            Badge::new(Tone::Note, "loader", "Still open")
        },
    }
}
