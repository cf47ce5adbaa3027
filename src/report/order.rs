//! The order of a table's rows.

use std::cmp::Ordering;

use serde_json::Value;

use super::number;
use super::table::{Row, TableData};
use crate::spec::Table;

impl TableData {
    /// Puts the rows in order; what is missing comes last.
    pub(super) fn sort(&mut self, table: &Table) {
        for key in table.sort.0.iter().rev() {
            let turn = |order: Ordering| if key.descending { order.reverse() } else { order };
            if let Some(index) = self.labels.iter().position(|label| *label == key.by) {
                self.rows
                    .sort_by(|left, right| turn(order_of_values(&left.labels[index], &right.labels[index])));
            } else if let Some(index) = self.columns.iter().position(|column| column.title == key.by) {
                let column = &self.columns[index];
                let figure = |row: &Row| row.cells[index].figure(column).filter(|figure| !figure.is_nan());
                self.rows
                    .sort_by(|left, right| match (figure(left), figure(right)) {
                        (Some(left), Some(right)) => turn(left.total_cmp(&right)),
                        (left, right) => left.is_none().cmp(&right.is_none()),
                    });
            }
        }
    }
}

/// Numbers by size, then texts by letters, then the rest.
fn order_of_values(left: &Value, right: &Value) -> Ordering {
    let class = |value: &Value| match value {
        Value::Bool(_) => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Array(_) | Value::Object(_) => 3,
        Value::Null => 4,
    };
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        _ => class(left)
            .cmp(&class(right))
            .then_with(|| number::parameter(left).cmp(&number::parameter(right))),
    }
}
