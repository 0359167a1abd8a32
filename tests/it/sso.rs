//! Single sign-on: code and PKCE against an issuer on loopback, and what it is worth, which is
//! reading (S10).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::domain::event::Actor;
use countersign::domain::ids::PersonId;
use countersign::domain::roster::Role;
use countersign::pipeline::people;
use countersign::pipeline::sso::AWAY_MAX;
use countersign::store::Store;
use jiff::SignedDuration;
use reqwest::header::SET_COOKIE;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::database::on_both;
use crate::support::issuer::{Answer, TestIssuer};
use crate::support::setup::{count, invited};
use crate::support::site::{Answered, Browser, Site};

const CLIENT: &str = "countersign";
const SECRET: &str = "between-us";

/// A site that knows the issuer as its directory, and its owner.
struct Place {
    site: Site,
    issuer: TestIssuer,
    ines: Browser,
}

/// A browser on its way to the issuer.
struct Away {
    browser: Browser,
    state: String,
    nonce: String,
    challenge: String,
}

impl Place {
    async fn open(store: Store) -> Self {
        let issuer = TestIssuer::start().await;
        let more = format!(
            "[sso]\nname = \"Aurora directory\"\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\n\
             client_secret_file = \"sso-secret\"\nallow_private = true\n\
             readers = {{ claim = \"groups\", value = \"auditors\", person = \"Auditors\" }}\n",
            issuer.url
        );
        let (site, ines) = Site::configured(store, &more).await.claim().await;
        Self { site, issuer, ines }
    }

    fn store(&self) -> &Store {
        &self.site.app.store
    }

    async fn person(&self, name: &str) -> PersonId {
        let mut tx = self.store().snapshot().await.unwrap();
        tx.person_named(name).await.unwrap().unwrap().id
    }

    /// Somebody without a session goes to the issuer.
    async fn leave(&self, next: &str) -> Away {
        let mut browser = self.site.browser(9);
        let answer = browser.get(&format!("/login/sso?next={next}"), "text/html").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        let place = answer.location().to_owned();
        away(browser, &answer, &place, self)
    }

    /// What the issuer says about an account, with changes; `null` removes a claim.
    fn vouch(&self, nonce: &str, subject: &str, changes: &[(&str, Value)]) {
        let now = self.site.app.clock.now().as_second();
        let mut claims = json!({
            "iss": self.issuer.url, "aud": CLIENT, "sub": subject, "nonce": nonce,
            "iat": now, "exp": now + 300,
        });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let token = self.issuer.rsa.mint(&claims);
        self.issuer.answer_token(Answer::Json(json!({ "id_token": token })));
    }

    async fn sessions(&self) -> i64 {
        count(self.store(), "sessions").await
    }

    /// Ines links her account.
    async fn link(&mut self, subject: &str) -> Answered {
        let answer = self.ines.clone().post_form("/me/sso/link", &[]).await.ok();
        let place = answer.headers["refresh"].to_str().unwrap().strip_prefix("0;url=").unwrap();
        let mut away = away(self.site.browser(9), &answer, place, self);
        self.vouch(&away.nonce, subject, &[]);
        away.back().await
    }
}

fn away(mut browser: Browser, answer: &Answered, place: &str, of: &Place) -> Away {
    let set = answer.headers[SET_COOKIE].to_str().unwrap();
    assert!(set.contains("HttpOnly; SameSite=Lax; Max-Age=600"), "{set}");
    browser.cookie = set.split(';').next().map(str::to_owned);
    let place = url::Url::parse(place).unwrap();
    assert!(place.as_str().starts_with(&format!("{}/authorize?", of.issuer.url)), "{place}");
    let pairs: std::collections::BTreeMap<_, _> = place.query_pairs().into_owned().collect();
    assert_eq!(pairs["response_type"], "code");
    assert_eq!(pairs["client_id"], CLIENT);
    assert_eq!(pairs["redirect_uri"], format!("{}/login/sso/return", of.site.origin));
    assert_eq!((&*pairs["scope"], &*pairs["code_challenge_method"]), ("openid", "S256"));
    let [state, nonce, challenge] =
        ["state", "nonce", "code_challenge"].map(|name| pairs[name].clone());
    Away { browser, state, nonce, challenge }
}

