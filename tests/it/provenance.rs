//! Provenance: what holds, and every way in which it does not (SRC-11, rules N9 and P12).
//!
//! No client can make an attestation offline, so ours are made by `support::sigstore` with an
//! authority and logs of its own.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use countersign::app::{App, Clock};
use countersign::config::Config;
use countersign::domain::artifact::Digests;
use countersign::domain::claims::Claims;
use countersign::domain::digest::{Sha256, Sha512};
use countersign::domain::ids::ReleaseId;
use countersign::domain::package::Ecosystem;
use countersign::domain::review::finding::{Finding, Severity, Since};
use countersign::domain::review::provenance::{
    Attested, Before, Broken, Chain, FileProvenance, Link, Standing, judge, missing,
};
use countersign::domain::review::report::Report;
use countersign::pipeline::inspection::{self, Inspecting};
use countersign::pipeline::provenance::{Examined, examine};
use countersign::pipeline::review;
use countersign::provenance::{ATTESTATIONS_MAX, BYTES_MAX, Expected, Form, TrustRoot};
use countersign::store::Store;
use countersign::workers;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::database::on_both;
use crate::support::sigstore::{AttestedRun, SIGNED_AT, Sigstore, pep740, statement};
use crate::support::world::{NPM_NAME, World, npm_document, run, wheel};

const ISSUER: &str = "https://ci.example";
const SUBJECT: &str = "pkg:npm/%40octo/hello-wire@1.0.0";

/// One file, and the run that staged it.
struct Bench {
    sigstore: Sigstore,
    root: TrustRoot,
    digests: Digests,
    claims: Value,
}

impl Bench {
    fn new() -> Self {
        let sigstore = Sigstore::new();
        let root = TrustRoot::from_json(&sigstore.trust_root().to_string()).unwrap();
        Self { sigstore, root, digests: digests(b"a tarball"), claims: github_claims() }
    }

    fn run(&self) -> AttestedRun {
        AttestedRun::of(ISSUER, &self.claims)
    }

    fn statement(&self) -> Value {
        statement(SUBJECT, &json!({ "sha512": self.digests.sha512.unwrap().to_string() }))
    }

    fn bundle(&self) -> Value {
        self.sigstore.attest(&self.run(), &self.statement())
    }

    fn verify(&self, bundle: &Value) -> Result<Attested, Broken> {
        let mut all = self.verify_bytes(Form::Bundle, bundle.to_string().as_bytes());
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn verify_bytes(&self, form: Form, bytes: &[u8]) -> Vec<Result<Attested, Broken>> {
        self.root.verify(form, bytes, Expected { subject: SUBJECT, digests: &self.digests })
    }

    /// The link at which a bundle breaks.
    fn breaks(&self, bundle: &Value) -> Link {
        self.verify(bundle).unwrap_err().link
    }

    /// What is found out about a valid attestation of another run than the one that staged.
    fn judged(&self, run: &AttestedRun) -> (Chain, Vec<Finding>) {
        let attested = self.verify(&self.sigstore.attest(run, &self.statement()));
        assert!(attested.is_ok(), "{attested:?}");
        judge("a.tgz", &attested, &claims(&self.claims))
    }
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        sha256: Sha256::of(bytes),
        sha512: Some(Sha512::from_bytes(sha2::Sha512::digest(bytes).into())),
        sha1: None,
        md5: None,
        blake2b256: None,
    }
}

fn github_claims() -> Value {
    let workflow = "octo/hello-wire/.github/workflows/release.yml@refs/tags/v1.0.0";
    json!({
        "actor": "ines", "actor_id": "1001", "base_ref": "", "head_ref": "",
        "environment": "release", "event_name": "push", "job_workflow_ref": workflow,
        "ref": "refs/tags/v1.0.0", "repository": "octo/hello-wire", "repository_id": "4242",
        "repository_owner": "octo", "repository_owner_id": "77", "run_attempt": "2",
        "run_id": "9001", "sha": "f".repeat(40), "workflow_ref": workflow,
    })
}

fn claims(github: &Value) -> Claims {
    claims_of(&json!({ "github": github }))
}

