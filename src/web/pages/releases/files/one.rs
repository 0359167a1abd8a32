//! One file, in words.

use super::list::status;
use super::{Asked, Way, address, findings, parted};
use crate::domain::review::diff::{Binary, Content, FileDiff, Kind, Line, Row, Side, TextPage};
use crate::domain::review::files::Status;
use crate::pipeline::files::{Base, NotShown, Read};
use crate::pipeline::review::ReleaseView;
use crate::pipeline::{Error, Kind as Sort, refuse};
use crate::web::display::{count, size, visible};
use crate::web::pages::releases::view;
use crate::web::views::files::{Body, FilePage, LineView, Pager, Piece};
use crate::web::views::shell::{Badge, Layout, Link, Notice, Tone};

/// Which file of which release.
pub(super) struct Subject<'a> {
    pub(super) release: &'a ReleaseView,
    pub(super) artifact: &'a str,
    pub(super) base: &'a Base,
    pub(super) asked: &'a Asked,
}

impl Subject<'_> {
    fn address(&self, way: Way) -> String {
        let Asked { path, from, .. } = self.asked;
        let from = from.as_deref();
        let path = if way == Way::Before { from.unwrap_or(path) } else { path };
        address(self.release.record.id, self.artifact, way, path, from)
    }
}

/// The page; a file that is in neither artifact is nowhere.
pub(super) fn page(
    layout: Layout,
    subject: &Subject<'_>,
    way: Way,
    read: Read<Option<FileDiff>>,
) -> Result<FilePage, Error> {
    let (folder, name) = parted(&subject.asked.path);
    let release = view::name(&subject.release.record, &subject.release.upstream);
    let empty = FilePage {
        layout,
        release,
        artifact: visible(subject.artifact),
        folder,
        name,
        status: None,
        facts: Vec::new(),
        counts: None,
        ways: Vec::new(),
        notices: Vec::new(),
        reading: None,
        body: Body::Nothing,
        pager: None,
    };
    let file = match read {
        Ok(Some(file)) => file,
        Ok(None) => return refuse(Sort::NotFound, "no such file in this artifact"),
        Err(NotShown(why)) => {
            let notices = vec![not_shown(subject, way, &why)];
            return Ok(FilePage { notices, ways: ways(subject, way, true, true), ..empty });
        }
    };
    let compared = file.before.is_some() && file.after.is_some();
    let mut notices = about(subject, way);
    notices.extend(mode(&file));
    notices.extend(said(subject, way, &file));
    let (body, pager, counts) = body(subject, way, &file);
    Ok(FilePage {
        status: (way == Way::Difference).then(|| badge(subject, &file)).flatten(),
        facts: facts(&file),
        counts: counts.filter(|_| compared),
        ways: ways(subject, way, file.before.is_some(), file.after.is_some()),
        notices,
        body,
        pager,
        ..empty
    })
}

fn notice(tone: Tone, icon: &'static str, title: &str, text: impl Into<String>) -> Notice {
    Notice { tone, icon, title: title.to_owned(), text: text.into(), link: None }
}

fn not_shown(subject: &Subject<'_>, way: Way, why: &str) -> Notice {
    let text = format!("{} This says nothing about what is in it.", visible(why));
    let whole = Link::new(subject.address(Way::Whole), "Read the whole file");
    Notice {
        link: (way == Way::Difference).then_some(whole),
        ..notice(Tone::Bad, "circle-alert", "This file could not be shown", text)
    }
}

/// What the page is not, and how many findings are about the file.
fn about(subject: &Subject<'_>, way: Way) -> Vec<Notice> {
    let mut notices = Vec::new();
    let found = findings(subject.release, subject.artifact, &subject.asked.path);
    if found > 0 && way != Way::Before {
        let title = format!("{} about this file", count(found as u64, "finding"));
        let back = format!("/releases/{}#attention", subject.release.record.id);
        notices.push(Notice {
            link: Some(Link::new(back, "Read them")),
            ..notice(Tone::Warn, "triangle-alert", &title, "")
        });
    }
    if let (Way::Difference, Base::Nothing(why)) = (way, subject.base) {
        notices.push(notice(Tone::Plain, "info", "This is the whole file", visible(why)));
    }
    notices
}

