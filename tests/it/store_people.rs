//! The people part of the database, on both databases.

use countersign::domain::assertion::{CoseKey, CredentialId};
use countersign::domain::digest::Sha256;
use countersign::domain::event::Event;
use countersign::domain::ids::{CeremonyId, InvitationId, PasskeyId, PersonId, ReleaseId};
use countersign::domain::roster::{CiIdentity, Role};
use countersign::entropy;
use countersign::store::instance::NewInstance;
use countersign::store::people::{LinkedIdentity, NewInvitation};
use countersign::store::signin::{
    CEREMONIES_OPEN_MAX, Ceremony, CeremonyPurpose, NewPasskeyRow, NewSession,
};
use countersign::store::{Store, Tx};
use jiff::Timestamp;

use crate::support::authenticator::Authenticator;
use crate::support::database::on_both;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).unwrap()
}

fn hash(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}

async fn found(tx: &mut Tx) -> bool {
    let instance = NewInstance {
        id: entropy::id(at(0)).unwrap(),
        origin: "http://localhost:8080".to_owned(),
        claim_hash: hash("code"),
    };
    tx.found(&instance, at(0)).await.unwrap()
}

async fn person(tx: &mut Tx, name: &str) -> PersonId {
    let id = entropy::id(at(0)).unwrap();
    assert!(tx.insert_person(id, name, Role::Maintainer, at(0)).await.unwrap());
    id
}

fn passkey(person: PersonId, seed: u8) -> NewPasskeyRow {
    let authenticator = Authenticator::new(seed, "http://localhost:8080");
    NewPasskeyRow {
        id: entropy::id(at(0)).unwrap(),
        person,
        credential_id: CredentialId::from_bytes(authenticator.id.clone()).unwrap(),
        public_key: CoseKey::parse(&authenticator.public_key()).unwrap(),
        aaguid: uuid::Uuid::nil(),
        attested: false,
        transports: vec!["usb".to_owned()],
        attestation_object: vec![1],
        client_data_json: vec![2],
        counts_from: at(0),
        name: format!("key {seed}"),
        stored: "{}".to_owned(),
        counter: 7,
        backup_eligible: false,
        backed_up: false,
        beside: None,
    }
}

fn ceremony(purpose: CeremonyPurpose, begun: i64) -> Ceremony {
    Ceremony {
        id: entropy::id(at(begun)).unwrap(),
        purpose,
        person: None,
        session: None,
        invitation: None,
        release: None,
        proposal: None,
        nonce: None,
        statement: None,
        state: "{}".to_owned(),
        created_at: at(begun),
        expires_at: at(begun + 120),
    }
}

#[tokio::test]
async fn an_installation_is_founded_once_and_its_log_begins_with_genesis() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        assert!(tx.instance().await.unwrap().is_none());
        assert!(found(&mut tx).await);
        assert!(!found(&mut tx).await);
        tx.commit().await.unwrap();
        let mut tx = store.snapshot().await.unwrap();
        let instance = tx.instance().await.unwrap().unwrap();
        let release: ReleaseId = entropy::id(at(0)).unwrap();
        let log = tx.log_for_release(release).await.unwrap();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].sequence, 0);
        let Event::Genesis { instance: id, origin } = &log[0].event else {
            panic!("{log:?}");
        };
        assert_eq!((*id, origin.as_str()), (instance.id, "http://localhost:8080"));
    })
    .await;
}

#[tokio::test]
async fn a_claim_code_is_used_once_and_wrong_ones_are_counted() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        found(&mut tx).await;
        assert!(!tx.use_claim_code(&hash("wrong"), at(1)).await.unwrap());
        assert_eq!(tx.count_claim_try().await.unwrap(), Some(1));
        assert_eq!(tx.count_claim_try().await.unwrap(), Some(2));
        assert!(tx.replace_claim_code(&hash("next")).await.unwrap());
        assert_eq!(tx.instance().await.unwrap().unwrap().claim_tries, 0);
        assert!(!tx.use_claim_code(&hash("code"), at(1)).await.unwrap());
        assert!(tx.use_claim_code(&hash("next"), at(1)).await.unwrap());
        assert!(!tx.use_claim_code(&hash("next"), at(1)).await.unwrap());
        assert_eq!(tx.count_claim_try().await.unwrap(), None);
        assert!(!tx.replace_claim_code(&hash("code")).await.unwrap());
        assert!(!tx.mark_claimed(at(2)).await.unwrap());
        assert_eq!(tx.instance().await.unwrap().unwrap().claimed_at, Some(at(1)));
    })
    .await;
}

