//! What the vault seals opens as what it was, and as nothing else.

use curfew_core::directory::{KeyState, Lifetimes};
use curfew_core::time::Millis;
use curfew_jose::{Jws, Limits, VerifyingKey};

use super::*;

const ALL_USES: [KeyUse; 4] = [KeyUse::Sign, KeyUse::Mac, KeyUse::Page, KeyUse::Subject];

fn vault_of(byte: u8) -> SealingVault {
    let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    SealingVault::new(&RootKey::from_base64(&text).unwrap()).unwrap()
}

fn record_of(key: SealedKey, key_use: KeyUse, algorithm: &str) -> KeyRecord {
    KeyRecord {
        kid: key.kid,
        key_use,
        algorithm: algorithm.into(),
        state: KeyState::Standby,
        created_at: Millis::ZERO,
        published_at: Millis::ZERO,
        durable_at: None,
        activated_at: None,
        retired_at: None,
        sealed: key.sealed,
        public_jwk: key.public_jwk,
        mac_key_id: None,
    }
}

fn made(vault: &SealingVault, key_use: KeyUse) -> KeyRecord {
    let algorithm = match key_use {
        KeyUse::Sign => "ES256",
        KeyUse::Mac | KeyUse::Page | KeyUse::Subject => "HS256",
    };
    record_of(vault.generate(key_use, algorithm).unwrap(), key_use, algorithm)
}

/// Opens the record as whatever it says that it is.
fn open(vault: &SealingVault, record: &KeyRecord) -> Result<(), KeyError> {
    match record.key_use {
        KeyUse::Sign => vault.signer(record).map(drop),
        KeyUse::Mac | KeyUse::Page | KeyUse::Subject => vault.mac_key(record).map(drop),
    }
}

#[track_caller]
fn check_cannot_open<T>(result: Result<T, KeyError>, why: &str) {
    let Err(error) = result else {
        panic!("opened: {why}")
    };
    assert!(matches!(error, KeyError::CannotOpen { .. }), "{why}: {error}");
}

