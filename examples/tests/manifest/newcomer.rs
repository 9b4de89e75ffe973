//! What somebody does who has read the README, and nothing else.

use core::convert::Infallible;
use std::fs;
use std::path::Path;

use iot_ota::decrypt::{AgreementKey, Decryptor};
use iot_ota::manifest::{Device, EncryptionInfo};
use iot_ota::process::{
    Capabilities, Component, Details, Effect, Identity, Procedure, Process, Source, Step,
};

use crate::bench::{Bench, verify};

const IMAGE_BYTES: u32 = 5_000;

fn image() -> Vec<u8> {
    (0..IMAGE_BYTES).map(|n| (n * 7).to_le_bytes()[0]).collect()
}

/// The blocks of that language in the chapter on the tool, in order.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../iot-ota/README.md");
    let text = fs::read_to_string(path).unwrap();
    let chapter = text
        .split("\n## ")
        .find(|part| part.starts_with("The `manifest` tool"));
    let fence = format!("```{language}\n");
    let parts = chapter.unwrap().split(&fence).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_readme_leads_a_newcomer_to_signed_and_encrypted_releases() {
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    let described = blocks("toml");
    bench.write("boiler.toml", &described[0]);
    bench.write("encrypted.toml", &described[1]);
    let mut ran = 0;
    for block in blocks("console") {
        for line in block.lines() {
            bench.ok(line.strip_prefix("$ manifest ").expect(line));
            ran += 1;
        }
    }
    assert_eq!((described.len(), ran), (2, 12), "the chapter is all read");

    // The library agrees with what the tool said.
    let envelope = bench.read("boiler.suit");
    for key in ["release.pub.pem", "safety.pub.pem"] {
        let manifest = verify(&envelope, bench.public(key)).expect(key);
        assert_eq!((manifest.sequence(), manifest.security_counter()), (2, 1));
        assert_eq!(
            manifest.reference_uri(),
            Some("https://vendor.example/boiler")
        );
        assert!(manifest.text().is_some());
    }
    assert!(verify(&envelope, bench.public("device.pub.pem")).is_none());
    // And so does a device that knows no more than the README's firmware.
    let manifest = verify(&envelope, bench.public("release.pub.pem")).unwrap();
    let plan = manifest.plan(&device()).unwrap();
    assert_eq!(plan.uri, "https://vendor.example/firmware.bin");
    assert_eq!((plan.release.size, plan.release.counter), (IMAGE_BYTES, 1));
}

/// UUIDs of "vendor.example" and of "boiler-mk2" below it, and what the device calls its image.
fn device() -> Device<'static> {
    let vendor = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, b"vendor.example");
    let class = uuid::Uuid::new_v5(&vendor, b"boiler-mk2");
    Device::new(vendor.into_bytes(), class.into_bytes(), &[b"firmware"])
}

