//! How many checks each real client, registry or browser went through. Tests run as many processes, so every check is
//! one appended line in a file that the test command adds up and prints at its end (`scripts/test.sh`).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// The file the lines go to: `$COUNTERSIGN_E2E_COUNT`, else `e2e-checks.txt` in the build folder.
pub fn file() -> PathBuf {
    std::env::var_os("COUNTERSIGN_E2E_COUNT")
        .map_or_else(|| crate::tools::build_dir().join("e2e-checks.txt"), PathBuf::from)
}

/// Counts one check that went through the real `name`. Call it where the check is made, after it held.
pub fn check(name: &str) {
    let path = file();
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).expect("a folder for the counts");
    }
    // One short append per check: lines of parallel processes do not mix.
    let mut file =
        OpenOptions::new().create(true).append(true).open(&path).expect("the count file");
    file.write_all(format!("{name}\n").as_bytes()).expect("a counted check");
}
