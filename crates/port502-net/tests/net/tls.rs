//! Modbus/TCP Security: who is let in, who is not, and what is told of each.

mod bursts;
mod client;
mod handshakes;
mod refused;
mod reload;
mod resumption;
mod roles;
