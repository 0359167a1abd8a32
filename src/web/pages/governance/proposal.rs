//! A proposal in the words of its page.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{statement, words};
use crate::domain::event::ProposalEnd;
use crate::domain::governed::{Founded, ProposalState};
use crate::domain::ids::PersonId;
use crate::domain::policy::{Missing, Policy};
use crate::domain::proposal::{Change, Takes};
use crate::domain::quorum::Verdict;
use crate::pipeline::governance::decide::CannotDecide;
use crate::pipeline::governance::view::{Ending, ProposalView, Said};
use crate::web::display::{When, list, span, visible};
use crate::web::error::sentence;
use crate::web::extract::SignedIn;
use crate::web::views::governance::{
    Pips, ProposalAction, ProposalPage, ProposalRow, SignaturesView, TakesCard,
};
use crate::web::views::release::Slot;
use crate::web::views::shell::{Badge, Face, HistoryItem, Layout, Link, Notice, Tone};

/// The whole page.
pub(super) fn page(
    layout: Layout,
    viewer: &SignedIn,
    view: &ProposalView,
    now: Timestamp,
) -> ProposalPage {
    let proposal = &view.open.proposal;
    let base = format!("/proposals/{}", proposal.id);
    let title = words::title(view);
    let mut unreleasable: Vec<_> =
        proposal.leaves_unreleasable.iter().map(|id| words::package_name(view, *id)).collect();
    unreleasable.sort();
    ProposalPage {
        status: status(view, now),
        by: Face::of(&name(view, proposal.by)),
        at: When::new(view.open.proposed_at, now),
        expires: pending(view).map(|_| When::new(proposal.expires_at, now)),
        outcome: outcome(view, now),
        reason: proposal.reason.as_deref().map(visible),
        changes: words::cards(view),
        unreleasable,
        takes: takes(view),
        quorums: quorums(view, viewer.person, now),
        statement: statement::of_proposal(view, &title, &view.statement),
        action: action(view, viewer.person, &base),
        object: view.may_object.then(|| format!("{base}/object")),
        withdraw: view.may_withdraw.then(|| format!("{base}/withdraw")),
        history: history(view, now),
        title,
        layout,
    }
}

/// A line of a list.
pub(super) fn row(view: &ProposalView, now: Timestamp) -> ProposalRow {
    let proposal = &view.open.proposal;
    let at = view.end.map_or(view.open.proposed_at, |(_, at)| at);
    ProposalRow {
        href: format!("/proposals/{}", proposal.id),
        icon: proposal.changes.first().map_or("scale", words::icon),
        title: words::title(view),
        by: name(view, proposal.by),
        when: When::new(at, now),
        status: status(view, now),
        pips: pending(view).map(|_| most_needed(view)),
        yours: view.waits_for_viewer(),
    }
}

fn name(view: &ProposalView, person: PersonId) -> String {
    visible(&view.names.person(person))
}

/// What is missing, while it waits for signatures.
const fn pending(view: &ProposalView) -> Option<&Missing> {
    match (view.standing.state.missing(), view.end) {
        (Some(missing), None) => Some(missing),
        _ => None,
    }
}

/// Signatures so far and needed, of the quorum that misses most.
fn most_needed(view: &ProposalView) -> Pips {
    let missing = pending(view).map_or(0, |missing| missing.people);
    let of = |policy: &Policy| {
        let signed = signed_under(view, policy.members());
        let signed = u32::try_from(signed.len()).unwrap_or(u32::MAX).min(policy.required());
        (signed, policy.required())
    };
    let by_policy = view.standing.policies.iter().map(|policy| of(policy));
    let (signed, required) = match view.standing.takes {
        Takes::OneSignature => (0, 1),
        Takes::Quorum | Takes::QuorumAndDelay => by_policy
            .filter(|(signed, required)| required - signed == missing)
            .max()
            .unwrap_or((0, missing)),
    };
    Pips { signed, required }
}

fn signed_under(view: &ProposalView, members: &BTreeSet<PersonId>) -> BTreeSet<PersonId> {
    view.standing.counted.intersection(members).copied().collect()
}

fn status(view: &ProposalView, now: Timestamp) -> Badge {
    if let Some((how, _)) = view.end {
        return match how {
            Ending::Enacted => Badge::new(Tone::Ok, "circle-check", "In force"),
            Ending::Without(ProposalEnd::Withdrawn) => {
                Badge::new(Tone::Plain, "replace", "Taken back")
            }
            Ending::Without(ProposalEnd::Rejected) => Badge::new(Tone::Bad, "ban", "Rejected"),
            Ending::Without(ProposalEnd::Expired) => {
                Badge::new(Tone::Plain, "timer-off", "Expired")
            }
            Ending::Without(ProposalEnd::Stale) => {
                Badge::new(Tone::Plain, "replace", "No longer fits")
            }
        };
    }
    match &view.standing.state {
        ProposalState::Pending { missing } => {
            let text = format!("Needs {}", visible(&missing.in_words("signature")));
            Badge::new(Tone::Note, "hourglass", text)
        }
        ProposalState::Waiting { until } => {
            let text = format!("Takes effect {}", When::new(*until, now).relative);
            Badge::new(Tone::Warn, "timer", text)
        }
        ProposalState::Ready => Badge::new(Tone::Note, "loader", "Taking effect"),
        ProposalState::Rejected { .. } => Badge::new(Tone::Bad, "ban", "Rejected"),
        ProposalState::Expired => Badge::new(Tone::Plain, "timer-off", "Expired"),
        ProposalState::Stale(_) => Badge::new(Tone::Plain, "replace", "No longer fits"),
    }
}

