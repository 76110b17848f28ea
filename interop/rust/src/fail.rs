//! One error type for everything this program reports to its driver as text.

use std::error::Error;

pub type Fail = Box<dyn Error + Send + Sync>;
pub type Outcome<T> = Result<T, Fail>;

/// The error and all its causes in one line. Transport errors hide the interesting part (a TLS
/// alert, a close code) two or three causes deep.
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    text
}
