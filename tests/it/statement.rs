//! The published test vectors of manifest, statement and challenge, recomputed by the product.
//!
//! `docs/statement-vectors.json` was made by another program in another language, so that a change
//! of an encoding is noticed here and not by an auditor (Q13).

use std::path::Path;

use countersign::domain::assertion::{Intent, Nonce, Purpose, challenge};
use countersign::domain::digest::Sha256;
use countersign::domain::ids::PersonId;
use countersign::domain::manifest::SealedManifest;
use countersign::domain::policy::Policy;
use countersign::domain::quorum::Verdict;
use countersign::domain::review::report::Override;
use countersign::domain::roster::Roster;
use countersign::domain::statement::{Circumstances, Statement, Terms};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    manifest: String,
    manifest_sha256: Sha256,
    report_sha256: Option<Sha256>,
    policy: String,
    policy_sha256: Sha256,
    roster: String,
    roster_sha256: Sha256,
    origin: String,
    person: PersonId,
    decision: Verdict,
    looked_at: Vec<String>,
    overrides: Vec<Override>,
    reason: Option<String>,
    no_author: bool,
    not_before: Option<jiff::Timestamp>,
    embargo: bool,
    not_after: jiff::Timestamp,
    statement: String,
    statement_sha256: Sha256,
    tag: String,
    nonce: Sha256,
    challenge: Sha256,
}

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_str(&document("statement-vectors.json")).unwrap();
    assert!(vectors.len() >= 3);
    vectors
}

/// Invariant I1, rule A1.
#[test]
fn a_manifest_encodes_to_the_published_bytes() {
    for vector in vectors() {
        let sealed = SealedManifest::from_bytes(vector.manifest.clone().into_bytes()).unwrap();
        assert_eq!(sealed.digest(), vector.manifest_sha256, "{}", vector.name);
        let mut backwards = sealed.manifest().clone();
        backwards.files.reverse();
        let again = String::from_utf8(backwards.seal().bytes().to_vec()).unwrap();
        assert_eq!(again, vector.manifest, "{}", vector.name);
    }
}

/// Rule W5, ruling Q13.
#[test]
fn a_statement_and_its_challenge_are_the_published_ones() {
    for vector in vectors() {
        let manifest = SealedManifest::from_bytes(vector.manifest.into_bytes()).unwrap();
        let policy = Policy::from_bytes(vector.policy.as_bytes()).unwrap();
        let roster: Roster = serde_json::from_str(&vector.roster).unwrap();
        assert_eq!(policy.digest(), vector.policy_sha256, "{}", vector.name);
        assert_eq!(roster.digest(), vector.roster_sha256, "{}", vector.name);
        let at = Circumstances {
            origin: &vector.origin,
            manifest: &manifest,
            report: vector.report_sha256,
            policy: &policy,
            roster: &roster,
            not_after: vector.not_after,
        };
        let terms = Terms {
            looked_at: vector.looked_at,
            overrides: vector.overrides,
            reason: vector.reason,
            no_author: vector.no_author,
            not_before: vector.not_before,
            embargo: vector.embargo,
        };
        let statement = Statement::new(at, vector.person, vector.decision, terms);
        let bytes = statement.to_bytes();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), vector.statement, "{}", vector.name);
        assert_eq!(Sha256::of(&bytes), vector.statement_sha256, "{}", vector.name);
        assert_eq!(Statement::from_bytes(&bytes), Some(statement), "{}", vector.name);

        let purpose = match vector.decision {
            Verdict::Approve => Purpose::Approve,
            Verdict::Reject => Purpose::Reject,
        };
        assert_eq!(purpose.tag(), vector.tag, "{}", vector.name);
        let intent = Intent { purpose, statement: vector.statement_sha256 };
        let made = challenge(&intent, &Nonce::from_bytes(*vector.nonce.as_bytes()));
        assert_eq!(made, *vector.challenge.as_bytes(), "{}", vector.name);
    }
}

/// Rule W5: the challenge commits to every byte that is shown.
#[test]
fn every_character_of_a_statement_changes_its_challenge() {
    let vector = vectors().swap_remove(0);
    let nonce = Nonce::from_bytes(*vector.nonce.as_bytes());
    for (at, _) in vector.statement.bytes().enumerate() {
        let mut changed = vector.statement.clone().into_bytes();
        changed[at] ^= 1;
        let intent = Intent { purpose: Purpose::Approve, statement: Sha256::of(&changed) };
        assert_ne!(challenge(&intent, &nonce), *vector.challenge.as_bytes(), "byte {at}");
    }
}

#[test]
fn the_page_explains_every_field_of_manifest_and_statement() {
    let page = document("statement.md");
    for vector in vectors() {
        for text in [&vector.manifest, &vector.statement] {
            let mut names = Vec::new();
            member_names(&serde_json::from_str(text).unwrap(), &mut names);
            for name in names {
                assert!(page.contains(&format!("`{name}`")), "docs/statement.md lacks `{name}`");
            }
        }
    }
}

fn member_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                names.push(name.clone());
                member_names(member, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| member_names(item, names)),
        _ => {}
    }
}
