//! Parameters' values in words.

/// A parameter's value as one would write it on a line of YAML: texts bare, a mapping of one name
/// without its braces (`resnet18: {stem: cifar}`).
pub fn value_text(value: &serde_json::Value) -> String {
    fn inner(value: &serde_json::Value, outermost: bool) -> String {
        use serde_json::Value;
        match value {
            Value::Null => "null".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| inner(item, true)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", inner(value, false)))
                    .collect();
                let text = members.join(", ");
                if outermost && members.len() == 1 {
                    text
                } else {
                    format!("{{{text}}}")
                }
            }
            other => other.to_string(),
        }
    }
    inner(value, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_they_are_written() {
        use serde_json::json;
        for (value, text) in [
            (json!("bf16"), "bf16"),
            (json!(0.1), "0.1"),
            (json!([]), "[]"),
            (
                json!([{"random_crop": {"padding": 1}}, "flip"]),
                "[random_crop: {padding: 1}, flip]",
            ),
            (json!({"resnet18": {"stem": "cifar"}}), "resnet18: {stem: cifar}"),
            (json!({"a": 1, "b": [1, 2]}), "{a: 1, b: [1, 2]}"),
        ] {
            assert_eq!(value_text(&value), text);
        }
    }
}
