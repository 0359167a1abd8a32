//! What somebody ticked while reading a release: theirs alone, by content, and nothing else (A15, S2).

use countersign::domain::ids::ReleaseId;
use countersign::domain::review::report::{Gathered, Report};
use countersign::pipeline::{inspection, review};
use countersign::store::Store;
use reqwest::Method;

use crate::files::compared_on;
use crate::support::database::{on_both, sqlite};
use crate::support::house::{House, Visitor};
use crate::support::setup::count;
use crate::support::site::{Answered, Browser};
use crate::support::world::World;

async fn list(browser: &Browser, release: ReleaseId) -> String {
    let path = format!("/releases/{release}/files");
    browser.clone().get(&path, "text/html").await.ok().text
}

/// What the button of a file in the list says to the server.
fn difference(list: &str, file: &str) -> String {
    let row = list.split("<tr id=").find(|row| row.contains(file)).expect(file);
    let value = row.split("value=\"").nth(1).expect("a button");
    value[..64].to_owned()
}

async fn tick(browser: &mut Browser, release: ReleaseId, fields: &[(&str, &str)]) -> Answered {
    browser.post_form(&format!("/releases/{release}/viewed"), fields).await
}

#[tokio::test]
async fn what_somebody_ticked_is_theirs_and_stays_when_the_release_is_inspected_again() {
    on_both(|store: Store| async move {
        let (world, release) = compared_on(store.clone()).await;
        let (mut ines, mut mara) = (world.ines.clone(), world.mara.clone());
        let page = list(&ines, release).await;
        assert!(page.contains("0 of 2 viewed"), "package.json and index.js: {page}");
        let module = difference(&page, "index.js");
        for _ in 0..2 {
            let answer = tick(&mut ines, release, &[("viewed", &module)]).await;
            let row = format!("/releases/{release}/files#f0-{}", &module[..16]);
            assert_eq!((answer.status.as_u16(), answer.location()), (303, row.as_str()));
            assert_eq!(count(&store, "viewed").await, 1);
        }
        let page = list(&ines, release).await;
        assert!(page.contains("1 of 2 viewed") && page.contains("aria-pressed=\"true\""), "{page}");
        let front = ines.get(&format!("/releases/{release}"), "text/html").await.ok().text;
        assert!(front.contains("1 of 2 viewed"), "{front}");
        assert!(list(&mara, release).await.contains("0 of 2 viewed"), "nobody else's");

        again(&world, release).await;
        assert!(list(&ines, release).await.contains("1 of 2 viewed"), "the same is to be read");

        let back = [("unviewed", module.as_str()), ("back", "file")];
        let answer = tick(&mut ines, release, &back).await;
        assert!(answer.location().ends_with("/diff?path=index.js"), "{answer:?}");
        assert_eq!(count(&store, "viewed").await, 0);
        tick(&mut mara, release, &[("unviewed", &module)]).await.ok();
    })
    .await;
}

/// Another inspection with the same baseline.
async fn again(world: &World, release: ReleaseId) {
    let (store, now) = (world.store(), world.now());
    let ines = world.person("Ines Duarte").await;
    let shown = review::release(store, release, ines, now).await.unwrap();
    let manifest = shown.record.seal.unwrap().manifest;
    let artifacts = shown.report.unwrap().artifacts;
    let not_checked = vec!["this time nobody looked at the source".to_owned()];
    let gathered = Gathered { artifacts, not_checked, ..Gathered::default() };
    let report = Report::new(&manifest, gathered, None);
    assert!(inspection::record(store, report, None, now).await.unwrap());
}

/// S2, A15: only what is in the release is ticked, by its own page, and nothing else is stored.
#[tokio::test]
async fn what_is_not_in_the_release_is_not_ticked() {
    on_both(|store: Store| async move {
        let (world, release) = compared_on(store.clone()).await;
        let mut ines = world.ines.clone();
        let unlisted = tick(&mut ines, release, &[("viewed", &"0".repeat(64))]).await;
        unlisted.problem(409, "conflict");
        let module = difference(&list(&ines, release).await, "index.js");
        let nowhere = tick(&mut ines, release, &[("viewed", &"0".repeat(64))]).await;
        nowhere.problem(404, "not-found");
        for fields in
            [&[][..], &[("viewed", "index.js")], &[("viewed", &module), ("unviewed", &module)]]
        {
            tick(&mut ines, release, fields).await.problem(400, "bad-input");
        }
        let elsewhere = "01940000-0000-7000-8000-000000000000".parse().unwrap();
        tick(&mut ines, elsewhere, &[("viewed", &module)]).await.problem(404, "not-found");
        ines.csrf = Some("x".to_owned());
        tick(&mut ines, release, &[("viewed", &module)]).await.problem(403, "forbidden");
        let mut nobody = world.ines.elsewhere();
        tick(&mut nobody, release, &[("viewed", &module)]).await.problem(401, "not-authenticated");
        assert_eq!(count(&store, "viewed").await, 0);
    })
    .await;
}

/// A15: who reads may tick, whatever their role; a script gets words and no page.
#[tokio::test]
async fn a_viewer_ticks_for_themselves_and_a_script_is_answered_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(sqlite(folder.path()).await).await;
    let mut vera = house.browser(Visitor::Viewer);
    let module = difference(&list(&vera, house.release).await, "index.js");
    let (origin, csrf) = (vera.origin.clone(), vera.csrf.clone().unwrap());
    let headers = [
        ("origin", origin.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-fragment", "1"),
    ];
    let path = format!("/releases/{}/viewed", house.release);
    let body = format!("csrf={csrf}&back=list&viewed={module}");
    let answer = vera.send(Method::POST, &path, &headers, body).await.ok();
    assert_eq!((answer.text.trim(), &answer.headers["x-fragment"] == "1"), ("1 of 2 viewed", true));
    assert_eq!(count(house.world.store(), "viewed").await, 1);
}
