//! Keeps one meaning for each name: a type's name stands once in the crate, or with a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that stand twice, and why they may. Never more than one of them is visible outside its file.
const KEPT: [(&str, &str); 0] = [];

/// No more than so many reasons are good ones.
const MOST: usize = 15;

/// A type's definition.
#[derive(Debug)]
struct Definition {
    file: PathBuf,
    /// Whether other files can see it.
    visible: bool,
}

#[test]
fn a_name_has_one_meaning() {
    assert!(KEPT.len() <= MOST, "too many names that stand twice");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 300, "the scanner finds the types");
    let mut wrong = Vec::new();
    for (name, definitions) in &found {
        let files: Vec<String> = definitions
            .iter()
            .map(|definition| definition.file.display().to_string())
            .collect();
        let visible = definitions.iter().filter(|definition| definition.visible).count();
        let kept = KEPT.iter().any(|(kept, _)| kept == name);
        if visible > 1 || (definitions.len() > 1 && !kept) {
            wrong.push(format!("`{name}` is defined in {}", files.join(", ")));
        }
    }
    for (name, _) in KEPT {
        if found.get(name).is_none_or(|definitions| definitions.len() < 2) {
            wrong.push(format!("`{name}` stands once: take it off the list"));
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\ngive each thing a name of its own",
        wrong.join("\n")
    );
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<Definition>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = ["tests", "tests.rs", "testing.rs"]
            .iter()
            .any(|name| path.ends_with(name));
        if is_test {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for (name, visible) in definitions(&text) {
                let file = path.strip_prefix(root).unwrap().to_owned();
                found.entry(name).or_default().push(Definition { file, visible });
            }
        }
    }
}

/// The types that a file defines outside its tests, and whether other files can see each.
fn definitions(text: &str) -> Vec<(String, bool)> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.filter_map(definition).collect()
}

fn definition(line: &str) -> Option<(String, bool)> {
    let indented = line.starts_with(' ');
    let mut rest = line.trim_start();
    let mut visible = false;
    if let Some(after) = rest.strip_prefix("pub") {
        visible = true;
        rest = match after.strip_prefix('(') {
            Some(limited) => limited.split_once(')')?.1,
            None => after,
        };
    }
    rest = rest.trim_start();
    rest = rest.strip_prefix("unsafe ").unwrap_or(rest);
    let (keyword, rest) = rest.split_once(' ')?;
    // A `type` within an `impl` is an associated one.
    let defines =
        matches!(keyword, "struct" | "enum" | "trait" | "union") || (keyword == "type" && !indented);
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
    (defines && is_type).then_some((name, visible))
}

#[test]
fn the_scanner_sees_definitions() {
    let text = "pub struct A;\npub(super) enum B {}\n    struct C<'a>(&'a str);\nimpl Iterator for A {\n    type Item = u8;\n}\n\
                // struct D;\npub unsafe trait E {}\ntype F = u8;\nlet enum_like = 1;\n#[cfg(test)]\nmod tests {\n    struct G;\n}\n";
    let found = definitions(text);
    let found: Vec<(&str, bool)> = found
        .iter()
        .map(|(name, visible)| (name.as_str(), *visible))
        .collect();
    assert_eq!(
        found,
        [("A", true), ("B", true), ("C", false), ("E", true), ("F", false)]
    );
}
