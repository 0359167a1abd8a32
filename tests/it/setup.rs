//! What owners configure, and the reviewed set-up file, on both databases.

use std::path::Path;

use countersign::cli::apply::{Apply, ApplyError};
use countersign::domain::event::{Actor, Event};
use countersign::domain::ids::{PersonId, ReleaseId};
use countersign::domain::issuer::{IssuerConfig, Preset};
use countersign::domain::manifest::Access;
use countersign::domain::package::{Ecosystem, PackageName};
use countersign::domain::policy::PolicyDraft;
use countersign::domain::publisher::PublisherConfig;
use countersign::domain::roster::Role;
use countersign::domain::upstream::CredentialPurpose;
use countersign::pipeline::setup::{
    self, Credential, NewCredential, PackageDraft, PublisherDraft, UpstreamDraft,
};
use countersign::pipeline::{Error, Kind};
use countersign::store::Store;
use countersign::vault::{self, Sealed};
use countersign::{entropy, pipeline};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::support::database::{on_both, sqlite};
use crate::support::setup::{ORIGIN, apply_text, count, text, vault_key};

const ISSUER: &str = "https://ci.example";
/// Everything a set-up file writes to.
const TABLES: [&str; 9] = [
    "people",
    "invitations",
    "issuers",
    "ci_identities",
    "upstreams",
    "policies",
    "packages",
    "publishers",
    "roster_revisions",
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).unwrap()
}

async fn events(store: &Store) -> Vec<Event> {
    let nowhere: ReleaseId = entropy::id(at(0)).unwrap();
    let entries = store.snapshot().await.unwrap().log_for_release(nowhere).await.unwrap();
    entries.into_iter().map(|entry| entry.event).collect()
}

fn refused<T: std::fmt::Debug>(result: pipeline::Result<T>) -> (Kind, String) {
    match result {
        Err(Error::Refused(refusal)) => (refusal.kind, refusal.message),
        other => panic!("expected a refusal, received {other:?}"),
    }
}

fn name(ecosystem: Ecosystem, text: &str) -> PackageName {
    PackageName::parse(ecosystem, text).unwrap()
}

#[tokio::test]
async fn the_set_up_file_in_the_documents_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let page = include_str!("../../docs/set-up.md");
    let example = page.split("```").find_map(|block| block.strip_prefix("toml\n")).unwrap();
    let invites = apply_text(&store, &vault_key(), example, at(0)).await.unwrap();
    assert_eq!(invites.len(), 3);
    assert_eq!(count(&store, "publishers").await, 1);
}

#[tokio::test]
async fn a_file_founds_everything_with_its_events_and_invites_everybody() {
    on_both(async |store| {
        let key = vault_key();
        let invites = apply_text(&store, &key, &text(ISSUER), at(0)).await.unwrap();
        let names: Vec<_> = invites.iter().map(|invite| invite.name.as_str()).collect();
        assert_eq!(names, ["Ines Duarte", "Mara Lindqvist", "Vera Oduya"]);
        for invite in &invites {
            assert_eq!(invite.token.expose_secret().len(), 43);
        }
        let kinds: Vec<_> = events(&store).await.iter().map(Event::kind).collect();
        let of = |kind| kinds.iter().filter(|known| **known == kind).count();
        assert_eq!(kinds[0], "genesis");
        assert_eq!((of("upstream_revised"), of("credential_sealed")), (2, 1));
        assert_eq!(
            (of("policy_revised"), of("package_revised"), of("publisher_revised")),
            (1, 4, 1)
        );
        assert_eq!(of("issuer_revised"), 1);
        let mut tx = store.snapshot().await.unwrap();
        assert!(tx.instance().await.unwrap().unwrap().claimed_at.is_some());
        let roster = tx.roster().await.unwrap().unwrap();
        assert_eq!((roster.people.len(), roster.bots.len()), (3, 1));
        let linked: Vec<_> = roster.people.iter().flat_map(|known| &known.ci_identities).collect();
        assert_eq!((linked[0].issuer.as_str(), linked[0].actor_id.as_str()), (ISSUER, "1001"));
        let rows = setup::overview::packages(&store).await.unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.package.name.as_str(), &*row.upstream_name, row.publishers))
            .collect();
        let expected = [
            ("@octo/hello-wire", "Local npm", 1),
            ("elsewhere", "Local npm", 0),
            ("hello-core", "Local npm", 1),
            ("hello-wire", "Local index", 1),
        ];
        assert_eq!(rows, expected);
    })
    .await;
}

