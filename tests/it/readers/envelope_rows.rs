//! npm publish documents: rows N01-N11, N15, N16, N19-N21 and the splitter's independence of
//! how bytes arrive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::domain::artifact::Digests;
use countersign::domain::digest::{Sha1, Sha256, Sha512};
use countersign::domain::json::JsonRefusal;
use countersign::domain::manifest::Access;
use countersign::inspect::Limits;
use countersign::inspect::envelope::{Envelope, EnvelopeRefusal, NpmPublish, Splitter};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Digest as _;

const TARBALL: &[u8] = b"not a real tarball, but bytes of an awkward length..";

fn document() -> Value {
    let integrity = STANDARD.encode(sha2::Sha512::digest(TARBALL));
    json!({
        "_id": "@octo/a", "name": "@octo/a", "description": "d", "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {
            "name": "@octo/a", "version": "1.0.0", "_id": "@octo/a@1.0.0",
            "dist": {"integrity": format!("sha512-{integrity}"), "shasum": sha1_hex(), "tarball": "x"},
        }},
        "access": "restricted",
        "_attachments": {"@octo/a-1.0.0.tgz": {
            "content_type": "application/octet-stream", "data": STANDARD.encode(TARBALL),
            "length": TARBALL.len(),
        }},
    })
}

fn sha1_hex() -> String {
    Sha1::from_slice(&sha1::Sha1::digest(TARBALL)).unwrap().to_string()
}

fn split(text: &[u8], sizes: &[usize]) -> Result<(Envelope, Vec<u8>), EnvelopeRefusal> {
    let mut splitter = Splitter::new(&Limits::default());
    let (mut out, mut rest) = (Vec::new(), text);
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        splitter.push(piece, &mut out)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    splitter.finish().map(|envelope| (envelope, out))
}

fn refusal(text: &[u8]) -> EnvelopeRefusal {
    split(text, &[usize::MAX]).unwrap_err()
}

fn check(document: &Value) -> Result<NpmPublish, EnvelopeRefusal> {
    split(document.to_string().as_bytes(), &[usize::MAX]).unwrap().0.check()
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut document = document();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    document
}

#[test]
fn a_publication_is_taken_apart() {
    let mut document = document();
    let bundle = r#"{"mediaType":"x","verificationMaterial":"é"}"#;
    document["_attachments"]["@octo/a-1.0.0.sigstore"] = json!({
        "content_type": "application/vnd.dev.sigstore.bundle.v0.3+json", "data": bundle,
        "length": bundle.encode_utf16().count(),
    });
    let (envelope, tarball) = split(document.to_string().as_bytes(), &[7]).unwrap();
    assert_eq!(tarball, TARBALL);
    assert_eq!(envelope.tarball.length, TARBALL.len() as u64);
    assert!(!envelope.document.contains_key("_attachments"));
    let publish = envelope.check().unwrap();
    assert_eq!((publish.name.as_str(), publish.version.as_str()), ("@octo/a", "1.0.0"));
    assert_eq!((publish.dist_tag.as_str(), publish.access), ("latest", Some(Access::Restricted)));
    assert_eq!(publish.provenance.unwrap().text, bundle);
    assert_eq!(publish.manifest["version"], "1.0.0");
}

