//! A selector in the form in which it is asked: a list of tests, each saying where to go on.
//!
//! Negation swaps where a test leads, and `&&` and `||` are nothing but destinations, so asking needs
//! neither recursion nor a stack, and each test is made at most once. Every destination lies further on, so
//! it ends.

use super::Member;

/// Where a finished selector leads: past every test.
pub(super) const YES: u8 = u8::MAX;
pub(super) const NO: u8 = u8::MAX - 1;
const MOST_TESTS: usize = 250;

/// A piece of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) len: u8,
}

impl Span {
    pub(super) const EMPTY: Self = Self { start: 0, len: 0 };
}

/// What is asked of a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    All,
    Equal,
    Begins,
    Has,
    Group,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub(super) ask: Ask,
    pub(super) label: Span,
    pub(super) value: Span,
    pub(super) yes: u8,
    pub(super) no: u8,
}

/// A canonical text and the tests it stands for; a place in it is a number of tests and one of bytes.
#[derive(Clone)]
pub(super) struct Program<const TESTS: usize, const BYTES: usize> {
    text: [u8; BYTES],
    len: usize,
    tests: [Test; TESTS],
    count: u8,
}

/// Where a part of the program begins.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) test: u8,
    byte: usize,
}

impl<const TESTS: usize, const BYTES: usize> Program<TESTS, BYTES> {
    pub(super) const fn new() -> Self {
        const {
            assert!(TESTS <= MOST_TESTS, "a selector has at most 250 tests");
            assert!(
                BYTES <= u16::MAX as usize,
                "a selector has at most 65,535 bytes"
            );
        }
        let none = Test {
            ask: Ask::All,
            label: Span::EMPTY,
            value: Span::EMPTY,
            yes: YES,
            no: NO,
        };
        Self {
            text: [0; BYTES],
            len: 0,
            tests: [none; TESTS],
            count: 0,
        }
    }

    pub(super) fn run<M: Member + ?Sized>(&self, member: &M) -> bool {
        let tests = self.tests.get(..usize::from(self.count)).unwrap_or(&[]);
        let mut known = (Span::EMPTY, None);
        let mut at = 0;
        while let Some(test) = tests.get(usize::from(at)) {
            // The values of one `in` share their label: it is looked up once.
            if known.0 != test.label && test.label != Span::EMPTY {
                known = (test.label, member.label(self.piece_str(test.label)));
            }
            let value = self.piece(test.value);
            let holds = match test.ask {
                Ask::All => true,
                Ask::Has => known.1.is_some(),
                Ask::Equal => known.1.is_some_and(|found: &str| found.as_bytes() == value),
                Ask::Begins => known
                    .1
                    .is_some_and(|found| found.as_bytes().starts_with(value)),
                Ask::Group => member.is_in(self.piece_str(test.value)),
            };
            at = if holds { test.yes } else { test.no };
        }
        at == YES
    }

    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(self.text.get(..self.len).unwrap_or(&[])).unwrap_or("")
    }

    pub(super) const fn end(&self) -> Place {
        Place {
            test: self.count,
            byte: self.len,
        }
    }

    /// Appends text and says where it lies; `None` when it does not fit.
    pub(super) fn write(&mut self, text: &str) -> Option<Span> {
        let end = self.len.checked_add(text.len())?;
        let room = self.text.get_mut(self.len..end)?;
        room.copy_from_slice(text.as_bytes());
        let start = u16::try_from(self.len).ok()?;
        self.len = end;
        // Only names and values are looked at again, and they are shorter than that.
        let len = u8::try_from(text.len()).ok()?;
        Some(Span { start, len })
    }

    /// Appends a test that decides; `None` when it does not fit.
    pub(super) fn push(&mut self, ask: Ask, label: Span, value: Span) -> Option<()> {
        let test = Test {
            ask,
            label,
            value,
            yes: YES,
            no: NO,
        };
        *self.tests.get_mut(usize::from(self.count))? = test;
        self.count += 1;
        Some(())
    }

    /// Puts parentheses around all text from `place` on; `None` when they do not fit.
    pub(super) fn wrap(&mut self, place: Place) -> Option<()> {
        self.write("()")?;
        // The text moves one byte on, between the two.
        self.text
            .copy_within(place.byte..self.len - 2, place.byte + 1);
        *self.text.get_mut(place.byte)? = b'(';
        for test in self.since(place.test) {
            for span in [&mut test.label, &mut test.value] {
                if *span != Span::EMPTY {
                    span.start += 1;
                }
            }
        }
        Some(())
    }

    /// Lets the tests from `first` on that would end with `verdict` go on at the end instead.
    pub(super) fn go_on(&mut self, first: u8, verdict: u8) {
        let end = self.count;
        for test in self.since(first) {
            for to in [&mut test.yes, &mut test.no] {
                if *to == verdict {
                    *to = end;
                }
            }
        }
    }

    /// Turns the verdict of the tests from `first` on into its opposite.
    pub(super) fn negate(&mut self, first: u8) {
        for test in self.since(first) {
            for to in [&mut test.yes, &mut test.no] {
                *to = match *to {
                    YES => NO,
                    NO => YES,
                    further => further,
                };
            }
        }
    }

    fn since(&mut self, first: u8) -> &mut [Test] {
        let range = usize::from(first)..usize::from(self.count);
        self.tests.get_mut(range).unwrap_or(&mut [])
    }

    fn piece(&self, span: Span) -> &[u8] {
        let start = usize::from(span.start);
        self.text
            .get(start..start + usize::from(span.len))
            .unwrap_or(&[])
    }

    fn piece_str(&self, span: Span) -> &str {
        core::str::from_utf8(self.piece(span)).unwrap_or("")
    }
}
