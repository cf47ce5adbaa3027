//! YAML text as a tree of values that know where they stand in the file.
//!
//! `${name}` marks a parameter. Inside a flow mapping (`{lr: ${lr}}`) YAML would take its braces
//! for its own, so before parsing they are replaced, one character for one, by two private-use
//! characters that YAML lets through; offsets stay what they were. `$${` stands for a literal `${`.

mod block;
mod library;
mod scalar;

use super::diagnostic::Diagnostic;
use super::node::Node;

impl Node {
    /// Reads one YAML document.
    ///
    /// # Errors
    /// The text is not YAML, repeats a key, or costs more than a file of this kind should.
    pub fn parse(source: &str) -> Result<Self, Box<Diagnostic>> {
        match block::read(source) {
            Some(root) => Ok(root),
            None => library::read(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::node::{CLOSE, OPEN, Value};

    fn at<'a>(source: &'a str, node: &Node) -> &'a str {
        &source[node.span.offset()..node.span.offset() + node.span.len()]
    }

    #[test]
    fn parameters_survive_flow_mappings_and_spans_are_bytes() {
        let source = "é: {lr: ${lr}, m: 0.9}\nshell: \"echo $${HOME} ${x}\"\n";
        let root = Node::parse(source).unwrap();
        let lr = root.get("é").unwrap().get("lr").unwrap();
        assert_eq!(lr.value, Value::Text(format!("${OPEN}lr{CLOSE}")));
        assert_eq!(at(source, lr), "${lr}");
        assert_eq!(at(source, root.get("é").unwrap().get("m").unwrap()), "0.9");
        let shell = root.get("shell").unwrap();
        assert_eq!(
            shell.value,
            Value::Text(format!("echo $${{HOME}} ${OPEN}x{CLOSE}"))
        );
    }

    #[test]
    fn numbers_have_their_types() {
        let root =
            Node::parse("[1, -2, 5e-4, 1.0, 0x10, yes, true, null, '3', 18446744073709551615]").unwrap();
        let Value::List(items) = root.value else {
            panic!("a list")
        };
        let values: Vec<Value> = items.iter().map(|item| item.value.clone()).collect();
        assert_eq!(
            values,
            [
                Value::Int(1),
                Value::Int(-2),
                Value::Float(5e-4),
                Value::Float(1.0),
                Value::Int(16),
                Value::Text("yes".into()),
                Value::Bool(true),
                Value::Null,
                Value::Text("3".into()),
                Value::Float(18_446_744_073_709_551_615.0),
            ]
        );
    }

    #[test]
    fn bad_yaml_is_placed() {
        let source = "a: 1\nb: [1, 2\nc: 3\n";
        let error = Node::parse(source).unwrap_err();
        assert!(
            error.message.starts_with("this is not valid YAML"),
            "{}",
            error.message
        );
        assert!(error.span.is_some());
        let error = Node::parse("a: 1\na: 2\n").unwrap_err();
        assert!(error.message.contains("duplicate"), "{}", error.message);
    }
}
