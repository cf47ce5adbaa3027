//! The file that a command leaves its figures in.
//!
//! It is JSON as programs write it: Python's `json` module writes `NaN` and `Infinity`, which JSON lacks,
//! and PowerShell UTF-16. What is told of it is told by name, and everything else is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::event::{MetricValue, Metrics};

/// The figures of a metrics file.
#[derive(Debug, Default)]
pub(super) struct ReadMetrics {
    /// Those that there are; some may be no finite number.
    pub metrics: Metrics,
    /// What is to be told of the file, a line each.
    pub notes: Vec<String>,
}

/// Stands before a number while JSON is parsed: numbers are taken for texts first.
const NUMBER: char = '\u{E000}';

/// From this many names on, the rest is only counted.
const LISTED: usize = 8;

/// Reads the metrics file whose content is `bytes`.
///
/// # Errors
/// What is wrong with the file as a whole.
pub(super) fn read(bytes: &[u8]) -> Result<ReadMetrics, String> {
    let text = decode(bytes)?;
    let marked = mark_numbers(&text);
    let value: Member = serde_json::from_str(&marked).map_err(|error| {
        let message = error.to_string();
        let what = message.split(" at line").next().unwrap_or_default();
        format!(
            "not JSON: {} in line {}",
            what.replace(NUMBER, ""),
            error.line().max(1)
        )
    })?;
    let Member::Object(members) = value else {
        return Err(format!(
            "an object with numbers is expected, such as {{\"accuracy\": 0.9}}, and it holds {}",
            value.describe()
        ));
    };
    let mut found = FoundFigures::default();
    found.collect("", members);
    Ok(found.finish())
}

/// The text of a file in UTF-8, or in UTF-16 where it says so, without its byte order mark.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let wide = |of: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let (units, rest) = bytes.as_chunks::<2>();
        let text: Result<String, _> = char::decode_utf16(units.iter().map(|unit| of(*unit))).collect();
        match text {
            Ok(text) if rest.is_empty() => Ok(Cow::Owned(text)),
            _ => Err("it begins as UTF-16 text and is none; write UTF-8".to_owned()),
        }
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        bytes => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let text = std::str::from_utf8(bytes).map(Cow::Borrowed);
    text.map_err(|error| {
        format!(
            "it is not UTF-8 text (at byte {}); write it with encoding=\"utf-8\"",
            error.valid_up_to()
        )
    })
}

/// Makes texts of the numbers outside texts, so that none is rounded before it was looked at, and of what
/// programs write for what is no number.
fn mark_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |(at, _)| at + 1)
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (part, after) = rest.split_at(length);
        if is_word(first) && !["true", "false", "null"].contains(&part) {
            out.push('"');
            out.push(NUMBER);
            out.push_str(part);
            out.push('"');
        } else {
            out.push_str(part);
        }
        rest = after;
    }
    out
}

/// What stands in the file.
enum Member {
    Null,
    Bool(bool),
    Text(String),
    /// A number as it is written.
    Number(String),
    List,
    Object(Vec<(String, Member)>),
}

