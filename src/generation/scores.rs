//! From a network's scores to the next token, in the order of Hugging Face's `generate`: repetition penalty, forbidden
//! repetitions, the least length; where tokens are drawn then temperature, top-k, top-p, min-p.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::error::GenerationError;
use super::rules::GenerationRules;
use crate::random::Stream;
use crate::spec::SampleOptions;

/// What a token that cannot be chosen has.
const NEVER: f32 = f32::NEG_INFINITY;

/// Changes the scores of the token behind `tokens` (the prompt, and `generated` tokens behind it).
pub fn constrain(scores: &mut [f32], tokens: &[u32], generated: usize, rules: &GenerationRules) {
    if let Some(penalty) = rules.repetition_penalty.filter(|penalty| *penalty != 1.0) {
        let penalty = penalty as f32;
        for token in tokens.iter().copied().collect::<BTreeSet<u32>>() {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score < 0.0 {
                    *score * penalty
                } else {
                    *score / penalty
                };
            }
        }
    }
    if let Some(length) = rules.no_repeat_ngram.filter(|length| *length <= tokens.len() + 1) {
        let last = &tokens[tokens.len() + 1 - length..];
        for window in tokens.windows(length) {
            if let Some((token, before)) = window.split_last()
                && before == last
                && let Some(score) = scores.get_mut(*token as usize)
            {
                *score = NEVER;
            }
        }
    }
    if generated < rules.min_tokens {
        for end in &rules.ends {
            if let Some(score) = scores.get_mut(*end as usize) {
                *score = NEVER;
            }
        }
    }
}

/// Divides the scores by the temperature, and leaves those tokens that may be drawn.
pub fn narrow_choice(scores: &mut [f32], options: &SampleOptions) {
    if let Some(temperature) = options.temperature {
        let temperature = temperature.get() as f32;
        let largest = scores.iter().copied().fold(NEVER, f32::max);
        // So low a temperature leaves the likeliest tokens alone, however large the quotients would be.
        match (largest / temperature).is_finite() {
            true => scores.iter_mut().for_each(|score| *score /= temperature),
            false => scores
                .iter_mut()
                .for_each(|score| *score = if *score == largest { 0.0 } else { NEVER }),
        }
    }
    if let Some(count) = options.top_k {
        let count = (count.get() as usize).min(scores.len());
        let mut sorted = scores.to_vec();
        let (_, kth, _) = sorted.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one));
        let kth = *kth;
        // Those that are equal to it stay.
        scores
            .iter_mut()
            .filter(|score| **score < kth)
            .for_each(|score| *score = NEVER);
    }
    if let Some(share) = options.top_p {
        let probabilities = probabilities(scores);
        let mut ascending: Vec<usize> = (0..scores.len()).collect();
        ascending.sort_unstable_by(|one, other| {
            let by_score = scores[*one].total_cmp(&scores[*other]);
            // Of equal ones the first of the vocabulary stay the longest.
            by_score.then_with(|| other.cmp(one))
        });
        let mut sum = 0.0;
        for index in ascending.iter().take(scores.len().saturating_sub(1)) {
            sum += probabilities[*index];
            if sum > 1.0 - share.get() {
                break;
            }
            scores[*index] = NEVER;
        }
    }
    if let Some(share) = options.min_p {
        let probabilities = probabilities(scores);
        let largest = probabilities.iter().copied().fold(0.0, f64::max);
        let least = share.get() * largest;
        let likeliest = largest_of(scores);
        for (index, score) in scores.iter_mut().enumerate() {
            if probabilities[index] < least && Some(index) != likeliest {
                *score = NEVER;
            }
        }
    }
}

/// The first of the largest.
pub(super) fn largest_of(scores: &[f32]) -> Option<usize> {
    let by_score = |one: &usize, other: &usize| {
        scores[*one]
            .total_cmp(&scores[*other])
            .then_with(|| other.cmp(one))
    };
    (0..scores.len()).max_by(by_score)
}

/// Draws a token by the probabilities that the scores give.
///
/// # Errors
/// No token may be drawn.
pub fn draw(scores: &[f32], stream: &mut Stream) -> Result<u32, GenerationError> {
    let probabilities = probabilities(scores);
    let drawn = stream.uniform();
    let mut sum = 0.0;
    let mut last = None;
    for (token, probability) in probabilities.iter().enumerate() {
        if *probability > 0.0 {
            sum += probability;
            last = Some(token);
            if drawn < sum {
                break;
            }
        }
    }
    // What rounding leaves over is the last one's.
    last.map(|token| token as u32).ok_or(GenerationError::NothingLeft)
}

/// The likeliest token, the first of several.
///
/// # Errors
/// No token may be chosen.
pub(super) fn likeliest(scores: &[f32]) -> Result<u32, GenerationError> {
    match largest_of(scores) {
        Some(token) if scores[token] > NEVER => Ok(token as u32),
        _ => Err(GenerationError::NothingLeft),
    }
}

/// Fails where a network's scores are not finite.
pub(super) fn check_finite(scores: &[f32]) -> Result<(), GenerationError> {
    match scores.iter().all(|score| score.is_finite()) {
        true => Ok(()),
        false => Err(GenerationError::NonFinite),
    }
}

/// The probabilities of all tokens; of those that cannot be chosen, and where none can, 0.
fn probabilities(scores: &[f32]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(NEVER, f32::max);
    if largest.partial_cmp(&NEVER) != Some(Ordering::Greater) {
        return vec![0.0; scores.len()];
    }
    let weights: Vec<f64> = scores
        .iter()
        .map(|score| (f64::from(*score) - f64::from(largest)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The logarithms of the probabilities that scores give.
pub(super) fn log_probabilities(scores: &[f32]) -> Vec<f32> {
    let largest = f64::from(scores.iter().copied().fold(NEVER, f32::max));
    let sum: f64 = scores
        .iter()
        .map(|score| (f64::from(*score) - largest).exp())
        .sum();
    let whole = largest + sum.ln();
    scores
        .iter()
        .map(|score| (f64::from(*score) - whole) as f32)
        .collect()
}
