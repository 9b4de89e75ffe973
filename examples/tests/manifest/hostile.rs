//! Envelopes that were tampered with, descriptions that want too much, and files that lie in the way.

use std::fs;
use std::os::unix::fs::symlink;

use iot_identity::ring::Sha256;
use iot_ota::manifest::{Author, CommandList, Element, Image, ParameterList};

use crate::bench::Bench;

const WITHIN: &str = r#"
sequence = 2
vendor = "vendor.example"
class = "boiler"
[[component]]
id = ["firmware"]
image = "firmware.bin"
payload = "firmware.bin"
"#;

/// A bench with keys, an image of that size and a description that has it in the envelope.
fn bench(size: usize) -> Bench {
    let bench = Bench::new();
    bench.write("firmware.bin", vec![0x5a; size]);
    bench.write("within.toml", WITHIN);
    bench.ok("key new one.pem");
    bench
}

/// The same bytes with every byte of the image another one.
fn swapped(envelope: &[u8], size: usize) -> Vec<u8> {
    let image = vec![0x5a; size];
    let at = envelope.windows(size).position(|window| window == image);
    let at = at.unwrap();
    let mut swapped = envelope.to_vec();
    swapped[at..at + size].fill(0xee);
    swapped
}

#[test]
fn a_payload_that_was_swapped_is_neither_verified_nor_signed() {
    let bench = bench(4_000);
    bench.ok("create within.toml -o within.suit");
    bench.ok("sign within.suit --key one.pem");
    let verify = "verify within.suit --key one.pub.pem --image firmware.bin";
    let said = bench.ok(verify);
    assert!(
        said.contains("payload #0: 4000 bytes, as the manifest says"),
        "{said}"
    );
    // The payload is beside what is signed, and is what devices install.
    bench.write("within.suit", swapped(&bench.read("within.suit"), 4_000));
    for line in [verify, "sign within.suit --key one.pem --key-id again"] {
        let error = bench.refused(line);
        assert!(
            error.contains("payload #0: its SHA-256 is") && error.contains("take the original"),
            "{error}"
        );
    }
}

#[test]
fn a_payload_is_judged_where_it_is_installed_and_not_by_what_else_is_named() {
    let bench = bench(50);
    let (first, second) = ([1; 40], [2; 40]);
    let digest = |bytes: &[u8]| {
        let mut sha256 = Sha256::new();
        iot_core::crypto::Digest::update(&mut sha256, bytes);
        iot_core::crypto::Digest::finish(&mut sha256)
    };
    let author = |payloads: [&[u8]; 2]| {
        let image = |bytes: &[u8]| Image::new(digest(bytes), bytes.len() as u64);
        Author::new(1, &[&[b"a"], &[b"b"]])
            .compatibility_check(0, [1; 16], [2; 16], Some(&image(&first)))
            .describe(1, &image(&second))
            .integrated(0, "#a", payloads[0])
            .integrated(1, "#b", payloads[1])
            .build(&mut Sha256::new())
    };
    bench.write("right.suit", author([&first, &second]).encode());
    bench.ok("sign right.suit --key one.pem");
    bench.ok("verify right.suit --key one.pub.pem");
    // Both are images of the manifest, each in the place of the other.
    bench.write("wrong.suit", author([&second, &first]).encode());
    let error = bench.refused("sign wrong.suit --key one.pem");
    assert!(error.contains("payload #a: its SHA-256 is"), "{error}");
    // A payload whose digest nobody has signed may be anything.
    let fetch = CommandList::new()
        .set(ParameterList::new().uri("#a"))
        .fetch();
    let free = Author::new(1, &[&[b"a"]]).section(Element::Install, fetch);
    let free = free.payload("#a", &first).build(&mut Sha256::new());
    bench.write("free.suit", free.encode());
    let error = bench.refused("sign free.suit --key one.pem");
    assert!(
        error.contains("nothing in the manifest says what it has to be"),
        "{error}"
    );
    // And one that no command fetches is not looked at by anybody.
    let spare = Author::new(1, &[&[b"a"]])
        .matched(0)
        .payload("#spare", &first);
    bench.write("spare.suit", spare.build(&mut Sha256::new()).encode());
    let error = bench.refused("sign spare.suit --key one.pem");
    assert!(
        error.contains("payload #spare: nothing was seen to fetch it"),
        "{error}"
    );
}

