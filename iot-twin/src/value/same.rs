//! When two values are one: JSON has one kind of number, so 21 and 21.0 are the same there.

use crate::value::Value;

impl Value {
    /// Whether both are the same value, numbers by what they say and not by how they are kept.
    ///
    /// ```
    /// use iot_twin::value::Value;
    /// assert_ne!(Value::Int(21), Value::Float(21.0));
    /// assert!(Value::Int(21).is_same(&Value::Float(21.0)));
    /// assert!(!Value::Int((1 << 53) + 1).is_same(&Value::Float(9_007_199_254_740_992.0)));
    /// ```
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(whole), Self::Float(float)) | (Self::Float(float), Self::Int(whole)) => {
                is_whole(*float, *whole)
            }
            (Self::Array(one), Self::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.is_same(two))
            }
            (Self::Map(one), Self::Map(two)) => {
                let same =
                    |((a, one), (b, two)): ((_, &Self), (_, &Self))| a == b && one.is_same(two);
                one.len() == two.len() && one.iter().zip(two).all(same)
            }
            _ => self == other,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "the cast is undone and compared, so that what was rounded is not equal"
)]
fn is_whole(float: f64, whole: i128) -> bool {
    whole as f64 == float && float as i128 == whole
}
