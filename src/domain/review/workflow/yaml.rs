//! YAML as far as workflows use it: a tree of text with line numbers.
//!
//! Every size is bounded before it is reached: a short file with anchors inside anchors would
//! otherwise become gigabytes. Scalars stay text, so that nothing depends on a schema.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// Longest file read, in bytes. The longest workflows people write have some thousand lines.
pub const BYTES_MAX: usize = 1 << 20;
/// Most nodes of a file, with those that aliases repeat.
const NODES_MAX: usize = 100_000;
/// Deepest nesting; workflows have about eight levels.
const DEPTH_MAX: usize = 64;

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It is longer than [`BYTES_MAX`].
    #[error("longer than 1 MiB")]
    Long,
    /// More nodes or levels than a workflow has.
    #[error("more nodes or levels than a workflow has")]
    Large,
    /// It is not YAML.
    #[error("not YAML in line {0}")]
    Syntax(usize),
    /// Two readers could understand two things.
    #[error("a key stands twice, or is not text, in line {0}")]
    Key(usize),
    /// Not one document.
    #[error("not exactly one document")]
    Documents,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Yaml {
    /// In which line it begins, from 1.
    pub(super) line: u32,
    /// What it is.
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text; also what a schema would take for a number or for nothing.
    Scalar(String),
    /// A sequence.
    List(Vec<Yaml>),
    /// A mapping, in file order.
    Map(Vec<(String, Yaml)>),
}

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Yaml, YamlError> {
    if text.len() > BYTES_MAX {
        return Err(YamlError::Long);
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError::Syntax(error.marker().line()))?;
        builder.take(event, span.start.line())?;
    }
    builder.root.ok_or(YamlError::Documents)
}

impl Yaml {
    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text of a key of a mapping.
    pub(super) fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a mapping; nothing for what is none.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The items of a sequence; nothing for what is none.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// Whether any key or text in it fulfils a condition.
    pub(super) fn any(&self, condition: &dyn Fn(&str) -> bool) -> bool {
        match &self.value {
            Value::Scalar(text) => condition(text),
            Value::List(items) => items.iter().any(|item| item.any(condition)),
            Value::Map(entries) => {
                entries.iter().any(|(key, value)| condition(key) || value.any(condition))
            }
        }
    }

    /// One text for one meaning: lines and the order of keys do not count.
    pub(super) fn canonical(&self) -> String {
        let (open, mut parts, close) = match &self.value {
            Value::Scalar(text) => return format!("{text:?}"),
            Value::List(items) => ('[', items.iter().map(Self::canonical).collect(), ']'),
            Value::Map(entries) => {
                let entry =
                    |(key, value): &(String, Self)| format!("{key:?}:{}", value.canonical());
                ('{', entries.iter().map(entry).collect::<Vec<_>>(), '}')
            }
        };
        if open == '{' {
            parts.sort();
        }
        format!("{open}{}{close}", parts.join(","))
    }
}

/// A node with what it costs to repeat it.
#[derive(Debug, Clone)]
struct Measured {
    node: Yaml,
    nodes: usize,
    height: usize,
}

/// A list or mapping that is not complete yet.
#[derive(Debug)]
struct Open {
    anchor: usize,
    measured: Measured,
    /// The key whose value comes next; `None` in a list and where a key comes next.
    key: Option<String>,
}

