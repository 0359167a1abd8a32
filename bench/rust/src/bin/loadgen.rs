//! Publishes to one server on loopback as real clients do, and prints one line of JSON about it.
//!
//! loadgen --proto npm|pypi --url URL --size 20mb --concurrency 8 --requests 64 [--seconds 20]
//!         [--warmup 4] [--timeout 120] [--header 'Name: value']… [--headers-by-package FILE]
//!         [--first-package 0] [--packages 256] [--ready FILE] [--record FILE]
//!
//! `--headers-by-package` has lines of package, tab, header. With `--ready FILE` it writes the file
//! after warming up, then waits for `FILE.go`, so that somebody can take the server's measures. With
//! `--record FILE` it appends package, version and SHA-256 of each upload that was answered with
//! success.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_bench::archive::{Archive, Kind};
use countersign_bench::arguments::{Arguments, size_bytes};
use countersign_bench::http::{Connection, loopback};
use countersign_bench::measure::{cpu_seconds, milliseconds, percentile};
use countersign_bench::requests::{self, Upload};
use serde_json::json;

/// How many refusals are quoted in the result.
const QUOTES_MAX: usize = 3;

struct Target {
    is_npm: bool,
    address: SocketAddr,
    host: String,
    path: String,
    archive: Archive,
    headers: String,
    headers_by_package: HashMap<String, String>,
    timeout: Duration,
    first_package: usize,
    packages: usize,
    /// The middle number of every version of this run.
    run: u128,
    /// Where successes are written down.
    record: Option<File>,
}

#[derive(Default)]
struct Tally {
    milliseconds: Vec<f64>,
    statuses: BTreeMap<String, usize>,
    quotes: Vec<String>,
    archive_bytes: usize,
}

fn main() {
    let arguments = Arguments::read();
    let target = Target::read(&arguments);
    let concurrency = arguments.or("concurrency", 1);
    let warmup: usize = arguments.or("warmup", 0);
    if warmup > 0 {
        target.load(0, warmup, 1, Duration::from_secs(30));
    }
    if let Some(file) = arguments.text("ready") {
        wait_for_go(file);
    }
    let (cpu, started) = (cpu_seconds(), Instant::now());
    let seconds = Duration::from_secs_f64(arguments.or("seconds", 30.0));
    let mut tally = target.load(1, arguments.or("requests", 10), concurrency, seconds);
    let wall = started.elapsed().as_secs_f64();
    tally.milliseconds.sort_by(f64::total_cmp);
    let times = &tally.milliseconds;
    let result = json!({
        "concurrency": concurrency,
        "ok": times.len(),
        "statuses": tally.statuses,
        "wall_seconds": wall,
        "requests_per_second": times.len() as f64 / wall,
        "mb_per_second": tally.archive_bytes as f64 / 1e6 / wall,
        "archive_bytes": tally.archive_bytes,
        "p50_ms": percentile(times, 50.0),
        "p99_ms": percentile(times, 99.0),
        "max_ms": percentile(times, 100.0),
        "client_cpu_seconds": cpu_seconds() - cpu,
        "quotes": tally.quotes,
    });
    println!("{result}");
}

impl Target {
    fn read(arguments: &Arguments) -> Self {
        let is_npm = arguments.required("proto") == "npm";
        let (address, host, path) = loopback(arguments.required("url"));
        let kind = if is_npm { Kind::Tarball } else { Kind::Wheel };
        let headers = arguments.texts("header").map(|header| format!("{header}\r\n")).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        Self {
            is_npm,
            address,
            host,
            path,
            archive: Archive::new(kind, size_bytes(arguments.required("size"))),
            headers,
            headers_by_package: arguments
                .text("headers-by-package")
                .map(read_headers)
                .unwrap_or_default(),
            timeout: Duration::from_secs_f64(arguments.or("timeout", 120.0)),
            first_package: arguments.or("first-package", 0),
            packages: arguments.or("packages", 256),
            run: now.as_millis(),
            record: arguments.text("record").map(open_record),
        }
    }

    /// Publishes until `requests` were made or `limit` is over.
    fn load(&self, major: u8, requests: usize, concurrency: usize, limit: Duration) -> Tally {
        let (next, tally, started) = (AtomicUsize::new(0), Mutex::default(), Instant::now());
        std::thread::scope(|scope| {
            for worker in 0..concurrency {
                let (next, tally) = (&next, &tally);
                scope.spawn(move || {
                    let mut connection = Connection::new(self.address, &self.host, self.timeout);
                    for turn in 0.. {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= requests || started.elapsed() > limit {
                            break;
                        }
                        // Each worker has packages of its own: no two requests at once for one.
                        let own = (self.packages / concurrency).max(1);
                        let package = self.first_package + worker + concurrency * (turn % own);
                        let version = format!("{major}.{}.{number}", self.run);
                        self.publish(&mut connection, package, &version, tally);
                    }
                });
            }
        });
        tally.into_inner().expect("no worker panicked")
    }

    fn publish(
        &self,
        connection: &mut Connection,
        package: usize,
        version: &str,
        tally: &Mutex<Tally>,
    ) {
        let package = format!("bench-{package:03}");
        let Upload { method, path, content_type, parts, archive_bytes, sha256 } = if self.is_npm {
            let registry = format!("http://{}{}", self.host, self.path.trim_end_matches('/'));
            requests::npm(&self.archive, &registry, &package, version)
        } else {
            requests::pypi(&self.archive, &self.path, &package, version)
        };
        let path =
            if self.is_npm { format!("{}{path}", self.path.trim_end_matches('/')) } else { path };
        let own = self.headers_by_package.get(&package).map_or("", String::as_str);
        let headers = format!("Content-Type: {content_type}\r\n{}{own}", self.headers);
        let started = Instant::now();
        let parts = [&*parts[0], &*parts[1], &*parts[2]];
        let result = connection.request(method, &path, &headers, &parts);
        let took = milliseconds(started.elapsed());
        let mut tally = tally.lock().expect("no worker panicked");
        let (status, quote) = match result {
            Ok(answer) if (200..300).contains(&answer.status) => {
                tally.milliseconds.push(took);
                tally.archive_bytes += archive_bytes;
                if let Some(mut record) = self.record.as_ref() {
                    writeln!(record, "{package}\t{version}\t{sha256}").expect("the record");
                }
                (answer.status.to_string(), None)
            }
            Ok(answer) => {
                let text: String =
                    String::from_utf8_lossy(&answer.body).chars().take(240).collect();
                (answer.status.to_string(), Some(text))
            }
            Err(error) => (format!("{:?}", error.kind()), Some(error.to_string())),
        };
        if tally.quotes.len() < QUOTES_MAX {
            tally.quotes.extend(quote.map(|text| format!("{status}: {text}")));
        }
        *tally.statuses.entry(status).or_default() += 1;
    }
}

fn read_headers(file: &str) -> HashMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("`{file}`: {error}"));
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(package, header)| (package.to_owned(), format!("{header}\r\n"))).collect()
}

fn open_record(file: &str) -> File {
    let opened = File::options().append(true).create(true).open(file);
    opened.unwrap_or_else(|error| panic!("`{file}`: {error}"))
}

fn wait_for_go(file: &str) {
    std::fs::write(file, "ready").unwrap_or_else(|error| panic!("`{file}`: {error}"));
    let go = format!("{file}.go");
    let waiting = Instant::now();
    while std::fs::metadata(&go).is_err() && waiting.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
}
