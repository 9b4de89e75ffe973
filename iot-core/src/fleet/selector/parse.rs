//! From a text to a program, by recursive descent.
//!
//! ```text
//! either   = both *("||" both)
//! both     = unary *("&&" unary)
//! unary    = "!" (unary / call) / "(" either ")" / call / comparison        ; no comparison after "!"
//! call     = "has" "(" label ")" / "group" "(" quoted ")" / "all" "(" ")"
//! comparison = label ("==" / "!=") quoted / label "~" prefix / label "in" "(" quoted *("," quoted) ")"
//! ```

use super::MAX_DEPTH;
use super::error::{Expected, SelectorError};
use super::program::{Ask, NO, Program, Span, YES};
use crate::id::{NameError, check_name};

type Parsed<T> = Result<T, SelectorError>;

pub(super) struct Parser<'t, const TESTS: usize, const BYTES: usize> {
    source: &'t str,
    at: usize,
    depth: usize,
    program: Program<TESTS, BYTES>,
}

/// What stands outermost: it decides where parentheses are needed.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Call,
    Comparison,
    Not,
    And,
    Or,
}

impl<'t, const TESTS: usize, const BYTES: usize> Parser<'t, TESTS, BYTES> {
    pub(super) const fn new(source: &'t str) -> Self {
        Self {
            source,
            at: 0,
            depth: 0,
            program: Program::new(),
        }
    }

    pub(super) fn whole(mut self) -> Parsed<Program<TESTS, BYTES>> {
        if self.source.len() > BYTES {
            // Not in the middle of a character: who shows the mistake may cut the text there.
            let mut before = (0..=BYTES).rev();
            self.at = before
                .find(|&at| self.source.is_char_boundary(at))
                .unwrap_or(0);
            return self.fits(|_| None);
        }
        self.either()?;
        self.skip_space();
        match self.rest() {
            "" => Ok(self.program),
            _ => Err(self.expected(Expected::Joint)),
        }
    }

    fn either(&mut self) -> Parsed<Shape> {
        let first = self.program.end();
        let mut shape = self.both()?;
        while self.eat("||") {
            self.write(" || ")?;
            self.program.go_on(first.test, NO);
            self.both()?;
            shape = Shape::Or;
        }
        Ok(shape)
    }

    fn both(&mut self) -> Parsed<Shape> {
        let first = self.program.end();
        let mut shape = self.unary(false)?;
        while self.eat("&&") {
            if shape == Shape::Or {
                self.fits(|program| program.wrap(first))?;
            }
            self.write(" && ")?;
            self.program.go_on(first.test, YES);
            let next = self.program.end();
            if self.unary(false)? == Shape::Or {
                self.fits(|program| program.wrap(next))?;
            }
            shape = Shape::And;
        }
        Ok(shape)
    }

    fn unary(&mut self, negated: bool) -> Parsed<Shape> {
        self.skip_space();
        if self.rest().starts_with(['!', '(']) {
            if self.depth == MAX_DEPTH {
                return Err(SelectorError::TooDeep { position: self.at });
            }
            self.depth += 1;
            let shape = match self.eat("!") {
                true => self.negation(),
                false => self.parenthesised(),
            }?;
            self.depth -= 1;
            return Ok(shape);
        }
        let start = self.at;
        let expected = match negated {
            true => Expected::Negatable,
            false => Expected::Condition,
        };
        let name = self.name(expected)?;
        if matches!(name, "has" | "group" | "all") && self.eat("(") {
            return self.call(start, name);
        }
        // Without parentheses it would read as if `!` belonged to the label.
        if negated {
            self.at = start;
            return Err(self.expected(expected));
        }
        self.comparison(start, name)
    }

    fn negation(&mut self) -> Parsed<Shape> {
        let first = self.program.end();
        self.write("!")?;
        let operand = self.program.end();
        let shape = self.unary(true)?;
        if matches!(shape, Shape::Comparison | Shape::And | Shape::Or) {
            self.fits(|program| program.wrap(operand))?;
        }
        self.program.negate(first.test);
        Ok(Shape::Not)
    }

    fn parenthesised(&mut self) -> Parsed<Shape> {
        self.eat("(");
        let shape = self.either()?;
        match self.eat(")") {
            true => Ok(shape),
            false => Err(self.expected(Expected::JointOrClose)),
        }
    }

