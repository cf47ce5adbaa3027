//! References: how a stage names its inputs.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::validate::is_name;

/// What a stage takes as an input: the artifact of a stage (or a path inside it), or a file or
/// folder, of the project or from elsewhere. Files count by their content, never by their paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// `raw` or `raw/some/path`.
    Stage {
        /// The stage's name.
        stage: String,
        /// A path inside the stage's artifact, with `/` between its parts.
        path: Option<String>,
    },
    /// `./some/path`, relative to the project's root.
    Project(String),
    /// `/some/path`, anywhere on this machine.
    Absolute(String),
    /// `scans:some/path`, below a root that the project's settings name.
    Root {
        /// The root's name.
        root: String,
        /// A path inside it, with `/` between its parts; empty for the root itself.
        path: String,
    },
}

impl Reference {
    /// Reads a reference as it is written in a pipeline file.
    ///
    /// # Errors
    /// A sentence that says what is wrong: the text is empty, an address, or leads outside with `..`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a reference cannot be empty".to_owned());
        }
        if text.contains("://") {
            return Err(match text.strip_prefix("file://") {
                Some(path) => format!(
                    "`{text}` is the address of a file: write its path, `/{}`",
                    path.trim_start_matches('/')
                ),
                None => format!("`{text}` is an address: a `download` stage fetches what lies there"),
            });
        }
        if text.starts_with('~') {
            return Err(format!(
                "`{text}` begins with `~`: write the whole path, or name a root in erlen.yaml (`roots: {{data: ~/data}}`) \
                 and write `data:` and the path in it"
            ));
        }
        let (base, rest) = Base::of(text);
        let parts: Vec<&str> = rest
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.contains(&"..") {
            let inside: Vec<&str> = parts.into_iter().filter(|part| *part != "..").collect();
            return Err(match base {
                Base::Machine => format!("`{text}` goes up with `..`: write the path without it"),
                Base::Root(root) => format!(
                    "`{text}` leads outside with `..`: name a root for what lies outside of `{root}`, in erlen.yaml"
                ),
                Base::Project | Base::Stages => format!(
                    "`{text}` leads outside with `..`: for data outside the project write its whole path, such as \
                     `/data/{path}`, or name a root in erlen.yaml (`roots: {{data: ../data}}`) and write `data:` and the \
                     path in it",
                    path = inside.last().unwrap_or(&"table.csv")
                ),
            });
        }
        let path = parts.join("/");
        Ok(match (base, parts.split_first()) {
            (Base::Project, _) => Self::Project(path),
            (Base::Machine, _) => Self::Absolute(format!("/{path}")),
            (Base::Root(root), _) => Self::Root {
                root: root.to_owned(),
                path,
            },
            (Base::Stages, Some((stage, path))) => Self::Stage {
                stage: (*stage).to_owned(),
                path: (!path.is_empty()).then(|| path.join("/")),
            },
            (Base::Stages, None) => return Err(format!("`{text}` names nothing")),
        })
    }

    /// The stage referred to, if it is one.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::Stage { stage, .. } => Some(stage),
            Self::Project(_) | Self::Absolute(_) | Self::Root { .. } => None,
        }
    }
}

/// What a path goes on from.
enum Base<'a> {
    Stages,
    Project,
    Machine,
    Root(&'a str),
}

impl<'a> Base<'a> {
    /// What a reference begins with, and what follows.
    fn of(text: &'a str) -> (Self, &'a str) {
        if text.starts_with('/') {
            return (Self::Machine, text);
        }
        if let Some(rest) = text.strip_prefix("./") {
            return (Self::Project, rest);
        }
        match text.split_once(':') {
            Some((root, rest)) if is_name(root) => (Self::Root(root), rest),
            _ => (Self::Stages, text),
        }
    }
}

impl Display for Reference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage { stage, path: None } => f.write_str(stage),
            Self::Stage {
                stage,
                path: Some(path),
            } => write!(f, "{stage}/{path}"),
            Self::Project(path) => write!(f, "./{path}"),
            Self::Absolute(path) => f.write_str(path),
            Self::Root { root, path } if path.is_empty() => write!(f, "{root}:."),
            Self::Root { root, path } => write!(f, "{root}:{path}"),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "a stage's name, optionally with a path inside its artifact; a project file with a \
                            leading ./; an absolute path; or ROOT:PATH, below a root that erlen.yaml names"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_forms() {
        assert_eq!(Reference::parse("raw").unwrap().to_string(), "raw");
        assert_eq!(Reference::parse("raw//a/./b").unwrap().to_string(), "raw/a/b");
        assert_eq!(
            Reference::parse("./data/x.csv").unwrap(),
            Reference::Project("data/x.csv".into())
        );
        for (text, shown) in [
            ("/data//scans/./x", "/data/scans/x"),
            ("/", "/"),
            ("scans:2024/x", "scans:2024/x"),
            ("scans:/2024//x", "scans:2024/x"),
            ("scans:.", "scans:."),
            ("scans:", "scans:."),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(
                (reference.to_string().as_str(), reference.stage()),
                (shown, None),
                "{text}"
            );
            assert_eq!(Reference::parse(shown).unwrap(), reference);
        }
        for bad in [
            "",
            "../x",
            "./../x",
            "raw/../../x",
            ".",
            "/data/../x",
            "scans:../x",
            "~/x",
            "file:///x",
            "https://a/b",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
        for (text, told) in [
            (
                "../data/x.csv",
                "`../data/x.csv` leads outside with `..`: for data outside the project write its whole path, such as \
                 `/data/x.csv`, or name a root in erlen.yaml (`roots: {data: ../data}`) and write `data:` and the path in it",
            ),
            ("./../x", "such as `/data/x`, or name a root in erlen.yaml"),
            (
                "/data/../x",
                "`/data/../x` goes up with `..`: write the path without it",
            ),
            (
                "scans:../x",
                "name a root for what lies outside of `scans`, in erlen.yaml",
            ),
            (
                "~/data/x.csv",
                "write the whole path, or name a root in erlen.yaml (`roots: {data: ~/data}`)",
            ),
            (
                "file:///data/x.csv",
                "is the address of a file: write its path, `/data/x.csv`",
            ),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
