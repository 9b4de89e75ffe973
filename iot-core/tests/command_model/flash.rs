//! The records of an inbox: one for each slot, with how far its command came and what is known of its issuer.

use super::rules::{End, Id, PLACES};

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: Id,
    /// Otherwise it was accepted only.
    pub(crate) started: bool,
    pub(crate) end: Option<End>,
    pub(crate) floor: u8,
    /// A bit for each sequence from the floor on that has ended.
    pub(crate) ended: u16,
    /// Later records have larger numbers, over both places.
    pub(crate) serial: u8,
}

pub(crate) type Shelf = [Option<Record>; PLACES];

/// The records of both places.
pub(crate) type Flash = [Shelf; 2];

/// What the newest record of a place says about its issuer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) issuer: u8,
    pub(crate) epoch: u8,
    pub(crate) floor: u8,
    pub(crate) ended: u16,
}

impl Head {
    /// Whether a boot will know that `id` must not run any more.
    pub(crate) fn is_over(&self, id: Id) -> bool {
        let below = (id.epoch, id.sequence) < (self.epoch, self.floor);
        below || id.epoch == self.epoch && self.ended >> id.sequence & 1 == 1
    }
}

pub(crate) fn head(shelf: &Shelf) -> Option<Head> {
    let newest = shelf.iter().flatten().max_by_key(|record| record.serial)?;
    Some(Head {
        issuer: newest.id.issuer,
        epoch: newest.id.epoch,
        floor: newest.floor,
        ended: newest.ended,
    })
}

pub(crate) fn newest_serial(flash: &Flash) -> u8 {
    let all = flash.iter().flatten().flatten();
    all.map(|record| record.serial).max().unwrap_or(0)
}

/// Only the order of the serial numbers counts, so equal orders become equal states.
pub(crate) fn put(flash: &mut Flash, place: usize, at: usize, record: Record) {
    flash[place][at] = Some(record);
    let mut order: Vec<u8> = flash.iter().flatten().flatten().map(|r| r.serial).collect();
    order.sort_unstable();
    for record in flash.iter_mut().flatten().flatten() {
        let rank = order.iter().position(|serial| *serial == record.serial);
        record.serial = u8::try_from(rank.unwrap() + 1).unwrap();
    }
}
