//! Plain iroh endpoints on loopback with the transport settings of a p2panda node, and the reasons
//! for which connections end.

use std::net::SocketAddr;
use std::time::Duration;

use iroh::endpoint::{Connection, ConnectionError, QuicTransportConfig, presets};
use iroh::{Endpoint, RelayMode, SecretKey};
use serde_json::{Value, json};

use crate::fail::{Outcome, explain};
use crate::options::Options;

pub async fn endpoint(options: &Options) -> Outcome<Endpoint> {
    let transport = QuicTransportConfig::builder()
        .keep_alive_interval(Duration::from_secs(5))
        .max_idle_timeout(Some(Duration::from_secs(10).try_into()?))
        .build();
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .secret_key(SecretKey::from_bytes(options.key.as_bytes()))
        .alpns(vec![options.alpn()])
        .transport_config(transport)
        .clear_ip_transports()
        .bind_addr(options.bind)?;
    Ok(builder.bind().await?)
}

/// The IPv4 socket of an endpoint. That of a p2panda node has one for IPv6, too.
pub fn address(endpoint: &Endpoint) -> Outcome<SocketAddr> {
    let sockets = endpoint.bound_sockets();
    Ok(sockets
        .into_iter()
        .find(SocketAddr::is_ipv4)
        .ok_or("there is no IPv4 socket")?)
}

/// How the connection ended, as far as known now: null while it is open.
pub fn close_of(connection: &Connection) -> Value {
    connection
        .close_reason()
        .map_or(Value::Null, |error| close_value(&error))
}

pub fn close_value(error: &ConnectionError) -> Value {
    match error {
        ConnectionError::ApplicationClosed(close) => json!({
            "by": "peer",
            "code": close.error_code.into_inner(),
            "reason": String::from_utf8_lossy(&close.reason),
        }),
        ConnectionError::LocallyClosed => json!({ "by": "us" }),
        other => json!({ "by": "transport", "error": explain(other) }),
    }
}
