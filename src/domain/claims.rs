//! What a CI provider said about one run, after its token was verified.
//!
//! [`Claims`] is the proof value of the OIDC adapter: in production only `oidc` makes one, after
//! signature, issuer and audience held. Everything that can be judged from the text of the claims
//! alone (types, times, identifiers) is judged here; which workload they name is `publisher`'s.
//! Rules O1 to O26 are those of the threat model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digest::Sha256;
use super::ids::IssuerId;
use super::issuer::{Issuer, Preset};
use super::package::excerpt;

/// Clock difference tolerated on `exp`, `nbf` and `iat`, and added to how long a used token is
/// remembered (O9). One constant, because two that differ open a replay window.
pub const LEEWAY: SignedDuration = SignedDuration::from_secs(30);
/// Longest `exp - iat` accepted, whatever the issuer grants (O9): an hour and some slack.
pub const LIFETIME_MAX: SignedDuration = SignedDuration::from_mins(65);
/// Age up to which a token is ordinary; older ones need the issuer's `max_age_minutes` (O9).
pub const AGE_ORDINARY: SignedDuration = SignedDuration::from_mins(10);
/// How much longer than `exp + LEEWAY` a used token is remembered, for clocks among replicas (O12).
pub const REPLAY_MARGIN: SignedDuration = SignedDuration::from_mins(2);
/// Longest `jti` in bytes; it becomes a database key.
pub const JTI_MAX_BYTES: usize = 255;
/// Longest text claim in bytes; refs and workflow paths are the longest that exist.
pub const TEXT_MAX_BYTES: usize = 2048;
/// Longest numeric identifier in digits: `u64`.
pub const ID_MAX_DIGITS: usize = 20;
/// Most claims not in our tables that are remembered by name.
pub const UNACCOUNTED_MAX: usize = 32;
/// What stands for a claim that the token does not have.
pub const ABSENT: &str = "(absent)";

/// One claim that is not what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("expected {expected} in the claim {claim}, received `{received}`")]
pub struct ClaimError {
    /// The name of the claim.
    pub claim: String,
    /// What would have been accepted, in words or as the value itself.
    pub expected: String,
    /// What came, cut to a printable length, or [`ABSENT`].
    pub received: String,
}

impl ClaimError {
    fn new(claim: &str, expected: impl Into<String>, received: Option<&Value>) -> Self {
        let received = match received {
            None | Some(Value::Null) => ABSENT.to_owned(),
            Some(Value::String(text)) => excerpt(text),
            Some(other) => excerpt(&other.to_string()),
        };
        Self { claim: claim.to_owned(), expected: expected.into(), received }
    }
}

/// A single JSON value of a generic issuer's token; compared with its type (O24).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`; never equal to the text of the same spelling.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A string.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// The provider's part of the claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// GitHub Actions.
    GitHub(Box<GitHubClaims>),
    /// GitLab CI.
    GitLab(Box<GitLabClaims>),
    /// Every scalar claim by name, except those that belong to the token itself.
    Generic(BTreeMap<String, Scalar>),
}

/// GitHub Actions' claims, under GitHub's names. All of them are text in the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields carry the provider's own claim names and meanings")]
pub struct GitHubClaims {
    pub actor: String,
    pub actor_id: String,
    pub base_ref: String,
    pub environment: Option<String>,
    pub environment_node_id: Option<String>,
    pub event_name: String,
    pub head_ref: String,
    pub job_workflow_ref: String,
    pub job_workflow_sha: Option<String>,
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub ref_protected: Option<String>,
    pub ref_type: Option<String>,
    pub repository: String,
    pub repository_id: String,
    pub repository_owner: String,
    pub repository_owner_id: String,
    pub repository_visibility: Option<String>,
    pub run_attempt: String,
    pub run_id: String,
    pub run_number: Option<String>,
    pub runner_environment: Option<String>,
    pub sha: String,
    pub workflow_ref: String,
}

