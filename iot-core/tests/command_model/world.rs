//! One device, two issuers, every message that was ever sent, and what really happened.
//!
//! A message that was sent stays in the world for ever and may reach the other end never, once, often, in any
//! order and at any later time. So loss, duplication, reordering and ancient messages need no moves of their own.

use iot_core::command::Class;

use super::desk::{Act, Desk};
use super::device::{Op, Ram};
use super::flash::{Flash, Head, head};
use super::rules::{Ask, EPOCHS, End, Id, Mutant, Rules, SEQUENCES, Say};

/// What happened in one life of one issuer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Life {
    /// For each sequence: bit `n` for a request on the wire that settles below `n`.
    asked: [u16; SEQUENCES],
    effects: [u8; SEQUENCES],
    /// A bit for each sequence of which this was said.
    done: u16,
    doubt: u16,
    gone: u16,
    forgot: u16,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct World {
    pub(crate) ram: Ram,
    pub(crate) flash: Flash,
    pub(crate) desks: [Desk; 2],
    backups: [Option<Desk>; 2],
    restores: [u8; 2],
    /// The newest life of which a command has run.
    newest: [u8; 2],
    lives: [[Life; EPOCHS as usize]; 2],
    /// The claim that does not hold.
    pub(crate) broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Move {
    Issue(u8),
    Repeat(u8),
    GiveUp(u8, bool),
    Hear(Id, End),
    BackUp(u8),
    Restore(u8),
    Deliver(Ask),
    /// Both in one message.
    DeliverBoth(Ask, Ask),
    Run,
    Finish(Id),
    CutDevice,
}

impl World {
    pub(crate) fn start() -> Self {
        Self {
            ram: Ram::default(),
            flash: Flash::default(),
            desks: [Desk::EMPTY; 2],
            backups: [None; 2],
            restores: [0; 2],
            newest: [0; 2],
            lives: Default::default(),
            broken: None,
        }
    }

    /// Everything that can happen next.
    pub(crate) fn moves(&self, rules: &Rules) -> Vec<Move> {
        let mut moves = Vec::new();
        for issuer in 1..=2 {
            self.moves_of(rules, issuer, &mut moves);
        }
        let asks: Vec<_> = self.asks().collect();
        for &ask in &asks {
            moves.push(Move::Deliver(ask));
            // What an issuer sends in one message says the same about what is settled.
            let together = |later: &&Ask| {
                (later.id.issuer, later.id.epoch) == (ask.id.issuer, ask.id.epoch)
                    && later.id.sequence > ask.id.sequence
                    && later.settled == ask.settled
            };
            let later = asks.iter().filter(together);
            moves.extend(later.map(|&later| Move::DeliverBoth(ask, later)));
        }
        moves.push(Move::Run);
        moves.extend(self.ram.running().map(Move::Finish));
        moves.push(Move::CutDevice);
        moves
    }

    fn moves_of(&self, rules: &Rules, issuer: u8, moves: &mut Vec<Move>) {
        let at = usize::from(issuer - 1);
        let (desk, allowed) = (&self.desks[at], rules.issued[at]);
        if desk.next <= allowed {
            moves.push(Move::Issue(issuer));
        }
        if rules.restores[at] > 0 && self.backups[at].is_none() {
            moves.push(Move::BackUp(issuer));
        }
        if self.backups[at].is_some() && self.restores[at] < rules.restores[at] {
            moves.push(Move::Restore(issuer));
        }
        if desk.places.iter().all(Option::is_none) {
            return;
        }
        moves.push(Move::Repeat(issuer));
        moves.extend([true, false].map(|short| Move::GiveUp(issuer, short)));
        for &(epoch, sequence) in desk.places.iter().flatten() {
            let id = Id {
                issuer,
                epoch,
                sequence,
            };
            let life = self.life(id);
            for (said, end) in [
                (life.done, End::Done),
                (life.doubt, End::InDoubt),
                (life.gone, End::TooOld),
                (life.forgot, End::Forgotten),
            ] {
                if said >> sequence & 1 == 1 {
                    moves.push(Move::Hear(id, end));
                }
            }
        }
    }

    /// The worlds that a move can lead to: one for each moment at which the power may go, and one without a cut.
    pub(crate) fn after(&self, rules: &Rules, step: Move) -> Vec<Self> {
        let (mut out, mut ram) = (Vec::new(), self.ram);
        match step {
            Move::Deliver(ask) => self.receives(rules, &[ask], &mut out),
            Move::DeliverBoth(first, second) => self.receives(rules, &[first, second], &mut out),
            Move::Run => {
                if let Some((id, resumed)) = ram.hand_out() {
                    let mut world = Self { ram, ..*self };
                    world.runs(rules, id, resumed);
                    out.push(world);
                }
            }
            Move::Finish(id) => {
                let ops = ram.finish(rules, &self.flash, id);
                self.device(rules, ram, &ops, &mut out);
            }
            Move::CutDevice => self.cut(rules, &mut out),
            Move::Issue(issuer) => {
                if let Some((id, acts)) = self.desk(issuer).issue(rules, issuer) {
                    let mut world = *self;
                    if world.life(id).asked[usize::from(id.sequence)] != 0 {
                        world.broken = Some("an identity was used twice");
                    }
                    world.issuer(issuer, &acts, rules, &mut out);
                }
            }
            Move::Repeat(issuer) => {
                let acts: Vec<_> = self.desk(issuer).sends(issuer).collect();
                self.issuer(issuer, &acts, rules, &mut out);
            }
            Move::GiveUp(issuer, short) => {
                let acts = self.desk(issuer).give_up(issuer, short);
                self.issuer(issuer, &acts, rules, &mut out);
            }
            Move::Hear(id, end) => {
                if let Some(acts) = self.desk(id.issuer).hear(rules, id, end) {
                    self.issuer(id.issuer, &acts, rules, &mut out);
                }
            }
            Move::BackUp(issuer) => {
                let mut world = *self;
                world.backups[usize::from(issuer - 1)] = Some(self.desks[usize::from(issuer - 1)]);
                out.push(world);
            }
            Move::Restore(issuer) => {
                let at = usize::from(issuer - 1);
                let mut world = *self;
                world.restores[at] += 1;
                if let Some(backup) = self.backups[at] {
                    let acts = backup.restore(rules, issuer, world.restores[at] + 1);
                    world.issuer(issuer, &acts, rules, &mut out);
                }
            }
        }
        out
    }

    fn receives(&self, rules: &Rules, asks: &[Ask], out: &mut Vec<Self>) {
        let (mut world, mut ram) = (*self, self.ram);
        let ops = ram.deliver(rules, &self.flash, asks);
        for ask in asks {
            let is_new = !self.ram.knows(ask.id) && ram.knows(ask.id);
            if is_new && self.was_overtaken(ask.id) {
                world.broken = Some("a command was taken in after one that settles it was done");
            }
            let id = ask.id;
            let below = |head: Head| (id.epoch, id.sequence) < (head.epoch, head.floor);
            if is_new && self.heads(id.issuer).any(below) {
                world.broken = Some("a command below the floor was taken in");
            }
        }
        world.device(rules, ram, &ops, out);
    }

    fn device(&self, rules: &Rules, ram: Ram, ops: &[Op], out: &mut Vec<Self>) {
        let mut world = *self;
        for (at, op) in ops.iter().enumerate() {
            world.operate(rules, *op);
            // A cut between messages is a loss.
            if ops[at..].iter().any(|op| matches!(op, Op::Commit { .. })) {
                world.cut(rules, out);
            }
        }
        world.ram = ram;
        out.push(world);
    }

    /// The power goes; it may go again while the device boots.
    fn cut(&self, rules: &Rules, out: &mut Vec<Self>) {
        let (ram, ops) = Ram::boot(rules, &self.flash);
        self.device(rules, ram, &ops, out);
    }

    fn operate(&mut self, rules: &Rules, op: Op) {
        match op {
            Op::Commit { flash, ends } => {
                self.flash = flash;
                // A cut may bring back an end that was dropped in RAM, but a new one must not come about.
                if let Some(id) = ends
                    && (self.life(id).gone | self.life(id).forgot) >> id.sequence & 1 == 1
                {
                    self.broken = Some("a command ended after it was said to be over");
                }
                if let Some(id) = ends
                    && rules.class(id) == Class::Transactional
                    && !rules.breaks(Mutant::EffectApart)
                {
                    self.takes_effect(rules, id);
                }
            }
            Op::Say(id, say) => self.said(id, say),
        }
    }

    /// A handler begins; its effect comes with it, so a cut before the effect is one before the handler.
    fn runs(&mut self, rules: &Rules, id: Id, resumed: bool) {
        let at = usize::from(id.issuer - 1);
        if id.epoch < self.newest[at] {
            self.broken = Some("a command of an older life ran");
        }
        self.newest[at] = id.epoch;
        let life = self.life(id);
        if (life.done | life.doubt | life.gone | life.forgot) >> id.sequence & 1 == 1 {
            self.broken = Some("a command ran after its end was told");
        }
        let effects = self.life(id).effects[usize::from(id.sequence)];
        match rules.class(id) {
            // A probe that tells the truth.
            Class::Probed if resumed && effects > 0 => {}
            Class::Transactional if !rules.breaks(Mutant::EffectApart) => {}
            _ => self.takes_effect(rules, id),
        }
    }

    fn takes_effect(&mut self, rules: &Rules, id: Id) {
        let effects = &mut self.life_mut(id).effects[usize::from(id.sequence)];
        *effects = (*effects + 1).min(2);
        if *effects > 1 && rules.class(id) != Class::Idempotent {
            self.broken = Some("a command took effect twice");
        }
    }

    /// The device says something that the issuer would believe.
    fn said(&mut self, id: Id, say: Say) {
        let Say::Ended(end) = say else { return };
        let bit = 1 << id.sequence;
        let life = self.life_mut(id);
        let before = (life.done & bit, life.doubt & bit);
        match (end, before) {
            (End::Done, (_, 0)) => life.done |= bit,
            (End::InDoubt, (0, _)) => life.doubt |= bit,
            (End::TooOld, _) => life.gone |= bit,
            (End::Forgotten, _) => life.forgot |= bit,
            _ => self.broken = Some("two different ends were said of one command"),
        }
        let durable = self.heads(id.issuer).any(|head| head.is_over(id));
        if !durable {
            self.broken = Some("an end was said that a cut would take back");
        }
    }

    fn issuer(&self, issuer: u8, acts: &[Act], rules: &Rules, out: &mut Vec<Self>) {
        let mut world = *self;
        let at = usize::from(issuer - 1);
        for (number, act) in acts.iter().enumerate() {
            match *act {
                Act::Commit(desk) => world.desks[at] = desk,
                Act::Send(ask) => {
                    world.life_mut(ask.id).asked[usize::from(ask.id.sequence)] |= 1 << ask.settled;
                }
                Act::Tell(id, end) => world.tells(rules, id, end),
            }
            // A cut between two turns changes nothing: the records are all an issuer knows. One between
            // messages is a loss.
            let rest = &acts[number..];
            let matters = rest.iter().any(|act| matches!(act, Act::Commit(_)));
            if matters && rest.len() > 1 && !matches!(act, Act::Tell(..)) {
                let boot = world.desks[at].boot(issuer);
                world.issuer(issuer, &boot, rules, out);
            }
        }
        out.push(world);
    }

    /// The application hears how a command ended.
    fn tells(&mut self, rules: &Rules, id: Id, end: Option<End>) {
        let effects = self.life(id).effects[usize::from(id.sequence)];
        let class = rules.class(id);
        self.broken = self.broken.or(match end {
            Some(End::Done) if effects == 0 => Some("done was told without an effect"),
            Some(End::InDoubt) if class != Class::Opaque => {
                Some("doubt about a class that has none")
            }
            Some(End::TooOld) => Some("an issuer was told that what it asks for is too old"),
            Some(End::Forgotten) if rules.keeps_all() => {
                Some("the issuer asked for an end that was dropped")
            }
            _ => None,
        });
    }

    fn heads(&self, issuer: u8) -> impl Iterator<Item = Head> {
        let heads = self.flash.iter().filter_map(head);
        heads.filter(move |head| head.issuer == issuer)
    }

    /// Whether a command was carried out of which every request says that `id` is settled.
    fn was_overtaken(&self, id: Id) -> bool {
        let life = self.life(id);
        (usize::from(id.sequence) + 1..SEQUENCES).any(|later| {
            let lowest = life.asked[later].trailing_zeros();
            life.done >> later & 1 == 1 && lowest > u32::from(id.sequence)
        })
    }

    fn asks(&self) -> impl Iterator<Item = Ask> {
        (1..=2).flat_map(move |issuer| {
            (1..=EPOCHS).flat_map(move |epoch| {
                (1..10).flat_map(move |sequence| {
                    let id = Id {
                        issuer,
                        epoch,
                        sequence,
                    };
                    let asked = self.life(id).asked[usize::from(sequence)];
                    let settles = (0..16).filter(move |settled| asked >> settled & 1 == 1);
                    settles.map(move |settled| Ask { id, settled })
                })
            })
        })
    }

    fn desk(&self, issuer: u8) -> &Desk {
        &self.desks[usize::from(issuer - 1)]
    }

    fn life(&self, id: Id) -> &Life {
        &self.lives[usize::from(id.issuer - 1)][usize::from(id.epoch - 1)]
    }

    fn life_mut(&mut self, id: Id) -> &mut Life {
        &mut self.lives[usize::from(id.issuer - 1)][usize::from(id.epoch - 1)]
    }
}

/// Liveness, by construction: what follows when nothing goes wrong any more.
impl World {
    /// From here on no message is lost and no power is cut: what is under way must end, and so must one more
    /// command of every issuer, which must be carried out.
    pub(crate) fn comes_to_rest(&self, rules: &Rules) -> Result<(), &'static str> {
        let mut world = *self;
        let mut fresh = [None; 2];
        for _ in 0..12 {
            for issuer in 1..=2_u8 {
                let at = usize::from(issuer - 1);
                if rules.issued[at] == 0 {
                    continue;
                }
                if fresh[at].is_none()
                    && let Some((id, acts)) = world.desk(issuer).issue(rules, issuer)
                {
                    fresh[at] = Some(id);
                    world.act(rules, issuer, &acts);
                }
                world.exchange(rules, issuer);
            }
            let over = fresh.iter().enumerate().all(|(at, fresh)| {
                let idle = world.desks[at].places.iter().all(Option::is_none);
                rules.issued[at] == 0 || (fresh.is_some() && idle)
            });
            if over {
                break;
            }
        }
        for id in fresh.into_iter().flatten() {
            if world.life(id).done >> id.sequence & 1 == 0 {
                return Err("a new command was never carried out");
            }
        }
        let idle = world
            .desks
            .iter()
            .all(|desk| desk.places.iter().all(Option::is_none));
        let asked = (0..2).all(|at| rules.issued[at] == 0 || fresh[at].is_some());
        match world.broken {
            Some(broken) => Err(broken),
            None if idle && asked => Ok(()),
            None => Err("a command was never answered"),
        }
    }

    /// Sends all that is under way, carries out all that is due, and hears all that was said.
    fn exchange(&mut self, rules: &Rules, issuer: u8) {
        let sends: Vec<_> = self.desk(issuer).sends(issuer).collect();
        for act in sends {
            if let Act::Send(ask) = act {
                let ops = self.ram.deliver(rules, &self.flash.clone(), &[ask]);
                self.operate_all(rules, &ops);
            }
        }
        loop {
            while let Some((id, resumed)) = self.ram.hand_out() {
                self.runs(rules, id, resumed);
            }
            let Some(id) = self.ram.running().next() else {
                break;
            };
            let ops = self.ram.finish(rules, &self.flash.clone(), id);
            self.operate_all(rules, &ops);
        }
    }

    fn operate_all(&mut self, rules: &Rules, ops: &[Op]) {
        for op in ops {
            self.operate(rules, *op);
            if let Op::Say(id, Say::Ended(end)) = *op
                && let Some(acts) = self.desk(id.issuer).hear(rules, id, end)
            {
                self.act(rules, id.issuer, &acts);
            }
        }
    }

    fn act(&mut self, rules: &Rules, issuer: u8, acts: &[Act]) {
        for act in acts {
            match *act {
                Act::Commit(desk) => self.desks[usize::from(issuer - 1)] = desk,
                Act::Tell(id, end) => self.tells(rules, id, end),
                Act::Send(_) => {}
            }
        }
    }
}
