//! A fake npm registry: checks what npm checks and keeps packuments and tarballs in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use countersign::domain::digest::Sha1;
use serde_json::{Value, json};
use sha1::Digest as _;

use super::faults::{Body, Fault, Listener, Registry, Seen, reply_as, reply_bytes};

/// A running fake npm registry.
pub(crate) struct NpmRegistry {
    pub(crate) listener: Listener,
    state: Arc<State>,
    scheme: &'static str,
}

struct State {
    token: String,
    packages: Mutex<BTreeMap<String, Package>>,
    /// Reads without exactly this are refused.
    read_token: Mutex<Option<String>>,
    /// Reads show packages as they were when this was set.
    stale: Mutex<Option<BTreeMap<String, Value>>>,
}

#[derive(Default)]
struct Package {
    packument: Value,
    tarballs: BTreeMap<String, Vec<u8>>,
}

impl NpmRegistry {
    /// Starts on plain HTTP; `token` may publish and read.
    pub(crate) async fn start(token: &str) -> Self {
        Self::start_with(token, None).await
    }

    /// Starts with TLS when there is an acceptor.
    pub(crate) async fn start_with(token: &str, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let state = Arc::new(State {
            token: token.to_owned(),
            packages: Mutex::default(),
            read_token: Mutex::default(),
            stale: Mutex::default(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = Listener::start(Arc::clone(&state) as Arc<dyn Registry>, tls).await;
        Self { listener, state, scheme }
    }

    /// The base address, with a path to see that it is kept.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}/npm/", self.scheme, self.listener.address)
    }

    pub(crate) fn fail_next_write(&self, fault: Fault) {
        self.listener.fail_next_write(fault);
    }

    pub(crate) fn fail_next_read(&self, fault: Fault) {
        self.listener.fail_next_read(fault);
    }

    /// The stored tarball of a version.
    pub(crate) fn tarball(&self, name: &str, version: &str) -> Option<Vec<u8>> {
        self.state.packages.lock().unwrap().get(name)?.tarballs.get(version).cloned()
    }

    /// The stored `versions[v]`.
    pub(crate) fn manifest(&self, name: &str, version: &str) -> Option<Value> {
        let packages = self.state.packages.lock().unwrap();
        packages.get(name)?.packument["versions"].get(version).cloned()
    }

    /// Versions stored in all packages together.
    pub(crate) fn count(&self) -> usize {
        self.state.packages.lock().unwrap().values().map(|package| package.tarballs.len()).sum()
    }

    /// From now on only this token may read.
    pub(crate) fn demand_to_read(&self, token: &str) {
        *self.state.read_token.lock().unwrap() = Some(token.to_owned());
    }

    /// Reads show what there is now and nothing newer, until [`Self::show`].
    pub(crate) fn lag(&self) {
        let packages = self.state.packages.lock().unwrap();
        let seen = packages.iter().map(|(name, held)| (name.clone(), held.packument.clone()));
        *self.state.stale.lock().unwrap() = Some(seen.collect());
    }

    /// Reads show everything again.
    pub(crate) fn show(&self) {
        *self.state.stale.lock().unwrap() = None;
    }

    /// Puts a version in place behind everybody's back, as the latest one.
    pub(crate) fn hold(&self, name: &str, version: &str, tarball: &[u8]) {
        let sha512 =
            base64::engine::general_purpose::STANDARD.encode(sha2::Sha512::digest(tarball));
        let mut packages = self.state.packages.lock().unwrap();
        let package = packages.entry(name.to_owned()).or_default();
        if package.packument.is_null() {
            package.packument = json!({ "name": name, "dist-tags": {}, "versions": {} });
        }
        package.packument["dist-tags"]["latest"] = json!(version);
        package.packument["versions"][version] = json!({ "name": name, "version": version, "dist": {
            "integrity": format!("sha512-{sha512}"),
            "tarball": format!("{}{name}/-/{name}-{version}.tgz", self.url()),
        } });
        package.tarballs.insert(version.to_owned(), tarball.to_vec());
    }

    /// Changes a package behind everybody's back.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        change(&mut self.state.packages.lock().unwrap().get_mut(name).unwrap().packument);
    }
}

fn refuse(status: u16, message: &str) -> http::Response<Body> {
    reply_as(status, "application/json", &json!({ "error": message }).to_string())
}

fn package_of(seen: &Seen) -> String {
    seen.path.strip_prefix("/npm/").unwrap_or_default().replace("%2f", "/")
}

impl State {
    fn store(&self, name: &str, body: &[u8]) -> Result<(), (u16, String)> {
        let no = |status: u16, message: &str| (status, message.to_owned());
        let document: Value = serde_json::from_slice(body).map_err(|_| no(400, "not JSON"))?;
        if document["name"] != *name || document["_id"] != *name {
            return Err(no(422, "the name in the document is not the name in the URL"));
        }
        let versions = document["versions"].as_object().ok_or(no(400, "no versions"))?;
        let (version, manifest) = versions.iter().next().ok_or(no(400, "no version"))?;
        let attachments = document["_attachments"].as_object().ok_or(no(400, "no attachments"))?;
        let attachment = attachments
            .get(&format!("{name}-{version}.tgz"))
            .ok_or(no(400, "unsupported registry call"))?;
        if attachments.len() != 1 {
            return Err(no(422, "provenance is only supported with trusted publishing"));
        }
        let data = attachment["data"].as_str().unwrap_or_default();
        let tarball = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|_| no(400, "not base64"))?;
        if attachment["length"] != tarball.len() {
            return Err(no(400, "length does not match"));
        }
        let sha1 = Sha1::from_bytes(sha1::Sha1::digest(&tarball).into()).to_string();
        if manifest["dist"]["shasum"] != sha1 {
            return Err(no(400, "shasum error"));
        }
        let mut packages = self.packages.lock().unwrap();
        let package = packages.entry(name.to_owned()).or_default();
        if package.tarballs.contains_key(version) {
            let message =
                format!("You cannot publish over the previously published versions: {version}.");
            return Err((403, message));
        }
        if package.packument.is_null() {
            package.packument = json!({ "name": name, "dist-tags": {}, "versions": {} });
        }
        package.packument["versions"][version] = manifest.clone();
        for (tag, target) in document["dist-tags"].as_object().ok_or(no(400, "no tags"))? {
            package.packument["dist-tags"][tag] = target.clone();
        }
        package.tarballs.insert(version.clone(), tarball);
        Ok(())
    }
}

