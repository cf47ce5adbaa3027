//! The optimizers that there are, by the type of their options.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use super::UpdateRule;
use crate::spec::{self, ListedOptions, OptimizerOptions, built_in_optimizers};
use crate::train::TrainError;

/// Options that say how weights are updated.
pub trait OptimizerRule: OptimizerOptions + ListedOptions {
    /// The arithmetic.
    fn rule(&self) -> Box<dyn UpdateRule>;
}

/// The optimizers that there are: those of this crate, and what a program adds.
#[derive(Clone)]
pub struct Optimizers(BTreeMap<&'static str, MakeRule>);

/// The rule of options that are known by their trait alone.
type MakeRule = fn(&spec::Optimizer) -> Option<Box<dyn UpdateRule>>;

impl Optimizers {
    /// The optimizers of this crate; none in a program that only asks models.
    pub fn built_in() -> Self {
        if !cfg!(feature = "full") {
            return Self(BTreeMap::new());
        }
        macro_rules! listed {
            ($($entry:path,)*) => { Self(BTreeMap::new())$(.with::<$entry>())* };
        }
        built_in_optimizers!(listed)
    }

    /// With one more optimizer; one of the same name gives way.
    #[must_use]
    pub fn with<O: OptimizerRule>(mut self) -> Self {
        let rule: MakeRule = |optimizer| Some(optimizer.options::<O>()?.rule());
        self.0.insert(O::NAME, rule);
        self
    }

    /// The arithmetic of `optimizer`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn rule(&self, optimizer: &spec::Optimizer) -> Result<Box<dyn UpdateRule>, TrainError> {
        let rule = self.0.get(optimizer.name()).and_then(|rule| rule(optimizer));
        rule.ok_or_else(|| TrainError::UnknownOptimizer {
            name: optimizer.name(),
        })
    }
}

impl Debug for Optimizers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
