//! The one HTTP client: how downloads and remote stores present themselves, and whom they trust; and what of a
//! web address may be shown and kept.

mod address;
#[cfg(feature = "full")]
mod client;

pub(crate) use address::{Address, is_secret_name, is_secret_value, without_secrets};
#[cfg(feature = "full")]
pub(crate) use client::configuration;
