//! What a candidate is compared with: the version that people run today on the same release line or
//! dist-tag, and for each of its files the one of the same sort.
//!
//! Only what a registry lists decides, so that the choice can be repeated. What it means when there
//! is none, or when it cannot be read, is the caller's.

use std::cmp::Ordering;

use crate::domain::artifact::ArtifactKind;
use crate::domain::listing::{ListedFile, Listing};
use crate::domain::package::{Ecosystem, Version};

/// Chooses the version to compare with, which is always lower than the candidate.
///
/// npm: the one behind the dist-tag that the candidate will take. A candidate below that one is a
/// backport: the highest lower version of its own major and minor number, else the highest lower
/// one. Releases come before prereleases unless the candidate is one. A deprecated version counts:
/// people run it.
///
/// `PyPI`: the highest lower version that is not yanked, a final one for a final candidate and a
/// prerelease for a prerelease, else the highest lower one of the other sort.
pub fn version<'a>(
    candidate: &Version,
    dist_tag: Option<&str>,
    listing: &'a Listing,
) -> Option<&'a Version> {
    let lower: Vec<&Version> = usable(candidate.ecosystem(), listing)
        .map(|listed| &listed.version)
        .filter(|version| version.compare(candidate) == Some(Ordering::Less))
        .collect();
    let highest_of = |wanted: &dyn Fn(&Version) -> bool| {
        highest(lower.iter().copied().filter(|version| wanted(version)))
    };
    let pre = candidate.is_prerelease();
    let any = |_: &Version| true;
    match candidate.ecosystem() {
        Ecosystem::Pypi => {
            highest_of(&|version| version.is_prerelease() == pre).or_else(|| highest_of(&any))
        }
        Ecosystem::Npm => {
            let target = dist_tag.and_then(|tag| listing.dist_tags.get(tag));
            let runs = |version: &Version| pre || !version.is_prerelease();
            lower
                .iter()
                .copied()
                .find(|version| target.is_some_and(|target| version.as_str() == target))
                .or_else(|| highest_of(&|version| runs(version) && version.same_line(candidate)))
                .or_else(|| highest_of(&runs))
                .or_else(|| highest_of(&any))
        }
    }
}

/// Chooses the file of `version` that a candidate's file is compared with.
///
/// A source archive is compared with a source archive. A wheel is compared with the wheel of the
/// same tag, else with one that runs everywhere, else with one for the same platform, else with any:
/// their Python files are mostly the same.
pub fn file<'a>(
    kind: ArtifactKind,
    filename: &str,
    version: &'a Version,
    listing: &'a Listing,
) -> Option<&'a ListedFile> {
    let wanted = WheelTag::of(filename);
    let distance = |name: &str| match kind {
        ArtifactKind::NpmTarball => 0,
        // Old archives were also made as `.zip`.
        ArtifactKind::Sdist => u8::from(!name.ends_with(".tar.gz")),
        ArtifactKind::Wheel => match (&wanted, WheelTag::of(name)) {
            (Some(wanted), Some(found)) if *wanted == found => 0,
            (_, Some(found)) if found.is_pure() => 1,
            (Some(wanted), Some(found)) if wanted.platform == found.platform => 2,
            _ => 3,
        },
    };
    files(version, listing)
        .filter(|listed| listed.kind == kind)
        .min_by_key(|listed| (distance(&listed.file.filename), &listed.file.filename))
}

/// The version that most people get: the one behind the dist-tag `latest`, else the highest final
/// one, else the highest.
pub fn newest(ecosystem: Ecosystem, listing: &Listing) -> Option<&Version> {
    let versions = || usable(ecosystem, listing).map(|listed| &listed.version);
    let latest = listing.dist_tags.get("latest");
    versions()
        .find(|version| latest.is_some_and(|latest| version.as_str() == latest))
        .or_else(|| highest(versions().filter(|version| !version.is_prerelease())))
        .or_else(|| highest(versions()))
}

fn highest<'a>(versions: impl Iterator<Item = &'a Version>) -> Option<&'a Version> {
    versions.max_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal))
}

