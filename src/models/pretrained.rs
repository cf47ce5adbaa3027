//! A model that is there, which is built by the options that its folder describes.

use super::builder::Builder;
use super::error::ModelError;
use super::list::ModelBuilder;
use super::network::Architecture;
use crate::schema::InputShape;
use crate::spec::PretrainedOptions;

/// Who builds it reads the folder first and builds what that says.
const UNREAD: ModelError = ModelError::Unread { model: "pretrained" };

impl ModelBuilder for PretrainedOptions {
    fn reads_tokens(&self) -> bool {
        true
    }

    fn check(&self, _: InputShape, _: usize) -> Result<(), ModelError> {
        Err(UNREAD)
    }

    fn build(&self, _: InputShape, _: usize, _: &mut Builder) -> Result<Box<dyn Architecture>, ModelError> {
        Err(UNREAD)
    }
}
