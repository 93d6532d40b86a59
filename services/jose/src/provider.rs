//! The one place that names ring: keys, signatures, digests, and jsonwebtoken's provider made of them.
//!
//! **Invariant:** neither factory knows HMAC, so no algorithm confusion can turn a public key into a secret.
//! **Invariant:** no key material leaves but by `generate_pkcs8`; nothing here prints any.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::signature::{Error as Unsigned, Signer, Verifier};
use jsonwebtoken::{Algorithm as Named, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaKeyPair, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, SignatureAlgorithm};

/// Makes ring the provider of jsonwebtoken in this process. May be called any number of times, from anywhere.
///
/// This crate itself does not depend on it: its own verifications go to ring whatever is installed.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An Err means that the embedding process chose another provider before us; that choice is its own.
        let _ = PROVIDER.install_default();
    });
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key,
        rsa_pub_components_from_public_key,
        ec_pub_components_from_private_key,
        ed_pub_components_from_private_key,
        compute_digest,
    },
};

/// A private key that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejected {
    /// ring makes no RSA keys: make one with `openssl genpkey -algorithm RSA -outform DER` and import it.
    #[error("{0} keys are not generated here, only imported")]
    NotGenerated(Algorithm),
    /// Not a PKCS#8 document of a key for this algorithm (an RSA key: at least 2048 bits, RFC 7518 section 3.3).
    #[error("not a PKCS#8 private key for {0}, or too weak a one")]
    Unreadable(Algorithm),
    /// A key is found by its `kid`, so it must have one.
    #[error("empty key id")]
    NoKeyId,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    NoRandomness,
}

/// A new private key as PKCS#8.
///
/// # Errors
/// [`KeyRejected::NotGenerated`] for RSA, [`KeyRejected::NoRandomness`].
pub(crate) fn generate_pkcs8(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyRejected> {
    let rng = SystemRandom::new();
    let document = match algorithm {
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng),
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&rng),
        Algorithm::Rs256 => return Err(KeyRejected::NotGenerated(algorithm)),
    }
    .map_err(|_| KeyRejected::NoRandomness)?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// A parsed private key; parsed once, because parsing costs two thirds of a signature.
pub(crate) enum PrivateKey {
    Es256(EcdsaKeyPair, SystemRandom),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>, SystemRandom),
}

/// The public half, as the octets that RFC 7518 section 6 and RFC 8037 section 2 put into a JWK.
pub(crate) enum PublicOctets {
    P256 { x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PrivateKey {
    pub(crate) fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyRejected> {
        let rng = SystemRandom::new();
        let unreadable = |_| KeyRejected::Unreadable(algorithm);
        match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &rng)
                .map(|key| Self::Es256(key, rng))
                .map_err(unreadable),
            // "Maybe unchecked" also reads version 1, which OpenSSL writes and which has no public half to check.
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
                .map(Self::EdDsa)
                .map_err(unreadable),
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(pkcs8)
                .map(|key| Self::Rs256(Box::new(key), rng))
                .map_err(unreadable),
        }
    }

    /// `None` if the operating system gave no randomness.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Es256(key, rng) => key.sign(rng, message).ok().map(|signed| signed.as_ref().to_vec()),
            Self::EdDsa(key) => Some(key.sign(message).as_ref().to_vec()),
            Self::Rs256(key, rng) => {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, rng, message, &mut signed)
                    .ok()
                    .map(|()| signed)
            }
        }
    }

    /// `None` if ring should ever give a public key in another form than the uncompressed point.
    pub(crate) fn public(&self) -> Option<PublicOctets> {
        match self {
            Self::Es256(key, _) => {
                let (x, y) = coordinates(key.public_key().as_ref(), 32)?;
                Some(PublicOctets::P256 { x, y })
            }
            Self::EdDsa(key) => Some(PublicOctets::Ed25519 {
                x: key.public_key().as_ref().to_vec(),
            }),
            Self::Rs256(key, _) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                Some(PublicOctets::Rsa { n, e })
            }
        }
    }
}

/// SEC 1 section 2.3.3: 4, then both coordinates.
fn coordinates(point: &[u8], coordinate_bytes: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(coordinate_bytes)?;
    (y.len() == coordinate_bytes).then(|| (x.to_vec(), y.to_vec()))
}

/// Whether `signed` is the key's signature of `message`; false also for a key of another family.
pub(crate) fn is_signed_by(
    key: &DecodingKey,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signed: &[u8],
) -> bool {
    match algorithm {
        SignatureAlgorithm::Es256 => {
            is_signed_plainly(key, &signature::ECDSA_P256_SHA256_FIXED, message, signed)
        }
        SignatureAlgorithm::Es384 => {
            is_signed_plainly(key, &signature::ECDSA_P384_SHA384_FIXED, message, signed)
        }
        SignatureAlgorithm::EdDsa => is_signed_plainly(key, &signature::ED25519, message, signed),
        SignatureAlgorithm::Rs256 => {
            is_signed_by_rsa(key, &signature::RSA_PKCS1_2048_8192_SHA256, message, signed)
        }
        SignatureAlgorithm::Rs384 => {
            is_signed_by_rsa(key, &signature::RSA_PKCS1_2048_8192_SHA384, message, signed)
        }
        SignatureAlgorithm::Rs512 => {
            is_signed_by_rsa(key, &signature::RSA_PKCS1_2048_8192_SHA512, message, signed)
        }
        SignatureAlgorithm::Ps256 => {
            is_signed_by_rsa(key, &signature::RSA_PSS_2048_8192_SHA256, message, signed)
        }
        SignatureAlgorithm::Ps384 => {
            is_signed_by_rsa(key, &signature::RSA_PSS_2048_8192_SHA384, message, signed)
        }
        SignatureAlgorithm::Ps512 => {
            is_signed_by_rsa(key, &signature::RSA_PSS_2048_8192_SHA512, message, signed)
        }
    }
}

