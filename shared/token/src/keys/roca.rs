//! RSA keys of the weak generator of CVE-2017-15361, known as ROCA: their primes have so little
//! randomness that the private key can be computed from the public one.
//!
//! Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack, ACM CCS 2017.

/// The generator's primes are k·M + 65537^a mod M, where M is the product of the first primes. So a
/// modulus is a power of this number modulo each of those primes.
const GENERATOR: u32 = 65_537;

/// The small primes modulo which not each number is a power of [`GENERATOR`], up to 167: they divide
/// the M of every size of key. These are those of the published test.
const DISCRIMINATING: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether an RSA modulus has the fingerprint of the weak generator. One of about 2^28 other moduli
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

    /// How many powers of the generator there are modulo a prime.
    fn powers(prime: u32) -> u32 {
        let powers = (1..prime).filter(|number| is_power(*number, prime));
        powers.count().try_into().unwrap()
    }

    #[test]
    fn uses_each_small_discriminating_prime() {
        let is_prime = |number: &u32| !(2..*number).any(|divisor| number.is_multiple_of(divisor));
        let telling = (3..=167)
            .filter(is_prime)
            .filter(|prime| powers(*prime) < prime - 1);
        assert_eq!(telling.collect::<Vec<_>>(), DISCRIMINATING);
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
