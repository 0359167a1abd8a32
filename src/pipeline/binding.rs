//! Where a release came from: its files beside Git, and everything that took part in its CI run.
//!
//! Drives `domain::review::binding` and `domain::review::closure` with what the configured
//! repositories say. Nothing is a fault here: what could not be looked at is a sentence on the page,
//! and when something was configured and could not be read, a finding as well. Silence never means
//! that all is well.

use std::collections::BTreeMap;

use crate::domain::artifact::Facts;
use crate::domain::claims::{Claims, Provider};
use crate::domain::digest::Sha1;
use crate::domain::package::{PackageName, Version};
use crate::domain::repository::{Repository, Rules};
use crate::domain::review::binding::{
    self, Candidate, Matching, Standing, Summary, Tag, TagFacts, Tree,
};
use crate::domain::review::closure::{
    Answer, Found, PipelineChange, Walk, Wanted, pipeline_change,
};
use crate::domain::review::finding::Finding;
use crate::domain::review::workflow;
use crate::source::{Git, Mirror, References, SourceError};

/// Most changed files of CI that are said one by one.
const PIPELINE_CHANGES_MAX: usize = 100;

/// What repositories there are and what reads them.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The program.
    pub git: &'a Git,
    /// The configured repositories.
    pub repositories: &'a [Repository],
}

/// A release whose origin is in question.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The package.
    pub package: &'a PackageName,
    /// The version.
    pub version: &'a Version,
    /// What CI said, verified.
    pub claims: &'a Claims,
    /// Its files.
    pub artifacts: &'a [Candidate<'a>],
    /// Earlier approved releases of the package, the last one first.
    pub earlier: &'a [Summary],
    /// The last look at this very release, if it was looked at before.
    pub last_look: Option<&'a Summary>,
}

/// What is known of where a release came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bound {
    /// What is to be looked at about the release as a whole.
    pub findings: Vec<Finding>,
    /// What is to be looked at in each artifact, by file name.
    pub artifacts: Vec<(String, Vec<Finding>)>,
    /// The origin in short, to be kept with the release; `None` when nothing was compared.
    pub summary: Option<Summary>,
    /// What was not checked, a sentence each.
    pub not_checked: Vec<String>,
}

impl Bound {
    fn unread(&mut self, what: &str, error: &SourceError) {
        self.not_checked.push(format!("{what}: {error}."));
        self.findings.push(binding::unread_finding(&format!("{what}: {error}")));
    }
}

/// Where the token says that the run happened.
struct Origin<'a> {
    repository: &'a str,
    commit: &'a str,
    tag: Option<&'a str>,
    /// The entry workflow and the one that holds the job: repository, path, reference.
    workflows: Vec<(&'a str, &'a str, &'a str)>,
}

/// Looks at where a release came from.
pub async fn look(sources: Sources<'_>, release: &Release<'_>) -> Bound {
    let mut bound = Bound::default();
    let Some(origin) = origin(release.claims) else {
        bound.not_checked.push(
            "The source was not compared: tokens of this CI name no repository and commit."
                .to_owned(),
        );
        return bound;
    };
    let mut opened = Opened { sources, mirrors: BTreeMap::new() };
    let Some(repository) = opened.configured(origin.repository) else {
        bound.not_checked.push(format!(
            "No source repository is configured for {}: the files were not compared with Git, and \
             the workflow was not looked into.",
            origin.repository
        ));
        return bound;
    };
    let rules = repository.rules_for(release.package);
    let mut look = Look { release, origin, rules, bound, summary: Summary::default() };
    match opened.mirror(&repository.name).await {
        Ok(mirror) => look.repository(mirror).await,
        Err(error) => {
            look.bound.unread(&format!("The repository {} was not read", repository.name), &error);
            return look.bound;
        }
    }
    if look.summary.commit.is_empty() {
        return look.bound;
    }
    look.closure(&mut opened).await;
    look.bound.summary = Some(look.summary);
    look.bound
}

