use crate::command::envelope::Head;
use crate::command::state::Code;
use crate::id::CommandId;
use crate::time::{Instant, Now};

/// How many answers about commands that are not kept may wait; more are dropped, and their issuers ask again.
const REPLIES: usize = 4;

/// How long it waits when the storage is full or the link is busy.
pub(super) const PAUSE_MS: u64 = 500;

/// The step that the driver is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    Nothing,
    /// Putting a slot on record.
    Record(usize),
    /// Answering from a slot.
    Answer(usize),
    /// Answering about a command that is not kept.
    Reply(usize),
}

/// What the inbox keeps besides its ledgers and slots.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Desk {
    /// `None` where none waits.
    pub(super) replies: [(CommandId, Option<Code>); REPLIES],
    pub(super) doing: Doing,
    /// The storage, or the link, had no room.
    pub(super) no_storage: bool,
    pub(super) no_link: bool,
    /// When it wants to be asked again although nothing happened.
    pub(super) wake: Option<Instant>,
    /// How many commands arrived; counted on from the newest record.
    pub(super) arrivals: u32,
    /// The newest record, or the one that is being written.
    pub(super) serial: u32,
    /// The floor in the record that is being written.
    pub(super) writing: u32,
    pub(super) restored: bool,
    pub(super) damaged: bool,
    pub(super) danger_unproved_time: bool,
}

impl Desk {
    pub(super) const fn new() -> Self {
        Self {
            replies: [(Head::EMPTY.id, None); REPLIES],
            doing: Doing::Nothing,
            no_storage: false,
            no_link: false,
            wake: None,
            arrivals: 0,
            serial: 0,
            writing: 0,
            restored: false,
            damaged: false,
            danger_unproved_time: false,
        }
    }

    // Not inlined: with the command's identity in a register's reach the compiler wants memmove, 700 bytes.
    #[inline(never)]
    pub(super) fn reply(&mut self, id: CommandId, code: Code) {
        if let Some(place) = self.replies.iter_mut().find(|place| place.1.is_none()) {
            *place = (id, Some(code));
        }
    }

    /// Asks again soon for what there was no room for.
    pub(super) fn pause(&mut self, now: Now) {
        self.wake_in(now.instant, PAUSE_MS);
    }

    pub(super) fn wake_in(&mut self, now: Instant, millis: u64) {
        let moment = Instant::from_millis(now.as_millis().saturating_add(millis));
        if self.wake.is_none_or(|wake| moment < wake) {
            self.wake = Some(moment);
        }
    }
}
