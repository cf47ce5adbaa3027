//! Hiding tokens, as BERT has it (Devlin et al., 2019).

use super::rows::TokenSequence;
use crate::random::{Purpose, Stream};
use crate::schema::{NO_CLASS, TokenVocabulary};

/// The share of tokens that are hidden.
const HIDDEN: f64 = 0.15;

/// Of those the share that the mask stands for, and that with another token of the vocabulary; the rest stay.
const MASKED: f64 = 0.8;
const REPLACED: f64 = 0.1;

/// Hides tokens: 15 % of those without a meaning of their own, anew in each pass, and of a sequence of which none was
/// drawn one. 80 % of them become the mask, 10 % any token of the vocabulary, 10 % stay as they are.
#[derive(Clone, Debug)]
pub(super) struct Masking {
    vocabulary: u32,
    mask: u32,
    /// Tokens with a meaning of their own.
    special: Vec<u32>,
    seed: u64,
    /// What each piece begins and ends with.
    pub around: Option<[u32; 2]>,
}

impl Masking {
    /// For tokens of `vocabulary`; what is drawn follows from `seed`. An error says what the vocabulary lacks.
    pub fn new(vocabulary: &TokenVocabulary, seed: u64) -> Result<Self, String> {
        let roles = vocabulary.roles;
        let Some(mask) = roles.mask else {
            return Err(
                "the tokenizer has no token that hides others: give it one by `special: {mask: \"[MASK]\"}`"
                    .to_owned(),
            );
        };
        let special = [
            roles.pad, roles.unk, roles.bos, roles.eos, roles.cls, roles.sep, roles.mask,
        ];
        Ok(Self {
            vocabulary: vocabulary.size,
            mask,
            special: special.into_iter().flatten().collect(),
            seed,
            around: roles.cls.zip(roles.sep).map(|(cls, sep)| [cls, sep]),
        })
    }

    /// Hides some of the tokens `ids` of `sequence` in `pass`; appends what they were, or [`NO_CLASS`] for the others.
    pub fn hide(&self, pass: u32, sequence: &TokenSequence, ids: &mut [u32], targets: &mut Vec<u32>) {
        let mut stream = Stream::new(self.seed, Purpose::Masking, pass, sequence.key);
        let ordinary: Vec<bool> = ids.iter().map(|id| !self.special.contains(id)).collect();
        let mut hidden: Vec<bool> = ordinary
            .iter()
            .map(|is_ordinary| stream.bernoulli(HIDDEN) && *is_ordinary)
            .collect();
        if !hidden.contains(&true) {
            let places: Vec<usize> = (0..ids.len()).filter(|place| ordinary[*place]).collect();
            if let Ok(count @ 1..) = u32::try_from(places.len()) {
                hidden[places[stream.below(count) as usize]] = true;
            }
        }
        for (id, hidden) in ids.iter_mut().zip(hidden) {
            targets.push(if hidden { *id } else { NO_CLASS });
            if hidden {
                let draw = stream.uniform();
                let other = stream.below(self.vocabulary);
                if draw < MASKED {
                    *id = self.mask;
                } else if draw < MASKED + REPLACED {
                    *id = other;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TokenRoles;

    #[test]
    fn shares_are_those_of_bert() {
        let roles = TokenRoles {
            cls: Some(1),
            sep: Some(2),
            mask: Some(3),
            ..TokenRoles::default()
        };
        let vocabulary = TokenVocabulary {
            size: 1000,
            digest: String::new(),
            roles,
        };
        let masking = Masking::new(&vocabulary, 5).unwrap();
        assert_eq!(masking.around, Some([1, 2]));
        let sequence = TokenSequence {
            inputs: 0..200,
            targets: 0..0,
            key: 0,
        };
        let (mut hidden, mut masked, mut kept, mut other) = (0, 0, 0, 0);
        for key in 0..500 {
            let mut ids: Vec<u32> = (0..200)
                .map(|place| if place % 50 == 0 { 1 } else { 4 + place })
                .collect();
            let before = ids.clone();
            let mut targets = Vec::new();
            let sequence = TokenSequence {
                key,
                ..sequence.clone()
            };
            masking.hide(0, &sequence, &mut ids, &mut targets);
            let mut again = before.clone();
            let mut later = Vec::new();
            masking.hide(1, &sequence, &mut again, &mut later);
            assert_ne!(targets, later, "each pass hides others");
            for ((id, before), target) in ids.iter().zip(&before).zip(&targets) {
                if *target == NO_CLASS {
                    assert_eq!(id, before);
                    continue;
                }
                assert_eq!(target, before);
                assert_ne!(*before, 1, "special tokens stay");
                hidden += 1;
                match *id {
                    3 => masked += 1,
                    id if id == *before => kept += 1,
                    _ => other += 1,
                }
            }
        }
        let share = |count: i32, of: i32| f64::from(count) / f64::from(of);
        assert!((share(hidden, 500 * 196) - 0.15).abs() < 0.005, "{hidden}");
        assert!((share(masked, hidden) - 0.8).abs() < 0.01, "{masked} of {hidden}");
        assert!((share(kept, hidden) - 0.1).abs() < 0.01 && (share(other, hidden) - 0.1).abs() < 0.01);
        // A short sequence always has something to be learnt, unless it has special tokens alone.
        for key in 0..50 {
            let sequence = TokenSequence {
                key,
                ..sequence.clone()
            };
            let (mut short, mut none) = (vec![1, 9, 2], vec![1, 2]);
            let (mut targets, mut nothing) = (Vec::new(), Vec::new());
            masking.hide(0, &sequence, &mut short, &mut targets);
            masking.hide(0, &sequence, &mut none, &mut nothing);
            assert_eq!(
                (&targets[..], &nothing[..]),
                (&[NO_CLASS, 9, NO_CLASS][..], &[NO_CLASS; 2][..])
            );
        }
        let bare = TokenVocabulary {
            roles: TokenRoles::default(),
            ..vocabulary
        };
        assert!(Masking::new(&bare, 0).unwrap_err().contains("special: {mask"));
    }
}
