use alloc::string::{String, ToString};

use iot_core::Channel;
use iot_core::authz::Direction;

use super::*;

mod laws;
mod peers;

use peers::both_ways;

#[test]
fn a_template_with_a_fault_says_where_and_what_helps() {
    use TemplateFault::*;
    for (text, at, fault) in [
        ("", 0, Empty),
        ("a/+/b", 2, Character),
        ("a/#", 2, Character),
        ("a\0", 1, Character),
        ("a/{b", 2, Brace),
        ("a/b}", 3, Brace),
        ("a/{}", 3, Name),
        ("a/{B}", 3, Name),
        ("a/{1}", 3, Name),
        ("a/{b{c}}", 3, Name),
        ("a/{b:}", 5, Kind),
        ("a/{b:u8}", 5, Kind),
        ("{a}/{b}/{a:u16}", 8, Twice),
        ("{a}{b}", 3, Ambiguous),
        ("{a}-{b}", 4, Ambiguous),
        ("{a:name}.{b}", 9, Ambiguous),
        ("{a:u16}0{b}", 8, Ambiguous),
        ("{a:channel}up{b}", 13, Ambiguous),
        ("{a:rest}", 0, Rest),
        ("a/b{c:rest}", 3, Rest),
        ("a/{c:rest}/d", 2, Rest),
        ("$aws{a}/b", 4, Dollar),
    ] {
        let error = Template::new(text).unwrap_err();
        assert_eq!((error.at, error.fault), (at, fault), "{text:?}");
        let told = error.to_string();
        assert!(
            told.contains(&alloc::format!("byte {at} ")) && told.contains(fault.remedy()),
            "{told}"
        );
    }
    assert!(Template::new(&"x".repeat(MAX_BYTES)).is_ok());
    let error = Template::new(&"x".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(error.fault, TooLong);
}

#[test]
fn what_is_not_a_value_is_not_read() {
    let cases = [
        (
            "a/{x}",
            "a//",
            MatchError::Value {
                at: 2,
                kind: Kind::Text,
            },
        ),
        (
            "a/{x}",
            "a/+",
            MatchError::Value {
                at: 2,
                kind: Kind::Text,
            },
        ),
        ("a/{x}", "a/b/c", MatchError::Layout { at: 3 }),
        ("a/{x}", "a", MatchError::Layout { at: 0 }),
        (
            "{x}/a",
            "$SYS/a",
            MatchError::Value {
                at: 0,
                kind: Kind::Text,
            },
        ),
        (
            "{x:u16}",
            "65536",
            MatchError::Value {
                at: 0,
                kind: Kind::U16,
            },
        ),
        (
            "{x:u16}",
            "+1",
            MatchError::Value {
                at: 0,
                kind: Kind::U16,
            },
        ),
        (
            "{x:u32}",
            "01",
            MatchError::Value {
                at: 0,
                kind: Kind::U32,
            },
        ),
        (
            "{x:u32}",
            "4294967296",
            MatchError::Value {
                at: 0,
                kind: Kind::U32,
            },
        ),
        (
            "{x:u64}",
            "18446744073709551616",
            MatchError::Value {
                at: 0,
                kind: Kind::U64,
            },
        ),
        (
            "{x:u64}",
            "",
            MatchError::Value {
                at: 0,
                kind: Kind::U64,
            },
        ),
        (
            "{x:name}",
            ".hidden",
            MatchError::Value {
                at: 0,
                kind: Kind::Name,
            },
        ),
        (
            "{x:channel}",
            "shadow",
            MatchError::Value {
                at: 0,
                kind: Kind::Channel,
            },
        ),
        (
            "{x:direction}",
            "UP",
            MatchError::Value {
                at: 0,
                kind: Kind::Direction,
            },
        ),
        (
            "a/{x:rest}",
            "a/b/#",
            MatchError::Value {
                at: 2,
                kind: Kind::Rest,
            },
        ),
        ("a/{x:rest}", "a", MatchError::Layout { at: 0 }),
        ("v{x:u16}.json", "v1.xml", MatchError::Layout { at: 1 }),
    ];
    for (template, topic, expected) in cases {
        let found = Template::new(template).unwrap();
        assert_eq!(found.parse(topic), Err(expected), "{template} on {topic}");
    }
    both_ways("a/{x:rest}", "a/", &[Value::Text("")]);
    let long = "x".repeat(MAX_BYTES + 1);
    let whole = Template::new("{x}").unwrap();
    assert_eq!(whole.parse(&long), Err(MatchError::TooLong));
}

#[test]
fn what_is_given_wrong_is_told_apart() {
    let template = Template::new("a/{x}/{n:u16}").unwrap();
    let write = |values: &[(&str, Value<'_>)], bytes: usize| {
        let mut buffer = [0; 16];
        template
            .write(&mut buffer[..bytes], values)
            .map(String::from)
    };
    let (x, n) = (("x", "b".into()), ("n", Value::Number(65_535)));
    assert_eq!(write(&[n, x], 9).unwrap(), "a/b/65535");
    let kind = Kind::U16;
    for (values, bytes, expected) in [
        (
            &[x, n, ("y", "c".into())][..],
            16,
            WriteError::Unknown { value: 2 },
        ),
        (&[x, n, x], 16, WriteError::Twice { value: 2 }),
        (&[x], 16, WriteError::Missing { field: 1 }),
        (
            &[x, ("n", "1".into())],
            16,
            WriteError::Kind { field: 1, kind },
        ),
        (
            &[x, ("n", 65_536_u32.into())],
            16,
            WriteError::Value { field: 1, kind },
        ),
        (
            &[("x", "b/c".into()), n],
            16,
            WriteError::Value {
                field: 0,
                kind: Kind::Text,
            },
        ),
        (&[x, n], 8, WriteError::Buffer { needed: 9 }),
        (&[x, n], 0, WriteError::Buffer { needed: 9 }),
    ] {
        assert_eq!(write(values, bytes), Err(expected));
    }
    let long = "x".repeat(MAX_BYTES);
    let values = [("x", long.as_str().into()), n];
    assert_eq!(
        template.write(&mut [], &values),
        Err(WriteError::TooLong {
            bytes: MAX_BYTES + 8
        })
    );
    let values = template.parse("a/b/7").unwrap();
    assert_eq!(values.get("n"), Ok(7_u16));
    assert_eq!(values.get::<u64>("n"), Err(FieldError::Kind { kind }));
    assert_eq!(values.get::<&str>("y"), Err(FieldError::Unknown));
}

#[test]
fn a_filter_has_a_wildcard_for_each_level_that_is_not_known() {
    let mut buffer = [0; 64];
    for (template, bound, expected) in [
        ("a/{x}/b", &[][..], "a/+/b"),
        ("a/{x}/b", &[("x", "c".into())], "a/c/b"),
        ("a/v{x:u16}.{y:u16}.bin/b", &[("x", 1_u16.into())], "a/+/b"),
        (
            "a/v{x:u16}.{y:u16}.bin/b",
            &[("x", 1_u16.into()), ("y", 2_u16.into())],
            "a/v1.2.bin/b",
        ),
        ("{x}///{y}", &[], "+///+"),
        ("{x:name}", &[], "+"),
        ("/{x:u64}/", &[], "/+/"),
        ("a/{x}/{y:rest}", &[], "a/+/#"),
        ("a/{x}/{y:rest}", &[("y", "b//c".into())], "a/+/b//c"),
        ("a/b", &[], "a/b"),
    ] {
        let template = Template::new(template).unwrap();
        assert_eq!(template.filter(&mut buffer, bound), Ok(expected));
        let short = &mut [0; 64][..expected.len() - 1];
        let needed = expected.len();
        assert_eq!(
            template.filter(short, bound),
            Err(WriteError::Buffer { needed })
        );
    }
}

crate::template! {
    /// One of everything.
    struct Whole<'a> = "{a}/{b:name}/{c:u16}.{d:u32}.{e:u64}/{f:channel}/{g:direction}/{type:rest}" {
        a: &'a str, b: &'a str, c: u16, d: u32, e: u64, f: Channel, g: Direction, r#type: &'a str,
    }
}

crate::template! {
    struct Build = "build/{number:u32}" { number: u32 }
}

#[test]
fn a_struct_of_a_template_is_parsed_and_written() {
    let topic = "x y/n/1.2.3/health/down/p/q";
    let whole = Whole::parse(topic).unwrap();
    let (f, g) = (Channel::Health, Direction::Down);
    let expected = Whole {
        a: "x y",
        b: "n",
        c: 1,
        d: 2,
        e: 3,
        f,
        g,
        r#type: "p/q",
    };
    assert_eq!(whole, expected);
    let mut buffer = [0; 64];
    assert_eq!(whole.write(&mut buffer), Ok(topic));
    let error = Whole { b: "-", ..whole }.write(&mut buffer).unwrap_err();
    assert_eq!(
        error,
        WriteError::Value {
            field: 1,
            kind: Kind::Name
        }
    );
    assert_eq!(Build::parse("build/7"), Ok(Build { number: 7 }));
    assert_eq!(Build { number: 8 }.write(&mut buffer), Ok("build/8"));
}

/// A template in a program that has used up the names which the macro might want.
mod strangers {
    #[allow(dead_code, reason = "it stands in the way, and does nothing else")]
    type Result<T> = core::result::Result<T, ()>;

    crate::template! {
        pub(super) struct Plant<'buffer> = "plant/{line}/{topic}" { line: &'buffer str, topic: &'buffer str }
    }
    crate::template! {
        pub(super) struct Line<'topic> = "line/{buffer}/{values}" { buffer: &'topic str, values: &'topic str }
    }
}

#[test]
fn any_name_of_a_lifetime_and_of_a_field_will_do() {
    use strangers::{Line, Plant};
    let mut buffer = [0; 64];
    let written = {
        let topic = String::from("plant/a/b");
        // What is written outlives what was read.
        Plant::parse(&topic).unwrap().write(&mut buffer).unwrap()
    };
    assert_eq!(written, "plant/a/b");
    let line = Line::parse("line/a/b").unwrap();
    assert_eq!((line.buffer, line.values), ("a", "b"));
}
