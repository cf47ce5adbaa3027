//! What a metric is: its title and unit, which way it is better, how much it tells.
//!
//! A [`MetricTable`] holds what is known of metrics by name. The built-in ones are lines of a list; a
//! program adds its own to every stage ([`MetricTable::add`]), and a pipeline to one of its stages
//! ([`MetricTable::add_to`]). Checks, sweeps, pruners, tables, displays, plots and pages ask the table
//! that they are handed, and nothing else knows a metric by its name. What the table does not know has
//! no better and no worse.
//!
//! Beside them is the arithmetic of those figures that are made of boxes and masks: [`detection`], [`mask`] and
//! [`segmentation`].

mod built_in;
pub mod detection;
mod direction;
mod grouped;
mod info;
pub mod mask;
mod pareto;
pub mod segmentation;
mod table;

pub use direction::Direction;
pub use grouped::grouped;
pub use info::{EpochSplit, MetricInfo};
pub use pareto::{dominates, fronts};
pub use table::{Described, MetricTable};
