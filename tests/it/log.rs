//! The log: tree and entries grow together, what is signed was computed from the entries, and a
//! changed or rolled-back database is noticed.

use std::path::Path;

use countersign::domain::digest::Sha256;
use countersign::domain::event::{Event, LogEntry};
use countersign::domain::ids::ReleaseId;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::{Note, Signer, Signs};
use countersign::domain::log::tree::{Frontier, TreeHead, leaf_hash};
use countersign::domain::log::witness::{Place, Witness};
use countersign::entropy;
use countersign::outbound::{Http, HttpSettings};
use countersign::pipeline::log::notary::{KEPT_FILE, Notary, NotarySettings, Witnessed};
use countersign::pipeline::log::verify::{Checked, verify};
use countersign::pipeline::log::{Broken, Replay, Trouble};
use countersign::store::instance::NewInstance;
use countersign::store::{Store, StoreError, Tx};
use jiff::{SignedDuration, Timestamp};

use crate::support::database::{on_both, sqlite};
use crate::support::faults::Fault;
use crate::support::setup::count;
use crate::support::witness::FakeWitness;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).unwrap()
}

fn release(number: u128) -> ReleaseId {
    ReleaseId::from_uuid(uuid::Uuid::from_u128(number))
}

async fn found(store: &Store) {
    let instance = NewInstance {
        id: entropy::id(at(0)).unwrap(),
        origin: "http://localhost:8080".to_owned(),
        claim_hash: Sha256::of(b"code"),
    };
    let mut tx = store.begin().await.unwrap();
    assert!(tx.found(&instance, at(0)).await.unwrap());
    tx.commit().await.unwrap();
}

/// Appends entries about releases 0 to 4 in turn.
async fn grow(store: &Store, entries: u64) {
    let mut tx = store.begin().await.unwrap();
    for number in 0..entries {
        let event = Event::ReleaseExpired { release: release(u128::from(number % 5)) };
        tx.append(at(1), event).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn head(store: &Store) -> TreeHead {
    store.snapshot().await.unwrap().log_frontier().await.unwrap().head()
}

/// Edits the database as somebody with its password would.
async fn tamper(store: &Store, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let mut tx = store.begin().await.unwrap();
    let rows = match &mut tx {
        Tx::Sqlite(tx) => sqlx::query(sql).execute(&mut **tx).await.unwrap().rows_affected(),
        Tx::Postgres(tx) => sqlx::query(sql).execute(&mut **tx).await.unwrap().rows_affected(),
    };
    assert!(rows > 0, "the edit changes something");
    tx.commit().await.unwrap();
}

fn notary_with(store: &Store, folder: &Path, witnesses: Vec<Witness>) -> Notary {
    notary_of(3, store, folder, witnesses)
}

fn notary_of(seed: u8, store: &Store, folder: &Path, witnesses: Vec<Witness>) -> Notary {
    let settings = NotarySettings {
        signer: Signer::from_seed("localhost:8080/log", Signs::Text, &[seed; 32]).unwrap(),
        http: Http::new(&HttpSettings::default()).unwrap(),
        folder: folder.to_owned(),
        witnesses,
        grace: SignedDuration::from_mins(10),
    };
    Notary::new(store.clone(), settings)
}

fn notary(store: &Store, folder: &Path) -> Notary {
    notary_with(store, folder, Vec::new())
}

fn directory(folder: &Path) -> Witness {
    Witness { name: "disk".to_owned(), place: Place::Directory(folder.to_owned()) }
}

fn broken<T: std::fmt::Debug>(result: Result<T, Trouble>) -> Broken {
    match result {
        Err(Trouble::Broken(broken)) => broken,
        other => panic!("{other:?}"),
    }
}

/// The checkpoint that readers get, checked with the log's key.
async fn published(store: &Store, notary: &Notary) -> (Checkpoint, Note) {
    let newest = store.snapshot().await.unwrap().newest_checkpoint().await.unwrap().unwrap();
    Checkpoint::open(newest.note.as_bytes(), notary.verifier_key()).unwrap()
}

/// Rule K5.
#[tokio::test]
async fn the_tree_grows_with_the_entry_or_not_at_all() {
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 599).await;
        let mut tx = store.begin().await.unwrap();
        tx.append(at(2), Event::ReleaseExpired { release: release(9) }).await.unwrap();
        drop(tx);
        let mut tx = store.snapshot().await.unwrap();
        let mut frontier = Frontier::default();
        for (position, stored) in tx.stored_entries(0..1000).await.unwrap().iter().enumerate() {
            let entry = LogEntry::from_bytes(&stored.body).unwrap();
            assert_eq!(entry.sequence, position as u64);
            assert_eq!(entry.leaf(&stored.body).to_bytes(), stored.leaf);
            frontier.append(leaf_hash(&stored.leaf));
        }
        assert_eq!(frontier.size(), 600);
        assert_eq!(tx.log_frontier().await.unwrap(), frontier);
        assert_eq!(tx.log_hashes(0, 0..1000).await.unwrap().len(), 600);
        assert_eq!(tx.log_hashes(1, 0..1000).await.unwrap().len(), 2);
        drop(tx);
        let folder = tempfile::tempdir().unwrap();
        let key = notary(&store, folder.path()).verifier_key().clone();
        let expected = Checked { head: frontier.head(), checkpoints: 0, of_other_keys: 0 };
        assert_eq!(verify(&store, &key).await.unwrap(), expected);
    })
    .await;
}

