//! The JSON API and `countersign submit`, over HTTP, and that the description says what is served.

use std::collections::BTreeSet;

use countersign::domain::policy::EXPIRY_MAX;
use countersign::pipeline::staging;
use countersign::web::api::{endpoints, openapi};
use serde_json::{Value, json};

use crate::readers::build;
use crate::support::database::sqlite;
use crate::support::faults::Fault;
use crate::support::gateway::{BOT, INDEX_PASSWORD, TestGateway, WHEEL, wheel};
use crate::support::http::send;
use crate::support::pypi_registry::{PypiRegistry, Style};
use crate::support::setup::count;
use crate::support::world;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

fn document() -> Value {
    serde_json::to_value(openapi::document()).unwrap()
}

#[test]
fn the_document_describes_exactly_the_routes() {
    let endpoints = endpoints();
    let served: BTreeSet<String> =
        endpoints.table().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let document = document();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(described, served);
    // Rule A15: nothing decides by API.
    assert!(served.iter().all(|route| !route.contains("approve") && !route.contains("reject")));
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let generated = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("COUNTERSIGN_UPDATE_OPENAPI").is_some() {
        std::fs::write(SNAPSHOT, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi.json is not what the code says: run this test with \
         COUNTERSIGN_UPDATE_OPENAPI=1 and commit the file"
    );
}

/// Says where a value is not what a schema describes; unknown members are not.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = document.pointer(name.strip_prefix('#').unwrap()).unwrap();
        return check(document, schema, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| check(document, choice, value, at).is_empty();
        let good = choices.iter().filter(fits).count() == 1;
        return if good { Vec::new() } else { vec![format!("{at}: fits not one of `oneOf`")] };
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&json!(kind)) {
        return vec![format!("{at}: expected {kinds:?}, received {kind}")];
    }
    let mut wrong = Vec::new();
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        wrong.push(format!("{at}: expected one of {words:?}, received {value}"));
    }
    for item in value.as_array().into_iter().flatten() {
        wrong.extend(check(document, &schema["items"], item, &format!("{at}[]")));
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => wrong.extend(check(document, schema, member, &format!("{at}.{name}"))),
            None => wrong.push(format!("{at}: `{name}` is not described")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            wrong.push(format!("{at}: {name} is missing"));
        }
    }
    wrong
}

pub(crate) fn assert_described(route: &str, method: &str, value: &Value) {
    let document = document();
    let answer = &document["paths"][route][method]["responses"]["200"];
    let schema = &answer["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {route} has no schema");
    assert_eq!(check(&document, schema, value, route), Vec::<String>::new());
}

