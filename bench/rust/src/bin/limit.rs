//! The limit for intake on this machine: read a body from loopback, cut the archive out, hash it,
//! write it, make it durable, name it.
//!
//! limit --port 9001 --dir DIR [--digests sha256,sha512,sha1] [--no-fsync] [--unpack]
//!
//! Nothing else: no parsing, no identity, no database. `--no-fsync` leaves the bytes in the page
//! cache, as Verdaccio and pypiserver do. `--unpack` also inflates the archive and checks what is
//! in it against its checksums, as somebody must who wants to know what it holds.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64_simd::{Out, STANDARD};
use countersign_bench::arguments::Arguments;
use countersign_bench::digests::{Running, Wanted};
use countersign_bench::unpack::unpack;
use memchr::{memchr, memmem};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Bytes after which the disk may begin, so that little is left for the end.
const FLUSH_BYTES: u64 = 8 << 20;
/// Stack of a connection's thread.
const STACK_BYTES: usize = 256 * 1024;

struct Settings {
    dir: PathBuf,
    wanted: Wanted,
    is_durable: bool,
    unpacks: bool,
    names: AtomicU64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::read();
    let dir = PathBuf::from(arguments.required("dir"));
    std::fs::create_dir_all(&dir)?;
    let settings = Arc::new(Settings {
        dir,
        wanted: Wanted::parse(arguments.text("digests").unwrap_or("sha256")),
        is_durable: !arguments.has("no-fsync"),
        unpacks: arguments.has("unpack"),
        names: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(("127.0.0.1", arguments.or("port", 9000)))?;
    for stream in listener.incoming() {
        let (stream, settings) = (stream?, settings.clone());
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A client that goes away is no reason to say anything.
            let _ = serve(stream, &settings);
        })?;
    }
    Ok(())
}

fn serve(stream: TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut body = Body { stream, bytes: vec![0; PIECE_BYTES], held: 0, left: 0 };
    while let Some(head) = body.next_head()? {
        if head.starts_with("GET") {
            body.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            continue;
        }
        let mut upload = Staging::new(settings)?;
        if head.starts_with("PUT") {
            body.cut_base64(&mut upload)?;
        } else {
            let boundary = head.split("boundary=").nth(1).and_then(|rest| rest.lines().next());
            let boundary = boundary.unwrap_or_default().trim_matches('"').len();
            body.cut_part(boundary, &mut upload)?;
        }
        let answer = upload.finish()?;
        let head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length:";
        body.stream.write_all(format!("{head} {}\r\n\r\n{answer}", answer.len()).as_bytes())?;
    }
    Ok(())
}

/// A request's body, read piece by piece.
struct Body {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// How many of `bytes` hold something.
    held: usize,
    /// How many bytes of the body were not read yet.
    left: usize,
}

impl Body {
    /// Headers of the next request; `None` when the client closed.
    fn next_head(&mut self) -> io::Result<Option<String>> {
        self.left = self.bytes.len();
        let end = loop {
            if let Some(at) = memmem::find(&self.bytes[..self.held], b"\r\n\r\n") {
                break at + 4;
            }
            if self.read()? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        self.drop_first(end);
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
        let length = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        self.left = usize::saturating_sub(length, self.held);
        Ok(Some(head))
    }

    /// Decodes the string after `"data":"` wherever it stands.
    fn cut_base64(&mut self, upload: &mut Staging<'_>) -> io::Result<()> {
        let mut decoded = vec![0; PIECE_BYTES];
        self.skip_after(b"\"data\":\"")?;
        loop {
            let end = memchr(b'"', &self.bytes[..self.held]);
            let whole = end.unwrap_or(self.held / 4 * 4);
            let plain = STANDARD
                .decode(&self.bytes[..whole], Out::from_slice(&mut decoded))
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            upload.write(plain)?;
            self.drop_first(whole);
            if end.is_some() || self.read()? == 0 {
                break;
            }
        }
        self.skip_rest()
    }

    /// Passes on the part named `content`, which is the last one.
    fn cut_part(&mut self, boundary: usize, upload: &mut Staging<'_>) -> io::Result<()> {
        self.skip_after(b"name=\"content\"")?;
        self.skip_after(b"\r\n\r\n")?;
        // CRLF, two dashes, the boundary, two dashes, CRLF.
        let closing = boundary + 8;
        loop {
            let content = self.held.saturating_sub(closing.saturating_sub(self.left));
            upload.write(&self.bytes[..content])?;
            self.drop_first(content);
            if self.left == 0 || self.read()? == 0 {
                return self.skip_rest();
            }
        }
    }

    fn skip_after(&mut self, mark: &[u8]) -> io::Result<()> {
        loop {
            if let Some(at) = memmem::find(&self.bytes[..self.held], mark) {
                self.drop_first(at + mark.len());
                return Ok(());
            }
            if self.read()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        self.held = 0;
        while self.left > 0 && self.read()? > 0 {
            self.held = 0;
        }
        Ok(())
    }

    fn drop_first(&mut self, count: usize) {
        self.bytes.copy_within(count..self.held, 0);
        self.held -= count;
    }

    fn read(&mut self) -> io::Result<usize> {
        let end = self.bytes.len().min(self.held + self.left);
        let count = self.stream.read(&mut self.bytes[self.held..end])?;
        self.held += count;
        self.left -= count;
        Ok(count)
    }
}

/// A file that gets its name from its digest when it is complete.
struct Staging<'a> {
    settings: &'a Settings,
    file: File,
    path: PathBuf,
    digests: Running,
    written: u64,
    flushed: u64,
    flushing: Vec<std::thread::JoinHandle<io::Result<()>>>,
}

impl<'a> Staging<'a> {
    fn new(settings: &'a Settings) -> io::Result<Self> {
        let number = settings.names.fetch_add(1, Ordering::Relaxed);
        let path = settings.dir.join(format!("new-{number}"));
        Ok(Self {
            settings,
            file: File::create(&path)?,
            path,
            digests: Running::new(settings.wanted),
            written: 0,
            flushed: 0,
            flushing: Vec::new(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digests.update(bytes);
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.settings.is_durable && self.written - self.flushed >= FLUSH_BYTES {
            self.flushed = self.written;
            let file = self.file.try_clone()?;
            self.flushing.push(std::thread::spawn(move || file.sync_data()));
        }
        Ok(())
    }

    fn finish(self) -> io::Result<String> {
        let digests = self.digests.finish();
        if self.settings.unpacks {
            unpack(File::open(&self.path)?)?;
        }
        for flush in self.flushing {
            flush.join().map_err(|_| io::Error::other("a flush panicked"))??;
        }
        if self.settings.is_durable {
            self.file.sync_all()?;
        }
        std::fs::rename(&self.path, self.settings.dir.join(&digests.sha256))?;
        if self.settings.is_durable {
            File::open(&self.settings.dir)?.sync_all()?;
        }
        Ok(format!("{{\"ok\":true,\"sha256\":\"{}\",\"bytes\":{}}}", digests.sha256, self.written))
    }
}
