//! Lost keys: peers who vouch for a new one, and the recovery key when no quorum is left (W12-W14,
//! Q19, Q20).

use countersign::cli::recover::{Recover, Step};
use countersign::domain::event::Actor;
use countersign::domain::governed::{Governed, PROBATION};
use countersign::domain::ids::{PersonId, ProposalId};
use countersign::domain::proposal::{Change, Proposal};
use countersign::domain::quorum::Verdict;
use countersign::domain::release::State;
use countersign::pipeline::governance::{enact_due, governed, recovery};
use countersign::pipeline::{Kind, Result, people, setup};
use countersign::store::Store;
use countersign::store::proposals::ProposalRow;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::governance::{carry, decide, row};
use crate::support::authenticator::Authenticator;
use crate::support::database::{on_both, sqlite};
use crate::support::desk::{Desk, Person, refused};
use crate::support::governing::DELAY;
use crate::support::setup::count;
use crate::support::site::Browser;

async fn in_force(store: &Store) -> Governed {
    governed(&mut store.snapshot().await.unwrap()).await.unwrap()
}

/// The only proposal that waits.
async fn waiting(store: &Store) -> Proposal {
    let governed = in_force(store).await;
    let mut open = governed.proposals().map(|open| open.proposal.clone());
    let only = open.next().expect("a proposal");
    assert!(open.next().is_none());
    only
}

/// Their keys by the log.
async fn keys(store: &Store, person: PersonId) -> Vec<Vec<u8>> {
    let governed = in_force(store).await;
    let keys = &governed.roster().unwrap().person(person).unwrap().keys;
    keys.iter().map(|key| key.credential_id.as_bytes().to_vec()).collect()
}

/// An owner invites somebody anew, who enrols the key of this seed.
async fn enrol_anew(desk: &Desk, by: Actor, person: PersonId, seed: u8) -> Browser {
    let mut tx = desk.store().begin().await.unwrap();
    let invited = people::invite(&mut tx, desk.world.now(), &by, person).await.unwrap();
    tx.commit().await.unwrap();
    let mut browser = desk.world.site.browser(seed);
    browser.enrol(invited.token.expose_secret()).await.ok();
    assert!(browser.read_csrf().await, "signed in");
    browser
}

/// The same person with another key.
fn with_key(person: &Person, key: &Authenticator) -> Person {
    Person { signer: person.signer.clone(), key: key.clone() }
}

/// Rules W12-W14, ruling Q20: the others decide; the new key replaces the lost ones and objects for
/// three days before it approves.
#[tokio::test]
async fn whoever_lost_their_keys_enrols_a_new_one_that_the_others_vouch_for() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let (ines, jun) = (people[0].id(), people[2].id());
        let mut browser = enrol_anew(&desk, Actor::Person(ines), jun, 9).await;
        browser.post_form("/me/sessions/end-others", &[]).await.problem(403, "forbidden");
        let before = keys(&store, jun).await;
        assert_eq!(before, [people[2].key.id.clone()]);

        let proposal = waiting(&store).await;
        assert!(matches!(proposal.changes[..], [Change::RevokeKey { .. }, Change::AddKey { .. }]));
        assert_eq!((proposal.by, proposal.subjects().into_iter().collect()), (ines, vec![jun]));
        let mut new = with_key(&people[2], &browser.authenticator);
        for verdict in [Verdict::Approve, Verdict::Reject] {
            let own = decide(&desk, &mut people[2], proposal.id, verdict).await;
            assert_eq!(refused(own), Kind::Forbidden, "the subject (Q20)");
            let early = desk.decide(&mut new, desk.release, verdict).await;
            assert!(matches!(refused(early), Kind::Forbidden | Kind::BadInput), "no key yet");
        }
        assert!(carry(&desk, &mut people, proposal.id).await);
        assert_eq!(keys(&store, jun).await, [new.key.id.clone()]);
        let mut old = desk.world.site.browser(3);
        old.sign_in().await.problem(401, "not-authenticated");

        let early = desk.decide(&mut new, desk.release, Verdict::Approve).await;
        assert_eq!(refused(early), Kind::Forbidden, "on probation (W13)");
        let next = desk.stage("2.0.0").await;
        let objected = desk.decide(&mut new, next, Verdict::Reject).await.unwrap();
        assert_eq!(objected.state, State::Rejected);
        desk.world.pass(PROBATION);
        let third = desk.stage("3.0.0").await;
        desk.decide(&mut new, third, Verdict::Approve).await.unwrap();
    })
    .await;
}

