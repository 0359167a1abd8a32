//! The reviewed set-up file: what it may say, and what it refers to.
//!
//! Unknown keys are errors. Everything is referred to by name within the file, so a file means the
//! same on every installation.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::domain::ids::PersonId;
use crate::domain::issuer::IssuerConfig;
use crate::domain::manifest::Access;
use crate::domain::package::Ecosystem;
use crate::domain::policy::{EXPIRY_DEFAULT, Embargo, Group, Hardware, PolicyDraft};
use crate::domain::publisher::PublisherConfig;
use crate::domain::roster::{Aaguid, Role};

/// Largest set-up file in bytes; a thousand packages fit.
pub const FILE_MAX_BYTES: usize = 1024 * 1024;

/// Text that is not a set-up file. The message names the key and the line.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not TOML of the documented shape.
    #[error(transparent)]
    Shape(#[from] toml::de::Error),
    /// Larger than any real one.
    #[error("expected at most {FILE_MAX_BYTES} bytes, received `{0}`")]
    Length(usize),
}

/// Everything a set-up file can say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetupFile {
    /// OIDC issuers of CI tokens.
    pub issuer: Vec<IssuerConfig>,
    /// People to invite.
    pub person: Vec<PersonEntry>,
    /// CI identities that are nobody's.
    pub bot: Vec<CiEntry>,
    /// Registries.
    pub upstream: Vec<UpstreamEntry>,
    /// Approval rules.
    pub policy: Vec<PolicyEntry>,
    /// Packages.
    pub package: Vec<PackageEntry>,
    /// CI workloads that may stage.
    pub publisher: Vec<PublisherConfig>,
}

/// A person to invite.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonEntry {
    /// Unique.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// CI identities that are theirs.
    #[serde(default)]
    pub ci_identities: Vec<CiEntry>,
}

/// A CI identity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CiEntry {
    /// The name of an issuer in this file.
    pub issuer: String,
    /// The actor's immutable id there.
    pub actor_id: String,
}

/// A registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamEntry {
    /// Unique.
    pub name: String,
    /// Whose protocol it speaks.
    pub kind: Ecosystem,
    /// npm: registry base. PyPI: upload address.
    pub url: String,
    /// PyPI only: where files are read back.
    #[serde(default)]
    pub simple_url: Option<String>,
    /// Where published files are, when that is another host.
    #[serde(default)]
    pub files_url: Option<String>,
    /// Private and loopback addresses are meant (Q15).
    #[serde(default)]
    pub allow_private: bool,
    /// A file with the publish credential, relative to the set-up file.
    #[serde(default)]
    pub credential_file: Option<PathBuf>,
    /// A file with the read credential, relative to the set-up file.
    #[serde(default)]
    pub read_credential_file: Option<PathBuf>,
    /// PyPI only.
    #[serde(default)]
    pub username: Option<String>,
}

/// An approval rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEntry {
    /// Unique.
    pub name: String,
    /// How many people must approve.
    pub required: u32,
    /// Names of people in this file.
    pub people: BTreeSet<String>,
    /// Life of a sealed release in hours.
    #[serde(default = "expiry_hours_default")]
    pub expires_hours: u32,
    /// Whether the person who started the CI run counts.
    #[serde(default)]
    pub triggering_actor_counts: bool,
    /// Whether people count who wrote some of what changed.
    #[serde(default = "yes")]
    pub authors_count: bool,
    /// Minutes between the last approval needed and sending.
    #[serde(default)]
    pub cooling_off_minutes: u32,
    /// Approvals need a note when something was found.
    #[serde(default)]
    pub note_on_findings: bool,
    /// So many people more when something was found.
    #[serde(default)]
    pub more_on_findings: u32,
    /// Of whom so many in particular.
    #[serde(default)]
    pub group: Vec<GroupEntry>,
    /// With what keys.
    #[serde(default)]
    pub hardware: Option<HardwareEntry>,
    /// Who may release under embargo instead.
    #[serde(default)]
    pub embargo: Option<EmbargoEntry>,
}

/// So many of these people.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// What the policy's sentence calls them.
    pub name: String,
    /// How many of them are needed.
    pub required: u32,
    /// Names of people of the policy.
    pub people: BTreeSet<String>,
}

/// So many approvals with hardware keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareEntry {
    /// How many.
    pub required: u32,
    /// AAGUIDs of the models that count; all of trusted makers when there is no list.
    #[serde(default)]
    pub models: Option<BTreeSet<Aaguid>>,
}

/// An embargo rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbargoEntry {
    /// How many people.
    pub required: u32,
    /// Names of people in this file.
    pub people: BTreeSet<String>,
    /// It goes out at once.
    #[serde(default)]
    pub skips_cooling_off: bool,
    /// It goes out although an approver set a later time.
    #[serde(default)]
    pub skips_schedule: bool,
}

const fn yes() -> bool {
    true
}

fn expiry_hours_default() -> u32 {
    u32::try_from(EXPIRY_DEFAULT.as_hours()).unwrap_or(u32::MAX)
}

impl PolicyEntry {
    /// The policy, with the people whom `known` finds by their names.
    pub fn draft<E>(
        &self,
        known: impl Fn(&str, &str) -> Result<PersonId, E>,
    ) -> Result<PolicyDraft, E> {
        let people = |place: &str, names: &BTreeSet<String>| {
            names.iter().map(|name| known(place, name)).collect::<Result<BTreeSet<_>, E>>()
        };
        let group = |entry: &GroupEntry| {
            let people = people("group.people", &entry.people)?;
            Ok(Group { name: entry.name.clone(), required: entry.required, people })
        };
        let embargo = |entry: &EmbargoEntry| {
            Ok(Embargo {
                required: entry.required,
                people: people("embargo.people", &entry.people)?,
                skips_cooling_off: entry.skips_cooling_off,
                skips_schedule: entry.skips_schedule,
            })
        };
        let hardware = self.hardware.clone();
        Ok(PolicyDraft {
            groups: self.group.iter().map(group).collect::<Result<_, E>>()?,
            hardware: hardware
                .map(|HardwareEntry { required, models }| Hardware { required, models }),
            expiry: SignedDuration::from_hours(self.expires_hours.into()),
            cooling_off: SignedDuration::from_mins(self.cooling_off_minutes.into()),
            triggering_actor_counts: self.triggering_actor_counts,
            authors_count: self.authors_count,
            note_on_findings: self.note_on_findings,
            more_on_findings: self.more_on_findings,
            embargo: self.embargo.as_ref().map(embargo).transpose()?,
            ..PolicyDraft::of(&self.name, self.required, people("people", &self.people)?)
        })
    }
}

/// A package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageEntry {
    /// Whose rules apply.
    pub ecosystem: Ecosystem,
    /// Its name there.
    pub name: String,
    /// The name of an upstream in this file.
    pub upstream: String,
    /// The name of a policy in this file.
    pub policy: String,
    /// npm only.
    #[serde(default)]
    pub access: Option<Access>,
}

impl SetupFile {
    /// Reads TOML; what refers to what is checked when the file is applied.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        if text.len() > FILE_MAX_BYTES {
            return Err(FileError::Length(text.len()));
        }
        Ok(toml::from_str(text)?)
    }
}
