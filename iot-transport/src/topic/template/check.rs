//! The check of a template, which the compiler can run.

use super::kind::Kind;
use super::{MAX_BYTES, TemplateError, TemplateFault};

type Checked<T> = Result<T, TemplateError>;

/// The last field of the level that is being read.
#[derive(Clone, Copy)]
struct Open {
    kind: Kind,
    /// The byte behind it, once there is one.
    next: Option<u8>,
}

pub(super) const fn check(text: &str) -> Checked<()> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return fault(0, TemplateFault::Empty);
    }
    if bytes.len() > MAX_BYTES {
        return fault(MAX_BYTES, TemplateFault::TooLong);
    }
    let (mut left, mut at) = (bytes, 0);
    let mut open: Option<Open> = None;
    let mut behind_slash = false;
    let mut dollar = matches!(bytes, [b'$', ..]);
    while let Some((&byte, behind)) = left.split_first() {
        let mut next = behind;
        match byte {
            b'{' => {
                let (name, kind, behind) = match field(behind, at + 1) {
                    Ok(field) => field,
                    Err(error) => return Err(error),
                };
                if dollar {
                    return fault(at, TemplateFault::Dollar);
                }
                if !can_follow(open) {
                    return fault(at, TemplateFault::Ambiguous);
                }
                if kind.is(Kind::Rest) && !(behind_slash && behind.is_empty()) {
                    return fault(at, TemplateFault::Rest);
                }
                if named_before(bytes, at, name) {
                    return fault(at, TemplateFault::Twice);
                }
                open = Some(Open { kind, next: None });
                next = behind;
            }
            b'}' => return fault(at, TemplateFault::Brace),
            b'+' | b'#' | 0 => return fault(at, TemplateFault::Character),
            b'/' => (open, dollar) = (None, false),
            _ => {
                if let Some(Open { kind, next: None }) = open {
                    open = Some(Open {
                        kind,
                        next: Some(byte),
                    });
                }
            }
        }
        behind_slash = byte == b'/';
        at += left.len() - next.len();
        left = next;
    }
    Ok(())
}

/// Whether the end of the level's last field can be seen without a look at the next field.
const fn can_follow(open: Option<Open>) -> bool {
    match open {
        None => true,
        Some(Open { next: None, .. }) => false,
        Some(Open {
            kind,
            next: Some(byte),
        }) => !kind.may_hold(byte),
    }
}

/// The name and kind of the field that begins here, behind its brace, and what follows it.
const fn field(bytes: &[u8], at: usize) -> Checked<(&[u8], Kind, &[u8])> {
    let Some((inside, behind)) = split(bytes, b'}') else {
        return fault(at - 1, TemplateFault::Brace);
    };
    let (name, kind) = match split(inside, b':') {
        None => (inside, Some(Kind::Text)),
        Some((name, kind)) => (name, Kind::of(kind)),
    };
    if !is_name(name) {
        return fault(at, TemplateFault::Name);
    }
    match kind {
        Some(kind) => Ok((name, kind, behind)),
        None => fault(at + name.len() + 1, TemplateFault::Kind),
    }
}

/// The name and kind of a field of a checked template, behind its brace, and what follows it.
pub(super) const fn field_at(bytes: &[u8]) -> Option<(&[u8], Kind, &[u8])> {
    match field(bytes, 1) {
        Ok(field) => Some(field),
        Err(_) => None,
    }
}

const fn is_name(name: &[u8]) -> bool {
    let mut left = name;
    while let Some((&byte, behind)) = left.split_first() {
        let first = left.len() == name.len();
        let fits = byte.is_ascii_lowercase() || (!first && (byte == b'_' || byte.is_ascii_digit()));
        if !fits {
            return false;
        }
        left = behind;
    }
    !name.is_empty()
}

/// Whether a field in front of `at` has that name.
const fn named_before(bytes: &[u8], at: usize, name: &[u8]) -> bool {
    let Some((mut left, _)) = bytes.split_at_checked(at) else {
        return false;
    };
    while let Some((_, behind)) = split(left, b'{') {
        let Some((inside, behind)) = split(behind, b'}') else {
            return false;
        };
        let earlier = match split(inside, b':') {
            Some((earlier, _)) => earlier,
            None => inside,
        };
        if same(earlier, name) {
            return true;
        }
        left = behind;
    }
    false
}

/// What is in front of the first `stop` and what is behind it.
const fn split(bytes: &[u8], stop: u8) -> Option<(&[u8], &[u8])> {
    let (mut left, mut at) = (bytes, 0);
    while let Some((&byte, behind)) = left.split_first() {
        if byte == stop {
            return match bytes.split_at_checked(at) {
                Some((front, _)) => Some((front, behind)),
                None => None,
            };
        }
        (left, at) = (behind, at + 1);
    }
    None
}

pub(super) const fn same(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return true,
            (Some((x, rest_a)), Some((y, rest_b))) if *x == *y => (a, b) = (rest_a, rest_b),
            _ => return false,
        }
    }
}

const fn fault<T>(at: usize, fault: TemplateFault) -> Checked<T> {
    Err(TemplateError { at, fault })
}
