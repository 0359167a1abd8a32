//! The commands. Each file is one.

pub mod apply;
pub mod serve;

/// Nothing reaches a registry until your maintainers sign it with a passkey.
#[derive(Debug, clap::Parser)]
#[command(name = "countersign", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Set up an installation that nobody has claimed from a reviewed file
    Apply(apply::Apply),
    /// Run the gateway
    Serve(serve::Serve),
}
