//! All points of a space that can be counted, in the order of a grid.

use serde_json::Value;

use super::space::{Broken, Point, Space};
use super::{SweepError, Values};
use crate::spec::same_value;

/// No more combinations than this are gone through.
const MOST: u64 = 1_000_000;

/// The points of a countable space that fulfil the constraints: every combination, where the last
/// parameter changes fastest. A parameter that is not used does not multiply them.
#[derive(Clone, Debug)]
pub(super) struct Points {
    /// How many members each parameter has.
    sizes: Vec<u64>,
    /// The combinations that are points; none where all are.
    kept: Option<Vec<u32>>,
    total: u64,
    broken: Broken,
}

impl Points {
    /// None where the space cannot be counted, or has more combinations than `most` or a million.
    pub(super) fn new(space: &Space, most: Option<u64>) -> Option<Self> {
        let sizes: Vec<u64> = space
            .parameters
            .iter()
            .map(|parameter| parameter.scale.size())
            .collect::<Option<_>>()?;
        let product = sizes
            .iter()
            .try_fold(1u64, |product, size| product.checked_mul(*size))?;
        if product > most.unwrap_or(MOST).min(MOST) {
            return None;
        }
        let mut points = Self {
            sizes,
            kept: None,
            total: product,
            broken: Broken::default(),
        };
        if !space.is_plain() {
            let kept = points.go_through(space);
            points.total = kept.len() as u64;
            points.kept = Some(kept);
        }
        Some(points)
    }

    /// How many points there are.
    pub(super) fn len(&self) -> u64 {
        self.total
    }

    /// The point with this index, from 0.
    pub(super) fn get(&self, space: &Space, index: u64) -> Point {
        let combination = match &self.kept {
            Some(kept) => u64::from(kept[index as usize]),
            None => index,
        };
        let digits = self.digits(combination);
        space.choose(|parameter| {
            let scale = &space.parameters[parameter].scale;
            let member = scale.member(digits[parameter]);
            scale.coordinate(&member).unwrap_or_default()
        })
    }

    /// What is wrong where there is no point at all.
    pub(super) fn error(&self, space: &Space) -> SweepError {
        self.broken.error(space)
    }

    fn digits(&self, mut combination: u64) -> Vec<u64> {
        let mut digits = vec![0; self.sizes.len()];
        for (digit, size) in digits.iter_mut().zip(&self.sizes).rev() {
            *digit = combination % size;
            combination /= size;
        }
        digits
    }

    /// The combinations that are points. Those that differ in nothing but parameters that are not
    /// used are the same one: the first of them counts.
    fn go_through(&mut self, space: &Space) -> Vec<u32> {
        let members: Vec<Vec<Value>> = space
            .parameters
            .iter()
            .zip(&self.sizes)
            .map(|(parameter, size)| (0..*size).map(|index| parameter.scale.member(index)).collect())
            .collect();
        let conditions = Conditions::new(space, &members);
        let mut all: Values = space.own().clone();
        // What `all` holds at present; the file's own value where it is none.
        let mut held: Vec<Option<u64>> = vec![None; members.len()];
        let mut kept = Vec::new();
        for combination in 0..self.total {
            let digits = self.digits(combination);
            let used = conditions.used(&digits);
            if digits.iter().zip(&used).any(|(digit, used)| *digit > 0 && !used) {
                continue;
            }
            for (index, parameter) in space.parameters.iter().enumerate() {
                let wanted = used[index].then_some(digits[index]);
                if held[index] != wanted {
                    let value = match wanted {
                        Some(digit) => members[index][digit as usize].clone(),
                        None => space.own()[&parameter.name].clone(),
                    };
                    all.insert(parameter.name.clone(), value);
                    held[index] = wanted;
                }
            }
            if self.broken.count(space.broken_by_all(&all)) {
                kept.push(combination as u32);
            }
        }
        kept
    }
}

/// The conditions of a countable space, member by member.
struct Conditions {
    /// Each parameter's index and conditions, in the order in which they can be decided.
    steps: Vec<(usize, Vec<Condition>)>,
}

/// What a parameter's use depends on: which members of another one will do.
struct Condition {
    on: usize,
    will_do: Vec<bool>,
}

impl Conditions {
    fn new(space: &Space, members: &[Vec<Value>]) -> Self {
        let step = |&index: &usize| {
            let conditions = space.parameters[index].conditions().iter().map(|(on, wanted)| {
                let will_do = |member: &Value| wanted.iter().any(|wanted| same_value(wanted, member));
                Condition {
                    on: *on,
                    will_do: members[*on].iter().map(will_do).collect(),
                }
            });
            (index, conditions.collect())
        };
        Self {
            steps: space.order().iter().map(step).collect(),
        }
    }

    fn used(&self, digits: &[u64]) -> Vec<bool> {
        let mut used = vec![false; digits.len()];
        for (index, conditions) in &self.steps {
            used[*index] = conditions
                .iter()
                .all(|Condition { on, will_do }| used[*on] && will_do[digits[*on] as usize]);
        }
        used
    }
}
