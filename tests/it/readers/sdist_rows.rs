//! Source distributions: rows P14, P27, P29, A29 and rule P8.

use countersign::domain::artifact::Filename;
use countersign::inspect::failure::LimitRefusal;
use countersign::inspect::pypi::{PypiRefusal, compare_form, read_sdist};
use countersign::inspect::tar::TarRefusal;
use countersign::inspect::{Failure, Limits, Refusal};

use super::build::{entry, file, tgz};
use super::real_packages::read_python;

const NAME: &str = "hello_wire-1.0.0.tar.gz";
const PKG_INFO: &[u8] = b"Metadata-Version: 2.1\nName: hello.wire\nVersion: 1.0.0\n";

fn refusal(entries: &[Vec<u8>]) -> Refusal {
    match read_python(NAME, &tgz(entries)) {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn older_spellings_of_the_top_directory_are_accepted() {
    for top in ["hello_wire-1.0.0", "hello-wire-1.0.0", "Hello.Wire-1.0.0"] {
        let facts = read_python(
            NAME,
            &tgz(&[
                entry(&format!("{top}/"), b'5', b""),
                file(&format!("{top}/PKG-INFO"), PKG_INFO),
                file(&format!("{top}/src/other.egg-info/PKG-INFO"), b"anything"),
            ]),
        )
        .unwrap();
        assert_eq!((facts.file_count, &*facts.pyversion), (2, "source"));
        let form = [
            ("name", "hello_wire"),
            ("version", "1.0.0"),
            ("filetype", "sdist"),
            ("metadata_version", "2.1"),
        ];
        let form = form.map(|(field, value)| (field.to_owned(), value.to_owned()));
        assert_eq!(compare_form(&form, &facts).refused, [], "flit sends no pyversion");
    }
}

/// Row P29.
#[test]
fn p29_pkg_info_is_present_and_names_this_release() {
    let top = "hello_wire-1.0.0";
    let missing = refusal(&[file(&format!("{top}/src/PKG-INFO"), PKG_INFO)]);
    assert_eq!(missing, Refusal::Pypi(PypiRefusal::Missing { file: "PKG-INFO" }));
    for other in ["other-1.0.0", "hello_wire-1.0.1", "hello_wire", "x"] {
        let refused = refusal(&[file(&format!("{other}/PKG-INFO"), PKG_INFO)]);
        let place = "the top directory";
        assert!(
            matches!(&refused, Refusal::Pypi(PypiRefusal::Mismatch { place: p, .. }) if *p == place)
        );
    }
    for info in [
        &b"Metadata-Version: 2.1\nName: other\nVersion: 1.0.0\n"[..],
        b"Metadata-Version: 2.1\nName: hello-wire\nVersion: 1.0\n",
    ] {
        let refused = refusal(&[file(&format!("{top}/PKG-INFO"), info)]);
        assert!(matches!(refused, Refusal::Pypi(PypiRefusal::Mismatch { place: "PKG-INFO", .. })));
    }
    let small = Limits { metadata_bytes: 10, ..Limits::default() };
    let whole = tgz(&[file(&format!("{top}/PKG-INFO"), PKG_INFO)]);
    let failure = read_sdist(&whole[..], &Filename::parse(NAME).unwrap(), &small).unwrap_err();
    let bounded = failure.refusal();
    assert!(matches!(bounded, Some(Refusal::Limit(LimitRefusal::EntryBytes { limit: 10, .. }))));
    let two = refusal(&[file(&format!("{top}/PKG-INFO"), PKG_INFO), file("x-1/a", b"")]);
    assert!(matches!(two, Refusal::Tar(TarRefusal::TopDirectory { .. })));
}

/// Rows P27, A29.
#[test]
fn licenses_exist_and_links_do_not() {
    let info = b"Metadata-Version: 2.4\nName: hello.wire\nVersion: 1.0.0\nLicense-File: LICENSE\n";
    let refused = refusal(&[file("hello_wire-1.0.0/PKG-INFO", info)]);
    assert!(matches!(refused, Refusal::Pypi(PypiRefusal::LicenseFile { .. })));
    let refused = refusal(&[
        file("hello_wire-1.0.0/PKG-INFO", PKG_INFO),
        entry("hello_wire-1.0.0/a", b'2', b""),
    ]);
    assert!(matches!(refused, Refusal::Tar(TarRefusal::Type { kind: "symbolic link", .. })));
}

/// Row P14.
#[test]
fn a_wheels_name_is_no_source_distribution() {
    let filename = Filename::parse("hello_wire-1.0.0-py3-none-any.whl").unwrap();
    let refused = read_sdist(&b""[..], &filename, &Limits::default()).unwrap_err();
    assert!(matches!(refused.refusal(), Some(Refusal::Pypi(PypiRefusal::Kind { .. }))));
}
