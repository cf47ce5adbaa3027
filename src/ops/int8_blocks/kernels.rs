//! Products of blocks, for the processor at hand.

use std::ops::Range;

use half::f16;

use super::{BLOCK, PANEL_BLOCK, largest};

/// Outputs of a panel.
pub(super) const PANEL: usize = 16;
/// Rows that a panel is read for at once.
const ROWS: usize = 4;
/// Groups of four values in a block: a word each.
#[cfg(target_arch = "x86_64")]
const WORDS: usize = BLOCK / 4;

/// Rows of values as blocks.
pub(super) struct RowsOfBlocks {
    /// Of a row.
    blocks: usize,
    values: Vec<BlockOfRow>,
}

/// A block of a row.
#[derive(Clone, Copy)]
struct BlockOfRow {
    /// From -127 to 127.
    values: [i8; BLOCK],
    scale: f32,
    /// What is too much in the products with numbers that are larger by 128, turned.
    correction: i32,
}

impl RowsOfBlocks {
    /// Of rows of `inputs` values.
    pub fn of(x: &[f32], inputs: usize) -> Self {
        let rows = x.chunks_exact(inputs);
        Self {
            blocks: inputs.div_ceil(BLOCK),
            values: rows
                .flat_map(|row| row.chunks(BLOCK))
                .map(BlockOfRow::of)
                .collect(),
        }
    }
}

impl BlockOfRow {
    fn of(values: &[f32]) -> Self {
        let scale = largest(values) / 127.0;
        let mut block = Self {
            values: [0; BLOCK],
            scale,
            correction: 0,
        };
        // Multiplied, since a division takes long; of a scale whose inverse is no number everything becomes 0.
        let inverse = 1.0 / scale;
        if inverse.is_finite() {
            for (whole, value) in block.values.iter_mut().zip(values) {
                *whole = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
            }
            let sum: i32 = block.values.iter().map(|&value| i32::from(value)).sum();
            block.correction = -128 * sum;
        }
        block
    }
}

/// Some rows' blocks times a panel: the sums of each.
type Product = unsafe fn(&[&[BlockOfRow]], &[u8]) -> [[f32; PANEL]; ROWS];

/// The product of one instruction set.
pub(super) struct Int8Kernels {
    pub name: &'static str,
    /// Rows that are multiplied at once.
    pub rows: usize,
    product: Product,
}

impl Int8Kernels {
    /// The fastest.
    pub fn best() -> &'static Self {
        Self::available().first().copied().unwrap_or(&PORTABLE)
    }

    /// All that this processor can run, the fastest first.
    pub fn available() -> &'static [&'static Self] {
        static AVAILABLE: std::sync::OnceLock<Vec<&'static Int8Kernels>> = std::sync::OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut available = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                    available.push(&x86::VNNI);
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
                    available.push(&x86::AVX2);
                }
            }
            available.push(&PORTABLE);
            available
        })
    }

    /// The sums of the rows `rows` of `left` times a panel.
    pub fn multiply(&self, left: &RowsOfBlocks, rows: Range<usize>, panel: &[u8]) -> [[f32; PANEL]; ROWS] {
        let mut of_rows: [&[BlockOfRow]; ROWS] = [&[]; ROWS];
        let count = rows.len();
        for (target, row) in of_rows.iter_mut().zip(rows) {
            *target = &left.values[row * left.blocks..][..left.blocks];
        }
        assert!(
            count <= self.rows && panel.len() == left.blocks * PANEL_BLOCK,
            "a panel of as many blocks as the rows"
        );
        // SAFETY: `available` only gives kernels that the processor can run, and all rows have the panel's blocks.
        unsafe { (self.product)(&of_rows[..count], panel) }
    }
}

static PORTABLE: Int8Kernels = Int8Kernels {
    name: "portable",
    rows: ROWS,
    product: portable,
};

