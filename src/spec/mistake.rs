//! What is wrong with a field, told before it is known where the field stands.

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands, from the options that were looked at.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake in the field at `path`.
    pub fn new<P: ToString>(path: impl IntoIterator<Item = P>, message: impl Into<String>) -> Self {
        Self {
            path: path.into_iter().map(|part| part.to_string()).collect(),
            message: message.into(),
            help: None,
        }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
