//! Evidence: anybody can check who approved which bytes, and nothing else passes for it.

use countersign::domain::digest::Sha256;
use countersign::domain::evidence::{Bundle, Proven, Unproven, verify};
use countersign::domain::ids::ReleaseId;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::{Note, Signer, Signs, VerifierKey};
use countersign::domain::log::tree::{Frontier, leaf_hash};
use countersign::domain::release::State;
use countersign::pipeline::evidence::{Names, bundle};
use countersign::pipeline::{Kind, Result};
use countersign::store::Store;

use crate::support::database::on_both;
use crate::support::desk::refused;
use crate::support::gateway::command;
use crate::support::world::{World, npm_document, run, sdist, wheel};

/// A world that published one version, with its evidence.
struct Published {
    world: World,
    release: ReleaseId,
    bytes: Vec<u8>,
}

impl Published {
    async fn start(store: Store) -> Self {
        let world = World::start(store).await;
        // Something else happens, too: evidence is about one release.
        world.approved_npm("0.9.0").await;
        let release =
            world.approved_python(&[wheel("1.0.0", "py3", &[]), sdist("1.0.0", &[])]).await;
        world.forward_to_the_end(release).await;
        let bytes = evidence(&world, release, Names::Withheld).await.unwrap();
        Self { world, release, bytes }
    }

    fn key(&self) -> &VerifierKey {
        self.world.site.notary.verifier_key()
    }

    /// The evidence after a change by somebody who can sign for the log.
    fn forged(&self, change: impl FnOnce(&mut Bundle)) -> std::result::Result<Proven, Unproven> {
        let mut bundle: Bundle = serde_json::from_slice(&self.bytes).unwrap();
        change(&mut bundle);
        verify(&self.world.site.notary.sign_evidence(bundle), self.key())
    }

    /// Where in the bundle the first entry of a kind is.
    fn index(&self, kind: &str) -> usize {
        let bundle: Bundle = serde_json::from_slice(&self.bytes).unwrap();
        let kind = format!("\"kind\":\"{kind}\"");
        bundle.entries.iter().position(|entry| entry.body.contains(&kind)).unwrap()
    }
}

async fn evidence(world: &World, release: ReleaseId, names: Names) -> Result<Vec<u8>> {
    bundle(world.store(), &world.site.notary, release, names, world.now()).await
}

#[tokio::test]
async fn evidence_says_who_approved_which_bytes_and_what_came_of_it() {
    on_both(|store| async move {
        let published = Published::start(store).await;
        let (world, release) = (&published.world, published.release);
        let proven = verify(&published.bytes, published.key()).unwrap();
        let manifest = proven.authorised.manifest().manifest();
        assert_eq!((manifest.release, &*manifest.version), (release, "1.0.0"));
        let held = world.artifacts(release).await;
        assert_eq!(manifest.files.len(), held.len());
        for file in held {
            assert!(manifest.files.iter().any(|f| f.sha256 == file.digests.sha256));
        }
        let ines = world.person("Ines Duarte").await;
        assert_eq!(proven.approvals.iter().map(|a| a.person).collect::<Vec<_>>(), [ines]);
        assert_eq!(proven.outcome, State::Published);
        assert!(proven.sent_at >= proven.approvals[0].at);
        assert_eq!(proven.bundle.enrolments.len(), 1);
        assert!(proven.bundle.names.is_empty());
        assert!(!String::from_utf8_lossy(&published.bytes).contains("Duarte"));

        let named = evidence(world, release, Names::Revealed).await.unwrap();
        let named = verify(&named, published.key()).unwrap().bundle.names;
        assert_eq!(named[&ines], "Ines Duarte");
    })
    .await;
}

#[tokio::test]
async fn one_flipped_bit_anywhere_in_the_evidence_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::database::sqlite(folder.path()).await;
    let published = Published::start(store).await;
    let mut bytes = published.bytes.clone();
    // Every thirteenth byte meets every bit and every part of an entry.
    for index in (0..bytes.len()).step_by(13) {
        let bit = 1 << (index % 8);
        bytes[index] ^= bit;
        assert!(verify(&bytes, published.key()).is_err(), "byte {index}, bit {bit:#x}");
        bytes[index] ^= bit;
    }
    assert!(verify(&bytes, published.key()).is_ok());
    for longer in [[&*bytes, b"\n"].concat(), [b" ", &*bytes].concat()] {
        assert!(matches!(verify(&longer, published.key()), Err(Unproven::Encoding)));
    }
}

