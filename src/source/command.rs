//! One run of the `git` program.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use url::Url;

use super::{Settings, SourceError};

/// Most of what Git complains that is read, in bytes.
const WORDS_MAX_BYTES: u64 = 8 << 10;
/// Most of it that is repeated, in characters.
const WORDS_MAX: usize = 200;

/// Settings that no repository and no host may change. None of the first would take effect without
/// a work tree; they are here for the day a command has one.
const CONFIGURATION: [&str; 16] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=",
    "credential.helper=",
    "protocol.allow=never",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    // Everything comes as one pack, whose size is watched.
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "http.followRedirects=false",
    "http.emptyAuth=false",
    "log.showSignature=false",
];

/// What a run may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Wall clock.
    pub(super) within: Duration,
    /// What it may print.
    pub(super) bytes: u64,
}

/// A run that is being put together.
pub(super) struct Call {
    command: Command,
}

impl Call {
    /// Git in a repository, or in none.
    pub(super) fn new(settings: &Settings, folder: Option<&Path>) -> Self {
        let mut command = Command::new(&settings.program);
        command.env_clear().kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .env("HOME", &settings.cache)
            .env("XDG_CONFIG_HOME", &settings.cache)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            // Objects that stand for other objects, and objects that would be fetched meanwhile.
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            // Names are names, whatever characters they have.
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0");
        for setting in CONFIGURATION {
            command.arg("-c").arg(setting);
        }
        if let Some(folder) = folder {
            let mut git_dir = std::ffi::OsString::from("--git-dir=");
            git_dir.push(folder);
            command.arg(git_dir);
        }
        Self { command }
    }

    /// Allows the one transport of an address, with what opens it.
    pub(super) fn transport(mut self, url: &Url, plain: bool, credentials: Option<&str>) -> Self {
        self.command.arg("-c").arg("protocol.https.allow=always");
        if plain {
            self.command.arg("-c").arg("protocol.http.allow=always");
        }
        if let Some(credentials) = credentials {
            // In the environment: everybody on the host may read the arguments.
            let header = format!("Authorization: Basic {}", STANDARD.encode(credentials.trim()));
            self.command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{url}.extraHeader"))
                .env("GIT_CONFIG_VALUE_0", header);
        }
        self
    }

    /// Adds an argument.
    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub(super) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Runs it and gives what it printed. The program dies when this is dropped.
    pub(super) async fn output(mut self, bounds: Bounds) -> Result<Vec<u8>, SourceError> {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = async {
            let mut child = self.command.spawn().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => SourceError::NoGit,
                _ => SourceError::System(error.to_string()),
            })?;
            let (out, words) = (child.stdout.take(), child.stderr.take());
            let read = tokio::try_join!(bounded(out, bounds.bytes), complaint(words));
            let (printed, words) = read.map_err(|error| SourceError::System(error.to_string()))?;
            let printed = printed.ok_or(SourceError::TooLarge)?;
            let status = child.wait().await;
            let status = status.map_err(|error| SourceError::System(error.to_string()))?;
            if status.success() {
                Ok(printed)
            } else {
                Err(SourceError::Refused(first_line(&words)))
            }
        };
        let within = bounds.within;
        tokio::time::timeout(within, run).await.unwrap_or(Err(SourceError::TimedOut(within)))
    }
}

/// Everything a stream has; `None` when that is too much.
async fn bounded(
    stream: Option<impl AsyncRead + Unpin>,
    bytes: u64,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut read = Vec::new();
    let Some(stream) = stream else { return Ok(None) };
    stream.take(bytes + 1).read_to_end(&mut read).await?;
    Ok(Some(read).filter(|read| read.len() as u64 <= bytes))
}

/// The beginning of a stream; the rest is read as well, so that nobody waits for a full pipe.
async fn complaint(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(WORDS_MAX_BYTES).read_to_end(&mut read).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(read)
}

fn first_line(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let line = words.lines().next().unwrap_or("nothing");
    line.chars().take(WORDS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
