//! Twins in the formats of other systems: message mappers without I/O.

pub mod aws;
