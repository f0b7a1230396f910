//! The engine: its functions and mappings, and how it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::function::Function;
use crate::invocation::event_queue::EventQueue;
use crate::mapping::Mapping;
use crate::ports::Ports;
use crate::runtime::code::{Code, CodeStore};
use crate::runtime::managed::Interpreters;
use crate::telemetry::log_writer::LogWriter;
use crate::telemetry::metric_writer::MetricWriter;

/// AWS Lambda, in this process.
pub struct Engine {
    pub(crate) ports: Arc<Ports>,
    pub(crate) config: Config,
    pub(crate) code: Arc<CodeStore>,
    pub(crate) functions: Mutex<BTreeMap<String, Arc<Function>>>,
    pub(crate) mappings: Mutex<BTreeMap<String, Arc<Mapping>>>,
    pub(crate) logs: Arc<LogWriter>,
    pub(crate) metrics: Arc<MetricWriter>,
    pub(crate) interpreters: Interpreters,
    /// Invocations under way of functions without a reserved concurrency.
    pub(crate) unreserved_running: AtomicU32,
    pub(crate) event_queue: Arc<EventQueue>,
    /// Ends pollers and processes.
    pub(crate) stop: CancellationToken,
    /// Ends the writers of logs and metrics, after the last line and value.
    pub(crate) stop_writers: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) reaping: AtomicBool,
}

impl Engine {
    /// An engine without functions; their code will be unpacked under the configuration's `state_dir`.
    pub fn new(config: Config, ports: Ports) -> Arc<Self> {
        let ports = Arc::new(ports);
        let stop_writers = CancellationToken::new();
        Arc::new(Self {
            code: Arc::new(CodeStore::new(&config.state_dir)),
            config,
            functions: Mutex::default(),
            mappings: Mutex::default(),
            logs: LogWriter::new(Arc::clone(&ports), stop_writers.clone()),
            metrics: MetricWriter::new(Arc::clone(&ports), stop_writers.clone()),
            interpreters: Interpreters::default(),
            unreserved_running: AtomicU32::new(0),
            event_queue: Arc::default(),
            stop: CancellationToken::new(),
            stop_writers,
            tasks: TaskTracker::new(),
            reaping: AtomicBool::new(false),
            ports,
        })
    }

    /// Stops all pollers, kills all processes, and waits until they are gone.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.functions().values().for_each(|function| function.pool.clear());
        self.tasks.close();
        self.tasks.wait().await;
        self.logs.flush().await;
        self.metrics.flush().await;
        self.stop_writers.cancel();
        // Pollers and asynchronous invocations have ended: nothing starts a process again, and the code can go.
        self.functions().clear();
        self.code.close();
    }

    /// The URL that a package can be fetched from.
    pub(crate) fn code_url(&self, code: &Code) -> String {
        format!("{}{}", self.config.packages_url, code.id)
    }

    /// The package at the end of such a URL; `None` when no function uses it any more.
    pub async fn package(&self, id: &str) -> Option<Vec<u8>> {
        let code = self.code.find(id)?;
        tokio::fs::read(&code.zip).await.ok()
    }

    /// Ends the process that has waited longest for work; `false` when all have work.
    pub(crate) fn end_an_idle_process(&self) -> bool {
        let functions: Vec<_> = self.functions().values().cloned().collect();
        let longest = functions
            .iter()
            .filter_map(|function| Some((function.pool.idle_since()?, function)))
            .min_by_key(|(since, _)| *since);
        longest.is_some_and(|(_, function)| function.pool.end_oldest())
    }

    /// Starts to look after idle processes, once there are any.
    pub(crate) fn reap_later(self: &Arc<Self>) {
        if self.reaping.swap(true, Ordering::Relaxed) {
            return;
        }
        let engine = Arc::clone(self);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(crate::runtime::pool::IDLE / 10)).await.is_some() {
                let functions: Vec<_> = engine.functions().values().cloned().collect();
                for function in functions {
                    function.pool.reap(crate::runtime::pool::IDLE);
                }
            }
        });
    }
}
