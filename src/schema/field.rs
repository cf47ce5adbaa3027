//! One field of a sample.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::dimensions::Dimensions;
use super::feature_column::FeatureColumn;
use super::input_shape::InputShape;
use super::kinds::{ElementType, Encoding, FieldKind, FieldRole, NO_PIXEL_CLASS, OBJECT_NUMBERS};
use super::preparation::ImagePreparation;
use super::table_reading::TableReading;
use super::text_fields::TextFields;
use super::vocabulary::TokenVocabulary;

/// A column of a dataset, or an array of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// What it is called: unique within its schema.
    pub name: String,
    /// What it is for.
    pub role: FieldRole,
    /// What its values mean.
    pub kind: FieldKind,
    /// The type of its values; of what is encoded, the type once it is decoded.
    pub element: ElementType,
    /// The sides of one sample's array; of what is encoded, once it is decoded.
    pub dimensions: Dimensions,
    /// How its values are written.
    #[serde(default, skip_serializing_if = "Encoding::is_raw")]
    pub encoding: Encoding,
    /// The names of its values: of classes, which a class is an index into, or of the labels, numbers
    /// or features in a row. Empty where they have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What the classes of [`Field::names`] are called in COCO's files, in the same order. Empty where these are 1, 2, 3, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_ids: Vec<u64>,
    /// The columns of a table that a row of features is made from, in order; their features bear the
    /// names. Empty where nobody tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<FeatureColumn>,
    /// How image files became its pixels, or become them where they are decoded later; nothing where its pixels were
    /// no image files, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<ImagePreparation>,
    /// How the table was read that its features are made from, where that is not as most are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Box<TableReading>>,
    /// The vocabulary that its tokens are indices into; nothing where they are no tokens, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<TokenVocabulary>,
    /// The most tokens that a text has, special ones included, where longer ones were cut; nothing where none was, or nobody
    /// knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// What the texts are called in their records that its tokens were made of; nothing where they are no tokens, or
    /// nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Box<TextFields>>,
}

impl Field {
    fn new(
        name: &str,
        role: FieldRole,
        kind: FieldKind,
        element: ElementType,
        dimensions: Dimensions,
    ) -> Self {
        Self {
            name: name.to_owned(),
            role,
            kind,
            element,
            dimensions,
            encoding: Encoding::Raw,
            names: Vec::new(),
            class_ids: Vec::new(),
            columns: Vec::new(),
            preparation: None,
            reading: None,
            vocabulary: None,
            max_length: None,
            texts: None,
        }
    }

    /// Pixels of an image, an input.
    pub fn image(name: &str, dimensions: Dimensions) -> Self {
        Self::new(
            name,
            FieldRole::Input,
            FieldKind::Image,
            ElementType::U8,
            dimensions,
        )
    }

    /// Image files that decode to `dimensions`, an input.
    pub fn image_files(name: &str, dimensions: Dimensions) -> Self {
        Self {
            encoding: Encoding::ImageFile,
            ..Self::image(name, dimensions)
        }
    }

    /// A row of numbers with `names`, an input.
    pub fn features(name: &str, names: Vec<String>) -> Self {
        Self {
            role: FieldRole::Input,
            ..Self::numbers(name, names)
        }
    }

    /// The features that `columns` of a table become, an input.
    pub fn of_columns(name: &str, columns: Vec<FeatureColumn>) -> Self {
        let names = columns.iter().flat_map(FeatureColumn::features).collect();
        Self {
            columns,
            ..Self::features(name, names)
        }
    }

    /// A row of numbers with `names`, a target.
    pub fn numbers(name: &str, names: Vec<String>) -> Self {
        let dimensions = Dimensions::row(names.len());
        Self {
            names,
            ..Self::new(
                name,
                FieldRole::Target,
                FieldKind::Numbers,
                ElementType::F32,
                dimensions,
            )
        }
    }

    /// One of `classes`, a target.
    pub fn class(name: &str, classes: Vec<String>) -> Self {
        let scalar = Dimensions::SCALAR;
        Self {
            names: classes,
            ..Self::new(
                name,
                FieldRole::Target,
                FieldKind::Class,
                ElementType::U32,
                scalar,
            )
        }
    }

