//! Which pixels a convolution reads for which of its targets, one axis at a time.

use super::geometry::{Geometry, Window};

/// Positions along one axis of the target images that are reached by the same taps of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Positions {
    pub targets: Vec<usize>,
    pub taps: Vec<usize>,
    /// The source of each target and tap, `[targets][taps]`; `None` is padding.
    sources: Vec<Option<usize>>,
}

impl Positions {
    /// Elements before the source of each target and tap, of which each position has so many.
    pub fn elements(&self, of_one: usize) -> Vec<Option<usize>> {
        let elements = |source: &Option<usize>| source.map(|source| source * of_one);
        self.sources.iter().map(elements).collect()
    }
}

/// The two axes of a map from source images to target images.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub rows: Vec<Positions>,
    pub columns: Vec<Positions>,
}

impl Axes {
    /// From the input of a convolution to its output.
    pub fn forward(geometry: &Geometry) -> Self {
        let size = geometry.window.size;
        let exact = is_small(geometry.output.height, geometry.output.width);
        let axis = |targets, extent| {
            positions(targets, size, 1, exact, |target, tap| {
                geometry.input_under(extent, target, tap)
            })
        };
        Self {
            rows: axis(geometry.output.height, geometry.input.height),
            columns: axis(geometry.output.width, geometry.input.width),
        }
    }

    /// From the gradient of the output to that of the input.
    pub fn backward(geometry: &Geometry) -> Self {
        let Window { size, stride, .. } = geometry.window;
        let exact = is_small(geometry.input.height, geometry.input.width);
        let axis = |targets, extent| {
            positions(targets, size, stride, exact, |target, tap| {
                geometry.output_over(extent, target, tap)
            })
        };
        Self {
            rows: axis(geometry.input.height, geometry.output.height),
            columns: axis(geometry.input.width, geometry.output.width),
        }
    }

    /// Over images that hold their padding, with a whole row of the kernel as one tap.
    pub fn padded(geometry: &Geometry) -> Self {
        let Window { size, stride, .. } = geometry.window;
        let source = |target: usize, tap: usize| Some(target * stride + tap);
        Self {
            rows: positions(geometry.output.height, size, 1, false, source),
            columns: positions(geometry.output.width, 1, 1, false, source),
        }
    }

    /// Pairs of classes: rectangles of targets with the same taps.
    pub fn pairs(&self) -> impl Iterator<Item = (&Positions, &Positions)> {
        let rows = self.rows.iter();
        rows.flat_map(|rows| self.columns.iter().map(move |columns| (rows, columns)))
    }
}

/// Whether padding is a large part of what the taps meet, so that leaving it out pays.
fn is_small(height: usize, width: usize) -> bool {
    height * width <= 64
}

/// Targets by the taps that reach them: exactly, or such as only padding tells apart together, by
/// their place in a period.
fn positions(
    targets: usize,
    size: usize,
    period: usize,
    exact: bool,
    source: impl Fn(usize, usize) -> Option<usize>,
) -> Vec<Positions> {
    let live =
        |target: usize| -> Vec<usize> { (0..size).filter(|&tap| source(target, tap).is_some()).collect() };
    let mut classes: Vec<Positions> = Vec::new();
    for target in 0..targets {
        let known = if exact {
            let taps = live(target);
            classes.iter().position(|class| class.taps == taps)
        } else {
            classes
                .iter()
                .position(|class| class.targets[0] % period == target % period)
        };
        match known {
            Some(class) => classes[class].targets.push(target),
            None => classes.push(Positions {
                targets: vec![target],
                taps: if exact { live(target) } else { Vec::new() },
                sources: Vec::new(),
            }),
        }
    }
    for class in &mut classes {
        if !exact {
            let reaches = |tap: &usize| class.targets.iter().any(|&target| source(target, *tap).is_some());
            class.taps = (0..size).filter(reaches).collect();
        }
        let pairs = class
            .targets
            .iter()
            .flat_map(|&target| class.taps.iter().map(move |&tap| (target, tap)));
        class.sources = pairs.map(|(target, tap)| source(target, tap)).collect();
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tensor::Images;

    fn geometry(extent: usize, size: usize, stride: usize, padding: usize) -> Geometry {
        let window = Window {
            size,
            stride,
            padding,
        };
        let out = window.positions(extent).expect("fits");
        let image = |extent| Images {
            batch: 1,
            height: extent,
            width: extent,
            channels: 1,
        };
        Geometry {
            input: image(extent),
            output: image(out),
            window,
            dilation: 1,
            groups: 1,
        }
    }

    fn products(axis: &[Positions]) -> usize {
        axis.iter()
            .map(|class| class.targets.len() * class.taps.len())
            .sum()
    }

    #[test]
    fn small_images_leave_padding_out() {
        let axes = Axes::forward(&geometry(1, 3, 1, 1));
        assert_eq!(axes.rows.len(), 1);
        assert_eq!(axes.rows[0].taps, [1]);
        assert_eq!(products(&Axes::forward(&geometry(2, 3, 1, 1)).rows), 4);
        assert_eq!(products(&Axes::forward(&geometry(4, 3, 1, 1)).rows), 10);
        assert_eq!(products(&Axes::forward(&geometry(32, 3, 1, 1)).rows), 96);
        assert_eq!(products(&Axes::backward(&geometry(4, 3, 1, 1)).rows), 10);
    }

    #[test]
    fn strided_gradients_never_multiply_by_absent_taps() {
        for extent in [4, 32] {
            let axes = Axes::backward(&geometry(extent, 3, 2, 1));
            // Pixels 1, 3, .. are met by taps 0 and 2, pixels 0, 2, .. by tap 1.
            assert_eq!(axes.rows[0].taps, [1]);
            assert_eq!(axes.rows[1].taps, [0, 2]);
        }
        // A pointwise kernel that skips pixels gives them nothing.
        assert_eq!(Axes::backward(&geometry(32, 1, 2, 0)).rows[1].taps, [0usize; 0]);
    }

    #[test]
    fn backward_is_forward_reversed() {
        for (extent, size, stride, padding) in [
            (7, 3, 2, 1),
            (9, 5, 3, 2),
            (4, 1, 2, 0),
            (20, 7, 2, 3),
            (3, 5, 1, 4),
        ] {
            let geometry = geometry(extent, size, stride, padding);
            let edges = |axis: &[Positions]| {
                let mut edges: Vec<[usize; 3]> = Vec::new();
                for class in axis {
                    for (index, &target) in class.targets.iter().enumerate() {
                        let sources = &class.sources[index * class.taps.len()..];
                        for (source, &tap) in sources.iter().zip(&class.taps) {
                            edges.extend(source.map(|source| [source, tap, target]));
                        }
                    }
                }
                edges
            };
            let mut forward = edges(&Axes::forward(&geometry).rows);
            let mut backward = edges(&Axes::backward(&geometry).rows);
            backward.iter_mut().for_each(|edge| edge.reverse());
            forward.sort_unstable();
            backward.sort_unstable();
            assert_eq!(forward, backward);
        }
    }
}
