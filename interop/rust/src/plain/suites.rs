//! Which cipher suites iroh may use, how long it uses a key, and whether its first key share fits.
//!
//! iroh starts one key update early in a connection and then none before the limit of the cipher,
//! which is 2^23 packets or none at all. A key that says of itself that it may seal few packets makes
//! it start one again and again.

use std::str::FromStr;
use std::sync::Arc;

use iroh::tls::default_provider;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::quic::{Algorithm, HeaderProtectionKey, PacketKey, Tag};
use rustls::{CipherSuite, Error, NamedGroup, SupportedCipherSuite, Tls13CipherSuite};

use crate::fail::{Fail, Outcome};
use crate::options::Options;

#[derive(Clone, Copy)]
pub enum Suite {
    /// What iroh offers by itself: AES-256-GCM, AES-128-GCM, ChaCha20-Poly1305.
    All,
    Aes,
    ChaCha,
}

impl FromStr for Suite {
    type Err = Fail;

    fn from_str(text: &str) -> Outcome<Self> {
        Ok(match text {
            "all" => Self::All,
            "aes" => Self::Aes,
            "chacha" => Self::ChaCha,
            _ => return Err("all, aes or chacha".into()),
        })
    }
}

/// noq updates so many packets before the limit of the cipher.
const MARGIN: u64 = 10_000;

pub fn provider(options: &Options) -> Outcome<Arc<CryptoProvider>> {
    let mut provider = CryptoProvider::clone(&default_provider());
    if options.hello_retry {
        // As client it sends a share of the first group alone.
        let group = |each: &&dyn SupportedKxGroup| each.name() == NamedGroup::X25519;
        provider.kx_groups.sort_by_key(group);
    }
    // The packets before the keys need AES-128-GCM, so it stays, as the last choice.
    let wanted: &[CipherSuite] = match options.suite {
        Suite::All => &[
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        Suite::Aes => &[CipherSuite::TLS13_AES_128_GCM_SHA256],
        Suite::ChaCha => &[
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS13_AES_128_GCM_SHA256,
        ],
    };
    let suites: Option<Vec<_>> = wanted
        .iter()
        .map(|&wanted| {
            let mut all = provider.cipher_suites.iter();
            let found = all.find(|each| each.suite() == wanted)?.tls13()?;
            Some(SupportedCipherSuite::Tls13(match options.key_packets {
                Some(packets) => short_lived(found, packets)?,
                None => found,
            }))
        })
        .collect();
    provider.cipher_suites = suites.ok_or("a cipher suite is missing")?;
    Ok(Arc::new(provider))
}

/// The suite with keys that last so many packets. Made once in a run, so it may stay for ever.
fn short_lived(
    suite: &'static Tls13CipherSuite,
    packets: u64,
) -> Option<&'static Tls13CipherSuite> {
    let algorithm = Box::leak(Box::new(ShortLived {
        real: suite.quic?,
        limit: packets + MARGIN,
    }));
    Some(Box::leak(Box::new(Tls13CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: Some(algorithm),
    })))
}

struct ShortLived {
    real: &'static dyn Algorithm,
    limit: u64,
}

impl Algorithm for ShortLived {
    fn packet_key(&self, key: AeadKey, iv: Iv) -> Box<dyn PacketKey> {
        Box::new(ShortLivedKey {
            real: self.real.packet_key(key, iv),
            limit: self.limit,
        })
    }

    fn header_protection_key(&self, key: AeadKey) -> Box<dyn HeaderProtectionKey> {
        self.real.header_protection_key(key)
    }

    fn aead_key_len(&self) -> usize {
        self.real.aead_key_len()
    }
}

struct ShortLivedKey {
    real: Box<dyn PacketKey>,
    limit: u64,
}

impl PacketKey for ShortLivedKey {
    fn encrypt_in_place(
        &self,
        number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        self.real.encrypt_in_place(number, header, payload)
    }

    fn encrypt_in_place_for_path(
        &self,
        path: u32,
        number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        self.real
            .encrypt_in_place_for_path(path, number, header, payload)
    }

    fn decrypt_in_place<'a>(
        &self,
        number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.real.decrypt_in_place(number, header, payload)
    }

    fn decrypt_in_place_for_path<'a>(
        &self,
        path: u32,
        number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.real
            .decrypt_in_place_for_path(path, number, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.real.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.limit
    }

    fn integrity_limit(&self) -> u64 {
        self.real.integrity_limit()
    }
}
