//! All ways to divide a word into pieces, with the probability of each.

use std::collections::HashMap;

/// What an unknown character costs beside the least probable piece, as SentencePiece has it.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Pieces by their characters, with the logarithms of their probabilities.
pub(super) struct PieceTree {
    /// The node that a character leads to from a node.
    children: HashMap<(u32, char), u32>,
    /// The piece that ends at a node.
    ends: Vec<Option<u32>>,
    scores: Vec<f64>,
    unknown: f64,
}

impl PieceTree {
    /// The tree of `pieces`, the first of which stands for what is unknown.
    pub fn new(pieces: &[(String, f64)]) -> Self {
        let mut tree = Self {
            children: HashMap::new(),
            ends: vec![None],
            scores: pieces.iter().map(|(_, score)| *score).collect(),
            unknown: 0.0,
        };
        let mut least = f64::INFINITY;
        for (number, (piece, score)) in (0u32..).zip(pieces).skip(1) {
            let mut node = 0;
            for character in piece.chars() {
                // As many nodes as characters in memory: fewer than 2^32.
                let next = tree.ends.len() as u32;
                node = *tree.children.entry((node, character)).or_insert(next);
                if node == next {
                    tree.ends.push(None);
                }
            }
            tree.ends[node as usize] = Some(number);
            least = least.min(*score);
        }
        tree.unknown = least - UNKNOWN_PENALTY;
        tree
    }
}

/// A piece within a word.
#[derive(Clone, Copy)]
struct Stretch {
    piece: u32,
    begin: usize,
    end: usize,
    score: f64,
}

/// All pieces within a word.
pub(super) struct Lattice {
    /// Ordered by their begins, then their ends.
    stretches: Vec<Stretch>,
    /// The indices of those that end at each place, in order.
    ending: Vec<Vec<usize>>,
    length: usize,
}

impl Lattice {
    /// The pieces of `tree` within `word`; a character that is none by itself is unknown.
    pub fn new(tree: &PieceTree, word: &str) -> Self {
        let characters: Vec<char> = word.chars().collect();
        let mut lattice = Self {
            stretches: Vec::new(),
            ending: vec![Vec::new(); characters.len() + 1],
            length: characters.len(),
        };
        for begin in 0..characters.len() {
            let mut node = 0;
            let mut has_single = false;
            for (at, character) in characters.iter().enumerate().skip(begin) {
                let Some(next) = tree.children.get(&(node, *character)) else {
                    break;
                };
                node = *next;
                if let Some(piece) = tree.ends[node as usize] {
                    has_single |= at == begin;
                    lattice.push(piece, begin, at + 1, tree.scores[piece as usize]);
                }
            }
            if !has_single {
                lattice.push(0, begin, begin + 1, tree.unknown);
            }
        }
        lattice
    }

    fn push(&mut self, piece: u32, begin: usize, end: usize, score: f64) {
        self.ending[end].push(self.stretches.len());
        self.stretches.push(Stretch {
            piece,
            begin,
            end,
            score,
        });
    }

    /// The pieces of the most probable division, and its score; without the piece `but` where it is the whole word.
    pub fn best(&self, but: Option<u32>) -> Option<(Vec<u32>, f64)> {
        let mut best: Vec<Option<(f64, usize)>> = vec![None; self.length + 1];
        let score_at = |best: &[Option<(f64, usize)>], place: usize| match place {
            0 => Some(0.0),
            _ => best[place].map(|(score, _)| score),
        };
        for end in 1..=self.length {
            for &index in &self.ending[end] {
                let stretch = &self.stretches[index];
                let is_whole = stretch.begin == 0 && end == self.length;
                if is_whole && but == Some(stretch.piece) {
                    continue;
                }
                let Some(before) = score_at(&best, stretch.begin) else {
                    continue;
                };
                let score = before + stretch.score;
                if best[end].is_none_or(|(most, _)| score > most) {
                    best[end] = Some((score, index));
                }
            }
        }
        let total = score_at(&best, self.length)?;
        let mut pieces = Vec::new();
        let mut place = self.length;
        while place > 0 {
            let (_, index) = best[place]?;
            pieces.push(self.stretches[index].piece);
            place = self.stretches[index].begin;
        }
        pieces.reverse();
        Some((pieces, total))
    }

    /// Adds `count` times the expected number of each piece to `expected`; the logarithm of the word's probability.
    pub fn expect(&self, count: f64, expected: &mut [f64]) -> f64 {
        let mut before = vec![f64::NEG_INFINITY; self.length + 1];
        before[0] = 0.0;
        // Ordered by their begins, so that what leads to a place is known when something begins there.
        for stretch in &self.stretches {
            before[stretch.end] = log_sum(before[stretch.end], before[stretch.begin] + stretch.score);
        }
        let mut behind = vec![f64::NEG_INFINITY; self.length + 1];
        behind[self.length] = 0.0;
        for stretch in self.stretches.iter().rev() {
            behind[stretch.begin] = log_sum(behind[stretch.begin], behind[stretch.end] + stretch.score);
        }
        let total = before[self.length];
        for stretch in &self.stretches {
            let share = before[stretch.begin] + stretch.score + behind[stretch.end] - total;
            expected[stretch.piece as usize] += count * share.exp();
        }
        total
    }
}

/// `ln(exp(left) + exp(right))`.
fn log_sum(left: f64, right: f64) -> f64 {
    let (less, more) = if left < right {
        (left, right)
    } else {
        (right, left)
    };
    if less == f64::NEG_INFINITY {
        return more;
    }
    more + (less - more).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> PieceTree {
        let pieces = [("", f64::NAN), ("a", 0.2), ("b", 0.3), ("ab", 0.4), ("ba", 0.1)];
        let pieces: Vec<(String, f64)> = pieces
            .iter()
            .map(|(piece, p)| ((*piece).to_owned(), p.ln()))
            .collect();
        PieceTree::new(&pieces)
    }

    #[test]
    fn expectations_are_those_of_all_divisions() {
        // aba: a+b+a 0.012, ab+a 0.08, a+ba 0.02.
        let mut expected = vec![0.0; 5];
        let total = Lattice::new(&tree(), "aba").expect(2.0, &mut expected);
        assert!((total - 0.112f64.ln()).abs() < 1e-12, "{total}");
        let by_hand = [
            0.0,
            (2.0 * 0.012 + 0.08 + 0.02) / 0.112,
            0.012 / 0.112,
            0.08 / 0.112,
            0.02 / 0.112,
        ];
        for (found, wanted) in expected.iter().zip(by_hand) {
            assert!((found - 2.0 * wanted).abs() < 1e-12, "{expected:?}");
        }
    }

    #[test]
    fn the_best_division_is_found_with_and_without_the_whole() {
        let lattice = Lattice::new(&tree(), "aba");
        assert_eq!(lattice.best(None).unwrap().0, [3, 1]);
        let whole = Lattice::new(&tree(), "ab");
        assert_eq!(whole.best(None).unwrap().0, [3]);
        assert_eq!(whole.best(Some(3)).unwrap().0, [1, 2]);
        // What is unknown is one character.
        assert_eq!(Lattice::new(&tree(), "axb").best(None).unwrap().0, [1, 0, 2]);
    }
}
