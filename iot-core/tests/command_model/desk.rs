//! The issuer's rules: between two turns of its driver, all it knows is what its records say.

use super::rules::{Ask, End, Id, Mutant, PLACES, Rules};

/// The records of an issuer. Every command on record is under way.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Desk {
    pub(crate) epoch: u8,
    pub(crate) next: u8,
    /// Epoch and sequence of each command on record.
    pub(crate) places: [Option<(u8, u8)>; PLACES],
}

/// What a driver does for the issuer, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    Commit(Desk),
    Send(Ask),
    /// Tells the application how a command ended; `None`: unanswered.
    Tell(Id, Option<End>),
}

impl Desk {
    pub(crate) const EMPTY: Self = Self {
        epoch: 0,
        next: 1,
        places: [None; PLACES],
    };

    /// Takes a new command; `None` while the oldest under way lies too far back.
    pub(crate) fn issue(&self, rules: &Rules, issuer: u8) -> Option<(Id, Vec<Act>)> {
        let mut after = *self;
        after.epoch = after.epoch.max(1);
        let at = (0..usize::from(rules.pending)).find(|&at| self.places[at].is_none())?;
        if after.next - after.settled() >= rules.pending {
            return None;
        }
        let id = Id {
            issuer,
            epoch: after.epoch,
            sequence: after.next,
        };
        after.places[at] = Some((id.epoch, id.sequence));
        after.next += 1;
        let mut acts = vec![Act::Commit(after), Act::Send(after.ask(id))];
        if rules.breaks(Mutant::SendFirst) {
            acts.reverse();
        }
        Some((id, acts))
    }

    /// Hears how `id` ended, if it is under way.
    pub(crate) fn hear(&self, rules: &Rules, id: Id, end: End) -> Option<Vec<Act>> {
        let of = |place: &Option<(u8, u8)>| *place == Some((id.epoch, id.sequence));
        let at = self.places.iter().position(of)?;
        let mut acts = vec![Act::Tell(id, Some(end))];
        let mut after = *self;
        after.places[at] = None;
        if rules.breaks(Mutant::SettleEarly) {
            acts.extend(after.sends(id.issuer));
        }
        acts.push(Act::Commit(after));
        Some(acts)
    }

    /// Gives up the commands whose patience is `short` (those with odd sequences), or all.
    pub(crate) fn give_up(&self, issuer: u8, only_short: bool) -> Vec<Act> {
        self.drop_if(issuer, |_, sequence| !only_short || sequence % 2 == 1)
    }

    /// Sends everything under way again.
    pub(crate) fn sends(&self, issuer: u8) -> impl Iterator<Item = Act> {
        let desk = *self;
        let places = desk.places.into_iter().flatten();
        places.map(move |(epoch, sequence)| {
            Act::Send(desk.ask(Id {
                issuer,
                epoch,
                sequence,
            }))
        })
    }

    /// What a boot from these records does at once: commands of an older life end unanswered.
    pub(crate) fn boot(&self, issuer: u8) -> Vec<Act> {
        self.drop_if(issuer, |epoch, _| epoch != self.epoch)
    }

    /// A boot from these records, a backup, with a new life opened at once.
    pub(crate) fn restore(&self, rules: &Rules, issuer: u8, clock: u8) -> Vec<Act> {
        let mut opened = *self;
        if !rules.breaks(Mutant::EpochKept) {
            opened.epoch = clock.max(self.epoch + 1);
            opened.next = 1;
        }
        let mut acts = vec![Act::Commit(opened)];
        acts.extend(opened.boot(issuer));
        acts
    }

    fn drop_if(&self, issuer: u8, over: impl Fn(u8, u8) -> bool) -> Vec<Act> {
        let (mut after, mut tells, mut commits) = (*self, Vec::new(), Vec::new());
        for at in 0..PLACES {
            if let Some((epoch, sequence)) = self.places[at]
                && over(epoch, sequence)
            {
                after.places[at] = None;
                let id = Id {
                    issuer,
                    epoch,
                    sequence,
                };
                tells.push(Act::Tell(id, None));
                commits.push(Act::Commit(after));
            }
        }
        // What stays is sent again first: nothing is settled before its record is gone.
        let stays = self.sends(issuer).filter(|act| match act {
            Act::Send(ask) => !over(ask.id.epoch, ask.id.sequence),
            _ => true,
        });
        stays.chain(tells).chain(commits).collect()
    }

    fn ask(&self, id: Id) -> Ask {
        Ask {
            id,
            settled: self.settled(),
        }
    }

    /// Below this nothing will be sent again.
    fn settled(&self) -> u8 {
        let here = self.places.iter().flatten().filter(|p| p.0 == self.epoch);
        here.map(|place| place.1).min().unwrap_or(self.next)
    }
}
