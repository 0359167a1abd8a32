//! One publish request of either protocol, from the first byte to the sorted answer.

use http::header::{ACCEPT, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::SecretString;
use url::Url;

use super::answer::Answer;
use super::body::Parcel;
use super::net::{Broken, may_connect, request_fault};
use super::{Client, SendFault};
use crate::domain::upstream::{Outcome, RefusedFor, Upstream};

/// One publish request without its body.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

/// What came of a publish request.
pub(super) enum Delivered {
    Answer(Answer),
    Outcome(Outcome),
}

impl Client {
    /// Sends one publish request of either protocol.
    pub(super) async fn deliver(
        &self,
        upstream: &Upstream,
        request: Request,
        parcel: Parcel,
        credential: &SecretString,
    ) -> Result<Delivered, SendFault> {
        if !may_connect(&request.url, upstream.allow_private()) {
            return Ok(Delivered::Outcome(Outcome::Refused {
                reason: RefusedFor::PrivateAddress,
                status: None,
                message: "the registry's address is private".into(),
            }));
        }
        let mut headers = request.headers;
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, parcel.length().into());
        let (body, watch) = parcel.open();
        let request = self
            .pool(upstream)?
            .request(request.method, request.url)
            .headers(headers)
            .body(reqwest::Body::wrap(body));
        let settings = &self.settings;
        let sent = tokio::select! {
            sent = request.send() => Some(sent),
            () = watch.stalled(settings.idle, settings.answer) => None,
        };
        // Whatever came back, bytes that were not approved are what matters (I5).
        if let Some(fault) = watch.fault() {
            return Err(fault);
        }
        let outcome = match sent {
            None => Outcome::Unknown { message: "the registry did not answer in time".into() },
            Some(Err(error)) if error.is_builder() => return Err(request_fault(&error)),
            Some(Err(error)) => match Broken::of(&error).into_outcome() {
                // Whoever did not get the whole request has nothing to store.
                Outcome::Unknown { message } if !watch.complete() => {
                    Outcome::Retry { after: None, message }
                }
                outcome => outcome,
            },
            Some(Ok(response)) if response.status().is_success() && !watch.complete() => {
                Outcome::Unknown {
                    message: "the registry accepted the artifact before all of it was sent".into(),
                }
            }
            Some(Ok(response)) => {
                let answer = Answer::read(response, settings.idle, Some(credential)).await;
                return Ok(Delivered::Answer(answer));
            }
        };
        Ok(Delivered::Outcome(outcome))
    }
}