/// Whether a file can be run as a program and could not before, or the other way round.
fn mode(file: &FileDiff) -> Option<Notice> {
    let (before, after) = (file.before.as_ref()?, file.after.as_ref()?);
    (before.executable != after.executable).then(|| {
        let text = if after.executable {
            "Whoever installs it can now run it as a program."
        } else {
            "It could be run as a program before."
        };
        notice(Tone::Warn, "key-round", "Another mode", text)
    })
}

/// What has to be known about what is shown.
fn said(subject: &Subject<'_>, way: Way, file: &FileDiff) -> Vec<Notice> {
    let whole = || Some(Link::new(subject.address(Way::Whole), "Read the whole file"));
    match &file.content {
        Content::Same => vec![Notice {
            link: whole(),
            ..notice(Tone::Ok, "circle-check", "The same bytes as before", "")
        }],
        Content::Text(page) => text_notices(page),
        Content::Binary(shown) => {
            let text = match shown.differs_at {
                Some(byte) => format!(
                    "The first 1,024 bytes of it are here. The two differ from byte {byte} on."
                ),
                None => "The first 1,024 bytes of it are here; the rest is in the download.".into(),
            };
            let href = format!("{}&text=true", subject.address(way));
            vec![Notice {
                link: Some(Link::new(href, "Show it as text")),
                ..notice(Tone::Plain, "info", "Not text", text)
            }]
        }
        Content::TooLarge { limit } => {
            let text = format!("Nothing of it is shown: it is larger than {}.", size(*limit));
            vec![notice(Tone::Warn, "triangle-alert", "Too large to be read here", text)]
        }
        Content::TooManyRows { limit } => {
            let text = format!(
                "It has more than {limit} lines, so the two were not compared. Each can be read whole."
            );
            vec![Notice {
                link: whole(),
                ..notice(Tone::Warn, "triangle-alert", "Not compared", text)
            }]
        }
    }
}

fn text_notices(page: &TextPage) -> Vec<Notice> {
    let mut notices = Vec::new();
    if page.rows.is_empty() {
        notices.push(notice(Tone::Plain, "info", "An empty file", ""));
    }
    if page.folded {
        let text = "They go on in further rows, marked with an arrow, and rows are counted instead \
                    of lines.";
        notices.push(notice(Tone::Plain, "info", "Lines of more than 2,000 bytes", text));
    }
    if page.crlf {
        notices.push(notice(Tone::Plain, "info", "Every line ends in CR LF", ""));
    }
    notices
}

fn badge(subject: &Subject<'_>, file: &FileDiff) -> Option<Badge> {
    if matches!(subject.base, Base::Nothing(_)) {
        return None;
    }
    Some(status(match (&file.before, &file.after) {
        (Some(before), Some(after)) if before.sha256 == after.sha256 => {
            if subject.asked.from.is_some() {
                Status::Moved
            } else if before.executable != after.executable {
                Status::Mode
            } else {
                Status::Unchanged
            }
        }
        (Some(_), None) => Status::Removed,
        (None, _) => Status::Added,
        (Some(_), Some(_)) => Status::Changed,
    }))
}

fn facts(file: &FileDiff) -> Vec<(&'static str, String)> {
    let words = |side: &Side| {
        let digest = side.sha256.map(|digest| format!(", SHA-256 {digest}")).unwrap_or_default();
        let program = if side.executable { ", can be run as a program" } else { "" };
        format!("{}, {}{program}{digest}", size(side.size_bytes), side.format.words())
    };
    match (&file.before, &file.after) {
        (Some(before), Some(after)) => vec![("Before", words(before)), ("After", words(after))],
        (Some(before), None) => vec![("Before", words(before))],
        (None, after) => after.iter().map(|after| ("This file", words(after))).collect(),
    }
}

/// The ways to read the file that there are.
fn ways(
    subject: &Subject<'_>,
    way: Way,
    before: bool,
    after: bool,
) -> Vec<(&'static str, String, bool)> {
    if matches!(subject.base, Base::Nothing(_)) {
        return Vec::new();
    }
    // The whole file alone does not say whether there is another one.
    let (before, after) = (before || way == Way::Whole, after || way == Way::Before);
    let all = [
        ("What changed", Way::Difference, true),
        ("Whole file", Way::Whole, after),
        ("Before", Way::Before, before),
    ];
    let there = all.into_iter().filter(|(_, _, there)| *there);
    there.map(|(words, other, _)| (words, subject.address(other), other == way)).collect()
}

