//! What a running installation holds: one value, made once, shared by every request and worker.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::blobs::Blobs;
use crate::config::{Config, Limits};
use crate::domain::assertion::RelyingParty;
use crate::domain::authorise::Trust;
use crate::domain::digest::Sha256;
use crate::domain::log::note::{Signer, Signs};
use crate::domain::place::PlaceKey;
use crate::inspect;
use crate::inspect::request::Bounds;
use crate::inspector::{self, Inspector};
use crate::keyfile;
use crate::oidc::Verifier;
use crate::oidc::sso::{SingleSignOn, SsoSettings};
use crate::outbound::{Http, HttpSettings};
use crate::passkeys::Passkeys;
use crate::pipeline::baseline::Shelf;
use crate::pipeline::binding::Sources;
use crate::pipeline::ci::{Exchange, IssuerRate};
use crate::pipeline::files::FileReader;
use crate::pipeline::forwarding::Progress;
use crate::pipeline::governance;
use crate::pipeline::intake::Intake;
use crate::pipeline::log::Trouble;
use crate::pipeline::log::notary::{Notary, NotarySettings};
use crate::pipeline::registries::Registries;
use crate::pipeline::signin::{self, ClaimCode};
use crate::pipeline::sso::Directory;
use crate::pipeline::{self, Fault};
use crate::provenance::TrustRoot;
use crate::source::{self, Git};
use crate::store::Store;
use crate::upstream;
use crate::vault::{self, OpeningKey, ReadingKey, SealingKey};

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
    /// Signs people in for reading, where it is configured.
    pub directory: Option<Directory>,
    /// Judges CI tokens.
    pub exchange: Exchange,
    /// Takes uploads.
    pub intake: Intake,
    /// Speaks to registries.
    pub upstreams: upstream::Client,
    /// Seals credentials; cannot open them (I8).
    pub sealing: SealingKey,
    /// Opens read credentials, and no publish credential (Q17).
    reading: ReadingKey,
    /// Hashes the addresses that signatures come from.
    pub places: PlaceKey,
    /// Digest of the genesis entry, pinned outside the database (Q18).
    pub genesis: Sha256,
    /// Reads source repositories.
    git: Git,
    /// Has artifacts read, in children.
    pub inspector: Inspector,
    /// Whom provenance is verified with, where it is configured.
    pub trust_root: Option<Arc<TrustRoot>>,
    /// Reads files inside artifacts for whoever looks at them.
    pub files: FileReader,
    /// Signs the log's checkpoints and evidence, and knows who keeps them.
    pub notary: Arc<Notary>,
    /// Digest of the founding document, pinned outside the database (Q18); empty until founded.
    founding: OnceLock<Sha256>,
    /// What is being sent, and which releases changed.
    pub progress: Progress,
    /// Uploads that may still be taken at once.
    pub uploads: Arc<Semaphore>,
    /// Whether this process has seen that somebody claimed the installation; that never ends.
    pub claimed: AtomicBool,
}

/// What opening an installation gives.
#[derive(Debug)]
pub struct Opened {
    /// The handles.
    pub app: Arc<App>,
    /// Opens publish credentials; for the workers alone.
    pub key: OpeningKey,
    /// The code to announce while nobody has claimed the installation.
    pub claim_code: Option<ClaimCode>,
}

