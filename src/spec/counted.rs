//! Numbers of things in messages.

use std::fmt::Display;

/// How many of a thing: `1 row`, `2 rows`, `0 categories`. The last word of `noun` is the one that has a plural.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    match count == N::from(1) {
        true => format!("{count} {noun}"),
        false => format!("{count} {}", plural(noun)),
    }
}

/// How many of a thing do something: `1 row is`, `2 rows are`. `verbs` are that of one and that of several.
pub fn counted_that<N: Display + PartialEq + From<u8>>(count: N, noun: &str, verbs: [&str; 2]) -> String {
    let verb = if count == N::from(1) { verbs[0] } else { verbs[1] };
    format!("{} {verb}", counted(count, noun))
}

/// Several of a thing.
fn plural(noun: &str) -> String {
    let is_vowel = |letter: char| "aeiou".contains(letter);
    if let Some(stem) = noun.strip_suffix('y')
        && !stem.ends_with(is_vowel)
    {
        return format!("{stem}ies");
    }
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    format!("{noun}{}", if hisses { "es" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        for (count, noun, expected) in [
            (1, "row", "1 row"),
            (0, "row", "0 rows"),
            (2, "training sample", "2 training samples"),
            (2, "class", "2 classes"),
            (3, "category", "3 categories"),
            (3, "day", "3 days"),
            (2, "batch", "2 batches"),
        ] {
            assert_eq!(counted(count, noun), expected);
        }
        assert_eq!(counted_that(1u64, "row", ["is", "are"]), "1 row is");
        assert_eq!(counted_that(2usize, "row", ["is", "are"]), "2 rows are");
    }
}