fn body(
    subject: &Subject<'_>,
    way: Way,
    file: &FileDiff,
) -> (Body, Option<Pager>, Option<(u32, u32)>) {
    match &file.content {
        Content::Text(page) => {
            let compared = file.before.is_some() && file.after.is_some();
            let body = Body::Text { compared, pieces: pieces(subject, &page.rows) };
            (body, pager(subject, way, page), Some((page.added, page.removed)))
        }
        Content::Binary(shown) => (bytes(shown), None, None),
        Content::Same | Content::TooLarge { .. } | Content::TooManyRows { .. } => {
            (Body::Nothing, None, None)
        }
    }
}

fn bytes(shown: &Binary) -> Body {
    let dumps = [("−", "Before", &shown.before), ("+", "After", &shown.after)];
    let there = dumps.into_iter().filter(|(_, _, lines)| !lines.is_empty());
    Body::Bytes(there.map(|(sign, said, lines)| (sign, said, lines.clone())).collect())
}

/// Rows that replace each other stand together.
fn pieces(subject: &Subject<'_>, rows: &[Row]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let line = match row {
            Row::Gap(left_out) => {
                let next = rows[at + 1..].iter().find_map(|row| match row {
                    Row::Line(line) => line.after,
                    Row::Gap(_) => None,
                });
                pieces.push(gap(subject, *left_out, next));
                continue;
            }
            Row::Line(line) => line,
        };
        match (line.kind, pieces.last_mut()) {
            (Kind::Same, _) => pieces.push(Piece::Same(shown(line))),
            (Kind::Removed, Some(Piece::Change(removed, added))) if added.is_empty() => {
                removed.push(shown(line));
            }
            (Kind::Removed, _) => pieces.push(Piece::Change(vec![shown(line)], Vec::new())),
            (Kind::Added, Some(Piece::Change(_, added))) => added.push(shown(line)),
            (Kind::Added, _) => pieces.push(Piece::Change(Vec::new(), vec![shown(line)])),
        }
    }
    pieces
}

fn gap(subject: &Subject<'_>, rows: u32, next: Option<u32>) -> Piece {
    let words = format!("{} the same", count(u64::from(rows), "row"));
    let href = subject.address(Way::Whole);
    let link = next.map(|line| {
        Link::new(format!("{href}&line={line}#L{line}"), format!("Whole file at line {line}"))
    });
    Piece::Gap(words, link)
}

fn shown(line: &Line) -> LineView {
    let number = |line: Option<u32>| line.map(|line| line.to_string()).unwrap_or_default();
    let start = line.from_byte == 0;
    let anchor = match (start, line.before, line.after) {
        (true, _, Some(after)) => format!("L{after}"),
        (true, Some(before), None) => format!("B{before}"),
        _ => String::new(),
    };
    LineView {
        before: if start { number(line.before) } else { String::new() },
        after: if start { number(line.after) } else { String::new() },
        anchor,
        part: if start {
            String::new()
        } else {
            let line_number = line.after.or(line.before).unwrap_or_default();
            format!("Line {line_number} from byte {}", line.from_byte)
        },
        text: line
            .text
            .iter()
            .map(|segment| (segment.text.clone(), segment.changed, segment.spelled))
            .collect(),
        unended: line.unended,
    }
}

fn pager(subject: &Subject<'_>, way: Way, page: &TextPage) -> Option<Pager> {
    if page.pages < 2 {
        return None;
    }
    let text = if subject.asked.text { "&text=true" } else { "" };
    let href = |page: u32| format!("{}{text}&page={page}", subject.address(way));
    let all = [
        (1, "First", page.page > 2),
        (page.page - 1, "Previous", page.page > 1),
        (page.page + 1, "Next", page.page < page.pages),
        (page.pages, "Last", page.page + 1 < page.pages),
    ];
    let there = all.into_iter().filter(|(_, _, there)| *there);
    Some(Pager {
        words: format!("Page {} of {}, {} rows", page.page, page.pages, page.rows_total),
        links: there.map(|(number, words, _)| Link::new(href(number), words)).collect(),
    })
}
