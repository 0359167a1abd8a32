//! An installation with something behind every door: whatever stands in braces in a route is there.

use countersign::domain::event::Actor;
use countersign::domain::ids::{PersonId, ProposalId, ReleaseId};
use countersign::domain::policy::PolicyDraft;
use countersign::domain::roster::Role;
use countersign::pipeline::hold;
use countersign::pipeline::people::{self, Invited};
use countersign::pipeline::preview;
use countersign::pipeline::setup::revise_policy;
use countersign::store::{Store, Tx};
use countersign::web::assets;
use jiff::Timestamp;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::setup;
use crate::support::site::{Answered, Browser};
use crate::support::world::{NPM_NAME, READ, World, npm_document, run, sdist};

/// Who knocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// Without a session.
    Nobody,
    Viewer,
    Maintainer,
    Owner,
    /// A run of CI with its upload tokens, and no session.
    Ci,
}

/// The installation.
pub(crate) struct House {
    pub(crate) world: World,
    /// Vera Oduya, a viewer.
    pub(crate) vera: Browser,
    /// Of an upload session for [`NPM_NAME`].
    pub(crate) npm_token: String,
    /// Of an upload session for the publisher's Python packages.
    pub(crate) pypi_token: String,
    /// The secret of an open invitation.
    pub(crate) invitation: String,
    /// The secret of a preview of [`Self::release`].
    pub(crate) preview: String,
    /// An npm release that waits for approvals.
    pub(crate) release: ReleaseId,
    /// Beginnings of routes and what to write instead, the longest first.
    places: Vec<(&'static str, String)>,
}

impl House {
    /// Opens it on a database of the caller. Two approvals publish, and reads need a credential.
    pub(crate) async fn open(store: Store) -> Self {
        let mut world = World::start_with(store, 2, Some(READ)).await;
        world.npm.demand_to_read(READ);
        world.pypi.demand_to_read(READ);
        let vera = invite(&world, "Vera Nunes", Role::Viewer).await;
        let secret = vera.token.expose_secret().to_owned();
        let mut vera = world.site.browser(7);
        vera.enrol(&secret).await.ok();
        assert!(vera.read_csrf().await);

        let jonas = invite(&world, "Jonas", Role::Viewer).await.person;
        let (invitation, guest) =
            (invite(&world, "Jun", Role::Viewer).await, invite(&world, "Kim", Role::Viewer).await);
        world.site.found(&mut world.ines, &mut world.mara).await;
        let proposal = propose(&world).await;

        let out = world.stage_npm(run(5), &npm_document("0.9.0", b"x = 0")).await.unwrap().release;
        world.mara.decide(&out.to_string(), "approve").await;
        world.ines.decide(&out.to_string(), "approve").await;
        world.forward_to_the_end(out).await;
        let staged = world.stage_npm(run(1), &npm_document("1.0.0", b"x = 1")).await.unwrap();
        let over = world.stage_npm(run(2), &npm_document("2.0.0", b"x = 2")).await.unwrap();
        world.mara.decide(&over.release.to_string(), "reject").await;
        let held = world.stage_npm(run(4), &npm_document("3.0.0", b"x = 3")).await.unwrap().release;
        let ines = world.person("Ines Duarte").await;
        hold::begin(world.store(), held, ines, None, world.now()).await.unwrap();
        let gathering = world.stage_python(run(3), &sdist("1.0.0", &[])).await.unwrap();
        world.site.notary.run(world.now()).await.unwrap();

        // She is signed in at a second place, which a door may end.
        let mut second = world.ines.elsewhere();
        second.sign_in().await.ok();
        world.ines.authenticator = second.authenticator;

        let mut ci = world.site.browser(8);
        let mut places = places(&world, staged.release, jonas).await;
        places.push(("/proposals/{id}", format!("/proposals/{proposal}")));
        for (start, release) in [
            ("/releases/{id}/seal", gathering.release),
            ("/releases/{id}/live", over.release),
            ("/releases/{id}/evidence", out),
            ("/releases/{id}/resume", held),
        ] {
            places.insert(0, (start, start.replace("{id}", &release.to_string())));
        }
        places.insert(0, ("/people/invitations/{id}", format!("/people/invitations/{}", guest.id)));
        let preview = preview(&world, staged.release, &mut places).await;
        let invitation = invitation.token.expose_secret().to_owned();
        places.push(("/invite/{token}", format!("/invite/{invitation}")));
        Self {
            vera,
            npm_token: npm_token(&world, &mut ci).await,
            pypi_token: pypi_token(&world, &mut ci).await,
            invitation,
            preview,
            release: staged.release,
            places,
            world,
        }
    }

    /// Where a route leads here. Another address is as good when nothing has to be written.
    pub(crate) fn address(&self, route: &str) -> String {
        let place = self.places.iter().find(|(start, _)| route.starts_with(start));
        let address = place.map_or_else(
            || route.to_owned(),
            |(start, written)| format!("{written}{}", &route[start.len()..]),
        );
        assert!(!address.contains('{'), "nothing is behind {route}");
        address
    }