/// Rules K1, K3, Q17, Q18.
#[tokio::test]
async fn a_credential_is_kept_sealed_to_its_use() {
    on_both(async |store| {
        let key = vault_key();
        apply_text(&store, &key, &text(ISSUER), at(0)).await.unwrap();
        let rows = setup::overview::upstreams(&store).await.unwrap();
        let npm = rows.iter().find(|row| row.stored.upstream.name() == "Local npm").unwrap();
        assert!(npm.stored.can_publish && !npm.stored.can_read);
        assert!(!format!("{rows:?}").contains("canary"));
        let upstream = &npm.stored.upstream;
        let mut tx = store.snapshot().await.unwrap();
        let sealed = tx.publish_credential(upstream.id()).await.unwrap().unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        let genesis = tx.genesis_sha256().await.unwrap().unwrap();
        let sealed = Sealed::from_bytes(sealed);
        let open = |purpose| {
            let origin = setup::credential_origin(upstream, purpose);
            let context = setup::credential_context(genesis, upstream, &origin, purpose);
            vault::open(&key, &context, &sealed)
        };
        assert_eq!(open(CredentialPurpose::Publish).unwrap().expose_secret(), "npm_canary");
        assert!(open(CredentialPurpose::Read).is_err(), "a publish credential never reads");
    })
    .await;
}

