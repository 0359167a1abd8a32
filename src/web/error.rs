//! Refusals and faults on the wire: the one table from [`Kind`] to status, problem type and title.
//!
//! Scripts and API callers get `application/problem+json` (RFC 9457), people a page. Which of both
//! is known only from the request, so a [`WebError`] travels as an extension of the response until
//! [`render`], the outermost middleware, writes it out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::domain::causes::with_causes;
use crate::entropy;
use crate::pipeline::{Error, Fault, Kind};
use crate::web::display;
use crate::web::pages::theme;
use crate::web::views;
use crate::web::views::access::ProblemPage;
use crate::web::views::shell::{Badge, Layout, Link, Theme, Tone};

/// Names one request in answers and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a request was not answered as it was meant to be.
#[derive(Debug)]
pub struct WebError(pub Error);

impl<E: Into<Error>> From<E> for WebError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let problem = Problem::of(self.0);
        let mut response = problem.status.into_response();
        response.extensions_mut().insert(problem);
        response
    }
}

/// The identifier of the request being answered, for log lines of its handler.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// A refusal or fault, ready to be shown.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The last part of `/problems/…`, a heading of `docs/problems.md`.
    pub name: &'static str,
    /// What sort of thing happened, a sentence without a full stop.
    pub title: &'static str,
    /// What was expected and what came; for faults, nothing about their inside.
    pub detail: String,
    fault: Option<Arc<Fault>>,
}

impl Problem {
    fn of(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => {
                let (status, name, title) = table(refusal.kind);
                let detail = sentence(&refusal.message);
                Self { status, name, title, detail, fault: None }
            }
            Error::Fault(fault) => Self {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                name: "fault",
                title: "Something is broken on our side",
                detail: "Nothing was changed that you did not see confirmed. Whoever runs this \
                         installation finds the cause in its log under the number of this request."
                    .to_owned(),
                fault: Some(Arc::new(fault)),
            },
        }
    }

    fn json(&self, id: &str) -> Response {
        let body = serde_json::json!({
            "type": format!("/problems/{}", self.name),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": id,
        });
        let mut response = (self.status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn page(&self, theme: Theme, id: &str) -> Response {
        match views::page(self.status, &problem_page(self, theme, id)) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(request = %id, %error, "the page of a problem could not be rendered");
                (self.status, self.title).into_response()
            }
        }
    }
}

/// Status, problem type and title of every kind of refusal.
pub const fn table(kind: Kind) -> (StatusCode, &'static str, &'static str) {
    match kind {
        Kind::BadInput => (StatusCode::BAD_REQUEST, "bad-input", "The request does not make sense"),
        Kind::BadArtifact => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-artifact",
            "The file breaks a rule of its format",
        ),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "That is too much"),
        Kind::Unsupported => {
            (StatusCode::FORBIDDEN, "unsupported", "This gateway does not offer that")
        }
        Kind::NotAuthenticated => {
            (StatusCode::UNAUTHORIZED, "not-authenticated", "You are not signed in")
        }
        Kind::NotTrusted => {
            (StatusCode::FORBIDDEN, "not-trusted", "No trusted publisher matches this token")
        }
        Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "You may not do this"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
        Kind::Conflict => {
            (StatusCode::CONFLICT, "conflict", "It contradicts what is already there")
        }
        Kind::LeavesUnreleasable => (
            StatusCode::CONFLICT,
            "leaves-unreleasable",
            "Packages would be left that nobody can release",
        ),
        Kind::Gone => (StatusCode::GONE, "gone", "It is too late for this"),
        Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many requests"),
    }
}

