//! Passkey ceremonies against a software authenticator: what is accepted, and every refusal that
//! rules W1 to W11 and rows V01 to V18 ask of this layer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use countersign::domain::assertion::{
    Assertion, AssertionRefusal, CredentialId, Intent, Nonce, Purpose, RelyingParty, challenge,
    verify,
};
use countersign::domain::digest::Sha256;
use countersign::domain::ids::PersonId;
use countersign::passkeys::{
    AcceptedAssertion, AssertState, EnrolState, NewPasskey, PasskeyFault, PasskeyRefusal, Passkeys,
    PresentedAssertion, StoredPasskey,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::authenticator::{AT, Authenticator, BE, BS, ED, Maker, UP, UV};

const ORIGIN: &str = "https://gate.example";
const INES: PersonId = PersonId::from_uuid(Uuid::from_u128(0x1e5));
const MARA: PersonId = PersonId::from_uuid(Uuid::from_u128(0x3a4a));
const STATEMENT: &[u8] = b"approve left-pad 1.4.0";
const TEST_MODEL: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

fn passkeys() -> Passkeys {
    Passkeys::new(RelyingParty::parse(ORIGIN).unwrap(), "Countersign").unwrap()
}

fn key(seed: u8) -> Authenticator {
    Authenticator::new(seed, ORIGIN)
}

fn approval() -> Intent {
    Intent { purpose: Purpose::Approve, statement: Sha256::of(STATEMENT) }
}

fn nonce(byte: u8) -> Nonce {
    Nonce::from_bytes([byte; 32])
}

/// What a replica finds when another one wrote the row.
fn through_the_database<T: serde::Serialize + serde::de::DeserializeOwned>(row: &T) -> T {
    serde_json::from_str(&serde_json::to_string(row).unwrap()).unwrap()
}

fn try_enrol(
    passkeys: &Passkeys,
    person: PersonId,
    key: &mut Authenticator,
) -> Result<NewPasskey, PasskeyRefusal> {
    let (options, state) = passkeys.begin_enrol(person, "ines", "Ines Duarte", &[]).unwrap();
    passkeys.finish_enrol(&through_the_database::<EnrolState>(&state), &key.enrol(&options))
}

fn enrol(key: &mut Authenticator) -> StoredPasskey {
    try_enrol(&passkeys(), INES, key).unwrap().stored
}

fn begin(stored: &StoredPasskey) -> (Value, AssertState) {
    let (options, state) =
        passkeys().begin_assert(INES, std::slice::from_ref(stored), approval(), nonce(7)).unwrap();
    (options, through_the_database(&state))
}

fn finish(
    state: &AssertState,
    stored: &StoredPasskey,
    credential: &Value,
) -> Result<AcceptedAssertion, PasskeyRefusal> {
    let presented = PresentedAssertion::parse(credential)?;
    passkeys().finish_assert(state, &approval(), &through_the_database(stored), &presented)
}

/// One whole approval with an altered key.
fn approve(alter: impl FnOnce(&mut Authenticator)) -> Result<AcceptedAssertion, PasskeyRefusal> {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    alter(&mut key);
    finish(&state, &stored, &key.assert(&options))
}

#[track_caller]
fn unsound<T: std::fmt::Debug>(result: Result<T, PasskeyRefusal>) -> AssertionRefusal {
    match result {
        Err(PasskeyRefusal::Unsound(refusal)) => refusal,
        other => panic!("expected a refusal of our verifier, received {other:?}"),
    }
}

/// Rules W2 and W11: verification is required, and credProtect is the only extension.
#[test]
fn enrolment_asks_for_a_discoverable_verified_es256_key_and_its_attestation() {
    let existing = CredentialId::from_bytes(vec![9; 16]).unwrap();
    let (options, _) = passkeys()
        .begin_enrol(INES, "ines", "Ines Duarte", std::slice::from_ref(&existing))
        .unwrap();
    assert_eq!(options["rp"], json!({"id": "gate.example", "name": "Countersign"}));
    assert_eq!(options["user"]["id"], json!(B64.encode(INES.as_bytes())));
    assert_eq!(options["user"]["displayName"], json!("Ines Duarte"));
    assert_eq!(options["pubKeyCredParams"], json!([{"type": "public-key", "alg": -7}]));
    assert_eq!(options["timeout"], json!(300_000));
    assert_eq!(options["attestation"], json!("direct"));
    let selection = &options["authenticatorSelection"];
    assert_eq!(selection["residentKey"], json!("required"));
    assert_eq!(selection["requireResidentKey"], json!(true));
    assert_eq!(selection["userVerification"], json!("required"));
    assert_eq!(selection.get("authenticatorAttachment"), None);
    assert_eq!(options["excludeCredentials"][0]["id"], json!(existing.to_string()));
    assert_eq!(
        options["extensions"],
        json!({
            "credentialProtectionPolicy": "userVerificationRequired",
            "enforceCredentialProtectionPolicy": false,
        })
    );
}

#[test]
fn an_enrolled_key_is_what_the_authenticator_said() {
    let mut key = key(3);
    key.counter = 41;
    key.aaguid = [0xee; 16];
    key.transports = vec!["usb", "nfc", "smoke-signals"];
    let new = try_enrol(&passkeys(), INES, &mut key).unwrap();
    assert_eq!(new.aaguid, Uuid::from_bytes([0xee; 16]));
    assert!(!new.attestation_object.is_empty() && !new.client_data_json.is_empty());
    let stored = through_the_database(&new.stored);
    assert_eq!(stored.person(), INES);
    assert_eq!(stored.credential_id().as_bytes(), key.id);
    assert_eq!(stored.key().as_bytes(), key.public_key());
    assert_eq!(stored.counter(), 41);
    assert_eq!((stored.backup_eligible(), stored.backed_up()), (false, false));
    assert_eq!(stored.transports(), ["usb", "nfc"]);
    assert_eq!(stored.kind(), "Security key");
}

#[test]
fn kinds_of_keys_are_told_apart_by_flags_and_transports() {
    let kind = |flags, transports: Vec<&'static str>| {
        let mut key = key(3);
        (key.flags, key.transports) = (flags, transports);
        enrol(&mut key).kind()
    };
    assert_eq!(kind(UP | UV | BE | BS, vec!["internal", "hybrid"]), "Synced passkey");
    assert_eq!(kind(UP | UV, vec!["internal"]), "Passkey on one device");
    assert_eq!(kind(UP | UV, vec!["nfc"]), "Security key");
    assert_eq!(kind(UP | UV, vec![]), "Passkey");
}

