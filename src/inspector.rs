//! Has artifacts read in a child process that can do nothing else (D8).
//!
//! The child is this program again, as `countersign inspect --child`: no environment, no standard
//! input, a bounded answer, a bounded time. What it may do inside is for `cli::inspect` to give up;
//! what it says is believed as far as a reader of hostile bytes can be: it may lie about the artifact
//! it was given, and about nothing else. Whatever is not an answer is [`InspectionFailed`], which
//! nobody may take for "nothing found". Asking twice is harmless: nothing is kept.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::domain::review::compared::Compared;
use crate::domain::review::finding::Finding;
use crate::inspect::request::{
    Answer, Artifact, Bounds, Pair, READING, Request, Sandbox, Standing, Task, Unreadable,
};

/// This very program, even when the file it was started from has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// Bytes of standard error that are kept for the log.
const SAID_BYTES: u64 = 16 << 10;
/// What the Rust runtime says before it gives up for lack of memory.
const OUT_OF_MEMORY: &str = "memory allocation of";
/// The signal of an abort, which follows that sentence. The same on all Linux machines but MIPS.
const SIGABRT: i32 = 6;
/// The signal for too much processor time. The same on all Linux machines but MIPS.
const SIGXCPU: i32 = 24;

/// How children are started and held.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program; this one unless a test stands in another.
    pub program: PathBuf,
    /// Children at once; others wait. 2: each takes a processor and up to the memory bound.
    pub at_once: usize,
    /// What the kernel ends a child for.
    pub bounds: Bounds,
    /// Longest time a child may take. Twice its processor time, for machines that do other things.
    pub wall: Duration,
    /// Most bytes of an answer. 32 MiB: fifty thousand files with long names.
    pub answer_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            program: THIS_PROGRAM.into(),
            at_once: 2,
            bounds,
            wall: Duration::from_secs(2 * bounds.cpu_secs),
            answer_bytes: 32 << 20,
        }
    }
}

