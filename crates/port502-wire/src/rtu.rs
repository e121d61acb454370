//! RTU framing.
