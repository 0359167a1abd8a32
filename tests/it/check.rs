//! `countersign check` on another machine prints the words that the page shows (W18).

use std::path::{Path, PathBuf};

use clap::Parser as _;
use countersign::cli::{Cli, Command};
use countersign::domain::ids::ReleaseId;

use crate::support::database::on_both;
use crate::support::site::Browser;
use crate::support::world::{World, run, sdist, wheel};

/// What the command prints, and how it ends.
fn check(manifest: &Path, files: &[PathBuf]) -> (String, Result<(), String>) {
    let mut line = vec!["countersign".into(), "check".into(), manifest.as_os_str().to_owned()];
    line.extend(files.iter().map(|file| file.as_os_str().to_owned()));
    let Command::Check(check) = Cli::try_parse_from(line).unwrap().command else {
        panic!("another command")
    };
    let mut out = Vec::new();
    let ended = check.run(&mut out).map_err(|error| error.to_string());
    (String::from_utf8(out).unwrap(), ended)
}

fn words(out: &str) -> Vec<&str> {
    let line = out.lines().find_map(|line| line.strip_prefix("words "));
    line.unwrap_or_default().split_whitespace().collect()
}

/// Saves what an address of a release gives.
async fn save(reader: &mut Browser, release: ReleaseId, name: &str, folder: &Path) -> PathBuf {
    let address = match name {
        "manifest.json" => format!("/releases/{release}/{name}"),
        file => format!("/releases/{release}/artifacts/{file}"),
    };
    let path = folder.join(name);
    std::fs::write(&path, reader.get(&address, "*/*").await.ok().bytes).unwrap();
    path
}

/// The words in the panel of the release's page.
async fn on_the_page(reader: &mut Browser, release: ReleaseId) -> Vec<String> {
    let page = reader.get(&format!("/releases/{release}"), "text/html").await.ok().text;
    let panel = page.split("aria-label=\"Check words\">").nth(1).expect("check words");
    let panel = panel.split("<small>").next().unwrap();
    panel.split("<span>").skip(1).map(|word| word.replace("</span>", "")).collect()
}

/// Rule W18.
#[tokio::test]
async fn another_machine_shows_the_words_of_the_page_and_others_for_other_bytes() {
    on_both(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let world = World::start(store).await;
        let (wheel, sdist) = (wheel("1.0.0", "py3", &[]), sdist("1.0.0", &[]));
        let release = world.stage_python(run(1), &wheel).await.unwrap().release;
        world.stage_python(run(1), &sdist).await.unwrap();
        world.seal(release).await;
        let mut reader = world.mara.clone();
        let manifest = save(&mut reader, release, "manifest.json", folder.path()).await;
        let mut files = Vec::new();
        for file in [&wheel, &sdist] {
            files.push(save(&mut reader, release, &file.name, folder.path()).await);
        }
        let (out, ended) = check(&manifest, &files);
        assert_eq!(ended, Ok(()), "{out}");
        assert!(out.starts_with("release hello-wire 1.0.0 ("), "{out}");
        assert_eq!(words(&out).len(), 8);
        assert_eq!(words(&out), on_the_page(&mut reader, release).await);

        // One bit more in one file.
        let mut bytes = std::fs::read(&files[0]).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&files[0], &bytes).unwrap();
        let (altered, ended) = check(&manifest, &files);
        assert_eq!(ended.unwrap_err(), "these are not the files that the manifest names");
        assert!(altered.contains("differs: the manifest names sha256:"), "{altered}");
        assert_ne!(words(&altered), words(&out));
        bytes[40] ^= 1;
        std::fs::write(&files[0], &bytes).unwrap();

        // A manifest with another destination, and one file too few.
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, text.replace("/legacy/", "/other_/")).unwrap();
        let (elsewhere, ended) = check(&manifest, &files);
        assert_eq!(ended, Ok(()), "the files are those of this manifest");
        assert_ne!(words(&elsewhere), words(&out));
        let (_, ended) = check(&manifest, &files[..1]);
        assert_eq!(ended.unwrap_err(), "expected 2 file(s), received `1`");
    })
    .await;
}

/// Rule W18: npm names a tarball by its package, tools name it as they like.
#[tokio::test]
async fn a_tarball_under_another_name_is_the_same_tarball() {
    on_both(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let world = World::start(store).await;
        let document = crate::support::world::npm_document("1.0.0", b"module");
        let release = world.stage_npm(run(1), &document).await.unwrap().release;
        let mut reader = world.ines.clone();
        let manifest = save(&mut reader, release, "manifest.json", folder.path()).await;
        let file = save(&mut reader, release, "hello-wire-1.0.0.tgz", folder.path()).await;
        let packed = folder.path().join("octo-hello-wire-1.0.0.tgz");
        std::fs::rename(file, &packed).unwrap();
        let (out, ended) = check(&manifest, &[packed]);
        assert_eq!(ended, Ok(()), "{out}");
        assert_eq!(words(&out), on_the_page(&mut reader, release).await);
    })
    .await;
}
