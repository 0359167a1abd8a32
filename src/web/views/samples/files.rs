//! Files inside a release.

use super::{Words, layout, name};
use crate::web::views::files::{
    ArtifactFiles, Body, FileGroup, FilePage, FileRow, FilesPage, LineView, Pager, Piece, Reading,
    Tick,
};
use crate::web::views::shell::{Badge, Link, Notice, Section, Tone};

const WHEEL: &str = "aurora_client-4.2.0-py3-none-any.whl";
const DIFF: &str = "/releases/0193a7c2/files/aurora_client-4.2.0-py3-none-any.whl/diff?path=a";
const FILE: &str = "/releases/0193a7c2/files/aurora_client-4.2.0-py3-none-any.whl/file?path=a";

pub(super) fn list(words: Words) -> FilesPage {
    FilesPage {
        viewed: "1 of 6 viewed".to_owned(),
        ticks: Some("/releases/0193a7c2/viewed".to_owned()),
        layout: layout(&format!("Files of {}", words.show("aurora-client")), Section::Releases),
        release: name(words, "PyPI", "aurora-client", "4.2.0"),
        artifacts: vec![
            ArtifactFiles {
                name: words.show(WHEEL),
                compared: format!("Compared with {}.", words.show("4.1.3")),
                summary: "2 changed, 1 added, 1 removed, 1 moved, 1 with another mode, 38 the same"
                    .to_owned(),
                not_shown: None,
                groups: groups(words),
                same: vec![row(words, ("aurora/", "__init__.py"), None, None, "1 KB")],
                left_off: 0,
                same_left_off: 37,
            },
            ArtifactFiles {
                name: words.show("aurora_client-4.2.0.tar.gz"),
                compared: "There is nothing to compare with yet.".to_owned(),
                summary: String::new(),
                not_shown: Some("It took longer than 20 s.".to_owned()),
                groups: Vec::new(),
                same: Vec::new(),
                left_off: 0,
                same_left_off: 0,
            },
        ],
    }
}

fn groups(words: Words) -> Vec<FileGroup> {
    let row = |folder: &str, name: &str, status, counts, size: &str| {
        row(words, (folder, name), status, counts, size)
    };
    let changed = || Some(Badge::new(Tone::Note, "file-diff", "Changed"));
    let added = || Some(Badge::new(Tone::Ok, "plus", "Added"));
    let removed = || Some(Badge::new(Tone::Bad, "ban", "Removed"));
    let moved = || Some(Badge::new(Tone::Plain, "arrow-right", "Moved"));
    let group = |title, files| FileGroup { title, files };
    let pth = FileRow {
        findings: "2 findings".to_owned(),
        ..row("", "aurora.pth", added(), Some((1, 0)), "1 KB")
    };
    let library = FileRow {
        remark: "Linux binary".to_owned(),
        ..row("aurora/", "_speedups.so", changed(), None, "1.2 MB")
    };
    let program = FileRow {
        remark: "can be run as a program now".to_owned(),
        ..row("bin/", "aurora", Some(Badge::new(Tone::Warn, "key-round", "Mode")), None, "1 KB")
    };
    let renamed = FileRow {
        remark: format!("from {}", words.show("aurora/retry.py")),
        ..row("aurora/net/", "retry.py", moved(), None, "4 KB")
    };
    vec![
        group("Runs by itself", vec![pth]),
        group("Not text", vec![library]),
        group(
            "Source",
            vec![renamed, row("aurora/", "transport.py", changed(), Some((58, 21)), "18 KB")],
        ),
        group("Tests", vec![row("tests/", "test_old.py", removed(), Some((0, 41)), "2 KB")]),
        group("Written by programs", vec![program]),
    ]
}

fn row(
    words: Words,
    (folder, name): (&str, &str),
    status: Option<Badge>,
    counts: Option<(u32, u32)>,
    size: &str,
) -> FileRow {
    let number: u64 = name.bytes().map(u64::from).sum();
    FileRow {
        anchor: status.as_ref().map(|_| format!("f0-{number}")).unwrap_or_default(),
        tick: status.as_ref().map(|_| tick(name.ends_with("old.py"))),
        href: DIFF.to_owned(),
        folder: words.show(folder),
        name: words.show(name),
        remark: String::new(),
        status,
        counts,
        size: size.to_owned(),
        findings: String::new(),
    }
}

fn tick(viewed: bool) -> Tick {
    Tick { difference: "9f2c41d7".repeat(8), viewed }
}

fn page(words: Words, body: Body) -> FilePage {
    FilePage {
        layout: layout(&words.show("transport.py"), Section::Releases),
        release: name(words, "PyPI", "aurora-client", "4.2.0"),
        artifact: words.show(WHEEL),
        folder: words.show("aurora/"),
        name: words.show("transport.py"),
        status: Some(Badge::new(Tone::Note, "file-diff", "Changed")),
        facts: vec![
            ("Before", format!("18 KB, text, SHA-256 {}", "9f2c41d7".repeat(8))),
            ("After", format!("19 KB, text, SHA-256 {}", "e05b8a13".repeat(8))),
        ],
        counts: Some((5, 3)),
        ways: vec![
            ("What changed", DIFF.to_owned(), true),
            ("Whole file", FILE.to_owned(), false),
            ("Before", format!("{FILE}&before=true"), false),
        ],
        notices: Vec::new(),
        reading: Some(Reading {
            ticks: Some("/releases/0193a7c2/viewed".to_owned()),
            tick: tick(false),
            viewed: "2 of 6 viewed".to_owned(),
            previous: Some(DIFF.to_owned()),
            next: Some(format!("{DIFF}b")),
        }),
        body,
        pager: Some(Pager {
            words: "Page 2 of 38, 37878 rows".to_owned(),
            links: [("Previous", 1), ("Next", 3), ("Last", 38)]
                .map(|(words, page)| Link::new(format!("{DIFF}&page={page}"), words))
                .into(),
        }),
    }
}

