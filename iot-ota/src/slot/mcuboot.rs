//! MCUboot's image trailer, so that a device with that boot loader can be updated too.
//!
//! MCUboot looks at the last bytes of its two slots to decide what to boot ("Image trailer" and "Image trailers" in its
//! design document). From the end of a slot backwards, each field in a place of its own, `align` bytes long:
//!
//! | bytes from the end | field |
//! |---|---|
//! | 16 (`align` if that is more; the field is at its end) | magic |
//! | one `align` more | image OK: `01`, or erased |
//! | another | copy done: `01`, or erased |
//! | another | swap info: what kind of swap (low four bits), which image (high four bits) |
//! | another | swap size: 4 bytes, little endian |
//!
//! ```
//! use iot_ota::slot::mcuboot::{Align, Swap, Trailer, next_swap};
//! // The firmware asks for a trial of what it has written to the secondary slot.
//! let asked = Trailer::request(Swap::Test);
//! assert_eq!(next_swap(&Trailer::ERASED, &asked), Swap::Test);
//! // After the trial the old image comes back, unless the new one confirms itself.
//! let tried = asked.copied();
//! assert_eq!(next_swap(&tried, &Trailer::ERASED), Swap::Revert);
//! assert_eq!(next_swap(&tried.confirmed(), &Trailer::ERASED), Swap::None);
//!
//! let mut bytes = [0; Trailer::MAX_BYTES];
//! let bytes = tried.encode(Align::Eight, &mut bytes);
//! assert_eq!(Trailer::decode(Align::Eight, bytes), Some(tried));
//! ```

mod slots;
#[cfg(test)]
mod tests;

pub use slots::{McubootError, McubootSlots};

const MAGIC: [u8; 16] = [
    0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f, 0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80,
];
/// Behind two bytes that tell the alignment, where it is more than 8.
const WIDE_MAGIC: [u8; 14] = [
    0x2d, 0xe1, 0x5d, 0x29, 0x41, 0x0b, 0x8d, 0x77, 0x67, 0x9c, 0x11, 0x0f, 0x1f, 0x8a,
];

/// How far the fields of a trailer are apart: MCUboot's `BOOT_MAX_ALIGN`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Align {
    /// 8 bytes: flash that writes 1, 2, 4 or 8 bytes at once.
    Eight,
    /// 16 bytes.
    Sixteen,
    /// 32 bytes.
    ThirtyTwo,
}

impl Align {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
            Self::ThirtyTwo => 32,
        }
    }

    const fn magic_bytes(self) -> usize {
        match self {
            Self::Eight | Self::Sixteen => 16,
            Self::ThirtyTwo => 32,
        }
    }

    /// Bytes of the fields that [`Trailer`] knows.
    #[must_use]
    pub const fn trailer_bytes(self) -> usize {
        self.magic_bytes() + 4 * self.bytes()
    }

    const fn magic(self) -> [u8; 16] {
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13] = WIDE_MAGIC;
        let low = match self {
            Self::Eight => return MAGIC,
            Self::Sixteen => 16,
            Self::ThirtyTwo => 32,
        };
        [
            low, 0, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13,
        ]
    }
}

/// What a field holds that is either erased or set.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Flag {
    /// Erased.
    Unset,
    /// As MCUboot writes it.
    Set,
    /// Anything else: a write that was cut short. MCUboot takes it for neither, so it no longer swaps an image back whose
    /// image OK is that.
    Bad,
}

/// What MCUboot does at the next boot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Swap {
    /// It boots what lies in the primary slot.
    None,
    /// It swaps the slots, and back at the boot after that unless the image is confirmed.
    Test,
    /// It swaps the slots for good.
    Permanent,
    /// It swaps them back.
    Revert,
}

impl Swap {
    const fn code(self) -> u8 {
        match self {
            Self::None => 1,
            Self::Test => 2,
            Self::Permanent => 3,
            Self::Revert => 4,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::None,
            2 => Self::Test,
            3 => Self::Permanent,
            4 => Self::Revert,
            _ => return None,
        })
    }
}

/// The trailer of one slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Trailer {
    /// Whether the trailer counts.
    pub magic: Flag,
    /// Whether the image was confirmed.
    pub image_ok: Flag,
    /// Whether the image was copied completely.
    pub copy_done: Flag,
    /// What kind of swap was begun or asked for, and of which image (0 to 15); `None` when it is erased or no such kind.
    pub swap: Option<(Swap, u8)>,
    /// How many bytes are swapped; `None` when it is erased.
    pub swap_bytes: Option<u32>,
}

