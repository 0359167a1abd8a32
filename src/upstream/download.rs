//! One published file on its way in: from a configured address only, bounded in size and time, with
//! the read credential only where that is for (U2, U3, Q17).
//!
//! What arrives is not checked here. Whoever keeps it compares its digest first.

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::net::{Broken, authorize_read, fault_of, last_cause, may_connect};
use super::{Client, ReadFault, Reading, npm, pypi};
use crate::domain::package::{Ecosystem, excerpt};

/// The body of a file, piece by piece.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    idle: std::time::Duration,
    until: Instant,
    limit: u64,
    taken: u64,
}

impl Client {
    /// Asks for a file at the address that a registry lists. It has at most `limit` bytes.
    pub async fn download(
        &self,
        reading: Reading<'_>,
        url: Option<&Url>,
        limit: u64,
    ) -> Result<Download, ReadFault> {
        let upstream = reading.upstream;
        let Some(url) = url.filter(|url| upstream.may_fetch(url)) else {
            let place = url.map_or("no address".to_owned(), |url| {
                format!("`{}`", excerpt(&url.origin().ascii_serialization()))
            });
            return Err(ReadFault::Address(place));
        };
        if !may_connect(url, upstream.allow_private()) {
            return Err(ReadFault::PrivateAddress);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
        if url.origin().ascii_serialization() == upstream.read_origin() {
            let login = match upstream.kind() {
                Ecosystem::Npm => npm::login,
                Ecosystem::Pypi => pypi::login,
            };
            authorize_read(&mut headers, reading.credential, login)?;
        }
        let mut url = url.clone();
        url.set_fragment(None);
        let until = Instant::now() + self.settings.file_total;
        let request = self.pool(upstream)?.get(url).headers(headers);
        let response = timeout(self.settings.connect + self.settings.idle, request.send())
            .await
            .map_err(|_| ReadFault::TimedOut)?
            .map_err(|error| Broken::of(&error).into_read_fault())?;
        match response.status().as_u16() {
            200 => {}
            status @ (404 | 410) => return Err(ReadFault::FileMissing(status)),
            _ => return Err(fault_of(response, self.settings.idle).await),
        }
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(ReadFault::FileTooLarge(limit));
        }
        Ok(Download { response, idle: self.settings.idle, until, limit, taken: 0 })
    }
}

impl Download {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadFault> {
        let read = timeout_at(self.until, timeout(self.idle, self.response.chunk()));
        let piece = match read.await {
            Err(_) | Ok(Err(_)) => return Err(ReadFault::TimedOut),
            Ok(Ok(Err(error))) => return Err(ReadFault::Unreachable(last_cause(&error))),
            Ok(Ok(Ok(piece))) => piece,
        };
        self.taken += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.taken > self.limit {
            return Err(ReadFault::FileTooLarge(self.limit));
        }
        Ok(piece)
    }
}
