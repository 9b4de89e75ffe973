//! Errors name the element and the remedy.

use crate::bench::Bench;

const DESCRIBED: &str = r#"
sequence = 2
vendor = "vendor.example"
class = "boiler"
[[component]]
id = ["firmware"]
image = "firmware.bin"
uri = "iot:firmware"
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("firmware.bin", [7; 100]);
    bench.write("good.toml", DESCRIBED);
    bench
}

#[test]
fn a_description_that_cannot_be_followed_is_refused_with_the_place_and_what_helps() {
    let bench = bench();
    bench.ok("create good.toml -o good.suit");
    for (old, new, element, remedy) in [
        (
            "sequence = 2",
            "sequense = 2",
            "unknown field `sequense`",
            "README",
        ),
        ("sequence = 2", "", "missing field `sequence`", "README"),
        ("vendor.example", "somebody", "error: vendor:", "domain"),
        (
            "[\"firmware\"]",
            "[]",
            "error: component 0, id:",
            "a path of its own",
        ),
        (
            "[\"firmware\"]",
            "[\"0x0\"]",
            "error: component 0, id:",
            "in pairs",
        ),
        (
            "image = \"firmware.bin\"",
            "",
            "error: component 0, image:",
            "image = \"FILE\"",
        ),
        ("firmware.bin", "lost.bin", "lost.bin:", "check the path"),
        (
            "image = ",
            "size = 99\nimage = ",
            "error: component 0, image:",
            "leave digest and size out",
        ),
        (
            "image = \"firmware.bin\"",
            "digest = \"00\"",
            "error: component 0, image:",
            "sha256sum",
        ),
        (
            "uri = ",
            "payload = \"firmware.bin\"\nuri = ",
            "error: component 0, uri:",
            "leave one of",
        ),
        (
            "iot:firmware",
            "#firmware",
            "error: component 0, uri:",
            "payload = \"FILE\"",
        ),
        (
            "uri = \"iot:firmware\"",
            "staged = true",
            "error: component 0, uri:",
            "say where it is",
        ),
        (
            "uri = ",
            "copy-from = 0\nuri = ",
            "error: component 0, copy-from:",
            "count components from 0",
        ),
        (
            "uri = ",
            "encryption = \"firmware.bin\"\nuri = ",
            "firmware.bin: not a COSE_Encrypt",
            "manifest encrypt",
        ),
    ] {
        assert!(DESCRIBED.contains(old), "{old}");
        bench.write("bad.toml", DESCRIBED.replacen(old, new, 1));
        let error = bench.refused("create bad.toml -o bad.suit");
        assert!(error.contains(element), "{new}: {error}");
        assert!(
            error.split("remedy: ").nth(1).unwrap().contains(remedy),
            "{new}: {error}"
        );
        assert!(!bench.path("bad.suit").exists(), "{new}");
    }
}

#[test]
fn a_signature_too_few_is_refused_with_who_has_signed_and_how_many_are_missing() {
    let bench = bench();
    for key in ["one", "two", "three"] {
        bench.ok(&format!("key new {key}.pem"));
    }
    bench.ok("create good.toml -o good.suit");
    let verify = "verify good.suit --key one=one.pub.pem --key two=two.pub.pem --key three=three.pub.pem --threshold 2";
    let error = bench.refused(verify);
    assert!(
        error.contains("0 of the 2 signatures that are needed: none"),
        "{error}"
    );
    bench.ok("sign good.suit --key two.pem --key-id two");
    let error = bench.refused(verify);
    assert!(
        error.contains("1 of the 2 signatures that are needed: two"),
        "{error}"
    );
    assert!(
        error.contains("have 1 more of the trusted keys sign"),
        "{error}"
    );
    let error = bench.refused("sign good.suit --key two.pem --key-id again");
    assert!(
        error.contains("has signed it already") && error.contains("another key"),
        "{error}"
    );
    bench.ok("sign good.suit --key three.pem --key-id three");
    assert!(bench.ok(verify).contains("signed by two, three"));
}

#[test]
fn an_older_release_and_a_strange_image_are_refused() {
    let bench = bench();
    bench.ok("key new one.pem");
    bench.ok("create good.toml -o good.suit");
    bench.ok("sign good.suit --key one.pem");
    bench.ok("verify good.suit --key one.pub.pem --sequence 2 --counter 0 --image firmware.bin");
    let error = bench.refused("verify good.suit --key one.pub.pem --sequence 3");
    assert!(
        error.contains("manifest-sequence-number") && error.contains("3 or more"),
        "{error}"
    );
    let error = bench.refused("verify good.suit --key one.pub.pem --counter 1");
    assert!(
        error.contains("security counter") && error.contains("1 or more"),
        "{error}"
    );
    bench.write("strange.bin", [8; 100]);
    let error = bench.refused("verify good.suit --key one.pub.pem --image strange.bin");
    assert!(
        error.contains("strange.bin") && error.contains("take the image"),
        "{error}"
    );
}

#[test]
fn a_changed_byte_is_never_verified_and_never_panics() {
    let bench = bench();
    bench.ok("key new one.pem");
    bench.ok("create good.toml -o good.suit");
    bench.ok("sign good.suit --key one.pem");
    let good = bench.read("good.suit");
    // Everything is signed but the key id and its label, which are a hint only: there is neither a severed part nor a payload.
    let hint = good
        .windows(3)
        .position(|three| three == [0xa1, 0x04, 0x48]);
    let hint = hint.unwrap() + 1..hint.unwrap() + 11;
    for at in (0..good.len()).filter(|at| !hint.contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bench.write("bad.suit", &bad);
        let error = bench.refused("verify bad.suit --key one.pub.pem");
        assert!(!error.contains("panicked"), "byte {at}: {error}");
        let shown = bench.run(&["inspect", "bad.suit"]);
        assert!(
            shown.status.code().is_some_and(|code| code < 2),
            "byte {at}: {shown:?}"
        );
    }
}

#[test]
fn keys_of_the_wrong_kind_are_refused_with_the_way_to_the_right_one() {
    let bench = bench();
    bench.ok("key new one.pem");
    bench.ok("create good.toml -o good.suit");
    let error = bench.refused("key new one.pem");
    assert!(error.contains("never overwritten"), "{error}");
    let error = bench.refused("sign good.suit --key one.pub.pem");
    assert!(
        error.contains("public half") && error.contains("private half"),
        "{error}"
    );
    bench.write(
        "sec1.pem",
        "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
    );
    let error = bench.refused("sign good.suit --key sec1.pem");
    assert!(error.contains("openssl pkcs8 -topk8"), "{error}");
    let error =
        bench.refused("sign good.suit --key pkcs11:token=a;id=1?module-path=b&pin-value=1234");
    assert!(
        error.contains("pin-source=FILE") && !error.contains("1234"),
        "{error}"
    );
    let error = bench.refused("sign good.suit --key pkcs11:token=a;id=1?module-path=b");
    assert!(error.contains("pin-source is missing"), "{error}");
    bench.ok("key new two.pem --algorithm ed25519");
    let error = bench.refused("encrypt firmware.bin --for agreed:d=two.pub.pem -o x --info y");
    assert!(
        error.contains("two.pub.pem") && error.contains("P-256"),
        "{error}"
    );
}
