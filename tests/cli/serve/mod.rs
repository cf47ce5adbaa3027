//! Trained models behind HTTP.

mod client;
mod hostile;
mod load;
mod texts;
mod writing;

use serde_json::{Value, json};

use crate::project::Project;
use client::{Answered, RunningServer};

/// A small network on the digits, 8x8 pixels of one channel, that is trained for a moment.
const DIGITS: &str = "
name: digits
seed: 0
stages:
  data:
    preprocess:
      input: ./digits.csv.gz
      format: {csv: {label: -1, image: {height: 8, width: 8, max: 16}}}
      split: {val: 0.1, test: 0.2}
  model:
    train: {data: data, model: {conv_net: {channels: [4, 8]}}, epochs: 1, batch_size: 64, optimizer: {adam: {lr: 0.01}}}
";

/// A project with that model.
fn digits() -> Project {
    let bytes =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits.csv.gz")).expect("the digits");
    let project = Project::new()
        .with("digits.csv.gz", bytes)
        .with("digits.yaml", DIGITS);
    project.erlen(["run", "digits.yaml", "model"]).assert_code(0);
    project
}

/// An image of 8x8 grey values as an uncompressed BMP file.
fn bmp(grey: &[u8; 64]) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    file.extend(246u32.to_le_bytes());
    file.extend([0; 4]);
    file.extend(54u32.to_le_bytes());
    file.extend(40u32.to_le_bytes());
    file.extend(8i32.to_le_bytes());
    file.extend(8i32.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(24u16.to_le_bytes());
    file.extend([0; 24]);
    // Rows from the lowest one up.
    for row in grey.chunks_exact(8).rev() {
        file.extend(row.iter().flat_map(|value| [*value; 3]));
    }
    file
}

