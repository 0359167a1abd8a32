//! People in a browser: somebody leaves, and somebody lost every passkey.

use std::time::Duration;

use countersign_e2e::browser::Browser;
use countersign_e2e::gateway::Settings;
use countersign_e2e::world::{INES, MARA, World};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

async fn world() -> (World, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    (world, dir)
}

/// The address that somebody's row leads to or posts to.
async fn of(browser: &Browser, name: &str, ending: &str) -> String {
    let script = "(() => { const rows = [...document.querySelectorAll('tbody tr')]; \
         const row = rows.find(row => row.textContent.includes(NAME)); \
         const found = row.querySelector(`a[href$=\"END\"], form[action$=\"END\"]`); \
         return found.getAttribute('href') ?? found.getAttribute('action') })()";
    let script = script.replace("NAME", &json!(name).to_string()).replace("END", ending);
    browser.evaluate(&script).await.as_str().unwrap().to_owned()
}

async fn no_barrier(browser: &Browser) {
    let found = browser.axe().await;
    assert!(found.is_empty(), "{found:?}");
    assert!(!browser.overflows_on_a_phone().await);
}

/// Rule A4: one action ends everything here, and what is elsewhere stays red until somebody looked.
#[tokio::test]
async fn somebody_leaves_and_stays_red_until_every_right_was_confirmed() {
    let (world, _dir) = world().await;
    let ines = world.enrol(INES).await;
    let mara = world.enrol(MARA).await;
    let origin = &world.gateway.origin;
    ines.go(&format!("{origin}/people")).await;
    let leave = of(&ines, MARA, "/leave").await;
    ines.go(&format!("{origin}{leave}")).await;
    ines.until_text("This only registries can end", SOON).await;
    no_barrier(&ines).await;
    assert_eq!(ines.press("main form").await, Ok(()));
    ines.until_text("What Mara Lindqvist may still hold", SOON).await;
    no_barrier(&ines).await;

    mara.go(&format!("{origin}/releases")).await;
    assert!(mara.url().await.contains("/login"), "signed out");
    assert!(mara.sign_in(origin).await.is_err(), "her passkey opens nothing any more");

    for page in ["/", "/people", "/health-page"] {
        ines.go(&format!("{origin}{page}")).await;
        assert!(ines.text().await.contains(MARA), "{page}");
    }
    ines.go(&format!("{origin}{}ing", leave.strip_suffix('e').unwrap())).await;
    ines.evaluate(
        "document.querySelectorAll('input[name=right]').forEach(box => box.checked = true)",
    )
    .await;
    assert_eq!(ines.press("main form").await, Ok(()));
    ines.until_text("Nothing is left to check", SOON).await;
    assert!(ines.text().await.contains("Ines Duarte saw that it is gone"));
    ines.go(origin).await;
    assert!(!ines.text().await.contains(MARA));
}

/// Rule W14: before the founding an owner helps out at once, by an invitation that works once.
#[tokio::test]
async fn somebody_who_lost_every_passkey_enrols_a_new_one_by_invitation() {
    let (world, _dir) = world().await;
    let ines = world.enrol(INES).await;
    let mara = world.enrol(MARA).await;
    let origin = &world.gateway.origin;
    ines.go(&format!("{origin}/people")).await;
    let invite = of(&ines, MARA, "/invite").await;
    ines.evaluate("document.querySelectorAll('details').forEach(more => more.open = true)").await;
    assert_eq!(ines.press(&format!("form[action='{invite}']")).await, Ok(()));
    ines.until_text("Hand this to Mara Lindqvist", SOON).await;
    let address = ines.evaluate("document.querySelector('#invitation').textContent").await;
    mara.go(origin).await;
    assert!(mara.url().await.contains("/login"), "signed out at once");

    let (anew, _key) = Browser::with_key().await;
    anew.go(address.as_str().unwrap()).await;
    anew.until_text("It replaces every passkey you had here", SOON).await;
    assert_eq!(anew.enrol(address.as_str().unwrap()).await, Ok(()));
    anew.go(&format!("{origin}/me/keys")).await;
    anew.until_text("Where you are signed in", SOON).await;
    no_barrier(&anew).await;
    assert!(mara.sign_in(origin).await.is_err(), "the lost key opens nothing any more");
    ines.go(address.as_str().unwrap()).await;
    ines.until_text("This invitation cannot be used", SOON).await;
}

/// Ruling Q19: the sheet from the safe, on the host; everybody sees it, and one objection ends it.
#[tokio::test]
async fn a_recovery_is_seen_on_every_page_and_ended_by_one_objection() {
    let (world, _dir) = world().await;
    let (ines, mara) = (world.enrol(INES).await, world.enrol(MARA).await);
    let secret = world.found(&ines, &mara).await;
    let origin = &world.gateway.origin;

    let printed = world.gateway.recover(&["invite", MARA], "").await;
    let (anew, _key) = Browser::with_key().await;
    assert_eq!(anew.enrol(printed.lines().next().unwrap()).await, Ok(()));
    anew.go(&format!("{origin}/me/keys")).await;
    anew.until_text("You are signed in for reading", SOON).await;
    let listed = world.gateway.recover(&["list"], "").await;
    let words = listed.split(&format!("a key for {MARA}: ")).nth(1).expect("her key").trim();
    assert!(anew.text().await.contains(words), "{words}");
    no_barrier(&anew).await;

    let id = listed.split_whitespace().next().unwrap();
    let signed = world.gateway.recover(&["sign", id], &secret).await;
    assert!(signed.contains("unless somebody objects"), "{signed}");
    for page in ["/", "/people", "/health-page"] {
        ines.go(&format!("{origin}{page}")).await;
        ines.until_text("Somebody used the recovery key for Mara Lindqvist", SOON).await;
    }
    no_barrier(&ines).await;
    ines.go(&format!("{origin}/proposals/{id}")).await;
    assert!(ines.text().await.contains(words), "whoever judges it has the words to compare");
    ines.go(&format!("{origin}/proposals/{id}/object")).await;
    ines.fill("[name=reason]", "Mara has her key, I asked").await;
    assert_eq!(ines.ceremony("form[action$='/object']").await, Ok(()));
    ines.go(origin).await;
    assert!(!ines.text().await.contains("recovery key"));
    anew.go(&format!("{origin}/releases")).await;
    assert!(anew.url().await.contains("/login"), "nor does it read on");
    assert!(anew.sign_in(origin).await.is_err(), "the key that waited is gone");
}
