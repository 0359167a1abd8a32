//! VR: the version and the channel.

use std::cmp::Ordering;

use crate::domain::artifact::Facts;
use crate::domain::package::{Ecosystem, Version};
use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};

pub(super) const CHECKS: &[Check] = &[BELOW, GAP, CHANNEL];

const BELOW: Check = Check {
    id: "VR-01",
    title: "The version is lower than what people run today",
    why: "A release of an old line is right only when it does not become the newest.",
};
const GAP: Check = Check {
    id: "VR-02",
    title: "The version skips others",
    why: "A high number wins over every honest release to come.",
};
const CHANNEL: Check = Check {
    id: "VR-03",
    title: "A version of another kind than its channel",
    why: "People who asked for finished versions would get this one, or the other way round.",
};

/// Where a release would stand among the others.
#[derive(Debug, Clone, Default)]
pub struct Position {
    /// What the release is.
    pub version: Option<Version>,
    /// The highest version the registry has, or the one behind the dist-tag `latest`.
    pub newest: Option<Version>,
    /// The dist-tag it would get; npm only.
    pub dist_tag: Option<String>,
    /// Whose rules apply.
    pub ecosystem: Option<Ecosystem>,
}

/// From here on a first number is a year.
const YEAR_MIN: u64 = 1_900;

pub(super) fn look(comparison: &Comparison<'_>, position: &Position, found: &mut Vec<Finding>) {
    gap(comparison, found);
    let Some(version) = &position.version else { return };
    let latest = position.dist_tag.as_deref().is_none_or(|tag| tag == "latest");
    if let Some(newest) = &position.newest
        && version.compare(newest) == Some(Ordering::Less)
    {
        let moves_back = latest && position.ecosystem == Some(Ecosystem::Npm);
        let severity = if moves_back { Severity::Block } else { Severity::Look };
        let evidence = format!("{} after {}", version.as_str(), newest.as_str());
        found.push(Finding::new(&BELOW, severity, Since::New, &evidence));
    }
    if position.ecosystem == Some(Ecosystem::Npm) && version.is_prerelease() && latest {
        let evidence = format!("{} as latest", version.as_str());
        found.push(Finding::new(&CHANNEL, Severity::Block, Since::New, &evidence));
    }
}

/// A first number that leaves out another one.
fn gap(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let version = |facts: &Facts| match facts {
        Facts::Npm(facts) => facts.version.clone(),
        Facts::Pypi(facts) => facts.version.clone(),
    };
    let (before, after) = (version(&baseline.facts), version(&comparison.candidate.facts));
    let first = |version: &str| {
        let release = version.split_once('!').map_or(version, |(_, release)| release);
        release.split('.').next()?.parse::<u64>().ok()
    };
    let (Some(old), Some(new)) = (first(&before), first(&after)) else { return };
    if new > old.saturating_add(1) && old < YEAR_MIN {
        let evidence = format!("{before} → {after}");
        found.push(Finding::new(&GAP, Severity::Look, Since::Changed, &evidence));
    }
}
