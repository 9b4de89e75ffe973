//! Each event once, also over restarts.

use super::event::ComponentEvent;
use super::fact::ComponentFact;

/// How far an audit has come with one component: whether it has a fact already.
///
/// A device that restarts tells again how its last update ended and what it is at, for nobody knows whether that was kept. A trail
/// remembers the last of both. Whoever keeps facts collects it from them when it starts, the oldest first.
///
/// ```
/// use iot_core::component::{ComponentEvent, ComponentFact, ComponentId, Trail};
/// use iot_core::time::TimeBounds;
///
/// let event = ComponentEvent::Confirmed { sequence: 7 };
/// let fact = ComponentFact::new(ComponentId::new("firmware")?, None, event, TimeBounds::UNKNOWN);
/// let mut trail = Trail::new();
/// assert!(trail.is_news(&fact));
/// assert!(!trail.is_news(&fact.found()), "the device has restarted");
/// let mut after_a_restart: Trail = [fact].iter().collect();
/// assert!(!after_a_restart.is_news(&fact.found()));
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Trail {
    end: Option<ComponentEvent>,
    // What the component is at since then.
    step: Option<ComponentEvent>,
}

impl Trail {
    /// Knows of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            end: None,
            step: None,
        }
    }

    /// Whether the fact is to be kept: it is new, or nobody can tell. It is remembered then.
    pub fn is_news(&mut self, fact: &ComponentFact) -> bool {
        let event = Some(fact.event);
        match fact.event {
            ended if ended.is_end() => {
                if fact.may_repeat && self.end == event {
                    return false;
                }
                (self.end, self.step) = (event, None);
            }
            ComponentEvent::Refused { sequence, .. } => {
                // It may be offered anew, and found under way after a restart.
                self.step = self.step.filter(|step| step.sequence() != sequence);
            }
            _ => {
                if fact.may_repeat && self.step == event {
                    return false;
                }
                self.step = event;
            }
        }
        true
    }
}

impl<'f> FromIterator<&'f ComponentFact> for Trail {
    /// How far somebody has come who keeps these facts, the oldest first.
    fn from_iter<I: IntoIterator<Item = &'f ComponentFact>>(facts: I) -> Self {
        let mut trail = Self::new();
        for fact in facts {
            trail.is_news(fact);
        }
        trail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::{ComponentId, Refusal, RollBack};
    use crate::time::TimeBounds;

    fn fact(event: ComponentEvent) -> ComponentFact {
        let component = ComponentId::new("firmware").unwrap();
        ComponentFact::new(component, None, event, TimeBounds::UNKNOWN)
    }

    #[test]
    fn what_is_found_is_kept_unless_it_is_the_last_end_or_the_last_step() {
        use ComponentEvent::{Confirmed, Fetching, OnTrial, RolledBack, Staged};
        let (first, second) = (Confirmed { sequence: 2 }, Confirmed { sequence: 3 });
        let (fetching, staged) = (Fetching { sequence: 3 }, Staged { sequence: 3 });
        let trial = OnTrial { sequence: 3 };
        let mut trail = Trail::new();
        for (fact, is_news) in [
            (fact(first), true),
            (fact(fetching), true),
            // A restart in the download.
            (fact(first).found(), false),
            (fact(fetching).found(), false),
            (fact(staged), true),
            // The boot that tries it, and one more.
            (fact(first).found(), false),
            (fact(trial).found(), true),
            (fact(first).found(), false),
            (fact(trial).found(), false),
            // The power failed before the end was kept.
            (fact(second).found(), true),
            (fact(second).found(), false),
            // What came back is another event, for another one was the last.
            (fact(first).found(), true),
            (
                fact(RolledBack {
                    sequence: 2,
                    reason: RollBack::SelfTest,
                })
                .found(),
                true,
            ),
        ] {
            assert_eq!(trail.is_news(&fact), is_news, "{fact:?}");
        }
    }

    #[test]
    fn what_is_not_marked_is_always_news() {
        let mut trail = Trail::new();
        for event in [
            ComponentEvent::Confirmed { sequence: 2 },
            ComponentEvent::Fetching { sequence: 3 },
            ComponentEvent::Refused {
                sequence: None,
                reason: Refusal::NotAuthentic,
            },
        ] {
            assert!(trail.is_news(&fact(event)) && trail.is_news(&fact(event)));
        }
    }

    #[test]
    fn what_was_given_up_and_is_found_under_way_has_begun_anew() {
        let fetching = ComponentEvent::Fetching { sequence: 3 };
        let refused = |sequence| ComponentEvent::Refused {
            sequence,
            reason: Refusal::CalledOff,
        };
        let mut trail = Trail::new();
        assert!(trail.is_news(&fact(fetching)));
        assert!(trail.is_news(&fact(refused(Some(4)))));
        assert!(
            !trail.is_news(&fact(fetching).found()),
            "another one was refused"
        );
        assert!(trail.is_news(&fact(refused(Some(3)))));
        assert!(trail.is_news(&fact(fetching).found()));
    }
}
