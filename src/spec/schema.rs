//! The JSON Schema of a pipeline file, for editors.

use schemars::schema_for;
use serde_json::{Value, json};

use super::pipeline::Document;

/// The schema that editors use to complete and check pipeline files while they are written.
///
/// Wherever a number, a flag or a choice is expected, a parameter (`${name}`) may stand as well;
/// and a choice all of whose options have defaults may be written as its name alone.
pub fn json_schema() -> Value {
    let mut schema = Value::from(schema_for!(Document));
    allow_names_alone(&mut schema);
    allow_parameters(&mut schema);
    schema
}

/// `{oneOf: [{type: object, required: [sgd], properties: {sgd: ...}}]}` also admits `"sgd"`.
fn allow_names_alone(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(choices)) = object.get_mut("oneOf") {
                let names: Vec<Value> = choices.iter().filter_map(choice_name).collect();
                if !names.is_empty() {
                    choices.push(json!({"type": "string", "enum": names}));
                }
            }
            object.values_mut().for_each(allow_names_alone);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_names_alone),
        _ => {}
    }
}

/// The name of a choice that is written as a mapping with that one key.
fn choice_name(choice: &Value) -> Option<Value> {
    match choice.get("required")?.as_array()?.as_slice() {
        [name] if choice.get("additionalProperties") == Some(&Value::Bool(false)) => Some(name.clone()),
        _ => None,
    }
}

fn allow_parameters(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(allow_parameters);
            let is_number = object.get("type").is_some_and(|kind| match kind {
                Value::String(name) => matches!(name.as_str(), "number" | "integer" | "boolean" | "array"),
                Value::Array(names) => names
                    .iter()
                    .any(|name| matches!(name.as_str(), Some("number" | "integer" | "boolean"))),
                _ => false,
            });
            let is_choice = object.contains_key("oneOf") || object.contains_key("enum");
            if is_number || is_choice {
                let plain = Value::Object(std::mem::take(object));
                let parameter = json!({"type": "string", "pattern": "^\\$\\{[^}]+\\}$"});
                object.insert("anyOf".to_owned(), json!([plain, parameter]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(allow_parameters),
        _ => {}
    }
}
