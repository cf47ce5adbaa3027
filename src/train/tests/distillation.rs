//! Learning from other models.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::super::tensor_file::{HostTensor, NamedTensors};
use super::super::testing::{Bench, recipe, write_dataset};
use super::super::*;
use super::assert_same;
use crate::data::text_testing::{TinyTarget, TinyText};
use crate::models::Pass;
use crate::random::{Purpose, Stream};
use crate::schema::InputShape;
use crate::spec::SplitName::{self, Train, Val};

/// A recipe that changes nothing about the weights that it begins with.
fn still(changes: Value) -> Value {
    with(
        json!({"epochs": 1, "optimizer": {"sgd": {"lr": 1e-30}}, "model": {"mlp": {"hidden": []}}}),
        changes,
    )
}

fn with(mut all: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().expect("a map") {
        all[key] = value.clone();
    }
    all
}

/// Keeps a model in the folder `name` of the bench.
fn keep(bench: &Bench, trained: &Trained, name: &str) -> PathBuf {
    let folder = bench.folder.path().join(name);
    fs::create_dir_all(&folder).expect("writable");
    write_weights(&folder, &trained.weights).expect("writable");
    write_json(&folder.join(CARD_FILE), &trained.card).expect("writable");
    folder
}

/// A linear model's weights in a folder, and what a recipe says to begin with them.
fn linear(bench: &mut Bench, outputs: usize, weight: &[f32], bias: &[f32], name: &str) {
    let folder = bench.folder.path().join(name);
    fs::create_dir_all(&folder).expect("writable");
    let columns = weight.len() / outputs;
    let tensors = NamedTensors::from([
        (
            "0.weight".to_owned(),
            HostTensor::from_f32(vec![outputs, columns], weight),
        ),
        ("0.bias".to_owned(), HostTensor::from_f32(vec![outputs], bias)),
    ]);
    write_weights(&folder, &tensors).expect("writable");
    bench.init = Some(folder);
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).expect("numbers")
}

/// Made by `tests/fixtures/distillation.py`.
#[test]
fn whole_losses_and_what_is_learnt_are_those_of_pytorch() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/distillation.json")).expect("JSON");
    let rows: Vec<Vec<f64>> = serde_json::from_value(fixture["samples"].clone()).expect("numbers");
    let labels: Vec<usize> = serde_json::from_value(fixture["labels"].clone()).expect("numbers");
    let numbers: Vec<[f64; 2]> = serde_json::from_value(fixture["numbers"].clone()).expect("numbers");
    let mut table = String::from("a,b,c,d,class,y,z\n");
    for ((row, label), [y, z]) in rows.iter().zip(labels).zip(numbers) {
        let [a, b, c, d] = row[..] else {
            panic!("four columns")
        };
        writeln!(table, "{a},{b},{c},{d},{},{y},{z}", ["ant", "bee", "cat"][label]).expect("text");
    }
    let cases = fixture["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let is_numbers = case["name"] == "numbers";
        let format = match is_numbers {
            true => json!({"label": ["y", "z"], "task": "regression", "ignore": ["class"]}),
            false => json!({"label": "class", "ignore": ["y", "z"]}),
        };
        let mut bench = Bench::csv(&table, format, json!({}));
        let outputs = if is_numbers { 2 } else { 3 };
        let init = json!({"from": "./begin"});
        let teachers = case["teachers"].as_array().expect("a list").iter().enumerate();
        let teachers = teachers.map(|(index, teacher)| {
            let (weight, bias) = (floats(&teacher["weight"]), floats(&teacher["bias"]));
            linear(&mut bench, outputs, &weight, &bias, "begin");
            let changes = json!({"init": init, "normalize": teacher["normalize"]});
            let trained = bench.train(&recipe(still(changes))).expect("trains");
            keep(&bench, &trained, &format!("teacher-{index}"))
        });
        bench.teachers = teachers.collect::<Vec<_>>();
        let (weight, bias) = (
            floats(&case["student"]["weight"]),
            floats(&case["student"]["bias"]),
        );
        linear(&mut bench, outputs, &weight, &bias, "begin");
        let names: Vec<String> = (0..bench.teachers.len())
            .map(|index| format!("./t{index}"))
            .collect();
        let mut changes = json!({
            "init": init, "epochs": fixture["steps"], "optimizer": {"sgd": {"lr": fixture["lr"]}},
            "model": {"mlp": {"hidden": []}}, "distill": with(json!({"teacher": names}), case["distill"].clone()),
            "normalize": {"mean": [0, 0, 0, 0], "std": [1, 1, 1, 1]},
            // Three micro-batches a step, of three samples, three and one.
            "batch_size": 3, "accumulate": 3,
        });
        if is_numbers {
            changes["standardize_targets"] = json!(false);
        }
        if let Some(loss) = case.get("loss") {
            changes["loss"] = loss.clone();
        }
        let trained = bench.train(&recipe(changes)).expect("trains");
        let near = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() <= 2e-5 * expected.abs().max(1.0),
                "{}: {found} {expected}",
                case["name"]
            );
        };
        let losses: Vec<f64> = serde_json::from_value(case["losses"].clone()).expect("numbers");
        assert_eq!(trained.history.len(), losses.len());
        for (row, expected) in trained.history.iter().zip(losses) {
            near(row.train_loss.0, expected);
        }
        for part in ["weight", "bias"] {
            let found = trained.weights[&format!("0.{part}")].to_f32().expect("f32");
            for (found, expected) in found.iter().zip(floats(&case["after"][part])) {
                near(f64::from(*found), f64::from(expected));
            }
        }
    }
}

