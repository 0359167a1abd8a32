//! Staging: what joins a release, what takes its place, and that nothing staged is ever replaced
//! (rules O22, P3, P9, P12, N9; ruling Q5; invariant I1).

use countersign::domain::ids::ReleaseId;
use countersign::domain::release::State;
use countersign::pipeline::staging::{Difference, Staged};
use countersign::pipeline::{Error, Kind, Result};
use countersign::store::Store;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::database::on_both;
use crate::support::setup::count;
use crate::support::world::{
    NPM_NAME, PythonFile, Run, World, npm_document, npm_document_of, run, sdist, wheel,
};

fn conflict(result: Result<Staged>) -> String {
    match result {
        Err(Error::Refused(refusal)) if refusal.kind == Kind::Conflict => refusal.message,
        other => panic!("expected a conflict, received {other:?}"),
    }
}

async fn differences(world: &World, release: ReleaseId, file: &str) -> Vec<Difference> {
    let artifacts = world.artifacts(release).await;
    let artifact = artifacts.iter().find(|artifact| artifact.filename == file).expect(file);
    serde_json::from_str(&artifact.differences).unwrap()
}

/// The same wheel built again, differently.
fn rebuilt(version: &str) -> PythonFile {
    wheel(version, "py3", &[("Keywords", "keywords", "rebuilt")])
}

fn refused(result: Result<Staged>) -> String {
    match result {
        Err(Error::Refused(refusal)) => refusal.message,
        other => panic!("expected a refusal, received {other:?}"),
    }
}

/// Rules N1, N2, N4, N6: the address, the document, the file and our configuration agree.
#[tokio::test]
async fn an_npm_document_that_contradicts_its_file_or_address_is_not_staged() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let before = world.stock().await;
        let of = |name: &str, config: Value| {
            let package = json!({ "name": name, "version": "1.0.0", "publishConfig": config });
            npm_document_of(package, &[("index.js", b"module")])
        };
        let claiming = |member: &str, value: Value| {
            let mut document = npm_document("1.0.0", b"module");
            document["versions"]["1.0.0"][member] = value;
            document
        };
        let dist = npm_document("1.0.0", b"another")["versions"]["1.0.0"]["dist"].clone();
        for (document, words) in [
            (of("another-name", json!({})), "the document's name to be that of the URL"),
            (of(NPM_NAME, json!({ "registry": "https://other.example" })), "no `publishConfig.reg"),
            (of(NPM_NAME, json!({ "tag": "next" })), "the dist-tag `next` of `publishConfig`"),
            (of(NPM_NAME, json!({ "access": "restricted" })), "expected access `public`"),
            (claiming("scripts", json!({ "postinstall": "x" })), "expected `scripts` to be what"),
            (claiming("dist", dist), "expected `dist.integrity` of the uploaded bytes"),
        ] {
            let message = refused(world.stage_npm(run(1), &document).await);
            assert!(message.contains(words), "{words}: {message}");
            assert_eq!(world.stock().await, before, "{words}");
        }
        let own = json!({ "registry": world.site.app.config.origin_text(), "tag": "latest" });
        world.stage_npm(run(1), &of(NPM_NAME, own)).await.unwrap();
    })
    .await;
}

/// Rule P2 and the digests of the form.
#[tokio::test]
async fn a_form_that_contradicts_its_file_is_not_staged() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let before = world.stock().await;
        for (field, value) in [
            ("requires_dist", "evil"),
            ("sha256_digest", "00"),
            ("md5_digest", "00"),
            ("blake2_256_digest", "00"),
        ] {
            let mut file = wheel("1.0.0", "py3", &[]);
            file.fields.retain(|(name, _)| name != field);
            file.fields.push((field.to_owned(), value.to_owned()));
            let message = refused(world.stage_python(run(1), &file).await);
            assert!(message.contains(&format!("expected `{field}` to be")), "{message}");
            assert_eq!(world.stock().await, before, "{field}");
        }
    })
    .await;
}

/// Rules O22, P9: another run adds nothing to a release, not even while it is open.
#[tokio::test]
async fn a_file_of_another_run_joins_no_release() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        world.stage_python(run(1), &wheel("1.0.0", "py3", &[])).await.unwrap();
        let before = world.stock().await;
        conflict(world.stage_python(run(2), &sdist("1.0.0", &[])).await);
        assert_eq!(world.stock().await, before);
    })
    .await;
}

