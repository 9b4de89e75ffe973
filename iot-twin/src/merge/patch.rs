//! Patches: as a tree, or as they arrived.

use alloc::vec::Vec;

use minicbor::Decoder;
use minicbor::data::Type;

use crate::value::{Budget, DecodeError, Limits, Value, read};

/// What a patch says of one value.
pub(crate) trait Change {
    /// What takes its place; `None` when it is changed member by member.
    fn value(&self) -> Option<&Value>;

    /// What is said of its members.
    fn members(&self) -> impl Iterator<Item = (&str, &Self)>;

    /// Whether it is removed.
    fn is_null(&self) -> bool {
        self.value().is_some_and(Value::is_null)
    }
}

impl Change for Value {
    fn value(&self) -> Option<&Value> {
        self.as_map().is_none().then_some(self)
    }

    fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = self.as_map().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), value))
    }
}

/// A patch whose names lie where they arrived: most of them are names that the document has already.
pub(crate) enum Patch<'a> {
    Members(Vec<(&'a str, Self)>),
    Value(Value),
}

impl<'a> Patch<'a> {
    /// Reads what [`Value::from_cbor`] would, and refuses the same.
    pub(crate) fn read(bytes: &'a [u8], limits: Limits) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        let patch = Self::read_at(&mut input, &mut Budget::new(limits), 0)?;
        let position = input.position();
        if position == bytes.len() {
            Ok(patch)
        } else {
            Err(DecodeError::Trailing { position })
        }
    }

    fn read_at(
        input: &mut Decoder<'a>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Self, DecodeError> {
        let position = input.position();
        let malformed = DecodeError::Malformed { position };
        if input.datatype().map_err(|_| malformed)? != Type::Map {
            return read(input, budget, depth).map(Self::Value);
        }
        budget.value()?;
        let depth = budget.level(depth)?;
        let len = input.map().map_err(|_| malformed)?.ok_or(malformed)?;
        // A stated length is not believed beyond a few.
        let mut members: Vec<(&str, Self)> =
            Vec::with_capacity(usize::try_from(len.min(16)).unwrap_or(0));
        let mut sorted = true;
        for _ in 0..len {
            let name = input.str().map_err(|_| malformed)?;
            budget.bytes(name.len())?;
            // As in one of our own encodings: then none comes twice.
            let after = |(last, _): &(&str, Self)| (last.len(), *last) < (name.len(), name);
            sorted &= members.last().is_none_or(after);
            members.push((name, Self::read_at(input, budget, depth)?));
        }
        if !sorted {
            members.sort_unstable_by_key(|(name, _)| *name);
            let mut pairs = members.iter().zip(members.iter().skip(1));
            if pairs.any(|((one, _), (two, _))| one == two) {
                return Err(malformed);
            }
        }
        Ok(Self::Members(members))
    }
}

impl Change for Patch<'_> {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Members(_) => None,
            Self::Value(value) => Some(value),
        }
    }

    fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = match self {
            Self::Members(members) => members.as_slice(),
            Self::Value(_) => &[],
        };
        members.iter().map(|(name, change)| (*name, change))
    }
}