/// The outputs of the model in `folder` for rows as they are before normalisation, in the targets' own units.
fn says(folder: &Path, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let model = TrainedModel::load(folder, &Device::Cpu, &Components::built_in()).expect("a model");
    let normalization = &model.card.normalization;
    let values: Vec<f32> = rows
        .iter()
        .flat_map(|row| {
            let moments = normalization.mean.iter().zip(&normalization.std);
            row.iter().zip(moments).map(|(x, (mean, std))| (x - mean) / std)
        })
        .collect();
    let batch = Tensor::from_vec(values, (rows.len(), rows[0].len()), &Device::Cpu).expect("valid");
    let outputs = model
        .network
        .forward(&batch, &Pass::evaluate(model.card.precision))
        .expect("runs");
    let mut outputs = outputs.to_vec2::<f32>().expect("rows");
    for row in &mut outputs {
        inference::to_units(row, &model.card.target);
    }
    outputs
}

/// Rows that no training saw.
fn probes(columns: usize) -> Vec<Vec<f32>> {
    let row = |index: u32| {
        let mut stream = Stream::new(17, Purpose::Bootstrap, 5, index);
        (0..columns).map(|_| (0.5 + stream.normal()) as f32).collect()
    };
    (0..200).map(row).collect()
}

fn likeliest(row: &[f32]) -> usize {
    (0..row.len())
        .max_by(|one, other| row[*one].total_cmp(&row[*other]))
        .expect("outputs")
}

/// A teacher that denies what the labels say, and whose classes stand in another order, is agreed with by name.
#[test]
fn a_model_agrees_with_its_teacher_and_not_with_the_labels() {
    let splits = [(Train, 120), (Val, 30)];
    let bench = Bench::table(6, &splits);
    // The dataset's sample `i` has the class `i % 3`: these are other names for it, in another order.
    let (names, shape) = (["cat", "ant", "bee"], InputShape::Features { columns: 6 });
    let other = Bench::table(6, &splits);
    fs::remove_dir_all(other.data()).expect("there");
    write_dataset(&other.data(), shape, &splits, &names);
    let learns = json!({"epochs": 10});
    let teacher = other.train(&recipe(learns.clone())).expect("trains");
    assert_eq!(teacher.card.target.names, names);
    let teacher = keep(&bench, &teacher, "teacher");
    let probes = probes(6);
    let told = says(&teacher, &probes);
    let agreement = |trained: &Trained, own: &str| {
        let student = says(&keep(&bench, trained, own), &probes);
        let pairs = student.iter().zip(&told);
        let alike = pairs.filter(|(student, teacher)| {
            trained.card.target.names[likeliest(student)] == names[likeliest(teacher)]
        });
        alike.count() as f64 / probes.len() as f64
    };
    let alone = bench.train(&recipe(learns)).expect("trains");
    assert!(agreement(&alone, "alone") < 0.2, "labels say something else");
    let mut taught = Bench::table(6, &splits);
    taught.teachers = vec![teacher];
    let agreed: Vec<f64> = [1, 4, 30]
        .into_iter()
        .map(|epochs| {
            let distill = json!({"teacher": "./t", "weight": 1});
            let changes = json!({"epochs": epochs, "distill": distill, "optimizer": {"sgd": {"lr": 0.01, "momentum": 0.9}}});
            let trained = taught.train(&recipe(changes)).expect("trains");
            // What is validated is the loss of the labels.
            let last = trained.history.last().and_then(|row| row.validation.clone()).expect("judged");
            if epochs == 30 {
                assert!(last.loss.0 > 1.5 && last.score.0 < 0.2, "{last:?}");
            }
            agreement(&trained, "student")
        })
        .collect();
    assert!(agreed[0] < agreed[2] && agreed[2] > 0.85, "{agreed:?}");
}

