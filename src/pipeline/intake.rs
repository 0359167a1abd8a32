//! Intake: bytes stream in, are hashed and held, read by strict readers, compared with what the
//! client claimed, and only then kept and staged.
//!
//! No artifact is ever in memory (D12). Until the last check passed the bytes have no name in the
//! blob store, so a refused upload leaves nothing.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;

use crate::blobs::{BlobFault, BlobWriter, Blobs, HeldBlob, Wanted};
use crate::domain::artifact::{ArtifactKind, Digests, Facts, Filename, NpmFacts};
use crate::domain::digest::{Blake2b256, Md5, Sha256};
use crate::domain::document::{File, NpmParts, PublishDocument};
use crate::domain::manifest::Access;
use crate::domain::package::{Ecosystem, PackageName, Version, excerpt};
use crate::inspect::envelope::{EnvelopeRefusal, NpmPublish, Splitter};
use crate::inspect::{self, Comparison, Failure};
use crate::pipeline::provenance::{NPM_BUNDLE, PEP740_LIST};
use crate::pipeline::staging::{
    Candidate, Difference, NpmTarget, Quiet, Staged, Stager, check, stage,
};
use crate::pipeline::{Error, Fault, Kind, Refusal, Result, refuse};
use crate::store::Store;
use crate::store::setup::StoredPackage;

/// Longest text field of PyPI's form in bytes; `description` and `attestations` may be
/// [`LONG_FIELD_MAX`] (Q9).
pub const FIELD_MAX: usize = 64 * 1024;
/// Longest `description` or `attestations` in bytes (Q9).
pub const LONG_FIELD_MAX: usize = 1024 * 1024;
/// Most bytes of all text fields of one form (2.9), beside the two long ones.
const FIELDS_TOTAL_MAX: usize = 3 * LONG_FIELD_MAX;
/// Most parts of one form (2.9): a package with hundreds of classifiers and dependencies fits.
const PARTS_MAX: usize = 2_000;

/// The handles and bounds of the intake.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The database.
    pub store: Store,
    /// The artifacts.
    pub blobs: Blobs,
    /// Bounds of the readers, the tarball's size among them.
    pub limits: inspect::Limits,
    /// Largest Python file in bytes.
    pub pypi_file_bytes: u64,
    /// Most files of one release.
    pub release_files: u32,
    /// How long an open release waits for further files.
    pub quiet: Quiet,
    /// Our own origin; `publishConfig.registry` may point here and nowhere else.
    pub origin: String,
}

/// Who uploads what, as far as the session and the address say.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Who.
    pub stager: Stager,
    /// The packages the session may stage.
    pub packages: Vec<StoredPackage>,
}

impl Upload {
    /// The registered package of this name, if the session may stage it.
    fn package(&self, name: &PackageName) -> Result<&StoredPackage> {
        self.packages.iter().find(|package| package.name == *name).ok_or_else(|| {
            let known: Vec<&str> = self.packages.iter().map(|p| p.name.as_str()).collect();
            let message = format!(
                "expected a package this publisher may stage ({}), received `{name}`",
                known.join(", ")
            );
            Refusal::new(Kind::NotTrusted, message).into()
        })
    }
}

/// A stream of body bytes that can break.
pub trait Body: Stream<Item = std::result::Result<Bytes, Self::Broken>> + Unpin + Send {
    /// How it breaks.
    type Broken: std::error::Error + Send + Sync + 'static;
}

impl<S, E> Body for S
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin + Send,
    E: std::error::Error + Send + Sync + 'static,
{
    type Broken = E;
}

/// Takes one npm publish document and stages its tarball.
pub async fn npm(
    intake: &Intake,
    upload: &Upload,
    url_name: &PackageName,
    mut body: impl Body,
    now: Timestamp,
) -> Result<Staged> {
    let package = upload.package(url_name)?;
    let (publish, held) = receive_npm(intake, &mut body).await?;
    if publish.name != *url_name {
        return refuse(
            Kind::BadInput,
            format!(
                "expected the document's name to be that of the URL, `{url_name}`, received `{}`",
                publish.name
            ),
        );
    }
    publish.check_digests(held.digests()).map_err(envelope)?;
    let facts = read_held(&held, &intake.limits, inspect::npm::read).await?;
    let comparison = inspect::npm::compare::compare_manifest(&publish.manifest, &facts);
    refuse_differences(&comparison)?;
    let differences = npm_rules(intake, package, &publish, &facts)?
        .into_iter()
        .chain(comparison.shown.into_iter().map(shown))
        .collect();
    let target =
        NpmTarget { dist_tag: publish.dist_tag.clone(), access: publish.access.or(package.access) };
    let filename = format!("{}-{}.tgz", publish.name.npm_bare(), publish.version);
    let facts = Facts::Npm(facts);
    let document_sha256 =
        document_digest(intake, upload, package, (&filename, &facts, &held), Some(&target)).await?;
    let attachments = publish
        .provenance
        .map(|provenance| (NPM_BUNDLE.to_owned(), provenance.text.into_bytes()))
        .into_iter()
        .collect();
    let candidate = Candidate {
        filename,
        kind: ArtifactKind::NpmTarball,
        version: publish.version,
        size_bytes: held.size(),
        digests: held.digests().clone(),
        facts,
        differences,
        document_sha256,
        npm: Some(target),
        attachments,
    };
    keep_and_stage(intake, upload, package, held, candidate, now).await
}

