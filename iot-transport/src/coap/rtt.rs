//! How long an answer takes.

/// Never more than a minute (RFC 6298 §2.5).
const MOST_MS: u32 = 60_000;

/// The wait before a message is repeated, from measured round trips: RFC 6298's estimator, twice, as in CoCoA
/// (draft-ietf-core-cocoa §4.2).
///
/// The strong one is fed by exchanges without a repetition. Where there was one, nobody knows which message was
/// answered; such a sample, from the first message on, is an upper bound, and moves the wait by a quarter. Without the
/// weak one a round trip that becomes longer than the wait would never be measured again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rtt {
    strong: Option<Smooth>,
    weak: Option<Smooth>,
    wait_ms: u32,
}

/// Mean and mean deviation, with three and two more bits behind the point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Smooth {
    mean_8: u32,
    deviation_4: u32,
}

impl Smooth {
    /// RFC 6298 §2.2 and §2.3.
    fn fed(before: Option<Self>, sample_ms: u32) -> Self {
        let Some(Self {
            mean_8,
            deviation_4,
        }) = before
        else {
            return Self {
                mean_8: sample_ms * 8,
                deviation_4: sample_ms * 2,
            };
        };
        // The deviation is from the mean before this sample.
        let apart = (mean_8 / 8).abs_diff(sample_ms);
        Self {
            mean_8: mean_8 - mean_8 / 8 + sample_ms,
            deviation_4: deviation_4 - deviation_4 / 4 + apart,
        }
    }
}

impl Rtt {
    pub(super) const fn new(first_ms: u32) -> Self {
        Self {
            strong: None,
            weak: None,
            wait_ms: first_ms,
        }
    }

    /// An answer took so long, from the first message on.
    pub(super) fn measured(&mut self, sample_ms: u64, repeated: bool, floor_ms: u32) {
        // Nothing overflows with a sample of at most a minute.
        let sample_ms = u32::try_from(sample_ms).unwrap_or(MOST_MS).min(MOST_MS);
        let wait_ms = if repeated {
            let weak = Smooth::fed(self.weak, sample_ms);
            self.weak = Some(weak);
            (weak.mean_8 / 8 + weak.deviation_4 / 4) / 4 + self.wait_ms / 4 * 3
        } else {
            let strong = Smooth::fed(self.strong, sample_ms);
            self.strong = Some(strong);
            strong.mean_8 / 8 + strong.deviation_4.max(1)
        };
        self.wait_ms = wait_ms.max(floor_ms).min(MOST_MS);
    }

    /// How long to wait for an answer, in milliseconds.
    pub(super) const fn wait_ms(&self) -> u32 {
        self.wait_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_the_standards_formulas() {
        let mut rtt = Rtt::new(2_000);
        assert_eq!(rtt.wait_ms(), 2_000);
        // SRTT = 800, RTTVAR = 400, RTO = 800 + 4 * 400.
        rtt.measured(800, false, 100);
        assert_eq!(rtt.wait_ms(), 2_400);
        // RTTVAR = 3/4 * 400 + 1/4 * |800 - 400|, SRTT = 7/8 * 800 + 1/8 * 400.
        rtt.measured(400, false, 100);
        assert_eq!(rtt.wait_ms(), 750 + 4 * 400);
        // The weak one: 2,000 + 1,000, a quarter of it and three of what was.
        rtt.measured(2_000, true, 100);
        assert_eq!(rtt.wait_ms(), 750 + 2_350 / 4 * 3);
    }

    #[test]
    fn the_wait_stays_between_its_floor_and_a_minute() {
        let mut rtt = Rtt::new(2_000);
        for _ in 0..20 {
            rtt.measured(0, false, 100);
        }
        assert_eq!(rtt.wait_ms(), 100);
        for repeated in [false, true] {
            for _ in 0..20 {
                rtt.measured(u64::MAX, repeated, 100);
            }
            assert_eq!(rtt.wait_ms(), 60_000);
        }
    }

    #[test]
    fn a_round_trip_longer_than_the_wait_is_learnt_although_every_message_is_repeated() {
        let mut rtt = Rtt::new(2_000);
        for _ in 0..20 {
            rtt.measured(20, false, 100);
        }
        for _ in 0..20 {
            // From now on an answer takes 5 s.
            rtt.measured(5_000, rtt.wait_ms() < 5_000, 100);
        }
        assert!(rtt.wait_ms() >= 5_000, "{rtt:?}");
    }
}