impl App {
    /// Opens the installation described by `config`, founding it at the first start.
    pub async fn open(config: Config, clock: Clock) -> pipeline::Result<Opened> {
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|error| Fault::new("creating the data directory", error))?;
        let store = Store::open(&config.database_url, &config.base).await?;
        Self::with_store(config, clock, store).await
    }

    /// Opens the installation on a database that is open already.
    pub async fn with_store(
        config: Config,
        clock: Clock,
        store: Store,
    ) -> pipeline::Result<Opened> {
        let now = clock.now();
        let notary = Arc::new(notary(&config, &store)?);
        // Before anything is written. A broken log is shown and not continued.
        match notary.check().await {
            Ok(()) | Err(Trouble::Broken(_)) => {}
            Err(Trouble::Fault(fault)) => return Err(fault.into()),
        }
        let claim_code = if store.is_read_only() {
            None
        } else {
            signin::found_instance(&store, config.origin_text(), now).await?
        };
        let genesis = pinned_genesis(&config, &store).await?;
        let founding = pinned_founding(&config, &store).await?;
        let key = vault_key(&config)?;
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let blobs = Blobs::open(&config.data_dir.join("blobs"), threads)
            .map_err(|error| Fault::new("opening the blob store", error))?;
        // Uploads that a crash cut off; no upload lasts an hour.
        blobs
            .sweep(now - SignedDuration::from_hours(1))
            .map_err(|error| Fault::new("sweeping the blob store", error))?;
        let roots = extra_roots(&config)?;
        let inspector = Inspector::new(inspecting(&config.limits));
        let app = Self {
            passkeys: passkeys(&config)?,
            places: place_key(&config)?,
            directory: directory(&config, &roots)?,
            exchange: exchange(&config, &store, &roots)?,
            intake: intake(&config, &store, blobs),
            upstreams: upstream::Client::new(upstream::Settings {
                extra_roots: roots,
                ..upstream::Settings::default()
            })
            .map_err(|error| Fault::new("building the client for registries", error))?,
            sealing: key.sealing_key(),
            reading: key.reading_key().clone(),
            genesis,
            founding: founding.map_or_else(OnceLock::new, OnceLock::from),
            git: Git::new(source::Settings::new(config.data_dir.join("sources"))),
            files: FileReader::new(&inspector),
            inspector,
            trust_root: trust_root(&config)?.map(Arc::new),
            notary,
            progress: Progress::default(),
            uploads: Arc::new(Semaphore::new(
                usize::try_from(config.limits.uploads_at_once).unwrap_or(1),
            )),
            claimed: AtomicBool::new(false),
            clock,
            config,
            store,
        };
        Ok(Opened { app: Arc::new(app), key, claim_code })
    }
}

/// Reads the pinned digest of the genesis entry, or pins it at the first start. A database whose
/// log begins with another entry is not this installation's.
async fn pinned_genesis(config: &Config, store: &Store) -> pipeline::Result<Sha256> {
    const CONTEXT: &str = "checking the pinned genesis entry";
    let found = store
        .snapshot()
        .await?
        .genesis_sha256()
        .await?
        .ok_or_else(|| Fault::new(CONTEXT, "the log is empty"))?;
    let path = config.data_dir.join("genesis.sha256");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            if Sha256::parse_hex(text.trim()) != Ok(found) {
                let message = format!(
                    "the log begins with the entry {found}, but `{}` pins {}",
                    path.display(),
                    text.trim()
                );
                return Err(Fault::new(CONTEXT, message).into());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&path, format!("{found}\n"))
                .map_err(|error| Fault::new(CONTEXT, error))?;
        }
        Err(error) => return Err(Fault::new(CONTEXT, error).into()),
    }
    Ok(found)
}

