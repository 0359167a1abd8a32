//! The clock's driver: looks into what was sealed, forwards what is due, seals what is quiet, expires
//! what is overdue, signs the log.
//!
//! No rules here; `pipeline` has them. Each worker calls one function again and again, and a fault
//! is logged and tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::domain::causes::with_causes;
use crate::pipeline::forwarding::{self, Forwarder};
use crate::pipeline::inspection::{self, Inspecting};
use crate::pipeline::{self, governance, signin, staging};
use crate::vault::OpeningKey;

/// Pause between two looks when nothing was due. A decision wakes the forwarder earlier.
const IDLE: Duration = Duration::from_millis(500);
/// Pause between two sweeps.
const SWEEP: Duration = Duration::from_secs(1);
/// Pause between two looks at the log: a checkpoint is at most so much older than an entry.
const SIGN: Duration = Duration::from_secs(1);
/// Forwards at once in one process: one big upload must not hold up the next release.
const FORWARDERS: usize = 2;

/// Starts every worker. They end when `stop` is cancelled and what they work on is done: a forward
/// that is cut off leaves a release whose end nobody knows for a while.
pub fn start(app: &Arc<App>, key: OpeningKey, stop: &CancellationToken) -> TaskTracker {
    let (key, workers) = (Arc::new(key), TaskTracker::new());
    for number in 0..FORWARDERS {
        let (app, key, stop) = (Arc::clone(app), Arc::clone(&key), stop.clone());
        workers.spawn(async move { forward(&app, &key, number, &stop).await });
    }
    let (inspected, no_inspection) = (Arc::clone(app), stop.clone());
    let (swept, signed) = (Arc::clone(app), Arc::clone(app));
    let (no_sweep, no_sign) = (stop.clone(), stop.clone());
    workers.spawn(async move { inspect(&inspected, &no_inspection).await });
    workers.spawn(async move { sweep(&swept, &no_sweep).await });
    workers.spawn(async move { sign(&signed, &no_sign).await });
    workers.close();
    workers
}

async fn forward(app: &App, key: &OpeningKey, number: usize, stop: &CancellationToken) {
    let owner = format!("{}-{number}", std::process::id());
    while may_work(app, stop) {
        let forwarder = Forwarder {
            store: &app.store,
            blobs: &app.intake.blobs,
            client: &app.upstreams,
            key,
            // Read each time: the installation may be founded while this runs.
            trust: app.trust(),
            notary: &app.notary,
            progress: &app.progress,
        };
        match forwarding::run_next(&forwarder, &owner, app.clock.now()).await {
            Ok(true) => {}
            Ok(false) => pause(IDLE, stop).await,
            Err(error) => {
                log(&error, "a forward could not be worked on");
                pause(IDLE * 4, stop).await;
            }
        }
    }
}

async fn inspect(app: &App, stop: &CancellationToken) {
    while may_work(app, stop) {
        match inspection::run_next(inspecting(app), app.clock.now()).await {
            Ok(true) => {}
            Ok(false) => pause(IDLE, stop).await,
            Err(error) => {
                log(&error, "a release could not be inspected");
                pause(IDLE * 4, stop).await;
            }
        }
    }
}

/// What an inspection uses; tests call `run_next` with it instead of waiting.
pub fn inspecting(app: &App) -> Inspecting<'_> {
    Inspecting {
        shelf: app.shelf(),
        inspector: &app.inspector,
        trust_root: app.trust_root.as_ref(),
        sources: app.sources(),
        files: &app.files,
        progress: &app.progress,
    }
}

async fn sweep(app: &App, stop: &CancellationToken) {
    while may_work(app, stop) {
        if let Err(error) = sweep_once(app).await {
            log(&error, "sweeping failed");
        }
        pause(SWEEP, stop).await;
    }
}

async fn sign(app: &App, stop: &CancellationToken) {
    while may_work(app, stop) {
        if let Err(error) = app.notary.run(app.clock.now()).await {
            log(&error, "signing the log failed");
        }
        pause(SIGN, stop).await;
    }
}

/// Until the process stops, or nothing may be written any more (K6).
fn may_work(app: &App, stop: &CancellationToken) -> bool {
    !stop.is_cancelled() && !app.store.is_read_only()
}

/// One sweep; tests call it instead of waiting.
pub async fn sweep_once(app: &App) -> pipeline::Result<()> {
    let now = app.clock.now();
    for release in staging::seal_quiet(&app.store, now).await? {
        app.progress.announce(release);
    }
    for release in staging::expire_overdue(&app.store, now).await? {
        app.progress.announce(release);
    }
    app.adopt_founding().await?;
    governance::enact_due(&app.store, now).await?;
    signin::sweep(&app.store, now).await?;
    pipeline::ci::sweep(&app.store, now).await
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

fn log(error: &pipeline::Error, what: &'static str) {
    tracing::error!(error = %with_causes(error), "{what}");
}
