//! What handlers take from a request: the time, who is signed in, and bodies that came from our
//! own pages.
//!
//! A body is only handed out after rule S2: exact `Origin`, `Sec-Fetch-Site`, content type and, in
//! a session, the synchroniser token. `Authorization` is never read here, and paths for CI never
//! read cookies (rule O26).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use crate::app::App;
use crate::domain::ids::PersonId;
use crate::domain::json;
use crate::domain::package::excerpt;
use crate::domain::place::Place;
use crate::domain::roster::Role;
use crate::pipeline::signature::Signer;
use crate::pipeline::signin::{self, SESSION_LIFETIME, Session, is_own_path};
use crate::pipeline::{Kind, Refusal};
use crate::web::error::{WebError, wants_page};
use crate::web::room::network;

/// Largest form body in bytes; the longest field is a note of a thousand characters.
pub const FORM_MAX: usize = 64 * 1024;
/// Largest JSON body in bytes; attestation objects with certificate chains are the longest.
pub const JSON_MAX: usize = 256 * 1024;
/// Deepest nesting of a JSON body; a credential has four levels.
const JSON_DEPTH_MAX: usize = 32;
/// Carries the synchroniser token of requests by script.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// A session's secret: 256 bits in base64url.
const TOKEN_LENGTH: usize = 43;

/// The time of the request, the same for everything that happens in it.
#[derive(Debug, Clone, Copy)]
pub struct Now(pub Timestamp);

impl FromRequestParts<Arc<App>> for Now {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let now = parts.extensions.get_or_insert_with(|| Self(app.clock.now()));
        Ok(*now)
    }
}

/// The variables of the address. What cannot be one of ours leads nowhere, as any unknown address.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(variables)) => Ok(Self(variables)),
            Err(_) => Err(Refusal::new(Kind::NotFound, "there is nothing at this address").into()),
        }
    }
}

/// Who is signed in. Anybody else is sent to the sign-in page, or refused with 401 when a script
/// asked.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub person: PersonId,
    /// What they are called.
    pub name: String,
    /// What they may do now.
    pub role: Role,
    /// The synchroniser token for forms and scripts of this session.
    pub csrf: String,
    /// The session itself.
    pub session: Session,
    /// Where the request came from, when that is known (W19).
    pub place: Option<Place>,
}

impl SignedIn {
    /// The person and the session that a signature is bound to.
    pub const fn signer(&self) -> Signer {
        Signer { person: self.person, session: self.session.hash, place: self.place }
    }

    /// Whether this session may change anything. One that was opened by single sign-on, or by a key
    /// that waits for others to vouch for it, reads (S10, W12).
    pub fn may_change(&self) -> Result<(), Refusal> {
        if self.session.reads_only {
            return Err(Refusal::new(
                Kind::Forbidden,
                "you are signed in for reading, sign in with a passkey that counts to change things",
            ));
        }
        Ok(())
    }
}

impl From<Session> for SignedIn {
    fn from(session: Session) -> Self {
        Self {
            person: session.person,
            name: session.name.clone(),
            role: session.role,
            csrf: session.csrf.clone(),
            session,
            place: None,
        }
    }
}

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let MaybeSignedIn(signed_in) = MaybeSignedIn::from_request_parts(parts, app).await?;
        signed_in.ok_or_else(|| sign_in_first(parts))
    }
}

fn sign_in_first(parts: &Parts) -> Response {
    let reading = parts.method == Method::GET || parts.method == Method::HEAD;
    if !reading || !wants_page(&parts.headers) {
        return refused(Kind::NotAuthenticated, "your session has ended, sign in again");
    }
    let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut query = form_urlencoded::Serializer::new(String::new());
    if here != "/" && is_own_path(here) {
        query.append_pair("next", here);
    }
    let query = query.finish();
    let place = if query.is_empty() { "/login".to_owned() } else { format!("/login?{query}") };
    Redirect::to(&place).into_response()
}

