//! Metrics of functions and mappings on their way to `CloudWatch`, gathered and written together.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use streamkit_wire::clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ports::{MetricDatum, Ports};

/// How long values wait for company: short enough for a test, long enough to gather a busy function's.
const FLUSH_DELAY: Duration = Duration::from_millis(200);
/// `PutMetricData` takes 1,000 metrics a call, and 150 distinct values a metric.
const MAX_METRICS: usize = 1000;
const MAX_VALUES: usize = 150;

/// Identity of one series within one second.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: Vec<(String, String)>,
    /// `CloudWatch`'s name of the unit, e.g. `Count`.
    pub(crate) unit: String,
    pub(crate) time_seconds: i64,
}

/// The queue in front of `CloudWatch`.
pub(crate) struct MetricWriter {
    ports: Arc<Ports>,
    /// Values by their bits, with how often each occurred.
    waiting: Mutex<HashMap<Series, BTreeMap<u64, u64>>>,
    writer: tokio::sync::Mutex<()>,
    wake: Notify,
    started: AtomicBool,
    stop: CancellationToken,
}

impl MetricWriter {
    pub(crate) fn new(ports: Arc<Ports>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ports,
            waiting: Mutex::default(),
            writer: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            started: AtomicBool::new(false),
            stop,
        })
    }

    /// Counts one value of an `AWS/Lambda` metric of a function, now.
    pub(crate) fn function(self: &Arc<Self>, function: &str, name: &str, unit: &str, value: f64) {
        self.lambda("FunctionName", function, name, unit, value);
    }

    /// Counts one value of an `AWS/Lambda` metric of a mapping, now.
    pub(crate) fn mapping(self: &Arc<Self>, uuid: &str, name: &str, value: f64) {
        self.lambda("EventSourceMappingUUID", uuid, name, "Count", value);
    }

    fn lambda(self: &Arc<Self>, dimension: &str, of: &str, name: &str, unit: &str, value: f64) {
        let series = Series {
            namespace: "AWS/Lambda".to_owned(),
            name: name.to_owned(),
            dimensions: vec![(dimension.to_owned(), of.to_owned())],
            unit: unit.to_owned(),
            time_seconds: clock::now_ms().div_euclid(1000),
        };
        self.add(series, value, 1);
    }

    /// Counts a value `times` over.
    pub(crate) fn add(self: &Arc<Self>, series: Series, value: f64, times: u64) {
        *self.lock().entry(series).or_default().entry(value.to_bits()).or_default() += times;
        if !self.started.swap(true, Ordering::Relaxed) {
            let metrics = Arc::clone(self);
            tokio::spawn(async move {
                while metrics.stop.run_until_cancelled(metrics.wake.notified()).await.is_some() {
                    tokio::time::sleep(FLUSH_DELAY).await;
                    // What panics has been said on the standard error; what comes later is written all the same.
                    drop(AssertUnwindSafe(metrics.flush()).catch_unwind().await);
                }
            });
        }
        self.wake.notify_one();
    }

    /// Writes what waits.
    pub(crate) async fn flush(&self) {
        let _one_at_a_time = self.writer.lock().await;
        let waiting = std::mem::take(&mut *self.lock());
        let mut by_namespace: BTreeMap<String, Vec<MetricDatum>> = BTreeMap::new();
        for (series, values) in waiting {
            let values: Vec<_> = values.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
            let data = by_namespace.entry(series.namespace).or_default();
            for part in values.chunks(MAX_VALUES) {
                data.push(MetricDatum {
                    name: series.name.clone(),
                    dimensions: series.dimensions.clone(),
                    unit: series.unit.clone(),
                    time_seconds: series.time_seconds,
                    values: part.to_vec(),
                });
            }
        }
        for (namespace, data) in by_namespace {
            for part in data.chunks(MAX_METRICS) {
                // A metric that CloudWatch refuses (an EMF unit that does not exist) is lost, as it is on AWS.
                drop(self.ports.metrics.put_metric_data(&namespace, part).await);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Series, BTreeMap<u64, u64>>> {
        self.waiting.lock()
    }
}