/// GitLab CI's claims, under GitLab's names. All of them are text in the token, booleans included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields carry the provider's own claim names and meanings")]
pub struct GitLabClaims {
    pub ci_config_ref_uri: Option<String>,
    pub ci_config_sha: Option<String>,
    pub environment: Option<String>,
    pub environment_protected: Option<String>,
    pub job_id: Option<String>,
    pub job_project_id: Option<String>,
    pub namespace_id: String,
    pub namespace_path: String,
    pub pipeline_id: String,
    pub pipeline_source: String,
    pub project_id: String,
    pub project_path: String,
    pub project_visibility: Option<String>,
    pub ref_path: String,
    pub ref_protected: Option<String>,
    pub ref_type: Option<String>,
    pub runner_environment: Option<String>,
    pub runner_id: Option<i64>,
    pub sha: String,
    pub user_id: String,
    pub user_login: String,
}

/// Who started a run: one member of the set that may not approve it, never proof of authorship
/// (O23, Q16).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Actor {
    /// The issuer that vouches for the id.
    pub issuer: IssuerId,
    /// The provider's immutable numeric id.
    pub id: String,
    /// The account name on that day, for display.
    pub name: String,
}

/// Names one CI run. Two tokens of one run have the same key, whatever their `jti` (O22).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunKey {
    /// The issuer that vouches for the rest.
    pub issuer: IssuerId,
    /// Repository or project id; the subject for a generic issuer.
    pub project: String,
    /// Run or pipeline id; the `jti` for a generic issuer, which names no run.
    pub run: String,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.issuer, self.project, self.run)
    }
}

/// What a token is remembered by once used (O12, Q1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplayKey {
    /// The issuer; the same `jti` of another issuer is another token.
    pub issuer: IssuerId,
    /// The token's `jti`, or `sha256:` and the digest of its signing input where it has none.
    pub jti: String,
}

/// Verified token contents. Kept with a release as JSON; reading that JSON back is the only way
/// besides verification to have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    audience: String,
    expires_at: Timestamp,
    issued_at: Timestamp,
    issuer: IssuerId,
    issuer_url: String,
    jti: String,
    provider: Provider,
    subject: String,
    unaccounted: BTreeSet<String>,
    verified_at: Timestamp,
}

/// What is left of a token once its signature, issuer and audience held: the payload's members.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedPayload<'a> {
    /// The issuer whose key made the signature.
    pub issuer: &'a Issuer,
    /// The one audience, equal to one of ours.
    pub audience: &'a str,
    /// `header.payload` as it was signed.
    pub signing_input: &'a str,
    /// The payload, strictly decoded.
    pub members: &'a Map<String, Value>,
}

impl Claims {
    /// Types the claims and checks times and `jti` (O7, O8, O9). Call only after verification:
    /// nothing here looks at a signature.
    pub(crate) fn from_verified(
        payload: VerifiedPayload<'_>,
        now: Timestamp,
    ) -> Result<Self, ClaimError> {
        let members = Members(payload.members);
        let (issued_at, expires_at) = check_times(&members, payload.issuer.max_age(), now)?;
        let preset = payload.issuer.preset();
        let jti = match members.text("jti")? {
            Some(jti) if !jti.is_empty() && jti.len() <= JTI_MAX_BYTES => jti,
            // Not over the signature, which for ECDSA can be altered without becoming invalid.
            None if preset == Preset::Generic => {
                format!("sha256:{}", Sha256::of(payload.signing_input.as_bytes()))
            }
            _ => return Err(members.refuse("jti", "text of 1 to 255 bytes")),
        };
        let provider = match preset {
            Preset::GitHub => Provider::GitHub(Box::new(GitHubClaims::parse(&members)?)),
            Preset::GitLab => Provider::GitLab(Box::new(GitLabClaims::parse(&members)?)),
            Preset::Generic => Provider::Generic(members.scalars()?),
        };
        Ok(Self {
            audience: payload.audience.to_owned(),
            expires_at,
            issued_at,
            issuer: payload.issuer.id(),
            issuer_url: payload.issuer.url().to_owned(),
            jti,
            provider,
            // Logged and shown, never parsed: providers change its format (O16).
            subject: members.text("sub")?.unwrap_or_default(),
            unaccounted: unaccounted(preset, payload.members),
            verified_at: now,
        })
    }

    /// The issuer's row (O2).
    pub const fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// The exact `iss`.
    pub fn issuer_url(&self) -> &str {
        &self.issuer_url
    }

