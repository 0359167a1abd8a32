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
    let witnesses = app.notary.places().witnesses();
    if witnesses.is_empty() {
        checks.push(Preflight {
            tone: Tone::Warn,
            title: "Nobody outside keeps checkpoints of the log".to_owned(),
            detail: "Without a [[witness]] in countersign.toml, a database and data folder that \
                     are rolled back together look new."
                .to_owned(),
        });
    }
    for (witness, standing) in witnesses.iter().zip(app.notary.places().standings()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(allow_private: bool) -> Witness {
        let url = "https://hooks.example/log".parse().unwrap();
        Witness { name: "hook".to_owned(), place: Place::Webhook { url, allow_private } }
    }

    #[test]
    fn a_place_that_takes_nothing_is_red_and_its_words_are_shown() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let taken_at = Some("2026-01-01T00:00:00Z".parse().unwrap());
        let untried = place(&hook(false), &Standing::default(), now);
        assert_eq!(untried.tone, Tone::Note);
        let took = Standing { size: 7, taken_at, ..Standing::default() };
        let fine = place(&hook(false), &took, now);
        assert_eq!((fine.tone, fine.detail.as_str()), (Tone::Ok, "It took 7 entries 10 min ago."));
        let failing = Standing { failures: 1, message: Some("status 503".to_owned()), ..took };
        let failing = place(&hook(false), &failing, now);
        assert_eq!(failing.tone, Tone::Bad);
        assert!(failing.detail.contains("status 503") && failing.detail.contains("10 min"));
    }

    /// Ruling Q15.
    #[test]
    fn a_witness_that_may_be_at_a_private_address_is_named() {
        assert!(private_address(&hook(true)).unwrap().title.contains("hook"));
        assert!(private_address(&hook(false)).is_none());
    }
}