impl Away {
    /// The issuer sends the browser back.
    async fn back(&mut self) -> Answered {
        let path = format!("/login/sso/return?code=from-the-issuer&state={}", self.state);
        self.browser.get(&path, "application/json").await
    }
}

/// The whole flow: PKCE, our secret, the page that was asked for, and a session that reads.
#[tokio::test]
async fn a_linked_account_signs_its_owner_in_for_reading() {
    on_both(|store: Store| async move {
        let mut place = Place::open(store).await;
        assert!(place.link("ines-at-home").await.ok().text.contains("Your account is linked"));
        let page = place.ines.get("/me/keys", "text/html").await.ok().text;
        assert!(page.contains("Your account is linked"), "{page}");

        let mut away = place.leave("/people").await;
        place.vouch(&away.nonce, "ines-at-home", &[]);
        let back = away.back().await.ok();
        assert_eq!(back.headers["refresh"], "0;url=/people");
        let sent = place.issuer.exchanges().pop().unwrap();
        let hashed = sha2::Sha256::digest(sent.form["code_verifier"].as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(hashed), away.challenge);
        assert_eq!(sent.form["code"], "from-the-issuer");
        let ours = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
        assert_eq!(sent.authorization, Some(ours));

        let cookies: Vec<_> = back.headers.get_all(SET_COOKIE).iter().collect();
        let session = cookies
            .iter()
            .map(|cookie| cookie.to_str().unwrap())
            .find(|it| it.starts_with("countersign=") && it.contains("SameSite=Strict"));
        let mut reading = away.browser.elsewhere();
        reading.cookie = session.unwrap().split(';').next().map(str::to_owned);
        assert!(reading.read_csrf().await);
        let page = reading.get("/people", "text/html").await.ok().text;
        assert!(page.contains("Ines Duarte") && page.contains("You are signed in for reading"));
        for path in ["/me/sso/link", "/me/sso/unlink", "/me/sessions/end-others"] {
            reading.post_form(path, &[]).await.problem(403, "forbidden");
        }
        reading.get("/people/invite", "application/json").await.problem(403, "forbidden");
        let add = reading.post_json("/me/keys/begin", &json!({})).await;
        add.problem(403, "forbidden");
        reading.post_form("/logout", &[]).await.ok();
        assert!(!reading.read_csrf().await);
    })
    .await;
}

/// Rules W3, S10: what comes back counts once, in the browser that left, within ten minutes.
#[tokio::test]
async fn what_comes_back_is_bound_to_the_browser_that_left_and_counts_once() {
    on_both(|store: Store| async move {
        let mut place = Place::open(store).await;
        place.link("ines-at-home").await.ok();
        let before = place.sessions().await;
        let exchanged = place.issuer.exchanges().len();

        let mut planted = place.leave("/").await;
        let other = place.leave("/").await;
        planted.browser.cookie = other.browser.cookie.clone();
        planted.back().await.problem(410, "gone");
        let mut bare = place.leave("/").await;
        bare.browser.cookie = None;
        bare.back().await.problem(410, "gone");
        let mut forged = place.leave("/").await;
        forged.state = format!("{}.{}", forged.state.split('.').next().unwrap(), "x".repeat(43));
        forged.back().await.problem(410, "gone");
        let mut late = place.leave("/").await;
        place.site.app.clock.advance(AWAY_MAX);
        late.back().await.problem(410, "gone");
        assert_eq!(place.issuer.exchanges().len(), exchanged, "nothing was asked for");

        let mut twice = place.leave("/").await;
        place.vouch(&twice.nonce, "ines-at-home", &[]);
        let cookie = twice.browser.cookie.clone();
        twice.back().await.ok();
        twice.browser.cookie = cookie;
        twice.back().await.problem(410, "gone");
        assert_eq!(place.sessions().await, before + 1);
    })
    .await;
}