    /// `sub`, for logs and display only (O16).
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The one audience, equal to one of ours (O10).
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// `iat`.
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// `exp`.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// When we verified it.
    pub const fn verified_at(&self) -> Timestamp {
        self.verified_at
    }

    /// The provider's part.
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Names of claims that no table of ours mentions, at most [`UNACCOUNTED_MAX`].
    pub const fn unaccounted(&self) -> &BTreeSet<String> {
        &self.unaccounted
    }

    /// What the token is remembered by (O12, Q1).
    pub fn replay_key(&self) -> ReplayKey {
        ReplayKey { issuer: self.issuer, jti: self.jti.clone() }
    }

    /// Until when the replay key has to be remembered: longer than any check accepts the token.
    pub fn remember_until(&self) -> Timestamp {
        self.expires_at
            .checked_add(LEEWAY)
            .and_then(|end| end.checked_add(REPLAY_MARGIN))
            .unwrap_or(Timestamp::MAX)
    }

    /// Who started the run, where the provider says so.
    pub fn actor(&self) -> Option<Actor> {
        let (id, name) = match &self.provider {
            Provider::GitHub(claims) => (&claims.actor_id, &claims.actor),
            Provider::GitLab(claims) => (&claims.user_id, &claims.user_login),
            Provider::Generic(_) => return None,
        };
        Some(Actor { issuer: self.issuer, id: id.clone(), name: name.clone() })
    }

    /// The run this token was minted in.
    pub fn run(&self) -> RunKey {
        let (project, run) = match &self.provider {
            Provider::GitHub(claims) => (&claims.repository_id, &claims.run_id),
            Provider::GitLab(claims) => (&claims.project_id, &claims.pipeline_id),
            Provider::Generic(_) => (&self.subject, &self.jti),
        };
        RunKey { issuer: self.issuer, project: project.clone(), run: run.clone() }
    }

    /// Which attempt of the run it is, where the provider counts them: above one is a re-run (O22).
    pub fn attempt(&self) -> Option<&str> {
        match &self.provider {
            Provider::GitHub(claims) => Some(&claims.run_attempt),
            Provider::GitLab(_) | Provider::Generic(_) => None,
        }
    }

    /// The commit the run checked out, 40 or 64 hex digits, where the provider says so.
    pub fn commit(&self) -> Option<&str> {
        match &self.provider {
            Provider::GitHub(claims) => Some(&claims.sha),
            Provider::GitLab(claims) => Some(&claims.sha),
            Provider::Generic(_) => None,
        }
    }

    /// Label and value of what a reviewer wants to see first, in order.
    pub fn summary(&self) -> Vec<(String, String)> {
        let rows: Vec<(&str, Option<&str>)> = match &self.provider {
            Provider::GitHub(claims) => vec![
                ("Repository", Some(&claims.repository)),
                ("Ref", Some(&claims.git_ref)),
                ("Commit", Some(&claims.sha)),
                ("Workflow", Some(&claims.workflow_ref)),
                ("Environment", claims.environment.as_deref()),
                ("Event", Some(&claims.event_name)),
                ("Started by", Some(&claims.actor)),
                ("Run", Some(&claims.run_id)),
                ("Attempt", Some(&claims.run_attempt)),
                ("Runner", claims.runner_environment.as_deref()),
            ],
            Provider::GitLab(claims) => vec![
                ("Project", Some(&claims.project_path)),
                ("Ref", Some(&claims.ref_path)),
                ("Commit", Some(&claims.sha)),
                ("Pipeline definition", claims.ci_config_ref_uri.as_deref()),
                ("Environment", claims.environment.as_deref()),
                ("Source", Some(&claims.pipeline_source)),
                ("Started by", Some(&claims.user_login)),
                ("Pipeline", Some(&claims.pipeline_id)),
                ("Runner", claims.runner_environment.as_deref()),
            ],
            Provider::Generic(claims) => {
                let named = claims.iter().map(|(name, value)| (name.clone(), value.to_string()));
                return [("Subject".to_owned(), self.subject.clone())]
                    .into_iter()
                    .chain(named)
                    .collect();
            }
        };
        rows.into_iter()
            .filter_map(|(label, value)| Some((label.to_owned(), value?.to_owned())))
            .collect()
    }

