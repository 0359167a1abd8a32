//! How deep a parser would descend into a text, so that it is given none on which it would run out of
//! stack.
//!
//! Brackets descend, and so does whatever takes what comes after it whole: `!x`, `a => b`,
//! `a ? b : c`, `else`. Nothing is understood here, strings and comments least of all. A text made to
//! deceive this count can still end the process that reads it, which blocks the release.

use super::content::Language;

/// Deepest brackets that a parser is given: far beyond what people and tools write.
const BRACKETS_MAX: usize = 1_000;
/// The same for all that nests without brackets. Statements that nothing ends but their line count as
/// nested too, so there is much room.
const TAKERS_MAX: usize = 10_000;

/// Whether a word takes what comes after it whole.
fn takes(word: &[u8], python: bool) -> bool {
    if python {
        return matches!(word, b"await" | b"else" | b"if" | b"lambda" | b"not" | b"yield");
    }
    matches!(
        word,
        b"await"
            | b"class"
            | b"delete"
            | b"do"
            | b"else"
            | b"for"
            | b"if"
            | b"infer"
            | b"keyof"
            | b"new"
            | b"readonly"
            | b"typeof"
            | b"unique"
            | b"void"
            | b"while"
            | b"with"
            | b"yield"
    )
}

/// Whether a parser can read a text on the stack it gets.
pub(super) fn is_bearable(text: &str, language: Language) -> bool {
    let python = language == Language::Python;
    let mut open = Open::default();
    // The byte before, and the last one before it that is no white space.
    let (mut last, mut seen) = (b'\n', b'\n');
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let word = rest.iter().take_while(|byte| is_word(**byte)).count();
        let (token, after) = rest.split_at(word.max(1));
        match token {
            [b'(' | b'[' | b'{'] => open.bracket(),
            [b')' | b']' | b'}'] => open.close(python),
            b"," => open.here.takers = 0,
            b"\n" if python && open.around.is_empty() && last != b'\\' => open.end(),
            b";" if python || !after.trim_ascii_start().starts_with(b"else") => open.end(),
            b"<" => open.take(true),
            b"+" | b"-" if python || !ends_operand(seen) => open.take(false),
            [b'=' | b'?' | b':' | b'*' | b'!' | b'~'] => open.take(false),
            [b'.' | b'/' | b'%' | b'@' | b'&' | b'|' | b'^' | b'>'] if python => open.take(false),
            word if takes(word, python) => open.take(word == b"else"),
            _ => {}
        }
        if open.is_too_deep() {
            return false;
        }
        last = token[token.len() - 1];
        if !last.is_ascii_whitespace() {
            seen = last;
        }
        rest = after;
    }
    true
}

/// What is open at a place of the text.
#[derive(Default)]
struct Open {
    here: Takers,
    /// The same outside every bracket that is open.
    around: Vec<Takers>,
    /// All of `around` together.
    outside: usize,
}

/// What waits for its end inside the same brackets.
#[derive(Default, Clone, Copy)]
struct Takers {
    takers: usize,
    /// Those that a comma does not end, as in `A<B, C<D, …` and `if … else if …`.
    lasting: usize,
}

impl Takers {
    const fn all(self) -> usize {
        self.takers + self.lasting
    }
}

impl Open {
    fn bracket(&mut self) {
        self.outside += self.here.all();
        self.around.push(std::mem::take(&mut self.here));
    }

    /// In Python what a call or index is made on is inside it: `a()()()`.
    fn close(&mut self, python: bool) {
        if let Some(outer) = self.around.pop() {
            self.outside -= outer.all();
            self.here = outer;
            self.here.takers += usize::from(python);
        }
    }

    const fn take(&mut self, lasting: bool) {
        if lasting {
            self.here.lasting += 1;
        } else {
            self.here.takers += 1;
        }
    }

    fn end(&mut self) {
        self.here = Takers::default();
    }

    const fn is_too_deep(&self) -> bool {
        self.around.len() > BRACKETS_MAX || self.outside + self.here.all() > TAKERS_MAX
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Whether `+` after this byte adds instead of standing before what it signs.
const fn ends_operand(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b')' | b']' | b'}' | b'"' | b'\'' | b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearable(language: Language, piece: &str, times: usize) -> bool {
        is_bearable(&piece.repeat(times), language)
    }

    #[test]
    fn what_nests_is_counted_whatever_it_is() {
        let javascript = [
            "!",
            "~",
            "- ",
            "a=>",
            "a=",
            "a?",
            "a?b:",
            "a**",
            "typeof ",
            "new ",
            "await ",
            "if(a)",
            "if(a)b;else ",
            "if(a){}else ",
            "for(;;)",
            "do ",
            "a:",
            "A<",
            "A<B,",
            "<a>",
            "class extends ",
            "keyof ",
        ];
        for piece in javascript {
            assert!(!bearable(Language::JavaScript, piece, TAKERS_MAX + 1), "{piece}");
            assert!(bearable(Language::JavaScript, piece, 1_000), "{piece}");
        }
        for piece in ["(", "[", "{", "`${", "f(!", "[[1],", "a=>{b;"] {
            assert!(!bearable(Language::JavaScript, piece, BRACKETS_MAX + 1), "{piece}");
        }
        let python =
            ["not ", "-", "~", "a+", "a.", "a()", "a[0]", "lambda:", "a if b else ", "a**"];
        for piece in python {
            assert!(!bearable(Language::Python, piece, TAKERS_MAX + 1), "{piece}");
            assert!(
                !bearable(Language::Python, &format!("{piece}\\\n"), TAKERS_MAX + 1),
                "{piece}"
            );
        }
        assert!(!bearable(Language::Python, "(a+\n", BRACKETS_MAX + 1));
    }

    #[test]
    fn what_only_repeats_is_not() {
        let javascript = [
            "a = b ? c : d;\n",
            "a + ",
            "{ a: !b, c: -d },",
            "if (a) b; else c;\nd;",
            "f(!a);",
            "function f(a) { return typeof a === 'x' }\n",
            "case 1: a = 2; break;",
            "a.b(c).",
        ];
        for piece in javascript {
            assert!(bearable(Language::JavaScript, piece, 100_000), "{piece}");
        }
        let python =
            ["a = b if c else d\n", "    f(a.b, -c)\n", "[(1, -2), (3, 4)],", "if not a:\n"];
        for piece in python {
            assert!(bearable(Language::Python, piece, 100_000), "{piece}");
        }
    }

    /// What is open outside of a bracket is still open inside it.
    #[test]
    fn levels_add_up() {
        let level = format!("{}(() => {{ a;", "!".repeat(100));
        assert!(bearable(Language::JavaScript, &level, 90));
        assert!(!bearable(Language::JavaScript, &level, 101));
    }
}
