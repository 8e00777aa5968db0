//! What keeps a secret from whoever listens on the bus: Diffie-Hellman, then AES, both as the Secret Service lays down.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U1024};
use hkdf::Hkdf;
use leasehold_core::Failure;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::random;

/// Its name in the protocol.
pub(super) const ALGORITHM: &str = "dh-ietf1024-sha256-aes128-cbc-pkcs7";
/// The length of a public key, in bytes.
const PUBLIC: usize = 128;

/// The prime of the second Oakley group, by RFC 2409.
const PRIME: Odd<U1024> = Odd::<U1024>::from_be_hex(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
     EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
);
const GROUP: FixedMontyParams<{ U1024::LIMBS }> = FixedMontyParams::new_vartime(PRIME);

/// Our half of the exchange.
pub(super) struct Offer {
    /// Twice as long as the group is strong, and no longer: it is what the time goes into.
    exponent: Zeroizing<U256>,
}

impl Offer {
    pub(super) fn draw() -> Result<Self, Failure> {
        Ok(Self { exponent: Zeroizing::new(U256::from_be_slice(&*Zeroizing::new(random::bytes::<32>()?))) })
    }

    /// What the other side may see.
    pub(super) fn public(&self) -> Vec<u8> {
        bytes(&self.power(&U1024::from_u8(2))).to_vec()
    }

    /// The cipher that only the two of us know; none if the other side's public key is of no use.
    pub(super) fn agree(&self, public: &[u8]) -> Option<Cipher> {
        let start = PUBLIC.checked_sub(public.len())?;
        let mut padded = [0; PUBLIC];
        padded[start..].copy_from_slice(public);
        let theirs = U1024::from_be_slice(&padded);
        // With one of these the result would be the same for everyone.
        if theirs <= U1024::ONE || theirs >= PRIME.as_ref().wrapping_sub(&U1024::ONE) {
            return None;
        }
        let shared = Zeroizing::new(bytes(&self.power(&theirs)));
        let mut key = Zeroizing::new([0; 16]);
        Hkdf::<Sha256>::new(None, &*shared).expand(&[], &mut *key).ok()?;
        Some(Cipher(key))
    }

    fn power(&self, base: &U1024) -> Zeroizing<U1024> {
        Zeroizing::new(FixedMontyForm::new(base, &GROUP).pow(&*self.exponent).retrieve())
    }
}

fn bytes(number: &U1024) -> [u8; PUBLIC] {
    let mut bytes = [0; PUBLIC];
    bytes.copy_from_slice(number.to_be_bytes().as_ref());
    bytes
}

/// What both sides agreed on, for the length of a session.
pub(super) struct Cipher(Zeroizing<[u8; 16]>);

impl Cipher {
    /// The start value that was drawn for it, and the text.
    pub(super) fn seal(&self, plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let start: [u8; 16] = random::bytes()?;
        let cipher = cbc::Encryptor::<aes::Aes128>::new((&*self.0).into(), (&start).into());
        Ok((start.to_vec(), cipher.encrypt_padded_vec::<Pkcs7>(plain)))
    }

    /// The plain text; none if it was not encrypted for us.
    pub(super) fn open(&self, start: &[u8], text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let start: &[u8; 16] = start.try_into().ok()?;
        let cipher = cbc::Decryptor::<aes::Aes128>::new((&*self.0).into(), start.into());
        cipher.decrypt_padded_vec::<Pkcs7>(text).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;
    use sha2::Digest;

    /// An exponent that anybody may know.
    fn known() -> Offer {
        let bytes: Vec<u8> = (1..=32).collect();
        Offer { exponent: Zeroizing::new(U256::from_be_slice(&bytes)) }
    }

    /// The values were computed by Python's integers and its `hmac`. The shared number begins with a zero byte.
    #[test]
    fn another_implementation_agrees() {
        let offer = known();
        let digest = hex(Sha256::digest(offer.public()));
        assert_eq!(digest, "3e5e53f04e5eeec9a4732ead2dc7f2ffad5d7f6aab19395b4a8130e8ec660251");
        let cipher = offer.agree(&(1_u32 << 27).to_be_bytes()).expect("a good key");
        assert_eq!(hex(*cipher.0), "c9cc319526f0e8077e0d5daf664ffa84");
    }

    #[test]
    fn both_sides_agree_and_nobody_else() {
        let (ours, theirs, other) = (Offer::draw().unwrap(), Offer::draw().unwrap(), Offer::draw().unwrap());
        let sealed = ours.agree(&theirs.public()).unwrap().seal(b"canary").unwrap();
        let open = |offer: &Offer| {
            let cipher = offer.agree(&ours.public()).unwrap();
            cipher.open(&sealed.0, &sealed.1).map(|plain| plain.to_vec())
        };
        assert_eq!(open(&theirs), Some(b"canary".to_vec()));
        assert_ne!(open(&other), Some(b"canary".to_vec()));
        assert!(ours.agree(&theirs.public()).unwrap().open(&sealed.0[1..], &sealed.1).is_none());
        assert!(ours.agree(&theirs.public()).unwrap().open(&sealed.0, &sealed.1[1..]).is_none());
    }

    #[test]
    fn a_public_key_of_no_use_is_refused() {
        let less_one = bytes(&PRIME.as_ref().wrapping_sub(&U1024::ONE));
        let prime = bytes(PRIME.as_ref());
        for public in [&[][..], &[0], &[1], &less_one, &prime, &[0xff; PUBLIC], &[2; PUBLIC + 1]] {
            assert!(known().agree(public).is_none(), "{public:?}");
        }
        assert!(known().agree(&[2]).is_some());
    }
}
