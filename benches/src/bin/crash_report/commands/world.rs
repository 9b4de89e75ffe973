//! What the outside knows of each command, and what it may demand.

use core::hash::{Hash, Hasher};

use iot_core::command::{Answer, Class, Outcome, Reason};
use iot_core::sim::power::Violation;
use iot_core::time::{TimeBounds, Timestamp};
use iot_core::{CommandId, IssuerId};

/// Lives of issuers in a script, at most.
pub(crate) const LIVES: usize = 4;
/// Commands of one life, at most, with the one that proves that it goes on.
pub(crate) const SEQUENCES: usize = 8;
/// All commands of a script.
pub(crate) const COMMANDS: usize = LIVES * SEQUENCES;

/// One life of one issuer: an issuer restored from a backup begins another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) issuer: u32,
    pub(crate) epoch: u32,
    /// Its messages: the number of a command, rising, and below which number it says that all is settled.
    pub(crate) sends: &'static [(u8, u8)],
    /// The classes of its commands, over and over.
    pub(crate) classes: &'static [Class],
    /// Whether they wait for each other.
    pub(crate) one_lane: bool,
    /// It sends a command when the one before it has ended, and only that one may come back later. Otherwise every
    /// command may come at any time.
    pub(crate) in_order: bool,
    /// It sends nothing before everything of the lives in front of it has ended.
    pub(crate) in_turn: bool,
    /// What else its messages say.
    pub(crate) terms: Terms,
}

/// What an issuer demands of the commands of its script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Terms {
    /// That they are carried out.
    Now,
    /// That none starts at [`MOMENT`] or later.
    Expires,
    /// That none starts before [`MOMENT`].
    NotBefore,
    /// That they are carried out, and at any time that they are not.
    TakenBack,
}

/// The moment of which the messages speak.
pub(crate) const MOMENT: Timestamp = Timestamp::from_secs(2);

/// What time it is before that moment has come, and after.
pub(crate) const fn truth(has_come: bool) -> TimeBounds {
    TimeBounds::exact(Timestamp::from_secs(if has_come { 3 } else { 1 }))
}

impl Life {
    pub(crate) fn class(&self, sequence: u8) -> Class {
        self.classes[usize::from(sequence - 1) % self.classes.len()]
    }

    /// What it demands of this command; of the one beyond its script, which proves that it goes on, nothing.
    pub(crate) fn terms(&self, sequence: u8) -> Terms {
        let is_scripted = self.sends.iter().any(|(sent, _)| *sent == sequence);
        if is_scripted { self.terms } else { Terms::Now }
    }

    /// Whether it matters what time it is.
    pub(crate) const fn is_timed(&self) -> bool {
        matches!(self.terms, Terms::Expires | Terms::NotBefore)
    }
}

/// A command of a script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Which {
    pub(crate) life: usize,
    pub(crate) sequence: u8,
}

impl Which {
    pub(crate) const fn index(self) -> usize {
        self.life * SEQUENCES + self.sequence as usize - 1
    }

    pub(crate) fn id(self, lives: &[Life]) -> CommandId {
        let life = lives[self.life];
        let issuer = IssuerId::new(life.issuer);
        CommandId::new(issuer, life.epoch, self.sequence.into())
    }

    pub(crate) fn of(id: CommandId, lives: &[Life]) -> Result<Self, Violation> {
        let is_it = |life: &Life| IssuerId::new(life.issuer) == id.issuer && life.epoch == id.epoch;
        let life = lives.iter().position(is_it);
        let life = life.ok_or_else(|| Violation::new("a command of nobody"))?;
        let sequence = id.sequence as u8;
        Ok(Self { life, sequence })
    }
}

/// What is known of one command.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Deed {
    /// How often it took effect; 2 stands for more.
    effects: u8,
    done: bool,
    doubt: bool,
    /// It was said to be too old, or its end forgotten: it must not run any more.
    over: bool,
}

impl Hash for Deed {
    // In one word: a world is hashed whenever it changes.
    fn hash<H: Hasher>(&self, key: &mut H) {
        let flags = [self.done, self.doubt, self.over].map(u8::from);
        key.write_u32(u32::from_le_bytes([
            self.effects,
            flags[0],
            flags[1],
            flags[2],
        ]));
    }
}

/// What is known outside the device.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct World {
    deeds: [Deed; COMMANDS],
    /// The newest life of each issuer of which a command has run, as an index of the script, from 1.
    newest: [u8; LIVES],
    /// The moment of which the messages speak has come.
    pub(crate) has_come: bool,
}

