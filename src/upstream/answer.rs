//! What a registry's answer to a publish means (wire.md 4.1 and 4.2, security.md 3.4).
//!
//! The rule behind the table: "no" only where the registry certainly stored nothing and never will,
//! "again" only where it certainly stored nothing, otherwise "unknown" and it is asked (I6).

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER, WWW_AUTHENTICATE};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::ANSWER_MAX;
use super::net::{Ending, read_body};
use crate::domain::upstream::{Outcome, RefusedFor};

/// Longest pause obeyed (U10).
const RETRY_MAX: Duration = Duration::from_hours(1);
/// Longest message kept, in characters: a few lines on a page.
const MESSAGE_MAX: usize = 500;
/// Fewest characters after a token's prefix that make it look like a secret.
const TOKEN_MIN: usize = 12;
/// How tokens of registries, forges and OIDC issuers start (K4).
const TOKEN_PREFIXES: [&str; 10] =
    ["pypi-", "npm_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "eyJ"];

/// The parts of an answer that decide.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Its words, cut, on one line and cleaned of tokens.
    pub(super) message: String,
    /// Body and reason phrase in lower case, for looking for known sentences.
    words: String,
    /// The body said something besides the status.
    spoke: bool,
    /// The body came to its end, or to more than anybody reads.
    whole: bool,
    /// `www-authenticate: OTP`.
    wants_otp: bool,
    after: Option<Duration>,
}

impl Answer {
    /// Reads status, headers and at most [`ANSWER_MAX`] bytes of body.
    pub(super) async fn read(
        response: reqwest::Response,
        idle: Duration,
        credential: Option<&SecretString>,
    ) -> Self {
        let status = response.status();
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned())
            .or_else(|| status.canonical_reason().map(Into::into))
            .unwrap_or_default();
        let headers = response.headers().clone();
        let reading = read_body(response, ANSWER_MAX, idle);
        // A slow drip would pass `idle` for ever (U28).
        let (body, ending) = match tokio::time::timeout(idle, reading).await {
            Ok(read) => read,
            Err(_) => (bytes::Bytes::new(), Ending::TimedOut),
        };
        let body = String::from_utf8_lossy(&body);
        let spoken = said(&body);
        let spoke = !spoken.is_empty();
        let message = if spoke { spoken } else { reason.clone() };
        Self {
            status: status.as_u16(),
            message: clean(&message, credential),
            words: format!("{reason}\n{body}").to_lowercase(),
            spoke,
            whole: matches!(ending, Ending::Whole | Ending::TooLarge),
            wants_otp: wants_otp(&headers),
            after: retry_after(&headers),
        }
    }

    fn says(&self, sentences: &[&str]) -> bool {
        sentences.iter().any(|sentence| self.words.contains(sentence))
    }

    /// The meaning of npm's answer to a PUT.
    pub(super) fn of_npm(self) -> Outcome {
        if let Some(outcome) = self.common() {
            return outcome;
        }
        match self.status {
            400 | 403 | 409 if self.says(&NPM_STAGED) => self.unknown(),
            400 | 403 | 409 if self.says(&NPM_THERE) => Outcome::AlreadyThere,
            401 | 403 if self.asks_second_factor() => self.refused(RefusedFor::SecondFactor),
            // npm answers 404 to hide packages from those who may not publish them.
            401 | 403 | 404 => self.refused(RefusedFor::Credential),
            405 | 410 => self.refused(RefusedFor::Endpoint),
            // "Failed to save packument" has been seen after a success (U14).
            409 => self.unknown(),
            _ => self.refused(RefusedFor::Rules),
        }
    }

    /// The meaning of PyPI's answer to an upload.
    pub(super) fn of_pypi(self) -> Outcome {
        if let Some(outcome) = self.common() {
            return outcome;
        }
        match self.status {
            400 | 409 if self.says(&PYPI_USED_UP) => self.refused(RefusedFor::Rules),
            400 | 403 | 409 if self.says(&PYPI_THERE) => Outcome::AlreadyThere,
            403 if self.says(&["read-only", "read only"]) => {
                Outcome::Retry { after: self.after, message: self.message }
            }
            401 | 403 if self.asks_second_factor() => self.refused(RefusedFor::SecondFactor),
            401 | 403 => self.refused(RefusedFor::Credential),
            404 | 405 | 410 => self.refused(RefusedFor::Endpoint),
            409 => self.unknown(),
            _ => self.refused(RefusedFor::Rules),
        }
    }

    /// What means the same at both.
    fn common(&self) -> Option<Outcome> {
        let outcome = match self.status {
            200..=299 => Outcome::Published { note: self.spoke.then(|| self.message.clone()) },
            300..=399 => self.clone().refused(RefusedFor::Redirect),
            429 => Outcome::Retry { after: self.after, message: self.message.clone() },
            // These answers do not say whether the request was acted upon.
            408 | 425 | 500..=599 => self.clone().unknown(),
            // "Already there" and a refusal differ by words that did not arrive.
            400 | 403 | 409 if !self.whole => self.clone().unknown(),
            400..=499 => return None,
            _ => self.clone().unknown(),
        };
        Some(outcome)
    }

    fn asks_second_factor(&self) -> bool {
        self.wants_otp || self.says(&SECOND_FACTOR)
    }

    fn refused(self, reason: RefusedFor) -> Outcome {
        Outcome::Refused { reason, status: Some(self.status), message: self.message }
    }

    fn unknown(self) -> Outcome {
        Outcome::Unknown {
            message: format!("the registry answered {}: {}", self.status, self.message),
        }
    }
}

