//! Artifacts on the local disk, each under its SHA-256: `blobs/ab/cdef…`.
//!
//! Bytes stream through a temporary file on the same file system while they are hashed; a blob gets
//! its name only after fsync. Every read checks the digest again before it gives out the last
//! bytes. Hashing and disk work run off the async threads, a bounded number at a time.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use sha2::Digest as _;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::domain::artifact::Digests;
use crate::domain::digest::{Blake2b256, Md5, Sha1, Sha256, Sha512};
use crate::entropy::{self, EntropyError};

/// Bytes hashed and written at once: large enough to hide the hand-over to another thread, small
/// enough to stay in a core's cache between the digests. An upload holds two.
const PIECE: usize = 128 * 1024;
/// Blobs up to this size, in bytes, are read at once; larger ones take turns, see
/// [`HeldBlob::read`]. To inflate this much takes a few milliseconds.
const SHORT: u64 = 1 << 20;
/// The directory of files that have no name yet.
const TEMPORARY: &str = "tmp";

/// What went wrong with a blob. All of these are faults of ours, none of the sender's.
#[derive(Debug, thiserror::Error)]
pub enum BlobFault {
    /// The disk or the quota is full; the operator has to act.
    #[error("no space is left for artifacts")]
    NoSpace(#[source] io::Error),
    /// No blob of this digest is kept.
    #[error("no artifact is kept under `{0}`")]
    Missing(Sha256),
    /// The bytes on disk are not the bytes that were stored (I5).
    #[error("the artifact on disk does not have the digest `{0}`")]
    Tampered(Sha256),
    /// The disk failed.
    #[error("the artifact store failed")]
    Io(#[source] io::Error),
    /// No randomness for a temporary name.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A worker thread ended without an answer, which happens while the program stops.
    #[error("the artifact store is stopping")]
    Stopped,
}

impl From<io::Error> for BlobFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(error),
            _ => Self::Io(error),
        }
    }
}

/// Which digests to compute besides SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// SHA-512, for npm's `dist.integrity`.
    pub sha512: bool,
    /// SHA-1, for npm's `dist.shasum`.
    pub sha1: bool,
    /// MD5, if the PyPI form names it.
    pub md5: bool,
    /// BLAKE2b-256, if the PyPI form names it.
    pub blake2b256: bool,
}

impl Wanted {
    /// What every npm tarball needs.
    pub const NPM: Self = Self { sha512: true, sha1: true, md5: false, blake2b256: false };
}

/// A blob that is durably stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its digests.
    pub digests: Digests,
    /// Its size in bytes.
    pub size: u64,
}

/// The artifact store. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: Arc<Path>,
    pool: Arc<Semaphore>,
    long_reads: Arc<Semaphore>,
}

