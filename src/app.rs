//! What a running installation holds: one value, made once, shared by every request and worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

use crate::config::Config;
use crate::passkeys::Passkeys;
use crate::pipeline::signin::ClaimCode;
use crate::store::Store;

/// The handles.
#[derive(Debug)]
pub struct App {
    /// What time it is.
    pub clock: Clock,
    /// How this installation is set up.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// WebAuthn.
    pub passkeys: Passkeys,
}

/// The only place that reads the system's clock. Clones share one offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds added to the system's time; zero outside of rehearsals.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The time in whole microseconds, as the database keeps it.
    #[expect(clippy::disallowed_methods, reason = "every other time comes from here")]
    pub fn now(&self) -> Timestamp {
        let micros = Timestamp::now().as_microsecond() + self.offset.load(Ordering::Relaxed);
        // Out of range only for offsets of thousands of years.
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Moves the time forward, to rehearse what expires.
    pub fn advance(&self, by: SignedDuration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(0);
        self.offset.fetch_add(micros, Ordering::Relaxed);
    }
}

impl App {
    /// Tells whoever may read the host's log or data folder the code that claims this
    /// installation: writes `claim-code` (readable by the owner alone) and logs it.
    pub async fn announce_claim_code(&self, code: &ClaimCode) -> std::io::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        let path = self.config.data_dir.join("claim-code");
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&path).await?;
        file.write_all(format!("{}\n", code.expose()).as_bytes()).await?;
        file.sync_all().await?;
        tracing::warn!(
            code = code.expose(),
            file = %path.display(),
            "nobody has claimed this installation, open {}/setup with this code",
            self.config.origin_text()
        );
        Ok(())
    }

    /// Removes the file that [`Self::announce_claim_code`] wrote, once it is of no use.
    pub async fn forget_claim_code(&self) -> std::io::Result<()> {
        match tokio::fs::remove_file(self.config.data_dir.join("claim-code")).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
