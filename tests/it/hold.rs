//! Hold (ruling Q10): a session pauses a release, a signed decision or its author ends that.

use countersign::domain::authorise::{NotAuthorised, authorise};
use countersign::domain::event::Event;
use countersign::domain::ids::ReleaseId;
use countersign::domain::release::State;
use countersign::store::Store;
use countersign::workers::sweep_once;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::database::on_both;
use crate::support::gateway::{TestGateway, WHEEL};
use crate::support::pypi_registry::{PypiRegistry, Style};
use crate::support::setup::count;
use crate::support::site::{Answered, Browser};

const HTML: &str = "text/html,application/xhtml+xml";

/// A gateway with one sealed release, and both people who may sign it.
struct World {
    gateway: TestGateway,
    release: String,
    ines: Browser,
    mara: Browser,
}

impl World {
    async fn start(store: Store, index: Option<&PypiRegistry>) -> Self {
        let gateway = TestGateway::on(store, index).await;
        let mut mara = gateway.person("Mara Lindqvist", 2).await;
        let mut ines = gateway.owner.clone();
        gateway.site.found(&mut ines, &mut mara).await;
        let release = gateway.stage("one").await;
        Self { gateway, release, ines, mara }
    }

    fn at(&self, act: &str) -> String {
        format!("/releases/{}/{act}", self.release)
    }

    fn id(&self) -> ReleaseId {
        self.release.parse().unwrap()
    }

    async fn state(&self) -> State {
        let mut tx = self.gateway.site.app.store.snapshot().await.unwrap();
        tx.release(self.id()).await.unwrap().unwrap().state
    }

    /// What the API says of it.
    async fn seen(&self) -> Value {
        let target = format!("GET /api/v1/releases/{}", self.release);
        self.gateway.as_owner(&target).await.json()
    }

    /// Kinds of entries about the release, in order.
    async fn log(&self) -> Vec<Event> {
        let mut tx = self.gateway.site.app.store.snapshot().await.unwrap();
        let log = tx.log_for_release(self.id()).await.unwrap();
        let about = log.into_iter().filter(|entry| entry.event.release() == Some(self.id()));
        about.map(|entry| entry.event).collect()
    }

    async fn is_authorised(&self) -> Result<(), NotAuthorised> {
        let mut tx = self.gateway.site.app.store.snapshot().await.unwrap();
        let log = tx.log_for_release(self.id()).await.unwrap();
        {
            let app = &self.gateway.site.app;
            authorise(&log, app.trust(), self.id(), app.clock.now())
        }
        .map(|_| ())
    }
}

/// The hold that a page shows, as its form sends it.
fn shown(page: &str) -> Option<&str> {
    page.split("name=\"hold\" value=\"").nth(1)?.split('"').next()
}

async fn approve(browser: &mut Browser, base: &str) -> Answered {
    let page = browser.get(base.strip_suffix("/approve").unwrap(), HTML).await;
    let fields = json!({ "note": "", "hold": shown(&page.text) });
    let answer = browser.answer(base, &fields).await;
    browser.post_json(&format!("{base}/finish"), &answer).await
}

