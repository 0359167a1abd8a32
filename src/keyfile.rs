//! Secret keys in files of their own, which only their owner may read (K2).

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::entropy::{self, EntropyError};

/// Longest key file read, in bytes; a real one has about 70.
const FILE_MAX_BYTES: u64 = 1024;

/// A key of 32 bytes, wiped when it is dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// Why a key file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is not a key of this sort.
    #[error("expected a key file that starts with `{tag}` at `{path}`")]
    Content {
        /// What it should start with.
        tag: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Somebody besides the owner may read or change the file.
    #[error("expected a regular key file with mode 0600, received mode {mode:04o} at `{path}`")]
    Mode {
        /// The permission bits found.
        mode: u32,
        /// Where.
        path: PathBuf,
    },
    /// A key file exists and is never overwritten.
    #[error("expected no key file yet at `{0}`")]
    Exists(PathBuf),
    /// The file system said no.
    #[error("the key file at `{path}` could not be used")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No randomness, no key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Keeps a key in a new file of mode 0600: the tag, a colon, the key in base64url.
///
/// Dying before the end leaves no file or a file that [`load`] refuses, never half a key in use.
pub fn create(path: &Path, tag: &'static str, key: &Key) -> Result<(), KeyFileError> {
    let line = Zeroizing::new(format!("{tag}:{}\n", URL_SAFE_NO_PAD.encode(**key)));
    let fault = |source| KeyFileError::Io { path: path.to_owned(), source };
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => fault(error),
    })?;
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))
        .and_then(|directory| directory.sync_all())
        .map_err(fault)
}

/// Reads a key file. Refuses links, and files that group or others may touch.
pub fn load(path: &Path, tag: &'static str) -> Result<Key, KeyFileError> {
    let fault = |source| KeyFileError::Io { path: path.to_owned(), source };
    let named = std::fs::symlink_metadata(path).map_err(fault)?;
    let file = std::fs::File::open(path).map_err(fault)?;
    let opened = file.metadata().map_err(fault)?;
    let mode = opened.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 || !named.is_file() || !opened.is_file() {
        return Err(KeyFileError::Mode { mode, path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    let refused = || KeyFileError::Content { tag, path: path.to_owned() };
    file.take(FILE_MAX_BYTES).read_to_string(&mut text).map_err(|_| refused())?;
    let encoded = text.trim_end().strip_prefix(tag).and_then(|rest| rest.strip_prefix(':'));
    let mut key = Key::default();
    let written = URL_SAFE_NO_PAD.decode_slice(encoded.ok_or_else(refused)?, &mut *key);
    if written.is_ok_and(|length| length == key.len()) { Ok(key) } else { Err(refused()) }
}

/// Reads a key file, drawing a key for it at the first start.
pub fn load_or_draw(path: &Path, tag: &'static str) -> Result<Key, KeyFileError> {
    let key = Zeroizing::new(entropy::bytes()?);
    match create(path, tag, &key) {
        Ok(()) => Ok(key),
        Err(KeyFileError::Exists(_)) => load(path, tag),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "test-key-v1";

    fn key_file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        (folder, path)
    }

    #[test]
    fn a_key_file_is_private_reads_back_and_is_never_overwritten() {
        let (_folder, path) = key_file();
        let key = load_or_draw(&path, TAG).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(load(&path, TAG).unwrap(), key);
        assert_eq!(load_or_draw(&path, TAG).unwrap(), key);
        let before = std::fs::read(&path).unwrap();
        let again = create(&path, TAG, &Key::default());
        assert!(matches!(again, Err(KeyFileError::Exists(_))));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    /// Rule K2.
    #[test]
    fn a_key_file_others_may_touch_is_refused() {
        let (folder, path) = key_file();
        load_or_draw(&path, TAG).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(load(&path, TAG), Err(KeyFileError::Mode { .. })), "{mode:o}");
            assert!(matches!(load_or_draw(&path, TAG), Err(KeyFileError::Mode { .. })));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(load(&link, TAG), Err(KeyFileError::Mode { .. })));
    }

    #[test]
    fn a_broken_key_file_is_refused_without_showing_it() {
        let (_folder, path) = key_file();
        load_or_draw(&path, TAG).unwrap();
        let short = format!("{TAG}:{}", "A".repeat(42));
        let long = format!("{TAG}:{}", "A".repeat(44));
        let other = format!("another:{}", "A".repeat(43));
        for text in ["", "test-key-v1:canary", "test-key-v1", &short, &long, &other] {
            std::fs::write(&path, text).unwrap();
            let error = load(&path, TAG).unwrap_err();
            assert!(matches!(error, KeyFileError::Content { .. }), "{text}");
            assert!(!format!("{error:?}{error}").contains("canary"));
        }
    }
}