fn origin(claims: &Claims) -> Option<Origin<'_>> {
    match claims.provider() {
        Provider::GitHub(github) => {
            let mut workflows = Vec::new();
            let job_commit = github.job_workflow_sha.as_deref();
            for (address, commit) in
                [(&github.workflow_ref, None), (&github.job_workflow_ref, job_commit)]
            {
                let Some((repository, path, named)) = workflow_address(address) else { continue };
                let here = repository.eq_ignore_ascii_case(&github.repository);
                let repository = if here { &github.repository } else { repository };
                let reference = commit.unwrap_or(if here { &github.sha } else { named });
                let workflow = (repository, path, reference);
                if !workflows.contains(&workflow) {
                    workflows.push(workflow);
                }
            }
            let tag = github.git_ref.strip_prefix("refs/tags/");
            Some(Origin { repository: &github.repository, commit: &github.sha, tag, workflows })
        }
        Provider::GitLab(gitlab) => Some(Origin {
            repository: &gitlab.project_path,
            commit: &gitlab.sha,
            tag: gitlab.ref_path.strip_prefix("refs/tags/"),
            workflows: Vec::new(),
        }),
        Provider::Generic(_) => None,
    }
}

/// `owner/name/.github/workflows/file.yml@ref` in three.
fn workflow_address(text: &str) -> Option<(&str, &str, &str)> {
    let (address, reference) = text.split_once('@')?;
    let (repository, path) = address.split_once("/.github/")?;
    let path = address.get(address.len() - path.len() - ".github/".len()..)?;
    Some((repository, path, reference))
}

/// Repositories that were opened during one look; each is fetched once.
struct Opened<'a> {
    sources: Sources<'a>,
    mirrors: BTreeMap<String, Result<Mirror<'a>, SourceError>>,
}

impl<'a> Opened<'a> {
    fn configured(&self, name: &str) -> Option<&'a Repository> {
        self.sources.repositories.iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }

    async fn mirror(&mut self, name: &str) -> Result<&Mirror<'a>, SourceError> {
        let repository = self.configured(name).ok_or_else(|| {
            SourceError::Refused("no repository of this name is configured".to_owned())
        })?;
        let name = repository.name.clone();
        if !self.mirrors.contains_key(&name) {
            let opened = self.sources.git.open(&repository.place).await;
            self.mirrors.insert(name.clone(), opened);
        }
        match self.mirrors.get(&name) {
            Some(Ok(mirror)) => Ok(mirror),
            Some(Err(error)) => Err(error.clone()),
            None => Err(SourceError::Unclear),
        }
    }

    /// Reads what a walk wants.
    async fn answer(&mut self, wanted: &Wanted) -> Answer {
        if self.configured(&wanted.repository).is_none() {
            return Answer::Unread("no repository of this name is configured".to_owned());
        }
        let read = match self.mirror(&wanted.repository).await {
            Ok(mirror) => read_wanted(mirror, wanted).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(Some(found)) => Answer::Found(found),
            Ok(None) => Answer::Unread("the repository does not have it".to_owned()),
            Err(error) => Answer::Unread(error.to_string()),
        }
    }
}

async fn read_wanted(mirror: &Mirror<'_>, wanted: &Wanted) -> Result<Option<Found>, SourceError> {
    let Some(commit) = mirror.commit(&wanted.reference).await? else { return Ok(None) };
    for path in &wanted.paths {
        let Some(blob) = mirror.file(&commit, path).await? else { continue };
        let text = if wanted.text {
            let content = mirror.content(blob, workflow::BYTES_MAX as u64).await?;
            String::from_utf8(content).map_err(|_| SourceError::Unclear)?
        } else {
            String::new()
        };
        // A name of the repository leads there; a commit may be a stranger's.
        let reachable = !workflow::is_commit(&wanted.reference) || {
            let (branches, tags) = mirror.containing(&commit).await?;
            !branches.is_empty() || !tags.is_empty()
        };
        let (path, blob) = (path.clone(), blob.to_string());
        return Ok(Some(Found { commit, reachable, path, blob, text }));
    }
    Ok(None)
}

