//! Requests and answers of the KServe protocol, version 2, as JSON with or without binary tensors: pure, bytes in, bytes
//! out.
//!
//! A request with binary tensors is JSON, whose length the header `Inference-Header-Content-Length` tells, with the
//! tensors' bytes behind it, little-endian, in the order of the inputs.

mod binary;
mod json;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub(super) use reply::{Reply, encoded};
pub(super) use request::{InferenceRequest, read_image_request, read_request};
