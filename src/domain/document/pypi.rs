//! PyPI's upload form (wire 1.2), filled from the core metadata inside the file.
//!
//! Only fields of the core metadata specification are mapped, so that a header called `Filetype` or
//! `Attestations` cannot set the form's own fields. Attestations are never sent (Q2).

use super::DocumentError;
use crate::domain::artifact::{ArtifactKind, Digests, PypiFacts};

/// Core metadata fields, versions 1.0 to 2.5, and the form fields they become.
pub const CORE_FIELDS: [(&str, &str); 32] = [
    ("Metadata-Version", "metadata_version"),
    ("Name", "name"),
    ("Version", "version"),
    ("Dynamic", "dynamic"),
    ("Platform", "platform"),
    ("Supported-Platform", "supported_platform"),
    ("Summary", "summary"),
    ("Description", "description"),
    ("Description-Content-Type", "description_content_type"),
    ("Keywords", "keywords"),
    ("Home-page", "home_page"),
    ("Download-URL", "download_url"),
    ("Author", "author"),
    ("Author-email", "author_email"),
    ("Maintainer", "maintainer"),
    ("Maintainer-email", "maintainer_email"),
    ("License", "license"),
    ("License-Expression", "license_expression"),
    ("License-File", "license_file"),
    ("Classifier", "classifiers"),
    ("Requires-Dist", "requires_dist"),
    ("Requires-Python", "requires_python"),
    ("Requires-External", "requires_external"),
    ("Project-URL", "project_urls"),
    ("Provides-Extra", "provides_extra"),
    ("Provides-Dist", "provides_dist"),
    ("Obsoletes-Dist", "obsoletes_dist"),
    ("Provides", "provides"),
    ("Requires", "requires"),
    ("Obsoletes", "obsoletes"),
    ("Import-Name", "import_names"),
    ("Import-Namespace", "import_namespaces"),
];

/// The text fields of one upload, in the order they are sent, and the file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PypiForm {
    fields: Vec<(String, String)>,
    filename: String,
}

impl PypiForm {
    /// Name and value of each field; a name repeats once per value.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The file name of the `content` part.
    pub fn filename(&self) -> &str {
        &self.filename
    }
}