async fn receive_npm(intake: &Intake, body: &mut impl Body) -> Result<(NpmPublish, HeldBlob)> {
    let mut splitter = Splitter::new(&intake.limits);
    let mut writer = intake.blobs.writer(Wanted::NPM).map_err(blob)?;
    let mut decoded = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(broken)?;
        splitter.push(&chunk, &mut decoded).map_err(envelope)?;
        writer.push(&decoded).await.map_err(blob)?;
        decoded.clear();
    }
    let publish =
        splitter.finish().and_then(inspect::envelope::Envelope::check).map_err(envelope)?;
    let held = writer.hold().await.map_err(blob)?;
    Ok((publish, held))
}

/// The rules that need both the claim and our configuration (N5, N6); what people should see.
fn npm_rules(
    intake: &Intake,
    package: &StoredPackage,
    publish: &NpmPublish,
    facts: &NpmFacts,
) -> Result<Vec<Difference>> {
    let config = facts.package_json.get("publishConfig").and_then(serde_json::Value::as_object);
    let configured =
        |key: &str| config.and_then(|config| config.get(key)).and_then(serde_json::Value::as_str);
    if let Some(registry) = configured("registry") {
        let ours = url::Url::parse(registry).ok().map(|url| url.origin().ascii_serialization());
        if ours.as_deref() != Some(intake.origin.as_str()) {
            return refuse(
                Kind::BadArtifact,
                format!(
                    "expected no `publishConfig.registry` other than `{}`, received `{}`",
                    intake.origin,
                    excerpt(registry)
                ),
            );
        }
    }
    let wanted = package.access.map(Access::as_str);
    for asked in [configured("access"), publish.access.map(Access::as_str)].into_iter().flatten() {
        if wanted.is_some_and(|wanted| wanted != asked) {
            return refuse(
                Kind::BadArtifact,
                format!(
                    "expected access `{}` as configured for this package, received `{asked}`",
                    wanted.unwrap_or_default()
                ),
            );
        }
    }
    if let Some(tag) = configured("tag").filter(|tag| *tag != publish.dist_tag) {
        return refuse(
            Kind::BadArtifact,
            format!(
                "expected the dist-tag `{}` of `publishConfig`, received `{}`",
                excerpt(tag),
                publish.dist_tag
            ),
        );
    }
    let mut differences = Vec::new();
    if publish.dist_tag == "latest" && publish.version.is_prerelease() {
        differences.push(Difference {
            field: "dist-tag".to_owned(),
            claimed: "latest".to_owned(),
            embedded: format!("{} is a prerelease", publish.version),
        });
    }
    Ok(differences)
}

/// A PyPI upload form on its way in: text fields and one file, in any order.
#[derive(Debug)]
pub struct PypiForm<'a> {
    intake: &'a Intake,
    fields: Vec<(String, String)>,
    bytes: usize,
    content: Option<(String, HeldBlob)>,
}

impl<'a> PypiForm<'a> {
    /// An empty form.
    pub const fn new(intake: &'a Intake) -> Self {
        Self { intake, fields: Vec::new(), bytes: 0, content: None }
    }

    /// The most bytes that a field of this name may have.
    pub fn field_limit(name: &str) -> usize {
        match name {
            "description" | "attestations" => LONG_FIELD_MAX,
            _ => FIELD_MAX,
        }
    }

    /// Takes one text field.
    pub fn field(&mut self, name: String, value: String) -> Result<()> {
        if name.len() > 128 || value.len() > Self::field_limit(&name) {
            return refuse(
                Kind::TooLarge,
                format!(
                    "expected a form field of at most {} bytes, received `{}`",
                    Self::field_limit(&name),
                    excerpt(&name)
                ),
            );
        }
        self.bytes += name.len() + value.len();
        if self.fields.len() >= PARTS_MAX || self.bytes > FIELDS_TOTAL_MAX {
            return refuse(
                Kind::TooLarge,
                format!(
                    "expected at most {PARTS_MAX} form fields of {FIELDS_TOTAL_MAX} bytes in all"
                ),
            );
        }
        // PyPI drops fields whose value is exactly this (wire.md 1.2).
        if value != "UNKNOWN" {
            self.fields.push((name, value));
        }
        Ok(())
    }

