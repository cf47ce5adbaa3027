//! The environment that a command is declared to run in: what of it counts is in the stage's key.

use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::spec::diagnostic::Diagnostic;
use crate::spec::reference::Reference;

/// What the digest of an image begins with.
const SHA256: &str = "sha256:";

/// Where a command runs. Where it lies on this machine is in no key; what it holds is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// A Python interpreter, or a virtual environment.
    Python(PythonEnvironment),
    /// A conda environment.
    Conda(CondaEnvironment),
    /// A container image.
    Container(ContainerEnvironment),
}

/// A Python interpreter or a virtual environment, which is found first in `PATH`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PythonEnvironment {
    /// The folder of the virtual environment, from the project's root on or absolute.
    #[serde(default)]
    pub venv: Option<String>,
    /// The interpreter, from the project's root on or absolute.
    #[serde(default)]
    pub interpreter: Option<String>,
    /// The file that says which packages it holds, such as `./uv.lock` or `./requirements.txt`: its content is part
    /// of the stage's key.
    pub lock: Reference,
    /// The version of Python, such as `3.12` or `3.12.4`: part of the stage's key, and looked at before the
    /// command starts.
    #[serde(default)]
    pub version: Option<String>,
}

/// A conda environment, activated by `conda run` or `micromamba run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CondaEnvironment {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its folder, from the project's root on or absolute.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The file that says which packages it holds, such as `./environment.yml` or `./conda-lock.yml`: its content
    /// is part of the stage's key.
    pub lock: Reference,
}

/// A container image. The command finds its folder and its inputs at the same paths, and of the caller's variables
/// those about language, time zone and proxies; graphics processors where `resources` asks for some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerEnvironment {
    /// The image with its digest, such as `python@sha256:...`: the digest is part of the stage's key.
    pub image: String,
    /// What runs it; by default docker where there is one, else podman.
    #[serde(default)]
    pub engine: Option<ContainerEngine>,
}

/// A program that runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContainerEngine {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl ContainerEngine {
    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl Environment {
    /// The role of the input that says what it holds.
    pub const LOCK: &'static str = "environment.lock";

    /// What of it is part of a key, beside the content of its lock file.
    pub(super) fn key(&self) -> Value {
        match self {
            Self::Python(python) => json!({"python": python.version}),
            Self::Conda(_) => json!({"conda": null}),
            Self::Container(container) => json!({"container": container.digest()}),
        }
    }

    /// Its lock file, and where that stands among its fields.
    pub(super) fn lock(&self) -> Option<(&Reference, &'static str)> {
        match self {
            Self::Python(python) => Some((&python.lock, "python")),
            Self::Conda(conda) => Some((&conda.lock, "conda")),
            Self::Container(_) => None,
        }
    }

    /// What its types do not tell to be wrong; `place` finds a path within it.
    pub(super) fn mistake(&self, place: &dyn Fn(&[&str]) -> SourceSpan) -> Option<Diagnostic> {
        let one_of = |found: [(&str, bool); 2], kind: &str| {
            let [(one, has_one), (other, has_other)] = found;
            (has_one == has_other).then(|| {
                let message = match has_one {
                    true => format!("both `{one}` and `{other}` say where it lies"),
                    false => "nothing says where it lies".to_owned(),
                };
                Diagnostic::new(message, place(&[kind])).help(format!("write one of `{one}` and `{other}`"))
            })
        };
        match self {
            Self::Python(python) => one_of(
                [
                    ("venv", python.venv.is_some()),
                    ("interpreter", python.interpreter.is_some()),
                ],
                "python",
            ),
            Self::Conda(conda) => one_of(
                [("name", conda.name.is_some()), ("prefix", conda.prefix.is_some())],
                "conda",
            ),
            Self::Container(container) => container.digest().is_none().then(|| {
                Diagnostic::new(
                    format!("the image `{}` has no digest", container.image),
                    place(&["container", "image"]),
                )
                .help(
                    "a tag may mean another image tomorrow: write NAME@sha256:..., as `docker images --digests` lists it",
                )
            }),
        }
    }
}

impl ContainerEnvironment {
    /// The digest of the image.
    fn digest(&self) -> Option<&str> {
        let (name, digest) = self.image.rsplit_once('@')?;
        let hex = digest.strip_prefix(SHA256)?;
        let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && !name.is_empty()).then_some(digest)
    }
}
