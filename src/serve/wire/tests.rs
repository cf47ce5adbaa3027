use std::time::Duration;

use super::request::{OutputForm, WantedOutput};
use super::*;
use crate::serve::served::ModelInterface;
use crate::serve::tensor::{Datatype, InputTensor, TensorInfo, TensorValues};
use crate::serve::testing::EchoModel;

/// Takes one of two forms of an image.
fn images() -> EchoModel {
    let pixels = TensorInfo::new("pixels", Datatype::Uint8, vec![1, 2], "");
    let image = TensorInfo::new("image", Datatype::Bytes, Vec::new(), "");
    EchoModel::of(vec![pixels, image], true)
}

/// Takes two columns of a table.
fn columns() -> EchoModel {
    let size = TensorInfo {
        also: vec![Datatype::Int32, Datatype::Bytes],
        ..TensorInfo::new("size", Datatype::Fp64, Vec::new(), "")
    };
    let color = TensorInfo::new("color", Datatype::Bytes, Vec::new(), "");
    EchoModel::of(vec![size, color], false)
}

fn floats(values: &[f32]) -> InputTensor {
    InputTensor {
        name: "input".to_owned(),
        values: TensorValues::Floats(values.to_vec()),
    }
}

/// JSON with bytes behind it.
fn with_bytes(json: &str, bytes: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut body = json.as_bytes().to_vec();
    body.extend_from_slice(bytes);
    (body, Some(json.len()))
}

fn refused(body: &[u8], header: Option<usize>, model: &EchoModel) -> String {
    let refused = read_request(body, header, model, usize::MAX).unwrap_err();
    assert_eq!(refused.status.as_u16(), 400, "{}", refused.message);
    refused.message
}

#[test]
fn json_and_bytes_say_the_same() {
    let model = EchoModel::new();
    let flat = br#"{"id":"7","parameters":{"timeout":1500},"inputs":[
        {"name":"input","shape":[2,2],"datatype":"FP32","data":[1,2,3,4.5]}]}"#;
    let nested = br#"{"inputs":[{"datatype":"FP32","data":[[1,2],[3,4.5]],"name":"input","shape":[2,2]}],"more":[[]]}"#;
    let asked = read_request(flat, None, &model, 2).unwrap();
    assert_eq!(asked.id.as_deref(), Some("7"));
    assert_eq!(asked.timeout, Some(Duration::from_micros(1500)));
    assert_eq!(
        (asked.rows, &asked.inputs),
        (2, &vec![floats(&[1.0, 2.0, 3.0, 4.5])])
    );
    let all = [WantedOutput {
        index: 0,
        form: OutputForm::Json,
        classification: None,
    }];
    assert_eq!(asked.outputs, all);
    let same = read_request(nested, None, &model, 2).unwrap();
    assert_eq!((same.id, same.timeout, same.inputs), (None, None, asked.inputs));

    let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.5]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let json = r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[2,2],
        "datatype":"FP32","parameters":{"binary_data_size":16}}],"outputs":[]}"#;
    let (body, header) = with_bytes(json, &bytes);
    let asked = read_request(&body, header, &model, 2).unwrap();
    assert_eq!(asked.inputs, [floats(&[1.0, 2.0, 3.0, 4.5])]);
    assert_eq!(asked.outputs[0].form, OutputForm::Binary);
}

#[test]
fn files_are_base64_in_json_and_bytes_otherwise() {
    let model = images();
    let json = br#"{"inputs":[{"name":"image","shape":[1,1],"datatype":"BYTES","data":["AAEC"]}]}"#;
    let files = |request: InferenceRequest| match request.inputs.into_iter().next().map(|input| input.values)
    {
        Some(TensorValues::Strings(files)) => files,
        other => panic!("{other:?}"),
    };
    assert_eq!(files(read_request(json, None, &model, 2).unwrap()), [[0, 1, 2]]);
    let json = r#"{"inputs":[{"name":"image","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}}]}"#;
    let (body, header) = with_bytes(json, &[1, 0, 0, 0, 9, 1, 0, 0, 0, 8]);
    assert_eq!(files(read_request(&body, header, &model, 2).unwrap()), [[9], [8]]);
    assert_eq!(files(read_image_request(vec![5], &model).unwrap()), [[5]]);
    assert_eq!(
        read_image_request(vec![5], &columns())
            .unwrap_err()
            .status
            .as_u16(),
        415
    );
    let bad = br#"{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["@@"]}]}"#;
    assert!(refused(bad, None, &model).starts_with("input `image`: in JSON a file is base64"));
}