impl Registry for State {
    fn write(&self, seen: &Seen, body: &[u8]) -> http::Response<Body> {
        if seen.header("authorization") != format!("Bearer {}", self.token) {
            return refuse(401, "invalid token");
        }
        match self.store(&package_of(seen), body) {
            Ok(()) => reply_as(201, "application/json", r#"{"ok":true,"success":true}"#),
            Err((status, message)) => refuse(status, &message),
        }
    }

    fn read(&self, seen: &Seen) -> http::Response<Body> {
        let demanded = self.read_token.lock().unwrap().clone();
        if demanded.is_some_and(|token| seen.header("authorization") != format!("Bearer {token}")) {
            return refuse(401, "a token is needed to read");
        }
        if let Some((name, file)) = package_of(seen).split_once("/-/") {
            let packages = self.packages.lock().unwrap();
            let found = packages.get(name).and_then(|package| {
                let version = file.strip_prefix(&format!("{name}-"))?.strip_suffix(".tgz")?;
                package.tarballs.get(version)
            });
            return found.map_or_else(|| refuse(404, "not found"), |bytes| reply_bytes(200, bytes));
        }
        let name = package_of(seen);
        let packument = match &*self.stale.lock().unwrap() {
            Some(stale) => stale.get(&name).cloned(),
            None => self.packages.lock().unwrap().get(&name).map(|held| held.packument.clone()),
        };
        match packument {
            None => refuse(404, "not found"),
            Some(packument) => {
                let mut response = reply_as(200, "application/json", &packument.to_string());
                let headers = response.headers_mut();
                headers.insert("etag", "\"one\"".parse().unwrap());
                headers.insert("set-cookie", "session=1".parse().unwrap());
                headers.insert("npm-notice", "not for us".parse().unwrap());
                response
            }
        }
    }
}
