//! The token exchange of both ecosystems (wire.md 2.1, 2.2, 2.4, 3.6).
//!
//! Paths are where clients look for them: at the root of the host, whatever the upload address, and
//! for some npm clients below it as well. Cookies are not looked at (O26); a token anywhere else
//! than where the protocol puts it is refused (T42).

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use governor::Quota;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::client_error::{FAULT_SENTENCE, log_fault, npm_exchange_refusal, sentence};
use crate::app::Clock;
use crate::domain::package::{Ecosystem, NameError, PackageName, excerpt};
use crate::pipeline::ci::{self, Exchange, MintedToken, Scope};
use crate::pipeline::{Error, Kind, Refusal, Result, refuse, staging};
use crate::web::rate::AddressRate;
use crate::web::routes::Routes;

/// Longest body in bytes: a token of 16 KiB, escaped, and some JSON around it.
pub const BODY_MAX_BYTES: usize = 64 * 1024;
/// Exchanges per second from one address in the long run (O25).
const EXCHANGES_PER_SECOND: NonZeroU32 = NonZeroU32::new(4).unwrap();
/// Exchanges at once from one address: a workspace of some hundred packages behind one address.
const EXCHANGES_AT_ONCE: NonZeroU32 = NonZeroU32::new(400).unwrap();
/// What stands in front of the package in npm's exchange, below the root and below `/npm`.
const NPM_EXCHANGE: &str = "/-/npm/v1/oidc/token/exchange/package/";

/// What the exchange needs; routes carry it themselves.
#[derive(Debug, Clone)]
pub struct TokenExchange {
    /// Judges tokens.
    pub exchange: Exchange,
    /// What Python clients ask their provider to name.
    pub audience: Arc<str>,
    /// What time it is.
    pub clock: Clock,
    addresses: AddressRate,
}

impl TokenExchange {
    /// Puts the handles together, with no address remembered.
    pub fn new(exchange: Exchange, audience: &str, clock: Clock) -> Self {
        let quota = Quota::per_second(EXCHANGES_PER_SECOND).allow_burst(EXCHANGES_AT_ONCE);
        let addresses = AddressRate::new(quota, "too many tokens from one address");
        Self { exchange, audience: audience.into(), clock, addresses }
    }
}

/// The exchange's routes. Serve them with `into_make_service_with_connect_info::<SocketAddr>`, or
/// addresses are not counted.
pub fn routes(state: TokenExchange) -> Routes<()> {
    // The wildcards keep `%2f` as it came, and take a literal slash too.
    let exchange = format!("{NPM_EXCHANGE}{{*package}}");
    let prefixed = format!("/npm{NPM_EXCHANGE}{{*package}}");
    Routes::new()
        .get("/_/oidc/audience", audience)
        .post("/_/oidc/mint-token", mint)
        .post("/_/oidc/github/mint-token", mint)
        .post("/_/oidc/burn-token", burn)
        .post(&exchange, exchange_npm)
        .post(&prefixed, exchange_npm)
        .with_state(state)
}

/// The package named by one raw path segment of npm's protocol: `name`, `@scope%2fname`,
/// `@scope%2Fname` or `@scope/name`, with `@` escaped or not.
pub fn npm_name(raw: &str) -> std::result::Result<PackageName, NameError> {
    let text = raw.replace("%2f", "/").replace("%2F", "/").replace("%40", "@");
    PackageName::parse(Ecosystem::Npm, &text)
}

#[derive(Deserialize)]
struct TokenBody {
    token: String,
}

async fn audience(State(state): State<TokenExchange>) -> Response {
    no_store(Json(json!({ "audience": &*state.audience })).into_response())
}

async fn mint(State(state): State<TokenExchange>, request: Request) -> Response {
    let now = state.clock.now();
    let minted = async {
        state.addresses.check(request.extensions())?;
        let token = body_token(request).await?;
        ci::open_session(&state.exchange, &token, Scope::Pypi, now).await
    };
    match minted.await {
        Ok(MintedToken { token, expires_at, .. }) => no_store(
            Json(json!({
                "success": true,
                "token": token.expose_secret(),
                "expires": expires_at.as_second(),
            }))
            .into_response(),
        ),
        Err(error) => mint_refusal(&error),
    }
}

/// PyPI's form: clients read `errors` from every answer that is no success.
fn mint_refusal(error: &Error) -> Response {
    let (status, code, description) = match error {
        Error::Refused(Refusal { kind, message }) => {
            let (status, code) = mint_code(*kind);
            (status, code, sentence(message))
        }
        Error::Fault(_) => {
            log_fault(error);
            (StatusCode::INTERNAL_SERVER_ERROR, "internal-error", FAULT_SENTENCE.to_owned())
        }
    };
    let errors = json!([{ "code": code, "description": description }]);
    let body = json!({ "message": "Token request failed", "errors": errors });
    no_store((status, Json(body)).into_response())
}

const fn mint_code(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid-payload"),
        Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
        Kind::Unsupported => (StatusCode::BAD_REQUEST, "invalid-payload"),
        Kind::BadInput => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-payload"),
        Kind::NotAuthenticated => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-token"),
        Kind::Gone => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-reuse-token"),
        Kind::NotTrusted
        | Kind::BadArtifact
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::LeavesUnreleasable => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-publisher"),
    }
}

