//! Sessions as people see them: where one is signed in, ending that, and sessions for reading
//! (S1, S10).

use countersign::domain::event::Actor;
use countersign::domain::ids::PersonId;
use countersign::domain::roster::Role;
use countersign::pipeline::signin::Session;
use countersign::pipeline::{people, sessions};
use countersign::store::Store;
use secrecy::ExposeSecret as _;

use crate::support::database::on_both;
use crate::support::setup::invited;
use crate::support::site::{Browser, Site};

const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1";

async fn person(store: &Store, name: &str) -> PersonId {
    store.snapshot().await.unwrap().person_named(name).await.unwrap().unwrap().id
}

async fn of(site: &Site, person: PersonId) -> Vec<Session> {
    sessions::mine(&site.app.store, person, site.app.clock.now()).await.unwrap()
}

/// A maintainer in a browser of her own.
async fn mara(site: &Site) -> (Browser, PersonId) {
    let (store, now) = (&site.app.store, site.app.clock.now());
    let by = Actor::Person(person(store, "Ines Duarte").await);
    let name = "Mara Lindqvist".to_owned();
    let added = people::add_and_invite(store, now, by, name, Role::Maintainer).await.unwrap();
    let invited = invited(added);
    let mut browser = site.browser(3);
    browser.enrol(invited.token.expose_secret()).await.ok();
    browser.read_csrf().await;
    (browser, invited.person)
}

/// Somebody signs in a second time, on a phone.
async fn phone(browser: &mut Browser) -> Browser {
    let mut phone = browser.elsewhere();
    let answer = phone.answer("/login", &serde_json::json!({})).await;
    let origin = phone.origin.clone();
    let headers =
        [("origin", origin.as_str()), ("content-type", "application/json"), ("user-agent", SAFARI)];
    let path = "/login/finish";
    phone.send(reqwest::Method::POST, path, &headers, answer.to_string()).await.ok();
    phone.read_csrf().await;
    browser.authenticator = phone.authenticator.clone();
    phone
}

/// Rule S1: where, when, last used; and one of them can be ended, by its owner alone.
#[tokio::test]
async fn people_see_where_they_are_signed_in_and_end_one() {
    on_both(|store: Store| async move {
        let (site, mut ines) = Site::claimed(store.clone()).await;
        let mut phone = phone(&mut ines).await;
        let (mut mara, _) = mara(&site).await;
        let own = person(&store, "Ines Duarte").await;
        let page = ines.get("/me/keys", "text/html").await.ok().text;
        assert!(page.contains("Safari on iOS"), "where");
        assert!(page.contains("Opened with “First”"), "by which key");
        assert!(page.contains("An unknown browser"), "this one, which does not say");
        let on_phone = of(&site, own).await;
        let on_phone = on_phone.iter().find(|session| session.browser == "Safari on iOS").unwrap();
        let path = format!("/me/sessions/{}/end", on_phone.id);
        mara.post_form(&path, &[]).await.problem(404, "not-found");
        assert!(phone.read_csrf().await, "not hers to end");
        assert_eq!(ines.post_form(&path, &[]).await.location(), "/me/keys");
        assert!(!phone.read_csrf().await);
        assert!(ines.read_csrf().await);
        ines.post_form(&path, &[]).await.problem(404, "not-found");
        assert_eq!(of(&site, own).await.len(), 1);
    })
    .await;
}

/// Rule S1.
#[tokio::test]
async fn all_other_sessions_of_ones_own_end_at_once() {
    on_both(|store: Store| async move {
        let (site, mut ines) = Site::claimed(store.clone()).await;
        let mut phone = phone(&mut ines).await;
        let (mut mara, _) = mara(&site).await;
        phone.post_form("/me/sessions/end-others", &[]).await.ok();
        assert!(phone.read_csrf().await && mara.read_csrf().await);
        assert!(!ines.read_csrf().await);
    })
    .await;
}

/// It takes away and gives nothing, so an owner does it alone.
#[tokio::test]
async fn owners_end_somebodys_sessions_and_nobody_else_does() {
    on_both(|store: Store| async move {
        let (site, mut ines) = Site::claimed(store.clone()).await;
        let (mut mara, id) = mara(&site).await;
        let own = person(&store, "Ines Duarte").await;
        let path = |id| format!("/people/{id}/sessions/end");
        mara.post_form(&path(own), &[]).await.problem(403, "forbidden");
        assert!(ines.read_csrf().await);
        ines.post_form(&path(id), &[]).await.ok();
        assert!(!mara.read_csrf().await);
        mara.csrf = None;
        mara.sign_in().await.ok();
    })
    .await;
}
