//! What is worth sending.

use core::time::Duration;

use iot_core::Instant;

/// Lets a measurement through when it has moved far enough, or when the last one is old.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Instant;
/// use iot_twin::telemetry::Deadband;
///
/// let mut filter = Deadband::new(0.5, Duration::from_secs(60));
/// let at = Instant::from_millis;
/// assert!(filter.admit(at(0), 20.0)); // the first
/// assert!(!filter.admit(at(1_000), 20.4));
/// assert!(filter.admit(at(2_000), 20.5)); // far enough from 20.0
/// assert!(filter.admit(at(62_000), 20.5)); // old enough
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Deadband {
    step: f32,
    max_interval: Duration,
    last: Option<(f32, Instant)>,
}

impl Deadband {
    /// Holds back changes smaller than `step`, but nothing for longer than `max_interval`.
    #[must_use]
    pub const fn new(step: f32, max_interval: Duration) -> Self {
        Self {
            step,
            max_interval,
            last: None,
        }
    }

    /// Whether to send `value`; if so, it is what the next ones are held against.
    ///
    /// A value that is no number is let through once.
    pub fn admit(&mut self, now: Instant, value: f32) -> bool {
        let admitted = self.last.is_none_or(|(last, at)| {
            let moved = if value.is_nan() || last.is_nan() {
                value.is_nan() != last.is_nan()
            } else {
                value != last && (value - last).abs() >= self.step
            };
            moved || now.since(at) >= self.max_interval
        });
        if admitted {
            self.last = Some((value, now));
        }
        admitted
    }

    /// When the next value will be let through whatever it is; `None` when the first is.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.last.map(|(_, at)| at + self.max_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_held_back_is_near_and_never_older_than_the_interval(values in proptest::collection::vec((-100.0_f32..100.0, 0_u64..20_000), 1..100)) {
            let (step, interval) = (5.0, Duration::from_secs(30));
            let mut filter = Deadband::new(step, interval);
            let (mut now, mut sent) = (0, None);
            for (value, pause) in values {
                now += pause;
                if filter.admit(Instant::from_millis(now), value) {
                    sent = Some((value, now));
                    continue;
                }
                let (last, at) = sent.unwrap();
                prop_assert!((value - last).abs() < step);
                prop_assert!(now - at < 30_000);
            }
        }
    }

    #[test]
    fn a_value_that_is_no_number_is_sent_once() {
        let mut filter = Deadband::new(1.0, Duration::from_secs(60));
        let at = Instant::from_millis;
        assert!(filter.admit(at(0), 1.0));
        assert!(filter.admit(at(1), f32::NAN));
        assert!(!filter.admit(at(2), f32::NAN));
        assert!(filter.admit(at(3), 1.0));
    }
}