/// The signature over the bundle alone proves nothing: each of its parts is checked.
#[tokio::test]
async fn evidence_signed_again_still_has_to_be_in_the_log_and_authorised() {
    on_both(|store| async move {
        let published = Published::start(store).await;
        assert!(published.forged(|_| ()).is_ok());
        let (decided, sealed) = (published.index("decided"), published.index("release_sealed"));
        let sent = published.index("forward_started");

        let result = published.forged(|b| drop(b.entries.remove(decided)));
        assert!(matches!(result, Err(Unproven::NotAuthorised { .. })), "{result:?}");
        let result = published.forged(|b| drop(b.entries.remove(sealed)));
        assert!(matches!(result, Err(Unproven::NotAuthorised { .. })), "{result:?}");
        let result = published.forged(|b| b.entries.swap(decided, sealed));
        assert!(matches!(result, Err(Unproven::NotAuthorised { .. })), "{result:?}");
        let result = published.forged(|b| drop(b.entries.remove(0)));
        assert!(matches!(result, Err(Unproven::Entry { index: 0 })), "{result:?}");
        let result = published.forged(|b| b.entries.truncate(sent));
        assert!(matches!(result, Err(Unproven::NotSent)), "{result:?}");

        let result = published.forged(|b| {
            b.entries[sealed].body = b.entries[sealed].body.replace("1.0.0", "1.0.1");
        });
        assert!(matches!(result, Err(Unproven::NotInLog { .. })), "{result:?}");
        let result = published.forged(|b| b.entries[decided].proof.truncate(1));
        assert!(matches!(result, Err(Unproven::NotInLog { .. })), "{result:?}");
        let result = published.forged(|b| b.entries[decided].body.push('x'));
        assert!(matches!(result, Err(Unproven::Entry { .. })), "{result:?}");

        let result = published.forged(|b| b.claims = b.claims.replace("octo", "evil"));
        assert!(matches!(result, Err(Unproven::Claims)), "{result:?}");
        let other = countersign::entropy::id(published.world.now()).unwrap();
        let result = published.forged(|b| b.release = other);
        assert!(matches!(result, Err(Unproven::NotSent)), "{result:?}");
        let result = published.forged(|b| b.format = "countersign/evidence/v2".to_owned());
        assert!(matches!(result, Err(Unproven::Format(_))), "{result:?}");
    })
    .await;
}

/// A log that somebody made up, with a key of their own or under the right name.
#[tokio::test]
async fn evidence_from_another_log_shows_nothing() {
    on_both(|store| async move {
        let published = Published::start(store).await;
        let stranger = |name| Signer::from_seed(name, Signs::Text, &[7; 32]).unwrap();
        let resigned = |signer: &Signer| {
            let mut bundle: Bundle = serde_json::from_slice(&published.bytes).unwrap();
            let mut frontier = Frontier::default();
            bundle.entries.truncate(1);
            frontier.append(leaf_hash(b"made up"));
            let origin = signer.verifier_key().name().to_owned();
            let text = Checkpoint { origin, tree: frontier.head() }.to_string();
            bundle.checkpoint = Note::new(text.clone(), signer.sign(&text, 0)).to_string();
            bundle.sign(signer)
        };
        let namesake = stranger(published.key().name());
        let result = verify(&resigned(&namesake), published.key());
        assert!(matches!(result, Err(Unproven::Signature { .. })), "{result:?}");
        // Whoever verifies with the stranger's key, because they got it from the stranger, sees
        // that the entries are not in the stranger's log.
        let result = verify(&resigned(&namesake), namesake.verifier_key());
        assert!(matches!(result, Err(Unproven::NotInLog { .. })), "{result:?}");
        let result = published.forged(|b| {
            let tree = Checkpoint::open(b.checkpoint.as_bytes(), published.key()).unwrap().0.tree;
            let origin = published.key().name().to_owned();
            let text = Checkpoint { origin, tree }.to_string();
            b.checkpoint = Note::new(text.clone(), namesake.sign(&text, 0)).to_string();
        });
        assert!(matches!(result, Err(Unproven::Checkpoint(_))), "{result:?}");
    })
    .await;
}

#[tokio::test]
async fn there_is_no_evidence_before_something_was_sent() {
    on_both(|store| async move {
        let world = World::start(store).await;
        let staged = world.stage_npm(run(1), &npm_document("1.0.0", b"x = 1")).await.unwrap();
        let result = evidence(&world, staged.release, Names::Withheld).await;
        assert_eq!(refused(result), Kind::Conflict);
        world.approve(staged.release).await;
        let result = evidence(&world, staged.release, Names::Withheld).await;
        assert_eq!(refused(result), Kind::Conflict);
        let nobody = countersign::entropy::id(world.now()).unwrap();
        assert_eq!(refused(evidence(&world, nobody, Names::Withheld).await), Kind::NotFound);
    })
    .await;
}

/// The command exits with 0 only when the log with that key says so about that file.
#[tokio::test]
async fn the_command_verifies_with_a_pinned_key_and_a_digest() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::database::sqlite(folder.path()).await;
    let published = Published::start(store).await;
    let path = folder.path().join("bundle.json");
    std::fs::write(&path, &published.bytes).unwrap();
    let (path, key) = (path.to_str().unwrap(), published.key().to_string());
    let held = published.world.artifacts(published.release).await[0].digests.sha256;
    let other = Sha256::of(b"other").to_string();
    let stranger = Signer::from_seed(published.key().name(), Signs::Text, &[7; 32]).unwrap();
    let stranger = stranger.verifier_key().to_string();

    let (code, out, _) = command(&["verify", path, "--key", &key], &[]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains(&format!("file sha256:{held}")), "{out}");
    assert!(out.ends_with("these bytes were approved before they were sent\n"), "{out}");
    let digest = format!("sha256:{held}");
    for (arguments, expected) in [
        (["--key", &key, "--digest", &digest], Some(0)),
        (["--key", &key, "--digest", &held.to_string()], Some(0)),
        (["--key", &key, "--digest", &other], Some(1)),
        (["--key", &key, "--digest", "nonsense"], Some(1)),
        (["--key", &stranger, "--digest", &digest], Some(1)),
        (["--key", "nonsense", "--digest", &digest], Some(1)),
    ] {
        let (code, out, log) = command(&[&["verify", path][..], &arguments].concat(), &[]).await;
        assert_eq!(code, expected, "{arguments:?}: {out}{log}");
        assert_eq!(code == Some(0), out.contains("were approved"), "{out}");
    }
}
