//! A trusted publisher: the CI workload that may stage, as a rule over verified claims.
//!
//! Every claim of a provider is accounted for: compared here, or knowingly not, with the reason
//! (`claims::table`). Identity rests on immutable ids; names are for people (O14). Workflow paths
//! are compared as whole strings built from trusted parts, never searched (O17).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::claims::{
    ABSENT, AGE_ORDINARY, Claims, GitHubClaims, GitLabClaims, Provider, Scalar, TOKEN_CLAIMS,
    Treatment, is_commit, is_numeric_id, table,
};
use super::ids::{IssuerId, PackageId, PublisherId};
use super::issuer::Preset;
use super::package::excerpt;

/// Events a GitHub rule may allow (O18). Everything else can be started by people who may not
/// push: pull requests, comments, issues, and runs chained to them.
pub const GITHUB_EVENTS: [&str; 4] = ["push", "release", "workflow_dispatch", "schedule"];
/// Events allowed when a GitHub rule names none; `schedule` has to be asked for.
const GITHUB_EVENTS_DEFAULT: [&str; 3] = ["push", "release", "workflow_dispatch"];
/// Sources a GitLab rule may allow (O18); merge requests and chained pipelines are not among them.
pub const GITLAB_SOURCES: [&str; 4] = ["push", "web", "api", "schedule"];
/// Sources allowed when a GitLab rule names none.
const GITLAB_SOURCES_DEFAULT: [&str; 2] = ["push", "web"];
/// Longest text of one field of a rule, in bytes.
pub const FIELD_MAX_BYTES: usize = 512;
/// Most claims a generic rule may name.
pub const GENERIC_CLAIMS_MAX: usize = 32;

/// Why a rule cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// One field does not hold what it has to.
    #[error("expected {expected} as {field}, received `{received}`")]
    Field {
        /// The field, under its configuration name.
        field: String,
        /// What would have been accepted.
        expected: &'static str,
        /// What came, cut to a printable length.
        received: String,
    },
    /// Nothing would be compared that a stranger cannot also have (O24).
    #[error("expected at least one exact claim besides the token's own, received `none`")]
    Empty,
    /// A publisher has exactly one rule.
    #[error("expected exactly one of github, gitlab and claims, received `{received}`")]
    Shape {
        /// How many rules came.
        received: usize,
    },
}

fn field_error(field: &str, expected: &'static str, received: &str) -> RuleError {
    RuleError::Field { field: field.to_owned(), expected, received: excerpt(received) }
}

/// A pattern over full Git ref names: anchored, `*` stands for any text without `/` (O19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RefPattern(String);

impl RefPattern {
    /// Parses `refs/heads/…` or `refs/tags/…`.
    pub fn parse(field: &str, text: &str) -> Result<Self, RuleError> {
        let refused = || {
            let expected = "a pattern below refs/heads/ or refs/tags/ with `*` as only wildcard";
            field_error(field, expected, text)
        };
        let name = text
            .strip_prefix("refs/heads/")
            .or_else(|| text.strip_prefix("refs/tags/"))
            .ok_or_else(refused)?;
        let plain = text.replace('*', "x");
        if name.is_empty() || text.contains("**") || !is_ref_name(&plain) {
            return Err(refused());
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `ref_type` that a matching ref has.
    pub fn ref_type(&self) -> &'static str {
        if self.0.starts_with("refs/tags/") { "tag" } else { "branch" }
    }

    /// True for a well-formed ref name whose every segment matches.
    pub fn matches(&self, name: &str) -> bool {
        let segments = self.0.split('/').count();
        is_ref_name(name)
            && name.split('/').count() == segments
            && self
                .0
                .split('/')
                .zip(name.split('/'))
                .all(|(glob, text)| segment_matches(glob, text))
    }
}

/// The part of `git check-ref-format` that keeps a name from being read two ways.
fn is_ref_name(text: &str) -> bool {
    text.len() <= FIELD_MAX_BYTES
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
}

fn segment_matches(glob: &str, text: &str) -> bool {
    let mut pieces = glob.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        // No wildcard: the prefix was the whole segment.
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(found) = rest.find(piece) else {
            return false;
        };
        rest = &rest[found + piece.len()..];
    }
    rest.ends_with(last)
}