    /// The probability of each of `classes`, a target: of samples that were mixed.
    pub fn probabilities(name: &str, classes: Vec<String>) -> Self {
        Self {
            kind: FieldKind::Probabilities,
            ..Self::numbers(name, classes)
        }
    }

    /// Whether each of `names` applies, a target.
    pub fn labels(name: &str, names: Vec<String>) -> Self {
        let dimensions = Dimensions::row(names.len());
        Self {
            names,
            ..Self::new(
                name,
                FieldRole::Target,
                FieldKind::Labels,
                ElementType::U8,
                dimensions,
            )
        }
    }

    /// A class for each pixel, a target.
    pub fn mask(name: &str, dimensions: Dimensions) -> Self {
        Self::new(
            name,
            FieldRole::Target,
            FieldKind::Mask,
            ElementType::U8,
            dimensions,
        )
    }

    /// One of `classes` for each pixel, a target; [`super::NO_PIXEL_CLASS`] where none is to be predicted.
    pub fn pixel_classes(name: &str, classes: Vec<String>, dimensions: Dimensions) -> Self {
        Self {
            names: classes,
            ..Self::mask(name, dimensions)
        }
    }

    /// Any number of objects of `classes`, a target.
    pub fn objects(name: &str, classes: Vec<String>) -> Self {
        let dimensions = Dimensions::ragged_rows(OBJECT_NUMBERS);
        Self {
            names: classes,
            ..Self::new(
                name,
                FieldRole::Target,
                FieldKind::Objects,
                ElementType::F64,
                dimensions,
            )
        }
    }

    /// Any number of tokens of type `element`, an input.
    pub fn tokens(name: &str, element: ElementType) -> Self {
        let dimensions = Dimensions::ragged();
        Self::new(name, FieldRole::Input, FieldKind::Tokens, element, dimensions)
    }

    /// Any number of tokens of `vocabulary`, an input, in the smaller of 16 and 32 bits that holds them.
    pub fn tokens_of(name: &str, vocabulary: TokenVocabulary) -> Self {
        let element = match vocabulary.size {
            0..=0x1_0000 => ElementType::U16,
            _ => ElementType::U32,
        };
        Self {
            vocabulary: Some(vocabulary),
            ..Self::tokens(name, element)
        }
    }

    /// One of `classes` for each token, a target; [`super::NO_CLASS`] where none is to be predicted.
    pub fn token_classes(name: &str, classes: Vec<String>) -> Self {
        Self::class(name, classes).with_dimensions(Dimensions::ragged())
    }

    /// For each token, whether it is to be predicted.
    pub fn token_mask(name: &str) -> Self {
        let dimensions = Dimensions::ragged();
        Self::new(
            name,
            FieldRole::Weight,
            FieldKind::TokenMask,
            ElementType::U8,
            dimensions,
        )
    }

    /// A whole number that is neither shown nor predicted.
    pub fn count(name: &str) -> Self {
        let scalar = Dimensions::SCALAR;
        Self::new(
            name,
            FieldRole::Detail,
            FieldKind::Counts,
            ElementType::U32,
            scalar,
        )
    }

    /// A whole number for each token, neither shown nor predicted.
    pub fn token_counts(name: &str) -> Self {
        Self::count(name).with_dimensions(Dimensions::ragged())
    }

    /// For each token 0 or 1, by the text that it is of, an input.
    pub fn segments(name: &str) -> Self {
        Self::token_counts(name)
            .with_role(FieldRole::Input)
            .with_element(ElementType::U8)
    }

    /// A text, an input.
    pub fn text(name: &str) -> Self {
        Self {
            encoding: Encoding::Utf8,
            ..Self::new(
                name,
                FieldRole::Input,
                FieldKind::Text,
                ElementType::U8,
                Dimensions::ragged(),
            )
        }
    }

    /// How much the sample counts: one number.
    pub fn weight(name: &str) -> Self {
        let scalar = Dimensions::SCALAR;
        Self::new(
            name,
            FieldRole::Weight,
            FieldKind::Numbers,
            ElementType::F32,
            scalar,
        )
    }

