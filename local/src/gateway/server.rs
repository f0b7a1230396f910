//! Starts and stops the embedded AWS: binds, serves, starts the housekeeping, and on shutdown ends every function process.

use std::fs::DirBuilder;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use super::call_log::CallLog;
use super::connection::{ConnectionHandle, ConnectionListener};
use super::consistency::EventuallyConsistent;
use super::injected_faults::InjectedFaults;
use super::router::Gateway;
use super::{control, housekeeping};
use crate::Options;
use crate::rehearsal::Disturbances;
use crate::rehearsal::SeededTimes;
use crate::services::{Regions, RegionsConfig};

/// Open long polls get this long to end by themselves.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs an embedded AWS until `shutdown` resolves or `POST /_streamkit/stop` comes. Sends the address once it
/// answers. Returns when every function process has been killed and reaped.
///
/// Errors when the port is taken or the state directory cannot be made.
pub async fn serve(
    options: Options,
    ready: oneshot::Sender<SocketAddr>,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&options.state_dir)
        .with_context(|| format!("creating the state directory {}", options.state_dir.display()))?;
    let wanted = SocketAddr::new(options.bind, options.port);
    let listener = TcpListener::bind(wanted).await.with_context(|| format!("binding {wanted}"))?;
    let address = reachable(listener.local_addr().context("reading the bound address")?);
    let mut allow_hosts = options.allow_hosts;
    if !options.bind.is_unspecified() {
        // No page can make an address its own name.
        allow_hosts.push(host_of(options.bind));
    }
    let regions = Regions::start(RegionsConfig {
        default: options.region,
        account: options.account,
        address,
        packages_path: format!("{}code/", control::PREFIX),
        state_dir: options.state_dir,
        times: SeededTimes::new(&options.rehearsal, options.strict),
        strict: options.strict,
    })?;
    let gateway = Arc::new(Gateway {
        regions: Arc::clone(&regions),
        calls: CallLog::default(),
        faults: InjectedFaults::default(),
        consistency: options.strict.consistency.then(|| EventuallyConsistent::new(options.rehearsal.seed)),
        disturbances: Disturbances::new(options.rehearsal),
        bind: options.bind,
        allow_hosts,
        stop: Notify::new(),
    });
    let router = {
        let gateway = Arc::clone(&gateway);
        Router::new().fallback(move |ConnectInfo(connection): ConnectInfo<ConnectionHandle>, request: Request| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.handle(request, &connection).await }
        })
    };
    let (close, closed) = oneshot::channel::<()>();
    let service = router.into_make_service_with_connect_info::<ConnectionHandle>();
    let server = axum::serve(ConnectionListener(listener), service).with_graceful_shutdown(async {
        // A dropped sender means the same as a message.
        let _ = closed.await;
    });
    let mut server = tokio::spawn(async move { server.await });
    let housekeeping = tokio::spawn(housekeeping::run(Arc::clone(&regions)));
    let replication = tokio::spawn(Arc::clone(regions.replication()).run());
    // The caller may have gone away; then its shutdown says so too.
    let _ = ready.send(address);

    tokio::select! {
        () = shutdown => {}
        () = gateway.stop.notified() => {}
    }
    housekeeping.abort();
    replication.abort();
    regions.shutdown().await;
    drop(close);
    // Connections that do not drain in time are dropped with the runtime.
    match tokio::time::timeout(DRAIN, &mut server).await {
        Ok(Ok(outcome)) => outcome.context("serving"),
        Ok(Err(panic)) => Err(panic).context("serving"),
        Err(_) => {
            server.abort();
            Ok(())
        }
    }
}

/// Where functions and tools of this machine reach what listens there.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// An address as URLs and `Host` headers have it.
fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
