//! Reading an archive to its end: the least that somebody does who wants to know what is in it.
//!
//! Understands what `archive` makes and no more.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};

use flate2::bufread::{DeflateDecoder, GzDecoder};
use ring::digest;

/// Bytes inflated at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes of a local header without its name.
const LOCAL_BYTES: usize = 30;

/// Inflates a tarball or a wheel. Checks a tarball's CRC; of a wheel's files each CRC, and computes
/// each SHA-256, because RECORD states them.
pub fn unpack(mut file: File) -> io::Result<()> {
    let mut start = [0; 2];
    file.read_exact(&mut start)?;
    file.rewind()?;
    let mut source = BufReader::with_capacity(PIECE_BYTES, file);
    if start == [0x1f, 0x8b] {
        each_piece(&mut GzDecoder::new(&mut source), |_| {})
    } else {
        unpack_wheel(&mut source)
    }
}

fn unpack_wheel(source: &mut BufReader<File>) -> io::Result<()> {
    let mut local = [0; LOCAL_BYTES];
    loop {
        source.read_exact(&mut local)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Ok(());
        }
        let number = |at: usize| u32::from_le_bytes(local[at..at + 4].try_into().expect("4 bytes"));
        let name_bytes = u16::from_le_bytes([local[26], local[27]]);
        source.seek_relative(i64::from(name_bytes))?;
        let packed = source.by_ref().take(number(18).into());
        let (mut crc, mut sha256) =
            (crc32fast::Hasher::new(), digest::Context::new(&digest::SHA256));
        let see = |piece: &[u8]| {
            crc.update(piece);
            sha256.update(piece);
        };
        let is_deflated = local[8] == 8;
        if is_deflated {
            each_piece(&mut DeflateDecoder::new(packed), see)?;
        } else {
            each_piece(&mut { packed }, see)?;
        }
        std::hint::black_box(sha256.finish());
        if crc.finalize() != number(14) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another CRC"));
        }
    }
}

fn each_piece(source: &mut impl Read, mut see: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(()),
            count => see(&piece[..count]),
        }
    }
}
