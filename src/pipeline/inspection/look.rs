//! Looking: every artifact beside its baseline, the sdist beside the wheels, provenance, and the
//! source repository. Whatever goes wrong with one of them is a finding or a sentence of the report.

use std::collections::BTreeMap;

use crate::domain::artifact::ArtifactKind;
use crate::domain::digest::Sha256;
use crate::domain::package::{PackageName, Version};
use crate::domain::review::binding::{self, ArtifactFile, Summary};
use crate::domain::review::checks::{files_of_release, inspection};
use crate::domain::review::compared::Compared;
use crate::domain::review::finding::Finding;
use crate::domain::review::provenance::Before;
use crate::domain::review::report::{Against, Found, Gathered, Report, ReportedArtifact};
use crate::domain::review::survey::place;
use crate::inspect::request::{Artifact, Pair, Standing};
use crate::pipeline::baseline::{self, Baseline, BaselineFile, Beside};
use crate::pipeline::inspection::{Inspecting, Subject, TRIES_MAX};
use crate::pipeline::review::claims;
use crate::pipeline::{Fault, Result, binding as source, provenance};
use crate::store::inspections::DueInspection;
use crate::store::releases::ArtifactRecord;

/// What looking came to.
pub(super) enum Looked {
    /// The baseline may be readable in a moment.
    Later,
    /// A report, and what it rests on of the source repository.
    Done(Box<Report>, Option<String>),
}

/// One look at a release, while it goes on.
struct Look<'a> {
    at: Inspecting<'a>,
    subject: &'a Subject,
    baseline: Baseline,
    /// The version most people get.
    newest: Option<String>,
    /// What was read, by the name of the artifact.
    compared: BTreeMap<&'a str, Compared>,
    gathered: Gathered,
}

/// Looks at everything.
pub(super) async fn look(
    at: Inspecting<'_>,
    subject: &Subject,
    due: DueInspection,
    now: jiff::Timestamp,
) -> Result<Looked> {
    let beside = baseline::find(at.shelf, &subject.record, &subject.artifacts, now).await?;
    let Beside { baseline, newest } = beside;
    let passing = matches!(baseline, Baseline::Unreadable { passing: true, .. });
    if passing && due.tries < TRIES_MAX {
        return Ok(Looked::Later);
    }
    let mut look = Look {
        at,
        subject,
        baseline,
        newest,
        compared: BTreeMap::new(),
        gathered: Gathered::default(),
    };
    look.read(due.tries > TRIES_MAX).await;
    look.sorts();
    look.distributions().await;
    look.provenance().await?;
    let summary = look.source().await?;
    let summary = summary
        .map(|summary| serde_json::to_string(&summary))
        .transpose()
        .map_err(|error| Fault::new("keeping what the source is", error))?;
    look.gathered.source_sha256 = summary.as_ref().map(|text| Sha256::of(text.as_bytes()));
    let report = Report::new(&subject.manifest, look.gathered, subject.accepted.as_ref());
    Ok(Looked::Done(Box::new(report), summary))
}

