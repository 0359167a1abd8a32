//! The log's formats agree with a second implementation, `tests/data/log/vectors.py`.

use std::collections::BTreeMap;

use countersign::domain::digest::Sha256;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::{Note, Signer, Signs, VerifierKey};
use countersign::domain::log::tile::{Content, HEIGHT, Tile, bundle};
use countersign::domain::log::tree::{self, Frontier, Node, Span, TreeHead};
use serde_json::Value;

/// Leaves of the largest tree in the file.
const LEAVES: u64 = 66_000;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/log/vectors.json")).unwrap()
}

fn leaf(number: u64) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

/// Every perfect subtree of the largest tree.
fn subtrees() -> BTreeMap<Node, Sha256> {
    let mut frontier = Frontier::default();
    let appended = (0..LEAVES).map(|number| tree::leaf_hash(&leaf(number)));
    appended.flat_map(|hash| frontier.append(hash)).collect()
}

fn head(all: &BTreeMap<Node, Sha256>, size: u64) -> TreeHead {
    let root = Span::tree(size).hash(|node| all.get(&node).copied()).unwrap();
    TreeHead { size, root }
}

fn hex(value: &Value) -> Sha256 {
    value.as_str().unwrap().parse().unwrap()
}

fn proof(value: &Value) -> Vec<Sha256> {
    value.as_array().unwrap().iter().map(hex).collect()
}

fn rows<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    let rows = vectors[name].as_array().unwrap();
    assert!(rows.len() > 1, "{name}");
    rows
}

#[test]
fn roots_proofs_and_tiles_are_those_of_a_second_implementation() {
    let (vectors, all) = (vectors(), subtrees());
    let read = |node| all.get(&node).copied();
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let made = |spans: Vec<Span>| -> Vec<Sha256> {
        spans.into_iter().map(|span| span.hash(read).unwrap()).collect()
    };
    for row in rows(&vectors, "roots") {
        assert_eq!(head(&all, number(row, "size")).root, hex(&row["root"]), "{row}");
    }
    for row in rows(&vectors, "inclusion") {
        let (index, size) = (number(row, "index"), number(row, "size"));
        let theirs = proof(&row["proof"]);
        assert_eq!(made(tree::inclusion_proof(index, size).unwrap()), theirs, "{row}");
        let hash = tree::leaf_hash(&leaf(index));
        assert!(tree::includes(&head(&all, size), index, hash, &theirs), "{row}");
    }
    for row in rows(&vectors, "consistency") {
        let (old, new) = (number(row, "old"), number(row, "new"));
        let theirs = proof(&row["proof"]);
        assert_eq!(made(tree::consistency_proof(old, new).unwrap()), theirs, "{row}");
        assert!(tree::extends(&head(&all, old), &head(&all, new), &theirs), "{row}");
    }
    let paths = rows(&vectors, "tiles_of_66000").iter().chain(rows(&vectors, "bundles_of_66000"));
    for row in paths {
        let tile = Tile::parse(row["path"].as_str().unwrap()).unwrap();
        assert!(tile.is_in(LEAVES));
        let positions = tile.start()..tile.end();
        let bytes = match tile.content {
            Content::Hashes { level } => {
                let node = |index| Node { height: level * HEIGHT, index };
                positions.flat_map(|index| *all[&node(index)].as_bytes()).collect()
            }
            Content::Entries => bundle(&positions.map(leaf).collect::<Vec<_>>()).unwrap(),
        };
        assert_eq!(Sha256::of(&bytes), hex(&row["sha256"]), "{row}");
    }
}

#[test]
fn keys_signatures_and_cosignatures_are_those_of_a_second_implementation() {
    let vectors = vectors();
    let seed = |name: &str| *hex(&vectors[name]).as_bytes();
    let text = |name: &str| vectors[name].as_str().unwrap().to_owned();
    let log_key = VerifierKey::parse(&text("log_key")).unwrap();
    let witness_key = VerifierKey::parse(&text("witness_key")).unwrap();
    let theirs = text("checkpoint");
    let (checkpoint, note) = Checkpoint::open(theirs.as_bytes(), &log_key).unwrap();
    assert_eq!(checkpoint.tree, head(&subtrees(), 600));
    let time = vectors["witness_time"].as_i64().unwrap();
    assert_eq!(note.verify(&witness_key).unwrap().unix_seconds, Some(time));
    let log = Signer::from_seed(log_key.name(), Signs::Text, &seed("log_seed")).unwrap();
    let witness =
        Signer::from_seed(witness_key.name(), Signs::TextAtTime, &seed("witness_seed")).unwrap();
    let text = checkpoint.to_string();
    let ours =
        Note::new(text.clone(), log.sign(&text, 0)).with_signature(witness.sign(&text, time));
    assert_eq!(ours.to_string(), theirs);
}
