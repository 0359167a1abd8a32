//! A person at a real browser: headless Chromium driven by chromedriver, with virtual passkeys, screenshots and axe.
//! One `Browser` is one person's machine: its own profile, session and authenticators.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::Instant;

use crate::{child, count, tools};

/// How long a page may take to react to a click, a ceremony on the server included.
const STEP_LIMIT: Duration = Duration::from_secs(20);

/// How long a release may take from its upload to a page with an approve button.
const REVIEW_LIMIT: Duration = Duration::from_secs(90);

/// Answers everything that was found inside, in the form that approves.
const ANSWER_FINDINGS: &str = "\
    for (const field of document.querySelectorAll('[form=approve]')) { \
        if (field.type === 'checkbox') { if (!field.checked) field.click(); } \
        else field.value = 'read line by line, and meant so'; \
    }";

/// Marks a document, to see when another one has taken its place.
const MARK: &str = "document.documentElement.setAttribute('data-e2e', 'before')";

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--lang=en-US",
    "--force-color-profile=srgb",
    "--window-size=1280,900",
];

/// What kind of virtual passkey to plug in.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `internal` (the machine's own) or `usb`.
    pub transport: &'static str,
    /// Whether the key can keep a discoverable credential.
    pub resident: bool,
    /// Whether its owner passes the PIN or fingerprint.
    pub verified: bool,
}

impl Default for Key {
    fn default() -> Key {
        Key { transport: "internal", resident: true, verified: true }
    }
}

/// A plugged-in authenticator.
#[derive(Clone, Debug)]
pub struct Authenticator(String);

/// One problem axe found.
#[derive(Clone, Debug, Deserialize)]
pub struct Violation {
    /// The rule.
    pub id: String,
    /// `minor` to `critical`.
    pub impact: Option<String>,
    /// What is asked for.
    pub help: String,
    /// Selectors of the elements.
    pub targets: Vec<String>,
}

/// The look of a screenshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// 1280 wide, light.
    Light,
    /// 1280 wide, dark.
    Dark,
    /// 390 wide, light.
    Phone,
}

/// A person's browser.
pub struct Browser {
    driver: WebDriver,
    profile: TempDir,
    _chromedriver: Child,
}

