//! Repositories of source code, read with the `git` program.
//!
//! Git parses what strangers wrote, so it gets a clean environment: no configuration of the host or
//! of a person, no hooks, no helpers, no prompts, one transport, bounded time and output. Nothing is
//! ever checked out, so no filter, attribute, link or submodule of a repository takes effect.
//! Whatever comes from a repository reaches Git's command line only as a full object name or after
//! `--end-of-options`.

mod command;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;
use url::Url;

use crate::domain::digest::{Sha1, Sha256};
use crate::domain::repository::Place;
use crate::domain::review::binding::Tree;
use crate::domain::review::workflow::is_commit;

use self::command::{Bounds, Call};

/// Most files of a tree. Linux has some 90 000.
const TREE_FILES_MAX: usize = 500_000;
/// Most bytes of a list of references or files.
const LIST_MAX_BYTES: u64 = 64 << 20;
/// Most bytes of an answer that is one name.
const NAME_MAX_BYTES: u64 = 4 << 10;
/// How often the size of a fetch is looked at.
const WATCH: Duration = Duration::from_millis(200);

/// How repositories are read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program.
    pub program: PathBuf,
    /// The folder for what is fetched.
    pub cache: PathBuf,
    /// A fetch may take so long.
    pub fetch_within: Duration,
    /// Any other call may take so long.
    pub read_within: Duration,
    /// A fetched repository may have so many bytes.
    pub fetched_max_bytes: u64,
}

impl Settings {
    /// Usual bounds, with the folder for what is fetched.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            program: PathBuf::from("git"),
            cache,
            fetch_within: Duration::from_mins(5),
            read_within: Duration::from_mins(1),
            fetched_max_bytes: 4 << 30,
        }
    }
}

/// Why a repository could not be read. The words are for the page of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such program.
    #[error("git is not installed on this host")]
    NoGit,
    /// The operating system refused.
    #[error("{0}")]
    System(String),
    /// It took too long.
    #[error("git took longer than {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// Larger than anything we expect.
    #[error("it has more files or bytes than are read")]
    TooLarge,
    /// Git refused; its first line.
    #[error("git said: {0}")]
    Refused(String),
    /// Git answered in a form we do not know.
    #[error("git gave an answer that could not be read")]
    Unclear,
    /// The names of its objects are not SHA-1.
    #[error("it names objects by SHA-256, which is not supported yet")]
    ObjectFormat,
}

/// Reads repositories.
#[derive(Debug)]
pub struct Git {
    settings: Settings,
    /// One fetch at a time: they are bounded together by disk and network.
    fetching: Mutex<()>,
}

/// A repository that can be read.
#[derive(Debug)]
pub struct Mirror<'a> {
    git: &'a Git,
    folder: PathBuf,
}

/// Where branches and tags lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Commits by branch.
    pub branches: BTreeMap<String, String>,
    /// Commits by tag, through annotated tags.
    pub tags: BTreeMap<String, String>,
}

impl Git {
    /// Reads with these settings; starts nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, fetching: Mutex::new(()) }
    }

    /// Opens a repository, fetching what is at an address.
    pub async fn open(&self, place: &Place) -> Result<Mirror<'_>, SourceError> {
        let folder = match place {
            Place::Mirror(path) => path.clone(),
            Place::Remote { url, credentials_file, allow_private } => {
                self.fetch(url, credentials_file.as_deref(), *allow_private).await?
            }
        };
        let mirror = Mirror { git: self, folder };
        let format = mirror.read(&["rev-parse", "--show-object-format"], NAME_MAX_BYTES).await?;
        if text(format)?.trim() == "sha1" { Ok(mirror) } else { Err(SourceError::ObjectFormat) }
    }

    /// Fetches branches and tags into the cache. What dies on the way is fetched again next time;
    /// Git itself moves no reference before everything it needs is there.
    async fn fetch(
        &self,
        url: &Url,
        credentials_file: Option<&Path>,
        allow_private: bool,
    ) -> Result<PathBuf, SourceError> {
        let _one = self.fetching.lock().await;
        let name = Sha256::of(url.as_str().as_bytes()).to_string();
        let folder = self.settings.cache.join(format!("{}.git", &name[..32]));
        let system = |error: std::io::Error| SourceError::System(error.to_string());
        tokio::fs::create_dir_all(&self.settings.cache).await.map_err(system)?;
        let credentials = match credentials_file {
            Some(path) => Some(tokio::fs::read_to_string(path).await.map_err(system)?),
            None => None,
        };
        let bounds = Bounds { within: self.settings.read_within, bytes: NAME_MAX_BYTES };
        let init = Call::new(&self.settings, None).args(["init", "--quiet", "--bare"]);
        let init = init.args(["--template=", "--object-format=sha1"]).arg(&folder);
        init.output(bounds).await?;
        let fetch = Call::new(&self.settings, Some(&folder))
            .transport(url, allow_private, credentials.as_deref())
            .args(["fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head"])
            .args(["--no-recurse-submodules", "--no-auto-maintenance", "--end-of-options"])
            .arg(url.as_str())
            .args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        let bounds = Bounds { within: self.settings.fetch_within, bytes: NAME_MAX_BYTES };
        let fetched = tokio::select! {
            fetched = fetch.output(bounds) => fetched.map(drop),
            () = self.outgrown(&folder) => Err(SourceError::TooLarge),
        };
        if matches!(fetched, Err(SourceError::TooLarge | SourceError::TimedOut(_))) {
            // Half a pack that nobody would ever remove.
            remove(&folder).await?;
        }
        fetched.map(|()| folder)
    }

    /// Ends when a fetched repository is larger than it may be.
    async fn outgrown(&self, folder: &Path) {
        loop {
            tokio::time::sleep(WATCH).await;
            let folder = folder.to_owned();
            let size = tokio::task::spawn_blocking(move || size(&folder)).await;
            if size.is_ok_and(|bytes| bytes > self.settings.fetched_max_bytes) {
                return;
            }
        }
    }
}

