//! The splits that cells of tables name.

use crate::data::formats::shortened;
use crate::spec::SplitName;

/// The split that a text names: its own name, or what else people call it.
pub(in crate::data::formats) fn split_named(text: &str) -> Result<SplitName, String> {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "train" | "training" | "trn" => Ok(SplitName::Train),
        "val" | "valid" | "validation" | "dev" => Ok(SplitName::Val),
        "test" | "testing" | "tst" | "eval" | "evaluation" | "holdout" => Ok(SplitName::Test),
        "" => Err("it names no split: write `train`, `val` or `test`".into()),
        _ => Err(format!(
            "`{}` is no split: write `train`, `val` or `test`",
            shortened(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_read() {
        assert_eq!(split_named("Training"), Ok(SplitName::Train));
        assert_eq!(split_named("dev"), Ok(SplitName::Val));
        assert!(split_named("fold 1").is_err());
    }
}
