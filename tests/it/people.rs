//! People over HTTP: from the claim code to a signed-in session, and every way not to get there.

use countersign::domain::event::Actor;
use countersign::domain::ids::{PersonId, ReleaseId};
use countersign::domain::roster::{CiIdentity, Role, Roster};
use countersign::pipeline::people::{self, IdentityOwner, Invited};
use countersign::pipeline::{Error, Kind, signin};
use countersign::store::Store;
use jiff::SignedDuration;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::authenticator::Authenticator;
use crate::support::database::on_both;
use crate::support::setup::{self, count};
use crate::support::site::Site;

async fn roster(store: &Store) -> Roster {
    store.snapshot().await.unwrap().roster().await.unwrap().expect("a roster")
}

/// Names, keys and sessions in the database: what a refusal must not change.
async fn people_in(store: &Store) -> Vec<(String, usize)> {
    let mut tx = store.snapshot().await.unwrap();
    let mut people = Vec::new();
    for person in tx.people().await.unwrap() {
        let keys = tx.passkeys_of(person.id).await.unwrap().len();
        people.push((person.name, keys));
    }
    people
}

async fn ines(site: &Site) -> PersonId {
    let mut tx = site.app.store.snapshot().await.unwrap();
    tx.person_named("Ines Duarte").await.unwrap().unwrap().id
}