    /// Compact JSON with sorted members: equal claims give equal bytes.
    pub fn to_canonical_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_value(self)?.to_string())
    }
}

fn check_times(
    members: &Members<'_>,
    max_age: SignedDuration,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), ClaimError> {
    let issued_at = members.seconds("iat")?.ok_or_else(|| members.refuse("iat", "a time"))?;
    let expires_at = members.seconds("exp")?.ok_or_else(|| members.refuse("exp", "a time"))?;
    if now.duration_since(expires_at) >= LEEWAY {
        return Err(members.refuse("exp", format!("a time after {now}")));
    }
    if members.seconds("nbf")?.is_some_and(|nbf| nbf.duration_since(now) > LEEWAY) {
        return Err(members.refuse("nbf", format!("a time before {now}")));
    }
    if issued_at.duration_since(now) > LEEWAY {
        return Err(members.refuse("iat", format!("a time before {now}")));
    }
    if now.duration_since(issued_at) > max_age {
        let minutes = max_age.as_mins();
        return Err(
            members.refuse("iat", format!("a token at most {minutes} minutes old at {now}"))
        );
    }
    let lifetime = expires_at.duration_since(issued_at);
    if lifetime <= SignedDuration::ZERO || lifetime > LIFETIME_MAX {
        let minutes = LIFETIME_MAX.as_mins();
        return Err(members.refuse("exp", format!("at most {minutes} minutes after iat")));
    }
    Ok((issued_at, expires_at))
}

impl GitHubClaims {
    fn parse(members: &Members<'_>) -> Result<Self, ClaimError> {
        Ok(Self {
            actor: members.required("actor")?,
            actor_id: members.id("actor_id")?,
            base_ref: members.text("base_ref")?.unwrap_or_default(),
            environment: members.text("environment")?,
            environment_node_id: members.text("environment_node_id")?,
            event_name: members.required("event_name")?,
            head_ref: members.text("head_ref")?.unwrap_or_default(),
            job_workflow_ref: members.required("job_workflow_ref")?,
            job_workflow_sha: members.text("job_workflow_sha")?,
            git_ref: members.required("ref")?,
            ref_protected: members.text("ref_protected")?,
            ref_type: members.text("ref_type")?,
            repository: members.required("repository")?,
            repository_id: members.id("repository_id")?,
            repository_owner: members.required("repository_owner")?,
            repository_owner_id: members.id("repository_owner_id")?,
            repository_visibility: members.text("repository_visibility")?,
            run_attempt: members.id("run_attempt")?,
            run_id: members.id("run_id")?,
            run_number: members.text("run_number")?,
            runner_environment: members.text("runner_environment")?,
            sha: members.commit("sha")?,
            workflow_ref: members.required("workflow_ref")?,
        })
    }
}

impl GitLabClaims {
    fn parse(members: &Members<'_>) -> Result<Self, ClaimError> {
        Ok(Self {
            ci_config_ref_uri: members.text("ci_config_ref_uri")?,
            ci_config_sha: members.text("ci_config_sha")?,
            environment: members.text("environment")?,
            environment_protected: members.text("environment_protected")?,
            job_id: members.text("job_id")?,
            job_project_id: members.text("job_project_id")?,
            namespace_id: members.id("namespace_id")?,
            namespace_path: members.required("namespace_path")?,
            pipeline_id: members.id("pipeline_id")?,
            pipeline_source: members.required("pipeline_source")?,
            project_id: members.id("project_id")?,
            project_path: members.required("project_path")?,
            project_visibility: members.text("project_visibility")?,
            ref_path: members.required("ref_path")?,
            ref_protected: members.text("ref_protected")?,
            ref_type: members.text("ref_type")?,
            runner_environment: members.text("runner_environment")?,
            runner_id: members.0.get("runner_id").and_then(Value::as_i64),
            sha: members.commit("sha")?,
            user_id: members.id("user_id")?,
            user_login: members.required("user_login")?,
        })
    }
}

/// A payload's members, read without coercion (O7): JSON null counts as absent, nothing else does.
struct Members<'a>(&'a Map<String, Value>);

