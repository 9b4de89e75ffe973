//! A command of any class.

use iot_core::command::{Class, Command};
use minicbor::{Decoder, Encoder, decode, encode};

const CLASSES: [Class; 4] = [
    Class::Opaque,
    Class::Idempotent,
    Class::Probed,
    Class::Transactional,
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) class: Class,
    pub(crate) lane: u8,
}

impl Command for Job {
    const NAMES: &'static [&'static str] = &["j"];

    fn class(&self) -> Class {
        self.class
    }
    fn lane(&self) -> u8 {
        self.lane
    }
    fn name(&self) -> &'static str {
        "j"
    }
}

impl<C> minicbor::Encode<C> for Job {
    fn encode<W: encode::Write>(
        &self,
        out: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let class = CLASSES.iter().position(|class| *class == self.class);
        let class = class.map_or(u8::MAX, |class| class as u8);
        out.array(3)?.str("j")?.u8(class)?.u8(self.lane)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Job {
    fn decode(bytes: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        bytes.array()?;
        bytes.str()?;
        let class = CLASSES.get(usize::from(bytes.u8()?)).copied();
        let class = class.ok_or_else(|| decode::Error::message("no such class"))?;
        let lane = bytes.u8()?;
        Ok(Self { class, lane })
    }
}
