//! The site file: the example, all that can be wrong, and what it compiles to.

mod around;
mod broken;
mod built_in;
mod changes;
mod example;
mod keys;
mod laws;
mod profiles;
mod proposal;
mod shown;
mod sunspec;
