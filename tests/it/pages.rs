//! Pages over HTTP: who sees them, what the forms make, and what a refused form says.

use countersign::domain::event::Actor;
use countersign::domain::roster::Role;
use countersign::pipeline::people;
use countersign::store::Store;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;

use crate::support::database::{on_both, sqlite};
use crate::support::gateway::{TestGateway, WHEEL};
use crate::support::setup;
use crate::support::site::{Answered, Browser, Site};

const HTML: &str = "text/html";

/// Every page that needs no id.
const PAGES: [&str; 17] = [
    "/",
    "/releases",
    "/packages",
    "/packages/new",
    "/policies",
    "/policies/new",
    "/registries",
    "/registries/new",
    "/issuers/new",
    "/people",
    "/people/invite",
    "/people/identities/new",
    "/me/keys",
    "/health-page",
    "/proposals",
    "/founding",
    "/freeze",
];

/// Forms that only owners may see and send.
const OWNER_FORMS: [&str; 5] =
    ["/packages/new", "/policies/new", "/registries/new", "/issuers/new", "/people/invite"];

fn is_guarded(answer: &Answered) {
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{answer:?}");
}

/// The way to the first thing of a list page whose link starts so.
fn link<'a>(page: &'a Answered, start: &str) -> &'a str {
    let links = page.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let is_thing = |href: &&str| href.starts_with(start) && !href.ends_with("/new");
    links.filter(|href| href.len() > start.len()).find(is_thing).expect(start)
}

/// The value of the tick box, radio button or option that says this.
fn value_of<'a>(page: &'a Answered, text: &str) -> &'a str {
    let before = page.text.split(text).next().unwrap();
    before.rsplit("value=\"").next().unwrap().split('"').next().unwrap()
}

async fn invited(site: &Site, by: &str, name: &str, role: Role, seed: u8) -> Browser {
    let mut tx = site.app.store.snapshot().await.unwrap();
    let by = tx.person_named(by).await.unwrap().unwrap().id;
    drop(tx);
    let (store, now) = (&site.app.store, site.app.clock.now());
    let invited = people::add_and_invite(store, now, Actor::Person(by), name.to_owned(), role);
    let token = setup::invited(invited.await.unwrap()).token.expose_secret().to_owned();
    let mut browser = site.browser(seed);
    browser.enrol(&token).await.ok();
    browser.read_csrf().await;
    browser
}

/// A registry, a policy, a package, an issuer and a publisher, all by the forms.
async fn set_up(owner: &mut Browser) -> String {
    let fields = [
        ("name", "Local npm"),
        ("kind", "npm"),
        ("url", "http://127.0.0.1:9/"),
        ("credential", "a-secret-token"),
        ("allow_private", "true"),
    ];
    let made = owner.post_form("/registries/new", &fields).await;
    assert_eq!((made.status.as_u16(), made.location()), (303, "/registries"), "{made:?}");
    let fields = [
        ("name", "ci"),
        ("preset", "github"),
        ("url", "http://127.0.0.1:9/issuer"),
        ("allow_private", "true"),
    ];
    assert_eq!(owner.post_form("/issuers/new", &fields).await.status, 303);

    let form = owner.get("/policies/new", HTML).await;
    let ines = value_of(&form, "<b>Ines Duarte</b><small>1 passkey").to_owned();
    let fields =
        [("name", "One person"), ("required", "1"), ("people", &*ines), ("expires_hours", "24")];
    let made = owner.post_form("/policies/new", &fields).await;
    assert_eq!(made.status, 303, "{made:?}");

    let form = owner.get("/packages/new", HTML).await;
    let upstream = value_of(&form, "Local npm (npm)").to_owned();
    let policy = value_of(&form, "One person</option>").to_owned();
    let fields = [
        ("ecosystem", "npm"),
        ("name", "@octo/hello-wire"),
        ("upstream", &*upstream),
        ("policy", &*policy),
        ("access", "public"),
    ];
    let made = owner.post_form("/packages/new", &fields).await;
    assert_eq!(made.status, 303, "{made:?}");
    made.location().to_owned()
}

fn publisher<'a>(issuer: &'a str, repository_id: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("issuer", issuer),
        ("publisher_name", "Release workflow"),
        ("repository", "octo/hello-wire"),
        ("repository_id", repository_id),
        ("repository_owner_id", "77"),
        ("workflow", ".github/workflows/release.yml"),
        ("environment", ""),
        ("ref", "refs/tags/v*"),
        ("events", "push"),
        ("events", "release"),
        ("runner", "github-hosted"),
    ]
}