fn claims_of(provider: &Value) -> Claims {
    serde_json::from_value(json!({
        "audience": "a", "expires_at": SIGNED_AT, "issued_at": SIGNED_AT,
        "verified_at": SIGNED_AT, "jti": "j", "issuer": "0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11",
        "issuer_url": ISSUER, "provider": provider, "subject": "s", "unaccounted": [],
    }))
    .unwrap()
}

fn standings(chain: &Chain) -> Vec<(Link, Standing)> {
    chain.steps.iter().map(|step| (step.link, step.standing)).collect()
}

fn grave(found: &[Finding]) -> Vec<(Severity, String)> {
    found.iter().map(|finding| (finding.severity, finding.evidence.clone())).collect()
}

#[test]
fn a_valid_attestation_tells_file_certificate_log_and_run() {
    let bench = Bench::new();
    let attested = bench.verify(&bench.bundle());
    let facts = attested.clone().unwrap();
    assert_eq!(facts.subject, SUBJECT);
    assert_eq!(facts.predicate_type, "https://slsa.dev/provenance/v1");
    assert_eq!(facts.issuer, ISSUER);
    assert_eq!(
        facts.identity,
        "https://forge.example/octo/hello-wire/.github/workflows/release.yml@refs/tags/v1.0.0"
    );
    assert_eq!(facts.run.commit.as_deref(), Some("f".repeat(40).as_str()));
    assert_eq!((facts.log.as_str(), facts.log_index), ("log.example", 1));
    assert_eq!(facts.logged_at, SIGNED_AT.parse::<Timestamp>().unwrap());

    let (chain, found) = judge("a.tgz", &attested, &claims(&bench.claims));
    assert_eq!(found, []);
    assert!(chain.holds());
    assert_eq!(standings(&chain), Link::ALL.map(|link| (link, Standing::Holds)));
}

#[test]
fn an_attestation_is_about_this_file_by_name_and_by_every_digest() {
    let bench = Bench::new();
    let attest = |statement: &Value| bench.sigstore.attest(&bench.run(), statement);
    let sha512 = bench.digests.sha512.unwrap().to_string();
    let other = digests(b"another tarball");
    let other_sha512 = other.sha512.unwrap().to_string();

    let wrong = [
        attest(&statement(SUBJECT, &json!({ "sha512": other_sha512 }))),
        attest(&statement(SUBJECT, &json!({ "sha256": other.sha256.to_string() }))),
        attest(&statement("pkg:npm/%40octo/hello-wire@1.0.1", &json!({ "sha512": sha512 }))),
        attest(&statement("pkg:npm/hello-wire@1.0.0", &json!({ "sha512": sha512 }))),
        // Right by the strongest digest and wrong by the other.
        attest(&statement(
            SUBJECT,
            &json!({ "sha512": sha512, "sha256": other.sha256.to_string() }),
        )),
        attest(&statement(SUBJECT, &json!({ "md5": "0" }))),
    ];
    for bundle in &wrong {
        assert_eq!(bench.breaks(bundle), Link::Subject);
    }
    let mut two = bench.statement();
    let subject = two["subject"][0].clone();
    two["subject"].as_array_mut().unwrap().push(subject);
    assert_eq!(bench.breaks(&attest(&two)), Link::Subject);

    let by_sha256 = statement(SUBJECT, &json!({ "sha256": bench.digests.sha256.to_string() }));
    assert!(bench.verify(&attest(&by_sha256)).is_ok());
}

/// Whose word counts: the authority and the logs of the trust root, and nobody else's.
#[test]
fn an_attestation_certified_or_logged_by_somebody_else_does_not_hold() {
    let bench = Bench::new();
    let other = Sigstore::new();
    let (run, statement) = (bench.run(), bench.statement());

    let mut attesting = bench.sigstore.attesting(&run, &statement);
    attesting.authority = &other;
    assert_eq!(bench.breaks(&attesting.bundle()), Link::Certificate);

    let mut attesting = bench.sigstore.attesting(&run, &statement);
    attesting.certificate_log = &other;
    let broken = bench.verify(&attesting.bundle()).unwrap_err();
    assert_eq!(broken.link, Link::Certificate);
    assert!(broken.words.contains("certificate timestamp"), "{broken}");

    let mut attesting = bench.sigstore.attesting(&run, &statement);
    attesting.log = &other;
    assert_eq!(bench.breaks(&attesting.bundle()), Link::Log);
}

