//! How values become words on a page: hostile text, sizes, times, digests, counts.
//!
//! Nothing here decides anything. [`visible`] is the one place that makes invisible characters
//! visible (rule S5); [`Visible`] applies the same to every byte of every page, so a field that was
//! never passed through [`visible`] still cannot hide anything.

use std::fmt::{self, Write};

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use jiff::{SignedDuration, Timestamp};

use crate::domain::visible::{Spelling, imitates, spelled_out};

/// Longest package- or CI-derived text shown in one place, in characters. The rest is counted.
pub const SHOWN_CHARACTERS: usize = 600;

/// One line of text from a package or a CI token, safe to look at: control, bidi, zero-width, tag and
/// variation characters, line breaks and unusual spaces appear as `⟦U+202E⟧`, the same brackets in the
/// text itself are escaped so that they cannot be imitated, and what is beyond
/// [`SHOWN_CHARACTERS`] is counted outside the quoted part.
///
/// Call it once, for text people decide by. HTML escaping stays with the template.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(SHOWN_CHARACTERS * 4));
    let mut spelling = Spelling::default();
    for character in text.chars().take(SHOWN_CHARACTERS) {
        if spelling.spells_out(character) || imitates(character) {
            shown.push_str(&spelled_out(character));
        } else {
            shown.push(character);
        }
    }
    let rest = text.chars().skip(SHOWN_CHARACTERS).count();
    if rest > 0 {
        let _ = write!(shown, " ⟦{rest} more characters⟧");
    }
    shown
}

/// A writer that shows invisible characters of a whole page. Line breaks and tabs pass: they are layout
/// there.
pub struct Visible<'a> {
    page: &'a mut String,
    spelling: Spelling,
}

impl<'a> Visible<'a> {
    /// Writes to the end of `page`.
    pub fn new(page: &'a mut String) -> Self {
        Self { page, spelling: Spelling::default() }
    }
}

impl Write for Visible<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let layout = matches!(character, '\n' | '\t');
            if self.spelling.spells_out(character) && !layout {
                self.page.push_str(&spelled_out(character));
            } else {
                self.page.push(character);
            }
        }
        Ok(())
    }
}

/// A moment, three ways: for people, for machines, and exact for the tooltip and print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// "6 min ago" or "in 2 days 23 h".
    pub relative: String,
    /// RFC 3339 in UTC, for `datetime`.
    pub machine: String,
    /// "22 Nov 2026 15:56:03 UTC".
    pub exact: String,
}

impl When {
    /// How `at` looks at the moment `now`.
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let gap = now.duration_since(at);
        let relative = match gap.as_secs() {
            ..=-60 => format!("in {}", span(gap.abs())),
            -59..0 => "in under a minute".to_owned(),
            0..60 => "just now".to_owned(),
            86_400.. => format!("{} ago", count(gap.as_secs().unsigned_abs() / 86_400, "day")),
            _ => format!("{} ago", span(gap)),
        };
        let utc = at.to_zoned(jiff::tz::TimeZone::UTC);
        Self {
            relative,
            machine: utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: utc.strftime("%-d %b %Y %H:%M:%S UTC").to_string(),
        }
    }
}

/// "16:02:11", the time of day in UTC.
pub fn clock(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

/// A length of time in its two largest useful units: "40 s", "14 min", "3 h", "2 days 23 h".
pub fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (days, hours, _) if days < 4 && hours % 24 > 0 => {
            format!("{} {} h", count(days.unsigned_abs(), "day"), hours % 24)
        }
        (days, ..) => count(days.unsigned_abs(), "day"),
    }
}

