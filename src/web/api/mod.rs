//! The JSON API: the read models for scripts in a session, and what CI asks with its upload
//! credential. No call here decides a release (A15).
//!
//! [`endpoints`] is the list of routes; `openapi` describes exactly these. Answers are always
//! JSON, refusals `application/problem+json`.

pub mod catalog;
pub mod ci;
pub mod idempotency;
pub mod log;
pub mod openapi;
pub mod releases;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::domain::package::excerpt;
use crate::pipeline::{Kind, Refusal};
use crate::web::error::{self, WebError};
use crate::web::extract::{MaybeSignedIn, SignedIn};
use crate::web::routes::Routes;
use crate::web::security::{self, SecurityHeaders};

/// Every route below `/api/v1`.
pub fn endpoints() -> Routes<Arc<App>> {
    Routes::new()
        .get("/api/v1/releases", releases::list)
        .get("/api/v1/releases/{id}", releases::one)
        .get("/api/v1/packages", catalog::packages)
        .get("/api/v1/policies", catalog::policies)
        .get("/api/v1/people", catalog::people)
        .get("/api/v1/log/{sequence}", log::one)
        .get("/api/v1/ci/releases", ci::list)
        .post("/api/v1/ci/releases/{id}/seal", ci::seal)
}

/// The API and its description.
pub fn routes(headers: SecurityHeaders) -> Routes<Arc<App>> {
    endpoints().get("/openapi.json", openapi::serve).within(|router| {
        router
            .layer(from_fn(error::render))
            .layer(from_fn(for_programs))
            .layer(from_fn_with_state(headers, security::add))
    })
}

/// Whoever opens an API address gets JSON, a browser's address bar too.
async fn for_programs(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    headers.remove("sec-fetch-mode");
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    next.run(request).await
}

/// Somebody signed in whose browser does not act for another site. `Authorization` is not read
/// (O26).
#[derive(Debug)]
pub struct Reader(pub SignedIn);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        from_this_site(&parts.headers, &app.config.origin_text())
            .map_err(|refusal| WebError::from(refusal).into_response())?;
        let MaybeSignedIn(signed_in) = MaybeSignedIn::from_request_parts(parts, app).await?;
        signed_in.map(Self).ok_or_else(|| {
            let message = "expected the cookie of a session, received none that is open";
            WebError::from(Refusal::new(Kind::NotAuthenticated, message)).into_response()
        })
    }
}

fn from_this_site(headers: &HeaderMap, origin: &str) -> Result<(), Refusal> {
    let foreign = |received: &HeaderValue| {
        let received = excerpt(&String::from_utf8_lossy(received.as_bytes()));
        let message = format!("expected a request from {origin}, received `{received}`");
        Refusal::new(Kind::Forbidden, message)
    };
    // Programs send neither; a browser says `none` for what a person typed.
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if let Some(site) = sites.find(|site| *site != "same-origin" && *site != "none") {
        return Err(foreign(site));
    }
    match headers.get_all("origin").iter().find(|sent| *sent != origin) {
        Some(sent) => Err(foreign(sent)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_reads_nothing_with_our_cookie() {
        let check = |lines: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = lines
                .iter()
                .map(|(name, value)| {
                    (header::HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect();
            from_this_site(&headers, "https://gate.example").is_ok()
        };
        assert!(check(&[]));
        assert!(check(&[("sec-fetch-site", "none")]));
        assert!(check(&[("sec-fetch-site", "same-origin"), ("origin", "https://gate.example")]));
        assert!(!check(&[("sec-fetch-site", "same-site")]));
        assert!(!check(&[("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("origin", "https://gate.example:8443")]));
        assert!(!check(&[("origin", "null")]));
    }
}