/// Grey values that `seed` tells.
fn grey(seed: u64) -> [u8; 64] {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

/// A request about images of 8x8 bytes, in JSON.
fn pixels_request(images: &[[u8; 64]]) -> String {
    let values: Vec<u8> = images.iter().flatten().copied().collect();
    json!({"inputs": [
        {"name": "pixels", "shape": [images.len(), 8, 8, 1], "datatype": "UINT8", "data": values}
    ]})
    .to_string()
}

/// The JSON before the bytes of images, which asks for the logits' bytes.
fn binary_pixels_json(images: usize) -> String {
    json!({
        "inputs": [{
            "name": "pixels",
            "shape": [images, 8, 8, 1],
            "datatype": "UINT8",
            "parameters": {"binary_data_size": images * 64},
        }],
        "outputs": [{"name": "logits", "parameters": {"binary_data": true}}],
    })
    .to_string()
}

fn numbers(values: &[Value]) -> Vec<f64> {
    values
        .iter()
        .map(|value| value.as_f64().expect("a number"))
        .collect()
}

#[test]
fn images_are_answered_in_every_form_as_predict_does() {
    let project = digits();
    let image = grey(3);
    project.write("new.bmp", bmp(&image));
    let told = project.erlen(["predict", "digits.yaml", "new.bmp", "--format", "json-lines"]);
    let told: Value = serde_json::from_str(&told.assert_code(0).stdout).expect("a line of JSON");

    let server = RunningServer::start(&project, &["digits.yaml"]);
    assert!(
        server.greeting.starts_with("serving digits (version "),
        "{}",
        server.greeting
    );
    let mut client = server.client();
    let path = "/v2/models/digits/infer";
    let file = client.ask("POST", path, &[("Content-Type", "image/bmp")], &bmp(&image));
    assert_eq!(file.output("predicted"), [told["predicted"].clone()]);
    assert_eq!(file.output("probability"), [told["probability"].clone()]);
    let all: Vec<Value> = told["probabilities"]
        .as_object()
        .expect("classes")
        .values()
        .cloned()
        .collect();
    assert_eq!(file.output("probabilities"), all);

    let same = |answer: &Answered| assert_eq!(answer.output("logits"), file.output("logits"));
    same(&client.infer("digits", &pixels_request(&[image])));
    let base64 = {
        use std::fmt::Write;
        // The file in base64, by hand: three bytes are four letters.
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bmp(&image).chunks(3) {
            let mut bits = 0u32;
            three.iter().for_each(|byte| bits = bits << 8 | u32::from(*byte));
            assert_eq!(three.len(), 3);
            for place in (0..4).rev() {
                write!(text, "{}", LETTERS[(bits >> (6 * place)) as usize & 63] as char).expect("a text");
            }
        }
        text
    };
    same(
        &client.infer(
            "digits",
            &json!({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64]}]})
                .to_string(),
        ),
    );

    // In binary form, both ways, the same bits.
    let logits: Vec<u8> = numbers(&file.output("logits"))
        .iter()
        .flat_map(|logit| (*logit as f32).to_le_bytes())
        .collect();
    let answer = client.infer_binary("digits", &binary_pixels_json(1), &image);
    assert_eq!(answer.assert_status(200).binary(), logits);
    assert_eq!(answer.json()["outputs"][0]["parameters"]["binary_data_size"], 40);
    let mut tensor = (bmp(&image).len() as u32).to_le_bytes().to_vec();
    tensor.extend(bmp(&image));
    let request = json!({
        "id": "mine",
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": tensor.len()}}],
        "outputs": [{"name": "logits"}, {"name": "probabilities", "parameters": {"classification": 2}}],
    });
    let answer = client.infer_binary("digits", &request.to_string(), &tensor);
    same(&answer);
    assert_eq!(answer.json()["id"], "mine");
    let best = answer.output("probabilities");
    let predicted = told["predicted"].as_str().expect("a class");
    assert_eq!(best.len(), 2);
    assert!(
        best[0]
            .as_str()
            .expect("a text")
            .ends_with(&format!(":{predicted}")),
        "{best:?}"
    );

    // A row has the same bits in any company, and more than a batch are divided.
    let images: Vec<[u8; 64]> = (0..70).map(grey).collect();
    let together = client.infer_binary("digits", &binary_pixels_json(70), images.as_flattened());
    let alone: Vec<u8> = images
        .iter()
        .flat_map(|image| {
            client
                .infer_binary("digits", &binary_pixels_json(1), image)
                .binary()
                .to_vec()
        })
        .collect();
    assert_eq!(together.assert_status(200).binary(), alone);
    assert_eq!(
        server.figure("erlen_batch_rows_bucket{model=\"digits\",le=\"32\"}"),
        server.figure("erlen_batches_total{model=\"digits\"}")
    );

    // What an exported ONNX model takes.
    let tensor = json!({"inputs": [
        {"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": vec![0.0; 64]}
    ]});
    client.infer("digits", &tensor.to_string()).assert_status(200);
}

#[test]
fn the_protocol_tells_what_is_served() {
    let project = digits();
    project
        .erlen(["get", "digits.yaml", "model", "-o", "kept"])
        .assert_code(0);
    let server = RunningServer::start(&project, &["digits=digits.yaml:model", "kept=kept"]);
    let mut client = server.client();
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"] {
        client.get(path).assert_status(200);
    }
    assert_eq!(client.get("/v2").json()["name"], "erlen");
    let about = client.get("/v2/models/digits").json();
    let version = about["versions"][0].as_str().expect("a version").to_owned();
    assert_eq!(version.len(), 12);
    let inputs = about["inputs"].as_array().expect("inputs");
    let inputs: Vec<String> = inputs
        .iter()
        .map(|input| format!("{} {} {}", input["name"], input["datatype"], input["shape"]))
        .collect();
    assert_eq!(
        inputs,
        [
            r#""input" "FP32" [-1,1,8,8]"#,
            r#""pixels" "UINT8" [-1,8,8,1]"#,
            r#""image" "BYTES" [-1]"#
        ]
    );
    assert_eq!(about["outputs"][0]["name"], "logits");
    assert_eq!(about["outputs"][0]["parameters"]["labels"][9], "9");
    let of_version = format!("/v2/models/digits/versions/{version}");
    assert_eq!(client.get(&of_version).json(), about);
    client.get(&format!("{of_version}/ready")).assert_status(200);
    let infer = format!("{of_version}/infer");
    client
        .ask("POST", &infer, &[], pixels_request(&[grey(1)]).as_bytes())
        .assert_status(200);
    let index = client.ask("POST", "/v2/repository/index", &[], b"{}").json();
    assert_eq!(index[1]["name"], "kept");
    let stats = client.get("/v2/models/digits/stats").json();
    assert_eq!(stats["model_stats"][0]["inference_stats"]["success"]["count"], 1);
    assert_eq!(
        server.figure("erlen_requests_total{model=\"digits\",code=\"200\"}"),
        1.0
    );
    let page = client.get("/");
    assert!(
        page.header("content-security-policy")
            .expect("a policy")
            .starts_with("default-src 'none'")
    );
    assert!(page.text().contains("<script src=\"page.js\" defer>"));
    client.get("/page.js").assert_status(200);
    client.get("/page.css").assert_status(200);

    server.signal();
    assert_eq!(server.end(), Some(0));
    let log = project.read("access.jsonl");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let asked = lines
        .iter()
        .find(|line| line["path"] == infer.as_str())
        .expect("the request");
    assert_eq!(
        (&asked["status"], &asked["rows"], &asked["model"]),
        (&json!(200), &json!(1), &json!("digits"))
    );
    assert_eq!(lines.last().expect("lines")["event"], "stopped");
}