/// Where the job may run (O21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Runner {
    /// Machines of GitHub.
    #[default]
    #[serde(rename = "github-hosted")]
    GitHubHosted,
    /// Machines of the GitLab instance's operator.
    #[serde(rename = "gitlab-hosted")]
    GitLabHosted,
    /// The organization's own machines; a finding each time.
    #[serde(rename = "self-hosted")]
    SelfHosted,
    /// Either; a finding when it was one's own.
    #[serde(rename = "any")]
    Any,
}

impl Runner {
    /// The word in configuration, and the claim's value except for `any`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHubHosted => "github-hosted",
            Self::GitLabHosted => "gitlab-hosted",
            Self::SelfHosted => "self-hosted",
            Self::Any => "any",
        }
    }
}

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

/// A publisher of the set-up file: exactly one of the three rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublisherConfig {
    /// What people call it.
    pub name: String,
    /// The name of an issuer in the same file.
    pub issuer: String,
    /// `npm:name` or `pypi:name`, each in the same file.
    pub packages: Vec<String>,
    /// A rule over GitHub's claims.
    #[serde(default)]
    pub github: Option<GitHubConfig>,
    /// A rule over GitLab's claims.
    #[serde(default)]
    pub gitlab: Option<GitLabConfig>,
    /// Typed equalities for any other issuer.
    #[serde(default)]
    pub claims: Option<BTreeMap<String, Scalar>>,
}

impl PublisherConfig {
    /// The one rule, parsed.
    pub fn rule(&self) -> Result<Rule, RuleError> {
        match (&self.github, &self.gitlab, &self.claims) {
            (Some(config), None, None) => GitHubRule::try_from(config.clone()).map(Rule::GitHub),
            (None, Some(config), None) => GitLabRule::try_from(config.clone()).map(Rule::GitLab),
            (None, None, Some(claims)) => GenericRule::try_from(claims.clone()).map(Rule::Generic),
            (github, gitlab, claims) => Err(RuleError::Shape {
                received: usize::from(github.is_some())
                    + usize::from(gitlab.is_some())
                    + usize::from(claims.is_some()),
            }),
        }
    }
}

/// A rule over one provider's claims; its JSON has one member, named as in the set-up file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// GitHub Actions.
    #[serde(rename = "github")]
    GitHub(GitHubRule),
    /// GitLab CI.
    #[serde(rename = "gitlab")]
    GitLab(GitLabRule),
    /// Any other issuer.
    #[serde(rename = "claims")]
    Generic(GenericRule),
}

impl Rule {
    /// The preset an issuer must have for this rule to ever match (O2).
    pub const fn preset(&self) -> Preset {
        match self {
            Self::GitHub(_) => Preset::GitHub,
            Self::GitLab(_) => Preset::GitLab,
            Self::Generic(_) => Preset::Generic,
        }
    }

    /// Compact JSON with sorted members: equal rules give equal bytes.
    pub fn to_canonical_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_value(self)?.to_string())
    }
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

/// A checked rule of typed equalities (O24).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Scalar>", into = "BTreeMap<String, Scalar>")]
pub struct GenericRule {
    equalities: BTreeMap<String, Scalar>,
    pattern: Option<RefPattern>,
}

impl TryFrom<BTreeMap<String, Scalar>> for GenericRule {
    type Error = RuleError;

    fn try_from(mut claims: BTreeMap<String, Scalar>) -> Result<Self, RuleError> {
        if claims.len() > GENERIC_CLAIMS_MAX {
            return Err(field_error("claims", "at most 32 claims", &claims.len().to_string()));
        }
        let mut pattern = None;
        for (name, value) in &claims {
            let own = TOKEN_CLAIMS.iter().any(|(known, _)| known == name) && name != "sub";
            if own || name.is_empty() || name.len() > FIELD_MAX_BYTES {
                let expected = "names of claims that are not the token's own";
                return Err(field_error("claims", expected, name));
            }
            let Scalar::Text(text) = value else {
                continue;
            };
            require_text(name, Some(text))?;
            if text.contains('*') && name == "ref" {
                pattern = Some(RefPattern::parse(name, text)?);
            } else if text.contains('*') {
                return Err(field_error(name, "an exact value, as only ref may have `*`", text));
            }
        }
        if pattern.is_some() {
            claims.remove("ref");
        }
        if claims.is_empty() {
            return Err(RuleError::Empty);
        }
        Ok(Self { equalities: claims, pattern })
    }
}

