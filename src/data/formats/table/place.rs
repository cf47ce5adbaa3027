//! What the columns of a table say of the split that a row is in.

use super::dates::{read_date, seconds_since_1970};
use super::row::shortened;
use crate::data::digest::{ContentDigest, digest_bytes};
use crate::spec::SplitName;

/// The split that a text names: its own name, or what else people call it.
pub(super) fn split_named(text: &str) -> Result<SplitName, String> {
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

/// What a row belongs to.
pub(super) fn group_named(text: &str) -> Result<ContentDigest, String> {
    match text {
        "" => Err("it is empty, and has to say what the row belongs to".into()),
        _ => Ok(digest_bytes(text.as_bytes())),
    }
}

/// Where a row stands in an order: a number, or a date with or without a time.
pub(super) fn order_of(text: &str) -> Result<f64, String> {
    if let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return Ok(number);
    }
    let date = read_date(text, None).map_err(|_| {
        format!(
            "`{}` is neither a number nor a date such as 2026-01-31 or 2026-01-31T12:30:00",
            shortened(text)
        )
    });
    date.map(seconds_since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_orders_are_read() {
        assert_eq!(split_named("Training"), Ok(SplitName::Train));
        assert_eq!(split_named("dev"), Ok(SplitName::Val));
        assert!(split_named("fold 1").is_err());
        let order = |text| order_of(text).unwrap();
        assert_eq!(order("1970-01-02"), 86400.0);
        assert_eq!(order("1970-01-01T00:00:01.5Z"), 1.5);
        assert_eq!(order("1970-01-01 01:00:00"), 3600.0);
        assert_eq!(order("-3.5"), -3.5);
        assert!(order_of("NaN").is_err() && order_of("31.01.2026").is_err() && order_of("").is_err());
    }
}