async fn invite(site: &Site, by: PersonId, name: &str) -> Invited {
    let (store, now) = (&site.app.store, site.app.clock.now());
    let (by, name) = (Actor::Person(by), name.to_owned());
    setup::invited(people::add_and_invite(store, now, by, name, Role::Maintainer).await.unwrap())
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Kind {
    match result.unwrap_err() {
        Error::Refused(refusal) => refusal.kind,
        Error::Fault(fault) => panic!("{fault:?}"),
    }
}

#[tokio::test]
async fn the_first_person_claims_enrolls_adds_a_key_signs_out_and_in() {
    on_both(|store| async move {
        let site = Site::on(store.clone()).await;
        let mut browser = site.browser(1);
        let claimed = browser.claim(&site.code.expose().to_lowercase(), " Ines  Duarte ").await;
        assert_eq!(claimed.status, 303);
        let token = claimed.token();
        assert_eq!(token.len(), 43);

        // W12: reading an invitation consumes nothing.
        for _ in 0..2 {
            let shown = people::invitation(&store, &token, site.app.clock.now()).await.unwrap();
            assert_eq!((shown.person_name.as_str(), shown.role), ("Ines Duarte", Role::Owner));
        }
        let enrolled = browser.enrol(&token).await.ok();
        assert_eq!(enrolled.json()["location"], "/me/keys");
        let cookie = enrolled.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("countersign="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
        assert!(browser.read_csrf().await);
        let first = roster(&store).await;
        assert_eq!(first.people[0].keys.len(), 1);

        let before = browser.cookie.clone();
        let key = browser.authenticator.clone();
        browser.authenticator = Authenticator::new(2, &site.origin);
        let answer = browser.answer("/me/keys", &json!({ "name": "Spare" })).await;
        browser.post_json("/me/keys/finish", &answer).await.ok();
        assert_ne!(browser.cookie, before, "a change of keys begins a new session");
        let second = roster(&store).await;
        assert_eq!(second.revision, first.revision + 1);
        assert_eq!(second.people[0].keys.len(), 2);
        let keys = people::my_keys(&store, ines(&site).await).await.unwrap();
        let names: Vec<_> = keys.iter().map(|key| (key.name.as_str(), key.kind)).collect();
        assert_eq!(names, [("First", "Security key"), ("Spare", "Security key")]);

        assert!(browser.read_csrf().await);
        let out = browser.post_form("/logout", &[]).await;
        assert_eq!((out.status.as_u16(), out.location()), (303, "/login"));
        assert!(out.headers.contains_key("clear-site-data"));
        assert_eq!(browser.cookie, None);
        assert!(!browser.read_csrf().await);

        browser.csrf = None;
        browser.authenticator = key;
        browser.authenticator.counter = 0;
        let signed_in = browser.sign_in().await.ok();
        assert_eq!(signed_in.json()["location"], "/");
        assert!(browser.read_csrf().await);
        assert_eq!(roster(&store).await, second, "signing in changes no roster");
    })
    .await;
}

/// The log tells the whole story, in order, with the actors.
#[tokio::test]
async fn every_change_of_people_is_in_the_log() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let ines = ines(&site).await;
        let mut tx = store.snapshot().await.unwrap();
        let release: ReleaseId = countersign::entropy::id(site.app.clock.now()).unwrap();
        let log = tx.log_for_release(release).await.unwrap();
        let kinds: Vec<_> = log.iter().map(|entry| entry.event.kind()).collect();
        assert_eq!(kinds, ["genesis", "roster_revised", "roster_revised"]);
        let countersign::domain::event::Event::RosterRevised { roster, by } = &log[2].event else {
            panic!("{log:?}");
        };
        assert_eq!(*by, Actor::Person(ines));
        assert_eq!(tx.roster().await.unwrap().as_ref(), Some(roster));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_claim_code_and_a_claimed_installation_answer_alike() {
    on_both(|store| async move {
        let site = Site::on(store.clone()).await;
        let mut stranger = site.browser(9);
        let unclaimed = stranger.claim("ACDE-FHJK-MNPQ", "Eve").await.problem(403, "forbidden");
        assert!(people_in(&store).await.is_empty());
        let mut browser = site.browser(1);
        let token = browser.claim(&site.code.expose(), "Ines Duarte").await.token();
        let claimed = stranger.claim("ACDE-FHJK-MNPQ", "Eve").await.problem(403, "forbidden");
        let again = stranger.claim(&site.code.expose(), "Eve").await.problem(403, "forbidden");
        let said = |answer: &crate::support::site::Answered| {
            let mut problem = answer.json();
            problem.as_object_mut().unwrap().remove("instance");
            problem
        };
        assert_eq!(said(&unclaimed), said(&claimed));
        assert_eq!(said(&unclaimed), said(&again));
        assert_eq!(people_in(&store).await, [("Ines Duarte".to_owned(), 0)]);
        browser.enrol(&token).await.ok();
        let now = site.app.clock.now();
        assert!(signin::found_instance(&store, site.origin.clone(), now).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn ten_wrong_claim_codes_replace_the_code_on_the_host() {
    on_both(|store| async move {
        let site = Site::on(store.clone()).await;
        let mut browser = site.browser(1);
        for _ in 0..9 {
            browser.claim("wrong", "Eve").await.problem(403, "forbidden");
        }
        assert!(!site.claim_file().exists());
        browser.claim("wrong", "Eve").await.problem(403, "forbidden");
        let code = std::fs::read_to_string(site.claim_file()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(site.claim_file()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        browser.claim(&site.code.expose(), "Eve").await.problem(403, "forbidden");
        assert!(people_in(&store).await.is_empty());
        assert_eq!(browser.claim(&code, "Ines Duarte").await.status, 303);
        assert!(!site.claim_file().exists());
    })
    .await;
}

#[tokio::test]
async fn a_bad_name_does_not_use_the_claim_code_up() {
    on_both(|store| async move {
        let site = Site::on(store.clone()).await;
        let mut browser = site.browser(1);
        browser.claim(&site.code.expose(), "Ma\u{202e}ra").await.problem(400, "bad-input");
        assert!(people_in(&store).await.is_empty());
        assert_eq!(browser.claim(&site.code.expose(), "Mara").await.status, 303);
    })
    .await;
}

/// The origin is in every passkey and every signature.
#[tokio::test]
async fn an_installation_does_not_start_under_another_origin() {
    on_both(|store| async move {
        let site = Site::on(store.clone()).await;
        let now = site.app.clock.now();
        let other = signin::found_instance(&store, "https://other.example".to_owned(), now).await;
        assert_eq!(refused(other), Kind::BadInput);
        // A restart under the same origin puts another code in place.
        let next = signin::found_instance(&store, site.origin.clone(), now).await.unwrap().unwrap();
        let mut browser = site.browser(1);
        browser.claim(&site.code.expose(), "Eve").await.problem(403, "forbidden");
        assert_eq!(browser.claim(&next.expose(), "Ines").await.status, 303);
    })
    .await;
}

/// Rules W12 and I9.
#[tokio::test]
async fn an_invitation_enrolls_its_own_person_once() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let owner = ines(&site).await;
        let mara = invite(&site, owner, "Mara Lindqvist").await;
        let jun = invite(&site, owner, "Jun Watanabe").await;
        let (to_mara, to_jun) = (mara.token.expose_secret(), jun.token.expose_secret());

        // Begun by one invitation, finished by another: refused, and the answer is used up.
        let mut browser = site.browser(3);
        let answer = browser.answer(&format!("/invite/{to_mara}/passkeys"), &json!({})).await;
        let base = format!("/invite/{to_jun}/passkeys/finish");
        browser.post_json(&base, &answer).await.problem(410, "gone");
        let base = format!("/invite/{to_mara}/passkeys/finish");
        browser.post_json(&base, &answer).await.problem(410, "gone");
        assert_eq!(
            people_in(&store).await[1..],
            [("Jun Watanabe".into(), 0), ("Mara Lindqvist".into(), 0)]
        );

        // Begun by one, finished by a later one of the same person: refused, too.
        let answer = browser.answer(&format!("/invite/{to_mara}/passkeys"), &json!({})).await;
        let mut tx = store.begin().await.unwrap();
        let (now, by) = (site.app.clock.now(), Actor::Person(owner));
        let anew = people::invite(&mut tx, now, &by, mara.person).await.unwrap();
        tx.commit().await.unwrap();
        let base = format!("/invite/{}/passkeys/finish", anew.token.expose_secret());
        browser.post_json(&base, &answer).await.problem(410, "gone");
        assert_eq!(people_in(&store).await[2], ("Mara Lindqvist".into(), 0));

        browser.enrol(anew.token.expose_secret()).await.ok();
        let mut second = site.browser(4);
        let begin = format!("/invite/{to_mara}/passkeys/begin");
        second.post_json(&begin, &json!({})).await.problem(410, "gone");
        assert_eq!(people_in(&store).await[2], ("Mara Lindqvist".into(), 1));
        // Whoever is signed in needs no invitation to add a key.
        let mut tx = store.begin().await.unwrap();
        let (now, by) = (site.app.clock.now(), Actor::Person(owner));
        assert_eq!(refused(people::invite(&mut tx, now, &by, owner).await), Kind::Conflict);
    })
    .await;
}

#[tokio::test]
async fn two_answers_to_one_invitation_enroll_one_key() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let mara = invite(&site, ines(&site).await, "Mara Lindqvist").await;
        let base = format!("/invite/{}/passkeys", mara.token.expose_secret());
        let (mut one, mut two) = (site.browser(3), site.browser(4));
        let (first, second) =
            (one.answer(&base, &json!({})).await, two.answer(&base, &json!({})).await);
        let finish = format!("{base}/finish");
        let (first, second) =
            tokio::join!(one.post_json(&finish, &first), two.post_json(&finish, &second));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 410]);
        assert_eq!(people_in(&store).await[1], ("Mara Lindqvist".into(), 1));
    })
    .await;
}

