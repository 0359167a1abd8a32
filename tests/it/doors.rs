//! Every route of the gateway tried by everybody with every method (rules A15, A18, W16, S2). A new
//! route fails these tests until somebody has decided who may use it.

use std::collections::BTreeSet;

use countersign::web;

use crate::support::database::sqlite;
use crate::support::desk::tamper;
use crate::support::house::{House, Visitor, is_for_programs, is_form};
use crate::support::site::Answered;

/// Who is answered how, for every route; the columns are those of [`VISITORS`].
///
/// `+` answered, `?` let in and asked for something better, `i` asked to sign in, `-` forbidden,
/// `0` nothing there, or not for them. npm clients hear 403 where people hear 401.
const DOORS: &str = "
GET    + + + + + /healthz
GET    + + + + + /readyz
GET    + + + + + /static/{name}
GET    + + + + + /npm/-/ping
GET    - - - - + /npm/-/whoami
GET    - - - - + /npm/-/stage
GET    - - - - + /npm/-/stage/{id}
GET    - - - - - /npm/-/stage/{id}/tarball
GET    - - - - - /npm/-/package/{*rest}
GET    - - - - - /npm/-/{*rest}
GET    + + + + + /npm/{*package}
GET    ? ? ? ? ? /pypi/legacy/
GET    ? ? ? ? ? /pypi/legacy
GET    0 0 0 0 0 /pypi/simple/{project}/
GET    0 0 0 0 0 /pypi/legacy/+simple/{project}/
GET    0 0 0 0 0 /pypi/legacy/%2Bsimple/{project}/
GET    0 0 0 0 0 /preview/{token}/simple/{project}/
GET    + + + + + /preview/{token}/files/{filename}
GET    + + + + + /preview/{token}/{*package}
GET    i + + + i /api/v1/releases
GET    i + + + i /api/v1/releases/{id}
GET    i + + + i /api/v1/packages
GET    i + + + i /api/v1/policies
GET    i + + + i /api/v1/people
GET    + + + + + /api/v1/log/{sequence}
GET    i i i i + /api/v1/ci/releases
GET    + + + + + /openapi.json
GET    + + + + + /log/checkpoint
GET    + + + + + /log/key
GET    + + + + + /log/tile/{*path}
GET    0 0 0 0 0 /login/sso
GET    0 0 0 0 0 /login/sso/return
GET    i + + + i /
GET    i + + + i /releases
GET    i + + + i /releases/{id}
GET    i + + + i /releases/{id}/live
GET    i 0 + + i /releases/{id}/reject
GET    i + + + i /releases/{id}/together
GET    i + + + i /releases/{id}/evidence
GET    i + + + i /releases/{id}/evidence.json
GET    i + + + i /releases/{id}/evidence.intoto.jsonl
GET    i + + + i /releases/{id}/evidence.ssdf.json
GET    i + + + i /releases/{id}/files
GET    i + + + i /releases/{id}/files/{filename}/diff
GET    i + + + i /releases/{id}/files/{filename}/file
GET    i + + + i /releases/{id}/manifest.json
GET    i + + + i /releases/{id}/artifacts/{filename}
GET    i + + + i /releases/{id}/artifacts/{filename}/contents
GET    0 0 0 0 0 /setup
GET    + + + + + /invite/{token}
GET    + + + + + /login
GET    i + + + i /me/keys
GET    i + + + i /health-page
GET    + + + + + /robots.txt
GET    + + + + + /.well-known/change-password
GET    + + + + + /.well-known/passkey-endpoints
GET    i + + + i /packages
GET    i - - + i /packages/new
GET    i + + + i /packages/{id}
GET    i - - + i /packages/{id}/publishers/new
GET    i + + + i /policies
GET    i - - + i /policies/new
GET    i + + + i /policies/{id}
GET    i - - + i /policies/{id}/edit
GET    i + + + i /registries
GET    i - - + i /registries/new
GET    i - - + i /issuers/new
GET    i + + + i /people
GET    i - - + i /people/invite
GET    i - + + i /people/identities/new
GET    i - - + i /people/{id}/leave
GET    i 0 0 0 i /people/{id}/leaving
GET    i + + + i /proposals
GET    i + + + i /proposals/{id}
GET    i 0 + + i /proposals/{id}/object
GET    i + + + i /founding
GET    i + + + i /freeze
GET    + + + + + /_/oidc/audience
POST   - - - - ? /npm/-/stage/package/{*package}
DELETE - - - - - /npm/-/stage/{id}
POST   - - - - - /npm/-/stage/{id}/approve
PUT    - - - - - /npm/-/package/{*rest}
POST   - - - - - /npm/-/package/{*rest}
DELETE - - - - - /npm/-/package/{*rest}
PUT    - - - - - /npm/-/{*rest}
POST   - - - - - /npm/-/{*rest}
DELETE - - - - - /npm/-/{*rest}
PUT    - - - - ? /npm/{*package}
POST   - - - - - /npm/{*package}
DELETE - - - - - /npm/{*package}
PUT    ? ? ? ? ? /pypi/legacy/
POST   i i i i ? /pypi/legacy/
DELETE ? ? ? ? ? /pypi/legacy/
PUT    ? ? ? ? ? /pypi/legacy
POST   i i i i ? /pypi/legacy
DELETE ? ? ? ? ? /pypi/legacy
PUT    0 0 0 0 0 /preview/{token}/{*package}
POST   0 0 0 0 0 /preview/{token}/{*package}
DELETE 0 0 0 0 0 /preview/{token}/{*package}
POST   i i i i + /api/v1/ci/releases/{id}/seal
POST   ? ? ? ? ? /setup/claim
POST   + + + + + /login/begin
POST   0 0 0 0 0 /login/finish
POST   + + + + + /invite/{token}/passkeys/begin
POST   0 0 0 0 0 /invite/{token}/passkeys/finish
POST   i + + + i /me/keys/begin
POST   i 0 0 0 i /me/keys/finish
POST   i 0 0 ? i /me/keys/{key}/remove
POST   i 0 0 + i /me/sessions/{id}/end
POST   i + + + i /me/sessions/end-others
POST   i 0 0 0 i /me/sso/link
POST   i 0 0 0 i /me/sso/unlink
POST   i - + + i /releases/{id}/seal
POST   i - ? ? i /releases/{id}/inspect
POST   i - - + i /releases/{id}/resume
POST   i - + + i /releases/{id}/previews
POST   i - + + i /releases/{id}/previews/{preview}/end
POST   i - + + i /releases/{id}/approve/begin
POST   i 0 0 0 i /releases/{id}/approve/finish
POST   i - + + i /releases/{id}/reject/begin
POST   i 0 0 0 i /releases/{id}/reject/finish
POST   i - ? ? i /releases/{id}/together/begin
POST   i - 0 0 i /releases/{id}/together/finish
POST   i ? ? ? i /releases/{id}/viewed
POST   + + + + + /theme
POST   i - - ? i /packages/new
POST   i - - ? i /packages/{id}/publishers/new
POST   i - - + i /packages/{id}/publishers/{publisher}/remove
POST   i - - ? i /policies/new
POST   i - - ? i /policies/{id}
POST   i - - ? i /policies/{id}/edit
POST   i - - ? i /registries/new
POST   i - - ? i /registries/{id}/credential
POST   i - - ? i /issuers/new
POST   i - - + i /people/invite
POST   i - ? ? i /people/identities/new
POST   i - - + i /people/invitations/{id}/revoke
POST   i - - + i /people/{id}/invite
POST   i - - + i /people/{id}/role
POST   i - - ? i /people/{id}/keys/revoke
POST   i - - + i /people/{id}/sessions/end
POST   i - - + i /people/{id}/leave
POST   i - ? ? i /people/{id}/leaving
POST   i - + + i /proposals/{id}/sign/begin
POST   i 0 0 0 i /proposals/{id}/sign/finish
POST   i - + + i /proposals/{id}/object/begin
POST   i 0 0 0 i /proposals/{id}/object/finish
POST   i - - ? i /founding
POST   i ? ? ? i /founding/sign/begin
POST   i 0 0 0 i /founding/sign/finish
POST   i - + + i /freeze/everything/begin
POST   i - 0 0 i /freeze/everything/finish
POST   i - + + i /freeze/packages/{id}/begin
POST   i - 0 0 i /freeze/packages/{id}/finish
POST   i - - ? i /freeze/end
POST   ? ? ? ? ? /_/oidc/mint-token
POST   ? ? ? ? ? /_/oidc/github/mint-token
POST   ? ? ? ? ? /_/oidc/burn-token
POST   i i i i i /-/npm/v1/oidc/token/exchange/package/{*package}
POST   i i i i i /npm/-/npm/v1/oidc/token/exchange/package/{*package}
POST   i - + + i /releases/{id}/hold
POST   i - - + i /proposals/{id}/withdraw
POST   i + + + i /logout
";

