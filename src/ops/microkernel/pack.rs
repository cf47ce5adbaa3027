//! Operands as the tiles read them.

use std::ops::Range;

use rayon::prelude::*;

use super::transforms::{FILTER_BLOCK, FilteredTiles};
use super::{Finish, Kernels, SharedValues, Tile, Transform, WordFormat};
use crate::ops::round::{bf16_bits, round_in_place};
use crate::ops::scratch::with_narrow_scratch;
use crate::ops::stored::{Stored, StoredNumber};
use crate::ops::vectors::with_wide_vectors;
use crate::spec::Precision;

/// Where the elements of a right factor lie: element `e` of tap `t` in column `c` is
/// `values[c * column + elements[e] + taps[t]]`.
#[derive(Clone, Copy)]
pub(in crate::ops) struct PackSource<'a> {
    pub values: &'a [f32],
    pub columns: usize,
    /// From one column to the next.
    pub column: usize,
    pub elements: &'a [usize],
    pub taps: &'a [usize],
}

/// A right factor, cut into panels of columns that lie in memory as a tile reads them:
/// `[panel][tap][word][lane]`. Missing lanes and elements are 0.
#[derive(Debug)]
pub(in crate::ops) struct Panels {
    words: Vec<u32>,
    taps: usize,
    /// Words of one tap of one panel.
    part: usize,
}

/// Some panels that lie at equal distances.
pub(in crate::ops) struct PanelGroup<'a> {
    /// The first panel's words for each tap, and what lies behind them up to the end of the last panel's.
    pub parts: Vec<&'a [u32]>,
    /// Words from one panel to the next.
    pub gap: usize,
    /// How many there are.
    pub count: usize,
}

impl<'a> PanelGroup<'a> {
    /// Holds what is read of them within them: so many taps of so many words of `lanes` values, of which `width` are stored.
    ///
    /// # Panics
    /// They are not as many.
    pub(super) fn check(&self, (taps, run): (usize, usize), lanes: usize, width: usize) {
        let needed = self.count.saturating_sub(1) * self.gap + run * lanes;
        let enough = self.parts.iter().all(|part| part.len() >= needed);
        assert!(
            self.parts.len() == taps && enough && width <= self.count * lanes,
            "{taps} taps of {run} words"
        );
    }

    /// So many panels with one tap, one behind the other.
    pub fn side_by_side(panels: &'a [u32], count: usize) -> Self {
        Self {
            parts: vec![panels],
            gap: panels.len() / count.max(1),
            count,
        }
    }
}

impl Panels {
    /// Packs a right factor, narrowed if that is the kernels' format, and otherwise rounded to
    /// `precision`.
    pub fn pack(kernels: &Kernels, source: PackSource, precision: Precision) -> Self {
        let run = kernels.format.words(source.elements.len());
        let part = run * kernels.panel;
        let taps = source.taps.len();
        let panels = source.columns.div_ceil(kernels.panel);
        let mut words = vec![0u32; panels * taps * part];
        words
            .par_chunks_mut((taps * part).max(1))
            .enumerate()
            .for_each(|(panel, words)| {
                pack_panel(kernels, &source, panel * kernels.panel, words);
                if kernels.format == WordFormat::F32 {
                    round_in_place(values_of_mut(words), precision);
                }
            });
        Self { words, taps, part }
    }

