//! How a command is started: the program, where it runs, and what it finds in its environment.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};

use super::environment::{self, Container};
use crate::spec::{self, EnvEntry, Environment, LONGEST_ARGUMENT, Run, is_passed};
use crate::stages::{Job, StageError, orphans};

/// The variable that holds the seed of a command that draws.
const SEED: &str = "ERLEN_SEED";

/// The variable that names the folder from which a command goes on.
const RESUME: &str = "ERLEN_RESUME";

/// That folder's name in the stage's scratch folder.
const RESUME_FOLDER: &str = "resume";

/// What runs scripts.
const SHELL: &str = "sh";

/// The file of a script that is too long for an argument, in the stage's scratch folder.
const SCRIPT_FILE: &str = "script.sh";

/// A command that is to be started.
pub(super) struct Launch<'a> {
    pub spec: &'a spec::Command,
    pub job: &'a Job,
    /// The empty folder that it runs in.
    pub folder: &'a Path,
    /// Its secrets: the variables and their values.
    pub secrets: &'a [(&'a String, String)],
    /// The container that it runs in.
    pub container: Option<&'a Container>,
}

impl Launch<'_> {
    /// What marks the stage's processes. The same each time: a program may print its environment.
    pub fn mark(&self) -> String {
        self.job.fingerprint.to_string()
    }

    /// The command, ready but for its streams.
    ///
    /// # Errors
    /// A file or a folder that it needs cannot be made, or its environment is not there.
    pub fn command(&self) -> Result<Command, StageError> {
        let own = self.words()?;
        let variables = self.variables()?;
        let words = match &self.spec.environment {
            None | Some(Environment::Python(_)) => own,
            Some(Environment::Conda(conda)) => {
                let before = environment::conda(conda, self.job).map_err(StageError::failed)?;
                [before, own].concat()
            }
            Some(Environment::Container(declared)) => {
                [self.container_words(&declared.image, &variables)?, own].concat()
            }
        };
        let mut passed: Vec<(OsString, OsString)> = Vec::new();
        // The secrets of others are none of its business.
        let others = &self.job.surroundings.secrets;
        let passes = |name: &str| is_passed(name) && !others.iter().any(|secret| secret == name);
        passed.extend(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passes)));
        passed.extend(variables);
        let mut command = if words[0] == SHELL {
            let path = passed.iter().rev().find(|(name, _)| name == "PATH");
            let shell = path.and_then(|(_, path)| found(SHELL, path));
            let mut command = Command::new(shell.unwrap_or_else(|| SHELL.into()));
            command.arg0(SHELL);
            command
        } else {
            Command::new(&words[0])
        };
        command
            .args(&words[1..])
            .current_dir(self.folder)
            .env_clear()
            .envs(passed);
        Ok(command)
    }

    /// The program and its arguments.
    fn words(&self) -> Result<Vec<OsString>, StageError> {
        Ok(match &self.spec.run {
            Run::Script(script) if script.len() >= LONGEST_ARGUMENT => {
                let file = self.job.scratch.join(SCRIPT_FILE);
                fs::write(&file, script).map_err(|error| failed(&file, &error))?;
                vec![SHELL.into(), "-e".into(), file.into()]
            }
            Run::Script(script) => [SHELL, "-e", "-c", script].map(OsString::from).to_vec(),
            Run::Program(words) => words.iter().map(OsString::from).collect(),
        })
    }

    /// The variables that the stage itself gives.
    fn variables(&self) -> Result<Vec<(OsString, OsString)>, StageError> {
        let job = self.job;
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
        // Else Python keeps back what a script prints until there is much of it.
        set("PYTHONUNBUFFERED", "1".into());
        if let Some(gpus) = &job.surroundings.gpus {
            set("CUDA_VISIBLE_DEVICES", gpus.into());
        }
        if let Some(Environment::Python(python)) = &self.spec.environment {
            let own = environment::python(python, job).map_err(StageError::failed)?;
            own.into_iter().for_each(|(name, value)| set(name, value));
        }
        for (name, entry) in &self.spec.env {
            let value = match entry {
                EnvEntry::Value(value) => Some(value.to_string()),
                EnvEntry::Variable(variable) => variable.value(),
                EnvEntry::Secret(_) => None,
            };
            value.into_iter().for_each(|value| set(name, value.into()));
        }
        for (name, value) in self.secrets {
            set(name, value.into());
        }
        for name in self.spec.inputs.keys() {
            set(name, job.input(name)?.into());
        }
        if job.draws {
            set(SEED, job.seed.to_string().into());
        }
        if let Some(folder) = self.resume_folder() {
            fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
            set(RESUME, folder.into());
        }
        set(orphans::MARK, self.mark().into());
        Ok(variables)
    }

    /// What starts the container, before the command's own words.
    fn container_words(
        &self,
        image: &str,
        variables: &[(OsString, OsString)],
    ) -> Result<Vec<OsString>, StageError> {
        let container = self
            .container
            .ok_or_else(|| StageError::failed("its container was not prepared: a mistake of Erlen's"))?;
        let script = self.job.scratch.join(SCRIPT_FILE);
        let resume = self.resume_folder();
        let mut paths: Vec<(&Path, bool)> = vec![(self.folder, true)];
        paths.extend(resume.as_deref().map(|folder| (folder, true)));
        if script.exists() {
            paths.push((&script, false));
        }
        for name in self.spec.inputs.keys() {
            paths.push((self.job.input(name)?, false));
        }
        let passed: Vec<OsString> = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_str().is_some_and(environment::reaches_container))
            .collect();
        let names = variables.iter().map(|(name, _)| name).chain(&passed);
        Ok(container.words(
            image,
            self.folder,
            &paths,
            names
                .map(OsString::as_os_str)
                .filter(|name| *name != OsStr::new("PATH")),
            self.job.surroundings.gpus.as_deref(),
        ))
    }

    /// The folder from which the command goes on, where it can.
    fn resume_folder(&self) -> Option<PathBuf> {
        self.spec.resume.then(|| self.job.scratch.join(RESUME_FOLDER))
    }

    /// That the program could not be started, and what to do.
    pub fn cannot_start(&self, error: &io::Error) -> StageError {
        let name = match &self.spec.run {
            Run::Script(_) => SHELL,
            Run::Program(words) => &words[0],
        };
        if error.kind() == io::ErrorKind::ArgumentListTooLong {
            return StageError::failed(format!(
                "the program `{name}` cannot be started: its arguments and variables are longer together than the system \
                 takes; put the longest into a file, and hand that over as an input"
            ));
        }
        let advice = match (super::advice::of_program(self, name), error.kind()) {
            (Some(advice), _) => format!("; {advice}"),
            (None, io::ErrorKind::NotFound) => "; it is not among the programs of PATH".to_owned(),
            (None, _) => String::new(),
        };
        StageError::failed(format!("the program `{name}` cannot be started: {error}{advice}"))
    }
}

