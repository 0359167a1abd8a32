//! Evidence: anybody can check who approved which bytes, and nothing else passes for it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::domain::attestation::{self, PREDICATE_TYPE};
use countersign::domain::digest::Sha256;
use countersign::domain::event::{Actor, Event, LogEntry};
use countersign::domain::evidence::{Bundle, ProvenEntry, Unproven, verify};
use countersign::domain::governed::Governed;
use countersign::domain::ids::ReleaseId;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::{Note, Signer, Signs, VerifierKey};
use countersign::domain::log::tree::{Node, Span, TreeHead, inclusion_proof, leaf_hash, node_hash};
use countersign::domain::policy::{EXPIRY_MAX, PolicyDraft};
use countersign::domain::proposal::{Change, Scope};
use countersign::domain::quorum::Verdict;
use countersign::domain::release::State;
use countersign::pipeline::evidence::Names;
use countersign::pipeline::governance::{self, Draft, Wanted};
use countersign::pipeline::{self, Kind, Result, setup};
use countersign::store::Store;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::governance::carry;
use crate::support::database::on_both;
use crate::support::desk::{Desk, refused};
use crate::support::gateway::command;
use crate::support::tools::tools;
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
        enrolled_beside(&world).await;
        world.forward_to_the_end(release).await;
        let bytes = evidence(&world, release, Names::Withheld).await.unwrap();
        Self { world, release, bytes }
    }

    fn key(&self) -> &VerifierKey {
        self.world.site.notary.verifier_key()
    }

    /// Where in the bundle the first entry of a kind is.
    fn index(&self, kind: &str) -> usize {
        let bundle: Bundle = serde_json::from_slice(&self.bytes).unwrap();
        let kind = format!("\"kind\":\"{kind}\"");
        bundle.entries.iter().position(|entry| entry.body.contains(&kind)).unwrap()
    }
}

