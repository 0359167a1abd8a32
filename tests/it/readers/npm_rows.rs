//! npm tarballs and manifests: rows N10-N18, N29, N30 and rules N1-N3, N6, Q3.

use countersign::domain::artifact::NpmFacts;
use countersign::domain::json::JsonRefusal;
use countersign::inspect::npm::{NpmRefusal, compare_manifest};
use countersign::inspect::{Failure, Refusal};
use serde_json::{Map, Value, json};

use super::build::{file, tgz};
use super::real_packages::read_npm;

fn package(json: &str) -> Result<NpmFacts, Failure> {
    read_npm(&tgz(&[file("package/package.json", json.as_bytes())]))
}

fn refusal(json: &str) -> Refusal {
    match package(json) {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Rows N29, N30. Rule N3.
#[test]
fn package_json_must_be_strict_json() {
    let json = |text: &str| match refusal(text) {
        Refusal::Json { file: "package.json", refusal } => refusal,
        other => panic!("{other:?}"),
    };
    let twice = r#"{"name":"a","version":"1.0.0","scripts":{},"scripts":{"install":"evil"}}"#;
    assert_eq!(json(twice), JsonRefusal::DuplicateKey { key: "scripts".to_owned() });
    assert_eq!(json("\u{feff}{}"), JsonRefusal::ByteOrderMark);
    assert_eq!(json("[]"), JsonRefusal::NotAnObject);
    assert_eq!(json(&"[".repeat(5000)), JsonRefusal::TooDeep { limit: 32 });
    for text in ["{'name':'a'}", "{\"name\":\"a\",}", "// x\n{}", "{} trailing", ""] {
        assert!(matches!(json(text), JsonRefusal::Syntax { .. }), "{text}");
    }
    let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(2 << 20));
    assert!(matches!(refusal(&large), Refusal::Limit(_)));
}

/// Rows N10, N11, N18. Rules N1, N3, N6.
#[test]
fn a_package_names_itself_canonically_and_is_not_private() {
    let npm = |text: &str| match refusal(text) {
        Refusal::Npm(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(npm(r#"{"version":"1.0.0"}"#), NpmRefusal::Missing { member: "name" });
    assert_eq!(npm(r#"{"name":1,"version":"1.0.0"}"#), NpmRefusal::Missing { member: "name" });
    assert_eq!(npm(r#"{"name":"a"}"#), NpmRefusal::Missing { member: "version" });
    for text in [
        r#"{"name":"UPPER","version":"1.0.0"}"#,
        r#"{"name":"a ","version":"1.0.0"}"#,
        r#"{"name":"a","version":"v1.0.0"}"#,
        r#"{"name":"a","version":"1.0.0+build"}"#,
    ] {
        assert!(matches!(npm(text), NpmRefusal::Identity(_)), "{text}");
    }
    for value in ["true", "\"yes\"", "1"] {
        let text = format!(r#"{{"name":"a","version":"1.0.0","private":{value}}}"#);
        assert!(matches!(npm(&text), NpmRefusal::Private { .. }), "{text}");
    }
    assert!(package(r#"{"name":"a","version":"1.0.0","private":false}"#).is_ok());
    let elsewhere =
        tgz(&[file("package/lib/package.json", b"{}"), file("package/Package.json", b"")]);
    assert!(matches!(
        read_npm(&elsewhere),
        Err(Failure::Refused(Refusal::Npm(NpmRefusal::NoManifest)))
    ));
    let two = tgz(&[file("package/package.json", b"{}"), file("package/PACKAGE.JSON", b"{}")]);
    assert!(matches!(read_npm(&two), Err(Failure::Refused(Refusal::Name(_)))));
}

/// Rule N7.
#[test]
fn facts_tell_what_installs_and_what_to_show() {
    let facts = read_npm(&tgz(&[
        file("package/README", b"plain"),
        file("package/package.json", br#"{"name":"a","version":"1.0.0"}"#),
        file("package/binding.gyp", b"{}"),
        file("package/npm-shrinkwrap.json", b"{}"),
        file("package/lib/binding.gyp", b"{}"),
        file("package/readme.md", &[b"x".repeat(65_535), "\u{e9}".into()].concat()),
    ]))
    .unwrap();
    assert!(facts.has_binding_gyp && facts.has_shrinkwrap);
    assert_eq!(facts.readme_filename.as_deref(), Some("readme.md"));
    assert_eq!(facts.readme.map(|text| text.len()), Some(65_535));
    assert_eq!(facts.file_count, 6);
}

fn facts(package_json: Value) -> NpmFacts {
    let Value::Object(package_json) = package_json else { panic!("an object") };
    NpmFacts {
        name: "@octo/a".to_owned(),
        version: "1.0.0".to_owned(),
        package_json,
        readme: Some("# hi\n".to_owned()),
        readme_filename: None,
        has_binding_gyp: false,
        has_shrinkwrap: false,
        file_count: 1,
        unpacked_bytes: 1,
    }
}

fn base() -> Value {
    json!({
        "name": "@octo/a", "version": "1.0.0", "description": "d", "bin": "./cli.js",
        "repository": "octo/a", "keywords": "x, y", "author": "O <o@example.org>",
        "bugs": "https://example.org/bugs", "os": "linux", "bundledDependencies": ["b"],
        "dependencies": {"b": "^1.0.0", "c": "1"}, "optionalDependencies": {"c": "1"},
        "devDependencies": {}, "scripts": {"test": "./node_modules/.bin/x y", "n": 1},
    })
}

fn with(base: Value, member: &str, value: Value) -> Map<String, Value> {
    let Value::Object(mut map) = base else { panic!("an object") };
    map.insert(member.to_owned(), value);
    map
}

/// Ruling Q3: what npm itself rewrites is no difference.
#[test]
fn a_manifest_normalised_by_npm_equals_its_source() {
    let Value::Object(claimed) = json!({
        "name": "@octo/a", "version": "1.0.0", "description": "d", "bin": {"a": "cli.js"},
        "repository": {"type": "git", "url": "git+https://github.com/octo/a.git"},
        "homepage": "https://github.com/octo/a#readme", "keywords": ["x", "y"],
        "author": {"name": "O", "email": "o@example.org"},
        "bugs": {"url": "https://example.org/bugs"}, "os": ["linux"],
        "bundleDependencies": ["b"], "dependencies": {"b": "^1.0.0"},
        "optionalDependencies": {"c": "1"}, "scripts": {"test": "x y"},
        "_id": "@octo/a@1.0.0", "_nodeVersion": "24.0.0", "_npmVersion": "12.0.0",
        "gitHead": "abc", "readme": "# hi", "readmeFilename": "README.md",
        "dist": {"shasum": "x"}, "_hasShrinkwrap": false, "hasInstallScript": false,
    }) else {
        panic!("an object")
    };
    let comparison = compare_manifest(&claimed, &facts(base()));
    assert_eq!(comparison.refused, []);
    assert_eq!(comparison.shown, []);
}

/// Rows N12-N15. Rule N2.
#[test]
fn what_decides_an_installation_may_not_differ() {
    for (member, value) in [
        ("name", json!("@octo/b")),
        ("version", json!("1.0.1")),
        ("dependencies", json!({"b": "^1.0.0", "evil": "1"})),
        ("dependencies", json!({})),
        ("devDependencies", json!({"d": "1"})),
        ("optionalDependencies", json!({"c": "2"})),
        ("peerDependencies", json!({"d": "1"})),
        ("bundleDependencies", json!(["c"])),
        ("bin", json!({"npm": "cli.js"})),
        ("bin", json!({"a": "evil.js"})),
        ("scripts", json!({"test": "x y", "postinstall": "evil"})),
        ("scripts", Value::Null),
        ("engines", json!({"node": ">=99"})),
        ("os", json!(["win32"])),
        ("cpu", json!(["x64"])),
        ("hasInstallScript", json!(true)),
        ("_hasShrinkwrap", json!(true)),
    ] {
        let comparison = compare_manifest(&with(base(), member, value.clone()), &facts(base()));
        let fields: Vec<&str> = comparison.refused.iter().map(|d| &*d.field).collect();
        assert!(fields.contains(&member), "{member} {value}: {fields:?}");
    }
    // Row N13: the tarball's hook is missing from the claim.
    let hooked = facts(Value::Object(with(base(), "scripts", json!({"postinstall": "evil"}))));
    let Value::Object(claimed) = base() else { panic!("an object") };
    let refused = compare_manifest(&claimed, &hooked).refused;
    assert_eq!(refused[0].field, "scripts");
    assert_eq!(refused[0].embedded.as_deref(), Some(r#"{\"postinstall\":\"evil\"}"#));
}

#[test]
fn other_differences_are_shown_to_the_reviewer() {
    for (member, value) in [
        ("description", json!("other")),
        ("main", json!("evil.js")),
        ("exports", json!({".": "./x.js"})),
        ("repository", json!("octo/b")),
        ("license", json!("MIT")),
        ("readme", json!("# another")),
    ] {
        let comparison = compare_manifest(&with(base(), member, value), &facts(base()));
        assert_eq!(comparison.refused, [], "{member}");
        let fields: Vec<&str> = comparison.shown.iter().map(|d| &*d.field).collect();
        assert_eq!(fields, [member]);
    }
}

/// Rule N2: `binding.gyp` makes npm add an install script, and only then may it be claimed.
#[test]
fn the_script_npm_adds_is_expected_with_a_binding_gyp_only() {
    let scripts = json!({"test": "x y", "install": "node-gyp rebuild"});
    let mut claimed = with(base(), "scripts", scripts);
    claimed.insert("gypfile".to_owned(), true.into());
    claimed.insert("hasInstallScript".to_owned(), true.into());
    let mut native = facts(base());
    native.has_binding_gyp = true;
    assert_eq!(compare_manifest(&claimed, &native).refused, []);
    assert_eq!(compare_manifest(&claimed, &facts(base())).refused.len(), 2);
    let Value::Object(plain) = base() else { panic!("an object") };
    assert_eq!(compare_manifest(&plain, &native).refused, [], "a client without the rewrite");
}

#[test]
fn commands_expanded_from_a_directory_stay_inside_it() {
    let Value::Object(package) = json!({
        "name": "@octo/a", "version": "1.0.0", "directories": {"bin": "./bin"},
    }) else {
        panic!("an object")
    };
    let facts = facts(Value::Object(package.clone()));
    let claim =
        |bin: Value| compare_manifest(&with(Value::Object(package.clone()), "bin", bin), &facts);
    assert_eq!(claim(json!({"x": "bin/x"})).refused, []);
    assert_eq!(claim(json!({"x": "bin/../evil"})).refused.len(), 1);
    assert_eq!(claim(json!({"x": "binx"})).refused.len(), 1);
}
