//! The one way by which text from outside reaches a person: nothing in it can act on the terminal or lie about its
//! order.
//!
//! Outside means a shop, a bank, a page, the daemon, a device, a file name, an environment variable. [`safe`] makes a
//! line of it for a terminal, [`safe_json`] makes JSON that a terminal may show, without losing a character.

use serde::Serialize;
use std::fmt::{self, Write as _};
use unicode_width::UnicodeWidthChar;

/// Characters of a text that are shown; what follows is cut, and said to be.
pub const MAX_SHOWN: usize = 1_024;

/// Columns by which the rest of a line that was folded is indented.
const HANG: usize = 14;

/// Text that is safe to print. Its `Display` is what is shown.
#[derive(Clone, Copy, Debug)]
pub struct Safe<'a>(&'a str);

/// Makes `text` safe: whatever could move the cursor, change the direction of text, or hide, is shown as `\u{...}`.
pub fn safe(text: &str) -> Safe<'_> {
    Safe(text)
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for c in characters.by_ref().take(MAX_SHOWN) {
            // A backslash is written twice, so that no text can look like an escaped one.
            match c {
                '\\' => f.write_str("\\\\")?,
                c if is_harmless(c) => f.write_char(c)?,
                c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            }
        }
        match characters.count() {
            0 => Ok(()),
            more => write!(f, " [{more} more characters]"),
        }
    }
}

/// Whether `c` shows itself, takes part in no reordering and does nothing to a terminal.
///
/// Not harmless: C0, DEL and C1 controls; line and paragraph separators; bidirectional marks, embeddings, overrides and
/// isolates; characters of no width (joiners, invisible operators, variation selectors, tags, fillers, the byte
/// order mark); spaces that are not U+0020; surrogate-like and private code points, noncharacters.
pub fn is_harmless(c: char) -> bool {
    let hidden = matches!(u32::from(c),
        0x00..=0x1f | 0x7f..=0xa0 | 0xad // controls, no-break space, soft hyphen
        | 0x034f | 0x061c // combining grapheme joiner, Arabic letter mark
        | 0x115f..=0x1160 | 0x3164 | 0xffa0 // Hangul fillers
        | 0x1680 | 0x2000..=0x200f // spaces, zero width, direction marks
        | 0x17b4..=0x17b5 | 0x180b..=0x180f // Khmer and Mongolian invisibles
        | 0x2028..=0x202f | 0x205f..=0x206f // separators, bidi, isolates, invisible operators
        | 0x2800 | 0x3000 // blank braille, ideographic space
        | 0xe000..=0xf8ff // private use
        | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xfff0..=0xfffb // noncharacters, variation selectors, BOM, specials
        | 0x110bd | 0x110cd | 0x13430..=0x13455 // Kaithi and hieroglyphic format controls
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a // shorthand and musical format controls
        | 0xe0000..=0x10ffff // tags, selectors, private use
    );
    !hidden && (u32::from(c) & 0xfffe) != 0xfffe
}

/// Folds lines that are wider than a terminal of `columns`, the rest of each indented. Where the terminal folded them, a
/// shop's long name could go on at the left edge as if it were the next line, with another host in it.
pub fn fold(text: &str, columns: usize) -> String {
    let columns = columns.max(2 * HANG);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if c == '\n' {
            at = 0;
        } else if at + width > columns {
            let _ = write!(out, "\n{:HANG$}", ""); // writing to a String does not fail
            at = HANG + width;
        } else {
            at += width;
        }
        out.push(c);
    }
    out
}

/// `value` as JSON, indented, in which only harmless characters stand unescaped.
///
/// # Errors
/// Those of the value's own `Serialize`; none for our types.
pub fn safe_json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string_pretty(value)?;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // JSON's own syntax is ASCII, and a line feed only ever stands between values: anything else is within a string.
        if c == '\n' || is_harmless(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}"); // writing to a String does not fail
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_sequence_is_shown_not_obeyed() {
        assert_eq!(safe("Shop\x1b[2J\x1b]0;x\x07").to_string(), "Shop\\u{1b}[2J\\u{1b}]0;x\\u{7}");
        assert_eq!(safe("a\u{9b}31m").to_string(), "a\\u{9b}31m");
    }

    #[test]
    fn a_right_to_left_override_is_shown_not_obeyed() {
        assert_eq!(safe("\u{202e}moc.knab").to_string(), "\\u{202e}moc.knab");
        assert_eq!(safe("my\u{200b}bank").to_string(), "my\\u{200b}bank");
    }

    #[test]
    fn text_cannot_pretend_to_be_escaped() {
        assert_eq!(safe("\\u{1b}").to_string(), "\\\\u{1b}");
    }

    #[test]
    fn names_of_many_scripts_stay_readable() {
        for name in ["Café Zürich", "株式会社", "Διόνυσος", "متجر", "🚀 Space Shop"] {
            assert_eq!(safe(name).to_string(), name);
        }
    }

    #[test]
    fn a_flood_is_cut_and_said_to_be() {
        let shown = safe(&"x".repeat(5_000)).to_string();
        assert!(shown.ends_with(" [3976 more characters]"));
    }

    #[test]
    fn a_long_name_does_not_become_a_line_of_its_own() {
        let text = format!(
            "  Payment to  Shop{}  at          good.example\n  at          evil.example\n",
            " ".repeat(62)
        );
        let folded = fold(&text, 80);
        let hosts: Vec<_> = folded.lines().filter(|line| line.starts_with("  at ")).collect();
        assert_eq!(hosts, ["  at          evil.example"]);
        assert_eq!(fold("1234\n", 80), "1234\n");
    }

    proptest! {
        #[test]
        fn folded_lines_fit_and_lose_nothing(text in any::<String>(), columns in 0_usize..120) {
            let text = safe(&text).to_string();
            let folded = fold(&text, columns);
            for line in folded.lines() {
                prop_assert!(line.chars().filter_map(UnicodeWidthChar::width).sum::<usize>() <= columns.max(2 * HANG));
            }
            prop_assert_eq!(folded.replace(&format!("\n{:HANG$}", ""), ""), text);
        }

        #[test]
        fn whatever_comes_in_only_harmless_characters_come_out(text in any::<String>()) {
            prop_assert!(safe(&text).to_string().chars().all(is_harmless));
        }

        #[test]
        fn no_general_control_or_format_character_gets_through(bytes in proptest::collection::vec(any::<char>(), 0..64)) {
            let text: String = bytes.into_iter().collect();
            prop_assert!(!safe(&text).to_string().chars().any(|c| c.is_control()));
        }

        #[test]
        fn json_is_harmless_and_loses_nothing(text in any::<String>()) {
            let json = safe_json(&vec![&text]).unwrap();
            prop_assert!(json.chars().all(|c| c == '\n' || is_harmless(c)));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), vec![text]);
        }
    }
}
