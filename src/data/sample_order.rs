//! The order in which a pass goes through samples.

use crate::random::{Purpose, Stream};

/// The order in which a pass goes through samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleOrder {
    /// Another one in each pass, drawn.
    Shuffled,
    /// That of the split.
    Given,
    /// That of the split, but of at most so many, which lie evenly over it.
    Spread(u32),
}

impl SampleOrder {
    /// The samples that the pass `pass` goes through, of `count`; what is drawn follows from `seed`.
    pub fn of_pass(self, count: u32, seed: u64, pass: u32) -> Vec<u32> {
        let mut order = self.kept(count);
        if self == Self::Shuffled {
            Stream::new(seed, Purpose::Shuffle, pass, 0).shuffle(&mut order);
        }
        order
    }

    /// How many of `count` samples a pass goes through.
    pub fn len(self, count: usize) -> usize {
        match self {
            Self::Shuffled | Self::Given => count,
            Self::Spread(most) => count.min(most as usize),
        }
    }

    /// Those of `count` samples that a pass goes through, in the order of the split.
    pub fn kept(self, count: u32) -> Vec<u32> {
        let kept = self.len(count as usize) as u64;
        let place = |index: u64| (index * u64::from(count) / kept) as u32;
        (0..kept).map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_over_all_samples() {
        let spread = |most, count| SampleOrder::Spread(most).of_pass(count, 7, 3);
        assert_eq!(spread(4, 10), [0, 2, 5, 7]);
        assert_eq!(spread(1, 10), [0]);
        assert_eq!(spread(10, 10), SampleOrder::Given.of_pass(10, 0, 0));
        assert_eq!(spread(11, 10), (0..10).collect::<Vec<_>>());
        assert!(spread(3, 0).is_empty());
        let far = spread(1_000, u32::MAX);
        assert_eq!((far.len(), far[999]), (1_000, 4_290_672_327));
    }

    #[test]
    fn shuffles_anew_in_each_pass() {
        let order = |pass| SampleOrder::Shuffled.of_pass(100, 7, pass);
        assert_eq!(order(0), order(0));
        assert_ne!(order(0), order(1));
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert_eq!(sorted, SampleOrder::Given.kept(100));
    }
}
