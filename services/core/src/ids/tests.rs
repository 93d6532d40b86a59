use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_born_id_gives_back_its_birth_and_partition(
        ms in 0_i64..(1 << 47), partition in 0_u16..1_024, random: [u8; 8],
    ) {
        let partition = Partition::new(partition).unwrap();
        let id = SessionId::new(Millis::from_unix_ms(ms), partition, random);
        prop_assert_eq!(id.birth().as_unix_ms(), ms);
        prop_assert_eq!(id.partition(), partition);
        prop_assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
        prop_assert_eq!(birth_in(&id.to_string()), Some(id.birth()));
    }

    #[test]
    fn parsing_any_text_never_panics(text: String) {
        let _ = text.parse::<SessionId>();
        let _ = text.parse::<TenantName>();
        let _ = birth_in(&text);
    }
}

#[test]
fn reserved_bits_other_versions_and_other_spellings_are_refused() {
    let id = SessionId::new(Millis::from_unix_ms(1), Partition::DIRECTORY, [0xab; 8]);
    let mut bytes = *id.as_bytes();
    bytes[6] |= 0x08;
    assert_eq!(SessionId::from_bytes(bytes), Err(InvalidId::NotBorn));
    bytes[6] = 0x40;
    assert_eq!(SessionId::from_bytes(bytes), Err(InvalidId::NotBorn));
    assert_eq!(
        id.to_string().to_uppercase().parse::<SessionId>(),
        Err(InvalidId::NotAUuid)
    );
    assert_eq!(format!("{{{id}}}").parse::<SessionId>(), Err(InvalidId::NotAUuid));
    assert_eq!(
        id.to_string().replace('-', "").parse::<SessionId>(),
        Err(InvalidId::NotAUuid)
    );
}

#[test]
fn names_are_bounded_and_hold_only_what_their_place_permits() {
    assert_eq!(TenantName::new(""), Err(InvalidId::Empty));
    assert_eq!(TenantName::new("a/b"), Err(InvalidId::Character));
    assert_eq!(
        TenantName::new(&"a".repeat(65)),
        Err(InvalidId::TooLong { max: 64 })
    );
    assert_eq!(SubjectId::new("a\nb"), Err(InvalidId::Character));
    assert!(SubjectId::new("älice@example").is_ok());
}