impl Blobs {
    /// Opens the store at `root`, making its directories where they are missing.
    ///
    /// `threads` bounds how many pieces are hashed or written at once; 0 counts as 1. Blocks.
    pub fn open(root: &Path, threads: usize) -> Result<Self, BlobFault> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(root.join(TEMPORARY))?;
        // All directories exist from the start, so that naming a blob syncs only its own.
        for first in 0..=u8::MAX {
            builder.create(root.join(format!("{first:02x}")))?;
        }
        File::open(root)?.sync_all()?;
        let threads = threads.max(1);
        Ok(Self {
            root: root.into(),
            pool: Arc::new(Semaphore::new(threads)),
            long_reads: Arc::new(Semaphore::new(2 * threads)),
        })
    }

    /// Removes temporary files last written before `before`; returns how many. Blocks.
    ///
    /// At start-up `now` is right on one machine; with several replicas on one disk it must lie
    /// further back than the longest upload.
    pub fn sweep(&self, before: Timestamp) -> Result<u32, BlobFault> {
        let mut removed = 0;
        for entry in std::fs::read_dir(self.root.join(TEMPORARY))? {
            let entry = entry?;
            let written = Timestamp::try_from(entry.metadata()?.modified()?);
            if written.is_ok_and(|written| written < before) {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Starts a new blob. Its file is made with the first bytes that are written.
    pub fn writer(&self, wanted: Wanted) -> Result<BlobWriter, BlobFault> {
        let name = entropy::opaque_uuid()?.simple().to_string();
        let content = Content {
            file: None,
            temporary: Temporary { path: self.root.join(TEMPORARY).join(name), named: false },
            sha256: sha2::Sha256::new(),
            sha1: wanted.sha1.then(sha1::Sha1::new),
        };
        let side = Side {
            sha512: wanted.sha512.then(sha2::Sha512::new),
            md5: wanted.md5.then(md5::Md5::new),
            blake2b256: wanted.blake2b256.then(blake2::Blake2b256::new),
        };
        let has_side = side.sha512.is_some() || side.md5.is_some() || side.blake2b256.is_some();
        Ok(BlobWriter {
            blobs: self.clone(),
            content: Lane::Idle(content),
            side: has_side.then_some(Lane::Idle(side)),
            buffer: Vec::new(),
            size: 0,
        })
    }

    /// Opens a blob for reading; its digest is checked again on the way.
    pub async fn open_blob(&self, sha256: Sha256) -> Result<BlobReader, BlobFault> {
        let file = self.file(sha256).await?;
        let size = tokio::fs::File::from_std(file.try_clone()?).metadata().await?.len();
        Ok(BlobReader {
            pool: Arc::clone(&self.pool),
            sha256,
            size,
            lane: Lane::Idle(Check { file, hash: sha2::Sha256::new(), read: None }),
            held: None,
            finished: false,
        })
    }

    /// Opens a blob as a plain file, for readers that verify it themselves: the inspecting child
    /// and the sender, which hashes what it sends. Blocks.
    pub fn std_file(&self, sha256: &Sha256) -> Result<File, BlobFault> {
        File::open(self.path(sha256)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BlobFault::Missing(*sha256),
            _ => error.into(),
        })
    }

    /// The same as [`Self::std_file`] without blocking; what the sender takes as its source.
    pub async fn file(&self, sha256: Sha256) -> Result<File, BlobFault> {
        let blobs = self.clone();
        off_thread(move || blobs.std_file(&sha256)).await
    }

    /// Reads a whole blob and compares its digest; returns its size in bytes.
    pub async fn verify(&self, sha256: Sha256) -> Result<u64, BlobFault> {
        let mut reader = self.open_blob(sha256).await?;
        while reader.next().await?.is_some() {}
        Ok(reader.size())
    }

    /// True when a blob of this digest is kept; says nothing about its bytes.
    pub async fn exists(&self, sha256: &Sha256) -> Result<bool, BlobFault> {
        Ok(tokio::fs::try_exists(self.path(sha256)).await?)
    }

    /// Where a blob lies, for the inspecting child, which opens it by itself.
    pub fn path(&self, sha256: &Sha256) -> PathBuf {
        let hex = sha256.to_string();
        let (first, rest) = hex.split_at(2);
        self.root.join(first).join(rest)
    }
}

/// A file without a name yet; removed unless it got one.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    named: bool,
}

impl Temporary {
    fn create(&self) -> io::Result<File> {
        File::options().write(true).create_new(true).mode(0o600).open(&self.path)
    }

