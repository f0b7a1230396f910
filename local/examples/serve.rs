//! Runs the embedded AWS by itself: `cargo run -p streamkit-local --example serve -- PORT [consistency] [rates] [SEED]`.

use std::net::SocketAddr;

use anyhow::Context as _;
use streamkit_local::{DEFAULT_ACCOUNT, Options, Rehearsal, Strictness, serve};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "4566".into()).parse().context("reading the port argument")?;
    let (mut strict, mut seed) = (Strictness::default(), 0);
    for argument in std::env::args().skip(2) {
        match argument.as_str() {
            "consistency" => strict.consistency = true,
            "rates" => strict.rates = true,
            other => seed = other.parse().context("reading the seed")?,
        }
    }
    let options = Options {
        port,
        region: "us-east-1".into(),
        account: DEFAULT_ACCOUNT.into(),
        state_dir: std::env::temp_dir().join(format!("streamkit-local-{}", std::process::id())),
        rehearsal: Rehearsal { seed, ..Rehearsal::default() },
        strict,
        ..Options::default()
    };
    let (ready, address) = oneshot::channel::<SocketAddr>();
    let interrupted = async {
        // Without a signal handler the example simply runs until it is killed.
        let _ = tokio::signal::ctrl_c().await;
    };
    tokio::spawn(async move {
        if let Ok(address) = address.await {
            announce(address);
        }
    });
    serve(options, ready, interrupted).await
}

#[expect(clippy::print_stdout, reason = "an example tells where it listens")]
fn announce(address: SocketAddr) {
    println!("http://{address}");
}
