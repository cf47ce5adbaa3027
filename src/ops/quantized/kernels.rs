//! Sums of products of bytes, for the processor at hand.

#[cfg(target_arch = "x86_64")]
mod matrix_unit;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::ops::matrix_unit::MatrixUnit;

/// Outputs of a panel: a vector of sums.
pub(super) const LANES: usize = 16;
/// Rows of a tile, at most.
pub(super) const TILE_ROWS: usize = 32;
/// Panels of a tile, at most.
pub(super) const TILE_PANELS: usize = 2;

/// Four weights of each output of a panel, one output after the other.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct PanelWord(pub [[i8; 4]; LANES]);

/// The sums of a tile: of each row, of each panel, of each output.
pub(super) type TileSums = [[[i32; LANES]; TILE_PANELS]; TILE_ROWS];

/// Rows of bytes, each as long as the panels that they are multiplied with: four bytes a word.
#[derive(Clone, Copy)]
pub(super) struct ByteRows<'a> {
    bytes: &'a [u8],
    rows: usize,
    /// From one row to the next.
    stride: usize,
    words: usize,
}

impl<'a> ByteRows<'a> {
    /// `rows` rows of `words` words, `stride` bytes apart.
    pub fn new(bytes: &'a [u8], rows: usize, stride: usize, words: usize) -> Self {
        assert!(
            rows > 0 && (rows - 1) * stride + words * 4 <= bytes.len(),
            "rows within the bytes"
        );
        Self {
            bytes,
            rows,
            stride,
            words,
        }
    }
}

/// A tile's product: rows and up to [`TILE_PANELS`] panels of as many words.
///
/// # Safety
/// The processor has the instructions; there are 1 to [`ByteKernels::rows`] rows and 1 to [`TILE_PANELS`] panels, each of as many
/// words as a row.
type TileProduct = unsafe fn(ByteRows<'_>, &[&[PanelWord]], &mut TileSums);

/// The product of one instruction set. All give the same sums, since they are of whole numbers: none is ever cut off, for
/// fewer than 2^16 words.
pub(super) struct ByteKernels {
    pub name: &'static str,
    /// Rows of a tile, at most.
    pub rows: usize,
    product: TileProduct,
}

impl ByteKernels {
    /// The fastest.
    pub fn best() -> &'static Self {
        Self::available().first().copied().unwrap_or(&PORTABLE)
    }

    /// All that this processor can run, the fastest first.
    pub fn available() -> &'static [&'static Self] {
        static AVAILABLE: OnceLock<Vec<&'static ByteKernels>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut available = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                if MatrixUnit::get().int8 {
                    available.push(&matrix_unit::KERNELS);
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                    available.push(&x86::VNNI);
                }
                if is_x86_feature_detected!("avx2") {
                    available.push(&x86::AVX2);
                }
            }
            available.push(&PORTABLE);
            available
        })
    }

    /// Writes the sums of `left` times `panels` into the first rows and panels of `sums`.
    pub fn multiply(&self, left: ByteRows<'_>, panels: &[&[PanelWord]], sums: &mut TileSums) {
        assert!(
            left.rows <= self.rows
                && (1..=TILE_PANELS).contains(&panels.len())
                && panels.iter().all(|panel| panel.len() == left.words),
            "a tile of panels as long as the rows"
        );
        // SAFETY: `available` only gives kernels that the processor can run, and the sizes are those that they need.
        unsafe { (self.product)(left, panels, sums) }
    }
}

static PORTABLE: ByteKernels = ByteKernels {
    name: "portable",
    rows: 12,
    product: portable,
};

