//! What a batch is to be judged by.

/// The targets of a batch's samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The class of each sample, `[N]`.
    Classes(Vec<u32>),
    /// The probability of each class, `[N, classes]`: of samples that were mixed.
    Probabilities(Vec<f32>),
    /// Labels as 0 and 1 (or between, where samples were mixed), or numbers: `[N, K]`.
    Values(Vec<f32>),
}
