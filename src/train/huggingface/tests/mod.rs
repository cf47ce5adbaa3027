//! Folders read and written: beside what transformers computes, and where they are wrong.

mod adapter;
mod gguf;
mod reading;
mod refused;
mod transformers;
mod writing;

use candle_core::Device;

use super::{FolderWish, PretrainedFolder};
use crate::models::{Network, Pass, TokenBatch};
use crate::spec::{Precision, TextHead};
use crate::train::Components;

/// Asks for a head.
fn head(head: TextHead) -> FolderWish {
    FolderWish {
        head: Some(head),
        ..FolderWish::default()
    }
}

fn network(folder: &PretrainedFolder) -> Network {
    let components = Components::built_in();
    folder.network(&components.models, &Device::Cpu).expect("whole")
}

/// The outputs for one sample, row by row.
fn outputs(network: &Network, tokens: &[u32]) -> Vec<f32> {
    let batch = TokenBatch::ragged(tokens, &[0, tokens.len()], &Device::Cpu).expect("a sample");
    let pass = Pass::evaluate(Precision::F32);
    let output = network.forward_tokens(&batch, &pass).expect("fits");
    let rows = output.outputs(Precision::F32).expect("fits");
    rows.flatten_all()
        .and_then(|rows| rows.to_vec1())
        .expect("on the host")
}
