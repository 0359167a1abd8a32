//! Commands that fetch something and run it, in what a step of CI or a Dockerfile runs.

use crate::domain::review::survey::EXCERPT_MAX;

/// Tools that fetch a package and run it: the words that start one, and what pins it.
const FETCHERS: &[(&[&str], Pin)] = &[
    (&["npx"], Pin::At),
    (&["bunx"], Pin::At),
    (&["pnpm", "dlx"], Pin::At),
    (&["yarn", "dlx"], Pin::At),
    (&["npm", "exec"], Pin::At),
    (&["uvx"], Pin::EqualsOrAt),
    (&["uv", "tool"], Pin::EqualsOrAt),
    (&["pipx", "run"], Pin::EqualsOrAt),
    (&["pipx", "install"], Pin::EqualsOrAt),
    (&["pip", "install"], Pin::Hashes),
    (&["pip3", "install"], Pin::Hashes),
    (&["go", "install"], Pin::At),
    (&["go", "run"], Pin::LocalOrAt),
    (&["cargo", "install"], Pin::At),
    (&["gem", "install"], Pin::Never),
    (&["gh", "extension", "install"], Pin::Never),
    (&["docker", "run"], Pin::Digest),
    (&["docker", "pull"], Pin::Digest),
    (&["git", "clone"], Pin::Never),
    (&["curl"], Pin::NoAddress),
    (&["wget"], Pin::NoAddress),
    (&["iwr"], Pin::NoAddress),
    (&["Invoke-WebRequest"], Pin::NoAddress),
];
/// `npm install -g` and its like fetch programs; without `-g` they follow the lock file.
const GLOBAL: &[&[&str]] =
    &[&["npm", "install"], &["npm", "i"], &["pnpm", "add"], &["yarn", "global"]];
/// Versions that are somebody else's choice.
const MOVING: [&str; 6] = ["latest", "next", "main", "master", "HEAD", "lts"];

/// What makes a fetch the same every time.
#[derive(Debug, Clone, Copy)]
enum Pin {
    /// `name@1.2.3`.
    At,
    /// The same, or a program of the repository itself.
    LocalOrAt,
    /// `name==1.2.3` or `name@1.2.3`.
    EqualsOrAt,
    /// `--require-hashes`.
    Hashes,
    /// `name@sha256:…`.
    Digest,
    /// It names no address, as in `curl --version`.
    NoAddress,
    /// Nothing does.
    Never,
}

/// The lines of a script that fetch what may be another thing tomorrow, cut, in order, with their
/// line numbers from 0.
pub(super) fn unpinned(script: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let (mut logical, mut first) = (String::new(), 0);
    for (number, line) in (0_u32..).zip(script.lines()) {
        if logical.is_empty() {
            first = number;
        }
        // A command goes on after a backslash.
        match line.trim_end().strip_suffix('\\') {
            Some(more) => {
                logical.push_str(more);
                logical.push(' ');
                continue;
            }
            None => logical.push_str(line),
        }
        let command = std::mem::take(&mut logical);
        let command = command.trim();
        if !command.starts_with('#') && fetches(command) {
            found.push((first, command.chars().take(EXCERPT_MAX).collect()));
        }
    }
    found
}

/// Whether any of the commands in a line fetches something that is not pinned.
fn fetches(line: &str) -> bool {
    line.split(['|', ';', '&', '(', ')', '`', '{', '}']).any(|command| {
        let words: Vec<&str> = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']))
            .skip_while(|word| is_before_command(word))
            .collect();
        // `python -m pip install` is `pip install`.
        let words = match words.as_slice() {
            [python, "-m", rest @ ..] if python.starts_with("python") => rest,
            ["uv", rest @ ..] if rest.first() == Some(&"pip") => rest,
            words => words,
        };
        FETCHERS
            .iter()
            .any(|(start, pin)| words.strip_prefix(*start).is_some_and(|rest| !pin.holds(rest)))
            || GLOBAL.iter().any(|start| {
                words.strip_prefix(*start).is_some_and(|rest| {
                    let everywhere = rest.iter().any(|word| matches!(*word, "-g" | "--global"));
                    (everywhere || start.contains(&"global")) && !Pin::At.holds(rest)
                })
            })
    })
}

/// Words that may stand before a command: assignments and what runs another command.
fn is_before_command(word: &str) -> bool {
    let assigns = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    assigns
        || matches!(word, "sudo" | "exec" | "time" | "env" | "then" | "do" | "if" | "!" | "<" | "$")
}

impl Pin {
    /// Whether a command with these words fetches the same every time, or nothing.
    fn holds(self, words: &[&str]) -> bool {
        let named = || words.iter().copied().filter(|word| !word.starts_with('-'));
        match self {
            Self::At => named().next().is_none_or(|word| is_exact(word, &["@"])),
            Self::LocalOrAt => {
                named().next().is_none_or(|word| word.starts_with('.') || is_exact(word, &["@"]))
            }
            Self::EqualsOrAt => named()
                .find(|word| !matches!(*word, "run" | "install"))
                .is_none_or(|word| is_exact(word, &["==", "@"])),
            Self::Hashes => words.contains(&"--require-hashes") || words.is_empty(),
            Self::Digest => words.iter().any(|word| word.contains("@sha256:")),
            Self::NoAddress => !words.iter().any(|word| word.contains("://") || word.contains('$')),
            Self::Never => words.is_empty(),
        }
    }
}

/// `name@1.2.3`, with a version that is not somebody else's choice. A scope has an `@` as well.
fn is_exact(word: &str, separators: &[&str]) -> bool {
    separators.iter().any(|separator| {
        let parts = word.rsplit_once(separator);
        parts.is_some_and(|(name, version)| {
            let digits = version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
            let commit = version.len() == 40 && version.bytes().all(|b| b.is_ascii_hexdigit());
            !name.is_empty() && (digits || commit) && !MOVING.contains(&version)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_fetch_anew_are_found_and_pinned_ones_are_not() {
        for (line, expected) in [
            ("bash <(curl -s https://example.test/bash)", true),
            ("curl -sSL https://example.test/i.sh | sudo sh", true),
            ("curl --version", false),
            ("npx semantic-release", true),
            ("npx semantic-release@24.1.0", false),
            ("npx @scope/tool", true),
            ("npx @scope/tool@latest", true),
            ("npx @scope/tool@1.0.0", false),
            ("pip install pre-commit", true),
            ("python -m pip install --upgrade build", true),
            ("uv pip install x", true),
            ("pip install --require-hashes -r requirements.txt", false),
            ("uvx ruff", true),
            ("uvx ruff@0.9.1", false),
            ("pipx run build==1.2.2", false),
            ("pipx run build", true),
            ("go install example.test/x@latest", true),
            ("go install example.test/x@v1.2.3", false),
            ("go run ./cmd", false),
            ("gh extension install o/x", true),
            ("docker run --rm python:3.12 true", true),
            ("npm ci", false),
            ("npm install", false),
            ("npm install -g npm", true),
            ("npm install -g npm@11.15.0", false),
            ("NPM_TOKEN=x npx thing", true),
            ("echo npx thing", false),
            ("# npx thing", false),
            ("npm run build && npx thing", true),
        ] {
            assert_eq!(!unpinned(line).is_empty(), expected, "{line}");
        }
    }

    #[test]
    fn a_command_over_several_lines_is_one_with_its_first_line() {
        let script = "set -e\npip install \\\n  build\necho done\nnpx x\n";
        let found = unpinned(script);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4]);
        assert!(found[0].1.starts_with("pip install") && found[0].1.ends_with("build"));
    }
}
