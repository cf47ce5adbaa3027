//! The options of CIFAR's two archives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::preprocess::TargetKind;

/// CIFAR-10's binary archive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar10Options {}

impl Named for Cifar10Options {
    const NAME: &'static str = "cifar10";
}

impl FormatOptions for Cifar10Options {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Classification,
            samples: SampleKind::Images,
            outputs: Some(10),
            brings_val: false,
        }
    }
}

/// CIFAR-100's binary archive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar100Options {
    /// Which labels to take.
    #[serde(default)]
    pub labels: Cifar100Labels,
}

impl Named for Cifar100Options {
    const NAME: &'static str = "cifar100";
}

impl FormatOptions for Cifar100Options {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Classification,
            samples: SampleKind::Images,
            outputs: match self.labels {
                Cifar100Labels::Fine => Some(100),
                Cifar100Labels::Coarse => Some(20),
            },
            brings_val: false,
        }
    }
}

/// CIFAR-100's two label sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cifar100Labels {
    /// 100 classes.
    #[default]
    Fine,
    /// 20 superclasses.
    Coarse,
}
