//! The training of a unigram language model of pieces.
//!
//! Kudo, "Subword Regularization" (2018), as SentencePiece and the `tokenizers` crate (`models/unigram/trainer.rs` of
//! 0.23) do it: pieces that occur often are the seed; expectation and maximisation find their probabilities; those
//! that are missed least are left out, a quarter at a time. The crate adds up in the order of a hash table and by
//! thread, so that its scores differ in their last bits from run to run, and ties fall otherwise. Here words are in
//! order, and what is added up is added in bundles that do not depend on the number of threads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

use super::lattice::{Lattice, PieceTree};
use crate::tokenizer::error::TokenizerError;

/// How often expectation and maximisation are repeated before pieces are left out.
const ROUNDS: usize = 2;

/// What stays of the pieces each time.
const SHRINKING: f64 = 0.75;

/// Pieces that the search begins with, at most.
const SEED: usize = 1_000_000;

/// A piece that is expected more seldom is left out.
const LEAST_EXPECTED: f64 = 0.5;

/// Bundles that words are added up in.
const BUNDLES: usize = 32;

/// Stands between words where their substrings are looked for.
const BOUNDARY: char = '\0';

/// How pieces are found.
pub(super) struct UnigramSettings<'a> {
    /// The number of pieces, special tokens included.
    pub vocab_size: usize,
    /// The most characters of a piece.
    pub max_piece_length: usize,
    /// The first pieces.
    pub special: &'a [String],
}

/// A piece and the logarithm of its probability.
type ScoredPiece = (String, f64);

/// The pieces that make `words`, sorted and with their counts, most probable: the special tokens, then the others from
/// the most probable on.
///
/// # Errors
/// The vocabulary has no room for all characters.
pub(super) fn unigram_pieces(
    words: &[(String, u64)],
    settings: &UnigramSettings<'_>,
) -> Result<Vec<ScoredPiece>, TokenizerError> {
    let required: BTreeSet<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
    let room = settings.vocab_size.saturating_sub(settings.special.len());
    if required.len() > room {
        return Err(TokenizerError::Options(format!(
            "the documents have {} different characters, and `unigram.vocab_size` has room for {room} beside the {} \
             special tokens: make it {} or more, or normalise more",
            required.len(),
            settings.special.len(),
            required.len() + settings.special.len()
        )));
    }
    // The first one stands for what is unknown.
    let mut pieces = vec![(String::new(), f64::NAN)];
    pieces.extend(seed(words, settings.max_piece_length)?);
    let enough = settings.vocab_size * 11 / 10;
    loop {
        for _ in 0..ROUNDS {
            let expected = expectation(&PieceTree::new(&pieces), words, pieces.len());
            pieces = maximisation(pieces, &expected);
        }
        if pieces.len() <= enough {
            break;
        }
        let before = pieces.len();
        pieces = pruned(&pieces, words, enough);
        // What has no other division cannot be left out.
        if pieces.len() >= before {
            break;
        }
    }
    Ok(finished(&pieces, &required, settings, room))
}

/// The characters, and substrings of words that occur more than once, with how much of the words they make.
fn seed(words: &[(String, u64)], max_piece_length: usize) -> Result<Vec<ScoredPiece>, TokenizerError> {
    let mut flat = String::new();
    let mut characters: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        flat.push_str(word);
        flat.push(BOUNDARY);
        for character in word.chars().filter(|character| *character != BOUNDARY) {
            *characters.entry(character).or_default() += count;
        }
    }
    let suffixes = esaxx_rs::suffix_rs(&flat).map_err(|error| {
        TokenizerError::Options(format!("the words cannot be searched for pieces: {error:?}"))
    })?;
    let mut found: Vec<(u64, &[char])> = suffixes
        .iter()
        .filter(|(piece, _)| (2..=max_piece_length).contains(&piece.len()) && !piece.contains(&BOUNDARY))
        .map(|(piece, count)| (u64::from(count) * piece.len() as u64, piece))
        .collect();
    found.sort_unstable_by(|left, right| right.cmp(left));
    let mut single: Vec<(u64, char)> = characters
        .into_iter()
        .map(|(character, count)| (count, character))
        .collect();
    single.sort_unstable_by(|left, right| right.cmp(left));
    let singles = single
        .into_iter()
        .map(|(count, character)| (character.to_string(), count as f64));
    let longer = found
        .into_iter()
        .map(|(count, piece)| (piece.iter().collect(), count as f64));
    let mut pieces: Vec<ScoredPiece> = singles.chain(longer).take(SEED).collect();
    let total: f64 = pieces.iter().map(|(_, count)| count).sum();
    for (_, count) in &mut pieces {
        *count = count.ln() - total.ln();
    }
    Ok(pieces)
}

