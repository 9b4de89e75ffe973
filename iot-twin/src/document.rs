//! A value tree that never outgrows its limits.

use crate::diff::diff;
use crate::merge::merge;
use crate::path::Path;
use crate::value::{DecodeError, LimitError, Limits, Value};

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
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            root: Value::map([]),
            limits,
        }
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
        Ok(Self { root, limits })
    }

    /// Merges a patch in (RFC 7396); one that is no map empties the document.
    ///
    /// # Errors
    ///
    /// [`LimitError`] when the result would be too large; the document is as it was.
    pub fn merge(&mut self, patch: &Value) -> Result<(), LimitError> {
        let mut root = self.root.clone();
        merge(&mut root, patch);
        if root.as_map().is_none() {
            root = Value::map([]);
        }
        root.check(self.limits)?;
        self.root = root;
        Ok(())
    }

    /// Puts a value at a path, making the maps on the way; null removes what is there.
    ///
    /// # Errors
    ///
    /// [`LimitError`] when the result would be too large; the document is as it was.
    pub fn set(&mut self, path: Path<'_>, value: Value) -> Result<(), LimitError> {
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
    pub fn to_cbor(&self) -> alloc::vec::Vec<u8> {
        self.root.to_cbor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_beyond_the_limits_changes_nothing() {
        let mut document = Document::new(Limits::new(2, 3, 16));
        document.merge(&Value::map([("a", 1.into())])).unwrap();
        let before = document.clone();
        let large = Value::map([("b", 1.into()), ("c", 1.into())]);
        assert_eq!(document.merge(&large), Err(LimitError::Values { limit: 3 }));
        assert_eq!(document, before);
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
