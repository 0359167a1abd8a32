//! Who may name whom: our own modules, and the crates from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::rust;
use super::tree::{Complaint, File};

/// A module and the words for what it may name of ours. The same table is in `ARCHITECTURE.md`.
struct Layer {
    module: &'static str,
    may_name: &'static str,
}

impl Layer {
    fn permits(&self, name: &str) -> bool {
        self.module == name || self.may_name.split_whitespace().any(|permitted| permitted == name)
    }
}

const LAYERS: &[Layer] = &[
    Layer { module: "domain", may_name: "" },
    Layer { module: "entropy", may_name: "domain" },
    // What several adapters need: keys in files, requests to configured addresses.
    Layer { module: "keyfile", may_name: "domain entropy" },
    Layer { module: "outbound", may_name: "domain entropy" },
    Layer { module: "config", may_name: "domain entropy" },
    Layer { module: "store", may_name: "domain entropy" },
    Layer { module: "blobs", may_name: "domain entropy" },
    Layer { module: "oidc", may_name: "domain entropy outbound" },
    Layer { module: "passkeys", may_name: "domain entropy" },
    Layer { module: "provenance", may_name: "domain entropy" },
    Layer { module: "vault", may_name: "domain entropy keyfile" },
    Layer { module: "source", may_name: "domain entropy" },
    Layer { module: "witness", may_name: "domain entropy outbound" },
    Layer { module: "inspect", may_name: "domain entropy" },
    Layer { module: "inspector", may_name: "domain inspect" },
    Layer { module: "upstream", may_name: "domain entropy" },
    Layer {
        module: "pipeline",
        may_name: "domain entropy outbound config store blobs oidc passkeys provenance vault inspect \
            inspector upstream witness source",
    },
    Layer {
        module: "app",
        may_name: "domain entropy keyfile outbound config store blobs oidc passkeys provenance vault \
            inspect inspector upstream witness pipeline source",
    },
    // The accept loop takes its addresses from the configuration.
    Layer { module: "web", may_name: "domain entropy config pipeline app" },
    // The forwarder holds the key that opens credentials; `web` must never (I8).
    Layer { module: "workers", may_name: "domain vault pipeline app" },
    Layer {
        module: "cli",
        may_name: "domain entropy config store vault inspect inspector upstream pipeline app web \
            workers",
    },
    Layer { module: "main", may_name: "domain cli" },
];

/// A crate from outside and the modules that may name it.
const CONFINED: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("openidconnect", &["oidc"]),
    ("webauthn_rs", &["passkeys"]),
    ("webauthn_rs_proto", &["passkeys"]),
    ("coset", &["passkeys"]),
    ("reqwest", &["outbound", "upstream", "cli"]),
    ("sigstore_verify", &["provenance"]),
    ("hpke", &["vault"]),
    ("axum", &["web"]),
    ("askama", &["web"]),
    ("tower", &["web"]),
    ("rust_embed", &["web"]),
    ("utoipa", &["web"]),
    ("flate2", &["inspect"]),
    ("clap", &["cli", "main"]),
    ("regex", &["inspect"]),
    ("imara_diff", &["inspect"]),
    ("oxc_allocator", &["inspect"]),
    ("oxc_ast", &["inspect"]),
    ("oxc_ast_visit", &["inspect"]),
    ("oxc_parser", &["inspect"]),
    ("oxc_span", &["inspect"]),
    ("oxc_syntax", &["inspect"]),
    ("ruff_python_ast", &["inspect"]),
    ("ruff_python_parser", &["inspect"]),
    ("ruff_text_size", &["inspect"]),
    ("stacker", &["inspect"]),
    ("landlock", &["cli"]),
    ("seccompiler", &["cli"]),
    ("rustix", &["cli"]),
    ("libc", &["cli"]),
    ("saphyr_parser", &["domain::review::workflow"]),
    ("toml", &["config", "cli", "inspect", "pipeline::setup"]),
];