/// Rules W5 and W7: the challenge commits to the statement, and only the person's keys are asked.
#[test]
fn a_signature_is_asked_for_with_the_bound_challenge_and_the_persons_keys() {
    let stored = enrol(&mut key(3));
    let (options, state) = begin(&stored);
    assert_eq!(options["challenge"], json!(B64.encode(challenge(&approval(), &nonce(7)))));
    assert_eq!(options["userVerification"], json!("required"));
    assert_eq!(options["rpId"], json!("gate.example"));
    assert_eq!(options["timeout"], json!(120_000));
    assert_eq!(options.get("extensions"), None);
    assert_eq!(
        options["allowCredentials"],
        json!([{
            "type": "public-key",
            "id": stored.credential_id().to_string(),
            "transports": ["usb"],
        }])
    );
    assert_eq!((state.intent(), state.nonce()), (&approval(), &nonce(7)));
}

/// Rule W6: what is kept is enough for somebody without our server or webauthn-rs.
#[test]
fn an_accepted_approval_verifies_again_from_what_the_log_keeps() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    let accepted = finish(&state, &stored, &key.assert(&options)).unwrap();
    assert_eq!(accepted.person(), INES);
    assert_eq!(accepted.verified().counter, 1);
    assert_eq!(accepted.stored().counter(), 1);
    assert_eq!(stored.counter(), 0);
    let logged: Assertion = through_the_database(accepted.assertion());
    assert_eq!(&logged, accepted.assertion());
    let relying_party = RelyingParty::parse(ORIGIN).unwrap();
    let again =
        verify(&relying_party, stored.key(), &approval(), accepted.nonce(), &logged, Some(0));
    assert_eq!(again.as_ref(), Ok(accepted.verified()));
    let other = Intent { statement: Sha256::of(b"approve left-pad 1.4.1"), ..approval() };
    let refused = verify(&relying_party, stored.key(), &other, accepted.nonce(), &logged, Some(0));
    assert_eq!(refused, Err(AssertionRefusal::Challenge));
}

#[test]
fn sign_in_needs_no_name_because_the_key_says_who_it_is() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let statement = Sha256::of(b"sign in");
    let (options, state) = passkeys().begin_sign_in(statement, nonce(8)).unwrap();
    let intent = Intent { purpose: Purpose::SignIn, statement };
    assert_eq!(options["allowCredentials"], json!([]));
    assert_eq!(options["challenge"], json!(B64.encode(challenge(&intent, &nonce(8)))));
    assert_eq!(options["userVerification"], json!("required"));
    let presented = PresentedAssertion::parse(&key.assert(&options)).unwrap();
    assert_eq!(presented.person(), Some(INES));
    assert_eq!(presented.credential_id(), stored.credential_id());
    let state = through_the_database(&state);
    let accepted = passkeys().finish_assert(&state, &intent, &stored, &presented).unwrap();
    assert_eq!(accepted.person(), INES);
}

