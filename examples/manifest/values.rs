//! Small values, from text and to text.

use uuid::Uuid;

use crate::problem::Problem;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal digits; `None` when they are none, or an odd number.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut digits = text.chars();
    let mut bytes = Vec::new();
    while let Some(high) = digits.next() {
        let (high, low) = (high.to_digit(16)?, digits.next()?.to_digit(16)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(bytes)
}

/// A key id as people write it: text, or digits behind `0x`, as [`segment`] shows it.
pub(crate) fn key_id_of(element: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(text.as_bytes().to_vec());
    };
    from_hex(digits).ok_or_else(|| {
        let cause = format!("'{text}' has not two hexadecimal digits a byte");
        let remedy = "write digits in pairs, such as 0x14d1, as manifest key show does";
        Problem::new(element, cause, remedy)
    })
}

/// A UUID as it stands, or the one that a name leads to (§8.4.8.1): by domain for a vendor, below the vendor's for a
/// class.
pub(crate) fn uuid(
    element: &str,
    text: &str,
    below: Option<[u8; 16]>,
) -> Result<[u8; 16], Problem> {
    if let Ok(uuid) = Uuid::try_parse(text) {
        return Ok(uuid.into_bytes());
    }
    let domain = text.contains('.') && !text.contains(char::is_whitespace);
    let space = match below {
        Some(vendor) => Uuid::from_bytes(vendor),
        None if domain => Uuid::NAMESPACE_DNS,
        None => {
            let cause = format!("'{text}' is neither a UUID nor a domain");
            let remedy = "write the vendor's domain, such as \"vendor.example\", or its UUID";
            return Err(Problem::new(element, cause, remedy));
        }
    };
    Ok(Uuid::new_v5(&space, text.as_bytes()).into_bytes())
}

pub(crate) fn show_uuid(bytes: &[u8]) -> String {
    Uuid::from_slice(bytes).map_or_else(|_| hex(bytes), |uuid| uuid.to_string())
}

/// A segment of a path, as text where it is some.
pub(crate) fn segment(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        // Text that looks like digits would read as other bytes.
        Ok(text) if is_plain(text) && !text.starts_with("0x") => text.into(),
        _ => format!("0x{}", hex(bytes)),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

/// Text of somebody that nobody has verified, on one line: what moves the cursor, changes colours or turns the direction
/// of writing is shown as its number.
pub(crate) fn shown(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let hidden = matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        match c {
            '\n' => line.push_str("\\n"),
            '\\' => line.push_str("\\\\"),
            _ if c.is_control() || hidden => line.extend(c.escape_unicode()),
            _ => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_the_identifiers_of_the_drafts_examples() {
        let vendor = uuid("vendor", "arm.com", None).ok();
        let shown = vendor.map(|vendor| show_uuid(&vendor));
        assert_eq!(
            shown.as_deref(),
            Some("fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe")
        );
        let class = uuid("class", "suit", vendor).ok();
        let shown = class.map(|class| show_uuid(&class));
        assert_eq!(
            shown.as_deref(),
            Some("1492af14-2569-5e48-bf42-9b2d51f2ab45")
        );
        assert_eq!(
            uuid("class", &shown.unwrap_or_default(), vendor).ok(),
            class
        );
        assert!(uuid("vendor", "somebody", None).is_err(), "no domain");
    }

    #[test]
    fn what_is_shown_stays_on_its_line_and_in_its_colour() {
        let text = "a\nnot signed\u{1b}[31m\r\u{9b}2J\u{202e}\\n\u{7f}é";
        let line = r"a\nnot signed\u{1b}[31m\u{d}\u{9b}2J\u{202e}\\n\u{7f}é";
        assert_eq!(shown(text), line);
    }

    #[test]
    fn digits_are_read_as_they_are_shown() {
        assert_eq!(from_hex(&hex(&[0, 0x7f, 0xff])), Some(vec![0, 0x7f, 0xff]));
        assert_eq!((from_hex("abc"), from_hex("0x00")), (None, None));
        assert_eq!(
            (segment(b"app"), segment(&[0])),
            ("app".into(), "0x00".into())
        );
        for id in [&b"app"[..], &[0], b"0x00", b"0x", b"a b", &[]] {
            assert_eq!(key_id_of("id", &segment(id)).ok().as_deref(), Some(id));
        }
        assert!(key_id_of("id", "0x1").is_err());
    }
}