/// Reads the pinned digest of the founding. A founded log without a pin is pinned: either the
/// installation was founded and stopped before the pin was written, or somebody with access to
/// the host took the pin away. A log with another founding is not this installation's.
async fn pinned_founding(config: &Config, store: &Store) -> pipeline::Result<Option<Sha256>> {
    const CONTEXT: &str = "checking the pinned founding";
    let governed = governance::governed(&mut store.snapshot().await?).await?;
    let found = governed.founded().map(|founded| founded.digest);
    let path = founding_pin(config);
    let pinned = match std::fs::read_to_string(&path) {
        Ok(text) => {
            Some(Sha256::parse_hex(text.trim()).map_err(|error| Fault::new(CONTEXT, error))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Fault::new(CONTEXT, error).into()),
    };
    match (pinned, found) {
        (None, Some(found)) => {
            tracing::warn!(%found, "pinning the founding of this log");
            write_pin(&path, found).map_err(|error| Fault::new(CONTEXT, error))?;
        }
        (Some(pinned), found) if found != Some(pinned) => {
            let message = format!("the log has another founding than `{}` pins", path.display());
            return Err(Fault::new(CONTEXT, message).into());
        }
        (_, _) => {}
    }
    Ok(found)
}

fn founding_pin(config: &Config) -> PathBuf {
    config.data_dir.join("founding.sha256")
}

fn write_pin(path: &Path, digest: Sha256) -> std::io::Result<()> {
    std::fs::write(path, format!("{digest}\n"))
}

fn vault_key(config: &Config) -> pipeline::Result<OpeningKey> {
    vault::load_or_create(&config.data_dir)
        .map_err(|error| Fault::new("reading the vault key", error).into())
}

/// The file of the seed that the log's key is made of.
const LOG_KEY_FILE: &str = "log-key";
/// What it starts with.
const LOG_KEY_TAG: &str = "countersign-log-key-v1";

/// Reads the key that signs the log, drawing it at the first start.
fn log_signer(config: &Config) -> pipeline::Result<Signer> {
    let seed = log_seed(config)?;
    Signer::from_seed(&config.log_origin(), Signs::Text, &seed)
        .map_err(|error| Fault::new("reading the log's key", error).into())
}

fn place_key(config: &Config) -> pipeline::Result<PlaceKey> {
    let seed = log_seed(config)?;
    Ok(PlaceKey::of(&seed))
}

fn log_seed(config: &Config) -> pipeline::Result<keyfile::Key> {
    keyfile::load_or_draw(&config.data_dir.join(LOG_KEY_FILE), LOG_KEY_TAG)
        .map_err(|error| Fault::new("reading the log's key", error).into())
}

/// What signs the log of this installation and knows where its checkpoints are kept.
pub fn notary(config: &Config, store: &Store) -> pipeline::Result<Notary> {
    let http = Http::new(&http_settings(&extra_roots(config)?))
        .map_err(|error| Fault::new("building the client for witnesses", error))?;
    let settings = NotarySettings {
        signer: log_signer(config)?,
        http,
        folder: config.data_dir.clone(),
        witnesses: config.witnesses.clone(),
        grace: config.limits.witness_grace,
    };
    Ok(Notary::new(store.clone(), settings))
}

fn http_settings(roots: &[Vec<u8>]) -> HttpSettings {
    let extra_roots = roots.iter().map(|root| String::from_utf8_lossy(root).into_owned()).collect();
    HttpSettings { extra_roots, ..HttpSettings::default() }
}

fn extra_roots(config: &Config) -> pipeline::Result<Vec<Vec<u8>>> {
    config
        .extra_roots
        .iter()
        .map(|path| {
            std::fs::read(path)
                .map_err(|error| Fault::new("reading a file of `extra_roots`", error).into())
        })
        .collect()
}

fn inspecting(limits: &Limits) -> inspector::Settings {
    let bounds = Bounds { memory_bytes: limits.inspection_bytes, ..Bounds::default() };
    let at_once = usize::try_from(limits.inspections_at_once).unwrap_or(1);
    inspector::Settings { at_once, bounds, ..inspector::Settings::default() }
}

fn trust_root(config: &Config) -> pipeline::Result<Option<TrustRoot>> {
    const CONTEXT: &str = "reading `provenance_root`";
    let Some(path) = &config.provenance_root else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| Fault::new(CONTEXT, error))?;
    let root = TrustRoot::from_json(&text).map_err(|error| Fault::new(CONTEXT, error))?;
    Ok(Some(root))
}

fn passkeys(config: &Config) -> pipeline::Result<Passkeys> {
    let relying_party = RelyingParty::parse(&config.origin_text())
        .map_err(|error| Fault::new("setting up passkeys", error))?;
    let roots = authenticator_roots(config)?;
    let passkeys = Passkeys::new(relying_party, "Countersign")
        .and_then(|passkeys| passkeys.trust_makers(&roots))
        .map_err(|error| Fault::new("setting up passkeys", error))?;
    Ok(if config.allow_test_authenticators {
        passkeys.allow_test_authenticators()
    } else {
        passkeys
    })
}

