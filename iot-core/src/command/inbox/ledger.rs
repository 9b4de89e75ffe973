use crate::command::window::Window;
use crate::id::IssuerId;

/// Sequences count from here in every epoch.
const FIRST: u64 = 1;

/// What is known of one issuer, apart from its commands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ledger<const WINDOW: usize> {
    /// Nobody, and then nothing else means anything, until somebody's first command or record comes.
    pub(super) issuer: Option<IssuerId>,
    pub(super) epoch: u32,
    pub(super) window: Window<WINDOW>,
    /// The issuer will not ask for anything below, although the floor may wait for what is live.
    pub(super) settled: u64,
    /// The floor that a power cut would leave; 0 while this epoch is not on record.
    pub(super) durable: u64,
    /// The newest record of it.
    pub(super) serial: u32,
}

impl<const WINDOW: usize> Ledger<WINDOW> {
    pub(super) const FREE: Self = Self {
        issuer: None,
        epoch: 0,
        window: Window::new(0),
        settled: 0,
        durable: 0,
        serial: 0,
    };

    /// Begins an epoch, of the same issuer or of another.
    pub(super) const fn open(&mut self, issuer: IssuerId, epoch: u32) {
        *self = Self {
            issuer: Some(issuer),
            epoch,
            window: Window::new(FIRST),
            ..Self::FREE
        };
    }
}
