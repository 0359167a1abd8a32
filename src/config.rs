//! `countersign.toml`: parsed once into values that cannot be wrong later.
//!
//! Unknown keys are errors. Secrets are never in this file; it names files that hold them. Relative
//! paths are taken from the folder of the configuration file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use crate::domain::ids::IssuerId;
use crate::domain::issuer::{Algorithm, Issuer, IssuerConfig, Preset};
use crate::domain::log;
use crate::domain::log::note::{Signs, VerifierKey};
use crate::domain::log::witness::{Place, Witness};

/// A configuration that was read but does not make sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("cannot read `{path}`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML of the documented shape.
    #[error("`{path}` is not a valid configuration")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value is of the right type, but out of range.
    #[error("`{key}`: expected {expected}, received `{received}`")]
    Value {
        /// The key.
        key: &'static str,
        /// What would have been accepted.
        expected: &'static str,
        /// What came.
        received: String,
    },
}

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The socket.
    pub address: SocketAddr,
    /// Certificate chain and key (PEM) for TLS; plain HTTP without.
    pub tls: Option<TlsFiles>,
}

/// PEM files, read again when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Sizes and times that an installation may choose (Q9). Each has a default.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest npm tarball in bytes. npm's own client cannot send more than 402 MB.
    pub npm_tarball_bytes: u64,
    /// Largest Python file in bytes.
    pub pypi_file_bytes: u64,
    /// Most files of one release.
    pub release_files: u32,
    /// Life of an upload session.
    pub upload_session: SignedDuration,
    /// An open release is sealed when no file came for this long.
    pub quiet: SignedDuration,
    /// Uploads taken at once; the next one is told to try again.
    pub uploads_at_once: u32,
    /// Releases go out for so long while no witness takes checkpoints of the log.
    pub witness_grace: SignedDuration,
    /// Most memory of one inspection in bytes.
    pub inspection_bytes: u64,
    /// Inspections at once; the next one waits.
    pub inspections_at_once: u32,
}

/// A directory that signs people in for reading (S10).
#[derive(Debug, Clone)]
pub struct Sso {
    /// Who vouches for them.
    pub issuer: Issuer,
    /// Hosts besides the issuer's own where its endpoints may be.
    pub hosts: Vec<String>,
    /// Our name there.
    pub client_id: String,
    /// The file that holds our secret there; a public client has none.
    pub client_secret_file: Option<PathBuf>,
    /// Who reads without having linked an account.
    pub readers: Option<Readers>,
}

/// People of the directory who may read as one viewer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readers {
    /// A claim of the ID token: a text, or a list of texts.
    pub claim: String,
    /// What it is or holds.
    pub value: String,
    /// The name of the viewer as whom they read.
    pub person: String,
}

