//! Registries and issuers.

use super::layout;
use crate::web::views::form::{Choice, Field, FormError};
use crate::web::views::registry::{
    IssuerRow, NewIssuerPage, NewRegistryPage, RegistriesPage, UpstreamCard,
};
use crate::web::views::shell::{Badge, Fact, Link, Section, Tone};

pub(super) fn registries() -> RegistriesPage {
    RegistriesPage {
        layout: layout("Registries", Section::Registries),
        upstreams: vec![
            UpstreamCard {
                name: "Local npm".to_owned(),
                kind: "npm".to_owned(),
                badge: Badge::new(Tone::Ok, "circle-check", "Reachable 40 s ago"),
                facts: vec![
                    Fact::code("Address", "http://127.0.0.1:4873/"),
                    Fact::words("Signs in with", "a token, sealed 3 Mar 2026"),
                    Fact::words("Last used", "20 Nov 2026"),
                ],
                private: true,
                credential: Some("/registries/1/credential".to_owned()),
            },
            UpstreamCard {
                name: "Python index".to_owned(),
                kind: "PyPI".to_owned(),
                badge: Badge::new(Tone::Bad, "circle-alert", "No answer for 12 min"),
                facts: vec![
                    Fact::code("Upload address", "https://upload.python.example/legacy/"),
                    Fact::code("Simple index", "https://python.example/simple/"),
                    Fact::words("Signs in with", "__token__ and a password, sealed 3 Mar 2026"),
                ],
                private: false,
                credential: Some("/registries/2/credential".to_owned()),
            },
        ],
        issuers: vec![IssuerRow {
            name: "ci".to_owned(),
            preset: "GitHub Actions".to_owned(),
            url: "https://token.ci.example".to_owned(),
            badge: Badge::new(Tone::Ok, "circle-check", "Keys read 4 min ago"),
            private: false,
        }],
        may_add: true,
    }
}

pub(super) fn registry_new() -> NewRegistryPage {
    let wrong =
        "Expected an https address or a ticked box for private ones, received `http://10.0.0.7/`."
            .to_owned();
    NewRegistryPage {
        layout: layout("Add registry", Section::Registries),
        name: Field::of("Local npm"),
        kinds: vec![Choice::new("npm", "npm", "").chosen(), Choice::new("pypi", "PyPI", "")],
        url: Field { value: "http://10.0.0.7/".to_owned(), error: Some(wrong.clone()) },
        simple_url: Field::default(),
        files_url: Field::default(),
        username: Field::of("__token__"),
        credential_error: String::new(),
        allow_private: false,
        errors: vec![FormError { field: "url".to_owned(), text: wrong }],
    }
}

pub(super) fn issuer_new() -> NewIssuerPage {
    NewIssuerPage {
        layout: layout("Add issuer", Section::Registries),
        name: Field::of("ci"),
        presets: vec![
            Choice::new("github", "GitHub Actions", "").chosen(),
            Choice::new("gitlab", "GitLab CI/CD", ""),
            Choice::new("generic", "Another OIDC issuer", "You name the claims yourself."),
        ],
        url: Field::default(),
        allow_private: false,
        audiences: vec![
            Fact::code("PyPI clients", "releases.aurora.example"),
            Fact::code("npm clients", "npm:releases.aurora.example"),
        ],
        errors: Vec::new(),
        back: Link::new("/registries", "Registries"),
    }
}