/// Every file of a version.
pub fn files<'a>(
    version: &'a Version,
    listing: &'a Listing,
) -> impl Iterator<Item = &'a ListedFile> {
    usable(version.ecosystem(), listing)
        .filter(|listed| listed.version.compare(version) == Some(Ordering::Equal))
}

/// Whether a version has provenance, as far as the registry says so: one file of it is enough.
pub fn provenance(version: &Version, listing: &Listing) -> Option<bool> {
    let said: Option<Vec<bool>> = files(version, listing).map(|listed| listed.provenance).collect();
    match said {
        Some(said) => Some(said.contains(&true)),
        None => {
            files(version, listing).any(|listed| listed.provenance == Some(true)).then_some(true)
        }
    }
}

/// The files that installers would take: a yanked one only where it is asked for by its version.
fn usable(ecosystem: Ecosystem, listing: &Listing) -> impl Iterator<Item = &ListedFile> {
    let deprecated_counts = ecosystem == Ecosystem::Npm;
    listing.files.iter().filter(move |listed| deprecated_counts || !listed.file.withdrawn)
}

/// The last three parts of a wheel's name (PEP 427).
#[derive(PartialEq, Eq)]
struct WheelTag<'a> {
    python: &'a str,
    abi: &'a str,
    platform: &'a str,
}