async fn evidence(world: &World, release: ReleaseId, names: Names) -> Result<Vec<u8>> {
    let now = world.now();
    let made = pipeline::evidence::evidence(world.store(), &world.site.notary, release, names, now);
    made.await.map(|evidence| evidence.bytes)
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

/// Edits of entries, in a log that is made up to fit them: what nobody approved.
const EDITS: [(&str, &str, &str); 10] = [
    ("release_sealed", "1.0.0", "6.6.6"),
    ("release_inspected", "\"looks\":[]", "\"looks\":[\"x\"]"),
    ("release_approved", "release_approved", "release_expired"),
    ("decided", "\"verdict\":\"approve\"", "\"verdict\":\"reject\""),
    ("decided", "\"clientDataJSON\":\"e", "\"clientDataJSON\":\"f"),
    ("decided", "\"authenticatorData\":\"S", "\"authenticatorData\":\"T"),
    ("policy_revised", "\"required\":1", "\"required\":2"),
    ("policy_revised", "\"expiry_secs\":604800", "\"expiry_secs\":604801"),
    ("roster_revised", "\"role\":\"owner\"", "\"role\":\"viewer\""),
    ("upstream_revised", "/legacy/", "/other/"),
];

impl Published {
    /// The evidence after a change by somebody who can sign for the log.
    fn forged(&self, change: impl FnOnce(&mut Bundle)) -> Vec<u8> {
        let mut bundle: Bundle = serde_json::from_slice(&self.bytes).unwrap();
        change(&mut bundle);
        self.world.site.notary.sign_evidence(bundle)
    }

    /// Bundles whose signature is right, each with the refusal it deserves.
    fn forgeries(&self) -> Vec<(&'static str, Vec<u8>)> {
        let (decided, sealed) = (self.index("decided"), self.index("release_sealed"));
        let (sent, people) = (self.index("forward_started"), self.index("roster_revised"));
        let other = countersign::entropy::id(self.world.now()).unwrap();
        vec![
            ("NotAuthorised", self.forged(|b| drop(b.entries.remove(decided)))),
            ("NotAuthorised", self.forged(|b| drop(b.entries.remove(sealed)))),
            ("NotAuthorised", self.forged(|b| b.entries.swap(decided, sealed))),
            ("NotAuthorised", self.forged(|b| drop(b.entries.remove(people)))),
            ("Entry", self.forged(|b| drop(b.entries.remove(0)))),
            ("Entry", self.forged(|b| b.entries[decided].body.push('x'))),
            ("NotSent", self.forged(|b| b.entries.truncate(sent))),
            ("NotSent", self.forged(|b| b.release = other)),
            ("NotInLog", self.forged(|b| edit(b, EDITS[0]))),
            ("NotInLog", self.forged(|b| b.entries[decided].proof.truncate(1))),
            ("NotInLog", self.forged(|b| b.entries[decided].proof.clear())),
            ("Claims", self.forged(|b| b.claims = b.claims.replace("octo", "evil"))),
            ("Report", self.forged(|b| b.report.push(' '))),
            ("Format", self.forged(|b| "countersign/evidence/v2".clone_into(&mut b.format))),
        ]
    }

    /// The evidence after a change, in a log with a key of its own that was made up to fit it.
    fn made_up(&self, change: impl FnOnce(&mut Bundle)) -> (Vec<u8>, VerifierKey) {
        let mut bundle: Bundle = serde_json::from_slice(&self.bytes).unwrap();
        change(&mut bundle);
        let mut leaves = Vec::new();
        for proven in &bundle.entries {
            let entry = LogEntry::from_bytes(proven.body.as_bytes()).unwrap();
            let position = usize::try_from(entry.sequence).unwrap();
            leaves.resize(position, Sha256::of(b"an entry about something else"));
            leaves.push(leaf_hash(&entry.leaf(proven.body.as_bytes()).to_bytes()));
        }
        let (size, read) = (leaves.len() as u64, |node| Some(subtree(&leaves, node)));
        for proven in &mut bundle.entries {
            let entry = LogEntry::from_bytes(proven.body.as_bytes()).unwrap();
            let spans = inclusion_proof(entry.sequence, size).unwrap();
            proven.proof = spans.into_iter().map(|span| span.hash(read).unwrap()).collect();
        }
        let signer = Signer::from_seed(self.key().name(), Signs::Text, &[7; 32]).unwrap();
        let tree = TreeHead { size, root: Span::tree(size).hash(read).unwrap() };
        let text = Checkpoint { origin: self.key().name().to_owned(), tree }.to_string();
        bundle.checkpoint = Note::new(text.clone(), signer.sign(&text, 0)).to_string();
        let key = signer.verifier_key().clone();
        (bundle.sign(&signer), key)
    }
}

/// The hash over the leaves below a node.
fn subtree(leaves: &[Sha256], node: Node) -> Sha256 {
    if node.height == 0 {
        return leaves[usize::try_from(node.index).unwrap()];
    }
    let child = |index| subtree(leaves, Node { height: node.height - 1, index });
    node_hash(&child(node.index * 2), &child(node.index * 2 + 1))
}

/// Changes the newest entry of a kind that has these words.
fn edit(bundle: &mut Bundle, (kind, from, to): (&str, &str, &str)) {
    let kind = format!("\"kind\":\"{kind}\"");
    let fits = |entry: &&mut ProvenEntry| entry.body.contains(&kind) && entry.body.contains(from);
    let entry = bundle.entries.iter_mut().rev().find(fits).expect("an entry to edit");
    entry.body = entry.body.replace(from, to);
}

/// The signature over the bundle alone proves nothing: each of its parts is checked.
#[tokio::test]
async fn evidence_signed_again_still_has_to_be_in_the_log_and_authorised() {
    on_both(|store| async move {
        let published = Published::start(store).await;
        assert!(verify(&published.forged(|_| ()), published.key()).is_ok());
        for (number, (expected, bytes)) in published.forgeries().into_iter().enumerate() {
            let refusal = verify(&bytes, published.key()).unwrap_err();
            assert!(format!("{refusal:?}").starts_with(expected), "{number}: {refusal:?}");
        }
        let (bytes, key) = published.made_up(|_| ());
        assert!(verify(&bytes, &key).is_ok(), "a whole log of somebody else is one of its own");
        for change in EDITS {
            let (bytes, key) = published.made_up(|b| edit(b, change));
            let result = verify(&bytes, &key);
            assert!(
                matches!(result, Err(Unproven::NotAuthorised { .. })),
                "{change:?}: {result:?}"
            );
        }
    })
    .await;
}

/// `docs/verify/verify.py` shares no code with the product.
#[tokio::test]
async fn the_python_verifier_agrees_about_every_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::database::sqlite(folder.path()).await;
    let published = Published::start(store).await;
    assert!(published.index("key_enrolled_beside") > 0, "nothing to disagree about");
    let (world, release) = (&published.world, published.release);
    let own = |bytes| (bytes, published.key().clone());
    let mut bundles = vec![
        own(published.bytes.clone()),
        own(evidence(world, release, Names::Revealed).await.unwrap()),
        own([&*published.bytes, b"\n"].concat()),
        published.made_up(|_| ()),
        (published.bytes.clone(), published.made_up(|_| ()).1),
    ];
    bundles.extend(published.forgeries().into_iter().map(|(_, bytes)| own(bytes)));
    bundles.extend(EDITS.map(|change| published.made_up(|b| edit(b, change))));
    let length = published.bytes.len();
    bundles.extend((0..length).step_by(length / 20).map(|index| {
        let mut bytes = published.bytes.clone();
        bytes[index] ^= 1;
        own(bytes)
    }));
    let mut shown = 0;
    for (number, (bytes, key)) in bundles.iter().enumerate() {
        let path = folder.path().join("evidence.json");
        std::fs::write(&path, bytes).unwrap();
        let output = python_verifier(&path, key).await;
        let ours = verify(bytes, key);
        assert_eq!(output.status.success(), ours.is_ok(), "{number}: {output:?}, {ours:?}");
        let words = if ours.is_ok() { &output.stdout } else { &output.stderr };
        let expected =
            if ours.is_ok() { "were approved before they were sent" } else { "not shown: " };
        assert!(String::from_utf8_lossy(words).contains(expected), "{number}: {output:?}");
        shown += usize::from(ours.is_ok());
    }
    assert_eq!(shown, 3);
}

