//! The shell's part of commands: the operator's key, and who carries out what FORWARD cannot.

use anyhow::{Context as _, bail};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use tokio::sync::mpsc;
use windward_protocol::{Answer, Order};

/// Commands on their way to who carries them out. FORWARD lets in one at a time, and each takes a moment.
const UNDER_WAY: usize = 4;
/// How the DER of an Ed25519 public key begins (RFC 8410, section 4); its 32 bytes follow.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public half of the operator's key.
#[derive(Clone, Debug)]
pub(super) struct Key(UnparsedPublicKey<Vec<u8>>);

impl Key {
    /// Reads a PEM file as `openssl pkey -pubout` writes it.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_file(path)
            .with_context(|| format!("no public key in {}", path.display()))?;
        match der.as_ref().strip_prefix(&SPKI) {
            Some(key) if key.len() == 32 => Ok(Self(UnparsedPublicKey::new(&ED25519, key.to_vec()))),
            _ => bail!("the key in {} is no Ed25519 key", path.display()),
        }
    }

    /// Whether these bytes are an order with this key's signature.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        Order::decode(bytes).is_ok_and(|order| self.0.verify(&order.command, &order.signature).is_ok())
    }
}

/// WATCH is to read a device (empty: all) more often.
#[derive(Debug)]
pub(super) struct Hurry {
    pub(super) command: u64,
    pub(super) device: String,
    pub(super) times: u16,
    pub(super) minutes: u16,
}

/// A configuration that an operator wants used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) command: u64,
    /// Text of the file.
    pub(super) toml: String,
}

/// FORWARD's end: where commands go, and where their answers come from.
pub(super) struct Carriers {
    pub(super) key: Option<Key>,
    pub(super) watch: mpsc::Sender<Hurry>,
    pub(super) owner: mpsc::Sender<Wanted>,
    pub(super) answers: mpsc::Receiver<Answer>,
}

/// The others' ends.
pub(super) struct Carried {
    pub(super) hurries: mpsc::Receiver<Hurry>,
    pub(super) wanted: mpsc::Receiver<Wanted>,
    pub(super) answers: mpsc::Sender<Answer>,
}

/// Both ends. Where a queue is full, who asked is told so.
pub(super) fn ends(key: Option<Key>) -> (Carriers, Carried) {
    let (watch, hurries) = mpsc::channel(UNDER_WAY);
    let (owner, wanted) = mpsc::channel(1);
    let (to_forward, answers) = mpsc::channel(UNDER_WAY);
    (Carriers { key, watch, owner, answers }, Carried { hurries, wanted, answers: to_forward })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    /// The key pair of RFC 8032, 7.1, test 1, and its public half as openssl writes it.
    fn pair() -> (Ed25519KeyPair, &'static str) {
        let seed: Vec<u8> = (0..32).map(|at| 0x9d ^ at as u8).collect();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        (pair, "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n")
    }

    #[test]
    fn only_the_operators_own_signature_holds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("operator.pub");
        let (pair, pem) = pair();
        let der = [&SPKI[..], pair.public_key().as_ref()].concat();
        std::fs::write(&file, pem.replace("{}", &base64(&der))).unwrap();
        let key = Key::read(&file).unwrap();

        let command = b"a command".to_vec();
        let order = |signature| Order { command: command.clone(), signature }.encode().unwrap();
        let signature = pair.sign(&command).as_ref().to_vec();
        assert!(key.holds(&order(signature.clone())));
        assert!(!key.holds(&order(Vec::new())));
        let mut other = signature;
        other[10] ^= 1;
        assert!(!key.holds(&order(other)));
        assert!(!key.holds(b"no order"));
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            let file = dir.path().join("key");
            std::fs::write(&file, text).unwrap();
            format!("{:#}", Key::read(&file).unwrap_err())
        };
        assert!(refused("").contains("no public key in "));
        let rsa = pair().1.replace("{}", &base64(&[0x30, 1, 2, 3]));
        assert!(refused(&rsa).ends_with("is no Ed25519 key"));
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |chunk: &[u8]| {
            let word = chunk
                .iter()
                .chain([0, 0, 0].iter().take(3 - chunk.len()))
                .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
            let letter = |at: usize| {
                if at <= chunk.len() { LETTERS[(word >> (18 - 6 * at)) as usize & 63] as char } else { '=' }
            };
            (0..4).map(letter).collect::<String>()
        };
        bytes.chunks(3).map(group).collect()
    }
}
