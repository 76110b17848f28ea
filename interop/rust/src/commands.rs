//! Commands of the driver, one a line on stdin. The end of stdin means quit, so that a peer never
//! outlives its driver.

use std::io::BufRead;
use std::time::Duration;

use iroh::EndpointAddr;
use tokio::sync::mpsc;

use crate::event;
use crate::fail::Outcome;
use crate::options;

pub enum Command {
    Publish {
        count: u32,
        size: usize,
        interval: Option<Duration>,
    },
    Dial(EndpointAddr),
    Mesh(EndpointAddr),
    Stats,
    Quit,
    Kill,
}

/// Lines of stdin. A thread of its own reads them: tokio cannot cancel a read of stdin.
pub fn lines() -> mpsc::UnboundedReceiver<String> {
    let (tx, rx) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if tx.send(line).is_err() {
                break;
            }
        }
    });
    rx
}

/// The next command. Lines that are none are reported and skipped.
pub async fn next(lines: &mut mpsc::UnboundedReceiver<String>) -> Command {
    while let Some(line) = lines.recv().await {
        if line.trim().is_empty() {
            continue;
        }
        match parse(&line) {
            Ok(command) => return command,
            Err(error) => event!("bad_command", "line": line, "error": error.to_string()),
        }
    }
    Command::Quit
}

fn parse(line: &str) -> Outcome<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["publish", count, size] => Command::Publish {
            count: count.parse()?,
            size: size.parse()?,
            interval: None,
        },
        ["publish", count, size, ms] => Command::Publish {
            count: count.parse()?,
            size: size.parse()?,
            interval: Some(Duration::from_millis(ms.parse()?)),
        },
        ["dial", peer] => Command::Dial(options::peer(peer)?),
        ["mesh", peer] => Command::Mesh(options::peer(peer)?),
        ["stats"] => Command::Stats,
        ["quit"] => Command::Quit,
        ["kill"] => Command::Kill,
        _ => return Err("publish, dial, mesh, stats, quit or kill".into()),
    })
}
