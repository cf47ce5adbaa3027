//! Classes that are different as texts and probably meant to be one.

use std::collections::BTreeMap;

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::data::blanks::is_blank;
use crate::data::decimal::Decimal;

/// A sentence for each two names that are equal but for case, for how letters are encoded, for blanks, or that are
/// one number; `what` they are, and `of` what.
pub(super) fn alike(names: &[String], what: &str, of: &str) -> Vec<String> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut told = Vec::new();
    for name in names {
        let key = key(name);
        match first.get(&key) {
            None => drop(first.insert(key, name)),
            Some(other) => told.push(format!(
                "the {what} `{other}` and `{name}`{of} are the same but for {}; they stay two {what}: if they are meant \
                 to be one, write them alike",
                difference(other, name)
            )),
        }
    }
    let spelt = |wanted: &[&str]| {
        let mut found = names.iter();
        found.find(|name| wanted.contains(&key(name).as_str())).cloned()
    };
    for (word, number) in [("true", "1"), ("false", "0")] {
        if let (Some(word), Some(number)) = (spelt(&[word]), spelt(&[number])) {
            told.push(format!(
                "the {what} `{number}` and `{word}`{of} mean the same to most programs; they stay two {what}: if they are \
                 meant to be one, write them alike"
            ));
        }
    }
    told
}

/// What names that are probably meant to be one have in common.
pub(super) fn key(name: &str) -> String {
    let text = without_blanks(&composed(name)).to_lowercase();
    match Decimal::parse(&text) {
        // One text of a number: 1 for 1.0, 01 and 1e0.
        Some(number) => number.plain(),
        None => text,
    }
}

/// In which of these ways they differ.
fn difference(left: &str, right: &str) -> &'static str {
    let [left, right] = [left, right].map(composed);
    if left == right {
        return "how letters are encoded (in Unicode's normal forms NFC and NFD)";
    }
    let [left, right] = [left, right].map(|text| without_blanks(&text));
    if left == right {
        return "blanks";
    }
    match left.to_lowercase() == right.to_lowercase() {
        true => "upper and lower case",
        false => "how the number is written",
    }
}

fn composed(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(text)
        .into_owned()
}

fn without_blanks(text: &str) -> String {
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        alike(&names, "classes", "")
    }

    #[test]
    fn classes_that_are_meant_to_be_one_are_told() {
        for (left, right, difference) in [
            ("Cat", "cat", "upper and lower case"),
            ("caf\u{e9}", "cafe\u{301}", "how letters are encoded"),
            ("a b", "a  b ", "blanks"),
            ("1", "1.0", "how the number is written"),
            ("01", "1", "how the number is written"),
            ("-0", "0", "how the number is written"),
            ("True", "true", "upper and lower case"),
            ("a\u{a0}b", "a b", "blanks"),
            ("cat\u{200b}", "cat", "blanks"),
        ] {
            let told = told(&[left, "other", right]);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(
                told[0].starts_with(&format!(
                    "the classes `{left}` and `{right}` are the same but for {difference}"
                )),
                "{told:?}"
            );
        }
        assert_eq!(told(&["cat", "cats", "1", "10", "nan", "inf", ""]), [""; 0]);
        // Two numbers, though f64 knows but one of them.
        assert_eq!(told(&["9007199254740993", "9007199254740992"]), [""; 0]);
    }
}
