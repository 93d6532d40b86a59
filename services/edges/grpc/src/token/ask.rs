//! What requests of the token service have in common: proofs, keys, tokens, origins.

use curfew_authority::ClientProof;
use curfew_core::session::KeyBinding;
use curfew_proto::token::v1 as pb;

use crate::check::{Check, LIST_MAX, LONG_TEXT_MAX, TEXT_MAX, TOKEN_MAX};

/// The longest client secret, bytes.
const SECRET_MAX: usize = 512;

/// How the client proves itself. The outer `None`: a fault.
pub(super) fn proof(
    check: &mut Check,
    authentication: Option<&pb::ClientAuthentication>,
) -> Option<ClientProof> {
    use pb::client_authentication::Method;
    match authentication.and_then(|authentication| authentication.method.as_ref()) {
        None => Some(ClientProof::None),
        Some(Method::ClientSecret(secret)) => {
            let is_bounded = !secret.is_empty() && secret.len() <= SECRET_MAX;
            if !is_bounded {
                check.fault(
                    "client_authentication.client_secret",
                    format!("empty, or longer than {SECRET_MAX} bytes"),
                );
            }
            is_bounded.then(|| ClientProof::Secret(secret.clone()))
        }
        Some(Method::ClientAssertion(_)) => {
            check.unsupported("client_authentication.client_assertion", true);
            None
        }
        Some(Method::ClientCertificate(certificate)) => {
            let field = "client_authentication.client_certificate";
            let x5t = check.thumbprint(&format!("{field}.x5t_s256"), &certificate.x5t_s256);
            check.text(
                &format!("{field}.subject_dn"),
                &certificate.subject_dn,
                LONG_TEXT_MAX,
            );
            for (name, list) in [
                ("san_dns", &certificate.san_dns),
                ("san_uri", &certificate.san_uri),
                ("san_email", &certificate.san_email),
            ] {
                check.texts(&format!("{field}.{name}"), list, LIST_MAX, LONG_TEXT_MAX);
            }
            x5t.map(ClientProof::Certificate)
        }
    }
}

/// A key proof that may be absent. The outer `None`: a fault.
pub(super) fn key(check: &mut Check, proof: Option<&pb::KeyProof>) -> Option<Option<KeyBinding>> {
    match proof {
        None => Some(None),
        Some(_) => check.key(proof).map(Some),
    }
}

/// A presented token.
pub(super) fn presented(check: &mut Check, field: &str, token: &str) -> Option<String> {
    if token.is_empty() {
        check.fault(field, "required");
        return None;
    }
    if token.len() > TOKEN_MAX {
        check.fault(field, format!("longer than {TOKEN_MAX} bytes"));
        return None;
    }
    Some(token.to_owned())
}

/// What requests say of their origin: bounded, and for the sign-in log.
pub(super) fn origin(check: &mut Check, client_ip: &str, user_agent: &str, correlation_id: &str) {
    check.text("client_ip", client_ip, TEXT_MAX);
    check.text("user_agent", user_agent, LONG_TEXT_MAX);
    check.correlation(correlation_id);
}
