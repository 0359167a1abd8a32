//! The browser driver against a page of our own that uses the passkey forms of the product: an attribute on the form,
//! a message element, and a new document at the end.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use countersign_e2e::browser::{Browser, Look};

const PAGE: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Add a passkey</title></head>
<body><main><h1>Add a passkey</h1>
<form data-passkey="KIND" action="ACTION"><button>Go on</button><p data-passkey-message></p></form>
<a href="/file/artifacts/a.bin">a.bin</a> <a href="/file/artifacts/a.bin/contents">contents</a></main>
<script>
const rp = { id: 'localhost', name: 'Stand-in' }
const bytes = n => crypto.getRandomValues(new Uint8Array(n))
const make = () => navigator.credentials.create({ publicKey: { rp, challenge: bytes(32),
  user: { id: bytes(16), name: 'mia', displayName: 'Mia' }, pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
  authenticatorSelection: { residentKey: 'required', userVerification: 'required' } } })
const use = () => navigator.credentials.get({ publicKey: { challenge: bytes(32), rpId: 'localhost', userVerification: 'required' } })
document.querySelector('form').addEventListener('submit', async event => {
  event.preventDefault()
  const form = event.currentTarget, message = form.querySelector('[data-passkey-message]')
  try {
    const made = await (form.dataset.passkey === 'create' ? make() : use())
    location.assign('/after?' + made.type)
  } catch (error) { message.setAttribute('role', 'alert'); message.textContent = error.name }
})
</script></body></html>"#;

async fn serve() -> String {
    let page = |kind: &'static str, action: &'static str| {
        get(move || async move { Html(PAGE.replace("KIND", kind).replace("ACTION", action)) })
    };
    let routes = Router::new()
        .route("/invite/token", page("create", "/invite/token/passkeys"))
        .route("/login", page("get", "/login"))
        .route("/releases/1", page("get", "/releases/1/approve"))
        .route("/file/artifacts/a.bin", get(|| async { "abc" }))
        .route(
            "/after",
            get(|| async { Html("<!doctype html><title>After</title><p>went on<img>") }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    origin
}

#[tokio::test]
async fn a_person_enrols_signs_in_and_approves_with_a_virtual_passkey() {
    let origin = serve().await;
    let (browser, key) = Browser::with_key().await;
    assert_eq!(browser.enrol(&format!("{origin}/invite/token")).await, Ok(()));
    assert_eq!(browser.credentials(&key).await, 1);
    assert_eq!(browser.sign_in(&origin).await, Ok(()));
    assert!(browser.url().await.ends_with("/after?public-key"));
    assert_eq!(browser.approve(&format!("{origin}/releases/1")).await, Ok(()));
    assert!(browser.text().await.contains("went on"));
    browser.close().await;
}

#[tokio::test]
async fn a_failed_verification_or_an_absent_key_is_an_error_the_person_reads() {
    let origin = serve().await;
    let (browser, key) = Browser::with_key().await;
    assert_eq!(browser.enrol(&format!("{origin}/invite/token")).await, Ok(()));
    browser.set_verified(&key, false).await;
    assert_eq!(browser.sign_in(&origin).await, Err("NotAllowedError".to_string()));
    browser.set_verified(&key, true).await;
    assert_eq!(browser.sign_in(&origin).await, Ok(()));
    browser.unplug(&key).await;
    let (other, _) = Browser::with_key().await;
    assert_eq!(
        other.sign_in(&origin).await,
        Err("NotAllowedError".to_string()),
        "another key is no help"
    );
    other.close().await;
    browser.close().await;
}

#[tokio::test]
async fn axe_screenshots_and_downloads_work_on_a_page() {
    let origin = serve().await;
    let browser = Browser::open().await;
    browser.go(&format!("{origin}/login")).await;
    assert_eq!(browser.axe().await.len(), 0);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_string();
    assert_eq!(browser.digests("/artifacts/").await, [("a.bin".to_string(), abc)]);
    assert!(!browser.overflows_on_a_phone().await);
    let dir = tempfile::tempdir().unwrap();
    let mut widths = Vec::new();
    for (look, name) in
        [(Look::Light, "light.png"), (Look::Dark, "dark.png"), (Look::Phone, "390.png")]
    {
        let file = dir.path().join(name);
        browser.screenshot(look, &file).await;
        let png = std::fs::read(&file).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        // Bytes 16 to 20 of a PNG are its width.
        widths.push(u32::from_be_bytes(png[16..20].try_into().unwrap()));
    }
    assert_eq!(widths, [1280, 1280, 390]);
    browser.go(&format!("{origin}/after")).await;
    let rules: Vec<String> = browser.axe().await.into_iter().map(|v| v.id).collect();
    assert!(rules.contains(&"image-alt".to_string()), "axe sees the planted problem: {rules:?}");
    browser.close().await;
}
