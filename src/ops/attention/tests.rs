use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::ops::round::round_in_place;
use crate::ops::sequences::SequenceSpan;
use crate::ops::testing::*;

/// What an attention is tried on: sequences among rows, heads, and who sees whom.
#[derive(Clone, Debug)]
struct Trial {
    sequences: Sequences,
    /// Rows of queries and of keys.
    rows: [usize; 2],
    heads: usize,
    group: usize,
    width: usize,
    causal: bool,
    window: Option<usize>,
    dropout: Option<f64>,
}

fn key(samples: usize) -> DropoutKey<'static> {
    DropoutKey {
        seed: 3,
        epoch: 4,
        samples: first_samples(samples),
        layer: 5,
    }
}

impl Trial {
    fn options(&self, precision: Precision) -> AttentionOptions<'_> {
        AttentionOptions {
            heads: self.heads,
            key_value_heads: self.heads / self.group,
            causal: self.causal,
            window: self.window,
            sequences: Some(&self.sequences),
            dropout: self
                .dropout
                .map(|probability| (probability, key(self.sequences.spans().len()))),
            precision,
        }
    }

    fn operands(&self) -> [Var; 3] {
        let [queries, keys] = self.rows;
        let kv = self.heads / self.group * self.width;
        [
            random_var(&[queries, self.heads * self.width], 1),
            random_var(&[keys, kv], 2),
            random_var(&[keys, kv], 3),
        ]
    }

    fn output_gradient(&self) -> Vec<f32> {
        host(&random(&[self.rows[0], self.heads * self.width], 4))
    }

    fn run(&self, operands: &[Var; 3], precision: Precision) -> Tensor {
        let [queries, keys, values] = operands.each_ref().map(|operand| operand.as_tensor());
        let operands = AttentionOperands::Apart {
            queries,
            keys,
            values,
        };
        attention(operands, &self.options(precision)).expect("fits")
    }

    /// The definition, query by query and key by key.
    fn naive(&self, [queries, keys, values]: [&[f64]; 3]) -> Vec<f64> {
        let (columns, kv) = (self.heads * self.width, self.heads / self.group * self.width);
        let dropout = WeightDropout::of(&self.options(Precision::F32)).expect("in range");
        let mut y = vec![0.0; self.rows[0] * columns];
        for (sequence, span) in self.sequences.spans().iter().enumerate() {
            let seen = span.keys.len();
            for head in 0..self.heads {
                let (own, shared) = (head * self.width, head / self.group * self.width);
                for query in 0..span.queries.len() {
                    let row = span.queries.start + query;
                    let place = seen - span.queries.len() + query;
                    let mut factors = vec![1.0; seen];
                    if let Some(dropout) = &dropout {
                        dropout.factors((sequence, span), head, query, 0..seen, &mut factors);
                    }
                    let visible = |key: usize| {
                        (!self.causal || key <= place)
                            && self.window.is_none_or(|window| key.abs_diff(place) < window)
                    };
                    let score = |key: usize| -> f64 {
                        let row_of_key = span.keys.start + key;
                        let product: f64 = (0..self.width)
                            .map(|c| queries[row * columns + own + c] * keys[row_of_key * kv + shared + c])
                            .sum();
                        (product / (self.width as f64).sqrt()).exp()
                    };
                    let scores: Vec<f64> = (0..seen)
                        .map(|key| if visible(key) { score(key) } else { 0.0 })
                        .collect();
                    let sum: f64 = scores.iter().sum();
                    for (key, score) in scores.iter().enumerate().filter(|(_, score)| **score > 0.0) {
                        for c in 0..self.width {
                            y[row * columns + own + c] += score / sum
                                * f64::from(factors[key])
                                * values[(span.keys.start + key) * kv + shared + c];
                        }
                    }
                }
            }
        }
        y
    }
}

