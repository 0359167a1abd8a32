//! The upload form CI sends beside the metadata inside the file (P2, P10, Q3, wire.md 1.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::artifact::{ArtifactKind, PypiFacts};
use crate::domain::package::{Ecosystem, PackageName};
use crate::inspect::difference::{Comparison, Difference};

/// Fields whose difference refuses the upload.
const REFUSED: [&str; 7] = [
    "name",
    "version",
    "requires_dist",
    "requires_python",
    "provides_extra",
    "filetype",
    "pyversion",
];

/// Form fields that are about the request and not about the project.
const UNCOMPARED: [&str; 9] = [
    ":action",
    "protocol_version",
    "content",
    "attestations",
    "comment",
    "gpg_signature",
    "md5_digest",
    "sha256_digest",
    "blake2_256_digest",
];

/// Fields that may come once; a second value of one is refused.
const SINGLE: [&str; 19] = [
    "metadata_version",
    "name",
    "version",
    "summary",
    "description",
    "description_content_type",
    "keywords",
    "home_page",
    "download_url",
    "author",
    "author_email",
    "maintainer",
    "maintainer_email",
    "license",
    "license_expression",
    "requires_python",
    "filetype",
    "pyversion",
    "comment",
];

/// Compares form fields, in any order, with what the file says.
///
/// A field the form lacks counts as a difference, except those that a client is known to leave
/// out: flit's `pyversion` for source distributions.
pub fn compare_form(form: &[(String, String)], facts: &PypiFacts) -> Comparison {
    let mut comparison = Comparison::default();
    let mut claimed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (field, value) in form {
        if !UNCOMPARED.contains(&&**field) {
            claimed.entry(renamed(field)).or_default().push(value);
        }
    }
    let mut embedded: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (field, value) in &facts.fields {
        let field = renamed(&field.to_ascii_lowercase().replace('-', "_"));
        embedded.entry(field).or_default().push(value);
    }
    if let Some(description) = &facts.description {
        embedded.insert("description".to_owned(), vec![description]);
    }
    embedded.insert("filetype".to_owned(), vec![filetype(facts.kind)]);
    embedded.insert("pyversion".to_owned(), vec![&facts.pyversion]);
    if facts.kind == ArtifactKind::Sdist && !claimed.contains_key("pyversion") {
        embedded.remove("pyversion");
    }
    let fields: BTreeSet<&String> = claimed.keys().chain(embedded.keys()).collect();
    for field in fields {
        let values = claimed.get(field).map_or(&[][..], |values| values);
        let claim = normalize(field, values);
        let truth = normalize(field, embedded.get(field).map_or(&[][..], |values| values));
        let twice = SINGLE.contains(&&**field) && values.len() > 1;
        if claim == truth && !twice {
            continue;
        }
        let joined = |values: Vec<String>| (!values.is_empty()).then(|| values.join("\n"));
        let (claim, truth) = (joined(claim), joined(truth));
        let difference = Difference::new(field, claim.as_deref(), truth.as_deref());
        if twice || REFUSED.contains(&&**field) {
            comparison.refused.push(difference);
        } else {
            comparison.shown.push(difference);
        }
    }
    comparison
}

const fn filetype(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::Wheel => "bdist_wheel",
        ArtifactKind::Sdist => "sdist",
        ArtifactKind::NpmTarball => "npm",
    }
}

/// One name for fields that form and metadata, or two clients, spell differently.
fn renamed(field: &str) -> String {
    match field {
        "classifier" => "classifiers",
        "project_url" => "project_urls",
        "license_files" => "license_file",
        "platforms" => "platform",
        other => other,
    }
    .to_owned()
}

/// Values in a comparable form: sorted, without the spellings that clients choose freely.
fn normalize(field: &str, values: &[&str]) -> Vec<String> {
    let kept =
        values.iter().map(|value| value.trim()).filter(|value| !matches!(*value, "" | "UNKNOWN"));
    let mut out: Vec<String> = match field {
        "name" | "provides_extra" => kept.map(project_name).collect(),
        "requires_dist" => kept.map(requirement).collect(),
        "requires_python" => kept.map(specifiers).collect(),
        "keywords" => kept
            .flat_map(|value| value.split([',', ' ']))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        "project_urls" => kept
            .map(|value| match value.split_once(',') {
                Some((label, url)) => format!("{}, {}", label.trim(), url.trim()),
                None => value.to_owned(),
            })
            .collect(),
        "filetype" | "pyversion" | "version" => kept.map(str::to_owned).collect(),
        _ => kept.map(one_line).collect(),
    };
    out.sort();
    out
}

fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn project_name(value: &str) -> String {
    PackageName::parse(Ecosystem::Pypi, value)
        .map_or_else(|_| value.to_owned(), |name| name.normalized().to_owned())
}

/// Version specifiers without spaces and in one order.
fn specifiers(value: &str) -> String {
    let mut parts: Vec<String> = value
        .split(',')
        .map(|part| part.split_whitespace().collect::<String>())
        .filter(|part| !part.is_empty())
        .collect();
    parts.sort();
    parts.join(",")
}

/// PEP 508 in one spelling: normalised name, sorted extras and specifiers, one kind of quote.
fn requirement(value: &str) -> String {
    let (required, marker) = value.split_once(';').unwrap_or((value, ""));
    let required = required.trim_start();
    let end = required
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        .unwrap_or(required.len());
    let (name, rest) = required.split_at(end);
    let rest = rest.trim();
    let (extras, versions) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((extras, versions)) => (extras, versions),
        None => ("", rest),
    };
    let versions = versions.trim();
    let versions =
        versions.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(versions);
    let mut extras: Vec<String> =
        extras.split(',').map(|extra| project_name(extra.trim())).collect();
    extras.sort();
    format!(
        "{}[{}]{};{}",
        project_name(name),
        extras.join(","),
        specifiers(versions),
        marked(marker)
    )
}

/// A marker with one kind of quote and no spaces outside quotes but where words meet.
fn marked(marker: &str) -> String {
    let text = one_line(&marker.replace('\'', "\""));
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        quoted ^= c == '"';
        let symbol = |c: char| "<>=!~()".contains(c) || c == '"';
        let meets_symbol = out.ends_with(symbol) || chars.peek().copied().is_some_and(symbol);
        if c == ' ' && !quoted && meets_symbol {
            continue;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_compared_by_meaning() {
        for (left, right) in [
            ("Foo.Bar (>=1.0,<2)", "foo-bar<2, >=1.0"),
            ("a[y,x]>1; python_version<'3.8'", "A[x, y] >1 ; python_version < \"3.8\""),
            ("a; extra == 'test' and os_name=='nt'", "a;extra=='test' and os_name == 'nt'"),
        ] {
            assert_eq!(requirement(left), requirement(right));
        }
        assert_ne!(requirement("a>1"), requirement("a>2"));
        assert_ne!(requirement("a"), requirement("a; extra == 'x'"));
        assert_ne!(requirement("a; extra == 'x y'"), requirement("a; extra == 'xy'"));
    }
}
