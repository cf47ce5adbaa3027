//! From the results of a run to the files of its tables.

use std::collections::HashMap;

use super::Fail;
use super::session::Session;
use crate::event::{Event, Metrics};
use crate::report;

/// The folder of the tables, in the project's root.
const FOLDER: &str = "results";

/// Writes every table of the pipeline whose bytes differ from what stands there.
pub(super) fn write(
    session: &Session,
    metrics: &HashMap<String, Metrics>,
    tell: &mut dyn FnMut(&Event),
) -> Result<(), Fail> {
    for (name, table) in &session.pipeline.tables {
        let data = report::TableData::single(name, table, &session.pipeline.params, metrics);
        for &format in &table.formats {
            let path = session.project.root.join(FOLDER).join(name).with_extension(format.extension());
            let changed = report::write(&path, &report::render(&data, format)?)?;
            let shown = path.strip_prefix(&session.project.root).unwrap_or(&path).to_owned();
            tell(&Event::TableWritten { table: name.clone(), path: shown, changed });
        }
    }
    Ok(())
}
