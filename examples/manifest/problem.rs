//! What went wrong: which element, why, and what helps.

use core::fmt;

/// An error for people: it names the element and the remedy.
#[derive(Debug)]
pub(crate) struct Problem {
    element: String,
    cause: String,
    remedy: String,
}

impl Problem {
    pub(crate) fn new(
        element: impl fmt::Display,
        cause: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> Self {
        Self {
            element: element.to_string(),
            cause: cause.to_string(),
            remedy: remedy.to_string(),
        }
    }

    /// What went wrong, without the element and the remedy.
    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }
}

/// Says what may go wrong, and goes on.
pub(crate) fn warn(
    element: impl fmt::Display,
    cause: impl fmt::Display,
    remedy: impl fmt::Display,
) {
    eprintln!("warning: {element}: {cause}\nremedy: {remedy}");
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            element,
            cause,
            remedy,
        } = self;
        write!(f, "error: {element}: {cause}\nremedy: {remedy}")
    }
}
