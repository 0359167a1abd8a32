//! Releases of the package before this one, and what people decided about them.

use jiff::Timestamp;

use super::view;
use crate::domain::quorum::Verdict;
use crate::domain::statement::Statement;
use crate::pipeline::review::{DecisionRecord, Earlier, ReleaseView};
use crate::web::display::{When, visible};
use crate::web::views::release::{EarlierDecision, EarlierRelease};

/// The rows of the card, newest first.
pub(super) fn releases(release: &ReleaseView, now: Timestamp) -> Vec<EarlierRelease> {
    let row = |earlier: &Earlier| EarlierRelease {
        release: view::name(&earlier.record, &earlier.upstream),
        status: view::status(
            &earlier.record,
            None,
            (false, None),
            None,
            earlier.upstream.upstream.name(),
        ),
        when: When::new(earlier.record.changed_at, now),
        decisions: earlier.decisions.iter().map(decision).collect(),
    };
    release.earlier.iter().map(row).collect()
}

fn decision(record: &DecisionRecord) -> EarlierDecision {
    let verb = match record.decision.verdict {
        Verdict::Approve => "approved",
        Verdict::Reject => "rejected",
    };
    // What was signed is the record; a statement that cannot be read says nothing.
    let signed = Statement::from_bytes(record.decision.statement.as_bytes());
    let overrides = signed.map(|statement| statement.overrides).unwrap_or_default();
    EarlierDecision {
        who: format!("{} {verb}", visible(&record.person_name)),
        reason: record.reason.as_deref().map(visible).unwrap_or_default(),
        overrides: overrides
            .iter()
            .map(|given| (visible(&given.finding), visible(&given.words)))
            .collect(),
    }
}
