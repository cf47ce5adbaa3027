//! Pairs of tokens that become one, the most frequent first: the training of BPE and WordPiece.
//!
//! The algorithm is that of the `tokenizers` crate (`models/bpe/trainer.rs` of 0.23), whose result it gives wherever
//! that one is the same on each run. Where that one depends on the order of a hash table it takes the sorted order:
//! the pieces of WordPiece that go on have their numbers in the order of their characters, and of two bundles of
//! places with one pair the older is merged first.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use crate::tokenizer::error::TokenizerError;

/// How pieces are merged.
pub(super) struct MergeOptions<'a> {
    /// The most pieces, special tokens included. With fewer than there are characters nothing is merged.
    pub vocab_size: usize,
    /// How often a pair has to occur.
    pub min_frequency: u64,
    /// The first pieces.
    pub special: &'a [String],
    /// Characters that are pieces whether they occur or not.
    pub alphabet: Vec<char>,
    /// What stands before a piece that does not begin a word.
    pub continuation: Option<&'a str>,
}

/// A vocabulary, and the pairs that were merged.
pub(super) struct MergedPieces {
    /// The pieces; an index is a token's number.
    pub pieces: Vec<String>,
    /// The pairs by their numbers, in the order in which they are merged.
    pub merges: Vec<(u32, u32)>,
}

type PiecePair = (u32, u32);

/// A pair that waits to be merged.
#[derive(PartialEq, Eq)]
struct WaitingPair {
    count: u64,
    pair: PiecePair,
    /// When it was found.
    round: usize,
    /// The words that it stands in.
    places: Vec<u32>,
}

impl Ord for WaitingPair {
    /// The most frequent is the greatest, among equals the one with the smallest numbers.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_count = self.count.cmp(&other.count);
        by_count
            .then_with(|| other.pair.cmp(&self.pair))
            .then_with(|| other.round.cmp(&self.round))
    }
}