/// Of two models that say the same from the beginning on, what is left is the share of the recipe's own loss: that of the
/// same training without teachers, whatever is done to the samples.
#[test]
fn a_teacher_is_shown_what_the_model_is_shown() {
    let mut bench = Bench::images(&[(Train, 40)]);
    // Without batch norms, which see other statistics in training.
    let layers = json!([{"conv": {"channels": 4}}, {"relu": {}}, {"flatten": {}}, {"linear": {}}]);
    let model = json!({"sequential": {"layers": layers}});
    let teacher = bench
        .train(&recipe(json!({"model": model, "epochs": 3})))
        .expect("trains");
    let folder = keep(&bench, &teacher, "teacher");
    bench.init = Some(folder.clone());
    for changes in [
        json!({}),
        json!({"augment": [{"random_crop": {"padding": 1}}, {"random_horizontal_flip": {}}, {"mixup": {}}]}),
        json!({
            "augment": [{"cutmix": {}}], "precision": "bf16", "accumulate": 2,
            "loss": {"cross_entropy": {"label_smoothing": 0.2}},
        }),
        json!({"loss": {"cross_entropy": {"ignore_index": 1}}}),
    ] {
        let changes = still(with(
            json!({"model": model, "init": {"from": "./t"}, "normalize": null}),
            changes,
        ));
        bench.teachers = Vec::new();
        let own = bench.train(&recipe(changes.clone())).expect("trains").history[0]
            .train_loss
            .0;
        bench.teachers = vec![folder.clone()];
        let loss = |weight: f64| {
            let distill = json!({"teacher": "./t", "weight": weight});
            let all = with(changes.clone(), json!({"distill": distill}));
            bench.train(&recipe(all)).expect("trains").history[0].train_loss.0
        };
        // The teacher computes in f32, as it was trained.
        let is_rounded = changes["precision"] == "bf16";
        let taught = loss(1.0);
        assert!(
            taught < if is_rounded { 1e-3 } else { 1e-9 },
            "{changes}: {taught}"
        );
        if changes["loss"]["cross_entropy"].get("ignore_index").is_none() {
            let half = loss(0.5);
            assert!((half - 0.5 * own).abs() < 1e-3 * own, "{changes}: {half} {own}");
        }
    }
}

#[test]
fn without_teachers_nothing_changes() {
    let mut bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let plain = bench.train(&recipe(json!({}))).expect("trains");
    let folder = keep(&bench, &plain, "teacher");
    bench.teachers = vec![folder];
    assert_same(&plain, &bench.train(&recipe(json!({}))).expect("trains"));
    // A share that is next to nothing is next to no change, and a larger one is one.
    let apart = |weight: f64| {
        let distill = json!({"teacher": "./t", "weight": weight, "temperature": 2});
        let taught = bench.train(&recipe(json!({"distill": distill}))).expect("trains");
        testing::difference(&plain, &taught)
    };
    assert!(apart(1e-9) < 1e-6, "{}", apart(1e-9));
    assert!(apart(0.5) > 1e-3, "{}", apart(0.5));
}

