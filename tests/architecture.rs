//! Keeps the map of the code: which module may import which (CONTRIBUTING.md shows it as a table), and
//! that no files of the program's own layers import each other in a circle.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

#[path = "architecture/scanner.rs"]
mod scanner;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use scanner::{imports, module_path};

/// Leaves that every module may import.
const LEAVES: &[&str] = &[
    "event",
    "fingerprint",
    "http",
    "metric",
    "parallel",
    "random",
    "schema",
];

/// What else each module may import, whole or in part. `cli` may import everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli", "memory"]),
    ("memory", &[]),
    ("lib", &[]),
    ("bin", &["edge"]),
    ("fingerprint", &[]),
    ("metric", &[]),
    ("parallel", &[]),
    ("random", &[]),
    ("schema", &[]),
    ("event", &[]),
    ("http", &[]),
    ("spec", &[]),
    ("store", &[]),
    ("plan", &["spec", "store"]),
    ("tokenizer", &["spec"]),
    ("data", &["spec", "tokenizer"]),
    ("ops", &["spec"]),
    ("models", &["ops", "spec"]),
    ("quantization", &["models", "ops", "spec"]),
    ("onnx", &["models", "quantization", "data", "ops", "spec"]),
    ("train", &["models", "quantization", "data", "ops", "spec"]),
    ("generation", &["models", "ops", "spec"]),
    ("prediction", &["data", "train", "spec"]),
    ("edge", &["prediction", "data", "train"]),
    (
        "stages",
        &[
            "spec",
            "tokenizer",
            "data",
            "train",
            "prediction",
            "models",
            "quantization",
            "generation",
            "onnx",
        ],
    ),
    (
        "serve",
        &[
            "data",
            "train",
            "models",
            "generation",
            "tokenizer",
            "memory",
            "spec",
        ],
    ),
    ("exec", &["spec", "plan", "stages", "store"]),
    ("sweep", &["spec"]),
    ("record", &[]),
    ("report", &["spec"]),
    ("progress", &[]),
    (
        "app",
        &[
            "spec",
            "plan",
            "stages",
            "store",
            "exec",
            "sweep",
            "record",
            "report",
            "prediction",
            "serve",
            "progress::text",
        ],
    ),
];

/// The modules whose files may not import each other in a circle.
const WITHOUT_CIRCLES: [&str; 2] = ["app", "cli"];

#[test]
fn every_import_is_allowed() {
    let sources = sources();
    let modules = modules(&sources);
    let violations: Vec<String> = sources
        .iter()
        .flat_map(|(inside, text)| violations_in(inside, text, &modules))
        .collect();
    assert!(
        violations.is_empty(),
        "\n{}\nsee the map of the code in CONTRIBUTING.md",
        violations.join("\n")
    );
}

#[test]
fn every_permission_is_used() {
    let sources = sources();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (inside, text) in &sources {
        for (_, path) in imports(inside, text) {
            used.insert((module_of(inside), path[0].clone()));
            used.insert((
                module_of(inside),
                path.iter().take(2).cloned().collect::<Vec<_>>().join("::"),
            ));
        }
    }
    for &(module, allowed) in MAY_IMPORT {
        for import in allowed {
            let permission = (module.to_owned(), (*import).to_owned());
            assert!(
                used.contains(&permission),
                "`{module}` imports nothing of `{import}`: take it off the map"
            );
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    for module in WITHOUT_CIRCLES {
        let own: BTreeMap<&Path, &str> = sources
            .iter()
            .filter(|(inside, _)| module_of(inside) == module)
            .map(|(inside, text)| (inside.as_path(), text.as_str()))
            .collect();
        assert!(own.len() > 10, "the scanner finds the files of `{module}`");
        if let Some(circle) = circle(&own) {
            panic!("files of `{module}` import each other in a circle: {circle}");
        }
    }
}

/// The program `erlen-infer` is for machines that have no C compiler and few megabytes: whoever adds a dependency puts it
/// under the feature `full`, or shows that it is Rust alone.
#[test]
fn answers_need_no_c() {
    let tree = |target: &str, more: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = std::process::Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--no-default-features",
                "--features",
                "infer",
            ])
            .args(["--edges", "normal,build", "--prefix", "none", "--target", target])
            .args(more)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let all = match tree(target, &["--format", "{p} {f}"]) {
            Ok(all) => all,
            Err(problem) => {
                println!("skipped: cargo does not tell what Erlen depends on: {problem}");
                return;
            }
        };
        assert!(all.lines().count() > 100, "{all}");
        let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let found = |wanted: &str| all.lines().find(|line| name(line) == wanted);
        for package in [
            "bindgen",
            "cmake",
            "libsqlite3-sys",
            "mimalloc",
            "onig",
            "pkg-config",
            "ring",
            "vcpkg",
            "zstd-sys",
        ] {
            assert!(found(package).is_none(), "`{package}` is C, for {target}");
        }
        // BLAKE3 has a C compiler in its build script, and does without where it is asked to.
        let blake3 = found("blake3").unwrap_or_default();
        assert!(blake3.contains("pure"), "{blake3}");
        let users = tree(target, &["--invert", "cc", "--depth", "1"]).unwrap();
        let users: BTreeSet<String> = users
            .lines()
            .map(name)
            .filter(|user| user != "cc" && !user.is_empty() && !user.starts_with('['))
            .collect();
        assert_eq!(users, BTreeSet::from(["blake3".to_owned()]), "for {target}");
    }
}

