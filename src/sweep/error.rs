//! What can be wrong with a search.

/// Why a sweep cannot be searched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// A swept parameter that the pipeline does not have.
    #[error("the pipeline gives the swept parameter `{name}` no value; add it to `params`")]
    NoValue {
        /// The parameter.
        name: String,
    },
    /// A condition on a parameter that is not swept, or that depends on the condition itself.
    #[error(
        "whether `{name}` is used depends on `{on}`, which is not swept or depends on `{name}` itself; take the \
         condition out"
    )]
    Condition {
        /// The parameter with the condition.
        name: String,
        /// What the condition is about.
        on: String,
    },
    /// A range with too many members.
    #[error("the range of `{name}` has more than a million members; use a larger step, or `uniform`")]
    LongRange {
        /// The parameter.
        name: String,
    },
    /// A grid over something that cannot be counted, or not in reasonable time.
    #[error(
        "a grid over these parameters has no end, or more than a million points; give every parameter a list or a \
         range, or choose another search, such as {{random: {{trials: 24}}}}"
    )]
    EndlessGrid,
    /// Constraints that no point was found to fulfil.
    #[error(
        "no values fulfil the constraints: {tried} points were tried, and {broken} of them break {constraint}; \
         take the constraint out or make it wider"
    )]
    Constraints {
        /// How many points were tried.
        tried: u64,
        /// How many break the constraint that is broken most often.
        broken: u64,
        /// That constraint, as it is written in the file.
        constraint: String,
    },
    /// A parameter that CMA-ES cannot search.
    #[error(
        "`cma_es` searches numbers that are always used, and `{name}` is something else; use uniform, log_uniform, \
         int or log_int without `when`, or choose tpe"
    )]
    NotANumber {
        /// The parameter.
        name: String,
    },
    /// A search without enough, or with too many objectives.
    #[error("`{search}` needs {needs}; it has {given}")]
    Objectives {
        /// The search.
        search: &'static str,
        /// What it needs, such as `one objective`.
        needs: &'static str,
        /// How many there are.
        given: usize,
    },
    /// A pruner that has nothing to judge by.
    #[error("the pruner has no metric to judge by; name it: {{asha: {{metric: STAGE.METRIC}}}}")]
    NothingToJudge,
}
