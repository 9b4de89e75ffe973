//! How the engines see a struct: as numbered fields.

use core::ops::Deref;

use crate::leaf::{LeafError, LeafReader, LeafWriter};
use crate::schema::{Field, Node, Schema, fingerprint};
use crate::sync::Slot;

/// A struct whose fields are desired by a service or reported by a device.
///
/// Write it by `#[derive(Twin)]` (feature `derive`). An index counts the fields in the order of declaration, those of a
/// group in its place; calls with an index past the end do nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a twin nor a group of one",
    label = "no twin",
    note = "write #[derive(Twin)] above the struct; an enum or a number is a field, without `group`"
)]
pub trait Twin: Sized {
    /// The desired fields alone, with the same names; `#[derive(Twin)]` calls it `…Desired`.
    type Desired: Desired<Twin = Self>;
    /// One slot for each field; of a struct an array.
    type Slots: AsRef<[Slot]> + AsMut<[Slot]>;
    /// What the fields are kept in; of a struct `&'static [Field]`.
    type Fields: Deref<Target = [Field]>;

    /// How many fields there are.
    const COUNT: usize;
    /// How many numbers they span, from 0 on: what a group takes of the numbers around it.
    const SPAN: u32;
    /// The fields in the order of declaration.
    const FIELDS: &'static [Field];
    /// The same fields, with everything else about them.
    const SCHEMA: &'static [Schema];
    /// Their names, and those of the groups.
    const TREE: &'static [Node];
    /// Before anything is known.
    const INITIAL: Self;
    /// Slots in which nothing has happened.
    const SLOTS: Self::Slots;

    /// The index of the field with a number.
    fn index(id: u16) -> Option<usize>;

    /// The fields of this value. Only a twin that is described at run time has others than [`FIELDS`](Self::FIELDS).
    fn fields(&self) -> Self::Fields;

    /// The same as [`index`](Self::index), for this value.
    #[inline]
    fn find(&self, id: u16) -> Option<usize> {
        Self::index(id)
    }

    /// A number that is another one when fields are added or removed, or other values allowed.
    #[inline]
    fn fingerprint(&self) -> u32 {
        const { fingerprint(Self::SCHEMA) }
    }

    /// The same fields before anything is known.
    #[must_use]
    #[inline]
    fn blank(&self) -> Self {
        Self::INITIAL
    }

    /// Slots for these fields.
    #[inline]
    fn blank_slots(&self) -> Self::Slots {
        Self::SLOTS
    }

