//! The accept loop over real sockets, and what it counts by address: connections, headers, bodies,
//! claim codes and sign-ins, each too slow, too much or too often (security.md 2.9).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use countersign::config::{Listen, TlsFiles};
use countersign::pipeline::signin::CLAIM_TRIES_MAX;
use countersign::web;
use countersign::web::listen::{Bounds, Listener};
use countersign::web::pace::Pace;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::database::{on_both, sqlite};
use crate::support::http::{Answer, send_on};
use crate::support::setup::count;
use crate::support::site::Site;
use crate::support::world::{World, npm_document, run, sdist};

/// A bound short enough to wait for.
const SOON: Duration = Duration::from_millis(300);
/// So late that a test may wait for it in vain.
const LATE: Duration = Duration::from_secs(20);

/// Something behind a listener; it stops when dropped.
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(router: Router, bounds: Bounds, tls: Option<TlsFiles>) -> Served {
    let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), tls };
    let listener = Listener::bind(&listen, bounds).await.unwrap();
    let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
    tokio::spawn(listener.serve(router, stop.clone()));
    Served { address, stop }
}

/// Answers with the length of the body, and counts the requests that came so far.
fn counter() -> (Router, Arc<AtomicUsize>) {
    let heard = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&heard);
    let handler = async move |body: Bytes| {
        counts.fetch_add(1, Ordering::Relaxed);
        body.len().to_string()
    };
    (Router::new().fallback(handler), heard)
}