impl From<GenericRule> for BTreeMap<String, Scalar> {
    fn from(rule: GenericRule) -> Self {
        let mut claims = rule.equalities;
        claims.extend(rule.pattern.map(|pattern| ("ref".to_owned(), Scalar::Text(pattern.0))));
        claims
    }
}

fn require_id(field: &str, text: &str) -> Result<(), RuleError> {
    let expected = "a numeric id without leading zeros";
    if is_numeric_id(text) { Ok(()) } else { Err(field_error(field, expected, text)) }
}

fn require_text(field: &str, text: Option<&str>) -> Result<(), RuleError> {
    match text {
        Some(text)
            if text.is_empty()
                || text.len() > FIELD_MAX_BYTES
                || text.chars().any(char::is_control) =>
        {
            Err(field_error(field, "1 to 512 bytes of text without control characters", text))
        }
        _ => Ok(()),
    }
}

fn require_words(
    field: &str,
    words: &BTreeSet<String>,
    allowed: &[&str],
    expected: &'static str,
) -> Result<(), RuleError> {
    if words.is_empty() {
        return Err(field_error(field, expected, "none"));
    }
    match words.iter().find(|word| !allowed.contains(&word.as_str())) {
        Some(word) => Err(field_error(field, expected, word)),
        None => Ok(()),
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

/// A CI workload trusted to stage some packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    id: PublisherId,
    name: String,
    issuer: IssuerId,
    rule: Rule,
    packages: BTreeSet<PackageId>,
}

impl Publisher {
    /// Puts a publisher together. Whoever creates one also checks that the issuer's preset is
    /// [`Rule::preset`]; a pair that differs matches no token.
    pub fn parse(
        id: PublisherId,
        name: &str,
        issuer: IssuerId,
        rule: Rule,
        packages: BTreeSet<PackageId>,
    ) -> Result<Self, RuleError> {
        require_text("name", Some(name))?;
        Ok(Self { id, name: name.to_owned(), issuer, rule, packages })
    }

    /// Its identity.
    pub const fn id(&self) -> PublisherId {
        self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one issuer whose tokens it accepts (O2).
    pub const fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// What it compares.
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What it may stage.
    pub const fn packages(&self) -> &BTreeSet<PackageId> {
        &self.packages
    }

    /// Compares verified claims with the rule. All comparisons are made even after one failed, so
    /// that a maintainer sees the whole table at once.
    pub fn check(&self, claims: &Claims) -> Result<Matched, ClaimMismatch> {
        let mut table = Comparison::default();
        // First and always: another issuer's word never counts, whatever it says (O2).
        let same = claims.issuer() == self.issuer;
        table.require("iss", "the issuer of this publisher", Some(claims.issuer_url()), same);
        match (&self.rule, claims.provider()) {
            (Rule::GitHub(rule), Provider::GitHub(received)) if same => {
                rule.compare(received, &mut table);
            }
            (Rule::GitLab(rule), Provider::GitLab(received)) if same => {
                rule.compare(received, &mut table);
            }
            (Rule::Generic(rule), Provider::Generic(received)) if same => {
                rule.compare(received, claims.subject(), &mut table);
            }
            _ => {
                let expected = format!("claims of the {} kind", self.rule.preset().as_str());
                table.require("iss", expected, Some(claims.issuer_url()), false);
            }
        }
        table.conclude(self, claims)
    }
}

/// Picks the first publisher whose rule the claims meet. Pass the publishers that are candidates
/// for what is being staged; those of other issuers are skipped before anything is compared (O2).
pub fn select<'a>(
    publishers: &'a [Publisher],
    claims: &Claims,
) -> Result<(&'a Publisher, Matched), NoPublisher> {
    let mut closest: Option<Closest> = None;
    for publisher in publishers.iter().filter(|known| known.issuer == claims.issuer()) {
        let mismatch = match publisher.check(claims) {
            Ok(matched) => return Ok((publisher, matched)),
            Err(mismatch) => mismatch,
        };
        let distance = |of: &ClaimMismatch| (!of.is_resurrection(), of.mismatches().len());
        if closest.as_ref().is_none_or(|best| distance(&mismatch) < distance(&best.mismatch)) {
            let name = publisher.name.clone();
            closest = Some(Closest { publisher: publisher.id, name, mismatch });
        }
    }
    Err(NoPublisher { closest: closest.map(Box::new) })
}

/// One row of the expected-and-received table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The claim.
    pub claim: String,
    /// The value it has to have, or what values do.
    pub expected: String,
    /// The value it has, or `(absent)`.
    pub received: String,
    /// Whether that is good.
    pub holds: bool,
}

