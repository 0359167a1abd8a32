//! Packages and who may submit them.

use askama::Template;

use super::form::{Choice, Field, FormError, errors};
use super::home::DecidedRow;
use super::shell::{Badge, Fact, Layout, Link, Notice, Tone};
use crate::web::display::When;

/// `/packages`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/packages.html")]
pub struct PackagesPage {
    /// The frame.
    pub layout: Layout,
    /// All packages this person may see.
    pub rows: Vec<PackageRow>,
    /// How many more there are that this person is not on.
    pub hidden: u32,
    /// Whether this person may add one.
    pub may_add: bool,
}

impl PackagesPage {
    /// "1 package", "4 packages".
    pub fn count_text(&self) -> String {
        crate::web::display::count(self.rows.len() as u64, "package")
    }
}

/// One package in the list.
#[derive(Clone, Debug)]
pub struct PackageRow {
    /// `/packages/{id}`.
    pub href: String,
    /// "npm" or "PyPI".
    pub ecosystem: String,
    /// Its name.
    pub name: String,
    /// Registry name.
    pub registry: String,
    /// Policy name.
    pub policy: String,
    /// "1 publisher", "No CI yet".
    pub publishers: Badge,
    /// "2 spare", "One person".
    pub spare: Badge,
    /// "4.1.3, 11 Oct", or "None yet".
    pub last: String,
}

/// `/packages/{id}`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/package.html")]
pub struct PackagePage {
    /// The frame.
    pub layout: Layout,
    /// "npm" or "PyPI".
    pub ecosystem: String,
    /// Its name.
    pub name: String,
    /// Registry name.
    pub registry: String,
    /// Standing warnings: one person is enough, no publisher yet.
    pub notices: Vec<Notice>,
    /// What a release of this package needs, ticked where it is so.
    pub conditions: Vec<Condition>,
    /// Who may submit.
    pub publishers: Vec<PublisherCard>,
    /// Newest first.
    pub releases: Vec<DecidedRow>,
    /// Registry, policy, access, added.
    pub facts: Vec<Fact>,
    /// `/packages/{id}/publishers/new`, when this person may add one.
    pub add_publisher: Option<String>,
    /// Where its releases are frozen, once the installation is founded.
    pub freeze: Option<String>,
}

impl PackagePage {
    /// "Ready to release · 4 of 4", or how many conditions hold.
    pub fn verdict(&self) -> Badge {
        let met = self.conditions.iter().filter(|condition| condition.tone == Tone::Ok).count();
        let all = self.conditions.len();
        if met == all {
            Badge::new(Tone::Ok, "shield-check", format!("Ready to release · {met} of {all}"))
        } else {
            Badge::new(Tone::Warn, "triangle-alert", format!("{met} of {all} conditions met"))
        }
    }
}

/// One thing a package needs.
#[derive(Clone, Debug)]
pub struct Condition {
    /// `Ok` when met.
    pub tone: Tone,
    /// "A CI workflow may submit".
    pub title: String,
    /// What is so, or what is missing.
    pub detail: String,
    /// Where to mend it.
    pub link: Option<Link>,
}

impl Condition {
    /// The icon of its tone.
    pub const fn icon(&self) -> &'static str {
        super::access::tone_icon(self.tone)
    }
}

/// One trusted publisher.
#[derive(Clone, Debug)]
pub struct PublisherCard {
    /// Its name.
    pub name: String,
    /// Issuer name.
    pub issuer: String,
    /// The claims it must present.
    pub claims: Vec<Fact>,
    /// Last token that matched.
    pub last_used: Option<When>,
    /// Where the form posts that removes it; none for those who may not.
    pub remove: Option<String>,
}

/// `/packages/new`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/package_new.html")]
pub struct NewPackagePage {
    /// The frame.
    pub layout: Layout,
    /// npm or PyPI (values `npm`, `pypi`); field `ecosystem`.
    pub ecosystems: Vec<Choice>,
    /// Field `name`.
    pub name: Field,
    /// Registries; field `upstream`.
    pub registries: Vec<Choice>,
    /// Policies; field `policy`.
    pub policies: Vec<Choice>,
    /// npm only; field `access` (values `public`, `restricted`).
    pub access: Vec<Choice>,
    /// What is missing before a package can be added: a registry, a policy.
    pub missing: Vec<Link>,
}

