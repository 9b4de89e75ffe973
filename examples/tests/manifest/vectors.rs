//! The tool on other people's files.

use crate::bench::{Bench, vector, vectors, verify};

const KEY: &str = "suit/libcsuit/keys/trust_anchor_secp256r1_pub.pem";

#[test]
#[ignore = "needs IOT_VECTORS"]
fn a_real_image_is_described_signed_twice_shown_and_verified() {
    let bench = Bench::new();
    let image = vector("delta/pybv11/1f5d945af/firmware1.bin");
    assert!(image.len() > 300_000, "the real image");
    bench.write("pybv11.bin", &image);
    bench.write(
        "pybv11.toml",
        r#"
            sequence = 9
            vendor = "micropython.org"
            class = "pybv11"
            [[component]]
            id = ["firmware"]
            image = "pybv11.bin"
            uri = "https://micropython.org/pybv11.bin"
            invoke = true
        "#,
    );
    bench.ok("key new one.pem");
    bench.ok("key new two.pem --algorithm ed25519");
    bench.ok("create pybv11.toml --output pybv11.suit");
    bench.ok("sign pybv11.suit --key one.pem");
    bench.ok("sign pybv11.suit --key two.pem");
    let shown = bench.ok("inspect pybv11.suit");
    assert!(
        shown.contains(&format!("image-size {} bytes", image.len())),
        "{shown}"
    );
    assert_eq!(shown.matches("claims to be signed").count(), 2);
    let said = bench.ok(
        "verify pybv11.suit --key one.pub.pem --key two.pub.pem --threshold 2 --image pybv11.bin --sequence 8",
    );
    assert!(said.contains("named by the manifest"), "{said}");
    for key in ["one.pub.pem", "two.pub.pem"] {
        let envelope = bench.read("pybv11.suit");
        assert!(verify(&envelope, bench.public(key)).is_some(), "{key}");
    }
    // The whole image in the envelope, too.
    let described = String::from_utf8(bench.read("pybv11.toml")).unwrap();
    let within = described.replace(
        "uri = \"https://micropython.org/pybv11.bin\"",
        "payload = \"pybv11.bin\"",
    );
    bench.write("within.toml", within);
    bench.ok("create within.toml --output within.suit");
    bench.ok("sign within.suit --key one.pem");
    let envelope = bench.read("within.suit");
    let manifest = verify(&envelope, bench.public("one.pub.pem")).unwrap();
    assert_eq!(manifest.integrated_payload("#0"), Some(&image[..]));
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_envelope_of_others_is_shown_and_those_of_its_key_verify() {
    let bench = Bench::new();
    bench.ok("key new own.pem");
    let (mut shown, mut verified) = (0, 0);
    for folder in ["suit/libcsuit", "suit/draft37"] {
        for entry in std::fs::read_dir(vectors().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "suit") {
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let file = path.to_str().unwrap();
            // The draft also has its examples without any signature, and without a place for one.
            if name.contains(".envelope.") {
                continue;
            }
            let page = bench.ok(&format!("inspect {file}"));
            assert!(
                page.contains("condition-") || page.contains("directive-"),
                "{name}: {page}"
            );
            shown += 1;
            let untagged = ["expD.", "expI.", "expU."]
                .iter()
                .any(|part| name.contains(part));
            let mac = ["expAF", "expAW"].iter().any(|part| name.contains(part));
            let key = vectors().join(KEY);
            let key = key.to_str().unwrap();
            let tag = if untagged { " --untagged" } else { "" };
            let line = format!("verify {file} --key {key} --any-key-id{tag}");
            if mac {
                bench.refused(&line);
            } else {
                bench.ok(&line);
                verified += 1;
                // One more signature leaves the first one, and the missing tag, as they were.
                bench.ok(&format!("sign {file} --key own.pem --output more.suit"));
                bench.ok(&format!("verify more.suit --key {key} --any-key-id{tag}"));
                bench.ok(&format!("verify more.suit --key own.pub.pem{tag}"));
            }
        }
    }
    assert_eq!((shown, verified), (28, 25));
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn descriptions_of_the_drafts_examples_give_the_drafts_manifests() {
    const HEAD: &str = "vendor = \"arm.com\"\nclass = \"suit\"\n";
    let digest = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    let bench = Bench::new();
    let manifest_of = |name: &str| {
        let shown = bench.ok(&format!("inspect {name}"));
        shown
            .lines()
            .find(|line| line.starts_with("manifest digest"))
            .unwrap()
            .to_owned()
    };
    for (number, described) in [
        (
            0,
            format!(
                "sequence = 0\n{HEAD}[[component]]\nid = [\"0x00\"]\ndigest = \"{digest}\"\nsize = 34768\ninvoke = true\n"
            ),
        ),
        (
            1,
            format!(
                "sequence = 1\n{HEAD}[[component]]\nid = [\"0x00\"]\ndigest = \"{digest}\"\nsize = 34768\nuri = \"http://example.com/file.bin\"\n"
            ),
        ),
    ] {
        bench.write("example.toml", described);
        bench.ok("create example.toml -o example.suit");
        let theirs = std::fs::read_dir(vectors().join("suit/draft37")).unwrap();
        let prefix = format!("example{number}.envelope-with-cose");
        let theirs = theirs
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(&prefix)
            })
            .unwrap();
        let difference = bench.run(&["diff", theirs.to_str().unwrap(), "example.suit"]);
        let difference = String::from_utf8_lossy(&difference.stdout).into_owned();
        assert_eq!(
            manifest_of("example.suit"),
            manifest_of(theirs.to_str().unwrap()),
            "{difference}"
        );
    }
}
