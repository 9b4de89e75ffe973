//! Text for people (§8.4.4).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::cbor;

/// What a manifest says to people, by language.
///
/// ```
/// use iot_ota::manifest::Text;
/// let text = Text::new("en").description("Fixes the pump").component(&[b"pump"], 5, "The pump's firmware");
/// assert_eq!(text.encode()[..4], [0xa1, 0x62, b'e', b'n']);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text {
    // By language: finished keys and values, and components' own maps by their finished identifiers.
    languages: BTreeMap<Vec<u8>, Language>,
    current: Vec<u8>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Language {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    components: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Text {
    /// Begins with a language, such as `en-US` (RFC 5646).
    #[must_use]
    pub fn new(language: &str) -> Self {
        Self::default().in_language(language)
    }

    /// Goes on in another language.
    #[must_use]
    pub fn in_language(mut self, language: &str) -> Self {
        self.current = cbor::text(language);
        self.languages.entry(self.current.clone()).or_default();
        self
    }

    /// Describes the manifest.
    #[must_use]
    pub fn description(self, text: &str) -> Self {
        self.entry(1, text)
    }

    /// Says something about the manifest: 1 describes it, 2 the update, 3 and 4 are the JSON or YAML it was made of.
    #[must_use]
    pub fn entry(mut self, key: i64, text: &str) -> Self {
        let language = self.languages.entry(self.current.clone()).or_default();
        language.entries.insert(cbor::int(key), cbor::text(text));
        self
    }

    /// Says something about a component: 1 its vendor, 2 its model, 3 the vendor's domain, 4 the model's particulars,
    /// 5 what it is, 6 its version.
    #[must_use]
    pub fn component(mut self, id: &[&[u8]], key: i64, text: &str) -> Self {
        let language = self.languages.entry(self.current.clone()).or_default();
        let component = language.components.entry(cbor::path(id)).or_default();
        component.insert(cbor::int(key), cbor::text(text));
        self
    }

    /// The map as CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let languages = self.languages.iter().map(|(name, language)| {
            let components = language.components.iter();
            let components = components.map(|(id, texts)| (id.clone(), cbor::map(texts.clone())));
            let entries = language.entries.clone().into_iter().chain(components);
            (name.clone(), cbor::map(entries))
        });
        cbor::map(languages)
    }
}