impl Members<'_> {
    fn refuse(&self, claim: &str, expected: impl Into<String>) -> ClaimError {
        ClaimError::new(claim, expected, self.0.get(claim))
    }

    fn text(&self, claim: &str) -> Result<Option<String>, ClaimError> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if printable(text) => Ok(Some(text.clone())),
            Some(_) => Err(self.refuse(claim, "text without control characters")),
        }
    }

    fn required(&self, claim: &str) -> Result<String, ClaimError> {
        self.text(claim)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.refuse(claim, "text that is not empty"))
    }

    /// An immutable identifier as GitHub and GitLab write it: decimal digits, as a string.
    fn id(&self, claim: &str) -> Result<String, ClaimError> {
        match self.0.get(claim) {
            Some(Value::String(text)) if is_numeric_id(text) => Ok(text.clone()),
            _ => Err(self.refuse(claim, "a number written as text, without leading zeros")),
        }
    }

    fn commit(&self, claim: &str) -> Result<String, ClaimError> {
        match self.0.get(claim) {
            Some(Value::String(text)) if is_commit(text) => Ok(text.clone()),
            _ => Err(self.refuse(claim, "40 or 64 lower-case hex digits")),
        }
    }

    fn seconds(&self, claim: &str) -> Result<Option<Timestamp>, ClaimError> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|seconds| *seconds > 0)
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .map(Some)
                .ok_or_else(|| self.refuse(claim, "a whole number of seconds since 1970")),
        }
    }

    fn scalars(&self) -> Result<BTreeMap<String, Scalar>, ClaimError> {
        let own = |name: &str| TOKEN_CLAIMS.iter().any(|(known, _)| *known == name);
        let mut found = BTreeMap::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !own(name)) {
            let scalar = match value {
                Value::Bool(flag) => Scalar::Flag(*flag),
                Value::Number(number) => match number.as_i64() {
                    Some(number) => Scalar::Integer(number),
                    None => continue,
                },
                Value::String(_) => match self.text(name)? {
                    Some(text) => Scalar::Text(text),
                    None => continue,
                },
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            found.insert(name.clone(), scalar);
        }
        Ok(found)
    }
}

fn printable(text: &str) -> bool {
    text.len() <= TEXT_MAX_BYTES && !text.chars().any(char::is_control)
}