fn portable(left: ByteRows<'_>, panels: &[&[PanelWord]], sums: &mut TileSums) {
    for (row, sums) in sums[..left.rows].iter_mut().enumerate() {
        let bytes = &left.bytes[row * left.stride..][..left.words * 4];
        for (panel, sums) in panels.iter().zip(sums) {
            *sums = [0; LANES];
            for (word, left) in panel.iter().zip(bytes.as_chunks::<4>().0) {
                for (sum, weights) in sums.iter_mut().zip(&word.0) {
                    let products = weights.iter().zip(left);
                    *sum += products
                        .map(|(&weight, &byte)| i32::from(weight) * i32::from(byte))
                        .sum::<i32>();
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Rows of a tile whose sums, of two panels, are registers beside the operands.
    const VECTOR_ROWS: usize = 12;

    pub(super) static VNNI: ByteKernels = ByteKernels {
        name: "AVX-512 VNNI",
        rows: VECTOR_ROWS,
        product: vnni,
    };

    pub(super) static AVX2: ByteKernels = ByteKernels {
        name: "AVX2",
        rows: VECTOR_ROWS,
        product: avx2,
    };

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn vnni(left: ByteRows<'_>, panels: &[&[PanelWord]], sums: &mut TileSums) {
        macro_rules! by_rows {
            ($panels:expr, $($rows:literal)*) => {
                match left.rows {
                    $($rows => vnni_of::<$rows, _>(left, $panels, sums),)*
                    _ => unreachable!("at most {VECTOR_ROWS} rows"),
                }
            };
        }
        match *panels {
            [a] => by_rows!([a], 1 2 3 4 5 6 7 8 9 10 11 12),
            [a, b] => by_rows!([a, b], 1 2 3 4 5 6 7 8 9 10 11 12),
            _ => unreachable!("one or two panels"),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn vnni_of<const ROWS: usize, const PANELS: usize>(
        left: ByteRows<'_>,
        panels: [&[PanelWord]; PANELS],
        sums: &mut TileSums,
    ) {
        let mut products = [[_mm512_setzero_si512(); PANELS]; ROWS];
        let stride = left.stride;
        // Rows by threes, whose addresses are a base and once or twice the stride.
        let mut bases = [left.bytes.as_ptr(); VECTOR_ROWS / 3];
        for (index, base) in bases.iter_mut().enumerate() {
            *base = base.wrapping_add(3 * index * stride);
        }
        let panels = panels.map(<[PanelWord]>::as_ptr);
        for word in 0..left.words {
            // SAFETY: each panel has as many words as a row.
            let right = panels.map(|panel| unsafe { _mm512_load_si512(panel.add(word).cast()) });
            for (row, products) in products.iter_mut().enumerate() {
                let address = bases[row / 3].wrapping_add(row % 3 * stride + word * 4);
                // SAFETY: a row has as many words.
                let bytes = _mm512_set1_epi32(unsafe { address.cast::<i32>().read_unaligned() });
                for (product, &right) in products.iter_mut().zip(&right) {
                    *product = _mm512_dpbusd_epi32(*product, bytes, right);
                }
            }
        }
        for (sums, products) in sums.iter_mut().zip(&products) {
            for (sums, &product) in sums.iter_mut().zip(products) {
                // SAFETY: a panel's sums are a vector.
                unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), product) };
            }
        }
    }

    /// Bytes are widened to 16 bits before they are multiplied: the sum of two products of bytes, one with a sign and
    /// one without, is more than 16 bits hold.
    #[target_feature(enable = "avx2")]
    fn avx2(left: ByteRows<'_>, panels: &[&[PanelWord]], sums: &mut TileSums) {
        for (place, panel) in panels.iter().enumerate() {
            let mut row = 0;
            while row + 2 <= left.rows {
                avx2_of::<2>(left, row, panel, place, sums);
                row += 2;
            }
            if row < left.rows {
                avx2_of::<1>(left, row, panel, place, sums);
            }
        }
    }

    /// Outputs whose four widened weights are a vector.
    const QUARTER: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn avx2_of<const ROWS: usize>(
        left: ByteRows<'_>,
        first: usize,
        panel: &[PanelWord],
        place: usize,
        sums: &mut TileSums,
    ) {
        let mut products = [[_mm256_setzero_si256(); LANES / QUARTER]; ROWS];
        let bases: [*const u8; ROWS] =
            std::array::from_fn(|row| left.bytes.as_ptr().wrapping_add((first + row) * left.stride));
        for (word, weights) in panel.iter().enumerate() {
            // SAFETY: a row has as many words.
            let bytes = bases.map(|base| unsafe { base.add(word * 4).cast::<i32>().read_unaligned() });
            let bytes = bytes.map(|bytes| _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes)));
            for quarter in 0..LANES / QUARTER {
                // SAFETY: four outputs' weights are 16 bytes.
                let weights = unsafe { _mm_loadu_si128(weights.0.as_ptr().add(quarter * QUARTER).cast()) };
                let weights = _mm256_cvtepi8_epi16(weights);
                for (products, &bytes) in products.iter_mut().zip(&bytes) {
                    let pairs = _mm256_madd_epi16(bytes, weights);
                    products[quarter] = _mm256_add_epi32(products[quarter], pairs);
                }
            }
        }
        for (row, products) in products.iter().enumerate() {
            for (quarter, &product) in products.iter().enumerate() {
                let mut halves = [0i32; 2 * QUARTER];
                // SAFETY: a vector has as many sums, two of each output.
                unsafe { _mm256_storeu_si256(halves.as_mut_ptr().cast(), product) };
                let target = &mut sums[first + row][place][quarter * QUARTER..][..QUARTER];
                for (sum, halves) in target.iter_mut().zip(halves.as_chunks::<2>().0) {
                    *sum = halves[0] + halves[1];
                }
            }
        }
    }
}