/// An entry about people that decides nothing, and is evidence all the same.
async fn enrolled_beside(world: &World) {
    let mut tx = world.store().begin().await.unwrap();
    tx.lock_log().await.unwrap();
    let governed = Governed::replay(&tx.log_of_governance().await.unwrap()).unwrap();
    let mut holders = governed.roster().unwrap().people.iter().filter(|it| !it.keys.is_empty());
    let (holder, beside) = (holders.next().unwrap(), holders.next().unwrap().id);
    let credential_id = holder.keys[0].credential_id.clone();
    let event = Event::KeyEnrolledBeside { person: holder.id, credential_id, beside };
    tx.append(world.now(), event).await.unwrap();
    tx.commit().await.unwrap();
}

async fn python_verifier(bundle: &Path, key: &VerifierKey) -> std::process::Output {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    tokio::process::Command::new(tools().join("python/bin/python"))
        .arg("-B")
        .arg(checkout.join("docs/verify/verify.py"))
        .arg(bundle)
        .args(["--key", &key.to_string()])
        .output()
        .await
        .expect("scripts/tools.sh made a Python environment")
}

/// A log that somebody made up, with a key of their own under the right name.
#[tokio::test]
async fn evidence_from_another_log_shows_nothing() {
    on_both(|store| async move {
        let published = Published::start(store).await;
        let (bytes, namesake) = published.made_up(|_| ());
        let result = verify(&bytes, published.key());
        assert!(matches!(result, Err(Unproven::Signature { .. })), "{result:?}");
        let result = verify(&published.bytes, &namesake);
        assert!(matches!(result, Err(Unproven::Signature { .. })), "{result:?}");
        let made_up: Bundle = serde_json::from_slice(&bytes).unwrap();
        let bytes = published.forged(|b| b.checkpoint = made_up.checkpoint);
        let result = verify(&bytes, published.key());
        assert!(matches!(result, Err(Unproven::Checkpoint(_))), "{result:?}");
        // Under its own name it is a log of other entries than it says.
        let signer = Signer::from_seed("other.example/log", Signs::Text, &[7; 32]).unwrap();
        let mut bundle: Bundle = serde_json::from_slice(&published.bytes).unwrap();
        let (checkpoint, _) =
            Checkpoint::open(bundle.checkpoint.as_bytes(), published.key()).unwrap();
        let origin = signer.verifier_key().name().to_owned();
        let text = Checkpoint { origin, ..checkpoint }.to_string();
        bundle.checkpoint = Note::new(text.clone(), signer.sign(&text, 0)).to_string();
        let result = verify(&bundle.sign(&signer), signer.verifier_key());
        assert!(matches!(result, Err(Unproven::OtherLog { .. })), "{result:?}");
    })
    .await;
}

