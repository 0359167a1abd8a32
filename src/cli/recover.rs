//! `countersign recover`: gives people keys again when so many are lost that no quorum is left.
//!
//! The commands run on the host, beside the server or without it. They read the database of the
//! configuration; the recovery secret comes from a file or from standard input, never from the
//! command line, where other users of the machine could read it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _, Write};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::app::{self, Clock};
use crate::config::Config;
use crate::domain::event::Actor;
use crate::domain::ids::ProposalId;
use crate::domain::words::check_words;
use crate::pipeline::governance::founding::RecoverySecret;
use crate::pipeline::governance::recovery::{self, Recoverable};
use crate::pipeline::{Fault, Kind, Result, people, refuse, transaction};
use crate::store::Store;

/// Longest recovery secret that is read, in bytes; a printed one has 64.
const SECRET_MAX_BYTES: u64 = 1_000;

/// Gives people keys again when so many are lost that no quorum is left.
///
/// 1. `recover invite NAME` prints an address on which NAME enrols a new passkey. Once enrolled it
///    waits as a proposal and signs nothing.
/// 2. `recover list` shows the proposals that wait for keys, with four words for each key. Call
///    NAME and compare the words: they are on NAME's own page.
/// 3. `recover sign PROPOSAL` signs one with the recovery secret that was printed at the founding.
///
/// What it signs takes effect after the delay of the founding. Until then every page shows an alarm,
/// and one objection by somebody who still has a key ends it. It is an entry of the log for ever.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Recover {
    /// The configuration that the server has, too.
    #[arg(long, env = "COUNTERSIGN_CONFIG", default_value = "countersign.toml", global = true)]
    pub config: PathBuf,
    /// Which step.
    #[command(subcommand)]
    pub step: Step,
}

/// The steps of a recovery.
#[derive(Debug, clap::Subcommand)]
pub enum Step {
    /// Print an address, good once and for 24 hours, on which somebody enrols a new passkey
    Invite {
        /// Their name, exactly as the pages show it
        name: String,
    },
    /// Show the proposals that would give people keys
    List,
    /// Sign such a proposal with the recovery secret
    Sign {
        /// The proposal, as `recover list` shows it
        proposal: ProposalId,
        /// Read the recovery secret from this file instead of asking for it
        #[arg(long)]
        secret_file: Option<PathBuf>,
    },
}

/// Does the step and prints to standard output.
pub async fn run(
    arguments: Recover,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let now = Clock::default().now();
    Ok(arguments.run(&mut std::io::stdout().lock(), now).await?)
}

impl Recover {
    /// Does the step and prints to `out`.
    pub async fn run(self, out: &mut impl Write, now: Timestamp) -> Result<()> {
        let config = Config::read(&self.config)
            .map_err(|error| Fault::new("reading the configuration", error))?;
        let store = Store::open(&config.database_url, &config.base).await?;
        // As at every start: nothing is written after a log that was turned back.
        app::notary(&config, &store)?
            .check()
            .await
            .map_err(|trouble| Fault::new("checking the log", trouble))?;
        let text = match self.step {
            Step::Invite { name } => invite(&store, &config.origin_text(), name, now).await?,
            Step::List => list(&recovery::recoverable(&store).await?),
            Step::Sign { proposal, secret_file } => {
                let secret = RecoverySecret::parse(read_secret(secret_file)?.expose_secret())?;
                let until = recovery::sign(&store, secret, proposal, now).await?;
                format!(
                    "signed. It takes effect at {until} unless somebody objects.\n\
                     Every page shows this until then.\n"
                )
            }
        };
        out.write_all(text.as_bytes()).map_err(|error| Fault::new("printing", error))?;
        Ok(())
    }
}

async fn invite(store: &Store, origin: &str, name: String, now: Timestamp) -> Result<String> {
    let invited = transaction(store, move |tx| {
        Box::pin(async move {
            match tx.person_named(&name).await? {
                Some(person) => people::invite(tx, now, &Actor::Host, person.id).await,
                None => refuse(
                    Kind::NotFound,
                    format!("expected a name on the roster, received `{name}`"),
                ),
            }
        })
    })
    .await?;
    let token = invited.token.expose_secret();
    Ok(format!(
        "{origin}/invite/{token}\nGood once, until {}. Whoever opens it first enrols the key.\n",
        invited.expires_at
    ))
}

fn list(found: &[Recoverable]) -> String {
    if found.is_empty() {
        return "no proposal about keys waits\n".to_owned();
    }
    let mut text = String::new();
    for recoverable in found {
        let state = match recoverable.until {
            Some(until) => format!("signed, takes effect at {until}"),
            None => format!("waits until {}", recoverable.expires_at),
        };
        // Writing to memory does not fail.
        let _ = writeln!(text, "{} {state}", recoverable.id);
        for (name, fingerprint) in &recoverable.adds {
            let _ =
                writeln!(text, "  a key for {name}: {}", check_words::<4>(fingerprint).join(" "));
        }
    }
    text
}

/// The secret from its file, or from standard input with a terminal's echo switched off.
fn read_secret(file: Option<PathBuf>) -> Result<SecretString> {
    const CONTEXT: &str = "reading the recovery secret";
    let mut text = Zeroizing::new(String::new());
    match file {
        Some(path) => {
            let file = std::fs::File::open(&path).map_err(|error| Fault::new(CONTEXT, error))?;
            file.take(SECRET_MAX_BYTES).read_to_string(&mut text)
        }
        None if std::io::stdin().is_terminal() => {
            let hidden = echo(false);
            let shown = if hidden { "it is not shown" } else { "it is shown: nobody may look" };
            let asked = write!(std::io::stderr(), "Recovery secret ({shown}): ");
            let read = asked.and_then(|()| std::io::stdin().read_line(&mut text));
            if hidden {
                echo(true);
            }
            read
        }
        None => std::io::stdin().take(SECRET_MAX_BYTES).read_to_string(&mut text),
    }
    .map_err(|error| Fault::new(CONTEXT, error))?;
    Ok(SecretString::from(text.trim()))
}

/// Switches the echo of the terminal; `false` when the system has no such command, and what is
/// typed stays visible.
fn echo(on: bool) -> bool {
    let argument = if on { "echo" } else { "-echo" };
    let status = Process::new("stty").arg(argument).stdin(Stdio::inherit()).status();
    status.is_ok_and(|status| status.success())
}