#[tokio::test]
async fn invitations_that_expired_were_taken_back_or_never_made_are_refused() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let owner = Actor::Person(ines(&site).await);
        let mara = invite(&site, ines(&site).await, "Mara Lindqvist").await;
        let mut browser = site.browser(3);
        let begin =
            |invited: &Invited| format!("/invite/{}/passkeys/begin", invited.token.expose_secret());
        let unknown = format!("/invite/{}/passkeys/begin", "x".repeat(43));
        browser.post_json(&unknown, &json!({})).await.problem(404, "not-found");

        let mut tx = store.begin().await.unwrap();
        let now = site.app.clock.now();
        people::revoke_invitation(&mut tx, now, &owner, mara.id).await.unwrap();
        let next = people::invite(&mut tx, now, &owner, mara.person).await.unwrap();
        let last = people::invite(&mut tx, now, &owner, mara.person).await.unwrap();
        tx.commit().await.unwrap();
        browser.post_json(&begin(&mara), &json!({})).await.problem(410, "gone");
        browser.post_json(&begin(&next), &json!({})).await.problem(410, "gone");

        let base = format!("/invite/{}/passkeys", last.token.expose_secret());
        let answer = browser.answer(&base, &json!({})).await;
        site.app.clock.advance(people::INVITATION_LIFETIME);
        browser.post_json(&begin(&last), &json!({})).await.problem(410, "gone");
        browser.post_json(&format!("{base}/finish"), &answer).await.problem(410, "gone");
        assert_eq!(people_in(&store).await[1], ("Mara Lindqvist".into(), 0));
    })
    .await;
}

