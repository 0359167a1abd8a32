//! What a person at a browser cannot do: sign unverified, twice, for their own run, from another origin, or after a
//! rejection. The server is asked past the page too, since a page only hides what the server must refuse.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use countersign_e2e::browser::{Authenticator, Browser, Key};
use countersign_e2e::gateway::Settings;
use countersign_e2e::projects;
use countersign_e2e::world::{INES, JUN, MARA, World};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for a forwarder that takes what it must not.
const FORWARDER_TIME: Duration = Duration::from_secs(2);

async fn world() -> (World, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    (world, dir)
}

/// Enrolled and signed in, with the key in hand.
async fn enrolled(world: &World, name: &str) -> (Browser, Authenticator) {
    let (browser, key) = Browser::with_key().await;
    assert_eq!(browser.enrol(world.invite(name)).await, Ok(()));
    browser.go(&world.gateway.origin).await;
    if browser.url().await.contains("/login") {
        assert_eq!(browser.sign_in(&world.gateway.origin).await, Ok(()));
    }
    (browser, key)
}

/// A POST of JSON from the open page with its session and token: (status, answer).
async fn post(browser: &Browser, path: &str, body: &Value) -> (u64, Value) {
    let script = "(async () => { \
        const csrf = document.querySelector('meta[name=\"csrf-token\"]').content; \
        const headers = { 'content-type': 'application/json', accept: 'application/json', 'x-csrf-token': csrf }; \
        const r = await fetch(PATH, { method: 'POST', headers, body: JSON.stringify(BODY) }); \
        return { status: r.status, answer: await r.json().catch(() => null) } })()";
    let script = script.replace("PATH", &json!(path).to_string());
    let said = browser.evaluate(&script.replace("BODY", &body.to_string())).await;
    (said["status"].as_u64().unwrap(), said["answer"].clone())
}

/// The assertion that the browser makes on the page it shows.
async fn assertion(browser: &Browser, options: &Value, verification: &str) -> Value {
    let script = "(async () => { const o = PublicKeyCredential.parseRequestOptionsFromJSON(OPTIONS); \
        o.userVerification = WANTED; \
        return (await navigator.credentials.get({ publicKey: o })).toJSON() })()";
    let script = script.replace("OPTIONS", &options.to_string());
    browser.evaluate(&script.replace("WANTED", &json!(verification).to_string())).await
}

fn path(link: &str) -> String {
    format!("/releases/{}", link.rsplit('/').next().unwrap())
}

async fn begin(browser: &Browser, link: &str) -> (Value, Value) {
    browser.review(link).await;
    browser.answer_findings().await;
    let fields = browser
        .evaluate("Object.fromEntries(new FormData(document.querySelector('#approve')))")
        .await;
    let (status, begun) = post(browser, &format!("{}/approve/begin", path(link)), &fields).await;
    assert_eq!(status, 200, "{begun}");
    (begun["ceremony"].clone(), begun["publicKey"].clone())
}

async fn assert_nothing_was_sent(world: &World) {
    tokio::time::sleep(FORWARDER_TIME).await;
    assert!(!world.python_is_published().await, "it was published");
    let log = world.python.log();
    assert!(!log.contains("POST"), "something was sent to the registry:\n{log}");
}

/// Rule W2.
#[tokio::test]
async fn an_approval_without_user_verification_fails() {
    let (world, _dir) = world().await;
    let (ines, key) = enrolled(&world, INES).await;
    let release = world.submit_python().await;
    ines.review(&release.link).await;
    ines.answer_findings().await;
    ines.set_verified(&key, false).await;

    // The page asks for verification, which the device refuses.
    ines.evaluate(
        "document.querySelector(\"form[action$='/approve'] button[type=submit]\").click()",
    )
    .await;
    ines.until_text("Nothing happened. Try again", Duration::from_secs(30)).await;

    // A changed page that does not ask for it gets its assertion, and the server refuses that.
    let (ceremony, options) = begin(&ines, &release.link).await;
    assert_eq!(options["userVerification"], "required");
    let credential = assertion(&ines, &options, "discouraged").await;
    let answer = json!({ "ceremony": ceremony, "credential": credential });
    let (status, said) =
        post(&ines, &format!("{}/approve/finish", path(&release.link)), &answer).await;
    assert!((400..500).contains(&status), "{status} {said}");

    // Nothing counted: the same person is still asked, and can approve once verified.
    ines.set_verified(&key, true).await;
    assert_nothing_was_sent(&world).await;
    assert_eq!(ines.approve(&release.link).await, Ok(()));
}

