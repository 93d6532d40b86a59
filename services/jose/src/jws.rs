//! A signed compact token, read strictly (RFC 7515 section 7.1).
//!
//! A [`Jws`] is a token whose form is right; nothing is known yet about its signature.
//!
//! **Invariant:** two readers cannot read a token differently: no padding, no spare bits, no duplicate member. Its bytes
//! still do not identify it, because ECDSA lets anybody turn a signature (r, s) into (r, −s): replay goes by `jti`.
//! **Invariant:** no claim is judged; `crit`, `b64`, `none` and HMAC are refused by name.

use std::fmt;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine as _};
use serde_json::{Map, Value};

use crate::algorithm::SignatureAlgorithm;
use crate::json::{JsonError, read_object};

/// Bounds on what is read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest token, in bytes.
    pub token_bytes_max: usize,
    /// The deepest nesting of header or claims; the outermost object is depth 1. At most 100.
    pub depth_max: usize,
}

impl Limits {
    /// 16 KiB: twice what common proxies let through as one header line. Depth 16: RFC 8693 `act` chains of 8 with room.
    pub const DEFAULT: Self = Self {
        token_bytes_max: 16 * 1024,
        depth_max: 16,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A part of the compact form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The JOSE header.
    Header,
    /// The JWS payload; in a JWT, its claims.
    Claims,
    /// The JWS signature.
    Signature,
}

/// What made a token unreadable, and where; never its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    /// Longer than [`Limits::token_bytes_max`].
    #[error("token of {bytes} bytes, at most {bytes_max} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Not three segments; five would be an encrypted token (RFC 7516), one an opaque one.
    #[error("{found} segments, not 3")]
    Segments {
        /// How many there were.
        found: usize,
    },
    /// A segment without a character.
    #[error("{0} is empty")]
    EmptySegment(Part),
    /// A character outside base64url, or a length that none can have (RFC 7515 section 2).
    #[error("{0} is not base64url")]
    NotBase64Url(Part),
    /// A padding character (RFC 7515 section 2: all trailing `=` omitted).
    #[error("{0} is padded")]
    Padded(Part),
    /// The last character carries bits that belong to no byte: a second spelling of the same token.
    #[error("{0} has spare bits that are not zero")]
    SpareBits(Part),
    /// Not one strict JSON object.
    #[error("{part}: {fault}")]
    Json {
        /// Header or claims.
        part: Part,
        /// What was wrong in it.
        #[source]
        fault: JsonError,
    },
    /// A header member that must be a string is none.
    #[error("header member {0} is not a string")]
    HeaderMember(&'static str),
    /// No `alg` (RFC 7515 section 4.1.1).
    #[error("header has no alg")]
    AlgorithmMissing,
    /// `alg` is `none`, however spelt (RFC 8725 section 3.2).
    #[error("header says alg none")]
    AlgorithmNone,
    /// `alg` is an HMAC (RFC 8725 section 2.1).
    #[error("header says an HMAC alg")]
    AlgorithmHmac,
    /// `alg` is some other that is not verified here.
    #[error("header says an unsupported alg")]
    AlgorithmUnsupported,
    /// A `crit` header; no extension is understood here (RFC 7515 section 4.1.11).
    #[error("header has crit")]
    Critical,
    /// A `b64` header (RFC 7797); a JWT must not use it (RFC 7797 section 7).
    #[error("header has b64")]
    UnencodedPayload,
}

/// Which of the three kinds of deviation it is: a reader answers each in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deviation {
    /// A `crit` header: the token may be good, and not to be understood here.
    Critical,
    /// An algorithm that is not taken.
    Algorithm,
    /// Its form: no token at all.
    Form,
}

impl MalformedToken {
    /// Its kind.
    #[must_use]
    pub const fn deviation(&self) -> Deviation {
        match self {
            Self::Critical => Deviation::Critical,
            Self::AlgorithmNone | Self::AlgorithmHmac | Self::AlgorithmUnsupported => Deviation::Algorithm,
            Self::TooLarge { .. }
            | Self::Segments { .. }
            | Self::EmptySegment(_)
            | Self::NotBase64Url(_)
            | Self::Padded(_)
            | Self::SpareBits(_)
            | Self::Json { .. }
            | Self::HeaderMember(_)
            | Self::AlgorithmMissing
            | Self::UnencodedPayload => Deviation::Form,
        }
    }
}

