//! What a sample holds: a [`Schema`] of named [`Field`]s.
//!
//! A field says of one column of a dataset, or of one array of a batch, what it is for, what its
//! values mean, of which type and shape they are and how they are encoded. Files, loaders, rules and
//! networks speak of data in these words; nothing here reads or computes anything.

mod dimensions;
mod feature_column;
mod field;
mod input_shape;
mod kinds;
mod preparation;
mod table_reading;
mod text_fields;
mod vocabulary;

use serde::{Deserialize, Serialize};

pub use dimensions::Dimensions;
pub use feature_column::{CellFill, ColumnContent, FeatureColumn, MissingCell, UnknownCategory};
pub use field::Field;
pub use input_shape::InputShape;
pub use kinds::{ElementType, Encoding, FieldKind, FieldRole, NO_CLASS, NO_PIXEL_CLASS, OBJECT_NUMBERS};
pub use preparation::ImagePreparation;
pub use table_reading::{DateReading, TableReading, UntitledColumns};
pub use text_fields::TextFields;
pub use vocabulary::{TokenRoles, TokenVocabulary};

/// The fields of every sample, in order. Names differ, every field is sound by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Field>", into = "Vec<Field>")]
pub struct Schema {
    fields: Vec<Field>,
}

impl Schema {
    /// A schema of `fields`.
    ///
    /// # Errors
    /// A sentence: two fields have one name, or a field contradicts itself.
    pub fn new(fields: Vec<Field>) -> Result<Self, String> {
        for (index, field) in fields.iter().enumerate() {
            field.check()?;
            if fields[..index].iter().any(|other| other.name == field.name) {
                return Err(format!("two fields are called `{}`", field.name));
            }
        }
        Ok(Self { fields })
    }

    /// All fields.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The index of the field called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields of one role.
    pub fn with_role(&self, role: FieldRole) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.role == role)
    }

    /// The inputs alone: what a sample holds of which nobody knows what is to be predicted.
    #[must_use]
    pub fn inputs(&self) -> Self {
        Self {
            fields: self.with_role(FieldRole::Input).cloned().collect(),
        }
    }

    /// The first input, which augmentation and normalisation are about.
    pub fn input(&self) -> Option<&Field> {
        self.with_role(FieldRole::Input).next()
    }

    /// The first target.
    pub fn target(&self) -> Option<&Field> {
        self.with_role(FieldRole::Target).next()
    }

    /// The same schema with another field in the place of the one of the same name.
    ///
    /// # Errors
    /// A sentence: there is none of that name, or the new one contradicts itself.
    pub fn with_field(mut self, field: Field) -> Result<Self, String> {
        field.check()?;
        match self.position(&field.name) {
            Some(index) => {
                self.fields[index] = field;
                Ok(self)
            }
            None => Err(format!("there is no field `{}`", field.name)),
        }
    }
}

impl TryFrom<Vec<Field>> for Schema {
    type Error = String;

    fn try_from(fields: Vec<Field>) -> Result<Self, String> {
        Self::new(fields)
    }
}

impl From<Schema> for Vec<Field> {
    fn from(schema: Schema) -> Self {
        schema.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_survive_json_and_refuse_nonsense() {
        let schema = Schema::new(vec![
            Field::image("image", Dimensions::image(3, None)),
            Field::class("class", vec!["a".into(), "b".into()]),
            Field::origin(),
        ])
        .unwrap();
        let json = serde_json::to_string(&schema).unwrap();
        assert!(json.contains(r#""dimensions":[3,null,null]"#), "{json}");
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), schema);
        assert_eq!(schema.input().unwrap().name, "image");
        assert_eq!(schema.target().unwrap().name, "class");
        assert_eq!(schema.position("origin"), Some(2));

        let twice = Schema::new(vec![Field::origin(), Field::origin()]);
        assert_eq!(twice.unwrap_err(), "two fields are called `origin`");
        let mut wrong = Field::image("image", Dimensions::image(3, None));
        wrong.element = ElementType::I64;
        assert!(schema.clone().with_field(wrong).unwrap_err().contains("`image`"));
        let other = Field::image("other", Dimensions::image(3, None));
        assert!(schema.with_field(other).unwrap_err().contains("no field `other`"));
    }
}