/// The bytes of everything in a folder; what vanishes meanwhile has none.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(Result::ok).map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

async fn remove(folder: &Path) -> Result<(), SourceError> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SourceError::System(error.to_string()))
        }
        _ => Ok(()),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, SourceError> {
    String::from_utf8(bytes).map_err(|_| SourceError::Unclear)
}

impl Mirror<'_> {
    async fn read(&self, args: &[&str], bytes: u64) -> Result<Vec<u8>, SourceError> {
        let settings = &self.git.settings;
        let bounds = Bounds { within: settings.read_within, bytes };
        Call::new(settings, Some(&self.folder)).args(args).output(bounds).await
    }

    /// Every branch and tag.
    pub async fn references(&self) -> Result<References, SourceError> {
        const FORMAT: &str =
            "--format=%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)";
        let list = self.read(&["for-each-ref", FORMAT, "refs/heads", "refs/tags"], LIST_MAX_BYTES);
        let mut references = References::default();
        for line in list.await?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let [name, sort, object, inner_sort, inner] = fields.as_slice() else {
                return Err(SourceError::Unclear);
            };
            let commit = match (*sort, *inner_sort) {
                (b"commit", _) => *object,
                (b"tag", b"commit") => *inner,
                // A tag of a file or tree leads to no release.
                _ => continue,
            };
            let (name, commit) = (String::from_utf8_lossy(name), text(commit.to_vec())?);
            if let Some(branch) = name.strip_prefix("refs/heads/") {
                references.branches.insert(branch.to_owned(), commit);
            } else if let Some(tag) = name.strip_prefix("refs/tags/") {
                references.tags.insert(tag.to_owned(), commit);
            }
        }
        Ok(references)
    }

    /// The commit of a full object name, tag, branch or full reference; `None` when there is none.
    pub async fn commit(&self, name: &str) -> Result<Option<String>, SourceError> {
        let full = if is_commit(name) || name.starts_with("refs/") {
            vec![name.to_owned()]
        } else {
            vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")]
        };
        for name in full {
            let object = format!("{name}^{{commit}}");
            let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &object];
            match self.read(&args, NAME_MAX_BYTES).await {
                Ok(found) => {
                    let found = text(found)?.trim().to_owned();
                    // Whatever Git took the name for, a commit's own name is that commit.
                    let same = !is_commit(&name) || found == name;
                    return Ok(Some(found).filter(|found| same && is_commit(found)));
                }
                Err(SourceError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The branches and tags that lead to a commit, by name.
    pub async fn containing(
        &self,
        commit: &str,
    ) -> Result<(Vec<String>, Vec<String>), SourceError> {
        let contains = format!("--contains={commit}");
        let args = ["for-each-ref", &contains, "--format=%(refname)", "refs/heads", "refs/tags"];
        let list = self.read(&args, LIST_MAX_BYTES).await?;
        let list = String::from_utf8_lossy(&list);
        let below = |prefix| {
            list.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        Ok((below("refs/heads/"), below("refs/tags/")))
    }

    /// Every file at a commit.
    pub async fn tree(&self, commit: &str) -> Result<Tree, SourceError> {
        let args = ["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit];
        let list = self.read(&args, LIST_MAX_BYTES).await?;
        let (mut tree, mut files) = (Tree::default(), 0);
        for entry in entries(&list) {
            let Entry { mode, object, path } = entry?;
            files += 1;
            if files > TREE_FILES_MAX {
                return Err(SourceError::TooLarge);
            }
            match mode {
                "160000" => tree.add_submodule(),
                // The content of a link is a path, and no file of an artifact is one.
                "120000" => {}
                _ => tree.add(path, object),
            }
        }
        Ok(tree)
    }

    /// The blob of one file at a commit.
    pub async fn file(&self, commit: &str, path: &str) -> Result<Option<Sha1>, SourceError> {
        let args = ["ls-tree", "-z", "--full-tree", "--end-of-options", commit, path];
        let list = self.read(&args, NAME_MAX_BYTES).await?;
        for entry in entries(&list) {
            let entry = entry?;
            if entry.path == path && matches!(entry.mode, "100644" | "100755") {
                return Ok(Some(entry.object));
            }
        }
        Ok(None)
    }

    /// The content of a file, at most so many bytes.
    pub async fn content(&self, blob: Sha1, bytes: u64) -> Result<Vec<u8>, SourceError> {
        self.read(&["cat-file", "blob", &blob.to_string()], bytes).await
    }
}

/// One line of a tree.
struct Entry<'a> {
    mode: &'a str,
    object: Sha1,
    path: String,
}

/// `mode type object TAB path NUL`, again and again. Paths that are no UTF-8 are shown so.
fn entries(list: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, SourceError>> {
    list.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(|entry| {
        let tab = entry.iter().position(|byte| *byte == b'\t').ok_or(SourceError::Unclear)?;
        let head = std::str::from_utf8(&entry[..tab]).map_err(|_| SourceError::Unclear)?;
        let words: Vec<&str> = head.split(' ').collect();
        let [mode, _, object] = words.as_slice() else { return Err(SourceError::Unclear) };
        let object = Sha1::parse_hex(object).map_err(|_| SourceError::Unclear)?;
        let path = String::from_utf8_lossy(&entry[tab + 1..]).into_owned();
        Ok(Entry { mode, object, path })
    })
}
