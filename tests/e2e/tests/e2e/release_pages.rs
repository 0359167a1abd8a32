//! Every page of the running product, signed in and not, through axe in three looks, with a picture of each under
//! `target/screenshots`.

use std::path::PathBuf;

use countersign_e2e::browser::{Browser, Look};
use countersign_e2e::gateway::{Gateway, Settings};
use countersign_e2e::tools;
use countersign_e2e::world::{INES, JUN, MARA, World};

use crate::release_walk::until_page_says;

const LOOKS: [(Look, &str); 3] =
    [(Look::Light, "light"), (Look::Dark, "dark"), (Look::Phone, "phone")];

/// What was wrong, of all pages: one run names everything.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    async fn look_at(&mut self, browser: &Browser, name: &str, url: &str, words: &str) {
        browser.go(url).await;
        let text = browser.text().await;
        if !text.contains(words) {
            self.0.push(format!("{name} does not say {words:?}:\n{text}"));
        }
        for (look, suffix) in LOOKS {
            browser.wear(look).await;
            for violation in browser.axe().await {
                self.0.push(format!("{name} {suffix}: {violation:?}"));
            }
            browser.screenshot(look, &picture(name, suffix)).await;
        }
        if browser.overflows_on_a_phone().await {
            self.0.push(format!("{name} is wider than a phone"));
        }
    }
}

fn picture(name: &str, suffix: &str) -> PathBuf {
    tools::checkout().join(format!("target/screenshots/{name}-{suffix}.png"))
}

/// The first link of the open page that `selector` names.
async fn link(browser: &Browser, selector: &str) -> String {
    let script = format!("document.querySelector({})?.href", serde_json::json!(selector));
    let found = browser.evaluate(&script).await;
    match found.as_str() {
        Some(link) => link.to_string(),
        None => panic!("no {selector} on {}:\n{}", browser.url().await, browser.text().await),
    }
}

/// The pages on which things are looked up and set up.
async fn set_up_pages(findings: &mut Findings, ines: &Browser, origin: &str) {
    let pages = [
        ("inbox", "/", "hello-wire"),
        ("releases", "/releases", "hello-wire"),
        ("packages", "/packages", "hello-wire"),
        ("package-new", "/packages/new", "package"),
        ("policies", "/policies", "Two people"),
        ("policy-new", "/policies/new", "policy"),
        ("registries", "/registries", "Local npm"),
        ("registry-new", "/registries/new", "registry"),
        ("issuer-new", "/issuers/new", "issuer"),
        ("people", "/people", MARA),
        ("person-invite", "/people/invite", "nvite"),
        ("identity-new", "/people/identities/new", ""),
        ("keys", "/me/keys", "My keys"),
        ("health", "/health-page", ""),
        ("problem", "/nowhere", "nothing at this address"),
        ("problem-id", "/releases/none", "nothing at this address"),
    ];
    for (name, path, words) in pages {
        findings.look_at(ines, name, &format!("{origin}{path}"), words).await;
    }
    ines.go(&format!("{origin}/packages")).await;
    let package = link(ines, "th a[href^='/packages/']").await;
    findings.look_at(ines, "package", &package, "hello-wire").await;
    let publisher = format!("{package}/publishers/new");
    findings.look_at(ines, "publisher-new", &publisher, "ublisher").await;
    ines.go(&format!("{origin}/policies")).await;
    let policy = link(ines, "h2 a[href^='/policies/']").await;
    findings.look_at(ines, "policy", &policy, "Two people").await;
    findings.look_at(ines, "policy-edit", &format!("{policy}/edit"), "Two people").await;
}

/// The founding, step by step.
async fn found(findings: &mut Findings, world: &World, (ines, mara): (&Browser, &Browser)) {
    let page = format!("{}/founding", world.gateway.origin);
    findings.look_at(ines, "founding-new", &page, "Put it before the founders").await;
    ines.plain().await;
    world.found(ines, mara).await;
    findings.look_at(mara, "founding-founded", &page, "Pinned beside the database").await;
}