impl NewPackagePage {
    /// For the list above the form.
    pub fn errors(&self) -> Vec<FormError> {
        errors(&[("name", &self.name)])
    }
}

/// `/packages/{id}/publishers/new`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/publisher_new.html")]
pub struct NewPublisherPage {
    /// The frame.
    pub layout: Layout,
    /// The package's page and name.
    pub package: Link,
    /// Issuers by kind, as links that switch the form (`?issuer=…`).
    pub issuers: Vec<Choice>,
    /// Field `publisher_name`.
    pub name: Field,
    /// The fields of the chosen kind, in order.
    pub kind: PublisherKind,
    /// What to paste into the CI file.
    pub recipe: Recipe,
    /// Recent tokens that were refused, field by field.
    pub refused: Vec<RefusedToken>,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
}

/// The fields of a publisher by kind of CI.
#[derive(Clone, Debug)]
pub enum PublisherKind {
    /// GitHub Actions.
    Github(GithubForm),
    /// GitLab CI/CD.
    Gitlab(GitlabForm),
    /// Any other issuer: claims that must equal, at least one.
    Generic(Vec<ClaimForm>),
    /// No issuer is configured yet.
    NoIssuer,
}

/// Fields for GitHub Actions; names as in the set-up file.
#[derive(Clone, Debug, Default)]
pub struct GithubForm {
    /// `repository`: "owner/name".
    pub repository: Field,
    /// `repository_id`: digits.
    pub repository_id: Field,
    /// `repository_owner_id`: digits.
    pub repository_owner_id: Field,
    /// `workflow`: ".github/workflows/release.yml".
    pub workflow: Field,
    /// `environment`: may be empty.
    pub environment: Field,
    /// `ref`: "refs/tags/v*".
    pub reference: Field,
    /// `events`: tick boxes.
    pub events: Vec<Choice>,
    /// `runner`: radio.
    pub runners: Vec<Choice>,
}

/// Fields for GitLab CI/CD; names as in the set-up file.
#[derive(Clone, Debug, Default)]
pub struct GitlabForm {
    /// `project_id`: digits.
    pub project_id: Field,
    /// `namespace_id`: digits.
    pub namespace_id: Field,
    /// `ref_path`: "refs/tags/v*".
    pub ref_path: Field,
    /// `ref_type`: radio, tag or branch.
    pub ref_types: Vec<Choice>,
    /// `ref_protected`: must be protected.
    pub protected: bool,
    /// `environment`: may be empty.
    pub environment: Field,
    /// `pipeline_source`: tick boxes.
    pub sources: Vec<Choice>,
    /// `ci_config_ref_uri`: may be empty.
    pub config: Field,
}

/// One claim that must equal; fields `claim_1`, `value_1` and so on.
#[derive(Clone, Debug, Default)]
pub struct ClaimForm {
    /// 1 for the first row.
    pub number: u32,
    /// Name of the claim.
    pub claim: Field,
    /// The value it must have.
    pub value: Field,
}

impl ClaimForm {
    /// Name of the field for the claim.
    pub fn claim_id(&self) -> String {
        format!("claim_{}", self.number)
    }

    /// Name of the field for the value.
    pub fn value_id(&self) -> String {
        format!("value_{}", self.number)
    }
}

/// A file to paste, with its name.
#[derive(Clone, Debug, Default)]
pub struct Recipe {
    /// ".github/workflows/release.yml"; empty hides the card.
    pub file: String,
    /// The text.
    pub text: String,
    /// One sentence below it.
    pub note: String,
}

/// A token that verified but matched no publisher.
#[derive(Clone, Debug)]
pub struct RefusedToken {
    /// When it came.
    pub when: When,
    /// Where from: "octo/hello-wire, run 1184".
    pub source: String,
    /// The claims that differ.
    pub mismatches: Vec<Mismatch>,
}

/// One claim that differs.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Name of the claim.
    pub claim: String,
    /// What the publisher wants.
    pub expected: String,
    /// What the token had; empty means it was missing.
    pub received: String,
}
