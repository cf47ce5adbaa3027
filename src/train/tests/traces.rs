//! Networks of text beside Hugging Face's, step by step: initial weights and tokens are made by a formula, so
//! that logits, ten losses and ten gradient norms of a training by AdamW can be compared without files. The
//! reference was made with transformers 5.24 in f64 (its cross-entropy in f32); f32 differs by 5e-7 at most.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::models::{InputShape, Network, Pass, TextOutput, TokenBatch, build, formula};
use crate::ops::Tape;
use crate::ops::testing::host;
use crate::spec::{Model, Optimizer as OptimizerSpec, Precision};
use crate::train::gradients::{Gradients, clip_factor};
use crate::train::optimizer::{Optimizer, Optimizers, ParameterSettings};

/// Samples of a batch, tokens of a sample, and tokens to choose from.
const SAMPLES: usize = 4;
const TOKENS: usize = 16;
const VOCABULARY: usize = 61;

/// The tokens of a step, `[samples, tokens]`.
fn tokens(step: usize) -> Vec<u32> {
    let first = step * SAMPLES * TOKENS;
    (first..first + SAMPLES * TOKENS)
        .map(|place| formula::token(place, VOCABULARY))
        .collect()
}

fn network(model: Value, outputs: usize) -> Network {
    let model: Model = serde_json::from_value(model).expect("valid");
    let input = InputShape::Tokens {
        vocabulary: VOCABULARY,
        length: TOKENS,
    };
    let network = build(&model, input, outputs, 1, &Device::Cpu).expect("fits");
    formula::fill(&network, |_, value| value);
    network
}

pub(super) fn gpt2() -> Network {
    let options = json!({"layers": 2, "heads": 4, "width": 32, "context": 16});
    network(json!({ "gpt2": options }), VOCABULARY)
}

fn llama() -> Network {
    let options = json!({
        "layers": 2, "heads": 4, "kv_heads": 2, "width": 32, "ffn": 64, "tied": true, "epsilon": 1e-5,
    });
    network(json!({ "llama": options }), VOCABULARY)
}

pub(super) fn bert(variant: &str) -> Network {
    let options = json!({
        "variant": variant, "layers": 2, "heads": 4, "width": 32, "ffn": 64, "context": 16, "dropout": 0.0,
        "head_dropout": 0.0, "head": "classification",
    });
    network(json!({ "bert": options }), 3)
}

/// What a step is taken on.
pub(super) type StepBatch = (TokenBatch, Vec<Option<u32>>);

/// The next token of each, within samples of one length.
fn causal(ids: &[u32]) -> Vec<Option<u32>> {
    let next = |place: usize| (!(place + 1).is_multiple_of(TOKENS)).then(|| ids[place + 1]);
    (0..ids.len()).map(next).collect()
}

pub(super) fn language(step: usize) -> StepBatch {
    let ids = tokens(step);
    let batch = TokenBatch::equal(&ids, SAMPLES, &Device::Cpu).expect("whole samples");
    (batch, causal(&ids))
}

/// Samples of several lengths, with classes.
pub(super) fn classes(step: usize, with_types: bool) -> StepBatch {
    const LENGTHS: [usize; SAMPLES] = [16, 13, 9, 5];
    let batch = TokenBatch::padded(&tokens(step), &LENGTHS, &Device::Cpu).expect("fits");
    let types: Vec<u32> = LENGTHS
        .iter()
        .flat_map(|length| (0..*length).map(move |place| u32::from(place >= length / 2)))
        .collect();
    let batch = match with_types {
        true => batch.with_types(&types).expect("one a token"),
        false => batch,
    };
    let labels = (0..SAMPLES).map(|sample| Some(((step + sample) % 3) as u32));
    (batch, labels.collect())
}

const TRAIN: Pass<'static> = Pass {
    train: true,
    precision: Precision::F32,
    seed: 0,
    epoch: 0,
    samples: &[0, 1, 2, 3],
    sequences: None,
};

/// The loss of what a network gives, by targets and the number of them that count.
fn plain_loss(output: &TextOutput, targets: &[Option<u32>], counted: f64) -> Tensor {
    output.loss(targets, counted, Precision::F32).expect("fits")
}

/// The loss over all targets of some batches, and the sum of their gradients.
fn gradients(
    network: &Network,
    batches: &[StepBatch],
    loss_of: impl Fn(&TextOutput, &[Option<u32>], f64) -> Tensor,
) -> (f64, Gradients) {
    let counted = batches
        .iter()
        .flat_map(|(_, targets)| targets.iter().flatten())
        .count();
    let mut sums = Gradients::default();
    let mut total = 0.0;
    for (place, (batch, targets)) in (0..).zip(batches) {
        let (loss, tape) = Tape::record(|| {
            let output = network.forward_tokens(batch, &TRAIN).expect("fits");
            loss_of(&output, targets, counted as f64)
        });
        total += f64::from(loss.to_scalar::<f32>().expect("a scalar"));
        let found = tape.backward(&loss).expect("differentiable");
        sums.add(place, network.parameters(), found).expect("adds");
    }
    (total, sums)
}

