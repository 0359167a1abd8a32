//! The exchange of CI tokens, over HTTP, in the forms publishing clients use (wire.md 2 and 3.6).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::app::Clock;
use countersign::domain::event::Actor;
use countersign::domain::ids::UploadSessionId;
use countersign::domain::package::{Ecosystem, PackageName};
use countersign::oidc::Verifier;
use countersign::outbound::HttpSettings;
use countersign::pipeline::ci::{self, Exchange, Scope, UploadSession};
use countersign::pipeline::{Error, Kind, setup};
use countersign::store::Store;
use countersign::web::client_error::pypi_refusal;
use countersign::web::token_exchange::{TokenExchange, routes};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::database::on_both;
use crate::support::http::{Answer, send};
use crate::support::issuer::{Key, TestIssuer};
use crate::support::setup::{apply_text, count, text, vault_key};

const AUDIENCE: &str = "releases.example";
const NPM_AUDIENCE: &str = "npm:releases.example";
const MINT: &str = "POST /_/oidc/mint-token";
const UNVERIFIED: &str = "the token is not one that a configured issuer signed for this service";
/// Tables that a refused token must leave empty.
const TABLES: [&str; 3] = ["upload_sessions", "token_uses", "upload_tokens"];

struct World {
    store: Store,
    issuer: TestIssuer,
    exchange: Exchange,
    clock: Clock,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    async fn start(store: Store) -> Self {
        let issuer = TestIssuer::start().await;
        let clock = Clock::default();
        apply_text(&store, &vault_key(), &text(&issuer.url), clock.now()).await.unwrap();
        let exchange = Exchange {
            store: store.clone(),
            verifier: Verifier::new(&HttpSettings::default()).unwrap(),
            audiences: [AUDIENCE.to_owned(), NPM_AUDIENCE.to_owned()].into(),
            session_life: SignedDuration::from_mins(15),
            rate: ci::IssuerRate::default(),
        };
        let state = TokenExchange::new(exchange.clone(), AUDIENCE, clock.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = routes(state).into_router();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { store, issuer, exchange, clock, address, server }
    }

    fn claims(&self, jti: &str) -> Value {
        let mut claims = self.issuer.github_claims(AUDIENCE, self.clock.now());
        claims["jti"] = json!(jti);
        claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 3600);
        claims
    }

    fn token(&self, jti: &str) -> String {
        self.issuer.rsa.mint(&self.claims(jti))
    }

    async fn mint(&self, token: &str) -> Answer {
        let json = [("content-type", "application/json")];
        send(self.address, MINT, &json, &json!({ "token": token }).to_string()).await
    }

    async fn npm(&self, target: &str, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        send(self.address, &format!("POST {target}"), &[("authorization", &bearer)], "").await
    }

    async fn authenticate(&self, credential: &str, scope: Scope) -> Result<UploadSession, Error> {
        let credential = SecretString::from(credential);
        ci::authenticate(&self.exchange, &credential, scope, self.clock.now()).await
    }

    async fn session(&self, credential: &str) -> UploadSessionId {
        self.authenticate(credential, Scope::Pypi).await.unwrap().id
    }

    async fn assert_nothing_opened(&self) {
        assert_eq!(self.opened().await, TABLES.map(|table| (table, 0)));
    }

