//! Previews: one sealed release as a registry of its own, below a secret address (rules S7, I9).

use countersign::domain::digest::{Sha256, Sha512};
use countersign::domain::ids::ReleaseId;
use countersign::pipeline::{Kind, preview};
use countersign::store::Store;
use jiff::SignedDuration;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sha2::Digest as _;

use crate::support::database::on_both;
use crate::support::desk::refused;
use crate::support::setup::count;
use crate::support::site::Answered;
use crate::support::world::{NPM_NAME, World, npm_document, run, sdist, wheel};

/// The path of a new preview, ending in `/`.
async fn previewed(world: &World, release: ReleaseId) -> String {
    let mara = world.person("Mara Lindqvist").await;
    let made = preview::make(world.store(), release, mara, world.now()).await.unwrap();
    format!("/preview/{}/", made.token.expose_secret())
}

/// What somebody gets who has the address and nothing else.
async fn get(world: &World, path: &str) -> Answered {
    world.ines.elsewhere().send(Method::GET, path, &[], String::new()).await
}

#[track_caller]
fn nothing(answer: &Answered, words: &str) {
    assert_eq!(answer.status, 404, "{answer:?}");
    let json: Value = serde_json::from_str(&answer.text).unwrap();
    assert!(json["error"].as_str().unwrap().contains(words), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

async fn staged(world: &World, version: &str) -> ReleaseId {
    world.stage_npm(run(1), &npm_document(version, b"x = 1")).await.unwrap().release
}

/// Rule S7: exactly the sealed bytes, for storing and nothing else.
#[tokio::test]
async fn a_preview_serves_the_sealed_tarball_of_one_version_and_nothing_else() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = staged(&world, "1.1.0").await;
        let base = previewed(&world, release).await;
        for name in ["@octo%2fhello-wire", "@octo%2Fhello-wire", NPM_NAME] {
            let answer = get(&world, &format!("{base}{name}")).await.ok();
            assert_eq!(answer.headers["cache-control"], "no-store");
            let packument = answer.json();
            assert_eq!(packument["dist-tags"]["latest"], "1.1.0");
            assert_eq!(packument["versions"].as_object().unwrap().len(), 1);
            let dist = &packument["versions"]["1.1.0"]["dist"];
            let tarball = dist["tarball"].as_str().unwrap();
            let path = tarball.strip_prefix(&world.site.origin).unwrap();
            let file = get(&world, path).await.ok();
            let sha512 = Sha512::from_bytes(sha2::Sha512::digest(&file.bytes).into());
            assert_eq!(dist["integrity"], format!("sha512-{}", sha512.to_base64()));
            assert_eq!(Sha256::of(&file.bytes), world.artifacts(release).await[0].digests.sha256);
            assert_eq!(file.headers["content-type"], "application/octet-stream");
            assert_eq!(file.headers["content-disposition"], {
                format!("attachment; filename=\"{}\"", world.artifacts(release).await[0].filename)
            });
            assert_eq!(file.headers["content-security-policy"], "default-src 'none'; sandbox");
            assert_eq!(file.headers["cache-control"], "no-store");
            assert_eq!(file.headers["content-length"], file.bytes.len().to_string());
        }
        nothing(&get(&world, &format!("{base}left-pad")).await, "@octo/hello-wire 1.1.0");
        nothing(&get(&world, &format!("{base}simple/hello-wire/")).await, "and nothing else");
        nothing(&get(&world, &format!("{base}files/other.tgz")).await, "no such file");
        nothing(&get(&world, &format!("{base}-/npm/v1/search")).await, "and nothing else");
        let audit = format!("{base}-/npm/v1/security/advisories/bulk");
        let mut anybody = world.ines.elsewhere();
        nothing(&anybody.send(Method::POST, &audit, &[], String::new()).await, "is read");
    })
    .await;
}

#[tokio::test]
async fn a_preview_serves_the_simple_page_of_one_python_version_and_its_files() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let python = [("Requires-Python", "requires_python", ">=3.9")];
        let files = [sdist("1.1.0", &python), wheel("1.1.0", "py3", &python)];
        let mut release = None;
        for file in &files {
            release = Some(world.stage_python(run(1), file).await.unwrap().release);
        }
        let release = release.unwrap();
        let mara = world.person("Mara Lindqvist").await;
        let early = preview::make(world.store(), release, mara, world.now()).await;
        assert_eq!(refused(early), Kind::Conflict);
        assert_eq!(count(world.store(), "previews").await, 0, "files may still come");
        world.seal(release).await;
        let base = previewed(&world, release).await;
        for project in ["hello-wire", "Hello_Wire"] {
            let answer = get(&world, &format!("{base}simple/{project}/")).await.ok();
            let kind = "application/vnd.pypi.simple.v1+json";
            assert_eq!(answer.headers["content-type"], kind);
            let page = answer.json();
            assert_eq!(page["name"], "hello-wire");
            let listed = page["files"].as_array().unwrap();
            assert_eq!(listed.len(), 2);
            for file in &files {
                let row = listed.iter().find(|row| row["filename"] == *file.name).unwrap();
                assert_eq!(row["hashes"]["sha256"], Sha256::of(&file.bytes).to_string());
                assert_eq!(row["requires-python"], ">=3.9");
                assert_eq!(row["url"], format!("../../files/{}", file.name));
                let found = get(&world, &format!("{base}files/{}", file.name)).await.ok();
                assert_eq!(found.bytes, file.bytes);
            }
        }
        nothing(&get(&world, &format!("{base}simple/requests/")).await, "hello-wire 1.1.0");
        nothing(&get(&world, &format!("{base}hello-wire")).await, "and nothing else");
    })
    .await;
}

