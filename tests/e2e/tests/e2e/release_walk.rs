//! The spine: CI stages with its normal clients, two people approve with passkeys, both registries hold exactly those
//! bytes, and nothing reaches them any earlier.

use std::path::PathBuf;
use std::time::Duration;

use countersign_e2e::gateway::Settings;
use countersign_e2e::world::{INES, MARA, NPM_NAME, PYTHON_NAME, VERSION, World};

const PUBLISH_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_release_walks_from_ci_through_two_approvals_to_both_registries() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    let (ines, mara) = (world.enrol(INES).await, world.enrol(MARA).await);
    world.found(&ines, &mara).await;

    let python = world.submit_python().await;
    let npm = world.submit_npm().await;
    assert_nothing_is_published(&world).await;

    for release in [&python, &npm] {
        assert_eq!(ines.approve(&release.link).await, Ok(()));
    }
    // Long enough for a forwarder that does not wait for the second person.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_nothing_is_published(&world).await;
    for release in [&python, &npm] {
        assert_eq!(mara.approve(&release.link).await, Ok(()));
    }
    world.until_published(PUBLISH_LIMIT).await;

    let tarball = world.npm.tarball(NPM_NAME, VERSION).await.unwrap();
    assert!(tarball == bytes(&npm.files[0]), "the npm registry holds other bytes than CI built");
    assert_eq!(python.files.len(), 2);
    for file in &python.files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let held = world.python.file(PYTHON_NAME, name).await.unwrap();
        assert!(
            held == bytes(file),
            "the Python registry holds other bytes of {name} than CI built"
        );
    }
    for release in [&python, &npm] {
        // The page is opened after the registry answered, so only the confirmation is awaited.
        until_page_says(&ines, &release.link, "Published").await;
    }
    ines.close().await;
    mara.close().await;
}

async fn assert_nothing_is_published(world: &World) {
    assert!(!world.npm_is_published().await, "npm holds it before the approvals");
    assert!(!world.python_is_published().await, "the index holds it before the approvals");
    let log = world.python.log();
    assert!(!log.contains("POST"), "something was sent to the Python registry:\n{log}");
    let log = world.npm.log();
    assert!(!log.contains("PUT, user: gateway"), "something was sent to the npm registry:\n{log}");
}

/// Loads a page again and again until it says something.
pub(crate) async fn until_page_says(
    browser: &countersign_e2e::browser::Browser,
    link: &str,
    words: &str,
) {
    for _ in 0..60 {
        browser.go(link).await;
        if browser.text().await.contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{link} does not say {words:?}:\n{}", browser.text().await);
}

fn bytes(file: &PathBuf) -> Vec<u8> {
    std::fs::read(file).unwrap()
}
