//! The names of fields: alone, or with the names of the groups around them.

use core::fmt;

/// How many groups can lie in each other, the field itself counted.
const DEPTH: usize = 4;

/// A field's name, behind the names of the groups it lies in: `pid/kp`.
///
/// ```
/// use iot_twin::schema::Name;
/// let name = Name::new("kp").inside("pid");
/// assert_eq!(name, *"pid/kp");
/// assert_eq!(name.parts().collect::<Vec<_>>(), ["pid", "kp"]);
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Name {
    /// From the outermost group on; the first ones are empty when there are fewer.
    parts: [&'static str; DEPTH],
}

impl Name {
    /// A name without groups.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            parts: ["", "", "", name],
        }
    }

    /// The same name in a group.
    ///
    /// # Panics
    ///
    /// When that makes more than three groups; while compiling, where a macro calls it.
    #[must_use]
    #[allow(
        clippy::panic,
        reason = "it is called while compiling, where that is an error of the compiler"
    )]
    pub const fn inside(self, group: &'static str) -> Self {
        let [one, two, three, four] = self.parts;
        let parts = match (one.len(), two.len(), three.len()) {
            (0, 0, 0) => ["", "", group, four],
            (0, 0, _) => ["", group, three, four],
            (0, ..) => [group, two, three, four],
            _ => panic!("groups of a twin lie at most three deep in each other"),
        };
        Self { parts }
    }

    /// The names of the groups from the outermost on, then the field's own.
    pub fn parts(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.parts.into_iter().filter(|part| !part.is_empty())
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, path: &str) -> bool {
        self.parts().eq(path.split('/'))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.parts().enumerate() {
            if place > 0 {
                f.write_str("/")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A field or a group in the tree of names: all that finding a path takes.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    name: &'static str,
    /// The index of its first field, counted from the start of what it lies in.
    first: u16,
    inner: &'static [Self],
}

impl Node {
    /// A field, or a group with what lies in it.
    ///
    /// # Panics
    ///
    /// When a twin has more than 65,535 fields; while compiling, where a macro calls it.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertion in front of it"
    )]
    pub const fn new(name: &'static str, first: usize, inner: &'static [Self]) -> Self {
        assert!(first < 0xffff, "a twin has at most 65,535 fields");
        Self {
            name,
            first: first as u16,
            inner,
        }
    }

    /// The index of the field at a path: `/pid/kp`; `None` when no field is there.
    ///
    /// A path is a JSON Pointer (RFC 6901); names need none of its escapes.
    #[must_use]
    pub fn find(nodes: &[Self], path: &str) -> Option<usize> {
        let mut nodes = nodes;
        let mut index = 0;
        let mut rest = path.as_bytes();
        loop {
            rest = rest.strip_prefix(b"/")?;
            let end = rest.iter().position(|&byte| byte == b'/');
            let (step, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
            let node = nodes.iter().find(|node| node.name.as_bytes() == step)?;
            index += usize::from(node.first);
            if after.is_empty() {
                return node.inner.is_empty().then_some(index);
            }
            (nodes, rest) = (node.inner, after);
        }
    }
}

// By hand: the derived one does not come to an end with a tree.
#[cfg(feature = "defmt")]
impl defmt::Format for Node {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{} from {}", self.name, self.first);
    }
}