/// Rules O6 to O10 hold for people's tokens, too; every one of them is refused alike.
#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_opens_nothing() {
    on_both(|store: Store| async move {
        let mut place = Place::open(store).await;
        place.link("ines-at-home").await.ok();
        let before = place.sessions().await;
        let now = place.site.app.clock.now().as_second();
        for (what, change) in [
            ("nonce", json!("another")),
            ("nonce", Value::Null),
            ("aud", json!("somebody-else")),
            ("aud", json!([CLIENT, "somebody-else"])),
            ("iss", json!("https://elsewhere.example")),
            ("azp", json!("somebody-else")),
            ("exp", json!(now - 120)),
            ("exp", Value::Null),
            ("iat", json!(now - 3600)),
            ("iat", json!(now + 3600)),
            ("sub", json!("")),
            ("sub", json!("x".repeat(256))),
        ] {
            let mut away = place.leave("/").await;
            place.vouch(&away.nonce, "ines-at-home", &[(what, change.clone())]);
            let refused = away.back().await.problem(401, "not-authenticated");
            assert!(refused.text.contains("did not vouch for you"), "{what} {change}");
        }
        let foreign = crate::support::issuer::Key::rsa(1, "rsa-1");
        let mut away = place.leave("/").await;
        let claims = json!({
            "iss": place.issuer.url, "aud": CLIENT, "sub": "ines-at-home", "nonce": away.nonce,
            "iat": now, "exp": now + 300,
        });
        let token = json!({ "id_token": foreign.mint(&claims) });
        place.issuer.answer_token(Answer::Json(token));
        away.back().await.problem(401, "not-authenticated");
        for answer in [Answer::Status(400), Answer::Json(json!({})), Answer::Redirect("/".into())] {
            let mut away = place.leave("/").await;
            place.issuer.answer_token(answer);
            away.back().await.problem(401, "not-authenticated");
        }
        assert_eq!(place.sessions().await, before);
        assert_eq!(count(place.store(), "ceremonies").await, 0, "each was used up");
    })
    .await;
}

/// Rule S10: issuer and subject name an account, and linking takes a passkey and nobody else's
/// account.
#[tokio::test]
async fn an_account_that_nobody_linked_opens_nothing_and_is_one_persons() {
    on_both(|store: Store| async move {
        let mut place = Place::open(store).await;
        let before = place.sessions().await;
        let mut away = place.leave("/").await;
        let mail = ("email", json!("ines@aurora.example"));
        place.vouch(&away.nonce, "nobody", &[mail, ("name", json!("Ines Duarte"))]);
        away.back().await.problem(403, "forbidden");
        assert_eq!(place.sessions().await, before);

        place.link("shared").await.ok();
        let (by, now) =
            (Actor::Person(place.person("Ines Duarte").await), place.site.app.clock.now());
        let name = "Mara Lindqvist".to_owned();
        let added = people::add_and_invite(place.store(), now, by, name, Role::Maintainer).await;
        let invitation = invited(added.unwrap());
        let mut mara = place.site.browser(3);
        mara.enrol(invitation.token.expose_secret()).await.ok();
        mara.read_csrf().await;
        let ines = std::mem::replace(&mut place.ines, mara);
        place.link("shared").await.problem(409, "conflict");
        assert_eq!(count(place.store(), "sso_accounts").await, 1);
        place.link("mara").await.ok();
        place.ines.post_form("/me/sso/unlink", &[]).await.ok();
        assert_eq!(count(place.store(), "sso_accounts").await, 1, "only hers");

        // Whoever leaves takes the link with them.
        place.link("mara").await.ok();
        place.ines = ines;
        let leave = format!("/people/{}/leave", invitation.person);
        place.ines.post_form(&leave, &[]).await.ok();
        assert_eq!(count(place.store(), "sso_accounts").await, 1);
        let mut mara_again = place.leave("/").await;
        place.vouch(&mara_again.nonce, "mara", &[]);
        mara_again.back().await.problem(403, "forbidden");
    })
    .await;
}