impl Look<'_> {
    /// Every artifact, beside its baseline.
    async fn read(&mut self, gave_up: bool) {
        if let Baseline::Unreadable { why, .. } = &self.baseline {
            self.gathered.found.push(inspection::no_baseline(why).into());
        }
        for artifact in &self.subject.artifacts {
            let looked = if gave_up {
                Err(format!("the inspection began {TRIES_MAX} times and never ended"))
            } else {
                self.compare(artifact).await
            };
            self.gathered.artifacts.push(ReportedArtifact {
                name: artifact.filename.clone(),
                sha256: artifact.digests.sha256,
                against: self.against(artifact),
                tally: looked.as_ref().ok().map(Compared::tally),
            });
            match looked {
                Ok(mut compared) => {
                    let findings = std::mem::take(&mut compared.findings);
                    self.compared.insert(&artifact.filename, compared);
                    self.add(&artifact.filename, findings);
                }
                Err(why) => self.fail(artifact, &why),
            }
        }
    }

    fn against(&self, artifact: &ArtifactRecord) -> Against {
        let nothing = |why: &str| Against::Nothing { why: why.to_owned() };
        match &self.baseline {
            Baseline::None => nothing("nothing, because no earlier version is at the registry"),
            Baseline::Unreadable { .. } => {
                nothing("nothing, because what people run today could not be read")
            }
            Baseline::Found { version, files, .. } => match files.get(&artifact.filename) {
                Some(file) => Against::Baseline {
                    version: version.clone(),
                    file: file.filename.clone(),
                    sha256: file.sha256,
                },
                None => nothing(&format!("nothing, because {version} has no file of its kind")),
            },
        }
    }

    /// What is in one artifact, or why nobody knows.
    async fn compare(&self, artifact: &ArtifactRecord) -> std::result::Result<Compared, String> {
        let (blobs, sha256) = (self.at.shelf.blobs, artifact.digests.sha256);
        // What is read is what was sealed, or nothing is said about it.
        let whole = blobs.verify(sha256).await;
        whole.map_err(|fault| format!("the held file is not whole: {fault}"))?;
        let candidate = self.held(artifact);
        let before = self.before(artifact);
        let standing = Standing {
            newest: self.newest.clone(),
            dist_tag: self.subject.record.dist_tag.clone(),
            baseline_unreadable: matches!(self.baseline, Baseline::Unreadable { .. }),
        };
        let compared = self.at.inspector.compare(candidate, before, standing).await;
        compared.map_err(|failed| failed.to_string())
    }

    fn held(&self, artifact: &ArtifactRecord) -> Artifact {
        let path = self.at.shelf.blobs.path(&artifact.digests.sha256);
        Artifact::new(&path, &artifact.filename)
    }

    fn before(&self, artifact: &ArtifactRecord) -> Option<Artifact> {
        let Baseline::Found { files, .. } = &self.baseline else { return None };
        let BaselineFile { filename, sha256, .. } = files.get(&artifact.filename)?;
        Some(Artifact::new(&self.at.shelf.blobs.path(sha256), filename))
    }

    /// Adds that an artifact could not be looked into (`IN-01`).
    fn fail(&mut self, artifact: &ArtifactRecord, why: &str) {
        self.gathered.found.push(Found {
            artifact: Some(artifact.filename.clone()),
            ..inspection::failed(why).into()
        });
    }

    /// Adds what was found in an artifact, with the digests of the files it is in.
    fn add(&mut self, artifact: &str, findings: Vec<Finding>) {
        let files = self.compared.get(artifact).map_or(&[][..], |compared| &compared.files);
        let digests: BTreeMap<&str, Sha256> =
            files.iter().map(|file| (file.path.as_str(), file.sha256)).collect();
        let found = findings.into_iter().map(|finding| Found {
            artifact: Some(artifact.to_owned()),
            sha256: finding.file.as_deref().and_then(|path| digests.get(path).copied()),
            finding,
        });
        self.gathered.found.extend(found.collect::<Vec<_>>());
    }

    /// The sorts of files beside those of the version people run today (SRC-10).
    fn sorts(&mut self) {
        let Baseline::Found { names, .. } = &self.baseline else { return };
        let ours = self.subject.artifacts.iter().map(|it| (it.kind, it.filename.clone()));
        let found = files_of_release(names, &ours.collect::<Vec<_>>());
        self.gathered.found.extend(found.into_iter().map(Found::from));
    }

    /// The wheels beside the source distribution of the same release (SRC-09).
    async fn distributions(&mut self) {
        let (artifacts, compared) = (&self.subject.artifacts, &self.compared);
        let of = |kind| {
            let read = |it: &&ArtifactRecord| compared.contains_key(it.filename.as_str());
            artifacts.iter().filter(move |it| it.kind == kind).filter(read)
        };
        let Some(sdist) = of(ArtifactKind::Sdist).next() else { return };
        let wheels: Vec<&ArtifactRecord> = of(ArtifactKind::Wheel).collect();
        for wheel in wheels {
            let pair = Pair { sdist: self.held(sdist), wheel: self.held(wheel) };
            let before = self.before(sdist).zip(self.before(wheel));
            let before = before.map(|(sdist, wheel)| Pair { sdist, wheel });
            match self.at.inspector.same_release(pair, before).await {
                Ok(findings) => self.add(&wheel.filename, findings),
                Err(failed) => self.fail(wheel, &failed.to_string()),
            }
        }
    }

    /// What CI attached.
    async fn provenance(&mut self) -> Result<()> {
        let before = match self.baseline {
            Baseline::None => Before::FirstRelease,
            Baseline::Found { provenance: Some(true), .. } => Before::Had,
            Baseline::Found { provenance: Some(false), .. } => Before::HadNone,
            Baseline::Found { .. } | Baseline::Unreadable { .. } => Before::Unknown,
        };
        let (store, root) = (self.at.shelf.registries.store, self.at.trust_root.cloned());
        let examined = provenance::examine(store, &self.subject.record, root, before).await?;
        // The file of each is one of the release.
        self.gathered.found.extend(examined.findings.into_iter().map(|finding| Found {
            artifact: finding.file.clone(),
            sha256: None,
            finding: Finding { file: None, ..finding },
        }));
        self.gathered.provenance = examined.provenance;
        self.gathered.not_checked.extend(examined.not_checked);
        Ok(())
    }

    /// The source repository and the run's closure.
    async fn source(&mut self) -> Result<Option<Summary>> {
        const CONTEXT: &str = "looking at the source of a release";
        let record = &self.subject.record;
        let claims = claims(record)?;
        let package = PackageName::parse(record.ecosystem, &record.package_name)
            .map_err(|error| Fault::new(CONTEXT, error))?;
        let version = Version::parse(record.ecosystem, &record.version)
            .map_err(|error| Fault::new(CONTEXT, error))?;
        let files: BTreeMap<&str, Vec<ArtifactFile>> =
            self.compared.iter().map(|(name, compared)| (*name, listed(compared))).collect();
        let candidates: Vec<binding::Candidate<'_>> = self
            .compared
            .iter()
            .map(|(name, compared)| binding::Candidate {
                file_name: name,
                facts: &compared.candidate,
                files: files.get(name).map_or(&[][..], Vec::as_slice),
            })
            .collect();
        let release = source::Release {
            package: &package,
            version: &version,
            claims: &claims,
            artifacts: &candidates,
            earlier: &self.subject.earlier,
            last_look: self.subject.last_look.as_ref(),
        };
        let bound = source::look(self.at.sources, &release).await;
        self.gathered.found.extend(bound.findings.into_iter().map(Found::from));
        self.gathered.not_checked.extend(bound.not_checked);
        for (artifact, findings) in bound.artifacts {
            self.add(&artifact, findings);
        }
        Ok(bound.summary)
    }
}

fn listed(compared: &Compared) -> Vec<ArtifactFile> {
    let file = |file: &crate::domain::review::compared::ListedFile| ArtifactFile {
        path: file.path.clone(),
        place: place(&file.path),
        blob: file.git_blob,
        sha256: file.sha256,
        executable: file.format.is_executable(),
        only_version: file.only_version,
    };
    compared.files.iter().map(file).collect()
}
