//! A search for likely texts, as transformers 5 does it with a length penalty of 1 and without stopping early.

use super::error::GenerationError;
use super::rules::{GeneratedTokens, GenerationEnd, GenerationRules};
use super::scores::{constrain, log_probabilities};
use super::text::Started;

/// What takes a candidate out of the running, as transformers has it.
const OUT: f64 = 1e9;

/// A text in the running.
#[derive(Clone)]
struct Beam {
    tokens: Vec<u32>,
    /// The sum of its tokens' log probabilities.
    score: f64,
}

/// A text with one more token.
#[derive(Clone, Copy)]
struct BeamCandidate {
    parent: usize,
    token: u32,
    score: f64,
    end: Option<GenerationEnd>,
}

/// The likeliest `count` texts that are found with `beams` in the running at once, the best one first. After each
/// token, `is_over` is told those of a text so far, and says whether something in them ends it.
///
/// # Errors
/// As [`continue_text`](super::continue_text), and a text that would be longer than the network has positions for.
pub fn search_beams(
    started: &Started<'_>,
    rules: &GenerationRules,
    beams: usize,
    count: usize,
    is_over: &mut dyn FnMut(&[u32]) -> Result<bool, GenerationError>,
) -> Result<Vec<GeneratedTokens>, GenerationError> {
    let (decoder, prompt) = (started.decoder(), started.prompt());
    if prompt.len() + rules.tokens > decoder.context() + 1 {
        return Err(GenerationError::Prompt(format!(
            "a prompt of {} tokens and {} behind it do not fit the model's {} positions, and beams cannot go on beyond \
             them: make `tokens` smaller",
            prompt.len(),
            rules.tokens,
            decoder.context()
        )));
    }
    let first = Beam {
        tokens: Vec::new(),
        score: 0.0,
    };
    let mut running = vec![first];
    let mut scores = vec![started.scores().to_vec()];
    let mut cache = started.cache(1)?;
    let mut finished: Vec<(f64, GeneratedTokens)> = Vec::new();
    let mut improvable = true;
    // Enough that as many as there are beams go on, should all others end.
    let kept = (1 + rules.ends.len()).max(2) * beams;
    loop {
        let length = running[0].tokens.len() + 1;
        let mut best = candidates(&running, &mut scores, prompt, rules, kept);
        for candidate in &mut best {
            candidate.end = if rules.ends.contains(&candidate.token) {
                Some(GenerationEnd::Token)
            } else if is_over(&tokens_of(&running, candidate))? {
                Some(GenerationEnd::Text)
            } else if length >= rules.tokens {
                Some(GenerationEnd::Length)
            } else {
                None
            };
        }
        if best.is_empty() {
            return Err(GenerationError::NothingLeft);
        }
        // Only the best of them count as texts; the others are there to go on with.
        for candidate in best.iter().take(beams) {
            if let Some(end) = candidate.end.filter(|_| improvable) {
                let mut tokens = tokens_of(&running, candidate);
                if end == GenerationEnd::Token {
                    tokens.pop();
                }
                finished.push((candidate.score / length as f64, GeneratedTokens { tokens, end }));
            }
        }
        finished.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        finished.truncate(beams);

        let mut next = best.clone();
        for candidate in &mut next {
            if candidate.end.is_some() {
                candidate.score -= OUT;
            }
        }
        next.sort_by(|one, other| other.score.total_cmp(&one.score));
        next.truncate(beams);
        let worst = match finished.len() < beams {
            true => -OUT,
            false => finished.last().map_or(-OUT, |(score, _)| *score),
        };
        improvable &= next[0].score / length as f64 > worst;
        if !improvable || best.iter().all(|candidate| candidate.end.is_some()) {
            break;
        }
        let parents: Vec<usize> = next.iter().map(|candidate| candidate.parent).collect();
        running = next
            .iter()
            .map(|candidate| Beam {
                tokens: tokens_of(&running, candidate),
                score: candidate.score,
            })
            .collect();
        cache = cache.of_parents(&parents)?;
        let last: Vec<[u32; 1]> = next.iter().map(|candidate| [candidate.token]).collect();
        let last: Vec<&[u32]> = last.iter().map(<[u32; 1]>::as_slice).collect();
        scores = decoder.scores(&mut cache, &last)?;
    }
    Ok(finished.into_iter().take(count).map(|(_, text)| text).collect())
}

/// A candidate's tokens.
fn tokens_of(running: &[Beam], candidate: &BeamCandidate) -> Vec<u32> {
    let mut tokens = running[candidate.parent].tokens.clone();
    tokens.push(candidate.token);
    tokens
}

/// The best texts with one more token, the best one first; of equal ones the first beam's and the first token.
fn candidates(
    running: &[Beam],
    scores: &mut [Vec<f32>],
    prompt: &[u32],
    rules: &GenerationRules,
    kept: usize,
) -> Vec<BeamCandidate> {
    let mut all = Vec::new();
    for (parent, (beam, scores)) in running.iter().zip(scores).enumerate() {
        let mut log_probabilities = log_probabilities(scores);
        let tokens = [prompt, &beam.tokens].concat();
        constrain(&mut log_probabilities, &tokens, beam.tokens.len(), rules);
        let of_token = |(token, score): (usize, &f32)| BeamCandidate {
            parent,
            token: token as u32,
            score: beam.score + f64::from(*score),
            end: None,
        };
        all.extend(log_probabilities.iter().enumerate().map(of_token));
    }
    all.retain(|candidate| candidate.score > f64::NEG_INFINITY);
    let by_score = |one: &BeamCandidate, other: &BeamCandidate| {
        let places = |candidate: &BeamCandidate| (candidate.parent, candidate.token);
        other
            .score
            .total_cmp(&one.score)
            .then_with(|| places(one).cmp(&places(other)))
    };
    if all.len() > kept {
        all.select_nth_unstable_by(kept, by_score);
        all.truncate(kept);
    }
    all.sort_unstable_by(by_score);
    all
}
