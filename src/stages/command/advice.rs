//! What may have gone wrong with a failed command: most often it looks for a file of the project, and runs in
//! an empty folder of its own.

use std::path::{Path, PathBuf};

use super::launch::Launch;
use crate::spec::{Reference, Run, is_passed};
use crate::stages::log_tail;

/// What programs say of a file that is not there.
const MISSING: [&str; 6] = [
    "No such file or directory",
    "FileNotFoundError",
    "can't open",
    "cannot open",
    "not found",
    "does not exist",
];

/// Variables that a shell sets itself.
const SHELLS_OWN: [&str; 9] = [
    "PWD", "OLDPWD", "SHLVL", "IFS", "PPID", "UID", "HOSTNAME", "RANDOM", "OPTARG",
];

/// How Python names a module that it does not find.
const NO_MODULE: &str = "No module named '";

/// What to do about a command that failed, as far as its last words and its own text tell.
pub(super) fn of(launch: &Launch<'_>) -> Option<String> {
    let tail = log_tail(&launch.job.log).join("\n");
    if let Some(name) = missing_module(&tail)
        && let Some(advice) = of_module(launch, name)
    {
        return Some(advice);
    }
    let is_missing = MISSING.iter().any(|words| tail.contains(words));
    let told = paths_in(launch, &tail).next();
    let own = is_missing.then(|| own_paths(launch).next()).flatten();
    match told.or(own) {
        Some(path) => Some(of_file(&path)),
        None if is_missing => Some(
            "it runs in an empty folder of its own: what it reads of the project is declared under `inputs`, and found \
             by the path in the variable of that name"
                .to_owned(),
        ),
        None => None,
    }
}

/// What to do where the program itself is not found.
pub(super) fn of_program(launch: &Launch<'_>, name: &str) -> Option<String> {
    paths_in(launch, name).next().map(|path| of_file(&path))
}

/// The caller's variables that the command's own text asks for and does not get, since it does not declare them.
pub(super) fn undeclared_variables(launch: &Launch<'_>) -> Vec<String> {
    let text = own_text(launch);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named = text.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
    });
    let is_own = |name: &str| {
        let spec = launch.spec;
        let declared = spec.inputs.contains_key(name) || spec.env.contains_key(name);
        let set_by_itself = [format!("{name}="), format!("for {name} "), format!("read {name}")];
        declared
            || is_passed(name)
            || name.starts_with("ERLEN_")
            || SHELLS_OWN.contains(&name)
            || launch
                .job
                .surroundings
                .secrets
                .iter()
                .any(|secret| secret == name)
            || set_by_itself.iter().any(|words| text.contains(words))
    };
    let mut names: Vec<String> = named
        .filter(|name| !name.is_empty() && !is_own(name) && std::env::var_os(name).is_some())
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What the command runs, as text.
fn own_text(launch: &Launch<'_>) -> String {
    match &launch.spec.run {
        Run::Script(script) => script.clone(),
        Run::Program(words) => words.join(" "),
    }
}

/// The files of the project that the command's own text speaks of.
fn own_paths(launch: &Launch<'_>) -> impl Iterator<Item = String> {
    let text = own_text(launch);
    paths_in(launch, &text).collect::<Vec<_>>().into_iter()
}

/// The relative paths in `text` that the project has and the folder of the command has not.
fn paths_in<'a>(launch: &'a Launch<'_>, text: &'a str) -> impl Iterator<Item = String> + 'a {
    let folder = format!("{}/", launch.folder.display());
    let words = text.split(|c: char| c.is_whitespace() || "'\"`;:,()[]<>|&=".contains(c));
    words.filter_map(move |word| {
        let word = word.strip_prefix(folder.as_str()).unwrap_or(word);
        let word = word
            .strip_prefix("./")
            .unwrap_or(word)
            .trim_end_matches(['/', '.']);
        let path = Path::new(word);
        // A word such as `data` may mean anything.
        let is_path = word.contains('/') || path.extension().is_some();
        let stays = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let is_there = |root: &Path| root.join(path).symlink_metadata().is_ok();
        (is_path && stays && is_there(&launch.job.surroundings.project) && !is_there(launch.folder))
            .then(|| word.to_owned())
    })
}

fn of_file(path: &str) -> String {
    let variable = variable_for(Path::new(path));
    format!(
        "`{path}` is a file of the project, and a command runs in an empty folder of its own: declare it, as in \
         `inputs: {{{variable}: ./{path}}}`, and write ${variable} where the path belongs"
    )
}

/// The first module that Python did not find.
fn missing_module(tail: &str) -> Option<&str> {
    let (_, rest) = tail.split_once(NO_MODULE)?;
    let (name, _) = rest.split_once('\'')?;
    name.split('.').next().filter(|name| !name.is_empty())
}

/// What to do about a module of the project that a script did not find: it lies beside the script, or at the root.
fn of_module(launch: &Launch<'_>, name: &str) -> Option<String> {
    let declared = launch.spec.inputs.values().filter_map(|input| match input {
        Reference::Project(path) => Some(PathBuf::from(path)),
        Reference::Stage { .. } | Reference::Absolute(_) | Reference::Root { .. } => None,
    });
    let folders = declared.filter_map(|path| path.parent().map(Path::to_owned));
    let mut folders: Vec<PathBuf> = folders.chain([PathBuf::new()]).collect();
    folders.dedup();
    folders.iter().find_map(|folder| {
        let root = launch.job.surroundings.project.join(folder);
        let module = [format!("{name}.py"), name.to_owned()]
            .into_iter()
            .find(|module| root.join(module).exists())?;
        let found = folder.join(module);
        let around = match folder.to_string_lossy() {
            folder if folder.is_empty() => format!("./{}", found.display()),
            folder => format!("./{folder}"),
        };
        Some(format!(
            "`{}` is a file of the project that the stage does not declare: a command finds nothing but its `inputs`; \
             declare the folder, as in `inputs: {{CODE: {around}}}`, and run the script in there by $CODE/...",
            found.display()
        ))
    })
}

/// A name for the variable of an input.
fn variable_for(path: &Path) -> String {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_uppercase();
    let name: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => name,
        _ => format!("INPUT_{name}"),
    }
}
