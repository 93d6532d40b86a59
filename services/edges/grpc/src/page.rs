//! Pages: a bounded number of items, and a token that only this caller can go on with.
//!
//! **Invariant:** a token is bound to caller, method and filter, and authorizes nothing.

use curfew_authority::PageScope;
use tonic::Status;

use crate::check::Check;
use crate::shared::Call;
use crate::status::Of;

/// Items of a page when none are asked for.
pub(crate) const DEFAULT: usize = 50;
/// The most items of a page.
pub(crate) const MAX: usize = 500;
/// The longest page token, bytes.
const TOKEN_MAX: usize = 1_024;

/// What is asked of a list.
#[derive(Clone, Debug)]
pub(crate) struct Paged {
    /// Items.
    pub(crate) size: usize,
    /// Where to go on.
    pub(crate) token: String,
    /// The method.
    pub(crate) method: &'static str,
    /// The filter, in canonical bytes.
    pub(crate) filter: Vec<u8>,
}

impl Paged {
    /// The page that a request asks for.
    pub(crate) fn of(
        check: &mut Check,
        size: i32,
        token: &str,
        method: &'static str,
        filter: Vec<u8>,
    ) -> Option<Self> {
        if token.len() > TOKEN_MAX {
            check.fault("page_token", format!("longer than {TOKEN_MAX} bytes"));
            return None;
        }
        let Ok(size) = usize::try_from(size) else {
            check.fault("page_size", "negative");
            return None;
        };
        Some(Self {
            size: if size == 0 { DEFAULT } else { size.min(MAX) },
            token: token.to_owned(),
            method,
            filter,
        })
    }

    /// What its tokens are bound to.
    pub(crate) fn scope<'a>(&'a self, call: &'a Call) -> Result<PageScope<'a>, Status> {
        Ok(PageScope {
            caller: call.caller_id()?,
            method: self.method,
            filter: &self.filter,
        })
    }

    /// The cursor that the token holds.
    pub(crate) async fn cursor(&self, call: &Call) -> Result<Option<Vec<u8>>, Status> {
        let scope = self.scope(call)?;
        call.authority()
            .open_page(&scope, &self.token)
            .await
            .map_err(call.refuse(Of::Request))
    }

    /// The token that leads on from a cursor.
    pub(crate) async fn seal(&self, call: &Call, cursor: &[u8]) -> Result<String, Status> {
        let scope = self.scope(call)?;
        call.authority()
            .seal_page(&scope, cursor)
            .await
            .map_err(call.refuse(Of::Request))
    }

    /// One page of items that are sorted by their cursors.
    pub(crate) async fn take<T>(
        &self,
        call: &Call,
        sorted: impl IntoIterator<Item = (Vec<u8>, T)>,
    ) -> Result<(Vec<T>, String), Status> {
        let after = self.cursor(call).await?;
        let mut rest = sorted
            .into_iter()
            .filter(|(cursor, _)| after.as_ref().is_none_or(|after| cursor > after))
            .collect::<Vec<_>>();
        let has_more = rest.len() > self.size;
        rest.truncate(self.size);
        let token = match rest.last() {
            Some((cursor, _)) if has_more => self.seal(call, cursor).await?,
            Some(_) | None => String::new(),
        };
        Ok((rest.into_iter().map(|(_, item)| item).collect(), token))
    }
}