/// People of the directory read as one viewer, if the configuration says so, and as nobody who may
/// do more.
#[tokio::test]
async fn a_claim_of_the_directory_lets_people_read_as_a_viewer_and_never_more() {
    on_both(|store: Store| async move {
        let place = Place::open(store).await;
        let before = place.sessions().await;
        let auditors = ("groups", json!(["staff", "auditors"]));
        let come = async |changes: &[(&str, Value)]| {
            let mut away = place.leave("/").await;
            place.vouch(&away.nonce, "somebody", changes);
            away.back().await
        };
        come(std::slice::from_ref(&auditors)).await.problem(403, "forbidden");
        let (by, now) =
            (Actor::Person(place.person("Ines Duarte").await), place.site.app.clock.now());
        let name = "Auditors".to_owned();
        let store = place.store();
        let added = people::add_and_invite(store, now, by.clone(), name, Role::Maintainer).await;
        let id = invited(added.unwrap()).person;
        come(std::slice::from_ref(&auditors)).await.problem(403, "forbidden");
        assert_eq!(place.sessions().await, before, "a maintainer is not read as");

        let mut tx = store.begin().await.unwrap();
        people::change_role(&mut tx, now, &by, id, Role::Viewer).await.unwrap();
        tx.commit().await.unwrap();
        for other in [json!(["staff"]), json!("auditor"), json!({ "auditors": true }), Value::Null]
        {
            come(&[("groups", other)]).await.problem(403, "forbidden");
        }
        assert_eq!(place.sessions().await, before);
        come(&[auditors]).await.ok();
        come(&[("groups", json!("auditors"))]).await.ok();
        assert_eq!(place.sessions().await, before + 2);
    })
    .await;
}

/// Where nothing is configured there is nothing; and an issuer that is elsewhere than it says is
/// not gone to.
#[tokio::test]
async fn endpoints_elsewhere_are_not_gone_to_and_without_configuration_there_is_no_door() {
    on_both(|store: Store| async move {
        let place = Place::open(store).await;
        for (name, elsewhere) in [
            ("token_endpoint", "http://127.0.0.2:9/token"),
            ("authorization_endpoint", "https://elsewhere.example/authorize"),
        ] {
            place.site.app.clock.advance(SignedDuration::from_mins(11));
            let url = &place.issuer.url;
            let mut document = json!({
                "issuer": url, "jwks_uri": format!("{url}/jwks"),
                "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"),
            });
            document[name] = json!(elsewhere);
            place.issuer.answer_discovery(Answer::Json(document));
            let mut browser = place.site.browser(9);
            let answer = browser.get("/login/sso", "application/json").await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
            let asked = place.issuer.discovery_count();
            browser.get("/login/sso", "application/json").await;
            assert_eq!(place.issuer.discovery_count(), asked, "not asked again at once (O5)");
        }
        assert_eq!(count(place.store(), "ceremonies").await, 0);
    })
    .await;
    on_both(|store: Store| async move {
        let (site, mut ines) = Site::claimed(store).await;
        for path in ["/login/sso", "/login/sso/return?code=x&state=y"] {
            let headers = [("accept", "application/json")];
            let mut browser = site.browser(9);
            let answer = browser.send(Method::GET, path, &headers, String::new()).await;
            answer.problem(404, "not-found");
        }
        ines.post_form("/me/sso/link", &[]).await.problem(404, "not-found");
        assert!(!ines.get("/login", "text/html").await.text.contains("/login/sso"));
    })
    .await;
}
