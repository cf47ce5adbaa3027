//! Masks as lengths of runs.

use super::MaskError;

/// A mask as the lengths of its runs of equal pixels, column by column. The first run is outside of the mask, and may be
/// of no pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLengths {
    height: usize,
    width: usize,
    counts: Vec<u32>,
}

impl RunLengths {
    /// The mask with these runs: `size` and `counts` of an uncompressed mask of COCO.
    ///
    /// # Errors
    /// Runs that do not add up to all pixels.
    pub fn new(height: usize, width: usize, counts: Vec<u32>) -> Result<Self, MaskError> {
        check_sides(height, width)?;
        let sum = counts.iter().map(|&count| u64::from(count)).sum();
        if sum != (height * width) as u64 {
            return Err(MaskError::Sum { sum, height, width });
        }
        Ok(Self {
            height,
            width,
            counts,
        })
    }

    /// The runs of a mask, `[H, W]`, of all values but 0.
    ///
    /// # Errors
    /// Pixels that are not `height * width`.
    pub fn encode(mask: &[u8], height: usize, width: usize) -> Result<Self, MaskError> {
        check_sides(height, width)?;
        if mask.len() != height * width {
            let pixels = mask.len();
            return Err(MaskError::Pixels {
                pixels,
                height,
                width,
            });
        }
        let columns = (0..width).flat_map(|column| mask.iter().skip(column).step_by(width));
        let mut counts = vec![0u32];
        let mut inside = false;
        for &pixel in columns {
            if (pixel != 0) != inside {
                inside = !inside;
                counts.push(0);
            }
            if let Some(count) = counts.last_mut() {
                *count += 1;
            }
        }
        Ok(Self {
            height,
            width,
            counts,
        })
    }

    /// The mask, `[H, W]`, of 0 and 1.
    pub fn decode(&self) -> Vec<u8> {
        let mut mask = vec![0; self.height * self.width];
        for (start, end) in self.inside() {
            for pixel in start..end {
                mask[pixel % self.height * self.width + pixel / self.height] = 1;
            }
        }
        mask
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The lengths of the runs.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Pixels of the mask.
    pub fn area(&self) -> u64 {
        self.inside().map(|(start, end)| (end - start) as u64).sum()
    }

    /// The smallest box around the mask: left, top, width and height, all 0 where it is empty.
    pub fn bounding_box(&self) -> [f64; 4] {
        let [mut left, mut top, mut right, mut bottom] = [usize::MAX, usize::MAX, 0, 0];
        for (start, end) in self.inside().filter(|(start, end)| start < end) {
            let (first, last) = (start / self.height, (end - 1) / self.height);
            left = left.min(first);
            right = right.max(last + 1);
            // Who goes on in another column has passed the bottom and the top.
            let (above, below) = match first == last {
                true => (start % self.height, (end - 1) % self.height + 1),
                false => (0, self.height),
            };
            top = top.min(above);
            bottom = bottom.max(below);
        }
        if right == 0 {
            return [0.0; 4];
        }
        [left, top, right - left, bottom - top].map(|pixels| pixels as f64)
    }

    /// Pixels of both masks over those of either; where the truth is a crowd, over those of this mask. 0 where they have no
    /// pixel in common.
    ///
    /// # Errors
    /// Masks of different sides.
    pub fn overlap(&self, truth: &Self, crowd: bool) -> Result<f64, MaskError> {
        self.check_same_sides(truth)?;
        let mut both = 0;
        let mut others = truth.inside().peekable();
        for (start, end) in self.inside() {
            while let Some(&(other_start, other_end)) = others.peek() {
                both += end.min(other_end).saturating_sub(start.max(other_start)) as u64;
                if other_end > end {
                    break;
                }
                others.next();
            }
        }
        if both == 0 {
            return Ok(0.0);
        }
        let either = match crowd {
            true => self.area(),
            false => self.area() + truth.area() - both,
        };
        Ok(both as f64 / either as f64)
    }

    /// What is in either mask.
    ///
    /// # Errors
    /// Masks of different sides.
    pub fn union(&self, other: &Self) -> Result<Self, MaskError> {
        self.check_same_sides(other)?;
        let mut runs: Vec<(usize, usize)> = self.inside().chain(other.inside()).collect();
        runs.sort_unstable();
        let mut counts = Vec::with_capacity(runs.len() * 2 + 1);
        // The last run that was begun, and the end of what stands in `counts`.
        let (mut last, mut written) = ((0, 0), 0);
        let mut put = |(start, end): (usize, usize), written: &mut usize| {
            if start < end {
                counts.extend([(start - *written) as u32, (end - start) as u32]);
                *written = end;
            }
        };
        for (start, end) in runs {
            if start <= last.1 {
                last.1 = last.1.max(end);
            } else {
                put(last, &mut written);
                last = (start, end);
            }
        }
        put(last, &mut written);
        let rest = self.height * self.width - written;
        if rest > 0 || counts.is_empty() {
            counts.push(rest as u32);
        }
        Ok(Self { counts, ..*self })
    }

    /// First and behind the last pixel of each run inside of the mask, in the order of columns.
    fn inside(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut end = 0;
        self.counts.chunks(2).filter_map(move |pair| {
            let &[outside, inside] = pair else {
                return None;
            };
            let start = end + outside as usize;
            end = start + inside as usize;
            Some((start, end))
        })
    }

    fn check_same_sides(&self, other: &Self) -> Result<(), MaskError> {
        let sides = |mask: &Self| [mask.height, mask.width];
        let (left, right) = (sides(self), sides(other));
        if left == right {
            Ok(())
        } else {
            Err(MaskError::Sides { left, right })
        }
    }
}

/// Fails where a run could have more pixels than it can count.
pub(super) fn check_sides(height: usize, width: usize) -> Result<(), MaskError> {
    match height.checked_mul(width) {
        Some(pixels) if u32::try_from(pixels).is_ok() => Ok(()),
        _ => Err(MaskError::TooLarge { height, width }),
    }
}