    /// How many rows of what an exchange opens there are.
    async fn opened(&self) -> [(&'static str, i64); TABLES.len()] {
        let mut opened = TABLES.map(|table| (table, 0));
        for (table, rows) in &mut opened {
            *rows = count(&self.store, table).await;
        }
        opened
    }
}

fn npm(name: &str) -> Scope {
    Scope::Npm(PackageName::parse(Ecosystem::Npm, name).unwrap())
}

fn minted(answer: &Answer) -> String {
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn refused(result: Result<UploadSession, Error>) -> (Kind, String) {
    match result {
        Err(Error::Refused(refusal)) => (refusal.kind, refusal.message),
        other => panic!("expected a refusal, received {other:?}"),
    }
}

fn mint_error(answer: &Answer) -> (String, String) {
    let body = answer.json();
    assert_eq!(body["message"], "Token request failed");
    let error = &body["errors"][0];
    let text = |member: &str| error[member].as_str().unwrap().to_owned();
    (text("code"), text("description"))
}

#[tokio::test]
async fn python_clients_mint_at_both_paths_with_whatever_content_type() {
    on_both(async |store| {
        let world = World::start(store).await;
        let answer = send(world.address, "GET /_/oidc/audience", &[], "").await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "audience": AUDIENCE })));
        let forms = [
            ("/_/oidc/mint-token", "application/json"),
            ("/_/oidc/github/mint-token", "application/json; charset=utf-8"),
            ("/_/oidc/mint-token", "application/x-www-form-urlencoded"),
        ];
        for (i, (path, kind)) in forms.into_iter().enumerate() {
            let body = json!({ "token": world.token(&format!("run-{i}")) }).to_string();
            let line = format!("POST {path}");
            let answer = send(world.address, &line, &[("content-type", kind)], &body).await;
            let token = minted(&answer);
            assert_eq!(answer.json()["success"], true);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let left = answer.json()["expires"].as_i64().unwrap() - world.clock.now().as_second();
            assert!((895..=900).contains(&left), "{left}");
            assert!(token.starts_with("pypi-") && token.len() == 48, "{token}");
            let session = world.authenticate(&token, Scope::Pypi).await.unwrap();
            let names: Vec<_> = session.packages.iter().map(|known| known.name.as_str()).collect();
            assert_eq!(names, ["hello-wire"], "an npm package is not for Python clients");
            assert_eq!(session.publisher_name, "Release workflow");
        }
        assert_eq!(count(&world.store, "upload_sessions").await, 3);
    })
    .await;
}

#[tokio::test]
async fn npm_clients_exchange_at_both_places_in_every_escaping() {
    on_both(async |store| {
        let world = World::start(store).await;
        let mut claims = world.claims("npm-run");
        claims["aud"] = json!(NPM_AUDIENCE);
        let token = world.issuer.rsa.mint(&claims);
        for prefix in ["", "/npm"] {
            for name in ["@octo%2fhello-wire", "@octo%2Fhello-wire", "@octo/hello-wire"] {
                let target = format!("{prefix}/-/npm/v1/oidc/token/exchange/package/{name}");
                let answer = world.npm(&target, &token).await;
                assert_eq!(answer.status, 201, "{answer:?}");
                let body = answer.json();
                assert_eq!(body["token_type"], "oidc");
                for member in ["created", "expires"] {
                    let time = body[member].as_str().unwrap();
                    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
                }
                let token = minted(&answer);
                assert!(token.starts_with("npm_") && token.len() == 47, "{token}");
                let session = world.authenticate(&token, npm("@octo/hello-wire")).await.unwrap();
                assert_eq!(session.packages.len(), 1);
            }
        }
        assert_eq!(count(&world.store, "upload_sessions").await, 1, "every time the same session");
    })
    .await;
}

/// Ruling Q1.
#[tokio::test]
async fn a_token_rejoins_its_session_while_it_lives_and_is_refused_afterwards() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("run");
        let first = minted(&world.mint(&token).await);
        world.clock.advance(SignedDuration::from_mins(14));
        let second = minted(&world.mint(&token).await);
        assert_ne!(first, second);
        assert_eq!(world.session(&first).await, world.session(&second).await);
        assert_eq!(world.session(&token).await, world.session(&first).await, "the raw token, too");
        assert_eq!(count(&world.store, "upload_sessions").await, 1);
        world.clock.advance(SignedDuration::from_mins(2));
        let answer = world.mint(&token).await;
        assert_eq!(answer.status, 422);
        let (code, description) = mint_error(&answer);
        assert_eq!(code, "invalid-reuse-token");
        assert!(description.starts_with("expected a CI token that was not used up"));
        assert_eq!(count(&world.store, "upload_tokens").await, 2, "no third token");
        assert_eq!(refused(world.authenticate(&token, Scope::Pypi).await).0, Kind::Gone);
        let (kind, message) = refused(world.authenticate(&first, Scope::Pypi).await);
        assert_eq!(kind, Kind::NotAuthenticated);
        assert!(message.starts_with("expected an upload token in use"), "{message}");
    })
    .await;
}

