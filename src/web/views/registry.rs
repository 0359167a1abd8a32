//! Registries that releases go to, and the OIDC issuers whose tokens are accepted.

use askama::Template;

use super::form::{Choice, Field, FormError};
use super::shell::{Badge, Fact, Layout, Link};

/// `/registries`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/registries.html")]
pub struct RegistriesPage {
    /// The frame.
    pub layout: Layout,
    /// Where releases go.
    pub upstreams: Vec<UpstreamCard>,
    /// Whose tokens are accepted.
    pub issuers: Vec<IssuerRow>,
    /// Whether this person may add either.
    pub may_add: bool,
}

/// One registry.
#[derive(Clone, Debug)]
pub struct UpstreamCard {
    /// Its name.
    pub name: String,
    /// "npm" or "PyPI".
    pub kind: String,
    /// "Reachable 40 s ago", "Not reached yet".
    pub badge: Badge,
    /// Address, how we sign in, since when.
    pub facts: Vec<Fact>,
    /// Its address is on this machine or this network (ruling Q15).
    pub private: bool,
    /// Where the form posts that replaces the credential; none for those who may not.
    pub credential: Option<String>,
}

/// One issuer.
#[derive(Clone, Debug)]
pub struct IssuerRow {
    /// Its name.
    pub name: String,
    /// "GitHub Actions", "GitLab CI/CD", "Other".
    pub preset: String,
    /// The exact `iss`.
    pub url: String,
    /// "Keys read 4 min ago".
    pub badge: Badge,
    /// Its address is on this machine or this network.
    pub private: bool,
}

/// `/registries/new`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/registry_new.html")]
pub struct NewRegistryPage {
    /// The frame.
    pub layout: Layout,
    /// Field `name`.
    pub name: Field,
    /// Field `kind`: radio, values `npm` and `pypi`.
    pub kinds: Vec<Choice>,
    /// Field `url`.
    pub url: Field,
    /// Field `simple_url`: PyPI only.
    pub simple_url: Field,
    /// Field `files_url`.
    pub files_url: Field,
    /// Field `username`: PyPI only.
    pub username: Field,
    /// Error of the field `credential`; what was typed is never shown again.
    pub credential_error: String,
    /// Field `allow_private`.
    pub allow_private: bool,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
}

/// `/issuers/new`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/issuer_new.html")]
pub struct NewIssuerPage {
    /// The frame.
    pub layout: Layout,
    /// Field `name`.
    pub name: Field,
    /// Field `preset`: radio, values `github`, `gitlab`, `generic`.
    pub presets: Vec<Choice>,
    /// Field `url`.
    pub url: Field,
    /// Field `allow_private`.
    pub allow_private: bool,
    /// What the tokens must be made for.
    pub audiences: Vec<Fact>,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
    /// Back to the form that asked for an issuer.
    pub back: Link,
}
