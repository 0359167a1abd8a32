//! CI tokens, honest and not, against a real issuer on loopback.
//!
//! Rows T01 to T42 and J01 to J12 are those of the bad-input catalogue. Not here: T38 and T42
//! (uploads and HTTP, where those live) and T40 and T41 (providers without a preset). J04's
//! addresses are tested beside the filter in `domain::address`, J05 beside the resolver.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::domain::claims::{
    Claims, GITHUB_CLAIMS, GITLAB_CLAIMS, LEEWAY, Provider, REPLAY_MARGIN, TOKEN_CLAIMS, Treatment,
};
use countersign::domain::ids::{IssuerId, PublisherId};
use countersign::domain::issuer::{Algorithm, Issuer, IssuerConfig, Preset};
use countersign::domain::publisher::comparison::{ClaimMismatch, Matched, Note};
use countersign::domain::publisher::github::GitHubConfig;
use countersign::domain::publisher::{Publisher, PublisherConfig, select};
use countersign::oidc::jwks::{FETCH_COOLDOWN, KEYS_STALE_MAX, KEYS_TTL, KeysError};
use countersign::oidc::{TokenRefusal, Unverified, Verifier, token_fingerprint};
use countersign::outbound::{FetchError, HttpSettings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::issuer::{Answer, Key, TestIssuer};

/// What a rule says to a token: notes, or the first claim that differs.
type Outcome = Result<Vec<Note>, &'static str>;
/// Claims to replace; `null` removes one.
type Changes = Vec<(&'static str, Value)>;

const AUDIENCE: &str = "gate.example";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn verifier() -> Verifier {
    let settings = HttpSettings {
        connect_timeout: Duration::from_millis(500),
        timeout: Duration::from_millis(1500),
        extra_roots: Vec::new(),
    };
    Verifier::new(&settings).unwrap()
}

/// An issuer, a configured GitHub row for it that accepts RS256 only, and a verifier without keys.
struct Bench {
    server: TestIssuer,
    issuer: Issuer,
    verifier: Verifier,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Preset::GitHub, &[Algorithm::Rs256]).await
    }

    async fn with(preset: Preset, algorithms: &[Algorithm]) -> Self {
        let server = TestIssuer::start().await;
        let issuer = server.configured(preset, algorithms);
        Self { server, issuer, verifier: verifier() }
    }

    fn claims(&self) -> Value {
        self.server.github_claims(AUDIENCE, now())
    }

    async fn verify(&self, token: &str) -> Result<Claims, TokenRefusal> {
        self.verify_at(token, now()).await
    }

    async fn verify_at(&self, token: &str, now: Timestamp) -> Result<Claims, TokenRefusal> {
        self.verifier.verify(token, std::slice::from_ref(&self.issuer), &[AUDIENCE], now).await
    }

    /// A token with the ordinary claims except for these; `null` removes one.
    fn token(&self, changes: &[(&str, Value)]) -> String {
        self.server.rsa.mint(&changed(self.claims(), changes))
    }

    async fn judge(&self, rule: &GitHubConfig, token: &str) -> Verdict {
        match self.verify(token).await {
            Err(TokenRefusal::Unverified(_)) => Verdict::Unverified,
            Err(TokenRefusal::Claim(error)) => Verdict::Claim(error.claim),
            Ok(claims) => match publisher(rule, self.issuer.id()).check(&claims) {
                Ok(matched) => Verdict::Matched(matched.notes().to_vec()),
                Err(ClaimMismatch::Different(table)) => {
                    Verdict::Mismatch(ClaimMismatch::Different(table).claim().to_owned())
                }
                Err(ClaimMismatch::Resurrection(_)) => Verdict::Alarm,
            },
        }
    }

    fn fetches(&self) -> (usize, usize) {
        (self.server.discovery_count(), self.server.keys_count())
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Unverified,
    Claim(String),
    Mismatch(String),
    Alarm,
    Matched(Vec<Note>),
}

fn changed(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes {
        if value.is_null() {
            members.remove(*name);
        } else {
            members.insert((*name).to_owned(), value.clone());
        }
    }
    claims
}

fn rule() -> GitHubConfig {
    serde_json::from_value(json!({
        "repository": "octo/hello-wire", "repository_id": "4242", "repository_owner_id": "77",
        "workflow": ".github/workflows/release.yml", "environment": "release",
        "ref": "refs/tags/v*",
    }))
    .unwrap()
}

fn publisher(rule: &GitHubConfig, issuer: IssuerId) -> Publisher {
    let config = PublisherConfig {
        name: "Release workflow".to_owned(),
        issuer: "ci".to_owned(),
        packages: Vec::new(),
        github: Some(rule.clone()),
        gitlab: None,
        claims: None,
    };
    let id = PublisherId::from_uuid(uuid::Uuid::from_u128(1));
    let rule = config.rule().unwrap();
    Publisher::parse(id, &config.name, issuer, rule, [].into()).unwrap()
}

fn reason(outcome: Result<Claims, TokenRefusal>) -> Unverified {
    match outcome {
        Err(TokenRefusal::Unverified(reason)) => reason,
        other => panic!("expected an unverified token, received {other:?}"),
    }
}

fn keys_error(outcome: Result<Claims, TokenRefusal>) -> KeysError {
    match reason(outcome) {
        Unverified::KeysUnavailable(error) => error,
        other => panic!("expected no keys, received {other:?}"),
    }
}

#[tokio::test]
async fn an_honest_token_becomes_claims_that_match_their_publisher() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let bench = Bench::with(Preset::GitHub, &[algorithm]).await;
        let key = match algorithm {
            Algorithm::Rs256 => &bench.server.rsa,
            Algorithm::Es256 => &bench.server.es256,
        };
        let claims = bench.verify(&key.mint(&bench.claims())).await.unwrap();
        assert_eq!(claims.issuer(), bench.issuer.id());
        assert_eq!(claims.audience(), AUDIENCE);
        assert_eq!(claims.commit(), Some("f".repeat(40).as_str()));
        assert_eq!(claims.run().run, "9001");
        let actor = claims.actor().unwrap();
        assert_eq!((actor.id.as_str(), actor.name.as_str()), ("1001", "ines"));
        let Provider::GitHub(github) = claims.provider() else { panic!("{claims:?}") };
        assert_eq!(github.repository_visibility.as_deref(), Some("private"));
        assert!(claims.unaccounted().is_empty(), "{:?}", claims.unaccounted());

        let publishers = [publisher(&rule(), bench.issuer.id())];
        let (found, matched) = select(&publishers, &claims).unwrap();
        assert_eq!(found.id(), matched.publisher());
        assert_eq!(matched.notes(), []);

        let stored = claims.to_canonical_json().unwrap();
        let read: Claims = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, claims);
        assert_eq!(read.to_canonical_json().unwrap(), stored);
    }
}

/// The header of an ordinary token, by hand.
const PLAIN_HEADER: &[u8] = br#"{"alg":"RS256","kid":"rsa-1"}"#;

