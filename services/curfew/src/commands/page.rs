//! Lists longer than a page.

use crate::cli::Failure;

/// The largest page that a node gives.
const PAGE_MAX: u32 = 500;

/// How much of a list is wanted.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Page {
    /// Show at most this many; 0: all of them.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
    /// Go on where a list stopped: the `nextPageToken` of its JSON.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
}

impl Page {
    /// Asks page by page until there is enough; the items, and the token of what is left.
    pub(crate) async fn all<T>(
        &self,
        mut ask: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<(Vec<T>, String), Failure> {
        let mut items = Vec::new();
        let mut token = self.page_token.clone();
        // Bounded by the list: each page ends with another token, and the last one with none.
        loop {
            let got = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let wanted = match self.limit {
                0 => PAGE_MAX,
                limit => limit.saturating_sub(got).min(PAGE_MAX),
            };
            if wanted == 0 {
                return Ok((items, token));
            }
            let (page, next) = ask(wanted.try_into().unwrap_or(i32::MAX), token).await?;
            items.extend(page);
            token = next;
            if token.is_empty() {
                return Ok((items, token));
            }
        }
    }
}

/// What is said below a list that is not whole.
pub(crate) fn more(next_page_token: &str) -> &'static str {
    if next_page_token.is_empty() {
        ""
    } else {
        "There is more: `--limit 0` shows all of it.\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of 1,200 numbers, asked for with a limit: how many came, in how many pages, and what is left.
    async fn check(limit: u32, expected: (usize, usize, &str)) {
        let page = Page {
            limit,
            page_token: String::new(),
        };
        let mut pages = 0;
        let list = page.all(async |size, token: String| {
            pages += 1;
            let from: i32 = token.parse().unwrap_or(0);
            let to = (from + size).min(1_200);
            let next = if to == 1_200 {
                String::new()
            } else {
                to.to_string()
            };
            Ok(((from..to).collect::<Vec<_>>(), next))
        });
        let (items, left) = list.await.unwrap();
        assert_eq!((items.len(), pages, &*left), expected, "limit {limit}");
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_is_enough_or_no_more() {
        check(0, (1_200, 3, "")).await;
        check(100, (100, 1, "100")).await;
        check(700, (700, 2, "700")).await;
        check(5_000, (1_200, 3, "")).await;
    }
}