/// Every source file, by its path in `src`.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 10, "the scanner finds the source files");
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (file.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
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
    module_path(inside).swap_remove(0)
}

fn modules(sources: &BTreeMap<PathBuf, String>) -> BTreeSet<String> {
    sources.keys().map(|inside| module_of(inside)).collect()
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
    let may_import = |path: &[String]| {
        allowed.iter().any(|allowed| {
            let mut wanted = allowed.split("::").zip(path);
            wanted.all(|(wanted, found)| wanted == found) && allowed.split("::").count() <= path.len()
        })
    };
    let violations: BTreeSet<(usize, String)> = imports(inside, text)
        .into_iter()
        .filter(|(_, path)| modules.contains(&path[0]) && path[0] != module)
        .filter(|(_, path)| !may_import(path))
        .filter(|(_, path)| module == "main" || !is_leaf_for(&module, &path[0]))
        .map(|(line, path)| {
            let parts = allowed
                .iter()
                .any(|allowed| allowed.starts_with(&format!("{}::", path[0])));
            let import = path
                .iter()
                .take(1 + usize::from(parts))
                .cloned()
                .collect::<Vec<_>>();
            (line, import.join("::"))
        })
        .collect();
    let sentence = |(line, import): &(usize, String)| {
        let file = inside.display();
        format!("src/{file}:{line}: `{module}` must not import `{import}`")
    };
    violations.iter().map(sentence).collect()
}

/// Whether `import` is a leaf to `module`; among the leaves only `event` may import another.
fn is_leaf_for(module: &str, import: &str) -> bool {
    if LEAVES.contains(&module) {
        (module, import) == ("event", "fingerprint")
    } else {
        LEAVES.contains(&import)
    }
}

/// The first circle of imports among `sources`, as a path.
fn circle(sources: &BTreeMap<&Path, &str>) -> Option<String> {
    let by_module: BTreeMap<Vec<String>, &Path> = sources
        .keys()
        .map(|inside| (module_path(inside), *inside))
        .collect();
    let next: BTreeMap<&Path, BTreeSet<&Path>> = sources
        .iter()
        .map(|(inside, text)| {
            let found = imports(inside, without_tests(text))
                .into_iter()
                .filter_map(|(_, path)| {
                    let known = (1..=path.len())
                        .rev()
                        .find_map(|length| by_module.get(&path[..length]));
                    known.copied().filter(|file| file != inside)
                });
            (*inside, found.collect())
        })
        .collect();
    let mut done = BTreeSet::new();
    sources
        .keys()
        .find_map(|start| walk(start, &next, &mut Vec::new(), &mut done))
}