    /// What stands behind the opening parenthesis of a call.
    fn call(&mut self, start: usize, name: &str) -> Parsed<Shape> {
        self.write(name)?;
        self.write("(")?;
        let (ask, label, value) = match name {
            "has" => {
                self.skip_space();
                let label = self.name(Expected::Label)?;
                (Ask::Has, self.write(label)?, Span::EMPTY)
            }
            "group" => (Ask::Group, Span::EMPTY, self.quoted("")?),
            _ => (Ask::All, Span::EMPTY, Span::EMPTY),
        };
        if !self.eat(")") {
            return Err(self.expected(Expected::Close));
        }
        self.write(")")?;
        self.test(start, ask, label, value)?;
        Ok(Shape::Call)
    }

    fn comparison(&mut self, start: usize, name: &str) -> Parsed<Shape> {
        let label = self.write(name)?;
        let first = self.program.end();
        if self.eat("==") {
            self.write(" == ")?;
            let value = self.quoted("")?;
            self.test(start, Ask::Equal, label, value)?;
        } else if self.eat("!=") {
            self.write(" != ")?;
            let value = self.quoted("")?;
            self.test(start, Ask::Equal, label, value)?;
            self.program.negate(first.test);
        } else if self.eat("~") {
            self.write(" ~ ")?;
            let value = self.quoted("*")?;
            self.test(start, Ask::Begins, label, value)?;
        } else if self.next_name() == "in" {
            self.eat("in");
            self.list(label)?;
        } else {
            return Err(self.expected(Expected::Comparison));
        }
        Ok(Shape::Comparison)
    }

    fn list(&mut self, label: Span) -> Parsed<()> {
        if !self.eat("(") {
            return Err(self.expected(Expected::Open));
        }
        self.write(" in (")?;
        let first = self.program.end();
        loop {
            self.skip_space();
            let start = self.at;
            let value = self.quoted("")?;
            self.test(start, Ask::Equal, label, value)?;
            if !self.eat(",") {
                break;
            }
            self.write(", ")?;
            self.program.go_on(first.test, NO);
        }
        match self.eat(")") {
            true => self.write(")").map(drop),
            false => Err(self.expected(Expected::CommaOrClose)),
        }
    }

    /// A text in quotes that ends in `suffix`, which is not part of the value.
    fn quoted(&mut self, suffix: &str) -> Parsed<Span> {
        if !self.eat("'") {
            return Err(self.expected(Expected::Quoted));
        }
        let start = self.at;
        let Some((text, _)) = self.rest().split_once('\'') else {
            self.at = self.source.len();
            return Err(self.expected(Expected::Quote));
        };
        self.at += text.len();
        let Some(value) = text.strip_suffix(suffix) else {
            return Err(self.expected(Expected::Star));
        };
        checked(value, start)?;
        self.eat("'");
        self.write("'")?;
        let span = self.write(value)?;
        self.write(suffix)?;
        self.write("'")?;
        Ok(span)
    }

    /// A bare name, which must stand here.
    fn name(&mut self, expected: Expected) -> Parsed<&'t str> {
        let name = self.next_name();
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(self.expected(expected));
        }
        checked(name, self.at)?;
        self.at += name.len();
        Ok(name)
    }

    /// What a name is made of, as far as it goes.
    fn next_name(&self) -> &'t str {
        let foreign = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.');
        self.rest().split(foreign).next().unwrap_or("")
    }

    fn test(&mut self, position: usize, ask: Ask, label: Span, value: Span) -> Parsed<()> {
        let limit = TESTS;
        let pushed = self.program.push(ask, label, value);
        pushed.ok_or(SelectorError::TooMany { position, limit })
    }

    fn write(&mut self, text: &str) -> Parsed<Span> {
        self.fits(|program| program.write(text))
    }

    fn fits<T>(
        &mut self,
        change: impl FnOnce(&mut Program<TESTS, BYTES>) -> Option<T>,
    ) -> Parsed<T> {
        change(&mut self.program).ok_or(SelectorError::TooLong {
            position: self.at,
            limit: BYTES,
        })
    }

    /// Takes `token`, with the space in front of it, if it comes next.
    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    fn rest(&self) -> &'t str {
        self.source.get(self.at..).unwrap_or("")
    }

    const fn expected(&self, expected: Expected) -> SelectorError {
        SelectorError::Expected {
            position: self.at,
            expected,
        }
    }
}

/// Holds a name or value to the rule that labels follow.
fn checked(text: &str, start: usize) -> Parsed<()> {
    check_name(text).map_err(|error| match error {
        NameError::Empty => SelectorError::Empty { position: start },
        NameError::TooLong { bytes } => SelectorError::LongName {
            position: start,
            bytes,
        },
        NameError::Character { position } => SelectorError::Character {
            position: start + position,
        },
    })
}
