//! All 108 leaves of a typed twin, read from their encoding.

use core::error::Error;
use core::hint::black_box;

use iot_benches::plant::Plant;
use iot_benches::{Goal, Ratio};
use iot_twin::leaf::{LeafReader, LeafWriter};
use iot_twin::{Twin, reflect};
use minicbor::{Decode, Encode};

/// The same leaves for minicbor, which keeps each under its number too, so that fields may come and go.
macro_rules! peer {
    ($name:ident: $($number:literal $field:ident: $kind:ty,)+) => {
        #[derive(Decode, Default, Encode)]
        #[cbor(map)]
        struct $name {$(
            #[n($number)]
            $field: $kind,
        )+}
    };
}
peer!(Group: 0 leaf0: f32, 1 leaf1: f32, 2 leaf2: f32, 3 leaf3: f32, 4 leaf4: f32, 5 leaf5: f32, 6 leaf6: f32,
    7 leaf7: f32, 8 leaf8: f32, 9 leaf9: f32, 10 leaf10: f32, 11 leaf11: f32,);
peer!(Peer: 0 group0: Group, 1 group1: Group, 2 group2: Group, 3 group3: Group, 4 group4: Group, 5 group5: Group,
    6 group6: Group, 7 group7: Group, 8 group8: Group,);

/// Each value is held against its range here, and only against its type there.
pub(crate) fn twin_decode() -> Result<Ratio, Box<dyn Error>> {
    let mut buffer = [0; 1_024];
    let mut out = LeafWriter::new(&mut buffer);
    reflect::write(&Plant::INITIAL, &mut out);
    let ours = out.finish().ok_or("the twin does not fit")?;
    let peer = minicbor::to_vec(Peer::default())?;
    let mut plant = Plant::INITIAL;
    reflect::read(&mut plant, &mut LeafReader::new(ours))?;
    Ok(Ratio::of_times(
        "twin_decode",
        Goal::AtMost(1.0),
        || reflect::read(&mut plant, &mut LeafReader::new(black_box(ours))),
        || minicbor::decode::<Peer>(black_box(&peer)),
    ))
}
