//! Numbers as bytes, many at once.

use rayon::prelude::*;

use super::affine::Affine;
use super::kernels::LANES;
use super::lanes::{Lanes, PanelWork, with_lanes};
use crate::ops::fill::in_places;
use crate::ops::microkernel::SharedValues;

/// Values that a task rounds.
const PART: usize = 1 << 15;

impl Affine {
    /// The byte of each value: [`Affine::quantize`].
    pub fn quantize_all(self, values: &[f32]) -> Vec<u8> {
        let round = |target: &SharedValues<u8>| {
            let part = |(index, values): (usize, &[f32])| {
                with_lanes(&RoundedPart {
                    values,
                    affine: self,
                    place: index * PART,
                    target,
                });
            };
            match values.len() <= PART {
                true => values.chunks(PART).enumerate().for_each(part),
                false => values.par_chunks(PART).enumerate().for_each(part),
            }
        };
        // SAFETY: the parts are all values.
        unsafe { in_places(values.len(), round) }
    }
}

/// Values that become bytes from `place` on.
struct RoundedPart<'a, 'b> {
    values: &'a [f32],
    affine: Affine,
    place: usize,
    target: &'a SharedValues<'b, u8>,
}

impl PanelWork for RoundedPart<'_, '_> {
    #[inline(always)]
    fn run<L: Lanes>(&self) {
        let (panels, rest) = self.values.as_chunks::<LANES>();
        for (index, values) in panels.iter().enumerate() {
            // SAFETY: a part has its own bytes; the processor is what `L` was chosen for.
            unsafe {
                let bytes = L::of_values(values).divide(self.affine.scale).bytes(self.affine);
                self.target.write(self.place + index * LANES, &bytes);
            }
        }
        let start = self.place + panels.len() * LANES;
        for (index, value) in rest.iter().enumerate() {
            // SAFETY: a part has its own bytes.
            unsafe { self.target.write(start + index, &[self.affine.quantize(*value)]) };
        }
    }
}
