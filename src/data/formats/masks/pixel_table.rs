//! Which class a pixel's value or colour tells.

use std::collections::HashMap;

use crate::schema::NO_PIXEL_CLASS;
use crate::spec::{IgnoredPixels, MasksOptions};

/// Which class a pixel's value or colour tells; [`NO_PIXEL_CLASS`] where it does not count.
pub(super) enum PixelTable {
    /// By value.
    Values(HashMap<u16, u8>),
    /// By red, green and blue.
    Colors(HashMap<[u8; 3], u8>),
}

impl PixelTable {
    pub fn new(options: &MasksOptions) -> Self {
        // There are fewer classes than a byte has values.
        let numbers = (0..=u8::MAX).zip(&options.classes);
        if let Some(colors) = &options.colors {
            let of_class = |(number, class): (u8, &String)| Some((*colors.get(class)?, number));
            let mut table: HashMap<[u8; 3], u8> = numbers.filter_map(of_class).collect();
            if let Some(IgnoredPixels::Color(color)) = options.ignore {
                table.insert(color, NO_PIXEL_CLASS);
            }
            return Self::Colors(table);
        }
        let mut table: HashMap<u16, u8> = options.values_in_order().into_iter().zip(0..=u8::MAX).collect();
        if let Some(value) = options.ignored_value() {
            table.insert(value, NO_PIXEL_CLASS);
        }
        Self::Values(table)
    }
}
