//! Pages one sees before having a session: set-up, invitation, sign-in, and the neutral page.

use askama::Template;

use super::form::Field;
use super::shell::{Badge, Layout, Tone};

/// `/setup`: claims a new instance with the code from the host.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/setup.html")]
pub struct SetupPage {
    /// The frame.
    pub layout: Layout,
    /// Conditions that passkeys and releases need, checked before the first passkey exists.
    pub preflight: Vec<Preflight>,
    /// The claim code.
    pub code: Field,
    /// Name of the first person.
    pub name: Field,
    /// Where the code was written on the host, as configured: "data/claim-code".
    pub code_path: String,
}

impl SetupPage {
    /// Where the code is.
    pub fn code_hint(&self) -> String {
        format!("It is in the server's log, and in the file {} on the host.", self.code_path)
    }
}

/// One condition of the set-up page.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// `Ok`, `Warn` or `Bad`.
    pub tone: Tone,
    /// "The address is the configured one".
    pub title: String,
    /// What was seen, and how to mend it when it is not fine.
    pub detail: String,
}

impl Preflight {
    /// The icon of its tone.
    pub const fn icon(&self) -> &'static str {
        tone_icon(self.tone)
    }
}

/// The icon that goes with a tone where no better one exists.
pub const fn tone_icon(tone: Tone) -> &'static str {
    match tone {
        Tone::Ok => "circle-check",
        Tone::Warn => "triangle-alert",
        Tone::Bad => "circle-alert",
        Tone::Note => "info",
        Tone::Plain => "circle-dashed",
    }
}

/// `/invite/{token}`: turns an invitation into a person with a passkey.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/invite.html")]
pub struct InvitePage {
    /// The frame.
    pub layout: Layout,
    /// Base of the enrolment ceremony: `/invite/{token}/passkeys`.
    pub ceremony: String,
    /// Who is invited.
    pub name: String,
    /// Who invited them; empty for the first person.
    pub inviter: String,
    /// "owner", "maintainer" or "viewer".
    pub role: String,
    /// What the role lets them do, one sentence.
    pub role_means: String,
    /// "in 6 days".
    pub expires: String,
    /// They had passkeys before, which the new one replaces.
    pub replaces: bool,
}

/// An invitation that cannot be used any more.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/invite_gone.html")]
pub struct InviteGonePage {
    /// The frame.
    pub layout: Layout,
    /// "It was used on 21 Nov 2026." or "It ran out on …".
    pub reason: String,
    /// Whom to ask; empty when nobody may be named.
    pub inviter: String,
}

/// `/login`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/login.html")]
pub struct LoginPage {
    /// The frame.
    pub layout: Layout,
    /// Where to go after signing in; a path of this instance, already checked.
    pub next: String,
    /// Said above the button: "You were signed out after 30 minutes without a request."
    pub reason: Option<String>,
    /// Single sign-on for reading, where it is configured: where it begins and what it is called.
    pub sso: Option<super::shell::Link>,
}

/// A page that goes on to another one, by itself or by its link.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/onward.html")]
pub struct OnwardPage {
    /// The frame.
    pub layout: Layout,
    /// "You are signed in for reading".
    pub title: String,
    /// One sentence more.
    pub text: String,
    /// Where it goes on: a path of this instance, or the configured issuer.
    pub place: String,
}

/// What an unclaimed instance answers everywhere except `/setup`; says nothing about its state.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "pages/neutral.html")]
pub struct NeutralPage {
    /// The frame; nothing in it is shown but the theme.
    pub layout: Layout,
}

/// A refusal or a fault on a page: what happened, what we did, what you can do.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/problem.html")]
pub struct ProblemPage {
    /// The frame, with or without a person.
    pub layout: Layout,
    /// Status in words: "Not found", "Refused", "Countersign could not finish".
    pub badge: Badge,
    /// One sentence, the heading of the page.
    pub happened: String,
    /// The detail of the refusal; may be empty.
    pub detail: String,
    /// "Nothing was changed."
    pub did: String,
    /// Things to do now, as sentences.
    pub can: Vec<String>,
    /// The request's id, for the log.
    pub request: String,
    /// Whether a link to the inbox (signed in) or to sign-in is useful.
    pub way_out: Option<super::shell::Link>,
}

impl ProblemPage {
    /// The page for an address that leads nowhere.
    pub fn not_found(layout: Layout, request: impl Into<String>) -> Self {
        let way_out = match layout.person {
            Some(_) => super::shell::Link::new("/", "Go to the inbox"),
            None => super::shell::Link::new("/login", "Sign in"),
        };
        Self {
            layout: Layout { title: "Not found".to_owned(), ..layout },
            badge: Badge::new(Tone::Plain, "search", "Not found"),
            happened: "There is nothing at this address".to_owned(),
            detail: String::new(),
            did: "Nothing was changed.".to_owned(),
            can: vec![
                "Check the address for a missing letter.".to_owned(),
                "If somebody sent it to you, you may not be allowed to see what it leads to."
                    .to_owned(),
            ],
            request: request.into(),
            way_out: Some(way_out),
        }
    }
}