#[test]
fn a_certificate_counts_while_it_is_valid() {
    let bench = Bench::new();
    let (run, statement) = (bench.run(), bench.statement());
    for late in [SignedDuration::from_mins(11), SignedDuration::from_mins(-1)] {
        let mut attesting = bench.sigstore.attesting(&run, &statement);
        attesting.logged_at = attesting.certified_at + late;
        assert_eq!(bench.breaks(&attesting.bundle()), Link::Certificate);
    }
    // A time that nobody can have seen yet.
    let mut attesting = bench.sigstore.attesting(&run, &statement);
    attesting.certified_at = "2999-01-01T00:00:00Z".parse().unwrap();
    attesting.logged_at = attesting.certified_at + SignedDuration::from_mins(1);
    assert_eq!(bench.breaks(&attesting.bundle()), Link::Log);
}

#[test]
fn what_the_log_says_is_proved() {
    let bench = Bench::new();
    let entry = "/verificationMaterial/tlogEntries/0";
    let changed = |pointer: &str, value: Value| {
        let mut bundle = bench.bundle();
        *bundle.pointer_mut(&format!("{entry}{pointer}")).unwrap() = value;
        bundle
    };
    let without = |member: &str| {
        let mut bundle = bench.bundle();
        bundle.pointer_mut(entry).unwrap().as_object_mut().unwrap().remove(member).unwrap();
        bundle
    };
    let hash = |text: &str| json!(B64.encode(Sha256::of(text.as_bytes()).as_bytes()));
    for bundle in [
        without("inclusionProof"),
        // Without it nobody vouches for the time.
        without("inclusionPromise"),
        changed("/integratedTime", json!("1768478401")),
        changed("/logIndex", json!("2")),
        changed("/inclusionProof/hashes/0", hash("another first entry")),
        changed("/inclusionProof/logIndex", json!("0")),
        changed("/inclusionPromise/signedEntryTimestamp", hash("no signature")),
    ] {
        assert_eq!(bench.breaks(&bundle), Link::Log);
    }
    // Of another bundle, whose certificate and signature it is about.
    let foreign = bench.bundle().pointer(entry).unwrap().clone();
    assert!(bench.verify(&changed("", foreign)).is_err());

    let mut bundle = bench.bundle();
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(bench.breaks(&bundle), Link::Log);
    let mut bundle = bench.bundle();
    let entries = bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
    entries.push(entries[0].clone());
    assert_eq!(bench.breaks(&bundle), Link::Log);
}

/// Entries of the newer kind have no time of their own: a timestamp authority of the trust root says
/// when the signature was made.
#[test]
fn an_entry_without_a_time_needs_a_timestamp() {
    let bench = Bench::new();
    let other = Sigstore::new();
    let (run, statement) = (bench.run(), bench.statement());
    let mut attesting = bench.sigstore.attesting(&run, &statement);
    attesting.stamped_by = Some(&bench.sigstore);
    let bundle = attesting.bundle();
    let attested = bench.verify(&bundle).unwrap();
    assert_eq!(attested.logged_at, SIGNED_AT.parse::<Timestamp>().unwrap());
    assert_eq!(attested.subject, SUBJECT);

    let stamps = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
    let mut none = bundle.clone();
    *none.pointer_mut(stamps).unwrap() = json!([]);
    let mut many = bundle.clone();
    let stamp = bundle.pointer(stamps).unwrap()[0].clone();
    *many.pointer_mut(stamps).unwrap() = json!(vec![stamp; 5]);
    // Of another signature.
    let mut foreign = bundle;
    *foreign.pointer_mut(stamps).unwrap() = attesting.bundle().pointer(stamps).unwrap().clone();
    attesting.stamped_by = Some(&other);
    for wrong in [none, many, foreign, attesting.bundle()] {
        let broken = bench.verify(&wrong).unwrap_err();
        assert_eq!(broken.link, Link::Log);
        assert!(broken.words.contains("timestamp"), "{broken}");
    }
    attesting.stamped_by = Some(&bench.sigstore);
    attesting.logged_at = attesting.certified_at + SignedDuration::from_mins(11);
    assert_eq!(bench.breaks(&attesting.bundle()), Link::Certificate);
    attesting.logged_at = SIGNED_AT.parse().unwrap();
    attesting.log = &other;
    assert_eq!(bench.breaks(&attesting.bundle()), Link::Log);
}