/// Rule W7: a key that one person enrolled is nobody else's.
#[tokio::test]
async fn a_key_cannot_be_enrolled_by_two_people() {
    on_both(|store| async move {
        let (site, browser) = Site::claimed(store.clone()).await;
        let mara = invite(&site, ines(&site).await, "Mara Lindqvist").await;
        let mut thief = site.browser(1);
        thief.authenticator = browser.authenticator.clone();
        let refused = thief.enrol(mara.token.expose_secret()).await;
        refused.problem(409, "conflict");
        assert_eq!(people_in(&store).await[1], ("Mara Lindqvist".into(), 0));
        // The invitation was not used up by that.
        site.browser(3).enrol(mara.token.expose_secret()).await.ok();
    })
    .await;
}

/// Rows V01, V02, V03, V06.
#[tokio::test]
async fn a_sign_in_is_finished_once_in_time_and_only_as_a_sign_in() {
    on_both(|store| async move {
        let (site, signed_in) = Site::claimed(store.clone()).await;
        let mut browser = signed_in.elsewhere();
        let never = json!({ "ceremony": uuid::Uuid::nil(), "credential": {} });
        browser.post_json("/login/finish", &never).await.problem(410, "gone");

        let answer = browser.answer("/login", &json!({})).await;
        browser.post_json("/login/finish", &answer).await.ok();
        let mut again = browser.elsewhere();
        again.post_json("/login/finish", &answer).await.problem(410, "gone");

        // Consumed on failure too: first a broken answer, then the right one.
        let answer = again.answer("/login", &json!({})).await;
        let mut broken = answer.clone();
        broken["credential"]["response"]["signature"] = json!("MEUCIQ");
        again.post_json("/login/finish", &broken).await.problem(401, "not-authenticated");
        again.post_json("/login/finish", &answer).await.problem(410, "gone");

        let late = again.answer("/login", &json!({})).await;
        site.app.clock.advance(SignedDuration::from_secs(121));
        again.post_json("/login/finish", &late).await.problem(410, "gone");

        // An answer to a sign-in is no answer to an enrolment, and used up by the try.
        let mut owner = signed_in;
        assert!(owner.read_csrf().await);
        let answer = owner.answer("/login", &json!({})).await;
        owner.post_json("/me/keys/finish", &answer).await.problem(410, "gone");
        owner.post_json("/login/finish", &answer).await.problem(410, "gone");
        assert_eq!(people_in(&store).await, [("Ines Duarte".to_owned(), 1)]);
    })
    .await;
}

/// Row V04.
#[tokio::test]
async fn a_new_key_is_finished_in_the_session_that_began_it() {
    on_both(|store| async move {
        let (site, mut one) = Site::claimed(store.clone()).await;
        let mut two = one.elsewhere();
        two.sign_in().await.ok();
        two.read_csrf().await;
        one.authenticator = Authenticator::new(5, &site.origin);
        let answer = one.answer("/me/keys", &json!({})).await;
        two.post_json("/me/keys/finish", &answer).await.problem(410, "gone");
        one.post_json("/me/keys/finish", &answer).await.problem(410, "gone");
        let answer = one.answer("/me/keys", &json!({})).await;
        one.post_form("/logout", &[]).await.ok();
        one.post_json("/me/keys/finish", &answer).await.problem(401, "not-authenticated");
        assert_eq!(people_in(&store).await, [("Ines Duarte".to_owned(), 1)]);
    })
    .await;
}

/// Row V05: the key says who signs in; a handle of somebody else, or an unknown key, is refused.
#[tokio::test]
async fn unknown_keys_and_foreign_handles_do_not_sign_in() {
    on_both(|store| async move {
        let (site, owner) = Site::claimed(store.clone()).await;
        let mara = invite(&site, ines(&site).await, "Mara Lindqvist").await;
        let mut browser = site.browser(7);
        browser.authenticator.user_handle = Some(mara.person.as_bytes().to_vec());
        browser.sign_in().await.problem(401, "not-authenticated");
        let mut browser = owner.elsewhere();
        browser.authenticator.user_handle = Some(mara.person.as_bytes().to_vec());
        browser.sign_in().await.problem(401, "not-authenticated");
        assert_eq!(browser.cookie, None);
    })
    .await;
}

