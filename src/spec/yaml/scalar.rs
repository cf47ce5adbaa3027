//! What scalars of YAML stand for.

use crate::spec::node::{CLOSE, OPEN, Value, references};

/// What stands for the braces of a parameter: as long as these are.
const OPEN_MARK: u8 = 1;
const CLOSE_MARK: u8 = 2;

/// The bytes of a text in which each parameter's braces are marks.
pub(super) fn marked(source: &str) -> Vec<u8> {
    let mut bytes = source.as_bytes().to_vec();
    for reference in references(source) {
        (bytes[reference.start + 1], bytes[reference.end - 1]) = (OPEN_MARK, CLOSE_MARK);
    }
    bytes
}

/// A text with the braces of parameters as the library is given them.
pub(super) fn text(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let is_mark = |byte: &u8| matches!(*byte, OPEN_MARK | CLOSE_MARK);
    match words.iter().any(is_mark) {
        true => text
            .replace(char::from(OPEN_MARK), OPEN.encode_utf8(&mut [0; 4]))
            .replace(char::from(CLOSE_MARK), CLOSE.encode_utf8(&mut [0; 4])),
        false => text.into_owned(),
    }
}

/// What a plain scalar stands for, unless that is for the library to say.
pub(super) fn plain_value(words: &[u8]) -> Option<Value> {
    match words {
        b"true" => return Some(Value::Bool(true)),
        b"false" => return Some(Value::Bool(false)),
        b"null" => return Some(Value::Null),
        _ => {}
    }
    let begins_as_number = matches!(words.first(), Some(b'0'..=b'9' | b'-' | b'.'));
    if !begins_as_number {
        return (!is_word_of_yaml(words)).then(|| Value::Text(text(words)));
    }
    let digits = words.strip_prefix(b"-").unwrap_or(words);
    let is_whole = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(words).ok()?;
    if is_whole(digits) {
        let is_usual = digits.len() <= 18 && (digits[0] != b'0' || words == b"0");
        return if is_usual {
            number.parse().ok().map(Value::Int)
        } else {
            None
        };
    }
    // One dot, digits on both sides, perhaps an exponent.
    let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(place) => (&digits[..place], Some(&digits[place + 1..])),
        None => (digits, None),
    };
    let is_exponent = exponent.is_none_or(|exponent| {
        is_whole(
            exponent
                .strip_prefix(b"-")
                .or(exponent.strip_prefix(b"+"))
                .unwrap_or(exponent),
        )
    });
    let is_mantissa = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(dot) => is_whole(&mantissa[..dot]) && is_whole(&mantissa[dot + 1..]),
        None => is_whole(mantissa),
    };
    if is_mantissa && is_exponent {
        let number = number.parse().ok().filter(|number: &f64| number.is_finite());
        return number.map(Value::Float);
    }
    // With a letter that no number has it is a text.
    let has_prefix = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_alphabetic();
    let is_word = |words: &[u8]| words.first().is_some_and(u8::is_ascii_alphabetic) && is_word_of_yaml(words);
    let is_number_perhaps =
        has_prefix || is_word(digits) || digits.first() == Some(&b'.') && is_word(&digits[1..]);
    let is_of_text =
        |byte: &u8| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E') || matches!(byte, b'/' | b' ');
    (!is_number_perhaps && words.iter().any(is_of_text)).then(|| Value::Text(text(words)))
}

/// Whether a plain scalar may be more than a text.
pub(super) fn is_word_of_yaml(words: &[u8]) -> bool {
    const WORDS: [&str; 14] = [
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "inf",
        "nan",
        "infinity",
        "none",
        "undefined",
    ];
    words.len() <= 9
        && WORDS
            .iter()
            .any(|word| words.eq_ignore_ascii_case(word.as_bytes()))
}