#[test]
fn what_was_signed_is_what_was_sent() {
    let bench = Bench::new();
    let mut bundle = bench.bundle();
    let mut forged = bench.statement();
    forged["predicate"] = json!({ "buildDefinition": { "externalParameters": "others" } });
    bundle["dsseEnvelope"]["payload"] = json!(B64.encode(forged.to_string()));
    assert_eq!(bench.breaks(&bundle), Link::Certificate);

    let other = bench.bundle();
    let mut bundle = bench.bundle();
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"].clone();
    assert_eq!(bench.breaks(&bundle), Link::Certificate);
    let mut bundle = bench.bundle();
    bundle["dsseEnvelope"]["signatures"] = json!([]);
    assert_eq!(bench.breaks(&bundle), Link::Subject);

    // A member twice is read by some as the first and by others as the last.
    let twice = bench.statement().to_string().replacen('{', r#"{"predicateType":"x","#, 1);
    let (run, statement) = (bench.run(), bench.statement());
    let mut attesting = bench.sigstore.attesting(&run, &statement);
    attesting.statement = twice.into_bytes();
    let broken = bench.verify(&attesting.bundle()).unwrap_err();
    assert_eq!(broken.link, Link::Subject);
    assert!(broken.words.contains("twice"), "{broken}");
}

#[test]
fn attachments_are_bounded_and_garbage_is_said_to_be_garbage() {
    let bench = Bench::new();
    let mut large = bench.bundle();
    large["padding"] = json!("x".repeat(10 << 20));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nothing = [b"".to_vec(), b"{}".to_vec(), b"[]".to_vec(), b"null".to_vec(), vec![0xff; 64]];
    let garbage = [large.to_string().into_bytes(), deep.into_bytes()];
    for bytes in garbage.iter().chain(&nothing) {
        for form in [Form::Bundle, Form::Pep740] {
            let answers = bench.verify_bytes(form, bytes);
            let [Err(broken)] = answers.as_slice() else { panic!("{answers:?}") };
            assert_eq!(broken.link, Link::Subject);
        }
    }
    let answer = bench.verify_bytes(Form::Bundle, &garbage[0]).remove(0).unwrap_err();
    assert!(answer.words.contains(&BYTES_MAX.to_string()), "{answer}");

    // Every prefix and every changed byte of a valid one: no panic, and never anything else.
    let valid = bench.bundle().to_string().into_bytes();
    for end in (0..valid.len()).step_by(97) {
        assert!(bench.verify_bytes(Form::Bundle, &valid[..end])[0].is_err());
    }
    let facts = bench.verify_bytes(Form::Bundle, &valid).remove(0).unwrap();
    for at in (0..valid.len()).step_by(31) {
        let mut bytes = valid.clone();
        bytes[at] ^= 1;
        if let Ok(changed) = &bench.verify_bytes(Form::Bundle, &bytes)[0] {
            assert_eq!(*changed, facts, "byte {at} changed what was attested");
        }
    }
}

/// PEP 740: a list, of which each is judged by itself.
#[test]
fn python_attestations_are_judged_one_by_one() {
    let bench = Bench::new();
    let attestation = pep740(&bench.bundle());
    let verify = |list: &Value| bench.verify_bytes(Form::Pep740, list.to_string().as_bytes());
    assert!(verify(&json!([attestation]))[0].is_ok());

    let mut forged = attestation.clone();
    forged["envelope"]["statement"] = json!(B64.encode(b"{}"));
    let answers = verify(&json!([attestation, forged, {}, 1]));
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, false]);

    let too_many = vec![attestation.clone(); ATTESTATIONS_MAX + 1];
    assert!(matches!(verify(&json!(too_many)).as_slice(), [Err(_)]));
    for (pointer, value) in [
        ("/version", json!(2)),
        ("/envelope/statement", json!("no base64!")),
        ("/verification_material/certificate", json!(7)),
        ("/verification_material/transparency_entries", json!([])),
    ] {
        let mut wrong = attestation.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(matches!(verify(&json!([wrong])).as_slice(), [Err(_)]), "{pointer}");
    }
    // The one form is not taken for the other.
    assert!(bench.verify(&attestation).is_err());
    assert!(verify(&json!([bench.bundle()]))[0].is_err());
}

