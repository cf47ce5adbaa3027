//! Declared environments: what stands before a command's own words, and what is first in its `PATH`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fingerprint::Digest;
use crate::spec::{
    self, CondaEnvironment, ContainerEngine, ContainerEnvironment, Environment, Kind, PythonEnvironment,
};
use crate::stages::Job;

/// The folder of an interpreter's names in the stage's scratch folder.
const PROGRAMS: &str = "programs";

/// A container finds these of the caller's variables: the others speak of the machine around it.
const CONTAINER_PASSED: [&str; 13] = [
    "LANG",
    "LANGUAGE",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
];

/// Whether a container finds the caller's variable `name`.
pub(super) fn reaches_container(name: &str) -> bool {
    CONTAINER_PASSED.contains(&name) || name.starts_with("LC_")
}

/// What can be told of the environment that a stage declares before anything runs: that it, or the program that
/// starts it, is not there.
pub fn environment_problem(kind: &Kind, project: &Path) -> Option<String> {
    match kind.options::<spec::Command>()?.environment.as_ref()? {
        Environment::Python(python) => interpreter(python, project).err(),
        Environment::Conda(_) => conda_program().err(),
        Environment::Container(container) => engine(container).err(),
    }
}

/// The interpreter of a Python environment.
fn interpreter(python: &PythonEnvironment, project: &Path) -> Result<PathBuf, String> {
    if let Some(venv) = &python.venv {
        let interpreter = project.join(venv).join("bin/python");
        if !interpreter.exists() {
            return Err(format!(
                "the virtual environment `{venv}` has no bin/python: make it first, such as by `uv sync` or `python3 -m \
                 venv {venv}`"
            ));
        }
        return Ok(interpreter);
    }
    let named = python.interpreter.as_deref().unwrap_or_default();
    let interpreter = project.join(named);
    if !interpreter.is_file() {
        return Err(format!("the interpreter `{named}` is not there"));
    }
    Ok(interpreter)
}

/// The variables that put a Python environment before everything else.
///
/// # Errors
/// It is not there, or is of another version than declared.
pub(super) fn python(python: &PythonEnvironment, job: &Job) -> Result<Vec<(&'static str, OsString)>, String> {
    let root = &job.surroundings.project;
    let interpreter = interpreter(python, root)?;
    let (programs, mut variables) = match &python.venv {
        Some(venv) => {
            let folder = root.join(venv);
            (folder.join("bin"), vec![("VIRTUAL_ENV", folder.into_os_string())])
        }
        None => {
            let programs = job.scratch.join(PROGRAMS);
            name_interpreter(&programs, &interpreter)
                .map_err(|error| format!("{}: {error}", programs.display()))?;
            (programs, Vec::new())
        }
    };
    if let Some(wanted) = &python.version {
        check_version(&interpreter, wanted)?;
    }
    let rest = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&rest)))
        .map_err(|error| format!("PATH cannot be made: {error}"))?;
    variables.push(("PATH", path));
    Ok(variables)
}

/// Lets `python` and `python3` mean the interpreter.
fn name_interpreter(programs: &Path, interpreter: &Path) -> std::io::Result<()> {
    fs::create_dir_all(programs)?;
    for name in ["python", "python3"] {
        let link = programs.join(name);
        let _ = fs::remove_file(&link);
        symlink(interpreter, link)?;
    }
    Ok(())
}

fn check_version(interpreter: &Path, wanted: &str) -> Result<(), String> {
    let output = Command::new(interpreter)
        .arg("-V")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!(
                "{} cannot be asked for its version: {error}",
                interpreter.display()
            )
        })?;
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let found = told.trim().rsplit(' ').next().unwrap_or_default();
    let rest = found.strip_prefix(wanted);
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
        return Ok(());
    }
    Err(format!(
        "{} is Python {found}, and `version` says {wanted}",
        interpreter.display()
    ))
}

/// The words that start conda's `run`, or that of a program that does the same.
fn conda_program() -> Result<Vec<OsString>, String> {
    let told = |variable: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_file())
    };
    let program = told("CONDA_EXE").or_else(|| find("conda"));
    match (program, told("MAMBA_EXE").or_else(|| find("micromamba"))) {
        (Some(program), _) => Ok(vec![program.into(), "run".into(), "--no-capture-output".into()]),
        (None, Some(program)) => Ok(vec![program.into(), "run".into()]),
        (None, None) => {
            Err("it runs in a conda environment, and neither conda nor micromamba is in PATH".to_owned())
        }
    }
}

