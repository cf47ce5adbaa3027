//! From the results of a run to the files of its tables.

use std::collections::HashMap;

use super::Fail;
use super::session::Session;
use crate::event::{Event, Metrics};
use crate::report::{TableData, Trial, render, write_if_changed};

/// The folder of the tables, in the project's root.
const FOLDER: &str = "results";

/// Writes every table of the pipeline whose bytes differ from what stands there.
pub(super) fn write(
    session: &Session,
    metrics: &HashMap<String, Metrics>,
    tell: &mut dyn FnMut(&Event),
) -> Result<(), Fail> {
    let trial = Trial {
        parameters: session.pipeline.params.clone(),
        replicates: vec![metrics.iter().map(|(stage, metrics)| (stage.clone(), metrics.clone())).collect()],
    };
    for (name, table) in &session.pipeline.tables {
        let data = TableData::assemble(name, table, std::slice::from_ref(&trial))?;
        for &format in &table.formats {
            let path = session.project.root.join(FOLDER).join(name).with_extension(format.extension());
            let changed = write_if_changed(&path, &render(&data, format))?;
            let shown = path.strip_prefix(&session.project.root).unwrap_or(&path).to_owned();
            tell(&Event::TableWritten { table: name.clone(), path: shown, changed });
        }
    }
    Ok(())
}
