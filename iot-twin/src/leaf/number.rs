//! Numbers as values of a field.

use super::float;
use super::{Bounded, HOST, Kind, Leaf, LeafError, LeafReader, LeafWriter, Measure, Ranked};

macro_rules! integer {
    ($($kind:ident $read:ident $write:ident: $($name:ident $bytes:literal)+;)+) => {$($(
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0;
            const MAX_BYTES: usize = $bytes;
            fn encode(&self, out: &mut LeafWriter<'_>) {
                out.$write((*self).into());
            }
            fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
                *self = $read(input)?.try_into().map_err(|_| LeafError::Range)?;
                Ok(())
            }
            fn same(&self, other: &Self) -> bool {
                self == other
            }
            fn other(&self) -> Self {
                self.wrapping_add(1)
            }
        }
        impl Measure for $name {
            type Step = $name;
            fn moved(&self, told: &Self, step: $name) -> bool {
                // A negative step is met by every distance.
                self != told && u64::from(self.abs_diff(*told)) >= u64::try_from(step).unwrap_or(0)
            }
        }
        impl Bounded<$name> for $name {
            fn within(&self, least: &$name, greatest: &$name) -> bool {
                (least..=greatest).contains(&self)
            }
        }
        impl Ranked for $name {
            fn reaches(&self, other: &Self) -> bool {
                self >= other
            }
        }
    )+)+};
}
integer! {
    Unsigned unsigned unsigned: u8 2 u16 3 u32 5 u64 9;
    Signed signed signed: i8 2 i16 3 i32 5 i64 9;
}

#[inline(never)]
pub(super) fn unsigned(input: &mut LeafReader<'_>) -> Result<u64, LeafError> {
    match input.head() >> 5 {
        0 => Ok(input.argument()),
        1 => Err(LeafError::Range),
        _ => Err(LeafError::Kind),
    }
}

#[inline(never)]
fn signed(input: &mut LeafReader<'_>) -> Result<i64, LeafError> {
    let major = input.head() >> 5;
    if major > 1 {
        return Err(LeafError::Kind);
    }
    let value = i64::try_from(input.argument()).map_err(|_| LeafError::Range)?;
    Ok(if major == 0 { value } else { !value })
}

macro_rules! float {
    ($name:ident $kind:ident $bytes:literal $read:ident $rank:ident $apart:expr) => {
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0.0;
            const MAX_BYTES: usize = $bytes;
            fn encode(&self, out: &mut LeafWriter<'_>) {
                out.$name(*self);
            }
            #[cfg_attr(target_pointer_width = "32", inline(never))]
            #[cfg_attr(not(target_pointer_width = "32"), inline)]
            fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
                // A whole number is a number too: services in other languages write 21 for 21.0.
                let value = match input.single() {
                    Some(value) => value.into(),
                    None => input.$read().ok_or(LeafError::Kind)?,
                };
                if !value.is_finite() {
                    return Err(LeafError::Range);
                }
                *self = value;
                Ok(())
            }
            fn same(&self, other: &Self) -> bool {
                float::$rank(*self) == float::$rank(*other)
            }
            fn other(&self) -> Self {
                if *self == 1.0 { 0.0 } else { 1.0 }
            }
        }
        impl Measure for $name {
            type Step = $name;
            fn moved(&self, told: &Self, step: $name) -> bool {
                !self.same(told) && $apart(*self, *told, step)
            }
        }
        impl Bounded<$name> for $name {
            #[cfg_attr(not(target_pointer_width = "32"), inline)]
            fn within(&self, least: &$name, greatest: &$name) -> bool {
                if HOST {
                    return least <= self && self <= greatest;
                }
                // Not-a-number ranks beyond the infinities.
                (float::$rank(*least)..=float::$rank(*greatest)).contains(&float::$rank(*self))
            }
        }
        impl Ranked for $name {
            fn reaches(&self, other: &Self) -> bool {
                float::$rank(*self) >= float::$rank(*other)
            }
        }
    };
}
float!(f32 F32 5 f32_of_any_form rank float::apart);
float!(f64 F64 9 f64 rank_wide float::apart_wide);
