//! Each real client, driven against the recording stand-in: the drivers are proven before anything is said about the
//! product. What is asserted is what wire.md says the client sends.

use countersign_e2e::ca::Ca;
use countersign_e2e::clients::{Desk, Job, Npm, NpmTarget, PythonTarget};
use countersign_e2e::issuer::Issuer;
use countersign_e2e::projects::{self, Backend, PythonProject};
use countersign_e2e::stub::{MINTED, Stub};
use serde_json::json;
use tempfile::TempDir;

const TOKEN: &str = "pypi-configured";

struct Stage {
    dir: TempDir,
    ca: Ca,
    stub: Stub,
}

impl Stage {
    async fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::create(&dir.path().join("tls"));
        let stub = Stub::start(&ca).await;
        Stage { dir, ca, stub }
    }

    fn desk(&self, job: Job) -> Desk {
        Desk::new(&self.ca, job)
    }

    async fn python(&self, backend: Backend) -> PythonProject {
        projects::python(&self.dir.path().join("python"), "hello-wire", "1.0.0", backend).await
    }

    fn target(&self) -> PythonTarget {
        PythonTarget::token(&format!("{}/pypi/legacy/", self.stub.https), TOKEN)
    }

    fn npm(&self, token: Option<&str>) -> NpmTarget {
        NpmTarget { url: format!("{}/npm/", self.stub.http), token: token.map(String::from) }
    }

    fn npm_project(&self) -> std::path::PathBuf {
        let dir = self.dir.path().join("npm");
        projects::npm(&dir, "@octo/hello-wire", "1.0.0");
        dir
    }

    /// Both files of the project arrived whole, in this order of kinds, with this password.
    fn assert_uploaded(&self, kinds: &[&str], password: &str) {
        let posts = self.stub.with("POST", "/pypi/legacy");
        assert_eq!(posts.len(), kinds.len(), "{}", self.stub.summary());
        let basic = basic("__token__", password);
        for (post, kind) in posts.iter().zip(kinds) {
            assert_eq!(post.header("authorization"), basic);
            assert!(post.header("content-type").starts_with("multipart/form-data; boundary="));
            assert!(post.holds(kind.as_bytes()), "expected a {kind}");
            let suffix: &[u8] = if *kind == "sdist" {
                b"hello_wire-1.0.0.tar.gz\""
            } else {
                b"-py3-none-any.whl\""
            };
            assert!(post.holds(suffix), "the file name of the {kind}");
        }
    }

    fn assert_document(&self, method: &str, bearer: &str) {
        let puts = self.stub.with(method, "@octo%2fhello-wire");
        let put = puts
            .iter()
            .find(|r| !r.body.is_empty())
            .unwrap_or_else(|| panic!("{}", self.stub.summary()));
        assert_eq!(put.header("authorization"), format!("Bearer {bearer}"));
        let document = put.json();
        assert_eq!(document["name"], "@octo/hello-wire");
        assert!(
            document["versions"]["1.0.0"]["dist"]["integrity"]
                .as_str()
                .unwrap()
                .starts_with("sha512-")
        );
        assert!(document["_attachments"]["@octo/hello-wire-1.0.0.tgz"]["data"].is_string());
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

#[tokio::test]
async fn twine_uploads_wheel_and_sdist_over_tls() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Hatchling).await;
    stage.desk(Job::None).twine(&stage.target(), &project.files).await.succeeded();
    stage.assert_uploaded(&["bdist_wheel", "sdist"], TOKEN);
}

#[tokio::test]
async fn uv_uploads_with_a_token() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Hatchling).await;
    stage.desk(Job::None).uv(&stage.target(), &project.files).await.succeeded();
    stage.assert_uploaded(&["bdist_wheel", "sdist"], TOKEN);
}

#[tokio::test]
async fn uv_trusted_publishing_exchanges_uploads_and_burns_over_tls() {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let project = stage.python(Backend::Hatchling).await;
    let url = stage.target().url;
    stage.desk(Job::github(&issuer)).uv_trusted(&url, &project.files).await.succeeded();
    stage.assert_uploaded(&["bdist_wheel", "sdist"], MINTED);
    let mint = stage.stub.with("POST", "/_/oidc/mint-token");
    assert_eq!(claim(mint[0].json()["token"].as_str().unwrap(), "aud"), json!("localhost"));
    assert_eq!(stage.stub.with("POST", "/_/oidc/burn-token")[0].json()["token"], MINTED);
}

#[tokio::test]
async fn uv_on_gitlab_uses_the_variable_named_after_the_audience() {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let project = stage.python(Backend::Hatchling).await;
    let token = issuer.gitlab("localhost", &json!({ "ref_protected": "false" }));
    let job = Job::GitLab { tokens: vec![("LOCALHOST_ID_TOKEN".to_string(), token.clone())] };
    stage.desk(job).uv_trusted(&stage.target().url, &project.files).await.succeeded();
    assert_eq!(stage.stub.with("POST", "/_/oidc/mint-token")[0].json()["token"], json!(token));
    assert_eq!(claim(&token, "ref_protected"), "false");
}