/// Rule W1.
#[tokio::test]
async fn an_assertion_made_on_another_origin_fails() {
    let (world, _dir) = world().await;
    let (ines, _key) = enrolled(&world, INES).await;
    let release = world.submit_python().await;

    // A page under another name of the same machine may not even begin.
    let elsewhere = world.gateway.origin.replace("localhost", "127.0.0.1");
    let shown = ines.sign_in(&elsewhere).await.expect_err("a passkey worked on another host");
    assert!(shown.contains("xpected a request from a page at"), "{shown}");

    // A browser does sign on another port of the same host; that the server has to notice.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let imitation = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let page =
        Router::new().route("/", get(async || Html("<!doctype html><title>Approve</title>")));
    tokio::spawn(async move { axum::serve(listener, page).await.unwrap() });
    let (ceremony, options) = begin(&ines, &release.link).await;
    ines.go(&imitation).await;
    let credential = assertion(&ines, &options, "required").await;
    ines.go(&release.link).await;
    let answer = json!({ "ceremony": ceremony, "credential": credential });
    let (status, said) =
        post(&ines, &format!("{}/approve/finish", path(&release.link)), &answer).await;
    assert!((400..500).contains(&status), "{status} {said}");

    assert_nothing_was_sent(&world).await;
    // The same steps on the right page are accepted, so it was the origin that was refused.
    let (ceremony, options) = begin(&ines, &release.link).await;
    let credential = assertion(&ines, &options, "required").await;
    let answer = json!({ "ceremony": ceremony, "credential": credential });
    let (status, said) =
        post(&ines, &format!("{}/approve/finish", path(&release.link)), &answer).await;
    assert_eq!(status, 200, "{said}");
}

/// Rule W15.
#[tokio::test]
async fn a_second_key_of_the_same_person_does_not_count_twice() {
    let (world, _dir) = world().await;
    let (ines, first) = enrolled(&world, INES).await;
    let release = world.submit_python().await;
    assert_eq!(ines.approve(&release.link).await, Ok(()));

    ines.unplug(&first).await;
    let second = ines.plug_in(Key::default()).await;
    ines.go(&format!("{}/me/keys", world.gateway.origin)).await;
    assert_eq!(ines.ceremony("form[data-passkey=create]").await, Ok(()));
    assert_eq!(ines.credentials(&second).await, 1, "the second key is enrolled");
    // It is a full key of hers: it signs her in.
    let cookies = ines.driver().delete_all_cookies().await;
    assert!(cookies.is_ok(), "{cookies:?}");
    assert_eq!(ines.sign_in(&world.gateway.origin).await, Ok(()));

    ines.go(&release.link).await;
    assert_eq!(offered(&ines).await, json!(false), "a second approval is offered");
    let (status, said) =
        post(&ines, &format!("{}/approve/begin", path(&release.link)), &json!({})).await;
    assert!((400..500).contains(&status), "{status} {said}");
    assert_nothing_was_sent(&world).await;
}

/// Rule A5.
#[tokio::test]
async fn the_person_who_started_the_run_cannot_approve() {
    let (world, _dir) = world().await;
    let (jun, _) = enrolled(&world, JUN).await;
    let (ines, _) = enrolled(&world, INES).await;
    let release = world.submit_python().await;
    // Sealed once somebody else can approve it.
    ines.review(&release.link).await;
    assert_eq!(ines.approve(&release.link).await, Ok(()));

    jun.go(&release.link).await;
    assert_eq!(offered(&jun).await, json!(false));
    let text = jun.text().await;
    assert!(text.contains("You started the CI run"), "{text}");
    let (status, said) =
        post(&jun, &format!("{}/approve/begin", path(&release.link)), &json!({})).await;
    assert!((400..500).contains(&status), "{status} {said}");
    assert_nothing_was_sent(&world).await;
}