#[tokio::test]
async fn a_hold_is_seen_by_all_and_ended_by_the_next_approval_on_a_page_that_shows_it() {
    on_both(async |store| {
        let mut world = World::start(store, None).await;
        let (hold, approval) = (world.at("hold"), world.at("approve"));
        let answer = world.ines.post_form(&hold, &[("note", " Wait for the changelog ")]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let page = world.mara.get(answer.location(), HTML).await.text;
        for words in ["On hold", "Ines Duarte put this release on hold", "Wait for the changelog"] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(!page.contains("Take the hold back"), "it is not hers");
        assert!(world.ines.get(answer.location(), HTML).await.text.contains("Take the hold back"));
        let list = world.gateway.as_owner("GET /api/v1/releases").await.json();
        assert_eq!(list["releases"][0]["on_hold"], true);
        let seen = world.seen().await;
        assert_eq!(seen["hold"]["person"], "Ines Duarte");
        assert_eq!(seen["hold"]["note"], "Wait for the changelog");
        assert_eq!(
            (seen["you_may_hold"].clone(), seen["state"].clone()),
            (json!(false), json!("awaiting"))
        );

        // A page from before the hold does not end it, nor does one that shows another.
        for other in [json!({}), json!({ "hold": "1" }), json!({ "hold": "no number" })] {
            let begun = world.mara.post_json(&format!("{approval}/begin"), &other).await;
            begun.problem(409, "conflict");
        }
        assert_eq!(count(&world.gateway.site.app.store, "ceremonies").await, 0);

        approve(&mut world.mara, &approval).await.ok();
        let seen = world.seen().await;
        assert_eq!(seen["hold"], Value::Null);
        assert_eq!(seen["approvals"]["counted"], 1);
        assert_eq!(seen["approvals"]["missing"]["words"], "1 more approval");
        let log = world.log().await;
        let [
            ..,
            Event::ReleaseHeld { by, note, .. },
            Event::Decided { .. },
            Event::ReleaseResumed { by: ended, .. },
        ] = log.as_slice()
        else {
            panic!("{log:?}")
        };
        assert_eq!(note.as_deref(), Some("Wait for the changelog"));
        assert_ne!(by, ended);
    })
    .await;
}

#[tokio::test]
async fn a_hold_keeps_approved_bytes_back_until_its_author_takes_it_back() {
    on_both(async |store| {
        let index = PypiRegistry::start(crate::support::gateway::INDEX_PASSWORD, Style::Json).await;
        let mut world = World::start(store, Some(&index)).await;
        let approval = world.at("approve");
        approve(&mut world.ines, &approval).await.ok();
        approve(&mut world.mara, &approval).await.ok();
        assert_eq!(world.state().await, State::Approved);
        assert_eq!(world.is_authorised().await, Ok(()));
        world.mara.post_form(&world.at("hold"), &[]).await.ok();
        assert!(matches!(world.is_authorised().await, Err(NotAuthorised::Held(_))));

        assert!(world.gateway.forward().await, "the job is looked at");
        assert_eq!((world.state().await, index.count()), (State::Approved, 0));
        assert!(!world.gateway.forward().await, "and not again at once");
        world.ines.post_form(&world.at("resume"), &[]).await.problem(403, "forbidden");
        assert!(world.log().await.iter().all(|event| event.kind() != "release_resumed"));

        world.mara.post_form(&world.at("resume"), &[]).await.ok();
        world.mara.post_form(&world.at("resume"), &[]).await.problem(409, "conflict");
        assert!(world.gateway.forward().await, "the job does not wait any longer");
        assert_eq!((world.state().await, index.count()), (State::Published, 1));
        assert!(index.file(WHEEL).is_some());
        world.mara.post_form(&world.at("hold"), &[]).await.problem(410, "gone");
    })
    .await;
}

#[tokio::test]
async fn a_hold_that_comes_while_a_prompt_is_open_makes_that_approval_void() {
    on_both(async |store| {
        let mut world = World::start(store, None).await;
        let approval = world.at("approve");
        let answer = world.mara.answer(&approval, &json!({})).await;
        world.ines.post_form(&world.at("hold"), &[]).await.ok();
        let finished = world.mara.post_json(&format!("{approval}/finish"), &answer).await;
        finished.problem(409, "conflict");
        assert_eq!(count(&world.gateway.site.app.store, "decisions").await, 0);
        assert_eq!(world.seen().await["hold"]["person"], "Ines Duarte");
    })
    .await;
}

#[tokio::test]
async fn a_held_release_can_be_rejected_and_expires() {
    on_both(async |store| {
        let mut world = World::start(store, None).await;
        world.mara.post_form(&world.at("hold"), &[]).await.ok();
        let rejection = world.at("reject");
        let answer = world.ines.answer(&rejection, &json!({ "reason": "Not this one" })).await;
        world.ines.post_json(&format!("{rejection}/finish"), &answer).await.ok();
        assert_eq!(world.state().await, State::Rejected);
        world.mara.post_form(&world.at("resume"), &[]).await.problem(403, "forbidden");

        world.release = world.gateway.stage("two").await;
        world.mara.post_form(&world.at("hold"), &[]).await.ok();
        world.gateway.site.app.clock.advance(SignedDuration::from_hours(24 * 15));
        sweep_once(&world.gateway.site.app).await.unwrap();
        assert_eq!(world.state().await, State::Expired);
    })
    .await;
}

#[tokio::test]
async fn only_people_who_sign_hold_once_and_with_few_words() {
    on_both(async |store| {
        let mut world = World::start(store, None).await;
        let mut vera = world.gateway.person("Vera Oduya", 3).await;
        let before = world.log().await.len();
        let hold = world.at("hold");
        vera.post_form(&hold, &[]).await.problem(403, "forbidden");
        let page = vera.get(hold.strip_suffix("/hold").unwrap(), HTML).await;
        assert!(page.status == 200 && !page.text.contains(&hold), "{}", page.text);
        world.gateway.site.browser(9).post_form(&hold, &[]).await.problem(401, "not-authenticated");
        let long = "x".repeat(1_001);
        world.ines.post_form(&hold, &[("note", &*long)]).await.problem(400, "bad-input");
        assert_eq!(world.log().await.len(), before);
        world.ines.post_form(&hold, &[]).await.ok();
        world.mara.post_form(&hold, &[]).await.problem(409, "conflict");
        assert_eq!(world.log().await.len(), before + 1);
    })
    .await;
}
