//! What no file of the checkout may contain, whatever its language.

use super::tree::{Complaint, File};

/// Largest file in the checkout, in bytes. Larger ones make every clone slow for ever.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Markup that runs or styles by itself, which the content security policy would stop (S3, S6).
pub(super) fn active_markup(file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        let line = line.to_lowercase();
        let found = [
            (line.contains("<style"), "a style element: put it in static/app.css"),
            (has_attribute(&line, "style"), "a style attribute: put it in static/app.css"),
            (inline_script(&line), "an inline script: put it in static/ and name it with src"),
            (event_attribute(&line), "an event attribute: listen in static/*.js"),
            (line.contains("javascript:"), "a script address"),
            (unescaped(&line), "an unescaped value: everything from outside is shown as text"),
        ];
        let found = found.into_iter().filter(|(found, _)| *found);
        complaints.extend(found.map(|(_, what)| Complaint::new(&file.path, number, what)));
    }
    complaints
}

/// Host names of the public registries: a destination is always configuration (D10).
pub(super) fn registry_hosts(file: &File) -> Vec<Complaint> {
    // In pieces, so that this file does not contain them.
    let hosts = [
        concat!("npm", "js.org"),
        concat!("npm", "js.com"),
        concat!("py", "pi.org"),
        concat!("py", "pi\\.org"),
        concat!("py", "pi.python.org"),
        concat!("python", "hosted.org"),
        concat!("registry.", "yarnpkg.com"),
    ];
    let what = "names a public registry's host: use an `example` name or the configuration";
    lines_with(file, |line| hosts.iter().any(|host| line.contains(host)), what)
}

/// Absolute paths that exist on one machine only.
pub(super) fn machine_paths(file: &File) -> Vec<Complaint> {
    let folders =
        [concat!("/", "work"), concat!("/", "root"), concat!("/", "tmp"), concat!("/", "home")];
    let what = "an absolute path of one machine: make it relative, or ask for a temporary folder";
    lines_with(file, |line| folders.iter().any(|folder| is_path(line, folder)), what)
}

/// Files too large for a source tree.
pub(super) fn large_files(file: &File) -> Vec<Complaint> {
    if file.bytes.len() <= FILE_BYTES_MAX {
        return Vec::new();
    }
    let what = format!("{} bytes, at most {FILE_BYTES_MAX}: make it in the test", file.bytes.len());
    vec![Complaint::new(&file.path, 1, what)]
}

/// Lock files hold versions and digests, never where to download from (Q24).
pub(super) fn lock_addresses(file: &File) -> Vec<Complaint> {
    let resolved = concat!("\"res", "olved\"");
    let is_address = |line: &str| {
        line.contains(resolved) || (line.contains("://") && !line.contains("\"url\":"))
    };
    lines_with(file, is_address, "a download address: lock with omit-lockfile-registry-resolved")
}

fn lines_with(file: &File, found: impl Fn(&str) -> bool, what: &str) -> Vec<Complaint> {
    file.lines()
        .filter(|(_, line)| found(line))
        .map(|(number, _)| Complaint::new(&file.path, number, what))
        .collect()
}

fn has_attribute(line: &str, name: &str) -> bool {
    line.contains(&format!(" {name}="))
}

fn inline_script(line: &str) -> bool {
    line.match_indices("<script").any(|(at, _)| {
        let tag = &line[at..line[at..].find('>').map_or(line.len(), |end| at + end)];
        !has_attribute(tag, "src")
    })
}

fn event_attribute(line: &str) -> bool {
    line.match_indices(" on").any(|(at, _)| {
        let name = line[at + 3..].split(|c: char| !c.is_ascii_lowercase()).next();
        let name = name.unwrap_or_default();
        !name.is_empty() && line[at + 3 + name.len()..].starts_with("=\"")
    })
}

fn unescaped(line: &str) -> bool {
    line.replace(' ', "").contains("|safe") || line.replace(' ', "").contains("|escape(\"none\")")
}

/// True when `folder` stands in `line` as the beginning of a path.
fn is_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let inside_path =
            |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '%');
        !before.is_some_and(inside_path) && after.is_some_and(|c| c == '/')
    })
}

mod tests {
    use super::*;

    #[test]
    fn markup_that_acts_is_found() {
        let found = |text: &str| active_markup(&File::sample("templates/a.html", text)).len();
        assert_eq!(found("<script>alert(1)</script>"), 1);
        assert_eq!(found("<script src=\"/static/live.js\" defer></script>"), 0);
        assert_eq!(found("<p style=\"color:red\">"), 1);
        assert_eq!(found("<style>p{}</style>"), 1);
        assert_eq!(found("<button onclick=\"x()\">"), 1);
        assert_eq!(found("<p>Depends on a=\"b\"</p>"), 0);
        assert_eq!(found("<a href=\"javascript:x()\">"), 1);
        assert_eq!(found("{{ name | safe }}"), 1);
        assert_eq!(found("{{ name|safe }}"), 1);
    }

    #[test]
    fn registry_hosts_are_found_in_any_file() {
        let found = |text: &str| registry_hosts(&File::sample("README.md", text)).len();
        assert_eq!(found(concat!("https://registry.npm", "js.org/")), 1);
        assert_eq!(found(concat!("upload.py", "pi.org")), 1);
        assert_eq!(found(concat!("https://files.python", "hosted.org/x")), 1);
        assert_eq!(found("https://releases.example/pypi/legacy/ and npm publish"), 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let found = |text: &str| machine_paths(&File::sample("a.sh", text)).len();
        assert_eq!(found(concat!("cd /wo", "rk/main")), 1);
        assert_eq!(found(concat!("\"/ro", "ot/.cargo/bin\"")), 1);
        assert_eq!(found(concat!("-C /ho", "me/somebody/key")), 1);
        assert_eq!(found(concat!("target/ro", "ot/x {dir}/t", "mp/x")), 0);
        assert_eq!(found("find /usr/lib/postgresql"), 0);
    }

    #[test]
    fn large_files_and_addresses_in_locks_are_found() {
        let large = File { path: "a.bin".to_owned(), bytes: vec![0; FILE_BYTES_MAX + 1] };
        assert_eq!(large_files(&large).len(), 1);
        assert_eq!(large_files(&File::sample("a", "b")).len(), 0);
        let locked = concat!("\"res", "olved\": \"https://x.example/a.tgz\"");
        assert_eq!(lock_addresses(&File::sample("package-lock.json", locked)).len(), 1);
        let funding = "\"url\": \"https://x.example/donate\"";
        assert_eq!(lock_addresses(&File::sample("package-lock.json", funding)).len(), 0);
        assert_eq!(
            lock_addresses(&File::sample("requirements.txt", "a @ https://x.example/a")).len(),
            1
        );
    }
}