/// Who is signed in, if anybody.
#[derive(Debug, Clone)]
pub struct MaybeSignedIn(pub Option<SignedIn>);

impl FromRequestParts<Arc<App>> for MaybeSignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let Ok(Now(now)) = Now::from_request_parts(parts, app).await;
        let session = match session_token(&parts.headers, cookie_name(is_https(app))) {
            Some(token) => signin::session(&app.store, token, now)
                .await
                .map_err(|error| WebError(error).into_response())?,
            None => None,
        };
        let place = place(parts, app);
        let signed_in = Self(session.map(|session| SignedIn { place, ..session.into() }));
        parts.extensions.insert(signed_in.clone());
        Ok(signed_in)
    }
}

/// Where a request came from, as a hash (W19).
fn place(parts: &Parts, app: &App) -> Option<Place> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let address = client_address(peer.ip(), &parts.headers)?;
    Some(app.places.place(network(address)))
}

/// Whose connection it is. Limits count connections alone; a proxy on this machine is believed here,
/// as to the address that it wrote last, because nothing is decided by it.
fn client_address(peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    if !peer.to_canonical().is_loopback() {
        return Some(peer);
    }
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

/// A form that a page of ours sent in a session: rule S2 and the field `csrf` hold, and the session
/// may change things.
#[derive(Debug)]
pub struct ProtectedForm<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for ProtectedForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (signed_in, form) = form_in_session(request, app).await?;
        signed_in.may_change().map_err(|why| WebError::from(why).into_response())?;
        Ok(Self(form))
    }
}

/// The same in any session, also one for reading: for what only ends it.
#[derive(Debug)]
pub struct EndingForm<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for EndingForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        form_in_session(request, app).await.map(|(_, form)| Self(form))
    }
}

async fn form_in_session<T: DeserializeOwned>(
    request: Request,
    app: &Arc<App>,
) -> Result<(SignedIn, T), Response> {
    let (mut parts, body) = request.into_parts();
    from_own_page(&parts.headers, app, FORM).map_err(IntoResponse::into_response)?;
    let signed_in = SignedIn::from_request_parts(&mut parts, app).await?;
    let form = read(body, FORM_MAX).await.map_err(IntoResponse::into_response)?;
    let sent = form_urlencoded::parse(&form).find(|(name, _)| name == "csrf");
    let sent = sent.map(|(_, value)| value.into_owned());
    token_matches(sent.as_deref(), &signed_in).map_err(IntoResponse::into_response)?;
    let form = parse_form(&form).await.map_err(IntoResponse::into_response)?;
    Ok((signed_in, form))
}

/// A form that a page of ours sent outside of a session: rule S2 but for the token. For routes
/// that act by a secret in the request and on nobody's session.
#[derive(Debug)]
pub struct OpenForm<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for OpenForm<T> {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, WebError> {
        let (parts, body) = request.into_parts();
        from_own_page(&parts.headers, app, FORM)?;
        parse_form(&read(body, FORM_MAX).await?).await.map(Self)
    }
}

/// JSON that a script of ours sent in a session: rule S2 and the header [`CSRF_HEADER`] hold, and
/// the session may change things.
#[derive(Debug)]
pub struct ProtectedJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for ProtectedJson<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        from_own_page(&parts.headers, app, JSON).map_err(IntoResponse::into_response)?;
        let signed_in = SignedIn::from_request_parts(&mut parts, app).await?;
        let sent = only(&parts.headers, CSRF_HEADER);
        token_matches(sent, &signed_in).map_err(IntoResponse::into_response)?;
        signed_in.may_change().map_err(|why| WebError::from(why).into_response())?;
        let json = read(body, JSON_MAX).await.map_err(IntoResponse::into_response)?;
        parse_json(&json).map(Self).map_err(IntoResponse::into_response)
    }
}

