//! Entities, read from the tags of words as seqeval reads them.

use std::collections::{BTreeMap, BTreeSet};

use super::ClassFigures;
use crate::spec::{EntityMode, EntityScheme};

/// How many entities of each type there are, were predicted, and were predicted rightly.
#[derive(Clone, Debug, Default)]
pub(super) struct EntityCounts(BTreeMap<String, [u64; 3]>);

/// An entity: its type, and its first and last word.
pub(super) type Entity<'a> = (&'a str, usize, usize);

impl EntityCounts {
    /// Counts the entities of a sentence with the tags `wanted`, of which `found` were predicted.
    pub fn add(&mut self, wanted: &[&str], found: &[&str], mode: EntityMode, scheme: EntityScheme) {
        let entities = |tags| match mode {
            EntityMode::Lenient => lenient_entities(tags),
            EntityMode::Strict => strict_entities(tags, scheme),
        };
        let (wanted, found) = (entities(wanted), entities(found));
        for (at, entities) in [&wanted, &found].into_iter().enumerate() {
            for (kind, ..) in entities {
                self.of(kind)[at] += 1;
            }
        }
        for (kind, ..) in wanted.intersection(&found) {
            self.of(kind)[2] += 1;
        }
    }

    fn of(&mut self, kind: &str) -> &mut [u64; 3] {
        self.0.entry(kind.to_owned()).or_default()
    }

    /// The figures over all entities (micro average).
    pub fn all(&self) -> ClassFigures {
        let sum = |at: usize| self.0.values().map(|counts| counts[at]).sum();
        ClassFigures::new(sum(2), sum(0), sum(1))
    }

    /// The figures of each type that occurs.
    pub fn by_type(&self) -> impl Iterator<Item = (&str, ClassFigures)> {
        self.0
            .iter()
            .map(|(kind, [wanted, found, right])| (kind.as_str(), ClassFigures::new(*right, *wanted, *found)))
    }
}

/// The entities that `tags` tell of, in their order. Where not all of the classes `names` but `O` are a letter and a type,
/// such as `B-place`, each word is one of its own class.
pub(super) fn entities_in_order<'a>(tags: &[&'a str], names: &[String]) -> Vec<Entity<'a>> {
    let is_tag = |name: &String| {
        let mut parts = name.splitn(2, '-');
        let letter = parts.next().unwrap_or_default();
        letter.len() == 1 && "BIESLUM".contains(letter) && parts.next().is_some_and(|kind| !kind.is_empty())
    };
    if !names.iter().all(|name| name == "O" || is_tag(name)) {
        let words = tags.iter().enumerate().filter(|(_, tag)| **tag != "O");
        return words.map(|(place, tag)| (*tag, place, place)).collect();
    }
    let mut found: Vec<Entity<'a>> = lenient_entities(tags).into_iter().collect();
    found.sort_by_key(|(_, first, _)| *first);
    found
}

/// A tag's first letter and its type, as `seqeval.metrics.sequence_labeling.get_entities` divides it.
fn divided(tag: &str) -> (char, &str) {
    let mut letters = tag.chars();
    let first = letters.next().unwrap_or('O');
    let rest = letters.as_str();
    let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
    (first, if kind.is_empty() { "_" } else { kind })
}

/// Entities as `get_entities` finds them, which is as CoNLL's script does: what goes on with nothing begins.
fn lenient_entities<'a>(tags: &[&'a str]) -> BTreeSet<Entity<'a>> {
    let mut entities = BTreeSet::new();
    let (mut before, mut kind_before, mut begin) = ('O', "", 0);
    for (at, tag) in tags.iter().copied().chain(["O"]).enumerate() {
        let (letter, kind) = divided(tag);
        if ends(before, letter, kind_before, kind) {
            entities.insert((kind_before, begin, at - 1));
        }
        if starts(before, letter, kind_before, kind) {
            begin = at;
        }
        (before, kind_before) = (letter, kind);
    }
    entities
}

fn ends(before: char, letter: char, kind_before: &str, kind: &str) -> bool {
    match (before, letter) {
        ('E' | 'S', _) | ('B' | 'I', 'B' | 'S' | 'O') => true,
        ('O' | '.', _) => false,
        _ => kind_before != kind,
    }
}

fn starts(before: char, letter: char, kind_before: &str, kind: &str) -> bool {
    match (before, letter) {
        (_, 'B' | 'S') | ('E' | 'S' | 'O', 'E' | 'I') => true,
        (_, 'O' | '.') => false,
        _ => kind_before != kind,
    }
}