/// What makes a resume hard, with teachers.
fn demanding() -> Vec<(&'static str, Bench, Value)> {
    let splits = [(Train, 41), (Val, 12)];
    let distill = json!({"teacher": "./t", "weight": 0.6, "temperature": 2.5});
    let mut table = Bench::table(4, &splits);
    let taught = table.train(&recipe(json!({}))).expect("trains");
    table.teachers = vec![keep(&table, &taught, "teacher")];
    let overflowing = json!({
        "precision": "f16", "batch_size": 2, "accumulate": 2, "epochs": 2, "distill": distill,
        "loss": {"cross_entropy": {"class_weights": [1.0, 3.0, 0.5], "label_smoothing": 0.1}},
        "normalize": {"mean": [0.0, 0.0, 0.0, 0.0], "std": [1e-3, 1e-3, 1e-3, 1e-3]},
        "optimizer": {"sgd": {"lr": 1e-7, "momentum": 0.9}}, "ema": {"decay": 0.5},
    });
    let mut images = Bench::images(&splits);
    let model = json!({"conv_net": {"channels": [4, 6], "dropout": 0.2}});
    let folders = [3, 4].map(|seed| {
        images.seed = seed;
        let taught = images
            .train(&recipe(json!({"model": model, "epochs": 1})))
            .expect("trains");
        keep(&images, &taught, &format!("teacher-{seed}"))
    });
    images.teachers = folders.to_vec();
    let mixed = json!({
        "model": model, "batch_size": 7, "accumulate": 2, "epochs": 2, "checkpoint": {"every": 2}, "select": "best",
        "augment": [{"random_crop": {"padding": 1}}, {"mixup": {}}],
        "distill": with(distill.clone(), json!({"teacher": ["./t", "./u"]})),
    });
    let mut texts = Bench::texts(11, &[classed(Train, 20), classed(Val, 8)].concat());
    let bert = json!({"bert": {"layers": 2, "heads": 2, "width": 8, "context": 24, "dropout": 0.2}});
    let text = json!({
        "model": bert, "epochs": 2, "batch_size": 4, "batch_tokens": 24, "accumulate": 2,
        "optimizer": {"adamw": {"lr": 0.02}},
    });
    let taught = texts.train(&recipe(text.clone())).expect("trains");
    texts.teachers = vec![keep(&texts, &taught, "teacher")];
    let text = with(text, json!({"distill": distill, "checkpoint_activations": true}));
    vec![
        ("overflowing", table, overflowing),
        ("mixed", images, mixed),
        ("texts", texts, text),
    ]
}

#[test]
fn threads_and_interruptions_change_no_bit() {
    for (name, mut bench, changes) in demanding() {
        let recipe = recipe(changes);
        let whole = bench.train(&recipe).expect("trains");
        bench.threads = 1;
        assert_same(&whole, &bench.train(&recipe).expect("trains"));
        bench.threads = 2;
        let (resumed, interruptions) = bench.train_step_by_step(&recipe);
        assert!(interruptions > 3, "{name}: {interruptions}");
        assert_same(&whole, &resumed);
        let skipped = whole.history.iter().filter_map(|row| row.scaling);
        let skipped: u64 = skipped.map(|scaling| scaling.skipped_steps).sum();
        assert_eq!(skipped > 0, name == "overflowing", "{name}");
    }
}

/// Texts whose class stands in their tokens.
fn classed(split: SplitName, count: u32) -> Vec<(SplitName, TinyText)> {
    let text = |index: u32| {
        let mut stream = Stream::new(11, Purpose::Bootstrap, split as u32, index);
        let class = index % 3;
        let mut tokens = vec![0];
        tokens.extend((0..2 + stream.below(7)).map(|_| 4 + class + 3 * stream.below(2)));
        let target = TinyTarget::Class(class);
        (split, TinyText { tokens, target })
    };
    (0..count).map(text).collect()
}