    /// Where the sample comes from.
    pub fn origin() -> Self {
        Self {
            role: FieldRole::Origin,
            ..Self::text("origin")
        }
    }

    /// A whole number that a file knows the sample by, neither shown nor predicted.
    pub fn identifier(name: &str) -> Self {
        Self::count(name).with_element(ElementType::I64)
    }

    /// The same with the numbers that COCO's files know its classes by, in the order of the names. Where these are 1, 2, 3,
    /// ... there is nothing to keep.
    #[must_use]
    pub fn with_class_ids(self, ids: Vec<u64>) -> Self {
        let is_usual = ids.iter().copied().eq(1..=ids.len() as u64);
        let class_ids = if is_usual { Vec::new() } else { ids };
        Self { class_ids, ..self }
    }

    /// The number that COCO's files know the class `class` by: 1, 2, 3, ... unless it has one of its own.
    pub fn class_id(&self, class: usize) -> u64 {
        self.class_ids.get(class).copied().unwrap_or(class as u64 + 1)
    }

    /// The same with a word on how long texts may be.
    #[must_use]
    pub fn with_max_length(self, max_length: Option<u32>) -> Self {
        Self { max_length, ..self }
    }

    /// The same with a word on what the texts are called that its tokens were made of.
    #[must_use]
    pub fn with_texts(self, texts: TextFields) -> Self {
        let texts = Some(Box::new(texts));
        Self { texts, ..self }
    }

    /// The same with another role.
    #[must_use]
    pub fn with_role(self, role: FieldRole) -> Self {
        Self { role, ..self }
    }

    /// The same with a word on how image files become its pixels.
    #[must_use]
    pub fn with_preparation(self, preparation: ImagePreparation) -> Self {
        let preparation = Some(preparation);
        Self { preparation, ..self }
    }

    /// The same with a word on how the table was read that its features are made from.
    #[must_use]
    pub fn with_reading(self, reading: TableReading) -> Self {
        let reading = (reading != TableReading::default()).then(|| Box::new(reading));
        Self { reading, ..self }
    }

    /// The same with values of another type.
    #[must_use]
    pub fn with_element(self, element: ElementType) -> Self {
        Self { element, ..self }
    }

    /// The same with other dimensions.
    #[must_use]
    pub fn with_dimensions(self, dimensions: Dimensions) -> Self {
        Self { dimensions, ..self }
    }

    /// Fills in the cells of `row`, the features of a sample, that held nothing.
    pub fn fill_missing(&self, row: &mut [f32]) {
        let mut place = 0;
        for column in &self.columns {
            let end = place + column.width();
            if let Some(cell) = row.get_mut(place..end) {
                column.fill(cell);
            }
            place = end;
        }
    }

    /// Whether it holds images, of one size or of many.
    pub fn is_image(&self) -> bool {
        self.kind == FieldKind::Image
    }

    /// Whether it holds rows of numbers of one length.
    pub fn is_row(&self) -> bool {
        self.kind == FieldKind::Numbers && self.dimensions.rank() == 1 && self.dimensions.is_fixed()
    }

    /// Whether the bytes of a sample do not follow from its dimensions, as it has yet to be decoded.
    pub fn is_encoded(&self) -> bool {
        self.encoding == Encoding::ImageFile
    }

    /// The number of values that normalisation treats apart: an image's channels, or a row's columns.
    pub fn channels(&self) -> usize {
        self.dimensions.side(0).unwrap_or(0)
    }

    /// What a network is shown of it, where that is an image of one size or a row of numbers.
    pub fn input_shape(&self) -> Option<InputShape> {
        match (self.kind, self.dimensions.rank()) {
            (FieldKind::Image, 3) => {
                let [height, width] = self.dimensions.size()?;
                Some(InputShape::Image {
                    channels: self.channels(),
                    height,
                    width,
                })
            }
            (FieldKind::Numbers, 1) => Some(InputShape::Features {
                columns: self.dimensions.side(0)?,
            }),
            _ => None,
        }
    }