/// Rule W9.
#[tokio::test]
async fn of_two_assertions_with_one_counter_only_the_first_is_recorded() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        let ines = person(&mut tx, "Ines").await;
        let key = passkey(ines, 1);
        assert!(tx.insert_passkey(&key, at(0)).await.unwrap());
        assert!(tx.advance_counter(key.id, 7, 8, "{\"n\":8}", at(1)).await.unwrap());
        assert!(!tx.advance_counter(key.id, 7, 9, "{\"n\":9}", at(1)).await.unwrap());
        let stored = tx.usable_passkey_locked(&key.credential_id).await.unwrap().unwrap();
        assert_eq!((stored.counter, stored.stored.as_str()), (8, "{\"n\":8}"));
        assert_eq!(stored.last_used_at, Some(at(1)));
        assert!(tx.suspend_passkey(key.id, at(2)).await.unwrap());
        assert!(!tx.suspend_passkey(key.id, at(3)).await.unwrap());
        assert!(!tx.advance_counter(key.id, 8, 9, "{}", at(3)).await.unwrap());
        assert!(tx.usable_passkey_locked(&key.credential_id).await.unwrap().is_none());
        assert!(tx.passkeys_of(ines).await.unwrap().is_empty());
        assert_eq!(tx.kept_passkeys_of(ines).await.unwrap().len(), 1);
    })
    .await;
}

/// Rule W7.
#[tokio::test]
async fn a_credential_id_belongs_to_one_person() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        let ines = person(&mut tx, "Ines").await;
        let mara = person(&mut tx, "Mara").await;
        assert!(tx.insert_passkey(&passkey(ines, 1), at(0)).await.unwrap());
        assert!(!tx.insert_passkey(&passkey(mara, 1), at(0)).await.unwrap());
        assert!(tx.insert_passkey(&passkey(mara, 2), at(0)).await.unwrap());
        assert_eq!(tx.kept_passkeys().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_name_is_taken_once() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        let ines = person(&mut tx, "Ines").await;
        let other = entropy::id(at(0)).unwrap();
        assert!(!tx.insert_person(other, "Ines", Role::Owner, at(0)).await.unwrap());
        assert_eq!(tx.person_named("Ines").await.unwrap().unwrap().id, ines);
        assert!(tx.person(other).await.unwrap().is_none());
    })
    .await;
}

/// Rule W12.
#[tokio::test]
async fn an_invitation_is_consumed_once_and_not_when_expired_or_taken_back() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        let ines = person(&mut tx, "Ines").await;
        let mut ids = Vec::new();
        for name in ["one", "two", "three"] {
            let id: InvitationId = entropy::id(at(0)).unwrap();
            let token_hash = hash(name);
            let expires_at = at(100);
            let new = NewInvitation { id, token_hash, person: ines, invited_by: None, expires_at };
            tx.insert_invitation(&new, at(0)).await.unwrap();
            ids.push(id);
        }
        assert_eq!(tx.open_invitations(at(99)).await.unwrap().len(), 3);
        assert!(tx.open_invitations(at(100)).await.unwrap().is_empty());
        assert_eq!(tx.use_invitation(ids[0], at(100)).await.unwrap(), None);
        assert_eq!(tx.use_invitation(ids[0], at(99)).await.unwrap(), Some(ines));
        assert_eq!(tx.use_invitation(ids[0], at(99)).await.unwrap(), None);
        assert!(tx.revoke_invitation(ids[1], at(9)).await.unwrap());
        assert!(!tx.revoke_invitation(ids[0], at(9)).await.unwrap());
        assert_eq!(tx.use_invitation(ids[1], at(10)).await.unwrap(), None);
        let used = tx.invitation_by_token(&hash("one")).await.unwrap().unwrap();
        assert!(!used.is_open(at(10)) && used.used_at == Some(at(99)));
        tx.revoke_invitations_of(ines, at(11)).await.unwrap();
        assert_eq!(tx.use_invitation(ids[2], at(12)).await.unwrap(), None);
    })
    .await;
}