/// Accepts every well-formed request alike, so that nobody learns whether a token was good. uv
/// sends this once, after its last file: the run is finished, and so are its open releases.
async fn burn(State(state): State<TokenExchange>, request: Request) -> Response {
    let now = state.clock.now();
    let burned = async {
        state.addresses.check(request.extensions())?;
        let token = body_token(request).await?;
        let store = &state.exchange.store;
        if let Some(run) = ci::burn(store, &token, now).await? {
            // Dying before this leaves the releases open until they were quiet for long enough.
            staging::seal_run(store, run.publisher, &run.run_key, now).await?;
        }
        Ok(())
    };
    match burned.await {
        Ok(()) => {
            no_store((StatusCode::ACCEPTED, Json(json!({ "message": "Accepted" }))).into_response())
        }
        Err(error) => mint_refusal(&error),
    }
}

async fn exchange_npm(State(state): State<TokenExchange>, request: Request) -> Response {
    let now = state.clock.now();
    let minted = async {
        state.addresses.check(request.extensions())?;
        let (name, token) = npm_request(request).await?;
        ci::open_session(&state.exchange, &token, Scope::Npm(name), now).await
    };
    match minted.await {
        Ok(MintedToken { token, created_at, expires_at }) => no_store(
            (
                StatusCode::CREATED,
                Json(json!({
                    "token_type": "oidc",
                    "token": token.expose_secret(),
                    "created": iso(created_at),
                    "expires": iso(expires_at),
                })),
            )
                .into_response(),
        ),
        Err(Error::Refused(Refusal { kind, message })) => {
            no_store(npm_exchange_refusal(npm_exchange_status(kind), &message))
        }
        Err(error @ Error::Fault(_)) => {
            log_fault(&error);
            no_store(npm_exchange_refusal(StatusCode::INTERNAL_SERVER_ERROR, FAULT_SENTENCE))
        }
    }
}

/// npm prints the notice whatever the status, so here each class has its own.
const fn npm_exchange_status(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadInput | Kind::Unsupported => StatusCode::BAD_REQUEST,
        Kind::NotAuthenticated => StatusCode::UNAUTHORIZED,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::NotTrusted
        | Kind::Forbidden
        | Kind::BadArtifact
        | Kind::Conflict
        | Kind::LeavesUnreleasable
        | Kind::Gone => StatusCode::FORBIDDEN,
    }
}

/// Milliseconds, as JavaScript writes them.
fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The token of a Python client: a member of a JSON body, whatever the content type says.
async fn body_token(request: Request) -> Result<SecretString> {
    refuse_query(&request)?;
    if bearer(request.headers())?.is_some() {
        return refuse(
            Kind::Unsupported,
            "expected the token in the body, received a bearer token",
        );
    }
    let body = read_body(request.into_body()).await?;
    match serde_json::from_slice::<TokenBody>(&body) {
        Ok(TokenBody { token }) => Ok(token.into()),
        Err(_) => refuse(Kind::BadInput, "expected a JSON object with the member `token`"),
    }
}

/// Package and token of an npm client: the raw path and a bearer token, with an empty body.
async fn npm_request(request: Request) -> Result<(PackageName, SecretString)> {
    refuse_query(&request)?;
    let path = request.uri().path();
    let raw = path.split_once(NPM_EXCHANGE).map_or("", |(_, raw)| raw);
    let name = npm_name(raw).map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
    let Some(token) = bearer(request.headers())? else {
        return refuse(
            Kind::NotAuthenticated,
            "expected a CI token as bearer token, received none",
        );
    };
    let body = read_body(request.into_body()).await?;
    if !matches!(body.trim_ascii(), b"" | b"{}") {
        return refuse(Kind::Unsupported, "expected an empty body, received something");
    }
    Ok((name, token))
}

/// No client sends a query here; what somebody's script puts there ends up in logs.
fn refuse_query(request: &Request) -> Result<()> {
    match request.uri().query() {
        None => Ok(()),
        Some(_) => refuse(Kind::Unsupported, "expected no query, received one"),
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => {
            let message = "expected one authorization header, received several";
            return refuse(Kind::Unsupported, message);
        }
    };
    let text = value.to_str().unwrap_or_default();
    Ok(text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.into()))
}

async fn read_body(body: Body) -> Result<axum::body::Bytes> {
    match axum::body::to_bytes(body, BODY_MAX_BYTES).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let why = excerpt(&error.to_string());
            let message =
                format!("expected a body of at most {BODY_MAX_BYTES} bytes, received `{why}`");
            refuse(Kind::TooLarge, message)
        }
    }
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_npm_name_is_read_from_every_escaping_clients_use() {
        for raw in ["@octo%2fhello", "@octo%2Fhello", "@octo/hello", "%40octo%2fhello"] {
            assert_eq!(npm_name(raw).unwrap().as_str(), "@octo/hello", "{raw}");
        }
        assert_eq!(npm_name("hello").unwrap().as_str(), "hello");
        for raw in ["", "@octo%252fhello", "@octo/../hello", "@octo%2f%2fhello", "hello%00", "a/b"]
        {
            assert!(npm_name(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn times_are_written_as_npm_expects() {
        assert_eq!(iso(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
