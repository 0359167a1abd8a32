//! ZIP structure and contents.
#![no_main]

use std::io::Cursor;

use countersign_fuzz::inspect::zip::Archive;
use countersign_fuzz::limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut archive) = Archive::open(Cursor::new(bytes), &limits()) else { return };
    for entry in archive.entries().to_vec() {
        if let Ok(content) = archive.content(&entry, u64::MAX) {
            assert_eq!(content.len() as u64, entry.size());
        }
    }
});