/// Everything that `countersign serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What browsers see: scheme, host and port, without a path.
    pub origin: Url,
    /// Where the database, the blobs, the claim code and the vault key live.
    pub data_dir: PathBuf,
    /// The audience that CI tokens must name.
    pub audience: String,
    /// Database URL; a relative SQLite path is relative to `base`.
    pub database_url: String,
    /// The folder of the configuration file.
    pub base: PathBuf,
    /// At least one.
    pub listen: Vec<Listen>,
    /// Sizes and times.
    pub limits: Limits,
    /// Outside places that keep checkpoints of the log (K5).
    pub witnesses: Vec<Witness>,
    /// Who signs people in for reading, besides their passkeys.
    pub sso: Option<Sso>,
    /// PEM files of certificate authorities trusted besides the public ones.
    pub extra_roots: Vec<PathBuf>,
    /// PEM files of the makers of authenticators whose attestations are trusted.
    pub authenticator_roots: Vec<PathBuf>,
    /// Accept authenticators that only test browsers have. Never in production.
    pub allow_test_authenticators: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    origin: String,
    #[serde(default = "default_data_dir")]
    data_dir: PathBuf,
    audience: Option<String>,
    #[serde(default)]
    database: DatabaseFile,
    listen: Vec<ListenFile>,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    witness: Vec<WitnessFile>,
    sso: Option<SsoFile>,
    #[serde(default)]
    extra_roots: Vec<PathBuf>,
    #[serde(default)]
    authenticator_roots: Vec<PathBuf>,
    #[serde(default)]
    allow_test_authenticators: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseFile {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenFile {
    address: SocketAddr,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessFile {
    name: String,
    kind: String,
    path: Option<PathBuf>,
    url: Option<String>,
    key: Option<String>,
    #[serde(default)]
    allow_private: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SsoFile {
    name: String,
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    #[serde(default)]
    hosts: Vec<String>,
    jwks_host: Option<String>,
    algorithms: Option<BTreeSet<Algorithm>>,
    #[serde(default)]
    allow_private: bool,
    readers: Option<Readers>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    npm_tarball_mib: Option<u64>,
    pypi_file_mib: Option<u64>,
    release_files: Option<u32>,
    upload_session_minutes: Option<u32>,
    quiet_seconds: Option<u32>,
    uploads_at_once: Option<u32>,
    witness_grace_minutes: Option<u32>,
    inspection_mib: Option<u64>,
    inspections_at_once: Option<u32>,
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("data")
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let file: File = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Self::parse(file, base)
    }

    fn parse(file: File, base: PathBuf) -> Result<Self, ConfigError> {
        let origin = parse_origin(&file.origin)?;
        let host = origin.host_str().unwrap_or_default().to_owned();
        let audience = file.audience.unwrap_or(host);
        let audience_ok = audience.starts_with(|c: char| c.is_ascii_alphabetic())
            && audience.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        if !audience_ok {
            return Err(ConfigError::Value {
                key: "audience",
                expected: "a host name that starts with a letter, since GitLab names a variable after it",
                received: audience,
            });
        }
        if file.listen.is_empty() {
            return Err(ConfigError::Value {
                key: "listen",
                expected: "at least one [[listen]]",
                received: "none".to_owned(),
            });
        }
        let data_dir = base.join(file.data_dir);
        let database_url = file
            .database
            .url
            .unwrap_or_else(|| format!("sqlite:{}", data_dir.join("countersign.db").display()));
        Ok(Self {
            origin,
            data_dir,
            audience,
            database_url,
            listen: file
                .listen
                .into_iter()
                .map(|listen| parse_listen(listen, &base))
                .collect::<Result<_, _>>()?,
            limits: parse_limits(&file.limits)?,
            witnesses: parse_witnesses(file.witness, &base)?,
            sso: file.sso.map(|sso| parse_sso(sso, &base)).transpose()?,
            extra_roots: file.extra_roots.iter().map(|path| base.join(path)).collect(),
            authenticator_roots: file
                .authenticator_roots
                .iter()
                .map(|path| base.join(path))
                .collect(),
            allow_test_authenticators: file.allow_test_authenticators,
            base,
        })
    }

    /// The origin as browsers write it, without a trailing slash.
    pub fn origin_text(&self) -> String {
        self.origin.origin().ascii_serialization()
    }

    /// The name of the log and of its key: the address of the public log without its scheme.
    pub fn log_origin(&self) -> String {
        log::name(&self.origin_text()).unwrap_or_default()
    }

    /// The audiences a CI token may name: ours, and npm's two spellings of it (wire.md 0.5).
    pub fn audiences(&self) -> Vec<String> {
        let mut audiences = vec![self.audience.clone(), format!("npm:{}", self.audience)];
        for listen in &self.listen {
            audiences.push(format!("npm:{}:{}", self.audience, listen.address.port()));
        }
        if let Some(port) = self.origin.port() {
            audiences.push(format!("npm:{}:{port}", self.audience));
        }
        audiences.sort();
        audiences.dedup();
        audiences
    }
}

fn parse_origin(text: &str) -> Result<Url, ConfigError> {
    let refused = || ConfigError::Value {
        key: "origin",
        expected: "`https://host`, or `http://localhost:PORT` for trying out",
        received: text.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    let domain = url.domain().ok_or_else(refused)?;
    let plain_ok = domain == "localhost" || domain.ends_with(".localhost");
    let scheme_ok = url.scheme() == "https" || (url.scheme() == "http" && plain_ok);
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    if scheme_ok && bare { Ok(url) } else { Err(refused()) }
}

fn parse_listen(listen: ListenFile, base: &Path) -> Result<Listen, ConfigError> {
    let tls = match (listen.certificate, listen.key) {
        (Some(certificate), Some(key)) => {
            Some(TlsFiles { certificate: base.join(certificate), key: base.join(key) })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(ConfigError::Value {
                key: "listen",
                expected: "both `certificate` and `key`, or neither",
                received: "one of them".to_owned(),
            });
        }
    };
    Ok(Listen { address: listen.address, tls })
}

fn parse_witnesses(files: Vec<WitnessFile>, base: &Path) -> Result<Vec<Witness>, ConfigError> {
    let mut witnesses: Vec<Witness> = Vec::new();
    for file in files {
        if file.name.is_empty() || witnesses.iter().any(|other| other.name == file.name) {
            return Err(ConfigError::Value {
                key: "witness.name",
                expected: "a name that no other witness has",
                received: file.name,
            });
        }
        let name = file.name.clone();
        witnesses.push(Witness { name, place: parse_place(file, base)? });
    }
    Ok(witnesses)
}

fn parse_place(file: WitnessFile, base: &Path) -> Result<Place, ConfigError> {
    let WitnessFile { kind, path, url, key, allow_private, .. } = file;
    match (kind.as_str(), path, url, key) {
        ("directory", Some(path), None, None) if !allow_private => {
            Ok(Place::Directory(base.join(path)))
        }
        ("webhook", None, Some(url), None) => {
            Ok(Place::Webhook { url: parse_witness_url(&url, allow_private)?, allow_private })
        }
        ("witness", None, Some(url), Some(key)) => {
            let url = parse_witness_url(&url, allow_private)?;
            let cosigns = |parsed: &VerifierKey| parsed.signs() == Signs::TextAtTime;
            let parsed = VerifierKey::parse(&key).ok().filter(cosigns);
            let key = parsed.ok_or(ConfigError::Value {
                key: "witness.key",
                expected: "the verifier key of a witness, `name+id+base64`, of type 4",
                received: key,
            })?;
            Ok(Place::Cosigner { url, key, allow_private })
        }
        _ => Err(ConfigError::Value {
            key: "witness",
            expected: "kind `directory` with `path`, `webhook` with `url`, or `witness` with `url` and `key`",
            received: kind,
        }),
    }
}

fn parse_sso(file: SsoFile, base: &Path) -> Result<Sso, ConfigError> {
    let config = IssuerConfig {
        name: file.name,
        preset: Preset::Generic,
        url: file.issuer,
        allow_private: file.allow_private,
        jwks_host: file.jwks_host,
        algorithms: file.algorithms.unwrap_or_else(|| BTreeSet::from([Algorithm::Rs256])),
        max_age_minutes: 5,
    };
    let issuer = Issuer::parse(IssuerId::from_uuid(Uuid::nil()), config).map_err(|error| {
        ConfigError::Value {
            key: "sso",
            expected: "a name and the exact https address of an issuer",
            received: error.to_string(),
        }
    })?;
    let printable = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !printable(&file.client_id) {
        return Err(ConfigError::Value {
            key: "sso.client_id",
            expected: "printable characters",
            received: file.client_id,
        });
    }
    let host = |host: &&String| Url::parse(&format!("https://{host}/")).is_err();
    if let Some(host) = file.hosts.iter().find(host) {
        return Err(ConfigError::Value {
            key: "sso.hosts",
            expected: "`host` or `host:port`",
            received: host.clone(),
        });
    }
    Ok(Sso {
        issuer,
        hosts: file.hosts,
        client_id: file.client_id,
        client_secret_file: file.client_secret_file.map(|path| base.join(path)),
        readers: file.readers,
    })
}

/// Plain http is for loopback and private networks only, like their addresses (Q15).
fn parse_witness_url(text: &str, allow_private: bool) -> Result<Url, ConfigError> {
    let fits = |url: &Url| {
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && allow_private);
        let bare =
            url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        scheme && bare && url.has_host()
    };
    Url::parse(text).ok().filter(fits).ok_or(ConfigError::Value {
        key: "witness.url",
        expected: "`https://…`, or `http://…` with `allow_private`",
        received: text.to_owned(),
    })
}

fn parse_limits(file: &LimitsFile) -> Result<Limits, ConfigError> {
    const MIB: u64 = 1024 * 1024;
    let within = |key, value: u64, low: u64, high: u64, expected| {
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(ConfigError::Value { key, expected, received: value.to_string() })
        }
    };
    let npm = within(
        "limits.npm_tarball_mib",
        file.npm_tarball_mib.unwrap_or(256),
        1,
        1024,
        "1 to 1024 MiB",
    )?;
    let pypi = within(
        "limits.pypi_file_mib",
        file.pypi_file_mib.unwrap_or(1024),
        1,
        10 * 1024,
        "1 to 10240 MiB",
    )?;
    let session = within(
        "limits.upload_session_minutes",
        u64::from(file.upload_session_minutes.unwrap_or(15)),
        1,
        60,
        "1 to 60 minutes",
    )?;
    let quiet = within(
        "limits.quiet_seconds",
        u64::from(file.quiet_seconds.unwrap_or(120)),
        1,
        3600,
        "1 to 3600 seconds",
    )?;
    let grace = within(
        "limits.witness_grace_minutes",
        u64::from(file.witness_grace_minutes.unwrap_or(10)),
        0,
        1440,
        "0 to 1440 minutes",
    )?;
    let inspection = within(
        "limits.inspection_mib",
        file.inspection_mib.unwrap_or(512),
        128,
        8192,
        "128 to 8192 MiB",
    )?;
    let at_once = within(
        "limits.inspections_at_once",
        u64::from(file.inspections_at_once.unwrap_or(2)),
        1,
        64,
        "1 to 64 inspections",
    )?;
    Ok(Limits {
        npm_tarball_bytes: npm * MIB,
        pypi_file_bytes: pypi * MIB,
        release_files: file.release_files.unwrap_or(500),
        upload_session: SignedDuration::from_mins(i64::try_from(session).unwrap_or(15)),
        quiet: SignedDuration::from_secs(i64::try_from(quiet).unwrap_or(120)),
        uploads_at_once: file.uploads_at_once.unwrap_or(64),
        witness_grace: SignedDuration::from_mins(i64::try_from(grace).unwrap_or(10)),
        inspection_bytes: inspection * MIB,
        inspections_at_once: u32::try_from(at_once).unwrap_or(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let file: File = toml::from_str(text).map_err(|source| ConfigError::Parse {
            path: PathBuf::from("countersign.toml"),
            source: Box::new(source),
        })?;
        Config::parse(file, PathBuf::from("etc"))
    }

    #[test]
    fn the_smallest_file_gives_the_documented_defaults() {
        let config = parse(
            "origin = \"https://releases.example\"\nlisten = [{ address = \"127.0.0.1:1\" }]",
        )
        .unwrap();
        assert_eq!(config.audience, "releases.example");
        assert_eq!(config.database_url, "sqlite:etc/data/countersign.db");
        assert_eq!(config.limits.npm_tarball_bytes, 256 * 1024 * 1024);
        assert!(config.audiences().contains(&"npm:releases.example".to_owned()));
    }

    #[test]
    fn the_configuration_in_the_documents_is_taken() {
        let page = include_str!("../docs/operating.md");
        let example = page.split("```").find_map(|block| block.strip_prefix("toml\n")).unwrap();
        let config = parse(example).unwrap();
        assert_eq!(config.origin_text(), "https://releases.example");
        assert!(config.listen[0].tls.is_some());
    }

    #[test]
    fn unknown_keys_and_unsafe_origins_are_refused() {
        let listen = "listen = [{ address = \"127.0.0.1:1\" }]";
        assert!(matches!(
            parse(&format!("origin = \"https://a.example\"\ntypo = 1\n{listen}")),
            Err(ConfigError::Parse { .. })
        ));
        for origin in ["http://a.example", "https://a.example/path", "https://127.0.0.1", "x"] {
            let result = parse(&format!("origin = \"{origin}\"\n{listen}"));
            assert!(matches!(result, Err(ConfigError::Value { key: "origin", .. })), "{origin}");
        }
    }
    const KEY: &str = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";

    fn witnesses(text: &str) -> Result<Vec<Witness>, ConfigError> {
        let start = "origin = \"https://a.example\"\nlisten = [{ address = \"127.0.0.1:1\" }]\n";
        parse(&format!("{start}{text}")).map(|config| config.witnesses)
    }

    #[test]
    fn places_that_keep_checkpoints_are_read_in_three_kinds() {
        let found = witnesses(&format!(
            "[[witness]]\nname = \"disk\"\nkind = \"directory\"\npath = \"kept\"\n\
             [[witness]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"https://b.example/x\"\n\
             [[witness]]\nname = \"w1\"\nkind = \"witness\"\nurl = \"http://127.0.0.1:1\"\n\
             allow_private = true\nkey = \"{KEY}\"\n"
        ))
        .unwrap();
        assert_eq!(found[0].place, Place::Directory(PathBuf::from("etc/kept")));
        assert!(matches!(&found[1].place, Place::Webhook { allow_private: false, .. }));
        assert!(matches!(&found[2].place, Place::Cosigner { key, .. } if key.to_string() == KEY));
    }

    #[test]
    fn a_directory_for_reading_is_read_and_bounded() {
        let start = "origin = \"https://a.example\"\nlisten = [{ address = \"127.0.0.1:1\" }]\n";
        let sso = |text: &str| parse(&format!("{start}[sso]\n{text}"));
        let good = "name = \"Directory\"\nissuer = \"https://login.example\"\nclient_id = \"us\"\n";
        let read = sso(good).unwrap().sso.unwrap();
        assert_eq!((read.issuer.url(), read.client_id.as_str()), ("https://login.example", "us"));
        assert!(read.readers.is_none() && read.client_secret_file.is_none());
        for (key, text) in [
            ("sso", good.replace("https:", "http:")),
            ("sso", good.replace("Directory", "")),
            ("sso.client_id", good.replace("us", "")),
            ("sso.hosts", format!("{good}hosts = [\"a b\"]")),
        ] {
            let result = sso(&text);
            assert!(matches!(result, Err(ConfigError::Value { key: k, .. }) if k == key), "{text}");
        }
    }

    #[test]
    fn a_place_that_does_not_make_sense_is_refused() {
        let log_key = "log.example/log+6c55d3c2+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
        let rows = [
            ("witness", "kind = \"mail\"".to_owned()),
            ("witness", "kind = \"directory\"".to_owned()),
            (
                "witness",
                "kind = \"directory\"\npath = \"a\"\nurl = \"https://b.example\"".to_owned(),
            ),
            ("witness", "kind = \"witness\"\nurl = \"https://b.example\"".to_owned()),
            ("witness.url", "kind = \"webhook\"\nurl = \"http://b.example\"".to_owned()),
            ("witness.url", "kind = \"webhook\"\nurl = \"https://u:p@b.example\"".to_owned()),
            (
                "witness.key",
                format!("kind = \"witness\"\nurl = \"https://b.example\"\nkey = \"{log_key}\""),
            ),
        ];
        for (expected, text) in rows {
            let result = witnesses(&format!("[[witness]]\nname = \"w\"\n{text}"));
            assert!(
                matches!(result, Err(ConfigError::Value { key, .. }) if key == expected),
                "{text}: {result:?}"
            );
        }
        let one = "[[witness]]\nname = \"w\"\nkind = \"directory\"\npath = \"a\"\n";
        let result = witnesses(&one.repeat(2));
        assert!(matches!(result, Err(ConfigError::Value { key: "witness.name", .. })));
    }

    #[test]
    fn the_log_is_named_after_its_public_address() {
        let listen = "listen = [{ address = \"127.0.0.1:1\" }]";
        for (origin, log) in [
            ("https://a.example", "a.example/log"),
            ("http://localhost:8080", "localhost:8080/log"),
        ] {
            let config = parse(&format!("origin = \"{origin}\"\n{listen}")).unwrap();
            assert_eq!(config.log_origin(), log);
        }
    }
}
