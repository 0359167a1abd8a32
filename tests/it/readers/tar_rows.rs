//! Rows A01-A40 of the bad-input corpus: gzip and tar.

use countersign::inspect::failure::LimitRefusal;
use countersign::inspect::gzip::{GzipRefusal, Member};
use countersign::inspect::names::NameRefusal;
use countersign::inspect::tar::{Entry, Reader, TarRefusal};
use countersign::inspect::{Failure, Limits, Refusal};

use super::build::{end, entry, file, gz, header, header_with, padded, pax, sum, tgz};

fn list(bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, Failure> {
    let mut archive = Reader::new(Member::new(bytes, limits), limits);
    let mut entries = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn refused_with(bytes: &[u8], limits: &Limits) -> Refusal {
    match list(bytes, limits) {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn refused(entries: &[Vec<u8>]) -> Refusal {
    refused_with(&tgz(entries), &Limits::default())
}

fn tar_refusal(entries: &[Vec<u8>]) -> TarRefusal {
    match refused(entries) {
        Refusal::Tar(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn name_refusal(entries: &[Vec<u8>]) -> NameRefusal {
    match refused(entries) {
        Refusal::Name(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_files_directories_and_long_names_are_listed() {
    let long = format!("p/{}", "n".repeat(150));
    let entries = list(
        &tgz(&[
            entry("p/", b'5', b""),
            file("p/a", b"hello"),
            entry("p/old", 0, b"x"),
            pax(&[("path", &long), ("mtime", "1.5"), ("size", "3")]),
            file("short", b"abc"),
            entry("././@LongLink", b'L', format!("{long}2\0").as_bytes()),
            file("short", b""),
            header_with(b"b", b'0', 0, |block| block[345..348].copy_from_slice(b"p/d")),
            header_with(b"p/gnu", b'0', 0, |block| {
                block[257..265].copy_from_slice(b"ustar  \0");
                block[108..116].copy_from_slice(b"\x80\0\0\0\x12\x34\x56\x78");
            }),
        ]),
        &Limits::default(),
    )
    .unwrap();
    let paths: Vec<(&str, u64)> = entries.iter().map(|e| (e.inside(), e.size())).collect();
    let long = "n".repeat(150);
    let longer = format!("{long}2");
    assert_eq!(
        paths,
        [("", 0), ("a", 5), ("old", 1), (&*long, 3), (&*longer, 0), ("d/b", 0), ("gnu", 0)]
    );
    assert!(entries[0].is_directory() && !entries[1].is_directory());
}

#[test]
fn a02_a03_gzip_of_something_else_and_truncation() {
    let noise = gz(&[7; 2048]);
    assert!(matches!(
        refused_with(&noise, &Limits::default()),
        Refusal::Tar(TarRefusal::Number { .. } | TarRefusal::Checksum { .. })
    ));
    let whole = tgz(&[file("p/a", &[1; 5000])]);
    for cut in (0..whole.len()).step_by(16) {
        let refusal = refused_with(&whole[..cut], &Limits::default());
        assert!(matches!(refusal, Refusal::Gzip(_)), "{cut}: {refusal:?}");
    }
    let tar = [file("p/a", &[1; 5000]), end()].concat();
    for cut in (0..tar.len() - 1).step_by(512) {
        let refusal = refused_with(&gz(&tar[..cut]), &Limits::default());
        assert!(matches!(refusal, Refusal::Tar(TarRefusal::Truncated)), "{cut}: {refusal:?}");
    }
}

#[test]
fn a06_a08_a_second_member_or_tail_is_refused_even_after_a_good_archive() {
    let good = tgz(&[file("p/a", b"x")]);
    for tail in [&tgz(&[file("p/evil", b"x")])[..], &[0; 512], b"garbage"] {
        let refusal = refused_with(&[&good[..], tail].concat(), &Limits::default());
        assert_eq!(refusal, Refusal::Gzip(GzipRefusal::Trailing));
    }
}

#[test]
fn a10_a13_a14_a15_sizes_are_bounded() {
    let limits = Limits { ratio_free_bytes: 1 << 20, ..Limits::default() };
    let bomb = tgz(&[file("p/zeros", &vec![0; 4 << 20])]);
    assert!(matches!(refused_with(&bomb, &limits), Refusal::Limit(LimitRefusal::Ratio { .. })));
    let limits = Limits { entry_bytes: 4, ..Limits::default() };
    assert!(matches!(
        refused_with(&tgz(&[file("p/a", b"12345")]), &limits),
        Refusal::Limit(LimitRefusal::EntryBytes { limit: 4, size: 5, .. })
    ));
    let many: Vec<Vec<u8>> = (0..50_001).map(|n| file(&format!("p/{n}"), b"")).collect();
    assert_eq!(refused(&many), Refusal::Limit(LimitRefusal::Entries { limit: 50_000 }));
    let long = format!("p/{}", "n".repeat(1023));
    assert!(matches!(
        name_refusal(&[pax(&[("path", &long)]), file("p", b"")]),
        NameRefusal::TooLong { length: 1025, .. }
    ));
    let deep = format!("{}f", "d/".repeat(32));
    assert!(matches!(name_refusal(&[file(&deep, b"")]), NameRefusal::TooDeep { .. }));
}

/// Row A15: what stands beside the files is bounded as well, each by itself and together.
#[test]
fn a15_names_and_extension_headers_are_bounded_in_all() {
    let named = [pax(&[("path", "p/a")]), file("x", b""), pax(&[("path", "p/b")]), file("y", b"")];
    let limits = Limits { pax_bytes: 8, ..Limits::default() };
    assert!(matches!(
        refused_with(&tgz(&named), &limits),
        Refusal::Limit(LimitRefusal::EntryBytes { limit: 8, .. })
    ));
    let limits = Limits { pax_total_bytes: 20, ..Limits::default() };
    assert_eq!(
        refused_with(&tgz(&named), &limits),
        Refusal::Tar(TarRefusal::PaxBytes { limit: 20 })
    );
    let limits = Limits { names_total_bytes: 5, ..Limits::default() };
    assert_eq!(
        refused_with(&tgz(&named), &limits),
        Refusal::Name(NameRefusal::TooManyBytes { limit: 5 })
    );
}

#[test]
fn a16_a22_unsafe_names_are_refused() {
    assert!(matches!(name_refusal(&[file("/etc/x", b"")]), NameRefusal::Absolute { .. }));
    assert!(matches!(name_refusal(&[file("C:/x", b"")]), NameRefusal::Absolute { .. }));
    assert!(matches!(name_refusal(&[file("package/../x", b"")]), NameRefusal::DotPart { .. }));
    assert!(matches!(name_refusal(&[file("./package/x", b"")]), NameRefusal::DotPart { .. }));
    assert!(matches!(name_refusal(&[file("p/x/", b"")]), NameRefusal::DotPart { .. }));
    assert!(matches!(name_refusal(&[file("p\\x", b"")]), NameRefusal::Backslash { .. }));
    assert!(matches!(name_refusal(&[file("p/aux.js", b"")]), NameRefusal::Unportable { .. }));
    assert!(matches!(name_refusal(&[file("p/x.", b"")]), NameRefusal::Unportable { .. }));
    assert!(matches!(name_refusal(&[file("p/\u{7}", b"")]), NameRefusal::Control { .. }));
    assert!(matches!(name_refusal(&[file("", b"")]), NameRefusal::Empty));
    let latin = header(b"p/\xe9", b'0', 0).to_vec();
    assert!(matches!(name_refusal(&[latin]), NameRefusal::NotUtf8 { .. }));
}

#[test]
fn a21_bytes_hidden_behind_a_nul_are_refused() {
    let fields = [(2..9, "name"), (345..352, "name prefix"), (265..272, "user name")];
    for (range, expected) in fields {
        let entry =
            header_with(b"p/a", b'0', 0, |block| block[range].copy_from_slice(b"\0\0\0p/xx"));
        match tar_refusal(&[entry]) {
            TarRefusal::Hidden { field, .. } => assert_eq!(field, expected),
            other => panic!("{other:?}"),
        }
    }
    let tail = header_with(b"p/a", b'0', 0, |block| block[505] = b'x');
    assert!(matches!(tar_refusal(&[tail]), TarRefusal::Hidden { field: "header", .. }));
    let nul = entry("././@LongLink", b'L', b"p/a\0b\0");
    assert!(matches!(name_refusal(&[nul, file("x", b"")]), NameRefusal::Control { .. }));
}

#[test]
fn a23_a27_colliding_entries_are_refused() {
    for (first, second) in [("p/a", "p/a"), ("p/A", "p/a"), ("p/caf\u{e9}", "p/cafe\u{301}")] {
        let refusal = name_refusal(&[file(first, b""), file(second, b"")]);
        assert!(matches!(refusal, NameRefusal::Collision { .. }), "{first}");
    }
    let refusal = name_refusal(&[file("p/a", b""), file("p/a/b", b"")]);
    assert!(matches!(refusal, NameRefusal::FileAndDirectory { .. }));
    let roots = [file("package/a", b""), file("x/a", b"")];
    assert!(matches!(tar_refusal(&roots), TarRefusal::TopDirectory { .. }));
    assert!(matches!(tar_refusal(&[file("alone", b"")]), TarRefusal::TopDirectory { .. }));
}

#[test]
fn a28_a31_only_files_and_empty_directories_are_accepted() {
    assert!(matches!(
        tar_refusal(&[entry("p/", b'5', b"x")]),
        TarRefusal::DirectoryWithBytes { size: 1, .. }
    ));
    let kinds = [
        (b'1', "hard link"),
        (b'2', "symbolic link"),
        (b'3', "device"),
        (b'4', "device"),
        (b'6', "FIFO"),
        (b'7', "contiguous file"),
        (b'g', "global pax header"),
        (b'K', "long link name"),
        (b'M', "multi-volume part"),
        (b'S', "sparse file"),
        (b'V', "volume label"),
        (b'Z', "entry of unknown type"),
        (b'A', "entry of unknown type"),
    ];
    for (flag, expected) in kinds {
        match tar_refusal(&[entry("p/a", flag, b"")]) {
            TarRefusal::Type { kind, .. } => assert_eq!(kind, expected),
            other => panic!("{other:?}"),
        }
    }
    let link = header_with(b"p/a", b'0', 0, |block| block[157] = b'x');
    assert!(matches!(tar_refusal(&[link]), TarRefusal::Hidden { field: "link name", .. }));
}

#[test]
fn a32_a36_extension_headers_have_one_meaning() {
    for size in ["0", "6"] {
        let refusal = tar_refusal(&[pax(&[("size", size)]), file("p/a", b"hello")]);
        assert!(matches!(refusal, TarRefusal::PaxSize { header: 5, .. }), "{size}");
    }
    let long = entry("././@LongLink", b'L', b"p/long\0");
    let named = pax(&[("path", "p/pax")]);
    for pair in [
        [named.clone(), long.clone()],
        [long.clone(), named.clone()],
        [named.clone(), named.clone()],
        [long.clone(), long.clone()],
    ] {
        let [first, second] = pair;
        assert_eq!(tar_refusal(&[first, second, file("p/a", b"")]), TarRefusal::Extensions);
    }
    assert_eq!(tar_refusal(&[file("p/a", b""), named]), TarRefusal::Extensions);
    for body in [
        "3 path=p/a\n",
        "99 path=p/a\n",
        "11 path=p/a",
        "-11 path=p/a\n",
        "013 path=p/a\n",
        " 11 path=p/a\n",
        "11 pathXp/a\n",
        "x path=p/a\n",
        "0 \n",
        "11path=p/a\n",
        "8 path=\n",
        "14 path=p/a\0b\n",
        "8 size=\n",
        "10 size=-1\n",
        "11 size=1e3\n",
        "1 \n",
        "2 \n",
    ] {
        let bad = entry("PaxHeader/x", b'x', body.as_bytes());
        let refusal = tar_refusal(&[bad, file("p/a", b"")]);
        assert!(matches!(refusal, TarRefusal::PaxRecord { .. }), "{body:?}: {refusal:?}");
    }
    for records in [
        &[("path", "p/a"), ("path", "p/b")][..],
        &[("GNU.sparse.major", "1")],
        &[("GNU.sparse.name", "p/x")],
        &[("hdrcharset", "BINARY")],
    ] {
        let refusal = tar_refusal(&[pax(records), file("p/a", b"")]);
        assert!(matches!(refusal, TarRefusal::PaxKey { .. }), "{records:?}");
    }
}

#[test]
fn a37_gnu_fields_where_others_see_a_prefix_are_refused() {
    let entry = header_with(b"p/a", b'0', 0, |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        block[345] = b'0';
    });
    assert!(matches!(tar_refusal(&[entry]), TarRefusal::Hidden { field: "GNU fields", .. }));
    let old = header_with(b"p/a", b'0', 0, |block| block[257..265].fill(0));
    assert!(matches!(tar_refusal(&[old]), TarRefusal::Format { .. }));
}

#[test]
fn a38_numbers_are_plain_octal() {
    for size in [
        &b"\x80\0\0\0\0\0\0\0\0\0\0\x05"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"         05\0",
        b"-0000000005\0",
        b"0000000000x\0",
        b"00000000005x",
        b"0\x005\0\0\0\0\0\0\0\0\0",
    ] {
        let entry = header_with(b"p/a", b'0', 0, |block| block[124..136].copy_from_slice(size));
        let refusal = tar_refusal(&[entry, padded(b"hello")]);
        assert!(matches!(refusal, TarRefusal::Number { field: "size", .. }), "{size:?}");
    }
    let huge = header_with(b"p/a", b'0', 0, |block| {
        block[124..136].copy_from_slice(b"777777777777");
    });
    assert!(matches!(refused(&[huge]), Refusal::Limit(LimitRefusal::EntryBytes { .. })));
}

/// Found by the comparison with Python's reader, which ends its list at such a header.
#[test]
fn a_field_nobody_uses_still_has_to_be_a_number() {
    for at in [100, 136, 329, 337] {
        let entry = header_with(b"p/a", b'0', 0, |block| block[at] = b'=');
        assert!(matches!(tar_refusal(&[entry]), TarRefusal::Number { .. }), "{at}");
    }
}

#[test]
fn a39_the_checksum_is_the_unsigned_sum() {
    let mut block = header("p/\u{e9}".as_bytes(), b'0', 0);
    let right: i64 = block
        .iter()
        .enumerate()
        .map(
            |(at, byte)| {
                if (148..156).contains(&at) { 32 } else { i64::from(i8::from_ne_bytes([*byte])) }
            },
        )
        .sum();
    block[148..156].copy_from_slice(format!("{right:06o}\0 ").as_bytes());
    assert!(matches!(tar_refusal(&[block.to_vec()]), TarRefusal::Checksum { .. }));
    sum(&mut block);
    assert!(list(&tgz(&[block.to_vec()]), &Limits::default()).is_ok());
    block[0] = b'q';
    assert!(matches!(tar_refusal(&[block.to_vec()]), TarRefusal::Checksum { .. }));
}

#[test]
fn a40_the_end_is_two_zero_blocks_and_then_nothing_but_zeros() {
    let one = file("p/a", b"x");
    let at_end = |tail: &[u8]| list(&gz(&[&one[..], tail].concat()), &Limits::default());
    assert!(at_end(&[0; 1024]).is_ok());
    assert!(at_end(&[0; 10_240]).is_ok());
    let refusal = |tail: &[u8]| match at_end(tail) {
        Err(Failure::Refused(Refusal::Tar(refusal))) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(b""), TarRefusal::Truncated);
    assert_eq!(refusal(&[0; 512]), TarRefusal::Truncated);
    assert_eq!(refusal(&[&[0; 512][..], &one].concat()), TarRefusal::SingleEndBlock);
    assert_eq!(refusal(&[&[0; 1024][..], &one].concat()), TarRefusal::AfterEnd);
    let mut dirty = one.clone();
    *dirty.last_mut().unwrap() = 1;
    assert!(matches!(tar_refusal(&[dirty]), TarRefusal::Padding { .. }));
}