/// Builds the form of one wheel or sdist.
///
/// First the fields of the protocol, then the core metadata in file order, the description last.
pub fn pypi_form(
    facts: &PypiFacts,
    digests: &Digests,
    filename: &str,
) -> Result<PypiForm, DocumentError> {
    let filetype = match facts.kind {
        ArtifactKind::Wheel => "bdist_wheel",
        ArtifactKind::Sdist => "sdist",
        ArtifactKind::NpmTarball => return Err(DocumentError::KindMismatch),
    };
    let mut fields = vec![
        (":action".to_owned(), "file_upload".to_owned()),
        ("protocol_version".to_owned(), "1".to_owned()),
        ("filetype".to_owned(), filetype.to_owned()),
        ("pyversion".to_owned(), facts.pyversion.clone()),
        ("sha256_digest".to_owned(), digests.sha256.to_string()),
    ];
    if let Some(md5) = digests.md5 {
        fields.push(("md5_digest".to_owned(), md5.to_string()));
    }
    if let Some(blake2) = digests.blake2b256 {
        fields.push(("blake2_256_digest".to_owned(), blake2.to_string()));
    }
    let body = facts.description.as_deref().filter(|text| !text.is_empty());
    for (header, value) in &facts.fields {
        // Since Metadata 2.1 the message body is the description and wins over the header.
        if body.is_some() && header.eq_ignore_ascii_case("Description") {
            continue;
        }
        let known = CORE_FIELDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(header));
        if let Some((_, field)) = known {
            fields.push(((*field).to_owned(), value.clone()));
        }
    }
    if let Some(text) = body {
        fields.push(("description".to_owned(), text.to_owned()));
    }
    Ok(PypiForm { fields, filename: filename.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::digest::{Blake2b256, Md5, Sha256};
    use crate::domain::document::PublishDocument;

    fn digests() -> Digests {
        Digests {
            sha256: Sha256::of(b"wheel"),
            sha512: None,
            sha1: None,
            md5: Some(Md5::from_bytes([1; 16])),
            blake2b256: Some(Blake2b256::from_bytes([2; 32])),
        }
    }

    fn facts(fields: Vec<(String, String)>, description: Option<&str>) -> PypiFacts {
        PypiFacts {
            kind: ArtifactKind::Wheel,
            name: "hello-wire".into(),
            version: "1.0.0".into(),
            pyversion: "py3".into(),
            fields,
            description: description.map(Into::into),
            file_count: 3,
            unpacked_bytes: 10,
        }
    }

    const WHEEL: &str = "hello_wire-1.0.0-py3-none-any.whl";

    fn values<'a>(form: &'a PypiForm, name: &str) -> Vec<&'a str> {
        form.fields()
            .iter()
            .filter(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    #[test]
    fn the_protocol_fields_describe_the_file() {
        let form = pypi_form(&facts(vec![], None), &digests(), WHEEL).unwrap();
        assert_eq!(values(&form, ":action"), ["file_upload"]);
        assert_eq!(values(&form, "protocol_version"), ["1"]);
        assert_eq!(values(&form, "filetype"), ["bdist_wheel"]);
        assert_eq!(values(&form, "pyversion"), ["py3"]);
        assert_eq!(values(&form, "sha256_digest"), [Sha256::of(b"wheel").to_string()]);
        assert_eq!(values(&form, "md5_digest"), ["01".repeat(16)]);
        assert_eq!(values(&form, "blake2_256_digest"), ["02".repeat(32)]);
        let mut tarball = facts(vec![], None);
        tarball.kind = ArtifactKind::NpmTarball;
        assert_eq!(pypi_form(&tarball, &digests(), "x"), Err(DocumentError::KindMismatch));
    }

    /// Rule Q2, and the form's own fields cannot be set from inside the file.
    #[test]
    fn headers_outside_the_specification_set_nothing() {
        let smuggled =
            [":action", "Filetype", "Attestations", "Sha256-Digest", "Content", "Gpg-Signature"];
        let fields = smuggled.iter().map(|name| ((*name).to_owned(), "evil".to_owned())).collect();
        let form = pypi_form(&facts(fields, None), &digests(), WHEEL).unwrap();
        assert!(
            form.fields().iter().all(|(name, value)| value != "evil" && name != "attestations")
        );
    }

    #[test]
    fn the_body_is_the_description_and_an_old_header_stands_in_for_it() {
        let header = vec![("Description".to_owned(), "old".to_owned())];
        let form = pypi_form(&facts(header.clone(), Some("new")), &digests(), WHEEL).unwrap();
        assert_eq!(values(&form, "description"), ["new"]);
        let form = pypi_form(&facts(header, None), &digests(), WHEEL).unwrap();
        assert_eq!(values(&form, "description"), ["old"]);
    }

    #[test]
    fn moving_text_between_name_and_value_changes_the_digest() {
        let digest_of = |name: &str, value: &str, filename: &str, artifact: &[u8]| {
            let form = PypiForm {
                fields: vec![(name.to_owned(), value.to_owned())],
                filename: filename.to_owned(),
            };
            PublishDocument::Pypi(form).digest(&Sha256::of(artifact))
        };
        let digest =
            |name: &str, value: &str, filename: &str| digest_of(name, value, filename, b"wheel");
        let expected = digest("ab", "c", "f");
        assert_eq!(digest("ab", "c", "f"), expected);
        assert_ne!(digest("a", "bc", "f"), expected);
        assert_ne!(digest("ab", "cf", ""), expected);
        assert_ne!(digest("ab", "c", "g"), expected);
        assert_ne!(digest_of("ab", "c", "f", b"another"), expected);
    }

    proptest! {
        /// Rule D7: every value of every core metadata field arrives, in order.
        #[test]
        fn every_core_field_arrives(
            picked in prop::collection::vec((prop::sample::select(&CORE_FIELDS[..]), "\\PC{0,20}"), 0..40),
            shout in any::<bool>(),
        ) {
            let cased = |name: &str| if shout { name.to_uppercase() } else { name.to_owned() };
            let fields =
                picked.iter().map(|((name, _), value)| (cased(name), value.clone())).collect();
            let form = pypi_form(&facts(fields, None), &digests(), WHEEL).unwrap();
            for (_, field) in CORE_FIELDS {
                let expected: Vec<&str> = picked
                    .iter()
                    .filter(|((_, name), _)| *name == field)
                    .map(|(_, value)| value.as_str())
                    .collect();
                prop_assert_eq!(values(&form, field), expected, "{}", field);
            }
        }
    }
}
