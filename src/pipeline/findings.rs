//! What a reviewer should look at before signing, found in the claims of the run and in the files.
//!
//! Facts, not judgements: nothing here refuses anything. `review` hands them to the release page and
//! counts them for lists, so that both say the same.

use std::collections::BTreeMap;

use crate::domain::artifact::Facts;
use crate::domain::claims::{Claims, Provider};
use crate::pipeline::staging::Difference;
use crate::store::releases::ArtifactRecord;

/// Scripts that npm runs on every machine that installs the package.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// CI claimed something else than the file says.
    Differs {
        /// In which file.
        file: String,
        /// About which field.
        field: String,
    },
    /// Installing it runs code.
    RunsAtInstall {
        /// Names of the scripts, or `binding.gyp`.
        hooks: Vec<String>,
    },
    /// Anybody who may push such a ref could have started the run (O19).
    UnprotectedRef(String),
    /// The job ran in no deployment environment, which nobody had to release (O20).
    NoEnvironment,
    /// It was built on a machine that is not the CI provider's (O21).
    OwnRunner(String),
    /// The run was started again; its files may differ from the first time's (O22).
    StartedAgain(String),
}

impl Finding {
    /// Whether it may stop a release, so that nobody approves it among others (W17).
    pub const fn is_grave(&self) -> bool {
        match self {
            Self::Differs { .. } | Self::RunsAtInstall { .. } => true,
            Self::UnprotectedRef(_)
            | Self::NoEnvironment
            | Self::OwnRunner(_)
            | Self::StartedAgain(_) => false,
        }
    }
}

/// Everything there is to look at, the most telling first.
pub fn findings(
    claims: &Claims,
    artifacts: &[ArtifactRecord],
    differences: &BTreeMap<String, Vec<Difference>>,
) -> Vec<Finding> {
    let mut found: Vec<Finding> = differences
        .iter()
        .flat_map(|(file, differences)| {
            differences
                .iter()
                .map(|known| Finding::Differs { file: file.clone(), field: known.field.clone() })
        })
        .collect();
    found.extend(artifacts.iter().filter_map(|artifact| runs_at_install(&artifact.facts)));
    found.extend(about_the_run(claims));
    found
}

fn runs_at_install(facts: &Facts) -> Option<Finding> {
    let Facts::Npm(facts) = facts else { return None };
    let scripts = facts.package_json.get("scripts").and_then(serde_json::Value::as_object);
    let hooks: Vec<String> = INSTALL_SCRIPTS
        .into_iter()
        .filter(|hook| scripts.is_some_and(|scripts| scripts.contains_key(*hook)))
        .chain(facts.has_binding_gyp.then_some("binding.gyp"))
        .map(str::to_owned)
        .collect();
    (!hooks.is_empty()).then_some(Finding::RunsAtInstall { hooks })
}

fn about_the_run(claims: &Claims) -> Vec<Finding> {
    let (git_ref, protected, environment, runner) = match claims.provider() {
        Provider::GitHub(claims) => (
            &claims.git_ref,
            claims.ref_protected.as_deref(),
            &claims.environment,
            claims.runner_environment.as_deref(),
        ),
        Provider::GitLab(claims) => (
            &claims.ref_path,
            claims.ref_protected.as_deref(),
            &claims.environment,
            claims.runner_environment.as_deref(),
        ),
        // Nobody here knows what the claims of another issuer mean.
        Provider::Generic(_) => return Vec::new(),
    };
    let mut found = Vec::new();
    if protected != Some("true") {
        found.push(Finding::UnprotectedRef(git_ref.clone()));
    }
    if environment.is_none() {
        found.push(Finding::NoEnvironment);
    }
    if !matches!(runner, Some("github-hosted" | "gitlab-hosted")) {
        found.push(Finding::OwnRunner(runner.unwrap_or("unknown").to_owned()));
    }
    if let Some(attempt) = claims.attempt().filter(|attempt| *attempt != "1") {
        found.push(Finding::StartedAgain(attempt.to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claims(changes: &[(&str, Value)]) -> Claims {
        let mut github = json!({
            "actor": "jun", "actor_id": "1003", "base_ref": "", "head_ref": "",
            "environment": "release", "event_name": "push", "ref": "refs/tags/v1",
            "ref_protected": "true", "job_workflow_ref": "w", "workflow_ref": "w",
            "repository": "octo/hello-wire", "repository_id": "1", "repository_owner": "octo",
            "repository_owner_id": "2", "run_attempt": "1", "run_id": "3", "sha": "f00d",
            "runner_environment": "github-hosted",
        });
        for (name, value) in changes {
            github[*name] = value.clone();
        }
        let at = "2026-11-22T16:00:00Z";
        serde_json::from_value(json!({
            "audience": "a", "expires_at": at, "issued_at": at, "verified_at": at, "jti": "j",
            "issuer": "0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11", "issuer_url": "https://ci.example",
            "provider": { "github": github }, "subject": "s", "unaccounted": [],
        }))
        .unwrap()
    }

    /// Rules O19 to O22.
    #[test]
    fn what_is_unusual_about_a_run_is_found() {
        let found = |changes: &[(&str, Value)]| about_the_run(&claims(changes));
        assert_eq!(found(&[]), []);
        for open in [json!("false"), Value::Null] {
            let expected = [Finding::UnprotectedRef("refs/tags/v1".to_owned())];
            assert_eq!(found(&[("ref_protected", open)]), expected);
        }
        assert_eq!(found(&[("environment", Value::Null)]), [Finding::NoEnvironment]);
        let own = Finding::OwnRunner("self-hosted".to_owned());
        assert_eq!(found(&[("runner_environment", json!("self-hosted"))]), [own]);
        let unknown = Finding::OwnRunner("unknown".to_owned());
        assert_eq!(found(&[("runner_environment", Value::Null)]), [unknown]);
        let again = Finding::StartedAgain("2".to_owned());
        assert_eq!(found(&[("run_attempt", json!("2"))]), [again]);
    }
}