#[tokio::test]
async fn a_wheel_is_submitted_sealed_and_read_by_people_and_by_its_publisher() {
    let gateway = TestGateway::start().await;
    let token = gateway.ci_token("one");
    let path = gateway.file(WHEEL, &wheel());
    let (code, out, log) = gateway.submit("pypi", &path, &token, &[]).await;
    assert_eq!(code, Some(0), "{out}{log}");
    let list = gateway.as_owner("GET /api/v1/releases?limit=1&state=awaiting").await.json();
    assert_described("/api/v1/releases", "get", &list);
    let [release] = list["releases"].as_array().unwrap().as_slice() else { panic!("{list}") };
    let id = release["id"].as_str().unwrap();
    let one = gateway.as_owner(&format!("GET /api/v1/releases/{id}")).await.json();
    assert_described("/api/v1/releases/{id}", "get", &one);
    assert_eq!(one["seal"]["because"], "ci_asked");
    assert_eq!(
        (&one["approvals"]["counted"], &one["approvals"]["required"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(one["approvals"]["missing"]["words"], "2 more approvals");
    assert_eq!(one["files"][0]["filename"], WHEEL);
    let words: Vec<&str> = one["seal"]["check_words"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    let url = one["review_url"].as_str().unwrap();
    assert_eq!(out, format!("review {url}\nwords {}\n", words.join(" ")));

    for route in ["/api/v1/packages", "/api/v1/policies", "/api/v1/people"] {
        let answer = gateway.as_owner(&format!("GET {route}")).await.json();
        assert_described(route, "get", &answer);
    }
    let target = "GET /api/v1/ci/releases?package=pypi:Hello.Wire&version=1.0.0";
    let mine = gateway.as_ci(target, &token, &[], "").await.json();
    assert_described("/api/v1/ci/releases", "get", &mine);
    assert_eq!(mine["releases"][0]["id"], id);
    assert_eq!(mine["releases"][0]["state"], "awaiting");
}

/// Rule O26.
#[tokio::test]
async fn a_cookie_is_nothing_to_ci_routes_and_a_token_nothing_to_peoples() {
    let gateway = TestGateway::start().await;
    let token = gateway.ci_token("one");
    let ci = gateway.as_owner("GET /api/v1/ci/releases?package=pypi:hello-wire").await;
    assert_eq!((ci.status, ci.json()["type"].clone()), (401, json!("/problems/not-authenticated")));
    for route in ["releases", "packages", "policies", "people"] {
        let target = format!("GET /api/v1/{route}");
        let answer = gateway.as_ci(&target, &token, &[("accept", "text/html")], "").await;
        assert_eq!(answer.status, 401, "{route}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let foreign = [("cookie", gateway.cookie.as_str()), ("sec-fetch-site", "cross-site")];
        assert_eq!(send(gateway.address, &target, &foreign, "").await.status, 403, "{route}");
    }
}

#[tokio::test]
async fn sealing_twice_under_one_key_gives_one_answer_and_another_request_is_refused() {
    let gateway = TestGateway::start().await;
    let token = gateway.ci_token("one");
    let path = gateway.file(WHEEL, &wheel());
    let (code, _, log) = gateway.submit("pypi", &path, &token, &[]).await;
    assert_eq!(code, Some(0), "{log}");
    let list = gateway.as_owner("GET /api/v1/releases").await.json();
    let id = list["releases"][0]["id"].as_str().unwrap();
    let target = format!("POST /api/v1/ci/releases/{id}/seal");
    let key = [("idempotency-key", "run-1")];
    let first = gateway.as_ci(&target, &token, &key, "").await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_described("/api/v1/ci/releases/{id}/seal", "post", &first.json());
    let again = gateway.as_ci(&target, &token, &key, "").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let other = gateway.as_ci(&target, &token, &key, "{}").await;
    assert_eq!((other.status, other.json()["type"].clone()), (409, json!("/problems/conflict")));
    assert_eq!(count(&gateway.site.app.store, "idempotency").await, 1);

    let unknown = format!("POST /api/v1/ci/releases/{}/seal", uuid::Uuid::nil());
    assert_eq!(gateway.as_ci(&unknown, &token, &[], "").await.status, 404);
    let decide = format!("POST /api/v1/releases/{id}/approve");
    assert_eq!(gateway.as_ci(&decide, &token, &[], "").await.status, 404);
}

#[tokio::test]
async fn submit_says_by_its_exit_code_how_it_ended() {
    let gateway = TestGateway::start().await;
    let path = gateway.file(WHEEL, &wheel());
    let (code, out, _) = gateway.submit("pypi", &path, "no token", &[]).await;
    assert_eq!((code, out.as_str()), (Some(3), ""));
    let broken = gateway.file("hello_wire-2.0.0-py3-none-any.whl", b"no wheel");
    let token = gateway.ci_token("two");
    assert_eq!(gateway.submit("pypi", &broken, &token, &[]).await.0, Some(2));
    assert_eq!(count(&gateway.site.app.store, "releases").await, 0);

    let manifest = br#"{"name":"@octo/hello-wire","version":"1.0.0"}"#;
    let tarball = build::tgz(&[build::file("package/package.json", manifest)]);
    let npm = gateway.file("hello.tgz", &tarball);
    let waiting = ["--wait", "--timeout", "1s"];
    let (code, out, log) = gateway.submit("npm", &npm, &token, &waiting).await;
    assert_eq!(code, Some(7), "{out}{log}");
    assert!(out.starts_with("review http://localhost:"), "{out}");
}

/// Waits until a version can be decided about.
async fn awaiting(gateway: &TestGateway, version: &str) -> String {
    for _ in 0..200 {
        let list = gateway.as_owner("GET /api/v1/releases?state=awaiting").await.json();
        let releases = list["releases"].as_array().unwrap();
        if let Some(found) = releases.iter().find(|release| release["version"] == version) {
            let id = found["id"].as_str().unwrap();
            gateway.site.find_nothing(id.parse().unwrap()).await;
            return id.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{version} was not staged");
}

/// Three jobs that wait, and what becomes of their releases: A9, A8 and a registry that refuses.
#[tokio::test]
async fn submit_waits_and_says_by_its_exit_code_why_nothing_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let index = PypiRegistry::start(INDEX_PASSWORD, Style::Json).await;
    let gateway = TestGateway::on(sqlite(folder.path()).await, Some(&index)).await;
    let submit = async |version: &str| {
        let file = world::wheel(version, "py3", &[]);
        let path = gateway.file(&file.name, &file.bytes);
        let token = gateway.ci_token_of(BOT, version);
        gateway.submit("pypi", &path, &token, &["--wait", "--timeout", "1m"]).await
    };
    let meanwhile = async {
        let mut ines = gateway.owner.clone();
        let mut mara = gateway.person("Mara Lindqvist", 2).await;
        gateway.site.found(&mut ines, &mut mara).await;
        mara.decide(&awaiting(&gateway, "1.0.0").await, "reject").await;

        let refused = awaiting(&gateway, "3.0.0").await;
        ines.decide(&refused, "approve").await;
        mara.decide(&refused, "approve").await;
        index.fail_next_write(Fault::answer(400, "this file is not wanted here", false));
        while gateway.forward().await {}

        awaiting(&gateway, "2.0.0").await;
        let app = &gateway.site.app;
        let later = app.clock.now() + EXPIRY_MAX;
        assert_eq!(staging::expire_overdue(&app.store, later).await.unwrap().len(), 1);
    };
    let (rejected, expired, failed, ()) =
        tokio::join!(submit("1.0.0"), submit("2.0.0"), submit("3.0.0"), meanwhile);
    for ((code, out, log), expected, said) in [
        (rejected, 4, "hello-wire 1.0.0 was rejected"),
        (expired, 5, "hello-wire 2.0.0 expired before enough people approved it"),
        (failed, 6, "this file is not wanted here"),
    ] {
        assert_eq!(code, Some(expected), "{out}{log}");
        assert!(out.starts_with("review http://localhost:"), "{out}");
        assert!(log.contains(said), "{said}: {log}");
    }
    assert_eq!(index.count(), 0);
}

/// npm's preflight works with the token of one package and with the CI token itself, and opens no
/// session; what is staged is listed to its own publisher and package.
#[tokio::test]
async fn npm_whoami_names_the_publisher_and_lists_what_its_token_is_for() {
    let gateway = TestGateway::start().await;
    let manifest = br#"{"name":"@octo/hello-wire","version":"1.0.0"}"#;
    let tarball = build::tgz(&[build::file("package/package.json", manifest)]);
    let path = gateway.file("hello.tgz", &tarball);
    let (code, out, log) = gateway.submit("npm", &path, &gateway.ci_token("one"), &[]).await;
    assert_eq!(code, Some(0), "{out}{log}");

    let exchange = "POST /-/npm/v1/oidc/token/exchange/package/";
    let ci = gateway.ci_token("two");
    let mut tokens = Vec::new();
    for package in ["@octo%2fhello-wire", "hello-core"] {
        let minted = gateway.as_ci(&format!("{exchange}{package}"), &ci, &[], "").await;
        assert_eq!(minted.status, 201, "{minted:?}");
        tokens.push(minted.json()["token"].as_str().unwrap().to_owned());
    }
    tokens.push(gateway.ci_token("three"));
    let store = &gateway.site.app.store;
    let sessions = count(store, "upload_sessions").await;
    for (token, listed) in tokens.iter().zip([1, 0, 1]) {
        let who = gateway.as_ci("GET /npm/-/whoami", token, &[], "").await;
        assert_eq!((who.status, who.json()), (200, json!({ "username": "Release workflow" })));
        let staged = gateway.as_ci("GET /npm/-/stage", token, &[], "").await;
        assert_eq!(staged.json()["items"].as_array().map(Vec::len), Some(listed), "{staged:?}");
    }
    for token in ["npm_unknown", "no token at all"] {
        let who = gateway.as_ci("GET /npm/-/whoami", token, &[], "").await;
        assert_eq!(who.status, 403, "{who:?}");
        assert_eq!(who.json().get("username"), None);
    }
    assert_eq!(count(store, "upload_sessions").await, sessions);
}
