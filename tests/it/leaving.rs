//! Leaving: everything of somebody ends here, and what registries have to end is listed until
//! somebody saw that it is gone (A4, Q20).

use countersign::domain::digest::Sha256;
use countersign::domain::event::Actor;
use countersign::domain::ids::{PersonId, UpstreamId};
use countersign::domain::quorum::Verdict;
use countersign::domain::release::State;
use countersign::domain::roster::Role;
use countersign::domain::upstream::CredentialPurpose;
use countersign::entropy;
use countersign::pipeline::Kind;
use countersign::pipeline::leaving::{self, Checklist, RightKind};
use countersign::pipeline::people::{self, Added, IdentityOwner};
use countersign::pipeline::setup::{self, Credential, NewCredential};
use countersign::store::proposals::ProposalRow;
use countersign::store::signin::NewSession;
use countersign::store::{Store, Tx};
use jiff::SignedDuration;

use crate::governance::{carry, decide, row};
use crate::support::database::on_both;
use crate::support::desk::{Desk, refused, tamper};
use crate::support::setup::count;

async fn checklist(store: &Store, person: PersonId) -> Checklist {
    leaving::checklist(store, person).await.unwrap()
}

/// Before the founding at once, in a browser: sessions, keys and votes end, and the list is red on
/// three pages until each right was confirmed.
#[tokio::test]
async fn a_leaver_is_out_at_once_and_red_until_every_right_is_confirmed() {
    on_both(async |store: Store| {
        let (mut desk, [_, mut mara, _]) = Desk::open(store.clone()).await;
        desk.approve(&mut mara).await;
        let id = mara.id();
        let world = &mut desk.world;
        let page = world.ines.get(&format!("/people/{id}/leave"), "text/html").await.ok().text;
        assert!(page.contains("1 passkey") && page.contains("This only registries can end"));
        let left = world.ines.post_form(&format!("/people/{id}/leave"), &[]).await;
        let path = format!("/people/{id}/leaving");
        assert_eq!(left.location(), path);
        assert!(!world.mara.read_csrf().await, "signed out");
        world.mara.csrf = None;
        world.mara.sign_in().await.problem(401, "not-authenticated");

        let list = checklist(&store, id).await;
        let kinds: Vec<_> = list.rights.iter().map(|right| right.kind).collect();
        assert!(kinds.contains(&RightKind::OwnerRow) && kinds.contains(&RightKind::Token));
        assert!(!kinds.contains(&RightKind::Credential), "she entered none");
        for page in ["/", "/people", "/health-page", &path] {
            let text = world.ines.get(page, "text/html").await.ok().text;
            assert!(text.contains("Mara Lindqvist"), "{page}");
        }
        world.ines.post_form(&path, &[]).await.problem(400, "bad-input");
        let first = list.rights[0].id.to_string();
        let foreign = uuid::Uuid::nil().to_string();
        let both = [("right", first.as_str()), ("right", &foreign)];
        world.ines.post_form(&path, &both).await.problem(404, "not-found");
        let open = || async { leaving::unfinished(&store).await.unwrap() };
        assert_eq!(open().await[0].unconfirmed, list.rights.len() as u64, "nothing was kept");
        world.ines.post_form(&path, &both[..1]).await.ok();
        assert_eq!(open().await[0].unconfirmed, list.rights.len() as u64 - 1);
        let text = world.ines.get(&path, "text/html").await.ok().text;
        assert!(text.contains("Ines Duarte saw that it is gone"));
        let rest: Vec<_> = list.rights.iter().map(|right| right.id.to_string()).collect();
        let rest: Vec<_> = rest.iter().map(|right| ("right", right.as_str())).collect();
        world.ines.post_form(&path, &rest).await.ok();
        assert_eq!(open().await, []);
        for page in ["/", "/people", "/health-page"] {
            let text = world.ines.get(page, "text/html").await.ok().text;
            assert!(!text.contains("Mara Lindqvist"), "{page}");
        }
        let by = checklist(&store, id).await.rights[0].confirmed_by.clone();
        assert_eq!(by.as_deref(), Some("Ines Duarte"));
    })
    .await;
}

