//! How one token is compared with the marks of one shape.
//!
//! **Invariant:** look-ups are bounded; what cannot be compared is named, never skipped.

use std::borrow::Cow;

use crate::claims::{Claim, Claims, Link, Malformed, PARTITION_CLAIM};
use crate::ids::{SessionId, birth_in, partition_in};
use crate::index::{Covering, LOOK_UPS_MAX, Shape, key_of};
use crate::time::Millis;

impl Shape {
    pub(super) fn covered<T: Claims>(
        &self,
        view: &View<'_, T>,
        look_ups: &mut usize,
    ) -> Result<Option<Covering<'_>>, Malformed> {
        if let [name] = &*self.claims {
            // The common case allocates nothing: one claim, one text.
            return match view.claim(name) {
                None => Ok(None),
                Some(Claim::Text(text)) => self.look_up(&text, view, look_ups),
                Some(other) => {
                    for text in other.texts(name)? {
                        if let Some(covering) = self.look_up(&text, view, look_ups)? {
                            return Ok(Some(covering));
                        }
                    }
                    Ok(None)
                }
            };
        }
        let mut keys: Vec<Vec<Cow<'_, str>>> = vec![Vec::new()];
        for name in &*self.claims {
            let Some(claim) = view.claim(name) else {
                return Ok(None);
            };
            let texts = claim.texts(name)?;
            if keys.len().saturating_mul(texts.len()) > LOOK_UPS_MAX {
                return Err(Malformed::TooManyLookUps { max: LOOK_UPS_MAX });
            }
            keys = keys
                .iter()
                .flat_map(|key| {
                    texts
                        .iter()
                        .map(move |text| [key.as_slice(), std::slice::from_ref(text)].concat())
                })
                .collect();
        }
        for key in keys {
            if let Some(covering) = self.look_up(&key_of(key.iter().map(|text| &**text)), view, look_ups)? {
                return Ok(Some(covering));
            }
        }
        Ok(None)
    }

    fn look_up<T: Claims>(
        &self,
        key: &str,
        view: &View<'_, T>,
        look_ups: &mut usize,
    ) -> Result<Option<Covering<'_>>, Malformed> {
        *look_ups += 1;
        if *look_ups > LOOK_UPS_MAX {
            return Err(Malformed::TooManyLookUps { max: LOOK_UPS_MAX });
        }
        let Some(marks) = self.marks.get(key) else {
            return Ok(None);
        };
        if let Some(plain) = &marks.plain {
            return Ok(Some(Covering {
                winner: &plain.winner,
                before: None,
            }));
        }
        for cut in &marks.cuts {
            let session = view.session();
            if cut.cut_off.is_dead(view.instant(&cut.claim)?, session) {
                return Ok(Some(Covering {
                    winner: &cut.winner,
                    before: Some(cut.cut_off.instant_for(session)),
                }));
            }
        }
        Ok(None)
    }
}

/// A token as one of its links sees it.
pub(super) struct View<'a, T> {
    pub(super) token: &'a T,
    pub(super) link: Option<&'a Link>,
}

impl<'a, T: Claims> View<'a, T> {
    fn claim(&self, name: &str) -> Option<Claim<'a>> {
        match (self.link, name) {
            (Some(link), "client_id") => Some(Claim::text(&link.client_id)),
            (Some(link), "gid") => Some(Claim::text(&link.gid)),
            // No token says it: its ids do. A token of another issuer that has such a claim is taken at its word.
            (Some(_) | None, PARTITION_CLAIM) => self.token.claim(name).or_else(|| self.partition()),
            (Some(_) | None, _) => self.token.claim(name),
        }
    }

    /// The partition that the token's session lies in; without one, that of its grant.
    fn partition(&self) -> Option<Claim<'a>> {
        let number = |claim| match claim {
            Some(Claim::Text(text)) => partition_in(&text),
            Some(Claim::Integer(_) | Claim::Number(_) | Claim::List(_) | Claim::Null | Claim::Other)
            | None => None,
        };
        let partition = number(self.token.claim("sid")).or_else(|| number(self.token.claim("gid")))?;
        Some(Claim::Integer(partition.number().into()))
    }

    fn session(&self) -> Option<SessionId> {
        match self.token.claim("sid") {
            Some(Claim::Text(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// The instant that `before` compares: `None` is older than everything.
    fn instant(&self, name: &str) -> Result<Option<Millis>, Malformed> {
        let claim = match self.claim(name) {
            None if name == "sid" => self.claim("gid"),
            other => other,
        };
        let is_birth = matches!(name, "sid" | "gid" | "jti");
        match claim {
            None | Some(Claim::Null) => Ok(None),
            Some(Claim::Text(text)) if is_birth => Ok(birth_in(&text)),
            Some(_) if is_birth => Ok(None),
            Some(Claim::Integer(seconds)) => Ok(Some(seconds_to_ms(seconds))),
            Some(Claim::Number(seconds)) => Ok(Some(fraction_to_ms(seconds))),
            Some(Claim::Text(_) | Claim::List(_) | Claim::Other) => Err(Malformed::claim(name)),
        }
    }
}

fn seconds_to_ms(seconds: i128) -> Millis {
    let ms = seconds
        .saturating_mul(1_000)
        .clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Millis::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float casts to the nearest i64, saturating, NaN to 0"
)]
fn fraction_to_ms(seconds: f64) -> Millis {
    Millis::from_unix_ms((seconds * 1_000.0).floor() as i64)
}
