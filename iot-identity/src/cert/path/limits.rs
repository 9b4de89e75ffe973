//! How much a peer may make us compute.

/// The longest certificate that is read, in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 32_768;
/// The most certificates that may be offered beside the leaf.
pub const MAX_OFFERED: usize = 24;
/// The most certificates of authorities, self-issued ones counted, between a leaf and its anchor.
pub const MAX_INTERMEDIATES: usize = 8;
/// The most extensions of a certificate.
pub const MAX_EXTENSIONS: usize = 32;
/// The most alternative names of a certificate, and the most subtrees of one name constraint.
pub const MAX_NAMES: usize = 512;

// Together these end every search within some milliseconds, whatever was offered (RFC 5280 §8 leaves it to us).
const SIGNATURES: u32 = 64;
const STEPS: u32 = 2_000;
const COMPARISONS: u32 = 50_000;

/// What is left for one search.
#[derive(Debug)]
pub(super) struct Budget {
    signatures: u32,
    steps: u32,
    comparisons: u32,
}

/// The budget is spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent;

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            signatures: SIGNATURES,
            steps: STEPS,
            comparisons: COMPARISONS,
        }
    }

    pub(super) fn signature(&mut self) -> Result<(), Spent> {
        spend(&mut self.signatures)
    }

    pub(super) fn step(&mut self) -> Result<(), Spent> {
        spend(&mut self.steps)
    }

    pub(super) fn comparison(&mut self) -> Result<(), Spent> {
        spend(&mut self.comparisons)
    }
}

fn spend(left: &mut u32) -> Result<(), Spent> {
    *left = left.checked_sub(1).ok_or(Spent)?;
    Ok(())
}