#[test]
fn wrong_requests_are_refused_with_the_place() {
    let model = EchoModel::new();
    for (body, told) in [
        ("", "the body is no inference request: EOF"),
        ("[]", "the body is no inference request"),
        ("{}", "missing field `inputs`"),
        (r#"{"inputs":[]}"#, "the inputs `input` are missing"),
        (
            r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#,
            "the model has no input `x`: it takes `input`",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP16","data":[1,2]}]}"#,
            "input `input`: it is of FP32, not of `FP16`",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}"#,
            "its shape is [1, 3], and [-1, 2] is asked for",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[],"datatype":"FP32","data":[1,2]}]}"#,
            "its shape is []",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[4611686018427387904,2],"datatype":"FP32","data":[1,2]}]}"#,
            "the shape asks for",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[9223372036854775808,2],"datatype":"FP32","data":[1,2]}]}"#,
            "its shape is [9223372036854775808, 2]",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[-1,2],"datatype":"FP32","data":[1,2]}]}"#,
            "the body is no inference request",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[0,2],"datatype":"FP32","data":[]}]}"#,
            "the request asks about no row",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,NaN]}]}"#,
            "JSON has no NaN and no infinity",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,1e400]}]}"#,
            "input `input`: number out of range",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32"}]}"#,
            "it has neither `data` nor `binary_data_size`",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}"#,
            "its `binary_data_size` is 8, and 0 bytes are left behind the JSON",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2],"parameters":{"binary_data_size":8}}]}"#,
            "it has both",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}],"outputs":[{"name":"y"}]}"#,
            "output `y`: the model gives `outputs`",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}],"outputs":[{"name":"outputs"},{"name":"outputs"}]}"#,
            "output `outputs`: it is asked for twice",
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}],"parameters":{"timeout":-1}}"#,
            "the body is no inference request",
        ),
    ] {
        let message = refused(body.as_bytes(), None, &model);
        assert!(message.contains(told), "`{told}` is not in `{message}`");
    }
    let deep = format!("{{\"inputs\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    refused(deep.as_bytes(), None, &model);
    let long = format!(
        r#"{{"id":"{}","inputs":[{{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}}]}}"#,
        "a".repeat(300)
    );
    assert_eq!(
        refused(long.as_bytes(), None, &model),
        "`id` has more than 256 bytes"
    );
}

#[test]
fn sizes_must_add_up() {
    let model = EchoModel::new();
    let json = |size: u64| {
        format!(
            r#"{{"inputs":[{{"name":"input","shape":[1,2],"datatype":"FP32","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    for (size, bytes, told) in [
        (8, 9, "1 bytes of the body belong to no input"),
        (8, 7, "its `binary_data_size` is 8, and 7 bytes are left"),
        (4, 8, "which are not 4 bytes"),
        (12, 12, "which are not 12 bytes"),
        (u64::MAX, 8, "and 8 bytes are left"),
    ] {
        let (body, header) = with_bytes(&json(size), &vec![0; bytes]);
        let message = refused(&body, header, &model);
        assert!(message.contains(told), "`{told}` is not in `{message}`");
    }
    let (body, _) = with_bytes(&json(8), &[0; 8]);
    for header in [body.len() + 1, usize::MAX] {
        assert!(refused(&body, Some(header), &model).contains("and the body has"));
    }
}

#[test]
fn too_many_rows_are_not_read() {
    let body = br#"{"inputs":[{"name":"input","shape":[3,2],"datatype":"FP32","data":[1]}]}"#;
    let refused = read_request(body, None, &EchoModel::new(), 2).unwrap_err();
    assert_eq!(refused.status.as_u16(), 413);
    assert_eq!(
        refused.message,
        "the request asks about 3 rows, and at most 2 are taken at once"
    );
}

#[test]
fn columns_come_together() {
    let model = columns();
    let both = br#"{"inputs":[{"name":"color","shape":[2],"datatype":"BYTES","data":["a","b"]},
        {"name":"size","shape":[2,1],"datatype":"INT32","data":[[1],[-2]]}]}"#;
    let asked = read_request(both, None, &model, 2).unwrap();
    assert_eq!(asked.rows, 2);
    assert_eq!(asked.inputs[1].values, TensorValues::Integers(vec![1, -2]));
    let uneven = br#"{"inputs":[{"name":"color","shape":[1],"datatype":"BYTES","data":["a"]},
        {"name":"size","shape":[2],"datatype":"FP64","data":[1,2]}]}"#;
    assert_eq!(
        refused(uneven, None, &model),
        "input `size` has 2 rows, and `color` has 1"
    );
    let twice = br#"{"inputs":[{"name":"color","shape":[1],"datatype":"BYTES","data":["a"]},
        {"name":"color","shape":[1],"datatype":"BYTES","data":["a"]}]}"#;
    assert_eq!(refused(twice, None, &model), "input `color` comes twice");
    let more = br#"{"inputs":[{"name":"color","shape":[1],"datatype":"BYTES","data":["a"]},
        {"name":"size","shape":[1],"datatype":"FP64","data":[1]},
        {"name":"label","shape":[1],"datatype":"FP64","data":[1]}]}"#;
    assert_eq!(
        refused(more, None, &model),
        "the model has no input `label`: it takes `size`, `color`"
    );
    let one = br#"{"inputs":[{"name":"color","shape":[1],"datatype":"BYTES","data":["a"]}]}"#;
    assert_eq!(refused(one, None, &model), "the inputs `size` are missing");
}

