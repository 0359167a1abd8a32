//! The built `countersign` on loopback: its configuration, its set-up file, its process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::ca::Ca;
use crate::child::{self, Server, free_port};
use crate::tools;

/// How long a start may take, a first migration included.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What differs between runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `sqlite:data/countersign.db`, or a PostgreSQL address.
    pub database: String,
    /// Lines of the `[limits]` table.
    pub limits: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            database: "sqlite:data/countersign.db".to_string(),
            limits: "quiet_seconds = 2\n".to_string(),
        }
    }
}

/// One line of what `apply` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Invite {
    /// Who is invited.
    pub name: String,
    /// The page at which they add a passkey.
    pub url: String,
}

/// The running gateway.
pub struct Gateway {
    /// `http://localhost:PORT`: what people open.
    pub origin: String,
    /// `https://localhost:PORT`: what clients that insist on TLS use.
    pub tls: String,
    /// The authority behind `tls`.
    pub ca: Ca,
    dir: PathBuf,
    server: Option<Server>,
}

impl Gateway {
    /// Writes the configuration into `dir` and starts; returns when `/readyz` answers.
    pub async fn start(dir: &Path, settings: &Settings) -> Gateway {
        let mut gateway = Gateway::configure(dir, settings);
        gateway.serve().await;
        gateway
    }

    /// Writes the configuration only.
    pub fn configure(dir: &Path, settings: &Settings) -> Gateway {
        let ca = Ca::create(&dir.join("tls"));
        std::fs::create_dir_all(dir.join("data")).expect("the data folder");
        let (plain, secret) = (free_port(), free_port());
        let origin = format!("http://localhost:{plain}");
        let Settings { database, limits } = settings;
        let config = format!(
            "origin = \"{origin}\"\ndata_dir = \"data\"\naudience = \"localhost\"\nallow_test_authenticators = true\n\n\
             [database]\nurl = \"{database}\"\n\n\
             [[listen]]\naddress = \"127.0.0.1:{plain}\"\n\n\
             [[listen]]\naddress = \"127.0.0.1:{secret}\"\ncertificate = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n\n\
             [limits]\n{limits}"
        );
        std::fs::write(dir.join("countersign.toml"), config).expect("the configuration");
        Gateway {
            origin,
            tls: format!("https://localhost:{secret}"),
            ca,
            dir: dir.to_path_buf(),
            server: None,
        }
    }

    /// Starts the configured server and waits until it is ready.
    pub async fn serve(&mut self) {
        let mut command = child::command(&tools::countersign(), &self.dir);
        command.args(["serve", "--config", "countersign.toml"]);
        let mut server = Server::spawn(command, &self.dir.join("countersign.log"));
        server.until_ready(&format!("{}/readyz", self.origin), 200, START_LIMIT).await;
        self.server = Some(server);
    }

    /// Applies a set-up file and returns an invitation per person. Credential files it names lie in the folder.
    pub async fn apply(&self, setup: &str) -> Vec<Invite> {
        std::fs::write(self.dir.join("setup.toml"), setup).expect("the set-up file");
        let mut command = child::command(&tools::countersign(), &self.dir);
        command.args(["apply", "setup.toml", "--config", "countersign.toml", "--json"]);
        let output = command.output().await.expect("countersign apply");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "apply failed:\n{out}\n{err}");
        serde_json::from_str(&out)
            .unwrap_or_else(|e| panic!("apply printed no list ({e}):\n{out}\n{err}"))
    }

    /// Does a step of `countersign recover` beside the running server, with a secret on its standard input, and
    /// returns what it printed.
    pub async fn recover(&self, step: &[&str], secret: &str) -> String {
        let mut command = child::command(&tools::countersign(), &self.dir);
        command.arg("recover").args(step).args(["--config", "countersign.toml"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().expect("countersign recover");
        let mut input = running.stdin.take().expect("its standard input");
        input.write_all(secret.as_bytes()).await.expect("the secret is read");
        drop(input);
        let output = running.wait_with_output().await.expect("it ends");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "recover {step:?} failed:\n{out}\n{err}");
        out.into_owned()
    }

    /// Writes a file the set-up refers to, such as a registry token.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.join(name), text).expect("a file");
    }

    /// The upload address of Python clients, over TLS.
    pub fn pypi_url(&self) -> String {
        format!("{}/pypi/legacy/", self.tls)
    }

    /// The registry address of npm clients, over plain HTTP.
    pub fn npm_url(&self) -> String {
        format!("{}/npm/", self.origin)
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("countersign.log")).unwrap_or_default()
    }

    /// Ends it at once, as a power cut would. `serve` starts it again on the same data.
    pub async fn kill(&mut self) {
        self.server.take().expect("a running gateway").kill().await;
    }

    /// Asks it to stop and says whether it ended well in 30 s.
    pub async fn stop(&mut self) -> bool {
        self.server.take().expect("a running gateway").stop(Duration::from_secs(30)).await
    }
}
