//! Whole wheels, and their text files alone: METADATA, RECORD and entry_points.txt.
#![no_main]

use std::io::Cursor;

use countersign_fuzz::domain::artifact::Filename;
use countersign_fuzz::inspect::pypi::{entry_points, metadata::Metadata, read_wheel, record::Record};
use countersign_fuzz::limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let filename = Filename::parse("hello_wire-1.0.0-py3-none-any.whl").expect("a wheel name");
    let _ = read_wheel(Cursor::new(bytes), &filename, &limits());
    let _ = Metadata::parse(bytes);
    let _ = Record::parse(bytes);
    let _ = entry_points::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Filename::parse(text);
    }
});
