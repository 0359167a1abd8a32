//! A fake witness (C2SP tlog-witness) that keeps what it saw, and a webhook beside it.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::domain::digest::Sha256;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::{Signer, Signs, VerifierKey};
use countersign::domain::log::tree::{TreeHead, extends};
use countersign::domain::log::witness::{Place, Witness};
use url::Url;

use super::faults::{Body, Listener, Registry, Seen, reply, reply_as};

/// The name of its key.
const NAME: &str = "witness.example/w1";

/// A running witness.
pub(crate) struct FakeWitness {
    pub(crate) listener: Listener,
    state: Arc<State>,
}

struct State {
    log: VerifierKey,
    signer: Signer,
    /// What it cosigned last.
    tree: Mutex<TreeHead>,
    /// What the webhook got.
    hooked: Mutex<Vec<String>>,
}

impl FakeWitness {
    /// Starts for one log.
    pub(crate) async fn start(log: &VerifierKey) -> Self {
        let state = Arc::new(State {
            log: log.clone(),
            signer: Signer::from_seed(NAME, Signs::TextAtTime, &[9; 32]).unwrap(),
            tree: Mutex::new(TreeHead { size: 0, root: Sha256::of(b"") }),
            hooked: Mutex::default(),
        });
        let listener = Listener::start(Arc::clone(&state) as Arc<dyn Registry>, None).await;
        Self { listener, state }
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}/{path}", self.listener.address).parse().unwrap()
    }

    /// The key of its cosignatures.
    pub(crate) fn key(&self) -> VerifierKey {
        self.state.signer.verifier_key().clone()
    }

    /// It, as a place that cosigns.
    pub(crate) fn cosigner(&self, allow_private: bool) -> Witness {
        let place = Place::Cosigner { url: self.url("w/"), key: self.key(), allow_private };
        Witness { name: "w1".to_owned(), place }
    }

    /// It, as a webhook.
    pub(crate) fn webhook(&self) -> Witness {
        let place = Place::Webhook { url: self.url("hook"), allow_private: true };
        Witness { name: "hook".to_owned(), place }
    }

    /// What it cosigned last.
    pub(crate) fn tree(&self) -> TreeHead {
        *self.state.tree.lock().unwrap()
    }

    /// Makes it believe that it saw this.
    pub(crate) fn remember(&self, tree: TreeHead) {
        *self.state.tree.lock().unwrap() = tree;
    }

    /// What the webhook got.
    pub(crate) fn hooked(&self) -> Vec<String> {
        self.state.hooked.lock().unwrap().clone()
    }
}

impl Registry for State {
    fn write(&self, seen: &Seen, body: &[u8]) -> http::Response<Body> {
        let body = String::from_utf8(body.to_vec()).unwrap();
        match seen.path.as_str() {
            "/hook" => {
                self.hooked.lock().unwrap().push(body);
                reply(204, "")
            }
            "/w/add-checkpoint" => self.add_checkpoint(&body),
            _ => reply(404, "no such origin"),
        }
    }

    fn read(&self, _: &Seen) -> http::Response<Body> {
        reply(405, "")
    }
}

impl State {
    /// Word by word what the specification says a witness does.
    fn add_checkpoint(&self, body: &str) -> http::Response<Body> {
        let (lines, note) = body.split_once("\n\n").unwrap();
        let mut lines = lines.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<Sha256> = lines
            .map(|line| Sha256::from_slice(&STANDARD.decode(line).unwrap()).unwrap())
            .collect();
        let Ok((checkpoint, note)) = Checkpoint::open(note.as_bytes(), &self.log) else {
            return reply(403, "no signature of a known key");
        };
        if old > checkpoint.tree.size {
            return reply(400, "the old size is larger");
        }
        let mut tree = self.tree.lock().unwrap();
        if old != tree.size {
            return reply_as(409, "text/x.tlog.size", &format!("{}\n", tree.size));
        }
        if !extends(&tree, &checkpoint.tree, &proof) {
            return reply(422, "not consistent");
        }
        *tree = checkpoint.tree;
        reply(200, &format!("{}\n", self.signer.sign(note.text(), 1_900_000_000)))
    }
}
