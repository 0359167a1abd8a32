//! House style that rustfmt and clippy do not see.

use std::collections::BTreeSet;

use super::rust;
use super::tree::{Complaint, File};

/// Longest function in lines of code, signature and closing brace not counted.
const FUNCTION_LINES_MAX: usize = 70;
/// Widest line, in characters. rustfmt keeps code to 100; strings and comments may go on a little.
const COLUMNS_MAX: usize = 120;

/// Words that fit anything and so say nothing (CONTRIBUTING.md, "Words").
const EMPTY_WORDS: &[&str] = &[
    "manager", "service", "helper", "helpers", "util", "utils", "data", "info", "process",
    "handle", "handler", "do",
];

/// Terms that somebody else chose, and who.
const GIVEN_TERMS: &[(&str, &str)] = &[
    ("data_dir", "the word operators know for it"),
    ("client_data", "WebAuthn 5.8.1 `clientDataJSON`"),
    ("authenticator_data", "WebAuthn 6.1"),
    ("attested_data", "WebAuthn 6.5.1, attested credential data"),
    ("user_handle", "WebAuthn 5.4.3"),
    ("pkg_info", "the `PKG-INFO` file of an sdist"),
    ("dist_info", "the `.dist-info` folder of a wheel"),
    ("data_path", "the `.data` folder of a wheel"),
];
/// The name that `http_body::Body` asks its implementations for.
const BODY_PART: &str = "Data";
/// A name of this many words is a sentence, in which an empty word has its plain meaning.
const SENTENCE_WORDS: usize = 5;

/// A Rust file that does not begin with what it is.
pub(super) fn header(file: &File) -> Vec<Complaint> {
    if file.text().starts_with("//!") {
        return Vec::new();
    }
    let what = "say in one to twelve `//!` lines what this file is and what it is not";
    vec![Complaint::new(&file.path, 1, what)]
}

/// Functions longer than a screen.
pub(super) fn long_functions(file: &File) -> Vec<Complaint> {
    let code = rust::code_only(file.text());
    let mut complaints = Vec::new();
    for (at, name) in definitions(&code, &["fn"]) {
        let Some((open, end)) = rust::block(&code, at) else { continue };
        let inside = code[open..end].lines().filter(|line| !line.trim().is_empty()).count();
        let lines = inside.saturating_sub(2);
        if lines > FUNCTION_LINES_MAX {
            let what = format!(
                "`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: split it by idea"
            );
            complaints.push(Complaint::new(&file.path, rust::line_of(&code, at), what));
        }
    }
    complaints
}

/// Lines wider than the page. In tests a recorded answer may stand on one line as it came.
pub(super) fn long_lines(file: &File) -> Vec<Complaint> {
    let tests = if file.is_rust() { test_lines(file) } else { BTreeSet::new() };
    file.lines()
        .map(|(number, line)| (number, line, line.chars().count()))
        .filter(|(number, line, columns)| {
            let recorded = tests.contains(number) && has_long_string(line);
            *columns > COLUMNS_MAX && !recorded
        })
        .map(|(number, _, columns)| {
            let what = format!("{columns} columns, at most {COLUMNS_MAX}: break the line");
            Complaint::new(&file.path, number, what)
        })
        .collect()
}

/// Numbers of the lines that are test code.
fn test_lines(file: &File) -> BTreeSet<usize> {
    let product = rust::without_tests(&rust::code_only(file.text()));
    let all_tests = !file.is_product();
    let pairs = file.lines().zip(product.lines());
    pairs
        .filter(|((_, line), left)| all_tests || (left.trim().is_empty() && line.contains('"')))
        .map(|((number, _), _)| number)
        .collect()
}

fn has_long_string(line: &str) -> bool {
    line.split('"').skip(1).any(|part| part.chars().count() > COLUMNS_MAX / 2)
}

