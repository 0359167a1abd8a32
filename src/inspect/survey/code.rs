//! What parsed code is asked, in words that both languages share: which modules it names, and which
//! calls of interest it makes, while it is loaded or later.
//!
//! A parser reads what a pattern cannot: it knows strings from comments, a call from a word, and
//! what runs when the file is loaded. It follows names only as far as the file says plainly where
//! they come from. Code that computes a name is not followed, and no list of calls is complete; what
//! a reviewer gets from it is what changed, never a proof that there is nothing.

use std::ops::Range;

use crate::domain::review::survey::{
    Code, EXCERPT_MAX, IMPORTS_MAX, Import, MARKS_MAX, MORE_MARKS, Mark, Sort,
};

/// Largest file that is parsed, in bytes: beyond the largest that people publish, and small enough
/// for the memory of the process that reads it.
pub(super) const PARSE_BYTES: usize = 12 << 20;
/// Stack that has to be left before a walk over a tree takes more, and how much it takes.
pub(super) const WALK_STACK_BYTES: (usize, usize) = (256 << 10, 4 << 20);
/// Members of members that are followed to say what is called.
pub(super) const PATH_MAX: usize = 16;
/// Sorts that parsed code answers better than patterns do.
pub(super) const PARSED_SORTS: [Sort; 5] =
    [Sort::Network, Sort::Programs, Sort::DynamicCode, Sort::Decodes, Sort::Environment];

/// Names, and what using them means.
pub(super) type Table = &'static [(Sort, &'static [&'static str])];

/// The sort under which a name stands.
pub(super) fn sort_of(table: Table, name: &str) -> Option<Sort> {
    table.iter().find(|(_, names)| names.contains(&name)).map(|(sort, _)| *sort)
}

/// A file while it is read.
pub(super) struct Reading<'t> {
    text: &'t str,
    lines: Vec<usize>,
    /// What was found.
    pub(super) code: Code,
    /// Calls and imports of interest wherever they are.
    pub(super) marks: Vec<Mark>,
    /// Where text is that no machine runs: comments and documentation.
    pub(super) prose: Vec<Range<usize>>,
}

impl<'t> Reading<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            code: Code::default(),
            marks: Vec::new(),
            prose: Vec::new(),
        }
    }

    fn line(&self, at: usize) -> u32 {
        u32::try_from(self.lines.partition_point(|start| *start <= at)).unwrap_or(u32::MAX)
    }

    /// A module that is named.
    pub(super) fn import(&mut self, module: &str, at: usize, optional: bool) {
        if let Some(known) = self.code.imports.iter_mut().find(|known| known.module == module) {
            known.optional &= optional;
        } else if self.code.imports.len() < IMPORTS_MAX {
            let module = module.chars().take(EXCERPT_MAX).collect();
            self.code.imports.push(Import { module, line: self.line(at), optional });
        }
    }

    /// Something of interest that is named or done.
    pub(super) fn mark(&mut self, sort: Sort, at: usize) {
        let (line, excerpt) = (self.line(at), self.excerpt(at));
        push(&mut self.marks, sort, line, &excerpt);
    }

    /// A call of interest: whether it is made while the file is loaded, and whether it stands in one
    /// that runs text as code.
    pub(super) fn call(&mut self, sort: Sort, at: usize, on_load: bool, in_dynamic: bool) {
        self.mark(sort, at);
        if on_load {
            let (line, excerpt) = (self.line(at), self.excerpt(at));
            push(&mut self.code.on_load, sort, line, &excerpt);
        }
        if sort == Sort::Decodes && in_dynamic {
            self.mark(Sort::Obfuscated, at);
        }
    }

    fn excerpt(&self, at: usize) -> String {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.lines().next().unwrap_or_default().chars().take(EXCERPT_MAX).collect()
    }

    /// The text with everything that no machine runs blanked, line by line the same length.
    pub(super) fn without_prose(&self) -> String {
        let mut bytes = self.text.as_bytes().to_vec();
        for range in &self.prose {
            for byte in bytes.get_mut(range.clone()).into_iter().flatten() {
                if !matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        // Whole characters were replaced by spaces.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Keeps a mark unless it is known; of too many of one sort, that there are more.
pub(super) fn push(marks: &mut Vec<Mark>, sort: Sort, line: u32, excerpt: &str) {
    let excerpt: String = excerpt.trim().chars().take(EXCERPT_MAX).collect();
    let of_sort = || marks.iter().filter(|mark| mark.sort == sort);
    if of_sort().any(|mark| mark.excerpt == excerpt) {
        return;
    }
    match of_sort().count() {
        count if count < MARKS_MAX => marks.push(Mark { sort, line, excerpt }),
        MARKS_MAX => marks.push(Mark { sort, line, excerpt: MORE_MARKS.to_owned() }),
        _ => {}
    }
}
