//! What is said of a component.

use super::event::ComponentEvent;
use super::measurement::Measurement;
use super::version::Version;
use crate::id::ComponentId;
use crate::time::TimeBounds;

/// What runs of a component: its number, what its makers call it, and its digest.
///
/// ```
/// use iot_core::component::{Measurement, Running};
/// let running = Running::new(7, Measurement::sha256([1; 32])).with_version("1.2.0".parse()?);
/// assert_eq!(running.sequence, 7);
/// # Ok::<(), iot_core::component::VersionError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Running {
    /// The number of the release, which rises from release to release.
    pub sequence: u64,
    /// What its makers call it, where somebody has said so.
    pub version: Option<Version>,
    /// The digest of what was loaded: what attestation claims and a verifier compares.
    pub measurement: Measurement,
}

impl Running {
    /// Names what runs, without a version.
    #[must_use]
    pub const fn new(sequence: u64, measurement: Measurement) -> Self {
        Self {
            sequence,
            version: None,
            measurement,
        }
    }

    /// The same under that version.
    #[must_use]
    pub const fn with_version(self, version: Version) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }
}

/// What has happened to a component, what of it runs, and when that was seen.
///
/// ```
/// use iot_core::component::{ComponentEvent, ComponentFact, ComponentId, Measurement, Running};
/// use iot_core::{Timestamp, time::TimeBounds};
///
/// let running = Running::new(7, Measurement::sha256([1; 32]));
/// let event = ComponentEvent::Confirmed { sequence: 7 };
/// let at = TimeBounds::at_least(Timestamp::from_secs(1_800_000_000));
/// let fact = ComponentFact::new(ComponentId::new("firmware")?, Some(running), event, at);
///
/// let mut buffer = [0; ComponentFact::MAX_BYTES];
/// let bytes = fact.encode(&mut buffer)?;
/// assert_eq!(ComponentFact::decode(bytes)?, fact);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ComponentFact {
    /// Which part of the device.
    pub component: ComponentId,
    /// What runs of it while this is said; `None` where that is known of no release, as while a rejected one waits for the
    /// restart.
    pub running: Option<Running>,
    /// What has happened. It need not be about what runs.
    pub event: ComponentEvent,
    /// When it was seen. What [may repeat](Self::may_repeat) happened then or earlier.
    pub at: TimeBounds,
    /// It was found when the device started, so it may have been told before the restart; see [`Trail`](super::Trail).
    pub may_repeat: bool,
}

impl ComponentFact {
    /// States what has just happened.
    #[must_use]
    pub const fn new(
        component: ComponentId,
        running: Option<Running>,
        event: ComponentEvent,
        at: TimeBounds,
    ) -> Self {
        Self {
            component,
            running,
            event,
            at,
            may_repeat: false,
        }
    }

    /// The same as something that was found when the device started.
    #[must_use]
    pub const fn found(self) -> Self {
        Self {
            may_repeat: true,
            ..self
        }
    }
}
