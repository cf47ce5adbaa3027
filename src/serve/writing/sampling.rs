//! The fields of a request, read one by one.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::serve::refused::Refused;
use crate::spec::{Positive, Probability, SampleOptions, Share};

/// The fields of a request's JSON that are left to be read. What is null is as good as not there.
pub(super) struct RequestFields(Map<String, Value>);

impl RequestFields {
    pub fn new(fields: Map<String, Value>) -> Self {
        Self(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }

    /// What stands in the field, which counts as read.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// A field that is not read.
    pub fn first(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }

    /// A number within bounds, which are `expected` in words.
    pub fn number(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<f64>,
        expected: &str,
    ) -> Result<Option<f64>, Refused> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_f64().filter(|number| bounds.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(name, expected, &value)),
        }
    }

    /// A whole number within bounds.
    pub fn whole(&mut self, name: &'static str, least: u64, most: u64) -> Result<Option<u64>, Refused> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        // What no 64 bits hold is as much as can be.
        let beyond = || value.as_f64().is_some_and(|number| number >= u64::MAX as f64);
        let number = value.as_u64().or_else(|| beyond().then_some(u64::MAX));
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None if most == u64::MAX => Err(wrong(name, &format!("a whole number from {least} on"), &value)),
            None => Err(wrong(
                name,
                &format!("a whole number from {least} to {most}"),
                &value,
            )),
        }
    }

    /// Whether something is so.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Refused> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(value) => Err(wrong(name, "true or false", &value)),
        }
    }

    /// Fails where the field asks for something that is not done here: something else than one of `idle`.
    pub fn idle(&mut self, name: &'static str, idle: &[Value], instead: &str) -> Result<(), Refused> {
        let Some(value) = self.take(name) else {
            return Ok(());
        };
        let is_zero = |value: &Value| value.as_f64() == Some(0.0);
        let is_idle = |other: &Value| *other == value || (is_zero(other) && is_zero(&value));
        match idle.iter().any(is_idle) {
            true => Ok(()),
            false => Err(Refused::bad(format!("`{name}` is not supported here: {instead}"))
                .about(name, "unsupported_parameter")),
        }
    }

    /// How tokens are drawn; nothing where the likeliest is to be taken each time.
    pub fn sample(&mut self) -> Result<Option<SampleOptions>, Refused> {
        let temperature = self.number("temperature", 0.0..=2.0, "a number from 0 to 2")?;
        let temperature = temperature.unwrap_or(1.0);
        let top_p = self.number("top_p", f64::MIN_POSITIVE..=1.0, "a number over 0 and at most 1")?;
        let top_k = self.whole("top_k", 1, u32::MAX.into())?;
        let min_p = self.number("min_p", 0.0..=1.0, "a number from 0 to 1")?;
        let options = SampleOptions {
            temperature: Positive::new(temperature),
            top_k: top_k.and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?)),
            top_p: top_p.filter(|share| *share != 1.0).and_then(Share::new),
            min_p: min_p.filter(|share| *share > 0.0).and_then(Probability::new),
        };
        Ok((temperature > 0.0).then_some(options))
    }

    /// The texts that end another.
    pub fn stop(&mut self) -> Result<Vec<String>, Refused> {
        const MOST: usize = 16;
        let Some(value) = self.take("stop") else {
            return Ok(Vec::new());
        };
        let refused = || {
            wrong(
                "stop",
                "a text, or a list of at most 16 that are not empty",
                &value,
            )
        };
        let stops: Option<Vec<String>> = match &value {
            Value::String(stop) => Some(vec![stop.clone()]),
            Value::Array(stops) if stops.len() <= MOST => stops
                .iter()
                .map(|stop| stop.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        let stops = stops.ok_or_else(refused)?;
        match stops.iter().any(String::is_empty) {
            true => Err(refused()),
            false => Ok(stops),
        }
    }

    /// The seed, where one is given.
    pub fn seed(&mut self) -> Result<Option<u64>, Refused> {
        let Some(value) = self.take("seed") else {
            return Ok(None);
        };
        let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
        seed.map(Some)
            .ok_or_else(|| wrong("seed", "a whole number of 64 bits", &value))
    }
}

/// What is wrong with a field that should be `expected`.
pub(super) fn wrong(name: &'static str, expected: &str, value: &Value) -> Refused {
    let shown: String = value.to_string().chars().take(60).collect();
    Refused::bad(format!("`{name}` is {shown}, and should be {expected}")).about(name, "invalid_value")
}
