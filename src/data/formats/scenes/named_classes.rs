//! Classes that files tell by their names.

use std::collections::BTreeSet;

/// The classes of names: those that are asked for, in their order, or else all that occur, in the order of the names.
pub(in crate::data::formats) struct NamedClasses {
    pub names: Vec<String>,
}

impl NamedClasses {
    /// The classes of `found`, or those that are `asked` for.
    pub fn of<'a>(asked: Option<&[String]>, found: impl Iterator<Item = &'a str>) -> Self {
        let names = match asked {
            Some(asked) => asked.to_vec(),
            None => {
                let found: BTreeSet<&str> = found.collect();
                found.into_iter().map(str::to_owned).collect()
            }
        };
        Self { names }
    }

    /// The class of a name.
    pub fn class(&self, name: &str) -> Option<u32> {
        let place = self.names.iter().position(|class| class == name)?;
        u32::try_from(place).ok()
    }
}