/// Rule S1.
#[tokio::test]
async fn sessions_end_by_idling_by_age_by_number_and_with_their_person() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        let ines = person(&mut tx, "Ines").await;
        let session = |name: &str| NewSession {
            id: entropy::id(at(0)).unwrap(),
            hash: hash(name),
            person: ines,
            opened_with: "Laptop".to_owned(),
            browser: String::new(),
            reads_only: false,
            csrf: "c".to_owned(),
            expires_at: at(1000),
        };
        tx.insert_session(&session("a"), 2, at(0)).await.unwrap();
        assert!(tx.live_session(&hash("a"), at(-1), at(9)).await.unwrap().is_some());
        assert!(tx.live_session(&hash("a"), at(0), at(9)).await.unwrap().is_none());
        tx.touch_session(&hash("a"), at(9)).await.unwrap();
        tx.touch_session(&hash("a"), at(5)).await.unwrap();
        assert!(tx.live_session(&hash("a"), at(8), at(999)).await.unwrap().is_some());
        assert!(tx.live_session(&hash("a"), at(8), at(1000)).await.unwrap().is_none());
        for (name, begun) in [("b", 1), ("c", 2), ("d", 3)] {
            tx.insert_session(&session(name), 2, at(begun)).await.unwrap();
        }
        assert!(tx.live_session(&hash("a"), at(-1), at(9)).await.unwrap().is_none());
        assert!(tx.live_session(&hash("d"), at(-1), at(9)).await.unwrap().is_some());
        let live = async |tx: &mut Tx, idle, now| {
            let found = tx.live_sessions_of(ines, at(idle), at(now)).await.unwrap();
            found.iter().map(|session| session.hash).collect::<Vec<_>>()
        };
        assert_eq!(live(&mut tx, -1, 9).await, ["d", "c", "b"].map(hash));
        assert_eq!(live(&mut tx, 2, 9).await, [hash("d")]);
        assert_eq!(live(&mut tx, -1, 1000).await, []);
        tx.end_session(&hash("d")).await.unwrap();
        assert!(tx.live_session(&hash("d"), at(-1), at(9)).await.unwrap().is_none());
        tx.mark_left(ines, at(5)).await.unwrap();
        assert!(tx.live_session(&hash("c"), at(-1), at(9)).await.unwrap().is_none());
        assert_eq!(tx.sweep_sessions(at(2), at(9)).await.unwrap(), 2);
    })
    .await;
}

