//! Real registries on loopback: Verdaccio for npm, pypiserver and devpi for Python (wire.md 5).
//! Each lives in a temporary folder, has one user allowed to publish, and ends when dropped.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{self, Server, free_port};
use crate::tools;

/// Starting Python's application servers takes up to 20 s on a busy small machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// An npm registry.
pub struct Verdaccio {
    /// `http://127.0.0.1:PORT/`
    pub url: String,
    /// A bearer token that may publish.
    pub token: String,
    server: Server,
    _dir: TempDir,
}

impl Verdaccio {
    /// Starts an empty one with the user `gateway`.
    pub async fn start() -> Verdaccio {
        let dir = tempfile::tempdir().expect("a folder");
        let config = "storage: ./storage\n\
            auth: { htpasswd: { file: ./htpasswd, algorithm: bcrypt, rounds: 4, max_users: 100 } }\n\
            uplinks: {}\n\
            packages:\n  '@*/*': { access: $all, publish: $authenticated, unpublish: $authenticated }\n  \
            '**': { access: $all, publish: $authenticated, unpublish: $authenticated }\n\
            middlewares: { audit: { enabled: false } }\n\
            max_body_size: 300mb\nweb: { enable: false }\n\
            log: { type: stdout, format: pretty, level: http }\n";
        std::fs::write(dir.path().join("config.yaml"), config).expect("the configuration");
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}/");
        let mut command = child::command(&tools::node(), dir.path());
        command.arg(tools::npm_file("verdaccio/bin/verdaccio"));
        command.args(["-c", "config.yaml", "-l", &format!("127.0.0.1:{port}")]);
        let mut server = Server::spawn(command, &dir.path().join("log"));
        server.until_ready(&format!("{url}-/ping"), 200, START_LIMIT).await;
        let user = json!({ "name": "gateway", "password": "s3cret-pass" });
        let answer = crate::http()
            .put(format!("{url}-/user/org.couchdb.user:gateway"))
            .json(&user)
            .send()
            .await;
        let answer: Value = answer.expect("an answer").json().await.expect("JSON");
        let token = answer["token"].as_str().expect("a token").to_string();
        Verdaccio { url, token, server, _dir: dir }
    }

    /// The stored bytes of a version's tarball, or None when the version is not there.
    pub async fn tarball(&self, package: &str, version: &str) -> Option<Vec<u8>> {
        let packument = self.packument(package).await?;
        let url = packument["versions"][version]["dist"]["tarball"].as_str()?.to_string();
        let answer = crate::http().get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "a listed tarball must be there");
        Some(answer.bytes().await.expect("bytes").to_vec())
    }

    /// The full packument, or None.
    pub async fn packument(&self, package: &str) -> Option<Value> {
        let url = format!("{}{}", self.url, package.replace('/', "%2f"));
        let answer = crate::http().get(url).send().await.expect("an answer");
        if answer.status() != 200 { None } else { Some(answer.json().await.expect("JSON")) }
    }

    /// Its log: one line per request.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

/// A Python registry, whichever program serves it.
pub struct PythonRegistry {
    /// Where files are posted.
    pub upload_url: String,
    /// The simple index, with its slash.
    pub simple_url: String,
    /// The user that may upload.
    pub username: String,
    /// Its password.
    pub password: String,
    server: Server,
    _dir: TempDir,
}