/// Rule A9.
#[tokio::test]
async fn a_rejection_with_a_reason_ends_the_release_and_nothing_is_sent() {
    let (world, _dir) = world().await;
    let (ines, _) = enrolled(&world, INES).await;
    let (mara, _) = enrolled(&world, MARA).await;
    let release = world.submit_python().await;
    ines.review(&release.link).await;
    let reason = "the changelog names another version";
    assert_eq!(mara.reject(&release.link, reason).await, Ok(()));

    ines.go(&release.link).await;
    let text = ines.text().await;
    assert!(text.contains("Rejected") && text.contains(reason), "{text}");
    for person in [&ines, &mara] {
        person.go(&release.link).await;
        assert_eq!(offered(person).await, json!(false), "a rejected release offers approval");
        let (status, said) =
            post(person, &format!("{}/approve/begin", path(&release.link)), &json!({})).await;
        assert!((400..500).contains(&status), "{status} {said}");
    }
    assert_nothing_was_sent(&world).await;
}

/// Rule A14: what blocks is overridden in words by two people, each with their own.
#[tokio::test]
async fn an_installation_script_goes_out_when_two_people_say_why() {
    let (world, _dir) = world().await;
    let (ines, _) = enrolled(&world, INES).await;
    let (mara, _) = enrolled(&world, MARA).await;
    world.found(&ines, &mara).await;
    // npm runs it at installation; it does nothing.
    let hook = json!({ "postinstall": "node -p 1" });
    let with_hook = |dir: &Path| projects::set_in_manifest(dir, "scripts", hook);
    let release = world.submit_npm_after(with_hook).await;

    ines.review(&release.link).await;
    let text = ines.text().await;
    assert!(text.contains("Stops the approval") && text.contains("node -p 1"), "{text}");
    let violations = ines.axe().await;
    assert!(violations.is_empty(), "{violations:?}");
    // The browser itself wants the words, and so does the server.
    let valid = "document.querySelector('#approve').checkValidity()";
    assert_eq!(ines.evaluate(valid).await, json!(false));
    let (status, said) =
        post(&ines, &format!("{}/approve/begin", path(&release.link)), &json!({})).await;
    assert_eq!(status, 400, "{said}");
    assert!(said["detail"].as_str().unwrap().contains("HK-01"), "{said}");

    for person in [&ines, &mara] {
        person.review(&release.link).await;
        person.fill("textarea[name^='override:']", "It prints one number, I read it").await;
        person.tick_looks().await;
        assert_eq!(person.ceremony("form[action$='/approve']").await, Ok(()));
    }
    let begun = Instant::now();
    while !world.npm_is_published().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not published");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Rule W17.
#[tokio::test]
async fn one_touch_each_approves_both_releases_of_a_run() {
    let (world, _dir) = world().await;
    let (ines, _) = enrolled(&world, INES).await;
    let (mara, _) = enrolled(&world, MARA).await;
    world.found(&ines, &mara).await;
    let (python, npm) = (world.submit_python().await, world.submit_npm().await);
    ines.review(&python.link).await;

    for person in [&ines, &mara] {
        person.go(&world.gateway.origin).await;
        let link = "document.querySelector(\"a[href$='/together']\").href";
        let page = person.evaluate(link).await;
        person.go(page.as_str().unwrap()).await;
        // What is signed with one touch is all there, to the last byte.
        let shown = person.digests("/artifacts/").await;
        assert_eq!(shown.len(), python.files.len() + npm.files.len(), "{shown:?}");
        let violations = person.axe().await;
        assert!(violations.is_empty(), "{violations:?}");
        assert_nothing_was_sent(&world).await;
        assert_eq!(person.ceremony("form[data-passkey=get]").await, Ok(()));
    }
    world.until_published(Duration::from_secs(60)).await;
}

async fn offered(browser: &Browser) -> Value {
    browser.evaluate("!!document.querySelector(\"form[data-passkey][action$='/approve']\")").await
}