/// The envelope is DSSE: its signature is over type and payload with their lengths.
#[tokio::test]
async fn an_in_toto_statement_says_the_same_under_the_logs_key() {
    on_both(|store| async move {
        let published = Published::start(store).await;
        let proven = verify(&published.bytes, published.key()).unwrap();
        let line = published.world.site.notary.sign_in_toto(&proven);
        let envelope: Value = serde_json::from_slice(&line).unwrap();
        let member = |name: &str| envelope[name].as_str().unwrap();
        let payload = STANDARD.decode(member("payload")).unwrap();
        let kind = member("payloadType");
        let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
        let signature = STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap());
        let key = published.key().to_string();
        let public = STANDARD.decode(key.splitn(3, '+').nth(2).unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, &public[1..]);
        let signed = [head.as_bytes(), &payload].concat();
        assert!(public.verify(&signed, &signature.clone().unwrap()).is_ok());
        assert!(public.verify(&payload, &signature.unwrap()).is_err());

        let statement: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], PREDICATE_TYPE);
        let sealed = proven.authorised.manifest();
        let subjects: Vec<(String, String)> = statement["subject"]
            .as_array()
            .unwrap()
            .iter()
            .map(|subject| (subject["name"].to_string(), subject["digest"]["sha256"].to_string()))
            .collect();
        let files = sealed.manifest().files.iter();
        let files: Vec<_> =
            files.map(|f| (json!(f.name).to_string(), json!(f.sha256).to_string())).collect();
        assert_eq!(subjects, files);
        let predicate = &statement["predicate"];
        assert_eq!(predicate["manifest_sha256"], json!(sealed.digest()));
        assert_eq!(predicate["approvals"][0]["person"], json!(proven.approvals[0].person));
        assert_eq!(predicate["policy"]["sha256"], json!(proven.authorised.policy().digest()));
        assert_eq!(predicate["outcome"], "published");

        let mapping: Value = serde_json::from_slice(&attestation::ssdf(&proven)).unwrap();
        assert_eq!(mapping["manifest_sha256"], json!(sealed.digest()));
        let tasks = mapping["practices"].as_array().unwrap().iter();
        let tasks: Vec<&str> = tasks.map(|row| row["task"].as_str().unwrap()).collect();
        assert!(tasks.contains(&"PS.2.1") && tasks.contains(&"PS.3.2"), "{tasks:?}");
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

