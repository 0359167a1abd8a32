//! What is left to do for a release, from what the registry shows and how earlier tries ended.
//!
//! Values in, a plan out: nothing here reads, sends or writes. The rule behind it is I6: a file is
//! sent only when the registry certainly does not have it.

use jiff::{SignedDuration, Timestamp};

use crate::domain::package::Ecosystem;
use crate::domain::upstream::Seen;
use crate::store::jobs::AttemptRecord;

/// How long a registry may take to show what it accepted: npm was seen to take 36 minutes (U15).
const VISIBLE_WITHIN: SignedDuration = SignedDuration::from_mins(60);
/// How long PyPI may take to show a file whose upload ended unclearly, before it is sent again. One
/// that is there after all would make that a no-op.
const PYPI_SETTLED_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// Tries at sending one file that certainly was not stored, before a person is asked.
const TRIES_MAX: usize = 12;

/// One file, what the registry shows under its name, and how it went so far.
#[derive(Debug)]
pub(super) struct FileNow<'a> {
    /// The file name at the registry.
    pub(super) name: &'a str,
    /// What the registry shows.
    pub(super) seen: Seen,
    /// Tries at sending it, oldest first.
    pub(super) tries: Vec<&'a AttemptRecord>,
}

/// What to judge by besides the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    /// Whose rules apply.
    pub(super) ecosystem: Ecosystem,
    /// When people last asked for this: tries before that do not count against it.
    pub(super) asked_at: Timestamp,
    /// The time.
    pub(super) now: Timestamp,
}

/// What comes next for the release.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The registry holds every file.
    Done,
    /// Send these, by their position, in this order.
    Send(Vec<usize>),
    /// Ask the registry again later.
    Wait(String),
    /// A person has to look at it.
    Ask(String),
}

/// Where one file stands.
enum Stand {
    /// The registry shows it.
    Held,
    /// The registry certainly does not have it.
    Unsent,
    /// The registry said yes and does not show it yet.
    Accepted(String),
    /// It may be there or not.
    Unclear(String),
    /// Trying again changes nothing.
    Stuck(String),
    /// The registry shows something else in its place.
    Conflict(String),
}

