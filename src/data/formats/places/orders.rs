//! Where samples stand in an order.

use crate::data::formats::shortened;
use crate::data::formats::table::{NumberSpelling, has_zone, read_date, seconds_since_1970};

/// Where a sample stands in an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::data::formats) struct OrderPlace {
    /// A number; of a date, the seconds since the beginning of 1970.
    pub value: f64,
    pub form: OrderForm,
}

/// What is written of a place in an order. Places of two forms cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data::formats) enum OrderForm {
    Number,
    /// A date, with or without a time, wherever it was.
    Date,
    /// A date with a time that names its zone or offset.
    Moment,
}

/// How places in an order are written.
#[derive(Clone, Copy, Debug)]
pub(in crate::data::formats) enum OrderReading<'a> {
    /// As numbers that are spelt so, or as dates in ISO 8601.
    Usual(NumberSpelling),
    /// As dates of this form, without one in ISO 8601.
    Dates(Option<&'a str>),
}

/// Where a row stands in an order: a number, or a date with or without a time. An error does not say what to do.
pub(in crate::data::formats) fn order_of(
    text: &str,
    reading: OrderReading<'_>,
) -> Result<OrderPlace, String> {
    let format = match reading {
        OrderReading::Dates(format) => format,
        OrderReading::Usual(spelling) => {
            if let Some(value) = spelling.number(text) {
                let form = OrderForm::Number;
                return Ok(OrderPlace { value, form });
            }
            None
        }
    };
    let date = read_date(text, format).map_err(|problem| match reading {
        OrderReading::Dates(_) => problem,
        OrderReading::Usual(_) => format!(
            "`{}` is neither a number nor a date such as 2026-01-31 or 2026-01-31T12:30:00",
            shortened(text)
        ),
    })?;
    Ok(OrderPlace {
        value: seconds_since_1970(date),
        form: match format.is_none() && has_zone(text) {
            true => OrderForm::Moment,
            false => OrderForm::Date,
        },
    })
}

/// Sees to it that all samples' places are of one form.
#[derive(Default)]
pub(super) struct OrderWatch {
    first: Option<FirstOrder>,
}

/// The first place.
struct FirstOrder {
    form: OrderForm,
    text: String,
    place: String,
}

impl OrderWatch {
    /// Takes what is written of the sample at `place`. An error says that it is of another form than the first.
    pub fn watch(
        &mut self,
        form: OrderForm,
        text: &str,
        place: impl FnOnce() -> String,
    ) -> Result<(), String> {
        let Some(first) = &self.first else {
            self.first = Some(FirstOrder {
                form,
                text: shortened(text),
                place: place(),
            });
            return Ok(());
        };
        if first.form == form {
            return Ok(());
        }
        let advice = match (first.form, form) {
            (OrderForm::Number, _) | (_, OrderForm::Number) => {
                "write all of them as numbers, or all as dates such as 2026-01-31"
            }
            _ => "write all of them with their offset, such as 2026-01-31T12:30:00Z, or none",
        };
        Err(format!(
            "{} holds {} (`{}`) and {} {} (`{}`), which have no order among them: {advice}",
            first.place,
            in_words(first.form),
            first.text,
            place(),
            in_words(form),
            shortened(text)
        ))
    }
}

fn in_words(form: OrderForm) -> &'static str {
    match form {
        OrderForm::Number => "a number",
        OrderForm::Date => "a date without a time zone",
        OrderForm::Moment => "a time in a time zone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: OrderReading<'_> = OrderReading::Usual(NumberSpelling::PLAIN);

    #[test]
    fn places_in_an_order_are_read() {
        let order = |text| order_of(text, USUAL).unwrap().value;
        assert_eq!(order("1970-01-02"), 86400.0);
        assert_eq!(order("1970-01-01T00:00:01.5Z"), 1.5);
        assert_eq!(order("1970-01-01 01:00:00"), 3600.0);
        assert_eq!(order("-3.5"), -3.5);
        // Beyond f32.
        assert_eq!(order("1e300"), 1e300);
        for text in ["NaN", "31.01.2026", "", "inf", "true", "1e999"] {
            assert!(order_of(text, USUAL).is_err(), "{text}");
        }
        let dated = |text| order_of(text, OrderReading::Dates(Some("%Y%m%d")));
        assert_eq!(dated("19700103").unwrap().value, 2.0 * 86400.0);
        assert!(
            dated("1970-01-03")
                .unwrap_err()
                .contains("no date of the form `%Y%m%d`")
        );
        assert!(order_of("12", OrderReading::Dates(None)).is_err());
    }

    #[test]
    fn numbers_are_spelt_as_those_of_the_table() {
        let spelling = NumberSpelling {
            decimal: ',',
            thousands: Some('.'),
        };
        let order = |text| order_of(text, OrderReading::Usual(spelling)).map(|place| place.value);
        assert_eq!(order("4.103"), Ok(4103.0));
        assert_eq!(order("900"), Ok(900.0));
        assert_eq!(order("1.234,5"), Ok(1234.5));
        assert_eq!(order("1970-01-02"), Ok(86400.0));
        assert!(order("4.10").is_err());
    }

    #[test]
    fn places_of_two_forms_are_refused() {
        let told = |texts: &[&str]| {
            let mut watch = OrderWatch::default();
            for (line, text) in texts.iter().enumerate() {
                let form = order_of(text, USUAL).unwrap().form;
                watch.watch(form, text, || format!("line {line}"))?;
            }
            Ok::<(), String>(())
        };
        assert_eq!(
            told(&["2026-01-31", "2026-01-31T12:00", "2025-01-01 01:02:03"]),
            Ok(())
        );
        assert_eq!(told(&["1", "-2.5", "1e9", "20260131"]), Ok(()));
        assert_eq!(told(&["2026-01-31T12:00Z", "2026-01-31T12:00+02:00"]), Ok(()));
        assert_eq!(
            told(&["2026-01-31", "2026-01-30", "20260131"]).unwrap_err(),
            "line 0 holds a date without a time zone (`2026-01-31`) and line 2 a number (`20260131`), which have no order \
             among them: write all of them as numbers, or all as dates such as 2026-01-31"
        );
        let zones = told(&["2026-01-31T00:00:00", "2026-01-31T00:00:00Z"]).unwrap_err();
        assert!(
            zones.ends_with("write all of them with their offset, such as 2026-01-31T12:30:00Z, or none"),
            "{zones}"
        );
    }
}
