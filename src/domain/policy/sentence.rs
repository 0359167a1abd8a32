//! The rule in one English sentence.

use jiff::SignedDuration;

use super::Policy;

impl Policy {
    /// "A release needs 2 of 3 people, not counting the person who started the CI run, within 7
    /// days."
    pub fn sentence(&self) -> String {
        let (who, groups, keys) = (self.who(), self.groups_sentence(), self.keys_sentence());
        let (except, within) = (self.except_sentence(), span(self.expiry()));
        let (wait, found) = (self.wait_sentence(), self.findings_sentence());
        let embargo = self.embargo_sentence();
        format!(
            "A release needs {who}{groups}{keys}{except}, within {within}{wait}{found}{embargo}."
        )
    }

    fn who(&self) -> String {
        match self.members().len() {
            1 => "the one person named".to_owned(),
            people => format!("{} of {people} people", self.required()),
        }
    }

    fn groups_sentence(&self) -> String {
        let groups: Vec<String> = self
            .groups()
            .iter()
            .map(|group| format!("{} of {}", group.required, group.name))
            .collect();
        if groups.is_empty() { String::new() } else { format!(", among them {}", list(&groups)) }
    }

    fn keys_sentence(&self) -> String {
        match self.hardware() {
            None => String::new(),
            Some(hardware) if hardware.required == 1 => ", one with a hardware key".to_owned(),
            Some(hardware) => format!(", {} with hardware keys", hardware.required),
        }
    }

    fn except_sentence(&self) -> &'static str {
        match (self.triggering_actor_counts(), self.authors_count()) {
            (true, true) => ", the person who started the CI run included",
            (false, true) => ", not counting the person who started the CI run",
            (true, false) => ", not counting whoever wrote part of the change",
            (false, false) => {
                ", not counting whoever started the CI run or wrote part of the change"
            }
        }
    }

    fn wait_sentence(&self) -> String {
        if self.cooling_off().is_zero() {
            return String::new();
        }
        format!(", and then waits {}", span(self.cooling_off()))
    }

    fn findings_sentence(&self) -> String {
        let more = match self.more_on_findings() {
            0 => None,
            1 => Some("one more person".to_owned()),
            several => Some(format!("{several} more people")),
        };
        let note = self.note_on_findings().then(|| "a note from each".to_owned());
        let asked: Vec<String> = more.into_iter().chain(note).collect();
        if asked.is_empty() {
            return String::new();
        }
        format!("; when something was found, {}", list(&asked))
    }

    fn embargo_sentence(&self) -> String {
        let Some(embargo) = self.embargo() else { return String::new() };
        let skips = match (embargo.skips_cooling_off, embargo.skips_schedule) {
            (true, true) => ", whatever wait or time was set",
            (true, false) => ", without the wait",
            (false, true) => ", whatever time was set",
            (false, false) => "",
        };
        format!("; under embargo {} of {} people{skips}", embargo.required, embargo.people.len())
    }
}

/// "7 days", "36 hours", "30 minutes".
fn span(length: SignedDuration) -> String {
    let (number, unit) = match length.as_mins() {
        minutes if minutes % (24 * 60) == 0 => (minutes / (24 * 60), "day"),
        minutes if minutes % 60 == 0 => (minutes / 60, "hour"),
        minutes => (minutes, "minute"),
    };
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

/// "a", "a and b", "a, b and c".
fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