/// Imports that point up or sideways.
pub(super) fn imports(file: &File) -> Vec<Complaint> {
    let path = module_path(&file.path);
    let module = path.first().map_or("", String::as_str);
    let code = rust::code_only(file.text());
    if module == "lib" {
        return Vec::new();
    }
    let Some(layer) = LAYERS.iter().find(|layer| layer.module == module) else {
        let what = format!("`{module}` has no layer: add it to LAYERS in tests/it/tidy/layers.rs");
        return vec![Complaint::new(&file.path, 1, what)];
    };
    let mut complaints: Vec<Complaint> = modules_named(&code)
        .into_iter()
        .filter(|(_, name)| !layer.permits(name))
        .map(|(line, name)| {
            let what = format!(
                "`{module}` may not name `{name}`: it may name `{}`; move the code or pass a value",
                layer.may_name
            );
            Complaint::new(&file.path, line, what)
        })
        .collect();
    complaints.extend(climbs(&rust::without_tests(&code), path.len()).into_iter().map(|line| {
        Complaint::new(&file.path, line, "climbs out of its module: write `crate::…` instead")
    }));
    // The pipeline is where the drivers learn the adapters' words from; nobody else passes any on.
    let passed_on = if module == "pipeline" { Vec::new() } else { reexports(&code) };
    complaints.extend(passed_on.into_iter().map(|line| {
        Complaint::new(&file.path, line, "passes on another module's name: name it where it lives")
    }));
    complaints
}

/// Crates from outside that are named where they should not be.
pub(super) fn confined_crates(file: &File) -> Vec<Complaint> {
    let path = module_path(&file.path).join("::");
    let code = rust::without_tests(&rust::code_only(file.text()));
    let mut complaints = Vec::new();
    for (at, word) in rust::words(&code) {
        let Some((name, allowed)) = CONFINED.iter().find(|(name, _)| *name == word) else {
            continue;
        };
        let starts_path = !code[..at].trim_end().ends_with("::")
            && (code[at + word.len()..].starts_with("::") || code[..at].ends_with("use "));
        let inside =
            |allowed: &&str| path == **allowed || path.starts_with(&format!("{allowed}::"));
        if starts_path && !allowed.iter().any(inside) {
            let what = format!("`{name}` belongs to {allowed:?}: go through what they offer");
            complaints.push(Complaint::new(&file.path, rust::line_of(&code, at), what));
        }
    }
    complaints
}

/// Top-level modules that name each other in a circle.
pub(super) fn cycles(files: &[File]) -> Vec<Complaint> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_product()) {
        let module = module_path(&file.path).swap_remove(0);
        if module == "lib" {
            continue;
        }
        let named = modules_named(&rust::code_only(file.text())).into_iter().map(|(_, name)| name);
        graph.entry(module.clone()).or_default().extend(named.filter(|name| *name != module));
    }
    // Take away modules that name nothing left; what cannot be taken away is a circle.
    while let Some(leaf) = graph.iter().find(|(_, named)| named.is_empty()).map(|(m, _)| m.clone())
    {
        graph.remove(&leaf);
        for named in graph.values_mut() {
            named.remove(&leaf);
        }
    }
    graph.retain(|_, named| !named.is_empty());
    let what = |(module, named): (&String, &BTreeSet<String>)| {
        Complaint::new("src", 1, format!("`{module}` is in or above a circle through {named:?}"))
    };
    graph.iter().map(what).collect()
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are both `["a", "b"]`.
fn module_path(path: &str) -> Vec<String> {
    let bare = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    bare.split('/').map(str::to_owned).collect()
}

/// Modules after `crate::` (or `countersign::` in the binary), with their lines.
fn modules_named(code: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, word) in rust::words(code) {
        if word != "crate" && word != "countersign" {
            continue;
        }
        let Some(rest) = code[at + word.len()..].strip_prefix("::") else { continue };
        let line = rust::line_of(code, at);
        if rest.starts_with('{') {
            named.extend(group(rest).into_iter().map(|name| (line, name)));
        } else if let Some((_, name)) = rust::words(rest).next() {
            named.push((line, name.to_owned()));
        }
    }
    named
}