/// Rule W14: whoever made the invitation can use it, and gains nothing by that.
#[tokio::test]
async fn a_key_that_nobody_vouched_for_reads_and_ends_with_an_objection() {
    on_both(async |store: Store| {
        let (desk, [ines, mut mara, jun]) = Desk::founded(store.clone()).await;
        let mut thief = enrol_anew(&desk, Actor::Person(ines.id()), jun.id(), 9).await;
        let before = (keys(&store, jun.id()).await, count(&store, "log_entries").await);
        let add = thief.post_json("/me/keys/begin", &json!({})).await;
        add.problem(403, "forbidden");
        thief.sign_in().await.ok();
        thief.read_csrf().await;
        let hold = format!("/releases/{}/hold", desk.release);
        thief.post_form(&hold, &[("note", "x")]).await.problem(403, "forbidden");
        let begin = format!("/releases/{}/reject/begin", desk.release);
        thief.post_json(&begin, &json!({ "reason": "x" })).await.problem(403, "forbidden");
        assert_eq!((keys(&store, jun.id()).await, count(&store, "log_entries").await), before);

        let id = waiting(&store).await.id;
        decide(&desk, &mut mara, id, Verdict::Reject).await.unwrap();
        assert_eq!(row(&store, id).await, ProposalRow::Rejected);
        assert!(!thief.read_csrf().await, "nor does it read on");
        thief.csrf = None;
        thief.sign_in().await.problem(401, "not-authenticated");
        assert_eq!(keys(&store, jun.id()).await, before.0);
    })
    .await;
}

/// Before the founding an owner sets everything up, lost keys too.
#[tokio::test]
async fn before_the_founding_a_lost_key_is_replaced_at_once() {
    on_both(async |store: Store| {
        let (desk, [ines, mara, _]) = Desk::open(store.clone()).await;
        let mut browser = enrol_anew(&desk, Actor::Person(ines.id()), mara.id(), 9).await;
        assert_eq!(keys(&store, mara.id()).await, [browser.authenticator.id.clone()]);
        browser.post_form("/me/sessions/end-others", &[]).await.ok();
        desk.world.mara.elsewhere().sign_in().await.problem(401, "not-authenticated");
    })
    .await;
}

/// Rule W14: keys in other hands go as soon as a quorum signed, and their owner is suspended.
#[tokio::test]
async fn revoking_somebodys_last_key_suspends_them_until_they_enrol_another() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let (ines, jun) = (Actor::Person(people[0].id()), people[2].id());
        let mut browser = desk.world.site.browser(3);
        browser.authenticator = people[2].key.clone();
        browser.sign_in().await.ok();
        let now = desk.world.now();
        let mut tx = store.begin().await.unwrap();
        let by_mara = people::revoke_keys(&mut tx, now, &Actor::Person(people[1].id()), jun).await;
        assert_eq!(refused(by_mara), Kind::Forbidden);
        let id = people::revoke_keys(&mut tx, now, &ines, jun).await.unwrap().unwrap();
        // While that waits there is nothing further to revoke.
        assert_eq!(refused(people::revoke_keys(&mut tx, now, &ines, jun).await), Kind::Conflict);
        tx.commit().await.unwrap();
        assert!(!browser.read_csrf().await, "signed out at once");
        assert!(!decide(&desk, &mut people[0], id, Verdict::Approve).await.unwrap());
        assert!(decide(&desk, &mut people[1], id, Verdict::Approve).await.unwrap(), "no delay");
        assert_eq!(keys(&store, jun).await, Vec::<Vec<u8>>::new());
        browser.csrf = None;
        browser.sign_in().await.problem(401, "not-authenticated");
        let suspended = desk.decide(&mut people[2], desk.release, Verdict::Reject).await;
        assert!(matches!(refused(suspended), Kind::Forbidden | Kind::BadInput));

        let anew = enrol_anew(&desk, ines, jun, 9).await;
        let id = waiting(&store).await.id;
        assert!(carry(&desk, &mut people, id).await);
        assert_eq!(keys(&store, jun).await, [anew.authenticator.id]);
    })
    .await;
}

