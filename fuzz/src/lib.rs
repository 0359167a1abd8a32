//! The product's readers alone, built from its own sources: the fuzzers need no database or server.

#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/inspect/mod.rs"]
pub mod inspect;

use inspect::Limits;

/// Small bounds, so that inputs of a few kilobytes reach them.
pub fn limits() -> Limits {
    Limits {
        entries: 100,
        names_total_bytes: 8 << 10,
        unpacked_bytes: 4 << 20,
        ratio_free_bytes: 1 << 20,
        entry_bytes: 1 << 20,
        pax_total_bytes: 8 << 10,
        json_bytes: 64 << 10,
        metadata_bytes: 64 << 10,
        record_bytes: 64 << 10,
        document_bytes: 64 << 10,
        tarball_bytes: 64 << 10,
        ..Limits::default()
    }
}

/// One gzip member of stored blocks with right checksums: the bytes reach the tar reader as sent.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).expect("a vector takes all bytes");
    encoder.finish().expect("a vector takes all bytes")
}

/// Writes the checksum of every block that has the signature of a tar header.
pub fn mend_tar(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