/// Rules K5 and R5.
#[tokio::test]
async fn many_appends_at_once_keep_tree_and_log_the_same() {
    on_both(|store: Store| async move {
        found(&store).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..24_u128 {
            let store = store.clone();
            writers.spawn(async move {
                for turn in 0..8_u128 {
                    let mut tx = store.begin().await.unwrap();
                    for _ in 0..2 {
                        let event = Event::ReleaseExpired { release: release(writer) };
                        tx.append(at(1), event).await.unwrap();
                    }
                    // Some change their mind.
                    if (writer + turn) % 4 > 0 {
                        tx.commit().await.unwrap();
                    }
                }
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let notary = notary(&store, folder.path());
        while writers.join_next().await.transpose().unwrap().is_some() {
            notary.run(at(2)).await.unwrap();
        }
        notary.run(at(2)).await.unwrap();
        let checked = verify(&store, notary.verifier_key()).await.unwrap();
        assert_eq!(checked.head.size, 1 + 24 * 6 * 2);
        assert!(checked.checkpoints > 1, "{checked:?}");
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_is_signed_once_per_tree_and_kept_outside_the_database() {
    on_both(|store: Store| async move {
        let folder = tempfile::tempdir().unwrap();
        let notary = notary(&store, folder.path());
        notary.run(at(1)).await.unwrap();
        assert_eq!(count(&store, "log_checkpoints").await, 0, "an empty log is not signed");
        found(&store).await;
        for (entries, checkpoints) in [(0, 1), (0, 1), (300, 2), (0, 2), (1, 3)] {
            grow(&store, entries).await;
            notary.run(at(2)).await.unwrap();
            assert_eq!(count(&store, "log_checkpoints").await, checkpoints);
            let (checkpoint, note) = published(&store, &notary).await;
            assert_eq!(checkpoint.tree, head(&store).await);
            assert_eq!(checkpoint.origin, "localhost:8080/log");
            let kept = std::fs::read_to_string(folder.path().join(KEPT_FILE)).unwrap();
            assert_eq!(kept, note.to_string());
        }
        // We died after the file was replaced and before the row was there (C29).
        tamper(&store, "delete from log_checkpoints where size = 302").await;
        notary.run(at(3)).await.unwrap();
        assert_eq!(published(&store, &notary).await.0.tree.size, 302);
        assert_eq!(verify(&store, notary.verifier_key()).await.unwrap().checkpoints, 3);
    })
    .await;
}

/// Every edit of the log's own tables, and what `verify` calls it.
fn edits() -> Vec<(&'static str, Broken)> {
    let entry = |sequence| Broken::Entry { sequence };
    let hash = |level, position| Broken::Hash { level, position };
    vec![
        (
            "update log_entries set body = (select body from log_entries where sequence = 8) where sequence = 7",
            entry(7),
        ),
        (
            "update log_entries set leaf = (select leaf from log_entries where sequence = 8) where sequence = 7",
            entry(7),
        ),
        ("update log_entries set release_id = null where sequence = 7", entry(7)),
        (
            "update log_entries set release_id = (select release_id from log_entries where sequence = 8) where sequence = 7",
            entry(7),
        ),
        ("delete from log_entries where sequence = 299", entry(299)),
        ("delete from log_entries where sequence = 7", entry(7)),
        (
            "update log_hashes set hash = (select hash from log_hashes where level = 0 and position = 8) where level = 0 and position = 7",
            hash(0, 7),
        ),
        ("delete from log_hashes where level = 0 and position = 299", hash(0, 299)),
        (
            "update log_hashes set hash = (select hash from log_hashes where level = 0 and position = 8) where level = 1",
            hash(1, 0),
        ),
        // As many bits, so the edge still fits the size.
        ("update log_head set next_sequence = 297", Broken::Checkpoint { size: 300 }),
        ("update log_checkpoints set size = 299", Broken::Checkpoint { size: 299 }),
        ("update log_checkpoints set size = 301", Broken::Checkpoint { size: 301 }),
        (
            "update log_checkpoints set note = replace(note, 'localhost', 'remote')",
            Broken::Checkpoint { size: 300 },
        ),
    ]
}

/// Rule K5.
#[tokio::test]
async fn every_edit_of_the_logs_tables_is_found() {
    for (sql, expected) in edits() {
        on_both(|store: Store| {
            let expected = expected.clone();
            async move {
                found(&store).await;
                grow(&store, 299).await;
                let folder = tempfile::tempdir().unwrap();
                let notary = notary(&store, folder.path());
                notary.run(at(2)).await.unwrap();
                verify(&store, notary.verifier_key()).await.unwrap();
                tamper(&store, sql).await;
                let result = verify(&store, notary.verifier_key()).await;
                assert_eq!(broken(result), expected, "{sql}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_fit_its_entries_is_not_signed() {
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 299).await;
        tamper(&store, "update log_head set next_sequence = 297").await;
        let folder = tempfile::tempdir().unwrap();
        let notary = notary(&store, folder.path());
        let result = verify(&store, notary.verifier_key()).await;
        assert_eq!(broken(result), Broken::Head);
        assert!(notary.run(at(2)).await.is_err());
        assert!(store.is_read_only() && !folder.path().join(KEPT_FILE).exists());
    })
    .await;
}

/// Rules K5 and K6: an alarm, no signature, no export, and no writing any more.
#[tokio::test]
async fn edited_entries_are_not_signed_and_end_all_writing() {
    let sql = "update log_entries set body = (select body from log_entries where sequence = 12) where sequence = 11";
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 9).await;
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let notary = notary_with(&store, folder.path(), vec![directory(outside.path())]);
        notary.run(at(2)).await.unwrap();
        let kept = std::fs::read(folder.path().join(KEPT_FILE)).unwrap();
        grow(&store, 5).await;
        tamper(&store, sql).await;
        assert!(notary.witnessed(at(3)).await.is_err());
        assert!(store.is_read_only());
        assert!(matches!(store.begin().await, Err(StoreError::ReadOnly)));
        assert_eq!(std::fs::read(folder.path().join(KEPT_FILE)).unwrap(), kept);
        assert_eq!(std::fs::read(outside.path().join("checkpoint")).unwrap(), kept);
        assert_eq!(count(&store, "log_checkpoints").await, 1);
        // A clone made before refuses as well, and reading goes on.
        assert_eq!(head(&store).await.size, 15);
    })
    .await;
}

async fn replay(
    tx: &mut Tx,
    signed: &TreeHead,
    release: ReleaseId,
) -> Result<Vec<LogEntry>, Trouble> {
    Replay::up_to(tx, signed, release).await?.to_the_end(tx).await
}

/// Rule K7: what the decision is made from is what was signed, whatever the columns say.
#[tokio::test]
async fn a_replay_reads_bodies_only_and_notices_what_was_hidden_or_replaced() {
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 20).await;
        let folder = tempfile::tempdir().unwrap();
        let notary = notary(&store, folder.path());
        let Witnessed::Yes(signed) = notary.witnessed(at(2)).await.unwrap() else { panic!() };
        grow(&store, 5).await;
        let mut tx = store.snapshot().await.unwrap();
        let entries = replay(&mut tx, &signed, release(3)).await.unwrap();
        assert_eq!(entries.len(), 1 + 5);
        let chosen = tx.log_for_release(release(3)).await.unwrap();
        let sequences = |log: &[LogEntry]| log.iter().map(|e| e.sequence).collect::<Vec<_>>();
        assert_eq!(sequences(&entries), sequences(&chosen));
        drop(tx);
        tamper(&store, "update log_entries set release_id = null where sequence = 4").await;
        let mut tx = store.snapshot().await.unwrap();
        let result = replay(&mut tx, &signed, release(3)).await;
        assert_eq!(broken(result), Broken::Entry { sequence: 4 });
    })
    .await;
}

/// Rule K5: a replay is of the tree that was signed, up to the head there is.
#[tokio::test]
async fn a_replay_fits_the_signed_root_and_the_head() {
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 20).await;
        let signed = head(&store).await;
        let place = || "the signed checkpoint".to_owned();
        let mut tx = store.snapshot().await.unwrap();
        let forked = TreeHead { root: Sha256::of(b"another"), ..signed };
        let result = broken(replay(&mut tx, &forked, release(3)).await);
        assert_eq!(result, Broken::Forked { size: signed.size, place: place() });
        let longer = TreeHead { size: signed.size + 1, ..signed };
        let result = broken(replay(&mut tx, &longer, release(3)).await);
        let (found, held) = (signed.size, longer.size);
        assert_eq!(result, Broken::RolledBack { found, held, place: place() });
        drop(tx);
        grow(&store, 279).await;
        tamper(&store, "update log_head set next_sequence = 297").await;
        let mut tx = store.snapshot().await.unwrap();
        assert_eq!(broken(replay(&mut tx, &signed, release(3)).await), Broken::Head);
    })
    .await;
}