#[test]
fn rows_of_tables_are_asked_about_by_column() {
    let mut table = "width,color,class\n".to_owned();
    for row in 0..40 {
        let (width, color) = (row % 7, ["red", "blue"][row % 2]);
        table += &format!("{width}.5,{color},{}\n", if width > 3 { "big" } else { "small" });
    }
    let project = Project::new()
        .with("table.csv", table)
        .with("new.csv", "color,width\nred,0.1\nblue,6\n")
        .with(
            "t.yaml",
            "
stages:
  data:
    preprocess:
      input: ./table.csv
      format: {csv: {header: true, label: class, categorical: [color]}}
      split: {test: 0.5}
  model:
    train: {data: data, model: {mlp: {hidden: [4]}}, epochs: 2, batch_size: 8, optimizer: {adam: {lr: 0.05}}}
",
        );
    project.erlen(["run", "t.yaml"]).assert_code(0);
    let told = project.erlen(["predict", "t.yaml", "new.csv", "--format", "json-lines"]);
    let expected: Vec<f64> = told
        .assert_code(0)
        .stdout
        .lines()
        .flat_map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let all: Vec<Value> = line["probabilities"]
                .as_object()
                .expect("classes")
                .values()
                .cloned()
                .collect();
            numbers(&all)
        })
        .collect();
    let server = RunningServer::start(&project, &["t.yaml"]);
    let mut client = server.client();
    let ask = |width: Value, color: Value| {
        json!({"inputs": [
            {"name": "color", "shape": [2], "datatype": "BYTES", "data": color},
            width,
        ]})
        .to_string()
    };
    let width = |datatype: &str, data: Value| json!({"name": "width", "shape": [2], "datatype": datatype, "data": data});
    for width in [
        width("FP64", json!([0.1, 6])),
        width("FP32", json!([0.1, 6.0])),
        width("BYTES", json!(["0.1", "6"])),
    ] {
        let answer = client.infer("t", &ask(width, json!(["red", "blue"])));
        assert_eq!(numbers(&answer.output("probabilities")), expected);
    }
    for (width, color, problem) in [
        (
            width("FP64", json!([0.1, 6])),
            json!(["red", "green"]),
            "row 2: column `color`: the model does not know the category `green`",
        ),
        (
            width("FP64", json!([null, 6])),
            json!(["red", "red"]),
            "row 1: column `width`: it holds nothing: fill it in",
        ),
        (
            width("BYTES", json!(["x", "6"])),
            json!(["red", "red"]),
            "row 1: column `width`: `x` is not a finite number",
        ),
    ] {
        let answer = client.infer("t", &ask(width, color));
        let told = answer.assert_status(400).json()["error"]
            .as_str()
            .expect("a message")
            .to_owned();
        assert!(told.starts_with(problem), "{told}");
    }
}