/// The losses and gradient norms of ten steps with this weight decay.
pub(super) fn train(network: &Network, decay: f64, batch: impl Fn(usize) -> StepBatch) -> [Vec<f64>; 2] {
    train_by(network, decay, batch, plain_loss)
}

/// The same by another loss.
pub(super) fn train_by(
    network: &Network,
    decay: f64,
    batch: impl Fn(usize) -> StepBatch,
    loss_of: impl Fn(&TextOutput, &[Option<u32>], f64) -> Tensor,
) -> [Vec<f64>; 2] {
    let spec: OptimizerSpec =
        serde_json::from_value(json!({"adamw": {"lr": 1e-3, "weight_decay": 0.01}})).expect("valid");
    let settings: Vec<ParameterSettings> = network
        .parameters()
        .iter()
        .map(|parameter| ParameterSettings {
            frozen: parameter.frozen,
            lr_factor: 1.0,
            weight_decay: if parameter.decays { decay } else { 0.0 },
        })
        .collect();
    let rule = Optimizers::built_in().rule(&spec).expect("known");
    let mut optimizer = Optimizer::new(rule, network.parameters(), &settings);
    let mut found = [Vec::new(), Vec::new()];
    for step in 0..10 {
        let (loss, gradients) = gradients(network, &[batch(step)], &loss_of);
        let gradients = gradients.total().expect("adds");
        let norm = gradients.norm(1.0, None).expect("finite");
        let factor = clip_factor(norm, 1.0);
        optimizer
            .step(network.parameters(), gradients.sums(), 1e-3, factor, None)
            .expect("steps");
        found[0].push(loss);
        found[1].push(norm);
    }
    found
}

/// Fails unless the first logits, the losses and the gradient norms are those of the reference.
#[track_caller]
fn compare(
    network: &Network,
    batch: impl Fn(usize) -> StepBatch,
    logits: [f64; 4],
    losses: [f64; 10],
    norms: [f64; 10],
) {
    let (first, _) = batch(0);
    let evaluation = Pass::evaluate(Precision::F32);
    let output = network.forward_tokens(&first, &evaluation).expect("fits");
    let own = host(&output.outputs(Precision::F32).expect("fits"));
    for (own, expected) in own.iter().zip(logits) {
        assert!(
            (f64::from(*own) - expected).abs() < 1e-6,
            "logit {own} for {expected}"
        );
    }
    compare_steps(train(network, 0.01, batch), &losses, &norms);
}

/// Fails unless the losses and the gradient norms are those of the reference.
#[track_caller]
pub(super) fn compare_steps([own_losses, own_norms]: [Vec<f64>; 2], losses: &[f64], norms: &[f64]) {
    assert_eq!([losses.len(), norms.len()], [own_losses.len(), own_norms.len()]);
    for (step, (own, expected)) in own_losses.iter().zip(losses).enumerate() {
        assert!(
            (own - expected).abs() < 2e-6,
            "loss {own} for {expected} in step {step}"
        );
    }
    for (step, (own, expected)) in own_norms.iter().zip(norms).enumerate() {
        assert!(
            (own / expected - 1.0).abs() < 1e-5,
            "norm {own} for {expected} in step {step}"
        );
    }
}

#[test]
fn gpt2_learns_as_hugging_faces() {
    compare(
        &gpt2(),
        language,
        [-0.244912786, 0.296833172, -0.030166567, -0.096105580],
        [
            4.123245239,
            4.148354530,
            4.143152714,
            4.141592503,
            4.122682095,
            4.103835583,
            4.130371571,
            4.138123035,
            4.107283115,
            4.126394272,
        ],
        [
            1.3666314, 1.1566269, 1.2649859, 1.2155177, 1.1174229, 1.0794780, 1.0311054, 1.0321917,
            0.9971867, 0.8706640,
        ],
    );
}

#[test]
fn llama_learns_as_hugging_faces() {
    compare(
        &llama(),
        language,
        [0.118725324, -0.095842042, 0.072598383, 0.073647348],
        [
            4.115655899,
            4.125473976,
            4.114059925,
            4.159394264,
            4.109930992,
            4.141884327,
            4.111100674,
            4.136137962,
            4.142982483,
            4.138123989,
        ],
        [
            1.2310104, 1.1687539, 1.3207550, 1.2173475, 1.2007315, 1.1533416, 1.2487739, 1.2305161,
            1.2267996, 1.1313893,
        ],
    );
}

#[test]
fn bert_learns_classes_as_hugging_faces() {
    compare(
        &bert("bert"),
        |step| classes(step, true),
        [-0.048626791, 0.046577273, 0.044568094, -0.067456125],
        [
            1.106320145,
            1.093336923,
            1.098292413,
            1.112768239,
            1.096798141,
            1.093899458,
            1.112728814,
            1.093220973,
            1.100433215,
            1.110447862,
        ],
        [
            0.6034581, 0.4482948, 0.4371631, 0.4929800, 0.4649249, 0.4469660, 0.4979094, 0.4420027,
            0.4741722, 0.5036487,
        ],
    );
}

