//! The scheduler under made-up facts and times.

mod policies;
mod properties;
mod world;
