//! Which devices of a fleet are meant: labels, groups, and selectors over both.
//!
//! A [`Selector`] is a text such as `site == 'north' && stage == 'pilot'`, parsed once and then asked of each
//! device. It sees a device through [`Member`], which a registry implements over what it stores;
//! [`Labels`] and [`Groups`] are the implementation without a heap.
//!
//! | in a selector | selects a device |
//! |---|---|
//! | `site == 'north'` | whose label `site` has that value |
//! | `site != 'north'` | whose label has another value, **or that has no such label** |
//! | `site in ('north', 'south')` | whose label has one of the values |
//! | `site ~ 'north-*'` | whose label has a value that begins so |
//! | `has(site)` | that has the label, whatever its value |
//! | `group('lab')` | that belongs to the group |
//! | `all()` | in any case |
//! | `!x`, `x && y`, <code>x &#124;&#124; y</code>, `(x)` | not, both, either; they bind in this order |
//!
//! **An absent label.** Every comparison with it is false, and `!=` is the negation of `==`, as in Kubernetes:
//! so a selector and its negation always split the fleet, and no device is in neither half. Who wants the
//! label to be there says so: `has(site) && site != 'north'`.
//!
//! **What a device says selects nothing by itself.** Names and values follow the rule of [`crate::id`], which
//! has no quote, no wildcard and no space, and they are compared byte by byte. An operator or a `*` can only
//! come from the selector's own text.

mod group;
mod label;
mod selector;
mod word;

pub use group::{GroupError, Groups};
pub use label::{LabelError, Labels};
pub use selector::{Expected, MAX_DEPTH, Selector, SelectorError};

/// A device as a selector sees it.
///
/// ```
/// use iot_core::fleet::{Member, Selector};
///
/// struct Row { site: String, lab: bool }
///
/// impl Member for Row {
///     fn label(&self, name: &str) -> Option<&str> {
///         (name == "site").then_some(&self.site)
///     }
///     fn is_in(&self, group: &str) -> bool {
///         group == "lab" && self.lab
///     }
/// }
///
/// let row = Row { site: "north-2".into(), lab: false };
/// assert!(Selector::parse("site ~ 'north-*' && !group('lab')")?.matches(&row));
/// # Ok::<(), iot_core::fleet::SelectorError>(())
/// ```
pub trait Member {
    /// The value of a label; `None` when the device has no such label.
    ///
    /// A registry may answer some names from what it knows itself, such as a verified device name. It must
    /// then do so whatever labels the device brought along.
    fn label(&self, name: &str) -> Option<&str>;

    /// Whether the device belongs to a group.
    fn is_in(&self, group: &str) -> bool;
}

impl<M: Member + ?Sized> Member for &M {
    fn label(&self, name: &str) -> Option<&str> {
        (**self).label(name)
    }
    fn is_in(&self, group: &str) -> bool {
        (**self).is_in(group)
    }
}

/// A device that belongs to no group.
impl<const N: usize> Member for Labels<N> {
    fn label(&self, name: &str) -> Option<&str> {
        self.value(name)
    }
    fn is_in(&self, _: &str) -> bool {
        false
    }
}

impl<const N: usize, const M: usize> Member for (Labels<N>, Groups<M>) {
    fn label(&self, name: &str) -> Option<&str> {
        self.0.value(name)
    }
    fn is_in(&self, group: &str) -> bool {
        self.1.contains(group)
    }
}
