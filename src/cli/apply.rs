//! `countersign apply`: founds an installation from a set-up file that people reviewed.
//!
//! Credential files are read here, sealed by the pipeline and never printed or logged.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::Clock;
use crate::config::{Config, ConfigError};
use crate::pipeline::setup::apply::{Invite, ReadySetup, Target, UpstreamCredentials, apply_to};
use crate::pipeline::setup::file::{FILE_MAX_BYTES, FileError, SetupFile};
use crate::pipeline::setup::{CREDENTIAL_MAX_BYTES, Credential};
use crate::pipeline::{Error, Result as PipelineResult};
use crate::vault::{self, VaultError};

/// Sets up an installation that nobody has claimed: issuers, people, registries, policies,
/// packages and publishers, all of them or none. Prints an invitation for each person.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The set-up file.
    pub file: PathBuf,
    /// The configuration that the server has, too.
    #[arg(long, env = "COUNTERSIGN_CONFIG", default_value = "countersign.toml")]
    pub config: PathBuf,
    /// Print the invitations as a JSON array of names and addresses.
    #[arg(long)]
    pub json: bool,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The set-up file, or one it names, is not readable.
    #[error("cannot read `{path}`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The set-up file is not one.
    #[error("`{path}` is not a set-up file")]
    File {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<FileError>,
    },
    /// A credential file does not hold a credential.
    #[error("`{key}`: {why}")]
    Credential {
        /// The key in the set-up file.
        key: String,
        /// Says nothing of the content.
        why: Error,
    },
    /// The data folder or its key is not usable.
    #[error("cannot use the vault key")]
    Vault(#[from] VaultError),
    /// The file was understood and refused, or something failed on the way.
    #[error(transparent)]
    Apply(#[from] Error),
    /// The invitations could not be printed. They exist; the owners' pages can renew them.
    #[error("cannot print the invitations")]
    Print(#[source] std::io::Error),
}

/// An invitation as printed.
#[derive(Serialize)]
struct Printed<'a> {
    name: &'a str,
    url: &'a str,
}

/// Applies and prints to standard output.
pub async fn run(arguments: Apply) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let now = Clock::default().now();
    Ok(arguments.run(&mut std::io::stdout().lock(), now).await?)
}

impl Apply {
    /// Does it, and prints the invitations to `out`.
    pub async fn run(&self, out: &mut impl Write, now: Timestamp) -> Result<(), ApplyError> {
        let config = Config::read(&self.config)?;
        let setup = self.read()?;
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|source| ApplyError::Read { path: config.data_dir.clone(), source })?;
        let key = vault::load_or_create(&config.data_dir)?.sealing_key();
        let origin = config.origin_text();
        let target =
            Target { database_url: &config.database_url, base: &config.base, origin: &origin };
        let invites = apply_to(target, &key, setup, now).await?;
        self.print(out, &origin, &invites).map_err(ApplyError::Print)
    }

    fn read(&self) -> Result<ReadySetup, ApplyError> {
        let text = read_bounded(&self.file, FILE_MAX_BYTES)?;
        let refused = |source| {
            let source = Box::new(source);
            ApplyError::File { path: self.file.clone(), source }
        };
        let file = SetupFile::parse(text.expose_secret()).map_err(refused)?;
        let base = self.file.parent().unwrap_or(Path::new(""));
        let mut credentials = Vec::new();
        for (i, upstream) in file.upstream.iter().enumerate() {
            let read = |name: &str, path: Option<&PathBuf>| {
                let key = format!("upstream[{i}].{name}");
                path.map(|path| read_credential(key, &base.join(path))).transpose()
            };
            credentials.push(UpstreamCredentials {
                publish: read("credential_file", upstream.credential_file.as_ref())?,
                read: read("read_credential_file", upstream.read_credential_file.as_ref())?,
            });
        }
        Ok(ReadySetup { file, credentials })
    }

    fn print(&self, out: &mut impl Write, origin: &str, invites: &[Invite]) -> std::io::Result<()> {
        let url = |invite: &Invite| format!("{origin}/invite/{}", invite.token.expose_secret());
        if self.json {
            let urls: Vec<String> = invites.iter().map(url).collect();
            let names = invites.iter().map(|invite| invite.name.as_str());
            let list: Vec<Printed<'_>> =
                names.zip(&urls).map(|(name, url)| Printed { name, url }).collect();
            serde_json::to_writer(&mut *out, &list)?;
            return writeln!(out);
        }
        for invite in invites {
            writeln!(out, "invite\t{}\t{}", invite.name, url(invite))?;
        }
        Ok(())
    }
}

fn read_credential(key: String, path: &Path) -> Result<Credential, ApplyError> {
    // One byte more than allowed, and a line end: the parser says what is too long.
    let text = read_bounded(path, CREDENTIAL_MAX_BYTES + 3)?;
    let parsed: PipelineResult<Credential> = Credential::parse(&text);
    parsed.map_err(|why| ApplyError::Credential { key, why })
}

/// Reads at most `limit` bytes and one more, which the parsers refuse.
fn read_bounded(path: &Path, limit: usize) -> Result<SecretString, ApplyError> {
    let fault = |source| ApplyError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fault)?;
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(fault)?;
    Ok(text.as_str().into())
}
