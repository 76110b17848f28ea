//! A p2panda peer for the interop tests of Weir, built on the published Rust crates. README.md has
//! the commands and what they print.

mod author;
mod commands;
mod emit;
mod extensions;
mod fail;
mod fault;
mod feed;
mod forge;
mod frames;
mod net;
mod options;
mod plain;
mod publisher;
mod pull;
mod report;
mod serve;
mod session;
mod store;
mod wire;

use std::process::exit;
use std::time::Duration;

use crate::fail::Outcome;
use crate::options::Options;
use crate::report::Report;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const TIMED_OUT: i32 = 3;

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            event!("usage", "error": error.to_string());
            exit(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            event!("error", "error": error.to_string());
            exit(FAILED);
        }
    };
    // Leaves by exit: the thread on stdin and the actors of p2panda-net cannot be joined.
    exit(runtime.block_on(run(&options)));
}

/// How much later than the timeout the watchdog bites.
const GRACE: Duration = Duration::from_secs(1);

async fn run(options: &Options) -> i32 {
    let report = Report::new(options.operations, options.expect, options.log_id());
    watchdog(options.timeout, report.clone());
    let result = tokio::time::timeout(options.timeout, command(options, &report)).await;
    let mut code = if report.has_failures() { FAILED } else { 0 };
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            event!("error", "error": error.to_string());
            code = FAILED;
        }
        Err(_) => {
            event!("timeout", "ms": options.timeout.as_millis());
            code = TIMED_OUT;
        }
    }
    end(&report, code);
    code
}

fn end(report: &Report, code: i32) {
    let mut end = report.fields();
    end["event"] = "end".into();
    end["code"] = code.into();
    emit::emit(end);
}

/// Ends the process also when no task gets to run any more. p2panda-sync 0.7.1 spins for ever when
/// its peer finishes the stream before Done, and takes whatever shares the thread with it along.
fn watchdog(timeout: Duration, report: Report) {
    std::thread::spawn(move || {
        std::thread::sleep(timeout + GRACE);
        event!("timeout", "ms": timeout.as_millis(), "stuck": true);
        end(&report, TIMED_OUT);
        exit(TIMED_OUT);
    });
}

async fn command(options: &Options, report: &Report) -> Outcome<()> {
    match options.command.as_str() {
        "serve" => serve::run(options, report).await,
        "pull" => pull::run(options, report).await,
        "forge" => forge::run(options).await,
        "frames" => frames::run(options).await,
        "quic" => plain::run(options).await,
        "id" => {
            id(options);
            Ok(())
        }
        _ => Err("serve, pull, forge, frames, quic or id, see README.md".into()),
    }
}

/// Everything that follows from the options alone.
fn id(options: &Options) {
    event!("id", "id": options.key.verifying_key().to_hex(), "topic": options.topic.to_hex(),
           "log_id": options.log_id().to_hex(), "alpn": hex::encode(options.alpn()),
           "network_id": hex::encode(options.network_id));
}
