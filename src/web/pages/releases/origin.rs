//! Where a release came from and what about it is worth a look, in the words of the page.

use crate::domain::claims::{Claims, GitHubClaims, GitLabClaims, Provider};
use crate::domain::review::binding::{Counts, Summary};
use crate::domain::review::provenance::{Chain, FileProvenance, Standing};
use crate::domain::review::report::Report;
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

/// From the commit to the held files: what was built, by which run, who vouches for that, and what
/// arrived.
pub(super) fn chain(release: &ReleaseView) -> Vec<ChainLink> {
    let claims = &release.claims;
    let mut links = match claims.provider() {
        Provider::GitHub(github) => vec![github_ref(github), github_workflow(github)],
        Provider::GitLab(gitlab) => vec![gitlab_ref(gitlab), gitlab_pipeline(gitlab)],
        Provider::Generic(_) => vec![generic(claims)],
    };
    links.push(started_by(release));
    links.push(ChainLink {
        icon: "key-round",
        title: "Token of".to_owned(),
        subject: visible(claims.issuer_url()),
        detail: "Signature, audience and lifetime verified.".to_owned(),
        verdict: verified(),
    });
    if let Some(report) = &release.report {
        links.extend(report.provenance.files.iter().flat_map(provenance));
        links.extend(in_git(report, release.source.as_ref()));
    }
    links.push(held(release));
    links
}

/// What the whole chain comes to.
pub(super) fn verdict(chain: &[ChainLink]) -> Badge {
    if chain.iter().any(|link| link.verdict.tone == Tone::Bad) {
        return Badge::new(Tone::Bad, "octagon-x", "Something does not hold");
    }
    Badge::new(Tone::Note, "circle-check", "Sent by your trusted publisher")
}

fn verified() -> Badge {
    Badge::new(Tone::Ok, "circle-check", "Verified")
}

fn not_checked(text: &str) -> Badge {
    Badge::new(Tone::Plain, "circle-dashed", text)
}

fn look_at_it() -> Badge {
    Badge::new(Tone::Warn, "triangle-alert", "Look at it")
}

/// What CI attached to a file, link by link.
fn provenance(file: &FileProvenance) -> Vec<ChainLink> {
    let link = |detail, verdict| ChainLink {
        icon: "file-badge",
        title: "Provenance of".to_owned(),
        subject: visible(&file.name),
        detail,
        verdict,
    };
    if file.chains.is_empty() {
        return vec![link("CI attached none.".to_owned(), not_checked("None"))];
    }
    let told = |chain: &Chain| {
        // Said of every link alike, it is said once.
        let mut words: Vec<&str> = chain.steps.iter().map(|step| step.words.as_str()).collect();
        words.dedup();
        let words: Vec<String> =
            words.into_iter().map(|words| format!("{}.", visible(words))).collect();
        let checked = chain.steps.iter().all(|step| step.standing == Standing::Holds);
        let verdict = match (chain.holds(), checked) {
            (false, _) => Badge::new(Tone::Bad, "octagon-x", "Does not hold"),
            (true, true) => verified(),
            (true, false) => not_checked("Not all checked"),
        };
        link(words.join(" "), verdict)
    };
    file.chains.iter().map(told).collect()
}

/// How the files compare with the commit; nothing where the report says why nobody looked.
fn in_git(report: &Report, source: Option<&Summary>) -> Option<ChainLink> {
    let source = source.filter(|_| report.source_sha256.is_some())?;
    let sum = |of: fn(&Counts) -> usize| source.artifacts.iter().map(of).sum::<usize>();
    let unread = unread(report, source);
    let told: Vec<String> = [in_numbers(source), unread.clone(), branch(source), tag(source)]
        .into_iter()
        .flatten()
        .collect();
    let odd = (source.branch.is_none() && source.branch_judged == Some(true))
        || source.tag.as_ref().is_some_and(|tag| tag.commit != source.commit)
        || sum(|it| it.differs + it.missing) > 0;
    Some(ChainLink {
        icon: "file-diff",
        title: "Compared with".to_owned(),
        subject: visible(&source.repository),
        detail: told.join(" "),
        verdict: match (odd, unread) {
            (true, _) => look_at_it(),
            (false, None) => Badge::new(Tone::Ok, "circle-check", "The same"),
            (false, Some(_)) if source.artifacts.is_empty() => not_checked("Not compared"),
            (false, Some(_)) => not_checked("Not all compared"),
        },
    })
}

/// "41 the same, 1 not in Git."; nothing when no file was compared.
fn in_numbers(source: &Summary) -> Option<String> {
    let sum = |of: fn(&Counts) -> usize| source.artifacts.iter().map(of).sum::<usize>();
    let same = sum(|it| it.exact + it.elsewhere + it.rewritten);
    let told = [
        (sum(|it| it.generated), "written while packing"),
        (sum(|it| it.differs), "with other content than in Git"),
        (sum(|it| it.missing), "not in Git"),
    ];
    let rest = told.iter().filter(|(number, _)| *number > 0);
    let rest = rest.map(|(number, words)| format!("{number} {words}"));
    let counts: Vec<String> = std::iter::once(format!("{same} the same")).chain(rest).collect();
    (!source.artifacts.is_empty()).then(|| format!("{}.", counts.join(", ")))
}

/// Which files to publish could not be read, and so not be compared.
fn unread(report: &Report, source: &Summary) -> Option<String> {
    let compared = |name: &str| source.artifacts.iter().any(|it| it.file_name == name);
    let files = report.artifacts.iter().filter(|it| !compared(&it.name));
    let names: Vec<String> = files.map(|it| visible(&it.name)).collect();
    (!names.is_empty()).then(|| format!("Not read, so not compared: {}.", list(&names, "and")))
}

fn branch(source: &Summary) -> Option<String> {
    match (source.branch.as_deref(), source.branch_judged) {
        (Some(branch), _) => Some(format!("Branch {} leads to the commit.", visible(branch))),
        (None, Some(true)) => {
            Some("No branch that releases come from leads to the commit.".to_owned())
        }
        // The report says that none is configured.
        (None, Some(false) | None) => None,
    }
}

fn tag(source: &Summary) -> Option<String> {
    let tag = source.tag.as_ref()?;
    let which = if tag.commit == source.commit { "that" } else { "another" };
    Some(format!("Tag {} is {which} commit.", visible(&tag.name)))
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
        verdict: if is_protected { as_configured() } else { look_at_it() },
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
