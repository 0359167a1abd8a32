//! The public log over HTTP, followed by a client that knows only its address; and an installation
//! that was restored from an old copy.

use std::path::Path;
use std::sync::Arc;

use countersign::app::{App, Clock, Opened};
use countersign::config::Config;
use countersign::domain::digest::Sha256;
use countersign::domain::event::Event;
use countersign::domain::ids::ReleaseId;
use countersign::domain::log::Leaf;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::VerifierKey;
use countersign::domain::log::tile::{Content, HEIGHT, Tile, Tiles, unbundle};
use countersign::domain::log::tree::{Frontier, Span, TreeHead, includes, leaf_hash};
use countersign::store::Store;
use serde_json::Value;

use crate::support::database::on_both;
use crate::support::setup::count;
use crate::support::site::Site;

/// A reader of the log; no cookies, no session.
struct Reader {
    client: reqwest::Client,
    origin: String,
}

impl Reader {
    fn of(origin: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy();
        Self { client: client.build().unwrap(), origin: origin.to_owned() }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(format!("{}{path}", self.origin)).send().await.unwrap()
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap().to_vec()
    }

    async fn key(&self) -> VerifierKey {
        let text = String::from_utf8(self.bytes("/log/key").await).unwrap();
        VerifierKey::parse(text.trim_end()).unwrap()
    }

    async fn checkpoint(&self) -> TreeHead {
        let (note, key) = (self.bytes("/log/checkpoint").await, self.key().await);
        Checkpoint::open(&note, &key).unwrap().0.tree
    }

    /// Every leaf of a tree, from bundles.
    async fn leaves(&self, size: u64) -> Vec<Vec<u8>> {
        let mut leaves = Vec::new();
        while let Some(tile) = Tile::of_level(0, leaves.len() as u64 / 256, size) {
            let bundle = self.bytes(&format!("/log/tile/{}", entries(tile))).await;
            leaves.extend(unbundle(&bundle).unwrap().into_iter().map(<[u8]>::to_vec));
            if tile.width < 256 {
                break;
            }
        }
        leaves
    }

    /// Every tile of hashes of a tree.
    async fn tiles(&self, size: u64) -> Tiles {
        let mut tiles = Tiles::default();
        for level in 0..8 {
            let mut index = 0;
            while let Some(tile) = Tile::of_level(level, index, size) {
                let bytes = self.bytes(&format!("/log/tile/{tile}")).await;
                let hashes = bytes.chunks(32).map(|hash| Sha256::from_slice(hash).unwrap());
                tiles.insert(level, index, hashes.collect());
                index += 1;
            }
        }
        tiles
    }
}

fn entries(tile: Tile) -> Tile {
    Tile { content: Content::Entries, ..tile }
}

