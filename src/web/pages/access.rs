//! Getting in: claim, invitation, sign-in, own keys, health, the theme.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use url::form_urlencoded;

use super::log_checks::log_checks;
use super::visit::Visit;
use super::{Answer, outside, show};
use crate::app::App;
use crate::domain::ids::SessionId;
use crate::domain::package::excerpt;
use crate::domain::roster::{NEVER, Role};
use crate::domain::words::check_words;
use crate::entropy;
use crate::pipeline::people::{self, KeyOverview};
use crate::pipeline::setup::overview;
use crate::pipeline::signin::{Session, is_own_path};
use crate::pipeline::{Error, Kind, Refusal, leaving, sessions, sso};
use crate::web::display::{When, count, span, visible};
use crate::web::error::WebError;
use crate::web::extract::{MaybeSignedIn, Now, OpenForm, Path};
use crate::web::routes::Routes;
use crate::web::security::{may_enrol, may_sign};
use crate::web::views::access::{
    InviteGonePage, InvitePage, LoginPage, NeutralPage, Preflight, SetupPage,
};
use crate::web::views::form::Field;
use crate::web::views::people::{KeyCard, KeysPage, SessionRow, SsoCard};
use crate::web::views::shell::{Badge, Fact, Link, Section, Theme, Tone};
use crate::web::views::system::HealthPage;

/// How long a browser remembers the colours, in seconds: a year.
const THEME_SECONDS: u32 = 365 * 24 * 60 * 60;

/// These routes.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/setup", setup)
        .get("/invite/{token}", invite)
        .get("/login", login)
        .get("/me/keys", keys)
        .get("/health-page", health)
        .post("/theme", theme)
        .get("/robots.txt", async || "User-agent: *\nDisallow: /\n")
        .get("/.well-known/change-password", async || Redirect::to("/me/keys"))
        .get("/.well-known/passkey-endpoints", passkey_endpoints)
}

/// The page that an unclaimed installation shows everybody; `None` once it is claimed.
pub async fn neutral(app: &App, headers: &HeaderMap) -> Result<Option<Response>, WebError> {
    if is_claimed(app).await? {
        return Ok(None);
    }
    let page = NeutralPage { layout: outside(app, headers, "Countersign") };
    show(StatusCode::NOT_FOUND, &page).map(Some)
}

/// Middleware for all pages: an unclaimed installation answers alike everywhere but where it is
/// claimed, so that nobody can scan for one.
pub async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = matches!(path, "/setup" | "/setup/claim") || path.starts_with("/invite/");
    if open {
        return next.run(request).await;
    }
    match neutral(&app, request.headers()).await {
        Ok(None) => next.run(request).await,
        Ok(Some(page)) => page,
        Err(error) => error.into_response(),
    }
}

/// Being claimed never ends, so it is asked for until it is so.
async fn is_claimed(app: &App) -> Result<bool, WebError> {
    if app.claimed.load(Ordering::Relaxed) {
        return Ok(true);
    }
    let instance = app.store.snapshot().await.map_err(Error::from)?.instance().await;
    let claimed = instance.map_err(Error::from)?.is_some_and(|known| known.claimed_at.is_some());
    app.claimed.store(claimed, Ordering::Relaxed);
    Ok(claimed)
}

async fn setup(State(app): State<Arc<App>>, Now(now): Now, uri: Uri, headers: HeaderMap) -> Answer {
    if is_claimed(&app).await? {
        return Err(Refusal::new(Kind::NotFound, "there is nothing at this address").into());
    }
    let file = app.config.data_dir.join("claim-code");
    let shown = file.strip_prefix(&app.config.base).unwrap_or(FilePath::new("claim-code"));
    let preflight = vec![
        check_origin(&app, &uri, &headers),
        check_transport(&app),
        check_clock(&app, now).await?,
        check_folder("Its disk takes files", &app.config.data_dir).await,
    ];
    let page = SetupPage {
        layout: outside(&app, &headers, "Set up"),
        preflight,
        code: Field::default(),
        name: Field::default(),
        code_path: shown.display().to_string(),
    };
    show(StatusCode::OK, &page)
}

