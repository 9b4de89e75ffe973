//! What a process asks of the device.

use iot_core::crypto::Sha256Digest;

use super::version::VersionMatch;
use crate::manifest::{CommandCode, ComponentId};

/// The component that a step is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Target<'a> {
    /// Which of [`Capabilities::components`](super::Capabilities::components) it is.
    pub place: usize,
    /// Its identifier, as the manifest writes it.
    pub id: ComponentId<'a>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Step<'a> {
    /// Find out whether this holds, change nothing, and answer with [`done`](super::Process::done).
    Check {
        /// What it is about.
        target: Target<'a>,
        /// What to find out.
        check: Check<'a>,
    },
    /// Do this, and say with [`done`](super::Process::done) whether it worked. One that failed ends the process.
    Perform {
        /// What it is about.
        target: Target<'a>,
        /// What to do.
        effect: Effect<'a>,
        /// What else was said about it.
        details: Details<'a>,
    },
    /// Verify the manifest that is kept there, and hand it in with [`dependency`](super::Process::dependency), which
    /// compares its digest.
    Dependency {
        /// Where it is.
        target: Target<'a>,
    },
    /// Write this to the report, and say [`done`](super::Process::done).
    Record(Record<'a>),
    /// The procedure has come to its end, and nothing of it failed. Of an image it says what the manifest had matched.
    Finished,
}

/// A condition that only the device can judge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Check<'a> {
    /// The component has this content: its digest, and its size in bytes where that is known.
    Image {
        /// The SHA-256 of all of it.
        digest: &'a Sha256Digest,
        /// How many bytes are to be hashed.
        size: Option<u64>,
    },
    /// The component has another content.
    NotImage {
        /// The SHA-256 it must not have.
        digest: &'a Sha256Digest,
        /// How many bytes are to be hashed.
        size: Option<u64>,
    },
    /// The component has exactly these bytes. Compare all of them, in constant time.
    Content(&'a [u8]),
    /// The component's content lies, or would lie, in this slot.
    Slot(u64),
    /// It is earlier than this, in seconds since 1970. A device that does not know must say no.
    UseBefore(u64),
    /// The battery holds at least so much, in mWh.
    MinimumBattery(u64),
    /// Somebody in charge agrees, or is not needed for something so urgent: the smaller, the more.
    Authorized(i64),
    /// The version that is installed is one of these.
    Version(VersionMatch<'a>),
}

/// What the device has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Effect<'a> {
    /// Obtain the component's content.
    Fetch(Fetch<'a>),
    /// Write the content of another component to this one.
    Copy {
        /// The other one.
        from: Target<'a>,
    },
    /// Exchange the contents of this component and another one.
    Swap {
        /// The other one.
        with: Target<'a>,
    },
    /// Write these bytes to the component.
    Write(&'a [u8]),
    /// Start the component, with these arguments. The process ends with it, unless it comes back.
    Invoke(Option<&'a [u8]>),
    /// Wait for an event (update management): CBOR, a map of events.
    Wait(&'a [u8]),
    /// One user less: delete the component when nobody uses it any more. The count must survive power cuts, and one
    /// manifest must not lower it twice, also when its procedure begins again (trust domains).
    Unlink,
}

/// What else was said about a component, for effects that bring content.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Details<'a> {
    /// How the content is encrypted that is fetched, copied or written: a `SUIT_Encryption_Info`, which is a
    /// `COSE_Encrypt`. It is to be decrypted on the way.
    pub encryption: Option<&'a [u8]>,
    /// What the component is to be apart from its content, as CBOR (component metadata, update management).
    pub metadata: Option<&'a [u8]>,
}

/// Where content comes from, and what is known of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Fetch<'a> {
    /// Where it is.
    pub source: Source<'a>,
    /// What to give the one who fetches.
    pub arguments: Option<&'a [u8]>,
    /// What the content will have to match.
    pub digest: Option<&'a Sha256Digest>,
    /// Its size in bytes: never write more.
    pub size: Option<u64>,
}

/// Where content comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Source<'a> {
    /// From there.
    Uri(&'a str),
    /// It came with the manifest, unsigned: only its digest says what it is.
    Integrated(&'a [u8]),
}

/// How one command ended, for a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Record<'a> {
    /// The dependencies on the way to the manifest, each by its component index in the one above.
    pub path: DependencyPath,
    /// The section's key in the manifest; 3 stands for the shared sequence.
    pub section: i32,
    /// Where the command begins, in bytes from the beginning of the section.
    pub offset: u32,
    /// The component's index in the manifest.
    pub component: u32,
    /// What it is.
    pub target: Target<'a>,
    /// The command.
    pub command: CommandCode,
    /// Whether it succeeded.
    pub success: bool,
    /// The author's wish (§8.4.7): bit 0 records successes, bit 1 failures; bits 2 and 3 add the system's state.
    pub policy: u8,
}

/// A way down through dependencies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DependencyPath {
    indices: [u8; 3],
    len: u8,
}

impl DependencyPath {
    pub(super) fn push(&mut self, index: u8) {
        if let Some(place) = self.indices.get_mut(usize::from(self.len)) {
            *place = index;
            self.len += 1;
        }
    }

    /// The component indices, the first manifest's first.
    #[must_use]
    pub fn indices(&self) -> &[u8] {
        self.indices.get(..usize::from(self.len)).unwrap_or(&[])
    }
}