/// Decides what comes next. Nothing is sent beside a file that is unclear or refused: a person, or
/// the registry's own index, says first how the release stands.
pub(super) fn plan(files: &[FileNow<'_>], by: Judged) -> Plan {
    let (mut unsent, mut accepted) = (Vec::new(), None);
    let (mut unclear, mut stuck) = (None, None);
    for (position, file) in files.iter().enumerate() {
        match stand(file, by) {
            Stand::Held => {}
            Stand::Unsent => unsent.push(position),
            Stand::Accepted(why) => accepted = accepted.or(Some(why)),
            Stand::Unclear(why) => unclear = unclear.or(Some(why)),
            Stand::Stuck(why) => stuck = stuck.or(Some(why)),
            Stand::Conflict(why) => return Plan::Ask(why),
        }
    }
    if let Some(why) = unclear {
        return Plan::Wait(why);
    }
    if let Some(why) = stuck {
        // What was accepted shows soon; until then nobody knows how much of the release is out.
        return if accepted.is_some() { Plan::Wait(why) } else { Plan::Ask(why) };
    }
    if !unsent.is_empty() {
        return Plan::Send(unsent);
    }
    accepted.map_or(Plan::Done, Plan::Wait)
}

fn stand(file: &FileNow<'_>, by: Judged) -> Stand {
    let name = file.name;
    match file.seen {
        Seen::Same => return Stand::Held,
        Seen::Different => {
            return Stand::Conflict(format!(
                "the registry holds `{name}` with other bytes than the approved ones; nothing was \
                 overwritten"
            ));
        }
        Seen::Undetermined => {
            return Stand::Conflict(format!(
                "the registry lists `{name}` without a digest that can be compared"
            ));
        }
        Seen::Absent => {}
    }
    let Some(last) = file.tries.last() else { return Stand::Unsent };
    let words = last.message.clone().unwrap_or_default();
    let asked_since = last.started_at < by.asked_at;
    let tries = file.tries.iter().filter(|each| each.started_at >= by.asked_at).count();
    let gave_up = || Stand::Stuck(format!("gave up after {TRIES_MAX} tries: {words}"));
    match last.outcome.as_deref() {
        Some("retry" | "not_sent") if tries < TRIES_MAX => Stand::Unsent,
        Some("retry" | "not_sent") => gave_up(),
        Some("refused" | "tampered") if asked_since => Stand::Unsent,
        Some("refused" | "tampered") => Stand::Stuck(words),
        // Said yes, said "already there", unclear, or we died while sending.
        outcome => {
            let clear = matches!(outcome, Some("published" | "already_there"));
            let absent_for = by.now.duration_since(last.ended_at.unwrap_or(last.started_at));
            let settled = match by.ecosystem {
                Ecosystem::Pypi if !clear => PYPI_SETTLED_WITHIN,
                Ecosystem::Pypi | Ecosystem::Npm => VISIBLE_WITHIN,
            };
            match (clear, absent_for >= settled) {
                (true, false) => Stand::Accepted(format!(
                    "the registry accepted `{name}` and does not show it yet"
                )),
                (false, false) => Stand::Unclear(format!(
                    "asking the registry whether it stored `{name}`; {words}"
                )),
                (_, true) if asked_since => Stand::Unsent,
                (true, true) => Stand::Stuck(format!(
                    "the registry accepted `{name}` and did not show it within an hour"
                )),
                (false, true) if tries < TRIES_MAX => Stand::Unsent,
                (false, true) => gave_up(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ArtifactId, AttemptId};

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(minutes: i64) -> Timestamp {
        START + SignedDuration::from_mins(minutes)
    }

    /// A try that began at a minute; `None` is one that never ended.
    fn ended(minute: i64, outcome: Option<&str>) -> AttemptRecord {
        AttemptRecord {
            id: AttemptId::from_uuid(uuid::Uuid::nil()),
            artifact: ArtifactId::from_uuid(uuid::Uuid::nil()),
            started_at: after(minute),
            ended_at: outcome.is_some().then(|| after(minute)),
            outcome: outcome.map(str::to_owned),
            message: Some("words".to_owned()),
        }
    }

    fn next(
        ecosystem: Ecosystem,
        files: &[(Seen, &[AttemptRecord])],
        (asked, now): (i64, i64),
    ) -> Plan {
        let files: Vec<_> = files
            .iter()
            .map(|(seen, tries)| FileNow { name: "f", seen: *seen, tries: tries.iter().collect() })
            .collect();
        plan(&files, Judged { ecosystem, asked_at: after(asked), now: after(now) })
    }

    fn of_npm(seen: Seen, tries: &[AttemptRecord], (asked, now): (i64, i64)) -> Plan {
        next(Ecosystem::Npm, &[(seen, tries)], (asked, now))
    }

    /// Invariant I6, for every way a try can end.
    #[test]
    fn only_what_certainly_was_not_stored_is_sent() {
        let first = Plan::Send(vec![0]);
        for kind in [Ecosystem::Npm, Ecosystem::Pypi] {
            assert_eq!(next(kind, &[(Seen::Absent, &[])], (0, 0)), first);
            for outcome in ["retry", "not_sent"] {
                let tries = [ended(0, Some(outcome))];
                assert_eq!(next(kind, &[(Seen::Absent, &tries)], (0, 0)), first, "{outcome}");
            }
            for outcome in [None, Some("unknown"), Some("published"), Some("already_there")] {
                let tries = [ended(0, outcome)];
                let seen = next(kind, &[(Seen::Absent, &tries)], (0, 9));
                assert!(matches!(seen, Plan::Wait(_)), "{outcome:?}: {seen:?}");
                assert_eq!(next(kind, &[(Seen::Same, &tries)], (0, 9)), Plan::Done);
            }
            for outcome in ["refused", "tampered"] {
                let tries = [ended(0, Some(outcome))];
                let stuck = next(kind, &[(Seen::Absent, &tries)], (0, 99));
                assert_eq!(stuck, Plan::Ask("words".to_owned()), "{outcome}");
            }
        }
    }

    /// Faults U12, U13, U20: what the registry shows decides, whatever it said before.
    #[test]
    fn other_bytes_are_for_a_person_whatever_the_answer_was() {
        for outcome in [None, Some("published"), Some("already_there"), Some("retry")] {
            for seen in [Seen::Different, Seen::Undetermined] {
                let plan = of_npm(seen, &[ended(0, outcome)], (0, 1));
                assert!(matches!(plan, Plan::Ask(_)), "{outcome:?}: {plan:?}");
            }
        }
    }

    /// Fault U15: npm was seen to take 36 minutes.
    #[test]
    fn what_was_accepted_and_does_not_show_for_an_hour_is_for_a_person() {
        for kind in [Ecosystem::Npm, Ecosystem::Pypi] {
            for outcome in [Some("published"), Some("already_there")] {
                let at = |now| next(kind, &[(Seen::Absent, &[ended(0, outcome)])], (0, now));
                assert!(matches!(at(59), Plan::Wait(_)));
                assert!(matches!(at(60), Plan::Ask(_)));
            }
        }
    }

    /// Row C21.
    #[test]
    fn what_ended_unclearly_is_sent_again_only_after_the_registry_had_time_to_show_it() {
        for (kind, settled) in [(Ecosystem::Npm, 60), (Ecosystem::Pypi, 10)] {
            for outcome in [None, Some("unknown")] {
                let at = |now| next(kind, &[(Seen::Absent, &[ended(0, outcome)])], (0, now));
                assert!(matches!(at(settled - 1), Plan::Wait(_)));
                assert_eq!(at(settled), Plan::Send(vec![0]));
            }
        }
    }

    #[test]
    fn tries_are_bounded_and_counted_anew_when_a_person_asks() {
        let tries: Vec<_> = (0..12).map(|minute| ended(minute, Some("retry"))).collect();
        assert!(matches!(of_npm(Seen::Absent, &tries[..11], (0, 20)), Plan::Send(_)));
        assert!(matches!(of_npm(Seen::Absent, &tries, (0, 20)), Plan::Ask(_)));
        assert!(matches!(of_npm(Seen::Absent, &tries, (20, 20)), Plan::Send(_)));
        let lost: Vec<_> = (0..12).map(|n| ended(n * 10, None)).collect();
        let again = next(Ecosystem::Pypi, &[(Seen::Absent, &lost)], (0, 600));
        assert!(matches!(again, Plan::Ask(_)), "{again:?}");
    }

    /// A person's word sends again what was refused, and never what may still be on its way.
    #[test]
    fn another_try_by_a_person_sends_what_is_certainly_not_there() {
        for outcome in [Some("refused"), Some("tampered")] {
            assert_eq!(of_npm(Seen::Absent, &[ended(0, outcome)], (1, 1)), Plan::Send(vec![0]));
        }
        for outcome in [None, Some("unknown"), Some("published")] {
            let tries = [ended(0, outcome)];
            assert!(matches!(of_npm(Seen::Absent, &tries, (1, 59)), Plan::Wait(_)));
            assert_eq!(of_npm(Seen::Absent, &tries, (60, 60)), Plan::Send(vec![0]));
        }
    }

    #[test]
    fn one_file_decides_for_all_of_them() {
        let (yes, no) = ([ended(0, Some("published"))], [ended(0, Some("refused"))]);
        let lost = [ended(0, None)];
        let pypi = |files: &[(Seen, &[AttemptRecord])]| next(Ecosystem::Pypi, files, (0, 1));
        let (held, fresh): ((Seen, &[_]), (Seen, &[_])) = ((Seen::Same, &[]), (Seen::Absent, &[]));
        assert_eq!(pypi(&[held, fresh, fresh]), Plan::Send(vec![1, 2]));
        // One that was accepted holds nothing up; one that is unclear or refused does.
        assert_eq!(pypi(&[(Seen::Absent, &yes), fresh]), Plan::Send(vec![1]));
        assert!(matches!(pypi(&[(Seen::Absent, &lost), fresh]), Plan::Wait(_)));
        assert!(matches!(pypi(&[held, (Seen::Absent, &no), fresh]), Plan::Ask(_)));
        // How much is out is not said before everything accepted is seen.
        assert!(matches!(pypi(&[(Seen::Absent, &yes), (Seen::Absent, &no)]), Plan::Wait(_)));
        assert!(matches!(pypi(&[held, held]), Plan::Done));
    }
}
