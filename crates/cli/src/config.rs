//! The configuration: flags over environment over files over defaults, the origin of each value remembered.
//!
//! A value is read as it was written, parsed once, and handed over in [`settings::Settings`]; nothing is read later.
//! Modules use only those above them in this list.

mod fault;
pub(crate) mod duration;
pub(crate) mod environment;
mod key;
pub(crate) mod text;
mod raw;
mod files;
pub(crate) mod flags;
mod layers;
pub(crate) mod profile;
pub(crate) mod login;
pub(crate) mod workstation;
pub(crate) mod alerts;
pub(crate) mod settings;
