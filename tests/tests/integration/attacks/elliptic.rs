//! Attacks on ECDSA (RFC 7518 §3.4): a signature is two numbers, each of the curve's full length.

use jsonwebtoken::Algorithm;
use num_bigint::BigUint;
use session_cleanup_tests::token_factory::{Signer, Target, decoded, encoded};
use session_cleanup_tests::{HOUR, NOW};
use session_token::InvalidToken;

/// The order of the curve's group (FIPS 186-4, D.1.2.3 and D.1.2.4).
fn order(algorithm: Algorithm) -> BigUint {
    let digits = if algorithm == Algorithm::ES256 {
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
    } else {
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
         581a0db248b0a77aecec196accc52973"
    };
    BigUint::parse_bytes(digits.as_bytes(), 16).unwrap()
}

/// Message of a valid token, the two numbers of its signature, and their length.
struct Signed {
    message: String,
    r: BigUint,
    s: BigUint,
    length: usize,
}

impl Signed {
    fn new(signer: &Signer) -> Self {
        let token = signer.good_token();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = decoded(signature);
        let length = signature.len() / 2;
        Self {
            message: message.to_owned(),
            r: BigUint::from_bytes_be(&signature[..length]),
            s: BigUint::from_bytes_be(&signature[length..]),
            length,
        }
    }

    fn with(&self, r: &BigUint, s: &BigUint) -> String {
        self.with_bytes(&[fixed(r, self.length), fixed(s, self.length)].concat())
    }

    fn with_bytes(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.message, encoded(signature))
    }
}

/// A number with a fixed length in bytes.
fn fixed(number: &BigUint, length: usize) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    [vec![0; length - bytes.len()], bytes].concat()
}

async fn targets() -> Vec<(Signer, Target, BigUint)> {
    let mut targets = Vec::new();
    for algorithm in [Algorithm::ES256, Algorithm::ES384] {
        let signer = Signer::of(algorithm);
        let target = signer.target().await;
        targets.push((signer, target, order(algorithm)));
    }
    targets
}

/// If (r, s) is a signature of a message, so is (r, n - s): FIPS 186-4 and RFC 7518 do not require
/// the smaller half, and issuers send either. From one token anyone can make the other, which has
/// the same claims and grants the same. A blacklist of tokens by text or hash would miss it; this
/// one is by `jti`, which both have.
#[tokio::test]
async fn accepts_both_ecdsa_signatures_and_revokes_both() {
    for (signer, target, n) in targets().await {
        let signed = Signed::new(&signer);
        let both = [
            signed.with(&signed.r, &signed.s),
            signed.with(&signed.r, &(&n - &signed.s)),
        ];
        assert_ne!(both[0], both[1]);
        for token in &both {
            target.allows(token).await;
        }
        target.world.blacklist("ann", "j", NOW + HOUR).await;
        for token in &both {
            target.answers(token, "Token revoked").await;
        }
    }
}

/// The first of these is CVE-2022-21449.
#[tokio::test]
async fn rejects_signature_numbers_out_of_range() {
    for (signer, target, n) in targets().await {
        let signed = Signed::new(&signer);
        let (r, s) = (&signed.r, &signed.s);
        let (zero, one) = (BigUint::ZERO, BigUint::from(1_u8));
        let most = (&one << (signed.length * 8)) - &one;
        for (r, s) in [
            (&zero, &zero),
            (&zero, s),
            (r, &zero),
            (&n, &n),
            (&n, s),
            (r, &n),
            (&zero, &n),
            (&n, &zero),
            (&one, &one),
            (&one, &zero),
            (&n, &one),
            (&most, s),
            (r, &most),
            (&most, &most),
            (&(&n - &one), &(&n - &one)),
            (&(&n - r), s),
            (&(&n - r), &(&n - s)),
            (s, r),
            (r, r),
            (s, s),
        ] {
            let token = signed.with(r, s);
            target.rejects(&token, InvalidToken::Signature).await;
        }
        target.allows(&signed.with(r, s)).await;
    }
}

#[tokio::test]
async fn rejects_signature_in_der_or_of_other_length() {
    for (signer, target, _) in targets().await {
        let signed = Signed::new(&signer);
        let Signed { r, s, length, .. } = &signed;
        let both = |length: usize| [fixed(r, length), fixed(s, length)].concat();
        let raw = both(*length);
        let bare = |number: &BigUint| {
            let bytes = number.to_bytes_be();
            let sign: &[u8] = if bytes[0] > 0x7f { &[0] } else { &[] };
            let bytes = [sign, &bytes].concat();
            [vec![2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
        };
        let inner = [bare(r), bare(s)].concat();
        let der = [vec![0x30, u8::try_from(inner.len()).unwrap()], inner].concat();
        for signature in [
            der,
            // With the lengths of P-384 and P-521, or of P-256.
            both(48.max(length + 16)),
            both(66),
            both(length + 1),
            [raw.clone(), vec![0]].concat(),
            [vec![0], raw.clone()].concat(),
            raw[..raw.len() - 1].to_vec(),
            raw[1..].to_vec(),
            raw[..*length].to_vec(),
            [raw.clone(), raw.clone()].concat(),
            vec![],
            vec![0; 2 * length],
            vec![0xff; 2 * length],
        ] {
            let token = signed.with_bytes(&signature);
            target.rejects(&token, InvalidToken::Signature).await;
        }
        target.allows(&signed.with_bytes(&raw)).await;
    }
}
