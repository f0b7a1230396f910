//! The HTTP client of all services: rustls with ring, and the proxies of the environment.

use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings, SharedHttpClient};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::byte_stream::ByteStream;

/// How long a server may take to begin its answer, and between two pieces of it.
const ANSWER: Duration = Duration::from_secs(60);

/// What the SDK would make by itself, but for its TLS: that would bring a second one, and a minute of C compilation.
pub(super) fn https() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        connector(settings.cloned(), components.and_then(RuntimeComponents::sleep_impl))
    })
}

fn connector(settings: Option<HttpConnectorSettings>, sleep: Option<SharedAsyncSleep>) -> Connector {
    let mut connector = Connector::builder();
    connector.set_connector_settings(settings);
    connector.set_sleep_impl(sleep);
    connector.set_proxy_config(Some(ProxyConfig::from_env()));
    connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
}

/// Reads a file that anybody may read, piece by piece: it is never in memory as a whole.
///
/// # Errors
/// There is no answer, or another one than 200; it has more than `limit` bytes; or `take` does not want it.
pub(crate) async fn download(
    url: &str,
    limit: u64,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let settings = HttpConnectorSettings::builder().connect_timeout(ANSWER).read_timeout(ANSWER).build();
    let connector = connector(Some(settings), Some(SharedAsyncSleep::new(TokioSleep::new())));
    let reading = || format!("reading {url}");
    let request = HttpRequest::get(url).map_err(anyhow::Error::new).with_context(reading)?;
    let response = connector.call(request).await.map_err(anyhow::Error::new).with_context(reading)?;
    let status = response.status().as_u16();
    if status != 200 {
        bail!("reading {url}: the answer is HTTP {status}");
    }
    let mut body = ByteStream::new(response.into_body());
    let mut bytes = 0;
    while let Some(data) = tokio::time::timeout(ANSWER, body.next()).await.with_context(reading)? {
        let data = data.with_context(reading)?;
        bytes += data.len() as u64;
        if bytes > limit {
            bail!("reading {url}: it has more than {} MB", limit >> 20);
        }
        take(&data).with_context(reading)?;
    }
    Ok(())
}
