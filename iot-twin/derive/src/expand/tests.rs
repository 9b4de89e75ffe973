//! What the macros say to mistakes, and that they take what is right.

use super::*;

fn refusal(text: &str) -> String {
    let input: DeriveInput = syn::parse_str(text).unwrap();
    expand(&input).unwrap_err().to_string()
}

#[test]
fn each_mistake_is_answered_with_what_to_write() {
    for (input, answer) in [
        ("enum E { A }", "a twin is a struct"),
        ("struct S(u8);", "have names"),
        ("struct S {}", "at least one field"),
        (
            "struct S<T> { #[twin(reported)] a: T }",
            "no generic parameters",
        ),
        ("struct S { a: u8 }", "#[twin(desired)] if the service says"),
        (
            "struct S { #[twin(desired, reported, local = Max)] a: u8 }",
            "what is measured is no edit",
        ),
        (
            "struct S { #[twin(desired, local = Newest)] a: u8 }",
            "use one of FollowDesired, LocalSticky, LastIntent, Max, Or",
        ),
        (
            "struct S { #[twin(group)] a: A }",
            "give the group `a` the first number of its range",
        ),
        (
            "struct S { #[twin(group, id = 16, unit = \"W\")] a: A }",
            "write it inside its struct",
        ),
        (
            "struct S { #[twin(desired, secret, personal)] a: u8 }",
            "`personal` is given twice",
        ),
        (
            "struct S { #[twin(desired, deadband = 1)] a: u8 }",
            "belongs to a `reported` field",
        ),
        (
            "struct S { #[twin(desired, range = 1..2)] a: u8 }",
            "write `..=`",
        ),
        (
            "struct S { #[twin(desired, units = \"W\")] a: u8 }",
            "`units` is not known here",
        ),
        (
            "struct S { #[twin(desired, id = 1, id = 2)] a: u8 }",
            "`id` is given twice",
        ),
        (
            "struct S { #[twin(desired, id = 70000)] a: u8 }",
            "number too large",
        ),
        (
            "struct S { #[twin(desired, id = 1)] a: u8, #[twin(desired)] b: u8 }",
            "`b` and `a` both have the number 1",
        ),
    ] {
        let refusal = refusal(input);
        assert!(refusal.contains(answer), "{input}: {refusal}");
    }
}

#[test]
fn every_mistake_of_a_struct_is_named_at_once() {
    let input: DeriveInput = syn::parse_str("struct S { a: u8, b: u8 }").unwrap();
    assert_eq!(expand(&input).unwrap_err().into_iter().count(), 2);
}

#[test]
fn options_are_taken_in_any_order_and_bounds_may_be_constants() {
    let input = "struct S { #[twin(range = -1.5..=limits::MAX, unit = \"Cel\", id = 9, desired)] r#type: f32 }";
    let input: DeriveInput = syn::parse_str(input).unwrap();
    let text = expand(&input).unwrap().to_string().replace(' ', "");
    assert!(text.contains("of::<f32>(9u16,"), "{text}");
    assert!(text.contains("(-1.5)asf64,(limits::MAX)asf64"), "{text}");
    assert!(text.contains("\"type\""), "{text}");
}

#[test]
fn each_mistake_of_an_enum_is_answered_with_what_to_write() {
    for (input, answer) in [
        ("struct S { a: u8 }", "#[derive(Twin)]"),
        ("enum E {}", "at least two variants"),
        ("enum E { A = 1 }", "at least two variants"),
        ("enum E<T> { A = 1 }", "no generic parameters"),
        ("enum E { A }", "give `A` its number"),
        ("enum E { A = X }", "`A = 1`"),
        ("enum E { A(u8) = 1 }", "holds nothing"),
        (
            "enum E { A = 1, B = 1 }",
            "`B` and `A` both have the number 1",
        ),
        ("enum E { A = 70000 }", "number too large"),
    ] {
        let input: DeriveInput = syn::parse_str(input).unwrap();
        let refusal = crate::enumeration::expand(&input).unwrap_err().to_string();
        assert!(refusal.contains(answer), "{answer}: {refusal}");
    }
}
