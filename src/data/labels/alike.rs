//! Classes that are different as texts and probably meant to be one.

use std::collections::BTreeMap;

use icu_normalizer::ComposingNormalizerBorrowed;

/// A sentence for each two classes that are equal but for case, for how letters are encoded, for blanks, or that are
/// one number.
pub(super) fn alike(names: &[String]) -> Vec<String> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut told = Vec::new();
    for name in names {
        let key = key(name);
        match first.get(&key) {
            None => drop(first.insert(key, name)),
            Some(other) => told.push(format!(
                "the classes `{other}` and `{name}` are the same but for {}; they stay two classes: if they are meant \
                 to be one, write them alike",
                difference(other, name)
            )),
        }
    }
    told
}

/// What names that are probably meant to be one have in common.
pub(super) fn key(name: &str) -> String {
    let text = without_blanks(&composed(name)).to_lowercase();
    match number(&text) {
        // The shortest text of a number: 1 for 1.0, 01 and 1e0.
        Some(number) => format!("{number}"),
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
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    // No sign for zero.
    number.is_finite().then_some(number + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Vec<String> {
        alike(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
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
    }
}