impl Browser {
    /// Opens one with an empty profile and no authenticator.
    pub async fn open() -> Browser {
        let profile = tempfile::tempdir().expect("a profile");
        let mut command = child::command(&tools::chromedriver(), profile.path());
        let mut chromedriver = command
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let port = announced_port(&mut chromedriver).await;
        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS {
            wanted.add_arg(flag).expect("a flag");
        }
        let folder = profile.path().join("profile");
        wanted.add_arg(&format!("--user-data-dir={}", folder.display())).expect("a flag");
        wanted.set_binary(&tools::chromium().display().to_string()).expect("the browser");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted)
            .await
            .expect("a browser session");
        let browser = Browser { driver, profile, _chromedriver: chromedriver };
        browser.cdp("WebAuthn.enable", json!({ "enableUI": false })).await;
        browser
    }

    /// Opens one with a verified passkey authenticator plugged in.
    pub async fn with_key() -> (Browser, Authenticator) {
        let browser = Browser::open().await;
        let key = browser.plug_in(Key::default()).await;
        (browser, key)
    }

    /// The driver, for what the functions here do not cover.
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// Adds a virtual authenticator that confirms presence by itself.
    pub async fn plug_in(&self, key: Key) -> Authenticator {
        let options = json!({
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": key.transport,
            "hasResidentKey": key.resident, "hasUserVerification": true, "isUserVerified": key.verified,
            "automaticPresenceSimulation": true, "defaultBackupEligibility": false,
        });
        let added =
            self.cdp("WebAuthn.addVirtualAuthenticator", json!({ "options": options })).await;
        Authenticator(added["authenticatorId"].as_str().expect("an id").to_string())
    }

    /// Takes an authenticator away, with its credentials.
    pub async fn unplug(&self, key: &Authenticator) {
        self.cdp("WebAuthn.removeVirtualAuthenticator", json!({ "authenticatorId": key.0 })).await;
    }

    /// Whether the owner passes user verification from now on.
    pub async fn set_verified(&self, key: &Authenticator, verified: bool) {
        let arguments = json!({ "authenticatorId": key.0, "isUserVerified": verified });
        self.cdp("WebAuthn.setUserVerified", arguments).await;
    }

    /// How many credentials the authenticator holds.
    pub async fn credentials(&self, key: &Authenticator) -> usize {
        let answer = self.cdp("WebAuthn.getCredentials", json!({ "authenticatorId": key.0 })).await;
        answer["credentials"].as_array().map_or(0, Vec::len)
    }

    /// Opens a page.
    pub async fn go(&self, url: &str) {
        self.driver.goto(url).await.unwrap_or_else(|e| panic!("{url} did not open: {e}"));
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        self.evaluate("document.body.innerText").await.as_str().unwrap_or_default().to_string()
    }

    /// The address of the page.
    pub async fn url(&self) -> String {
        self.driver.current_url().await.expect("an address").to_string()
    }

    /// Adds a passkey at an invitation. Err holds the message the page showed.
    pub async fn enrol(&self, invite_url: &str) -> Result<(), String> {
        self.go(invite_url).await;
        self.ceremony("form[data-passkey=create]").await
    }

    /// Signs in at `origin`/login. Err holds the message the page showed.
    pub async fn sign_in(&self, origin: &str) -> Result<(), String> {
        self.go(&format!("{origin}/login")).await;
        self.ceremony("form[data-passkey=get]").await
    }

    /// Ticks what is to be looked at, each by a click.
    pub async fn tick_looks(&self) {
        let boxes = "[form=approve][type=checkbox]";
        for one in self.driver.find_all(By::Css(boxes)).await.expect("elements") {
            one.scroll_into_view().await.expect("the box in view");
            one.click().await.expect("a click");
        }
    }

    /// Ticks what is to be looked at and says why what blocks is right all the same, as the page asks.
    pub async fn answer_findings(&self) {
        self.evaluate(ANSWER_FINDINGS).await;
    }

    /// Waits for the review page to offer it, answers what was found and approves. Err holds the message the page
    /// showed.
    pub async fn approve(&self, release_url: &str) -> Result<(), String> {
        self.review(release_url).await;
        self.answer_findings().await;
        self.ceremony("form[data-passkey=get][action$='/approve']").await
    }

    /// Rejects for `reason`. Err holds the message the page showed.
    pub async fn reject(&self, release_url: &str, reason: &str) -> Result<(), String> {
        self.go(&format!("{release_url}/reject")).await;
        let field = "form[data-passkey=get] [name=reason]";
        self.driver
            .find(By::Css(field))
            .await
            .expect("a reason field")
            .send_keys(reason)
            .await
            .expect("typing");
        self.ceremony("form[data-passkey=get][action$='/reject']").await
    }

    /// Signs a proposal on its page, or what else is signed there. Err holds the message the page showed.
    pub async fn sign(&self, page: &str) -> Result<(), String> {
        self.go(page).await;
        self.ceremony("form[data-passkey=get][action$='/sign']").await
    }

    /// Types into the field that `selector` names, in place of what it holds.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.driver.find(By::Css(selector)).await;
        let field = field.unwrap_or_else(|e| panic!("no {selector}: {e}"));
        field.clear().await.expect("an empty field");
        field.send_keys(text).await.expect("typing");
    }

    /// A key that writes this letter goes down on whatever has the focus; `again` while it is held.
    pub async fn key_down(&self, letter: char, again: bool) {
        let event =
            json!({ "type": "keyDown", "key": letter, "text": letter, "autoRepeat": again });
        self.cdp("Input.dispatchKeyEvent", event).await;
    }

    /// It comes up.
    pub async fn key_up(&self, letter: char) {
        self.cdp("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": letter })).await;
    }

    /// Waits until an expression in the page is true, and fails with what it is about.
    pub async fn until(&self, expression: &str, about: &str) {
        let begun = Instant::now();
        // Between two documents an evaluation may fail.
        while self.try_evaluate(expression).await != Ok(json!(true)) {
            assert!(begun.elapsed() < STEP_LIMIT, "{about}, on {}", self.url().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Opens the review page until it offers approval: the server may still wait for more files or inspect them.
    pub async fn review(&self, release_url: &str) {
        let begun = Instant::now();
        loop {
            self.go(release_url).await;
            let offered = self
                .evaluate("!!document.querySelector(\"form[data-passkey][action$='/approve']\")")
                .await;
            if offered == json!(true) {
                return;
            }
            if begun.elapsed() > REVIEW_LIMIT {
                panic!(
                    "{release_url} offered no approval in {REVIEW_LIMIT:?}; it shows:\n{}",
                    self.text().await
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Clicks the button of a passkey form and waits: Ok when another document came, Err with the message that appeared.
    pub async fn ceremony(&self, form: &str) -> Result<(), String> {
        let ended = self.press(form).await;
        count::check("Chromium passkeys");
        ended
    }

    /// Clicks the button of a form and waits, like [`Browser::ceremony`].
    pub async fn press(&self, form: &str) -> Result<(), String> {
        let selector = format!("{form} button:not([type=button])");
        let Ok(button) = self.driver.find(By::Css(&selector)).await else {
            panic!("no {selector} on {}, which shows:\n{}", self.url().await, self.text().await);
        };
        self.evaluate(MARK).await;
        button.scroll_into_view().await.expect("the button in view");
        button.click().await.expect("a click");
        let begun = Instant::now();
        let message = "document.documentElement.hasAttribute('data-e2e') \
            ? (document.querySelector('[data-passkey-message][role=alert]')?.innerText.trim() ?? '') : null";
        loop {
            match self.try_evaluate(message).await {
                // A document without the mark: the page went on.
                Ok(Value::Null) => {
                    self.until_loaded().await;
                    return Ok(());
                }
                Ok(Value::String(text)) if !text.is_empty() => return Err(text),
                // Between two documents an evaluation may fail.
                Ok(_) | Err(_) => {}
            }
            if begun.elapsed() > STEP_LIMIT {
                panic!(
                    "nothing happened on {} in {STEP_LIMIT:?}; it shows:\n{}",
                    self.url().await,
                    self.text().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the page's text holds `words`, without reloading it: for pages that change by themselves.
    pub async fn until_text(&self, words: &str, limit: Duration) {
        let begun = Instant::now();
        while !self.text().await.contains(words) {
            if begun.elapsed() > limit {
                panic!(
                    "{} did not come to say {words:?}; it shows:\n{}",
                    self.url().await,
                    self.text().await
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The SHA-256 (hex) of what this person downloads at each link whose address contains `part`, with the last path
    /// segment of the link. The bytes come through the browser's own session.
    pub async fn digests(&self, part: &str) -> Vec<(String, String)> {
        let script = "(async () => { const out = []; \
            const links = new Set([...document.querySelectorAll('a[href]')].map(a => a.href)\
                .filter(h => h.includes(PART) && !h.endsWith('/contents'))); \
            for (const link of links) { const r = await fetch(link); if (!r.ok) throw new Error(link + ' ' + r.status); \
                const d = await crypto.subtle.digest('SHA-256', await r.arrayBuffer()); \
                const hex = [...new Uint8Array(d)].map(b => b.toString(16).padStart(2, '0')).join(''); \
                out.push([decodeURIComponent(new URL(link).pathname.split('/').pop()), hex]) } return out })()";
        let found = self.evaluate(&script.replace("PART", &json!(part).to_string())).await;
        serde_json::from_value(found).expect("names and digests")
    }

    /// Runs axe on the page as it is (WCAG 2.2 AA and best practices) and counts the check.
    pub async fn axe(&self) -> Vec<Violation> {
        let source = std::fs::read_to_string(tools::npm_file("axe-core/axe.min.js")).expect("axe");
        self.evaluate(&format!("{source};0")).await;
        let run = "axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.map(v => \
            ({ id: v.id, impact: v.impact, help: v.help, targets: v.nodes.map(n => n.target.join(' ')) })))";
        let found = self.evaluate(run).await;
        count::check("axe");
        serde_json::from_value(found).expect("axe's findings")
    }

    /// Shows the page in a look until `plain`.
    pub async fn wear(&self, look: Look) {
        let width = if look == Look::Phone { 390 } else { 1280 };
        let scheme = if look == Look::Dark { "dark" } else { "light" };
        let screen = json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": look == Look::Phone });
        self.cdp("Emulation.setDeviceMetricsOverride", screen).await;
        self.cdp("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.cdp("Emulation.setEmulatedMedia", media).await;
    }

    /// Shows the page as the window has it again.
    pub async fn plain(&self) {
        self.cdp("Emulation.clearDeviceMetricsOverride", json!({})).await;
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
    }

    /// Writes a screenshot of the whole page.
    pub async fn screenshot(&self, look: Look, file: &Path) {
        self.wear(look).await;
        self.capture(json!({ "format": "png", "captureBeyondViewport": true }), file).await;
        self.plain().await;
    }

    /// Writes what fits a window of 1440 by 900, sharp enough for a document.
    pub async fn fold(&self, look: Look, file: &Path) {
        self.wear(look).await;
        let screen =
            json!({ "width": 1440, "height": 900, "deviceScaleFactor": 1.5, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", screen).await;
        self.capture(json!({ "format": "png" }), file).await;
        self.plain().await;
    }

    async fn capture(&self, options: Value, file: &Path) {
        let shot = self.cdp("Page.captureScreenshot", options).await;
        let data = shot["data"].as_str().expect("an image");
        let png = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).expect("a folder");
        }
        std::fs::write(file, png).expect("a screenshot");
    }

    /// Whether the page is wider than its window at a phone's width (390), which it must not be.
    pub async fn overflows_on_a_phone(&self) -> bool {
        let screen = json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true });
        self.cdp("Emulation.setDeviceMetricsOverride", screen).await;
        let wide = self.evaluate("document.documentElement.scrollWidth > 390").await;
        self.cdp("Emulation.clearDeviceMetricsOverride", json!({})).await;
        wide == json!(true)
    }

    /// The value of an expression in the page; promises are awaited. The page's policy does not apply to it.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.try_evaluate(expression).await.unwrap_or_else(|e| panic!("{e} in {expression:.120}"))
    }

    /// The evidence of a release as its page gives it, with names.
    pub async fn evidence(&self, release: &str) -> String {
        self.go(&format!("{release}/evidence")).await;
        let fetch = "(async () => { \
            const form = document.querySelector('form[action$=\"/evidence.json\"]'); \
            const answer = await fetch(form.action + '?names=true'); \
            return answer.ok ? await answer.text() : ''; })()";
        let text = self.evaluate(fetch).await;
        text.as_str().filter(|text| !text.is_empty()).expect("the evidence").to_owned()
    }

    /// Closes the browser. Dropping does the same, less gently.
    pub async fn close(self) {
        // The session's driver is cloned because quitting consumes it; the drop below then finds nothing to end.
        let _ = self.driver.clone().quit().await;
    }

    async fn try_evaluate(&self, expression: &str) -> Result<Value, String> {
        let arguments =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self
            .driver
            .cdp()
            .send_raw("Runtime.evaluate", arguments)
            .await
            .map_err(|e| e.to_string())?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            return Err(thrown.to_string());
        }
        Ok(answer["result"].get("value").cloned().unwrap_or(Value::Null))
    }

    async fn until_loaded(&self) {
        let begun = Instant::now();
        while !self
            .try_evaluate("document.readyState")
            .await
            .is_ok_and(|state| state == json!("complete"))
        {
            assert!(begun.elapsed() < STEP_LIMIT, "the next page did not load in {STEP_LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn cdp(&self, method: &str, arguments: Value) -> Value {
        self.driver
            .cdp()
            .send_raw(method, arguments)
            .await
            .unwrap_or_else(|e| panic!("{method}: {e}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver would otherwise block this thread for its whole time-out, asking a browser that is gone to quit.
        let _ = self.driver.clone().leak();
        // chromedriver dies with its handle, Chromium does not: its profile names its process.
        let lock = std::fs::read_link(self.profile.path().join("profile/SingletonLock"));
        let pid = lock.ok().and_then(|l| {
            l.to_string_lossy().rsplit('-').next().and_then(|p| p.parse::<u32>().ok())
        });
        if let Some(pid) = pid {
            let _ = std::process::Command::new("kill")
                .arg("-KILL")
                .arg(pid.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

async fn announced_port(chromedriver: &mut Child) -> u16 {
    let mut lines = BufReader::new(chromedriver.stdout.take().expect("its output")).lines();
    loop {
        let line = lines.next_line().await.expect("a line").expect("chromedriver ended early");
        // An earlier line says "on port 0".
        let Some(port) = line.split("started successfully on port ").nth(1) else { continue };
        let port = port.trim_end_matches('.').parse().expect("a port");
        // Keep reading, or the pipe fills up and chromedriver stops.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return port;
    }
}
