//! A set-up file for tests, and what counts rows.

use countersign::pipeline::Error;
use countersign::pipeline::people::{Added, Invited};
use countersign::pipeline::setup::Credential;
use countersign::pipeline::setup::apply::{Invite, ReadySetup, UpstreamCredentials, apply};
use countersign::pipeline::setup::file::SetupFile;
use countersign::store::{Store, Tx};
use countersign::vault::{self, OpeningKey};
use jiff::Timestamp;

/// The invitation of somebody who was added at once, as before the founding.
#[track_caller]
pub(crate) fn invited(added: Added) -> Invited {
    match added {
        Added::Invited(invited) => invited,
        Added::Proposed(proposal) => panic!("proposed as {proposal}"),
    }
}

/// Where the installations of these tests are.
pub(crate) const ORIGIN: &str = "http://localhost:8080";

const TEXT: &str = r#"
[[issuer]]
name = "ci"
preset = "github"
url = "ISSUER"
allow_private = true
max_age_minutes = 60

[[person]]
name = "Ines Duarte"
role = "owner"
ci_identities = [{ issuer = "ci", actor_id = "1001" }]
[[person]]
name = "Mara Lindqvist"
role = "maintainer"
[[person]]
name = "Vera Oduya"
role = "viewer"

[[bot]]
issuer = "ci"
actor_id = "9000"

[[upstream]]
name = "Local npm"
kind = "npm"
url = "http://127.0.0.1:14873/"
allow_private = true
credential_file = "npm.token"
[[upstream]]
name = "Local index"
kind = "pypi"
url = "http://127.0.0.1:13141/legacy/"
simple_url = "http://127.0.0.1:13141/simple/"
allow_private = true

[[policy]]
name = "Two people"
required = 2
people = ["Ines Duarte", "Mara Lindqvist"]

[[package]]
ecosystem = "npm"
name = "@octo/hello-wire"
upstream = "Local npm"
policy = "Two people"
access = "public"
[[package]]
ecosystem = "npm"
name = "hello-core"
upstream = "Local npm"
policy = "Two people"
[[package]]
ecosystem = "npm"
name = "elsewhere"
upstream = "Local npm"
policy = "Two people"
[[package]]
ecosystem = "pypi"
name = "hello-wire"
upstream = "Local index"
policy = "Two people"

[[publisher]]
name = "Release workflow"
issuer = "ci"
packages = ["npm:@octo/hello-wire", "npm:hello-core", "pypi:Hello_Wire"]
[publisher.github]
repository = "octo/hello-wire"
repository_id = "4242"
repository_owner_id = "77"
workflow = ".github/workflows/release.yml"
environment = "release"
ref = "refs/tags/v*"
"#;

/// Three people, three packages on npm, one on PyPI, and one publisher of all of them but one.
pub(crate) fn text(issuer: &str) -> String {
    TEXT.replace("ISSUER", issuer)
}

/// A vault key of its own.
pub(crate) fn vault_key() -> OpeningKey {
    let folder = tempfile::tempdir().unwrap();
    vault::create(&folder.path().join("key")).unwrap()
}

/// Applies a file whose first upstream has the credential `npm_canary`.
pub(crate) async fn apply_text(
    store: &Store,
    key: &OpeningKey,
    text: &str,
    now: Timestamp,
) -> Result<Vec<Invite>, Error> {
    let file = SetupFile::parse(text).expect("a set-up file");
    let publish = Some(Credential::parse(&"npm_canary\n".into()).unwrap());
    let credentials = vec![UpstreamCredentials { publish, read: None }];
    let setup = ReadySetup { file, credentials };
    apply(store, &key.sealing_key(), ORIGIN, setup, now).await
}

/// The number of rows of a table.
pub(crate) async fn count(store: &Store, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    match &mut store.snapshot().await.unwrap() {
        Tx::Sqlite(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
        Tx::Postgres(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
    }
}
