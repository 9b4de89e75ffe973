//! Where in a document a value is: JSON Pointer (RFC 6901).

use alloc::borrow::Cow;

use crate::value::Value;

/// The way from the root to a value: `/room/setpoint`; the empty path is the root.
///
/// Its steps are names only: arrays are one value in a twin, and have no inner paths.
///
/// ```
/// use iot_twin::{path::Path, value::Value};
/// let twin = Value::map([("room/1", Value::map([("lit", true.into())]))]);
/// assert_eq!(Path::parse("/room~11/lit")?.find(&twin), Some(&Value::Bool(true)));
/// # Ok::<(), iot_twin::path::PathError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Path<'a>(&'a str);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("a path begins with '/': write /room/setpoint")]
    Relative,
    /// A `~` that is not followed by 0 or 1.
    #[error("the '~' at {position} stands alone: write ~0 for '~' and ~1 for '/'")]
    Escape {
        /// Its offset in bytes.
        position: usize,
    },
}

impl<'a> Path<'a> {
    /// The whole document.
    pub const ROOT: Self = Self("");

    /// Checks a path.
    ///
    /// # Errors
    ///
    /// [`PathError`] when the text is no JSON Pointer.
    pub fn parse(text: &'a str) -> Result<Self, PathError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PathError::Relative);
        }
        let mut tildes = text.match_indices('~');
        let alone = tildes.find(|(at, _)| {
            let next = text.as_bytes().get(at + 1);
            !matches!(next, Some(b'0' | b'1'))
        });
        match alone {
            Some((position, _)) => Err(PathError::Escape { position }),
            None => Ok(Self(text)),
        }
    }

    /// The path as it was written.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The names on the way, from the root.
    pub fn steps(self) -> impl Iterator<Item = Cow<'a, str>> {
        // `~1` first would turn the name `~01` into a slash (RFC 6901 §4).
        self.0.split('/').skip(1).map(|step| {
            if step.contains('~') {
                Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(step)
            }
        })
    }

    /// The value there; `None` when there is none.
    #[must_use]
    pub fn find(self, root: &Value) -> Option<&Value> {
        self.steps().try_fold(root, |value, step| value.get(&step))
    }

    /// The patch that puts `value` there.
    #[must_use]
    pub fn patch(self, value: Value) -> Value {
        let steps: alloc::vec::Vec<_> = self.steps().collect();
        let wrap = |inner, step: &Cow<'_, str>| Value::map([(step.as_ref(), inner)]);
        steps.iter().rev().fold(value, wrap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_read_as_the_standards_examples() {
        let document = Value::map([
            ("", 0.into()),
            ("a/b", 1.into()),
            ("m~n", 8.into()),
            ("~1", 9.into()),
        ]);
        for (path, value) in [("/", 0), ("/a~1b", 1), ("/m~0n", 8), ("/~01", 9)] {
            let path = Path::parse(path).unwrap();
            assert_eq!(path.find(&document), Some(&Value::Int(value)));
        }
        assert_eq!(Path::ROOT.find(&document), Some(&document));
        assert_eq!(Path::parse("a"), Err(PathError::Relative));
        assert_eq!(Path::parse("/a~"), Err(PathError::Escape { position: 2 }));
    }

    proptest! {
        #[test]
        fn what_a_patch_puts_there_is_found_there(text in "(/[a-z~/]{0,4}){0,3}") {
            if let Ok(path) = Path::parse(&text) {
                let patch = path.patch(7.into());
                prop_assert_eq!(path.find(&patch), Some(&Value::Int(7)));
            }
        }
    }
}