/// SRC-11: a valid attestation of another run blocks.
#[test]
fn an_attestation_of_another_run_blocks_and_says_what_differs() {
    let bench = Bench::new();
    let repository = bench.run().with(15, "4343");
    let (chain, found) = bench.judged(&repository);
    assert_eq!(
        grave(&found),
        [(
            Severity::Block,
            "repository: attested https://forge.example/octo/hello-wire (id 4343), staged by octo/hello-wire (id 4242)"
                .to_owned()
        )]
    );
    assert_eq!(chain.steps[4].standing, Standing::Broken);
    assert_eq!(chain.steps[3].standing, Standing::Holds);

    let commit = "e".repeat(40);
    let mut other_workflow = bench.run().with(
        18,
        "https://forge.example/octo/hello-wire/.github/workflows/nightly.yml@refs/tags/v1.0.0",
    );
    other_workflow.identity =
        "https://forge.example/octo/hello-wire/.github/workflows/nightly.yml@refs/tags/v1.0.0"
            .to_owned();
    for (run, about) in [
        (bench.run().with(13, &commit), "commit: attested eeee"),
        (bench.run().without(13), "commit: attested (absent)"),
        (bench.run().with(14, "refs/heads/main"), "ref: attested refs/heads/main"),
        (bench.run().with(8, "https://others.example"), "issuer: attested https://others.example"),
        (other_workflow, "workflow: attested "),
    ] {
        let (chain, found) = bench.judged(&run);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].check.id, "SRC-11");
        assert_eq!(found[0].severity, Severity::Block);
        assert_eq!(found[0].file.as_deref(), Some("a.tgz"));
        assert!(found[0].evidence.starts_with(about), "{}", found[0].evidence);
        assert!(!chain.holds());
    }

    // Of a person: nothing that the claims name is in the certificate.
    let mut person = bench.run();
    person.extensions.retain(|(number, _)| *number == 8);
    let (chain, found) = bench.judged(&person);
    assert!(!found.is_empty() && !chain.holds());
    assert_eq!(chain.steps[3].standing, Standing::NotChecked);
}

/// The same repository and commit, and yet not quite the staged job: to be looked at.
#[test]
fn another_run_or_a_called_workflow_at_the_same_commit_is_looked_at() {
    let bench = Bench::new();
    let at = |path: &str| format!("https://forge.example/octo/hello-wire/{path}");
    let first = bench.run().with(21, &at("actions/runs/9001/attempts/1"));
    assert_eq!(bench.judged(&first).1, [], "an earlier attempt of the same run");

    let rebuilt = bench.run().with(21, &at("actions/runs/90010/attempts/1"));
    let mut called = bench.run();
    called.identity =
        "https://forge.example/octo/build/.github/workflows/build.yml@refs/tags/v3".into();
    for (run, about) in [(rebuilt, "run: attested "), (called, "workflow: attested ")] {
        let (chain, found) = bench.judged(&run);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].severity, Severity::Look);
        assert!(found[0].evidence.starts_with(about));
        assert!(chain.holds());
        assert!(chain.steps[4].words.contains(about), "{:?}", chain.steps[4]);
    }
}

