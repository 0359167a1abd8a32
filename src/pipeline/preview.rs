//! Preview: one sealed release as a registry of its own, so that a reviewer can install it.
//!
//! Whoever has the address sees the files, so it holds a secret of 256 bits, lives for an hour, shows
//! one release and nothing else, and can be ended at any time. It changes nothing about the release.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::blobs::{BlobReader, Blobs};
use crate::domain::artifact::Facts;
use crate::domain::digest::Sha256;
use crate::domain::document::npm_manifest;
use crate::domain::ids::{PersonId, PreviewId, ReleaseId};
use crate::domain::package::{Ecosystem, PackageName, excerpt};
use crate::domain::release::State;
use crate::entropy;
use crate::pipeline::approval::existing;
use crate::pipeline::people::token_hash;
use crate::pipeline::{Fault, Kind, Result, refuse, transaction};
use crate::store::Store;
use crate::store::previews::NewPreview;
use crate::store::releases::{ArtifactRecord, ReleaseRecord};

pub use crate::store::previews::PreviewRecord;

/// Life of a preview: long enough to try a release, too short to become a registry.
const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Most previews of one release at a time; one for each machine somebody tries it on.
const OPEN_MAX: usize = 5;

/// A preview just made. Its secret is nowhere else.
#[derive(Debug)]
pub struct Made {
    /// The secret in its address.
    pub token: SecretString,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Whether a release in this state gets previews: it is sealed, and nothing was decided for good.
pub const fn may_make(state: State) -> bool {
    state.waits()
}

/// Whether a preview still shows a release in this state: not one that was refused or replaced.
const fn may_show(state: State) -> bool {
    match state {
        State::Awaiting
        | State::Approved
        | State::Forwarding
        | State::Confirming
        | State::Published
        | State::Partial => true,
        State::Open | State::Rejected | State::Expired | State::Superseded | State::Failed => false,
    }
}

/// Makes a preview of a release that waits for people or for its turn.
pub async fn make(store: &Store, release: ReleaseId, by: PersonId, now: Timestamp) -> Result<Made> {
    transaction(store, move |tx| {
        Box::pin(async move {
            // The lock also has two that make one at once count each other.
            let record = existing(tx.release_locked(release).await?)?;
            if !may_make(record.state) {
                let message = "only a release that waits for people or for its turn has previews";
                return refuse(Kind::Conflict, message);
            }
            if tx.previews_of(release, now).await?.len() >= OPEN_MAX {
                let message =
                    format!("this release has {OPEN_MAX} previews, end one of them first");
                return refuse(Kind::TooMany, message);
            }
            let token = entropy::token()?;
            let expires_at = now + LIFE;
            let preview = NewPreview {
                id: entropy::id(now)?,
                token_hash: token_hash(&token),
                release,
                made_by: by,
                expires_at,
            };
            tx.insert_preview(&preview, now).await?;
            Ok(Made { token, expires_at })
        })
    })
    .await
}

/// Ends a preview. Whoever signs releases may end anybody's.
pub async fn end(store: &Store, release: ReleaseId, preview: PreviewId) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            if tx.remove_preview(release, preview).await? {
                return Ok(());
            }
            refuse(Kind::NotFound, "this preview has ended already")
        })
    })
    .await
}

/// The previews of a release that have not ended.
pub async fn open_previews(
    store: &Store,
    release: ReleaseId,
    now: Timestamp,
) -> Result<Vec<PreviewRecord>> {
    Ok(store.snapshot().await?.previews_of(release, now).await?)
}

/// What one preview shows: a sealed release, with the files that its manifest names.
#[derive(Debug)]
pub struct Previewed {
    /// The release.
    pub record: ReleaseRecord,
    /// Its files.
    pub artifacts: Vec<ArtifactRecord>,
}

