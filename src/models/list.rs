//! The architectures that can be built, by the type of their options.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use candle_core::Device;

use super::builder::Builder;
use super::error::ModelError;
use super::network::{Architecture, Network, NetworkLayout};
use crate::schema::InputShape;
use crate::spec::{ListedOptions, Model, ModelOptions, built_in_models, built_in_text_models};

/// Numbers of a sample, at most: 1 GiB of them. Of a table or of images much less is usual, and what is read of a file may
/// say anything.
const MOST_NUMBERS: usize = 1 << 28;

/// Options from which a network can be built.
pub trait ModelBuilder: ModelOptions + ListedOptions {
    /// Whether it is for tokens.
    fn reads_tokens(&self) -> bool {
        false
    }

    /// Whether the network can be built for such samples and that many outputs. Allocates nothing.
    ///
    /// # Errors
    /// What [`build`](Self::build) would refuse.
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError>;

    /// The layers, whose parameters `builder` makes and names.
    ///
    /// # Errors
    /// An architecture that does not fit the samples, or memory that the device does not have.
    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError>;
}

/// The architectures that can be built: those of this crate, and what a program adds.
#[derive(Clone)]
pub struct Models(BTreeMap<&'static str, Construction>);

type Built = Result<Box<dyn Architecture>, ModelError>;

/// What is done with options that are known by their trait alone.
#[derive(Clone, Copy)]
struct Construction {
    reads_tokens: fn(&Model) -> Result<bool, ModelError>,
    check: fn(&Model, InputShape, usize) -> Result<(), ModelError>,
    build: fn(&Model, InputShape, usize, &mut Builder) -> Built,
}

impl Models {
    /// The architectures of this crate; those alone that are asked about images and rows in a program that only asks models.
    pub fn built_in() -> Self {
        let mut models = Self(BTreeMap::new());
        macro_rules! listed {
            ($($entry:path,)*) => { $(models = models.with::<$entry>();)* };
        }
        built_in_models!(listed);
        if cfg!(feature = "full") {
            built_in_text_models!(listed);
        }
        models
    }

    /// With one more architecture; one of the same name gives way.
    #[must_use]
    pub fn with<O: ModelBuilder>(mut self) -> Self {
        let construction = Construction {
            reads_tokens: |model| Ok(options::<O>(model)?.reads_tokens()),
            check: |model, input, outputs| options::<O>(model)?.check(input, outputs),
            build: |model, input, outputs, builder| options::<O>(model)?.build(input, outputs, builder),
        };
        self.0.insert(O::NAME, construction);
        self
    }

    /// Whether `model` can be built for such samples and that many outputs. Allocates nothing.
    ///
    /// # Errors
    /// What [`build`](Self::build) would refuse.
    pub fn check(&self, model: &Model, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        if outputs == 0 {
            return Err(ModelError::Empty {
                what: "the number of outputs (the dataset's classes)",
            });
        }
        let dimensions = match input {
            InputShape::Image {
                channels,
                height,
                width,
            } => vec![channels, height, width],
            InputShape::Features { columns } => vec![columns],
            InputShape::Tokens { vocabulary, length } => vec![vocabulary, length],
        };
        if dimensions.contains(&0) {
            return Err(ModelError::Empty {
                what: "a dimension of the samples",
            });
        }
        let numbers = match input {
            InputShape::Tokens { .. } => Some(1),
            _ => dimensions
                .iter()
                .try_fold(1usize, |product, side| product.checked_mul(*side)),
        };
        if numbers.is_none_or(|numbers| numbers > MOST_NUMBERS) {
            return Err(ModelError::SampleTooLarge {
                sample: input.of_sample().into(),
                most: MOST_NUMBERS,
            });
        }
        let construction = self.construction(model)?;
        if matches!(input, InputShape::Tokens { .. }) && !(construction.reads_tokens)(model)? {
            return Err(ModelError::WrongSamples {
                model: model.name(),
                needs: "images or rows of numbers",
                samples: input.of_sample().into(),
            });
        }
        (construction.check)(model, input, outputs)
    }

    /// Builds `model` with initial weights that `seed` decides, as PyTorch would draw them.
    ///
    /// # Errors
    /// An architecture that does not fit the samples, or memory that the device does not have.
    pub fn build(
        &self,
        model: &Model,
        input: InputShape,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Network, ModelError> {
        self.built(model, input, outputs, Builder::new(Some(seed), device))
    }

    /// Builds `model` with weights that are all 0, to be filled: drawing those of a large network takes seconds.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub fn blank(
        &self,
        model: &Model,
        input: InputShape,
        outputs: usize,
        device: &Device,
    ) -> Result<Network, ModelError> {
        self.built(model, input, outputs, Builder::new(None, device))
    }

    /// The same where `held` numbers are there to fill it: the description of a network may be anybody's, and one that
    /// wants far more is not made.
    ///
    /// # Errors
    /// Those of [`blank`](Self::blank), and [`ModelError::Unfilled`].
    pub fn blank_for(
        &self,
        model: &Model,
        input: InputShape,
        outputs: usize,
        held: usize,
        device: &Device,
    ) -> Result<Network, ModelError> {
        self.built(model, input, outputs, Builder::to_fill(held, device))
    }

    fn built(
        &self,
        model: &Model,
        input: InputShape,
        outputs: usize,
        mut builder: Builder<'_>,
    ) -> Result<Network, ModelError> {
        self.check(model, input, outputs)?;
        let architecture = (self.construction(model)?.build)(model, input, outputs, &mut builder)?;
        Ok(Network::new(architecture, input, outputs, builder))
    }

    /// The tensors of the network that [`build`](Self::build) would give, without making it.
    ///
    /// # Errors
    /// An architecture that does not fit the samples.
    pub fn outline(
        &self,
        model: &Model,
        input: InputShape,
        outputs: usize,
    ) -> Result<NetworkLayout, ModelError> {
        self.check(model, input, outputs)?;
        let mut builder = Builder::of_outline(&Device::Cpu);
        let architecture = (self.construction(model)?.build)(model, input, outputs, &mut builder)?;
        let parameters = builder.outline.take().unwrap_or_default();
        Ok(NetworkLayout::new(
            architecture.head(),
            parameters,
            &builder.statistics,
        ))
    }

    fn construction(&self, model: &Model) -> Result<Construction, ModelError> {
        self.0
            .get(model.name())
            .copied()
            .ok_or(ModelError::Unknown { model: model.name() })
    }
}

impl Debug for Models {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn options<O: ModelBuilder>(model: &Model) -> Result<&O, ModelError> {
    model.options().ok_or(ModelError::Unknown { model: model.name() })
}

/// Builds a `model` of this crate; see [`Models::build`].
///
/// # Errors
/// Those of [`Models::build`].
pub fn build(
    model: &Model,
    input: InputShape,
    outputs: usize,
    seed: u64,
    device: &Device,
) -> Result<Network, ModelError> {
    Models::built_in().build(model, input, outputs, seed, device)
}