#[test]
fn a_prediction_that_no_number_holds_is_refused_as_predict_refuses_it() {
    let mut table = "x,y\n".to_owned();
    for row in 0..20 {
        table += &format!("{row},{row}e30\n");
    }
    let project = Project::new().with("table.csv", table).with(
        "t.yaml",
        "
stages:
  data:
    preprocess:
      input: ./table.csv
      format: {csv: {header: true, label: y, task: regression}}
      split: {test: 0.5}
  model:
    train: {data: data, model: {mlp: {hidden: [4]}}, epochs: 1, batch_size: 8, optimizer: {adam: {lr: 0.01}}}
",
    );
    project.erlen(["run", "t.yaml"]).assert_code(0);
    project.write("new.csv", "x\n1e20\n");
    project
        .erlen(["predict", "t.yaml", "new.csv"])
        .assert_code(1)
        .assert_stderr("not finite");
    let server = RunningServer::start(&project, &["t.yaml"]);
    let ask = |x: f64| {
        json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}]}).to_string()
    };
    let mut client = server.client();
    let answer = client.infer("t", &ask(1e20));
    let told = answer.assert_status(422).json()["error"].to_string();
    assert!(told.contains("not finite"), "{told}");
    client.infer("t", &ask(3.0)).assert_status(200);
}

#[test]
fn a_token_is_asked_for_and_never_told() {
    let project = digits().with("token", "s3cret\n");
    let server = RunningServer::start(&project, &["digits.yaml", "--token-file", "token"]);
    let mut client = server.client();
    for path in ["/", "/page.js", "/v2/health/live", "/v2/health/ready"] {
        client.get(path).assert_status(200);
    }
    for path in ["/v2", "/metrics", "/v2/models/digits", "/v2/models/none"] {
        let refused = client.get(path);
        assert_eq!(
            refused.assert_status(401).header("www-authenticate"),
            Some("Bearer")
        );
        for wrong in ["Bearer s3cre", "Basic s3cret", "Bearer s3cret2"] {
            client
                .ask("GET", path, &[("Authorization", wrong)], &[])
                .assert_status(401);
        }
    }
    let right = [("Authorization", "Bearer s3cret")];
    client
        .ask("GET", "/v2/models/digits", &right, &[])
        .assert_status(200);
    let request = pixels_request(&[grey(1)]);
    client.infer("digits", &request).assert_status(401);
    client
        .ask("POST", "/v2/models/digits/infer", &right, request.as_bytes())
        .assert_status(200);
    server.signal();
    assert_eq!(server.end(), Some(0));
    assert!(!project.read("access.jsonl").contains("s3cret"));
}

#[test]
fn what_cannot_be_served_is_told_before_anything_listens() {
    let project = digits();
    project
        .erlen(["get", "digits.yaml", "model", "-o", "kept"])
        .assert_code(0);
    project.write("empty token", "\n");
    for (arguments, code, told) in [
        (&["digits.yaml:data"][..], 2, "`data` (preprocess) holds no model"),
        (&["digits.yaml:modle"], 2, "did you mean `model`?"),
        (&["missing"], 2, "there is no model at `missing`"),
        (
            &["kept", "--watch"],
            2,
            "`--watch` follows the results of a pipeline, and `kept` is a folder",
        ),
        (
            &["kept", "kept=digits.yaml"],
            2,
            "two models are called `kept`: name them, as NAME=MODEL",
        ),
        (
            &["stats=digits.yaml"],
            2,
            "clients cannot call a model `stats`: say another name",
        ),
        (&["kept", "--max-delay", "1min"], 2, "a time has a unit"),
        (&["kept", "--max-batch", "0"], 2, "--max-batch"),
        (&["kept", "--token-file", "empty token"], 2, "the token is empty"),
        (
            &["kept", "--bind", "127.0.0.1"],
            2,
            "`--bind 127.0.0.1` names no port",
        ),
        (
            &["kept", "--bind", "256.0.0.1:80"],
            1,
            "listening at 256.0.0.1:80",
        ),
    ] {
        project
            .erlen(["serve"].iter().chain(arguments))
            .assert_code(code)
            .assert_stderr(told);
    }
    project.write("kept/model.safetensors", "damaged");
    project
        .erlen(["serve", "kept"])
        .assert_code(1)
        .assert_stderr("model.safetensors");
}
