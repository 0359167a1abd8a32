//! gzip by RFC 1952, narrowed to one member with nothing after it.
//!
//! Readers differ in what they do with a second member or trailing bytes, which shows the reviewer
//! one tree and installs another (security.md 2.10). Sizes are bounded while inflating.

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::inspect::failure::{Failure, LimitRefusal};
use crate::inspect::limits::Limits;

/// Why bytes are not one plain gzip member (rows A01, A03-A10).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GzipRefusal {
    /// The first bytes are not `1f 8b`.
    #[error("expected gzip data starting with `1f 8b`, received other bytes")]
    NotGzip,
    /// A compression method other than deflate.
    #[error("expected gzip method 8, received {method}")]
    Method {
        /// The header's CM byte.
        method: u8,
    },
    /// A reserved or unused header flag; only a file name is accepted.
    #[error("expected no gzip header flags but the file name, received flags `{flags:#04x}`")]
    Flags {
        /// The header's FLG byte.
        flags: u8,
    },
    /// The header's file name is longer than 1,024 bytes.
    #[error("expected a gzip file name of at most 1024 bytes, received more")]
    FileName,
    /// The data ends early.
    #[error("expected a whole gzip member, received one cut short")]
    Truncated,
    /// The deflate stream cannot be decoded.
    #[error("expected valid deflate data in the gzip member, received a broken stream")]
    Deflate,
    /// The checksum in the trailer is not that of the data.
    #[error("expected CRC {computed:08x} in the gzip trailer, received `{stated:08x}`")]
    Crc {
        /// CRC-32 of the unpacked bytes.
        computed: u32,
        /// What the trailer says.
        stated: u32,
    },
    /// The length in the trailer is not that of the data.
    #[error("expected length {computed} in the gzip trailer, received {stated}")]
    Length {
        /// Unpacked bytes modulo 2^32.
        computed: u32,
        /// What the trailer says.
        stated: u32,
    },
    /// A second member, padding or anything else follows the member.
    #[error("expected nothing after the gzip member, received more bytes")]
    Trailing,
}

/// Compressed bytes read at once.
pub(super) const PACKED_BYTES: usize = 64 << 10;
/// Bytes inflated at once. Deflate looks back 32 KiB; what lies before the start of the output has
/// to be fetched from a window beside it, so the output is several times that long.
pub(super) const PLAIN_BYTES: usize = 256 << 10;
/// The only header flag accepted: a file name follows. Its value is not used.
const FNAME: u8 = 0x08;
/// Longest header file name, in bytes.
const FNAME_MAX: usize = 1024;

/// Unpacks one gzip member as `Read` and `BufRead`; refusals travel inside the `io::Error`.
///
/// The end is reported only after checksum and length matched and the source ended.
#[derive(Debug)]
pub struct Member<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Unpacked bytes, of which those in `given..made` were not given out yet.
    plain: Box<[u8]>,
    given: usize,
    made: usize,
    packed: u64,
    unpacked: u64,
    inflate: Decompress,
    crc: Crc,
    stage: Stage,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Body,
    Done,
}

