//! Which trials are better than others.

use super::known::{Goal, Known, Standing};
use crate::metric::fronts;

/// The indices of the trials that tell something, the best first.
///
/// Trials that came to their end come first, by their objective; then those that were stopped, by
/// how far they got and then by the best figure of their curve; last those whose objective is no
/// finite number. Several objectives count by the front that a trial lies on (Deb et al., "A fast
/// and elitist multiobjective genetic algorithm: NSGA-II", 2002), and on the same front by how far
/// its neighbours are. Equals stay in the order of their numbers. Trials that failed, and those
/// that are under way without any figure yet, tell nothing.
pub(super) fn best_first(known: &[Known], goal: &Goal) -> Vec<usize> {
    let (mut done, mut stopped, mut worst) = (Vec::new(), Vec::new(), Vec::new());
    for (index, trial) in known.iter().enumerate() {
        match trial.standing {
            Standing::Done { objectives } => {
                let losses = goal.losses(objectives);
                if losses.iter().all(|loss| loss.is_finite()) {
                    done.push((index, losses));
                } else {
                    worst.push(index);
                }
            }
            Standing::Open | Standing::Paused if !trial.curve.is_empty() => {
                stopped.push((index, trial.curve.len(), goal.best_loss(trial.curve)));
            }
            _ => {}
        }
    }
    if goal.objectives.len() > 1 {
        let losses: Vec<&[f64]> = done.iter().map(|(_, losses)| losses.as_slice()).collect();
        done = order_of_fronts(&losses)
            .into_iter()
            .map(|at| done[at].clone())
            .collect();
    } else {
        done.sort_by(|left, right| left.1[0].total_cmp(&right.1[0]));
    }
    stopped.sort_by(|left, right| right.1.cmp(&left.1).then(left.2.total_cmp(&right.2)));
    let done = done.into_iter().map(|(index, _)| index);
    let stopped = stopped.into_iter().map(|(index, ..)| index);
    done.chain(stopped).chain(worst).collect()
}

/// The indices of the vectors that no other is better than in everything (or as good, and better
/// in something): the Pareto front.
pub(super) fn front(losses: &[&[f64]]) -> Vec<usize> {
    let mut front = fronts(losses).into_iter().next().unwrap_or_default();
    front.sort_unstable();
    front
}

/// All indices, front by front, and on each front those first whose neighbours are far.
fn order_of_fronts(losses: &[&[f64]]) -> Vec<usize> {
    let mut order = Vec::with_capacity(losses.len());
    for mut front in fronts(losses) {
        front.sort_unstable();
        let distances = crowding(losses, &front);
        let mut places: Vec<usize> = (0..front.len()).collect();
        places.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
        order.extend(places.into_iter().map(|place| front[place]));
    }
    order
}

/// For each member of a front the distance between its neighbours, summed over the objectives as
/// shares of the front's extent; infinite at the ends (NSGA-II's crowding distance).
fn crowding(losses: &[&[f64]], front: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; front.len()];
    let objectives = front.first().map_or(0, |&index| losses[index].len());
    for objective in 0..objectives {
        let value = |place: usize| {
            losses[front[place]]
                .get(objective)
                .copied()
                .unwrap_or(f64::INFINITY)
        };
        let mut places: Vec<usize> = (0..front.len()).collect();
        places.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
        let (first, last) = (places[0], places[places.len() - 1]);
        let extent = value(last) - value(first);
        distances[first] = f64::INFINITY;
        distances[last] = f64::INFINITY;
        if extent > 0.0 {
            for window in places.windows(3) {
                distances[window[1]] += (value(window[2]) - value(window[0])) / extent;
            }
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Direction;

    fn goal(objectives: &[Direction]) -> Goal {
        Goal {
            objectives: objectives.to_vec(),
            judged: Direction::Maximize,
        }
    }

    #[test]
    fn done_before_stopped_before_diverged() {
        let point = vec![Some(0.5)];
        let trial = |standing, curve| Known {
            point: &point,
            adopted: false,
            jobs: 1,
            standing,
            curve,
        };
        let done = |objectives| Standing::Done { objectives };
        let known = [
            trial(Standing::Paused, &[0.1, 0.7]),
            trial(done(&[f64::NAN]), &[]),
            trial(Standing::Failed, &[0.9; 9]),
            trial(done(&[0.2]), &[]),
            trial(Standing::Paused, &[0.1, 0.2, 0.3]),
            trial(Standing::Open, &[]),
            trial(done(&[0.8]), &[]),
            trial(Standing::Open, &[0.9, 0.0]),
        ];
        assert_eq!(
            best_first(&known, &goal(&[Direction::Maximize])),
            [6, 3, 4, 7, 0, 1]
        );
    }

    #[test]
    fn fronts_are_peeled() {
        let losses = [
            [1.0, 5.0],
            [2.0, 2.0],
            [5.0, 1.0],
            [3.0, 3.0],
            [2.0, 2.0],
            [6.0, 6.0],
        ];
        let losses: Vec<&[f64]> = losses.iter().map(|pair| pair.as_slice()).collect();
        assert_eq!(fronts(&losses), [vec![0, 1, 4, 2], vec![3], vec![5]]);
        assert_eq!(front(&losses), [0, 1, 2, 4]);
    }

    #[test]
    fn crowded_members_of_a_front_come_last() {
        let losses = [[0.0, 10.0], [1.0, 9.0], [1.2, 8.8], [10.0, 0.0]];
        let losses: Vec<&[f64]> = losses.iter().map(|pair| pair.as_slice()).collect();
        let order = order_of_fronts(&losses);
        assert_eq!(order, [0, 3, 2, 1], "1 lies between near neighbours");
    }
}