    /// Replaces an equal file as a whole, which also heals one that went bad on disk.
    fn rename(mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            // A file that stays is removed by the next sweep.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Work that is either here or on a pool thread.
#[derive(Debug)]
enum Lane<T> {
    Idle(T),
    Busy(JoinHandle<io::Result<T>>),
    Lost,
}

impl<T: Send + 'static> Lane<T> {
    /// Waits until the work is back. Cancelling keeps it on its thread, to be waited for again.
    async fn settle(&mut self) -> Result<&mut T, BlobFault> {
        if let Self::Busy(thread) = self {
            let back = thread.await;
            *self = Self::Lost;
            *self = Self::Idle(back.map_err(|_| BlobFault::Stopped)??);
        }
        match self {
            Self::Idle(work) => Ok(work),
            Self::Busy(_) | Self::Lost => Err(BlobFault::Stopped),
        }
    }

    /// Sends the settled work to a pool thread.
    async fn start(
        &mut self,
        pool: &Arc<Semaphore>,
        step: impl FnOnce(&mut T) -> io::Result<()> + Send + 'static,
    ) -> Result<(), BlobFault> {
        let permit = Arc::clone(pool).acquire_owned().await.map_err(|_| BlobFault::Stopped)?;
        match std::mem::replace(self, Self::Lost) {
            Self::Idle(mut work) => {
                *self = Self::Busy(tokio::task::spawn_blocking(move || {
                    let done = step(&mut work);
                    drop(permit);
                    done.map(|()| work)
                }));
                Ok(())
            }
            Self::Busy(_) | Self::Lost => Err(BlobFault::Stopped),
        }
    }

    fn into_idle(self) -> Result<T, BlobFault> {
        match self {
            Self::Idle(work) => Ok(work),
            Self::Busy(_) | Self::Lost => Err(BlobFault::Stopped),
        }
    }
}

async fn off_thread<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, BlobFault> + Send + 'static,
) -> Result<T, BlobFault> {
    tokio::task::spawn_blocking(step).await.map_err(|_| BlobFault::Stopped)?
}

/// The file and the digests that go with it on the first thread.
#[derive(Debug)]
struct Content {
    /// Absent until the first bytes.
    file: Option<File>,
    // After the file, so that it is closed before it is removed.
    temporary: Temporary,
    sha256: sha2::Sha256,
    sha1: Option<sha1::Sha1>,
}

/// The slower digests, on a second thread: SHA-512 alone takes as long as all of [`Content`].
#[derive(Debug, Default)]
struct Side {
    sha512: Option<sha2::Sha512>,
    md5: Option<md5::Md5>,
    blake2b256: Option<blake2::Blake2b256>,
}

impl Content {
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.sha256.update(piece);
        if let Some(hash) = &mut self.sha1 {
            hash.update(piece);
        }
        let mut file = self.take_file()?;
        file.write_all(piece)?;
        self.file = Some(file);
        Ok(())
    }

    /// The file, made now if nothing was written yet.
    fn take_file(&mut self) -> io::Result<File> {
        self.file.take().map_or_else(|| self.temporary.create(), Ok)
    }
}

impl Side {
    fn take(&mut self, piece: &[u8]) {
        if let Some(hash) = &mut self.sha512 {
            hash.update(piece);
        }
        if let Some(hash) = &mut self.md5 {
            hash.update(piece);
        }
        if let Some(hash) = &mut self.blake2b256 {
            hash.update(piece);
        }
    }
}

/// A blob on its way in. Dropped before [`Self::finish`], it leaves nothing once the piece that is
/// being written is through.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    content: Lane<Content>,
    side: Option<Lane<Side>>,
    buffer: Vec<u8>,
    size: u64,
}

