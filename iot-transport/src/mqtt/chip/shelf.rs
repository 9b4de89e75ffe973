//! The messages that wait for their fate.

use iot_core::{Channel, Fate, Instant, Message, Priority, Qos, Ticket};

/// Identifiers from here on are those of subscriptions.
pub(super) const FIRST_SUBSCRIPTION: u16 = 0x8000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not on the wire of this link.
    Waiting,
    /// Some of its bytes are on the wire.
    Sending,
    /// All of its bytes are on the wire, and it is not acknowledged.
    Sent,
    /// Its fate is known and was not told yet.
    Settled(Fate),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) ticket: u64,
    /// Its identifier on the wire, the same until its fate is known; 0 for one that is sent at most once.
    pub(super) id: u16,
    pub(super) channel: Channel,
    priority: Priority,
    /// It was on the wire of an earlier link.
    pub(super) again: bool,
    pub(super) expires: Option<Instant>,
    from: usize,
    len: usize,
}

impl Slot {
    const FREE: Self = Self {
        state: State::Waiting,
        ticket: 0,
        id: 0,
        channel: Channel::Telemetry,
        priority: Priority::Normal,
        again: false,
        expires: None,
        from: 0,
        len: 0,
    };

    /// How many bytes of payload it has.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

/// Up to `MESSAGES` messages with `BYTES` bytes of payload, in the order in which they were submitted.
#[derive(Clone, Debug)]
pub(super) struct Shelf<const MESSAGES: usize, const BYTES: usize> {
    slots: [Slot; MESSAGES],
    count: usize,
    bytes: [u8; BYTES],
    used: usize,
    last_ticket: u64,
    last_id: u16,
}

impl<const MESSAGES: usize, const BYTES: usize> Shelf<MESSAGES, BYTES> {
    pub(super) const fn new() -> Self {
        Self {
            slots: [Slot::FREE; MESSAGES],
            count: 0,
            bytes: [0; BYTES],
            used: 0,
            last_ticket: 0,
            last_id: 0,
        }
    }

    /// Takes a message if there is room.
    pub(super) fn push(
        &mut self,
        message: &Message<'_>,
        expires: Option<Instant>,
    ) -> Option<Ticket> {
        let (from, len) = (self.used, message.payload.len());
        let id = match message.qos {
            Qos::AtMostOnce => 0,
            _ => self.free_id(),
        };
        let slot = self.slots.get_mut(self.count)?;
        self.bytes
            .get_mut(from..)?
            .get_mut(..len)?
            .copy_from_slice(message.payload);
        self.last_ticket += 1;
        *slot = Slot {
            state: State::Waiting,
            ticket: self.last_ticket,
            id,
            channel: message.channel,
            priority: message.priority,
            again: false,
            expires,
            from,
            len,
        };
        self.count += 1;
        self.used += len;
        Some(Ticket::new(self.last_ticket))
    }

    /// The next message for the wire: what was on an earlier one first, then the most urgent, then the oldest.
    pub(super) fn next(&mut self) -> Option<&mut Slot> {
        let mut best: Option<&mut Slot> = None;
        for slot in self.taken_mut() {
            if slot.state != State::Waiting {
                continue;
            }
            let first = |slot: &Slot| (slot.again, slot.priority);
            // What was on the wire goes in its old order, whatever its priority.
            if best
                .as_ref()
                .is_none_or(|best| !best.again && first(slot) > first(best))
            {
                best = Some(slot);
            }
        }
        best
    }

    /// The message being written, with its payload.
    pub(super) fn sending(&self) -> Option<(&Slot, &[u8])> {
        let slot = self
            .taken()
            .iter()
            .find(|slot| slot.state == State::Sending)?;
        let payload = self.bytes.get(slot.from..)?.get(..slot.len)?;
        Some((slot, payload))
    }

    /// The message being written is on the wire whole.
    pub(super) fn sent(&mut self) {
        for slot in self.taken_mut() {
            if slot.state == State::Sending {
                slot.state = match slot.id {
                    0 => State::Settled(Fate::Delivered),
                    _ => State::Sent,
                };
            }
        }
    }

    /// The broker answered `id`; whether there is such a message on the wire.
    pub(super) fn acknowledge(&mut self, id: u16, fate: Fate) -> bool {
        let mut slots = self.taken_mut().iter_mut();
        match slots.find(|slot| slot.state == State::Sent && slot.id == id) {
            Some(slot) => {
                slot.state = State::Settled(fate);
                true
            }
            None => false,
        }
    }

    /// The wire broke: whatever was on it has to go again.
    pub(super) fn wire_broke(&mut self) {
        for slot in self.taken_mut() {
            if matches!(slot.state, State::Sending | State::Sent) {
                slot.state = State::Waiting;
                slot.again = true;
            }
        }
    }

    /// Settles what ran out of time and is not on the wire, where it may have arrived already.
    pub(super) fn expire(&mut self, now: Instant) {
        for slot in self.taken_mut() {
            if slot.state == State::Waiting && slot.expires.is_some_and(|at| at <= now) {
                slot.state = State::Settled(Fate::Expired);
            }
        }
    }

    /// When the next message that is not on the wire runs out of time.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let waiting = self
            .taken()
            .iter()
            .filter(|slot| slot.state == State::Waiting);
        waiting.filter_map(|slot| slot.expires).min()
    }

    /// Takes out a message whose fate is known.
    pub(super) fn take_settled(&mut self) -> Option<(Ticket, Fate)> {
        let mut slots = self.taken().iter().enumerate();
        let (at, ticket, fate) = slots.find_map(|(at, slot)| match slot.state {
            State::Settled(fate) => Some((at, slot.ticket, fate)),
            _ => None,
        })?;
        self.remove(at);
        Some((Ticket::new(ticket), fate))
    }

    /// How many messages wait for their fate.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    #[inline(never)]
    fn remove(&mut self, at: usize) {
        let Some(&Slot { from, len, .. }) = self.slots.get(at) else {
            return;
        };
        let end = from + len;
        if end <= self.used && self.used <= BYTES {
            self.bytes.copy_within(end..self.used, from);
        }
        self.used -= len;
        self.count -= 1;
        if let Some(rest) = self.slots.get_mut(at..=self.count) {
            rest.rotate_left(1);
        }
        for slot in self.taken_mut().iter_mut().skip(at) {
            slot.from -= len;
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = match self.last_id {
                last if last < FIRST_SUBSCRIPTION - 1 => last + 1,
                _ => 1,
            };
            // There are fewer messages than identifiers: `Client::new` sees to that.
            if self.taken().iter().all(|slot| slot.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn taken(&self) -> &[Slot] {
        self.slots.get(..self.count).unwrap_or_default()
    }

    fn taken_mut(&mut self) -> &mut [Slot] {
        self.slots.get_mut(..self.count).unwrap_or_default()
    }
}