/// A change that waits, and a freeze.
async fn govern(findings: &mut Findings, (ines, mara): (&Browser, &Browser), origin: &str) {
    ines.go(&format!("{origin}/policies")).await;
    let edit = format!("{}/edit", link(ines, "h2 a[href^='/policies/']").await);
    findings.look_at(ines, "policy-propose", &edit, "Propose change").await;
    ines.plain().await;
    ines.go(&edit).await;
    ines.fill("#required", "1").await;
    ines.fill("#reason", "the others are at a conference").await;
    assert_eq!(ines.press("main form .actions button +").await, Ok(()));
    let proposal = ines.url().await;
    findings.look_at(mara, "proposal", &proposal, "Loosens").await;
    findings.look_at(mara, "proposal-object", &format!("{proposal}/object"), "Why").await;
    findings.look_at(mara, "proposals", &format!("{origin}/proposals"), "waiting").await;
    findings.look_at(mara, "inbox-proposal", origin, "One change is waiting for you").await;
    findings.look_at(mara, "freeze", &format!("{origin}/freeze"), "Freeze everything").await;
    mara.plain().await;
    mara.go(&format!("{origin}/freeze")).await;
    assert_eq!(mara.ceremony("form[action='/freeze/everything']").await, Ok(()));
    findings.look_at(ines, "freeze-frozen", &format!("{origin}/freeze"), "Frozen now").await;
    findings.look_at(ines, "inbox-frozen", origin, "Releases are frozen").await;
}

#[tokio::test]
async fn every_page_has_no_axe_violation_in_any_look_and_fits_a_phone() {
    let dir = tempfile::tempdir().unwrap();
    let mut findings = Findings::default();

    let fresh = Gateway::start(&dir.path().join("fresh"), &Settings::default()).await;
    let world = World::start(dir.path(), &Settings::default()).await;
    let origin = world.gateway.origin.clone();
    let stranger = Browser::open().await;
    findings.look_at(&stranger, "setup", &format!("{}/setup", fresh.origin), "claim").await;
    findings.look_at(&stranger, "unclaimed", &fresh.origin, "Countersign").await;
    findings.look_at(&stranger, "login", &format!("{origin}/login"), "passkey").await;
    findings.look_at(&stranger, "invite", world.invite(JUN), JUN).await;
    let gone = format!("{origin}/invite/{}", "a".repeat(43));
    findings.look_at(&stranger, "invite-gone", &gone, "").await;
    stranger.close().await;
    drop(fresh);

    let ines = world.enrol(INES).await;
    findings.look_at(&ines, "inbox-empty", &format!("{origin}/"), "").await;
    let npm = world.submit_npm().await.link;
    // Something to look at, besides the ordinary.
    world.issuer.set("ref_protected", serde_json::json!("false"));
    let python = world.submit_python().await.link;
    for release in [&npm, &python] {
        ines.review(release).await;
    }
    findings.look_at(&ines, "release", &python, "not started from a protected ref").await;
    let contents = link(&ines, "a[href$='/contents']").await;
    findings.look_at(&ines, "contents", &contents, "SHA-256").await;
    findings.look_at(&ines, "reject", &format!("{python}/reject"), "Why").await;

    set_up_pages(&mut findings, &ines, &origin).await;

    assert_eq!(ines.approve(&npm).await, Ok(()));
    findings.look_at(&ines, "release-signed", &npm, "You approved").await;
    assert_eq!(ines.approve(&python).await, Ok(()));
    let mara = world.enrol(MARA).await;
    found(&mut findings, &world, (&ines, &mara)).await;
    findings.look_at(&mara, "release-second", &python, "Needs 1 more approval").await;
    mara.go(&python).await;
    for (look, suffix) in [LOOKS[0], LOOKS[1]] {
        mara.fold(look, &picture("readme", suffix)).await;
    }
    findings.look_at(&mara, "inbox-second", &origin, "hello-wire").await;
    assert_eq!(mara.reject(&python, "the changelog names another version").await, Ok(()));
    findings.look_at(&mara, "release-rejected", &python, "Rejected").await;
    assert_eq!(mara.approve(&npm).await, Ok(()));
    mara.go(&npm).await;
    until_page_says(&mara, &npm, "Published").await;
    findings.look_at(&mara, "release-published", &npm, "Ines Duarte and you approved").await;
    findings.look_at(&mara, "evidence", &format!("{npm}/evidence"), "Who approved it").await;
    findings.look_at(&mara, "inbox-decided", &origin, "the changelog names another version").await;

    govern(&mut findings, (&ines, &mara), &origin).await;

    // The two instruments work on these pages: they see what is broken on purpose.
    mara.go(&origin).await;
    let broken = "document.documentElement.removeAttribute('lang'); \
        document.querySelector('h1').style.width = '900px'; \
        document.querySelector('h1').style.maxWidth = 'none'";
    mara.evaluate(broken).await;
    assert!(mara.axe().await.iter().any(|violation| violation.id == "html-has-lang"));
    assert!(mara.overflows_on_a_phone().await);

    let Findings(found) = findings;
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}
