//! Governance by its pages: what is shown is what is signed, the brake, and packages that a change
//! would leave behind (A6, A7, A17).

use std::collections::BTreeSet;

use countersign::domain::event::Actor;
use countersign::domain::policy::{Group, PolicyDraft};
use countersign::domain::release::State;
use countersign::pipeline::setup;
use countersign::store::{Store, Tx};
use serde_json::{Value, json};

use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, nothing_sent, tamper};
use crate::support::setup::count;
use crate::support::site::Browser;

const HTML: &str = "text/html";

/// A browser of somebody at the desk.
fn browser(of: &Browser, person: &Person) -> Browser {
    let mut browser = of.clone();
    browser.authenticator = person.key.clone();
    browser
}

/// Ines proposes that one person is enough.
async fn loosen(desk: &Desk, ines: &Person) -> String {
    let (id, draft, now) = (desk.policy().await, desk.draft(1), desk.world.now());
    let by = Actor::Person(ines.id());
    let saved = setup::revise_policy(desk.store(), by, id, draft, now).await.unwrap();
    format!("/proposals/{}", saved.proposal.expect("a proposal"))
}

/// Every text and number in some JSON.
fn scalars(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|value| scalars(value, found)),
        Value::Array(items) => items.iter().for_each(|value| scalars(value, found)),
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Bool(_) | Value::Null => {}
    }
}

/// The statement of the one ceremony that is open.
async fn open_statement(store: &Store) -> Value {
    let sql = "select statement from ceremonies";
    let bytes: Vec<u8> = match &mut store.snapshot().await.unwrap() {
        Tx::Sqlite(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
        Tx::Postgres(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
    };
    serde_json::from_slice(&bytes).unwrap()
}

/// Begins to sign on a page, which has to show every value of what would be signed.
async fn shows_what_is_signed(store: &Store, reader: &mut Browser, page: &str) {
    tamper(store, "delete from ceremonies", &[]).await;
    let shown = reader.get(page, HTML).await.ok().text;
    reader.post_json(&format!("{page}/sign/begin"), &json!({})).await.ok();
    let mut signed = Vec::new();
    scalars(&open_statement(store).await, &mut signed);
    assert!(signed.len() > 20, "{signed:?}");
    for value in signed {
        assert!(shown.contains(&value), "{page} does not show {value}");
    }
}

/// Rule W5: what a person signs about a proposal or the founding is on the page they sign it on.
#[tokio::test]
async fn every_value_that_is_signed_is_on_the_page() {
    on_both(async |store: Store| {
        let (desk, [mut ines, mut mara, _]) = Desk::open(store.clone()).await;
        let mut reader = desk.world.mara.clone();
        desk.put_founding(ines.id()).await.unwrap();
        shows_what_is_signed(&store, &mut reader, "/founding").await;
        desk.found([&mut ines, &mut mara]).await;
        let proposal = loosen(&desk, &ines).await;
        shows_what_is_signed(&store, &mut reader, &proposal).await;
    })
    .await;
}

/// A change that waits for somebody in particular says so.
#[tokio::test]
async fn a_proposal_says_in_words_which_signatures_are_missing() {
    on_both(async |store: Store| {
        let (desk, [mut ines, _, mut jun]) = Desk::open(store.clone()).await;
        let people = BTreeSet::from([jun.id()]);
        let groups = vec![Group { name: "security".to_owned(), required: 1, people }];
        let (id, now) = (desk.policy().await, desk.world.now());
        let draft = PolicyDraft { groups, ..desk.draft(2) };
        setup::revise_policy(&store, Actor::Host, id, draft, now).await.unwrap();
        desk.found([&mut ines, &mut jun]).await;
        let proposal = loosen(&desk, &ines).await;
        let mut reader = desk.world.mara.clone();
        let shown = reader.get(&proposal, HTML).await.ok().text;
        assert!(shown.contains("Needs 2 more signatures, 1 from security"), "{shown}");
    })
    .await;
}

/// Rule A17: one touch freezes, a prompt that was closed is taken up again, every page says so, and
/// nothing is sent until people agreed to go on.
#[tokio::test]
async fn one_touch_freezes_everything_and_every_page_says_so() {
    on_both(async |store: Store| {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store.clone()).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        let mut brake = browser(&desk.world.mara, &mara);
        let why = json!({ "reason": "a token of ours is on a paste site" });
        for _ in 0..2 {
            brake.post_json("/freeze/everything/begin", &why).await.ok();
        }
        assert_eq!(count(&store, "proposals").await, 1, "one press more is the same freeze");
        let answer = brake.answer("/freeze/everything", &why).await;
        assert!(!brake.get("/releases", HTML).await.text.contains("Releases are frozen"));
        brake.post_json("/freeze/everything/finish", &answer).await.ok();
        assert_eq!(count(&store, "proposals").await, 1);

        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(desk.world.record(desk.release).await.state, State::Approved);
        let mut owner = desk.world.ines.clone();
        for page in ["/", "/releases", "/packages", "/policies", "/me/keys"] {
            let shown = owner.get(page, HTML).await.ok().text;
            assert!(shown.contains("Releases are frozen"), "{page}");
        }
        let shown = owner.get("/freeze", HTML).await.ok().text;
        assert!(shown.contains("a token of ours is on a paste site"), "{shown}");
        let end = [("scope", "everything"), ("reason", "it was revoked")];
        desk.world.mara.clone().post_form("/freeze/end", &end).await.problem(403, "forbidden");
        let proposed = owner.post_form("/freeze/end", &end).await;
        assert!(proposed.location().starts_with("/proposals/"), "{proposed:?}");
    })
    .await;
}

/// Rule A6: whoever proposes something that leaves packages behind is asked, and everybody who signs
/// it reads which.
#[tokio::test]
async fn a_change_that_leaves_packages_behind_is_proposed_when_that_is_said() {
    on_both(async |store: Store| {
        let (desk, [mut ines, mut mara, jun]) = Desk::open(store.clone()).await;
        let (owner, now) = (Actor::Person(ines.id()), desk.world.now());
        let members = BTreeSet::from([mara.id(), jun.id()]);
        let pair = PolicyDraft { name: "Without Ines".to_owned(), members, ..desk.draft(2) };
        let pair = setup::add_policy(&store, owner.clone(), pair, now).await.unwrap().value.id;
        let package = store.snapshot().await.unwrap().packages().await.unwrap().remove(0);
        setup::set_package_policy(&store, owner, package.id, pair, now).await.unwrap();
        desk.found([&mut ines, &mut mara]).await;

        let mut owner = desk.world.ines.clone();
        let leave = format!("/people/{}/leave", jun.id());
        let asked = owner.post_form(&leave, &[("reason", "a new job")]).await;
        assert_eq!(asked.status, 409);
        assert!(asked.text.contains(package.name.as_str()), "{}", asked.text);
        assert!(asked.text.contains("name=\"leaves_unreleasable\""), "{}", asked.text);
        assert!(asked.text.contains("name=\"reason\" value=\"a new job\""), "{}", asked.text);
        assert_eq!(count(&store, "proposals").await, 0);

        let said = [("reason", "a new job"), ("leaves_unreleasable", "true")];
        let proposed = owner.post_form(&leave, &said).await;
        let page = desk.world.mara.clone().get(proposed.location(), HTML).await.ok().text;
        assert!(page.contains("Nobody could release these packages any more"), "{page}");
        assert!(page.contains(package.name.as_str()) && page.contains("a new job"), "{page}");
    })
    .await;
}
