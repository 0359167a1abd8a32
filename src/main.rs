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

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn run(command: Command) -> Ended {
    match command {
        Command::Serve(arguments) => wait(cli::serve::run(arguments)),
        Command::Apply(arguments) => wait(cli::apply::run(arguments)),
        Command::Check(arguments) => arguments.run(&mut std::io::stdout()),
        Command::Doctor(arguments) => wait(cli::doctor::run(arguments)),
        Command::Recover(arguments) => wait(cli::recover::run(arguments)),
        Command::Submit(arguments) => wait(cli::submit::run(arguments)),
        // Closes a sandbox around itself, which holds one thread: there may be no other.
        Command::Inspect(arguments) => cli::inspect::run(&arguments),
        Command::Verify(arguments) => cli::verify::run(&arguments),
    }
}

/// Runs a command that waits for others.
fn wait(command: impl Future<Output = Ended>) -> Ended {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

/// Says what went wrong, with everything that caused it, and exits with 1.
fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    tracing::error!("{}", countersign::domain::causes::with_causes(error));
    ExitCode::FAILURE
}