async fn invite(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let invitation = match people::invitation(&app.store, &token, now).await {
        Ok(invitation) => invitation,
        Err(Error::Refused(Refusal { kind: Kind::Gone, .. })) => {
            let page = InviteGonePage {
                layout: outside(&app, &headers, "Invitation"),
                reason: "It was used, was taken back or has run out.".to_owned(),
                inviter: String::new(),
            };
            return show(StatusCode::GONE, &page);
        }
        Err(error) => return Err(WebError(error)),
    };
    let page = InvitePage {
        layout: outside(&app, &headers, "Invitation"),
        ceremony: format!("/invite/{token}/passkeys"),
        name: invitation.person_name,
        inviter: invitation.inviter_name.unwrap_or_default(),
        role: invitation.role.as_str().to_owned(),
        role_means: role_means(invitation.role).to_owned(),
        expires: When::new(invitation.expires_at, now).relative,
        replaces: invitation.replaces,
    };
    show(StatusCode::OK, &page).map(may_enrol)
}

/// What a role lets people do.
pub fn role_means(role: Role) -> &'static str {
    match role {
        Role::Owner => "Owners sign releases, set everything up and invite people.",
        Role::Maintainer => "Maintainers review releases and sign or reject them.",
        Role::Viewer => "Viewers see everything and sign nothing.",
    }
}

#[derive(Debug, Deserialize)]
struct LoginQuery {
    next: Option<String>,
}

async fn login(
    State(app): State<Arc<App>>,
    MaybeSignedIn(signed_in): MaybeSignedIn,
    Query(query): Query<LoginQuery>,
    headers: HeaderMap,
) -> Answer {
    let next = query.next.filter(|next| is_own_path(next)).unwrap_or_else(|| "/".to_owned());
    if signed_in.is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    let layout = outside(&app, &headers, "Sign in");
    let sso = app.directory.as_ref().map(|directory| {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
        let words = format!("Read, with {}", directory.flow.name());
        Link::new(format!("/login/sso?{query}"), words)
    });
    show(StatusCode::OK, &LoginPage { layout, next, reason: None, sso }).map(may_sign)
}

async fn keys(visit: Visit) -> Answer {
    let (store, person) = (&visit.app.store, visit.viewer.person);
    let keys = people::my_keys(store, person).await?;
    let (several, reads) = (keys.len() > 1, visit.viewer.session.reads_only);
    let mut sessions = sessions::mine(store, person, visit.now).await?;
    let here = visit.viewer.session.id;
    sessions.sort_by_key(|session| session.id != here);
    let page = KeysPage {
        layout: visit.layout(Section::Keys, "My keys").await?,
        keys: keys.into_iter().map(|key| key_card(key, several && !reads, visit.now)).collect(),
        ceremony: "/me/keys".to_owned(),
        reading: reads,
        sessions: sessions
            .into_iter()
            .map(|row| session_row(row, (here, reads), visit.now))
            .collect(),
        leave: format!("/people/{person}/leave"),
        sso: match &visit.app.directory {
            Some(directory) => {
                let linked = sso::linked_at(store, directory, person).await?;
                let linked = linked.map(|at| When::new(at, visit.now));
                Some(SsoCard { name: directory.flow.name().to_owned(), linked })
            }
            None => None,
        },
    };
    show(StatusCode::OK, &page).map(may_enrol)
}

fn session_row(session: Session, (here, reads): (SessionId, bool), now: Timestamp) -> SessionRow {
    let reading = if session.reads_only { ", for reading" } else { "" };
    SessionRow {
        browser: session.browser,
        opened: format!("Opened with “{}”{reading}", visible(&session.opened_with)),
        began: When::new(session.created_at, now),
        seen: When::new(session.seen_at, now),
        here: session.id == here,
        end: (session.id != here && !reads).then(|| format!("/me/sessions/{}/end", session.id)),
    }
}

fn key_card(key: KeyOverview, several: bool, now: Timestamp) -> KeyCard {
    let kind = if key.suspended_at.is_some() {
        Badge::new(Tone::Bad, "octagon-x", "Suspended: it may have been copied")
    } else if key.counts_from == NEVER {
        Badge::new(Tone::Warn, "hourglass", "Waits for others to vouch for it")
    } else if key.counts_from > now {
        let wait = format!("Objects now, approves {}", When::new(key.counts_from, now).relative);
        Badge::new(Tone::Warn, "hourglass", wait)
    } else if key.synced {
        Badge::new(Tone::Plain, "key-round", format!("{}, synced", key.kind))
    } else {
        Badge::new(Tone::Plain, "lock", format!("{}, stays on one device", key.kind))
    };
    KeyCard {
        name: key.name,
        words: (key.counts_from == NEVER).then(|| check_words::<4>(&key.fingerprint).join(" ")),
        kind,
        added: When::new(key.created_at, now),
        used: key.last_used_at.map(|at| When::new(at, now)),
        remove: several.then(|| format!("/me/keys/{}/remove", key.id)),
    }
}

