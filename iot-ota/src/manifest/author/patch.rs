//! Releases that devices fetch as a patch where they can.

use super::super::envelope::Element;
use super::builder::Author;
use super::commands::CommandList;
use super::parameters::ParameterList;
use super::templates::Image;

/// A payload in place of an image: where it is, and how it is encrypted.
///
/// ```
/// use iot_ota::manifest::Origin;
/// assert_eq!(Origin::new("iot:firmware").encrypted(b"info").encryption, Some(&b"info"[..]));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Origin<'a> {
    /// Where it is.
    pub uri: &'a str,
    /// How it is encrypted, as CBOR: a `SUIT_Encryption_Info`. `None` where it is not.
    pub encryption: Option<&'a [u8]>,
}

impl<'a> Origin<'a> {
    /// Found there, as it is.
    #[must_use]
    pub const fn new(uri: &'a str) -> Self {
        Self {
            uri,
            encryption: None,
        }
    }

    /// Encrypted in that way.
    #[must_use]
    pub const fn encrypted(self, info: &'a [u8]) -> Self {
        Self {
            encryption: Some(info),
            ..self
        }
    }

    fn on(&self, parameters: ParameterList) -> ParameterList {
        let parameters = parameters.uri(self.uri);
        match self.encryption {
            Some(info) => parameters.encryption(info),
            None => parameters,
        }
    }
}

/// A patch that makes a release out of an older image.
///
/// ```
/// use iot_ota::manifest::{Image, Origin, PatchFrom};
/// let patch = PatchFrom::new(
///     Image::new([1; 32], 4_096),
///     Image::new([2; 32], 300),
///     Origin::new("iot:patch"),
/// );
/// assert_eq!(patch.old.size, Some(4_096));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PatchFrom<'a> {
    /// The older image, which the device must run.
    pub old: Image,
    /// The patch itself, before it was encrypted.
    pub patch: Image,
    /// Where the patch is.
    pub origin: Origin<'a>,
}

impl<'a> PatchFrom<'a> {
    /// Describes a patch from `old`.
    #[must_use]
    pub const fn new(old: Image, patch: Image, origin: Origin<'a>) -> Self {
        Self { old, patch, origin }
    }
}

impl Author {
    /// Fetches the first patch whose old image the device runs into the component `staged`, and copies it to the component
    /// `index`, which makes `image`; where there is none, fetches the image itself.
    ///
    /// A copy from such a component is what the patch makes: see
    /// [`Device::with_patches`](crate::manifest::Device::with_patches).
    #[must_use]
    pub fn patched_or_whole(
        self,
        index: u64,
        staged: u64,
        image: &Image,
        patches: &[PatchFrom<'_>],
        whole: &Origin<'_>,
    ) -> Self {
        let list = ParameterList::new;
        let mut ways: alloc::vec::Vec<_> = patches
            .iter()
            .map(|from| {
                let patch = from.origin.on(from.patch.on(list()));
                let fetch = self.about(staged).set(patch).fetch().image_match();
                let made = image.on(list()).source(staged);
                let copy = self.about(index).set(made).copy().image_match();
                let runs = self.about(index).set(from.old.on(list())).image_match();
                runs.then(fetch).then(copy)
            })
            .collect();
        let commands = if ways.is_empty() {
            self.about(index)
                .set(whole.on(list()))
                .fetch()
                .image_match()
        } else {
            // A way that was not gone has left what the old image is.
            let image = whole.on(image.on(list()));
            ways.push(self.about(index).set(image).fetch().image_match());
            self.about(index).then(CommandList::new().try_each(&ways))
        };
        self.section(Element::Install, commands)
    }
}