impl<R: Read> Member<R> {
    /// Wraps a source of compressed bytes; nothing is read yet.
    pub fn new(source: R, limits: &Limits) -> Self {
        Self {
            source,
            buffer: vec![0; PACKED_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            plain: vec![0; PLAIN_BYTES].into_boxed_slice(),
            given: 0,
            made: 0,
            packed: 0,
            unpacked: 0,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            stage: Stage::Header,
            limits: limits.clone(),
        }
    }

    /// Unpacks more when nothing is left to give out.
    fn unpack(&mut self) -> Result<(), Failure> {
        if self.stage == Stage::Header {
            self.header()?;
            self.stage = Stage::Body;
        }
        while self.given == self.made && self.stage == Stage::Body {
            let more = self.fill()?;
            let (packed, unpacked) = (self.inflate.total_in(), self.inflate.total_out());
            let input = &self.buffer[self.start..self.end];
            let status = self
                .inflate
                .decompress(input, &mut self.plain, FlushDecompress::None)
                .map_err(|_| GzipRefusal::Deflate)?;
            let taken = below(self.inflate.total_in() - packed, self.end - self.start);
            let made = below(self.inflate.total_out() - unpacked, self.plain.len());
            self.start += taken;
            self.crc.update(&self.plain[..made]);
            self.unpacked += made as u64;
            self.within_limits()?;
            if status == Status::StreamEnd {
                self.trailer()?;
                self.stage = Stage::Done;
            } else if made == 0 && !more {
                return Err(GzipRefusal::Truncated.into());
            }
            (self.given, self.made) = (0, made);
        }
        Ok(())
    }

    fn within_limits(&self) -> Result<(), LimitRefusal> {
        let limits = &self.limits;
        if self.unpacked > limits.unpacked_bytes {
            return Err(LimitRefusal::Unpacked { limit: limits.unpacked_bytes });
        }
        let allowed = limits.ratio.saturating_mul(self.packed).max(limits.ratio_free_bytes);
        if self.unpacked > allowed {
            return Err(LimitRefusal::Ratio {
                limit: limits.ratio,
                unpacked: self.unpacked,
                packed: self.packed,
            });
        }
        Ok(())
    }

    fn header(&mut self) -> Result<(), Failure> {
        let mut fixed = [0; 10];
        for (at, byte) in fixed.iter_mut().enumerate() {
            let missing = if at < 2 { GzipRefusal::NotGzip } else { GzipRefusal::Truncated };
            *byte = self.byte()?.ok_or(missing)?;
        }
        if fixed[..2] != [0x1f, 0x8b] {
            return Err(GzipRefusal::NotGzip.into());
        }
        if fixed[2] != 8 {
            return Err(GzipRefusal::Method { method: fixed[2] }.into());
        }
        let flags = fixed[3];
        if flags & !FNAME != 0 {
            return Err(GzipRefusal::Flags { flags }.into());
        }
        if flags & FNAME != 0 {
            let mut length = 0;
            while self.byte()?.ok_or(GzipRefusal::Truncated)? != 0 {
                length += 1;
                if length > FNAME_MAX {
                    return Err(GzipRefusal::FileName.into());
                }
            }
        }
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), Failure> {
        let mut fixed = [0; 8];
        for byte in &mut fixed {
            *byte = self.byte()?.ok_or(GzipRefusal::Truncated)?;
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = fixed;
        let (computed, stated) = (self.crc.sum(), u32::from_le_bytes([c0, c1, c2, c3]));
        if computed != stated {
            return Err(GzipRefusal::Crc { computed, stated }.into());
        }
        let stated = u32::from_le_bytes([l0, l1, l2, l3]);
        let computed = u32::try_from(self.unpacked & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        if computed != stated {
            return Err(GzipRefusal::Length { computed, stated }.into());
        }
        if self.fill()? {
            return Err(GzipRefusal::Trailing.into());
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<Option<u8>, Failure> {
        if !self.fill()? {
            return Ok(None);
        }
        self.start += 1;
        Ok(Some(self.buffer[self.start - 1]))
    }

    /// Makes sure unread compressed bytes are in the buffer; false at the end of the source.
    fn fill(&mut self) -> Result<bool, Failure> {
        if self.start < self.end {
            return Ok(true);
        }
        self.start = 0;
        self.end = 0;
        self.end = read_some(&mut self.source, &mut self.buffer)?;
        self.packed += self.end as u64;
        Ok(self.end > 0)
    }
}

impl<R: Read> BufRead for Member<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.unpack().map_err(io::Error::from)?;
        Ok(&self.plain[self.given..self.made])
    }

    fn consume(&mut self, amount: usize) {
        self.given = self.made.min(self.given + amount);
    }
}

impl<R: Read> Read for Member<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

/// One read, repeated when a signal interrupts it; 0 at the end.
pub(super) fn read_some(source: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A source may not claim more than it was lent.
            result => return result.map(|read| read.min(out.len())),
        }
    }
}

/// A count of bytes known to fit the buffer they lie in.
pub(super) fn below(count: u64, length: usize) -> usize {
    usize::try_from(count).map_or(length, |count| count.min(length))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::inspect::failure::Refusal;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
        let mut out = Vec::new();
        match Member::new(bytes, limits).read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(Failure::from(error).refusal().unwrap().clone()),
        }
    }

    fn refusal(bytes: &[u8]) -> GzipRefusal {
        match unpack(bytes, &Limits::default()) {
            Err(Refusal::Gzip(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_member_is_unpacked_with_or_without_a_file_name() {
        let text = b"some text ".repeat(50_000);
        assert_eq!(unpack(&gz(&text), &Limits::default()).unwrap(), text);
        let mut named = gz(b"x");
        named[3] = FNAME;
        named.splice(10..10, *b"../x\0");
        assert_eq!(unpack(&named, &Limits::default()).unwrap(), b"x");
    }

    /// Rows A01, A03-A09.
    #[test]
    fn every_departure_from_one_whole_member_is_refused() {
        assert_eq!(refusal(b""), GzipRefusal::NotGzip);
        assert_eq!(refusal(b"PK\x03\x04 not gzip at all"), GzipRefusal::NotGzip);
        let good = gz(b"package");
        for cut in 2..good.len() {
            assert_eq!(refusal(&good[..cut]), GzipRefusal::Truncated, "cut at {cut}");
        }
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(refusal(&with(2, 7)), GzipRefusal::Method { method: 7 });
        for flags in [0x01, 0x02, 0x04, 0x10, 0x20, 0x40, 0x80, 0x88] {
            assert_eq!(refusal(&with(3, flags)), GzipRefusal::Flags { flags });
        }
        let end = good.len();
        assert!(matches!(refusal(&with(end - 8, !good[end - 8])), GzipRefusal::Crc { .. }));
        assert!(matches!(refusal(&with(end - 1, 9)), GzipRefusal::Length { .. }));
        assert_eq!(refusal(&with(10, 0x07)), GzipRefusal::Deflate);
        for tail in [&gz(b"second")[..], b"\0", &[0; 512], b"garbage"] {
            assert_eq!(refusal(&[&good[..], tail].concat()), GzipRefusal::Trailing);
        }
        let mut named = good.clone();
        named[3] = FNAME;
        named.splice(10..10, vec![b'n'; 2000]);
        assert_eq!(refusal(&named), GzipRefusal::FileName);
    }

    /// Rows A10, A12.
    #[test]
    fn bombs_stop_at_the_first_bound_they_pass() {
        let bomb = gz(&vec![0; 2 << 20]);
        let limits = Limits { ratio_free_bytes: 1 << 20, ..Limits::default() };
        assert!(matches!(
            unpack(&bomb, &limits),
            Err(Refusal::Limit(LimitRefusal::Ratio { limit: 50, .. }))
        ));
        let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
        assert_eq!(
            unpack(&bomb, &limits),
            Err(Refusal::Limit(LimitRefusal::Unpacked { limit: 1 << 20 }))
        );
    }

    #[test]
    fn a_fault_of_the_disk_is_no_refusal() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("disk"))
            }
        }
        let error = Member::new(Broken, &Limits::default()).read(&mut [0; 8]).unwrap_err();
        assert!(matches!(Failure::from(error), Failure::Fault(_)));
    }
}
