//! The rule over GitHub's claims.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::comparison::{Comparison, Note};
use super::ref_pattern::{RefPattern, is_ref_name};
use super::rule::{RuleError, Runner, field_error, require_id, require_text, require_words};
use crate::domain::claims::{GitHubClaims, is_commit};
use crate::domain::package::excerpt;

/// Events a GitHub rule may allow (O18). Everything else can be started by people who may not
/// push: pull requests, comments, issues, and runs chained to them.
pub const GITHUB_EVENTS: [&str; 4] = ["push", "release", "workflow_dispatch", "schedule"];
/// Events allowed when a GitHub rule names none; `schedule` has to be asked for.
const GITHUB_EVENTS_DEFAULT: [&str; 3] = ["push", "release", "workflow_dispatch"];

/// A reusable workflow that contains the publishing job, pinned (O17).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReusableConfig {
    /// `owner/repository/.github/workflows/file.yml`.
    pub workflow: String,
    /// The exact ref it is called at. This or `sha`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The exact commit it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
}

/// A GitHub rule as configuration and the database write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitHubConfig {
    /// `owner/name`, for people and for noticing a name that changed hands.
    pub repository: String,
    /// The repository's immutable id.
    pub repository_id: String,
    /// The owner's immutable id.
    pub repository_owner_id: String,
    /// Path of the entry workflow: `.github/workflows/file.yml`.
    pub workflow: String,
    /// Deployment environment the job has to run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// That environment's immutable id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_node_id: Option<String>,
    /// Which refs may release.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Whether the ref has to be protected.
    #[serde(default)]
    pub ref_protected: bool,
    /// Allowed events, among [`GITHUB_EVENTS`].
    #[serde(default = "github_events_default")]
    pub events: BTreeSet<String>,
    /// Where the job may run.
    #[serde(default)]
    pub runner: Runner,
    /// Set when the job lives in a reusable workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reusable: Option<ReusableConfig>,
}

fn github_events_default() -> BTreeSet<String> {
    GITHUB_EVENTS_DEFAULT.map(str::to_owned).into()
}

/// A checked rule over GitHub's claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GitHubConfig", into = "GitHubConfig")]
pub struct GitHubRule {
    config: GitHubConfig,
    pattern: RefPattern,
}

impl TryFrom<GitHubConfig> for GitHubRule {
    type Error = RuleError;

    fn try_from(config: GitHubConfig) -> Result<Self, RuleError> {
        if !is_repository(&config.repository) {
            return Err(field_error("repository", "`owner/name`", &config.repository));
        }
        require_id("repository_id", &config.repository_id)?;
        require_id("repository_owner_id", &config.repository_owner_id)?;
        if !is_workflow(&config.workflow) {
            let expected = "a path like `.github/workflows/release.yml`";
            return Err(field_error("workflow", expected, &config.workflow));
        }
        require_text("environment", config.environment.as_deref())?;
        require_text("environment_node_id", config.environment_node_id.as_deref())?;
        let expected = "one or more of push, release, workflow_dispatch and schedule";
        require_words("events", &config.events, &GITHUB_EVENTS, expected)?;
        if config.runner == Runner::GitLabHosted {
            let expected = "github-hosted, self-hosted or any";
            return Err(field_error("runner", expected, config.runner.as_str()));
        }
        if let Some(reusable) = &config.reusable {
            check_reusable(reusable)?;
        }
        let pattern = RefPattern::parse("ref", &config.git_ref)?;
        Ok(Self { config, pattern })
    }
}