#[test]
fn a_gitlab_pipeline_is_compared_by_its_own_claims() {
    let bench = Bench::new();
    let definition = "gitlab.example/octo/hello-wire//.gitlab-ci.yml@refs/tags/v1.0.0";
    let gitlab = json!({ "gitlab": {
        "ci_config_ref_uri": definition, "namespace_id": "7", "namespace_path": "octo",
        "job_id": "12", "pipeline_id": "5", "pipeline_source": "push", "project_id": "4242",
        "project_path": "octo/hello-wire", "ref_path": "refs/tags/v1.0.0",
        "sha": "f".repeat(40), "user_id": "1", "user_login": "ines",
    } });
    let mut run = bench.run().with(21, "https://gitlab.example/octo/hello-wire/-/jobs/12");
    run.identity = format!("https://{definition}");
    let judged = |run: &AttestedRun| {
        let attested = bench.verify(&bench.sigstore.attest(run, &bench.statement()));
        judge("a.tgz", &attested, &claims_of(&gitlab))
    };
    let (chain, found) = judged(&run);
    assert_eq!(found, []);
    assert_eq!(chain.steps[4].standing, Standing::Holds);

    let job = run.clone().with(21, "https://gitlab.example/octo/hello-wire/-/jobs/11");
    assert_eq!(judged(&job).1[0].severity, Severity::Look);
    let mut definition = run.clone();
    definition.identity.push('x');
    for wrong in [run.with(15, "1"), definition] {
        let found = judged(&wrong).1;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Block);
    }
}

#[test]
fn claims_that_name_nothing_to_compare_are_said_to_be_not_compared() {
    let bench = Bench::new();
    let attested = bench.verify(&bench.bundle());
    let (chain, found) = judge("a.tgz", &attested, &claims_of(&json!({ "generic": {} })));
    assert_eq!(found, []);
    assert_eq!(chain.steps[4].standing, Standing::NotChecked);

    let foreign =
        bench.sigstore.attest(&bench.run().with(8, "https://x.example"), &bench.statement());
    let (chain, found) =
        judge("a.tgz", &bench.verify(&foreign), &claims_of(&json!({ "generic": {} })));
    assert_eq!(found[0].severity, Severity::Block);
    assert!(!chain.holds());
}

#[test]
fn one_broken_link_leaves_the_others_unchecked() {
    let bench = Bench::new();
    let broken = Err(Broken { link: Link::Log, words: "no proof".to_owned() });
    let (chain, found) = judge("a.tgz", &broken, &claims(&bench.claims));
    assert_eq!(grave(&found), [(Severity::Block, "log: no proof".to_owned())]);
    for step in &chain.steps {
        let expected = if step.link == Link::Log { Standing::Broken } else { Standing::NotChecked };
        assert_eq!(step.standing, expected);
    }
}

/// E20 and Q2: a loss blocks where the registry would have taken provenance.
#[test]
fn losing_provenance_against_the_baseline_is_found() {
    let some = || vec![Chain::not_checked("a test")];
    let file = |name: &str, chains| FileProvenance { name: name.to_owned(), chains };
    let severities = |files: &[FileProvenance], before, ecosystem| {
        let found = missing(files, before, ecosystem);
        found.iter().map(|found| (found.severity, found.file.clone())).collect::<Vec<_>>()
    };
    let none = [file("a", vec![]), file("b", vec![])];
    assert_eq!(severities(&none, Before::Had, Ecosystem::Npm), [(Severity::Block, None)]);
    assert_eq!(severities(&none, Before::Had, Ecosystem::Pypi), [(Severity::Note, None)]);
    for before in [Before::FirstRelease, Before::Unknown, Before::HadNone] {
        assert_eq!(missing(&none, before, Ecosystem::Npm), []);
    }
    for before in [Before::Had, Before::HadNone] {
        let both = [file("a", some()), file("b", some())];
        assert_eq!(missing(&both, before, Ecosystem::Pypi), []);
        let one = [file("a", some()), file("b", vec![])];
        let uneven = [(Severity::Look, Some("b".to_owned()))];
        assert_eq!(severities(&one, before, Ecosystem::Pypi), uneven);
    }
}

#[test]
fn a_trust_root_that_could_verify_nothing_is_refused() {
    let whole = Sigstore::new().trust_root();
    assert!(TrustRoot::from_json(&whole.to_string()).is_ok());
    for member in ["tlogs", "certificateAuthorities", "ctlogs"] {
        let mut root = whole.clone();
        root[member] = json!([]);
        assert!(TrustRoot::from_json(&root.to_string()).is_err(), "{member}");
    }
    let mut root = whole.clone();
    root["tlogs"][0]["publicKey"]["rawBytes"] = json!(B64.encode(b"no key"));
    assert!(TrustRoot::from_json(&root.to_string()).is_err());
    for text in ["", "{}", "[]"] {
        assert!(TrustRoot::from_json(text).is_err());
    }
}