/// Rule O12: an issuer that gives two runs one `jti` does not let one into the other's session.
#[tokio::test]
async fn a_jti_that_another_run_used_opens_nothing() {
    on_both(async |store| {
        let world = World::start(store).await;
        minted(&world.mint(&world.token("run")).await);
        let mut claims = world.claims("run");
        claims["run_id"] = json!("31");
        let of_another = world.issuer.rsa.mint(&claims);
        assert_eq!(mint_error(&world.mint(&of_another).await).0, "invalid-reuse-token");
        for table in TABLES {
            assert_eq!(count(&world.store, table).await, 1, "{table}");
        }
    })
    .await;
}

#[tokio::test]
async fn ending_a_run_ends_its_tokens_and_says_nothing_about_unknown_ones() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("run");
        let upload = minted(&world.mint(&token).await);
        let other = minted(&world.mint(&token).await);
        let burn = async |token: &str| {
            let body = json!({ "token": token }).to_string();
            send(world.address, "POST /_/oidc/burn-token", &[], &body).await
        };
        for text in ["pypi-unknown", "", &upload, &upload] {
            let answer = burn(text).await;
            assert_eq!((answer.status, answer.json()), (202, json!({ "message": "Accepted" })));
        }
        for text in [&upload, &other] {
            let (kind, _) = refused(world.authenticate(text, Scope::Pypi).await);
            assert_eq!(kind, Kind::NotAuthenticated);
        }
        assert_eq!(mint_error(&world.mint(&token).await).0, "invalid-reuse-token");
        assert_eq!(count(&world.store, "upload_tokens").await, 2);
    })
    .await;
}

/// Rule T26, ruling Q1: `NPM_ID_TOKEN` is one token for every package of a workspace.
#[tokio::test]
async fn one_npm_token_opens_a_session_for_each_package_and_none_for_another() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("workspace");
        let path = "/-/npm/v1/oidc/token/exchange/package";
        let wire = minted(&world.npm(&format!("{path}/@octo%2fhello-wire"), &token).await);
        let core = minted(&world.npm(&format!("{path}/hello-core"), &token).await);
        assert_eq!(count(&world.store, "upload_sessions").await, 2);
        assert!(world.authenticate(&core, npm("hello-core")).await.is_ok());
        let (kind, _) = refused(world.authenticate(&core, npm("@octo/hello-wire")).await);
        assert_eq!(kind, Kind::NotTrusted);
        let (kind, _) = refused(world.authenticate(&wire, Scope::Pypi).await);
        assert_eq!(kind, Kind::NotTrusted);
        for (name, expected) in [
            ("elsewhere", "no publisher trusts this issuer for what is being staged"),
            ("unknown", "expected a package that is registered here, received `unknown`"),
        ] {
            let answer = world.npm(&format!("{path}/{name}"), &token).await;
            assert_eq!(answer.status, 403, "{answer:?}");
            assert_eq!(answer.header("npm-notice"), Some(expected));
        }
        assert_eq!(count(&world.store, "upload_sessions").await, 2);
    })
    .await;
}