/// Rule W7: without an allow-list the user handle is the only word on whose key it is.
#[test]
fn sign_in_with_no_or_another_user_handle_is_refused() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let statement = Sha256::of(b"sign in");
    let (options, state) = passkeys().begin_sign_in(statement, nonce(8)).unwrap();
    let intent = Intent { purpose: Purpose::SignIn, statement };
    for handle in [None, Some(MARA.as_bytes().to_vec()), Some(vec![1; 15]), Some(vec![])] {
        key.user_handle = handle;
        let presented = PresentedAssertion::parse(&key.assert(&options)).unwrap();
        let refused = passkeys().finish_assert(&state, &intent, &stored, &presented);
        assert_eq!(refused.unwrap_err(), PasskeyRefusal::UserHandle);
    }
}

/// Rule W7, for a known person: no handle is allowed, a wrong one is not.
#[test]
fn an_approval_may_lack_a_user_handle_but_not_name_somebody_else() {
    assert!(approve(|key| key.user_handle = None).is_ok());
    let refused = approve(|key| key.user_handle = Some(MARA.as_bytes().to_vec()));
    assert_eq!(refused.unwrap_err(), PasskeyRefusal::UserHandle);
}

/// Rule W1, rows V10 and V11.
#[test]
fn signatures_made_on_any_other_page_are_refused() {
    for origin in [
        "https://evil.example",
        "https://sub.gate.example",
        "http://gate.example",
        "https://gate.example:8443",
        "https://gate.example:443",
        "https://gate.example/",
        "https://GATE.example",
        "null",
        "",
    ] {
        let refused = unsound(approve(|key| origin.clone_into(&mut key.origin)));
        let expected =
            AssertionRefusal::Origin { expected: ORIGIN.to_owned(), received: origin.to_owned() };
        assert_eq!(refused, expected);
    }
    let refused = unsound(approve(|key| key.cross_origin = json!(true)));
    assert_eq!(refused, AssertionRefusal::CrossOrigin);
    let refused = unsound(approve(|key| key.top_origin = Some(ORIGIN.to_owned())));
    assert_eq!(refused, AssertionRefusal::CrossOrigin);
    let refused = unsound(approve(|key| key.cross_origin = json!(null)));
    assert!(matches!(refused, AssertionRefusal::ClientData(_)), "{refused:?}");
    // Row V12.
    let refused = unsound(approve(|key| "evil.example".clone_into(&mut key.rp_id)));
    assert_eq!(refused, AssertionRefusal::RelyingPartyId);
}

/// Rule W2, rows V08 and V09; the rest of the flags byte with them.
#[test]
fn signatures_with_wrong_flags_are_refused() {
    let with = |flags, extensions: &[u8]| {
        unsound(approve(|key| (key.flags, key.extensions) = (flags, extensions.to_vec())))
    };
    assert_eq!(with(UP, &[]), AssertionRefusal::NotVerified);
    assert_eq!(with(UV, &[]), AssertionRefusal::NotPresent);
    assert_eq!(with(UP | UV | BS, &[]), AssertionRefusal::BackupFlags);
    assert_eq!(with(UP | UV | AT, &[]), AssertionRefusal::AuthenticatorData);
    assert_eq!(with(UP | UV | ED, &[]), AssertionRefusal::AuthenticatorData);
    assert_eq!(with(UP | UV, &[0xa0]), AssertionRefusal::AuthenticatorData);
}

/// Row V13.
#[test]
fn a_registration_does_not_pass_for_a_signature() {
    let refused = unsound(approve(|key| key.kind = Some("webauthn.create")));
    assert!(matches!(refused, AssertionRefusal::Type { .. }), "{refused:?}");
}

/// Rules W4 and W5: the same key, the same statement, another purpose, nonce or content.
#[test]
fn a_signature_for_something_else_is_refused() {
    let other_statement = Intent { statement: Sha256::of(b"other"), ..approval() };
    let mut wrong = vec![challenge(&approval(), &nonce(6)), challenge(&other_statement, &nonce(7))];
    for purpose in Purpose::ALL {
        if purpose != Purpose::Approve {
            wrong.push(challenge(&Intent { purpose, ..approval() }, &nonce(7)));
        }
    }
    assert_eq!(wrong.len(), Purpose::ALL.len() + 1);
    for challenge in wrong {
        let refused = unsound(approve(|key| key.challenge = Some(challenge.to_vec())));
        assert_eq!(refused, AssertionRefusal::Challenge);
    }
}

