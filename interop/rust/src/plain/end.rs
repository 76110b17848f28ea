//! Why a connection or a handshake ended, with the numbers that crossed the wire.

use std::error::Error;

use iroh::endpoint::ConnectionError;
use serde_json::{Value, json};

use crate::fail::explain;

/// `transport` is the error code of QUIC, which for a TLS alert is 0x100 and the alert.
pub fn of(error: &ConnectionError) -> Value {
    match error {
        ConnectionError::ApplicationClosed(close) => json!({
            "by": "peer",
            "code": close.error_code.into_inner(),
            "reason": String::from_utf8_lossy(&close.reason),
        }),
        ConnectionError::ConnectionClosed(close) => json!({
            "by": "peer",
            "transport": u64::from(close.error_code),
            "reason": String::from_utf8_lossy(&close.reason),
        }),
        ConnectionError::TransportError(error) => json!({
            "by": "us",
            "transport": u64::from(error.code),
            "reason": error.reason,
        }),
        ConnectionError::LocallyClosed => json!({ "by": "us" }),
        other => json!({ "by": "lost", "reason": other.to_string() }),
    }
}

/// The same of a failed handshake: iroh wraps the error of the connection more than once.
pub fn failed_with(error: &(dyn Error + 'static)) -> Value {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<ConnectionError>() {
            return of(error);
        }
        cause = inner.source();
    }
    json!({ "by": "us", "reason": explain(error) })
}
