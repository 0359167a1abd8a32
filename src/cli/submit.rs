//! `countersign submit`: uploads built files from any CI, says that they are complete, prints where
//! to review them and, with `--wait`, waits for the end.
//!
//! Files are read by the same strict readers as at the gateway, so most refusals come before
//! anything is sent. `token` gets the CI token, `file` reads files, `gateway` speaks HTTP.

pub(super) mod file;
mod gateway;
mod token;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use url::Url;

use crate::app::Clock;
use crate::domain::package::{Ecosystem, PackageName};
use file::Built;
use gateway::{Gateway, Release};
use token::TokenSource;

/// Pause between two looks at a release.
const POLL: Duration = Duration::from_secs(5);
/// Looks that may fail one after another before waiting ends.
const POLL_FAILURES_MAX: u32 = 10;

/// Stages built files from CI and asks the maintainers to review them.
///
/// Exit codes: 0 done (with --wait: published), 2 usage, 3 refused by the gateway, 4 rejected by a
/// maintainer, 5 expired, 6 failed or partly done at the registry, 7 not decided within --timeout,
/// 1 anything else.
#[derive(Debug, clap::Args)]
pub struct Submit {
    /// The gateway's address, such as https://gateway.example
    #[arg(long, env = "COUNTERSIGN_URL")]
    pub url: Url,
    /// npm or pypi
    #[arg(long, value_parser = parse_ecosystem)]
    pub ecosystem: Ecosystem,
    /// Tarballs made by `npm pack`, or wheels and source distributions
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Wait until the release is published or ended
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 30m, 2h or 90s
    #[arg(long, default_value = "30m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Take the CI token from this environment variable
    #[arg(long)]
    pub token_env: Option<String>,
    /// PEM file of a private certificate authority to trust besides the system's
    #[arg(long, env = "COUNTERSIGN_CA")]
    pub ca: Option<PathBuf>,
    /// npm: the dist-tag, instead of `publishConfig.tag` or `latest`
    #[arg(long)]
    pub tag: Option<String>,
}

/// Why a submission did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// An argument or a file on the command line cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The gateway said no.
    #[error("the gateway refused: {0}")]
    Refused(String),
    /// A maintainer objected.
    #[error("{0} was rejected")]
    Rejected(String),
    /// Nobody decided in time.
    #[error("{0} expired before enough people approved it")]
    Expired(String),
    /// The registry holds nothing, or not everything.
    #[error("{0} failed at the registry: {1}")]
    Failed(String, String),
    /// Still undecided.
    #[error("{0} was not decided in time; it can still be approved at {1}")]
    TimedOut(String, String),
    /// Anything else: the network, the CI system, a broken gateway.
    #[error("{0}")]
    Other(String),
}

impl SubmitError {
    /// The exit code, as `countersign submit --help` lists them.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Rejected(_) => 4,
            Self::Expired(_) => 5,
            Self::Failed(..) => 6,
            Self::TimedOut(..) => 7,
        }
    }
}

fn parse_ecosystem(text: &str) -> Result<Ecosystem, String> {
    Ecosystem::parse(text).ok_or_else(|| "expected `npm` or `pypi`".to_owned())
}

/// A number and `s`, `m` or `h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a time such as 90s, 30m or 2h, received `{text}`");
    let split = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at));
    let (number, unit) = text.split_at(split.ok_or_else(expected)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

/// Runs the command with the system's clock and standard output.
pub async fn run(arguments: Submit) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let now = Clock::default().now();
    Ok(arguments.run(&mut std::io::stdout(), now).await?)
}

impl Submit {
    /// Does it, and prints `review`, `words` and `state` lines to `out`.
    pub async fn run(&self, out: &mut impl Write, now: Timestamp) -> Result<(), SubmitError> {
        let ca = self.ca.as_ref().map(std::fs::read).transpose().map_err(|error| {
            SubmitError::Usage(format!("cannot read the certificates of `--ca`: {error}"))
        })?;
        let mut versions: BTreeMap<(String, String), Vec<Built>> = BTreeMap::new();
        for path in &self.files {
            let built = file::read(path, self.ecosystem)?;
            let key = (built.package.normalized().to_owned(), built.version.clone());
            versions.entry(key).or_default().push(built);
        }
        let source = TokenSource::of(self.token_env.as_deref());
        let mut gateway = Gateway::new(&self.url, ca, source, now)?;
        let mut waiting = Vec::new();
        for ((_, version), files) in versions {
            let Some(package) = files.first().map(|built| built.package.clone()) else { continue };
            for built in &files {
                gateway.upload(built, self.tag.as_deref()).await?;
            }
            let staged = gateway.current(&package, &version).await?;
            let sealed = gateway.seal(&package, &staged).await?;
            print(out, &sealed)?;
            waiting.push((package, sealed));
        }
        if self.wait {
            let deadline = Instant::now() + self.timeout;
            return wait(&mut gateway, waiting, deadline, out).await;
        }
        Ok(())
    }
}

fn print(out: &mut impl Write, release: &Release) -> Result<(), SubmitError> {
    let words = release.check_words.as_deref().unwrap_or_default().join(" ");
    writeln!(out, "review {}\nwords {words}", release.review_url)
        .map_err(|error| SubmitError::Other(format!("cannot print: {error}")))
}

/// Waits for all; the first that ends badly decides the exit code.
async fn wait(
    gateway: &mut Gateway,
    mut waiting: Vec<(PackageName, Release)>,
    deadline: Instant,
    out: &mut impl Write,
) -> Result<(), SubmitError> {
    let mut failures = 0;
    while let Some((package, release)) = waiting.first() {
        let name = format!("{package} {}", release.version);
        match gateway.look(package, release).await {
            Ok(found) => {
                failures = 0;
                if ended(&name, &found)? {
                    writeln!(out, "state {} {name}", found.state)
                        .map_err(|error| SubmitError::Other(format!("cannot print: {error}")))?;
                    waiting.remove(0);
                    continue;
                }
            }
            Err(error @ SubmitError::Other(_)) => {
                failures += 1;
                if failures >= POLL_FAILURES_MAX {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        if Instant::now() + POLL > deadline {
            return Err(SubmitError::TimedOut(name, release.review_url.clone()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// True when it is published, false while it may still be.
fn ended(name: &str, release: &Release) -> Result<bool, SubmitError> {
    let name = || name.to_owned();
    match release.state.as_str() {
        "published" => Ok(true),
        "rejected" => Err(SubmitError::Rejected(name())),
        "expired" => Err(SubmitError::Expired(name())),
        "partial" | "failed" => {
            let message = release.message.clone().unwrap_or_else(|| release.state.clone());
            Err(SubmitError::Failed(name(), message))
        }
        "superseded" => {
            Err(SubmitError::Other(format!("a later upload took the place of {}", name())))
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_hours(2)));
        for text in ["", "30", "m", "-1m", "1.5h", "3ö", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_end_has_its_exit_code() {
        let release = |state: &str| Release {
            id: String::new(),
            version: String::new(),
            state: state.to_owned(),
            review_url: String::new(),
            check_words: None,
            message: None,
        };
        let code = |state| ended("x 1", &release(state)).map_err(|error| error.exit_code());
        assert_eq!(code("published"), Ok(true));
        assert_eq!(code("awaiting"), Ok(false));
        assert_eq!(code("confirming"), Ok(false));
        assert_eq!(code("rejected"), Err(4));
        assert_eq!(code("expired"), Err(5));
        assert_eq!(code("failed"), Err(6));
        assert_eq!(code("partial"), Err(6));
        assert_eq!(code("superseded"), Err(1));
    }
}