    /// Takes the file.
    pub async fn content(&mut self, filename: &str, mut body: impl Body) -> Result<()> {
        if self.content.is_some() {
            return refuse(Kind::BadInput, "expected one `content`, received a second one");
        }
        let named = |digest: &str| self.fields.iter().any(|(name, _)| name == digest);
        // Digest fields may come after the file; then nobody knows yet which will be asked for.
        let unknown = !named("sha256_digest");
        let wanted = Wanted {
            md5: unknown || named("md5_digest"),
            blake2b256: unknown || named("blake2_256_digest"),
            ..Wanted::default()
        };
        let mut writer = self.intake.blobs.writer(wanted).map_err(blob)?;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(broken)?;
            self.within(&writer, chunk.len())?;
            writer.push(&chunk).await.map_err(blob)?;
        }
        self.content = Some((filename.to_owned(), writer.hold().await.map_err(blob)?));
        Ok(())
    }

    fn within(&self, writer: &BlobWriter, more: usize) -> Result<()> {
        let max = self.intake.pypi_file_bytes;
        if writer.size() + more as u64 > max {
            return refuse(Kind::TooLarge, format!("expected a file of at most {max} bytes"));
        }
        Ok(())
    }

    /// A field that may come once.
    fn single(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        let first = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return refuse(
                Kind::BadInput,
                format!("expected one form field `{name}`, received a second one"),
            );
        }
        Ok(first)
    }

    /// Checks the whole form and stages its file.
    pub async fn finish(mut self, upload: &Upload, now: Timestamp) -> Result<Staged> {
        let Some((filename, held)) = self.content.take() else {
            return refuse(Kind::BadInput, "expected a file in `content`, received none");
        };
        self.check_protocol()?;
        let filename = Filename::parse(&filename)
            .map_err(|error| Refusal::new(Kind::BadArtifact, error.to_string()))?;
        let claimed = self.single("name")?.unwrap_or_default();
        let name = PackageName::parse(Ecosystem::Pypi, claimed)
            .map_err(|error| Refusal::new(Kind::BadInput, error.to_string()))?;
        let package = upload.package(&name)?;
        self.check_digests(held.digests())?;
        let facts = read_pypi(&held, &filename, &self.intake.limits).await?;
        let comparison = inspect::pypi::form::compare_form(&self.fields, &facts);
        refuse_differences(&comparison)?;
        let version = Version::parse(Ecosystem::Pypi, &facts.version)
            .map_err(|error| Refusal::new(Kind::BadArtifact, error.to_string()))?;
        let facts = Facts::Pypi(facts);
        let named = (filename.as_str(), &facts, &held);
        let document_sha256 = document_digest(self.intake, upload, package, named, None).await?;
        let candidate = Candidate {
            filename: filename.as_str().to_owned(),
            kind: filename.kind(),
            version,
            size_bytes: held.size(),
            digests: held.digests().clone(),
            facts,
            differences: comparison.shown.into_iter().map(shown).collect(),
            document_sha256,
            npm: None,
            attachments: self
                .single("attestations")?
                .map(|text| (PEP740_LIST.to_owned(), text.as_bytes().to_vec()))
                .into_iter()
                .collect(),
        };
        keep_and_stage(self.intake, upload, package, held, candidate, now).await
    }

    fn check_protocol(&self) -> Result<()> {
        for (field, expected) in [(":action", "file_upload"), ("protocol_version", "1")] {
            let received = self.single(field)?.unwrap_or_default();
            if received != expected {
                return refuse(
                    Kind::BadInput,
                    format!(
                        "expected `{field}` to be `{expected}`, received `{}`",
                        excerpt(received)
                    ),
                );
            }
        }
        for once in ["version", "filetype", "pyversion", "metadata_version"] {
            self.single(once)?;
        }
        Ok(())
    }

    /// Every digest that was sent must match; at least one must be sent (wire.md 1.2).
    fn check_digests(&self, computed: &Digests) -> Result<()> {
        let refused = |field: &str, received: &str| {
            let message = format!(
                "expected `{field}` to be the digest of the file, received `{}`",
                excerpt(received)
            );
            refuse(Kind::BadInput, message)
        };
        let (sha256, md5, blake2) = (
            self.single("sha256_digest")?,
            self.single("md5_digest")?,
            self.single("blake2_256_digest")?,
        );
        if sha256.is_none() && md5.is_none() && blake2.is_none() {
            return refuse(
                Kind::BadInput,
                "expected `sha256_digest`, `blake2_256_digest` or `md5_digest`, received none",
            );
        }
        if let Some(text) = sha256.filter(|text| Sha256::parse_hex(text) != Ok(computed.sha256)) {
            return refused("sha256_digest", text);
        }
        if let Some(text) = md5.filter(|text| Md5::parse_hex(text).ok() != computed.md5) {
            return refused("md5_digest", text);
        }
        let other = |text: &&str| Blake2b256::parse_hex(text).ok() != computed.blake2b256;
        if let Some(text) = blake2.filter(other) {
            return refused("blake2_256_digest", text);
        }
        Ok(())
    }
}