/// What `each` gives for the words of each bundle, in the bundles' order.
fn by_bundles<T: Send>(
    words: &[(String, u64)],
    each: impl Fn(&[(String, u64)], usize) -> T + Sync,
) -> Vec<T> {
    let size = words.len().div_ceil(BUNDLES).max(1);
    let bundles = words.par_chunks(size).enumerate();
    bundles
        .map(|(bundle, words)| each(words, bundle * size))
        .collect()
}

/// How often each piece is expected in the words.
fn expectation(tree: &PieceTree, words: &[(String, u64)], pieces: usize) -> Vec<f64> {
    let sums = by_bundles(words, |words, _| {
        let mut expected = vec![0.0; pieces];
        for (word, count) in words {
            Lattice::new(tree, word).expect(*count as f64, &mut expected);
        }
        expected
    });
    let mut expected = vec![0.0; pieces];
    for sum in sums {
        for (total, part) in expected.iter_mut().zip(sum) {
            *total += part;
        }
    }
    expected
}

/// The pieces that are expected, with new scores; a Dirichlet process is the prior, which prefers few of them.
fn maximisation(pieces: Vec<ScoredPiece>, expected: &[f64]) -> Vec<ScoredPiece> {
    let mut kept = Vec::with_capacity(pieces.len());
    let mut sum = 0.0;
    for (number, ((piece, _), expected)) in pieces.into_iter().zip(expected).enumerate() {
        if number == 0 {
            kept.push((piece, f64::NAN));
        } else if *expected >= LEAST_EXPECTED {
            sum += expected;
            kept.push((piece, *expected));
        }
    }
    let total = digamma(sum);
    for (_, score) in kept.iter_mut().skip(1) {
        *score = digamma(*score) - total;
    }
    kept
}

/// The pieces without those whose absence costs the words least.
fn pruned(pieces: &[ScoredPiece], words: &[(String, u64)], enough: usize) -> Vec<ScoredPiece> {
    let tree = PieceTree::new(pieces);
    // How each piece is divided where it is missing; nothing where it is not the best division of itself.
    let alternatives: Vec<Option<Vec<u32>>> = pieces
        .par_iter()
        .enumerate()
        .map(|(number, (piece, score))| {
            if number == 0 {
                return None;
            }
            // Pieces are numbered by 32 bits: there are at most a million.
            let lattice = Lattice::new(&tree, piece);
            match lattice.best(Some(number as u32)) {
                None => Some(Vec::new()),
                Some((others, other)) => (*score >= other).then_some(others),
            }
        })
        .collect();
    let counted = by_bundles(words, |words, _| {
        let mut frequencies = vec![0.0; pieces.len()];
        for (word, count) in words {
            let Some((best, _)) = Lattice::new(&tree, word).best(None) else {
                continue;
            };
            for piece in best {
                frequencies[piece as usize] += *count as f64;
            }
        }
        frequencies
    });
    let mut frequencies = vec![0.0; pieces.len()];
    for bundle in counted {
        for (total, part) in frequencies.iter_mut().zip(bundle) {
            *total += part;
        }
    }
    let all_words: f64 = words.iter().map(|(_, count)| *count as f64).sum();
    let sum: f64 = frequencies.iter().sum();
    let mut kept = vec![pieces[0].clone()];
    let mut candidates: Vec<(usize, f64)> = Vec::new();
    for (number, (piece, score)) in pieces.iter().enumerate().skip(1) {
        let frequency = frequencies[number];
        match &alternatives[number] {
            // Never used.
            None if frequency == 0.0 => {}
            None => kept.push((piece.clone(), *score)),
            Some(others) if others.is_empty() => kept.push((piece.clone(), *score)),
            Some(_) if frequency == 0.0 => {}
            Some(others) => {
                let share = frequency / all_words;
                let own = frequency.ln() - sum.ln();
                // By the derivation the number of `others` stands here. SentencePiece and the crate have that of all
                // pieces, which prefers frequent ones: kept, as it is what everyone's Unigram is trained by.
                let without = (sum + frequency * (pieces.len() as f64 - 1.0)).ln();
                let instead: f64 = others
                    .iter()
                    .map(|other| (frequencies[*other as usize] + frequency).ln() - without)
                    .sum();
                candidates.push((number, share * (own - instead)));
            }
        }
    }
    let size = enough.max((pieces.len() as f64 * SHRINKING) as usize);
    candidates.sort_by(|(first, left), (second, right)| right.total_cmp(left).then(first.cmp(second)));
    let room = size.saturating_sub(kept.len());
    kept.extend(
        candidates
            .into_iter()
            .take(room)
            .map(|(number, _)| pieces[number].clone()),
    );
    kept
}

