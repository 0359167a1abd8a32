//! Rows Z01-Z30 of the bad-input corpus: ZIP.

use std::io::Cursor;

use countersign::inspect::failure::LimitRefusal;
use countersign::inspect::names::NameRefusal;
use countersign::inspect::zip::{Archive, ZipRefusal};
use countersign::inspect::{Failure, Limits, Refusal};

use super::build::{Zipped, deflated, end_record, header, stored, zip};

/// Opens an archive and reads every entry.
fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut archive = Archive::open(Cursor::new(bytes), limits)?;
    let mut out = Vec::new();
    for entry in archive.entries().to_vec() {
        out.push((entry.path().to_owned(), archive.content(&entry, u64::MAX)?));
    }
    Ok(out)
}

fn refused(bytes: &[u8]) -> Refusal {
    match read(bytes, &Limits::default()) {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn zip_refusal(bytes: &[u8]) -> ZipRefusal {
    match refused(bytes) {
        Refusal::Zip(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn one(change: impl FnOnce(&mut Zipped)) -> ZipRefusal {
    let mut file = deflated("a", b"hello hello hello");
    change(&mut file);
    zip_refusal(&zip(&[file]))
}

/// Locals, a directory over them and the end record, joined by hand.
fn joined(locals: &[u8], directory: &[u8], entries: u16) -> Vec<u8> {
    [locals, directory, &end_record(entries, directory.len(), locals.len())].concat()
}

#[test]
fn stored_and_deflated_files_and_directories_are_read() {
    let directory = Zipped { attributes: 0o040_755 << 16 | 0x10, ..stored("d/", b"") };
    let named = Zipped { flags: 0x0800, ..stored("d/na\u{ef}ve", b"x") };
    let files = read(
        &zip(&[directory, stored("d/a", b"1"), deflated("d/b", &vec![7; 200_000]), named]),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(files[1], ("d/a".to_owned(), b"1".to_vec()));
    assert_eq!(files[2], ("d/b".to_owned(), vec![7; 200_000]));
    assert_eq!(files[3].0, "d/na\u{ef}ve");
    assert!(read(&zip(&[]), &Limits::default()).unwrap().is_empty());
}

#[test]
fn z01_z04_bytes_around_the_archive_are_refused() {
    let good = zip(&[stored("a", b"x")]);
    let prefixed = [b"#!/bin/sh\n", &good[..]].concat();
    assert!(matches!(zip_refusal(&prefixed), ZipRefusal::CentralDirectory { .. }));
    let file = stored("a", b"x");
    let moved = [b"prefix", &file.local()[..]].concat();
    let refusal = zip_refusal(&joined(&moved, &file.central(6), 1));
    assert!(matches!(refusal, ZipRefusal::Layout { expected: 0, offset: 6, .. }));
    for tail in [&b"x"[..], &[0; 30], &good] {
        let refusal = zip_refusal(&[&good[..], tail].concat());
        assert!(
            matches!(refusal, ZipRefusal::NoEndRecord | ZipRefusal::CentralDirectory { .. }),
            "{refusal:?}"
        );
    }
    let last = &good[good.len() - 22..];
    let two_ends = [&good[..], last].concat();
    assert!(matches!(zip_refusal(&two_ends), ZipRefusal::CentralDirectory { .. }));
    let mut commented = good.clone();
    let at = commented.len() - 2;
    commented[at] = 22;
    commented.extend(last);
    assert!(matches!(zip_refusal(&commented), ZipRefusal::CentralDirectory { .. }));
    let mut without_its_comment = good.clone();
    without_its_comment[at] = 1;
    assert_eq!(zip_refusal(&without_its_comment), ZipRefusal::NoEndRecord);
    for bytes in [&b""[..], b"PK\x05\x06", b"<html></html>", &[0; 100]] {
        assert_eq!(zip_refusal(bytes), ZipRefusal::NoEndRecord);
    }
}

#[test]
fn z05_z08_local_and_central_records_must_agree() {
    let disagreement = |change: fn(&mut Zipped)| match one(change) {
        ZipRefusal::Disagreement { field, .. } => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(disagreement(|file| file.local_name = Some(b"b".to_vec())), "name");
    assert_eq!(disagreement(|file| file.local_name = Some(b"a/".to_vec())), "name");
    assert_eq!(disagreement(|file| file.local_size = Some(1)), "size");
    let file = stored("a", b"x");
    for (change, expected) in [(6, "flags"), (8, "method"), (14, "checksum"), (18, "packed size")] {
        let mut local = file.local();
        local[change] ^= 2;
        let refusal = zip_refusal(&joined(&local, &file.central(0), 1));
        assert!(
            matches!(refusal, ZipRefusal::Disagreement { field, .. } if field == expected),
            "{refusal:?}"
        );
    }
    // Z07: a local record the directory does not know.
    let locals = [file.local(), stored("hidden", b"x").local()].concat();
    let refusal = zip_refusal(&joined(&locals, &file.central(0), 1));
    assert!(matches!(refusal, ZipRefusal::CentralDirectory { .. }));
    let locals = [stored("hidden", b"x").local(), file.local()].concat();
    let refusal = zip_refusal(&joined(&locals, &file.central(37), 1));
    assert!(matches!(refusal, ZipRefusal::Layout { .. }));
    // Z08: a central record without a local one.
    let directory = [file.central(0), stored("b", b"x").central(file.local().len())].concat();
    let refusal = zip_refusal(&joined(&file.local(), &directory, 2));
    assert!(matches!(refusal, ZipRefusal::Signature { record: "local", .. }), "{refusal:?}");
}

#[test]
fn z09_z11_duplicates_and_overlaps_are_refused() {
    let twice = zip(&[stored("a", b"1"), stored("a", b"2")]);
    assert!(matches!(refused(&twice), Refusal::Name(NameRefusal::Collision { .. })));
    let file = stored("a", b"x");
    let directory = [file.central(0), file.central(0)].concat();
    let refusal = refused(&joined(&file.local(), &directory, 2));
    assert!(matches!(refusal, Refusal::Name(NameRefusal::Collision { .. })));
    // Z11: a second entry whose local record lies in the first one's content.
    let inner = stored("b", b"x");
    let outer = stored("a", &inner.local());
    let offset = outer.local().len() - inner.local().len();
    let directory = [outer.central(0), inner.central(offset)].concat();
    let refusal = zip_refusal(&joined(&outer.local(), &directory, 2));
    assert!(matches!(refusal, ZipRefusal::Layout { .. }));
}

#[test]
fn z12_z14_descriptors_methods_and_encryption_are_refused() {
    for (flag, expected) in [
        (0x0008, "a data descriptor"),
        (0x0001, "encryption"),
        (0x0041, "encryption"),
        (0x2000, "encryption"),
        (0x0010, "an unused flag"),
        (0x8000, "an unused flag"),
    ] {
        match one(|file| file.flags = flag) {
            ZipRefusal::Flag { flag, .. } => assert_eq!(flag, expected),
            other => panic!("{other:?}"),
        }
    }
    for method in [1, 9, 12, 14, 93, 99] {
        let refusal = one(|file| file.method = method);
        assert!(matches!(refusal, ZipRefusal::Method { method: m, .. } if m == method));
    }
}

/// Found by the comparison with Python's reader, which refuses such a file.
#[test]
fn versions_at_which_readers_give_up_are_refused() {
    let file = stored("a", b"x");
    for (local, central) in [(20, 46), (46, 20)] {
        let (mut first, mut second) = (file.local(), file.central(0));
        (first[4], second[6]) = (local, central);
        let refusal = zip_refusal(&joined(&first, &second, 1));
        assert!(matches!(refusal, ZipRefusal::Version { version: 46, .. }));
    }
}

#[test]
fn z15_z18_extra_fields_that_change_an_entry_are_refused() {
    let extra = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        one(move |file| file.extra = bytes)
    };
    assert!(matches!(extra(b"\x01\0\0\0"), ZipRefusal::Zip64 { .. }));
    assert!(matches!(extra(b"\x75\x70\x01\0x"), ZipRefusal::Extra { field: 0x7075, .. }));
    assert!(matches!(extra(b"\x01\x99\0\0"), ZipRefusal::Extra { field: 0x9901, .. }));
    for malformed in [&b"\x55"[..], b"\x55\x54\x09\0x", b"\x55\x54\0\0\x01"] {
        assert!(matches!(extra(malformed), ZipRefusal::Extra { field: 0, .. }));
    }
    // In one of the two records is enough.
    let (plain, file) = (stored("a", b"x"), stored("a", b"x"));
    let changed = Zipped { extra: b"\x75\x70\x01\0x".to_vec(), ..file };
    for (local, central) in [(&plain, &changed), (&changed, &plain)] {
        let refusal = zip_refusal(&joined(&local.local(), &central.central(0), 1));
        assert!(matches!(refusal, ZipRefusal::Extra { field: 0x7075, .. }));
    }
    // Z16, Z17: a ZIP64 end record and locator in front of the end record.
    let file = stored("a", b"x");
    let zip64 = [&b"PK\x06\x06"[..], &[0; 52], b"PK\x06\x07", &[0; 16]].concat();
    let mut bytes = [file.local(), file.central(0), zip64].concat();
    bytes.extend(end_record(1, file.central(0).len(), file.local().len()));
    assert!(matches!(zip_refusal(&bytes), ZipRefusal::CentralDirectory { .. }));
    let sizes = [file.local(), file.central(0), end_record(u16::MAX, 47, 32)].concat();
    assert!(matches!(zip_refusal(&sizes), ZipRefusal::Zip64 { .. }));
}

/// A file is executable when pip, unzip or uv would make it so.
#[test]
fn a_mode_without_a_type_makes_a_file_executable_only_where_unix_made_it() {
    const UNIX: u8 = 3;
    const FAT: u8 = 0;
    let read = |attributes: u32, made_by: u8| {
        let file = Zipped { attributes: attributes << 16, ..stored("a", b"x") };
        let mut archive = zip(&[file]);
        let central = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        archive[central + 5] = made_by;
        let archive = Archive::open(Cursor::new(archive), &Limits::default()).unwrap();
        archive.entries()[0].is_executable()
    };
    assert!(read(0o100_755, UNIX) && read(0o100_755, FAT), "pip reads both");
    assert!(read(0o755, UNIX), "unzip and uv");
    assert!(!read(0o755, FAT), "no mode of Unix, and pip wants the type");
    assert!(!read(0o100_644, UNIX) && !read(0o644, UNIX));
}

#[test]
fn z19_z23_names_and_types_are_checked() {
    let name = |bytes: &[u8]| refused(&zip(&[Zipped { name: bytes.to_vec(), ..stored("", b"") }]));
    assert!(matches!(name(b"\xe9"), Refusal::Name(NameRefusal::NotUtf8 { .. })));
    assert!(matches!(name("\u{e9}".as_bytes()), Refusal::Zip(ZipRefusal::NameEncoding { .. })));
    assert!(matches!(name(b"a\0b"), Refusal::Name(NameRefusal::Control { .. })));
    assert!(matches!(name(b"/a"), Refusal::Name(NameRefusal::Absolute { .. })));
    assert!(matches!(name(b"a/../../b"), Refusal::Name(NameRefusal::DotPart { .. })));
    assert!(matches!(name(b"a\\b"), Refusal::Name(NameRefusal::Backslash { .. })));
    assert!(matches!(name(b"c:a"), Refusal::Name(NameRefusal::Absolute { .. })));
    for mode in [0o120_777, 0o020_644, 0o060_644, 0o010_644, 0o140_644, 0o040_755] {
        let refusal = one(|file| file.attributes = mode << 16);
        assert!(matches!(refusal, ZipRefusal::FileType { mode: m, .. } if m == mode));
    }
    assert!(matches!(one(|file| file.attributes = 0x10), ZipRefusal::FileType { .. }));
    let directory = Zipped { attributes: 0x10, ..stored("d/", b"data") };
    assert!(matches!(zip_refusal(&zip(&[directory])), ZipRefusal::DirectoryWithBytes { .. }));
    assert!(matches!(one(|file| file.comment = b"c".to_vec()), ZipRefusal::Comment { .. }));
}

#[test]
fn z24_z25_contents_are_checked_and_bounded() {
    assert!(matches!(one(|file| file.crc ^= 1), ZipRefusal::Crc { .. }));
    assert!(matches!(one(|file| file.size += 1), ZipRefusal::Stream { .. }));
    assert!(matches!(one(|file| file.size -= 1), ZipRefusal::Stream { .. }));
    assert!(matches!(one(|file| file.packed.push(0)), ZipRefusal::Stream { .. }));
    assert!(matches!(one(|file| file.packed.truncate(3)), ZipRefusal::Stream { .. }));
    assert!(matches!(one(|file| file.packed[0] = 0x07), ZipRefusal::Stream { .. }));
    let mut stored_short = stored("a", b"xy");
    stored_short.size = 1;
    assert!(matches!(zip_refusal(&zip(&[stored_short])), ZipRefusal::Stream { .. }));
    let limits = Limits { ratio_free_bytes: 1000, ..Limits::default() };
    let bomb = zip(&[deflated("a", &vec![0; 1 << 20])]);
    assert!(matches!(
        read(&bomb, &limits),
        Err(Failure::Refused(Refusal::Limit(LimitRefusal::Ratio { .. })))
    ));
    let limits = Limits { unpacked_bytes: 1000, ..Limits::default() };
    assert!(matches!(
        read(&bomb, &limits),
        Err(Failure::Refused(Refusal::Limit(LimitRefusal::Unpacked { .. })))
    ));
}

/// Rows Z24, Z25: each entry and their number, and no more of a content than it is said to have.
#[test]
fn entries_are_bounded_one_by_one() {
    let refused = |bytes: &[u8], limits: &Limits| match read(bytes, limits) {
        Err(Failure::Refused(Refusal::Limit(refusal))) => refusal,
        other => panic!("{other:?}"),
    };
    let two = zip(&[stored("a", b"12345"), stored("b", b"")]);
    let small = Limits { entry_bytes: 4, ..Limits::default() };
    assert!(matches!(refused(&two, &small), LimitRefusal::EntryBytes { limit: 4, size: 5, .. }));
    let few = Limits { entries: 1, ..Limits::default() };
    assert_eq!(refused(&two, &few), LimitRefusal::Entries { limit: 1 });
    let mut archive = Archive::open(Cursor::new(&two[..]), &Limits::default()).unwrap();
    let entry = archive.entries()[0].clone();
    let failure = archive.content(&entry, 4).unwrap_err();
    let refusal = failure.refusal();
    assert!(matches!(refusal, Some(Refusal::Limit(LimitRefusal::EntryBytes { limit: 4, .. }))));
    let longer = Zipped { size: 10, ..deflated("a", &vec![7; 1 << 20]) };
    let longer = zip(&[longer]);
    let mut archive = Archive::open(Cursor::new(&longer[..]), &Limits::default()).unwrap();
    let (entry, mut given) = (archive.entries()[0].clone(), 0);
    let copied = archive.copy(&entry, |piece| {
        given += piece.len();
        Ok(())
    });
    assert!(copied.is_err() && given <= 10, "{given} bytes were given out");
}

#[test]
fn z27_a_zip_that_is_also_a_tar_is_refused() {
    let file = stored("a", &header(b"x/y", b'0', 0)[31..]);
    assert_eq!(zip_refusal(&zip(&[file])), ZipRefusal::AlsoTar);
}

#[test]
fn z28_z30_disks_and_counts_must_be_right() {
    assert_eq!(one(|file| file.disk = 1), ZipRefusal::MultiDisk);
    let file = stored("a", b"x");
    let mut split = zip(std::slice::from_ref(&file));
    let at = split.len() - 18;
    split[at] = 1;
    assert_eq!(zip_refusal(&split), ZipRefusal::MultiDisk);
    for count in [0, 2] {
        let refusal = zip_refusal(&joined(&file.local(), &file.central(0), count));
        assert!(matches!(refusal, ZipRefusal::CentralDirectory { .. }), "{count}");
    }
    let mut cut = file.central(0);
    cut.truncate(46);
    let refusal = zip_refusal(&joined(&file.local(), &cut, 1));
    assert!(matches!(refusal, ZipRefusal::CentralDirectory { .. }));
    // Z30: 65,536 entries, which the 16-bit count calls none.
    let (mut locals, mut directory) = (Vec::new(), Vec::new());
    for number in 0..65_536 {
        let file = stored(&number.to_string(), b"");
        directory.extend(file.central(locals.len()));
        locals.extend(file.local());
    }
    let refusal = refused(&joined(&locals, &directory, 0));
    assert_eq!(refusal, Refusal::Limit(LimitRefusal::Entries { limit: 50_000 }));
}
