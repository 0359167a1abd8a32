//! A reviewer tries a sealed release before anybody approved it: the commands that the page shows, with the real
//! clients, and what those do about packages that a preview does not have.

use countersign_e2e::clients::{Npm, NpmTarget, PythonTarget, Ran};
use countersign_e2e::count;
use countersign_e2e::projects::{self, Backend};
use countersign_e2e::world::{NPM_NAME, PYTHON_NAME};
use serde_json::json;

use crate::stage::{Stage, python_files, tarball};

/// The package that the candidates of these tests need, which only the usual registries have.
const NEEDED: &str = "hello-needed";

/// The commands on the page that making a preview answers with.
async fn preview(stage: &Stage, release: &str) -> Vec<String> {
    stage.ines.go(release).await;
    assert_eq!(stage.ines.press("form[action$='/previews']").await, Ok(()));
    let script = "[...document.querySelectorAll('code[id^=command-]')].map(c => c.textContent)";
    let commands = serde_json::from_value(stage.ines.evaluate(script).await).unwrap();
    // The page leads back, and the release's page lists the preview.
    stage.ines.go(release).await;
    assert!(stage.ines.text().await.contains("made one that ends"));
    commands
}

/// The address of the preview in a command.
fn address(command: &str) -> &str {
    let start = command.find("http://").unwrap();
    let length = command[start..].find("/preview/").unwrap() + "/preview/".len();
    let secret = command[start + length..].find('/').unwrap();
    &command[start..=start + length + secret]
}

/// Runs shell commands in a new folder with a package.json of its own.
async fn with_npm(stage: &Stage, name: &str, command: &str) -> Ran {
    let desk = stage.plain_desk();
    let dir = desk.home().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("package.json"), "{\"private\":true}\n").unwrap();
    std::fs::write(dir.join(".npmrc"), format!("registry={}\n", stage.world.npm.url)).unwrap();
    let says = format!("{command}\nnode -p \"require('{NPM_NAME}').hello()\"");
    desk.shell("npm install", &says, &dir, &[]).await
}

#[tokio::test]
async fn npm_installs_a_preview_by_name_and_by_file_with_what_it_needs_from_elsewhere() {
    let stage = Stage::new().await;
    let usual = &stage.world.npm;
    let target = NpmTarget { url: usual.url.clone(), token: Some(usual.token.clone()) };
    let needed = stage.plain_desk().home().join("needed");
    projects::npm(&needed, NEEDED, "1.0.0");
    stage.plain_desk().npm_publish(Npm::V12, &target, &needed).await.succeeded();

    let project = stage.npm("1.1.0");
    projects::set_in_manifest(&project, "dependencies", json!({ NEEDED: "^1.0.0" }));
    let desk = stage.world.ci_desk();
    desk.npm_publish(Npm::V12, &stage.world.npm_target(), &project).await.succeeded();
    let release = stage.assert_staged(&[], &tarball("1.1.0")).await;

    let commands = preview(&stage, &release).await;
    let hello = format!("hello from {NPM_NAME} 1.1.0");
    assert_eq!(commands.len(), 2, "{commands:?}");
    for (number, command) in commands.iter().enumerate() {
        let ran = with_npm(&stage, &format!("try-{number}"), command).await.succeeded();
        assert!(ran.stdout.contains(&hello), "{}", ran.output());
    }
    // With the preview as the only registry, npm finds the package and not what it needs.
    let only = format!("npm install {NPM_NAME}@1.1.0 --registry={}", address(&commands[0]));
    let ran = with_npm(&stage, "only", &only).await;
    ran.failed_showing(&format!("this preview has {NPM_NAME} 1.1.0 and nothing else"));
    assert!(!stage.world.npm_is_published().await, "a preview publishes nothing");
    count::check("npm at a preview");
}

/// Runs shell commands with a virtual environment and the usual index.
async fn with_python(stage: &Stage, name: &str, command: &str) -> Ran {
    let desk = stage.plain_desk();
    let dir = desk.home().join(name);
    std::fs::create_dir(&dir).unwrap();
    let index = stage.world.python.simple_url.clone();
    let variables = [
        ("PIP_INDEX_URL".to_owned(), index.clone()),
        ("UV_DEFAULT_INDEX".to_owned(), index),
        ("PIP_NO_CACHE_DIR".to_owned(), "1".to_owned()),
        ("UV_NO_CACHE".to_owned(), "1".to_owned()),
    ];
    let all = format!("python -m venv venv\nsource venv/bin/activate\n{command}\n{PYTHON_NAME}");
    desk.shell("pip install", &all, &dir, &variables).await
}

#[tokio::test]
async fn pip_and_uv_install_a_preview_with_what_it_needs_from_elsewhere() {
    let stage = Stage::new().await;
    let usual = &stage.world.python;
    let target = PythonTarget {
        url: usual.upload_url.clone(),
        username: usual.username.clone(),
        password: usual.password.clone(),
    };
    let home = stage.plain_desk();
    let needed =
        projects::python(&home.home().join("needed"), NEEDED, "1.0.0", Backend::Hatchling).await;
    home.twine(&target, &needed.files).await.succeeded();

    let project = stage.python("1.1.0", Backend::Hatchling).await;
    let file = project.dir.join("pyproject.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let needs = format!("description = \"Says hello\"\ndependencies = [\"{NEEDED}>=1\"]\n");
    std::fs::write(&file, text.replace("description = \"Says hello\"\n", &needs)).unwrap();
    let project = projects::build(&project.dir, PYTHON_NAME, "1.1.0").await;
    stage.plain_desk().twine(&stage.raw(), &project.files).await.succeeded();
    let release = stage.assert_staged(&[], &python_files("1.1.0")).await;
    stage.ines.review(&release).await;

    let commands = preview(&stage, &release).await;
    let hello = format!("hello from {PYTHON_NAME} 1.1.0");
    assert_eq!(commands.len(), 2, "{commands:?}");
    for (number, command) in commands.iter().enumerate() {
        let ran = with_python(&stage, &format!("try-{number}"), command).await.succeeded();
        assert!(ran.stdout.contains(&hello), "{}", ran.output());
        assert!(ran.output().contains(NEEDED), "{}", ran.output());
    }
    // With the preview as the only index, pip finds the package and not what it needs.
    let only = format!("--index-url {}simple/", address(&commands[0]));
    let alone = format!("pip install {only} {PYTHON_NAME}==1.1.0");
    let ran = with_python(&stage, "only", &alone).await;
    ran.failed_showing(&format!("No matching distribution found for {NEEDED}"));
    let ran = with_python(&stage, "alone", &format!("{alone} --no-deps")).await.succeeded();
    assert!(ran.stdout.contains(&hello), "{}", ran.output());
    assert!(!stage.world.python_is_published().await, "a preview publishes nothing");
    count::check("pip and uv at a preview");
}
