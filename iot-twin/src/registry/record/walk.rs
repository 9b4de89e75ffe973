//! Reading parts of a record where it lies.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::Decoder;

use super::{Half, Leaf};
use crate::sync::{StateError, TwinState};
use crate::value::Value;

/// A record's bytes, which were checked: what cannot be read is not there.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// In front of the part with this number.
    fn at(self, part: u8) -> Decoder<'a> {
        let mut input = Decoder::new(self.0);
        let _ = input.array();
        for _ in 0..part {
            let _ = input.skip();
        }
        input
    }

    pub(super) fn labels(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut input = self.at(1);
        let count = input.map().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| Some((input.str().ok()?, input.str().ok()?)))
    }

    pub(super) fn groups(self) -> impl Iterator<Item = &'a str> {
        let mut input = self.at(2);
        let count = input.array().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| input.str().ok())
    }

    fn names(self) -> impl Iterator<Item = (u16, &'a str)> {
        let mut input = self.at(3);
        let count = input.array().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| {
            let _ = input.array().ok()?;
            Some((input.u16().ok()?, input.str().ok()?))
        })
    }

    pub(super) fn state(self) -> Result<TwinState, StateError> {
        TwinState::decode(&mut self.at(4))
    }

    pub(super) fn leaves(self) -> Vec<Leaf> {
        let Ok(state) = self.state() else {
            return Vec::new();
        };
        let names: BTreeMap<_, _> = self.names().collect();
        let name = |id: u16| match names.get(&id) {
            // What is not public has no name here.
            Some(&"") => None,
            Some(name) => Some(name.replace('/', ".")),
            None => Some(alloc::format!("{id}")),
        };
        let mut leaves = Vec::new();
        for field in state.desired() {
            let value = field.value.as_ref().unwrap_or(&Value::Null);
            push(Half::Desired, name(field.id.get()), value, &mut leaves);
        }
        for field in state.reported() {
            let name = name(field.id.get());
            push(Half::Reported, name, &field.value, &mut leaves);
        }
        leaves
    }
}

fn push(half: Half, path: Option<String>, value: &Value, leaves: &mut Vec<Leaf>) {
    let Some(path) = path.filter(|_| !value.is_null()) else {
        return;
    };
    leaves.push(Leaf {
        half,
        path,
        value: value.clone(),
    });
}
