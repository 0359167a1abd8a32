//! The difference of one file as text, all pages of it.

use std::io::{BufWriter, Write, stdout};

use super::{Failed, Opened, file_diff};
use crate::domain::review::diff::{
    At, Binary, Content, FileDiff, Kind, Line, Row, Side, TextPage, Wanted,
};
use crate::domain::review::survey::place;

/// Prints what differs in the file at `path`, or all of it without a baseline.
pub(super) fn print(
    candidate: &Opened,
    baseline: Option<&Opened>,
    path: &str,
) -> Result<(), Failed> {
    let read = |page| {
        let wanted = Wanted { place: place(path), from: None, at: At::Page(page), as_text: false };
        let found = file_diff(candidate, baseline, &wanted)?;
        found.ok_or_else(|| {
            Failed::from(format!(
                "expected a file of the artifact, received `{}`",
                path.escape_debug()
            ))
        })
    };
    let mut out = BufWriter::new(stdout().lock());
    let first = read(1)?;
    heads(&mut out, &first)?;
    body(&mut out, &first.content)?;
    if let Content::Text(shown) = &first.content {
        for page in 2..=shown.pages {
            body(&mut out, &read(page)?.content)?;
        }
    }
    Ok(out.flush()?)
}

fn heads(out: &mut impl Write, file: &FileDiff) -> std::io::Result<()> {
    let head = |side: &Side| {
        let sha256 = side.sha256.map(|digest| format!(", sha256 {digest}")).unwrap_or_default();
        let path = side.path.escape_debug();
        format!("{path}, {} bytes{sha256}, {}", side.size_bytes, side.format.words())
    };
    let told = |side: &Option<Side>| side.as_ref().map_or_else(|| "(none)".to_owned(), head);
    writeln!(out, "--- {}\n+++ {}", told(&file.before), told(&file.after))
}

fn body(out: &mut impl Write, content: &Content) -> std::io::Result<()> {
    match content {
        Content::Same => writeln!(out, "the same bytes"),
        Content::Text(page) => text(out, page),
        Content::Binary(shown) => binary(out, shown),
        Content::TooLarge { limit } => {
            writeln!(out, "not shown: larger than {limit} bytes")
        }
        Content::TooManyRows { limit } => {
            writeln!(out, "not compared: more than {limit} lines")
        }
    }
}

fn text(out: &mut impl Write, page: &TextPage) -> std::io::Result<()> {
    for row in &page.rows {
        match row {
            Row::Gap(rows) => writeln!(out, "@@ {rows} the same @@")?,
            Row::Line(line) => written(out, line)?,
        }
    }
    Ok(())
}

fn written(out: &mut impl Write, line: &Line) -> std::io::Result<()> {
    let sign = match line.kind {
        Kind::Same => ' ',
        Kind::Removed => '-',
        Kind::Added => '+',
    };
    write!(out, "{sign}")?;
    for segment in &line.text {
        write!(out, "{}", segment.text)?;
    }
    writeln!(out)?;
    if line.unended {
        writeln!(out, "\\ No line break at the end of the file")?;
    }
    Ok(())
}

fn binary(out: &mut impl Write, shown: &Binary) -> std::io::Result<()> {
    if let Some(byte) = shown.differs_at {
        writeln!(out, "no text; they differ from byte {byte} on")?;
    }
    for (sign, lines) in [('-', &shown.before), ('+', &shown.after)] {
        for line in lines {
            writeln!(out, "{sign}{line}")?;
        }
    }
    Ok(())
}
