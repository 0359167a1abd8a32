//! The gateway as a client sees it: exchange, upload, and the API's part for CI.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::SubmitError;
use super::file::Built;
use super::token::TokenSource;
use crate::domain::artifact::Facts;
use crate::domain::causes::with_causes;
use crate::domain::document::{self, NpmParts, PublishDocument};
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::upstream::{Outcome, Upstream, UpstreamFields};
use crate::entropy;
use crate::upstream::{Client, Sending, Settings};

/// Longest answer read, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;
/// Longest wait for an answer that is no upload.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// Tries of one upload; the gateway takes the same bytes again as success.
const TRIES: u32 = 4;

/// A release as the API answers.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Release {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) state: String,
    pub(super) review_url: String,
    pub(super) check_words: Option<Vec<String>>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize)]
struct ReleaseList {
    releases: Vec<Release>,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
}

#[derive(Deserialize)]
struct Audience {
    audience: String,
}

/// One gateway and what it gave us.
#[derive(Debug)]
pub(super) struct Gateway {
    base: Url,
    source: TokenSource,
    client: reqwest::Client,
    uploads: Client,
    npm: Upstream,
    pypi: Upstream,
    /// Upload tokens by npm package; the empty name is PyPI's.
    tokens: BTreeMap<String, SecretString>,
}

impl Gateway {
    pub(super) fn new(
        url: &Url,
        ca: Option<Vec<u8>>,
        source: TokenSource,
        now: Timestamp,
    ) -> Result<Self, SubmitError> {
        let usage = |error: &dyn std::fmt::Display| SubmitError::Usage(error.to_string());
        let mut base = url.clone();
        base.set_path("/");
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("countersign-submit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN);
        if let Some(pem) = &ca {
            let roots = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|_| SubmitError::Usage("expected PEM certificates in `--ca`".into()))?;
            builder = builder.tls_certs_merge(roots);
        }
        let settings = Settings { extra_roots: ca.into_iter().collect(), ..Settings::default() };
        let uploads = Client::new(settings).map_err(|error| usage(&error))?;
        let client = builder.build().map_err(|error| usage(&error))?;
        let target = |kind, path: &str, simple: Option<&str>| {
            let join = |path: &str| base.join(path).map_err(|error| usage(&error));
            let (url, simple) = (join(path)?, simple.map(join).transpose()?);
            Upstream::parse(UpstreamFields {
                id: entropy::id(now).map_err(|error| usage(&error))?,
                name: "the gateway",
                kind,
                url: url.as_str(),
                simple_url: simple.as_ref().map(Url::as_str),
                files_url: None,
                allow_private: true,
            })
            .map_err(|error| usage(&error))
        };
        let npm = target(Ecosystem::Npm, "npm/", None)?;
        let pypi = target(Ecosystem::Pypi, "pypi/legacy/", Some("pypi/simple/"))?;
        Ok(Self { base, source, client, uploads, npm, pypi, tokens: BTreeMap::new() })
    }

    fn at(&self, path: &str) -> Result<Url, SubmitError> {
        self.base.join(path).map_err(|error| SubmitError::Usage(error.to_string()))
    }

    /// The upload token for a package, exchanged when there is none yet.
    async fn token(&mut self, package: &PackageName) -> Result<SecretString, SubmitError> {
        let key = scope(package);
        if let Some(token) = self.tokens.get(&key) {
            return Ok(token.clone());
        }
        let request = self.client.get(self.at("/_/oidc/audience")?);
        let Audience { audience } = accepted(request).await?;
        let ci_token = self.source.get(&self.client, &audience).await?;
        let request = match package.ecosystem() {
            Ecosystem::Pypi => {
                let body = serde_json::json!({ "token": ci_token.expose_secret() }).to_string();
                let request = self.client.post(self.at("/_/oidc/mint-token")?);
                request.header("content-type", "application/json").body(body)
            }
            Ecosystem::Npm => {
                let path =
                    format!("/-/npm/v1/oidc/token/exchange/package/{}", package.npm_escaped());
                self.client.post(self.at(&path)?).bearer_auth(ci_token.expose_secret())
            }
        };
        let minted: Minted = accepted(request).await?;
        let token = SecretString::from(minted.token);
        self.tokens.insert(key, token.clone());
        Ok(token)
    }

    /// Sends one file with a document built from the file itself.
    pub(super) async fn upload(
        &mut self,
        built: &Built,
        tag: Option<&str>,
    ) -> Result<(), SubmitError> {
        let credential = self.token(&built.package).await?;
        let upstream = match built.package.ecosystem() {
            Ecosystem::Npm => &self.npm,
            Ecosystem::Pypi => &self.pypi,
        };
        let document = document(upstream, built, tag)?;
        let mut tries = 1;
        loop {
            let sending = Sending {
                upstream,
                credential: &credential,
                username: "__token__",
                document: &document,
                source: Box::new(BufReader::new(built.open()?)),
                size: built.size,
                sha256: built.digests.sha256,
                progress: None,
                until: None,
            };
            let sent = self.uploads.send(&built.package, sending).await;
            match sent.map_err(|error| SubmitError::Other(error.to_string()))? {
                Outcome::Published { .. } => return Ok(()),
                Outcome::AlreadyThere => {
                    let message = format!("it holds another `{}`", built.filename);
                    return Err(SubmitError::Refused(message));
                }
                Outcome::Refused { message, status: Some(_), .. } => {
                    return Err(SubmitError::Refused(message));
                }
                Outcome::Refused { message, .. } => return Err(SubmitError::Other(message)),
                Outcome::Retry { message, .. } | Outcome::Unknown { message } if tries >= TRIES => {
                    return Err(SubmitError::Other(message));
                }
                Outcome::Retry { after, .. } => {
                    let pause = after.unwrap_or_default().min(ANSWER_WITHIN);
                    tokio::time::sleep(pause.max(Duration::from_secs(1))).await;
                }
                // The same bytes again are no second release (D13).
                Outcome::Unknown { .. } => tokio::time::sleep(Duration::from_secs(1)).await,
            }
            tries += 1;
        }
    }

