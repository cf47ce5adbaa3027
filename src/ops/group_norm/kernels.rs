//! Group normalisation over channels-last images. Sums run in f64, within a block of pixels and then over blocks in their
//! order, so the result does not depend on the number of threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::GroupNormOptions;
use crate::ops::fill::in_blocks;
use crate::ops::tensor::Images;
use crate::ops::vectors::with_wide_vectors;

/// Images that are normalised, with the layer's weight and bias.
pub(super) struct NormedImages<'a> {
    pub images: Images,
    pub options: GroupNormOptions,
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub bias: &'a [f32],
}

/// What the values of a group of an image are like.
struct GroupMoments {
    /// The mean as f32, which a value near it is subtracted from without rounding, and what it lacks.
    mean: f32,
    rest: f64,
    /// One over the root of the variance.
    inverse: f64,
}

/// Two sums over pixels for each channel of an image.
type ChannelSums = [Vec<f64>; 2];

impl NormedImages<'_> {
    /// How many groups an image has, and how many channels each of them.
    fn groups(&self) -> (usize, usize) {
        (self.options.groups, self.images.channels / self.options.groups)
    }

    /// Values of a group of an image.
    fn group_len(&self) -> f64 {
        (self.images.height * self.images.width * self.groups().1) as f64
    }

    /// The sums of each image. `add` is given the image and whole pixels of it, as a range of all values.
    fn channel_sums(&self, add: impl Fn(usize, Range<usize>, &mut ChannelSums) + Sync) -> Vec<ChannelSums> {
        let channels = self.images.channels;
        let len = self.images.image_len();
        // About 32 KiB.
        let block = (8192 / channels).max(1) * channels;
        let blocks = len.div_ceil(block);
        let parts: Vec<ChannelSums> = (0..self.images.batch * blocks)
            .into_par_iter()
            .map(|index| {
                let (image, start) = (index / blocks, index % blocks * block);
                let mut sums = [vec![0.0; channels], vec![0.0; channels]];
                let values = image * len + start..image * len + (start + block).min(len);
                add(image, values, &mut sums);
                sums
            })
            .collect();
        let sum = |parts: &[ChannelSums]| {
            let mut sums = [vec![0.0; channels], vec![0.0; channels]];
            for part in parts {
                for (sums, part) in sums.iter_mut().zip(part) {
                    sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
            }
            sums
        };
        parts.chunks_exact(blocks).map(sum).collect()
    }

    /// Of each image, of each group.
    fn moments(&self) -> Vec<GroupMoments> {
        let channels = self.images.channels;
        let sums = self.channel_sums(|_, values, [sums, squares]| {
            with_wide_vectors(
                #[inline(always)]
                || {
                    for pixel in self.x[values].chunks_exact(channels) {
                        for ((sum, square), &value) in sums.iter_mut().zip(squares.iter_mut()).zip(pixel) {
                            let value = f64::from(value);
                            *sum += value;
                            *square += value * value;
                        }
                    }
                },
            );
        });
        let (groups, width) = self.groups();
        let of_group = |sums: &ChannelSums, group: usize| {
            let total = |sums: &[f64]| sums[group * width..][..width].iter().sum::<f64>() / self.group_len();
            let mean = total(&sums[0]);
            let variance = total(&sums[1]) - mean * mean;
            // Rounding can take it below 0; a NaN must stay one.
            let variance = if variance < 0.0 { 0.0 } else { variance };
            GroupMoments {
                mean: mean as f32,
                rest: mean - f64::from(mean as f32),
                inverse: 1.0 / (variance + self.options.epsilon).sqrt(),
            }
        };
        let of_image = |sums| (0..groups).map(move |group| of_group(sums, group));
        sums.iter().flat_map(of_image).collect()
    }

    /// For each channel of each image, the numbers that `of` makes of the places of image and channel: a list for each of them.
    fn coefficients<const COUNT: usize>(
        &self,
        of: impl Fn(usize, usize) -> [f32; COUNT],
    ) -> [Vec<f32>; COUNT] {
        let mut lists = [const { Vec::new() }; COUNT];
        for image in 0..self.images.batch {
            for channel in 0..self.images.channels {
                let numbers = of(image, channel);
                lists
                    .iter_mut()
                    .zip(numbers)
                    .for_each(|(list, number)| list.push(number));
            }
        }
        lists
    }

    /// New values, row by row of all images. `write` is given the place of the row's first value, that of the first of its
    /// image's channels among all, and the row.
    ///
    /// # Safety
    /// `write` writes every value of each row.
    unsafe fn in_rows(
        &self,
        write: impl Fn(usize, usize, &mut [MaybeUninit<f32>]) + Sync + Send,
    ) -> Vec<f32> {
        let Images {
            height,
            width,
            channels,
            ..
        } = self.images;
        let row = |index: usize, target: &mut [MaybeUninit<f32>]| {
            write(index * width * channels, index / height * channels, target);
        };
        // SAFETY: as the caller says.
        unsafe { in_blocks(self.x.len(), width * channels, row) }
    }

    pub fn forward(&self) -> Vec<f32> {
        match self.options.relu {
            false => self.normalized(|y| y),
            // Not `max`: a NaN must stay one.
            true => self.normalized(|y| if y <= 0.0 { 0.0 } else { y }),
        }
    }

    #[inline(always)]
    fn normalized(&self, finish: impl Fn(f32) -> f32 + Sync + Send) -> Vec<f32> {
        let channels = self.images.channels;
        let (groups, width) = self.groups();
        let moments = self.moments();
        let [means, scales, shifts] = self.coefficients(|image, channel| {
            let moments = &moments[image * groups + channel / width];
            let scale = f64::from(self.weight[channel]) * moments.inverse;
            let shift = f64::from(self.bias[channel]) - moments.rest * scale;
            [moments.mean, scale as f32, shift as f32]
        });
        let row = |start: usize, first: usize, target: &mut [MaybeUninit<f32>]| {
            let [means, scales, shifts] = [&means, &scales, &shifts].map(|list| &list[first..][..channels]);
            with_wide_vectors(
                #[inline(always)]
                || {
                    let pixels = self.x[start..].chunks_exact(channels);
                    for (target, x) in target.chunks_exact_mut(channels).zip(pixels) {
                        let numbers = means.iter().zip(scales).zip(shifts);
                        for ((target, x), ((mean, scale), shift)) in target.iter_mut().zip(x).zip(numbers) {
                            target.write(finish((x - mean) * scale + shift));
                        }
                    }
                },
            );
        };
        // SAFETY: rows are whole pixels, and there are as many numbers as channels.
        unsafe { self.in_rows(row) }
    }

    /// The gradients of `x`, weight and bias, from that of the output `y`.
    pub fn backward(&self, y: &[f32], gradient: &[f32]) -> [Vec<f32>; 3] {
        match self.options.relu {
            false => self.gradients(gradient, gradient, |_, gradient| gradient),
            true => self.gradients(y, gradient, |y, gradient| if y <= 0.0 { 0.0 } else { gradient }),
        }
    }

    /// The same where `before(y, gradient)` is the gradient of the normalised values.
    #[inline(always)]
    fn gradients(
        &self,
        y: &[f32],
        gradient: &[f32],
        before: impl Fn(f32, f32) -> f32 + Sync + Send,
    ) -> [Vec<f32>; 3] {
        let channels = self.images.channels;
        let (groups, width) = self.groups();
        let moments = self.moments();
        let moments = |image: usize, channel: usize| &moments[image * groups + channel / width];
        let [means] = self.coefficients(|image, channel| [moments(image, channel).mean]);
        // Of the gradient, and of its product with the value less the mean.
        let mut sums = self.channel_sums(|image, values, [sums, products]| {
            let means = &means[image * channels..][..channels];
            with_wide_vectors(
                #[inline(always)]
                || {
                    let pixels = self.x[values.clone()].chunks_exact(channels);
                    let ys = y[values.clone()].chunks_exact(channels);
                    let gradients = gradient[values].chunks_exact(channels);
                    for ((x, y), gradient) in pixels.zip(ys).zip(gradients) {
                        let targets = sums.iter_mut().zip(products.iter_mut()).zip(means);
                        for (((sum, product), mean), ((x, y), gradient)) in
                            targets.zip(x.iter().zip(y).zip(gradient))
                        {
                            let gradient = f64::from(before(*y, *gradient));
                            *sum += gradient;
                            *product += gradient * f64::from(x - mean);
                        }
                    }
                },
            );
        });
        // With the normalised value from here on.
        for (image, [sums, products]) in sums.iter_mut().enumerate() {
            for (channel, (sum, product)) in sums.iter().zip(products).enumerate() {
                let GroupMoments { rest, inverse, .. } = moments(image, channel);
                *product = (*product - rest * sum) * inverse;
            }
        }
        // d/dx = inverse * (g w - mean(g w) - normalised * mean(g w normalised)), which is factor * g + slope * (x - mean) +
        // offset in each channel.
        let share = |image: usize, channel: usize, term: usize| {
            let first = channel / width * width;
            let of = |channel: usize| f64::from(self.weight[channel]) * sums[image][term][channel];
            (first..first + width).map(of).sum::<f64>() / self.group_len()
        };
        let [factors, slopes, offsets] = self.coefficients(|image, channel| {
            let GroupMoments { rest, inverse, .. } = moments(image, channel);
            let slope = -inverse * inverse * share(image, channel, 1);
            let offset = -inverse * share(image, channel, 0) - slope * rest;
            [inverse * f64::from(self.weight[channel]), slope, offset].map(|number| number as f32)
        });
        let row = |start: usize, first: usize, target: &mut [MaybeUninit<f32>]| {
            let lists = [&factors, &slopes, &offsets, &means];
            let [factors, slopes, offsets, means] = lists.map(|list| &list[first..][..channels]);
            with_wide_vectors(
                #[inline(always)]
                || {
                    let pixels = self.x[start..].chunks_exact(channels);
                    let pixels = pixels.zip(y[start..].chunks_exact(channels));
                    let pixels = pixels.zip(gradient[start..].chunks_exact(channels));
                    for (target, ((x, y), gradient)) in target.chunks_exact_mut(channels).zip(pixels) {
                        let numbers = factors.iter().zip(slopes).zip(offsets.iter().zip(means));
                        let values = target.iter_mut().zip(x.iter().zip(y).zip(gradient));
                        for ((target, ((x, y), gradient)), ((factor, slope), (offset, mean))) in
                            values.zip(numbers)
                        {
                            let gradient = before(*y, *gradient);
                            target.write(factor * gradient + slope * (x - mean) + offset);
                        }
                    }
                },
            );
        };
        // SAFETY: rows are whole pixels, and there are as many numbers as channels.
        let of_x = unsafe { self.in_rows(row) };
        let over_images = |term: usize| {
            let sum = |channel: usize| sums.iter().map(|sums| sums[term][channel]).sum::<f64>() as f32;
            (0..channels).map(sum).collect()
        };
        [of_x, over_images(1), over_images(0)]
    }
}