/// Another log of the same installation's tables, sound in itself.
async fn another_log(entries: u64) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    found(&store).await;
    grow(&store, entries).await;
    (folder, store)
}

/// Rule K6.
#[tokio::test]
async fn a_log_that_is_shorter_or_another_than_what_was_kept_ends_all_writing() {
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 9).await;
        let folder = tempfile::tempdir().unwrap();
        notary(&store, folder.path()).run(at(2)).await.unwrap();
        let place = folder.path().join(KEPT_FILE).display().to_string();
        let same = notary(&store, folder.path());
        same.check().await.unwrap();
        grow(&store, 30).await;
        same.check().await.unwrap();
        assert!(!store.is_read_only());

        let (_shorter_folder, shorter) = another_log(8).await;
        let result = notary(&shorter, folder.path()).check().await;
        let expected = Broken::RolledBack { found: 9, held: 10, place: place.clone() };
        assert_eq!(broken(result), expected);
        assert!(matches!(shorter.begin().await, Err(StoreError::ReadOnly)));

        for entries in [9, 40] {
            let (_other_folder, other) = another_log(entries).await;
            let result = notary(&other, folder.path()).check().await;
            assert_eq!(broken(result), Broken::Forked { size: 10, place: place.clone() });
            assert!(other.is_read_only());
        }
        assert!(!store.is_read_only(), "another store's alarm is not this one's");
    })
    .await;
}

