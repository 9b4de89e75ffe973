//! Manifests at random: most of what is in them has the right form, and nothing in them makes sense.
#![allow(dead_code, reason = "each test file uses a part")]

use crate::forge::{array, cbor, int, map, sequence, text, truth, uint, wrapped};

/// Numbers that look random, and are the same for each seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

/// Changes a few bytes, or cuts, repeats or inserts some.
pub(crate) fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1) as u64) as usize;
        match random.below(8) {
            _ if bytes.is_empty() => bytes.push(random.next() as u8),
            0 => bytes[at] = random.next() as u8,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, random.next() as u8),
            3 => {
                let part = bytes[at..].to_vec();
                bytes.extend(part.into_iter().take(12));
            }
            // Small numbers are codes, indices and lengths.
            4 => bytes[at] = random.below(40) as u8,
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
}

/// A manifest for components out of a, b and c, and whether all its commands are to be recorded.
pub(crate) fn manifest(random: &mut Random) -> (Vec<u8>, bool) {
    let path = |name: &[u8]| array(&[wrapped(name)]);
    let mut names: Vec<&[u8]> = vec![b"a", b"b", b"c"];
    names.truncate(1 + random.below(3) as usize);
    if random.one_in(20) {
        names.push(b"d");
    }
    if random.one_in(50) {
        names.push(b"nowhere");
    }
    let count = names.len() as u64;
    let components: Vec<_> = names.into_iter().map(path).collect();
    let mut common = vec![(2, array(&components))];
    let depends = random.one_in(3);
    if depends {
        let index = random.of(&[count, count, count, 0, 300]);
        common.push((1, map(&[(index as i64, map(&[(1, path(b"a"))]))])));
    }
    // Some authors record everything: only their reports can be told from false ones.
    let policy = random.of(&[15, 3, 0, 1, 2]);
    let mut scope = Scope {
        indices: count + u64::from(depends),
        policy,
        is_strange: false,
    };
    if random.one_in(2) {
        let shared = scope.sequence(random, 1);
        common.push((4, wrapped(&shared)));
    }
    let mut parts = vec![
        (1, uint(if random.one_in(60) { 2 } else { 1 })),
        (2, uint(random.below(9))),
        (3, wrapped(&map(&common))),
    ];
    for key in [7, 8, 9, 15, 16, 18, 20, 24] {
        if random.one_in(3) {
            let commands = scope.sequence(random, 0);
            parts.push((key, wrapped(&commands)));
        }
    }
    if random.one_in(30) {
        parts.push((random.of(&[4, 5, 6, 14, 23, -256, 10, 99]), item(random, 2)));
    }
    (map(&parts), policy & 3 == 3 && !scope.is_strange)
}

struct Scope {
    indices: u64,
    policy: u64,
    // Something in it is of any form.
    is_strange: bool,
}

impl Scope {
    fn sequence(&mut self, random: &mut Random, depth: u64) -> Vec<u8> {
        let mut commands = Vec::new();
        if depth == 0 && !random.one_in(10) || random.one_in(3) {
            commands.push((12, self.index(random)));
            commands.push((20, self.parameters(random)));
        }
        for _ in 0..random.below(8) {
            const CODES: [i64; 44] = [
                1, 1, 2, 2, 3, 3, 3, 4, 5, 6, 6, 12, 12, 15, 15, 15, 18, 18, 19, 20, 20, 21, 21,
                22, 22, 23, 23, 25, 25, 26, 27, 29, 31, 31, 32, 32, 32, 32, 33, 33, 34, 35, 12, 12,
            ];
            // What rarely holds.
            const STERN: [i64; 6] = [7, 8, 11, 14, 24, 11];
            let strange = [0, 9, 10, 13, 16, 28, 33, 36, 63, 64, -256];
            let code = if random.one_in(80) {
                random.of(&strange)
            } else if random.one_in(8) {
                random.of(&STERN)
            } else {
                random.of(&CODES)
            };
            commands.push((code, self.argument(random, code, depth)));
        }
        if random.one_in(100) {
            self.is_strange = true;
            return item(random, 3);
        }
        sequence(&commands)
    }

