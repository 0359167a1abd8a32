//! Real clients at the real gateway: the ones that no document shows, then the same bytes again, other bytes, and wrong
//! claims, with what the client shows to the person who reads CI's log.

use std::path::Path;

use countersign_e2e::clients::{Npm, NpmTarget};
use countersign_e2e::projects::{self, Backend};
use countersign_e2e::world::PYTHON_NAME;
use serde_json::json;

use crate::stage::{Stage, python_files, tarball};

const ENVIRONMENT: (&str, &str, &str) = ("environment", "staging", "release");
const REF: (&str, &str, &str) = ("ref", "refs/heads/main", "refs/tags/v1.0.0");

#[tokio::test]
async fn python_clients_without_a_page_stage_their_files() {
    let stage = Stage::new().await;

    let (before, project) =
        (stage.releases().await, stage.python("1.1.0", Backend::Hatchling).await);
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.1.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.2.0", Backend::Hatchling).await);
    stage.plain_desk().uv(&stage.minted().await, &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.2.0")).await;

    let (before, project) =
        (stage.releases().await, stage.python("1.3.0", Backend::Hatchling).await);
    stage.plain_desk().maturin(&stage.minted().await, &project.files).await.succeeded();
    stage.assert_staged(&before, &python_files("1.3.0")).await;
}

#[tokio::test]
async fn python_clients_may_repeat_but_not_replace_and_see_which_claim_is_wrong() {
    let stage = Stage::new().await;
    let (ca, url) = (&stage.world.gateway.ca, stage.world.gateway.pypi_url());
    let project = stage.python("1.0.0", Backend::Hatchling).await;
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    let release = stage.assert_staged(&[], &python_files("1.0.0")).await;
    let (before, held) = (stage.releases().await, stage.held(&release).await);

    // The same bytes from the same run are a success and no second release.
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    stage.world.ci_desk().uv_trusted(&url, &project.files).await.succeeded();
    stage.assert_nothing_new(&before).await;

    // Other bytes under the same names, in the words that clients look for.
    std::fs::write(project.dir.join("README.md"), "# hello-wire\n\nSays something else.\n")
        .unwrap();
    let other = projects::build(&project.dir, PYTHON_NAME, "1.0.0").await;
    let ran = stage.plain_desk().twine(&stage.raw(), &other.files).await;
    ran.failed_showing("File already exists");
    let ran = stage.world.ci_desk().uv_trusted(&url, &other.files).await;
    ran.failed_showing("File already exists");
    stage.assert_nothing_new(&before).await;
    assert_eq!(stage.held(&release).await, held, "refused bytes replaced held ones");

    // Wrong claims: which, what was expected, what came.
    let next = stage.python("2.0.0", Backend::Hatchling).await;
    let files = &next.files;
    stage
        .with_wrong(ENVIRONMENT, "release", async || {
            stage.plain_desk().twine(&stage.raw(), files).await
        })
        .await;
    stage
        .with_wrong(REF, "refs/tags/v*", async || {
            stage.plain_desk().twine(&stage.raw(), files).await
        })
        .await;
    let desk = stage.world.ci_desk();
    stage
        .with_wrong(ENVIRONMENT, "release", async || desk.pypa_action(ca, &url, files).await)
        .await;
    stage.with_wrong(REF, "refs/tags/v*", async || desk.uv_trusted(&url, files).await).await;
    // With the right ones again the same upload goes through.
    desk.pypa_action(ca, &url, files).await.succeeded();
}

#[tokio::test]
async fn npm_11_stages_its_tarball_and_npm_stage_shows_the_id_of_the_release() {
    let stage = Stage::new().await;
    let target = stage.world.npm_target();
    let desk = || stage.world.ci_desk();

    let before = stage.releases().await;
    desk().npm_publish(Npm::V11, &target, &stage.npm("1.1.0")).await.succeeded();
    stage.assert_staged(&before, &tarball("1.1.0")).await;

    let before = stage.releases().await;
    let ran = desk().npm_stage(&target, &stage.npm("1.3.0")).await.succeeded();
    let release = stage.assert_staged(&before, &tarball("1.3.0")).await;
    let id = release.rsplit('/').next().unwrap();
    assert!(ran.output().contains(id), "npm stage showed another id than {id}:\n{}", ran.output());
}

#[tokio::test]
async fn npm_clients_may_repeat_but_not_replace_and_see_which_claim_is_wrong() {
    let stage = Stage::new().await;
    let target = stage.world.npm_target();
    let desk = stage.world.ci_desk();
    let project = stage.npm("1.0.0");
    desk.npm_publish(Npm::V12, &target, &project).await.succeeded();
    let release = stage.assert_staged(&[], &tarball("1.0.0")).await;
    let (before, held) = (stage.releases().await, stage.held(&release).await);

    desk.npm_publish(Npm::V12, &target, &project).await.succeeded();
    stage.assert_nothing_new(&before).await;

    append(&project.join("index.js"), "exports.other = true\n");
    for npm in [Npm::V11, Npm::V12] {
        let ran = desk.npm_publish(npm, &target, &project).await;
        ran.failed_showing("You cannot publish over");
    }
    stage.assert_nothing_new(&before).await;
    assert_eq!(stage.held(&release).await, held, "refused bytes replaced held ones");

    // npm keeps a refused exchange to itself and sends nothing; with a token in its settings it shows the reason.
    let next = stage.npm("2.0.0");
    let with_token = || NpmTarget {
        url: target.url.clone(),
        token: Some(stage.world.issuer.github("npm:localhost", &json!({}))),
    };
    for (wrong, expected) in [(ENVIRONMENT, "release"), (REF, "refs/tags/v*")] {
        let run = async || stage.plain_desk().npm_publish(Npm::V12, &with_token(), &next).await;
        stage.with_wrong(wrong, expected, run).await;
    }
    stage.world.issuer.set("environment", json!("staging"));
    let ran = desk.npm_publish(Npm::V12, &target, &next).await;
    stage.world.issuer.set("environment", json!("release"));
    assert_ne!(ran.code, 0, "{}", ran.output());
    stage.assert_nothing_new(&before).await;
    desk.npm_publish(Npm::V12, &target, &next).await.succeeded();
}

fn append(file: &Path, text: &str) {
    let mut code = std::fs::read_to_string(file).unwrap();
    code.push_str(text);
    std::fs::write(file, code).unwrap();
}
