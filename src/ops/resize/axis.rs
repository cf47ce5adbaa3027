//! Which pixels a pixel is made of, along one axis.

use candle_core::{Result, Tensor};

use super::ResizeMode;

/// A linear map from the pixels of an axis to those of another one.
pub(super) struct AxisMap {
    sources: usize,
    /// Where the terms of each target begin, and where those of the last one end.
    starts: Vec<usize>,
    terms: Vec<AxisTerm>,
}

/// A pixel and what it is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AxisTerm {
    pub source: usize,
    pub weight: f32,
}

impl AxisMap {
    /// From `sources` pixels to `targets`, as `area_pixel_compute_source_index` and `nearest_neighbor_compute_source_index` of
    /// PyTorch's `UpSample.h` say.
    pub fn new(sources: usize, targets: usize, mode: ResizeMode) -> Self {
        let scale = sources as f32 / targets as f32;
        let last = sources - 1;
        let terms = (0..targets).map(|target| match mode {
            ResizeMode::Nearest => {
                let source = ((target as f32 * scale) as usize).min(last);
                vec![AxisTerm { source, weight: 1.0 }]
            }
            ResizeMode::Bilinear => {
                let place = (scale * (target as f32 + 0.5) - 0.5).max(0.0);
                let source = (place as usize).min(last);
                let weight = (place - source as f32).clamp(0.0, 1.0);
                match weight {
                    _ if source == last => vec![AxisTerm { source, weight: 1.0 }],
                    0.0 => vec![AxisTerm { source, weight: 1.0 }],
                    _ => {
                        let own = AxisTerm {
                            source,
                            weight: 1.0 - weight,
                        };
                        let next = AxisTerm {
                            source: source + 1,
                            weight,
                        };
                        vec![own, next]
                    }
                }
            }
        });
        Self::of(sources, terms.collect())
    }

    fn of(sources: usize, targets: Vec<Vec<AxisTerm>>) -> Self {
        let mut starts = vec![0];
        let mut terms = Vec::new();
        for target in targets {
            terms.extend(target);
            starts.push(terms.len());
        }
        Self {
            sources,
            starts,
            terms,
        }
    }

    /// How many pixels there are on the other axis.
    pub fn targets(&self) -> usize {
        self.starts.len() - 1
    }

    /// What a pixel of the other axis is the sum of.
    pub fn terms(&self, target: usize) -> &[AxisTerm] {
        &self.terms[self.starts[target]..self.starts[target + 1]]
    }

    /// Adds what the pixel `target` of the other axis is to `sum`, of as many values as each of the pixels `sources`.
    #[inline(always)]
    pub fn add(&self, sources: &[f32], len: usize, target: usize, sum: &mut [f32]) {
        for term in self.terms(target) {
            let source = &sources[term.source * len..][..len];
            for (sum, value) in sum.iter_mut().zip(source) {
                *sum += term.weight * value;
            }
        }
    }

    /// The transposed map, which gradients go back by.
    pub fn reversed(&self) -> Self {
        let mut targets = vec![Vec::new(); self.sources];
        for target in 0..self.targets() {
            for term in self.terms(target) {
                targets[term.source].push(AxisTerm {
                    source: target,
                    ..*term
                });
            }
        }
        Self::of(self.targets(), targets)
    }

    /// The map along dimension `axis` of `x`, `[N, H, W, C]`, as candle's operations.
    pub fn composed(&self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let mut dims = [1; 4];
        dims[axis] = self.targets();
        let part = |term: usize| {
            let of_target = |target: usize| self.terms(target).get(term).or(self.terms(target).first());
            let terms: Vec<AxisTerm> = (0..self.targets()).filter_map(of_target).copied().collect();
            // A pixel that has no such term is taken once more, and counts nothing.
            let weight = |target: usize| self.terms(target).get(term).map_or(0.0, |term| term.weight);
            let weights: Vec<f32> = (0..self.targets()).map(weight).collect();
            let sources: Vec<u32> = terms.iter().map(|term| term.source as u32).collect();
            let pixels = x.index_select(&Tensor::new(sources, x.device())?, axis)?;
            pixels.broadcast_mul(&Tensor::from_vec(weights, &dims, x.device())?)
        };
        if self.terms.len() == self.targets() {
            return part(0);
        }
        part(0)? + part(1)?
    }
}
