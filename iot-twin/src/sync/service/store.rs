//! A twin that several processes write, or one that must not start anew, with the help of a store.

use super::{TwinService, TwinState, Wish};
use crate::sync::slot::Version;

impl TwinService {
    /// Holds back what is not stored, for services that store their twins and may run one in several processes.
    ///
    /// After each edit and each message, put [`snapshot`](Self::snapshot) into the store, by compare-and-set where
    /// others write too, and then say so with [`stored`](Self::stored): until then nothing is sent that the store
    /// does not hold, nothing that the device reported is acknowledged, and no version is claimed from that of a value on which an edit waits that is not stored: the
    /// edit may never come to be, and then the value counts. So an edit may wait while others go on, or while
    /// the one before it is being stored; it holds up what was stored after the value it would replace. Who loses the comparison, or [is behind](Self::is_behind), reads the store again, goes on
    /// [from there](Self::restored), and repeats its edit.
    ///
    /// ```
    /// # #[cfg(feature = "derive")] {
    /// use iot_twin::{Twin, TwinService, Value};
    ///
    /// #[derive(Twin)]
    /// struct Room {
    ///     #[twin(desired)]
    ///     lit: bool,
    ///     #[twin(desired)]
    ///     setpoint: f32,
    /// }
    ///
    /// let mut store = (0, TwinService::of::<Room>().snapshot()); // a revision and a value
    /// for (name, value) in [("lit", Value::from(true)), ("setpoint", Value::from(21.0))] {
    ///     // Each is another process.
    ///     let (revision, state) = store.clone();
    ///     let mut twin = TwinService::of::<Room>().with_store().restored(&state);
    ///     twin.set(name, value)?;
    ///     if store.0 == revision {
    ///         store = (revision + 1, twin.snapshot());
    ///         twin.stored(&store.1);
    ///     }
    /// }
    /// let twin = TwinService::of::<Room>().restored(&store.1);
    /// assert_eq!(twin.desired("lit"), Some(&Value::Bool(true)));
    /// # }
    /// # Ok::<(), iot_twin::sync::DesireError>(())
    /// ```
    #[must_use]
    pub const fn with_store(mut self) -> Self {
        self.stored = Some(Version::new(self.epoch, self.version));
        self.kept = self.taken;
        self
    }

    /// States that a snapshot of this twin is stored.
    ///
    /// What it holds may now be sent, and the device is told that what it reported has been taken in, up to there.
    pub fn stored(&mut self, state: &TwinState) {
        if let Some(stored) = &mut self.stored {
            self.tell |= state.taken() > self.kept;
            self.kept = self.kept.max(state.taken());
            *stored = state.version().max(*stored);
            let recorded = self.recorded().unwrap_or(0);
            let newer = |wish: &&mut Wish| wish.version > recorded;
            for wish in self.desired.values_mut().filter(newer) {
                wish.hidden.record(recorded);
            }
            self.tell |= self.has_more();
        }
    }

    /// Whether the device was brought further by another process: go on [from](Self::restored) what is stored now.
    ///
    /// Until then nothing is sent. When the store has nothing newer either, it was an old copy: begin
    /// [anew from it](Self::reopened). Only a twin [with a store](Self::with_store) waits for that; any other opens a
    /// new epoch by itself.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Starts from a state that may be old, such as a backup: everything is desired again, in a new epoch.
    ///
    /// The epoch is the one after the state's, and not before that of [`in_epoch`](Self::in_epoch). What was desired
    /// after the state is gone, and the device is told so; what the device already holds is no new intent there.
    #[must_use]
    pub fn reopened(self, state: &TwinState) -> Self {
        let least = self.epoch.saturating_sub(1);
        let mut twin = self.restored(state);
        twin.met = false;
        twin.open_epoch(twin.epoch.max(least));
        if let Some(stored) = &mut twin.stored {
            *stored = Version::ZERO;
        }
        twin
    }
}