impl PartialOrd for WaitingPair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Pieces and their numbers.
#[derive(Default)]
struct PieceIndex {
    pieces: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl PieceIndex {
    /// The number of `piece`, a new one where it has none.
    fn number(&mut self, piece: &str) -> u32 {
        if let Some(number) = self.numbers.get(piece) {
            return *number;
        }
        // Each piece is in memory: there are fewer than 2^32.
        let number = self.pieces.len() as u32;
        self.pieces.push(piece.to_owned());
        self.numbers.insert(piece.to_owned(), number);
        number
    }
}

/// The pieces that `words`, sorted and with their counts, are merged into.
///
/// # Errors
/// There are more words than can be numbered.
pub(super) fn merge_pieces(
    words: &[(String, u64)],
    options: &MergeOptions<'_>,
) -> Result<MergedPieces, TokenizerError> {
    if u32::try_from(words.len()).is_err() {
        return Err(TokenizerError::Options(
            "the documents hold 2^32 different words, which is more than a tokenizer is trained on: use a part of them"
                .to_owned(),
        ));
    }
    let mut index = PieceIndex::default();
    for token in options.special {
        index.number(token);
    }
    let mut alphabet: BTreeSet<char> = options.alphabet.iter().copied().collect();
    let mut going_on = BTreeSet::new();
    for (word, _) in words {
        alphabet.extend(word.chars());
        if options.continuation.is_some() {
            going_on.extend(word.chars().skip(1));
        }
    }
    let mut buffer = [0; 4];
    for character in &alphabet {
        index.number(character.encode_utf8(&mut buffer));
    }
    let continuation = options.continuation.unwrap_or_default();
    for character in &going_on {
        index.number(&format!("{continuation}{character}"));
    }
    let mut symbols = Vec::with_capacity(words.len());
    for (word, _) in words {
        let mut numbers = Vec::with_capacity(word.len());
        for (at, character) in word.chars().enumerate() {
            numbers.push(if at > 0 && options.continuation.is_some() {
                index.number(&format!("{continuation}{character}"))
            } else {
                index.number(character.encode_utf8(&mut buffer))
            });
        }
        symbols.push(numbers);
    }
    let counts: Vec<i64> = words
        .iter()
        .map(|(_, count)| i64::try_from(*count).unwrap_or(i64::MAX))
        .collect();
    let merges = merge_all(&mut symbols, &counts, &mut index, options);
    Ok(MergedPieces {
        merges: last_of_each(&merges),
        pieces: index.pieces,
    })
}

fn merge_all(
    symbols: &mut [Vec<u32>],
    counts: &[i64],
    index: &mut PieceIndex,
    options: &MergeOptions<'_>,
) -> Vec<PiecePair> {
    let mut pair_counts: HashMap<PiecePair, i64> = HashMap::new();
    // Sorted by pairs, and words in their order.
    let mut found: BTreeMap<PiecePair, Vec<u32>> = BTreeMap::new();
    let note = |found: &mut BTreeMap<PiecePair, Vec<u32>>, pair, word: u32| {
        let places = found.entry(pair).or_default();
        if places.last() != Some(&word) {
            places.push(word);
        }
    };
    for ((word, numbers), count) in (0u32..).zip(symbols.iter()).zip(counts) {
        for pair in numbers.windows(2) {
            let pair = (pair[0], pair[1]);
            *pair_counts.entry(pair).or_default() += count;
            note(&mut found, pair, word);
        }
    }
    let mut queue = BinaryHeap::new();
    let mut round = 0;
    let mut merges = Vec::new();
    let mut changes: Vec<(PiecePair, i64)> = Vec::new();
    loop {
        for (pair, places) in std::mem::take(&mut found) {
            if let Ok(count @ 1..) = u64::try_from(pair_counts[&pair]) {
                queue.push(WaitingPair {
                    count,
                    pair,
                    round,
                    places,
                });
            }
        }
        round += 1;
        if index.pieces.len() >= options.vocab_size {
            break;
        }
        let Some(top) = next_pair(&mut queue, &pair_counts) else {
            break;
        };
        if top.count < options.min_frequency {
            break;
        }
        let (left, right) = top.pair;
        let second = &index.pieces[right as usize];
        let second = options
            .continuation
            .and_then(|continuation| second.strip_prefix(continuation))
            .unwrap_or(second);
        let piece = format!("{}{second}", index.pieces[left as usize]);
        let merged = index.number(&piece);
        merges.push(top.pair);
        for word in top.places {
            changes.clear();
            merge_in(&mut symbols[word as usize], top.pair, merged, &mut changes);
            for (pair, change) in &changes {
                *pair_counts.entry(*pair).or_default() += change * counts[word as usize];
                if *change > 0 {
                    note(&mut found, *pair, word);
                }
            }
        }
    }
    merges
}

/// The pair that is to be merged next: the greatest whose count is up to date.
fn next_pair(
    queue: &mut BinaryHeap<WaitingPair>,
    pair_counts: &HashMap<PiecePair, i64>,
) -> Option<WaitingPair> {
    loop {
        let mut top = queue.pop()?;
        let count = u64::try_from(pair_counts[&top.pair]).unwrap_or(0);
        if top.count == count {
            return (count > 0).then_some(top);
        }
        // Those that are gone would come up again and end the work before its time.
        if count > 0 {
            top.count = count;
            queue.push(top);
        }
    }
}

/// Puts `merged` where the `pair` stands in a word, from the left, and tells what that makes of the pairs beside it.
fn merge_in(symbols: &mut Vec<u32>, pair: PiecePair, merged: u32, changes: &mut Vec<(PiecePair, i64)>) {
    let (left, right) = pair;
    let mut read = 0;
    let mut write = 0;
    while read < symbols.len() {
        if symbols[read] == left && symbols.get(read + 1) == Some(&right) {
            if write > 0 {
                let before = symbols[write - 1];
                changes.push(((before, left), -1));
                changes.push(((before, merged), 1));
            }
            if let Some(&after) = symbols.get(read + 2) {
                changes.push(((right, after), -1));
                changes.push(((merged, after), 1));
            }
            symbols[write] = merged;
            read += 2;
        } else {
            symbols[write] = symbols[read];
            read += 1;
        }
        write += 1;
    }
    symbols.truncate(write);
}

/// The merges without those that come again later.
fn last_of_each(merges: &[PiecePair]) -> Vec<PiecePair> {
    let last: HashMap<PiecePair, usize> = merges.iter().copied().zip(0..).collect();
    let is_last = |at: &usize| last[&merges[*at]] == *at;
    (0..merges.len()).filter(is_last).map(|at| merges[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(words: &[(&str, u64)], vocab_size: usize, continuation: Option<&str>) -> MergedPieces {
        let mut words: Vec<(String, u64)> = words
            .iter()
            .map(|(word, count)| ((*word).to_owned(), *count))
            .collect();
        words.sort();
        let options = MergeOptions {
            vocab_size,
            min_frequency: 2,
            special: &["<e>".to_owned()],
            alphabet: vec!['z'],
            continuation,
        };
        merge_pieces(&words, &options).unwrap()
    }

    #[test]
    fn pairs_are_merged_by_their_counts() {
        // By hand: `ab` stands 5 times, then `abc` (3), then nothing twice.
        let found = merged(&[("abc", 3), ("ab", 2), ("cd", 1)], 100, None);
        assert_eq!(found.pieces, ["<e>", "a", "b", "c", "d", "z", "ab", "abc"]);
        assert_eq!(found.merges, [(1, 2), (6, 3)]);
        let short = merged(&[("abc", 3), ("ab", 2), ("cd", 1)], 7, None);
        assert_eq!(short.pieces.len(), 7);
        let going_on = merged(&[("aba", 3), ("ba", 2)], 100, Some("##"));
        // `a`+`##b` 3 times and `##b`+`##a` 3 times: the smaller numbers first.
        assert_eq!(
            going_on.pieces,
            ["<e>", "a", "b", "z", "##a", "##b", "ab", "aba", "ba"]
        );
    }

    /// The algorithm as it is told: count all pairs anew each time, merge the most frequent.
    fn plainly(
        words: &[(String, u64)],
        pieces: &mut Vec<String>,
        mark: Option<&str>,
        size: usize,
    ) -> Vec<PiecePair> {
        let number =
            |pieces: &[String], piece: &str| pieces.iter().position(|other| other == piece).unwrap() as u32;
        let mut split: Vec<Vec<u32>> = Vec::new();
        for (word, _) in words {
            let parts = word.chars().enumerate().map(|(at, character)| match mark {
                Some(mark) if at > 0 => format!("{mark}{character}"),
                _ => character.to_string(),
            });
            split.push(parts.map(|part| number(pieces, &part)).collect());
        }
        let mut merges = Vec::new();
        while pieces.len() < size {
            let mut counts: BTreeMap<PiecePair, u64> = BTreeMap::new();
            for (parts, (_, count)) in split.iter().zip(words) {
                for pair in parts.windows(2) {
                    *counts.entry((pair[0], pair[1])).or_default() += count;
                }
            }
            let Some((&pair, _)) = counts
                .iter()
                .max_by_key(|(pair, count)| (**count, std::cmp::Reverse(**pair)))
            else {
                break;
            };
            let second = &pieces[pair.1 as usize];
            let second = mark.and_then(|mark| second.strip_prefix(mark)).unwrap_or(second);
            let piece = format!("{}{second}", pieces[pair.0 as usize]);
            if !pieces.contains(&piece) {
                pieces.push(piece.clone());
            }
            let merged = number(pieces, &piece);
            merges.push(pair);
            for parts in &mut split {
                let mut at = 0;
                while at + 1 < parts.len() {
                    if (parts[at], parts[at + 1]) == pair {
                        parts.splice(at..at + 2, [merged]);
                    }
                    at += 1;
                }
            }
        }
        merges
    }

    #[test]
    fn merges_are_those_of_the_plain_algorithm() {
        for seed in 0u64..40 {
            // Words of four letters, so that ties and runs are many.
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut next = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut words: BTreeMap<String, u64> = BTreeMap::new();
            for _ in 0..60 {
                let length = 1 + next(8);
                let word: String = (0..length)
                    .map(|_| ['a', 'b', 'c', 'é'][next(4) as usize])
                    .collect();
                *words.entry(word).or_default() += 1 + next(5);
            }
            let words: Vec<(String, u64)> = words.into_iter().collect();
            for mark in [None, Some("##")] {
                let options = |vocab_size| MergeOptions {
                    vocab_size,
                    min_frequency: 0,
                    special: &[],
                    alphabet: Vec::new(),
                    continuation: mark,
                };
                let mut pieces = merge_pieces(&words, &options(0)).unwrap().pieces;
                let found = merge_pieces(&words, &options(40)).unwrap();
                let merges = plainly(&words, &mut pieces, mark, 40);
                assert_eq!(found.pieces, pieces, "{seed}");
                assert_eq!(found.merges, last_of_each(&merges), "{seed}");
            }
        }
    }

    #[test]
    fn runs_of_one_piece_are_merged_from_the_left() {
        let mut symbols = vec![1, 1, 1, 2];
        let mut changes = Vec::new();
        merge_in(&mut symbols, (1, 1), 9, &mut changes);
        assert_eq!(symbols, [9, 1, 2]);
        assert_eq!(changes, [((1, 1), -1), ((9, 1), 1)]);
    }
}