/// Rule K6: the same while running: what was signed last is compared before more is signed.
#[tokio::test]
async fn a_log_that_became_shorter_while_running_is_not_signed() {
    let (_folder, store) = another_log(9).await;
    let data = tempfile::tempdir().unwrap();
    notary(&store, data.path()).run(at(2)).await.unwrap();
    let kept = std::fs::read(data.path().join(KEPT_FILE)).unwrap();
    let (_shorter_folder, shorter) = another_log(8).await;
    let error = notary(&shorter, data.path()).run(at(3)).await.unwrap_err();
    assert!(format!("{error:?}").contains("RolledBack { found: 9, held: 10"), "{error:?}");
    assert!(shorter.is_read_only());
    assert_eq!(std::fs::read(data.path().join(KEPT_FILE)).unwrap(), kept);
    assert!(shorter.snapshot().await.unwrap().newest_checkpoint().await.unwrap().is_none());
}

/// Rules K5, K6: what this log's key signed counts for the tree that it names and for no other.
#[tokio::test]
async fn a_checkpoint_that_was_signed_for_another_tree_is_noticed() {
    on_both(|store: Store| async move {
        found(&store).await;
        grow(&store, 9).await;
        let folder = tempfile::tempdir().unwrap();
        let ours = notary(&store, folder.path());
        ours.run(at(2)).await.unwrap();
        assert_eq!(verify(&store, ours.verifier_key()).await.unwrap().checkpoints, 1);

        let (other_folder, other) = another_log(12).await;
        let signing = notary(&other, other_folder.path());
        signing.run(at(2)).await.unwrap();
        let (_, note) = published(&other, &signing).await;
        let mut tx = store.begin().await.unwrap();
        tx.update_checkpoint(10, &note.to_string()).await.unwrap();
        tx.commit().await.unwrap();
        let result = verify(&store, ours.verifier_key()).await;
        assert_eq!(broken(result), Broken::Checkpoint { size: 10 });
    })
    .await;
}