/// Numbers are compared in the units of the model that is trained, whatever those of its teachers are.
#[test]
fn numbers_of_several_teachers_are_averaged_in_their_own_units() {
    let mut table = String::from("a,b,y\n");
    for row in 0..40 {
        let mut stream = Stream::new(3, Purpose::Bootstrap, 1, row);
        let (a, b) = (stream.normal(), stream.normal());
        writeln!(table, "{a},{b},{}", 40.0 + 3.0 * a - 2.0 * b + stream.normal()).expect("text");
    }
    let format = json!({"label": "y", "task": "regression"});
    let mut bench = Bench::csv(&table, format, json!({}));
    let normalize = [
        json!({"mean": [0, 0], "std": [1, 1]}),
        json!({"mean": [0.3, -1], "std": [2, 0.5]}),
    ];
    let folders = [false, true].map(|standardized| {
        let (weight, bias) = match standardized {
            false => ([20.0, -7.0], [100.0]),
            true => ([2.0, 0.5], [-3.0]),
        };
        linear(&mut bench, 1, &weight, &bias, "begin");
        let changes = json!({
            "init": {"from": "./w"}, "standardize_targets": standardized, "normalize": normalize[usize::from(standardized)],
        });
        let taught = bench.train(&recipe(still(changes))).expect("trains");
        assert_eq!(taught.card.target.scale.is_some(), standardized);
        keep(&bench, &taught, &format!("teacher-{standardized}"))
    });
    bench.init = None;
    bench.teachers = folders.to_vec();
    let changes = json!({
        "model": {"mlp": {"hidden": []}}, "epochs": 300, "batch_size": 40, "optimizer": {"sgd": {"lr": 0.2}},
        "distill": {"teacher": ["./t", "./u"], "weight": 1},
    });
    let student = bench.train(&recipe(changes)).expect("trains");
    assert!(student.card.target.scale.is_some());
    let student = keep(&bench, &student, "student");
    let probes = probes(2);
    let told = [says(&folders[0], &probes), says(&folders[1], &probes)];
    for (index, student) in says(&student, &probes).iter().enumerate() {
        let mean = (told[0][index][0] + told[1][index][0]) / 2.0;
        assert!(
            (student[0] - mean).abs() < 0.02 * mean.abs().max(1.0),
            "{} {mean}",
            student[0]
        );
    }
}

