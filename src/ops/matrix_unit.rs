//! The matrix unit of Intel's processors (AMX, Sapphire Rapids and later): eight tiles of up to 16 rows of 64 bytes, and
//! products of two that are added to a third.
//!
//! Instructions and the layout of [`TileShapes`] are those of Intel's Software Developer's Manual, volume 1, chapter 18. The
//! kernel gives tiles to a process that asks for them (Linux, Documentation/arch/x86/xstate.rst); before that, using them is
//! an illegal instruction. Stable Rust has no names for any of it, hence assembly.

use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::sync::OnceLock;

/// Rows of a tile, at most.
pub(super) const TILE_ROWS: usize = 16;
/// Bytes of a row of a tile, at most.
pub(super) const ROW_BYTES: usize = 64;
/// Tiles that there are.
const TILES: usize = 8;

/// What of the matrix unit this process may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MatrixUnit {
    /// Products of bytes.
    pub int8: bool,
    /// Products of bf16.
    pub bf16: bool,
}

impl MatrixUnit {
    /// That of this processor; the first call asks the kernel for it, for all threads that there are and will be.
    pub fn get() -> Self {
        static UNIT: OnceLock<MatrixUnit> = OnceLock::new();
        *UNIT.get_or_init(|| {
            let found = Self::of_processor();
            match (found.int8 || found.bf16) && is_permitted() {
                true => found,
                false => Self::default(),
            }
        })
    }

    fn of_processor() -> Self {
        const FEATURES: u32 = 7;
        const SAVES_STATES: u32 = 1 << 27;
        let (most, _) = __get_cpuid_max(0);
        if most < FEATURES || __cpuid_count(1, 0).ecx & SAVES_STATES == 0 {
            return Self::default();
        }
        // Configuration and data of tiles, which the kernel has to save.
        const STATES: u64 = 0b11 << 17;
        // SAFETY: the processor has the instruction, as the flag above tells.
        let saved = unsafe { saved_states() };
        let features = __cpuid_count(FEATURES, 0).edx;
        let has = |bit: u32| features & (1 << bit) != 0;
        if saved & STATES != STATES || !has(24) {
            return Self::default();
        }
        Self {
            int8: has(25),
            bf16: has(22),
        }
    }
}

#[target_feature(enable = "xsave")]
unsafe fn saved_states() -> u64 {
    // SAFETY: register 0 is there where the instruction is.
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// Whether the kernel gives the data of tiles to this process.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let answer: i64;
    // SAFETY: the call reads no memory of this process and changes nothing but what it may use.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The shapes of all tiles, as the instruction `ldtilecfg` reads them.
#[repr(C, align(64))]
pub(super) struct TileShapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 2 * TILES],
    rows: [u8; 2 * TILES],
}

impl TileShapes {
    /// Tiles of full rows, of which the tile `i` has `rows[i]`.
    pub const fn new(rows: [u8; TILES]) -> Self {
        let mut shapes = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 2 * TILES],
            rows: [0; 2 * TILES],
        };
        let mut tile = 0;
        while tile < TILES {
            assert!(rows[tile] as usize <= TILE_ROWS, "a tile has 16 rows at most");
            // A tile that is not used has neither rows nor bytes.
            if rows[tile] > 0 {
                shapes.row_bytes[tile] = ROW_BYTES as u16;
                shapes.rows[tile] = rows[tile];
            }
            tile += 1;
        }
        shapes
    }
}
