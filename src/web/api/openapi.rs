//! The API's description, generated from the code that answers (OpenAPI 3.1).

use axum::Json;
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// A refusal or fault (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `/problems/` and a name; each has a heading in `docs/problems.md`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What sort of thing happened.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was expected and what came.
    pub detail: String,
    /// Names the request in the log.
    pub instance: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign",
        version = "1",
        description = "What a release gateway holds, and what CI asks about its own releases. \
                       No call decides a release: people do that with their passkeys.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    paths(
        super::releases::list,
        super::releases::one,
        super::catalog::packages,
        super::catalog::policies,
        super::catalog::people,
        super::log::one,
        super::ci::list,
        super::ci::seal,
    ),
    modifiers(&Credentials),
)]
struct Api;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description(
            "__Host-countersign",
            "A session of a person, from pages of this site; `countersign` on plain http",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A minted upload token, or the CI token itself"))
            .build();
        components.add_security_scheme("upload_credential", SecurityScheme::Http(bearer));
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// Serves it.
pub async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