#[test]
fn distilbert_learns_classes_as_hugging_faces() {
    compare(
        &bert("distilbert"),
        |step| classes(step, false),
        [-0.016133611, 0.003184525, 0.012962601, -0.060392272],
        [
            1.096410022,
            1.094218319,
            1.101902695,
            1.098802168,
            1.097449361,
            1.095078407,
            1.109924451,
            1.102513766,
            1.093642647,
            1.118082559,
        ],
        [
            0.5318780, 0.4197852, 0.4052313, 0.4094893, 0.4268026, 0.4539093, 0.4523298, 0.4460294,
            0.4191159, 0.4824313,
        ],
    );
}

/// The loss of an evaluation.
fn loss(network: &Network, batch: &TokenBatch, targets: &[Option<u32>]) -> f64 {
    let output = network
        .forward_tokens(batch, &Pass::evaluate(Precision::F32))
        .expect("fits");
    let counted = targets.iter().flatten().count() as f64;
    let loss = output.loss(targets, counted, Precision::F32).expect("fits");
    f64::from(loss.to_scalar::<f32>().expect("a scalar"))
}

#[test]
fn packed_documents_do_not_see_each_other() {
    let network = llama();
    let ids = &tokens(0)[..TOKENS];
    let offsets = [0, 7, 11, 16];
    let joined = TokenBatch::equal(ids, 1, &Device::Cpu).expect("a whole sample");
    let apart = TokenBatch::ragged(ids, &offsets, &Device::Cpu).expect("ascends");
    let with_seams = causal(ids);
    let mut without = with_seams.clone();
    offsets[1..3].iter().for_each(|seam| without[seam - 1] = None);
    for (batch, targets, expected) in [
        (&joined, &with_seams, 4.123_845_10),
        (&apart, &with_seams, 4.127_985_00),
        (&apart, &without, 4.107_462_41),
    ] {
        let loss = loss(&network, batch, targets);
        assert!((loss - expected).abs() < 2e-6, "{loss} for {expected}");
    }
    // Each document alone has the losses that it has among others.
    let output = network
        .forward_tokens(&apart, &Pass::evaluate(Precision::F32))
        .expect("fits");
    let among = output.loss_per_row(&without, Precision::F32).expect("fits");
    for pair in offsets.windows(2) {
        let own = pair[0]..pair[1];
        let alone = TokenBatch::equal(&ids[own.clone()], 1, &Device::Cpu).expect("a whole sample");
        let output = network
            .forward_tokens(&alone, &Pass::evaluate(Precision::F32))
            .expect("fits");
        let losses = output
            .loss_per_row(&without[own.clone()], Precision::F32)
            .expect("fits");
        for (alone, among) in losses.iter().zip(&among[own]) {
            match (alone, among) {
                (Some(alone), Some(among)) => {
                    assert!((alone / among - 1.0).abs() < 1e-6, "{alone} for {among}");
                }
                (alone, among) => assert_eq!(alone, among),
            }
        }
    }
}

#[test]
fn micro_batches_weighted_by_tokens_equal_the_whole_batch() {
    // The rows of a step, the first with few targets.
    let ids = tokens(1);
    let rows = |network: &Network, rows: &[[usize; 2]]| {
        let batches: Vec<StepBatch> = rows
            .iter()
            .map(|[first, end]| {
                let places = first * TOKENS..end * TOKENS;
                let mut targets = causal(&ids);
                targets[..4].fill(None);
                let batch = TokenBatch::equal(&ids[places.clone()], end - first, &Device::Cpu);
                (batch.expect("whole samples"), targets[places].to_vec())
            })
            .collect();
        let (loss, gradients) = gradients(network, &batches, plain_loss);
        let gradients = gradients.total().expect("adds");
        (loss, gradients.norm(1.0, None).expect("finite"))
    };
    for network in [gpt2(), llama()] {
        let whole = rows(&network, &[[0, 2]]);
        let parts = rows(&network, &[[0, 1], [1, 2]]);
        assert!((parts.0 / whole.0 - 1.0).abs() < 1e-6, "{parts:?} for {whole:?}");
        assert!((parts.1 / whole.1 - 1.0).abs() < 1e-6, "{parts:?} for {whole:?}");
    }
}

#[test]
fn rows_without_padding_are_what_samples_of_one_length_are() {
    let (ids, device) = (tokens(0), Device::Cpu);
    for (network, targets) in [
        (gpt2(), causal(&ids)),
        (llama(), causal(&ids)),
        (bert("bert"), vec![Some(0), Some(1), Some(2), Some(0)]),
    ] {
        let equal = TokenBatch::equal(&ids, SAMPLES, &device).expect("whole samples");
        let ragged = TokenBatch::padded(&ids, &[TOKENS; SAMPLES], &device).expect("fits");
        let of = |batch: &TokenBatch| {
            let batches = [(batch.clone(), targets.clone())];
            let (loss, gradients) = gradients(&network, &batches, plain_loss);
            let sums = gradients.total().expect("adds");
            let sums: Vec<Vec<f32>> = sums.sums().iter().flatten().map(host).collect();
            (loss, sums)
        };
        assert_eq!(of(&equal), of(&ragged));
    }
}
