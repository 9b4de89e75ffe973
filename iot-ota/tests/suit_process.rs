//! What each envelope of libcsuit has a device do, written down from its diagnostic text, and followed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/keys.rs"]
mod keys;
#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/vectors.rs"]
mod vectors;

use iot_ota::process::Procedure::{Invoke, Uninstall, Update};
use scripted::Scripted;

const A: &str = "00112233";
const B: &str = "01234567";

/// Follows `suit_manifest_exp<name>.suit` and compares.
#[track_caller]
fn follow(name: &str, procedure: iot_ota::process::Procedure, expected: &[&str]) {
    let mut device = Scripted::for_file(name);
    assert_eq!(device.run(name, procedure), expected, "{name}");
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn example_0_boots_what_it_has_matched() {
    let image = format!("image [00] {A} 34768");
    follow("0", Update, &[&image, "finished"]);
    follow("0", Invoke, &[&image, "invoke [00]", "finished"]);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn example_1_fetches_and_matches_twice() {
    let fetch = format!("fetch [00] http://example.com/file.bin {A} 34768");
    let image = format!("image [00] {A} 34768");
    follow("1", Update, &[&fetch, &image, &image, "finished"]);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn example_2_updates_while_its_install_section_is_there_and_boots_without_it() {
    let fetch = format!("fetch [00] http://example.com/very/long/path/to/file/file.bin {A} 34768");
    let image = format!("image [00] {A} 34768");
    follow("2B", Update, &[&fetch, &image, &image, "finished"]);
    let severed = "the manifest's part 20 was severed, and is needed";
    follow("2A", Update, &[severed]);
    for name in ["2A", "2B"] {
        follow(name, Invoke, &[&image, "invoke [00]", "finished"]);
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn example_3_takes_the_image_of_the_slot_that_the_device_will_use() {
    let fetch = format!("fetch [00] http://example.com/file1.bin {A} 34768");
    let image = format!("image [00] {A} 34768");
    let slot = "slot [00] 0";
    follow(
        "3",
        Update,
        &[slot, slot, &fetch, &image, slot, &image, "finished"],
    );

    let mut second = Scripted::for_file("3").answering("slot [00] 0", false);
    let fetch = format!("fetch [00] http://example.com/file2.bin {B} 76834");
    let image = format!("image [00] {B} 76834");
    let (no, yes) = ("slot [00] 0: no", "slot [00] 1");
    let expected = [
        no, yes, no, yes, &fetch, &image, no, yes, &image, "finished",
    ];
    assert_eq!(second.run("3", Update), expected);

    let mut neither = Scripted::for_file("3")
        .answering("slot [00] 0", false)
        .answering("slot [00] 1", false);
    let expected = [
        no,
        "slot [00] 1: no",
        "directive-try-each failed, at byte 39 of part 3",
    ];
    assert_eq!(neither.run("3", Update), expected);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn example_4_stages_installs_and_loads_three_components() {
    let expected = [
        &format!("fetch [02] http://example.com/file.bin {A} -"),
        &format!("image [02] {A} -"),
        "copy [00] from [02]",
        &format!("image [00] {A} 34768"),
        &format!("image [00] {A} 34768"),
        "finished",
    ];
    follow("4", Update, &expected);
    let expected = [
        &format!("image [00] {A} 34768"),
        "copy [01] from [00]",
        &format!("image [01] {B} 76834"),
        "invoke [01]",
        "finished",
    ];
    follow("4", Invoke, &expected);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn example_5_installs_two_images() {
    let (a, b) = (
        format!("image [00] {A} 34768"),
        format!("image [01] {B} 76834"),
    );
    let expected = [
        &format!("fetch [00] http://example.com/file1.bin {A} 34768"),
        &*a,
        &format!("fetch [01] http://example.com/file2.bin {B} 76834"),
        &b,
        &a,
        &b,
        "finished",
    ];
    follow("5", Update, &expected);
    follow("5", Invoke, &[&a, &b, "invoke [00]", "finished"]);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn encrypted_payloads_are_copied_or_written_with_their_encryption() {
    let uri = "coaps://example.com/encrypted-firmware";
    let expected = [
        &format!("fetch [encrypted-firmware] {uri} - 46"),
        "copy [plaintext-firmware] from [encrypted-firmware] encrypted",
        "finished",
    ];
    follow("AF", Update, &expected);
    let expected = [
        &format!("fetch [01] {uri} - 46"),
        "copy [00] from [01] encrypted",
        "finished",
    ];
    follow("AFS", Update, &expected);
    let written = ["write [plaintext-firmware] 46 bytes encrypted", "finished"];
    follow("AW", Update, &written);
    let written = ["write [decrypted-firmware] 46 bytes encrypted", "finished"];
    follow("EW", Update, &written);
}

const UUID: &str = "8d82573a926d4754935332dc29997f74";

#[test]
#[ignore = "needs IOT_VECTORS"]
fn a_trusted_application_is_fetched_and_unlinked_alone_and_as_a_dependency() {
    let ta = format!("[TEEP-Device/SecureFS/{UUID}/ta]");
    let uri = "https://example.org/8d82573a-926d-4754-9353-32dc29997f74";
    let image = format!("image {ta} 8cf71ac8 20");
    let fetch = format!("fetch {ta} {uri}.ta 8cf71ac8 20");
    let unlink = format!("unlink {ta}");
    follow("U", Update, &[&fetch, &image, "finished"]);
    let integrated = format!("fetch {ta} 20 bytes here 8cf71ac8 20");
    follow("I", Update, &[&integrated, &image, "finished"]);
    follow("I", Uninstall, &[&unlink, "finished"]);

    let suit = format!("[TEEP-Device/SecureFS/{UUID}/suit]");
    let config = "[TEEP-Device/SecureFS/config.json]";
    let expected = [
        &format!("fetch {suit} {uri}.suit b39b52b0 389"),
        &format!("dependency {suit}"),
        &*fetch,
        &image,
        &format!("write {config} 61 bytes encrypted"),
        &format!("image {config} 8273468f 61"),
        "finished",
    ];
    follow("D", Update, &expected);
    let expected = [
        &format!("dependency {suit}"),
        &*unlink,
        &format!("unlink {config}"),
        "finished",
    ];
    follow("D", Uninstall, &expected);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn a_dependency_consumes_the_parameters_that_its_dependent_has_set() {
    let dependency = "dependency [dependency-manifest.suit]";
    let expected = [
        "fetch [dependency-manifest.suit] 247 bytes here 4b15c90f 247",
        dependency,
        dependency,
        "write [decrypted-firmware] 46 bytes encrypted",
        "image [decrypted-firmware] 36921488 30",
        "finished",
    ];
    follow("ED", Update, &expected);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn two_trust_domains_write_and_invoke() {
    let expected = ["write [00-text] 11 bytes", "finished"];
    follow("S0", Update, &expected);
    follow("S0", Invoke, &["invoke [00-text] cat 00", "finished"]);
    let dependency = "dependency [dependent.suit]";
    let expected = [
        "fetch [dependent.suit] http://example.com/dependent.suit 0f02caf6 190",
        dependency,
        dependency,
        dependency,
        "write [00-text] 11 bytes",
        "write [10] 26 bytes",
        "finished",
    ];
    follow("S2", Update, &expected);
    let expected = [
        "fetch [dependent.suit] 190 bytes here 0f02caf6 190",
        dependency,
        dependency,
        "write [00-text] 11 bytes",
        "write [10] 26 bytes",
        "finished",
    ];
    follow("S3", Update, &expected);
    for name in ["S2", "S3"] {
        follow(name, Invoke, &["invoke [10] cat 00 10", "finished"]);
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn update_management_asks_for_each_component_in_turn() {
    let expected = [
        "before [00] 1696291200",
        "battery [00] 10",
        "version [00] [1, 0]",
        "authorized [00] -1",
        "before [01] 1696291200",
        "battery [01] 10",
        "version [01] [1, 0, 2]",
        "authorized [01] -1",
        "finished",
    ];
    follow("U0", Update, &expected);
    let expected = [
        "wait [00] a20120020a",
        "wait [01] a1061a00014370",
        "finished",
    ];
    follow("U1", Update, &expected);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn update_management_with_its_own_files() {
    let version = "version [00] [1, 0, 0]";
    let image = "image [00] 36921488 30";
    let expected = [
        version,
        "wait [00] a10201",
        "battery [00] 20",
        "fetch [00] http://example.com/file.bin 36921488 30",
        image,
        version,
        image,
        "before [00] 1465948799",
        "finished",
    ];
    follow("U2", Update, &expected);
    let expected = [
        "write [usr/local/bin] 0 bytes with metadata",
        "fetch [usr/local/bin/example3] https://cdn.example/example3.bin 36921488 30 with metadata",
        "image [usr/local/bin/example3] 36921488 30",
        "write [usr/bin/example] 23 bytes with metadata",
        "finished",
    ];
    follow("U3", Update, &expected);
}
