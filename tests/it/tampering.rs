//! Somebody has the database, and no keys: K7 and I4 say that nothing can be sent that way.
//!
//! Each test edits rows as such a person would, has the forwarder look at the release for an hour,
//! and asks the registries what they received. Whoever edits the log itself is caught by its tree
//! before anything is sent (K5).

use countersign::domain::assertion::RelyingParty;
use countersign::domain::event::Actor;
use countersign::domain::manifest::Manifest;
use countersign::domain::package::Ecosystem;
use countersign::domain::quorum::Verdict::{Approve, Reject};
use countersign::domain::release::State;
use countersign::domain::upstream::CredentialPurpose;
use countersign::passkeys::Passkeys;
use countersign::pipeline::people::IdentityOwner;
use countersign::pipeline::setup::{self, Credential, NewCredential};
use countersign::pipeline::{Kind, forwarding};
use countersign::store::Store;
use jiff::SignedDuration;

use crate::support::authenticator::Authenticator;
use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, nothing_sent, refused, tamper};
use crate::support::npm_registry::NpmRegistry;
use crate::support::setup::count;
use crate::support::world::{PUBLISH, npm_document, run};

/// A release that two people approved and nobody has sent yet.
async fn approved(store: Store) -> Desk {
    let (desk, [mut ines, mut mara, _]) = Desk::founded(store).await;
    desk.approve(&mut ines).await;
    assert_eq!(desk.approve(&mut mara).await, State::Approved);
    desk
}

/// Marks the release as approved and queues what would forward it.
async fn pretend_approved(desk: &Desk) {
    let release = desk.release.as_bytes();
    let sql = "update releases set state = 'approved', finished_at = null where id = $1";
    assert_eq!(tamper(desk.store(), sql, &[release]).await, 1);
    let sql = "insert into jobs (id, release_id, created_at, run_at)
               select id, id, created_at, created_at from releases where id = $1";
    assert_eq!(tamper(desk.store(), sql, &[release]).await, 1);
}

/// The forwarder looks again and again; nothing may come of it.
async fn forwarder_sends_nothing(desk: &Desk) {
    for _ in 0..6 {
        desk.world.forward().await;
        desk.world.pass(SignedDuration::from_mins(10));
    }
    nothing_sent(&desk.world);
    let kinds = desk.world.history(desk.release).await;
    assert!(kinds.iter().all(|entry| entry.event.kind() != "release_published"));
    assert_ne!(desk.world.record(desk.release).await.state, State::Published);
}

/// The whole of it works when nobody interferes, so that the tests here can fail.
#[tokio::test]
async fn a_release_that_nobody_tampered_with_is_sent() {
    on_both(|store| async move {
        let desk = approved(store).await;
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
        assert_eq!(desk.world.npm.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_release_marked_as_approved_sends_nothing_and_goes_back() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store).await;
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Awaiting);
        // People can still decide about it, and then it is sent.
        desk.approve(&mut ines).await;
        desk.approve(&mut mara).await;
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
    })
    .await;
}