impl Served {
    /// A connection from one of the addresses of this host.
    async fn from(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// What comes back for these bytes until the other side closes.
    async fn answer(&self, sent: &str) -> String {
        let mut stream = self.from(1).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        to_the_end(&mut stream).await
    }
}

async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(LATE, stream.read_to_end(&mut answer)).await.expect("it is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request on a connection that stays open; whether it was answered in time.
async fn is_served(stream: &mut TcpStream, time: Duration) -> bool {
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answer = [0; 512];
    match timeout(time, stream.read(&mut answer)).await {
        Ok(Ok(length)) => answer[..length].starts_with(b"HTTP/1.1 200"),
        Ok(Err(_)) | Err(_) => false,
    }
}

#[tokio::test]
async fn a_connection_that_does_not_finish_its_headers_in_time_is_closed() {
    let (router, heard) = counter();
    let served = serve(router, Bounds { hello: SOON, ..Bounds::default() }, None).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for sent in ["", "G", "GET / HTTP/1.1\r\nhost: a\r\n", preface] {
        let began = Instant::now();
        assert_eq!(served.answer(sent).await.find("HTTP/1.1 200"), None, "{sent}");
        assert!(began.elapsed() >= SOON, "{sent}: {:?}", began.elapsed());
    }
    // One that goes on writing is not given more time.
    let mut stream = served.from(1).await;
    let began = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    while stream.write_all(b"x: y\r\n").await.is_ok() {
        assert!(began.elapsed() < LATE, "it is closed in time");
        sleep(SOON / 10).await;
    }
    assert_eq!(heard.load(Ordering::Relaxed), 0);
    let kept_open = served.answer("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(kept_open.starts_with("HTTP/1.1 200"), "{kept_open}");
    assert_eq!(heard.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_end_in_time_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = file("certificate.pem", made.cert.pem());
    let files = TlsFiles { certificate, key: file("key.pem", made.signing_key.serialize_pem()) };
    let (router, heard) = counter();
    let served = serve(router, Bounds { hello: SOON, ..Bounds::default() }, Some(files)).await;
    // Nothing, and the beginning of a handshake record.
    for sent in ["", "\u{16}\u{3}\u{1}"] {
        let began = Instant::now();
        assert_eq!(served.answer(sent).await, "", "{sent:?}");
        assert!(began.elapsed() >= SOON, "{sent:?}: {:?}", began.elapsed());
    }
    assert_eq!(heard.load(Ordering::Relaxed), 0);
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/", served.address.port());
    assert_eq!(client.get(url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn headers_are_bounded_and_name_one_host() {
    const HEADERS_MAX: usize = 64 * 1024;
    let (router, heard) = counter();
    let served = serve(router, Bounds::default(), None).await;
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
    };
    // What counts besides the value: the path, `connection: close`, `host: a` and the name `x`.
    let most = HEADERS_MAX - "/".len() - "connectionclose".len() - "hosta".len() - "x".len();
    let long = |length: usize| get("/", &format!("host: a\r\nx: {}\r\n", "v".repeat(length)));
    let many = |count: usize| get("/", &format!("host: a\r\n{}", "x: y\r\n".repeat(count)));
    let far = |length: usize| get(&format!("/{}", "a".repeat(length)), "host: a\r\n");
    for request in [long(most), many(98), far(60_000)] {
        let answer = served.answer(&request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(heard.swap(0, Ordering::Relaxed), 3);
    let rows = [
        ("one byte too long", long(most + 1), "431"),
        ("one field too many", many(99), "431"),
        ("the address counts", far(65_520), "431"),
        ("W16 no host", get("/", ""), "400"),
        ("W16 two hosts", get("/", "host: a\r\nhost: b\r\n"), "400"),
    ];
    for (row, request, status) in rows {
        let answer = served.answer(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{row}: {answer}");
    }
    // So much that nobody reads it to the end; whether the answer arrives is not said.
    let answer = served.answer(&long(2_000_000)).await;
    assert_eq!(answer.find("HTTP/1.1 200"), None);
    assert_eq!(heard.load(Ordering::Relaxed), 0, "no handler saw any of them");
}

#[tokio::test]
async fn connections_are_bounded_in_all_and_from_one_address() {
    let (router, _) = counter();
    let bounds = Bounds { connections: 3, connections_each: 2, ..Bounds::default() };
    let served = serve(router, bounds, None).await;
    let (mut first, mut second) = (served.from(1).await, served.from(1).await);
    assert!(is_served(&mut first, LATE).await && is_served(&mut second, LATE).await);
    // One address has its share; another one has room.
    let mut third = served.from(1).await;
    assert_eq!(to_the_end(&mut third).await, "");
    let mut other = served.from(2).await;
    assert!(is_served(&mut other, LATE).await);
    // Now there is none for anybody, until somebody leaves.
    let mut last = served.from(3).await;
    assert!(!is_served(&mut last, SOON).await);
    drop(first);
    let mut answer = [0; 12];
    timeout(LATE, last.read_exact(&mut answer)).await.expect("its turn comes").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // The share of an address grows again as well.
    drop(other);
    assert!(is_served(&mut served.from(1).await, LATE).await);
}

/// Sends a request whose body comes in pieces, and reads the answer meanwhile.
async fn trickle(
    served: &Served,
    head: &str,
    first: &[u8],
    pieces: &[&[u8]],
    pause: Duration,
) -> String {
    let length = first.len() + pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let head = format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n");
    let (mut reader, mut writer) = served.from(1).await.into_split();
    let write = async {
        writer.write_all(head.as_bytes()).await?;
        writer.write_all(first).await?;
        for piece in pieces {
            sleep(pause).await;
            writer.write_all(piece).await?;
        }
        std::io::Result::Ok(())
    };
    let mut answer = Vec::new();
    let read = timeout(LATE, reader.read_to_end(&mut answer));
    // Whoever is refused may find the connection closed while it still writes.
    let (_, read) = tokio::join!(write, read);
    let _ = read.expect("it is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_keeps_up_with_the_least_rate_and_the_longest_time() {
    let (router, heard) = counter();
    let pace =
        |window, bytes, total| Bounds { pace: Pace { window, bytes, total }, ..Bounds::default() };
    let request = "POST / HTTP/1.1\r\nhost: a\r\n";
    let (piece, pause, second) = ([0; 1_000], SOON / 3, Duration::from_secs(1));
    let pieces = [&piece[..]; 15];
    // A second and a half at 10 kB/s: enough for the first, for the others too slow or too long.
    let rows = [
        (pace(second, 1_000, LATE), true),
        (pace(second, 15_000, LATE), false),
        (pace(LATE, 1_000, second), false),
    ];
    for (bounds, enough) in rows {
        let served = serve(router.clone(), bounds, None).await;
        let answer = trickle(&served, request, b"", &pieces, pause).await;
        assert_eq!(answer.ends_with("\r\n\r\n15000"), enough, "{bounds:?}: {answer}");
        assert_eq!(heard.swap(0, Ordering::Relaxed), usize::from(enough), "{bounds:?}");
    }
    // One long pause is too slow as well.
    let served = serve(router, pace(SOON, 1_000, LATE), None).await;
    let answer = trickle(&served, request, &[0; 999], &[b"x"], SOON * 2).await;
    assert!(!answer.contains("\r\n\r\n1000"), "{answer}");
}

/// Two uploads, each of which stops but for a byte now and then.
#[tokio::test]
async fn an_upload_that_comes_too_slowly_is_refused_and_nothing_of_it_stays() {
    on_both(|store| async move {
        let world = World::start(store).await;
        let pace = Pace { window: SOON, bytes: 1_000, total: LATE };
        let bounds = Bounds { pace, ..Bounds::default() };
        let served = serve(web::router(&world.site.app), bounds, None).await;
        let npm = npm_document("1.0.0", b"x = 1").to_string().into_bytes();
        let python = sdist("1.0.0", &[]);
        let form = multipart(&python.fields, &python.name, &python.bytes);
        let rows = [
            ("PUT /npm/@octo%2fhello-wire", "application/json", npm),
            ("POST /pypi/legacy/", "multipart/form-data; boundary=edge", form),
        ];
        for (line, kind, body) in rows {
            let token = world.ci_token(run(1));
            let head = format!(
                "{line} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
                 content-type: {kind}\r\n"
            );
            let before = world.stock().await;
            let (first, rest) = body.split_at(body.len() - 100);
            let pieces: Vec<_> = rest.chunks(1).collect();
            let answer = trickle(&served, &head, first, &pieces, SOON / 10).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{line}: {answer}");
            assert_eq!(world.stock().await, before, "{line}");
            // The same at once is taken.
            let answer = trickle(&served, &head, &body, &[], SOON).await;
            assert!(answer.starts_with("HTTP/1.1 20"), "{line}: {answer}");
        }
    })
    .await;
}

fn multipart(fields: &[(String, String)], filename: &str, content: &[u8]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let part = format!("content-disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend_from_slice(format!("--edge\r\n{part}\r\n").as_bytes());
    }
    let part = format!("name=\"content\"; filename=\"{filename}\"");
    form.extend_from_slice(
        format!("--edge\r\ncontent-disposition: form-data; {part}\r\n\r\n").as_bytes(),
    );
    form.extend_from_slice(content);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    form
}

/// What a page of the site sends, from one of the addresses of this host.
async fn post(served: &Served, host: u8, site: &Site, path: &str, body: &str) -> Answer {
    let json = body.starts_with('{');
    let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
    let headers = [("origin", site.origin.as_str()), ("content-type", kind)];
    send_on(served.from(host).await, &format!("POST {path}"), &headers, body).await
}

fn is_too_often(answer: &Answer, longest_secs: u64) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.json()["type"], "/problems/too-many");
    let seconds: u64 = answer.header("retry-after").expect("a time").parse().unwrap();
    assert!((1..=longest_secs).contains(&seconds), "{answer:?}");
    let detail = format!("from one address, try again in {seconds} s.");
    assert!(answer.json()["detail"].as_str().unwrap().ends_with(&detail), "{answer:?}");
}

#[tokio::test]
async fn one_address_cannot_try_claim_codes_without_end() {
    on_both(|store| async move {
        let site = Site::on(store.clone()).await;
        let served = serve(web::router(&site.app), Bounds::default(), None).await;
        let wrong = "code=ACDE-FHJK-MNPQ&name=Eve";
        for _ in 0..CLAIM_TRIES_MAX {
            assert_eq!(post(&served, 1, &site, "/setup/claim", wrong).await.status, 403);
        }
        // So many wrong ones have put another code on the host.
        let code = std::fs::read_to_string(site.claim_file()).unwrap();
        let right = format!("code={}&name=Ines", code.trim());
        is_too_often(&post(&served, 1, &site, "/setup/claim", &right).await, 11);
        assert_eq!(count(&store, "people").await, 0);
        // Nobody else waits for it.
        assert_eq!(post(&served, 2, &site, "/setup/claim", &right).await.status, 303);
    })
    .await;
}

#[tokio::test]
async fn one_address_cannot_begin_sign_ins_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let (site, _) = Site::claimed(sqlite(folder.path()).await).await;
    let served = serve(web::router(&site.app), Bounds::default(), None).await;
    let mut begun = 0;
    let refused = loop {
        let answer = post(&served, 1, &site, "/login/begin", "{}").await;
        if answer.status == 429 || begun == 1_000 {
            break answer;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        begun += 1;
    };
    assert!(begun >= 100, "a team behind one address signs in: {begun}");
    is_too_often(&refused, 1);
    let store = &site.app.store;
    assert_eq!(count(store, "ceremonies").await, begun, "the refused one began nothing");
    let finish = r#"{"ceremony":"00000000-0000-0000-0000-000000000000","credential":{}}"#;
    // The other step counts as well; half a second may have let one more pass.
    let mut finished = post(&served, 1, &site, "/login/finish", finish).await;
    for _ in 0..20 {
        if finished.status == 429 {
            break;
        }
        assert_eq!(finished.status, 410, "{finished:?}");
        finished = post(&served, 1, &site, "/login/finish", finish).await;
    }
    is_too_often(&finished, 1);
    assert_eq!(count(store, "sessions").await, 1, "the owner's");
    assert_eq!(post(&served, 2, &site, "/login/begin", "{}").await.status, 200);
}
