//! Which way a figure is better.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The larger, the better.
    Maximize,
    /// The smaller, the better.
    Minimize,
}

impl Direction {
    /// Whether `left` is better than `right`; nothing is better than itself, and what is no number
    /// is worse than every number.
    pub fn is_better(self, left: f64, right: f64) -> bool {
        self.loss(left) < self.loss(right)
    }

    /// `value` as something to be made small; what is no number is the largest.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => f64::INFINITY,
            Self::Maximize => -value,
            Self::Minimize => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_worst_either_way() {
        for direction in [Direction::Maximize, Direction::Minimize] {
            assert!(direction.is_better(1.0, f64::NAN));
            assert!(!direction.is_better(f64::NAN, 1.0));
            assert!(!direction.is_better(1.0, 1.0));
        }
        assert!(Direction::Maximize.is_better(2.0, 1.0));
        assert!(Direction::Minimize.is_better(1.0, 2.0));
    }
}
