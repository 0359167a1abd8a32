//! A repository of source code that the installation may read, and what is known of its releases.

use std::path::PathBuf;

use url::Url;

use crate::domain::package::{Ecosystem, PackageName, Version};
use crate::domain::publisher::ref_pattern::RefPattern;
use crate::domain::publisher::rule::RuleError;

/// A repository, under the name that CI tokens and workflows know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `owner/name`, or a path of groups.
    pub name: String,
    /// Where it is read.
    pub place: Place,
    /// How releases of every package of it are made.
    pub rules: Rules,
    /// What is different for some of its packages.
    pub packages: Vec<PackageRules>,
}

/// Where a repository is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A bare repository on this host that somebody else keeps up to date.
    Mirror(PathBuf),
    /// An address that is fetched from when a release is looked at.
    Remote {
        /// `https://…`.
        url: Url,
        /// A file that holds `user:password` for it.
        credentials_file: Option<PathBuf>,
        /// Plain http is allowed, for loopback and private networks.
        allow_private: bool,
    },
}

/// How releases are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    branches: Vec<RefPattern>,
    tags: Vec<String>,
    /// Where the package is in the repository; `None` to find out.
    directory: Option<String>,
}

/// What is different for one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRules {
    /// The package.
    pub package: PackageName,
    /// How it is released; what is not said is as for the others.
    pub rules: Rules,
}

/// What stands for the version in the name of a tag.
const VERSION: &str = "{version}";

/// A rule that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// No pattern of branch names.
    #[error("expected the name of a branch with `*` as only wildcard, received `{0}`")]
    Branch(String),
    /// No name of a tag.
    #[error("expected the name of a tag with `{{version}}` in it, received `{0}`")]
    Tag(String),
    /// No folder.
    #[error("expected a folder below the root of the repository, received `{0}`")]
    Directory(String),
    /// No package.
    #[error("expected `npm:name` or `pypi:name`, received `{0}`")]
    Package(String),
}

impl Rules {
    /// Reads what an operator wrote.
    pub fn parse(
        branches: &[String],
        tags: &[String],
        directory: Option<&str>,
    ) -> Result<Self, RulesError> {
        let pattern = |text: &String| {
            RefPattern::parse("branches", &format!("refs/heads/{text}"))
                .map_err(|_: RuleError| RulesError::Branch(text.clone()))
        };
        let template = |text: &String| {
            let example = format!("refs/tags/{}", text.replacen(VERSION, "1.0.0", 1));
            let fits = text.contains(VERSION)
                && !example.contains('*')
                && RefPattern::parse("tags", &example).is_ok();
            if fits { Ok(text.clone()) } else { Err(RulesError::Tag(text.clone())) }
        };
        let folder = |text: &str| {
            let parts = text.trim_end_matches('/').split('/');
            let fits = parts.clone().all(|part| !matches!(part, "" | "." | ".."));
            let refused = || RulesError::Directory(text.to_owned());
            fits.then(|| parts.collect::<Vec<_>>().join("/")).ok_or_else(refused)
        };
        Ok(Self {
            branches: branches.iter().map(pattern).collect::<Result<_, _>>()?,
            tags: tags.iter().map(template).collect::<Result<_, _>>()?,
            directory: directory.map(folder).transpose()?,
        })
    }

    /// Whether releases come from a branch.
    pub fn allows_branch(&self, name: &str) -> bool {
        let full = format!("refs/heads/{name}");
        self.branches.iter().any(|pattern| pattern.matches(&full))
    }

    /// Whether any branch is named.
    pub const fn names_branches(&self) -> bool {
        !self.branches.is_empty()
    }

    /// The tags that a version may have; none when nothing is said about tags.
    pub fn tags(&self, version: &Version) -> Vec<String> {
        self.tags.iter().map(|tag| tag.replacen(VERSION, version.as_str(), 1)).collect()
    }

    /// Where the package is in the repository, if that is said.
    pub fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }
}

impl Repository {
    /// How a package is released from here.
    pub fn rules_for(&self, package: &PackageName) -> Rules {
        let own = self.packages.iter().find(|known| {
            let other = &known.package;
            other.ecosystem() == package.ecosystem() && other.normalized() == package.normalized()
        });
        let Some(own) = own.map(|known| &known.rules) else { return self.rules.clone() };
        let or = |own: &Vec<RefPattern>, all: &Vec<RefPattern>| {
            if own.is_empty() { all.clone() } else { own.clone() }
        };
        Rules {
            branches: or(&own.branches, &self.rules.branches),
            tags: if own.tags.is_empty() { self.rules.tags.clone() } else { own.tags.clone() },
            directory: own.directory.clone().or_else(|| self.rules.directory.clone()),
        }
    }
}

/// Reads `npm:name` or `pypi:name`.
pub fn parse_package(text: &str) -> Result<PackageName, RulesError> {
    let named = text
        .split_once(':')
        .and_then(|(ecosystem, name)| PackageName::parse(Ecosystem::parse(ecosystem)?, name).ok());
    named.ok_or_else(|| RulesError::Package(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(
        branches: &[&str],
        tags: &[&str],
        directory: Option<&str>,
    ) -> Result<Rules, RulesError> {
        let owned =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Rules::parse(&owned(branches), &owned(tags), directory)
    }

    #[test]
    fn rules_are_read_and_those_of_a_package_come_first() {
        let all = rules(&["main", "release/*"], &["v{version}"], None).unwrap();
        assert!(all.allows_branch("main") && all.allows_branch("release/1.x"));
        assert!(!all.allows_branch("feature") && !all.allows_branch("release/a/b"));
        let package = parse_package("npm:@octo/lib").unwrap();
        let own = rules(&[], &["lib@{version}"], Some("packages/lib/")).unwrap();
        let repository = Repository {
            name: "octo/lib".to_owned(),
            place: Place::Mirror(PathBuf::from("x.git")),
            rules: all,
            packages: vec![PackageRules { package: package.clone(), rules: own }],
        };
        let version = Version::parse(Ecosystem::Npm, "1.2.3").unwrap();
        let merged = repository.rules_for(&package);
        assert_eq!(merged.tags(&version), ["lib@1.2.3"]);
        assert_eq!(merged.directory(), Some("packages/lib"));
        assert!(merged.allows_branch("main"));
        let other = repository.rules_for(&parse_package("npm:other").unwrap());
        assert_eq!((other.tags(&version), other.directory()), (vec!["v1.2.3".to_owned()], None));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        assert!(matches!(rules(&["-x y"], &[], None), Err(RulesError::Branch(_))));
        assert!(matches!(rules(&["**"], &[], None), Err(RulesError::Branch(_))));
        for tag in ["v1", "v{version}*", "v {version}", ""] {
            assert!(matches!(rules(&[], &[tag], None), Err(RulesError::Tag(_))), "{tag}");
        }
        for folder in ["/a", "../a", "a//b", ".", ""] {
            assert!(
                matches!(rules(&[], &[], Some(folder)), Err(RulesError::Directory(_))),
                "{folder}"
            );
        }
        assert!(parse_package("cargo:x").is_err() && parse_package("x").is_err());
    }
}
