//! A private key, and whether it is that of a certificate.
//!
//! Kinds are those that nginx serves and that common clients know. The public key is derived from the private one, so that a key
//! that was damaged is found here and not by clients.

use elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey};
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use x509_parser::asn1_rs::{Any, FromDer, Oid, Tag};
use x509_parser::der_parser::oid;
use x509_parser::num_bigint::BigUint;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::chain::MIN_RSA_BITS;
use crate::pem;

/// Most bits of an RSA key: a handshake with more takes so long that few clients could keep nginx busy.
const MAX_RSA_BITS: u64 = 8192;

const RSA: Oid<'_> = oid!(1.2.840.113549.1.1.1);
const RSA_PSS: Oid<'_> = oid!(1.2.840.113549.1.1.10);
const EC: Oid<'_> = oid!(1.2.840.10045.2.1);
const ED25519: Oid<'_> = oid!(1.3.101.112);

const BROKEN: &str = "tls.key holds a private key that is broken, or no key at all";
const UNSUPPORTED: &str = "tls.key is of a kind that is not supported; use RSA of 2048 to 8192 bits, ECDSA with P-224, P-256, \
                           P-384, P-521 or secp256k1, or Ed25519";
const ENCRYPTED: &str = "tls.key is encrypted, and the entry has no password for it; decrypt it, as \
                         `openssl pkey -in tls.key` does";

/// A private key that is sound. Not to be shown.
pub struct PrivateKey {
    /// How its form is called in PEM.
    pub label: &'static str,
    /// In the form in which it was.
    pub der: Vec<u8>,
    public: PublicPart,
}

/// A public key.
#[derive(PartialEq, Eq)]
enum PublicPart {
    Rsa {
        pss: bool,
        modulus: BigUint,
        exponent: BigUint,
    },
    /// A point, uncompressed.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P224,
    P256,
    P384,
    P521,
    K256,
}

/// The private keys of a text, of which the first two count; those that cannot be used by what is wrong with them.
pub fn read_private_keys(text: &[u8]) -> Vec<Result<PrivateKey, &'static str>> {
    let blocks = pem::read_blocks(text).into_iter();
    let keys = blocks.filter(|block| block.label.contains("PRIVATE KEY") || block.label.is_empty());
    keys.take(2)
        .map(
            |block| {
                if block.encrypted { Err(ENCRYPTED) } else { block.der.as_deref().ok_or(BROKEN).and_then(from_der) }
            },
        )
        .collect()
}

impl PrivateKey {
    /// Whether it is the key of a certificate.
    pub fn matches(&self, certificate: &SubjectPublicKeyInfo<'_>) -> bool {
        public_part_of(certificate).is_some_and(|public| public == self.public)
    }
}

/// The public key of a certificate; none if its kind is not known here.
fn public_part_of(info: &SubjectPublicKeyInfo<'_>) -> Option<PublicPart> {
    let algorithm = &info.algorithm.algorithm;
    let content = &*info.subject_public_key.data;
    if *algorithm == RSA || *algorithm == RSA_PSS {
        let numbers = integers(&fields(content)?)?;
        let [modulus, exponent] = <[BigUint; 2]>::try_from(numbers).ok()?;
        return Some(PublicPart::Rsa { pss: *algorithm == RSA_PSS, modulus, exponent });
    }
    if *algorithm == EC {
        let curve = Curve::of(&info.algorithm.parameters.as_ref()?.as_oid().ok()?)?;
        return Some(PublicPart::Ec { curve, point: curve.uncompressed(content)? });
    }
    (*algorithm == ED25519).then(|| PublicPart::Ed25519(content.to_vec()))
}

/// Reads a key, whatever its label says: in the forms of PKCS #8 (RFC 5958), PKCS #1 (RFC 8017) and SEC 1 (RFC 5915).
fn from_der(der: &[u8]) -> Result<PrivateKey, &'static str> {
    let fields = fields(der).ok_or(BROKEN)?;
    let tags: Vec<_> = fields.iter().take(3).map(|field| field.header.tag()).collect();
    let (label, public) = match tags[..] {
        [Tag::Sequence, Tag::OctetString] => return Err(ENCRYPTED),
        [Tag::Integer, Tag::Sequence, Tag::OctetString] => ("PRIVATE KEY", from_pkcs8(&fields, der)?),
        [Tag::Integer, Tag::OctetString, ..] => ("EC PRIVATE KEY", from_sec1(&fields, None)?),
        [Tag::Integer, Tag::Integer, Tag::Integer] => ("RSA PRIVATE KEY", from_pkcs1(&fields, false)?),
        _ => return Err(BROKEN),
    };
    // What follows is not part of it.
    let length = Any::from_der(der).map_or(der.len(), |(rest, _)| der.len() - rest.len());
    Ok(PrivateKey { label, der: der[..length].to_vec(), public })
}

