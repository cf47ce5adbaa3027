//! `erlen schema`: the JSON Schema of pipeline files.

use super::{DONE, Fail};
use crate::spec::json_schema;

pub(super) fn run() -> Result<u8, Fail> {
    anstream::println!("{:#}", json_schema());
    Ok(DONE)
}