/// Rule W9: the suspension is kept although the request is refused.
#[tokio::test]
async fn a_counter_that_went_back_suspends_the_key_and_ends_the_sessions() {
    on_both(|store| async move {
        let (site, mut owner) = Site::claimed(store.clone()).await;
        let mut copy = owner.elsewhere();
        copy.sign_in().await.ok();
        copy.sign_in().await.ok();
        let before = roster(&store).await;
        let mut behind = owner.elsewhere();
        behind.sign_in().await.problem(401, "not-authenticated");
        let after = roster(&store).await;
        assert_eq!(after.revision, before.revision + 1);
        assert!(after.people[0].keys.is_empty());
        assert!(!owner.read_csrf().await);
        assert!(!copy.read_csrf().await);
        copy.csrf = None;
        copy.sign_in().await.problem(401, "not-authenticated");
        let keys = people::my_keys(&store, ines(&site).await).await.unwrap();
        assert!(keys[0].suspended_at.is_some());
    })
    .await;
}

/// Rule S1.
#[tokio::test]
async fn sessions_end_after_idling_and_after_half_a_day() {
    on_both(|store| async move {
        let (site, mut browser) = Site::claimed(store.clone()).await;
        for _ in 0..3 {
            site.app.clock.advance(SignedDuration::from_mins(29));
            assert!(browser.read_csrf().await);
        }
        site.app.clock.advance(SignedDuration::from_mins(30));
        assert!(!browser.read_csrf().await);

        browser.csrf = None;
        browser.sign_in().await.ok();
        let mut hours = 0;
        while browser.read_csrf().await {
            site.app.clock.advance(SignedDuration::from_mins(20));
            hours += 1;
            assert!(hours < 100, "a session that never ends");
        }
        assert_eq!(hours, 36, "twelve hours of twenty minutes");
    })
    .await;
}

#[tokio::test]
async fn the_eleventh_session_ends_the_first() {
    on_both(|store| async move {
        let (site, first) = Site::claimed(store.clone()).await;
        let mut browsers = vec![first];
        for _ in 0..10 {
            site.app.clock.advance(SignedDuration::from_secs(1));
            let mut next = browsers.last().unwrap().elsewhere();
            next.sign_in().await.ok();
            browsers.push(next);
        }
        let mut live = Vec::new();
        for browser in &mut browsers {
            live.push(browser.read_csrf().await);
        }
        assert_eq!(live.iter().filter(|live| **live).count(), 10);
        assert!(!live[0]);
    })
    .await;
}

/// Rows W08 and W09: an old cookie is worth nothing, and a planted one never becomes a session.
#[tokio::test]
async fn cookies_are_neither_replayed_nor_planted() {
    on_both(|store| async move {
        let (_site, mut browser) = Site::claimed(store.clone()).await;
        let mut thief = browser.clone();
        browser.post_form("/logout", &[]).await.ok();
        assert!(!thief.read_csrf().await);

        let planted = format!("countersign={}", "A".repeat(43));
        browser.cookie = Some(planted.clone());
        browser.csrf = None;
        browser.sign_in().await.ok();
        assert_ne!(browser.cookie, Some(planted.clone()));
        thief.cookie = Some(planted);
        assert!(!thief.read_csrf().await);

        // Signing in again in the same browser ends the session before it.
        let before = browser.cookie.clone();
        browser.sign_in().await.ok();
        thief.cookie = before;
        assert!(!thief.read_csrf().await);
        assert!(browser.read_csrf().await);
    })
    .await;
}