/// Rows by which somebody could still get in or be taken for somebody who counts.
async fn held(store: &Store, person: PersonId) -> Vec<u64> {
    let mut held = Vec::new();
    for sql in [
        "update sessions set csrf = csrf where person_id = $1",
        "update passkeys set name = name where person_id = $1 and revoked_at is null",
        "update invitations set revoked_at = null
         where person_id = $1 and used_at is null and revoked_at is null",
        "update ci_identities set actor_name = actor_name where person_id = $1",
        "update sso_accounts set subject = subject where person_id = $1",
    ] {
        held.push(tamper(store, sql, &[person.as_bytes()]).await);
    }
    held
}

/// Somebody is invited again, links an account and has a session.
async fn let_in(desk: &Desk, by: &Actor, person: PersonId) {
    let now = desk.world.now();
    let mut tx = desk.store().begin().await.unwrap();
    people::invite(&mut tx, now, by, person).await.unwrap();
    tx.link_sso(("https://id.example", "account"), person, now).await.unwrap();
    let session = NewSession {
        id: entropy::id(now).unwrap(),
        hash: Sha256::of(b"session"),
        person,
        opened_with: "a passkey".to_owned(),
        browser: "Firefox".to_owned(),
        reads_only: false,
        csrf: "c".to_owned(),
        expires_at: now + SignedDuration::from_hours(1),
    };
    tx.insert_session(&session, 9, now).await.unwrap();
    tx.commit().await.unwrap();
}

/// Rule A4: each thing that somebody holds here ends by itself, whatever else refuses them too.
#[tokio::test]
async fn whoever_leaves_holds_nothing_here_any_more() {
    on_both(async |store: Store| {
        let (desk, [ines, mara, _]) = Desk::open(store.clone()).await;
        desk.settle_starter(Some(IdentityOwner::Person(mara.id()))).await;
        let (by, now) = (Actor::Person(ines.id()), desk.world.now());
        let_in(&desk, &by, mara.id()).await;
        assert_eq!(held(&store, mara.id()).await, [1; 5]);
        let mut tx = store.begin().await.unwrap();
        people::leave(&mut tx, now, &by, mara.id()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(held(&store, mara.id()).await, [0; 5]);
        assert_ne!(held(&store, ines.id()).await, [0; 5], "nobody else's");
    })
    .await;
}

/// Rule A4: after the founding too, and with it what somebody got between the proposal and its effect.
#[tokio::test]
async fn whoever_others_let_go_keeps_nothing_of_what_came_meanwhile() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::open(store.clone()).await;
        let (by, mara) = (Actor::Person(people[0].id()), people[1].id());
        desk.settle_starter(Some(IdentityOwner::Person(mara))).await;
        let [ines, founder, _] = &mut people;
        desk.found([ines, founder]).await;
        let mut tx = store.begin().await.unwrap();
        let left = people::leave(&mut tx, desk.world.now(), &by, mara).await.unwrap();
        tx.commit().await.unwrap();
        let_in(&desk, &by, mara).await;
        assert_eq!(held(&store, mara).await, [1; 5]);
        assert!(carry(&desk, &mut people, left.expect("a proposal")).await);
        assert_eq!(held(&store, mara).await, [0; 5]);
    })
    .await;
}

/// Rule A4: history stays, and the vote of a leaver counts for nothing.
#[tokio::test]
async fn a_leavers_unfinished_votes_stop_counting_and_their_history_stays() {
    on_both(async |store: Store| {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::open(store.clone()).await;
        desk.approve(&mut mara).await;
        let (entries, decisions) =
            (count(&store, "log_entries").await, count(&store, "decisions").await);
        let (by, now) = (Actor::Person(ines.id()), desk.world.now());
        let mut tx = store.begin().await.unwrap();
        people::leave(&mut tx, now, &by, mara.id()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&store, "decisions").await, decisions);
        assert_eq!(count(&store, "log_entries").await, entries + 1);
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting, "one counts, not two");
        assert_eq!(desk.approve(&mut jun).await, State::Approved);
    })
    .await;
}

