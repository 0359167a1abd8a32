//! One value of every page, several of the review page, for tests and pictures.
//!
//! `Words` decides whether text that comes from packages and CI is ordinary or hostile; both are
//! shown the way handlers show it, through `display::visible`.

mod access;
mod decided;
mod files;
mod governance;
mod home;
mod package;
mod people;
mod policy;
mod registry;
mod release;
mod system;

use askama::Template;

use crate::web::display::{When, visible};
use crate::web::views::access::{NeutralPage, ProblemPage};
use crate::web::views::home::{InboxPage, ReleaseName};
use crate::web::views::policy::PolicyCheckFragment;
use crate::web::views::release::{ReleasePage, RunFragment};
use crate::web::views::shell::{Face, Layout, Link, Notice, Section, SignedIn, Theme, Tone};

/// Check words of a manifest.
const CHECK_WORDS: [&str; 8] =
    ["harbor", "velvet", "copper", "zigzag", "meadow", "piano", "falcon", "ribbon"];

/// A rendered sample with its file name.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) html: String,
}

/// Ordinary or hostile text of packages and CI.
#[derive(Clone, Copy)]
enum Words {
    Plain,
    Hostile,
}

impl Words {
    /// The text as a handler would put it into a view.
    fn show(self, plain: &str) -> String {
        match self {
            Self::Plain => visible(plain),
            Self::Hostile => visible(&hostile_text()),
        }
    }
}

/// Rows X01 to X06, X07, X11, X16, X17 in one string.
fn hostile_text() -> String {
    format!(
        "x\"'><script>alert(1)</script><img src=x onerror=alert(1)> evil\u{202E}gpj.js re\u{200B}q\
         \u{E0041}\u{1b}[31m\u{0} javascript:alert(1) {{{{7*7}}}} </title><h1> a{}",
        "\u{0301}".repeat(10_000)
    )
}

fn rendered(name: &'static str, page: &impl Template) -> Sample {
    Sample { name, html: super::html(page).unwrap() }
}

/// Every page.
pub(super) fn all() -> Vec<Sample> {
    let mut samples = with(Words::Plain);
    samples.extend([
        rendered("setup", &access::setup()),
        rendered("invite", &access::invite()),
        rendered("invite-gone", &access::invite_gone()),
        rendered("login", &access::login()),
        rendered("onward", &access::onward()),
        rendered(
            "neutral",
            &NeutralPage {
                layout: Layout { title: "Countersign".to_owned(), ..Layout::default() },
            },
        ),
        rendered("problem", &access::problem()),
        rendered("not-found", &ProblemPage::not_found(anonymous(""), "0193a7c2-5b1e")),
        rendered("inbox-empty", &home::inbox_new()),
        rendered("package-new", &package::package_new()),
        rendered("policies", &policy::policies()),
        rendered("policy", &policy::policy()),
        rendered("policy-new", &policy::policy_new()),
        rendered("registries", &registry::registries()),
        rendered("registry-new", &registry::registry_new()),
        rendered("issuer-new", &registry::issuer_new()),
        rendered("people", &people::people()),
        rendered("person-invite", &people::person_invite()),
        rendered("person-invited", &people::person_invited()),
        rendered("keys", &people::keys()),
        rendered("keys-waiting", &people::keys_waiting()),
        rendered("leave", &people::leave()),
        rendered("leaving", &people::leaving()),
        rendered("health", &system::health()),
        rendered("proposals", &governance::proposals()),
        rendered("proposals-empty", &governance::proposals_empty()),
        rendered("proposal-waiting", &governance::waiting()),
        rendered("proposal-stale", &governance::stale()),
        rendered("proposal-enacted", &governance::enacted()),
        rendered("proposal-object", &governance::object()),
        rendered("founding-new", &governance::founding_new()),
        rendered("founding-secret", &governance::founding_secret()),
        rendered("founding-founded", &governance::founded()),
        rendered("freeze", &governance::freeze()),
        rendered("say-so", &governance::say_so()),
        rendered("policy-propose", &policy::policy_propose()),
        rendered("inbox-governed", &home::inbox_governed()),
    ]);
    samples
}

/// The pages that show text of packages or CI, with hostile text.
pub(super) fn hostile() -> Vec<Sample> {
    with(Words::Hostile)
}