/// Rule K6: the folder outside remembers what the data folder forgot.
#[tokio::test]
async fn a_data_folder_rolled_back_with_its_database_is_noticed_by_the_place_outside() {
    let (_folder, store) = another_log(9).await;
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let places = || vec![directory(outside.path())];
    notary_with(&store, data.path(), places()).run(at(2)).await.unwrap();
    let (_old_folder, old) = another_log(4).await;
    let old_data = tempfile::tempdir().unwrap();
    notary(&old, old_data.path()).run(at(1)).await.unwrap();
    let result = notary_with(&old, old_data.path(), places()).check().await;
    assert!(matches!(broken(result), Broken::RolledBack { found: 5, held: 10, .. }));

    // The same while running: the folder is read before it is written.
    let (_late_folder, late) = another_log(4).await;
    let late_notary = notary_with(&late, old_data.path(), places());
    std::fs::remove_file(old_data.path().join(KEPT_FILE)).unwrap();
    assert!(late_notary.run(at(3)).await.is_err());
    assert!(late.is_read_only());
    let text = std::fs::read(outside.path().join("checkpoint")).unwrap();
    let held = Checkpoint::open(&text, late_notary.verifier_key()).unwrap().0;
    assert_eq!(held.tree, head(&store).await);

    // What the place holds is of another log altogether.
    std::fs::write(outside.path().join("checkpoint"), "not ours\n").unwrap();
    let result = notary_with(&store, data.path(), places()).check().await;
    assert!(matches!(broken(result), Broken::Foreign { .. }));
}

#[tokio::test]
async fn a_new_key_signs_the_whole_tree_again_and_goes_on() {
    let (_folder, store) = another_log(9).await;
    let data = tempfile::tempdir().unwrap();
    notary(&store, data.path()).run(at(1)).await.unwrap();
    let rotated = notary_of(4, &store, data.path(), Vec::new());
    assert!(matches!(broken(rotated.check().await), Broken::Foreign { .. }));
    let (_folder, store) = another_log(9).await;
    std::fs::remove_file(data.path().join(KEPT_FILE)).unwrap();
    notary(&store, data.path()).run(at(1)).await.unwrap();
    std::fs::remove_file(data.path().join(KEPT_FILE)).unwrap();
    let rotated = notary_of(4, &store, data.path(), Vec::new());
    for entries in [0, 3] {
        grow(&store, entries).await;
        rotated.run(at(2)).await.unwrap();
        assert_eq!(published(&store, &rotated).await.0.tree, head(&store).await);
    }
    let checked = verify(&store, rotated.verifier_key()).await.unwrap();
    assert_eq!((checked.checkpoints, checked.of_other_keys), (2, 0));
    let before = verify(&store, notary(&store, data.path()).verifier_key()).await.unwrap();
    assert_eq!((before.checkpoints, before.of_other_keys), (0, 2));
}

