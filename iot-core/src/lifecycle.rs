//! The stages of a device's life, and the events that lead from one to the next.
//!
//! | | enrol | activate | quarantine | release | reset | retire |
//! |---|---|---|---|---|---|---|
//! | **manufactured** | enrolled | – | – | – | – | retired |
//! | **enrolled** | – | active | quarantined | – | manufactured | retired |
//! | **active** | – | – | quarantined | – | manufactured | retired |
//! | **quarantined** | – | – | – | active | – | retired |
//! | **retired** | – | – | – | – | – | – |
//!
//! A device in quarantine cannot be reset: enrolling anew would be a way out of it. Nothing leads out of
//! retirement.

use core::fmt;

/// Where a device stands in its life.
///
/// ```
/// use iot_core::lifecycle::{LifeEvent, Stage};
/// let stage = Stage::Manufactured.on(LifeEvent::Enrol)?.on(LifeEvent::Activate)?;
/// assert_eq!(stage, Stage::Active);
/// assert!(stage.on(LifeEvent::Retire)?.on(LifeEvent::Enrol).is_err());
/// # Ok::<(), iot_core::lifecycle::BadTransition>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Stage {
    /// It has a key and a factory identity (IDevID), and no owner's.
    Manufactured,
    /// It has an owner's identity (LDevID) and is being set up.
    Enrolled,
    /// It does its work.
    Active,
    /// It is kept away from everything but its repair.
    Quarantined,
    /// Its keys are destroyed.
    Retired,
}

/// What happens to a device.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LifeEvent {
    /// It received an owner's identity.
    Enrol,
    /// Its set-up is complete.
    Activate,
    /// It is suspected.
    Quarantine,
    /// The suspicion was cleared.
    Release,
    /// It gave up its owner's identity, to be enrolled again.
    Reset,
    /// It leaves the fleet for good.
    Retire,
}

/// The event cannot happen in this stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("{event} cannot happen to a device that is {stage}")]
#[non_exhaustive]
pub struct BadTransition {
    /// The stage, which stays as it is.
    pub stage: Stage,
    /// The event.
    pub event: LifeEvent,
}

impl Stage {
    /// Every stage, in the order of a life.
    pub const ALL: [Self; 5] = [
        Self::Manufactured,
        Self::Enrolled,
        Self::Active,
        Self::Quarantined,
        Self::Retired,
    ];

    /// The stage after `event`.
    ///
    /// # Errors
    ///
    /// [`BadTransition`] when the event cannot happen in this stage.
    pub const fn on(self, event: LifeEvent) -> Result<Self, BadTransition> {
        Ok(match (self, event) {
            (Self::Manufactured, LifeEvent::Enrol) => Self::Enrolled,
            (Self::Enrolled, LifeEvent::Activate) | (Self::Quarantined, LifeEvent::Release) => {
                Self::Active
            }
            (Self::Enrolled | Self::Active, LifeEvent::Quarantine) => Self::Quarantined,
            (Self::Enrolled | Self::Active, LifeEvent::Reset) => Self::Manufactured,
            (
                Self::Manufactured | Self::Enrolled | Self::Active | Self::Quarantined,
                LifeEvent::Retire,
            ) => Self::Retired,
            (stage, event) => return Err(BadTransition { stage, event }),
        })
    }

    /// Its name in small letters, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manufactured => "manufactured",
            Self::Enrolled => "enrolled",
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
        }
    }

    /// The stage of that [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl LifeEvent {
    /// Every event.
    pub const ALL: [Self; 6] = [
        Self::Enrol,
        Self::Activate,
        Self::Quarantine,
        Self::Release,
        Self::Reset,
        Self::Retire,
    ];

    /// Its name in small letters, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Activate => "activate",
            Self::Quarantine => "quarantine",
            Self::Release => "release",
            Self::Reset => "reset",
            Self::Retire => "retire",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for LifeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_the_table_in_the_code() {
        let source = include_str!("lifecycle.rs");
        let rows: Vec<&str> = (source.lines())
            .filter_map(|line| line.strip_prefix("//! | **"))
            .collect();
        assert_eq!(rows.len(), Stage::ALL.len());
        for (stage, row) in Stage::ALL.into_iter().zip(rows) {
            let mut cells = row.split('|').map(str::trim);
            assert_eq!(cells.next(), Some(&*(stage.to_string() + "**")));
            for (event, cell) in LifeEvent::ALL.into_iter().zip(cells) {
                let expected = Stage::from_name(cell);
                assert_eq!(stage.on(event).ok(), expected, "{stage} on {event}: {cell}");
                assert!(expected.is_some() || cell == "–");
            }
        }
    }

    #[test]
    fn nothing_leads_out_of_retirement_and_everything_leads_into_it() {
        let mut reached = BTreeSet::from([Stage::Manufactured]);
        while let Some(next) = (reached.iter())
            .flat_map(|stage| {
                LifeEvent::ALL
                    .into_iter()
                    .filter_map(|event| stage.on(event).ok())
            })
            .find(|next| !reached.contains(next))
        {
            reached.insert(next);
        }
        assert_eq!(reached.len(), Stage::ALL.len());
        for event in LifeEvent::ALL {
            assert!(Stage::Retired.on(event).is_err());
        }
        for stage in Stage::ALL
            .into_iter()
            .filter(|&stage| stage != Stage::Retired)
        {
            assert_eq!(stage.on(LifeEvent::Retire), Ok(Stage::Retired));
        }
    }

    #[test]
    fn a_refusal_names_stage_and_event() {
        let refusal = Stage::Quarantined.on(LifeEvent::Reset).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "reset cannot happen to a device that is quarantined"
        );
    }
}