/// Where `program` is among the folders of `path`; nothing where that depends on the folder it runs in. A process is
/// started sooner by a path: it is then looked for once, and the starting process is not copied to look for it.
fn found(program: &str, path: &OsStr) -> Option<PathBuf> {
    let is_runnable = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    std::env::split_paths(path)
        .take_while(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(is_runnable)
}

fn failed(path: &Path, error: &io::Error) -> StageError {
    StageError::failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn programs_are_found_where_the_path_names_them_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, mode) in [("not", 0o644), ("first", 0o755), ("second", 0o755)] {
            fs::create_dir(at(name)).unwrap();
            let file = at(name).join("tool");
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(at("folder/tool")).unwrap();
        let path = |names: &[&str]| std::env::join_paths(names.iter().map(|name| at(name))).unwrap();
        let all = path(&["none", "folder", "first", "second"]);
        assert_eq!(found("tool", &all), Some(at("first/tool")));
        assert_eq!(found("other", &all), None);
        // Whoever may read everything still runs nothing that nobody may run.
        assert_eq!(found("tool", &path(&["not", "second"])), Some(at("second/tool")));
        let relative = std::env::join_paths([Path::new("bin"), &at("first")]).unwrap();
        assert_eq!(found("tool", &relative), None);
    }
}