#[tokio::test]
async fn the_pypa_action_exchanges_then_twine_uploads() {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let project = stage.python(Backend::Hatchling).await;
    let desk = stage.desk(Job::github(&issuer));
    desk.pypa_action(&stage.ca, &stage.target().url, &project.files).await.succeeded();
    stage.assert_uploaded(&["bdist_wheel", "sdist"], MINTED);
}

#[tokio::test]
async fn poetry_uploads_sdist_then_wheel() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Hatchling).await;
    stage.desk(Job::None).poetry(&stage.target(), &project.dir).await.succeeded();
    stage.assert_uploaded(&["sdist", "bdist_wheel"], TOKEN);
}

#[tokio::test]
async fn flit_builds_and_uploads() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Flit).await;
    stage.desk(Job::None).flit(&stage.target(), &project.dir).await.succeeded();
    stage.assert_uploaded(&["bdist_wheel", "sdist"], TOKEN);
}

#[tokio::test]
async fn hatch_uploads() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Hatchling).await;
    stage.desk(Job::None).hatch(&stage.target(), &project.dir, &project.files).await.succeeded();
    stage.assert_uploaded(&["sdist", "bdist_wheel"], TOKEN);
}

#[tokio::test]
async fn maturin_uploads() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Hatchling).await;
    stage.desk(Job::None).maturin(&stage.target(), &project.files).await.succeeded();
    stage.assert_uploaded(&["sdist", "bdist_wheel"], TOKEN);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_uploads_nothing() {
    let stage = Stage::new().await;
    let project = stage.python(Backend::Hatchling).await;
    let stranger = Ca::create(&stage.dir.path().join("stranger"));
    let desk = Desk::new(&stranger, Job::None);
    desk.twine(&stage.target(), &project.files).await.failed_showing("CERTIFICATE_VERIFY_FAILED");
    desk.uv(&stage.target(), &project.files).await.failed_showing("certificate");
    assert_eq!(stage.stub.requests().len(), 0, "{}", stage.stub.summary());
}

async fn npm_exchanges_then_puts(npm: Npm) {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let desk = stage.desk(Job::github(&issuer));
    let ran = desk.npm_publish(npm, &stage.npm(None), &stage.npm_project()).await.succeeded();
    let exchange =
        stage.stub.with("POST", "/-/npm/v1/oidc/token/exchange/package/@octo%2fhello-wire");
    assert_eq!(exchange.len(), 1, "{}", stage.stub.summary());
    assert!(exchange[0].target.starts_with("/-/npm/"), "npm exchanges at the host root");
    let token = exchange[0].header("authorization").trim_start_matches("Bearer ");
    assert_eq!(claim(token, "aud"), "npm:localhost");
    stage.assert_document("PUT", MINTED);
    assert!(
        ran.stderr.contains("waiting for approval (stub)"),
        "the notice is shown: {}",
        ran.stderr
    );
}

#[tokio::test]
async fn npm_11_exchanges_oidc_and_puts() {
    npm_exchanges_then_puts(Npm::V11).await;
}

#[tokio::test]
async fn npm_12_exchanges_oidc_and_puts() {
    npm_exchanges_then_puts(Npm::V12).await;
}

#[tokio::test]
async fn npm_publishes_with_a_configured_token() {
    let stage = Stage::new().await;
    let desk = stage.desk(Job::None);
    desk.npm_publish(Npm::V12, &stage.npm(Some("npm_configured")), &stage.npm_project())
        .await
        .succeeded();
    stage.assert_document("PUT", "npm_configured");
}

#[tokio::test]
async fn npm_stages_and_shows_the_id() {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let desk = stage.desk(Job::github(&issuer));
    let ran = desk.npm_stage(&stage.npm(None), &stage.npm_project()).await.succeeded();
    stage.assert_document("POST", MINTED);
    assert!(ran.output().contains("0193a0de-0000-7000-8000-000000000001"), "{}", ran.output());
}

#[tokio::test]
async fn pnpm_exchanges_under_the_registry_path_and_puts() {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let desk = stage.desk(Job::github(&issuer));
    desk.pnpm(&stage.npm(None), &stage.npm_project()).await.succeeded();
    let exchange = stage.stub.with("POST", "/npm/-/npm/v1/oidc/token/exchange/package/");
    assert_eq!(exchange.len(), 1, "{}", stage.stub.summary());
    stage.assert_document("PUT", MINTED);
}

#[tokio::test]
async fn yarn_exchanges_for_an_audience_with_the_port_and_puts() {
    let stage = Stage::new().await;
    let issuer = Issuer::start().await;
    let desk = stage.desk(Job::github(&issuer));
    desk.yarn(&stage.npm(None), &stage.npm_project()).await.succeeded();
    let exchange = stage.stub.with("POST", "/npm/-/npm/v1/oidc/token/exchange/package/");
    assert_eq!(exchange.len(), 1, "{}", stage.stub.summary());
    let token = exchange[0].header("authorization").trim_start_matches("Bearer ");
    let audience = format!("npm:{}", stage.stub.http.trim_start_matches("http://"));
    assert_eq!(claim(token, "aud"), json!(audience));
    stage.assert_document("PUT", MINTED);
}

/// A claim of a token, unverified.
fn claim(token: &str, name: &str) -> serde_json::Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).expect("three parts");
    let payload =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice::<serde_json::Value>(&payload).expect("JSON")[name].clone()
}
