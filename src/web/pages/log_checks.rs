//! What the health page says about the log and the places that keep its checkpoints.

use jiff::Timestamp;

use crate::app::App;
use crate::domain::log::witness::{Place, Witness};
use crate::pipeline::log::places::Standing;
use crate::web::display::span;
use crate::web::views::access::Preflight;
use crate::web::views::shell::Tone;

/// One line about the log, and one about each place.
pub(super) fn log_checks(app: &App, now: Timestamp) -> Vec<Preflight> {
    let mut checks = vec![whole(app)];
    let witnesses = app.places.witnesses();
    if witnesses.is_empty() {
        checks.push(Preflight {
            tone: Tone::Warn,
            title: "Nobody outside keeps checkpoints of the log".to_owned(),
            detail: "Without a [[witness]] in countersign.toml, a database and data folder that \
                     are rolled back together look new."
                .to_owned(),
        });
    }
    for (witness, standing) in witnesses.iter().zip(app.places.standings()) {
        checks.push(place(witness, &standing, now));
        checks.extend(private_address(witness));
    }
    checks
}

fn whole(app: &App) -> Preflight {
    if app.store.is_read_only() {
        return Preflight {
            tone: Tone::Bad,
            title: "The log is not what was signed and kept".to_owned(),
            detail: "Nothing is written or sent. The server's own log names the place; \
                     docs/log.md says what to do."
                .to_owned(),
        };
    }
    Preflight {
        tone: Tone::Ok,
        title: "The log extends what was signed and kept".to_owned(),
        detail: "It is compared at start and before every signature.".to_owned(),
    }
}

fn place(witness: &Witness, standing: &Standing, now: Timestamp) -> Preflight {
    let name = &witness.name;
    let taken = standing.taken_at.map(|at| {
        format!("It took {} entries {} ago.", standing.size, span(now.duration_since(at)))
    });
    let taken = taken.unwrap_or_else(|| "It took nothing since the server started.".to_owned());
    match &standing.message {
        Some(message) => Preflight {
            tone: Tone::Bad,
            title: format!("“{name}” takes no checkpoints"),
            detail: format!("{taken} The last try: {message}."),
        },
        None if standing.taken_at.is_none() => Preflight {
            tone: Tone::Note,
            title: format!("“{name}” has not been asked yet"),
            detail: taken,
        },
        None => Preflight {
            tone: Tone::Ok,
            title: format!("“{name}” keeps checkpoints of the log"),
            detail: taken,
        },
    }
}

/// Ruling Q15.
fn private_address(witness: &Witness) -> Option<Preflight> {
    let (Place::Webhook { url, allow_private: true }
    | Place::Cosigner { url, allow_private: true, .. }) = &witness.place
    else {
        return None;
    };
    Some(Preflight {
        tone: Tone::Note,
        title: format!("Witness “{}” may be at a private address", witness.name),
        detail: format!("countersign.toml allows this machine and private networks for {url}."),
    })
}