    fn argument(&mut self, random: &mut Random, code: i64, depth: u64) -> Vec<u8> {
        if random.one_in(150) {
            self.is_strange = true;
            return item(random, 2);
        }
        match code {
            12 => self.index(random),
            15 if depth < 9 => {
                let mut branches = Vec::new();
                for _ in 0..2 + random.below(2) {
                    branches.push(wrapped(&self.sequence(random, depth + 3)));
                }
                if random.one_in(4) {
                    branches.push(cbor(|w| w.null()?.ok()));
                }
                array(&branches)
            }
            32 => {
                if depth < 9 {
                    wrapped(&self.sequence(random, depth + 2))
                } else {
                    wrapped(&sequence(&[]))
                }
            }
            15 => array(&[wrapped(&sequence(&[])), wrapped(&sequence(&[]))]),
            19 | 20 => self.parameters(random),
            34 => map(&[(random.below(self.indices) as i64, self.parameters(random))]),
            35 => {
                let codes = [uint(random.of(&[3, 14, 21, 22])), uint(3)];
                map(&[(
                    random.below(self.indices) as i64,
                    array(&codes[..1 + random.below(2) as usize]),
                )])
            }
            _ => uint(if random.one_in(60) { 16 } else { self.policy }),
        }
    }

    fn index(&mut self, random: &mut Random) -> Vec<u8> {
        match random.below(8) {
            0 | 1 => truth(true),
            2 => {
                let some = [uint(0), uint(random.below(self.indices)), uint(0)];
                array(&some[..random.below(4) as usize])
            }
            3 if random.one_in(20) => uint(random.of(&[7, 255, 256, 70_000])),
            _ => uint(random.below(self.indices)),
        }
    }

    fn parameters(&mut self, random: &mut Random) -> Vec<u8> {
        let mut entries: Vec<(i64, Vec<u8>)> = Vec::new();
        for code in [
            1, 2, 3, 4, 5, 12, 13, 14, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
        ] {
            let is_common = matches!(code, 1 | 2 | 3 | 14 | 18 | 21 | 22 | 26 | 27 | 29);
            if random.one_in(8) == is_common {
                continue;
            }
            let value = match code {
                _ if random.one_in(200) => item(random, 2),
                1 | 24 => wrapped(&[1; 16]),
                2 => wrapped(&[if random.one_in(8) { 1 } else { 2 }; 16]),
                3 => wrapped(&[&[0x82, 0x2f, 0x58, 32][..], &[0; 32]].concat()),
                4 | 5 | 14 | 26 => uint(random.next()),
                12 => truth(random.one_in(2)),
                // Where it may not stand, the process ends.
                13 if random.one_in(3) => truth(random.one_in(2)),
                13 => continue,
                21 => text(random.of(&["iot:x", "#here", "", "http://example.com/a"])),
                22 => uint(random.below(self.indices)),
                27 => int(random.next() as i64 >> 20),
                28 => wrapped(&array(&[
                    uint(1 + random.below(6)),
                    array(&[uint(1), int(-(random.below(9) as i64))]),
                ])),
                _ => wrapped(b"bytes"),
            };
            entries.push((code, value));
        }
        map(&entries)
    }
}

/// Any item at all.
fn item(random: &mut Random, depth: u64) -> Vec<u8> {
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => uint(random.below(40)),
        1 => int(-(random.below(300) as i64)),
        2 => wrapped(&random.next().to_be_bytes()[..random.below(9) as usize]),
        3 => text(random.of(&["", "en", "#x"])),
        4 => truth(random.one_in(2)),
        5 => cbor(|w| w.null()?.ok()),
        6 => {
            let mut items = Vec::new();
            for _ in 0..random.below(4) {
                items.push(item(random, depth - 1));
            }
            array(&items)
        }
        7 => map(&[(random.below(30) as i64, item(random, depth - 1))]),
        _ => wrapped(&item(random, depth - 1)),
    }
}