/// The version waits in npm's own stage, or a publish is on its way in (U15).
const NPM_STAGED: [&str; 1] = ["previously staged version"];
/// npm, and what private registries say for it.
const NPM_THERE: [&str; 5] = [
    "previously published version",
    "cannot modify pre-existing version",
    "already present",
    "already exist",
    "epublishconflict",
];
/// The registry wants a person (U16).
const SECOND_FACTOR: [&str; 6] =
    ["one-time pass", "two-factor", "two factor", "bypass 2fa", "eotp", "requires 2fa"];
/// A name PyPI will never take again (U23); its sentence also says "used".
const PYPI_USED_UP: [&str; 1] = ["previously used by a file that has since been deleted"];
/// PyPI, and what private indexes say for it.
const PYPI_THERE: [&str; 2] = ["already exist", "file exists"];

fn wants_otp(headers: &HeaderMap) -> bool {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split([',', ' ']).any(|word| word.eq_ignore_ascii_case("otp")))
}

/// `Retry-After` in seconds or as a date, at most one hour. Dates count from the answer's own
/// `Date`, so that the registry's clock does not matter (U31); anything else is none.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(RETRY_MAX));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return Some(RETRY_MAX);
    }
    let date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let at = date(text)?;
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::try_from(at.duration_since(now)).ok()?.min(RETRY_MAX))
}

/// The words of a body: a member of a JSON object, the title of HTML, else the text itself.
fn said(body: &str) -> String {
    let body = body.trim();
    if body.starts_with('{') {
        if let Ok(Value::Object(members)) = serde_json::from_str(body) {
            let found = ["error", "message", "reason", "detail", "title"]
                .iter()
                .find_map(|key| members.get(*key)?.as_str().filter(|text| !text.is_empty()));
            return found.unwrap_or_default().to_owned();
        }
        return String::new();
    }
    if body.starts_with('<') {
        let lower = body.to_ascii_lowercase();
        let title = lower.find("<title>").map(|start| start + "<title>".len());
        let range = title.and_then(|start| Some(start..start + lower[start..].find("</title>")?));
        return range.and_then(|range| body.get(range)).unwrap_or_default().trim().to_owned();
    }
    body.to_owned()
}

