//! Models behind HTTP: requests in, answers out.
//!
//! [`serve`] takes a listening socket and models ([`OfferedModel`]), speaks the KServe protocol, version 2 (JSON and
//! binary tensors) and OpenAI's for texts that are gone on with (`writing`), and ends when it is told to. What it knows of a
//! model is [`Served`]: rows are made of a request, asked about, and an answer made of the outputs; or it is a
//! [`WritingModel`]. One thread speaks with all clients and reads small requests; a few
//! others decode images and read large ones; each model has a queue (`queue`) and a thread of its own that takes all
//! that waits whenever it is free (`worker`). Versions are swapped between requests (`reload`): rows are answered by
//! the version that made them, so an answer is of one version.
//!
//! Whatever a client sends, what is held of it is bounded: heads of 16 KiB and 10 seconds, bodies by the model's batch
//! and by all bodies at once, shapes by the values that are there, images by their pixels, connections by number.

mod access;
mod body;
mod connection;
mod figures;
mod infer;
mod loading;
mod log;
mod page;
mod predicting;
mod queue;
mod reading;
mod refused;
mod reload;
mod routes;
mod served;
mod server;
mod tensor;
#[cfg(test)]
mod testing;
mod token;
mod told;
mod wire;
mod worker;
mod writing;

pub use loading::ModelLoading;
pub use log::ServingLog;
pub use predicting::PredictingModel;
pub use reading::ReadingModel;
pub use served::{ModelInterface, ModelSupply, ModelVersion, Served, ServedModel, ServedRows};
pub use server::{OfferedModel, ServeError, ServingOptions, serve};
pub use tensor::{Datatype, InputTensor, TensorInfo, TensorValues};
pub use token::BearerToken;
pub use writing::WritingModel;