#[test]
fn what_devices_with_an_updater_make_of_a_release_is_told() {
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    bench.write("firmware.enc", [7; 5_016]);
    bench.ok("key new device.pem");
    bench.ok(
        "encrypt firmware.bin --for agreed:d=device.pub.pem -o firmware.enc --info firmware.info",
    );
    let head = "sequence = 2\nvendor = \"vendor.example\"\nclass = \"boiler-mk2\"\n";
    let image = "id = [\"firmware\"]\nimage = \"firmware.bin\"\ninvoke = true\n";
    let from = |place: &str| format!("[[component]]\n{image}{place}\n");
    let patch = "[[component]]\nid = [\"patch\"]\nimage = \"firmware.enc\"\nstaged = true\nuri = \"iot:p\"\n";
    let slot = |n: u8| {
        format!("[[component.slot]]\nnumber = {n}\nimage = \"firmware.bin\"\nuri = \"iot:{n}\"\n")
    };
    let slots = "[[component]]\nid = [\"firmware\"]\ninvoke = true\n".to_owned();
    for (described, said) in [
        (
            from("uri = \"iot:f\""),
            "fetch \"iot:f\", for an image of 5000 bytes",
        ),
        (
            from("uri = \"iot:e\"\nencryption = \"firmware.info\""),
            "fetch \"iot:e\", encrypted, for an image of 5000 bytes",
        ),
        (
            from("copy-from = 1") + patch,
            "fetch \"iot:p\", a patch, for an image of 5000 bytes",
        ),
        (
            slots + &slot(4) + &slot(5),
            "fetch \"iot:4\", for an image of 5000 bytes",
        ),
        (
            from("payload = \"firmware.bin\""),
            "refuse it (the payload is in the envelope",
        ),
        (
            "version = [1]\n".to_owned() + &from("uri = \"iot:f\""),
            "refuse it (the manifest's part 6 is not supported",
        ),
        (from("uri = \"iot:f\"") + patch, "refuse it ("),
    ] {
        bench.write("release.toml", head.to_owned() + &described);
        let told = bench.ok("create release.toml -o release.suit");
        assert!(told.contains(said), "{described}: {told}");
        bench.ok("sign release.suit --key device.pem");
        let told = bench.ok("verify release.suit --key device.pub.pem");
        assert!(told.contains(said), "{described}: {told}");
    }
}