/// One line, cut, without the credential and without anything shaped like a token (K4).
pub(super) fn clean(text: &str, credential: Option<&SecretString>) -> String {
    let mut text = text.to_owned();
    if let Some(secret) = credential.map(SecretString::expose_secret)
        && !secret.is_empty()
    {
        text = text.replace(secret, "[credential]");
    }
    for prefix in TOKEN_PREFIXES {
        text = without_tokens(&text, prefix);
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_MAX).collect()
}

fn without_tokens(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(prefix) {
        let (before, found) = rest.split_at(start);
        out.push_str(before);
        let token_char =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
        let length = found.bytes().take_while(|b| token_char(b)).count();
        if length >= prefix.len() + TOKEN_MIN {
            out.push_str("[token]");
        } else {
            out.push_str(&found[..length]);
        }
        rest = &found[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            message: clean(&said(body), None),
            words: body.to_lowercase(),
            spoke: !said(body).is_empty(),
            whole: true,
            wants_otp: false,
            after: None,
        }
    }

    fn kind(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Published { .. } => "published",
            Outcome::AlreadyThere => "already there",
            Outcome::Refused { reason, .. } => reason.as_str(),
            Outcome::Retry { .. } => "retry",
            Outcome::Unknown { .. } => "unknown",
        }
    }

    /// wire.md 4.2, security.md 3.4 U05 and U09 to U19.
    #[test]
    fn npm_answers_are_sorted_by_what_comes_next() {
        let saved = "Failed to save packument. A common cause is if you try to publish a new package before the previous package has been fully processed.";
        let table = [
            (200, "{}", "published"),
            (201, r#"{"ok":true}"#, "published"),
            (202, "", "published"),
            (307, "", "redirect"),
            (308, "", "redirect"),
            (400, r#"{"error":"shasum error, A != B"}"#, "rules"),
            (401, r#"{"error":"invalid token"}"#, "credential"),
            (
                401,
                r#"{"error":"You must provide a one-time pass. Upgrade your client."}"#,
                "second_factor",
            ),
            (402, r#"{"error":"You must sign up for private packages"}"#, "rules"),
            (
                403,
                r#"{"error":"You cannot publish over the previously published versions: 1.0.0."}"#,
                "already there",
            ),
            (
                403,
                r#"{"error":"Two-factor authentication or granular access token with bypass 2fa enabled is required to publish packages."}"#,
                "second_factor",
            ),
            (403, r#"{"error":"E_STAGE_REQUIRED"}"#, "credential"),
            (403, r#"{"error":"You do not have permission to publish"}"#, "credential"),
            (404, r#"{"error":"Not found"}"#, "credential"),
            (405, "", "endpoint"),
            (408, "", "unknown"),
            (409, saved, "unknown"),
            (409, "Cannot publish over previously staged version", "unknown"),
            (409, r#"{"error":"this package is already present"}"#, "already there"),
            (409, "", "unknown"),
            (413, "", "rules"),
            (422, r#"{"error":"provenance does not verify"}"#, "rules"),
            (429, "rate limited exceeded", "retry"),
            (500, "", "unknown"),
            (502, "<html><title>Bad Gateway</title></html>", "unknown"),
            (503, "", "unknown"),
            (504, "", "unknown"),
            (599, "", "unknown"),
        ];
        for (status, body, expected) in table {
            assert_eq!(kind(&answer(status, body).of_npm()), expected, "{status} {body}");
        }
        let mut otp = answer(401, "");
        otp.wants_otp = true;
        assert_eq!(kind(&otp.of_npm()), "second_factor");
    }

    /// wire.md 4.1 and 5, security.md 3.4 U21 to U26.
    #[test]
    fn pypi_answers_are_sorted_by_what_comes_next() {
        let table = [
            (200, "", "published"),
            (303, "", "redirect"),
            (
                400,
                "File already exists ('hello_wire-1.0.0-py3-none-any.whl', with blake2_256 hash 'aa'). See /help",
                "already there",
            ),
            (
                400,
                "This filename was previously used by a file that has since been deleted. Use a different version.",
                "rules",
            ),
            (
                400,
                "This filename has already been used, use a different version. File already exists? No: this filename was previously used by a file that has since been deleted.",
                "rules",
            ),
            (400, "Uploading new files to releases older than 14 days is not allowed.", "rules"),
            (400, "Only one sdist may be uploaded per release.", "rules"),
            (
                400,
                "The digest supplied does not match a digest calculated from the uploaded file.",
                "rules",
            ),
            (400, "Attestations are only supported when using Trusted Publishing", "rules"),
            (401, "", "credential"),
            (403, "Invalid or non-existent authentication information.", "credential"),
            (403, "Two factor authentication is required", "second_factor"),
            (403, "Read-only mode: Uploads are temporarily disabled.", "retry"),
            (404, "", "endpoint"),
            (405, "", "endpoint"),
            (408, "", "unknown"),
            (
                409,
                r#"{"message":"hello already exists in non volatile index","code":"409"}"#,
                "already there",
            ),
            (409, "", "unknown"),
            (410, "", "endpoint"),
            (413, "", "rules"),
            (429, "Too many new projects created", "retry"),
            (500, "", "unknown"),
            (503, "", "unknown"),
        ];
        for (status, body, expected) in table {
            assert_eq!(kind(&answer(status, body).of_pypi()), expected, "{status} {body}");
        }
    }

    /// Invariant I6: no status makes us send again unless nothing can have been stored.
    #[test]
    fn only_429_and_read_only_mode_are_sent_again() {
        for status in 100..=999 {
            for outcome in [answer(status, "").of_npm(), answer(status, "").of_pypi()] {
                assert_eq!(matches!(outcome, Outcome::Retry { .. }), status == 429, "{status}");
            }
        }
    }

    #[test]
    fn a_refusal_whose_words_did_not_arrive_is_unknown() {
        for status in [400, 403, 409] {
            let mut cut = answer(status, "");
            cut.whole = false;
            assert_eq!(kind(&cut.clone().of_npm()), "unknown");
            assert_eq!(kind(&cut.of_pypi()), "unknown");
        }
    }

    /// Fault U10.
    #[test]
    fn retry_after_is_read_in_all_its_forms_and_capped() {
        let of = |after: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            headers.insert(DATE, "Sun, 22 Nov 2026 10:00:00 GMT".parse().unwrap());
            retry_after(&headers).map(|pause| pause.as_secs())
        };
        assert_eq!(of("30"), Some(30));
        assert_eq!(of("1800000"), Some(3600));
        assert_eq!(of("99999999999999999999999999"), Some(3600));
        assert_eq!(of("-5"), None);
        assert_eq!(of("soon"), None);
        assert_eq!(of(""), None);
        assert_eq!(of("Sun, 22 Nov 2026 10:05:00 GMT"), Some(300));
        assert_eq!(of("Mon, 23 Nov 2026 10:05:00 GMT"), Some(3600));
        assert_eq!(of("Sun, 22 Nov 2026 09:00:00 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    /// Rule K4.
    #[test]
    fn credentials_and_token_shapes_never_stay_in_a_message() {
        let secret = SecretString::from("hunter2hunter2");
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.sig";
        let text = format!(
            "bad hunter2hunter2, npm_abcdefghijklmnop and pypi-AgEIcHlwaS5vcmc\n{jwt}; see npm_help"
        );
        assert_eq!(
            clean(&text, Some(&secret)),
            "bad [credential], [token] and [token] [token]; see npm_help"
        );
        assert_eq!(clean(&"x".repeat(5000), None).len(), MESSAGE_MAX);
    }

    #[test]
    fn the_words_of_each_kind_of_body_are_found() {
        assert_eq!(said(r#"{"error":"no","message":"other"}"#), "no");
        assert_eq!(said(r#"{"error":{},"message":"other"}"#), "other");
        assert_eq!(said("{broken"), "");
        assert_eq!(said("<html><TITLE>403 Nope</TITLE><body>long"), "403 Nope");
        assert_eq!(said("<p>no title"), "");
        assert_eq!(said(" plain \n"), "plain");
    }
}