/// The message of a training that must fail.
fn refusal(bench: &Bench, changes: Value) -> String {
    let distill = json!({"distill": {"teacher": "./t"}});
    let changes = with(distill, changes);
    match bench.train(&recipe(changes.clone())) {
        Ok(_) => panic!("{changes} was trained"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn teachers_that_do_not_fit_are_refused_with_both_sides() {
    let splits = [(Train, 41)];
    let told = |bench: &Bench, changes: Value, parts: &[&str]| {
        let error = refusal(bench, changes);
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    // Models outlive the data that they were trained on.
    let (home, count) = (Bench::table(1, &splits), std::cell::Cell::new(0));
    let kept = |bench: &Bench| {
        let trained = bench.train(&recipe(json!({"epochs": 1}))).expect("trains");
        count.set(count.get() + 1);
        keep(&home, &trained, &format!("kept-{}", count.get()))
    };
    let mut table = Bench::table(6, &splits);
    let own = kept(&table);

    // Classes.
    let other = Bench::table(6, &splits);
    fs::remove_dir_all(other.data()).expect("there");
    let shape = InputShape::Features { columns: 6 };
    write_dataset(&other.data(), shape, &splits, &["ant", "bee", "dog"]);
    table.teachers = vec![kept(&other)];
    told(
        &table,
        json!({}),
        &[
            "`train.distill.teacher`: `./t`: the classes are others",
            "it does not know `cat`, and the data does not have `dog`",
        ],
    );
    // Columns, by number and by name.
    let other = Bench::table(5, &splits);
    table.teachers = vec![kept(&other)];
    told(
        &table,
        json!({}),
        &["it is shown samples of 5 columns, and what is trained samples of 6 columns"],
    );
    let csv = |header: &str, task: &str| {
        let rows = (0..30).map(|row| format!("{},{},{}\n", row % 7, row % 5, [3, 1, 2][row % 3]));
        let text = format!("{header}\n{}", rows.collect::<String>());
        Bench::csv(&text, json!({"label": -1, "task": task}), json!({}))
    };
    let mut letters = csv("a,b,y", "classification");
    letters.teachers = vec![kept(&csv("a,c,y", "classification"))];
    told(&letters, json!({}), &["`train.distill.teacher`", "`c`", "`b`"]);
    letters.teachers = vec![kept(&csv("b,a,y", "classification"))];
    told(&letters, json!({}), &["stand in another order"]);
    // Tasks.
    letters.teachers = vec![kept(&csv("a,b,y", "regression"))];
    told(
        &letters,
        json!({}),
        &["it is for the task `regression`, and what is trained for the task `classification`"],
    );
    let mut numbers = csv("a,b,y", "regression");
    numbers.teachers = vec![kept(&csv("a,b,y", "classification"))];
    told(&numbers, json!({}), &["it is for the task `classification`"]);
    told(
        &numbers,
        json!({"distill": {"teacher": "./t", "temperature": 2}}),
        &[
            "`train.distill.temperature`",
            "a temperature is for the probabilities of classes",
        ],
    );
    let mut labels = Bench::csv(
        "a,b,c\n1,0,1\n2,1,0\n3,1,1\n4,0,0\n",
        json!({"label": ["b", "c"], "task": "multi_label"}),
        json!({}),
    );
    labels.teachers = vec![kept(&labels)];
    told(
        &labels,
        json!({}),
        &[
            "`train.distill`",
            "classes and numbers of whole samples are learnt from a teacher, and `data` has",
        ],
    );
    // Images.
    let mut images = Bench::images(&splits);
    images.teachers = vec![kept(&Bench::images_of([3, 8, 8], &splits))];
    told(
        &images,
        json!({}),
        &["it is shown samples of 3x8x8, and what is trained samples of 1x8x8"],
    );
    images.teachers = vec![own.clone()];
    told(&images, json!({}), &["6 columns", "1x8x8"]);
    // One of several, and how many there are.
    table.teachers = vec![own.clone()];
    told(
        &table,
        json!({"distill": {"teacher": ["./t", "./u"]}}),
        &["1 of 2 teachers"],
    );
    table.teachers = vec![own.clone(), kept(&other)];
    told(
        &table,
        json!({"distill": {"teacher": ["./t", "./u"]}}),
        &["`train.distill.teacher.1`: `./u`", "5 columns"],
    );
    // What it says has to be a number.
    let weights = read_tensors(&own.join(WEIGHTS_FILE)).expect("weights");
    let broken = weights.into_iter().map(|(name, tensor)| {
        let values = vec![f32::NAN; tensor.shape().iter().product()];
        (name, HostTensor::from_f32(tensor.shape().to_vec(), &values))
    });
    write_weights(&own, &broken.collect()).expect("writable");
    table.teachers = vec![own];
    told(&table, json!({}), &["`./t`: it says NaN of a sample"]);
}

#[test]
fn teachers_of_texts_have_the_tokenizer_and_the_positions() {
    let mut bench = Bench::texts(11, &classed(Train, 20));
    let bert = |context: u32| {
        json!({
            "model": {"bert": {"layers": 1, "heads": 2, "width": 8, "context": context}},
            "epochs": 1, "optimizer": {"adamw": {"lr": 0.02}},
        })
    };
    let trained = bench.train(&recipe(bert(24))).expect("trains");
    let folder = keep(&bench, &trained, "teacher");
    bench.teachers = vec![folder.clone()];
    let distill = |context| with(bert(context), json!({"distill": {"teacher": "./t"}}));
    // The student may be larger.
    bench.train(&recipe(distill(32))).expect("trains");
    let card = fs::read_to_string(folder.join(CARD_FILE)).expect("there");
    let write = |card: String| fs::write(folder.join(CARD_FILE), card).expect("writable");
    write(card.replace("the digest of a tokenizer", "another digest"));
    let error = refusal(&bench, distill(24));
    assert!(
        error.contains("its tokenizer is another one than that of the data"),
        "{error}"
    );
    write(card);

    // A teacher for shorter texts.
    let short: Vec<_> = classed(Train, 20)
        .into_iter()
        .map(|(split, mut text)| {
            text.tokens.truncate(3);
            (split, text)
        })
        .collect();
    let other = Bench::texts(11, &short);
    let trained = other.train(&recipe(bert(4))).expect("trains");
    bench.teachers = vec![keep(&other, &trained, "teacher")];
    let error = refusal(&bench, distill(24));
    assert!(error.contains("tokens, and it has 4 positions"), "{error}");
}
