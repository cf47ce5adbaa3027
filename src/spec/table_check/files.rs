//! The files of tables: inside the project, and each written once.

use std::collections::HashMap;

use crate::spec::diagnostic::Diagnostic;
use crate::spec::node::Node;
use crate::spec::validate::is_inside;
use crate::spec::{Pipeline, TableFormat};

/// Tables that would write each other's files, or outside the project.
pub(super) fn file_mistakes(pipeline: &Pipeline, root: &Node) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut writers: HashMap<String, &str> = HashMap::new();
    for (name, table) in &pipeline.tables {
        let place = |field: &[&str]| {
            let span = root.span_at(&[&["tables", name], field].concat());
            // Without the field, the table's own name is the place.
            let whole = root.entry("tables").and_then(|(_, tables)| tables.entry(name));
            match whole {
                Some((key, node)) if node.get(field[0]).is_none() => key.span,
                _ => span,
            }
        };
        if table.formats.is_empty() {
            mistakes.push(
                Diagnostic::new(format!("the table `{name}` has no formats"), place(&["formats"]))
                    .help("csv, md, tex, html, json"),
            );
        }
        if let Some(path) = &table.path {
            let is_whole = !path.is_empty() && !path.starts_with('/') && !path.ends_with('/');
            if !is_whole || !is_inside(&table.place(name)) {
                mistakes.push(
                    Diagnostic::new(
                        format!("`{path}` is not a file inside the project"),
                        place(&["path"]),
                    )
                    .help("a relative path without `..` and without an ending, such as results/models"),
                );
                continue;
            }
            let ended = TableFormat::ALL
                .iter()
                .find_map(|format| path.strip_suffix(&format!(".{}", format.extension())));
            if let Some(stem) = ended {
                mistakes.push(
                    Diagnostic::new(format!("`{path}` has an ending already"), place(&["path"])).help(
                        format!("leave it out: path: {stem}; `formats` says which files are written"),
                    ),
                );
                continue;
            }
        }
        let files = table.formats.iter().map(|format| table.file(name, *format));
        for (index, file) in files.chain([table.provenance_file(name)]).enumerate() {
            match writers.insert(file.clone(), name) {
                Some(other) if other == name => {
                    let span = place(&["formats", &index.to_string()]);
                    mistakes.push(Diagnostic::new(format!("{file} would be written twice"), span));
                }
                Some(other) => {
                    mistakes.push(
                        Diagnostic::new(
                            format!("the tables `{other}` and `{name}` would both be written to {file}"),
                            place(&["path"]),
                        )
                        .help("give one of them another path"),
                    );
                    break;
                }
                None => {}
            }
        }
    }
    mistakes
}
