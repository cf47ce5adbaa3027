//! Texts as the tokens that a network is shown, made as those of the dataset were that it was trained on.

use std::ops::Range;
use std::path::Path;

use crate::data::error::DataError;
use crate::schema::Field;
use crate::tokenizer::{CuttingTokenizer, EncodedText, LoadedTokenizer, TokenizerError};

/// What a network is shown of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// One text.
    Single,
    /// Two texts as one.
    Pair,
    /// One text, each word of which gets an answer.
    Words,
}

/// Makes tokens of texts. What is longer than the network was shown in training is cut; of words none is left out.
pub struct TextReader {
    tokenizer: LoadedTokenizer,
    cutting: Option<CuttingTokenizer>,
    form: TextForm,
    most: usize,
    /// Tokens that the network has rows for.
    vocabulary: usize,
}

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadText {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Of each token the text that it is of, of pairs alone.
    pub segments: Option<Vec<u32>>,
    /// The words, where each gets an answer.
    pub words: Vec<ReadWord>,
    /// The text that they are words of; else empty.
    pub text: String,
    /// Whether something of it is left out.
    pub is_cut: bool,
}

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadWord {
    /// Its first token's place among the text's.
    pub token: usize,
    /// Its characters, counted from the text's beginning.
    pub characters: Range<usize>,
    /// Its bytes.
    pub bytes: Range<usize>,
}

impl TextReader {
    /// Opens the tokenizer in `folder`, for texts that are brought to the tokens that `field` tells of, at most `context`,
    /// of a `vocabulary` of so many.
    ///
    /// # Errors
    /// It holds no tokenizer, another one than that which the tokens were made by, or one whose special tokens leave no room.
    pub fn open(
        folder: &Path,
        field: &Field,
        form: TextForm,
        context: usize,
        vocabulary: usize,
    ) -> Result<Self, DataError> {
        let tokenizer = LoadedTokenizer::open(folder)?;
        let own = tokenizer.vocabulary();
        if let Some(known) = &field.vocabulary
            && known.digest != own.digest
        {
            return Err(DataError::Options(
                "the tokenizer beside the model is another one than that which it was trained with"
                    .to_owned(),
            ));
        }
        let told = field.max_length.or(tokenizer.max_length());
        let most = told.map_or(context, |length| context.min(length as usize));
        let cutting = match form {
            TextForm::Words => None,
            TextForm::Single | TextForm::Pair => {
                let length = u32::try_from(most).unwrap_or(u32::MAX);
                Some(tokenizer.cut(length, 0, form == TextForm::Pair)?)
            }
        };
        Ok(Self {
            tokenizer,
            cutting,
            form,
            most,
            vocabulary,
        })
    }

    /// What texts are made to.
    pub fn form(&self) -> TextForm {
        self.form
    }

    /// The most tokens of a text.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The tokens of `text`, and of `pair` behind it where texts are pairs.
    ///
    /// # Errors
    /// A sentence: it is blank, cannot be encoded, or has more words than the network can be shown.
    pub fn read(&self, text: &str, pair: Option<&str>) -> Result<ReadText, String> {
        if text.trim().is_empty() || pair.is_some_and(|pair| pair.trim().is_empty()) {
            return Err("it holds no text".to_owned());
        }
        let read = match self.form {
            TextForm::Words => self.read_words(text)?,
            TextForm::Single | TextForm::Pair => {
                let pair = pair.filter(|_| self.form == TextForm::Pair);
                if self.form == TextForm::Pair && pair.is_none() {
                    return Err("its second text is missing".to_owned());
                }
                let (encoded, is_cut) = self.encode(text, pair).map_err(|error| error.to_string())?;
                let segments = pair.map(|_| encoded.segments.iter().copied().map(u32::from).collect());
                ReadText {
                    ids: encoded.ids,
                    segments,
                    is_cut,
                    ..ReadText::default()
                }
            }
        };
        if read.ids.is_empty() {
            return Err("its text has no token".to_owned());
        }
        match read.ids.iter().find(|id| **id as usize >= self.vocabulary) {
            None => Ok(read),
            Some(id) => Err(format!(
                "the tokenizer gives the token {id}, and the model knows those under {}: they do not belong together",
                self.vocabulary
            )),
        }
    }

    /// The beginning of a text, or of a pair, and whether something is behind it.
    fn encode(&self, text: &str, pair: Option<&str>) -> Result<(EncodedText, bool), TokenizerError> {
        let Some(cutting) = &self.cutting else {
            return Ok((self.tokenizer.encode_pair(text, pair)?, false));
        };
        let found = cutting.windows(&self.tokenizer, text, pair)?;
        let is_cut = found.is_cut || found.windows.len() > 1;
        Ok((found.windows.into_iter().next().unwrap_or_default(), is_cut))
    }

