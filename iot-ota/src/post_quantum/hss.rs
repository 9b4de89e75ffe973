//! HSS/LMS (RFC 8554) on the digest port: nothing but SHA-256.

use core::fmt;

use iot_core::crypto::{BadSignature, Digest, Sha256Digest, SignatureAlgorithm, Verifier};

use crate::image::digests_equal;

const HASH: usize = 32;
const ID: usize = 16;
/// Type of the tree, type of its leaves, identifier and root (§5.3).
const TREE_KEY: usize = 4 + 4 + ID + HASH;
const KEY_BYTES: usize = 4 + TREE_KEY;
const MAX_LEVELS: u32 = 8;
// What is hashed, told apart (§7.1).
const PUBLIC: [u8; 2] = [0x80, 0x80];
const MESSAGE: [u8; 2] = [0x81, 0x81];
const LEAF: [u8; 2] = [0x82, 0x82];
const INNER: [u8; 2] = [0x83, 0x83];

/// Checks HSS/LMS signatures: one tree or up to eight above each other, SHA-256 with 32-byte hashes, every height and
/// width of RFC 8554 (COSE -46, RFC 8778).
///
/// Whatever comes as a signature, it takes at most 8,670 hashes of one or two blocks for each level, and one more for
/// each level of a tree.
///
/// ```
/// use iot_core::crypto::{Digest, Sha256Digest, Verifier};
/// # #[derive(Clone, Default)] struct Sha256(Sha256Digest);
/// # impl Digest for Sha256 {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_mul(31) ^ *b } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// use iot_ota::post_quantum::HssVerifier;
/// // One level, a tree of height 5 with leaves of width 8.
/// let mut key = [7; 60];
/// key[..12].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 4]);
/// let verifier = HssVerifier::new(&key, Sha256::default()).ok_or("no key")?;
/// assert!(verifier.verify(&[b"message"], b"no signature").is_err());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone)]
pub struct HssVerifier<D> {
    levels: u32,
    root: [u8; TREE_KEY],
    digest: D,
}

impl<D: Digest + Clone> HssVerifier<D> {
    /// Takes a public key (RFC 8554 §6.1) and SHA-256, which must have absorbed nothing; `None` for another form of
    /// key: another hash, more than eight levels, or an unknown type.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES], digest: D) -> Option<Self> {
        let (levels, root) = key.split_first_chunk()?;
        let levels = u32::from_be_bytes(*levels);
        let root = root.try_into().ok()?;
        Tree::read(root)?;
        (1..=MAX_LEVELS).contains(&levels).then_some(Self {
            levels,
            root: *root,
            digest,
        })
    }

    /// The verification of §6.3, with the chain of keys that the signature brings along.
    fn holds(&self, message: &[&[u8]], signature: &[u8]) -> Option<()> {
        let mut reader = Reader(signature);
        let above = reader.number()?;
        if above.checked_add(1) != Some(self.levels) {
            return None;
        }
        let mut key = &self.root;
        for _ in 0..above {
            let signed = reader.0;
            let mut ahead = Reader(reader.0);
            let tree = Tree::read(key)?;
            ahead.skip(tree.signature_bytes())?;
            let next: &[u8; TREE_KEY] = ahead.chunk()?;
            tree.holds(&self.digest, &[next], signed)?;
            (reader, key) = (ahead, next);
        }
        let tree = Tree::read(key)?;
        (reader.0.len() == tree.signature_bytes()).then_some(())?;
        tree.holds(&self.digest, message, reader.0)
    }
}

impl<D: Digest + Clone> Verifier for HssVerifier<D> {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::HssLms
    }

    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        self.holds(message, signature).ok_or(BadSignature::new())
    }
}

impl<D> fmt::Debug for HssVerifier<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HssVerifier({} levels)", self.levels)
    }
}

/// The public key of one tree.
struct Tree<'k> {
    height: u8,
    leaf: Leaf,
    id: &'k [u8; ID],
    root: &'k Sha256Digest,
}

/// A one-time signature: bits in a digit, digits in all, and how far the sum of what is missing is shifted (§4.1).
#[derive(Clone, Copy)]
struct Leaf {
    kind: u32,
    width: u8,
    digits: u16,
    shift: u8,
}

impl Leaf {
    const fn of(kind: u32) -> Option<Self> {
        let (width, digits, shift) = match kind {
            1 => (1, 265, 7),
            2 => (2, 133, 6),
            3 => (4, 67, 4),
            4 => (8, 34, 0),
            _ => return None,
        };
        Some(Self {
            kind,
            width,
            digits,
            shift,
        })
    }

    const fn signature_bytes(self) -> usize {
        4 + HASH * (1 + self.digits as usize)
    }
}

