//! Tiny real projects, written to disk and built with the real build tools.

use std::path::{Path, PathBuf};

use crate::{child, tools};

/// A Python project and what was built from it.
pub struct PythonProject {
    /// The folder with `pyproject.toml`.
    pub dir: PathBuf,
    /// `dist/*.tar.gz` and `dist/*.whl`, in this order.
    pub files: Vec<PathBuf>,
}

/// Which tool the project is written for. The bytes of the package are the same idea in each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// hatchling: for twine, uv, poetry and hatch.
    Hatchling,
    /// `flit_core`: flit publishes only its own.
    Flit,
    /// `poetry-core`: poetry builds with it in place.
    Poetry,
}

/// Writes and builds `name` at `version` in `dir`: one module with a command of the same name that prints
/// `hello from NAME VERSION`.
pub async fn python(dir: &Path, name: &str, version: &str, backend: Backend) -> PythonProject {
    let module = name.replace('-', "_");
    let source = dir.join("src").join(&module);
    std::fs::create_dir_all(&source).expect("a source folder");
    let build_backend = match backend {
        Backend::Hatchling => "requires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"",
        Backend::Flit => {
            "requires = [\"flit_core >=3.11,<5\"]\nbuild-backend = \"flit_core.buildapi\""
        }
        Backend::Poetry => {
            "requires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\""
        }
    };
    let project = format!(
        r#"[build-system]
{build_backend}

[project]
name = "{name}"
version = "{version}"
description = "Says hello"
readme = "README.md"
requires-python = ">=3.9"
license = "MIT"
authors = [{{ name = "Octo", email = "octo@example.org" }}]
keywords = ["hello", "wire"]
classifiers = ["Programming Language :: Python :: 3"]

[project.scripts]
{name} = "{module}:main"

[project.urls]
Homepage = "https://example.org/hello"
"#
    );
    write(dir, "pyproject.toml", &project);
    write(dir, "README.md", &format!("# {name}\n\nSays hello.\n"));
    let code = format!(
        "\"\"\"Says hello.\"\"\"\n\n__version__ = \"{version}\"\n\n\ndef main():\n    print(\"hello from {name} {version}\")\n"
    );
    write(&source, "__init__.py", &code);
    if backend != Backend::Hatchling {
        // These publish what they build themselves.
        return PythonProject { dir: dir.to_path_buf(), files: Vec::new() };
    }
    build(dir, name, version).await
}

/// Builds what lies in `dir` (again): `name` and `version` must be those of its `pyproject.toml`.
pub async fn build(dir: &Path, name: &str, version: &str) -> PythonProject {
    let module = name.replace('-', "_");
    // Without isolation: the backend is installed beside `build`, nothing is fetched.
    let mut build = child::command(&tools::python("pyproject-build"), dir);
    build.args(["--no-isolation", "--outdir", "dist", "."]);
    let output = build.output().await.expect("pyproject-build");
    assert!(
        output.status.success(),
        "the build failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let files = vec![
        dir.join(format!("dist/{module}-{version}.tar.gz")),
        dir.join(format!("dist/{module}-{version}-py3-none-any.whl")),
    ];
    assert!(files.iter().all(|f| f.is_file()), "the build made other files than {files:?}");
    std::fs::remove_dir_all(dir.join("tmp")).expect("the temporary folder");
    PythonProject { dir: dir.to_path_buf(), files }
}

/// Writes the npm package `name` at `version` in `dir`: a module and a command `hello-wire` printing
/// `hello from NAME VERSION`. npm packs it when it publishes.
pub fn npm(dir: &Path, name: &str, version: &str) {
    std::fs::create_dir_all(dir).expect("a folder");
    let manifest = serde_json::json!({
        "name": name, "version": version, "description": "Says hello", "license": "MIT", "author": "Octo",
        "main": "index.js", "bin": { "hello-wire": "cli.js" }, "files": ["index.js", "cli.js"],
        "repository": { "type": "git", "url": "git+https://git.example/octo/hello-wire.git" },
    });
    write(
        dir,
        "package.json",
        &format!("{}\n", serde_json::to_string_pretty(&manifest).expect("JSON")),
    );
    write(dir, "index.js", &format!("exports.hello = () => 'hello from {name} {version}'\n"));
    write(dir, "cli.js", "#!/usr/bin/env node\nconsole.log(require('./index.js').hello())\n");
    write(dir, "README.md", &format!("# {name}\n\nSays hello.\n"));
}

/// Gives the `package.json` in `dir` another member.
pub fn set_in_manifest(dir: &Path, member: &str, value: serde_json::Value) {
    let text = std::fs::read_to_string(dir.join("package.json")).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    manifest[member] = value;
    write(dir, "package.json", &manifest.to_string());
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("a project file");
}