async fn grow(store: &Store, entries: u64) {
    let release = ReleaseId::from_uuid(uuid::Uuid::from_u128(7));
    let now = Clock::default().now();
    let mut tx = store.begin().await.unwrap();
    for _ in 0..entries {
        tx.append(now, Event::ReleaseExpired { release }).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_reader_rebuilds_the_tree_from_tiles_and_from_leaves() {
    on_both(|store: Store| async move {
        let site = Site::on(store).await;
        let reader = Reader::of(&site.origin);
        assert_eq!(reader.get("/log/checkpoint").await.status(), 404);
        for more in [2, 253, 1, 300] {
            grow(&site.app.store, more).await;
            site.notary.run(site.app.clock.now()).await.unwrap();
            let tree = reader.checkpoint().await;
            let tiles = reader.tiles(tree.size).await;
            assert_eq!(Span::tree(tree.size).hash(|node| tiles.node(node)), Some(tree.root));
            let mut frontier = Frontier::default();
            for leaf in reader.leaves(tree.size).await {
                assert_eq!(Leaf::from_bytes(&leaf).unwrap().sequence, frontier.size());
                for (node, hash) in frontier.append(leaf_hash(&leaf)) {
                    assert!(node.height % HEIGHT > 0 || tiles.node(node) == Some(hash));
                }
            }
            assert_eq!(frontier.head(), tree);
        }
        assert_eq!(reader.checkpoint().await.size, 557);
    })
    .await;
}

#[tokio::test]
async fn nothing_beyond_the_checkpoint_is_served_and_only_tiles_may_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::on(crate::support::database::sqlite(folder.path()).await).await;
    let reader = Reader::of(&site.origin);
    grow(&site.app.store, 299).await;
    site.notary.run(site.app.clock.now()).await.unwrap();
    grow(&site.app.store, 300).await;
    for path in ["0/000", "0/001.p/44", "0/001.p/3", "1/000.p/1", "entries/001.p/44"] {
        let answer = reader.get(&format!("/log/tile/{path}")).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        let cached = answer.headers()["cache-control"].to_str().unwrap();
        assert!(cached.contains("immutable") && cached.contains("public"), "{cached}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    for path in [
        "0/001",
        "0/001.p/45",
        "0/002.p/1",
        "1/000",
        "1/000.p/2",
        "2/000.p/1",
        "entries/001",
        "entries/001.p/45",
        "0/0",
        "00/000",
        "0/000.p/256",
        "x",
        "0/000/",
    ] {
        let answer = reader.get(&format!("/log/tile/{path}")).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    }
    for path in ["/log/checkpoint", "/log/key"] {
        let answer = reader.get(path).await;
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert!(answer.headers().get("set-cookie").is_none());
    }
}

#[tokio::test]
async fn an_entry_is_proved_to_whoever_asks_and_its_body_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::on(crate::support::database::sqlite(folder.path()).await).await;
    let reader = Reader::of(&site.origin);
    grow(&site.app.store, 299).await;
    site.notary.run(site.app.clock.now()).await.unwrap();
    let key = reader.key().await;
    for sequence in [0, 255, 256, 299] {
        let bytes = reader.bytes(&format!("/api/v1/log/{sequence}")).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        crate::api::assert_described("/api/v1/log/{sequence}", "get", &answer);
        let note = answer["checkpoint"].as_str().unwrap();
        let tree = Checkpoint::open(note.as_bytes(), &key).unwrap().0.tree;
        let proof: Vec<Sha256> = serde_json::from_value(answer["proof"].clone()).unwrap();
        let leaf = answer["leaf"].as_str().unwrap();
        assert!(includes(&tree, sequence, leaf_hash(leaf.as_bytes()), &proof), "{sequence}");
        let members: Value = serde_json::from_str(leaf).unwrap();
        let names: Vec<&String> = members.as_object().unwrap().keys().collect();
        assert_eq!(names, ["sequence", "at", "kind", "sha256"]);
    }
    for path in ["/api/v1/log/300", "/api/v1/log/-1", "/api/v1/log/x"] {
        assert_eq!(reader.get(path).await.status(), 404, "{path}");
    }
}

/// An installation on SQLite in a folder of its own.
struct Installation {
    app: Arc<App>,
    notary: Arc<countersign::pipeline::log::notary::Notary>,
}

async fn open(folder: &Path) -> Installation {
    let file = folder.join("countersign.toml");
    let text = "origin = \"http://localhost:8080\"\nlisten = [{ address = \"127.0.0.1:1\" }]\n\
                [[witness]]\nname = \"disk\"\nkind = \"directory\"\npath = \"outside\"\n";
    std::fs::write(&file, text).unwrap();
    std::fs::create_dir_all(folder.join("outside")).unwrap();
    let config = Config::read(&file).unwrap();
    let Opened { app, .. } = App::open(config, Clock::default()).await.unwrap();
    Installation { notary: Arc::clone(&app.notary), app }
}

/// Runs `countersign doctor`; whether it succeeded, its output and its log.
async fn doctor(folder: &Path) -> (bool, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["doctor", "--config"])
        .arg(folder.join("countersign.toml"))
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Rule K6, rows D08 and D09.
#[tokio::test]
async fn a_database_restored_from_yesterday_is_shown_and_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("data").join("countersign.db");
    let installation = open(folder.path()).await;
    grow(&installation.app.store, 5).await;
    installation.notary.run(installation.app.clock.now()).await.unwrap();
    installation.app.store.close().await;
    let yesterday = std::fs::read(&database).unwrap();
    let (whole, out, log) = doctor(folder.path()).await;
    assert!(whole && out.contains("entries 6\n"), "{out}{log}");

    let installation = open(folder.path()).await;
    assert!(!installation.app.store.is_read_only());
    grow(&installation.app.store, 5).await;
    installation.notary.run(installation.app.clock.now()).await.unwrap();
    installation.app.store.close().await;

    std::fs::write(&database, yesterday).unwrap();
    let (whole, _, log) = doctor(folder.path()).await;
    assert!(!whole && log.contains("6 entries, but 11 were signed"), "{log}");
    let installation = open(folder.path()).await;
    assert!(installation.app.store.is_read_only());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let router = countersign::web::router(&installation.app);
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let reader = Reader::of(&origin);
    let ready = reader.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().starts_with("read-only: the log"));
    // The old log can be read, for whoever looks into it; nothing is added to it.
    assert_eq!(reader.checkpoint().await.size, 6);
    let before = (
        count(&installation.app.store, "log_entries").await,
        count(&installation.app.store, "ceremonies").await,
    );
    let post = reader.client.post(format!("{origin}/login/begin"));
    let post =
        post.header("origin", "http://localhost:8080").header("sec-fetch-site", "same-origin");
    let answer = post.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert!(!answer.status().is_success(), "{answer:?}");
    assert!(installation.app.store.begin().await.is_err());
    assert!(installation.notary.run(installation.app.clock.now()).await.is_err());
    let after = (
        count(&installation.app.store, "log_entries").await,
        count(&installation.app.store, "ceremonies").await,
    );
    assert_eq!(before, after);
    server.abort();
}