impl Trailer {
    /// The longest trailer in bytes.
    pub const MAX_BYTES: usize = Align::ThirtyTwo.trailer_bytes();

    /// The trailer of a slot that was erased.
    pub const ERASED: Self = Self {
        magic: Flag::Unset,
        image_ok: Flag::Unset,
        copy_done: Flag::Unset,
        swap: None,
        swap_bytes: None,
    };

    /// What asks MCUboot, in the secondary slot, for a swap of the first image: a trial, or for good. Anything else
    /// asks for nothing.
    #[must_use]
    pub const fn request(swap: Swap) -> Self {
        let image_ok = match swap {
            Swap::Permanent => Flag::Set,
            Swap::Test => Flag::Unset,
            Swap::None | Swap::Revert => return Self::ERASED,
        };
        Self {
            magic: Flag::Set,
            image_ok,
            swap: Some((swap, 0)),
            ..Self::ERASED
        }
    }

    /// In the primary slot, when the image was copied there.
    #[must_use]
    pub const fn copied(self) -> Self {
        Self {
            copy_done: Flag::Set,
            ..self
        }
    }

    /// In the primary slot, when the image was confirmed.
    #[must_use]
    pub const fn confirmed(self) -> Self {
        Self {
            image_ok: Flag::Set,
            ..self
        }
    }

    /// Reads the trailer at the end of `tail`, the last bytes of a slot; `None` when there are fewer than
    /// [`Align::trailer_bytes`].
    #[must_use]
    pub fn decode(align: Align, tail: &[u8]) -> Option<Self> {
        let (rest, magic) = tail.split_last_chunk::<16>()?;
        let padding = align.magic_bytes().checked_sub(magic.len())?;
        let rest = rest.get(..rest.len().checked_sub(padding)?)?;
        let field = |number: usize| {
            let start = rest.len().checked_sub(number.checked_mul(align.bytes())?)?;
            rest.get(start..)
        };
        let flag = |field: &[u8]| match field.first() {
            Some(0x01) => Flag::Set,
            Some(0xff) => Flag::Unset,
            _ => Flag::Bad,
        };
        let info = *field(3)?.first()?;
        let bytes = u32::from_le_bytes(*field(4)?.first_chunk()?);
        Some(Self {
            magic: match *magic {
                found if found == align.magic() => Flag::Set,
                found if found == [0xff; 16] => Flag::Unset,
                _ => Flag::Bad,
            },
            image_ok: flag(field(1)?),
            copy_done: flag(field(2)?),
            swap: Swap::of_code(info & 0x0f).map(|swap| (swap, info >> 4)),
            swap_bytes: (bytes != u32::MAX).then_some(bytes),
        })
    }

    /// Writes the trailer to the front of `out`, as the last bytes of an erased slot would hold it.
    ///
    /// A [`Flag::Bad`] is written as zeros.
    #[must_use]
    pub fn encode(self, align: Align, out: &mut [u8; Self::MAX_BYTES]) -> &[u8] {
        out.fill(0xff);
        let length = align.trailer_bytes();
        let mut put = |from_end: usize, bytes: &[u8]| {
            let start = length.saturating_sub(from_end);
            let place = out.iter_mut().skip(start);
            place.zip(bytes).for_each(|(to, from)| *to = *from);
        };
        let field = |number: usize| align.magic_bytes() + number * align.bytes();
        let flag = |flag| match flag {
            Flag::Set => 0x01,
            Flag::Unset => 0xff,
            Flag::Bad => 0x00,
        };
        put(
            16,
            &match self.magic {
                Flag::Set => align.magic(),
                Flag::Unset => [0xff; 16],
                Flag::Bad => [0; 16],
            },
        );
        put(field(1), &[flag(self.image_ok)]);
        put(field(2), &[flag(self.copy_done)]);
        if let Some((swap, image)) = self.swap {
            put(field(3), &[swap.code() | (image << 4)]);
        }
        put(field(4), &self.swap_bytes.unwrap_or(u32::MAX).to_le_bytes());
        out.get(..length).unwrap_or(&[])
    }
}

/// What MCUboot will do when its slots end so: its tables of states I to IV, in their order.
#[must_use]
pub const fn next_swap(primary: &Trailer, secondary: &Trailer) -> Swap {
    match (
        (primary.magic, primary.image_ok, primary.copy_done),
        (secondary.magic, secondary.image_ok),
    ) {
        (_, (Flag::Set, Flag::Unset)) => Swap::Test,
        (_, (Flag::Set, Flag::Set)) => Swap::Permanent,
        ((Flag::Set, Flag::Unset, Flag::Set), (Flag::Unset, _)) => Swap::Revert,
        _ => Swap::None,
    }
}
