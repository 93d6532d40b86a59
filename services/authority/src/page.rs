//! Page tokens: opaque, tagged, bound to the caller and the filter; they authorize nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_core::ids::CallerId;
use curfew_core::mac;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::secret::MacKey;
use subtle::ConstantTimeEq as _;

use crate::answer::Answer;

const DOMAIN: &str = "curfew/page-token/v1";
const TAG_LEN: usize = 16;

/// What a page token is good for: this caller, this method, this filter.
#[derive(Clone, Debug)]
pub struct PageScope<'a> {
    /// The caller.
    pub caller: &'a CallerId,
    /// The method.
    pub method: &'static str,
    /// The filter, in any canonical bytes.
    pub filter: &'a [u8],
}

impl PageScope<'_> {
    fn tag(&self, key: &MacKey, cursor: &[u8]) -> [u8; TAG_LEN] {
        let parts = [
            self.caller.as_str().as_bytes(),
            self.method.as_bytes(),
            self.filter,
            cursor,
        ];
        mac::tag16(key, DOMAIN, &parts)
    }

    /// The token that leads on from `cursor`.
    pub(crate) fn seal(&self, key: &MacKey, cursor: &[u8]) -> String {
        let mut bytes = self.tag(key, cursor).to_vec();
        bytes.extend_from_slice(cursor);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor of a token; somebody else's, or one of another filter, is refused.
    pub(crate) fn open(&self, key: &MacKey, token: &str) -> Answer<Option<Vec<u8>>> {
        if token.is_empty() {
            return Ok(None);
        }
        let refused = || Refusal::new(Stage::Request, Reason::PageToken);
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
        let (tag, cursor) = bytes.split_at_checked(TAG_LEN).ok_or_else(refused)?;
        if bool::from(self.tag(key, cursor).ct_eq(tag)) {
            Ok(Some(cursor.to_vec()))
        } else {
            Err(refused())
        }
    }
}
