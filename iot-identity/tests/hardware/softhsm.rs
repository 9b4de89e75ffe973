//! Tokens of SoftHSM in a folder of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use iot_identity::key::Secret;
use iot_identity::pkcs11::{Config, TokenName};

pub(crate) const PIN: &str = "123456";
const CONF: &str = "SOFTHSM2_CONF";

pub(crate) fn module() -> PathBuf {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    let found = places.iter().find(|path| Path::new(path).exists());
    found.expect("Debian's package softhsm2").into()
}

/// Runs `body` in a process of its own, in which SoftHSM finds tokens with these labels.
///
/// The library reads its folder from the environment, which a process that runs tests must not change.
pub(crate) fn with_tokens(test: &str, labels: &[&str], body: impl FnOnce()) {
    if std::env::var_os("IOT_SOFTHSM_CHILD").is_some_and(|name| name == test) {
        return body();
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    let lines = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&conf, lines).unwrap();
    for label in labels {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label])
            .args(["--pin", PIN, "--so-pin", "87654321"])
            .env(CONF, &conf)
            .output()
            .expect("Debian's package softhsm2");
        assert!(made.status.success(), "{made:?}");
    }
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CONF, &conf)
        .env("IOT_REAL_TOKEN", module())
        .env("IOT_SOFTHSM_CHILD", test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{test} failed in its own process");
    // A name that matches no test would have passed as well.
    assert!(said.contains("1 passed"), "{test} did not run");
}

pub(crate) fn config(label: &str) -> Config {
    let token = TokenName::Label(label.into());
    Config::new(module(), token, Secret::new(PIN))
}