/// Rows W01 to W07, rule S2.
#[tokio::test]
async fn only_pages_of_this_site_change_anything() {
    on_both(|store| async move {
        let (site, mut browser) = Site::claimed(store.clone()).await;
        let origin = site.origin.clone();
        let sibling = origin.replace("localhost", "sibling.localhost");
        let csrf = browser.csrf.clone().unwrap();
        let good: [(&str, &str); 4] = [
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
            ("x-csrf-token", &csrf),
        ];
        let with = |name: &'static str, value: Option<&str>| -> Vec<(String, String)> {
            let kept = good.iter().filter(|(key, _)| *key != name);
            let mut lines: Vec<_> =
                kept.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            lines.extend(value.map(|value| (name.to_owned(), value.to_owned())));
            lines
        };
        let mut twice = with("x", None);
        twice.push(("origin".to_owned(), origin.clone()));
        let rows = [
            ("W01", with("origin", None), 403),
            ("W02", with("origin", Some("https://evil.example")), 403),
            ("W03", with("origin", Some("null")), 403),
            ("W04", with("origin", Some(&sibling)), 403),
            ("W04 by fetch metadata", with("sec-fetch-site", Some("same-site")), 403),
            ("W05", with("sec-fetch-site", Some("cross-site")), 403),
            ("two origins", twice, 403),
            ("W06", with("content-type", Some("text/plain")), 400),
            ("W06 with a parameter", with("content-type", Some("application/json; x=1")), 400),
            ("W07", with("x-csrf-token", None), 403),
            ("W07 of another session", with("x-csrf-token", Some(&"x".repeat(43))), 403),
        ];
        for (row, headers, status) in rows {
            let lines: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let answer =
                browser.send(Method::POST, "/me/keys/begin", &lines, "{}".to_owned()).await;
            assert_eq!(answer.status.as_u16(), status, "{row}: {answer:?}");
        }
        let answer = browser.send(Method::POST, "/me/keys/begin", &good, "{}".to_owned()).await;
        assert_eq!(answer.status, 200, "{answer:?}");

        // The forms: an ended session would show that one of them worked.
        let form = "application/x-www-form-urlencoded";
        let token = format!("csrf={csrf}");
        for (origin, kind, body) in [
            ("https://evil.example", form, token.as_str()),
            (&origin, "application/json", &token),
            (&origin, form, ""),
            (&origin, form, "csrf=wrong"),
        ] {
            let lines = [("origin", origin), ("content-type", kind)];
            let answer = browser.send(Method::POST, "/logout", &lines, body.to_owned()).await;
            assert!(answer.status.is_client_error(), "{origin} {kind} {body}: {answer:?}");
        }
        let lines = [("origin", "https://evil.example"), ("content-type", form)];
        let claim = browser.send(Method::POST, "/setup/claim", &lines, "code=x&name=y".to_owned());
        claim.await.problem(403, "forbidden");
        let login =
            browser.send(Method::POST, "/login/begin", &[("origin", "null")], "{}".to_owned());
        login.await.problem(403, "forbidden");
        assert!(browser.read_csrf().await);
    })
    .await;
}