fn with(words: Words) -> Vec<Sample> {
    vec![
        rendered("inbox", &home::inbox_of(words)),
        rendered("releases", &home::releases(words)),
        rendered("release-needs-approvals", &release::needs_approvals(words)),
        rendered("release-checking", &release::checking(words)),
        rendered("release-one-person", &release::one_person(words)),
        rendered("release-signed", &release::signed(words)),
        rendered("release-cannot-sign", &release::cannot_sign(words)),
        rendered("release-actor-unknown", &release::actor_unknown(words)),
        rendered("release-cooling", &decided::cooling(words)),
        rendered("release-unfounded", &decided::unfounded(words)),
        rendered("release-publishing", &decided::publishing(words)),
        rendered("release-published", &decided::published(words)),
        rendered("release-partly", &decided::partly(words)),
        rendered("release-failed", &decided::failed(words)),
        rendered("release-rejected", &decided::rejected(words)),
        rendered("release-expired", &decided::expired(words)),
        rendered("release-superseded", &decided::superseded(words)),
        rendered("reject", &release::reject(words)),
        rendered("together", &release::together(words)),
        rendered("contents", &release::contents(words)),
        rendered("preview", &release::preview(words)),
        rendered("files", &files::list(words)),
        rendered("file-diff", &files::diff(words)),
        rendered("file-whole", &files::whole(words)),
        rendered("file-binary", &files::binary(words)),
        rendered("file-not-shown", &files::not_shown(words)),
        rendered("evidence", &decided::evidence(words)),
        rendered("packages", &package::packages(words)),
        rendered("package", &package::package(words)),
        rendered("publisher-github", &package::publisher(words, package::github())),
        rendered("publisher-gitlab", &package::publisher(words, package::gitlab())),
        rendered("publisher-generic", &package::publisher(words, package::generic())),
        rendered("identity-new", &people::identity_new(words)),
        rendered("proposal", &governance::proposal(words)),
        rendered("proposal-leaving", &governance::leaving(words)),
        rendered("proposal-rejected", &governance::rejected(words)),
        rendered("founding-sign", &governance::founding_sign(words)),
        rendered("freeze-frozen", &governance::frozen(words)),
    ]
}

/// The review page most people see.
pub(super) fn release_needs_approvals() -> ReleasePage {
    release::needs_approvals(Words::Plain)
}

/// The inbox with two releases waiting.
pub(super) fn inbox() -> InboxPage {
    home::inbox_of(Words::Plain)
}

/// What the event stream sends for a release that is being published.
pub(super) fn run_fragment() -> RunFragment {
    RunFragment { run: decided::publishing(Words::Plain).run.unwrap() }
}

/// What a change of the policy editor's form fetches.
pub(super) fn policy_check_fragment() -> PolicyCheckFragment {
    PolicyCheckFragment { check: policy::check() }
}

fn when(at: &str) -> When {
    When::new(at.parse().unwrap(), "2026-11-22T16:02:11Z".parse().unwrap())
}

fn anonymous(title: &str) -> Layout {
    Layout {
        title: title.to_owned(),
        instance: "Aurora releases".to_owned(),
        host: "releases.aurora.example".to_owned(),
        ..Layout::default()
    }
}

fn layout(title: &str, section: Section) -> Layout {
    Layout {
        section,
        person: Some(SignedIn {
            face: Face::of("Ines Duarte"),
            role: "Maintainer".to_owned(),
            keys: 2,
        }),
        waiting: 2,
        csrf: "c3JmLXRva2Vu".to_owned(),
        theme: Theme::Auto,
        ..anonymous(title)
    }
}

fn name(words: Words, ecosystem: &str, package: &str, version: &str) -> ReleaseName {
    ReleaseName {
        href: "/releases/0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11".to_owned(),
        ecosystem: ecosystem.to_owned(),
        package: words.show(package),
        version: words.show(version),
        registry: ecosystem.to_owned(),
    }
}

/// On every page of a session for reading.
fn reading() -> Notice {
    let text = "To sign or change anything, sign out and sign in with a passkey that counts.";
    notice(Tone::Note, "lock", "You are signed in for reading", text, None)
}

/// On every page while a recovery waits.
fn recovery() -> Notice {
    let text = "A new passkey joins in 23 hours (23 Nov 2026 15:00 UTC) without any approval, \
                unless one of you objects. If you do not know why, object now and ask who has the \
                recovery secret.";
    let link = Link::new("/proposals/1", "Look at it");
    notice(Tone::Bad, "siren", "Somebody used the recovery key for Theo Okafor", text, Some(link))
}

fn notice(tone: Tone, icon: &'static str, title: &str, text: &str, link: Option<Link>) -> Notice {
    Notice { tone, icon, title: title.to_owned(), text: text.to_owned(), link }
}
