//! What `quic` does on streams. Both ends hash what they send and what they get; the test compares.

use std::time::Instant;

use iroh::endpoint::{Connection, ReadError, RecvStream, SendStream, VarInt};
use ring::digest::{Context, SHA256};

use crate::event;
use crate::fail::{Outcome, explain};

const BLOCK: usize = 64 * 1024;
/// A peer that starts a stream with this wants it to be stopped: a code of one byte follows.
const STOP: &[u8] = b"stop";

/// Reads every unidirectional stream of the peer to its end, or stops it when it asks for that.
pub async fn swallow(number: u32, connection: Connection) {
    while let Ok(mut rx) = connection.accept_uni().await {
        tokio::spawn(async move {
            let start = Instant::now();
            let mut seen = Seen::new();
            let end = match seen.read(&mut rx, &mut None).await {
                Ok(()) => "fin".to_owned(),
                Err(error) => error.to_string(),
            };
            event!("received", "conn": number, "bytes": seen.bytes, "hash": seen.hash(),
                   "end": end, "ms": millis(start));
        });
    }
}

/// Sends back what comes on every bidirectional stream of the peer.
pub async fn echo(number: u32, connection: Connection) {
    while let Ok((tx, mut rx)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let mut seen = Seen::new();
            let mut back = Some(tx);
            let end = match seen.read(&mut rx, &mut back).await {
                Ok(()) => "fin".to_owned(),
                Err(error) => error.to_string(),
            };
            let finished = back.is_some_and(|mut tx| tx.finish().is_ok());
            event!("echoed", "conn": number, "bytes": seen.bytes, "hash": seen.hash(), "end": end,
                   "finished": finished);
        });
    }
}

/// Sends back every datagram. What does not fit into one any more is lost, as datagrams may be.
pub async fn echo_datagrams(connection: Connection) {
    while let Ok(bytes) = connection.read_datagram().await {
        let _ = connection.send_datagram(bytes);
    }
}

/// Opens a unidirectional stream and waits until all of it is acknowledged.
pub async fn send(number: u32, connection: Connection, bytes: u64) {
    let start = Instant::now();
    let sent = async {
        let mut tx = connection.open_uni().await?;
        let hash = write(&mut tx, bytes).await?;
        tx.finish()?;
        let stopped = tx.stopped().await?;
        Outcome::Ok((hash, stopped))
    };
    match sent.await {
        Ok((hash, stopped)) => event!("sent", "conn": number, "bytes": bytes, "hash": hash,
            "stopped": stopped.map(VarInt::into_inner), "ms": millis(start)),
        Err(error) => event!("send_failed", "conn": number, "error": explain(error.as_ref())),
    }
}

/// Opens a bidirectional stream, writes and reads at the same time.
pub async fn talk(number: u32, connection: Connection, bytes: u64) {
    let start = Instant::now();
    let talked = async {
        let (mut tx, mut rx) = connection.open_bi().await?;
        let mut seen = Seen::new();
        let write = async {
            let hash = write(&mut tx, bytes).await?;
            tx.finish()?;
            Outcome::Ok(hash)
        };
        let read = async { Ok(seen.read(&mut rx, &mut None).await?) };
        let (hash, ()) = tokio::try_join!(write, read)?;
        Outcome::Ok((hash, seen))
    };
    match talked.await {
        Ok((hash, seen)) => event!("talked", "conn": number, "bytes": seen.bytes, "sent": hash,
            "hash": seen.hash(), "ms": millis(start)),
        Err(error) => event!("talk_failed", "conn": number, "error": explain(error.as_ref())),
    }
}

/// Opens a unidirectional stream and gives it up after some bytes.
pub async fn reset(number: u32, connection: Connection, bytes: u64, code: VarInt) {
    let done = async {
        let mut tx = connection.open_uni().await?;
        write(&mut tx, bytes).await?;
        tx.reset(code)?;
        Outcome::Ok(())
    };
    match done.await {
        Ok(()) => event!("reset", "conn": number),
        Err(error) => event!("reset_failed", "conn": number, "error": explain(error.as_ref())),
    }
}

pub async fn stats(number: u32, connection: Connection) {
    let stats = connection.stats();
    event!("stats", "conn": number, "lost": stats.lost_packets, "sent": stats.sent_packets,
           "datagrams_out": stats.udp_tx.datagrams, "datagrams_in": stats.udp_rx.datagrams,
           "frames_out": format!("{:?}", stats.frame_tx), "frames_in": format!("{:?}", stats.frame_rx));
}

/// Bytes that no window or offset mistake leaves alike. @returns their hash
async fn write(tx: &mut SendStream, bytes: u64) -> Outcome<String> {
    let mut block = vec![0; BLOCK];
    let mut state = 0x9e37_79b9_u32;
    for part in block.chunks_exact_mut(4) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        part.copy_from_slice(&state.to_le_bytes());
    }
    let mut context = Context::new(&SHA256);
    let mut left = bytes;
    while left > 0 {
        block[..8].copy_from_slice(&left.to_le_bytes());
        let part = &block[..usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)];
        context.update(part);
        tx.write_all(part).await?;
        left -= part.len() as u64;
    }
    Ok(hex::encode(context.finish()))
}

struct Seen {
    context: Context,
    bytes: u64,
}

impl Seen {
    fn new() -> Self {
        Self {
            context: Context::new(&SHA256),
            bytes: 0,
        }
    }

    async fn read(
        &mut self,
        rx: &mut RecvStream,
        back: &mut Option<SendStream>,
    ) -> Result<(), ReadError> {
        while let Some(part) = rx.read_chunk(BLOCK).await? {
            let first = self.bytes == 0;
            self.context.update(&part);
            self.bytes += part.len() as u64;
            if let (true, Some([code, ..])) = (first, part.strip_prefix(STOP)) {
                let _ = rx.stop(VarInt::from_u32((*code).into()));
                return Ok(());
            }
            if let Some(tx) = back {
                if tx.write_all(&part).await.is_err() {
                    *back = None;
                }
            }
        }
        Ok(())
    }

    fn hash(&self) -> String {
        hex::encode(self.context.clone().finish())
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
