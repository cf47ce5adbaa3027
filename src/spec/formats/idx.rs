//! The options of `idx`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::preprocess::TargetKind;

/// The MNIST family: IDX files of images and labels, plain or gzipped, named
/// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-...`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxOptions {}

impl Named for IdxOptions {
    const NAME: &'static str = "idx";
}

impl FormatOptions for IdxOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Classification,
            samples: SampleKind::Images,
            outputs: None,
            brings_val: false,
        }
    }
}
