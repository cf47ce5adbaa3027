//! Why a stage runs.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use super::key::StageKey;
use crate::fingerprint::Digest;

/// An earlier result of a stage of the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier {
    /// The run that had it.
    pub run: i64,
    /// Its key.
    pub key: StageKey,
}

/// The nearest earlier result of each stage, found out when it is asked for: where every result is known,
/// nobody asks.
pub struct EarlierResults {
    find: Box<Find>,
    found: Mutex<HashMap<String, Option<Arc<Earlier>>>>,
}

type Find = dyn Fn(&str) -> Option<Earlier> + Send + Sync;

impl EarlierResults {
    /// What `find` gives for a stage's name.
    pub fn new(find: impl Fn(&str) -> Option<Earlier> + Send + Sync + 'static) -> Self {
        Self {
            find: Box::new(find),
            found: Mutex::default(),
        }
    }

    /// That of a stage.
    pub fn of(&self, stage: &str) -> Option<Arc<Earlier>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.get(stage) {
            return known.clone();
        }
        let earlier = (self.find)(stage).map(Arc::new);
        found.insert(stage.to_owned(), earlier.clone());
        earlier
    }
}

impl Default for EarlierResults {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for EarlierResults {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlierResults").finish_non_exhaustive()
    }
}

/// Why a stage runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// There is no earlier result to compare with.
    NeverRan,
    /// A field has another value than in the nearest earlier result.
    ParamChanged {
        /// The field's path, such as `optimizer.sgd.lr`.
        path: String,
        /// The earlier value; nothing where the field is new.
        old: Option<Value>,
        /// The value now; nothing where the field is gone.
        new: Option<Value>,
        /// The run with the earlier result.
        since: i64,
        /// How many more fields and inputs differ.
        more: usize,
    },
    /// An input has another content than in the nearest earlier result.
    InputChanged {
        /// The input's role.
        input: String,
        /// The earlier content; nothing where the input is new.
        old: Option<Digest>,
        /// The content now; nothing where the input is gone.
        new: Option<Digest>,
        /// The run with the earlier result.
        since: i64,
        /// How many more inputs differ.
        more: usize,
    },
    /// The stage does something else now, or Erlen does the same in another way.
    KindChanged {
        /// The kind and version of the earlier result.
        old: String,
        /// The kind and version now.
        new: String,
        /// The run with the earlier result.
        since: i64,
    },
    /// The result was there once and is not any more.
    Evicted {
        /// What is missing.
        what: String,
    },
    /// The result in the store was damaged.
    Corrupt {
        /// What is wrong with it.
        what: String,
    },
    /// The user asked for it.
    Forced,
}

impl Reason {
    /// The first difference between an earlier result's key and the present one.
    pub(super) fn since(earlier: &Earlier, now: &StageKey) -> Self {
        let (then, since) = (&earlier.key, earlier.run);
        let kind = |key: &StageKey| format!("{} (version {})", key.kind, key.version);
        if (&then.kind, then.version) != (&now.kind, now.version) {
            return Self::KindChanged {
                old: kind(then),
                new: kind(now),
                since,
            };
        }
        let mut fields = differences(&then.fields, &now.fields);
        if then.seed != now.seed {
            fields.push(Difference {
                path: "seed".to_owned(),
                old: then.seed.map(Value::from),
                new: now.seed.map(Value::from),
            });
        }
        let roles: std::collections::BTreeSet<&String> =
            then.inputs.keys().chain(now.inputs.keys()).collect();
        let inputs: Vec<&String> = roles
            .into_iter()
            .filter(|role| then.inputs.get(*role) != now.inputs.get(*role))
            .collect();
        let differing = fields.len() + inputs.len();
        if let Some(Difference { path, old, new }) = fields.into_iter().next() {
            return Self::ParamChanged {
                path,
                old,
                new,
                since,
                more: differing - 1,
            };
        }
        match inputs.first() {
            Some(role) => Self::InputChanged {
                input: (*role).clone(),
                old: then.inputs.get(*role).copied(),
                new: now.inputs.get(*role).copied(),
                since,
                more: differing - 1,
            },
            None => Self::Evicted {
                what: format!("the result of run {since} is no longer in the store"),
            },
        }
    }
}

