//! A certificate authority for one test: its certificate, and a leaf for `localhost` and 127.0.0.1.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// PEM files in a folder of the caller.
pub struct Ca {
    /// What clients must trust.
    pub certificate: PathBuf,
    /// The server's certificate.
    pub leaf: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
}

impl Ca {
    /// Writes `ca.pem`, `cert.pem` and `key.pem` into `dir`, which is created.
    pub fn create(dir: &Path) -> Ca {
        std::fs::create_dir_all(dir).expect("a folder for certificates");
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, "Countersign test authority");
        let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");

        let leaf_key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
        let mut leaf = CertificateParams::new(names).expect("parameters");
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        // Python's strict chain check asks for this extension.
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_certificate =
            leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key)).expect("a certificate");

        let files = Ca {
            certificate: dir.join("ca.pem"),
            leaf: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        };
        std::fs::write(&files.certificate, ca_certificate.pem()).expect("the authority");
        std::fs::write(&files.leaf, leaf_certificate.pem()).expect("the certificate");
        std::fs::write(&files.key, leaf_key.serialize_pem()).expect("the key");
        files
    }

    /// The server side of TLS with this leaf.
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        let chain = vec![CertificateDer::from_pem_file(&self.leaf).expect("the certificate")];
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("the key");
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a matching key");
        Arc::new(config)
    }

    /// An HTTP client that trusts this authority only.
    pub fn client(&self) -> reqwest::Client {
        let pem = std::fs::read(&self.certificate).expect("the authority");
        crate::http_with(vec![reqwest::Certificate::from_pem(&pem).expect("a certificate")])
    }
}
