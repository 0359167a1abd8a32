//! The pages one sees before signing in, and the one that says what went wrong.

use super::anonymous;
use crate::web::views::access::{
    InviteGonePage, InvitePage, LoginPage, OnwardPage, Preflight, ProblemPage, SetupPage,
};
use crate::web::views::form::Field;
use crate::web::views::shell::{Badge, Layout, Link, Tone};

pub(super) fn setup() -> SetupPage {
    let check = |tone, title: &str, detail: &str| Preflight {
        tone,
        title: title.to_owned(),
        detail: detail.to_owned(),
    };
    SetupPage {
        layout: Layout {
            host: "releases.aurora.example".to_owned(),
            instance: String::new(),
            ..anonymous("Set up")
        },
        preflight: vec![
            check(
                Tone::Ok,
                "The address is the configured one",
                "https://releases.aurora.example, over https.",
            ),
            check(Tone::Ok, "The folder for held files can be written", "data/blobs, 41 GB free."),
            check(
                Tone::Warn,
                "The clock",
                "Your browser and this host are 4 s apart. Up to 15 s is fine.",
            ),
        ],
        code: Field { value: "K7QM-2F9P-XXXX".to_owned(), error: None },
        name: Field::of("Ines Duarte"),
        code_path: "data/claim-code".to_owned(),
    }
}

pub(super) fn invite() -> InvitePage {
    InvitePage {
        layout: anonymous("Invitation"),
        ceremony: "/invite/3q2-7wEr/passkeys".to_owned(),
        name: "Jun".to_owned(),
        inviter: "Mara Lindqvist".to_owned(),
        role: "maintainer".to_owned(),
        role_means: "Maintainers sign releases of the packages whose policy names them.".to_owned(),
        expires: "in 6 days".to_owned(),
        replaces: false,
    }
}

pub(super) fn invite_gone() -> InviteGonePage {
    InviteGonePage {
        layout: anonymous("Invitation"),
        reason: "It was used 21 Nov 2026 09:12 UTC. Each invitation works once.".to_owned(),
        inviter: "Mara Lindqvist".to_owned(),
    }
}

pub(super) fn login() -> LoginPage {
    LoginPage {
        layout: anonymous("Sign in"),
        next: "/releases/0193a7c2".to_owned(),
        reason: Some("You were signed out after 30 minutes without a request.".to_owned()),
        sso: Some(Link::new("/login/sso?next=%2F", "Read, with Aurora directory")),
    }
}

pub(super) fn problem() -> ProblemPage {
    ProblemPage {
        layout: anonymous("Refused"),
        badge: Badge::new(Tone::Bad, "ban", "Refused"),
        happened: "The statement changed while the page was open".to_owned(),
        detail: "Expected policy revision `15`, this page was made for revision `14`.".to_owned(),
        did: "Nothing was signed and nothing was changed.".to_owned(),
        can: vec![
            "Open the release again and read what you will sign.".to_owned(),
            "If it changes every time, ask who is editing the policy.".to_owned(),
        ],
        request: "0193a7c2-5b1e-7d70-9a51-4e1f0e8f2d11".to_owned(),
        way_out: Some(Link::new("/releases/0193a7c2", "Open the release again")),
    }
}

pub(super) fn onward() -> OnwardPage {
    OnwardPage {
        layout: anonymous("You are signed in for reading"),
        title: "You are signed in for reading".to_owned(),
        text: "To sign or change anything you need your passkey.".to_owned(),
        place: "/".to_owned(),
    }
}