/// Before the claim nobody can tell a gateway from an empty host by its pages.
#[tokio::test]
async fn every_page_of_an_unclaimed_installation_is_the_same() {
    on_both(|store: Store| async move {
        let site = Site::on(store).await;
        let mut browser = site.browser(1);
        let first = browser.get("/", HTML).await;
        assert_eq!(first.status, 404);
        let known = PAGES.iter().chain(&["/login", "/robots.txt", "/nothing", "/releases/1"]);
        for path in known {
            let answer = browser.get(path, HTML).await;
            assert_eq!((answer.status, &answer.text), (first.status, &first.text), "{path}");
            is_guarded(&answer);
        }
        let posted = browser.post_form("/login/begin", &[]).await;
        assert_eq!((posted.status, &posted.text), (first.status, &first.text));

        let setup = browser.get("/setup", HTML).await;
        assert_eq!(setup.status, 200);
        assert!(setup.text.contains("action=\"/setup/claim\""), "{}", setup.text);
        // The client asks by number, the configuration says `localhost`.
        assert!(setup.text.contains("The address is not the configured one"), "{}", setup.text);
        is_guarded(&setup);

        let token = browser.claim(&site.code.expose(), "Ines Duarte").await.token();
        let invitation = browser.get(&format!("/invite/{token}"), HTML).await;
        assert_eq!(invitation.status, 200);
        assert!(invitation.text.contains(&format!("/invite/{token}/passkeys")));
        browser.enrol(&token).await.ok();
        let used = browser.get(&format!("/invite/{token}"), HTML).await;
        assert_eq!(used.status, 410);
        assert!(used.text.contains("This invitation cannot be used"), "{}", used.text);
        assert_eq!(browser.get("/setup", HTML).await.status, 404);
        assert_eq!(browser.get("/robots.txt", HTML).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn every_page_is_for_people_who_are_signed_in() {
    on_both(|store: Store| async move {
        let (site, mut owner) = Site::claimed(store).await;
        let mut nobody = site.browser(9);
        for path in PAGES {
            let seen = owner.get(path, HTML).await;
            assert_eq!(seen.status, 200, "{path}: {}", seen.text);
            assert_eq!(seen.headers["content-type"], "text/html; charset=utf-8");
            is_guarded(&seen);
            let sent = nobody.get(path, HTML).await;
            assert_eq!(sent.status, 303, "{path}: {}", sent.text);
            assert!(sent.location().starts_with("/login"), "{path}: {}", sent.location());
            is_guarded(&sent);
        }
        let login = nobody.get("/login?next=//elsewhere.example/", HTML).await;
        assert_eq!(login.status, 200);
        assert!(!login.text.contains("elsewhere"), "{}", login.text);
        let lost = owner.get("/nothing", HTML).await;
        assert_eq!(lost.status, 404);
        assert!(lost.text.contains("There is nothing here"), "{}", lost.text);
        let sent = owner.get("/.well-known/change-password", HTML).await;
        assert_eq!((sent.status, sent.location()), (StatusCode::SEE_OTHER, "/me/keys"));
    })
    .await;
}

#[tokio::test]
async fn what_the_forms_make_appears_in_the_lists() {
    on_both(|store: Store| async move {
        let (_site, mut owner) = Site::claimed(store).await;
        let package = set_up(&mut owner).await;
        let form = owner.get(&format!("{package}/publishers/new"), HTML).await;
        assert!(form.text.contains("name=\"repository_id\""), "{}", form.text);
        let issuer = value_of(&form, "ci</option>").to_owned();
        let made = owner
            .post_form(&format!("{package}/publishers/new"), &publisher(&issuer, "4242"))
            .await;
        assert_eq!((made.status.as_u16(), made.location()), (303, &*package), "{made:?}");

        let registries = owner.get("/registries", HTML).await;
        for shown in ["Local npm", "http://127.0.0.1:9/issuer", "private address"] {
            assert!(registries.text.contains(shown), "{shown}");
        }
        assert!(!registries.text.contains("a-secret-token"), "a credential is never shown (K3)");
        let health = owner.get("/health-page", HTML).await;
        assert!(health.text.contains("Registry “Local npm” may be at a private address"));
        for held in ["Artifacts are read ", "Landlock: ", "seccomp: "] {
            assert!(health.text.contains(held), "{held}: {}", health.text);
        }
        let policies = owner.get("/policies", HTML).await;
        let policy = owner.get(link(&policies, "/policies/"), HTML).await;
        assert!(policy.text.contains("One person") && policy.text.contains("@octo/hello-wire"));
        let packages = owner.get("/packages", HTML).await;
        assert_eq!(link(&packages, "/packages/"), package);
        let page = owner.get(&package, HTML).await;
        for shown in ["Release workflow", "4242", "push, release", "refs/tags/v*"] {
            assert!(page.text.contains(shown), "{shown}");
        }
        let removal = page.text.split("action=\"").find(|rest| rest.contains("/remove\""));
        let removal = removal.unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(owner.post_form(&removal, &[]).await.status, 303);
        assert!(!owner.get(&package, HTML).await.text.contains("4242"));
    })
    .await;
}

#[tokio::test]
async fn a_refused_form_comes_back_with_the_reason_and_what_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let (_site, mut owner) = Site::claimed(sqlite(folder.path()).await).await;
    let refused = |answer: Answered, said: &str, typed: &str| {
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.text.contains("Nothing was saved yet"), "{}", answer.text);
        assert!(answer.text.contains(said), "{said}: {}", answer.text);
        assert!(answer.text.contains(&format!("value=\"{typed}\"")), "{typed}: {}", answer.text);
    };
    let bad = [("name", "Mine"), ("kind", "npm"), ("url", "ftp://x"), ("credential", "two words")];
    let answer = owner.post_form("/registries/new", &bad).await;
    assert!(!answer.text.contains("two words"), "a credential is never shown (K3)");
    refused(answer, "credential", "Mine");
    let answer = owner.post_form("/registries/new", &bad[..3]).await;
    refused(answer, "received", "ftp://x");
    let bad = [("name", "ci"), ("preset", "github"), ("url", "not a url")];
    refused(owner.post_form("/issuers/new", &bad).await, "not a url", "not a url");
    let bad = [("name", "Two"), ("required", "two"), ("expires_hours", "24")];
    refused(owner.post_form("/policies/new", &bad).await, "as required", "two");
    let bad = [("name", ""), ("role", "owner")];
    refused(owner.post_form("/people/invite", &bad).await, "Expected a name", "owner");
    assert!(owner.get("/registries", HTML).await.text.contains("No registry yet"));
    assert!(owner.get("/policies", HTML).await.text.contains("No policy yet"));

    let package = set_up(&mut owner).await;
    let place = format!("{package}/publishers/new");
    let issuer = value_of(&owner.get(&place, HTML).await, "ci</option>").to_owned();
    let answer = owner.post_form(&place, &publisher(&issuer, "octo")).await;
    assert!(answer.text.contains("href=\"#repository_id\""), "{}", answer.text);
    refused(answer, "repository_id", "octo");
    assert!(owner.get(&package, HTML).await.text.contains("No CI can submit yet"));
}

#[tokio::test]
async fn only_owners_set_things_up() {
    on_both(|store: Store| async move {
        let (site, mut owner) = Site::claimed(store).await;
        let package = set_up(&mut owner).await;
        let mut maintainer =
            invited(&site, "Ines Duarte", "Mara Lindqvist", Role::Maintainer, 2).await;
        for path in OWNER_FORMS {
            let form = maintainer.get(path, HTML).await;
            assert_eq!(form.status, 403, "{path}: {}", form.text);
            is_guarded(&form);
        }
        let fields = [("name", "ci 2"), ("preset", "github"), ("url", "https://ci.example")];
        let sent = maintainer.post_form("/issuers/new", &fields).await;
        sent.problem(403, "forbidden");
        let fields = [("name", "Eve"), ("role", "owner")];
        maintainer.post_form("/people/invite", &fields).await.problem(403, "forbidden");
        let list = maintainer.get("/people", HTML).await;
        assert_eq!(list.status, 200);
        assert!(!list.text.contains("Eve") && !list.text.contains("/leave"), "{}", list.text);
        let page = maintainer.get(&package, HTML).await;
        assert_eq!(page.status, 200);
        assert!(!page.text.contains("/publishers/new"), "{}", page.text);
        assert!(!owner.get("/registries", HTML).await.text.contains("ci 2"));
    })
    .await;
}

/// Rule Q16: owners settle whose account it is, people who sign may settle their own.
#[tokio::test]
async fn a_ci_account_is_linked_from_the_page_that_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (site, mut owner) = Site::claimed(sqlite(folder.path()).await).await;
    set_up(&mut owner).await;
    let mut mara = invited(&site, "Ines Duarte", "Mara Lindqvist", Role::Maintainer, 2).await;
    let place = "/people/identities/new?issuer=http%3A%2F%2F127.0.0.1%3A9%2Fissuer&actor_id=1002";
    let form = mara.get(place, HTML).await;
    assert!(form.text.contains("value=\"1002\"") && !form.text.contains("Ines Duarte"));
    let issuer = value_of(&form, "<b>ci</b>").to_owned();
    let me = value_of(&form, "<b>Mara Lindqvist</b></span></label>").to_owned();
    let fields = [("issuer", &*issuer), ("actor_id", "1002"), ("owner", "bot")];
    mara.post_form(place, &fields).await.problem(403, "forbidden");
    let fields = [("issuer", &*issuer), ("actor_id", "1002"), ("owner", &*me)];
    let linked = mara.post_form(place, &fields).await;
    assert_eq!((linked.status.as_u16(), linked.location()), (303, "/people"), "{linked:?}");
    assert!(owner.get("/people", HTML).await.text.contains("<code>1002</code>"));
    let again = owner.post_form(place, &fields).await;
    assert_eq!(again.status, 422);
    assert!(again.text.contains("not settled yet"), "{}", again.text);
}

#[tokio::test]
async fn owners_invite_once_and_take_invitations_back() {
    let folder = tempfile::tempdir().unwrap();
    let (site, mut owner) = Site::claimed(sqlite(folder.path()).await).await;
    let fields = [("name", "Jun Watanabe"), ("role", "viewer")];
    let made = owner.post_form("/people/invite", &fields).await;
    assert_eq!(made.status, 200, "{made:?}");
    let start = format!("{}/invite/", site.origin);
    let address = made.text.split(&start).nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(owner.get(&format!("/invite/{address}"), HTML).await.status, 200);
    let list = owner.get("/people", HTML).await;
    assert!(list.text.contains("Jun Watanabe") && !list.text.contains(&address));
    let revoke = list.text.split("action=\"").find(|rest| rest.contains("/revoke\"")).unwrap();
    let revoke = revoke.split('"').next().unwrap().to_owned();
    assert_eq!(owner.post_form(&revoke, &[]).await.status, 303);
    assert_eq!(owner.get(&format!("/invite/{address}"), HTML).await.status, 410);

    let mut forms = list.text.split("action=\"/people/").filter_map(|rest| rest.split('"').next());
    let person = forms.find_map(|place| place.strip_suffix("/invite")).unwrap().to_owned();
    let fields = [("role", "maintainer")];
    assert_eq!(owner.post_form(&format!("/people/{person}/role"), &fields).await.status, 303);
    let again = owner.post_form(&format!("/people/{person}/invite"), &[]).await;
    assert!(again.text.contains(&start), "{}", again.text);
    assert_eq!(owner.post_form(&format!("/people/{person}/leave"), &[]).await.status, 303);
    assert!(!owner.get("/people", HTML).await.text.contains("Jun Watanabe"));
}

/// Rule S7.
#[tokio::test]
async fn a_held_file_is_downloaded_and_never_shown_or_run() {
    let gateway = TestGateway::start().await;
    let release = gateway.stage("one").await;
    let place = format!("/releases/{release}/artifacts/{WHEEL}");
    let answer = gateway.owner.clone().get(&place, HTML).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    for (name, value) in [
        ("content-disposition", format!("attachment; filename=\"{WHEEL}\"")),
        ("content-type", "application/octet-stream".to_owned()),
        ("content-security-policy", "default-src 'none'; sandbox".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    let stranger = gateway.site.browser(9).get(&place, HTML).await;
    assert_eq!(stranger.location(), format!("/login?next={}", place.replace('/', "%2F")));
}

#[tokio::test]
async fn the_theme_is_a_cookie_and_leads_back() {
    let folder = tempfile::tempdir().unwrap();
    let (site, owner) = Site::claimed(sqlite(folder.path()).await).await;
    let mut browser = owner.elsewhere();
    let page = format!("{}/policies?x=1", site.origin);
    let headers = [
        ("origin", site.origin.as_str()),
        ("referer", page.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let set = browser.send(Method::POST, "/theme", &headers, "theme=dark".to_owned()).await;
    assert_eq!((set.status.as_u16(), set.location()), (303, "/policies?x=1"));
    assert!(set.headers["set-cookie"].to_str().unwrap().starts_with("theme=dark; Path=/; "));
    assert!(browser.get("/login", HTML).await.text.contains("data-theme=\"dark\""));
}

/// The policy editor says what a policy would mean before it is saved, with and without script.
#[tokio::test]
async fn the_policy_editor_says_who_could_release() {
    let folder = tempfile::tempdir().unwrap();
    let (_site, mut owner) = Site::claimed(sqlite(folder.path()).await).await;
    let form = owner.get("/policies/new", HTML).await;
    let ines = value_of(&form, "<b>Ines Duarte</b><small>1 passkey").to_owned();
    let query = |required: &str| {
        format!("?name=Ours&required={required}&people={ines}&expires_hours=24&away={ines}")
    };
    let checked = owner.get(&format!("/policies/new{}", query("1")), HTML).await;
    for shown in [
        "A release needs the one person named",
        "One person",
        "When Ines Duarte is away, nothing ships.",
        "With Ines Duarte away",
        "1 signer missing",
    ] {
        assert!(checked.text.contains(shown), "{shown}: {}", checked.text);
    }
    let headers = [("accept", HTML), ("x-fragment", "1")];
    let place = format!("/policies/new{}", query("2"));
    let fragment = owner.send(Method::GET, &place, &headers, String::new()).await;
    assert_eq!(fragment.headers["x-fragment"], "1");
    assert!(fragment.text.starts_with("<p class=\"wrong\""), "{}", fragment.text);
    assert!(fragment.text.contains("Cannot be saved"), "{}", fragment.text);

    let fields = [("name", "Ours"), ("required", "2"), ("people", &*ines), ("expires_hours", "24")];
    let refused = owner.post_form("/policies/new", &fields).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("Nothing was saved yet"), "{}", refused.text);
    assert!(owner.get("/policies", HTML).await.text.contains("No policy yet"));
}

/// Every part of a policy is saved as it was filled in, and comes back so.
#[tokio::test]
async fn the_policy_editor_keeps_every_part_of_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let (site, mut owner) = Site::claimed(sqlite(folder.path()).await).await;
    let _mara = invited(&site, "Ines Duarte", "Mara Lindqvist", Role::Maintainer, 2).await;
    let form = owner.get("/policies/new", HTML).await;
    let ines = value_of(&form, "<b>Ines Duarte</b><small>1 passkey").to_owned();
    let mara = value_of(&form, "<b>Mara Lindqvist</b><small>1 passkey").to_owned();
    let fields = [
        ("name", "Production"),
        ("required", "1"),
        ("people", &*ines),
        ("people", &*mara),
        ("group_0_name", "core"),
        ("group_0_required", "1"),
        ("group_0_people", &*mara),
        ("expires_hours", "48"),
        ("cooling_off", "30"),
        ("no_authors", "true"),
        ("note_on_findings", "true"),
        ("more_on_findings", "1"),
        ("embargo", "2"),
        ("embargo_people", &*ines),
        ("embargo_people", &*mara),
        ("skips_cooling_off", "true"),
    ];
    let made = owner.post_form("/policies/new", &fields).await;
    assert_eq!(made.status, 303, "{made:?}");
    let place = made.location().to_owned();
    let page = owner.get(&place, HTML).await;
    let sentence = "A release needs 1 of 2 people, among them 1 of core, not counting whoever started \
                    the CI run or wrote part of the change, within 2 days, and then waits 30 \
                    minutes; when something was found, one more person and a note from each; under \
                    embargo 2 of 2 people, without the wait.";
    assert!(page.text.contains(sentence), "{}", page.text);
    let edit = owner.get(&format!("{place}/edit"), HTML).await;
    assert!(edit.text.contains(sentence), "{}", edit.text);
    let again = owner.post_form(&format!("{place}/edit"), &fields).await;
    assert_eq!(again.status, 303, "{again:?}");
    assert!(owner.get(&place, HTML).await.text.contains("revision 2"));
}