/// Row V16, and a key that only shares the credential id.
#[test]
fn a_signature_by_another_key_or_over_other_bytes_is_refused() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    let mut other = Authenticator::new(4, ORIGIN);
    other.id.clone_from(&key.id);
    let refused = finish(&state, &stored, &other.assert(&options));
    assert_eq!(unsound(refused), AssertionRefusal::Signature);

    let mut credential = key.assert(&options);
    let mut client_data =
        B64.decode(credential["response"]["clientDataJSON"].as_str().unwrap()).unwrap();
    client_data.pop();
    client_data.extend_from_slice(b" }");
    credential["response"]["clientDataJSON"] = json!(B64.encode(client_data));
    let refused = finish(&state, &stored, &credential);
    assert_eq!(unsound(refused), AssertionRefusal::Signature);
}

/// Row V17: two readers of the same bytes must not see two values.
#[test]
fn client_data_with_a_member_twice_is_refused() {
    for tail in [
        r#","challenge":"AAAA""#,
        r#","chall\u0065nge":"AAAA""#,
        r#","type":"webauthn.get""#,
        r#","crossOrigin":false"#,
        r#","later":1,"later":1"#,
    ] {
        let refused = unsound(approve(|key| tail.clone_into(&mut key.client_data_tail)));
        assert!(matches!(refused, AssertionRefusal::DuplicateMember(_)), "{tail}: {refused:?}");
    }
    assert!(approve(|key| r#","later":1"#.clone_into(&mut key.client_data_tail)).is_ok());
}

/// Rule W9, row V14: the caller is told apart, so that it can suspend the key.
#[test]
fn a_counter_that_does_not_grow_is_refused_and_alarms() {
    let mut key = key(3);
    key.counter = 10;
    let stored = enrol(&mut key);
    for counter in [10, 9, 0] {
        let (options, state) = begin(&stored);
        (key.counter, key.step) = (counter, 0);
        let refused = finish(&state, &stored, &key.assert(&options)).unwrap_err();
        assert_eq!(refused, PasskeyRefusal::Counter { previous: 10, received: counter });
        assert!(refused.alarms());
    }
    let (options, state) = begin(&stored);
    key.counter = u32::MAX;
    let accepted = finish(&state, &stored, &key.assert(&options)).unwrap();
    assert_eq!(accepted.stored().counter(), u32::MAX);
}

/// Rule W9: a bad signature is nobody's copy of the key, so it must not suspend the owner's.
#[test]
fn a_counter_is_believed_only_under_a_good_signature() {
    let mut key = key(3);
    key.counter = 10;
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    let mut forger = Authenticator::new(4, ORIGIN);
    forger.id.clone_from(&key.id);
    let refused = finish(&state, &stored, &forger.assert(&options)).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::Unsound(AssertionRefusal::Signature));
    assert!(!refused.alarms());
}

/// Rule W9: synced passkeys do not count.
#[test]
fn a_key_that_does_not_count_is_accepted_again_and_again() {
    let mut key = key(3);
    (key.step, key.flags) = (0, UP | UV | BE | BS);
    let mut stored = enrol(&mut key);
    for _ in 0..2 {
        let (options, state) = begin(&stored);
        stored = finish(&state, &stored, &key.assert(&options)).unwrap().stored().clone();
        assert_eq!(stored.counter(), 0);
    }
}

/// Rule W9, row V02: the row is gone after the first finish; were it not, the counter would tell.
#[test]
fn the_same_answer_again_is_refused_once_the_counter_is_stored() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    let answer = key.assert(&options);
    let accepted = finish(&state, &stored, &answer).unwrap();
    let refused = finish(&state, accepted.stored(), &answer).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::Counter { previous: 1, received: 1 });
}

/// Rule W10, row V15.
#[test]
fn a_key_whose_backup_flags_changed_is_refused_and_alarms() {
    let plain = UP | UV;
    for (enrolled, presented) in [
        (plain, plain | BE),
        (plain, plain | BE | BS),
        (plain | BE, plain),
        (plain | BE, plain | BE | BS),
        (plain | BE | BS, plain | BE),
    ] {
        let mut key = key(3);
        key.flags = enrolled;
        let stored = enrol(&mut key);
        let (options, state) = begin(&stored);
        key.flags = presented;
        let refused = finish(&state, &stored, &key.assert(&options)).unwrap_err();
        assert_eq!(refused, PasskeyRefusal::BackupChanged, "{enrolled:#x} to {presented:#x}");
        assert!(refused.alarms());
    }
}

