//! Keys in a PKCS#11 token, named by a URI (RFC 7512).

use std::path::PathBuf;

use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm, Signer, SlotId};
use iot_identity::key::Secret;
use iot_identity::pkcs11::{Config, Fault, OpenError, Pkcs11Keys, TokenName};

use crate::files;
use crate::problem::Problem;

const FORM: &str =
    "write pkcs11:token=LABEL;id=NUMBER?module-path=LIBRARY&pin-source=FILE, without quotes in it";

/// Where a key lies in a token.
#[derive(Debug)]
pub(crate) struct Token {
    uri: String,
    label: String,
    slot: SlotId,
    module: PathBuf,
    pin: PathBuf,
}

impl Token {
    /// Reads a URI; `None` for what does not begin like one.
    ///
    /// `id` is the number under which [`Pkcs11Keys`] keeps the key, 0 to 65535.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Problem> {
        let Some(rest) = text.strip_prefix("pkcs11:") else {
            return Ok(None);
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut label, mut slot, mut module, mut pin) = (None, None, None, None);
        for pair in path.split(';').chain(query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "" => {}
                "token" => label = Some(value.to_owned()),
                "id" => slot = value.parse().ok().map(SlotId::new),
                "module-path" => module = Some(value.into()),
                "pin-source" => pin = Some(value.strip_prefix("file:").unwrap_or(value).into()),
                "pin-value" => {
                    let cause = "everybody on this machine can read the command line";
                    return Err(Problem::new(
                        "pin-value",
                        cause,
                        "put the PIN into a file and name that: pin-source=FILE",
                    ));
                }
                "object" => {
                    let cause = "keys are found by their number, not by their label";
                    return Err(Problem::new("object", cause, FORM));
                }
                name => return Err(Problem::new(name, "not understood in a token's URI", FORM)),
            }
        }
        let missing = |part: &str| Problem::new(text, format!("{part} is missing"), FORM);
        Ok(Some(Self {
            uri: text.to_owned(),
            label: label.ok_or_else(|| missing("token"))?,
            slot: slot.ok_or_else(|| missing("a number as id"))?,
            module: module.ok_or_else(|| missing("module-path"))?,
            pin: pin.ok_or_else(|| missing("pin-source"))?,
        }))
    }

    fn open(&self) -> Result<Pkcs11Keys, Problem> {
        let pin = files::read_text(&self.pin)?;
        let pin = Secret::new(pin.trim_end_matches(['\r', '\n']));
        let name = TokenName::Label(self.label.clone());
        Pkcs11Keys::open(Config::new(&self.module, name, pin)).map_err(|error| {
            let remedy = match error {
                OpenError::Module => "module-path is the library of the token's maker, such as libsofthsm2.so",
                OpenError::Extractable { .. } => {
                    "a key that can leave the token protects nothing: make it there with manifest key new"
                }
                OpenError::Fault(Fault::NoToken) => {
                    "token is the label that the token got when it was initialised"
                }
                OpenError::Fault(Fault::Pin) => {
                    "put the user's PIN into the pin-source file; a few wrong PINs lock a token"
                }
                _ => "check that the token works with its maker's tools",
            };
            Problem::new(format!("token {}", self.label), error, remedy)
        })
    }

    /// Makes a key in the token, which it never leaves.
    pub(crate) fn generate(&self, algorithm: SignatureAlgorithm) -> Result<(), Problem> {
        let made = self
            .open()?
            .generate(self.slot, algorithm, KeyPolicy::SignForLife);
        made.map_err(|error| {
            let remedy = "choose another id, or another algorithm that the token has";
            Problem::new(&self.uri, error, remedy)
        })
    }

    pub(crate) fn with_signer<T>(
        &self,
        work: impl FnOnce(&dyn Signer) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let keys = self.open()?;
        let signer = keys.signer(self.slot).map_err(|error| {
            let remedy = format!("make the key first: manifest key new '{}'", self.uri);
            Problem::new(&self.uri, error, remedy)
        })?;
        work(&signer)
    }
}
