//! Errors in the form each publishing client shows to its user (wire.md 0.3, 1.5, 3.5, 3.6).
//!
//! The same sentence goes out several ways, because each client prints another part of an answer:
//! twine the reason phrase, uv a member of a bare `application/json` body, npm a header or `error`.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::ext::ReasonPhrase;
use serde_json::json;

use crate::domain::causes::with_causes;
use crate::pipeline::{Error, Kind};

/// The header whose text every npm client before pnpm 12 prints, whatever the status.
pub const NPM_NOTICE: &str = "npm-notice";
/// Longest sentence sent, in characters: some clients read a status line of at most 8 KiB, some
/// cut bodies at 1000 characters.
pub const SENTENCE_MAX: usize = 900;
/// What a client is told when the fault is ours.
pub const FAULT_SENTENCE: &str = "the gateway failed, its log says why";

/// One line without control characters, at most [`SENTENCE_MAX`] characters.
pub fn sentence(message: &str) -> String {
    message.chars().take(SENTENCE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The sentence as ISO-8859-1, as status lines and headers carry it; other characters become `?`.
fn latin1(message: &str) -> Vec<u8> {
    let byte = |c: char| u8::try_from(u32::from(c)).unwrap_or(b'?');
    sentence(message).chars().map(byte).collect()
}

/// A refusal for clients of the PyPI upload protocol.
///
/// The sentence is in the reason phrase and in the body: JSON of type exactly `application/json`
/// when `headers` accept that by name, plain text otherwise.
pub fn pypi_refusal(headers: &HeaderMap, status: StatusCode, message: &str) -> Response {
    let text = sentence(message);
    let body = if accepts_json(headers) {
        let title = status.canonical_reason().unwrap_or_default();
        let code = format!("{} {text}", status.as_u16());
        (
            HeaderValue::from_static("application/json"),
            json!({ "message": text, "code": code, "title": title }).to_string(),
        )
    } else {
        (HeaderValue::from_static("text/plain; charset=utf-8"), text)
    };
    let mut response = Response::new(Body::from(body.1));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, body.0);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"uploads\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    with_reason(response, message)
}

/// Puts a sentence into the status line, where twine finds it. HTTP/2 has no such place.
pub fn with_reason(mut response: Response, message: &str) -> Response {
    // Cannot fail after `latin1`; without it the client would show the standard phrase.
    if let Ok(reason) = ReasonPhrase::try_from(latin1(message)) {
        response.extensions_mut().insert(reason);
    }
    response
}

/// A refusal for npm's publishing clients: `error` and `message` in JSON, and the notice header.
pub fn npm_refusal(status: StatusCode, message: &str) -> Response {
    let text = sentence(message);
    with_notice((status, Json(json!({ "error": text, "message": text }))).into_response(), message)
}

/// A refusal of npm's token exchange, which pnpm looks for below a member named `body`.
pub fn npm_exchange_refusal(status: StatusCode, message: &str) -> Response {
    let text = sentence(message);
    let body = json!({ "message": text, "error": text, "body": { "message": text } });
    with_notice((status, Json(body)).into_response(), message)
}

/// Adds the header that npm prints.
pub fn with_notice(mut response: Response, message: &str) -> Response {
    // Cannot fail after `latin1`.
    if let Ok(value) = HeaderValue::from_bytes(&latin1(message)) {
        response.headers_mut().insert(NPM_NOTICE, value);
    }
    response
}

/// The status for uploaders of Python files. A refused credential is 400 too: flit prints a
/// traceback for 401 and 403, and maturin hides the sentence. A missing one is the caller's 401.
pub const fn pypi_status(kind: Kind) -> StatusCode {
    match kind {
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::BadInput
        | Kind::BadArtifact
        | Kind::Unsupported
        | Kind::NotAuthenticated
        | Kind::NotTrusted
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::LeavesUnreleasable
        | Kind::Gone => StatusCode::BAD_REQUEST,
    }
}

/// The status for npm's publishing clients. npm hides the body of a 401, so a refused credential
/// is 403.
pub const fn npm_status(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadInput => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::BadArtifact
        | Kind::Unsupported
        | Kind::NotAuthenticated
        | Kind::NotTrusted
        | Kind::Forbidden
        | Kind::Conflict
        | Kind::LeavesUnreleasable
        | Kind::Gone => StatusCode::FORBIDDEN,
    }
}