fn is_signed_plainly(
    key: &DecodingKey,
    with: &'static dyn VerificationAlgorithm,
    message: &[u8],
    signed: &[u8],
) -> bool {
    match key.kind() {
        DecodingKeyKind::SecretOrDer(public) => UnparsedPublicKey::new(with, public)
            .verify(message, signed)
            .is_ok(),
        DecodingKeyKind::RsaModulusExponent { .. } => false,
    }
}

fn is_signed_by_rsa(key: &DecodingKey, with: &'static RsaParameters, message: &[u8], signed: &[u8]) -> bool {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => RsaPublicKeyComponents { n, e }
            .verify(with, message, signed)
            .is_ok(),
        DecodingKeyKind::SecretOrDer(public) => UnparsedPublicKey::new(with, public)
            .verify(message, signed)
            .is_ok(),
    }
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(message: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, message).as_ref());
    digest
}

// What follows is jsonwebtoken's side of the seam.

struct RingSigner(PrivateKey, Named);

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
        self.0.sign(message).ok_or_else(Unsigned::new)
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Named {
        self.1
    }
}

fn signer_factory(named: &Named, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let algorithm = signing(*named).ok_or_else(|| new_error(ErrorKind::UnsupportedAlgorithm))?;
    if key.family() != named.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    let key = match algorithm {
        // jsonwebtoken holds RSA keys as PKCS#1, all others as PKCS#8.
        Algorithm::Rs256 => RsaKeyPair::from_der(key.as_bytes())
            .map(|key| PrivateKey::Rs256(Box::new(key), SystemRandom::new()))
            .map_err(|_| new_error(ErrorKind::InvalidKeyFormat))?,
        Algorithm::Es256 | Algorithm::EdDsa => PrivateKey::from_pkcs8(algorithm, key.as_bytes())
            .map_err(|_| new_error(ErrorKind::InvalidKeyFormat))?,
    };
    Ok(Box::new(RingSigner(key, *named)))
}

struct RingVerifier(DecodingKey, SignatureAlgorithm, Named);

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), Unsigned> {
        if is_signed_by(&self.0, self.1, message, signed) {
            Ok(())
        } else {
            Err(Unsigned::new())
        }
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Named {
        self.2
    }
}

fn verifier_factory(named: &Named, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let algorithm = verified(*named).ok_or_else(|| new_error(ErrorKind::UnsupportedAlgorithm))?;
    if key.family() != named.family() || key.family() == AlgorithmFamily::Hmac {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(RingVerifier(key.clone(), algorithm, *named)))
}

/// Our name for theirs; HMAC has none.
fn verified(named: Named) -> Option<SignatureAlgorithm> {
    match named {
        Named::ES256 => Some(SignatureAlgorithm::Es256),
        Named::ES384 => Some(SignatureAlgorithm::Es384),
        Named::EdDSA => Some(SignatureAlgorithm::EdDsa),
        Named::RS256 => Some(SignatureAlgorithm::Rs256),
        Named::RS384 => Some(SignatureAlgorithm::Rs384),
        Named::RS512 => Some(SignatureAlgorithm::Rs512),
        Named::PS256 => Some(SignatureAlgorithm::Ps256),
        Named::PS384 => Some(SignatureAlgorithm::Ps384),
        Named::PS512 => Some(SignatureAlgorithm::Ps512),
        Named::HS256 | Named::HS384 | Named::HS512 | _ => None,
    }
}

fn signing(named: Named) -> Option<Algorithm> {
    let algorithm = verified(named)?;
    Algorithm::ALL
        .into_iter()
        .find(|signing| SignatureAlgorithm::of(*signing) == algorithm)
}

fn rsa_pub_components_from_private_key(pkcs1: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let key = RsaKeyPair::from_der(pkcs1).map_err(|_| new_error(ErrorKind::InvalidKeyFormat))?;
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
    Ok((n, e))
}

fn rsa_pub_components_from_public_key(_: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    // ring has no reader for a bare RSA public key, and Curfew meets them as JWK only.
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn ec_pub_components_from_private_key(
    pkcs8: &[u8],
    named: Named,
) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>), Error> {
    let invalid = || new_error(ErrorKind::InvalidEcdsaKey);
    let (curve, with, coordinate_bytes) = match verified(named) {
        Some(SignatureAlgorithm::Es256) => (EllipticCurve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        Some(SignatureAlgorithm::Es384) => (EllipticCurve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
        Some(_) | None => return Err(invalid()),
    };
    let key = EcdsaKeyPair::from_pkcs8(with, pkcs8, &SystemRandom::new()).map_err(|_| invalid())?;
    let (x, y) = coordinates(key.public_key().as_ref(), coordinate_bytes).ok_or_else(invalid)?;
    Ok((curve, x, y))
}

fn ed_pub_components_from_private_key(pkcs8: &[u8], curve: &EllipticCurve) -> Result<Vec<u8>, Error> {
    if *curve != EllipticCurve::Ed25519 {
        return Err(new_error(ErrorKind::UnsupportedAlgorithm));
    }
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
        .map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?;
    Ok(key.public_key().as_ref().to_vec())
}

fn compute_digest(message: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>, Error> {
    let with = match hash {
        ThumbprintHash::SHA256 => &ring::digest::SHA256,
        ThumbprintHash::SHA384 => &ring::digest::SHA384,
        ThumbprintHash::SHA512 => &ring::digest::SHA512,
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(ring::digest::digest(with, message).as_ref().to_vec())
}

#[cfg(test)]
mod tests;
