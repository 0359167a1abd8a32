//! Rules K3 and K4: recognisable secrets go through everything, and nothing that comes out holds one.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use countersign::domain::release::State;
use countersign::web;
use reqwest::Method;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::support::database::sqlite;
use crate::support::faults::Fault;
use crate::support::house::{House, Visitor};
use crate::support::site::Answered;
use crate::support::world::{PUBLISH, READ, run};

/// A credential that somebody types into a form.
const TYPED: &str = "npm_canaryCanaryCanaryTypedIn3";

/// Everything that was logged, by our own code in all detail.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_env_filter(EnvFilter::new("info,countersign=trace"))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("no other test logs");
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What must not be found, in every way it could be written.
struct Canaries(Vec<(&'static str, Vec<String>)>);

impl Canaries {
    fn add(&mut self, name: &'static str, secret: &[u8]) {
        assert!(secret.len() >= 12, "{name} is too short to be recognised");
        let hex = secret.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let mut forms = vec![hex.to_uppercase(), hex];
        forms.extend(std::str::from_utf8(secret).map(str::to_owned));
        for before in 0..3 {
            // Without the letters that neighbours have a part in.
            let whole = [&vec![0; before][..], secret].concat();
            let own = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
            forms.push(STANDARD_NO_PAD.encode(&whole)[own.clone()].to_owned());
            forms.push(URL_SAFE_NO_PAD.encode(&whole)[own].to_owned());
        }
        self.0.push((name, forms));
    }

    /// The names of those found in a text.
    fn in_text(&self, text: &str) -> Vec<&'static str> {
        let found = self.0.iter().filter(|(_, forms)| forms.iter().any(|form| text.contains(form)));
        found.map(|(name, _)| *name).collect()
    }

    /// Looks through an answer. A new session's cookie is not looked at.
    fn not_in(&self, asked: &str, answer: &Answered) {
        let mut headers = answer.headers.clone();
        headers.remove("set-cookie");
        let text = format!("{headers:?}\n{}", answer.text);
        assert_eq!(self.in_text(&text), Vec::<&str>::new(), "{asked}: {answer:?}");
    }
}

fn canaries(house: &House, ci_token: &str) -> Canaries {
    let mut canaries = Canaries(Vec::new());
    let site = &house.world.site;
    canaries.add("publish credential", PUBLISH.as_bytes());
    canaries.add("read credential", READ.as_bytes());
    canaries.add("typed credential", TYPED.as_bytes());
    canaries.add("npm upload token", house.npm_token.as_bytes());
    canaries.add("PyPI upload token", house.pypi_token.as_bytes());
    canaries.add("CI token", ci_token.as_bytes());
    canaries.add("claim code", site.code.expose().as_bytes());
    canaries.add("invitation", house.invitation.as_bytes());
    canaries.add("preview", house.preview.as_bytes());
    for visitor in [Visitor::Owner, Visitor::Maintainer, Visitor::Viewer] {
        let cookie = house.browser(visitor).cookie.unwrap();
        canaries.add("session", cookie.split_once('=').unwrap().1.as_bytes());
    }
    for name in ["vault-key", "log-key"] {
        let text = std::fs::read_to_string(site.app.config.data_dir.join(name)).unwrap();
        canaries.add("key file", text.trim().rsplit(':').next().unwrap().as_bytes());
    }
    canaries
}

/// Forms and documents that hold a secret and are refused.
async fn refused_with_secrets(house: &House, canaries: &Canaries, ci_token: &str) {
    let mut owner = house.browser(Visitor::Owner);
    let registry =
        [("name", "Another"), ("kind", "npm"), ("credential", TYPED), ("url", "nowhere")];
    let answer = owner.post_form("/registries/new", &registry).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    canaries.not_in("/registries/new", &answer);
    let path = house.address("/registries/{id}/credential");
    let two_words = format!("{TYPED} {TYPED}");
    let answer = owner.post_form(&path, &[("credential", &two_words)]).await;
    canaries.not_in(&path, &answer.problem(400, "bad-input"));
    // A token where no token belongs, one that is altered, and one for something else.
    let (altered, unknown) = (format!("{ci_token}x"), format!("{}x", house.npm_token));
    for (path, token) in [
        ("/npm/-/whoami", altered.as_str()),
        ("/npm/-/whoami", &unknown),
        ("/npm/elsewhere", &house.npm_token),
        ("/npm/elsewhere", ci_token),
        ("/pypi/legacy/", &house.npm_token),
        ("/api/v1/ci/releases?package=pypi:hello-wire", &house.npm_token),
        ("/api/v1/releases", &house.npm_token),
        ("/", ci_token),
    ] {
        for method in [Method::GET, Method::PUT, Method::POST] {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", &*bearer), ("content-type", "application/json")];
            let mut ci = house.browser(Visitor::Ci);
            let body = json!({ "_id": token, "token": token }).to_string();
            let answer = ci.send(method.clone(), path, &headers, body).await;
            canaries.not_in(&format!("{method} {path}"), &answer);
        }
    }
}

/// K3, K4, U2: pages, the interface, the public log, answers to CI, refusals, and every line of ours
/// in the log, while a release goes out over a registry that repeats what it was sent.
#[tokio::test]
async fn no_answer_and_no_line_of_the_log_holds_a_secret() {
    let log = Log::begin();
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(sqlite(folder.path()).await).await;
    let world = &house.world;
    let ci_token = world.ci_token(run(1));
    let canaries = canaries(&house, &ci_token);
    for (name, forms) in &canaries.0 {
        for form in forms {
            assert!(canaries.in_text(&format!("x{form}y")).contains(name), "{name}: {form}");
        }
    }

    let repeats = format!("refused: {PUBLISH} and Bearer {PUBLISH}");
    world.npm.fail_next_write(Fault::answer(401, &repeats, false));
    for visitor in [Visitor::Maintainer, Visitor::Owner] {
        house.browser(visitor).decide(&house.release.to_string(), "approve").await;
    }
    world.forward().await;
    assert_ne!(world.record(house.release).await.state, State::Published);
    refused_with_secrets(&house, &canaries, &ci_token).await;

    let mut looked_at = 0;
    let routes = web::routes(&world.site.app);
    for visitor in [Visitor::Owner, Visitor::Viewer, Visitor::Nobody, Visitor::Ci] {
        for route in routes.table() {
            // An invitation's own page leads to its own address, and so does a preview.
            let own = ["/invite/", "/preview/"].iter().any(|start| route.path.starts_with(start));
            if own || route.path == "/logout" {
                continue;
            }
            let method = if route.method == "*" { "GET" } else { &route.method };
            let answer = house.knock(visitor, method, &route.path).await;
            canaries.not_in(&format!("{visitor:?} {method} {}", route.path), &answer);
            looked_at += 1;
        }
    }
    assert!(looked_at > 300, "{looked_at}");
    let page = house.knock(Visitor::Nobody, "GET", "/invite/{token}").await;
    assert_eq!(canaries.in_text(&page.text), ["invitation"], "the search finds what is there");
    for place in ["{*package}", "files/{filename}", "simple/{project}/"] {
        house.knock(Visitor::Nobody, "GET", &format!("/preview/{{token}}/{place}")).await;
    }
    // A request that fails is logged, and this one's address is a secret.
    house.lose_invitations().await;
    let broken = house.knock(Visitor::Nobody, "GET", "/invite/{token}").await;
    assert_eq!(broken.status, 500, "{broken:?}");
    canaries.not_in("/invite/{token}", &broken);

    let log = log.text();
    let failed = r#""route":"/invite/{token}""#;
    for said in ["refused an unknown upload token", "refused a CI token", failed] {
        assert!(log.contains(said), "{said}: {log}");
    }
    for line in log.lines() {
        assert_eq!(canaries.in_text(line), Vec::<&str>::new(), "{line}");
    }
}