/// Row N01-N03.
#[test]
fn documents_that_are_not_one_strict_json_object_are_refused() {
    let json = |text: &[u8]| match refusal(text) {
        EnvelopeRefusal::Json(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let good = document().to_string();
    assert!(matches!(json(b"hello"), JsonRefusal::Syntax { .. }));
    assert!(matches!(json(format!("{good}x").as_bytes()), JsonRefusal::Syntax { .. }));
    assert!(matches!(json(format!("{good}{{}}").as_bytes()), JsonRefusal::Syntax { .. }));
    assert!(matches!(json(&good.as_bytes()[..good.len() - 1]), JsonRefusal::Syntax { .. }));
    assert_eq!(json(format!("\u{feff}{good}").as_bytes()), JsonRefusal::ByteOrderMark);
    assert!(matches!(json(b"\xff\xfe{\0"), JsonRefusal::NotUtf8 { .. }));
    let twice = good.replacen("\"versions\"", "\"versions\":{},\"versions\"", 1);
    assert_eq!(json(twice.as_bytes()), JsonRefusal::DuplicateKey { key: "versions".to_owned() });
    let twice = good.replacen("\"_attachments\"", "\"_attachments\":{},\"_attachments\"", 1);
    let twice = json(twice.as_bytes());
    assert_eq!(twice, JsonRefusal::DuplicateKey { key: "_attachments".to_owned() });
    assert!(matches!(json(&[b'['; 10_000]), JsonRefusal::TooDeep { .. }));
    let large = format!("{{\"readme\":\"{}\"}}", "x".repeat(9 << 20));
    assert!(matches!(refusal(large.as_bytes()), EnvelopeRefusal::DocumentTooLarge { .. }));
}

/// Row N02: escapes cannot hide the tarball from the splitter, nor a second value from the parser.
#[test]
fn keys_on_the_way_to_the_tarball_are_never_escaped() {
    let good = document().to_string();
    for (plain, escaped) in [
        ("\"_attachments\"", "\"_attachm\\u0065nts\""),
        ("\"data\"", "\"d\\u0061ta\""),
        ("\"@octo/a-1.0.0.tgz\"", "\"@octo\\/a-1.0.0.tgz\""),
    ] {
        let text = good.replace(plain, escaped);
        assert!(
            matches!(refusal(text.as_bytes()), EnvelopeRefusal::EscapedKey { .. }),
            "{escaped}"
        );
    }
}

/// Row N05.
#[test]
fn there_is_exactly_one_tarball_and_nothing_unknown_beside_it() {
    let mut two = document();
    two["_attachments"]["@octo/b-1.0.0.tgz"] = two["_attachments"]["@octo/a-1.0.0.tgz"].clone();
    let refused = refusal(two.to_string().as_bytes());
    assert_eq!(refused, EnvelopeRefusal::Tarballs { received: "a second one" });
    let refused = refusal(changed("/_attachments", json!({})).to_string().as_bytes());
    assert_eq!(refused, EnvelopeRefusal::Tarballs { received: "none" });
    let mut other = document();
    other["_attachments"]["evil.exe"] = json!({"content_type": "x", "data": "QUJD", "length": 3});
    assert!(matches!(refusal(other.to_string().as_bytes()), EnvelopeRefusal::Attachment { .. }));
    let mut other = document();
    other["_attachments"]["evil.exe"] = json!({});
    assert!(matches!(refusal(other.to_string().as_bytes()), EnvelopeRefusal::Attachment { .. }));
    let mut none = document();
    none.as_object_mut().unwrap().remove("_attachments");
    assert_eq!(refusal(none.to_string().as_bytes()), EnvelopeRefusal::NoAttachments);
    for bad in [json!([]), json!([["data", "QUJD"]]), json!(1)] {
        let refused = refusal(changed("/_attachments", bad).to_string().as_bytes());
        assert!(matches!(refused, EnvelopeRefusal::Shape { .. }));
    }
    for bad in [json!(5), json!(["QUJD"]), json!("")] {
        let refused =
            refusal(changed("/_attachments/@octo~1a-1.0.0.tgz/data", bad).to_string().as_bytes());
        assert!(matches!(
            refused,
            EnvelopeRefusal::Shape { .. } | EnvelopeRefusal::Tarballs { .. }
        ));
    }
    let text = document().to_string().replace("@octo/a-1.0.0.tgz", "../../x.tgz");
    let refused = split(text.as_bytes(), &[9]).unwrap().0.check().unwrap_err();
    assert!(matches!(refused, EnvelopeRefusal::Mismatch { place: "the attachment's name", .. }));
    let mut foreign = document();
    foreign["_attachments"]["@octo/b-1.0.0.sigstore"] =
        json!({"content_type": "x", "data": "1", "length": 1});
    let refused = check(&foreign).unwrap_err();
    assert!(matches!(refused, EnvelopeRefusal::Mismatch { place: "the attachment's name", .. }));
}

/// Row N06.
#[test]
fn base64_is_standard_padded_and_canonical() {
    let with = |data: &str, length: usize| {
        let quoted = format!("\"{}\"", STANDARD.encode(TARBALL));
        let text = document().to_string().replace(&quoted, &format!("\"{data}\""));
        text.replace(&format!("\"length\":{}", TARBALL.len()), &format!("\"length\":{length}"))
    };
    for data in [
        "QUJD\\nQUJD",
        "QUJD QUJD",
        "QUJ-",
        "QU_D",
        "QUI",
        "QUI==",
        "QR==",
        "QUJ=",
        "Q",
        "====",
        "QUI=QUJD",
        "QUJDQQ==QQ==",
        "QUJD=",
        "QUJ\\u0044",
        "QUJD\u{e9}",
        "QUJD\n",
    ] {
        for size in [1, 3, usize::MAX] {
            let refused = split(with(data, 3).as_bytes(), &[size]).unwrap_err();
            assert!(matches!(refused, EnvelopeRefusal::Base64 { .. }), "{data}: {refused:?}");
        }
    }
    for (data, bytes) in
        [("QQ==", &b"A"[..]), ("QUI=", b"AB"), ("QUJD", b"ABC"), ("\\/\\/+\\/", b"\xff\xff\xbf")]
    {
        for size in [1, 2, 5, usize::MAX] {
            let (_, tarball) = split(with(data, bytes.len()).as_bytes(), &[size]).unwrap();
            assert_eq!(tarball, bytes);
        }
    }
    let whole = with("QUJDQUJDQUJD", 9);
    let cut = whole.find("QUJD").unwrap() + 5;
    assert_eq!(refusal(&whole.as_bytes()[..cut]), EnvelopeRefusal::Truncated);
}

/// Row N07.
#[test]
fn the_stated_length_must_be_that_of_the_data() {
    for length in [
        json!(0),
        json!(TARBALL.len() + 1),
        json!(-1),
        json!(1e308),
        json!("52"),
        json!(52.5),
        Value::Null,
    ] {
        let text = changed("/_attachments/@octo~1a-1.0.0.tgz/length", length.clone()).to_string();
        assert!(matches!(refusal(text.as_bytes()), EnvelopeRefusal::Length { .. }), "{length}");
    }
}

#[test]
fn sizes_are_bounded_while_bytes_arrive() {
    let limits = Limits { tarball_bytes: 20, provenance_bytes: 5, ..Limits::default() };
    let mut splitter = Splitter::new(&limits);
    let mut out = Vec::new();
    let refused = document()
        .to_string()
        .as_bytes()
        .chunks(4)
        .find_map(|piece| splitter.push(piece, &mut out).err());
    assert_eq!(refused, Some(EnvelopeRefusal::TarballTooLarge { limit: 20 }));
    assert!(out.len() <= 20);
    let mut document = document();
    document["_attachments"]["@octo/a-1.0.0.sigstore"] =
        json!({"content_type": "x", "data": "123456", "length": 6});
    let text = document.to_string();
    let limits = Limits { document_bytes: 20, ..Limits::default() };
    let mut splitter = Splitter::new(&limits);
    let refused = text.as_bytes().chunks(4).find_map(|p| splitter.push(p, &mut Vec::new()).err());
    assert_eq!(refused, Some(EnvelopeRefusal::DocumentTooLarge { limit: 20 }));
    let mut splitter = Splitter::new(&Limits { json_depth: 2, ..Limits::default() });
    let refused = splitter.push(b"[[[[[", &mut Vec::new()).unwrap_err();
    assert_eq!(refused, EnvelopeRefusal::Json(JsonRefusal::TooDeep { limit: 4 }));
    let limits = Limits { provenance_bytes: 5, ..Limits::default() };
    let mut splitter = Splitter::new(&limits);
    splitter.push(document.to_string().as_bytes(), &mut Vec::new()).unwrap();
    let refused = splitter.finish().unwrap_err();
    assert_eq!(refused, EnvelopeRefusal::ProvenanceTooLarge { limit: 5, length: 6 });
}

/// Rows N04, N08, N10, N11, N15, N16, N19.
#[test]
fn the_document_must_be_of_one_mind() {
    type Expected = fn(&EnvelopeRefusal) -> bool;
    let shape: Expected = |r| matches!(r, EnvelopeRefusal::Shape { .. });
    let mismatch: Expected = |r| matches!(r, EnvelopeRefusal::Mismatch { .. });
    let identity: Expected = |r| matches!(r, EnvelopeRefusal::Identity(_));
    let tag: Expected = |r| matches!(r, EnvelopeRefusal::DistTag { .. });
    let digest: Expected = |r| matches!(r, EnvelopeRefusal::Digest { .. });
    let manifest = document()["versions"]["1.0.0"].clone();
    let cases: Vec<(&str, Value, Expected)> = vec![
        ("/versions", json!({}), shape),
        ("/versions", json!({"1.0.0": manifest, "1.0.1": manifest}), shape),
        ("/versions", json!({"1.0.0": 1}), shape),
        ("/versions", json!({"v1.0.0": manifest}), identity),
        ("/versions", json!({"1.0.1": manifest}), mismatch),
        ("/name", json!("@octo/b"), mismatch),
        ("/name", json!("Octo"), identity),
        ("/name", json!(1), shape),
        ("/_id", json!("@octo/b"), mismatch),
        ("/versions/1.0.0/name", json!("@octo/b"), mismatch),
        ("/versions/1.0.0/name", Value::Null, shape),
        ("/versions/1.0.0/version", json!("1.0.1"), mismatch),
        ("/versions/1.0.0/_id", json!("@octo/a@1.0.1"), mismatch),
        ("/dist-tags", json!({}), shape),
        ("/dist-tags", json!({"a": "1.0.0", "b": "1.0.0"}), shape),
        ("/dist-tags", json!({"latest": "1.0.1"}), mismatch),
        ("/dist-tags", json!({"1.x": "1.0.0"}), tag),
        ("/dist-tags", json!({"1": "1.0.0"}), tag),
        ("/dist-tags", json!({"v1": "1.0.0"}), tag),
        ("/dist-tags", json!({"x": "1.0.0"}), tag),
        ("/dist-tags", json!({"": "1.0.0"}), tag),
        ("/dist-tags", json!({"a/b": "1.0.0"}), tag),
        ("/access", json!("secret"), shape),
        ("/access", json!(true), shape),
        ("/versions/1.0.0/dist/integrity", json!("sha1-AAAA"), digest),
        ("/versions/1.0.0/dist/integrity", json!("md5-AAAA"), digest),
        ("/versions/1.0.0/dist/integrity", json!("sha512-AAAA"), digest),
        ("/versions/1.0.0/dist/integrity", Value::Null, digest),
        ("/versions/1.0.0/dist/shasum", json!("xyz"), digest),
        ("/versions/1.0.0/dist/shasum", json!(1), digest),
        ("/versions/1.0.0/dist", json!(1), digest),
        ("/_attachments/@octo~1a-1.0.0.tgz/content_type", json!("text/html"), mismatch),
    ];
    for (pointer, value, expected) in cases {
        let refused = check(&changed(pointer, value.clone())).unwrap_err();
        assert!(expected(&refused), "{pointer} {value}: {refused:?}");
    }
    for good in ["next", "beta.1x", "release-2", "latest"] {
        assert_eq!(check(&changed("/dist-tags", json!({good: "1.0.0"}))).unwrap().dist_tag, good);
    }
    assert_eq!(check(&changed("/access", Value::Null)).unwrap().access, None);
}

/// Row N19. Rule N4.
#[test]
fn claimed_digests_must_be_those_of_the_bytes() {
    let publish = check(&document()).unwrap();
    let mut digests = Digests {
        sha256: Sha256::of(TARBALL),
        sha512: Sha512::from_slice(&sha2::Sha512::digest(TARBALL)),
        sha1: Sha1::from_slice(&sha1::Sha1::digest(TARBALL)),
        md5: None,
        blake2b256: None,
    };
    assert_eq!(publish.check_digests(&digests), Ok(()));
    digests.sha1 = Some(Sha1::from_bytes([0; 20]));
    let refused = publish.check_digests(&digests).unwrap_err();
    assert!(matches!(refused, EnvelopeRefusal::Digest { field: "shasum", .. }));
    digests.sha512 = None;
    let refused = publish.check_digests(&digests).unwrap_err();
    assert!(matches!(refused, EnvelopeRefusal::Digest { field: "integrity", .. }));
}

proptest! {
    /// Where a network cuts the document changes nothing, accepted or refused.
    #[test]
    fn splitting_is_independent_of_chunk_boundaries(
        sizes in prop::collection::vec(1usize..40, 1..20),
        at in 0usize..2000,
        byte in any::<u8>(),
        damage in any::<bool>(),
    ) {
        let mut text = document().to_string().into_bytes();
        if damage {
            let at = at % text.len();
            text[at] = byte;
        }
        let whole = split(&text, &[usize::MAX]);
        let pieces = split(&text, &sizes);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (Err(_), Err(_)) => {}
            (whole, pieces) => prop_assert!(false, "{:?} {:?}", whole, pieces),
        }
    }

    /// What the splitter accepts says the same as a parser that holds the whole document.
    #[test]
    fn an_accepted_document_is_what_a_whole_parser_sees(
        text in r#"[{]("(_attachments|a)":([{]"(x\.tgz|y)":[{]("(data|b)":("QUJD"|""|[1]),?){0,2}[}][}]|[1]),?){1,2}[}]"#,
    ) {
        if let Ok((envelope, tarball)) = split(text.as_bytes(), &[usize::MAX]) {
            let whole: Value = serde_json::from_str(&text).unwrap();
            let name = &envelope.tarball.name;
            let data = whole["_attachments"][name]["data"].as_str().unwrap();
            prop_assert_eq!(STANDARD.encode(tarball), data);
        }
    }

    #[test]
    fn no_bytes_make_the_splitter_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = split(&bytes, &[3]);
    }
}