/// One look, while it goes on.
struct Look<'a> {
    release: &'a Release<'a>,
    origin: Origin<'a>,
    rules: Rules,
    bound: Bound,
    summary: Summary,
}

impl Look<'_> {
    /// Everything that the repository itself can say. The summary stays empty when nothing of the
    /// commit could be read.
    async fn repository(&mut self, mirror: &Mirror<'_>) {
        let references = match mirror.references().await {
            Ok(references) => references,
            Err(error) => return self.bound.unread("Branches and tags were not read", &error),
        };
        self.tags(&references);
        let known = match self.standing(mirror).await {
            Ok(known) => known,
            Err(error) => return self.bound.unread("The commit was not looked for", &error),
        };
        if !known {
            self.bound.not_checked.push(
                "The files were not compared and the workflow was not looked into: the repository \
                 does not have the commit."
                    .to_owned(),
            );
            return;
        }
        match mirror.tree(self.origin.commit).await {
            Ok(tree) => {
                self.origin.repository.clone_into(&mut self.summary.repository);
                self.origin.commit.clone_into(&mut self.summary.commit);
                self.files(mirror, &tree).await;
                self.pipeline(mirror, &tree).await;
            }
            Err(error) => self.bound.unread("The files were not compared", &error),
        }
    }

    fn tags(&mut self, references: &References) {
        let expected = self.rules.tags(self.release.version);
        let looks = self.release.earlier.iter().chain(self.release.last_look);
        let seen: Vec<Tag> = looks.filter_map(|look| look.tag.clone()).collect();
        let (findings, tag) = binding::tag_findings(&TagFacts {
            commit: self.origin.commit,
            version: self.release.version,
            claimed: self.origin.tag,
            expected: &expected,
            tags: &references.tags,
            seen: &seen,
        });
        self.bound.findings.extend(findings);
        self.summary.tag = tag;
        if expected.is_empty() && self.origin.tag.is_none() {
            self.bound.not_checked.push(
                "No tag was compared: the run was for a branch, and no `tags` are configured."
                    .to_owned(),
            );
        }
    }

    async fn standing(&mut self, mirror: &Mirror<'_>) -> Result<bool, SourceError> {
        let commit = self.origin.commit;
        let known = mirror.commit(commit).await?.is_some();
        let (branches, tags) =
            if known { mirror.containing(commit).await? } else { (Vec::new(), Vec::new()) };
        let allowed: Vec<String> =
            branches.iter().filter(|name| self.rules.allows_branch(name)).cloned().collect();
        self.summary.branch = allowed.first().cloned();
        self.summary.branch_judged = Some(self.rules.names_branches());
        // An object that no branch or tag leads to may be anybody's.
        let reached = known && !(branches.is_empty() && tags.is_empty());
        let standing = Standing { commit, known: reached, branches, allowed, tags };
        if self.rules.names_branches() || !reached {
            self.bound.findings.extend(binding::branch_finding(&standing));
        } else {
            self.bound
                .not_checked
                .push("The branch was not judged: no `branches` are configured.".to_owned());
        }
        Ok(reached)
    }

    async fn files(&mut self, mirror: &Mirror<'_>, tree: &Tree) {
        let mut earlier: BTreeMap<String, Sha1> = BTreeMap::new();
        for look in self.release.earlier.iter().rev() {
            earlier.extend(look.outside.clone());
        }
        for candidate in self.release.artifacts {
            let directory = self.rules.directory().map(str::to_owned);
            let directory = directory.or_else(|| claimed_directory(candidate.facts, tree));
            let mut matching = Matching::new(*candidate, tree, directory.as_deref(), &earlier);
            let mut contents = BTreeMap::new();
            for blob in matching.wanted() {
                // What cannot be read stays different, which is the louder answer.
                if let Ok(content) = mirror.content(blob, binding::CONTENT_MAX).await {
                    contents.insert(blob, content);
                }
            }
            matching.settle(&contents);
            self.summary.artifacts.push(matching.counts());
            self.summary.outside.extend(matching.outside());
            let file_name = candidate.file_name.to_owned();
            self.bound.artifacts.push((file_name, matching.findings()));
        }
        if tree.submodules() > 0 {
            self.bound.not_checked.push(format!(
                "Files of {} submodules were not looked for: each is another repository.",
                tree.submodules()
            ));
        }
    }

    /// What changed in CI since the last approved release.
    async fn pipeline(&mut self, mirror: &Mirror<'_>, tree: &Tree) {
        let Some(last) = self.release.earlier.first() else { return };
        let before = match mirror.commit(&last.commit).await {
            Ok(Some(commit)) => mirror.tree(&commit).await,
            Ok(None) => {
                self.bound.not_checked.push(format!(
                    "Changes of CI were not looked for: the repository does not have the commit of \
                     the last release, {}.",
                    last.commit
                ));
                return;
            }
            Err(error) => Err(error),
        };
        let before = match before {
            Ok(before) => before,
            Err(error) => return self.bound.unread("Changes of CI were not looked for", &error),
        };
        let mut changed = tree.changes(&before);
        changed.retain(|path| workflow::touched(path).is_some());
        for path in changed.iter().take(PIPELINE_CHANGES_MAX) {
            let publishes = self.publishes(path);
            let (mut old, mut new) = (None, None);
            if publishes {
                old = text_at(mirror, &before, path).await;
                new = text_at(mirror, tree, path).await;
            }
            let change =
                PipelineChange { path, before: old.as_deref(), after: new.as_deref(), publishes };
            self.bound.findings.extend(pipeline_change(&change));
        }
        if changed.len() > PIPELINE_CHANGES_MAX {
            let more = changed.len() - PIPELINE_CHANGES_MAX;
            self.bound
                .findings
                .push(binding::unread_finding(&format!("{more} more files of CI changed")));
        }
    }

    /// Whether a path is a workflow that this release was made by.
    fn publishes(&self, path: &str) -> bool {
        let here = self.origin.repository;
        self.origin
            .workflows
            .iter()
            .any(|(repository, known, _)| *repository == here && *known == path)
    }

    /// Everything that took part in the run.
    async fn closure(&mut self, opened: &mut Opened<'_>) {
        let Some(((repository, path, reference), rest)) = self.origin.workflows.split_first()
        else {
            self.bound.not_checked.push(
                "What took part in the run was not looked into: only workflows of GitHub are read."
                    .to_owned(),
            );
            return;
        };
        let home = (self.origin.repository, self.origin.commit);
        let mut walk = Walk::start(home, repository, path, reference);
        for (repository, path, reference) in rest {
            walk.also(repository, path, reference);
        }
        while let Some(wanted) = walk.next_wanted() {
            let answer = opened.answer(&wanted).await;
            walk.take(wanted, answer);
        }
        let before = self.release.earlier.first().and_then(|last| last.closure.as_ref());
        let seen = walk.finish(before);
        self.bound.findings.extend(seen.findings);
        let unread = seen.unread.into_iter();
        self.bound.not_checked.extend(unread.map(|text| format!("Not looked into: {text}.")));
        self.summary.closure = Some(seen.closure);
    }
}

async fn text_at(mirror: &Mirror<'_>, tree: &Tree, path: &str) -> Option<String> {
    let content = mirror.content(tree.at(path)?, workflow::BYTES_MAX as u64).await.ok()?;
    String::from_utf8(content).ok()
}

/// The folder that `repository.directory` of a `package.json` names, if a package is there.
fn claimed_directory(facts: &Facts, tree: &Tree) -> Option<String> {
    let Facts::Npm(facts) = facts else { return None };
    let folder = facts.package_json.get("repository")?.get("directory")?.as_str()?;
    let folder = folder.trim_start_matches("./").trim_end_matches('/');
    let known = !folder.is_empty() && tree.at(&format!("{folder}/package.json")).is_some();
    known.then(|| folder.to_owned())
}
