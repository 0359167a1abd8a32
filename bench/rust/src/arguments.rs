//! Command lines of the form `--name value` and `--flag`.

use std::str::FromStr;

/// The arguments of this process.
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Reads them.
    pub fn read() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The text after `--name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument.strip_prefix("--") == Some(name))?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// Every text after a `--name`.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.windows(2);
        pairs
            .filter(move |pair| pair[0].strip_prefix("--") == Some(name))
            .map(|pair| pair[1].as_str())
    }

    /// The text after `--name`, without which there is nothing to do.
    pub fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_else(|| panic!("--{name} is missing"))
    }

    /// The value after `--name`, or `default`.
    pub fn or<T: FromStr>(&self, name: &str, default: T) -> T {
        self.text(name).map_or(default, |text| {
            text.parse().unwrap_or_else(|_| panic!("--{name} cannot be `{text}`"))
        })
    }

    /// True when `--name` stands alone somewhere.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument.strip_prefix("--") == Some(name))
    }
}

/// Reads `10kb`, `1mb` or a number of bytes; decimal units, as registries count.
pub fn size_bytes(text: &str) -> usize {
    let units = [("kb", 1_000), ("mb", 1_000_000), ("", 1)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1));
    number.parse::<usize>().unwrap_or_else(|_| panic!("`{text}` is no size")) * unit
}
