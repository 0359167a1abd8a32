//! What real tools pack is accepted, and its facts are right.

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use countersign::domain::artifact::{ArtifactKind, Filename, NpmFacts, PypiFacts};
use countersign::inspect::{Failure, Limits, npm, pypi};

/// The committed archives.
pub(super) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inspect")
}

pub(super) fn read_npm(bytes: &[u8]) -> Result<NpmFacts, Failure> {
    npm::read(bytes, &Limits::default())
}

pub(super) fn read_python(name: &str, bytes: &[u8]) -> Result<PypiFacts, Failure> {
    let filename = Filename::parse(name).unwrap();
    match filename.kind() {
        ArtifactKind::Wheel => pypi::read_wheel(Cursor::new(bytes), &filename, &Limits::default()),
        _ => pypi::read_sdist(bytes, &filename, &Limits::default()),
    }
}

#[test]
fn npm_tarballs_of_every_client_are_accepted() {
    for client in ["npm", "pnpm", "yarn1", "yarn4"] {
        let file = File::open(data().join(format!("{client}.tgz"))).unwrap();
        let facts = npm::read(file, &Limits::default()).unwrap_or_else(|e| panic!("{client}: {e}"));
        assert_eq!((&*facts.name, &*facts.version), ("@octo/hello-wire", "1.0.0"), "{client}");
        assert_eq!(facts.readme.as_deref(), Some("# hello\n"), "{client}");
        assert_eq!(facts.readme_filename.as_deref(), Some("README.md"), "{client}");
        assert_eq!(facts.file_count, 6, "{client}");
        assert!(!facts.has_binding_gyp && !facts.has_shrinkwrap);
    }
}

#[test]
fn distributions_of_every_backend_are_accepted() {
    for backend in ["flit", "hatchling", "poetry", "setuptools", "uv"] {
        for name in ["hello_wire-1.0.0-py3-none-any.whl", "hello_wire-1.0.0.tar.gz"] {
            let bytes = std::fs::read(data().join(backend).join(name)).unwrap();
            let facts =
                read_python(name, &bytes).unwrap_or_else(|e| panic!("{backend} {name}: {e}"));
            let spelled = facts.name.to_lowercase().replace(['.', '_'], "-");
            assert_eq!((&*spelled, &*facts.version), ("hello-wire", "1.0.0"), "{backend}");
            assert_eq!(facts.values("Requires-Dist").count(), 3, "{backend} {name}");
            assert_eq!(facts.value("Requires-Python"), Some(">=3.8"), "{backend} {name}");
            assert_eq!(facts.description.as_deref().map(str::trim), Some("# hi"), "{backend}");
            assert!(facts.file_count > 4 && facts.unpacked_bytes > 500, "{backend} {name}");
        }
    }
}