#[tokio::test]
async fn a_witness_cosigns_every_tree_and_readers_get_its_signature() {
    on_both(|store: Store| async move {
        found(&store).await;
        let folder = tempfile::tempdir().unwrap();
        let key = notary(&store, folder.path()).verifier_key().clone();
        let witness = FakeWitness::start(&key).await;
        let places = || vec![witness.cosigner(true), witness.webhook()];
        let notary = notary_with(&store, folder.path(), places());
        for entries in [1, 300, 7] {
            grow(&store, entries).await;
            notary.run(at(2)).await.unwrap();
            let (checkpoint, note) = published(&store, &notary).await;
            assert_eq!(witness.tree(), checkpoint.tree);
            assert!(note.verify(&witness.key()).unwrap().unix_seconds.is_some());
            let hooked = witness.hooked().pop().unwrap();
            let hooked = Checkpoint::open(hooked.as_bytes(), &key).unwrap().0;
            assert_eq!(hooked, checkpoint);
        }
        let requests = witness.listener.seen().len();
        assert_eq!(requests, 6, "one to each place for each tree");
        notary.run(at(3)).await.unwrap();
        assert_eq!(witness.listener.seen().len(), requests, "nothing new, nothing sent");
        assert_eq!(verify(&store, &key).await.unwrap().checkpoints, 3);

        // A new process does not know what the witness saw, asks, and proves it from there (C30).
        let again = notary_with(&store, folder.path(), places());
        grow(&store, 20).await;
        assert_eq!(again.witnessed(at(4)).await.unwrap(), Witnessed::Yes(head(&store).await));
        assert_eq!(witness.tree(), head(&store).await);
        let standings = again.places().standings();
        assert!(standings.iter().all(|standing| standing.size == 329 && standing.failures == 0));
    })
    .await;
}

/// Rule K6: a witness that saw another log cannot be argued with, so nothing is sent.
#[tokio::test]
async fn a_witness_that_saw_more_or_other_entries_stops_sending() {
    let (_folder, store) = another_log(9).await;
    let data = tempfile::tempdir().unwrap();
    let key = notary(&store, data.path()).verifier_key().clone();
    let witness = FakeWitness::start(&key).await;
    let notary = notary_with(&store, data.path(), vec![witness.cosigner(true)]);
    assert!(matches!(notary.witnessed(at(1)).await.unwrap(), Witnessed::Yes(_)));
    for tree in [
        TreeHead { size: 11, root: Sha256::of(b"more") },
        TreeHead { size: 10, root: Sha256::of(b"others") },
        TreeHead { size: 4, root: Sha256::of(b"others") },
    ] {
        witness.remember(tree);
        // Although it took one a moment ago.
        let Witnessed::Not(why) = notary.witnessed(at(2)).await.unwrap() else {
            panic!("{tree:?}")
        };
        assert!(why.contains("the witness saw"), "{why}");
        assert_eq!(witness.tree(), tree, "it keeps what it saw");
        assert!(!store.is_read_only());
    }
}

