//! Models as ONNX files.

use std::fs;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::huggingface::write_tokenizer;
use super::list::{ExportedModel, ModelWriter};
use super::{CARD_FILE, ExportCard, ExportedWeights, export_card};
use crate::onnx::{OnnxError, OnnxFiles, OnnxOptions, onnx_model, quantized_onnx_model};
use crate::schema::InputShape;
use crate::spec::{OnnxExportOptions, OnnxInput, OnnxNumbers};
use crate::train::{self, FolderWish, PretrainedFolder, TrainError};

impl ModelWriter for OnnxExportOptions {
    fn write(&self, exported: &ExportedModel<'_>) -> Result<(), TrainError> {
        let ExportedModel {
            model, folder, job, ..
        } = exported;
        let models = &exported.components.models;
        let bad = |problem: String| TrainError::BadFile {
            path: (*folder).to_owned(),
            problem,
        };
        let card = export_card(
            exported,
            ExportedWeights {
                file: OnnxFiles::MODEL,
                format: "onnx",
                layout: "a graph of ONNX's own operators, with PyTorch's names of weights",
            },
        );
        let is_text = matches!(model.card.input, InputShape::Tokens { .. });
        let mut context = 0;
        if is_text {
            let wish = FolderWish {
                quantized: true,
                ..FolderWish::default()
            };
            let text = PretrainedFolder::open(folder, wish, exported.components).map_err(bad)?;
            context = text.sizes().context;
            write_tokenizer(&text, &job.output, exported.monitor).map_err(|error| bad(error.to_string()))?;
        }
        let pixels = self.input == OnnxInput::Pixels;
        let options = OnnxOptions {
            opset: self.opset.number(),
            half: self.dtype == OnnxNumbers::F16,
            pixels: pixels.then_some(&model.card.normalization),
            output: exported.meaning.tensor,
            context,
            pairs: model.card.is_of_pairs(),
            metadata: metadata(&card)?,
        };
        let files = match (&model.quantized, &model.card.lora) {
            (Some(quantized), _) => quantized_onnx_model(quantized, model.card.input, &options),
            (None, None) => onnx_model(&model.network, &options),
            (None, Some(_)) => onnx_model(&model.merged(models)?, &options),
        };
        let files = files.map_err(|error: OnnxError| bad(error.to_string()))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = job.output.join(name);
            fs::write(&path, bytes).map_err(TrainError::writing(&path))
        };
        write(OnnxFiles::MODEL, &files.model)?;
        if let Some(data) = &files.data {
            write(OnnxFiles::DATA, data)?;
        }
        train::write_json(&job.output.join(CARD_FILE), &card)
    }
}

/// What the file says of itself: each part of the card as JSON, by its name.
fn metadata(card: &ExportCard<'_>) -> Result<Vec<(String, String)>, TrainError> {
    // Numbers as they are written, which values of another width would not be.
    let parts = || -> serde_json::Result<IndexMap<String, Box<RawValue>>> {
        serde_json::from_str(&serde_json::to_string(card)?)
    };
    let parts = parts().map_err(|error| TrainError::Output(error.into()))?;
    Ok(parts
        .into_iter()
        .filter(|(name, _)| name != "weights")
        .map(|(name, part)| (name, part.get().to_owned()))
        .collect())
}