/// Outermost middleware: names the request, writes problems out in the form the caller reads, and
/// logs each fault once with its chain of causes.
pub async fn render(mut request: Request, next: Next) -> Response {
    let Ok(id) = entropy::opaque_uuid() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let id: Arc<str> = id.to_string().into();
    request.extensions_mut().insert(RequestId(id.clone()));
    let page = wants_page(request.headers()).then(|| theme(request.headers()));
    let method = request.method().clone();
    // The route and not the address, which can hold a secret: an invitation's does (K4).
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(fault) = &problem.fault {
            let cause = with_causes(fault);
            let route = route.as_ref().map_or("none", MatchedPath::as_str);
            tracing::error!(request = %id, %method, route, cause, "a request failed");
        }
        let written = page.map_or_else(|| problem.json(&id), |theme| problem.page(theme, &id));
        // What the handler set, such as a cookie that ends, stays.
        for (name, value) in written.headers() {
            response.headers_mut().insert(name, value.clone());
        }
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.status_mut() = written.status();
        *response.body_mut() = written.into_body();
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Whether a person's browser is opening a page, as opposed to a script or a program calling.
pub fn wants_page(headers: &HeaderMap) -> bool {
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

/// The page that shows a problem to a person. It knows nothing of who asked.
pub fn problem_page(problem: &Problem, theme: Theme, id: &str) -> ProblemPage {
    let (badge, can) = match problem.status {
        StatusCode::NOT_FOUND => (
            Badge::new(Tone::Plain, "search", "Not found"),
            vec!["Check the address for a missing letter."],
        ),
        StatusCode::UNAUTHORIZED => {
            (Badge::new(Tone::Warn, "lock", "Not signed in"), vec!["Sign in and try again."])
        }
        StatusCode::FORBIDDEN => (
            Badge::new(Tone::Bad, "octagon-x", "Refused"),
            vec!["Ask an owner of this installation if you should be able to do this."],
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            (Badge::new(Tone::Warn, "hourglass", "Wait"), vec!["Wait a minute and try again."])
        }
        status if status.is_server_error() => (
            Badge::new(Tone::Bad, "circle-alert", "Countersign could not finish"),
            vec!["Load the page again to see how things stand.", "Hand on the request number."],
        ),
        _ => (
            Badge::new(Tone::Bad, "octagon-x", "Refused"),
            vec!["Go back, correct it and send it again."],
        ),
    };
    let did = if problem.fault.is_some() {
        "The cause is in the log under the number of this request."
    } else {
        "Nothing was changed."
    };
    let way_out = match problem.status {
        StatusCode::UNAUTHORIZED => Link::new("/login", "Sign in"),
        _ => Link::new("/", "Go to the inbox"),
    };
    ProblemPage {
        layout: Layout { title: problem.title.to_owned(), theme, ..Layout::default() },
        badge,
        happened: problem.title.to_owned(),
        detail: display::visible(&problem.detail),
        did: did.to_owned(),
        can: can.into_iter().map(str::to_owned).collect(),
        request: id.to_owned(),
        way_out: Some(way_out),
    }
}

/// A refusal's message with a capital letter and a full stop.
pub fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    match rest.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), rest.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_fetch_gets_json_and_a_navigation_a_page() {
        assert!(wants_page(&headers(&[("sec-fetch-mode", "navigate")])));
        assert!(!wants_page(&headers(&[("sec-fetch-mode", "cors"), ("accept", "text/html")])));
        assert!(wants_page(&headers(&[("accept", "application/xml, text/html;q=0.9")])));
        assert!(!wants_page(&headers(&[("accept", "application/json")])));
        assert!(!wants_page(&headers(&[])));
    }

    #[test]
    fn pages_show_details_as_text() {
        let refusal = crate::pipeline::Refusal::new(Kind::BadInput, "received `<img src=\"x\">`");
        let page = problem_page(&Problem::of(refusal.into()), Theme::Auto, "7");
        let page = views::html(&page).unwrap();
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("Received `&#60;img src=&#34;x&#34;&#62;`."), "{page}");
    }

    #[test]
    fn a_fault_shows_nothing_of_its_inside_and_logs_its_whole_chain() {
        let inner = std::io::Error::other("the disk is full");
        let fault = Fault::new("keeping a file", inner);
        assert_eq!(with_causes(&fault), "keeping a file: the disk is full");
        let problem = Problem::of(fault.into());
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!format!("{}{}", problem.title, problem.detail).contains("disk"));
    }
}