/// True for decimal digits without a leading zero, at most [`ID_MAX_DIGITS`] of them.
pub fn is_numeric_id(text: &str) -> bool {
    (1..=ID_MAX_DIGITS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

/// True for a full SHA-1 or SHA-256 commit id in lower-case hex (O19).
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What happens to one claim. Every claim we know of is in a table with its treatment; the rest
/// is remembered by name, so that a provider's new claim is seen and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Checked while the token is verified.
    Token,
    /// Compared with the publisher's rule.
    Rule,
    /// Kept for people or for other parts of the product, for this purpose.
    Kept(&'static str),
    /// Not looked at, for this reason.
    Ignored(&'static str),
}

/// Claims that every token has to itself (RFC 7519 section 4.1).
pub const TOKEN_CLAIMS: &[(&str, Treatment)] = &[
    ("aud", Treatment::Token),
    ("exp", Treatment::Token),
    ("iat", Treatment::Token),
    ("iss", Treatment::Token),
    ("jti", Treatment::Token),
    ("nbf", Treatment::Token),
    ("nonce", Treatment::Token),
    ("sub", Treatment::Kept("for logs: its format is the owner's to change")),
];

/// GitHub Actions' claims.
pub const GITHUB_CLAIMS: &[(&str, Treatment)] = &[
    ("actor", Treatment::Kept("shown")),
    ("actor_id", Treatment::Kept("excluded from the quorum, no proof of authorship")),
    ("base_ref", Treatment::Rule),
    ("check_run_id", Treatment::Ignored("run_id names the run")),
    ("enterprise", Treatment::Ignored("repository_owner_id is narrower")),
    ("enterprise_id", Treatment::Ignored("repository_owner_id is narrower")),
    ("environment", Treatment::Rule),
    ("environment_node_id", Treatment::Rule),
    ("event_name", Treatment::Rule),
    ("head_ref", Treatment::Rule),
    ("issuer_scope", Treatment::Ignored("the issuer is matched whole")),
    ("job_workflow_ref", Treatment::Rule),
    ("job_workflow_sha", Treatment::Rule),
    ("ref", Treatment::Rule),
    ("ref_protected", Treatment::Rule),
    ("ref_type", Treatment::Rule),
    ("repository", Treatment::Kept("shown: repository_id is the identity, a rename is a finding")),
    ("repository_id", Treatment::Rule),
    ("repository_owner", Treatment::Kept("shown: repository_owner_id is the identity")),
    ("repository_owner_id", Treatment::Rule),
    ("repository_visibility", Treatment::Kept("shown")),
    ("run_attempt", Treatment::Kept("a finding above one")),
    ("run_id", Treatment::Kept("names the run")),
    ("run_number", Treatment::Kept("shown")),
    ("runner_environment", Treatment::Rule),
    ("sha", Treatment::Rule),
    ("workflow", Treatment::Ignored("a display name the workflow chooses")),
    ("workflow_ref", Treatment::Rule),
    ("workflow_sha", Treatment::Ignored("workflow_ref and sha are compared")),
];

/// GitLab CI's claims.
pub const GITLAB_CLAIMS: &[(&str, Treatment)] = &[
    ("ci_config_ref_uri", Treatment::Rule),
    ("ci_config_sha", Treatment::Kept("shown")),
    ("deployment_action", Treatment::Ignored("the environment is compared")),
    ("deployment_tier", Treatment::Ignored("a label the job chooses")),
    ("environment", Treatment::Rule),
    ("environment_action", Treatment::Ignored("the environment is compared")),
    ("environment_protected", Treatment::Rule),
    ("groups_direct", Treatment::Ignored("about the user, not the job")),
    ("job_config", Treatment::Ignored("ci_config_ref_uri is compared")),
    ("job_id", Treatment::Kept("shown")),
    ("job_namespace_id", Treatment::Ignored("job_project_id is narrower")),
    ("job_namespace_path", Treatment::Ignored("job_project_id is narrower")),
    ("job_project_id", Treatment::Rule),
    ("job_project_path", Treatment::Ignored("job_project_id is the identity")),
    ("job_source", Treatment::Ignored("pipeline_source is compared")),
    ("namespace_id", Treatment::Rule),
    ("namespace_path", Treatment::Kept("shown: namespace_id is the identity")),
    ("pipeline_id", Treatment::Kept("names the run")),
    ("pipeline_source", Treatment::Rule),
    ("project_id", Treatment::Rule),
    ("project_path", Treatment::Kept("shown: project_id is the identity")),
    ("project_visibility", Treatment::Kept("shown")),
    ("ref", Treatment::Ignored("ref_path is the full form")),
    ("ref_path", Treatment::Rule),
    ("ref_protected", Treatment::Rule),
    ("ref_type", Treatment::Rule),
    ("runner_environment", Treatment::Rule),
    ("runner_id", Treatment::Kept("shown")),
    ("sha", Treatment::Rule),
    ("user_access_level", Treatment::Ignored("about the user, not the job")),
    ("user_email", Treatment::Ignored("personal: user_id is the identity")),
    ("user_id", Treatment::Kept("excluded from the quorum, no proof of authorship")),
    ("user_identities", Treatment::Ignored("about the user, not the job")),
    ("user_login", Treatment::Kept("shown")),
];

/// The provider's table for a preset; a generic issuer has none, its rule names what counts.
pub const fn table(preset: Preset) -> &'static [(&'static str, Treatment)] {
    match preset {
        Preset::GitHub => GITHUB_CLAIMS,
        Preset::GitLab => GITLAB_CLAIMS,
        Preset::Generic => &[],
    }
}

fn unaccounted(preset: Preset, members: &Map<String, Value>) -> BTreeSet<String> {
    // A generic issuer's claims are all kept by name, so there is nothing to report.
    if preset == Preset::Generic {
        return BTreeSet::new();
    }
    let known = |name: &str| {
        TOKEN_CLAIMS.iter().chain(table(preset)).any(|(known, _)| *known == name)
            // Custom properties that a GitHub organization adds to its tokens.
            || preset == Preset::GitHub && name.starts_with("repo_property_")
    };
    let strange = members.keys().filter(|name| !known(name));
    strange.take(UNACCOUNTED_MAX).map(|name| excerpt(name)).collect()
}