/// Two replicas: the other one was faster, which is no dispute.
#[tokio::test]
async fn a_place_that_has_a_newer_checkpoint_of_this_log_keeps_it() {
    let (_folder, store) = another_log(9).await;
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = notary(&store, data.path()).verifier_key().clone();
    let witness = FakeWitness::start(&key).await;
    let places = vec![directory(outside.path()), witness.cosigner(true)];
    let notary = notary_with(&store, data.path(), places);
    notary.run(at(1)).await.unwrap();
    grow(&store, 1).await;
    // While the witness thinks about 11 entries, the log gets the 15 that it knows of already.
    witness.remember(TreeHead { size: 15, root: Sha256::of(b"of the other replica") });
    let pause = std::time::Duration::from_millis(500);
    witness.listener.fail_next_write(Fault::Late { pause, store: true });
    let others = async {
        tokio::time::sleep(pause / 2).await;
        grow(&store, 4).await;
    };
    let (witnessed, ()) = tokio::join!(notary.witnessed(at(2)), others);
    // The folder took it, so it is witnessed.
    assert!(matches!(witnessed.unwrap(), Witnessed::Yes(tree) if tree.size == 11));
    let standing = notary.places().standings().pop().unwrap();
    assert_eq!((standing.size, standing.failures), (10, 1));
    assert!(standing.message.unwrap().contains("15 entries of this log already"));

    let path = outside.path().join("checkpoint");
    notary.run(at(60)).await.unwrap();
    let newest = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert!(matches!(notary.witnessed(at(61)).await.unwrap(), Witnessed::Not(_)));
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), newest, "not written again");
}

/// Rule K5, row U39.
#[tokio::test]
async fn releases_wait_when_no_place_takes_checkpoints_for_longer_than_the_grace() {
    let (_folder, store) = another_log(9).await;
    let data = tempfile::tempdir().unwrap();
    let key = notary(&store, data.path()).verifier_key().clone();
    let witness = FakeWitness::start(&key).await;
    let notary = notary_with(&store, data.path(), vec![witness.cosigner(true)]);
    let fail = || witness.listener.fail_next_write(Fault::answer(503, "closed today", false));
    fail();
    let Witnessed::Not(why) = notary.witnessed(at(0)).await.unwrap() else { panic!() };
    assert!(why.contains("closed today"), "{why}");
    assert!(matches!(notary.witnessed(at(10)).await.unwrap(), Witnessed::Yes(_)));
    grow(&store, 1).await;
    fail();
    assert!(matches!(notary.witnessed(at(10 + 599)).await.unwrap(), Witnessed::Yes(_)));
    fail();
    assert!(matches!(notary.witnessed(at(10 + 600)).await.unwrap(), Witnessed::Not(_)));
    let standing = notary.places().standings().pop().unwrap();
    assert_eq!((standing.size, standing.failures), (10, 2));
    assert!(standing.message.unwrap().contains("closed today"));
}

#[tokio::test]
async fn answers_that_are_no_cosignature_of_the_configured_key_are_not_taken() {
    let (_folder, store) = another_log(9).await;
    let data = tempfile::tempdir().unwrap();
    let key = notary(&store, data.path()).verifier_key().clone();
    let witness = FakeWitness::start(&key).await;
    let stranger = Signer::from_seed("x.example/1", Signs::TextAtTime, &[8; 32]).unwrap();
    let notary = notary_with(&store, data.path(), vec![witness.cosigner(true)]);
    let answers = [
        Fault::answer(200, "", false),
        Fault::answer(200, "thanks\n", false),
        Fault::answer(200, &format!("{}\n", stranger.sign("text\n", 1)), false),
        Fault::answer(409, "many\n", false),
        Fault::answer(302, "", false),
        Fault::NoAnswer { store: false },
        Fault::Huge { status: 200, bytes: 1 << 20 },
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        witness.listener.fail_next_write(answer);
        let witnessed = notary.witnessed(at(1)).await.unwrap();
        assert!(matches!(witnessed, Witnessed::Not(_)), "answer {number}: {witnessed:?}");
    }
    let (_, note) = published(&store, &notary).await;
    assert_eq!(note.signatures().len(), 1);
    assert_eq!(witness.tree().size, 0);
}

/// Ruling Q15.
#[tokio::test]
async fn a_witness_at_a_private_address_is_reached_only_where_that_is_allowed() {
    let (_folder, store) = another_log(9).await;
    let data = tempfile::tempdir().unwrap();
    let key = notary(&store, data.path()).verifier_key().clone();
    let witness = FakeWitness::start(&key).await;
    let notary = notary_with(&store, data.path(), vec![witness.cosigner(false)]);
    assert!(matches!(notary.witnessed(at(1)).await.unwrap(), Witnessed::Not(_)));
    assert_eq!(witness.listener.connections(), 0);
}
