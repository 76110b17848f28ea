//! `frames`: raw streams driven by hand. Dials `--peer`, or accepts one connection when there is
//! none; sends the bytes it is told to and prints the frames that come back.

use std::collections::HashMap;

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::mpsc;

use crate::commands;
use crate::event;
use crate::fail::{Outcome, explain};
use crate::net::{self, close_value};
use crate::options::Options;
use crate::wire::{frame, read_frame};

/// Longer frames are printed up to here.
const PRINT: usize = 4_096;

pub async fn run(options: &Options) -> Outcome<()> {
    let endpoint = net::endpoint(options).await?;
    event!("ready", "id": endpoint.id().to_string(), "addr": net::address(&endpoint)?.to_string());
    let connection = match &options.peer {
        Some(peer) => endpoint
            .connect(peer.clone(), &options.alpn())
            .await
            .map_err(|error| format!("connect: {}", explain(&error)))?,
        None => {
            endpoint
                .accept()
                .await
                .ok_or("the endpoint has closed")?
                .await?
        }
    };
    event!("connected", "remote": connection.remote_id().to_string());

    let mut streams = Streams {
        next: 0,
        open: HashMap::new(),
    };
    let mut lines = commands::lines();
    loop {
        tokio::select! {
            pair = connection.accept_bi() => match pair {
                Ok((tx, rx)) => streams.add(Some(tx), Some(rx), "accept"),
                Err(_) => break,
            },
            stream = connection.accept_uni() => match stream {
                Ok(rx) => streams.add(None, Some(rx), "accept-uni"),
                Err(_) => break,
            },
            line = lines.recv() => {
                let Some(line) = line else { break };
                let words: Vec<&str> = line.split_whitespace().collect();
                if words.as_slice() == ["quit"] {
                    break;
                }
                if let Err(error) = streams.command(&connection, &mut lines, &words).await {
                    event!("command_failed", "line": line, "error": error.to_string());
                }
            }
        }
    }
    // Once we close, that is all the connection would tell.
    let ended = connection.close_reason();
    connection.close(VarInt::from_u32(0), b"");
    let reason = match ended {
        Some(reason) => reason,
        None => connection.closed().await,
    };
    event!("closed", "close": close_value(&reason));
    endpoint.close().await;
    Ok(())
}

struct Streams {
    next: u32,
    open: HashMap<u32, SendStream>,
}

impl Streams {
    fn add(&mut self, tx: Option<SendStream>, rx: Option<RecvStream>, side: &str) {
        let stream = self.next;
        self.next += 1;
        event!("stream", "stream": stream, "side": side);
        if let Some(tx) = tx {
            self.open.insert(stream, tx);
        }
        if let Some(rx) = rx {
            tokio::spawn(print(stream, rx));
        }
    }

    async fn command(
        &mut self,
        connection: &Connection,
        lines: &mut mpsc::UnboundedReceiver<String>,
        words: &[&str],
    ) -> Outcome<()> {
        match words {
            [] => {}
            ["open"] => {
                let (tx, rx) = connection.open_bi().await?;
                self.add(Some(tx), Some(rx), "open");
            }
            ["open-uni"] => {
                let tx = connection.open_uni().await?;
                self.add(Some(tx), None, "open-uni");
            }
            ["frame", stream, hex] => {
                let bytes = frame(&hex::decode(hex)?);
                self.stream(stream)?.write_all(&bytes).await?;
            }
            ["raw", stream, hex] => {
                let bytes = hex::decode(hex)?;
                self.stream(stream)?.write_all(&bytes).await?;
            }
            ["finish", stream] => self.stream(stream)?.finish()?,
            ["reset", stream, code] => {
                let code = VarInt::from_u64(code.parse()?)?;
                self.stream(stream)?.reset(code)?;
            }
            ["close", code, reason @ ..] => {
                let code = VarInt::from_u64(code.parse()?)?;
                connection.close(code, reason.join(" ").as_bytes());
                lines.close();
            }
            _ => return Err("open, open-uni, frame, raw, finish, reset, close or quit".into()),
        }
        Ok(())
    }

    fn stream(&mut self, name: &str) -> Outcome<&mut SendStream> {
        Ok(self
            .open
            .get_mut(&name.parse()?)
            .ok_or("there is no such stream to write to")?)
    }
}

async fn print(stream: u32, mut rx: RecvStream) {
    let end = loop {
        match read_frame(&mut rx).await {
            Ok(Some(payload)) => {
                let shown = &payload[..payload.len().min(PRINT)];
                event!("frame", "stream": stream, "len": payload.len(), "hex": hex::encode(shown));
            }
            Ok(None) => break "fin".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    event!("stream_end", "stream": stream, "end": end);
}