/// A claim that was knowingly not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// The claim.
    pub claim: &'static str,
    /// Why it does not matter here.
    pub reason: &'static str,
}

/// Something a reviewer should know about claims that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Same id, other name: the repository or project was renamed (O14).
    Renamed {
        /// The name in the rule.
        expected: String,
        /// The name in the token.
        received: String,
    },
    /// The run was started again; its bytes may differ from the first time (O22).
    Rerun {
        /// `run_attempt`.
        attempt: String,
    },
    /// The job ran on one's own machine (O21).
    SelfHosted,
    /// The rule names no environment, so anybody who may push can reach it (O20).
    NoEnvironment,
    /// The rule pins no pipeline definition.
    NoPipelineDefinition,
    /// The token was older than ten minutes (O9).
    OldToken {
        /// Whole minutes between `iat` and verification.
        minutes: i64,
    },
    /// The token has claims that no table of ours mentions.
    Unaccounted {
        /// Their names.
        claims: BTreeSet<String>,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { expected, received } => {
                write!(f, "renamed from {expected} to {received} since the publisher was set up")
            }
            Self::Rerun { attempt } => write!(f, "attempt {attempt} of this run"),
            Self::SelfHosted => f.write_str("built on a self-hosted runner"),
            Self::NoEnvironment => f.write_str("the publisher names no environment"),
            Self::NoPipelineDefinition => {
                f.write_str("the publisher pins no pipeline definition file")
            }
            Self::OldToken { minutes } => write!(f, "the token was {minutes} minutes old"),
            Self::Unaccounted { claims } => {
                let names: Vec<&str> = claims.iter().map(String::as_str).collect();
                write!(f, "claims we do not know yet: {}", names.join(", "))
            }
        }
    }
}

/// Proof that claims met a publisher's rule; only [`Publisher::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    publisher: PublisherId,
    checks: Vec<Check>,
    ignored: Vec<Ignored>,
    notes: Vec<Note>,
}

impl Matched {
    /// Whose rule was met.
    pub const fn publisher(&self) -> PublisherId {
        self.publisher
    }

    /// What was compared.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What was knowingly not compared.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// What a reviewer should know.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Claims that do not meet a rule; its message names the first difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimMismatch {
    /// The trusted name or id now belongs to another owner or repository: raise an alarm (O14).
    #[error("{0}")]
    Resurrection(Mismatches),
    /// Any other difference.
    #[error("{0}")]
    Different(Mismatches),
}

/// A table with at least one row that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatches {
    first: Check,
    rows: Vec<Check>,
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { claim, expected, received, .. } = &self.first;
        write!(f, "expected {expected} in the claim {claim}, received `{received}`")
    }
}

impl ClaimMismatch {
    fn table(&self) -> &Mismatches {
        match self {
            Self::Resurrection(table) | Self::Different(table) => table,
        }
    }

    /// True when an alarm is due, not just a refusal.
    pub const fn is_resurrection(&self) -> bool {
        matches!(self, Self::Resurrection(_))
    }

    /// The first claim that differs.
    pub fn claim(&self) -> &str {
        &self.table().first.claim
    }

    /// What it should have been.
    pub fn expected(&self) -> &str {
        &self.table().first.expected
    }

    /// What it was.
    pub fn received(&self) -> &str {
        &self.table().first.received
    }

    /// All rows that do not hold, the first included.
    pub fn mismatches(&self) -> Vec<&Check> {
        self.table().rows.iter().filter(|row| !row.holds).collect()
    }

    /// The whole table, rows that hold included.
    pub fn checks(&self) -> &[Check] {
        &self.table().rows
    }
}

/// No publisher of the token's issuer has a rule that the claims meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct NoPublisher {
    /// The publisher that came nearest: one whose trusted name changed hands before all others,
    /// then the one with the fewest differences. None when the issuer has no publisher.
    pub closest: Option<Box<Closest>>,
}

