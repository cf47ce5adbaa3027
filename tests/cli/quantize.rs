//! A model in eight bits.

use crate::infer::assert_same_answers;
use crate::project::Project;

fn production() -> Project {
    Project::new()
        .with_copy("pipelines/digits-production.yaml")
        .with_copy("datasets/digits.csv.gz")
}

const FILE: &str = "pipelines/digits-production.yaml";

#[test]
fn the_digits_go_into_production() {
    let project = production();
    project.erlen(["run", FILE]).assert_code(0);
    let table = project.read("results/digits-production.csv");
    let line = |index: usize| -> Vec<String> {
        let line = table.lines().nth(index).expect("a row");
        line.split(',').map(str::to_owned).collect()
    };
    assert_eq!(
        line(0).join(","),
        "samples,accuracy,accuracy with int8,agreement,fall of accuracy,bytes,bytes with int8"
    );
    let numbers: Vec<f64> = line(1)
        .iter()
        .map(|cell| cell.parse().expect("a number"))
        .collect();
    let [_, accuracy, accuracy_int8, agreement, _, bytes, bytes_int8] = numbers[..] else {
        panic!("{table}");
    };
    assert!(
        accuracy > 0.95 && accuracy_int8 > 0.94 && agreement >= 0.98,
        "{table}"
    );
    assert!(bytes_int8 * 3.0 < bytes, "{table}");
    let speed = project.read("results/digits-production-speed.csv");
    assert_eq!(speed.lines().count(), 3, "{speed}");
    for line in speed.lines().skip(1) {
        let figures: Vec<f64> = line
            .split(',')
            .skip(1)
            .map(|cell| cell.parse().expect("a number"))
            .collect();
        let [_, a_second, alone] = figures[..] else {
            panic!("{line}");
        };
        assert!(a_second > 0.0 && alone > 0.0 && a_second.is_finite(), "{line}");
    }
    // Nothing runs twice, and the files are those of the stage.
    project.erlen(["run", FILE]).assert_code(0).assert_stderr("0 ran");
    project
        .erlen(["get", FILE, "onnx-int8", "-o", "onnx"])
        .assert_code(0);
    assert!(project.path("onnx/model.onnx").is_file());
    project.erlen(["get", FILE, "int8", "-o", "int8"]).assert_code(0);
    assert!(
        project
            .read("int8/layers.csv")
            .starts_with("layer,weights,signal_to_noise_db\nblocks.0.conv,")
    );
    // It predicts as any model, by its stage and by its folder.
    for (name, shade) in [("dark.bmp", 3), ("light.bmp", 29)] {
        std::fs::write(project.path(name), bitmap(shade)).expect("writable");
    }
    let predict = |model: &str| project.erlen(["predict", model, "dark.bmp", "light.bmp"]);
    let by_stage = predict(&format!("{FILE}:int8"));
    by_stage.assert_code(0).assert_stderr("2 samples predicted");
    assert_eq!(by_stage.stdout, predict("int8").stdout);
    assert_ne!(by_stage.stdout, predict(&format!("{FILE}:model")).stdout);
    // So it does where nothing of Erlen is but what asks models.
    project.erlen(["get", FILE, "model", "-o", "f32"]).assert_code(0);
    for model in ["./int8", "./f32"] {
        for more in [&[] as &[&str], &["--format", "json-lines"], &["--test-time-flip"]] {
            let rows = assert_same_answers(&project, &[&[model, "./dark.bmp", "./light.bmp"], more].concat());
            assert_eq!(
                rows.lines().filter(|line| line.contains(".bmp")).count(),
                2,
                "{rows}"
            );
        }
    }
}

/// An image of 8x8 pixels, as a BMP file.
fn bitmap(shade: u32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [54 + 192, 0, 54, 40, 8, 8] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend((0..192u32).map(|place| (place * shade % 251) as u8));
    bytes
}

#[test]
fn what_cannot_be_quantized_is_told_before_anything_runs() {
    let project = Project::new();
    let told = |stages: &str, expected: &str| {
        let text = format!(
            "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  m: {{train: {{data: d, model: mlp, epochs: 1, optimizer: \
             {{sgd: {{lr: 0.1}}}}}}}}\n{stages}\n"
        );
        project.write("p.yaml", text);
        project
            .erlen(["check", "p.yaml"])
            .assert_code(2)
            .assert_stderr(expected);
    };
    told(
        "  q: {quantize: {model: m, calibrate: {data: d}, gate: {data: d}}}",
        "the gate asks for nothing",
    );
    let texts = "  t: {preprocess: {input: ./a.txt, format: {text: {documents: {text: {}}, tokenizer: d}}}}\n  g: {train: {data: t, \
                 model: gpt2, epochs: 1, optimizer: {sgd: {lr: 0.1}}}}\n  q: {quantize: {model: g, calibrate: {data: t}, gate: {data: \
                 t, split: train, drop: 0.1}}}";
    told(
        texts,
        "a gate compares answers about samples, and `g` has the head `causal`",
    );
    told(
        &texts.replace("split: train, ", ""),
        "`gate` asks for the validation split, but `t` has no val split",
    );
    told(
        &texts.replace("calibrate: {data: t}", "calibrate: {data: t, split: val}"),
        "`calibrate` asks for the validation split, but `t` has no val split",
    );
    told(
        "  q: {quantize: {model: m, calibrate: {data: d}, ranges: {percentile: 40}}}",
        "40 is not a percentage over 50 and up to 100",
    );
    told(
        "  q: {quantize: {model: m, calibrate: {data: d}}}\n  e: {export: {model: q}}",
        "`safetensors` has no place for the weights of a quantized model",
    );
    told(
        "  q: {quantize: {model: m, calibrate: {data: d}}}\n  e: {export: {model: q, format: {onnx: {dtype: f16}}}}",
        "the weights of a quantized model have eight bits already",
    );
    told(
        "  q: {quantize: {model: m, calibrate: {data: d}}}\n  r: {quantize: {model: q, calibrate: {data: d}}}",
        "`model` needs a stage of kind train or export or download, and `q` is a",
    );
}