impl World {
    pub(crate) fn has_ended(&self, life: usize, sequence: u8) -> bool {
        let deed = self.deeds[Which { life, sequence }.index()];
        deed.done || deed.doubt || deed.over
    }

    pub(crate) fn was_done(&self, life: usize, sequence: u8) -> bool {
        self.deeds[Which { life, sequence }.index()].done
    }

    pub(crate) fn took_effect(&self, which: Which) -> bool {
        self.deeds[which.index()].effects > 0
    }

    /// A handler begins.
    pub(crate) fn begins(
        &mut self,
        lives: &[Life],
        which: Which,
        resumed: bool,
    ) -> Result<(), Violation> {
        let deed = self.deeds[which.index()];
        if deed.done || deed.doubt || deed.over {
            return wrong("ran after its end was told", which);
        }
        match lives[which.life].terms(which.sequence) {
            Terms::Expires if self.has_come && !resumed => {
                return wrong("started although its time was over", which);
            }
            Terms::NotBefore if !self.has_come => {
                return wrong("started before its time", which);
            }
            _ => {}
        }
        let issuer = lives[which.life].issuer as usize - 1;
        let life = which.life as u8 + 1;
        if life < self.newest[issuer] {
            return wrong("ran although a newer life of its issuer had", which);
        }
        self.newest[issuer] = life;
        Ok(())
    }

    /// It takes effect outside the device's storage.
    pub(crate) fn takes_effect(&mut self, lives: &[Life], which: Which) -> Result<(), Violation> {
        let effects = &mut self.deeds[which.index()].effects;
        *effects = (*effects + 1).min(2);
        if *effects > 1 && lives[which.life].class(which.sequence) != Class::Idempotent {
            return wrong("took effect twice", which);
        }
        Ok(())
    }

    /// So often each transactional command has taken effect, as the storage tells.
    pub(crate) fn finds(
        &mut self,
        lives: &[Life],
        counts: &[u8; COMMANDS],
    ) -> Result<(), Violation> {
        for (at, count) in counts.iter().enumerate() {
            let (life, sequence) = (at / SEQUENCES, (at % SEQUENCES) as u8 + 1);
            let which = Which { life, sequence };
            let is_it = lives
                .get(life)
                .is_some_and(|life| life.class(sequence) == Class::Transactional);
            let deed = &mut self.deeds[at];
            if *count > 1 {
                return wrong("took effect twice", which);
            }
            if is_it && *count < deed.effects.max(u8::from(deed.done)) {
                return wrong("lost its effect", which);
            }
            if is_it {
                deed.effects = *count;
            }
        }
        Ok(())
    }

    /// The device says something about a command.
    pub(crate) fn hears(
        &mut self,
        lives: &[Life],
        which: Which,
        answer: &Answer,
    ) -> Result<(), Violation> {
        let life = lives[which.life];
        let (class, terms) = (life.class(which.sequence), life.terms(which.sequence));
        let deed = &mut self.deeds[which.index()];
        let Answer::Ended(outcome) = answer else {
            return Ok(());
        };
        match outcome {
            Outcome::Done(_) if deed.over => wrong("was done after it was over", which),
            Outcome::Done(_) if deed.doubt => wrong("was done after it was in doubt", which),
            Outcome::Done(_) if deed.effects == 0 => wrong("was done without an effect", which),
            Outcome::Done(_) => {
                deed.done = true;
                Ok(())
            }
            Outcome::InDoubt if deed.done => wrong("was in doubt after it was done", which),
            Outcome::InDoubt if class != Class::Opaque => wrong("is in doubt", which),
            Outcome::InDoubt => {
                deed.doubt = true;
                Ok(())
            }
            // Nothing is on record of an idempotent command before its end, so it may have run before a cut.
            Outcome::Expired | Outcome::Cancelled
                if deed.done || deed.doubt || deed.effects > 0 && class != Class::Idempotent =>
            {
                wrong(&format!("ended as {outcome:?} after it took effect"), which)
            }
            Outcome::Expired if terms == Terms::Expires && self.has_come => {
                deed.over = true;
                Ok(())
            }
            Outcome::Cancelled if terms == Terms::TakenBack => {
                deed.over = true;
                Ok(())
            }
            Outcome::Forgotten
            | Outcome::Rejected {
                reason: Reason::TooOld,
            } => {
                deed.over = true;
                Ok(())
            }
            other => wrong(&format!("ended as {other:?}"), which),
        }
    }
}

fn wrong(what: &str, which: Which) -> Result<(), Violation> {
    let Which { life, sequence } = which;
    Err(Violation::new(format!(
        "command {sequence} of life {life} {what}"
    )))
}
