//! One release, from CI to two registries, on this machine only. Interactive: prints the pages where people with a
//! passkey enrol and approve, and waits. `AUTO=1`: two headless browsers with virtual passkeys are the people.
//! Either way it ends by installing both packages and comparing every byte with what was submitted and approved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use countersign_e2e::browser::Browser;
use countersign_e2e::clients::{Desk, Job, NpmTarget};
use countersign_e2e::evidence::offline_verdicts;
use countersign_e2e::gateway::Settings;
use countersign_e2e::world::{INES, JUN, MARA, NPM_NAME, PYTHON_NAME, Submitted, VERSION, World};
use sha2::{Digest as _, Sha256};

/// How long a registry may take to hold a release after the last approval.
const PUBLISH_LIMIT: Duration = Duration::from_secs(120);

/// How long people may take in the interactive demo.
const PEOPLE_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// File name → SHA-256 in hex.
type Digests = BTreeMap<String, String>;

#[tokio::main]
async fn main() -> ExitCode {
    let headless = std::env::var("AUTO").is_ok_and(|auto| auto != "0" && !auto.is_empty());
    let dir = std::env::temp_dir().join(format!("countersign-demo-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for the demo");
    let inside = dir.clone();
    // A failed check panics inside the task; it is reported here, after everything it started has ended.
    let run = tokio::spawn(async move { Demo::start(&inside).await.run(headless).await });
    let held = tokio::select! {
        ended = run => ended.is_ok(),
        _ = tokio::signal::ctrl_c() => {
            println!("\nStopped. Everything it started has ended, and what it wrote is removed.");
            true
        }
    };
    if held {
        let _ = std::fs::remove_dir_all(&dir);
        return ExitCode::SUCCESS;
    }
    let log = std::fs::read_to_string(dir.join("gateway/countersign.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    eprintln!("\nThe demo did not hold. The gateway's last words:");
    lines[lines.len().saturating_sub(30)..].iter().for_each(|line| eprintln!("  {line}"));
    eprintln!("Everything it wrote is in {}", dir.display());
    ExitCode::FAILURE
}

struct Demo {
    world: World,
    dir: PathBuf,
    begun: Instant,
}

impl Demo {
    async fn start(dir: &Path) -> Demo {
        let begun = Instant::now();
        let world = World::start(dir, &Settings::default()).await;
        let demo = Demo { world, dir: dir.to_path_buf(), begun };
        demo.say("running, all on this machine; Ctrl-C ends it and removes what it wrote:");
        demo.line("gateway, for people", &demo.world.gateway.origin);
        demo.line("gateway, for CI", &demo.world.gateway.tls);
        demo.line("CI's token issuer", demo.world.issuer.url());
        demo.line("npm registry", &demo.world.npm.url);
        demo.line("Python registry", &demo.world.python.simple_url);
        demo
    }

    async fn run(self, headless: bool) {
        let mut people = Vec::new();
        if headless {
            for name in [INES, MARA] {
                people.push((name, self.world.enrol(name).await));
                self.say(&format!("{name} added a passkey"));
            }
            self.world.found(&people[0].1, &people[1].1).await;
            self.say("both founded the installation: they signed who decides, by which rule, and where releases go");
            self.hint("From here on no one person can change any of it; a loosening waits for a day besides.");
        } else {
            self.say("two people must approve, and you are both: open each link and add a passkey");
            self.line(INES, self.world.invite(INES));
            self.line(MARA, self.world.invite(MARA));
            self.hint("Use a window of its own for each: a second browser, or a private window.");
            self.hint("Your device keeps both passkeys; they work at this address only.");
            self.hint("No device for passkeys at hand? `make demo AUTO=1` needs none.");
            let founding = format!("{}/founding", self.world.gateway.origin);
            self.say("then found the installation: put it before the founders as Ines, and sign it as both");
            self.line("founding", &founding);
            self.hint(
                "Nothing that takes two approvals is sent before; approvals are kept meanwhile.",
            );
        }

        let releases = self.submit().await;
        if headless {
            self.approve(&people, &releases).await;
        } else {
            self.say("review and approve both releases, each once as either person:");
            for (release, name) in releases.iter().zip([PYTHON_NAME, NPM_NAME]) {
                self.line(name, &release.link);
            }
            self.hint(
                "Nothing is published before the second approval. It goes on here by itself then.",
            );
            self.world.until_published(PEOPLE_LIMIT).await;
        }
        self.say("both registries hold the release");

        self.verify(&releases).await;
        if headless {
            let (_, browser) = &people[0];
            for release in &releases {
                until_page_says_published(browser, &release.link).await;
            }
            self.say("both review pages say published");
            self.evidence(&people[0].1, &releases).await;
        }
        for (_, browser) in people {
            browser.close().await;
        }
        if !headless {
            println!("\nAll of it held. Look around at {}", self.world.gateway.origin);
            println!("until you press Ctrl-C.");
            tokio::time::sleep(PEOPLE_LIMIT).await;
        }
        let mut gateway = self.world.gateway;
        assert!(gateway.stop().await, "the gateway stops well when asked");
        println!("\nAll of it held.");
    }

    /// CI: builds and uploads, with no secret but the identity of its job.
    async fn submit(&self) -> Vec<Submitted> {
        self.say(&format!("{JUN} pushed the tag v{VERSION}; CI builds and uploads"));
        let python = self.world.submit_python().await;
        self.line("PyPA action, twine", &format!("{PYTHON_NAME} {VERSION}: sdist and wheel"));
        let npm = self.world.submit_npm().await;
        self.line("npm publish", &format!("{NPM_NAME} {VERSION}: tarball"));
        assert!(!self.world.npm_is_published().await, "nothing is published before the approvals");
        assert!(
            !self.world.python_is_published().await,
            "nothing is published before the approvals"
        );
        vec![python, npm]
    }

    /// Each person downloads and hashes the files they are asked about, then signs.
    async fn approve(&self, people: &[(&str, Browser)], releases: &[Submitted]) {
        for release in releases {
            let submitted = digests(&release.files);
            for (turn, (name, browser)) in people.iter().enumerate() {
                browser.review(&release.link).await;
                let reviewed: Digests = browser.digests("/artifacts/").await.into_iter().collect();
                assert_same_bytes(
                    &reviewed,
                    &submitted,
                    "what the reviewer downloads and what CI built",
                );
                assert_eq!(browser.approve(&release.link).await, Ok(()), "{name} approves");
                self.say(&format!("{name} approved {}", release.link));
                if turn == 0 {
                    // Long enough for a forwarder that does not wait for the second person to be caught.
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    let npm = release.link == releases[releases.len() - 1].link;
                    let early = if npm {
                        self.world.npm_is_published().await
                    } else {
                        self.world.python_is_published().await
                    };
                    assert!(!early, "one approval of two publishes nothing");
                }
            }
        }
        self.world.until_published(PUBLISH_LIMIT).await;
    }

    /// Installs both packages from the registries with pip and npm, runs them, and compares every byte.
    async fn verify(&self, releases: &[Submitted]) {
        let mut found = Digests::new();
        for file in releases.iter().flat_map(|release| &release.files) {
            let name = file.file_name().expect("a file name").to_string_lossy().into_owned();
            let bytes = if Path::new(&name).extension().is_some_and(|e| e == "tgz") {
                self.world.npm.tarball(NPM_NAME, VERSION).await
            } else {
                self.world.python.file(PYTHON_NAME, &name).await
            };
            found.insert(name, hex(&bytes.expect("the published file")));
        }
        let files: Vec<PathBuf> =
            releases.iter().flat_map(|release| release.files.clone()).collect();
        assert_same_bytes(&found, &digests(&files), "what the registries hold and what CI built");
        self.say("verified: the registries hold exactly the approved bytes");
        found.iter().for_each(|(name, digest)| self.line(name, &format!("sha256 {digest}")));

        let desk = Desk::new(&self.world.gateway.ca, Job::None);
        let fresh = self.dir.join("fresh");
        std::fs::create_dir_all(&fresh).expect("a fresh folder");
        let requirement = format!("{PYTHON_NAME}=={VERSION}");
        desk.pip_install(&self.world.python.simple_url, &fresh, &requirement).await.succeeded();
        let ran =
            desk.program("pip install", &fresh.join("venv/bin/hello-wire"), &[]).await.succeeded();
        assert_eq!(ran.stdout.trim(), format!("hello from {PYTHON_NAME} {VERSION}"));
        self.line("pip install, run", ran.stdout.trim());

        let registry = NpmTarget { url: self.world.npm.url.clone(), token: None };
        desk.npm_install(&registry, &fresh, &format!("{NPM_NAME}@{VERSION}")).await.succeeded();
        let ran = desk
            .program("npm install", &fresh.join("node_modules/.bin/hello-wire"), &[])
            .await
            .succeeded();
        assert_eq!(ran.stdout.trim(), format!("hello from {NPM_NAME} {VERSION}"));
        self.line("npm install, run", ran.stdout.trim());
    }

    /// Takes the evidence of both releases along and checks it offline with two programs.
    async fn evidence(&self, browser: &Browser, releases: &[Submitted]) {
        let key = self.world.log_key().await;
        for release in releases {
            let path = self.dir.join("evidence.json");
            let bytes = browser.evidence(&release.link).await;
            let digest = hex(&std::fs::read(&release.files[0]).expect("a file that CI built"));
            std::fs::write(&path, &bytes).expect("a file for the evidence");
            assert_eq!(offline_verdicts(&path, &key, &digest).await, [true, true]);
            let mut altered = bytes.into_bytes();
            let middle = altered.len() / 2;
            altered[middle] ^= 1;
            std::fs::write(&path, &altered).expect("a file for the evidence");
            assert_eq!(offline_verdicts(&path, &key, &digest).await, [false, false]);
        }
        self.say(
            "evidence verified offline by both verifiers, and by neither after one bit changed",
        );
        self.line("log key", &key);
    }

    fn say(&self, what: &str) {
        println!("[{:>5.1}s] {what}", self.begun.elapsed().as_secs_f32());
    }

    fn hint(&self, what: &str) {
        println!("         {what}");
    }

    fn line(&self, name: &str, what: &str) {
        println!("         {name:<38} {what}");
    }
}

/// The page may lag the registry by one confirmation.
async fn until_page_says_published(browser: &Browser, link: &str) {
    let begun = Instant::now();
    loop {
        browser.go(link).await;
        let text = browser.text().await;
        if text.to_lowercase().contains("published") {
            return;
        }
        assert!(begun.elapsed() < PUBLISH_LIMIT, "{link} does not say published:\n{text}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn digests(files: &[PathBuf]) -> Digests {
    let digest = |file: &PathBuf| {
        let name = file.file_name().expect("a file name").to_string_lossy().into_owned();
        (name, hex(&std::fs::read(file).expect("a built file")))
    };
    files.iter().map(digest).collect()
}

/// Names may differ between a client's and a registry's habits; bytes may not.
fn assert_same_bytes(left: &Digests, right: &Digests, what: &str) {
    let sorted = |digests: &Digests| {
        let mut values: Vec<String> = digests.values().cloned().collect();
        values.sort();
        values
    };
    assert!(!left.is_empty(), "no files where {what} are compared");
    assert_eq!(sorted(left), sorted(right), "{what} differ: {left:?} and {right:?}");
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
