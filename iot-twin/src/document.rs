//! A value tree that never outgrows its limits.

mod size;

use alloc::vec::Vec;

use crate::diff::diff;
use crate::merge::{Change, Patch, apply};
use crate::path::Path;
use crate::value::{DecodeError, LimitError, Limits, Value};
use size::Size;

/// A bounded tree of values with a map at its root, such as one half of a twin.
///
/// ```
/// use iot_twin::document::Document;
/// use iot_twin::path::Path;
/// use iot_twin::value::{Limits, Value};
///
/// let mut twin = Document::new(Limits::new(6, 100, 8_192));
/// twin.merge(&Value::map([("room", Value::map([("setpoint", 21.5.into())]))]))?;
/// let setpoint = Path::parse("/room/setpoint")?;
/// assert_eq!(twin.get(setpoint), Some(&Value::Float(21.5)));
/// twin.set(setpoint, Value::Null)?;
/// assert_eq!(twin.get(setpoint), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    root: Value,
    limits: Limits,
    size: Size,
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::of(Value::map([]), limits)
    }

    /// Reads a document from CBOR.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no map or beyond `limits`.
    pub fn from_cbor(bytes: &[u8], limits: Limits) -> Result<Self, DecodeError> {
        let root = Value::from_cbor(bytes, limits)?;
        if root.as_map().is_none() {
            return Err(DecodeError::Malformed { position: 0 });
        }
        Ok(Self::of(root, limits))
    }

    fn of(root: Value, limits: Limits) -> Self {
        Self {
            size: Size::of(&root),
            root,
            limits,
        }
    }

    /// Merges a patch in (RFC 7396); one that is no map empties the document.
    ///
    /// # Errors
    ///
    /// [`LimitError`] when the result would be too large; the document is as it was.
    pub fn merge(&mut self, patch: &Value) -> Result<(), LimitError> {
        self.apply(patch)
    }

    /// Reads a patch from CBOR and merges it in: the same as [`merge`](Self::merge), without a tree in between.
    ///
    /// ```
    /// use iot_twin::document::Document;
    /// use iot_twin::value::{Limits, Value};
    ///
    /// let mut twin = Document::new(Limits::DEFAULT);
    /// twin.merge_cbor(b"\xa1\x68setpoint\xfa\x41\xac\x00\x00")?;
    /// assert_eq!(twin.root().get("setpoint"), Some(&Value::Float(21.5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no value, more than one or beyond the document's limits, or when the result
    /// would be too large; the document is as it was.
    pub fn merge_cbor(&mut self, patch: &[u8]) -> Result<(), DecodeError> {
        self.apply(&Patch::read(patch, self.limits)?)?;
        Ok(())
    }

    fn apply(&mut self, patch: &impl Change) -> Result<(), LimitError> {
        if patch.value().is_some() {
            let empty = Self::new(self.limits);
            empty.root.check(self.limits)?;
            *self = empty;
            return Ok(());
        }
        // Known before anything is touched, so that nothing has to be copied in order to be put back.
        let size = self.size.after(&self.root, patch, self.limits)?;
        apply(&mut self.root, patch);
        self.size = size;
        Ok(())
    }

    /// Puts a value at a path in the place of what is there, making the maps on the way; null removes it.
    ///
    /// # Errors
    ///
    /// [`LimitError`] when the result would be too large; the document is as it was.
    pub fn set(&mut self, path: Path<'_>, value: Value) -> Result<(), LimitError> {
        // Merged into a map, another map would not replace it.
        if value.as_map().is_some() && self.get(path).is_some_and(|now| now.as_map().is_some()) {
            let mut next = self.clone();
            next.apply(&path.patch(Value::Null))?;
            next.apply(&path.patch(value))?;
            *self = next;
            return Ok(());
        }
        self.merge(&path.patch(value))
    }

    /// The value at a path.
    #[must_use]
    pub fn get(&self, path: Path<'_>) -> Option<&Value> {
        path.find(&self.root)
    }

    /// The whole tree.
    #[must_use]
    pub const fn root(&self) -> &Value {
        &self.root
    }

    /// The patch that makes `other` out of this document; `None` when they are equal.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Option<Value> {
        diff(&self.root, &other.root)
    }

    /// The document as CBOR.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        // A name or a text has a byte or two in front, a number its five, mostly.
        self.root.to_cbor_of(self.size.bytes + 6 * self.size.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    #[test]
    fn a_patch_beyond_the_limits_changes_nothing() {
        let mut document = Document::new(Limits::new(2, 3, 16));
        document.merge(&Value::map([("a", 1.into())])).unwrap();
        let before = document.clone();
        let large = Value::map([("b", 1.into()), ("c", 1.into())]);
        assert_eq!(document.merge(&large), Err(LimitError::Values { limit: 3 }));
        assert_eq!(document, before);
    }

    proptest! {
        #[test]
        fn an_encoded_patch_does_what_its_tree_does(target in any_value(), patch in any_value(), depth in 1..5_usize, values in 1..40_usize) {
            prop_assume!(target.as_map().is_some());
            let limits = Limits::new(depth, values, 60);
            prop_assume!(target.check(limits).is_ok());
            let mut tree = Document::from_cbor(&target.to_cbor(), limits).unwrap();
            let mut encoded = tree.clone();
            let merged = match Value::from_cbor(&patch.to_cbor(), limits) {
                Ok(patch) => tree.merge(&patch).map_err(DecodeError::from),
                Err(error) => Err(error),
            };
            prop_assert_eq!(encoded.merge_cbor(&patch.to_cbor()), merged);
            prop_assert_eq!(encoded, tree);
        }

        #[test]
        fn arbitrary_bytes_are_refused_as_a_patch_when_they_are_no_value(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let mut document = Document::new(Limits::DEFAULT);
            let value = Value::from_cbor(&bytes, Limits::DEFAULT);
            prop_assert_eq!(document.merge_cbor(&bytes).err(), value.err());
        }
    }

    #[test]
    fn a_patch_that_names_a_member_twice_is_refused() {
        let mut document = Document::new(Limits::DEFAULT);
        for twice in [
            &b"\xa2\x61a\x01\x61a\x02"[..],
            b"\xa3\x61b\x01\x61a\x02\x61b\x03",
        ] {
            let refused = document.merge_cbor(twice);
            assert_eq!(refused, Err(DecodeError::Malformed { position: 0 }));
        }
        document.merge_cbor(b"\xa2\x61b\x01\x61a\x02").unwrap();
        assert_eq!(document.to_cbor(), b"\xa2\x61a\x02\x61b\x01");
    }

    #[test]
    fn what_is_put_at_a_path_takes_the_place_of_what_was_there() {
        let mut document = Document::new(Limits::new(2, 3, 16));
        let (path, beside) = (Path::parse("/a").unwrap(), Path::parse("/b").unwrap());
        let put = |document: &mut Document, name| {
            let value = Value::map([(name, 1.into())]);
            assert_eq!(document.set(path, value.clone()), Ok(()));
            assert_eq!(document.get(path), Some(&value));
        };
        put(&mut document, "x");
        put(&mut document, "y");
        // What is beside it stays, and one that is too large changes nothing.
        let before = document.clone();
        let full = document.set(path, Value::map([("x", 1.into()), ("y", 2.into())]));
        assert_eq!(
            (full, &document),
            (Err(LimitError::Values { limit: 3 }), &before)
        );
        assert_eq!(document.set(path, 7.into()), Ok(()));
        assert_eq!(document.set(beside, 8.into()), Ok(()));
        assert_eq!(document.get(path), Some(&7.into()));
    }

    #[test]
    fn a_document_comes_back_from_its_bytes() {
        let mut document = Document::new(Limits::DEFAULT);
        document
            .set(Path::parse("/a/b").unwrap(), "text".into())
            .unwrap();
        assert_eq!(
            Document::from_cbor(&document.to_cbor(), Limits::DEFAULT),
            Ok(document)
        );
    }
}
