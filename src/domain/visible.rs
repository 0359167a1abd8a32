//! Which characters of untrusted text are spelled out instead of shown (rule S5).
//!
//! Pages, the difference of a file and the command line ask the same question here, so nothing is
//! visible in one place and hidden in another.

use unicode_normalization::char::is_combining_mark;

/// Combining marks shown on one letter. Real scripts need up to four; a thousand paint over the page.
const COMBINING_MARKS: usize = 4;

/// Decides character by character, in the order of the text.
#[derive(Debug, Default)]
pub struct Spelling {
    /// Combining marks since the last letter.
    marks: usize,
}

impl Spelling {
    /// Whether this character is spelled out: control, bidi, zero-width, tag and variation
    /// characters, line breaks and tabs, unusual spaces, and marks that pile up.
    pub fn spells_out(&mut self, character: char) -> bool {
        self.marks = if is_combining_mark(character) { self.marks + 1 } else { 0 };
        self.marks > COMBINING_MARKS || is_invisible(character)
    }
}

/// The brackets around what is spelled out; text that brings its own could imitate them.
pub const fn imitates(character: char) -> bool {
    matches!(character, '⟦' | '⟧')
}

/// `⟦U+202E⟧`.
pub fn spelled_out(character: char) -> String {
    format!("⟦U+{:04X}⟧", u32::from(character))
}

/// Characters that change how others look or that cannot be seen at all. General categories Cc, Cf, Zl
/// and Zp, the spaces that are not the space bar, fillers, variation selectors, and private use.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00A0}' | '\u{00AD}' | '\u{034F}' | '\u{0600}'..='\u{0605}' | '\u{061C}' | '\u{06DD}'
            | '\u{070F}' | '\u{0890}' | '\u{0891}' | '\u{08E2}' | '\u{115F}' | '\u{1160}'
            | '\u{1680}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{2000}'..='\u{200F}' | '\u{2028}'..='\u{202F}' | '\u{205F}'..='\u{206F}'
            | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{110BD}' | '\u{110CD}'
            | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E000}'..='\u{F8FF}' | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}')
}