/// A size with the units files are usually shown in: "912 B", "131 KB", "2.4 MB". Steps of 1000.
#[expect(clippy::cast_precision_loss, reason = "one decimal place of a size shown to people")]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Hexadecimal in groups of eight, so that two people can compare them aloud. All of it.
pub fn grouped(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(8).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// Browser and system of a request in our own words, so that nothing a client made up is shown.
/// For people who look where they are signed in; it proves nothing.
pub fn browser(headers: &HeaderMap) -> String {
    // Each calls itself by the names of those before it, too.
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let known = |names: &[(&str, &'static str)]| {
        names.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name)
    };
    match (known(&BROWSERS), known(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("An unknown browser on {system}"),
        (None, None) => "An unknown browser".to_owned(),
    }
}

/// "1 approval", "2 approvals". The plural is the word with an s.
pub fn count(number: u64, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// "one" to "nine" in words, then digits: for headings that are sentences.
pub fn in_words(number: usize) -> String {
    const WORDS: [&str; 10] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    WORDS.get(number).map_or_else(|| number.to_string(), |word| (*word).to_owned())
}

/// With its first letter as a capital one.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// "Mara", "Mara and Jun", "Mara, Jun and Priya".
pub fn list(names: &[String], last: &str) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_in_our_words_alone() {
        let named = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().unwrap());
            browser(&headers)
        };
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36";
        assert_eq!(named(chrome), "Chrome on Linux");
        assert_eq!(named(&format!("{chrome} Edg/142.0")), "Edge on Linux");
        let phone =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604";
        assert_eq!(named(phone), "Safari on iOS");
        assert_eq!(named("<script>alert(1)</script>"), "An unknown browser");
        assert_eq!(browser(&HeaderMap::new()), "An unknown browser");
    }

    /// Rule S5; rows X04, X05, X06 of the bad-input catalogue.
    #[test]
    fn hidden_characters_are_spelled_out() {
        assert_eq!(visible("evil\u{202E}gpj.js"), "evil⟦U+202E⟧gpj.js");
        assert_eq!(visible("re\u{200B}quests"), "re⟦U+200B⟧quests");
        assert_eq!(visible("a\u{E0041}b"), "a⟦U+E0041⟧b");
        assert_eq!(visible("a\u{1b}[31mb"), "a⟦U+001B⟧[31mb");
        assert_eq!(visible("one\ntwo"), "one⟦U+000A⟧two");
        assert_eq!(visible("plain, Ünïcode 名前"), "plain, Ünïcode 名前");
    }

    #[test]
    fn the_brackets_and_the_ellipsis_cannot_be_imitated() {
        assert_eq!(visible("⟦9 more"), "⟦U+27E6⟧9 more");
        let long = visible(&"x".repeat(SHOWN_CHARACTERS + 7));
        assert!(long.ends_with("x ⟦7 more characters⟧"), "{long}");
    }

    /// Row X11.
    #[test]
    fn a_million_combining_marks_stay_on_one_line() {
        let tower = visible(&format!("a{}", "\u{0301}".repeat(1_000_000)));
        assert!(tower.len() < SHOWN_CHARACTERS * 16);
        assert!(tower.starts_with("a\u{301}\u{301}\u{301}\u{301}⟦U+0301⟧"));
    }

    #[test]
    fn a_page_shows_what_a_view_forgot_to_show() {
        let mut page = String::new();
        Visible::new(&mut page).write_str("<p>\n\ta\u{202E}b\u{0}</p>").unwrap();
        assert_eq!(page, "<p>\n\ta⟦U+202E⟧b⟦U+0000⟧</p>");
    }

    #[test]
    fn moments_read_like_a_person_would_say_them() {
        let now: Timestamp = "2026-11-22T16:02:11Z".parse().unwrap();
        let say = |at: &str| When::new(at.parse().unwrap(), now).relative;
        assert_eq!(say("2026-11-22T16:02:00Z"), "just now");
        assert_eq!(say("2026-11-22T15:56:00Z"), "6 min ago");
        assert_eq!(say("2026-11-20T10:56:00Z"), "2 days ago");
        assert_eq!(say("2026-11-25T15:30:00Z"), "in 2 days 23 h");
        assert_eq!(say("2026-11-22T16:02:40Z"), "in under a minute");
        let exact = When::new(now, now).exact;
        assert_eq!(exact, "22 Nov 2026 16:02:11 UTC");
    }

    #[test]
    fn sizes_counts_and_lists() {
        assert_eq!([size(912), size(130_700), size(2_412_000)], ["912 B", "131 KB", "2.4 MB"]);
        assert_eq!([count(1, "file"), count(3, "file")], ["1 file", "3 files"]);
        let names = ["Mara", "Jun", "Priya"].map(str::to_owned);
        assert_eq!(list(&names, "or"), "Mara, Jun or Priya");
        assert_eq!(grouped("9f2c41d7e05b8a13"), "9f2c41d7 e05b8a13");
    }
}
