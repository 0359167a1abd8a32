//! Signals that change nothing: two signatures from one place (W19), two people's keys from one
//! browser (Q21).

use countersign::domain::assertion::CredentialId;
use countersign::domain::event::{Actor, Event};
use countersign::domain::governed::Governed;
use countersign::domain::ids::PersonId;
use countersign::domain::place::PlaceKey;
use countersign::domain::quorum::Verdict::Approve;
use countersign::domain::release::State;
use countersign::domain::roster::Role;
use countersign::pipeline::people;
use countersign::store::Store;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use crate::support::authenticator::Authenticator;
use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, tamper};
use crate::support::setup::invited;
use crate::support::site::Site;

const HTML: &str = "text/html";
const SAID: &str = "Two signatures within 60 s from one place";

/// Two people approve, so long after each other, from these addresses and with keys of so many
/// models; whether the page and the API then say that they may be one.
async fn pointed_out(store: Store, apart: i64, addresses: [Option<&str>; 2], models: u64) -> bool {
    let (desk, [mut ines, mut mara, _]) = Desk::open(store.clone()).await;
    if models == 2 {
        let sql = "update passkeys set aaguid = $1 where person_id = $2";
        assert_eq!(tamper(&store, sql, &[&[9; 16], mara.id().as_bytes()]).await, 1);
    }
    let key = PlaceKey::of(&[7; 32]);
    let at = |person: &mut Person, address: Option<&str>| {
        person.signer.place = address.map(|text| key.place(text.parse().unwrap()));
    };
    at(&mut ines, addresses[0]);
    at(&mut mara, addresses[1]);
    desk.decide(&mut ines, desk.release, Approve).await.unwrap();
    desk.world.pass(SignedDuration::from_secs(apart));
    let decided = desk.decide(&mut mara, desk.release, Approve).await.unwrap();
    assert_eq!(decided.state, State::Approved, "it changes nothing");
    let mut reader = desk.world.ines.clone();
    let page = reader.get(&format!("/releases/{}", desk.release), HTML).await.ok().text;
    let api = format!("/api/v1/releases/{}", desk.release);
    let api = reader.get(&api, "application/json").await.ok().json();
    let said = page.contains(SAID);
    assert_eq!(page.contains("within 60 s and from one place with Ines Duarte"), said);
    let with = &api["decisions"][1]["from_one_place_with"];
    let expected = if said { vec![ines.id().to_string()] } else { Vec::new() };
    assert_eq!(*with, serde_json::json!(expected));
    assert_eq!(api["decisions"][0]["from_one_place_with"], serde_json::json!([]));
    said
}

/// Rule W19.
#[tokio::test]
async fn two_quick_approvals_from_one_place_are_pointed_out_and_count_all_the_same() {
    const HERE: Option<&str> = Some("192.0.2.7");
    on_both(async |store| assert!(pointed_out(store, 50, [HERE, HERE], 1).await)).await;
    on_both(async |store| assert!(!pointed_out(store, 61, [HERE, HERE], 1).await)).await;
    on_both(async |store| assert!(!pointed_out(store, 5, [HERE, Some("192.0.2.8")], 1).await))
        .await;
    on_both(async |store| assert!(!pointed_out(store, 5, [None, None], 1).await)).await;
    on_both(async |store| assert!(!pointed_out(store, 5, [HERE, HERE], 2).await)).await;
}

/// Ruling Q21: nothing stops one person from opening two invitations. Who signs the founding, and
/// who vouches for a key, is told.
#[tokio::test]
async fn keys_of_two_people_from_one_browser_are_pointed_out() {
    on_both(async |store: Store| {
        let (site, mut owner) = Site::claimed(store.clone()).await;
        let by = store.snapshot().await.unwrap().people().await.unwrap().remove(0).id;
        let invite = async |name: &str| {
            let (by, name, now) = (Actor::Person(by), name.to_owned(), site.app.clock.now());
            let role = Role::Maintainer;
            invited(people::add_and_invite(&store, now, by, name, role).await.unwrap())
        };
        // Mara enrols in a browser of her own, Jun where Ines is signed in.
        let mara = invite("Mara Lindqvist").await;
        site.browser(2).enrol(mara.token.expose_secret()).await.ok();
        let told = "Mara Lindqvist enrolled a passkey where";
        assert!(!owner.get("/people", HTML).await.ok().text.contains(told));
        let jun = invite("Jun Watanabe").await;
        let mut shared = owner.clone();
        shared.authenticator = Authenticator::new(3, &site.origin);
        shared.enrol(jun.token.expose_secret()).await.ok();
        for page in ["/people", "/founding"] {
            let shown = owner.get(page, HTML).await.ok().text;
            let told = "Jun Watanabe enrolled a passkey where Ines Duarte was signed in";
            assert!(shown.contains(told), "{page}");
            assert!(!shown.contains("Mara Lindqvist enrolled a passkey where"), "{page}");
        }
        // Whoever reads the log later learns the same, and it changes nothing that is in force.
        let log = store.snapshot().await.unwrap().log_of_governance().await.unwrap();
        let roster = Governed::replay(&log).unwrap().roster().unwrap().as_ref().clone();
        let told: Vec<_> = log.iter().filter_map(|entry| enrolled_beside(&entry.event)).collect();
        let key = roster.person(jun.person).unwrap().keys[0].credential_id.clone();
        assert_eq!(told, [(jun.person, key, by)]);
    })
    .await;
}

fn enrolled_beside(event: &Event) -> Option<(PersonId, CredentialId, PersonId)> {
    match event {
        Event::KeyEnrolledBeside { person, credential_id, beside } => {
            Some((*person, credential_id.clone(), *beside))
        }
        _ => None,
    }
}
