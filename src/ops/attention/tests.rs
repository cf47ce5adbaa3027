use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::ops::round::round_in_place;
use crate::ops::testing::*;

/// The masks of as many samples as `sizes` has.
fn key(sizes: Heads) -> DropoutKey<'static> {
    DropoutKey {
        seed: 3,
        epoch: 4,
        samples: first_samples(sizes.batch),
        layer: 5,
    }
}

/// The definition, with `factors` `[N, heads, T, T]` on the weights.
fn naive(qkv: &[f64], sizes: Heads, factors: &[f32]) -> Vec<f64> {
    let Heads {
        batch,
        tokens,
        heads,
        width,
    } = sizes;
    let columns = heads * width;
    let at = |n: usize, token: usize, part: usize, column: usize| {
        qkv[((n * tokens + token) * 3 + part) * columns + column]
    };
    let mut y = vec![0.0; batch * tokens * columns];
    for n in 0..batch {
        for head in 0..heads {
            let own = head * width..(head + 1) * width;
            for query in 0..tokens {
                let scores: Vec<f64> = (0..tokens)
                    .map(|key| {
                        let product: f64 = own.clone().map(|c| at(n, query, 0, c) * at(n, key, 1, c)).sum();
                        (product / (width as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for (key, score) in scores.iter().enumerate() {
                    let factor = factors[((n * heads + head) * tokens + query) * tokens + key];
                    for column in own.clone() {
                        y[(n * tokens + query) * columns + column] +=
                            score / sum * f64::from(factor) * at(n, key, 2, column);
                    }
                }
            }
        }
    }
    y
}

/// The factors of all weights, as [`naive`] wants them.
fn all_factors(sizes: Heads, dropout: Option<(f64, DropoutKey<'_>)>) -> Vec<f32> {
    let mut factors = vec![1.0; sizes.count() * sizes.tokens * sizes.tokens];
    if let Some((probability, key)) = dropout {
        let dropout = WeightDropout::new(probability, key, sizes.heads * sizes.tokens);
        for (query, factors) in factors.chunks_exact_mut(sizes.tokens).enumerate() {
            dropout.factors(query, factors);
        }
    }
    factors
}

fn qkv(sizes: Heads) -> Var {
    random_var(&[sizes.batch, sizes.tokens, 3 * sizes.columns()], 1)
}

fn output_gradient(sizes: Heads) -> Vec<f32> {
    host(&random(&[sizes.batch, sizes.tokens, sizes.columns()], 2))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        batch in 1usize..4, tokens in 1usize..7, heads in 1usize..4, width in 1usize..5, drop in any::<bool>(),
    ) {
        let sizes = Heads { batch, tokens, heads, width };
        let dropout = drop.then_some((0.4, key(sizes)));
        let (x, weights) = (qkv(sizes), output_gradient(sizes));
        let factors = all_factors(sizes, dropout);
        let expected = naive(&host64(&x), sizes, &factors);
        let expected_gradient = differences(&host64(&x), |x| weighted(&naive(x, sizes, &factors), &weights));
        let own = attention(&x, heads, dropout, Precision::F32).expect("fits");
        let composed = composing(|| attention(&x, heads, dropout, Precision::F32)).expect("runs");
        for y in [own, composed] {
            prop_assert_eq!(y.dims(), &[batch, tokens, heads * width]);
            assert_close(&host(&y), &expected, 2e-6);
            assert_close(&gradient_of(&y, &weights, &x), &expected_gradient, 3e-6);
        }
    }
}

/// More tokens than a block of queries holds.
const LONG: Heads = Heads {
    batch: 2,
    tokens: 150,
    heads: 3,
    width: 8,
};

#[test]
fn blocks_of_queries_agree_with_the_composition() {
    for dropout in [None, Some((0.3, key(LONG)))] {
        for (precision, tolerance) in [
            (Precision::F32, 3e-6),
            (Precision::F16, 2e-3),
            (Precision::Bf16, 2e-2),
        ] {
            let (x, weights) = (qkv(LONG), output_gradient(LONG));
            let wide = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
            let own = attention(&x, LONG.heads, dropout, precision).expect("fits");
            let composed = composing(|| attention(&x, LONG.heads, dropout, precision)).expect("runs");
            assert_close(&host(&own), &wide(host(&composed)), tolerance);
            let expected = wide(gradient_of(&composed, &weights, &x));
            assert_close(&gradient_of(&own, &weights, &x), &expected, tolerance);
        }
    }
}

#[test]
fn threads_do_not_matter_and_results_are_of_the_format() {
    let (x, weights) = (qkv(LONG), output_gradient(LONG));
    for precision in [Precision::F32, Precision::Bf16] {
        let (y, gradient) = same_for_any_number_of_threads(|| {
            let y = attention(&x, LONG.heads, Some((0.3, key(LONG))), precision).expect("fits");
            (host(&y), gradient_of(&y, &weights, &x))
        });
        for values in [y, gradient] {
            let mut rounded = values.clone();
            round_in_place(&mut rounded, precision);
            assert_eq!(values, rounded);
        }
    }
}

#[test]
fn the_key_decides_which_weights_are_dropped() {
    let x = qkv(LONG);
    let run = |dropout| host(&attention(&x, LONG.heads, dropout, Precision::F32).expect("fits"));
    assert_eq!(run(Some((0.5, key(LONG)))), run(Some((0.5, key(LONG)))));
    assert_ne!(
        run(Some((0.5, key(LONG)))),
        run(Some((
            0.5,
            DropoutKey {
                epoch: 5,
                ..key(LONG)
            }
        )))
    );
    assert_eq!(run(Some((0.0, key(LONG)))), run(None));
    let factors = all_factors(LONG, Some((0.3, key(LONG))));
    let dropped = factors.iter().filter(|&&factor| factor == 0.0).count() as f64;
    assert!((dropped / factors.len() as f64 - 0.3).abs() < 0.005, "{dropped}");
    assert_ne!(factors[..150], factors[150..300]);
}

#[test]
fn large_products_do_not_overflow() {
    let x = (random(&[1, 5, 12], 1) * 1e4).expect("valid");
    let y = host(&attention(&x, 2, None, Precision::F32).expect("fits"));
    assert!(y.iter().all(|y| y.is_finite()), "{y:?}");
}

#[test]
fn misfits_are_told() {
    let told = |shape: &[usize], heads, dropout| {
        attention(&random(shape, 1), heads, dropout, Precision::F32)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        told(&[2, 4, 12], 3, None),
        "attention: 4 tokens of 12 columns (queries, keys and values) cannot be cut into 3 heads"
    );
    assert!(told(&[2, 4, 12], 0, None).contains("0 heads"));
    assert!(told(&[2, 12], 2, None).contains("[N, T, 3 * W]"));
    assert!(told(&[2, 4, 12], 2, Some((1.0, key(LONG)))).contains("not in [0, 1)"));
}
