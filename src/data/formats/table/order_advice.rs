//! What to write where a cell says nothing of an order.

use super::columns::Columns;
use super::numbers::OddCell;
use crate::data::formats::places::OrderReading;

/// What to do about the cell `text` of the order's column, which is read as `reading` says: behind what is wrong with it.
pub(super) fn order_advice(text: &str, reading: OrderReading<'_>, columns: &Columns<'_>) -> String {
    let OrderReading::Usual(spelling) = reading else {
        return String::new();
    };
    let name = columns
        .place
        .order
        .map_or_else(String::new, |index| columns.header.key(index));
    let dates = |format: &str| format!("add `dates: {{{name}: {{format: \"{format}\"}}}}` to the format");
    let advice = match OddCell::of(text, spelling) {
        OddCell::Nothing => "fill it in, or leave the row out".to_owned(),
        OddCell::DecimalComma(None) => {
            "add `decimal: \",\"` where the comma stands before decimals".to_owned()
        }
        OddCell::DecimalComma(Some(separator)) => {
            format!("add `decimal: \",\"` and `thousands: \"{separator}\"`")
        }
        OddCell::Thousands(separator) => {
            format!("add `thousands: \"{separator}\"` where it stands between thousands")
        }
        OddCell::DecimalPoint => "write it with a comma as `decimal` says, or take `decimal` out".to_owned(),
        OddCell::Date(Some(format)) => dates(format),
        OddCell::Date(None) | OddCell::Boolean | OddCell::Infinite | OddCell::Text => {
            format!(
                "write it so in all rows, or, of dates, {} with the form that they have",
                dates("%d.%m.%Y")
            )
        }
    };
    format!(": {advice}")
}