/// Rows T01 to T04: what is not three segments of canonical base64url, or too long.
fn badly_framed(good: &str) -> Vec<(&'static str, String)> {
    let [header, body, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    vec![
        ("T01 empty", String::new()),
        ("T02 one segment", header.to_owned()),
        ("T02 two", format!("{header}.{body}")),
        ("T02 four", format!("{good}.x")),
        ("T02 five, as JWE has", format!("{good}.x.y")),
        ("T02 empty signature", format!("{header}.{body}.")),
        ("T03 padding", format!("{header}.{body}.{signature}==")),
        (
            "T03 other alphabet",
            format!("{header}.{}.{signature}", STANDARD.encode("{\"a\":\"???\"}")),
        ),
        ("T03 stray final bits", format!("{header}.{body}.{}", stray_bits(signature))),
        ("T03 space", format!(" {good}")),
        ("T03 newline", format!("{good}\n")),
        ("T04 17 KiB", format!("{header}.{}.{signature}", "A".repeat(17 * 1024))),
        ("T04 2 MiB", "A".repeat(2 * 1024 * 1024)),
    ]
}

/// Rows T05 to T12: headers that name no key, another algorithm, or too much.
fn bad_headers(bench: &Bench) -> Vec<(&'static str, String)> {
    let payload = bench.claims().to_string();
    let head = |text: &str| bench.server.rsa.sign(text.as_bytes(), payload.as_bytes());
    vec![
        ("T05 none", head(r#"{"alg":"none","kid":"rsa-1"}"#)),
        ("T05 None", head(r#"{"alg":"None","kid":"rsa-1"}"#)),
        ("T05 NONE", head(r#"{"alg":"NONE","kid":"rsa-1"}"#)),
        ("T05 no alg text", head(r#"{"alg":"","kid":"rsa-1"}"#)),
        ("T05 no alg", head(r#"{"kid":"rsa-1"}"#)),
        ("T07 RS384", head(r#"{"alg":"RS384","kid":"rsa-1"}"#)),
        ("T07 PS256", head(r#"{"alg":"PS256","kid":"rsa-1"}"#)),
        ("T07 ES256 where only RS256", bench.server.es256.mint(&bench.claims())),
        ("T08 jwk", head(r#"{"alg":"RS256","kid":"rsa-1","jwk":{"kty":"RSA"}}"#)),
        (
            "T09 jku",
            head(&format!(r#"{{"alg":"RS256","kid":"rsa-1","jku":"{}/jwks"}}"#, bench.server.url)),
        ),
        (
            "T09 x5u",
            head(&format!(r#"{{"alg":"RS256","kid":"rsa-1","x5u":"{}/jwks"}}"#, bench.server.url)),
        ),
        ("T09 x5c", head(r#"{"alg":"RS256","kid":"rsa-1","x5c":["AA"]}"#)),
        ("T10 no kid", head(r#"{"alg":"RS256"}"#)),
        ("T10 number as kid", head(r#"{"alg":"RS256","kid":1}"#)),
        ("T10 10 KiB kid", head(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(10_240)))),
        ("T10 control in kid", head(r#"{"alg":"RS256","kid":"a\nb"}"#)),
        ("T11 crit", head(r#"{"alg":"RS256","kid":"rsa-1","crit":["exp"]}"#)),
        ("T11 b64", head(r#"{"alg":"RS256","kid":"rsa-1","b64":false}"#)),
        ("T11 cty", head(r#"{"alg":"RS256","kid":"rsa-1","cty":"JWT"}"#)),
        ("T11 zip", head(r#"{"alg":"RS256","kid":"rsa-1","zip":"DEF"}"#)),
        ("T11 enc", head(r#"{"alg":"RS256","kid":"rsa-1","enc":"A256GCM"}"#)),
        ("T11 other typ", head(r#"{"alg":"RS256","kid":"rsa-1","typ":"at+jwt"}"#)),
        ("T12 alg twice", head(r#"{"alg":"none","alg":"RS256","kid":"rsa-1"}"#)),
    ]
}

/// Rows T13 and T14: payloads that two readers could read differently, or not at all.
fn bad_payloads(bench: &Bench) -> Vec<(&'static str, String)> {
    let payload = bench.claims().to_string();
    let pay = |bytes: &[u8]| bench.server.rsa.sign(PLAIN_HEADER, bytes);
    // Nothing is wrong with the rest of these, so that it is the bound that refuses them.
    let with = |member: String| pay(payload.replacen('{', &format!("{{{member},"), 1).as_bytes());
    vec![
        ("T04 17 KiB, signed", with(format!(r#""x":"{}""#, "a".repeat(13 * 1024)))),
        (
            "T13 repository_id twice",
            pay(payload.replacen('{', r#"{"repository_id":"1","#, 1).as_bytes()),
        ),
        ("T13 twice below", pay(payload.replacen('{', r#"{"x":{"y":1,"y":2},"#, 1).as_bytes())),
        (
            "T14 depth 1000",
            pay(format!(r#"{{"a":{}{}}}"#, "[".repeat(1000), "]".repeat(1000)).as_bytes()),
        ),
        ("T14 depth 9", with(format!(r#""a":{}{}"#, "[".repeat(8), "]".repeat(8)))),
        ("T14 array", pay(format!("[{payload}]").as_bytes())),
        ("T14 UTF-8", pay(b"{\"iss\":\"\xff\"}")),
        ("T14 BOM", pay(format!("\u{feff}{payload}").as_bytes())),
        ("T14 lone surrogate", pay(payload.replacen('{', r#"{"x":"\ud800","#, 1).as_bytes())),
        ("T14 two documents", pay(format!("{payload}{payload}").as_bytes())),
    ]
}

/// Rules O6, O7: nothing malformed reaches the network.
#[tokio::test]
async fn malformed_tokens_are_refused_before_any_request() {
    let bench = Bench::start().await;
    let good = bench.token(&[]);
    let rows = [badly_framed(&good), bad_headers(&bench), bad_payloads(&bench)].concat();
    for (row, token) in rows {
        let refusal = bench.verify(&token).await.unwrap_err();
        assert!(matches!(refusal, TokenRefusal::Unverified(_)), "{row}: {refusal:?}");
    }
    assert_eq!(bench.fetches(), (0, 0));
    bench.verify(&good).await.unwrap();
    // The deepest payload that is read, so that the limit above is the limit.
    let payload = bench.claims().to_string();
    let deep = payload.replacen('{', &format!(r#"{{"a":{}{},"#, "[".repeat(7), "]".repeat(7)), 1);
    bench.verify(&bench.server.rsa.sign(PLAIN_HEADER, deep.as_bytes())).await.unwrap();
}

/// Sets a bit that canonical base64url leaves zero.
fn stray_bits(segment: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (front, last) = segment.split_at(segment.len() - 1);
    let index = ALPHABET.iter().position(|c| *c == last.as_bytes()[0]).unwrap();
    format!("{front}{}", char::from(ALPHABET[index + 1]))
}

/// Rule O6, row T06 and its kin: a signature counts only under the key and algorithm named.
#[tokio::test]
async fn a_signature_by_anything_but_the_named_key_is_refused() {
    let bench = Bench::with(Preset::GitHub, &[Algorithm::Rs256, Algorithm::Es256]).await;
    let good = bench.token(&[]);
    let payload = bench.claims().to_string();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let hs256 = {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","kid":"rsa-1"}"#);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&payload));
        let modulus = bench.server.rsa.jwk["n"].as_str().unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, modulus.as_bytes());
        let tag = ring::hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[10] ^= 1;
    let other_payload = changed(bench.claims(), &[("repository_id", json!("1"))]).to_string();
    let [header, _, _]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let rows = [
        ("T06 HS256 with the public key as secret", hs256),
        ("another key under the name", Key::rsa(1, "rsa-1").mint(&bench.claims())),
        ("an EC signature naming the RSA key", Key::es256(7, "rsa-1").mint(&bench.claims())),
        ("an RSA signature naming the EC key", Key::rsa(0, "es-1").mint(&bench.claims())),
        ("one bit off", format!("{input}.{}", URL_SAFE_NO_PAD.encode(flipped))),
        (
            "another payload",
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(other_payload)),
        ),
    ];
    for (row, token) in rows {
        let refusal = bench.verify(&token).await.unwrap_err();
        assert!(matches!(refusal, TokenRefusal::Unverified(_)), "{row}: {refusal:?}");
    }
    bench.verify(&good).await.unwrap();
}

/// Rules O1, O10, Q6: rows T15, T18, T19. Nothing is fetched for a token that is not for us.
#[tokio::test]
async fn issuer_and_audience_are_compared_byte_for_byte() {
    let bench = Bench::start().await;
    let url = bench.server.url.as_str();
    let host = url.strip_prefix("http://").unwrap();
    let rows: Vec<(&str, &str, Value)> = vec![
        ("T15 slash", "iss", json!(format!("{url}/"))),
        ("T15 upper case", "iss", json!(url.to_uppercase())),
        ("T15 https", "iss", json!(format!("https://{host}"))),
        ("T15 user", "iss", json!(format!("http://x@{host}"))),
        ("T15 look-alike", "iss", json!(format!("{url}.attacker.example"))),
        ("T15 prefix", "iss", json!("http://127.0.0.1")),
        ("T15 array", "iss", json!([url])),
        ("T15 absent", "iss", Value::Null),
        ("T18 wrong", "aud", json!("other.example")),
        ("T18 absent", "aud", Value::Null),
        ("T18 empty", "aud", json!("")),
        ("T18 two, one ours", "aud", json!([AUDIENCE, "other.example"])),
        ("T18 array of one", "aud", json!([AUDIENCE])),
        ("T18 number", "aud", json!(1)),
        ("T18 slash", "aud", json!(format!("{AUDIENCE}/"))),
        ("T18 upper case", "aud", json!(AUDIENCE.to_uppercase())),
        ("T19 staging", "aud", json!("staging.gate.example")),
    ];
    for (row, claim, value) in rows {
        let refusal = bench.verify(&bench.token(&[(claim, value)])).await.unwrap_err();
        assert!(matches!(refusal, TokenRefusal::Unverified(_)), "{row}: {refusal:?}");
        assert_eq!(refusal.to_string(), reasonless(), "{row}");
    }
    assert_eq!(bench.fetches(), (0, 0));
    let empty = bench.token(&[("aud", json!(""))]);
    let issuers = std::slice::from_ref(&bench.issuer);
    assert!(bench.verifier.verify(&empty, issuers, &[""], now()).await.is_err());
    let npm = bench.token(&[("aud", json!("npm:gate.example"))]);
    let ours = [AUDIENCE, "npm:gate.example"];
    let claims = bench.verifier.verify(&npm, issuers, &ours, now()).await.unwrap();
    assert_eq!(claims.audience(), "npm:gate.example");
}

/// The one sentence that everybody without a genuine token for us reads.
fn reasonless() -> String {
    TokenRefusal::Unverified(Unverified::Audience).to_string()
}

/// Rules O7, O8, O9: rows T20 to T25, and a login token.
#[tokio::test]
async fn times_and_identifiers_of_a_genuine_token_are_judged_with_the_claim_named() {
    let bench = Bench::start().await;
    let at = now().as_second();
    let rows: Vec<(&str, Changes, &str)> = vec![
        ("T20 exp past by 31 s", vec![("exp", json!(at - 31)), ("iat", json!(at - 60))], "exp"),
        ("T20 exp past by 30 s", vec![("exp", json!(at - 30)), ("iat", json!(at - 60))], "exp"),
        ("T22 nbf in 31 s", vec![("nbf", json!(at + 31))], "nbf"),
        ("T22 nbf as text", vec![("nbf", json!(at.to_string()))], "nbf"),
        ("T22 nbf as fraction", vec![("nbf", json!(1.5))], "nbf"),
        ("T23 iat in 31 s", vec![("iat", json!(at + 31))], "iat"),
        ("T23 iat 2 h old", vec![("iat", json!(at - 7200)), ("exp", json!(at + 60))], "iat"),
        ("T23 iat 601 s old", vec![("iat", json!(at - 601))], "iat"),
        ("T24 24 h", vec![("exp", json!(at + 86_400))], "exp"),
        ("T24 66 min", vec![("exp", json!(at + 66 * 60))], "exp"),
        ("T24 exp before iat", vec![("exp", json!(at - 20)), ("iat", json!(at - 10))], "exp"),
        ("T25 no jti", vec![("jti", Value::Null)], "jti"),
        ("T25 empty jti", vec![("jti", json!(""))], "jti"),
        ("T25 long jti", vec![("jti", json!("j".repeat(256)))], "jti"),
        ("T25 number as jti", vec![("jti", json!(7))], "jti"),
        ("T27 number as id", vec![("repository_id", json!(4242))], "repository_id"),
        ("T27 leading zero", vec![("repository_id", json!("04242"))], "repository_id"),
        ("T27 space", vec![("repository_id", json!(" 4242"))], "repository_id"),
        ("T27 plus", vec![("repository_id", json!("+4242"))], "repository_id"),
        ("T27 full width", vec![("repository_id", json!("４２４２"))], "repository_id"),
        ("T34 newline in ref", vec![("ref", json!("refs/tags/v1\n"))], "ref"),
        ("O19 short commit", vec![("sha", json!("abc123"))], "sha"),
        ("O19 upper-case commit", vec![("sha", json!("F".repeat(40)))], "sha"),
    ];
    for (row, changes, claim) in rows {
        match bench.verify(&bench.token(&changes)).await {
            Err(TokenRefusal::Claim(error)) => assert_eq!(error.claim, claim, "{row}: {error}"),
            other => panic!("{row}: {other:?}"),
        }
    }
    // The library refuses these itself, before it says whether the signature held.
    for value in [Value::Null, json!("1790000000"), json!(-1), json!(1e30), json!(1.5)] {
        let refused = bench.verify(&bench.token(&[("exp", value.clone())])).await;
        assert!(refused.is_err(), "T20 exp {value}");
    }
    for value in [Value::Null, json!("1790000000"), json!(-1), json!(1.5)] {
        let refused = bench.verify(&bench.token(&[("iat", value.clone())])).await;
        assert!(refused.is_err(), "T23 iat {value}");
    }
    let login = bench.token(&[("nonce", json!("n"))]);
    assert_eq!(reason(bench.verify(&login).await), Unverified::Nonce);
}

/// Rule O9, row T21, and the far side of each limit above.
#[tokio::test]
async fn clocks_may_differ_by_less_than_the_leeway() {
    let bench = Bench::start().await;
    let at = now().as_second();
    let rows: [Changes; 5] = [
        vec![("exp", json!(at - 29)), ("iat", json!(at - 60))],
        vec![("nbf", json!(at + 30))],
        vec![("iat", json!(at + 30))],
        vec![("iat", json!(at - 600))],
        vec![("exp", json!(at + 65 * 60))],
    ];
    for changes in rows {
        bench.verify(&bench.token(&changes)).await.unwrap();
    }
}

/// Rule O12, rows T25 and T26.
#[tokio::test]
async fn a_token_is_remembered_by_issuer_and_jti_for_longer_than_it_is_accepted() {
    let (bench, other) = (Bench::start().await, Bench::start().await);
    let token = bench.token(&[]);
    let first = bench.verify(&token).await.unwrap();
    assert_eq!(first.replay_key(), bench.verify(&token).await.unwrap().replay_key());
    let elsewhere = other.verify(&other.token(&[])).await.unwrap();
    assert_eq!(first.replay_key().jti, elsewhere.replay_key().jti);
    assert_ne!(first.replay_key(), elsewhere.replay_key());

    let last_accepted = first.expires_at() + LEEWAY - SignedDuration::from_secs(1);
    bench.verify_at(&token, last_accepted).await.unwrap();
    assert!(first.remember_until() >= last_accepted + REPLAY_MARGIN);
    assert!(bench.verify_at(&token, first.expires_at() + LEEWAY).await.is_err());
}

/// Rules O14, O17: rows T27 to T33.
#[tokio::test]
async fn genuine_claims_are_matched_to_the_publisher_by_identity() {
    use Verdict::{Alarm, Matched, Mismatch};
    let bench = Bench::start().await;
    let text = |value: &str| json!(value);
    let mismatch = |claim: &str| Mismatch(claim.to_owned());
    let elsewhere = "evil/tools/.github/workflows/release.yml@refs/tags/v1.0.0";
    let other_file = "octo/hello-wire/.github/workflows/other.yml@refs/tags/v1.0.0";
    let renamed = "octo/renamed/.github/workflows/release.yml@refs/tags/v1.0.0";
    let two_ats = "octo/hello-wire/.github/workflows/release.yml@x.yml@refs/heads/a@release.yml";
    let rename = Note::Renamed {
        expected: "octo/hello-wire".to_owned(),
        received: "octo/renamed".to_owned(),
    };
    let rows: Vec<(&str, Changes, Verdict)> = vec![
        (
            "T27 other id and name",
            vec![("repository_id", text("1")), ("repository", text("a/b"))],
            mismatch("repository_id"),
        ),
        ("T28 name resurrected", vec![("repository_id", text("1"))], Alarm),
        (
            "T28 in other case",
            vec![("repository_id", text("1")), ("repository", text("Octo/Hello-Wire"))],
            Alarm,
        ),
        (
            "T29 renamed",
            vec![
                ("repository", text("octo/renamed")),
                ("workflow_ref", text(renamed)),
                ("job_workflow_ref", text(renamed)),
            ],
            Matched(vec![rename]),
        ),
        (
            "T30 transferred",
            vec![("repository_owner_id", text("78")), ("repository", text("evil/hello-wire"))],
            Alarm,
        ),
        (
            "T31 foreign job",
            vec![("job_workflow_ref", text(elsewhere))],
            mismatch("job_workflow_ref"),
        ),
        ("T32 other entry", vec![("workflow_ref", text(other_file))], mismatch("workflow_ref")),
        (
            "T33 two ats",
            vec![
                ("ref", text("refs/heads/a@release.yml")),
                ("workflow_ref", text(two_ats)),
                ("job_workflow_ref", text(two_ats)),
            ],
            mismatch("workflow_ref"),
        ),
        (
            "T33 another ref than its own",
            vec![("ref", text("refs/tags/v2"))],
            mismatch("workflow_ref"),
        ),
    ];
    for (row, changes, expected) in rows {
        assert_eq!(bench.judge(&rule(), &bench.token(&changes)).await, expected, "{row}");
    }
}

/// Rules O14, O16: another owner is one whatever names moved along, and `sub` is not asked.
#[tokio::test]
async fn an_owner_is_known_by_id_alone_and_nothing_by_sub() {
    let bench = Bench::start().await;
    let moved = json!("evil/hello-wire/.github/workflows/release.yml@refs/tags/v1.0.0");
    let transferred = bench.token(&[
        ("repository_owner_id", json!("78")),
        ("repository", json!("evil/hello-wire")),
        ("workflow_ref", moved.clone()),
        ("job_workflow_ref", moved),
    ]);
    assert_eq!(bench.judge(&rule(), &transferred).await, Verdict::Alarm);
    let odd = bench.token(&[("sub", json!("project_path:evil/tools:ref:x"))]);
    assert_eq!(bench.judge(&rule(), &odd).await, Verdict::Matched(vec![]));
}

/// Rules O19 to O22: rows T34, T36, T37.
#[tokio::test]
async fn ref_environment_and_runner_have_to_be_the_publishers() {
    use Verdict::{Matched, Mismatch};
    let bench = Bench::start().await;
    let text = |value: &str| json!(value);
    let mismatch = |claim: &str| Mismatch(claim.to_owned());
    let on_branch = "octo/hello-wire/.github/workflows/release.yml@refs/heads/v1.0";
    let climbing = "octo/hello-wire/.github/workflows/release.yml@refs/tags/v1/../../x";
    let rows: Vec<(&str, Changes, Verdict)> = vec![
        (
            "T34 branch named like a tag",
            vec![
                ("ref", text("refs/heads/v1.0")),
                ("ref_type", text("branch")),
                ("workflow_ref", text(on_branch)),
                ("job_workflow_ref", text(on_branch)),
            ],
            mismatch("ref"),
        ),
        (
            "T34 climbing",
            vec![
                ("ref", text("refs/tags/v1/../../x")),
                ("workflow_ref", text(climbing)),
                ("job_workflow_ref", text(climbing)),
            ],
            mismatch("ref"),
        ),
        ("O19 type", vec![("ref_type", text("branch"))], mismatch("ref_type")),
        ("O19 no type", vec![("ref_type", Value::Null)], mismatch("ref_type")),
        ("O19 head_ref", vec![("head_ref", text("patch-1"))], mismatch("head_ref")),
        ("O19 base_ref", vec![("base_ref", text("main"))], mismatch("base_ref")),
        ("T36 no environment", vec![("environment", Value::Null)], mismatch("environment")),
        ("T36 other case", vec![("environment", text("Release"))], Matched(vec![])),
        ("T36 look-alike", vec![("environment", text("r\u{435}lease"))], mismatch("environment")),
        (
            "T37 self-hosted",
            vec![("runner_environment", text("self-hosted"))],
            mismatch("runner_environment"),
        ),
        (
            "T37 no runner",
            vec![("runner_environment", Value::Null)],
            mismatch("runner_environment"),
        ),
        (
            "O22 second attempt",
            vec![("run_attempt", text("2"))],
            Matched(vec![Note::Rerun { attempt: "2".to_owned() }]),
        ),
    ];
    for (row, changes, expected) in rows {
        assert_eq!(bench.judge(&rule(), &bench.token(&changes)).await, expected, "{row}");
    }
}

/// Rule O18, row T35.
#[tokio::test]
async fn only_listed_events_may_stage() {
    let bench = Bench::start().await;
    for event in [
        "pull_request",
        "pull_request_target",
        "workflow_run",
        "issue_comment",
        "issues",
        "discussion",
        "discussion_comment",
        "repository_dispatch",
        "merge_group",
        "schedule",
        "Push",
        "push ",
        "unheard_of",
    ] {
        let token = bench.token(&[("event_name", json!(event))]);
        let verdict = bench.judge(&rule(), &token).await;
        assert_eq!(verdict, Verdict::Mismatch("event_name".to_owned()), "{event}");
    }
    for event in ["push", "release", "workflow_dispatch"] {
        let token = bench.token(&[("event_name", json!(event))]);
        assert_eq!(bench.judge(&rule(), &token).await, Verdict::Matched(vec![]), "{event}");
    }
    let nightly = GitHubConfig { events: ["schedule".to_owned()].into(), ..rule() };
    let token = bench.token(&[("event_name", json!("schedule"))]);
    assert_eq!(bench.judge(&nightly, &token).await, Verdict::Matched(vec![]));
}

/// Rules O17, O19, O20, O21: what a rule can ask for beyond the ordinary.
#[tokio::test]
async fn a_rule_can_pin_more_or_permit_more() {
    let bench = Bench::start().await;
    let shared = "octo/ci/.github/workflows/publish.yml";
    let with = |extra: Value| -> GitHubConfig {
        let mut config = serde_json::to_value(rule()).unwrap();
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    };
    let by_sha = with(json!({"reusable": {"workflow": shared, "sha": "e".repeat(40)}}));
    let by_ref = with(json!({"reusable": {"workflow": shared, "ref": "refs/tags/v3"}}));
    let called = |pin: &str| ("job_workflow_ref", json!(format!("{shared}@{pin}")));
    let at = |digit: &str| ("job_workflow_sha", json!(digit.repeat(40)));
    let protected = with(json!({"ref_protected": true}));
    let node = with(json!({"environment_node_id": "EN_1"}));
    let any = with(json!({"runner": "any"}));
    let own = ("runner_environment", json!("self-hosted"));
    let free = GitHubConfig { environment: None, ..rule() };
    let rows: Vec<(&str, &GitHubConfig, Changes, Outcome)> = vec![
        ("T31 pinned commit", &by_sha, vec![called("refs/heads/main"), at("e")], Ok(vec![])),
        ("called by commit", &by_sha, vec![called(&"e".repeat(40)), at("e")], Ok(vec![])),
        ("moved", &by_sha, vec![called("refs/heads/main"), at("d")], Err("job_workflow_sha")),
        (
            "no commit",
            &by_sha,
            vec![called("refs/heads/main"), ("job_workflow_sha", Value::Null)],
            Err("job_workflow_sha"),
        ),
        ("other file", &by_sha, vec![at("e")], Err("job_workflow_ref")),
        (
            "longer name",
            &by_sha,
            vec![called("x@refs/heads/main y"), at("e")],
            Err("job_workflow_ref"),
        ),
        ("pinned ref", &by_ref, vec![called("refs/tags/v3")], Ok(vec![])),
        ("other ref", &by_ref, vec![called("refs/tags/v3.1")], Err("job_workflow_ref")),
        ("protected", &protected, vec![], Ok(vec![])),
        ("unprotected", &protected, vec![("ref_protected", json!("false"))], Err("ref_protected")),
        ("unsaid", &protected, vec![("ref_protected", Value::Null)], Err("ref_protected")),
        ("node", &node, vec![], Ok(vec![])),
        (
            "recreated",
            &node,
            vec![("environment_node_id", json!("EN_2"))],
            Err("environment_node_id"),
        ),
        ("T37 any runner", &any, vec![own.clone()], Ok(vec![Note::SelfHosted])),
        (
            "any environment",
            &free,
            vec![("environment", Value::Null)],
            Ok(vec![Note::NoEnvironment]),
        ),
    ];
    for (row, rule, changes, expected) in rows {
        let expected = match expected {
            Ok(notes) => Verdict::Matched(notes),
            Err(claim) => Verdict::Mismatch(claim.to_owned()),
        };
        assert_eq!(bench.judge(rule, &bench.token(&changes)).await, expected, "{row}");
    }
}

/// Rule O2, rows T16 and T17: another issuer's word about a repository is worth nothing.
#[tokio::test]
async fn a_publisher_trusts_one_issuer_only() {
    let (home, foreign) = (Bench::start().await, Bench::start().await);
    let trusted = [publisher(&rule(), home.issuer.id())];
    // Configured, honest about its signature, and claiming the other issuer's repository.
    let claims = foreign.verify(&foreign.token(&[])).await.unwrap();
    let mismatch = trusted[0].check(&claims).unwrap_err();
    assert_eq!((mismatch.claim(), mismatch.is_resurrection()), ("iss", false));
    assert_eq!(select(&trusted, &claims).unwrap_err().closest, None);

    let issuers = [home.issuer.clone(), foreign.issuer.clone()];
    let token = home.token(&[]);
    let claims = home.verifier.verify(&token, &issuers, &[AUDIENCE], now()).await.unwrap();
    assert!(trusted[0].check(&claims).is_ok());
    // The foreign key signs a token with the home issuer's name.
    let forged = Key::rsa(1, "rsa-1").mint(&home.claims());
    let refused = home.verifier.verify(&forged, &issuers, &[AUDIENCE], now()).await;
    assert!(matches!(reason(refused), Unverified::Signature { .. }));
}

#[tokio::test]
async fn the_closest_publisher_is_named_and_a_changed_owner_comes_first() {
    let bench = Bench::start().await;
    let claims = bench.verify(&bench.token(&[("environment", json!("dev"))])).await.unwrap();
    let far = GitHubConfig {
        repository: "a/b".into(),
        repository_id: "1".into(),
        repository_owner_id: "2".into(),
        ..rule()
    };
    let resurrected = GitHubConfig {
        repository_id: "5".into(),
        events: ["schedule".to_owned()].into(),
        ..rule()
    };
    let issuer = bench.issuer.id();
    let near = [publisher(&far, issuer), publisher(&rule(), issuer)];
    let closest = select(&near, &claims).unwrap_err().closest.unwrap();
    assert_eq!(closest.mismatch.claim(), "environment");
    assert_eq!(closest.mismatch.mismatches().len(), 1);
    assert_eq!((closest.mismatch.expected(), closest.mismatch.received()), ("release", "dev"));
    assert!(closest.mismatch.checks().len() > 10);

    let all = [publisher(&rule(), issuer), publisher(&resurrected, issuer)];
    let closest = select(&all, &claims).unwrap_err().closest.unwrap();
    assert!(closest.mismatch.is_resurrection());
}

fn gitlab_claims(bench: &Bench) -> Value {
    let at = now().as_second();
    json!({
        "iss": bench.server.url, "aud": AUDIENCE, "jti": "j", "sub": "project_path:octo/hello",
        "iat": at, "nbf": at - 5, "exp": at + 3600,
        "namespace_id": "72", "namespace_path": "octo", "project_id": "20",
        "project_path": "octo/hello", "project_visibility": "private", "user_id": "1",
        "user_login": "ines", "user_email": "ines@example.org", "user_access_level": "maintainer",
        "user_identities": [{"provider": "x", "extern_uid": "y"}], "groups_direct": ["octo"],
        "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "v1",
        "ref_type": "tag", "ref_path": "refs/tags/v1", "ref_protected": "true",
        "environment": "release", "environment_protected": "true", "deployment_tier": "production",
        "runner_id": 1, "runner_environment": "gitlab-hosted", "sha": "a".repeat(40),
        "ci_config_ref_uri": "gitlab.example/octo/hello//.gitlab-ci.yml@refs/tags/v1",
        "ci_config_sha": "a".repeat(40),
    })
}

fn other_publisher(rule: &Value, issuer: IssuerId) -> Publisher {
    let mut config = json!({"name": "p", "issuer": "ci", "packages": []});
    config.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let config: PublisherConfig = serde_json::from_value(config).unwrap();
    let id = PublisherId::from_uuid(uuid::Uuid::from_u128(2));
    Publisher::parse(id, &config.name, issuer, config.rule().unwrap(), [].into()).unwrap()
}

/// Rule O18 and row T39.
#[tokio::test]
async fn gitlab_claims_are_matched_by_project_ref_and_source() {
    let bench = Bench::with(Preset::GitLab, &[Algorithm::Rs256]).await;
    let publisher = other_publisher(
        &json!({"gitlab": {
            "project_id": "20", "namespace_id": "72", "project_path": "octo/hello",
            "ref_path": "refs/tags/v*", "environment": "release", "environment_protected": true,
            "ci_config_ref_uri": "gitlab.example/octo/hello//.gitlab-ci.yml",
        }}),
        bench.issuer.id(),
    );
    let check = async |changes: &[(&str, Value)]| -> Result<Matched, ClaimMismatch> {
        let token = bench.server.rsa.mint(&changed(gitlab_claims(&bench), changes));
        publisher.check(&bench.verify(&token).await.unwrap())
    };
    assert_eq!(check(&[]).await.unwrap().notes(), []);
    let rows = [
        ("T39 fork's pipeline", "project_id", json!("21")),
        ("T39 job in another project", "job_project_id", json!("21")),
        ("T39 unprotected", "ref_protected", json!("false")),
        ("T39 merge request", "pipeline_source", json!("merge_request_event")),
        ("other source", "pipeline_source", json!("trigger")),
        ("branch", "ref_path", json!("refs/heads/v1")),
        ("type", "ref_type", json!("branch")),
        ("environment", "environment", json!("staging")),
        ("open environment", "environment_protected", json!("false")),
        ("runner", "runner_environment", json!("self-hosted")),
        (
            "config",
            "ci_config_ref_uri",
            json!("gitlab.example/evil/x//.gitlab-ci.yml@refs/tags/v1"),
        ),
        ("no config", "ci_config_ref_uri", Value::Null),
        ("namespace", "namespace_id", json!("73")),
    ];
    for (row, claim, value) in rows {
        let mismatch = check(&[(claim, value)]).await.unwrap_err();
        let named: Vec<&str> = mismatch.mismatches().iter().map(|row| row.claim.as_str()).collect();
        assert!(named.contains(&claim), "{row}: {named:?}");
        let alarming = matches!(claim, "project_id" | "namespace_id");
        assert_eq!(mismatch.is_resurrection(), alarming, "{row}");
    }
    // Typed, not coerced (O7): GitLab writes its booleans and ids as text.
    for (claim, value) in [("ref_protected", json!(true)), ("project_id", json!(20))] {
        let token = bench.server.rsa.mint(&changed(gitlab_claims(&bench), &[(claim, value)]));
        let Err(TokenRefusal::Claim(error)) = bench.verify(&token).await else { panic!("{claim}") };
        assert_eq!(error.claim, claim);
    }
}

/// Rule O24: typed, exact, and never a wildcard but on `ref`.
#[tokio::test]
async fn generic_claims_are_compared_with_their_type() {
    let bench = Bench::with(Preset::Generic, &[Algorithm::Rs256]).await;
    let at = now().as_second();
    let claims = json!({
        "iss": bench.server.url, "aud": AUDIENCE, "sub": "builder-7", "iat": at, "exp": at + 60,
        "pipeline": 12, "trusted": true, "queue": "release", "ref": "refs/tags/v1", "nested": {"a": 1},
    });
    let token = bench.server.rsa.mint(&claims);
    let verified = bench.verify(&token).await.unwrap();
    // Without a `jti` the signed text is what is remembered, not the signature (O12).
    assert!(verified.replay_key().jti.starts_with("sha256:"));
    assert_eq!(verified.actor(), None);
    let rows = [
        (json!({"pipeline": 12, "trusted": true, "ref": "refs/tags/v*"}), None),
        (json!({"sub": "builder-7"}), None),
        (json!({"pipeline": "12"}), Some("pipeline")),
        (json!({"trusted": "true"}), Some("trusted")),
        (json!({"queue": "Release"}), Some("queue")),
        (json!({"missing": "x"}), Some("missing")),
        (json!({"sub": "builder-77"}), Some("sub")),
        (json!({"pipeline": 12, "ref": "refs/heads/*"}), Some("ref")),
    ];
    for (rule, expected) in rows {
        let publisher = other_publisher(&json!({ "claims": rule }), bench.issuer.id());
        let outcome = publisher.check(&verified);
        let claim = outcome.as_ref().err().map(ClaimMismatch::claim);
        assert_eq!(claim, expected, "{rule}");
    }
    // A GitHub rule on the generic issuer's tokens: the kinds differ, nothing is compared (O2).
    assert!(publisher(&rule(), bench.issuer.id()).check(&verified).is_err());
}

/// Rule O9: an issuer may allow older tokens, which is a finding each time.
#[tokio::test]
async fn an_older_token_is_accepted_where_the_issuer_says_so_and_noted() {
    let bench = Bench::start().await;
    let config = IssuerConfig { max_age_minutes: 60, ..bench.issuer.config().clone() };
    let patient = Issuer::parse(bench.issuer.id(), config).unwrap();
    let at = now().as_second();
    let token = bench.token(&[("iat", json!(at - 1800)), ("exp", json!(at + 60))]);
    assert!(bench.verify(&token).await.is_err());
    let claims = bench.verifier.verify(&token, &[patient], &[AUDIENCE], now()).await.unwrap();
    let matched = publisher(&rule(), bench.issuer.id()).check(&claims).unwrap();
    assert_eq!(matched.notes(), [Note::OldToken { minutes: 30 }]);
}

/// Style rule 5: a claim that no table mentions is reported, not dropped.
#[tokio::test]
async fn a_claim_nobody_accounted_for_is_noted() {
    let bench = Bench::start().await;
    let token = bench.token(&[("brand_new", json!("x")), ("repo_property_tier", json!("y"))]);
    let claims = ["brand_new".to_owned()].into();
    let expected = Verdict::Matched(vec![Note::Unaccounted { claims }]);
    assert_eq!(bench.judge(&rule(), &token).await, expected);
}

/// Rules O25, Q6: one text outside, the reason and a fingerprint inside, never the token.
#[tokio::test]
async fn refusals_say_the_same_until_the_token_is_known_to_be_genuine() {
    let bench = Bench::start().await;
    let token = Key::rsa(1, "rsa-1").mint(&bench.claims());
    let refusal = bench.verify(&token).await.unwrap_err();
    assert_eq!(refusal.to_string(), reasonless());
    assert!(refusal.log_reason().starts_with("signature"), "{}", refusal.log_reason());
    let secret = token.rsplit_once('.').unwrap().1;
    for text in [refusal.to_string(), refusal.log_reason(), format!("{refusal:?}")] {
        assert!(!text.contains(secret) && !text.contains("octo/hello-wire"), "{text}");
    }
    let print = token_fingerprint(&token);
    assert!(print.len() == 16 && !token.contains(&print));
    let genuine = bench.verify(&bench.token(&[("jti", json!(""))])).await.unwrap_err();
    assert_eq!(
        genuine.to_string(),
        "expected text of 1 to 255 bytes in the claim jti, received ``"
    );
}

/// Rule O5: one fetch serves many, and at once.
#[tokio::test]
async fn keys_are_fetched_once_for_many_tokens() {
    let bench = Bench::start().await;
    bench.server.delay(Duration::from_millis(100));
    let tokens: Vec<String> =
        (0..20).map(|n| bench.token(&[("jti", json!(format!("j{n}")))])).collect();
    let outcomes =
        futures_util::future::join_all(tokens.iter().map(|token| bench.verify(token))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(bench.fetches(), (1, 1));
    let later = now() + KEYS_TTL - SignedDuration::from_secs(1);
    let token = bench.server.rsa.mint(&bench.server.github_claims(AUDIENCE, later));
    bench.verify_at(&token, later).await.unwrap();
    assert_eq!(bench.fetches(), (1, 1));
    let due = now() + KEYS_TTL;
    let token = bench.server.rsa.mint(&bench.server.github_claims(AUDIENCE, due));
    bench.verify_at(&token, due).await.unwrap();
    assert_eq!(bench.fetches(), (2, 2));
}

/// Rule O5, row T10: a flood of unknown keys costs the issuer one request per cooldown.
#[tokio::test]
async fn unknown_keys_cost_at_most_one_fetch_per_cooldown() {
    let bench = Bench::start().await;
    bench.verify(&bench.token(&[])).await.unwrap();
    for kid in
        ["new", "../../etc/passwd", "' or 1=1 --", "rsa-1%00"].map(|kid| kid.replace(' ', "+"))
    {
        let token = Key::rsa(1, &kid).mint(&bench.claims());
        assert_eq!(reason(bench.verify(&token).await), Unverified::UnknownKey, "{kid}");
    }
    assert_eq!(bench.fetches(), (1, 1));
    let after = now() + FETCH_COOLDOWN;
    for kid in ["a", "b", "c"] {
        let token = Key::rsa(1, kid).mint(&bench.server.github_claims(AUDIENCE, after));
        assert_eq!(reason(bench.verify_at(&token, after).await), Unverified::UnknownKey);
    }
    assert_eq!(bench.fetches(), (2, 2));
}

/// Rule O5: a new key works a cooldown after it appears, and the old one stops.
#[tokio::test]
async fn rotated_keys_are_picked_up_and_withdrawn_ones_dropped() {
    let bench = Bench::start().await;
    let old = bench.token(&[]);
    bench.verify(&old).await.unwrap();
    let new = Key::rsa(1, "rsa-2");
    bench.server.publish(&[&new.jwk]);
    let after = now() + FETCH_COOLDOWN;
    bench.verify_at(&new.mint(&bench.server.github_claims(AUDIENCE, after)), after).await.unwrap();
    assert_eq!(reason(bench.verify_at(&old, after).await), Unverified::UnknownKey);
}

/// Rule O5: keys outlive an outage of the issuer by a day, and failures cool down too.
#[tokio::test]
async fn an_absent_issuer_is_survived_for_a_day_and_then_nothing_is_accepted() {
    let bench = Bench::start().await;
    bench.verify(&bench.token(&[])).await.unwrap();
    bench.server.answer_keys(Answer::Status(502));
    let mint = |at| bench.server.rsa.mint(&bench.server.github_claims(AUDIENCE, at));
    let during = now() + SignedDuration::from_hours(1);
    for _ in 0..5 {
        bench.verify_at(&mint(during), during).await.unwrap();
    }
    assert_eq!(bench.fetches(), (2, 2));
    let last = now() + KEYS_STALE_MAX - SignedDuration::from_secs(1);
    bench.verify_at(&mint(last), last).await.unwrap();
    let too_late = now() + KEYS_STALE_MAX + FETCH_COOLDOWN;
    let refused = bench.verify_at(&mint(too_late), too_late).await.unwrap_err();
    assert!(refused.is_temporary(), "{refused:?}");
    assert_eq!(refused.to_string(), reasonless());
    bench.server.publish(&[&bench.server.rsa.jwk]);
    // Back, but the failed attempt is still cooling down.
    assert!(bench.verify_at(&mint(too_late), too_late).await.is_err());
    let back = too_late + FETCH_COOLDOWN;
    bench.verify_at(&mint(back), back).await.unwrap();
}

/// Rule O5: whoever holds a usable key does not wait for a slow issuer.
#[tokio::test]
async fn verification_with_held_keys_does_not_wait_for_a_renewal() {
    let bench = Bench::start().await;
    bench.verify(&bench.token(&[])).await.unwrap();
    bench.server.delay(Duration::from_millis(700));
    let due = now() + KEYS_TTL;
    let token = bench.server.rsa.mint(&bench.server.github_claims(AUDIENCE, due));
    let renewing = bench.verify_at(&token, due);
    let passing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = std::time::Instant::now();
        bench.verify_at(&token, due).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    };
    let (renewed, ()) = tokio::join!(renewing, passing);
    renewed.unwrap();
    assert_eq!(bench.fetches(), (2, 2));
}

/// Rule O5: a caller who hangs up does not waste the attempt.
#[tokio::test]
async fn a_fetch_goes_on_when_the_caller_is_gone() {
    let bench = Bench::start().await;
    bench.server.delay(Duration::from_millis(150));
    let token = bench.token(&[]);
    let hung_up = tokio::time::timeout(Duration::from_millis(50), bench.verify(&token)).await;
    assert!(hung_up.is_err());
    bench.verify(&token).await.unwrap();
    assert_eq!(bench.fetches(), (1, 1));
}

/// Rule O4, rows J01 to J03 and J12: the answers of a hostile issuer.
#[tokio::test]
async fn oversized_endless_redirecting_and_compressed_answers_are_refused() {
    let gzip = |body: &[u8]| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let target = TestIssuer::start().await;
    let location = format!("{}/jwks", target.url);
    let rows = [
        ("J01 5 MiB", Answer::Bytes(vec![b' '; 5 * 1024 * 1024], None), FetchError::TooLarge),
        ("J03 redirect", Answer::Redirect(location), FetchError::Status { received: 302 }),
        ("error", Answer::Status(500), FetchError::Status { received: 500 }),
        ("no content", Answer::Status(204), FetchError::Status { received: 204 }),
        (
            "J12 gzip bomb",
            Answer::Bytes(gzip(&vec![b' '; 10 * 1024 * 1024]), Some("gzip")),
            FetchError::Encoding { received: "gzip".to_owned() },
        ),
    ];
    for (row, answer, expected) in rows {
        let bench = Bench::start().await;
        bench.server.answer_keys(answer.clone());
        let error = keys_error(bench.verify(&bench.token(&[])).await);
        assert_eq!(error, KeysError::KeySet(expected.clone()), "{row}");
        let bench = Bench::start().await;
        bench.server.answer_discovery(answer);
        let error = keys_error(bench.verify(&bench.token(&[])).await);
        assert_eq!((error, bench.fetches()), (KeysError::Discovery(expected), (1, 0)), "{row}");
    }
    assert_eq!((target.discovery_count(), target.keys_count()), (0, 0));

    let bench = Bench::start().await;
    bench.server.answer_keys(Answer::Drip);
    let begun = std::time::Instant::now();
    let error = keys_error(bench.verify(&bench.token(&[])).await);
    assert!(matches!(error, KeysError::KeySet(FetchError::Transport { .. })), "J02: {error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "J02: {:?}", begun.elapsed());
}

/// Rule O3, rows J04 and J06: what discovery may say.
#[tokio::test]
async fn discovery_names_the_configured_issuer_and_a_key_host_of_its_own() {
    let elsewhere = TestIssuer::start().await;
    let moved = format!("{}/jwks", elsewhere.url);
    for (row, issuer, jwks_uri, on_host) in [
        ("J06", Some("https://other.example"), None, true),
        ("another port", None, Some(moved.as_str()), false),
        ("J04 metadata", None, Some("http://169.254.169.254/latest"), false),
        ("J04 loopback", None, Some("http://[::1]/jwks"), false),
        ("J04 mapped", None, Some("http://[::ffff:10.0.0.1]/jwks"), false),
        ("J04 decimal", None, Some("http://2130706433/jwks"), false),
        ("file", None, Some("file:///etc/passwd"), false),
    ] {
        let bench = Bench::start().await;
        let own = format!("{}/jwks", bench.server.url);
        bench.server.answer_discovery(Answer::Json(json!({
            "issuer": issuer.unwrap_or(&bench.server.url), "jwks_uri": jwks_uri.unwrap_or(&own),
        })));
        let error = keys_error(bench.verify(&bench.token(&[])).await);
        let refused = match error {
            KeysError::Issuer { .. } => on_host,
            KeysError::Host { .. } => !on_host,
            _ => false,
        };
        assert!(refused, "{row}: {error}");
        assert_eq!(bench.fetches(), (1, 0), "{row}");
    }
    assert_eq!(elsewhere.keys_count(), 0);
    let bench = Bench::start().await;
    let with_user = bench.server.url.replacen("://", "://user@", 1);
    bench.server.answer_discovery(Answer::Json(json!({
        "issuer": bench.server.url, "jwks_uri": format!("{with_user}/jwks"),
    })));
    let error = keys_error(bench.verify(&bench.token(&[])).await);
    assert!(matches!(error, KeysError::Host { .. }), "a user in the address: {error}");
    assert_eq!(bench.fetches(), (1, 0));

    // The same address is fine once somebody configured it.
    let bench = Bench::start().await;
    bench.server.answer_discovery(Answer::Json(json!({
        "issuer": bench.server.url, "jwks_uri": moved,
    })));
    let host = elsewhere.url.strip_prefix("http://").unwrap().to_owned();
    let config = IssuerConfig { jwks_host: Some(host), ..bench.issuer.config().clone() };
    let issuer = Issuer::parse(bench.issuer.id(), config).unwrap();
    let token = bench.token(&[]);
    bench.verifier.verify(&token, &[issuer], &[AUDIENCE], now()).await.unwrap();
    assert_eq!(elsewhere.keys_count(), 1);
}

/// Rules O4, Q15: without `allow_private` nothing is sent to this machine, whatever its name.
#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::start().await;
    let config = IssuerConfig {
        url: format!("https://localhost:{port}"),
        allow_private: false,
        ..bench.issuer.config().clone()
    };
    let issuer = Issuer::parse(bench.issuer.id(), config).unwrap();
    let token = bench.token(&[("iss", json!(issuer.url()))]);
    let refused = bench.verifier.verify(&token, &[issuer], &[AUDIENCE], now()).await;
    let expected = KeysError::Discovery(FetchError::Address { host: "localhost".to_owned() });
    assert_eq!(keys_error(refused), expected);
    let waited = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(waited.is_err(), "somebody connected");
}

/// Rules O5, O6: rows J07 to J11.
#[tokio::test]
async fn one_bad_key_is_left_out_and_spoils_no_other() {
    let good = Key::rsa(0, "rsa-1");
    let bad = |changes: &[(&str, Value)]| changed(Key::rsa(1, "bad").jwk, changes);
    let ec = |changes: &[(&str, Value)]| changed(Key::es256(9, "bad").jwk, changes);
    let short = URL_SAFE_NO_PAD.encode([0xc1; 64]);
    let almost = URL_SAFE_NO_PAD.encode([&[0x7f][..], &[0xff; 255]].concat());
    let rows = [
        ("J08 no modulus", bad(&[("n", Value::Null)])),
        ("J08 text", json!("key")),
        ("J08 no kid", bad(&[("kid", Value::Null)])),
        ("J10 RSA-512", bad(&[("n", json!(short))])),
        ("J10 RSA-2047", bad(&[("n", json!(almost))])),
        ("J10 e is 1", bad(&[("e", json!("AQ"))])),
        ("J10 e is even", bad(&[("e", json!("AQAA"))])),
        ("J10 off the curve", ec(&[("x", json!(URL_SAFE_NO_PAD.encode([1; 32])))])),
        ("J10 other curve", ec(&[("crv", json!("P-384"))])),
        ("J11 enc", bad(&[("use", json!("enc"))])),
        ("J11 key_ops", bad(&[("key_ops", json!(["encrypt"]))])),
        ("O6 other alg", bad(&[("alg", json!("RS512"))])),
        ("O6 symmetric", json!({"kty": "oct", "k": "AAAA", "kid": "bad"})),
        ("O6 private", bad(&[("d", json!("AQAB"))])),
    ];
    for (row, jwk) in rows {
        let bench = Bench::with(Preset::GitHub, &[Algorithm::Rs256, Algorithm::Es256]).await;
        bench.server.publish(&[&jwk, &good.jwk]);
        bench.verify(&bench.token(&[])).await.unwrap_or_else(|error| panic!("{row}: {error:?}"));
        for key in [Key::rsa(1, "bad"), Key::es256(9, "bad")] {
            let refused = bench.verify(&key.mint(&bench.claims())).await;
            assert_eq!(reason(refused), Unverified::UnknownKey, "{row}");
        }
    }
    // And the same key is used when nothing is wrong with it, `use` and `alg` being optional.
    let bench = Bench::start().await;
    bench.server.publish(&[&bad(&[("use", Value::Null), ("alg", Value::Null)]), &good.jwk]);
    bench.verify(&Key::rsa(1, "bad").mint(&bench.claims())).await.unwrap();
}

/// Rule O5: rows J07 and J09, and sets too large to look at.
#[tokio::test]
async fn empty_conflicting_and_huge_key_sets() {
    let bench = Bench::start().await;
    let token = bench.token(&[]);
    bench.verify(&token).await.unwrap();
    bench.server.publish(&[]);
    let later = now() + KEYS_TTL;
    let mint = |at| bench.server.rsa.mint(&bench.server.github_claims(AUDIENCE, at));
    bench.verify_at(&mint(later), later).await.expect("J07: the old keys stay");

    let (one, two) = (Key::rsa(0, "rsa-1"), Key::rsa(1, "rsa-1"));
    for order in [[&one.jwk, &two.jwk, &one.jwk], [&two.jwk, &one.jwk, &one.jwk]] {
        let bench = Bench::start().await;
        let other = Key::rsa(0, "other");
        bench.server.publish(&[order[0], order[1], order[2], &other.jwk]);
        for key in [&one, &two] {
            let refused = bench.verify(&key.mint(&bench.claims())).await;
            assert_eq!(reason(refused), Unverified::UnknownKey, "J09");
        }
        bench.verify(&other.mint(&bench.claims())).await.unwrap();
    }
    let bench = Bench::start().await;
    bench.server.publish(&[&one.jwk, &one.jwk]);
    bench.verify(&bench.token(&[])).await.expect("the same key twice is one key");

    let bench = Bench::start().await;
    bench.server.publish(&vec![&one.jwk; 51]);
    let error = keys_error(bench.verify(&bench.token(&[])).await);
    assert!(matches!(error, KeysError::Document { document: "key set", .. }), "{error}");
}

/// Style rule 5: every claim in a provider's table is compared, or listed with why it is not.
#[tokio::test]
async fn every_known_claim_is_compared_or_knowingly_ignored() {
    let strictest =
        GitHubConfig { environment_node_id: Some("EN_1".into()), ref_protected: true, ..rule() };
    let bench = Bench::start().await;
    let claims = bench.verify(&bench.token(&[])).await.unwrap();
    let matched = publisher(&strictest, bench.issuer.id()).check(&claims).unwrap();
    let compared: Vec<&str> = matched.checks().iter().map(|row| row.claim.as_str()).collect();
    for (claim, treatment) in TOKEN_CLAIMS.iter().chain(GITHUB_CLAIMS) {
        let ignored = matched.ignored().iter().any(|row| row.claim == *claim);
        let expected = match treatment {
            // Compared only where a job lives in a reusable workflow.
            Treatment::Rule if *claim == "job_workflow_sha" => (false, true),
            Treatment::Rule => (true, false),
            Treatment::Token if *claim == "iss" => (true, false),
            Treatment::Token => (false, false),
            Treatment::Kept(_) | Treatment::Ignored(_) => (false, true),
        };
        assert_eq!((compared.contains(claim), ignored), expected, "{claim}");
    }
    // And nothing is compared that the table does not know.
    for claim in compared {
        assert!(TOKEN_CLAIMS.iter().chain(GITHUB_CLAIMS).any(|(known, _)| *known == claim));
    }

    let bench = Bench::with(Preset::GitLab, &[Algorithm::Rs256]).await;
    let claims = bench.verify(&bench.server.rsa.mint(&gitlab_claims(&bench))).await.unwrap();
    assert!(claims.unaccounted().is_empty(), "{:?}", claims.unaccounted());
    let rule = json!({"gitlab": {
        "project_id": "20", "namespace_id": "72", "ref_path": "refs/tags/v*",
    }});
    let matched = other_publisher(&rule, bench.issuer.id()).check(&claims).unwrap();
    assert_eq!(matched.notes(), [Note::NoPipelineDefinition, Note::NoEnvironment]);
    for (claim, treatment) in GITLAB_CLAIMS {
        let compared = matched.checks().iter().any(|row| row.claim == *claim);
        let ignored = matched.ignored().iter().any(|row| row.claim == *claim);
        assert!(compared != ignored, "{claim}: {treatment:?}");
    }
}