impl PythonRegistry {
    /// pypiserver: starts in a second, checks little.
    pub async fn pypiserver() -> PythonRegistry {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("packages")).expect("a folder");
        let (username, password) = ("__token__", "pypi-upstream");
        write_htpasswd(dir.path(), username, password).await;
        let port = free_port();
        let mut command = child::command(&tools::python("pypi-server"), dir.path());
        command.args([
            "run",
            "-v",
            "-i",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-P",
            "htpasswd",
            "-a",
            "update",
        ]);
        // Without its fallback: an unknown project would redirect to another index, which says
        // nothing about what this registry holds.
        command.args(["--disable-fallback", "--hash-algo", "sha256", "packages"]);
        let mut server = Server::spawn(command, &dir.path().join("log"));
        let upload_url = format!("http://127.0.0.1:{port}/");
        let simple_url = format!("{upload_url}simple/");
        server.until_ready(&simple_url, 200, START_LIMIT).await;
        let (username, password) = (username.to_string(), password.to_string());
        PythonRegistry { upload_url, simple_url, username, password, server, _dir: dir }
    }

    /// devpi: answers repeated and different files as the public index does; takes some 20 s to start.
    pub async fn devpi() -> PythonRegistry {
        let dir = tempfile::tempdir().expect("a folder");
        let mut init = child::command(&tools::python("devpi-init"), dir.path());
        init.args(["--serverdir", "sd", "--no-root-pypi", "--root-passwd", "rootpw"]);
        let output = init.output().await.expect("devpi-init");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        let mut command = child::command(&tools::python("devpi-server"), dir.path());
        command.args([
            "--serverdir",
            "sd",
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--offline-mode",
        ]);
        let mut server = Server::spawn(command, &dir.path().join("log"));
        let base = format!("http://127.0.0.1:{port}");
        server.until_ready(&format!("{base}/+api"), 200, START_LIMIT).await;
        devpi_index(&base).await;
        PythonRegistry {
            upload_url: format!("{base}/gw/prod/"),
            simple_url: format!("{base}/gw/prod/+simple/"),
            username: "gw".to_string(),
            password: "gwpass".to_string(),
            server,
            _dir: dir,
        }
    }

    /// The stored bytes of one file of `project`, or None when it is not listed.
    pub async fn file(&self, project: &str, filename: &str) -> Option<Vec<u8>> {
        let page_url = format!("{}{project}/", self.simple_url);
        let answer = crate::http().get(&page_url).send().await.expect("an answer");
        if answer.status() != 200 {
            return None;
        }
        let page = answer.text().await.expect("a page");
        let link = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let link = link
            .map(|l| l.split('#').next().unwrap_or(l))
            .find(|l| l.ends_with(&format!("/{filename}")))?;
        let base = axum::http::Uri::try_from(&page_url).expect("a URL");
        let origin = format!("http://{}", base.authority().expect("an authority"));
        let answer =
            crate::http().get(resolve(&origin, &page_url, link)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "a listed file must be there");
        Some(answer.bytes().await.expect("bytes").to_vec())
    }

    /// Its log: one line per request.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

/// Resolves what simple pages hold: absolute, host-absolute or dotted links.
fn resolve(origin: &str, page: &str, link: &str) -> String {
    if link.starts_with("http://") {
        return link.to_string();
    }
    if link.starts_with('/') {
        return format!("{origin}{link}");
    }
    let mut folders: Vec<&str> =
        page.strip_prefix(origin).unwrap_or(page).trim_end_matches('/').split('/').collect();
    let mut rest = link;
    while let Some(after) = rest.strip_prefix("../") {
        folders.pop();
        rest = after;
    }
    format!("{origin}{}/{rest}", folders.join("/"))
}

async fn write_htpasswd(dir: &Path, user: &str, password: &str) {
    let mut command = child::command(&tools::python("python"), dir);
    let program = "import sys; from passlib.apache import HtpasswdFile as H; \
        h = H('htpasswd', new=True, default_scheme='apr_md5_crypt'); h.set_password(sys.argv[1], sys.argv[2]); h.save()";
    let output = command.args(["-c", program, user, password]).output().await.expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn devpi_index(base: &str) {
    let root = devpi_login(base, "root", "rootpw").await;
    devpi_call(base, "PUT", "/gw", Some(&root), &json!({ "password": "gwpass" })).await;
    let user = devpi_login(base, "gw", "gwpass").await;
    let index = json!({ "bases": [], "volatile": false, "acl_upload": ["gw"] });
    devpi_call(base, "PUT", "/gw/prod", Some(&user), &index).await;
}

async fn devpi_login(base: &str, user: &str, password: &str) -> String {
    let login = json!({ "user": user, "password": password });
    let answer = devpi_call(base, "POST", "/+login", None, &login).await;
    let token = answer["result"]["password"].as_str().expect("a session");
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{token}"))
}

async fn devpi_call(
    base: &str,
    method: &str,
    path: &str,
    auth: Option<&str>,
    body: &Value,
) -> Value {
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = crate::http().request(method, format!("{base}{path}"));
    request = request.header("accept", "application/json").json(body);
    if let Some(auth) = auth {
        request = request.header("x-devpi-auth", auth);
    }
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "devpi refused {path}: {}", answer.status());
    answer.json().await.expect("JSON")
}
