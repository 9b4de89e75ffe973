//! Moments that may never come. An option's flag beside each would cost a chip eight bytes and a branch every time.

use core::time::Duration;

use iot_core::Instant;

/// The end of time, which no device sees.
pub(crate) const NEVER: Instant = Instant::from_millis(u64::MAX);

/// So many milliseconds after `now`.
// Durations cost a chip six times as much.
#[inline(never)]
pub(crate) const fn later(now: Instant, ms: u32) -> Instant {
    Instant::from_millis(now.as_millis().saturating_add(ms as u64))
}

/// The moment, if it comes.
pub(crate) fn if_ever(at: Instant) -> Option<Instant> {
    Some(at).filter(|&at| at != NEVER)
}

/// In milliseconds, rounded down; at most 49 days.
#[inline(never)]
pub(crate) const fn milliseconds(span: Duration) -> u32 {
    let seconds = span.as_secs();
    if seconds >= u32::MAX as u64 / 1_000 {
        return u32::MAX;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared above")]
    let seconds = seconds as u32;
    seconds * 1_000 + span.subsec_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_down_and_end_at_49_days() {
        assert_eq!(milliseconds(Duration::from_micros(2_001_999)), 2_001);
        assert_eq!(
            milliseconds(Duration::from_millis(4_294_966_999)),
            4_294_966_999
        );
        assert_eq!(milliseconds(Duration::from_secs(4_294_967)), u32::MAX);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
    }

    #[test]
    fn the_end_of_time_never_comes_and_nothing_is_after_it() {
        assert_eq!(if_ever(NEVER), None);
        assert_eq!(if_ever(Instant::ZERO), Some(Instant::ZERO));
        assert_eq!(later(Instant::from_millis(u64::MAX - 1), 7), NEVER);
        assert_eq!(
            later(Instant::ZERO, u32::MAX),
            Instant::from_millis(u32::MAX.into())
        );
    }
}
