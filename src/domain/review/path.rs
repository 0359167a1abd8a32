//! Paths of archives and repositories: text with `/` between its parts, wherever we run.
//!
//! They are compared and shown and never opened, so nothing here asks a file system.

/// The last part: the name of the file.
pub fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A path below a folder; an empty one is the root.
pub fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", only) | (only, "") => only.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

/// A path as it is written in a folder, from the root; `None` when it climbs out of that.
pub fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
