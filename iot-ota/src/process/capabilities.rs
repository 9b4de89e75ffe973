//! What a device has, and takes.

use super::check::NESTING;
use crate::manifest::{CommandCode, ComponentId};

/// Who a device is (§8.4.8.2): UUIDs that a manifest's conditions are compared with.
///
/// ```
/// use iot_ota::process::Identity;
/// const BOILER: Identity<'static> = Identity::new([0xfa; 16], [0x14; 16]);
/// assert_eq!(BOILER.with_device([7; 16]).device, Some([7; 16]));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Identity<'d> {
    /// The vendor's UUID.
    pub vendor: [u8; 16],
    /// The UUID of this kind of device.
    pub class: [u8; 16],
    /// The UUID of this one device, where it has one.
    pub device: Option<[u8; 16]>,
    /// The vendor's private enterprise number as the content of a relative OID (§8.4.8.2.1), where it has one.
    pub enterprise: Option<&'d [u8]>,
}

impl<'d> Identity<'d> {
    /// A device of that vendor and class.
    #[must_use]
    pub const fn new(vendor: [u8; 16], class: [u8; 16]) -> Self {
        Self {
            vendor,
            class,
            device: None,
            enterprise: None,
        }
    }

    /// The one device of that UUID.
    #[must_use]
    pub const fn with_device(self, device: [u8; 16]) -> Self {
        Self {
            device: Some(device),
            ..self
        }
    }

    /// Of the vendor with that private enterprise number.
    #[must_use]
    pub const fn with_enterprise(self, number: &'d [u8]) -> Self {
        Self {
            enterprise: Some(number),
            ..self
        }
    }
}

/// A place that manifests may name: something to install, a staging area, or where a dependency's manifest is kept.
///
/// ```
/// use iot_ota::process::Component;
/// // Only signers who fill the role of bit 0 may touch the boot loader.
/// const LOADER: Component<'static> = Component::new(&[b"loader"]).for_roles(1);
/// assert_eq!(LOADER.roles, 1);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Component<'d> {
    /// Its identifier; the empty path stands for dependencies whose manifest does not say where they are kept.
    pub id: &'d [&'d [u8]],
    /// The roles whose manifests may name it (§9), one bit each; all of them unless changed.
    pub roles: u32,
    /// Who it is where that differs from the device, such as a modem of another vendor.
    pub identity: Option<Identity<'d>>,
}

impl<'d> Component<'d> {
    /// A component that manifests of every role may name.
    #[must_use]
    pub const fn new(id: &'d [&'d [u8]]) -> Self {
        Self {
            id,
            roles: u32::MAX,
            identity: None,
        }
    }

    /// Only manifests of these roles may name it; see [`Manifest::roles`](crate::manifest::Manifest::roles).
    #[must_use]
    pub const fn for_roles(self, roles: u32) -> Self {
        Self { roles, ..self }
    }

    /// With an identity of its own.
    #[must_use]
    pub const fn with_identity(self, identity: Identity<'d>) -> Self {
        Self {
            identity: Some(identity),
            ..self
        }
    }
}

/// A set of commands.
///
/// ```
/// use iot_ota::manifest::CommandCode;
/// use iot_ota::process::CommandSet;
/// let swap = CommandCode::new(31);
/// assert!(CommandSet::ALL.contains(swap) && !CommandSet::ALL.without(swap).contains(swap));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommandSet(u64);

impl CommandSet {
    /// Every command of the manifest draft, trust domains and update management.
    pub const ALL: Self = Self::of(&[
        1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 31,
        32, 33, 34, 35,
    ]);

    pub(super) const fn of(mut codes: &[i32]) -> Self {
        let mut set = 0;
        while let [code, rest @ ..] = codes {
            set |= bit(*code);
            codes = rest;
        }
        Self(set)
    }

    /// All of these but one.
    #[must_use]
    pub const fn without(self, command: CommandCode) -> Self {
        Self(self.0 & !bit(command.get()))
    }

    pub(super) const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn contains(self, command: CommandCode) -> bool {
        self.0 & bit(command.get()) != 0
    }
}

/// Codes beyond the last bit are in no set.
const fn bit(code: i32) -> u64 {
    if code < 0 || code > 63 { 0 } else { 1 << code }
}

/// What a device has and takes. A manifest that needs more is refused before anything is done.
///
/// ```
/// use iot_ota::process::{Capabilities, Component, Identity};
/// const BOILER: Capabilities<'static> = Capabilities::new(
///     Identity::new([0xfa; 16], [0x14; 16]),
///     &[Component::new(&[b"firmware"]), Component::new(&[b"staging"])],
/// );
/// assert_eq!(BOILER.nesting, 4);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Capabilities<'d> {
    /// Who it is.
    pub identity: Identity<'d>,
    /// The components it has, at most 32.
    pub components: &'d [Component<'d>],
    /// The commands it takes; all of them unless changed.
    pub commands: CommandSet,
    /// How deep sequences may lie within sequences, at most 8; 4 unless changed.
    ///
    /// In all manifests that are being followed at a time, 16 sections and sequences within them lie open at most. A
    /// dependency that needs more than those above it have left is refused before anything of it is done.
    pub nesting: u8,
    /// How deep manifests may lie below the first one, at most 3; 1 unless changed.
    pub dependencies: u8,
    /// How many commands a procedure may take altogether; 1,024 unless changed.
    pub steps: u16,
}

impl<'d> Capabilities<'d> {
    /// A device that takes every command, sequences four deep, and one level of dependencies.
    #[must_use]
    pub const fn new(identity: Identity<'d>, components: &'d [Component<'d>]) -> Self {
        Self {
            identity,
            components,
            commands: CommandSet::ALL,
            nesting: 4,
            dependencies: 1,
            steps: 1_024,
        }
    }

    /// Takes these commands only.
    #[must_use]
    pub const fn with_commands(self, commands: CommandSet) -> Self {
        Self { commands, ..self }
    }

    /// Follows sequences so deep within sequences; more than 8 are 8.
    #[must_use]
    pub const fn with_nesting(self, nesting: u8) -> Self {
        let nesting = if nesting > NESTING { NESTING } else { nesting };
        Self { nesting, ..self }
    }

    /// Follows manifests so deep below the first one; more than 3 are 3.
    #[must_use]
    pub const fn with_dependencies(self, dependencies: u8) -> Self {
        let dependencies = if dependencies > 3 { 3 } else { dependencies };
        Self {
            dependencies,
            ..self
        }
    }

    /// Follows so many commands in one procedure.
    #[must_use]
    pub const fn with_steps(self, steps: u16) -> Self {
        Self { steps, ..self }
    }

    /// Which of its components that is.
    #[inline(never)]
    pub(super) fn place(&self, id: ComponentId<'_>) -> Option<u8> {
        let place = self.components.iter().position(|own| id == *own.id)?;
        u8::try_from(place).ok().filter(|place| *place < 32)
    }
}