impl<'a> WheelTag<'a> {
    fn of(filename: &'a str) -> Option<Self> {
        let mut parts = filename.strip_suffix(".whl")?.rsplitn(4, '-');
        let (platform, abi, python) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { python, abi, platform })
    }

    fn is_pure(&self) -> bool {
        self.abi == "none" && self.platform == "any"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::upstream::ObservedFile;

    const TARBALL: ArtifactKind = ArtifactKind::NpmTarball;

    fn listed(kind: ArtifactKind, version: &str, filename: &str) -> ListedFile {
        let version = Version::parse_listed(kind.ecosystem(), version).unwrap();
        let file = ObservedFile { filename: filename.to_owned(), ..ObservedFile::default() };
        ListedFile { version, kind, file, url: None, provenance: None }
    }

    fn npm(versions: &[&str], tags: &[(&str, &str)]) -> Listing {
        Listing {
            files: versions.iter().map(|version| listed(TARBALL, version, "")).collect(),
            dist_tags: tags.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            project_status: None,
        }
    }

    /// Versions with a `!` are yanked.
    fn pypi(versions: &[&str]) -> Listing {
        let file = |text: &&str| {
            let mut file = listed(ArtifactKind::Sdist, text.trim_end_matches('!'), "a.tar.gz");
            file.file.withdrawn = text.ends_with('!');
            file
        };
        Listing { files: versions.iter().map(file).collect(), ..Listing::default() }
    }

    fn chosen(candidate: &str, tag: Option<&str>, listing: &Listing) -> Option<String> {
        let kind = listing.files.first().map_or(TARBALL, |file| file.kind);
        let candidate = Version::parse(kind.ecosystem(), candidate).unwrap();
        version(&candidate, tag, listing).map(ToString::to_string)
    }

    /// Versions a registry has, what its dist-tags point at, a candidate with its tag, and what it
    /// is compared with.
    type NpmRow<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str, Option<&'a str>);

    #[test]
    fn an_npm_candidate_is_compared_with_what_its_dist_tag_installs_or_its_own_line() {
        let express = ["4.20.0", "4.21.0", "4.21.1", "5.0.0", "5.0.1"];
        let tags = [("latest", "5.0.1"), ("next", "5.1.0-beta.1")];
        let rows: [NpmRow<'_>; 12] = [
            (&[], &[], "1.0.0", "latest", None),
            (&["1.0.0"], &[], "1.0.0", "latest", None),
            (&["2.0.0"], &[("latest", "2.0.0")], "1.0.0", "latest", None),
            (&express, &tags, "5.0.2", "latest", Some("5.0.1")),
            // The tag decides although a higher one exists below the candidate.
            (&["1.0.0", "1.1.0"], &[("latest", "1.0.0")], "1.2.0", "latest", Some("1.0.0")),
            // A backport is compared with its own line, whatever tag it takes.
            (&express, &tags, "4.21.2", "latest", Some("4.21.1")),
            (&express, &tags, "4.21.2", "v4", Some("4.21.1")),
            (&express, &tags, "4.22.0", "v4", Some("4.21.1")),
            // A tag that points nowhere says nothing.
            (&["1.0.0"], &[("latest", "0.9.0")], "1.0.1", "latest", Some("1.0.0")),
            // People do not run the prereleases of a release, unless there is nothing else.
            (&["1.0.0", "1.1.0-rc.1"], &[], "1.1.0", "v1", Some("1.0.0")),
            (&["1.1.0-rc.1"], &[], "1.1.0", "latest", Some("1.1.0-rc.1")),
            (&["1.0.0", "1.1.0-rc.1"], &[], "1.1.0-rc.2", "next", Some("1.1.0-rc.1")),
        ];
        for (versions, tags, candidate, tag, expected) in rows {
            let found = chosen(candidate, Some(tag), &npm(versions, tags));
            assert_eq!(found.as_deref(), expected, "{candidate} as {tag} beside {versions:?}");
        }
    }

    #[test]
    fn a_python_candidate_is_compared_with_the_highest_lower_version_of_its_sort() {
        let rows: [(&[&str], &str, Option<&str>); 10] = [
            (&[], "1.0.0", None),
            (&["1.0.0", "1.1.0"], "1.2.0", Some("1.1.0")),
            (&["1.0.0", "2.0.0"], "1.0.1", Some("1.0.0")),
            (&["1.9", "1.10"], "1.11", Some("1.10")),
            (&["1.0.0", "1.1.0!"], "1.2.0", Some("1.0.0")),
            (&["1.0.0!"], "1.2.0", None),
            (&["1.0.0", "1.1.0rc1"], "1.1.0", Some("1.0.0")),
            (&["1.0.0", "1.1.0rc1"], "1.1.0rc2", Some("1.1.0rc1")),
            (&["1.0.0rc1"], "1.0.0", Some("1.0.0rc1")),
            (&["1.0.0"], "1.0.0.post1", Some("1.0.0")),
        ];
        for (versions, candidate, expected) in rows {
            let found = chosen(candidate, None, &pypi(versions));
            assert_eq!(found.as_deref(), expected, "{candidate} beside {versions:?}");
        }
    }

    #[test]
    fn each_python_file_is_compared_with_the_nearest_one_of_its_sort() {
        let version = Version::parse(Ecosystem::Pypi, "1.0").unwrap();
        let sdist = |name| listed(ArtifactKind::Sdist, "1.0", name);
        let wheel = |name| listed(ArtifactKind::Wheel, "1.0.0", name);
        let listing = Listing {
            files: vec![
                sdist("a-1.0.zip"),
                sdist("a-1.0.tar.gz"),
                wheel("a-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
                wheel("a-1.0-cp311-cp311-win_amd64.whl"),
                wheel("a-1.0-7-py3-none-any.whl"),
                listed(ArtifactKind::Wheel, "0.9", "a-0.9-cp314-cp314-win_amd64.whl"),
            ],
            ..Listing::default()
        };
        let nearest = |kind, name: &str, listing: &Listing| {
            file(kind, name, &version, listing).map(|found| found.file.filename.clone())
        };
        let rows = [
            ("a-1.1-cp312-cp312-manylinux_2_28_x86_64.whl", 2),
            ("a-1.1-cp314-cp314-win_amd64.whl", 4),
            ("a-1.1-py3-none-any.whl", 4),
        ];
        for (name, expected) in rows {
            let found = nearest(ArtifactKind::Wheel, name, &listing);
            assert_eq!(found.as_ref(), Some(&listing.files[expected].file.filename), "{name}");
        }
        let found = nearest(ArtifactKind::Sdist, "a-1.1.tar.gz", &listing);
        assert_eq!(found.as_deref(), Some("a-1.0.tar.gz"));
        let without_pure = Listing {
            files: listing
                .files
                .into_iter()
                .filter(|file| !file.file.filename.contains("py3"))
                .collect(),
            ..Listing::default()
        };
        let wheel = "a-1.1-cp314-cp314-win_amd64.whl";
        let found = nearest(ArtifactKind::Wheel, wheel, &without_pure);
        assert_eq!(found.as_deref(), Some("a-1.0-cp311-cp311-win_amd64.whl"));
        let found = nearest(ArtifactKind::Wheel, "a-1.1-py3-none-any.whl", &without_pure);
        assert_eq!(found.as_deref(), Some("a-1.0-cp311-cp311-win_amd64.whl"));
        assert_eq!(nearest(TARBALL, "a-1.1.tgz", &without_pure), None);
    }

    #[test]
    fn the_newest_is_what_most_people_get() {
        let of = |ecosystem, listing: &Listing| newest(ecosystem, listing).map(ToString::to_string);
        let tagged = npm(&["1.0.0", "2.0.0", "3.0.0-rc.1"], &[("latest", "1.0.0")]);
        assert_eq!(of(Ecosystem::Npm, &tagged).as_deref(), Some("1.0.0"));
        let astray = npm(&["1.0.0", "2.0.0", "3.0.0-rc.1"], &[("latest", "9.0.0")]);
        assert_eq!(of(Ecosystem::Npm, &astray).as_deref(), Some("2.0.0"));
        let yanked = pypi(&["1.0.0", "2.0.0!", "2.0.0rc1"]);
        assert_eq!(of(Ecosystem::Pypi, &yanked).as_deref(), Some("1.0.0"));
        assert_eq!(of(Ecosystem::Pypi, &pypi(&["1.0rc1"])).as_deref(), Some("1.0rc1"));
        assert_eq!(of(Ecosystem::Pypi, &pypi(&[])), None);
    }

    #[test]
    fn a_version_has_provenance_when_one_file_has_and_none_only_when_every_file_says_so() {
        let version = Version::parse(Ecosystem::Pypi, "1.0.0").unwrap();
        for (said, expected) in [
            (&[Some(true), None][..], Some(true)),
            (&[Some(false), Some(true)], Some(true)),
            (&[Some(false), Some(false)], Some(false)),
            (&[Some(false), None], None),
        ] {
            let file = |provenance: &Option<bool>| ListedFile {
                provenance: *provenance,
                ..listed(ArtifactKind::Sdist, "1.0", "a.tar.gz")
            };
            let listing = Listing { files: said.iter().map(file).collect(), ..Listing::default() };
            assert_eq!(provenance(&version, &listing), expected, "{said:?}");
        }
    }

    fn some_version() -> impl Strategy<Value = String> {
        (0..3u8, 0..3u8, 0..3u8, 0..4u8).prop_map(|(a, b, c, pre)| match pre {
            0 => format!("{a}.{b}.{c}-rc.1"),
            _ => format!("{a}.{b}.{c}"),
        })
    }

    proptest! {
        #[test]
        fn the_choice_is_listed_lower_and_does_not_depend_on_higher_versions_or_their_order(
            versions in proptest::collection::vec(some_version(), 0..12),
            candidate in some_version(),
        ) {
            let texts: Vec<&str> = versions.iter().map(String::as_str).collect();
            let found = chosen(&candidate, Some("latest"), &npm(&texts, &[]));
            let parse = |text: &str| Version::parse(Ecosystem::Npm, text).unwrap();
            let (limit, is_lower) = (parse(&candidate), |version: &Version, limit: &Version| {
                version.compare(limit) == Some(Ordering::Less)
            });
            let mut lower: Vec<&str> =
                texts.iter().copied().filter(|text| is_lower(&parse(text), &limit)).collect();
            prop_assert_eq!(found.is_some(), !lower.is_empty());
            lower.reverse();
            prop_assert_eq!(&found, &chosen(&candidate, Some("latest"), &npm(&lower, &[])));
            if let Some(found) = found.map(|text| parse(&text)) {
                prop_assert!(is_lower(&found, &limit));
                // Nothing that would do as well lies between the two.
                let between = lower.iter().map(|text| parse(text)).find(|version| {
                    is_lower(&found, version)
                        && version.is_prerelease() <= found.is_prerelease()
                        && version.same_line(&limit) >= found.same_line(&limit)
                });
                prop_assert!(between.is_none(), "{between:?} is nearer than {found}");
            }
        }
    }
}
