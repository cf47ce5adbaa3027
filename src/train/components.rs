//! What training and evaluation choose by name.

use super::optimizer::Optimizers;
use super::tasks::Tasks;
use crate::models::Models;
use crate::spec::Vocabulary;

/// What training and evaluation choose by name, each list with what this crate brings and what a program
/// adds.
#[derive(Clone, Debug)]
pub struct Components {
    /// How the options of all of them are read.
    pub vocabulary: Vocabulary,
    /// The architectures.
    pub models: Models,
    /// The optimizers.
    pub optimizers: Optimizers,
    /// What can be predicted.
    pub tasks: Tasks,
}

impl Components {
    /// What this crate brings.
    pub fn built_in() -> Self {
        Self {
            vocabulary: Vocabulary::built_in(),
            models: Models::built_in(),
            optimizers: Optimizers::built_in(),
            tasks: Tasks::built_in(),
        }
    }
}
