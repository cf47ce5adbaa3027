//! How long stages took before, and how much is left behind each.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::plan::{Decision, NodeIndex, Plan};

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

/// The seconds from each node's start to the end of all that waits for it, by the node's number. A stage
/// that never ran is expected to take as long as those of its kind usually do.
pub(super) fn remaining(plan: &Plan, durations: &Durations) -> Vec<f64> {
    let known = (durations.0)();
    let mut of_kind: HashMap<&str, (f64, u32)> = HashMap::new();
    let seconds_of = |index: NodeIndex| {
        plan.node(index)
            .names
            .iter()
            .find_map(|name| known.get(&name.to_string()).copied())
    };
    for &index in plan.order() {
        if let Some(seconds) = seconds_of(index) {
            let (sum, count) = of_kind.entry(plan.node(index).stage.kind.name()).or_default();
            *sum += seconds;
            *count += 1;
        }
    }
    let mut remaining = vec![0.0; plan.order().len()];
    for &index in plan.order().iter().rev() {
        let node = plan.node(index);
        let own = match node.decision {
            Decision::Reuse(_) => 0.0,
            _ => seconds_of(index).unwrap_or_else(|| {
                let usual = of_kind.get(node.stage.kind.name());
                usual.map_or(1.0, |(sum, count)| sum / f64::from(*count))
            }),
        };
        let behind = plan.downstream(index).map(|next| remaining[next.index()]);
        remaining[index.index()] = own + behind.fold(0.0, f64::max);
    }
    remaining
}
