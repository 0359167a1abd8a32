//! Transactions that meet are run again, and outlive the requests that began them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::domain::release::State;
use countersign::pipeline::{Error, Fault, Kind, Met, again, refuse, transaction};
use countersign::store::{Store, StoreError, Tx};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::Barrier;

use crate::support::database::Postgres;
use crate::support::setup::count;
use crate::support::world::{World, npm_document, run};

/// Work that the database asks to run again, as often as it is run.
async fn tries(error: impl Fn() -> Error) -> (u32, Error) {
    let mut tries = 0;
    let result: Result<(), Error> = again(|| {
        tries += 1;
        let error = error();
        async move { Err(error) }
    })
    .await;
    (tries, result.unwrap_err())
}

#[tokio::test]
async fn work_that_met_other_work_is_tried_again_a_bounded_number_of_times() {
    let met = || StoreError::Again(sqlx::Error::PoolClosed).into();
    assert!(matches!(tries(met).await, (5, Error::Fault(_))));
    let met = || Fault::new("opening", Met).into();
    assert!(matches!(tries(met).await, (5, Error::Fault(_))));
    let gone = || StoreError::Unavailable(sqlx::Error::PoolClosed).into();
    assert!(matches!(tries(gone).await, (1, Error::Fault(_))));
    let no = || refuse::<()>(Kind::Gone, "it is over").unwrap_err();
    assert!(matches!(tries(no).await, (1, Error::Refused(_))));
}

/// Counts up two rows in the given order; the first run waits between them for the other side.
async fn count_up(
    store: &Store,
    order: [i64; 2],
    (meet, runs): (Arc<Barrier>, Arc<AtomicU32>),
) -> Result<(), Error> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let first_run = runs.fetch_add(1, Ordering::SeqCst) < 2;
            let Tx::Postgres(tx) = tx else { panic!("PostgreSQL only") };
            for (position, row) in order.into_iter().enumerate() {
                let sql = "update meeting set runs = runs + 1 where id = $1";
                let done = sqlx::query(sql).bind(row).execute(&mut **tx).await;
                done.map_err(StoreError::from)?;
                if position == 0 && first_run {
                    meet.wait().await;
                }
            }
            Ok(())
        })
    })
    .await
}

/// Rows R-D07: a real deadlock, which PostgreSQL ends by refusing one of the two.
#[tokio::test]
async fn of_two_transactions_in_a_deadlock_both_commit() {
    let Some(database) = Postgres::create().await else { return };
    let store = Store::open(&database.url, Path::new("")).await.unwrap();
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute("create table meeting (id bigint, runs bigint)").await.unwrap();
    connection.execute("insert into meeting values (1, 0), (2, 0)").await.unwrap();
    let shared = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let (one, other) = tokio::join!(
        count_up(&store, [1, 2], shared.clone()),
        count_up(&store, [2, 1], shared.clone()),
    );
    one.unwrap();
    other.unwrap();
    assert_eq!(shared.1.load(Ordering::SeqCst), 3, "one of them ran twice");
    let sum: i64 = sqlx::query_scalar("select cast(sum(runs) as bigint) from meeting")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(sum, 4, "and counted once");
    connection.close().await.unwrap();
    store.close().await;
    database.remove().await;
}

/// Sessions of this database in a state that PostgreSQL names.
async fn sessions(connection: &mut PgConnection, condition: &'static str) -> i64 {
    let sql = format!(
        "select count(*) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and {condition}"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

async fn wait_for(connection: &mut PgConnection, condition: &'static str, number: i64) {
    for _ in 0..1000 {
        if sessions(connection, condition).await == number {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {number} sessions with {condition}");
}

/// Row R15: the client hangs up while its transaction waits for a lock. The decision is recorded.
#[tokio::test]
async fn a_decision_is_recorded_although_its_client_hangs_up_in_the_middle() {
    let Some(database) = Postgres::create().await else { return };
    let store = Store::open(&database.url, Path::new("")).await.unwrap();
    let world = World::start(store.clone()).await;
    let release = world.stage_npm(run(1), &npm_document("1.0.0", b"x")).await.unwrap().release;
    let base = format!("/releases/{release}/approve");
    let mut ines = world.ines.clone();
    let answer = ines.answer(&base, &json!({})).await;

    let mut lock = PgConnection::connect(&database.url).await.unwrap();
    let mut watch = PgConnection::connect(&database.url).await.unwrap();
    lock.execute("begin; select id from releases for update").await.unwrap();
    let finish =
        tokio::spawn(async move { ines.post_json(&format!("{base}/finish"), &answer).await });
    wait_for(&mut watch, "wait_event_type = 'Lock'", 1).await;
    finish.abort();
    assert!(finish.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.record(release).await.state, State::Awaiting);
    lock.execute("commit").await.unwrap();
    wait_for(&mut watch, "wait_event_type = 'Lock'", 0).await;
    for _ in 0..500 {
        if world.record(release).await.state == State::Approved {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.record(release).await.state, State::Approved);
    assert_eq!(count(&store, "decisions").await, 1);
    assert_eq!(count(&store, "jobs").await, 1);
    for connection in [lock, watch] {
        connection.close().await.unwrap();
    }
    drop(world);
    store.close().await;
    database.remove().await;
}

/// Row R15: many clients hang up at many moments. No transaction stays open, no connection is lost,
/// and every release that was opened says so in the log.
#[tokio::test]
async fn a_storm_of_disconnects_leaves_no_transaction_behind() {
    let Some(database) = Postgres::create().await else { return };
    let store = Store::open(&database.url, Path::new("")).await.unwrap();
    let world = World::start(store.clone()).await;
    let release = world.stage_npm(run(1), &npm_document("1.0.0", b"x")).await.unwrap().release;
    let begin = format!("/releases/{release}/approve/begin");
    let token = format!("Bearer {}", world.ci_token(run(2)));
    let mut hung_up = 0;
    for number in 0..150_u64 {
        let patience = Duration::from_micros(number * 400);
        let (mut mara, mut ci) = (world.mara.clone(), world.site.browser(9));
        let document = npm_document(&format!("2.0.{number}"), b"x").to_string();
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let decide = async { mara.post_json(&begin, &json!({})).await };
        let upload = ci.send(Method::PUT, "/npm/@octo%2fhello-wire", &headers, document);
        let (decided, uploaded) = tokio::join!(
            tokio::time::timeout(patience, decide),
            tokio::time::timeout(patience, upload),
        );
        hung_up += u32::from(decided.is_err()) + u32::from(uploaded.is_err());
    }
    assert!(hung_up > 20, "{hung_up}");

    let mut watch = PgConnection::connect(&database.url).await.unwrap();
    wait_for(&mut watch, "state in ('active', 'idle in transaction')", 0).await;
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(store.begin().await.unwrap());
    }
    drop(all);
    let opened: i64 =
        sqlx::query_scalar("select count(*) from log_entries where kind = 'release_opened'")
            .fetch_one(&mut watch)
            .await
            .unwrap();
    assert_eq!(count(&store, "releases").await, opened);
    assert_eq!(count(&store, "artifacts").await, opened);
    world.approve(release).await;
    world.forward().await;
    assert_eq!(world.record(release).await.state, State::Published);
    watch.close().await.unwrap();
    drop(world);
    store.close().await;
    database.remove().await;
}