    /// The newest release of a version that this publisher staged.
    pub(super) async fn current(
        &mut self,
        package: &PackageName,
        version: &str,
    ) -> Result<Release, SubmitError> {
        let found = self.list(package, version).await?.into_iter().next();
        found.ok_or_else(|| {
            SubmitError::Other(format!("the gateway does not show {package} {version}"))
        })
    }

    /// The same release as it is now.
    pub(super) async fn look(
        &mut self,
        package: &PackageName,
        release: &Release,
    ) -> Result<Release, SubmitError> {
        let found = self.list(package, &release.version).await?;
        found
            .into_iter()
            .find(|one| one.id == release.id)
            .ok_or_else(|| SubmitError::Other("the gateway does not show the release".into()))
    }

    async fn list(
        &mut self,
        package: &PackageName,
        version: &str,
    ) -> Result<Vec<Release>, SubmitError> {
        let mut url = self.at("/api/v1/ci/releases")?;
        let name = format!("{}:{package}", package.ecosystem().as_str());
        url.query_pairs_mut().append_pair("package", &name).append_pair("version", version);
        let list: ReleaseList = self.call(Method::GET, url, package).await?;
        Ok(list.releases)
    }

    /// Says that a release is complete.
    pub(super) async fn seal(
        &mut self,
        package: &PackageName,
        release: &Release,
    ) -> Result<Release, SubmitError> {
        let url = self.at(&format!("/api/v1/ci/releases/{}/seal", release.id))?;
        self.call(Method::POST, url, package).await
    }

    /// Calls the API. Waiting for people outlives an upload token, so an ended one is exchanged
    /// anew, once.
    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        url: Url,
        package: &PackageName,
    ) -> Result<T, SubmitError> {
        let token = self.token(package).await?;
        let request = |token: &SecretString| {
            self.client.request(method.clone(), url.clone()).bearer_auth(token.expose_secret())
        };
        let answer = request(&token).send().await.map_err(|error| unreachable(&error))?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return checked(answer).await;
        }
        self.tokens.remove(&scope(package));
        let token = self.token(package).await?;
        let request = self.client.request(method, url).bearer_auth(token.expose_secret());
        accepted(request).await
    }
}

fn scope(package: &PackageName) -> String {
    match package.ecosystem() {
        Ecosystem::Npm => package.normalized().to_owned(),
        Ecosystem::Pypi => String::new(),
    }
}

fn document(
    upstream: &Upstream,
    built: &Built,
    tag: Option<&str>,
) -> Result<PublishDocument, SubmitError> {
    let npm = match &built.facts {
        Facts::Npm(facts) => {
            let config = facts.package_json.get("publishConfig");
            let configured = config.and_then(|config| config.get("tag")?.as_str());
            let dist_tag = tag.or(configured).unwrap_or("latest");
            Some(NpmParts { dist_tag, access: None, git_head: None })
        }
        Facts::Pypi(_) => None,
    };
    let file = document::File {
        filename: &built.filename,
        size: built.size,
        digests: &built.digests,
        facts: &built.facts,
    };
    PublishDocument::build(upstream.url(), file, npm)
        .map_err(|error| SubmitError::Other(error.to_string()))
}

/// Sends a request and reads the JSON of a success.
async fn accepted<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, SubmitError> {
    checked(request.send().await.map_err(|error| unreachable(&error))?).await
}

async fn checked<T: DeserializeOwned>(answer: reqwest::Response) -> Result<T, SubmitError> {
    let status = answer.status();
    if status.is_success() {
        return json(answer).await;
    }
    let message = said(&bytes(answer).await?).unwrap_or_else(|| status.to_string());
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        return Err(SubmitError::Refused(message));
    }
    Err(SubmitError::Other(message))
}

/// The sentence of a refusal in any of the gateway's three forms.
fn said(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = body["detail"]
        .as_str()
        .or_else(|| body["errors"][0]["description"].as_str())
        .or_else(|| body["message"].as_str())
        .or_else(|| body["error"].as_str())?;
    Some(text.to_owned())
}

/// Reads a JSON answer.
pub(super) async fn json<T: DeserializeOwned>(answer: reqwest::Response) -> Result<T, SubmitError> {
    serde_json::from_slice(&bytes(answer).await?)
        .map_err(|error| SubmitError::Other(format!("the answer cannot be read: {error}")))
}

async fn bytes(mut answer: reqwest::Response) -> Result<Vec<u8>, SubmitError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(SubmitError::Other("the answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No connection, or it broke. The address is left out: it can hold a token.
pub(super) fn unreachable(error: &reqwest::Error) -> SubmitError {
    let cause = std::error::Error::source(error).map(with_causes);
    SubmitError::Other(
        cause.map_or_else(|| "no answer".to_owned(), |cause| format!("no answer: {cause}")),
    )
}
