//! The draft's templates (§7), which combine into most manifests there are.

use super::super::envelope::Element;
use super::builder::Author;
use super::commands::CommandList;
use super::parameters::ParameterList;

use iot_core::crypto::Sha256Digest;

/// The draft's examples ask for records of either outcome, and no more, where a slot is only tried.
const RECORD_TRIAL: u8 = 5;

/// What an image must be.
///
/// ```
/// use iot_ota::manifest::Image;
/// assert_eq!(Image::new([3; 32], 4_096).size, Some(4_096));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Image {
    /// Its SHA-256.
    pub digest: Sha256Digest,
    /// Its size in bytes, where the manifest says so.
    pub size: Option<u64>,
}

impl Image {
    /// An image of that digest and size in bytes.
    #[must_use]
    pub const fn new(digest: Sha256Digest, size: u64) -> Self {
        Self {
            digest,
            size: Some(size),
        }
    }

    /// An image of which the manifest gives the digest only.
    #[must_use]
    pub const fn of_any_size(digest: Sha256Digest) -> Self {
        Self { digest, size: None }
    }

    pub(super) fn on(&self, parameters: ParameterList) -> ParameterList {
        let parameters = parameters.digest(&self.digest);
        match self.size {
            Some(size) => parameters.size(size),
            None => parameters,
        }
    }
}

/// An image for one of several slots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SlotImage<'a> {
    /// Which slot.
    pub slot: u64,
    /// What it is.
    pub image: Image,
    /// Where it is.
    pub uri: &'a str,
}

impl<'a> SlotImage<'a> {
    /// The image for a slot, and where it is.
    #[must_use]
    pub const fn new(slot: u64, image: Image, uri: &'a str) -> Self {
        Self { slot, image, uri }
    }
}

impl Author {
    /// Compatibility check (§7.1): vendor and class of a component, and what its image is, for all sections.
    #[must_use]
    pub fn compatibility_check(
        self,
        index: u64,
        vendor: [u8; 16],
        class: [u8; 16],
        image: Option<&Image>,
    ) -> Self {
        let parameters = ParameterList::new().vendor(vendor).class(class);
        let parameters = image.iter().fold(parameters, |list, image| image.on(list));
        let commands = self.about(index).set(parameters).vendor().class();
        self.shared(commands)
    }

    /// What the image of a further component is, for all sections.
    #[must_use]
    pub fn describe(self, index: u64, image: &Image) -> Self {
        let commands = self.about(index).set(image.on(ParameterList::new()));
        self.shared(commands)
    }

    /// Trusted invocation (§7.2): a component is matched whenever it is validated, and started.
    #[must_use]
    pub fn trusted_invocation(self, index: u64) -> Self {
        let invoke = self.about(index).invoke();
        self.matched(index).invoke(invoke)
    }

    /// A component is matched whenever it is validated.
    #[must_use]
    pub fn matched(self, index: u64) -> Self {
        let validate = self.about(index).image_match();
        self.validate(validate)
    }

    /// Component download (§7.3): an image is fetched into a component that stages it.
    #[must_use]
    pub fn download(self, index: u64, image: &Image, uri: &str) -> Self {
        let parameters = image.on(ParameterList::new()).uri(uri);
        let commands = self.about(index).set(parameters).fetch().image_match();
        self.section(Element::PayloadFetch, commands)
    }

    /// Install (§7.4): a component's image is copied from the one that stages it.
    #[must_use]
    pub fn install_from(self, index: u64, source: u64) -> Self {
        let parameters = ParameterList::new().source(source);
        let commands = self.about(index).set(parameters).copy().image_match();
        self.section(Element::Install, commands)
    }

    /// Download and install in one (§7.3, §7.4): a component's image is fetched to where it is installed.
    #[must_use]
    pub fn fetch_and_install(self, index: u64, uri: &str) -> Self {
        let parameters = ParameterList::new().uri(uri);
        let commands = self.about(index).set(parameters).fetch().image_match();
        self.section(Element::Install, commands)
    }

    /// Integrated payload (§7.5): a component's image travels in the envelope, under a name that begins with `#`.
    #[must_use]
    pub fn integrated(self, index: u64, name: &str, bytes: &[u8]) -> Self {
        self.fetch_and_install(index, name).payload(name, bytes)
    }

    /// Load from storage (§7.6): before it is started, a component's image is copied to it.
    #[must_use]
    pub fn loaded_from(self, index: u64, image: &Image, source: u64) -> Self {
        let parameters = image.on(ParameterList::new()).source(source);
        let load = self.about(index).set(parameters).copy().image_match();
        let invoke = self.about(index).invoke();
        self.load(load).invoke(invoke)
    }

    /// A/B image (§7.7): compatibility check, download and validation of the image for the slot that will be used.
    #[must_use]
    pub fn either_slot(
        self,
        index: u64,
        vendor: [u8; 16],
        class: [u8; 16],
        images: &[SlotImage<'_>],
    ) -> Self {
        let one_of = |set: &dyn Fn(&SlotImage<'_>) -> ParameterList| {
            let alternatives: alloc::vec::Vec<_> = images
                .iter()
                .map(|image| {
                    CommandList::new()
                        .set(ParameterList::new().slot(image.slot))
                        .command(5, RECORD_TRIAL)
                        .set(set(image))
                })
                .collect();
            CommandList::new().try_each(&alternatives)
        };
        let identity = ParameterList::new().vendor(vendor).class(class);
        let which = one_of(&|image| image.image.on(ParameterList::new()));
        let shared = self.about(index).set(identity).then(which).vendor().class();
        let from = one_of(&|image| ParameterList::new().uri(image.uri));
        let install = self.about(index).then(from).fetch().image_match();
        self.shared(shared)
            .matched(index)
            .section(Element::Install, install)
    }
}