fn outcome(view: &ProposalView, now: Timestamp) -> Option<Notice> {
    let notice = |tone, icon, title: String, text: String| {
        Some(Notice { tone, icon, title, text, link: None })
    };
    let rejection = || {
        let said = view.decisions.iter().rfind(|said| said.verdict == Verdict::Reject);
        let who = said.map_or_else(String::new, |said| name(view, said.person));
        let why = said.and_then(|said| said.reason.as_deref()).map(visible).unwrap_or_default();
        let text = format!("“{why}” To make the change after all, propose it again.");
        notice(Tone::Bad, "ban", format!("{who} objected"), text)
    };
    match (&view.end, &view.standing.state) {
        (Some((Ending::Enacted, at)), _) => {
            let when = When::new(*at, now);
            let title = format!("In force since {}", when.exact);
            let joins = |change: &Change| matches!(change, Change::AddPerson { .. });
            if !view.open.proposal.changes.iter().any(joins) {
                return notice(Tone::Ok, "circle-check", title, String::new());
            }
            let text = "An owner invites them now; their passkey is the next proposal.".to_owned();
            let link = Some(Link::new("/people", "People & keys"));
            Some(Notice { tone: Tone::Ok, icon: "circle-check", title, text, link })
        }
        (Some((Ending::Without(ProposalEnd::Rejected), _)), _)
        | (None, ProposalState::Rejected { .. }) => rejection(),
        (Some((Ending::Without(ProposalEnd::Stale), _)), state)
        | (None, state @ ProposalState::Stale(_)) => {
            let why = match state {
                ProposalState::Stale(why) => sentence(&why.to_string()),
                _ => "Something was in its way when it was carried out.".to_owned(),
            };
            let text = format!("{why} Propose it again as things are now.");
            notice(Tone::Plain, "replace", "It no longer fits".to_owned(), text)
        }
        (None, ProposalState::Waiting { until }) => {
            let when = When::new(*until, now);
            let text = format!(
                "It has the signatures it takes. Everybody is told, and an objection before {} \
                 ends it.",
                when.exact
            );
            let title = format!("It takes effect {} unless somebody objects", when.relative);
            notice(Tone::Warn, "timer", title, text)
        }
        (_, _) => None,
    }
}

/// What a proposal takes, in a few words.
pub(super) fn takes_title(view: &ProposalView, takes: Takes) -> String {
    match takes {
        Takes::OneSignature => {
            format!("one signature, that of {}", name(view, view.open.proposal.by))
        }
        Takes::Quorum => "a quorum".to_owned(),
        Takes::QuorumAndDelay => format!("a quorum, then {}", delay(view)),
    }
}

fn delay(view: &ProposalView) -> String {
    view.before.founded().map_or_else(String::new, |Founded { delay, .. }| span(*delay))
}

fn takes(view: &ProposalView) -> TakesCard {
    let takes = view.standing.takes;
    let policies = match view.standing.policies.as_slice() {
        [_] => "the governing policy".to_owned(),
        [_, others @ ..] => {
            let names: Vec<_> = others.iter().map(|it| format!("“{}”", it.name())).collect();
            format!("the governing policy, and of {}, which it touches", list(&names, "and"))
        }
        [] => String::new(),
    };
    let text = match takes {
        Takes::OneSignature => {
            "Nothing in it loosens anything for others. It takes effect with the signature."
                .to_owned()
        }
        Takes::Quorum => format!(
            "The quorum of {policies}, as it is now. It takes effect with the last signature."
        ),
        Takes::QuorumAndDelay => format!(
            "The quorum of {policies}, as it is now. Then it waits {}: everybody who signs in is \
             told, and one objection by anybody who signs ends it.",
            delay(view)
        ),
    };
    let subjects: Vec<_> = view.open.proposal.subjects().iter().map(|id| name(view, *id)).collect();
    let text = if takes == Takes::OneSignature || subjects.is_empty() {
        text
    } else {
        let who = list(&subjects, "and");
        format!("{text} It is about {who}, who neither signs nor objects.")
    };
    let mut title = takes_title(view, takes);
    title.replace_range(..1, &title[..1].to_uppercase());
    TakesCard { title, text }
}