/// The circle that a walk from `at` runs into, if it does.
fn walk<'a>(
    at: &'a Path,
    next: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    way: &mut Vec<&'a Path>,
    done: &mut BTreeSet<&'a Path>,
) -> Option<String> {
    if let Some(start) = way.iter().position(|before| *before == at) {
        let circle = way[start..].iter().chain([&at]);
        return Some(
            circle
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
                .join(" → "),
        );
    }
    if !done.insert(at) {
        return None;
    }
    way.push(at);
    let found = next[at].iter().find_map(|file| walk(file, next, way, done));
    way.pop();
    found
}

/// The text before a module of unit tests at its end: inside that, `super` is the file itself.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {")
        .map_or(text, |start| &text[..start])
}

#[test]
fn the_scanner_sees_what_it_should() {
    let modules: BTreeSet<String> = [
        "store", "exec", "cli", "spec", "plan", "event", "main", "app", "progress",
    ]
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
        ["`store` must not import `cli`", "`store` must not import `spec`"]
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
    assert_eq!(
        violations(
            "app/run.rs",
            "use crate::progress::{text::counted, Terminal};\nuse crate::cli::main;"
        ),
        [
            "`app` must not import `progress::Terminal`",
            "`app` must not import `cli`"
        ]
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

#[test]
fn circles_are_found() {
    let circle_of = |files: &[(&'static str, &'static str)]| {
        let sources = files
            .iter()
            .map(|(inside, text)| (Path::new(*inside), *text))
            .collect();
        circle(&sources)
    };
    let straight = [
        ("app/mod.rs", "mod run;\nmod store;\npub use run::run;"),
        (
            "app/run.rs",
            "use super::store::{self, quota::{Quota}};\n// use super::run;",
        ),
        (
            "app/store.rs",
            "mod quota;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}",
        ),
        ("app/store/quota.rs", "use crate::spec::Pipeline;"),
    ];
    assert_eq!(circle_of(&straight), None);
    let through = |file: &str, text: &'static str| {
        let mut files = straight;
        files
            .iter_mut()
            .filter(|(inside, _)| *inside == file)
            .for_each(|(_, old)| *old = text);
        circle_of(&files)
    };
    assert_eq!(
        through("app/store/quota.rs", "use super::super::run::Run;").as_deref(),
        Some("app/run.rs → app/store/quota.rs → app/run.rs")
    );
    assert_eq!(
        through("app/store/quota.rs", "fn f() { crate::app::begin() }").as_deref(),
        Some("app/mod.rs → app/run.rs → app/store/quota.rs → app/mod.rs")
    );
    assert_eq!(
        through("app/store/quota.rs", "use super::Store;").as_deref(),
        None,
        "a module may use what it is declared in, if that does not use it"
    );
    assert_eq!(
        through(
            "app/store.rs",
            "mod quota;\nuse self::quota::Quota;\nuse super::run::Run;"
        )
        .as_deref(),
        Some("app/run.rs → app/store.rs → app/run.rs")
    );
}

/// What a metric is stands in the table of metrics: a rule by a part of its name would be a second
/// place that knows, and wrong for the next metric.
#[test]
fn nobody_guesses_what_a_metric_is_by_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let methods = [
        "ends_with",
        "starts_with",
        "contains",
        "strip_prefix",
        "strip_suffix",
    ];
    let parts = [
        "loss", "accuracy", "error", "mae", "rmse", "f1", "auc", "top", "macro_", "train_", "val_",
    ];
    let mut guesses = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let text = fs::read_to_string(file).unwrap();
        // Tests look for words in what is shown.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if inside.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        for (number, line) in (1..).zip(code.lines()) {
            let guesses_here = methods.iter().any(|method| {
                let mut rest = line;
                while let Some((_, after)) = rest.split_once(&format!(".{method}(\"")) {
                    let literal = after.split('"').next().unwrap_or_default();
                    let is_word = |part: &str| literal == part || literal == format!("_{part}");
                    if parts.iter().any(|part| is_word(part)) {
                        return true;
                    }
                    rest = after;
                }
                false
            });
            if guesses_here {
                guesses.push(format!("src/{}:{number}: {}", inside.display(), line.trim()));
            }
        }
    }
    assert!(
        guesses.is_empty(),
        "\n{}\nask the table of metrics",
        guesses.join("\n")
    );
}