/// Rule W4, rows V06 and V07: the finishing request says again what it is for.
#[test]
fn a_ceremony_begun_for_another_act_or_content_cannot_be_finished() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    let presented = PresentedAssertion::parse(&key.assert(&options)).unwrap();
    for intent in [
        Intent { purpose: Purpose::Reject, ..approval() },
        Intent { purpose: Purpose::Governance, ..approval() },
        Intent { statement: Sha256::of(b"another release"), ..approval() },
    ] {
        let refused = passkeys().finish_assert(&state, &intent, &stored, &presented);
        assert_eq!(refused.unwrap_err(), PasskeyRefusal::OtherIntent);
    }
    assert!(passkeys().finish_assert(&state, &approval(), &stored, &presented).is_ok());
}

/// Row V01: an answer belongs to one ceremony, even if the statement is the same.
#[test]
fn an_answer_to_one_ceremony_is_refused_by_the_next() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, _) = begin(&stored);
    let (_, next) =
        passkeys().begin_assert(INES, std::slice::from_ref(&stored), approval(), nonce(9)).unwrap();
    let refused = finish(&next, &stored, &key.assert(&options));
    assert_eq!(unsound(refused), AssertionRefusal::Challenge);
}

/// Rule W7, row V05.
#[test]
fn a_key_of_another_person_or_one_that_was_not_asked_for_is_refused() {
    let (mut ines, mut second, mut mara) = (key(3), key(4), key(5));
    let stored = enrol(&mut ines);
    let unasked = enrol(&mut second);
    let foreign = try_enrol(&passkeys(), MARA, &mut mara).unwrap().stored;
    let (options, state) = begin(&stored);
    for (key, theirs) in [(&mut second, &unasked), (&mut mara, &foreign)] {
        let answer = key.assert(&options);
        let refused = finish(&state, theirs, &answer).unwrap_err();
        assert_eq!(refused, PasskeyRefusal::ForeignKey(theirs.credential_id().clone()));
        // The right row, looked up by anything but the answer's credential id.
        let refused = finish(&state, &stored, &answer).unwrap_err();
        assert_eq!(refused, PasskeyRefusal::ForeignKey(theirs.credential_id().clone()));
    }
    let answer = ines.assert(&options);
    let refused = finish(&state, &unasked, &answer).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::ForeignKey(stored.credential_id().clone()));
    assert!(finish(&state, &stored, &answer).is_ok());
}

#[test]
fn a_signature_cannot_be_begun_without_a_key_or_with_somebody_elses() {
    let stored = enrol(&mut key(3));
    for keys in [&[][..], std::slice::from_ref(&stored)] {
        let fault = passkeys().begin_assert(MARA, keys, approval(), nonce(7)).unwrap_err();
        assert!(matches!(fault, PasskeyFault::Keys), "{fault:?}");
    }
}

/// Both verifiers must accept: here ours does and webauthn-rs does not.
#[test]
fn what_only_webauthn_rs_refuses_is_refused() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, state) = begin(&stored);
    let answer = key.assert(&options);
    let mut row = serde_json::to_value(&state).unwrap();
    *row.pointer_mut("/ceremony/ast/challenge").unwrap() = json!(B64.encode([0; 32]));
    let altered: AssertState = serde_json::from_value(row).unwrap();
    let refused = finish(&altered, &stored, &answer).unwrap_err();
    assert!(matches!(refused, PasskeyRefusal::SecondOpinion(_)), "{refused:?}");
    assert!(finish(&state, &stored, &answer).is_ok());
}

/// Rule W11: outputs of extensions nobody asked for change nothing.
#[test]
fn extension_outputs_are_ignored() {
    let accepted = approve(|key| {
        key.extension_results = json!({"appid": true, "prf": {"enabled": 7}, "uvm": "odd"});
        (key.flags, key.extensions) = (UP | UV | ED, vec![0xa0]);
    });
    assert!(accepted.is_ok(), "{accepted:?}");
    let mut key = key(3);
    key.extension_results = json!({"credProps": {"rk": "odd"}, "credProtect": [1]});
    assert!(try_enrol(&passkeys(), INES, &mut key).is_ok());
}

