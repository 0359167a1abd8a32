//! Programs this crate starts: with an emptied environment, output kept, and ended when their owner is dropped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// A command that inherits nothing: no proxies, certificate overrides, registry settings or tokens of this machine.
/// `home` becomes HOME, the working folder and the parent of the temporary folder.
pub fn command(program: &Path, home: &Path) -> Command {
    let tmp = home.join("tmp");
    std::fs::create_dir_all(&tmp).expect("a temporary folder");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home)
        .env("TMPDIR", &tmp)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("NO_COLOR", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A running server whose output goes to a file. Dropping it ends the process by its id.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command`, both output streams to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Server {
        let out =
            std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        command.stdout(out.try_clone().expect("a second writer")).stderr(out);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?} did not start: {e}"));
        Server { child, log: log.to_path_buf() }
    }

    /// Everything written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `url` answers `status`; fails with the log when the process ends or `limit` passes.
    pub async fn until_ready(&mut self, url: &str, status: u16, limit: Duration) {
        let http = crate::http();
        let begun = tokio::time::Instant::now();
        loop {
            if http.get(url).send().await.is_ok_and(|answer| answer.status() == status) {
                return;
            }
            if let Ok(Some(end)) = self.child.try_wait() {
                panic!("the server ended ({end}) before {url} answered:\n{}", self.log());
            }
            assert!(
                begun.elapsed() < limit,
                "{url} did not answer {status} in {limit:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once, as a power cut would, and waits for the end.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("an end");
    }

    /// Asks it to stop (SIGTERM) and returns whether it ended well within `limit`.
    pub async fn stop(mut self, limit: Duration) -> bool {
        if let Some(pid) = self.child.id() {
            let sent = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
            assert!(sent.is_ok_and(|s| s.success()), "SIGTERM was not delivered");
        }
        matches!(tokio::time::timeout(limit, self.child.wait()).await, Ok(Ok(end)) if end.success())
    }
}

/// A port nobody uses now. Another process may take it before it is used; the tests would then fail loudly.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("an address").port()
}
