//! The scheduler under made-up facts and times.

mod checks;
mod losses;
mod policies;
mod properties;
mod run;
mod scenario;
mod world;
