//! A fake PyPI: takes the legacy upload form and serves the simple index as JSON or HTML.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use countersign::domain::digest::Sha256;
use serde_json::json;

use super::faults::{Body, Fault, Listener, Registry, Seen, reply, reply_as, reply_bytes};

/// How the index presents itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// PEP 691 JSON.
    Json,
    /// PEP 503 HTML with sha256 fragments only.
    Html,
}

/// A running fake PyPI.
pub(crate) struct PypiRegistry {
    pub(crate) listener: Listener,
    state: Arc<State>,
}

struct State {
    login: String,
    style: Style,
    files: Mutex<BTreeMap<String, Stored>>,
    quarantined: Mutex<bool>,
    yanked: Mutex<BTreeSet<String>>,
    attested: Mutex<BTreeSet<String>>,
    files_base: Mutex<String>,
    /// Reads without exactly this header are refused.
    read_login: Mutex<Option<String>>,
}

/// One uploaded file.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The text fields in order of arrival.
    pub(crate) fields: Vec<(String, String)>,
    /// The bytes.
    pub(crate) content: Vec<u8>,
}

impl PypiRegistry {
    /// Starts; `password` for the user `__token__` may upload.
    pub(crate) async fn start(password: &str, style: Style) -> Self {
        let state = Arc::new(State {
            login: basic(password),
            style,
            files: Mutex::default(),
            quarantined: Mutex::default(),
            yanked: Mutex::default(),
            attested: Mutex::default(),
            files_base: Mutex::new("../../files/".to_owned()),
            read_login: Mutex::default(),
        });
        let listener = Listener::start(Arc::clone(&state) as Arc<dyn Registry>, None).await;
        Self { listener, state }
    }

    pub(crate) fn upload_url(&self) -> String {
        format!("http://{}/legacy/", self.listener.address)
    }

    pub(crate) fn simple_url(&self) -> String {
        format!("http://{}/simple/", self.listener.address)
    }

    pub(crate) fn fail_next_write(&self, fault: Fault) {
        self.listener.fail_next_write(fault);
    }

    pub(crate) fn fail_next_read(&self, fault: Fault) {
        self.listener.fail_next_read(fault);
    }

    /// A stored file.
    pub(crate) fn file(&self, filename: &str) -> Option<Stored> {
        self.state.files.lock().unwrap().get(filename).cloned()
    }

    /// Files stored.
    pub(crate) fn count(&self) -> usize {
        self.state.files.lock().unwrap().len()
    }

    /// From now on only this password for the user `__token__` may read.
    pub(crate) fn demand_to_read(&self, password: &str) {
        *self.state.read_login.lock().unwrap() = Some(basic(password));
    }

    /// Puts a file in place behind everybody's back.
    pub(crate) fn hold(&self, filename: &str, content: &[u8]) {
        let stored = Stored { fields: Vec::new(), content: content.to_vec() };
        self.state.files.lock().unwrap().insert(filename.to_owned(), stored);
    }

    /// Marks a file as yanked (PEP 592).
    pub(crate) fn yank(&self, filename: &str) {
        self.state.yanked.lock().unwrap().insert(filename.to_owned());
    }

    /// From now on the index has provenance of a file (PEP 740).
    pub(crate) fn attest(&self, filename: &str) {
        self.state.attested.lock().unwrap().insert(filename.to_owned());
    }

    /// From now on the index says that files are below this address.
    pub(crate) fn name_files_at(&self, base: &str) {
        base.clone_into(&mut self.state.files_base.lock().unwrap());
    }

    /// Marks the project as quarantined (PEP 792).
    pub(crate) fn quarantine(&self) {
        *self.state.quarantined.lock().unwrap() = true;
    }
}

