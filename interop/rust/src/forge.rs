//! `forge`: a peer that keeps to the protocol up to one deliberate fault, then watches what the
//! other side does about it. It dials `--peer`, or accepts when there is none.

use std::collections::BTreeMap;
use std::time::Instant;

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use p2panda_sync::protocols::LogSyncMessage;
use tokio::sync::watch;

use crate::author::Author;
use crate::commands::{self, Command};
use crate::event;
use crate::fail::{Outcome, explain};
use crate::fault::{Fault, frames};
use crate::net::{self, close_value};
use crate::options::Options;
use crate::wire::{Handshake, SyncMessage, read_message, write_message};

pub async fn run(options: &Options) -> Outcome<()> {
    let endpoint = net::endpoint(options).await?;
    event!("ready", "id": endpoint.id().to_string(), "addr": net::address(&endpoint)?.to_string());
    if let Some(peer) = &options.peer {
        let connection = endpoint.connect(peer.clone(), &options.alpn()).await;
        let connection = connection.map_err(|error| format!("connect: {}", explain(&error)))?;
        watch_session(options, connection, true).await;
    } else {
        let mut lines = commands::lines();
        loop {
            let incoming = tokio::select! {
                incoming = endpoint.accept() => incoming.ok_or("the endpoint has closed")?,
                command = commands::next(&mut lines) => match command {
                    Command::Quit | Command::Kill => break,
                    _ => continue,
                },
            };
            match incoming.await {
                Ok(connection) => watch_session(options, connection, false).await,
                Err(error) => event!("accept_failed", "error": explain(&error)),
            }
        }
    }
    endpoint.close().await;
    Ok(())
}

/// Runs the forged session, then waits for the verdict of the peer.
async fn watch_session(options: &Options, connection: Connection, is_initiator: bool) {
    // Held to the end: dropping a stream finishes it, and that would be one more fault.
    let mut held = None;
    let remote = connection.remote_id().to_string();
    event!("connected", "remote": remote);
    let start = Instant::now();
    let talk = talk(options, &connection, is_initiator);
    tokio::select! {
        result = talk => match result {
            Ok(tx) => held = Some(tx),
            Err(error) => {
                event!("talk_failed", "remote": remote, "error": error.to_string());
            }
        },
        _ = connection.closed() => {}
    }
    match tokio::time::timeout(options.wait, connection.closed()).await {
        Ok(error) => event!("closed", "remote": remote, "close": close_value(&error),
                            "ms": start.elapsed().as_millis()),
        Err(_) => {
            event!("still_open", "remote": remote, "ms": start.elapsed().as_millis());
            connection.close(VarInt::from_u32(0), b"forged session over");
        }
    }
    drop(held);
}

async fn talk(
    options: &Options,
    connection: &Connection,
    is_initiator: bool,
) -> Outcome<SendStream> {
    let (tx, rx) = if is_initiator {
        let (mut tx, mut rx) = connection.open_bi().await?;
        write_message(&mut tx, &Handshake::Topic(options.topic)).await?;
        expect_done(&mut rx).await?;
        write_message(&mut tx, &Handshake::Done).await?;
        connection.open_bi().await?
    } else {
        let (mut tx, mut rx) = connection.accept_bi().await?;
        let topic = match read_message::<Handshake>(&mut rx).await? {
            Some(Handshake::Topic(topic)) => topic,
            other => return Err(format!("a topic was due, not {other:?}").into()),
        };
        event!("topic", "topic": topic.to_hex(), "known": topic == options.topic);
        write_message(&mut tx, &Handshake::Done).await?;
        expect_done(&mut rx).await?;
        connection.accept_bi().await?
    };
    let (done, done_rx) = watch::channel(false);
    let reader = tokio::spawn(read(rx, done, connection.clone()));
    let tx = write(options, tx, done_rx).await?;
    event!("sent", "operations": options.prefill);
    // The stream stays open until the peer has given its verdict or our patience is over.
    let _ = tokio::time::timeout(options.wait, reader).await;
    Ok(tx)
}

async fn expect_done(rx: &mut RecvStream) -> Outcome<()> {
    match read_message::<Handshake>(rx).await? {
        Some(Handshake::Done) => Ok(()),
        other => Err(format!("the handshake's Done was due, not {other:?}").into()),
    }
}

async fn write(
    options: &Options,
    mut tx: SendStream,
    mut done: watch::Receiver<bool>,
) -> Outcome<SendStream> {
    let mut author = Author::new(options.key.clone(), options.log_id());
    let total = options.prefill;
    let pre_sync = LogSyncMessage::PreSync {
        total_operations: total,
        total_bytes: total.saturating_mul(options.size as u32 + 220),
    };
    write_message(
        &mut tx,
        &SyncMessage::Sync(LogSyncMessage::Have(BTreeMap::new())),
    )
    .await?;
    write_message(&mut tx, &SyncMessage::Sync(pre_sync)).await?;
    for index in 0..total {
        let is_bad = !options.fault_live && index == options.at;
        let fault = if is_bad { options.fault } else { Fault::None };
        if fault == Fault::Stall {
            return Ok(tx);
        }
        if fault == Fault::Fin {
            tx.finish()?;
            return Ok(tx);
        }
        tx.write_all(&frames(&mut author, options.size, fault, false)?)
            .await?;
    }
    write_message(&mut tx, &SyncMessage::Sync(LogSyncMessage::Done)).await?;
    if options.fault_live {
        done.wait_for(|is_done| *is_done).await?;
        if options.fault == Fault::Fin {
            tx.finish()?;
        } else {
            tx.write_all(&frames(&mut author, options.size, options.fault, true)?)
                .await?;
        }
    }
    Ok(tx)
}

/// Prints every message of the peer but its operations, which are counted. A Close is answered as
/// the protocol wants it: by closing the connection.
async fn read(mut rx: RecvStream, done: watch::Sender<bool>, connection: Connection) {
    let mut operations = 0;
    let end = loop {
        match read_message::<SyncMessage>(&mut rx).await {
            Ok(Some(SyncMessage::Sync(LogSyncMessage::Operation(_)))) => operations += 1,
            Ok(Some(SyncMessage::Sync(LogSyncMessage::Have(heights)))) => {
                event!("got", "message": "have", "authors": heights.len());
            }
            Ok(Some(SyncMessage::Sync(LogSyncMessage::PreSync {
                total_operations,
                total_bytes,
            }))) => {
                event!("got", "message": "pre_sync", "operations": total_operations,
                       "bytes": total_bytes);
            }
            Ok(Some(SyncMessage::Sync(LogSyncMessage::Done))) => {
                event!("got", "message": "done", "operations": operations);
                done.send_replace(true);
            }
            Ok(Some(SyncMessage::Live(_))) => event!("got", "message": "live"),
            Ok(Some(SyncMessage::Close)) => {
                event!("got", "message": "close");
                connection.close(VarInt::from_u32(0), b"forged session closed");
                return;
            }
            Ok(None) => break "fin".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    event!("stream_end", "end": end);
}
