//! Counter-based randomness.
//!
//! Every draw is a function of (seed, purpose, epoch, item, position): a stream needs no state to
//! be kept, so the order of threads never matters and a resumed run draws what an undisturbed one
//! would have drawn. The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as
//! easy as 1, 2, 3", 2011).

/// What a stream of draws is for. Streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights; `epoch` is 0 and `item` the index of the parameter.
    Init = 1,
    /// The order of the training samples; `item` is 0.
    Shuffle = 2,
    /// Augmentation of one sample; `item` is the sample's index in its split.
    Augment = 3,
    /// Dropout masks of one sample; `item` is the sample's index in its split. Each layer has streams of
    /// its own: see [`Stream::of_layer`].
    Dropout = 4,
    /// Mixing of one sample with the next (mixup, cutmix); `item` is the sample's index in its split.
    Mix = 5,
    /// Points of a search space; `item` is the trial.
    Search = 6,
    /// Resampling in statistics.
    Bootstrap = 7,
    /// Where a window of texts begins; `epoch` is 0 and `item` the window's number in the training.
    Window = 8,
    /// Which tokens of a text are hidden, and what stands in their place; `item` is the sequence's number.
    Masking = 9,
    /// Tokens that are drawn; `epoch` and `item` come from the prompt and the sample's number.
    Generate = 16,
}

/// A reproducible stream of draws.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of `purpose` at (`epoch`, `item`) under `seed`.
    pub fn new(seed: u64, purpose: Purpose, epoch: u32, item: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, purpose as u32, epoch, item],
            block: [0; 4],
            used: 4,
        }
    }

    /// The same for the layer `layer` of a network, below 2^24, with 0 as [`Stream::new`]: so that what a
    /// sample is dealt in one layer says nothing of the others.
    pub fn of_layer(seed: u64, purpose: Purpose, epoch: u32, item: u32, layer: u32) -> Self {
        let mut stream = Self::new(seed, purpose, epoch, item);
        stream.counter[1] |= layer << 8;
        stream
    }

    /// The stream without its first `4 * blocks` draws of 32 bits (modulo 2^34), which are not
    /// computed: parts of a long stream can be drawn apart.
    pub fn skip(mut self, blocks: u64) -> Self {
        self.counter[0] = self.counter[0].wrapping_add(blocks as u32);
        self.used = 4;
        self
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32_10(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// As many draws of 32 uniform bits as there is room for: those that [`Stream::next_u32`] would give.
    #[inline(always)]
    pub fn fill(&mut self, bits: &mut [u32]) {
        /// Blocks of four that are computed side by side.
        const SIDE: usize = 16;
        let (aligned, rest) = match self.used {
            4 => bits.split_at_mut(bits.len() / (4 * SIDE) * (4 * SIDE)),
            _ => bits.split_at_mut(0),
        };
        for bits in aligned.chunks_exact_mut(4 * SIDE) {
            let mut counters = self.counter.map(|counter| [u64::from(counter); SIDE]);
            for (block, counter) in (0u64..).zip(&mut counters[0]) {
                *counter += block;
            }
            philox_side_by_side(&mut counters, self.key);
            for (block, bits) in bits.chunks_exact_mut(4).enumerate() {
                for (bits, counter) in bits.iter_mut().zip(&counters) {
                    *bits = counter[block] as u32;
                }
            }
            self.counter[0] = self.counter[0].wrapping_add(SIDE as u32);
        }
        rest.iter_mut().for_each(|bits| *bits = self.next_u32());
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | (u64::from(self.next_u32()) << 32)
    }

    /// A uniform number in `[0, 1)` with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform number in `[low, high)`.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A standard normal number (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// `true` with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A uniform integer in `0..bound`, without bias (Lemire's method with rejection). `bound`
    /// must be positive.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "an empty range has no member to draw");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Puts `items` in a uniformly random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).expect("fewer than 2^32 items are shuffled");
            items.swap(last, self.below(bound) as usize);
        }
    }
}

/// [`philox4x32_10`] of several counters, which are the lower halves of these: products need no widening then, and
/// what is in the upper halves is of no meaning.
#[inline(always)]
fn philox_side_by_side<const SIDE: usize>(counters: &mut [[u64; SIDE]; 4], mut key: [u32; 2]) {
    const LOW: u64 = 0xFFFF_FFFF;
    for round in 0..10 {
        if round > 0 {
            key[0] = key[0].wrapping_add(0x9E37_79B9);
            key[1] = key[1].wrapping_add(0xBB67_AE85);
        }
        let [a, b, c, d] = counters;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let first = (*a & LOW) * 0xD251_1F53;
            let second = (*c & LOW) * 0xCD9E_8D57;
            (*a, *b) = ((second >> 32) ^ *b ^ u64::from(key[0]), second);
            (*c, *d) = ((first >> 32) ^ *d ^ u64::from(key[1]), first);
        }
    }
}

fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key[0] = key[0].wrapping_add(0x9E37_79B9);
            key[1] = key[1].wrapping_add(0xBB67_AE85);
        }
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_draws_at_once_are_those_of_one_after_another() {
        for (skipped, len) in [(0, 0), (0, 63), (0, 64), (0, 200), (1, 150), (4, 150)] {
            let mut one = Stream::new(7, Purpose::Dropout, 1, 2);
            let mut many = one.clone();
            for _ in 0..skipped {
                assert_eq!(one.next_u32(), many.next_u32());
            }
            let mut bits = vec![0; len];
            many.fill(&mut bits);
            assert!(
                bits.iter().all(|bits| *bits == one.next_u32()),
                "{skipped}, {len}"
            );
            assert_eq!(one.next_u32(), many.next_u32());
        }
    }

    /// Known answers of the authors' Random123 library.
    #[test]
    fn philox_known_answers() {
        assert_eq!(
            philox4x32_10([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn what_is_skipped_is_not_drawn() {
        let stream = Stream::new(7, Purpose::Dropout, 1, 2);
        let mut from_start = stream.clone();
        let draws: Vec<u32> = (0..20).map(|_| from_start.next_u32()).collect();
        let mut skipped = stream.skip(3);
        assert_eq!(draws[12..], [(); 8].map(|()| skipped.next_u32()));
    }

    #[test]
    fn moments_are_right() {
        let mut stream = Stream::new(7, Purpose::Init, 0, 3);
        let draws: Vec<f64> = (0..200_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
    }

    #[test]
    fn below_is_uniform_and_shuffle_permutes() {
        let mut stream = Stream::new(1, Purpose::Shuffle, 0, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&count| count.abs_diff(10_000) < 500),
            "{counts:?}"
        );

        let mut items: Vec<u32> = (0..1000).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..1000).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn streams_differ_by_every_coordinate() {
        let first = |seed, purpose, epoch, item| Stream::new(seed, purpose, epoch, item).next_u64();
        let base = first(1, Purpose::Augment, 2, 3);
        assert_eq!(base, first(1, Purpose::Augment, 2, 3));
        assert_ne!(base, first(2, Purpose::Augment, 2, 3));
        assert_ne!(base, first(1, Purpose::Dropout, 2, 3));
        assert_ne!(base, first(1, Purpose::Augment, 3, 3));
        assert_ne!(base, first(1, Purpose::Augment, 2, 4));
        let in_layer = |layer| Stream::of_layer(1, Purpose::Augment, 2, 3, layer).next_u64();
        assert_eq!(base, in_layer(0));
        assert_ne!(base, in_layer(1));
        assert_ne!(in_layer(1), in_layer(2));
    }
}