#[test]
fn a_signing_key_signs_after_it_was_sealed_and_its_kid_is_its_thumbprint() {
    let vault = vault_of(1);
    for algorithm in ["ES256", "EdDSA"] {
        let record = record_of(
            vault.generate(KeyUse::Sign, algorithm).unwrap(),
            KeyUse::Sign,
            algorithm,
        );
        let jwk: serde_json::Value = serde_json::from_str(record.public_jwk.as_deref().unwrap()).unwrap();
        assert_eq!(thumbprint(&jwk).unwrap(), record.kid.as_str());
        assert_eq!(
            (jwk["kid"].as_str(), jwk["alg"].as_str()),
            (Some(record.kid.as_str()), Some(algorithm))
        );
        assert!(jwk.get("d").is_none());

        let signer = vault.signer(&record).unwrap();
        assert_eq!(signer.kid(), &record.kid);
        let token = signer.sign("at+jwt", br#"{"sub":"a"}"#).unwrap();
        let jws = Jws::parse(&token, Limits::DEFAULT).unwrap();
        assert_eq!(
            (jws.kid(), jws.typ()),
            (Some(record.kid.as_str()), Some("at+jwt"))
        );
        VerifyingKey::from_jwk(&jwk).unwrap().verify(&jws).unwrap();
    }
}

#[test]
fn a_mac_key_opens_to_the_same_bytes_every_time_and_no_two_are_alike() {
    let vault = vault_of(1);
    for key_use in [KeyUse::Mac, KeyUse::Page, KeyUse::Subject] {
        let (one, other) = (made(&vault, key_use), made(&vault, key_use));
        let key = vault.mac_key(&one).unwrap();
        assert!(
            key.matches(&vault_of(1).mac_key(&one).unwrap()),
            "another node with the same root key"
        );
        assert!(!key.matches(&vault.mac_key(&other).unwrap()));
        assert_ne!(one.kid, other.kid);
        assert_eq!(one.public_jwk, None);
    }
}

#[test]
fn a_key_opens_under_no_other_root_key_kid_or_use() {
    let vault = vault_of(1);
    for key_use in ALL_USES {
        let record = made(&vault, key_use);
        open(&vault, &record).unwrap();
        check_cannot_open(open(&vault_of(2), &record), "other root key");
        let renamed = KeyRecord {
            kid: KeyId::new("other").unwrap(),
            ..record.clone()
        };
        check_cannot_open(open(&vault, &renamed), "other kid");
        for other in ALL_USES.into_iter().filter(|other| *other != key_use) {
            // An algorithm that fits the other use: otherwise the algorithm would be refused before the seal.
            let algorithm = made(&vault, other).algorithm;
            let reused = KeyRecord {
                key_use: other,
                algorithm,
                ..record.clone()
            };
            check_cannot_open(open(&vault, &reused), "other use");
        }
    }
}

#[test]
fn a_key_with_a_changed_byte_does_not_open() {
    let vault = vault_of(1);
    let record = made(&vault, KeyUse::Mac);
    for at in 0..record.sealed.len() {
        let mut sealed = record.sealed.to_vec();
        sealed[at] ^= 0x80;
        check_cannot_open(
            vault.mac_key(&KeyRecord {
                sealed: sealed.into(),
                ..record.clone()
            }),
            "changed byte",
        );
    }
    check_cannot_open(
        vault.mac_key(&KeyRecord {
            sealed: Arc::from([]),
            ..record
        }),
        "nothing sealed",
    );
}

#[test]
fn a_key_does_not_open_under_another_algorithm() {
    let vault = vault_of(1);
    let record = KeyRecord {
        algorithm: "EdDSA".into(),
        ..made(&vault, KeyUse::Sign)
    };
    check_cannot_open(vault.signer(&record), "other algorithm");
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    let vault = vault_of(1);
    let refused = |result: Result<SealedKey, KeyError>| result.unwrap_err().to_string();
    for (key_use, algorithm, said) in [
        (
            KeyUse::Sign,
            "RS256",
            "algorithm `RS256` is not offered for Sign keys",
        ),
        (
            KeyUse::Sign,
            "HS256",
            "algorithm `HS256` is not offered for Sign keys",
        ),
        (
            KeyUse::Sign,
            "none",
            "algorithm `none` is not offered for Sign keys",
        ),
        (
            KeyUse::Mac,
            "ES256",
            "algorithm `ES256` is not offered for Mac keys",
        ),
    ] {
        assert_eq!(refused(vault.generate(key_use, algorithm)), said);
    }
    let (signing, mac) = (made(&vault, KeyUse::Sign), made(&vault, KeyUse::Mac));
    assert!(matches!(
        vault.mac_key(&signing).unwrap_err(),
        KeyError::Algorithm { .. }
    ));
    assert!(matches!(
        vault.signer(&mac).unwrap_err(),
        KeyError::Algorithm { .. }
    ));
}

#[test]
fn a_record_opens_under_its_own_name_and_root_key_alone() {
    let vault = vault_of(1);
    let lifetimes = Record::Lifetimes(Lifetimes {
        keep_ms: 600_000,
        mint_ms: 600_000,
        mint_from: Millis::ZERO,
    });
    let key = Record::RingKey(Arc::new(made(&vault, KeyUse::Sign)));
    for (name, record) in [("lifetimes", lifetimes), ("keys/a", key)] {
        let sealed = vault.seal_record(name, &record).unwrap();
        assert_eq!(vault.open_record(name, &sealed).unwrap(), record);
        check_cannot_open(vault.open_record("other", &sealed), "other name");
        check_cannot_open(vault_of(2).open_record(name, &sealed), "other root key");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            check_cannot_open(vault.open_record(name, &changed), "changed byte");
        }
    }
}

#[test]
fn a_sealed_key_is_no_record_and_a_record_is_no_key() {
    let vault = vault_of(1);
    let record = made(&vault, KeyUse::Mac);
    check_cannot_open(
        vault.open_record(record.kid.as_str(), &record.sealed),
        "a key as a record",
    );
    let sealed = vault
        .seal_record(record.kid.as_str(), &Record::Sequence(1))
        .unwrap();
    check_cannot_open(
        vault.mac_key(&KeyRecord {
            sealed: sealed.into(),
            ..record
        }),
        "a record as a key",
    );
}

#[test]
fn an_authentic_record_that_cannot_be_read_says_so() {
    let vault = vault_of(1);
    let sealed = vault
        .sealer
        .seal(&bound_to_record("n"), Zeroizing::new(vec![0xff]))
        .unwrap();
    let refused = vault.open_record("n", &sealed).unwrap_err().to_string();
    assert!(refused.starts_with("record `n` (authentic, but "), "{refused}");
}

#[test]
fn debug_prints_nothing_of_a_key() {
    let vault = vault_of(0xab);
    let signer = vault.signer(&made(&vault, KeyUse::Sign)).unwrap();
    assert_eq!(format!("{vault:?}"), "SealingVault { sealer: Sealer(..) }");
    let printed = format!("{signer:?}");
    let kid = signer.kid();
    let expected = format!(
        "JoseSigner {{ kid: \"{kid}\", key: SigningKey {{ algorithm: Es256, kid: \"{kid}\", .. }} }}"
    );
    assert_eq!(printed, expected);
}