#[test]
fn a_device_installs_what_the_tool_encrypted_for_it() {
    const PLACES: &[Component<'static>] = &[Component::new(&[b"firmware"])];
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    bench.write("encrypted.toml", &blocks("toml")[1]);
    bench.ok("key new release.pem");
    bench.ok("key new device.pem");
    for cipher in ["a128gcm", "chacha20-poly1305", "a128ctr"] {
        bench.ok(&format!(
            "encrypt firmware.bin --cipher {cipher} --for agreed:boiler-7=device.pub.pem -o firmware.enc --info firmware.info"
        ));
        bench.ok("create encrypted.toml -o encrypted.suit");
        bench.ok("sign encrypted.suit --key release.pem");
        let envelope = bench.read("encrypted.suit");
        let manifest = verify(&envelope, bench.public("release.pub.pem")).unwrap();
        let identity = Identity::new(device().vendor, device().class);
        let device = Capabilities::new(identity, PLACES);
        let mut process = Process::<16>::new(manifest, Procedure::Update, &device).unwrap();
        let Ok(Step::Perform {
            effect: Effect::Fetch(fetch),
            details:
                Details {
                    encryption: Some(info),
                    ..
                },
            ..
        }) = process.step()
        else {
            panic!("{:?}", process.step());
        };
        let Source::Integrated(ciphertext) = fetch.source else {
            panic!("{:?}", fetch.source);
        };
        let info = EncryptionInfo::decode(info).unwrap();
        let key = AgreementKey::new(&scalar(&bench)).unwrap();
        let mut decryptor = Decryptor::new(&info, &[&key]).unwrap();
        let mut plain: Vec<u8> = Vec::new();
        let mut write = |_, bytes: &[u8]| {
            plain.extend(bytes);
            Ok::<(), Infallible>(())
        };
        decryptor.push(ciphertext, &mut write).unwrap();
        decryptor.finish(&mut write).unwrap();
        assert_eq!(plain, image(), "{cipher}");
        assert_ne!(&ciphertext[..16], &plain[..16], "{cipher}");
        assert!(
            bench
                .ok("inspect encrypted.suit")
                .contains("boiler-7 by ECDH-ES+A128KW")
        );
        process.done(true);
        assert!(matches!(process.step(), Ok(Step::Check { .. })), "{cipher}");
    }
}

/// The private scalar in `device.pem`: 32 bytes behind the version and the head of the octet string (RFC 5915 §3).
fn scalar(bench: &Bench) -> [u8; 32] {
    let text = bench.read("device.pem");
    let (_, der) = pem_rfc7468::decode_vec(&text).unwrap();
    let head = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(5).position(|window| window == head).unwrap() + 5;
    der[at..at + 32].try_into().unwrap()
}

#[test]
fn a_firmwares_constants_are_the_key_and_the_name_that_signatures_give_it() {
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    bench.write("boiler.toml", &blocks("toml")[0]);
    bench.ok("create boiler.toml -o boiler.suit");
    for algorithm in ["es256", "ed25519"] {
        let key = format!("{algorithm}.pem");
        bench.ok(&format!("key new {key} --algorithm {algorithm}"));
        let printed = bench.ok(&format!("key show {algorithm}.pub.pem --rust RELEASE"));
        let constant = |name: &str| -> Vec<u8> {
            let head = format!("pub const {name}: &[u8] = b\"");
            let text = printed.split(&head).nth(1).unwrap();
            let bytes = text.split('"').next().unwrap().split("\\x").skip(1);
            bytes
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect()
        };
        let public = bench.public(&format!("{algorithm}.pub.pem"));
        assert_eq!(constant("RELEASE_KEY"), public.as_bytes());
        bench.ok(&format!("sign boiler.suit --key {key}"));
        let id = constant("RELEASE_ID");
        assert_eq!(id.len(), 8);
        let envelope = bench.read("boiler.suit");
        assert!(envelope.windows(8).any(|window| window == id), "{printed}");
    }
    for prefix in ["release", "1", "A-B", ""] {
        let output = bench.run(&["key", "show", "es256.pem", "--rust", prefix]);
        assert_eq!(output.status.code(), Some(1), "{prefix}");
    }
}

#[test]
fn the_same_description_gives_the_same_manifest() {
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    bench.write("boiler.toml", &blocks("toml")[0]);
    bench.ok("create boiler.toml -o one.suit");
    bench.ok("create boiler.toml -o two.suit");
    assert_eq!(bench.read("one.suit"), bench.read("two.suit"));
    assert_eq!(bench.ok("diff one.suit two.suit"), "they say the same\n");
}

#[test]
fn what_changed_between_two_releases_is_told_with_names() {
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    let old = blocks("toml")[0].clone();
    bench.write("old.toml", &old);
    let new = old
        .replace("sequence = 2 ", "sequence = 3 ")
        .replace("firmware.bin\"\ninvoke", "firmware-3.bin\"\ninvoke");
    assert_ne!(old, new);
    bench.write("new.toml", new);
    bench.ok("key new release.pem");
    bench.ok("create old.toml -o old.suit");
    bench.ok("create new.toml -o new.suit");
    bench.ok("sign new.suit --key release.pem --key-id release");
    let output = bench.run(&["diff", "old.suit", "new.suit"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(
        told,
        [
            "- manifest: sequence-number 2",
            "+ manifest: sequence-number 3",
            "- install:   uri \"https://vendor.example/firmware.bin\"",
            "+ install:   uri \"https://vendor.example/firmware-3.bin\"",
            "+ signature: Esp256, key id release",
        ]
    );
}

#[test]
fn what_is_inspected_is_shown_with_names_and_never_as_verified() {
    let bench = Bench::new();
    bench.write("firmware.bin", image());
    let described = blocks("toml")[0].replace("# version = ", "version = ");
    bench.write("boiler.toml", described);
    bench.ok("create boiler.toml -o boiler.suit");
    let shown = bench.ok("inspect boiler.suit");
    for expected in [
        "nothing in it is verified",
        "not signed",
        "  sequence-number 2\n",
        "  security-counter 1\n",
        "  version [1, 2, 0]\n",
        "  0: /firmware\n",
        "  condition-vendor-identifier [record-success record-failure sysinfo-success sysinfo-failure]\n",
        "    image-size 5000 bytes\n",
        "install\n  directive-override-parameters\n    uri \"https://vendor.example/firmware.bin\"\n  directive-fetch [record-failure]\n",
        "invoke\n  directive-invoke [record-failure]\n",
        "Fixes the pump",
    ] {
        assert!(
            shown.contains(expected),
            "{expected} is missing in:\n{shown}"
        );
    }
}