/// Rulings Q6 and rules O14 to O21: after verification, claim, expected and received.
#[tokio::test]
async fn wrong_claims_are_named_in_the_form_each_client_prints() {
    on_both(async |store| {
        let world = World::start(store).await;
        let mut claims = world.claims("run");
        claims["environment"] = json!("staging");
        let token = world.issuer.rsa.mint(&claims);
        let sentence = "no publisher matches, Release workflow comes nearest: expected release in \
                        the claim environment, received `staging`";
        let answer = world.mint(&token).await;
        assert_eq!(answer.status, 422);
        let expected = ("invalid-publisher".to_owned(), sentence.to_owned());
        assert_eq!(mint_error(&answer), expected);
        let path = "/npm/-/npm/v1/oidc/token/exchange/package/@octo%2Fhello-wire";
        let answer = world.npm(path, &token).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("npm-notice"), Some(sentence));
        let body =
            json!({ "message": sentence, "error": sentence, "body": { "message": sentence }});
        assert_eq!(answer.json(), body);
        world.assert_nothing_opened().await;
        assert_eq!(count(&world.store, "refused_tokens").await, 2);
        let packages = setup::overview::packages(&world.store).await.unwrap();
        let id = packages.iter().find(|row| row.package.name.as_str() == "@octo/hello-wire");
        let page = setup::overview::package(&world.store, id.unwrap().package.id).await.unwrap();
        assert_eq!(page.refused.len(), 2, "shown on the package's page");
        let row = &page.refused[0].refused;
        let shown = (row.claim.as_str(), row.expected.as_str(), row.received.as_str());
        assert_eq!(shown, ("environment", "release", "staging"));
    })
    .await;
}

/// Rules T27, T28, T35, T37.
#[tokio::test]
async fn claims_of_strangers_open_nothing() {
    on_both(async |store| {
        let world = World::start(store).await;
        let cases = [
            ("repository_id", json!("4243"), "repository_id"),
            ("repository_owner_id", json!("78"), "repository_owner_id"),
            ("event_name", json!("pull_request_target"), "event_name"),
            ("runner_environment", json!("self-hosted"), "runner_environment"),
            ("ref", json!("refs/heads/main"), "workflow_ref"),
            ("repository_id", json!(4242), "repository_id"),
        ];
        for (claim, value, named) in cases {
            let mut claims = world.claims("run");
            claims[claim] = value;
            let (code, description) =
                mint_error(&world.mint(&world.issuer.rsa.mint(&claims)).await);
            assert_eq!(code, "invalid-publisher");
            assert!(description.contains(&format!("in the claim {named}, ")), "{description}");
        }
        world.assert_nothing_opened().await;
    })
    .await;
}

/// Ruling Q6, rules T01 to T06, T10, T15, T18: nothing is told or kept before verification.
#[tokio::test]
async fn unverified_tokens_get_one_text_and_leave_nothing() {
    on_both(async |store| {
        let world = World::start(store).await;
        let with = |claim: &str, value: Value| {
            let mut claims = world.claims("run");
            claims[claim] = value;
            world.issuer.rsa.mint(&claims)
        };
        let good = world.token("run");
        let mut altered = good.clone();
        altered.truncate(good.len() - 4);
        altered.push_str("AAAA");
        let tokens = [
            String::new(),
            "garbage".to_owned(),
            "x".repeat(17 * 1024),
            altered,
            Key::rsa(1, "rsa-1").mint(&world.claims("run")),
            Key::rsa(1, "no-such-key").mint(&world.claims("run")),
            with("iss", json!("https://elsewhere.example")),
            with("iss", json!(format!("{}/", world.issuer.url))),
            with("aud", json!("staging.example")),
            with("aud", json!([AUDIENCE, "other"])),
        ];
        for token in &tokens {
            let answer = world.mint(token).await;
            assert_eq!(answer.status, 422, "{token}");
            assert_eq!(mint_error(&answer), ("invalid-token".to_owned(), UNVERIFIED.to_owned()));
            let (kind, message) = refused(world.authenticate(token, Scope::Pypi).await);
            assert_eq!((kind, message.as_str()), (Kind::NotAuthenticated, UNVERIFIED));
        }
        let path = "/-/npm/v1/oidc/token/exchange/package/hello-core";
        let answer = world.npm(path, &tokens[4]).await;
        assert_eq!((answer.status, answer.header("npm-notice")), (401, Some(UNVERIFIED)));
        world.assert_nothing_opened().await;
        assert_eq!(count(&world.store, "refused_tokens").await, 0);
    })
    .await;
}