/// Rules W1 and W2 at registration.
#[test]
fn unsound_registrations_are_refused() {
    let with = |alter: &dyn Fn(&mut Authenticator)| {
        let mut key = key(3);
        alter(&mut key);
        unsound(try_enrol(&passkeys(), INES, &mut key))
    };
    assert_eq!(with(&|key| key.flags = UP), AssertionRefusal::NotVerified);
    assert_eq!(with(&|key| key.flags = UV), AssertionRefusal::NotPresent);
    assert_eq!(with(&|key| key.flags = UP | UV | BS), AssertionRefusal::BackupFlags);
    assert_eq!(with(&|key| key.flags = UP | UV | ED), AssertionRefusal::AuthenticatorData);
    assert_eq!(with(&|key| key.extensions = vec![0xa0]), AssertionRefusal::AuthenticatorData);
    assert_eq!(with(&|key| key.rp_id = "evil.example".into()), AssertionRefusal::RelyingPartyId);
    assert_eq!(with(&|key| key.cross_origin = json!(true)), AssertionRefusal::CrossOrigin);
    assert_eq!(with(&|key| key.challenge = Some(vec![0; 32])), AssertionRefusal::Challenge);
    let refused = with(&|key| key.origin = "https://sub.gate.example".into());
    assert!(matches!(refused, AssertionRefusal::Origin { .. }), "{refused:?}");
    let refused = with(&|key| key.kind = Some("webauthn.get"));
    assert!(matches!(refused, AssertionRefusal::Type { .. }), "{refused:?}");
    let refused = with(&|key| key.client_data_tail = r#","origin":"https://gate.example""#.into());
    assert!(matches!(refused, AssertionRefusal::DuplicateMember(_)), "{refused:?}");
}

#[test]
fn keys_of_other_kinds_than_es256_are_refused_at_registration() {
    // An Ed25519 key, an ES256 key with its members in another order, and a point off the curve.
    let okp =
        [&[0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20][..], &[7; 32]].concat();
    let right = key(3).public_key();
    let reordered = [&[0xa5, 0x03, 0x26, 0x01, 0x02][..], &right[5..]].concat();
    for odd in [okp, reordered, vec![]] {
        let mut key = key(3);
        key.cose_key = Some(odd);
        assert_eq!(unsound(try_enrol(&passkeys(), INES, &mut key)), AssertionRefusal::Key);
    }
    let mut off_curve = key(3);
    off_curve.cose_key = Some([&right[..10], &[1; 32], &right[42..45], &[1; 32]].concat());
    let refused = try_enrol(&passkeys(), INES, &mut off_curve).unwrap_err();
    assert!(matches!(refused, PasskeyRefusal::SecondOpinion(_)), "{refused:?}");
}

#[test]
fn a_key_is_not_enrolled_twice_for_the_same_person() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let existing = [stored.credential_id().clone()];
    let (options, state) = passkeys().begin_enrol(INES, "ines", "Ines", &existing).unwrap();
    let refused = passkeys().finish_enrol(&state, &key.enrol(&options)).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::AlreadyEnrolled);
}

/// Rule W7: the id that must be unique is the authenticator's, not the browser's word for it.
#[test]
fn a_registration_under_another_credential_id_is_refused() {
    let mut key = key(3);
    let (options, state) = passkeys().begin_enrol(INES, "ines", "Ines", &[]).unwrap();
    let mut credential = key.enrol(&options);
    let claimed = CredentialId::from_bytes(vec![9; 16]).unwrap();
    (credential["id"], credential["rawId"]) =
        (json!(claimed.to_string()), json!(claimed.to_string()));
    let refused = passkeys().finish_enrol(&state, &credential).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::ForeignKey(claimed));
}

#[test]
fn test_authenticators_are_refused_unless_they_were_allowed() {
    let mut key = key(3);
    key.aaguid = TEST_MODEL;
    let refused = try_enrol(&passkeys(), INES, &mut key).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::TestAuthenticator);
    let lenient = passkeys().allow_test_authenticators();
    assert_eq!(try_enrol(&lenient, INES, &mut key).unwrap().aaguid.as_bytes(), &TEST_MODEL);
}

#[test]
fn credentials_that_browsers_do_not_write_are_refused() {
    let mut key = key(3);
    let stored = enrol(&mut key);
    let (options, _) = begin(&stored);
    let good = key.assert(&options);
    assert!(PresentedAssertion::parse(&good).is_ok());
    let altered = |path: &str, value: Value| {
        let mut credential = good.clone();
        *credential.pointer_mut(path).unwrap() = value;
        PresentedAssertion::parse(&credential).unwrap_err()
    };
    for (path, value) in [
        ("/type", json!("password")),
        ("/id", json!("AAAA")),
        ("/rawId", json!(7)),
        ("/response", json!([])),
        ("/response/signature", json!(null)),
        ("", json!("text")),
    ] {
        let refused = altered(path, value);
        assert!(matches!(refused, PasskeyRefusal::Malformed(_)), "{path}: {refused:?}");
    }
    for (path, value, part) in [
        ("/response/signature", "A".repeat(1000), "signature"),
        ("/response/clientDataJSON", "A".repeat(8000), "client data"),
        ("/response/authenticatorData", "A".repeat(8000), "authenticator data"),
        ("/response/userHandle", "A".repeat(200), "user handle"),
    ] {
        let refused = altered(path, json!(value));
        let PasskeyRefusal::Unsound(AssertionRefusal::Length { part: named, .. }) = refused else {
            panic!("{path}: {refused:?}");
        };
        assert_eq!(named, part);
    }
    let refused = altered("/response/signature", json!("AA=="));
    assert_eq!(refused, AssertionRefusal::Encoding { part: "signature" }.into());
}