    /// A browser of theirs, or one without a session.
    pub(crate) fn browser(&self, visitor: Visitor) -> Browser {
        match visitor {
            Visitor::Nobody | Visitor::Ci => self.world.ines.elsewhere(),
            Visitor::Viewer => self.vera.clone(),
            Visitor::Maintainer => self.world.mara.clone(),
            Visitor::Owner => self.world.ines.clone(),
        }
    }

    /// What a visitor is answered who uses a route as our pages and clients do, with a form or
    /// document as empty as it may be.
    pub(crate) async fn knock(&self, visitor: Visitor, method: &str, route: &str) -> Answered {
        let mut browser = self.browser(visitor);
        let mut headers = vec![("accept", accept(route))];
        let token = if route.starts_with("/pypi/") { &self.pypi_token } else { &self.npm_token };
        let bearer = format!("Bearer {token}");
        if visitor == Visitor::Ci {
            headers.push(("authorization", &bearer));
        }
        let (origin, csrf) = (browser.origin.clone(), browser.csrf.clone().unwrap_or_default());
        let mut body = String::new();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        if method != Method::GET && method != Method::HEAD {
            headers.push(("origin", &origin));
            if is_form(route) {
                headers.push(("content-type", "application/x-www-form-urlencoded"));
                body = format!("csrf={csrf}{}", fields(route));
            } else {
                headers.push(("content-type", "application/json"));
                headers.push(("x-csrf-token", &csrf));
                body = document(route).to_string();
            }
        }
        browser.send(method, &self.address(route), &headers, body).await
    }

    /// Breaks the database under everything that reads an invitation.
    pub(crate) async fn lose_invitations(&self) {
        let Tx::Sqlite(mut tx) = self.world.store().begin().await.unwrap() else {
            panic!("the statement is SQLite's");
        };
        let sql = "alter table invitations rename to lost";
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// How many rows each table has.
    pub(crate) async fn rows(&self) -> Vec<(String, i64)> {
        let Tx::Sqlite(mut tx) = self.world.store().snapshot().await.unwrap() else {
            panic!("the names of tables are SQLite's");
        };
        let names = "select name from sqlite_master where type = 'table' order by name";
        let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut *tx).await.unwrap();
        let counts: Vec<_> =
            names.iter().map(|name| format!("select '{name}', count(*) from \"{name}\"")).collect();
        let sql = sqlx::AssertSqlSafe(counts.join(" union all "));
        sqlx::query_as(sql).fetch_all(&mut *tx).await.unwrap()
    }
}

/// Whether programs use it, and neither a page nor its scripts.
pub(crate) fn is_for_programs(route: &str) -> bool {
    ["/npm/", "/pypi/", "/preview/", "/_/", "/-/", "/api/"]
        .iter()
        .any(|start| route.starts_with(start))
}

/// Whether a form is sent there; scripts of ours send JSON.
pub(crate) fn is_form(route: &str) -> bool {
    !is_for_programs(route) && !route.ends_with("/begin") && !route.ends_with("/finish")
}

/// What else is in the form, where an empty one would hide who may send it.
fn fields(route: &str) -> &'static str {
    match route {
        "/theme" => "&theme=dark",
        "/people/{id}/role" => "&role=maintainer",
        "/people/invite" => "&name=Lea&role=viewer",
        _ => "",
    }
}

fn document(route: &str) -> Value {
    if route.ends_with("/reject/begin") {
        json!({ "reason": "not this one" })
    } else if route.ends_with("/finish") {
        json!({ "ceremony": uuid::Uuid::nil(), "credential": {} })
    } else {
        json!({})
    }
}

fn accept(route: &str) -> &'static str {
    if is_form(route) { "text/html" } else { "application/json" }
}

async fn invite(world: &World, name: &str, role: Role) -> Invited {
    let by = Actor::Person(world.person("Ines Duarte").await);
    let (store, name) = (world.store(), name.to_owned());
    setup::invited(people::add_and_invite(store, world.now(), by, name, role).await.unwrap())
}

