//! Generation beside transformers', whose values `tests/fixtures/generation.py` wrote; and what it does beyond that.

use candle_core::Device;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::models::{InputShape, KeyValueCache, Network, Pass, TokenBatch, build, formula};
use crate::random::{Purpose, Stream};
use crate::spec::{Generate, Model, Precision};

const VOCABULARY: usize = 61;

#[derive(Deserialize)]
struct Fixture {
    tokens: Vec<u32>,
    processed: Vec<ProcessedCase>,
    models: Vec<ModelCase>,
}

#[derive(Deserialize)]
struct ProcessedCase {
    options: Value,
    scores: Vec<Option<f32>>,
}

#[derive(Deserialize)]
struct ModelCase {
    class: String,
    texts: Vec<TextCase>,
}

#[derive(Deserialize)]
struct TextCase {
    way: Value,
    texts: Vec<ExpectedText>,
}

#[derive(Deserialize)]
struct ExpectedText {
    tokens: Vec<u32>,
    end: String,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../tests/fixtures/generation.json")).expect("valid")
}

fn network(model: Value) -> (Network, usize) {
    let context = model
        .as_object()
        .and_then(|model| model.values().next()?["context"].as_u64())
        .unwrap_or(64) as usize;
    let model: Model = serde_json::from_value(model).expect("valid");
    let input = InputShape::Tokens {
        vocabulary: VOCABULARY,
        length: context,
    };
    let network = build(&model, input, VOCABULARY, 0, &Device::Cpu).expect("fits");
    formula::fill(&network, |parameter, value| match parameter.var.rank() {
        1 => value,
        _ => 8.0 * value,
    });
    (network, context)
}

fn of_class(class: &str) -> (Network, usize) {
    let llama = |other: Value| {
        let mut options = json!({"layers": 2, "heads": 4, "kv_heads": 2, "width": 32, "ffn": 64, "context": 64, "tied": false});
        for (key, value) in other.as_object().expect("a mapping") {
            options[key] = value.clone();
        }
        network(json!({"llama": options}))
    };
    match class {
        "GPT2LMHeadModel" => network(json!({"gpt2": {"layers": 2, "heads": 4, "width": 32, "context": 40}})),
        "LlamaForCausalLM" => llama(json!({"tied": true})),
        "Qwen3ForCausalLM" => llama(json!({"variant": "qwen3", "head_width": 12})),
        _ => llama(json!({"variant": "mistral", "window": 5})),
    }
}

const CLASSES: [&str; 4] = [
    "GPT2LMHeadModel",
    "LlamaForCausalLM",
    "Qwen3ForCausalLM",
    "MistralForCausalLM",
];

/// The options of a stage with these fields.
fn options(fields: &Value) -> Generate {
    let mut options = json!({"model": "./m", "prompts": ["a"]});
    for (name, value) in fields.as_object().expect("a mapping") {
        match name.as_str() {
            "temperature" | "top_k" | "top_p" | "min_p" => options["sample"][name] = value.clone(),
            "ends" => {}
            _ => options[name] = value.clone(),
        }
    }
    serde_json::from_value(options).expect("valid")
}

fn rules(fields: &Value) -> GenerationRules {
    let ends = fields.get("ends").cloned().unwrap_or(json!([]));
    GenerationRules::of(&options(fields), serde_json::from_value(ends).expect("numbers"))
}

fn never(_: &[u32]) -> Result<bool, GenerationError> {
    Ok(false)
}

#[test]
fn scores_become_what_transformers_makes_of_them() {
    let fixture = fixture();
    assert_eq!(fixture.processed.len(), 13);
    for case in fixture.processed {
        let rules = rules(&case.options);
        let mut scores: Vec<f32> = (0..VOCABULARY)
            .map(|index| (formula::value("scores", index) * 100.0) as f32)
            .collect();
        constrain(&mut scores, &fixture.tokens, 3, &rules);
        if let Some(sample) = &rules.sample {
            narrow_choice(&mut scores, sample);
        }
        for (index, (own, expected)) in scores.iter().zip(&case.scores).enumerate() {
            let is_right = match expected {
                Some(expected) => (own - expected).abs() < 1e-5,
                None => *own == f32::NEG_INFINITY,
            };
            assert!(is_right, "{}: {own} for {expected:?} at {index}", case.options);
        }
    }
}

