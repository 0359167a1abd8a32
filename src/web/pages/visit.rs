//! What a page's handler starts from, and what forms have in common.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;

use super::{layout, show};
use crate::app::App;
use crate::domain::event::Actor;
use crate::domain::ids::{Id, ProposalId};
use crate::domain::roster::Role;
use crate::pipeline::governance::Proposer;
use crate::pipeline::{Error, Kind, Refusal};
use crate::web::error::{WebError, sentence};
use crate::web::extract::{Now, SignedIn};
use crate::web::views::form::{Field, FormError};
use crate::web::views::governance::SaySoPage;
use crate::web::views::shell::{Layout, Section};

/// A request by somebody who is signed in.
#[derive(Debug)]
pub struct Visit {
    /// The handles.
    pub app: Arc<App>,
    /// Who.
    pub viewer: SignedIn,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's time.
    pub now: Timestamp,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let viewer = SignedIn::from_request_parts(parts, app).await?;
        let Ok(Now(now)) = Now::from_request_parts(parts, app).await;
        Ok(Self { app: app.clone(), viewer, headers: parts.headers.clone(), now })
    }
}

impl Visit {
    /// The frame of the page.
    pub async fn layout(&self, section: Section, title: &str) -> Result<Layout, WebError> {
        layout(&self.app, &self.viewer, &self.headers, (section, title), self.now).await
    }

    /// Who acts.
    pub const fn actor(&self) -> Actor {
        Actor::Person(self.viewer.person)
    }

    /// Who acts, and what they say about a change that may become a proposal.
    pub fn proposer(&self, fields: &Fields) -> Proposer {
        Proposer {
            actor: self.actor(),
            reason: fields.optional("reason"),
            leaves_unreleasable: fields.ticked("leaves_unreleasable"),
        }
    }

    /// After a form that may have become a proposal: there, or to where it was made, or asks whether
    /// it is meant that packages are left that nobody can release.
    pub async fn changed(
        &self,
        changed: Result<Option<ProposalId>, Error>,
        (section, place): (Section, &str),
        (action, fields): (String, Fields),
    ) -> Result<Response, WebError> {
        let message = match changed {
            Ok(proposal) => return Ok(see_change(proposal, place)),
            Err(Error::Refused(Refusal { kind: Kind::LeavesUnreleasable, message })) => message,
            Err(error) => return Err(WebError(error)),
        };
        let page = SaySoPage {
            layout: self.layout(section, "Some packages would be stuck").await?,
            sentence: sentence(&message),
            action,
            fields: fields.0,
            back: place.to_owned(),
        };
        show(StatusCode::CONFLICT, &page)
    }

    /// Whether the viewer may set things up.
    pub fn is_owner(&self) -> bool {
        self.viewer.role == Role::Owner && !self.viewer.session.reads_only
    }

    /// Whether the viewer's role signs and their session changes things.
    pub fn is_signer(&self) -> bool {
        self.viewer.role.may_sign() && !self.viewer.session.reads_only
    }
}

/// A request by an owner. Everybody else is refused before what they sent is read, and whoever fills
/// a form in knows that it may be sent. The pipeline judges the change itself.
#[derive(Debug)]
pub struct ByOwner(pub Visit);

impl FromRequestParts<Arc<App>> for ByOwner {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, app).await?;
        visit.viewer.may_change().map_err(|why| WebError::from(why).into_response())?;
        if visit.is_owner() { Ok(Self(visit)) } else { Err(forbidden("only owners may do this")) }
    }
}

/// A request by somebody whose role signs: an owner or a maintainer.
#[derive(Debug)]
pub struct BySigner(pub Visit);

impl FromRequestParts<Arc<App>> for BySigner {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, app).await?;
        visit.viewer.may_change().map_err(|why| WebError::from(why).into_response())?;
        if visit.is_signer() {
            return Ok(Self(visit));
        }
        Err(forbidden("your role reads and does not sign"))
    }
}

fn forbidden(message: &'static str) -> Response {
    WebError::from(Refusal::new(Kind::Forbidden, message)).into_response()
}

/// The fields of a submitted form in their order; tick boxes repeat their name.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl Fields {
    /// What was typed without the white space around it; empty when the field was left out.
    pub fn text(&self, name: &str) -> &str {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        found.next().map_or("", |(_, value)| value.trim())
    }

    /// The same, `None` when nothing was typed.
    pub fn optional(&self, name: &str) -> Option<String> {
        let text = self.text(name);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Every value of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a box was ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Whether nothing was submitted: the form is shown for the first time.
    pub const fn is_blank(&self) -> bool {
        self.0.is_empty()
    }

    /// The field as it was typed, or `suggestion` at the first time.
    pub fn field(&self, name: &str, suggestion: &str) -> Field {
        Field::of(if self.is_blank() { suggestion } else { self.text(name) })
    }

    /// Whether a choice is chosen: what was submitted, or `suggestion` at the first time.
    pub fn chose(&self, name: &str, value: &str, suggestion: bool) -> bool {
        if self.is_blank() { suggestion } else { self.all(name).any(|chosen| chosen == value) }
    }
}

/// A refusal after which the form can be corrected and sent again, as a sentence. Everything else
/// goes out.
pub fn correctable(error: Error) -> Result<String, WebError> {
    match error {
        Error::Refused(Refusal { kind: Kind::BadInput | Kind::Conflict, message }) => {
            Ok(sentence(&message))
        }
        other => Err(WebError(other)),
    }
}

/// The list above a refused form: one line that leads to the field its message names, or to the
/// first. Empty when nothing was refused.
pub fn listed(message: Option<&str>, fields: &[&str]) -> Vec<FormError> {
    let Some(text) = message else {
        return Vec::new();
    };
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let names = |field: &&&str| {
        let spoken = field.replace('_', " ");
        text.split(word).any(|found| found == **field)
            || (spoken != **field && text.contains(&spoken))
    };
    let field = fields.iter().rev().find(names).or(fields.first()).copied().unwrap_or_default();
    vec![FormError { field: field.to_owned(), text: text.to_owned() }]
}

/// An id in a path; anything else is an address that leads nowhere.
pub fn id<K>(text: &str) -> Result<Id<K>, WebError> {
    text.parse()
        .map_err(|_| Refusal::new(Kind::NotFound, "there is nothing at this address").into())
}

/// To the proposal that a change became, or to where it was made.
pub fn see_change(proposal: Option<ProposalId>, place: &str) -> Response {
    match proposal {
        Some(proposal) => see(&format!("/proposals/{proposal}")),
        None => see(place),
    }
}

/// To the thing that was made.
pub fn see(place: &str) -> Response {
    Redirect::to(place).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_leads_to_the_field_it_names() {
        let lead = |text| listed(Some(text), &["name", "repository", "repository_id"]).remove(0);
        assert_eq!(lead("Expected digits as repository_id, received `x`.").field, "repository_id");
        assert_eq!(lead("Expected `owner/name` as repository, received `x`.").field, "repository");
        assert_eq!(lead("Something else.").field, "name");
        assert!(listed(None, &["name"]).is_empty());
    }
}
