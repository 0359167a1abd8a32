//! The commands.

pub mod apply;
