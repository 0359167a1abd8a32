//! How much of an untrusted archive or document is read before it is refused (security.md 2.9).

/// Bounds for one artifact or one publish document.
///
/// [`Limits::default`] holds the shipped values; configuration may raise the two size caps (Q9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one archive, directories included. 50,000: the largest npm packages hold a
    /// third of that.
    pub entries: u32,
    /// Bytes of one entry's path. 1,024: what common file systems can still store.
    pub name_bytes: usize,
    /// Bytes of all paths of one archive together. 16 MiB keeps the collision check in memory.
    pub names_total_bytes: usize,
    /// Path components. 32: deeper trees are made to exhaust readers.
    pub depth: usize,
    /// Bytes after decompression, archive framing included. 4 GiB: PyPI-size wheels unpack to less.
    pub unpacked_bytes: u64,
    /// Bytes that may be unpacked before the ratio counts. 64 MiB, as PyPI does.
    pub ratio_free_bytes: u64,
    /// Unpacked bytes per compressed byte beyond `ratio_free_bytes`. 50, as PyPI does.
    pub ratio: u64,
    /// Bytes of one entry after decompression. 1 GiB.
    pub entry_bytes: u64,
    /// Bytes of one pax extension header. 64 KiB.
    pub pax_bytes: u64,
    /// Bytes of all pax extension headers of one archive. 1 MiB per 50 entries would be plenty for
    /// long names, and Python writes a header per non-ASCII name, so 16 MiB.
    pub pax_total_bytes: u64,
    /// Bytes of a `package.json`. 1 MiB (N3).
    pub json_bytes: usize,
    /// Nesting of arrays and objects in a `package.json`. 32 (N3).
    pub json_depth: usize,
    /// Bytes of METADATA, PKG-INFO, WHEEL or entry_points.txt. 2 MiB: a description of 1 MiB (Q9)
    /// beside its header.
    pub metadata_bytes: u64,
    /// Bytes of a wheel's RECORD. 16 MiB: 50,000 rows of 300 bytes.
    pub record_bytes: u64,
    /// Bytes of the README kept for the reviewer. 64 KiB.
    pub readme_bytes: usize,
    /// Bytes of an npm publish document without its tarball. 8 MiB (performance.md 7).
    pub document_bytes: usize,
    /// Bytes of the decoded npm tarball. 256 MiB (Q9), configurable.
    pub tarball_bytes: u64,
    /// Bytes of a provenance bundle. 1 MiB (Q9).
    pub provenance_bytes: usize,
}

/// Bytes in one KiB.
const KIB: u64 = 1024;
/// Bytes in one MiB.
const MIB: u64 = 1024 * KIB;
/// Bytes in one GiB.
const GIB: u64 = 1024 * MIB;

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 50_000,
            name_bytes: 1024,
            names_total_bytes: 16 << 20,
            depth: 32,
            unpacked_bytes: 4 * GIB,
            ratio_free_bytes: 64 * MIB,
            ratio: 50,
            entry_bytes: GIB,
            pax_bytes: 64 * KIB,
            pax_total_bytes: 16 * MIB,
            json_bytes: 1 << 20,
            json_depth: 32,
            metadata_bytes: 2 * MIB,
            record_bytes: 16 * MIB,
            readme_bytes: 64 << 10,
            document_bytes: 8 << 20,
            tarball_bytes: 256 * MIB,
            provenance_bytes: 1 << 20,
        }
    }
}
