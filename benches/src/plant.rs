//! The typed twin whose cost is counted and measured.

use iot_twin::Twin;

macro_rules! group {
    ($name:ident: $($leaf:ident)+) => {
        #[derive(Debug, Twin)]
        struct $name {$(
            #[twin(desired, range = -1e6..=1e6)]
            $leaf: f32,
        )+}
    };
}
group!(Group: leaf0 leaf1 leaf2 leaf3 leaf4 leaf5 leaf6 leaf7 leaf8 leaf9 leaf10 leaf11);

/// 108 numbers in nine groups, each with a range, all of them for the service to desire.
#[derive(Debug, Twin)]
pub struct Plant {
    #[twin(group, id = 0)]
    group0: Group,
    #[twin(group, id = 16)]
    group1: Group,
    #[twin(group, id = 32)]
    group2: Group,
    #[twin(group, id = 48)]
    group3: Group,
    #[twin(group, id = 64)]
    group4: Group,
    #[twin(group, id = 80)]
    group5: Group,
    #[twin(group, id = 96)]
    group6: Group,
    #[twin(group, id = 112)]
    group7: Group,
    #[twin(group, id = 128)]
    group8: Group,
}

/// A message of a service that changes ten leaves of a [`Plant`], again and again.
#[derive(Debug)]
pub struct Delta {
    bytes: Vec<u8>,
    /// Where the numbers stand that each repetition counts up.
    numbers: Vec<usize>,
    base: u32,
    last: u32,
}

impl Delta {
    /// Ten leaves in eight groups.
    #[must_use]
    pub fn new() -> Self {
        let mut delta = Self {
            bytes: b"\x88\x01\x00\x01".to_vec(),
            numbers: Vec::new(),
            base: 0,
            // From here on every number has four bytes.
            last: 1_000_000,
        };
        delta.number();
        delta.number();
        delta.bytes.extend(b"\x00\xf4\x8a");
        for leaf in 0..10_u8 {
            delta
                .bytes
                .extend([0x83, 0x18, 16 * (1 + leaf % 8) + 8 + leaf / 8]);
            delta.number();
            delta.bytes.push(0xfa);
            delta.bytes.extend((f32::from(leaf) + 0.5).to_be_bytes());
        }
        delta
    }

    /// The number of the newest leaf.
    #[must_use]
    pub const fn last(&self) -> u32 {
        self.last
    }

    fn number(&mut self) {
        self.bytes.push(0x1a);
        self.numbers.push(self.bytes.len());
        self.bytes.extend([0; 4]);
    }

    /// The same change again, under the numbers that follow.
    pub fn again(&mut self) -> &[u8] {
        let before = self.last;
        self.last += 10;
        let numbers = [self.base, self.last].into_iter();
        let numbers = numbers.chain(before + 1..=self.last);
        self.base = self.last;
        for (at, number) in self.numbers.iter().zip(numbers) {
            if let Some(place) = self.bytes.get_mut(*at..at + 4) {
                place.copy_from_slice(&number.to_be_bytes());
            }
        }
        &self.bytes
    }
}

impl Default for Delta {
    fn default() -> Self {
        Self::new()
    }
}