#[test]
fn the_lowest_temperatures_leave_the_likeliest() {
    for temperature in [1e-300, 1e-38, 1e-12] {
        let rules = rules(&json!({"tokens": 1, "temperature": temperature, "top_p": 0.9}));
        for largest in [90.0f32, 0.0, -90.0] {
            let mut scores = [largest - 1.0, largest, largest, f32::NEG_INFINITY];
            narrow_choice(&mut scores, rules.sample.as_ref().expect("it draws"));
            let left: Vec<bool> = scores.iter().map(|score| score.is_finite()).collect();
            assert_eq!(
                left,
                [false, true, true, false],
                "{temperature}, {largest}: {scores:?}"
            );
        }
    }
}

#[test]
fn texts_are_those_that_transformers_generates() {
    let fixture = fixture();
    for case in fixture.models {
        let (network, context) = of_class(&case.class);
        let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
        for text in case.texts {
            let (options, rules) = (options(&text.way), rules(&text.way));
            let started = Started::new(&decoder, &fixture.tokens, rules.tokens).expect("short");
            let own = match options.beams {
                Some(beams) => {
                    let (beams, count) = (beams.get() as usize, options.count.get() as usize);
                    search_beams(&started, &rules, beams, count, &mut never).expect("searched")
                }
                None => vec![continue_text(&started, &rules, (0, 0), &mut never).expect("chosen")],
            };
            assert_eq!(own.len(), text.texts.len());
            for (own, expected) in own.iter().zip(&text.texts) {
                let what = format!("{} {}", case.class, text.way);
                assert_eq!(
                    (own.end.name(), &own.tokens),
                    (expected.end.as_str(), &expected.tokens),
                    "{what}"
                );
            }
        }
    }
}

/// The scores behind each token of some samples.
fn uncached(network: &Network, samples: &[&[u32]]) -> Vec<Vec<f32>> {
    let mut offsets = vec![0];
    for sample in samples {
        offsets.push(offsets.last().unwrap_or(&0) + sample.len());
    }
    let batch = TokenBatch::ragged(&samples.concat(), &offsets, &Device::Cpu).expect("ascends");
    let output = network
        .forward_tokens(&batch, &Pass::evaluate(Precision::F32))
        .expect("fits");
    output
        .outputs(Precision::F32)
        .and_then(|rows| Ok(rows.to_vec2()?))
        .expect("rows")
}

fn assert_near(own: &[f32], expected: &[f32]) {
    let largest = expected
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    for (own, expected) in own.iter().zip(expected) {
        assert!(
            (own - expected).abs() <= 1e-6 * largest.max(1.0),
            "{own} for {expected}"
        );
    }
}

#[test]
fn what_is_kept_changes_nothing() {
    let long: Vec<u32> = (0..23).map(|place| place * 7 % VOCABULARY as u32).collect();
    let short: Vec<u32> = (0..11).map(|place| place * 5 % VOCABULARY as u32 + 1).collect();
    for class in CLASSES {
        let (network, context) = of_class(class);
        let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
        let expected = uncached(&network, &[&long, &short]);
        let mut cache = KeyValueCache::new(2, 24);
        let first = decoder
            .scores(&mut cache, &[&long[..12], &short[..3]])
            .expect("fits");
        assert_near(&first[0], &expected[11]);
        assert_near(&first[1], &expected[23 + 2]);
        assert_eq!(cache.lengths(), [12, 3]);
        // The two change places, and go on by one token and by several.
        let mut cache = cache.of_parents(&[1, 0]).expect("both are there");
        let second = decoder
            .scores(&mut cache, &[&short[3..8], &long[12..13]])
            .expect("fits");
        assert_near(&second[0], &expected[23 + 7]);
        assert_near(&second[1], &expected[12]);
        let third = decoder
            .scores(&mut cache, &[&short[8..], &long[13..]])
            .expect("fits");
        assert_near(&third[0], &expected[23 + 10]);
        assert_near(&third[1], &expected[22]);
    }
}

