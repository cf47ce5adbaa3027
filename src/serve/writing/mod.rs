//! Models that go on with texts, as OpenAI's programs ask them: completions and chats, whole or as they are written.
//!
//! A request ([`request`]) is read on the thread that speaks with clients, its texts wait in a queue ([`queue`]), and the
//! model's own thread ([`worker`]) has them all run as one batch: each joins between two tokens and leaves when it ends, and
//! is what it would be alone. What is written comes back as pieces of text ([`pieces`]), which become an answer or events
//! ([`reply`]).

mod answer;
mod model;
mod pieces;
mod queue;
mod reply;
mod request;
mod sampling;
#[cfg(test)]
mod tests;
mod worker;

pub use model::WritingModel;

pub(super) use answer::{EventBody, list_models, shown_model, write, written_texts};
pub(super) use queue::TextQueue;
pub(super) use reply::{TokenUsage, error_value};
pub(super) use request::WritingForm;
pub(super) use worker::write_texts;
