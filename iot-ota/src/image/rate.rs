//! A watchdog for downloads that do not get on.

use core::time::Duration;

use iot_core::time::Instant;

use crate::alarm::{later, milliseconds};

/// Tells when a download is slower than it may be: so many bytes in each span of time.
///
/// It is lenient at the start of a span and strict at its end, so bursts and pauses within one do not matter. A reboot
/// begins a new one.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Instant;
/// use iot_ota::image::{MinimumRate, Verdict};
///
/// let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
/// let mut rate = MinimumRate::new(1_000, Duration::from_secs(60), at(0));
/// rate.progress(at(59), 1_000);
/// assert_eq!(rate.look(at(60)), Verdict::OnTime { until: at(120) });
/// rate.progress(at(100), 999);
/// assert_eq!(rate.look(at(119)), Verdict::OnTime { until: at(120) });
/// assert_eq!(rate.look(at(120)), Verdict::Stalled);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MinimumRate {
    bytes: u32,
    span_ms: u32,
    until: Instant,
    seen: u32,
    stalled: bool,
    // Nothing was asked for since it was last looked at.
    idle: bool,
}

/// Whether a download is fast enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Verdict {
    /// So far it is; look again then.
    OnTime {
        /// When the span ends.
        until: Instant,
    },
    /// It was not, and that does not change any more.
    Stalled,
}

impl MinimumRate {
    /// At least `bytes` in each `span` (at most 49 days), from `now` on. A span of zero is taken as a millisecond.
    #[must_use]
    pub fn new(bytes: u32, span: Duration, now: Instant) -> Self {
        Self::in_ms(bytes, milliseconds(span), now)
    }

    /// The same, with a span in milliseconds.
    pub(crate) fn in_ms(bytes: u32, span_ms: u32, now: Instant) -> Self {
        let span_ms = span_ms.max(1);
        Self {
            bytes,
            span_ms,
            until: later(now, span_ms),
            seen: 0,
            stalled: false,
            idle: false,
        }
    }

    /// So many more bytes have arrived.
    pub fn progress(&mut self, now: Instant, bytes: u32) {
        self.look(now);
        self.seen = self.seen.saturating_add(bytes);
    }

    /// Looks at the time.
    pub fn look(&mut self, now: Instant) -> Verdict {
        self.idle = false;
        if now >= self.until {
            self.stalled |= self.seen < self.bytes;
            self.seen = 0;
            self.until = later(self.until, self.span_ms);
            if now >= self.until {
                // A whole span in which nobody even looked.
                self.stalled |= self.bytes > 0;
                self.until = later(now, self.span_ms);
            }
        }
        if self.stalled {
            Verdict::Stalled
        } else {
            Verdict::OnTime { until: self.until }
        }
    }

    /// When the span ends: look again then.
    #[must_use]
    pub const fn until(&self) -> Instant {
        self.until
    }

    /// Time that does not count, because nothing is asked for: the span begins anew.
    ///
    /// Call it when asking ends, and again when it goes on, with no [`look`](Self::look) in between. A span that was
    /// over before asking ended still counts.
    pub fn pause(&mut self, now: Instant) {
        if !self.idle {
            self.look(now);
        }
        (self.seen, self.until, self.idle) = (0, later(now, self.span_ms), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_span_without_enough_bytes_is_never_forgiven() {
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.progress(at(9), 9);
        assert_eq!(rate.look(at(10)), Verdict::Stalled);
        rate.progress(at(11), 100);
        assert_eq!(rate.look(at(12)), Verdict::Stalled);
        // Nor by the next span, which has enough.
        assert_eq!(rate.look(at(20)), Verdict::Stalled);
    }

    #[test]
    fn as_many_bytes_as_are_asked_for_are_enough() {
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.progress(at(9), 10);
        assert_eq!(rate.look(at(10)), Verdict::OnTime { until: at(20) });
    }

    #[test]
    fn bytes_of_one_span_do_not_count_for_the_next() {
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.progress(at(1), 1_000);
        assert_eq!(rate.look(at(10)), Verdict::OnTime { until: at(20) });
        assert_eq!(rate.look(at(20)), Verdict::Stalled);
    }

    #[test]
    fn a_pause_is_not_held_against_it_and_silence_is() {
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.pause(at(9));
        assert_eq!(rate.look(at(18)), Verdict::OnTime { until: at(19) });
        rate.progress(at(18), 10);
        assert_eq!(rate.look(at(40)), Verdict::Stalled);
        // However long it lasts.
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.pause(at(9));
        rate.pause(at(500));
        assert_eq!(rate.look(at(509)), Verdict::OnTime { until: at(510) });
    }

    #[test]
    fn a_pause_forgives_no_span_that_was_over_before() {
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.progress(at(9), 9);
        rate.pause(at(10));
        assert_eq!(rate.look(at(11)), Verdict::Stalled);
        let mut rate = MinimumRate::new(10, SPAN, at(0));
        rate.pause(at(5));
        assert_eq!(rate.look(at(14)), Verdict::OnTime { until: at(15) });
        rate.pause(at(15));
        assert_eq!(rate.look(at(16)), Verdict::Stalled);
    }
}
