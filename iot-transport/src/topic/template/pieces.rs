//! A checked template, cut at its braces.

use super::kind::Kind;

/// A field of a template.
///
/// ```
/// use iot_transport::topic::template::{Kind, Template};
/// let template = Template::new("$iothub/twin/res/{status:u16}/?$rid={rid:name}")?;
/// let field = template.fields().last().unwrap();
/// assert_eq!((field.name, field.kind), ("rid", Kind::Name));
/// # Ok::<(), iot_transport::topic::template::TemplateError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Field<'t> {
    /// How the template names it.
    pub name: &'t str,
    /// What it holds.
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'t> {
    Literal(&'t str),
    Field(Field<'t>),
}

/// Literals and fields, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces<'t> {
    left: &'t str,
}

/// How a field is followed in its level.
pub(super) enum Follows<'t> {
    /// By this literal, to the end of the level.
    Literal(&'t str),
    /// By a literal and another field.
    Field,
}

impl<'t> Pieces<'t> {
    pub(super) const fn new(checked: &'t str) -> Self {
        Self { left: checked }
    }

    /// What follows, as seen from behind a field.
    pub(super) fn follows(&self) -> Follows<'t> {
        let level = self.left.split('/').next().unwrap_or_default();
        if level.contains('{') {
            Follows::Field
        } else {
            Follows::Literal(level)
        }
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        if self.left.is_empty() {
            return None;
        }
        if let Some((inside, left)) = self
            .left
            .strip_prefix('{')
            .and_then(|left| left.split_once('}'))
        {
            self.left = left;
            let (name, kind) = inside.split_once(':').unwrap_or((inside, "text"));
            let kind = Kind::of(kind.as_bytes()).unwrap_or(Kind::Text);
            return Some(Piece::Field(Field { name, kind }));
        }
        let end = self.left.find('{').unwrap_or(self.left.len());
        let (literal, left) = self.left.split_at_checked(end)?;
        self.left = left;
        Some(Piece::Literal(literal))
    }
}