fn from_pkcs8(parts: &[Any<'_>], der: &[u8]) -> Result<PublicPart, &'static str> {
    let algorithm = parts_of(parts[1].data).ok_or(BROKEN)?;
    let oid = |n: usize| algorithm.get(n).and_then(|field| field.as_oid().ok());
    let name = oid(0).ok_or(BROKEN)?;
    let inner = parts[2].data;
    if name == RSA || name == RSA_PSS {
        return from_pkcs1(&fields(inner).ok_or(BROKEN)?, name == RSA_PSS);
    }
    if name == EC {
        return from_sec1(&fields(inner).ok_or(BROKEN)?, oid(1));
    }
    if name == ED25519 {
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).map_err(|_| BROKEN)?;
        let info = key.public_key().ok_or(BROKEN)?;
        let (_, info) = SubjectPublicKeyInfo::from_der(&info).map_err(|_| BROKEN)?;
        return public_part_of(&info).ok_or(BROKEN);
    }
    Err(UNSUPPORTED)
}

/// The numbers must fit each other: with others, nginx starts, and every handshake fails.
fn from_pkcs1(parts: &[Any<'_>], pss: bool) -> Result<PublicPart, &'static str> {
    let numbers = integers(parts).ok_or(BROKEN)?;
    let [_, modulus, exponent, private, p, q, dp, dq, inverse] =
        <[BigUint; 9]>::try_from(numbers).map_err(|_| BROKEN)?;
    if !(MIN_RSA_BITS as u64..=MAX_RSA_BITS).contains(&modulus.bits()) {
        return Err("tls.key is an RSA key of less than 2048 or more than 8192 bits; make another");
    }
    let one = BigUint::from(1_u8);
    let is_one = |product: BigUint, of: &BigUint| product % of == one;
    let fits = |factor: &BigUint, part: &BigUint| {
        let order = factor - &one;
        is_one(&exponent * part, &order) && is_one(&exponent * &private, &order)
    };
    let large = p > one && q > one;
    let sound = large && &p * &q == modulus && fits(&p, &dp) && fits(&q, &dq) && is_one(inverse * &q, &p);
    if sound { Ok(PublicPart::Rsa { pss, modulus, exponent }) } else { Err(BROKEN) }
}

/// The curve is named in the key or around it.
fn from_sec1(parts: &[Any<'_>], around: Option<Oid<'_>>) -> Result<PublicPart, &'static str> {
    let explicit = |number: u32| {
        let field = parts.iter().find(|part| part.header.is_contextspecific() && part.header.tag() == Tag(number));
        field.and_then(|field| Any::from_der(field.data).ok()).map(|(_, value)| value)
    };
    let named = explicit(0).and_then(|value| value.oid().ok());
    let curve = around.or(named).as_ref().and_then(Curve::of).ok_or(UNSUPPORTED)?;
    let point = curve.derived(parts[1].data).ok_or(BROKEN)?;
    // A bit string begins with the number of bits that are not used.
    let told = explicit(1).map(|value| value.data.get(1..).and_then(|point| curve.uncompressed(point)));
    let fits = told.is_none_or(|told| told.as_ref() == Some(&point));
    if fits { Ok(PublicPart::Ec { curve, point }) } else { Err(BROKEN) }
}

impl Curve {
    fn of(name: &Oid<'_>) -> Option<Self> {
        const NAMES: [(Oid<'_>, Curve); 5] = [
            (oid!(1.3.132.0.33), Curve::P224),
            (oid!(1.2.840.10045.3.1.7), Curve::P256),
            (oid!(1.3.132.0.34), Curve::P384),
            (oid!(1.3.132.0.35), Curve::P521),
            (oid!(1.3.132.0.10), Curve::K256),
        ];
        NAMES.into_iter().find(|(known, _)| known == name).map(|(_, curve)| curve)
    }

    /// The public point of a private number.
    fn derived(self, number: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::P224 => derived::<p224::NistP224>(number),
            Self::P256 => derived::<p256::NistP256>(number),
            Self::P384 => derived::<p384::NistP384>(number),
            Self::P521 => derived::<p521::NistP521>(number),
            Self::K256 => derived::<k256::Secp256k1>(number),
        }
    }

    fn uncompressed(self, point: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::P224 => uncompressed::<p224::NistP224>(point),
            Self::P256 => uncompressed::<p256::NistP256>(point),
            Self::P384 => uncompressed::<p384::NistP384>(point),
            Self::P521 => uncompressed::<p521::NistP521>(point),
            Self::K256 => uncompressed::<k256::Secp256k1>(point),
        }
    }
}

/// Some programs leave zeros at the front out.
fn derived<C>(number: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let mut padded = elliptic_curve::FieldBytes::<C>::default();
    let first = number.iter().position(|byte| *byte != 0)?;
    let digits = &number[first..];
    let at = padded.len().checked_sub(digits.len())?;
    padded[at..].copy_from_slice(digits);
    let key = SecretKey::<C>::from_bytes(&padded).ok()?;
    Some(key.public_key().to_encoded_point(false).as_bytes().to_vec())
}

fn uncompressed<C>(point: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let key = PublicKey::<C>::from_sec1_bytes(point).ok()?;
    Some(key.to_encoded_point(false).as_bytes().to_vec())
}

/// The values of a sequence.
fn fields(der: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, sequence) = Any::from_der(der).ok()?;
    (sequence.header.tag() == Tag::Sequence).then(|| parts_of(sequence.data))?
}

/// The values of a sequence's content.
fn parts_of(mut content: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut parts = Vec::new();
    while !content.is_empty() {
        let (rest, part) = Any::from_der(content).ok()?;
        parts.push(part);
        content = rest;
    }
    Some(parts)
}

fn integers(parts: &[Any<'_>]) -> Option<Vec<BigUint>> {
    let is_integer = |part: &&Any<'_>| part.header.tag() == Tag::Integer;
    let numbers: Vec<_> = parts.iter().take_while(is_integer).map(|part| BigUint::from_bytes_be(part.data)).collect();
    (numbers.len() == parts.len()).then_some(numbers)
}
