//! Little-endian numbers and texts in a file's bytes.

/// The u32 at `index`. Panics where there is none.
pub(super) fn read_u32(bytes: &[u8], index: usize) -> u32 {
    let (values, _) = bytes.as_chunks::<4>();
    u32::from_le_bytes(values[index])
}

/// The u64 at `index`. Panics where there is none.
pub(super) fn read_u64(bytes: &[u8], index: usize) -> u64 {
    let (values, _) = bytes.as_chunks::<8>();
    u64::from_le_bytes(values[index])
}

/// The f32 at `index`. Panics where there is none.
pub(super) fn read_f32(bytes: &[u8], index: usize) -> f32 {
    f32::from_bits(read_u32(bytes, index))
}

/// The item at `index` among items of `len` bytes each. Panics where there is none.
pub(super) fn item(bytes: &[u8], index: usize, len: usize) -> &[u8] {
    &bytes[index * len..][..len]
}

/// The item at `index` among those that end at `ends` (u64), each where the next begins. The ends
/// must have been checked. Panics where there is none.
pub(super) fn spelt<'a>(bytes: &'a [u8], ends: &[u8], index: usize) -> &'a [u8] {
    let start = match index {
        0 => 0,
        _ => read_u64(ends, index - 1) as usize,
    };
    &bytes[start..read_u64(ends, index) as usize]
}