/// The header of a password for the user `__token__`.
fn basic(password: &str) -> String {
    let pair = format!("__token__:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// Text fields, file name and content of a form.
type Form = (Vec<(String, String)>, String, Vec<u8>);

/// Splits a multipart body strictly, so that a badly built one is noticed.
fn parse_form(media_type: &str, body: &[u8]) -> Option<Form> {
    let boundary = media_type.strip_prefix("multipart/form-data; boundary=")?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", body].concat();
    let starts: Vec<usize> = memchr::memmem::find_iter(&body, &delimiter).collect();
    let (mut fields, mut file) = (Vec::new(), None);
    for pair in starts.windows(2) {
        let part = body[pair[0] + delimiter.len()..pair[1]].strip_prefix(b"\r\n")?;
        let end = memchr::memmem::find(part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&part[..end]).ok()?;
        let content = &part[end + 4..];
        let name = head.split("name=\"").nth(1)?.split('"').next()?.to_owned();
        if let Some(filename) = head.split("filename=\"").nth(1) {
            file = Some((filename.split('"').next()?.to_owned(), content.to_vec()));
        } else {
            fields.push((name, String::from_utf8(content.to_vec()).ok()?));
        }
    }
    if !body.ends_with(&[&delimiter[..], b"--\r\n"].concat()) {
        return None;
    }
    let (filename, content) = file?;
    Some((fields, filename, content))
}

impl Registry for State {
    fn write(&self, seen: &Seen, body: &[u8]) -> http::Response<Body> {
        if seen.header("authorization") != self.login {
            return reply(403, "Invalid or non-existent authentication information.");
        }
        let Some((fields, filename, content)) = parse_form(seen.header("content-type"), body)
        else {
            return reply(400, "not a form");
        };
        let field =
            |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if field(":action").as_deref() != Some("file_upload") {
            return reply(410, "unknown action");
        }
        if field("attestations").is_some() {
            return reply(400, "Attestations are only supported when using Trusted Publishing");
        }
        if field("sha256_digest") != Some(Sha256::of(&content).to_string()) {
            return reply(400, "The digest supplied does not match");
        }
        let mut files = self.files.lock().unwrap();
        match files.get(&filename) {
            Some(held) if held.content == content => reply(200, ""),
            Some(_) => reply(
                400,
                &format!("File already exists ('{filename}', with blake2_256 hash 'x')."),
            ),
            None => {
                files.insert(filename, Stored { fields, content });
                reply(200, "")
            }
        }
    }

    fn read(&self, seen: &Seen) -> http::Response<Body> {
        let demanded = self.read_login.lock().unwrap().clone();
        if demanded.is_some_and(|login| seen.header("authorization") != login) {
            return reply(401, "a password is needed to read");
        }
        let files = self.files.lock().unwrap();
        if let Some(name) = seen.path.strip_prefix("/files/") {
            let found = files.get(name);
            return found
                .map_or_else(|| reply(404, "gone"), |file| reply_bytes(200, &file.content));
        }
        if files.is_empty() {
            return reply(404, "not found");
        }
        let (base, yanked) = (self.files_base.lock().unwrap(), self.yanked.lock().unwrap());
        let quarantined = *self.quarantined.lock().unwrap();
        let attested = self.attested.lock().unwrap();
        let listed = files.iter().map(|(name, file)| (name, Sha256::of(&file.content)));
        match self.style {
            Style::Json => {
                let files: Vec<_> = listed
                    .map(|(name, sha256)| {
                        let provenance = attested.contains(name).then_some("integrity");
                        json!({
                            "filename": name, "url": format!("{base}{name}"),
                            "hashes": {"sha256": sha256}, "yanked": yanked.contains(name),
                            "provenance": provenance,
                        })
                    })
                    .collect();
                let status = if quarantined { "quarantined" } else { "active" };
                let page = json!({ "files": files, "project-status": { "status": status } });
                reply_as(200, "application/vnd.pypi.simple.v1+json", &page.to_string())
            }
            Style::Html => {
                let links: Vec<_> = listed
                    .map(|(name, sha256)| {
                        let yanked = if yanked.contains(name) { " data-yanked" } else { "" };
                        format!("<a href=\"{base}{name}#sha256={sha256}\"{yanked}>{name}</a>")
                    })
                    .collect();
                let links = links.join("\n");
                reply_as(200, "text/html; charset=utf-8", &format!("<html>{links}</html>"))
            }
        }
    }
}
