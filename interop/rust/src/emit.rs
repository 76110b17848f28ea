//! Output: one JSON object a line on stdout, flushed at once, so that a driver can react to it.

use std::io::Write;

use serde_json::Value;

pub fn emit(value: Value) {
    let mut out = std::io::stdout().lock();
    // A driver that closed our stdout has gone away. There is nobody left to tell.
    if writeln!(out, "{value}").and_then(|()| out.flush()).is_err() {
        std::process::exit(4);
    }
}

/// Emits `{"event": name, ...fields}`.
#[macro_export]
macro_rules! event {
    ($name:literal $(, $key:literal : $value:expr)* $(,)?) => {
        $crate::emit::emit(serde_json::json!({ "event": $name $(, $key: $value)* }))
    };
}
