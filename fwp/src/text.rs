//! Text that a person is shown: nothing in it may lie about what stands where.

/// Why text from outside may not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Empty.
    #[error("must not be empty")]
    Empty,
    /// Too long.
    #[error("must have at most {max} characters (UTF-16 code units)")]
    TooLong {
        /// The limit in UTF-16 code units, the unit in which the web counts.
        max: usize,
    },
    /// A control character, a bidirectional control or a line separator.
    #[error("must not contain control characters or bidirectional controls (U+{code_point:04X} does)")]
    Control {
        /// The first such code point.
        code_point: u32,
    },
}

/// Checks that `text` is not empty, has at most `max` UTF-16 code units, and no character that could hide, reorder or
/// forge what is shown around it.
///
/// # Errors
/// [`TextError`].
pub fn check_shown(text: &str, max: usize) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.encode_utf16().take(max + 1).count() > max {
        return Err(TextError::TooLong { max });
    }
    match text.chars().find(|c| is_treacherous(*c)) {
        Some(c) => Err(TextError::Control { code_point: c.into() }),
        None => Ok(()),
    }
}

/// Control characters (C0, DEL, C1), bidirectional controls (UAX #9), and the line and paragraph separators.
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_of_the_world_may_be_shown() {
        for text in ["Space Shop", "Café Ünïcode", "店舗 🛒", "e\u{301}", "A & B <\"quoted\">\\", "متجر"]
        {
            assert_eq!(check_shown(text, 256), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn text_that_could_lie_may_not() {
        for c in
            ['\0', '\x1b', '\n', '\x7f', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}', '\u{61c}']
        {
            assert_eq!(check_shown(&format!("a{c}b"), 256), Err(TextError::Control { code_point: c.into() }));
        }
    }

    #[test]
    fn length_counts_utf_16_code_units() {
        assert_eq!(check_shown("🛒", 2), Ok(()));
        assert_eq!(check_shown("🛒", 1), Err(TextError::TooLong { max: 1 }));
        assert_eq!(check_shown("", 1), Err(TextError::Empty));
    }
}