/// A publisher that nearly matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closest {
    /// Its identity.
    pub publisher: PublisherId,
    /// Its name.
    pub name: String,
    /// What differs.
    pub mismatch: ClaimMismatch,
}

impl NoPublisher {
    fn sentence(&self) -> String {
        match &self.closest {
            Some(closest) => {
                format!(
                    "no publisher matches, {} comes nearest: {}",
                    closest.name, closest.mismatch
                )
            }
            None => "no publisher trusts this issuer for what is being staged".to_owned(),
        }
    }
}

#[derive(Default)]
struct Comparison {
    rows: Vec<Check>,
    notes: Vec<Note>,
    changed_hands: bool,
}

impl Comparison {
    fn require(
        &mut self,
        claim: &str,
        expected: impl Into<String>,
        received: Option<&str>,
        holds: bool,
    ) {
        self.rows.push(Check {
            claim: claim.to_owned(),
            expected: expected.into(),
            received: received.map_or_else(|| ABSENT.to_owned(), excerpt),
            holds,
        });
    }

    fn equal(&mut self, claim: &str, expected: &str, received: Option<&str>) {
        self.require(claim, expected, received, received == Some(expected));
    }

    fn one_of(&mut self, claim: &str, expected: &BTreeSet<String>, received: &str) {
        let words: Vec<&str> = expected.iter().map(String::as_str).collect();
        self.require(claim, words.join(" or "), Some(received), expected.contains(received));
    }

    fn environment(&mut self, expected: Option<&str>, received: Option<&str>) {
        match expected {
            // ASCII only: look-alikes in other scripts are other names (O20).
            Some(expected) => {
                let holds = received.is_some_and(|name| name.eq_ignore_ascii_case(expected));
                self.require("environment", expected, received, holds);
            }
            None => self.notes.push(Note::NoEnvironment),
        }
    }

    fn runner(&mut self, expected: Runner, received: Option<&str>) {
        if expected != Runner::Any {
            self.equal("runner_environment", expected.as_str(), received);
        }
        // An absent claim is not a hosted runner either.
        if !matches!(received, Some("github-hosted" | "gitlab-hosted")) {
            self.notes.push(Note::SelfHosted);
        }
    }

    fn conclude(
        mut self,
        publisher: &Publisher,
        claims: &Claims,
    ) -> Result<Matched, ClaimMismatch> {
        if let Some(first) = self.rows.iter().find(|row| !row.holds).cloned() {
            let changed_hands = self.changed_hands;
            let table = Mismatches { first, rows: self.rows };
            return Err(if changed_hands {
                ClaimMismatch::Resurrection(table)
            } else {
                ClaimMismatch::Different(table)
            });
        }
        let age: SignedDuration = claims.verified_at().duration_since(claims.issued_at());
        if age > AGE_ORDINARY {
            self.notes.push(Note::OldToken { minutes: age.as_mins() });
        }
        if !claims.unaccounted().is_empty() {
            self.notes.push(Note::Unaccounted { claims: claims.unaccounted().clone() });
        }
        let compared: BTreeSet<&str> = self.rows.iter().map(|row| row.claim.as_str()).collect();
        let known = TOKEN_CLAIMS.iter().chain(table(publisher.rule.preset()));
        let ignored = known
            .filter(|(claim, _)| !compared.contains(claim))
            .filter_map(|(claim, treatment)| match treatment {
                Treatment::Token => None,
                Treatment::Rule => Some(Ignored { claim, reason: "the rule does not ask for it" }),
                Treatment::Kept(reason) | Treatment::Ignored(reason) => {
                    Some(Ignored { claim, reason })
                }
            })
            .collect();
        Ok(Matched { publisher: publisher.id, checks: self.rows, ignored, notes: self.notes })
    }
}

impl GitHubRule {
    /// The rule as written.
    pub const fn config(&self) -> &GitHubConfig {
        &self.config
    }