/// JSON that a script of ours sent outside of a session: rule S2 but for the token.
#[derive(Debug)]
pub struct OpenJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for OpenJson<T> {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, WebError> {
        let (parts, body) = request.into_parts();
        from_own_page(&parts.headers, app, JSON)?;
        parse_json(&read(body, JSON_MAX).await?).map(Self)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// The cookie that begins a session in the browser.
pub fn session_cookie(app: &App, token: &SecretString) -> HeaderValue {
    cookie(app, token.expose_secret(), SESSION_LIFETIME.as_secs())
}

/// The cookie that ends it.
pub fn ended_cookie(app: &App) -> HeaderValue {
    cookie(app, "", 0)
}

/// Rule S1. The prefix makes browsers insist on `Secure`, the whole site and no other host; on
/// plain http, which is allowed for localhost alone, they would refuse it.
fn cookie(app: &App, value: &str, seconds: i64) -> HeaderValue {
    let https = is_https(app);
    header_value(cookie_text(https, (cookie_name(https), value), "Strict", seconds))
}

/// The cookie that binds a sign-in to its browser while it is away at an issuer. The browser comes
/// back from another site, so this one may not be strict; it is worth nothing without the `state`.
pub fn away_cookie(app: &App, value: &str, seconds: i64) -> HeaderValue {
    let https = is_https(app);
    header_value(cookie_text(https, (away_name(https), value), "Lax", seconds))
}

/// What the browser brought back of it.
pub fn away_token<'h>(app: &App, headers: &'h HeaderMap) -> Option<&'h str> {
    session_token(headers, away_name(is_https(app)))
}

fn header_value(text: String) -> HeaderValue {
    // Tokens are base64url, so the text is always a header value.
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

fn cookie_text(https: bool, (name, value): (&str, &str), site: &str, seconds: i64) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite={site}; Max-Age={seconds}{secure}")
}

const fn away_name(https: bool) -> &'static str {
    if https { "__Host-countersign-away" } else { "countersign-away" }
}

const fn cookie_name(https: bool) -> &'static str {
    if https { "__Host-countersign" } else { "countersign" }
}

fn is_https(app: &App) -> bool {
    app.config.origin.scheme() == "https"
}

/// The one session cookie of a request. With two, one of them was planted (W10): neither counts.
fn session_token<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut tokens = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value);
    let token = tokens.next()?;
    (tokens.next().is_none() && token.len() == TOKEN_LENGTH).then_some(token)
}

/// Rule S2 without the token. Browsers send `Origin` with every POST; `Sec-Fetch-Site` is missing
/// in a few that have passkeys, so it only must not say otherwise.
fn from_own_page(headers: &HeaderMap, app: &App, kind: &'static str) -> Result<(), WebError> {
    let origin = app.config.origin_text();
    if only(headers, "origin") != Some(&origin) {
        let received = only(headers, "origin").unwrap_or("none, or more than one");
        return Err(refusal(
            Kind::Forbidden,
            format!("expected a request from a page at {origin}, received `{}`", excerpt(received)),
        ));
    }
    if headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin") {
        return Err(refusal(Kind::Forbidden, "expected a request from a page of this site"));
    }
    if only(headers, "content-type") != Some(kind) {
        let received = only(headers, "content-type").unwrap_or("none");
        return Err(refusal(
            Kind::BadInput,
            format!("expected the content type {kind}, received `{}`", excerpt(received)),
        ));
    }
    Ok(())
}

fn token_matches(sent: Option<&str>, signed_in: &SignedIn) -> Result<(), WebError> {
    let sent = sent.unwrap_or_default();
    if bool::from(sent.as_bytes().ct_eq(signed_in.csrf.as_bytes())) {
        return Ok(());
    }
    Err(refusal(
        Kind::Forbidden,
        "the page belongs to an earlier session, load it again and repeat what you did",
    ))
}

/// The value of a header that must be there exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

