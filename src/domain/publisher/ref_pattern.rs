//! Patterns over Git ref names.

use serde::Serialize;

use super::rule::{FIELD_MAX_BYTES, RuleError, field_error};

/// A pattern over full Git ref names: anchored, `*` stands for any text without `/` (O19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(in crate::domain) struct RefPattern(String);

impl RefPattern {
    /// Parses `refs/heads/…` or `refs/tags/…`.
    pub(in crate::domain) fn parse(field: &str, text: &str) -> Result<Self, RuleError> {
        let refused = || {
            let expected = "a pattern below refs/heads/ or refs/tags/ with `*` as only wildcard";
            field_error(field, expected, text)
        };
        let name = text
            .strip_prefix("refs/heads/")
            .or_else(|| text.strip_prefix("refs/tags/"))
            .ok_or_else(refused)?;
        let plain = text.replace('*', "x");
        if name.is_empty() || text.contains("**") || !is_ref_name(&plain) {
            return Err(refused());
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern as written.
    pub(in crate::domain) fn as_str(&self) -> &str {
        &self.0
    }

    /// The `ref_type` that a matching ref has.
    pub(in crate::domain) fn ref_type(&self) -> &'static str {
        if self.0.starts_with("refs/tags/") { "tag" } else { "branch" }
    }

    /// True for a well-formed ref name whose every segment matches.
    pub(in crate::domain) fn matches(&self, name: &str) -> bool {
        let segments = self.0.split('/').count();
        is_ref_name(name)
            && name.split('/').count() == segments
            && self
                .0
                .split('/')
                .zip(name.split('/'))
                .all(|(glob, text)| segment_matches(glob, text))
    }
}

/// The part of `git check-ref-format` that keeps a name from being read two ways.
pub(in crate::domain) fn is_ref_name(text: &str) -> bool {
    text.len() <= FIELD_MAX_BYTES
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
}

fn segment_matches(glob: &str, text: &str) -> bool {
    let mut pieces = glob.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        // No wildcard: the prefix was the whole segment.
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(found) = rest.find(piece) else {
            return false;
        };
        rest = &rest[found + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule O19.
    #[test]
    fn a_pattern_matches_whole_names_and_never_crosses_a_slash() {
        let cases = [
            ("refs/tags/v*", "refs/tags/v1.2.3", true),
            ("refs/tags/v*", "refs/tags/v", true),
            ("refs/tags/v*", "refs/tags/xv1", false),
            ("refs/tags/v*", "refs/tags/v1/x", false),
            ("refs/tags/v*", "refs/heads/v1", false),
            ("refs/tags/v*", "xrefs/tags/v1", false),
            ("refs/tags/v*", "refs/tags/v1\n", false),
            ("refs/tags/v*", "refs/tags/v1 x", false),
            ("refs/tags/v*", "refs/tags/v1..2", false),
            ("refs/tags/v*.*.*", "refs/tags/v1.2.3", true),
            ("refs/tags/v*.*.*", "refs/tags/v1.2", false),
            ("refs/tags/*-rc*-x", "refs/tags/v1-rc1-x", true),
            ("refs/tags/*a", "refs/tags/a", true),
            ("refs/tags/a*a", "refs/tags/a", false),
            ("refs/tags/a*a", "refs/tags/aa", true),
            ("refs/tags/pkg/*", "refs/tags/pkg/v1", true),
            ("refs/tags/pkg/*", "refs/tags/pkg", false),
            ("refs/tags/*/v1", "refs/tags/pkg/v1", true),
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main", "refs/heads/main2", false),
            ("refs/heads/main", "refs/heads/Main", false),
        ];
        for (pattern, name, expected) in cases {
            let parsed = RefPattern::parse("ref", pattern).unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} on {name}");
        }
        assert_eq!(RefPattern::parse("ref", "refs/tags/v*").unwrap().ref_type(), "tag");
        assert_eq!(RefPattern::parse("ref", "refs/heads/v*").unwrap().ref_type(), "branch");
    }
}
