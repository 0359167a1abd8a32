//! People, their keys and their CI accounts.

use super::{Words, layout, notice, when};
use crate::web::views::form::{Choice, Field};
use crate::web::views::people::{
    CiIdentity, InvitationRow, InvitePersonPage, KeyCard, KeysPage, LeavePage, LeaverRow,
    LeavingPage, LinkIdentityPage, PeoplePage, PersonRow, RightGroup, RightRow, SessionRow,
    SsoCard,
};
use crate::web::views::shell::{Badge, Face, Link, Notice, Section, Tone};

fn three_can_sign() -> Notice {
    let text = "With two needed, one of them can be away at a time.";
    notice(Tone::Warn, "users", "Three people can sign", text, None)
}

pub(super) fn people() -> PeoplePage {
    let person =
        |name: &str, you, role: &str, keys, actor: Option<&str>, seen: Option<&str>| PersonRow {
            face: Face::of(name),
            you,
            role: role.to_owned(),
            keys,
            identities: actor
                .map(|actor| CiIdentity { issuer: "ci".to_owned(), actor: actor.to_owned() })
                .into_iter()
                .collect(),
            link: Some("/people/1/identities/new".to_owned()),
            seen: seen.map(when),
            manage: Some("/people/1".to_owned()),
            roles: vec![
                Choice::new("maintainer", "Maintainer", "They sign releases.").chosen(),
                Choice::new("viewer", "Viewer", "They sign nothing."),
            ],
            joined: seen.is_some(),
        };
    PeoplePage {
        layout: layout("People & keys", Section::People),
        notices: vec![three_can_sign()],
        people: vec![
            person(
                "Mara Lindqvist",
                false,
                "Owner",
                Badge::new(Tone::Ok, "circle-check", "2 passkeys"),
                Some("1002"),
                Some("2026-11-22T15:56:00Z"),
            ),
            person(
                "Ines Duarte",
                true,
                "Maintainer",
                Badge::new(Tone::Ok, "circle-check", "2 passkeys"),
                Some("1001"),
                Some("2026-11-22T16:02:00Z"),
            ),
            person(
                "Theo Okafor",
                false,
                "Maintainer",
                Badge::new(Tone::Warn, "triangle-alert", "1 passkey"),
                None,
                Some("2026-11-20T09:00:00Z"),
            ),
            person(
                "Jun Watanabe",
                false,
                "Viewer",
                Badge::new(Tone::Plain, "circle-dashed", "No passkey yet"),
                None,
                None,
            ),
        ],
        invitations: vec![InvitationRow {
            name: "Jun Watanabe".to_owned(),
            role: "Viewer".to_owned(),
            expires: when("2026-11-29T16:00:00Z"),
            address: None,
            revoke: Some("/people/invitations/1/revoke".to_owned()),
        }],
        bots: vec![CiIdentity { issuer: "ci".to_owned(), actor: "9000".to_owned() }],
        may_invite: true,
        leavers: vec![leaver()],
    }
}

fn leaver() -> LeaverRow {
    LeaverRow {
        face: Face::of("Dana Ortiz"),
        left: when("2026-11-20T09:00:00Z"),
        open: Badge::new(Tone::Bad, "list-checks", "3 rights to check"),
        href: "/people/1/leaving".to_owned(),
    }
}

pub(super) fn leave() -> LeavePage {
    LeavePage {
        layout: layout("Dana Ortiz leaves", Section::People),
        face: Face::of("Dana Ortiz"),
        you: false,
        ends: vec![
            "Every session and every open invitation.".to_owned(),
            "2 passkeys: what it signed and is not sent yet stops counting.".to_owned(),
        ],
        remains: vec![
            "Their rows as owner or maintainer of each package, at each registry.".to_owned(),
            "Their own tokens there.".to_owned(),
        ],
        proposes: true,
    }
}