impl BlobWriter {
    /// Takes the next bytes. While one piece is hashed and written the next one fills.
    ///
    /// The caller bounds the total. After an error the writer can only be dropped.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<(), BlobFault> {
        while !bytes.is_empty() {
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(PIECE);
            }
            let room = PIECE - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            self.size += now.len() as u64;
            bytes = later;
            if self.buffer.len() == PIECE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Bytes taken so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    async fn flush(&mut self) -> Result<(), BlobFault> {
        self.content.settle().await?;
        if let Some(side) = &mut self.side {
            side.settle().await?;
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        let pool = &self.blobs.pool;
        if let Some(side) = &mut self.side {
            let piece = piece.clone();
            side.start(pool, move |side| {
                side.take(&piece);
                Ok(())
            })
            .await?;
        }
        self.content.start(pool, move |content| content.take(&piece)).await
    }

    /// Makes the blob durable and gives it its name. The same bytes again are a success and one
    /// file.
    pub async fn finish(self) -> Result<StoredBlob, BlobFault> {
        self.hold().await?.keep().await
    }

    /// Ends the writing without giving the blob its name yet, so that it can be read and refused.
    ///
    /// The last piece, which is all of a small blob, goes through one thread: handing it to two
    /// would cost more than it saves.
    pub async fn hold(mut self) -> Result<HeldBlob, BlobFault> {
        self.content.settle().await?;
        if let Some(side) = &mut self.side {
            side.settle().await?;
        }
        let Self { blobs, content, side, buffer, size } = self;
        let mut content = content.into_idle()?;
        let mut side = side.map(Lane::into_idle).transpose()?;
        let permit =
            Arc::clone(&blobs.pool).acquire_owned().await.map_err(|_| BlobFault::Stopped)?;
        off_thread(move || {
            content.take(&buffer)?;
            if let Some(side) = &mut side {
                side.take(&buffer);
            }
            drop(permit);
            let file = content.take_file()?;
            let digests = digests(content.sha256, content.sha1, side);
            Ok(HeldBlob { blobs, file, temporary: content.temporary, digests, size })
        })
        .await
    }
}

fn digests(sha256: sha2::Sha256, sha1: Option<sha1::Sha1>, side: Option<Side>) -> Digests {
    let Side { sha512, md5, blake2b256 } = side.unwrap_or_default();
    Digests {
        sha256: Sha256::from_bytes(sha256.finalize().into()),
        sha1: sha1.map(|hash| Sha1::from_bytes(hash.finalize().into())),
        sha512: sha512.map(|hash| Sha512::from_bytes(hash.finalize().into())),
        md5: md5.map(|hash| Md5::from_bytes(hash.finalize().into())),
        blake2b256: blake2b256.map(|hash| Blake2b256::from_bytes(hash.finalize().into())),
    }
}

/// A blob whose bytes are all here and whose name is not given yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct HeldBlob {
    blobs: Blobs,
    file: File,
    // After the file, so that it is closed before it is removed.
    temporary: Temporary,
    digests: Digests,
    size: u64,
}

impl HeldBlob {
    /// The digests of the bytes.
    pub const fn digests(&self) -> &Digests {
        &self.digests
    }

    /// How many bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Runs a reader over the bytes from their start, on a thread where it may block.
    ///
    /// A reader's memory and time grow with the number at work, so large blobs wait for their turn.
    /// Small ones do not wait behind them.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(File) -> T + Send + 'static,
    ) -> Result<T, BlobFault> {
        let turn = if self.size > SHORT {
            let turns = Arc::clone(&self.blobs.long_reads);
            Some(turns.acquire_owned().await.map_err(|_| BlobFault::Stopped)?)
        } else {
            None
        };
        let path = self.temporary.path.clone();
        off_thread(move || {
            let result = read(File::open(path)?);
            drop(turn);
            Ok(result)
        })
        .await
    }

    /// Makes the blob durable and gives it its name.
    ///
    /// Dying before the rename leaves a temporary file for the sweep; after it, a whole blob that
    /// nothing names yet, which the next upload of the same bytes finds.
    pub async fn keep(self) -> Result<StoredBlob, BlobFault> {
        let Self { blobs, file, temporary, digests, size } = self;
        let sha256 = digests.sha256;
        off_thread(move || {
            file.sync_all()?;
            let path = blobs.path(&sha256);
            temporary.rename(&path)?;
            if let Some(directory) = path.parent() {
                File::open(directory)?.sync_all()?;
            }
            Ok(())
        })
        .await?;
        Ok(StoredBlob { digests, size })
    }
}

/// A blob on its way out.
#[derive(Debug)]
pub struct BlobReader {
    pool: Arc<Semaphore>,
    sha256: Sha256,
    size: u64,
    lane: Lane<Check>,
    held: Option<Bytes>,
    finished: bool,
}

#[derive(Debug)]
struct Check {
    file: File,
    hash: sha2::Sha256,
    read: Option<Bytes>,
}