/// Marks of work that was put off, and tests that were switched off.
pub(super) fn unfinished(file: &File) -> Vec<Complaint> {
    // In pieces, so that this file does not contain them.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[", "ignore"),
    ];
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        if let Some(mark) = marks.into_iter().find(|mark| line.contains(mark)) {
            let what = format!("`{mark}`: finish it, or write down the known gap in a sentence");
            complaints.push(Complaint::new(&file.path, number, what));
        }
    }
    complaints
}

/// Calls that end the program where a refusal or a fault is due.
pub(super) fn panics(file: &File) -> Vec<Complaint> {
    let code = rust::without_tests(&rust::code_only(file.text()));
    let calls = [".unwrap()", ".expect(", "panic!(", "unreachable!("];
    let places = calls.into_iter().flat_map(|call| code.match_indices(call));
    places
        .filter(|(at, _)| !is_evaluated_by_the_compiler(&code, *at))
        .map(|(at, call)| {
            let what = format!("`{call}` in product code: return a refusal or a fault");
            Complaint::new(&file.path, rust::line_of(&code, at), what)
        })
        .collect()
}

/// True inside a one-line constant, where a panic is a compile error.
fn is_evaluated_by_the_compiler(code: &str, at: usize) -> bool {
    let line = code[..at].rsplit('\n').next().unwrap_or_default().trim_start();
    line.starts_with("const ") || line.starts_with("pub const ")
}

/// Names of functions, types, modules, constants, fields and variants made of empty words.
pub(super) fn names(file: &File) -> Vec<Complaint> {
    let code = rust::code_only(file.text());
    let keywords = ["fn", "struct", "enum", "trait", "type", "mod", "const", "static"];
    let mut defined = definitions(&code, &keywords);
    defined.extend(members(&code));
    let mut complaints = Vec::new();
    for (at, name) in defined {
        let Some(word) = empty_word(name).filter(|_| name != BODY_PART) else { continue };
        let what = format!("`{name}` says only `{word}`: say what it is (CONTRIBUTING.md, Words)");
        complaints.push(Complaint::new(&file.path, rust::line_of(&code, at), what));
    }
    complaints
}

/// Names defined after one of `keywords`, with their places.
fn definitions<'a>(code: &'a str, keywords: &[&str]) -> Vec<(usize, &'a str)> {
    let all: Vec<(usize, &str)> = rust::words(code).collect();
    let pairs = all.windows(2).filter(|pair| keywords.contains(&pair[0].1));
    // `fn(u8)` is a type and `const {` a block: the name must follow the keyword directly.
    pairs.filter(|pair| pair[1].0 == pair[0].0 + pair[0].1.len() + 1).map(|pair| pair[1]).collect()
}

/// Fields of structs and variants of enums, with their places.
fn members(code: &str) -> Vec<(usize, &str)> {
    let mut members = Vec::new();
    for (at, _) in definitions(code, &["struct", "enum"]) {
        let Some((open, end)) = rust::block(code, at) else { continue };
        let mut start = open;
        for line in code[open..end].split_inclusive('\n') {
            let bare = line.trim_start();
            let bare = bare.strip_prefix("pub(super) ").unwrap_or(bare);
            let bare = bare.strip_prefix("pub(crate) ").unwrap_or(bare);
            let bare = bare.strip_prefix("pub ").unwrap_or(bare);
            let offset = line.len() - bare.len();
            if let Some((0, name)) = rust::words(bare).next() {
                members.push((start + offset, name));
            }
            start += line.len();
        }
    }
    members
}

/// The first empty word in a name of either case.
fn empty_word(name: &str) -> Option<&'static str> {
    let mut split = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !split.ends_with(|c: char| c.is_uppercase() || c == '_') {
            split.push('_');
        }
        split.push(c);
    }
    let mut split = split.to_lowercase();
    if split.split('_').filter(|word| !word.is_empty()).count() >= SENTENCE_WORDS {
        return None;
    }
    for (term, _) in GIVEN_TERMS {
        split = split.replace(term, "");
    }
    EMPTY_WORDS.iter().copied().find(|word| split.split('_').any(|part| part == *word))
}

mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        assert_eq!(header(&File::sample("src/a.rs", "use x;\n//! late\n")).len(), 1);
        assert_eq!(header(&File::sample("src/a.rs", "//! What.\n")).len(), 0);
    }

    #[test]
    fn a_function_of_seventy_one_lines_is_found() {
        let function = |lines: usize| {
            let body = "    a(\"}\");\n".repeat(lines);
            File::sample("a.rs", &format!("fn f() {{\n    // why\n\n{body}}}\nfn g() {{}}\n"))
        };
        assert_eq!(long_functions(&function(70)).len(), 0);
        assert_eq!(long_functions(&function(71)).len(), 1);
    }

    #[test]
    fn wide_lines_are_found_in_characters() {
        let line = |text: &str| long_lines(&File::sample("a.rs", text)).len();
        assert_eq!(line(&"é".repeat(120)), 0);
        assert_eq!(line(&"é".repeat(121)), 1);
        assert_eq!(long_lines(&File::sample("a.sh", &"e".repeat(120))).len(), 0);
        assert_eq!(long_lines(&File::sample("a.sh", &"e".repeat(121))).len(), 1);
        let recorded = format!("let a = \"{}\";", "e".repeat(120));
        assert_eq!(long_lines(&File::sample("src/a.rs", &recorded)).len(), 1);
        let test = format!("#[cfg(test)]\nmod tests {{\n{recorded}\n}}");
        assert_eq!(long_lines(&File::sample("src/a.rs", &test)).len(), 0);
        let comment = format!("#[cfg(test)]\nmod tests {{\n// {}\n}}", "e".repeat(120));
        assert_eq!(long_lines(&File::sample("src/a.rs", &comment)).len(), 1);
    }

    #[test]
    fn postponed_work_and_silenced_tests_are_found() {
        let found = |text: &str| unfinished(&File::sample("a.rs", text)).len();
        assert_eq!(found(concat!("// TO", "DO later")), 1);
        assert_eq!(found(concat!("to", "do!()")), 1);
        assert_eq!(found(concat!("#[", "ignore = \"slow\"]")), 1);
        assert_eq!(found("// Known gap: one region only."), 0);
    }

    #[test]
    fn panics_are_found_outside_tests_only() {
        let found = |text: &str| panics(&File::sample("src/a.rs", text)).len();
        assert_eq!(found("fn f() { x.unwrap(); y.expect(\"z\"); panic!(\"w\") }"), 3);
        assert_eq!(found("fn f() { x.unwrap_or(1); } // .unwrap()"), 0);
        assert_eq!(found("#[cfg(test)]\nmod tests { fn f() { x.unwrap(); } }"), 0);
        assert_eq!(found("const A: NonZeroU32 = NonZeroU32::new(1).unwrap();"), 0);
        assert_eq!(found("const fn f() -> u8 {\n    g().unwrap()\n}"), 1);
    }

    #[test]
    fn empty_words_are_found_in_every_sort_of_name() {
        let found = |text: &str| names(&File::sample("src/a.rs", text)).len();
        assert_eq!(found("struct TokenManager;"), 1);
        assert_eq!(found("fn handle_request() {}"), 1);
        assert_eq!(found("mod utils;"), 1);
        assert_eq!(found("struct A {\n    pub user_data: u8,\n}"), 1);
        assert_eq!(found("enum A {\n    Info,\n    Other { helper: u8 },\n}"), 1);
        assert_eq!(
            found("struct A {\n    data_dir: u8,\n}\nfn document() {}\nstruct Database;"),
            0
        );
        assert_eq!(
            found(
                "struct ClientData;\nconst MAX_CLIENT_DATA: u8 = 1;\nfn we_refuse_what_browsers_do_not_write() {}"
            ),
            0
        );
        assert_eq!(found("type F = fn(u8) -> u8;\nfn f() { std::process::exit(1) }"), 0);
    }
}