/// Ruling Q20: one's own key goes by one's own signature, without anybody else.
#[tokio::test]
async fn one_removes_an_own_key_alone_after_the_founding() {
    on_both(async |store: Store| {
        let (mut desk, [_, mut mara, _]) = Desk::founded(store.clone()).await;
        let first = people::my_keys(&store, mara.id()).await.unwrap()[0].id;
        let browser = &mut desk.world.mara;
        let lost = browser.authenticator.id.clone();
        browser.authenticator = Authenticator::new(9, &browser.origin);
        let answer = browser.answer("/me/keys", &json!({})).await;
        let added = browser.post_json("/me/keys/finish", &answer).await.ok().json();
        let proposal = |place: &str| -> ProposalId {
            place.strip_prefix("/proposals/").expect("a proposal").parse().unwrap()
        };
        let adding = proposal(added["location"].as_str().unwrap());
        browser.read_csrf().await;
        let new = browser.authenticator.id.clone();
        assert!(decide(&desk, &mut mara, adding, Verdict::Approve).await.unwrap());
        assert_eq!(keys(&store, mara.id()).await, [lost, new.clone()]);

        let removed = desk.world.mara.post_form(&format!("/me/keys/{first}/remove"), &[]).await;
        let removing = proposal(removed.location());
        assert_eq!(keys(&store, mara.id()).await.len(), 2, "not before it is signed");
        assert!(decide(&desk, &mut mara, removing, Verdict::Approve).await.unwrap());
        assert_eq!(keys(&store, mara.id()).await, [new]);
    })
    .await;
}

/// What `countersign recover` prints for one step, on the configuration of the site.
async fn command(desk: &Desk, step: Step) -> Result<String> {
    let config = desk.world.site.app.config.data_dir.join("countersign.toml");
    let mut out = Vec::new();
    Recover { config, step }.run(&mut out, desk.world.now()).await?;
    Ok(String::from_utf8(out).unwrap())
}

/// Ruling Q19, by the command and in the browser: a link, a key that waits, the sheet from the safe,
/// an alarm on every page for the whole delay, and a key on probation.
#[tokio::test]
async fn the_recovery_key_gives_somebody_a_key_after_a_delay_that_everybody_sees() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let (mut desk, [ines, _, jun], sheet) = Desk::founded_with_sheet(store.clone()).await;
    let data = desk.world.site.app.config.data_dir.clone();
    let text = std::fs::read_to_string(data.join("countersign.toml")).unwrap();
    let database = format!("[database]\nurl = \"sqlite:{}/test.db\"\n", folder.path().display());
    std::fs::write(data.join("countersign.toml"), text + &database).unwrap();

    let nobody = command(&desk, Step::Invite { name: "Jun".to_owned() }).await;
    assert_eq!(refused(nobody), Kind::NotFound);
    let name = "Jun Watanabe".to_owned();
    let printed = command(&desk, Step::Invite { name }).await.unwrap();
    let token = printed.lines().next().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut browser = desk.world.site.browser(9);
    browser.enrol(&token).await.ok();
    let proposal = waiting(&store).await;
    assert_eq!(proposal.by, ines.id(), "an owner other than the subject");
    let listed = command(&desk, Step::List).await.unwrap();
    let words = listed.split("a key for Jun Watanabe: ").nth(1).unwrap().trim().to_owned();
    assert!(listed.starts_with(&proposal.id.to_string()), "{listed}");
    let page = browser.get("/me/keys", "text/html").await.ok().text;
    assert!(page.contains(&words), "the same words for whoever enrolled it");
    assert!(page.contains("You are signed in for reading"));

    let file = data.join("sheet");
    let sign = |text: String| {
        std::fs::write(&file, text).unwrap();
        command(&desk, Step::Sign { proposal: proposal.id, secret_file: Some(file.clone()) })
    };
    let before = count(&store, "log_entries").await;
    assert_eq!(refused(sign("another".to_owned()).await), Kind::BadInput);
    let foreign = format!("countersign-recovery-{}", "A".repeat(43));
    assert_eq!(refused(sign(foreign).await), Kind::Forbidden);
    assert_eq!(count(&store, "log_entries").await, before);
    sign(format!("{}\n", sheet.expose())).await.unwrap();
    assert_eq!(refused(sign(sheet.expose().to_owned()).await), Kind::Conflict, "once");
    assert_eq!(count(&store, "log_entries").await, before + 1);

    for path in ["/", "/people", "/me/keys", "/health-page"] {
        let page = desk.world.ines.get(path, "text/html").await.ok().text;
        assert!(page.contains("Somebody used the recovery key for Jun Watanabe"), "{path}");
    }
    desk.world.pass(DELAY - SignedDuration::from_secs(1));
    assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 0);
    desk.world.pass(SignedDuration::from_secs(1));
    assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 1);
    assert_eq!(keys(&store, jun.id()).await, [browser.authenticator.id.clone()]);
    desk.world.ines.authenticator = ines.key.clone();
    desk.world.ines.sign_in().await.ok();
    let page = desk.world.ines.get("/", "text/html").await.ok().text;
    assert!(!page.contains("Somebody used the recovery key"));
    let mut new = with_key(&jun, &browser.authenticator);
    let early = desk.decide(&mut new, desk.release, Verdict::Approve).await;
    assert_eq!(refused(early), Kind::Forbidden, "on probation");
}

