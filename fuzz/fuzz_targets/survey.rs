//! Whole artifacts of each kind through everything that the child computes: survey, comparison with
//! itself and with nothing, findings, and the answer read back.
#![no_main]

use std::io::Cursor;

use countersign_fuzz::domain::artifact::Filename;
use countersign_fuzz::domain::review::checks::{self, Position};
use countersign_fuzz::domain::review::compared::Compared;
use countersign_fuzz::domain::review::delta::Comparison;
use countersign_fuzz::inspect::survey::{Source, survey};
use countersign_fuzz::{gzip, limits, mend_tar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let name = |name| Filename::parse(name).expect("a name of a distribution");
    let (wheel, sdist) =
        (name("hello_wire-1.0.0-py3-none-any.whl"), name("hello_wire-1.0.0.tar.gz"));
    let mut tar = bytes.to_vec();
    mend_tar(&mut tar);
    let tar = gzip(&tar);
    for (bytes, source) in [
        (bytes, Source::Python(&wheel)),
        (&tar, Source::Python(&sdist)),
        (&tar, Source::Npm),
    ] {
        let Ok(survey) = survey(Cursor::new(bytes), source, &limits()) else { continue };
        for baseline in [None, Some(&survey)] {
            let comparison = Comparison { baseline, candidate: &survey };
            let findings = checks::findings(&comparison, &Position::default());
            let compared = Compared::of(&comparison, findings);
            assert!(baseline.is_none() || compared.changes.is_empty());
            let told = serde_json::to_string(&compared).expect("an answer is JSON");
            let read: Compared = serde_json::from_str(&told).expect("an answer is read back");
            assert_eq!(read, compared);
        }
    }
});
