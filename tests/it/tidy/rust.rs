//! Just enough of Rust's grammar to tell code from comments, strings and tests.

/// The same text with comments, strings and character literals blanked; lines stay where they are.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = opaque_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            blank(&chars[at..end], &mut code);
            at = end;
        }
    }
    code
}

/// `code` (from [`code_only`]) with every item under `#[cfg(test)]` blanked.
pub(super) fn without_tests(code: &str) -> String {
    let mut rest = code.to_owned();
    while let Some(start) = rest.find("#[cfg(test)]") {
        let end = item_end(&rest, start);
        let mut blanked = String::with_capacity(rest.len());
        blanked.push_str(&rest[..start]);
        blank(&rest[start..end].chars().collect::<Vec<_>>(), &mut blanked);
        blanked.push_str(&rest[end..]);
        rest = blanked;
    }
    rest
}

/// Identifiers and keywords with the place they start at.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let length = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        at = start + length;
        Some((start, &code[start..at]))
    })
}

/// The line of a place, from one.
pub(super) fn line_of(code: &str, at: usize) -> usize {
    code[..at].bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// The place after the block that opens with the first `{` from `at`; `None` when a `;` ends the
/// item first.
pub(super) fn block(code: &str, at: usize) -> Option<(usize, usize)> {
    let mut nested = 0_i32;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => nested += 1,
            ')' | ']' => nested -= 1,
            ';' if nested == 0 => return None,
            '{' if nested == 0 => return Some((at + offset, closing(code, at + offset))),
            _ => {}
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(chars: &[char], code: &mut String) {
    code.extend(chars.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
}

fn item_end(code: &str, start: usize) -> usize {
    if let Some((_, end)) = block(code, start) {
        return end;
    }
    code[start..].find(';').map_or(code.len(), |offset| start + offset + 1)
}

/// The place after the `}` that closes the `{` at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

/// Where the comment, string or character that starts at `at` ends; `at` when none does.
fn opaque_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => comment_end(chars, at),
        '"' => quoted_end(chars, at, '"'),
        '\'' if next == Some('\\') || chars.get(at + 2) == Some(&'\'') => {
            quoted_end(chars, at, '\'')
        }
        'r' => raw_end(chars, at).unwrap_or(at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, wanted: fn(char) -> bool) -> usize {
    chars[from..].iter().position(|c| wanted(*c)).map_or(chars.len(), |offset| from + offset)
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_i32;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| {
        chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let end = (open + 1..chars.len()).find(|at| closes(*at))?;
    Some(end + 1 + hashes)
}

mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_blanked() {
        let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" 'i' '\\'' r#\"j \" k\"# br\"l\" 'm m";
        let code = code_only(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "f", "b", "'m", "m"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn tests_are_blanked_and_what_follows_is_not() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c(); } }\nfn d() {}\n\
                    #[cfg(test)]\nmod more;\nfn e() {}\n";
        let names: Vec<&str> = words(&without_tests(code))
            .map(|(_, word)| word)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|w| match w {
                "fn" => "fn",
                "a" => "a",
                "d" => "d",
                "e" => "e",
                _ => "?",
            })
            .collect();
        assert_eq!(names, ["fn", "a", "fn", "d", "fn", "e"]);
    }

    #[test]
    fn a_block_ends_with_its_own_brace() {
        let code = "fn a(x: [u8; 2]) { if x { y } } z";
        let (open, end) = block(code, 0).unwrap();
        assert_eq!(&code[open..end], "{ if x { y } }");
        assert_eq!(block("fn a(x: [u8; 2]);", 0), None);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
