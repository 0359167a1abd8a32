//! entry_points.txt: the commands and plugins a distribution installs (P7, P23).

use std::collections::BTreeMap;

use crate::domain::package::excerpt;

/// Why entry_points.txt is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryPointsRefusal {
    /// Not UTF-8, or with control characters.
    #[error("expected entry_points.txt in UTF-8 without control characters, received other bytes")]
    NotText,
    /// A line that is no section, comment or `name = object`.
    #[error("expected `[group]` or `name = object` in entry_points.txt, received `{line}`")]
    Line {
        /// The line, escaped and cut.
        line: String,
    },
    /// A group or a name within its group appears twice.
    #[error("expected each entry point once, received `{name}` twice")]
    Twice {
        /// The group or name, escaped and cut.
        name: String,
    },
    /// A command name with characters that could leave the scripts directory.
    #[error("expected a command name of letters, digits, `_`, `.` and `-`, received `{name}`")]
    CommandName {
        /// The name, escaped and cut.
        name: String,
    },
}

/// Groups whose names become executable files.
const COMMAND_GROUPS: [&str; 2] = ["console_scripts", "gui_scripts"];

/// Entry points by group and name.
pub type EntryPoints = BTreeMap<String, BTreeMap<String, String>>;

/// Parses the file as the strict subset of INI on which every reader agrees.
pub fn parse(bytes: &[u8]) -> Result<EntryPoints, EntryPointsRefusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| EntryPointsRefusal::NotText)?;
    let text = text.replace("\r\n", "\n");
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(EntryPointsRefusal::NotText);
    }
    let mut groups = EntryPoints::new();
    let mut group = String::new();
    for line in text.lines() {
        let bad = || EntryPointsRefusal::Line { line: excerpt(line) };
        if line.trim().is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            return Err(bad());
        }
        if let Some(rest) = line.strip_prefix('[') {
            rest.trim_end().strip_suffix(']').ok_or_else(bad)?.clone_into(&mut group);
            if group.is_empty() || group.contains(['[', ']']) {
                return Err(bad());
            }
            if groups.insert(group.clone(), BTreeMap::new()).is_some() {
                return Err(EntryPointsRefusal::Twice { name: excerpt(&group) });
            }
            continue;
        }
        let (name, object) = line.split_once('=').ok_or_else(bad)?;
        let (name, object) = (name.trim(), object.trim());
        let names = groups.get_mut(&group).ok_or_else(bad)?;
        if name.is_empty() || object.is_empty() {
            return Err(bad());
        }
        let safe = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let dots = name.chars().all(|c| c == '.');
        if COMMAND_GROUPS.contains(&group.as_str()) && (dots || !name.chars().all(safe)) {
            return Err(EntryPointsRefusal::CommandName { name: excerpt(name) });
        }
        if names.insert(name.to_owned(), object.to_owned()).is_some() {
            return Err(EntryPointsRefusal::Twice { name: excerpt(name) });
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_plugins_are_read() {
        let text = b"# made by a tool\n[console_scripts]\nhello = pkg.cli:main\r\n\n[mkdocs.themes]\nmaterial/blog = pkg:Blog [extra]\n";
        let groups = parse(text).unwrap();
        assert_eq!(groups["console_scripts"]["hello"], "pkg.cli:main");
        assert_eq!(groups["mkdocs.themes"]["material/blog"], "pkg:Blog [extra]");
    }

    /// Row P23.
    #[test]
    fn what_readers_parse_differently_is_refused() {
        let refusal = |text: &str| parse(text.as_bytes()).unwrap_err();
        for name in ["../x", "a b", "a/b", "..", "c:x"] {
            let refused = refusal(&format!("[console_scripts]\n{name} = a:b\n"));
            assert!(matches!(refused, EntryPointsRefusal::CommandName { .. }), "{name}");
        }
        for text in
            ["a = b\n", "[x\n", "[]\n", "[x]\n a = b\n", "[x]\na\n", "[x]\n= b\n", "[x]\na =\n"]
        {
            assert!(matches!(refusal(text), EntryPointsRefusal::Line { .. }), "{text}");
        }
        for text in ["[x]\n[x]\n", "[x]\na = b\na = c\n"] {
            assert!(matches!(refusal(text), EntryPointsRefusal::Twice { .. }), "{text}");
        }
        assert_eq!(refusal("[x]\na = b\0\n"), EntryPointsRefusal::NotText);
        assert_eq!(parse(b"\xff"), Err(EntryPointsRefusal::NotText));
    }
}