/// A leaf at which two JSON values differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its path, such as `optimizer.sgd.lr`.
    pub path: String,
    /// What stands there in the one; nothing where the other alone has it.
    pub old: Option<Value>,
    /// What stands there in the other.
    pub new: Option<Value>,
}

/// The leaves at which two values differ, in the order of their paths.
pub fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect("", Some(old), Some(new), &mut found);
    found
}

fn collect(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                collect(&path, left.get(name), right.get(name), found);
            }
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let more = |f: &mut Formatter<'_>, more: usize| match more {
            0 => Ok(()),
            count => write!(f, " (and {count} more)"),
        };
        match self {
            Self::NeverRan => f.write_str("never ran"),
            Self::ParamChanged {
                path,
                old,
                new,
                since,
                more: count,
            } => {
                match (old, new) {
                    (None, Some(new)) => write!(f, "{path} is new: {}", Short(new))?,
                    (Some(old), None) => write!(f, "{path} is gone, was {}", Short(old))?,
                    (Some(old), Some(new)) => write!(f, "{path} changed {} -> {}", Short(old), Short(new))?,
                    (None, None) => write!(f, "{path} changed")?,
                }
                write!(f, " since run {since}")?;
                more(f, *count)
            }
            Self::InputChanged {
                input,
                old,
                new,
                since,
                more: count,
            } => {
                match (old, new) {
                    (None, _) => write!(f, "input {input} is new")?,
                    (_, None) => write!(f, "input {input} is gone")?,
                    (Some(old), Some(new)) => {
                        write!(f, "input {input} changed {} -> {}", old.short(), new.short())?;
                    }
                }
                write!(f, " since run {since}")?;
                more(f, *count)
            }
            Self::KindChanged { old, new, since } => write!(f, "{old} became {new} since run {since}"),
            Self::Evicted { what } => write!(f, "evicted: {what}"),
            Self::Corrupt { what } => write!(f, "corrupt: {what}"),
            Self::Forced => f.write_str("forced"),
        }
    }
}

/// A value on one line, long ones cut.
struct Short<'a>(&'a Value);

impl Display for Short<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const MOST: usize = 48;
        let text = self.0.to_string();
        if text.chars().count() > MOST {
            write!(f, "{}…", text.chars().take(MOST).collect::<String>())
        } else {
            f.write_str(&text)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn key(fields: Value, input: &str, seed: Option<u64>) -> StageKey {
        StageKey {
            kind: "train".into(),
            version: 1,
            fields,
            seed,
            inputs: BTreeMap::from([("data".to_owned(), Digest::of_bytes(input.as_bytes()))]),
        }
    }

    fn since(now: &StageKey) -> String {
        let earlier = Earlier {
            run: 12,
            key: key(
                json!({"optimizer": {"sgd": {"lr": 0.1}}, "epochs": 2}),
                "a",
                Some(0),
            ),
        };
        Reason::since(&earlier, now).to_string()
    }

    #[test]
    fn reasons_name_what_changed() {
        let lr = |lr: f64| json!({"optimizer": {"sgd": {"lr": lr}}, "epochs": 2});
        assert_eq!(
            since(&key(lr(0.05), "a", Some(0))),
            "optimizer.sgd.lr changed 0.1 -> 0.05 since run 12"
        );
        assert_eq!(
            since(&key(lr(0.1), "a", Some(3))),
            "seed changed 0 -> 3 since run 12"
        );
        assert!(since(&key(lr(0.1), "b", Some(0))).starts_with("input data changed "));
        let both = since(&key(lr(0.2), "b", Some(0)));
        assert_eq!(
            both,
            "optimizer.sgd.lr changed 0.1 -> 0.2 since run 12 (and 1 more)"
        );
        let other = json!({"optimizer": {"adamw": {"lr": 0.1}}, "epochs": 2});
        let reason = since(&key(other, "a", Some(0)));
        assert_eq!(
            reason,
            r#"optimizer.adamw is new: {"lr":0.1} since run 12 (and 1 more)"#
        );
        let mut version = key(lr(0.1), "a", Some(0));
        version.version = 2;
        assert_eq!(
            since(&version),
            "train (version 1) became train (version 2) since run 12"
        );
        assert!(since(&key(lr(0.1), "a", Some(0))).starts_with("evicted"));
    }
}
