//! An object in an image: where it is, and what.

use super::value::OwnedValue;
use crate::schema::{Dimensions, OBJECT_NUMBERS};

/// An object in an image: a box with a class.
///
/// The sides of the box are those of the image as it stands in the dataset: pixels from its upper left corner, continuous and
/// counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// What is left of the box.
    pub left: f64,
    /// What is above the box.
    pub top: f64,
    /// The box's width.
    pub width: f64,
    /// The box's height.
    pub height: f64,
    /// An index into the field's names.
    pub class: u32,
    /// Pixels that the object covers: of its mask where it has one, else of its box.
    pub area: f64,
    /// Whether it is many objects in one box. It is not trained on, and what is found there is not counted.
    pub crowd: bool,
    /// Whether it is too hard to be asked for. It is not trained on, and not missed where it is not found.
    pub difficult: bool,
}

impl Object {
    /// The numbers of an object in a dataset: left, top, width, height, class, area and flags.
    pub const NUMBERS: usize = OBJECT_NUMBERS;

    const CROWD: u8 = 1;
    const DIFFICULT: u8 = 2;

    /// The object as numbers.
    pub fn to_row(self) -> [f64; Self::NUMBERS] {
        let flags = u8::from(self.crowd) * Self::CROWD + u8::from(self.difficult) * Self::DIFFICULT;
        [
            self.left,
            self.top,
            self.width,
            self.height,
            f64::from(self.class),
            self.area,
            f64::from(flags),
        ]
    }

    /// The object of such numbers. Numbers of no object become the nearest that is one; see [`Object::is_row`].
    pub fn from_row([left, top, width, height, class, area, flags]: [f64; Self::NUMBERS]) -> Self {
        let flags = flags as u8;
        Self {
            left,
            top,
            width,
            height,
            class: class as u32,
            area,
            crowd: flags & Self::CROWD != 0,
            difficult: flags & Self::DIFFICULT != 0,
        }
    }

    /// The objects of an array's numbers, row by row.
    pub fn of_numbers(numbers: &[f64]) -> Vec<Self> {
        let (rows, _) = numbers.as_chunks::<{ Self::NUMBERS }>();
        rows.iter().copied().map(Self::from_row).collect()
    }

    /// Whether it is neither a crowd nor difficult: it is trained on, and missed where it is not found.
    pub fn counts(&self) -> bool {
        !self.crowd && !self.difficult
    }

    /// Whether numbers are those of an object of one of `classes`: finite, with sides and an area that are not negative.
    pub(super) fn is_row(row: [f64; Self::NUMBERS], classes: usize) -> bool {
        let [.., width, height, class, area, flags] = row;
        let sizes = [width, height, area];
        let is_whole =
            |number: f64, most: usize| number >= 0.0 && number.fract() == 0.0 && number < most as f64;
        row.iter().all(|number| number.is_finite())
            && sizes.iter().all(|size| *size >= 0.0)
            && is_whole(class, classes)
            && is_whole(flags, 4)
    }

    /// The objects in the bytes of a dataset.
    pub(super) fn read(bytes: &[u8]) -> Vec<Self> {
        Self::rows(bytes).map(Self::from_row).collect()
    }

    /// The numbers in the bytes of a dataset, row by row.
    pub(super) fn rows(bytes: &[u8]) -> impl Iterator<Item = [f64; Self::NUMBERS]> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let (rows, _) = numbers.as_chunks::<{ Self::NUMBERS }>();
        rows.iter().map(|row| row.map(f64::from_le_bytes))
    }

    /// Objects as a dataset holds them.
    pub(super) fn write(objects: &[Self]) -> OwnedValue {
        let numbers = objects.iter().flat_map(|object| object.to_row());
        OwnedValue {
            bytes: numbers.flat_map(f64::to_le_bytes).collect(),
            dimensions: Dimensions::new(&[Some(objects.len()), Some(Self::NUMBERS)])
                .unwrap_or(Dimensions::ragged_rows(Self::NUMBERS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_rows_of_numbers() {
        let object = Object {
            left: 1.5,
            top: 0.1,
            width: 2.0,
            height: 3.0,
            class: 4,
            area: 5.5,
            crowd: true,
            difficult: true,
        };
        assert_eq!(object.to_row(), [1.5, 0.1, 2.0, 3.0, 4.0, 5.5, 3.0]);
        for (crowd, difficult) in [(false, false), (true, false), (false, true), (true, true)] {
            let object = Object {
                crowd,
                difficult,
                ..object
            };
            assert_eq!(Object::from_row(object.to_row()), object);
            assert_eq!(object.counts(), !crowd && !difficult);
            let value = Object::write(&[object, object]);
            assert_eq!(Object::read(&value.bytes), [object, object]);
            assert_eq!(value.dimensions, Dimensions::new(&[Some(2), Some(7)]).unwrap());
        }
    }

    #[test]
    fn numbers_of_no_object_are_told() {
        let row = [1.0, -2.0, 3.0, 4.0, 1.0, 12.0, 2.0];
        assert!(Object::is_row(row, 2));
        let wrong = [
            (0, f64::NAN),
            (1, f64::INFINITY),
            (2, -1.0),
            (4, 2.0),
            (4, 0.5),
            (5, -1.0),
            (6, 4.0),
        ];
        for (place, number) in wrong {
            let mut row = row;
            row[place] = number;
            assert!(!Object::is_row(row, 2), "{row:?}");
        }
    }
}
