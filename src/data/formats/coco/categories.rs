//! Which category is which class.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::file::CocoCategory;
use crate::data::error::DataError;
use crate::schema::NO_PIXEL_CLASS;
use crate::spec::{CocoClasses, suggest};

/// The classes, and the numbers that files know them by.
pub(super) struct CocoCategories {
    /// The classes' names, in order.
    pub names: Vec<String>,
    /// The classes' numbers, likewise.
    pub ids: Vec<u64>,
    /// The class of each category; nothing for those that are not asked for.
    classes: HashMap<u64, Option<u32>>,
}

impl CocoCategories {
    /// The classes of all files together: all categories in the order of their ids, or those that are asked for.
    pub fn of<'a>(
        files: impl Iterator<Item = (&'a Path, &'a [CocoCategory])>,
        asked: &CocoClasses,
    ) -> Result<Self, DataError> {
        let mut known: BTreeMap<u64, &str> = BTreeMap::new();
        let mut last = Path::new("");
        for (path, categories) in files {
            last = path;
            let mut own = BTreeMap::new();
            for CocoCategory { id, name } in categories {
                if own.insert(*id, name).is_some() {
                    let problem = format!("two categories have the id {id}: give each one of its own");
                    return Err(DataError::input(path, problem));
                }
                if let Some(other) = known.insert(*id, name).filter(|other| other != name) {
                    let problem = format!(
                        "its category {id} is `{name}`, and that of another split is `{other}`: give a category the same \
                         id in all files"
                    );
                    return Err(DataError::input(path, problem));
                }
            }
        }
        let mut of_name: HashMap<&str, u64> = HashMap::new();
        for (id, name) in &known {
            if let Some(other) = of_name.insert(name, *id) {
                let problem =
                    format!("the categories {other} and {id} are both called `{name}`: rename or join them");
                return Err(DataError::input(last, problem));
            }
        }
        if known.is_empty() {
            let problem = "it has no categories: name the classes of its objects in `categories`";
            return Err(DataError::input(last, problem));
        }
        let ids = match asked.names() {
            None => known.keys().copied().collect(),
            Some(names) => {
                let mut ids = Vec::with_capacity(names.len());
                for name in names {
                    let Some(id) = of_name.get(name.as_str()) else {
                        let help = suggest(name, "categories", known.values().copied());
                        let problem = format!("it has no category `{name}`, which `classes` names: {help}");
                        return Err(DataError::input(last, problem));
                    };
                    ids.push(*id);
                }
                ids
            }
        };
        let mut classes: HashMap<u64, Option<u32>> = known.keys().map(|id| (*id, None)).collect();
        classes.extend((0..).zip(&ids).map(|(class, id)| (*id, Some(class))));
        let names = ids
            .iter()
            .filter_map(|id| known.get(id).map(|name| (*name).to_owned()))
            .collect();
        Ok(Self { names, ids, classes })
    }

    /// The class of a category: nothing where there is no such category, `Some(None)` where it is not asked for.
    pub fn class(&self, category: i64) -> Option<Option<u32>> {
        self.classes.get(&u64::try_from(category).ok()?).copied()
    }

    /// The names of the classes of pixels: that of the background, and all others.
    pub fn with_background(self, background: &str, root: &Path) -> Result<Vec<String>, DataError> {
        if self.names.iter().any(|name| name == background) {
            let problem = format!(
                "a category is called `{background}` as pixels of no object are: give them another name by `background`"
            );
            return Err(DataError::input(root, problem));
        }
        let most = usize::from(NO_PIXEL_CLASS) - 1;
        if self.names.len() > most {
            let problem = format!(
                "{} categories are more than the {most} that masks hold: choose some by `classes`",
                self.names.len()
            );
            return Err(DataError::input(root, problem));
        }
        Ok(std::iter::once(background.to_owned()).chain(self.names).collect())
    }
}
