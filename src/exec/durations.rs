//! How long stages took before, and so how long they are expected to take.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::plan::{Decision, Plan};

/// Finds out how long stages took before.
#[derive(Clone)]
pub struct Durations(Arc<dyn Fn() -> HashMap<String, f64> + Send + Sync>);

impl Durations {
    /// What `find` will give: seconds, by stage.
    pub fn new(find: impl Fn() -> HashMap<String, f64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new(HashMap::new)
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Durations")
    }
}

/// The seconds that each node is expected to run, by its number: 0 where its result is known. A stage that
/// never ran is expected to take as long as those of its kind usually do.
pub(super) fn estimates(plan: &Plan, durations: &Durations) -> Vec<f64> {
    let known = (durations.0)();
    let mut of_kind: HashMap<&str, (f64, u32)> = HashMap::new();
    let before: Vec<Option<f64>> = plan
        .order()
        .iter()
        .map(|&index| {
            let mut names = plan.node(index).names.iter();
            names.find_map(|name| known.get(&name.to_string()).copied())
        })
        .collect();
    for (&index, seconds) in plan.order().iter().zip(&before) {
        if let Some(seconds) = seconds {
            let (sum, count) = of_kind.entry(plan.node(index).stage.kind.name()).or_default();
            *sum += seconds;
            *count += 1;
        }
    }
    let expected = plan.order().iter().zip(before).map(|(&index, before)| {
        let node = plan.node(index);
        match node.decision {
            Decision::Reuse(_) => 0.0,
            _ => before.unwrap_or_else(|| {
                let usual = of_kind.get(node.stage.kind.name());
                usual.map_or(1.0, |(sum, count)| sum / f64::from(*count))
            }),
        }
    });
    expected.collect()
}
