//! The error catalogue, made from the enum that the code uses.
//!
//! It opens with the decision tree: the symptom names the stage, the stage names who can mend it.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::response::Html;
use curfew_core::refusal::{Class, Reason};
use http::StatusCode;

/// Every reason.
pub(crate) async fn all() -> Html<String> {
    let mut page = String::from(
        "<h1>Why was it refused?</h1>\
         <p>Read the result, find the stage, fix the one thing.</p>\
         <h2>The result</h2><ul>\
         <li>UNAVAILABLE, 503, <code>temporarily_unavailable</code>: a hiccup. Repeat with the same arguments after the told \
         delay. Sign nobody out.</li>\
         <li>RESOURCE_EXHAUSTED, 429: a limit. Wait for the told delay.</li>\
         <li>FAILED_PRECONDITION, <code>invalid_grant</code>: dead. A retry is useless; sign in again.</li>\
         <li>UNAUTHENTICATED, 401: the caller, the client or the token did not prove itself.</li>\
         <li>PERMISSION_DENIED, 403: known, and not permitted.</li>\
         <li>Any other: the request itself is wrong, and the code says how.</li></ul>\
         <h2>The stage</h2>\
         <ul>\
         <li>Stages 1 to 4: the sign-in did not happen. The user or the tenant administrator mends it.</li>\
         <li>Stages 5 and 6: tokens were not issued. The client developer or the tenant administrator mends it.</li>\
         <li>Stage 7: an API refused a token. First ask whether it was an <em>access</em> token for <em>this</em> API; \
         then whether it was revoked.</li>\
         <li>Stage 8: a refresh was refused. Sign in again, unless the answer says that a retry makes sense.</li>\
         </ul>",
    );
    for reason in Reason::ALL {
        entry(&mut page, *reason);
    }
    Html(whole(&page))
}

/// One reason, by its code.
pub(crate) async fn one(Path(code): Path<String>) -> Result<Html<String>, StatusCode> {
    let named =
        |reason: &&Reason| reason.code() == code || reason.code().strip_prefix("CURFEW_") == Some(&*code);
    let reason = Reason::ALL.iter().find(named).ok_or(StatusCode::NOT_FOUND)?;
    let mut page = String::new();
    entry(&mut page, *reason);
    page.push_str("<p><a href=\"/errors\">all reasons</a></p>");
    Ok(Html(whole(&page)))
}

/// Every text of the catalogue is a constant of this program: there is nothing to escape.
fn entry(page: &mut String, reason: Reason) {
    let again = match reason.class() {
        Class::Retry => "yes, with the same arguments",
        Class::Limit => "yes, after the told delay",
        Class::Dead => "no: it is over",
        Class::Invalid | Class::Unauthenticated | Class::Denied | Class::NotFound | Class::Exists => {
            "not before something is changed"
        }
    };
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<h2 id=\"{code}\">{code}</h2><p>{what}.</p><dl><dt>what to do</dt><dd>{fix}</dd>\
         <dt>who</dt><dd>{who}</dd><dt>OAuth word</dt><dd>{rfc}</dd><dt>does a retry make sense</dt><dd>{again}</dd></dl>",
        code = reason.code(),
        what = reason.what(),
        fix = reason.fix(),
        who = reason.fixer().as_str(),
        rfc = reason.rfc_word(),
    );
}

fn whole(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Curfew: errors</title>\
         <style>body{{font-family:system-ui;max-width:46rem;margin:2rem auto;padding:0 1rem}}\
         h2{{font-family:monospace;font-size:1rem}}dt{{font-weight:600}}</style>{body}</html>"
    )
}