/// The file is read at start; one with which nothing could be verified is not passed over.
#[tokio::test]
async fn a_gateway_does_not_start_on_a_trust_root_that_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |root: &str| {
        std::fs::write(folder.path().join("trusted_root.json"), root).unwrap();
        let file = folder.path().join("countersign.toml");
        let text = "origin = \"http://localhost:1\"\nprovenance_root = \"trusted_root.json\"\n\
                    listen = [{ address = \"127.0.0.1:1\" }]";
        std::fs::write(&file, text).unwrap();
        App::open(Config::read(&file).unwrap(), Clock::default()).await
    };
    let root = Sigstore::new().trust_root().to_string();
    let opened = open(&root).await.unwrap();
    assert_eq!(opened.app.trust_root.as_ref().unwrap().sha256(), Sha256::of(root.as_bytes()));
    drop(opened);
    let refused = open("{}").await.unwrap_err();
    assert!(refused.to_string().contains("provenance_root"), "{refused}");
}

async fn examined(world: &World, release: ReleaseId, root: Option<&Arc<TrustRoot>>) -> Examined {
    let record = world.record(release).await;
    examine(world.store(), &record, root.cloned(), Before::Had).await.unwrap()
}

/// What a gateway with this trust root reports about a release.
async fn reported(world: &World, release: ReleaseId, root: &Arc<TrustRoot>) -> Report {
    let mut tx = world.store().begin().await.unwrap();
    tx.queue_inspection(release, world.now()).await.unwrap();
    tx.commit().await.unwrap();
    let at = Inspecting { trust_root: Some(root), ..workers::inspecting(&world.site.app) };
    assert!(inspection::run_next(at, world.now()).await.unwrap());
    let ines = world.person("Ines Duarte").await;
    review::release(world.store(), release, ines, world.now()).await.unwrap().report.unwrap()
}

/// The run as an authority would have certified it for the token that staged a release.
async fn attested_run(world: &World, version: &str) -> AttestedRun {
    let probe = world.stage_npm(run(1), &npm_document(version, b"probe")).await.unwrap().release;
    let claims: Value = serde_json::from_str(&world.record(probe).await.claims).unwrap();
    AttestedRun::of(claims["issuer_url"].as_str().unwrap(), &claims["provider"]["github"])
}

/// The tarball in a publish document.
fn tarball(document: &Value, version: &str) -> Vec<u8> {
    let data = &document["_attachments"][format!("{NPM_NAME}-{version}.tgz")]["data"];
    B64.decode(data.as_str().unwrap()).unwrap()
}

/// A publish document with provenance, as `npm publish --provenance` sends it.
fn attested_document(sigstore: &Sigstore, certified: &AttestedRun, version: &str) -> Value {
    let mut document = npm_document(version, b"x = 1");
    let sha512 = digests(&tarball(&document, version)).sha512.unwrap().to_string();
    let subject = format!("pkg:npm/%40octo/hello-wire@{version}");
    let bundle = sigstore.attest(certified, &statement(&subject, &json!({ "sha512": sha512 })));
    let bundle = bundle.to_string();
    document["_attachments"][format!("{NPM_NAME}-{version}.sigstore")] = json!({
        "content_type": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "data": bundle, "length": bundle.len(),
    });
    document
}

