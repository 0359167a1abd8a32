//! A timestamp authority (RFC 3161), for log entries that have no time of their own.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SigningKey as _,
};
use sha2::{Digest as _, Sha256};

use crate::support::der::{content, sequence, split, tagged};

const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const TIMESTAMP: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const ECDSA_WITH_SHA256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const POLICY: &[u8] = b"\x06\x03\x2a\x03\x04";
const ONE: &[u8] = b"\x02\x01\x01";
const THREE: &[u8] = b"\x02\x01\x03";

/// Says when it saw something.
pub(crate) struct TimestampAuthority {
    /// Its certificate and the root above it, in DER.
    pub(crate) chain: [Vec<u8>; 2],
    key: KeyPair,
}

impl TimestampAuthority {
    pub(crate) fn new() -> Self {
        let [root_key, key] =
            [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        root.distinguished_name.push(DnType::CommonName, "Timestamps");
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let mut leaf = CertificateParams::default();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        Self { chain: [leaf.der().to_vec(), root_der], key }
    }

    /// The answer to a request about `message`: it was there at `at`.
    pub(crate) fn stamp(&self, message: &[u8], at: Timestamp) -> Vec<u8> {
        let sha256 = sequence(&[SHA256]);
        let digest = |bytes: &[u8]| tagged(0x04, &Sha256::digest(bytes));
        let time = at.strftime("%Y%m%d%H%M%SZ").to_string();
        let imprint = sequence(&[&sha256, &digest(message)]);
        let stamp = sequence(&[ONE, POLICY, &imprint, ONE, &tagged(0x18, time.as_bytes())]);
        let attributes = [
            sequence(&[CONTENT_TYPE, &tagged(0x31, TIMESTAMP)]),
            sequence(&[MESSAGE_DIGEST, &tagged(0x31, &digest(&stamp))]),
        ]
        .concat();
        // What is signed is the set; what is written is the same under another tag.
        let signature = self.key.sign(&tagged(0x31, &attributes)).unwrap();
        let signed_by = sequence(&[
            ONE,
            &self.issuer_and_serial(),
            &sha256,
            &tagged(0xa0, &attributes),
            &sequence(&[ECDSA_WITH_SHA256]),
            &tagged(0x04, &signature),
        ]);
        let inside = sequence(&[TIMESTAMP, &tagged(0xa0, &tagged(0x04, &stamp))]);
        let envelope =
            sequence(&[THREE, &tagged(0x31, &sha256), &inside, &tagged(0x31, &signed_by)]);
        let granted = sequence(&[b"\x02\x01\x00"]);
        sequence(&[&granted, &sequence(&[SIGNED_DATA, &tagged(0xa0, &envelope)])])
    }

    fn issuer_and_serial(&self) -> Vec<u8> {
        let (signed, _) = split(content(&self.chain[0]));
        let (_version, rest) = split(content(signed));
        let (serial, rest) = split(rest);
        let (_algorithm, rest) = split(rest);
        let (issuer, _) = split(rest);
        sequence(&[issuer, serial])
    }
}
