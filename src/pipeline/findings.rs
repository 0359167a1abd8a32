//! What a reviewer should look at before signing, found in the claims of the run and in the files.
//!
//! Facts, not judgements: nothing here refuses anything. `review` hands them to the release page and
//! counts them for lists, so that both say the same. All of them are signed; what the report asks about
//! the same thing is read once ([`said_once`]).

use std::collections::BTreeMap;

use crate::domain::artifact::Facts;
use crate::domain::claims::{Claims, Provider};
use crate::domain::review::report::Inspection;
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
    /// Its name in the manifest, which people sign: what was found, and in what.
    pub fn id(&self) -> String {
        match self {
            Self::Differs { file, field } => format!("differs:{file}:{field}"),
            Self::RunsAtInstall { hooks } => format!("runs_at_install:{}", hooks.join(",")),
            Self::UnprotectedRef(git_ref) => format!("unprotected_ref:{git_ref}"),
            Self::NoEnvironment => "no_environment".to_owned(),
            Self::OwnRunner(runner) => format!("own_runner:{runner}"),
            Self::StartedAgain(attempt) => format!("started_again:{attempt}"),
        }
    }

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

/// The same without the scripts that a finding inside asks about: that one is about the same script
/// and says more. What asks for nothing inside, as a script that was there before, stays.
pub fn said_once(findings: Vec<Finding>, inside: Option<&Inspection>) -> Vec<Finding> {
    let asked: Vec<&String> =
        inside.iter().flat_map(|it| it.blocks.iter().chain(&it.looks)).collect();
    let left = |finding| match finding {
        Finding::RunsAtInstall { mut hooks } => {
            hooks.retain(|hook| !asked.iter().any(|name| is_about_hook(name, hook)));
            (!hooks.is_empty()).then_some(Finding::RunsAtInstall { hooks })
        }
        other => Some(other),
    };
    findings.into_iter().filter_map(left).collect()
}

/// Whether the finding inside of this name (`HK-01:postinstall:_node_x.js`) is about this script, or
/// about `binding.gyp`.
pub fn is_about_hook(name: &str, hook: &str) -> bool {
    let (script, gyp) = (name.strip_prefix("HK-01:"), name.strip_prefix("HK-03:"));
    let script = script.and_then(|of| of.strip_prefix(hook));
    script.is_some_and(|command| command.starts_with(':')) || gyp == Some(hook)
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

    /// What asks inside is read once; what asks for nothing inside hides nothing.
    #[test]
    fn a_script_is_said_by_the_finding_inside_that_asks_about_it() {
        let signed = |hooks: &[&str]| Finding::RunsAtInstall {
            hooks: hooks.iter().map(|hook| (*hook).to_owned()).collect(),
        };
        let asks = |blocks: &[&str], looks: &[&str]| Inspection {
            report_sha256: crate::domain::digest::Sha256::of(b""),
            blocks: blocks.iter().map(|name| (*name).to_owned()).collect(),
            looks: looks.iter().map(|name| (*name).to_owned()).collect(),
        };
        let all = vec![Finding::NoEnvironment, signed(&["install", "postinstall", "binding.gyp"])];
        let left = |inside: Option<&Inspection>| said_once(all.clone(), inside);
        assert_eq!(left(None), all, "nobody looked inside");
        assert_eq!(left(Some(&asks(&["HK-01:preinstall:_node_a.js"], &[]))), all, "another script");
        assert_eq!(left(Some(&asks(&["HK-02:install:_x", "HK-01:installer:_x"], &[]))), all);
        let one = asks(&["HK-01:postinstall:_node_a.js"], &[]);
        assert_eq!(left(Some(&one)), [Finding::NoEnvironment, signed(&["install", "binding.gyp"])]);
        let every = asks(&["HK-01:install:_x", "HK-01:postinstall:_y#2"], &["HK-03:binding.gyp"]);
        assert_eq!(left(Some(&every)), [Finding::NoEnvironment]);
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
