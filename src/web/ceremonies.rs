//! The routes of claiming, enrolling, signing in and out: forms, and the begin and finish of every
//! WebAuthn exchange but those that decide about a release.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, Router};
use governor::Quota;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::domain::ids::{CeremonyId, PasskeyId};
use crate::pipeline::signin::{self, Answer, Claim, Started};
use crate::pipeline::{Fault, Kind, refuse, sessions};
use crate::web::display::browser;
use crate::web::error::WebError;
use crate::web::extract::{
    EndingForm, MaybeSignedIn, Now, OpenForm, OpenJson, Path, ProtectedForm, ProtectedJson,
    SignedIn, ended_cookie, session_cookie,
};
use crate::web::pages::visit::{id as place, see, see_change};
use crate::web::rate::{self, AddressRate};
use crate::web::routes::Routes;

type Answered = Result<Response, WebError>;

/// Claim codes per minute from one address in the long run.
const CLAIMS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6).unwrap();
/// Claim codes from one address at once: as many as an installation takes before it draws another.
const CLAIMS_AT_ONCE: NonZeroU32 = NonZeroU32::new(signin::CLAIM_TRIES_MAX).unwrap();
/// Steps of signing in per second from one address in the long run; each sign-in has two.
const SIGN_IN_STEPS_PER_SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// Steps of signing in from one address at once: a team behind one address after a break.
const SIGN_IN_STEPS_AT_ONCE: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// These routes; the caller adds the layers.
pub fn routes() -> Routes<Arc<App>> {
    let claims = Quota::per_minute(CLAIMS_PER_MINUTE).allow_burst(CLAIMS_AT_ONCE);
    let claims = AddressRate::new(claims, "too many claim codes from one address");
    let sign_ins = Quota::per_second(SIGN_IN_STEPS_PER_SECOND).allow_burst(SIGN_IN_STEPS_AT_ONCE);
    let sign_ins = AddressRate::new(sign_ins, "too many sign-ins from one address");
    let limited = |router: Router<_>, rate| router.layer(from_fn_with_state(rate, rate::limit));
    let claim = Routes::new().post("/setup/claim", claim);
    let sign_in =
        Routes::new().post("/login/begin", begin_sign_in).post("/login/finish", finish_sign_in);
    claim
        .within(|router| limited(router, claims))
        .merge(sign_in.within(|router| limited(router, sign_ins)))
        .post("/invite/{token}/passkeys/begin", begin_enrol)
        .post("/invite/{token}/passkeys/finish", finish_enrol)
        .post("/logout", sign_out)
        .post("/me/keys/begin", begin_add_key)
        .post("/me/keys/finish", finish_add_key)
        .post("/me/keys/{key}/remove", remove_key)
        .post("/me/sessions/{id}/end", end_session)
        .post("/me/sessions/end-others", end_other_sessions)
}

/// Fields of the claim form.
#[derive(Debug, Deserialize)]
struct ClaimForm {
    code: String,
    name: String,
}

/// Fields of a form that creates a passkey.
#[derive(Debug, Deserialize)]
struct KeyFields {
    #[serde(default)]
    name: Option<String>,
}

/// Fields of the sign-in form.
#[derive(Debug, Deserialize)]
struct SignInFields {
    #[serde(default)]
    next: Option<String>,
}

/// Body of every finish.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// Which ceremony is answered.
    pub ceremony: CeremonyId,
    /// The `toJSON()` of the credential.
    pub credential: serde_json::Value,
}

impl Finish {
    fn answer(self, headers: &HeaderMap) -> Answer {
        let Self { ceremony, credential } = self;
        Answer { ceremony, credential, browser: browser(headers), signed_in: None }
    }
}

/// A form whose button is everything it says.
#[derive(Debug, Deserialize)]
struct NoFields {}

async fn claim(
    State(app): State<Arc<App>>,
    Now(now): Now,
    OpenForm(form): OpenForm<ClaimForm>,
) -> Answered {
    match signin::claim(&app.store, &form.code, form.name, now).await? {
        Claim::Accepted(invited) => {
            app.forget_claim_code()
                .await
                .map_err(|error| Fault::new("removing the claim code's file", error))?;
            Ok(Redirect::to(&format!("/invite/{}", invited.token.expose_secret())).into_response())
        }
        Claim::Refused { renewed } => {
            if let Some(code) = renewed {
                app.announce_claim_code(&code)
                    .await
                    .map_err(|error| Fault::new("writing the claim code's file", error))?;
            }
            Ok(refuse(
                Kind::Forbidden,
                "this is not a current claim code, codes are in the server's log and in the file \
                 `claim-code` of its data folder",
            )?)
        }
    }
}

async fn begin_enrol(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(token): Path<String>,
    OpenJson(fields): OpenJson<KeyFields>,
) -> Answered {
    let begun = signin::begin_enrol(&app.store, &app.passkeys, token, fields.name, now).await?;
    Ok(begun_json((begun.ceremony, begun.options)))
}

