//! What is read as a note, checkpoint, key, witness's answer, tile path or bundle is written back
//! as the same bytes: there is one spelling of each.
#![no_main]

use countersign_fuzz::domain::log::checkpoint::Checkpoint;
use countersign_fuzz::domain::log::note::{Note, Signer, Signs, VerifierKey};
use countersign_fuzz::domain::log::{tile, witness};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let signer = Signer::from_seed("log.example/log", Signs::Text, &[7; 32]).expect("a name");
    if let Ok(note) = Note::parse(input) {
        assert_eq!(note.to_string().as_bytes(), input);
        // Nobody without the seed signs, and the fuzzer does not know it.
        assert!(note.verify(signer.verifier_key()).is_err());
        if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
            assert_eq!(checkpoint.to_string(), note.text());
            let signed = note.clone().with_signature(signer.sign(note.text(), 0)).to_string();
            let opened = Checkpoint::open(signed.as_bytes(), signer.verifier_key());
            assert_eq!(opened.is_ok(), checkpoint.origin == "log.example/log");
        }
    }
    if let Some(leaves) = tile::unbundle(input) {
        let leaves: Vec<Vec<u8>> = leaves.into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(tile::bundle(&leaves).as_deref(), Some(input));
    }
    if let Some(size) = witness::known_size(input) {
        assert_eq!(format!("{size}\n").as_bytes(), input);
    }
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Some(tile) = tile::Tile::parse(text) {
        assert_eq!(tile.to_string(), text);
    }
    let cosigner = Signer::from_seed("w.example/1", Signs::TextAtTime, &[8; 32]).expect("a name");
    assert!(witness::cosignature(input, "log.example/log\n", cosigner.verifier_key()).is_err());
});
