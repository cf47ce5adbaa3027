//! In which order stages come: each after all that it waits for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::spec::{self, Pipeline, StageSpec};

/// A stage that is to be planned, with what it takes in.
pub(super) struct WantedStage<'a> {
    pub name: &'a str,
    pub stage: &'a Arc<StageSpec>,
    pub inputs: Vec<spec::Input>,
    /// The stages that it waits for, as places in the list that it stands in, in the order of their names.
    pub upstream: Vec<usize>,
}

/// The wanted stages and all that they need, each after what it waits for, in the file's order where
/// dependencies leave a choice. Where `targets` names none, all are wanted.
pub(super) fn wanted<'a>(pipeline: &'a Pipeline, targets: &[String]) -> Vec<WantedStage<'a>> {
    let stages = &pipeline.stages;
    let mut inputs: Vec<Option<Vec<spec::Input>>> = Vec::with_capacity(stages.len());
    let mut upstream: Vec<Vec<usize>> = Vec::with_capacity(stages.len());
    for stage in stages.values() {
        let of_stage = stage.kind.inputs();
        let names = of_stage.iter().filter_map(|input| input.reference.stage());
        let mut waits: Vec<&str> = names.chain(stage.after.iter().map(String::as_str)).collect();
        waits.sort_unstable();
        waits.dedup();
        // A pipeline that was read refers to stages that there are.
        upstream.push(
            waits
                .into_iter()
                .filter_map(|name| stages.get_index_of(name))
                .collect(),
        );
        inputs.push(Some(of_stage));
    }
    let roots: Vec<usize> = if targets.is_empty() {
        (0..stages.len()).collect()
    } else {
        let mut roots: Vec<usize> = targets
            .iter()
            .filter_map(|name| stages.get_index_of(name))
            .collect();
        roots.sort_unstable();
        roots
    };
    // Depth first, each after its upstream.
    let mut place: HashMap<usize, usize> = HashMap::with_capacity(stages.len());
    let mut order: Vec<WantedStage<'a>> = Vec::with_capacity(stages.len());
    for root in roots {
        let mut stack = vec![(root, false)];
        while let Some((index, ready)) = stack.pop() {
            if place.contains_key(&index) {
                continue;
            }
            if !ready {
                stack.push((index, true));
                stack.extend(upstream[index].iter().rev().map(|&index| (index, false)));
                continue;
            }
            let Some((name, stage)) = stages.get_index(index) else {
                continue;
            };
            place.insert(index, order.len());
            order.push(WantedStage {
                name,
                stage,
                inputs: inputs[index].take().unwrap_or_default(),
                upstream: upstream[index].iter().map(|index| place[index]).collect(),
            });
        }
    }
    order
}
