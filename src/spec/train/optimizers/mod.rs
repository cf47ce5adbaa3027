//! How the weights are updated: the options of each optimizer in a file of its own.

mod adam;
mod lion;
mod sgd;

use crate::spec::choice::{ChoiceList, ChoiceOptions, choice};
use crate::spec::mistake::Mistake;

pub use adam::{AdamOptions, AdamWOptions};
pub use lion::LionOptions;
pub use sgd::SgdOptions;

/// The options of an optimizer.
pub trait OptimizerOptions: ChoiceOptions {
    /// The base learning rate.
    fn lr(&self) -> f64;

    /// The weight decay.
    fn weight_decay(&self) -> f64;

    /// What contradicts each other in them, with paths from the options on.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }
}

choice!("How the weights are updated.", Optimizer of OptimizerOptions in optimizers);

/// The optimizers of this crate, in the order in which users are told of them. `$each` is a macro that is handed their
/// types: whatever is done with all of them follows from this list.
macro_rules! built_in_optimizers {
    ($each:ident) => {
        $each! {
            $crate::spec::SgdOptions,
            $crate::spec::AdamOptions,
            $crate::spec::AdamWOptions,
            $crate::spec::LionOptions,
        }
    };
}

pub(crate) use built_in_optimizers;

/// The list of them.
pub(in crate::spec) fn built_in() -> ChoiceList<dyn OptimizerOptions> {
    macro_rules! listed {
        ($($entry:path,)*) => { ChoiceList::<dyn OptimizerOptions>::new()$(.with::<$entry>())* };
    }
    built_in_optimizers!(listed)
}
