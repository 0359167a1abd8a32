//! A publish document in one piece and in small ones must have one outcome, and an accepted one
//! must be what a parser of the whole document sees.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_fuzz::inspect::envelope::{Envelope, EnvelopeRefusal, Splitter};
use countersign_fuzz::{inspect, limits};
use libfuzzer_sys::fuzz_target;

fn split(bytes: &[u8], size: usize) -> Result<(Envelope, Vec<u8>), EnvelopeRefusal> {
    let mut splitter = Splitter::new(&limits());
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        splitter.push(piece, &mut out)?;
    }
    splitter.finish().map(|envelope| (envelope, out))
}

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let whole = split(bytes, usize::MAX);
    let pieces = split(bytes, usize::from(*first % 16) + 1);
    assert_eq!(whole.is_ok(), pieces.is_ok());
    let (Ok(whole), Ok(pieces)) = (whole, pieces) else { return };
    assert_eq!(whole, pieces);
    let (envelope, tarball) = whole;
    let all = countersign_fuzz::domain::json::parse_strict(bytes, 64).expect("strict JSON");
    let data = &all["_attachments"][&envelope.tarball.name]["data"];
    assert_eq!(data.as_str(), Some(&*STANDARD.encode(tarball)));
    let _ = envelope.check();
});