fn check_reusable(reusable: &ReusableConfig) -> Result<(), RuleError> {
    let mut parts = reusable.workflow.splitn(3, '/');
    let (owner, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let path_ok = parts.next().is_some_and(is_workflow);
    if !path_ok || !is_repository(&format!("{owner}/{name}")) {
        let expected = "`owner/repository/.github/workflows/file.yml`";
        return Err(field_error("reusable.workflow", expected, &reusable.workflow));
    }
    match (&reusable.git_ref, &reusable.sha) {
        (None, None) => Err(field_error("reusable", "a ref or a sha to pin it by", "neither")),
        (Some(name), _) if !(name.starts_with("refs/") && is_ref_name(name)) => {
            Err(field_error("reusable.ref", "a full ref name without wildcard", name))
        }
        (_, Some(sha)) if !is_commit(sha) => {
            Err(field_error("reusable.sha", "40 or 64 lower-case hex digits", sha))
        }
        _ => Ok(()),
    }
}

impl From<GitHubRule> for GitHubConfig {
    fn from(rule: GitHubRule) -> Self {
        rule.config
    }
}

fn is_repository(text: &str) -> bool {
    let part_ok = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    text.split_once('/').is_some_and(|(owner, name)| part_ok(owner) && part_ok(name))
}

fn is_workflow(text: &str) -> bool {
    let name = text.strip_prefix(".github/workflows/");
    let stem = name.and_then(|name| name.strip_suffix(".yml").or(name.strip_suffix(".yaml")));
    stem.is_some_and(|stem| {
        (1..=200).contains(&stem.len()) && !stem.chars().any(|c| c == '/' || c.is_control())
    })
}

impl GitHubRule {
    /// The rule as written.
    pub const fn config(&self) -> &GitHubConfig {
        &self.config
    }

    pub(super) fn compare(&self, claims: &GitHubClaims, table: &mut Comparison) {
        let rule = &self.config;
        self.compare_identity(claims, table);
        // Both the entry workflow and the file with the job: checking one leaves the other open
        // (O17). The name before `@` is the token's, whose id was just compared; what follows is
        // the token's own ref or commit, so nothing has to be searched or split.
        let entry = format!("{}/{}", claims.repository, rule.workflow);
        let at_own_ref = |received: &str| {
            received == format!("{entry}@{}", claims.git_ref)
                || received == format!("{entry}@{}", claims.sha)
        };
        let expected = format!("{entry}@{}", claims.git_ref);
        let received = claims.workflow_ref.as_str();
        table.require("workflow_ref", &expected, Some(received), at_own_ref(received));
        match &rule.reusable {
            None => {
                let received = claims.job_workflow_ref.as_str();
                table.require("job_workflow_ref", expected, Some(received), at_own_ref(received));
            }
            Some(reusable) => compare_reusable(reusable, claims, table),
        }
        table.one_of("event_name", &rule.events, &claims.event_name);
        let on_ref = self.pattern.matches(&claims.git_ref);
        table.require("ref", self.pattern.as_str(), Some(&claims.git_ref), on_ref);
        table.equal("ref_type", self.pattern.ref_type(), claims.ref_type.as_deref());
        if rule.ref_protected {
            table.equal("ref_protected", "true", claims.ref_protected.as_deref());
        }
        // Set on pull requests only, whose code nobody has merged yet (O19).
        table.require("head_ref", "nothing", Some(&claims.head_ref), claims.head_ref.is_empty());
        table.require("base_ref", "nothing", Some(&claims.base_ref), claims.base_ref.is_empty());
        let sha = &claims.sha;
        table.require("sha", "40 or 64 lower-case hex digits", Some(sha), is_commit(sha));
        table.environment(rule.environment.as_deref(), claims.environment.as_deref());
        if let Some(node) = &rule.environment_node_id {
            table.equal("environment_node_id", node, claims.environment_node_id.as_deref());
        }
        table.runner(rule.runner, claims.runner_environment.as_deref());
        if claims.run_attempt != "1" {
            table.notes.push(Note::Rerun { attempt: claims.run_attempt.clone() });
        }
    }

    fn compare_identity(&self, claims: &GitHubClaims, table: &mut Comparison) {
        let rule = &self.config;
        table.equal("repository_id", &rule.repository_id, Some(&claims.repository_id));
        let owner_id = Some(claims.repository_owner_id.as_str());
        table.equal("repository_owner_id", &rule.repository_owner_id, owner_id);
        let same_name = claims.repository.eq_ignore_ascii_case(&rule.repository);
        let same_id = claims.repository_id == rule.repository_id;
        let same_owner = claims.repository_owner_id == rule.repository_owner_id;
        // Known by name or id, and yet not what was trusted.
        table.changed_hands = (same_name || same_id) && !(same_id && same_owner);
        if same_id && !same_name {
            table.notes.push(Note::Renamed {
                expected: rule.repository.clone(),
                received: excerpt(&claims.repository),
            });
        }
    }
}

fn compare_reusable(reusable: &ReusableConfig, claims: &GitHubClaims, table: &mut Comparison) {
    let received = claims.job_workflow_ref.as_str();
    let at = |pin: &str| format!("{}@{pin}", reusable.workflow);
    match (&reusable.git_ref, &reusable.sha) {
        (Some(name), _) => table.equal("job_workflow_ref", &at(name), Some(received)),
        (None, Some(sha)) => {
            // Called by commit or by a moving name: the commit is what is pinned.
            let prefix = at("");
            let holds = received
                .strip_prefix(&prefix)
                .is_some_and(|pin| pin == sha || pin.starts_with("refs/") && is_ref_name(pin));
            table.require("job_workflow_ref", prefix, Some(received), holds);
        }
        (None, None) => {
            table.require("job_workflow_ref", "a pinned workflow", Some(received), false);
        }
    }
    if let Some(sha) = &reusable.sha {
        table.equal("job_workflow_sha", sha, claims.job_workflow_sha.as_deref());
    }
}
