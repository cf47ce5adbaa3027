//! Keeps the map of the code: which module may import which (CONTRIBUTING.md shows it as a table).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Leaves that every module may import.
const LEAVES: [&str; 6] = ["event", "fingerprint", "metric", "parallel", "random", "schema"];

/// What else each module may import. `cli` may import everything, `main` only `cli` and `memory`.
const MAY_IMPORT: [(&str, &[&str]); 22] = [
    ("main", &["cli", "memory"]),
    ("memory", &[]),
    ("lib", &[]),
    ("fingerprint", &[]),
    ("metric", &[]),
    ("parallel", &[]),
    ("random", &[]),
    ("schema", &[]),
    ("event", &[]),
    ("spec", &[]),
    ("store", &[]),
    ("plan", &["spec", "store"]),
    ("data", &["spec"]),
    ("ops", &["spec"]),
    ("models", &["ops", "spec"]),
    ("train", &["models", "data", "ops", "spec"]),
    ("stages", &["spec", "data", "train", "models"]),
    ("exec", &["spec", "plan", "stages", "store"]),
    ("sweep", &["spec"]),
    ("record", &[]),
    ("report", &["record", "plan", "spec"]),
    ("progress", &[]),
];

#[test]
fn every_import_is_allowed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 10, "the scanner finds the source files");
    let modules = modules(&files, &root);
    let mut violations = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let text = fs::read_to_string(file).unwrap();
        violations.extend(violations_in(inside, &text, &modules));
    }
    assert!(
        violations.is_empty(),
        "\n{}\nsee the map of the code in CONTRIBUTING.md",
        violations.join("\n")
    );
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// The module of the crate's root that a file belongs to: `store` for `store/lease.rs`.
fn module_of(inside: &Path) -> String {
    let first = inside.iter().next().unwrap().to_string_lossy();
    first.strip_suffix(".rs").unwrap_or(&first).to_owned()
}

fn modules(files: &[PathBuf], root: &Path) -> BTreeSet<String> {
    files
        .iter()
        .map(|file| module_of(file.strip_prefix(root).unwrap()))
        .collect()
}

fn violations_in(inside: &Path, text: &str, modules: &BTreeSet<String>) -> Vec<String> {
    let module = module_of(inside);
    if module == "cli" {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "src/{}: module `{module}` is not on the map yet",
            inside.display()
        )];
    };
    imports(inside, text)
        .into_iter()
        .filter(|(_, import)| modules.contains(import) && *import != module)
        .filter(|(_, import)| !allowed.contains(&import.as_str()))
        .filter(|(_, import)| module == "main" || !is_leaf_for(&module, import))
        .map(|(line, import)| {
            format!(
                "src/{}:{line}: `{module}` must not import `{import}`",
                inside.display()
            )
        })
        .collect()
}

/// Whether `import` is a leaf to `module`; among the leaves only `event` may import another.
fn is_leaf_for(module: &str, import: &str) -> bool {
    if LEAVES.contains(&module) {
        (module, import) == ("event", "fingerprint")
    } else {
        LEAVES.contains(&import)
    }
}

/// The modules of the crate's root that a text names, with their lines: through `crate::`, through
/// the crate's own name, or through as many `super::` as lead to the root.
fn imports(inside: &Path, text: &str) -> Vec<(usize, String)> {
    let code = without_comments_and_strings(text);
    let depth = inside.iter().count() - usize::from(inside.ends_with("mod.rs"));
    let mut roots = vec!["crate::".to_owned(), "super::".repeat(depth)];
    if inside == Path::new("main.rs") {
        roots.push("erlen::".to_owned());
    }
    let mut found = Vec::new();
    for root in &roots {
        for (start, _) in code.match_indices(root.as_str()) {
            let before = code[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = code[..start].matches('\n').count() + 1;
            let rest = &code[start + root.len()..];
            found.extend(first_names(rest).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first name of each path in `a::b`, `{a, b::{c, d}}`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut names, mut level, mut start) = (Vec::new(), 0, 0);
    for (index, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => {
                names.push(name(&group[start..index]));
                break;
            }
            '}' => level -= 1,
            ',' if level == 0 => {
                names.push(name(&group[start..index]));
                start = index + 1;
            }
            _ => {}
        }
    }
    names
}

/// `text` with comments and the insides of string literals as spaces; line breaks stay.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(quote) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(quote - 2));
            rest[quote..]
                .find(&close)
                .map_or(rest.len(), |end| quote + end + close.len())
        } else if first == '"' {
            end_of_string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    code
}

/// The length of `r#"`, with however many `#`, if the text begins with it.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text
        .strip_prefix('r')?
        .bytes()
        .take_while(|byte| *byte == b'#')
        .count();
    (text.as_bytes().get(hashes + 1) == Some(&b'"')).then_some(hashes + 2)
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn the_scanner_sees_what_it_should() {
    let modules: BTreeSet<String> = ["store", "exec", "cli", "spec", "plan", "event", "main"]
        .map(str::to_owned)
        .into();
    let violations = |file: &str, text: &str| {
        let found = violations_in(Path::new(file), text, &modules);
        found
            .iter()
            .map(|line| line.split_once(": ").unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        violations("store/lease.rs", "\nuse crate::exec::Runner;"),
        ["`store` must not import `exec`"]
    );
    assert_eq!(
        violations(
            "store/mod.rs",
            "use crate::{event::Event, spec::{Kind, Table}, store::Lease, cli};"
        ),
        ["`store` must not import `spec`", "`store` must not import `cli`"]
    );
    assert_eq!(
        violations("store/lease.rs", "fn f() { super::super::exec::run() }"),
        ["`store` must not import `exec`"]
    );
    assert_eq!(
        violations("store/mod.rs", "let x = super::exec::run();"),
        ["`store` must not import `exec`"]
    );
    assert_eq!(
        violations("main.rs", "erlen::exec::run()"),
        ["`main` must not import `exec`"]
    );
    assert_eq!(
        violations("event.rs", "use crate::store::Store;"),
        ["`event` must not import `store`"]
    );
    assert!(violations("plan/mod.rs", "use crate::{spec, store, event};").is_empty());
    assert!(violations("main.rs", "erlen::cli::main()").is_empty());
    assert!(violations("cli/run.rs", "use crate::exec;").is_empty());
    let hidden = "// use crate::exec;\n/* crate::exec */ let x = \"\\\" crate::exec\"; let y = r#\"\"crate::exec\"#; let c = '\"';";
    assert!(violations("store/lease.rs", hidden).is_empty());
    assert_eq!(
        violations("store/lease.rs", &format!("{hidden}\ncrate::exec::x")).len(),
        1
    );
    assert_eq!(
        violations_in(Path::new("new.rs"), "", &modules),
        ["src/new.rs: module `new` is not on the map yet"]
    );
}