fn quorums(view: &ProposalView, viewer: PersonId, now: Timestamp) -> Vec<SignaturesView> {
    let standing = &view.standing;
    if standing.takes == Takes::OneSignature {
        let only = BTreeSet::from([view.open.proposal.by]);
        return vec![signatures(view, (viewer, now), "Signature", None, (&only, 1))];
    }
    let of = |(number, policy): (usize, &std::sync::Arc<Policy>)| {
        let name = visible(policy.name());
        let called = if number == 0 { "Governing policy" } else { name.as_str() };
        let link = Link::new(format!("/policies/{}", policy.id()), name.clone());
        let asked = (policy.members(), policy.required());
        signatures(view, (viewer, now), called, Some(link), asked)
    };
    standing.policies.iter().enumerate().map(of).collect()
}

fn signatures(
    view: &ProposalView,
    (viewer, now): (PersonId, Timestamp),
    called: &str,
    policy: Option<Link>,
    (members, required): (&BTreeSet<PersonId>, u32),
) -> SignaturesView {
    let signed = signed_under(view, members);
    let said = |person: &PersonId| {
        let said = view.decisions.iter().rfind(|said| said.person == *person);
        said.map_or_else(String::new, |said| When::new(said.at, now).relative)
    };
    let mut slots: Vec<Slot> = signed
        .iter()
        .map(|person| Slot::Signed(Face::of(&name(view, *person)), said(person)))
        .collect();
    let count = u32::try_from(signed.len()).unwrap_or(u32::MAX);
    let open: BTreeSet<_> =
        members.intersection(&view.standing.may_count).filter(|p| !signed.contains(*p)).collect();
    let mine = view.waits_for_viewer() && open.contains(&viewer);
    let others: Vec<_> =
        open.iter().filter(|id| ***id != viewer || !mine).map(|id| name(view, **id)).collect();
    let places = if view.end.is_none() { required.saturating_sub(count) } else { 0 };
    for place in 0..places {
        let who = list(&others, "or");
        slots.push(match (place, mine, who.is_empty()) {
            (0, true, true) => Slot::Yours(String::new()),
            (0, true, false) => Slot::Yours(format!("or {who}")),
            (_, _, _) => Slot::Open(who),
        });
    }
    SignaturesView { policy, name: called.to_owned(), signed: count.min(required), required, slots }
}

fn action(view: &ProposalView, viewer: PersonId, base: &str) -> ProposalAction {
    let own = view.decisions.iter().rfind(|said| said.person == viewer);
    match (&view.mine, own) {
        (Ok(()), _) => ProposalAction::Sign(format!("{base}/sign")),
        (Err(CannotDecide::AlreadyDecided), Some(Said { verdict: Verdict::Approve, .. })) => {
            let sentence = "You signed. You can still object while it waits.";
            ProposalAction::Decided(sentence.to_owned())
        }
        (Err(CannotDecide::AlreadyDecided), _) => {
            ProposalAction::Decided("You objected.".to_owned())
        }
        (Err(CannotDecide::Over), _) => {
            let sentence = if view.end.is_some() {
                "It is over. Nobody can sign it any more."
            } else {
                "It has what it takes."
            };
            ProposalAction::Closed(sentence.to_owned())
        }
        (Err(CannotDecide::Subject), _) => {
            ProposalAction::Cannot("It is about you; the others decide.".to_owned())
        }
        (Err(CannotDecide::NotNamed), _) => ProposalAction::Cannot(
            match view.standing.takes {
                Takes::OneSignature => "It takes the signature of whoever proposed it.",
                Takes::Quorum | Takes::QuorumAndDelay => {
                    "No policy it touches names you, or you hold no passkey that counts."
                }
            }
            .to_owned(),
        ),
    }
}

fn history(view: &ProposalView, now: Timestamp) -> Vec<HistoryItem> {
    let item = |icon, who: String, what: &str, note: Option<&str>, at| HistoryItem {
        icon,
        who,
        what: what.to_owned(),
        note: note.map(visible),
        when: When::new(at, now),
    };
    let by = name(view, view.open.proposal.by);
    let mut items = vec![item("plus", by.clone(), "proposed it", None, view.open.proposed_at)];
    for said in &view.decisions {
        let (icon, what) = match said.verdict {
            Verdict::Approve => ("badge-check", "signed"),
            Verdict::Reject => ("ban", "objected"),
        };
        let who = name(view, said.person);
        items.push(item(icon, who, what, said.reason.as_deref(), said.at));
    }
    if let Some(at) = view.recovered_at {
        items.push(item("siren", String::new(), "Signed with the recovery key", None, at));
    }
    if let Some((how, at)) = view.end {
        items.push(match how {
            Ending::Enacted => item("circle-check", String::new(), "It took effect", None, at),
            Ending::Without(ProposalEnd::Withdrawn) => {
                item("replace", by, "took it back", None, at)
            }
            Ending::Without(ProposalEnd::Rejected) => {
                item("ban", String::new(), "Ended by the objection", None, at)
            }
            Ending::Without(ProposalEnd::Expired) => {
                item("timer-off", String::new(), "Ran out", None, at)
            }
            Ending::Without(ProposalEnd::Stale) => {
                item("replace", String::new(), "Ended: it no longer fits", None, at)
            }
        });
    }
    items.reverse();
    items
}