/// Rules O9, T20: the token is genuine, so its owner is told which claim ended it.
#[tokio::test]
async fn an_expired_token_is_told_so() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("run");
        world.clock.advance(SignedDuration::from_mins(62));
        let (code, description) = mint_error(&world.mint(&token).await);
        assert_eq!(code, "invalid-token");
        assert!(description.contains("in the claim exp, received"), "{description}");
        world.assert_nothing_opened().await;
    })
    .await;
}

/// Rules T42, O26.
#[tokio::test]
async fn a_token_in_any_other_place_is_refused() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("run");
        let (body, bearer) = (json!({ "token": token }).to_string(), format!("Bearer {token}"));
        let cookie = format!("token={token}");
        let npm = "/-/npm/v1/oidc/token/exchange/package/hello-core";
        let query = format!("{MINT}?token={token}");
        for (line, headers, body, status) in [
            (query.as_str(), vec![], body.as_str(), 400),
            (MINT, vec![("authorization", bearer.as_str())], body.as_str(), 400),
            (MINT, vec![("cookie", cookie.as_str())], "{}", 422),
            (MINT, vec![], "token=x", 422),
            (&format!("POST {npm}?token={token}"), vec![("authorization", &*bearer)], "", 400),
            (&format!("POST {npm}"), vec![("cookie", cookie.as_str())], "", 401),
            (&format!("POST {npm}"), vec![("authorization", &*bearer)], &*body, 400),
            (&format!("POST {npm}"), vec![("authorization", "Basic eA==")], "", 401),
            (&format!("POST {npm}"), vec![("authorization", &*bearer); 2], "", 400),
        ] {
            let answer = send(world.address, line, &headers, body).await;
            assert_eq!(answer.status, status, "{line} {headers:?}: {answer:?}");
            assert!(!answer.body.contains(&token));
        }
        let long = json!({ "token": "x".repeat(70_000) }).to_string();
        assert_eq!(send(world.address, MINT, &[], &long).await.status, 413);
        world.assert_nothing_opened().await;
    })
    .await;
}

/// Rule R01, ruling Q1.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_presentations_at_once_open_one_session() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("run");
        // The keys are fetched once, before the crowd.
        minted(&world.mint(&world.token("another")).await);
        let body = json!({ "token": token }).to_string();
        let tasks = (0..50).map(|_| {
            let (address, body) = (world.address, body.clone());
            tokio::spawn(async move { minted(&send(address, MINT, &[], &body).await) })
        });
        let mut sessions = BTreeSet::new();
        let mut tokens = BTreeSet::new();
        for task in tasks.collect::<Vec<_>>() {
            let token = task.await.unwrap();
            sessions.insert(world.session(&token).await);
            tokens.insert(token);
        }
        assert_eq!((sessions.len(), tokens.len()), (1, 50));
        assert_eq!(count(&world.store, "upload_sessions").await, 2);
        assert_eq!(count(&world.store, "token_uses").await, 2);
        assert_eq!(count(&world.store, "upload_tokens").await, 51);
    })
    .await;
}