    fn read_words(&self, text: &str) -> Result<ReadText, String> {
        let mut words = words_of(text);
        let texts = words.iter().map(|word| text[word.bytes.clone()].to_owned());
        let texts: Vec<String> = texts.collect();
        let encoded = self.tokenizer.encode_words(&texts);
        let encoded = encoded.map_err(|error| error.to_string())?;
        if encoded.ids.len() > self.most {
            return Err(format!(
                "it has {} tokens, and the model is shown {} at most: divide it, as into its sentences",
                encoded.ids.len(),
                self.most
            ));
        }
        let mut first = vec![None; words.len()];
        for (token, word) in encoded.words.iter().enumerate() {
            if let Some(place) = word.and_then(|word| first.get_mut(word as usize)) {
                place.get_or_insert(token);
            }
        }
        for (word, first) in words.iter_mut().zip(&first) {
            let token = first.ok_or_else(|| {
                let shown: String = text[word.bytes.clone()].chars().take(40).collect();
                format!("the tokenizer has no token for its word `{shown}`")
            })?;
            word.token = token;
        }
        Ok(ReadText {
            ids: encoded.ids,
            words,
            text: text.to_owned(),
            ..ReadText::default()
        })
    }
}

/// The words of a text as tagged corpora have them: between blanks, with what is no letter and no digit at the beginning
/// or the end of one as words of their own, and each ideograph as a word.
fn words_of(text: &str) -> Vec<ReadWord> {
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let mut spans = Vec::new();
    let mut start = 0;
    while start < characters.len() {
        let blanks = characters[start..].iter().take_while(|(_, c)| c.is_whitespace());
        start += blanks.count();
        let length = characters[start..].iter().take_while(|(_, c)| !c.is_whitespace());
        let end = start + length.count();
        divide(&characters, start..end, &mut spans);
        start = end;
    }
    let byte = |place: usize| characters.get(place).map_or(text.len(), |(byte, _)| *byte);
    let word = |characters: Range<usize>| ReadWord {
        token: 0,
        bytes: byte(characters.start)..byte(characters.end),
        characters,
    };
    spans.into_iter().map(word).collect()
}

/// The words of what stands between two blanks.
fn divide(characters: &[(usize, char)], within: Range<usize>, spans: &mut Vec<Range<usize>>) {
    let at = |place: usize| characters[place].1;
    let (mut first, mut last) = (within.start, within.end);
    while first < last && !is_inner(at(first)) {
        first += 1;
    }
    while last > first && !is_inner(at(last - 1)) {
        last -= 1;
    }
    // Dots and dashes in a row are one.
    let marks = |range: Range<usize>, spans: &mut Vec<Range<usize>>| {
        for place in range {
            match spans.last_mut() {
                Some(before)
                    if before.end == place
                        && before.start >= within.start
                        && at(before.start) == at(place) =>
                {
                    before.end += 1;
                }
                _ => spans.push(place..place + 1),
            }
        }
    };
    marks(within.start..first, spans);
    let mut from = first;
    for place in first..last {
        if is_ideograph(at(place)) {
            spans.extend((from < place).then_some(from..place));
            spans.push(place..place + 1);
            from = place + 1;
        }
    }
    spans.extend((from < last).then_some(from..last));
    marks(last..within.end, spans);
}

/// Whether a character at the edge of a word belongs to it: a letter, a digit, or a mark on one.
fn is_inner(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}')
}

/// Whether a character is a word by itself, as BERT's tokenizers have it.
fn is_ideograph(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0xF900..=0xFAFF | 0x20000..=0x2CEAF | 0x2F800..=0x2FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_tagged_corpora() {
        let words = |text: &str| -> Vec<(usize, usize, String)> {
            let words = words_of(text).into_iter();
            words
                .map(|word| {
                    (
                        word.characters.start,
                        word.characters.end,
                        text[word.bytes].to_owned(),
                    )
                })
                .collect()
        };
        let expected = [
            (0, 1, "("),
            (1, 5, "Anna"),
            (6, 10, "O'Ne"),
            (10, 11, "."),
            (11, 12, ")"),
            (14, 20, "Z\u{fc}rich"),
            (20, 22, "!!"),
            (22, 23, "?"),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(start, end, text)| (start, end, text.to_owned()))
            .collect();
        assert_eq!(words("(Anna O'Ne.)  Z\u{fc}rich!!?"), expected);
        assert_eq!(words(" \n "), []);
        let texts = |text: &str| -> Vec<String> { words(text).into_iter().map(|word| word.2).collect() };
        assert_eq!(
            texts("\u{5317}\u{4eac}2020 -- -"),
            ["\u{5317}", "\u{4eac}", "2020", "--", "-"]
        );
        assert_eq!(texts("cafe\u{301}, a-b"), ["cafe\u{301}", ",", "a-b"]);
    }
}
