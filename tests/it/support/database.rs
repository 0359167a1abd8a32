//! Runs a test on SQLite and on PostgreSQL, each time with a database of its own.
//!
//! `COUNTERSIGN_TEST_POSTGRES` is a `postgres://` URL of a server where databases may be created.
//! Its absence is a failure (ruling Q23) unless `COUNTERSIGN_TEST_SQLITE_ONLY=1` says that this run
//! is a partial one.

use std::future::Future;
use std::path::Path;

use countersign::store::Store;
use sqlx::{Connection as _, Executor as _, PgConnection};

/// Runs `test` on both databases. A panic in it is passed on after the database is gone.
pub(crate) async fn on_both<T, F>(test: T)
where
    T: Fn(Store) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = sqlite(folder.path()).await;
    run(test(store.clone()), store).await.expect("the test passes on SQLite");
    if let Some(database) = Postgres::create().await {
        let store = Store::open(&database.url, Path::new("")).await.expect("PostgreSQL opens");
        let result = run(test(store.clone()), store).await;
        database.remove().await;
        result.expect("the test passes on PostgreSQL");
    }
}

/// A new SQLite database, `test.db` in a folder.
pub(crate) async fn sqlite(folder: &Path) -> Store {
    Store::open("sqlite:test.db", folder).await.expect("SQLite opens")
}

async fn run(
    test: impl Future<Output = ()> + Send + 'static,
    store: Store,
) -> Result<(), tokio::task::JoinError> {
    let result = tokio::spawn(test).await;
    store.close().await;
    result
}

/// One database of a PostgreSQL server.
pub(crate) struct Postgres {
    server: String,
    name: String,
    /// Where it is.
    pub(crate) url: String,
}

impl Postgres {
    /// Creates a database; `None` in a run that is declared to be without PostgreSQL.
    pub(crate) async fn create() -> Option<Self> {
        let Ok(server) = std::env::var("COUNTERSIGN_TEST_POSTGRES") else {
            assert_eq!(
                std::env::var("COUNTERSIGN_TEST_SQLITE_ONLY").as_deref(),
                Ok("1"),
                "set COUNTERSIGN_TEST_POSTGRES to a server's URL, or COUNTERSIGN_TEST_SQLITE_ONLY=1"
            );
            return None;
        };
        let random = countersign::entropy::opaque_uuid().expect("random bytes");
        let name = format!("countersign_{}", random.simple());
        let mut url = url::Url::parse(&server).expect("COUNTERSIGN_TEST_POSTGRES is a URL");
        url.set_path(&name);
        let database = Self { server, name, url: url.to_string() };
        database.admin("create database").await;
        Some(database)
    }

    /// Drops it, whoever is still connected.
    pub(crate) async fn remove(self) {
        self.admin("drop database").await;
    }

    async fn admin(&self, verb: &str) {
        let mut server = PgConnection::connect(&self.server).await.expect("PostgreSQL answers");
        let force = if verb.starts_with("drop") { " with (force)" } else { "" };
        // The name is ours: letters, digits and underscores.
        let sql = sqlx::AssertSqlSafe(format!("{verb} {}{force}", self.name));
        server.execute(sql).await.unwrap_or_else(|error| panic!("{verb}: {error}"));
        server.close().await.expect("PostgreSQL says goodbye");
    }
}