/// Rules W3 and W4, rows V01 to V03 and V06.
#[tokio::test]
async fn a_ceremony_is_taken_once_for_its_purpose_in_its_time() {
    on_both(|store: Store| async move {
        use CeremonyPurpose::{Approve, SignIn};
        let mut tx = store.begin().await.unwrap();
        let unknown: CeremonyId = entropy::id(at(0)).unwrap();
        assert!(tx.take_ceremony(unknown, SignIn, at(0)).await.unwrap().is_none());
        let [good, other, late] = [0, 0, 0].map(|_| ceremony(SignIn, 0));
        for ceremony in [&good, &other, &late] {
            tx.insert_ceremony(ceremony).await.unwrap();
        }
        assert_eq!(tx.open_sign_ins(at(119)).await.unwrap(), 3);
        let taken = tx.take_ceremony(good.id, SignIn, at(119)).await.unwrap().unwrap();
        assert_eq!(taken.id, good.id);
        assert!(tx.take_ceremony(good.id, SignIn, at(119)).await.unwrap().is_none());
        assert!(tx.take_ceremony(other.id, Approve, at(1)).await.unwrap().is_none());
        assert!(tx.take_ceremony(other.id, SignIn, at(1)).await.unwrap().is_none());
        assert!(tx.take_ceremony(late.id, SignIn, at(120)).await.unwrap().is_none());
        assert!(tx.take_ceremony(late.id, SignIn, at(1)).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_session_keeps_only_its_youngest_ceremonies() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        let mut begun = Vec::new();
        for second in 0..=i64::from(CEREMONIES_OPEN_MAX) {
            let one =
                Ceremony { session: Some(hash("s")), ..ceremony(CeremonyPurpose::Approve, second) };
            tx.insert_ceremony(&one).await.unwrap();
            begun.push(one.id);
        }
        let elsewhere =
            Ceremony { session: Some(hash("t")), ..ceremony(CeremonyPurpose::Approve, 0) };
        tx.insert_ceremony(&elsewhere).await.unwrap();
        let mut open = Vec::new();
        for id in begun {
            let taken = tx.take_ceremony(id, CeremonyPurpose::Approve, at(9)).await.unwrap();
            open.push(taken.is_some());
        }
        assert_eq!(open, [false, true, true, true, true, true]);
        let taken = tx.take_ceremony(elsewhere.id, CeremonyPurpose::Approve, at(9)).await.unwrap();
        assert_eq!(taken.unwrap().session, Some(hash("t")));
    })
    .await;
}

/// Rule A4: what is suspended, revoked or left is not on the roster.
#[tokio::test]
async fn a_roster_holds_people_who_stay_with_keys_that_count() {
    on_both(|store: Store| async move {
        let mut tx = store.begin().await.unwrap();
        found(&mut tx).await;
        tx.lock_log().await.unwrap();
        assert!(tx.roster().await.unwrap().is_none());
        let [ines, mara, jun] = [
            person(&mut tx, "Ines").await,
            person(&mut tx, "Mara").await,
            person(&mut tx, "Jun").await,
        ];
        let [first, second]: [NewPasskeyRow; 2] = [passkey(ines, 1), passkey(ines, 2)];
        for key in [&first, &second, &passkey(mara, 3), &passkey(jun, 4)] {
            tx.insert_passkey(key, at(0)).await.unwrap();
        }
        let identity = |actor: &str| CiIdentity {
            issuer: "https://ci.example".to_owned(),
            actor_id: actor.to_owned(),
        };
        let link = |actor: &str, person: Option<PersonId>| LinkedIdentity {
            identity: identity(actor),
            actor_name: "octo".to_owned(),
            person,
            linked_at: at(0),
        };
        assert!(tx.link_ci_identity(&link("1001", Some(ines))).await.unwrap());
        assert!(!tx.link_ci_identity(&link("1001", Some(mara))).await.unwrap());
        assert!(tx.link_ci_identity(&link("9000", None)).await.unwrap());
        tx.suspend_passkey(first.id, at(1)).await.unwrap();
        tx.revoke_passkeys_of(mara, at(1)).await.unwrap();
        tx.mark_left(jun, at(1)).await.unwrap();
        let roster = tx.compose_roster().await.unwrap();
        tx.insert_roster(&roster, at(2)).await.unwrap();
        assert_eq!(tx.roster().await.unwrap(), Some(roster.clone()));
        assert_eq!(roster.revision, 1);
        assert_eq!(tx.compose_roster().await.unwrap().revision, 2);
        assert_eq!(roster.bots, [identity("9000")]);
        assert_eq!(roster.people.len(), 2);
        let ids = |person| -> Vec<CredentialId> {
            let keys = &roster.person(person).unwrap().keys;
            keys.iter().map(|key| key.credential_id.clone()).collect()
        };
        assert_eq!(ids(ines), std::slice::from_ref(&second.credential_id));
        assert!(ids(mara).is_empty());
        assert_eq!(roster.person(ines).unwrap().ci_identities, [identity("1001")]);
        assert!(tx.unlink_ci_identity(&identity("1001")).await.unwrap());
        assert!(!tx.unlink_ci_identity(&identity("1001")).await.unwrap());
    })
    .await;
}

/// I9, with real concurrency: the guarded statements decide, not a read before them.
#[tokio::test]
async fn of_many_that_take_one_ceremony_at_once_one_gets_it() {
    on_both(|store: Store| async move {
        let one = ceremony(CeremonyPurpose::SignIn, 0);
        let mut tx = store.begin().await.unwrap();
        tx.insert_ceremony(&one).await.unwrap();
        tx.commit().await.unwrap();
        let tries = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                let taken = tx.take_ceremony(one.id, CeremonyPurpose::SignIn, at(1)).await.unwrap();
                tx.commit().await.unwrap();
                taken.is_some()
            })
        });
        let mut winners = 0;
        for result in futures_util::future::join_all(tries).await {
            winners += usize::from(result.unwrap());
        }
        assert_eq!(winners, 1);
    })
    .await;
}

/// The row of a key that somebody wrote into the database by hand is a fault that names its place.
#[tokio::test]
async fn an_unreadable_row_names_its_table_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::database::sqlite(folder.path()).await;
    let mut tx = store.begin().await.unwrap();
    let ines = person(&mut tx, "Ines").await;
    let key: PasskeyId = {
        let row = passkey(ines, 1);
        tx.insert_passkey(&row, at(0)).await.unwrap();
        row.id
    };
    tx.commit().await.unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let mut hand = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("update passkeys set public_key = x'00' where id = $1")
        .bind(key.as_bytes().to_vec())
        .execute(&mut hand)
        .await
        .unwrap();
    let mut tx = store.begin().await.unwrap();
    let error = tx.passkeys_of(ines).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `public_key` of table `passkeys` holds something unreadable"
    );
    assert!(tx.compose_roster().await.is_err());
    drop(tx);
}