impl<'k> Tree<'k> {
    fn read(key: &'k [u8; TREE_KEY]) -> Option<Self> {
        let mut reader = Reader(key);
        let height = match reader.number()? {
            5 => 5,
            6 => 10,
            7 => 15,
            8 => 20,
            9 => 25,
            _ => return None,
        };
        Some(Self {
            height,
            leaf: Leaf::of(reader.number()?)?,
            id: reader.chunk()?,
            root: reader.chunk()?,
        })
    }

    fn kind(&self) -> u32 {
        u32::from(self.height / 5) + 4
    }

    /// Number of the leaf, its signature, type of the tree, and the way up (§5.4).
    fn signature_bytes(&self) -> usize {
        4 + self.leaf.signature_bytes() + 4 + HASH * usize::from(self.height)
    }

    /// Algorithms 4b and 6a: which root a signature leads to.
    fn holds<D: Digest + Clone>(
        &self,
        digest: &D,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Option<()> {
        let mut reader = Reader(signature);
        let number = reader.number()?;
        // A number beyond the tree needs a longer way up than there is.
        let mut node = (1_u32 << self.height).checked_add(number)?;
        let mut digest = digest.clone();
        let key = self.leaf_key(&mut digest, number, message, &mut reader)?;
        (reader.number()? == self.kind()).then_some(())?;
        let mut found = self.hash(&mut digest, node, LEAF, &[&key]);
        while node > 1 {
            let beside: &Sha256Digest = reader.chunk()?;
            let pair: [&[u8]; 2] = if node & 1 == 1 {
                [beside, &found]
            } else {
                [&found, beside]
            };
            node >>= 1;
            found = self.hash(&mut digest, node, INNER, &pair);
        }
        digests_equal(&found, self.root).then_some(())
    }

    /// The public key of the leaf that a one-time signature leads to (algorithm 4b).
    fn leaf_key<D: Digest + Clone>(
        &self,
        digest: &mut D,
        number: u32,
        message: &[&[u8]],
        reader: &mut Reader<'_>,
    ) -> Option<Sha256Digest> {
        (reader.number()? == self.leaf.kind).then_some(())?;
        let random: &Sha256Digest = reader.chunk()?;
        self.begin(digest, number, MESSAGE);
        digest.update(random);
        for part in message {
            digest.update(part);
        }
        let digits = Digits::of(&digest.finish(), self.leaf);
        let last = u8::MAX >> (8 - self.leaf.width);
        let mut all = digest.clone();
        self.begin(&mut all, number, PUBLIC);
        for at in 0..self.leaf.digits {
            let mut value = *reader.chunk::<HASH>()?;
            for step in digits.get(at)?..last {
                self.begin(digest, number, at.to_be_bytes());
                digest.update(&[step]);
                digest.update(&value);
                value = digest.finish();
            }
            all.update(&value);
        }
        Some(all.finish())
    }

    fn hash(
        &self,
        digest: &mut impl Digest,
        number: u32,
        what: [u8; 2],
        parts: &[&[u8]],
    ) -> Sha256Digest {
        self.begin(digest, number, what);
        for part in parts {
            digest.update(part);
        }
        digest.finish()
    }

    fn begin(&self, digest: &mut impl Digest, number: u32, what: [u8; 2]) {
        digest.update(self.id);
        digest.update(&number.to_be_bytes());
        digest.update(&what);
    }
}

/// A digest and the sum of what its digits lack, as digits (§3.1.3, §4.4).
struct Digits {
    bytes: [u8; HASH + 2],
    width: u8,
}

impl Digits {
    fn of(digest: &Sha256Digest, leaf: Leaf) -> Self {
        let mut digits = Self {
            bytes: [0; HASH + 2],
            width: leaf.width,
        };
        let (front, back) = digits.bytes.split_at_mut(HASH);
        front.copy_from_slice(digest);
        let mut sum = 0_u16;
        for byte in digest {
            for at in 0..8 / leaf.width {
                sum += u16::from(Self::lacks(*byte, at, leaf.width));
            }
        }
        back.copy_from_slice(&(sum << leaf.shift).to_be_bytes());
        digits
    }

    const fn lacks(byte: u8, at: u8, width: u8) -> u8 {
        let last = u8::MAX >> (8 - width);
        last - (byte >> (8 - width * (at + 1)) & last)
    }

    fn get(&self, at: u16) -> Option<u8> {
        let within = u16::from(8 / self.width);
        let byte = *self.bytes.get(usize::from(at / within))?;
        let place = u8::try_from(at % within).ok()?;
        let last = u8::MAX >> (8 - self.width);
        Some(last - Self::lacks(byte, place, self.width))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }

    fn number(&mut self) -> Option<u32> {
        self.chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }
}