#[test]
fn an_alternative_for_another_device_or_slot_is_judged_too() {
    let bench = bench(50);
    let digest = |bytes: &[u8]| {
        let mut sha256 = Sha256::new();
        iot_core::crypto::Digest::update(&mut sha256, bytes);
        iot_core::crypto::Digest::finish(&mut sha256)
    };
    // For one class it is this image, for the other that one; or for one slot and the other.
    let class = |n: u8| {
        let set = ParameterList::new().class([n; 16]);
        CommandList::new().set(set).class()
    };
    let slot = |n: u8| {
        let set = ParameterList::new().slot(n.into());
        CommandList::new().set(set).command(5, 0)
    };
    for condition in [&class as &dyn Fn(u8) -> CommandList, &slot] {
        let build = |payloads: [&[u8]; 2]| {
            let of = |n: u8, uri: &str, image: &[u8]| {
                let own = ParameterList::new().uri(uri).digest(&digest(image));
                condition(n).set(own).fetch()
            };
            let (one, two) = (of(1, "#one", b"one"), of(2, "#two", b"two"));
            let install = CommandList::new().try_each(&[one, two]);
            Author::new(1, &[&[b"a"]])
                .section(Element::Install, install.image_match())
                .payload("#one", payloads[0])
                .payload("#two", payloads[1])
                .build(&mut Sha256::new())
                .encode()
        };
        bench.write("right.suit", build([b"one", b"two"]));
        bench.ok("sign right.suit --key one.pem");
        let said = bench.ok("verify right.suit --key one.pub.pem");
        assert_eq!(said.matches("as the manifest says").count(), 2, "{said}");
        bench.write("wrong.suit", build([b"one", b"won"]));
        let error = bench.refused("sign wrong.suit --key one.pem");
        assert!(error.contains("payload #two: its SHA-256 is"), "{error}");
    }
}

#[test]
fn a_payload_that_is_encrypted_is_said_to_be_unchecked() {
    let bench = bench(4_000);
    bench.ok("key new device.pem");
    bench.ok(
        "encrypt firmware.bin --for agreed:d=device.pub.pem -o firmware.enc --info firmware.info",
    );
    let encrypted = WITHIN.replace(
        "payload = \"firmware.bin\"",
        "payload = \"firmware.enc\"\nencryption = \"firmware.info\"",
    );
    bench.write("encrypted.toml", encrypted);
    bench.ok("create encrypted.toml -o encrypted.suit");
    bench.ok("sign encrypted.suit --key one.pem");
    let said = bench.ok("verify encrypted.suit --key one.pub.pem");
    assert!(
        said.contains("payload #0: 4016 bytes, encrypted, not checked"),
        "{said}"
    );
}

#[test]
fn a_payload_that_is_not_the_image_is_not_put_into_an_envelope() {
    let bench = bench(400);
    bench.write("other.bin", [7; 400]);
    bench.write(
        "bad.toml",
        WITHIN.replace("payload = \"firmware.bin\"", "payload = \"other.bin\""),
    );
    let error = bench.refused("create bad.toml -o bad.suit");
    assert!(
        error.contains("component 0, payload: it is not the image")
            && error.contains("encryption ="),
        "{error}"
    );
    assert!(!bench.path("bad.suit").exists());
}

#[test]
fn what_no_device_could_follow_is_neither_signed_nor_verified() {
    let bench = bench(10);
    let author = || Author::new(1, &[&[b"a"]]);
    let policy = CommandList::new().command(99, 0);
    let deep = (0..9).fold(CommandList::new().image_match(), |within, _| {
        CommandList::new().run(&within)
    });
    let soft = ParameterList::new().raw(13, vec![0x18, 0x63]);
    for (name, author, cause) in [
        (
            "unknown",
            author().validate(policy),
            "command 99 is unknown",
        ),
        (
            "deep",
            author().section(Element::Install, deep),
            "nested deeper",
        ),
        (
            "parameter",
            author().invoke(CommandList::new().set(soft)),
            "its value is of the wrong type",
        ),
        (
            "effect",
            author()
                .shared(CommandList::new().fetch())
                .validate(CommandList::new().image_match()),
            "not supported here",
        ),
    ] {
        bench.write("bad.suit", author.build(&mut Sha256::new()).encode());
        let error = bench.refused("sign bad.suit --key one.pem");
        assert!(error.contains(cause), "{name}: {error}");
    }
    // The same in an envelope that somebody has signed with another tool.
    let mut envelope = author()
        .validate(CommandList::new().command(99, 0))
        .build(&mut Sha256::new());
    let text = fs::read_to_string(bench.path("one.pem")).unwrap();
    let (_, der) = pem_rfc7468::decode_vec(text.as_bytes()).unwrap();
    let key = iot_identity::ring::SoftwareKey::from_pkcs8(&der).unwrap();
    envelope.sign(&key, Some(b"one")).unwrap();
    bench.write("bad.suit", envelope.encode());
    let error = bench.refused("verify bad.suit --key one=one.pub.pem");
    assert!(error.contains("command 99 is unknown"), "{error}");
}

