//! The rotary position embedding in a `config.json`: `rope_theta` and `rope_scaling` up to version 4 of transformers,
//! `rope_parameters` from version 5 on. Each version reads its own spelling and passes over the other's in silence.

use serde_json::{Map, Value, json};

use super::config::ConfigFile;

/// The base where no file tells.
const USUAL: f64 = 10_000.0;

/// The base that `config` tells. What cannot be obeyed is refused: scaling, a part of a head's columns, kinds of layers
/// with bases of their own, and two spellings that contradict each other.
pub fn theta(config: &mut ConfigFile) -> f64 {
    let old = config.positive("rope_theta").map(|theta| theta.get());
    for name in ["rope_scaling", "rope_parameters"] {
        check_kind(config, name);
    }
    config.only(
        "partial_rotary_factor",
        &json!(1.0),
        "a rotation of a part of each head",
    );
    let new = config
        .value(&["rope_parameters"])
        .and_then(|value| value.get("rope_theta"));
    let new = match new.map(Value::as_f64) {
        Some(Some(theta)) if theta > 0.0 => Some(theta),
        Some(_) => {
            config.refuse("`rope_parameters.rope_theta` is no number over 0");
            None
        }
        None => None,
    };
    match (old, new) {
        (Some(old), Some(new)) if old != new => {
            config.refuse(format!(
                "`rope_theta: {old}` and `rope_parameters: {{rope_theta: {new}}}` contradict each other: version 4 of \
                 transformers takes the one, version 5 the other; write the right one in both places"
            ));
            new
        }
        (_, Some(theta)) | (Some(theta), None) => theta,
        (None, None) => USUAL,
    }
}

/// Whether version 4 of transformers would take the usual base where `config` tells another.
pub fn misread_by_older(values: &Map<String, Value>) -> Option<f64> {
    let told = values.get("rope_parameters")?.get("rope_theta")?.as_f64()?;
    let is_misread = values.get("rope_theta").is_none_or(Value::is_null) && told != USUAL;
    is_misread.then_some(told)
}

/// Refuses other kinds than the plain one.
fn check_kind(config: &mut ConfigFile, name: &str) {
    let Some(value) = config.value(&[name]) else {
        return;
    };
    let Some(fields) = value.as_object() else {
        config.refuse(format!("`{name}` is no object"));
        return;
    };
    let nested = fields.values().any(Value::is_object);
    // The name `type` is older than `rope_type`.
    let kind = ["rope_type", "type"]
        .iter()
        .find_map(|name| fields.get(*name)?.as_str());
    let kind = kind.unwrap_or("default").to_owned();
    let partial = fields.get("partial_rotary_factor").and_then(Value::as_f64);
    if nested {
        config.refuse(format!(
            "`{name}` tells several kinds of layers apart, which is not supported"
        ));
    }
    if kind != "default" {
        config.refuse(format!(
            "`{name}` asks for the kind `{kind}`, which is not supported, only `default`"
        ));
    }
    if partial.is_some_and(|partial| partial != 1.0) {
        config.refuse(format!(
            "`{name}` rotates a part of each head (`partial_rotary_factor`), which is not supported"
        ));
    }
}

/// Adds the base in both spellings.
pub fn write(fields: &mut Map<String, Value>, theta: f64) {
    fields.insert("rope_theta".to_owned(), json!(theta));
    fields.insert("rope_scaling".to_owned(), Value::Null);
    let both = json!({"rope_theta": theta, "rope_type": "default"});
    fields.insert("rope_parameters".to_owned(), both);
}
