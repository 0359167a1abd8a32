//! Source distributions with mended tar checksums, and the form beside them.
#![no_main]

use countersign_fuzz::domain::artifact::Filename;
use countersign_fuzz::inspect::pypi::{compare_form, read_sdist};
use countersign_fuzz::{gzip, limits, mend_tar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let filename = Filename::parse("hello_wire-1.0.0.tar.gz").expect("an sdist name");
    let mut bytes = bytes.to_vec();
    mend_tar(&mut bytes);
    if let Ok(facts) = read_sdist(&gzip(&bytes)[..], &filename, &limits()) {
        let form: Vec<(String, String)> = facts
            .fields
            .iter()
            .map(|(field, value)| (field.to_ascii_lowercase().replace('-', "_"), value.clone()))
            .collect();
        let refused = compare_form(&form, &facts).refused;
        assert!(refused.iter().all(|difference| difference.field == "filetype"), "{refused:?}");
    }
});