    /// Neighbouring `panels`, each with the parts for `taps`.
    pub fn group(&self, panels: Range<usize>, taps: impl Iterator<Item = usize>) -> PanelGroup<'_> {
        let gap = self.words_of_one();
        let count = panels.len();
        let whole = self.part + count.saturating_sub(1) * gap;
        let from = |tap: usize| &self.words[panels.start * gap + tap * self.part..][..whole];
        PanelGroup {
            parts: taps.map(from).collect(),
            gap,
            count,
        }
    }

    /// The transforms of weights of 3x3 taps of f32: 36 taps in place of 9.
    pub fn winograd(self, kernels: &Kernels) -> Self {
        assert!(
            self.taps == 9 && kernels.format == WordFormat::F32,
            "9 taps of f32"
        );
        let mut words = Vec::with_capacity(self.words.len() * 4);
        let panels = self.words.len() / (9 * self.part).max(1);
        words.spare_capacity_mut()[..panels * 36 * self.part]
            .par_chunks_mut((36 * self.part).max(1))
            .enumerate()
            .for_each(|(panel, words)| {
                self.winograd_panel(kernels, panel, &SharedValues::of_spare_words(words), self.part);
            });
        // SAFETY: each panel has written its 36 parts.
        unsafe { words.set_len(self.words.len() * 4) };
        Self {
            words,
            taps: 36,
            part: self.part,
        }
    }

    /// The transforms of one panel of weights of 3x3 taps of f32, `[word][lane]` each, to `target`, where they are `stride`
    /// values apart.
    pub fn winograd_panel(&self, kernels: &Kernels, panel: usize, target: &SharedValues, stride: usize) {
        let (part, block) = (self.part, WINOGRAD_ROWS * kernels.panel);
        let values = &values_of(&self.words)[panel * 9 * part..][..9 * part];
        for start in (0..part).step_by(block) {
            let tile = Tile::new(block.min(part - start), 9, |tap| &values[tap * part + start..]);
            let place = |tap| Some(tap * stride + start);
            // SAFETY: the places of the rows differ, and nobody else has the target.
            unsafe {
                tile.transform(
                    kernels,
                    Transform::Weights,
                    target,
                    place,
                    false,
                    Finish::default(),
                );
            }
        }
    }

    /// The products of one panel of weights of 3x3 taps of f32, transformed, with few tiles of transformed pixels,
    /// `[inputs / FILTER_BLOCK][tiles][36][FILTER_BLOCK]`: `[tile][36][lane]`, all of `sums`.
    pub fn winograd_products(
        &self,
        kernels: &Kernels,
        panel: usize,
        tiles: usize,
        pixels: &[f32],
        sums: &mut [f32],
    ) {
        let part = self.part;
        let values = &values_of(&self.words)[panel * 9 * part..][..9 * part];
        let inputs = part / kernels.panel;
        assert!(
            kernels.format == WordFormat::F32
                && (1..=kernels.filter_tiles).contains(&tiles)
                && sums.len() == tiles * 36 * kernels.panel
                && pixels.len() >= inputs.next_multiple_of(FILTER_BLOCK) * tiles * 36,
            "pixels and sums of f32 for all tiles"
        );
        let tiles = FilteredTiles {
            taps: std::array::from_fn(|tap| values[tap * part..].as_ptr()),
            inputs,
            tiles,
            pixels: pixels.as_ptr(),
            sums: sums.as_mut_ptr(),
        };
        // SAFETY: `available` only gives kernels that the processor can run, and the assertions above hold all that they
        // touch within the slices.
        unsafe { (kernels.filtered)(&tiles) };
    }

    /// Words of a panel.
    pub fn words_of_one(&self) -> usize {
        self.taps * self.part
    }

    /// Words of the run of each tap.
    pub fn run(&self, kernels: &Kernels) -> usize {
        self.part / kernels.panel
    }
}

/// Rows of a panel that are transformed together: as many as a core's nearest cache holds.
const WINOGRAD_ROWS: usize = 8;
/// Elements of a run that are packed together, so that each column is read in one piece.
const BLOCK: usize = 16;
/// Values of a column that are worth copying for the sake of a block.
const STAGED: usize = 1024;

