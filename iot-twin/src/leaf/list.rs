//! Lists of a fixed length: one value, which is replaced as a whole.

use super::{Bounded, Kind, Leaf, LeafError, LeafReader, LeafWriter, Measure, Variant};

/// A [`Leaf`] of which a field may hold a list `[L; N]`: a number, a `bool` or an enum.
#[diagnostic::on_unimplemented(
    message = "a twin's field cannot hold a list of `{Self}`",
    note = "lists are made of numbers, bool or enums; give other values a field each"
)]
pub trait Element: Leaf + Copy {}

macro_rules! element {
    ($($name:ident)+) => {$(
        impl Element for $name {}
    )+};
}
element!(bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);

impl<L: Element, const N: usize> Leaf for [L; N] {
    const KIND: Kind = L::KIND;
    const INITIAL: Self = [L::INITIAL; N];
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertion in front of it"
    )]
    const LEN: u16 = {
        assert!(N > 0 && N <= 64, "a list of a twin has 1 to 64 values");
        N as u16
    };
    const MAX_BYTES: usize = 2 + N * L::MAX_BYTES;
    const VARIANTS: &'static [Variant] = L::VARIANTS;
    fn encode(&self, out: &mut LeafWriter<'_>) {
        out.array(N);
        for value in self {
            value.encode(out);
        }
    }
    fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
        if input.array() != Some(Self::LEN.into()) {
            return Err(LeafError::Kind);
        }
        let mut values = Self::INITIAL;
        for value in &mut values {
            value.decode(input)?;
        }
        *self = values;
        Ok(())
    }
    fn same(&self, other: &Self) -> bool {
        self.iter().zip(other).all(|(one, two)| one.same(two))
    }
    fn other(&self) -> Self {
        self.map(|value| value.other())
    }
}

impl<B, L: Element + Bounded<B>, const N: usize> Bounded<B> for [L; N] {
    fn within(&self, least: &B, greatest: &B) -> bool {
        self.iter().all(|value| value.within(least, greatest))
    }
}

impl<L: Element + Measure, const N: usize> Measure for [L; N] {
    type Step = L::Step;
    fn moved(&self, told: &Self, step: L::Step) -> bool {
        self.iter().zip(told).any(|(one, two)| one.moved(two, step))
    }
}
