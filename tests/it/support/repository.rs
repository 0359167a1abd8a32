//! Repositories built with the `git` program of the host, as a forge would hold them.

use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::domain::digest::Sha1;

/// A bare repository and the work tree it is filled from.
pub(crate) struct Forge {
    /// Goes away with this.
    _folder: tempfile::TempDir,
    work: PathBuf,
    /// The bare repository.
    pub(crate) bare: PathBuf,
}

impl Forge {
    /// An empty repository with the branch `main`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (work, bare) = (folder.path().join("work"), folder.path().join("bare.git"));
        run(folder.path(), &["init", "--quiet", "-b", "main", "--bare", bare.to_str().unwrap()]);
        run(folder.path(), &["init", "--quiet", "-b", "main", work.to_str().unwrap()]);
        let forge = Self { _folder: folder, work, bare };
        forge.git(&["remote", "add", "origin", forge.bare.to_str().unwrap()]);
        forge
    }

    /// Runs git in the work tree.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        run(&self.work, args)
    }

    /// Runs git in the bare repository.
    pub(crate) fn bare_git(&self, args: &[&str]) -> String {
        run(&self.bare, args)
    }

    /// The same with something to read.
    pub(crate) fn bare_git_reads(&self, args: &[&str], input: &str) -> String {
        let file = self.bare.join("input");
        std::fs::write(&file, input).unwrap();
        output(git(&self.bare, args).stdin(std::fs::File::open(file).unwrap()))
    }

    /// Writes files, commits and pushes `main`; gives the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "A change"]);
        self.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Puts a tag at the last commit and pushes it.
    pub(crate) fn tag(&self, name: &str) {
        self.git(&["tag", "--force", "-a", "-m", "A release", name]);
        self.git(&["push", "--quiet", "--force", "origin", &format!("refs/tags/{name}")]);
    }
}

fn run(folder: &Path, args: &[&str]) -> String {
    output(&mut git(folder, args))
}

/// Git with a configuration of its own.
fn git(folder: &Path, args: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [("NAME", "Octo"), ("EMAIL", "octo@example.test"), ("DATE", "2026-01-01T00:00:00Z")]
                .map(|(what, value)| (format!("GIT_{who}_{what}"), value))
        }))
        .args(args);
    git
}

/// What a command printed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The name Git gives a content.
pub(crate) fn blob(content: &str) -> Sha1 {
    Sha1::of_git_blob(content.as_bytes())
}
