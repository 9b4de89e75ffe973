//! Other people's programs: Python's cbor2 and pycose check what the tool signed, and a token signs for it.

use std::process::Command;

use crate::bench::{Bench, vector, verify};
use crate::newcomer::blocks;
use crate::softhsm;

const DESCRIBED: &str = r#"
sequence = 9
vendor = "micropython.org"
class = "pybv11"
[[component]]
id = ["firmware"]
image = "firmware.bin"
uri = "https://micropython.org/pybv11.bin"
"#;

fn bench(image: &[u8]) -> Bench {
    let bench = Bench::new();
    bench.write("firmware.bin", image);
    bench.write("pybv11.toml", DESCRIBED);
    bench.ok("create pybv11.toml -o pybv11.suit");
    bench
}

#[test]
#[ignore = "needs IOT_VECTORS and Python's pycose"]
fn python_verifies_what_the_tool_signed_for_a_real_image() {
    let bench = bench(&vector("delta/pybv11/1f5d945af/firmware1.bin"));
    bench.ok("key new one.pem");
    bench.ok("key new two.pem --algorithm ed25519");
    bench.ok("key new other.pem");
    bench.ok("sign pybv11.suit --key one.pem");
    bench.ok("sign pybv11.suit --key two.pem");
    let check = |envelope: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifest/check.py");
        let files = [
            envelope,
            "firmware.bin",
            "one.pub.pem",
            "two.pub.pem",
            "other.pub.pem",
        ];
        let output = Command::new("python3")
            .arg(script)
            .args(files.map(|name| bench.path(name)))
            .output()
            .expect("python3");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let (said, error) = check("pybv11.suit");
    assert_eq!(said, "manifest 9: 2 signatures, 2 of 3 keys\n", "{error}");
    // The last byte of the first signature: Python must see it.
    let mut spoiled = bench.read("pybv11.suit");
    let head = spoiled
        .windows(2)
        .position(|two| two == [0x58, 0x40])
        .unwrap();
    spoiled[head + 65] ^= 1;
    bench.write("spoiled.suit", spoiled);
    let (said, error) = check("spoiled.suit");
    assert_eq!(said, "manifest 9: 2 signatures, 1 of 3 keys\n", "{error}");
}

#[test]
#[ignore = "needs softhsm2"]
fn a_token_signs_with_a_key_that_never_leaves_it() {
    let name = "peers::a_token_signs_with_a_key_that_never_leaves_it";
    softhsm::with_tokens(name, &["release"], || {
        let bench = bench(&[7; 1_000]);
        bench.write("pin", softhsm::PIN);
        let module = softhsm::module();
        let key = format!(
            "pkcs11:token=release;id=3?module-path={}&pin-source=pin",
            module.display()
        );
        let error = bench.refused(&format!("sign pybv11.suit --key {key}"));
        assert!(error.contains("manifest key new"), "{error}");
        let public = bench.ok(&format!("key new {key}"));
        assert_eq!(public, bench.ok(&format!("key show {key}")));
        bench.write("token.pub.pem", public);
        bench.ok("key new one.pem");
        bench.ok(&format!("sign pybv11.suit --key {key}"));
        bench.ok("sign pybv11.suit --key one.pem");
        bench.ok("verify pybv11.suit --key token.pub.pem --key one.pub.pem --threshold 2");
        let envelope = bench.read("pybv11.suit");
        assert!(verify(&envelope, bench.public("token.pub.pem")).is_some());
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn the_readme_leads_to_a_release_by_two_of_three_with_a_token() {
    let name = "peers::the_readme_leads_to_a_release_by_two_of_three_with_a_token";
    softhsm::with_tokens(name, &["release"], || {
        let bench = Bench::new();
        bench.write("firmware.bin", [7; 1_000]);
        bench.write("boiler.toml", &blocks("toml")[0]);
        bench.write("pin", softhsm::PIN);
        let module = softhsm::module().display().to_string();
        let block = blocks("sh").remove(0);
        let (mut ran, mut verify_line) = (0, String::new());
        for line in block.lines() {
            let line = line.strip_prefix("$ manifest ").expect(line);
            let line = line.replace("/usr/lib/softhsm/libsofthsm2.so", &module);
            // What a shell does of quotes and redirection.
            let line = line.replace('\'', "");
            let (words, file) = line.split_once(" > ").unwrap_or((&line, "out"));
            bench.write(file, bench.ok(words));
            if words.starts_with("key show") {
                assert_eq!(
                    bench
                        .read("out")
                        .windows(6)
                        .filter(|six| six == b"HSM_ID")
                        .count(),
                    1
                );
            }
            verify_line = words.to_owned();
            ran += 1;
        }
        assert_eq!(ran, 8, "the block is all read");
        let said = String::from_utf8(bench.read("out")).unwrap();
        assert_eq!(said.matches("signed by").count(), 1, "{said}");
        // Any two will do, and no one alone.
        let two = bench.read("boiler.suit");
        assert!(verify(&two, bench.public("hsm.pub.pem")).is_some());
        assert!(verify(&two, bench.public("backup.pub.pem")).is_some());
        assert!(verify(&two, bench.public("safety.pub.pem")).is_none());
        bench.ok("create boiler.toml --output boiler.suit");
        bench.ok("sign boiler.suit --key safety.pem");
        let error = bench.refused(&verify_line);
        assert!(error.contains("1 of the 2 signatures"), "{error}");
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn what_is_wrong_with_a_token_is_said_with_what_helps() {
    let name = "peers::what_is_wrong_with_a_token_is_said_with_what_helps";
    softhsm::with_tokens(name, &["release"], || {
        let bench = Bench::new();
        bench.write("pin", softhsm::PIN);
        bench.write("wrong", "987654");
        let module = softhsm::module().display().to_string();
        let show = |token: &str, id: &str, module: &str, pin: &str| {
            let uri = format!("pkcs11:token={token};{id}?module-path={module}&pin-source={pin}");
            bench.refused(&format!("key show {uri}"))
        };
        let good = ("release", "id=1", &*module, "pin");
        for (error, remedy) in [
            (
                show("other", good.1, good.2, good.3),
                "when it was initialised",
            ),
            (
                show(good.0, good.1, "none.so", good.3),
                "library of the token's maker",
            ),
            (show(good.0, good.1, good.2, "wrong"), "the user's PIN"),
            (show(good.0, good.1, good.2, good.3), "manifest key new"),
            (show(good.0, "object=mine", good.2, good.3), "id=NUMBER"),
        ] {
            assert!(
                error.split("remedy: ").nth(1).unwrap().contains(remedy),
                "{error}"
            );
        }
    });
}
