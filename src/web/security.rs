//! Response headers every answer carries, and the two that depend on the configured origin.
//!
//! The values are those of the interface design (its section on headers) plus the cache, transport
//! and robots lines of rule S3. A handler that sets one of them itself wins: static files are cached,
//! downloads are sandboxed.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::pipeline::review::ArtifactRecord;
use crate::pipeline::{Fault, Result};

/// Everything comes from our own origin, nothing is inline, and the only way to turn text into
/// markup is the policy of `live.js`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'; manifest-src 'self'; worker-src 'self'; \
     require-trusted-types-for 'script'; trusted-types countersign-fragment";

/// For downloads of held files (rule S7): the browser may store them and nothing else.
const DOWNLOAD_POLICY: &str = "default-src 'none'; sandbox";

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
/// Pages ask the browser for nothing, passkeys included (rule W16) …
const NO_PERMISSIONS: &str = "publickey-credentials-get=(), publickey-credentials-create=(), \
     camera=(), microphone=(), geolocation=()";
/// … but those where somebody signs …
const MAY_SIGN: &str = "publickey-credentials-get=(self), publickey-credentials-create=(), \
     camera=(), microphone=(), geolocation=()";
/// … and those where somebody enrols.
const MAY_ENROL: &str = "publickey-credentials-get=(), publickey-credentials-create=(self), \
     camera=(), microphone=(), geolocation=()";

/// Two years, the usual value for hosts that will not go back to plain http.
const STRICT_TRANSPORT: &str = "max-age=63072000";

/// The header set of one instance, made once from its origin and cloned per request.
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    set: Vec<(HeaderName, HeaderValue)>,
}

impl SecurityHeaders {
    /// `secure` is whether the configured origin is https. On plain http (a trial on localhost) the
    /// upgrade and transport lines would make the instance unreachable, so they are left out.
    pub fn new(secure: bool) -> Self {
        let policy = if secure {
            HeaderValue::try_from(format!("{CONTENT_SECURITY_POLICY}; upgrade-insecure-requests"))
                .unwrap_or(HeaderValue::from_static(CONTENT_SECURITY_POLICY))
        } else {
            HeaderValue::from_static(CONTENT_SECURITY_POLICY)
        };
        let fixed = [
            (PERMISSIONS, NO_PERMISSIONS),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CACHE_CONTROL, "no-store"),
            (HeaderName::from_static("x-robots-tag"), "noindex"),
        ];
        let mut set = vec![(header::CONTENT_SECURITY_POLICY, policy)];
        set.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
        if secure {
            let value = HeaderValue::from_static(STRICT_TRANSPORT);
            set.push((header::STRICT_TRANSPORT_SECURITY, value));
        }
        Self { set }
    }

    /// Adds each line the answer does not have yet.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// A file that the browser may store and nothing else (S7). Its name is one that we accepted, and
/// holds no quotes.
pub fn attachment(body: impl IntoResponse, filename: &str, kind: &'static str) -> Result<Response> {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{filename}\""))
        .map_err(|error| Fault::new("naming a download", error))?;
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOWNLOAD_POLICY));
    Ok(response)
}

/// The same for a held file, as long as it is.
pub fn held_file(artifact: &ArtifactRecord, bytes: Body) -> Result<Response> {
    let mut response = attachment(bytes, &artifact.filename, "application/octet-stream")?;
    let length = HeaderValue::from(artifact.size_bytes);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    Ok(response)
}

/// Lets one page ask for a signature with a passkey (rule W16).
pub fn may_sign(page: Response) -> Response {
    permit(page, MAY_SIGN)
}

/// Lets one page ask for a new passkey (rule W16).
pub fn may_enrol(page: Response) -> Response {
    permit(page, MAY_ENROL)
}

fn permit(mut page: Response, policy: &'static str) -> Response {
    page.headers_mut().insert(PERMISSIONS, HeaderValue::from_static(policy));
    page
}

/// Middleware for the whole router: `axum::middleware::from_fn_with_state(headers, security::add)`.
pub async fn add(State(set): State<SecurityHeaders>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    set.apply(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_starts_from_nothing_and_allows_no_inline_text() {
        let mut headers = HeaderMap::new();
        SecurityHeaders::new(false).apply(&mut headers);
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "));
        let types = "; require-trusted-types-for 'script'; trusted-types countersign-fragment";
        assert!(policy.ends_with(types), "{policy}");
        for banned in ["unsafe", "data:", "blob:", "*", "http"] {
            assert!(!policy.contains(banned), "{banned} in {policy}");
        }
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn an_https_origin_is_upgraded_and_remembered() {
        let mut headers = HeaderMap::new();
        SecurityHeaders::new(true).apply(&mut headers);
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with("upgrade-insecure-requests"));
        assert!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }

    /// Rule S7.
    #[test]
    fn a_download_keeps_its_own_policy() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOWNLOAD_POLICY));
        SecurityHeaders::new(true).apply(&mut headers);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], DOWNLOAD_POLICY);
        assert_eq!(headers.get_all(header::CONTENT_SECURITY_POLICY).iter().count(), 1);
    }
}
