//! Links that break and brokers that restart, at random or on command.

use super::client::Link;
use super::world::{What, World};

/// Whether a broker that restarts still knows its sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Sessions {
    /// They were on disk.
    Kept,
    /// They are gone, with every message that the broker had accepted and not handed on.
    Lost,
}

/// How often things break; the spans are averages in milliseconds, zero is never.
///
/// ```
/// use iot_transport::sim::Weather;
/// let storm = Weather::CALM
///     .with_cuts(2_000)
///     .with_partitions(5_000, 4_000)
///     .with_restarts(10_000, 500); // every other restart loses the sessions
/// assert_eq!(storm.refuse, 0);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Weather {
    /// How often some link is cut; both sides notice at once.
    pub cut_every_ms: u64,
    /// How often some link falls silent.
    pub partition_every_ms: u64,
    /// For how long at most.
    pub partition_most_ms: u64,
    /// How often the broker restarts.
    pub restart_every_ms: u64,
    /// How many restarts of a thousand lose the sessions.
    pub lose_sessions: u16,
    /// How many messages of a thousand the broker refuses.
    pub refuse: u16,
}

/// What may happen by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Storm {
    Cut,
    Partition,
    Restart,
}

impl Weather {
    /// Nothing breaks.
    pub const CALM: Self = Self {
        cut_every_ms: 0,
        partition_every_ms: 0,
        partition_most_ms: 0,
        restart_every_ms: 0,
        lose_sessions: 0,
        refuse: 0,
    };

    /// Cuts some link about every so many milliseconds.
    #[must_use]
    pub const fn with_cuts(mut self, every_ms: u64) -> Self {
        self.cut_every_ms = every_ms;
        self
    }

    /// Silences some link about every so many milliseconds, for at most `most_ms`.
    #[must_use]
    pub const fn with_partitions(mut self, every_ms: u64, most_ms: u64) -> Self {
        self.partition_every_ms = every_ms;
        self.partition_most_ms = most_ms;
        self
    }

    /// Restarts the broker about every so many milliseconds; so many of a thousand lose its sessions.
    #[must_use]
    pub const fn with_restarts(mut self, every_ms: u64, lose_sessions: u16) -> Self {
        self.restart_every_ms = every_ms;
        self.lose_sessions = lose_sessions;
        self
    }

    /// Lets the broker refuse so many messages of a thousand.
    #[must_use]
    pub const fn with_refusals(mut self, per_mille: u16) -> Self {
        self.refuse = per_mille;
        self
    }

    const fn every(&self, storm: Storm) -> u64 {
        match storm {
            Storm::Cut => self.cut_every_ms,
            Storm::Partition => self.partition_every_ms,
            Storm::Restart => self.restart_every_ms,
        }
    }
}

impl World {
    pub(super) fn set_weather(&mut self, now: u64, weather: Weather) {
        self.run(now);
        self.weather = weather;
        self.season += 1;
        for storm in [Storm::Cut, Storm::Partition, Storm::Restart] {
            self.plan(storm);
        }
    }

    fn plan(&mut self, storm: Storm) {
        let every = self.weather.every(storm);
        if every > 0 {
            let span = 1 + self.random.below(2 * every);
            let season = self.season;
            self.after(span, What::Storm { storm, season });
        }
    }

    pub(super) fn storm(&mut self, storm: Storm, season: u32) {
        if season != self.season {
            return;
        }
        let whom = self.random.below(self.clients.len() as u64);
        let end = usize::try_from(whom).unwrap_or_default();
        match storm {
            Storm::Cut => self.cut(end),
            Storm::Partition => {
                let span = 1 + self.random.below(self.weather.partition_most_ms.max(1));
                self.silence(end);
                self.after(span, What::Heal { end });
            }
            Storm::Restart => {
                let sessions = match self.random.chance(self.weather.lose_sessions) {
                    true => Sessions::Lost,
                    false => Sessions::Kept,
                };
                self.restart(self.now, sessions);
            }
        }
        self.plan(storm);
    }

    /// Breaks a connection; both sides notice at once, and what is on its way is lost.
    pub(super) fn cut(&mut self, end: usize) {
        self.counts.cuts += 1;
        self.break_link(end);
    }

    fn break_link(&mut self, end: usize) {
        if let Some(session) = self.sessions.get_mut(end) {
            session.disconnect();
        }
        self.lose_link(end);
    }

    /// The link swallows every packet from now on; both sides notice after a while.
    pub(super) fn silence(&mut self, end: usize) {
        let Some(client) = self.clients.get_mut(end).filter(|client| !client.silent) else {
            return;
        };
        client.silent = true;
        let epoch = client.epoch;
        self.counts.partitions += 1;
        self.after(self.rules.silence_ms, What::Silence { end, epoch });
    }

    pub(super) fn fall_silent(&mut self, end: usize, epoch: u32) {
        let client = self.clients.get(end);
        if client.is_some_and(|one| one.silent && one.epoch == epoch && one.link == Link::Up) {
            self.break_link(end);
        }
    }

    pub(super) fn heal(&mut self, end: usize) {
        if let Some(client) = self.clients.get_mut(end) {
            client.silent = false;
        }
    }

    pub(super) fn heal_all(&mut self, now: u64) {
        self.run(now);
        for client in &mut self.clients {
            client.silent = false;
        }
    }
}
