//! The keys on the page of one file: what is ticked is kept, the next file is one press away, and a key that is held
//! neither unticks nor passes over pages that nobody read.

use std::time::Duration;

use countersign_e2e::browser::Browser;
use countersign_e2e::gateway::Settings;
use countersign_e2e::world::{INES, World};
use serde_json::json;

/// Long enough for a page that a held key would have opened.
const HELD: Duration = Duration::from_millis(500);

const TICKED: &str = "document.readyState === 'complete' && document.querySelector('button.tick').ariaPressed === 'true'";

/// Waits until the page at this address is there, with its script.
async fn until_at(browser: &Browser, address: &str) {
    let there =
        format!("location.href === {} && document.readyState === 'complete'", json!(address));
    browser.until(&there, address).await;
}

#[tokio::test]
async fn keys_tick_one_file_and_lead_to_the_next_and_a_held_one_acts_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    let ines = world.enrol(INES).await;
    let release = world.submit_python().await.link;
    ines.review(&release).await;
    ines.go(&format!("{release}/files")).await;
    let links = "[...document.querySelectorAll('tr[data-file] a')].slice(0, 3).map(a => a.href)";
    let links: Vec<String> = serde_json::from_value(ines.evaluate(links).await).unwrap();
    let [first, second, _] = links.as_slice() else { panic!("three files: {links:?}") };

    ines.go(first).await;
    assert!(ines.text().await.contains("0 of "), "{}", ines.text().await);
    ines.key_down('v', false).await;
    ines.until(TICKED, "v ticks the file").await;
    let viewed = "document.querySelector('[data-viewed]').textContent.startsWith('1 of ')";
    ines.until(viewed, "and counts it").await;
    ines.key_down('v', true).await;
    tokio::time::sleep(HELD).await;
    assert_eq!(ines.evaluate(TICKED).await, json!(true), "held, it was not unticked");
    ines.key_up('v').await;
    ines.go(first).await;
    assert_eq!(ines.evaluate(TICKED).await, json!(true), "the gateway kept it");

    // The key is down while the next page comes, and comes again there.
    ines.key_down('n', false).await;
    until_at(&ines, second).await;
    for _ in 0..2 {
        ines.key_down('n', true).await;
    }
    tokio::time::sleep(HELD).await;
    assert_eq!(&ines.url().await, second, "nobody read what comes after it");
    ines.key_up('n').await;
    ines.key_down('p', false).await;
    ines.key_up('p').await;
    until_at(&ines, first).await;
    let violations = ines.axe().await;
    assert!(violations.is_empty(), "{violations:?}");
    ines.close().await;
}