#[test]
fn what_devices_refuse_unless_their_limits_are_changed_is_signed_with_a_warning() {
    let bench = bench(70_000);
    bench.ok("create within.toml -o within.suit");
    let warned = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let output = bench.run(&words);
        assert!(output.status.success(), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        error.contains("warning: within.suit: devices with the default limits refuse it")
            && error.contains("remedy: ")
    };
    assert!(warned("create within.toml -o within.suit"));
    assert!(warned("sign within.suit --key one.pem"));
    assert!(warned("verify within.suit --key one.pub.pem"));
    bench.write("firmware.bin", vec![0x5a; 60_000]);
    assert!(!warned("create within.toml -o within.suit"));
    // Each of the limits.
    let many = (0..65).fold(CommandList::new(), |list, _| list.image_match());
    let nested = (0..5).fold(CommandList::new().image_match(), |within, _| {
        CommandList::new().run(&within)
    });
    let ids: Vec<[u8; 1]> = (0..17).map(|n| [n]).collect();
    let ids: Vec<[&[u8]; 1]> = ids.iter().map(|id| [&id[..]]).collect();
    let ids: Vec<&[&[u8]]> = ids.iter().map(|id| &id[..]).collect();
    let one = || Author::new(1, &ids[..1]);
    for (author, expected) in [
        (one().validate(many), true),
        (one().validate(nested), true),
        (Author::new(1, &ids), true),
        (Author::new(1, &ids[..16]), false),
    ] {
        bench.write("within.suit", author.build(&mut Sha256::new()).encode());
        assert_eq!(warned("sign within.suit --key one.pem"), expected);
    }
}

#[test]
fn a_file_outside_the_descriptions_folder_is_never_published() {
    let bench = bench(10);
    fs::create_dir(bench.path("release")).unwrap();
    fs::create_dir(bench.path("release/below")).unwrap();
    bench.write("secret.key", "nobody may see this");
    bench.write("release/firmware.bin", [0x5a; 10]);
    bench.write("release/below/firmware.bin", [0x5a; 10]);
    symlink(bench.path("secret.key"), bench.path("release/link.bin")).unwrap();
    let absolute = bench.path("secret.key").display().to_string();
    for name in [
        "../secret.key",
        "below/../../secret.key",
        "link.bin",
        &absolute,
    ] {
        let described = WITHIN
            .replace(
                "payload = \"firmware.bin\"",
                &format!("payload = \"{name}\""),
            )
            .replace("image = \"firmware.bin\"", &format!("image = \"{name}\""));
        bench.write("release/bad.toml", described);
        let error = bench.refused("create release/bad.toml -o bad.suit");
        assert!(error.contains("would be published"), "{name}: {error}");
        assert!(!bench.path("bad.suit").exists());
        // Nor as what an encryption info is, which travels in the manifest.
        let described = WITHIN.replace("payload =", &format!("encryption = \"{name}\"\npayload ="));
        bench.write("release/bad.toml", described);
        let error = bench.refused("create release/bad.toml -o bad.suit");
        assert!(error.contains("would be published"), "{name}: {error}");
    }
    for name in [
        "firmware.bin",
        "below/firmware.bin",
        "below/../firmware.bin",
    ] {
        let described = WITHIN.replace(
            "payload = \"firmware.bin\"",
            &format!("payload = \"{name}\""),
        );
        bench.write("release/good.toml", described);
        bench.ok("create release/good.toml -o good.suit");
    }
}

#[test]
fn a_new_key_overwrites_nobodys_public_half() {
    let bench = bench(10);
    let before = bench.read("one.pub.pem");
    bench.ok("key new one.key");
    assert_eq!(bench.read("one.pub.pem"), before);
    assert!(bench.path("one.key.pub.pem").exists());
    // A public half that lies there alone may be all that is left of a key in a safe.
    fs::remove_file(bench.path("one.pem")).unwrap();
    let error = bench.refused("key new one.pem");
    assert!(
        error.contains("one.pub.pem") && error.contains("never overwritten"),
        "{error}"
    );
    assert_eq!(bench.read("one.pub.pem"), before);
    assert!(
        !bench.path("one.pem").exists(),
        "no key without its public half"
    );
}