impl Member {
    fn describe(&self) -> String {
        const MOST: usize = 24;
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Text(text) if text.chars().count() > MOST => {
                format!("the text `{}…`", text.chars().take(MOST).collect::<String>())
            }
            Self::Text(text) if text.trim().parse::<f64>().is_ok() => {
                format!("the text `{text}`: write it without quotes")
            }
            Self::Text(text) => format!("the text `{text}`"),
            Self::Number(text) => format!("the number {text}"),
            Self::List => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Member, E> {
        Ok(Member::Bool(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Member, E> {
        let Some(word) = text.strip_prefix(NUMBER) else {
            return Ok(Member::Text(text.to_owned()));
        };
        let is_number = not_finite(word).is_some() || serde_json::from_str::<IgnoredAny>(word).is_ok();
        if is_number {
            Ok(Member::Number(word.to_owned()))
        } else {
            Err(E::custom(format!(
                "`{word}` is neither a number nor a text in quotes"
            )))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Member, A::Error> {
        while access.next_element::<Member>()?.is_some() {}
        Ok(Member::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Member, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            if let Some(word) = name.strip_prefix(NUMBER) {
                return Err(de::Error::custom(format!("the name `{word}` lacks its quotes")));
            }
            members.push((name, access.next_value()?));
        }
        Ok(Member::Object(members))
    }
}

/// What programs write for what is no finite number: Python, JavaScript and C.
fn not_finite(word: &str) -> Option<f64> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(word) => (-1.0, word),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    match word.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "infinity" => Some(sign * f64::INFINITY),
        _ => None,
    }
}

/// The figures as they are found, with what is to be told.
#[derive(Default)]
struct FoundFigures {
    /// By name, each number that stands there, as it is written.
    numbers: BTreeMap<String, Vec<String>>,
    /// Figures that are not defined.
    undefined: Vec<String>,
    others: Vec<String>,
}

impl FoundFigures {
    fn collect(&mut self, prefix: &str, members: Vec<(String, Member)>) {
        for (name, member) in members {
            let name = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}.{name}")
            };
            match member {
                Member::Object(members) => self.collect(&name, members),
                Member::Number(text) => self.numbers.entry(name).or_default().push(text),
                Member::Null => self.undefined.push(name),
                other => self.others.push(format!("`{name}` ({})", other.describe())),
            }
        }
    }

    fn finish(self) -> ReadMetrics {
        let mut read = ReadMetrics::default();
        let mut not_numbers = Vec::new();
        for name in self.undefined {
            read.metrics.insert(name, MetricValue::Undefined);
        }
        for (name, texts) in self.numbers {
            let values: Vec<f64> = texts.iter().map(|text| value_of(text)).collect();
            let (text, value) = (&texts[0], values[0]);
            if values.iter().any(|other| other.to_bits() != value.to_bits()) {
                read.notes.push(format!(
                    "the metric `{name}` stands there several times, as {}: none of them is taken",
                    texts.join(", ")
                ));
                continue;
            }
            if not_finite(text).is_some() {
                not_numbers.push(format!("`{name}` ({text})"));
            } else if value.is_infinite() {
                read.notes.push(format!(
                    "the metric `{name}` is too large for a number of 64 bits ({}): it is taken for {value}",
                    shortened(text)
                ));
            } else if !holds_whole(text, value) {
                read.notes.push(format!(
                    "the metric `{name}` is {}, of which a number of 64 bits holds the first 15 to 17 digits: \
                     {value} is kept",
                    shortened(text)
                ));
            }
            read.metrics.insert(name, value);
        }
        if !not_numbers.is_empty() {
            read.notes.push(format!("not a number: {}", listed(&not_numbers)));
        }
        if !self.others.is_empty() {
            let what = if self.others.len() == 1 {
                "is no number"
            } else {
                "are no numbers"
            };
            read.notes.push(format!(
                "of the metrics, {} {what}, and left out",
                listed(&self.others)
            ));
        }
        read
    }
}

/// The number nearest to what is written.
fn value_of(text: &str) -> f64 {
    not_finite(text).unwrap_or_else(|| text.parse().unwrap_or(f64::NAN))
}

/// Whether a whole number's value is all that is written.
fn holds_whole(text: &str, value: f64) -> bool {
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    !is_whole || text.trim_start_matches('-') == format!("{:.0}", value.abs())
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    if text.len() > MOST {
        format!("{}…", text.chars().take(MOST).collect::<String>())
    } else {
        text.to_owned()
    }
}

fn listed(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(LISTED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(text: &str) -> (Metrics, Vec<String>) {
        let read = read(text.as_bytes()).unwrap();
        (read.metrics, read.notes)
    }

    #[test]
    fn what_python_writes_for_no_number_is_a_figure() {
        let (metrics, notes) =
            notes(r#"{"loss": NaN, "top": Infinity, "low": -Infinity, "acc": 0.9, "c": -nan}"#);
        assert!(metrics["loss"].is_nan() && metrics["c"].is_nan());
        assert_eq!(
            (metrics["top"], metrics["low"], metrics["acc"]),
            (f64::INFINITY, f64::NEG_INFINITY, 0.9)
        );
        assert_eq!(
            notes,
            ["not a number: `c` (-nan), `loss` (NaN), `low` (-Infinity), `top` (Infinity)"]
        );
    }

    #[test]
    fn what_is_no_number_or_not_one_is_told_by_name() {
        let (metrics, notes) = notes(
            r#"{"acc": "0.91", "passed": true, "f1": {"macro": 0.5, "per": [0.1, 0.9], "same": 1}, "f1.macro": 0.7,
                "f1.same": 1.0, "n": 9007199254740993, "m": 9007199254740992, "zero": -0.0, "none": null, "a b": 3,
                "huge": 1e400, "quoted": "a \" NaN 9007199254740993"}"#,
        );
        let names: Vec<&str> = metrics.names().collect();
        assert_eq!(names, ["a b", "f1.same", "huge", "m", "n", "none", "zero"]);
        assert_eq!(metrics.get("none"), Some(MetricValue::Undefined));
        assert_eq!(metrics["huge"], f64::INFINITY);
        assert!(metrics["zero"].is_sign_negative());
        insta::assert_snapshot!(notes.join("\n"), @r#"
        the metric `f1.macro` stands there several times, as 0.5, 0.7: none of them is taken
        the metric `huge` is too large for a number of 64 bits (1e400): it is taken for inf
        the metric `n` is 9007199254740993, of which a number of 64 bits holds the first 15 to 17 digits: 9007199254740992 is kept
        of the metrics, `acc` (the text `0.91`: write it without quotes), `passed` (true), `f1.per` (a list), `quoted` (the text `a " NaN 9007199254740993`) are no numbers, and left out
        "#);
    }

    #[test]
    fn byte_order_marks_and_utf_16_are_read() {
        let text = r#"{"é": 0.9}"#;
        let wide = |of: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}"
                .encode_utf16()
                .chain(text.encode_utf16())
                .flat_map(of)
                .collect()
        };
        for bytes in [
            text.as_bytes().to_vec(),
            ["\u{feff}", text].concat().into_bytes(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ] {
            assert_eq!(read(&bytes).unwrap().metrics["é"], 0.9);
        }
        let odd = [wide(u16::to_le_bytes).as_slice(), b"x"].concat();
        assert!(read(&odd).unwrap_err().contains("UTF-16"));
        assert!(read(b"{\"a\xe9\": 1}").unwrap_err().contains("at byte 3"));
    }

    #[test]
    fn what_is_no_object_of_figures_says_why() {
        for (text, why) in [
            ("3", "and it holds the number 3"),
            ("[{\"a\": 1}]", "and it holds a list"),
            ("NaN", "and it holds the number NaN"),
            (
                "{\"a\": 01}",
                "`01` is neither a number nor a text in quotes in line 1",
            ),
            (
                "{\n\"a\": 1,\n\"b\": none}",
                "`none` is neither a number nor a text in quotes in line 3",
            ),
            ("{a: 1}", "the name `a` lacks its quotes"),
            ("{\"a\": 1", "not JSON: EOF"),
            ("", "not JSON: EOF"),
            ("{'a': 1}", "not JSON"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