/// Recorded from a real browser: direct attestation, a discoverable sign-in, then an approval. The
/// states are rows as the database held them.
#[test]
fn what_a_real_browser_sent_is_accepted_step_by_step() {
    let recorded: Value =
        serde_json::from_str(include_str!("../data/assertion/chromium.json")).unwrap();
    let relying_party = RelyingParty::parse(recorded["origin"].as_str().unwrap()).unwrap();
    let strict = Passkeys::new(relying_party, "Countersign").unwrap();
    let passkeys = strict.clone().allow_test_authenticators();

    let state: EnrolState = serde_json::from_value(recorded["enrol"]["state"].clone()).unwrap();
    let credential = &recorded["enrol"]["credential"];
    // Direct attestation is what lets us see the model.
    let refused = strict.finish_enrol(&state, credential).unwrap_err();
    assert_eq!(refused, PasskeyRefusal::TestAuthenticator);
    let stored = passkeys.finish_enrol(&state, credential).unwrap().stored;

    let assert = |step: &str, intent: &Intent, stored: &StoredPasskey| {
        let state = serde_json::from_value(recorded[step]["state"].clone()).unwrap();
        let presented = PresentedAssertion::parse(&recorded[step]["credential"]).unwrap();
        assert_eq!(presented.person(), Some(INES));
        passkeys.finish_assert(&state, intent, stored, &presented).unwrap()
    };
    let sign_in = Intent { purpose: Purpose::SignIn, statement: Sha256::of(b"sign in") };
    let accepted = assert("signIn", &sign_in, &stored);
    let accepted = assert("approve", &approval(), accepted.stored());
    assert_eq!((accepted.person(), accepted.verified().counter), (INES, 3));
}

mod vectors {
    //! `tests/data/assertion/vectors.json` is made here and checked by `domain::assertion`'s tests.

    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/assertion/vectors.json");

    fn vector(
        name: &str,
        purpose: Purpose,
        previous_counter: Option<u32>,
        expected: &str,
        alter: impl FnOnce(&mut Authenticator),
    ) -> Value {
        let mut key = Authenticator::new(42, ORIGIN);
        key.counter = 6;
        let public_key = B64.encode(key.public_key());
        let intent = Intent { purpose, ..approval() };
        let options = json!({"challenge": B64.encode(challenge(&intent, &nonce(0x5a)))});
        alter(&mut key);
        let credential = key.assert(&options);
        let response = &credential["response"];
        json!({
            "name": name,
            "expected": expected,
            "origin": ORIGIN,
            "purpose": purpose,
            "nonce": nonce(0x5a),
            "statement": std::str::from_utf8(STATEMENT).unwrap(),
            "publicKey": public_key,
            "previousCounter": previous_counter,
            "assertion": {
                "credentialId": credential["rawId"],
                "clientDataJSON": response["clientDataJSON"],
                "authenticatorData": response["authenticatorData"],
                "signature": response["signature"],
            },
        })
    }

    fn approve_vector(name: &str, expected: &str, alter: impl FnOnce(&mut Authenticator)) -> Value {
        vector(name, Purpose::Approve, Some(6), expected, alter)
    }

