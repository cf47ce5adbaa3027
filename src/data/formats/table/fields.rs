//! What a field says of a label or a pixel, and what is wrong with one that says neither.

use super::row::shortened;

/// What is wrong with a target that is no number.
pub(super) fn as_target(text: &str, problem: String) -> String {
    if text.parse::<f64>().is_ok() {
        problem
    } else {
        format!("{problem}, which `task: regression` needs; classes need `task: classification`")
    }
}

/// What is wrong with a label that is missing.
pub(super) fn no_label(text: &str) -> String {
    let what = match text {
        "" => "is empty".to_owned(),
        text => format!("is missing (`{}`)", shortened(text)),
    };
    format!("the label {what}: fill it in, or leave such rows out by `drop` for this column in `missing`")
}

/// Whether a label applies: 1 or 0, or true or false as columns of such in Parquet files are.
pub(super) fn flag(text: &str) -> Result<f32, String> {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Ok(if text.len() == 4 { 1.0 } else { 0.0 });
    }
    match text.parse::<f32>() {
        Ok(value) if value == 0.0 || value == 1.0 => Ok(value.abs()),
        _ => Err(format!(
            "`{}` is neither 0 nor 1, as `task: multi_label` needs",
            shortened(text)
        )),
    }
}

/// An integer from 0 to `max` as a pixel from 0 to 255, rounded to the nearest.
pub(super) fn pixel(text: &str, max: u32) -> Result<u8, String> {
    match text.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && (0.0..=f64::from(max)).contains(&value) => {
            Ok((value * 255.0 / f64::from(max)).round() as u8)
        }
        _ => Err(format!("`{}` is not an integer from 0 to {max}", shortened(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_apply_or_not() {
        let found = ["1", "1.0", "true", "True", "0", "-0", "false", "FALSE"].map(|text| flag(text).unwrap());
        assert_eq!(found, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(found.iter().all(|value| value.is_sign_positive()));
        for text in ["2", "yes", "", "NaN", "0.5", "truer"] {
            assert!(flag(text).unwrap_err().contains("is neither 0 nor 1"), "{text}");
        }
    }
}
