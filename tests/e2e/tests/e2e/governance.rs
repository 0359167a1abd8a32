//! How an installation changes, in browsers: founded by two, changed by what they sign, stopped by one of them.

use std::time::Duration;

use countersign_e2e::browser::Browser;
use countersign_e2e::gateway::Settings;
use countersign_e2e::world::{INES, MARA, World};

use crate::release_walk::until_page_says;

/// Long enough for a forwarder or a sweep that does what it must not.
const WORKER_TIME: Duration = Duration::from_secs(3);

async fn says(browser: &Browser, page: &str, words: &str) {
    browser.go(page).await;
    let text = browser.text().await;
    assert!(text.contains(words), "{page} does not say {words:?}:\n{text}");
}

/// Both sign a proposal; the page says what became of it.
async fn both_sign(people: [&Browser; 2], proposal: &str) {
    for person in people {
        assert_eq!(person.sign(proposal).await, Ok(()));
    }
}

/// Rulings Q19, Q21: two approvals wait for the founding and go out by themselves after it. The recovery secret is on
/// one page and on no other.
#[tokio::test]
async fn nothing_goes_out_before_two_people_founded_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    let (ines, mara) = (world.enrol(INES).await, world.enrol(MARA).await);
    let npm = world.submit_npm().await;
    for person in [&ines, &mara] {
        assert_eq!(person.approve(&npm.link).await, Ok(()));
    }
    tokio::time::sleep(WORKER_TIME).await;
    assert!(!world.npm_is_published().await, "it was sent before the founding");
    says(&mara, &npm.link, "Set-up is not finished").await;

    let secret = world.found(&ines, &mara).await;
    until_page_says(&mara, &npm.link, "Published").await;
    assert!(world.npm_is_published().await);
    let page = format!("{}/founding", world.gateway.origin);
    for person in [&ines, &mara] {
        says(person, &page, "Pinned beside the database").await;
        assert!(!person.text().await.contains(&secret), "the secret is shown again");
    }
}

/// Decision D5, rule A7: an owner proposes; a quorum and, for what loosens, a day decide; one objection ends it.
#[tokio::test]
async fn what_an_owner_changes_the_others_sign_or_object_to() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    let origin = world.gateway.origin.clone();
    let (ines, mara) = (world.enrol(INES).await, world.enrol(MARA).await);
    world.found(&ines, &mara).await;

    // A new policy takes the quorum.
    ines.go(&format!("{origin}/policies/new")).await;
    ines.fill("#name", "Hotfix").await;
    let everybody =
        "document.querySelectorAll('input[name=people]').forEach(box => { box.checked = true })";
    ines.evaluate(everybody).await;
    // The button after "Check".
    assert_eq!(ines.press("main form .actions button +").await, Ok(()));
    let policy = ines.url().await;
    assert!(policy.contains("/proposals/"), "{policy}");
    says(&ines, &format!("{origin}/policies"), "Two people").await;
    assert!(!ines.text().await.contains("Hotfix"), "it is in force before anybody signed");
    both_sign([&ines, &mara], &policy).await;
    says(&mara, &policy, "In force").await;
    says(&mara, &format!("{origin}/policies"), "Hotfix").await;

    // A new person takes the delay besides, everybody is told, and one objection ends it.
    ines.go(&format!("{origin}/people/invite")).await;
    ines.fill("#name", "Dana Ortiz").await;
    assert_eq!(ines.press("main form[method=post]").await, Ok(()));
    let person = ines.url().await;
    says(&mara, &origin, "One change is waiting for you").await;
    both_sign([&mara, &ines], &person).await;
    says(&mara, &person, "unless somebody objects").await;
    says(&mara, &origin, ": Dana Ortiz joins as a maintainer").await;
    mara.go(&format!("{person}/object")).await;
    mara.fill("[name=reason]", "nobody told me about her").await;
    assert_eq!(mara.ceremony("form[action$='/object']").await, Ok(()));
    says(&ines, &person, "nobody told me about her").await;
    says(&ines, &person, "Rejected").await;
    ines.go(&format!("{origin}/people")).await;
    assert!(!ines.text().await.contains("Dana Ortiz"));

    // Whoever proposed something takes it back.
    ines.go(&format!("{origin}/people/invite")).await;
    ines.fill("#name", "Dana Ortiz").await;
    assert_eq!(ines.press("main form[method=post]").await, Ok(()));
    let again = ines.url().await;
    assert_eq!(ines.press("form[action$='/withdraw']").await, Ok(()));
    says(&mara, &again, "Taken back").await;
}

/// Rule A17: one person stops everything at once; to go on takes two and a day.
#[tokio::test]
async fn one_person_freezes_everything_and_two_cannot_go_on_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), &Settings::default()).await;
    let origin = world.gateway.origin.clone();
    let (ines, mara) = (world.enrol(INES).await, world.enrol(MARA).await);
    world.found(&ines, &mara).await;
    let npm = world.submit_npm().await;

    mara.go(&format!("{origin}/freeze")).await;
    mara.fill("#why-everything", "a token of ours is on a paste site").await;
    assert_eq!(mara.ceremony("form[action='/freeze/everything']").await, Ok(()));
    says(&ines, &origin, "Releases are frozen").await;
    says(&ines, &format!("{origin}/freeze"), "a token of ours is on a paste site").await;
    for person in [&ines, &mara] {
        assert_eq!(person.approve(&npm.link).await, Ok(()));
    }
    says(&mara, &npm.link, "Frozen").await;

    ines.go(&format!("{origin}/freeze")).await;
    ines.evaluate("document.querySelector('details').open = true").await;
    ines.fill("#end-1", "it was revoked").await;
    assert_eq!(ines.press("form[action='/freeze/end']").await, Ok(()));
    let go_on = ines.url().await;
    both_sign([&ines, &mara], &go_on).await;
    says(&mara, &go_on, "unless somebody objects").await;
    tokio::time::sleep(WORKER_TIME).await;
    assert!(!world.npm_is_published().await, "it was sent while everything is frozen");
    says(&mara, &origin, "Releases are frozen").await;
}