fn trials() -> impl Strategy<Value = Trial> {
    let lengths = proptest::collection::vec((0usize..7, 0usize..3, 0usize..3), 1..4);
    let shape = (lengths, 1usize..3, 1usize..3, 1usize..5);
    (
        shape,
        any::<bool>(),
        proptest::option::of(1usize..5),
        any::<bool>(),
    )
        .prop_map(|((lengths, groups, group, width), causal, window, drop)| {
            // Queries with rows between them that belong to nobody, and earlier keys before their own.
            let (mut spans, mut rows) = (Vec::new(), [0, 0]);
            for (index, (asked, earlier, gap)) in lengths.into_iter().enumerate() {
                // One query at least, or nothing depends on anything.
                let asked = if index == 0 { asked.max(1) } else { asked };
                let queries = rows[0]..rows[0] + asked;
                let keys = rows[1]..rows[1] + earlier + asked;
                rows = [queries.end + gap, keys.end + gap];
                spans.push(SequenceSpan { queries, keys });
            }
            Trial {
                sequences: Sequences::of_spans(spans).expect("in order"),
                rows: rows.map(|rows| rows.max(1)),
                heads: groups * group,
                group,
                width,
                causal,
                window,
                dropout: drop.then_some(0.4),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(trial in trials()) {
        let operands = trial.operands();
        let weights = trial.output_gradient();
        let wide = operands.each_ref().map(|operand| host64(operand));
        let value = |part: usize, changed: &[f64]| {
            let mut parts = wide.each_ref().map(Vec::as_slice);
            parts[part] = changed;
            trial.naive(parts)
        };
        let expected = value(0, &wide[0]);
        for y in [trial.run(&operands, Precision::F32), composing(|| trial.run(&operands, Precision::F32))] {
            prop_assert_eq!(y.dims(), operands[0].dims());
            assert_close(&host(&y), &expected, 2e-6);
            let variables: Vec<&Var> = operands.iter().collect();
            let actual = gradients_of(&y, &weights, &variables).concat();
            let expected = [0, 1, 2].map(|part| {
                differences(&wide[part], |part_of| weighted(&value(part, part_of), &weights))
            });
            // All together: a query that sees one key has no gradient but what rounding leaves.
            assert_close(&actual, &expected.concat(), 4e-6);
        }
    }
}

/// Sequences of several blocks of queries and of keys, with shares of the queries' gradient.
fn long(causal: bool, window: Option<usize>, dropout: Option<f64>) -> Trial {
    let lengths = [1040, 3, 150];
    let offsets = [0, lengths[0], lengths[0] + lengths[1], lengths.iter().sum()];
    Trial {
        sequences: Sequences::from_offsets(&offsets).expect("ascends"),
        rows: [offsets[3]; 2],
        heads: 2,
        group: 2,
        width: 5,
        causal,
        window,
        dropout,
    }
}

#[test]
fn blocks_agree_with_the_composition() {
    for trial in [
        long(true, None, None),
        long(false, None, Some(0.3)),
        long(true, Some(70), Some(0.3)),
    ] {
        let operands = trial.operands();
        let variables: Vec<&Var> = operands.iter().collect();
        let weights = trial.output_gradient();
        for (precision, tolerance) in [
            (Precision::F32, 1e-5),
            (Precision::F16, 4e-3),
            (Precision::Bf16, 3e-2),
        ] {
            let wide = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
            let own = trial.run(&operands, precision);
            let composed = composing(|| trial.run(&operands, precision));
            assert_close(&host(&own), &wide(host(&composed)), tolerance);
            let expected = gradients_of(&composed, &weights, &variables);
            for (actual, expected) in gradients_of(&own, &weights, &variables).iter().zip(expected) {
                assert_close(actual, &wide(expected), tolerance);
            }
        }
    }
}

#[test]
fn threads_do_not_matter_and_results_are_of_the_format() {
    let trial = long(true, None, Some(0.3));
    let operands = trial.operands();
    let variables: Vec<&Var> = operands.iter().collect();
    for precision in [Precision::F32, Precision::Bf16] {
        let (y, gradients) = same_for_any_number_of_threads(|| {
            let y = trial.run(&operands, precision);
            let gradients = gradients_of(&y, &trial.output_gradient(), &variables);
            // A second walk through the same pass finds the same.
            assert_eq!(gradients, gradients_of(&y, &trial.output_gradient(), &variables));
            (host(&y), gradients)
        });
        for values in gradients.into_iter().chain([y]) {
            let mut rounded = values.clone();
            round_in_place(&mut rounded, precision);
            assert_eq!(values, rounded);
        }
    }
}

/// Samples of one length, side by side, as `[N, T, 3 * W]`.
fn samples(dropout: Option<(f64, DropoutKey<'static>)>, qkv: &Tensor) -> Tensor {
    let options = AttentionOptions {
        dropout,
        ..AttentionOptions::full(3, Precision::F32)
    };
    attention(AttentionOperands::SideBySide(qkv), &options).expect("fits")
}

#[test]
fn samples_side_by_side_are_sequences_apart() {
    let qkv = random_var(&[2, 150, 72], 1);
    let dropout = Some((0.3, key(2)));
    let y = samples(dropout, &qkv);
    let sequences = Sequences::equal(2, 150);
    let part = |part: usize| {
        let rows = qkv
            .as_tensor()
            .reshape((300, 72))
            .and_then(|rows| rows.narrow(1, part * 24, 24));
        rows.and_then(|rows| rows.contiguous()).expect("valid")
    };
    let (queries, keys, values) = (part(0), part(1), part(2));
    let options = AttentionOptions {
        sequences: Some(&sequences),
        dropout,
        ..AttentionOptions::full(3, Precision::F32)
    };
    let apart = AttentionOperands::Apart {
        queries: &queries,
        keys: &keys,
        values: &values,
    };
    let other = attention(apart, &options).expect("fits");
    assert_eq!(host(&y), host(&other));
    let weights = host(&random(&[300, 24], 2));
    let gradient = gradient_of(&y.reshape((300, 24)).expect("valid"), &weights, &qkv);
    assert_eq!(gradient, gradient_of(&other, &weights, &qkv));
}

#[test]
fn a_sequence_has_one_result_whatever_stands_beside_it() {
    let trial = long(true, None, Some(0.3));
    let operands = trial.operands();
    let all = host(&trial.run(&operands, Precision::F32));
    let last = 1043..1193;
    let rows = operands
        .each_ref()
        .map(|operand| operand.narrow(0, last.start, last.len()).expect("inside"));
    let sequences = Sequences::from_offsets(&[0, last.len()]).expect("ascends");
    let samples = &first_samples(3)[2..];
    let options = AttentionOptions {
        sequences: Some(&sequences),
        dropout: Some((0.3, DropoutKey { samples, ..key(1) })),
        ..trial.options(Precision::F32)
    };
    let [queries, keys, values] = &rows;
    let alone = attention(
        AttentionOperands::Apart {
            queries,
            keys,
            values,
        },
        &options,
    )
    .expect("fits");
    assert_eq!(host(&alone), all[last.start * trial.heads * trial.width..]);
}

#[test]
fn rows_that_see_nothing_are_0_and_so_is_their_gradient() {
    let sequences = Sequences::padded(&[2, 0], 4).expect("fits");
    let qkv = random_var(&[8, 12], 1);
    let options = AttentionOptions {
        sequences: Some(&sequences),
        ..AttentionOptions::full(2, Precision::F32)
    };
    let run = || attention(AttentionOperands::SideBySide(&qkv), &options).expect("fits");
    for y in [run(), composing(run)] {
        assert!(host(&y)[8..].iter().all(|value| *value == 0.0));
        let gradient = gradient_of(&y, &[1.0; 32], &qkv);
        assert!(gradient[24..].iter().all(|value| *value == 0.0), "{gradient:?}");
        assert!(gradient[..24].iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_key_decides_which_weights_are_dropped() {
    let x = random(&[2, 150, 72], 1);
    let run = |dropout| host(&samples(dropout, &x));
    assert_eq!(run(Some((0.5, key(2)))), run(Some((0.5, key(2)))));
    let other = DropoutKey { epoch: 5, ..key(2) };
    assert_ne!(run(Some((0.5, key(2)))), run(Some((0.5, other))));
    assert_eq!(run(Some((0.0, key(2)))), run(None));
    let options = AttentionOptions {
        dropout: Some((0.3, key(2))),
        ..AttentionOptions::full(3, Precision::F32)
    };
    let dropout = WeightDropout::of(&options).expect("in range").expect("drops");
    let span = SequenceSpan {
        queries: 0..150,
        keys: 0..150,
    };
    let mut factors = vec![0.0; 150 * 150];
    for (query, factors) in factors.chunks_exact_mut(150).enumerate() {
        dropout.factors((1, &span), 2, query, 0..150, factors);
        // A part of a row is drawn as in the whole.
        let mut part = [0.0; 30];
        dropout.factors((1, &span), 2, query, 64..94, &mut part);
        assert_eq!(part, factors[64..94]);
    }
    let dropped = factors.iter().filter(|&&factor| factor == 0.0).count() as f64;
    assert!((dropped / factors.len() as f64 - 0.3).abs() < 0.02, "{dropped}");
    assert_ne!(factors[..150], factors[150..300]);
}

#[test]
fn large_products_do_not_overflow() {
    let x = (random(&[1, 5, 72], 1) * 1e4).expect("valid");
    let y = host(&samples(None, &x));
    assert!(y.iter().all(|y| y.is_finite()), "{y:?}");
}

#[test]
fn misfits_are_told() {
    let told = |shape: &[usize], options: &AttentionOptions| {
        attention(AttentionOperands::SideBySide(&random(shape, 1)), options)
            .expect_err("refused")
            .to_string()
    };
    let full = |heads| AttentionOptions::full(heads, Precision::F32);
    assert_eq!(
        told(&[2, 4, 12], &full(3)),
        "attention: 4 tokens of 12 columns (queries, keys and values) cannot be cut into 3 heads"
    );
    assert!(told(&[2, 4, 12], &full(0)).contains("0 heads"));
    assert!(told(&[2, 12], &full(2)).contains("[N, T, columns]"));
    let dropout = |probability, samples| AttentionOptions {
        dropout: Some((probability, key(samples))),
        ..full(2)
    };
    assert!(told(&[2, 4, 12], &dropout(1.0, 2)).contains("not in [0, 1)"));
    assert!(told(&[2, 4, 12], &dropout(0.5, 3)).contains("2 sequences for 3 samples"));
    let shared = AttentionOptions {
        key_value_heads: 2,
        ..full(3)
    };
    assert!(told(&[2, 4, 14], &shared).contains("2 heads of keys and values cannot serve 3"));
    let blind = AttentionOptions {
        window: Some(0),
        ..full(2)
    };
    assert!(told(&[2, 4, 12], &blind).contains("window of 0"));
    let sequences = Sequences::equal(2, 3);
    let outside = AttentionOptions {
        sequences: Some(&sequences),
        ..full(2)
    };
    assert!(told(&[5, 12], &outside).contains("end at row 6"));
    let apart = AttentionOperands::Apart {
        queries: &random(&[2, 4, 12], 1),
        keys: &random(&[2, 5, 12], 1),
        values: &random(&[2, 5, 12], 1),
    };
    let error = attention(apart, &full(2)).expect_err("they differ").to_string();
    assert!(error.contains("do not fit each other"), "{error}");
}