/// A token whose form is right. Its signature has not been looked at.
#[derive(Clone)]
pub struct Jws {
    token: Box<str>,
    signing_input_bytes: usize,
    signature: Box<[u8]>,
    algorithm: SignatureAlgorithm,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Jws {
    /// Reads a token.
    ///
    /// # Errors
    /// Whatever deviates from the compact form is refused, the first deviation found is named.
    pub fn parse(token: &str, limits: Limits) -> Result<Self, MalformedToken> {
        if token.len() > limits.token_bytes_max {
            return Err(MalformedToken::TooLarge {
                bytes: token.len(),
                bytes_max: limits.token_bytes_max,
            });
        }
        let (header_text, claims_text, signature_text) = three_segments(token)?;
        let header = object(Part::Header, header_text, limits)?;
        let algorithm = judge_header(&header)?;
        let claims = object(Part::Claims, claims_text, limits)?;
        let signature = decode(Part::Signature, signature_text)?.into_boxed_slice();
        Ok(Self {
            signing_input_bytes: header_text
                .len()
                .saturating_add(1)
                .saturating_add(claims_text.len()),
            token: token.into(),
            signature,
            algorithm,
            header,
            claims,
        })
    }

    /// The header's `alg`.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The header's `kid` (RFC 7515 section 4.1.4).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The header's `typ` as written (RFC 7515 section 4.1.9); compare with [`Self::is_typ`].
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.get("typ").and_then(Value::as_str)
    }

    /// Whether `typ` is this media type: any case, `application/` before it or not (RFC 7515 section 4.1.9, RFC 9068
    /// section 4). An absent `typ` is no type.
    #[must_use]
    pub fn is_typ(&self, expected: &str) -> bool {
        const PREFIX: &str = "application/";
        self.typ().is_some_and(|typ| {
            let short = match typ.split_at_checked(PREFIX.len()) {
                Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
                Some(_) | None => typ,
            };
            short.eq_ignore_ascii_case(expected)
        })
    }

    /// The whole header, unverified; a DPoP proof carries its key there (RFC 9449 section 4.2).
    #[must_use]
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The claims, unverified until [`crate::VerifyingKey::verify`] has said so.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The claims, for the reader that is done with the rest.
    #[must_use]
    pub fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    /// The token as it was given.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// What was signed: the header and claims segments with the dot between (RFC 7515 section 5.2 step 8).
    pub(crate) fn signing_input(&self) -> &[u8] {
        self.token
            .as_bytes()
            .get(..self.signing_input_bytes)
            .unwrap_or_default()
    }

    /// The signature's bytes.
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Debug for Jws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

fn three_segments(token: &str) -> Result<(&str, &str, &str), MalformedToken> {
    let mut segments = token.split('.');
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some(header), Some(claims), Some(signature), None) => Ok((header, claims, signature)),
        _ => Err(MalformedToken::Segments {
            found: token.split('.').count(),
        }),
    }
}

fn object(part: Part, text: &str, limits: Limits) -> Result<Map<String, Value>, MalformedToken> {
    read_object(&decode(part, text)?, limits.depth_max).map_err(|fault| MalformedToken::Json { part, fault })
}

fn decode(part: Part, text: &str) -> Result<Vec<u8>, MalformedToken> {
    if text.is_empty() {
        return Err(MalformedToken::EmptySegment(part));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|error| match error {
        DecodeError::InvalidByte(_, b'=') | DecodeError::InvalidPadding => MalformedToken::Padded(part),
        DecodeError::InvalidLastSymbol { .. } => MalformedToken::SpareBits(part),
        DecodeError::InvalidByte(..) | DecodeError::InvalidLength(_) => MalformedToken::NotBase64Url(part),
    })
}

fn judge_header(header: &Map<String, Value>) -> Result<SignatureAlgorithm, MalformedToken> {
    if header.contains_key("crit") {
        return Err(MalformedToken::Critical);
    }
    if header.contains_key("b64") {
        return Err(MalformedToken::UnencodedPayload);
    }
    for name in ["alg", "kid", "typ"] {
        if header.get(name).is_some_and(|member| !member.is_string()) {
            return Err(MalformedToken::HeaderMember(name));
        }
    }
    let name = header
        .get("alg")
        .and_then(Value::as_str)
        .ok_or(MalformedToken::AlgorithmMissing)?;
    name.parse().map_err(|_| {
        let upper = name.to_ascii_uppercase();
        match upper.as_str() {
            "NONE" => MalformedToken::AlgorithmNone,
            hmac if hmac.starts_with("HS") => MalformedToken::AlgorithmHmac,
            _ => MalformedToken::AlgorithmUnsupported,
        }
    })
}

#[cfg(test)]
mod tests;