#[tokio::test]
async fn a_file_is_applied_once_and_only_to_its_own_origin() {
    on_both(async |store| {
        let key = vault_key();
        apply_text(&store, &key, &text(ISSUER), at(0)).await.unwrap();
        let before = events(&store).await.len();
        let (kind, message) = refused(apply_text(&store, &key, &text(ISSUER), at(1)).await);
        assert_eq!(kind, Kind::Conflict);
        assert!(message.starts_with("expected an installation that nobody has claimed"));
        assert_eq!(events(&store).await.len(), before);
        assert_eq!(count(&store, "people").await, 3);
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let other = "https://other.example".to_owned();
    pipeline::signin::found_instance(&store, other, at(0)).await.unwrap();
    let (_, message) = refused(apply_text(&store, &vault_key(), &text(ISSUER), at(1)).await);
    assert!(message.contains("https://other.example"), "{message}");
}

/// Each row breaks one thing; the refusal names the key, and nothing is left.
#[tokio::test]
async fn a_bad_file_is_refused_by_key_and_leaves_nothing() {
    on_both(async |store| {
        let rows = [
            ("role = \"owner\"", "role = \"maintainer\"", "`person`"),
            ("name = \"Mara Lindqvist\"\nrole", "name = \"Ines Duarte\"\nrole", "`person[1].name`"),
            (
                "issuer = \"ci\", actor_id",
                "issuer = \"cx\", actor_id",
                "`person[0].ci_identities[0].issuer`",
            ),
            ("actor_id = \"9000\"", "actor_id = \"1001\"", "`bot[0].actor_id`"),
            ("url = \"https://ci.example\"", "url = \"http://ci.example\"", "`issuer[0]`"),
            ("name = \"Local index\"", "name = \"Local npm\"", "`upstream[1]`"),
            ("simple_url = \"http://127.0.0.1:13141/simple/\"", "", "`upstream[1]`"),
            ("kind = \"npm\"", "kind = \"npm\"\nusername = \"x\"", "`upstream[0]`"),
            ("required = 2", "required = 3", "`policy[0]`"),
            ("required = 2", "required = 0", "`policy[0]`"),
            ("required = 2", "required = 2\nexpires_hours = 999", "`policy[0]`"),
            ("\"Mara Lindqvist\"]", "\"Nobody\"]", "`policy[0].people`"),
            ("\"Mara Lindqvist\"]", "\"Vera Oduya\"]", "`policy[0]`"),
            ("name = \"hello-core\"", "name = \"Hello Core\"", "`package[1].name`"),
            ("name = \"hello-core\"", "name = \"elsewhere\"", "`package[2]`"),
            (
                "name = \"hello-core\"\nupstream = \"Local npm\"",
                "name = \"hello-core\"\nupstream = \"x\"",
                "`package[1].upstream`",
            ),
            (
                "name = \"hello-core\"\nupstream = \"Local npm\"",
                "name = \"hello-core\"\nupstream = \"Local index\"",
                "`package[1]`",
            ),
            ("policy = \"Two people\"\naccess", "policy = \"x\"\naccess", "`package[0].policy`"),
            (
                "name = \"elsewhere\"",
                "name = \"elsewhere\"\naccess = \"restricted\"",
                "`package[2]`",
            ),
            (
                "name = \"Release workflow\"\nissuer = \"ci\"",
                "name = \"Release workflow\"\nissuer = \"x\"",
                "`publisher[0].issuer`",
            ),
            ("\"npm:hello-core\"", "\"npm:hello-cora\"", "`publisher[0].packages`"),
            ("\"npm:hello-core\"", "\"hello-core\"", "`publisher[0].packages`"),
            ("repository_id = \"4242\"", "repository_id = \"octo\"", "`publisher[0]`"),
            (
                "[publisher.github]",
                "[publisher.claims]\nteam = \"a\"\n[publisher.github]",
                "`publisher[0]`",
            ),
            ("preset = \"github\"", "preset = \"gitlab\"", "`publisher[0]`"),
        ];
        let key = vault_key();
        for (good, bad, named) in rows {
            let file = text(ISSUER);
            assert!(file.contains(good), "the row finds its place: {good}");
            let file = file.replacen(good, bad, 1);
            let (_, message) = refused(apply_text(&store, &key, &file, at(0)).await);
            assert!(message.starts_with(named), "{bad}: {message}");
            for table in TABLES {
                assert_eq!(count(&store, table).await, 0, "{bad}: {table}");
            }
            assert_eq!(events(&store).await.len(), 1, "{bad}: genesis alone");
        }
        assert!(apply_text(&store, &key, &text(ISSUER), at(1)).await.is_ok(), "still unclaimed");
    })
    .await;
}

#[test]
fn unknown_keys_and_wrong_types_are_named_with_their_line() {
    let rows = [
        ("required = 2", "requird = 2", "requird"),
        ("ecosystem = \"npm\"", "ecosystem = \"gem\"", "gem"),
        ("role = \"viewer\"", "role = \"king\"", "king"),
        ("workflow = ", "workfow = ", "workfow"),
        ("[[bot]]", "[[robot]]", "robot"),
        ("required = 2", "required = \"2\"", "required"),
    ];
    for (good, bad, named) in rows {
        let error =
            setup::file::SetupFile::parse(&text(ISSUER).replacen(good, bad, 1)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(named) && error.contains("line"), "{bad}: {error}");
    }
    let long = "#".repeat(setup::file::FILE_MAX_BYTES + 1);
    assert!(setup::file::SetupFile::parse(&long).is_err());
}

/// Somebody who joined, with or without a passkey in the roster.
async fn joined(store: &Store, name: &str, role: Role) -> PersonId {
    let id = entropy::id(at(0)).unwrap();
    let mut tx = store.begin().await.unwrap();
    assert!(tx.insert_person(id, name, role, at(0)).await.unwrap());
    assert!(tx.mark_joined(id, at(0)).await.unwrap());
    tx.commit().await.unwrap();
    id
}

fn issuer_config(name: &str, url: &str) -> IssuerConfig {
    IssuerConfig {
        name: name.to_owned(),
        preset: Preset::GitHub,
        url: url.to_owned(),
        allow_private: false,
        jwks_host: None,
        algorithms: [countersign::domain::issuer::Algorithm::Rs256].into(),
        max_age_minutes: 10,
    }
}

fn policy_draft(name: &str, required: u32, members: &[PersonId]) -> PolicyDraft {
    PolicyDraft::of(name, required, members.iter().copied().collect())
}

fn upstream_draft(name: &str) -> UpstreamDraft {
    UpstreamDraft {
        name: name.to_owned(),
        kind: Ecosystem::Npm,
        url: "https://registry.example/".to_owned(),
        simple_url: None,
        files_url: None,
        allow_private: false,
        username: None,
    }
}

/// Rule "only owners": each change, asked for by everybody else.
#[tokio::test]
async fn only_joined_owners_and_the_host_change_anything() {
    on_both(async |store| {
        let key = vault_key();
        apply_text(&store, &key, &text(ISSUER), at(0)).await.unwrap();
        let mara = joined(&store, "Joined Maintainer", Role::Maintainer).await;
        let viewer = joined(&store, "Joined Viewer", Role::Viewer).await;
        let mut tx = store.snapshot().await.unwrap();
        let invited = tx.person_named("Ines Duarte").await.unwrap().unwrap().id;
        let (package, upstream) =
            (tx.packages().await.unwrap()[0].clone(), tx.upstreams().await.unwrap());
        let publisher = tx.publishers().await.unwrap()[0].publisher.clone();
        drop(tx);
        let before = events(&store).await.len();
        let nobody = entropy::id(at(0)).unwrap();
        for by in [mara, viewer, invited, nobody]
            .map(Actor::Person)
            .into_iter()
            .chain([Actor::Gateway, Actor::Publisher(publisher.id())])
        {
            let credential = Credential::parse(&"secret".into()).unwrap();
            let purpose = CredentialPurpose::Publish;
            let new = NewCredential { upstream: upstream[0].upstream.id(), purpose, credential };
            let package_draft = PackageDraft {
                name: name(Ecosystem::Npm, "new"),
                upstream: upstream[0].upstream.id(),
                policy: package.policy,
                access: None,
            };
            let publisher_draft = PublisherDraft {
                name: "New".to_owned(),
                issuer: publisher.issuer(),
                rule: publisher.rule().clone(),
                packages: [package.id].into(),
            };
            let (store, sealing, by) = (&store, &key.sealing_key(), || by.clone());
            let issuer = issuer_config("x", "https://x.example");
            let draft = policy_draft("x", 1, &[mara]);
            let packages = [package.id].into();
            let results = [
                setup::add_issuer(store, by(), issuer, at(1)).await.map(drop),
                setup::add_upstream(store, sealing, by(), (upstream_draft("x"), None), at(1))
                    .await
                    .map(drop),
                setup::seal_credential(store, sealing, by(), new, at(1)).await.map(drop),
                setup::add_policy(store, by(), draft.clone(), at(1)).await.map(drop),
                setup::revise_policy(store, by(), package.policy, draft, at(1)).await.map(drop),
                setup::add_package(store, by(), package_draft, at(1)).await.map(drop),
                setup::set_package_policy(store, by(), package.id, package.policy, at(1))
                    .await
                    .map(drop),
                setup::add_publisher(store, by(), publisher_draft, at(1)).await.map(drop),
                setup::set_publisher_packages(store, by(), publisher.id(), packages, at(1))
                    .await
                    .map(drop),
                setup::remove_publisher(store, by(), publisher.id(), at(1)).await.map(drop),
            ];
            for (i, result) in results.into_iter().enumerate() {
                assert_eq!(refused(result).0, Kind::Forbidden, "{i}");
            }
        }
        assert_eq!(events(&store).await.len(), before);
        let owner = joined(&store, "Joined Owner", Role::Owner).await;
        let issuer = issuer_config("x", "https://x.example");
        assert!(setup::add_issuer(&store, Actor::Person(owner), issuer, at(2)).await.is_ok());
    })
    .await;
}

/// Ruling Q8.
#[tokio::test]
async fn a_policy_needs_people_who_can_sign_and_names_those_who_cannot_yet() {
    on_both(async |store| {
        apply_text(&store, &vault_key(), &text(ISSUER), at(0)).await.unwrap();
        let mut tx = store.snapshot().await.unwrap();
        let people: Vec<_> = tx.people().await.unwrap();
        drop(tx);
        let of = |name: &str| people.iter().find(|known| known.name == name).unwrap().id;
        let (ines, mara, vera) = (of("Ines Duarte"), of("Mara Lindqvist"), of("Vera Oduya"));
        let draft = policy_draft("Both", 2, &[ines, mara]);
        let saved = setup::add_policy(&store, Actor::Host, draft, at(1)).await.unwrap().value;
        assert_eq!(saved.not_joined, ["Ines Duarte", "Mara Lindqvist"]);
        assert!(saved.notice().unwrap().contains("Mara Lindqvist"));
        // Whoever joined and has no key left cannot sign; nobody is waiting for them.
        let keyless = joined(&store, "Lost Key", Role::Maintainer).await;
        let before = events(&store).await.len();
        for (draft, words) in [
            (policy_draft("x", 2, &[ines, keyless]), "expected at most 1 required approvals"),
            (policy_draft("x", 1, &[vera]), "expected people who may sign, received `Vera Oduya`"),
            (policy_draft("x", 1, &[entropy::id(at(0)).unwrap()]), "expected people on the roster"),
            (policy_draft("x", 3, &[ines, mara]), "expected at most 2 required approvals"),
            (policy_draft(" ", 1, &[ines]), "expected a name"),
        ] {
            let again = setup::add_policy(&store, Actor::Host, draft.clone(), at(1)).await;
            let (kind, message) = refused(again);
            assert_eq!(kind, Kind::BadInput);
            assert!(message.starts_with(words), "{message}");
            let revised = setup::revise_policy(&store, Actor::Host, saved.id, draft, at(1)).await;
            assert!(refused(revised).1.starts_with(words));
        }
        let taken = setup::add_policy(&store, Actor::Host, policy_draft("Both", 1, &[ines]), at(1));
        assert_eq!(refused(taken.await).0, Kind::Conflict);
        assert_eq!(events(&store).await.len(), before);
    })
    .await;
}

#[tokio::test]
async fn a_revised_policy_keeps_its_history_and_its_packages() {
    on_both(async |store| {
        apply_text(&store, &vault_key(), &text(ISSUER), at(0)).await.unwrap();
        let row = setup::overview::policies(&store, at(0)).await.unwrap().remove(0);
        assert_eq!(row.packages.len(), 4);
        assert!(row.members.iter().all(|member| member.invited && !member.able));
        let ines = row.members[0].id;
        let draft = policy_draft("Just Ines", 1, &[ines]);
        let id = row.policy.id();
        let saved =
            setup::revise_policy(&store, Actor::Host, id, draft, at(9)).await.unwrap().value;
        assert_eq!((saved.id, saved.revision), (id, 2));
        let page = setup::overview::policy(&store, id, at(9)).await.unwrap();
        let history: Vec<_> =
            page.history.iter().map(|(since, policy)| (*since, policy.required())).collect();
        assert_eq!(history, [(at(9), 1), (at(0), 2)]);
        assert_eq!(page.overview.policy.name(), "Just Ines");
        let last = events(&store).await.pop().unwrap();
        assert!(matches!(last, Event::PolicyRevised { policy, .. } if policy.revision() == 2));
    })
    .await;
}

#[tokio::test]
async fn packages_move_between_policies_and_contradictions_are_refused() {
    on_both(async |store| {
        apply_text(&store, &vault_key(), &text(ISSUER), at(0)).await.unwrap();
        let rows = setup::overview::packages(&store).await.unwrap();
        let (wire, pypi) = (rows[0].package.clone(), rows[3].package.clone());
        let ines = store.snapshot().await.unwrap().person_named("Ines Duarte").await.unwrap();
        let draft = policy_draft("One", 1, &[ines.unwrap().id]);
        let one = setup::add_policy(&store, Actor::Host, draft, at(1)).await.unwrap().value.id;
        setup::set_package_policy(&store, Actor::Host, wire.id, one, at(2)).await.unwrap();
        let page = setup::overview::package(&store, wire.id).await.unwrap();
        assert_eq!(page.policy.id(), one);
        assert_eq!(page.publishers[0].issuer_name, "ci");
        let last = events(&store).await.pop().unwrap();
        assert!(matches!(last, Event::PackageRevised { package, .. } if package.policy == one));
        let before = events(&store).await.len();
        let draft =
            |name, access| PackageDraft { name, upstream: wire.upstream, policy: one, access };
        let restricted = Some(Access::Restricted);
        for (draft, kind) in [
            (draft(name(Ecosystem::Npm, "@octo/hello-wire"), None), Kind::Conflict),
            (draft(name(Ecosystem::Pypi, "other"), None), Kind::BadInput),
            (draft(name(Ecosystem::Npm, "other"), restricted), Kind::BadInput),
            (
                PackageDraft {
                    upstream: pypi.upstream,
                    ..draft(name(Ecosystem::Pypi, "hello.WIRE"), None)
                },
                Kind::Conflict,
            ),
            (
                PackageDraft {
                    upstream: pypi.upstream,
                    ..draft(name(Ecosystem::Pypi, "other"), Some(Access::Public))
                },
                Kind::BadInput,
            ),
            (
                PackageDraft {
                    policy: entropy::id(at(0)).unwrap(),
                    ..draft(name(Ecosystem::Npm, "other"), None)
                },
                Kind::NotFound,
            ),
        ] {
            let added = setup::add_package(&store, Actor::Host, draft.clone(), at(3)).await;
            assert_eq!(refused(added).0, kind, "{draft:?}");
        }
        assert_eq!(events(&store).await.len(), before);
        let scoped = draft(name(Ecosystem::Npm, "@octo/other"), restricted);
        assert!(setup::add_package(&store, Actor::Host, scoped, at(3)).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn publishers_have_a_rule_of_their_own_and_may_be_removed() {
    on_both(async |store| {
        apply_text(&store, &vault_key(), &text(ISSUER), at(0)).await.unwrap();
        let packages = setup::overview::packages(&store).await.unwrap();
        let page = setup::overview::package(&store, packages[0].package.id).await.unwrap();
        let known = page.publishers[0].stored.publisher.clone();
        let elsewhere = packages[1].package.id;
        let config: PublisherConfig = toml::from_str(
            "name = \"Other\"\nissuer = \"ci\"\npackages = []\n[claims]\nteam = \"core\"",
        )
        .unwrap();
        let generic = config.rule().unwrap();
        let draft = |name: &str, rule, packages: &[_]| PublisherDraft {
            name: name.to_owned(),
            issuer: known.issuer(),
            rule,
            packages: packages.iter().copied().collect(),
        };
        for (draft, kind) in [
            (draft("Other", known.rule().clone(), &[elsewhere]), Kind::Conflict),
            (draft("Other", generic, &[elsewhere]), Kind::BadInput),
            (draft("Other", known.rule().clone(), &[]), Kind::BadInput),
            (draft("Other", known.rule().clone(), &[entropy::id(at(0)).unwrap()]), Kind::NotFound),
        ] {
            let added = setup::add_publisher(&store, Actor::Host, draft, at(1)).await;
            assert_eq!(refused(added).0, kind);
        }
        let only = [elsewhere].into();
        setup::set_publisher_packages(&store, Actor::Host, known.id(), only, at(1)).await.unwrap();
        let page = setup::overview::package(&store, elsewhere).await.unwrap();
        assert_eq!(page.publishers.len(), 1);
        setup::remove_publisher(&store, Actor::Host, known.id(), at(2)).await.unwrap();
        let again = setup::remove_publisher(&store, Actor::Host, known.id(), at(3)).await;
        assert_eq!(refused(again).0, Kind::NotFound);
        let last = events(&store).await.pop().unwrap();
        assert!(
            matches!(last, Event::PublisherRemoved { publisher, .. } if publisher == known.id())
        );
        assert_eq!(setup::overview::packages(&store).await.unwrap()[1].publishers, 0);
        let again = draft("Release workflow", known.rule().clone(), &[elsewhere]);
        assert!(setup::add_publisher(&store, Actor::Host, again, at(4)).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn issuers_and_registries_have_names_of_their_own() {
    on_both(async |store| {
        let key = vault_key();
        apply_text(&store, &key, &text(ISSUER), at(0)).await.unwrap();
        let add = async |name, url| {
            refused(setup::add_issuer(&store, Actor::Host, issuer_config(name, url), at(1)).await)
        };
        let (kind, message) = add("ci", "https://other.example").await;
        assert_eq!(kind, Kind::Conflict);
        assert!(message.contains("received `ci`"), "{message}");
        let (kind, message) = add("other", ISSUER).await;
        assert_eq!(kind, Kind::Conflict);
        assert!(message.contains("received `https://ci.example`"), "{message}");
        assert_eq!(add("other", "http://other.example").await.0, Kind::BadInput);
        let (by, same) = (Actor::Host, (upstream_draft("Local npm"), None));
        let again = setup::add_upstream(&store, &key.sealing_key(), by, same, at(1)).await;
        assert_eq!(refused(again).0, Kind::Conflict);
        assert_eq!(setup::overview::issuers(&store).await.unwrap().len(), 1);
        assert_eq!(setup::overview::upstreams(&store).await.unwrap().len(), 2);
    })
    .await;
}

#[test]
fn a_credential_is_one_line_of_bounded_length() {
    for good in ["npm_x", "npm_x\n", "npm_x\r\n"] {
        assert!(Credential::parse(&good.into()).is_ok(), "{good:?}");
    }
    let long = "canary".repeat(setup::CREDENTIAL_MAX_BYTES / 6 + 1);
    for bad in
        ["", "\n", "canary\none", "canary one", "canary\t", "canary\n\n", "canary\u{e9}", &long]
    {
        let (_, message) = refused(Credential::parse(&SecretString::from(bad)));
        assert!(message.starts_with("expected a credential") && !message.contains("canary"));
    }
}

fn command(folder: &Path, json: bool) -> Apply {
    Apply { file: folder.join("setup.toml"), config: folder.join("countersign.toml"), json }
}

fn write_files(folder: &Path) {
    let config = format!("origin = \"{ORIGIN}\"\nlisten = [{{ address = \"127.0.0.1:1\" }}]\n");
    std::fs::write(folder.join("countersign.toml"), config).unwrap();
    std::fs::write(folder.join("setup.toml"), text(ISSUER)).unwrap();
    std::fs::write(folder.join("npm.token"), "npm_canary\n").unwrap();
}

#[tokio::test]
async fn the_command_prints_an_invitation_for_each_person() {
    for json in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path());
        let mut out = Vec::new();
        command(folder.path(), json).run(&mut out, at(0)).await.unwrap();
        let out = String::from_utf8(out).unwrap();
        let url = format!("{ORIGIN}/invite/");
        if json {
            let list: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
            assert_eq!(list.len(), 3);
            assert_eq!(list[0]["name"], "Ines Duarte");
            assert!(list[0]["url"].as_str().unwrap().starts_with(&url));
        } else {
            let lines: Vec<_> = out.lines().collect();
            assert_eq!(lines.len(), 3);
            assert!(lines[0].starts_with(&format!("invite\tInes Duarte\t{url}")), "{out}");
        }
        let mut again = Vec::new();
        let error = command(folder.path(), json).run(&mut again, at(1)).await.unwrap_err();
        assert!(matches!(error, ApplyError::Apply(Error::Refused(_))), "{error}");
        assert!(again.is_empty());
    }
}

#[tokio::test]
async fn the_command_refuses_bad_credential_files_without_repeating_them() {
    for bad in ["", "canary one\n", "canary\ncanary\n", &"canary".repeat(10_000)] {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path());
        std::fs::write(folder.path().join("npm.token"), bad).unwrap();
        let mut out = Vec::new();
        let error = command(folder.path(), true).run(&mut out, at(0)).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("`upstream[0].credential_file`: expected a credential"));
        assert!(!message.contains("canary"), "{message}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    std::fs::remove_file(folder.path().join("npm.token")).unwrap();
    let error = command(folder.path(), true).run(&mut Vec::new(), at(0)).await.unwrap_err();
    assert!(matches!(error, ApplyError::Read { path, .. } if path.ends_with("npm.token")));
}
