//! References: how a stage names its inputs.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// What a stage takes as an input: the artifact of a stage (or a path inside it), or a file or
/// folder of the project.
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
}

impl Reference {
    /// Reads a reference as it is written in a pipeline file.
    ///
    /// # Errors
    /// A sentence that says what is wrong: the text is empty, absolute, or leads outside with `..`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a reference cannot be empty".to_owned());
        }
        if text.starts_with('/') {
            return Err(format!(
                "`{text}` is an absolute path; a reference is a stage's name, or a project file \
                 written with a leading ./"
            ));
        }
        let (project, rest) = match text.strip_prefix("./") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let parts: Vec<&str> = rest
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.contains(&"..") {
            return Err(format!("`{text}` leads outside with `..`"));
        }
        match (project, parts.split_first()) {
            (true, _) => Ok(Self::Project(parts.join("/"))),
            (false, Some((stage, path))) => Ok(Self::Stage {
                stage: (*stage).to_owned(),
                path: (!path.is_empty()).then(|| path.join("/")),
            }),
            (false, None) => Err(format!("`{text}` names nothing")),
        }
    }

    /// The stage referred to, if it is one.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::Stage { stage, .. } => Some(stage),
            Self::Project(_) => None,
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
            "description": "a stage's name, optionally with a path inside its artifact, \
                            or a project file with a leading ./"
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
        for bad in ["", "/etc/passwd", "../x", "./../x", "raw/../../x", "."] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