/// Ruling Q19: one objection ends it, whoever is recovered does not object for themselves, and the
/// sheet changes nothing but keys.
#[tokio::test]
async fn an_objection_ends_a_recovery_and_the_sheet_changes_no_rule() {
    on_both(async |store: Store| {
        let (desk, mut people, sheet) = Desk::founded_with_sheet(store.clone()).await;
        let (ines, jun) = (people[0].id(), people[2].id());
        let policy = store.snapshot().await.unwrap().policies().await.unwrap().remove(0).id();
        let (by, now) = (Actor::Person(ines), desk.world.now());
        let saved = setup::revise_policy(&store, by, policy, desk.draft(1), now).await.unwrap();
        let rule = saved.proposal.unwrap();
        let before = count(&store, "log_entries").await;
        let signed = recovery::sign(&store, sheet.clone(), rule, now).await;
        assert_eq!(refused(signed), Kind::Forbidden);
        assert_eq!(count(&store, "log_entries").await, before);
        decide(&desk, &mut people[1], rule, Verdict::Reject).await.unwrap();

        enrol_anew(&desk, Actor::Host, jun, 9).await;
        let id = waiting(&store).await.id;
        let now = desk.world.now();
        let until = recovery::sign(&store, sheet.clone(), id, now).await.unwrap();
        assert_eq!(until, now + DELAY);
        let [alarm] = &recovery::alarms(&store).await.unwrap()[..] else { panic!("an alarm") };
        assert_eq!((alarm.proposal, alarm.until), (id, until));
        let own = decide(&desk, &mut people[2], id, Verdict::Reject).await;
        assert_eq!(refused(own), Kind::Forbidden, "the subject");
        decide(&desk, &mut people[1], id, Verdict::Reject).await.unwrap();
        assert_eq!(row(&store, id).await, ProposalRow::Rejected);
        assert!(recovery::alarms(&store).await.unwrap().is_empty());
        desk.world.pass(DELAY);
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 0);
        let late = recovery::sign(&store, sheet, id, desk.world.now()).await;
        assert_eq!(refused(late), Kind::Gone);
        assert_eq!(keys(&store, jun).await, [people[2].key.id.clone()]);
    })
    .await;
}

/// The only owner can be recovered, too: nobody else could propose it.
#[tokio::test]
async fn the_only_owner_is_recovered_by_a_proposal_of_their_own() {
    on_both(async |store: Store| {
        let (desk, [ines, ..], sheet) = Desk::founded_with_sheet(store.clone()).await;
        let browser = enrol_anew(&desk, Actor::Host, ines.id(), 9).await;
        let proposal = waiting(&store).await;
        assert_eq!(proposal.by, ines.id());
        recovery::sign(&store, sheet, proposal.id, desk.world.now()).await.unwrap();
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 0, "the delay first");
        desk.world.pass(DELAY);
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 1);
        assert_eq!(keys(&store, ines.id()).await, vec![browser.authenticator.id.clone()]);
    })
    .await;
}

#[tokio::test]
async fn before_the_founding_there_is_nothing_to_recover() {
    on_both(async |store: Store| {
        let (desk, _, sheet) = Desk::founded_with_sheet(store.clone()).await;
        let other = tempfile::tempdir().unwrap();
        let unfounded = sqlite(other.path()).await;
        let (young, [ines, ..]) = Desk::open(unfounded.clone()).await;
        let id = uuid::Uuid::nil().to_string().parse().unwrap();
        let signed = recovery::sign(&unfounded, sheet, id, young.world.now()).await;
        assert_eq!(refused(signed), Kind::Conflict);
        assert_eq!(keys(&unfounded, ines.id()).await.len(), 1);
        assert_eq!(recovery::recoverable(desk.store()).await.unwrap(), []);
    })
    .await;
}
