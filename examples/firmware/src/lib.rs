//! What the images of this package share: the board, and the world around the device.
//!
//! `src/bin/firmware.rs` is the device; the `size_*` images each hold one block and are measured against
//! `size_empty`, which holds none.
#![no_std]

pub mod believer;
pub mod board;
pub mod count;
pub mod cut;
pub mod denied;
pub mod drive;
pub mod fixture;
pub mod flash;
pub mod release;
pub mod replay;
pub mod service;
pub mod uart;
pub mod world;
