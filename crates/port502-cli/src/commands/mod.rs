//! One file per command: its arguments, and what it does.

pub(crate) mod completions;
pub(crate) mod man;
