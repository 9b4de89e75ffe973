//! Where an image is.

use super::number::{URI_HOST, URI_PATH, URI_QUERY};
use super::write::Writer;

/// The longest host, segment of a path, or part of a query, in bytes (RFC 7252 §5.10).
const MAX_VALUE_BYTES: usize = 255;

/// What was given is no absolute URL of an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("it is no URL such as coap://images.example/boiler/7.bin")]
#[non_exhaustive]
pub struct BadTarget;

/// The URL of an image, of the scheme `coap` or `coaps` (RFC 7252 §6); it stays where it is.
///
/// The host and each segment of the path and of the query become an option of every request. A host that is an IP
/// address is the one that datagrams go to, and is not sent; neither is a port, which is the datagrams' business too.
///
/// ```
/// use iot_transport::coap::Target;
///
/// const IMAGE: &str = "coap://images.example/boiler/7.bin?slot=b";
/// assert!(Target::new(IMAGE).is_ok());
/// assert!(Target::new("http://images.example/boiler/7.bin").is_err());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Target<'s> {
    host: Option<&'s str>,
    path: Option<&'s str>,
    query: Option<&'s str>,
}

impl<'s> Target<'s> {
    /// The image at `url`.
    ///
    /// # Errors
    ///
    /// [`BadTarget`] when it is no absolute URL of these schemes, has a fragment or a user in it, characters that a URL
    /// writes with `%`, or a part of more than 255 bytes.
    pub fn new(url: &'s str) -> Result<Self, BadTarget> {
        let rest = (url.strip_prefix("coap://")).or_else(|| url.strip_prefix("coaps://"));
        let rest = rest.ok_or(BadTarget)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !br#""<>\^`{|}#"#.contains(&byte);
        if !url.bytes().all(is_plain) || authority.contains('@') {
            return Err(BadTarget);
        }
        let target = Self {
            host: host(authority)?,
            // "coap://host" and "coap://host/" are the same (RFC 7252 §6.3).
            path: path.filter(|path| !path.is_empty()),
            query,
        };
        let hosts = target.host.into_iter();
        let mut values = hosts.chain(target.segments()).chain(target.parts());
        match values.all(|value| is_encoded(value) && decoded(value).count() <= MAX_VALUE_BYTES) {
            true => Ok(target),
            false => Err(BadTarget),
        }
    }

    /// Writes the options that name it, up to those of the path, and then of the query.
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        if let Some(host) = self.host {
            out.option(
                URI_HOST,
                decoded(host).map(|byte| byte.to_ascii_lowercase()),
            );
        }
        for segment in self.segments() {
            out.option(URI_PATH, decoded(segment));
        }
        for part in self.parts() {
            out.option(URI_QUERY, decoded(part));
        }
    }

    fn segments(&self) -> impl Iterator<Item = &'s str> {
        self.path.into_iter().flat_map(|path| path.split('/'))
    }

    fn parts(&self) -> impl Iterator<Item = &'s str> {
        self.query.into_iter().flat_map(|query| query.split('&'))
    }
}

/// The host of an authority, unless it is an address.
fn host(authority: &str) -> Result<Option<&str>, BadTarget> {
    if let Some(literal) = authority.strip_prefix('[') {
        let (address, port) = literal.split_once(']').ok_or(BadTarget)?;
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
        let is_fine = !address.is_empty() && address.bytes().all(is_address);
        return match is_fine && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            true => Ok(None),
            false => Err(BadTarget),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port),
        None => (authority, ""),
    };
    if host.is_empty() || !is_port(port) {
        return Err(BadTarget);
    }
    let is_address = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    Ok(Some(host).filter(|host| !host.bytes().all(is_address)))
}

fn is_port(port: &str) -> bool {
    port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether each `%` has its two digits.
fn is_encoded(text: &str) -> bool {
    let mut pieces = text.split('%');
    pieces.next();
    pieces.all(|piece| {
        let digits = piece.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The bytes of what is written with `%` (RFC 7252 §6.4).
fn decoded(text: &str) -> impl Iterator<Item = u8> + Clone {
    let mut bytes = text.bytes();
    core::iter::from_fn(move || match bytes.next()? {
        b'%' => Some(digit(bytes.next()?) << 4 | digit(bytes.next()?)),
        byte => Some(byte),
    })
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20).wrapping_sub(b'a' - 10) & 0xf,
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::super::message::{Kind, Message};
    use super::*;
    use alloc::vec::Vec;

    fn options(url: &str) -> Vec<(u16, Vec<u8>)> {
        let mut buffer = [0; 600];
        let mut out = Writer::new(&mut buffer, Kind::Confirmable, Code::GET, 1, &[]);
        Target::new(url).unwrap().write(&mut out);
        let message = Message::decode(out.finish().unwrap()).unwrap();
        let owned = |(number, value): (u16, &[u8])| (number, value.to_vec());
        message.options.map(owned).collect()
    }

    #[test]
    fn a_url_becomes_the_options_that_the_standard_says() {
        let option = |number, value: &str| (number, value.as_bytes().to_vec());
        // The examples of RFC 7252 §6.3 are one; "%7E" is "~".
        let all = [
            "coap://example.com:5683/~sensors/temp.xml",
            "coap://EXAMPLE.com/%7Esensors/temp.xml",
            "coap://EXAMPLE.com:/%7esensors/temp.xml",
        ];
        for url in all {
            let path = [option(11, "~sensors"), option(11, "temp.xml")];
            assert_eq!(
                options(url),
                [&[option(3, "example.com")], &path[..]].concat()
            );
        }
        // Of RFC 7252, appendix B.
        let tree = "coap://[2001:db8::2:1]/";
        assert_eq!(options(tree), []);
        let odd = "coap://198.51.100.1:61616//%2F//?%2F%2F&?%26";
        let path = [
            option(11, ""),
            option(11, "/"),
            option(11, ""),
            option(11, ""),
        ];
        let query = [option(15, "//"), option(15, "?&")];
        assert_eq!(options(odd), [&path[..], &query].concat());
        let words = "coaps://xn--18j4d.example/%E3%81%93?q=a/b";
        let words_are = [
            option(3, "xn--18j4d.example"),
            option(11, "こ"),
            option(15, "q=a/b"),
        ];
        assert_eq!(options(words), words_are);
        let long = alloc::format!("coap://h/{}", "x".repeat(255));
        assert_eq!(options(&long)[1].1.len(), 255);
    }

    #[test]
    fn what_is_no_url_of_an_image_is_refused() {
        let long = alloc::format!("coap://h/{}", "x".repeat(256));
        let bad = [
            "",
            "coap://",
            "coap:///7.bin",
            "coap://:5683/7.bin",
            "/7.bin",
            "http://h/7.bin",
            "coap://me@h/7.bin",
            "coap://h/7.bin#top",
            "coap://h/a b",
            "coap://h/%4",
            "coap://h/%g0",
            "coap://h:1x/7.bin",
            "coap://h:123456/7.bin",
            "coap://[::1/7.bin",
            "coap://[]/7.bin",
            "coap://[::1]x/7.bin",
            "coap://h/\u{e9}",
            &long,
        ];
        for url in bad {
            assert_eq!(Target::new(url), Err(BadTarget), "{url}");
        }
    }
}