async fn finish_enrol(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(token): Path<String>,
    MaybeSignedIn(signed_in): MaybeSignedIn,
    headers: HeaderMap,
    OpenJson(finish): OpenJson<Finish>,
) -> Answered {
    let signed_in = signed_in.map(|known| known.person);
    let answer = Answer { signed_in, ..finish.answer(&headers) };
    let started = signin::finish_enrol(&app.store, &app.passkeys, token, answer, now).await?;
    // The next step is a second key.
    Ok(started_json(&app, &started, "/me/keys"))
}

async fn begin_sign_in(
    State(app): State<Arc<App>>,
    Now(now): Now,
    OpenJson(fields): OpenJson<SignInFields>,
) -> Answered {
    let begun = signin::begin_sign_in(&app.store, &app.passkeys, fields.next, now).await?;
    Ok(begun_json((begun.ceremony, begun.options)))
}

async fn finish_sign_in(
    State(app): State<Arc<App>>,
    Now(now): Now,
    MaybeSignedIn(previous): MaybeSignedIn,
    headers: HeaderMap,
    OpenJson(finish): OpenJson<Finish>,
) -> Answered {
    let previous = previous.map(|signed_in| signed_in.session);
    let answer = finish.answer(&headers);
    let started = signin::finish_sign_in(&app.store, &app.passkeys, answer, previous, now).await?;
    let place = started.next.clone().unwrap_or_else(|| "/".to_owned());
    Ok(started_json(&app, &started, &place))
}

async fn begin_add_key(
    State(app): State<Arc<App>>,
    Now(now): Now,
    signed_in: SignedIn,
    ProtectedJson(fields): ProtectedJson<KeyFields>,
) -> Answered {
    let begun =
        signin::begin_add_key(&app.store, &app.passkeys, &signed_in.session, fields.name, now)
            .await?;
    Ok(begun_json((begun.ceremony, begun.options)))
}

async fn finish_add_key(
    State(app): State<Arc<App>>,
    Now(now): Now,
    signed_in: SignedIn,
    headers: HeaderMap,
    ProtectedJson(finish): ProtectedJson<Finish>,
) -> Answered {
    let (session, answer) = (&signed_in.session, finish.answer(&headers));
    let started = signin::finish_add_key(&app.store, &app.passkeys, session, answer, now).await?;
    let place = started.proposal.map(|proposal| format!("/proposals/{proposal}"));
    Ok(started_json(&app, &started, place.as_deref().unwrap_or("/me/keys")))
}

async fn remove_key(
    State(app): State<Arc<App>>,
    Now(now): Now,
    signed_in: SignedIn,
    Path(key): Path<String>,
    ProtectedForm(NoFields {}): ProtectedForm<NoFields>,
) -> Answered {
    let Ok(key) = key.parse::<PasskeyId>() else {
        return Ok(refuse(Kind::NotFound, "expected the address of one of your keys")?);
    };
    let started = signin::remove_key(&app.store, &signed_in.session, key, now).await?;
    let cookie = [(header::SET_COOKIE, session_cookie(&app, &started.token))];
    Ok((cookie, see_change(started.proposal, "/me/keys")).into_response())
}

async fn end_session(
    State(app): State<Arc<App>>,
    Now(now): Now,
    signed_in: SignedIn,
    Path(id): Path<String>,
    ProtectedForm(NoFields {}): ProtectedForm<NoFields>,
) -> Answered {
    sessions::end(&app.store, &signed_in.session, place(&id)?, now).await?;
    Ok(see("/me/keys"))
}

async fn end_other_sessions(
    State(app): State<Arc<App>>,
    Now(now): Now,
    signed_in: SignedIn,
    ProtectedForm(NoFields {}): ProtectedForm<NoFields>,
) -> Answered {
    sessions::end_others(&app.store, &signed_in.session, now).await?;
    Ok(see("/me/keys"))
}

async fn sign_out(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    EndingForm(NoFields {}): EndingForm<NoFields>,
) -> Answered {
    signin::sign_out(&app.store, &signed_in.session).await?;
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, ended_cookie(&app));
    headers.insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"cache\", \"cookies\", \"storage\""),
    );
    Ok((headers, Redirect::to("/login")).into_response())
}

/// What every begin answers: the ceremony and the `publicKey` options for the browser.
pub fn begun_json((ceremony, options): (CeremonyId, serde_json::Value)) -> Response {
    Json(json!({ "ceremony": ceremony, "publicKey": options })).into_response()
}

/// What every finish answers: where the browser goes next.
pub fn location_json(place: &str) -> Response {
    Json(json!({ "location": place })).into_response()
}

fn started_json(app: &App, started: &Started, place: &str) -> Response {
    let cookie = [(header::SET_COOKIE, session_cookie(app, &started.token))];
    (cookie, location_json(place)).into_response()
}
