use super::*;

fn load(files: TlsFiles) -> Result<Tls, TlsError> {
    Tls::load(files, Protocol::Grpc, NOW_S)
}

#[track_caller]
fn check_refused(files: TlsFiles, words: &[&str]) {
    let error = load(files).unwrap_err();
    let mut said = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert!(!said.contains("BEGIN"), "no file is quoted: {said}");
}

#[test]
fn good_files_are_read_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let tls = load(files(dir.path(), &Authority::new().for_localhost())).unwrap();
    let certificate = tls.certificate();
    assert!(certificate.names().contains(&"dns:localhost".to_owned()));
    assert!(certificate.names()[0].starts_with("x5t:"));
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path(), &Authority::new().for_localhost());
    files.key = dir.path().join("gone.key");
    check_refused(files, &["gone.key", "No such file"]);
}

#[test]
fn a_key_that_everybody_may_read_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Authority::new().for_localhost();
    let files = files(dir.path(), &pair);
    write(&files.key, &pair.1, 0o644);
    check_refused(files, &["mode 0644", "chmod 600"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Authority::new().issue(Vec::new(), 2_026);
    check_refused(files(dir.path(), &pair), &["tls.pem", "valid from"]);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let pair = (authority.for_localhost().0, authority.for_localhost().1);
    check_refused(
        files(dir.path(), &pair),
        &["tls.key", "not the private key", "tls.pem"],
    );
}

#[test]
fn files_that_hold_something_else_are_refused() {
    let (certificate, key) = Authority::new().for_localhost();
    let swapped = (key.clone(), certificate.clone());
    let garbage = |text: &str| (text.to_owned(), key.clone());
    let cases = [
        (swapped, "holds no certificate"),
        ((certificate, "hello".to_owned()), "holds no private key"),
        (garbage(""), "holds no certificate"),
        (
            garbage("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "not an X.509 certificate",
        ),
        (garbage("-----BEGIN CERTIFICATE-----\n%%%\n"), "tls.pem"),
    ];
    for (pair, word) in cases {
        let dir = tempfile::tempdir().unwrap();
        check_refused(files(dir.path(), &pair), &[word]);
    }
}

#[test]
fn client_certificates_need_an_authority() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path(), &Authority::new().for_localhost());
    files.client_certificates = ClientCertificates::Required;
    check_refused(files.clone(), &["client_ca_file"]);
    files.client_ca = Some(write(&dir.path().join("ca.pem"), "", 0o644));
    check_refused(files, &["ca.pem", "holds no certificate"]);
}

#[test]
fn a_change_is_taken_and_a_broken_one_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let first = authority.for_localhost();
    let tls = load(files(dir.path(), &first)).unwrap();
    let before = tls.certificate();
    assert!(!tls.reload(NOW_S).unwrap(), "nothing changed");

    let second = authority.for_localhost();
    write(&tls.files().certificate, &second.0, 0o644);
    let half_written = tls.reload(NOW_S).unwrap_err();
    assert!(
        matches!(half_written, TlsError::Mismatch { .. }),
        "{half_written}"
    );
    assert_eq!(tls.certificate(), before);
    assert!(!tls.reload(NOW_S).unwrap(), "the same fault is told once");

    write(&tls.files().key, &second.1, 0o600);
    assert!(tls.reload(NOW_S).unwrap());
    assert_ne!(tls.certificate(), before);

    std::fs::remove_file(&tls.files().key).unwrap();
    assert!(matches!(tls.reload(NOW_S), Err(TlsError::Read { .. })));
}