#[test]
fn a_text_is_a_function_of_seed_prompt_and_number() {
    let (network, context) = of_class("LlamaForCausalLM");
    let rules = rules(&json!({"tokens": 12, "temperature": 1.5, "top_k": 20}));
    let of = |prompt: &[u32], seed, number| {
        // Another decoder each time, so that nothing is left of others.
        let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
        let started = Started::new(&decoder, prompt, 12).expect("short");
        continue_text(&started, &rules, (seed, number), &mut never)
            .expect("drawn")
            .tokens
    };
    let text = of(&[3, 7, 9], 5, 2);
    assert_eq!(text.len(), 12);
    assert_ne!(text, of(&[3, 7, 9], 5, 1));
    assert_ne!(text, of(&[3, 7, 9], 6, 2));
    let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
    let started = Started::new(&decoder, &[3, 7, 9], 40).expect("short");
    let others = [0, 1, 2].map(|number| {
        continue_text(&started, &rules, (5, number), &mut never)
            .expect("drawn")
            .tokens
    });
    assert_eq!(others[2], text);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        assert_eq!(pool.install(|| of(&[3, 7, 9], 5, 2)), text);
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let mut scores = [0.1f32.ln(), 0.2f32.ln(), f32::NEG_INFINITY, 0.7f32.ln()];
    let mut counts = [0; 4];
    let mut stream = Stream::new(1, Purpose::Generate, 0, 0);
    for _ in 0..20_000 {
        counts[draw(&scores, &mut stream).expect("three are left") as usize] += 1;
    }
    // Four standard deviations.
    for (count, share) in counts.iter().zip([0.1f64, 0.2, 0.0, 0.7]) {
        let (expected, deviation) = (20_000.0 * share, (20_000.0 * share * (1.0 - share)).sqrt());
        assert!(
            (f64::from(*count) - expected).abs() <= 4.0 * deviation,
            "{counts:?}"
        );
    }
    scores.fill(f32::NEG_INFINITY);
    assert!(matches!(
        draw(&scores, &mut stream),
        Err(GenerationError::NothingLeft)
    ));
}

