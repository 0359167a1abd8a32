//! What is signed, line by line. The lines people read first are followed by every field of the
//! bytes, so that nothing is signed that was not shown.

use serde_json::Value;

use super::proposal::takes_title;
use crate::domain::founding::FoundingStatement;
use crate::domain::proposal::ProposalStatement;
use crate::domain::quorum::Verdict;
use crate::domain::words::check_words;
use crate::pipeline::governance::view::ProposalView;
use crate::web::display::{grouped, span, visible};
use crate::web::views::release::StatementView;

/// A statement about a proposal.
pub(super) fn of_proposal(
    view: &ProposalView,
    title: &str,
    statement: &ProposalStatement,
) -> StatementView {
    let verb = match statement.decision {
        Verdict::Approve => "Sign for",
        Verdict::Reject => "Object to",
    };
    let digest = statement.proposal.digest();
    let mut rows = vec![
        (verb.to_owned(), title.to_owned()),
        ("It takes".to_owned(), takes_title(view, statement.takes)),
        ("Proposal".to_owned(), format!("sha256 {}", grouped(&digest.to_string()))),
        ("At".to_owned(), statement.origin.clone()),
    ];
    rows.extend(fields(&statement.to_bytes()));
    StatementView { rows, words: check_words(&digest).map(str::to_owned) }
}

/// The statement of a founder.
pub(super) fn of_founding(governing: &str, statement: &FoundingStatement) -> StatementView {
    let founding = &statement.founding;
    let digest = founding.digest();
    let mut rows = vec![
        ("Found".to_owned(), founding.origin.clone()),
        ("Governed by".to_owned(), governing.to_owned()),
        ("A loosening waits".to_owned(), span(founding.delay())),
        ("Document".to_owned(), format!("sha256 {}", grouped(&digest.to_string()))),
    ];
    rows.extend(fields(&statement.to_bytes()));
    StatementView { rows, words: check_words(&digest).map(str::to_owned) }
}

/// Every field of the bytes that are signed, in their order.
fn fields(signed: &[u8]) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    // They are ours, and JSON; bytes that were not would have no line and no signature.
    if let Ok(value) = serde_json::from_slice(signed) {
        flatten("", &value, &mut rows);
    }
    rows
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let below = |name: &str| {
        let name = name.replace('_', " ");
        if path.is_empty() { name } else { format!("{path}, {name}") }
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                flatten(&below(name), value, rows);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (number, value) in items.iter().enumerate() {
                flatten(&below(&(number + 1).to_string()), value, rows);
            }
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(scalar).collect();
            let text = if items.is_empty() { "none".to_owned() } else { items.join(", ") };
            rows.push((path.to_owned(), text));
        }
        scalar_value => rows.push((path.to_owned(), scalar(scalar_value))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => visible(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_what_is_signed_has_a_line() {
        let signed = serde_json::json!({
            "format": "x/v1",
            "proposal": { "changes": [{ "change": "freeze", "scope": "everything" }], "reason": null },
            "people": ["a", "b"],
            "nobody": [],
        });
        let rows = fields(signed.to_string().as_bytes());
        let expected = [
            ("format", "x/v1"),
            ("proposal, changes, 1, change", "freeze"),
            ("proposal, changes, 1, scope", "everything"),
            ("proposal, reason", "none"),
            ("people", "a, b"),
            ("nobody", "none"),
        ];
        let expected = expected.map(|(label, value)| (label.to_owned(), value.to_owned()));
        assert_eq!(rows, expected);
    }
}
