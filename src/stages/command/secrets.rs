//! The secrets of commands: where they come from, and that they give nothing away.

use std::env::VarError;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;
use walkdir::WalkDir;

use crate::event::{MetricValue, Metrics};
use crate::spec::{self, EnvEntry, Kind, Secret};
use crate::stages::StageError;
use crate::stages::capture::hide;

/// A shorter secret would be found by chance.
const SHORTEST_SECRET: usize = 4;

/// A shorter one is found by chance in a file of many bytes.
const SHORTEST_IN_FILES: usize = 8;

/// What of a file is in memory.
const BLOCK: usize = 1 << 20;

/// The variables that are taken from this program's own environment as secrets, with their values.
///
/// # Errors
/// A variable is not set, or its value cannot be hidden.
pub(super) fn of(spec: &spec::Command) -> Result<Vec<(&String, String)>, StageError> {
    let mut secrets = Vec::new();
    for (name, entry) in &spec.env {
        let EnvEntry::Secret(Secret { secret }) = entry else {
            continue;
        };
        secrets.push((name, value_of(secret).map_err(StageError::failed)?));
    }
    Ok(secrets)
}

/// The value of a secret's variable.
///
/// # Errors
/// It is not set, or cannot be hidden.
pub(in crate::stages) fn value_of(variable: &str) -> Result<String, String> {
    match std::env::var(variable) {
        Ok(value) if value.len() < SHORTEST_SECRET => Err(format!(
            "the secret in the environment variable `{variable}` is shorter than {SHORTEST_SECRET} bytes and cannot be \
             hidden in what the command prints; put a plain value into `env`"
        )),
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Err(format!(
            "it takes a secret from the environment variable `{variable}`, which is not set"
        )),
        Err(VarError::NotUnicode(_)) => Err(format!(
            "the secret in the environment variable `{variable}` is not UTF-8 text and cannot be hidden in what the \
             command prints"
        )),
    }
}

/// What is wrong with the secrets that a command needs, if anything is.
pub fn secret_problem(kind: &Kind) -> Option<String> {
    kind.secrets()
        .into_iter()
        .find_map(|variable| value_of(variable).err())
}

/// The metrics, if they give no secret away: metrics are written into records.
///
/// # Errors
/// They do.
pub(super) fn without_secrets(metrics: Metrics, file: &str, secrets: &[&str]) -> Result<Metrics, StageError> {
    let tells = |(name, value): (&str, MetricValue)| {
        let is_value = |secret: &&str| {
            secret
                .parse()
                .is_ok_and(|number: f64| value.number() == Some(number))
        };
        hide(name, secrets) != *name || secrets.iter().any(is_value)
    };
    if metrics.iter().any(tells) {
        return Err(StageError::failed(format!(
            "the metrics file `{file}` holds a secret, in a metric's name or as a figure, and metrics are recorded"
        )));
    }
    Ok(metrics)
}

/// Checks that outputs give no secret away: they are kept, and sent to a remote. Secrets too short to be told from
/// chance are not looked for.
///
/// # Errors
/// One does, or it cannot be read.
pub(super) fn check_outputs(output: &Path, secrets: &[(&String, String)]) -> Result<(), StageError> {
    let sought: Vec<(&String, Finder<'_>)> = secrets
        .iter()
        .filter(|(_, value)| value.len() >= SHORTEST_IN_FILES)
        .map(|(name, value)| (*name, Finder::new(value)))
        .collect();
    if sought.is_empty() {
        return Ok(());
    }
    let values: Vec<&str> = secrets.iter().map(|(_, value)| value.as_str()).collect();
    for entry in WalkDir::new(output).sort_by_file_name() {
        let entry = entry.map_err(|error| StageError::failed(hide(&error.to_string(), &values)))?;
        let name = entry.path().strip_prefix(output).unwrap_or(entry.path());
        let shown = hide(&name.display().to_string(), &values);
        let inside = match entry.file_type().is_file() {
            true => held_in(entry.path(), &sought)
                .map_err(|error| StageError::failed(format!("the output `{shown}`: {error}")))?,
            false => None,
        };
        let in_name = sought
            .iter()
            .find(|(_, finder)| finder.find(name.as_os_str().as_encoded_bytes()).is_some());
        if let Some(variable) = inside.or(in_name.map(|(variable, _)| *variable)) {
            return Err(StageError::failed(format!(
                "the output `{shown}` holds the secret `{variable}`, and outputs are kept: write it without"
            )));
        }
    }
    Ok(())
}

/// The first of the secrets that stand in a file.
fn held_in<'s>(path: &Path, sought: &[(&'s String, Finder<'_>)]) -> io::Result<Option<&'s String>> {
    let longest = sought.iter().map(|(_, finder)| finder.needle().len()).max();
    let overlap = longest.unwrap_or(1) - 1;
    let mut file = File::open(path)?;
    let mut block = Vec::with_capacity(BLOCK + overlap);
    loop {
        let read = (&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
        if let Some((variable, _)) = sought.iter().find(|(_, finder)| finder.find(&block).is_some()) {
            return Ok(Some(variable));
        }
        if read == 0 {
            return Ok(None);
        }
        // One may stand across the seam.
        block.drain(..block.len().saturating_sub(overlap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_hold_a_secret_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = [
            (&"TOKEN".to_owned(), "correct horse".to_owned()),
            (&"PIN".to_owned(), "1234".to_owned()),
        ];
        let check = || check_outputs(folder.path(), &secrets).map_err(|error| error.to_string());
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let inside = folder.path().join("sub/config");
        std::fs::write(&inside, "pin 1234, correct hors").unwrap();
        assert_eq!(check(), Ok(()));
        // Wherever it stands, across the seam of two blocks too.
        for before in [0, 3, BLOCK - 5, BLOCK, 2 * BLOCK - 1] {
            std::fs::write(&inside, [&vec![b'x'; before][..], b"correct horse\n"].concat()).unwrap();
            let told = check().unwrap_err();
            assert!(
                told.contains("the output `sub/config` holds the secret `TOKEN`"),
                "{told}"
            );
        }
        std::fs::write(&inside, "").unwrap();
        std::fs::write(folder.path().join("a correct horse"), "").unwrap();
        let told = check().unwrap_err();
        assert!(
            told.contains("the output `a ***` holds the secret `TOKEN`"),
            "{told}"
        );
    }
}
