//! How the engines see a struct: as numbered fields.

use crate::leaf::{LeafError, LeafReader, LeafWriter};
use crate::schema::{Field, Schema};
use crate::sync::Slot;

/// A flat struct whose fields are desired by a service or reported by a device.
///
/// Write it by `#[derive(Twin)]` (feature `derive`). An index counts the fields in the order of declaration;
/// calls with an index past the end do nothing.
pub trait Twin: Sized {
    /// The desired fields alone, with the same names; `#[derive(Twin)]` calls it `…Desired`.
    type Desired: Desired<Twin = Self>;
    /// An array with one slot for each field.
    type Slots: AsRef<[Slot]> + AsMut<[Slot]>;

    /// The fields in the order of declaration.
    const FIELDS: &'static [Field];
    /// The same fields, with everything else about them.
    const SCHEMA: &'static [Schema];
    /// Before anything is known.
    const INITIAL: Self;
    /// Slots in which nothing has happened.
    const SLOTS: Self::Slots;

    /// Writes the value of a field; `None` when it does not fit.
    fn encode(&self, index: usize, out: &mut LeafWriter<'_>) -> Option<()>;

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

pub(crate) fn field<T: Twin>(index: usize) -> Option<&'static Field> {
    T::FIELDS.get(index)
}
