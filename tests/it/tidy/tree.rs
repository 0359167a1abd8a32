//! The files of this checkout, without what `.gitignore` leaves out, and what is wrong with them.

use std::fmt;
use std::path::Path;

/// One file, addressed from the root of the checkout with `/` on every system.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

/// One place that breaks a rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    path: String,
    line: usize,
    what: String,
}

impl Complaint {
    /// `line` counts from one.
    pub(super) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl File {
    /// A made-up file for the tests of the checks.
    pub(super) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
    }

    /// The text; empty for a file that is not text, which no check of text minds.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// Lines with their numbers, from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text().lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(super) fn has_extension(&self, wanted: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|e| e.to_str());
        extension.is_some_and(|extension| wanted.contains(&extension))
    }

    pub(super) fn is_rust(&self) -> bool {
        self.has_extension(&["rs"])
    }

    /// Rust of the product itself: no tests, no tools.
    pub(super) fn is_product(&self) -> bool {
        let is_test = self.path.ends_with("/tests.rs") || self.path.contains("/samples/");
        self.is_rust() && self.path.starts_with("src/") && !is_test
    }

    pub(super) fn is_code(&self) -> bool {
        self.has_extension(&["rs", "py", "sh", "js", "mjs", "sql"])
    }

    pub(super) fn is_template(&self) -> bool {
        self.has_extension(&["html"])
    }

    pub(super) fn is_lock(&self) -> bool {
        matches!(self.path.rsplit('/').next(), Some("package-lock.json" | "requirements.txt"))
    }
}

/// Every file of the checkout that git would take.
pub(super) fn every_file() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignore = std::fs::read_to_string(root.join(".gitignore")).unwrap();
    let ignored = Ignored::parse(&ignore);
    let mut files = Vec::new();
    collect(root, "", &ignored, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(root: &Path, folder: &str, ignored: &Ignored, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if name == ".git" || ignored.leaves_out(&path) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, ignored, files);
        } else {
            files.push(File { bytes: std::fs::read(entry.path()).unwrap(), path });
        }
    }
}

/// The three shapes of line our `.gitignore` uses: `/from/root/`, `anywhere/` and `*.suffix`.
struct Ignored {
    from_root: Vec<String>,
    anywhere: Vec<String>,
    suffixes: Vec<String>,
}

impl Ignored {
    fn parse(text: &str) -> Self {
        let mut ignored =
            Self { from_root: Vec::new(), anywhere: Vec::new(), suffixes: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let bare = line.trim_end_matches('/');
            if let Some(path) = bare.strip_prefix('/') {
                ignored.from_root.push(path.to_owned());
            } else if let Some(suffix) = bare.strip_prefix('*') {
                ignored.suffixes.push(suffix.to_owned());
            } else {
                assert!(!bare.contains(['/', '*']), "a shape of line this test does not know");
                ignored.anywhere.push(bare.to_owned());
            }
        }
        ignored
    }

    fn leaves_out(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.from_root.iter().any(|ignored| ignored == path)
            || self.anywhere.iter().any(|ignored| ignored == name)
            || self.suffixes.iter().any(|suffix| name.ends_with(suffix.as_str()))
    }
}

mod tests {
    use super::*;

    #[test]
    fn what_git_ignores_is_left_out() {
        let ignored = Ignored::parse("# made\n/target/\n__pycache__/\n*.pyc\n");
        assert!(ignored.leaves_out("target"));
        assert!(!ignored.leaves_out("bench/target"));
        assert!(ignored.leaves_out("bench/__pycache__"));
        assert!(ignored.leaves_out("bench/bench.pyc"));
        assert!(!ignored.leaves_out("src/lib.rs"));
    }

    #[test]
    fn the_checkout_is_read() {
        let files = every_file();
        assert!(files.iter().any(|file| file.path == "src/lib.rs" && !file.text().is_empty()));
        assert!(files.iter().all(|file| !file.path.starts_with("target/")));
    }
}
