//! Wheels and upload forms: rows P07, P10, P16-P18, P22-P27, P34 and rules P2, P4-P7, Q3.

use countersign::inspect::pypi::entry_points::EntryPointsRefusal;
use countersign::inspect::pypi::metadata::MetadataRefusal;
use countersign::inspect::pypi::record::RecordRefusal;
use countersign::inspect::pypi::{PypiRefusal, compare_form};
use countersign::inspect::{Failure, Refusal};

use super::build::{record, stored, wheel, wheel_files, zip};
use super::real_packages::read_python;

const NAME: &str = "hello_wire-1.0.0-py3-none-any.whl";
const INFO: &str = "hello_wire-1.0.0.dist-info";

type Files = Vec<(String, Vec<u8>)>;

fn pypi_refusal(bytes: &[u8]) -> PypiRefusal {
    match read_python(NAME, bytes) {
        Err(Failure::Refused(Refusal::Pypi(refusal))) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Refusal of the good wheel after `change`, with a true RECORD.
fn after(change: impl FnOnce(&mut Files)) -> PypiRefusal {
    let mut files = wheel_files();
    change(&mut files);
    pypi_refusal(&wheel(&files, &record(&files)))
}

fn added(name: &str, body: &[u8]) -> PypiRefusal {
    after(|files| files.push((name.to_owned(), body.to_vec())))
}

#[test]
fn the_good_wheel_is_accepted_and_counted() {
    let mut files = wheel_files();
    files.push(("hello_wire/a, \"b\".py".to_owned(), b"x".to_vec()));
    files.push(("hello_wire/x.py".to_owned(), b"x".to_vec()));
    files.push(("hello_wire/__pycache__/x.cpython-313.pyc".to_owned(), vec![0; 16]));
    files.push(("hello_wire-1.0.0.data/scripts/hello".to_owned(), b"#!python\n".to_vec()));
    let quoted = record(&files).replace("hello_wire/a, \"b\".py", "\"hello_wire/a, \"\"b\"\".py\"");
    let facts = read_python(NAME, &wheel(&files, &quoted.replace('\n', "\r\n"))).unwrap();
    assert_eq!((&*facts.name, &*facts.version, &*facts.pyversion), ("Hello.Wire", "1.0.0", "py3"));
    assert_eq!(facts.file_count, 9);
    assert_eq!(facts.description.as_deref(), Some("Hello\n"));
}

/// Row P17. Rule P5.
#[test]
fn p17_there_is_one_dist_info_and_it_is_this_projects() {
    let rename = |from: &str, to: &str| {
        after(|files| files.iter_mut().for_each(|(name, _)| *name = name.replace(from, to)))
    };
    let refused = rename(INFO, "other-1.0.0.dist-info");
    assert_eq!(refused, PypiRefusal::DistInfo { count: 2 });
    assert_eq!(added("x-1.dist-info/METADATA", b""), PypiRefusal::DistInfo { count: 2 });
    assert_eq!(pypi_refusal(&zip(&[stored("a.py", b"")])), PypiRefusal::DistInfo { count: 0 });
    for other in ["other-1.0.0.dist-info", "hello_wire-1.0.1.dist-info", "hello_wire.dist-info"] {
        let bytes = zip(&[stored(&format!("{other}/METADATA"), b"")]);
        assert!(matches!(pypi_refusal(&bytes), PypiRefusal::Mismatch { .. }), "{other}");
    }
    for missing in ["METADATA", "WHEEL"] {
        let refused = after(|files| files.retain(|(name, _)| !name.ends_with(missing)));
        assert_eq!(refused, PypiRefusal::Missing { file: missing });
    }
    let files = wheel_files();
    let all: Vec<_> = files.iter().map(|(name, body)| stored(name, body)).collect();
    assert_eq!(pypi_refusal(&zip(&all)), PypiRefusal::Missing { file: "RECORD" });
    let other =
        after(|files| files[1].1 = b"Metadata-Version: 2.1\nName: b\nVersion: 1.0.0\n".to_vec());
    assert!(matches!(other, PypiRefusal::Mismatch { place: "METADATA", .. }));
    let other = after(|files| {
        files[1].1 = b"Metadata-Version: 2.1\nName: hello-wire\nVersion: 1.0\n".to_vec();
    });
    assert!(matches!(other, PypiRefusal::Mismatch { place: "METADATA", .. }));
    for version in ["2.0", "", "1"] {
        let refused =
            after(|files| files[2].1 = format!("Wheel-Version: {version}\n").into_bytes());
        assert!(matches!(refused, PypiRefusal::WheelVersion { .. }), "{version}");
    }
}

/// Row P18. Rule P4.
#[test]
fn p18_record_lists_every_file_with_its_true_hash_and_size() {
    let files = wheel_files();
    let good = record(&files);
    let with = |record: &str| match pypi_refusal(&wheel(&files, record)) {
        PypiRefusal::Record(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let first = good.lines().next().unwrap();
    let without = good.replacen(&format!("{first}\n"), "", 1);
    assert!(matches!(with(&without), RecordRefusal::Unlisted { .. }));
    let line = |line: &str| with(&format!("{without}{line}\n"));
    assert!(matches!(with(&format!("{good}{first}\n")), RecordRefusal::Twice { .. }));
    let extra = first.replace("__init__", "gone");
    assert!(matches!(with(&format!("{good}{extra}\n")), RecordRefusal::Absent { .. }));
    let absolute = format!("/{first}");
    assert!(matches!(with(&format!("{good}{absolute}\n")), RecordRefusal::Absent { .. }));
    assert!(matches!(line(&first.replace(",6", ",7")), RecordRefusal::SizeMismatch { .. }));
    let hash = first.split(',').nth(1).unwrap();
    let zero = format!("sha256={}", "A".repeat(43));
    assert!(matches!(line(&first.replace(hash, &zero)), RecordRefusal::HashMismatch { .. }));
    for bad in ["md5=AAAA", "sha256=AAAA", "sha1=2jmj7l5rSw0yVb_vlWAYkK_YBwk", "sha256", "x=y"] {
        assert!(matches!(line(&first.replace(hash, bad)), RecordRefusal::Hash { .. }), "{bad}");
    }
    for bad in ["hello_wire/__init__.py,,", "hello_wire/__init__.py,,6"] {
        assert!(matches!(line(bad), RecordRefusal::Unhashed { .. }), "{bad}");
    }
    let quoted = format!("\"hello_wire/__init__.py\"{}", &first["hello_wire/__init__.py".len()..]);
    for bad in ["hello_wire/__init__.py", "x", "\"x,y", ",a,b", &quoted, "a\"b,sha256=x,1", ""] {
        assert!(matches!(line(bad), RecordRefusal::Line { .. }), "{bad}");
    }
    let own = good.replace("RECORD,,", &format!("RECORD,{hash},6"));
    assert!(matches!(with(&own), RecordRefusal::Unhashed { .. }));
    assert!(
        read_python(NAME, &wheel(&files, &good.replace(&format!("{INFO}/RECORD,,\n"), ""))).is_ok()
    );
}

/// Row P22.
#[test]
fn p22_bytecode_needs_its_source_and_a_check() {
    for name in ["a.pyc", "a/b.pyc", "a/__pycache__/b.cpython-313.pyc", "a/B.PYC"] {
        assert!(matches!(added(name, &[0; 16]), PypiRefusal::OrphanBytecode { .. }), "{name}");
    }
    for (flags, accepted) in [(0, true), (1, false), (3, true)] {
        let mut files = wheel_files();
        files.push(("a/b.py".to_owned(), Vec::new()));
        let body = [b"magi", &[flags, 0, 0, 0][..], &[0; 8]].concat();
        files.push(("a/__pycache__/b.cpython-313.pyc".to_owned(), body));
        let read = read_python(NAME, &wheel(&files, &record(&files)));
        assert_eq!(read.is_ok(), accepted, "{flags}");
    }
}

/// Rows P23, P24, P27. Rules P6, P7.
#[test]
fn p23_p27_metadata_files_and_data_paths_are_checked() {
    let refused = added(&format!("{INFO}/entry_points.txt"), b"[console_scripts]\n../x = a:b\n");
    let expected = EntryPointsRefusal::CommandName { name: "../x".to_owned() };
    assert_eq!(refused, PypiRefusal::EntryPoints(expected));
    let refused = after(|files| files[1].1.splice(0..0, *b"Name: x\n").for_each(drop));
    let expected = MetadataRefusal::Twice { field: "Name".to_owned() };
    assert_eq!(refused, PypiRefusal::Metadata(expected));
    let refused = after(|files| {
        files.pop();
    });
    assert_eq!(refused, PypiRefusal::LicenseFile { file: "LICENSE".to_owned() });
    for name in ["evil/x", "scripts/a/b", "purelib", "", "Scripts/x"] {
        let refused = added(&format!("hello_wire-1.0.0.data/{name}z"), b"");
        assert!(matches!(refused, PypiRefusal::DataPath { .. }), "{name}: {refused:?}");
    }
    let refused = added("other-1.0.0.data/purelib/x.py", b"");
    assert!(matches!(refused, PypiRefusal::Mismatch { place: "the `.data` directory", .. }));
}

/// Row P34.
#[test]
fn p34_what_is_no_zip_is_no_wheel() {
    for bytes in [&b""[..], &[b'x'; 100], b"<html><body>502 Bad Gateway</body></html>"] {
        assert!(matches!(read_python(NAME, bytes), Err(Failure::Refused(Refusal::Zip(_)))));
    }
}

fn form() -> Vec<(String, String)> {
    [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("metadata_version", "2.4"),
        ("name", "hello-wire"),
        ("version", "1.0.0"),
        ("filetype", "bdist_wheel"),
        ("pyversion", "py3"),
        ("requires_dist", "attrs"),
        ("requires_python", ">=3.8"),
        ("license_file", "LICENSE"),
        ("description", "Hello"),
        ("home_page", "UNKNOWN"),
        ("sha256_digest", "00"),
    ]
    .map(|(field, value)| (field.to_owned(), value.to_owned()))
    .to_vec()
}

/// Row P10. Rule P2, ruling Q3.
#[test]
fn p10_the_form_may_not_differ_from_the_file_where_it_decides() {
    let files = wheel_files();
    let facts = read_python(NAME, &wheel(&files, &record(&files))).unwrap();
    let comparison = compare_form(&form(), &facts);
    assert_eq!(comparison.refused, []);
    assert_eq!(comparison.shown, []);
    for (field, value) in [
        ("name", "other"),
        ("version", "1.0"),
        ("requires_dist", "attrs>1"),
        ("requires_dist", ""),
        ("requires_python", ">=3.9"),
        ("requires_python", ""),
        ("filetype", "sdist"),
        ("pyversion", "py2.py3"),
    ] {
        let mut form = form();
        form.iter_mut().find(|(name, _)| name == field).unwrap().1 = value.to_owned();
        let refused = compare_form(&form, &facts).refused;
        assert_eq!(refused.len(), 1, "{field} {value}");
        assert_eq!(refused[0].field, field);
    }
    for field in ["name", "version", "requires_dist", "requires_python", "filetype", "pyversion"] {
        let mut form = form();
        form.retain(|(name, _)| name != field);
        assert_eq!(compare_form(&form, &facts).refused[0].field, field, "left out");
    }
    for (field, value) in [
        ("requires_dist", "evil"),
        ("provides_extra", "x"),
        ("name", "hello-wire"),
        ("description", "Hello"),
    ] {
        let mut form = form();
        form.push((field.to_owned(), value.to_owned()));
        assert_eq!(compare_form(&form, &facts).refused[0].field, field, "added");
    }
}

#[test]
fn other_form_differences_are_shown() {
    let files = wheel_files();
    let facts = read_python(NAME, &wheel(&files, &record(&files))).unwrap();
    for (field, value) in [("summary", "other"), ("classifiers", "X"), ("author", "somebody")] {
        let mut form = form();
        form.push((field.to_owned(), value.to_owned()));
        let comparison = compare_form(&form, &facts);
        assert_eq!(comparison.refused, [], "{field}");
        assert_eq!(comparison.shown[0].field, field);
    }
    // flit states 2.3 whatever the file says, and leaves fields out.
    let mut flit = form();
    flit.retain(|(name, _)| name != "license_file");
    flit.iter_mut().find(|(name, _)| name == "metadata_version").unwrap().1 = "2.3".to_owned();
    let comparison = compare_form(&flit, &facts);
    assert_eq!(comparison.refused, []);
    let fields: Vec<&str> = comparison.shown.iter().map(|d| &*d.field).collect();
    assert_eq!(fields, ["license_file", "metadata_version"]);
}