/// What a founded installation released, after its people had changed a rule, frozen everything and
/// gone on.
async fn governed(store: Store) -> Published {
    let (desk, mut people) = Desk::founded(store.clone()).await;
    let owner = people[0].id();
    let (id, now) = (desk.policy().await, desk.world.now());
    let longer = PolicyDraft { expiry: EXPIRY_MAX, ..desk.draft(2) };
    let by = Actor::Person(owner);
    let saved = setup::revise_policy(&store, by, id, longer, now).await.unwrap();
    assert!(carry(&desk, &mut people, saved.proposal.unwrap()).await, "the loosening");
    let scope = Scope::Everything;
    for change in [Change::Freeze { scope }, Change::Unfreeze { scope }] {
        let draft = Draft::of(vec![Wanted::plain(change)]);
        let proposed = governance::propose(&store, owner, draft, desk.world.now()).await.unwrap();
        assert!(carry(&desk, &mut people, proposed).await);
    }
    let release = desk.stage("2.0.0").await;
    for person in &mut people[..2] {
        desk.decide(person, release, Verdict::Approve).await.unwrap();
    }
    desk.world.forward_to_the_end(release).await;
    let bytes = evidence(&desk.world, release, Names::Withheld).await.unwrap();
    Published { world: desk.world, release, bytes }
}

/// Edits of what a quorum, a delay or the founders signed.
const GOVERNED_EDITS: [(&str, &str, &str); 6] = [
    ("proposal_decided", "\"verdict\":\"approve\"", "\"verdict\":\"reject\""),
    ("proposal_decided", "\"authenticatorData\":\"S", "\"authenticatorData\":\"T"),
    ("proposed", "\"expiry_secs\":1209600", "\"expiry_secs\":1209599"),
    ("proposed", "\"change\":\"unfreeze\"", "\"change\":\"freeze\""),
    ("founding_proposed", "\"delay_secs\":86400", "\"delay_secs\":86401"),
    ("founding_signed", "\"authenticatorData\":\"S", "\"authenticatorData\":\"T"),
];

impl Published {
    /// In a log with a key of its own: each entry about governance left out, each that takes effect
    /// dated back to the entry before it, and every edit.
    fn governed_forgeries(&self) -> Vec<(Vec<u8>, VerifierKey)> {
        let bundle: Bundle = serde_json::from_slice(&self.bytes).unwrap();
        let kind = |entry: &ProvenEntry| {
            LogEntry::from_bytes(entry.body.as_bytes()).unwrap().event.kind().to_owned()
        };
        let kinds: Vec<String> = bundle.entries.iter().map(kind).collect();
        let of_governance =
            |kind: &&String| kind.starts_with("founding_") || kind.starts_with("propos");
        let mut forgeries = Vec::new();
        for (index, _) in kinds.iter().enumerate().filter(|(_, kind)| of_governance(kind)) {
            forgeries.push(self.made_up(|b| drop(b.entries.remove(index))));
        }
        for (index, _) in kinds.iter().enumerate().filter(|(_, kind)| *kind == "proposal_enacted") {
            forgeries.push(self.made_up(|b| {
                let at = |entry: &ProvenEntry| {
                    LogEntry::from_bytes(entry.body.as_bytes()).unwrap().at.to_string()
                };
                let (then, now) = (at(&b.entries[index - 1]), at(&b.entries[index]));
                b.entries[index].body = b.entries[index].body.replace(&now, &then);
            }));
        }
        forgeries.extend(GOVERNED_EDITS.map(|change| self.made_up(|b| edit(b, change))));
        forgeries
    }
}

/// Rules K7, A7, A17: both programs replay the founding and every proposal.
#[tokio::test]
async fn both_verifiers_judge_how_a_founded_installation_changed_its_rules() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::database::sqlite(folder.path()).await;
    let published = governed(store).await;
    let own = (published.bytes.clone(), published.key().clone());
    let mut bundles = vec![own, published.made_up(|_| ())];
    bundles.extend(published.governed_forgeries());
    let mut refused = 0;
    for (number, (bytes, key)) in bundles.iter().enumerate() {
        let path = folder.path().join("evidence.json");
        std::fs::write(&path, bytes).unwrap();
        let output = python_verifier(&path, key).await;
        let ours = verify(bytes, key);
        assert_eq!(output.status.success(), ours.is_ok(), "{number}: {output:?}, {ours:?}");
        assert!(number > 1 || ours.is_ok(), "{number}: {ours:?}");
        refused += usize::from(ours.is_err());
    }
    // The freeze takes one signature, so its date says nothing; everything else is needed.
    assert_eq!(refused, bundles.len() - 3, "of {}", bundles.len());
}