/// Entities as the scheme has them, and no others: `seqeval.scheme`.
fn strict_entities<'a>(tags: &[&'a str], scheme: EntityScheme) -> BTreeSet<Entity<'a>> {
    let mut entities = BTreeSet::new();
    let mut at = 0;
    while at < tags.len() {
        let (letter, kind) = divided(tags[at]);
        let begin = at;
        at += 1;
        match (scheme, letter) {
            (EntityScheme::Iobes, 'S') => {
                entities.insert((kind, begin, begin));
            }
            (_, 'B') => {
                let mut last = 'B';
                while let Some((next, _)) = tags
                    .get(at)
                    .map(|tag| divided(tag))
                    .filter(|(next, of)| *of == kind && goes_on(scheme, last, *next))
                {
                    last = next;
                    at += 1;
                }
                if scheme == EntityScheme::Iob2 || last == 'E' {
                    entities.insert((kind, begin, at - 1));
                }
            }
            _ => {}
        }
    }
    entities
}

/// Whether `next` goes on with an entity that stands at `last`.
fn goes_on(scheme: EntityScheme, last: char, next: char) -> bool {
    match scheme {
        EntityScheme::Iob2 => next == 'I',
        EntityScheme::Iobes => matches!(last, 'B' | 'I') && matches!(next, 'I' | 'E'),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn counts(wanted: &[&str], found: &[&str], mode: EntityMode, scheme: EntityScheme) -> ClassFigures {
        let mut counts = EntityCounts::default();
        counts.add(wanted, found, mode, scheme);
        counts.all()
    }

    #[test]
    fn lenient_and_strict_differ_where_nothing_begins() {
        let (wanted, found) = (["B-X", "I-X", "O", "B-X"], ["I-X", "I-X", "O", "B-X"]);
        let f1 = |mode| counts(&wanted, &found, mode, EntityScheme::Iob2).f1;
        assert_eq!(f1(EntityMode::Lenient), 1.0);
        assert!((f1(EntityMode::Strict) - 2.0 / 3.0).abs() < 1e-12);
        let none = counts(&["O", "O"], &["O", "O"], EntityMode::Lenient, EntityScheme::Iob2);
        assert_eq!((none.f1, none.precision, none.recall), (0.0, 0.0, 0.0));
    }

    #[test]
    fn entities_are_told_in_their_order() {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let tags = ["B-Y", "I-Y", "O", "B-X", "B-X", "I-Z"];
        assert_eq!(
            entities_in_order(&tags, &names(&["O", "B-X", "I-X", "B-Y", "I-Y", "I-Z"])),
            [("Y", 0, 1), ("X", 3, 3), ("X", 4, 4), ("Z", 5, 5)]
        );
        // Classes of words that are no tags: each word by itself.
        let words = ["NOUN", "O", "NOUN"];
        assert_eq!(
            entities_in_order(&words, &names(&["NOUN", "O", "VERB"])),
            [("NOUN", 0, 0), ("NOUN", 2, 2)]
        );
    }

    /// Made by `tests/fixtures/entities.py`.
    #[test]
    fn figures_are_those_of_seqeval() {
        let fixture: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/entities.json")).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert!(cases.len() >= 40);
        for case in cases {
            let scheme: EntityScheme = serde_json::from_value(case["scheme"].clone()).unwrap();
            for mode in [EntityMode::Lenient, EntityMode::Strict] {
                let name = match mode {
                    EntityMode::Lenient => "lenient",
                    EntityMode::Strict => "strict",
                };
                let mut all = EntityCounts::default();
                for sentence in case["sentences"].as_array().unwrap() {
                    let tags = |name: &str| -> Vec<String> {
                        serde_json::from_value(sentence[name].clone()).unwrap()
                    };
                    let (wanted, found) = (tags("wanted"), tags("found"));
                    let texts = |tags: &[String]| -> Vec<String> { tags.to_vec() };
                    let (wanted, found) = (texts(&wanted), texts(&found));
                    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                    let found: Vec<&str> = found.iter().map(String::as_str).collect();
                    all.add(&wanted, &found, mode, scheme);
                }
                let found = all.all();
                let expected = &case[name];
                for (figure, value) in [
                    ("precision", found.precision),
                    ("recall", found.recall),
                    ("f1", found.f1),
                ] {
                    let expected = expected[figure].as_f64().unwrap();
                    assert!(
                        (value - expected).abs() < 1e-12,
                        "{name} {figure}: {value} is not {expected} in {case}"
                    );
                }
            }
        }
    }
}