#[derive(Debug, Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Measured>,
    nodes: usize,
    root: Option<Yaml>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        let number = u32::try_from(line).unwrap_or(u32::MAX);
        let leaf = |value| Measured { node: Yaml { line: number, value }, nodes: 1, height: 1 };
        match event {
            Event::Scalar(text, _, anchor, _) => {
                let scalar = leaf(Value::Scalar(text.into_owned()));
                self.remember(anchor, &scalar);
                self.place(scalar, line)
            }
            Event::Alias(anchor) => {
                // An anchor inside itself is not complete yet, and so not known.
                let known = self.anchors.get(&anchor).cloned().ok_or(YamlError::Syntax(line))?;
                self.place(known, line)
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, leaf(Value::List(Vec::new()))),
            Event::MappingStart(anchor, _) => self.begin(anchor, leaf(Value::Map(Vec::new()))),
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().ok_or(YamlError::Syntax(line))?;
                self.remember(open.anchor, &open.measured);
                self.place(open.measured, line)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, measured: Measured) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::Large);
        }
        self.open.push(Open { anchor, measured, key: None });
        Ok(())
    }

    fn remember(&mut self, anchor: usize, measured: &Measured) {
        if anchor != 0 {
            self.anchors.insert(anchor, measured.clone());
        }
    }

    /// Puts a complete node where it belongs.
    fn place(&mut self, measured: Measured, line: usize) -> Result<(), YamlError> {
        self.nodes += measured.nodes;
        if self.nodes > NODES_MAX || self.open.len() + measured.height > DEPTH_MAX {
            return Err(YamlError::Large);
        }
        let Some(parent) = self.open.last_mut() else {
            let first = self.root.replace(measured.node).is_none();
            return if first { Ok(()) } else { Err(YamlError::Documents) };
        };
        parent.measured.nodes += measured.nodes;
        parent.measured.height = parent.measured.height.max(measured.height + 1);
        match (&mut parent.measured.node.value, parent.key.take(), measured.node) {
            (Value::List(items), _, node) => items.push(node),
            (Value::Map(entries), Some(key), node) => entries.push((key, node)),
            (Value::Map(entries), None, Yaml { value: Value::Scalar(key), .. })
                if entries.iter().all(|(known, _)| *known != key) =>
            {
                parent.key = Some(key);
            }
            (Value::Map(_) | Value::Scalar(_), _, _) => return Err(YamlError::Key(line)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lists_blocks_and_anchors_are_read_with_their_lines() {
        let text =
            "on: push\njobs:\n  a: &a\n    run: |\n      one\n      two\n  b: *a\n  c: [x, 'y']\n";
        let tree = read(text).unwrap();
        assert_eq!(tree.text_at("on"), Some("push"));
        let jobs = tree.get("jobs").unwrap();
        assert_eq!(jobs.get("a").unwrap().text_at("run"), Some("one\ntwo\n"));
        assert_eq!(jobs.get("b"), jobs.get("a"));
        let items: Vec<_> = jobs.get("c").unwrap().items().iter().map(|i| i.text()).collect();
        assert_eq!(items, [Some("x"), Some("y")]);
        assert_eq!(jobs.get("c").unwrap().items()[0].line, 8);
    }

    #[test]
    fn equal_meaning_has_one_text_whatever_the_lines() {
        let canonical = |text: &str| read(text).unwrap().canonical();
        assert_eq!(canonical("a: 1\nb: [x]\n"), canonical("b:\n  - x\n\na: \"1\"\n"));
        assert_ne!(canonical("a: 1\n"), canonical("a: 2\n"));
        assert_ne!(canonical("a: [b, c]\n"), canonical("a: [c, b]\n"));
    }

    #[test]
    fn what_grows_without_end_is_refused_before_it_grows() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..20 {
            let before = format!("*a{}", n - 1);
            let line = format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
            bomb.push_str(&line);
        }
        assert_eq!(read(&bomb), Err(YamlError::Large));
        let stairs: Vec<String> = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        let stairs = stairs.concat();
        assert_eq!(read(&stairs), Err(YamlError::Large));
        assert!(read(&"[".repeat(BYTES_MAX)).is_err());
        let rungs: Vec<String> = (1..100).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
        let ladder = format!("a0: &a0 [x]\n{}", rungs.concat());
        assert_eq!(read(&ladder), Err(YamlError::Large));
        assert_eq!(read(&" ".repeat(BYTES_MAX + 1)), Err(YamlError::Long));
    }

    #[test]
    fn what_two_readers_may_understand_differently_is_refused() {
        assert!(matches!(read("a: 1\na: 2\n"), Err(YamlError::Key(_))));
        assert!(matches!(read("[x]: 1\n"), Err(YamlError::Key(_))));
        assert_eq!(read("a: 1\n---\nb: 2\n"), Err(YamlError::Documents));
        assert_eq!(read(""), Err(YamlError::Documents));
        assert!(matches!(read("a: &a [*a]\n"), Err(YamlError::Syntax(_))));
        assert!(matches!(read("a: [1\n"), Err(YamlError::Syntax(_))));
        assert!(matches!(read("a: *unknown\n"), Err(YamlError::Syntax(_))));
    }
}