async fn health(visit: Visit, uri: Uri) -> Answer {
    let app = &visit.app;
    let mut checks = vec![
        check_origin(app, &uri, &visit.headers),
        check_transport(app),
        check_clock(app, visit.now).await?,
        // The session was read from it just now.
        fine("The database answers", "It was asked for this page."),
        check_folder("The data folder takes files", &app.config.data_dir).await,
        check_folder("The blob store takes files", &app.config.data_dir.join("blobs")).await,
    ];
    checks.push(sandbox(app).await);
    checks.extend(log_checks(app, visit.now));
    checks.extend(private_addresses(app).await?);
    checks.extend(leavers(app, visit.now).await?);
    checks.sort_by_key(|check| match check.tone {
        Tone::Bad => 0,
        Tone::Warn => 1,
        Tone::Note | Tone::Plain => 2,
        Tone::Ok => 3,
    });
    let layout = visit.layout(Section::Health, "System health").await?;
    show(StatusCode::OK, &HealthPage { layout, checks, facts: about(app) })
}

/// Without secrets: a database's address may contain a password.
fn about(app: &App) -> Vec<Fact> {
    let config = &app.config;
    let database = config.database_url.split_once(':').map_or("", |(kind, _)| kind);
    vec![
        Fact::code("Version", env!("CARGO_PKG_VERSION")),
        Fact::code("Address", config.origin_text()),
        Fact::code("Audience", &config.audience),
        Fact::words("Database", if database == "sqlite" { "SQLite" } else { "PostgreSQL" }),
        Fact::code("Genesis entry", app.genesis.to_string()),
        Fact::code("Log key", app.notary.verifier_key().to_string()),
        Fact::words("Upload session", span(config.limits.upload_session)),
    ]
}

/// Longest wait for a child that says what holds it; both places may be taken by inspections.
const SANDBOX_WAIT: Duration = Duration::from_secs(2);

/// What holds the children that read artifacts (D8).
async fn sandbox(app: &App) -> Preflight {
    let asked = tokio::time::timeout(SANDBOX_WAIT, app.inspector.sandbox()).await;
    match asked {
        Ok(Ok(sandbox)) if sandbox.is_whole() => fine(
            "Artifacts are read where nothing else can be done",
            format!("{}.", sandbox.sentences().join(". ")),
        ),
        Ok(Ok(sandbox)) => Preflight {
            tone: Tone::Warn,
            title: "Artifacts are read with less protection than there is".to_owned(),
            detail: format!(
                "{}. Use Linux 6.7 or later with Landlock switched on, and a container runtime that \
                 allows both. The bounds of memory and time hold all the same.",
                sandbox.sentences().join(". ")
            ),
        },
        Ok(Err(failed)) => broken(
            "No artifact can be read",
            format!(
                "Nothing can be approved, because nothing can be inspected: {failed}. \
                 `countersign doctor` tries the same."
            ),
        ),
        Err(_) => Preflight {
            tone: Tone::Note,
            title: "What holds the reader of artifacts is not known".to_owned(),
            detail: format!(
                "It was asked and did not answer within {} s. Load the page again, or ask \
                 `countersign doctor`.",
                SANDBOX_WAIT.as_secs()
            ),
        },
    }
}

/// Whoever left and may still publish at a registry.
async fn leavers(app: &App, now: Timestamp) -> Result<Vec<Preflight>, WebError> {
    let unfinished = leaving::unfinished(&app.store).await?;
    if unfinished.is_empty() {
        return Ok(vec![fine(
            "Nobody who left holds anything we know of",
            "Each right at a registry was confirmed gone.",
        )]);
    }
    Ok(unfinished
        .iter()
        .map(|leaver| {
            let (left, open) = (When::new(leaver.left_at, now), count(leaver.unconfirmed, "right"));
            broken(
                &format!("{} may still publish at a registry", leaver.name),
                format!(
                    "Left {}; {open} to be confirmed gone, on the page People & keys.",
                    left.relative
                ),
            )
        })
        .collect())
}

/// Ruling Q15: whatever may lead into a private network is named here.
async fn private_addresses(app: &App) -> Result<Vec<Preflight>, WebError> {
    let mut checks = Vec::new();
    let allowed = |what: &str, name: &str, url: &str| Preflight {
        tone: Tone::Note,
        title: format!("{what} “{name}” may be at a private address"),
        detail: format!("An owner allowed this machine and private networks for {url}."),
    };
    for issuer in overview::issuers(&app.store).await? {
        if issuer.allow_private() {
            checks.push(allowed("Issuer", issuer.name(), issuer.url()));
        }
    }
    for row in overview::upstreams(&app.store).await? {
        let upstream = &row.stored.upstream;
        if upstream.allow_private() {
            checks.push(allowed("Registry", upstream.name(), upstream.url().as_str()));
        }
    }
    Ok(checks)
}

