//! The outside world for Countersign's end-to-end tests and its demo: real publishing clients, real registries, a
//! CI-shaped token issuer, a real browser with virtual passkeys, and the built `countersign` binary.
//! Everything runs on loopback, on ports the system chooses, in folders that vanish with their owner.
//! A tool that is absent is a failure that says what to run; nothing here skips.

pub mod browser;
pub mod ca;
pub mod child;
pub mod clients;
pub mod clock;
pub mod count;
pub mod documents;
pub mod evidence;
pub mod gateway;
pub mod issuer;
pub mod projects;
pub mod registries;
pub mod stub;
pub mod tools;
pub mod world;

/// A plain HTTP client for loopback: no proxy, no redirects, 30 seconds per request, no trusted certificates.
pub fn http() -> reqwest::Client {
    http_with(Vec::new())
}

fn http_with(trusted: Vec<reqwest::Certificate>) -> reqwest::Client {
    // Installing twice is an error that means it is already there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_certs_only(trusted)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("an HTTP client")
}
