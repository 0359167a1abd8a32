//! `Idempotency-Key`: the same key and the same request get the same answer for a day; the same
//! key with another request is refused with 409.
//!
//! A key belongs to its publisher and route. Only successes are kept: a refusal changed nothing, so
//! the request can be sent again under the same key.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::Digest as _;

use crate::domain::digest::Sha256;
use crate::domain::ids::PublisherId;
use crate::pipeline::submission::KeptAnswer;
use crate::pipeline::{Fault, Kind, Refusal, Result, refuse};

/// Names the key.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key in bytes; a UUID has 36.
pub const KEY_MAX: usize = 255;

/// The key of a request, if it has one: 1 to [`KEY_MAX`] visible ASCII characters.
pub fn key(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| {
        (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => refuse(
            Kind::BadInput,
            format!("expected one `Idempotency-Key` of 1 to {KEY_MAX} visible ASCII characters"),
        ),
    }
}

/// What an answer is kept under: the caller, the route and the key.
pub fn key_digest(publisher: PublisherId, route: &str, key: &str) -> Sha256 {
    digest(&[publisher.as_bytes(), route.as_bytes(), key.as_bytes()])
}

/// What makes two requests the same: method, path and body.
pub fn request_digest(method: &str, path: &str, body: &[u8]) -> Sha256 {
    digest(&[method.as_bytes(), path.as_bytes(), body])
}

/// Each item after its length, so that no two lists look alike.
fn digest(items: &[&[u8]]) -> Sha256 {
    let mut hash = sha2::Sha256::new_with_prefix(b"countersign idempotency v1\0");
    for item in items {
        hash.update((item.len() as u64).to_be_bytes());
        hash.update(item);
    }
    Sha256::from_bytes(hash.finalize().into())
}

/// A kept answer as a response.
pub fn response(answer: KeptAnswer) -> Result<Response> {
    let broken = |what: &'static str| Fault::new("reading a kept answer", what);
    let status = StatusCode::from_u16(answer.status).map_err(|_| broken("its status"))?;
    let kind = HeaderValue::from_str(&answer.content_type).map_err(|_| broken("its type"))?;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A success to be kept.
pub fn success(request: Sha256, body: Vec<u8>) -> KeptAnswer {
    KeptAnswer { request, status: 200, content_type: "application/json".to_owned(), body }
}

/// Reads the body of a request that needs none: nothing, or an empty JSON object.
pub async fn empty_body(body: Body) -> Result<Vec<u8>> {
    const MAX: usize = 1024;
    let unexpected = || Refusal::new(Kind::BadInput, "expected no body, or an empty JSON object");
    let bytes = axum::body::to_bytes(body, MAX).await.map_err(|_| unexpected())?;
    match bytes.trim_ascii() {
        b"" | b"{}" => Ok(bytes.to_vec()),
        _ => Err(unexpected().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (HEADER, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_key_is_one_short_visible_text() {
        assert_eq!(key(&headers(&[])).unwrap(), None);
        assert_eq!(key(&headers(&["run-1"])).unwrap(), Some("run-1"));
        assert!(key(&headers(&[""])).is_err());
        assert!(key(&headers(&["a b"])).is_err());
        assert!(key(&headers(&["a", "a"])).is_err());
        let long: &'static str = Box::leak("k".repeat(KEY_MAX + 1).into_boxed_str());
        assert!(key(&headers(&[long])).is_err());
    }

    #[test]
    fn keys_of_two_publishers_or_routes_never_meet() {
        let [one, two] = [1, 2].map(|n| PublisherId::from_uuid(Uuid::from_u128(n)));
        assert_ne!(key_digest(one, "/a", "k"), key_digest(two, "/a", "k"));
        assert_ne!(key_digest(one, "/a", "k"), key_digest(one, "/b", "k"));
        assert_ne!(key_digest(one, "/a", "bk"), key_digest(one, "/ab", "k"));
    }
}