/// Whoever else reads a body, such as a proxy with rules, reads the same as we do.
#[tokio::test]
async fn a_body_with_two_meanings_is_not_read() {
    on_both(|store| async move {
        let (site, mut browser) = Site::claimed(store.clone()).await;
        let (origin, csrf) = (site.origin.clone(), browser.csrf.clone().unwrap());
        let headers: [(&str, &str); 3] =
            [("origin", &origin), ("content-type", "application/json"), ("x-csrf-token", &csrf)];
        let deep = format!(r#"{{"name":"Spare","more":{}{}}}"#, "[".repeat(32), "]".repeat(32));
        let before = count(&store, "ceremonies").await;
        for body in [r#"{"name":"One","name":"Two"}"#, "\u{feff}{}", &deep] {
            let answer = browser.send(Method::POST, "/me/keys/begin", &headers, body.to_owned());
            answer.await.problem(400, "bad-input");
        }
        assert_eq!(count(&store, "ceremonies").await, before);
        let shallow = deep.replacen("[[", "[", 1).replacen("]]", "]", 1);
        browser.send(Method::POST, "/me/keys/begin", &headers, shallow).await.ok();
    })
    .await;
}

#[tokio::test]
async fn people_are_sent_to_sign_in_and_back_and_scripts_are_told() {
    on_both(|store| async move {
        let (site, owner) = Site::claimed(store.clone()).await;
        let mut stranger = owner.elsewhere();
        let sent = stranger.get("/me?tab=keys", "text/html").await;
        assert_eq!(
            (sent.status.as_u16(), sent.location()),
            (303, "/login?next=%2Fme%3Ftab%3Dkeys")
        );
        stranger.get("/me", "application/json").await.problem(401, "not-authenticated");
        for (next, place) in [
            ("/me?tab=keys", "/me?tab=keys"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
        ] {
            let answer = stranger.answer("/login", &json!({ "next": next })).await;
            let finished = stranger.post_json("/login/finish", &answer).await.ok();
            assert_eq!(finished.json()["location"], place);
        }
        // A problem that a person sees is a page.
        let lines = [("accept", "text/html"), ("origin", site.origin.as_str())];
        let answer = stranger.send(Method::POST, "/logout", &lines, String::new()).await;
        assert_eq!(answer.status, 400);
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert!(answer.text.starts_with("<!doctype html>") && answer.text.contains(id));
    })
    .await;
}

#[tokio::test]
async fn bodies_are_bounded_and_bearer_tokens_are_not_read_here() {
    on_both(|store| async move {
        let (_site, mut browser) = Site::claimed(store.clone()).await;
        let long = json!({ "name": "x".repeat(256 * 1024) });
        browser.post_json("/me/keys/begin", &long).await.problem(413, "too-large");
        let long = "x".repeat(64 * 1024);
        browser.post_form("/logout", &[("x", &long)]).await.problem(413, "too-large");
        assert!(browser.read_csrf().await);
        let cookie = browser.cookie.take().unwrap();
        let bearer = format!("Bearer {}", cookie.split_once('=').unwrap().1);
        let lines = [("authorization", bearer.as_str()), ("accept", "application/json")];
        let answer = browser.send(Method::GET, "/me", &lines, String::new()).await;
        answer.problem(401, "not-authenticated");
    })
    .await;
}

/// Ruling Q20: at once, but never the last one.
#[tokio::test]
async fn a_key_is_removed_by_its_owner_and_the_last_one_stays() {
    on_both(|store| async move {
        let (site, mut browser) = Site::claimed(store.clone()).await;
        let person = ines(&site).await;
        let only = people::my_keys(&store, person).await.unwrap()[0].id;
        let path = format!("/me/keys/{only}/remove");
        browser.post_form(&path, &[]).await.problem(409, "conflict");
        assert_eq!(people_in(&store).await, [("Ines Duarte".to_owned(), 1)]);

        browser.authenticator = Authenticator::new(2, &site.origin);
        let answer = browser.answer("/me/keys", &json!({})).await;
        browser.post_json("/me/keys/finish", &answer).await.ok();
        browser.read_csrf().await;
        let mara = invite(&site, person, "Mara Lindqvist").await;
        let mut other = site.browser(3);
        other.enrol(mara.token.expose_secret()).await.ok();
        other.read_csrf().await;
        other.post_form(&path, &[]).await.problem(404, "not-found");
        assert_eq!(browser.post_form(&path, &[]).await.location(), "/me/keys");
        let keys = people::my_keys(&store, person).await.unwrap();
        assert!(keys.len() == 1 && keys[0].id != only);
        assert_eq!(roster(&store).await.person(person).unwrap().keys.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn only_owners_change_people_and_the_last_owner_stays() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let (owner, now) = (Actor::Person(ines(&site).await), site.app.clock.now());
        let invited = invite(&site, ines(&site).await, "Mara Lindqvist").await;
        let mut browser = site.browser(3);
        browser.enrol(invited.token.expose_secret()).await.ok();
        let mara = Actor::Person(invited.person);
        let before = roster(&store).await;
        let adding = |by: Actor, name: &str| {
            people::add_and_invite(&store, now, by, name.to_owned(), Role::Owner)
        };
        assert_eq!(refused(adding(mara.clone(), "Eve").await), Kind::Forbidden);
        assert_eq!(refused(adding(Actor::Gateway, "Eve").await), Kind::Forbidden);
        assert_eq!(refused(adding(owner.clone(), "Mara  Lindqvist").await), Kind::Conflict);
        let mut tx = store.begin().await.unwrap();
        let leaving = people::leave(&mut tx, now, &owner, ines(&site).await).await;
        assert_eq!(refused(leaving), Kind::Conflict);
        let demoting =
            people::change_role(&mut tx, now, &owner, ines(&site).await, Role::Viewer).await;
        assert_eq!(refused(demoting), Kind::Conflict);
        let raising = people::change_role(&mut tx, now, &mara, invited.person, Role::Owner).await;
        assert_eq!(refused(raising), Kind::Forbidden);
        drop(tx);
        assert_eq!(roster(&store).await, before);

        assert!(browser.read_csrf().await);
        let mut tx = store.begin().await.unwrap();
        people::leave(&mut tx, now, &owner, invited.person).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!browser.read_csrf().await);
        browser.csrf = None;
        browser.sign_in().await.problem(401, "not-authenticated");
        assert!(roster(&store).await.person(invited.person).is_none());
        assert_eq!(refused(people::person(&store, invited.person).await), Kind::NotFound);
    })
    .await;
}

/// Ruling Q16.
#[tokio::test]
async fn ci_identities_are_settled_once_by_owners_or_for_oneself() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let (first, now) = (ines(&site).await, site.app.clock.now());
        let owner = Actor::Person(first);
        let invited = invite(&site, first, "Mara Lindqvist").await;
        let mara = Actor::Person(invited.person);
        let identity = |actor: &str| CiIdentity {
            issuer: "https://ci.example".to_owned(),
            actor_id: actor.to_owned(),
        };
        let mut tx = store.begin().await.unwrap();
        let (own, bot) = (IdentityOwner::Person(invited.person), IdentityOwner::Bot);
        for (by, actor, whose, expected) in [
            (&mara, "1002", own, Some(Kind::Forbidden)), // has not joined
            (&mara, "9000", bot, Some(Kind::Forbidden)),
            (&mara, "1001", IdentityOwner::Person(first), Some(Kind::Forbidden)),
            (&owner, "1002", own, None),
            (&owner, "1002", bot, Some(Kind::Conflict)),
            (&owner, "9000", bot, None),
            (&owner, "", bot, Some(Kind::BadInput)),
        ] {
            let result =
                people::link_ci_identity(&mut tx, now, by, identity(actor), "octo", whose).await;
            match expected {
                None => assert_eq!(result.unwrap(), None),
                Some(kind) => assert_eq!(refused(result), kind, "{actor} {whose:?}"),
            }
        }
        tx.commit().await.unwrap();
        let now_roster = roster(&store).await;
        assert_eq!(now_roster.bots, [identity("9000")]);
        let linked = &now_roster.person(invited.person).unwrap().ci_identities;
        assert_eq!(*linked, [identity("1002")]);
        site.browser(3).enrol(invited.token.expose_secret()).await.ok();
        let mut tx = store.begin().await.unwrap();
        people::link_ci_identity(&mut tx, now, &mara, identity("1003"), "m", own).await.unwrap();
        let unlinking = people::unlink_ci_identity(&mut tx, now, &mara, &identity("1003")).await;
        assert_eq!(refused(unlinking), Kind::Forbidden);
        people::unlink_ci_identity(&mut tx, now, &owner, &identity("9000")).await.unwrap();
        tx.commit().await.unwrap();
        let overview = people::people_overview(&store, now).await.unwrap();
        assert!(overview.bots.is_empty() && overview.invitations.is_empty());
        let mara = &overview.people[1];
        assert_eq!((mara.person.name.as_str(), mara.keys.len()), ("Mara Lindqvist", 1));
        assert_eq!(mara.ci_identities.len(), 2);
    })
    .await;
}

/// Two owners change people at the same moment: the roster has both changes and no gap.
#[tokio::test]
async fn changes_at_the_same_moment_give_one_roster_after_the_other() {
    on_both(|store| async move {
        let (site, _) = Site::claimed(store.clone()).await;
        let by = ines(&site).await;
        let before = roster(&store).await.revision;
        let names: Vec<String> = (0..6).map(|n| format!("Person {n}")).collect();
        let adding = names.iter().map(|name| invite(&site, by, name));
        futures_util::future::join_all(adding).await;
        let after = roster(&store).await;
        assert_eq!(after.revision, before + 6);
        assert_eq!(after.people.len(), 7);
    })
    .await;
}