/// What the secret of an address shows.
pub async fn open(store: &Store, token: &str, now: Timestamp) -> Result<Previewed> {
    const OVER: &str = "this preview has ended or never was, make a new one on the release's page";
    let mut tx = store.snapshot().await?;
    let Some(preview) = tx.preview_by_token(&Sha256::of(token.as_bytes()), now).await? else {
        return refuse(Kind::NotFound, OVER);
    };
    let Some(record) = tx.release(preview.release).await?.filter(|it| may_show(it.state)) else {
        return refuse(Kind::NotFound, OVER);
    };
    let mut artifacts = tx.artifacts(record.id).await?;
    let sealed = record.seal.as_ref().map(|seal| &seal.manifest.manifest().files);
    artifacts.retain(|artifact| {
        sealed
            .into_iter()
            .flatten()
            .any(|file| file.name == artifact.filename && file.sha256 == artifact.digests.sha256)
    });
    Ok(Previewed { record, artifacts })
}

impl Previewed {
    /// The name of the package it shows; every other one is refused.
    fn only(&self, ecosystem: Ecosystem, text: &str) -> Result<PackageName> {
        let own = PackageName::parse(self.record.ecosystem, &self.record.package_name).ok();
        if let Ok(asked) = PackageName::parse(ecosystem, text)
            && own.as_ref() == Some(&asked)
        {
            return Ok(asked);
        }
        refuse(
            Kind::NotFound,
            format!(
                "this preview has {} {} and nothing else, received `{}`; other packages come from \
                 your own registry",
                self.record.package_name,
                self.record.version,
                excerpt(text)
            ),
        )
    }

    /// npm's packument with the one version; its file is below `base`, which ends in `/`.
    pub fn packument(&self, name: &str, base: &Url) -> Result<Value> {
        self.only(Ecosystem::Npm, name)?;
        let [artifact] = self.artifacts.as_slice() else { return self.nothing() };
        let Facts::Npm(facts) = &artifact.facts else { return self.nothing() };
        let mut manifest = npm_manifest(facts, &artifact.digests, base, None)
            .map_err(|error| Fault::new("describing a previewed version", error))?;
        if let Some(dist) = manifest.get_mut("dist") {
            dist["tarball"] = json!(format!("{base}files/{}", artifact.filename));
        }
        let version = &self.record.version;
        let mut tags = json!({ "latest": version });
        if let Some(tag) = &self.record.dist_tag {
            tags[tag] = json!(version);
        }
        Ok(json!({ "name": facts.name, "dist-tags": tags, "versions": { version: manifest } }))
    }

    /// The page of the project in a simple index (PEP 691); files are two levels up.
    pub fn simple_page(&self, project: &str) -> Result<Value> {
        let name = self.only(Ecosystem::Pypi, project)?;
        let file = |artifact: &ArtifactRecord| {
            let requires = match &artifact.facts {
                Facts::Pypi(facts) => facts.value("Requires-Python"),
                Facts::Npm(_) => None,
            };
            json!({
                "filename": artifact.filename,
                "url": format!("../../files/{}", artifact.filename),
                "hashes": { "sha256": artifact.digests.sha256 },
                "size": artifact.size_bytes,
                "requires-python": requires,
                "yanked": false,
            })
        };
        let files: Vec<_> = self.artifacts.iter().map(file).collect();
        Ok(json!({
            "meta": { "api-version": "1.1" },
            "name": name.normalized(),
            "versions": [self.record.version],
            "files": files,
        }))
    }

    /// One of its files, verified while it is read.
    pub async fn file(
        &self,
        blobs: &Blobs,
        filename: &str,
    ) -> Result<(&ArtifactRecord, BlobReader)> {
        let Some(artifact) = self.artifacts.iter().find(|it| it.filename == filename) else {
            return self.nothing();
        };
        let reader = blobs.open_blob(artifact.digests.sha256).await;
        let reader = reader.map_err(|error| Fault::new("opening a held file", error))?;
        Ok((artifact, reader))
    }

    fn nothing<T>(&self) -> Result<T> {
        let ReleaseRecord { package_name, version, .. } = &self.record;
        refuse(Kind::NotFound, format!("no such file in the preview of {package_name} {version}"))
    }
}
