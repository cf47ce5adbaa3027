//! A learning rate that stays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScheduleMoment, ScheduleOptions};
use crate::spec::choice::Named;

/// The same throughout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstantOptions {}

impl Named for ConstantOptions {
    const NAME: &'static str = "constant";
}

impl ScheduleOptions for ConstantOptions {
    fn rate(&self, base: f64, _: &ScheduleMoment<'_>) -> f64 {
        base
    }

    fn depends_on_length(&self) -> bool {
        false
    }
}
