//! A request to the shadow service, checked as the service does.

use alloc::borrow::ToOwned;
use alloc::string::String;

use super::limit::{MAX_DEPTH, MAX_TOKEN_BYTES};
use super::rejection::Rejection;
use crate::value::{LimitError, Limits, Value};

/// The longest payload of any message; the state in it has a limit of its own.
const MAX_PAYLOAD_BYTES: usize = 128 << 10;
/// Deeper than anything that is accepted, so that too many levels are told as such.
const TREE: Limits = Limits::new(64, 1 << 16, MAX_PAYLOAD_BYTES);
const SECTION: Limits = Limits::new(MAX_DEPTH, usize::MAX, usize::MAX);

/// A section of an update.
#[derive(Clone, PartialEq)]
pub(super) enum Section {
    /// Not mentioned.
    Keep,
    /// Null: the whole section goes.
    Remove,
    /// A patch.
    Merge(Value),
}

/// What an update asks for.
#[derive(Clone, PartialEq)]
pub(super) struct Update {
    /// `None` when `state` is null: everything goes.
    pub(super) sections: Option<[Section; 2]>,
    pub(super) version: Option<u64>,
}

/// Reads any JSON object; with it comes its token, as far as there is a good one.
pub(super) fn object(payload: &[u8]) -> Result<Value, Rejection> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Rejection::TooLarge);
    }
    let text = core::str::from_utf8(payload).map_err(|_| Rejection::NotUtf8)?;
    let value = Value::from_json(text, TREE).map_err(|_| Rejection::InvalidJson)?;
    value
        .as_map()
        .is_some()
        .then_some(value)
        .ok_or(Rejection::InvalidJson)
}

/// The client token.
pub(super) fn token(body: &Value) -> Result<Option<String>, Rejection> {
    match body.get("clientToken") {
        None => Ok(None),
        Some(Value::Text(token)) if token.len() <= MAX_TOKEN_BYTES => Ok(Some(token.to_owned())),
        Some(_) => Err(Rejection::InvalidClientToken),
    }
}

impl Update {
    pub(super) fn read(body: &Value) -> Result<Self, Rejection> {
        let version = match body.get("version") {
            None => None,
            Some(Value::Int(version)) => {
                Some(u64::try_from(*version).map_err(|_| Rejection::InvalidVersion)?)
            }
            Some(_) => return Err(Rejection::InvalidVersion),
        };
        let sections = match body.get("state").ok_or(Rejection::MissingState)? {
            Value::Null => None,
            Value::Map(state) => {
                if state
                    .keys()
                    .any(|name| name != "desired" && name != "reported")
                {
                    return Err(Rejection::InvalidNode);
                }
                Some([
                    section(state.get("desired"), Rejection::DesiredNotObject)?,
                    section(state.get("reported"), Rejection::ReportedNotObject)?,
                ])
            }
            _ => return Err(Rejection::StateNotObject),
        };
        Ok(Self { sections, version })
    }
}

fn section(value: Option<&Value>, wrong: Rejection) -> Result<Section, Rejection> {
    match value {
        None => Ok(Section::Keep),
        Some(Value::Null) => Ok(Section::Remove),
        Some(value @ Value::Map(_)) => {
            check(value)?;
            Ok(Section::Merge(value.clone()))
        }
        Some(_) => Err(wrong),
    }
}

/// Whether a section may be sent: not too deep, and no null in an array.
pub(super) fn check(value: &Value) -> Result<(), Rejection> {
    match value.check(SECTION) {
        Err(LimitError::Depth { .. }) => return Err(Rejection::TooDeep),
        Err(_) => return Err(Rejection::TooLarge),
        Ok(()) => {}
    }
    if has_null_in_array(value) {
        return Err(Rejection::InvalidNode);
    }
    Ok(())
}

fn has_null_in_array(value: &Value) -> bool {
    match value {
        Value::Array(items) => items
            .iter()
            .any(|item| item.is_null() || has_null_in_array(item)),
        Value::Map(entries) => entries.values().any(has_null_in_array),
        _ => false,
    }
}
