//! Real programs and packages that tests use.

use std::path::{Path, PathBuf};

/// Where `scripts/tools.sh` put what the tests need.
pub(crate) fn tools() -> PathBuf {
    std::env::var_os("COUNTERSIGN_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"), PathBuf::from)
}