pub(super) fn leaving() -> LeavingPage {
    let right = |id: &str, what: &str, name: &str, how: &str, confirmed| RightRow {
        id: id.to_owned(),
        what: what.to_owned(),
        name: name.to_owned(),
        how: how.to_owned(),
        confirmed,
    };
    let seen = ("Mara Lindqvist".to_owned(), when("2026-11-21T10:12:00Z"));
    let list = "The registry lists who may publish the package. They are not on that list.";
    LeavingPage {
        layout: layout("What Dana Ortiz may still hold", Section::People),
        face: Face::of("Dana Ortiz"),
        left: when("2026-11-20T09:00:00Z"),
        standing: Badge::new(Tone::Bad, "list-checks", "1 of 3 confirmed gone"),
        groups: vec![
            RightGroup {
                title: "Here".to_owned(),
                rights: vec![right(
                    "1",
                    "Publisher",
                    "release.yml of aurora/client",
                    "They added it. Look at its repository, workflow and environment, or remove it.",
                    None,
                )],
            },
            RightGroup {
                title: "At npm".to_owned(),
                rights: vec![
                    right("2", "Owner or maintainer of", "@aurora/client", list, Some(seen)),
                    right(
                        "3",
                        "Tokens of their own that can publish",
                        "",
                        "Only they and the registry's administrators see them.",
                        None,
                    ),
                ],
            },
        ],
        may_confirm: true,
    }
}

fn roles() -> Vec<Choice> {
    vec![
        Choice::new(
            "owner",
            "Owner",
            "Invites people, adds packages, registries and policies, and signs.",
        ),
        Choice::new(
            "maintainer",
            "Maintainer",
            "Signs releases of the packages whose policy names them.",
        )
        .chosen(),
        Choice::new("viewer", "Viewer", "Reads everything, signs nothing."),
    ]
}

pub(super) fn person_invite() -> InvitePersonPage {
    InvitePersonPage {
        layout: layout("Invite someone", Section::People),
        name: Field::default(),
        roles: roles(),
        errors: Vec::new(),
        made: None,
    }
}

pub(super) fn person_invited() -> InvitePersonPage {
    let address =
        "https://releases.aurora.example/invite/3q2-7wErTyUiOpAsDfGhJkLzXcVbNm0123456789abc";
    InvitePersonPage {
        made: Some(("Priya Raman".to_owned(), address.to_owned())),
        ..person_invite()
    }
}

pub(super) fn identity_new(words: Words) -> LinkIdentityPage {
    LinkIdentityPage {
        layout: layout("Link a CI account", Section::People),
        issuers: vec![Choice::new("1", "ci (GitHub Actions)", "").chosen()],
        actor: Field::of("1009"),
        login: words.show("r-nakamura"),
        owners: vec![
            Choice::new("1", "Mara Lindqvist", "Already linked to 1002"),
            Choice::new("2", "Theo Okafor", ""),
            Choice::new(
                "bot",
                "Nobody: it is a bot",
                "It may start runs and takes nobody's signature away.",
            ),
        ],
        errors: Vec::new(),
        release: Some(Link::new("/releases/0193a7c2", words.show("aurora-client 4.2.0"))),
    }
}

pub(super) fn keys() -> KeysPage {
    let mut layout = layout("My keys", Section::Keys);
    if let Some(person) = &mut layout.person {
        person.keys = 1;
    }
    KeysPage {
        layout,
        keys: vec![KeyCard {
            name: "YubiKey 5C".to_owned(),
            kind: Badge::new(Tone::Ok, "key-round", "Stays on one device"),
            added: when("2026-03-03T10:00:00Z"),
            used: Some(when("2026-11-22T15:56:00Z")),
            words: None,
            remove: None,
        }],
        ceremony: "/me/keys".to_owned(),
        reading: false,
        sessions: vec![
            SessionRow {
                browser: "Firefox on Linux".to_owned(),
                opened: "Opened with “YubiKey 5C”".to_owned(),
                began: when("2026-11-22T14:02:00Z"),
                seen: when("2026-11-22T16:02:00Z"),
                here: true,
                end: None,
            },
            SessionRow {
                browser: "Safari on iOS".to_owned(),
                opened: "Opened with “Phone”".to_owned(),
                began: when("2026-11-22T09:40:00Z"),
                seen: when("2026-11-22T15:41:00Z"),
                here: false,
                end: Some("/me/sessions/2/end".to_owned()),
            },
        ],
        leave: "/people/1/leave".to_owned(),
        sso: Some(SsoCard { name: "Aurora directory".to_owned(), linked: None }),
    }
}

/// Somebody who lost their keys and waits for the others, in a session for reading.
pub(super) fn keys_waiting() -> KeysPage {
    let mut page = keys();
    page.reading = true;
    page.sessions.truncate(1);
    page.layout.alarms = vec![super::reading(), super::recovery()];
    page.keys = vec![KeyCard {
        name: "New phone".to_owned(),
        kind: Badge::new(Tone::Warn, "hourglass", "Waits for others to vouch for it"),
        added: when("2026-11-22T15:56:00Z"),
        used: None,
        words: Some("ginger thimble falcon yogurt".to_owned()),
        remove: None,
    }];
    page
}
