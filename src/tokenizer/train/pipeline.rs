//! What stands around a tokenizer's model: how texts are normalised, split, completed with special tokens and put
//! together again.

use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Sequence};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::whitespace::Whitespace;
use tokenizers::processors::sequence::Sequence as ProcessorSequence;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};
use tokenizers::{Result as CrateResult, Tokenizer as CrateTokenizer};

use crate::spec::{TokenizerModel, UnicodeForm};
use crate::tokenizer::special::{SpecialToken, SpecialTokens};

/// A tokenizer without a vocabulary, whose other parts suit `model`.
pub(super) fn untrained(model: &TokenizerModel<'_>) -> CrateResult<CrateTokenizer> {
    let mut tokenizer = CrateTokenizer::new(BPE::default());
    tokenizer.with_normalizer(normalizer(model))?;
    let metaspace = || Metaspace::new('▁', PrependScheme::Always, true);
    // As in GPT-2's file: only the first one's `add_prefix_space` does anything.
    let byte_level = || ByteLevel::new(false, true, true);
    let (pre_tokenizer, decoder): (Option<PreTokenizerWrapper>, Option<DecoderWrapper>) = match model {
        TokenizerModel::Bpe(options) if options.byte_level => {
            (Some(byte_level().into()), Some(ByteLevel::default().into()))
        }
        TokenizerModel::Bpe(_) | TokenizerModel::Unigram(_) => {
            (Some(metaspace().into()), Some(metaspace().into()))
        }
        TokenizerModel::WordPiece(_) => (
            Some(BertPreTokenizer.into()),
            Some(WordPieceDecoder::new(super::CONTINUATION.to_owned(), true).into()),
        ),
        // Words are put together with spaces, as is done without a decoder.
        TokenizerModel::Word(_) => (Some(Whitespace {}.into()), None),
        TokenizerModel::Char(_) => (None, Some(Fuse::new().into())),
    };
    tokenizer.with_pre_tokenizer(pre_tokenizer);
    tokenizer.with_decoder(decoder);
    Ok(tokenizer)
}

fn normalizer(model: &TokenizerModel<'_>) -> Option<NormalizerWrapper> {
    let (lowercase, form) = match model {
        TokenizerModel::WordPiece(options) => {
            let normalizer = BertNormalizer::new(true, true, options.strip_accents, options.lowercase);
            return Some(normalizer.into());
        }
        TokenizerModel::Bpe(options) => (options.lowercase, options.normalize),
        TokenizerModel::Unigram(options) => (options.lowercase, options.normalize),
        TokenizerModel::Word(options) => (options.lowercase, options.normalize),
        TokenizerModel::Char(options) => (options.lowercase, options.normalize),
    };
    let form: Option<NormalizerWrapper> = match form {
        UnicodeForm::None => None,
        UnicodeForm::Nfc => Some(NFC.into()),
        UnicodeForm::Nfd => Some(NFD.into()),
        UnicodeForm::Nfkc => Some(NFKC.into()),
        UnicodeForm::Nfkd => Some(NFKD.into()),
    };
    match (form, lowercase) {
        (form, false) => form,
        (None, true) => Some(Lowercase.into()),
        (Some(form), true) => Some(Sequence::new(vec![form, Lowercase.into()]).into()),
    }
}

/// The characters that stand for the bytes.
pub(super) fn byte_alphabet() -> Vec<char> {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    alphabet
}

/// Adds what puts special tokens around texts: `cls` and `sep` where both are there, else `bos` and `eos` where
/// that is asked for.
pub(in crate::tokenizer) fn add_templates(
    tokenizer: &mut CrateTokenizer,
    special: &SpecialTokens,
    add_bos: bool,
    add_eos: bool,
) -> CrateResult<()> {
    let is_byte_level = matches!(
        tokenizer.get_pre_tokenizer(),
        Some(PreTokenizerWrapper::ByteLevel(_))
    );
    // Leaves the offsets alone; GPT-2 has it.
    let byte_level = is_byte_level.then(|| PostProcessorWrapper::from(ByteLevel::new(true, false, true)));
    let bos = special.bos.as_ref().filter(|_| add_bos);
    let eos = special.eos.as_ref().filter(|_| add_eos);
    let template = if let (Some(cls), Some(sep)) = (&special.cls, &special.sep) {
        let template = TemplateProcessing::builder()
            .try_single(format!("{}:0 $A:0 {}:0", cls.text, sep.text))?
            .try_pair(format!("{0}:0 $A:0 {1}:0 $B:1 {1}:1", cls.text, sep.text))?
            .special_tokens(vec![(cls.text.clone(), cls.id), (sep.text.clone(), sep.id)])
            .build()?;
        Some(PostProcessorWrapper::from(template))
    } else if bos.is_some() || eos.is_some() {
        let around = |sequence: &str, type_id: u32| {
            let token = |token: Option<&SpecialToken>| {
                token.map_or_else(String::new, |token| format!("{}:{type_id}", token.text))
            };
            format!("{} {sequence}:{type_id} {}", token(bos), token(eos))
        };
        let single = around("$A", 0).trim().to_owned();
        let pair = format!("{single} {}", around("$B", 1).trim());
        let mut tokens: Vec<(String, u32)> = Vec::new();
        for token in [bos, eos].into_iter().flatten() {
            if !tokens.iter().any(|(text, _)| *text == token.text) {
                tokens.push((token.text.clone(), token.id));
            }
        }
        let template = TemplateProcessing::builder()
            .try_single(single)?
            .try_pair(pair)?
            .special_tokens(tokens)
            .build()?;
        Some(PostProcessorWrapper::from(template))
    } else {
        None
    };
    let processor = match (byte_level, template) {
        (Some(byte_level), Some(template)) => Some(ProcessorSequence::new(vec![byte_level, template]).into()),
        (one, other) => one.or(other),
    };
    tokenizer.with_post_processor(processor);
    Ok(())
}
