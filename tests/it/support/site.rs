//! The people's side of a gateway on a loopback port, and a browser without a screen.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router, middleware};
use countersign::app::{App, Clock, Opened};
use countersign::config::Config;
use countersign::domain::ids::ReleaseId;
use countersign::domain::review::report::{Found, Gathered, Report};
use countersign::inspector::{Inspector, Settings};
use countersign::pipeline::files::FileReader;
use countersign::pipeline::inspection;
use countersign::pipeline::log::notary::Notary;
use countersign::pipeline::signin::ClaimCode;
use countersign::store::Store;
use countersign::web::error;
use countersign::web::extract::SignedIn;
use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::authenticator::Authenticator;

/// A running site.
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    /// As browsers write it.
    pub(crate) origin: String,
    /// What signs its log; the tests call it instead of waiting for the worker.
    pub(crate) notary: Arc<Notary>,
    /// The code of its founding.
    pub(crate) code: ClaimCode,
    address: SocketAddr,
    folder: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Children of the product read artifacts: this program is a test and cannot be asked to.
pub(crate) fn reading() -> Settings {
    Settings { program: env!("CARGO_BIN_EXE_countersign").into(), ..Settings::default() }
}

impl Site {
    /// A founded, unclaimed site on a database of the caller.
    pub(crate) async fn on(store: Store) -> Self {
        Self::configured(store, "").await
    }

    /// The same with more in its configuration.
    pub(crate) async fn configured(store: Store, more: &str) -> Self {
        Self::open(store, more, reading()).await
    }

    /// The same with another reader of artifacts.
    pub(crate) async fn reading_with(store: Store, reader: Settings) -> Self {
        Self::open(store, "", reader).await
    }

    async fn open(store: Store, more: &str, reader: Settings) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = format!("http://localhost:{}", address.port());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.toml");
        let text = format!(
            "origin = \"{origin}\"\ndata_dir = \".\"\nlisten = [{{ address = \"{address}\" }}]\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("sso-secret"), "between-us\n").unwrap();
        let clock = Clock::default();
        let config = Config::read(&file).unwrap();
        let Opened { mut app, claim_code: code, .. } =
            App::with_store(config, clock, store).await.unwrap();
        let opened = Arc::get_mut(&mut app).unwrap();
        opened.inspector = Inspector::new(reader);
        opened.files = FileReader::new(&opened.inspector);
        // Pages carry the token in a meta element; this stands for all of them.
        let me = |signed_in: SignedIn| async move {
            Json(json!({ "csrf": signed_in.csrf, "name": signed_in.name }))
        };
        let router = Router::new()
            .route("/me", get(me))
            .layer(middleware::from_fn(error::render))
            .with_state(app.clone())
            .merge(countersign::web::router(&app));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            notary: Arc::clone(&app.notary),
            app,
            origin,
            code: code.unwrap(),
            address,
            folder,
            server,
        }
    }

    /// A site whose first person, an owner, has enrolled and is signed in.
    pub(crate) async fn claimed(store: Store) -> (Self, Browser) {
        Self::on(store).await.claim().await
    }

    /// Its first person, an owner, enrols and is signed in.
    pub(crate) async fn claim(self) -> (Self, Browser) {
        let site = self;
        let mut browser = site.browser(1);
        let token = browser.claim(&site.code.expose(), "Ines Duarte").await.token();
        browser.enrol(&token).await.ok();
        browser.read_csrf().await;
        (site, browser)
    }

    /// Two people found it, the first an owner, under its first policy.
    pub(crate) async fn found(&self, owner: &mut Browser, other: &mut Browser) {
        let policies = self.app.store.snapshot().await.unwrap().policies().await.unwrap();
        owner.put_founding(&policies[0].id().to_string()).await;
        owner.sign_founding().await;
        other.sign_founding().await;
        assert!(self.app.trust().founding.is_some());
    }

    /// A browser with an authenticator of its own and no cookies.
    pub(crate) fn browser(&self, seed: u8) -> Browser {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(20));
        Browser {
            client: client.build().unwrap(),
            address: self.address,
            authenticator: Authenticator::new(seed, &self.origin),
            origin: self.origin.clone(),
            cookie: None,
            csrf: None,
        }
    }

    /// The gateway looks into a sealed release and finds nothing.
    pub(crate) async fn find_nothing(&self, release: ReleaseId) {
        self.find(release, Vec::new()).await;
    }

    /// The gateway looks into a sealed release and finds these.
    pub(crate) async fn find(&self, release: ReleaseId, found: Vec<Found>) {
        let (store, now) = (&self.app.store, self.app.clock.now());
        let record = store.snapshot().await.unwrap().release(release).await.unwrap().unwrap();
        let manifest = record.seal.expect("a sealed release").manifest;
        let gathered = Gathered { found, ..Gathered::default() };
        let report = Report::new(&manifest, gathered, None);
        assert!(inspection::record(store, report, None, now).await.unwrap());
    }

    /// The file that holds the claim code.
    pub(crate) fn claim_file(&self) -> std::path::PathBuf {
        self.folder.path().join("claim-code")
    }
}