/// The words that start a command in a conda environment.
///
/// # Errors
/// There is no conda.
pub(super) fn conda(conda: &CondaEnvironment, job: &Job) -> Result<Vec<OsString>, String> {
    let mut words = conda_program()?;
    match (&conda.prefix, &conda.name) {
        (Some(prefix), _) => {
            words.push("-p".into());
            words.push(job.surroundings.project.join(prefix).into());
        }
        (None, name) => {
            words.push("-n".into());
            words.push(name.clone().unwrap_or_default().into());
        }
    }
    Ok(words)
}

/// What runs a container.
fn engine(container: &ContainerEnvironment) -> Result<ContainerEngine, String> {
    let engines = match container.engine {
        Some(engine) => vec![engine],
        None => vec![ContainerEngine::Docker, ContainerEngine::Podman],
    };
    let found = engines
        .iter()
        .copied()
        .find(|engine| find(engine.program()).is_some());
    found.ok_or_else(|| {
        let names: Vec<&str> = engines.iter().map(|engine| engine.program()).collect();
        format!(
            "it runs in a container, and {} is not in PATH",
            names.join(" or ")
        )
    })
}

/// A container that a command is to run in.
pub(super) struct Container {
    engine: ContainerEngine,
    name: String,
}

impl Container {
    /// The container of a job.
    ///
    /// # Errors
    /// There is nothing that runs containers.
    pub fn of(container: &ContainerEnvironment, job: &Job) -> Result<Self, String> {
        let engine = engine(container)?;
        // The same for each try of this stage in this store, so that what a killed Erlen left is found.
        let place = Digest::of_bytes(job.scratch.as_os_str().as_encoded_bytes());
        Ok(Self {
            engine,
            name: format!("erlen-{}-{}", job.fingerprint.short(), place.short()),
        })
    }

    /// The words that start a command in the container, where it finds `paths` (each with whether it may write
    /// there) and the variables `names`.
    pub fn words<'n>(
        &self,
        image: &str,
        folder: &Path,
        paths: &[(&Path, bool)],
        names: impl Iterator<Item = &'n OsStr>,
        gpus: Option<&str>,
    ) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.engine.program().into()];
        words.extend(["run", "--rm", "--init", "--name"].map(OsString::from));
        words.push(self.name.clone().into());
        match self.engine {
            ContainerEngine::Docker => {
                let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
                words.push("--user".into());
                words.push(format!("{}:{}", user.as_raw(), group.as_raw()).into());
            }
            // What it writes belongs to whoever runs it.
            ContainerEngine::Podman => words.push("--userns=keep-id".into()),
        }
        let gpus = gpus.filter(|gpus| !gpus.is_empty());
        for devices in gpus.into_iter().flat_map(|gpus| match self.engine {
            // A list in quotes of its own, or docker takes the comma for another option's.
            ContainerEngine::Docker => vec![format!("\"device={gpus}\"")],
            ContainerEngine::Podman => gpus
                .split(',')
                .map(|gpu| format!("nvidia.com/gpu={gpu}"))
                .collect(),
        }) {
            let option = match self.engine {
                ContainerEngine::Docker => "--gpus",
                ContainerEngine::Podman => "--device",
            };
            words.push(option.into());
            words.push(devices.into());
        }
        for (path, writable) in paths {
            let mut mount = OsString::from("type=bind,source=");
            mount.push(path);
            mount.push(",target=");
            mount.push(path);
            if !writable {
                mount.push(",readonly");
            }
            words.push("--mount".into());
            words.push(mount);
        }
        for name in names {
            words.push("--env".into());
            words.push(name.to_owned());
        }
        words.push("--workdir".into());
        words.push(folder.into());
        words.push(image.into());
        words
    }

    /// Ends the container, if there still is one: it does not end with the program that started it.
    pub fn remove(&self) {
        // What cannot be ended is told by the next start, whose name is taken.
        let _ = Command::new(self.engine.program())
            .args(["rm", "--force", &self.name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// The program `name` of `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