impl BlobReader {
    /// Size in bytes, as the file system says.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, or none after the last. The last bytes come only once the digest of all of
    /// them was right; otherwise [`BlobFault::Tampered`] comes in their place.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobFault> {
        while !self.finished {
            let check = self.lane.settle().await?;
            if let Some(piece) = check.read.take() {
                if piece.is_empty() {
                    let found = Sha256::from_bytes(check.hash.clone().finalize().into());
                    self.finished = true;
                    if found != self.sha256 {
                        self.held = None;
                        return Err(BlobFault::Tampered(self.sha256));
                    }
                } else if let Some(earlier) = self.held.replace(piece) {
                    return Ok(Some(earlier));
                }
                continue;
            }
            self.lane.start(&self.pool, Check::step).await?;
        }
        Ok(self.held.take())
    }

    /// The same as a stream, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, BlobFault>> + Send {
        futures_util::stream::try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|piece| (piece, reader)))
        })
    }
}

impl Check {
    /// Reads and hashes one piece; an empty piece is the end of the file.
    fn step(&mut self) -> io::Result<()> {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut self.file).take(PIECE as u64).read_to_end(&mut piece)?;
        self.hash.update(&piece);
        self.read = Some(piece.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Blobs) {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&directory.path().join("blobs"), 2).unwrap();
        (directory, blobs)
    }

    fn files(root: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|index| u8::try_from(index * 7 % 251).unwrap()).collect()
    }

    async fn stored(blobs: &Blobs, bytes: &[u8], wanted: Wanted) -> StoredBlob {
        let mut writer = blobs.writer(wanted).unwrap();
        for piece in bytes.chunks(100_003) {
            writer.push(piece).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    async fn read(blobs: &Blobs, sha256: Sha256) -> Result<Vec<u8>, BlobFault> {
        let mut reader = blobs.open_blob(sha256).await?;
        let mut out = Vec::new();
        while let Some(piece) = reader.next().await? {
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }

    #[tokio::test]
    async fn bytes_of_any_length_come_back_with_their_digests() {
        let (_directory, blobs) = store();
        let all = Wanted { md5: true, blake2b256: true, ..Wanted::NPM };
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17] {
            let bytes = sample(length);
            let blob = stored(&blobs, &bytes, all).await;
            assert_eq!(blob.size, length as u64);
            assert_eq!(blob.digests.sha256, Sha256::of(&bytes));
            let sha512: [u8; 64] = sha2::Sha512::digest(&bytes).into();
            assert_eq!(blob.digests.sha512, Some(Sha512::from_bytes(sha512)));
            let sha1: [u8; 20] = sha1::Sha1::digest(&bytes).into();
            assert_eq!(blob.digests.sha1, Some(Sha1::from_bytes(sha1)));
            let md5: [u8; 16] = md5::Md5::digest(&bytes).into();
            assert_eq!(blob.digests.md5, Some(Md5::from_bytes(md5)));
            let blake: [u8; 32] = blake2::Blake2b256::digest(&bytes).into();
            assert_eq!(blob.digests.blake2b256, Some(Blake2b256::from_bytes(blake)));
            assert_eq!(read(&blobs, blob.digests.sha256).await.unwrap(), bytes);
            assert_eq!(blobs.verify(blob.digests.sha256).await.unwrap(), length as u64);
        }
    }

    #[tokio::test]
    async fn only_the_digests_asked_for_are_computed() {
        let (_directory, blobs) = store();
        let blob = stored(&blobs, b"wheel", Wanted::default()).await;
        let Digests { sha512, sha1, md5, blake2b256, .. } = blob.digests;
        assert!(sha512.is_none() && sha1.is_none() && md5.is_none() && blake2b256.is_none());
    }

    /// Rule D13.
    #[tokio::test]
    async fn the_same_bytes_twice_are_one_file_even_at_the_same_time() {
        let (directory, blobs) = store();
        let bytes = sample(PIECE * 2);
        let writes = (0..8).map(|_| stored(&blobs, &bytes, Wanted::NPM));
        let blobs_written = futures_util::future::join_all(writes).await;
        assert!(blobs_written.iter().all(|blob| *blob == blobs_written[0]));
        assert_eq!(files(directory.path()).len(), 1);
        assert!(blobs.exists(&Sha256::of(&bytes)).await.unwrap());
    }

    #[tokio::test]
    async fn a_writer_dropped_before_its_end_leaves_nothing() {
        let (directory, blobs) = store();
        let mut writer = blobs.writer(Wanted::NPM).unwrap();
        writer.push(&sample(PIECE * 3)).await.unwrap();
        assert_eq!(files(directory.path()).len(), 1);
        drop(writer);
        // The piece that was being written comes to its end first.
        for _ in 0..500 {
            if files(directory.path()).is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the temporary file is still there");
    }

    #[tokio::test]
    async fn the_sweep_removes_what_a_dead_process_left_and_spares_younger_files() {
        let (directory, blobs) = store();
        let kept = stored(&blobs, b"kept", Wanted::default()).await;
        let stale = directory.path().join("blobs/tmp/stale");
        std::fs::write(&stale, b"half").unwrap();
        let written = Timestamp::try_from(stale.metadata().unwrap().modified().unwrap()).unwrap();
        let minute = jiff::SignedDuration::from_mins(1);
        assert_eq!(blobs.sweep(written - minute).unwrap(), 0);
        assert!(stale.exists());
        assert_eq!(blobs.sweep(written + minute).unwrap(), 1);
        assert!(!stale.exists());
        assert_eq!(read(&blobs, kept.digests.sha256).await.unwrap(), b"kept");
    }

    /// Invariant I5, fault U36: the last bytes of a changed blob are never given out.
    #[tokio::test]
    async fn changed_cut_and_grown_blobs_are_noticed_before_their_last_bytes() {
        let (_directory, blobs) = store();
        for length in [10, PIECE, 2 * PIECE + 5] {
            let bytes = sample(length);
            let sha256 = stored(&blobs, &bytes, Wanted::default()).await.digests.sha256;
            let mut changed = bytes.clone();
            changed[length / 2] ^= 1;
            let grown = [bytes.as_slice(), b"x"].concat();
            for wrong in [changed, bytes[..length - 1].to_vec(), grown, Vec::new()] {
                std::fs::write(blobs.path(&sha256), &wrong).unwrap();
                let mut reader = blobs.open_blob(sha256).await.unwrap();
                let mut given = 0;
                let fault = loop {
                    match reader.next().await {
                        Ok(Some(piece)) => given += piece.len(),
                        Ok(None) => panic!("a wrong blob was read to its end"),
                        Err(fault) => break fault,
                    }
                };
                assert!(matches!(fault, BlobFault::Tampered(found) if found == sha256));
                assert!(given < wrong.len() || wrong.is_empty());
            }
            // Storing the same bytes again heals the file.
            assert_eq!(stored(&blobs, &bytes, Wanted::default()).await.digests.sha256, sha256);
            assert_eq!(read(&blobs, sha256).await.unwrap(), bytes);
        }
    }

    #[tokio::test]
    async fn an_unknown_digest_is_missing() {
        let (_directory, blobs) = store();
        let sha256 = Sha256::of(b"never stored");
        assert!(matches!(blobs.open_blob(sha256).await, Err(BlobFault::Missing(_))));
        assert!(matches!(blobs.verify(sha256).await, Err(BlobFault::Missing(_))));
        assert!(!blobs.exists(&sha256).await.unwrap());
    }

    #[test]
    fn a_full_disk_has_its_own_name() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(BlobFault::from(full), BlobFault::NoSpace(_)));
        let other = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(matches!(BlobFault::from(other), BlobFault::Io(_)));
    }

    #[tokio::test]
    async fn files_belong_to_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (directory, blobs) = store();
        stored(&blobs, b"x", Wanted::default()).await;
        for path in files(directory.path()) {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