    /// Whether the field makes sense by itself.
    ///
    /// # Errors
    /// A sentence that names the field: its kind does not go with its type, dimensions, encoding or
    /// names.
    pub fn check(&self) -> Result<(), String> {
        use ElementType::{F32, F64, I32, I64, U8, U16, U32};
        let dimensions = &self.dimensions;
        let (rank, element) = (dimensions.rank(), self.element);
        let named = |count: Option<usize>| self.names.is_empty() || Some(self.names.len()) == count;
        let (encoding, fits) = match self.kind {
            FieldKind::Image | FieldKind::Mask => {
                let decodes = !self.is_encoded() || matches!(self.channels(), 1 | 3);
                let channels = rank == 3 && dimensions.side(0).is_some() && decodes;
                let encoding = if self.is_encoded() {
                    Encoding::ImageFile
                } else {
                    Encoding::Raw
                };
                let normalised = self.is_image() && element == F32 && !self.is_encoded();
                // A mask with names of classes has a byte a pixel.
                let is_mask = self.kind == FieldKind::Mask && !self.is_encoded() && self.channels() == 1;
                let named =
                    self.names.is_empty() || (is_mask && self.names.len() <= usize::from(NO_PIXEL_CLASS));
                (encoding, (element == U8 || normalised) && channels && named)
            }
            FieldKind::Objects => {
                let rows =
                    rank == 2 && dimensions.side(0).is_none() && dimensions.side(1) == Some(OBJECT_NUMBERS);
                (Encoding::Raw, element == F64 && rows && !self.names.is_empty())
            }
            FieldKind::Numbers | FieldKind::Probabilities => {
                (Encoding::Raw, element == F32 && named(dimensions.len()))
            }
            FieldKind::Class => (Encoding::Raw, element == U32 && rank <= 1),
            FieldKind::Labels => {
                let fits = matches!(element, U8 | F32) && rank == 1;
                let fits = fits && dimensions.len() == Some(self.names.len());
                (Encoding::Raw, fits)
            }
            FieldKind::Tokens => {
                let fits = matches!(element, U16 | I32 | U32 | I64) && rank == 1;
                (Encoding::Raw, fits)
            }
            FieldKind::TokenMask => (Encoding::Raw, element == U8 && rank == 1 && self.names.is_empty()),
            FieldKind::Counts => {
                let fits = matches!(element, U8 | U16 | U32) && rank <= 1 || element == I64 && rank == 0;
                (Encoding::Raw, fits && self.names.is_empty())
            }
            FieldKind::Text => {
                let fits = element == U8 && rank == 1 && dimensions.ragged_sides() == 1;
                (Encoding::Utf8, fits)
            }
        };
        let told = self.columns.iter().flat_map(FeatureColumn::features);
        let worded = self.vocabulary.is_none() || self.kind == FieldKind::Tokens;
        let columned = self.columns.is_empty() || (self.is_row() && told.eq(self.names.iter().cloned()));
        let is_known = self.class_ids.is_empty() || self.class_ids.len() == self.names.len();
        let is_sound =
            fits && is_known && columned && worded && encoding == self.encoding && !dimensions.is_empty();
        if is_sound && dimensions.fixed_len().is_some() && !self.name.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the field `{}` contradicts itself: {:?} of {:?} ({:?}) with the dimensions {dimensions} and {} names",
            self.name,
            self.kind,
            self.element,
            self.encoding,
            self.names.len()
        ))
    }
}

impl Display for Field {
    /// One sample's shape in words: `3x32x32` (`[C, H, W]`), `3 channels of various sizes`, or `13
    /// columns`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let dimensions = &self.dimensions;
        match self.kind {
            FieldKind::Image | FieldKind::Mask if !dimensions.is_fixed() => match self.channels() {
                1 => write!(f, "1 channel of various sizes"),
                channels => write!(f, "{channels} channels of various sizes"),
            },
            FieldKind::Numbers if dimensions.rank() == 1 => write!(f, "{} columns", self.channels()),
            _ => write!(f, "{dimensions}"),
        }
    }
}