/// A failed upload of a Python file. Faults are logged here and told apart by their status only.
pub fn pypi_error(headers: &HeaderMap, error: &Error) -> Response {
    match error {
        Error::Refused(refusal) => {
            pypi_refusal(headers, pypi_status(refusal.kind), &refusal.message)
        }
        Error::Fault(_) => {
            log_fault(error);
            pypi_refusal(headers, StatusCode::INTERNAL_SERVER_ERROR, FAULT_SENTENCE)
        }
    }
}

/// A failed request of an npm client. Faults are logged here and told apart by their status only.
pub fn npm_error(error: &Error) -> Response {
    match error {
        Error::Refused(refusal) => npm_refusal(npm_status(refusal.kind), &refusal.message),
        Error::Fault(_) => {
            log_fault(error);
            npm_refusal(StatusCode::INTERNAL_SERVER_ERROR, FAULT_SENTENCE)
        }
    }
}

/// Writes a fault with everything that led to it to the log, once.
pub(super) fn log_fault(error: &Error) {
    tracing::error!(fault = %with_causes(error), "a client's request failed");
}

fn accepts_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let kind = item.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    #[tokio::test]
    async fn uv_gets_json_of_exactly_application_json_with_the_sentence_in_code() {
        let uv = accept("application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7");
        let response = pypi_refusal(&uv, StatusCode::BAD_REQUEST, "expected `a`, received `b`");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let expected = json!({
            "code": "400 expected `a`, received `b`",
            "message": "expected `a`, received `b`",
            "title": "Bad Request",
        });
        assert_eq!(body(response).await.parse::<Value>().unwrap(), expected);
    }

    #[tokio::test]
    async fn other_uploaders_get_plain_text_and_the_sentence_as_reason_phrase() {
        for headers in [accept("*/*"), accept("text/html"), HeaderMap::new()] {
            let response = pypi_refusal(&headers, StatusCode::BAD_REQUEST, "File already exists");
            let reason = response.extensions().get::<ReasonPhrase>().unwrap();
            assert_eq!(reason.as_bytes(), b"File already exists");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(body(response).await, "File already exists");
        }
    }

    #[tokio::test]
    async fn a_sentence_cannot_break_a_status_line_or_a_header() {
        let hostile = "caf\u{e9} \u{1f980}\r\nset-cookie: a=b\u{85}\u{7f}";
        let response = pypi_refusal(&HeaderMap::new(), StatusCode::BAD_REQUEST, hostile);
        let reason = response.extensions().get::<ReasonPhrase>().unwrap();
        assert_eq!(reason.as_bytes(), b"caf\xe9 ?  set-cookie: a=b  ");
        let response = npm_refusal(StatusCode::FORBIDDEN, hostile);
        assert_eq!(response.headers()[NPM_NOTICE].as_bytes(), b"caf\xe9 ?  set-cookie: a=b  ");
        assert!(body(response).await.contains('\u{1f980}'));
        assert_eq!(sentence(&"x".repeat(5000)).len(), SENTENCE_MAX);
    }

    #[tokio::test]
    async fn npm_reads_error_and_message_and_pnpm_a_nested_body() {
        let plain: Value = body(npm_refusal(StatusCode::FORBIDDEN, "no")).await.parse().unwrap();
        assert_eq!(plain, json!({ "error": "no", "message": "no" }));
        let nested = body(npm_exchange_refusal(StatusCode::FORBIDDEN, "no")).await;
        let nested: Value = nested.parse().unwrap();
        let expected = json!({ "error": "no", "message": "no", "body": { "message": "no" } });
        assert_eq!(nested, expected);
    }

    /// No refusal may be a status that a client retries or hides (wire.md 0.3).
    #[test]
    fn refusals_are_never_redirects_405_or_5xx() {
        let kinds = [
            Kind::BadInput,
            Kind::BadArtifact,
            Kind::TooLarge,
            Kind::Unsupported,
            Kind::NotAuthenticated,
            Kind::NotTrusted,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::Conflict,
            Kind::Gone,
            Kind::TooMany,
        ];
        for kind in kinds {
            for status in [pypi_status(kind), npm_status(kind)] {
                assert!(status.is_client_error(), "{kind:?}");
                assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{kind:?}");
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{kind:?}");
            }
        }
    }
}
