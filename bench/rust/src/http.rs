//! A blocking HTTP/1.1 client over one kept connection. Bodies are slices of shared memory.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// Largest part that is sent together with the headers, in bytes: one write less for small bodies.
const TOGETHER_MAX: usize = 64 * 1024;
/// Piece of a large part, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The server will close, or the request broke while it was sent.
    ends: bool,
}

/// One connection, opened again when it was closed.
pub struct Connection {
    address: SocketAddr,
    host: String,
    stream: Option<BufReader<TcpStream>>,
    timeout: Duration,
}

/// Splits `http://host:port/path`. Ends the program for anything but loopback.
pub fn loopback(url: &str) -> (SocketAddr, String, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("`{url}` is not http"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let addresses = host.to_socket_addrs().unwrap_or_else(|error| panic!("`{host}`: {error}"));
    let address = addresses.into_iter().find(|address| address.ip().is_loopback());
    let address = address.unwrap_or_else(|| panic!("`{host}` is not on this machine"));
    (address, host.to_owned(), format!("/{path}"))
}

impl Connection {
    pub fn new(address: SocketAddr, host: &str, timeout: Duration) -> Self {
        assert!(address.ip().is_loopback(), "only loopback is loaded");
        Self { address, host: host.to_owned(), stream: None, timeout }
    }

    /// Sends a request. `headers` is lines that each end in CRLF.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        parts: &[&[u8]],
    ) -> io::Result<Answer> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: countersign-bench\r\n\
             Accept: */*\r\nContent-Length: {length}\r\n{headers}\r\n",
            self.host
        );
        let result = self.exchange(head.into_bytes(), parts);
        if !matches!(&result, Ok(answer) if !answer.ends) {
            self.stream = None;
        }
        result
    }

    fn exchange(&mut self, head: Vec<u8>, parts: &[&[u8]]) -> io::Result<Answer> {
        let stream = self.open()?;
        let sent = send(stream.get_mut(), head, parts);
        // A refusal that came early can be read although sending broke.
        match (read_answer(stream), sent) {
            (Ok(answer), Ok(())) => Ok(answer),
            (Ok(answer), Err(_)) => Ok(Answer { ends: true, ..answer }),
            (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    fn open(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, CONNECT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.timeout))?;
                stream.set_write_timeout(Some(self.timeout))?;
                BufReader::with_capacity(16 * 1024, stream)
            }
        };
        Ok(self.stream.insert(stream))
    }
}

fn send(stream: &mut TcpStream, mut head: Vec<u8>, parts: &[&[u8]]) -> io::Result<()> {
    let mut parts = parts;
    if let Some((first, rest)) = parts.split_first()
        && first.len() < TOGETHER_MAX
    {
        head.extend_from_slice(first);
        parts = rest;
    }
    stream.write_all(&head)?;
    for part in parts {
        for piece in part.chunks(PIECE_BYTES) {
            stream.write_all(piece)?;
        }
    }
    Ok(())
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    loop {
        let line = read_line(stream)?;
        let status = line.split(' ').nth(1).and_then(|text| text.trim().parse().ok());
        let status: u16 =
            status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no status"))?;
        let is_old = line.starts_with("HTTP/1.0");
        let (mut length, mut is_chunked, mut ends) = (None, false, is_old);
        loop {
            let line = read_line(stream)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim().to_ascii_lowercase();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<usize>().ok(),
                "transfer-encoding" => is_chunked = value == "chunked",
                "connection" => ends = value == "close" || (is_old && value != "keep-alive"),
                _ => {}
            }
        }
        if status == 100 {
            continue;
        }
        let mut body = Vec::new();
        match length {
            _ if status == 204 || status == 304 => {}
            _ if is_chunked => read_chunks(stream, &mut body)?,
            Some(length) => {
                body.resize(length, 0);
                stream.read_exact(&mut body)?;
            }
            None => {
                ends = true;
                stream.read_to_end(&mut body)?;
            }
        }
        return Ok(Answer { status, body, ends });
    }
}

fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let at = body.len();
        body.resize(at + size, 0);
        stream.read_exact(&mut body[at..])?;
        read_line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed before the answer ended"));
    }
    Ok(line)
}
