//! Working memory that a thread keeps between calls, so that kernels do not pay for fresh pages.

use std::cell::RefCell;
use std::thread::LocalKey;

type Free<T> = RefCell<Vec<Vec<T>>>;

thread_local! {
    static FREE: Free<f32> = const { RefCell::new(Vec::new()) };
    static FREE_NARROW: Free<u16> = const { RefCell::new(Vec::new()) };
    static FREE_BYTES: Free<u8> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with `len` values of arbitrary content. Calls may be nested.
pub(super) fn with_scratch<T>(len: usize, body: impl FnOnce(&mut [f32]) -> T) -> T {
    with(&FREE, len, body)
}

/// The same for 16-bit values.
pub(super) fn with_narrow_scratch<T>(len: usize, body: impl FnOnce(&mut [u16]) -> T) -> T {
    with(&FREE_NARROW, len, body)
}

/// The same for bytes.
pub(super) fn with_byte_scratch<T>(len: usize, body: impl FnOnce(&mut [u8]) -> T) -> T {
    with(&FREE_BYTES, len, body)
}

fn with<N: Default + Clone, T>(
    free: &'static LocalKey<Free<N>>,
    len: usize,
    body: impl FnOnce(&mut [N]) -> T,
) -> T {
    let mut buffer = free.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, N::default());
    }
    let result = body(&mut buffer[..len]);
    free.with_borrow_mut(|free| free.push(buffer));
    result
}