#[test]
fn parameters_of_outputs_stand_beside_outputs() {
    let model = EchoModel::new();
    for name in ["classification", "binary_data"] {
        let body = format!(
            r#"{{"parameters":{{"{name}":1}},"inputs":[{{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}}]}}"#
        );
        assert_eq!(
            refused(body.as_bytes(), None, &model),
            format!(
                "`{name}` is a parameter of an output, not of the request: \
                 {{\"outputs\": [{{\"name\": ..., \"parameters\": {{\"{name}\": ...}}}}]}}"
            )
        );
    }
    // Of others nothing is known here.
    let body = br#"{"parameters":{"priority":1},"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}],
        "outputs":[{"name":"outputs","parameters":{"classification":1}}]}"#;
    let asked = read_request(body, None, &model, 2).unwrap();
    assert_eq!(asked.outputs[0].classification, Some(1));
}

#[test]
fn texts_that_were_cut_are_told() {
    let model = EchoModel::new();
    let wanted = [WantedOutput {
        index: 0,
        form: OutputForm::Json,
        classification: None,
    }];
    let reply = Reply {
        name: "m",
        version: "v",
        id: None,
        rows: 1,
        texts_cut: 1,
        outputs: model.outputs(),
        tensor: &|_| TensorValues::Floats(vec![1.0, 2.0]),
        wanted: &wanted,
    };
    let (json, _) = encoded(&reply).unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"model_name":"m","model_version":"v","parameters":{"texts_cut":1},"outputs":[{"name":"outputs","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]}]}"#
    );
}

#[test]
fn answers_are_json_with_or_without_bytes() {
    let model = EchoModel::new();
    let answer = |form, classification| {
        let wanted = [WantedOutput {
            index: 0,
            form,
            classification,
        }];
        let reply = Reply {
            name: "m",
            version: "v",
            id: Some("a\"b"),
            rows: 2,
            texts_cut: 0,
            outputs: model.outputs(),
            tensor: &|_| TensorValues::Floats(vec![0.1, 2.0, -3.0, 1e-7]),
            wanted: &wanted,
        };
        encoded(&reply).unwrap()
    };
    let (json, header) = answer(OutputForm::Json, None);
    assert_eq!(header, None);
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"model_name":"m","model_version":"v","id":"a\"b","outputs":[{"name":"outputs","datatype":"FP32","shape":[2,2],"data":[0.1,2.0,-3.0,1e-7]}]}"#
    );
    let (body, header) = answer(OutputForm::Binary, None);
    let (json, bytes) = body.split_at(header.unwrap());
    assert!(
        std::str::from_utf8(json)
            .unwrap()
            .ends_with(r#""shape":[2,2],"parameters":{"binary_data_size":16}}]}"#)
    );
    let expected: Vec<u8> = [0.1f32, 2.0, -3.0, 1e-7]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    assert_eq!(bytes, expected);
    let (json, _) = answer(OutputForm::Json, Some(1));
    assert!(String::from_utf8(json).unwrap().ends_with(
        r#""datatype":"BYTES","shape":[2,1],"data":["2.000000:1:difference","0.000000:1:difference"]}]}"#
    ));
}
