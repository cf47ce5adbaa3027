//! Tokenizers: trained, read, and used to turn texts into tokens and back.
//!
//! In go words with their counts, or a Hugging Face folder; out comes a [`LoadedTokenizer`], which encodes, or a
//! folder that `transformers` reads. The `tokenizers` crate encodes; training is done here, as its own gives other
//! bytes on each run where it hashes (WordPiece, Unigram, ties of BPE). Training gives the same bytes for any
//! number of threads.

mod chat;
mod encoded;
mod error;
mod folder;
mod gguf;
mod loaded;
mod special;
#[cfg(test)]
mod tests;
mod train;

pub use chat::{ChatTemplate, ConversationText};
pub use encoded::EncodedText;
pub use error::TokenizerError;
pub use folder::{CHAT_TEMPLATE_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, TokenizerFolder};
pub use loaded::{CuttingTokenizer, LoadedTokenizer, TextWindows};
pub use special::SpecialTokens;
pub use train::{TokenizerTraining, WordCounts};