/// The special tokens, all characters, and as many of the pieces as there is room for, the most probable first.
fn finished(
    pieces: &[ScoredPiece],
    required: &BTreeSet<char>,
    settings: &UnigramSettings<'_>,
    room: usize,
) -> Vec<ScoredPiece> {
    const STEP: f64 = 0.0001;
    let scores: HashMap<&str, f64> = pieces
        .iter()
        .skip(1)
        .map(|(piece, score)| (piece.as_str(), *score))
        .collect();
    let least = scores.values().copied().fold(f64::INFINITY, f64::min);
    let mut taken: HashSet<String> = settings.special.iter().cloned().collect();
    let mut chosen: Vec<ScoredPiece> = Vec::new();
    let mut penalty = 0.0;
    for character in required {
        let piece = character.to_string();
        if !taken.insert(piece.clone()) {
            continue;
        }
        let score = scores.get(piece.as_str()).copied().unwrap_or_else(|| {
            penalty += STEP;
            least + penalty - STEP
        });
        chosen.push((piece, score));
    }
    // In their own order: those that could not be missed, then those that are missed most.
    for (piece, score) in pieces.iter().skip(1) {
        if chosen.len() >= room {
            break;
        }
        if taken.insert(piece.clone()) {
            chosen.push((piece.clone(), *score));
        }
    }
    chosen.sort_by(|(first, left), (second, right)| right.total_cmp(left).then_with(|| first.cmp(second)));
    let special = settings.special.iter().map(|token| (token.clone(), 0.0));
    special.chain(chosen).collect()
}

/// The digamma function, by its asymptotic series from 7 on.
fn digamma(mut x: f64) -> f64 {
    let mut result = 0.0;
    while x < 7.0 {
        result -= 1.0 / x;
        x += 1.0;
    }
    x -= 0.5;
    let square = 1.0 / (x * x);
    result += x.ln() + square / 24.0 - 7.0 / 960.0 * square.powi(2) + 31.0 / 8064.0 * square.powi(3)
        - 127.0 / 30720.0 * square.powi(4);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_is_that_of_tables() {
        // Abramowitz and Stegun, table 6.1.
        for (x, wanted) in [
            (1.0, -0.577_215_664_9),
            (1.5, 0.036_489_974_0),
            (2.0, 0.422_784_335_1),
        ] {
            assert!((digamma(x) - wanted).abs() < 1e-9, "{x}: {}", digamma(x));
        }
    }

    #[test]
    fn too_small_a_vocabulary_is_refused() {
        let words = [("abc".to_owned(), 1)];
        let settings = UnigramSettings {
            vocab_size: 3,
            max_piece_length: 16,
            special: &["<unk>".to_owned()],
        };
        let error = unigram_pieces(&words, &settings).unwrap_err().to_string();
        assert!(
            error.contains("3 different characters") && error.contains("make it 4"),
            "{error}"
        );
    }
}