#[test]
fn texts_go_on_beyond_the_positions_and_end_where_they_should() {
    let (network, context) = of_class("GPT2LMHeadModel");
    let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
    let prompt: Vec<u32> = (0..36).collect();
    let started = Started::new(&decoder, &prompt, 10).expect("short");
    let text = continue_text(&started, &rules(&json!({"tokens": 10})), (0, 0), &mut never).expect("chosen");
    assert_eq!(text.tokens.len(), 10);
    let mut all = prompt.clone();
    for token in &text.tokens {
        let seen = &all[all.len().saturating_sub(context)..];
        let scores = uncached(&network, &[seen]).pop().expect("a row");
        let best = (0..VOCABULARY).max_by(|one, other| scores[*one].total_cmp(&scores[*other]));
        assert_eq!(best, Some(*token as usize));
        all.push(*token);
    }
    // By a token, and by what is written.
    let ends = json!({"tokens": 10, "ends": [text.tokens[3]]});
    let ended = continue_text(&started, &rules(&ends), (0, 0), &mut never).expect("chosen");
    let first = text
        .tokens
        .iter()
        .position(|token| *token == text.tokens[3])
        .expect("it is there");
    assert_eq!(
        (ended.tokens.as_slice(), ended.end),
        (&text.tokens[..first], GenerationEnd::Token)
    );
    let mut at_two = |tokens: &[u32]| Ok(tokens.len() == 2);
    let ended = continue_text(&started, &rules(&json!({"tokens": 10})), (0, 0), &mut at_two).expect("chosen");
    assert_eq!(
        (ended.tokens.as_slice(), ended.end),
        (&text.tokens[..2], GenerationEnd::Text)
    );
    let told =
        search_beams(&started, &rules(&json!({"tokens": 10})), 2, 1, &mut never).expect_err("too long");
    assert!(
        told.to_string()
            .contains("36 tokens and 10 behind it do not fit the model's 40 positions"),
        "{told}"
    );
    let told = |prompt: &[u32]| {
        Started::new(&decoder, prompt, 1)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert!(told(&[]).contains("without any token"));
    assert!(told(&[1; 41]).contains("41 tokens, and the model 40 positions"));
    let all: Vec<u32> = (0..VOCABULARY as u32).collect();
    let every = json!({"tokens": 3, "min_tokens": 2, "ends": all});
    let error = continue_text(&started, &rules(&every), (0, 0), &mut never).expect_err("nothing is left");
    assert!(matches!(error, GenerationError::NothingLeft));
}

#[test]
fn what_sees_all_tokens_cannot_go_on() {
    let model = json!({"bert": {"layers": 1, "heads": 2, "width": 8, "context": 16}});
    let (network, context) = network(model);
    let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
    let told = Started::new(&decoder, &[1, 2], 3)
        .err()
        .map(|error| error.to_string());
    assert!(
        told.unwrap_or_default()
            .contains("each of them sees those behind it")
    );
}

/// The text behind `prompt` when nothing else is asked for.
fn alone(
    network: &Network,
    context: usize,
    prompt: &[u32],
    rules: &GenerationRules,
    number: (u64, u32),
) -> GeneratedTokens {
    let decoder = Decoder::new(network, context, Precision::F32, &Device::Cpu);
    let started = Started::new(&decoder, prompt, rules.tokens).expect("short");
    continue_text(&started, rules, number, &mut never).expect("chosen")
}

#[test]
fn texts_that_come_and_go_are_those_that_they_are_alone() {
    let prompt = |key: u32| -> Vec<u32> {
        (0..1 + key * 5 % 13)
            .map(|place| (place * 7 + key) % 61)
            .collect()
    };
    let of = |key: u32| match key % 3 {
        0 => rules(&json!({"tokens": 9})),
        1 => rules(&json!({"tokens": 4 + key, "temperature": 2.0, "top_p": 0.95})),
        _ => rules(
            &json!({"tokens": 12, "temperature": 1.2, "top_k": 30, "repetition_penalty": 1.3, "ends": [5, 17]}),
        ),
    };
    for class in CLASSES {
        let (network, context) = of_class(class);
        for int8 in [false, true] {
            let decoder = || {
                let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
                if int8 {
                    decoder.with_int8_weights()
                } else {
                    decoder
                }
            };
            let expected: Vec<GeneratedTokens> = (0..8)
                .map(|key| {
                    let decoder = decoder();
                    let started = Started::new(&decoder, &prompt(key), of(key).tokens).expect("short");
                    continue_text(&started, &of(key), (9, key), &mut never).expect("chosen")
                })
                .collect();
            let decoder = decoder();
            // Not all of them at once.
            let mut running = RunningTexts::new(&decoder, 70);
            let mut found = vec![(Vec::new(), None); 8];
            let (mut next, mut most, mut steps) = (0, 0, 0);
            while next < 8 || !running.is_empty() {
                // Some join at once, others between later tokens.
                while next < 8 && (next < 3 || steps >= 2 * next) {
                    let key = next as u32;
                    let joined = running.join(key.into(), &prompt(key), &of(key), (9, key));
                    if !joined.expect("they fit") {
                        break;
                    }
                    next += 1;
                }
                most = most.max(running.len());
                for step in running.step().expect("it answers") {
                    let chosen = step.chosen.expect("chosen");
                    let (tokens, end) = &mut found[step.key as usize];
                    if chosen.end != Some(GenerationEnd::Token) {
                        tokens.push(chosen.token);
                    }
                    *end = chosen.end;
                }
                steps += 1;
            }
            assert!(most >= 3, "{most} at once");
            for (key, (tokens, end)) in found.into_iter().enumerate() {
                assert_eq!(tokens, expected[key].tokens, "{class} {key} {int8}");
                assert_eq!(end, Some(expected[key].end), "{class} {key} {int8}");
            }
        }
    }
}

#[test]
fn long_prompts_are_shown_in_pieces_while_others_go_on() {
    for (model, heads) in [
        ("gpt2", json!({})),
        ("llama", json!({"kv_heads": 1, "tied": true})),
    ] {
        let mut options = json!({"layers": 1, "heads": 2, "width": 16, "context": 640});
        for (name, value) in heads.as_object().expect("a mapping") {
            options[name] = value.clone();
        }
        let (network, context) = network(json!({ model: options }));
        let long: Vec<u32> = (0..600).map(|place| (place * place + 3) % 61).collect();
        let rules = rules(&json!({"tokens": 8, "temperature": 1.5}));
        let expected = [
            alone(&network, context, &[4, 2], &rules, (1, 0)),
            alone(&network, context, &long, &rules, (1, 1)),
        ];
        let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
        let mut running = RunningTexts::new(&decoder, 2000);
        assert!(running.join(0, &[4, 2], &rules, (1, 0)).expect("it fits"));
        assert!(running.join(1, &long, &rules, (1, 1)).expect("it fits"));
        let mut found = [Vec::new(), Vec::new()];
        while !running.is_empty() {
            let steps = running.step().expect("it answers");
            for step in steps {
                found[step.key as usize].push(step.chosen.expect("chosen").token);
                // The short one has begun before all of the long one was shown.
                assert!(step.key == 0 || found[0].len() > 1);
            }
        }
        assert_eq!(found, expected.map(|text| text.tokens), "{model}");
    }
}

#[test]
fn running_texts_leave_and_do_not_fit() {
    let (network, context) = of_class("LlamaForCausalLM");
    let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
    let rules = rules(&json!({"tokens": 10}));
    let mut running = RunningTexts::new(&decoder, 30);
    let join = |running: &mut RunningTexts<'_>, key: u64, tokens: usize| {
        running
            .join(key, &vec![1; tokens], &rules, (0, 0))
            .map_err(|error| error.to_string())
    };
    // Of the context's 64 positions the last token takes none.
    assert!(
        join(&mut running, 0, 56)
            .unwrap_err()
            .contains("56 tokens and 10 behind it do not fit")
    );
    assert!(join(&mut running, 0, 0).is_err());
    assert_eq!(join(&mut running, 0, 12), Ok(true));
    assert_eq!(join(&mut running, 1, 2), Ok(false));
    running.step().expect("it answers");
    running.leave(0);
    assert!(running.is_empty() && running.step().expect("nothing").is_empty());
    assert_eq!(join(&mut running, 1, 2), Ok(true));
    assert_eq!(running.len(), 1);
}