    /// Writes the value of a field.
    fn encode(&self, index: usize, out: &mut LeafWriter<'_>);

    /// Reads a value into a field.
    ///
    /// # Errors
    ///
    /// [`LeafError`] when the value is not one of the field's or outside its range; the field is as it was.
    fn decode(&mut self, index: usize, input: &mut LeafReader<'_>) -> Result<(), LeafError>;

    /// Whether a field's value lies in its range.
    fn accepts(&self, index: usize) -> bool;

    /// Takes the value of a field over from `other`.
    fn copy(&mut self, index: usize, other: &Self);

    /// Whether a field differs from `told` by at least its deadband.
    fn moved(&self, index: usize, told: &Self) -> bool;

    /// Whether a field whose greater value wins is at least as great as in `other`; false for all others.
    fn reaches(&self, index: usize, other: &Self) -> bool;

    /// Gives a field some other value.
    fn disturb(&mut self, index: usize);
}

/// The desired fields of a [`Twin`], alone.
pub trait Desired: Sized {
    /// The twin they belong to.
    type Twin: Twin;

    /// Takes them out of a twin.
    #[must_use]
    fn of(twin: &Self::Twin) -> Self;

    /// Puts them back.
    fn put(&self, twin: &mut Self::Twin);
}

/// Writes the value of the field at a path, such as `/pid/kp`.
///
/// # Errors
///
/// [`LeafError::Unknown`] when no field is there; nothing is written.
pub fn get<T: Twin>(twin: &T, path: &str, out: &mut LeafWriter<'_>) -> Result<(), LeafError> {
    let index = Node::find(T::TREE, path).ok_or(LeafError::Unknown)?;
    twin.encode(index, out);
    Ok(())
}

/// Reads a value into the field at a path, such as `/pid/kp`.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use iot_twin::leaf::{LeafError, LeafReader};
/// use iot_twin::{Twin, reflect};
///
/// #[derive(Twin)]
/// struct Pid {
///     #[twin(desired, range = 0.0..=10.0)]
///     kp: f32,
/// }
/// #[derive(Twin)]
/// struct Settings {
///     #[twin(group, id = 0)]
///     pid: Pid,
/// }
///
/// let mut settings = Settings::INITIAL;
/// let (two, eleven) = (&mut LeafReader::new(&[2]), &mut LeafReader::new(&[11]));
/// reflect::set(&mut settings, "/pid/kp", two)?;
/// assert_eq!(settings.pid.kp, 2.0);
/// assert_eq!(reflect::set(&mut settings, "/pid/kp", eleven), Err(LeafError::Range));
/// # }
/// # Ok::<(), iot_twin::leaf::LeafError>(())
/// ```
///
/// # Errors
///
/// [`LeafError::Unknown`] when no field is there, and the others when the value is not one of the field's; the field
/// is as it was.
pub fn set<T: Twin>(twin: &mut T, path: &str, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
    let index = Node::find(T::TREE, path).ok_or(LeafError::Unknown)?;
    twin.decode(index, input)
}

/// Writes every field: a list of field numbers, each with its value behind it (`[* (uint .size 2, value)]`).
///
/// A configuration's records hold their settings so. At most three bytes for the head and three for each
/// field, and the values' [`max_bytes`](Field::max_bytes).
pub fn write<T: Twin>(twin: &T, out: &mut LeafWriter<'_>) {
    let fields = twin.fields();
    out.array(2 * fields.len());
    for (index, field) in fields.iter().enumerate() {
        out.unsigned(field.id.get().into());
        twin.encode(index, out);
    }
}

/// Reads what [`write()`] wrote, perhaps in another version of the program.
///
/// Fields come in any order. One that is unknown here is skipped, and a value that is none of its field's leaves the
/// field as it was.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use iot_twin::leaf::{LeafReader, LeafWriter};
/// use iot_twin::{Twin, reflect};
///
/// #[derive(Twin)]
/// struct Pid {
///     #[twin(desired, range = 0.0..=10.0)]
///     kp: f32,
///     #[twin(desired)]
///     armed: bool,
/// }
///
/// let (mut buffer, mut copy) = ([0; 16], Pid::INITIAL);
/// let mut out = LeafWriter::new(&mut buffer);
/// reflect::write(&Pid { kp: 2.5, armed: true }, &mut out);
/// let written = out.finish().unwrap_or_default();
/// assert_eq!(written, b"\x84\x00\xfa\x40\x20\x00\x00\x01\xf5");
/// reflect::read(&mut copy, &mut LeafReader::new(written))?;
/// assert_eq!((copy.kp, copy.armed), (2.5, true));
/// # }
/// # Ok::<(), iot_twin::leaf::LeafError>(())
/// ```
///
/// # Errors
///
/// [`LeafError::Kind`] when it is no such list; the fields in front of the fault have their new values.
pub fn read<T: Twin>(twin: &mut T, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
    take(twin, input).map(drop)
}

/// The same, and says whether nothing was skipped.
pub(crate) fn take<T: Twin>(twin: &mut T, input: &mut LeafReader<'_>) -> Result<bool, LeafError> {
    let (fields, mut whole) = (twin.fields(), true);
    let len = input.array().ok_or(LeafError::Kind)?;
    let mut next = 0;
    for _ in 0..len / 2 {
        let id = input.u16();
        if input.failed() {
            return Err(LeafError::Kind);
        }
        // Most come in the order in which they are declared.
        let index = match fields.get(next) {
            Some(field) if field.id.get() == id => Some(next),
            _ => twin.find(id),
        };
        let start = input.rest();
        if let Some(index) = index {
            next = index + 1;
            if twin.decode(index, input).is_ok() {
                continue;
            }
        }
        *input = LeafReader::new(start);
        input.value();
        whole = false;
    }
    if len % 2 == 0 && !input.failed() {
        Ok(whole)
    } else {
        Err(LeafError::Kind)
    }
}
