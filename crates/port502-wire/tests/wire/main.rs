//! What the crate promises about bytes: the specification's own examples, what is refused and why, and laws that
//! hold for every input.
#![allow(unreachable_pub, reason = "the fuzz targets have the laws as a public module")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod corpus;
mod law;
mod laws;
mod refused;
mod specification;

/// The bytes of a row, which is written in hexadecimal with blanks wherever they help.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
