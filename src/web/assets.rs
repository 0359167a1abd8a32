//! Style sheet, scripts, fonts and icons, embedded in the binary.
//!
//! Every file is served under a name that starts with its own SHA-256, so it can be cached forever
//! and a page never meets the style sheet of another version. Unknown names are not found; there is
//! no directory and no path to climb.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::ready;
use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// One file as it is sent.
struct Asset {
    url: String,
    content_type: &'static str,
    bytes: Cow<'static, [u8]>,
}

/// Hex digits of the digest in a name. 64 bits are plenty to tell our own versions apart.
const HASH_DIGITS: usize = 16;

/// The address of an embedded file, such as `/static/0123456789abcdef-app.css` for `app.css`.
///
/// An unknown name gives `/static/missing`, which is a 404; a test walks every page for those.
pub fn url(name: &str) -> &'static str {
    table().get(name).map_or("/static/missing", |asset| asset.url.as_str())
}

/// Answers `GET /static/{name}` with an immutable copy, or 404.
pub fn serve(Path(name): Path<String>) -> impl Future<Output = Response> {
    ready(answer(&name))
}

fn answer(name: &str) -> Response {
    let wanted = name.split_once('-').and_then(|(_, plain)| table().get(plain));
    match wanted {
        Some(asset) if asset.url.ends_with(&format!("/{name}")) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.bytes.clone(),
        )
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// All addresses with their bytes, for the tests that serve pages without this server.
#[cfg(test)]
pub(crate) fn everything() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    table().values().map(|asset| (asset.url.as_str(), asset.bytes.as_ref()))
}

fn table() -> &'static BTreeMap<String, Asset> {
    static TABLE: OnceLock<BTreeMap<String, Asset>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = BTreeMap::new();
        // The style sheet goes last: it names the fonts by their hashed names.
        let mut names: Vec<_> = Files::iter().collect();
        names.sort_by_key(|name| name.ends_with(".css"));
        for name in names {
            let (Some(file), Some(content_type)) = (Files::get(&name), content_type(&name)) else {
                continue;
            };
            let bytes = if name.ends_with(".css") {
                Cow::Owned(with_hashed_names(&file.data, &table))
            } else {
                file.data
            };
            let url = format!("/static/{}-{name}", short_hash(&bytes));
            table.insert(name.into_owned(), Asset { url, content_type, bytes });
        }
        table
    })
}

/// Only these kinds are served; licence texts stay inside the binary.
fn content_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

fn short_hash(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(HASH_DIGITS);
    for byte in Sha256::digest(bytes).iter().take(HASH_DIGITS / 2) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn with_hashed_names(css: &[u8], others: &BTreeMap<String, Asset>) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(css).into_owned();
    for (name, asset) in others {
        text = text.replace(&format!("url(\"{name}\")"), &format!("url(\"{}\")", asset.url));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_file_is_served_forever_under_its_own_digest() {
        for name in ["app.css", "live.js", "passkey.js", "icons.svg", "seal.svg"] {
            let address = url(name);
            let path = address.strip_prefix("/static/").unwrap().to_owned();
            let response = serve(Path(path)).await;
            assert_eq!(response.status(), StatusCode::OK, "{address}");
            let cached = response.headers()[header::CACHE_CONTROL].to_str().unwrap();
            assert!(cached.contains("immutable"), "{cached}");
        }
    }

    #[tokio::test]
    async fn another_digest_or_a_climbing_path_is_not_found() {
        for name in [
            "app.css",
            "0000000000000000-app.css",
            "../Cargo.toml",
            "x-../Cargo.toml",
            "",
            "0-inter.LICENSE.txt",
        ] {
            assert_eq!(
                serve(Path(name.to_owned())).await.status(),
                StatusCode::NOT_FOUND,
                "{name}"
            );
        }
    }

    #[test]
    fn the_style_sheet_names_only_files_of_this_build() {
        let css = String::from_utf8_lossy(&table()["app.css"].bytes).into_owned();
        let named: Vec<&str> =
            css.split("url(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(named.len() >= 2, "the two fonts at least: {named:?}");
        for address in named {
            assert!(table().values().any(|asset| asset.url == address), "{address}");
        }
    }
}
