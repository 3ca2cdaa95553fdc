//! Detection of RSA keys with the ROCA weakness (CVE-2017-15361). Their primes have so little
//! randomness that the private key can be computed from the public key.
//!
//! Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack, ACM CCS 2017.

/// The generator's primes are k·M + 65537^a mod M, where M is the product of the first primes. A
/// modulus of the generator is therefore a power of this number modulo each of these primes.
const GENERATOR: u32 = 65_537;

/// The primes up to 167 for which some numbers are not powers of [`GENERATOR`]. They divide the M of
/// every key size. The published test uses the same primes.
const DISCRIMINATING: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether an RSA modulus has the fingerprint of the weak generator. About one in 2^28 other moduli
/// has it by chance.
pub(super) fn has_fingerprint(modulus: &[u8]) -> bool {
    DISCRIMINATING
        .into_iter()
        .all(|prime| is_power(remainder(modulus, prime), prime))
}

fn remainder(number: &[u8], divisor: u32) -> u32 {
    number
        .iter()
        .fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % divisor)
}

fn is_power(number: u32, prime: u32) -> bool {
    let generator = GENERATOR % prime;
    let mut power = 1;
    loop {
        if power == number {
            return true;
        }
        power = power * generator % prime;
        if power == 1 {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of powers of the generator modulo a prime.
    fn powers(prime: u32) -> u32 {
        let powers = (1..prime).filter(|number| is_power(*number, prime));
        powers.count().try_into().unwrap()
    }

    #[test]
    fn uses_each_small_discriminating_prime() {
        let is_prime = |number: &u32| !(2..*number).any(|divisor| number.is_multiple_of(divisor));
        let discriminating = (3..=167)
            .filter(is_prime)
            .filter(|prime| powers(*prime) < prime - 1);
        assert_eq!(discriminating.collect::<Vec<_>>(), DISCRIMINATING);
    }

    #[test]
    fn false_positive_rate_is_below_one_in_2_to_the_27() {
        let chance = |prime| f64::from(powers(prime)) / f64::from(prime - 1);
        let chance: f64 = DISCRIMINATING.into_iter().map(chance).product();
        assert!(chance < f64::from(1 << 27).recip(), "{chance}");
    }

    #[test]
    fn computes_remainder_of_big_endian_bytes() {
        assert_eq!(remainder(&[], 11), 0);
        assert_eq!(remainder(&[1, 0, 1], 157), 65_537 % 157);
        assert_eq!(remainder(&[0, 0, 11], 11), 0);
    }
}