fn pack_panel(kernels: &Kernels, source: &PackSource, first: usize, words: &mut [u32]) {
    let lanes = kernels.panel.min(source.columns - first);
    if let [tap] = *source.taps {
        let from = |element: usize| element + tap + first * source.column;
        if source.column == 1 {
            let row = |element: usize| &source.values[from(element)..][..lanes];
            return pack_rows(kernels, source.elements, row, words);
        }
        let run = source.elements.first().map_or(0, |element| element + tap);
        let follows = |(index, element): (usize, &usize)| element + tap == run + index;
        let is_run = source.elements.iter().enumerate().all(follows);
        if is_run && kernels.format == WordFormat::Bf16Pair {
            let len = source.elements.len();
            let column = |lane: usize| &source.values[run + (first + lane) * source.column..][..len];
            return pack_runs(kernels, lanes, column, words);
        }
    }
    let part = words.len() / source.taps.len().max(1);
    let (low, high) = (
        source.taps.iter().min().copied().unwrap_or(0),
        source.taps.iter().max().copied().unwrap_or(0),
    );
    let mut staged = Vec::new();
    for (block, elements) in source.elements.chunks(BLOCK).enumerate() {
        let lowest = elements.iter().min().copied().unwrap_or(0) + low;
        let extent = elements.iter().max().copied().unwrap_or(0) + high + 1 - lowest;
        // Columns far apart would push each other out of the cache: they are copied side by side.
        let stage = extent <= STAGED && source.column > extent;
        let (values, column, origin) = if stage {
            staged.clear();
            for lane in 0..lanes {
                let start = (first + lane) * source.column + lowest;
                staged.extend_from_slice(&source.values[start..start + extent]);
            }
            (staged.as_slice(), extent, lowest)
        } else {
            (&source.values[first * source.column..], source.column, 0)
        };
        let per_word = kernels.format.elements();
        for (tap, &offset) in source.taps.iter().enumerate() {
            let words = &mut words[tap * part + block * (BLOCK / per_word) * kernels.panel..];
            for (pair, words) in elements
                .chunks(per_word)
                .zip(words.chunks_exact_mut(kernels.panel))
            {
                let start = pair[0] + offset - origin;
                match kernels.format {
                    WordFormat::F32 => {
                        for (lane, word) in words[..lanes].iter_mut().enumerate() {
                            *word = values[start + lane * column].to_bits();
                        }
                    }
                    WordFormat::Bf16Pair => {
                        let second = pair.get(1).map(|element| element + offset - origin);
                        for (lane, word) in words[..lanes].iter_mut().enumerate() {
                            let low = bf16_bits(values[start + lane * column]);
                            let high = second.map_or(0, |second| bf16_bits(values[second + lane * column]));
                            *word = u32::from(low) | u32::from(high) << 16;
                        }
                    }
                }
            }
        }
    }
}

/// Packs a panel whose columns lie side by side: `row` gives the lanes of an element.
fn pack_rows<'a>(kernels: &Kernels, elements: &[usize], row: impl Fn(usize) -> &'a [f32], words: &mut [u32]) {
    let pairs = elements.chunks(kernels.format.elements());
    for (pair, words) in pairs.zip(words.chunks_exact_mut(kernels.panel)) {
        let first = row(pair[0]);
        let words = &mut words[..first.len()];
        match kernels.format {
            WordFormat::F32 => words.copy_from_slice(words_of(first)),
            WordFormat::Bf16Pair => pair_words(words, first, pair.get(1).map(|&second| row(second))),
        }
    }
}

/// Packs a panel of bf16 whose elements follow each other: `column` gives those of a lane.
fn pack_runs<'a>(kernels: &Kernels, lanes: usize, column: impl Fn(usize) -> &'a [f32], words: &mut [u32]) {
    let len = words.len() / kernels.panel;
    with_narrow_scratch(lanes * 2 * len, |narrowed| {
        for (lane, target) in narrowed.chunks_exact_mut((2 * len).max(1)).enumerate() {
            let column = column(lane);
            narrow(column, column.len(), target, 2 * len);
        }
        for (word, words) in words.chunks_exact_mut(kernels.panel).enumerate() {
            for (word_of_lane, pair) in words.iter_mut().zip(narrowed[2 * word..].chunks(2 * len)) {
                *word_of_lane = u32::from(pair[0]) | u32::from(pair[1]) << 16;
            }
        }
    });
}

/// Rows of a left factor, as the kernels' format wants them.
#[derive(Clone, Copy)]
pub(in crate::ops) enum Elements<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

impl<'a> Elements<'a> {
    /// The memory from an element on.
    pub fn from(self, element: usize) -> &'a [u8] {
        match self {
            Self::F32(values) => bytes(&values[element..]),
            Self::Bf16(values) => bytes(&values[element..]),
        }
    }
}

