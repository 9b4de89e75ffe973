//! One CDDL file, and what it must accept and refuse.

use iot_core::codec::{Limits, check};
use minicbor::Decoder;
use minicbor::data::Type;

/// The empty map: no format of this project has a place for it.
const MISFIT: u8 = 0xa0;

pub(crate) struct Schema {
    /// Where it lies in the repository.
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! schema {
    ($path:literal) => {
        $crate::cddl::schema::Schema {
            path: $path,
            text: include_str!(concat!("../../../", $path)),
        }
    };
}
pub(crate) use schema;

impl Schema {
    pub(crate) fn accepts(&self, rule: &str, bytes: &[u8]) -> Result<(), String> {
        cddl_cat::validate_cbor_bytes(rule, self.text, bytes).map_err(|error| error.to_string())
    }

    /// The encoding is of that rule, and deterministic, and nothing near it is.
    pub(crate) fn holds(&self, rule: &str, bytes: &[u8]) {
        if let Err(error) = self.accepts(rule, bytes) {
            panic!("{} refuses {} as {rule}: {error}", self.path, hex(bytes));
        }
        assert_eq!(
            check(bytes, Limits::new(1 << 22, 8, 1_024)),
            Ok(()),
            "{}",
            hex(bytes)
        );
        let faults = faults(bytes);
        assert!(faults.len() >= 4, "{} has nothing to spoil", hex(bytes));
        for fault in faults {
            let accepted = self.accepts(rule, &fault);
            assert!(
                accepted.is_err(),
                "{} accepts {} as {rule}",
                self.path,
                hex(&fault)
            );
        }
    }
}

impl Schema {
    /// The same for an encoding with places for anything: of the spoiled ones, exactly so many are accepted.
    pub(crate) fn holds_with_free(&self, rule: &str, bytes: &[u8], places: usize) {
        if let Err(error) = self.accepts(rule, bytes) {
            panic!("{} refuses {} as {rule}: {error}", self.path, hex(bytes));
        }
        assert_eq!(
            check(bytes, Limits::new(1 << 17, 8, 1_024)),
            Ok(()),
            "{}",
            hex(bytes)
        );
        let faults = faults(bytes);
        let accepted = faults
            .iter()
            .filter(|fault| self.accepts(rule, fault).is_ok());
        assert_eq!(
            accepted.count(),
            places,
            "{} of {}",
            faults.len(),
            hex(bytes)
        );
        assert!(
            faults.len() >= places + 4,
            "{} has nothing to spoil",
            hex(bytes)
        );
    }
}

impl Schema {
    /// The encoding is a message of that rule, whose second item says of which kind, and no other kind will do.
    pub(crate) fn holds_message(&self, rule: &str, bytes: &[u8]) {
        self.holds(rule, bytes);
        for kind in (0..24).filter(|kind| *kind != bytes[2]) {
            let mut other = bytes.to_vec();
            other[2] = kind;
            let accepted = self.accepts(rule, &other);
            assert!(
                accepted.is_err(),
                "{} accepts {} as {rule}",
                self.path,
                hex(&other)
            );
        }
    }
}

/// What can be shown of an encoding.
fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(64).map(|byte| format!("{byte:02x}"));
    shown.collect::<String>() + if bytes.len() > 64 { "…" } else { "" }
}

/// Encodings that differ in one place: another version, an item too many or too few, or an item of a kind
/// that does not belong there.
fn faults(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut faults = Vec::new();
    let mut decoder = Decoder::new(bytes);
    let items = decoder.array().unwrap().unwrap();
    assert!(
        (2..23).contains(&items),
        "{} is no record of ours",
        hex(bytes)
    );
    // The version is a small number, the first item of all.
    let mut other_version = bytes.to_vec();
    other_version[1] += 1;
    faults.push(other_version);
    let mut longer = [bytes, &[MISFIT]].concat();
    longer[0] += 1;
    faults.push(longer);
    for item in 0..items {
        let start = decoder.position();
        decoder.skip().unwrap();
        if item == items - 1 {
            let mut shorter = bytes[..start].to_vec();
            shorter[0] -= 1;
            faults.push(shorter);
        }
    }
    misfits(bytes, &mut Decoder::new(bytes), &mut faults);
    faults
}

/// Puts the misfit in the place of each item inside the array at the decoder's position, at every depth.
fn misfits(bytes: &[u8], decoder: &mut Decoder<'_>, faults: &mut Vec<Vec<u8>>) {
    let items = decoder.array().unwrap().unwrap();
    let mut free = false;
    for item in 0..items {
        let start = decoder.position();
        let kind = decoder.datatype().unwrap();
        let mut inner = decoder.clone();
        decoder.skip().unwrap();
        // A command is a name and fields of any kind; no other array begins with a text.
        if !free {
            faults.push([&bytes[..start], &[MISFIT], &bytes[decoder.position()..]].concat());
            if kind == Type::Array {
                misfits(bytes, &mut inner, faults);
            }
        }
        free |= item == 0 && kind == Type::String;
    }
}

#[test]
fn a_schema_that_accepts_everything_is_noticed() {
    let lax = Schema {
        path: "lax",
        text: "thing = [any, any]",
    };
    assert_eq!(lax.accepts("thing", &[0x82, 0x01, 0x02]), Ok(()));
    let noticed = std::panic::catch_unwind(|| lax.holds("thing", &[0x82, 0x01, 0x02]));
    assert!(noticed.is_err());
    let strict = Schema {
        path: "strict",
        text: "thing = [version: 1, uint]",
    };
    strict.holds("thing", &[0x82, 0x01, 0x02]);
}