    fn compare(&self, claims: &GitHubClaims, table: &mut Comparison) {
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

impl GitLabRule {
    /// The rule as written.
    pub const fn config(&self) -> &GitLabConfig {
        &self.config
    }

    fn compare(&self, claims: &GitLabClaims, table: &mut Comparison) {
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

impl GenericRule {
    /// The typed equalities, without a `ref` pattern.
    pub const fn equalities(&self) -> &BTreeMap<String, Scalar> {
        &self.equalities
    }

    fn compare(&self, claims: &BTreeMap<String, Scalar>, subject: &str, table: &mut Comparison) {
        for (name, expected) in &self.equalities {
            let subject = (name == "sub").then(|| Scalar::Text(subject.to_owned()));
            let received = subject.as_ref().or_else(|| claims.get(name));
            let holds = received == Some(expected);
            let shown = received.map(ToString::to_string);
            table.require(name, expected.to_string(), shown.as_deref(), holds);
        }
        if let Some(pattern) = &self.pattern {
            let received = match claims.get("ref") {
                Some(Scalar::Text(text)) => Some(text.as_str()),
                _ => None,
            };
            let holds = received.is_some_and(|name| pattern.matches(name));
            table.require("ref", pattern.as_str(), received, holds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = r#"
        name = "Release workflow"
        issuer = "ci"
        packages = ["npm:@octo/hello-wire", "pypi:hello-wire"]
        [github]
        repository = "octo/hello-wire"
        repository_id = "4242"
        repository_owner_id = "77"
        workflow = ".github/workflows/release.yml"
        environment = "release"
        ref = "refs/tags/v*"
        events = ["push", "release", "workflow_dispatch"]
        runner = "github-hosted"
    "#;

    fn rule(text: &str) -> Result<Rule, String> {
        let config: PublisherConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.rule().map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_survives_the_database_and_keeps_its_shape() {
        let gitlab = "name = 'a'\nissuer = 'b'\npackages = []\n[gitlab]\nproject_id = '1'\n\
                      namespace_id = '2'\nref_path = 'refs/heads/main'\n";
        let generic = "name = 'a'\nissuer = 'b'\npackages = []\n[claims]\nid = 7\non = true\n\
                       ref = 'refs/tags/*'\n";
        for text in [GITHUB, gitlab, generic] {
            let parsed = rule(text).unwrap();
            let stored = parsed.to_canonical_json().unwrap();
            let read: Rule = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, parsed);
            assert_eq!(read.to_canonical_json().unwrap(), stored);
        }
        let stored = rule(generic).unwrap().to_canonical_json().unwrap();
        assert_eq!(stored, r#"{"claims":{"id":7,"on":true,"ref":"refs/tags/*"}}"#);
        assert!(serde_json::from_str::<Rule>(r#"{"claims":{}}"#).is_err());
    }

    #[test]
    fn absent_settings_take_the_careful_value() {
        let text = GITHUB.replace("events = [\"push\", \"release\", \"workflow_dispatch\"]", "");
        let text = text.replace("runner = \"github-hosted\"", "");
        assert_eq!(rule(&text), rule(GITHUB));
        let gitlab = "name = 'a'\nissuer = 'b'\npackages = []\n[gitlab]\nproject_id = '1'\n\
                      namespace_id = '2'\nref_path = 'refs/heads/main'\n";
        let Ok(Rule::GitLab(parsed)) = rule(gitlab) else { panic!() };
        let config = parsed.config();
        assert!(config.ref_protected && config.runner == Runner::GitLabHosted);
        assert_eq!(config.pipeline_source, gitlab_sources_default());
    }

    /// Rules O14, O17, O18, O19.
    #[test]
    fn a_github_rule_that_would_trust_too_much_is_refused() {
        for (from, to) in [
            ("\"4242\"", "\"octo\""),
            ("\"4242\"", "\"04242\""),
            ("\"4242\"", "\"\""),
            ("\"77\"", "\"+77\""),
            ("octo/hello-wire\"\n        repository_id", "hello-wire\"\n        repository_id"),
            (".github/workflows/release.yml", "release.yml"),
            (".github/workflows/release.yml", ".github/workflows/../release.yml"),
            (".github/workflows/release.yml", ".github/workflows/.yml"),
            ("refs/tags/v*", "v*"),
            ("refs/tags/v*", "refs/pull/1/merge"),
            ("refs/tags/v*", "refs/*"),
            ("refs/tags/v*", "refs/tags/**"),
            ("refs/tags/v*", "refs/tags/v[0-9]"),
            ("refs/tags/v*", "refs/tags/"),
            ("\"push\", ", "\"pull_request_target\", "),
            ("\"push\", ", "\"workflow_run\", "),
            ("[\"push\", \"release\", \"workflow_dispatch\"]", "[]"),
            ("\"github-hosted\"", "\"gitlab-hosted\""),
            ("environment = \"release\"", "environment = \"\""),
            ("environment = \"release\"", "enviroment = \"release\""),
        ] {
            let text = GITHUB.replacen(from, to, 1);
            assert_ne!(text, GITHUB, "{from}");
            assert!(rule(&text).is_err(), "{from} -> {to}");
        }
        for reusable in [
            "workflow = 'octo/ci/.github/workflows/p.yml'",
            "workflow = 'octo/ci/p.yml'\nsha = 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee'",
            "workflow = 'octo/ci/.github/workflows/p.yml'\nsha = 'main'",
            "workflow = 'octo/ci/.github/workflows/p.yml'\nref = 'refs/tags/*'",
            "workflow = 'octo/ci/.github/workflows/p.yml'\nref = 'main'",
        ] {
            assert!(
                rule(&format!("{GITHUB}\n[github.reusable]\n{reusable}")).is_err(),
                "{reusable}"
            );
        }
    }

    /// Rule O24: an empty rule is an error, and so is one that only repeats the token's own claims.
    #[test]
    fn a_generic_rule_needs_an_exact_claim() {
        let generic = |claims: &str| {
            rule(&format!("name = 'a'\nissuer = 'b'\npackages = []\n[claims]\n{claims}"))
        };
        assert_eq!(generic(""), Err(RuleError::Empty.to_string()));
        assert_eq!(generic("ref = 'refs/tags/*'"), Err(RuleError::Empty.to_string()));
        for claims in ["iss = 'x'", "aud = 'x'", "exp = 1", "jti = 'x'", "id = 'a*'", "id = ''"] {
            assert!(generic(claims).is_err(), "{claims}");
        }
        assert!(generic("id = 1.5").is_err());
        for claims in ["sub = 'x'", "id = 1", "ref = 'refs/tags/v1'"] {
            assert!(generic(claims).is_ok(), "{claims}");
        }
    }

    #[test]
    fn a_publisher_has_exactly_one_rule() {
        let both = format!("{GITHUB}\n[claims]\nid = 1");
        assert_eq!(rule(&both), Err(RuleError::Shape { received: 2 }.to_string()));
        let none = "name = 'a'\nissuer = 'b'\npackages = []";
        assert_eq!(rule(none), Err(RuleError::Shape { received: 0 }.to_string()));
    }

    /// Rule O19.
    #[test]
    fn a_pattern_matches_whole_names_and_never_crosses_a_slash() {
        let cases = [
            ("refs/tags/v*", "refs/tags/v1.2.3", true),
            ("refs/tags/v*", "refs/tags/v", true),
            ("refs/tags/v*", "refs/tags/xv1", false),
            ("refs/tags/v*", "refs/tags/v1/x", false),
            ("refs/tags/v*", "refs/heads/v1", false),
            ("refs/tags/v*", "xrefs/tags/v1", false),
            ("refs/tags/v*", "refs/tags/v1\n", false),
            ("refs/tags/v*", "refs/tags/v1 x", false),
            ("refs/tags/v*", "refs/tags/v1..2", false),
            ("refs/tags/v*.*.*", "refs/tags/v1.2.3", true),
            ("refs/tags/v*.*.*", "refs/tags/v1.2", false),
            ("refs/tags/*-rc*-x", "refs/tags/v1-rc1-x", true),
            ("refs/tags/*a", "refs/tags/a", true),
            ("refs/tags/a*a", "refs/tags/a", false),
            ("refs/tags/a*a", "refs/tags/aa", true),
            ("refs/tags/pkg/*", "refs/tags/pkg/v1", true),
            ("refs/tags/pkg/*", "refs/tags/pkg", false),
            ("refs/tags/*/v1", "refs/tags/pkg/v1", true),
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main", "refs/heads/main2", false),
            ("refs/heads/main", "refs/heads/Main", false),
        ];
        for (pattern, name, expected) in cases {
            let parsed = RefPattern::parse("ref", pattern).unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} on {name}");
        }
        assert_eq!(RefPattern::parse("ref", "refs/tags/v*").unwrap().ref_type(), "tag");
        assert_eq!(RefPattern::parse("ref", "refs/heads/v*").unwrap().ref_type(), "branch");
    }
}