/// The bits of f32 values.
pub(in crate::ops) fn words_of(values: &[f32]) -> &[u32] {
    // SAFETY: both are 32 bits wide, and any bits make a u32.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// The bits of f32 values, to be written.
pub(super) fn words_of_mut(values: &mut [f32]) -> &mut [u32] {
    // SAFETY: both are 32 bits wide, and any bits make either.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

fn values_of(words: &[u32]) -> &[f32] {
    // SAFETY: both are 32 bits wide, and any bits make an f32.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

fn values_of_mut(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: both are 32 bits wide, and any bits make either.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

fn bytes<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: numbers without padding are plain bytes.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Writes rows of `from` values each to rows of `to` bf16 values, at least as many; the rest is 0.
pub(in crate::ops) fn narrow(values: &[f32], from: usize, target: &mut [u16], to: usize) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for (row, target) in values.chunks_exact(from).zip(target.chunks_exact_mut(to)) {
                for (target, &value) in target.iter_mut().zip(row) {
                    *target = bf16_bits(value);
                }
                target[from..].fill(0);
            }
        },
    );
}

/// Words of bf16 values that stand at the same place; 0 without a second one.
fn pair_words<E: StoredNumber>(words: &mut [u32], first: &[E], second: Option<&[E]>) {
    with_wide_vectors(
        #[inline(always)]
        || match second {
            Some(second) => {
                for ((word, &first), &second) in words.iter_mut().zip(first).zip(second) {
                    *word = u32::from(first.nearest_bits()) | u32::from(second.nearest_bits()) << 16;
                }
            }
            None => {
                for (word, &first) in words.iter_mut().zip(first) {
                    *word = u32::from(first.nearest_bits());
                }
            }
        },
    );
}

/// Words that pair the values of two images at the same place: `[images / 2][image]`, the last one's
/// partner 0 where their number is odd.
pub(in crate::ops) fn interleave_pairs(images: Stored, image_len: usize) -> Vec<u32> {
    let mut words = vec![0u32; images.len().div_ceil(2 * image_len.max(1)) * image_len];
    words
        .par_chunks_mut(image_len.max(1))
        .enumerate()
        .for_each(|(index, words)| {
            let start = 2 * index * image_len;
            let pair = images.part(start, (2 * image_len).min(images.len() - start));
            pair_rows(words, pair);
        });
    words
}

/// Words of a row of bf16 values and of the row behind it, of as many; 0 without one.
pub(in crate::ops) fn pair_rows(words: &mut [u32], rows: Stored) {
    match rows {
        Stored::F32(rows) => {
            let (first, second) = rows.split_at(words.len());
            pair_words(words, first, (!second.is_empty()).then_some(second));
        }
        Stored::Bf16(rows) => {
            let (first, second) = rows.split_at(words.len());
            pair_words(words, first, (!second.is_empty()).then_some(second));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{host, random};

    #[test]
    fn a_matrix_and_its_transpose_are_packed_alike() {
        for kernels in Kernels::available() {
            for [elements, columns] in [[1, 1], [2, 40], [7, 33], [65, 64]] {
                let values = host(&random(&[elements, columns], 1));
                let value = |element: usize, column: usize| values[element * columns + column];
                let places =
                    (0..columns).flat_map(|column| (0..elements).map(move |element| (element, column)));
                let transposed: Vec<f32> = places.map(|(element, column)| value(element, column)).collect();
                let rows: Vec<usize> = (0..elements).map(|element| element * columns).collect();
                let run: Vec<usize> = (0..elements).collect();
                let pack = |values, column, elements| {
                    let source = PackSource {
                        values,
                        columns,
                        column,
                        elements,
                        taps: &[0],
                    };
                    Panels::pack(kernels, source, Precision::Bf16)
                };
                let (packed, alike) = (pack(&values, 1, &rows), pack(&transposed, elements, &run));
                for (panel, first) in (0..columns).step_by(kernels.panel).enumerate() {
                    let words = packed.group(panel..panel + 1, std::iter::once(0)).parts[0];
                    assert_eq!(
                        words,
                        alike.group(panel..panel + 1, std::iter::once(0)).parts[0],
                        "{}",
                        kernels.name
                    );
                    let per_word = kernels.format.elements();
                    for (word, words) in words.chunks_exact(kernels.panel).enumerate() {
                        for (lane, packed) in words.iter().enumerate() {
                            let of = |element: usize| match element < elements && first + lane < columns {
                                true => u32::from(bf16_bits(value(element, first + lane))),
                                false => 0,
                            };
                            let expected = match kernels.format {
                                WordFormat::F32 => of(word) << 16,
                                WordFormat::Bf16Pair => of(word * per_word) | of(word * per_word + 1) << 16,
                            };
                            assert_eq!(*packed, expected, "{}: {word}, {lane}", kernels.name);
                        }
                    }
                }
            }
        }
    }
}