/// Invariant I9: it is for one release and a while, and ends when somebody says so.
#[tokio::test]
async fn a_preview_ends_by_itself_by_hand_and_with_its_release() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let (first, second) = (staged(&world, "1.0.0").await, staged(&world, "2.0.0").await);
        let paths = [previewed(&world, first).await, previewed(&world, first).await];
        let of_second = previewed(&world, second).await;
        let at = |base: &str| format!("{base}@octo%2fhello-wire");
        let open = preview::open_previews(world.store(), first, world.now()).await.unwrap();
        assert_eq!(open.len(), 2);
        let wrong = preview::end(world.store(), second, open[0].id).await;
        assert_eq!(refused(wrong), Kind::NotFound);
        preview::end(world.store(), first, open[0].id).await.unwrap();
        nothing(&get(&world, &at(&paths[0])).await, "has ended");
        get(&world, &at(&paths[1])).await.ok();
        assert_eq!(get(&world, &at(&of_second)).await.ok().json()["dist-tags"]["latest"], "2.0.0");

        let mut mara = world.mara.clone();
        mara.decide(&second.to_string(), "reject").await;
        nothing(&get(&world, &at(&of_second)).await, "has ended");
        world.pass(SignedDuration::from_mins(59));
        get(&world, &at(&paths[1])).await.ok();
        world.pass(SignedDuration::from_mins(1));
        nothing(&get(&world, &at(&paths[1])).await, "has ended");
        nothing(&get(&world, "/preview/nobody-made-this/@octo%2fhello-wire").await, "has ended");
        previewed(&world, first).await;
        assert_eq!(count(world.store(), "previews").await, 1, "what expired is forgotten");
    })
    .await;
}

#[tokio::test]
async fn a_release_has_only_so_many_previews_and_only_digests_of_their_secrets_are_kept() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = staged(&world, "1.0.0").await;
        let mut kept = Vec::new();
        for _ in 0..5 {
            let path = previewed(&world, release).await;
            let secret = path.trim_start_matches("/preview/").trim_end_matches('/').to_owned();
            assert_eq!(secret.len(), 43, "256 bits");
            kept.push(Sha256::of(secret.as_bytes()));
        }
        for digest in &kept {
            let mut tx = world.store().snapshot().await.unwrap();
            assert!(tx.preview_by_token(digest, world.now()).await.unwrap().is_some());
        }
        let mara = world.person("Mara Lindqvist").await;
        let one_more = preview::make(world.store(), release, mara, world.now()).await;
        assert_eq!(refused(one_more), Kind::TooMany);
        assert_eq!(count(world.store(), "previews").await, 5);
    })
    .await;
}

#[tokio::test]
async fn the_page_says_how_to_try_a_release_once_and_lets_it_be_ended() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = staged(&world, "1.1.0").await;
        let mut mara = world.mara.clone();
        let place = format!("/releases/{release}");
        let made = mara.post_form(&format!("{place}/previews"), &[]).await.ok().text;
        let address = format!("{}/preview/", world.site.origin);
        let by_name = format!("npm install @octo/hello-wire@1.1.0 --@octo:registry={address}");
        assert!(made.contains(&by_name), "{made}");
        let secret = made.split(&address).nth(1).unwrap().split('/').next().unwrap().to_owned();
        let file = &world.artifacts(release).await[0].filename;
        let by_file = format!("npm install --allow-remote=root {address}{secret}/files/{file}");
        assert!(made.contains(&by_file), "{made}");

        let page = mara.get(&place, "text/html").await.ok().text;
        assert!(page.contains("Mara Lindqvist</b> made one that ends"), "{page}");
        assert!(!page.contains(&secret), "it is not shown again");
        let open = preview::open_previews(world.store(), release, world.now()).await.unwrap();
        let end = format!("{place}/previews/{}/end", open[0].id);
        assert!(page.contains(&format!("action=\"{end}\"")));
        let mut ines = world.ines.clone();
        assert_eq!(ines.post_form(&end, &[]).await.ok().location(), place);
        nothing(&get(&world, &format!("/preview/{secret}/@octo%2fhello-wire")).await, "has ended");
    })
    .await;
}