/// One person's browser.
#[derive(Clone)]
pub(crate) struct Browser {
    client: reqwest::Client,
    address: SocketAddr,
    pub(crate) authenticator: Authenticator,
    pub(crate) origin: String,
    /// `name=value` of the session.
    pub(crate) cookie: Option<String>,
    /// What the page's meta element says.
    pub(crate) csrf: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body as it came.
    pub(crate) bytes: bytes::Bytes,
}

impl Answered {
    /// Success, or a panic that says what came instead.
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success() || self.status.is_redirection(), "{self:?}");
        self
    }

    /// A problem of this status and name.
    pub(crate) fn problem(self, status: u16, name: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json()["type"], format!("/problems/{name}"), "{self:?}");
        assert_eq!(self.json()["instance"], self.headers["x-request-id"].to_str().unwrap());
        assert!(!self.headers.contains_key(SET_COOKIE), "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }

    /// The secret of an invitation that the answer leads to.
    pub(crate) fn token(&self) -> String {
        self.location().strip_prefix("/invite/").expect("an invitation").to_owned()
    }
}

impl Browser {
    /// The same authenticator at a browser that is not signed in.
    pub(crate) fn elsewhere(&self) -> Self {
        Self { cookie: None, csrf: None, ..self.clone() }
    }

    /// Any request, with exactly these headers besides the cookie.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answered {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.expect("the site answers");
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(set) = headers.get(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        let bytes = response.bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answered { status, headers, text, bytes }
    }

    pub(crate) async fn get(&mut self, path: &str, accept: &str) -> Answered {
        self.send(Method::GET, path, &[("accept", accept)], String::new()).await
    }

    /// What `passkey.js` does.
    pub(crate) async fn post_json(&mut self, path: &str, body: &Value) -> Answered {
        let (origin, csrf) = (self.origin.clone(), self.csrf.clone());
        let mut headers = vec![
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors"),
            ("content-type", "application/json"),
        ];
        if let Some(csrf) = &csrf {
            headers.push(("x-csrf-token", csrf));
        }
        self.send(Method::POST, path, &headers, body.to_string()).await
    }

    /// What a form does, but that problems come as JSON.
    pub(crate) async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answered {
        let origin = self.origin.clone();
        let headers = [
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let csrf = self.csrf.clone().unwrap_or_default();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .append_pair("csrf", &csrf)
            .finish();
        self.send(Method::POST, path, &headers, form).await
    }

    /// Reads the token as a page would carry it; true when signed in.
    pub(crate) async fn read_csrf(&mut self) -> bool {
        let answer = self.get("/me", "application/json").await;
        if answer.status != StatusCode::OK {
            answer.problem(401, "not-authenticated");
            return false;
        }
        self.csrf = Some(answer.json()["csrf"].as_str().unwrap().to_owned());
        true
    }

    pub(crate) async fn claim(&mut self, code: &str, name: &str) -> Answered {
        self.post_form("/setup/claim", &[("code", code), ("name", name)]).await
    }

    /// Begins at `base`/begin and returns the body for `base`/finish.
    pub(crate) async fn answer(&mut self, base: &str, fields: &Value) -> Value {
        let begun = self.post_json(&format!("{base}/begin"), fields).await.ok().json();
        let options = &begun["publicKey"];
        let credential = if options.get("user").is_some() {
            self.authenticator.enrol(options)
        } else {
            self.authenticator.assert(options)
        };
        json!({ "ceremony": begun["ceremony"], "credential": credential })
    }

    pub(crate) async fn enrol(&mut self, token: &str) -> Answered {
        let base = format!("/invite/{token}/passkeys");
        let answer = self.answer(&base, &json!({ "name": "First" })).await;
        self.post_json(&format!("{base}/finish"), &answer).await
    }

    pub(crate) async fn sign_in(&mut self) -> Answered {
        let answer = self.answer("/login", &json!({ "next": "/" })).await;
        self.post_json("/login/finish", &answer).await
    }

    /// An owner puts what is set up before the founders, on the page, and gets the recovery secret.
    pub(crate) async fn put_founding(&mut self, policy: &str) -> String {
        let fields = [("policy", policy), ("delay_hours", "24")];
        let page = self.post_form("/founding", &fields).await.ok().text;
        let secret = page.split("countersign-recovery-").nth(1).expect("a secret");
        format!("countersign-recovery-{}", secret.split('<').next().unwrap())
    }

    /// A founder signs, on the page.
    pub(crate) async fn sign_founding(&mut self) {
        self.sign("/founding/sign").await;
    }

    /// Signs whatever is signed below an address.
    pub(crate) async fn sign(&mut self, base: &str) {
        let answer = self.answer(base, &json!({ "reason": "meant so" })).await;
        self.post_json(&format!("{base}/finish"), &answer).await.ok();
    }

    /// Approves or rejects a release with the authenticator, on its page.
    pub(crate) async fn decide(&mut self, release: &str, verdict: &str) {
        self.sign(&format!("/releases/{release}/{verdict}")).await;
    }
}