async fn read_pypi(
    held: &HeldBlob,
    filename: &Filename,
    limits: &inspect::Limits,
) -> Result<crate::domain::artifact::PypiFacts> {
    let filename = filename.clone();
    read_held(held, limits, move |file, limits| match filename.kind() {
        ArtifactKind::Wheel => inspect::pypi::wheel::read_wheel(file, &filename, limits),
        ArtifactKind::Sdist | ArtifactKind::NpmTarball => {
            inspect::pypi::sdist::read_sdist(file, &filename, limits)
        }
    })
    .await
}

/// Runs a strict reader over held bytes, off the threads that serve requests.
async fn read_held<T: Send + 'static>(
    held: &HeldBlob,
    limits: &inspect::Limits,
    read: impl FnOnce(std::fs::File, &inspect::Limits) -> std::result::Result<T, Failure>
    + Send
    + 'static,
) -> Result<T> {
    let limits = limits.clone();
    held.read(move |file| read(file, &limits)).await.map_err(blob)?.map_err(|failure| match failure
    {
        Failure::Refused(refusal) => {
            Error::Refused(Refusal::new(Kind::BadArtifact, refusal.to_string()))
        }
        Failure::Fault(error) => Fault::new("reading an artifact", error).into(),
    })
}

/// The digest of the document that will be sent with this file, from the file's own facts (A13).
async fn document_digest(
    intake: &Intake,
    upload: &Upload,
    package: &StoredPackage,
    (filename, facts, held): (&str, &Facts, &HeldBlob),
    npm: Option<&NpmTarget>,
) -> Result<Sha256> {
    let upstream =
        intake.store.snapshot().await?.upstream(package.upstream).await?.ok_or_else(|| {
            Fault::new("building a publish document", "the package has no upstream")
        })?;
    let file = File { filename, size: held.size(), digests: held.digests(), facts };
    let npm = npm.map(|npm| NpmParts {
        dist_tag: &npm.dist_tag,
        access: npm.access,
        git_head: upload.stager.claims.commit(),
    });
    let document = PublishDocument::build(upstream.upstream.url(), file, npm)
        .map_err(|error| Fault::new("building a publish document", error))?;
    Ok(document.digest(&held.digests().sha256))
}

async fn keep_and_stage(
    intake: &Intake,
    upload: &Upload,
    package: &StoredPackage,
    held: HeldBlob,
    candidate: Candidate,
    now: Timestamp,
) -> Result<Staged> {
    check(&intake.store, package, &upload.stager, &candidate, intake.release_files).await?;
    // If we stop after this line, a whole blob lies in the store that nothing names; the client's
    // next try finds it.
    held.keep().await.map_err(blob)?;
    let bounds = (intake.quiet, intake.release_files);
    stage(&intake.store, package, &upload.stager, candidate, bounds, now).await
}

/// Differences in identity, dependencies or code that runs are refused (Q3).
fn refuse_differences(comparison: &Comparison) -> Result<()> {
    let Some(first) = comparison.refused.first() else { return Ok(()) };
    let nothing = || "nothing".to_owned();
    refuse(
        Kind::BadArtifact,
        format!(
            "expected `{}` to be what the file says ({}), received `{}`",
            first.field,
            first.embedded.clone().unwrap_or_else(nothing),
            first.claimed.clone().unwrap_or_else(nothing)
        ),
    )
}

fn shown(difference: inspect::Difference) -> Difference {
    Difference {
        field: difference.field,
        claimed: difference.claimed.unwrap_or_default(),
        embedded: difference.embedded.unwrap_or_default(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn envelope(refusal: EnvelopeRefusal) -> Error {
    let kind = if refusal.is_too_large() { Kind::TooLarge } else { Kind::BadInput };
    Refusal::new(kind, refusal.to_string()).into()
}

fn broken(error: impl std::error::Error) -> Error {
    Refusal::new(Kind::BadInput, format!("the upload broke off: {error}")).into()
}

fn blob(error: BlobFault) -> Error {
    Fault::new("storing an artifact", error).into()
}
