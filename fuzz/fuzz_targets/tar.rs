//! gzip as it comes, then tar in a good gzip member, then an npm package with mended checksums.
#![no_main]

use std::io::Read as _;

use countersign_fuzz::inspect::{Failure, gzip::Member, npm, tar::Reader};
use countersign_fuzz::{gzip, limits, mend_tar};
use libfuzzer_sys::fuzz_target;

fn list(bytes: &[u8]) -> Result<(), Failure> {
    let mut archive = Reader::new(Member::new(bytes, &limits()), &limits());
    while let Some(entry) = archive.next_entry()? {
        assert!(entry.path().starts_with(entry.top()));
        let mut content = Vec::new();
        archive.read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, entry.size());
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = list(bytes);
    let mut bytes = bytes.to_vec();
    let _ = list(&gzip(&bytes));
    mend_tar(&mut bytes);
    let mended = gzip(&bytes);
    let _ = list(&mended);
    if let Ok(facts) = npm::read(&mended[..], &limits()) {
        let comparison = npm::compare_manifest(&facts.package_json, &facts);
        assert_eq!(comparison.refused, [], "a package equals itself");
    }
});
