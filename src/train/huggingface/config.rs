//! A folder's `config.json`, read with every problem named.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use serde_json::{Map, Value};

use crate::spec::{BelowOne, Positive};

/// The file that says what a folder's model is.
pub const CONFIG_FILE: &str = "config.json";

/// What a `config.json` says, and what is wrong with it. Numbers are taken as they are meant: transformers 5 refuses
/// `8.0` where a whole number is expected, older versions do not.
pub struct ConfigFile {
    values: Map<String, Value>,
    problems: Vec<String>,
}

impl ConfigFile {
    /// Reads that of `folder`.
    ///
    /// # Errors
    /// It cannot be read, or is no JSON object: a sentence.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(CONFIG_FILE);
        let bytes = fs::read(path).map_err(|error| format!("cannot read its {CONFIG_FILE}: {error}"))?;
        let values = serde_json::from_slice(&bytes)
            .map_err(|error| format!("its {CONFIG_FILE} is no JSON object: {error}"))?;
        Ok(Self::of(values))
    }

    /// What `values` say.
    pub fn of(values: Map<String, Value>) -> Self {
        Self {
            values,
            problems: Vec::new(),
        }
    }

    /// All that it says.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// What it says of the first of `names` that is there and not null.
    pub fn value(&self, names: &[&str]) -> Option<&Value> {
        let found = names.iter().filter_map(|name| self.values.get(*name));
        found.into_iter().find(|value| !value.is_null())
    }

    /// The same as a text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.value(&[name])?.as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.wrong(name, "a text"),
        }
    }

    /// The same as true or false.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        match self.value(&[name])?.as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(name, "true or false"),
        }
    }

    /// The same as a number.
    pub fn number(&mut self, name: &str) -> Option<f64> {
        match self.value(&[name])?.as_f64() {
            Some(number) => Some(number),
            None => self.wrong(name, "a number"),
        }
    }

    /// The same as a number over 0.
    pub fn positive(&mut self, name: &str) -> Option<Positive> {
        let number = self.number(name)?;
        match Positive::new(number) {
            Some(number) => Some(number),
            None => self.wrong(name, "a number over 0"),
        }
    }

    /// The same as a probability below 1.
    pub fn probability(&mut self, name: &str) -> Option<BelowOne> {
        let number = self.number(name)?;
        match BelowOne::new(number) {
            Some(number) => Some(number),
            None => self.wrong(name, "a probability below 1"),
        }
    }

    /// The same as a whole number from 0 on.
    pub fn count(&mut self, name: &str) -> Option<u32> {
        let number = self.number(name)?;
        match number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
            true => Some(number as u32),
            false => self.wrong(name, "a whole number"),
        }
    }

    /// The same as a whole number over 0; `names` are those under which it was known.
    pub fn size(&mut self, names: &[&str]) -> Option<NonZeroU32> {
        let name = names.iter().find(|name| self.value(&[name]).is_some())?;
        match self.count(name).map(NonZeroU32::new) {
            Some(Some(size)) => Some(size),
            Some(None) => self.wrong(name, "a whole number over 0"),
            None => None,
        }
    }

    /// The same where it must be there; 1 where it is not, which is told.
    pub fn needed(&mut self, names: &[&str]) -> NonZeroU32 {
        let found = self.size(names);
        if found.is_none() && self.value(names).is_none() {
            self.refuse(format!("it has no `{}`", names[0]));
        }
        found.unwrap_or(NonZeroU32::MIN)
    }

    /// Refuses the model where `name` is something else than `usual` (or is not there): `what` says what that would be.
    pub fn only(&mut self, name: &str, usual: &Value, what: &str) {
        if let Some(value) = self.value(&[name])
            && !same(value, usual)
        {
            self.refuse(format!(
                "`{name}: {value}` ({what}) is not supported, only `{usual}`"
            ));
        }
    }

    /// Takes note of what is wrong.
    pub fn refuse(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// All of it: a sentence.
    pub fn checked(&self) -> Result<(), String> {
        match self.problems.as_slice() {
            [] => Ok(()),
            problems => Err(format!("its {CONFIG_FILE}: {}", problems.join("; "))),
        }
    }

    fn wrong<T>(&mut self, name: &str, expected: &str) -> Option<T> {
        let value = self.values.get(name).cloned().unwrap_or_default();
        self.refuse(format!("`{name}` is {value}, and {expected} is expected"));
        None
    }
}

/// Whether two values are equal, numbers as such.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}
