//! The digests registries ask for, by the fastest implementation we found for each.

use md5::Digest as _;
use ring::digest;

/// Piece that stays in the second-level cache while every digest reads it.
const PIECE_BYTES: usize = 32 * 1024;

/// Which digests to compute.
#[derive(Clone, Copy, Default)]
pub struct Wanted {
    pub sha1: bool,
    pub sha256: bool,
    pub sha512: bool,
    pub md5: bool,
    pub blake2b: bool,
}

impl Wanted {
    /// Every one.
    pub const ALL: Self = Self { sha1: true, sha256: true, sha512: true, md5: true, blake2b: true };

    /// Reads a list such as `sha256,sha512`.
    pub fn parse(list: &str) -> Self {
        let names: Vec<&str> = list.split(',').collect();
        let is = |name| names.contains(&name);
        Self {
            sha1: is("sha1"),
            sha256: is("sha256"),
            sha512: is("sha512"),
            md5: is("md5"),
            blake2b: is("blake2b"),
        }
    }
}

/// Running digests; cloning one after a long beginning makes many similar files cheap.
#[derive(Clone)]
pub struct Running {
    sha1: Option<sha1::Sha1>,
    sha256: Option<digest::Context>,
    sha512: Option<digest::Context>,
    md5: Option<md5::Md5>,
    blake2b: Option<blake2b_simd::State>,
}

/// Finished digests; the empty text for those nobody wanted.
pub struct Finished {
    /// Hex.
    pub sha1: String,
    /// Hex.
    pub sha256: String,
    /// Base64, as npm's integrity has it.
    pub sha512: String,
    /// Hex.
    pub md5: String,
    /// Hex of the 32-byte variant.
    pub blake2b: String,
}

impl Running {
    pub fn new(wanted: Wanted) -> Self {
        let blake2b = || blake2b_simd::Params::new().hash_length(32).to_state();
        Self {
            sha1: wanted.sha1.then(sha1::Sha1::new),
            sha256: wanted.sha256.then(|| digest::Context::new(&digest::SHA256)),
            sha512: wanted.sha512.then(|| digest::Context::new(&digest::SHA512)),
            md5: wanted.md5.then(md5::Md5::new),
            blake2b: wanted.blake2b.then(blake2b),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE_BYTES) {
            if let Some(sha1) = &mut self.sha1 {
                sha1.update(piece);
            }
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(piece);
            }
            if let Some(sha512) = &mut self.sha512 {
                sha512.update(piece);
            }
            if let Some(md5) = &mut self.md5 {
                md5.update(piece);
            }
            if let Some(blake2b) = &mut self.blake2b {
                blake2b.update(piece);
            }
        }
    }

    pub fn finish(self) -> Finished {
        let base64 = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
        Finished {
            sha1: self.sha1.map(|running| hex(&running.finalize())).unwrap_or_default(),
            sha256: self.sha256.map(|running| hex(running.finish().as_ref())).unwrap_or_default(),
            sha512: self
                .sha512
                .map(|running| base64(running.finish().as_ref()))
                .unwrap_or_default(),
            md5: self.md5.map(|running| hex(&running.finalize())).unwrap_or_default(),
            blake2b: self
                .blake2b
                .map(|running| running.finalize().to_hex().to_string())
                .unwrap_or_default(),
        }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
