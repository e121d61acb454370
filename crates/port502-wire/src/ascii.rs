//! ASCII framing.