const VISITORS: [Visitor; 5] =
    [Visitor::Nobody, Visitor::Viewer, Visitor::Maintainer, Visitor::Owner, Visitor::Ci];

/// Routes that answer every method themselves.
const ANY: [&str; 4] = ["GET", "PUT", "POST", "DELETE"];

/// Everything else there is.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// Pages that act by a secret in the request, or on nothing but a cookie, and on no session.
const WITHOUT_SESSION: [&str; 6] = [
    "/setup/claim",
    "/invite/{token}/passkeys/begin",
    "/invite/{token}/passkeys/finish",
    "/login/begin",
    "/login/finish",
    "/theme",
];

async fn house() -> (House, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (House::open(sqlite(folder.path()).await).await, folder)
}

/// Method and path of every route, `*` written out.
fn routes(house: &House) -> Vec<(String, String)> {
    let routes = web::routes(&house.world.site.app);
    let doors = routes.table().iter().flat_map(|route| {
        let methods = if route.method == "*" { ANY.to_vec() } else { vec![route.method.as_str()] };
        methods.into_iter().map(|method| (method.to_owned(), route.path.clone()))
    });
    doors.collect()
}

fn outcome(method: &str, answer: &Answered) -> char {
    match answer.status.as_u16() {
        // Signing out leads there too.
        303 if method == "GET" && answer.location().starts_with("/login") => 'i',
        200..=399 => '+',
        // What makes the uploaders of Python files print it.
        400 if answer.text.contains("in `Authorization`, received none") => 'i',
        400 | 409 | 413 | 415 | 422 => '?',
        401 => 'i',
        403 => '-',
        404 | 410 => '0',
        405 => 'x',
        _ => panic!("{answer:?}"),
    }
}

