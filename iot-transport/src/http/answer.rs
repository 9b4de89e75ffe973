//! What a server's answer to a range says.

use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue};

use super::error::HttpError;

/// So many bytes of the image follow, and this is what is known of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: usize,
    pub(super) tag: Option<HeaderValue>,
    pub(super) size: Option<u64>,
}

impl Answer {
    /// Reads the head of the answer to a range from `offset` on.
    pub(super) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        offset: u32,
        (tag, size): (Option<&HeaderValue>, Option<u64>),
    ) -> Result<Self, HttpError> {
        let new_tag = headers.get(ETAG).filter(|tag| is_strong(tag)).cloned();
        match status {
            StatusCode::PARTIAL_CONTENT => {}
            // Nothing is there.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Ok(Self {
                    bytes: 0,
                    tag: None,
                    size: None,
                });
            }
            // With If-Range, all of the new image is how a change is told.
            StatusCode::OK if tag.is_some() && tag != new_tag.as_ref() => {
                return Err(HttpError::Changed);
            }
            StatusCode::OK => return Err(HttpError::NoRanges),
            status => {
                let code = status.as_u16();
                return Err(HttpError::Status { code });
            }
        }
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(HttpError::Answer);
        }
        let range = headers.get(CONTENT_RANGE).and_then(range);
        let (first, last, new_size) = range.ok_or(HttpError::Answer)?;
        let differs = |old: u64| new_size.is_some_and(|new| new != old);
        if size.is_some_and(differs)
            || tag.is_some() && new_tag.is_some() && tag != new_tag.as_ref()
        {
            return Err(HttpError::Changed);
        }
        let bytes = last.checked_sub(first).and_then(|more| more.checked_add(1));
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        match bytes {
            Some(bytes) if first == u64::from(offset) => Ok(Self {
                bytes,
                tag: new_tag,
                size: new_size,
            }),
            _ => Err(HttpError::Answer),
        }
    }
}

/// A weak tag (RFC 9110 §8.8.3) does not promise the same bytes.
fn is_strong(tag: &HeaderValue) -> bool {
    tag.as_bytes().first() == Some(&b'"')
}

/// `bytes 0-499/1234` (RFC 9110 §14.4): the first byte, the last, and the size unless it is `*`.
fn range(value: &HeaderValue) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = value
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let size = match size {
        "*" => None,
        size => Some(number(size)?),
    };
    (first <= last && size.is_none_or(|size| last < size)).then_some((first, last, size))
}

/// Digits alone: Rust's numbers may have a sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written_and_nothing_else_is_one() {
        let read = |text: &'static str| range(&HeaderValue::from_static(text));
        assert_eq!(read("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(read("bytes 0-0/*"), Some((0, 0, None)));
        for bad in [
            "bytes 5-9/9",
            "bytes 9-5/10",
            "bytes */10",
            "bytes +5-9/10",
            "bytes 5-9",
            "bytes -9/10",
            "bytes 5-/10",
            "lines 5-9/10",
            "bytes 5-99999999999999999999/*",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