    fn all() -> Vec<Value> {
        let mut all: Vec<Value> = Purpose::ALL
            .into_iter()
            .map(|purpose| vector(&purpose.to_string(), purpose, Some(6), "accepted", |_| ()))
            .collect();
        let stale = Intent { statement: Sha256::of(b"approve left-pad 1.3.0"), ..approval() };
        let stale = challenge(&stale, &nonce(0x5a)).to_vec();
        let reject = Intent { purpose: Purpose::Reject, ..approval() };
        let reject = challenge(&reject, &nonce(0x5a)).to_vec();
        all.extend([
            vector("counter unknown", Purpose::Approve, None, "accepted", |_| ()),
            vector("no counter", Purpose::Approve, Some(0), "accepted", |key| {
                (key.counter, key.step) = (0, 0);
            }),
            vector("counter equal", Purpose::Approve, Some(7), "Counter", |_| ()),
            vector("counter lower", Purpose::Approve, Some(8), "Counter", |_| ()),
            vector("counter back to zero", Purpose::Approve, Some(8), "Counter", |key| {
                (key.counter, key.step) = (0, 0);
            }),
            approve_vector("synced key", "accepted", |key| key.flags = UP | UV | BE | BS),
            approve_vector("unknown member", "accepted", |key| {
                key.client_data_tail = r#","later":{"a":1}"#.into();
            }),
            approve_vector("extension data", "accepted", |key| {
                (key.flags, key.extensions) = (UP | UV | ED, vec![0xa0]);
            }),
            approve_vector("other statement", "Challenge", |key| key.challenge = Some(stale)),
            approve_vector("other purpose", "Challenge", |key| key.challenge = Some(reject)),
            approve_vector("registration", "Type", |key| key.kind = Some("webauthn.create")),
            approve_vector("other site", "Origin", |key| {
                key.origin = "https://evil.example".into();
            }),
            approve_vector("other port", "Origin", |key| key.origin = format!("{ORIGIN}:8443")),
            approve_vector("http", "Origin", |key| key.origin = "http://gate.example".into()),
            approve_vector("framed", "CrossOrigin", |key| key.cross_origin = json!(true)),
            approve_vector("top origin", "CrossOrigin", |key| key.top_origin = Some(ORIGIN.into())),
            approve_vector("other RP id", "RelyingPartyId", |key| {
                key.rp_id = "evil.example".into();
            }),
            approve_vector("not present", "NotPresent", |key| key.flags = UV),
            approve_vector("not verified", "NotVerified", |key| key.flags = UP),
            approve_vector("backed up only", "BackupFlags", |key| key.flags = UP | UV | BS),
            approve_vector("attested flag", "AuthenticatorData", |key| key.flags = UP | UV | AT),
            approve_vector("flag without extensions", "AuthenticatorData", |key| {
                key.flags = UP | UV | ED;
            }),
            approve_vector("extensions without flag", "AuthenticatorData", |key| {
                key.extensions = vec![0xa0];
            }),
            approve_vector("challenge twice", "DuplicateMember", |key| {
                key.client_data_tail = r#","challenge":"AAAA""#.into();
            }),
            approve_vector("challenge twice, escaped", "DuplicateMember", |key| {
                key.client_data_tail = r#","chall\u0065nge":"AAAA""#.into();
            }),
            approve_vector("foreign key", "Signature", |key| {
                *key = Authenticator::new(43, ORIGIN);
                key.counter = 6;
            }),
        ]);
        all
    }

    /// Set `COUNTERSIGN_WRITE_VECTORS` to write the file anew.
    #[test]
    fn the_published_vectors_are_these() {
        let mut made = serde_json::to_string_pretty(&all()).unwrap();
        made.push('\n');
        if std::env::var_os("COUNTERSIGN_WRITE_VECTORS").is_some() {
            std::fs::write(PATH, &made).unwrap();
        }
        let published = std::fs::read_to_string(PATH).unwrap();
        assert!(published == made, "{PATH} differs from what the authenticator makes");
    }
}

/// Rule W8: the model is what a maker whose root is trusted here says it is.
#[test]
fn only_a_trusted_maker_vouches_for_a_key() {
    let model = [7; 16];
    let (maker, other) = (Maker::of(model), Maker::of(model));
    let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let enrolled = |maker: Option<&Maker>, claimed: [u8; 16]| {
        let mut key = key(1);
        (key.maker, key.aaguid) = (maker.cloned(), claimed);
        try_enrol(&passkeys(), INES, &mut key)
    };
    let trusting = |root: &[u8]| passkeys().trust_makers(&[root.to_vec()]).unwrap();
    let vouched = enrolled(Some(&maker), model).unwrap();
    assert!(trusting(&maker.root).vouched_for(&vouched, now));
    assert!(!trusting(&other.root).vouched_for(&vouched, now), "another root");
    assert!(!passkeys().vouched_for(&vouched, now), "no root");
    let late = now + SignedDuration::from_hours(24 * 366 * 4000);
    assert!(!trusting(&maker.root).vouched_for(&vouched, late), "the certificate ran out");
    let silent = enrolled(None, model).unwrap();
    assert!(!trusting(&maker.root).vouched_for(&silent, now), "no attestation");
    let lie = enrolled(Some(&maker), [8; 16]);
    assert!(matches!(lie, Err(PasskeyRefusal::SecondOpinion(_))), "{lie:?}");
    let bad_root = passkeys().trust_makers(&[b"not a certificate".to_vec()]);
    assert!(matches!(bad_root, Err(PasskeyFault::Root)));
}