/// The first names of the members of `{a::b, c::{d, e}}`: `a` and `c`.
fn group(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(c, '{' | ',') {
            let member = text[at + 1..].trim_start();
            let first = rust::words(member).next().filter(|(start, _)| *start == 0);
            names.extend(first.map(|(_, name)| name.to_owned()));
        }
    }
    names
}

/// Lines where `super::` is repeated until it reaches the root of the crate.
fn climbs(code: &str, depth: usize) -> Vec<usize> {
    let climb = "super::".repeat(depth);
    code.match_indices(&climb).map(|(at, _)| rust::line_of(code, at)).collect()
}

/// Lines that re-export something of another top-level module, which would hide who names whom.
fn reexports(code: &str) -> Vec<usize> {
    ["pub use crate::", "pub(crate) use crate::"]
        .into_iter()
        .flat_map(|text| code.match_indices(text))
        .map(|(at, _)| rust::line_of(code, at))
        .collect()
}

mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        imports(&File::sample(path, text)).len()
    }

    #[test]
    fn imports_up_and_sideways_are_found() {
        assert_eq!(complaints("src/web/pages.rs", "use crate::store::Store;"), 1);
        assert_eq!(complaints("src/web/pages.rs", "use crate::pipeline::review;"), 0);
        assert_eq!(complaints("src/web/pages.rs", "use crate::vault::OpeningKey;"), 1);
        assert_eq!(complaints("src/domain/package.rs", "use crate::config::Config;"), 1);
        assert_eq!(complaints("src/vault.rs", "use crate::{blobs, domain::ids, entropy};"), 1);
        assert_eq!(complaints("src/store/mod.rs", "fn f() { crate::oidc::verify(); }"), 1);
        assert_eq!(complaints("src/store/mod.rs", "/// See `crate::oidc`.\nfn f() {}"), 0);
        assert_eq!(complaints("src/main.rs", "fn main() { countersign::store::open(); }"), 1);
        assert_eq!(complaints("src/newcomer.rs", ""), 1);
    }

    #[test]
    fn detours_around_the_table_are_found() {
        assert_eq!(complaints("src/vault.rs", "use super::store::Store;"), 1);
        assert_eq!(complaints("src/upstream/npm.rs", "use super::Client;"), 0);
        assert_eq!(complaints("src/upstream/npm.rs", "use super::super::store;"), 1);
        assert_eq!(complaints("src/app.rs", "pub use crate::store::Store;"), 1);
    }

    #[test]
    fn crates_outside_their_module_are_found() {
        let found = |path, text| confined_crates(&File::sample(path, text)).len();
        assert_eq!(found("src/web/pages.rs", "use sqlx::Row;"), 1);
        assert_eq!(found("src/pipeline/intake.rs", "fn f(r: axum::body::Body) {}"), 1);
        assert_eq!(found("src/store/jobs.rs", "use sqlx::Row;"), 0);
        assert_eq!(found("src/pipeline/setup.rs", "toml::from_str(text)"), 0);
        assert_eq!(found("src/pipeline/intake.rs", "toml::from_str(text)"), 1);
        assert_eq!(found("src/store/mod.rs", "crate::web::axum::x(); let axum = 1;"), 0);
        assert_eq!(found("src/oidc/mod.rs", "#[cfg(test)]\nmod tests { use axum::Router; }"), 0);
    }

    #[test]
    fn a_circle_is_found_and_a_ladder_is_not() {
        let a = File::sample("src/app.rs", "use crate::web::Router;");
        let b = File::sample("src/web/mod.rs", "use crate::app::App;");
        let c = File::sample("src/domain/mod.rs", "");
        assert_eq!(cycles(&[a.clone(), b.clone(), c.clone()]).len(), 2);
        assert_eq!(cycles(&[b, c.clone(), File::sample("src/app.rs", "")]).len(), 0);
        assert_eq!(cycles(&[c]).len(), 0);
    }

    #[test]
    fn the_table_itself_points_down_only() {
        for (index, layer) in LAYERS.iter().enumerate() {
            for name in layer.may_name.split_whitespace() {
                let below = LAYERS[..index].iter().any(|lower| lower.module == name);
                assert!(below, "`{}` names `{name}`, which is not below it", layer.module);
            }
        }
    }
}