#[tokio::test]
async fn a_decision_row_without_its_entry_is_no_approval() {
    on_both(|store| async move {
        let (desk, [mut ines, mara, _]) = Desk::founded(store.clone()).await;
        desk.approve(&mut ines).await;
        let sql = "insert into decisions
                     (id, release_id, person_id, passkey_id, report_sha256, verdict, body, at)
                   select k.id, d.release_id, k.person_id, k.id, d.report_sha256, d.verdict,
                     d.body, d.at
                   from decisions d join passkeys k on k.person_id = $1";
        assert_eq!(tamper(&store, sql, &[mara.id().as_bytes()]).await, 1);
        assert_eq!(count(&store, "decisions").await, 2);
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

#[tokio::test]
async fn a_lower_number_in_the_policys_row_asks_for_no_fewer_people() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::founded(store.clone()).await;
        let sql = "update policy_revisions
                   set body = replace(body, '\"required\":2', '\"required\":1')";
        assert_eq!(tamper(&store, sql, &[]).await, 2);
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting, "the count is the log's");
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

#[tokio::test]
async fn a_package_row_under_another_policy_is_under_its_own() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::founded(store.clone()).await;
        // A policy in the rows alone, which one person meets.
        let sql = "insert into policies (id, name, revision) values ($1, 'Easy', 1)";
        tamper(&store, sql, &[&[7; 16]]).await;
        let sql = "insert into policy_revisions (policy_id, revision, at, body, sha256)
                   select $1, 1, at, replace(body, '\"required\":2', '\"required\":1'), sha256
                   from policy_revisions where revision = 1";
        assert_eq!(tamper(&store, sql, &[&[7; 16]]).await, 1);
        assert_eq!(tamper(&store, "update packages set policy_id = $1", &[&[7; 16]]).await, 4);
        let sql = "update releases set policy_id = $1, policy_revision = 1";
        assert_eq!(tamper(&store, sql, &[&[7; 16]]).await, 1);
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting);
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// A stolen session is not needed either: whoever writes rows has one. The key is what counts.
#[tokio::test]
async fn a_key_swapped_in_the_rows_signs_nothing_that_counts() {
    on_both(|store| async move {
        let (desk, [mut ines, mara, _]) = Desk::founded(store.clone()).await;
        desk.approve(&mut ines).await;
        let mut thief = with_the_thiefs_key(&store, &mara).await;
        let decided = desk.decide(&mut thief, desk.release, Approve).await.unwrap();
        assert_eq!(decided.state, State::Awaiting, "taken down, and not counted");
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// Puts another key into somebody's row, whole: the columns and the verifier's own form.
async fn with_the_thiefs_key(store: &Store, of: &Person) -> Person {
    let mut thief =
        Person { signer: of.signer.clone(), key: Authenticator::new(66, &of.key.origin) };
    let kept = store.snapshot().await.unwrap().passkeys_of(of.id()).await.unwrap().remove(0);
    let relying_party = RelyingParty::parse(&of.key.origin).unwrap();
    let passkeys = Passkeys::new(relying_party, "Countersign").unwrap();
    let (options, state) = passkeys.begin_enrol(of.id(), "mara", "Mara", &[]).unwrap();
    let new = passkeys.finish_enrol(&state, &thief.key.enrol(&options)).unwrap();
    let stored = serde_json::to_string(&new.stored).unwrap();
    let sql = "update passkeys set credential_id = $1, public_key = $2, counter = 0 where id = $3";
    let (id, key) = (thief.key.id.clone(), thief.key.public_key());
    assert_eq!(tamper(store, sql, &[&id, &key, kept.id.as_bytes()]).await, 1);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.advance_counter(kept.id, 0, 0, &stored, kept.created_at).await.unwrap());
    tx.commit().await.unwrap();
    thief
}

#[tokio::test]
async fn a_viewer_promoted_in_the_rows_cannot_decide() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::founded(store.clone()).await;
        let vera = desk.world.person("Vera Oduya").await;
        tamper(&store, "update people set role = 'owner' where id = $1", &[vera.as_bytes()]).await;
        let sql = "update passkeys set person_id = $1 where person_id = $2";
        tamper(&store, sql, &[vera.as_bytes(), ines.id().as_bytes()]).await;
        let mut signer = ines.signer.clone();
        signer.person = vera;
        let vera = Person { signer, key: ines.key.clone() };
        assert_eq!(refused(desk.begin(&vera, desk.release, Approve).await), Kind::Forbidden);
        assert_eq!(count(&store, "decisions").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_rejection_deleted_from_the_rows_still_stands() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::founded(store.clone()).await;
        desk.approve(&mut ines).await;
        desk.approve(&mut mara).await;
        desk.decide(&mut jun, desk.release, Reject).await.unwrap();
        assert_eq!(tamper(&store, "delete from decisions where verdict = 'reject'", &[]).await, 1);
        tamper(&store, "delete from jobs", &[]).await;
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

#[tokio::test]
async fn a_starter_renamed_in_the_rows_is_still_the_starter() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::open(store.clone()).await;
        desk.settle_starter(Some(IdentityOwner::Person(ines.id()))).await;
        desk.found([&mut ines, &mut mara]).await;
        desk.approve(&mut mara).await;
        tamper(&store, "update ci_identities set person_id = null", &[]).await;
        tamper(&store, "update releases set actor_id = 'nobody', actor_name = 'nobody'", &[]).await;
        assert_eq!(refused(desk.begin(&ines, desk.release, Approve).await), Kind::Forbidden);
        pretend_approved(&desk).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

#[tokio::test]
async fn a_longer_life_in_the_rows_sends_nothing_that_expired() {
    on_both(|store| async move {
        let desk = approved(store.clone()).await;
        let sql = "update releases set expires_at = expires_at + 31536000000000";
        assert_eq!(tamper(&store, sql, &[]).await, 1);
        desk.world.pass(SignedDuration::from_hours(7 * 24));
        forwarder_sends_nothing(&desk).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Expired);
    })
    .await;
}

/// The address in the rows is not where bytes or credentials go.
#[tokio::test]
async fn a_registry_moved_in_the_rows_receives_nothing() {
    on_both(|store| async move {
        let desk = approved(store.clone()).await;
        let elsewhere = NpmRegistry::start(PUBLISH).await;
        let sql = format!("update upstreams set url = '{}' where kind = 'npm'", elsewhere.url());
        assert_eq!(tamper(&store, &sql, &[]).await, 1);
        forwarder_sends_nothing(&desk).await;
        let seen = elsewhere.listener.seen();
        assert!(seen.iter().all(|request| request.method == "GET"), "{seen:?}");
        assert!(seen.iter().all(|request| request.header("authorization").is_empty()), "{seen:?}");
    })
    .await;
}

/// Rule K7: an older credential, sealed here for the same use, is not what people agreed to.
#[tokio::test]
async fn a_credential_that_was_replaced_and_put_back_in_its_row_sends_nothing() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::open(store.clone()).await;
        let mut tx = store.snapshot().await.unwrap();
        let upstreams = tx.upstreams().await.unwrap();
        let npm = upstreams.iter().find(|it| it.upstream.kind() == Ecosystem::Npm).unwrap();
        let upstream = npm.upstream.id();
        let old = tx.publish_credential(upstream).await.unwrap().unwrap();
        drop(tx);
        let credential = Credential::parse(&PUBLISH.into()).unwrap();
        let new = NewCredential { upstream, purpose: CredentialPurpose::Publish, credential };
        let (key, now) = (&desk.world.site.app.sealing, desk.world.now());
        setup::seal_credential(&store, key, Actor::Host, new, now).await.unwrap();
        desk.found([&mut ines, &mut mara]).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        let sql = "update upstreams set publish_credential = $1 where id = $2";
        assert_eq!(tamper(&store, sql, &[&old, upstream.as_bytes()]).await, 1);
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// Puts another manifest into the release's row.
async fn set_manifest(desk: &Desk, alter: impl FnOnce(&mut Manifest)) {
    let sealed = desk.world.record(desk.release).await.seal.unwrap().manifest;
    let mut manifest = sealed.manifest().clone();
    alter(&mut manifest);
    let sealed = manifest.seal();
    let sql = "update releases set manifest = $1, manifest_sha256 = $2 where id = $3";
    let digest = sealed.digest();
    let bytes: [&[u8]; 3] = [sealed.bytes(), digest.as_bytes(), desk.release.as_bytes()];
    assert_eq!(tamper(desk.store(), sql, &bytes).await, 1);
}

/// I5: the blob is a genuine one, of a candidate that nobody approved.
#[tokio::test]
async fn a_file_row_that_points_to_other_bytes_is_not_sent() {
    on_both(|store| async move {
        let desk = approved(store.clone()).await;
        let other = desk.world.stage_npm(run(2), &npm_document("1.0.1", b"evil")).await.unwrap();
        point_at(&desk, other.release.as_bytes()).await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// Makes the release's file the one of another release.
async fn point_at(desk: &Desk, other: &[u8]) {
    let sql = "update artifacts set
                 filename = o.filename, sha256 = o.sha256, digests = o.digests, facts = o.facts,
                 size_bytes = o.size_bytes, document_sha256 = o.document_sha256
               from artifacts o where o.release_id = $1 and artifacts.release_id = $2";
    assert_eq!(tamper(desk.store(), sql, &[other, desk.release.as_bytes()]).await, 1);
}

/// I1, I4: rows that agree with each other and not with the log.
#[tokio::test]
async fn a_manifest_row_rewritten_to_fit_other_bytes_sends_nothing() {
    on_both(|store| async move {
        let desk = approved(store.clone()).await;
        let other = desk.world.stage_npm(run(2), &npm_document("1.0.1", b"evil")).await.unwrap();
        point_at(&desk, other.release.as_bytes()).await;
        let theirs = desk.world.record(other.release).await.seal.unwrap().manifest;
        set_manifest(&desk, |manifest| {
            manifest.files.clone_from(&theirs.manifest().files);
            manifest.version.clone_from(&theirs.manifest().version);
        })
        .await;
        forwarder_sends_nothing(&desk).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Failed);
    })
    .await;
}

/// A13: not under another tag either.
#[tokio::test]
async fn a_dist_tag_changed_in_the_manifest_row_sends_nothing() {
    on_both(|store| async move {
        let desk = approved(store).await;
        set_manifest(&desk, |manifest| {
            manifest.npm.as_mut().unwrap().dist_tag = "next".to_owned();
        })
        .await;
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// Rule A13: what is sent besides the bytes is made of the file's facts, and is signed as well.
#[tokio::test]
async fn facts_changed_in_a_file_row_are_not_sent() {
    on_both(|store| async move {
        let desk = approved(store.clone()).await;
        let sql = "update artifacts set facts = replace(facts, '\"package_json\":{', \
                   '\"package_json\":{\"scripts\":{\"install\":\"x\"},') where release_id = $1";
        assert_eq!(tamper(&store, sql, &[desk.release.as_bytes()]).await, 1);
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// A file more is a release that nobody approved, the files they did approve included.
#[tokio::test]
async fn a_file_row_too_many_sends_nothing() {
    on_both(|store| async move {
        let desk = approved(store.clone()).await;
        let other = desk.world.stage_npm(run(2), &npm_document("1.0.1", b"evil")).await.unwrap();
        let sql = "update artifacts set release_id = $1 where release_id = $2";
        let bytes: [&[u8]; 2] = [desk.release.as_bytes(), other.release.as_bytes()];
        assert_eq!(tamper(&store, sql, &bytes).await, 1);
        forwarder_sends_nothing(&desk).await;
    })
    .await;
}

/// Somebody edits the log after it was signed, or before; the forwarder sends nothing and writing
/// ends.
async fn an_edited_log_ends_all_writing(store: Store, signed: bool, sql: &str) {
    let (desk, [mut ines, mut mara, _]) = Desk::founded(store.clone()).await;
    desk.approve(&mut ines).await;
    desk.approve(&mut mara).await;
    if signed {
        desk.world.site.notary.run(desk.world.now()).await.unwrap();
    }
    assert_eq!(tamper(&store, sql, &[desk.release.as_bytes()]).await, 1);
    let forwarder = desk.world.forwarder();
    let looked = forwarding::run_next(&forwarder, "test", desk.world.now()).await;
    assert!(looked.is_err(), "{looked:?}");
    assert!(desk.store().is_read_only());
    nothing_sent(&desk.world);
}

/// K5: what the forwarder replays is what was signed.
#[tokio::test]
async fn an_entry_taken_out_of_the_log_sends_nothing_and_ends_all_writing() {
    const SQL: &str = "delete from log_entries where release_id = $1 and kind = 'release_opened'";
    on_both(|store| an_edited_log_ends_all_writing(store, false, SQL)).await;
    on_both(|store| an_edited_log_ends_all_writing(store, true, SQL)).await;
}

/// K5: an entry given to another release is hidden from this one, in a column that nobody signed.
#[tokio::test]
async fn an_entry_moved_to_another_release_sends_nothing_and_ends_all_writing() {
    const SQL: &str = "update log_entries set release_id = null where release_id = $1 and kind = 'release_sealed'";
    on_both(|store| an_edited_log_ends_all_writing(store, true, SQL)).await;
}
