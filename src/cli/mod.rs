//! The commands. Each file is one.

pub mod apply;
pub mod check;
pub mod doctor;
pub mod inspect;
pub mod recover;
pub mod serve;
pub mod submit;
pub mod verify;

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
    /// Run the gateway
    Serve(serve::Serve),
    /// Set up an unclaimed installation from a reviewed file and print the invitations
    Apply(apply::Apply),
    /// Say on another machine whether files are those that a release's page shows
    Check(check::Check),
    /// Check the whole log against everything that was signed and kept of it
    Doctor(doctor::Doctor),
    /// Say what changed between two artifacts, and what of it to look at
    Inspect(inspect::Inspect),
    /// Give people keys again when too many are lost for a quorum
    Recover(recover::Recover),
    /// Stage built files from CI and ask for their review
    Submit(submit::Submit),
    /// Check offline who approved which bytes, from a release's evidence and the log's key
    Verify(verify::Verify),
}