fn portable(rows: &[&[BlockOfRow]], panel: &[u8]) -> [[f32; PANEL]; ROWS] {
    let mut sums = [[0.0f32; PANEL]; ROWS];
    for (index, bytes) in panel.chunks_exact(PANEL_BLOCK).enumerate() {
        let (values, scales) = bytes.split_at(PANEL * BLOCK);
        for (sums, row) in sums.iter_mut().zip(rows) {
            let block = &row[index];
            let mut products = [block.correction; PANEL];
            for (words, left) in values
                .chunks_exact(4 * PANEL)
                .zip(block.values.as_chunks::<4>().0)
            {
                for (product, word) in products.iter_mut().zip(words.as_chunks::<4>().0) {
                    for (&right, &left) in word.iter().zip(left) {
                        *product += i32::from(right) * i32::from(left);
                    }
                }
            }
            for ((sum, product), scale) in sums.iter_mut().zip(products).zip(scales.as_chunks::<2>().0) {
                let scale = f16::from_le_bytes(*scale).to_f32() * block.scale;
                *sum += scale * product as f32;
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    pub(super) static VNNI: Int8Kernels = Int8Kernels {
        name: "AVX-512 VNNI",
        rows: ROWS,
        product: vnni,
    };

    pub(super) static AVX2: Int8Kernels = Int8Kernels {
        name: "AVX2",
        rows: ROWS,
        product: avx2,
    };

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn vnni(rows: &[&[BlockOfRow]], panel: &[u8]) -> [[f32; PANEL]; ROWS] {
        match *rows {
            [a] => vnni_of([a], panel),
            [a, b] => vnni_of([a, b], panel),
            [a, b, c] => vnni_of([a, b, c], panel),
            [a, b, c, d] => vnni_of([a, b, c, d], panel),
            _ => unreachable!("at most {ROWS} rows"),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn vnni_of<const COUNT: usize>(rows: [&[BlockOfRow]; COUNT], panel: &[u8]) -> [[f32; PANEL]; ROWS] {
        let mut sums = [_mm512_setzero_ps(); COUNT];
        for (index, bytes) in panel.as_chunks::<PANEL_BLOCK>().0.iter().enumerate() {
            let blocks = rows.map(|row| &row[index]);
            let mut products = blocks.map(|block| _mm512_set1_epi32(block.correction));
            for word in 0..WORDS {
                // SAFETY: a block has as many words of a vector.
                let right = unsafe { _mm512_loadu_si512(bytes.as_ptr().add(word * 64).cast()) };
                for (product, block) in products.iter_mut().zip(blocks) {
                    // SAFETY: a block has as many words.
                    let left = unsafe { block.values.as_ptr().cast::<i32>().add(word).read_unaligned() };
                    *product = _mm512_dpbusd_epi32(*product, right, _mm512_set1_epi32(left));
                }
            }
            // SAFETY: the scales are the last 32 bytes.
            let scales = unsafe { _mm256_loadu_si256(bytes.as_ptr().add(PANEL * BLOCK).cast()) };
            let scales = _mm512_cvtph_ps(scales);
            for ((sum, product), block) in sums.iter_mut().zip(products).zip(blocks) {
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(block.scale));
                *sum = _mm512_add_ps(*sum, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(product)));
            }
        }
        let mut stored = [[0.0; PANEL]; ROWS];
        for (stored, sum) in stored.iter_mut().zip(sums) {
            // SAFETY: a row of the panel's outputs is a vector.
            unsafe { _mm512_storeu_ps(stored.as_mut_ptr(), sum) };
        }
        stored
    }

    #[target_feature(enable = "avx2,f16c")]
    fn avx2(rows: &[&[BlockOfRow]], panel: &[u8]) -> [[f32; PANEL]; ROWS] {
        let mut stored = [[0.0; PANEL]; ROWS];
        for (stored, row) in stored.iter_mut().zip(rows) {
            let mut sums = [_mm256_setzero_ps(); 2];
            for (bytes, block) in panel.as_chunks::<PANEL_BLOCK>().0.iter().zip(*row) {
                let mut products = [_mm256_setzero_si256(); 2];
                for word in 0..WORDS {
                    // SAFETY: a block has as many words.
                    let left = unsafe { block.values.as_ptr().cast::<i32>().add(word).read_unaligned() };
                    let left = _mm256_set1_epi32(left);
                    for (half, product) in products.iter_mut().enumerate() {
                        let place = word * 64 + half * 32;
                        // SAFETY: a block has two vectors for each word.
                        let right = unsafe { _mm256_loadu_si256(bytes.as_ptr().add(place).cast()) };
                        let right = _mm256_xor_si256(right, _mm256_set1_epi8(-128));
                        // Two products of numbers up to 127 are less than a 16-bit number holds, so that nothing is
                        // cut off.
                        let pairs =
                            _mm256_maddubs_epi16(_mm256_abs_epi8(right), _mm256_sign_epi8(left, right));
                        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                        *product = _mm256_add_epi32(*product, fours);
                    }
                }
                for (half, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
                    let place = PANEL * BLOCK + half * 16;
                    // SAFETY: eight scales for each half.
                    let scales = unsafe { _mm_loadu_si128(bytes.as_ptr().add(place).cast()) };
                    let scale = _mm256_mul_ps(_mm256_cvtph_ps(scales), _mm256_set1_ps(block.scale));
                    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(product)));
                }
            }
            for (half, sum) in sums.into_iter().enumerate() {
                // SAFETY: two vectors are a row of the panel's outputs.
                unsafe { _mm256_storeu_ps(stored.as_mut_ptr().add(half * 8), sum) };
            }
        }
        stored
    }
}
