//! Frames: four bytes of length, big endian, then one message in postcard.

use iroh::endpoint::{ReadExactError, RecvStream, SendStream};
use p2panda_core::{Hash, Topic};
use p2panda_net::codec::Codec;
use p2panda_sync::protocols::{TopicHandshakeMessage, TopicLogSyncMessage};
use serde::Serialize;
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::fail::Outcome;

pub type Handshake = TopicHandshakeMessage<Topic>;
pub type SyncMessage = TopicLogSyncMessage<Hash>;

/// The largest frame a p2panda peer accepts.
const MAX_FRAME: usize = 128 * 1024 * 1024;

/// Both halves of a stream with the codec of p2panda-net, as its sessions use it.
pub fn framed<M>(
    (tx, rx): (SendStream, RecvStream),
) -> (
    FramedWrite<SendStream, Codec<M>>,
    FramedRead<RecvStream, Codec<M>>,
) {
    (
        FramedWrite::new(tx, Codec::new()),
        FramedRead::new(rx, Codec::new()),
    )
}

pub fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}

pub async fn write_message<M: Serialize>(tx: &mut SendStream, message: &M) -> Outcome<()> {
    tx.write_all(&frame(&postcard::to_stdvec(message)?)).await?;
    Ok(())
}

/// The payload of the next frame, or nothing when the peer has finished its side in between frames.
pub async fn read_frame(rx: &mut RecvStream) -> Outcome<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match rx.read_exact(&mut head).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(format!("a frame of {length} bytes is too large").into());
    }
    // Grows with what has arrived, so that a lying head costs nothing.
    let mut payload = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while payload.len() < length {
        let wanted = chunk.len().min(length - payload.len());
        match rx.read(&mut chunk[..wanted]).await? {
            Some(count) => payload.extend_from_slice(&chunk[..count]),
            None => return Err("the stream ended inside a frame".into()),
        }
    }
    Ok(Some(payload))
}

pub async fn read_message<M: for<'de> serde::Deserialize<'de>>(
    rx: &mut RecvStream,
) -> Outcome<Option<M>> {
    match read_frame(rx).await? {
        Some(payload) => Ok(Some(postcard::from_bytes(&payload)?)),
        None => Ok(None),
    }
}
