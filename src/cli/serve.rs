//! `countersign serve`: opens the installation, binds every listener, runs until told to stop.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Clock, Opened};
use crate::config::Config;
use crate::pipeline::Fault;
use crate::web;
use crate::web::listen::{Bounds, Listener};
use crate::workers;

/// The arguments of `countersign serve`.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The configuration file.
    #[arg(long, env = "COUNTERSIGN_CONFIG", default_value = "countersign.toml")]
    config: PathBuf,
}

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn run(arguments: Serve) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let config = Config::read(&arguments.config)?;
    let listen = config.listen.clone();
    let Opened { app, key, claim_code } = App::open(config, Clock::default()).await?;
    if let Some(code) = claim_code {
        app.announce_claim_code(&code)
            .await
            .map_err(|error| Fault::new("writing the claim code", error))?;
    }
    let stop = CancellationToken::new();
    let serving = TaskTracker::new();
    let router = web::router(&app);
    for listen in &listen {
        let listener = Listener::bind(listen, Bounds::default()).await?;
        let scheme = if listen.tls.is_some() { "https" } else { "http" };
        tracing::info!("listening on {scheme}://{}", listener.address()?);
        serving.spawn(listener.serve(router.clone(), stop.clone()));
    }
    let workers = workers::start(&app, key, &stop);
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: nothing new, open requests and uploads to registries may finish");
    stop.cancel();
    serving.close();
    serving.wait().await;
    workers.wait().await;
    app.store.close().await;
    Ok(())
}