/// Why there is no answer. None of these says anything good about the artifact.
#[derive(Debug, thiserror::Error)]
pub enum InspectionFailed {
    /// A strict reader refused the bytes, and always will.
    #[error(transparent)]
    Refused(Unreadable),
    /// More memory was asked for than there is for one inspection.
    #[error("reading it took more than {} MiB of memory", limit_bytes >> 20)]
    OutOfMemory {
        /// The bound.
        limit_bytes: u64,
    },
    /// It did not end.
    #[error("reading it took more than {limit_secs} s")]
    TimeOver {
        /// The bound that was passed, of processor or of wall time.
        limit_secs: u64,
    },
    /// The answer did not end.
    #[error("what was found does not fit into {limit_bytes} bytes")]
    AnswerTooLong {
        /// The bound.
        limit_bytes: u64,
    },
    /// Something ended the child: an operator, the kernel for lack of memory, a crash.
    #[error("the inspection was ended by signal {signal}")]
    Killed {
        /// Its number.
        signal: i32,
    },
    /// The child ended without an answer.
    #[error("the inspection crashed with exit code {code}")]
    Crashed {
        /// What it ended with; 101 is a panic.
        code: i32,
    },
    /// The child wrote something else than an answer.
    #[error("the inspection gave an answer that makes no sense")]
    Unintelligible(#[source] serde_json::Error),
    /// What befell a child while it read one of its artifacts.
    #[error("{what}: {why}")]
    While {
        /// Which one, in words.
        what: String,
        /// What befell it.
        why: Box<Self>,
    },
    /// No child could be started or heard.
    #[error("no inspection could be started")]
    NotStarted(#[source] io::Error),
}

impl InspectionFailed {
    /// The artifact whose bytes are to blame; `None` when another try may end differently.
    pub const fn refused(&self) -> Option<&Unreadable> {
        match self {
            Self::Refused(unreadable) => Some(unreadable),
            Self::While { why, .. } => why.refused(),
            Self::OutOfMemory { .. }
            | Self::TimeOver { .. }
            | Self::AnswerTooLong { .. }
            | Self::Killed { .. }
            | Self::Crashed { .. }
            | Self::Unintelligible(_)
            | Self::NotStarted(_) => None,
        }
    }
}

/// Starts children, a few at a time.
#[derive(Debug)]
pub struct Inspector {
    settings: Settings,
    room: Arc<Semaphore>,
}

impl Inspector {
    /// Starts nothing yet.
    pub fn new(settings: Settings) -> Self {
        let room = Arc::new(Semaphore::new(settings.at_once));
        Self { settings, room }
    }

    /// One whose children take so long at most. The two share the places for children, so that both
    /// together start as many at once as one alone.
    pub fn within(&self, wall: Duration) -> Self {
        let bounds = Bounds { cpu_secs: wall.as_secs(), ..self.settings.bounds };
        let settings = Settings { bounds, wall, ..self.settings.clone() };
        Self { settings, room: Arc::clone(&self.room) }
    }

    /// What changed between two artifacts and what of it to look at.
    pub async fn compare(
        &self,
        candidate: Artifact,
        baseline: Option<Artifact>,
        standing: Standing,
    ) -> Result<Compared, InspectionFailed> {
        self.ask(Request::Compare { candidate, baseline, standing }).await
    }

    /// What a wheel holds that the source distribution of the same release does not (SRC-09).
    pub async fn same_release(
        &self,
        pair: Pair,
        before: Option<Pair>,
    ) -> Result<Vec<Finding>, InspectionFailed> {
        self.ask(Request::SameRelease { pair, before }).await
    }

    /// What holds a child on this machine.
    pub async fn sandbox(&self) -> Result<Sandbox, InspectionFailed> {
        self.ask(Request::Sandbox).await
    }

    /// Asks one child; it is gone when this returns or is dropped.
    pub async fn ask<T>(&self, request: Request) -> Result<T, InspectionFailed>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let not_started = InspectionFailed::NotStarted;
        let request = request.absolute().map_err(not_started)?;
        let asked = request.clone();
        let task = Task { bounds: self.settings.bounds, request };
        let task = serde_json::to_string(&task).map_err(io::Error::from).map_err(not_started)?;
        let _place = self.room.acquire().await.map_err(io::Error::other).map_err(not_started)?;
        let mut said = Vec::new();
        let ran = tokio::time::timeout(self.settings.wall, self.run(&task, &mut said)).await;
        let limit_secs = self.settings.wall.as_secs();
        let ran = ran.unwrap_or(Err(InspectionFailed::TimeOver { limit_secs }));
        let answer = ran.map_err(|why| while_reading(&asked, &said, why))?;
        // Some megabytes of text are not read on a thread that serves requests.
        let read = tokio::task::spawn_blocking(move || serde_json::from_slice(&answer));
        let answer: Answer<T> = read
            .await
            .map_err(io::Error::other)
            .map_err(not_started)?
            .map_err(InspectionFailed::Unintelligible)?;
        answer.map_err(InspectionFailed::Refused)
    }

    /// What the child wrote, if it ended well. `said` gets the beginning of standard error.
    async fn run(&self, task: &str, said: &mut Vec<u8>) -> Result<Vec<u8>, InspectionFailed> {
        let mut child = Command::new(&self.settings.program)
            .arg0("countersign-inspect")
            .args(["inspect", "--child", task])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(InspectionFailed::NotStarted)?;
        let limit_bytes = self.settings.answer_bytes;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (answer, ()) = tokio::try_join!(answer(out, limit_bytes), listen(err, said))?;
        let status = child.wait().await.map_err(InspectionFailed::NotStarted)?;
        if status.success() {
            return Ok(answer);
        }
        let said = String::from_utf8_lossy(said);
        tracing::warn!(status = %status, stderr = %said.escape_debug(), "an inspection failed");
        Err(self.ended(status, &said))
    }

    fn ended(&self, status: ExitStatus, said: &str) -> InspectionFailed {
        let Bounds { memory_bytes, cpu_secs } = self.settings.bounds;
        match (status.signal(), status.code()) {
            (Some(SIGABRT), _) if said.contains(OUT_OF_MEMORY) => {
                InspectionFailed::OutOfMemory { limit_bytes: memory_bytes }
            }
            (Some(SIGXCPU), _) => InspectionFailed::TimeOver { limit_secs: cpu_secs },
            (Some(signal), _) => InspectionFailed::Killed { signal },
            (None, code) => InspectionFailed::Crashed { code: code.unwrap_or_default() },
        }
    }
}

async fn answer(
    out: Option<impl AsyncRead + Unpin>,
    limit_bytes: u64,
) -> Result<Vec<u8>, InspectionFailed> {
    let mut bytes = Vec::new();
    if let Some(out) = out {
        let mut out = out.take(limit_bytes + 1);
        out.read_to_end(&mut bytes).await.map_err(InspectionFailed::NotStarted)?;
    }
    if bytes.len() as u64 > limit_bytes {
        return Err(InspectionFailed::AnswerTooLong { limit_bytes });
    }
    Ok(bytes)
}

/// The beginning of standard error; the rest is read as well, so that the child is not held up.
async fn listen(
    err: Option<impl AsyncRead + Unpin>,
    said: &mut Vec<u8>,
) -> Result<(), InspectionFailed> {
    let Some(mut err) = err else { return Ok(()) };
    let read = async {
        (&mut err).take(SAID_BYTES).read_to_end(said).await?;
        tokio::io::copy(&mut err, &mut tokio::io::sink()).await
    };
    read.await.map(drop).map_err(InspectionFailed::NotStarted)
}

/// Adds which artifact the child was reading, if it said that it began and did not say that it ended.
fn while_reading(asked: &Request, said: &[u8], why: InspectionFailed) -> InspectionFailed {
    let said = String::from_utf8_lossy(said);
    let last = said.lines().rev().find_map(|line| line.strip_prefix(READING));
    let number = last.and_then(|number| number.parse().ok());
    match number.and_then(|number| asked.words(number)) {
        // It answered, so it had read everything, whether or not that was heard.
        _ if matches!(why, InspectionFailed::AnswerTooLong { .. }) => why,
        Some(what) => InspectionFailed::While { what, why: Box::new(why) },
        None => why,
    }
}