/// SRC-11: the listing says whether people run a version with provenance, and what this gateway
/// sent had it when CI attached it, although the registry does not show that (Q2).
#[tokio::test]
async fn provenance_that_people_run_today_is_missed_in_a_release_without() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let sigstore = Sigstore::new();
        let root = Arc::new(TrustRoot::from_json(&sigstore.trust_root().to_string()).unwrap());
        let said = async |release: ReleaseId| -> Vec<(Severity, Since)> {
            let report = reported(&world, release, &root).await;
            let unknown = report.not_checked.iter().any(|it| it.contains("has provenance is not"));
            assert!(!unknown, "{:?}", report.not_checked);
            let of = report.findings.iter().filter(|finding| finding.check == "SRC-11");
            of.map(|finding| (finding.severity, finding.since)).collect()
        };
        let before = tarball(&npm_document("0.8.0", b"x = 1"), "0.8.0");
        world.npm.hold(NPM_NAME, "0.8.0", &before);
        let bare = world.stage_npm(run(3), &npm_document("1.1.0", b"x = 1")).await.unwrap().release;
        assert_eq!(said(bare).await, []);
        world.npm.change(NPM_NAME, |packument| {
            let dist = &mut packument["versions"]["0.8.0"]["dist"];
            dist["attestations"] = json!({ "url": "x", "provenance": { "predicateType": "y" } });
        });
        assert_eq!(said(bare).await, [(Severity::Block, Since::New)]);

        let certified = attested_run(&world, "0.9.0").await;
        let document = attested_document(&sigstore, &certified, "1.0.0");
        let sent = world.stage_npm(run(1), &document).await.unwrap().release;
        world.approve(sent).await;
        world.forward_to_the_end(sent).await;
        let listed = world.npm.manifest(NPM_NAME, "1.0.0").unwrap();
        assert!(listed["dist"].get("attestations").is_none(), "{listed}");
        assert_eq!(said(bare).await, [(Severity::Block, Since::New)]);
    })
    .await;
}

/// Rules N9 and P12: what CI attached to a staged release is verified against the run's token.
#[tokio::test]
async fn attachments_of_a_release_are_examined() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let sigstore = Sigstore::new();
        let root = Arc::new(TrustRoot::from_json(&sigstore.trust_root().to_string()).unwrap());
        let certified = attested_run(&world, "0.9.0").await;

        let document = attested_document(&sigstore, &certified, "1.0.0");
        let npm = world.stage_npm(run(1), &document).await.unwrap().release;
        let all = examined(&world, npm, Some(&root)).await;
        assert_eq!((all.findings, all.not_checked), (vec![], vec![]));
        assert_eq!(all.provenance.trust_root, Some(root.sha256()));
        assert!(all.provenance.files[0].chains[0].holds());
        assert_eq!(all.provenance.files[0].chains[0].steps.len(), 5);
        let report = reported(&world, npm, &root).await;
        assert_eq!(report.provenance, all.provenance, "it is part of what people sign");

        let unverified = examined(&world, npm, None).await;
        assert_eq!(unverified.findings, []);
        assert_eq!(
            unverified.not_checked,
            ["Provenance was not verified: no trust root is configured."]
        );
        let steps = &unverified.provenance.files[0].chains[0].steps;
        assert!(steps.iter().all(|step| step.standing == Standing::NotChecked));

        // Another run of the same bytes, and no provenance where the last version had it.
        let none = world.stage_npm(run(2), &npm_document("1.0.1", b"x = 1")).await.unwrap().release;
        let found = examined(&world, none, Some(&root)).await.findings;
        assert_eq!(grave(&found), [(Severity::Block, String::new())]);
    })
    .await;
}

/// Rule P12, row P33.
#[tokio::test]
async fn python_attestations_of_a_release_are_examined() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let sigstore = Sigstore::new();
        let root = Arc::new(TrustRoot::from_json(&sigstore.trust_root().to_string()).unwrap());
        let certified = attested_run(&world, "0.9.0").await;
        for (version, digest_of, holds) in [("1.0.0", None, true), ("1.1.0", Some("other"), false)]
        {
            let mut file = wheel(version, "py3", &[]);
            let bytes = digest_of.map_or(file.bytes.as_slice(), str::as_bytes);
            let digest = json!({ "sha256": Sha256::of(bytes).to_string() });
            let attested = sigstore.attest(&certified, &statement(&file.name, &digest));
            let list = json!([pep740(&attested), pep740(&attested)]).to_string();
            file.fields.push(("attestations".to_owned(), list));
            let release = world.stage_python(run(1), &file).await.unwrap().release;
            let all = examined(&world, release, Some(&root)).await;
            assert_eq!(all.provenance.files[0].chains.len(), 2);
            assert!(all.provenance.files[0].chains.iter().all(|chain| chain.holds() == holds));
            let blocks = all.findings.iter().filter(|f| f.severity == Severity::Block).count();
            assert_eq!(blocks, if holds { 0 } else { 2 });
        }
    })
    .await;
}