#[test]
fn nothing_is_written_through_a_link_that_lies_in_the_way() {
    let bench = bench(10);
    bench.ok("key new device.pem");
    bench.write("victim", "precious");
    for (line, output) in [
        ("create within.toml -o out.suit", "out.suit"),
        (
            "encrypt firmware.bin --for agreed:d=device.pub.pem -o out.enc --info out.info",
            "out.enc",
        ),
    ] {
        let part = bench.path(&format!("{output}.part"));
        symlink(bench.path("victim"), &part).unwrap();
        bench.ok(line);
        assert_eq!(bench.read("victim"), b"precious", "{line}");
        let kind = fs::symlink_metadata(bench.path(output))
            .unwrap()
            .file_type();
        assert!(kind.is_file(), "{line}");
        // What a run that was cut off has left is in nobody's way.
        fs::write(&part, "half").unwrap();
        bench.ok(line);
        assert!(!part.exists(), "{line}");
    }
}

#[test]
fn a_text_of_an_envelope_forges_no_line_and_no_colour() {
    let bench = bench(10);
    let trap = "https://a\nnot signed\u{1b}[31m\u{202e}";
    let author = Author::new(1, &[&[b"a"]])
        .matched(0)
        .reference_uri(trap)
        .section(
            Element::Install,
            CommandList::new().set(ParameterList::new().uri(trap)),
        )
        .text(&iot_ota::manifest::Text::new(trap).description(trap))
        .payload(&format!("#{trap}"), &[1]);
    let bytes = author.build(&mut Sha256::new()).encode();
    bench.write("trap.suit", &bytes);
    bench.write(
        "plain.suit",
        Author::new(1, &[&[b"a"]])
            .matched(0)
            .build(&mut Sha256::new())
            .encode(),
    );
    for words in [
        &["inspect", "trap.suit"][..],
        &["diff", "plain.suit", "trap.suit"],
        &["sign", "trap.suit", "--key", "one.pem"],
    ] {
        let output = bench.run(words);
        for said in [output.stdout, output.stderr] {
            let said = String::from_utf8(said).unwrap();
            let hidden = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!said.contains(hidden), "{words:?}: {said:?}");
            // The envelope is not signed: its own line says so once, and no other.
            let forged = said.lines().filter(|line| line.starts_with("not signed"));
            assert!(forged.count() <= 1, "{words:?}: {said}");
        }
    }
}

#[test]
fn a_signature_under_a_name_that_devices_do_not_know_is_refused_with_the_name() {
    let bench = bench(10);
    bench.ok("create within.toml -o within.suit");
    bench.ok("sign within.suit --key one.pem --key-id typo");
    for key in ["one.pub.pem", "release=one.pub.pem"] {
        let error = bench.refused(&format!("verify within.suit --key {key}"));
        assert!(error.contains("has signed, under another name"), "{error}");
        assert!(error.contains("--key-id"), "{error}");
    }
    bench.ok("verify within.suit --key typo=one.pub.pem");
    // The name that is shown is the one that can be written.
    let id = bench.run(&["key", "show", "one.pub.pem"]);
    let id = String::from_utf8(id.stderr).unwrap();
    let id = id.trim().strip_prefix("key id ").unwrap().to_owned();
    assert!(id.starts_with("0x") && id.len() == 18, "{id}");
    bench.ok("create within.toml -o named.suit");
    bench.ok(&format!("sign named.suit --key one.pem --key-id {id}"));
    bench.ok("verify named.suit --key one.pub.pem");
    bench.ok(&format!("verify named.suit --key {id}=one.pub.pem"));
    bench.refused(&format!("verify named.suit --key {}=one.pub.pem", &id[2..]));
    bench.ok("create within.toml -o new.suit");
    let error = bench.refused("sign new.suit --key one.pem --key-id 0x1");
    assert!(error.contains("such as 0x14d1"), "{error}");
    // A device that knows one key asks for no name.
    bench.ok("verify within.suit --key one.pub.pem --any-key-id");
    bench.ok("key new two.pem");
    let error =
        bench.refused("verify within.suit --key one.pub.pem --key two.pub.pem --any-key-id");
    assert!(error.contains("--any-key-id"), "{error}");
}
