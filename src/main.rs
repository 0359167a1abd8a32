//! The `countersign` command: parses arguments, sets up the log, runs one command.

use std::process::ExitCode;

use clap::Parser as _;
use countersign::cli::submit::SubmitError;
use countersign::cli::{self, Cli, Command};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(
            EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    // One TLS implementation for everything; fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<SubmitError>() {
            Some(ended) => {
                failed(ended);
                ExitCode::from(ended.exit_code())
            }
            None => failed(&*error),
        },
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Closes a sandbox around itself, which holds one thread: there may be no other.
    if let Command::Inspect(arguments) = command {
        return cli::inspect::run(&arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(arguments) => cli::serve::run(arguments).await,
            Command::Apply(arguments) => cli::apply::run(arguments).await,
            Command::Doctor(arguments) => cli::doctor::run(arguments).await,
            Command::Recover(arguments) => cli::recover::run(arguments).await,
            Command::Submit(arguments) => cli::submit::run(arguments).await,
            Command::Inspect(arguments) => cli::inspect::run(&arguments),
            Command::Verify(arguments) => cli::verify::run(&arguments),
        }
    })
}

/// Says what went wrong, with everything that caused it, and exits with 1.
fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    tracing::error!("{}", countersign::pipeline::forwarding::chain(error));
    ExitCode::FAILURE
}
