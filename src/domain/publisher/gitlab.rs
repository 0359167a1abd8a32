//! The rule over GitLab's claims.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::comparison::{Comparison, Note};
use super::ref_pattern::RefPattern;
use super::rule::{RuleError, Runner, field_error, require_id, require_text, require_words};
use crate::domain::claims::{ABSENT, GitLabClaims, is_commit};
use crate::domain::package::excerpt;

/// Sources a GitLab rule may allow (O18); merge requests and chained pipelines are not among them.
pub const GITLAB_SOURCES: [&str; 4] = ["push", "web", "api", "schedule"];
/// Sources allowed when a GitLab rule names none.
const GITLAB_SOURCES_DEFAULT: [&str; 2] = ["push", "web"];

/// A GitLab rule as configuration and the database write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitLabConfig {
    /// The project's immutable id.
    pub project_id: String,
    /// The namespace's immutable id.
    pub namespace_id: String,
    /// `group/project`, for people and for noticing a name that changed hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_path: Option<String>,
    /// Which refs may release.
    pub ref_path: String,
    /// `branch` or `tag`; follows from `ref_path` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_type: Option<String>,
    /// Whether the ref has to be protected. Any job of a pipeline can mint a token, so it does
    /// unless the rule says otherwise.
    #[serde(default = "yes")]
    pub ref_protected: bool,
    /// Deployment environment the job has to run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Whether that environment has to be protected.
    #[serde(default)]
    pub environment_protected: bool,
    /// Allowed sources, among [`GITLAB_SOURCES`].
    #[serde(default = "gitlab_sources_default")]
    pub pipeline_source: BTreeSet<String>,
    /// `host/group/project//.gitlab-ci.yml`; the token's own ref is appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_config_ref_uri: Option<String>,
    /// Where the job may run.
    #[serde(default = "gitlab_hosted")]
    pub runner: Runner,
}

const fn yes() -> bool {
    true
}

const fn gitlab_hosted() -> Runner {
    Runner::GitLabHosted
}

fn gitlab_sources_default() -> BTreeSet<String> {
    GITLAB_SOURCES_DEFAULT.map(str::to_owned).into()
}

/// A checked rule over GitLab's claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GitLabConfig", into = "GitLabConfig")]
pub struct GitLabRule {
    config: GitLabConfig,
    pattern: RefPattern,
}

impl TryFrom<GitLabConfig> for GitLabRule {
    type Error = RuleError;

    fn try_from(config: GitLabConfig) -> Result<Self, RuleError> {
        require_id("project_id", &config.project_id)?;
        require_id("namespace_id", &config.namespace_id)?;
        require_text("project_path", config.project_path.as_deref())?;
        require_text("environment", config.environment.as_deref())?;
        require_text("ci_config_ref_uri", config.ci_config_ref_uri.as_deref())?;
        let pattern = RefPattern::parse("ref_path", &config.ref_path)?;
        if let Some(kind) = config.ref_type.as_deref().filter(|kind| *kind != pattern.ref_type()) {
            return Err(field_error("ref_type", "the type that ref_path names", kind));
        }
        if config.environment_protected && config.environment.is_none() {
            let expected = "an environment when it has to be protected";
            return Err(field_error("environment", expected, ABSENT));
        }
        let expected = "one or more of push, web, api and schedule";
        require_words("pipeline_source", &config.pipeline_source, &GITLAB_SOURCES, expected)?;
        if config.runner == Runner::GitHubHosted {
            let expected = "gitlab-hosted, self-hosted or any";
            return Err(field_error("runner", expected, config.runner.as_str()));
        }
        Ok(Self { config, pattern })
    }
}

impl From<GitLabRule> for GitLabConfig {
    fn from(rule: GitLabRule) -> Self {
        rule.config
    }
}

impl GitLabRule {
    /// The rule as written.
    pub const fn config(&self) -> &GitLabConfig {
        &self.config
    }

    pub(super) fn compare(&self, claims: &GitLabClaims, table: &mut Comparison) {
        let rule = &self.config;
        table.equal("project_id", &rule.project_id, Some(&claims.project_id));
        table.equal("namespace_id", &rule.namespace_id, Some(&claims.namespace_id));
        let same_id = claims.project_id == rule.project_id;
        let same_owner = claims.namespace_id == rule.namespace_id;
        let same_name = rule.project_path.as_ref().map(|path| *path == claims.project_path);
        table.changed_hands = (same_name == Some(true) || same_id) && !(same_id && same_owner);
        if let Some(expected) = rule.project_path.clone().filter(|_| same_name == Some(false)) {
            let received = excerpt(&claims.project_path);
            table.notes.push(Note::Renamed { expected, received });
        }
        // In a fork's merge request `project_id` names one project and the job ran in another.
        if let Some(job_project) = &claims.job_project_id {
            table.equal("job_project_id", &rule.project_id, Some(job_project));
        }
        match &rule.ci_config_ref_uri {
            Some(file) => {
                let expected = format!("{file}@{}", claims.ref_path);
                let received = claims.ci_config_ref_uri.as_deref();
                table.equal("ci_config_ref_uri", &expected, received);
            }
            None => table.notes.push(Note::NoPipelineDefinition),
        }
        table.one_of("pipeline_source", &rule.pipeline_source, &claims.pipeline_source);
        let on_ref = self.pattern.matches(&claims.ref_path);
        table.require("ref_path", self.pattern.as_str(), Some(&claims.ref_path), on_ref);
        table.equal("ref_type", self.pattern.ref_type(), claims.ref_type.as_deref());
        if rule.ref_protected {
            table.equal("ref_protected", "true", claims.ref_protected.as_deref());
        }
        let sha = &claims.sha;
        table.require("sha", "40 or 64 lower-case hex digits", Some(sha), is_commit(sha));
        table.environment(rule.environment.as_deref(), claims.environment.as_deref());
        if rule.environment_protected {
            let received = claims.environment_protected.as_deref();
            table.equal("environment_protected", "true", received);
        }
        table.runner(rule.runner, claims.runner_environment.as_deref());
    }
}
