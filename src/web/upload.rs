//! What both upload endpoints take from a request: the credential, the declared length, a turn, and
//! the body as a bounded stream.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Stream, StreamExt as _};
use secrecy::SecretString;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::domain::ids::ReleaseId;
use crate::domain::package::excerpt;
use crate::pipeline::{Kind, Refusal, Result, refuse};

/// Longest user agent kept, in characters.
const CLIENT_MAX: usize = 200;

/// The token of `Authorization: Bearer`, or the password of `Basic` (wire.md 1.1, 3.2).
pub fn bearer(headers: &HeaderMap) -> Result<SecretString> {
    let missing = || {
        Refusal::new(
            Kind::NotAuthenticated,
            "expected an upload token or the CI token itself in `Authorization`, received none",
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    if values.next().is_some() {
        return refuse(Kind::BadInput, "expected one `Authorization` header, received two");
    }
    let (scheme, rest) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(rest.trim().to_owned().into());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|b| String::from_utf8(b).ok());
        let password =
            decoded.as_deref().and_then(|text| text.split_once(':')).map(|(_, password)| password);
        return password.map(|password| password.to_owned().into()).ok_or_else(|| {
            Refusal::new(Kind::NotAuthenticated, "expected Basic credentials of user and password")
                .into()
        });
    }
    Err(missing().into())
}

/// Refuses a body that says beforehand that it is too long, before reading any of it.
pub fn check_length(headers: &HeaderMap, max: u64) -> Result<()> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.map(str::parse::<u64>) {
        Some(Ok(length)) if length > max => {
            refuse(Kind::TooLarge, format!("expected at most {max} bytes, received `{length}`"))
        }
        _ => Ok(()),
    }
}

/// One of the uploads that may run at once.
pub fn turn(app: &App) -> Result<OwnedSemaphorePermit> {
    Arc::clone(&app.uploads).try_acquire_owned().map_err(|_| {
        let message = "too many uploads at once, send the file again in a moment";
        Refusal::new(Kind::TooMany, message).into()
    })
}

/// A form's body, one piece at each turn of its reader.
///
/// The form parser moves everything that has arrived into its own memory before it looks at any of
/// it. From a client nearby that is as much as the scheduler lets it take in one turn: 16 MB.
pub fn form_body(body: Body) -> Body {
    Body::from_stream(one_each_turn(body.into_data_stream()))
}

/// The end has a turn of its own too: the parser does not look again at a piece that comes together
/// with the end.
fn one_each_turn<S: Stream + Send + Unpin>(stream: S) -> impl Stream<Item = S::Item> + Send {
    futures_util::stream::unfold(stream, |mut stream| async move {
        tokio::task::yield_now().await;
        stream.next().await.map(|piece| (piece, stream))
    })
}

/// The uploading client's user agent, for people.
pub fn client(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    excerpt(agent.unwrap_or("unknown client")).chars().take(CLIENT_MAX).collect()
}

/// Where people review a release.
pub fn review_url(app: &App, release: ReleaseId) -> String {
    format!("{}/releases/{release}", app.config.origin_text())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_form_gets_one_piece_each_turn_however_many_are_there() {
        let pieces = futures_util::stream::iter(["a", "b"]);
        let mut stream = std::pin::pin!(one_each_turn(pieces));
        let mut turn = Context::from_waker(Waker::noop());
        for piece in ["a", "b"] {
            assert!(stream.as_mut().poll_next(&mut turn).is_pending());
            assert_eq!(stream.as_mut().poll_next(&mut turn), Poll::Ready(Some(piece)));
        }
        assert!(stream.as_mut().poll_next(&mut turn).is_pending());
        assert_eq!(stream.as_mut().poll_next(&mut turn), Poll::Ready(None));
    }
}
