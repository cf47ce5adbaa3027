//! Characters that show nothing.

/// Whether a character shows nothing: a blank of any width, one where no line is broken, or one without any width as web
/// pages and spreadsheets leave behind.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        )
}

/// A text without the blanks around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_of_all_kinds_are_taken_off() {
        for text in [
            "\u{a0}1 2\u{202f}",
            "\u{feff}1 2\u{200b}",
            " \t1 2\r\n",
            "\u{2009}\u{3000}1 2",
        ] {
            assert_eq!(trimmed(text), "1 2");
        }
        assert_eq!(trimmed("\u{a0}"), "");
    }
}
