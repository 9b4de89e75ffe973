//! Certificates that are wrong in every way, before a Mosquitto that demands good ones.

use std::fs;
use std::sync::Arc;

use iot_transport::mqtt::{Client, ConnectError, Tls, Version};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::common::{PATIENCE, device_settings};
use crate::mosquitto::Mosquitto;
use crate::site::{Issuer, Pki};

type Own = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A certificate that is valid until the end of `year`, under a subject of its own: OpenSSL takes one that is
/// called like its issuer for self-signed.
fn leaf(issuer: &Issuer, name: &str, year: i32) -> Own {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2_019, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 12, 31);
    let certificate = params.signed_by(&key, issuer).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (certificate.der().clone(), key.into())
}

fn expired(issuer: &Issuer, name: &str) -> Own {
    leaf(issuer, name, 2_020)
}

fn valid(issuer: &Issuer, name: &str) -> Own {
    leaf(issuer, name, 2_099)
}

fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = (0..3).fold(0_usize, |bits, at| {
                bits << 8 | usize::from(three.get(at).copied().unwrap_or(0))
            });
            for at in 0..4 {
                let digit = char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
                text.push(if at > three.len() { '=' } else { digit });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// A broker that shows `own` and takes only clients whose certificate `pki` issued.
async fn demanding(pki: &Pki, own: &Own) -> Mosquitto {
    Mosquitto::start_in(|folder| {
        let path = |name: &str| folder.join(name).display().to_string();
        fs::write(path("ca"), pem("CERTIFICATE", pki.issuer.der())).unwrap();
        fs::write(path("certificate"), pem("CERTIFICATE", &own.0)).unwrap();
        fs::write(path("key"), pem("PRIVATE KEY", own.1.secret_der())).unwrap();
        format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
            path("ca"),
            path("certificate"),
            path("key")
        )
    })
    .await
}

async fn attempt(broker: &Mosquitto, config: Arc<ClientConfig>) -> Result<(), ConnectError> {
    let tls = Tls::new(broker.address.to_string(), "localhost", config).unwrap();
    let settings = device_settings("d1").with_version(Version::V5);
    Client::new(tls, settings).connected(PATIENCE).await
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn wrong_certificates_are_told_at_once_and_clearly() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let broker = demanding(&pki, &valid(&pki.issuer, "localhost")).await;
    let own = || valid(&pki.issuer, "client.example");
    attempt(&broker, pki.config(Some(own()))).await.unwrap();

    let mine = valid(&stranger.issuer, "client.example");
    let cases = [
        (
            "a broker of another authority",
            stranger.config(Some(own())),
        ),
        ("a client of another authority", pki.config(Some(mine))),
        (
            "an expired client",
            pki.config(Some(expired(&pki.issuer, "client.example"))),
        ),
        ("no certificate", pki.config(None)),
    ];
    for (case, config) in cases {
        let error = attempt(&broker, config).await.expect_err(case);
        println!("{case}: {error}");
        // Only what the broker says of us can come after it has proved itself.
        let whose = if case.starts_with("a broker") {
            matches!(error, ConnectError::Tls(_))
        } else {
            matches!(error, ConnectError::Rejected(_))
        };
        assert!(whose, "{case}: {error}");
        assert!(error.to_string().contains("certificate"), "{case}: {error}");
    }
    let late = demanding(&pki, &expired(&pki.issuer, "localhost")).await;
    let error = attempt(&late, pki.config(Some(own()))).await.unwrap_err();
    println!("an expired broker: {error}");
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
}