/// A row; `*` begins and ends what changed, `⟦…⟧` is our spelling.
fn line(before: u32, after: u32, text: &str) -> LineView {
    let number = |line: u32| if line == 0 { String::new() } else { line.to_string() };
    let marked = text.split('*').enumerate().filter(|(_, part)| !part.is_empty());
    LineView {
        before: number(before),
        after: number(after),
        anchor: if after > 0 { format!("L{after}") } else { format!("B{before}") },
        part: String::new(),
        text: marked
            .map(|(at, part)| (part.to_owned(), at % 2 == 1, part.starts_with('⟦')))
            .collect(),
        unended: false,
    }
}

pub(super) fn diff(words: Words) -> FilePage {
    let changed = LineView {
        text: vec![
            ("        host = ".to_owned(), false, false),
            (words.show("\"https://collect.example\""), true, false),
            ("⟦U+200B⟧".to_owned(), true, true),
        ],
        ..line(0, 121, "")
    };
    let part = LineView {
        anchor: String::new(),
        part: "Line 125 from byte 1824".to_owned(),
        ..line(125, 127, "t.prototype.send=function(e){return this.queue.push(e),this};")
    };
    let pieces = vec![
        Piece::Gap(
            "116 rows the same".to_owned(),
            Some(Link::new(format!("{FILE}&line=117#L117"), "Whole file at line 117")),
        ),
        Piece::Same(line(117, 117, "class Transport:")),
        Piece::Same(line(118, 118, "    def __init__(self, session, timeout=30):")),
        Piece::Same(line(119, 119, "        self.session = session")),
        Piece::Change(
            vec![line(120, 0, "        self.timeout = *timeout*")],
            vec![
                line(0, 120, "        self.timeout = *min(timeout, MAX_TIMEOUT)*"),
                changed,
                line(0, 122, "        self.session.headers.update(dict(os.environ))"),
            ],
        ),
        Piece::Same(line(121, 123, "")),
        Piece::Same(line(122, 124, "    def send(self, request):")),
        Piece::Change(Vec::new(), vec![line(0, 125, "\tself.log(request)")]),
        Piece::Change(vec![line(123, 0, "        raise NotImplementedError")], Vec::new()),
        Piece::Same(line(124, 126, "        return self.session.send(request)")),
        Piece::Same(part),
        Piece::Gap("402 rows the same".to_owned(), None),
        Piece::Change(
            vec![LineView { unended: true, ..line(527, 0, "VERSION = \"4.1.3\"") }],
            vec![line(0, 529, "VERSION = \"4.2.0\"")],
        ),
    ];
    page(words, Body::Text { compared: true, pieces })
}

pub(super) fn whole(words: Words) -> FilePage {
    let pieces = ["import os", "import sys", "", "def main():", "    print(sys.argv, os.name)"];
    let rows = (1..).zip(pieces).map(|(number, text)| Piece::Same(line(0, number, text)));
    FilePage {
        reading: None,
        status: None,
        counts: None,
        facts: vec![("This file", "1 KB, text".to_owned())],
        ways: Vec::new(),
        pager: None,
        notices: vec![Notice {
            tone: Tone::Plain,
            icon: "info",
            title: "This is the whole file".to_owned(),
            text: "There is nothing to compare with yet.".to_owned(),
            link: None,
        }],
        ..page(words, Body::Text { compared: false, pieces: rows.collect() })
    }
}

pub(super) fn binary(words: Words) -> FilePage {
    let dump = |first: &str| {
        vec![
            format!(
                "00000000  7f 45 4c 46 02 01 {first} 00 00 00 00 00 00 00 00 00  .ELF............"
            ),
            "00000010  03 00 3e 00 01 00 00 00 40 10 00 00 00 00 00 00  ..>.....@......."
                .to_owned(),
        ]
    };
    FilePage {
        counts: None,
        pager: None,
        notices: vec![Notice {
            tone: Tone::Plain,
            icon: "info",
            title: "Not text".to_owned(),
            text: "The first 1,024 bytes of it are here. The two differ from byte 6 on.".to_owned(),
            link: Some(Link::new(format!("{DIFF}&text=true"), "Show it as text")),
        }],
        ..page(words, Body::Bytes(vec![("−", "Before", dump("01")), ("+", "After", dump("03"))]))
    }
}

pub(super) fn not_shown(words: Words) -> FilePage {
    FilePage {
        counts: None,
        pager: None,
        facts: Vec::new(),
        status: None,
        notices: vec![Notice {
            tone: Tone::Bad,
            icon: "circle-alert",
            title: "This file could not be shown".to_owned(),
            text: "It took longer than 5 s. This says nothing about what is in it.".to_owned(),
            link: Some(Link::new(FILE, "Read the whole file")),
        }],
        ..page(words, Body::Nothing)
    }
}