async fn read(body: Body, limit: usize) -> Result<Bytes, WebError> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) {
            refusal(Kind::TooLarge, format!("expected at most {limit} bytes, received more"))
        } else {
            refusal(Kind::BadInput, "the request ended before its body did")
        }
    })
}

/// Parses a form without its `csrf` field.
async fn parse_form<T: DeserializeOwned>(form: &Bytes) -> Result<T, WebError> {
    let fields = form_urlencoded::parse(form).filter(|(name, _)| name != "csrf");
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post("/").header(header::CONTENT_TYPE, FORM).body(Body::from(form));
    let request = request.map_err(|_| refusal(Kind::BadInput, "the form is not well formed"))?;
    let Form(value) = Form::from_request(request, &()).await.map_err(|rejection| {
        refusal(
            Kind::BadInput,
            format!(
                "expected the fields of the form, received `{}`",
                excerpt(&rejection.body_text())
            ),
        )
    })?;
    Ok(value)
}

/// Reads JSON that has one meaning, and then the value it is to be.
fn parse_json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, WebError> {
    let value = json::parse_strict(bytes, JSON_DEPTH_MAX)
        .map_err(|error| refusal(Kind::BadInput, error.to_string()))?;
    serde_json::from_value(value).map_err(|error| {
        refusal(
            Kind::BadInput,
            format!("expected the documented JSON, received `{}`", excerpt(&error.to_string())),
        )
    })
}

fn refusal(kind: Kind, message: impl Into<String>) -> WebError {
    Refusal::new(kind, message).into()
}

fn refused(kind: Kind, message: &str) -> Response {
    refusal(kind, message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule S1: browsers take a `__Host-` cookie only as it is written here.
    #[test]
    fn a_cookie_over_https_belongs_to_this_host_alone() {
        assert_eq!(
            cookie_text(true, (cookie_name(true), "token"), "Strict", 5),
            "__Host-countersign=token; Path=/; HttpOnly; SameSite=Strict; Max-Age=5; Secure"
        );
        assert_eq!(cookie_name(true), "__Host-countersign", "and it is looked for under that name");
    }

    /// Rows W10 and W11.
    #[test]
    fn one_cookie_of_the_right_length_counts() {
        let token = "x".repeat(TOKEN_LENGTH);
        let read = |lines: &[String]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
            }
            session_token(&headers, "countersign").map(str::to_owned)
        };
        let good = format!("countersign={token}");
        assert_eq!(read(&[format!("a=b; {good}")]), Some(token.clone()));
        assert_eq!(read(&["a=b".to_owned(), good.clone()]), Some(token));
        assert_eq!(read(&[good.clone(), good.clone()]), None);
        assert_eq!(read(&[format!("{good}; {good}")]), None);
        assert_eq!(read(&[format!("countersign={}", "x".repeat(8192))]), None);
        assert_eq!(read(&[good.replace("countersign", "Countersign")]), None);
        assert_eq!(read(&[]), None);
    }

    /// Rule W19.
    #[test]
    fn a_proxy_on_this_machine_says_whose_connection_it_is() {
        let of = |peer: &str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            client_address(peer.parse().unwrap(), &headers).map(|address| address.to_string())
        };
        assert_eq!(of("192.0.2.7", &[]).as_deref(), Some("192.0.2.7"));
        assert_eq!(of("192.0.2.7", &["198.51.100.1"]).as_deref(), Some("192.0.2.7"), "a claim");
        for proxy in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(proxy, &[]), None, "{proxy}");
            assert_eq!(of(proxy, &["198.51.100.1"]).as_deref(), Some("198.51.100.1"));
            let appended = ["198.51.100.1", "203.0.113.9, 2001:db8::1"];
            assert_eq!(of(proxy, &appended).as_deref(), Some("2001:db8::1"));
            assert_eq!(of(proxy, &["unknown"]), None);
        }
    }
}
