//! A trusted publisher: the CI workload that may stage, as a rule over verified claims.
//!
//! Every claim of a provider is accounted for: compared here, or knowingly not, with the reason
//! (`claims::table`). Identity rests on immutable ids; names are for people (O14). Workflow paths
//! are compared as whole strings built from trusted parts, never searched (O17).

pub mod comparison;
pub mod generic;
pub mod github;
pub mod gitlab;
pub(in crate::domain) mod ref_pattern;
pub mod rule;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::comparison::{ClaimMismatch, Comparison, Matched};
use self::generic::GenericRule;
use self::github::{GitHubConfig, GitHubRule};
use self::gitlab::{GitLabConfig, GitLabRule};
use self::rule::{RuleError, require_text};
use super::claims::{Claims, Provider, Scalar};
use super::ids::{IssuerId, PackageId, PublisherId};
use super::issuer::Preset;

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
        table.conclude(self.id, self.rule.preset(), claims)
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

#[cfg(test)]
mod tests {
    use super::rule::Runner;
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
        assert_eq!(config.pipeline_source, BTreeSet::from(["push", "web"].map(str::to_owned)));
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
}