fn authenticator_roots(config: &Config) -> pipeline::Result<Vec<Vec<u8>>> {
    const CONTEXT: &str = "reading a file of `authenticator_roots`";
    let mut roots = Vec::new();
    for path in &config.authenticator_roots {
        let found = CertificateDer::pem_file_iter(path)
            .map_err(|error| Fault::new(CONTEXT, error))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Fault::new(CONTEXT, error))?;
        roots.extend(found.into_iter().map(|root| root.to_vec()));
    }
    Ok(roots)
}

fn directory(config: &Config, roots: &[Vec<u8>]) -> pipeline::Result<Option<Directory>> {
    let Some(sso) = &config.sso else { return Ok(None) };
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| Fault::new("reading `sso.client_secret_file`", error))?;
        Ok::<_, Fault>(SecretString::from(text.trim()))
    };
    let settings = SsoSettings {
        issuer: sso.issuer.clone(),
        hosts: sso.hosts.clone(),
        client_id: sso.client_id.clone(),
        secret: sso.client_secret_file.as_ref().map(read).transpose()?,
        redirect: format!("{}/login/sso/return", config.origin_text()),
    };
    let flow = SingleSignOn::new(&http_settings(roots), settings)
        .map_err(|error| Fault::new("building the client for single sign-on", error))?;
    Ok(Some(Directory { flow, readers: sso.readers.clone() }))
}

fn exchange(config: &Config, store: &Store, roots: &[Vec<u8>]) -> pipeline::Result<Exchange> {
    let verifier = Verifier::new(&http_settings(roots))
        .map_err(|error| Fault::new("building the client for issuers", error))?;
    Ok(Exchange {
        store: store.clone(),
        verifier,
        audiences: config.audiences().into(),
        session_life: config.limits.upload_session,
        rate: IssuerRate::default(),
    })
}

fn intake(config: &Config, store: &Store, blobs: Blobs) -> Intake {
    let limits = inspect::Limits {
        tarball_bytes: config.limits.npm_tarball_bytes,
        ..inspect::Limits::default()
    };
    Intake {
        store: store.clone(),
        blobs,
        limits,
        pypi_file_bytes: config.limits.pypi_file_bytes,
        release_files: config.limits.release_files,
        quiet: config.limits.quiet,
        origin: config.origin_text(),
    }
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
    /// The registries, as whoever may read them.
    pub const fn registries(&self) -> Registries<'_> {
        Registries {
            store: &self.store,
            client: &self.upstreams,
            key: &self.reading,
            genesis: self.genesis,
        }
    }

    /// What finding a baseline uses.
    pub const fn shelf(&self) -> Shelf<'_> {
        Shelf {
            registries: self.registries(),
            blobs: &self.intake.blobs,
            npm_tarball_bytes: self.config.limits.npm_tarball_bytes,
            pypi_file_bytes: self.config.limits.pypi_file_bytes,
        }
    }

    /// The repositories of source code that releases are compared with.
    pub fn sources(&self) -> Sources<'_> {
        Sources { git: &self.git, repositories: &self.config.sources }
    }

    /// What is known of the log from outside the database.
    pub fn trust(&self) -> Trust {
        Trust { genesis: self.genesis, founding: self.founding.get().copied() }
    }

    /// Pins a founding that another replica collected the last signature for, as a start would.
    /// Until then this one sends nothing.
    pub async fn adopt_founding(&self) -> pipeline::Result<()> {
        if self.founding.get().is_none()
            && let Some(found) = pinned_founding(&self.config, &self.store).await?
        {
            self.founding.get_or_init(|| found);
        }
        Ok(())
    }

    /// Pins the founding, before anything that it governs happens.
    pub fn pin_founding(&self, digest: Sha256) -> std::io::Result<()> {
        write_pin(&founding_pin(&self.config), digest)?;
        self.founding.get_or_init(|| digest);
        Ok(())
    }

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