#[tokio::test]
async fn removing_a_publisher_ends_its_open_sessions() {
    on_both(async |store| {
        let world = World::start(store).await;
        let token = world.token("run");
        let upload = minted(&world.mint(&token).await);
        let session = world.authenticate(&upload, Scope::Pypi).await.unwrap();
        let now = world.clock.now();
        setup::remove_publisher(&world.store, Actor::Host, session.publisher, now).await.unwrap();
        assert_eq!(refused(world.authenticate(&upload, Scope::Pypi).await).0, Kind::NotTrusted);
        assert_eq!(refused(world.authenticate(&token, Scope::Pypi).await).0, Kind::NotTrusted);
        assert_eq!(world.mint(&token).await.status, 422);
        assert_eq!(count(&world.store, "upload_tokens").await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_used_up_is_forgotten_once_nothing_accepts_it() {
    on_both(async |store| {
        let world = World::start(store).await;
        minted(&world.mint(&world.token("run")).await);
        for (minutes, left) in [(61, 1), (3, 0)] {
            world.clock.advance(SignedDuration::from_mins(minutes));
            ci::sweep(&world.store, world.clock.now()).await.unwrap();
            for table in TABLES {
                assert_eq!(count(&world.store, table).await, left, "{table}");
            }
        }
    })
    .await;
}

/// What strangers can make us keep is bounded.
#[tokio::test]
async fn refused_tokens_are_kept_up_to_a_hundred_per_issuer() {
    on_both(async |store| {
        let world = World::start(store).await;
        let mut claims = world.claims("run");
        claims["environment"] = json!("staging");
        let token = world.issuer.rsa.mint(&claims);
        for _ in 0..103 {
            let result = world.authenticate(&token, Scope::Pypi).await;
            assert_eq!(refused(result).0, Kind::NotTrusted);
        }
        assert_eq!(count(&world.store, "refused_tokens").await, 100);
    })
    .await;
}

/// What twine and uv print of a refused upload (wire.md 1.5).
#[tokio::test]
async fn a_refusal_reaches_python_clients_in_status_line_and_body() {
    let handler = async |headers: HeaderMap| {
        pypi_refusal(&headers, StatusCode::BAD_REQUEST, "File already exists: caf\u{e9} \u{2713}\n")
    };
    let routes = Router::new().route("/", post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let uv = "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7";
    for (accept, kind) in [("*/*", "text/plain; charset=utf-8"), (uv, "application/json")] {
        let answer = send(address, "POST /", &[("accept", accept)], "").await;
        assert_eq!(answer.status, 400);
        // The client of these tests reads ISO-8859-1 as broken UTF-8, as it should.
        assert_eq!(answer.reason, "File already exists: caf\u{fffd} ? ");
        assert_eq!(answer.header("content-type"), Some(kind));
        assert!(answer.body.contains("File already exists: caf\u{e9} \u{2713} "), "{answer:?}");
    }
    server.abort();
}

/// Rule O25: not from many addresses either; signatures are work.
#[tokio::test]
async fn one_issuers_name_cannot_be_tried_without_end() {
    on_both(async |store| {
        let world = World::start(store).await;
        let payload = json!({ "iss": world.issuer.url }).to_string();
        let token = format!("x.{}.x", URL_SAFE_NO_PAD.encode(payload));
        // Signed before, since the limit gives a place back while that takes.
        let good = world.token("run");
        let mut tries = 0;
        while refused(world.authenticate(&token, Scope::Pypi).await).0 != Kind::TooMany {
            tries += 1;
            assert!(tries < 5_000, "nobody stops this");
        }
        assert!(tries >= 1_000, "the runs of a large organisation pass: {tries}");
        let good = world.authenticate(&good, Scope::Pypi).await;
        assert_eq!(refused(good).0, Kind::TooMany);
        world.assert_nothing_opened().await;
    })
    .await;
}

/// Asks until the limit is met, and says how often.
async fn asked_to_the_limit(world: &World) -> usize {
    for asked in 1..=450 {
        if send(world.address, MINT, &[], "{}").await.status == 429 {
            return asked;
        }
    }
    panic!("450 requests met no limit");
}

/// Rule O25.
#[tokio::test]
async fn one_address_cannot_try_tokens_without_end() {
    on_both(async |store| {
        let world = World::start(store).await;
        // Signed before, since the limit gives a place back every 250 ms.
        let good: Vec<String> = (0..5).map(|run| world.token(&format!("run {run}"))).collect();
        let asked = asked_to_the_limit(&world).await;
        assert!(asked > 400, "a workspace's exchanges pass: {asked}");
        for token in &good {
            let before = world.opened().await;
            let answer = world.mint(token).await;
            if answer.status == 429 {
                assert_eq!(mint_error(&answer).0, "too-many-requests");
                assert_eq!(world.opened().await, before);
                return;
            }
            // This machine was slow and a place came back, which whoever asks first may have.
            asked_to_the_limit(&world).await;
        }
        panic!("a good token was let in {} times beyond the limit", good.len());
    })
    .await;
}
