//! How a token's claims are looked at when they are compared with a revocation.
//!
//! Claims are top-level members; a header parameter is spelt `jose.<name>`, which here means
//! `jose.kid` alone (DESIGN section 6).
//!
//! **Invariant:** a value of a type that cannot be compared is named as malformed, never skipped.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The spelling of the `kid` header parameter among claims.
pub const JOSE_KID: &str = "jose.kid";
/// The store partition that a token's session lies in: derived from `sid`, or from `gid` where there is none, and
/// written into no token (DESIGN section 5).
pub const PARTITION_CLAIM: &str = "partition";
/// The most links that a token may rest on (DESIGN section 8).
pub const CHAIN_LINKS_MAX: usize = 8;

/// A claim whose type cannot be compared; the token that carries it is refused by this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// A claim that a living mark names has a type that cannot be compared.
    #[error("claim `{claim}` has a type that cannot be compared with a revocation")]
    Claim {
        /// The claim's name.
        claim: String,
    },
    /// `chain` is not a list of at most eight `{client_id, gid}`.
    #[error("claim `chain` is not a list of at most {CHAIN_LINKS_MAX} objects with `client_id` and `gid`")]
    Chain,
    /// Comparing the token would take more look-ups than permitted.
    #[error("comparing the token would take more than {max} look-ups")]
    TooManyLookUps {
        /// The permitted number.
        max: usize,
    },
}

impl Malformed {
    pub(crate) fn claim(name: &str) -> Self {
        Self::Claim {
            claim: name.to_owned(),
        }
    }
}

/// One claim, as far as comparison goes.
#[derive(Clone, PartialEq, Debug)]
pub enum Claim<'a> {
    /// A string, compared byte for byte.
    Text(Cow<'a, str>),
    /// An integer; its decimal text is compared.
    Integer(i128),
    /// A number that is no integer; usable as an instant only.
    Number(f64),
    /// A list; it matches if one element does.
    List(Vec<Claim<'a>>),
    /// `null`: lacking.
    Null,
    /// Boolean or object.
    Other,
}

impl<'a> Claim<'a> {
    /// A borrowed string.
    #[must_use]
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A list of strings.
    pub fn list<T: AsRef<str> + 'a>(items: impl IntoIterator<Item = &'a T>) -> Self {
        Self::List(items.into_iter().map(|item| Self::text(item.as_ref())).collect())
    }

    pub(crate) fn of_json(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::text(text),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(integer), _, _) => Self::Integer(integer.into()),
                (None, Some(integer), _) => Self::Integer(integer.into()),
                (None, None, Some(float)) => Self::Number(float),
                (None, None, None) => Self::Other,
            },
            Value::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            Value::Null => Self::Null,
            Value::Bool(_) | Value::Object(_) => Self::Other,
        }
    }

    /// The texts by which this claim is looked up: none where it lacks.
    pub(crate) fn texts(self, name: &str) -> Result<Vec<Cow<'a, str>>, Malformed> {
        match self {
            Self::Text(text) => Ok(vec![text]),
            Self::Integer(integer) => Ok(vec![Cow::Owned(integer.to_string())]),
            Self::Null => Ok(Vec::new()),
            Self::List(items) => items
                .into_iter()
                .map(|item| match item {
                    Self::Text(text) => Ok(text),
                    Self::Integer(integer) => Ok(Cow::Owned(integer.to_string())),
                    Self::Number(_) | Self::List(_) | Self::Null | Self::Other => Err(Malformed::claim(name)),
                })
                .collect(),
            Self::Number(_) | Self::Other => Err(Malformed::claim(name)),
        }
    }
}

/// A token that this one rests on (on-behalf-of, RFC 8693): a link replaces `client_id` and `gid`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The client of the token that was exchanged.
    pub client_id: String,
    /// Its grant.
    pub gid: String,
}

/// A token's claims, readable by name.
pub trait Claims {
    /// The claim of this name; `None` where there is no such member.
    fn claim(&self, name: &str) -> Option<Claim<'_>>;

    /// The links of its chain.
    fn links(&self) -> &[Link] {
        &[]
    }
}

/// The claims of a token that arrived: its JSON and its `kid`.
#[derive(Clone, Debug)]
pub struct JsonClaims<'a> {
    claims: &'a Map<String, Value>,
    kid: Option<&'a str>,
    links: Vec<Link>,
}

impl<'a> JsonClaims<'a> {
    /// The claims of a foreign token; its `chain`, if it has one, means nothing here.
    #[must_use]
    pub const fn foreign(claims: &'a Map<String, Value>, kid: Option<&'a str>) -> Self {
        Self {
            claims,
            kid,
            links: Vec::new(),
        }
    }

    /// The claims of one of Curfew's own tokens, with its chain.
    pub fn own(claims: &'a Map<String, Value>, kid: Option<&'a str>) -> Result<Self, Malformed> {
        let links = match claims.get("chain") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) if items.len() <= CHAIN_LINKS_MAX => items
                .iter()
                .map(link_of)
                .collect::<Option<_>>()
                .ok_or(Malformed::Chain)?,
            Some(_) => return Err(Malformed::Chain),
        };
        Ok(Self { claims, kid, links })
    }
}

fn link_of(value: &Value) -> Option<Link> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Link {
        client_id: text("client_id")?,
        gid: text("gid")?,
    })
}

impl Claims for JsonClaims<'_> {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        if name == JOSE_KID {
            return self.kid.map(Claim::text);
        }
        self.claims.get(name).map(Claim::of_json)
    }

    fn links(&self) -> &[Link] {
        &self.links
    }
}
