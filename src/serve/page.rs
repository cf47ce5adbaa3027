//! A page on which a model can be tried.

use hyper::header::{self, HeaderValue};

use super::routes::{Answer, text_answer};

/// Nothing but the page's own files, and the server itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) fn html() -> Answer {
    with_policy(text_answer(
        "text/html; charset=utf-8",
        include_bytes!("page/page.html").to_vec(),
    ))
}

/// What it does.
pub(super) fn script() -> Answer {
    with_policy(text_answer(
        "text/javascript; charset=utf-8",
        include_bytes!("page/page.js").to_vec(),
    ))
}

/// How it looks.
pub(super) fn style() -> Answer {
    with_policy(text_answer(
        "text/css; charset=utf-8",
        include_bytes!("page/page.css").to_vec(),
    ))
}

fn with_policy(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
