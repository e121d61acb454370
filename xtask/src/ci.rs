//! Everything a change must pass. `.ci/run` calls it, and it stops at the first step that fails.

use anyhow::Result;

use crate::step::{cargo, must, step};
use crate::{deps, test};

pub(crate) fn run() -> Result<()> {
    step("format", || must(cargo().args(["fmt", "--all", "--", "--check"])))?;
    step("clippy", || {
        must(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    step("docs", || {
        must(cargo().env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--quiet", "--workspace", "--no-deps"]))
    })?;
    step("dependency rules", deps::run)?;
    step("tests", || test::run(&test::Options::default()))
}
