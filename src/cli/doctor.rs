//! `countersign doctor`: checks an installation from its own files, whether or not it runs, and says
//! what holds the children that read artifacts on this machine.

use std::io::Write as _;
use std::path::PathBuf;

use crate::app;
use crate::config::Config;
use crate::inspector::{Inspector, Settings};
use crate::pipeline::log::verify::verify;
use crate::store::Store;

/// Reads the whole log and compares it with what was signed and kept. Changes nothing; exits with
/// 1 when something is wrong.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The configuration that the server has, too.
    #[arg(long, env = "COUNTERSIGN_CONFIG", default_value = "countersign.toml")]
    config: PathBuf,
}

/// Checks and prints what was found.
pub async fn run(arguments: Doctor) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let config = Config::read(&arguments.config)?;
    let store = Store::open(&config.database_url, &config.base).await?;
    let notary = app::notary(&config, &store)?;
    let checked = verify(&store, notary.verifier_key()).await?;
    notary.check().await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "entries {}", checked.head.size)?;
    writeln!(out, "root {}", checked.head.root)?;
    writeln!(out, "checkpoints {}", checked.checkpoints)?;
    writeln!(out, "checkpoints of earlier keys {}", checked.of_other_keys)?;
    writeln!(out, "key {}", notary.verifier_key())?;
    writeln!(out, "the log is whole and extends everything that was kept of it")?;
    for sentence in Inspector::new(Settings::default()).sandbox().await?.sentences() {
        writeln!(out, "reading artifacts: {sentence}")?;
    }
    Ok(())
}