/// Rule O22: a re-run never replaces staged bytes, before and after the seal.
#[tokio::test]
async fn a_run_that_is_started_again_never_replaces_staged_bytes() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let again = Run { id: 1, attempt: 2 };
        let first = world.stage_python(run(1), &wheel("1.0.0", "py3", &[])).await.unwrap();
        for sealed in [false, true] {
            if sealed {
                world.seal(first.release).await;
            }
            let before = (world.stock().await, world.record(first.release).await.seal);
            for run in [run(1), again, run(2)] {
                let message = conflict(world.stage_python(run, &rebuilt("1.0.0")).await);
                assert!(message.starts_with("File already exists: `hello_wire-1.0.0-py3"));
                // The same bytes are as welcome as the first time, whoever brings them.
                let same = world.stage_python(run, &wheel("1.0.0", "py3", &[])).await.unwrap();
                assert_eq!((same.release, same.new), (first.release, false));
            }
            let after = (world.stock().await, world.record(first.release).await.seal);
            assert_eq!(after.0, before.0);
            let bytes = |seal: &Option<countersign::store::releases::Seal>| {
                seal.as_ref().map(|seal| seal.manifest.bytes().to_vec())
            };
            assert_eq!(bytes(&after.1), bytes(&before.1), "invariant I1");
        }
        let npm = world.stage_npm(run(1), &npm_document("1.0.0", b"x = 1")).await.unwrap();
        let before = world.stock().await;
        let message = conflict(world.stage_npm(again, &npm_document("1.0.0", b"x = 2")).await);
        assert!(message.starts_with("You cannot publish over the previously published versions"));
        let mut other_tag = npm_document("1.0.0", b"x = 1");
        other_tag["dist-tags"] = json!({ "next": "1.0.0" });
        let message = conflict(world.stage_npm(run(1), &other_tag).await);
        assert!(message.starts_with("expected the dist-tag `latest`"), "{message}");
        let same = world.stage_npm(again, &npm_document("1.0.0", b"x = 1")).await.unwrap();
        assert_eq!((same.release, same.new), (npm.release, false));
        assert_eq!(world.stock().await, before);
    })
    .await;
}

/// Rule O22: reviewers see it.
#[tokio::test]
async fn a_run_that_was_started_again_is_shown_to_reviewers() {
    const NOTED: &str = "The run was started again: attempt";
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let page = async |release: ReleaseId| {
            let mut ines = world.ines.clone();
            ines.get(&format!("/releases/{release}"), "text/html").await.ok().text
        };
        let first = world.stage_python(run(1), &wheel("1.0.0", "py3", &[])).await.unwrap().release;
        assert!(!page(first).await.contains(NOTED));
        // A file that only the second attempt built joins the first one's release.
        let late = world.stage_python(Run { id: 1, attempt: 2 }, &sdist("1.0.0", &[])).await;
        assert_eq!(late.unwrap().release, first);
        let noted = differences(&world, first, "hello_wire-1.0.0.tar.gz").await;
        assert_eq!((&*noted[0].claimed, &*noted[0].embedded), ("2", "1"));
        assert!(noted[0].field.starts_with("attempt of the CI run"), "{noted:?}");
        assert!(page(first).await.contains("attempt of the CI run"));

        let again = Run { id: 3, attempt: 4 };
        let again = world.stage_npm(again, &npm_document("1.0.0", b"x = 1")).await.unwrap();
        let page = page(again.release).await;
        assert!(page.contains(&format!("{NOTED} <code>4</code>")), "{page}");
    })
    .await;
}

/// Rule P3.
#[tokio::test]
async fn files_of_one_release_that_disagree_about_themselves_are_shown() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let newer = [("Requires-Python", "requires_python", ">=3.12")];
        let older = [("Requires-Python", "requires_python", ">=3.8")];
        let first = world.stage_python(run(1), &wheel("1.0.0", "py3", &newer)).await.unwrap();
        world.stage_python(run(1), &wheel("1.0.0", "py2", &newer)).await.unwrap();
        world.stage_python(run(1), &sdist("1.0.0", &older)).await.unwrap();
        let name = "hello_wire-1.0.0-py2-none-any.whl";
        assert_eq!(differences(&world, first.release, name).await, []);
        let seen = differences(&world, first.release, "hello_wire-1.0.0.tar.gz").await;
        let [one, other] = seen.as_slice() else { panic!("{seen:?}") };
        for (difference, file) in [(one, "py3"), (other, "py2")] {
            let field =
                format!("Requires-Python (hello_wire-1.0.0-{file}-none-any.whl says otherwise)");
            assert_eq!(difference.field, field);
            assert_eq!((&*difference.claimed, &*difference.embedded), (">=3.12", ">=3.8"));
        }
    })
    .await;
}