/// Ruling Q20: once founded it is a proposal; sessions end at once, the rest when it took effect.
#[tokio::test]
async fn after_the_founding_others_let_somebody_go() {
    on_both(async |store: Store| {
        let (mut desk, mut people) = Desk::founded(store.clone()).await;
        let (ines, mara) = (people[0].id(), people[1].id());
        let (by, now) = (Actor::Person(ines), desk.world.now());
        let (name, role) = ("Dana Ortiz".to_owned(), Role::Viewer);
        let Added::Proposed(wish) =
            people::add_and_invite(&store, now, by, name, role).await.unwrap()
        else {
            panic!("a proposal");
        };
        decide(&desk, &mut people[1], wish, Verdict::Approve).await.unwrap();

        let answer = desk.world.ines.post_form(&format!("/people/{mara}/leave"), &[]).await;
        let id =
            answer.location().strip_prefix("/proposals/").expect("a proposal").parse().unwrap();
        assert!(!desk.world.mara.read_csrf().await, "signed out at once");
        assert_eq!(refused(leaving::checklist(&store, mara).await), Kind::NotFound, "still there");
        let own = decide(&desk, &mut people[1], id, Verdict::Reject).await;
        assert_eq!(refused(own), Kind::Forbidden, "the subject");
        assert!(carry(&desk, &mut people, id).await);
        assert_eq!(row(&store, id).await, ProposalRow::Enacted);
        assert!(!checklist(&store, mara).await.rights.is_empty());
        desk.world.mara.csrf = None;
        desk.world.mara.sign_in().await.problem(401, "not-authenticated");

        // What she signed and was not done counts for nothing: it takes two others now.
        assert!(!decide(&desk, &mut people[2], wish, Verdict::Approve).await.unwrap());
        assert_eq!(row(&store, wish).await, ProposalRow::Open);
    })
    .await;
}

/// Publishers that they added and credentials that they entered are on the list, and no others.
#[tokio::test]
async fn what_an_owner_set_up_is_on_their_checklist() {
    on_both(async |store: Store| {
        let (desk, [ines, mara, _]) = Desk::open(store.clone()).await;
        let (by, now) = (Actor::Person(ines.id()), desk.world.now());
        let mut tx = store.begin().await.unwrap();
        people::change_role(&mut tx, now, &by, mara.id(), Role::Owner).await.unwrap();
        tx.commit().await.unwrap();
        let upstream =
            store.snapshot().await.unwrap().upstreams().await.unwrap().remove(0).upstream;
        for by in [mara.id(), ines.id(), mara.id()] {
            enter_credential(&desk, by, upstream.id()).await;
        }
        let mut tx = store.begin().await.unwrap();
        people::leave(&mut tx, now, &by, mara.id()).await.unwrap();
        let mara_held = checklist_of(&mut tx, mara.id()).await;
        people::leave(&mut tx, now, &Actor::Host, ines.id()).await.unwrap_err();
        tx.commit().await.unwrap();
        let credential = (RightKind::Credential, "publish".to_owned(), upstream.name().to_owned());
        assert!(mara_held.contains(&credential), "{mara_held:?}");
        assert!(!mara_held.iter().any(|(kind, ..)| *kind == RightKind::Publisher));
    })
    .await;
}

async fn checklist_of(tx: &mut Tx, person: PersonId) -> Vec<(RightKind, String, String)> {
    let rights = tx.rights_of(person).await.unwrap();
    rights.into_iter().map(|right| (right.kind, right.thing, right.place)).collect()
}

async fn enter_credential(desk: &Desk, by: PersonId, upstream: UpstreamId) {
    let credential = Credential::parse(&"another-secret".into()).unwrap();
    let purpose = CredentialPurpose::Publish;
    let new = NewCredential { upstream, purpose, credential };
    let (key, now) = (&desk.world.site.app.sealing, desk.world.now());
    setup::seal_credential(desk.store(), key, Actor::Person(by), new, now).await.unwrap();
}