/// A18, A15. Whatever does not end well for a visitor changes nothing.
#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for visitor in VISITORS {
        let (house, _folder) = house().await;
        names = routes(&house);
        // Reading first, and last what would be in the way of the others.
        let in_the_way = ["/releases/{id}/hold", "/proposals/{id}/withdraw", "/logout"];
        names.sort_by_key(|(method, path)| {
            (method != "GET", in_the_way.iter().position(|known| known == path))
        });
        let mut column = Vec::new();
        for (method, path) in &names {
            let before = house.rows().await;
            let answer = house.knock(visitor, method, path).await;
            let outcome = outcome(method, &answer);
            if outcome != '+' {
                assert_eq!(house.rows().await, before, "{visitor:?} {method} {path}: {answer:?}");
            }
            column.push(outcome);
        }
        columns.push(column);
    }
    let mut found: Vec<String> = Vec::new();
    for (row, (method, path)) in names.iter().enumerate() {
        let outcomes: Vec<_> = columns.iter().map(|column| column[row].to_string()).collect();
        found.push(format!("{method:6} {} {path}", outcomes.join(" ")));
    }
    let expected: Vec<&str> = DOORS.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

/// A15, A18: what a route does not name it does not answer, not even to an owner.
#[tokio::test]
async fn no_route_answers_a_method_that_is_not_its_own() {
    let (house, _folder) = house().await;
    let doors = routes(&house);
    let own = |method: &str, path: &str| {
        let listed = |method: &str| doors.contains(&(method.to_owned(), path.to_owned()));
        listed(method) || (method == "HEAD" && listed("GET"))
    };
    let any: BTreeSet<&String> =
        doors.iter().filter(|(method, _)| method == "PUT").map(|(_, path)| path).collect();
    let paths: BTreeSet<&String> = doors.iter().map(|(_, path)| path).collect();
    let before = house.rows().await;
    let mut tried = 0;
    for path in paths.difference(&any) {
        for method in METHODS.iter().filter(|method| !own(method, path)) {
            let answer = house.knock(Visitor::Owner, method, path).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 403..=405), "{method} {path}: {answer:?}");
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
    assert_eq!(house.rows().await, before);
}

