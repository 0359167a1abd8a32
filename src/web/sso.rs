//! Single sign-on in the browser: leaving for the issuer and coming back.
//!
//! Coming back is a request from another site, with which browsers send no strict cookie: what it
//! answers is a page of ours that goes on by itself, and only then does the session begin to count.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Redirect, Response};
use governor::Quota;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::app::App;
use crate::pipeline::sso::{self, AWAY_MAX, Back, Directory, Leaving, Returned, Wish};
use crate::pipeline::{Kind, Refusal, refuse};
use crate::web::display::browser;
use crate::web::error::WebError;
use crate::web::extract::{Now, ProtectedForm, SignedIn, away_cookie, away_token, session_cookie};
use crate::web::pages::visit::see;
use crate::web::pages::{Answer, outside, show};
use crate::web::rate::{self, AddressRate};
use crate::web::routes::Routes;
use crate::web::views::access::OnwardPage;

/// Steps of single sign-on per second from one address in the long run; each sign-in has two.
const STEPS_PER_SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// Steps from one address at once: a team behind one address after a break.
const STEPS_AT_ONCE: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// These routes.
pub fn routes() -> Routes<Arc<App>> {
    let steps = Quota::per_second(STEPS_PER_SECOND).allow_burst(STEPS_AT_ONCE);
    let steps = AddressRate::new(steps, "too many sign-ins from one address");
    Routes::new()
        .get("/login/sso", leave)
        .get("/login/sso/return", come_back)
        .within(|router| router.layer(from_fn_with_state(steps, rate::limit)))
        .post("/me/sso/link", link)
        .post("/me/sso/unlink", unlink)
}

fn directory(app: &App) -> Result<&Directory, WebError> {
    let nothing = || Refusal::new(Kind::NotFound, "there is nothing at this address");
    Ok(app.directory.as_ref().ok_or_else(nothing)?)
}

#[derive(Debug, Deserialize)]
struct Next {
    next: Option<String>,
}

async fn leave(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Query(Next { next }): Query<Next>,
) -> Result<Response, WebError> {
    let wish = Wish::SignIn { next };
    let Leaving { place, cookie } = sso::begin(&app.store, directory(&app)?, wish, now).await?;
    Ok((away(&app, &cookie), Redirect::to(&place)).into_response())
}

fn away(app: &App, cookie: &SecretString) -> [(HeaderName, HeaderValue); 1] {
    [(header::SET_COOKIE, away_cookie(app, cookie.expose_secret(), AWAY_MAX.as_secs()))]
}

/// Goes on by itself. Addresses and own paths are visible ASCII, so this is always a header value.
fn onward(place: &str) -> HeaderValue {
    HeaderValue::try_from(format!("0;url={place}")).unwrap_or(HeaderValue::from_static("0;url=/"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

/// A form may not lead to another site (S3), so a page with a link does.
async fn link(
    State(app): State<Arc<App>>,
    Now(now): Now,
    signed_in: SignedIn,
    headers: HeaderMap,
    ProtectedForm(NoFields {}): ProtectedForm<NoFields>,
) -> Answer {
    let directory = directory(&app)?;
    let wish = Wish::Link(Box::new(signed_in.session));
    let Leaving { place, cookie } = sso::begin(&app.store, directory, wish, now).await?;
    let page = OnwardPage {
        layout: outside(&app, &headers, "Link an account"),
        title: format!("Sign in at {}", directory.flow.name()),
        text: "It says who you are there, and sends you back.".to_owned(),
        place,
    };
    let onward = [(header::REFRESH, onward(&page.place))];
    let answer = show(StatusCode::OK, &page)?;
    Ok((away(&app, &cookie), onward, answer).into_response())
}

async fn unlink(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    ProtectedForm(NoFields {}): ProtectedForm<NoFields>,
) -> Answer {
    directory(&app)?;
    sso::unlink(&app.store, signed_in.person).await?;
    Ok(see("/me/keys"))
}

/// What an issuer adds to the address; it may add more.
#[derive(Debug, Deserialize)]
struct FromIssuer {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
}

async fn come_back(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Query(FromIssuer { state, code }): Query<FromIssuer>,
    headers: HeaderMap,
) -> Answer {
    let directory = directory(&app)?;
    let Some(cookie) = away_token(&app, &headers).map(str::to_owned) else {
        return Ok(refuse(Kind::Gone, "this sign-in is over or was begun elsewhere, begin again")?);
    };
    let returned = Returned { state, code, cookie, browser: browser(&headers) };
    let back = sso::finish(&app.store, directory, returned, now).await?;
    let mut cookies = HeaderMap::new();
    cookies.append(header::SET_COOKIE, away_cookie(&app, "", 0));
    let (title, place) = match back {
        Back::SignedIn(started) => {
            cookies.append(header::SET_COOKIE, session_cookie(&app, &started.token));
            ("You are signed in for reading", started.next.unwrap_or_else(|| "/".to_owned()))
        }
        Back::Linked => ("Your account is linked", "/me/keys".to_owned()),
    };
    let page = OnwardPage {
        layout: outside(&app, &headers, title),
        title: title.to_owned(),
        text: "To sign or change anything you need your passkey.".to_owned(),
        place,
    };
    let onward = [(header::REFRESH, onward(&page.place))];
    Ok((cookies, onward, show(StatusCode::OK, &page)?).into_response())
}
