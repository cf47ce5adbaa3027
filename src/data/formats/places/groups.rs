//! What samples belong to.

use std::collections::HashMap;

use crate::data::digest::{ContentDigest, digest_bytes};
use crate::data::formats::shortened;
use crate::data::labels::alike_key;
use crate::spec::counted;

/// Groups whose spelling is remembered, to tell of others.
const REMEMBERED: usize = 1 << 16;

/// Longer names are hardly written in two ways, and would take much to remember.
const LONGEST: usize = 256;

/// How many groups are named in a message.
const NAMED: usize = 3;

/// The group that a text names. Texts that are equal but for case, blanks or how their letters are encoded name one, and
/// so do numbers that are equal, however they are written: were they two, what belongs together might be trained and
/// tested on.
pub(in crate::data::formats) fn group_named(text: &str) -> Result<ContentDigest, String> {
    match text {
        "" => Err("it is empty, and has to say what the row belongs to".into()),
        _ => Ok(digest_bytes(alike_key(text).as_bytes())),
    }
}

/// Finds groups that are written in several ways.
#[derive(Default)]
pub(super) struct GroupSpellings {
    /// How a group was written first, by what its spellings have in common.
    first: HashMap<String, GroupSpelling>,
    /// Groups that are written in several ways.
    several: u64,
    /// Two spellings of each of the first of them.
    examples: Vec<[String; 2]>,
}

struct GroupSpelling {
    text: String,
    is_only: bool,
}

impl GroupSpellings {
    pub fn watch(&mut self, text: &str) {
        if text.len() > LONGEST {
            return;
        }
        let key = alike_key(text);
        let has_room = self.first.len() < REMEMBERED;
        match self.first.get_mut(&key) {
            Some(known) if known.is_only && known.text != text => {
                known.is_only = false;
                self.several += 1;
                if self.examples.len() < NAMED {
                    self.examples.push([shortened(&known.text), shortened(text)]);
                }
            }
            Some(_) => {}
            None if has_room => {
                let spelling = GroupSpelling {
                    text: text.to_owned(),
                    is_only: true,
                };
                self.first.insert(key, spelling);
            }
            None => {}
        }
    }

    /// How the groups were called first.
    pub fn names(&self) -> impl Iterator<Item = (ContentDigest, String)> + '_ {
        let known = self.first.iter();
        known.map(|(key, spelling)| (digest_bytes(key.as_bytes()), shortened(&spelling.text)))
    }

    /// What is to be told of them.
    pub fn told(&self) -> Option<String> {
        if self.several == 0 {
            return None;
        }
        let examples = self.examples.iter();
        let examples: Vec<String> = examples
            .map(|[first, other]| format!("`{first}` and `{other}`"))
            .collect();
        let more = if self.several > NAMED as u64 { ", ..." } else { "" };
        Some(format!(
            "`split.group`: {} written in several ways, which differ but in case, blanks, how letters are encoded or how \
             a number is written, and taken for one each: {}{more}; if these are different groups, call them otherwise",
            match self.several {
                1 => "1 group is".to_owned(),
                several => format!("{} are", counted(several, "group")),
            },
            examples.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_written_in_several_ways_are_one() {
        for (left, right) in [
            ("1", "1.0"),
            ("1e2", "100"),
            ("Anna", "anna"),
            ("a b", "a  b"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("007", "7"),
        ] {
            assert_eq!(group_named(left), group_named(right), "{left} {right}");
        }
        // Beyond what f64 and i64 hold.
        for (left, right) in [
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551617", "18446744073709551616"),
            ("1", "2"),
            ("a", "b"),
        ] {
            assert_ne!(group_named(left), group_named(right), "{left} {right}");
        }
        assert!(group_named("").is_err());
    }

    #[test]
    fn several_spellings_are_told() {
        let mut spellings = GroupSpellings::default();
        for text in ["1", "2", "x", "1", "2"] {
            spellings.watch(text);
        }
        assert_eq!(spellings.told(), None);
        for text in ["1.0", "1.00", "X", "2.0", "y", "Y", "z", " z"] {
            spellings.watch(text);
        }
        let told = spellings.told().unwrap();
        assert!(
            told.starts_with("`split.group`: 5 groups are written in several ways"),
            "{told}"
        );
        assert!(
            told.contains(": `1` and `1.0`, `x` and `X`, `2` and `2.0`, ...; "),
            "{told}"
        );
    }
}
