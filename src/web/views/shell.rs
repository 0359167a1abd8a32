//! What every page shares: the frame around it, people, badges, links.

use crate::web::display::When;

/// The frame of a page. `person` is empty on the pages one sees before signing in.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// What the page is about, without the product's name; the browser's title.
    pub title: String,
    /// The navigation entry that is marked as current.
    pub section: Section,
    /// Name of this installation, so that a copy made for phishing looks wrong.
    pub instance: String,
    /// Host of the configured origin.
    pub host: String,
    /// Who is signed in.
    pub person: Option<SignedIn>,
    /// Releases that wait for this person; shown at the inbox.
    pub waiting: u32,
    /// Proposals that wait for this person, the founding among them.
    pub proposals: u32,
    /// The installation is founded: changes are proposed, and forms say so.
    pub governed: bool,
    /// What is frozen, on every page while it is.
    pub frozen: Option<Notice>,
    /// The session's CSRF token: hidden field `csrf` of forms, and a `meta` for the passkey script.
    pub csrf: String,
    /// From the cookie `theme`.
    pub theme: Theme,
    /// One sentence after something was saved.
    pub saved: Option<String>,
    /// What everybody must see wherever they are: a recovery that waits, a session for reading.
    pub alarms: Vec<Notice>,
}

/// Entries of the navigation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// None is marked.
    #[default]
    None,
    /// `/`
    Inbox,
    /// `/releases`
    Releases,
    /// `/proposals`
    Proposals,
    /// `/packages`
    Packages,
    /// `/people`
    People,
    /// `/policies`
    Policies,
    /// `/registries`
    Registries,
    /// `/health-page`
    Health,
    /// `/freeze`
    Freeze,
    /// `/me/keys`
    Keys,
}

/// Colours. `Auto` follows the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Follow the device.
    #[default]
    Auto,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// The value of the cookie and of the form field; anything unknown is `Auto`.
    pub fn from_cookie(value: &str) -> Self {
        match value {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// The inverse of [`Theme::from_cookie`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The person of the session, as the frame shows them.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Name and initials.
    pub face: Face,
    /// "Owner", "Maintainer" or "Viewer".
    pub role: String,
    /// Number of passkeys; below two a calm warning stays.
    pub keys: u32,
}

impl SignedIn {
    /// "Maintainer · 2 keys".
    pub fn summary(&self) -> String {
        format!("{} · {}", self.role, crate::web::display::count(self.keys.into(), "key"))
    }
}

/// A person as a name with a coloured circle.
#[derive(Clone, Debug)]
pub struct Face {
    /// The name in full.
    pub name: String,
    /// One or two letters.
    pub initials: String,
    /// A class of the style sheet, `a` to `e`.
    pub shade: char,
}

impl Face {
    /// Initials and shade follow from the name, so a person looks the same everywhere.
    pub fn of(name: &str) -> Self {
        let mut words = name.split_whitespace().filter_map(|word| word.chars().next());
        let first = words.next();
        let initials = first.into_iter().chain(words.next_back()).flat_map(char::to_uppercase);
        let sum = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        Self {
            name: name.to_owned(),
            initials: initials.collect(),
            shade: char::from(b'a' + sum % 5),
        }
    }
}

/// The meaning of a colour. Never the only carrier of that meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Neutral.
    #[default]
    Plain,
    /// Passed, published, signed.
    Ok,
    /// Look at it.
    Warn,
    /// Failed, refused.
    Bad,
    /// Working, or people are needed.
    Note,
}

impl Tone {
    /// The class of badges and notices.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Note => "info",
        }
    }
}

/// Shape, word and colour of a state.
#[derive(Clone, Debug)]
pub struct Badge {
    /// Its colour.
    pub tone: Tone,
    /// Name of an icon in `icons.svg`.
    pub icon: &'static str,
    /// What it says.
    pub text: String,
}

impl Badge {
    /// A badge; see the status vocabulary in `views::release::Status` for those of releases.
    pub fn new(tone: Tone, icon: &'static str, text: impl Into<String>) -> Self {
        Self { tone, icon, text: text.into() }
    }
}

/// A banner on a page: what happened and, perhaps, one thing to press.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its colour.
    pub tone: Tone,
    /// Name of an icon.
    pub icon: &'static str,
    /// A short sentence.
    pub title: String,
    /// What it means and what to do.
    pub text: String,
    /// Where that is done.
    pub link: Option<Link>,
}

/// A link with its words.
#[derive(Clone, Debug)]
pub struct Link {
    /// A path of this instance. Never text from a package.
    pub href: String,
    /// Its words.
    pub text: String,
}

impl Link {
    /// A link.
    pub fn new(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self { href: href.into(), text: text.into() }
    }
}

/// One label with its value, for lists of facts.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// "Runs on".
    pub label: String,
    /// "Node 20 or later".
    pub value: String,
    /// Names, versions, digests and paths are shown in the monospaced face.
    pub code: bool,
}

impl Fact {
    /// A fact in words.
    pub fn words(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), code: false }
    }

    /// A fact that is an identifier.
    pub fn code(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), code: true }
    }
}

/// One line of a history.
#[derive(Clone, Debug)]
pub struct HistoryItem {
    /// Name of an icon.
    pub icon: &'static str,
    /// Who did it; empty when it was the instance itself.
    pub who: String,
    /// What happened, starting with a verb when `who` is given.
    pub what: String,
    /// Their words, shown in quotation marks.
    pub note: Option<String>,
    /// When.
    pub when: When,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_has_the_first_and_the_last_initial() {
        assert_eq!(Face::of("Ines Duarte").initials, "ID");
        assert_eq!(Face::of("ana maria de souza").initials, "AS");
        assert_eq!(Face::of("Cher").initials, "C");
        assert_eq!(Face::of("").initials, "");
    }

    #[test]
    fn an_unknown_theme_follows_the_device() {
        for theme in [Theme::Auto, Theme::Light, Theme::Dark] {
            assert_eq!(Theme::from_cookie(theme.name()), theme);
        }
        assert_eq!(Theme::from_cookie("<script>"), Theme::Auto);
    }
}
