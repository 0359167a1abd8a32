//! The database: one set of statements, two dialects. Only this folder names `sqlx`.
//!
//! Every statement is written once, in the common subset of SQLite and PostgreSQL, and stamped for
//! both drivers by [`on!`]; the few real differences go through [`Tx::dialect`]. Writes happen in a
//! [`Tx`] from [`Store::begin`], reads in one from [`Store::snapshot`]. No network I/O may happen
//! while a `Tx` is open, and whoever opens one for writing runs in a task that outlives the request
//! (`pipeline::detached`), because a dropped future must not leave a transaction behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, Postgres, SqlSafeStr, Sqlite, SqlitePool, Transaction};

/// Runs one block against whichever driver the transaction has.
macro_rules! on {
    ($tx:expr, $c:ident, $body:block) => {
        match $tx {
            $crate::store::Tx::Sqlite(transaction) => {
                let $c = &mut **transaction;
                $body
            }
            $crate::store::Tx::Postgres(transaction) => {
                let $c = &mut **transaction;
                $body
            }
        }
    };
}

/// A private row struct that both drivers can decode by column name.
macro_rules! row {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug)]
        struct $name { $($field: $type),+ }
        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}

pub mod checkpoints;
pub mod ci;
pub mod fetched;
pub mod files;
pub mod idempotency;
pub mod inspections;
pub mod instance;
pub mod jobs;
pub mod log;
pub mod people;
pub mod previews;
pub mod proposals;
pub mod releases;
pub mod rights;
pub mod setup;
pub mod signin;
pub mod sso;

/// Readers beside the one SQLite writer, and the PostgreSQL pool's size.
const CONNECTIONS_MAX: u32 = 8;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A database error, sorted by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A uniqueness or reference rule refused the statement. The caller decides what that means
    /// from the constraint's name.
    #[error("the database refused the change by constraint `{0}`")]
    Conflict(String),
    /// Two transactions met; the whole unit of work may be run again.
    #[error("the database asked to run the transaction again")]
    Again(#[source] sqlx::Error),
    /// A row holds something this version cannot read.
    #[error("column `{column}` of table `{table}` holds something unreadable")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// Anything else: the database is away, the disk is full, the statement is wrong.
    #[error("the database failed")]
    Unavailable(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The log is not the one that was witnessed, and nothing may be written on top of it (K6).
    #[error(
        "nothing is written: the log does not extend what was witnessed, see docs/log.md, \
         \"When the alarm says that the log is broken\""
    )]
    ReadOnly,
    /// The address is not `sqlite:PATH` or `postgres://…`.
    #[error("expected a database URL that starts with `sqlite:` or `postgres:`")]
    Url,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else { return Self::Unavailable(error) };
        if database.is_unique_violation()
            || database.is_foreign_key_violation()
            || database.is_check_violation()
        {
            // SQLite names the columns instead of the constraint.
            let name = database.constraint().unwrap_or(database.message());
            return Self::Conflict(name.to_owned());
        }
        let again = match database.code().as_deref() {
            Some("40001" | "40P01") => true,
            // SQLite's extended codes carry BUSY (5) or LOCKED (6) in the low byte.
            Some(code) => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
            None => false,
        };
        if again { Self::Again(error) } else { Self::Unavailable(error) }
    }
}

/// Which database a transaction talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, one process.
    Sqlite,
    /// PostgreSQL, any number of replicas.
    Postgres,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Pools,
    /// Shared by all clones.
    read_only: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
enum Pools {
    Sqlite {
        /// One connection: writers queue here instead of sleeping in SQLite's busy handler.
        write: SqlitePool,
        /// Opened read-only.
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction. Rolled back when dropped without [`Tx::commit`].
#[derive(Debug)]
pub enum Tx {
    /// On SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl Store {
    /// Opens the database named by a URL and brings its schema up to date. A relative SQLite path
    /// is taken from `base`.
    pub async fn open(url: &str, base: &Path) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Self::open_sqlite(&base.join(path)).await;
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options: PgConnectOptions = url.parse().map_err(|_| StoreError::Url)?;
            return Self::open_postgres(options).await;
        }
        Err(StoreError::Url)
    }

    fn new(pools: Pools) -> Self {
        Self { pools, read_only: Arc::default() }
    }

    async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        // FULL, not NORMAL: a WAL with NORMAL may lose the last commits on power loss, and a lost
        // "published" record could mean publishing twice.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("trusted_schema", "OFF");
        // A connection to a file does not break: to ask it before each use would only cost a turn
        // of its thread.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        // Two megabytes for each reader are what it would take; the system caches the file anyway.
        let readers = options.clone().read_only(true).pragma("cache_size", "-256");
        let write = pool().max_connections(1).connect_with(options).await?;
        migrator(include_str!("../../migrations/sqlite/0001_init.sql")).run(&write).await?;
        let read = pool().max_connections(CONNECTIONS_MAX).connect_with(readers).await?;
        Ok(Self::new(Pools::Sqlite { write, read }))
    }

    async fn open_postgres(options: PgConnectOptions) -> Result<Self, StoreError> {
        // A cancelled `begin()` can hand a connection with an open transaction back to the pool
        // (transact-rs/sqlx 4385); rolling back on release makes that harmless.
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .after_release(|connection, _| {
                Box::pin(async move {
                    use sqlx::Executor as _;
                    connection.execute("rollback").await?;
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        migrator(include_str!("../../migrations/postgres/0001_init.sql")).run(&pool).await?;
        Ok(Self::new(Pools::Postgres(pool)))
    }

    /// Begins a transaction that may write. On SQLite there is one at a time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        if self.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        Ok(match &self.pools {
            Pools::Sqlite { write, .. } => Tx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// From now on nothing is written by this process; only a restart ends that (K6).
    pub fn refuse_writes(&self) {
        self.read_only.store(true, Ordering::SeqCst);
    }

    /// Whether writes are refused.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }

    /// Begins a read-only transaction that sees one moment.
    pub async fn snapshot(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { read, .. } => Tx::Sqlite(read.begin().await?),
            Pools::Postgres(pool) => Tx::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
            ),
        })
    }

    /// Which database this is.
    pub const fn dialect(&self) -> Dialect {
        match self.pools {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Waits for running statements and closes every connection.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

fn migrator(init: &'static str) -> Migrator {
    let sql = init.into_sql_str();
    Migrator::with_migrations(vec![Migration::new(
        1,
        "init".into(),
        MigrationType::Simple,
        sql,
        false,
    )])
}

impl Tx {
    /// Makes the changes durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }

    /// Which database this is.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Picks a statement for the few places where the dialects differ.
    const fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        }
    }
}

/// Microseconds since the epoch, as stored.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Reads stored microseconds back.
fn timestamp(
    micros: i64,
    table: &'static str,
    column: &'static str,
) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|_| StoreError::Corrupt { table, column })
}

/// Reads an optional stored time back.
fn timestamp_opt(
    micros: Option<i64>,
    table: &'static str,
    column: &'static str,
) -> Result<Option<Timestamp>, StoreError> {
    micros.map(|micros| timestamp(micros, table, column)).transpose()
}

/// Turns `None` from a parser into a corrupt-row error.
fn sound<T>(value: Option<T>, table: &'static str, column: &'static str) -> Result<T, StoreError> {
    value.ok_or(StoreError::Corrupt { table, column })
}