#[test]
fn texts_that_give_up_their_room_are_the_same_in_the_end() {
    for model in ["gpt2", "llama"] {
        let (network, context) =
            network(json!({ model: {"layers": 1, "heads": 2, "width": 16, "context": 640} }));
        let prompt =
            |key: u32| -> Vec<u32> { (0..90 + key * 7).map(|place| (place * 3 + key) % 61).collect() };
        let rules = rules(&json!({"tokens": 280, "temperature": 2.0}));
        let expected: Vec<GeneratedTokens> = (0..4)
            .map(|key| alone(&network, context, &prompt(key), &rules, (3, key)))
            .collect();
        let decoder = Decoder::new(&network, context, Precision::F32, &Device::Cpu);
        // Enough for three of them to begin, and for one to end.
        let mut running = RunningTexts::new(&decoder, 700);
        let mut found = vec![Vec::new(); 4];
        let (mut next, mut waited) = (0u32, 0);
        while next < 4 || !running.is_empty() {
            while next < 4
                && running
                    .join(next.into(), &prompt(next), &rules, (3, next))
                    .expect("it fits by itself")
            {
                next += 1;
            }
            waited += usize::from(running.len() > running.placed());
            for step in running.step().expect("it answers") {
                found[step.key as usize].push(step.chosen.expect("chosen").token);
            }
        }
        assert!(waited > 0, "nobody gave up");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, &expected.tokens, "{model}");
        }
    }
}