/// S2, A18: everything that pages and their scripts change needs the token of the session, and
/// comes from this origin.
#[tokio::test]
async fn nothing_is_changed_without_the_form_token_or_from_elsewhere() {
    let (house, _folder) = house().await;
    let before = house.rows().await;
    let doors = routes(&house);
    let changes: Vec<_> =
        doors.iter().filter(|(method, path)| method != "GET" && !is_for_programs(path)).collect();
    for open in WITHOUT_SESSION {
        assert!(changes.iter().any(|(_, path)| path == open), "{open} is gone");
    }
    for (method, path) in changes {
        let mut owner = house.browser(Visitor::Owner);
        let (origin, token) = (owner.origin.clone(), owner.csrf.clone().unwrap());
        let tokens = [("https://elsewhere.example", token.as_str()), (&origin, ""), (&origin, "x")];
        for (from, token) in tokens {
            if from == origin && WITHOUT_SESSION.contains(&path.as_str()) {
                continue;
            }
            let form = is_form(path);
            let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            let headers = [("origin", from), ("content-type", kind), ("x-csrf-token", token)];
            let body = if form { format!("csrf={token}") } else { "{}".to_owned() };
            let method = method.parse().unwrap();
            let answer = owner.send(method, &house.address(path), &headers, body).await;
            answer.problem(403, "forbidden");
        }
    }
    assert_eq!(house.rows().await, before);
}

/// S10, W12: a session that was opened for reading changes nothing but itself, whatever the role.
#[tokio::test]
async fn a_session_for_reading_changes_nothing() {
    let (house, _folder) = house().await;
    tamper(house.world.store(), "update sessions set reads_only = 1", &[]).await;
    let before = house.rows().await;
    let mut tried = 0;
    for (method, path) in routes(&house) {
        let own = WITHOUT_SESSION.contains(&path.as_str()) || path == "/logout";
        if method == "GET" || is_for_programs(&path) || own {
            continue;
        }
        for visitor in [Visitor::Owner, Visitor::Maintainer] {
            let answer = house.knock(visitor, &method, &path).await;
            assert_eq!(answer.status.as_u16(), 403, "{visitor:?} {method} {path}: {answer:?}");
        }
        tried += 1;
    }
    assert!(tried > 25, "{tried}");
    assert_eq!(house.rows().await, before);
    let page = house.knock(Visitor::Owner, "GET", "/people").await.ok().text;
    assert!(page.contains("You are signed in for reading"));
    assert!(!page.contains("/people/invite"), "nor does a page offer it");
    let form = house.knock(Visitor::Owner, "GET", "/people/invite").await;
    assert_eq!(form.status.as_u16(), 403, "{form:?}");
    house.knock(Visitor::Owner, "POST", "/logout").await.ok();
}

/// W16.
#[tokio::test]
async fn passkeys_may_be_used_on_the_pages_that_sign_or_enrol_and_on_no_other() {
    let (house, _folder) = house().await;
    let (mut pages, mut granted) = (0, BTreeSet::new());
    for (method, path) in routes(&house) {
        if method != "GET" || is_for_programs(&path) {
            continue;
        }
        for visitor in [Visitor::Nobody, Visitor::Viewer, Visitor::Owner] {
            let answer = house.knock(visitor, "GET", &path).await;
            let policy = answer.headers.get("permissions-policy");
            let policy = policy.map_or("", |policy| policy.to_str().unwrap());
            let html = answer
                .headers
                .get("content-type")
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
            pages += usize::from(html);
            for act in ["get", "create"] {
                let none = policy.contains(&format!("publickey-credentials-{act}=()"));
                let own = policy.contains(&format!("publickey-credentials-{act}=(self)"));
                assert!(none != own || !html, "{path}: {policy}");
                if own {
                    granted.insert(format!("{act} {path} {visitor:?}"));
                }
            }
        }
    }
    assert!(pages > 55, "{pages}");
    let expected = [
        "create /invite/{token} Nobody",
        "create /invite/{token} Owner",
        "create /invite/{token} Viewer",
        "create /me/keys Owner",
        "create /me/keys Viewer",
        "get /freeze Owner",
        "get /login Nobody",
        "get /proposals/{id} Owner",
        "get /proposals/{id}/object Owner",
        "get /releases/{id} Owner",
        "get /releases/{id}/reject Owner",
    ];
    assert_eq!(granted, expected.map(str::to_owned).into());
}