/// Ines previews a release.
async fn preview(
    world: &World,
    release: ReleaseId,
    places: &mut Vec<(&'static str, String)>,
) -> String {
    let ines = world.person("Ines Duarte").await;
    let made = preview::make(world.store(), release, ines, world.now()).await.unwrap();
    let secret = made.token.expose_secret().to_owned();
    let open = preview::open_previews(world.store(), release, world.now()).await.unwrap();
    let file = &world.artifacts(release).await[0].filename;
    let below = format!("/preview/{secret}");
    let name = NPM_NAME.replace('/', "%2f");
    for (start, place) in [
        ("/preview/{token}/{*package}", format!("{below}/{name}")),
        ("/preview/{token}/files/{filename}", format!("{below}/files/{file}")),
        ("/preview/{token}/simple/{project}/", format!("{below}/simple/hello-wire/")),
        (
            "/releases/{id}/previews/{preview}",
            format!("/releases/{release}/previews/{}", open[0].id),
        ),
    ] {
        places.insert(0, (start, place));
    }
    secret
}

async fn npm_token(world: &World, ci: &mut Browser) -> String {
    let path = "/-/npm/v1/oidc/token/exchange/package/@octo%2fhello-wire";
    let bearer = format!("Bearer {}", world.ci_token(run(1)));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let minted = ci.send(Method::POST, path, &headers, String::new()).await.ok().json();
    minted["token"].as_str().unwrap().to_owned()
}

async fn pypi_token(world: &World, ci: &mut Browser) -> String {
    let body = json!({ "token": world.ci_token(run(3)) });
    let headers = [("content-type", "application/json")];
    let minted = ci.send(Method::POST, "/_/oidc/mint-token", &headers, body.to_string()).await;
    minted.ok().json()["token"].as_str().unwrap().to_owned()
}

/// Ines proposes another name for the policy.
async fn propose(world: &World) -> ProposalId {
    let by = Actor::Person(world.person("Ines Duarte").await);
    let policy = world.store().snapshot().await.unwrap().policies().await.unwrap().remove(0);
    let draft = PolicyDraft { name: "Two of us".to_owned(), ..policy.draft() };
    let saved = revise_policy(world.store(), by, policy.id(), draft, world.now()).await.unwrap();
    saved.proposal.expect("a proposal")
}

async fn places(world: &World, waiting: ReleaseId, jonas: PersonId) -> Vec<(&'static str, String)> {
    let file = &world.artifacts(waiting).await[0].filename;
    let ines = world.person("Ines Duarte").await;
    let mut tx = world.store().snapshot().await.unwrap();
    let packages = tx.packages().await.unwrap();
    let package = packages.iter().find(|package| package.name.as_str() == NPM_NAME).unwrap().id;
    let publisher = tx.publishers().await.unwrap()[0].publisher.id();
    let policy = tx.policies().await.unwrap()[0].id();
    let upstream = tx.upstreams().await.unwrap()[0].upstream.id();
    let key = tx.passkeys_of(ines).await.unwrap()[0].id;
    let sessions = tx.live_sessions_of(ines, Timestamp::MIN, world.now()).await.unwrap();
    let second = sessions.iter().max_by_key(|session| session.created_at).unwrap().id;
    vec![
        ("/releases/{id}/artifacts/{filename}", format!("/releases/{waiting}/artifacts/{file}")),
        ("/releases/{id}/files/{filename}", format!("/releases/{waiting}/files/{file}")),
        ("/releases/{id}", format!("/releases/{waiting}")),
        (
            "/packages/{id}/publishers/{publisher}",
            format!("/packages/{package}/publishers/{publisher}"),
        ),
        ("/packages/{id}", format!("/packages/{package}")),
        ("/freeze/packages/{id}", format!("/freeze/packages/{package}")),
        ("/policies/{id}", format!("/policies/{policy}")),
        ("/people/{id}", format!("/people/{jonas}")),
        ("/registries/{id}", format!("/registries/{upstream}")),
        ("/me/keys/{key}", format!("/me/keys/{key}")),
        ("/me/sessions/{id}", format!("/me/sessions/{second}")),
        ("/static/{name}", assets::url("app.css").to_owned()),
        ("/log/tile/{*path}", "/log/tile/0/000.p/1".to_owned()),
        ("/api/v1/releases/{id}", format!("/api/v1/releases/{waiting}")),
        ("/api/v1/log/{sequence}", "/api/v1/log/1".to_owned()),
        ("/api/v1/ci/releases/{id}", format!("/api/v1/ci/releases/{waiting}")),
        ("/api/v1/ci/releases", format!("/api/v1/ci/releases?package=npm:{NPM_NAME}")),
        ("/npm/-/stage/package/{*package}", "/npm/-/stage/package/@octo%2fhello-wire".to_owned()),
        ("/npm/-/stage/{id}", format!("/npm/-/stage/{waiting}")),
        ("/npm/-/package/{*rest}", "/npm/-/package/@octo%2fhello-wire/dist-tags".to_owned()),
        ("/npm/-/{*rest}", "/npm/-/v1/search".to_owned()),
        ("/npm/{*package}", "/npm/@octo%2fhello-wire".to_owned()),
        ("/pypi/simple/{project}/", "/pypi/simple/hello-wire/".to_owned()),
        ("/pypi/legacy/+simple/{project}/", "/pypi/legacy/+simple/hello-wire/".to_owned()),
        ("/pypi/legacy/%2Bsimple/{project}/", "/pypi/legacy/%2Bsimple/hello-wire/".to_owned()),
        ("/-/npm/v1/oidc/token/exchange/package/{*package}", exchange("")),
        ("/npm/-/npm/v1/oidc/token/exchange/package/{*package}", exchange("/npm")),
    ]
}

fn exchange(below: &str) -> String {
    format!("{below}/-/npm/v1/oidc/token/exchange/package/@octo%2fhello-wire")
}