fn fine(title: &str, detail: impl Into<String>) -> Preflight {
    Preflight { tone: Tone::Ok, title: title.to_owned(), detail: detail.into() }
}

fn broken(title: &str, detail: impl Into<String>) -> Preflight {
    Preflight { tone: Tone::Bad, title: title.to_owned(), detail: detail.into() }
}

/// A passkey made at another name would never work at the configured one.
fn check_origin(app: &App, uri: &Uri, headers: &HeaderMap) -> Preflight {
    let origin = app.config.origin_text();
    let expected = origin.split_once("://").map_or("", |(_, host)| host);
    // HTTP/2 has the host in the address.
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asked = asked.or_else(|| uri.authority().map(Authority::as_str));
    match asked {
        Some(asked) if asked.eq_ignore_ascii_case(expected) => {
            fine("The address is the configured one", format!("Passkeys will belong to {origin}."))
        }
        asked => broken(
            "The address is not the configured one",
            format!(
                "You came by {}, and the configuration says {origin}. Open that address, or correct \
                 `origin` and start again.",
                excerpt(asked.unwrap_or("an unknown name"))
            ),
        ),
    }
}

fn check_transport(app: &App) -> Preflight {
    let local = matches!(app.config.origin.host_str(), Some("localhost"));
    if app.config.origin.scheme() == "https" {
        fine("The connection is secure", "Browsers allow passkeys over https.")
    } else if local {
        fine("The connection stays on this machine", "Browsers allow passkeys at localhost.")
    } else {
        broken(
            "The connection is not secure",
            "Browsers allow passkeys over https or at localhost.",
        )
    }
}

/// There is no other clock to ask; it must at least not run before the installation began.
async fn check_clock(app: &App, now: Timestamp) -> Result<Preflight, WebError> {
    let instance = app.store.snapshot().await.map_err(Error::from)?.instance().await;
    let began = instance.map_err(Error::from)?.map(|known| known.created_at);
    let exact = When::new(now, now).exact;
    Ok(if began.is_some_and(|began| began > now) {
        let detail = format!("It says {exact}, which is before this installation began.");
        broken("The clock is wrong", detail)
    } else {
        let detail = format!("It says {exact}. Tokens of CI are refused when it is minutes off.");
        fine("The clock runs", detail)
    })
}

/// Writes and removes a small file.
async fn check_folder(title: &str, folder: &FilePath) -> Preflight {
    let written = async {
        let name = entropy::opaque_uuid().map_err(std::io::Error::other)?;
        let file = folder.join(format!(".check-{}", name.simple()));
        tokio::fs::write(&file, b"check\n").await?;
        tokio::fs::remove_file(&file).await
    };
    match written.await {
        Ok(()) => fine(title, "A file was written and removed for this page."),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "a folder takes no files");
            broken(title, "It does not. The server's log says why; look for space and permissions.")
        }
    }
}

#[derive(Debug, Deserialize)]
struct ThemeFields {
    theme: String,
}

/// Sets the colours and goes back to the page.
async fn theme(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    OpenForm(fields): OpenForm<ThemeFields>,
) -> Answer {
    let origin = app.config.origin_text();
    let back = headers
        .get(header::REFERER)
        .and_then(|page| page.to_str().ok()?.strip_prefix(&origin))
        .filter(|path| is_own_path(path))
        .unwrap_or("/");
    let name = Theme::from_cookie(&fields.theme).name();
    let secure = if app.config.origin.scheme() == "https" { "; Secure" } else { "" };
    let cookie =
        format!("theme={name}; Path=/; HttpOnly; SameSite=Lax; Max-Age={THEME_SECONDS}{secure}");
    // The name is one of ours, so the text is always a header value.
    let cookie = HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static("theme=auto"));
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(back)).into_response())
}

/// Where password managers send people (W3C, A Well-Known URL for Relying Party Passkey Endpoints).
async fn passkey_endpoints(State(app): State<Arc<App>>) -> axum::Json<serde_json::Value> {
    let keys = format!("{}/me/keys", app.config.origin_text());
    axum::Json(serde_json::json!({ "enroll": keys, "manage": keys }))
}