/// Rule P9, ruling Q5.
#[tokio::test]
async fn a_late_file_of_the_run_opens_a_new_candidate_without_approvals() {
    on_both(|store: Store| async move {
        let world = World::start_with(store, 2, None).await;
        let mut first_file = wheel("1.0.0", "py3", &[]);
        first_file.fields.push(("attestations".to_owned(), "[{\"kept\":1}]".to_owned()));
        let old = world.stage_python(run(1), &first_file).await.unwrap().release;
        world.seal(old).await;
        world.approve(old).await;
        let sealed = world.record(old).await.seal.unwrap();
        let before = world.stock().await;
        conflict(world.stage_python(run(2), &sdist("1.0.0", &[])).await);
        assert_eq!(world.stock().await, before, "another run adds nothing");

        let staged = world.stage_python(run(1), &sdist("1.0.0", &[])).await.unwrap();
        assert!(staged.new && staged.release != old);
        let newer = staged.release;
        let record = world.record(old).await;
        assert_eq!((record.state, record.superseded_by), (State::Superseded, Some(newer)));
        assert_eq!(record.seal.unwrap().manifest.bytes(), sealed.manifest.bytes(), "I1");
        let names: Vec<_> =
            world.artifacts(newer).await.into_iter().map(|artifact| artifact.filename).collect();
        assert_eq!(names, ["hello_wire-1.0.0-py3-none-any.whl", "hello_wire-1.0.0.tar.gz"]);
        world.seal(newer).await;
        let mut tx = world.store().snapshot().await.unwrap();
        assert_eq!(tx.decisions(old).await.unwrap().len(), 1);
        assert_eq!(tx.decisions(newer).await.unwrap().len(), 0);
        let kept = tx.artifacts(newer).await.unwrap()[0].id;
        let evidence = tx.attachments(kept).await.unwrap();
        assert_eq!(evidence, [("pep740-attestations".to_owned(), b"[{\"kept\":1}]".to_vec())]);
        drop(tx);

        // The old one can be signed no more, and its one approval does not count for the new one.
        let mut mara = world.mara.clone();
        let begin = format!("/releases/{old}/approve/begin");
        mara.post_json(&begin, &json!({})).await.problem(410, "gone");
        world.approve(newer).await;
        assert_eq!(world.record(newer).await.state, State::Awaiting);
        world.forward().await;
        assert_eq!(world.pypi.count(), 0);
    })
    .await;
}

/// Rules P12 and N9, ruling Q2: the fakes refuse what registries refuse from a token.
#[tokio::test]
async fn attestations_and_provenance_are_kept_and_never_sent() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let mut file = wheel("1.0.0", "py3", &[]);
        file.fields.push(("attestations".to_owned(), "[{\"version\":1}]".to_owned()));
        let bundle = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}"#;
        let mut document = npm_document("1.0.0", b"x = 1");
        document["_attachments"][format!("{NPM_NAME}-1.0.0.sigstore")] = json!({
            "content_type": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "data": bundle, "length": bundle.len(),
        });
        let npm = world.stage_npm(run(1), &document).await.unwrap().release;
        world.approve(npm).await;
        let python = world.approved_python(&[file]).await;
        world.forward().await;
        for (release, kind, body) in
            [(npm, "npm-provenance", bundle), (python, "pep740-attestations", "[{\"version\":1}]")]
        {
            let record = world.record(release).await;
            assert_eq!(record.state, State::Published, "{:?}", record.message);
            let artifact = world.artifacts(release).await[0].id;
            let kept = world.store().snapshot().await.unwrap().attachments(artifact).await.unwrap();
            assert_eq!(kept, [(kind.to_owned(), body.as_bytes().to_vec())]);
        }
        let stored = world.pypi.file("hello_wire-1.0.0-py3-none-any.whl").unwrap();
        assert!(stored.fields.iter().all(|(name, _)| name != "attestations"));
    })
    .await;
}

/// Rows R02 and R03: the same file many times at once, and other bytes among them.
#[tokio::test]
async fn uploads_of_one_version_at_once_make_one_release() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        for round in 0..3 {
            let version = format!("1.0.{round}");
            let same = npm_document(&version, b"x = 1");
            let staged = join_all((0..6).map(|_| world.stage_npm(run(1), &same))).await;
            let staged: Vec<_> = staged.into_iter().map(|each| each.unwrap()).collect();
            assert!(staged.iter().all(|each| each.release == staged[0].release));
            assert_eq!(staged.iter().filter(|each| each.new).count(), 1);

            let version = format!("2.0.{round}");
            let (one, other) = (wheel(&version, "py3", &[]), rebuilt(&version));
            let (one, other) =
                tokio::join!(world.stage_python(run(1), &one), world.stage_python(run(1), &other),);
            assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            conflict(if one.is_ok() { other } else { one });
        }
        assert_eq!(count(world.store(), "releases").await, 6);
        assert_eq!(count(world.store(), "artifacts").await, 6);
    })
    .await;
}
