//! Countersign as PyPI's legacy upload endpoint (wire.md 1), and the simple pages passed through.
//!
//! Both spellings of the path are served and nothing redirects, because most clients lose the body
//! or the method on the way. Cookies are not looked at (O26).

use std::sync::Arc;

use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::pipeline::ci::{self, Scope};
use crate::pipeline::intake::PypiForm;
use crate::pipeline::staging::Staged;
use crate::pipeline::{Kind, Refusal, Result, detached, refuse, review};
use crate::web::client_error::{pypi_error, with_reason};
use crate::web::extract::Now;
use crate::web::registry_npm::{asked, passed_through, upload};
use crate::web::routes::Routes;
use crate::web::upload::{bearer, check_length, client, form_body, review_url, turn};

/// Room for the form's text fields beside the file.
const FORM_SLACK: u64 = 4 * 1024 * 1024;

/// The routes below `/pypi`.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .any("/pypi/legacy/", legacy)
        .any("/pypi/legacy", legacy)
        .get("/pypi/simple/{project}/", simple)
        .get("/pypi/legacy/+simple/{project}/", simple)
        .get("/pypi/legacy/%2Bsimple/{project}/", simple)
}

async fn legacy(State(app): State<Arc<App>>, Now(now): Now, request: Request) -> Response {
    let headers = request.headers().clone();
    match take(&app, request, now).await {
        Ok(staged) => accepted(&app, &staged),
        Err(error) => pypi_error(&headers, &error),
    }
}

async fn take(app: &Arc<App>, request: Request, now: jiff::Timestamp) -> Result<Staged> {
    if request.method() != Method::POST {
        return refuse(Kind::Unsupported, "expected a POST of the upload form");
    }
    let headers = request.headers();
    check_length(headers, app.config.limits.pypi_file_bytes + FORM_SLACK)?;
    let credential = bearer(headers)?;
    let client = client(headers);
    let session = ci::authenticate(&app.exchange, &credential, Scope::Pypi, now).await?;
    let turn = turn(app)?;
    let multipart = Multipart::from_request(request.map(form_body), &())
        .await
        .map_err(|error| Refusal::new(Kind::BadInput, error.body_text()))?;
    let app = Arc::clone(app);
    detached(async move {
        let form = read_form(&app, multipart).await?;
        let staged = form.finish(&upload(session, client), now).await?;
        app.progress.announce(staged.release);
        drop(turn);
        Ok(staged)
    })
    .await
}

async fn read_form(app: &App, mut multipart: Multipart) -> Result<PypiForm<'_>> {
    let broken = |error: axum::extract::multipart::MultipartError| {
        Refusal::new(Kind::BadInput, format!("the form cannot be read: {}", error.body_text()))
    };
    let mut form = PypiForm::new(&app.intake);
    while let Some(mut field) = multipart.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        match (name.as_str(), filename) {
            ("content", Some(filename)) => form.content(&filename, field).await?,
            ("content", None) => {
                return refuse(Kind::BadInput, "expected `content` to have a file name");
            }
            // Old twine versions add a detached signature, which PyPI ignores too.
            ("gpg_signature", Some(_)) => {}
            (_, Some(_)) => {
                return refuse(
                    Kind::BadInput,
                    format!("expected `{}` to be a text field, received a file", excerpt(&name)),
                );
            }
            (_, None) => {
                let limit = PypiForm::field_limit(&name);
                let mut bytes = Vec::new();
                while let Some(chunk) = field.chunk().await.map_err(broken)? {
                    if bytes.len() + chunk.len() > limit {
                        return refuse(
                            Kind::TooLarge,
                            format!(
                                "expected a form field of at most {limit} bytes, received `{}`",
                                excerpt(&name)
                            ),
                        );
                    }
                    bytes.extend_from_slice(&chunk);
                }
                let value = String::from_utf8(bytes).map_err(|_| {
                    let message = format!("expected UTF-8 text in the field `{}`", excerpt(&name));
                    Refusal::new(Kind::BadInput, message)
                })?;
                form.field(name, value)?;
            }
        }
    }
    Ok(form)
}

/// 200 with the review link in the reason phrase and the body, which is where twine shows it
/// (wire.md 0.4).
fn accepted(app: &App, staged: &Staged) -> Response {
    let url = review_url(app, staged.release);
    let message = format!("Staged and not published yet. Maintainers approve it at {url}");
    with_reason((StatusCode::OK, format!("{message}\n")).into_response(), &message)
}

/// The upstream's own page: pending files are never listed, or uv would skip them.
async fn simple(
    State(app): State<Arc<App>>,
    Path(project): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let name = PackageName::parse(Ecosystem::Pypi, &project)
            .map_err(|error| Refusal::new(Kind::NotFound, error.to_string()))?;
        review::packument(app.registries(), &name, &asked(&headers)).await
    };
    match answer.await {
        Ok(passed) => passed_through(passed),
        Err(error) => pypi_error(&headers, &error),
    }
}
